/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer. The handle that the program has (struct tapio_consumer) points to what is
 * attached to a channel (struct tpi_consumer): the mappings, and the place in a group.
 *
 *   consumer.c  opening, closing
 *   poll.c      tapio_poll: looking at leased lanes, whose turn it is
 *   look.c      what a look finds that is no event: gaps, what is impossible
 *   walk.c      from descriptors to views
 *   pace.c      looking less often where that makes events come faster
 *   merge_poll.c  the same look, in the order of time stamps
 *   history.c      what a new group gets from before its start
 *   release.c   tapio_release: heads and tallies, overruns, waking producers
 *   lease.c     taking, keeping and giving a lane (the protocol is in lease.h)
 *   balance.c   which lanes to take and to give, so that members share them
 *   takeover.c  relieving members that sleep
 *   follow.c    memory of isolated producers that is replaced
 *   sleep.c     waiting for events; spin.h says whether it begins with a spin
 *   watermark.c      waiting for many events at once
 *   fd.c        the pollable descriptor
 *   fd_thread.c   its helper thread
 *   move.c      to the memory of another broker
 *
 * Everything that the consumer writes in shared memory is in the cursors of its
 * own group. As long as it has the lease, no other writes the words that it reads there.
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
#include "client/consumer/pace.h"
#include "client/consumer/spin.h"
#include "client/reader/merge.h"
#include "lib/base/testpoint.h"
#include "lib/lane/cursor.h"
#include "lib/lane/lane.h"
#include "lib/lane/wake.h"

/* The caller's share of a lane, before a look. */
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
	bool known;                /* .. or not, as `limit` is known */
	struct tpi_sights sights;
	uint64_t seen; /* the tail, as of the last look */
	uint64_t end;  /* read no further: the group has ended, or `over` */
	uint64_t
		begin; /* follow.c: of the lane, in the memory that is mapped */
	uint64_t goal; /* move.c: the tail when another instance was found */
	uint32_t marked;   /* as in the cursor */
	uint32_t record;   /* which tally of the cursor counts */
	const void *guess; /* poll.c: to be prefetched */
	uint32_t node;
	uint32_t shut; /* follow.c: its memory is not there, or not sealed */
	bool over;     /* .. its producer is gone: `end` */
	bool leased;   /* the cursor's lease is ours */
	bool touched;  /* in consumer.touched */
	bool giving;   /* goes back when all is released */
	bool gapped;   /* `gap` is in the caller's hands */
	bool owing; /* `owed` is to be told when it is not; in consumer.owing */
	/* balance.c, takeover.c */
	bool busy;        /* published since the last survey */
	bool free_before; /* free, at the last survey */
	uint64_t seen_tail;
	uint64_t seen_signs; /* of life, of .. */
	uint32_t seen_holder;
	uint64_t asked_word; /* the lease when we have asked for it, or 0 */
	int64_t rest_until;  /* given to another member: not to be taken back */
	/* history.c: still to be copied from before the group's start */
	uint64_t past;
	uint64_t past_end;
	bool past_seen; /* something of it was handed out */

	struct tapio_gap gap;
	struct tapio_gap owed;
	uint64_t unsettled; /* of `owed`: positions from head on */
	uint64_t idle;      /* fd.c: where the helper counts from */
	/* release.c: of what was handed out since `asked_at` was the head */
	uint64_t asked_at;
	uint64_t asked_to; /* views below it have been asked about */
	uint64_t asked;
	uint64_t spoilt; /* of them, found to be overwritten */
};

/*
 * poll.c: where a lane's state lies, and the state in which it had nothing for us. While
 * it has that state still, nothing else of the lane needs to be looked at: many idle
 * lanes cost one word each. Where none is known, `state` is a word of our own, which
 * `idle` is not.
 */
struct tpi_glance {
	const uint64_t *state;
	uint64_t idle;
};

/* Leased lanes of one priority. */
struct tpi_level {
	struct tpi_track **tracks;
	struct tpi_glance *glances; /* of each of them */
	uint32_t count;
	uint32_t turn;   /* where the next look begins */
	uint32_t stayed; /* how many looks in a row it has been the same lane */
};

/*
 * merge_poll.c: a lane in a round, and the stretch of its slots that can be handed out one
 * after the other: from `at` to before `stop` they lie side by side, are known to be
 * published, and were first seen at the same time. Of a lane's past there is none.
 */
struct tpi_merge_run {
	const uint64_t *at; /* the descriptor of the next event */
	const uint64_t *stop;
	ptrdiff_t time; /* from a descriptor to its stamp */
	uint64_t seen;  /* when, as a key (merge.h) */
	int64_t most;   /* .. and as a rank, without its leaf: none is higher */
	uint64_t
		next; /* the rank of the event behind. NEVER: it ends before it */
	uint64_t position;
	const struct tpi_lane *lane;
	struct tpi_track *track;
	struct tpi_glance *glance; /* of the lane. NULL: it has none */
	bool passed; /* what lies at `at`, if anything, has not been looked at */
};

