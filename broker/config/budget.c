/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory budget. Called at start and by `tapiod --check`, and with a
 * simulated topology to see whether a configuration would fit elsewhere.
 *
 * A number of blocks that the configuration names is a promise to the user and
 * is never changed. One that it leaves open follows the budget, so that the same
 * file works on 2 CPUs and on 256.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "broker/config/budget.h"
#include "lib/base/error.h"

/* Every segment is a file of whole pages. */
static uint64_t pages(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

uint64_t tpi_budget_segment_bytes(const struct tpi_channel_spec *spec,
				  const struct tpi_topology *topology,
				  uint32_t segment)
{
	return pages(tpi_channel_bytes(spec, topology, segment));
}

uint64_t tpi_budget_node_bytes(const struct tpi_channel_spec *spec,
			       const struct tpi_topology *topology,
			       uint32_t node)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < tpi_channel_segments(spec, topology); i++)
		if (tpi_channel_node(spec, topology, i) == node)
			bytes += tpi_budget_segment_bytes(spec, topology, i);
	return bytes;
}

uint64_t tpi_budget_cursors_bytes(const struct tpi_channel_spec *spec,
				  const struct tpi_topology *topology)
{
	uint32_t lanes = tpi_channel_lane_count(spec, topology);

	return TAPIO_GROUP_SLOTS * pages(tpi_cursors_bytes(lanes));
}

uint64_t tpi_budget_channel_bytes(const struct tpi_channel_spec *spec,
				  const struct tpi_topology *topology)
{
	uint64_t bytes = tpi_budget_cursors_bytes(spec, topology);

	for (uint32_t i = 0; i < tpi_channel_segments(spec, topology); i++)
		bytes += tpi_budget_segment_bytes(spec, topology, i);
	return bytes;
}

uint64_t tpi_budget_huge_extra(uint64_t bytes)
{
	return (TPI_HUGE_BYTES - bytes % TPI_HUGE_BYTES) % TPI_HUGE_BYTES;
}

static uint64_t total(const struct tpi_budget *plan,
		      const struct tpi_config *config,
		      const struct tpi_topology *topology)
{
	uint64_t bytes = plan->catalog_bytes;

	for (uint32_t i = 0; i < config->channel_count; i++)
		bytes += tpi_budget_channel_bytes(&config->channels[i].spec,
						  topology);
	return bytes;
}

static uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

static uint32_t present_cpus(const struct tpi_topology *topology)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < topology->cpus_possible; i++)
		count += topology->node_of_cpu[i] != TPI_CPU_ABSENT;
	return count;
}

/*
 * The number that `side_lanes = auto` means on this machine. A handle takes at
 * most one of a class, so more than there may be clients are of no use. Each
 * costs memory, and every consumer a look. Few threads need one where rseq
 * works, and every producer does where it does not.
 */
static uint32_t sides_wanted(const struct tpi_config *config,
			     const struct tpi_topology *topology)
{
	uint32_t count = at_most(present_cpus(topology), TPI_SIDES_MOST);

	if (count < TPI_SIDES_LEAST)
		count = TPI_SIDES_LEAST;
	if (config->side_lanes_only)
		count = TPI_SIDES_ONLY;
	return at_most(count, config->clients_max);
}

static void set_sides(struct tpi_config *config,
		      const struct tpi_topology *topology)
{
	uint32_t count = sides_wanted(config, topology);

	for (uint32_t i = 0; i < config->channel_count; i++) {
		struct tpi_config_channel *channel = &config->channels[i];

		for (uint32_t k = 0; k < channel->spec.class_count; k++)
			if (channel->sides_auto[k])
				channel->spec.classes[k].side_lanes = count;
	}
}

/* A number that the configuration leaves open, and what it costs. */
struct open_number {
	struct tapio_shm_class *klass;
	bool sides; /* its side lanes, else the blocks of a lane */
	uint64_t bytes;
};

static void keep_larger(struct open_number *most, struct tapio_shm_class *klass,
			bool sides, uint64_t bytes)
{
	if (bytes > most->bytes)
		*most = (struct open_number){klass, sides, bytes};
}

/* The one that takes most memory and may be halved. klass NULL: there is
 * none. */
static struct open_number largest_open(struct tpi_config *config, uint32_t cpus)
{
	struct open_number most = {0};

	for (uint32_t i = 0; i < config->channel_count; i++) {
		struct tpi_config_channel *channel = &config->channels[i];

		for (uint32_t k = 0; k < channel->spec.class_count; k++) {
			struct tapio_shm_class *c = &channel->spec.classes[k];
			uint64_t block = c->block_bytes;
			uint32_t lanes = tpi_spec_isolated(&channel->spec)
						 ? c->side_lanes
						 : cpus;

			if (channel->blocks_auto[k] &&
			    c->block_count > TPI_BLOCKS_LEAST)
				keep_larger(&most, c, false,
					    block * c->block_count * lanes);
			if (channel->sides_auto[k] &&
			    c->side_lanes > TPI_SIDES_LEAST)
				keep_larger(&most, c, true,
					    block * c->side_count *
						    c->side_lanes);
		}
	}
	return most;
}

