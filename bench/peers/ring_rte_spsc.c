/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's rte_ring with ends for one producer and one consumer. */
#define RTE_PUT       rte_ring_sp_enqueue
#define RTE_GET       rte_ring_sc_dequeue
#define RTE_PUT_BATCH rte_ring_sp_enqueue_burst
#define RTE_GET_BATCH rte_ring_sc_dequeue_burst
#define RTE_FLAGS     (RING_F_SP_ENQ | RING_F_SC_DEQ)
#define RING_ONE_TO_ONE

#include "bench/peers/ring_rte.h"

const struct ring_peer ring_rte_spsc = {
	.peer = {.name = "rte_ring SP/SC",
		 .package = "libdpdk-dev",
		 .copies = "in and out",
		 .across = "processes",
		 .death = "a kill may deliver what was never put",
		 .kind = BENCH_PEER},
	.make = rte_make,
	RING_LOOPS,
};
