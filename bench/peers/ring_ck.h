/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concurrency Kit's ring of pointers as a ring peer. It has no batches.
 *
 * The including file has defined CK_PUT and CK_GET, the calls for its number of
 * producers and consumers, and RING_ONE_TO_ONE where that is one of each.
 */
#include <ck_ring.h>

struct ck_memory {
	struct ck_ring ring;
	ck_ring_buffer_t entries[];
};

#define RING struct ck_memory
#define PUT(memory, value) \
	CK_PUT(&(memory)->ring, (memory)->entries, (void *)(uintptr_t)(value))
#define GET(memory, value) CK_GET(&(memory)->ring, (memory)->entries, value)

#include "bench/peers/ring_loops.h"

static int ck_make(struct ring_made *made, uint32_t capacity)
{
	struct ck_memory *memory;

	/* A ring of a size holds one less. */
	made->bytes =
		sizeof(*memory) + 2 * capacity * sizeof(memory->entries[0]);
	made->ring = made->memory = memory = bench_memory(made->bytes);
	if (!memory)
		return -1;
	ck_ring_init(&memory->ring, 2 * capacity);
	return 0;
}
