/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: whatever bytes a peer has put into a segment, attaching returns 0 or
 * -errno, and every lane that it hands out lies inside the mapping. Driven by
 * seeded corruption of built segments and by segments of noise. They are exactly
 * as large as needed, so AddressSanitizer sees the first byte outside.
 * layout_once.c covers changes that a peer makes meanwhile.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/memory/layout_inner.h"
#include "tests/unit/layout_fixture.h"
#include "tests/check_main.h"

/* Rounds per seed. The long runs do a hundred times as many. */
static int rounds = 4000;

static struct layout_fixture f;
static struct tpi_map clean[FIXTURE_NODES], clean_catalog, clean_cursors;

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
	clean_cursors = copy_of(&f.cursors_map);
	for (int i = 0; i < FIXTURE_NODES; i++)
		clean[i] = copy_of(&f.maps[i]);
}

static void teardown(void)
{
	free(clean_catalog.base);
	free(clean_cursors.base);
	for (int i = 0; i < FIXTURE_NODES; i++)
		free(clean[i].base);
	layout_fixture_fini(&f);
}

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
	ck_assert_ptr_nonnull(lane->time);
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
		ck_assert(err == -EBADMSG || err == -EPROTONOSUPPORT);
		ck_assert_msg(f.error[0], "%d without a reason", err);
		ck_assert_ptr_null(channel.lanes);
		return false;
	}
	ck_assert(inside(channel.doorbells, sizeof(*channel.doorbells)));
	ck_assert_uint_eq(channel.lane_count, f.lane_count);
	for (uint32_t id = 0; id < channel.lane_count; id++)
		check_lane(&channel, id);
	tpi_channel_detach(&channel);
	return true;
}

START_TEST(a_corrupt_channel_segment_never_yields_a_lane_outside_it)
{
	unsigned int accepted = 0;
	struct tpi_map *map;
	uint64_t end;

	seed = 0x7461 + (uint64_t)_i;
	for (int round = 0; round < rounds; round++) {
		int node = (int)draw(FIXTURE_NODES);

		map = &f.maps[node];
		end = fixture_region(&clean[node], TAPIO_REGION_LANES)->offset;
		/* header and regions, or one lane's geometry */
		if (draw(2)) {
			corrupt(map, 0, 192);
		} else {
			end += 256 * draw(fixture_region(&clean[node],
							 TAPIO_REGION_LANES)
						  ->count);
			corrupt(map, end + 192, end + 256);
		}
		accepted += attach_and_check();
		memcpy(map->base, clean[node].base, map->bytes);
	}
	/* Both outcomes were seen, or this showed nothing. */
	ck_assert_uint_gt(accepted, 0);
	ck_assert_uint_lt(accepted, (unsigned int)rounds);
}
END_TEST

static void check_catalog(void)
{
	struct tpi_catalog c;
	struct tapio_shm_channel copy;
	int err = tpi_catalog_attach(&c, &f.catalog_map, f.error,
				     sizeof(f.error));
	const unsigned char *end = f.catalog_map.base + f.catalog_map.bytes;

	if (err) {
		ck_assert(err == -EBADMSG || err == -EPROTONOSUPPORT);
		ck_assert_ptr_null(c.channels);
		return;
	}
	ck_assert((const void *)((unsigned char *)(c.broker + 1)) <=
		  (const void *)(end));
	ck_assert((const void *)((unsigned char *)(c.attachments +
						   c.attachment_count)) <=
		  (const void *)(end));
	if (c.segment_count)
		ck_assert((const void *)((unsigned char *)(c.segments +
							   c.segment_count)) <=
			  (const void *)(end));
	for (uint32_t i = 0; i < c.channel_count; i++) {
		ck_assert(
			(const void *)((unsigned char *)(c.channels + i + 1)) <=
			(const void *)(end));
		ck_assert((const void *)((
				  unsigned char *)(c.groups +
						   (i +
						    1) * TAPIO_GROUP_SLOTS)) <=
			  (const void *)(end));
		err = tpi_channel_describe(&c, i, &copy, NULL, 0);
		ck_assert(err == 0 || err == -EBADMSG);
		if (!err)
			ck_assert_uint_lt(strnlen(copy.name, 64), 64);
	}
}