/* call.c: one thread's announcements. */
struct tpi_call {
	bool made;
	bool own; /* for the bell that was heard last. Else an earlier one stands for it */
	bool dirty; /* there is more to be seen by wakers: the barrier is due */
	uint32_t
		heard; /* S1 of the last one that was made, or that this one stands for */
	uint32_t until;  /* a number of the bell: it is good for those before */
	uint32_t seen;   /* the bell as last seen, .. */
	int64_t seen_ns; /* .. and since when, or when it was rung. 0: never */
	int64_t made_ns; /* a time before that */
	int64_t woken_ns; /* when a bell has ended the last sleep. 0: none has */
	uint32_t
		brief; /* sleeps in a row that were like those of tpi_call_on() */
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

struct tpi_consumer {
	union {
		struct tpi_hot hot;
		unsigned char page[TPI_HOT_BYTES];
	};
	struct tpi_client client;
	struct tpi_filter filter;
	struct tpi_latency latency;
	struct tpi_merge merge;
	struct tpi_merge_run *runs; /* of this round, as merge.sources */
	bool unfinished;            /* it ended when the views were full */
	struct tpi_pace pace;

	const struct tapio_shm_group *group;         /* ours, in the catalog */
	const uint64_t *slot;                        /* its word */
	const struct tapio_shm_doorbells *doorbells; /* read-only */
	const uint32_t *doorbell;                    /* our group's word */
	struct tapio_shm_group_control *control;     /* writable */
	uint32_t me;
	uint32_t incarnation;
	bool lossless; /* producers cannot overrun us */
	bool ended; /* the slot is not our group's any more: no store into it */
	bool over;  /* some lane is `over` */
	bool fence; /* no membarrier reaches us: fence each release */
	/* 1: there is no membarrier, so we poll. Relaxed: a hint to the helper
	 * thread, which looks every time. */
	uint32_t deaf;

	struct tpi_track *tracks; /* by lane id */
	uint32_t lane_count;
	struct tpi_track **leased; /* by level */
	uint32_t leased_count;
	struct tpi_glance *glances; /* of each of them */
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
	struct tpi_spin spin;
	uint32_t wake_events; /* above 1: watermark.c waits */
	bool draining; /* watermark.c: there may be more of what it waited for */
	int64_t wake_ns;
	uint32_t past_lanes; /* whose past is not read yet */
	uint64_t past_tick;  /* merge_poll.c: when all of it had been seen */
	struct tpi_copies copies;
	struct tpi_fd_thread bellhop;
	struct tpi_call call; /* of the thread that polls */
	uint64_t sleeps;
	uint64_t wakeups;
	uint64_t relieved; /* lanes that others have taken over */
	uint8_t leaving[TAPIO_NODES_MAX]; /* follow.c: looks in vain */
	/* poll.c: the cell of every lane once the group has ended, to be written in vain */
	struct tapio_shm_cell nowhere;

