/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes of isolated producers, whose memory is replaced: a consumer's part of R1 to R6
 * (client/connection/segments.h). Called when a look has found nothing, and now and then
 * by a consumer that always finds something.
 *
 *  - Only the member that has a lane's lease moves its head. So only that one steps back at
 *    `end` (R3), and counts what it has not read as lost (R6). Another one just maps.
 *  - A member that takes a lease from one that maps newer memory finds a head of that, and
 *    reads nothing before it has the memory, too. The swap of the lease comes
 *    before the look at the epoch, and the last holder had seen its epoch before it gave
 *    the lease, so the look finds it.
 *  - Views in the caller's hands keep their memory: the mapping changes after the
 *    release.
 */
#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

/* Attempts to leave memory that is read to its end and shows something new each time. */
#define LEAVE_TRIES 64

static struct tpi_track *track_of(struct tpi_consumer *c, uint32_t klass,
				  uint32_t segment)
{
	return &c->tracks[tpi_channel_own_lane(&c->client.channel, klass,
					       segment)
				  ->id];
}

static uint32_t classes_of(const struct tpi_consumer *c)
{
	return c->client.channel.info.class_count;
}

static void note_over(struct tpi_consumer *c)
{
	c->over = false;
	for (uint32_t i = 0; i < c->lane_count; i++)
		c->over |= c->tracks[i].over;
}

static void limit(struct tpi_consumer *c, struct tpi_track *t, uint64_t end)
{
	if (c->ended && tapio_position_diff(t->end, end) < 0)
		return;
	t->end = end;
	t->over = true;
	/* A tail that an earlier look has seen may lie behind it. */
	t->seen = t->next;
	c->over = true;
}

static void set_shut(struct tpi_track *t, bool shut)
{
	/* Relaxed: the helper of tapio_fd reads it for a guess. */
	tpi_store_relaxed(&t->shut, shut);
}

/* Nothing before `begin` is there any more. Of ours: lost. */
static void go_to_begin(struct tpi_consumer *c, struct tpi_track *t)
{
	if (c->ended || !t->leased || tpi_lease_lost(c, t) ||
	    tapio_position_diff(t->begin, t->next) <= 0)
		return;
	tpi_miss(c, t, TAPIO_GAP_OVERRUN, t->begin, NULL);
	t->seen = t->next;
	tpi_look_done(c, t);
}

/* ---- the calls ------------------------------------------------------------------------ */

static void on_end(void *reader, const struct tpi_segment_news *news)
{
	struct tpi_consumer *c = reader;

	for (uint32_t k = 0; k < classes_of(c); k++) {
		struct tpi_track *t = track_of(c, k, news->segment);

		limit(c, t, news->spans[k].end);
		/* A lease was taken before this was seen. */
		set_shut(t, false);
	}
}

static bool is_unread(const struct tpi_consumer *c, const struct tpi_track *t)
{
	uint64_t tail = TAPIO_STATE_TAIL(tpi_lane_peek(t->lane));

	if (!t->leased || t->giving || t->shut)
		return false;
	if (tapio_position_diff(t->next, t->end) > 0)
		return true; /* settle() steps back first */
	if (c->past_lanes && t->past != t->past_end)
		return true;
	return tapio_position_diff(t->end, t->next) > 0 &&
	       tapio_position_diff(tail, t->next) > 0;
}

static bool on_leave(void *reader, const struct tpi_segment_news *news)
{
	struct tpi_consumer *c = reader;
	bool unread = false;

	for (uint32_t k = 0; k < classes_of(c); k++) {
		struct tpi_track *t = track_of(c, k, news->segment);

		if (t->touched)
			return false;
		if (!news->limited)
			continue;
		limit(c, t, news->spans[k].end);
		unread |= is_unread(c, t);
	}
	return !unread || ++c->leaving[news->segment] >= LEAVE_TRIES;
}

static void leave_past(struct tpi_consumer *c, struct tpi_track *t)
{
	if (t->past == t->past_end)
		return;
	t->past = t->past_end;
	c->past_lanes--;
}

