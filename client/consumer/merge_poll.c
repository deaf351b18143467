/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer's look when it merges (merge.h): over all leased lanes, whatever
 * their priority, since order is what was asked for.
 *
 * A lane is a source of events. While there is something to read from before the
 * group's start (history.c) that comes first, with any lease of the lane: such
 * events are copied one by one. Then come the events of the lane itself, in place.
 *
 * Events that the filter refuses are passed over before it is known whether they were still
 * there, and asked about once for each lane and round, when the round is over
 * (settle_passed). So an overrun is found in three places: by the look at the
 * state, by an event that is not any more what it was when its stamp was read, and
 * there. Each of them is an overrun and nothing else.
 *
 * A ROUND looks at the lanes, lets their first events compete, and hands out from the top.
 * Most lanes need no look: one that was idle is idle while its state is the same
 * (glance.h), and one that has a ripe event from an earlier look has its turn with that.
 * When the views are full, the round goes on in the next call (go_on).
 *
 * SIGKILL and SIGSTOP: as in poll.c. An event that waits for its time has not been handed
 * out and is the next member's.
 */
#include <errno.h>
#include <stdlib.h>

#include "client/consumer/consumer.h"
#include "client/consumer/glance.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

/* Turns of a round that hand nothing out and move nothing. */
#define VAIN_MAX 64

int tpi_merge_open(struct tpi_consumer *c, uint64_t wait_ns,
		   const struct tapio_options *broker)
{
	uint32_t i;
	int err = tpi_merge_init(&c->merge, &c->client, wait_ns, c->lane_count,
				 broker);

	if (err || !wait_ns)
		return err;
	c->runs = calloc(c->lane_count, sizeof(*c->runs));
	if (!c->runs)
		err = -ENOMEM;
	for (i = 0; !err && i < c->lane_count; i++)
		err = tpi_sights_init(&c->tracks[i].sights,
				      c->tracks[i].lane->mask + 1);
	if (err == -ENOMEM)
		return tpi_fail(err, broker->error, broker->error_bytes,
				"no memory to merge %u lanes", c->lane_count);
	return err;
}

void tpi_merge_close(struct tpi_consumer *c)
{
	uint32_t i;

	for (i = 0; c->tracks && i < c->lane_count; i++)
		tpi_sights_fini(&c->tracks[i].sights);
	free(c->runs);
	c->runs = NULL;
	tpi_merge_fini(&c->merge);
}

/* ---- one lane ------------------------------------------------------------------ */

static bool has_past(const struct tpi_track *t)
{
	return t->past != t->past_end;
}

static uint64_t stamp_at(const struct tpi_track *t, uint64_t position)
{
	/* Relaxed: belongs to the event, and is ordered as the event is. */
	return tpi_load_relaxed(&t->lane->time[position & t->lane->mask]);
}

/* Passes over what the filter refuses; false when the lane has nothing more. */
static bool skip(struct tpi_consumer *c, struct tpi_track *t)
{
	const struct tpi_lane *lane = t->lane;
	uint64_t desc;

	for (; tapio_position_diff(t->limit, t->next) > 0;
	     t->next = (t->next + 1) & TAPIO_POSITION_MASK) {
		/* Relaxed: the acquire of the state orders it. */
		desc = tpi_load_relaxed(&lane->desc[t->next & lane->mask]);
		if (tpi_filter_pass(&c->filter, desc))
			return true;
		if (!t->passed.count++)
			t->passed.first = t->next;
		t->passed.last = t->next;
	}
	return false;
}

/* An event that was passed over is skipped if it was there; else it is unknown. */
static void settle_passed(struct tpi_consumer *c, struct tpi_track *t)
{
	uint64_t count = t->passed.count;

	if (!count)
		return;
	if (c->lossless || tpi_still_there(t, t->passed.first)) {
		t->skipped += count;
	} else {
		t->lost += count;
		t->passed.cause = TAPIO_GAP_OVERRUN;
		tpi_tell(c, t, t->passed, NULL);
	}
	t->passed.count = 0;
}

/* More unread than may wait: order is not worth a loss. */
static bool is_filling(const struct tpi_track *t, uint64_t tail)
{
	return t->leased && ((tail - t->head) & TAPIO_POSITION_MASK) >
				    (t->lane->mask + 1) / 4;
}

/* Looks at the lane's state; a record of a gap goes to views. */
static void look(struct tpi_consumer *c, struct tpi_track *t,
		 struct tapio_view *views, unsigned int *n, unsigned int max)
{
	t->looked = true;
	t->limit = t->next;
	tpi_look(c, t, views + *n, max - *n, n, &t->limit);
	if (is_filling(t, t->limit))
		tpi_merge_hurry(&c->merge);
}

