/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refusals by attaching and configuring. The reason names the value that was
 * found and the one that is allowed. One table row is one bad input.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

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

/* ---- headers: the same for every kind of segment ---------------------------- */

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
	{FIELD(abi_major), 9, -EPROTONOSUPPORT, {"9.1", "0.1"}},
	{FIELD(incompat),
	 UINT64_C(0x8000000000000010),
	 -EPROTONOSUPPORT,
	 {"0x8000000000000010", "known are 0x0"}},
	{FIELD(kind), 77, -EBADMSG, {"kind 77", "expected"}},
	{FIELD(channel), 12, -EBADMSG, {"channel 12", "channel 0"}},
	{FIELD(index), 63, -EBADMSG, {"segment 63", "expected"}},
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

static void spoil(const struct tpi_map *map, int row)
{
	memcpy(map->base + headers[row].offset, &headers[row].value,
	       headers[row].bytes);
}

START_TEST(a_catalog_with_a_bad_header_is_refused)
{
	spoil(&f.catalog_map, _i);
	refused(fixture_attach_catalog(&f), headers[_i].err, headers[_i].texts);
	ck_assert_int_eq(strncmp(f.error, "catalog: ", 9), 0);
}
END_TEST

START_TEST(a_channel_segment_with_a_bad_header_is_refused)
{
	struct tpi_channel channel;

	spoil(&f.maps[1], _i);
	refused(fixture_attach(&f, &channel), headers[_i].err,
		headers[_i].texts);
	ck_assert_int_eq(strncmp(f.error, "channel `events`", 16), 0);
	ck_assert_ptr_null(channel.lanes);
	ck_assert_ptr_null(channel.by_cpu);
}
END_TEST

START_TEST(cursors_with_a_bad_header_are_refused)
{
	struct tpi_cursors cursors;

	spoil(&f.cursors_map, _i);
	refused(fixture_attach_cursors(&f, &cursors), headers[_i].err,
		headers[_i].texts);
	ck_assert_ptr_null(cursors.cursors);
}
END_TEST

START_TEST(the_segment_that_is_bad_is_named_by_its_node)
{
	struct tpi_channel channel;

	fixture_header(&f.maps[1])->abi_major = 2;
	ck_assert_int_eq(fixture_attach(&f, &channel), -EPROTONOSUPPORT);
	ck_assert_str_eq(f.error,
			 "channel `events`, node 1: layout version 2.1, this "
			 "program knows 0.1");
}
END_TEST

START_TEST(compatible_features_are_accepted)
{
	struct tpi_channel channel;

	fixture_header(&f.maps[0])->compat = UINT64_MAX;
	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	tpi_channel_detach(&channel);
}
END_TEST

/* While the major number is 0, nothing is promised across minor ones. */
START_TEST(another_minor_number_is_refused_while_major_is_0)
{
	struct tpi_channel channel;

	_Static_assert(TAPIO_ABI_MAJOR == 0, "the rule from 1.0 on: accepted");
	fixture_header(&f.maps[0])->abi_minor = TAPIO_ABI_MINOR + 1;
	ck_assert_int_eq(fixture_attach(&f, &channel), -EPROTONOSUPPORT);
	ck_assert_ptr_nonnull(strstr(f.error, "layout version 0.2"));
}
END_TEST

