/* SPDX-License-Identifier: Apache-2.0 */
/* See segments.h for the steps R1 to R6. */
#include "client/connection/segments.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/connection/client.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

static const struct tpi_lane *lane_of(const struct tpi_client *client,
				      uint32_t klass, uint32_t segment)
{
	return tpi_channel_own_lane(&client->channel, klass, segment);
}

uint32_t tpi_segments_number(const struct tpi_client *client, uint32_t lane)
{
	const struct tpi_channel *channel = &client->channel;

	return 1 + lane - channel->side_first[channel->lanes[lane].klass];
}

static uint32_t epoch_of(const struct tpi_client *client, uint32_t segment)
{
	/* ORDER segment.epoch (acquire): the spans, or the seals, of that phase. Pairs with
	 * tpi_isolation_show(). */
	return tpi_load_acquire(&client->segments.records[segment].epoch);
}

bool tpi_segments_current(const struct tpi_client *client, uint32_t lane)
{
	uint32_t segment = tpi_segments_number(client, lane);
	uint32_t mine = client->segments.epochs[segment];

	return TAPIO_SEGMENT_READABLE(mine) &&
	       mine == epoch_of(client, segment);
}

bool tpi_segments_ended(const struct tpi_client *client, uint32_t lane)
{
	uint32_t segment = tpi_segments_number(client, lane);

	return TAPIO_SEGMENT_PHASE(client->segments.epochs[segment]) ==
	       TAPIO_PHASE_ENDED;
}

/* ---- lanes at rest --------------------------------------------------------------------- */

static int put_in_place(struct tpi_client *client, uint32_t segment,
			struct tpi_map *map)
{
	int err = tpi_sys_mremap_onto(map->base, map->bytes,
				      client->maps[segment].base);

	if (err)
		tpi_map_close(map);
	return err;
}

static int rest(struct tpi_client *client, uint32_t segment)
{
	struct tpi_map map;
	int err = tpi_channel_rest(&map, &client->catalog,
				   client->granted.channel, segment,
				   client->maps[segment].bytes);

	return err ? err : put_in_place(client, segment, &map);
}

/* The records of a channel's segments follow one another. */
static const struct tapio_shm_segment *
find_records(const struct tpi_client *client, uint32_t count)
{
	const struct tpi_catalog *catalog = &client->catalog;
	const struct tapio_shm_segment *r = catalog->segments;
	uint32_t channel = client->granted.channel, i, k;

	for (i = 0; i + count <= catalog->segment_count; i++) {
		for (k = 0; k < count; k++)
			/* Relaxed: these never change. */
			if (tpi_load_relaxed(&r[i + k].kind) !=
				    TAPIO_SEGMENT_CHANNEL ||
			    tpi_load_relaxed(&r[i + k].channel) != channel ||
			    tpi_load_relaxed(&r[i + k].index) != k)
				break;
		if (k == count)
			return &r[i];
	}
	return NULL;
}

int tpi_segments_init(struct tpi_client *client, bool reader, uint32_t own)
{
	const struct tapio_shm_channel *info =
		&client->catalog.channels[client->granted.channel];
	struct tpi_segments *segments = &client->segments;
	uint32_t count = info->segment_count;
	const struct tapio_shm_segment *records = find_records(client, count);
	int err;

	*segments = (struct tpi_segments){.count = count};
	if (!records)
		return tpi_client_fail(client, -EBADMSG,
				       "the catalog does not have the records "
				       "of the channel's %u segments",
				       count);
	for (uint32_t i = 1; i < count; i++) {
		if (i == own)
			continue;
		err = tpi_channel_rest(
			&client->maps[i], &client->catalog,
			client->granted.channel, i,
			tpi_load_relaxed(&records[i].length_bytes));
		if (err)
			return tpi_client_fail(client, err,
					       "memory for segment %u: %s", i,
					       strerror(-err));
	}
	if (reader) {
		segments->records = records;
		segments->spans = &client->catalog.spans[info->first_place];
	}
	return 0;
}

/* ---- R5 -------------------------------------------------------------------------------- */

