/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which helpers hang (broker/session/helper.c): those that sleep on after they were killed,
 * and not those that get no CPU, nor those whose end the loop has not heard of. The ticks
 * come by hand, so that no time passes.
 */
#include <check.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/loop/child.h"
#include "tests/check_main.h"

#define TICKS 5

static struct tpi_broker broker;
static struct tpi_helper helper;

/* A helper that was killed. What it does nevertheless is the child's part. */
static void killed_helper(void (*play)(void))
{
	struct tpi_helpers *helpers = &broker.server.helpers;

	memset(&broker, 0, sizeof(broker));
	TAILQ_INIT(&broker.server.sessions);
	TAILQ_INIT(&helpers->list);
	STAILQ_INIT(&helpers->buried);
	helper = (struct tpi_helper){.broker = &broker, .killed = true};
	helper.answer.fd = -1;
	helper.pid = tpi_child_fork(&helper.died.fd);
	ck_assert_int_ge(helper.pid, 0);
	if (!helper.pid) {
		play();
		_exit(0);
	}
	TAILQ_INSERT_TAIL(&helpers->list, &helper, link);
	helpers->at_work++;
}

static void end_helper(void)
{
	tpi_child_kill(helper.died.fd);
	ck_assert_int_eq(waitpid(helper.pid, NULL, __WALL), helper.pid);
	close(helper.died.fd);
}

static void wait_until_asleep(void)
{
	while (!tpi_is_asleep(helper.died.fd))
		sched_yield();
}

static void sleep_on(void)
{
	for (;;)
		pause();
}

/* Fails with one look: it may sleep a while in its end. */
START_TEST(a_helper_that_sleeps_on_hangs_at_the_second_look)
{
	killed_helper(sleep_on);
	wait_until_asleep();
	tpi_helpers_tick(&broker);
	ck_assert(!helper.hung);
	tpi_helpers_tick(&broker);
	ck_assert(helper.hung);
	ck_assert_uint_eq(broker.server.helpers.hung, 1);
	ck_assert_uint_eq(broker.server.helpers.at_work, 0);
	end_helper();
}
END_TEST

static void run_on(void)
{
	for (volatile int i = 0;; i++)
		;
}

/* Fails on commit d9e4f1f4: the tick after the kill gave it up. */
START_TEST(a_helper_that_only_needs_a_cpu_does_not_hang)
{
	killed_helper(run_on);
	for (int i = 0; i < TICKS; i++)
		tpi_helpers_tick(&broker);
	ck_assert(!helper.hung);
	ck_assert_uint_eq(broker.server.helpers.at_work, 1);
	end_helper();
}
END_TEST

static void end_at_once(void)
{
}

/* Fails on commit d9e4f1f4. */
START_TEST(a_helper_whose_end_was_not_heard_of_does_not_hang)
{
	struct pollfd died = {.events = POLLIN};

	killed_helper(end_at_once);
	died.fd = helper.died.fd;
	ck_assert_int_eq(poll(&died, 1, -1), 1);
	for (int i = 0; i < TICKS; i++)
		tpi_helpers_tick(&broker);
	ck_assert(!helper.hung);
	end_helper();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("broker helper");
	TCase *c = tcase_create("hangs");

	tcase_add_test(c, a_helper_that_sleeps_on_hangs_at_the_second_look);
	tcase_add_test(c, a_helper_that_only_needs_a_cpu_does_not_hang);
	tcase_add_test(c, a_helper_whose_end_was_not_heard_of_does_not_hang);
	suite_add_tcase(suite, c);
	return check_run(suite);
}
