/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tapio/pool.h>
#include <tapio/ring.h>

struct event {
	uint32_t type;
	char text[60];
};

/* Events travel as numbers: they mean the same in every process. */
static int handle_one(struct tapio_pool *pool, struct tapio_ring *ring)
{
	uint64_t number;
	struct event *e;

	if (tapio_ring_get(ring, &number, 0))
		return 0;
	e = tapio_pool_object(pool, number);
	printf("type %u: %s\n", e->type, e->text);
	return tapio_pool_put(pool, e) == 0;
}

int main(void)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = sizeof(struct event),
		.count = 64,
	};
	struct tapio_pool_stats stats = {.size = sizeof(stats)};
	struct tapio_pool *pool;
	struct tapio_ring *ring;
	struct event *e;

	if (tapio_pool_create(&pool, &options) || tapio_ring_create(&ring, 64))
		return 1;
	for (uint32_t i = 1; i <= 3; i++) {
		if (tapio_pool_get(pool, (void **)&e))
			return 1;
		e->type = i;
		snprintf(e->text, sizeof(e->text), "event number %u", i);
		if (tapio_ring_put(ring, (uint64_t)tapio_pool_index(pool, e),
				   TAPIO_FOREVER))
			return 1;
	}
	while (handle_one(pool, ring))
		;
	tapio_pool_stats_read(pool, &stats);
	printf("%u of %u free\n", stats.free, stats.allocated);
	tapio_ring_close(ring);
	tapio_pool_close(pool);
	return 0;
}
