/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a test program of Check ends its main(): it runs the suite and returns the exit
 * status, as in `return check_run(suite);`. The variables CK_VERBOSITY, CK_FORK,
 * CK_RUN_CASE, ... of Check work in every program. A program that cannot be run on
 * this machine prints the reason and returns 77 instead, SKIP_RETURN_CODE in
 * tests/CMakeLists.txt. It does so before it creates a suite or a case: only
 * check_run() frees them, and LeakSanitizer turns a leak into a failed test.
 */
#ifndef TESTS_CHECK_MAIN_H
#define TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

/* Runs the suite and frees it. EXIT_SUCCESS when every test has passed. */
static inline int check_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The same for a suite of one case. */
static inline int check_run_case(const char *name, TCase *tests)
{
	Suite *suite = suite_create(name);

	suite_add_tcase(suite, tests);
	return check_run(suite);
}

#endif
