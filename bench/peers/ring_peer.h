/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of 64-bit values as question 6 uses it: Tapio's, a floor, or a peer's.
 * Each is a file in bench/peers/ which defines a few calls and includes
 * ring_loops.h. So a ring that is a header is measured inlined, as it would be
 * used, and Tapio's through the calls of its library.
 */
#ifndef BENCH_RING_PEER_H
#define BENCH_RING_PEER_H

#include "bench/frame/bench.h"

/* The result of make(). The question frees the memory. */
struct ring_made {
	void *ring; /* given to the loops */
	void *memory;
	uint64_t bytes;
};

struct ring_peer {
	struct bench_peer peer;
	/* In the frame's process: an empty ring in bench_memory(). 0, or negative
	 * with bench_why(). unmake frees the rest, which is not in that memory.
	 * May be NULL. */
	int (*make)(struct ring_made *made, uint32_t capacity);
	void (*unmake)(void *ring);
	/*
	 * In a side. Each 0, or negative when the ring did not do what it
	 * should. NULL: not what this ring is for.
	 *
	 * One process: put one, get one. `count` puts in an empty ring, then as
	 * many gets. The same, RING_BATCH at once.
	 */
	int (*pairs)(void *ring, uint64_t count);
	int (*fill)(void *ring, uint64_t count);
	int (*drain)(void *ring, uint64_t count);
	int (*fill_batch)(void *ring, uint64_t count);
	int (*drain_batch)(void *ring, uint64_t count);
	/* Two processes: from one to the other, trying again when full or empty. */
	int (*send)(void *ring, uint64_t count);
	int (*receive)(void *ring, uint64_t count);
	int (*send_batch)(void *ring, uint64_t count);
	int (*receive_batch)(void *ring, uint64_t count);
	/* Two processes, each of which puts one and gets one. The sum of what it
	 * got is added to *sum. */
	int (*contend)(void *ring, uint64_t count, uint64_t *sum);
};

#define RING_BATCH 32

extern const struct ring_peer ring_tapio;
extern const struct ring_peer ring_ck;
extern const struct ring_peer ring_ck_spsc;
extern const struct ring_peer ring_rte;
extern const struct ring_peer ring_rte_spsc;
extern const struct ring_peer ring_swap;
extern const struct ring_peer ring_store;

#endif
