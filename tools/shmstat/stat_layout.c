/* SPDX-License-Identifier: Apache-2.0 */
/* What lies where: the regions of the catalog, the arrays of lanes, the cursors of slots. */
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/memory/layout.h"
#include "tools/shmstat/stat.h"

struct piece {
	const char *segment, *what;
	uint32_t channel, index, klass; /* TPI_NONE: of none */
	uint64_t offset, count, each;
};

static void add(json_t *array, const struct tpi_inspect *inspect,
		const struct piece *p)
{
	json_t *object = json_object();
	bool channel = p->channel != TPI_NONE;

	json_object_set_new(object, "segment", json_string(p->segment));
	json_object_set_new(object, "channel",
			    channel ? value_channel(inspect, p->channel)
				    : json_null());
	json_object_set_new(object, "index",
			    p->index == TPI_NONE ? json_null()
						 : value_count(p->index));
	json_object_set_new(object, "what", json_string(p->what));
	json_object_set_new(
		object, "class",
		channel && p->klass != TPI_NONE
			? value_class(&inspect->channels[p->channel], p->klass)
			: json_null());
	json_object_set_new(object, "offset_bytes", value_count(p->offset));
	json_object_set_new(object, "count", value_count(p->count));
	json_object_set_new(object, "each_bytes", value_count(p->each));
	json_object_set_new(object, "total_bytes",
			    value_count(p->count * p->each));
	json_array_append_new(array, object);
}

static void add_catalog(json_t *array, const struct tpi_inspect *inspect)
{
	const struct tpi_catalog *c = &inspect->catalog;
	const struct {
		const char *what;
		const void *at;
		uint64_t count, each;
	} regions[] = {
		{"header", c->map.base, 1, sizeof(struct tapio_shm_header)},
		{"broker", c->broker, 1, sizeof(*c->broker)},
		{"attachments", c->attachments, c->attachment_count,
		 sizeof(*c->attachments)},
		{"segments", c->segments, c->segment_count,
		 sizeof(*c->segments)},
		{"channels", c->channels, c->channel_count,
		 sizeof(*c->channels)},
		{"groups", c->groups,
		 (uint64_t)c->channel_count * TAPIO_GROUP_SLOTS,
		 sizeof(*c->groups)},
		{"calibrations", c->calibrations, c->calibration_count,
		 sizeof(*c->calibrations)},
		{"places", c->places, c->place_count, sizeof(*c->places)},
		{"spans", c->spans, c->place_count, sizeof(*c->spans)},
		{"counters", c->counters, c->counter_count,
		 sizeof(*c->counters)},
	};

	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		struct piece p = {"catalog",        regions[i].what, TPI_NONE,
				  TPI_NONE,         TPI_NONE,        0,
				  regions[i].count, regions[i].each};

		if (!regions[i].at)
			continue;
		p.offset = (uint64_t)((const unsigned char *)regions[i].at -
				      (const unsigned char *)c->map.base);
		add(array, inspect, &p);
	}
}

/* Lanes of one class in one segment, added up. */
struct sum {
	uint64_t lanes, blocks, bytes;
	uint64_t offset
		[5]; /* of the first: lane, tickets, descs, times, blocks */
};

static void add_lane(struct sum *s, const struct tapio_shm_place *p)
{
	const uint64_t offsets[5] = {p->lane_offset, p->ticket_offset,
				     p->desc_offset, p->time_offset,
				     p->block_offset};

	for (int i = 0; i < 5; i++)
		if (!s->lanes || offsets[i] < s->offset[i])
			s->offset[i] = offsets[i];
	s->lanes++;
	s->blocks += p->block_count;
	s->bytes = p->block_bytes;
}

static void add_class(json_t *array, const struct tpi_inspect *inspect,
		      uint32_t channel, uint32_t segment, uint32_t klass)
{
	static const char *const what[] = {"lanes", "tickets", "descriptors",
					   "times", "blocks"};
	const struct tpi_channel *c = &inspect->channels[channel].channel;
	struct tapio_shm_place place;
	struct sum s = {0};

	for (uint32_t i = 0; i < c->lane_count; i++) {
		memcpy(&place,
		       &inspect->catalog.places[c->info.first_place + i],
		       sizeof(place));
		if (place.segment == segment && place.klass == klass)
			add_lane(&s, &place);
	}
	for (int i = 0; s.lanes && i < 5; i++) {
		struct piece p = {"channel", what[i],         channel,
				  segment,   klass,           s.offset[i],
				  s.blocks,  sizeof(uint64_t)};

		if (i == 0) {
			p.count = s.lanes;
			p.each = sizeof(struct tapio_shm_lane);
		}
		if (i == 4)
			p.each = s.bytes;
		if (i != 3 || c->info.stamp != TAPIO_STAMP_NONE)
			add(array, inspect, &p);
	}
}

/* Of each slot. */
static void add_cursors(json_t *array, const struct tpi_inspect *inspect,
			uint32_t channel)
{
	const struct tapio_shm_channel *info =
		&inspect->channels[channel].channel.info;
	struct piece p = {"cursors", "control",
			  channel,   TPI_NONE,
			  TPI_NONE,  info->control_offset,
			  1,         sizeof(struct tapio_shm_group_control)};

	add(array, inspect, &p);
	p.what = "cursors";
	p.offset = info->cursors_offset;
	p.count = info->lane_count;
	p.each = sizeof(struct tapio_shm_cursor);
	add(array, inspect, &p);
	if (!info->histogram_offset)
		return;
	p.what = "histogram";
	p.offset = info->histogram_offset;
	p.count = 1;
	p.each = sizeof(struct tapio_shm_histogram);
	add(array, inspect, &p);
}

json_t *stat_layout(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	add_catalog(array, inspect);
	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		const struct tapio_shm_channel *info =
			&inspect->channels[c].channel.info;
		struct piece bells = {
			"channel", "doorbells",
			c,         0,
			TPI_NONE,  info->doorbells_offset,
			1,         sizeof(struct tapio_shm_doorbells)};

		if (!inspect->channels[c].channel.lane_count)
			continue;
		add(array, inspect, &bells);
		for (uint32_t i = 0; i < info->segment_count; i++)
			for (uint32_t k = 0; k < info->class_count; k++)
				add_class(array, inspect, c, i, k);
		add_cursors(array, inspect, c);
	}
	return array;
}
