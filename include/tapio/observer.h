/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching a channel without an effect on it. An observer belongs to no group,
 * writes nothing and holds no producer back. It gets copies. When producers are
 * faster, it gets one gap record with the exact count, and goes on.
 *
 * Threads. One thread at a time MAY use an observer. A signal handler MUST NOT
 * make any call here. All calls follow the rules of common.h.
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
	/* Filter, as in struct tapio_consumer_options. */
	uint8_t severity_min;
	uint8_t reserved[3];
	uint32_t class_mask;
	uint32_t type_count;
	const uint16_t *types; /* copied */
	uint32_t buffer_bytes; /* for the copies of one call (0: 256 KiB) */
	/* As in struct tapio_consumer_options. The channel MUST have stamps
	 * (-EINVAL). */
	uint64_t merge_ns;
};

/*
 * Attaches to a channel as an observer, which needs the role `inspect`.
 * *out is NULL on error. options may be NULL. May block, as common.h says
 * (OPENING). Its errors are those of the table there.
 */
TAPIO_API int tapio_observer_open(struct tapio_observer **out,
				  const char *channel,
				  const struct tapio_observer_options *options);

/*
 * Frees the handle. NULL is allowed. Blocks for at most one second. Views MUST
 * NOT be used any more.
 */
TAPIO_API void tapio_observer_close(struct tapio_observer *observer);

/*
 * Copies up to `max` events and returns how many views it filled. Views are
 * valid until the next call. timeout_ns: nanoseconds, 0 to look only,
 * TAPIO_FOREVER.
 *
 *   result   | cause
 *   1 .. max | so many views are filled, gap records (common.h) among them
 *   0        | nothing came before the time-out
 *   -EINTR   | a signal handler ran while it slept
 *   -ECHILD  | after fork
 *
 * An observer may not announce that it sleeps, so it polls: 1 ms after the
 * last event, and less often the longer nothing comes, down to every 20 ms.
 * With TAPIO_START_OLDEST, events that were overwritten before the first copy
 * are no gap.
 *
 * ANOTHER INSTANCE (common.h). An observer moves as a consumer does (tapio_poll):
 * the old memory to its end, one record with TAPIO_GAP_INSTANCE, then the new
 * memory from its oldest event, and late events of the old one with
 * TAPIO_VIEW_FORMER. Producers do not wait for it there, so it moves as soon as it
 * finds nothing in the old memory.
 */
TAPIO_API int tapio_observe(struct tapio_observer *observer,
			    struct tapio_view *views, unsigned int max,
			    int64_t timeout_ns);

/* Counts of this observer, in events, over all memories that it has had. */
struct tapio_observer_stats {
	size_t size;        /* set by the caller */
	uint64_t seen;      /* copied out */
	uint64_t skipped;   /* discards and filtered events */
	uint64_t lost;      /* in gap records, now or in a later call */
	uint64_t in_flight; /* still to be seen: at most what lanes hold */
	uint64_t late;      /* with merge_ns: handed out after a later one */
};

/*
 * Fills in the fields that fit in stats->size. -EINVAL: stats->size is too
 * small for itself. -ECHILD: after fork.
 */
TAPIO_API int tapio_observer_stats_read(const struct tapio_observer *observer,
					struct tapio_observer_stats *stats);

/* The time of a view as CLOCK_REALTIME nanoseconds. 0: it has none. */
TAPIO_API uint64_t tapio_observer_time_ns(const struct tapio_observer *o,
					  uint64_t time);

/* As tapio_producer_connected. */
TAPIO_API int tapio_observer_connected(const struct tapio_observer *observer);

/* As tapio_producer_broker. */
TAPIO_API int tapio_observer_broker(const struct tapio_observer *observer);

/* As tapio_consumer_error. */
TAPIO_API const char *tapio_observer_error(const struct tapio_observer *o);

#ifdef __cplusplus
}
#endif

#endif
