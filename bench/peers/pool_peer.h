/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of objects, or an allocator, as question 6 uses it. Each is a file in
 * bench/peers/ which defines a few calls and includes pool_loops.h. So what is a
 * header is measured inlined, as it would be used, and a library through its
 * calls.
 */
#ifndef BENCH_POOL_PEER_H
#define BENCH_POOL_PEER_H

#include "bench/frame/bench.h"

#define POOL_OBJECTS 16384
#define POOL_BURST   32
#define POOL_PASSED  1024 /* taken by one side, then given back by the other */

struct pool_spec {
	uint32_t bytes; /* of an object */
	bool zeroed;    /* it is all zero when it is got */
};

struct pool_ops {
	/* Of one process: the two sides of `across` are then two threads. */
	bool threads;
	/* In the frame's process: a pool with all objects free. 0, or negative
	 * with bench_why(). And when the sides have ended. Both may be NULL. */
	int (*make)(void **pool, const struct pool_spec *spec);
	void (*unmake)(void *pool);
	/* In a side. 0 gets, 1 puts what 0 has got. NULL: the pool itself. */
	int (*open)(void **handle, void *pool, unsigned int index);
	/*
	 * Each 0, or negative when an object was not given, not taken back or
	 * not zero. One at a time: get it, put it. POOL_BURST at a time, by
	 * calls for so many where there are such.
	 */
	int (*pair)(void *handle, const struct pool_spec *spec, uint64_t count);
	int (*burst)(void *handle, const struct pool_spec *spec,
		     uint64_t count);
	/* The two halves of `across`. */
	int (*take)(void *handle, const struct pool_spec *spec, void **objects,
		    uint32_t count);
	int (*give)(void *handle, const struct pool_spec *spec, void **objects,
		    uint32_t count);
};

/* Tapio's, by what its puts do. */
extern const struct bench_peer peer_tapio_pool;
extern const struct pool_ops pool_tapio; /* by default, but dirty */
extern const struct pool_ops pool_tapio_exact;
extern const struct pool_ops pool_tapio_unchecked;
extern const struct pool_ops pool_tapio_zero; /* zeroes */
/* Both sides under one name, as the threads of a process are. */
extern const struct pool_ops pool_tapio_named;
extern const struct pool_ops pool_tapio_named_unchecked;

extern const struct bench_peer peer_tapio_bytes;
extern const struct pool_ops pool_bytes;
extern const struct pool_ops pool_bytes_exact;

extern const struct bench_peer peer_malloc;
extern const struct pool_ops pool_malloc;
extern const struct bench_peer peer_jemalloc;
extern const struct pool_ops pool_jemalloc;
extern const struct bench_peer peer_ck_stack;
extern const struct pool_ops pool_ck;
extern const struct bench_peer peer_rte_mempool;
extern const struct pool_ops pool_rte;

/* Floor: an array of free objects that a process keeps to itself. */
extern const struct bench_peer peer_array;
extern const struct pool_ops pool_array;

#endif
