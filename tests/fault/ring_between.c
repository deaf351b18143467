/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring, with others between any two steps of a call.
 *
 * First in one thread: at each testpoint of a call, further calls are made, as
 * signal handlers make them, and at the testpoints of these, too. A plain queue
 * beside the ring is changed at the testpoint where a swap has just been done. It
 * says what each get must return, and whether a refusal was true at some instant
 * of the call.
 *
 * Then in threads that are delayed at testpoints, with as many tokens as there
 * are players and places: no put and no get may ever be refused.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/ring.h>

#include "lib/base/rseq.h"
#include "lib/base/testpoint.h"
#include "tests/check_main.h"

static bool is_long(void)
{
	const char *value = getenv("TAPIO_LONG");

	return value && !strcmp(value, "1");
}

static __thread uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* ---- calls inside of calls --------------------------------------------------- */

#define DEPTH     4
#define BATCH     3
#define BATCH_MAX 24 /* in a ring that has logs */

/* One call that has begun and not returned. */
struct call {
	uint64_t values
		[BATCH_MAX]; /* put: the values. Get: those of the queue */
	int done;
	bool was_full;
	bool was_empty;
};

static struct tapio_ring *ring;
static uint32_t capacity;
static uint64_t queue[256];
static uint32_t count;
static uint64_t next_value;
static struct call calls[DEPTH];
static int depth;
static unsigned int batch;
static uint64_t nested, refused, chunks, parts;

/* A call in progress has now lived through this, too. */
static void note_edges(void)
{
	for (int i = 0; i < depth; i++) {
		calls[i].was_full |= count == capacity;
		calls[i].was_empty |= count == 0;
	}
}

static void queue_put(void)
{
	struct call *call = &calls[depth - 1];

	if (count >= capacity) /* not Check's: it writes a file each time */
		ck_abort_msg("a put took effect in a full ring");
	queue[count++] = call->values[call->done++];
	note_edges();
}

static void queue_get(void)
{
	struct call *call = &calls[depth - 1];

	if (count == 0)
		ck_abort_msg("a get took effect in an empty ring");
	call->values[call->done++] = queue[0];
	memmove(queue, queue + 1, --count * sizeof(queue[0]));
	note_edges();
}

static void call_something(void);

/* The ring's own count, with no call in between. */
static bool looking;

static uint32_t look(void)
{
	uint32_t size;

	looking = true;
	size = tapio_ring_size(ring);
	looking = false;
	return size;
}

static void at_testpoint(const char *name)
{
	/* A look for the head is in every other call: seldom is enough. */
	if (looking || (!strcmp(name, "ring.seek.parted") && next_random() % 4))
		return;
	if (!strcmp(name, "ring.put.P3"))
		queue_put();
	if (!strcmp(name, "ring.get.G3"))
		queue_get();
	/* One swap for many: the ring says for how many. */
	if (!strcmp(name, "ring.put.L3"))
		for (chunks++; count < look();)
			queue_put();
	if (!strcmp(name, "ring.get.K3") || !strcmp(name, "ring.get.K4"))
		parts++;
	if (!strncmp(name, "ring.get.K", 10))
		while (count > look())
			queue_get();
	while (depth < DEPTH && next_random() % 3 == 0) {
		nested++;
		call_something();
	}
}

static struct call *begin(void)
{
	struct call *call = &calls[depth++];

	memset(call, 0, sizeof(*call));
	note_edges();
	return call;
}

/* The call says `n`. The queue knows. */
static void check(const struct call *call, int n, int wanted, bool refusable)
{
	if (n == -EAGAIN || n == -ETIMEDOUT)
		n = 0;
	if (n != call->done || (n < wanted && !refusable)) {
		ck_assert_int_eq(n, call->done);
		ck_assert_int_eq(n, wanted);
	}
	refused += n < wanted;
}

static void call_put(void)
{
	int wanted = 1 + (int)(next_random() % batch);
	int64_t timeout_ns = next_random() % 16 ? 0 : 1;
	struct call *call = begin();
	int n;

	for (int i = 0; i < wanted; i++)
		call->values[i] = ++next_value;
	if (wanted == 1 && timeout_ns == 0) {
		n = tapio_ring_try_put(ring, call->values[0]);
		n = n == 0 ? 1 : n;
	} else {
		n = tapio_ring_put_batch(ring, call->values, (size_t)wanted,
					 timeout_ns);
	}
	check(call, n, wanted, call->was_full);
	depth--;
}

