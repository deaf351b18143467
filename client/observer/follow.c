/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of isolated producers that comes and goes (client/connection/segments.h): where an
 * observer's lanes end, and where they go on. It has copies only, so nothing of the old
 * memory is in the caller's hands.
 *
 * SIGKILL, SIGSTOP: no other process notices.
 */
#include "client/observer/observer.h"

/* Attempts to leave memory that shows something new each time. */
#define LEAVE_TRIES 64

/* Relaxed, here: they belong to the memory that is mapped, or the next look finds another
 * epoch. */
void tpi_observer_follow_init(struct tpi_observer *o, struct tpi_watched *w)
{
	const struct tpi_client *client = &o->client;
	uint32_t lane = w->lane->id;

	if (!client->segments.records)
		return;
	w->over = tpi_segments_ended(client, lane);
	w->end = tpi_load_relaxed(&client->segments.spans[lane].end);
	w->shut = !TAPIO_SEGMENT_READABLE(
		client->segments.epochs[tpi_segments_number(client, lane)]);
}

static struct tpi_watched *watch_of(struct tpi_observer *o, uint32_t klass,
				    uint32_t segment)
{
	return &o->watches[tpi_channel_own_lane(&o->client.channel, klass,
						segment)
				   ->id];
}

static void on_end(void *reader, const struct tpi_segment_news *news)
{
	struct tpi_observer *o = reader;

	for (uint32_t k = 0; k < o->client.channel.info.class_count; k++) {
		struct tpi_watched *w = watch_of(o, k, news->segment);

		w->over = true;
		w->end = news->spans[k].end;
	}
}

/* It has copies only, so nothing of the old memory is in the caller's hands. */
static bool on_leave(void *reader, const struct tpi_segment_news *news)
{
	struct tpi_observer *o = reader;
	bool unread = false;

	if (!news->limited)
		return true;
	on_end(reader, news);
	for (uint32_t k = 0; k < o->client.channel.info.class_count; k++) {
		const struct tpi_watched *w = watch_of(o, k, news->segment);
		uint64_t tail = tpi_watch_tail(w, tpi_lane_peek(w->lane));

		unread |= tapio_position_diff(tail, w->next) > 0;
	}
	return !unread || ++o->leaving[news->segment] >= LEAVE_TRIES;
}

static void on_shut(void *reader, const struct tpi_segment_news *news)
{
	struct tpi_observer *o = reader;

	o->leaving[news->segment] = 0;
	for (uint32_t k = 0; k < o->client.channel.info.class_count; k++) {
		struct tpi_watched *w = watch_of(o, k, news->segment);

		w->shut = true;
		w->over = false;
	}
}

static void on_open(void *reader, const struct tpi_segment_news *news)
{
	struct tpi_observer *o = reader;

	on_shut(reader, news);
	for (uint32_t k = 0; k < o->client.channel.info.class_count; k++) {
		struct tpi_watched *w = watch_of(o, k, news->segment);
		uint64_t begin = news->spans[k].begin;

		w->shut = false;
		w->sights.count = 0;
		/* A producer that took its tail back is gone. */
		if (tapio_position_diff(begin, w->next) > 0)
			tpi_observer_miss(o, w, TAPIO_GAP_OVERRUN, begin, NULL);
		else
			w->next = begin;
	}
	if (TAPIO_SEGMENT_PHASE(news->epoch) == TAPIO_PHASE_ENDED)
		on_end(reader, news);
}

bool tpi_observer_follow_news(struct tpi_observer *o, int wait_ms)
{
	static const struct tpi_segment_reader calls = {
		.end = on_end,
		.leave = on_leave,
		.shut = on_shut,
		.open = on_open,
	};

	return tpi_segments_follow(&o->client, &calls, o, wait_ms);
}
