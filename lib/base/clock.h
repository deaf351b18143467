/* SPDX-License-Identifier: Apache-2.0 */
/* CLOCK_MONOTONIC in nanoseconds. Any context. */
#ifndef TPI_CLOCK_H
#define TPI_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t tpi_clock_read(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t tpi_now_ns(void)
{
	return tpi_clock_read(CLOCK_MONOTONIC);
}

/* The same as of the last tick, some milliseconds ago, and cheaper. */
static inline int64_t tpi_coarse_ns(void)
{
	return tpi_clock_read(CLOCK_MONOTONIC_COARSE);
}

#endif
