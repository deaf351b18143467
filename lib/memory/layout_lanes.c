/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the lane records of a channel's segments to private lane handles.
 *
 * Called by tpi_channel_attach() alone. Producers can write these records at
 * any time, so line 3 of each is copied once, the copy is measured against the
 * catalog's description, and the handle is made from the copy. Afterwards:
 * every pointer and length in a handle lies inside the mapping, ids are unique
 * and dense, every class has its side lanes in one run of ids, and no two lanes
 * claim one (class, CPU).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/memory/layout_inner.h"

#define LINE3 offsetof(struct tapio_shm_lane, id)

TAPIO_ASSERT_(sizeof(struct tpi_lane) == TAPIO_CACHE_LINE,
	      "a lane handle is one cache line");

/* One lane record being looked at. */
struct record {
	struct tapio_shm_lane *shared;
	struct tapio_shm_lane copy; /* line 3 only */
	const struct tpi_map *map;
};

static int check_numbers(const struct tpi_channel *channel,
			 const struct tapio_shm_lane *lane,
			 const struct tpi_report *report)
{
	const struct tapio_shm_class *klass;
	bool side = lane->cpu == TAPIO_CPU_SIDE;
	uint32_t count;

	if (lane->id >= channel->lane_count)
		return tpi_report(report, -EBADMSG,
				  "lane id %" PRIu32
				  ", the channel has %" PRIu32 " lanes",
				  lane->id, channel->lane_count);
	if (channel->lanes[lane->id].shm)
		return tpi_report(report, -EBADMSG, "two lanes of id %" PRIu32,
				  lane->id);
	if (!side && lane->cpu >= TPI_CPUS_MAX)
		return tpi_report(report, -EBADMSG,
				  "lane %" PRIu32 ": CPU %" PRIu32
				  ", the limit is %d",
				  lane->id, lane->cpu, TPI_CPUS_MAX - 1);
	if (lane->klass >= channel->info.class_count)
		return tpi_report(report, -EBADMSG,
				  "lane %" PRIu32 ": class %" PRIu32
				  ", the channel has %" PRIu32,
				  lane->id, lane->klass,
				  channel->info.class_count);
	klass = &channel->info.classes[lane->klass];
	count = side ? klass->side_count : klass->block_count;
	if (lane->block_count != count ||
	    lane->block_bytes != klass->block_bytes)
		return tpi_report(
			report, -EBADMSG,
			"lane %" PRIu32 ": %" PRIu32 " blocks of %" PRIu32
			" bytes, the catalog says %" PRIu32 " of %" PRIu32,
			lane->id, lane->block_count, lane->block_bytes, count,
			klass->block_bytes);
	return 0;
}

/* The address of one of a lane's arrays. */
static int resolve(const struct record *record, const char *what,
		   uint64_t offset, uint64_t bytes, uint64_t align,
		   void **address, const struct tpi_report *report)
{
	*address = offset < sizeof(struct tapio_shm_header)
			   ? NULL
			   : tpi_offset(record->map, offset, bytes, align);
	if (*address)
		return 0;
	return tpi_report(report, -EBADMSG,
			  "lane %" PRIu32 ": %s: %" PRIu64 " bytes at %" PRIu64
			  " are not inside the segment's %" PRIu64
			  " bytes, lie in its header or off a multiple of "
			  "%" PRIu64,
			  record->copy.id, what, bytes, offset,
			  record->map->bytes, align);
}

static int resolve_arrays(const struct tpi_channel *channel,
			  const struct record *record, struct tpi_lane *lane,
			  const struct tpi_report *report)
{
	const struct tapio_shm_lane *copy = &record->copy;
	bool stamped = channel->info.stamp != TAPIO_STAMP_NONE;
	uint64_t n = copy->block_count; /* at most 2^16: it is the catalog's */
	void *tickets, *desc, *time = NULL, *blocks;
	int err;

	err = resolve(record, "tickets", copy->ticket_offset, n * 8, 8,
		      &tickets, report);
	if (!err)
		err = resolve(record, "descriptors", copy->desc_offset, n * 8,
			      8, &desc, report);
	if (!err && stamped)
		err = resolve(record, "times", copy->time_offset, n * 8, 8,
			      &time, report);
	if (!err)
		err = resolve(record, "blocks", copy->block_offset,
			      n * copy->block_bytes, TAPIO_CACHE_LINE, &blocks,
			      report);
	if (err)
		return err;
	*lane = (struct tpi_lane){
		.shm = record->shared,
		.desc = desc,
		.tickets = tickets,
		.time = time,
		.blocks = blocks,
		.cpu = copy->cpu,
		.mask = copy->block_count - 1,
		.block_bytes = copy->block_bytes,
		.id = copy->id,
		.klass = copy->klass,
		.serials = tpi_place_serials(copy->block_count - 1),
	};
	return 0;
}

static int attach_one(struct tpi_channel *channel, struct record *record,
		      const struct tpi_report *report)
{
	int err;

	tpi_copy_once((unsigned char *)&record->copy + LINE3,
		      (unsigned char *)record->shared + LINE3,
		      sizeof(record->copy) - LINE3);
	err = check_numbers(channel, &record->copy, report);
	if (err)
		return err;
	return resolve_arrays(channel, record, &channel->lanes[record->copy.id],
			      report);
}

