/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that a configuration costs on a machine, before anything is
 * allocated. */
#ifndef TPI_BROKER_BUDGET_H
#define TPI_BROKER_BUDGET_H

#include "broker/config/config.h"
#include "lib/memory/layout.h"

struct tpi_budget {
	uint64_t total_bytes; /* in pages of the usual size */
	uint64_t catalog_bytes;
	struct tpi_catalog_size catalog;
	uint32_t segment_count; /* the catalog's own included */
	uint32_t fd_count;      /* two for each segment */
	uint32_t shrunk;        /* how often default classes were halved */
};

/*
 * Sizes every channel: sets the numbers of side lanes that are `auto`, and halves
 * these and the blocks of classes that named no number, largest first, until
 * everything fits in the budget. -ENOMEM when it does not: `error`
 * says which channel, what it wants, what is used already, and the budget.
 */
int tpi_budget(struct tpi_budget *plan, struct tpi_config *config,
	       const struct tpi_topology *topology, char *error,
	       size_t error_bytes);

/*
 * The same for channels that are added to others, which use so many bytes of the budget.
 * Only total_bytes, segment_count and shrunk of the plan are set.
 */
int tpi_budget_more(struct tpi_budget *plan, struct tpi_config *config,
		    const struct tpi_topology *topology, uint64_t used_bytes,
		    char *error, size_t error_bytes);

/* One channel: a segment, all on a node (index), all cursors, and all segments. */
uint64_t tpi_budget_segment_bytes(const struct tpi_channel_spec *spec,
				  const struct tpi_topology *topology,
				  uint32_t segment);
uint64_t tpi_budget_node_bytes(const struct tpi_channel_spec *spec,
			       const struct tpi_topology *topology,
			       uint32_t node);
uint64_t tpi_budget_cursors_bytes(const struct tpi_channel_spec *spec,
				  const struct tpi_topology *topology);
uint64_t tpi_budget_channel_bytes(const struct tpi_channel_spec *spec,
				  const struct tpi_topology *topology);

#define TPI_HUGE_BYTES (UINT64_C(2) << 20) /* a page of the hugetlb pool */

/* What a segment of so many bytes takes more from the hugetlb pool. */
uint64_t tpi_budget_huge_extra(uint64_t bytes);

#endif
