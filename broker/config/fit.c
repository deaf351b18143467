/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration against the memory that there is. Called when a broker starts, before
 * the first segment is made, and by `tapiod --check`.
 *
 * A plan that is too large for a cgroup would end in the OOM killer half way, and the
 * log would not say why. Each segment is compared again when it is made
 * (lib/memory/segment.c), because the numbers may have changed by then.
 */
#include "broker/config/fit.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/memory/segment_place.h"

/*
 * For each page 8 bytes of the broker's page table and 9 of the file's tree, which the
 * kernel charges to the cgroup, too. And what a broker takes for itself.
 */
#define UPKEEP_SHARE 128
#define UPKEEP_OWN   (UINT64_C(4) << 20)

static uint64_t at_most(uint64_t n, uint64_t most)
{
	return n < most ? n : most;
}

static uint64_t left(uint64_t of, uint64_t taken)
{
	return of > taken ? of - taken : 0;
}

static uint64_t pool_bytes(int node)
{
	int64_t pages = tpi_place_pool_free(node);

	return pages > 0 ? (uint64_t)pages * TPI_HUGE_BYTES : 0;
}

static void read_machine(struct tpi_fit *fit,
			 const struct tpi_topology *topology,
			 const struct tpi_cgroups *cgroups)
{
	fit->available_bytes = tpi_place_available(-1);
	fit->pool_bytes = pool_bytes(-1);
	for (uint32_t i = 0; i < topology->node_count; i++) {
		int node = (int)topology->node_id[i];

		fit->nodes[i].available_bytes =
			tpi_sys_may_use_node(node) ? tpi_place_available(node)
						   : UINT64_MAX;
		fit->nodes[i].pool_bytes = pool_bytes(node);
	}
	tpi_cgroup_read(cgroups, TPI_CGROUP_MEMORY, &fit->memory);
	tpi_cgroup_read(cgroups, TPI_CGROUP_HIGH, &fit->high);
	tpi_cgroup_read_huge(cgroups, &fit->huge);
}

/* Room for huge pages, as the segments before have left it. */
struct ladder {
	struct tpi_fit *fit;
	const struct tpi_config *config;
	uint64_t spare_bytes; /* of the budget, as in registry.c */
};

/* Why a segment gets no huge pages. The first reason is kept. */
__attribute__((format(printf, 2, 3))) static bool
no_huge(struct tpi_fit *fit, const char *format, ...)
{
	va_list args;

	if (fit->not_huge[0])
		return false;
	va_start(args, format);
	vsnprintf(fit->not_huge, sizeof(fit->not_huge), format, args);
	va_end(args);
	return false;
}

/* Would the pool, the budget and the cgroup give this segment huge pages? */
static bool is_huge(struct ladder *ladder, const char *name, uint32_t node,
		    uint64_t bytes)
{
	struct tpi_fit *fit = ladder->fit;
	uint64_t extra = tpi_budget_huge_extra(bytes), all = bytes + extra;
	uint64_t pool, group;

	if (ladder->config->hugepages != TPI_HUGE_AUTO)
		return ladder->config->hugepages == TPI_HUGE_REQUIRE;
	pool = at_most(
		left(fit->pool_bytes, fit->huge_bytes),
		left(fit->nodes[node].pool_bytes, fit->nodes[node].huge_bytes));
	group = left(fit->huge.room_bytes, fit->huge_bytes);
	if (all > pool)
		return no_huge(fit,
			       "channel \"%s\": %" PRIu64 " bytes wanted, "
			       "%" PRIu64 " are free in the pool",
			       name, all, pool);
	if (extra > ladder->spare_bytes)
		return no_huge(fit,
			       "channel \"%s\": they take %" PRIu64
			       " bytes more, and the budget leaves %" PRIu64,
			       name, extra, ladder->spare_bytes);
	if (all > group)
		return no_huge(fit,
			       "channel \"%s\": %" PRIu64 " bytes wanted, "
			       "%" PRIu64 " of %" PRIu64
			       " are left in the cgroup (%s)",
			       name, all, group, fit->huge.limit_bytes,
			       fit->huge.file);
	ladder->spare_bytes -= extra;
	return true;
}

static void add_segment(struct ladder *ladder,
			const struct tpi_channel_spec *spec, uint32_t node,
			uint64_t bytes)
{
	struct tpi_fit *fit = ladder->fit;

	if (!tpi_spec_isolated(spec) &&
	    is_huge(ladder, spec->name, node, bytes)) {
		bytes += tpi_budget_huge_extra(bytes);
		fit->huge_bytes += bytes;
		fit->nodes[node].huge_bytes += bytes;
	} else {
		fit->plain_bytes += bytes;
		fit->nodes[node].plain_bytes += bytes;
	}
}

