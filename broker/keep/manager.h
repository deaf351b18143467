/* SPDX-License-Identifier: Apache-2.0 */
/* The fd store of a service manager (systemd) as the keeper. */
#ifndef TPI_BROKER_KEEP_MANAGER_H
#define TPI_BROKER_KEEP_MANAGER_H

#include "broker/keep/keep.h"
#include "broker/keep/table.h"

/*
 * Takes over the table, with the descriptors that the manager passed. `room` is how many
 * descriptors its store may have. With 0 nothing is stored, and the broker only takes those that
 * it was passed. tpi_notify_open() MUST have been called. NULL: out of memory.
 */
struct tpi_keep *tpi_keep_manager_create(const struct tpi_keep_table *table,
					 uint32_t room);

#endif
