/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for events and handing them out in place.
 *
 * A look goes over the leased lanes, those of higher priority first, and takes
 * all that is there until the caller's views are full. Of eight looks that fill
 * them, one begins with another priority than the highest, each of these in its
 * turn. So with L priorities each is first in one of 8 (L - 1) such looks or more,
 * whatever floods the others. Within a priority each look begins after the lane
 * where the last one ended; but a lane that has filled the caller's views is asked
 * first again, up to eight times in a row, since a look at all the others costs as
 * much as a dozen events.
 *
 * A state is checked before it is followed: look.c says what becomes of one that is
 * impossible. A look takes N positions of a lane at most, whatever its state says.
 *
 * SIGKILL: heads have not moved, the next member gets the same events. SIGSTOP:
 * the same, later; meanwhile the group's policy says who waits for us. Migration
 * and signal handlers mean nothing here: a consumer writes only what is its own.
 */
#include <errno.h>
#include <limits.h>

#include "client/consumer/consumer.h"
#include "client/consumer/walk.h"
#include "lib/base/testpoint.h"
#include "lib/base/tsc.h"

/* Of so many looks that fill the views one begins below the highest priority. */
#define FAIR_ROUNDS 8
/* Turns of a look that bring it no nearer to the tail. */
#define TRIES 8
/* So many looks in a row begin with the same lane while it fills them. */
#define STAY_ROUNDS 8
/* Calls between two glances at the clock for the balance of leases. */
#define BALANCE_POLLS 64
/* tpi_guess() looks no further, in each priority. */
#define GUESSED_LANES 8

/* More than N is overwritten, and lost. */
__attribute__((noinline, cold)) static void raise_peak(struct tpi_track *t,
						       uint64_t unread)
{
	uint32_t most = t->lane->mask + 1;

	/* Relaxed: a figure for the tools. */
	tpi_store_relaxed(&t->cell->peak,
			  unread < most ? (uint32_t)unread : most);
}

static inline void note_peak(struct tpi_track *t, uint64_t unread)
{
	if (tpi_unlikely(unread > tpi_load_relaxed(&t->cell->peak)))
		raise_peak(t, unread);
}

/*
 * Whether a lane may be read in that state. 0; -EOVERFLOW the ring went round;
 * -EBADMSG the state is impossible. A ring holds N positions, and it does not go
 * round under a group that holds the gate.
 */
static int readable(const struct tapio_consumer *c, const struct tpi_track *t,
		    uint64_t state)
{
	const struct tpi_lane *lane = t->lane;
	int64_t count = (int64_t)lane->mask + 1;
	uint64_t tail = TAPIO_STATE_TAIL(state);

	if (!tpi_lane_state_sane(lane, state) ||
	    tapio_position_diff(tail, t->next) < 0)
		return -EBADMSG;
	if (c->lossless)
		return tapio_position_diff(tail, t->head) > count ? -EBADMSG
								  : 0;
	if (tapio_position_diff(t->next, tpi_lane_reap(lane, state)) > 0)
		return 0;
	if (!tpi_held_for_us(lane, t->next))
		return -EOVERFLOW;
	return tapio_position_diff(tail, t->next) > count ? -EBADMSG : 0;
}

/* A lane that is not to be read now. */
static inline bool is_closed(const struct tpi_track *t)
{
	return t->giving || !t->leased || t->past != t->past_end;
}

/* What is handed out waits for its release; what is only passed over does not. */
static inline void look_done(struct tapio_consumer *c, struct tpi_track *t)
{
	if (t->handed || t->gapped)
		tpi_touch(c, t);
	else if (t->next != t->head && tpi_commit(c, t))
		tpi_wake_producers(c);
}

/* Of an ended group's lanes nothing is read that came after the end. */
static uint64_t clamp_to_end(const struct tpi_track *t, uint64_t tail)
{
	if (tapio_position_diff(tail, t->end) > 0)
		tail = t->end;
	return tapio_position_diff(tail, t->next) < 0 ? t->next : tail;
}

