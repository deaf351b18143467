/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAPIO_START_OLDEST: the events that the lanes still held when a group began.
 *
 * The group's first member reads it as an observer does, into a buffer of its
 * own, before it reads anything else of a lane; the group's promises begin at its
 * start, and none of this is in its ledger. Events that were overwritten before
 * the first one was read are no gap: the history has no known beginning. A consumer
 * that has moved (move.c) knows it, since all that its new memory has is news.
 *
 * Called by poll.c, lane by lane, or by merge_poll.c, event by event.
 */
#include <errno.h>

#include "client/consumer/consumer.h"

#define BUFFER_BYTES (256 * 1024)
/* So often a producer may be faster than one of our reads. */
#define TRIES 8

static bool is_over(const struct tpi_track *t)
{
	return t->past == t->past_end;
}

static void begin(struct tpi_track *t)
{
	uint64_t state = tpi_lane_peek(t->lane);
	/* Plain: written by the broker before it answered us. */
	uint64_t start = t->cursor->start & TAPIO_POSITION_MASK;
	uint64_t oldest;

	oldest = tpi_copy_oldest(t->lane, state);
	t->past_end = start;
	t->past = tapio_position_diff(oldest, start) < 0 ? oldest : start;
	/* No honest state: there is no such past. */
	if (start - t->past > t->lane->mask)
		t->past = start;
}

/* How many positions there were before it. */
static uint64_t missed(const struct tpi_consumer *c, const struct tpi_track *t)
{
	return tpi_filter_class(&c->filter, t->lane->klass)
		       ? tpi_copy_missed(t->lane, t->past)
		       : 0;
}

int tpi_history_init(struct tpi_consumer *c, bool moved)
{
	uint32_t i;
	int err;

	err = tpi_copies_init(&c->copies, BUFFER_BYTES,
			      &c->client.channel.info);
	if (err)
		return err;
	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];

		begin(t);
		t->past_seen = moved;
		c->missed += moved ? missed(c, t) : 0;
		c->past_lanes += !is_over(t);
	}
	return 0;
}

/* The missed events between `from` and `past` are a gap if something was read
 * before. */
static unsigned int tell(struct tpi_consumer *c, struct tpi_track *t,
			 uint32_t cause, uint64_t from, struct tapio_view *view)
{
	uint64_t count = (t->past - from) & TAPIO_POSITION_MASK;

	if (!t->past_seen || !count ||
	    !tpi_tell(c, t, tpi_gap_of(cause, from, count), view))
		return 0;
	tpi_touch(c, t);
	return 1;
}

/* Overwritten at `past`: goes on above. */
static unsigned int skip_ahead(struct tpi_consumer *c, struct tpi_track *t,
			       struct tapio_view *view)
{
	uint64_t from = t->past;
	uint64_t to = tpi_copy_resume(t->lane, tpi_lane_peek(t->lane));

	if (tapio_position_diff(to, t->past_end) > 0 ||
	    tapio_position_diff(to, from) <= 0)
		to = t->past_end;
	t->past = to;
	return tell(c, t, TAPIO_GAP_OVERRUN, from, view);
}

/* An impossible descriptor at `past`. */
static unsigned int skip_one(struct tpi_consumer *c, struct tpi_track *t,
			     struct tapio_view *view)
{
	uint64_t from = t->past;

	t->past = (from + 1) & TAPIO_POSITION_MASK;
	return tell(c, t, TAPIO_GAP_CORRUPT, from, view);
}

/*
 * Copies up to `max` events; how many views. *full: the buffer takes no more
 * before a release.
 */
static unsigned int copy(struct tpi_consumer *c, struct tpi_track *t,
			 struct tapio_view *views, unsigned int max, bool *full)
{
	uint64_t skipped = 0, before = t->past;
	int n = tpi_copy_events(&c->copies, &c->filter, t->lane, &t->past,
				t->past_end, views, max, &skipped);

	*full = !n && t->past == before && !is_over(t);
	c->copied |= n > 0;
	if (n == -EOVERFLOW)
		return skip_ahead(c, t, views);
	if (n < 0)
		return skip_one(c, t, views);
	t->past_seen |= n > 0;
	return (unsigned int)n;
}

static unsigned int read_past(struct tpi_consumer *c, struct tpi_track *t,
			      struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0, tries;
	bool full = false;

	for (tries = 0; tries < TRIES && !n && !full && !is_over(t); tries++)
		n = copy(c, t, views, max, &full);
	c->past_lanes -= is_over(t);
	return n;
}

unsigned int tpi_history_read(struct tpi_consumer *c, struct tapio_view *views,
			      unsigned int max)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < c->lane_count && n < max && c->past_lanes; i++) {
		struct tpi_track *t = &c->tracks[i];

		if (!is_over(t))
			n += read_past(c, t, views + n, max - n);
	}
	return n;
}

bool tpi_history_skip(struct tpi_consumer *c, struct tpi_track *t)
{
	uint64_t skipped = 0;
	unsigned int tries;
	int err = -EOVERFLOW;

	for (tries = 0; tries < TRIES && err && !is_over(t); tries++) {
		err = tpi_copy_skip(&c->filter, t->lane, &t->past, t->past_end,
				    &skipped);
		if (err)
			skip_ahead(c, t, NULL);
	}
	if (is_over(t)) {
		c->past_lanes--;
		return false;
	}
	return !err;
}

int tpi_history_one(struct tpi_consumer *c, struct tpi_track *t,
		    struct tapio_view *view)
{
	unsigned int n;
	bool full;

	n = copy(c, t, view, 1, &full);
	c->past_lanes -= is_over(t);
	return full ? -ENOBUFS : (int)n;
}
