/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for events and handing them out in place.
 *
 * A look goes over the leased lanes, those of higher priority first, and takes
 * all that is there until the caller's views are full. Every eighth look goes the
 * other way round, so that a flood of critical events leaves the others an eighth.
 * Within a priority each look begins after the lane where the last one ended; but
 * a lane that has filled the caller's views is asked first again, up to eight times
 * in a row, since a look at all the others costs as much as a dozen events.
 *
 * Nothing that producers write is believed: a state is checked before it is
 * followed, a descriptor before its block's address is computed. What cannot be is
 * reported once, in a gap record, and the lane is not followed any more. What is
 * handed out may still be nonsense, if the channel's producers are hostile, but it
 * lies inside the lane's blocks.
 *
 * SIGKILL: heads have not moved, the next member gets the same events. SIGSTOP:
 * the same, later; meanwhile the group's policy says who waits for us. Migration
 * and signal handlers mean nothing here: a consumer writes only what is its own.
 */
#include <errno.h>
#include <limits.h>

#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"
#include "lib/base/tsc.h"

/* Of so many looks one serves the lowest priority first. */
#define FAIR_ROUNDS 8
/* So many looks in a row begin with the same lane while it fills them. */
#define STAY_ROUNDS 8
/* Calls between two glances at the clock for the balance of leases. */
#define BALANCE_POLLS 64
/* tpi_guess() looks no further, in each priority. */
#define GUESSED_LANES 8

/* The lane's state is impossible. */
static unsigned int quarantine(struct tpi_track *t, struct tapio_view *view)
{
	if (t->gapped)
		return 0; /* its record is in use: report at the next look */
	t->stuck = true;
	tpi_gap_view(view, &t->gap, t->lane, TAPIO_GAP_QUARANTINE, t->next, 0);
	return 1;
}

/* The ring went round before we came: one record for all of it. */
static unsigned int overrun(struct tapio_consumer *c, struct tpi_track *t,
			    uint64_t state, struct tapio_view *view)
{
	uint64_t resume = tpi_copy_resume(t->lane, state);
	uint64_t count = (resume - t->next) & TAPIO_POSITION_MASK;

	if (t->gapped)
		return 0; /* one at a time: after the next release */
	tpi_gap_view(view, &t->gap, t->lane, TAPIO_GAP_OVERRUN, t->next, count);
	t->gapped = true;
	t->lost += count;
	t->next = resume;
	tpi_touch(c, t);
	return 1;
}

/*
 * A stretch: slots that lie side by side, from that of *position on, none of them
 * beyond the end of the ring. Positions go round only there, too, since 2^48 is a
 * whole number of laps.
 *
 * This one looks at `count` slots, or up to an impossible descriptor, and returns
 * where the views end. Every event comes through its loop: it goes by pointers, as
 * few as can be.
 */
static inline __attribute__((always_inline)) struct tapio_view *
fill_stretch(const struct tpi_lane *lane, const struct tpi_filter *filter,
	     uint64_t *position, uint64_t count, struct tapio_view *v,
	     uint64_t *skipped)
{
	const uint64_t *at = &lane->desc[*position & lane->mask];
	const uint64_t *const stop = at + count;
	/* From a descriptor to its stamp: both lie in the lane's segment. */
	const ptrdiff_t time = lane->time ? lane->time - lane->desc : 0;
	uint64_t here = *position, desc, skips = 0;

	for (; at != stop; at++, here++) {
		/* Relaxed: the acquire of the state orders it. */
		desc = tpi_load_relaxed(at);
		if (filter ? !tpi_filter_pass(filter, desc)
			   : TAPIO_DESC_TYPE(desc) == TAPIO_TYPE_DISCARD) {
			skips++;
			continue;
		}
		if (tpi_unlikely(!tpi_desc_sane(lane, desc)))
			break;
		v->data = tpi_lane_block(lane, TAPIO_DESC_BLOCK(desc));
		__builtin_prefetch(v->data);
		/* Relaxed: belongs to the event, and is ordered as it is. */
		tpi_view_fill(v++, lane, here,
			      time ? tpi_load_relaxed(at + time) : 0, desc);
	}
	*position = here & TAPIO_POSITION_MASK;
	*skipped += skips;
	return v;
}

