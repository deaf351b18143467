/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refusals by attaching. The reason names the value that was
 * found and the one that is allowed. One table row is one bad input.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/memory/counters.h"
#include "lib/memory/layout_inner.h"
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

static void refused(int err, int wanted, const char *const *texts)
{
	ck_assert_msg(err == wanted, "%d (%s) instead of %d", err, f.error,
		      wanted);
	for (int i = 0; i < 3 && texts[i]; i++)
		ck_assert_msg(strstr(f.error, texts[i]) != NULL,
			      "no \"%s\" in \"%s\"", texts[i], f.error);
}

/* ---- the catalog's header -------------------------------------------------- */

#define FIELD(name)                              \
	offsetof(struct tapio_shm_header, name), \
		sizeof(((struct tapio_shm_header *)0)->name)

static const struct {
	size_t offset, bytes;
	uint64_t value;
	int err;
	const char *texts[3];
} headers[] = {
	{FIELD(magic),
	 UINT64_C(0x1122334455667788),
	 -EBADMSG,
	 {"0x1122334455667788", "0x4745534f49504154"}},
	{FIELD(ready), 7, -EBADMSG, {"not ready", "0x00000007", "0x59444552"}},
	{FIELD(abi_major), 9, -EPROTONOSUPPORT, {"9.7", "0.7"}},
	{FIELD(incompat),
	 UINT64_C(0x8000000000000010),
	 -EPROTONOSUPPORT,
	 {"0x8000000000000010", "known are 0x0", "knows 0.7"}},
	{FIELD(length_bytes), 4096, -EBADMSG, {"4096", "the mapping has"}},
	{FIELD(region_count), 17, -EBADMSG, {"17 regions", "limit is 16"}},
	{FIELD(region_offset),
	 UINT64_MAX,
	 -EBADMSG,
	 {"18446744073709551615", "not inside"}},
	{FIELD(region_offset), 120, -EBADMSG, {"at 120", "header"}},
	{FIELD(region_offset), 132, -EBADMSG, {"at 132"}},
	{FIELD(region_count), 0, -EBADMSG, {"0 records, needed"}},
};
#define HEADERS (int)(sizeof(headers) / sizeof(headers[0]))

START_TEST(a_catalog_with_a_bad_header_is_refused)
{
	memcpy(f.catalog_map.base + headers[_i].offset, &headers[_i].value,
	       headers[_i].bytes);
	refused(fixture_attach_catalog(&f), headers[_i].err, headers[_i].texts);
	ck_assert_int_eq(strncmp(f.error, "catalog: ", 9), 0);
}
END_TEST

START_TEST(compatible_features_are_accepted)
{
	fixture_header(&f)->compat = UINT64_MAX;
	ck_assert_int_eq(fixture_attach_catalog(&f), 0);
}
END_TEST

START_TEST(minor_numbers_from_the_least_one_on_are_accepted)
{
	fixture_header(&f)->abi_minor = TAPIO_ABI_MINOR_LEAST;
	ck_assert_int_eq(fixture_attach_catalog(&f), 0);
	fixture_header(&f)->abi_minor = UINT16_MAX;
	ck_assert_int_eq(fixture_attach_catalog(&f), 0);
}
END_TEST

START_TEST(an_earlier_minor_number_is_refused)
{
	fixture_header(&f)->abi_minor = TAPIO_ABI_MINOR_LEAST - 1;
	ck_assert_int_eq(fixture_attach_catalog(&f), -EPROTONOSUPPORT);
	ck_assert_ptr_nonnull(strstr(f.error, "layout version 0.3"));
	ck_assert_ptr_nonnull(strstr(f.error, "0.4"));
}
END_TEST

/* Of layout 0.4. */
START_TEST(a_catalog_without_counters_is_accepted)
{
	struct tpi_catalog catalog;

	ck_assert_uint_eq(f.catalog.counter_count, TPI_COUNTERS);
	fixture_region(&f, TAPIO_REGION_COUNTERS)->kind = 4711;
	ck_assert_int_eq(tpi_catalog_attach(&catalog, &f.catalog_map, f.error,
					    sizeof(f.error)),
			 0);
	ck_assert_ptr_null(catalog.counters);
	ck_assert_uint_eq(catalog.counter_count, 0);
}
END_TEST

