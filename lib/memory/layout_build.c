/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large segments are, and filling fresh ones.
 *
 * Called by the broker before a segment's fds leave it, and by tests. One walk
 * (struct plan) gives both the size and the offsets, so that they cannot differ.
 * Everything is aligned to a cache line and packed: nothing is rounded up to a
 * page, because on hundreds of CPUs that would be most of the memory.
 *
 * Sums cannot overflow for a checked spec: 4096 CPUs and 16383 side lanes times
 * 8 classes times 65536 blocks of 2^20 bytes stay below 2^55.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/memory/layout_inner.h"

struct plan {
	uint64_t at;
};

static uint64_t take(struct plan *plan, uint64_t bytes)
{
	uint64_t offset = plan->at;

	plan->at += (bytes + TAPIO_CACHE_LINE - 1) &
		    ~(uint64_t)(TAPIO_CACHE_LINE - 1);
	return offset;
}

static void begin(struct plan *plan, uint32_t regions)
{
	plan->at = 0;
	take(plan, sizeof(struct tapio_shm_header));
	take(plan, regions * sizeof(struct tapio_shm_region));
}

/* Places a lane's arrays, and says where they are in `lane`. */
static void place_arrays(struct plan *plan, struct tapio_shm_lane *lane,
			 bool stamped)
{
	uint64_t n = lane->block_count;

	lane->ticket_offset = take(plan, n * sizeof(uint64_t));
	lane->desc_offset = take(plan, n * sizeof(uint64_t));
	lane->time_offset = stamped ? take(plan, n * sizeof(uint64_t)) : 0;
	lane->block_offset = take(plan, n * lane->block_bytes);
}

static uint64_t arrays_bytes(const struct tapio_shm_class *klass,
			     uint32_t block_count, bool stamped)
{
	struct tapio_shm_lane lane = {.block_count = block_count,
				      .block_bytes = klass->block_bytes};
	struct plan plan = {0};

	place_arrays(&plan, &lane, stamped);
	return plan.at;
}

static uint32_t node_cpus(const struct tpi_topology *topology, uint32_t node)
{
	uint32_t count = 0;

	for (uint32_t cpu = 0; cpu < topology->cpus_possible; cpu++)
		count += topology->node_of_cpu[cpu] == node;
	return count;
}

static uint32_t present_cpus(const struct tpi_topology *topology)
{
	uint32_t count = 0;

	for (uint32_t cpu = 0; cpu < topology->cpus_possible; cpu++)
		count += topology->node_of_cpu[cpu] != TPI_CPU_ABSENT;
	return count;
}

static uint32_t side_lanes(const struct tpi_channel_spec *spec)
{
	uint32_t count = 0;

	for (uint32_t k = 0; k < spec->class_count; k++)
		count += spec->classes[k].side_lanes;
	return count;
}

/* Lanes in one node's segment. The side lanes are in that of index 0. */
static uint32_t segment_lanes(const struct tpi_channel_spec *spec,
			      const struct tpi_topology *topology,
			      uint32_t node_index)
{
	return node_cpus(topology, node_index) * spec->class_count +
	       (node_index ? 0 : side_lanes(spec));
}

uint32_t tpi_channel_lane_count(const struct tpi_channel_spec *spec,
				const struct tpi_topology *topology)
{
	return present_cpus(topology) * spec->class_count + side_lanes(spec);
}

uint64_t tpi_channel_bytes(const struct tpi_channel_spec *spec,
			   const struct tpi_topology *topology,
			   uint32_t node_index)
{
	bool stamped = spec->stamp != TAPIO_STAMP_NONE;
	uint64_t cpus = node_cpus(topology, node_index);
	const struct tapio_shm_class *klass;
	struct plan plan;

	begin(&plan, 2);
	take(&plan, sizeof(struct tapio_shm_doorbells));
	take(&plan, (uint64_t)segment_lanes(spec, topology, node_index) *
			    sizeof(struct tapio_shm_lane));
	for (uint32_t k = 0; k < spec->class_count; k++) {
		klass = &spec->classes[k];
		plan.at +=
			cpus * arrays_bytes(klass, klass->block_count, stamped);
		if (node_index == 0)
			plan.at +=
				klass->side_lanes *
				arrays_bytes(klass, klass->side_count, stamped);
	}
	return plan.at;
}

uint64_t tpi_cursors_bytes(uint32_t lane_count)
{
	struct plan plan;

	begin(&plan, 3);
	take(&plan, sizeof(struct tapio_shm_group_control));
	take(&plan, (uint64_t)lane_count * sizeof(struct tapio_shm_cursor));
	take(&plan, sizeof(struct tapio_shm_histogram));
	return plan.at;
}

