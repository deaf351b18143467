/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of control groups as they look on many machines, made up as files in a
 * temporary directory: version 1, version 2, both, containers, and broken ones.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/memory/cgroup.h"
#include "tests/check_main.h"
#include "tests/unit/file_tree.h"

#define MIB (UINT64_C(1) << 20)

static char root[] = "/tmp/tapio-cgroup-XXXXXX";
static struct tpi_cgroups groups;
static struct tpi_cgroup_limit limit;

static void setup(void)
{
	tree_make(root);
}

static void teardown(void)
{
	tpi_cgroups_free(&groups);
	tree_remove(root);
}

static void put(const char *path, const char *text)
{
	tree_put(root, path, text);
}

static void put_mib(const char *path, uint64_t mib)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)(mib * MIB));
	put(path, text);
}

static void find(void)
{
	tpi_cgroups_free(&groups);
	ck_assert_int_eq(tpi_cgroups_find(&groups, root), 0);
}

static void read_limit(enum tpi_cgroup_kind kind)
{
	find();
	tpi_cgroup_read(&groups, kind, &limit);
}

/* The limit of that kind, in MiB, and the end of the name of its file. */
static void assert_limit(enum tpi_cgroup_kind kind, uint64_t of, uint64_t room,
			 const char *file)
{
	read_limit(kind);
	ck_assert_uint_eq(limit.limit_bytes, of * MIB);
	ck_assert_uint_eq(limit.room_bytes, room * MIB);
	ck_assert_uint_eq(limit.used_bytes, (of - room) * MIB);
	ck_assert_msg(
		strlen(limit.file) >= strlen(file) &&
			!strcmp(limit.file + strlen(limit.file) - strlen(file),
				file),
		"%s", limit.file);
}

static void assert_none(enum tpi_cgroup_kind kind)
{
	read_limit(kind);
	ck_assert_uint_eq(limit.limit_bytes, UINT64_MAX);
	ck_assert_uint_eq(limit.room_bytes, UINT64_MAX);
	ck_assert(!limit.unreadable);
}

#define V2_MOUNT                                 \
	"22 1 0:20 / / rw - ext4 /dev/sda1 rw\n" \
	"30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 c rw\n"
#define V1_MOUNT                                                            \
	"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" \
	"36 31 0:33 / /sys/fs/cgroup/huge rw - cgroup cgroup rw,hugetlb\n"

static void put_v2(const char *path)
{
	char text[128];

	snprintf(text, sizeof(text), "0::%s\n", path);
	put("proc/self/cgroup", text);
	put("proc/self/mountinfo", V2_MOUNT);
}

static void put_v1(const char *path)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "9:name=systemd:/x\n5:hugetlb:%s\n4:cpu,memory:%s\n", path,
		 path);
	put("proc/self/cgroup", text);
	put("proc/self/mountinfo", V1_MOUNT);
}

/* ---- version 2 -------------------------------------------------------------------- */

START_TEST(version_2_without_a_limit_has_none)
{
	put_v2("/a/b");
	put("sys/fs/cgroup/a/b/memory.max", "max\n");
	put("sys/fs/cgroup/a/b/memory.high", "max\n");
	put("sys/fs/cgroup/a/b/hugetlb.2MB.max", "max\n");
	for (int kind = 0; kind < TPI_CGROUP_KINDS; kind++)
		assert_none(kind);
}
END_TEST

START_TEST(version_2_gives_the_page_cache_back)
{
	put_v2("/a");
	put_mib("sys/fs/cgroup/a/memory.max", 100);
	put_mib("sys/fs/cgroup/a/memory.current", 50);
	assert_limit(TPI_CGROUP_MEMORY, 100, 50, "/a/memory.max");
	put("sys/fs/cgroup/a/memory.stat",
	    "anon 1048576\nfile 40894464\ninactive_anon 9\nshmem 3145728\n"
	    "inactive_file 10485760\nactive_file 20971520\n");
	assert_limit(TPI_CGROUP_MEMORY, 100, 80, "/a/memory.max");
}
END_TEST

