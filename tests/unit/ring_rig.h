/* SPDX-License-Identifier: Apache-2.0 */
/* The beginnings of tests of rings. */
#ifndef TESTS_RING_RIG_H
#define TESTS_RING_RIG_H

#include <check.h>
#include <stdint.h>

#include <tapio/ring.h>

static inline struct tapio_ring *new_ring(uint32_t capacity)
{
	struct tapio_ring *ring;

	ck_assert_int_eq(tapio_ring_create(&ring, capacity), 0);
	return ring;
}

static inline struct tapio_ring_stats stats_of(const struct tapio_ring *ring)
{
	struct tapio_ring_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(tapio_ring_stats_read(ring, &stats), 0);
	return stats;
}

#endif
