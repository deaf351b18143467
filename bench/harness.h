/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmarks share: options, two pinned processes with one start and
 * one end, medians, and the report.
 *
 * A shared machine is noisy and its cores are not always the same distance
 * apart. So nothing here is meant to be compared across runs: what is compared
 * is measured in turns within one run, figures are medians of the turns, the
 * ratios are taken turn by turn, and a ping-pong of one cache line before and
 * after says what kind of moment it was.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_REPEATS_MAX 101
#define BENCH_ROWS_MAX    16

struct bench_options {
	const char *name;
	unsigned int repeats;
	uint64_t events; /* per measurement */
	int cpu[2];
	bool json;
};

/* Reads the command line; exits on --help and on what it does not know. */
void bench_options_parse(struct bench_options *options, int argc, char **argv,
			 const char *about);

uint64_t bench_now_ns(void);
void bench_pin(int cpu);
double bench_median(const double *values, unsigned int count);

/* What the processes of one measurement share. */
struct bench_pair {
	uint64_t start_ns; /* by the first side, when all were ready */
	uint64_t end_ns;   /* by the last side, when it was done */
	uint32_t sides;    /* 1 or 2 */
	uint32_t ready;    /* calls of bench_ready so far */
};

/* Waits until every side has come here (any number of times). */
void bench_ready(struct bench_pair *pair);

/* One side: 0, or what went wrong was printed. Runs in a process of its own. */
typedef int (*bench_side)(void *arg, struct bench_pair *pair);

/*
 * Runs both sides, each pinned to its CPU, and returns the nanoseconds from the
 * first one's start to the last one's end; negative when a side failed. Without
 * a second one, the first stamps both.
 */
double bench_pair_run(const struct bench_options *options, bench_side first,
		      bench_side second, void *arg);

/* Nanoseconds that a cache line takes from one CPU to the other, one way. */
double bench_pingpong(const struct bench_options *options);

/* One line of the report: what an event costs, turn by turn. */
struct bench_row {
	const char *name;
	double ns[BENCH_REPEATS_MAX];
	bool has_floor; /* it is compared with a floor of the same turn */
	double floor_ns[BENCH_REPEATS_MAX];
};

struct bench_report {
	struct bench_row rows[BENCH_ROWS_MAX];
	unsigned int row_count;
	double pingpong_ns[2]; /* before and after */
	uint64_t bytes;        /* of the memory measured in */
	uint64_t huge_bytes;   /* of it, on huge pages */
};

struct bench_row *bench_row(struct bench_report *report, const char *name);

/* Prints the report: a table, or with --json one object. */
void bench_print(const struct bench_options *options,
		 const struct bench_report *report);

#endif
