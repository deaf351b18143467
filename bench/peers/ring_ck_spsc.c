/* SPDX-License-Identifier: Apache-2.0 */
/* Concurrency Kit's ring for one producer and one consumer. */
#define CK_PUT ck_ring_enqueue_spsc
#define CK_GET ck_ring_dequeue_spsc
#define RING_ONE_TO_ONE

#include "bench/peers/ring_ck.h"

const struct ring_peer ring_ck_spsc = {
	.peer = {.name = "ck_ring SPSC",
		 .package = "libck-dev",
		 .copies = "in and out",
		 .across = "processes",
		 .death = "survives: one plain store each",
		 .kind = BENCH_PEER},
	.make = ck_make,
	RING_LOOPS,
};