START_TEST(a_section_of_an_unknown_kind_is_overlooked)
{
	struct tpi_catalog catalog;

	/* the only one that a catalog may be without */
	fixture_region(&f, TAPIO_REGION_SEGMENTS)->kind = 4711;
	ck_assert_int_eq(tpi_catalog_attach(&catalog, &f.catalog_map, f.error,
					    sizeof(f.error)),
			 0);
	ck_assert_uint_eq(catalog.segment_count, 0);
	ck_assert_ptr_null(catalog.segments);
	ck_assert_uint_eq(catalog.place_count, 12);
}
END_TEST

START_TEST(a_segment_shorter_than_a_header_is_refused_unread)
{
	struct tpi_map map = fixture_map(128);
	struct tpi_catalog catalog;
	const char *texts[3] = {"truncated: 64 bytes", "128"};

	memcpy(map.base, f.catalog_map.base, 128);
	map.bytes = 64;
	refused(tpi_catalog_attach(&catalog, &map, f.error, sizeof(f.error)),
		-EBADMSG, texts);
	map.bytes = 0;
	refused(tpi_catalog_attach(&catalog, &map, f.error, sizeof(f.error)),
		-EBADMSG, (const char *[3]){"truncated: 0 bytes"});
	free(map.base);
}
END_TEST

/* ---- segments that are not as large as the catalog says ---------------------- */

START_TEST(a_catalog_cut_short_is_refused_at_every_length)
{
	uint64_t whole = f.catalog_map.bytes;

	/* all of the part before the last lines, and these word by word */
	for (uint64_t bytes = 0; bytes < whole;
	     bytes += bytes + 4096 < whole ? 512 : 8) {
		f.catalog_map.bytes = bytes;
		ck_assert_int_eq(fixture_attach_catalog(&f), -EBADMSG);
		/* and when the header is cut to match */
		if (bytes >= 128)
			fixture_header(&f)->length_bytes = bytes;
		ck_assert_int_eq(fixture_attach_catalog(&f), -EBADMSG);
		fixture_header(&f)->length_bytes = whole;
	}
}
END_TEST

START_TEST(a_channels_segment_cut_short_is_refused_at_every_length)
{
	struct tpi_map *map = &f.maps[_i];
	uint64_t whole = map->bytes;
	struct tpi_channel channel;

	for (map->bytes = 0; map->bytes < whole; map->bytes += 8) {
		ck_assert_int_eq(fixture_attach(&f, &channel), -EBADMSG);
		ck_assert_ptr_null(channel.lanes);
	}
	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	tpi_channel_detach(&channel);
}
END_TEST

START_TEST(cursors_cut_short_are_refused_at_every_length)
{
	struct tpi_map *map = &f.cursors_map;
	uint64_t whole = map->bytes;
	struct tpi_cursors cursors;

	for (map->bytes = 0; map->bytes < whole; map->bytes += 8) {
		ck_assert_int_eq(fixture_attach_cursors(&f, &cursors),
				 -EBADMSG);
		ck_assert_ptr_null(cursors.control);
		ck_assert_ptr_null(cursors.cursors);
	}
	ck_assert_int_eq(fixture_attach_cursors(&f, &cursors), 0);
}
END_TEST

START_TEST(the_segment_that_is_too_short_is_named_by_its_node)
{
	struct tpi_channel channel;

	f.maps[1].bytes = 64;
	ck_assert_int_eq(fixture_attach(&f, &channel), -EBADMSG);
	ck_assert_str_eq(f.error,
			 "channel `events`, node 1: lane 4: record: 256 bytes "
			 "at 4416 are not inside the segment's 64 bytes or off "
			 "a multiple of 64");
}
END_TEST

START_TEST(a_segment_that_is_not_mapped_is_refused)
{
	unsigned char *base = f.maps[1].base;
	struct tpi_channel channel;

	f.maps[1].base = NULL;
	ck_assert_int_eq(fixture_attach(&f, &channel), -EBADMSG);
	f.maps[1].base = base;
}
END_TEST

START_TEST(a_number_of_segments_or_a_channel_that_is_not_there_is_refused)
{
	struct tpi_channel channel;

	refused(tpi_channel_attach(&channel, &f.catalog, 0, f.maps, 1, f.error,
				   sizeof(f.error)),
		-EBADMSG, (const char *[3]){"1 segments", "says 2"});
	refused(tpi_channel_attach(&channel, &f.catalog, 3, f.maps, 2, f.error,
				   sizeof(f.error)),
		-EBADMSG, (const char *[3]){"channel 3", "1 channels"});
}
END_TEST

