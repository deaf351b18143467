/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floor: free objects in an array of this process, the last one put being the
 * first one got. No other process, no check. Across, one side gets what the array
 * has and the other puts what it is given, each in an array of its own.
 */
#include "bench/peers/pool_peer.h"

struct array {
	uint32_t count;
	uint32_t size;
	void *free[2 * POOL_OBJECTS];
};

static inline void *get(struct array *array)
{
	return array->count ? array->free[--array->count] : NULL;
}

static inline bool put(struct array *array, void *object)
{
	if (array->count == array->size)
		return false;
	array->free[array->count++] = object;
	return true;
}

#define POOL              struct array
#define GET(pool, spec)   get(pool)
#define PUT(pool, object) put(pool, object)

#include "bench/peers/pool_loops.h"

static unsigned char *memory;
static uint64_t bytes;

static int make(void **pool, const struct pool_spec *spec)
{
	static struct array array;

	bytes = (uint64_t)POOL_OBJECTS * spec->bytes;
	memory = bench_memory(bytes);
	if (!memory)
		return -1;
	array.size = 2 * POOL_OBJECTS;
	array.count = POOL_OBJECTS;
	for (size_t i = 0; i < POOL_OBJECTS; i++)
		array.free[i] = memory + i * spec->bytes;
	*pool = &array;
	return 0;
}

static void unmake(void *pool)
{
	(void)pool;
	bench_memory_free(memory, bytes);
}

/* The objects that the other side keeps are got again and again. */
static int take(void *handle, const struct pool_spec *spec, void **objects,
		uint32_t count)
{
	struct array *array = handle;

	array->count = POOL_OBJECTS;
	return loop_take(handle, spec, objects, count);
}

static int give(void *handle, const struct pool_spec *spec, void **objects,
		uint32_t count)
{
	struct array *array = handle;

	array->count = 0;
	return loop_give(handle, spec, objects, count);
}

const struct bench_peer peer_array = {
	.name = "array of its own",
	.package = "",
	.copies = "",
	.across = "one process",
	.death = "",
	.kind = BENCH_FLOOR,
};

const struct pool_ops pool_array = {
	.make = make,
	.unmake = unmake,
	.pair = loop_pair,
	.burst = loop_burst,
	.take = take,
	.give = give,
};
