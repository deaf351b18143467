/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --placement of tapio-bench: the meaning of a look, which turns count, how long it
 * waits, and what it says of that. Looks are a script here, and sleeping takes no
 * time, so that no test depends on where the CPUs are.
 */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/frame/frame.h"
#include "tests/check_main.h"

static const struct bench_question *asked[2];

const struct bench_question *const *bench_questions(void)
{
	return asked;
}

/* ---- one look, and several -------------------------------------------------------- */

START_TEST(the_limits_are_where_the_manual_says)
{
	static const struct {
		double line_ns;
		enum bench_placement is;
	} tries[] = {
		{34, BENCH_TOGETHER},      {60, BENCH_TOGETHER},
		{75, BENCH_TOGETHER},      {75.001, BENCH_UNKNOWN},
		{89.9, BENCH_UNKNOWN},     {90, BENCH_APART},
		{220, BENCH_APART},        {5000, BENCH_APART},
		{0.001, BENCH_TOGETHER},   {0, BENCH_UNKNOWN},
		{-1, BENCH_UNKNOWN},       {NAN, BENCH_UNKNOWN},
		{INFINITY, BENCH_UNKNOWN},
	};

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		ck_assert_msg(bench_placement_of(tries[i].line_ns) ==
				      tries[i].is,
			      "%f", tries[i].line_ns);
}
END_TEST

START_TEST(looks_that_differ_are_mixed_or_unknown)
{
	const enum bench_placement none = BENCH_ANYWHERE, near = BENCH_TOGETHER,
				   far = BENCH_APART, not = BENCH_UNKNOWN,
				   both = BENCH_MIXED;
	const enum bench_placement tries[][3] = {
		{none, none, none}, {none, near, near}, {near, near, near},
		{near, far, both},  {near, not, not },  {far, not, not },
		{not, not, not },   {both, far, both},  {both, not, not },
		{both, both, both}, {none, both, both}, {none, not, not },
	};

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		ck_assert_int_eq(bench_placement_join(tries[i][0], tries[i][1]),
				 tries[i][2]);
		ck_assert_int_eq(bench_placement_join(tries[i][1], tries[i][0]),
				 tries[i][2]);
	}
}
END_TEST

START_TEST(only_the_wanted_placement_is_kept)
{
	for (int got = BENCH_ANYWHERE; got <= BENCH_MIXED; got++) {
		ck_assert(bench_placement_keeps(BENCH_ANYWHERE,
						(enum bench_placement)got));
		ck_assert_int_eq(
			bench_placement_keeps(BENCH_APART,
					      (enum bench_placement)got),
			got == BENCH_APART);
		ck_assert_int_eq(
			bench_placement_keeps(BENCH_TOGETHER,
					      (enum bench_placement)got),
			got == BENCH_TOGETHER);
	}
}
END_TEST

START_TEST(it_waits_until_the_time_is_spent_and_no_longer)
{
	ck_assert(bench_placement_waits(BENCH_APART, 0, 60));
	ck_assert(bench_placement_waits(BENCH_APART, 59.9, 60));
	ck_assert(!bench_placement_waits(BENCH_APART, 60, 60));
	ck_assert(!bench_placement_waits(BENCH_APART, 0, 0));
	ck_assert(bench_placement_waits(BENCH_ANYWHERE, 1e9, 0));
}
END_TEST

START_TEST(only_the_names_of_the_option_can_be_wanted)
{
	enum bench_placement p = BENCH_MIXED;

	ck_assert(bench_placement_parse("apart", &p) && p == BENCH_APART);
	ck_assert(bench_placement_parse("together", &p) && p == BENCH_TOGETHER);
	ck_assert(bench_placement_parse("any", &p) && p == BENCH_ANYWHERE);
	for (int i = 0; i < 5; i++) {
		static const char *const no[] = {"unknown", "mixed", "",
						 "Apart", "apart "};

		ck_assert(!bench_placement_parse(no[i], &p));
	}
	ck_assert_int_eq(p, BENCH_ANYWHERE);
}
END_TEST

/* ---- turns ------------------------------------------------------------------------- */

/* The results of the looks, one after the other, and the last one for ever. */
static struct {
	const char *script; /* a(part), t(ogether), ? (between) */
	unsigned int looks;
	unsigned int naps;
	unsigned int runs;
	char who[256];
} moment;

static char now(void)
{
	const size_t last = strlen(moment.script) - 1;

	return moment.script[moment.looks < last ? moment.looks : last];
}