/*
 * The lane has an event from an earlier look which need not wait. Then what was published
 * since lies behind it, and the lane has its turn without a look at its state.
 */
static bool is_ahead(struct tpi_consumer *c, struct tpi_track *t)
{
	if (!tpi_lane_known(c, t, &t->limit) ||
	    stamp_at(t, t->next) + c->merge.bias > c->merge.ripe)
		return false;
	if (is_filling(t, t->limit))
		tpi_merge_hurry(&c->merge);
	return true;
}

/* A look has found nothing. Of a lane that is filling with what the caller holds, all the
 * others are to know. */
static void note_idle(const struct tpi_track *t, struct tpi_glance *glance)
{
	if (!is_filling(t, t->limit))
		*glance = tpi_glance_at(t);
}

/* ---- runs ------------------------------------------------------------------------ */

/* Of a lane that has nothing to hand out in place. */
static void clear_run(struct tpi_merge_run *run, struct tpi_track *t,
		      struct tpi_glance *glance)
{
	run->at = NULL;
	run->track = t;
	run->glance = glance;
	run->passed = false;
}

/* The key of a lane's next event from before the group's start. */
static bool begin_past(struct tpi_consumer *c, struct tpi_merge_run *run,
		       uint64_t *key)
{
	struct tpi_track *t = run->track;

	clear_run(run, t, run->glance);
	if (!tpi_history_skip(c, t))
		return false;
	*key = tpi_merge_key(&c->merge, stamp_at(t, t->past),
			     c->past_tick + c->merge.offset + c->merge.bias);
	return true;
}

/* The ranks of a run are computed with it. */
struct tpi_ranks {
	uint64_t from; /* from a stamp to its rank, but for its leaf */
	uint32_t bits;
};

static struct tpi_ranks ranks_of(const struct tpi_merge *merge)
{
	return (struct tpi_ranks){merge->bias - merge->origin, merge->bits};
}

/* As tpi_merge_rank(). */
static inline uint64_t rank_of(struct tpi_ranks ranks, uint64_t stamp,
			       int64_t most, uint64_t leaf)
{
	int64_t after = (int64_t)(stamp + ranks.from);

	after = after > 1 ? after : 1;
	after = after < most ? after : most;
	return (uint64_t)after << ranks.bits | leaf;
}

/*
 * The rank of an event of a run, or TPI_MERGE_NEVER if the run ends before it. Asked for
 * one event ahead, so that no match waits for a stamp.
 */
static inline uint64_t rank_at(const struct tpi_merge_run *run,
			       const struct tpi_filter *filter,
			       struct tpi_ranks ranks, uint64_t leaf,
			       const uint64_t *at)
{
	/* Relaxed, both: the acquire of the state orders them. */
	if (tpi_unlikely(at == run->stop ||
			 !tpi_filter_pass(filter, tpi_load_relaxed(at))))
		return TPI_MERGE_NEVER;
	return rank_of(ranks, tpi_load_relaxed(at + run->time), run->most,
		       leaf);
}

/* Makes a run ready for the tree as it is built. */
static void aim_run(struct tpi_consumer *c, struct tpi_merge_run *run)
{
	if (!run->at)
		return;
	run->most = tpi_merge_after(&c->merge, run->seen);
	run->next = rank_at(run, &c->filter, ranks_of(&c->merge),
			    (uint64_t)(run - c->runs), run->at + 1);
}

/* The key of the event at t->next, and the run that begins with it. */
static bool begin_run(struct tpi_consumer *c, struct tpi_merge_run *run,
		      uint64_t *key)
{
	struct tpi_track *t = run->track;
	const struct tpi_lane *lane = t->lane;
	uint64_t upto, count, index;

	if (!skip(c, t))
		return false;
	run->seen = tpi_sights_seen(&t->sights, &c->merge, t->next, t->limit,
				    &upto);
	index = t->next & lane->mask;
	count = (upto - t->next) & TAPIO_POSITION_MASK;
	if (count > lane->mask + 1 - index)
		count = lane->mask + 1 - index;
	run->at = &lane->desc[index];
	run->stop = run->at + count;
	run->time = lane->time - lane->desc;
	run->position = t->next;
	run->lane = lane;
	run->passed = false;
	*key = tpi_merge_key(&c->merge, stamp_at(t, t->next), run->seen);
	return true;
}

