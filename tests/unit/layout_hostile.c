/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two properties. Whatever bytes clients have put into a channel's segments and into
 * a slot's memory, attaching yields the same: nothing there says where anything lies.
 * Whatever the catalog says, attaching returns 0 or -errno, and all that it hands
 * out lies inside the mappings. Driven by fills, and by seeded corruption and noise.
 * Segments are exactly as large as needed, so AddressSanitizer sees the first byte
 * outside. layout_once.c covers changes that a peer makes meanwhile.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/memory/layout_inner.h"
#include "tests/unit/layout_fixture.h"
#include "tests/check_main.h"

/* Rounds per seed. The long runs do a hundred times as many. */
static int rounds = 4000;

static struct layout_fixture f;
static struct tpi_map clean_catalog;

/* xorshift64*: the same sequence everywhere. */
static uint64_t seed;

static uint64_t draw(uint64_t limit)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * UINT64_C(0x2545f4914f6cdd1d) % limit;
}

static struct tpi_map copy_of(const struct tpi_map *map)
{
	struct tpi_map copy = fixture_map(map->bytes);

	memcpy(copy.base, map->base, map->bytes);
	return copy;
}

static void setup(void)
{
	layout_fixture_init(&f);
	clean_catalog = copy_of(&f.catalog_map);
}

static void teardown(void)
{
	free(clean_catalog.base);
	layout_fixture_fini(&f);
}

static void restore_catalog(void)
{
	memcpy(f.catalog_map.base, clean_catalog.base, f.catalog_map.bytes);
}

static void fill_with_noise(const struct tpi_map *map, uint64_t from)
{
	for (uint64_t at = from; at + 8 <= map->bytes; at += 8) {
		uint64_t noise = draw(UINT64_MAX);

		memcpy(map->base + at, &noise, 8);
	}
}

/* ---- memory that clients can write ------------------------------------------- */

enum fill {
	ZEROS,
	ONES,
	SIXTY_FOURS,
	A_HEADER,
	NOISE,
	FILLS
};

/* The whole of a segment, from its first byte on. */
static void fill(const struct tpi_map *map, enum fill with)
{
	static const uint64_t word = 64;

	switch (with) {
	case ZEROS:
		memset(map->base, 0, map->bytes);
		break;
	case ONES:
		memset(map->base, 0xff, map->bytes);
		break;
	case SIXTY_FOURS: /* would pass as an offset, a count and a size */
		for (uint64_t at = 0; at < map->bytes; at += sizeof(word))
			memcpy(map->base + at, &word, sizeof(word));
		break;
	case A_HEADER: /* one that is right somewhere else */
		memset(map->base, 0, map->bytes);
		memcpy(map->base, clean_catalog.base,
		       map->bytes < 512 ? map->bytes : 512);
		break;
	default:
		fill_with_noise(map, 0);
	}
}

/* Two attached views of the same mappings are the same to the last byte. */
static void check_same_channel(const struct tpi_channel *a,
			       const struct tpi_channel *b)
{
	size_t entries = (size_t)a->info.class_count * a->cpus;

	ck_assert_mem_eq(&a->info, &b->info, sizeof(a->info));
	ck_assert_ptr_eq(a->doorbells, b->doorbells);
	ck_assert_uint_eq(a->lane_count, b->lane_count);
	ck_assert_mem_eq(a->lanes, b->lanes, a->lane_count * sizeof(*a->lanes));
	ck_assert_uint_eq(a->cpus, b->cpus);
	for (size_t i = 0; i < entries; i++)
		ck_assert_int_eq(a->by_cpu[i] - a->lanes,
				 b->by_cpu[i] - b->lanes);
	ck_assert_mem_eq(a->side_first, b->side_first, sizeof(a->side_first));
	ck_assert_mem_eq(a->side_count, b->side_count, sizeof(a->side_count));
}

