/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout as it is built: sizes, numbering, alignment, nothing on top of
 * anything else, and what is attached is what was built.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "lib/memory/counters.h"
#include "tests/unit/layout_fixture.h"
#include "tests/check_main.h"

static struct layout_fixture f;

static void setup(void)
{
	layout_fixture_init(&f);
}

static void teardown(void)
{
	layout_fixture_fini(&f);
}

/* ---- sizes ---------------------------------------------------------------- */

static struct tpi_channel_spec one_class(uint32_t count, uint32_t bytes)
{
	struct tpi_channel_spec spec = {
		.name = "bulk",
		.class_count = 1,
		.classes = {{.name = "small",
			     .block_bytes = bytes,
			     .block_count = count}},
	};

	return spec;
}

static uint64_t whole_channel(const struct tpi_channel_spec *spec,
			      uint32_t cpus, uint32_t nodes)
{
	struct tpi_topology topology;
	uint64_t total = 0;

	ck_assert_int_eq(tpi_topology_simulate(&topology, cpus, nodes), 0);
	ck_assert_uint_eq(tpi_channel_lane_count(spec, &topology),
			  spec->class_count * cpus);
	for (uint32_t i = 0; i < nodes; i++)
		total += tpi_channel_bytes(spec, &topology, i);
	tpi_topology_free(&topology);
	return total;
}

/*
 * 256 CPUs, 4096 blocks of 256 bytes: 264 MiB of blocks and descriptors, 8 MiB of
 * tickets, and 1 % of that at most for everything else.
 */
START_TEST(lanes_are_packed_so_256_cpus_cost_what_the_design_says)
{
	struct tpi_channel_spec spec = one_class(4096, 256);
	const uint64_t mib = 1 << 20;
	uint64_t total = whole_channel(&spec, 256, 8);

	ck_assert_uint_eq(256ULL * 4096 * (256 + 8), 264 * mib);
	/* doorbells 4416, lanes 256 each */
	ck_assert_uint_eq(total, 272 * mib + 8 * 4416 + 256 * 256);
	/* 512 CPUs: twice the lanes, the same eight nodes. */
	ck_assert_uint_eq(whole_channel(&spec, 512, 8), 2 * total - 8 * 4416);
}
END_TEST

START_TEST(stamps_cost_eight_bytes_a_block_and_only_where_wanted)
{
	struct tpi_channel_spec spec = one_class(4096, 256);
	uint64_t without = whole_channel(&spec, 256, 8);

	spec.stamp = TAPIO_STAMP_TSC;
	ck_assert_uint_eq(whole_channel(&spec, 256, 8) - without,
			  256ULL * 4096 * 8);
}
END_TEST

START_TEST(no_sum_overflows_on_the_largest_machine)
{
	struct tpi_channel_spec spec = {.name = "max",
					.class_count = TAPIO_CLASSES_MAX};
	const struct tpi_catalog_size size = {TAPIO_CLIENTS_MAX, UINT32_MAX,
					      UINT32_MAX, UINT32_MAX};
	struct tpi_topology topology;
	unsigned __int128 wanted;
	const uint64_t lane = (uint64_t)TAPIO_BLOCKS_MAX *
			      (TAPIO_BLOCK_BYTES_MAX + 8 + 8 + 8);

	for (int k = 0; k < TAPIO_CLASSES_MAX; k++) {
		spec.classes[k] = (struct tapio_shm_class){
			.block_bytes = TAPIO_BLOCK_BYTES_MAX,
			.block_count = TAPIO_BLOCKS_MAX,
			.side_count = TAPIO_BLOCKS_MAX,
			.side_lanes = TAPIO_CLIENTS_MAX};
		snprintf(spec.classes[k].name, 16, "class%d", k);
	}
	spec.stamp = TAPIO_STAMP_CLOCK;
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), 0);
	ck_assert_int_eq(tpi_topology_simulate(&topology, TPI_CPUS_MAX, 1), 0);
	wanted = (unsigned __int128)8 * (TPI_CPUS_MAX + TAPIO_CLIENTS_MAX) *
			 (lane + 256) +
		 4416;
	ck_assert(tpi_channel_bytes(&spec, &topology, 0) == wanted);
	ck_assert_uint_eq(tpi_channel_lane_count(&spec, &topology),
			  8 * (TPI_CPUS_MAX + TAPIO_CLIENTS_MAX));
	ck_assert_uint_eq(tpi_cursors_bytes(UINT32_MAX),
			  128 + 256ULL * UINT32_MAX +
				  sizeof(struct tapio_shm_histogram));
	ck_assert_uint_gt(tpi_catalog_bytes(&size),
			  (uint64_t)UINT32_MAX * (128 + 576 + 64 * 128 + 64));
	tpi_topology_free(&topology);
}
END_TEST