/* Notes in its track how far a run has handed out. */
static void end_run(struct tpi_merge_run *run)
{
	struct tpi_track *t = run->track;
	uint64_t count;

	if (!run->at)
		return;
	count = (run->position - t->next) & TAPIO_POSITION_MASK;
	if (count && !t->handed)
		t->first = t->next;
	t->handed += count;
	t->next = run->position & TAPIO_POSITION_MASK;
}

/* The key of the next event of a lane, TPI_MERGE_NEVER when it has none. */
static uint64_t source(struct tpi_consumer *c, struct tpi_merge_run *run,
		       struct tapio_view *views, unsigned int *n,
		       unsigned int max)
{
	struct tpi_track *t = run->track;
	uint64_t key;

	if (has_past(t) && begin_past(c, run, &key))
		return key;
	clear_run(run, t, run->glance);
	if (has_past(t))
		return TPI_MERGE_NEVER;
	if (t->looked || t->known)
		if (begin_run(c, run, &key))
			return key;
	if (t->looked)
		return TPI_MERGE_NEVER;
	/* Its past has ended in this round, or what was known of it. */
	look(c, t, views, n, max);
	tpi_merge_tick(&c->merge);
	tpi_sights_note(&t->sights, &c->merge, t->next, t->limit);
	return begin_run(c, run, &key) ? key : TPI_MERGE_NEVER;
}

/* ---- a round ----------------------------------------------------------------------- */

/* Looks at a lane, if it has to. Whether there is anything to be done with it. */
static bool turn_to(struct tpi_consumer *c, struct tpi_track *t,
		    struct tapio_view *views, unsigned int *n, unsigned int max)
{
	t->before = (struct tpi_in_hand){t->next, t->handed, t->gapped};
	t->looked = t->known = false;
	if (has_past(t)) {
		if (is_filling(t, TAPIO_STATE_TAIL(tpi_lane_peek(t->lane))))
			tpi_merge_hurry(&c->merge);
		return true;
	}
	t->known = is_ahead(c, t);
	if (t->known)
		return true;
	look(c, t, views, n, max);
	return t->limit != t->next || t->next != t->before.next ||
	       t->gapped != t->before.gapped;
}

/* The leased lanes, but for those that are idle, and any that have a past. */
static uint32_t find_runs(struct tpi_consumer *c, struct tapio_view *views,
			  unsigned int *n, unsigned int max)
{
	uint32_t i, count = 0;

	if (tpi_unlikely(c->past_lanes)) {
		for (i = 0; i < c->lane_count; i++) {
			struct tpi_track *t = &c->tracks[i];

			if ((t->leased || has_past(t)) &&
			    turn_to(c, t, views, n, max))
				clear_run(&c->runs[count++], t, NULL);
		}
		return count;
	}
	for (i = 0; i < c->leased_count; i++) {
		struct tpi_glance *glance = &c->glances[i];
		struct tpi_track *t;

		if (tpi_glance_is_idle(glance))
			continue;
		t = c->leased[i];
		*glance = tpi_glance_none();
		if (turn_to(c, t, views, n, max))
			clear_run(&c->runs[count++], t, glance);
		else
			note_idle(t, glance);
	}
	return count;
}

/* Builds the tree of the events that are first on their lanes. */
static void compete(struct tpi_consumer *c, uint32_t count,
		    struct tapio_view *views, unsigned int *n, unsigned int max)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct tpi_merge_run *run = &c->runs[i];

		end_run(run);
		tpi_merge_push(&c->merge, source(c, run, views, n, max), run);
	}
	tpi_merge_build(&c->merge);
	for (i = 0; i < count; i++)
		aim_run(c, &c->runs[i]);
}

/* Looks at every lane, and lets those that have something compete. */
static unsigned int collect(struct tpi_consumer *c, struct tapio_view *views,
			    unsigned int max)
{
	unsigned int n = 0;
	uint32_t i, count = find_runs(c, views, &n, max);

	TPI_TESTPOINT("merge.looked");
	tpi_merge_tick(&c->merge);
	if (!c->past_tick)
		c->past_tick = c->merge.tick;
	for (i = 0; i < count; i++) {
		struct tpi_track *t = c->runs[i].track;

		if (t->looked)
			tpi_sights_note(&t->sights, &c->merge, t->next,
					t->limit);
	}
	compete(c, count, views, &n, max);
	return n;
}

/*
 * The event that skip() has stopped at; how many views. It is loaded anew, and only
 * that is believed: it may have been overwritten, or be impossible.
 */
