/* SPDX-License-Identifier: Apache-2.0 */
/* Where a fresh segment's pages are: the parts of segment.c that measure. */
#ifndef TPI_SEGMENT_PLACE_H
#define TPI_SEGMENT_PLACE_H

#include <stdint.h>

#include "lib/memory/segment.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Binds to report->node. A refusal goes to placement and placement_errno. */
void tpi_place_bind(const struct tpi_map *map,
		    struct tapio_shm_segment *report);

/* Faults in every page. -errno, never a signal. */
int tpi_place_populate(const struct tpi_map *map, unsigned int rung);

/*
 * Asks for each page's node and fills in placement and misplaced_pages. UINT64_MAX: the
 * kernel does not say, as where a seccomp filter forbids to ask.
 */
void tpi_place_verify(const struct tpi_map *map,
		      struct tapio_shm_segment *report);

/* Bytes of a shmem mapping that are mapped by huge pages now (smaps). */
uint64_t tpi_place_huge_bytes(const struct tpi_map *map);

/*
 * Pages of 2 MiB that the pool could give: of one node, or -1 for all. -1 when
 * there is no such pool.
 */
int64_t tpi_place_pool_free(int node);

/* Bytes that could be had without swapping, of a node or -1. UINT64_MAX: unknown. */
uint64_t tpi_place_available(int node);

#endif