/* ---- regions ---------------------------------------------------------------- */

static const struct {
	uint32_t kind;
	uint64_t offset, stride, count; /* UINT64_MAX - 1: as it is */
	const char *texts[3];
} regions[] = {
#define SAME (UINT64_MAX - 1)
	{TAPIO_REGION_BROKER, SAME, SAME, 0, {"0 records", "needed 1"}},
	{TAPIO_REGION_BROKER, SAME, SAME, 2, {"2 records", "limit is 1"}},
	{TAPIO_REGION_PLACES, SAME, SAME, 13, {"12 records", "needed 13"}},
	{TAPIO_REGION_SPANS, SAME, SAME, 11, {"11 records", "needed 12"}},
	{TAPIO_REGION_SPANS, SAME, SAME, 13, {"13 records"}},
	{TAPIO_REGION_SPANS, SAME, 8, SAME, {"8 bytes", "expected 16"}},
	{TAPIO_REGION_PLACES, SAME, SAME, UINT64_MAX / 64 + 2, {"not inside"}},
	{TAPIO_REGION_PLACES, SAME, SAME, UINT64_MAX, {"not inside"}},
	{TAPIO_REGION_PLACES, SAME, 32, SAME, {"32 bytes", "expected 64"}},
	{TAPIO_REGION_PLACES, SAME, 0, SAME, {"of 0 bytes", "expected 64"}},
	{TAPIO_REGION_PLACES, 64, SAME, SAME, {"at 64", "header"}},
	{TAPIO_REGION_PLACES, UINT64_MAX - 63, SAME, SAME, {"not inside"}},
	{TAPIO_REGION_PLACES, 584, SAME, SAME, {"at 584", "multiple of 64"}},
	{TAPIO_REGION_SEGMENTS, UINT64_C(1) << 63, SAME, SAME, {"not inside"}},
	{TAPIO_REGION_COUNTERS, SAME, 512, SAME, {"512 bytes", "expected 576"}},
	{TAPIO_REGION_COUNTERS,
	 SAME,
	 SAME,
	 4097,
	 {"4097 records", "not inside"}},
	{TAPIO_REGION_COUNTERS, UINT64_MAX - 63, SAME, SAME, {"not inside"}},
};
#define REGIONS (int)(sizeof(regions) / sizeof(regions[0]))

START_TEST(a_section_out_of_its_segment_is_refused)
{
	struct tapio_shm_region *s = fixture_region(&f, regions[_i].kind);

	if (regions[_i].offset != SAME)
		s->offset = regions[_i].offset;
	if (regions[_i].stride != SAME)
		s->stride = regions[_i].stride;
	if (regions[_i].count != SAME)
		s->count = regions[_i].count;
	refused(fixture_attach_catalog(&f), -EBADMSG, regions[_i].texts);
}
END_TEST

START_TEST(two_sections_of_one_kind_are_refused)
{
	fixture_region(&f, TAPIO_REGION_SEGMENTS)->kind = TAPIO_REGION_PLACES;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"two regions of kind 7"});
}
END_TEST

START_TEST(a_catalog_whose_counts_disagree_is_refused)
{
	struct tapio_shm_region *s;

	s = fixture_region(&f, TAPIO_REGION_GROUPS);
	s->count = 63;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"63 records", "needed 64"});
	s->count = 64;
	s = fixture_region(&f, TAPIO_REGION_CHANNELS);
	s->count = 0;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"64 records", "limit is 0"});
	s->count = 1;
	s = fixture_region(&f, TAPIO_REGION_ATTACHMENTS);
	s->count = 1;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"1 records", "needed 2"});
	s->count = UINT64_C(1) << 40;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"1099511627776 records"});
	s->count = 2;
	s = fixture_region(&f, TAPIO_REGION_CALIBRATIONS);
	s->count = 3;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"3 records", "needed 4"});
}
END_TEST

/* ---- places ------------------------------------------------------------------- */

#define PLACE(name)                             \
	offsetof(struct tapio_shm_place, name), \
		sizeof(((struct tapio_shm_place *)0)->name)

