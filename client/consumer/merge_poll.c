/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer's look when it merges (merge.h): over all leased lanes, whatever
 * their priority, since order is what was asked for.
 *
 * A lane is a source of events. While there is something to read from before the
 * group's start (history.c) that comes first, whoever has the lane's lease: such
 * events are copied one by one. Then come the events of the lane itself, in place.
 *
 * What the filter refuses is passed over before it is known whether it was still
 * there, and asked about once for each lane and round, when the round is over
 * (settle_passed). So an overrun is found in three places: by the look at the
 * state, by an event that is not any more what it was when its stamp was read, and
 * there. Each of them is an overrun and nothing else.
 *
 * SIGKILL and SIGSTOP: as in poll.c; what waits for its time has not been handed
 * out and is the next member's.
 */
#include <errno.h>

#include "client/consumer/consumer.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

/* Turns of a round that hand nothing out and move nothing. */
#define VAIN_MAX 64

int tpi_merge_open(struct tapio_consumer *c, uint64_t wait_ns,
		   const struct tapio_options *broker)
{
	uint32_t i;
	int err = tpi_merge_init(&c->merge, &c->client, wait_ns, c->lane_count,
				 broker);

	for (i = 0; !err && wait_ns && i < c->lane_count; i++)
		err = tpi_sights_init(&c->tracks[i].sights,
				      c->tracks[i].lane->mask + 1);
	if (err == -ENOMEM)
		return tpi_fail(err, broker->error, broker->error_bytes,
				"no memory to merge %u lanes", c->lane_count);
	return err;
}

