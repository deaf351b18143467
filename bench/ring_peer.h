/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring that bench-ring measures: Tapio's, or a peer's. Peers are there when
 * their package is (Concurrency Kit: ck; DPDK: libdpdk).
 *
 * Loops are compiled with each ring's own calls in them (ring_loops.h), so a ring
 * that is a header is measured inlined, as it would be used, and Tapio's through
 * the calls of its library.
 */
#ifndef BENCH_RING_PEER_H
#define BENCH_RING_PEER_H

#include <stdint.h>

struct ring_peer {
	const char *name;
	/* NULL: not what this ring is. All return 0 or what went wrong. */
	void *(*make)(uint32_t capacity); /* in memory that a child shares */
	/* One thread: put one, get one. */
	int (*pairs)(void *ring, uint64_t count);
	/* One thread: `count` puts in an empty ring; then as many gets. */
	int (*fill)(void *ring, uint64_t count);
	int (*drain)(void *ring, uint64_t count);
	/* The same, 32 at once. */
	int (*fill_batch)(void *ring, uint64_t count);
	int (*drain_batch)(void *ring, uint64_t count);
	/* Two processes: from one to the other, waiting when full or empty. */
	int (*send)(void *ring, uint64_t count);
	int (*receive)(void *ring, uint64_t count);
	/* Two processes, each of which puts one and gets one. */
	int (*contend)(void *ring, uint64_t count);
};

#define RING_BATCH 32

extern const struct ring_peer ring_tapio;
extern const struct ring_peer ring_ck;
extern const struct ring_peer ring_dpdk;

/* Zeroed memory, shared with children, never freed; exits without. */
void *ring_memory(uint64_t bytes);

#endif
