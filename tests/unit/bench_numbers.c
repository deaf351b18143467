/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of tapio-bench, on which every verdict rests: medians,
 * quantiles, ratios turn by turn, goals in both directions, which cases --run
 * means, and numbers as they are shown.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/frame.h"
#include "tests/check_main.h"

/* The frame asks for the questions. These tests have none. */
const struct bench_question *const *bench_questions(void)
{
	static const struct bench_question *const none[] = {NULL};

	return none;
}

START_TEST(the_median_is_the_middle_one_or_between_the_middle_two)
{
	const double odd[] = {9, 1, 5}, even[] = {4, 1, 9, 2};
	double many[1001];

	ck_assert_double_eq(bench_median(odd, 3), 5);
	ck_assert_double_eq(bench_median(even, 4), 3);
	ck_assert_double_eq(bench_median(odd, 1), 9);
	ck_assert_double_eq(odd[0], 9); /* not sorted in place */
	ck_assert(isnan(bench_median(odd, 0)));
	for (int i = 0; i < 1001; i++)
		many[i] = (i * 8) % 1001;
	ck_assert_double_eq(bench_median(many, 1001), 500);
}
END_TEST

START_TEST(a_quantile_is_a_value_that_was_measured)
{
	double values[1000];

	for (int i = 0; i < 1000; i++)
		values[i] = 1000 - i;
	ck_assert_double_eq(bench_quantile(values, 1000, 0.5), 500);
	ck_assert_double_eq(bench_quantile(values, 1000, 0.99), 990);
	ck_assert_double_eq(bench_quantile(values, 1000, 0.999), 999);
	ck_assert_double_eq(bench_quantile(values, 1000, 1), 1000);
	ck_assert_double_eq(bench_quantile(values, 1000, 0), 1);
	ck_assert_double_eq(bench_quantile(values, 1, 0.999), 1);
	ck_assert(isnan(bench_quantile(values, 0, 0.5)));
}
END_TEST

START_TEST(least_and_most_are_found_wherever_they_stand)
{
	const double values[] = {3, 9, 1, 4};

	ck_assert_double_eq(bench_least(values, 4), 1);
	ck_assert_double_eq(bench_most(values, 4), 9);
	ck_assert_double_eq(bench_least(values, 1), 3);
	ck_assert(isnan(bench_most(values, 0)));
}
END_TEST

START_TEST(a_ratio_is_taken_turn_by_turn)
{
	/* The medians are 10 and 20. The second turn was slow for both. */
	const double a[] = {10, 100, 10}, b[] = {5, 50, 20};

	ck_assert_double_eq(bench_ratio(a, b, 3), 2);
	ck_assert_double_eq(bench_ratio(b, a, 3), 0.5);
}
END_TEST

START_TEST(a_ratio_to_nothing_is_none)
{
	const double a[] = {1, 2}, zero[] = {1, 0};

	ck_assert(isnan(bench_ratio(a, zero, 2)));
	ck_assert_double_eq(bench_ratio(zero, a, 2), 0.5);
}
END_TEST

/* ---- goals -------------------------------------------------------------------- */

static const struct bench_peer tapio = {.name = "Tapio", .kind = BENCH_TAPIO},
			       plain = {.name = "plain", .kind = BENCH_FLOOR},
			       ck = {.name = "ck", .kind = BENCH_PEER},
			       rte = {.name = "rte", .kind = BENCH_PEER};
static const struct bench_subject tapio_one = {.peer = &tapio},
				  tapio_batch = {.peer = &tapio,
						 .variant = "batch"},
				  plain_one = {.peer = &plain},
				  ck_one = {.peer = &ck, .variant = "SPSC"},
				  ck_many = {.peer = &ck, .variant = "MPMC"},
				  rte_one = {.peer = &rte};
static const struct bench_subject *const subjects[] = {
	&tapio_one, &tapio_batch, &plain_one, &ck_one, &ck_many, &rte_one, NULL,
};