/* ---- numbering and contents ------------------------------------------------ */

START_TEST(lane_ids_run_by_node_class_and_cpu_then_side_lanes)
{
	/* 4 CPUs on 2 nodes. 2 classes with 1 and 3 side lanes. */
	static const struct {
		uint32_t klass, cpu;
	} wanted[] = {
		{0, 0},
		{0, 1},
		{1, 0},
		{1, 1},
		{0, 2},
		{0, 3},
		{1, 2},
		{1, 3},
		{0, TAPIO_CPU_SIDE},
		{1, TAPIO_CPU_SIDE},
		{1, TAPIO_CPU_SIDE},
		{1, TAPIO_CPU_SIDE},
	};
	struct tpi_channel channel;

	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	ck_assert_uint_eq(channel.lane_count, 12);
	for (uint32_t i = 0; i < 12; i++) {
		ck_assert_uint_eq(channel.lanes[i].id, i);
		ck_assert_uint_eq(channel.lanes[i].klass, wanted[i].klass);
		ck_assert_uint_eq(channel.lanes[i].cpu, wanted[i].cpu);
	}
	ck_assert_uint_eq(channel.cpus, 4);
	for (uint32_t k = 0; k < 2; k++)
		for (uint32_t cpu = 0; cpu < 4; cpu++) {
			struct tpi_lane *lane = channel.by_cpu[k * 4 + cpu];

			ck_assert_uint_eq(lane->klass, k);
			ck_assert_uint_eq(lane->cpu, cpu);
		}
	ck_assert_uint_eq(channel.side_first[0], 8);
	ck_assert_uint_eq(channel.side_count[0], 1);
	ck_assert_uint_eq(channel.side_first[1], 9);
	ck_assert_uint_eq(channel.side_count[1], 3);
	tpi_channel_detach(&channel);
	ck_assert_ptr_null(channel.lanes);
}
END_TEST

START_TEST(an_absent_cpu_has_no_lane_and_a_later_one_keeps_its_id)
{
	struct tpi_topology gap;
	struct tpi_map maps[1];
	struct tpi_channel channel;

	ck_assert_int_eq(tpi_topology_simulate(&gap, 4, 1), 0);
	gap.node_of_cpu[1] = TPI_CPU_ABSENT;
	maps[0] = fixture_map(tpi_channel_bytes(&f.spec, &gap, 0));
	/* One that is there is not written. */
	ck_assert_int_eq(tpi_channel_publish(&f.catalog, 0, 0, &f.spec, &gap),
			 -EBUSY);
	tpi_channel_hide(&f.catalog, 0);
	ck_assert_int_eq(tpi_channel_publish(&f.catalog, 0, 0, &f.spec, &gap),
			 0);
	ck_assert_int_eq(tpi_channel_build(&maps[0], &f.catalog, 0, 0), 0);
	ck_assert_int_eq(tpi_channel_attach(&channel, &f.catalog, 0, maps, 1,
					    f.error, sizeof(f.error)),
			 0);
	ck_assert_uint_eq(channel.lane_count, 2 * 3 + 4);
	ck_assert_uint_eq(channel.cpus, 4);
	ck_assert_ptr_nonnull(channel.by_cpu[0]);
	ck_assert_ptr_null(channel.by_cpu[1]);
	ck_assert_uint_eq(channel.by_cpu[3]->cpu, 3);
	tpi_channel_detach(&channel);
	free(maps[0].base);
	tpi_topology_free(&gap);
}
END_TEST

