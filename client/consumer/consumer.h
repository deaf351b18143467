/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer's handle.
 *
 *   consumer.c  opening, closing
 *   poll.c      tapio_poll: looking at leased lanes, whose turn it is
 *   look.c      what a look finds that is no event: gaps, what is impossible
 *   walk.c      from descriptors to views
 *   merge_poll.c  the same look, in the order of time stamps
 *   history.c      what a new group gets from before its start
 *   release.c   tapio_release: heads and tallies, overruns, waking producers
 *   lease.c     taking, keeping and giving a lane (the protocol is in lease.h)
 *   balance.c   which lanes to take and to give, so that members share them
 *   takeover.c  relieving members that sleep
 *   sleep.c     waiting for events
 *   watermark.c      waiting for many events at once
 *   fd.c        the pollable descriptor
 *   fd_thread.c   its helper thread
 *
 * Everything that the consumer writes in shared memory is in the cursors of its
 * own group. What it reads there, it writes itself as long as it has the lease.
 */
#ifndef TPI_CONSUMER_H
#define TPI_CONSUMER_H

#include <pthread.h>
#include <stdbool.h>

#include <tapio/consumer.h>

#include "client/connection/client.h"
#include "client/reader/copy.h"
#include "client/reader/filter.h"
#include "client/consumer/latency.h"
#include "client/consumer/lease.h"
#include "client/reader/merge.h"
#include "lib/base/testpoint.h"
#include "lib/lane/cursor.h"
#include "lib/lane/lane.h"
#include "lib/lane/wake.h"

/* What the caller has of a lane, before a look. */
struct tpi_in_hand {
	uint64_t next;
	uint64_t handed;
	bool gapped;
};

/*
 * One lane as this member sees it:
 *
 *	head               next              tail
 *	 |--- handed out ---|---- unread -----|
 *
 * The four counts are of [head, next) and go to the cursor with the next head.
 */
struct tpi_track {
	const struct tpi_lane *lane;
	struct tapio_shm_cursor *cursor;
	struct tapio_shm_cell
		*cell;  /* of the cursor; ours while it is leased */
	uint64_t lease; /* the word, as long as it is */
	uint64_t head;
	uint64_t next;
	uint64_t handed;  /* events handed out */
	uint64_t first;   /* position of the first of them */
	uint64_t skipped; /* discards and filtered */
	uint64_t lost;    /* in gap records */

	struct tapio_shm_tally tally; /* as of head */
	/* merge_poll.c: how far this round looks, and what it has passed over */
	uint64_t limit;
	struct tapio_gap passed;
	struct tpi_in_hand before; /* this round */
	bool looked;               /* in this round */
	struct tpi_sights sights;
	uint64_t seen;     /* the tail, as of the last look */
	uint64_t end;      /* read no further: the group has ended */
	uint32_t marked;   /* as in the cursor */
	uint32_t record;   /* which tally of the cursor counts */
	const void *guess; /* poll.c: to be prefetched */
	uint32_t node;
	bool leased;  /* the cursor's lease is ours */
	bool touched; /* in consumer.touched */
	bool giving;  /* goes back when all is released */
	bool gapped;  /* `gap` is in the caller's hands */
	bool owing;   /* `owed` is to be told when it is not */
	/* balance.c, takeover.c */
	bool busy;        /* published since the last survey */
	bool free_before; /* free, at the last survey */
	uint64_t seen_tail;
	uint64_t asked_word; /* the lease when we have asked for it, or 0 */
	int64_t rest_until;  /* given to another member: not to be taken back */
	/* history.c: what is still to be copied from before the group's start */
	uint64_t past;
	uint64_t past_end;
	bool past_seen; /* something of it was handed out */

	struct tapio_gap gap;
	struct tapio_gap owed;
	uint64_t idle; /* fd.c: where the helper counts from */
	/* release.c: of what was handed out since `asked_at` was the head */
	uint64_t asked_at;
	uint64_t asked_to; /* views below it have been asked about */
	uint64_t asked;
	uint64_t spoilt; /* of them, found to be overwritten */
};

/* Leased lanes of one priority. */
struct tpi_level {
	struct tpi_track **tracks;
	uint32_t count;
	uint32_t turn;   /* where the next look begins */
	uint32_t stayed; /* how many looks in a row it has been the same lane */
};

/* fd.c, fd_thread.c: shared with the helper thread. */
struct tpi_fd_thread {
	pthread_t thread;
	pthread_mutex_t lock; /* held to arm, to disarm, and to set marks */
	bool running;
	bool timer;     /* the descriptor is a timerfd */
	uint32_t epoch; /* of arming; under the lock */
	uint32_t armed; /* 1: the consumer waits for the descriptor */
	uint32_t stop;
	int64_t due_ns; /* what is unread is not to be read before; or 0 */
};

/* poll.c: when it is better to look less often. */
struct tpi_pace {
	int32_t streak;
	uint32_t pauses;
	uint32_t found; /* views, at the last one */
	bool behind;    /* and there were more */
	uint64_t fresh; /* positions that it saw for the first time */
	uint64_t left;  /* TSC when the last look returned; while in a streak */
};

