/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters by their descriptions in the catalog: those of a newer broker, of an older one
 * without descriptions, and of one that describes nonsense.
 */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "lib/base/atomic.h"
#include "lib/memory/counters.h"
#include "lib/memory/layout.h"
#include "tests/check_main.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define MORE  8 /* rows that this version does not know */

static const uint8_t instance[16] = "newer broker";
static struct tpi_map map;
static struct tpi_catalog catalog;
static struct tapio_shm_region *region; /* COUNTERS */
static struct tapio_shm_counter *rows;
static struct command run;
static json_t *look;
static char pid[16];

static struct tapio_shm_region *find_region(void)
{
	struct tapio_shm_header *header = (void *)map.base;
	struct tapio_shm_region *all =
		(void *)(map.base + header->region_offset);

	for (uint32_t i = 0; i < header->region_count; i++)
		if (all[i].kind == TAPIO_REGION_COUNTERS)
			return &all[i];
	ck_abort_msg("no COUNTERS");
}

/* A catalog in a file of this process, where shmstat finds it, with room for more rows. */
static void setup(void)
{
	const struct tpi_catalog_size size = {
		.clients_max = 8, .segments = 4, .channels = 1};
	uint64_t end = (tpi_catalog_bytes(&size) + 63) & ~UINT64_C(63);
	int fd = memfd_create("tapio-catalog", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	map = (struct tpi_map){.writable = true};
	map.bytes = end + (TPI_COUNTERS + MORE) * sizeof(*rows);
	map.bytes = (map.bytes + 4095) & ~UINT64_C(4095);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)map.bytes), 0);
	map.base = mmap(NULL, map.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			0);
	ck_assert_ptr_ne(map.base, MAP_FAILED);
	/* Holes are no memory of a broker. */
	memset(map.base, 1, map.bytes);
	memset(map.base, 0, map.bytes);
	ck_assert_int_eq(tpi_catalog_build(&map, &size, instance), 0);
	ck_assert_int_eq(tpi_catalog_attach(&catalog, &map, NULL, 0), 0);
	catalog.broker->state = TAPIO_BROKER_RUNNING;
	catalog.broker->attachment = TAPIO_ATTACHMENT_ID(1, 1);
	catalog.broker->deaths = 5;
	region = find_region();
	rows = (void *)(map.base + end);
	memcpy(rows, catalog.counters, TPI_COUNTERS * sizeof(*rows));
	region->offset = end;
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
}

static void teardown(void)
{
	json_decref(look);
	look = NULL;
	command_free(&run);
}

static struct tapio_shm_counter *one_more(const char *name, uint32_t of,
					  uint32_t offset)
{
	struct tapio_shm_counter *row = &rows[region->count++];

	strcpy(row->name, name);
	strcpy(row->unit, "events");
	strcpy(row->meaning, "Events that came out elsewhere.");
	strcpy(row->cause, "A future that nobody knows.");
	strcpy(row->remedy, "Read the news.");
	row->of = of;
	row->offset = offset;
	row->type = TAPIO_COUNTED_COUNTER;
	return row;
}