static const struct {
	size_t offset, bytes;
	uint64_t value;
	const char *texts[3];
} places[] = {
	{PLACE(segment), 2, {"lane 1: segment 2", "channel has 2"}},
	{PLACE(segment), UINT32_MAX, {"segment 4294967295"}},
	{PLACE(cpu), 4096, {"CPU 4096", "limit is 4095"}},
	{PLACE(cpu), 0, {"are both of class 0 and CPU 0"}},
	{PLACE(cpu), TAPIO_CPU_SIDE, {"side lane of class 0"}},
	{PLACE(klass), 2, {"class 2", "has 2"}},
	{PLACE(klass), 1, {"4 blocks of 128", "says 8 of 64"}},
	{PLACE(block_count), 8, {"8 blocks", "says 4"}},
	{PLACE(block_count), 0, {"0 blocks", "says 4"}},
	{PLACE(block_count), 3, {"3 blocks", "says 4"}},
	{PLACE(block_bytes), 64, {"of 64 bytes", "of 128"}},
	{PLACE(lane_offset), 8, {"record: 256 bytes at 8", "multiple of 64"}},
	{PLACE(lane_offset), UINT64_MAX - 63, {"record", "not inside"}},
	{PLACE(ticket_offset), 132, {"tickets", "at 132", "multiple of 8"}},
	{PLACE(ticket_offset), UINT64_MAX - 7, {"tickets", "not inside"}},
	{PLACE(desc_offset), 1001, {"descriptors", "at 1001", "multiple of 8"}},
	{PLACE(desc_offset), UINT64_C(1) << 62, {"descriptors", "not inside"}},
	{PLACE(time_offset), 4, {"times: 32 bytes at 4", "multiple of 8"}},
	{PLACE(time_offset), UINT64_MAX - 31, {"times", "not inside"}},
	{PLACE(block_offset), 8, {"blocks", "at 8"}},
	{PLACE(block_offset), 1000, {"blocks", "at 1000", "multiple of 64"}},
	{PLACE(block_offset), UINT64_MAX - 63, {"blocks", "not inside"}},
};
#define PLACES (int)(sizeof(places) / sizeof(places[0]))

START_TEST(a_place_that_is_not_what_the_channel_says_is_refused)
{
	unsigned char *place = (void *)&f.catalog.places[1];
	struct tpi_channel channel;

	memcpy(place + places[_i].offset, &places[_i].value, places[_i].bytes);
	refused(fixture_attach(&f, &channel), -EBADMSG, places[_i].texts);
	ck_assert_ptr_null(channel.lanes);
	ck_assert_ptr_null(channel.by_cpu);
}
END_TEST

/* The last place where `bytes` bytes may lie in node 1's segment, and behind it. */
static void refused_behind(uint64_t *offset, uint64_t bytes, uint64_t align)
{
	uint64_t before = *offset;
	struct tpi_channel channel;

	*offset = f.maps[1].bytes - bytes;
	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	tpi_channel_detach(&channel);
	*offset += align;
	ck_assert_int_eq(fixture_attach(&f, &channel), -EBADMSG);
	*offset = before;
}

START_TEST(an_array_that_ends_one_byte_too_late_is_refused)
{
	/* Class 0: four blocks of 128 bytes. */
	struct tapio_shm_place *place = &f.catalog.places[4];

	ck_assert_uint_eq(place->segment, 1);
	refused_behind(&place->lane_offset, 256, 64);
	refused_behind(&place->ticket_offset, 4 * 8, 8);
	refused_behind(&place->desc_offset, 4 * 8, 8);
	refused_behind(&place->time_offset, 4 * 8, 8);
	refused_behind(&place->block_offset, 4 * 128, 64);
}
END_TEST

START_TEST(side_lanes_whose_ids_are_not_in_one_run_are_refused)
{
	/* Side lane 8 is of class 0, 9 to 11 are of class 1. */
	struct tapio_shm_place *places_of = f.catalog.places;
	struct tapio_shm_place first = places_of[8];
	struct tpi_channel channel;

	places_of[8] = places_of[10]; /* class 0 in the middle of class 1 */
	places_of[10] = first;
	refused(fixture_attach(&f, &channel), -EBADMSG,
		(const char *[3]){"side lane of class 1 has id 11",
				  "expected 10"});
}
END_TEST

START_TEST(places_that_the_catalog_does_not_have_are_refused)
{
	struct tpi_channel channel;

	f.catalog.place_count = 3;
	refused(fixture_attach(&f, &channel), -EBADMSG,
		(const char *[3]){"the places 0 to 11", "catalog has 3"});
}
END_TEST

