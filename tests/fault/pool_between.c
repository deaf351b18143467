/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool, with other calls between any two steps of a call.
 *
 * At each testpoint of a get, a put or a reclaim further calls are made, as signal
 * handlers make them, and at the testpoints of those calls, too. Some are made on
 * another CPU, and some leave the thread there. So each look that a section or a
 * compare-and-swap has to check again is out of date in some call.
 *
 * The books: `owned` counts for each object the gets that succeeded, less the puts.
 * Between two outermost calls it is 0 or 1 for every object, and the pool's own
 * audit agrees. A push or a pop that commits to the list of a CPU that the thread
 * has left shows in that list's height, which no other thread changes.
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#include "tests/check_main.h"
#include "tests/unit/pool_fixture.h"
#include "lib/base/testpoint.h"

#define COUNT   96
#define CACHE   8
#define DEPTH   3
#define BATCH   3
#define ROUNDS  30
#define CALLS   300
#define DEAD    7002 /* the name of a handle that is gone */
#define DEAD_IN 24   /* objects that it held */

static uint64_t random_state = 88172645463325252u;
static struct tapio_pool *pool;
static int owned[COUNT];
static int64_t reclaimed;
static int cpus[2];
static int here; /* index in cpus */
static int depth;
static int budget; /* of calls inside of an outermost call */
static int taking; /* how many of the open calls are gets or reclaims */
static uint32_t putting[DEPTH + 1][BATCH]; /* the objects that are being put */
static uint64_t nested, moved, doubled;

static uint32_t draw(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % below;
}

/* A list whose CPU the thread has left does not change until it is back. */
struct left_behind {
	struct tapio_shm_pool_list *list;
	uint64_t height;
};

static struct left_behind behind;

static void check_left_behind(void)
{
	if (behind.list &&
	    tpi_load_relaxed(&behind.list->height) != behind.height)
		ck_abort_msg("a section changed the list of another CPU");
	behind.list = NULL;
}

