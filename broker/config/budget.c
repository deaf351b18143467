/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory budget. Called at start and by `tapiod --check`, and with a
 * simulated topology to see whether a configuration would fit elsewhere.
 *
 * A number of blocks that the configuration names is a promise to the user and
 * is never changed; one that it leaves open follows the budget, so that the same
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

/* The default class whose lanes take most memory and may be halved, or NULL. */
static struct tapio_shm_class *largest_auto(struct tpi_config *config)
{
	struct tapio_shm_class *found = NULL;
	uint64_t most = 0;

	for (uint32_t i = 0; i < config->channel_count; i++) {
		struct tpi_config_channel *channel = &config->channels[i];

		for (uint32_t k = 0; k < channel->spec.class_count; k++) {
			struct tapio_shm_class *c = &channel->spec.classes[k];
			uint64_t bytes =
				(uint64_t)c->block_bytes * c->block_count;

			if (!channel->blocks_auto[k] || bytes <= most ||
			    c->block_count <= TPI_BLOCKS_LEAST)
				continue;
			most = bytes;
			found = c;
		}
	}
	return found;
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
	struct tapio_shm_class *klass;

	memset(plan, 0, sizeof(*plan));
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
		klass = largest_auto(config);
		if (!klass)
			return refuse(plan, config, topology, error,
				      error_bytes);
		klass->block_count /= 2;
		if (klass->side_count > klass->block_count)
			klass->side_count = klass->block_count;
		plan->shrunk++;
	}
}