/* The filter refuses the whole class: nobody looks at what lies there. */
__attribute__((noinline, cold)) static void
pass_over(struct tapio_consumer *c, struct tpi_track *t, uint64_t tail)
{
	if (c->ended)
		tail = clamp_to_end(t, tail);
	if (tapio_position_diff(tail, t->next) < 0) {
		tpi_bad_state(c, t, tail, NULL);
		return;
	}
	t->skipped += (tail - t->next) & TAPIO_POSITION_MASK;
	t->next = tail;
	look_done(c, t);
}

/*
 * A lane that may not be read in the state with that tail: goes on behind what is lost.
 * How many records.
 *
 * The last view is left to an event: who takes one at a time, and is overrun each
 * time, would get nothing but records. What is not told now is owed.
 */
__attribute__((noinline, cold)) static unsigned int
pass_on(struct tapio_consumer *c, struct tpi_track *t, int err, uint64_t tail,
	struct tapio_view *views, unsigned int max)
{
	struct tapio_view *view = max > 1 ? views : NULL;

	return err == -EOVERFLOW ? tpi_overrun(c, t, view)
				 : tpi_bad_state(c, t, tail, view);
}

static inline __attribute__((always_inline)) bool
look(struct tapio_consumer *c, struct tpi_track *t, struct tapio_view *views,
     unsigned int max, unsigned int *n, uint64_t *tail)
{
	uint64_t state = tpi_lane_peek(t->lane);
	int err;

	if (tpi_likely(TAPIO_STATE_TAIL(state) == t->next))
		return false;
	__builtin_prefetch(t->guess);
	t->guess = t; /* it was for one look */
	if (tpi_unlikely(is_closed(t)))
		return false;
	if (tpi_unlikely(!tpi_filter_class(&c->filter, t->lane->klass))) {
		pass_over(c, t, TAPIO_STATE_TAIL(state));
		return false;
	}
	*tail = TAPIO_STATE_TAIL(state);
	err = readable(c, t, state);
	if (tpi_unlikely(err)) {
		*n += pass_on(c, t, err, *tail, views, max);
		if (!t->leased)
			return false;
		/* By a later state, perhaps, and so beyond this tail. */
		if (tapio_position_diff(*tail, t->next) < 0)
			*tail = t->next;
	}
	if (tpi_unlikely(c->ended))
		*tail = clamp_to_end(t, *tail);
	note_peak(t, (*tail - t->head) & TAPIO_POSITION_MASK);
	t->seen = *tail;
	c->pace.fresh += (*tail - t->next) & TAPIO_POSITION_MASK;
	return true;
}

/*
 * What an earlier look has seen and not handed out is there without another: the
 * state's line is left to the producer, who writes it for every event. Only where
 * producers wait for us, since what may be overrun has to be looked at first.
 */
static inline bool known(const struct tapio_consumer *c,
			 const struct tpi_track *t, uint64_t *tail)
{
	*tail = t->seen;
	return c->lossless && tapio_position_diff(t->seen, t->next) > 0 &&
	       !is_closed(t);
}

/*
 * Views of [next, tail), up to where they are full or a descriptor is impossible.
 * Who may be overrun asks afterwards whether what was passed over was what it
 * seemed to be. (What is handed out is asked about at its release.)
 */
static inline unsigned int hand_out(struct tapio_consumer *c,
				    struct tpi_track *t, uint64_t tail,
				    struct tapio_view *views, unsigned int max)
{
	uint64_t next = t->next, skipped = 0;
	unsigned int n;

	if (c->filter.types || c->filter.severity_min)
		n = tpi_walk_filtered(t->lane, &c->filter, &next, tail, views,
				      max, &skipped);
	else
		n = tpi_walk_all(t->lane, &next, tail, views, max, &skipped);
	TPI_TESTPOINT("poll.walked");
	if (tpi_unlikely(skipped && !c->lossless) &&
	    !tpi_still_there(t, t->next))
		return tpi_overrun(c, t, views);
	if (n && !t->handed)
		t->first = views[0].position;
	t->handed += n;
	t->skipped += skipped;
	t->next = next;
	TPI_TESTPOINT("poll.handed");
	return n;
}

