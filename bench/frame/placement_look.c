/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at where the two CPUs are: a ping-pong so short that it can be had before
 * and after every measurement. It is timed in parts, and the part in the middle
 * counts: a side that was interrupted, or began late, spoils a few parts and not
 * the look, also beside other programs. See placement.c for what is made of it.
 */
#include <math.h>
#include <time.h>

#include "bench/frame/frame.h"
#include "lib/base/atomic.h"

#define PARTS       64
#define PARTS_QUICK 8
#define ROUNDS      32 /* of a part */
/* Asleep between two looks: a CPU that is idle is one that may be moved. */
#define NAP_NS 500000000

struct look {
	uint32_t *ball;
	uint32_t parts;
};

static int throw(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct look *look = arg;
	double part_ns[PARTS];
	uint32_t at = 0;

	bench_ready(shared);
	for (uint32_t i = 0; i < look->parts; i++) {
		const uint64_t begun_ns = bench_now_ns();

		for (uint32_t end = at + 2 * ROUNDS; at < end; at += 2) {
			/* Relaxed: the ball itself is all there is. */
			tpi_store_relaxed(look->ball, at + 1);
			while (tpi_load_relaxed(look->ball) != at + 2)
				;
		}
		part_ns[i] = (double)(bench_now_ns() - begun_ns);
	}
	shared->side[index].value[0] =
		bench_median(part_ns, look->parts) / (2 * ROUNDS);
	return 0;
}

static int throw_back(void *arg, struct bench_shared *shared,
		      unsigned int index)
{
	const struct look *look = arg;

	(void)index;
	bench_ready(shared);
	for (uint32_t at = 0; at < 2 * ROUNDS * look->parts; at += 2) {
		while (tpi_load_relaxed(look->ball) != at + 1)
			;
		tpi_store_relaxed(look->ball, at + 2);
	}
	return 0;
}

double bench_line_look(const int cpus[2], bool quick)
{
	struct look look = {
		.ball = bench_memory(sizeof(*look.ball)),
		.parts = quick ? PARTS_QUICK : PARTS,
	};
	const struct bench_side players[] = {{cpus[0], throw, &look},
					     {cpus[1], throw_back, &look}};
	struct bench_shared shared;
	double line_ns = NAN;

	if (look.ball && !bench_sides_run(players, 2, &shared))
		line_ns = shared.side[0].value[0];
	bench_memory_free(look.ball, sizeof(*look.ball));
	return line_ns;
}

double bench_line_nap(void)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	const uint64_t begun_ns = bench_now_ns();

	nanosleep(&nap, NULL); /* a signal ends it */
	return (double)(bench_now_ns() - begun_ns) / 1e9;
}
