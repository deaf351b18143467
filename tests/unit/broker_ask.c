/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that a child of the broker asks (broker/repair/ask.h): one that is held is
 * given up, and one that is only slow is not.
 */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "broker/repair/ask.h"
#include "lib/lane/wake.h"
#include "tests/check_main.h"

#define ANSWER 4711

/* Longer than a question that is asleep has. */
static int64_t run_for_long(void *arg)
{
	int64_t end = tpi_now_ns() + 400000000;

	(void)arg;
	while (tpi_now_ns() < end)
		;
	return ANSWER;
}

static int64_t sleep_on(void *arg)
{
	(void)arg;
	pause();
	return 0;
}

static int64_t die(void *arg)
{
	(void)arg;
	_exit(1);
}

/* Fails on commit d9e4f1f4: an honest client of a busy machine was not known. */
START_TEST(a_question_that_runs_is_answered_however_long_it_takes)
{
	int64_t answer = 0;

	ck_assert_int_eq(tpi_ask(run_for_long, NULL, &answer), 0);
	ck_assert_int_eq(answer, ANSWER);
}
END_TEST

START_TEST(a_question_that_sleeps_on_is_given_up)
{
	int64_t answer = 0;

	ck_assert_int_eq(tpi_ask(sleep_on, NULL, &answer), -ETIMEDOUT);
}
END_TEST

START_TEST(a_question_that_ends_without_an_answer_is_noticed)
{
	int64_t answer = 0;

	ck_assert_int_eq(tpi_ask(die, NULL, &answer), -ESRCH);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("broker ask");
	TCase *c = tcase_create("ask");

	tcase_add_test(c,
		       a_question_that_runs_is_answered_however_long_it_takes);
	tcase_add_test(c, a_question_that_sleeps_on_is_given_up);
	tcase_add_test(c, a_question_that_ends_without_an_answer_is_noticed);
	suite_add_tcase(suite, c);
	return check_run(suite);
}
