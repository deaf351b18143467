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

uint64_t tpi_budget_channel_bytes(const struct tpi_channel_spec *spec,
				  const struct tpi_topology *topology)
{
	uint32_t lanes = tpi_channel_lane_count(spec, topology);
	uint64_t bytes = TAPIO_GROUP_SLOTS * pages(tpi_cursors_bytes(lanes));

	for (uint32_t node = 0; node < topology->node_count; node++)
		bytes += pages(tpi_channel_bytes(spec, topology, node));
	return bytes;
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

			if (channel->blocks_auto[k] &&
			    c->block_count > TPI_BLOCKS_LEAST)
				keep_larger(&most, c, false,
					    block * c->block_count * cpus);
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
				"the catalog wants %" PRIu64 " bytes, the "
				"budget is %" PRIu64 " bytes: raise budget or "
				"lower clients_max",
				used, config->budget_bytes);
	return tpi_fail(-ENOMEM, error, error_bytes,
			"channel \"%s\" wants %" PRIu64 " bytes on %u CPUs, "
			"%" PRIu64 " bytes are used already, the budget is "
			"%" PRIu64 " bytes: raise budget, or lower blocks or "
			"block",
			config->channels[i].spec.name, wanted,
			topology->cpus_possible, used, config->budget_bytes);
}

int tpi_budget(struct tpi_budget *plan, struct tpi_config *config,
	       const struct tpi_topology *topology, char *error,
	       size_t error_bytes)
{
	uint32_t cpus = present_cpus(topology);
	struct open_number largest;

	memset(plan, 0, sizeof(*plan));
	set_sides(config, topology);
	plan->segment_count =
		1 + config->channel_count *
			    (topology->node_count + TAPIO_GROUP_SLOTS);
	plan->fd_count = 2 * plan->segment_count;
	/* One attachment more than clients: the broker's own. */
	plan->catalog_bytes =
		tpi_catalog_bytes(config->clients_max + 1, plan->segment_count,
				  config->channel_count);
	for (;;) {
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