struct tapio_consumer {
	union {
		struct tpi_hot hot;
		unsigned char page[TPI_HOT_BYTES];
	};
	struct tpi_client client;
	struct tpi_filter filter;
	struct tpi_latency latency;
	struct tpi_merge merge;
	struct tpi_pace pace;

	const struct tapio_shm_group *group;         /* ours, in the catalog */
	const uint64_t *slot;                        /* its word */
	const struct tapio_shm_doorbells *doorbells; /* read-only */
	const uint32_t *doorbell;                    /* our group's word */
	struct tapio_shm_group_control *control;     /* writable */
	uint32_t me;
	uint32_t incarnation;
	bool lossless; /* producers cannot overrun us */
	bool ended;    /* the slot is not our group's any more */
	bool fence;    /* no membarrier reaches us: fence each release */
	/* 1: there is no membarrier, so we poll. Relaxed: a hint to the helper
	 * thread, which looks every time. */
	uint32_t deaf;

	struct tpi_track *tracks; /* by lane id */
	uint32_t lane_count;
	struct tpi_track **leased; /* by level */
	struct tpi_level levels[TAPIO_CLASSES_MAX];
	uint32_t level_count;
	bool stale;                 /* the levels do not show what is leased */
	struct tpi_track **touched; /* with something to release */
	uint32_t touched_count;
	uint32_t owing;  /* lanes that have something to tell */
	uint32_t rounds; /* of looking: what `beat` shows to other members */
	uint32_t full;   /* looks that have filled the caller's views */
	uint32_t polls;  /* calls */

	uint32_t *beat; /* in the cell of the first lane that is leased */
	uint32_t no_beat;
	struct tpi_survey surveys[2]; /* in turns */
	uint32_t turn;                /* of the last one */
	int64_t balanced_ns;
	uint32_t spin_ns;
	uint32_t wake_events; /* above 1: watermark.c waits */
	bool draining; /* watermark.c: there may be more of what it waited for */
	int64_t wake_ns;
	uint32_t past_lanes; /* whose past is not read yet */
	uint64_t past_tick;  /* merge_poll.c: when all of it had been seen */
	struct tpi_copies copies;
	struct tpi_fd_thread bellhop;
	uint64_t sleeps;
	uint64_t wakeups;
	uint64_t relieved; /* lanes that others have taken over */
};

/* To other members: this one lives. */
static inline void tpi_lease_live(struct tapio_consumer *c)
{
	/* Relaxed: a sign of life, and nothing follows from it. */
	tpi_store_relaxed(c->beat, ++c->rounds);
}

/* R0: whether the lease is ours, asked for or not. */
static inline bool tpi_lease_held(const struct tpi_track *t)
{
	/* Relaxed: if it is our word, this process wrote it. */
	return !((tpi_load_relaxed(&t->cursor->lease) ^ t->lease) &
		 ~TAPIO_LEASE_ASKED);
}

/*
 * H1 to H3: announces what is about to be handed out. False: the lane is not ours any
 * more, and nothing of it may be handed out.
 */
static inline bool tpi_lease_hold(struct tapio_consumer *c, struct tpi_track *t)
{
	uint64_t lease;

	if (tpi_unlikely(c->ended))
		return true; /* the slot may be another group's by now */
	tpi_store_relaxed(&t->cell->next, (uint32_t)t->next);
	/* ORDER wake.barrier (full): H1 before H2. No fence, but for a process
	 * that tpi_barrier(), in take_asked(), does not reach. */
	if (tpi_unlikely(c->fence))
		tpi_fence_full();
	else
		tpi_fence_compiler();
	TPI_TESTPOINT("lease.announced");
	lease = tpi_load_relaxed(&t->cursor->lease);
	return tpi_likely(lease == t->lease) || tpi_lease_keep(c, t, lease);
}

/* Nothing of a lane that was lost is in hand any more. */
static inline void tpi_track_forget(struct tpi_track *t)
{
	t->head = t->next;
	t->handed = t->skipped = t->lost = 0;
}

/* Has something to release. */
static inline void tpi_touch(struct tapio_consumer *c, struct tpi_track *t)
{
	if (t->touched)
		return;
	t->touched = true;
	c->touched[c->touched_count++] = t;
}

/*
 * Whether the gate has not passed a position, so that its block cannot have been
 * reused: to be asked after the block was read. It saves the slowest reader that
 * producers wait for: when it stands at reap itself, tpi_lane_intact() has to say
 * no, though nobody may write there.
 */
static inline bool tpi_held_for_us(const struct tpi_lane *lane,
				   uint64_t position)
{
	/*
	 * ORDER lane.gate (load-load): the block before the gate. A producer
	 * moves the gate above a position before it writes into the block that
	 * lies there. Pairs with the swap in raise_gate(), which a later
	 * operation's stores follow.
	 */
	tpi_fence_load_load();
	return tapio_position_diff(tpi_load_relaxed(&lane->shm->gate),
				   position) <= 0;
}

