/* SPDX-License-Identifier: Apache-2.0 */
/* Concurrency Kit's ring of pointers for many producers and consumers; no batches. */
#include <ck_ring.h>

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

#include "bench/peers/ring_loops.h"

static int make(struct ring_made *made, uint32_t capacity)
{
	struct ck_memory *memory;

	/* A ring of a size holds one less. */
	made->bytes = sizeof(*memory) + 2 * capacity * sizeof(memory->slots[0]);
	made->ring = made->memory = memory = bench_memory(made->bytes);
	if (!memory)
		return -1;
	ck_ring_init(&memory->ring, 2 * capacity);
	return 0;
}

const struct ring_peer ring_ck = {
	.peer = {.name = "ck_ring MPMC",
		 .package = "libck-dev",
		 .copies = "in and out",
		 .across = "processes",
		 .death =
			 "a process killed inside a call stops the ring for ever",
		 .kind = BENCH_PEER},
	.make = make,
	RING_LOOPS,
};