START_TEST(no_byte_of_a_channels_segments_changes_what_attaching_yields)
{
	struct tpi_channel before, channel;

	seed = 0x7461 + (uint64_t)_i;
	ck_assert_int_eq(fixture_attach(&f, &before), 0);
	for (int round = 0; round < (_i == NOISE ? 200 : 1); round++) {
		for (int node = 0; node < FIXTURE_NODES; node++)
			fill(&f.maps[node], (enum fill)_i);
		ck_assert_int_eq(fixture_attach(&f, &channel), 0);
		check_same_channel(&before, &channel);
		tpi_channel_detach(&channel);
	}
	tpi_channel_detach(&before);
}
END_TEST

START_TEST(no_byte_of_a_slots_memory_changes_what_attaching_yields)
{
	struct tpi_cursors before, cursors;

	seed = 0xc045 + (uint64_t)_i;
	ck_assert_int_eq(fixture_attach_cursors(&f, &before), 0);
	ck_assert_ptr_nonnull(before.histogram);
	for (int round = 0; round < (_i == NOISE ? 200 : 1); round++) {
		fill(&f.cursors_map, (enum fill)_i);
		ck_assert_int_eq(fixture_attach_cursors(&f, &cursors), 0);
		ck_assert_mem_eq(&before, &cursors, sizeof(before));
	}
}
END_TEST

/* ---- a catalog that is wrong --------------------------------------------------- */

/* Values that are most often one off from being right. */
static uint64_t interesting(uint64_t bytes)
{
	static const uint64_t fixed[] = {0,
					 1,
					 2,
					 3,
					 7,
					 8,
					 63,
					 64,
					 65,
					 127,
					 128,
					 255,
					 256,
					 4095,
					 4096,
					 65535,
					 65536,
					 1048512,
					 0x7fffffff,
					 0x80000000,
					 0xffffffff,
					 UINT64_C(0x100000000),
					 UINT64_C(0x7fffffffffffffff),
					 UINT64_C(0x8000000000000000),
					 UINT64_MAX,
					 UINT64_MAX - 63};
	uint64_t pick = draw(sizeof(fixed) / sizeof(fixed[0]) + 3);

	switch (pick) {
	case 0:
		return bytes - draw(600);
	case 1:
		return bytes + draw(600);
	case 2:
		return draw(bytes);
	default:
		return fixed[pick - 3];
	}
}

/* Changes a few fields between `from` and `to`, of 1, 2, 4 or 8 bytes. */
static void corrupt(const struct tpi_map *map, uint64_t from, uint64_t to)
{
	for (uint64_t n = 1 + draw(3); n; n--) {
		size_t width = (size_t)1 << draw(4);
		uint64_t at = from + draw(to - from) / width * width;
		uint64_t value =
			draw(2) ? interesting(map->bytes) : draw(UINT64_MAX);

		if (at + width <= map->bytes)
			memcpy(map->base + at, &value, width);
	}
}

static bool inside(const void *at, uint64_t bytes)
{
	const unsigned char *p = at;

	for (int i = 0; i < FIXTURE_NODES; i++)
		if (p >= f.maps[i].base && p < f.maps[i].base + f.maps[i].bytes)
			return bytes <=
			       (uint64_t)(f.maps[i].base + f.maps[i].bytes - p);
	return false;
}

static void check_lane(const struct tpi_channel *channel, uint32_t id)
{
	const struct tpi_lane *lane = &channel->lanes[id];
	uint64_t n = (uint64_t)lane->mask + 1;

	ck_assert_uint_eq(lane->id, id);
	ck_assert_uint_eq(n & (n - 1), 0);
	ck_assert_uint_le(n, TAPIO_BLOCKS_MAX);
	ck_assert_uint_eq(lane->block_bytes % 64, 0);
	ck_assert_uint_lt(lane->klass, channel->info.class_count);
	ck_assert(inside(lane->shm, sizeof(*lane->shm)));
	ck_assert(inside(lane->tickets, n * 8));
	ck_assert(inside(lane->desc, n * 8));
	ck_assert(inside(lane->blocks, n * lane->block_bytes));
	if (channel->info.stamp == TAPIO_STAMP_NONE)
		ck_assert_ptr_null(lane->time);
	else
		ck_assert(inside(lane->time, n * 8));
	if (lane->cpu != TAPIO_CPU_SIDE) {
		ck_assert_uint_lt(lane->cpu, channel->cpus);
		ck_assert_ptr_eq(channel->by_cpu[lane->klass * channel->cpus +
						 lane->cpu],
				 lane);
	}
}

