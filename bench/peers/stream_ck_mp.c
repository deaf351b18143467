/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concurrency Kit's ring with many producers, and one consumer or, where the
 * producers themselves take out the oldest, many.
 */
#define CK_ENQUEUE       ck_ring_enqueue_mpmc
#define CK_DEQUEUE       ck_ring_dequeue_mpmc
#define CK_DEQUEUE_ALONE ck_ring_dequeue_mpsc

#include "bench/peers/stream_ck.h"

const struct stream_peer stream_ck_mp = {
	.peer =
		{
			.name = "Concurrency Kit ck_ring MP",
			.package = "libck-dev",
			.copies = "in and out",
			.across = "processes",
			.death = "in a call: the ring stands still for ever",
			.kind = BENCH_PEER,
		},
	CK_STREAM,
};