static void on_shut(void *reader, const struct tpi_segment_news *news)
{
	struct tpi_consumer *c = reader;

	c->leaving[news->segment] = 0;
	for (uint32_t k = 0; k < classes_of(c); k++) {
		struct tpi_track *t = track_of(c, k, news->segment);

		set_shut(t, true);
		t->over = false;
		t->seen = t->next;
		leave_past(c, t);
	}
	note_over(c);
}

static void on_open(void *reader, const struct tpi_segment_news *news)
{
	struct tpi_consumer *c = reader;

	on_shut(reader, news);
	for (uint32_t k = 0; k < classes_of(c); k++) {
		struct tpi_track *t = track_of(c, k, news->segment);

		t->begin = news->spans[k].begin;
		t->sights.count = 0;
		t->asked = 0;
		set_shut(t, false);
		go_to_begin(c, t);
	}
	if (TAPIO_SEGMENT_PHASE(news->epoch) == TAPIO_PHASE_ENDED)
		on_end(reader, news);
}

/* ---- from the other parts ---------------------------------------------------------------- */

/* The head is there, and this member does not move it in this memory any more. */
static void say_followed(const struct tpi_consumer *c, struct tpi_track *t)
{
	uint32_t number = tpi_segments_number(&c->client, t->lane->id);
	uint32_t epoch = c->client.segments.epochs[number];

	if (TAPIO_SEGMENT_PHASE(epoch) != TAPIO_PHASE_ENDED ||
	    !tpi_lease_held(t) ||
	    tpi_load_relaxed(&t->cursor->followed) == epoch)
		return;
	/* ORDER cursor.followed (release): our last head. Pairs with the acquire in
	 * look_at_group() (broker/registry/isolation.c). */
	tpi_store_release(&t->cursor->followed, epoch);
}

/* R3: at `end`, whatever the lane shows. */
static void settle(struct tpi_consumer *c)
{
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];
		int64_t ahead = tapio_position_diff(t->next, t->end);

		if (!t->over || t->shut || !t->leased || t->touched ||
		    t->next != t->head || (ahead < 0 && is_unread(c, t)))
			continue;
		if (ahead) {
			tpi_bad_state(c, t, t->end, NULL);
			tpi_look_done(c, t);
		}
		if (t->leased && !t->touched && t->head == t->end)
			say_followed(c, t);
	}
}

bool tpi_follow_news(struct tpi_consumer *c, int wait_ms)
{
	static const struct tpi_segment_reader calls = {
		.end = on_end,
		.leave = on_leave,
		.shut = on_shut,
		.open = on_open,
	};
	bool opened = false;

	if (c->over && !c->ended)
		settle(c);
	if (tpi_segments_changed(&c->client))
		opened = tpi_segments_follow(&c->client, &calls, c, wait_ms);
	/* What has just ended may be read already. */
	if (c->over && !c->ended)
		settle(c);
	tpi_glances_forget(c);
	TPI_TESTPOINT("follow.done");
	return opened;
}

void tpi_follow_lease(struct tpi_consumer *c, struct tpi_track *t)
{
	if (!c->client.segments.records)
		return;
	/* R1 finds what is missing. */
	if (!tpi_segments_current(&c->client, t->lane->id))
		set_shut(t, true);
	else if (!t->shut)
		go_to_begin(c, t);
}

void tpi_follow_init(struct tpi_consumer *c)
{
	const struct tpi_client *client = &c->client;

	for (uint32_t i = 0; client->segments.records && i < c->lane_count;
	     i++) {
		struct tpi_track *t = &c->tracks[i];
		uint32_t number = tpi_segments_number(client, i);
		uint32_t epoch = client->segments.epochs[number];

		t->shut = !TAPIO_SEGMENT_READABLE(epoch);
		/* Relaxed: they belong to the memory that is mapped, or the next look finds
		 * another epoch. */
		t->begin = tpi_load_relaxed(&client->segments.spans[i].begin);
		if (TAPIO_SEGMENT_PHASE(epoch) == TAPIO_PHASE_ENDED)
			limit(c, t,
			      tpi_load_relaxed(&client->segments.spans[i].end));
	}
}
