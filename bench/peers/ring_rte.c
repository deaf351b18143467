/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's rte_ring with ends for many producers and many consumers. */
#define RTE_PUT       rte_ring_mp_enqueue
#define RTE_GET       rte_ring_mc_dequeue
#define RTE_PUT_BATCH rte_ring_mp_enqueue_burst
#define RTE_GET_BATCH rte_ring_mc_dequeue_burst
#define RTE_FLAGS     0

#include "bench/peers/ring_rte.h"

const struct ring_peer ring_rte = {
	.peer = {.name = "rte_ring MP/MC",
		 .package = "libdpdk-dev",
		 .copies = "in and out",
		 .across = "processes",
		 .death =
			 "a process killed inside a call stops the ring for ever",
		 .kind = BENCH_PEER},
	.make = rte_make,
	RING_LOOPS,
};