START_TEST(a_section_of_an_unknown_kind_is_overlooked)
{
	struct tpi_channel channel;
	struct tapio_shm_header *header = fixture_header(&f.maps[1]);

	/* node 1's doorbell is not used */
	fixture_region(&f.maps[1], TAPIO_REGION_DOORBELLS)->kind = 4711;
	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	ck_assert_uint_eq(header->region_count, 2);
	tpi_channel_detach(&channel);
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

START_TEST(a_segment_cut_short_is_refused_at_every_length)
{
	struct tpi_channel channel;
	uint64_t whole = f.maps[0].bytes;

	for (uint64_t bytes = 0; bytes < whole; bytes += 8) {
		struct tpi_map cut = f.maps[0];

		f.maps[0].bytes = bytes;
		ck_assert_int_eq(fixture_attach(&f, &channel), -EBADMSG);
		/* and when the header is cut to match */
		if (bytes >= 128) {
			fixture_header(&f.maps[0])->length_bytes = bytes;
			ck_assert_int_eq(fixture_attach(&f, &channel),
					 -EBADMSG);
			fixture_header(&f.maps[0])->length_bytes = whole;
		}
		f.maps[0] = cut;
	}
}
END_TEST

START_TEST(segments_of_another_broker_are_refused)
{
	struct tpi_channel channel;
	struct tpi_cursors cursors;
	const char *texts[3] = {"another broker", "ffb2", "a1b2"};

	fixture_header(&f.maps[0])->instance[0] = 0xff;
	refused(fixture_attach(&f, &channel), -EBADMSG, texts);
	fixture_header(&f.cursors_map)->instance[0] = 0xff;
	refused(fixture_attach_cursors(&f, &cursors), -EBADMSG, texts);
}
END_TEST

START_TEST(segments_in_the_wrong_order_or_number_are_refused)
{
	struct tpi_map swapped[2] = {f.maps[1], f.maps[0]};
	struct tpi_channel channel;

	refused(tpi_channel_attach(&channel, &f.catalog, 0, swapped, 2, f.error,
				   sizeof(f.error)),
		-EBADMSG, (const char *[3]){"segment 1", "expected 0"});
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
	{TAPIO_REGION_LANES, SAME, SAME, 0, {"0 records", "needed 1"}},
	{TAPIO_REGION_LANES, SAME, SAME, 3, {"lanes in its", "says 12"}},
	{TAPIO_REGION_LANES, SAME, SAME, UINT64_MAX / 256 + 2, {"not inside"}},
	{TAPIO_REGION_LANES, SAME, SAME, UINT64_MAX, {"not inside"}},
	{TAPIO_REGION_LANES, SAME, 128, SAME, {"128 bytes", "expected 256"}},
	{TAPIO_REGION_LANES, SAME, 0, SAME, {"of 0 bytes", "expected 256"}},
	{TAPIO_REGION_LANES, 64, SAME, SAME, {"at 64", "header"}},
	{TAPIO_REGION_LANES, UINT64_MAX - 63, SAME, SAME, {"not inside"}},
	{TAPIO_REGION_LANES, 584, SAME, SAME, {"at 584", "multiple of 64"}},
	{TAPIO_REGION_DOORBELLS, SAME, SAME, 0, {"0 records", "needed 1"}},
	{TAPIO_REGION_DOORBELLS, UINT64_C(1) << 63, SAME, SAME, {"not inside"}},
};
#define REGIONS (int)(sizeof(regions) / sizeof(regions[0]))

START_TEST(a_section_out_of_its_segment_is_refused)
{
	struct tapio_shm_region *s =
		fixture_region(&f.maps[0], regions[_i].kind);
	struct tpi_channel channel;

	if (regions[_i].offset != SAME)
		s->offset = regions[_i].offset;
	if (regions[_i].stride != SAME)
		s->stride = regions[_i].stride;
	if (regions[_i].count != SAME)
		s->count = regions[_i].count;
	refused(fixture_attach(&f, &channel), -EBADMSG, regions[_i].texts);
}
END_TEST

START_TEST(two_sections_of_one_kind_are_refused)
{
	struct tpi_channel channel;

	fixture_region(&f.maps[1], TAPIO_REGION_DOORBELLS)->kind =
		TAPIO_REGION_LANES;
	refused(fixture_attach(&f, &channel), -EBADMSG,
		(const char *[3]){"two regions of kind 7"});
}
END_TEST

START_TEST(a_catalog_whose_counts_disagree_is_refused)
{
	struct tapio_shm_region *s;

	s = fixture_region(&f.catalog_map, TAPIO_REGION_GROUPS);
	s->count = 63;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"63 records", "needed 64"});
	s->count = 64;
	s = fixture_region(&f.catalog_map, TAPIO_REGION_CHANNELS);
	s->count = 0;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"64 records", "limit is 0"});
	s->count = 1;
	s = fixture_region(&f.catalog_map, TAPIO_REGION_ATTACHMENTS);
	s->count = 1;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"1 records", "needed 2"});
	s->count = UINT64_C(1) << 40;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"1099511627776 records"});
	s->count = 2;
	s = fixture_region(&f.catalog_map, TAPIO_REGION_CALIBRATIONS);
	s->count = 3;
	refused(fixture_attach_catalog(&f), -EBADMSG,
		(const char *[3]){"3 records", "needed 4"});
}
END_TEST

START_TEST(cursors_of_another_number_of_lanes_are_refused)
{
	struct tpi_cursors cursors;

	f.lane_count--;
	refused(fixture_attach_cursors(&f, &cursors), -EBADMSG,
		(const char *[3]){"12 cursors", "11 lanes"});
}
END_TEST

/* ---- lanes -------------------------------------------------------------------- */

#define LANE(name)                             \
	offsetof(struct tapio_shm_lane, name), \
		sizeof(((struct tapio_shm_lane *)0)->name)

