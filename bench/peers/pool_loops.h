/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops of pool_ops, for the pool whose calls the including file has defined
 * before:
 *
 *	POOL                  its handle's type
 *	GET(pool, spec)       an object or NULL
 *	PUT(pool, object)     true when it was taken back
 *	GIVE(pool, object)    the same of an object that the other side got;
 *	                      if not PUT
 *	GET_BURST(pool, spec, objects), PUT_BURST(pool, objects)
 *	                      of POOL_BURST: true when done. Where it has them
 */
#include "bench/peers/pool_peer.h"

/* The compiler may not pair malloc with free and drop both. */
static inline void *loop_keep(void *object)
{
	__asm__ __volatile__("" : "+r"(object) : : "memory");
	return object;
}

/* A zeroed object's last word: as it has to be, and then as a user leaves it. */
static inline bool loop_use(void *object, const struct pool_spec *spec)
{
	uint64_t *last = (uint64_t *)object + spec->bytes / 8 - 1;

	if (!spec->zeroed)
		return true;
	if (*last)
		return false;
	*last = 1;
	return true;
}

static int loop_pair(void *handle, const struct pool_spec *spec, uint64_t count)
{
	POOL *pool = handle;
	void *object;

	for (uint64_t i = 0; i < count; i++) {
		object = loop_keep(GET(pool, spec));
		if (!object || !loop_use(object, spec) || !PUT(pool, object))
			return -1;
	}
	return 0;
}

static int loop_take(void *handle, const struct pool_spec *spec, void **objects,
		     uint32_t count)
{
	POOL *pool = handle;

	(void)spec; /* of those that have one size */
	for (uint32_t i = 0; i < count; i++) {
		objects[i] = loop_keep(GET(pool, spec));
		if (!objects[i])
			return -1;
	}
	return 0;
}

#ifndef GIVE
#define GIVE(pool, object) PUT(pool, object)
#endif

static int loop_give(void *handle, const struct pool_spec *spec, void **objects,
		     uint32_t count)
{
	POOL *pool = handle;

	(void)spec;
	for (uint32_t i = 0; i < count; i++)
		if (!GIVE(pool, loop_keep(objects[i])))
			return -1;
	return 0;
}

#ifndef GET_BURST
static inline bool loop_get_burst(POOL *pool, const struct pool_spec *spec,
				  void **objects)
{
	(void)spec;
	for (int i = 0; i < POOL_BURST; i++) {
		objects[i] = loop_keep(GET(pool, spec));
		if (!objects[i])
			return false;
	}
	return true;
}

static inline bool loop_put_burst(POOL *pool, void **objects)
{
	for (int i = 0; i < POOL_BURST; i++)
		if (!PUT(pool, loop_keep(objects[i])))
			return false;
	return true;
}
#define GET_BURST(pool, spec, objects) loop_get_burst(pool, spec, objects)
#define PUT_BURST(pool, objects)       loop_put_burst(pool, objects)
#endif

static int loop_burst(void *handle, const struct pool_spec *spec,
		      uint64_t count)
{
	POOL *pool = handle;
	void *objects[POOL_BURST];

	(void)spec;
	for (uint64_t i = 0; i < count; i += POOL_BURST)
		if (!GET_BURST(pool, spec, objects) ||
		    !PUT_BURST(pool, objects))
			return -1;
	return 0;
}

#define POOL_LOOPS                                                 \
	.pair = loop_pair, .burst = loop_burst, .take = loop_take, \
	.give = loop_give
