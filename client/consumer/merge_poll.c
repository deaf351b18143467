/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer's look when it merges (merge.h): over all leased lanes, whatever
 * their priority, since order is what was asked for.
 *
 * SIGKILL and SIGSTOP: as in poll.c; what waits for its time has not been handed
 * out and is the next member's.
 */
#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

/* Passes over what the filter refuses; false when the lane has nothing more. */
static bool skip(struct tapio_consumer *c, struct tpi_track *t)
{
	const struct tpi_lane *lane = t->lane;
	uint64_t desc;

	if (!tpi_filter_class(&c->filter, lane->klass)) {
		t->skipped += (t->limit - t->next) & TAPIO_POSITION_MASK;
		t->next = t->limit;
	}
	for (; t->next != t->limit;
	     t->next = (t->next + 1) & TAPIO_POSITION_MASK) {
		/* Relaxed: the acquire of the state orders it. */
		desc = tpi_load_relaxed(&lane->desc[t->next & lane->mask]);
		if (tpi_filter_pass(&c->filter, desc))
			return true;
		t->skipped++;
	}
	return false;
}

static uint64_t stamp(const struct tpi_track *t)
{
	/* Relaxed: belongs to the event, and is ordered as the event is. */
	return tpi_load_relaxed(&t->lane->time[t->next & t->lane->mask]);
}

/* All lanes that have something; gap records go to views. How many of those. */
static unsigned int collect(struct tapio_consumer *c, struct tapio_view *views,
			    unsigned int max)
{
	unsigned int n = 0;
	uint32_t i, k;

	for (i = 0; i < c->level_count; i++)
		for (k = 0; k < c->levels[i].count && n < max; k++) {
			struct tpi_track *t = c->levels[i].tracks[k];
			bool open = tpi_look(c, t, views + n, &n);

			if (!open || n == max || !skip(c, t))
				continue;
			tpi_merge_push(&c->merge, stamp(t), t);
			if (((t->limit - t->head) & TAPIO_POSITION_MASK) >
			    (t->lane->mask + 1) / 4)
				c->merge.hurry = true;
		}
	return n;
}

/*
 * The event that skip() has stopped at. False when its descriptor is impossible, or
 * is not any more what it was: it is loaded anew, and only that is believed.
 */
static bool hand_one(struct tapio_consumer *c, struct tpi_track *t,
		     struct tapio_view *view)
{
	const struct tpi_lane *lane = t->lane;
	/* Relaxed: the acquire of the state orders it. */
	uint64_t desc = tpi_load_relaxed(&lane->desc[t->next & lane->mask]);

	if (!tpi_filter_pass(&c->filter, desc) || !tpi_desc_sane(lane, desc))
		return false;
	view->data = tpi_lane_block(lane, TAPIO_DESC_BLOCK(desc));
	__builtin_prefetch(view->data);
	tpi_view_fill(view, lane, t->next, tpi_view_time(lane, t->next), desc);
	if (!t->handed++)
		t->first = t->next;
	t->next = (t->next + 1) & TAPIO_POSITION_MASK;
	TPI_TESTPOINT("poll.handed");
	return true;
}

static unsigned int hand_out(struct tapio_consumer *c, struct tapio_view *views,
			     unsigned int max)
{
	struct tpi_merge *merge = &c->merge;
	struct tpi_track *t;
	unsigned int n = 0;

	while (n < max && (t = tpi_merge_top(merge))) {
		if (!hand_one(c, t, views + n)) {
			/* A bad descriptor: the record says so. */
			n += tpi_quarantine(t, views + n);
			tpi_merge_drop(merge);
			continue;
		}
		n++;
		if (skip(c, t))
			tpi_merge_next(merge, stamp(t));
		else
			tpi_merge_drop(merge);
	}
	return n;
}

unsigned int tpi_merge_gather(struct tapio_consumer *c,
			      struct tapio_view *views, unsigned int max)
{
	unsigned int gaps, n;
	uint32_t i, k;

	tpi_merge_begin(&c->merge, &c->client);
	gaps = collect(c, views, max);
	if (c->ended)
		c->merge.hurry = true;
	n = hand_out(c, views + gaps, max - gaps);
	tpi_merge_note(&c->merge, views + gaps, n);
	if (n && c->latency.shm)
		tpi_latency_note(&c->latency, views + gaps, n);
	tpi_merge_end(&c->merge);
	for (i = 0; i < c->level_count; i++)
		for (k = 0; k < c->levels[i].count; k++)
			tpi_look_done(c, c->levels[i].tracks[k]);
	return gaps + n;
}
