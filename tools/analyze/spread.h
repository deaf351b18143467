/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How values are spread: the buckets of lib/lane/histogram.h, of which only those are in
 * memory that hold something. 512 buckets for each power of two, so a quantile is within
 * 0.1 % of a value that was there. Values of 2^34 and more share the last bucket.
 *
 * Merging adds bucket by bucket, so a merge of parts equals one histogram of all.
 */
#ifndef ANALYZE_SPREAD_H
#define ANALYZE_SPREAD_H

#include <tapio/abi.h>

#include "tools/analyze/budget.h"

#define AN_CHUNK_BUCKETS 64u
#define AN_CHUNKS        (TAPIO_HISTOGRAM_BUCKETS / AN_CHUNK_BUCKETS)

struct an_chunk {
	uint64_t bucket[AN_CHUNK_BUCKETS];
};

/* All zero: empty. */
struct an_spread {
	uint64_t total;
	struct an_chunk *chunks;
	uint16_t *place; /* AN_CHUNKS, of a chunk + 1. 0: it has none */
	uint16_t used;
	uint16_t room;
};

/* False: no memory, and nothing was added. */
bool an_spread_add(struct an_spread *s, struct an_budget *budget,
		   uint32_t bucket, uint64_t count);
bool an_spread_merge(struct an_spread *to, struct an_budget *budget,
		     const struct an_spread *from);

/* How many values are in a bucket. */
uint64_t an_spread_bucket(const struct an_spread *s, uint32_t bucket);

/*
 * The smallest value that at least `fraction` of `total` values are not larger than, if
 * `below` of them are smaller than all that are here. As tpi_histogram_quantile().
 */
uint64_t an_spread_quantile(const struct an_spread *s, double fraction,
			    uint64_t below, uint64_t max);

void an_spread_free(struct an_spread *s, struct an_budget *budget);

#endif
