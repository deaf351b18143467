/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/pool.h>
#include <tapio/ring.h>

/* How full things are: cheap enough to ask every second, from any process. */
static void show(const struct tapio_ring *ring, const struct tapio_pool *pool)
{
	struct tapio_pool_stats stats = {.size = sizeof(stats)};

	tapio_pool_stats_read(pool, &stats);
	printf("ring %u of %u, at most %u; pool %u in use of %u\n",
	       tapio_ring_size(ring), tapio_ring_capacity(ring),
	       tapio_ring_high_water(ring), stats.in_use, stats.allocated);
}

int main(void)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = 128,
		.count = 200,
	};
	struct tapio_pool *pool;
	struct tapio_ring *ring;
	uint64_t number;
	void *object;

	if (tapio_ring_create(&ring, 64) || tapio_pool_create(&pool, &options))
		return 1;
	for (int i = 0; i < 40; i++)
		if (tapio_pool_get(pool, &object) ||
		    tapio_ring_try_put(
			    ring, (uint64_t)tapio_pool_index(pool, object)))
			return 1;
	show(ring, pool);
	for (int i = 0; i < 30; i++)
		if (tapio_ring_try_get(ring, &number) ||
		    tapio_pool_put(pool, tapio_pool_object(pool, number)))
			return 1;
	show(ring, pool);
	tapio_ring_close(ring);
	tapio_pool_close(pool);
	return 0;
}
