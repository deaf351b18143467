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
#include "client/consumer/glance.h"
#include "client/consumer/walk.h"
#include "lib/base/testpoint.h"
#include "lib/base/tsc.h"

/* Of so many looks that fill the views one begins below the highest priority. */
#define FAIR_ROUNDS 8
/* Turns of a look that bring it no nearer to the tail. */
#define TRIES 8
/* So many looks in a row begin with the same lane while it fills them. */
#define STAY_ROUNDS 8
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
static int readable(const struct tpi_consumer *c, const struct tpi_track *t,
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

/* A handed-out event waits for its release, one that is only passed over does not. */
static inline void look_done(struct tpi_consumer *c, struct tpi_track *t)
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
pass_over(struct tpi_consumer *c, struct tpi_track *t, uint64_t tail)
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
 * How many records. A member that was relieved finds that first: then the lane is not
 * leased any more, and what it would miss there is the new holder's.
 *
 * The last view is left to an event: a caller that takes one at a time, and is overrun each
 * time, would get nothing but records. The rest is owed.
 */
__attribute__((noinline, cold)) static unsigned int
pass_on(struct tpi_consumer *c, struct tpi_track *t, int err, uint64_t tail,
	struct tapio_view *views, unsigned int max)
{
	struct tapio_view *view = max > 1 ? views : NULL;

	tpi_notice_loss(c, t);
	if (!t->leased)
		return 0;
	return err == -EOVERFLOW ? tpi_overrun(c, t, view)
				 : tpi_bad_state(c, t, tail, view);
}

/*
 * The producer is gone, and a stranger may write there. Nothing lies behind the end, and the
 * reader does not go back: so it comes to the end, and stays there.
 */
static uint64_t clamp_state(const struct tpi_track *t, uint64_t state)
{
	uint64_t tail = TAPIO_STATE_TAIL(state);

	return TAPIO_STATE(clamp_to_end(t, tail), TAPIO_STATE_HELD(state));
}

/* Positions that no look has seen before. */
static inline void note_news(struct tpi_consumer *c, struct tpi_track *t,
			     uint64_t tail)
{
	uint64_t from = t->next;

	if (tapio_position_diff(t->seen, from) > 0)
		from = t->seen;
	if (tapio_position_diff(tail, from) > 0)
		c->pace.fresh += (tail - from) & TAPIO_POSITION_MASK;
	t->seen = tail;
}

/* False: there is nothing to hand out, and *tail is as it was. */
static inline __attribute__((always_inline)) bool
look(struct tpi_consumer *c, struct tpi_track *t, struct tapio_view *views,
     unsigned int max, unsigned int *n, uint64_t *tail)
{
	uint64_t state = tpi_lane_peek(t->lane), seen;
	int err;

	if (tpi_unlikely(c->over) && t->over)
		state = clamp_state(t, state);
	if (tpi_likely(TAPIO_STATE_TAIL(state) == t->next))
		return false;
	__builtin_prefetch(t->guess);
	t->guess = t; /* it was for one look */
	if (tpi_unlikely(tpi_lane_closed(t)))
		return false;
	if (tpi_unlikely(!tpi_filter_class(&c->filter, t->lane->klass))) {
		pass_over(c, t, TAPIO_STATE_TAIL(state));
		return false;
	}
	seen = TAPIO_STATE_TAIL(state);
	err = readable(c, t, state);
	if (tpi_unlikely(err)) {
		*n += pass_on(c, t, err, seen, views, max);
		if (!t->leased)
			return false;
		/* By a later state, perhaps, and so beyond this tail. Or it has
		 * gone back since, and this tail is no place to walk to. */
		if (((seen - t->next) & TAPIO_POSITION_MASK) >
		    (uint64_t)t->lane->mask + 1)
			seen = t->next;
	}
	if (tpi_unlikely(c->ended))
		seen = clamp_to_end(t, seen);
	note_peak(t, (seen - t->head) & TAPIO_POSITION_MASK);
	note_news(c, t, seen);
	*tail = seen;
	return true;
}

/*
 * Views of [next, tail), up to where they are full or a descriptor is impossible.
 * A reader that may be overrun asks afterwards whether what was passed over was what it
 * seemed to be. (What is handed out is asked about at its release.)
 */
static inline unsigned int hand_out(struct tpi_consumer *c, struct tpi_track *t,
				    uint64_t tail, struct tapio_view *views,
				    unsigned int max)
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
 * that a hostile producer changes to and fro, or that is not ours to tell.
 */
__attribute__((noinline, cold)) static unsigned int
hand_out_rest(struct tpi_consumer *c, struct tpi_track *t, uint64_t tail,
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
	if (vain == TRIES)
		tpi_notice_loss(c, t);
	return n;
}

static void note_latency(struct tpi_consumer *c, const struct tpi_track *t,
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

static unsigned int read_lane(struct tpi_consumer *c, struct tpi_track *t,
			      struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0;
	uint64_t tail;

	if (!tpi_lane_known(c, t, &tail) && !look(c, t, views, max, &n, &tail))
		return n;
	TPI_TESTPOINT("poll.looked");
	if (tpi_likely(n < max && tail != t->next))
		n += hand_out(c, t, tail, views + n, max - n);
	if (tpi_unlikely(n < max && tail != t->next)) {
		n += hand_out_rest(c, t, tail, views + n, max - n);
		if (!t->leased)
			return take_back(t, views, n);
	}
	if (n && tpi_unlikely(!tpi_lease_hold(c, t)))
		return take_back(t, views, n);
	if (n && c->latency.shm)
		note_latency(c, t, views, n);
	c->pace.more |= tail != t->next;
	look_done(c, t);
	return n;
}

/* ---- for the merge ------------------------------------------------------------- */

bool tpi_look(struct tpi_consumer *c, struct tpi_track *t,
	      struct tapio_view *views, unsigned int max, unsigned int *n,
	      uint64_t *tail)
{
	return look(c, t, views, max, n, tail);
}

void tpi_look_done(struct tpi_consumer *c, struct tpi_track *t)
{
	look_done(c, t);
}

/* ---- whose turn it is ---------------------------------------------------------- */

const uint64_t tpi_no_state = 1;

void tpi_glances_forget(struct tpi_consumer *c)
{
	c->unfinished = false;
	for (uint32_t i = 0; i < c->lane_count; i++)
		c->glances[i] = tpi_glance_none();
}

static inline unsigned int read_at(struct tpi_consumer *c,
				   struct tpi_level *level, uint32_t at,
				   struct tapio_view *views, unsigned int max)
{
	unsigned int n = read_lane(c, level->tracks[at], views, max);

	level->glances[at] =
		n ? tpi_glance_none() : tpi_glance_at(level->tracks[at]);
	return n;
}

/*
 * The next lane that is not idle, from `at` on, or `end`. Most lanes of a channel are idle, and
 * an event waits for the look at all of them. So this is a function of its own, whose
 * variables all have registers.
 */
__attribute__((noinline)) static uint32_t
skip_idle(const struct tpi_glance *glances, uint32_t at, uint32_t end)
{
	while (at < end && tpi_glance_is_idle(&glances[at]))
		at++;
	return at;
}

/* The lanes of [at, end), until the views are full. Where it ended. */
static inline uint32_t read_part(struct tpi_consumer *c,
				 struct tpi_level *level, uint32_t at,
				 uint32_t end, struct tapio_view *views,
				 unsigned int max, unsigned int *n)
{
	while (*n < max && (at = skip_idle(level->glances, at, end)) < end)
		*n += read_at(c, level, at++, views + *n, max - *n);
	return at;
}

static unsigned int read_level(struct tpi_consumer *c, struct tpi_level *level,
			       struct tapio_view *views, unsigned int max)
{
	const uint32_t first = level->turn;
	uint32_t at;
	unsigned int n = 0;

	at = read_part(c, level, first, level->count, views, max, &n);
	if (tpi_unlikely(first) && n < max)
		at = read_part(c, level, 0, first, views, max, &n);
	if (n < max) { /* all lanes had their turn */
		level->turn = 0;
		level->stayed = 0;
		return n;
	}
	if (++level->stayed < STAY_ROUNDS)
		at--; /* there may be more where that came from */
	else
		level->stayed = 0;
	level->turn = at < level->count ? at : 0;
	return n;
}

/*
 * The level that a look begins with. Of FAIR_ROUNDS looks that fill all views the
 * last one begins with another level than the highest, each in its turn. Looks that
 * leave views empty have served all levels, and count for nothing.
 */
static inline uint32_t first_level(const struct tpi_consumer *c)
{
	if (tpi_likely(c->full % FAIR_ROUNDS != FAIR_ROUNDS - 1) ||
	    c->level_count < 2)
		return 0;
	return 1 + c->full / FAIR_ROUNDS % (c->level_count - 1);
}

static inline unsigned int
read_levels(struct tpi_consumer *c, struct tapio_view *views, unsigned int max)
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

/*
 * Another member of our group has taken the lane over: the rest is that one's. If the cursor
 * is another group's by now, or the broker has cleared our lease, nobody can tell, and the
 * rest is ours.
 */
static bool is_relieved(const struct tpi_consumer *c, const struct tpi_track *t)
{
	/* Relaxed: the group has ended, and the words stand still, or are another's. */
	uint32_t holder = tpi_cursor_holder(t->cursor);
	uint64_t head = tpi_load_relaxed(&tpi_cursor_cell(t->cursor)->head);

	return t->leased && holder != c->me && holder != TAPIO_NOBODY &&
	       TAPIO_HEAD_INCARNATION(head) == c->incarnation;
}

/* The slot is another group's, or nobody's: what is there now is the last. */
static void end(struct tpi_consumer *c)
{
	uint32_t i;

	c->ended = true;
	c->lossless = false;
	c->beat = &c->no_beat;
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		t->cell = &c->nowhere;
		if (is_relieved(c, t))
			tpi_lease_lose(c, t);
		if (!t->over)
			t->end = TAPIO_STATE_TAIL(tpi_lane_peek(t->lane));
		t->giving = false; /* to nobody any more */
	}
}

void tpi_check_slot(struct tpi_consumer *c)
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

bool tpi_drained(const struct tpi_consumer *c)
{
	uint32_t i;

	for (i = 0; i < c->lane_count; i++) {
		const struct tpi_track *t = &c->tracks[i];
		uint64_t tail = TAPIO_STATE_TAIL(tpi_lane_peek(t->lane));

		/* A tail that went back never comes to that end. */
		if (t->leased && tapio_position_diff(t->end, t->next) > 0 &&
		    tapio_position_diff(tail, t->next) > 0)
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
void tpi_guess(struct tpi_consumer *c)
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
gather(struct tpi_consumer *c, struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0;

	c->pace.more = false;
	tpi_lease_live(c);
	tpi_check_slot(c);
	if (tpi_unlikely(c->stale))
		tpi_lease_sort(c);
	if (tpi_unlikely(c->owing))
		n = tpi_tell_owed(c, views, max);
	if (tpi_unlikely(tpi_merge_is_on(&c->merge)))
		return n + tpi_merge_gather(c, views + n, max - n);
	if (tpi_unlikely(c->past_lanes)) {
		n += tpi_history_read(c, views + n, max - n);
		c->pace.more = true;
	}
	return n + read_levels(c, views + n, max - n);
}

unsigned int tpi_gather(struct tpi_consumer *c, struct tapio_view *views,
			unsigned int max)
{
	unsigned int n = gather(c, views, max);

	/* Where no event wants the last view, it is a record's. */
	if (tpi_unlikely(!n) && c->owing)
		n = tpi_tell_owed(c, views, max);
	return n;
}

/* After tapio_poll's first look has found nothing. */
static int wait(struct tpi_consumer *c, struct tapio_view *views,
		unsigned int max, int64_t timeout_ns)
{
	unsigned int n;

	if (tpi_follow(c, TPI_FOLLOW_IDLE_MS) &&
	    (n = tpi_gather(c, views, max)))
		return (int)n;
	if (c->owing && (n = tpi_tell_owed(c, views, max)))
		return (int)n;
	tpi_lease_balance(c);
	tpi_client_look(&c->client);
	if (tpi_is_restless(c) && (n = tpi_aside(c, views, max)))
		return (int)n;
	if (c->ended && tpi_drained(c))
		return -ENOTCONN;
	if (!timeout_ns)
		return tpi_fd_idle(c, views, max);
	return tpi_sleep(c, views, max, timeout_ns);
}

static int find(struct tpi_consumer *c, struct tapio_view *views,
		unsigned int max, int64_t timeout_ns)
{
	unsigned int n;

	if (tpi_unlikely(c->wake_events > 1) && timeout_ns && max &&
	    !c->past_lanes)
		return tpi_watermark_wait(c, views, max, timeout_ns);
	n = gather(c, views, max);
	if (n || !max)
		return (int)n;
	return wait(c, views, max, timeout_ns);
}

int tapio_poll(struct tapio_consumer *handle, struct tapio_view *views,
	       unsigned int max, int64_t timeout_ns)
{
	struct tpi_consumer *c = handle->now;
	int n;

	if (!tpi_alive(&c->hot))
		return -ECHILD;
	if (max > INT_MAX)
		max = INT_MAX;
	if (tpi_unlikely(c->polls++ % TPI_BALANCE_POLLS == 0)) {
		tpi_lease_balance(c);
		tpi_client_look(&c->client);
		(void)tpi_follow(c, TPI_FOLLOW_BUSY_MS);
		if (tpi_is_restless(c) &&
		    (n = (int)tpi_aside_often(c, views, max)))
			return n;
	}
	tpi_pace_look_away(&c->pace);
	n = find(c, views, max, timeout_ns);
	if (n > 0)
		tpi_pace_note(&c->pace, (unsigned int)n == max);
	return n;
}