static void call_get(void)
{
	int wanted = 1 + (int)(next_random() % batch);
	int64_t timeout_ns = next_random() % 16 ? 0 : 1;
	struct call *call = begin();
	uint64_t values[BATCH_MAX];
	int n;

	if (wanted == 1 && timeout_ns == 0) {
		n = tapio_ring_try_get(ring, values);
		n = n == 0 ? 1 : n;
	} else {
		n = tapio_ring_get_batch(ring, values, (size_t)wanted,
					 timeout_ns);
	}
	check(call, n, wanted, call->was_empty);
	for (int i = 0; i < n; i++)
		if (values[i] != call->values[i])
			ck_assert_uint_eq(values[i], call->values[i]);
	depth--;
}

static void call_something(void)
{
	if (next_random() % 2)
		call_put();
	else
		call_get();
}

START_TEST(calls_between_the_steps_of_a_call_do_no_harm)
{
	struct tapio_ring_stats stats = {.size = sizeof(stats)};
	int turns = is_long() ? 5000000 : 50000;

	capacity = 1u << _i;
	batch = capacity < 64 ? BATCH : BATCH_MAX;
	ck_assert_int_eq(tapio_ring_create(&ring, capacity), 0);
	tpi_testpoint_hook = at_testpoint;
	for (int i = 0; i < turns; i++) {
		call_something();
		if (look() != count)
			ck_assert_uint_eq(look(), count);
	}
	tpi_testpoint_hook = NULL;
	ck_assert_uint_gt(nested, (uint64_t)turns / 10);
	ck_assert_uint_gt(refused, (uint64_t)turns / 100);
	ck_assert_int_eq(tapio_ring_stats_read(ring, &stats), 0);
	ck_assert_uint_eq(stats.high_water, capacity);
	ck_assert_uint_gt(stats.put_retries, 0);
	ck_assert_uint_gt(stats.get_retries, 0);
	ck_assert_uint_gt(stats.wakes, 0);
#ifndef __SANITIZE_THREAD__ /* which has no logs */
	if (capacity >= 64 && tpi_rseq_holds(tpi_rseq_selftest(NULL))) {
		ck_assert_uint_gt(chunks, 100);
		ck_assert_uint_gt(parts, 100);
	}
#endif
	ck_assert_uint_eq(stats.puts - stats.gets, count);
	tapio_ring_close(ring);
}
END_TEST

/* ---- delays ------------------------------------------------------------------ */

#define PLAYERS 4

static uint32_t not_true; /* refusals */

static void delay(const char *name)
{
	uint64_t random = next_random();

	(void)name;
	if (random % 8 == 0)
		sched_yield();
	if (random % 512 == 8)
		usleep((useconds_t)(random >> 32) % 300);
}

static void *play(void *argument)
{
	int turns = is_long() ? 1000000 : 20000;
	uint64_t token;

	random_state += (uintptr_t)argument;
	for (int i = 0; i < turns; i++)
		if (tapio_ring_try_get(ring, &token) ||
		    tapio_ring_try_put(ring, token)) {
			tpi_add_relaxed(&not_true, 1);
			break;
		}
	return NULL;
}

START_TEST(nothing_is_refused_however_late_the_others_are)
{
	pthread_t threads[PLAYERS];
	uint64_t token, sum = 0;

	ck_assert_int_eq(tapio_ring_create(&ring, PLAYERS), 0);
	for (uint64_t i = 0; i < PLAYERS; i++)
		ck_assert_int_eq(tapio_ring_try_put(ring, 1u << i), 0);
	tpi_testpoint_hook = delay;
	for (uintptr_t i = 0; i < PLAYERS; i++)
		pthread_create(&threads[i], NULL, play, (void *)i);
	for (int i = 0; i < PLAYERS; i++)
		pthread_join(threads[i], NULL);
	tpi_testpoint_hook = NULL;
	ck_assert_uint_eq(not_true, 0);
	while (tapio_ring_try_get(ring, &token) == 0)
		sum += token;
	ck_assert_uint_eq(sum, (1u << PLAYERS) - 1);
	tapio_ring_close(ring);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("between");

	tcase_set_timeout(tcase, is_long() ? 600 : 20);
	tcase_add_loop_test(tcase, calls_between_the_steps_of_a_call_do_no_harm,
			    0, 8);
	tcase_add_test(tcase, nothing_is_refused_however_late_the_others_are);
	return check_run_case("ring_between", tcase);
}
