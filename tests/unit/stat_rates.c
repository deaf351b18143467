/* SPDX-License-Identifier: Apache-2.0 */
/* Rates of two looks, and that no reset shows as a number. */
#include <math.h>
#include <string.h>

#include "stat_looks.h"
#include "tests/check_main.h"
#include "tools/shmstat/get.h"
#include "tools/shmstat/rates.h"
#include "tools/shmstat/serve/metrics.h"

static struct rates *rates;
static json_t *look;

static void setup(void)
{
	rates = rates_new();
	ck_assert_ptr_nonnull(rates);
}

static void teardown(void)
{
	json_decref(look);
	look = NULL;
	rates_free(rates);
}

static void add(struct made_look made, int64_t at_ns)
{
	json_decref(look);
	look = make_look(&made);
	ck_assert_int_eq(rates_add(rates, look, at_ns), 0);
}

static double of(const char *part, const char *key)
{
	json_t *rows = json_object_get(look, part);

	ck_assert_ptr_nonnull(rows);
	if (json_is_array(rows))
		rows = json_array_get(rows, 0);
	ck_assert_ptr_nonnull(json_object_get(rows, key));
	return get_number(rows, key);
}

static const char *change(size_t i)
{
	const char *text = json_string_value(
		json_array_get(json_object_get(look, "changes"), i));

	return text ? text : "";
}

/* Nothing that needs a look before has a number. */
static void assert_unknown(void)
{
	ck_assert(isnan(of("lanes", "published_per_s")));
	ck_assert(isnan(of("lanes", "dropped_per_s")));
	ck_assert(isnan(of("groups", "delivered_per_s")));
	ck_assert(isnan(of("groups", "lost_per_s")));
	ck_assert(isnan(of("channels", "published_per_s")));
	ck_assert(isnan(of("totals", "published_per_s")) ||
		  of("totals", "published_per_s") == 0); /* of the other lane */
}

START_TEST(a_first_look_has_no_rates)
{
	add((struct made_look){.published = 1000, .delivered = 900, .lag = 100},
	    0);
	assert_unknown();
	ck_assert(isnan(get_number(look, "interval_s")));
	ck_assert_double_eq(of("groups", "lag"), 100);
	ck_assert_double_eq(of("totals", "lag"), 100);
	ck_assert_double_eq(of("channels", "published"), 1000);
}
END_TEST

START_TEST(rates_are_differences_by_the_time_that_has_passed)
{
	add((struct made_look){.published = 1000, .full = 10, .delivered = 900},
	    SECOND_NS);
	add((struct made_look){.published = 1500,
			       .full = 30,
			       .delivered = 1300,
			       .lost = 4,
			       .used = 32},
	    3 * SECOND_NS);
	ck_assert_double_eq(get_number(look, "interval_s"), 2);
	ck_assert_double_eq(of("lanes", "published_per_s"), 250);
	ck_assert_double_eq(of("lanes", "dropped_per_s"), 10);
	ck_assert_double_eq(of("lanes", "fill"), 0.5);
	ck_assert_double_eq(of("groups", "delivered_per_s"), 200);
	ck_assert_double_eq(of("groups", "lost_per_s"), 2);
	ck_assert_double_eq(of("channels", "published_per_s"), 250);
	ck_assert_double_eq(of("totals", "published_per_s"), 250);
	ck_assert_double_eq(
		get_number(json_object_get(
				   json_array_get(
					   json_object_get(look, "lanes"), 0),
				   "dropped_by_cause_per_s"),
			   "full"),
		10);
	ck_assert_uint_eq(json_array_size(json_object_get(look, "changes")), 0);
}
END_TEST

START_TEST(another_instance_has_no_rates)
{
	add((struct made_look){.published = 10}, 0);
	add((struct made_look){.published = 1000000,
			       .delivered = 1000000,
			       .instance = "bbbbbbbbbbbb"},
	    SECOND_NS);
	assert_unknown();
	ck_assert_ptr_nonnull(strstr(change(0), "another instance: bbbbbbbb"));
	add((struct made_look){.published = 1000007,
			       .delivered = 1000000,
			       .instance = "bbbbbbbbbbbb"},
	    2 * SECOND_NS);
	ck_assert_double_eq(of("lanes", "published_per_s"), 7);
}
END_TEST

/* Its memory goes on, so do the rates. */
START_TEST(a_broker_that_took_over_is_said_and_rates_go_on)
{
	add((struct made_look){.published = 10}, 0);
	add((struct made_look){.published = 30, .pid = 200}, SECOND_NS);
	ck_assert_double_eq(of("lanes", "published_per_s"), 20);
	ck_assert_ptr_nonnull(strstr(change(0), "process 200 has taken over"));
}
END_TEST

