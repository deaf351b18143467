/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of the machine around a question. On a shared machine two virtual
 * CPUs may be as far apart as they like, and either may be somebody else's for
 * a while. So before and after each question two things are measured that every
 * figure depends on: how long a cache line takes from one CPU to the other, and
 * how long plain stores to a cache take.
 */
#include <math.h>

#include "bench/frame/frame.h"
#include "lib/base/atomic.h"

#define TURNS        5
#define ROUNDS       20000
#define STORES       1000000
#define QUICK_SHARE  50 /* a fiftieth of all that, with --quick */
#define CACHED_BYTES 16384

struct state_run {
	uint32_t *ball;
	uint32_t rounds;
	uint64_t stores;
};

static int ping(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct state_run *run = arg;

	bench_ready(shared);
	shared->side[index].start_ns = bench_now_ns();
	for (uint32_t i = 0; i < run->rounds; i++) {
		/* Relaxed: the ball itself is all there is. */
		tpi_store_relaxed(run->ball, 2 * i + 1);
		while (tpi_load_relaxed(run->ball) != 2 * i + 2)
			;
	}
	shared->side[index].end_ns = bench_now_ns();
	return 0;
}

static int pong(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct state_run *run = arg;

	(void)index;
	bench_ready(shared);
	for (uint32_t i = 0; i < run->rounds; i++) {
		while (tpi_load_relaxed(run->ball) != 2 * i + 1)
			;
		tpi_store_relaxed(run->ball, 2 * i + 2);
	}
	return 0;
}

static int store(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct state_run *run = arg;
	static uint64_t cached[CACHED_BYTES / 8];

	for (int lap = 0; lap < 2; lap++) {
		shared->side[index].start_ns = bench_now_ns();
		for (uint64_t i = 0; i < run->stores; i++) {
			uint64_t *line = &cached[i * 8 % (CACHED_BYTES / 8)];

			for (int j = 0; j < 8; j++)
				/* Relaxed: these values are never read. */
				tpi_store_relaxed(&line[j], i);
		}
		shared->side[index].end_ns = bench_now_ns();
	}
	return 0;
}

void bench_machine_state_take(struct bench_machine_state *moment,
			      const int cpus[2], bool quick)
{
	struct state_run run = {
		.ball = bench_memory(sizeof(*run.ball)),
		.rounds = quick ? ROUNDS / QUICK_SHARE : ROUNDS,
		.stores = quick ? STORES / QUICK_SHARE : STORES,
	};
	const struct bench_side players[] = {{cpus[0], ping, &run},
					     {cpus[1], pong, &run}};
	const struct bench_side storer = {cpus[0], store, &run};
	double line_ns[TURNS], store_ns[TURNS];
	struct bench_shared shared;

	moment->line_ns = moment->store_ns = NAN;
	if (!run.ball)
		return;
	for (unsigned int i = 0; i < TURNS; i++) {
		*run.ball = 0;
		if (bench_sides_run(players, 2, &shared))
			goto out;
		line_ns[i] = bench_span_ns(&shared) / 2 / run.rounds;
		if (bench_sides_run(&storer, 1, &shared))
			goto out;
		store_ns[i] = bench_span_ns(&shared) / (double)run.stores;
	}
	moment->line_ns = bench_median(line_ns, TURNS);
	moment->store_ns = bench_median(store_ns, TURNS);
out:
	bench_memory_free(run.ball, sizeof(*run.ball));
}