static int attach_segment(struct tpi_channel *channel,
			  const struct tpi_view *view,
			  struct tapio_shm_lane *lanes, uint64_t count,
			  const struct tpi_report *report)
{
	struct record record = {.map = view->map};
	int err = 0;

	for (uint64_t i = 0; !err && i < count; i++) {
		record.shared = &lanes[i];
		err = attach_one(channel, &record, report);
	}
	return err;
}

/* by_cpu, sized by the largest CPU id that has a lane. */
static int index_cpus(struct tpi_channel *channel,
		      const struct tpi_report *report)
{
	struct tpi_lane *lane, **entry;

	for (uint32_t id = 0; id < channel->lane_count; id++) {
		lane = &channel->lanes[id];
		if (lane->cpu != TAPIO_CPU_SIDE && lane->cpu >= channel->cpus)
			channel->cpus = lane->cpu + 1;
	}
	channel->by_cpu =
		calloc((size_t)channel->info.class_count * channel->cpus + 1,
		       sizeof(*channel->by_cpu));
	if (!channel->by_cpu)
		return -ENOMEM;
	for (uint32_t id = 0; id < channel->lane_count; id++) {
		lane = &channel->lanes[id];
		if (lane->cpu == TAPIO_CPU_SIDE)
			continue;
		entry = &channel->by_cpu[(size_t)lane->klass * channel->cpus +
					 lane->cpu];
		if (*entry)
			return tpi_report(report, -EBADMSG,
					  "lanes %" PRIu32 " and %" PRIu32
					  " are both of class %" PRIu32
					  " and CPU %" PRIu32,
					  (*entry)->id, id, lane->klass,
					  lane->cpu);
		*entry = lane;
	}
	return 0;
}

static int index_side_lanes(struct tpi_channel *channel,
			    const struct tpi_report *report)
{
	const struct tapio_shm_channel *info = &channel->info;
	const struct tpi_lane *lane;
	uint32_t k, wanted;

	for (uint32_t id = 0; id < channel->lane_count; id++) {
		lane = &channel->lanes[id];
		k = lane->klass;
		if (lane->cpu != TAPIO_CPU_SIDE)
			continue;
		if (!channel->side_count[k]++)
			channel->side_first[k] = id;
		wanted = channel->side_first[k] + channel->side_count[k] - 1;
		if (id != wanted)
			return tpi_report(report, -EBADMSG,
					  "side lane of class %" PRIu32
					  " has id %" PRIu32
					  ", expected %" PRIu32,
					  k, id, wanted);
	}
	for (k = 0; k < info->class_count; k++)
		if (channel->side_count[k] != info->classes[k].side_lanes)
			return tpi_report(report, -EBADMSG,
					  "class %" PRIu32 " has %" PRIu32
					  " side lanes, the catalog says "
					  "%" PRIu32,
					  k, channel->side_count[k],
					  info->classes[k].side_lanes);
	return 0;
}

/* The regions of all segments. Their counts must add up to the catalog's. */
static int find_lanes(const struct tpi_channel *channel,
		      const struct tpi_view *views, uint32_t view_count,
		      struct tapio_shm_lane *lanes[TAPIO_NODES_MAX],
		      uint64_t counts[TAPIO_NODES_MAX],
		      const struct tpi_report *report)
{
	struct tpi_report one;
	uint64_t total = 0;
	void *records;
	int err;

	for (uint32_t i = 0; i < view_count; i++) {
		one = tpi_report_node(report, i);
		err = tpi_view_section(&views[i], TAPIO_REGION_LANES,
				       sizeof(struct tapio_shm_lane), 1,
				       &records, &counts[i], &one);
		if (err)
			return err;
		lanes[i] = records;
		/* No overflow: each count fits into a mapping. */
		total += counts[i];
	}
	if (total == channel->info.lane_count)
		return 0;
	return tpi_report(report, -EBADMSG,
			  "%" PRIu64 " lanes in its segments, the catalog says "
			  "%" PRIu32,
			  total, channel->info.lane_count);
}

int tpi_lanes_attach(struct tpi_channel *channel, const struct tpi_view *views,
		     uint32_t view_count, const struct tpi_report *report)
{
	struct tapio_shm_lane *lanes[TAPIO_NODES_MAX];
	uint64_t counts[TAPIO_NODES_MAX];
	struct tpi_report one;
	size_t bytes;
	int err;

	err = find_lanes(channel, views, view_count, lanes, counts, report);
	if (err)
		return err;
	channel->lane_count = channel->info.lane_count;
	bytes = (size_t)channel->lane_count * sizeof(*channel->lanes);
	channel->lanes = aligned_alloc(TAPIO_CACHE_LINE, bytes);
	if (!channel->lanes)
		return -ENOMEM;
	memset(channel->lanes, 0, bytes);
	for (uint32_t i = 0; !err && i < view_count; i++) {
		one = tpi_report_node(report, i);
		err = attach_segment(channel, &views[i], lanes[i], counts[i],
				     &one);
	}
	if (!err)
		err = index_cpus(channel, report);
	if (!err)
		err = index_side_lanes(channel, report);
	return err;
}
