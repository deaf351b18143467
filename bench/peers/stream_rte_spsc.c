/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPDK's rte_ring with one producer and one consumer, by its calls that copy
 * nothing: events are written into the ring, and read there.
 */
#include <string.h>

#include "bench/peers/stream_rte.h"

struct rte_end {
	struct rte_channel *channel;
	struct rte_ring_zc_data taken;
};

/* The i-th of a range that may go round the ring's end. */
STREAM_INLINE void *rte_at(const struct rte_ring_zc_data *range, uint32_t i,
			   uint32_t bytes)
{
	return i < range->n1
		       ? (unsigned char *)range->ptr1 + i * bytes
		       : (unsigned char *)range->ptr2 + (i - range->n1) * bytes;
}

STREAM_INLINE int rte_send(struct rte_end *end, const uint64_t *events,
			   uint32_t bytes, unsigned int count)
{
	struct rte_ring *ring = &end->channel->ring;
	struct rte_ring_zc_data room;

	count = rte_ring_enqueue_zc_burst_elem_start(ring, bytes, count, &room,
						     NULL);
	if (!count)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		memcpy(rte_at(&room, i, bytes), events + i * (bytes / 8),
		       bytes);
	rte_ring_enqueue_zc_elem_finish(ring, count);
	return (int)count;
}

STREAM_INLINE int rte_fetch(struct rte_end *end, uint32_t bytes)
{
	return (int)rte_ring_dequeue_zc_burst_elem_start(
		&end->channel->ring, bytes, STREAM_BATCH, &end->taken, NULL);
}

#define EVENT(h, i, bytes) \
	((const uint64_t *)rte_at(&(h)->taken, (uint32_t)(i), bytes))
#define DONE(h, count, bytes)                                \
	rte_ring_dequeue_zc_elem_finish(&(h)->channel->ring, \
					(unsigned int)(count))

#include "bench/peers/stream_loops.h"

static void *make(const struct stream_spec *spec)
{
	return rte_make(spec, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

const struct stream_peer stream_rte_spsc = {
	.peer =
		{
			.name = "DPDK rte_ring SP/SC",
			.package = "libdpdk-dev",
			.copies = "in; read in place",
			.across = "processes",
			.death = "the next producer delivers the torn event",
			.kind = BENCH_PEER,
		},
	.make = make,
	.unmake = rte_unmake,
	STREAM_ENDS,
	STREAM_LOOPS,
};