START_TEST(a_channel_that_was_made_anew_has_no_rates)
{
	add((struct made_look){.published = 10, .epoch = 1}, 0);
	add((struct made_look){.published = 5000, .epoch = 2}, SECOND_NS);
	assert_unknown();
	ck_assert_str_eq(change(0), "channel events was made anew");
}
END_TEST

START_TEST(a_counter_that_went_back_has_no_rate)
{
	add((struct made_look){.published = 5000, .delivered = 5000}, 0);
	add((struct made_look){.published = 10, .delivered = 5001}, SECOND_NS);
	ck_assert(isnan(of("lanes", "published_per_s")));
	ck_assert_double_eq(of("groups", "delivered_per_s"), 1);
}
END_TEST

START_TEST(another_group_of_the_same_name_has_no_rates)
{
	add((struct made_look){.delivered = 10, .incarnation = 1}, 0);
	add((struct made_look){.delivered = 900, .incarnation = 2}, SECOND_NS);
	ck_assert(isnan(of("groups", "delivered_per_s")));
}
END_TEST

/* Rows that a removed channel and its successor share have no rates, and do not crash. */
START_TEST(two_rows_of_one_name_have_no_rates)
{
	for (int i = 0; i < 2; i++) {
		struct made_look made = {.published = 10 + i};
		json_t *lanes;

		json_decref(look);
		look = make_look(&made);
		lanes = json_object_get(look, "lanes");
		json_array_append_new(lanes,
				      json_deep_copy(json_array_get(lanes, 0)));
		ck_assert_int_eq(rates_add(rates, look, i * SECOND_NS), 0);
	}
	ck_assert(isnan(of("lanes", "published_per_s")));
}
END_TEST

START_TEST(histories_keep_the_newest_points_and_mark_gaps)
{
	double points[RATES_POINTS];
	size_t count;
	char key[RATES_KEY];

	for (int i = 0; i < RATES_POINTS + 10; i++)
		add((struct made_look){.published = i * i}, i * SECOND_NS);
	count = rates_history(
		rates,
		rates_lane_key(
			json_array_get(json_object_get(look, "lanes"), 0), key),
		"published", points, RATES_POINTS);
	ck_assert_uint_eq(count, RATES_POINTS);
	/* (i * i) - (i - 1) * (i - 1) */
	ck_assert_double_eq(points[count - 1], 2 * (RATES_POINTS + 9) - 1);
	ck_assert_double_eq(points[0], 2 * 10 - 1);
	add((struct made_look){.published = 0},
	    (RATES_POINTS + 10) * SECOND_NS);
	count = rates_history(rates, key, "published", points, 2);
	ck_assert_uint_eq(count, 2);
	ck_assert_double_eq(points[0], 2 * (RATES_POINTS + 9) - 1);
	ck_assert(isnan(points[1]));
	ck_assert_uint_eq(
		rates_history(rates, "lane/none", "published", points, 2), 0);
}
END_TEST

START_TEST(a_look_without_parts_is_no_crash)
{
	for (int i = 0; i < 2; i++) {
		json_decref(look);
		look = json_object();
		ck_assert_int_eq(rates_add(rates, look, i * SECOND_NS), 0);
	}
	ck_assert(isnan(of("totals", "published_per_s")));
}
END_TEST

/* Without the right to read it, it is not known, and not zero. */
START_TEST(a_channel_that_cannot_be_read_has_no_numbers)
{
	struct made_look made = {0};

	for (int i = 0; i < 2; i++) {
		json_decref(look);
		look = make_look(&made);
		json_array_clear(json_object_get(look, "lanes"));
		json_array_clear(json_object_get(look, "groups"));
		json_object_set_new(look, "not_read",
				    json_pack("[{s:s,s:s}]", "channel",
					      "events", "why", "no right"));
		ck_assert_int_eq(rates_add(rates, look, i * SECOND_NS), 0);
	}
	ck_assert(isnan(of("channels", "published")));
	ck_assert(isnan(of("channels", "dropped_total")));
	ck_assert(isnan(of("totals", "lag")));
	ck_assert(isnan(of("totals", "used")));
	ck_assert(isnan(of("totals", "published_per_s")));
}
END_TEST

/* ---- drops ------------------------------------------------------------------------ */

static json_t *drop(void)
{
	json_t *drops = json_object_get(look, "drops");

	ck_assert_uint_eq(json_array_size(drops), 1);
	return json_array_get(drops, 0);
}