/* True when it was accepted, and then all of it holds. */
static bool attach_and_check(void)
{
	struct tpi_channel channel;
	int err = fixture_attach(&f, &channel);

	if (err) {
		ck_assert_int_eq(err, -EBADMSG);
		ck_assert_msg(f.error[0], "%d without a reason", err);
		ck_assert_ptr_null(channel.lanes);
		return false;
	}
	ck_assert(inside(channel.doorbells, sizeof(*channel.doorbells)));
	ck_assert_uint_le(channel.info.first_place + channel.lane_count,
			  f.catalog.place_count);
	for (uint32_t id = 0; id < channel.lane_count; id++)
		check_lane(&channel, id);
	tpi_channel_detach(&channel);
	return true;
}

/* A few bytes of a place, of the channel's record or of both. */
static void corrupt_description(void)
{
	uint64_t record = (uint64_t)((unsigned char *)f.catalog.channels -
				     f.catalog_map.base);
	uint64_t places = (uint64_t)((unsigned char *)f.catalog.places -
				     f.catalog_map.base);
	uint64_t which = draw(4), one;

	if (which == 0 || which == 1)
		corrupt(&f.catalog_map, record,
			record + sizeof(*f.catalog.channels));
	if (which == 1 || which == 2)
		corrupt(&f.catalog_map, places,
			places + f.lane_count * sizeof(*f.catalog.places));
	if (which == 3) {
		one = places + draw(f.lane_count) * sizeof(*f.catalog.places);
		corrupt(&f.catalog_map, one, one + sizeof(*f.catalog.places));
	}
}

START_TEST(a_corrupt_description_never_yields_a_lane_outside)
{
	unsigned int accepted = 0;

	seed = 0xc4a0 + (uint64_t)_i;
	for (int round = 0; round < rounds; round++) {
		corrupt_description();
		accepted += attach_and_check();
		restore_catalog();
	}
	/* Both outcomes were seen, or this showed nothing. */
	ck_assert_uint_gt(accepted, 0);
	ck_assert_uint_lt(accepted, (unsigned int)rounds);
}
END_TEST

static void check_records(const void *records, uint64_t count, uint64_t bytes)
{
	const unsigned char *at = records;

	if (!count)
		return;
	ck_assert(at >= f.catalog_map.base + 128);
	ck_assert(count * bytes <=
		  (uint64_t)(f.catalog_map.base + f.catalog_map.bytes - at));
}

static void check_catalog(void)
{
	struct tpi_catalog c;
	struct tapio_shm_channel copy;
	int err = tpi_catalog_attach(&c, &f.catalog_map, f.error,
				     sizeof(f.error));

	if (err) {
		ck_assert(err == -EBADMSG || err == -EPROTONOSUPPORT);
		ck_assert_ptr_null(c.channels);
		return;
	}
	check_records(c.broker, 1, sizeof(*c.broker));
	check_records(c.attachments, c.attachment_count,
		      sizeof(*c.attachments));
	check_records(c.segments, c.segment_count, sizeof(*c.segments));
	check_records(c.channels, c.channel_count, sizeof(*c.channels));
	check_records(c.groups, (uint64_t)c.channel_count * TAPIO_GROUP_SLOTS,
		      sizeof(*c.groups));
	check_records(c.calibrations, c.calibration_count,
		      sizeof(*c.calibrations));
	check_records(c.places, c.place_count, sizeof(*c.places));
	check_records(c.spans, c.place_count, sizeof(*c.spans));
	check_records(c.counters, c.counter_count, sizeof(*c.counters));
	for (uint32_t i = 0; i < c.channel_count; i++) {
		err = tpi_channel_describe(&c, i, &copy, NULL, 0);
		ck_assert(err == 0 || err == -EBADMSG);
		if (err)
			continue;
		ck_assert_uint_lt(strnlen(copy.name, 64), 64);
		ck_assert_uint_le(copy.first_place + (uint64_t)copy.lane_count,
				  c.place_count);
	}
}

