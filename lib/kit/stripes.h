/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of a ring or a pool, in their shared memory. A CPU counts in the line
 * of its number modulo TAPIO_STRIPES, so that few CPUs write to the same line. Only
 * rare events are counted: an atomic add costs more than a put or a get.
 *
 * field | writer | reader | store      | load
 * line  | all    | all    | atomic add | relaxed
 */
#ifndef TPI_STRIPES_H
#define TPI_STRIPES_H

#include <sched.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"

#define TAPIO_STRIPES         16
#define TAPIO_STRIPE_COUNTERS 8 /* a cache line */

struct tapio_shm_stripes {
	uint64_t line[TAPIO_STRIPES][TAPIO_STRIPE_COUNTERS];
};
TAPIO_ASSERT_SIZE(tapio_shm_stripes, 1024);
TAPIO_ASSERT_OFFSET(tapio_shm_stripes, line, 0);

/* Adds to counter `which` in the stripe of this CPU. Any context. */
static inline void tpi_stripes_add(struct tapio_shm_stripes *stripes,
				   unsigned int which, uint64_t n)
{
	unsigned int stripe = (unsigned int)sched_getcpu() % TAPIO_STRIPES;

	/* Relaxed: a sum that orders nothing. */
	tpi_add_relaxed(&stripes->line[stripe][which], n);
}

/* The sum over all stripes: exact while no CPU counts. */
static inline uint64_t tpi_stripes_sum(const struct tapio_shm_stripes *stripes,
				       unsigned int which)
{
	uint64_t total = 0;
	int i;

	for (i = 0; i < TAPIO_STRIPES; i++)
		total += tpi_load_relaxed(&stripes->line[i][which]);
	return total;
}

#endif
