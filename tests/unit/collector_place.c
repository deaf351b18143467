/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file with a collector's place: whatever fails while it is written, the old one stays, the
 * failure is told once, and the next try stores what was accepted last.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tools/collectors/common/place_file.h"
#include "tools/common/tool.h"

static char directory[] = "/tmp/tapio-place-XXXXXX";
static char path[64], path_new[72], said_path[72];
static struct tpi_place_file file;

/* That of the C library fails where a test wants it. */
static int fsync_error;
static int fsyncs;

int fsync(int fd)
{
	(void)fd;
	fsyncs++;
	errno = fsync_error;
	return fsync_error ? -1 : 0;
}

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/place", directory);
	snprintf(path_new, sizeof(path_new), "%s.new", path);
	snprintf(said_path, sizeof(said_path), "%s/said", directory);
	ck_assert_ptr_nonnull(freopen(said_path, "a+", stderr));
}

static void tear_down(void)
{
	unlink(path);
	unlink(path_new);
	unlink(said_path);
	ck_assert_int_eq(rmdir(directory), 0);
}

static const char *contents(const char *name)
{
	static char text[8192];
	FILE *in = fopen(name, "r");
	size_t length;

	if (!in)
		return NULL;
	length = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[length] = '\0';
	return text;
}

static int said(const char *text)
{
	const char *at;
	int times = 0;

	fflush(stderr);
	for (at = contents(said_path); (at = strstr(at, text)); at++)
		times++;
	return times;
}

static void write_file(const char *text, size_t length)
{
	FILE *out = fopen(path, "w");

	ck_assert_uint_eq(fwrite(text, 1, length, out), length);
	ck_assert_int_eq(fclose(out), 0);
}

/* ---- reading -------------------------------------------------------------------------- */

START_TEST(what_was_stored_is_loaded)
{
	ck_assert_int_eq(tpi_place_file_load(&file, path, "x", 0), 0);
	ck_assert_str_eq(file.text, ""); /* there is none yet */
	tpi_place_file_accept(&file, "s=1;i=2");
	ck_assert(tpi_place_file_store(&file, 1, false));
	ck_assert_int_eq(fsyncs, 1);
	ck_assert_str_eq(contents(path), "s=1;i=2\n");
	ck_assert_ptr_null(contents(path_new));
	ck_assert_int_eq(tpi_place_file_load(&file, path, "x", 0), 0);
	ck_assert_str_eq(file.text, "s=1;i=2");
}
END_TEST

static const struct {
	const char *text;
	size_t length;
} damaged[] = {{"", 0}, {"no end", 6}, {"\0\0\0", 3}};

START_TEST(what_is_not_one_line_is_refused)
{
	static char longer[3000];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\n';
	if (_i < 3)
		write_file(damaged[_i].text, damaged[_i].length);
	else
		write_file(longer, sizeof(longer));
	ck_assert_int_eq(tpi_place_file_load(&file, path, "x", 0), -EBADMSG);
	ck_assert_str_eq(file.text, "");
}
END_TEST

START_TEST(the_directory_is_that_of_systemd_unless_a_path_is_given)
{
	char expected[80];

	ck_assert_int_eq(setenv("STATE_DIRECTORY", directory, 1), 0);
	ck_assert_int_eq(tpi_place_file_load(&file, NULL, "name", 0), 0);
	snprintf(expected, sizeof(expected), "%s/name", directory);
	ck_assert_str_eq(file.path, expected);
	ck_assert_int_eq(tpi_place_file_load(&file, path, "name", 0), 0);
	ck_assert_str_eq(file.path, path);
	ck_assert_int_eq(unsetenv("STATE_DIRECTORY"), 0);
	ck_assert_int_eq(tpi_place_file_load(&file, NULL, "name", 0), 0);
	ck_assert_ptr_null(file.path);
	/* Without a file nothing is stored, and nothing fails. */
	tpi_place_file_accept(&file, "x");
	ck_assert(tpi_place_file_store(&file, 1, true));
	ck_assert(tpi_place_file_due_ns(&file) == INT64_MAX);
}
END_TEST

START_TEST(a_path_that_is_too_long_is_refused)
{
	static char longest[5000];

	memset(longest, 'x', sizeof(longest) - 1);
	ck_assert_int_eq(tpi_place_file_load(&file, longest, "x", 0),
			 -ENAMETOOLONG);
	ck_assert_int_eq(setenv("STATE_DIRECTORY", longest, 1), 0);
	ck_assert_int_eq(tpi_place_file_load(&file, NULL, "x", 0),
			 -ENAMETOOLONG);
}
END_TEST

/* ---- when ------------------------------------------------------------------------------- */