START_TEST(the_group_above_with_less_room_counts)
{
	put_v2("/a/b/c");
	put_mib("sys/fs/cgroup/a/b/c/memory.max", 100);
	put_mib("sys/fs/cgroup/a/b/c/memory.current", 10);
	put("sys/fs/cgroup/a/b/memory.max", "max\n");
	put_mib("sys/fs/cgroup/a/memory.max", 400);
	put_mib("sys/fs/cgroup/a/memory.current", 390);
	assert_limit(TPI_CGROUP_MEMORY, 400, 10, "/cgroup/a/memory.max");
	put_mib("sys/fs/cgroup/a/memory.current", 300);
	assert_limit(TPI_CGROUP_MEMORY, 100, 90, "/a/b/c/memory.max");
}
END_TEST

START_TEST(a_limit_at_the_root_of_a_namespace_counts)
{
	put_v2("/");
	put_mib("sys/fs/cgroup/memory.max", 64);
	put_mib("sys/fs/cgroup/memory.current", 4);
	assert_limit(TPI_CGROUP_MEMORY, 64, 60, "/sys/fs/cgroup/memory.max");
}
END_TEST

START_TEST(a_group_that_is_over_its_limit_has_no_room)
{
	put_v2("/a");
	put_mib("sys/fs/cgroup/a/memory.max", 10);
	put_mib("sys/fs/cgroup/a/memory.current", 50);
	read_limit(TPI_CGROUP_MEMORY);
	ck_assert_uint_eq(limit.room_bytes, 0);
	ck_assert_uint_eq(limit.used_bytes, 50 * MIB);
}
END_TEST

START_TEST(the_soft_limit_is_one_of_its_own)
{
	put_v2("/a");
	put_mib("sys/fs/cgroup/a/memory.high", 30);
	put_mib("sys/fs/cgroup/a/memory.current", 10);
	assert_limit(TPI_CGROUP_HIGH, 30, 20, "/a/memory.high");
	assert_none(TPI_CGROUP_MEMORY);
}
END_TEST

START_TEST(of_both_limits_of_huge_pages_the_smaller_counts)
{
	put_v2("/a");
	put_mib("sys/fs/cgroup/a/hugetlb.2MB.max", 64);
	put_mib("sys/fs/cgroup/a/hugetlb.2MB.current", 4);
	assert_limit(TPI_CGROUP_HUGE, 64, 60, "/a/hugetlb.2MB.max");
	put_mib("sys/fs/cgroup/a/hugetlb.2MB.rsvd.max", 64);
	put_mib("sys/fs/cgroup/a/hugetlb.2MB.rsvd.current", 32);
	find();
	tpi_cgroup_read_huge(&groups, &limit);
	ck_assert_uint_eq(limit.room_bytes, 32 * MIB);
	ck_assert_ptr_nonnull(strstr(limit.file, "/a/hugetlb.2MB.rsvd.max"));
	/* Page cache is none of a pool's business. */
	put("sys/fs/cgroup/a/memory.stat", "inactive_file 10485760\n");
	assert_limit(TPI_CGROUP_HUGE, 64, 60, "/a/hugetlb.2MB.max");
}
END_TEST

START_TEST(a_mount_can_say_that_memory_counts_huge_pages)
{
	put_v2("/a");
	put("sys/fs/cgroup/a/memory.max", "max\n");
	find();
	ck_assert(!groups.memory_has_huge);
	put("proc/self/mountinfo", "30 22 0:26 / /sys/fs/cgroup rw - cgroup2 c "
				   "rw,nsdelegate,memory_hugetlb_accounting\n");
	find();
	ck_assert(groups.memory_has_huge);
}
END_TEST

/* ---- version 1 -------------------------------------------------------------------- */

START_TEST(version_1_without_a_limit_has_none)
{
	put_v1("/a");
	put("sys/fs/cgroup/memory/a/memory.limit_in_bytes",
	    "9223372036854771712\n");
	put("sys/fs/cgroup/memory/a/memory.stat",
	    "hierarchical_memory_limit 9223372036854771712\n");
	put("sys/fs/cgroup/huge/a/hugetlb.2MB.limit_in_bytes",
	    "9223372036852678656\n");
	for (int kind = 0; kind < TPI_CGROUP_KINDS; kind++)
		assert_none(kind);
}
END_TEST

/* Pages of shmem are in `cache`, and do not give way. */
START_TEST(version_1_gives_back_what_is_on_the_lists_of_files)
{
	put_v1("/a");
	put_mib("sys/fs/cgroup/memory/a/memory.limit_in_bytes", 100);
	put_mib("sys/fs/cgroup/memory/a/memory.usage_in_bytes", 60);
	put("sys/fs/cgroup/memory/a/memory.stat",
	    "cache 52428800\nshmem 41943040\ninactive_file 1\n"
	    "total_cache 52428800\ntotal_inactive_anon 41943040\n"
	    "total_inactive_file 4194304\ntotal_active_file 6291456\n");
	assert_limit(TPI_CGROUP_MEMORY, 100, 50, "/a/memory.limit_in_bytes");
}
END_TEST