	/* move.c */
	struct tapio_consumer *handle;
	struct tpi_consumer *former; /* the one before. NULL: none */
	struct tpi_consumer *next;   /* has joined, and waits. NULL: none */
	uint64_t missed;   /* history.c: overwritten before we could join */
	bool copied;       /* copies are in the caller's hands */
	uint32_t unlooked; /* glances aside since the last look at `former` */
	int64_t away_ns;   /* another instance is there, since when. 0: none */
	int64_t quiet_ns;  /* nothing has come since .. */
	uint64_t quiet_at; /* .. the tails had this sum */
};

/* The program's handle. It keeps the options of its open for the next attachment. */
struct tapio_consumer {
	struct tpi_consumer *now;
	struct tapio_consumer_options options;
	char *channel;
	char *group;
	uint16_t *types;
	struct tapio_consumer_stats
		gone;         /* counts of memory that was given up */
	struct tapio_gap gap; /* the record of the last move .. */
	bool told;            /* .. is in the caller's hands */
};

/* To other members: this one lives. */
static inline void tpi_lease_live(struct tpi_consumer *c)
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
 * The slot is another group's by now, and so are its cursors. One that is nobody's has our
 * incarnation still: then a member that has never looked takes lanes, to read the rest.
 */
static inline bool tpi_slot_is_foreign(const struct tpi_consumer *c)
{
	/* ORDER group.slot (acquire): as in tpi_check_slot(). */
	return TAPIO_SLOT_INCARNATION(tpi_load_acquire(c->slot)) !=
	       c->incarnation;
}

/* A member that was relieved does not know where the lane stands. */
static inline bool tpi_lease_lost(const struct tpi_consumer *c,
				  const struct tpi_track *t)
{
	return !c->ended && !tpi_lease_held(t);
}

/*
 * H1 to H3: announces what is about to be handed out. False: the lane is not ours any
 * more, and nothing of it may be handed out.
 */
static inline bool tpi_lease_hold(struct tpi_consumer *c, struct tpi_track *t)
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

/* It is told, or another member's to tell. */
static inline void tpi_forget_owed(struct tpi_consumer *c, struct tpi_track *t)
{
	t->owing = false;
	t->unsettled = 0;
	c->owing--;
}

/* Has something to release. */
static inline void tpi_touch(struct tpi_consumer *c, struct tpi_track *t)
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

/* poll.c: no lane is known to be idle. After all that moves `next` back, and that gives a
 * lane other memory. */
void tpi_glances_forget(struct tpi_consumer *c);
/* Before looking again and again for an event that is to come. */
void tpi_guess(struct tpi_consumer *c);
/* One look at everything; how many views. */
unsigned int tpi_gather(struct tpi_consumer *c, struct tapio_view *views,
			unsigned int max);
/* Looks whether the slot is still our group's, and at its policy. */
void tpi_check_slot(struct tpi_consumer *c);
/* All that an ended group had has been handed out. */
bool tpi_drained(const struct tpi_consumer *c);

/* merge_poll.c: the look when the lanes are merged. */
int tpi_merge_open(struct tpi_consumer *c, uint64_t wait_ns,
		   const struct tapio_options *broker);
void tpi_merge_close(struct tpi_consumer *c);
unsigned int tpi_merge_gather(struct tpi_consumer *c, struct tapio_view *views,
			      unsigned int max);
/*
 * poll.c, for it: whether a lane is to be read, up to *tail (a record of what
 * cannot be read goes to the first of `max` views, unless it is the last one, and is
 * counted in *n); the end of the look. A look may find that the lane is not ours any more.
 * If there is nothing to read, *tail is as it was.
 */
bool tpi_look(struct tpi_consumer *c, struct tpi_track *t,
	      struct tapio_view *views, unsigned int max, unsigned int *n,
	      uint64_t *tail);
void tpi_look_done(struct tpi_consumer *c, struct tpi_track *t);

/*
 * look.c: what is no event. Each returns how many views it has filled, 0 or 1;
 * `view` may be NULL when there is no room. Then it is told later.
 */
/* A record, of what is in no ledger. It is in the caller's hands when the look is done
 * (tpi_look_done()): before that the lane may be found lost. */
unsigned int tpi_tell(struct tpi_consumer *c, struct tpi_track *t,
		      struct tapio_gap gap, struct tapio_view *view);
/* The ring went round: to where reading is worth while again. */
unsigned int tpi_overrun(struct tpi_consumer *c, struct tpi_track *t,
			 struct tapio_view *view);
/* The lane's state is impossible: nothing before its tail is believed. */
unsigned int tpi_bad_state(struct tpi_consumer *c, struct tpi_track *t,
			   uint64_t tail, struct tapio_view *view);
/* Whether a lane is still ours, where it gives nothing and so is not asked about: nothing of
 * it can be read, or it is time for a survey. */
void tpi_notice_loss(struct tpi_consumer *c, struct tpi_track *t);
/* Impossible descriptors from t->next on, below `end`, if there are any. */
unsigned int tpi_bad_descriptors(struct tpi_consumer *c, struct tpi_track *t,
				 uint64_t end, struct tapio_view *view);
/* Found while a record was in the caller's hands. */
unsigned int tpi_tell_owed(struct tpi_consumer *c, struct tapio_view *views,
			   unsigned int max);

/* [next, to) is lost. */
unsigned int tpi_miss(struct tpi_consumer *c, struct tpi_track *t,
		      uint32_t cause, uint64_t to, struct tapio_view *view);

/* follow.c: the lanes as the open found them. */
void tpi_follow_init(struct tpi_consumer *c);
/* A lease was taken: whether the lane may be read, and from where on. */
void tpi_follow_lease(struct tpi_consumer *c, struct tpi_track *t);
/* Whether there is memory that was not there before. */
bool tpi_follow_news(struct tpi_consumer *c, int wait_ms);
static inline bool tpi_follow(struct tpi_consumer *c, int wait_ms)
{
	return (tpi_segments_changed(&c->client) || tpi_unlikely(c->over)) &&
	       tpi_follow_news(c, wait_ms);
}

/* history.c */
/* `moved`: the history has a known beginning, and events that are missing there are a gap. */
int tpi_history_init(struct tpi_consumer *c, bool moved);
unsigned int tpi_history_read(struct tpi_consumer *c, struct tapio_view *views,
			      unsigned int max);
/* For a merge. Whether a lane's past has another event, now at t->past; and that
 * event: how many views, or -ENOBUFS until there is room for copies. */
bool tpi_history_skip(struct tpi_consumer *c, struct tpi_track *t);
int tpi_history_one(struct tpi_consumer *c, struct tpi_track *t,
		    struct tapio_view *view);

/*
 * move.c: looks at the memory before, and moves to the next one if it is time to. How
 * many views: events with TAPIO_VIEW_FORMER, or one record of a move, after which `c` is
 * the memory before. _often from calls that may have found something.
 */
unsigned int tpi_aside(struct tpi_consumer *c, struct tapio_view *views,
		       unsigned int max);
unsigned int tpi_aside_often(struct tpi_consumer *c, struct tapio_view *views,
			     unsigned int max);
/* No system call. */
static inline bool tpi_is_restless(const struct tpi_consumer *c)
{
	return c->former || tpi_client_elsewhere(&c->client);
}
/* consumer.c */
/* Attaches, as the handle says. `former`: where it moves from, with its turn. Else NULL.
 * The program's place for errors is as in the handle's options. */
int tpi_consumer_attach(struct tpi_consumer **out,
			struct tapio_consumer *handle,
			const struct tpi_consumer *former);
void tpi_consumer_leave(struct tpi_consumer *c);
/* stats.c: adds a memory's counts. -ENOTCONN: the group has ended. */
int tpi_consumer_count(const struct tpi_consumer *c,
		       struct tapio_consumer_stats *sum);

/* release.c: stores a lane's progress; false when its lease is not ours. */
bool tpi_commit(struct tpi_consumer *c, struct tpi_track *t);
/* Wakes producers that wait for room. */
void tpi_wake_producers(struct tpi_consumer *c);

/* sleep.c: as tapio_poll, once a look has found nothing. */
int tpi_sleep(struct tpi_consumer *c, struct tapio_view *views,
	      unsigned int max, int64_t timeout_ns);
/* watermark.c: as tapio_poll, for a consumer with a watermark. */
int tpi_watermark_wait(struct tpi_consumer *c, struct tapio_view *views,
		       unsigned int max, int64_t timeout_ns);
/* How many events a lane of ours waits for; 1 without a watermark. */
uint32_t tpi_watermark_goal(const struct tpi_consumer *c,
			    const struct tpi_track *t);
/*
 * Whether every producer that has something for us rings. Not without a membarrier, and
 * not while one of them has not got the group's memory (client/producer/slots.c), and not
 * while a move is under way, whose end is not rung for. Then sleeps are short. Relaxed:
 * hints, at the next sleep they are looked at again.
 */
static inline bool tpi_is_rung(const struct tpi_consumer *c)
{
	return !tpi_load_relaxed(&c->deaf) && !tpi_load_relaxed(&c->next) &&
	       !(tpi_load_relaxed(&c->group->flags) & TAPIO_GROUP_FLAG_UNHEARD);
}

/* call.c: S2 and S3 of wake.h, for the group, in any case. */
void tpi_announce(struct tpi_consumer *c);
/* For how long the bell must be heard yet before it can be announced; <= 0: it can. */
int64_t tpi_call_unsettled(const struct tpi_consumer *c, struct tpi_call *call,
			   uint32_t bell, int64_t now);
/*
 * S2 and S3 after S1 has loaded `heard`, as far as they are not done yet. Waits, without
 * sleeping, until the bell is settled.
 */
void tpi_call(struct tpi_consumer *c, struct tpi_call *call, uint32_t heard);
/*
 * The same for a sleep that ends with the first event. When several of these in a row have come
 * soon after the one before, an announcement is for several rings (S2r), and the next sleeps
 * need none.
 */
void tpi_call_on(struct tpi_consumer *c, struct tpi_call *call, uint32_t heard);
#ifdef TAPIO_TESTPOINTS
extern int64_t tpi_awake_ns; /* how late is soon. 0: as in every other build */
#endif

/* fd.c: a look with time-out 0 has found nothing. */
int tpi_fd_idle(struct tpi_consumer *c, struct tapio_view *views,
		unsigned int max);
/* A wait that sets marks of its own is about to begin. */
void tpi_fd_disarm(struct tpi_consumer *c);
void tpi_fd_close(struct tpi_consumer *c);

/* Calls between two glances at the clock for the balance of leases, and aside. */
#define TPI_BALANCE_POLLS 64

/* fd.c: `next` gets the descriptor and a thread, and `c` gives them up. */
int tpi_fd_hand_over(struct tpi_consumer *c, struct tpi_consumer *next);

/* fd_thread.c: the thread; -EAGAIN there can be none. */
int tpi_fd_thread_start(struct tpi_consumer *c);
void tpi_fd_thread_stop(struct tpi_consumer *c);
/* Makes the descriptor readable. */
void tpi_fd_thread_raise(struct tpi_consumer *c);

#endif
