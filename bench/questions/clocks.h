/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor's clock (tpi_tsc), for questions where one side stamps events and
 * another one takes the time: in nanoseconds, and how far two CPUs' clocks are
 * apart. In virtual machines they are at times, by as much as an event takes.
 */
#ifndef BENCH_CLOCKS_H
#define BENCH_CLOCKS_H

/* Ticks in a nanosecond. Measured once. */
double clocks_ticks_per_ns(void);

/*
 * How far the clock of `other` is ahead of that of `cpu`, in ticks, to less than
 * half of what a cache line takes from one to the other. It changes: ask in each
 * turn. 0, or negative.
 */
int clocks_ahead(int cpu, int other, double *ticks);

#endif