START_TEST(version_1_tells_a_limit_of_a_hidden_group)
{
	/* As in a container: the mount shows the container's group alone. */
	put("proc/self/cgroup", "4:memory:/docker/abc\n");
	put("proc/self/mountinfo",
	    "35 31 0:32 /docker/abc /sys/fs/cgroup/memory "
	    "ro - cgroup cgroup rw,memory\n");
	put_mib("sys/fs/cgroup/memory/memory.limit_in_bytes", 500);
	put_mib("sys/fs/cgroup/memory/memory.usage_in_bytes", 10);
	assert_limit(TPI_CGROUP_MEMORY, 500, 490, "/memory.limit_in_bytes");
	put("sys/fs/cgroup/memory/memory.stat",
	    "hierarchical_memory_limit 209715200\n");
	assert_limit(TPI_CGROUP_MEMORY, 200, 190, "/memory.stat");
}
END_TEST

START_TEST(a_group_that_does_not_count_its_children_is_no_limit)
{
	put_v1("/a/b");
	put("sys/fs/cgroup/memory/a/b/memory.use_hierarchy", "0\n");
	put_mib("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", 100);
	put_mib("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", 0);
	put_mib("sys/fs/cgroup/memory/a/memory.limit_in_bytes", 10);
	put_mib("sys/fs/cgroup/memory/a/memory.usage_in_bytes", 0);
	assert_limit(TPI_CGROUP_MEMORY, 10, 10, "/a/memory.limit_in_bytes");
	put("sys/fs/cgroup/memory/a/memory.use_hierarchy", "0\n");
	assert_limit(TPI_CGROUP_MEMORY, 100, 100, "/a/b/memory.limit_in_bytes");
}
END_TEST

START_TEST(version_1_limits_huge_pages_by_use_and_by_reservation)
{
	put_v1("/a");
	put_mib("sys/fs/cgroup/huge/a/hugetlb.2MB.limit_in_bytes", 20);
	put_mib("sys/fs/cgroup/huge/a/hugetlb.2MB.usage_in_bytes", 2);
	put_mib("sys/fs/cgroup/huge/a/hugetlb.2MB.rsvd.limit_in_bytes", 8);
	put_mib("sys/fs/cgroup/huge/a/hugetlb.2MB.rsvd.usage_in_bytes", 2);
	assert_limit(TPI_CGROUP_HUGE, 20, 18, "/a/hugetlb.2MB.limit_in_bytes");
	assert_limit(TPI_CGROUP_HUGE_RSVD, 8, 6,
		     "/a/hugetlb.2MB.rsvd.limit_in_bytes");
}
END_TEST

/* ---- mixed, and mounts -------------------------------------------------------------- */

START_TEST(a_controller_is_in_one_of_both_versions)
{
	/* The line of version 2 comes first or last. */
	put("proc/self/cgroup",
	    _i ? "0::/u\n4:memory:/m\n" : "4:memory:/m\n0::/u\n");
	put("proc/self/mountinfo",
	    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	    "36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 c rw\n");
	put_mib("sys/fs/cgroup/memory/m/memory.limit_in_bytes", 100);
	put_mib("sys/fs/cgroup/memory/m/memory.usage_in_bytes", 1);
	put_mib("sys/fs/cgroup/unified/u/memory.max", 1);
	put_mib("sys/fs/cgroup/unified/u/hugetlb.2MB.max", 6);
	put_mib("sys/fs/cgroup/unified/u/hugetlb.2MB.current", 2);
	assert_limit(TPI_CGROUP_MEMORY, 100, 99, "/m/memory.limit_in_bytes");
	assert_limit(TPI_CGROUP_HUGE, 6, 4, "/u/hugetlb.2MB.max");
	ck_assert_int_eq(groups.memory.version, 1);
	ck_assert_int_eq(groups.hugetlb.version, 2);
}
END_TEST