/* The first figure is the better the less, the second the more. */
static const struct bench_case fast = {
	.name = "c",
	.figures = {{"cost", "ns", false}, {"rate", "events/s", true}},
	.subjects = subjects,
};

static struct bench_case_result result;

static void is(unsigned int subject, double cost)
{
	struct bench_outcome *s = &result.subject[subject];

	s->state = BENCH_OK;
	for (unsigned int i = 0; i < 3; i++) {
		/* Turns differ, and so do not the ratios. */
		s->turns[0][i] = cost * (i + 1);
		s->turns[1][i] = 1000 / s->turns[0][i];
	}
}

static void setup(void)
{
	memset(&result, 0, sizeof(result));
	result.of = &fast;
	result.figures = 2;
	result.turns = 3;
	for (result.subjects = 0; subjects[result.subjects]; result.subjects++)
		result.subject[result.subjects].of = subjects[result.subjects];
	is(0, 5);
	is(1, 1);
	is(2, 4);
	is(3, 30);
	is(4, 20);
	is(5, 25);
}

static struct bench_judgement judge(enum bench_goal_kind kind,
				    const char *against, unsigned int figure,
				    double limit)
{
	const struct bench_goal goal = {.text = "goal",
					.kind = kind,
					.against = against,
					.figure = figure,
					.limit = limit};

	return bench_judge(&result, &goal);
}

static void judges(enum bench_goal_kind kind, const char *against,
		   unsigned int figure, double limit, double value,
		   enum bench_verdict verdict)
{
	struct bench_judgement j = judge(kind, against, figure, limit);

	ck_assert_double_eq_tol(j.value, value, 1e-9);
	ck_assert_int_eq(j.verdict, verdict);
}

START_TEST(less_is_a_most_and_more_a_least)
{
	/* The medians of Tapio: 10 ns and 100 per second. */
	judges(BENCH_GOAL_VALUE, NULL, 0, 10, 10, BENCH_REACHED);
	judges(BENCH_GOAL_VALUE, NULL, 0, 9.9, 10, BENCH_MISSED);
	judges(BENCH_GOAL_VALUE, NULL, 1, 100, 100, BENCH_REACHED);
	judges(BENCH_GOAL_VALUE, NULL, 1, 101, 100, BENCH_MISSED);
}
END_TEST

/* Of another subject than Tapio's first. */
static struct bench_judgement judge_of(const char *of, const char *against,
				       const char *plus, double limit)
{
	const struct bench_goal goal = {.text = "goal",
					.kind = against ? BENCH_GOAL_SUBJECT
							: BENCH_GOAL_VALUE,
					.of = of,
					.against = against,
					.plus = plus,
					.limit = limit};

	return bench_judge(&result, &goal);
}

START_TEST(a_goal_may_be_that_of_another_variant)
{
	/* The median of the second subject: 2 ns. */
	ck_assert_double_eq(judge_of("Tapio, batch", NULL, NULL, 2).value, 2);
	ck_assert_int_eq(judge_of("Tapio, batch", NULL, NULL, 2).verdict,
			 BENCH_REACHED);
	ck_assert_int_eq(judge_of("Tapio, batch", NULL, NULL, 1.9).verdict,
			 BENCH_MISSED);
	ck_assert_int_eq(judge_of("Tapio, other", NULL, NULL, 1).verdict,
			 BENCH_OPEN);
	ck_assert_double_eq(judge_of("Tapio, batch", "plain", NULL, 1).value,
			    0.25);
}
END_TEST

START_TEST(a_goal_may_be_held_against_the_sum_of_two)
{
	/* 5 over 4 + 1, turn by turn. */
	ck_assert_double_eq(judge_of(NULL, "plain", "Tapio, batch", 1).value,
			    1);
	ck_assert_int_eq(judge_of(NULL, "plain", "Tapio, batch", 1).verdict,
			 BENCH_REACHED);
	ck_assert_int_eq(judge_of(NULL, "plain", "Tapio, batch", 0.9).verdict,
			 BENCH_MISSED);
	/* Half of a sum is none. */
	ck_assert_int_eq(judge_of(NULL, "plain", "nobody", 9).verdict,
			 BENCH_OPEN);
}
END_TEST

