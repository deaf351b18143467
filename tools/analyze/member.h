/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One member of the group that is analysed: reads events in place, takes what counts of
 * each, and hands deltas on.
 *
 * An event stays where it is. The sample is made from it, then the library is asked
 * whether the event was whole, and only then the sample is counted. Events of a batch are
 * released together: at once where deltas go to a merger in this process, or else after
 * their delta was accepted, so that a kill loses none.
 */
#ifndef ANALYZE_MEMBER_H
#define ANALYZE_MEMBER_H

#include <tapio/consumer.h>

#include "tools/analyze/delta.h"

#define AN_LANES_SEEN 65536u

struct an_lanes_seen {
	uint32_t bits[AN_LANES_SEEN / 32];
};

/*
 * Where deltas go. 0: accepted, and the delta is clear. -EINTR: asked to stop before it was.
 * -errno. Called by the member's thread.
 */
typedef int an_sink_fn(void *arg, struct an_delta *delta);

struct an_member_options {
	const struct an_spec *spec;
	struct an_budget *budget;
	an_sink_fn *sink;
	void *arg;
	uint64_t name;
	bool by_lane; /* a delta for each lane, and events are held for it */
	bool by_events; /* time goes on with events alone, and not with the clock */
	bool from_oldest; /* its group begins with what the channel held */
	bool until_empty; /* ends when nothing is unread */
	uint32_t hold;    /* events of a lane that are held at most, about */
	int64_t flush_ns; /* how often deltas go */
	/* A bit for each lane that a member of this process has read. NULL: with by_lane the
	 * merger knows. */
	struct an_lanes_seen *seen;
};

/* NULL: no memory. Takes the consumer over. */
struct an_member_reader *an_member_new(const struct an_member_options *options,
				       struct tapio_consumer *consumer);
void an_member_free(struct an_member_reader *reader);

/*
 * Reads, counts and hands on, for at most about flush_ns. 1: there may be more. 0: it ends,
 * since nothing is unread and until_empty is set. -ENOTCONN: the group was removed. -EINTR: a
 * signal. -errno: the sink, or the consumer.
 */
int an_member_step(struct an_member_reader *reader);

/* Hands on what it has, and says that it leaves. 0 or -errno: events are left to others. */
int an_member_leave(struct an_member_reader *reader);

struct tapio_consumer *an_member_consumer(struct an_member_reader *reader);

#endif
