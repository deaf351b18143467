/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching a channel without holding anybody back. An observer belongs to no
 * group, writes nothing, and gets copies; when it is overrun it gets one gap
 * record with the exact count and goes on.
 */
#ifndef TAPIO_OBSERVER_H
#define TAPIO_OBSERVER_H

#include <tapio/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapio_observer;

struct tapio_observer_options {
	size_t size; /* sizeof(struct tapio_observer_options) */
	struct tapio_options broker;
	uint32_t start; /* TAPIO_START_* (consumer.h) */
	uint8_t severity_min;
	uint8_t reserved[3];
	uint32_t class_mask;
	uint32_t type_count;
	const uint16_t *types; /* copied */
	uint32_t buffer_bytes; /* for copies, per call; 0: 256 KiB */
	/* As in struct tapio_consumer_options; -EINVAL without stamps. */
	uint64_t merge_ns;
};

/* Errors as tapio_producer_open. The right that it needs is `inspect`. */
TAPIO_API int tapio_observer_open(struct tapio_observer **out,
				  const char *channel,
				  const struct tapio_observer_options *options);
TAPIO_API void tapio_observer_close(struct tapio_observer *observer);

/*
 * Copies up to `max` events and returns how many views it filled: 0 when the
 * time-out (nanoseconds) passed first. Views are valid until the next call.
 * A sleeping observer polls: 1 ms after the last event, longer the longer
 * nothing comes, 20 ms at most, since it may not announce itself. A gap record may
 * come among the views (common.h); with TAPIO_START_OLDEST, what was overwritten
 * before the first event was copied is no gap. -EINTR a signal handler ran while
 * it slept; -ECHILD.
 */
TAPIO_API int tapio_observe(struct tapio_observer *observer,
			    struct tapio_view *views, unsigned int max,
			    int64_t timeout_ns);

struct tapio_observer_stats {
	size_t size;      /* set by the caller */
	uint64_t seen;    /* copied out */
	uint64_t skipped; /* discards and filtered */
	uint64_t lost;    /* in gap records */
	uint64_t in_flight;
	uint64_t late; /* with merge_ns: handed out after a later one */
};
TAPIO_API int tapio_observer_stats_read(const struct tapio_observer *observer,
					struct tapio_observer_stats *stats);

TAPIO_API uint64_t tapio_observer_time_ns(const struct tapio_observer *o,
					  uint64_t time);

TAPIO_API int tapio_observer_connected(const struct tapio_observer *observer);

#ifdef __cplusplus
}
#endif

#endif
