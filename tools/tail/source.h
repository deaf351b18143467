/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where tapio-tail reads from: an observer, or a member of a group. Behind one
 * interface, so that the rest of the tool does not care which.
 */
#ifndef TPI_TAIL_SOURCE_H
#define TPI_TAIL_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/consumer.h>
#include <tapio/observer.h>

struct tpi_tail_options {
	const char *channel;
	const char *group; /* NULL: an observer, or a group of our own */
	bool join;         /* a group, ours or the named one */
	uint32_t policy;   /* TAPIO_GROUP_* */
	uint32_t lag;
	uint32_t start;    /* TAPIO_START_* */
	uint64_t merge_ns; /* 0: lane by lane */
	uint8_t severity_min;
	uint32_t type_count;
	uint16_t types[64];
};

struct tpi_tail_source {
	const struct tpi_tail_options *options;
	struct tapio_observer *observer; /* one of the two */
	struct tapio_consumer *consumer;
};

struct tpi_tail_stats {
	uint64_t delivered; /* by the channel, to us or to our group */
	uint64_t skipped;
	uint64_t lost;
	uint64_t late; /* of those we got: behind a later one */
};

/* As tapio_observer_open and tapio_consumer_open. */
int tpi_tail_open(struct tpi_tail_source *source,
		  const struct tapio_options *broker);
void tpi_tail_close(struct tpi_tail_source *source);

/* As tapio_observe and tapio_poll. */
int tpi_tail_next(struct tpi_tail_source *source, struct tapio_view *views,
		  unsigned int max, int64_t timeout_ns);

/* Whether a view that was just used was whole. */
bool tpi_tail_intact(struct tpi_tail_source *source,
		     const struct tapio_view *view);

/* Done with all views. How many may have been overwritten while being read. */
int64_t tpi_tail_release(struct tpi_tail_source *source);

int tpi_tail_broker(const struct tpi_tail_source *source);
uint64_t tpi_tail_time_ns(const struct tpi_tail_source *source, uint64_t time);
void tpi_tail_stats(const struct tpi_tail_source *source,
		    struct tpi_tail_stats *stats);

#endif
