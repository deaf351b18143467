/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool as one would build it of Concurrency Kit: all free objects on one stack
 * that any number of threads push to and pop from. No lists per CPU, no owners,
 * no check of what is pushed.
 */
#include <ck_stack.h>
#include <errno.h>
#include <stdlib.h>

#include "bench/pool_peer.h"

static ck_stack_t stack = CK_STACK_INITIALIZER;

int ck_peer_set_up(uint32_t objects, uint32_t bytes)
{
	char *memory = aligned_alloc(64, (size_t)objects * bytes);

	if (!memory)
		return -ENOMEM;
	while (objects--)
		ck_stack_push_mpmc(
			&stack,
			(ck_stack_entry_t *)(memory + (size_t)objects * bytes));
	return 0;
}

void *ck_peer_get(void)
{
	return ck_stack_pop_mpmc(&stack);
}

void ck_peer_put(void *object)
{
	ck_stack_push_mpmc(&stack, object);
}