START_TEST(a_lane_is_born_full_of_free_blocks_each_once)
{
	struct tpi_channel channel;

	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	for (uint32_t i = 0; i < channel.lane_count; i++) {
		struct tpi_lane *lane = &channel.lanes[i];
		uint32_t n = lane->mask + 1;

		ck_assert_uint_eq(lane->shm->state, TAPIO_STATE(n, 0));
		ck_assert_uint_eq(lane->shm->gate, n);
		ck_assert_uint_eq(tpi_lane_reap(lane, lane->shm->state), 0);
		for (uint32_t b = 0; b < n; b++) {
			ck_assert_uint_eq(lane->desc[b], b);
			ck_assert_uint_eq(TAPIO_DESC_TYPE(lane->desc[b]),
					  TAPIO_TYPE_DISCARD);
			ck_assert_uint_eq(lane->tickets[b], TAPIO_NOBODY);
			ck_assert_uint_eq(lane->time[b], 0);
		}
	}
	tpi_channel_detach(&channel);
}
END_TEST

struct range {
	const unsigned char *at;
	uint64_t bytes;
	const char *what;
};

static int by_address(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static void add(struct range *ranges, size_t *n, const void *at, uint64_t bytes,
		const char *what)
{
	ranges[(*n)++] = (struct range){at, bytes, what};
}

static void add_lane(struct range *ranges, size_t *n,
		     const struct tpi_lane *lane)
{
	uint64_t blocks = lane->mask + 1;

	add(ranges, n, lane->shm, sizeof(*lane->shm), "lane");
	add(ranges, n, lane->tickets, blocks * 8, "tickets");
	add(ranges, n, lane->desc, blocks * 8, "descriptors");
	add(ranges, n, lane->time, blocks * 8, "times");
	add(ranges, n, lane->blocks, blocks * lane->block_bytes, "blocks");
}

static bool inside(const struct tpi_map *map, const void *at)
{
	return (const unsigned char *)at >= map->base &&
	       (const unsigned char *)at < map->base + map->bytes;
}

/* The parts of one segment. The last byte of all is in the last line. */
static void check_apart(const struct tpi_map *map, struct range *r, size_t n)
{
	const unsigned char *end = map->base + map->bytes, *last;

	qsort(r, n, sizeof(r[0]), by_address);
	ck_assert_ptr_eq(r[0].at, map->base);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq((uintptr_t)r[i].at % TAPIO_CACHE_LINE, 0);
		if (i + 1 < n)
			ck_assert_msg(r[i].at + r[i].bytes <= r[i + 1].at,
				      "%s runs into %s", r[i].what,
				      r[i + 1].what);
	}
	last = r[n - 1].at + r[n - 1].bytes;
	ck_assert(last <= end && last + TAPIO_CACHE_LINE > end);
}

START_TEST(nothing_lies_on_top_of_anything_and_lines_are_not_shared)
{
	struct tpi_channel channel;
	struct range r[128];
	size_t n = 0;

	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	/* Every node's segment has room for them, node 0's are used. */
	ck_assert_ptr_eq(channel.doorbells, f.maps[0].base);
	add(r, &n, f.maps[_i].base, sizeof(*channel.doorbells), "doorbells");
	for (uint32_t i = 0; i < channel.lane_count; i++)
		if (inside(&f.maps[_i], channel.lanes[i].shm))
			add_lane(r, &n, &channel.lanes[i]);
	check_apart(&f.maps[_i], r, n);
	tpi_channel_detach(&channel);
}
END_TEST

