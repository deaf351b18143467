/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot files that claim more than they have. They are small on the disk, so a reader that
 * believed their numbers would work for hours, or take all memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/memory/layout.h"
#include "tests/check_main.h"
#include "tests/fuzz/snapshot_base.h"
#include "tools/inspect/snapshot.h"

#define HUGE_BYTES (UINT64_C(64) << 20)
#define MANY       65536 /* blocks of a lane */

static struct snapshot_base base;
static struct tpi_snapshot_header header;
static struct tpi_snapshot_section *sections;
static struct tpi_inspect *look;
static char why[512];
static int fd;

static void setup(void)
{
	snapshot_base_make(&base);
	memcpy(&header, base.data, sizeof(header));
	sections = (void *)(base.data + TPI_SNAPSHOT_PAGE);
	fd = memfd_create("snapshot", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
}

static void teardown(void)
{
	tpi_inspect_close(look);
	look = NULL;
	close(fd);
	free(base.data);
}

/* Sections that lie beyond the data are holes. */
static int open_it(uint64_t file_bytes, uint64_t limit_bytes)
{
	char path[32];
	struct tpi_inspect_options options = {.file = path,
					      .file_limit_bytes = limit_bytes};

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	header.file_bytes = file_bytes;
	memcpy(base.data, &header, sizeof(header));
	snapshot_base_seal(base.data, base.bytes);
	ck_assert_int_eq(pwrite(fd, base.data, base.bytes, 0),
			 (ssize_t)base.bytes);
	ck_assert_int_eq(ftruncate(fd, (off_t)file_bytes), 0);
	return tpi_inspect_open(&look, &options, why, sizeof(why));
}

/* The catalog as it lies in the file. */
static void attach(struct tpi_catalog *catalog)
{
	const struct tpi_map map = {.base = base.data + sections[0].offset,
				    .bytes = sections[0].bytes,
				    .writable = true};

	ck_assert_int_eq(tpi_catalog_attach(catalog, &map, why, sizeof(why)),
			 0);
}

START_TEST(an_honest_one_is_read)
{
	ck_assert_msg(!open_it(base.bytes, 0), "%s", why);
	ck_assert_uint_gt(look->channels[0].channel.lane_count, 0);
	ck_assert_str_eq(look->channels[0].why, "");
	/* Of an isolated producer whose memory is not there. */
	ck_assert_uint_eq(look->channels[1].channel.lane_count, 2);
	ck_assert_uint_ne(look->channels[1].rests, 0);
}
END_TEST

/* Of descriptors that are holes: lanes are born with some. */
START_TEST(lanes_need_data)
{
	struct tpi_snapshot_section *s = &sections[1];
	struct tapio_shm_channel *info;
	struct tpi_catalog catalog;

	attach(&catalog);
	info = &catalog.channels[0];
	info->classes[1].block_count = MANY;
	for (uint32_t i = 0; i < info->lane_count; i++) {
		struct tapio_shm_place *p =
			&catalog.places[info->first_place + i];

		if (p->klass != 1 || p->cpu == TAPIO_CPU_SIDE)
			continue;
		p->block_count = MANY;
		p->desc_offset = 1 << 20;
		p->ticket_offset = 2 << 20;
		p->time_offset = 3 << 20;
		p->block_offset = 4 << 20;
	}
	/* It comes last, so it is the last one of the table, too. */
	s->offset = base.bytes;
	s->bytes = HUGE_BYTES;
	s->digest = 0; /* of holes */
	for (uint32_t i = 1; i + 1 < header.section_count; i++) {
		struct tpi_snapshot_section moved = sections[i];

		sections[i] = sections[i + 1];
		sections[i + 1] = moved;
	}
	ck_assert_msg(!open_it(base.bytes + HUGE_BYTES, 0), "%s", why);
	ck_assert_msg(strstr(look->channels[0].why, "and the snapshot has data "
						    "for"),
		      "%s", look->channels[0].why);
	ck_assert_uint_eq(look->channels[0].channel.lane_count, 0);
	/* The other one has nothing to do with that. */
	ck_assert_uint_eq(look->channels[1].channel.lane_count, 2);
}
END_TEST

START_TEST(addresses_are_limited)
{
	sections[header.section_count - 1].bytes = UINT64_C(1) << 43;
	ck_assert_int_eq(open_it(UINT64_C(1) << 44, 0), -EFBIG);
	ck_assert_ptr_nonnull(strstr(why, "the limit is 4398046511104"));
}
END_TEST

START_TEST(memory_is_limited)
{
	ck_assert_int_eq(open_it(base.bytes, 4096), -EFBIG);
	ck_assert_ptr_nonnull(strstr(why, "more data than 4096 bytes"));
}
END_TEST

START_TEST(a_catalog_is_limited)
{
	uint64_t huge = UINT64_C(1) << 30;

	/* All others are holes behind it. */
	header.section_count = 1;
	sections[0].bytes = huge;
	ck_assert_int_eq(open_it(sections[0].offset + huge, 0), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(why, "..268435456"));
}
END_TEST

START_TEST(records_are_limited)
{
	header.section_count = 65537;
	ck_assert_int_eq(open_it(base.bytes, 0), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(why, "allowed are 1..65536"));
}
END_TEST

START_TEST(sections_may_not_share_bytes)
{
	sections[2].offset = sections[1].offset;
	ck_assert_int_eq(open_it(base.bytes, 0), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(why, "are not behind the last one"));
}
END_TEST

START_TEST(one_catalog_and_no_more)
{
	sections[0].flags = 0;
	ck_assert_int_eq(open_it(base.bytes, 0), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(why, "it has no catalog"));
}
END_TEST

static const struct {
	uint32_t kind;
	const char *why;
} needed[] = {{TPI_SECTION_FACTS, "it has no facts"},
	      {TPI_SECTION_PROCESSES, "it has no list of processes"},
	      {TPI_SECTION_LANES, "it has no list of lanes"}};

/* On commit f2f04f3 it was shown, with a time of 1970 and all processes unknown. */
START_TEST(a_part_that_each_has_may_not_be_left_out)
{
	for (uint32_t i = 0; i < header.section_count; i++)
		if (sections[i].kind == needed[_i].kind)
			sections[i].kind = 77; /* of a later writer */
	ck_assert_int_eq(open_it(base.bytes, 0), -EBADMSG);
	ck_assert_msg(strstr(why, needed[_i].why), "%s", why);
}
END_TEST

static struct tpi_snapshot_facts *facts(void)
{
	for (uint32_t i = 0; i < header.section_count; i++)
		if (sections[i].kind == TPI_SECTION_FACTS)
			return (void *)(base.data + sections[i].offset);
	ck_abort_msg("no facts");
}

START_TEST(its_time_is_one)
{
	uint64_t *const times[] = {&facts()->begin_ns, &facts()->end_ns};

	for (int i = 0; i < 2; i++) {
		uint64_t before = *times[i];

		*times[i] = 0;
		ck_assert_int_eq(open_it(base.bytes, 0), -EBADMSG);
		ck_assert_msg(strstr(why, "0 is no time"), "%s", why);
		*times[i] = before;
	}
	/* The clock may be set back while it is taken. */
	facts()->begin_ns = facts()->end_ns + 1;
	ck_assert_msg(!open_it(base.bytes, 0), "%s", why);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("snapshot_file");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_honest_one_is_read);
	tcase_add_test(t, lanes_need_data);
	tcase_add_test(t, addresses_are_limited);
	tcase_add_test(t, memory_is_limited);
	tcase_add_test(t, a_catalog_is_limited);
	tcase_add_test(t, records_are_limited);
	tcase_add_test(t, sections_may_not_share_bytes);
	tcase_add_test(t, one_catalog_and_no_more);
	tcase_add_loop_test(t, a_part_that_each_has_may_not_be_left_out, 0,
			    sizeof(needed) / sizeof(needed[0]));
	tcase_add_test(t, its_time_is_one);
	return check_run_case("snapshot_file", t);
}