static bool is_sealed(int fd)
{
	int seals = tpi_sys_get_seals(fd);

	return seals > 0 && (seals & TPI_SEALS_OWN) == TPI_SEALS_OWN;
}

static int map_one(struct tpi_client *client, uint32_t segment, uint32_t epoch,
		   int fd)
{
	struct tpi_map map;
	int err;

	if (!segment || segment >= client->segments.count)
		return -EPROTO;
	if (!TAPIO_SEGMENT_READABLE(epoch))
		return -EAGAIN;
	if (!is_sealed(fd))
		return -EPERM;
	err = tpi_map_fd(&map, fd, false, UINT64_MAX, NULL, 0);
	if (err)
		return err;
	if (map.bytes != client->maps[segment].bytes) {
		tpi_map_close(&map);
		return -EBADMSG;
	}
	return put_in_place(client, segment, &map);
}

int tpi_segments_map(struct tpi_client *client,
		     const struct tpi_wire_fetched *fetched, const int *fds)
{
	int err = 0;

	for (uint32_t k = 0; k < fetched->count && !err; k++) {
		err = map_one(client, fetched->slots[k], fetched->epochs[k],
			      fds[k]);
		if (!err)
			client->segments.epochs[fetched->slots[k]] =
				fetched->epochs[k];
	}
	return err;
}

uint64_t tpi_segments_missing(struct tpi_client *client)
{
	struct tpi_segments *segments = &client->segments;
	/* ORDER channel.changes (acquire): the epochs of then, or later ones. Pairs with
	 * tpi_isolation_show(). */
	uint64_t changes = tpi_load_acquire(&client->shared->changes);
	uint64_t missing = 0;

	for (uint32_t i = 1; segments->records && i < segments->count; i++) {
		uint32_t epoch = epoch_of(client, i);

		if (TAPIO_SEGMENT_READABLE(epoch) &&
		    TAPIO_SEGMENT_MEMORY(epoch) !=
			    TAPIO_SEGMENT_MEMORY(segments->epochs[i]))
			missing |= UINT64_C(1) << i;
		else if (TAPIO_SEGMENT_READABLE(epoch) &&
			 !TAPIO_SEGMENT_READABLE(segments->epochs[i]))
			missing |= UINT64_C(1) << i;
		else if (!TAPIO_SEGMENT_READABLE(segments->epochs[i]))
			segments->epochs[i] = epoch;
	}
	tpi_store_relaxed(&segments->seen, changes);
	return missing;
}

/* One answer to FETCH, of one segment. -EAGAIN: not yet, or not the one that is wanted. */
static int take(struct tpi_client *client, uint32_t segment, uint32_t epoch,
		int wait_ms)
{
	unsigned int count = TPI_WIRE_FETCH_MAX;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FETCH_MAX];
	int err =
		tpi_client_take_fetched(client, wait_ms, &message, fds, &count);

	if (err)
		return err;
	if (message.fetched.count == 1 && message.fetched.slots[0] == segment &&
	    message.fetched.epochs[0] == epoch)
		err = tpi_segments_map(client, &message.fetched, fds);
	else
		err = -ESTALE;
	while (count)
		close(fds[--count]);
	return err;
}

static int fetch(struct tpi_client *client, uint32_t segment, uint32_t epoch,
		 int wait_ms)
{
	struct tpi_segments *s = &client->segments;
	bool asked = s->asked && s->asked_on == client->link.serial;
	int err;

	/* An answer that came late. It may be of something else. */
	if (asked) {
		err = take(client, segment, epoch, 0);
		if (err == -EAGAIN || !err) {
			s->asked = err != 0;
			return err;
		}
		s->asked = false;
	}
	err = tpi_client_ask(client, TPI_FETCH_SEGMENTS,
			     UINT64_C(1) << segment);
	if (err)
		return err;
	s->asked = true;
	s->asked_on = client->link.serial;
	TPI_TESTPOINT("segments.asked");
	err = take(client, segment, epoch, wait_ms);
	s->asked = err == -EAGAIN;
	if (err == -ECONNREFUSED || err == -ECONNRESET)
		tpi_client_hung_up(client);
	return err;
}