START_TEST(nobody_is_held_against_itself)
{
	/* "Tapio" means its first, and where that failed, the next. */
	ck_assert_int_eq(judge_of("Tapio, batch", "Tapio", NULL, 1).verdict,
			 BENCH_REACHED);
	result.subject[0].state = BENCH_FAILED;
	ck_assert_int_eq(judge_of("Tapio, batch", "Tapio", NULL, 1).verdict,
			 BENCH_OPEN);
}
END_TEST

START_TEST(who_does_less_than_the_case_says_is_no_rival)
{
	static struct bench_case aside;

	aside = fast;
	aside.aside = "*, MPMC";
	result.of = &aside;
	ck_assert_ptr_eq(judge(BENCH_GOAL_BEST_PEER, NULL, 0, 1).against,
			 &rte_one);
	/* By its name it is one. */
	ck_assert_ptr_eq(judge(BENCH_GOAL_SUBJECT, "ck, MPMC", 0, 1).against,
			 &ck_many);
}
END_TEST

/* What the floor says about a goal, in one word. */
static void notes(enum bench_goal_kind kind, const char *against, double limit,
		  const char *part)
{
	const struct bench_goal goal = {.text = "goal",
					.kind = kind,
					.against = against,
					.limit = limit};
	const struct bench_judgement j = bench_judge(&result, &goal);
	char text[256];

	bench_note(&result, &goal, &j, text, sizeof(text));
	if (*part)
		ck_assert_msg(strstr(text, part) != NULL, "'%s'", text);
	else
		ck_assert_str_eq(text, "");
}

START_TEST(a_missed_goal_says_whether_the_floor_misses_it_too)
{
	/* Medians: Tapio 10 ns, the floor 8, the best peer 40. */
	notes(BENCH_GOAL_VALUE, NULL, 10, "");
	notes(BENCH_GOAL_VALUE, NULL, 9,
	      "not the machine's limit: the floor, "
	      "plain, has 8.00 ns");
	notes(BENCH_GOAL_VALUE, NULL, 7, "below what the machine allows");
	notes(BENCH_GOAL_SUBJECT, "plain", 1.1, "not the machine's");
	notes(BENCH_GOAL_BEST_PEER, NULL, 0.21, "not the machine's");
	notes(BENCH_GOAL_BEST_PEER, NULL, 0.19, "below");
	result.subject[2].state = BENCH_NOT_HERE;
	notes(BENCH_GOAL_VALUE, NULL, 7, "");
}
END_TEST

START_TEST(a_subject_is_compared_by_the_ratios_of_the_turns)
{
	judges(BENCH_GOAL_SUBJECT, "plain", 0, 1.3, 1.25, BENCH_REACHED);
	judges(BENCH_GOAL_SUBJECT, "plain", 0, 1.2, 1.25, BENCH_MISSED);
	judges(BENCH_GOAL_SUBJECT, "plain", 1, 0.7, 0.8, BENCH_REACHED);
	judges(BENCH_GOAL_SUBJECT, "plain", 1, 0.9, 0.8, BENCH_MISSED);
}
END_TEST

START_TEST(a_subject_goes_by_its_peer_or_by_its_whole_name)
{
	ck_assert_ptr_eq(judge(BENCH_GOAL_SUBJECT, "ck, MPMC", 0, 1).against,
			 &ck_many);
	ck_assert_ptr_eq(judge(BENCH_GOAL_SUBJECT, "ck", 0, 1).against,
			 &ck_one);
	ck_assert_ptr_eq(
		judge(BENCH_GOAL_SUBJECT, "Tapio, batch", 0, 1).against,
		&tapio_batch);
	ck_assert_int_eq(judge(BENCH_GOAL_SUBJECT, "nobody", 0, 1).verdict,
			 BENCH_OPEN);
}
END_TEST

