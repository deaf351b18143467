/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix of sections for tapio_pool: a death at each instruction of a get or a put,
 * then one reclaim, and each object is free exactly once.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "tests/fault/sections.h"
#include "tests/unit/pool_fixture.h"

#define COUNT 64
#define CACHE 8
#define BATCH (CACHE / 2)
#define BYTES 64
#define CHILD 7001 /* its name */

static struct shared_pool shared;
static struct tapio_shm_pool_list
	*list; /* of our CPU, which is the child's too */

/* ---- in the child ---------------------------------------------------------------- */

static struct tapio_pool *pool;
static void *objects[2 * CACHE];

static uint32_t height(void)
{
	return (uint32_t)list->height;
}

/* With `n` entries, and one object in hands. */
static int attach_with(uint32_t n)
{
	struct tapio_pool_options options = {.size = sizeof(options),
					     .owner = CHILD};
	uint32_t have, i;
	void *more;

	if (tapio_pool_attach(&pool, shared.memory, shared.bytes, &options))
		return 1;
	for (have = 0; have < 2 * CACHE; have++)
		if (tapio_pool_get(pool, &objects[have]))
			return 1;
	while (height())
		if (tapio_pool_get(pool, &more))
			return 1;
	memset(objects[0], 0xcc, BYTES);
	for (i = 1; i <= n; i++)
		if (tapio_pool_put(pool, objects[i]))
			return 1;
	return height() != n;
}

static int prepare_some(const struct operation *o)
{
	(void)o;
	return attach_with(BATCH);
}

static int prepare_empty(const struct operation *o)
{
	(void)o;
	return attach_with(0);
}

/* Room for one of a batch. */
static int prepare_nearly_full(const struct operation *o)
{
	(void)o;
	return attach_with(CACHE - 1);
}

static int prepare_full(const struct operation *o)
{
	(void)o;
	return attach_with(CACHE);
}

/*
 * As after two puts at once, and a get of one: an entry of an object that its
 * state says to be in hands. `depth` entries are above it.
 */
static int make_stale(uint32_t depth)
{
	pool->states[list->entries[height() - 1 - depth]] = pool->held;
	return 0;
}

static int prepare_stale(const struct operation *o)
{
	return prepare_some(o) || make_stale(0);
}

static int prepare_full_stale(const struct operation *o)
{
	return prepare_full(o) || make_stale(1);
}

static int get(const struct operation *o)
{
	void *object;

	(void)o;
	return tapio_pool_get(pool, &object);
}

static int put(const struct operation *o)
{
	(void)o;
	return tapio_pool_put(pool, objects[0]);
}

static int get_batch(const struct operation *o)
{
	void *some[3];

	(void)o;
	return tapio_pool_get_batch(pool, some, 3) != 3;
}

/* Three that are in hands: objects[0], and the last two. */
static int put_batch(const struct operation *o)
{
	void *some[3] = {objects[2 * CACHE - 2], objects[0],
			 objects[2 * CACHE - 1]};

	(void)o;
	return tapio_pool_put_batch(pool, some, 3) != 3;
}

/* ---- afterwards ------------------------------------------------------------------ */

static void set_up(const struct operation *o)
{
	(void)o;
}

/* The next one gets each object, and none twice. */
static void check_all_in_reach(void)
{
	bool seen[COUNT] = {false};
	void *object[COUNT], *more;
	uint32_t i;
	int64_t at;

	for (i = 0; i < COUNT; i++) {
		object[i] = get_ok(shared.pool);
		at = tapio_pool_index(shared.pool, object[i]);
		if (!(shared.pool->flags & TAPIO_POOL_DIRTY))
			ck_assert_int_eq(*(char *)object[i], 0);
		ck_assert(!seen[at]);
		seen[at] = true;
	}
	ck_assert_int_eq(tapio_pool_get(shared.pool, &more), -EAGAIN);
	for (i = 0; i < COUNT; i++)
		put_ok(shared.pool, object[i]);
}

static void check(const struct operation *o, uint64_t before, uint64_t after)
{
	(void)o, (void)before, (void)after;
	ck_assert_int_gt(tapio_pool_reclaim(shared.pool, CHILD), 0);
	/* Gets drop the stale entry, if it is still there. */
	check_all_in_reach();
	pool_audit(shared.pool, 0);
	ck_assert_uint_eq(pool_stats(shared.pool).free, COUNT);
}

#define OPERATION(what, before, function)                          \
	{                                                          \
		.name = what, .set_up = set_up, .prepare = before, \
		.call = function, .check = check                   \
	}

static struct operation operations[] = {
	OPERATION("get", prepare_some, get),
	OPERATION("get, empty list", prepare_empty, get),
	OPERATION("get, stale entry", prepare_stale, get),
	OPERATION("put", prepare_some, put),
	OPERATION("put, full list", prepare_full, put),
	OPERATION("put, full list, stale entry", prepare_full_stale, put),
	OPERATION("get a batch", prepare_some, get_batch),
	OPERATION("get a batch, stale entry", prepare_stale, get_batch),
	OPERATION("put a batch", prepare_some, put_batch),
	OPERATION("put a batch, little room", prepare_nearly_full, put_batch),
};

static void operations_of(uint32_t flags)
{
	struct tapio_pool_options options = pool_options(BYTES, COUNT);
	size_t i;

	options.cache = CACHE;
	options.flags = flags;
	shared = pool_shared(&options);
	list = tpi_pool_list(shared.pool, (uint32_t)sched_getcpu());
	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		operations[i].word = &list->height;
		matrix_add(&operations[i]);
	}
	pool_shared_end(&shared);
}

void pool_operations(void)
{
	matrix_title("tapio_pool, objects are cleaned");
	operations_of(0);
	matrix_title("tapio_pool, puts swap");
	operations_of(TAPIO_POOL_EXACT);
	matrix_title("tapio_pool, puts look at nothing");
	operations_of(TAPIO_POOL_UNCHECKED);
	matrix_title("tapio_pool, objects stay dirty");
	operations_of(TAPIO_POOL_DIRTY);
	matrix_title(
		"tapio_pool, objects stay dirty, and puts look at nothing");
	operations_of(TAPIO_POOL_DIRTY | TAPIO_POOL_UNCHECKED);
}
