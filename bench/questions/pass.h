/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passing events from producers to a consumer or to none, for the questions
 * about streams: a channel is made, its sides are forked, opened and warmed up,
 * and then the clock runs.
 */
#ifndef BENCH_PASS_H
#define BENCH_PASS_H

#include "bench/peers/stream_peer.h"

struct pass {
	const struct stream_peer *peer;
	struct stream_spec spec; /* `events` of each producer, on the clock */
	int producer_cpu[BENCH_SIDES_MAX];
	int consumer_cpu;
};

/* The spec of a case. `events` in this turn, which a slow peer has fewer of. */
struct stream_spec pass_spec(const struct bench_run *run,
			     const struct stream_peer *peer);

/*
 * Nanoseconds from the first event on the clock to the last one, of all
 * producers, received or, with no consumer, sent. 0, or negative.
 */
int pass_run(const struct pass *pass, double *span_ns);

/* The handle of a side, opened. NULL with bench_why(). */
void *pass_open(const struct stream_peer *peer, void *channel, bool consumer);

/* How many events there are to warm up with: each ring went round twice. */
uint64_t pass_warm_events(const struct stream_spec *spec);

#endif