static json_t *show(const char *part)
{
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--json", "--pid", pid, part, NULL);
	ck_assert_msg(!run.status, "status %d: %s", run.status, run.err);
	json_decref(look);
	look = json_loads(run.out, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(look);
	return json_object_get(look, part);
}

static const char *word(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

static json_t *find(const json_t *all, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(all, i, row)
	{
		if (!strcmp(word(row, "counter"), name))
			return row;
	}
	return NULL;
}

START_TEST(a_counter_of_a_newer_broker_is_shown_with_its_meaning)
{
	json_t *all, *row;

	one_more("teleports", TAPIO_COUNTER_OF_BROKER,
		 offsetof(struct tapio_shm_broker, reserved));
	catalog.broker->reserved[0] = 7;
	all = show("counters");
	ck_assert_uint_eq(json_array_size(all), TPI_COUNTERS + 1);
	row = find(all, "teleports");
	ck_assert_ptr_nonnull(row);
	ck_assert_int_eq(json_integer_value(json_object_get(row, "value")), 7);
	ck_assert_str_eq(word(row, "unit"), "events");
	ck_assert_str_eq(word(row, "type"), "counter");
	ck_assert_str_eq(word(row, "meaning"),
			 "Events that came out elsewhere.");
	ck_assert_int_eq(json_integer_value(json_object_get(
				 json_object_get(show("broker"), "counters"),
				 "teleports")),
			 7);
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--pid", pid, "counters",
		    "--explain", "teleports", NULL);
	ck_assert_int_eq(run.status, 0);
	ck_assert_ptr_nonnull(strstr(
		run.out, "teleports: 7 events (counter of the broker)\n"));
	ck_assert_ptr_nonnull(strstr(run.out, "  remedy  Read the news.\n"));
}
END_TEST

START_TEST(memory_without_descriptions_is_explained_by_what_the_tool_knows)
{
	json_t *all;

	((struct tapio_shm_header *)map.base)->abi_minor = 4;
	region->kind = 4711;
	all = show("counters");
	ck_assert_uint_eq(json_array_size(all), TPI_COUNTERS);
	ck_assert_int_eq(json_integer_value(
				 json_object_get(find(all, "deaths"), "value")),
			 5);
	ck_assert_str_eq(word(json_object_get(look, "liveness"), "keeper"),
			 "unknown");
}
END_TEST

/* Rows that lead out of their struct, or to nowhere. */
START_TEST(a_description_that_cannot_be_followed_is_left_out)
{
	one_more("beyond", TAPIO_COUNTER_OF_BROKER,
		 sizeof(struct tapio_shm_broker));
	one_more("far", TAPIO_COUNTER_OF_BROKER, UINT32_MAX - 7);
	one_more("crooked", TAPIO_COUNTER_OF_BROKER, 249);
	one_more("nowhere", 77, 0);
	one_more("lane", TAPIO_COUNTER_OF_LANE, sizeof(struct tapio_shm_lane));
	one_more("strange", TAPIO_COUNTER_OF_BROKER, 248)->type = 9;
	ck_assert_uint_eq(json_array_size(show("counters")), TPI_COUNTERS);
}
END_TEST

START_TEST(texts_of_a_description_are_bounded_and_printable)
{
	struct tapio_shm_counter *row =
		one_more("", TAPIO_COUNTER_OF_BROKER, 248);
	json_t *last;

	memset(row->name, '\033', sizeof(row->name));
	memset(row->unit, 0xff, sizeof(row->unit));
	memset(row->meaning, 'm', sizeof(row->meaning));
	memset(row->cause, '\n', sizeof(row->cause));
	memset(row->remedy, 'r', sizeof(row->remedy));
	last = json_array_get(show("counters"), TPI_COUNTERS);
	ck_assert_str_eq(word(last, "counter"),
			 "????????????????????????????????");
	ck_assert_str_eq(word(last, "unit"), "????????????????");
	ck_assert_uint_eq(strlen(word(last, "meaning")), sizeof(row->meaning));
	ck_assert_uint_eq(strspn(word(last, "cause"), "?"), sizeof(row->cause));
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--pid", pid, "counters",
		    "--explain", NULL);
	ck_assert_int_eq(run.status, 0);
	ck_assert_ptr_null(strchr(run.out, '\033'));
	ck_assert_ptr_null(strchr(run.out, '\xff'));
}
END_TEST

/* Each is shown once more, by another name. */
START_TEST(as_many_rows_as_there_may_be_are_shown)
{
	while (region->count < TPI_COUNTERS + MORE) {
		char name[32];

		snprintf(name, sizeof(name), "again_%u",
			 (unsigned int)region->count);
		one_more(name, TAPIO_COUNTER_OF_BROKER, 248);
	}
	ck_assert_uint_eq(json_array_size(show("counters")),
			  TPI_COUNTERS + MORE);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("shmstat_counters");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c,
		       a_counter_of_a_newer_broker_is_shown_with_its_meaning);
	tcase_add_test(
		c,
		memory_without_descriptions_is_explained_by_what_the_tool_knows);
	tcase_add_test(c, a_description_that_cannot_be_followed_is_left_out);
	tcase_add_test(c, texts_of_a_description_are_bounded_and_printable);
	tcase_add_test(c, as_many_rows_as_there_may_be_are_shown);
	return check_run_case("shmstat_counters", c);
}
