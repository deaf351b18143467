/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPDK's rte_ring with many producers, and one consumer or, where the producers
 * themselves take out the oldest, many.
 */
#include "bench/peers/stream_rte.h"

struct rte_end {
	struct rte_channel *channel;
	struct stream_event taken[STREAM_BATCH];
};

STREAM_INLINE int rte_send(struct rte_end *end, const uint64_t *events,
			   uint32_t bytes, unsigned int count)
{
	return (int)rte_ring_mp_enqueue_burst_elem(&end->channel->ring, events,
						   bytes, count, NULL);
}

/* By the only consumer, or one of many, as the ring was made. */
STREAM_INLINE int rte_fetch(struct rte_end *end, uint32_t bytes)
{
	return (int)rte_ring_dequeue_burst_elem(&end->channel->ring, end->taken,
						bytes, STREAM_BATCH, NULL);
}

#define EVENT(h, i, bytes) \
	((const uint64_t *)((h)->taken[0].word + (uint32_t)(i) * ((bytes) / 8)))
#define DONE(h, count, bytes) ((void)0)

#include "bench/peers/stream_loops.h"

static void *make(const struct stream_spec *spec)
{
	return rte_make(spec, spec->consumers == 1 ? RING_F_SC_DEQ : 0);
}

const struct stream_peer stream_rte_mp = {
	.peer =
		{
			.name = "DPDK rte_ring MP",
			.package = "libdpdk-dev",
			.copies = "in and out",
			.across = "processes",
			.death = "in a call: the ring stands still for ever",
			.kind = BENCH_PEER,
		},
	.make = make,
	.unmake = rte_unmake,
	STREAM_ENDS,
	STREAM_LOOPS,
};