void tpi_merge_close(struct tapio_consumer *c)
{
	uint32_t i;

	for (i = 0; c->tracks && i < c->lane_count; i++)
		tpi_sights_fini(&c->tracks[i].sights);
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
static bool skip(struct tapio_consumer *c, struct tpi_track *t)
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

/* What was passed over is skipped if it was there; else nobody knows what it was. */
static void settle_passed(struct tapio_consumer *c, struct tpi_track *t)
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

/* Looks at the lane's state; what the look finds besides events goes to views. */
static void look(struct tapio_consumer *c, struct tpi_track *t,
		 struct tapio_view *views, unsigned int *n, unsigned int max)
{
	t->looked = true;
	t->limit = t->next;
	tpi_look(c, t, views + *n, max - *n, n, &t->limit);
	if (is_filling(t, t->limit))
		c->merge.hurry = true;
}

/* ---- sources --------------------------------------------------------------------- */

/* The stamp of the lane's next event, in *stamp; false when it has none. */
static bool past_source(struct tapio_consumer *c, struct tpi_track *t,
			uint64_t *stamp)
{
	if (!tpi_history_skip(c, t))
		return false;
	*stamp = tpi_merge_clamp(&c->merge, stamp_at(t, t->past), c->past_tick);
	return true;
}

static bool present_source(struct tapio_consumer *c, struct tpi_track *t,
			   uint64_t *stamp)
{
	if (!skip(c, t))
		return false;
	*stamp = tpi_sights_stamp(&t->sights, &c->merge, t->next,
				  stamp_at(t, t->next));
	return true;
}

static bool source(struct tapio_consumer *c, struct tpi_track *t,
		   struct tapio_view *views, unsigned int *n, unsigned int max,
		   uint64_t *stamp)
{
	if (has_past(t) && past_source(c, t, stamp))
		return true;
	if (has_past(t))
		return false;
	if (!t->looked) { /* its past has ended in this round */
		look(c, t, views, n, max);
		tpi_merge_tick(&c->merge);
		tpi_sights_note(&t->sights, &c->merge, t->next, t->limit);
	}
	return present_source(c, t, stamp);
}

/* ---- a round ----------------------------------------------------------------------- */

/* The lanes that are sources: the leased ones, and any that have a past. */
static struct tpi_track *first_of(struct tapio_consumer *c, uint32_t *at)
{
	for (; *at < c->lane_count; ++*at) {
		struct tpi_track *t = &c->tracks[*at];

		if (t->leased || has_past(t))
			return t;
	}
	return NULL;
}

#define FOR_EACH_SOURCE(c, i, t) for (i = 0; (t = first_of(c, &i)); i++)

/* Looks at every lane, and pushes those that have something. */
static unsigned int collect(struct tapio_consumer *c, struct tapio_view *views,
			    unsigned int max)
{
	struct tpi_track *t;
	unsigned int n = 0;
	uint64_t stamp;
	uint32_t i;

	FOR_EACH_SOURCE(c, i, t)
	{
		t->before = (struct tpi_in_hand){t->next, t->handed, t->gapped};
		t->looked = false;
		if (!has_past(t))
			look(c, t, views, &n, max);
		else if (is_filling(t,
				    TAPIO_STATE_TAIL(tpi_lane_peek(t->lane))))
			c->merge.hurry = true;
	}
	TPI_TESTPOINT("merge.looked");
	tpi_merge_tick(&c->merge);
	if (!c->past_tick)
		c->past_tick = c->merge.tick;
	FOR_EACH_SOURCE(c, i, t)
	{
		if (t->looked)
			tpi_sights_note(&t->sights, &c->merge, t->next,
					t->limit);
		if (source(c, t, views, &n, max, &stamp))
			tpi_merge_push(&c->merge, stamp, t);
	}
	return n;
}

/*
 * The event that skip() has stopped at; how many views. It is loaded anew, and only
 * that is believed: it may have been overwritten, or be impossible.
 */
static unsigned int hand_one(struct tapio_consumer *c, struct tpi_track *t,
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

/* From the top of the heap until the views are full, or the rest must wait. */
static unsigned int hand_out(struct tapio_consumer *c, struct tapio_view *views,
			     unsigned int max)
{
	struct tpi_merge *merge = &c->merge;
	unsigned int n = 0, before, vain = 0;
	uint64_t stamp, next;
	struct tpi_track *t;

	while (n < max && (t = tpi_merge_top(merge)) && vain < VAIN_MAX) {
		before = n;
		next = t->next;
		if (tpi_unlikely(has_past(t))) {
			int got = tpi_history_one(c, t, views + n);

			if (got < 0)
				break; /* no room for copies before a release */
			n += (unsigned int)got;
		} else {
			n += hand_one(c, t, views + n);
		}
		vain += n == before && t->next == next;
		if (source(c, t, views, &n, max, &stamp))
			tpi_merge_next(merge, stamp);
		else
			tpi_merge_drop(merge);
	}
	return n;
}

/* Without the views of a lane that is not ours any more, but for its past. */
static unsigned int strip(const struct tpi_track *t, struct tapio_view *views,
			  unsigned int n)
{
	/* Plain: written by the broker before it answered us. */
	uint64_t start = t->cursor->start & TAPIO_POSITION_MASK;
	unsigned int i, left = 0;

	for (i = 0; i < n; i++)
		if (views[i].lane != t->lane->id ||
		    tapio_position_diff(views[i].position, start) < 0)
			views[left++] = views[i];
	return left;
}

/* Each lane that gives something is still ours; how many views are left. */
static unsigned int confirm(struct tapio_consumer *c, struct tapio_view *views,
			    unsigned int n)
{
	struct tpi_track *t;
	uint32_t i;

	FOR_EACH_SOURCE(c, i, t)
	{
		if (!t->leased || (t->handed == t->before.handed &&
				   t->gapped == t->before.gapped))
			continue;
		if (tpi_likely(tpi_lease_hold(c, t)))
			continue;
		n = strip(t, views, n);
		t->next = t->before.next;
		t->handed = t->before.handed;
		t->gapped = t->before.gapped;
	}
	return n;
}

static void finish(struct tapio_consumer *c)
{
	struct tpi_track *t;
	uint32_t i;

	tpi_merge_end(&c->merge);
	FOR_EACH_SOURCE(c, i, t)
	{
		settle_passed(c, t);
		if (t->leased)
			tpi_look_done(c, t);
	}
}

unsigned int tpi_merge_gather(struct tapio_consumer *c,
			      struct tapio_view *views, unsigned int max)
{
	/* Copies of what lay there before the group are in no histogram. */
	bool note = c->latency.shm && !c->past_lanes;
	unsigned int n;

	tpi_merge_begin(&c->merge, &c->client);
	n = collect(c, views, max);
	TPI_TESTPOINT("merge.collected");
	if (c->ended)
		c->merge.hurry = true;
	n += hand_out(c, views + n, max - n);
	TPI_TESTPOINT("merge.handed");
	n = confirm(c, views, n);
	tpi_merge_note(&c->merge, views, n);
	if (n && note)
		tpi_latency_note_mixed(&c->latency, views, n);
	finish(c);
	return n;
}