/*
 * Whether nobody writes into the block at a position before a later look than this.
 * Producers that wait for a group do not, either; that is for the caller to know.
 */
static inline bool tpi_still_there(const struct tpi_track *t, uint64_t position)
{
	return tpi_lane_intact(t->lane, position) ||
	       tpi_held_for_us(t->lane, position);
}

/* poll.c: before looking again and again for what is not there yet. */
void tpi_guess(struct tapio_consumer *c);
/* One look at everything; how many views. */
unsigned int tpi_gather(struct tapio_consumer *c, struct tapio_view *views,
			unsigned int max);
/* Looks whether the slot is still our group's, and at its policy. */
void tpi_check_slot(struct tapio_consumer *c);
/* All that an ended group had has been handed out. */
bool tpi_drained(const struct tapio_consumer *c);

/* merge_poll.c: the look when the lanes are merged. */
int tpi_merge_open(struct tapio_consumer *c, uint64_t wait_ns,
		   const struct tapio_options *broker);
void tpi_merge_close(struct tapio_consumer *c);
unsigned int tpi_merge_gather(struct tapio_consumer *c,
			      struct tapio_view *views, unsigned int max);
/*
 * poll.c, for it: whether a lane is to be read, up to *tail (a record of what
 * cannot be read goes to the first of `max` views, unless it is the last one, and is
 * counted in *n); the end of the look.
 */
bool tpi_look(struct tapio_consumer *c, struct tpi_track *t,
	      struct tapio_view *views, unsigned int max, unsigned int *n,
	      uint64_t *tail);
void tpi_look_done(struct tapio_consumer *c, struct tpi_track *t);

/*
 * look.c: what is no event. Each returns how many views it has filled, 0 or 1;
 * `view` may be NULL when there is no room. What finds none is told later.
 */
/* A record, of what is in no ledger. */
unsigned int tpi_tell(struct tapio_consumer *c, struct tpi_track *t,
		      struct tapio_gap gap, struct tapio_view *view);
/* The ring went round: to where reading is worth while again. */
unsigned int tpi_overrun(struct tapio_consumer *c, struct tpi_track *t,
			 struct tapio_view *view);
/* The lane's state is impossible: nothing before its tail is believed. */
unsigned int tpi_bad_state(struct tapio_consumer *c, struct tpi_track *t,
			   uint64_t tail, struct tapio_view *view);
/* Impossible descriptors from t->next on, below `end`, if there are any. */
unsigned int tpi_bad_descriptors(struct tapio_consumer *c, struct tpi_track *t,
				 uint64_t end, struct tapio_view *view);
/* What was found when a record was in the caller's hands. */
unsigned int tpi_tell_owed(struct tapio_consumer *c, struct tapio_view *views,
			   unsigned int max);

/* history.c */
int tpi_history_init(struct tapio_consumer *c);
unsigned int tpi_history_read(struct tapio_consumer *c,
			      struct tapio_view *views, unsigned int max);
/* For a merge. Whether a lane's past has another event, now at t->past; and that
 * event: how many views, or -ENOBUFS until there is room for copies. */
bool tpi_history_skip(struct tapio_consumer *c, struct tpi_track *t);
int tpi_history_one(struct tapio_consumer *c, struct tpi_track *t,
		    struct tapio_view *view);

/* release.c: stores a lane's progress; false when its lease is not ours. */
bool tpi_commit(struct tapio_consumer *c, struct tpi_track *t);
/* Wakes producers that wait for room. */
void tpi_wake_producers(struct tapio_consumer *c);

/* sleep.c: as tapio_poll, once a look has found nothing. */
int tpi_sleep(struct tapio_consumer *c, struct tapio_view *views,
	      unsigned int max, int64_t timeout_ns);
/* watermark.c: as tapio_poll, for a consumer with a watermark. */
int tpi_watermark_wait(struct tapio_consumer *c, struct tapio_view *views,
		       unsigned int max, int64_t timeout_ns);
/* How many events a lane of ours waits for; 1 without a watermark. */
uint32_t tpi_watermark_goal(const struct tapio_consumer *c,
			    const struct tpi_track *t);
/* S2 and S3 of wake.h, for the group. */
void tpi_announce(struct tapio_consumer *c);

/* fd.c: a look with time-out 0 has found nothing. */
int tpi_fd_idle(struct tapio_consumer *c, struct tapio_view *views,
		unsigned int max);
/* A wait that sets marks of its own is about to begin. */
void tpi_fd_disarm(struct tapio_consumer *c);
void tpi_fd_close(struct tapio_consumer *c);

/* fd_thread.c: the thread; -EAGAIN there can be none. */
int tpi_fd_thread_start(struct tapio_consumer *c);
void tpi_fd_thread_stop(struct tapio_consumer *c);
/* Makes the descriptor readable. */
void tpi_fd_thread_raise(struct tapio_consumer *c);

#endif