/* How many of `count` slots the filter refuses before it lets one pass. */
static inline __attribute__((always_inline)) uint64_t
skip_stretch(const struct tpi_lane *lane, const struct tpi_filter *filter,
	     uint64_t position, uint64_t count)
{
	const uint64_t *const first = &lane->desc[position & lane->mask];
	const uint64_t *at = first;

	/* Relaxed: the acquire of the state orders it. */
	while (at != first + count &&
	       !tpi_filter_pass(filter, tpi_load_relaxed(at)))
		at++;
	return (uint64_t)(at - first);
}

/*
 * Views of [next, tail); how many. On private copies of lane and filter, since the
 * compiler cannot know that the caller's views do not lie over them.
 */
static inline __attribute__((always_inline)) unsigned int
fill_views(struct tapio_consumer *c, struct tpi_track *t, uint64_t tail,
	   struct tapio_view *views, unsigned int max, bool filtered)
{
	const struct tpi_lane lane = *t->lane;
	const struct tpi_filter filter = c->filter;
	struct tapio_view *v = views, *const end = views + max;
	uint64_t stop, count, skips, position = t->next, skipped = 0;
	unsigned int n;

	do {
		const uint64_t lap = lane.mask + 1 - (position & lane.mask);

		count = (tail - position) & TAPIO_POSITION_MASK;
		if (count > lap)
			count = lap;
		if (filtered) {
			skips = skip_stretch(&lane, &filter, position, count);
			skipped += skips;
			position = (position + skips) & TAPIO_POSITION_MASK;
			count -= skips;
		}
		if (count > (uint64_t)(end - v))
			count = (uint64_t)(end - v);
		stop = (position + count) & TAPIO_POSITION_MASK;
		v = fill_stretch(&lane, filtered ? &filter : NULL, &position,
				 count, v, &skipped);
	} while (position == stop && position != tail && v != end);
	n = (unsigned int)(v - views);
	if (n && !t->handed)
		t->first = views[0].position;
	t->handed += n;
	t->skipped += skipped;
	t->next = position;
	return n;
}

/* Out of line, both, so that those copies stay in registers. */
__attribute__((noinline)) static unsigned int
fill_filtered(struct tapio_consumer *c, struct tpi_track *t, uint64_t tail,
	      struct tapio_view *views, unsigned int max)
{
	return fill_views(c, t, tail, views, max, true);
}

__attribute__((noinline)) static unsigned int
fill_all(struct tapio_consumer *c, struct tpi_track *t, uint64_t tail,
	 struct tapio_view *views, unsigned int max)
{
	return fill_views(c, t, tail, views, max, false);
}

static unsigned int hand_out(struct tapio_consumer *c, struct tpi_track *t,
			     uint64_t tail, struct tapio_view *views,
			     unsigned int max)
{
	unsigned int n;

	if (c->filter.types || c->filter.severity_min)
		n = fill_filtered(c, t, tail, views, max);
	else
		n = fill_all(c, t, tail, views, max);
	TPI_TESTPOINT("poll.handed");
	return n;
}

/* What a filter by class refuses is passed over without a look. */
static void pass_over(struct tpi_track *t, uint64_t tail)
{
	t->skipped += (tail - t->next) & TAPIO_POSITION_MASK;
	t->next = tail;
}

static void note_peak(struct tpi_track *t, uint64_t unread)
{
	/* Relaxed: a figure for the tools. */
	if (unread > tpi_load_relaxed(&t->cell->peak))
		tpi_store_relaxed(&t->cell->peak, unread < UINT32_MAX
							  ? (uint32_t)unread
							  : UINT32_MAX);
}

/*
 * Up to where a lane may be read now, in *tail. 0; -EOVERFLOW it went round;
 * -EBADMSG its state is impossible.
 */
static int readable(const struct tapio_consumer *c, const struct tpi_track *t,
		    uint64_t state, uint64_t *tail)
{
	const struct tpi_lane *lane = t->lane;
	int64_t count = (int64_t)lane->mask + 1;

	*tail = TAPIO_STATE_TAIL(state);
	if (!tpi_lane_state_sane(lane, state) ||
	    tapio_position_diff(*tail, t->next) < 0)
		return -EBADMSG;
	if (c->lossless)
		return tapio_position_diff(*tail, t->head) > count ? -EBADMSG
								   : 0;
	if (tapio_position_diff(t->next, tpi_lane_reap(lane, state)) > 0)
		return 0;
	return tpi_held_for_us(lane, t->next) ? 0 : -EOVERFLOW;
}

static void note_latency(struct tapio_consumer *c,
			 const struct tapio_view *views, unsigned int n)
{
	if (views->flags & TAPIO_VIEW_GAP) {
		views++;
		n--;
	}
	if (n)
		tpi_latency_note(&c->latency, views, n);
}

