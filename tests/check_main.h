/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a test program of Check ends its main(): it runs the suite and returns the exit
 * status, as in `return check_run(suite);`. The variables CK_VERBOSITY, CK_FORK,
 * CK_RUN_CASE, ... of Check work in every program. A program that cannot be run on
 * this machine prints the reason and returns 77 instead, SKIP_RETURN_CODE in
 * tests/CMakeLists.txt. It does so before it creates a suite or a case: only
 * check_run() frees them, and LeakSanitizer turns a leak into a failed test. A single
 * test that cannot be run prints the reason, too, and ends its process with 77: that is
 * no failure, and the program is skipped when all of its tests were.
 */
#ifndef TESTS_CHECK_MAIN_H
#define TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/atomic.h"

/*
 * Whether each step takes 5 to 20 times as long. A sanitizer sees a fault at the first
 * access that it is in, so tests of many equal rounds make fewer of them then.
 */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CHECK_SANITIZED 1
#else
#define CHECK_SANITIZED 0
#endif

/*
 * With each assertion that holds, Check tells its parent the place, to say where a
 * test was when it crashed. In a loop these messages are most of a test's time. So a
 * place is told the first time, and then ever more rarely.
 */
static inline void check_mark(const char *file, int line)
{
	static uint32_t times[4096]; /* by line */
	/* Relaxed: threads assert at once. Only the number of messages depends on it. */
	uint32_t before = tpi_add_relaxed(&times[line % 4096], 1);

	if (!(before & (before - 1)))
		_mark_point(file, line);
}
#define _mark_point(file, line) check_mark(file, line)

/*
 * With TAPIO_FIRST_FAILURE in the environment nothing of a case runs after its first test
 * that fails (tests/mutants). A test that fails does not reach its teardown: the next one
 * finds that, in shared memory since each test is a process, and ends.
 */
static bool *check_begun;

static inline void check_begin(void)
{
	if (*check_begun)
		_exit(EXIT_FAILURE);
	*check_begun = true;
}

static inline void check_end(void)
{
	*check_begun = false;
}

/* check_run_case() does it. Others may, before they add the case to a suite. */
static inline void check_first_failure(TCase *tests)
{
	if (!getenv("TAPIO_FIRST_FAILURE"))
		return;
	if (!check_begun)
		check_begun =
			(bool *)mmap(NULL, sizeof(bool), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (check_begun != MAP_FAILED)
		tcase_add_checked_fixture(tests, check_begin, check_end);
}

#define CHECK_SKIPPED 77
/* What Check says of a test that has ended its process so. */
#define CHECK_SKIPPED_MESSAGE "Early exit with return value 77"

static inline int check_count_skipped(SRunner *runner)
{
	TestResult **failures = srunner_failures(runner);
	int skipped = 0;

	for (int i = 0; i < srunner_ntests_failed(runner); i++) {
		const char *message = tr_msg(failures[i]);

		skipped += message && !strcmp(message, CHECK_SKIPPED_MESSAGE);
	}
	free((void *)failures);
	return skipped;
}

/*
 * Runs the suite and frees it. EXIT_SUCCESS when every test that can be run here has passed,
 * CHECK_SKIPPED when there is none.
 */
static inline int check_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed, skipped, count;

	srunner_run_all(runner, CK_ENV);
	count = srunner_ntests_run(runner);
	skipped = check_count_skipped(runner);
	failed = srunner_ntests_failed(runner) - skipped;
	srunner_free(runner);
	if (skipped && !failed)
		printf("%d of %d tests were skipped, which end with %d above\n",
		       skipped, count, CHECK_SKIPPED);
	if (failed)
		return EXIT_FAILURE;
	return count && skipped == count ? CHECK_SKIPPED : EXIT_SUCCESS;
}

/* The same for a suite of one case. */
static inline int check_run_case(const char *name, TCase *tests)
{
	Suite *suite = suite_create(name);

	check_first_failure(tests);
	suite_add_tcase(suite, tests);
	return check_run(suite);
}

#endif
