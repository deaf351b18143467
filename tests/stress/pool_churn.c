/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool under many hands: threads and processes that get on one CPU and put
 * on another, pass objects on, and are killed. An object MUST have one owner at
 * a time (each writes its mark all over it and finds it unspoilt), a new one is
 * all zero, and in the end each object is free exactly once.
 *
 * TAPIO_LONG=1: 100 million operations instead of some million.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/pool_fixture.h"
#include "tests/check_main.h"

#define WORDS   12
#define HANDS   24 /* objects that one worker keeps */
#define TABLE   8  /* where objects are passed on */
#define WORKERS 4

static const struct {
	uint32_t count, cache, flags;
} cases[] = {
	{1000, 64, 0},
	{1000, 8, TAPIO_POOL_EXACT},
	{64, 2, 0}, /* always nearly empty */
	{80, 1, TAPIO_POOL_EXACT},
	{70, 0, TAPIO_POOL_SHARED},
	{4096, 64, 0},
};
#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

/* In shared memory, for processes. Each entry is name:32 | index + 1:32. */
struct board {
	uint64_t table[TABLE];
	uint64_t operations;
	uint32_t spoilt;
	uint32_t dirty;
	uint32_t refused;
};

struct worker {
	struct tapio_pool *pool;
	struct board *board;
	uint64_t operations;
	uint64_t mark;
	uint64_t random;
	uint64_t *hands[HANDS];
	uint32_t count;
};

static uint32_t draw(struct worker *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 32) % below;
}

static void write_mark(const struct worker *w, uint64_t *object)
{
	int i;

	for (i = 0; i < WORDS; i++)
		object[i] = w->mark;
}

static bool is_all(const uint64_t *object, uint64_t value)
{
	int i;

	for (i = 0; i < WORDS; i++)
		if (object[i] != value)
			return false;
	return true;
}

static void take(struct worker *w, uint64_t *object)
{
	write_mark(w, object);
	w->hands[w->count++] = object;
}

static uint64_t *drop(struct worker *w)
{
	uint32_t i = draw(w, w->count);
	uint64_t *object = w->hands[i];

	w->hands[i] = w->hands[--w->count];
	if (!is_all(object, w->mark))
		tpi_add_relaxed(&w->board->spoilt, 1);
	return object;
}

static void work_get(struct worker *w)
{
	void *object;

	if (w->count == HANDS || tapio_pool_get(w->pool, &object))
		return;
	if (!is_all(object, 0))
		tpi_add_relaxed(&w->board->dirty, 1);
	take(w, object);
}

static void work_put(struct worker *w)
{
	if (w->count && tapio_pool_put(w->pool, drop(w)))
		tpi_add_relaxed(&w->board->refused, 1);
}

/* Lays one object on the table, and takes what lay there. */
static void work_swap(struct worker *w)
{
	uint64_t *place = &w->board->table[draw(w, TABLE)];
	uint64_t mine = 0, theirs;
	uint64_t *object;

	if (w->count)
		mine = (uint64_t)tapio_pool_owner(w->pool) << 32 |
		       (uint64_t)(tapio_pool_index(w->pool, drop(w)) + 1);
	/* ORDER test.table (acq_rel): contents. Pairs with itself. */
	theirs = tpi_swap_acq_rel(place, mine);
	if (!theirs)
		return;
	object = tapio_pool_object(w->pool, (uint32_t)theirs - 1);
	/* It fails when the giver was killed and reclaimed. */
	if (!tapio_pool_adopt(w->pool, object, (uint32_t)(theirs >> 32)))
		take(w, object);
}