/* The catalog's regions, in order. */
static uint32_t catalog_regions(struct tapio_shm_region *regions,
				uint32_t clients_max, uint32_t segments,
				uint32_t channels)
{
	const struct tapio_shm_region kinds[] = {
		{.kind = TAPIO_REGION_BROKER,
		 .stride = sizeof(struct tapio_shm_broker),
		 .count = 1},
		/* By index. Index 0 is never given. */
		{.kind = TAPIO_REGION_ATTACHMENTS,
		 .stride = sizeof(struct tapio_shm_attachment),
		 .count = (uint64_t)clients_max + 1},
		{.kind = TAPIO_REGION_SEGMENTS,
		 .stride = sizeof(struct tapio_shm_segment),
		 .count = segments},
		{.kind = TAPIO_REGION_CHANNELS,
		 .stride = sizeof(struct tapio_shm_channel),
		 .count = channels},
		{.kind = TAPIO_REGION_GROUPS,
		 .stride = sizeof(struct tapio_shm_group),
		 .count = (uint64_t)channels * TAPIO_GROUP_SLOTS},
		{.kind = TAPIO_REGION_CALIBRATIONS,
		 .stride = sizeof(struct tapio_shm_calibration),
		 .count = TAPIO_CALIBRATIONS},
	};

	memcpy(regions, kinds, sizeof(kinds));
	return sizeof(kinds) / sizeof(kinds[0]);
}

static uint64_t place_regions(struct tapio_shm_region *regions, uint32_t count)
{
	struct plan plan;

	begin(&plan, count);
	for (uint32_t i = 0; i < count; i++)
		regions[i].offset =
			take(&plan, regions[i].stride * regions[i].count);
	return plan.at;
}

uint64_t tpi_catalog_bytes(uint32_t clients_max, uint32_t segments,
			   uint32_t channels)
{
	struct tapio_shm_region regions[TAPIO_REGIONS_MAX];
	uint32_t count =
		catalog_regions(regions, clients_max, segments, channels);

	return place_regions(regions, count);
}

/* ---- filling -------------------------------------------------------------- */

static int check_map(const struct tpi_map *map, uint64_t bytes)
{
	if (!map->base || !map->writable)
		return -EACCES;
	return map->bytes < bytes ? -ENOSPC : 0;
}

static void write_regions(const struct tpi_map *map,
			  const struct tapio_shm_region *regions,
			  uint32_t count)
{
	memcpy(map->base + sizeof(struct tapio_shm_header), regions,
	       count * sizeof(*regions));
}

/* The last thing that a builder does: nothing is changed after READY. */
static void finish(const struct tpi_map *map, struct tapio_shm_header *header,
		   const uint8_t instance[16])
{
	struct tapio_shm_header *shared = (void *)map->base;

	header->magic = TAPIO_SEGMENT_MAGIC;
	header->abi_major = TAPIO_ABI_MAJOR;
	header->abi_minor = TAPIO_ABI_MINOR;
	header->length_bytes = map->bytes;
	header->region_offset = sizeof(*header);
	header->page_bytes = map->page_bytes;
	memcpy(header->instance, instance, sizeof(header->instance));
	memcpy(shared, header, sizeof(*header));
	/*
	 * ORDER segment.ready (release): a process that sees READY sees the
	 * header, the regions and all that they describe. Pairs with the
	 * acquire in load_header() of layout_check.c.
	 */
	tpi_store_release(&shared->ready, TAPIO_SEGMENT_READY);
}

/* A channel segment being filled. */
struct filler {
	const struct tpi_map *map;
	struct plan plan;
	struct tapio_shm_lane *next; /* record to be filled */
	bool stamped;
};

/* Born full of DISCARDs: N blocks in the ring, every one of them free. */
static void fill_lane(struct filler *filler,
		      const struct tapio_shm_class *klass, uint32_t k,
		      uint32_t id, uint32_t cpu, uint32_t block_count)
{
	struct tapio_shm_lane *lane = filler->next++;
	uint64_t *desc;

	lane->id = id;
	lane->cpu = cpu;
	lane->klass = k;
	lane->block_count = block_count;
	lane->block_bytes = klass->block_bytes;
	place_arrays(&filler->plan, lane, filler->stamped);
	desc = (void *)(filler->map->base + lane->desc_offset);
	for (uint64_t i = 0; i < block_count; i++)
		desc[i] = TAPIO_DESC_META(TAPIO_TYPE_DISCARD, 0, 0) | i;
	lane->gate = block_count;
	lane->state = TAPIO_STATE(block_count, 0);
}

static void fill_cpu_lanes(struct filler *filler,
			   const struct tpi_channel_spec *spec,
			   const struct tpi_topology *topology, uint32_t node)
{
	uint32_t id = 0;

	for (uint32_t i = 0; i < node; i++)
		id += node_cpus(topology, i) * spec->class_count;
	for (uint32_t k = 0; k < spec->class_count; k++)
		for (uint32_t cpu = 0; cpu < topology->cpus_possible; cpu++)
			if (topology->node_of_cpu[cpu] == node)
				fill_lane(filler, &spec->classes[k], k, id++,
					  cpu, spec->classes[k].block_count);
}

