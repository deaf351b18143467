/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upper rungs, and modes against another uid: what only root can set up.
 *
 * The pool of 2 MiB pages and shmem_enabled are global: the program saves both,
 * sets what it needs and puts them back; ctest runs it alone. A page of slack
 * that somebody else takes meanwhile is why each test reads the pool itself.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/segment_place.h"
#include "lib/sys.h"
#include "tests/unit/segment_fixture.h"

#define POOL       "/proc/sys/vm/nr_hugepages"
#define OVERCOMMIT "/proc/sys/vm/nr_overcommit_hugepages"
#define SHMEM_THP  "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define PAGES      8
#define MIB2       (UINT64_C(2) << 20)

static char old_pool[32], old_overcommit[32], old_thp[128];

static bool read_text(const char *path, char *text, size_t bytes)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(text, (int)bytes, file);

	if (file)
		fclose(file);
	return ok;
}

static bool write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	bool ok = file && fputs(text, file) >= 0;

	if (file && fclose(file))
		ok = false;
	return ok;
}

/* "always [never]" to "never". */
static void pick_chosen(char *text)
{
	char *open = strchr(text, '['), *close = strchr(text, ']');

	if (!open || !close)
		return;
	*close = '\0';
	memmove(text, open + 1, strlen(open + 1) + 1);
}

static pid_t owner;

/* Runs at the exit of each test's process too; only the last one is ours. */
static void restore(void)
{
	if (getpid() != owner)
		return;
	write_text(POOL, old_pool);
	write_text(OVERCOMMIT, old_overcommit);
	if (old_thp[0])
		write_text(SHMEM_THP, old_thp);
}

/* Leaves a pool with PAGES free pages, or says why not. */
static const char *prepare(void)
{
	char text[32];

	if (geteuid())
		return "needs root, to set " POOL;
	if (!read_text(POOL, old_pool, sizeof(old_pool)) ||
	    !read_text(OVERCOMMIT, old_overcommit, sizeof(old_overcommit)))
		return "no hugetlb in this kernel: no " POOL;
	if (read_text(SHMEM_THP, old_thp, sizeof(old_thp)))
		pick_chosen(old_thp);
	owner = getpid();
	atexit(restore);
	snprintf(text, sizeof(text), "%ld", atol(old_pool) + PAGES);
	if (!write_text(OVERCOMMIT, "0") || !write_text(POOL, text))
		return "cannot set " POOL;
	if (tpi_place_pool_free(-1) < PAGES)
		return "memory is too fragmented for 8 pages of 2 MiB";
	return NULL;
}

START_TEST(hugetlb_is_obtained_whole_and_reported_as_measured)
{
	struct tpi_segment_request request =
		request_of(MIB2 + 1, TAPIO_RUNG_HUGETLB);
	int64_t before = tpi_place_pool_free(-1);
	struct tpi_segment s;
	struct stat st;

	request.node = 0;
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_str_eq(error, "");
	ck_assert_uint_eq(s.report.rung, TAPIO_RUNG_HUGETLB);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], 0);
	ck_assert_uint_eq(s.report.page_bytes, MIB2);
	ck_assert_uint_eq(s.report.length_bytes, 2 * MIB2);
	ck_assert_uint_eq(s.report.huge_bytes, 2 * MIB2);
	ck_assert_uint_eq(s.report.seals & TPI_SEALS, TPI_SEALS);
	ck_assert_int_eq(fstat(s.fd, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_blksize, MIB2);
	ck_assert_uint_eq((uint64_t)st.st_size, 2 * MIB2);
	ck_assert_int_eq(tpi_place_pool_free(-1), before - 2);
	if (s.report.placement == TAPIO_PLACED_VERIFIED)
		ck_assert_uint_eq(s.report.misplaced_pages, 0);
	else
		ck_assert_int_ne(s.report.placement_errno, 0);
	tpi_segment_destroy(&s);
	ck_assert_int_eq(tpi_place_pool_free(-1), before);
}
END_TEST

START_TEST(a_hugetlb_segment_is_mapped_by_others_with_its_page_size)
{
	struct tpi_segment_request request =
		request_of(MIB2, TAPIO_RUNG_HUGETLB);
	struct tpi_segment s;
	struct tpi_map map;

	request.no_fallback = true;
	ck_assert_msg(create(&s, &request) == 0, "%s", error);
	ck_assert_int_eq(
		tpi_map_fd(&map, s.fd_ro, false, MIB2, error, sizeof(error)),
		0);
	ck_assert_uint_eq(map.page_bytes, MIB2);
	ck_assert_uint_eq(map.bytes, MIB2);
	s.map.base[MIB2 - 1] = 9;
	ck_assert_uint_eq(map.base[MIB2 - 1], 9);
	ck_assert(has_flag(map.base, "dd"));
	ck_assert(has_flag(map.base, "dc"));
	tpi_map_close(&map);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(a_pool_that_is_too_small_is_told_with_both_numbers)
{
	int64_t unused = tpi_place_pool_free(-1);
	struct tpi_segment_request request =
		request_of(((uint64_t)unused + 4) * MIB2, TAPIO_RUNG_HUGETLB);
	unsigned int fds = open_fds();
	struct tpi_segment s;
	char text[96];

	snprintf(text, sizeof(text),
		 "2 MiB pages: %" PRId64 " wanted, %" PRId64
		 " free in the pool (mmap: ",
		 unused + 4, unused);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], ENOMEM);
	ck_assert_uint_gt(s.report.rung, TAPIO_RUNG_HUGETLB);
	assert_text(text);
	tpi_segment_destroy(&s);
	request.no_fallback = true;
	ck_assert_int_eq(create(&s, &request), -ENOMEM);
	assert_text(text);
	ck_assert_uint_eq(open_fds(), fds);
	ck_assert_int_eq(tpi_place_pool_free(-1), unused);
}
END_TEST

