/* SPDX-License-Identifier: Apache-2.0 */
/* Concurrency Kit's ring with one producer and one consumer. */
#define CK_ENQUEUE       ck_ring_enqueue_spsc
#define CK_DEQUEUE       ck_ring_dequeue_spsc
#define CK_DEQUEUE_ALONE ck_ring_dequeue_spsc

#include "bench/peers/stream_ck.h"

const struct stream_peer stream_ck_spsc = {
	.peer =
		{
			.name = "Concurrency Kit ck_ring SPSC",
			.package = "libck-dev",
			.copies = "in and out",
			.across = "processes",
			.death = "loses that event; another producer can go on",
			.kind = BENCH_PEER,
		},
	CK_STREAM,
};
