/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A way to pass events between processes, as the questions 1 to 4 and 8 use it:
 * Tapio's lanes, a floor, or what people would use instead. Each is a file in
 * bench/peers/ which defines a few calls and includes stream_loops.h; so a ring
 * that is a header is measured inlined, as it would be used, and a library
 * through its calls.
 *
 * An event is `bytes` long; its first word is its sequence number, its second a
 * time stamp (rdtsc) where latency is measured, the others are zero. Receivers
 * check the sequence and read every word.
 */
#ifndef BENCH_STREAM_PEER_H
#define BENCH_STREAM_PEER_H

#include "bench/frame/bench.h"

struct stream_spec {
	uint32_t bytes;
	uint32_t batch;     /* 1 or STREAM_BATCH */
	uint32_t producers; /* processes that send into the same channel */
	uint32_t consumers; /* 0: nobody reads; 1 */
	bool sleeping;      /* the consumer blocks when there is nothing */
	uint64_t events;    /* of each producer */
};

#define STREAM_BATCH 32
/* As many bytes of events in every ring. */
#define STREAM_RING_BYTES (1u << 20)

struct stream_peer {
	struct bench_peer peer;
	/* In the frame's process, before the sides are forked: a channel with
	 * nothing in it, or NULL with bench_why(). And after they ended. */
	void *(*make)(const struct stream_spec *spec);
	void (*unmake)(void *channel);
	/* In a side. Each sends or receives sequences [from, to); 0 or negative. */
	int (*open_producer)(void *channel, void **handle);
	int (*open_consumer)(void *channel, void **handle);
	void (*close)(void *handle);
	int (*send)(void *handle, const struct stream_spec *spec, uint64_t from,
		    uint64_t to);
	int (*receive)(void *handle, const struct stream_spec *spec,
		       uint64_t from, uint64_t to);
};

#endif
