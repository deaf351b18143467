/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How pools and allocators are measured: see pool_run.h. Called by the questions
 * pool.c and bytes.c, in the frame's process. The sides are processes, or in
 * `across`, for allocators that know one process only, threads.
 */
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "bench/questions/pool_run.h"

#define WARM 4096

/*
 * Shared by the sides of `across`. They sleep while it is not their turn, and
 * count their own processor time: two that spin for one another measure the
 * scheduler wherever others run, too.
 */
struct table {
	sem_t turn[2];
	bool failed; /* by the second of two threads. The semaphores order it */
	void *objects[POOL_PASSED];
};

struct job {
	const struct pool_ops *ops;
	struct pool_spec spec;
	void *pool;
	uint64_t count;
	struct table *table;
	int cpu; /* of the second side */
};

static int check(int err)
{
	if (err)
		bench_why("an object was not to be had, not taken back, or not "
			  "as it should be");
	return err;
}

static int open_side(const struct job *job, void **handle, unsigned int index)
{
	*handle = job->pool;
	return job->ops->open ? job->ops->open(handle, job->pool, index) : 0;
}

/* ---- one process --------------------------------------------------------------- */

static int run_loop(const struct job *job, struct bench_shared *shared,
		    int (*loop)(void *, const struct pool_spec *, uint64_t))
{
	struct bench_side_result *result = &shared->side[0];
	void *handle;
	int err = open_side(job, &handle, 0);

	if (err)
		return err;
	err = loop(handle, &job->spec, WARM);
	result->start_ns = bench_now_ns();
	if (!err)
		err = loop(handle, &job->spec, job->count);
	result->end_ns = bench_now_ns();
	return check(err);
}

static int side_pair(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct job *job = arg;

	(void)index;
	return run_loop(job, shared, job->ops->pair);
}

static int side_bulk(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct job *job = arg;

	(void)index;
	return run_loop(job, shared, job->ops->burst);
}

/* ---- across: two sides in turns -------------------------------------------------- */

static uint64_t thread_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* In the last round: that no two of them are the same one. */
static void mark(void *const *objects)
{
	for (uint64_t i = 0; i < POOL_PASSED; i++)
		*(uint64_t *)objects[i] = i;
}

static int check_marks(void *const *objects)
{
	for (uint64_t i = 0; i < POOL_PASSED; i++)
		if (*(uint64_t *)objects[i] != i)
			return -1;
	return 0;
}

/* The first round is not timed. */
static int take_turns(const struct job *job, struct bench_shared *shared,
		      unsigned int index)
{
	struct table *table = job->table;
	uint64_t rounds = job->count / POOL_PASSED + 1, start, spent = 0;
	int err = 0;
	void *handle;

	err = open_side(job, &handle, index);
	for (uint64_t round = 0; !err && round < rounds; round++) {
		while (sem_wait(&table->turn[index]))
			;
		if (table->failed)
			return -1;
		if (index && round == rounds - 1)
			err = check_marks(table->objects);
		start = thread_ns();
		if (!err)
			err = (index ? job->ops->give : job->ops->take)(
				handle, &job->spec, table->objects,
				POOL_PASSED);
		if (round)
			spent += thread_ns() - start;
		if (!err && !index && round == rounds - 1)
			mark(table->objects);
		if (!err)
			sem_post(&table->turn[!index]);
	}
	shared->side[index].cpu_ns = spent;
	return check(err);
}

static int side_turns(void *arg, struct bench_shared *shared,
		      unsigned int index)
{
	return take_turns(arg, shared, index);
}

struct second {
	const struct job *job;
	struct bench_shared *shared;
	int err;
};

static void *second_main(void *arg)
{
	struct second *second = arg;

	second->err = bench_pin(second->job->cpu);
	if (!second->err)
		second->err = take_turns(second->job, second->shared, 1);
	/* Only this ends the other's waiting. */
	if (second->err) {
		second->job->table->failed = true;
		sem_post(&second->job->table->turn[0]);
	}
	return NULL;
}

static int side_threads(void *arg, struct bench_shared *shared,
			unsigned int index)
{
	struct second second = {.job = arg, .shared = shared};
	pthread_t thread;
	int err;

	(void)index;
	if (pthread_create(&thread, NULL, second_main, &second)) {
		bench_why("no thread");
		return -1;
	}
	err = take_turns(arg, shared, 0);
	if (err) /* the other one may wait for ever: it ends with us */
		return err;
	pthread_join(thread, NULL);
	return second.err;
}

static int run_across(const struct bench_run *run, struct job *job,
		      struct bench_shared *shared)
{
	struct bench_side sides[] = {
		{run->cpus[0], side_turns, job},
		{run->cpu_count > 1 ? run->cpus[1] : -1, side_turns, job},
	};
	int err;

	if (run->cpu_count < 2) {
		bench_why("needs two CPUs");
		return BENCH_ABSENT;
	}
	job->cpu = run->cpus[1];
	job->table = bench_memory(sizeof(*job->table));
	if (!job->table)
		return -1;
	sem_init(&job->table->turn[0], 1, 1);
	sem_init(&job->table->turn[1], 1, 0);
	if (job->ops->threads)
		sides[0].run = side_threads;
	err = bench_sides_run(sides, job->ops->threads ? 1 : 2, shared);
	bench_memory_free(job->table, sizeof(*job->table));
	return err;
}

/* ---- running ----------------------------------------------------------------- */

static int run_job(const struct bench_run *run, struct job *job,
		   double *figures)
{
	struct bench_side side = {
		run->cpus[0],
		run->of->param == POOL_BULK ? side_bulk : side_pair,
		job,
	};
	double count = (double)job->count;
	struct bench_shared shared;
	int err;

	if (run->of->param != POOL_ACROSS) {
		err = bench_sides_run(&side, 1, &shared);
		figures[0] = bench_span_ns(&shared) / count;
		return err;
	}
	err = run_across(run, job, &shared);
	figures[1] = (double)shared.side[0].cpu_ns / count;
	figures[2] = (double)shared.side[1].cpu_ns / count;
	figures[0] = figures[1] + figures[2];
	return err;
}

int bench_pool_run(const struct bench_run *run,
		   const struct bench_subject *subject, bool zeroed,
		   double *figures)
{
	struct job job = {
		.ops = subject->arg,
		.spec = {.bytes = run->of->bytes, .zeroed = zeroed},
		.count = (run->events + POOL_PASSED - 1) / POOL_PASSED *
			 POOL_PASSED,
	};
	int err = 0;

	if (job.ops->make)
		err = job.ops->make(&job.pool, &job.spec);
	if (err)
		return err;
	err = run_job(run, &job, figures);
	if (job.ops->unmake)
		job.ops->unmake(job.pool);
	return err;
}