static double look(const int cpus[2], bool quick)
{
	const char at = now();

	(void)cpus;
	(void)quick;
	ck_assert_uint_lt(moment.looks, 10000);
	moment.looks++;
	return at == 'a' ? 200 : at == 't' ? 50 : 80;
}

static double nap(void)
{
	moment.naps++;
	return 1;
}

static int run(const struct bench_run *r, const struct bench_subject *subject,
	       double *figures)
{
	(void)r;
	ck_assert_uint_lt(moment.runs, sizeof(moment.who) - 1);
	moment.who[moment.runs++] = *(const char *)subject->arg;
	figures[0] = moment.runs;
	return 0;
}

static int runs_not(const struct bench_run *r,
		    const struct bench_subject *subject, double *figures)
{
	(void)r;
	(void)subject;
	(void)figures;
	bench_why("no such queue");
	return BENCH_ABSENT;
}

static struct bench_peer tapio = {.name = "Tapio", .kind = BENCH_TAPIO},
			 peer = {.name = "peer", .kind = BENCH_PEER};
static const struct bench_subject a = {&tapio, NULL, run, "A"},
				  b = {&peer, NULL, run, "B"},
				  out = {&tapio, NULL, runs_not, "O"};
static const struct bench_subject *const two[] = {&a, &b, NULL};
static const struct bench_subject *const absent[] = {&out, NULL};
static const struct bench_case cases[] = {
	{.name = "one",
	 .title = "",
	 .figures = {{"cost", "ns", false}},
	 .subjects = two,
	 .goals = {{.text = "at most 1", .limit = 1}}},
	{.name = "two",
	 .title = "",
	 .figures = {{"cost", "ns", false}},
	 .subjects = two},
	{.name = "none",
	 .title = "",
	 .figures = {{"cost", "ns", false}},
	 .subjects = absent},
	{.name = NULL},
};
static const struct bench_question question = {
	.number = 1, .text = "Where?", .cases = cases};
static struct bench_options options;
static struct bench_results results;

static void setup(void)
{
	memset(&moment, 0, sizeof(moment));
	memset(&options, 0, sizeof(options));
	memset(&results, 0, sizeof(results));
	asked[0] = &question;
	options.cpus[1] = 1;
	options.cpu_count = 2;
	options.quick = true; /* no turn to warm up */
	options.turns = 3;
	options.all_turns = true;
	options.look = look;
	options.nap = nap;
	options.wait_s = 10;
	options.placement = BENCH_APART;
	options.globs[options.glob_count++] = "one";
}

static void teardown(void)
{
	bench_results_free(&results);
}

/* The first case, when the looks say this. */
static const struct bench_case_result *with(const char *script)
{
	moment.script = script;
	ck_assert_int_eq(bench_turns(&options, &results), 0);
	ck_assert_uint_eq(results.question_count, 1);
	return &results.questions[0].cases[0];
}

static void got(const struct bench_placed *p, enum bench_placement is,
		unsigned int kept, unsigned int thrown, double waited_s)
{
	ck_assert_int_eq(p->got, is);
	ck_assert_uint_eq(p->kept, kept);
	ck_assert_uint_eq(p->thrown, thrown);
	ck_assert_double_eq(p->waited_s, waited_s);
}

