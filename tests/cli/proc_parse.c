/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers of /proc files: they read the kernel's text right. They refuse or
 * leave unset, and never guess, a text that the kernel would not write.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cli/fixture.h"
#include "tools/collectors/proc_parse.h"
#include "tests/check_main.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct tpi_text text_of(const char *string)
{
	return tpi_text(string, strlen(string));
}

/* A copy that ends where it ends: reading past it is for ASan to see. */
static char *exact_copy(const char *bytes, size_t length)
{
	char *copy = malloc(length ? length : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, length);
	return copy;
}

/* ---- stat --------------------------------------------------------------- */

static const struct fixture_process plain = {
	.pid = 4242,
	.comm = "cat",
	.state = 'R',
	.start_ticks = 240606,
	.user_ticks = 12,
	.system_ticks = 34,
	.rss_pages = 365,
	.exit_status = 256,
};

START_TEST(every_number_of_stat_is_found_in_its_field)
{
	struct tpi_pid_stat stat;
	char text[1024];
	int length = fixture_stat(text, sizeof(text), &plain);

	ck_assert(tpi_parse_pid_stat(tpi_text(text, (size_t)length), &stat));
	ck_assert_uint_eq(stat.pid, 4242);
	ck_assert_str_eq(stat.comm, "cat");
	ck_assert_int_eq(stat.state, 'R');
	ck_assert_uint_eq(stat.ppid, 1);
	ck_assert_uint_eq(stat.group_id, 4242);
	ck_assert_uint_eq(stat.session_id, 4242);
	ck_assert_uint_eq(stat.minor_faults, 100);
	ck_assert_uint_eq(stat.major_faults, 3);
	ck_assert_uint_eq(stat.user_ticks, 12);
	ck_assert_uint_eq(stat.system_ticks, 34);
	ck_assert_uint_eq(stat.threads, 2);
	ck_assert_uint_eq(stat.start_ticks, 240606);
	ck_assert_uint_eq(stat.virtual_bytes, 8192000);
	ck_assert_uint_eq(stat.rss_pages, 365);
	ck_assert_uint_eq(stat.exit_status, 256);
}
END_TEST

static const char *const names[] = {
	"tmux: server", "(sd-pam)",    ") R 1 2 3", "a) S 7 7 7 (b",
	"))))",         "((((",        "",          " ",
	"new\nline",    "Web Content", "42 (x) Z",
};

START_TEST(a_process_cannot_forge_fields_by_its_name)
{
	struct fixture_process process = plain;
	struct tpi_pid_stat stat;
	char text[1024];

	process.comm = names[_i];
	int length = fixture_stat(text, sizeof(text), &process);
	ck_assert(tpi_parse_pid_stat(tpi_text(text, (size_t)length), &stat));
	ck_assert_str_eq(stat.comm, names[_i]);
	ck_assert_int_eq(stat.state, 'R');
	ck_assert_uint_eq(stat.start_ticks, 240606);
	ck_assert_uint_eq(stat.pid, 4242);
}
END_TEST

START_TEST(any_name_made_of_hostile_bytes_reads_back)
{
	static const char bytes[] = "() 019RSZ-\n\t\\:'\"\x01\xff";
	struct fixture_process process = plain;
	struct tpi_pid_stat stat;
	unsigned int seed = 7;
	char text[1024], comm[16];

	process.comm = comm;
	for (int i = 0; i < 20000; i++) {
		size_t length = (size_t)rand_r(&seed) % sizeof(comm);
		for (size_t at = 0; at < length; at++)
			comm[at] = bytes[(size_t)rand_r(&seed) %
					 (sizeof(bytes) - 1)];
		comm[length] = '\0';
		process.start_ticks = (uint64_t)rand_r(&seed);
		int end = fixture_stat(text, sizeof(text), &process);
		ck_assert(
			tpi_parse_pid_stat(tpi_text(text, (size_t)end), &stat));
		ck_assert_str_eq(stat.comm, comm);
		ck_assert_uint_eq(stat.start_ticks, process.start_ticks);
	}
}
END_TEST

START_TEST(a_stat_that_was_cut_anywhere_is_refused)
{
	struct tpi_pid_stat stat;
	char text[1024];
	int whole = fixture_stat(text, sizeof(text), &plain);

	for (int length = 0; length < whole; length++) {
		char *cut = exact_copy(text, (size_t)length);
		ck_assert(!tpi_parse_pid_stat(tpi_text(cut, (size_t)length),
					      &stat));
		free(cut);
	}
}
END_TEST