START_TEST(a_corrupt_catalog_never_yields_a_record_outside_it)
{
	uint64_t channels = fixture_region(&f, TAPIO_REGION_CHANNELS)->offset;
	/* the header and the regions */
	uint64_t front = sizeof(struct tapio_shm_header) +
			 fixture_header(&f)->region_count *
				 sizeof(struct tapio_shm_region);

	seed = 0xca7a + (uint64_t)_i;
	for (int round = 0; round < rounds; round++) {
		if (draw(2))
			corrupt(&f.catalog_map, 0, front);
		else
			corrupt(&f.catalog_map, channels,
				channels + sizeof(struct tapio_shm_channel));
		check_catalog();
		restore_catalog();
	}
}
END_TEST

START_TEST(a_corrupt_record_never_yields_cursors_outside)
{
	const unsigned char *base = f.cursors_map.base, *at;
	uint64_t record = (uint64_t)((unsigned char *)f.catalog.channels -
				     f.catalog_map.base);
	struct tpi_cursors cursors;
	unsigned int accepted = 0;

	seed = 0xc0ff + (uint64_t)_i;
	for (int round = 0; round < rounds; round++) {
		/* lines 1 and 2: counts and offsets */
		corrupt(&f.catalog_map, record + 64, record + 192);
		if (!fixture_attach_cursors(&f, &cursors)) {
			accepted++;
			at = (unsigned char *)cursors.control;
			ck_assert(at >= base &&
				  at + 128 <= base + f.cursors_map.bytes);
			at = (unsigned char *)cursors.cursors;
			ck_assert(at >= base &&
				  at < base + f.cursors_map.bytes);
			at = (unsigned char *)cursors.histogram;
			ck_assert(!at || (at >= base &&
					  at + sizeof(*cursors.histogram) <=
						  base + f.cursors_map.bytes));
		}
		restore_catalog();
	}
	ck_assert_uint_gt(accepted, 0);
	ck_assert_uint_lt(accepted, (unsigned int)rounds);
}
END_TEST

START_TEST(a_catalog_of_noise_is_refused)
{
	seed = 0x7015 + (uint64_t)_i;
	for (int round = 0; round < 20; round++) {
		/* so it has a chance to be looked into at all */
		fill_with_noise(&f.catalog_map, 32 + draw(12) * 8);
		fixture_header(&f)->ready = TAPIO_SEGMENT_READY;
		check_catalog();
		restore_catalog();
	}
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("hostile");

	if (getenv("TAPIO_LONG"))
		rounds *= 100;
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(
		tests,
		no_byte_of_a_channels_segments_changes_what_attaching_yields, 0,
		FILLS);
	tcase_add_loop_test(
		tests, no_byte_of_a_slots_memory_changes_what_attaching_yields,
		0, FILLS);
	tcase_add_loop_test(
		tests, a_corrupt_description_never_yields_a_lane_outside, 0, 4);
	tcase_add_loop_test(tests,
			    a_corrupt_catalog_never_yields_a_record_outside_it,
			    0, 2);
	tcase_add_loop_test(
		tests, a_corrupt_record_never_yields_cursors_outside, 0, 2);
	tcase_add_loop_test(tests, a_catalog_of_noise_is_refused, 0, 2);
	return check_run_case("layout hostile", tests);
}