/* ---- R2 to R6 -------------------------------------------------------------------------- */

static bool read_news(const struct tpi_client *client,
		      struct tpi_segment_news *news)
{
	const struct tpi_segments *s = &client->segments;

	news->epoch = epoch_of(client, news->segment);
	for (uint32_t k = 0; k < client->channel.info.class_count; k++) {
		const struct tapio_shm_span *span =
			&s->spans[lane_of(client, k, news->segment)->id];

		/* Relaxed: the second look at the epoch tells. */
		news->spans[k].begin =
			tpi_load_relaxed(&span->begin) & TAPIO_POSITION_MASK;
		news->spans[k].end =
			tpi_load_relaxed(&span->end) & TAPIO_POSITION_MASK;
	}
	/* ORDER segment.epoch (load-load): the spans before that look. Pairs with
	 * tpi_isolation_show(). */
	tpi_fence_load_load();
	return tpi_load_relaxed(&s->records[news->segment].epoch) ==
	       news->epoch;
}

/* The end of the memory that this process has, if the news tell it. */
static void find_limit(struct tpi_segment_news *news, uint32_t mine)
{
	uint32_t before = TAPIO_SEGMENT_MEMORY(mine);
	uint32_t now = TAPIO_SEGMENT_MEMORY(news->epoch);

	news->limited = now - before <= 1;
	for (uint32_t k = 0; now != before && k < TAPIO_CLASSES_MAX; k++)
		news->spans[k].end = news->spans[k].begin;
}

/* True: this segment is as its record says. */
static bool follow_one(struct tpi_client *client, uint32_t segment,
		       const struct tpi_segment_reader *calls, void *reader,
		       int wait_ms, bool *opened)
{
	struct tpi_segments *s = &client->segments;
	uint32_t mine = s->epochs[segment];
	struct tpi_segment_news news = {.segment = segment}, limits;
	bool has = TAPIO_SEGMENT_READABLE(mine);

	if (epoch_of(client, segment) == mine)
		return true;
	if (!read_news(client, &news))
		return false;
	TPI_TESTPOINT("segments.news");
	if (has &&
	    TAPIO_SEGMENT_MEMORY(mine) == TAPIO_SEGMENT_MEMORY(news.epoch) &&
	    TAPIO_SEGMENT_READABLE(news.epoch)) {
		s->epochs[segment] = news.epoch;
		calls->end(reader, &news);
		return true;
	}
	limits = news;
	find_limit(&limits, mine);
	if (has && !calls->leave(reader, &limits))
		return false;
	if (TAPIO_SEGMENT_READABLE(news.epoch)) {
		if (fetch(client, segment, news.epoch, wait_ms))
			return false;
		TPI_TESTPOINT("segments.mapped");
		calls->open(reader, &news);
		*opened = true;
		return true;
	}
	/* Also where there was none: lanes rest at another end by now. */
	if (rest(client, segment))
		return false;
	s->epochs[segment] = news.epoch;
	if (has)
		calls->shut(reader, &news);
	return true;
}

bool tpi_segments_follow(struct tpi_client *client,
			 const struct tpi_segment_reader *calls, void *reader,
			 int wait_ms)
{
	struct tpi_segments *s = &client->segments;
	bool opened = false, done = true;
	struct tpi_turn turn;
	int saved = errno;
	uint64_t changes;

	if (!tpi_client_enter(client, &turn))
		return false;
	/* ORDER channel.changes (acquire): the epochs of then, or later ones. Pairs with
	 * tpi_isolation_show(). */
	changes = tpi_load_acquire(&client->shared->changes);
	for (uint32_t i = 1; i < s->count; i++)
		done &= follow_one(client, i, calls, reader, wait_ms, &opened);
	if (done)
		/* Relaxed: the helper of tapio_fd only compares it. */
		tpi_store_relaxed(&s->seen, changes);
	tpi_client_leave(client, &turn);
	errno = saved;
	return opened;
}