START_TEST(nothing_in_a_slots_memory_lies_on_top_of_anything)
{
	struct tpi_cursors cursors;
	struct range r[3];
	size_t n = 0;

	ck_assert_int_eq(fixture_attach_cursors(&f, &cursors), 0);
	add(r, &n, cursors.control, sizeof(*cursors.control), "control");
	add(r, &n, cursors.cursors, f.lane_count * sizeof(*cursors.cursors),
	    "cursors");
	add(r, &n, cursors.histogram, sizeof(*cursors.histogram), "histogram");
	check_apart(&f.cursors_map, r, n);
}
END_TEST

START_TEST(nothing_in_the_catalog_lies_on_top_of_anything)
{
	const struct tpi_catalog *c = &f.catalog;
	struct range r[10];
	size_t n = 0;

	add(r, &n, c->map.base,
	    sizeof(struct tapio_shm_header) +
		    fixture_header(&f)->region_count *
			    sizeof(struct tapio_shm_region),
	    "header and regions");
	add(r, &n, c->broker, sizeof(*c->broker), "broker");
	add(r, &n, c->attachments, 11 * sizeof(*c->attachments), "attachments");
	add(r, &n, c->segments, 3 * sizeof(*c->segments), "segments");
	add(r, &n, c->channels, sizeof(*c->channels), "channels");
	add(r, &n, c->groups, TAPIO_GROUP_SLOTS * sizeof(*c->groups), "groups");
	add(r, &n, c->calibrations,
	    TAPIO_CALIBRATIONS * sizeof(*c->calibrations), "calibrations");
	add(r, &n, c->places, f.lane_count * sizeof(*c->places), "places");
	add(r, &n, c->spans, f.lane_count * sizeof(*c->spans), "spans");
	add(r, &n, c->counters, TPI_COUNTERS * sizeof(*c->counters),
	    "counters");
	check_apart(&f.catalog_map, r, n);
}
END_TEST

START_TEST(the_header_says_what_the_catalog_is)
{
	struct tapio_shm_header *header = fixture_header(&f);

	ck_assert_uint_eq(header->magic, TAPIO_SEGMENT_MAGIC);
	ck_assert_uint_eq(header->abi_major, TAPIO_ABI_MAJOR);
	ck_assert_uint_eq(header->abi_minor, TAPIO_ABI_MINOR);
	ck_assert_uint_eq(header->length_bytes, f.catalog_map.bytes);
	ck_assert_uint_eq(header->ready, TAPIO_SEGMENT_READY);
	ck_assert_mem_eq(header->instance, fixture_instance, 16);
}
END_TEST

/* Each name once, each word once, and each word is the one of its struct. */
START_TEST(a_catalog_says_what_its_counters_mean)
{
	const struct tapio_shm_counter *c = f.catalog.counters;
	const char *const names[] = {"hellos", "reload_refusals", "full",
				     "no_lane"};
	const uint32_t at[] = {0, TAPIO_BROKER_COUNTER_COUNT - 1,
			       TAPIO_BROKER_COUNTER_COUNT, TPI_COUNTERS - 1};
	const uint32_t offsets[] = {248, 344, 128, 160};

	ck_assert_uint_eq(f.catalog.counter_count, TPI_COUNTERS);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_str_eq(c[at[i]].name, names[i]);
		ck_assert_uint_eq(c[at[i]].offset, offsets[i]);
	}
	for (uint32_t i = 0; i < TPI_COUNTERS; i++) {
		ck_assert(tpi_counter_sane(c[i].of, c[i].offset, c[i].type));
		ck_assert(*c[i].unit && *c[i].meaning && *c[i].cause &&
			  *c[i].remedy);
		for (uint32_t j = 0; j < i; j++) {
			ck_assert_str_ne(c[j].name, c[i].name);
			ck_assert(c[j].of != c[i].of ||
				  c[j].offset != c[i].offset);
		}
	}
	ck_assert(!tpi_counter_sane(TAPIO_COUNTER_OF_BROKER, 252,
				    TAPIO_COUNTED_COUNTER));
	ck_assert(!tpi_counter_sane(TAPIO_COUNTER_OF_BROKER, 448,
				    TAPIO_COUNTED_COUNTER));
	ck_assert(!tpi_counter_sane(TAPIO_COUNTER_OF_LANE, 256,
				    TAPIO_COUNTED_COUNTER));
	ck_assert(!tpi_counter_sane(3, 0, TAPIO_COUNTED_COUNTER));
	ck_assert(!tpi_counter_sane(TAPIO_COUNTER_OF_LANE, 0, 3));
}
END_TEST

