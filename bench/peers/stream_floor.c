/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: events through a ring of cells with a plain store for the payload,
 * one for the tail, and nothing else. No crash safety, no types, no second
 * producer. The cost of a lane is measured against it.
 */
#include <string.h>

#include "bench/peers/stream_peer.h"
#include "lib/base/atomic.h"

struct floor_ring {
	uint64_t tail;
	uint64_t reserved0[7];
	uint64_t head;
	uint64_t reserved1[7];
	unsigned char cells[STREAM_RING_BYTES];
};

/* One end: its own index, and the other's as last seen. */
struct floor_end {
	struct floor_ring *ring;
	uint64_t head;
	uint64_t tail;
};

STREAM_INLINE unsigned char *floor_slot(struct floor_end *end, uint64_t index,
					uint32_t bytes)
{
	return &end->ring->cells[index * bytes % STREAM_RING_BYTES];
}

/* Publishes `count` events of which the first lies at `event`. */
STREAM_INLINE int floor_send(struct floor_end *end, const uint64_t *event,
			     uint32_t bytes, uint32_t count)
{
	const int64_t cells = STREAM_RING_BYTES / bytes;

	if ((int64_t)(end->tail + count - end->head) > cells)
		/* ORDER bench.head (acquire): the cells were read. Pairs with
		 * the release in floor_done(). */
		end->head = tpi_load_acquire(&end->ring->head);
	if ((int64_t)(end->tail + count - end->head) > cells)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		memcpy(floor_slot(end, end->tail++, bytes),
		       event + i * (bytes / 8), bytes);
	/* ORDER bench.tail (release): the payloads. Pairs with the acquire in
	 * floor_fetch(). */
	tpi_store_release(&end->ring->tail, end->tail);
	return (int)count;
}

STREAM_INLINE int floor_fetch(struct floor_end *end)
{
	/* ORDER bench.tail (acquire): the payloads. Pairs with the release in
	 * floor_send(). */
	return (int)(tpi_load_acquire(&end->ring->tail) - end->head);
}

STREAM_INLINE void floor_done(struct floor_end *end, int count)
{
	end->head += (uint32_t)count;
	/* ORDER bench.head (release): done with the cells. Pairs with the
	 * acquire in floor_send(). */
	tpi_store_release(&end->ring->head, end->head);
}

#define HANDLE                struct floor_end
#define SEND(h, event, bytes) floor_send(h, event, bytes, 1)
#define SEND_BATCH(h, events, bytes, count) \
	floor_send(h, events, bytes, (uint32_t)(count))
#define FETCH(h, bytes) floor_fetch(h)
#define EVENT(h, i, bytes) \
	((const uint64_t *)floor_slot(h, (h)->head + (uint32_t)(i), bytes))
#define DONE(h, count, bytes) floor_done(h, count)

#include "bench/peers/stream_loops.h"

static void *make(const struct stream_spec *spec)
{
	struct floor_ring *ring = bench_memory(sizeof(*ring));

	if (ring && !spec->consumers)
		ring->head = INT64_MAX; /* all is read, for ever */
	return ring;
}

static void unmake(void *channel)
{
	bench_memory_free(channel, sizeof(struct floor_ring));
}

const struct stream_peer stream_floor = {
	.peer =
		{
			.name = "plain stores",
			.package = "",
			.copies = "in; read in place",
			.across = "processes",
			.death = "nothing is checked",
			.kind = BENCH_FLOOR,
		},
	.overwrites = true,
	.make = make,
	.unmake = unmake,
	STREAM_ENDS,
	STREAM_LOOPS,
};