START_TEST(the_mount_that_shows_most_is_taken)
{
	put("proc/self/cgroup", "0::/a/b\n");
	put("proc/self/mountinfo",
	    "40 1 0:26 /other /mnt/other rw - cgroup2 c rw\n"
	    "41 1 0:26 /a/b /mnt/small rw - cgroup2 c rw\n"
	    "42 1 0:26 / /mnt/with\\040blank rw - cgroup2 c rw\n"
	    "43 1 0:26 /a /mnt/half rw - cgroup2 c rw\n"
	    "44 1 0:26 / /mnt/hidden rw - cgroup2 c rw\n");
	put_mib("mnt/small/memory.max", 100);
	put_mib("mnt/small/memory.current", 0);
	put("mnt/half/b/memory.max", "max\n");
	put("mnt/with blank/a/b/memory.max", "max\n");
	put_mib("mnt/with blank/a/memory.max", 50);
	put_mib("mnt/with blank/a/memory.current", 0);
	put_mib("mnt/other/memory.max", 1);
	assert_limit(TPI_CGROUP_MEMORY, 50, 50, "/mnt/with blank/a/memory.max");
}
END_TEST

START_TEST(a_path_that_only_begins_like_a_mount_is_not_below_it)
{
	put("proc/self/cgroup", "0::/ab\n");
	put("proc/self/mountinfo", "41 1 0:26 /a /mnt/a rw - cgroup2 c rw\n");
	put_mib("mnt/a/memory.max", 1);
	put_mib("mnt/ab/memory.max", 1);
	find();
	ck_assert_ptr_nonnull(groups.memory.unknown);
	ck_assert_ptr_null(groups.memory.directory);
}
END_TEST

START_TEST(a_group_outside_of_the_namespace_is_unknown)
{
	put("proc/self/cgroup", "0::/../other\n");
	put("proc/self/mountinfo", V2_MOUNT);
	put_mib("sys/fs/cgroup/memory.max", 1);
	read_limit(TPI_CGROUP_MEMORY);
	ck_assert_ptr_nonnull(groups.memory.unknown);
	ck_assert_uint_eq(limit.room_bytes, UINT64_MAX);
}
END_TEST

/* ---- nothing, and garbage -------------------------------------------------------------- */

START_TEST(without_proc_or_mount_it_is_unknown_and_says_why)
{
	find();
	ck_assert_ptr_nonnull(
		strstr(groups.memory.unknown, "/proc/self/cgroup"));
	ck_assert_ptr_nonnull(groups.hugetlb.unknown);
	tpi_cgroup_read(&groups, TPI_CGROUP_MEMORY, &limit);
	ck_assert_uint_eq(limit.room_bytes, UINT64_MAX);
	put("proc/self/cgroup", "0::/a\n");
	find();
	ck_assert_ptr_nonnull(strstr(groups.memory.unknown, "mountinfo"));
}
END_TEST

START_TEST(a_controller_that_no_hierarchy_has_limits_nothing)
{
	put("proc/self/cgroup", "3:cpu:/\n4:memory:/a\n");
	put("proc/self/mountinfo", V1_MOUNT);
	put("sys/fs/cgroup/memory/a/x", "");
	find();
	ck_assert_ptr_null(groups.hugetlb.unknown);
	ck_assert_ptr_null(groups.hugetlb.directory);
	assert_none(TPI_CGROUP_HUGE);
}
END_TEST

static const char *const garbage[] = {
	"",          "\n",
	"lots\n",    "12 apples\n",
	"-5\n",      "99999999999999999999\n",
	"maximum\n",
};
#define GARBAGE ((int)(sizeof(garbage) / sizeof(garbage[0])))

START_TEST(a_limit_that_cannot_be_understood_is_named)
{
	put_v2("/a/b");
	put("sys/fs/cgroup/a/b/memory.max", garbage[_i]);
	read_limit(TPI_CGROUP_MEMORY);
	ck_assert(limit.unreadable);
	ck_assert_uint_eq(limit.room_bytes, UINT64_MAX);
	ck_assert_ptr_nonnull(strstr(limit.file, "/a/b/memory.max"));
	/* The group above still counts. */
	put_mib("sys/fs/cgroup/a/memory.max", 10);
	put_mib("sys/fs/cgroup/a/memory.current", 1);
	read_limit(TPI_CGROUP_MEMORY);
	ck_assert(limit.unreadable);
	ck_assert_uint_eq(limit.room_bytes, 9 * MIB);
	ck_assert_ptr_nonnull(strstr(limit.file, "/cgroup/a/memory.max"));
}
END_TEST

