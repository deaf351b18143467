/* SPDX-License-Identifier: Apache-2.0 */
/* Reading histograms. Adding to them is inline in histogram.h. */
#include "tools/load/histogram.h"

uint64_t histogram_value(unsigned int bucket)
{
	unsigned int power = bucket >> HISTOGRAM_BITS;
	uint64_t low;

	if (power <= 1)
		return bucket;
	power--;
	low = (uint64_t)(bucket - (power << HISTOGRAM_BITS)) << power;
	return low + (UINT64_C(1) << power) - 1;
}

void histogram_merge(struct load_histogram *to,
		     const struct load_histogram *from)
{
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
	if (from->max > to->max)
		to->max = from->max;
}

uint64_t histogram_count(const struct load_histogram *h)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += h->buckets[i];
	return count;
}

uint64_t histogram_quantile(const struct load_histogram *h, double fraction)
{
	uint64_t count = histogram_count(h), sum = 0, value;

	if (!count)
		return 0;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		sum += h->buckets[i];
		if ((double)sum < fraction * (double)count)
			continue;
		value = histogram_value(i);
		return value < h->max ? value : h->max;
	}
	return h->max;
}
