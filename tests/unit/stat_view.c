/* SPDX-License-Identifier: Apache-2.0 */
/* `watch` without a terminal: looks and keys in, sheets out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stat_looks.h"
#include "tests/check_main.h"
#include "tools/shmstat/serve/metrics.h"
#include "tools/shmstat/watch/format.h"
#include "tools/shmstat/watch/view.h"

static struct rates *rates;
static json_t *look;
static struct view view;
static char text[65536]; /* of the last sheet */

static void add(struct made_look made, int64_t at_ns)
{
	json_decref(look);
	look = make_look(&made);
	ck_assert_int_eq(rates_add(rates, look, at_ns), 0);
}

static void setup(void)
{
	rates = rates_new();
	memset(&view, 0, sizeof(view));
	add((struct made_look){.published = 1000, .full = 5, .delivered = 900},
	    0);
	add((struct made_look){.published = 1250,
			       .full = 12,
			       .delivered = 1150,
			       .lag = 48,
			       .lost = 3,
			       .used = 48},
	    SECOND_NS);
}

static void teardown(void)
{
	json_decref(look);
	look = NULL;
	rates_free(rates);
}

/* Lays the view out into `text`. Asserts the size, and that each glyph is whole. */
static void lay_out(int width, int height, bool utf8)
{
	struct shown shown = {
		.look = look,
		.rates = rates,
		.why = look ? "" : "no broker at /run/x.sock",
		.change = "",
		.utf8 = utf8,
	};
	struct sheet sheet;
	size_t used = 0;

	view_layout(&view, &shown, width, height, &sheet);
	ck_assert_int_eq(sheet.rows, height);
	ck_assert_int_eq(sheet.width, width);
	for (int row = 0; row < sheet.rows; row++) {
		char *line = sheet_text(&sheet, row);

		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s\n", line);
		ck_assert_uint_lt(used, sizeof(text));
		free(line);
	}
	sheet_free(&sheet);
}

static void press(int key)
{
	view_key(&view, key);
}

static void assert_shows(const char *what)
{
	ck_assert_msg(strstr(text, what) != NULL, "no '%s' in:\n%s", what,
		      text);
}

static void assert_hides(const char *what)
{
	ck_assert_msg(!strstr(text, what), "'%s' in:\n%s", what, text);
}

START_TEST(the_overview_shows_the_facts_at_both_sizes)
{
	static const int sizes[][2] = {{80, 24}, {200, 60}};

	for (size_t i = 0; i < 2; i++) {
		lay_out(sizes[i][0], sizes[i][1], true);
		assert_shows("tapiod 100 running");
		assert_shows("healthy");
		assert_shows("events/s    250");
		assert_shows("read/s      250");
		assert_shows("refused/s   7.0");
		assert_shows("lost/s      3.0");
		assert_shows("events main");
		assert_shows("!  75%");
		assert_shows("etl");
		assert_shows("1.50"); /* p50 in us */
		assert_shows("46.0"); /* p99 */
		assert_shows("events main: full, group etl has 48 unread");
		assert_shows("cpu 0");
	}
}
END_TEST

/* Its events are in no sum. */
START_TEST(a_lag_without_a_group_that_is_not_read_is_at_least_that)
{
	json_t *groups, *hidden;
	struct made_look made = {.published = 1500, .lag = 48};

	json_decref(look);
	look = make_look(&made);
	groups = json_object_get(look, "groups");
	hidden = json_deep_copy(json_array_get(groups, 0));
	json_object_set_new(hidden, "group", json_string("hidden"));
	json_object_set_new(hidden, "slot", json_integer(1));
	json_object_set_new(hidden, "in_flight", json_null());
	json_object_set_new(hidden, "not_read", json_true());
	json_array_append_new(groups, hidden);
	ck_assert_int_eq(rates_add(rates, look, 2 * SECOND_NS), 0);
	lay_out(80, 24, false);
	assert_shows("lag         48+");
}
END_TEST

