/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order across lanes: a k-way merge by time stamp with a bounded wait.
 *
 * An event is handed out when it is `wait` old, the one with the earliest stamp
 * of all lanes first. A producer stamps in its section, just before it commits. So
 * as long as no producer takes longer than `wait` from stamp to commit, and clocks
 * agree that well, everything earlier is there by then. An event that comes
 * later than that is handed out at once and counted as late. Nothing is copied
 * or kept: a waiting event stays in its lane, and heads hold it there.
 *
 * A STAMP FROM THE FUTURE (a clock that was set back, or runs ahead in a container)
 * would wait for ever. So an event counts as stamped no later than it was first
 * seen here, by a clock of the reader that cannot be set: the TSC, or
 * CLOCK_MONOTONIC. Then nothing waits longer than `wait` after it was first
 * seen. An honest stamp is older than that, so that this changes nothing for
 * it:
 *
 *	stamp  <=  commit  <  the look that sees it  <=  `tick`, which is read after it
 *
 * When an event was first seen is known from the looks: each that found the tail
 * further on is noted (tpi_sights), one for each event that may wait.
 *
 * The wait ends early when a lane is a quarter full: order is not worth a loss.
 * Within a lane the order is that of positions, as always.
 */
#ifndef TPI_MERGE_H
#define TPI_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/common.h>

#include "client/connection/client.h"

/* Looks at one source: positions below `upto` were seen by `tick`. */
struct tpi_sight {
	uint64_t upto;
	uint64_t tick;
};

/* The looks that saw what is not handed out yet, oldest first: a ring. */
struct tpi_sights {
	struct tpi_sight *ring;
	uint32_t mask;
	uint32_t first;
	uint32_t count;
};

struct tpi_merge_entry {
	uint64_t time;
	void *source; /* whose next event has that stamp */
};

struct tpi_merge {
	struct tpi_merge_entry *heap; /* NULL: nothing is merged */
	uint32_t count;
	bool tsc;
	bool hurry; /* do not wait, in this round */
	uint64_t wait_ns;
	uint64_t ripe;   /* events up to this stamp need not wait */
	uint64_t tick;   /* our own clock, after the looks of this round */
	uint64_t offset; /* from that to the unit of the stamps */
	uint64_t last;   /* latest stamp that was handed out */
	uint64_t late;   /* events with an earlier stamp than one before them */
	int64_t due_ns; /* CLOCK_MONOTONIC: when the next one is ripe. 0: none */
	uint64_t mult;  /* TSC: ns = ticks * mult >> shift */
	uint32_t shift;
};

/*
 * For up to `sources`. wait_ns 0: no merge. -EINVAL no stamps, -ENOMEM; broker has
 * the place for why.
 */
int tpi_merge_init(struct tpi_merge *merge, const struct tpi_client *client,
		   uint64_t wait_ns, uint32_t sources,
		   const struct tapio_options *broker);
void tpi_merge_fini(struct tpi_merge *merge);

/* For a lane of `count` positions. -ENOMEM. */
int tpi_sights_init(struct tpi_sights *sights, uint32_t count);
void tpi_sights_fini(struct tpi_sights *sights);
/*
 * A look at a source whose next position is `next` has found it published up to
 * `limit`, at merge->tick or before.
 */
void tpi_sights_note(struct tpi_sights *sights, const struct tpi_merge *merge,
		     uint64_t next, uint64_t limit);
/*
 * The stamp by which the event at `next`, which was noted, is put in order: its own,
 * or when it was first seen.
 */
uint64_t tpi_sights_stamp(struct tpi_sights *sights,
			  const struct tpi_merge *merge, uint64_t next,
			  uint64_t stamp);

/*
 * A round: begin, look at all sources, then tpi_merge_tick, then push every source
 * that has something, pop until NULL. Another look needs another tick.
 */
void tpi_merge_begin(struct tpi_merge *merge, const struct tpi_client *client);
void tpi_merge_tick(struct tpi_merge *merge);
void tpi_merge_push(struct tpi_merge *merge, uint64_t time, void *source);
/* The top's stamp has changed, to a later one as a rule. */
void tpi_merge_sink(struct tpi_merge *merge);
/* The top has nothing more that is known of. */
void tpi_merge_drop(struct tpi_merge *merge);
/* Earlier, as far as stamps can tell: they may be anything. */
static inline bool tpi_merge_before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

/* The source whose turn it is, still in the heap. NULL: the rest must wait. */
static inline void *tpi_merge_top(const struct tpi_merge *merge)
{
	if (!merge->count)
		return NULL;
	if (!merge->hurry && tpi_merge_before(merge->ripe, merge->heap[0].time))
		return NULL;
	return merge->heap[0].source;
}

/* The top has another event, with that stamp. */
static inline void tpi_merge_next(struct tpi_merge *merge, uint64_t time)
{
	struct tpi_merge_entry *heap = merge->heap;

	heap[0].time = time;
	if (merge->count > 1 && tpi_merge_before(heap[1].time, time))
		tpi_merge_sink(merge);
	else if (merge->count > 2 && tpi_merge_before(heap[2].time, time))
		tpi_merge_sink(merge);
}

/* No later than that: the earlier one of a stamp and a tick of ours. */
static inline uint64_t tpi_merge_clamp(const struct tpi_merge *merge,
				       uint64_t stamp, uint64_t tick)
{
	uint64_t seen = tick + merge->offset;

	return tpi_merge_before(seen, stamp) ? seen : stamp;
}

/*
 * Notes in which order events are handed out. Others than events are ignored, and
 * so are stamps that lie in the future: they would make all others late.
 */
void tpi_merge_note(struct tpi_merge *merge, const struct tapio_view *views,
		    unsigned int n);
/* Ends the round: when to look again. */
void tpi_merge_end(struct tpi_merge *merge);

#endif
