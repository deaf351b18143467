/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a channel's segments lie apart. Each part lies inside its segment: attaching
 * has checked that (lib/memory/layout_lanes.c). The broker writes places once, before READY
 * of the channel, so one look is the proof. An entry that was given back meanwhile is
 * passed over (check.c).
 *
 * Places of two channels lie apart, too. Each record is of one moment, and two are not of
 * the same one, so that is a rule that LASTS: the broker takes READY off before it gives
 * places to another channel, wherever it is stopped.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/memory/layout.h"
#include "tools/inspect/check_inner.h"

/* Of a lane: its words, tickets, descriptors, times and blocks. */
#define PARTS 5
/* As many as a rule that LASTS needs. */
#define APART_LOOKS 4

struct part {
	uint32_t segment;
	uint32_t lane; /* TPI_NONE: the doorbells */
	uint64_t begin;
	uint64_t end;
};

static struct part part_of(const struct tapio_shm_place *place, uint32_t lane,
			   uint64_t begin, uint64_t bytes)
{
	return (struct part){place->segment, lane, begin, begin + bytes};
}

static uint32_t add_lane(const struct tpi_channel *channel, uint32_t lane,
			 const struct tapio_shm_place *place,
			 struct part *parts)
{
	/* Attached: the same in the checked handle. */
	uint64_t n = (uint64_t)channel->lanes[lane].mask + 1;
	uint64_t block_bytes = channel->lanes[lane].block_bytes;
	uint32_t count = 0;

	parts[count++] = part_of(place, lane, place->lane_offset,
				 sizeof(struct tapio_shm_lane));
	parts[count++] = part_of(place, lane, place->ticket_offset, n * 8);
	parts[count++] = part_of(place, lane, place->desc_offset, n * 8);
	if (channel->info.stamp != TAPIO_STAMP_NONE)
		parts[count++] =
			part_of(place, lane, place->time_offset, n * 8);
	parts[count++] =
		part_of(place, lane, place->block_offset, n * block_bytes);
	return count;
}

static int compare(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return 0;
}

static void check_parts(struct tpi_checker *c, uint32_t channel,
			struct part *parts, uint32_t count)
{
	struct tpi_where where = TPI_NOWHERE;

	qsort(parts, count, sizeof(*parts), compare);
	where.channel = channel;
	for (uint32_t i = 1; i < count; i++) {
		const struct part *x = &parts[i - 1], *y = &parts[i];

		where.lane = y->lane != TPI_NONE ? y->lane : x->lane;
		tpi_check_that(c,
			       x->segment != y->segment || x->end <= y->begin,
			       TPI_SURE, TPI_RULE_CHANNEL_PLACES, &where,
			       y->begin, {"segment", y->segment},
			       {"end", x->end}, {"begin", y->begin});
	}
}

/* In the segment of each slot. */
static void check_slot_parts(struct tpi_checker *c, uint32_t channel,
			     const struct tapio_shm_channel *info)
{
	struct part parts[] = {
		{0, TPI_NONE, info->control_offset,
		 info->control_offset + sizeof(struct tapio_shm_group_control)},
		{0, TPI_NONE, info->cursors_offset,
		 info->cursors_offset +
			 (uint64_t)info->lane_count *
				 sizeof(struct tapio_shm_cursor)},
		{0, TPI_NONE, info->histogram_offset,
		 info->histogram_offset + sizeof(struct tapio_shm_histogram)},
	};

	check_parts(c, channel, parts, info->histogram_offset ? 3 : 2);
}

/* Why a channel is not attached: its segments are not had, or its record is wrong. */
static void say_why(struct tpi_checker *c, uint32_t channel)
{
	const struct tpi_inspect_channel *ic = &c->inspect->channels[channel];
	struct tpi_where where = TPI_NOWHERE;
	struct tapio_shm_channel info;

	where.channel = channel;
	if (!tpi_channel_describe(&c->inspect->catalog, channel, &info, NULL,
				  0) &&
	    ic->map_count < info.segment_count) {
		tpi_check_fail(c, TPI_UNREAD, TPI_RULE_SEGMENT_MISSING, &where,
			       0, NULL, ic->why);
		return;
	}
	c->report->corrupt = true;
	tpi_check_fail(c, TPI_SURE, TPI_RULE_CHANNEL_RECORD, &where, 0, NULL,
		       ic->why);
}

