/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-floor: what this machine allows at best, so that other figures have
 * something to stand beside.
 */
#include <stdio.h>

#include "bench/stream.h"

static const struct {
	const char *name;
	double (*run)(const struct bench_options *options,
		      struct floor_ring *ring, uint32_t bytes);
	uint32_t bytes;
} cases[] = {
	{"stream 64 B", floor_stream_run, 64},
	{"stream 256 B", floor_stream_run, 256},
	{"store 64 B", floor_store_run, 64},
	{"store 256 B", floor_store_run, 256},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

int main(int argc, char **argv)
{
	struct bench_options options = {
		.name = "floor",
		.repeats = 11,
		.events = 4000000,
	};
	static struct bench_report report;
	struct floor_ring *ring;

	bench_options_parse(&options, argc, argv,
			    "Plain stores into shared memory, from one process "
			    "to another (stream)\nand with nobody reading "
			    "(store).");
	ring = bench_memory(&report, sizeof(*ring) + BENCH_RING_BYTES);
	for (unsigned int i = 0; i < CASES; i++)
		bench_row(&report, cases[i].name);
	report.pingpong_ns[0] = bench_pingpong(&options);
	for (unsigned int turn = 0; turn < options.repeats; turn++) {
		for (unsigned int i = 0; i < CASES; i++) {
			double ns =
				cases[i].run(&options, ring, cases[i].bytes);

			if (ns < 0)
				return 1;
			report.rows[i].ns[turn] = ns;
		}
	}
	report.pingpong_ns[1] = bench_pingpong(&options);
	bench_print(&options, &report);
	return 0;
}
