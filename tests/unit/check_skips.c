/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test that ends its process with 77 is skipped (tests/check_main.h). On c86d6e5 it was
 * a failure, so tools/test was red for a user who is not root.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check_main.h"

START_TEST(passes)
{
}
END_TEST

START_TEST(skips)
{
	_exit(CHECK_SKIPPED);
}
END_TEST

START_TEST(ends_early)
{
	_exit(CHECK_SKIPPED + 1);
}
END_TEST

START_TEST(fails)
{
	ck_abort_msg("as it is to");
}
END_TEST

/* The status of a program with these tests. */
static int status_of(const TTest *const *tests, int count)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		TCase *t = tcase_create("inner");

		for (int i = 0; i < count; i++)
			tcase_add_test(t, tests[i]);
		_exit(check_run_case("inner", t));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define STATUS(...)                                             \
	status_of((const TTest *const[]){__VA_ARGS__},          \
		  sizeof((const TTest *const[]){__VA_ARGS__}) / \
			  sizeof(const TTest *))

START_TEST(a_program_is_skipped_when_all_of_its_tests_are)
{
	ck_assert_int_eq(STATUS(passes), EXIT_SUCCESS);
	ck_assert_int_eq(STATUS(passes, skips), EXIT_SUCCESS);
	ck_assert_int_eq(STATUS(skips), CHECK_SKIPPED);
	ck_assert_int_eq(STATUS(skips, skips), CHECK_SKIPPED);
	ck_assert_int_eq(STATUS(skips, fails), EXIT_FAILURE);
	ck_assert_int_eq(STATUS(passes, ends_early), EXIT_FAILURE);
	ck_assert_int_eq(STATUS(fails), EXIT_FAILURE);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("skips");

	tcase_add_test(t, a_program_is_skipped_when_all_of_its_tests_are);
	return check_run_case("skips", t);
}
