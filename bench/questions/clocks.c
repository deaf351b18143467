/* SPDX-License-Identifier: Apache-2.0 */
/* See clocks.h. */
#include "bench/questions/clocks.h"

#include <math.h>

#include "bench/frame/bench.h"
#include "lib/base/atomic.h"
#include "lib/base/tsc.h"

#define CALIBRATION_NS 20000000
#define ROUNDS         20000

double clocks_ticks_per_ns(void)
{
	static double ticks_per_ns;
	uint64_t ns, ticks;

	if (ticks_per_ns > 0)
		return ticks_per_ns;
	ns = bench_now_ns();
	ticks = tpi_tsc();
	while (bench_now_ns() - ns < CALIBRATION_NS)
		;
	ticks = tpi_tsc() - ticks;
	ns = bench_now_ns() - ns;
	ticks_per_ns = (double)ticks / (double)ns;
	return ticks_per_ns;
}

/* A ball that is thrown to and fro, and the clock of the last thrower. */
struct ball {
	uint32_t throws;
	uint32_t reserved;
	uint64_t ticks;
};

static uint64_t await(struct ball *ball, uint32_t throws)
{
	/* ORDER bench.ball (acquire): its ticks. Pairs with the release in
	 * throw_back(). */
	while (tpi_load_acquire(&ball->throws) != throws)
		;
	return ball->ticks;
}

static uint64_t throw_back(struct ball *ball, uint32_t throws)
{
	const uint64_t ticks = tpi_tsc();

	ball->ticks = ticks;
	/* ORDER bench.ball (release): its ticks. Pairs with the acquire in
	 * await(). */
	tpi_store_release(&ball->throws, throws);
	return ticks;
}

static double least(double value, uint64_t from, uint64_t to)
{
	const double ticks = (double)(int64_t)(to - from);

	return ticks < value ? ticks : value;
}

/*
 * value[0], value[1]: the least ticks from a throw here to one there, and from
 * there to here. How far the clocks are apart is in both, with opposite signs.
 */
static int first(void *arg, struct bench_shared *shared, unsigned int index)
{
	double there = INFINITY, here = INFINITY;
	struct ball *ball = arg;
	uint64_t last, theirs;

	bench_ready(shared);
	last = throw_back(ball, 1);
	for (uint32_t i = 1; i < ROUNDS; i++) {
		theirs = await(ball, 2 * i);
		there = least(there, last, theirs);
		last = throw_back(ball, 2 * i + 1);
		here = least(here, theirs, last);
	}
	shared->side[index].value[0] = there;
	shared->side[index].value[1] = here;
	return 0;
}

static int second(void *arg, struct bench_shared *shared, unsigned int index)
{
	struct ball *ball = arg;

	(void)index;
	bench_ready(shared);
	for (uint32_t i = 1; i < ROUNDS; i++) {
		await(ball, 2 * i - 1);
		throw_back(ball, 2 * i);
	}
	return 0;
}

int clocks_ahead(int cpu, int other, double *ticks)
{
	struct ball *ball = bench_memory(sizeof(*ball));
	const struct bench_side sides[] = {{cpu, first, ball},
					   {other, second, ball}};
	struct bench_shared shared;
	int err;

	if (!ball)
		return -1;
	err = bench_sides_run(sides, 2, &shared);
	bench_memory_free(ball, sizeof(*ball));
	*ticks = (shared.side[0].value[0] - shared.side[0].value[1]) / 2;
	return err;
}