START_TEST(the_best_peer_is_neither_a_floor_nor_tapio)
{
	ck_assert_ptr_eq(judge(BENCH_GOAL_BEST_PEER, NULL, 0, 1).against,
			 &ck_many);
	judges(BENCH_GOAL_BEST_PEER, NULL, 0, 0.25, 0.25, BENCH_REACHED);
	judges(BENCH_GOAL_BEST_PEER, NULL, 0, 0.24, 0.25, BENCH_MISSED);
	ck_assert_ptr_eq(judge(BENCH_GOAL_BEST_PEER, NULL, 1, 1).against,
			 &ck_many);
	judges(BENCH_GOAL_BEST_PEER, NULL, 1, 4, 4, BENCH_REACHED);
	judges(BENCH_GOAL_BEST_PEER, NULL, 1, 4.1, 4, BENCH_MISSED);
}
END_TEST

START_TEST(who_was_not_measured_is_not_the_best)
{
	result.subject[4].state = BENCH_FAILED;
	result.subject[5].state = BENCH_NOT_HERE;
	ck_assert_ptr_eq(judge(BENCH_GOAL_BEST_PEER, NULL, 0, 1).against,
			 &ck_one);
	result.subject[3].state = BENCH_FAILED;
	ck_assert_int_eq(judge(BENCH_GOAL_BEST_PEER, NULL, 0, 1).verdict,
			 BENCH_OPEN);
}
END_TEST

START_TEST(without_tapio_every_goal_is_open)
{
	result.subject[0].state = BENCH_FAILED;
	/* The next of its kind takes its place, */
	ck_assert_ptr_eq(bench_reference(&result), &result.subject[1]);
	judges(BENCH_GOAL_VALUE, NULL, 0, 10, 2, BENCH_REACHED);
	/* if there is one. */
	result.subject[1].state = BENCH_NOT_HERE;
	ck_assert_ptr_null(bench_reference(&result));
	ck_assert_int_eq(judge(BENCH_GOAL_VALUE, NULL, 0, 1).verdict,
			 BENCH_OPEN);
	ck_assert_ptr_nonnull(judge(BENCH_GOAL_VALUE, NULL, 0, 1).why);
}
END_TEST

START_TEST(a_rate_follows_from_its_time_and_a_quantile_does_not)
{
	ck_assert(bench_follows(&result, 1, 0));
	ck_assert(bench_follows(&result, 0, 1));
	for (unsigned int i = 0; i < result.subjects; i++)
		for (unsigned int t = 0; t < 3; t++)
			result.subject[i].turns[1][t] =
				result.subject[i].turns[0][t] * 64;
	ck_assert(bench_follows(&result, 1, 0));
	result.subject[4].turns[1][2] *= 1.001;
	ck_assert(!bench_follows(&result, 1, 0));
	/* A subject that was not measured has no say: */
	result.subject[4].state = BENCH_FAILED;
	ck_assert(bench_follows(&result, 1, 0));
	/* nothing follows from nothing; */
	for (unsigned int i = 0; i < result.subjects; i++)
		memset(result.subject[i].turns[1], 0,
		       sizeof(result.subject[i].turns[1]));
	ck_assert(!bench_follows(&result, 1, 0));
	/* a single turn of a single one is not enough to tell. */
	setup();
	result.subjects = result.turns = 1;
	ck_assert(!bench_follows(&result, 1, 0));
}
END_TEST

/* ---- which cases -------------------------------------------------------------- */

START_TEST(globs_mean_names_numbers_and_trees)
{
	static const struct {
		const char *glob;
		bool matches; /* "stream/64/single" of question 2 */
	} tries[] = {
		{"stream/64/single", true},
		{"stream/*", true},
		{"*/single", true},
		{"stream/64", true},
		{"stream", true},
		{"2", true},
		{"2/*", true},
		{"2/stream/64", true},
		{"2/*/single", true},
		{"*", true},
		{"stream/[26]*/s?ngle", true},
		{"strea", false},
		{"stream/6", false},
		{"single", false},
		{"12", false},
		{"20/*", false},
		{"3/*", false},
		{"stream/64/single/", false},
		{"", false},
	};

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		ck_assert_msg(
			bench_matches(tries[i].glob, 2, "stream/64/single") ==
				tries[i].matches,
			"'%s'", tries[i].glob);
}
END_TEST