static const struct {
	size_t offset, bytes;
	uint64_t value;
	const char *texts[3];
} lanes[] = {
	{LANE(id), 12, {"lane id 12", "12 lanes"}},
	{LANE(id), UINT32_MAX, {"lane id 4294967295"}},
	{LANE(id), 0, {"two lanes of id 0"}},
	{LANE(cpu), 4096, {"CPU 4096", "limit is 4095"}},
	{LANE(cpu), 0, {"are both of class 0 and CPU 0"}},
	{LANE(cpu), TAPIO_CPU_SIDE, {"side lane of class 0"}},
	{LANE(klass), 2, {"class 2", "has 2"}},
	{LANE(klass), 1, {"4 blocks of 128", "says 8 of 64"}},
	{LANE(block_count), 8, {"8 blocks", "says 4"}},
	{LANE(block_count), 0, {"0 blocks", "says 4"}},
	{LANE(block_count), 3, {"3 blocks", "says 4"}},
	{LANE(block_bytes), 64, {"of 64 bytes", "of 128"}},
	{LANE(ticket_offset), 0, {"tickets: 32 bytes at 0", "header"}},
	{LANE(ticket_offset), 132, {"tickets", "at 132", "multiple of 8"}},
	{LANE(ticket_offset), UINT64_MAX - 7, {"tickets", "not inside"}},
	{LANE(desc_offset), 64, {"descriptors: 32 bytes at 64", "header"}},
	{LANE(desc_offset), 1001, {"descriptors", "at 1001", "multiple of 8"}},
	{LANE(desc_offset), UINT64_C(1) << 62, {"descriptors", "not inside"}},
	{LANE(time_offset), 0, {"times: 32 bytes at 0"}},
	{LANE(time_offset), UINT64_MAX - 31, {"times", "not inside"}},
	{LANE(block_offset), 8, {"blocks", "at 8"}},
	{LANE(block_offset), 1000, {"blocks", "at 1000", "multiple of 64"}},
	{LANE(block_offset), UINT64_MAX - 63, {"blocks", "not inside"}},
};
#define LANES (int)(sizeof(lanes) / sizeof(lanes[0]))

START_TEST(a_lane_that_is_not_what_the_catalog_says_is_refused)
{
	unsigned char *lane = (void *)fixture_lane(&f.maps[0], 1);
	struct tpi_channel channel;

	memcpy(lane + lanes[_i].offset, &lanes[_i].value, lanes[_i].bytes);
	refused(fixture_attach(&f, &channel), -EBADMSG, lanes[_i].texts);
	ck_assert_ptr_null(channel.lanes);
}
END_TEST

START_TEST(an_array_that_ends_one_byte_too_late_is_refused)
{
	struct tapio_shm_lane *lane = fixture_lane(&f.maps[1], 0);
	uint64_t bytes = f.maps[1].bytes;
	struct tpi_channel channel;

	lane->block_offset = bytes - 4 * 128;
	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	tpi_channel_detach(&channel);
	lane->block_offset += 64;
	ck_assert_int_eq(fixture_attach(&f, &channel), -EBADMSG);
	lane->block_offset = bytes - 4 * 128;
	lane->desc_offset = bytes - 4 * 8;
	ck_assert_int_eq(fixture_attach(&f, &channel), 0);
	tpi_channel_detach(&channel);
	lane->desc_offset += 8;
	ck_assert_int_eq(fixture_attach(&f, &channel), -EBADMSG);
}
END_TEST

START_TEST(side_lanes_whose_ids_are_not_in_one_run_are_refused)
{
	/* In node 0's segment: four lanes of CPUs, then side lanes 8 to 11. */
	struct tapio_shm_lane *a = fixture_lane(&f.maps[0], 4);
	struct tapio_shm_lane *b = fixture_lane(&f.maps[0], 6);
	struct tpi_channel channel;

	a->id = 10; /* class 0 in the middle of class 1 */
	b->id = 8;
	refused(fixture_attach(&f, &channel), -EBADMSG,
		(const char *[3]){"side lane of class 1 has id 11",
				  "expected 10"});
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
	{RECORD(lane_count), 13, {"12 lanes in its segments", "says 13"}},
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

	fixture_header(&f.maps[0])->magic = 0;
	ck_assert_int_eq(
		tpi_channel_attach(&channel, &f.catalog, 0, f.maps, 2, NULL, 0),
		-EBADMSG);
	ck_assert_int_eq(tpi_channel_attach(&channel, &f.catalog, 0, f.maps, 2,
					    small, sizeof(small)),
			 -EBADMSG);
	ck_assert_str_eq(small, "channel");
}
END_TEST

/* ---- the configuration's numbers ------------------------------------------- */

static struct tapio_shm_class *first_class(struct tpi_channel_spec *spec)
{
	return &spec->classes[0];
}

static void spec_refused(const struct tpi_channel_spec *spec, const char *a,
			 const char *b)
{
	const char *texts[3] = {a, b};

	refused(tpi_channel_spec_check(spec, f.error, sizeof(f.error)), -EINVAL,
		texts);
}