START_TEST(a_stat_of_an_old_kernel_has_no_exit_status)
{
	struct tpi_pid_stat stat;

	ck_assert(tpi_parse_pid_stat(
		text_of("7 (old) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 9 10 11 12 13 "
			"14 15\n"),
		&stat));
	ck_assert_uint_eq(stat.rss_pages, 15);
	ck_assert_uint_eq(stat.exit_status, TPI_UNSET);
}
END_TEST

START_TEST(negative_groups_and_memory_become_zero_and_do_not_wrap)
{
	struct tpi_pid_stat stat;

	ck_assert(tpi_parse_pid_stat(
		text_of("7 (x) S 0 -1 -1 0 -1 0 1 2 3 4 5 6 7 8 9 10 11 12 13 "
			"14 -3\n"),
		&stat));
	ck_assert_uint_eq(stat.ppid, 0);
	ck_assert_uint_eq(stat.group_id, 0);
	ck_assert_uint_eq(stat.session_id, 0);
	ck_assert_uint_eq(stat.rss_pages, 0);
}
END_TEST

static const char *const no_stats[] = {
	"\n",
	"()\n",
	"7\n",
	"7 )x( S 1\n",
	"x (y) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22\n",
	"7 (x) SS 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n",
	"7 (x) S 1 7 7 0 -1 0 1 2 3 4 five 6 7 8 9 10 11 12 13 14 15\n",
	"7 (x) S 1 7 7 0 -1 0 1 2 3 4 -5 6 7 8 9 10 11 12 13 14 15\n",
	"99999999999 (x) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 "
	"15\n",
	"7 (x) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 9 10 11 12 "
	"99999999999999999999 14 15\n",
};

START_TEST(what_is_no_stat_is_refused)
{
	struct tpi_pid_stat stat;

	ck_assert(!tpi_parse_pid_stat(text_of(no_stats[_i]), &stat));
}
END_TEST

/* Flips bytes of every kind of file: nothing may be read outside of it. */
START_TEST(damaged_files_are_read_within_their_bounds)
{
	static const char *const files[] = {
		"7 (x y) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n",
		"Uid:\t1\t2\t3\t4\nVmHWM:\t 77 kB\nNSpid:\t1\t2\n",
		"rchar: 1\nread_bytes: 4096\nwrite_bytes: 0\n",
		"12:pids:/a\n0::/docker/x\n1:name=systemd:/b:c\n",
		"some avg10=0.26 avg60=0.14 avg300=0.10 total=5022515\n",
		" eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
		" 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n",
		"btime 1700000000\n",
	};
	unsigned int seed = 3;

	for (int round = 0; round < 20000; round++) {
		const char *file = files[round % COUNT(files)];
		size_t length = strlen(file);
		char *copy = exact_copy(file, length);
		for (int flips = rand_r(&seed) % 4; flips >= 0; flips--)
			copy[(size_t)rand_r(&seed) % length] =
				(char)rand_r(&seed);
		length -= (size_t)rand_r(&seed) % 3;
		char *cut = exact_copy(copy, length);
		struct tpi_text text = tpi_text(cut, length), path, rest = text;
		struct tpi_pid_stat stat;
		struct tpi_pid_status status;
		struct tpi_pid_io io;
		struct tpi_pressure pressure;
		struct tpi_interface iface;
		struct tpi_disk disk;
		uint64_t seconds;
		bool unified;
		char id[65];

		if (tpi_parse_pid_stat(text, &stat))
			ck_assert_uint_lt(strlen(stat.comm), TPI_COMM_BYTES);
		tpi_parse_pid_status(text, &status);
		tpi_parse_pid_io(text, &io);
		if (tpi_parse_cgroup(text, &path, &unified)) {
			ck_assert(path.at >= text.at);
			ck_assert(path.end <= text.end);
			tpi_find_container_id(path, id);
		}
		tpi_parse_pressure(text, &pressure);
		while (tpi_parse_interface(&rest, &iface))
			ck_assert_uint_lt(strlen(iface.name),
					  sizeof(iface.name));
		rest = text;
		while (tpi_parse_disk(&rest, &disk))
			ck_assert_uint_lt(strlen(disk.name), sizeof(disk.name));
		tpi_parse_boot_time(text, &seconds);
		tpi_join_arguments(cut, &length);
		free(copy);
		free(cut);
	}
}
END_TEST

/* ---- the other files of a process --------------------------------------- */