START_TEST(ascii_is_all_that_a_plain_terminal_gets)
{
	lay_out(80, 24, false);
	for (const char *c = text; *c; c++)
		ck_assert_msg((unsigned char)*c < 128, "%s", text);
	assert_shows("!  75%");
}
END_TEST

/* On any size: no crash, never more rows or columns than there are. */
START_TEST(every_size_is_laid_out)
{
	for (int width = 1; width < 260; width += 7)
		for (int height = 1; height < 80; height += 5) {
			lay_out(width, height, true);
			if (width < VIEW_WIDTH_MIN || height < VIEW_HEIGHT_MIN)
				ck_assert(width < 12 || strstr(text, "is too"));
		}
}
END_TEST

START_TEST(names_from_shared_memory_cannot_move_the_cursor)
{
	json_object_set_new(json_array_get(json_object_get(look, "groups"), 0),
			    "group", json_string("\x1b[2J\a"));
	lay_out(80, 24, true);
	ck_assert_ptr_null(strchr(text, '\x1b'));
	assert_shows("?[2J?");
}
END_TEST

START_TEST(the_filter_is_typed_and_cleared)
{
	press('2');
	lay_out(80, 24, true);
	assert_shows("cpu 0");
	assert_shows("cpu 1");
	for (const char *c = "/CPU 1"; *c; c++)
		press(*c);
	lay_out(80, 24, true);
	assert_shows("filter: CPU 1");
	assert_hides("cpu 0");
	assert_shows("cpu 1");
	press(VIEW_BACKSPACE);
	press('9');
	press(VIEW_ENTER);
	lay_out(80, 24, true);
	assert_shows("none that the filter lets through");
	press(VIEW_ESCAPE);
	lay_out(80, 24, true);
	assert_hides("filter:");
	assert_shows("cpu 0");
}
END_TEST

START_TEST(a_letter_is_typed_into_the_filter_and_does_nothing_else)
{
	press('/');
	press('q');
	press(' ');
	press('?');
	ck_assert(!view.quit && !view.paused && !view.help);
	ck_assert_str_eq(view.filter, "q ?");
	press(VIEW_ESCAPE);
	press('q');
	ck_assert(view.quit);
}
END_TEST

START_TEST(rows_open_and_close)
{
	press('2');
	lay_out(80, 40, true);
	press(VIEW_ENTER); /* the lane with the highest rate */
	lay_out(80, 40, true);
	assert_shows("LANE events main cpu 0");
	assert_shows("48 of 64 blocks of 128 bytes");
	assert_shows("12 events, 7.0/s");
	assert_shows("reader[4321]");
	press(VIEW_ENTER); /* its group */
	lay_out(80, 40, true);
	assert_shows("GROUP etl of channel events");
	assert_shows("p99.9 us");
	press(VIEW_ENTER); /* its member */
	lay_out(80, 40, true);
	assert_shows("CLIENT reader[4321]");
	press(VIEW_ESCAPE);
	lay_out(80, 40, true);
	assert_shows("GROUP etl");
	press(VIEW_ESCAPE);
	press(VIEW_ESCAPE);
	lay_out(80, 40, true);
	assert_shows("LANES by rate");
}
END_TEST

START_TEST(what_is_gone_says_so)
{
	press('3');
	lay_out(80, 24, true);
	press(VIEW_ENTER);
	json_array_clear(json_object_get(look, "groups"));
	lay_out(80, 24, true);
	assert_shows("it is not there any more");
	press(VIEW_ESCAPE);
	lay_out(80, 24, true);
	assert_shows("none");
}
END_TEST

/* The selected row stays selected when sorting moves it. */
START_TEST(the_selection_follows_its_row)
{
	press('2');
	lay_out(80, 24, true);
	assert_shows("> events     main     cpu 0");
	press(VIEW_DOWN);
	lay_out(80, 24, true);
	assert_shows("> events     main     cpu 1");
	press('r');
	lay_out(80, 24, true);
	assert_shows("> events     main     cpu 1");
	assert_shows("by rate, reversed");
	for (int i = 0; i < 6; i++)
		press('s'); /* all keys, and round */
	lay_out(80, 24, true);
	assert_shows("by rate");
	press(VIEW_HOME);
	lay_out(80, 24, true);
	assert_shows("> events     main     cpu 0");
	press(VIEW_END);
	lay_out(80, 24, true);
	assert_shows("> events     main     cpu 1");
}
END_TEST

