/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog with one channel in plain memory, exactly as large as computed, so
 * that AddressSanitizer sees the first byte too many. Two classes, stamps, side
 * lanes, two simulated nodes: one of each thing that an offset can point to.
 */
#ifndef TAPIO_TESTS_LAYOUT_FIXTURE_H
#define TAPIO_TESTS_LAYOUT_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "lib/memory/layout.h"
#include "tests/check_main.h"

#define FIXTURE_NODES 2
#define FIXTURE_SLOT  5

struct layout_fixture {
	struct tpi_topology topology;
	struct tpi_channel_spec spec;
	uint32_t lane_count;
	struct tpi_map catalog_map;
	struct tpi_map maps[FIXTURE_NODES];
	struct tpi_map cursors_map;
	struct tpi_catalog catalog;
	char error[512];
};

static const uint8_t fixture_instance[16] = {
	0xa1, 0xb2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static inline struct tpi_channel_spec fixture_spec(void)
{
	struct tpi_channel_spec spec = {
		.name = "events",
		.class_count = 2,
		.full_policy = TAPIO_FULL_WAIT,
		.wait_ns = 1000,
		.stamp = TAPIO_STAMP_TSC,
		.classes = {{.name = "critical",
			     .block_bytes = 128,
			     .block_count = 4,
			     .side_count = 4,
			     .side_lanes = 1,
			     .priority = 1},
			    {.name = "small",
			     .block_bytes = 64,
			     .block_count = 8,
			     .side_count = 4,
			     .side_lanes = 3}},
	};

	return spec;
}

static inline struct tpi_map fixture_map(uint64_t bytes)
{
	struct tpi_map map = {.bytes = bytes, .writable = true};

	/* Every size that the layout computes is a multiple of a line. */
	ck_assert_uint_eq(bytes % TAPIO_CACHE_LINE, 0);
	map.base = aligned_alloc(TAPIO_CACHE_LINE, bytes);
	ck_assert_ptr_nonnull(map.base);
	memset(map.base, 0, bytes);
	return map;
}

/* The catalog of the fixture: records of 10 clients, 3 segments, one channel. */
static inline struct tpi_catalog_size fixture_size(uint32_t lanes)
{
	return (struct tpi_catalog_size){.clients_max = 10,
					 .segments = 3,
					 .channels = 1,
					 .lanes = lanes};
}

/* The channel's record, its places, and fresh segments by them. */
static inline void fixture_publish(struct layout_fixture *f)
{
	tpi_channel_hide(&f->catalog, 0);
	ck_assert_int_eq(
		tpi_channel_publish(&f->catalog, 0, 0, &f->spec, &f->topology),
		0);
	for (uint32_t i = 0; i < FIXTURE_NODES; i++) {
		memset(f->maps[i].base, 0, f->maps[i].bytes);
		ck_assert_int_eq(
			tpi_channel_build(&f->maps[i], &f->catalog, 0, i), 0);
	}
}

static inline void layout_fixture_init(struct layout_fixture *f)
{
	struct tpi_catalog_size size;

	memset(f, 0, sizeof(*f));
	f->spec = fixture_spec();
	ck_assert_int_eq(tpi_topology_simulate(&f->topology, 4, FIXTURE_NODES),
			 0);
	f->lane_count = tpi_channel_lane_count(&f->spec, &f->topology);
	size = fixture_size(f->lane_count);
	f->catalog_map = fixture_map(tpi_catalog_bytes(&size));
	ck_assert_int_eq(
		tpi_catalog_build(&f->catalog_map, &size, fixture_instance), 0);
	ck_assert_int_eq(tpi_catalog_attach(&f->catalog, &f->catalog_map,
					    f->error, sizeof(f->error)),
			 0);
	for (uint32_t i = 0; i < FIXTURE_NODES; i++)
		f->maps[i] = fixture_map(
			tpi_channel_bytes(&f->spec, &f->topology, i));
	fixture_publish(f);
	f->cursors_map = fixture_map(tpi_cursors_bytes(f->lane_count));
}

static inline void layout_fixture_fini(struct layout_fixture *f)
{
	free(f->catalog_map.base);
	for (uint32_t i = 0; i < FIXTURE_NODES; i++)
		free(f->maps[i].base);
	free(f->cursors_map.base);
	tpi_topology_free(&f->topology);
}

static inline int fixture_attach(struct layout_fixture *f,
				 struct tpi_channel *channel)
{
	f->error[0] = '\0';
	return tpi_channel_attach(channel, &f->catalog, 0, f->maps,
				  FIXTURE_NODES, f->error, sizeof(f->error));
}

/* As a client does it: by a checked copy of the channel's record. */
static inline int fixture_attach_cursors(struct layout_fixture *f,
					 struct tpi_cursors *cursors)
{
	struct tapio_shm_channel info;
	int err;

	f->error[0] = '\0';
	memset(cursors, 0, sizeof(*cursors));
	err = tpi_channel_describe(&f->catalog, 0, &info, f->error,
				   sizeof(f->error));
	if (err)
		return err;
	return tpi_cursors_attach(cursors, &f->cursors_map, &info, FIXTURE_SLOT,
				  f->error, sizeof(f->error));
}

static inline int fixture_attach_catalog(struct layout_fixture *f)
{
	struct tpi_catalog catalog;

	f->error[0] = '\0';
	return tpi_catalog_attach(&catalog, &f->catalog_map, f->error,
				  sizeof(f->error));
}

static inline struct tapio_shm_header *
fixture_header(const struct layout_fixture *f)
{
	return (void *)f->catalog_map.base;
}

static inline struct tapio_shm_region *
fixture_region(const struct layout_fixture *f, uint32_t kind)
{
	struct tapio_shm_header *header = fixture_header(f);
	struct tapio_shm_region *s =
		(void *)(f->catalog_map.base + header->region_offset);

	for (uint32_t i = 0; i < header->region_count; i++)
		if (s[i].kind == kind)
			return &s[i];
	ck_abort_msg("no region of kind %u", kind);
	return NULL;
}

#endif