START_TEST(a_place_says_in_which_segment_and_on_which_node_a_lane_is)
{
	struct tpi_channel channel;

	f.topology.node_id[0] = 3;
	f.topology.node_id[1] = 7;
	fixture_publish(&f);
	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	for (uint32_t id = 0; id < f.lane_count; id++) {
		const struct tapio_shm_place *place = &f.catalog.places[id];

		ck_assert_uint_lt(place->segment, FIXTURE_NODES);
		ck_assert_uint_eq(place->node, place->segment ? 7 : 3);
		ck_assert_uint_eq(place->segment,
				  place->cpu == TAPIO_CPU_SIDE
					  ? 0
					  : f.topology.node_of_cpu[place->cpu]);
		ck_assert(
			inside(&f.maps[place->segment], channel.lanes[id].shm));
	}
	tpi_channel_detach(&channel);
}
END_TEST

/* As large as its pages: the rest is not used, and does not disturb. */
START_TEST(a_mapping_may_be_larger_than_needed)
{
	struct tpi_catalog_size size = fixture_size(f.lane_count);
	uint64_t bytes = f.maps[0].bytes;
	struct tpi_map catalog_map =
		fixture_map(tpi_catalog_bytes(&size) + 4096);
	struct tpi_channel channel;
	struct tpi_catalog catalog;

	ck_assert_int_eq(
		tpi_catalog_build(&catalog_map, &size, fixture_instance), 0);
	ck_assert_int_eq(tpi_catalog_attach(&catalog, &catalog_map, f.error,
					    sizeof(f.error)),
			 0);
	free(catalog_map.base);
	free(f.maps[0].base);
	f.maps[0] = fixture_map(bytes + 4096);
	ck_assert_int_eq(tpi_channel_build(&f.maps[0], &f.catalog, 0, 0), 0);
	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	tpi_channel_detach(&channel);
}
END_TEST

START_TEST(builders_refuse_what_does_not_fit_or_cannot_be_written)
{
	const uint8_t *id = fixture_instance;
	struct tpi_catalog_size size = fixture_size(f.lane_count);
	struct tpi_channel_spec bad = f.spec;

	for (uint32_t node = 0; node < FIXTURE_NODES; node++) {
		struct tpi_map map = f.maps[node];

		map.bytes -= 64;
		ck_assert_int_eq(tpi_channel_build(&map, &f.catalog, 0, node),
				 -ENOSPC);
		map = f.maps[node];
		map.writable = false;
		ck_assert_int_eq(tpi_channel_build(&map, &f.catalog, 0, node),
				 -EACCES);
	}
	ck_assert_int_eq(tpi_channel_build(&f.maps[0], &f.catalog, 0, 2),
			 -EINVAL);
	ck_assert_int_eq(tpi_channel_build(&f.maps[0], &f.catalog, 1, 0),
			 -EINVAL);
	size.lanes++;
	ck_assert_int_eq(tpi_catalog_build(&f.catalog_map, &size, id), -ENOSPC);
	size = fixture_size(f.lane_count);
	size.clients_max = 0;
	ck_assert_int_eq(tpi_catalog_build(&f.catalog_map, &size, id), -EINVAL);
	size.clients_max = TAPIO_CLIENTS_MAX + 1;
	ck_assert_int_eq(tpi_catalog_build(&f.catalog_map, &size, id), -EINVAL);
	bad.classes[0].block_count = 5;
	ck_assert_int_eq(
		tpi_channel_publish(&f.catalog, 0, 0, &bad, &f.topology),
		-EINVAL);
	ck_assert_int_eq(
		tpi_channel_publish(&f.catalog, 1, 0, &f.spec, &f.topology),
		-EINVAL);
}
END_TEST

