/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partial results between processes: a member's sink that emits them into a channel, and the
 * merger's end that reads them there.
 */
#ifndef ANALYZE_PARTIALS_H
#define ANALYZE_PARTIALS_H

#include <tapio/consumer.h>
#include <tapio/producer.h>

#include "tools/analyze/coding.h"
#include "tools/analyze/merger.h"

struct an_emitter {
	const struct an_spec *spec;
	struct an_budget *budget;
	struct tapio_producer *producer;
	uint64_t pieces;
	char error[320]; /* why the last piece was not accepted */
};

/*
 * An an_sink_fn. Waits for room in the channel for as long as it takes, since the events of
 * the delta are not released before. -EINTR: asked to stop, and there was no room for a
 * second more.
 */
int an_emit(void *arg, struct an_delta *delta);

struct an_collector {
	const struct an_spec *spec;
	struct an_budget *budget;
	struct an_merger *merger;
	struct an_decoder *decoders; /* of members */
	uint32_t count;
	uint64_t foreign; /* events that are no partial result, or are broken */
	uint64_t stale;   /* of members with other options */
	uint64_t
		unended; /* deltas whose member was killed while it emitted them */
};

/* Takes one view of the channel. Done with it on return. */
void an_collect(struct an_collector *c, struct tapio_consumer *consumer,
		const struct tapio_view *view, int64_t monotonic_ns);
void an_collector_free(struct an_collector *c);

#endif