START_TEST(every_subject_is_looked_at_before_and_the_turn_after)
{
	const struct bench_case_result *r = with("a");

	ck_assert_str_eq(moment.who, "ABBAAB");
	/* One to begin a turn, one before each of two, one behind them. */
	ck_assert_uint_eq(moment.looks, 3 * 4);
	got(&r->placed, BENCH_APART, 3, 0, 0);
	ck_assert_uint_eq(r->turns, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_double_eq(r->line_ns[i], 200);
}
END_TEST

START_TEST(it_sleeps_until_the_wanted_one_comes)
{
	const struct bench_case_result *r = with("t?tta");

	got(&r->placed, BENCH_APART, 3, 0, 4);
	ck_assert_uint_eq(moment.naps, 4);
	ck_assert_str_eq(moment.who, "ABBAAB");
	ck_assert_uint_eq(r->placed.short_cases, 0);
}
END_TEST

START_TEST(a_turn_that_ends_elsewhere_is_thrown_away_and_taken_again)
{
	/* Away behind the last subject of the first turn, and back again. */
	const struct bench_case_result *r = with("aaata");

	ck_assert_str_eq(moment.who, "ABABBAAB");
	got(&r->placed, BENCH_APART, 3, 1, 0);
	ck_assert_uint_eq(r->turns, 3);
	/* The figures are those of the turns that were kept. */
	ck_assert_double_eq(r->subject[0].turns[0][0], 3);
	ck_assert_double_eq(r->subject[1].turns[0][0], 4);
	ck_assert_double_eq(r->subject[1].turns[0][1], 5);
}
END_TEST

START_TEST(a_turn_ends_where_the_placement_does)
{
	/* Away before the second subject: it is not asked for nothing. */
	const struct bench_case_result *r = with("aa?a");

	ck_assert_str_eq(moment.who, "AABBAAB");
	got(&r->placed, BENCH_APART, 3, 1, 0);
}
END_TEST

START_TEST(what_never_comes_is_no_answer_and_says_why)
{
	const struct bench_case_result *r = with("t");

	ck_assert_str_eq(moment.who, "");
	got(&r->placed, BENCH_ANYWHERE, 0, 0, 10);
	ck_assert_uint_eq(r->placed.short_cases, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(r->subject[i].state, BENCH_NOT_HERE);
		ck_assert_str_eq(r->subject[i].why,
				 "the CPUs were not apart: 0 turns of 3 had "
				 "them there, in the 10 s that a question may "
				 "wait");
	}
	ck_assert_int_eq(bench_judge(r, &cases[0].goals[0]).verdict,
			 BENCH_OPEN);
}
END_TEST

START_TEST(too_few_turns_are_no_answer_either)
{
	/* Two turns, and never again. */
	const struct bench_case_result *r = with("aaaaaaaat");

	ck_assert_uint_eq(r->placed.kept, 2);
	ck_assert_uint_eq(r->placed.short_cases, 1);
	ck_assert_int_eq(r->subject[0].state, BENCH_NOT_HERE);
	ck_assert_ptr_nonnull(strstr(r->subject[0].why, "2 turns of 3"));
}
END_TEST

START_TEST(three_turns_are_an_answer_where_seven_were_wanted)
{
	const struct bench_case_result *r;

	options.turns = 7;
	r = with("aaaaaaaaaaaat");
	ck_assert_uint_eq(r->turns, 3);
	got(&r->placed, BENCH_APART, 3, 0, 10);
	ck_assert_uint_eq(r->placed.short_cases, 0);
	ck_assert_int_eq(r->subject[0].state, BENCH_OK);
}
END_TEST

START_TEST(the_time_to_wait_is_the_questions)
{
	const struct bench_question_result *q;

	options.globs[options.glob_count++] = "two";
	with("ttttaaaaaaaaaaaat");
	q = &results.questions[0];
	/* 4 s before the first, what is left of 10 s before the second. */
	got(&q->cases[0].placed, BENCH_APART, 3, 0, 4);
	got(&q->cases[1].placed, BENCH_ANYWHERE, 0, 0, 6);
	got(&q->placed, BENCH_APART, 3, 0, 10);
	ck_assert_uint_eq(q->placed.short_cases, 1);
}
END_TEST

START_TEST(nothing_is_waited_for_without_time_to_wait)
{
	options.wait_s = 0;
	with("t");
	ck_assert_uint_eq(moment.naps, 0);
	ck_assert_uint_eq(moment.looks, 1);
}
END_TEST

START_TEST(a_subject_that_is_absent_is_not_waited_for)
{
	const struct bench_case_result *r;

	options.globs[0] = "none";
	r = with("aaat");
	ck_assert_str_eq(r->subject[0].why, "no such queue");
	ck_assert_uint_eq(moment.naps, 0);
	ck_assert_uint_eq(r->placed.short_cases, 0);
}
END_TEST

START_TEST(any_placement_is_kept_and_told)
{
	const struct bench_case_result *r;

	options.placement = BENCH_ANYWHERE;
	/* Three looks a turn: apart, moved within, together. */
	r = with("aaaaatt");
	ck_assert_str_eq(moment.who, "ABBAAB");
	got(&r->placed, BENCH_MIXED, 3, 0, 0);
	ck_assert_double_eq(r->line_ns[0], 200);
	ck_assert_double_eq(r->line_ns[1], 200);
	ck_assert_double_eq(r->line_ns[2], 50);
	ck_assert_uint_eq(moment.naps, 0);
}
END_TEST

/* ---- JSON --------------------------------------------------------------------------- */

static json_t *as_json(void)
{
	char path[] = "/tmp/bench_placement.XXXXXX";
	int fd = mkstemp(path);
	json_t *all;

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(bench_json_write(path, &options, &results), 0);
	all = json_load_file(path, 0, NULL);
	unlink(path);
	ck_assert_ptr_nonnull(all);
	return all;
}

static double value(const json_t *node, const char *key)
{
	ck_assert_msg(json_is_number(json_object_get(node, key)), "%s", key);
	return json_number_value(json_object_get(node, key));
}

START_TEST(the_json_says_what_was_wanted_and_what_came)
{
	const json_t *run_, *question_, *case_;
	const char *wanted;
	json_t *all;

	with("ttaaata");
	all = as_json();
	run_ = json_object_get(all, "placement");
	question_ = json_array_get(json_object_get(all, "questions"), 0);
	case_ = json_array_get(json_object_get(question_, "cases"), 0);
	question_ = json_object_get(question_, "placement");
	case_ = json_object_get(case_, "placement");
	wanted = json_string_value(json_object_get(run_, "wanted"));
	ck_assert_str_eq(wanted, "apart");
	ck_assert_double_eq(value(run_, "wait_s"), 10);
	ck_assert_double_eq(value(run_, "together_most_ns"), 75);
	ck_assert_double_eq(value(run_, "apart_least_ns"), 90);
	for (int i = 0; i < 3; i++) {
		const json_t *p = i == 0 ? run_ : i == 1 ? question_ : case_;

		ck_assert_str_eq(json_string_value(json_object_get(p, "got")),
				 "apart");
		ck_assert_double_eq(value(p, "kept"), 3);
		ck_assert_double_eq(value(p, "thrown_away"), 1);
		ck_assert_double_eq(value(p, "waited_s"), 2);
		ck_assert_double_eq(value(p, "unanswered"), 0);
	}
	ck_assert_double_eq(value(question_, "line_ns"), 200);
	ck_assert_uint_eq(json_array_size(json_object_get(case_, "line_ns")),
			  3);
	json_decref(all);
}
END_TEST

START_TEST(the_json_of_what_never_came_has_no_placement)
{
	const json_t *p;
	json_t *all;

	with("?");
	all = as_json();
	p = json_object_get(all, "placement");
	ck_assert(json_is_null(json_object_get(p, "got")));
	ck_assert_double_eq(value(p, "kept"), 0);
	ck_assert_double_eq(value(p, "unanswered"), 1);
	json_decref(all);
}
END_TEST

START_TEST(a_look_takes_a_time_or_none)
{
	const int cpus[] = {-1, -1};
	const double line_ns = bench_line_look(cpus, true);

	/* On one CPU the players wait for each other's time slices. */
	ck_assert(isnan(line_ns) || line_ns > 0);
	ck_assert_double_gt(bench_line_nap(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_placement");
	TCase *pure = tcase_create("pure"), *turns = tcase_create("turns");

	tcase_add_test(pure, the_limits_are_where_the_manual_says);
	tcase_add_test(pure, looks_that_differ_are_mixed_or_unknown);
	tcase_add_test(pure, only_the_wanted_placement_is_kept);
	tcase_add_test(pure, it_waits_until_the_time_is_spent_and_no_longer);
	tcase_add_test(pure, only_the_names_of_the_option_can_be_wanted);
	tcase_add_test(pure, a_look_takes_a_time_or_none);
	suite_add_tcase(suite, pure);
	tcase_add_checked_fixture(turns, setup, teardown);
	tcase_add_test(turns,
		       every_subject_is_looked_at_before_and_the_turn_after);
	tcase_add_test(turns, it_sleeps_until_the_wanted_one_comes);
	tcase_add_test(
		turns,
		a_turn_that_ends_elsewhere_is_thrown_away_and_taken_again);
	tcase_add_test(turns, a_turn_ends_where_the_placement_does);
	tcase_add_test(turns, what_never_comes_is_no_answer_and_says_why);
	tcase_add_test(turns, too_few_turns_are_no_answer_either);
	tcase_add_test(turns,
		       three_turns_are_an_answer_where_seven_were_wanted);
	tcase_add_test(turns, the_time_to_wait_is_the_questions);
	tcase_add_test(turns, nothing_is_waited_for_without_time_to_wait);
	tcase_add_test(turns, a_subject_that_is_absent_is_not_waited_for);
	tcase_add_test(turns, any_placement_is_kept_and_told);
	tcase_add_test(turns, the_json_says_what_was_wanted_and_what_came);
	tcase_add_test(turns, the_json_of_what_never_came_has_no_placement);
	suite_add_tcase(suite, turns);
	return check_run(suite);
}
