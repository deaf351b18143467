/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From descriptors to views, in place. Called by poll.c for each lane that has
 * something; it knows neither groups nor heads.
 */
#ifndef TPI_WALK_H
#define TPI_WALK_H

#include <stdint.h>

#include <tapio/common.h>

#include "client/reader/filter.h"
#include "lib/lane/lane.h"

/*
 * Fills up to `max` views of [*position, tail), and moves *position past what was
 * looked at: up to the tail, to where the views are full, or to an impossible
 * descriptor. *skipped grows by what is no view. How many views. `tail` is at most
 * N positions ahead.
 *
 * _all hands out all but discards; _filtered what the filter lets pass.
 */
unsigned int tpi_walk_all(const struct tpi_lane *lane, uint64_t *position,
			  uint64_t tail, struct tapio_view *views,
			  unsigned int max, uint64_t *skipped);
unsigned int tpi_walk_filtered(const struct tpi_lane *lane,
			       const struct tpi_filter *filter,
			       uint64_t *position, uint64_t tail,
			       struct tapio_view *views, unsigned int max,
			       uint64_t *skipped);

#endif