START_TEST(any_glob_selects_and_none_selects_all)
{
	static const struct bench_question question = {.number = 3};
	static const struct bench_case c = {.name = "many/2"};
	struct bench_options o = {.glob_count = 0};

	ck_assert(bench_selected(&o, &question, &c));
	o.globs[o.glob_count++] = "stream";
	ck_assert(!bench_selected(&o, &question, &c));
	o.globs[o.glob_count++] = "3";
	ck_assert(bench_selected(&o, &question, &c));
}
END_TEST

START_TEST(tapio_is_among_the_subjects_whatever_is_asked_for)
{
	struct bench_options o = {.subject_count = 0};
	bool asked[6];

	for (unsigned int i = 0; i < 6; i++)
		ck_assert(bench_subject_selected(&o, &fast, i));
	o.subjects[o.subject_count++] = "ck, M*";
	o.subjects[o.subject_count++] = "rte";
	for (unsigned int i = 0; i < 6; i++)
		asked[i] = bench_subject_selected(&o, &fast, i);
	ck_assert(asked[0] && asked[1]);
	ck_assert(!asked[2] && !asked[3]);
	ck_assert(asked[4] && asked[5]);
}
END_TEST

/* ---- as they are shown -------------------------------------------------------- */

START_TEST(numbers_keep_three_digits)
{
	static const struct {
		double value;
		const char *text;
	} tries[] = {
		{0, "0.00"},
		{0.0314, "0.031"},
		{0.25, "0.250"},
		{0.000349, "0.00035"},
		{0.9996, "1.00"},
		{3.406, "3.41"},
		{9.996, "10.0"},
		{12.34, "12.3"},
		{99.96, "100"},
		{123.4, "123"},
		{1720.4, "1,720"},
		{-1234, "-1,234"},
		{1234567, "1,234,567"},
		{1e300, "1e+300"},
		{NAN, "-"},
		{INFINITY, "-"},
	};
	char text[32];

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		ck_assert_str_eq(
			bench_number(tries[i].value, text, sizeof(text)),
			tries[i].text);
}
END_TEST

START_TEST(ratios_are_no_more_exact_than_they_are)
{
	static const struct {
		double value;
		const char *text;
	} tries[] = {
		{1, "1.00 x"},       {0.6219, "0.62 x"}, {5.608, "5.61 x"},
		{0.0131, "0.013 x"}, {13.46, "13.5 x"},  {207.3, "207 x"},
		{NAN, "-  "},
	};
	char text[32];

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		ck_assert_str_eq(
			bench_times(tries[i].value, text, sizeof(text)),
			tries[i].text);
}
END_TEST

START_TEST(a_unit_fits_the_least_figure_of_a_column)
{
	static const struct {
		const char *unit;
		double least;
		double shown;
		const char *as;
	} tries[] = {
		{"ns", 8.2, 8.2, "ns"},
		{"ns", 0.3, 0.3, "ns"},
		{"ns", 1000, 1, "us"},
		{"ns", 2.5e6, 2.5, "ms"},
		{"ns", 3e10, 30, "s"},
		{"events/s", 122e6, 122, "M events/s"},
		{"events/s", 500, 500, "events/s"},
		{"GB/s", 0.01, 0.01, "GB/s"},
		{"bytes", 4096, 4, "KiB"},
		{"bytes", 100, 100, "bytes"},
		{"%", 12345, 12345, "%"},
		{"ns", 0, 0, "ns"},
	};

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		struct bench_scale s =
			bench_scale(tries[i].unit, tries[i].least);

		ck_assert_str_eq(s.unit, tries[i].as);
		ck_assert_double_eq_tol(tries[i].least * s.factor,
					tries[i].shown, 1e-9);
	}
}
END_TEST