/*
 * After a look that ended before the tail: it met an impossible descriptor, or was
 * overrun. Each turn of the loop comes nearer to the tail, but for a descriptor
 * that a hostile producer changes to and fro.
 */
__attribute__((noinline, cold)) static unsigned int
hand_out_rest(struct tapio_consumer *c, struct tpi_track *t, uint64_t tail,
	      struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0, vain = 0;
	uint64_t before;

	while (n < max && tapio_position_diff(tail, t->next) > 0 &&
	       vain < TRIES) {
		before = t->next;
		n += tpi_bad_descriptors(c, t, tail, views + n);
		if (n < max && tapio_position_diff(tail, t->next) > 0)
			n += hand_out(c, t, tail, views + n, max - n);
		vain += t->next == before;
	}
	return n;
}

static void note_latency(struct tapio_consumer *c, const struct tpi_track *t,
			 const struct tapio_view *views, unsigned int n)
{
	if (tpi_unlikely(t->gapped))
		tpi_latency_note_mixed(&c->latency, views, n);
	else
		tpi_latency_note(&c->latency, views, n);
}

/* Another member has the lane: nothing of this look is handed out. */
__attribute__((noinline, cold)) static unsigned int
take_back(struct tpi_track *t, const struct tapio_view *views, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (views[i].flags & TAPIO_VIEW_GAP)
			t->gapped = false;
		else if (t->handed) /* not forgotten, as there were others */
			t->handed--;
	return 0;
}

static unsigned int read_lane(struct tapio_consumer *c, struct tpi_track *t,
			      struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0;
	uint64_t tail;

	if (!known(c, t, &tail) && !look(c, t, views, max, &n, &tail))
		return n;
	TPI_TESTPOINT("poll.looked");
	if (tpi_likely(n < max && tail != t->next))
		n += hand_out(c, t, tail, views + n, max - n);
	if (tpi_unlikely(n < max && tail != t->next))
		n += hand_out_rest(c, t, tail, views + n, max - n);
	if (n && tpi_unlikely(!tpi_lease_hold(c, t)))
		return take_back(t, views, n);
	if (n && c->latency.shm)
		note_latency(c, t, views, n);
	look_done(c, t);
	return n;
}

/* ---- for the merge ------------------------------------------------------------- */

bool tpi_look(struct tapio_consumer *c, struct tpi_track *t,
	      struct tapio_view *views, unsigned int max, unsigned int *n,
	      uint64_t *tail)
{
	return look(c, t, views, max, n, tail);
}

void tpi_look_done(struct tapio_consumer *c, struct tpi_track *t)
{
	look_done(c, t);
}

/* ---- whose turn it is ---------------------------------------------------------- */

static unsigned int read_level(struct tapio_consumer *c,
			       struct tpi_level *level,
			       struct tapio_view *views, unsigned int max)
{
	uint32_t i, at = level->turn;
	unsigned int n = 0;

	for (i = 0; i < level->count && n < max; i++) {
		if (at >= level->count)
			at = 0;
		n += read_lane(c, level->tracks[at++], views + n, max - n);
	}
	if (!n)
		return 0;
	if (n == max && ++level->stayed < STAY_ROUNDS)
		at--; /* there may be more where that came from */
	else
		level->stayed = 0;
	level->turn = at;
	return n;
}

/*
 * The level that a look begins with. Of FAIR_ROUNDS looks that fill all views the
 * last one begins with another level than the highest, each in its turn. Looks that
 * leave views empty have served all levels, and count for nothing.
 */
