/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The histogram of a group's latencies (abi.h says what it holds). Consumers add
 * to it (client/consumer/latency.h), tools read it, the broker clears it.
 *
 * Adding is a few relaxed loads and plain stores, no locked instruction:
 * members of a group that collide lose an addition, and no other process is
 * ever disturbed. SIGKILL between two of the stores leaves `count` and the
 * buckets apart by what was being added. So does a reader that looks meanwhile.
 * A reader takes its total from the buckets, so its quantiles are of what it
 * has read.
 */
#ifndef TPI_HISTOGRAM_H
#define TPI_HISTOGRAM_H

#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"

/* The most that a bucket holds before all are halved. */
#define TPI_HISTOGRAM_FULL UINT32_C(0x80000000)

static inline uint32_t tpi_histogram_bucket(uint64_t ns)
{
	uint32_t power;

	if (ns >> TAPIO_HISTOGRAM_BITS == 0)
		return (uint32_t)ns;
	power = 63u - (uint32_t)__builtin_clzll(ns) - TAPIO_HISTOGRAM_BITS;
	if (power >= TAPIO_HISTOGRAM_ROWS - 1)
		return TAPIO_HISTOGRAM_BUCKETS - 1;
	/* ns >> power has its top bit at TAPIO_HISTOGRAM_BITS. */
	return (power << TAPIO_HISTOGRAM_BITS) + (uint32_t)(ns >> power);
}

/* The value in the middle of a bucket. */
uint64_t tpi_histogram_value(uint32_t bucket);

/* Halves every bucket. */
void tpi_histogram_halve(struct tapio_shm_histogram *h);

/* `count` events took `ns` each. */
static inline void tpi_histogram_add(struct tapio_shm_histogram *h, uint64_t ns,
				     uint32_t count)
{
	uint32_t *bucket = &h->bucket[tpi_histogram_bucket(ns)];
	uint32_t now = tpi_load_relaxed(bucket) + count;

	/* Relaxed, all of it: see the head of this file. */
	tpi_store_relaxed(bucket, now);
	tpi_store_relaxed(&h->count, tpi_load_relaxed(&h->count) + count);
	tpi_store_relaxed(&h->sum_ns,
			  tpi_load_relaxed(&h->sum_ns) + ns * count);
	if (tpi_unlikely(ns > tpi_load_relaxed(&h->max_ns)))
		tpi_store_relaxed(&h->max_ns, ns);
	if (tpi_unlikely(now >= TPI_HISTOGRAM_FULL))
		tpi_histogram_halve(h);
}

void tpi_histogram_clear(struct tapio_shm_histogram *h);

/* A private copy, to compute from. */
struct tpi_histogram {
	uint64_t count;
	uint64_t total; /* in the buckets */
	uint64_t mean_ns;
	uint64_t max_ns;
	uint64_t bucket[TAPIO_HISTOGRAM_BUCKETS];
};
void tpi_histogram_read(const struct tapio_shm_histogram *h,
			struct tpi_histogram *copy);

/* Adds a copy to another. One that was halved weighs as little as its buckets. */
void tpi_histogram_merge(struct tpi_histogram *to,
			 const struct tpi_histogram *from);

/*
 * The smallest value that at least a fraction of all events are not larger than,
 * within 0.1 %, never above max_ns. 0 when there are none.
 */
uint64_t tpi_histogram_quantile(const struct tpi_histogram *copy,
				double fraction);

#endif