void tpi_fit(struct tpi_fit *fit, const struct tpi_budget *plan,
	     const struct tpi_config *config,
	     const struct tpi_topology *topology,
	     const struct tpi_cgroups *cgroups)
{
	struct ladder ladder = {
		.fit = fit,
		.config = config,
		.spare_bytes = left(config->budget_bytes, plan->total_bytes),
	};

	memset(fit, 0, sizeof(*fit));
	read_machine(fit, topology, cgroups);
	fit->plain_bytes = plan->catalog_bytes;
	for (uint32_t i = 0; i < config->channel_count; i++) {
		const struct tpi_channel_spec *spec = &config->channels[i].spec;

		for (uint32_t k = 0; k < tpi_channel_segments(spec, topology);
		     k++)
			add_segment(
				&ladder, spec,
				tpi_channel_node(spec, topology, k),
				tpi_budget_segment_bytes(spec, topology, k));
		fit->plain_bytes += tpi_budget_cursors_bytes(spec, topology);
	}
	fit->upkeep_bytes = UPKEEP_OWN + fit->plain_bytes / UPKEEP_SHARE;
	if (cgroups->memory_has_huge)
		fit->upkeep_bytes += fit->huge_bytes;
}

/* ---- refusing --------------------------------------------------------------------- */

static const char *largest_channel(const struct tpi_config *config,
				   const struct tpi_topology *topology,
				   uint64_t *most)
{
	const char *name = "";

	*most = 0;
	for (uint32_t i = 0; i < config->channel_count; i++) {
		const struct tpi_channel_spec *spec = &config->channels[i].spec;
		uint64_t bytes = tpi_budget_channel_bytes(spec, topology);

		if (bytes <= *most)
			continue;
		*most = bytes;
		name = spec->name;
	}
	return name;
}

#define REMEDY                                                                    \
	"or lower blocks, block, side_lanes or budget; tapiod --check says what " \
	"takes how much"

static int refuse_cgroup(const struct tpi_cgroup_limit *limit, uint64_t wanted,
			 const char *what, const struct tpi_config *config,
			 const struct tpi_topology *topology, char *error,
			 size_t error_bytes)
{
	uint64_t most;
	const char *name = largest_channel(config, topology, &most);

	return tpi_fail(
		-EDQUOT, error, error_bytes,
		"%" PRIu64 " bytes of %s are wanted (channel \"%s\" takes "
		"most, %" PRIu64 "), and %" PRIu64 " of %" PRIu64
		" are left in the cgroup (%s): raise that limit, " REMEDY,
		wanted, what, name, most, limit->room_bytes, limit->limit_bytes,
		limit->file);
}

/* The first node that has less than its segments take, in words. "": none. */
static void name_node(char *text, size_t bytes, const struct tpi_fit *fit,
		      const struct tpi_topology *topology)
{
	text[0] = '\0';
	for (uint32_t i = 0; i < topology->node_count; i++) {
		const struct tpi_fit_node *node = &fit->nodes[i];

		if (node->plain_bytes <= node->available_bytes)
			continue;
		snprintf(text, bytes,
			 "; node %u: %" PRIu64 " bytes wanted, %" PRIu64
			 " available",
			 topology->node_id[i], node->plain_bytes,
			 node->available_bytes);
		return;
	}
}

static int refuse_machine(const struct tpi_fit *fit,
			  const struct tpi_config *config,
			  const struct tpi_topology *topology, char *error,
			  size_t error_bytes)
{
	uint64_t most;
	const char *name = largest_channel(config, topology, &most);
	char node[128];

	name_node(node, sizeof(node), fit, topology);
	return tpi_fail(-ENOMEM, error, error_bytes,
			"%" PRIu64 " bytes wanted, %" PRIu64
			" available on this machine (channel \"%s\" takes "
			"most, %" PRIu64 ")%s: free memory, " REMEDY,
			fit->plain_bytes, fit->available_bytes, name, most,
			node);
}

int tpi_fit_check(const struct tpi_fit *fit, const struct tpi_config *config,
		  const struct tpi_topology *topology, char *error,
		  size_t error_bytes)
{
	uint64_t wanted = fit->plain_bytes + fit->upkeep_bytes;

	if (fit->huge_bytes > fit->huge.room_bytes)
		return refuse_cgroup(&fit->huge, fit->huge_bytes, "huge pages",
				     config, topology, error, error_bytes);
	if (fit->huge_bytes > fit->pool_bytes)
		return tpi_fail(
			-ENOMEM, error, error_bytes,
			"hugepages = require: %" PRIu64
			" pages of 2 MiB wanted, %" PRIu64
			" free in the pool: raise vm.nr_hugepages, " REMEDY,
			fit->huge_bytes / TPI_HUGE_BYTES,
			fit->pool_bytes / TPI_HUGE_BYTES);
	if (wanted > fit->memory.room_bytes)
		return refuse_cgroup(&fit->memory, wanted, "memory", config,
				     topology, error, error_bytes);
	if (fit->plain_bytes > fit->available_bytes)
		return refuse_machine(fit, config, topology, error,
				      error_bytes);
	return 0;
}

bool tpi_fit_nodes(const struct tpi_fit *fit,
		   const struct tpi_topology *topology)
{
	for (uint32_t i = 0; i < topology->node_count; i++)
		if (fit->nodes[i].plain_bytes > fit->nodes[i].available_bytes ||
		    fit->nodes[i].huge_bytes > fit->nodes[i].pool_bytes)
			return false;
	return true;
}