/* A lane that is not to be read now. */
static inline bool is_closed(const struct tpi_track *t)
{
	return t->stuck || t->giving || !t->leased || t->past != t->past_end;
}

/*
 * Whether a lane is to be read, and up to where (*tail). What cannot be read goes
 * into a record, which is counted in *n.
 */
static inline __attribute__((always_inline)) bool
look(struct tapio_consumer *c, struct tpi_track *t, struct tapio_view *view,
     unsigned int *n, uint64_t *tail)
{
	uint64_t state = tpi_lane_peek(t->lane);
	unsigned int gaps = 0;
	int err;

	if (tpi_likely(TAPIO_STATE_TAIL(state) == t->next))
		return false;
	__builtin_prefetch(t->guess);
	t->guess = t; /* it was for one look */
	if (tpi_unlikely(is_closed(t)))
		return false;
	err = readable(c, t, state, tail);
	if (tpi_unlikely(err == -EOVERFLOW)) {
		gaps = overrun(c, t, state, view);
		*n += gaps;
		if (!gaps)
			return false;
	} else if (tpi_unlikely(err)) {
		*n += quarantine(t, view);
		return false;
	}
	if (tpi_unlikely(c->ended) && tapio_position_diff(*tail, t->end) > 0)
		*tail = t->end;
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

/* Only skipped: nobody will release it for us. */
static inline void look_done(struct tapio_consumer *c, struct tpi_track *t)
{
	if (t->handed || t->gapped)
		tpi_touch(c, t);
	else if (t->next != t->head && tpi_commit(c, t))
		tpi_wake_producers(c);
}

static unsigned int read_lane(struct tapio_consumer *c, struct tpi_track *t,
			      struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0;
	uint64_t tail;

	if (!known(c, t, &tail) && !look(c, t, views, &n, &tail))
		return n;
	if (tpi_filter_class(&c->filter, t->lane->klass))
		n += hand_out(c, t, tail, views + n, max - n);
	else
		pass_over(t, tail);
	if (n && c->latency.shm)
		note_latency(c, views, n);
	if (n < max && t->next != tail)
		return n + quarantine(t, views + n); /* a bad descriptor */
	look_done(c, t);
	return n;
}

/* ---- for the merge ------------------------------------------------------------- */

bool tpi_look(struct tapio_consumer *c, struct tpi_track *t,
	      struct tapio_view *view, unsigned int *n)
{
	return look(c, t, view, n, &t->limit);
}

void tpi_look_done(struct tapio_consumer *c, struct tpi_track *t)
{
	look_done(c, t);
}

unsigned int tpi_quarantine(struct tpi_track *t, struct tapio_view *view)
{
	return quarantine(t, view);
}

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

/* The slot is another group's, or nobody's: what is there now is the last. */
static void end(struct tapio_consumer *c)
{
	uint32_t i;

	c->ended = true;
	c->lossless = false;
	for (i = 0; i < c->lane_count; i++)
		c->tracks[i].end =
			TAPIO_STATE_TAIL(tpi_lane_peek(c->tracks[i].lane));
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

		if (t->leased && !t->stuck && t->next != t->end)
			return false;
	}
	return !c->past_lanes;
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

unsigned int tpi_gather(struct tapio_consumer *c, struct tapio_view *views,
			unsigned int max)
{
	bool upside_down = ++c->rounds % FAIR_ROUNDS == 0;
	unsigned int n = 0;
	uint32_t i, count;

	tpi_check_slot(c);
	if (tpi_unlikely(c->stale))
		tpi_lease_sort(c);
	if (tpi_unlikely(c->past_lanes))
		n = tpi_history_read(c, views, max);
	if (tpi_unlikely(c->merge.heap != NULL)) {
		tpi_merge_note(&c->merge, views, n);
		return n + tpi_merge_gather(c, views + n, max - n);
	}
	count = c->level_count;
	for (i = 0; i < count && n < max; i++)
		n += read_level(c, &c->levels[upside_down ? count - 1 - i : i],
				views + n, max - n);
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
	n = tpi_gather(c, views, max);
	if (n || !max) {
		note_pace(c, n, max);
		return (int)n;
	}
	if (c->pace.streak > 0)
		c->pace.streak = 0;
	if (c->ended && tpi_drained(c))
		return -ENOTCONN;
	tpi_lease_balance(c);
	if (!timeout_ns)
		return tpi_fd_idle(c, views, max);
	return tpi_sleep(c, views, max, timeout_ns);
}