/* The record may have been changed since it was attached, by a broker that is broken. */
static void check_record(struct tpi_checker *c, uint32_t channel,
			 const struct tpi_where *where)
{
	const struct tpi_inspect_channel *ic = &c->inspect->channels[channel];
	struct tpi_channel again;
	char why[256] = "";
	int err = tpi_channel_attach(&again, &c->inspect->catalog, channel,
				     ic->maps, ic->map_count, why, sizeof(why));

	c->report->checks += ic->channel.lane_count;
	if (!err)
		tpi_channel_detach(&again);
	else if (err != -ENOMEM)
		tpi_check_fail(c, TPI_SURE, TPI_RULE_CHANNEL_RECORD, where, 0,
			       NULL, why);
}

static void check_generation(struct tpi_checker *c, uint32_t channel,
			     const struct tpi_where *where)
{
	struct tpi_channel_before *before = &c->before[channel];
	/* Relaxed: one word that only grows, of one writer. */
	uint64_t generation = tpi_load_relaxed(
		&c->inspect->catalog.channels[channel].generation);

	tpi_check_that(c, generation >= before->generation, TPI_SURE,
		       TPI_RULE_CHANNEL_GENERATION, where, generation,
		       {"generation", generation},
		       {"generation_before", before->generation});
	before->generation = generation;
}

static void check_state(struct tpi_checker *c, uint32_t channel,
			const struct tpi_where *where)
{
	/* Relaxed: one word of one writer. */
	uint32_t state =
		tpi_load_relaxed(&c->inspect->catalog.channels[channel].state);

	tpi_check_that(c, state <= TAPIO_CHANNEL_REMOVED, TPI_SURE,
		       TPI_RULE_CHANNEL_RECORD, where, state, {"state", state});
}

/* With channels that come later in the catalog. */
static void check_apart(struct tpi_checker *c, uint32_t channel,
			const struct tpi_where *where)
{
	const struct tpi_catalog *catalog = &c->inspect->catalog;
	struct tapio_shm_channel x, y;

	if (tpi_channel_look(catalog, channel, &x, NULL, 0))
		return;
	for (uint32_t i = channel + 1; i < catalog->channel_count; i++) {
		if (tpi_channel_look(catalog, i, &y, NULL, 0))
			continue;
		tpi_check_that(c,
			       x.first_place >= y.first_place + y.lane_count ||
				       y.first_place >=
					       x.first_place + x.lane_count,
			       TPI_LASTS, TPI_RULE_CHANNEL_PLACES, where,
			       y.first_place, {"first_place", x.first_place},
			       {"lanes", x.lane_count}, {"other_channel", i},
			       {"other_first_place", y.first_place},
			       {"other_lanes", y.lane_count});
	}
}

void tpi_check_places(struct tpi_checker *c, uint32_t channel)
{
	const struct tpi_catalog *catalog = &c->inspect->catalog;
	const struct tpi_channel *attached =
		&c->inspect->channels[channel].channel;
	uint32_t lanes = attached->lane_count, count = 0;
	struct tpi_where where = TPI_NOWHERE;
	struct part *parts;

	where.channel = channel;
	if (!lanes) {
		say_why(c, channel);
		return;
	}
	check_generation(c, channel, &where);
	check_state(c, channel, &where);
	if (c->look <= APART_LOOKS)
		check_apart(c, channel, &where);
	if (c->look > 1)
		return; /* once is enough for what never changes */
	check_record(c, channel, &where);
	check_slot_parts(c, channel, &attached->info);
	parts = calloc((size_t)lanes * PARTS + 1, sizeof(*parts));
	if (!parts)
		return;
	parts[count++] =
		(struct part){0, TPI_NONE, attached->info.doorbells_offset,
			      attached->info.doorbells_offset +
				      sizeof(struct tapio_shm_doorbells)};
	for (uint32_t i = 0; i < lanes; i++)
		count += add_lane(
			attached, i,
			&catalog->places[attached->info.first_place + i],
			&parts[count]);
	check_parts(c, channel, parts, count);
	free(parts);
}
