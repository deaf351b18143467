/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of system calls that are to fail (lib/base/sys_fail.c) is asked from
 * wherever the library makes a system call: from signal handlers, and from children
 * that were forked beside busy threads. No such caller may ever wait for another one.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "tests/check_main.h"

#define INTERRUPTS 1000
#define FORKS      50
#define THREADS    4
#define CALLS      20000
#define LEFT       10000

static uint32_t interrupts, stop;

static int ask(void)
{
	return tpi_sys_injected(SYS_futex, 1);
}

static void *ask_until_stop(void *arg)
{
	while (!tpi_load_relaxed(&stop))
		ask();
	return arg;
}

static void on_timer(int number)
{
	(void)number;
	ask();
	tpi_add_relaxed(&interrupts, 1);
}

/*
 * On commit fddcec1 the handler waits for the mutex of the call that it interrupts:
 * stress.client did not end in builds with ThreadSanitizer, which runs handlers right
 * after a mutex was taken.
 */
START_TEST(a_signal_handler_may_ask_in_the_middle_of_a_question)
{
	struct sigaction action = {.sa_handler = on_timer};
	struct itimerval timer = {.it_interval = {.tv_usec = 50},
				  .it_value = {.tv_usec = 50}};

	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
	while (tpi_load_relaxed(&interrupts) < INTERRUPTS)
		ck_assert_int_eq(ask(), 0);
	timer = (struct itimerval){0};
	setitimer(ITIMER_REAL, &timer, NULL);
}
END_TEST

/* On commit fddcec1 such a child may inherit a locked mutex without its owner. */
START_TEST(a_child_may_ask_whatever_other_threads_did_at_the_fork)
{
	pthread_t thread;
	int i, status;
	pid_t child;

	ck_assert_int_eq(pthread_create(&thread, NULL, ask_until_stop, NULL),
			 0);
	for (i = 0; i < FORKS; i++) {
		child = fork();
		if (!child)
			_exit(ask());
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(status, 0);
	}
	tpi_store_relaxed(&stop, 1);
	pthread_join(thread, NULL);
}
END_TEST

static void *count_failures(void *arg)
{
	uint32_t *failures = arg;
	int i;

	for (i = 0; i < CALLS; i++)
		*failures += ask() == EPERM;
	return NULL;
}

START_TEST(a_rule_with_a_count_fails_as_many_calls_of_all_threads_together)
{
	uint32_t failures[THREADS] = {0}, sum = 0;
	pthread_t threads[THREADS];
	int i;

	tpi_sys_fail_argument(SYS_futex, 1, EPERM, LEFT);
	for (i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						count_failures, &failures[i]),
				 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		sum += failures[i];
	}
	ck_assert_uint_eq(sum, LEFT);
	ck_assert_uint_eq(tpi_sys_failed(SYS_futex, 1), LEFT);
}
END_TEST

START_TEST(rules_are_replaced_narrowed_and_taken_back)
{
	tpi_sys_fail(SYS_futex, EPERM, -1);
	ck_assert_int_eq(ask(), EPERM);
	ck_assert_int_eq(ask(), EPERM);
	tpi_sys_fail(SYS_futex, ENOSYS, 1);
	ck_assert_uint_eq(tpi_sys_failed(SYS_futex, TPI_SYS_ANY), 0);
	ck_assert_int_eq(ask(), ENOSYS);
	ck_assert_int_eq(ask(), 0);
	ck_assert_uint_eq(tpi_sys_failed(SYS_futex, TPI_SYS_ANY), 1);
	tpi_sys_fail_argument(SYS_futex, 2, EINVAL, -1);
	ck_assert_int_eq(ask(), 0);
	ck_assert_int_eq(tpi_sys_injected(SYS_futex, 2), EINVAL);
	tpi_sys_fail_none();
	ck_assert_int_eq(tpi_sys_injected(SYS_futex, 2), 0);
	ck_assert_uint_eq(tpi_sys_failed(SYS_futex, 2), 0);
	tpi_sys_fail_argument(SYS_futex, 2, EINVAL, 1);
	ck_assert_int_eq(tpi_sys_injected(SYS_futex, 2), EINVAL);
	ck_assert_int_eq(tpi_sys_injected(SYS_futex, 2), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("injected failures");

	tcase_set_timeout(t, 10);
	tcase_add_test(t, a_signal_handler_may_ask_in_the_middle_of_a_question);
	tcase_add_test(t,
		       a_child_may_ask_whatever_other_threads_did_at_the_fork);
	tcase_add_test(
		t,
		a_rule_with_a_count_fails_as_many_calls_of_all_threads_together);
	tcase_add_test(t, rules_are_replaced_narrowed_and_taken_back);
	return check_run_case("sys_fail", t);
}
