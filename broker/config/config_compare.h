/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a configuration fits the memory that is there. */
#ifndef TPI_BROKER_CONFIG_COMPARE_H
#define TPI_BROKER_CONFIG_COMPARE_H

#include "broker/config/config.h"

/* The memory that a broker serves, or that a former one has left. */
struct tpi_config_memory {
	const struct tpi_catalog *catalog;
	uint64_t used_bytes;
	/* The configuration in force: its socket is compared. NULL: at a start. */
	const struct tpi_config *now;
};

/*
 * Says each difference that stands in the way of `next`, as "channel "a": stamp: tsc ->
 * none", with what to do about it. How many there are. Channels that are new, or that
 * `next` does not name, are no differences, and neither is their order.
 *
 * Numbers that `next` leaves open become those of the memory. When there is no
 * difference, each channel of `next` that is there has the sizes of the memory.
 */
uint32_t tpi_config_compare(const struct tpi_config_memory *memory,
			    struct tpi_config *next,
			    void (*say)(void *arg, const char *difference,
					const char *remedy),
			    void *arg);

/* The channel of that name, or NULL. */
struct tpi_config_channel *tpi_config_find(const struct tpi_config *config,
					   const char *name);

#endif