START_TEST(too_few_side_lanes_are_refused)
{
	struct tpi_channel channel;

	f.catalog.channels[0].classes[1].side_lanes = 4;
	refused(fixture_attach(&f, &channel), -EBADMSG,
		(const char *[3]){"3 side lanes", "says 4"});
}
END_TEST

/* ---- the catalog's own record ---------------------------------------------- */

#define RECORD(name)                              \
	offsetof(struct tapio_shm_channel, name), \
		sizeof(((struct tapio_shm_channel *)0)->name)
#define KLASS(name) offsetof(struct tapio_shm_channel, classes[0].name), 4

static const struct {
	size_t offset, bytes;
	uint64_t value;
	const char *texts[3];
} records[] = {
	{RECORD(ready), 0, {"channel 0: not ready", "0x59444552"}},
	{RECORD(class_count), 0, {"0 classes", "1..8"}},
	{RECORD(class_count), 9, {"9 classes", "1..8"}},
	{RECORD(segment_count), 65, {"65 segments", "1..64"}},
	{RECORD(segment_count), 0, {"0 segments", "1..64"}},
	{RECORD(lane_count), 0, {"0 lanes", "1..163832"}},
	{RECORD(lane_count), UINT32_MAX, {"4294967295 lanes", "1..163832"}},
	{RECORD(lane_count), 13, {"the places 0 to 12", "catalog has 12"}},
	{RECORD(first_place), 1, {"the places 1 to 12", "catalog has 12"}},
	{RECORD(first_place), UINT32_MAX, {"4294967295 to 4294967306"}},
	{RECORD(doorbells_offset), 8, {"node 0: doorbells", "multiple of 64"}},
	{RECORD(doorbells_offset), UINT64_MAX - 63, {"not inside"}},
	{RECORD(full_policy), 2, {"policy 2 of 0..1"}},
	{RECORD(stamp), 3, {"stamp 3 of 0..2"}},
	{KLASS(block_bytes), 100, {"block_bytes 100", "multiple of 64"}},
	{KLASS(block_bytes), 0, {"block_bytes 0"}},
	{KLASS(block_count), 6, {"block_count 6", "power of two in 4..65536"}},
	{KLASS(side_count), 131072, {"side_count 131072", "4..65536"}},
	{KLASS(side_lanes), 16384, {"side_lanes 16384", "16383"}},
};
#define RECORDS (int)(sizeof(records) / sizeof(records[0]))

START_TEST(a_channel_record_with_impossible_numbers_is_refused)
{
	struct tapio_shm_channel *record = &f.catalog.channels[0];
	struct tpi_channel channel;

	memcpy((unsigned char *)record + records[_i].offset, &records[_i].value,
	       records[_i].bytes);
	refused(fixture_attach(&f, &channel), -EBADMSG, records[_i].texts);
}
END_TEST

static const struct {
	size_t offset;
	uint64_t value;
	const char *texts[3];
} parts[] = {
#define PART(name) offsetof(struct tapio_shm_channel, name)
	{PART(control_offset), 8, {"slot 5: control", "at 8"}},
	{PART(control_offset), UINT64_MAX - 63, {"control", "not inside"}},
	{PART(cursors_offset), 100, {"slot 5: cursors", "at 100"}},
	{PART(cursors_offset), UINT64_MAX - 63, {"cursors", "not inside"}},
	{PART(histogram_offset), 1, {"slot 5: histogram", "at 1"}},
	{PART(histogram_offset), UINT64_C(1) << 40, {"histogram", "not in"}},
};
#define PARTS (int)(sizeof(parts) / sizeof(parts[0]))

START_TEST(a_slots_memory_without_a_part_that_the_channel_says_is_refused)
{
	unsigned char *record = (void *)&f.catalog.channels[0];
	struct tpi_cursors cursors;

	memcpy(record + parts[_i].offset, &parts[_i].value, 8);
	refused(fixture_attach_cursors(&f, &cursors), -EBADMSG,
		parts[_i].texts);
	ck_assert_int_eq(strncmp(f.error, "channel `events`", 16), 0);
	ck_assert_ptr_null(cursors.cursors);
	ck_assert_ptr_null(cursors.control);
	ck_assert_ptr_null(cursors.histogram);
}
END_TEST

/* As a broker says it that measures no latency. */
START_TEST(a_slots_memory_may_be_without_a_histogram)
{
	struct tpi_cursors cursors;

	f.catalog.channels[0].histogram_offset = 0;
	f.cursors_map.bytes = 128 + 256 * (uint64_t)f.lane_count;
	ck_assert_int_eq(fixture_attach_cursors(&f, &cursors), 0);
	ck_assert_ptr_null(cursors.histogram);
}
END_TEST