static void go_to(int to)
{
	cpu_set_t set;

	check_left_behind();

	CPU_ZERO(&set);
	CPU_SET((size_t)cpus[to], &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		ck_abort_msg("CPU %d: %s", cpus[to], strerror(errno));
	here = to;
	moved++;
}

/* An object that is owned, or with some luck one that is not: a double put. */
static uint32_t pick(void)
{
	uint32_t at = draw(COUNT), i;

	if (depth > 1 && draw(2))
		return putting[depth - 2][draw(BATCH)];
	if (draw(8) == 0)
		return at;
	for (i = 0; i < COUNT && !owned[at]; i++)
		at = (at + 1) % COUNT;
	return at;
}

static void got(void *object)
{
	uint32_t index;

	index = (uint32_t)tpi_pool_index(pool, object);
	if (!(pool->flags & TAPIO_POOL_DIRTY) && *(uint64_t *)object)
		ck_abort_msg("object %u was not zeroed", index);
	*(uint64_t *)object = 1 + index;
	owned[index]++;
}

static void get(void)
{
	void *object;
	int err;

	taking++;
	err = tapio_pool_get(pool, &object);
	taking--;
	if (!err)
		got(object);
	else if (err != -EAGAIN)
		ck_abort_msg("get: %d", err);
}

static void get_batch(void)
{
	void *objects[BATCH];
	int i, n;

	taking++;
	n = tapio_pool_get_batch(pool, objects, 1 + draw(BATCH));
	taking--;
	for (i = 0; i < n; i++)
		got(objects[i]);
	if (n < 0 && n != -EAGAIN)
		ck_abort_msg("get of a batch: %d", n);
}

/* Owned, and no call is open that puts it: the books may be behind for those. */
static bool surely_owned(uint32_t index)
{
	int i, k;

	for (i = 0; i < depth - 1; i++)
		for (k = 0; k < BATCH; k++)
			if (putting[i][k] == index)
				return false;
	return owned[index] == 1;
}

/*
 * An object that an open get is about to return, or an open reclaim to free, has
 * the caller's name already: a put of it would not be a double one.
 */
static void put(uint32_t index)
{
	int err;

	if (taking && !surely_owned(index))
		return;
	err = tapio_pool_put(pool, tpi_pool_at(pool, index));
	if (!err)
		owned[index]--;
	else if (err == -EALREADY || err == -EINVAL)
		doubled++;
	else
		ck_abort_msg("put of %u: %d", index, err);
}

/* Some of them twice, or not ours. */
static void put_batch(void)
{
	uint32_t *index = putting[depth - 1];
	uint32_t i, n = 1 + draw(BATCH);
	void *objects[BATCH];
	int put;

	for (i = 0; i < n; i++) {
		index[i] = pick();
		if (taking && !surely_owned(index[i]))
			return;
		objects[i] = tpi_pool_at(pool, index[i]);
	}
	put = tapio_pool_put_batch(pool, objects, n);
	for (i = 0; (int)i < put; i++)
		owned[index[i]]--;
	if (put == -EALREADY || put == -EINVAL || (put > 0 && put < (int)n))
		doubled++;
	else if (put < 0)
		ck_abort_msg("put of a batch: %d", put);
}

static void call_something(void)
{
	uint32_t i, what = draw(24);

	depth++;
	for (i = 0; i < BATCH; i++)
		putting[depth - 1][i] = draw(COUNT);
	if (what < 7) {
		get();
	} else if (what < 15) {
		putting[depth - 1][0] = pick();
		put(putting[depth - 1][0]);
	} else if (what < 18) {
		get_batch();
	} else if (what < 22) {
		put_batch();
	} else {
		taking++;
		reclaimed += tapio_pool_reclaim(pool, DEAD);
		taking--;
	}
	depth--;
}

static void move_for_good(void)
{
	int from = here;

	if (!pool->fast_cpus || behind.list)
		return;
	go_to(!here);
	behind.list = tpi_pool_list(pool, (uint32_t)cpus[from]);
	behind.height = tpi_load_relaxed(&behind.list->height);
}

static void at_testpoint(const char *name)
{
	int from = here;

	(void)name;
	if (depth > DEPTH - 1 || behind.list)
		return;
	while (budget && draw(3) == 0) {
		budget--;
		nested++;
		if (draw(6) == 0) {
			go_to(!here);
			call_something();
			go_to(from);
		} else {
			call_something();
		}
	}
	if (draw(16) == 0)
		move_for_good();
}

/* A handle that is gone leaves objects: some in hands, some in this CPU's
 * list. */
static void leave_behind(const struct shared_pool *s)
{
	struct tapio_pool_options options = {.size = sizeof(options),
					     .owner = DEAD};
	void *objects[DEAD_IN + CACHE];
	struct tapio_pool *dead;
	uint32_t i;

	ck_assert_int_eq(
		tapio_pool_attach(&dead, s->memory, s->bytes, &options), 0);
	for (i = 0; i < DEAD_IN + CACHE; i++)
		ck_assert_int_eq(tapio_pool_get(dead, &objects[i]), 0);
	for (i = DEAD_IN; i < DEAD_IN + CACHE; i++)
		ck_assert_int_eq(tapio_pool_put(dead, objects[i]), 0);
	tapio_pool_close(dead);
}

static uint32_t check_books(void)
{
	uint32_t i, n = 0;

	for (i = 0; i < COUNT; i++) {
		if (owned[i] < 0 || owned[i] > 1)
			ck_abort_msg("object %u has %d owners", i, owned[i]);
		n += (uint32_t)owned[i];
	}
	return n;
}

static void one_round(uint32_t flags)
{
	struct tapio_pool_options options = pool_options(64, COUNT);
	struct shared_pool s;
	uint32_t i;

	options.cache = CACHE;
	options.flags = flags;
	memset(owned, 0, sizeof(owned));
	reclaimed = 0;
	go_to(0);
	s = pool_shared(&options);
	pool = s.pool;
	leave_behind(&s);
	tpi_testpoint_hook = at_testpoint;
	for (i = 0; i < CALLS; i++) {
		budget = 8;
		call_something();
		check_left_behind();
		check_books();
	}
	tpi_testpoint_hook = NULL;
	reclaimed += tapio_pool_reclaim(pool, DEAD);
	ck_assert_int_eq(reclaimed, DEAD_IN);
	pool_audit(pool, check_books());
	for (i = 0; i < COUNT; i++)
		while (owned[i])
			put(i);
	pool_audit(pool, 0);
	pool_shared_end(&s);
}

static void find_cpus(void)
{
	cpu_set_t set;
	int cpu, n = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	for (cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET((size_t)cpu, &set))
			cpus[n++] = cpu;
	if (n < 2)
		cpus[1] = cpus[0];
}

/* Without the swap of P1, P3 and D1 alone tell a double put. */
static const uint32_t flags[] = {
	TAPIO_POOL_EXACT,
	TAPIO_POOL_EXACT | TAPIO_POOL_SHARED,
	TAPIO_POOL_DIRTY,
	TAPIO_POOL_DIRTY | TAPIO_POOL_SHARED,
};

START_TEST(calls_between_the_steps_of_a_call_do_no_harm)
{
	int i;

	find_cpus();
	for (i = 0; i < ROUNDS; i++)
		one_round(flags[_i]);
	/* Or the interesting things did not happen. */
	ck_assert_uint_gt(nested, 1000);
	ck_assert_uint_gt(doubled, 100);
	ck_assert(moved > 1000 || cpus[0] == cpus[1]);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("pool_between");

	tcase_add_loop_test(tcase, calls_between_the_steps_of_a_call_do_no_harm,
			    0, (int)(sizeof(flags) / sizeof(flags[0])));
	return check_run_case("pool_between", tcase);
}
