/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPDK's rte_ring of pointers as a ring peer.
 *
 * The including file has defined RTE_PUT, RTE_GET, RTE_PUT_BATCH and RTE_GET_BATCH,
 * the calls for its number of producers and consumers, RTE_FLAGS, which make a ring
 * for them, and RING_ONE_TO_ONE where there is one of each.
 */
#include <rte_ring.h>

#define RING             struct rte_ring
#define PUT(ring, value) (RTE_PUT(ring, (void *)(uintptr_t)(value)) == 0)
#define GET(ring, value) (RTE_GET(ring, (void **)(value)) == 0)
#define PUT_BATCH(ring, values, n)                                           \
	(int)RTE_PUT_BATCH(ring, (void *const *)(values), (unsigned int)(n), \
			   NULL)
#define GET_BATCH(ring, values, n) \
	(int)RTE_GET_BATCH(ring, (void **)(values), (unsigned int)(n), NULL)

#include "bench/peers/ring_loops.h"

static int rte_make(struct ring_made *made, uint32_t capacity)
{
	/* A ring of a size holds one less, and a power of two is wanted. */
	made->bytes = (uint64_t)rte_ring_get_memsize(2 * capacity);
	made->ring = made->memory = bench_memory(made->bytes);
	if (!made->memory)
		return -1;
	if (!rte_ring_init(made->ring, "bench", capacity,
			   RING_F_EXACT_SZ | RTE_FLAGS))
		return 0;
	bench_why("rte_ring_init failed");
	return -1;
}
