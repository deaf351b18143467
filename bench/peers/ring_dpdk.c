/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's rte_ring with multi-producer and multi-consumer ends, for bench-ring. */
#include <rte_ring.h>

#define RING struct rte_ring
#define PUT(ring, value) \
	(rte_ring_mp_enqueue(ring, (void *)(uintptr_t)(value)) == 0)
#define GET(ring, value) (rte_ring_mc_dequeue(ring, (void **)(value)) == 0)
#define PUT_BATCH(ring, values)                                       \
	(int)rte_ring_mp_enqueue_burst(ring, (void *const *)(values), \
				       RING_BATCH, NULL)
#define GET_BATCH(ring, values)                                             \
	(int)rte_ring_mc_dequeue_burst(ring, (void **)(values), RING_BATCH, \
				       NULL)

#include "bench/ring_loops.h"

static void *make(uint32_t capacity)
{
	struct rte_ring *ring =
		ring_memory((uint64_t)rte_ring_get_memsize(2 * capacity));

	return rte_ring_init(ring, "bench", capacity, RING_F_EXACT_SZ) ? NULL
								       : ring;
}

const struct ring_peer ring_dpdk = {
	.name = "dpdk",
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
