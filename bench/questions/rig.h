/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker in the frame's process and handles on its channels, for the questions
 * about what only Tapio has. As everywhere here, what fails has called bench_why().
 *
 * rig_start() is for a run in the frame's process, before its sides are forked. The
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

/* The peer of these questions. */
#define RIG_PEER (&stream_tapio.peer)

/* 0, or negative. */
int rig_start(struct rig *rig, const char *config);
void rig_stop(struct rig *rig);

/* NULL when it fails. The channel's name is the same everywhere. */
#define RIG_CHANNEL "bench"
struct tapio_producer *rig_producer(const struct rig *rig);
/* Options but for size and broker. NULL: a lossless group of its own. */
struct tapio_consumer *rig_consumer(const struct rig *rig,
				    const struct tapio_consumer_options *with);
struct tapio_observer *rig_observer(const struct rig *rig,
				    const struct tapio_observer_options *with);

/* 0, or negative when threads of this process were on side lanes: that is slower,
 * and not what is asked. */
int rig_on_cpu_lanes(const struct tapio_producer *producer);

/*
 * Emits events of `bytes`, one at a time, in so many classes in turn (0: none is
 * named), and of so many types from RIG_TYPE on. Their first words are the
 * numbers from `from` on, the others zero, as those of the stream peers. Waits for
 * room where there is none. 0, or negative.
 */
struct rig_events {
	uint32_t bytes;
	uint32_t classes;
	uint32_t types;
};
#define RIG_PLAIN ((struct rig_events){64, 0, 1})
#define RIG_TYPE  100
int rig_emit(struct tapio_producer *producer, struct rig_events events,
	     uint64_t from, uint64_t count);

/*
 * The next 32 of them, made but not emitted: how many, up to `count`. Right after
 * its number was stored, copying an event waits for all stores before that one. So
 * events are made some at a time, though each is emitted alone.
 */
unsigned int rig_make(struct stream_event *made, uint64_t from, uint64_t count);
#define RIG_BATCH 32

#endif
