/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration's memory and the limits that it meets, as tables. Called by
 * `tapiod --check`. Numbers are bytes.
 */
#include <inttypes.h>
#include <stdio.h>

#include "broker/config/fit.h"

/* ---- what takes how much ---------------------------------------------------------- */

#define TAKES_HEAD  "%-34s %5s %6s %6s %7s %8s %15s\n"
#define TAKES_CLASS "%-34s %5u %6u %6u %7u %8u %15" PRIu64 "\n"
#define TAKES_OTHER "%-34s %5s %6s %6s %7s %8s %15" PRIu64 "\n"

static uint32_t lanes_on(const struct tpi_channel_spec *spec,
			 const struct tpi_topology *topology, uint32_t node)
{
	uint32_t count = 0;

	if (tpi_spec_isolated(spec))
		return 0;
	for (uint32_t cpu = 0; cpu < topology->cpus_possible; cpu++)
		count += topology->node_of_cpu[cpu] == node;
	return count;
}

static void print_other(const char *what, const char *node, uint64_t bytes,
			FILE *out)
{
	fprintf(out, TAKES_OTHER, what, node, "-", "-", "-", "-", bytes);
}

static void print_node(const struct tpi_channel_spec *spec,
		       const struct tpi_topology *topology, uint32_t node,
		       FILE *out)
{
	uint64_t rest = tpi_budget_node_bytes(spec, topology, node);
	char what[64], number[16];

	for (uint32_t k = 0; k < spec->class_count; k++) {
		const struct tapio_shm_class *klass = &spec->classes[k];
		uint64_t bytes = tpi_class_bytes(spec, k, topology, node);

		snprintf(what, sizeof(what), "  class \"%s\"", klass->name);
		fprintf(out, TAKES_CLASS, what, topology->node_id[node],
			lanes_on(spec, topology, node),
			tpi_class_sides(spec, k, topology, node),
			klass->block_count, klass->block_bytes, bytes);
		rest -= bytes;
	}
	snprintf(number, sizeof(number), "%u", topology->node_id[node]);
	print_other("  doorbells, rest of a page", number, rest, out);
}

static void print_takes(const struct tpi_budget *plan,
			const struct tpi_config *config,
			const struct tpi_topology *topology, FILE *out)
{
	char what[128];

	fprintf(out, TAKES_HEAD, "TAKES", "NODE", "LANES", "SIDE", "BLOCKS",
		"BLOCK", "BYTES");
	print_other("catalog", "-", plan->catalog_bytes, out);
	for (uint32_t i = 0; i < config->channel_count; i++) {
		const struct tpi_channel_spec *spec = &config->channels[i].spec;

		snprintf(what, sizeof(what), "channel \"%s\"", spec->name);
		print_other(what, "-", tpi_budget_channel_bytes(spec, topology),
			    out);
		for (uint32_t node = 0; node < topology->node_count; node++)
			print_node(spec, topology, node, out);
		snprintf(what, sizeof(what), "  cursors of %d group slots",
			 TAPIO_GROUP_SLOTS);
		print_other(what, "-", tpi_budget_cursors_bytes(spec, topology),
			    out);
	}
}

/* ---- against what ----------------------------------------------------------------- */

static const char *verdict(uint64_t takes, uint64_t has)
{
	if (has == UINT64_MAX)
		return "unknown";
	return takes <= has ? "ok" : "DOES NOT FIT";
}

static void print_limit(const char *what, const char *node, uint64_t takes,
			uint64_t has, const char *says, FILE *out)
{
	char number[24] = "-";

	if (has != UINT64_MAX)
		snprintf(number, sizeof(number), "%" PRIu64, has);
	fprintf(out, "%-34s %5s %15" PRIu64 " %15s  %s\n", what, node, takes,
		number, says);
}

static void print_cgroup(const char *what, uint64_t takes,
			 const struct tpi_cgroup_limit *limit,
			 const char *unknown, bool soft, FILE *out)
{
	const char *says = verdict(takes, limit->room_bytes);
	char text[512];

	if (limit->room_bytes == UINT64_MAX)
		snprintf(text, sizeof(text), "%s%s",
			 unknown || limit->unreadable ? "unknown: "
						      : "no limit",
			 unknown             ? unknown
			 : limit->unreadable ? limit->file
					     : "");
	else
		snprintf(text, sizeof(text),
			 "%s (%s: %" PRIu64 ", %" PRIu64 " used)",
			 soft && takes > limit->room_bytes
				 ? "SLOW: the kernel throttles beyond it"
				 : says,
			 limit->file, limit->limit_bytes, limit->used_bytes);
	print_limit(what, "-", takes, limit->room_bytes, text, out);
}

static void print_nodes(const struct tpi_fit *fit,
			const struct tpi_config *config,
			const struct tpi_topology *topology, FILE *out)
{
	bool pool = config->hugepages != TPI_HUGE_NEVER;
	char number[16];

	for (uint32_t i = 0; i < topology->node_count; i++) {
		const struct tpi_fit_node *node = &fit->nodes[i];

		snprintf(number, sizeof(number), "%u", topology->node_id[i]);
		print_limit("memory available", number, node->plain_bytes,
			    node->available_bytes,
			    verdict(node->plain_bytes, node->available_bytes),
			    out);
		if (pool)
			print_limit("free in the hugetlb pool", number,
				    node->huge_bytes, node->pool_bytes,
				    verdict(node->huge_bytes, node->pool_bytes),
				    out);
	}
}

static void print_against(const struct tpi_fit *fit,
			  const struct tpi_config *config,
			  const struct tpi_topology *topology,
			  const struct tpi_cgroups *cgroups, FILE *out)
{
	uint64_t charged = fit->plain_bytes + fit->upkeep_bytes;

	print_limit("memory available", "-", fit->plain_bytes,
		    fit->available_bytes,
		    verdict(fit->plain_bytes, fit->available_bytes), out);
	if (config->hugepages != TPI_HUGE_NEVER)
		print_limit("free in the hugetlb pool", "-", fit->huge_bytes,
			    fit->pool_bytes,
			    verdict(fit->huge_bytes, fit->pool_bytes), out);
	print_nodes(fit, config, topology, out);
	print_cgroup("cgroup: memory, page tables too", charged, &fit->memory,
		     cgroups->memory.unknown, false, out);
	if (fit->high.room_bytes != UINT64_MAX)
		print_cgroup("cgroup: memory.high, a soft limit", charged,
			     &fit->high, NULL, true, out);
	if (config->hugepages != TPI_HUGE_NEVER)
		print_cgroup("cgroup: huge pages", fit->huge_bytes, &fit->huge,
			     cgroups->hugetlb.unknown, false, out);
	if (fit->not_huge[0])
		fprintf(out, "not all in huge pages: %s\n", fit->not_huge);
}

void tpi_fit_print(const struct tpi_fit *fit, const struct tpi_budget *plan,
		   const struct tpi_config *config,
		   const struct tpi_topology *topology,
		   const struct tpi_cgroups *cgroups, FILE *out)
{
	print_takes(plan, config, topology, out);
	fprintf(out, "\n%-34s %5s %15s %15s\n", "AGAINST", "NODE", "TAKES",
		"THERE IS");
	print_limit("budget", "-", plan->total_bytes, config->budget_bytes,
		    verdict(plan->total_bytes, config->budget_bytes), out);
	if (fit)
		print_against(fit, config, topology, cgroups, out);
	else
		fputs("memory and cgroups: of another machine, not looked at\n",
		      out);
}