START_TEST(a_spec_out_of_the_layouts_limits_is_refused_with_the_limit)
{
	struct tpi_channel_spec spec = f.spec;

	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), 0);
	spec.name[0] = '\0';
	spec_refused(&spec, "channel: its name is empty", NULL);
	memset(spec.name, 'n', sizeof(spec.name));
	spec_refused(&spec, "longer than 63", NULL);
	spec = f.spec;
	spec.class_count = 9;
	spec_refused(&spec, "channel `events`: 9 classes", "1..8");
	spec = f.spec;
	spec.full_policy = 2;
	spec_refused(&spec, "full policy 2", "0..1");
	spec = f.spec;
	spec.stamp = 3;
	spec_refused(&spec, "stamp 3", "0..2");
	spec = f.spec;
	first_class(&spec)->block_count = 131072;
	spec_refused(&spec, "class `critical`: block_count 131072", "4..65536");
	first_class(&spec)->block_count = 2;
	spec_refused(&spec, "block_count 2", "4..65536");
	spec = f.spec;
	first_class(&spec)->block_bytes = TAPIO_BLOCK_BYTES_MAX + 64;
	spec_refused(&spec, "block_bytes 1048576", "64..1048512");
	spec = f.spec;
	first_class(&spec)->side_count = 5;
	spec_refused(&spec, "side_count 5", "4..65536");
	first_class(&spec)->side_lanes = 0;
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), 0);
}
END_TEST

START_TEST(classes_out_of_order_or_of_one_name_are_refused)
{
	struct tpi_channel_spec spec = f.spec;

	spec.classes[0] = f.spec.classes[1];
	spec.classes[1] = f.spec.classes[0];
	spec_refused(&spec, "`critical` (priority 1, 128 bytes) must stand",
		     "`small` (priority 0, 64 bytes)");
	spec.classes[1] = spec.classes[0];
	spec_refused(&spec, "two classes `small`", NULL);
	strcpy(spec.classes[1].name, "large");
	ck_assert_int_eq(tpi_channel_spec_check(&spec, NULL, 0), 0);
	spec.classes[0].block_bytes = 128;
	spec_refused(&spec, "`large` (priority 0, 64 bytes) must stand", NULL);
}
END_TEST

static void add_header_tests(TCase *tests)
{
	tcase_add_loop_test(tests, a_catalog_with_a_bad_header_is_refused, 0,
			    HEADERS);
	tcase_add_loop_test(tests,
			    a_channel_segment_with_a_bad_header_is_refused, 0,
			    HEADERS);
	tcase_add_loop_test(tests, cursors_with_a_bad_header_are_refused, 0,
			    HEADERS);
	tcase_add_test(tests, the_segment_that_is_bad_is_named_by_its_node);
	tcase_add_test(tests, compatible_features_are_accepted);
	tcase_add_test(tests, another_minor_number_is_refused_while_major_is_0);
	tcase_add_test(tests, a_section_of_an_unknown_kind_is_overlooked);
	tcase_add_test(tests,
		       a_segment_shorter_than_a_header_is_refused_unread);
	tcase_add_test(tests, a_segment_cut_short_is_refused_at_every_length);
	tcase_add_test(tests, segments_of_another_broker_are_refused);
	tcase_add_test(tests,
		       segments_in_the_wrong_order_or_number_are_refused);
}

static void add_content_tests(TCase *tests)
{
	tcase_add_loop_test(tests, a_section_out_of_its_segment_is_refused, 0,
			    REGIONS);
	tcase_add_test(tests, two_sections_of_one_kind_are_refused);
	tcase_add_test(tests, a_catalog_whose_counts_disagree_is_refused);
	tcase_add_test(tests, cursors_of_another_number_of_lanes_are_refused);
	tcase_add_loop_test(tests,
			    a_lane_that_is_not_what_the_catalog_says_is_refused,
			    0, LANES);
	tcase_add_test(tests, an_array_that_ends_one_byte_too_late_is_refused);
	tcase_add_test(tests,
		       side_lanes_whose_ids_are_not_in_one_run_are_refused);
	tcase_add_test(tests, too_few_side_lanes_are_refused);
	tcase_add_loop_test(tests,
			    a_channel_record_with_impossible_numbers_is_refused,
			    0, RECORDS);
	tcase_add_test(tests, a_channel_name_without_its_end_is_refused);
	tcase_add_test(tests, a_reason_without_room_is_left_out);
	tcase_add_test(
		tests,
		a_spec_out_of_the_layouts_limits_is_refused_with_the_limit);
	tcase_add_test(tests, classes_out_of_order_or_of_one_name_are_refused);
}

int main(void)
{
	TCase *tests = tcase_create("refused");

	tcase_add_checked_fixture(tests, setup, teardown);
	add_header_tests(tests);
	add_content_tests(tests);
	return check_run_case("layout refused", tests);
}
