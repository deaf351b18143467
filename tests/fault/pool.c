/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool: a process is killed, or stopped, at each point of a get, a put and
 * a reclaim that another can observe (the table at the head of lib/kit/pool.c). The
 * others go on at once, and one reclaim makes every object free exactly once.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/pool_fixture.h"
#include "lib/base/testpoint.h"
#include "tests/check_main.h"

#define COUNT 400
#define CACHE 16
#define CHILD 7001 /* its name */
#define OTHER 7002 /* the name of one who died before it */

static const struct {
	const char *name;
	uint32_t flags;
	bool lists; /* only reached with lists of CPUs */
} points[] = {
	{"pool.get.G3", 0, true},
	{"pool.get.G4", 0, false},
	{"pool.put.P1", TAPIO_POOL_EXACT, false},
	{"pool.put.P1", TAPIO_POOL_DIRTY, false},
	{"pool.put.P1", TAPIO_POOL_DIRTY | TAPIO_POOL_UNCHECKED, false},
	{"pool.put.P1", 0, false},
	{"pool.put.cleaned", TAPIO_POOL_EXACT, false},
	{"pool.put.cleaned", 0, false},
	{"pool.put.P3", TAPIO_POOL_EXACT, true},
	{"pool.put.P3", TAPIO_POOL_DIRTY | TAPIO_POOL_UNCHECKED, true},
	{"pool.put.P3", 0, true},
	{"pool.spill.G3", 0, true},
	{"pool.spill.D1", 0, true},
	{"pool.refill.P3", 0, true},
	{"pool.batch.G3", 0, true},
	{"pool.batch.G4", 0, true},
	{"pool.batch.P1", TAPIO_POOL_EXACT, false},
	{"pool.batch.P1", 0, false},
	{"pool.batch.cleaned", TAPIO_POOL_EXACT, false},
	{"pool.batch.cleaned", 0, false},
	{"pool.batch.P3", TAPIO_POOL_EXACT, true},
	{"pool.batch.P3", TAPIO_POOL_DIRTY | TAPIO_POOL_UNCHECKED, true},
	{"pool.batch.P3", TAPIO_POOL_DIRTY, true},
	{"pool.batch.D1", 0, false},
	{"pool.batch.D1", TAPIO_POOL_SHARED, false},
	{"pool.take.T1", 0, false},
	{"pool.take.T2", 0, false},
	{"pool.take.T1", TAPIO_POOL_SHARED, false},
	{"pool.take.T2", TAPIO_POOL_SHARED, false},
	{"pool.deposit.D2", 0, false},
	{"pool.giveback.D1", TAPIO_POOL_SHARED, false},
	{"pool.deposit.D2", TAPIO_POOL_SHARED, false},
	{"pool.reclaim.claimed", 0, false},
	{"pool.reclaim.cleaned", 0, false},
};
#define POINTS ((int)(sizeof(points) / sizeof(points[0])))

/* The first few times of each point, and some later ones. */
static const uint32_t hits[] = {1, 2, 7, 50};

static const char *wanted_point;
static uint32_t hits_left;
static int wanted_signal;

static void strike(const char *name)
{
	if (strcmp(name, wanted_point) || --hits_left)
		return;
	kill(getpid(), wanted_signal);
}

/* Everything that a process can do with a pool, over and over. */
static void child_main(const struct shared_pool *s)
{
	struct tapio_pool_options options = {.size = sizeof(options),
					     .owner = CHILD};
	void *objects[60];
	struct tapio_pool *pool;
	uint32_t round, i, n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (tapio_pool_attach(&pool, s->memory, s->bytes, &options))
		_exit(2);
	tpi_testpoint_hook = strike;
	for (round = 0; round < 30; round++) {
		/* The list has what a bystander put: one by one, and many. */
		if (tapio_pool_get(pool, &objects[0]) ||
		    tapio_pool_get_batch(pool, objects + 1, 14) != 14)
			_exit(5);
		for (i = 1; i < 4; i++)
			if (tapio_pool_get_batch(pool, objects + 15 * i, 15) !=
			    15)
				_exit(5);
		for (i = 0; i < 60; i++)
			memset(objects[i], 0xcc, 64);
		for (i = 0; i < 4; i++)
			if (tapio_pool_put_batch(pool, objects + 15 * i, 15) !=
			    15)
				_exit(6);
		for (n = 0; n < 60; n++)
			if (tapio_pool_get(pool, &objects[n]))
				_exit(3);
		for (i = 0; i < n; i++)
			memset(objects[i], 0xcc, 64);
		for (i = 0; i < n; i++)
			if (tapio_pool_put(pool, objects[i]))
				_exit(4);
		tapio_pool_reclaim(pool, OTHER);
	}
	_exit(0);
}

