/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the parts of layout.h: layout_spec.c, layout_plan.c, layout_build.c,
 * layout_attach.c, layout_lanes.c and layout_check.c.
 */
#ifndef TPI_LAYOUT_INNER_H
#define TPI_LAYOUT_INNER_H

#include "lib/memory/layout.h"

/* Limits that follow from those of abi.h. They keep sums inside 64 bits. */
#define TPI_SIDE_LANES_MAX TAPIO_CLIENTS_MAX
#define TPI_BLOCKS_MIN     4
#define TPI_LANES_MAX      (TAPIO_CLASSES_MAX * (TPI_CPUS_MAX + TPI_SIDE_LANES_MAX))

/*
 * Where a message about an attach goes, and what it is about. Without room for one
 * nothing is printed, so that any context may attach.
 */
struct tpi_report {
	char *error;
	size_t error_bytes;
	char subject[128]; /* "channel `events`, node 0" */
};
/* Writes "subject: ..." and returns `err`. */
__attribute__((format(printf, 3, 4))) int
tpi_report(const struct tpi_report *report, int err, const char *format, ...);
/* The same about one of a channel's segments. */
struct tpi_report tpi_report_node(const struct tpi_report *report,
				  uint32_t node_index);

/*
 * Copies shared memory that others may be changing: each 64-bit word is loaded
 * once. Both ends are aligned to 8 and `bytes` is a multiple of it.
 */
void tpi_copy_once(void *copy, const void *shared, size_t bytes);

/* layout_plan.c: the places of a channel's lanes, by id. */
void tpi_channel_places(const struct tpi_channel_spec *spec,
			const struct tpi_topology *topology,
			struct tapio_shm_place *places);
/* Fills in the offsets of a channel's record. */
void tpi_channel_offsets(uint32_t lane_count,
			 struct tapio_shm_channel *offsets);
/* The catalog's regions, in order. How many. */
uint32_t tpi_catalog_regions(const struct tpi_catalog_size *size,
			     struct tapio_shm_region *regions);

/* A catalog's checked header and the private copy of its region table. */
struct tpi_view {
	const struct tpi_map *map;
	struct tapio_shm_header header;
	struct tapio_shm_region regions[TAPIO_REGIONS_MAX];
};

int tpi_view_open(struct tpi_view *view, const struct tpi_map *map,
		  const struct tpi_report *report);

/*
 * The records of a region of a known kind, and how many (*count). `least` is
 * how many there must be. *records is NULL when there is no such region and
 * least is 0.
 */
int tpi_view_section(const struct tpi_view *view, uint32_t kind, uint64_t bytes,
		     uint64_t least, void **records, uint64_t *count,
		     const struct tpi_report *report);

/* One class against the layout's limits. The reason goes to the report. */
int tpi_class_check(const struct tapio_shm_class *klass,
		    const struct tpi_report *report);
int tpi_name_check(const char *name, size_t bytes,
		   const struct tpi_report *report, const char *what);

/* Fills in channel->lanes and the tables, from the places in the catalog. */
int tpi_lanes_attach(struct tpi_channel *channel,
		     const struct tapio_shm_place *places,
		     const struct tpi_map *maps,
		     const struct tpi_report *report);

/* Frees them. In a forked child, too. */
void tpi_lanes_detach(struct tpi_channel *channel);

#endif
