/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tapio's pool. Each process has a name of its own and adopts what another one
 * got before it puts it, so that an object is in somebody's name at any moment.
 * The threads of a process have one name and need not. That is measured as two
 * processes with one handle.
 */
#include <string.h>

#include <tapio/pool.h>

#define POOL              struct tapio_pool
#define GET(pool, spec)   get(pool)
#define PUT(pool, object) (tapio_pool_put(pool, object) == 0)
#define GET_BURST(pool, spec, objects) \
	(tapio_pool_get_batch(pool, objects, POOL_BURST) == POOL_BURST)
#define PUT_BURST(pool, objects) \
	(tapio_pool_put_batch(pool, objects, POOL_BURST) == POOL_BURST)

#include "bench/peers/pool_peer.h"

/* Names: of the handle that makes the pool, and of the sides'. */
#define MAKER       1
#define SIDE(index) (2 + (index))

static inline void *get(struct tapio_pool *pool)
{
	void *object;

	/* NULL when there is none. */
	tapio_pool_get(pool, &object);
	return object;
}

#include "bench/peers/pool_loops.h"

static struct {
	void *memory;
	size_t bytes;
} made;

static int failed(const char *call, int err)
{
	bench_why("%s: %s", call, strerror(-err));
	return err;
}

static int make_with(void **pool, const struct pool_spec *spec, uint32_t flags)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = spec->bytes,
		.count = POOL_OBJECTS,
		.flags = flags,
		.owner = MAKER,
	};
	struct tapio_pool *maker;
	int err;

	made.bytes = tapio_pool_bytes(&options);
	made.memory = bench_memory(made.bytes);
	if (!made.memory)
		return -1;
	err = tapio_pool_init(&maker, made.memory, made.bytes, &options);
	if (err) {
		bench_memory_free(made.memory, made.bytes);
		return failed("tapio_pool_init", err);
	}
	*pool = maker;
	return 0;
}

static int make(void **pool, const struct pool_spec *spec)
{
	return make_with(pool, spec, TAPIO_POOL_DIRTY);
}

static int make_exact(void **pool, const struct pool_spec *spec)
{
	return make_with(pool, spec, TAPIO_POOL_DIRTY | TAPIO_POOL_EXACT);
}

static int make_unchecked(void **pool, const struct pool_spec *spec)
{
	return make_with(pool, spec, TAPIO_POOL_DIRTY | TAPIO_POOL_UNCHECKED);
}

static int make_zero(void **pool, const struct pool_spec *spec)
{
	return make_with(pool, spec, 0);
}

static void unmake(void *pool)
{
	tapio_pool_close(pool);
	bench_memory_free(made.memory, made.bytes);
}

static int open_side(void **handle, void *pool, unsigned int index)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.owner = SIDE(index),
	};
	struct tapio_pool *own;
	int err = tapio_pool_attach(&own, made.memory, made.bytes, &options);

	(void)pool; /* the maker's */
	*handle = own;
	return err ? failed("tapio_pool_attach", err) : 0;
}

static int adopt_and_put(void *handle, const struct pool_spec *spec,
			 void **objects, uint32_t count)
{
	struct tapio_pool *pool = handle;

	(void)spec;
	for (uint32_t i = 0; i < count; i++)
		if (tapio_pool_adopt(pool, objects[i], SIDE(0)) ||
		    tapio_pool_put(pool, objects[i]))
			return -1;
	return 0;
}

const struct bench_peer peer_tapio_pool = {
	.name = "tapio_pool",
	.package = "",
	.copies = "",
	.across = "processes",
	.death = "the dead one's objects are taken back; nobody is stopped",
	.kind = BENCH_TAPIO,
};

#define OF_ITS_OWN                                              \
	.unmake = unmake, .open = open_side, .pair = loop_pair, \
	.burst = loop_burst, .take = loop_take, .give = adopt_and_put

const struct pool_ops pool_tapio = {.make = make, OF_ITS_OWN};
const struct pool_ops pool_tapio_exact = {.make = make_exact, OF_ITS_OWN};
const struct pool_ops pool_tapio_unchecked = {.make = make_unchecked,
					      OF_ITS_OWN};
const struct pool_ops pool_tapio_zero = {.make = make_zero, OF_ITS_OWN};
const struct pool_ops pool_tapio_named = {
	.make = make, .unmake = unmake, POOL_LOOPS};
const struct pool_ops pool_tapio_named_unchecked = {
	.make = make_unchecked, .unmake = unmake, POOL_LOOPS};