static unsigned int hand_one(struct tpi_consumer *c, struct tpi_track *t,
			     struct tapio_view *view)
{
	const struct tpi_lane *lane = t->lane;
	/* Relaxed: the acquire of the state orders it. */
	uint64_t desc = tpi_load_relaxed(&lane->desc[t->next & lane->mask]);

	if (tpi_unlikely(!tpi_filter_pass(&c->filter, desc)))
		return c->lossless || tpi_still_there(t, t->next)
			       ? 0
			       : tpi_overrun(c, t, view);
	if (tpi_unlikely(!tpi_desc_sane(lane, desc)))
		return tpi_bad_descriptors(c, t, t->limit, view);
	view->data = tpi_lane_block(lane, TAPIO_DESC_BLOCK(desc));
	__builtin_prefetch(view->data);
	tpi_view_fill(view, lane, t->next, tpi_view_time(lane, t->next), desc);
	if (!t->handed++)
		t->first = t->next;
	t->next = (t->next + 1) & TAPIO_POSITION_MASK;
	TPI_TESTPOINT("poll.handed");
	return 1;
}

/*
 * Events from the top, as long as each is plain and the next one of its lane is, too. It
 * ends at the first that is not, with run->passed if that was handed out. The filter is
 * known where it is compiled, if there is none.
 */
static inline __attribute__((always_inline)) unsigned int
hand_out_by(struct tpi_consumer *c, const struct tpi_filter filter,
	    struct tapio_view *views, unsigned int max)
{
	const struct tpi_ranks ranks = ranks_of(&c->merge);
	const uint64_t limit = c->merge.limit, leaves = c->merge.leaves;
	uint64_t *const nodes = c->merge.nodes, top = nodes[0], desc;
	struct tapio_view *v = views, *const end = views + max;
	struct tpi_merge_run *const runs = c->runs;

	while (v != end && top <= limit) {
		const uint64_t leaf = top & (leaves - 1);
		struct tpi_merge_run *run = &runs[leaf];
		const struct tpi_lane *lane = run->lane;
		const uint64_t *at = run->at;

		if (tpi_unlikely(!at))
			break;
		/* Relaxed: the acquire of the state orders it. */
		desc = tpi_load_relaxed(at);
		if (tpi_unlikely(!tpi_filter_pass(&filter, desc) ||
				 !tpi_desc_sane(lane, desc)))
			break;
		v->data = tpi_lane_block(lane, TAPIO_DESC_BLOCK(desc));
		__builtin_prefetch(v->data);
		/* Relaxed: belongs to the event, and is ordered as it is. */
		tpi_view_fill(v++, lane, run->position++,
			      tpi_load_relaxed(at + run->time), desc);
		run->at = ++at;
		TPI_TESTPOINT("poll.handed");
		if (tpi_unlikely(run->next == TPI_MERGE_NEVER)) {
			run->passed = true;
			break;
		}
		top = tpi_merge_replay(nodes, leaves, leaf, run->next);
		run->next = rank_at(run, &filter, ranks, leaf, at + 1);
	}
	nodes[0] = top;
	return (unsigned int)(v - views);
}

static unsigned int hand_out_plain(struct tpi_consumer *c,
				   struct tapio_view *views, unsigned int max)
{
	if (c->filter.types || c->filter.severity_min)
		return hand_out_by(c, c->filter, views, max);
	return hand_out_by(c, (struct tpi_filter){0}, views, max);
}

/* From the top until the views are full, or the rest must wait. */
static unsigned int hand_out(struct tpi_consumer *c, struct tapio_view *views,
			     unsigned int max)
{
	struct tpi_merge *merge = &c->merge;
	unsigned int n = 0, vain = 0, before;
	struct tpi_merge_run *run = NULL;
	uint64_t next;
	int got;

	while (n < max && vain < VAIN_MAX) {
		n += hand_out_plain(c, views + n, max - n);
		/* Then the leaf on top is no lane's. */
		if (!tpi_merge_has_more(merge))
			break;
		run = &c->runs[tpi_merge_leaf(merge)];
		if (!run->passed && tpi_unlikely(tpi_merge_is_far(merge))) {
			compete(c, tpi_merge_again(merge), views, &n, max);
			continue;
		}
		if (!run->passed && (n == max || !tpi_merge_is_ripe(merge)))
			break;
		end_run(run);
		before = n;
		next = run->track->next;
		if (!run->passed && tpi_unlikely(has_past(run->track))) {
			got = tpi_history_one(c, run->track, views + n);
			if (got < 0)
				break; /* no room for copies before a release */
			n += (unsigned int)got;
		} else if (!run->passed) {
			n += hand_one(c, run->track, views + n);
		}
		vain += n == before && run->track->next == next && !run->passed;
		tpi_merge_next(merge, source(c, run, views, &n, max));
		aim_run(c, run);
	}
	if (tpi_unlikely(vain == VAIN_MAX))
		tpi_notice_loss(c, run->track);
	c->pace.more = tpi_merge_has_more(merge);
	return n;
}