START_TEST(the_pool_can_be_emptied_and_filled_again_without_a_loss)
{
	struct tpi_segment_request request =
		request_of(MIB2, TAPIO_RUNG_HUGETLB);
	int64_t unused = tpi_place_pool_free(-1);
	struct tpi_segment s[64];
	int made = 0;

	ck_assert_int_gt(unused, 0);
	request.no_fallback = true;
	for (int round = 0; round < 20; round++) {
		for (made = 0; made < 64; made++)
			if (create(&s[made], &request))
				break;
		ck_assert_int_eq(made, unused < 64 ? (int)unused : 64);
		while (made)
			tpi_segment_destroy(&s[--made]);
		ck_assert_int_eq(tpi_place_pool_free(-1), unused);
	}
}
END_TEST

START_TEST(huge_shmem_is_measured_and_not_assumed)
{
	struct tpi_segment_request request =
		request_of(8 * MIB2, TAPIO_RUNG_THP);
	struct tpi_segment s;

	if (!old_thp[0])
		return; /* a kernel without it: segment_denied.c has the rest */
	ck_assert(write_text(SHMEM_THP, "never"));
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.rung, TAPIO_RUNG_PAGES);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_THP], EOPNOTSUPP);
	ck_assert_uint_eq(s.report.huge_bytes, 0);
	assert_text("huge shmem pages: 0 of 16777216 bytes are huge");
	tpi_segment_destroy(&s);
	request.no_fallback = true;
	ck_assert_int_eq(create(&s, &request), -EOPNOTSUPP);
	ck_assert(write_text(SHMEM_THP, "advise"));
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_eq(s.report.rung, TAPIO_RUNG_THP);
	ck_assert_uint_eq(s.report.page_bytes, 4096);
	ck_assert_uint_gt(s.report.huge_bytes, 0);
	ck_assert_uint_le(s.report.huge_bytes, s.report.length_bytes);
	tpi_segment_destroy(&s);
}
END_TEST

START_TEST(another_uid_cannot_reopen_what_it_was_handed_for_writing)
{
	struct tpi_segment s;
	char path[64];
	int status, fd;
	pid_t child;

	create_plain(&s, 4096);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s.fd_ro);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0); /* its own uid is not held by modes */
	close(fd);
	child = fork();
	if (child == 0) {
		/* So that a refusal below is the file's and not /proc's. */
		if (setgid(65534) || setuid(65534))
			_exit(2);
		if (open("/proc/self/fd", O_RDONLY | O_CLOEXEC) < 0)
			_exit(3);
		fd = open(path, O_RDWR | O_CLOEXEC);
		_exit(fd < 0 && errno == EACCES ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	tpi_segment_destroy(&s);
}
END_TEST

#ifdef TAPIO_TESTPOINTS
START_TEST(hugetlb_that_cannot_be_populated_cleanly_is_never_touched)
{
	struct tpi_segment_request request =
		request_of(MIB2, TAPIO_RUNG_HUGETLB);
	int64_t unused = tpi_place_pool_free(-1);
	struct tpi_segment s;

	tpi_sys_fail_argument(SYS_madvise, MADV_POPULATE_WRITE, EINVAL, -1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_uint_gt(s.report.rung, TAPIO_RUNG_HUGETLB);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], EINVAL);
	assert_text("2 MiB pages: 1 wanted, ");
	assert_text("MADV_POPULATE_WRITE");
	tpi_segment_destroy(&s);
	/* and a pool that runs out half way is a lack of memory */
	tpi_sys_fail_argument(SYS_madvise, MADV_POPULATE_WRITE, EFAULT, 1);
	ck_assert_int_eq(create(&s, &request), 0);
	ck_assert_int_eq(s.report.rung_errno[TAPIO_RUNG_HUGETLB], ENOMEM);
	tpi_segment_destroy(&s);
	tpi_sys_fail_none();
	ck_assert_int_eq(tpi_place_pool_free(-1), unused);
}
END_TEST
#endif

int main(void)
{
	TCase *t = tcase_create("huge");
	const char *reason = prepare();

	if (reason) {
		puts(reason);
		return 77;
	}
	tcase_add_test(t, hugetlb_is_obtained_whole_and_reported_as_measured);
	tcase_add_test(
		t, a_hugetlb_segment_is_mapped_by_others_with_its_page_size);
	tcase_add_test(t, a_pool_that_is_too_small_is_told_with_both_numbers);
	tcase_add_test(t,
		       the_pool_can_be_emptied_and_filled_again_without_a_loss);
	tcase_add_test(t, huge_shmem_is_measured_and_not_assumed);
	tcase_add_test(
		t, another_uid_cannot_reopen_what_it_was_handed_for_writing);
#ifdef TAPIO_TESTPOINTS
	tcase_add_test(
		t, hugetlb_that_cannot_be_populated_cleanly_is_never_touched);
#endif
	return run_suite("segment huge", t);
}
