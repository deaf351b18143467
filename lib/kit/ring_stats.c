/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: statistics.
 *
 * Puts, gets and the number of values are the ends' true positions, found from
 * the hints and the cells: nothing is counted on the fast path, and no kill can
 * make them wrong. Only what leaves no trace in a cell (refusals, retries,
 * sleeps) is counted, by the one it happened to, in a line that its CPU shares
 * with few others. Everything here works in memory that can only be read, except
 * tpi_ring_count().
 */
#include <errno.h>
#include <string.h>

#include "lib/kit/ring.h"

void tpi_ring_count(const struct tapio_ring *ring, enum tpi_ring_count which,
		    uint64_t n)
{
	tpi_stripes_add(&ring->shm->counts, which, n);
}

static uint64_t sum(const struct tapio_ring *ring, enum tpi_ring_count which)
{
	return tpi_stripes_sum(&ring->shm->counts, which);
}

/* Head before tail, so that the difference is never negative. */
static uint32_t between(const struct tapio_ring *ring, uint64_t head,
			uint64_t tail)
{
	uint64_t size = tail - head;

	if ((int64_t)size < 0)
		return 0;
	return (uint32_t)(size > ring->mask + 1 ? ring->mask + 1 : size);
}

uint32_t tapio_ring_size(const struct tapio_ring *ring)
{
	uint64_t head = tpi_ring_head(ring);

	return between(ring, head, tpi_ring_tail(ring));
}

uint32_t tapio_ring_capacity(const struct tapio_ring *ring)
{
	return (uint32_t)(ring->mask + 1);
}

uint32_t tapio_ring_high_water(const struct tapio_ring *ring)
{
	/* Relaxed: a number for people. */
	uint64_t peak = tpi_load_relaxed(&ring->shm->tail.peak);

	return between(ring, 0, peak);
}

int tapio_ring_stats_read(const struct tapio_ring *ring,
			  struct tapio_ring_stats *stats)
{
	struct tapio_ring_stats all = {0};
	size_t size = stats->size;

	if (size < 16)
		return -EINVAL;
	all.gets = tpi_ring_head(ring);
	all.puts = tpi_ring_tail(ring);
	all.refused_full = sum(ring, TPI_RING_REFUSED_FULL);
	all.refused_empty = sum(ring, TPI_RING_REFUSED_EMPTY);
	all.timed_out_full = sum(ring, TPI_RING_TIMED_OUT_FULL);
	all.timed_out_empty = sum(ring, TPI_RING_TIMED_OUT_EMPTY);
	all.put_retries = sum(ring, TPI_RING_PUT_RETRIES);
	all.get_retries = sum(ring, TPI_RING_GET_RETRIES);
	all.sleeps = sum(ring, TPI_RING_SLEEPS);
	all.wakes = sum(ring, TPI_RING_WAKES);
	all.count = between(ring, all.gets, all.puts);
	all.high_water = tapio_ring_high_water(ring);
	all.capacity = tapio_ring_capacity(ring);
	all.size = size < sizeof(all) ? size : sizeof(all);
	memcpy(stats, &all, all.size);
	return 0;
}