START_TEST(places_beyond_the_catalogs_are_not_written)
{
	struct tapio_shm_channel before = f.catalog.channels[0];

	/* The region ends where the mapping ends: AddressSanitizer sees it. */
	ck_assert_int_eq(
		tpi_channel_publish(&f.catalog, 0, 1, &f.spec, &f.topology),
		-EINVAL);
	ck_assert_int_eq(tpi_channel_publish(&f.catalog, 0, UINT32_MAX, &f.spec,
					     &f.topology),
			 -EINVAL);
	ck_assert_mem_eq(&before, &f.catalog.channels[0], sizeof(before));
}
END_TEST

START_TEST(the_catalog_is_what_was_built)
{
	const struct tpi_catalog *c = &f.catalog;
	struct tapio_shm_channel copy;

	ck_assert_mem_eq(c->instance, fixture_instance, 16);
	/* indices 0, which is never given, to 10 */
	ck_assert_uint_eq(c->attachment_count, 11);
	ck_assert_uint_eq(c->segment_count, 3);
	ck_assert_uint_eq(c->channel_count, 1);
	ck_assert_uint_eq(c->place_count, 12);
	ck_assert((const void *)((unsigned char *)(c->groups +
						   TAPIO_GROUP_SLOTS)) <=
		  (const void *)(c->map.base + c->map.bytes));
	ck_assert_int_eq(
		tpi_channel_describe(c, 0, &copy, f.error, sizeof(f.error)), 0);
	ck_assert_str_eq(copy.name, "events");
	ck_assert_uint_eq(copy.lane_count, 12);
	ck_assert_uint_eq(copy.segment_count, 2);
	ck_assert_uint_eq(copy.stamp, TAPIO_STAMP_TSC);
	ck_assert_uint_eq(copy.wait_ns, 1000);
	ck_assert_mem_eq(copy.classes, f.spec.classes,
			 2 * sizeof(copy.classes[0]));
}
END_TEST

START_TEST(a_channel_without_stamps_has_no_times)
{
	struct layout_fixture *g = &f;
	struct tpi_channel channel;

	g->spec.stamp = TAPIO_STAMP_NONE;
	fixture_publish(g);
	ck_assert_int_eq(fixture_attach(g, &channel), 0);
	for (uint32_t i = 0; i < channel.lane_count; i++)
		ck_assert_ptr_null(channel.lanes[i].time);
	tpi_channel_detach(&channel);
}
END_TEST

/* A mapping that kills a process that writes to it. */
static struct tpi_map frozen_copy(const struct tpi_map *from)
{
	struct tpi_map map = {.bytes = from->bytes};