START_TEST(status_gives_the_effective_user_and_leaves_the_rest_unset)
{
	struct tpi_pid_status status;

	tpi_parse_pid_status(text_of("Name:\tx\nUid:\t1\t2\t3\t4\n"
				     "Gid:\t5\t6\t7\t8\nNSpid:\t77\t3\n"
				     "VmHWM:\t    1712 kB\n"
				     "voluntary_ctxt_switches:\t9\n"),
			     &status);
	ck_assert_uint_eq(status.uid, 2);
	ck_assert_uint_eq(status.gid, 6);
	ck_assert_uint_eq(status.namespaces, 2);
	ck_assert_uint_eq(status.rss_max_bytes, 1712 * 1024);
	ck_assert_uint_eq(status.voluntary_switches, 9);
	ck_assert_uint_eq(status.involuntary_switches, TPI_UNSET);
}
END_TEST

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static const struct {
	const char *text;
	const char *path; /* NULL: none */
	bool unified;
} cgroups[] = {
	{"0::/user.slice/a b\n", "/user.slice/a b", true},
	{"0::/\n", "/", true},
	{"4:memory:/x\n0::/\n", "/x", false},
	{"0::/\n4:memory:/x\n", "/x", false},
	{"4:memory:/x\n0::/y\n", "/y", true},
	{"0::/y\n4:memory:/x\n", "/y", true},
	{"9:pids:/\n4:memory:/x\n3:cpu:/z\n", "/x", false},
	{"1:name=systemd:/a:b\n", "/a:b", false},
	{"9:pids:/\n", NULL, false},
	{"", NULL, false},
	{"rubbish\n", NULL, false},
	{"0::relative\n", NULL, false},
	{"0::/cut off", NULL, false},
};

START_TEST(the_unified_cgroup_is_preferred_unless_it_says_nothing)
{
	struct tpi_text path;
	char copy[128];
	bool unified;
	bool found =
		tpi_parse_cgroup(text_of(cgroups[_i].text), &path, &unified);

	ck_assert_int_eq(found, cgroups[_i].path != NULL);
	if (found) {
		tpi_text_copy(path, copy, sizeof(copy));
		ck_assert_str_eq(copy, cgroups[_i].path);
		ck_assert_int_eq(unified, cgroups[_i].unified);
	}
}
END_TEST

static const struct {
	const char *path;
	const char *id; /* NULL: none */
} containers[] = {
	{"/docker/" ID, ID},
	{"/system.slice/docker-" ID ".scope", ID},
	{"/kubepods.slice/pod1234_5678.slice/cri-containerd-" ID ".scope", ID},
	{"/machine.slice/libpod-" ID ".scope/container", ID},
	{"/docker/" OTHER "/docker/" ID, ID},
	{"/docker/" ID "0", NULL},
	{"/docker/" ID "g", NULL},
	{"/docker/A" ID, NULL},
	{"/user.slice/user-1000.slice", NULL},
	{"", NULL},
};

START_TEST(the_innermost_container_is_found_and_nothing_else)
{
	char id[65];
	bool found = tpi_find_container_id(text_of(containers[_i].path), id);

	ck_assert_int_eq(found, containers[_i].id != NULL);
	ck_assert_str_eq(id, found ? containers[_i].id : "");
}
END_TEST

static const struct {
	const char *bytes;
	size_t length;
	const char *joined;
	uint32_t count;
} lines[] = {
	{"/bin/sh\0-c\0true\0", 16, "/bin/sh -c true", 3},
	{"a\0\0b\0", 5, "a  b", 3},
	{"nginx: worker process", 21, "nginx: worker process", 1},
	{"nginx: x\0\0\0\0", 12, "nginx: x", 1},
	{"", 0, "", 0},
	{"\0\0\0", 3, "", 0},
};

START_TEST(arguments_are_joined_by_spaces_and_counted)
{
	size_t length = lines[_i].length;
	char *text = exact_copy(lines[_i].bytes, length);

	ck_assert_uint_eq(tpi_join_arguments(text, &length), lines[_i].count);
	ck_assert_uint_eq(length, strlen(lines[_i].joined));
	ck_assert_mem_eq(text, lines[_i].joined, length);
	free(text);
}
END_TEST

/* ---- the host ----------------------------------------------------------- */

START_TEST(pressure_reads_as_printed_and_a_missing_line_is_unset)
{
	struct tpi_pressure pressure;

	ck_assert(tpi_parse_pressure(
		text_of("some avg10=0.26 avg60=12.34 avg300=100.00 "
			"total=5022515\n"),
		&pressure));
	ck_assert_double_eq(pressure.some.avg10, 0.26);
	ck_assert_double_eq(pressure.some.avg60, 12.34);
	ck_assert_double_eq(pressure.some.avg300, 100);
	ck_assert_uint_eq(pressure.some.total_us, 5022515);
	ck_assert(isnan(pressure.full.avg10));
	ck_assert_uint_eq(pressure.full.total_us, TPI_UNSET);
	ck_assert(!tpi_parse_pressure(text_of(""), &pressure));
	ck_assert(!tpi_parse_pressure(text_of("some avg10=x\n"), &pressure));
	ck_assert(!tpi_parse_pressure(
		text_of("some avg10=1.00 avg60=1.00 avg300=1.00 total=5"),
		&pressure));
}
END_TEST