START_TEST(without_the_use_the_limit_itself_is_the_room)
{
	put_v2("/a");
	put_mib("sys/fs/cgroup/a/memory.max", 10);
	put("sys/fs/cgroup/a/memory.current", _i ? "many\n" : "");
	read_limit(TPI_CGROUP_MEMORY);
	ck_assert(limit.unreadable);
	ck_assert_uint_eq(limit.room_bytes, 10 * MIB);
}
END_TEST

START_TEST(lines_that_are_cut_off_are_passed_over)
{
	put("proc/self/cgroup", "\n4\n4:memory\n::\n0::/a");
	put("proc/self/mountinfo",
	    "\n30 22\n30 22 0:26 / /x rw - cgroup2\n"
	    "30 22 0:26 / /sys/fs/cgroup rw - cgroup2 c");
	put("sys/fs/cgroup/a/memory.max", "max\n");
	find();
	ck_assert_ptr_nonnull(strstr(groups.memory.unknown, "mountinfo"));
	put("proc/self/mountinfo", "30 22\n30 22 0:26 / /sys/fs/cgroup rw - "
				   "cgroup2 c rw");
	find();
	ck_assert_ptr_null(groups.memory.unknown);
}
END_TEST

START_TEST(a_long_path_keeps_its_end)
{
	char path[400] = "/", file[512];

	memset(path + 1, 'a', 200);
	strcpy(path + 201, "/bcdefgh/");
	memset(path + 210, 'c', 150);
	put_v2("");
	snprintf(file, sizeof(file), "0::%s\n", path);
	put("proc/self/cgroup", file);
	snprintf(file, sizeof(file), "sys/fs/cgroup%s/memory.max", path);
	put_mib(file, 7);
	snprintf(file, sizeof(file), "sys/fs/cgroup%s/memory.current", path);
	put_mib(file, 0);
	assert_limit(TPI_CGROUP_MEMORY, 7, 7, "ccc/memory.max");
	ck_assert_uint_eq(strlen(limit.file), sizeof(limit.file) - 1);
}
END_TEST

START_TEST(this_machine_can_be_read)
{
	ck_assert_int_eq(tpi_cgroups_find(&groups, ""), 0);
	for (int kind = 0; kind < TPI_CGROUP_KINDS; kind++) {
		tpi_cgroup_read(&groups, kind, &limit);
		ck_assert_uint_le(limit.room_bytes, limit.limit_bytes);
	}
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("cgroup");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, version_2_without_a_limit_has_none);
	tcase_add_test(c, version_2_gives_the_page_cache_back);
	tcase_add_test(c, the_group_above_with_less_room_counts);
	tcase_add_test(c, a_limit_at_the_root_of_a_namespace_counts);
	tcase_add_test(c, a_group_that_is_over_its_limit_has_no_room);
	tcase_add_test(c, the_soft_limit_is_one_of_its_own);
	tcase_add_test(c, of_both_limits_of_huge_pages_the_smaller_counts);
	tcase_add_test(c, a_mount_can_say_that_memory_counts_huge_pages);
	tcase_add_test(c, version_1_without_a_limit_has_none);
	tcase_add_test(c, version_1_gives_back_what_is_on_the_lists_of_files);
	tcase_add_test(c, version_1_tells_a_limit_of_a_hidden_group);
	tcase_add_test(c, a_group_that_does_not_count_its_children_is_no_limit);
	tcase_add_test(c,
		       version_1_limits_huge_pages_by_use_and_by_reservation);
	tcase_add_loop_test(c, a_controller_is_in_one_of_both_versions, 0, 2);
	tcase_add_test(c, the_mount_that_shows_most_is_taken);
	tcase_add_test(c, a_path_that_only_begins_like_a_mount_is_not_below_it);
	tcase_add_test(c, a_group_outside_of_the_namespace_is_unknown);
	tcase_add_test(c, without_proc_or_mount_it_is_unknown_and_says_why);
	tcase_add_test(c, a_controller_that_no_hierarchy_has_limits_nothing);
	tcase_add_loop_test(c, a_limit_that_cannot_be_understood_is_named, 0,
			    GARBAGE);
	tcase_add_loop_test(c, without_the_use_the_limit_itself_is_the_room, 0,
			    2);
	tcase_add_test(c, lines_that_are_cut_off_are_passed_over);
	tcase_add_test(c, a_long_path_keeps_its_end);
	tcase_add_test(c, this_machine_can_be_read);
	return check_run_case("cgroup", c);
}