/* On one CPU, of whose list the child takes what others put there. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET((size_t)sched_getcpu(), &here);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(here), &here), 0);
}

static void set_up(struct shared_pool *s, int point)
{
	struct tapio_pool_options options = pool_options(64, COUNT);
	struct tapio_pool *other;
	void *object, *objects[CACHE / 2];
	int i;

	stay_here();
	options.cache = CACHE;
	options.flags = points[point].flags;
	*s = pool_shared(&options);
	options.owner = OTHER;
	ck_assert_int_eq(
		tapio_pool_attach(&other, s->memory, s->bytes, &options), 0);
	for (i = 0; i < 110; i++)
		ck_assert_int_eq(tapio_pool_get(other, &object), 0);
	tapio_pool_close(other);
	for (i = 0; i < CACHE / 2; i++)
		objects[i] = get_ok(s->pool);
	while (i)
		put_ok(s->pool, objects[--i]);
}

static pid_t start(const struct shared_pool *s, int point, uint32_t hit,
		   int number)
{
	pid_t pid;

	wanted_point = points[point].name;
	hits_left = hit;
	wanted_signal = number;
	pid = fork();
	if (!pid)
		child_main(s);
	ck_assert_int_gt(pid, 0);
	return pid;
}

/* The number of objects that a bystander can get, and puts back. It never has
 * to wait for anybody. */
static uint32_t reach(struct tapio_pool *pool)
{
	void *objects[COUNT + 1];
	uint32_t i, n = 0;

	while (!tapio_pool_get(pool, &objects[n]))
		n++;
	ck_assert_uint_le(n, COUNT);
	for (i = 0; i < n; i++)
		if (!(pool->flags & TAPIO_POOL_DIRTY) && *(char *)objects[i])
			ck_abort_msg("object %u was not zeroed", i);
	for (i = 0; i < n; i++)
		ck_assert_int_eq(tapio_pool_put(pool, objects[i]), 0);
	return n;
}

static void reclaim_and_audit(struct shared_pool *s)
{
	struct tapio_pool_stats stats;
	struct tapio_shm_pool *shm = s->memory;
	int64_t bits = 0;
	uint32_t i;

	ck_assert_int_ge(tapio_pool_reclaim(s->pool, CHILD), 0);
	ck_assert_int_ge(tapio_pool_reclaim(s->pool, OTHER), 0);
	pool_audit(s->pool, 0);
	stats = pool_stats(s->pool);
	ck_assert_uint_eq(stats.free, COUNT);
	for (i = 0; i < s->pool->group_count; i++)
		bits += __builtin_popcountll(s->pool->groups[i]);
	/* Point 4 of pool_depot.c: or a depot could be taken for empty. */
	ck_assert_int_ge(shm->depots[0].free, bits);
}

START_TEST(killed_anywhere_each_object_is_free_once_after_a_reclaim)
{
	struct shared_pool s;
	uint32_t h;
	int status;
	pid_t pid;

	for (h = 0; h < sizeof(hits) / sizeof(hits[0]); h++) {
		set_up(&s, _i);
		if (points[_i].lists && side_flavour()) {
			pool_shared_end(&s);
			return;
		}
		pid = start(&s, _i, hits[h], SIGKILL);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		/* Or the point was not reached, and nothing is shown. */
		ck_assert(WIFSIGNALED(status));
		ck_assert_int_eq(WTERMSIG(status), SIGKILL);
		reach(s.pool);
		reclaim_and_audit(&s);
		reach(s.pool);
		pool_audit(s.pool, 0);
		pool_shared_end(&s);
	}
}
END_TEST

/* Before the reclaim of the dead, nothing of his may be had by others. */
START_TEST(stopped_anywhere_it_holds_up_nobody_and_keeps_what_it_has)
{
	struct shared_pool s;
	uint32_t h, in_reach;
	int status;
	pid_t pid;

	for (h = 0; h < sizeof(hits) / sizeof(hits[0]); h++) {
		set_up(&s, _i);
		if (points[_i].lists && side_flavour()) {
			pool_shared_end(&s);
			return;
		}
		pid = start(&s, _i, hits[h], SIGSTOP);
		ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
		ck_assert(WIFSTOPPED(status));
		in_reach = reach(s.pool);
		/* The other's, the child's own, a batch in hands, two lists. */
		ck_assert_uint_ge(in_reach, COUNT - 110 - 60 - 64 - 2 * CACHE);
		/* Others that reclaim meanwhile take nothing from it. */
		ck_assert_int_ge(tapio_pool_reclaim(s.pool, OTHER), 0);
		reach(s.pool);
		kill(pid, SIGCONT);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFEXITED(status));
		ck_assert_int_eq(WEXITSTATUS(status), 0);
		reclaim_and_audit(&s);
		pool_shared_end(&s);
	}
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("pool");

	tcase_add_loop_test(
		tcase, killed_anywhere_each_object_is_free_once_after_a_reclaim,
		0, POINTS);
	tcase_add_loop_test(
		tcase,
		stopped_anywhere_it_holds_up_nobody_and_keeps_what_it_has, 0,
		POINTS);
	return check_run_case("pool", tcase);
}