START_TEST(refusals_name_the_group_that_is_behind)
{
	add((struct made_look){.full = 5, .lag = 60}, 0);
	ck_assert(isnan(get_number(drop(), "dropped_per_s")));
	add((struct made_look){.full = 8, .lag = 60}, SECOND_NS);
	ck_assert_str_eq(get_text(drop(), "cause"), "full");
	ck_assert_str_eq(get_text(drop(), "group"), "etl");
	ck_assert_int_eq(get_count(drop(), "unread"), 60);
	ck_assert_int_eq(get_count(drop(), "dropped"), 8);
	ck_assert_double_eq(get_number(drop(), "dropped_per_s"), 3);
	ck_assert_int_eq(get_count(drop(), "lanes"), 1);
	/* It has read all at the moment of the look. */
	add((struct made_look){.full = 9, .lag = 0}, 2 * SECOND_NS);
	ck_assert_str_eq(get_text(drop(), "group"), "etl");
	ck_assert_int_eq(get_count(drop(), "unread"), 0);
	ck_assert_int_eq(get_count(drop(), "peak"), 48);
}
END_TEST

START_TEST(a_lossy_group_is_not_blamed)
{
	add((struct made_look){.full = 5, .lag = 60, .lossy = 1}, 0);
	ck_assert(json_is_null(json_object_get(drop(), "group")));
}
END_TEST

/* ---- metrics ------------------------------------------------------------------------ */

static char *metrics(bool open)
{
	size_t length;
	char *text = metrics_text(look, open, &length);

	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(strlen(text), length);
	return text;
}

START_TEST(metrics_are_named_by_their_format)
{
	char *text;

	add((struct made_look){.published = 41, .full = 3}, 0);
	text = metrics(true);
	ck_assert_ptr_nonnull(strstr(
		text, "# TYPE tapio_lane_published_events counter\n"
		      "# UNIT tapio_lane_published_events events\n"
		      "tapio_lane_published_events_total{channel=\"events\","
		      "class=\"main\",lane=\"0\",cpu=\"0\",node=\"0\"} 41\n"));
	ck_assert_ptr_nonnull(strstr(text, "cause=\"full\"} 3\n"));
	ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
	free(text);
	text = metrics(false);
	ck_assert_ptr_nonnull(
		strstr(text, "# TYPE tapio_lane_published_events_total counter"
			     "\ntapio_lane_published_events_total{"));
	ck_assert_ptr_null(strstr(text, "# EOF"));
	ck_assert_ptr_null(strstr(text, "# UNIT"));
	free(text);
}
END_TEST

START_TEST(labels_are_escaped)
{
	char *text;

	add((struct made_look){0}, 0);
	json_object_set_new(json_array_get(json_object_get(look, "groups"), 0),
			    "group", json_string("a\"b\\c\nd"));
	text = metrics(true);
	ck_assert_ptr_nonnull(strstr(text, "group=\"a\\\"b\\\\c\\nd\""));
	free(text);
}
END_TEST

START_TEST(equal_labels_are_sent_once)
{
	json_t *lanes;
	char *text, *first;

	add((struct made_look){.published = 77}, 0);
	lanes = json_object_get(look, "lanes");
	json_array_append_new(lanes, json_deep_copy(json_array_get(lanes, 0)));
	text = metrics(true);
	first = strstr(text, "} 77\n");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_null(strstr(first + 1, "} 77\n"));
	free(text);
}
END_TEST

START_TEST(without_memory_it_is_down)
{
	size_t length;
	char *text = metrics_text(NULL, true, &length);

	ck_assert_ptr_nonnull(strstr(text, "\ntapio_up 0\n# EOF\n"));
	free(text);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("stat_rates");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_first_look_has_no_rates);
	tcase_add_test(tc, rates_are_differences_by_the_time_that_has_passed);
	tcase_add_test(tc, another_instance_has_no_rates);
	tcase_add_test(tc, a_broker_that_took_over_is_said_and_rates_go_on);
	tcase_add_test(tc, a_channel_that_was_made_anew_has_no_rates);
	tcase_add_test(tc, a_counter_that_went_back_has_no_rate);
	tcase_add_test(tc, another_group_of_the_same_name_has_no_rates);
	tcase_add_test(tc, two_rows_of_one_name_have_no_rates);
	tcase_add_test(tc, histories_keep_the_newest_points_and_mark_gaps);
	tcase_add_test(tc, a_look_without_parts_is_no_crash);
	tcase_add_test(tc, a_channel_that_cannot_be_read_has_no_numbers);
	tcase_add_test(tc, refusals_name_the_group_that_is_behind);
	tcase_add_test(tc, a_lossy_group_is_not_blamed);
	tcase_add_test(tc, metrics_are_named_by_their_format);
	tcase_add_test(tc, labels_are_escaped);
	tcase_add_test(tc, equal_labels_are_sent_once);
	tcase_add_test(tc, without_memory_it_is_down);
	return check_run_case("stat_rates", tc);
}