START_TEST(interfaces_are_read_and_headings_passed_over)
{
	struct tpi_text text = text_of(
		"Inter-|   Receive          |  Transmit\n"
		" face |bytes    packets errs|bytes\n"
		"    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
		"eth0:1:21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37\n"
		"  bad: 1 2 3\n"
		"  wl0: 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	struct tpi_interface iface;

	ck_assert(tpi_parse_interface(&text, &iface));
	ck_assert_str_eq(iface.name, "lo");
	ck_assert_uint_eq(iface.counters.receive_bytes, 1);
	ck_assert_uint_eq(iface.counters.receive_packets, 2);
	ck_assert_uint_eq(iface.counters.receive_errors, 3);
	ck_assert_uint_eq(iface.counters.receive_dropped, 4);
	ck_assert_uint_eq(iface.counters.transmit_bytes, 9);
	ck_assert_uint_eq(iface.counters.transmit_packets, 10);
	ck_assert_uint_eq(iface.counters.transmit_errors, 11);
	ck_assert_uint_eq(iface.counters.transmit_dropped, 12);
	ck_assert(tpi_parse_interface(&text, &iface));
	ck_assert_str_eq(iface.name, "eth0:1");
	ck_assert_uint_eq(iface.counters.receive_bytes, 21);
	ck_assert(tpi_parse_interface(&text, &iface));
	ck_assert_str_eq(iface.name, "wl0");
	ck_assert_uint_eq(iface.counters.receive_bytes, UINT64_MAX);
	ck_assert(!tpi_parse_interface(&text, &iface));
}
END_TEST

START_TEST(disks_of_old_and_new_kernels_are_read)
{
	struct tpi_text text = text_of(
		"   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n"
		" 259       1 nvme0n1p1 21 22 23 24 25 26 27 28 29 30 31 32 33 "
		"34 35 36 37\n"
		"   8       1 sda1 1 2 3 4\n");
	struct tpi_disk disk;

	ck_assert(tpi_parse_disk(&text, &disk));
	ck_assert_str_eq(disk.name, "sda");
	ck_assert_uint_eq(disk.major, 8);
	ck_assert_uint_eq(disk.counters.reads, 1);
	ck_assert_uint_eq(disk.counters.reads_merged, 2);
	ck_assert_uint_eq(disk.counters.read_sectors, 3);
	ck_assert_uint_eq(disk.counters.read_ms, 4);
	ck_assert_uint_eq(disk.counters.writes, 5);
	ck_assert_uint_eq(disk.counters.writes_merged, 6);
	ck_assert_uint_eq(disk.counters.write_sectors, 7);
	ck_assert_uint_eq(disk.counters.write_ms, 8);
	ck_assert_uint_eq(disk.counters.in_flight, 9);
	ck_assert_uint_eq(disk.counters.io_ms, 10);
	ck_assert(tpi_parse_disk(&text, &disk));
	ck_assert_str_eq(disk.name, "nvme0n1p1");
	ck_assert_uint_eq(disk.minor, 1);
	ck_assert(!tpi_parse_disk(&text, &disk));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("proc_parse");

	tcase_add_test(tc, every_number_of_stat_is_found_in_its_field);
	tcase_add_loop_test(tc, a_process_cannot_forge_fields_by_its_name, 0,
			    COUNT(names));
	tcase_add_test(tc, any_name_made_of_hostile_bytes_reads_back);
	tcase_add_test(tc, a_stat_that_was_cut_anywhere_is_refused);
	tcase_add_test(tc, a_stat_of_an_old_kernel_has_no_exit_status);
	tcase_add_test(tc,
		       negative_groups_and_memory_become_zero_and_do_not_wrap);
	tcase_add_loop_test(tc, what_is_no_stat_is_refused, 0, COUNT(no_stats));
	tcase_add_test(tc, damaged_files_are_read_within_their_bounds);
	tcase_add_test(
		tc, status_gives_the_effective_user_and_leaves_the_rest_unset);
	tcase_add_loop_test(
		tc, the_unified_cgroup_is_preferred_unless_it_says_nothing, 0,
		COUNT(cgroups));
	tcase_add_loop_test(tc,
			    the_innermost_container_is_found_and_nothing_else,
			    0, COUNT(containers));
	tcase_add_loop_test(tc, arguments_are_joined_by_spaces_and_counted, 0,
			    COUNT(lines));
	tcase_add_test(tc,
		       pressure_reads_as_printed_and_a_missing_line_is_unset);
	tcase_add_test(tc, interfaces_are_read_and_headings_passed_over);
	tcase_add_test(tc, disks_of_old_and_new_kernels_are_read);

	return check_run_case("proc_parse", tc);
}