static void halve(const struct open_number *number)
{
	struct tapio_shm_class *klass = number->klass;

	if (!number->sides) {
		klass->block_count /= 2;
		klass->side_count =
			at_most(klass->side_count, klass->block_count);
		return;
	}
	klass->side_lanes /= 2;
	if (klass->side_lanes < TPI_SIDES_LEAST)
		klass->side_lanes = TPI_SIDES_LEAST;
}

static int refuse(const struct tpi_budget *plan,
		  const struct tpi_config *config,
		  const struct tpi_topology *topology, char *error,
		  size_t error_bytes)
{
	uint64_t used = plan->catalog_bytes, wanted = 0;
	uint32_t i;

	for (i = 0; i < config->channel_count; i++) {
		wanted = tpi_budget_channel_bytes(&config->channels[i].spec,
						  topology);
		if (wanted > config->budget_bytes ||
		    used > config->budget_bytes - wanted)
			break;
		used += wanted;
	}
	if (i == config->channel_count)
		return tpi_fail(-ENOMEM, error, error_bytes,
				"the catalog wants %" PRIu64 " bytes for %u "
				"channels, the budget is %" PRIu64
				" bytes: raise budget, or lower channels_max",
				used, config->channels_max,
				config->budget_bytes);
	return tpi_fail(-ENOMEM, error, error_bytes,
			"channel \"%s\" wants %" PRIu64 " bytes on %u CPUs, "
			"%" PRIu64 " bytes are used already, the budget is "
			"%" PRIu64 " bytes: raise budget, or lower blocks or "
			"block",
			config->channels[i].spec.name, wanted,
			topology->cpus_possible, used, config->budget_bytes);
}

/* It has a record for each lane, so side lanes that are left out count here. */
static void plan_catalog(struct tpi_budget *plan,
			 const struct tpi_config *config,
			 const struct tpi_topology *topology)
{
	uint32_t most = 0;

	plan->catalog = (struct tpi_catalog_size){
		.clients_max = TPI_NAMES,
		.segments = tpi_segment_records(config->channels_max),
		.channels = config->channels_max,
	};
	for (uint32_t i = 0; i < config->channel_count; i++) {
		uint32_t lanes = tpi_channel_lane_count(
			&config->channels[i].spec, topology);

		plan->catalog.lanes += lanes;
		most = lanes > most ? lanes : most;
	}
	/* Each that comes later may have as many lanes as the largest of now. */
	plan->catalog.lanes +=
		most * (config->channels_max - config->channel_count);
	plan->catalog_bytes = tpi_catalog_bytes(&plan->catalog);
}

static void count_segments(struct tpi_budget *plan,
			   const struct tpi_config *config,
			   const struct tpi_topology *topology)
{
	plan->segment_count += config->channel_count * TAPIO_GROUP_SLOTS;
	for (uint32_t i = 0; i < config->channel_count; i++)
		plan->segment_count += tpi_channel_segments(
			&config->channels[i].spec, topology);
	plan->fd_count = 2 * plan->segment_count;
}

/* Halves until it fits. With `catalog` it is planned, too. */
static int size_channels(struct tpi_budget *plan, struct tpi_config *config,
			 const struct tpi_topology *topology, bool catalog,
			 char *error, size_t error_bytes)
{
	uint32_t cpus = present_cpus(topology);
	struct open_number largest;

	set_sides(config, topology);
	count_segments(plan, config, topology);
	for (;;) {
		if (catalog)
			plan_catalog(plan, config, topology);
		plan->total_bytes = total(plan, config, topology);
		if (plan->total_bytes <= config->budget_bytes)
			return 0;
		largest = largest_open(config, cpus);
		if (!largest.klass)
			return refuse(plan, config, topology, error,
				      error_bytes);
		halve(&largest);
		plan->shrunk++;
	}
}

int tpi_budget(struct tpi_budget *plan, struct tpi_config *config,
	       const struct tpi_topology *topology, char *error,
	       size_t error_bytes)
{
	*plan = (struct tpi_budget){.segment_count = 1};
	return size_channels(plan, config, topology, true, error, error_bytes);
}

int tpi_budget_more(struct tpi_budget *plan, struct tpi_config *config,
		    const struct tpi_topology *topology, uint64_t used_bytes,
		    char *error, size_t error_bytes)
{
	*plan = (struct tpi_budget){.catalog_bytes = used_bytes};
	return size_channels(plan, config, topology, false, error, error_bytes);
}
