/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large segments are, and where things lie in them.
 *
 * Called by the broker and by tests. One walk over the lanes of a segment
 * (walk_segment()) gives both the sizes of its segments and the places of its lanes, so
 * that they cannot differ. Everything is aligned to a cache line and packed: nothing
 * is rounded up to a page, because on hundreds of CPUs that would be most of the
 * memory.
 *
 * Sums cannot overflow for a checked spec: 4096 CPUs and 16383 side lanes times
 * 8 classes times 65536 blocks of 2^20 bytes stay below 2^55.
 */
#include <errno.h>
#include <string.h>

#include "lib/memory/counters.h"
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

/* ---- channel segments ------------------------------------------------------ */

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

uint32_t tpi_channel_lane_count(const struct tpi_channel_spec *spec,
				const struct tpi_topology *topology)
{
	if (tpi_spec_isolated(spec))
		return side_lanes(spec);
	return present_cpus(topology) * spec->class_count + side_lanes(spec);
}

uint32_t tpi_channel_segments(const struct tpi_channel_spec *spec,
			      const struct tpi_topology *topology)
{
	return tpi_spec_isolated(spec) ? 1 + spec->producers_max
				       : topology->node_count;
}

/* Where a producer will run is not known, so the nodes take turns. */
uint32_t tpi_channel_node(const struct tpi_channel_spec *spec,
			  const struct tpi_topology *topology, uint32_t segment)
{
	return tpi_spec_isolated(spec) ? segment % topology->node_count
				       : segment;
}

/* One segment of a channel being planned. */
struct walk {
	const struct tpi_channel_spec *spec;
	const struct tpi_topology *topology;
	uint32_t segment; /* its index */
	uint32_t node;    /* index of the node that it is made for */
	struct plan plan;
	struct tapio_shm_place *places; /* of the channel, by id, or NULL */
	uint32_t id;                    /* of the next lane */
	uint64_t lane_offset;           /* of its tapio_shm_lane */
};

/* Places a lane's arrays, and says where it all is in `place`. */
static void walk_lane(struct walk *walk, uint32_t k, uint32_t cpu)
{
	const struct tapio_shm_class *klass = &walk->spec->classes[k];
	bool stamped = walk->spec->stamp != TAPIO_STAMP_NONE;
	uint64_t n =
		cpu == TAPIO_CPU_SIDE ? klass->side_count : klass->block_count;
	struct tapio_shm_place place = {
		.segment = walk->segment,
		.node = walk->topology->node_id[walk->node],
		.cpu = cpu,
		.klass = k,
		.block_count = (uint32_t)n,
		.block_bytes = klass->block_bytes,
		.lane_offset = walk->lane_offset,
	};

	walk->lane_offset += sizeof(struct tapio_shm_lane);
	place.ticket_offset = take(&walk->plan, n * sizeof(uint64_t));
	place.desc_offset = take(&walk->plan, n * sizeof(uint64_t));
	if (stamped)
		place.time_offset = take(&walk->plan, n * sizeof(uint64_t));
	place.block_offset = take(&walk->plan, n * klass->block_bytes);
	if (walk->places)
		walk->places[walk->id] = place;
	walk->id++;
}

/* Ids run node by node, in a node class by class, in a class CPU by CPU. */
static void walk_cpus(struct walk *walk)
{
	const struct tpi_topology *topology = walk->topology;

	for (uint32_t i = 0; i < walk->node; i++)
		walk->id += node_cpus(topology, i) * walk->spec->class_count;
	for (uint32_t k = 0; k < walk->spec->class_count; k++)
		for (uint32_t cpu = 0; cpu < topology->cpus_possible; cpu++)
			if (topology->node_of_cpu[cpu] == walk->node)
				walk_lane(walk, k, cpu);
}

/* Behind those of all CPUs, class by class. */
static void walk_side_lanes(struct walk *walk)
{
	walk->id = present_cpus(walk->topology) * walk->spec->class_count;
	for (uint32_t k = 0; k < walk->spec->class_count; k++)
		for (uint32_t i = 0; i < walk->spec->classes[k].side_lanes; i++)
			walk_lane(walk, k, TAPIO_CPU_SIDE);
}

/* The segment of a node. The side lanes are in that of index 0. */
static void walk_node(struct walk *walk)
{
	uint64_t lanes = (uint64_t)node_cpus(walk->topology, walk->node) *
			 walk->spec->class_count;

	if (walk->segment == 0)
		lanes += side_lanes(walk->spec);
	take(&walk->plan, sizeof(struct tapio_shm_doorbells));
	walk->lane_offset =
		take(&walk->plan, lanes * sizeof(struct tapio_shm_lane));
	walk_cpus(walk);
	if (walk->segment == 0)
		walk_side_lanes(walk);
}

/*
 * ISOLATED. Index 0 has the doorbells alone, which all producers write. The others
 * have one side lane of each class. The ids of a class are a run, as on any channel.
 */
static void walk_producer(struct walk *walk)
{
	const struct tpi_channel_spec *spec = walk->spec;

	if (walk->segment == 0) {
		take(&walk->plan, sizeof(struct tapio_shm_doorbells));
		return;
	}
	walk->lane_offset =
		take(&walk->plan, (uint64_t)spec->class_count *
					  sizeof(struct tapio_shm_lane));
	for (uint32_t k = 0; k < spec->class_count; k++) {
		walk->id = k * spec->producers_max + walk->segment - 1;
		walk_lane(walk, k, TAPIO_CPU_SIDE);
	}
}