	map.base = mmap(NULL, from->bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(map.base, MAP_FAILED);
	memcpy(map.base, from->base, from->bytes);
	ck_assert_int_eq(mprotect(map.base, map.bytes, PROT_READ), 0);
	return map;
}

START_TEST(attaching_never_writes)
{
	struct tpi_map maps[FIXTURE_NODES], catalog_map, cursors_map;
	struct tpi_catalog catalog;
	struct tpi_channel channel;
	struct tpi_cursors cursors;

	catalog_map = frozen_copy(&f.catalog_map);
	cursors_map = frozen_copy(&f.cursors_map);
	for (uint32_t i = 0; i < FIXTURE_NODES; i++)
		maps[i] = frozen_copy(&f.maps[i]);
	ck_assert_int_eq(tpi_catalog_attach(&catalog, &catalog_map, f.error,
					    sizeof(f.error)),
			 0);
	ck_assert_int_eq(tpi_channel_attach(&channel, &catalog, 0, maps, 2,
					    f.error, sizeof(f.error)),
			 0);
	ck_assert_int_eq(tpi_cursors_attach(&cursors, &cursors_map,
					    &channel.info, FIXTURE_SLOT,
					    f.error, sizeof(f.error)),
			 0);
	tpi_channel_detach(&channel);
	munmap(catalog_map.base, catalog_map.bytes);
	munmap(cursors_map.base, cursors_map.bytes);
	for (uint32_t i = 0; i < FIXTURE_NODES; i++)
		munmap(maps[i].base, maps[i].bytes);
}
END_TEST

START_TEST(an_offset_is_an_address_only_inside_the_mapping_and_aligned)
{
	unsigned char memory[256] __attribute__((aligned(64)));
	struct tpi_map map = {.base = memory, .bytes = sizeof(memory)};
	struct tpi_map none = {0};

	ck_assert_ptr_eq(tpi_offset(&map, 0, 256, 64), memory);
	ck_assert_ptr_eq(tpi_offset(&map, 192, 64, 64), memory + 192);
	ck_assert_ptr_eq(tpi_offset(&map, 256, 0, 64), memory + 256);
	ck_assert_ptr_null(tpi_offset(&map, 0, 257, 1));
	ck_assert_ptr_null(tpi_offset(&map, 193, 64, 1));
	ck_assert_ptr_null(tpi_offset(&map, 257, 0, 1));
	ck_assert_ptr_null(tpi_offset(&map, 8, 8, 16));
	ck_assert_ptr_null(tpi_offset(&map, UINT64_MAX, 2, 1));
	ck_assert_ptr_null(tpi_offset(&map, 2, UINT64_MAX, 1));
	ck_assert_ptr_null(tpi_offset(&map, UINT64_MAX, UINT64_MAX, 1));
	ck_assert_ptr_null(tpi_offset(&none, 0, 0, 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("layout");
	TCase *sizes = tcase_create("sizes");
	TCase *built = tcase_create("built");

	tcase_add_test(sizes,
		       lanes_are_packed_so_256_cpus_cost_what_the_design_says);
	tcase_add_test(sizes,
		       stamps_cost_eight_bytes_a_block_and_only_where_wanted);
	tcase_add_test(sizes, no_sum_overflows_on_the_largest_machine);
	tcase_add_test(
		sizes,
		an_offset_is_an_address_only_inside_the_mapping_and_aligned);
	suite_add_tcase(suite, sizes);
	tcase_add_checked_fixture(built, setup, teardown);
	tcase_add_test(built,
		       lane_ids_run_by_node_class_and_cpu_then_side_lanes);
	tcase_add_test(built,
		       an_absent_cpu_has_no_lane_and_a_later_one_keeps_its_id);
	tcase_add_test(built, a_lane_is_born_full_of_free_blocks_each_once);
	tcase_add_loop_test(
		built, nothing_lies_on_top_of_anything_and_lines_are_not_shared,
		0, FIXTURE_NODES);
	tcase_add_test(built,
		       nothing_in_a_slots_memory_lies_on_top_of_anything);
	tcase_add_test(built, nothing_in_the_catalog_lies_on_top_of_anything);
	tcase_add_test(built, the_header_says_what_the_catalog_is);
	tcase_add_test(built, a_catalog_says_what_its_counters_mean);
	tcase_add_test(
		built,
		a_place_says_in_which_segment_and_on_which_node_a_lane_is);
	tcase_add_test(built, a_mapping_may_be_larger_than_needed);
	tcase_add_test(built,
		       builders_refuse_what_does_not_fit_or_cannot_be_written);
	tcase_add_test(built, places_beyond_the_catalogs_are_not_written);
	tcase_add_test(built, the_catalog_is_what_was_built);
	tcase_add_test(built, a_channel_without_stamps_has_no_times);
	tcase_add_test(built, attaching_never_writes);
	suite_add_tcase(suite, built);
	return check_run(suite);
}
