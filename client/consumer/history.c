/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAPIO_START_OLDEST: what the lanes still held when a group began.
 *
 * The group's first member reads it as an observer does, into a buffer of its
 * own, before it reads anything else of a lane; the group's promises begin at its
 * start, and none of this is in its ledger. Events that were overwritten before
 * the first one was read are no gap: nobody knows where the past begins.
 */
#include <errno.h>

#include "client/consumer/consumer.h"

#define BUFFER_BYTES (256 * 1024)
/* So often a producer may be faster than our first read. */
#define TRIES 8

static void begin(struct tpi_track *t)
{
	uint64_t state = tpi_lane_peek(t->lane);
	/* Plain: written by the broker before it answered us. */
	uint64_t start = t->cursor->start & TAPIO_POSITION_MASK;
	uint64_t oldest;

	oldest = (tpi_lane_reap(t->lane, state) + 1) & TAPIO_POSITION_MASK;
	t->past_end = start;
	t->past = tapio_position_diff(oldest, start) < 0 ? oldest : start;
}

int tpi_history_init(struct tapio_consumer *c)
{
	uint32_t i;
	int err;

	err = tpi_copies_init(&c->copies, BUFFER_BYTES,
			      &c->client.channel.info);
	if (err)
		return err;
	for (i = 0; i < c->lane_count; i++) {
		begin(&c->tracks[i]);
		c->past_lanes += c->tracks[i].past != c->tracks[i].past_end;
	}
	return 0;
}

/*
 * Overwritten at `past`: goes on above. With a record of it, if something was
 * handed out before; else nobody has missed anything.
 */
static unsigned int skip_ahead(struct tapio_consumer *c, struct tpi_track *t,
			       struct tapio_view *view)
{
	uint64_t from = t->past;
	uint64_t to = tpi_copy_resume(t->lane, tpi_lane_peek(t->lane));

	if (t->gapped)
		return 0; /* one at a time: after the next release */
	if (tapio_position_diff(to, t->past_end) > 0)
		to = t->past_end;
	t->past = to;
	if (!t->past_seen)
		return 0;
	tpi_gap_view(view, &t->gap, t->lane, TAPIO_GAP_OVERRUN, from,
		     (to - from) & TAPIO_POSITION_MASK);
	t->gapped = true;
	tpi_touch(c, t);
	return 1;
}

static unsigned int read_past(struct tapio_consumer *c, struct tpi_track *t,
			      struct tapio_view *views, unsigned int max)
{
	uint64_t skipped = 0;
	int n, tries = 0;

	do {
		n = tpi_copy_events(&c->copies, &c->filter, t->lane, &t->past,
				    t->past_end, views, max, &skipped);
		if (n == -EOVERFLOW)
			n = (int)skip_ahead(c, t, views);
		else if (n < 0)
			t->past = t->past_end; /* its own reader reports it */
	} while (!n && !t->past_seen && t->past != t->past_end &&
		 ++tries < TRIES);
	if (n > 0)
		t->past_seen = true;
	if (t->past == t->past_end)
		c->past_lanes--;
	return n > 0 ? (unsigned int)n : 0;
}

unsigned int tpi_history_read(struct tapio_consumer *c,
			      struct tapio_view *views, unsigned int max)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < c->lane_count && n < max && c->past_lanes; i++) {
		struct tpi_track *t = &c->tracks[i];

		if (t->past != t->past_end)
			n += read_past(c, t, views + n, max - n);
	}
	return n;
}
