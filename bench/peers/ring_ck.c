/* SPDX-License-Identifier: Apache-2.0 */
/* Concurrency Kit's ring of pointers, for bench-ring; it has no batches. */
#include <ck_ring.h>
#include <stddef.h>

struct ck_memory {
	struct ck_ring ring;
	ck_ring_buffer_t slots[];
};

#define RING struct ck_memory
#define PUT(memory, value)                                     \
	ck_ring_enqueue_mpmc(&(memory)->ring, (memory)->slots, \
			     (void *)(uintptr_t)(value))
#define GET(memory, value) \
	ck_ring_dequeue_mpmc(&(memory)->ring, (memory)->slots, value)

#include "bench/ring_loops.h"

static void *make(uint32_t capacity)
{
	struct ck_memory *memory = ring_memory(
		sizeof(*memory) + 2 * capacity * sizeof(memory->slots[0]));

	/* A ring of a size holds one less. */
	ck_ring_init(&memory->ring, 2 * capacity);
	return memory;
}

const struct ring_peer ring_ck = {
	.name = "ck",
	.make = make,
	.pairs = loop_pairs,
	.fill = loop_fill,
	.drain = loop_drain,
	.send = loop_send,
	.receive = loop_receive,
	.contend = loop_contend,
};
