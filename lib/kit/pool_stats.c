/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool: statistics.
 *
 * Nothing is counted by a get or put that finds its list neither empty nor full.
 * The numbers of objects come from the lists and the depots themselves. Only
 * what leaves no trace there is counted, in a line that a CPU shares with few
 * others.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/rseq.h"
#include "lib/kit/pool.h"

void tpi_pool_count(const struct tapio_pool *pool, enum tpi_pool_count which,
		    uint64_t n)
{
	tpi_stripes_add(&pool->shm->counts, which, n);
}

static uint64_t sum(const struct tapio_pool *pool, enum tpi_pool_count which)
{
	return tpi_stripes_sum(&pool->shm->counts, which);
}

/* Relaxed here and below: numbers for people. */
uint32_t tpi_pool_cached(const struct tapio_pool *pool)
{
	uint64_t total = 0;
	uint32_t cpu, count;

	for (cpu = 0; cpu < pool->cpus && pool->cache; cpu++) {
		count = (uint32_t)tpi_load_relaxed(
			&tpi_pool_list(pool, cpu)->height);
		total += count <= pool->cache ? count : pool->cache;
	}
	return (uint32_t)(total < pool->count ? total : pool->count);
}

uint64_t tpi_pool_in_depots(const struct tapio_pool *pool)
{
	uint64_t total = 0;
	uint32_t node;
	int64_t free;

	for (node = 0; node < pool->nodes; node++) {
		free = tpi_load_relaxed(&pool->shm->depots[node].free);
		total += free > 0 ? (uint64_t)free : 0;
	}
	return total < pool->count ? total : pool->count;
}

/* By the bits: a kill may leave `free` too high. */
static uint32_t deposited(const struct tapio_pool *pool)
{
	uint64_t total = 0;
	uint32_t i;

	for (i = 0; i < pool->group_count; i++)
		total += (uint64_t)__builtin_popcountll(
			tpi_load_relaxed(&pool->groups[i]));
	return (uint32_t)(total < pool->count ? total : pool->count);
}

int tapio_pool_stats_read(const struct tapio_pool *pool,
			  struct tapio_pool_stats *stats)
{
	struct tapio_pool_stats all = {0};
	size_t size = stats->size;

	if (size < 16)
		return -EINVAL;
	/* A good moment to try again: no signal handler is here. */
	if (pool->undecided) {
		tpi_rseq_selftest(NULL);
		tpi_pool_look_for_lists(pool);
	}
	all.allocated = pool->count;
	all.cached = tpi_pool_cached(pool);
	all.free = all.cached + deposited(pool);
	if (all.free > all.allocated)
		all.free = all.allocated;
	all.in_use = all.allocated - all.free;
	all.min_free = tpi_load_relaxed(&pool->shm->min_free);
	all.cache = pool->cache;
	all.refills = sum(pool, TPI_POOL_REFILLS);
	all.spills = sum(pool, TPI_POOL_SPILLS);
	all.exhausted = sum(pool, TPI_POOL_EXHAUSTED);
	all.double_puts = sum(pool, TPI_POOL_DOUBLE_PUTS);
	all.foreign_puts = sum(pool, TPI_POOL_FOREIGN_PUTS);
	all.stale_entries = sum(pool, TPI_POOL_STALE_ENTRIES);
	all.restarts = sum(pool, TPI_POOL_RESTARTS);
	all.reclaimed = sum(pool, TPI_POOL_RECLAIMED);
	all.size = size < sizeof(all) ? size : sizeof(all);
	memcpy(stats, &all, all.size);
	return 0;
}