static inline uint32_t first_level(const struct tapio_consumer *c)
{
	if (tpi_likely(c->full % FAIR_ROUNDS != FAIR_ROUNDS - 1) ||
	    c->level_count < 2)
		return 0;
	return 1 + c->full / FAIR_ROUNDS % (c->level_count - 1);
}

static inline unsigned int read_levels(struct tapio_consumer *c,
				       struct tapio_view *views,
				       unsigned int max)
{
	uint32_t i, at, count = c->level_count, first = first_level(c);
	unsigned int n = 0;

	for (i = 0; i < count && n < max; i++) {
		at = i;
		if (tpi_unlikely(first)) /* it comes before the others */
			at = !i ? first : i <= first ? i - 1 : i;
		n += read_level(c, &c->levels[at], views + n, max - n);
	}
	if (n && n == max)
		c->full++;
	return n;
}

/* The slot is another group's, or nobody's: what is there now is the last. */
static void end(struct tapio_consumer *c)
{
	uint32_t i;

	c->ended = true;
	c->lossless = false;
	c->beat = &c->no_beat;
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		t->end = TAPIO_STATE_TAIL(tpi_lane_peek(t->lane));
		t->giving = false; /* to nobody any more */
	}
}

void tpi_check_slot(struct tapio_consumer *c)
{
	/*
	 * ORDER group.slot (acquire): a slot that is ours now was so for every
	 * load before. Pairs with the broker's release when it ends a group.
	 */
	uint64_t slot = tpi_load_acquire(c->slot);

	if (tpi_unlikely(c->ended))
		return;
	if (tpi_likely(TAPIO_SLOT_STATE(slot) == TAPIO_SLOT_ACTIVE &&
		       TAPIO_SLOT_INCARNATION(slot) == c->incarnation))
		c->lossless = TAPIO_SLOT_POLICY(slot) == TAPIO_GROUP_LOSSLESS;
	else
		end(c);
}

bool tpi_drained(const struct tapio_consumer *c)
{
	uint32_t i;

	for (i = 0; i < c->lane_count; i++) {
		const struct tpi_track *t = &c->tracks[i];

		if (t->leased && tapio_position_diff(t->end, t->next) > 0)
			return false;
	}
	return !c->past_lanes && !c->owing;
}

/*
 * Which block will be next on a lane can be guessed while there is nothing: the slot
 * still holds the descriptor of a lap ago, and unless reservations have mixed them
 * up that is the block which will be published there again. When the state moves,
 * the block's line is asked for together with the descriptor's instead of after it;
 * not before, or the producer would have to take it back. A hint needs no proof, and
 * with many lanes it is not worth its loads.
 */
void tpi_guess(struct tapio_consumer *c)
{
	for (uint32_t i = 0; i < c->level_count; i++)
		for (uint32_t k = 0;
		     k < c->levels[i].count && k < GUESSED_LANES; k++) {
			struct tpi_track *t = c->levels[i].tracks[k];
			const struct tpi_lane *lane = t->lane;
			/* Relaxed: masked, and only prefetched. */
			uint64_t desc = tpi_load_relaxed(
				&lane->desc[t->next & lane->mask]);

			t->guess = tpi_lane_block(lane,
						  (uint32_t)desc & lane->mask);
		}
}

__attribute__((noinline)) static unsigned int
gather(struct tapio_consumer *c, struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0;

	tpi_lease_live(c);
	tpi_check_slot(c);
	if (tpi_unlikely(c->stale))
		tpi_lease_sort(c);
	if (tpi_unlikely(c->owing))
		n = tpi_tell_owed(c, views, max);
	if (tpi_unlikely(c->merge.heap != NULL))
		return n + tpi_merge_gather(c, views + n, max - n);
	if (tpi_unlikely(c->past_lanes))
		n += tpi_history_read(c, views + n, max - n);
	return n + read_levels(c, views + n, max - n);
}

