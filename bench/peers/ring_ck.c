/* SPDX-License-Identifier: Apache-2.0 */
/* Concurrency Kit's ring for many producers and many consumers. */
#define CK_PUT ck_ring_enqueue_mpmc
#define CK_GET ck_ring_dequeue_mpmc

#include "bench/peers/ring_ck.h"

const struct ring_peer ring_ck = {
	.peer = {.name = "ck_ring MPMC",
		 .package = "libck-dev",
		 .copies = "in and out",
		 .across = "processes",
		 .death =
			 "a process killed inside a call stops the ring for ever",
		 .kind = BENCH_PEER},
	.make = ck_make,
	RING_LOOPS,
};