START_TEST(it_is_stored_when_it_is_due_or_at_once)
{
	ck_assert_int_eq(tpi_place_file_load(&file, path, "x", 100), 0);
	ck_assert(tpi_place_file_store(&file, 1000, true));
	ck_assert_ptr_null(contents(path)); /* nothing was accepted */
	tpi_place_file_accept(&file, "one");
	ck_assert(tpi_place_file_store(&file, 1000, false));
	ck_assert_str_eq(contents(path), "one\n");
	tpi_place_file_accept(&file, "two");
	ck_assert(tpi_place_file_due_ns(&file) == 1100);
	ck_assert(tpi_place_file_store(&file, 1099, false));
	ck_assert_str_eq(contents(path), "one\n");
	ck_assert(tpi_place_file_store(&file, 1099, true));
	ck_assert_str_eq(contents(path), "two\n");
	ck_assert(tpi_place_file_due_ns(&file) == INT64_MAX);
	tpi_place_file_accept(&file, "three");
	ck_assert(tpi_place_file_store(&file, 1199, false));
	ck_assert_str_eq(contents(path), "three\n");
}
END_TEST

/* ---- failures ------------------------------------------------------------------------------ */

static void begin_with_old(void)
{
	ck_assert_int_eq(tpi_place_file_load(&file, path, "x", 0), 0);
	tpi_place_file_accept(&file, "old");
	ck_assert(tpi_place_file_store(&file, 1, true));
	tpi_place_file_accept(&file, "new");
}

/* Fails twice, is told once, and goes on when it can. */
static void fails_and_recovers(const char *why, void (*repair)(void))
{
	char message[160];

	ck_assert(!tpi_place_file_store(&file, 2, true));
	ck_assert(!tpi_place_file_store(&file, 3, true));
	snprintf(message, sizeof(message), "cannot store the place in %s: %s",
		 path, why);
	ck_assert_msg(said(message) == 1, "%s", contents(said_path));
	repair();
	ck_assert(tpi_place_file_store(&file, 4, true));
	ck_assert_int_eq(said("the place is stored again in"), 1);
	ck_assert_str_eq(contents(path), "new\n");
	tpi_place_file_accept(&file, "newer");
	ck_assert(tpi_place_file_store(&file, 5, true));
	ck_assert_int_eq(said("the place is stored again in"), 1);
}

static void repair_sync(void)
{
	ck_assert_str_eq(contents(path), "old\n");
	fsync_error = 0;
}

START_TEST(a_sync_that_fails_keeps_the_old_one)
{
	begin_with_old();
	fsync_error = EIO;
	fails_and_recovers("Input/output error", repair_sync);
}
END_TEST

static void limit_files(rlim_t bytes)
{
	const struct rlimit limit = {bytes, RLIM_INFINITY};

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void repair_limit(void)
{
	limit_files(RLIM_INFINITY);
	ck_assert_str_eq(contents(path), "old\n");
}

/* The kernel writes two bytes, and then none. Messages go to a pipe meanwhile. */
START_TEST(a_write_that_falls_short_keeps_the_old_one)
{
	begin_with_old();
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	limit_files(2);
	ck_assert(!tpi_place_file_store(&file, 2, true));
	repair_limit();
	ck_assert(tpi_place_file_store(&file, 3, true));
	ck_assert_str_eq(contents(path), "new\n");
}
END_TEST

static void repair_new(void)
{
	ck_assert_str_eq(contents(path), "old\n");
	ck_assert_int_eq(rmdir(path_new), 0);
}

START_TEST(a_file_that_cannot_be_opened_keeps_the_old_one)
{
	begin_with_old();
	ck_assert_int_eq(mkdir(path_new, 0700), 0);
	fails_and_recovers("Is a directory", repair_new);
}
END_TEST

static void repair_name(void)
{
	ck_assert_int_eq(rmdir(path), 0);
}

START_TEST(a_name_that_cannot_be_taken_is_told)
{
	begin_with_old();
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	fails_and_recovers("Is a directory", repair_name);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("collector_place");

	tpi_tool_init("test");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, what_was_stored_is_loaded);
	tcase_add_loop_test(tests, what_is_not_one_line_is_refused, 0, 4);
	tcase_add_test(tests,
		       the_directory_is_that_of_systemd_unless_a_path_is_given);
	tcase_add_test(tests, a_path_that_is_too_long_is_refused);
	tcase_add_test(tests, it_is_stored_when_it_is_due_or_at_once);
	tcase_add_test(tests, a_sync_that_fails_keeps_the_old_one);
	tcase_add_test(tests, a_write_that_falls_short_keeps_the_old_one);
	tcase_add_test(tests, a_file_that_cannot_be_opened_keeps_the_old_one);
	tcase_add_test(tests, a_name_that_cannot_be_taken_is_told);
	return check_run_case("collector_place", tests);
}
