/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and clearing histograms. Adding to them is inline in histogram.h. */
#include "lib/lane/histogram.h"

uint64_t tpi_histogram_value(uint32_t bucket)
{
	uint32_t power = bucket >> TAPIO_HISTOGRAM_BITS;
	uint64_t low;

	if (power <= 1)
		return bucket;
	power--;
	low = (uint64_t)(bucket - (power << TAPIO_HISTOGRAM_BITS)) << power;
	return low + (UINT64_C(1) << power) / 2;
}

void tpi_histogram_halve(struct tapio_shm_histogram *h)
{
	uint32_t i, halvings;

	/* Relaxed: as in tpi_histogram_add(). */
	for (i = 0; i < TAPIO_HISTOGRAM_BUCKETS; i++)
		tpi_store_relaxed(&h->bucket[i],
				  tpi_load_relaxed(&h->bucket[i]) / 2);
	halvings = tpi_load_relaxed(&h->halvings);
	tpi_store_relaxed(&h->halvings, halvings + 1);
}

void tpi_histogram_clear(struct tapio_shm_histogram *h)
{
	uint32_t i;

	/* Relaxed: members of the group before may be writing still. */
	tpi_store_relaxed(&h->count, 0);
	tpi_store_relaxed(&h->sum_ns, 0);
	tpi_store_relaxed(&h->max_ns, 0);
	tpi_store_relaxed(&h->halvings, 0);
	for (i = 0; i < TAPIO_HISTOGRAM_BUCKETS; i++)
		tpi_store_relaxed(&h->bucket[i], 0);
}

void tpi_histogram_read(const struct tapio_shm_histogram *h,
			struct tpi_histogram *copy)
{
	uint64_t sum;
	uint32_t i;

	/* Relaxed: figures that move while we look. */
	copy->count = tpi_load_relaxed(&h->count);
	sum = tpi_load_relaxed(&h->sum_ns);
	copy->max_ns = tpi_load_relaxed(&h->max_ns);
	copy->mean_ns = copy->count ? sum / copy->count : 0;
	copy->total = 0;
	for (i = 0; i < TAPIO_HISTOGRAM_BUCKETS; i++) {
		copy->bucket[i] = tpi_load_relaxed(&h->bucket[i]);
		copy->total += copy->bucket[i];
	}
}

void tpi_histogram_merge(struct tpi_histogram *to,
			 const struct tpi_histogram *from)
{
	uint64_t count = to->count + from->count;
	uint32_t i;

	if (!from->count)
		return;
	to->mean_ns =
		(uint64_t)(((unsigned __int128)to->mean_ns * to->count +
			    (unsigned __int128)from->mean_ns * from->count) /
			   count);
	to->count = count;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
	for (i = 0; i < TAPIO_HISTOGRAM_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
	to->total += from->total;
}

uint64_t tpi_histogram_quantile(const struct tpi_histogram *copy,
				double fraction)
{
	uint64_t sum = 0, value = 0;
	uint32_t i;

	if (!copy->total)
		return 0;
	for (i = 0; i < TAPIO_HISTOGRAM_BUCKETS - 1; i++) {
		sum += copy->bucket[i];
		if ((double)sum >= fraction * (double)copy->total)
			break;
	}
	value = tpi_histogram_value(i);
	/* The last bucket has no upper end. */
	if (i == TAPIO_HISTOGRAM_BUCKETS - 1 || value > copy->max_ns)
		value = copy->max_ns;
	return value;
}
