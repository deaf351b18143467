/* SPDX-License-Identifier: Apache-2.0 */
/* tapiod --check and --print-config: looks at a configuration, and serves nothing. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tapio/common.h>

#include "broker/config/config.h"
#include "broker/config/fit.h"
#include "broker/registry/registry.h"
#include "broker/tapiod.h"
#include "lib/base/error.h"

/* Where `cmake --install` puts the configuration. The unit names the same file. */

const char *tapiod_config_file(const struct arguments *a)
{
	if (a->config)
		return a->config;
	return access(TAPIOD_CONFIG_DEFAULT, F_OK) ? NULL
						   : TAPIOD_CONFIG_DEFAULT;
}

int tapiod_print_config(const struct arguments *a)
{
	struct tpi_config config;
	char error[512];
	int err = tpi_config_load(&config, tapiod_config_file(a), NULL, error,
				  sizeof(error));

	if (err)
		fprintf(stderr, "tapiod: %s\n", error);
	else
		tpi_config_print(&config, stdout);
	tpi_config_free(&config);
	return err ? EXIT_CONFIG : EXIT_OK;
}

static int read_topology(const struct arguments *a,
			 struct tpi_topology *topology)
{
	if (a->cpus)
		return tpi_topology_simulate(topology, a->cpus, a->nodes);
	return tpi_topology_read(topology, "/sys/devices/system");
}

/* Against this machine and its cgroups. EXIT_OK, or EXIT_MEMORY with the reason. */
static int check_machine(const struct arguments *a, const struct tpi_fit *fit,
			 const struct tpi_config *config,
			 const struct tpi_topology *topology)
{
	char error[1024];

	if (tpi_fit_check(fit, config, topology, error, sizeof(error))) {
		fprintf(stderr, "tapiod: %s: %s\n", a->check, error);
		return EXIT_MEMORY;
	}
	if (!tpi_fit_nodes(fit, topology)) {
		fprintf(stderr,
			"tapiod: %s: a node has too little, see the table: "
			"free its memory, enlarge its pool, or lower blocks or "
			"block\n",
			a->check);
		return EXIT_MEMORY;
	}
	return EXIT_OK;
}

static int check_plan(const struct arguments *a, struct tpi_config *config,
		      const struct tpi_topology *topology)
{
	struct tpi_cgroups cgroups;
	struct tpi_budget plan;
	struct tpi_fit fit;
	char error[512];
	int status = EXIT_OK;
	int err = tpi_budget(&plan, config, topology, error, sizeof(error));

	if (tpi_cgroups_find(&cgroups, "")) {
		fprintf(stderr, "tapiod: out of memory\n");
		return EXIT_OTHER;
	}
	tpi_fit(&fit, &plan, config, topology, &cgroups);
	tpi_fit_print(a->cpus ? NULL : &fit, &plan, config, topology, &cgroups,
		      stdout);
	if (err) {
		fprintf(stderr, "tapiod: %s: %s\n", a->check, error);
		status = EXIT_MEMORY;
	} else if (!a->cpus) {
		status = check_machine(a, &fit, config, topology);
	}
	tpi_cgroups_free(&cgroups);
	if (!status)
		printf("%s: ok: %" PRIu64 " of %" PRIu64 " bytes on %u CPU%s "
		       "and %u node%s, %u descriptors\n",
		       a->check, plan.total_bytes, config->budget_bytes,
		       topology->cpus_possible,
		       TPI_PLURAL(topology->cpus_possible),
		       topology->node_count, TPI_PLURAL(topology->node_count),
		       plan.fd_count);
	return status;
}

int tapiod_check(const struct arguments *a)
{
	struct tpi_topology topology = {0};
	struct tpi_config config;
	int status = EXIT_CONFIG;
	char error[512];
	int err =
		tpi_config_load(&config, a->check, NULL, error, sizeof(error));

	if (err) {
		fprintf(stderr, "tapiod: %s\n", error);
		goto out;
	}
	err = read_topology(a, &topology);
	if (err) {
		if (a->cpus)
			fprintf(stderr,
				"tapiod: --simulate=%ux%u: at most %d CPUs and "
				"%d nodes, and no more nodes than CPUs\n",
				a->cpus, a->nodes, TPI_CPUS_MAX,
				TAPIO_NODES_MAX);
		else
			fprintf(stderr,
				"tapiod: cannot read the CPUs from "
				"/sys/devices/system: %s\n",
				strerror(-err));
		status = a->cpus ? EXIT_USAGE : EXIT_OTHER;
		goto out;
	}
	config.side_lanes_only = !tpi_host_has_cpu_lanes();
	status = check_plan(a, &config, &topology);
out:
	tpi_topology_free(&topology);
	tpi_config_free(&config);
	return status;
}
