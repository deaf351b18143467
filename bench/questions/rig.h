/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker in the frame's process and handles on its channels, for the questions
 * about what only Tapio has. As everywhere here, what fails has called bench_why().
 *
 * rig_start() is for a run in the frame's process, before its sides are forked; the
 * rest is for sides.
 */
#ifndef BENCH_RIG_H
#define BENCH_RIG_H

#include <tapio/tapio.h>

#include "bench/peers/stream_peer.h"

#define RIG_TAG TAPIO_TAG(1, 6)

/* A ring of 1 MiB of events of 64 bytes, as the stream peers have it. */
#define RIG_BLOCKS_64 16384

struct rig {
	struct tapio_broker *broker;
	char socket[128];
};

/* Who that is. */
#define RIG_PEER (&stream_tapio.peer)

/* 0, or negative. */
int rig_start(struct rig *rig, const char *config);
void rig_stop(struct rig *rig);

/* NULL when it fails. The channel's name is the same everywhere. */
#define RIG_CHANNEL "bench"
struct tapio_producer *rig_producer(const struct rig *rig);
/* Options but for size and broker; NULL: a lossless group of its own. */
struct tapio_consumer *rig_consumer(const struct rig *rig,
				    const struct tapio_consumer_options *with);
struct tapio_observer *rig_observer(const struct rig *rig,
				    const struct tapio_observer_options *with);

/* 0, or negative when threads of this process were on side lanes: that is slower,
 * and not what is asked. */
int rig_on_cpu_lanes(const struct tapio_producer *producer);

/*
 * The event of 64 bytes that is `sequence`: the words behind the first are zero, as
 * those of the stream peers.
 */
struct rig_event {
	_Alignas(64) uint64_t word[8];
};

/*
 * Emits `count` of them, one at a time, from number `from` on, and waits for room
 * where there is none. 0, or negative.
 */
int rig_emit(struct tapio_producer *producer, uint32_t tag, uint64_t from,
	     uint64_t count);

#endif