START_TEST(a_channel_name_without_its_end_is_refused)
{
	struct tapio_shm_channel copy;

	memset(f.catalog.channels[0].name, 'x', TAPIO_NAME_BYTES);
	refused(tpi_channel_describe(&f.catalog, 0, &copy, f.error,
				     sizeof(f.error)),
		-EBADMSG, (const char *[3]){"longer than 63"});
	f.catalog.channels[0].name[1] = '\n';
	f.catalog.channels[0].name[2] = '\0';
	refused(tpi_channel_describe(&f.catalog, 0, &copy, f.error,
				     sizeof(f.error)),
		-EBADMSG, (const char *[3]){"byte 0x0a"});
	ck_assert_uint_eq(copy.lane_count, 0);
}
END_TEST

START_TEST(a_reason_without_room_is_left_out)
{
	struct tpi_channel channel;
	char small[8] = "1234567";

	f.catalog.channels[0].ready = 0;
	ck_assert_int_eq(
		tpi_channel_attach(&channel, &f.catalog, 0, f.maps, 2, NULL, 0),
		-EBADMSG);
	ck_assert_int_eq(tpi_channel_attach(&channel, &f.catalog, 0, f.maps, 2,
					    small, sizeof(small)),
			 -EBADMSG);
	ck_assert_str_eq(small, "channel");
}
END_TEST

static void add_header_tests(TCase *tests)
{
	tcase_add_loop_test(tests, a_catalog_with_a_bad_header_is_refused, 0,
			    HEADERS);
	tcase_add_test(tests, compatible_features_are_accepted);
	tcase_add_test(tests, minor_numbers_from_the_least_one_on_are_accepted);
	tcase_add_test(tests, an_earlier_minor_number_is_refused);
	tcase_add_test(tests, a_section_of_an_unknown_kind_is_overlooked);
	tcase_add_test(tests, a_catalog_without_counters_is_accepted);
	tcase_add_test(tests,
		       a_segment_shorter_than_a_header_is_refused_unread);
	tcase_add_test(tests, a_catalog_cut_short_is_refused_at_every_length);
	tcase_add_loop_test(
		tests, a_channels_segment_cut_short_is_refused_at_every_length,
		0, FIXTURE_NODES);
	tcase_add_test(tests, cursors_cut_short_are_refused_at_every_length);
	tcase_add_test(tests,
		       the_segment_that_is_too_short_is_named_by_its_node);
	tcase_add_test(tests, a_segment_that_is_not_mapped_is_refused);
	tcase_add_test(
		tests,
		a_number_of_segments_or_a_channel_that_is_not_there_is_refused);
}

static void add_content_tests(TCase *tests)
{
	tcase_add_loop_test(tests, a_section_out_of_its_segment_is_refused, 0,
			    REGIONS);
	tcase_add_test(tests, two_sections_of_one_kind_are_refused);
	tcase_add_test(tests, a_catalog_whose_counts_disagree_is_refused);
	tcase_add_loop_test(
		tests, a_place_that_is_not_what_the_channel_says_is_refused, 0,
		PLACES);
	tcase_add_test(tests, an_array_that_ends_one_byte_too_late_is_refused);
	tcase_add_test(tests,
		       side_lanes_whose_ids_are_not_in_one_run_are_refused);
	tcase_add_test(tests,
		       places_that_the_catalog_does_not_have_are_refused);
	tcase_add_test(tests, too_few_side_lanes_are_refused);
	tcase_add_loop_test(tests,
			    a_channel_record_with_impossible_numbers_is_refused,
			    0, RECORDS);
	tcase_add_loop_test(
		tests,
		a_slots_memory_without_a_part_that_the_channel_says_is_refused,
		0, PARTS);
	tcase_add_test(tests, a_slots_memory_may_be_without_a_histogram);
	tcase_add_test(tests, a_channel_name_without_its_end_is_refused);
	tcase_add_test(tests, a_reason_without_room_is_left_out);
}

int main(void)
{
	TCase *tests = tcase_create("refused");

	tcase_add_checked_fixture(tests, setup, teardown);
	add_header_tests(tests);
	add_content_tests(tests);
	return check_run_case("layout refused", tests);
}