/* Returns the size of the segment. */
static uint64_t walk_segment(const struct tpi_channel_spec *spec,
			     const struct tpi_topology *topology,
			     uint32_t segment, struct tapio_shm_place *places)
{
	struct walk walk = {
		.spec = spec,
		.topology = topology,
		.segment = segment,
		.node = tpi_channel_node(spec, topology, segment),
		.places = places,
	};

	if (tpi_spec_isolated(spec))
		walk_producer(&walk);
	else
		walk_node(&walk);
	return walk.plan.at;
}

/* Of one lane, with its record. */
static uint64_t lane_bytes(const struct tpi_channel_spec *spec, uint32_t k,
			   uint32_t cpu)
{
	struct tpi_topology none = {0};
	struct walk walk = {.spec = spec, .topology = &none};

	walk_lane(&walk, k, cpu);
	return walk.plan.at + walk.lane_offset;
}

uint32_t tpi_class_sides(const struct tpi_channel_spec *spec, uint32_t k,
			 const struct tpi_topology *topology, uint32_t node)
{
	uint32_t count = 0;

	if (!tpi_spec_isolated(spec))
		return node ? 0 : spec->classes[k].side_lanes;
	for (uint32_t i = 1; i < tpi_channel_segments(spec, topology); i++)
		count += tpi_channel_node(spec, topology, i) == node;
	return count;
}

uint64_t tpi_class_bytes(const struct tpi_channel_spec *spec, uint32_t k,
			 const struct tpi_topology *topology, uint32_t node)
{
	uint64_t bytes = tpi_class_sides(spec, k, topology, node) *
			 lane_bytes(spec, k, TAPIO_CPU_SIDE);

	if (!tpi_spec_isolated(spec))
		bytes += node_cpus(topology, node) * lane_bytes(spec, k, 0);
	return bytes;
}

uint64_t tpi_channel_bytes(const struct tpi_channel_spec *spec,
			   const struct tpi_topology *topology,
			   uint32_t segment)
{
	return walk_segment(spec, topology, segment, NULL);
}

void tpi_channel_places(const struct tpi_channel_spec *spec,
			const struct tpi_topology *topology,
			struct tapio_shm_place *places)
{
	uint32_t count = tpi_channel_segments(spec, topology);

	for (uint32_t segment = 0; segment < count; segment++)
		walk_segment(spec, topology, segment, places);
}

/* ---- cursors ----------------------------------------------------------------- */

/* Fills in the offsets of the three parts. Returns the size. */
static uint64_t plan_cursors(uint32_t lane_count,
			     struct tapio_shm_channel *offsets)
{
	struct plan plan = {0};

	offsets->control_offset =
		take(&plan, sizeof(struct tapio_shm_group_control));
	offsets->cursors_offset = take(
		&plan, (uint64_t)lane_count * sizeof(struct tapio_shm_cursor));
	offsets->histogram_offset =
		take(&plan, sizeof(struct tapio_shm_histogram));
	return plan.at;
}

uint64_t tpi_cursors_bytes(uint32_t lane_count)
{
	struct tapio_shm_channel offsets;

	return plan_cursors(lane_count, &offsets);
}

void tpi_channel_offsets(uint32_t lane_count, struct tapio_shm_channel *offsets)
{
	plan_cursors(lane_count, offsets);
	offsets->doorbells_offset = 0;
}

/* ---- the catalog --------------------------------------------------------------- */

uint32_t tpi_catalog_regions(const struct tpi_catalog_size *size,
			     struct tapio_shm_region *regions)
{
	const struct tapio_shm_region kinds[] = {
		{.kind = TAPIO_REGION_BROKER,
		 .stride = sizeof(struct tapio_shm_broker),
		 .count = 1},
		/* By index. Index 0 is never given. */
		{.kind = TAPIO_REGION_ATTACHMENTS,
		 .stride = sizeof(struct tapio_shm_attachment),
		 .count = (uint64_t)size->clients_max + 1},
		{.kind = TAPIO_REGION_SEGMENTS,
		 .stride = sizeof(struct tapio_shm_segment),
		 .count = size->segments},
		{.kind = TAPIO_REGION_CHANNELS,
		 .stride = sizeof(struct tapio_shm_channel),
		 .count = size->channels},
		{.kind = TAPIO_REGION_GROUPS,
		 .stride = sizeof(struct tapio_shm_group),
		 .count = (uint64_t)size->channels * TAPIO_GROUP_SLOTS},
		{.kind = TAPIO_REGION_CALIBRATIONS,
		 .stride = sizeof(struct tapio_shm_calibration),
		 .count = TAPIO_CALIBRATIONS},
		{.kind = TAPIO_REGION_PLACES,
		 .stride = sizeof(struct tapio_shm_place),
		 .count = size->lanes},
		{.kind = TAPIO_REGION_SPANS,
		 .stride = sizeof(struct tapio_shm_span),
		 .count = size->lanes},
		{.kind = TAPIO_REGION_COUNTERS,
		 .stride = sizeof(struct tapio_shm_counter),
		 .count = TPI_COUNTERS},
	};
	uint32_t count = sizeof(kinds) / sizeof(kinds[0]);
	struct plan plan = {0};

	memcpy(regions, kinds, sizeof(kinds));
	take(&plan, sizeof(struct tapio_shm_header));
	take(&plan, sizeof(kinds));
	for (uint32_t i = 0; i < count; i++)
		regions[i].offset =
			take(&plan, regions[i].stride * regions[i].count);
	return count;
}

uint64_t tpi_catalog_bytes(const struct tpi_catalog_size *size)
{
	struct tapio_shm_region regions[TAPIO_REGIONS_MAX];
	uint32_t last = tpi_catalog_regions(size, regions) - 1;
	struct plan plan = {.at = regions[last].offset};

	take(&plan, regions[last].stride * regions[last].count);
	return plan.at;
}
