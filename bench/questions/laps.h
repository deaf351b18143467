/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Laps: a ring is filled while the clock stands still, and read while it runs. So
 * what is measured is reading alone, from a ring that is full.
 *
 *	side 0, on the first CPU    [fills] | reads, on the clock
 *	side 1, on the second CPU   [fills] |
 *
 * Either side may fill, or both. With only side 0 there is one process, and what it
 * reads lies in its own caches. The first two laps do not count.
 */
#ifndef BENCH_LAPS_H
#define BENCH_LAPS_H

#include "bench/questions/rig.h"

struct laps {
	const void *arg;
	uint64_t events; /* to be read on the clock, at least */
	uint32_t lap;    /* the events that a side fills in a lap */
	bool here;       /* side 0 fills */
	bool there;      /* side 1 does */
	/* Each 0, or negative. An end is what a side needs. `reads`: side 0. */
	int (*open)(const struct laps *laps, bool reads, void **end);
	int (*fill)(void *end, uint64_t from, uint32_t count);
	int (*read)(void *end, uint64_t count);
	/* And whether all that was filled was seen. `count` over all laps. */
	int (*close)(void *end, bool reads, uint64_t count);
};

/* Nanoseconds per event on the clock. 0, or negative. */
int laps_run(const struct bench_run *run, const struct laps *laps,
	     double *event_ns);

#endif
