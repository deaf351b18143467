/* SPDX-License-Identifier: Apache-2.0 */
/* What people read for a value of the JSON: three digits and a unit, and no false number. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/check_main.h"
#include "tools/shmstat/table.h"

static const struct {
	const char *row; /* {"key": .., "unsettled": ..} */
	enum column_format format;
	bool scaled;
	const char *shown;
} cells[] = {
	{"{}", COLUMN_COUNT, false, "-"},
	{"{'key': null}", COLUMN_COUNT, false, "-"},
	{"{'key': ''}", COLUMN_PLAIN, false, "-"},
	{"{'key': 'word'}", COLUMN_PLAIN, true, "word"},
	{"{'key': true}", COLUMN_PLAIN, true, "yes"},
	{"{'key': false}", COLUMN_PLAIN, true, "no"},
	{"{'key': 12345678}", COLUMN_COUNT, false, "12345678"},
	{"{'key': 12345678}", COLUMN_COUNT, true, "12.3M"},
	{"{'key': 12345678}", COLUMN_PLAIN, true, "12345678"},
	{"{'key': 9999999}", COLUMN_COUNT, true, "9999999"},
	{"{'key': 10000000}", COLUMN_COUNT, true, "10M"},
	{"{'key': 999499999}", COLUMN_COUNT, true, "999M"},
	{"{'key': 999500000}", COLUMN_COUNT, true, "1.00G"},
	{"{'key': 9223372036854775807}", COLUMN_COUNT, true, "9.22E"},
	{"{'key': 5, 'unsettled': true}", COLUMN_COUNT, true, "~5"},
	{"{'key': 5, 'unsettled': true}", COLUMN_PLAIN, true, "5"},
	{"{'key': null, 'unsettled': true}", COLUMN_COUNT, true, "-"},
	{"{'key': 5, 'unsettled': false}", COLUMN_COUNT, true, "5"},
	{"{'key': 0}", COLUMN_BYTES, false, "0B"},
	{"{'key': 1023}", COLUMN_BYTES, false, "1023B"},
	{"{'key': 1536}", COLUMN_BYTES, false, "1.50K"},
	{"{'key': 2097152}", COLUMN_BYTES, false, "2M"},
	{"{'key': 999}", COLUMN_NS, false, "999ns"},
	{"{'key': 1250}", COLUMN_NS, false, "1.25us"},
	{"{'key': 999999}", COLUMN_NS, false, "1.00ms"},
	{"{'key': 61000000000}", COLUMN_NS, false, "61s"},
	{"{'key': 0.25}", COLUMN_SECONDS, false, "0.2s"},
	{"{'key': 119.9}", COLUMN_SECONDS, false, "119.9s"},
	{"{'key': 120}", COLUMN_SECONDS, false, "2m00s"},
	{"{'key': 7200}", COLUMN_SECONDS, false, "2h00m"},
	{"{'key': 172799}", COLUMN_SECONDS, false, "47h59m"},
	{"{'key': 172800}", COLUMN_SECONDS, false, "2d00h"},
	{"{'key': {'a': 0, 'b': 3, 'c': 20000000}}", COLUMN_PLAIN, false,
	 "b=3,c=20000000"},
	{"{'key': {'a': 0, 'b': 3, 'c': 20000000}}", COLUMN_PLAIN, true,
	 "b=3,c=20M"},
	{"{'key': {'a': 0}}", COLUMN_PLAIN, false, "0"},
	{"{'key': {}}", COLUMN_PLAIN, false, "-"},
	{"{'key': ['x', 'y']}", COLUMN_PLAIN, false, "x,y"},
	{"{'key': []}", COLUMN_PLAIN, false, "-"},
};
#define CELLS (int)(sizeof(cells) / sizeof(cells[0]))

static json_t *row_of(const char *quoted)
{
	char text[256];
	json_t *row;

	snprintf(text, sizeof(text), "%s", quoted);
	for (char *at = text; *at; at++)
		if (*at == '\'')
			*at = '"';
	row = json_loads(text, 0, NULL);
	ck_assert_msg(row != NULL, "%s", text);
	return row;
}

START_TEST(a_value_is_shown_so)
{
	const struct column column = {"key", "KEY", cells[_i].format, 1};
	json_t *row = row_of(cells[_i].row);
	char cell[CELL_BYTES];

	cell_print(cell, row, &column, cells[_i].scaled);
	ck_assert_str_eq(cell, cells[_i].shown);
	json_decref(row);
}
END_TEST

START_TEST(a_key_names_what_is_in_an_object)
{
	const struct column column = {"of/p99.9", "", COLUMN_NS, 1};
	json_t *row = row_of("{'of': {'p99.9': 7}}");
	char cell[CELL_BYTES];

	cell_print(cell, row, &column, false);
	ck_assert_str_eq(cell, "7ns");
	json_decref(row);
}
END_TEST

/* The first and the last letters are those that tell names apart. */
START_TEST(a_long_cell_loses_its_middle)
{
	char cell[CELL_BYTES] = "abcdefghijkl";

	cell_cut(cell, 12);
	ck_assert_str_eq(cell, "abcdefghijkl");
	cell_cut(cell, 11);
	ck_assert_str_eq(cell, "abcde..ijkl");
	cell_cut(cell, 8);
	ck_assert_str_eq(cell, "abc..jkl");
}
END_TEST

/* A number that were cut would be another number. */
START_TEST(entries_that_have_no_room_are_left_out_whole)
{
	json_t *object = json_object(), *row = json_object();
	const struct column column = {"key", "", COLUMN_PLAIN, 1};
	char cell[CELL_BYTES], name[32];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "counter_%02d", i);
		json_object_set_new(object, name, json_integer(1234567));
	}
	json_object_set_new(row, "key", object);
	cell_print(cell, row, &column, false);
	ck_assert_uint_lt(strlen(cell), CELL_BYTES);
	ck_assert_str_eq(cell + strlen(cell) - 11, "=1234567,..");
	json_decref(row);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("shmstat_cells");

	tcase_add_loop_test(c, a_value_is_shown_so, 0, CELLS);
	tcase_add_test(c, a_key_names_what_is_in_an_object);
	tcase_add_test(c, a_long_cell_loses_its_middle);
	tcase_add_test(c, entries_that_have_no_room_are_left_out_whole);
	return check_run_case("shmstat_cells", c);
}
