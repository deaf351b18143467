/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool as one would build it of Concurrency Kit: all free objects on one stack
 * that any number of processes push to and pop from. No lists per CPU, no owners,
 * no check of what is pushed.
 */
#include <ck_stack.h>

#include "bench/peers/pool_peer.h"

#define POOL              ck_stack_t
#define GET(pool, spec)   ((void *)ck_stack_pop_mpmc(pool))
#define PUT(pool, object) (ck_stack_push_mpmc(pool, object), true)

#include "bench/peers/pool_loops.h"

static uint64_t bytes_of(const struct pool_spec *spec)
{
	return 128 + (uint64_t)POOL_OBJECTS * spec->bytes;
}

static struct {
	void *memory;
	uint64_t bytes;
} made;

static int make(void **pool, const struct pool_spec *spec)
{
	unsigned char *objects;
	ck_stack_t *stack;

	made.bytes = bytes_of(spec);
	made.memory = bench_memory(made.bytes);
	if (!made.memory)
		return -1;
	stack = made.memory;
	objects = (unsigned char *)made.memory + 128;
	ck_stack_init(stack);
	for (size_t i = 0; i < POOL_OBJECTS; i++)
		ck_stack_push_mpmc(
			stack, (ck_stack_entry_t *)(objects + i * spec->bytes));
	*pool = stack;
	return 0;
}

static void unmake(void *pool)
{
	(void)pool;
	bench_memory_free(made.memory, made.bytes);
}

const struct bench_peer peer_ck_stack = {
	.name = "ck_stack MPMC",
	.package = "libck-dev",
	.copies = "",
	.across = "processes",
	.death = "what the dead one had is lost",
	.kind = BENCH_PEER,
};

const struct pool_ops pool_ck = {.make = make, .unmake = unmake, POOL_LOOPS};
