/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An observer. The handle that the program has (struct tapio_observer) points to what is
 * attached to a channel (struct tpi_observer).
 *
 *   observer.c  opening, closing, and other questions
 *   observe.c   looking, and copying
 *   follow.c    memory of isolated producers that comes and goes
 *   move.c      to the memory of another broker
 */
#ifndef TPI_OBSERVER_H
#define TPI_OBSERVER_H

#include <stdbool.h>

#include <tapio/consumer.h>
#include <tapio/observer.h>

#include "client/connection/client.h"
#include "client/connection/segments.h"
#include "client/reader/copy.h"
#include "client/reader/filter.h"
#include "client/reader/merge.h"

/* One lane as the observer sees it. */
struct tpi_watched {
	const struct tpi_lane *lane;
	uint64_t next;
	uint64_t limit; /* merging: how far this round looks */
	uint64_t goal;  /* move.c: the tail when another instance was found */
	bool seen;      /* something was read: missing events are a gap now */
	bool gapped;    /* `gap` is in the caller's hands */
	bool shut; /* the memory of its producer is not there, or not sealed */
	bool over; /* its producer is gone: it ends at `end` */
	uint64_t end;
	struct tapio_gap gap;
	struct tapio_gap
		owed; /* to be told in the next call. count 0: nothing */
	struct tpi_sights sights; /* merging */
};

struct tpi_observer {
	union {
		struct tpi_hot hot;
		unsigned char page[TPI_HOT_BYTES];
	};
	struct tpi_client client;
	struct tpi_filter filter;
	struct tpi_copies copies;
	struct tpi_merge merge;
	struct tpi_watched *watches; /* by lane id */
	uint32_t lane_count;
	uint32_t turn;
	uint32_t owing; /* lanes that have something to tell */
	uint64_t seen;
	uint64_t skipped;
	uint64_t lost;
	/* follow.c */
	uint32_t looks;
	uint8_t leaving[TAPIO_NODES_MAX]; /* looks in vain */
	/* move.c */
	struct tapio_observer *handle;
	struct tpi_observer *former; /* the one before. NULL: none */
	uint64_t missed; /* overwritten before it was opened, after a move */
	uint32_t calls;  /* that have found something */
	int64_t away_ns; /* another instance is there, since when. 0: none */
};

/* The program's handle. It keeps the options of its open for the next attachment. */
struct tapio_observer {
	struct tpi_observer *now;
	struct tapio_observer_options options;
	char *channel;
	uint16_t *types;
	struct tapio_observer_stats
		gone;         /* counts of memory that was given up */
	struct tapio_gap gap; /* the record of the last move */
};

/* observer.c */
/* Attaches, as the handle says. `former`: where it moves from, with its turn. Else NULL.
 * The program's place for errors is as in the handle's options. */
int tpi_observer_attach(struct tpi_observer **out,
			struct tapio_observer *handle,
			const struct tpi_observer *former);
void tpi_observer_leave(struct tpi_observer *o);
void tpi_observer_count(const struct tpi_observer *o,
			struct tapio_observer_stats *sum);

/* observe.c: one look at everything; how many views. */
unsigned int tpi_observer_look(struct tpi_observer *o, struct tapio_view *views,
			       unsigned int max);
/* [next, to) is missed. A record of it, if there is a view for one. */
unsigned int tpi_observer_miss(struct tpi_observer *o, struct tpi_watched *w,
			       uint32_t cause, uint64_t to,
			       struct tapio_view *view);

/* follow.c: a lane as the open found it. */
void tpi_observer_follow_init(struct tpi_observer *o, struct tpi_watched *w);
/* Whether there is memory that was not there before. */
bool tpi_observer_follow_news(struct tpi_observer *o, int wait_ms);
static inline bool tpi_observer_follow(struct tpi_observer *o, int wait_ms)
{
	return tpi_segments_changed(&o->client) &&
	       tpi_observer_follow_news(o, wait_ms);
}

/*
 * move.c: looks at the memory before, and moves to the next one if it is time to. How
 * many views: events with TAPIO_VIEW_FORMER, or one record of a move, after which `o` is
 * the memory before. _often in calls that may find something.
 */
unsigned int tpi_observer_aside(struct tpi_observer *o,
				struct tapio_view *views, unsigned int max);
unsigned int tpi_observer_aside_often(struct tpi_observer *o,
				      struct tapio_view *views,
				      unsigned int max);
/* No system call. */
static inline bool tpi_observer_restless(const struct tpi_observer *o)
{
	return o->former || tpi_client_elsewhere(&o->client);
}

/* The tail, but nothing behind the end of a producer. */
static inline uint64_t tpi_watch_tail(const struct tpi_watched *w,
				      uint64_t state)
{
	uint64_t tail = TAPIO_STATE_TAIL(state);

	if (!w->over)
		return tail;
	/* A stranger may write there: no going back, or beyond the end. */
	if (tapio_position_diff(tail, w->end) > 0)
		tail = w->end;
	return tapio_position_diff(tail, w->next) < 0 ? w->next : tail;
}

/* Whether an observer can go on from its place in a lane that is in that state. */
static inline bool tpi_watch_possible(const struct tpi_watched *w,
				      uint64_t state)
{
	return tpi_lane_state_sane(w->lane, state) &&
	       tapio_position_diff(tpi_watch_tail(w, state), w->next) >= 0;
}

#endif
