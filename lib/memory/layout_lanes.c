/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the places in the catalog to private lane handles.
 *
 * Called by tpi_channel_attach() alone. Each place is copied once, the copy is
 * measured against the channel's description and the mappings, and the handle is
 * made from the copy. Afterwards: every pointer and length in a handle lies inside
 * its mapping, every class has its side lanes in one run of ids, and no two lanes
 * claim one (class, CPU). Nothing in the channel's segments is read: producers can
 * write them.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/memory/layout_inner.h"

TAPIO_ASSERT_(sizeof(struct tpi_lane) == TAPIO_CACHE_LINE,
	      "a lane handle is one cache line");

/* One lane being looked at. */
struct candidate {
	uint32_t id;
	struct tapio_shm_place place; /* a copy */
	const struct tpi_map *map;
};

static int check_numbers(const struct tpi_channel *channel,
			 const struct candidate *candidate,
			 const struct tpi_report *report)
{
	const struct tapio_shm_place *place = &candidate->place;
	const struct tapio_shm_class *klass;
	bool side = place->cpu == TAPIO_CPU_SIDE;
	uint32_t count;

	if (place->segment >= channel->info.segment_count)
		return tpi_report(report, -EBADMSG,
				  "lane %" PRIu32 ": segment %" PRIu32
				  ", the channel has %" PRIu32,
				  candidate->id, place->segment,
				  channel->info.segment_count);
	if (!side && place->cpu >= TPI_CPUS_MAX)
		return tpi_report(report, -EBADMSG,
				  "lane %" PRIu32 ": CPU %" PRIu32
				  ", the limit is %d",
				  candidate->id, place->cpu, TPI_CPUS_MAX - 1);
	if (place->klass >= channel->info.class_count)
		return tpi_report(report, -EBADMSG,
				  "lane %" PRIu32 ": class %" PRIu32
				  ", the channel has %" PRIu32,
				  candidate->id, place->klass,
				  channel->info.class_count);
	klass = &channel->info.classes[place->klass];
	count = side ? klass->side_count : klass->block_count;
	if (place->block_count != count ||
	    place->block_bytes != klass->block_bytes)
		return tpi_report(
			report, -EBADMSG,
			"lane %" PRIu32 ": %" PRIu32 " blocks of %" PRIu32
			" bytes, the channel says %" PRIu32 " of %" PRIu32,
			candidate->id, place->block_count, place->block_bytes,
			count, klass->block_bytes);
	return 0;
}

/* The address of one of a lane's arrays. */
static int resolve(const struct candidate *candidate, const char *what,
		   uint64_t offset, uint64_t bytes, uint64_t align,
		   void *address, const struct tpi_report *report)
{
	void *at = tpi_offset(candidate->map, offset, bytes, align);
	struct tpi_report node;

	memcpy(address, &at, sizeof(at));
	if (at)
		return 0;
	node = tpi_report_node(report, candidate->place.segment);
	return tpi_report(&node, -EBADMSG,
			  "lane %" PRIu32 ": %s: %" PRIu64 " bytes at %" PRIu64
			  " are not inside the segment's %" PRIu64
			  " bytes or off a multiple of %" PRIu64,
			  candidate->id, what, bytes, offset,
			  candidate->map->bytes, align);
}

static int resolve_arrays(const struct tpi_channel *channel,
			  const struct candidate *candidate,
			  struct tpi_lane *lane,
			  const struct tpi_report *report)
{
	const struct tapio_shm_place *place = &candidate->place;
	uint64_t n = place->block_count; /* at most 2^16: it was checked */
	int err;

	*lane = (struct tpi_lane){
		.cpu = place->cpu,
		.mask = place->block_count - 1,
		.block_bytes = place->block_bytes,
		.id = candidate->id,
		.klass = place->klass,
		.serials = tpi_place_serials(place->block_count - 1),
	};
	err = resolve(candidate, "record", place->lane_offset,
		      sizeof(*lane->shm), TAPIO_CACHE_LINE, &lane->shm, report);
	if (!err)
		err = resolve(candidate, "tickets", place->ticket_offset, n * 8,
			      8, &lane->tickets, report);
	if (!err)
		err = resolve(candidate, "descriptors", place->desc_offset,
			      n * 8, 8, &lane->desc, report);
	if (!err && channel->info.stamp != TAPIO_STAMP_NONE)
		err = resolve(candidate, "times", place->time_offset, n * 8, 8,
			      &lane->time, report);
	if (!err)
		err = resolve(candidate, "blocks", place->block_offset,
			      n * place->block_bytes, TAPIO_CACHE_LINE,
			      &lane->blocks, report);
	return err;
}