START_TEST(help_comes_and_goes)
{
	press('?');
	lay_out(80, 24, true);
	assert_shows("filter by typing");
	press('q'); /* leaves the help, and no more */
	ck_assert(!view.quit);
	lay_out(80, 24, true);
	assert_hides("filter by typing");
}
END_TEST

START_TEST(without_memory_it_says_what_it_waits_for)
{
	json_decref(look);
	look = NULL;
	lay_out(80, 24, true);
	assert_shows("WAITING");
	assert_shows("no broker at /run/x.sock");
}
END_TEST

START_TEST(random_keys_do_no_harm)
{
	static const int keys[] = {VIEW_UP,
				   VIEW_DOWN,
				   VIEW_LEFT,
				   VIEW_RIGHT,
				   VIEW_ENTER,
				   VIEW_ESCAPE,
				   VIEW_PAGE_UP,
				   VIEW_PAGE_DOWN,
				   VIEW_HOME,
				   VIEW_END,
				   VIEW_BACKSPACE,
				   's',
				   'r',
				   '/',
				   '?',
				   ' ',
				   '1',
				   '2',
				   '3',
				   '4',
				   'x'};
	unsigned int seed = 4711;

	for (int i = 0; i < 20000; i++) {
		seed = seed * 1103515245 + 12345;
		press(keys[(seed >> 16) % (sizeof(keys) / sizeof(keys[0]))]);
		if (i % 10 == 0)
			lay_out(40 + (int)(seed >> 20) % 100,
				10 + (int)(seed >> 24) % 40, true);
	}
}
END_TEST

static unsigned int roll(unsigned int *seed, unsigned int sides)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % sides;
}

static json_t *any_value(unsigned int *seed)
{
	switch (roll(seed, 8)) {
	case 0:
		return json_null();
	case 1:
		return json_integer(-1);
	case 2:
		return json_integer(INT64_MAX);
	case 3:
		return json_integer(INT64_MIN);
	case 4:
		return json_real(1e300);
	case 5:
		return json_string(
			"an \xc3\xa4 and a very long name: ...........");
	case 6:
		return json_array();
	default:
		return json_object();
	}
}

/* Replaces one value somewhere below. */
static void damage(json_t *value, unsigned int *seed)
{
	const char *key = NULL;
	json_t *child = NULL;

	if (json_is_array(value) && json_array_size(value)) {
		size_t i = roll(seed, (unsigned int)json_array_size(value));

		if (roll(seed, 4))
			damage(json_array_get(value, i), seed);
		else
			json_array_set_new(value, i, any_value(seed));
	} else if (json_is_object(value) && json_object_size(value)) {
		unsigned int left =
			roll(seed, (unsigned int)json_object_size(value));

		json_object_foreach(value, key, child) if (!left--) break;
		if (roll(seed, 3) &&
		    (json_is_array(child) || json_is_object(child)))
			damage(child, seed);
		else
			json_object_set_new(value, key, any_value(seed));
	}
}

/* A later version, or garbage in the memory: values of any kind at any place. */
START_TEST(values_of_any_kind_do_no_harm)
{
	static const char screens[] = "1234";
	unsigned int seed = 1871;
	size_t length;

	for (int i = 0; i < 1500; i++) {
		struct made_look made = {.published = i, .full = i, .lag = i};

		json_decref(look);
		look = make_look(&made);
		for (unsigned int n = roll(&seed, 6); n; n--)
			damage(look, &seed);
		ck_assert_int_eq(rates_add(rates, look, i * SECOND_NS), 0);
		press(screens[i % 4]);
		if (i % 3 == 0)
			press(VIEW_ENTER);
		lay_out(80, 24, true);
		free(metrics_text(look, i & 1, &length));
		json_decref(metrics_page(look, ""));
	}
}
END_TEST

