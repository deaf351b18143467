/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The most frequent values: Space-Saving (Metwally, Agrawal, El Abbadi: Efficient
 * computation of frequent and top-k elements in data streams, 2005), merged as in
 * Agarwal, Cormode, Huang, Phillips, Wei, Yi: Mergeable summaries, 2012.
 *
 * m counters. Of N values in all, each value has
 *
 *	count - error <= its true count <= count, error <= N / m
 *
 * and a value without a counter came at most N / m times. So each value that came more
 * often than N / m is there. With at most m distinct values all is exact. The same holds
 * after any merges, with N of all parts.
 */
#ifndef ANALYZE_HEAVY_H
#define ANALYZE_HEAVY_H

#include "tools/analyze/budget.h"

#define AN_COUNTERS_MAX     4096u
#define AN_COUNTERS_DEFAULT 256u
/* A value as field.h encodes it: its form, its length, its bytes. */
#define AN_VALUE_BYTES 65u

struct an_counter {
	uint64_t hash;
	uint64_t count;
	uint64_t error;
	uint16_t heap; /* its place there */
	uint16_t length;
	char bytes[AN_VALUE_BYTES + 3];
};

/* All zero: empty. */
struct an_heavy {
	uint64_t total; /* N */
	struct an_counter *counters;
	uint16_t *heap;  /* of counters, the smallest count first */
	uint16_t *slots; /* open addressing: counter + 1, or 0 */
	uint16_t used;
	uint16_t room;
};

/*
 * Counts a value `count` times, of which `error` may not have been. `max` counters at
 * most, the same in each call. False: no memory, and nothing was counted.
 */
bool an_heavy_add(struct an_heavy *h, struct an_budget *budget, uint32_t max,
		  uint64_t hash, const void *bytes, uint32_t length,
		  uint64_t count, uint64_t error);
bool an_heavy_merge(struct an_heavy *to, struct an_budget *budget, uint32_t max,
		    const struct an_heavy *from);

/* How often a value without a counter may have come. */
uint64_t an_heavy_floor(const struct an_heavy *h, uint32_t max);

/* The counter of a value, or NULL. */
const struct an_counter *an_heavy_find(const struct an_heavy *h, uint64_t hash,
				       const void *bytes, uint32_t length);

/* The first `count` counters by count, then by bytes. Fills `top`. How many. */
uint32_t an_heavy_top(const struct an_heavy *h, const struct an_counter **top,
		      uint32_t count);

void an_heavy_free(struct an_heavy *h, struct an_budget *budget);

#endif
