/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring's sleepers, without the bounds that would end a sleep by themselves:
 * a wake-up that is lost leaves a thread asleep, and the alarm ends the test.
 *
 * This program is compiled with its own ring: it looks only once before it
 * announces itself, and sleeps for an hour. So every wait sleeps, and the moment
 * of the announcement meets the moment of the put in many rounds.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/ring.h>

#include "lib/base/atomic.h"
#include "lib/base/testpoint.h"
#include "tests/check_main.h"

#define ROUNDS  10000
#define SECONDS 40 /* until a hang counts as one. A round takes microseconds */
#define THREADS 4
#define SPINS   2000 /* then the other side has lost its CPU */

static struct tapio_ring *ring, *back;
static uint32_t round_of[2]; /* how far each side has come */

static void open_rings(uint32_t capacity)
{
	alarm(SECONDS);
	ck_assert_int_eq(tapio_ring_create(&ring, capacity), 0);
	ck_assert_int_eq(tapio_ring_create(&back, capacity), 0);
}

static void close_rings(void)
{
	tapio_ring_close(ring);
	tapio_ring_close(back);
	alarm(0);
}

static void pause_some(uint32_t *seed)
{
	uint32_t n;

	*seed = *seed * 1664525u + 1013904223u;
	for (n = *seed >> 23; n; n--)
		tpi_cpu_relax();
}

/* Both sides begin a round at the same moment. */
static void meet(int side, uint32_t round)
{
	uint32_t spins;

	tpi_store_release(&round_of[side], round);
	for (spins = 0; tpi_load_acquire(&round_of[!side]) < round; spins++)
		spins < SPINS ? tpi_cpu_relax() : (void)sched_yield();
}

static void *put_one_a_round(void *argument)
{
	uint32_t seed = 7, i;

	(void)argument;
	for (i = 1; i <= ROUNDS; i++) {
		meet(1, i);
		pause_some(&seed);
		if (tapio_ring_put(ring, i, -1))
			abort();
	}
	return NULL;
}

START_TEST(a_put_at_the_moment_of_the_announcement_wakes_the_sleeper)
{
	uint32_t seed = 1, i;
	uint64_t value;
	pthread_t thread;

	open_rings(2);
	memset(round_of, 0, sizeof(round_of));
	ck_assert_int_eq(pthread_create(&thread, NULL, put_one_a_round, NULL),
			 0);
	for (i = 1; i <= ROUNDS; i++) {
		meet(0, i);
		pause_some(&seed);
		if (tapio_ring_get(ring, &value, -1) || value != i)
			ck_abort_msg("round %u", i);
	}
	pthread_join(thread, NULL);
	close_rings();
}
END_TEST

static void *get_one_a_round(void *argument)
{
	uint32_t seed = 3, i;
	uint64_t value;

	(void)argument;
	for (i = 1; i <= ROUNDS; i++) {
		meet(1, i);
		pause_some(&seed);
		if (tapio_ring_get(ring, &value, -1) || !value)
			abort();
	}
	return NULL;
}

/* The other way round: a producer waits for room in a full ring. */
START_TEST(a_get_at_the_moment_of_the_announcement_wakes_the_producer)
{
	uint32_t seed = 1, i;
	pthread_t thread;

	open_rings(2);
	memset(round_of, 0, sizeof(round_of));
	ck_assert_int_eq(tapio_ring_try_put(ring, 1), 0);
	ck_assert_int_eq(tapio_ring_try_put(ring, 1), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, get_one_a_round, NULL),
			 0);
	for (i = 1; i <= ROUNDS; i++) {
		meet(0, i);
		pause_some(&seed);
		if (tapio_ring_put(ring, i, -1))
			ck_abort_msg("round %u", i);
	}
	pthread_join(thread, NULL);
	close_rings();
}
END_TEST

static void *echo(void *argument)
{
	uint64_t value;

	(void)argument;
	for (;;) {
		if (tapio_ring_get(ring, &value, -1))
			abort();
		if (!value)
			return NULL;
		if (tapio_ring_put(back, value, -1))
			abort();
	}
}

/*
 * Several sleep on one ring. A burst of k puts must end k sleeps, whichever of the
 * sleepers have just announced themselves, been woken, or found another bell.
 */
