/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A way to pass events between processes, as the questions 1 to 4 and 8 use it:
 * Tapio's lanes, a floor, or what people would use instead. Each is a file in
 * bench/peers/ which defines a few calls and includes stream_loops.h. So a ring
 * that is a header is measured inlined, as it would be used, and a library
 * through its calls.
 *
 * An event is `bytes` long. Its first word is its sequence number, its second a
 * time stamp (tpi_tsc) where latency is measured, the others are zero. Receivers
 * check the sequence and read every word.
 *
 * With several producers, that of index p sends p << STREAM_PRODUCER_SHIFT plus
 * the sequence, and receivers check the order of each.
 */
#ifndef BENCH_STREAM_PEER_H
#define BENCH_STREAM_PEER_H

#include "bench/frame/bench.h"

struct stream_spec {
	uint32_t bytes;
	uint32_t batch;     /* 1 or STREAM_BATCH */
	uint32_t producers; /* processes that send into the same channel */
	uint32_t consumers; /* 0: there is no reader, or 1 */
	bool sleeping;      /* the consumer blocks when there is nothing */
	bool eager;         /* a side that finds nothing looks again at once */
	bool yields; /* sides share a CPU: one that finds nothing gives way */
	uint64_t events; /* of each producer */
	/* Where it is said in the end, and not before, how many events of all
	 * producers there were. receive() returns with the last one. Or NULL. */
	const uint64_t *total;
	/* For send_paced: every gap_ns a burst of so many, one by one. */
	uint64_t gap_ns;
	uint32_t burst;
	bool paced_sleep; /* the sender sleeps between bursts, else it spins */
	/* A sleeping consumer may be woken for as many events at once as come in
	 * this time, and so late. 0: for each. Where the peer has that. */
	uint64_t wake_ns;
};

#define STREAM_BATCH 32
/* As many bytes of events in every ring. */
#define STREAM_RING_BYTES     (1u << 20)
#define STREAM_PRODUCER_SHIFT 48

/* Of the calls in a peer's loops. */
#define STREAM_INLINE static inline __attribute__((always_inline))

/* A sent event. On lines of its own. */
struct stream_event {
	_Alignas(64) uint64_t word[128];
};

/* The events that one of several consumers takes out of the shared ones. */
struct stream_share {
	const uint32_t *stop; /* not 0: nothing more will come */
	uint64_t *count;      /* so many so far. Others look at it */
	uint64_t sum;         /* of their sequences */
};

struct stream_peer {
	struct bench_peer peer;
	/*
	 * Without a reader the oldest events are overwritten, as in a flight
	 * recorder. Else a producer of a channel without consumers takes the
	 * oldest ones out when it finds no room.
	 */
	bool overwrites;
	/* Events that surely fit unread. 0: half of STREAM_RING_BYTES. */
	uint32_t fits;
	/* If not 0: its events take so long that one in so many is enough. */
	uint32_t slow;
	/* In the frame's process, before the sides are forked: a channel with
	 * nothing in it, or NULL with bench_why(). And after they ended. */
	void *(*make)(const struct stream_spec *spec);
	void (*unmake)(void *channel);
	/* In a side. Each sends or receives sequences [from, to). 0 or negative. */
	int (*open_producer)(void *channel, void **handle);
	int (*open_consumer)(void *channel, void **handle);
	void (*close)(void *handle);
	int (*send)(void *handle, const struct stream_spec *spec, uint64_t from,
		    uint64_t to);
	/*
	 * Of a consumer's handle. In a channel without consumers and without
	 * `overwrites`, of a producer's. NULL: nothing but sending. With several
	 * producers it receives [from, to) of each of them.
	 */
	int (*receive)(void *handle, const struct stream_spec *spec,
		       uint64_t from, uint64_t to);
	/* All that no other consumer has taken, from one producer. NULL,
	 * too. */
	int (*receive_shared)(void *handle, const struct stream_spec *spec,
			      struct stream_share *share);
	/* At spec's pace, each event with its time. NULL, too: not possible. */
	int (*send_paced)(void *handle, const struct stream_spec *spec,
			  uint64_t from, uint64_t to);
	/*
	 * From one producer: ticks[i - from] is what passed from the stamp of
	 * event i to the moment when the receiver had it.
	 */
	int (*receive_timed)(void *handle, const struct stream_spec *spec,
			     uint64_t from, uint64_t to, uint32_t *ticks);
};

extern const struct stream_peer stream_tapio;
extern const struct stream_peer stream_tapio_reserve;
extern const struct stream_peer stream_floor;
/* Floors of latencies: without flow control, for one producer. */
extern const struct stream_peer stream_line;
extern const struct stream_peer stream_futex;
extern const struct stream_peer stream_eventfd;
extern const struct stream_peer stream_pipe;
extern const struct stream_peer stream_seqpacket;
extern const struct stream_peer stream_mq; /* no batches */
#ifdef BENCH_HAVE_CK
extern const struct stream_peer stream_ck_spsc; /* no batches */
extern const struct stream_peer stream_ck_mp;   /* nor here */
#endif
#ifdef BENCH_HAVE_DPDK
extern const struct stream_peer stream_rte_spsc;
extern const struct stream_peer stream_rte_mp;
#endif
#ifdef BENCH_HAVE_ICEORYX
extern const struct stream_peer stream_iceoryx; /* no batches */
#endif
#ifdef BENCH_HAVE_LTTNG
extern const struct stream_peer stream_lttng; /* it receives nothing */
#endif
#ifdef BENCH_HAVE_BPF
extern const struct stream_peer stream_bpf; /* no batches */
#endif

#endif
