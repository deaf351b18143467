/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a configuration fits in the memory that this machine, and the control groups
 * of this process, leave to it. The budget is the user's limit (budget.h), these are
 * the host's.
 */
#ifndef TPI_BROKER_FIT_H
#define TPI_BROKER_FIT_H

#include "broker/config/budget.h"
#include "lib/memory/cgroup.h"

/* The need and the means of a node. */
struct tpi_fit_node {
	uint64_t plain_bytes;     /* from pages of the usual size */
	uint64_t huge_bytes;      /* from the hugetlb pool */
	uint64_t available_bytes; /* UINT64_MAX: unknown */
	uint64_t pool_bytes;      /* of the pool, that are free */
};

struct tpi_fit {
	uint64_t plain_bytes; /* of all segments, those of no node included */
	uint64_t huge_bytes;
	uint64_t upkeep_bytes; /* page tables, and the broker's own memory */
	uint64_t available_bytes;
	uint64_t pool_bytes;
	struct tpi_cgroup_limit memory;
	struct tpi_cgroup_limit high;
	struct tpi_cgroup_limit huge;
	/* Why some segment is not to be of huge pages. "": none. */
	char not_huge[400];
	struct tpi_fit_node nodes[TAPIO_NODES_MAX];
};

/*
 * Works out which segment takes what, in the order in which they are made, and reads
 * what is there. The configuration has been sized by tpi_budget().
 */
void tpi_fit(struct tpi_fit *fit, const struct tpi_budget *plan,
	     const struct tpi_config *config,
	     const struct tpi_topology *topology,
	     const struct tpi_cgroups *cgroups);

/*
 * -ENOMEM, or -EDQUOT where it is a cgroup's limit, if something does not fit. `error`
 * has the numbers, what takes most, and the remedy.
 */
int tpi_fit_check(const struct tpi_fit *fit, const struct tpi_config *config,
		  const struct tpi_topology *topology, char *error,
		  size_t error_bytes);

/*
 * The same for each node. The broker asks it when a segment is made, because it knows
 * only then whether it may choose the node.
 */
bool tpi_fit_nodes(const struct tpi_fit *fit,
		   const struct tpi_topology *topology);

/* Tables for people: every part with its memory, and every limit. `fit` may be NULL:
 * then the configuration is for another machine. */
void tpi_fit_print(const struct tpi_fit *fit, const struct tpi_budget *plan,
		   const struct tpi_config *config,
		   const struct tpi_topology *topology,
		   const struct tpi_cgroups *cgroups, FILE *out);

#endif