START_TEST(a_corrupt_catalog_never_yields_a_record_outside_it)
{
	uint64_t channels =
		fixture_region(&clean_catalog, TAPIO_REGION_CHANNELS)->offset;

	seed = 0xca7a + (uint64_t)_i;
	for (int round = 0; round < rounds; round++) {
		if (draw(2))
			corrupt(&f.catalog_map, 0, 288);
		else
			corrupt(&f.catalog_map, channels,
				channels + sizeof(struct tapio_shm_channel));
		check_catalog();
		memcpy(f.catalog_map.base, clean_catalog.base,
		       f.catalog_map.bytes);
	}
}
END_TEST

START_TEST(a_channel_record_of_noise_never_yields_a_lane_outside)
{
	uint64_t at = (uint64_t)((unsigned char *)f.catalog.channels -
				 f.catalog_map.base);
	struct tpi_channel channel;
	int err;

	seed = 0xc4a0 + (uint64_t)_i;
	for (int round = 0; round < rounds; round++) {
		corrupt(&f.catalog_map, at, at + sizeof(*f.catalog.channels));
		err = fixture_attach(&f, &channel);
		ck_assert(err == 0 || err == -EBADMSG);
		for (uint32_t id = 0; !err && id < channel.lane_count; id++)
			ck_assert(
				inside(channel.lanes[id].blocks,
				       (uint64_t)(channel.lanes[id].mask + 1) *
					       channel.lanes[id].block_bytes));
		tpi_channel_detach(&channel);
		memcpy(f.catalog_map.base, clean_catalog.base,
		       f.catalog_map.bytes);
	}
}
END_TEST

START_TEST(corrupt_cursors_never_yield_one_outside)
{
	const unsigned char *end = f.cursors_map.base + f.cursors_map.bytes;
	struct tpi_cursors cursors;
	int err;

	seed = 0xc045 + (uint64_t)_i;
	for (int round = 0; round < rounds; round++) {
		corrupt(&f.cursors_map, 0, 256);
		err = fixture_attach_cursors(&f, &cursors);
		if (!err) {
			ck_assert((const void *)((
					  unsigned char *)(cursors.control +
							   1)) <=
				  (const void *)(end));
			ck_assert((const void *)((
					  unsigned char *)(cursors.cursors +
							   f.lane_count)) <=
				  (const void *)(end));
			if (cursors.histogram)
				ck_assert((const unsigned char
						   *)(cursors.histogram + 1) <=
					  end);
			ck_assert((const void *)((unsigned char *)
							 cursors.cursors) >=
				  (const void *)(f.cursors_map.base + 128));
		}
		memcpy(f.cursors_map.base, clean_cursors.base,
		       f.cursors_map.bytes);
	}
}
END_TEST

START_TEST(a_segment_of_noise_is_refused)
{
	seed = 0x7015 + (uint64_t)_i;
	for (int round = 0; round < 200; round++) {
		for (uint64_t at = 0; at < f.maps[0].bytes; at += 8) {
			uint64_t noise = draw(UINT64_MAX);

			memcpy(f.maps[0].base + at, &noise, 8);
		}
		/* so it has a chance to be looked into at all */
		memcpy(f.maps[0].base, clean[0].base, 32 + (size_t)draw(96));
		fixture_header(&f.maps[0])->ready = TAPIO_SEGMENT_READY;
		attach_and_check();
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
		tests, a_corrupt_channel_segment_never_yields_a_lane_outside_it,
		0, 4);
	tcase_add_loop_test(tests,
			    a_corrupt_catalog_never_yields_a_record_outside_it,
			    0, 2);
	tcase_add_loop_test(
		tests, a_channel_record_of_noise_never_yields_a_lane_outside, 0,
		2);
	tcase_add_loop_test(tests, corrupt_cursors_never_yield_one_outside, 0,
			    2);
	tcase_add_loop_test(tests, a_segment_of_noise_is_refused, 0, 2);
	return check_run_case("layout hostile", tests);
}
