/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log-linear histogram of nanoseconds with three significant digits.
 *
 * Buckets are 1 ns wide below 1024 and 1/1024 of their power of two above, so
 * a value read back is at most 0.1 % too large. One writer, plain memory that may
 * be shared: a writer that is killed loses nothing but the value it was adding.
 */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS    10u /* 2^10 buckets per power of two */
#define HISTOGRAM_POWERS  30u /* up to 2^40 ns, 18 minutes. Then the last */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_POWERS + 1) << HISTOGRAM_BITS)

struct load_histogram {
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned int histogram_bucket(uint64_t value)
{
	unsigned int power;

	if (value >> HISTOGRAM_BITS == 0)
		return (unsigned int)value;
	power = 63u - (unsigned int)__builtin_clzll(value) - HISTOGRAM_BITS;
	if (power >= HISTOGRAM_POWERS)
		return HISTOGRAM_BUCKETS - 1;
	/* value >> power has its top bit at HISTOGRAM_BITS. */
	return (power << HISTOGRAM_BITS) + (unsigned int)(value >> power);
}

static inline void histogram_add(struct load_histogram *h, uint64_t value)
{
	h->buckets[histogram_bucket(value)]++;
	if (value > h->max)
		h->max = value;
}

/* The largest value that lands in a bucket. */
uint64_t histogram_value(unsigned int bucket);

/* Adds `from` to `to`. */
void histogram_merge(struct load_histogram *to,
		     const struct load_histogram *from);

uint64_t histogram_count(const struct load_histogram *h);

/*
 * The smallest value that at least a fraction of all are not larger than, never
 * above max. 0 for an empty histogram.
 */
uint64_t histogram_quantile(const struct load_histogram *h, double fraction);

#endif