START_TEST(a_width_is_in_columns_not_in_bytes)
{
	ck_assert_uint_eq(bench_width(""), 0);
	ck_assert_uint_eq(bench_width("abc"), 3);
	ck_assert_uint_eq(bench_width("8 \u00b5s \u2013"), 6);
}
END_TEST

START_TEST(a_text_is_cut_between_words)
{
	const char *left = "one two  three";
	char line[32];

	left = bench_line(left, 7, line, sizeof(line));
	ck_assert_str_eq(line, "one two");
	ck_assert_str_eq(left, "three");
	/* A word that does not fit has a line of its own. */
	left = bench_line(left, 3, line, sizeof(line));
	ck_assert_str_eq(line, "three");
	ck_assert_str_eq(left, "");
	bench_line("", 3, line, sizeof(line));
	ck_assert_str_eq(line, "");
	/* Nor is more written than there is room for. */
	bench_line("one two three", 80, line, 6);
	ck_assert_str_eq(line, "one t");
}
END_TEST

START_TEST(goals_are_counted_up_to_the_last)
{
	struct bench_case c = {.goals = {{.text = NULL}}};

	ck_assert_uint_eq(bench_goal_count(&c), 0);
	for (unsigned int i = 0; i < BENCH_GOALS_MAX; i++)
		c.goals[i].text = "goal";
	ck_assert_uint_eq(bench_goal_count(&c), BENCH_GOALS_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_numbers");
	TCase *numbers = tcase_create("numbers"),
	      *goals = tcase_create("goals");

	tcase_add_test(numbers,
		       the_median_is_the_middle_one_or_between_the_middle_two);
	tcase_add_test(numbers, a_quantile_is_a_value_that_was_measured);
	tcase_add_test(numbers, least_and_most_are_found_wherever_they_stand);
	tcase_add_test(numbers, a_ratio_is_taken_turn_by_turn);
	tcase_add_test(numbers, a_ratio_to_nothing_is_none);
	tcase_add_test(numbers, globs_mean_names_numbers_and_trees);
	tcase_add_test(numbers, any_glob_selects_and_none_selects_all);
	tcase_add_test(numbers,
		       tapio_is_among_the_subjects_whatever_is_asked_for);
	tcase_add_test(numbers, numbers_keep_three_digits);
	tcase_add_test(numbers, ratios_are_no_more_exact_than_they_are);
	tcase_add_test(numbers, a_unit_fits_the_least_figure_of_a_column);
	tcase_add_test(numbers, a_width_is_in_columns_not_in_bytes);
	tcase_add_test(numbers, a_text_is_cut_between_words);
	suite_add_tcase(suite, numbers);
	tcase_add_checked_fixture(goals, setup, NULL);
	tcase_add_test(goals, less_is_a_most_and_more_a_least);
	tcase_add_test(goals, a_goal_may_be_that_of_another_variant);
	tcase_add_test(goals, a_goal_may_be_held_against_the_sum_of_two);
	tcase_add_test(goals, nobody_is_held_against_itself);
	tcase_add_test(goals, who_does_less_than_the_case_says_is_no_rival);
	tcase_add_test(goals,
		       a_missed_goal_says_whether_the_floor_misses_it_too);

	tcase_add_test(goals, a_subject_is_compared_by_the_ratios_of_the_turns);
	tcase_add_test(goals, a_subject_goes_by_its_peer_or_by_its_whole_name);
	tcase_add_test(goals, the_best_peer_is_neither_a_floor_nor_tapio);
	tcase_add_test(goals, who_was_not_measured_is_not_the_best);
	tcase_add_test(goals, without_tapio_every_goal_is_open);
	tcase_add_test(goals,
		       a_rate_follows_from_its_time_and_a_quantile_does_not);
	tcase_add_test(goals, goals_are_counted_up_to_the_last);
	suite_add_tcase(suite, goals);
	return check_run(suite);
}