static void fill_side_lanes(struct filler *filler,
			    const struct tpi_channel_spec *spec,
			    const struct tpi_topology *topology)
{
	uint32_t id = present_cpus(topology) * spec->class_count;
	const struct tapio_shm_class *klass;

	for (uint32_t k = 0; k < spec->class_count; k++) {
		klass = &spec->classes[k];
		for (uint32_t i = 0; i < klass->side_lanes; i++)
			fill_lane(filler, klass, k, id++, TAPIO_CPU_SIDE,
				  klass->side_count);
	}
}

int tpi_channel_build(const struct tpi_map *map,
		      const struct tpi_channel_spec *spec,
		      const struct tpi_topology *topology, uint32_t node_index,
		      uint32_t channel, const uint8_t instance[16])
{
	struct tapio_shm_region regions[] = {
		{.kind = TAPIO_REGION_DOORBELLS,
		 .stride = sizeof(struct tapio_shm_doorbells),
		 .count = 1},
		{.kind = TAPIO_REGION_LANES,
		 .stride = sizeof(struct tapio_shm_lane)},
	};
	struct tapio_shm_header header = {.kind = TAPIO_SEGMENT_CHANNEL,
					  .region_count = 2,
					  .channel = channel,
					  .index = node_index};
	struct filler filler = {.map = map};
	int err = tpi_channel_spec_check(spec, NULL, 0);

	if (err || node_index >= topology->node_count)
		return -EINVAL;
	err = check_map(map, tpi_channel_bytes(spec, topology, node_index));
	if (err)
		return err;
	regions[1].count = segment_lanes(spec, topology, node_index);
	filler.plan.at = place_regions(regions, 2);
	filler.next = (void *)(map->base + regions[1].offset);
	filler.stamped = spec->stamp != TAPIO_STAMP_NONE;
	fill_cpu_lanes(&filler, spec, topology, node_index);
	if (node_index == 0)
		fill_side_lanes(&filler, spec, topology);
	write_regions(map, regions, 2);
	header.node = topology->node_id[node_index];
	finish(map, &header, instance);
	return 0;
}

int tpi_cursors_build(const struct tpi_map *map, uint32_t lane_count,
		      uint32_t channel, uint32_t slot,
		      const uint8_t instance[16])
{
	struct tapio_shm_region regions[] = {
		{.kind = TAPIO_REGION_GROUP_CONTROL,
		 .stride = sizeof(struct tapio_shm_group_control),
		 .count = 1},
		{.kind = TAPIO_REGION_CURSORS,
		 .stride = sizeof(struct tapio_shm_cursor),
		 .count = lane_count},
		{.kind = TAPIO_REGION_HISTOGRAM,
		 .stride = sizeof(struct tapio_shm_histogram),
		 .count = 1},
	};
	struct tapio_shm_header header = {.kind = TAPIO_SEGMENT_CURSORS,
					  .compat = TAPIO_COMPAT_HISTOGRAM,
					  .region_count = 3,
					  .channel = channel,
					  .index = slot,
					  .node = UINT32_MAX};
	int err = check_map(map, place_regions(regions, 3));

	if (err)
		return err;
	if (!lane_count || lane_count > TPI_LANES_MAX ||
	    slot >= TAPIO_GROUP_SLOTS)
		return -EINVAL;
	write_regions(map, regions, 3);
	finish(map, &header, instance);
	return 0;
}

int tpi_catalog_build(const struct tpi_map *map, uint32_t clients_max,
		      uint32_t segments, uint32_t channels,
		      const uint8_t instance[16])
{
	struct tapio_shm_region regions[TAPIO_REGIONS_MAX];
	struct tapio_shm_header header = {.kind = TAPIO_SEGMENT_CATALOG,
					  .node = UINT32_MAX};
	int err;

	if (!clients_max || clients_max > TAPIO_CLIENTS_MAX)
		return -EINVAL;
	header.region_count =
		catalog_regions(regions, clients_max, segments, channels);
	err = check_map(map, place_regions(regions, header.region_count));
	if (err)
		return err;
	write_regions(map, regions, header.region_count);
	finish(map, &header, instance);
	return 0;
}

int tpi_channel_publish(const struct tpi_catalog *catalog, uint32_t channel,
			const struct tpi_channel_spec *spec,
			const struct tpi_topology *topology)
{
	struct tapio_shm_channel *shared;

	if (channel >= catalog->channel_count)
		return -EINVAL;
	shared = &catalog->channels[channel];
	memcpy(shared->name, spec->name, sizeof(shared->name));
	shared->class_count = spec->class_count;
	shared->segment_count = topology->node_count;
	shared->lane_count = tpi_channel_lane_count(spec, topology);
	shared->full_policy = spec->full_policy;
	shared->wait_ns = spec->wait_ns;
	shared->stamp = spec->stamp;
	memcpy(shared->classes, spec->classes, sizeof(shared->classes));
	/*
	 * ORDER channel.ready (release): a process that sees its READY sees the
	 * record. Pairs with the acquire in describe() of layout_attach.c.
	 */
	tpi_store_release(&shared->ready, TAPIO_SEGMENT_READY);
	return 0;
}