/* Without the views of a lane that is not ours any more, but for its past. */
static unsigned int strip(struct tpi_track *t, struct tapio_view *views,
			  unsigned int n)
{
	/* Plain: written by the broker before it answered us. */
	uint64_t start = t->cursor->start & TAPIO_POSITION_MASK;
	unsigned int i, left = 0;

	for (i = 0; i < n; i++)
		if (views[i].lane != t->lane->id ||
		    tapio_position_diff(views[i].position, start) < 0)
			views[left++] = views[i];
		else if (views[i].flags & TAPIO_VIEW_GAP)
			t->gapped = false;
	return left;
}

/*
 * Each lane that gives something is still ours; how many views are left. A look of this round
 * may have found that one is not, after it had given something.
 */
static unsigned int confirm(struct tpi_consumer *c, struct tapio_view *views,
			    unsigned int n)
{
	uint32_t i;

	for (i = 0; i < c->merge.count; i++) {
		struct tpi_track *t = c->runs[i].track;

		end_run(&c->runs[i]);
		if (tpi_likely(t->leased) && ((t->handed == t->before.handed &&
					       t->gapped == t->before.gapped) ||
					      tpi_likely(tpi_lease_hold(c, t))))
			continue;
		n = strip(t, views, n);
		t->next = t->before.next;
		t->handed = t->before.handed;
	}
	return n;
}

static void finish(struct tpi_consumer *c)
{
	uint32_t i;

	tpi_merge_end(&c->merge);
	for (i = 0; i < c->merge.count; i++) {
		struct tpi_track *t = c->runs[i].track;

		settle_passed(c, t);
		if (t->leased)
			tpi_look_done(c, t);
		if (!c->runs[i].at && c->runs[i].glance)
			note_idle(t, c->runs[i].glance);
	}
}

/* ---- a round that goes on ----------------------------------------------------------- */

/* Whether a lane stands where the round has left it. */
static bool stands(const struct tpi_merge_run *run)
{
	return run->track->next == (run->position & TAPIO_POSITION_MASK) &&
	       !tpi_lane_closed(run->track);
}

/*
 * A round that has filled the views goes on in the next call, as it stands, if no other lane
 * has news. Events that it knew to be ripe are ripe still, and were seen before. So only lanes
 * without events could have earlier ones, and of these the states are looked at. Only where
 * producers wait for us, as in tpi_lane_known().
 */
static bool go_on(struct tpi_consumer *c)
{
	uint32_t i, busy = 0, live = 0;

	if (!c->unfinished || !c->lossless)
		return false;
	for (i = 0; i < c->leased_count; i++)
		busy += !tpi_glance_is_idle(&c->glances[i]);
	tpi_merge_go_on(&c->merge);
	for (i = 0; i < c->merge.count; i++) {
		struct tpi_track *t = c->runs[i].track;

		t->before = (struct tpi_in_hand){t->next, t->handed, t->gapped};
		if (!c->runs[i].at)
			continue;
		if (!stands(&c->runs[i]))
			return false;
		live++;
		/* It is looked at again when it is empty. */
		t->known = true;
		t->looked = false;
		if (is_filling(t, t->limit))
			tpi_merge_hurry(&c->merge);
	}
	return busy == live && tpi_merge_is_ripe(&c->merge);
}

unsigned int tpi_merge_gather(struct tpi_consumer *c, struct tapio_view *views,
			      unsigned int max)
{
	/* Copies of what lay there before the group are in no histogram. */
	bool note = c->latency.shm && !c->past_lanes;
	unsigned int n = 0;

	if (!go_on(c)) {
		tpi_merge_begin(&c->merge, &c->client);
		n = collect(c, views, max);
	}
	TPI_TESTPOINT("merge.collected");
	if (c->ended)
		tpi_merge_hurry(&c->merge);
	n += hand_out(c, views + n, max - n);
	TPI_TESTPOINT("merge.handed");
	n = confirm(c, views, n);
	tpi_merge_note(&c->merge, views, n);
	if (n && note)
		tpi_latency_note_mixed(&c->latency, views, n);
	finish(c);
	c->unfinished = n == max && !c->past_lanes;
	return n;
}
