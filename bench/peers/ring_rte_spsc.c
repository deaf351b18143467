/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's rte_ring with ends for one producer and one consumer. */
#include <rte_ring.h>

#define RING struct rte_ring
#define RING_ONE_TO_ONE
#define PUT(ring, value) \
	(rte_ring_sp_enqueue(ring, (void *)(uintptr_t)(value)) == 0)
#define GET(ring, value) (rte_ring_sc_dequeue(ring, (void **)(value)) == 0)
#define PUT_BATCH(ring, values, n)                                    \
	(int)rte_ring_sp_enqueue_burst(ring, (void *const *)(values), \
				       (unsigned int)(n), NULL)
#define GET_BATCH(ring, values, n)                              \
	(int)rte_ring_sc_dequeue_burst(ring, (void **)(values), \
				       (unsigned int)(n), NULL)

#include "bench/peers/ring_loops.h"

static int make(struct ring_made *made, uint32_t capacity)
{
	/* A ring of a size holds one less, and a power of two is wanted. */
	made->bytes = (uint64_t)rte_ring_get_memsize(2 * capacity);
	made->ring = made->memory = bench_memory(made->bytes);
	if (!made->memory)
		return -1;
	if (!rte_ring_init(made->ring, "bench", capacity,
			   RING_F_EXACT_SZ | RING_F_SP_ENQ | RING_F_SC_DEQ))
		return 0;
	bench_why("rte_ring_init failed");
	return -1;
}

const struct ring_peer ring_rte_spsc = {
	.peer = {.name = "rte_ring SP/SC",
		 .package = "libdpdk-dev",
		 .copies = "in and out",
		 .across = "processes",
		 .death = "a kill may deliver what was never put",
		 .kind = BENCH_PEER},
	.make = make,
	RING_LOOPS,
};
