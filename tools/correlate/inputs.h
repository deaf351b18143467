/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channels that tapio-correlate reads: a consumer for each, and one engine behind all of them.
 *
 * Order. A consumer merges its lanes by their stamps (merge_ns). The engine orders the events that matter
 * once more, by the time that events have themselves, over all channels. All that an input adds is
 * how far it has come: every event that was published before `progress_ns` was handed in. The least
 * of these, less the lateness, is the engine's watermark.
 *
 * In place. The engine looks at an event where the channel has it, and copies those that a step of a
 * rule may match. Where producers may overwrite an event meanwhile (policies until and lossy), it is
 * copied first, and handed in if the copy is whole.
 *
 * Release. Nothing is released but by tpi_inputs_release(), when the state that has seen the events
 * is stored.
 */
#ifndef TPI_CORRELATE_INPUTS_H
#define TPI_CORRELATE_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/consumer.h>

#include "tools/collectors/common/collector.h"
#include "tools/correlate/engine.h"
#include "tools/correlate/options.h"

#define TPI_INPUT_TYPES_MAX 64
#define TPI_INSTANCE_TEXT   33 /* hexadecimal, with a NUL */

struct tpi_input {
	const char *channel;
	struct tapio_consumer *consumer;
	char instance[TPI_INSTANCE_TEXT];
	int source; /* the engine's number of this memory. -1: none yet */
	int former; /* of the memory before. -1: none */
	bool merged;
	/* All lanes are ours, as seen at look_ns. Those of a member that was killed come with
	 * its end, which the broker may not know of yet: until then it has no progress. */
	bool whole;
	bool told;
	int64_t look_ns;
	int64_t since_ns;
	int64_t refused_ns; /* since when the broker does not take the handle. 0: it does */
	uint64_t progress_ns;
	uint64_t held; /* handed in, and not released */
	/* The last time of each lane, for the begin of a gap. */
	uint64_t *lane_ns;
	uint32_t lane_room;
	/* By the state: it read this memory, whose group had lost so much. */
	char stored_instance[TPI_INSTANCE_TEXT];
	uint64_t stored_lost;
};

struct tpi_inputs {
	struct tpi_collector *collector;
	const struct tpi_correlate_values *values;
	struct tpi_corr *corr;
	bool durable;
	struct tpi_input *items;
	size_t count;
	int epoll;
	/* The filter. -1: none. */
	int type_count;
	uint16_t types[TPI_INPUT_TYPES_MAX];
	/* Counts. */
	uint64_t taken;
	uint64_t lost;
	/* A copy, where events may be overwritten. */
	unsigned char *copy;
	size_t copy_bytes;
};

/* -ENOMEM or -EMFILE, told already. */
int tpi_inputs_init(struct tpi_inputs *inputs, struct tpi_collector *collector,
		    const struct tpi_correlate_values *values,
		    struct tpi_corr *corr, bool durable);

/*
 * Joins the groups; with --wait until brokers and channels are there. False: the program ends with
 * the collector's status, and a message says why.
 */
bool tpi_inputs_open(struct tpi_inputs *inputs);

/* Whether rules need another filter than the one that the groups have. */
bool tpi_inputs_differ(const struct tpi_inputs *inputs,
		       const struct tpi_rules *rules);

/*
 * Hands in some events of each channel. How much that was, or -1: the program ends with the
 * collector's status.
 */
int64_t tpi_inputs_take(struct tpi_inputs *inputs);

/* All events before that time were handed in, less the lateness. */
uint64_t tpi_inputs_watermark(const struct tpi_inputs *inputs);

/* Of one channel, the most that waits to be released; and of all. */
uint64_t tpi_inputs_held(const struct tpi_inputs *inputs, uint64_t *sum);

void tpi_inputs_release(struct tpi_inputs *inputs);

/* Sleeps until there may be something to take, at most so long. */
void tpi_inputs_wait(struct tpi_inputs *inputs, int64_t ns);

/* Their part of the state, for free(). -ENOMEM. */
int tpi_inputs_save(const struct tpi_inputs *inputs, void **data,
		    size_t *length);
/* Before they are opened. -EBADMSG. */
int tpi_inputs_load(struct tpi_inputs *inputs, const void *data, size_t length);

/* Leaves the groups. */
void tpi_inputs_close(struct tpi_inputs *inputs);
void tpi_inputs_fini(struct tpi_inputs *inputs);

#endif
