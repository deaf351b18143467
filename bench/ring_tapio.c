/* SPDX-License-Identifier: Apache-2.0 */
/* Tapio's ring, for bench-ring. */
#include <stdio.h>

#include <tapio/ring.h>

#define RING             struct tapio_ring
#define PUT(ring, value) (tapio_ring_try_put(ring, value) == 0)
#define GET(ring, value) (tapio_ring_try_get(ring, value) == 0)
#define PUT_BATCH(ring, values) \
	tapio_ring_put_batch(ring, values, RING_BATCH, 0)
#define GET_BATCH(ring, values) \
	tapio_ring_get_batch(ring, values, RING_BATCH, 0)

#include "bench/ring_loops.h"

static void *make(uint32_t capacity)
{
	size_t bytes = tapio_ring_bytes(capacity);
	struct tapio_ring *ring;

	if (tapio_ring_init(&ring, ring_memory(bytes), bytes, capacity))
		return NULL;
	return ring;
}

const struct ring_peer ring_tapio = {
	.name = "tapio",
	.make = make,
	.pairs = loop_pairs,
	.fill = loop_fill,
	.drain = loop_drain,
	.fill_batch = loop_fill_batch,
	.drain_batch = loop_drain_batch,
	.send = loop_send,
	.receive = loop_receive,
	.contend = loop_contend,
};
