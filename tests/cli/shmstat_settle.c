/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look while heads move, by a hook at each load of a head: one that stands still in the
 * end is settled and exact, and one that never does is marked and no fact.
 */
#include <check.h>
#include <string.h>

#include "check_world.h"
#include "lib/base/testpoint.h"
#include "tests/check_main.h"
#include "tools/shmstat/parts.h"
#include "tools/shmstat/table.h"

#define PARTS (PART_LEDGER | PART_GROUPS | PART_SUMMARY | PART_LANES)

static struct check_world w;
static struct tapio_shm_cell *cell;
static unsigned int moves;
static json_t *look;

/* There and back: after an even number of moves it is where it was. */
static void move_on(const char *name)
{
	if (strcmp(name, "ledger.head") != 0 || !moves)
		return;
	moves--;
	cell->head ^= TAPIO_HEAD(1, 0, 0);
}

static void setup(void)
{
	const struct tapio_shm_cursor *cursor;

	check_world_open(&w);
	check_world_copy(&w);
	cursor = &w.inspect->channels[0].cursors[0].cursors[w.busy->id];
	cell = (struct tapio_shm_cell *)&cursor->cells[0];
	for (int i = 0; i < TAPIO_CELLS; i++)
		if (TAPIO_HEAD_POSITION(cursor->cells[i].head) >
		    TAPIO_HEAD_POSITION(cell->head))
			cell = (struct tapio_shm_cell *)&cursor->cells[i];
}

static void teardown(void)
{
	json_decref(look);
	check_world_close(&w);
}

static void collect(unsigned int number)
{
	moves = number;
	tpi_testpoint_set(move_on);
	look = parts_collect(w.inspect, PARTS);
	tpi_testpoint_set(NULL);
	ck_assert_ptr_nonnull(look);
}

/* The row with events in it. */
static json_t *busy_row(const char *part)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(look, part), i, row)
	{
		if (json_integer_value(json_object_get(row, "in_flight")) > 0)
			return row;
	}
	ck_abort_msg("%s: nothing is in flight", part);
}

static bool is_unsettled(const json_t *row)
{
	return json_is_true(json_object_get(row, "unsettled"));
}

static const char *shown(const json_t *row, const char *key)
{
	static char cell_text[CELL_BYTES];
	const struct column column = {key, "", COLUMN_COUNT, 1};

	cell_print(cell_text, row, &column, false);
	return cell_text;
}

/* More moves than one read has attempts, and fewer than a look has. */
START_TEST(a_head_that_stands_still_in_the_end_is_exact)
{
	collect(600);
	ck_assert_uint_eq(moves, 0);
	ck_assert(!is_unsettled(busy_row("ledger")));
	ck_assert(!is_unsettled(busy_row("groups")));
	ck_assert_str_eq(shown(busy_row("ledger"), "delivered"), "10");
	ck_assert_str_eq(shown(busy_row("groups"), "in_flight"), "20");
}
END_TEST

START_TEST(a_head_that_never_stands_still_is_marked)
{
	static const char *const parts[] = {"ledger", "groups", "summary"};
	json_t *row;

	collect(UINT32_MAX);
	for (int i = 0; i < 3; i++) {
		row = busy_row(parts[i]);
		ck_assert_msg(is_unsettled(row), "%s", parts[i]);
		ck_assert_int_eq(*shown(row, "in_flight"), '~');
		ck_assert_uint_eq(
			json_array_size(json_object_get(row, "faults")), 0);
	}
	ck_assert_str_eq(shown(busy_row("ledger"), "delivered"), "-");
	ck_assert_str_eq(shown(busy_row("groups"), "delivered"), "-");
	ck_assert(
		json_is_null(json_object_get(busy_row("ledger"), "balanced")));
	/* It is no fault that one reads at a bad moment. The broker is stopped, which is one. */
	row = json_object_get(look, "faults");
	ck_assert_uint_eq(json_array_size(row), 1);
	ck_assert_str_eq(json_string_value(json_array_get(row, 0)),
			 "broker-stopped");
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("shmstat_settle");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_head_that_stands_still_in_the_end_is_exact);
	tcase_add_test(c, a_head_that_never_stands_still_is_marked);
	return check_run_case("shmstat_settle", c);
}