static int attach_one(struct tpi_channel *channel,
		      const struct tapio_shm_place *shared,
		      const struct tpi_map *maps, uint32_t id,
		      const struct tpi_report *report)
{
	struct candidate candidate = {.id = id};
	int err;

	tpi_copy_once(&candidate.place, shared, sizeof(candidate.place));
	err = check_numbers(channel, &candidate, report);
	if (err)
		return err;
	candidate.map = &maps[candidate.place.segment];
	return resolve_arrays(channel, &candidate, &channel->lanes[id], report);
}

/*
 * Zeroed memory of its own: a handle that moves attaches in a signal handler, where there
 * is no malloc().
 */
static void *new_table(size_t bytes)
{
	void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return table == MAP_FAILED ? NULL : table;
}

static size_t lanes_bytes(const struct tpi_channel *channel)
{
	return (size_t)channel->lane_count * sizeof(*channel->lanes);
}

static size_t by_cpu_bytes(const struct tpi_channel *channel)
{
	return ((size_t)channel->info.class_count * channel->cpus + 1) *
	       sizeof(*channel->by_cpu);
}

void tpi_lanes_detach(struct tpi_channel *channel)
{
	if (channel->by_cpu)
		munmap(channel->by_cpu, by_cpu_bytes(channel));
	if (channel->lanes)
		munmap(channel->lanes, lanes_bytes(channel));
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
	channel->by_cpu = new_table(by_cpu_bytes(channel));
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

/*
 * ISOLATED: a producer writes where its own lanes are, and its own segment alone is
 * writable, so each lane must lie in the segment of its number.
 */
static int check_isolation(const struct tpi_channel *channel,
			   const struct tapio_shm_place *places,
			   const struct tpi_report *report)
{
	const struct tapio_shm_channel *info = &channel->info;
	uint32_t k, i, id;

	if (!tpi_channel_isolated(channel))
		return 0;
	if (channel->cpus)
		return tpi_report(report, -EBADMSG,
				  "a CPU has a lane, and each producer of the "
				  "channel has a segment");
	for (k = 0; k < info->class_count; k++) {
		if (channel->side_count[k] != info->segment_count - 1)
			return tpi_report(report, -EBADMSG,
					  "class %" PRIu32 " has %" PRIu32
					  " side lanes for %" PRIu32
					  " segments of producers",
					  k, channel->side_count[k],
					  info->segment_count - 1);
		for (i = 0; i < channel->side_count[k]; i++) {
			id = channel->side_first[k] + i;
			/* Plain: only the broker writes it, once. */
			if (places[id].segment != i + 1)
				return tpi_report(
					report, -EBADMSG,
					"lane %" PRIu32 " lies in segment "
					"%" PRIu32 ", expected %" PRIu32,
					id, places[id].segment, i + 1);
		}
	}
	return 0;
}

int tpi_lanes_attach(struct tpi_channel *channel,
		     const struct tapio_shm_place *places,
		     const struct tpi_map *maps,
		     const struct tpi_report *report)
{
	int err = 0;

	channel->lane_count = channel->info.lane_count;
	channel->lanes = new_table(lanes_bytes(channel));
	if (!channel->lanes)
		return -ENOMEM;
	for (uint32_t id = 0; !err && id < channel->lane_count; id++)
		err = attach_one(channel, &places[id], maps, id, report);
	if (!err)
		err = index_cpus(channel, report);
	if (!err)
		err = index_side_lanes(channel, report);
	if (!err)
		err = check_isolation(channel, places, report);
	return err;
}