static void move_elsewhere(struct worker *w)
{
	cpu_set_t set;

	sched_getaffinity(0, sizeof(set), &set);
	if (draw(w, 2))
		sched_yield();
	else
		CPU_ZERO(&set);
	CPU_SET(draw(w, (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *work(void *argument)
{
	struct worker *w = argument;
	uint64_t i;
	uint32_t what;

	for (i = 0; i < w->operations; i++) {
		what = draw(w, 1000);
		if (what < 450)
			work_get(w);
		else if (what < 900)
			work_put(w);
		else if (what < 999)
			work_swap(w);
		else
			move_elsewhere(w);
	}
	while (w->count)
		work_put(w);
	return NULL;
}

static uint64_t operations(uint64_t usual)
{
	uint64_t n = CHECK_SANITIZED ? usual / 8 : usual;

	return getenv("TAPIO_LONG") ? UINT64_C(100000000) / CASES : n;
}

static struct shared_pool new_pool(int i, struct board **board)
{
	struct tapio_pool_options options =
		pool_options(WORDS * sizeof(uint64_t), cases[i].count);

	options.cache = cases[i].cache;
	options.flags = cases[i].flags;
	*board = mmap(NULL, sizeof(**board), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(*board, MAP_FAILED);
	return pool_shared(&options);
}

static void nothing_went_wrong(const struct board *board)
{
	ck_assert_uint_eq(board->spoilt, 0);
	ck_assert_uint_eq(board->dirty, 0);
	ck_assert_uint_eq(board->refused, 0);
}

/* Puts what was left on the table by its owner. */
static void clear_table(struct tapio_pool *pool, struct board *board)
{
	uint64_t entry;
	int i;

	for (i = 0; i < TABLE; i++) {
		entry = board->table[i];
		board->table[i] = 0;
		if (entry)
			ck_assert_int_eq(
				tapio_pool_put(
					pool,
					tapio_pool_object(pool,
							  (uint32_t)entry - 1)),
				0);
	}
}

START_TEST(threads_share_objects_and_none_is_lost_or_doubled)
{
	struct worker workers[WORKERS];
	pthread_t threads[WORKERS];
	struct board *board;
	struct shared_pool s = new_pool(_i, &board);
	int i;

	memset(workers, 0, sizeof(workers));
	for (i = 0; i < WORKERS; i++) {
		workers[i].pool = s.pool;
		workers[i].board = board;
		workers[i].operations = operations(600000) / WORKERS;
		workers[i].mark = UINT64_C(0x1234567800000000) + (uint64_t)i;
		workers[i].random = UINT64_C(88172645463325252) + (uint64_t)i;
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, work, &workers[i]),
			0);
	}
	for (i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	clear_table(s.pool, board);
	nothing_went_wrong(board);
	pool_audit(s.pool, 0);
	pool_shared_end(&s);
	munmap(board, sizeof(*board));
}
END_TEST

/* A child: attaches under `name`, works, and ends without cleaning up. */
static pid_t start(const struct shared_pool *s, struct board *board,
		   uint32_t name, uint64_t count)
{
	struct tapio_pool_options options = {.size = sizeof(options)};
	struct worker w = {.board = board, .operations = count};
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	options.owner = name;
	if (tapio_pool_attach(&w.pool, s->memory, s->bytes, &options))
		_exit(2);
	w.mark = name * UINT64_C(0x9e3779b97f4a7c15);
	w.random = w.mark;
	work(&w);
	_exit(0);
}

static void nap(uint32_t us)
{
	struct timespec t = {.tv_nsec = (long)us * 1000};

	nanosleep(&t, NULL);
}

START_TEST(processes_are_killed_and_what_they_held_comes_back)
{
	uint64_t kills = getenv("TAPIO_LONG") ? 2000 : 60;
	struct worker dice = {.random = 4242};
	uint32_t names[WORKERS], next = 1000;
	pid_t pids[WORKERS];
	struct board *board;
	struct shared_pool s = new_pool(_i, &board);
	int i, status;

	for (i = 0; i < WORKERS; i++) {
		names[i] = next++;
		pids[i] = start(&s, board, names[i], UINT64_MAX);
	}
	while (kills--) {
		nap(200 + draw(&dice, 4000));
		i = (int)draw(&dice, WORKERS);
		kill(pids[i], SIGKILL);
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert(WIFSIGNALED(status));
		ck_assert_int_ge(tapio_pool_reclaim(s.pool, names[i]), 0);
		names[i] = next++;
		pids[i] = start(&s, board, names[i], UINT64_MAX);
	}
	for (i = 0; i < WORKERS; i++) {
		kill(pids[i], SIGKILL);
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
	}
	for (i = 0; i < WORKERS; i++)
		ck_assert_int_ge(tapio_pool_reclaim(s.pool, names[i]), 0);
	nothing_went_wrong(board);
	pool_audit(s.pool, 0);
	pool_shared_end(&s);
	munmap(board, sizeof(*board));
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("pool_churn");

	if (getenv("TAPIO_LONG"))
		tcase_set_timeout(tcase, 1000);
	tcase_add_loop_test(tcase,
			    threads_share_objects_and_none_is_lost_or_doubled,
			    0, CASES);
	tcase_add_loop_test(tcase,
			    processes_are_killed_and_what_they_held_comes_back,
			    0, CASES);
	return check_run_case("pool_churn", tcase);
}