START_TEST(a_burst_ends_a_sleep_for_each_value)
{
	pthread_t threads[THREADS];
	uint64_t values[THREADS] = {1, 1, 1, 1}, sum;
	uint32_t seed = 5, i, n;

	open_rings(THREADS);
	for (i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, echo, NULL),
				 0);
	for (i = 0; i < ROUNDS / 10; i++) {
		n = 1 + (seed >> 16) % THREADS;
		pause_some(&seed);
		if (tapio_ring_put_batch(ring, values, n, -1) != (int)n)
			ck_abort_msg("round %u", i);
		while (n--)
			if (tapio_ring_get(back, &sum, -1) || sum != 1)
				ck_abort_msg("round %u", i);
	}
	for (i = 0; i < THREADS; i++)
		ck_assert_int_eq(tapio_ring_put(ring, 0, -1), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	close_rings();
}
END_TEST

/* ---- another thread's step between two of ours ------------------------------- */

static const char *wanted;
static int wakes_left;

static void put_there(const char *name)
{
	if (wakes_left && !strcmp(name, wanted)) {
		wakes_left--;
		if (tapio_ring_try_put(ring, 42))
			abort();
	}
}

/* An interrupting put is seen by the look, or its bell keeps the sleep from beginning. */
START_TEST(a_put_between_the_steps_of_a_wait_ends_it)
{
	uint64_t value;

	open_rings(4);
	wanted = "ring.wait.A2";
	wakes_left = 1;
	tpi_testpoint_hook = put_there;
	ck_assert_int_eq(tapio_ring_get(ring, &value, -1), 0);
	ck_assert_uint_eq(value, 42);
	tpi_testpoint_hook = NULL;
	ck_assert_int_eq(wakes_left, 0);
	close_rings();
}
END_TEST

static void *get_until_zero(void *argument)
{
	uint64_t value, *sum = argument;

	for (;;) {
		if (tapio_ring_get(ring, &value, -1))
			abort();
		if (!value)
			return NULL;
		tpi_store_release(sum, *sum + value);
	}
}

/* How many sleeps of this ring have begun. */
static uint64_t sleeps(void)
{
	struct tapio_ring_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(tapio_ring_stats_read(ring, &stats), 0);
	return stats.sleeps;
}

static void wait_for_sleep(uint64_t before)
{
	while (sleeps() == before)
		usleep(100);
	usleep(2000); /* from the count to the kernel's queue */
}

/*
 * W4 by a swap: a second mover sees the same announcement while the first one is
 * between W2 and W3, and answers it. Counted twice, it would hide the next one.
 */
static void answer_one_twice(void)
{
	uint64_t sum = 0, before;
	pthread_t thread;

	open_rings(4);
	ck_assert_int_eq(pthread_create(&thread, NULL, get_until_zero, &sum),
			 0);
	wait_for_sleep(0);
	before = sleeps();
	wanted = "ring.wake.W2";
	wakes_left = 1;
	tpi_testpoint_hook = put_there;
	ck_assert_int_eq(tapio_ring_try_put(ring, 1), 0);
	tpi_testpoint_hook = NULL;
	ck_assert_int_eq(wakes_left, 0);
	while (tpi_load_acquire(&sum) != 43)
		usleep(100);
	wait_for_sleep(before);
	ck_assert_int_eq(tapio_ring_try_put(ring, 0), 0);
	pthread_join(thread, NULL);
	close_rings();
}

START_TEST(two_movers_answer_one_announcement_once)
{
	for (int i = 0; i < 40; i++)
		answer_one_twice();
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("ring_wake");

	tcase_set_timeout(tcase, SECONDS);
	tcase_add_test(tcase, a_put_between_the_steps_of_a_wait_ends_it);
	tcase_add_test(tcase, two_movers_answer_one_announcement_once);
	tcase_add_test(
		tcase,
		a_put_at_the_moment_of_the_announcement_wakes_the_sleeper);
	tcase_add_test(
		tcase,
		a_get_at_the_moment_of_the_announcement_wakes_the_producer);
	tcase_add_test(tcase, a_burst_ends_a_sleep_for_each_value);
	return check_run_case("ring_wake", tcase);
}
