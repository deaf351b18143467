/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of tapio/counters.h as an array. The broker writes them into its catalog, and
 * tools explain counters by them.
 */
#ifndef TPI_COUNTERS_H
#define TPI_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#define TPI_COUNTERS (TAPIO_BROKER_COUNTER_COUNT + TAPIO_LANE_DROP_COUNT)
/* Of a catalog. A broker that is newer may have more than this program. */
#define TPI_COUNTERS_MAX 4096

struct tpi_counter {
	const char *name, *unit, *meaning, *cause, *remedy;
	uint32_t of, offset, type; /* as in tapio_shm_counter */
};

extern const struct tpi_counter tpi_counters[TPI_COUNTERS];

/* Fills a fresh record. */
void tpi_counter_describe(const struct tpi_counter *counter,
			  struct tapio_shm_counter *record);

/* Whether the word lies in its struct. Of records that others wrote. */
bool tpi_counter_sane(uint32_t of, uint32_t offset, uint32_t type);

#endif