unsigned int tpi_gather(struct tapio_consumer *c, struct tapio_view *views,
			unsigned int max)
{
	unsigned int n = gather(c, views, max);

	/* Where no event wants the last view, it is a record's. */
	if (tpi_unlikely(!n) && c->owing)
		n = tpi_tell_owed(c, views, max);
	return n;
}

/* ---- looking away --------------------------------------------------------------- */

/*
 * A reader that is faster than its producer finds an event or two at each look, and
 * each look takes the line of the lane's state away from the producer, who wants it
 * back for the next commit: both run at the speed at which that line changes hands.
 * So a reader that has found little, at the first look, several times in a row, and
 * has come back at once, looks away for a moment and then finds more.
 *
 * It never does so when it had to wait for what it found (events are far apart, and
 * latency is what matters), when its caller takes its time with them, or when there
 * was enough. When looking away did not help either, because nothing comes meanwhile
 * (a thread that reads what it has just written), it is not tried again soon. A look
 * away is a microsecond at most.
 */
#define PACE_STREAK 8 /* looks in a row that found little, before it begins */
#define PACE_REST   4096 /* of them, when it was in vain */
#define PACE_ENOUGH 24   /* events at one look */
#define PACE_MAX    64   /* tpi_cpu_relax() at once: some 800 ns */
/* Some 50 ns, in ticks of any clock from 1 to 4 GHz. */
#define PACE_TICKS 128

static inline void look_away(struct tapio_consumer *c)
{
	struct tpi_pace *pace = &c->pace;
	uint32_t i;

	pace->fresh = 0;
	if (tpi_likely(pace->streak < PACE_STREAK) || pace->behind)
		return;
	if (tpi_tsc() - pace->left > (uint64_t)PACE_TICKS * pace->found) {
		pace->streak = 0;
		return;
	}
	for (i = 0; i < pace->pauses; i++)
		tpi_cpu_relax();
}

/* After a first look that handed out `n` views of `max`. */
static inline void note_pace(struct tapio_consumer *c, unsigned int n,
			     unsigned int max)
{
	struct tpi_pace *pace = &c->pace;

	pace->behind = n == max; /* there is more, or there may be */
	pace->found = n;
	if (pace->fresh >= PACE_ENOUGH) {
		pace->pauses = pace->pauses / 2 + 1;
		if (pace->streak > 0 && pace->streak < PACE_STREAK)
			pace->streak = 0;
	} else if (!pace->fresh) {
		; /* of what was known before */
	} else if (pace->streak < PACE_STREAK) {
		pace->pauses = 1;
		pace->streak++;
	} else if (pace->pauses >= 8 && pace->fresh < pace->pauses / 4) {
		pace->streak = PACE_STREAK - PACE_REST;
	} else if (pace->pauses < PACE_MAX) {
		pace->pauses *= 2;
	}
	if (pace->streak == PACE_STREAK)
		pace->left = tpi_tsc();
}

int tapio_poll(struct tapio_consumer *c, struct tapio_view *views,
	       unsigned int max, int64_t timeout_ns)
{
	unsigned int n;

	if (!tpi_alive(&c->hot))
		return -ECHILD;
	if (max > INT_MAX)
		max = INT_MAX;
	if (tpi_unlikely(c->polls++ % BALANCE_POLLS == 0))
		tpi_lease_balance(c);
	if (tpi_unlikely(c->wake_events > 1) && timeout_ns && max &&
	    !c->past_lanes)
		return tpi_watermark_wait(c, views, max, timeout_ns);
	look_away(c);
	n = gather(c, views, max);
	if (n || !max) {
		note_pace(c, n, max);
		return (int)n;
	}
	if (c->owing && (n = tpi_tell_owed(c, views, max)))
		return (int)n;
	if (c->pace.streak > 0)
		c->pace.streak = 0;
	if (c->ended && tpi_drained(c))
		return -ENOTCONN;
	tpi_lease_balance(c);
	if (!timeout_ns)
		return tpi_fd_idle(c, views, max);
	return tpi_sleep(c, views, max, timeout_ns);
}
