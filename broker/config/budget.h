/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that a configuration costs on a machine, before anything is
 * allocated. */
#ifndef TPI_BROKER_BUDGET_H
#define TPI_BROKER_BUDGET_H

#include "broker/config/config.h"

struct tpi_budget {
	uint64_t total_bytes; /* in pages of the usual size */
	uint64_t catalog_bytes;
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

/* All segments of one channel. */
uint64_t tpi_budget_channel_bytes(const struct tpi_channel_spec *spec,
				  const struct tpi_topology *topology);

#endif