START_TEST(numbers_fit_six_columns)
{
	static const struct {
		double n;
		const char *count, *rate, *us;
	} cases[] = {
		{0, "0", "0", "0.00"},
		{7, "7", "7.0", "0.01"},
		{999, "999", "999", "1.00"},
		{12345, "12345", "12.3k", "12.3"},
		{99999, "99999", "100k", "100.0"},
		{100000, "100k", "100k", "100.0"},
		{1234567, "1.23M", "1.23M", "1235"},
		{999999999, "1.00G", "1.00G", "1.0s"},
		{4e18, "4.00E", "4.00E", ">999s"},
	};
	char out[FORMAT_BYTES];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_str_eq(format_count(out, cases[i].n), cases[i].count);
		ck_assert_uint_le(strlen(out), 6);
		ck_assert_str_eq(format_rate(out, cases[i].n), cases[i].rate);
		ck_assert_str_eq(format_us(out, cases[i].n), cases[i].us);
		ck_assert_uint_le(strlen(out), 6);
	}
	ck_assert_str_eq(format_rate(out, (double)NAN), "-");
	ck_assert_str_eq(format_age(out, 3723), "1h 2m");
}
END_TEST

START_TEST(a_spark_marks_gaps_and_scales_to_its_peak)
{
	const double points[] = {0, 4, (double)NAN, 8};
	struct sheet sheet;
	char *line;

	sheet_init(&sheet, 10);
	format_spark(&sheet, sheet_row(&sheet), 1, 6, points, 4, true);
	line = sheet_text(&sheet, 0);
	ck_assert_str_eq(line, "   ▁▄ █");
	free(line);
	sheet_free(&sheet);
}
END_TEST

/* 256 CPUs on four nodes fit, each lane in a cell of its own. */
START_TEST(a_large_host_has_a_cell_for_each_cpu)
{
	json_t *lanes = json_object_get(look, "lanes"), *first, *lane;
	size_t cells = 0;

	first = json_array_get(lanes, 1);
	for (int cpu = 2; cpu < 256; cpu++) {
		lane = json_deep_copy(first);
		json_object_set_new(lane, "lane", json_integer(cpu));
		json_object_set_new(lane, "cpu", json_integer(cpu));
		json_object_set_new(lane, "node", json_integer(cpu / 64));
		json_array_append_new(lanes, lane);
	}
	lay_out(80, 60, false);
	assert_shows("n0 cpu 0-42");
	assert_shows("n3 cpu 192-234");
	assert_shows("n3 cpu 235-255");
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, " cpu ") && line[20] == 'n')
			cells += strlen(line) - 37;
	ck_assert_uint_eq(cells, 256);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("stat_view");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_overview_shows_the_facts_at_both_sizes);
	tcase_add_test(tc,
		       a_lag_without_a_group_that_is_not_read_is_at_least_that);
	tcase_add_test(tc, ascii_is_all_that_a_plain_terminal_gets);
	tcase_add_test(tc, every_size_is_laid_out);
	tcase_add_test(tc, names_from_shared_memory_cannot_move_the_cursor);
	tcase_add_test(tc, the_filter_is_typed_and_cleared);
	tcase_add_test(tc,
		       a_letter_is_typed_into_the_filter_and_does_nothing_else);
	tcase_add_test(tc, rows_open_and_close);
	tcase_add_test(tc, what_is_gone_says_so);
	tcase_add_test(tc, the_selection_follows_its_row);
	tcase_add_test(tc, help_comes_and_goes);
	tcase_add_test(tc, without_memory_it_says_what_it_waits_for);
	tcase_add_test(tc, random_keys_do_no_harm);
	tcase_add_test(tc, values_of_any_kind_do_no_harm);
	tcase_add_test(tc, numbers_fit_six_columns);
	tcase_add_test(tc, a_spark_marks_gaps_and_scales_to_its_peak);
	tcase_add_test(tc, a_large_host_has_a_cell_for_each_cpu);
	return check_run_case("stat_view", tc);
}
