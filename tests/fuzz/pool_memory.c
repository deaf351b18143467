/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input overwrites words of the memory of a pool, before it is
 * attached and after. Whatever it says, no call leaves the memory (the sanitizers
 * watch its ends), and what is handed out is an object.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "lib/kit/pool.h"

#define COUNT 100

struct choices {
	const uint8_t *data;
	size_t size;
};

static uint32_t choose(struct choices *c, uint32_t bytes)
{
	uint32_t value = 0;

	if (c->size < bytes) {
		c->size = 0;
		return 0;
	}
	memcpy(&value, c->data, bytes);
	c->data += bytes;
	c->size -= bytes;
	return value;
}

/* Words of everything but the objects. Half of them among the constants. */
static void scribble(struct choices *c, unsigned char *memory, size_t hot)
{
	uint32_t writes = choose(c, 1) % 8, where, value;

	while (writes--) {
		where = choose(c, 2);
		value = choose(c, 4);
		where = where & 1 ? where / 2 % 160 : where / 2 % (uint32_t)hot;
		memcpy(memory + (where & ~3u), &value, sizeof(value));
	}
}

static void use(struct tapio_pool *pool, struct choices *c)
{
	uint32_t n = choose(c, 1), bytes = tapio_pool_object_bytes(pool);
	uint32_t limit = tapio_pool_count(pool) - 1;
	void *object;

	while (n--) {
		if (!tapio_pool_get(pool, &object)) {
			FUZZ_CHECK(tapio_pool_index(pool, object) >= 0);
			memset(object, 1, bytes < 64 ? bytes : 64);
		}
		object = tapio_pool_object(pool, choose(c, 1) % (limit + 1));
		tapio_pool_put(pool, object);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = 40,
		.count = COUNT,
		.cache = 4,
		.cpus = 64,
		.nodes = 2,
	};
	struct tapio_pool_stats stats = {.size = sizeof(stats)};
	size_t bytes = tapio_pool_bytes(&options);
	struct choices c = {data, size};
	struct tapio_pool *pool;
	unsigned char *memory;
	size_t hot;

	if (!bytes)
		abort();
	memory = aligned_alloc(TAPIO_POOL_ALIGN, (bytes + 127) & ~(size_t)127);
	if (!memory || tapio_pool_init(&pool, memory, bytes, &options))
		abort();
	hot = (size_t)(pool->objects - memory);
	use(pool, &c);
	tapio_pool_close(pool);
	scribble(&c, memory, hot);
	if (!tapio_pool_attach(&pool, memory, bytes, NULL)) {
		use(pool, &c);
		scribble(&c, memory, hot);
		use(pool, &c);
		tapio_pool_reclaim(pool, 1);
		FUZZ_CHECK(!tapio_pool_stats_read(pool, &stats));
		FUZZ_CHECK(stats.free + stats.in_use == stats.allocated);
		tapio_pool_close(pool);
	}
	free(memory);
	return 0;
}
