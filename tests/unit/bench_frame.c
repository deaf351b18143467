/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course of tapio-bench: processes that end together and say why, subjects
 * that take turns, and a result in which no subject is missing.
 *
 * The question here is the test's own: its subjects note in shared memory who was
 * asked and when, and measure nothing.
 */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/frame/frame.h"
#include "lib/base/atomic.h"
#include "tools/common/tool.h"
#include "tests/check_main.h"

static const struct bench_question *asked[2];

const struct bench_question *const *bench_questions(void)
{
	return asked;
}

/* ---- sides -------------------------------------------------------------------- */

static int adds(void *arg, struct bench_shared *shared, unsigned int index)
{
	uint32_t *sum = arg;

	shared->side[index].start_ns = bench_now_ns();
	shared->side[index].count = (uint64_t)getpid();
	for (int round = 0; round < 3; round++) {
		tpi_add_relaxed(sum, 1);
		bench_ready(shared);
		/* No side is still adding, none adds already. */
		if (tpi_load_relaxed(sum) !=
		    (uint32_t)(round + 1) * shared->sides) {
			bench_why("round %d began too early", round);
			return -EPROTO;
		}
		bench_ready(shared);
	}
	shared->side[index].end_ns = bench_now_ns();
	return 0;
}

START_TEST(sides_are_processes_that_wait_for_each_other)
{
	uint32_t *sum = bench_memory(sizeof(*sum));
	struct bench_side sides[5];
	struct bench_shared shared;
	int err;

	ck_assert_ptr_nonnull(sum);
	for (int i = 0; i < 5; i++)
		sides[i] = (struct bench_side){-1, adds, sum};
	err = bench_sides_run(sides, 5, &shared);
	ck_assert_msg(!err, "%s", bench_why_taken());
	ck_assert_uint_eq(*sum, 15);
	ck_assert_uint_eq(shared.sides, 5);
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_ne(shared.side[i].count, (uint64_t)getpid());
		ck_assert_uint_ne(shared.side[i].count,
				  shared.side[(i + 1) % 5].count);
	}
	ck_assert_double_gt(bench_span_ns(&shared), 0);
	bench_memory_free(sum, sizeof(*sum));
}
END_TEST

START_TEST(a_span_is_from_the_first_start_to_the_last_end)
{
	struct bench_shared shared = {.sides = 3};

	ck_assert_double_eq(bench_span_ns(&shared), 0);
	shared.side[0].start_ns = 1000;
	shared.side[0].end_ns = 1500;
	shared.side[1].start_ns = 900;
	shared.side[2].end_ns = 2000; /* and no start */
	ck_assert_double_eq(bench_span_ns(&shared), 1100);
}
END_TEST

static int waits(void *arg, struct bench_shared *shared, unsigned int index)
{
	(void)arg;
	shared->side[index].count = (uint64_t)getpid();
	bench_ready(shared);
	while (pause())
		;
	return 0;
}

static int fails(void *arg, struct bench_shared *shared, unsigned int index)
{
	(void)index;
	bench_ready(shared);
	bench_why("event %d came twice", *(int *)arg);
	return -EILSEQ;
}

/* The process is gone, and waited for. */
static void is_gone(uint64_t pid)
{
	ck_assert_uint_gt(pid, 0);
	ck_assert_int_eq(kill((pid_t)pid, 0), -1);
	ck_assert_int_eq(errno, ESRCH);
}

START_TEST(the_first_failure_ends_all_and_its_reason_is_passed_on)
{
	int event = 17;
	const struct bench_side sides[] = {
		{-1, waits, NULL}, {-1, fails, &event}, {-1, waits, NULL}};
	struct bench_shared shared;

	ck_assert_int_eq(bench_sides_run(sides, 3, &shared), -EILSEQ);
	ck_assert_str_eq(bench_why_taken(), "event 17 came twice");
	is_gone(shared.side[0].count);
	is_gone(shared.side[2].count);
}
END_TEST

static int dies(void *arg, struct bench_shared *shared, unsigned int index)
{
	(void)arg;
	(void)index;
	bench_ready(shared);
	raise(SIGKILL);
	return 0;
}

START_TEST(a_side_that_is_killed_is_a_failure_with_its_signal)
{
	const struct bench_side sides[] = {{-1, waits, NULL}, {-1, dies, NULL}};
	struct bench_shared shared;

	ck_assert_int_lt(bench_sides_run(sides, 2, &shared), 0);
	ck_assert_ptr_nonnull(strstr(bench_why_taken(), strsignal(SIGKILL)));
	is_gone(shared.side[0].count);
}
END_TEST

static int is_absent(void *arg, struct bench_shared *shared, unsigned int index)
{
	(void)arg;
	(void)shared;
	(void)index;
	bench_why("no such queue here");
	return BENCH_ABSENT;
}

START_TEST(a_side_may_find_that_it_is_absent)
{
	const struct bench_side side = {-1, is_absent, NULL};

	ck_assert_int_eq(bench_sides_run(&side, 1, NULL), BENCH_ABSENT);
	ck_assert_str_eq(bench_why_taken(), "no such queue here");
}
END_TEST

START_TEST(a_cpu_that_is_not_there_is_a_failure)
{
	const struct bench_side side = {BENCH_CPUS_MAX - 1, waits, NULL};

	ck_assert_int_lt(bench_sides_run(&side, 1, NULL), 0);
	ck_assert_ptr_nonnull(strstr(bench_why_taken(), "1023"));
}
END_TEST

START_TEST(sides_beyond_what_there_is_room_for_are_refused)
{
	const struct bench_side side = {-1, waits, NULL};

	ck_assert_int_eq(bench_sides_run(&side, 0, NULL), -EINVAL);
	ck_assert_int_eq(bench_sides_run(&side, BENCH_SIDES_MAX + 1, NULL),
			 -EINVAL);
}
END_TEST

struct left {
	uint32_t pid;
};

static int notes(void *arg, struct bench_shared *shared, unsigned int index)
{
	struct left *left = arg;

	(void)index;
	(void)shared;
	tpi_store_relaxed(&left->pid, (uint32_t)getpid());
	while (pause())
		;
	return 0;
}

static void nap(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	nanosleep(&ms, NULL);
}

START_TEST(sides_die_with_the_frame)
{
	struct left *left = bench_memory(sizeof(*left));
	const struct bench_side side = {-1, notes, left};
	uint32_t pid;
	pid_t frame = fork();

	if (!frame)
		_exit(bench_sides_run(&side, 1, NULL) ? 1 : 0);
	ck_assert_int_gt(frame, 0);
	while (!(pid = tpi_load_relaxed(&left->pid)))
		nap();
	kill(frame, SIGKILL);
	ck_assert_int_eq(waitpid(frame, NULL, 0), frame);
	/* An orphan: the process that inherits it waits for it. The test's
	 * limit ends this when it lives on. */
	while (!kill((pid_t)pid, 0)) {
		char path[64], state = 0;
		FILE *stat;

		snprintf(path, sizeof(path), "/proc/%u/stat", pid);
		stat = fopen(path, "re");
		if (stat) {
			if (fscanf(stat, "%*d %*s %c", &state) != 1)
				state = 0;
			fclose(stat);
		}
		if (state == 'Z')
			break;
		nap();
	}
	bench_memory_free(left, sizeof(*left));
}
END_TEST

START_TEST(memory_is_zeroed_shared_and_given_back)
{
	static const uint64_t sizes[] = {1,      4096,    300000,
					 524288, 1 << 20, (3 << 20) + 5};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		/* Over and over: a resource that is not given back runs out. */
		for (int again = 0; again < 70; again++) {
			unsigned char *memory = bench_memory(sizes[i]);

			ck_assert_ptr_nonnull(memory);
			ck_assert_uint_eq(memory[0] + memory[sizes[i] - 1], 0);
			memset(memory, 0xff, sizes[i]);
			bench_memory_free(memory, sizes[i]);
		}
	}
	ck_assert_ptr_null(bench_memory(0));
	ck_assert_str_ne(bench_why_taken(), "");
}
END_TEST

/* ---- turns -------------------------------------------------------------------- */

#define ASKED_MAX 64

static struct {
	unsigned int count;
	char who[ASKED_MAX];
	uint64_t events[ASKED_MAX];
	unsigned int started, stopped, set_up, torn_down;
} log_;

struct plan {
	char letter;
	double figure;
	int err;
	unsigned int from; /* on it is asked the so manyth time: err */
	unsigned int times;
};

static int run(const struct bench_run *r, const struct bench_subject *subject,
	       double *figures)
{
	struct plan *plan = (struct plan *)(uintptr_t)subject->arg;

	ck_assert_uint_lt(log_.count, ASKED_MAX);
	ck_assert_uint_eq(log_.set_up, 1);
	log_.who[log_.count] = plan->letter;
	log_.events[log_.count++] = r->events;
	if (plan->err && plan->times++ >= plan->from) {
		bench_why("%c has had enough", plan->letter);
		return plan->err;
	}
	figures[0] = plan->figure;
	return 0;
}

static int starts(void)
{
	log_.started++;
	return 0;
}

static int starts_not(void)
{
	log_.started++;
	bench_why("no daemon");
	return -ECONNREFUSED;
}

static void stops(void)
{
	log_.stopped++;
}

static int sets_up(void)
{
	log_.set_up++;
	return 0;
}

static int sets_up_not(void)
{
	log_.set_up++;
	bench_why("no broker");
	return -EIO;
}

static void tears_down(void)
{
	log_.torn_down++;
}

static struct plan a = {.letter = 'a', .figure = 2},
		   b = {.letter = 'b', .figure = 8},
		   c = {.letter = 'c', .figure = 1},
		   d = {.letter = 'd', .figure = 4};
static struct bench_peer tapio = {"Tapio",   "",          "in", "processes",
				  "nothing", BENCH_TAPIO, NULL, NULL};
static struct bench_peer peer = {"peer", "libpeer-dev", "in and out", "threads",
				 "all",  BENCH_PEER,    starts,       stops};
static struct bench_peer plain = {"plain", "",          "",   "",
				  "",      BENCH_FLOOR, NULL, NULL};
static const struct bench_subject sa = {&tapio, NULL, run, &a},
				  sb = {&peer, "one", run, &b},
				  sc = {&plain, NULL, run, &c},
				  sd = {&peer, "two", run, &d};
static const struct bench_subject *const abc[] = {&sa, &sb, &sc, &sd, NULL};
static const struct bench_case cases[] = {
	{
		.name = "first/1",
		.title = "the first",
		.bytes = 64,
		.batch = 1,
		.events = 4000,
		.quick_events = 7,
		.figures = {{"cost", "ns", false}},
		.subjects = abc,
		.goals = {{.text = "2 x ahead of the best peer",
			   .kind = BENCH_GOAL_BEST_PEER,
			   .limit = 0.5},
			  {.text = "at most 1.5 x plain",
			   .kind = BENCH_GOAL_SUBJECT,
			   .against = "plain",
			   .limit = 1.5}},
	},
	{
		.name = "second/1",
		.title = "the second",
		.events = 4000,
		.figures = {{"cost", "ns", false}},
		.subjects = abc,
	},
	{.name = NULL},
};
static const struct bench_published published[] = {
	{"elsewhere", 89.3, "ns", "its README"}, {.what = NULL}};
static struct bench_question question;
static struct bench_options options;
static struct bench_results results;

/* Where the CPUs are is no matter here: tests/unit/bench_placement.c. */
static double look(const int cpus[2], bool quick)
{
	(void)cpus;
	(void)quick;
	return 200;
}

static void setup(void)
{
	memset(&log_, 0, sizeof(log_));
	a.err = b.err = c.err = d.err = 0;
	a.times = b.times = c.times = d.times = 0;
	peer.start = starts;
	question = (struct bench_question){.number = 3,
					   .text = "Which way?",
					   .cases = cases,
					   .set_up = sets_up,
					   .tear_down = tears_down,
					   .published = published};
	asked[0] = &question;
	memset(&options, 0, sizeof(options));
	options.turns = 3;
	options.all_turns = true;
	options.cpus[1] = 1;
	options.cpu_count = 2;
	options.quick = true;
	options.look = look;
	memset(&results, 0, sizeof(results));
}

static void teardown(void)
{
	bench_results_free(&results);
}

static void select_only(const char *glob)
{
	options.globs[options.glob_count++] = glob;
}

static const struct bench_case_result *first_case(void)
{
	ck_assert_int_eq(bench_turns(&options, &results), 0);
	ck_assert_uint_eq(results.question_count, 1);
	return &results.questions[0].cases[0];
}

START_TEST(subjects_take_turns_and_each_turn_begins_with_another)
{
	select_only("first");
	first_case();
	ck_assert_str_eq(log_.who, "abcdbcdacdab");
	for (unsigned int i = 0; i < log_.count; i++)
		ck_assert_uint_eq(log_.events[i], 7);
	ck_assert_uint_eq(log_.set_up, 1);
	ck_assert_uint_eq(log_.torn_down, 1);
}
END_TEST

START_TEST(the_turn_to_warm_up_does_not_count)
{
	const struct bench_case_result *result;

	select_only("first");
	options.quick = false;
	options.turns = 1;
	a.err = -EIO;
	a.from = 2;
	result = first_case();
	ck_assert_str_eq(log_.who, "abcdabcd");
	ck_assert_uint_lt(log_.events[0], log_.events[4]);
	ck_assert_uint_eq(log_.events[4], 4000);
	ck_assert_uint_eq(result->turns, 1);
	ck_assert_int_eq(result->subject[0].state, BENCH_OK);
	ck_assert_double_eq(result->subject[0].turns[0][0], 2);
}
END_TEST

static int run_long(const struct bench_run *r,
		    const struct bench_subject *subject, double *figures)
{
	const struct timespec time = {.tv_sec = 1};

	nanosleep(&time, NULL);
	return run(r, subject, figures);
}

START_TEST(a_case_that_takes_long_ends_after_three_turns)
{
	static const struct bench_subject slow = {&tapio, NULL, run_long, &a};
	static const struct bench_subject *const one[] = {&slow, NULL};
	static const struct bench_case slow_cases[] = {
		{.name = "slow",
		 .title = "",
		 .figures = {{"cost", "ns", false}},
		 .subjects = one},
		{.name = NULL}};
	const struct bench_case_result *result;

	question.cases = slow_cases;
	question.published = NULL;
	options.turns = 7;
	options.all_turns = false;
	result = first_case();
	ck_assert_str_eq(log_.who, "aaa");
	ck_assert_uint_eq(result->turns, 3);
}
END_TEST

START_TEST(who_fails_or_is_absent_is_not_asked_again_and_the_others_are)
{
	const struct bench_case_result *result;

	select_only("first");
	b.err = -EIO;
	b.from = 1;
	c.err = BENCH_ABSENT;
	result = first_case();
	ck_assert_str_eq(log_.who, "abcdbdada");
	ck_assert_int_eq(result->subject[0].state, BENCH_OK);
	ck_assert_int_eq(result->subject[1].state, BENCH_FAILED);
	ck_assert_str_eq(result->subject[1].why, "b has had enough");
	ck_assert_int_eq(result->subject[2].state, BENCH_NOT_HERE);
	ck_assert_str_eq(result->subject[2].why, "c has had enough");
	ck_assert_int_eq(result->subject[3].state, BENCH_OK);
}
END_TEST

START_TEST(a_figure_that_is_no_number_is_a_failure)
{
	const struct bench_case_result *result;

	select_only("first");
	b.figure = 0. / 0.;
	result = first_case();
	ck_assert_int_eq(result->subject[1].state, BENCH_FAILED);
	b.figure = 8;
}
END_TEST

START_TEST(a_peer_is_started_once_and_stopped_at_the_end)
{
	first_case();
	ck_assert_uint_eq(log_.started, 1);
	ck_assert_uint_eq(log_.stopped, 1);
}
END_TEST

START_TEST(a_peer_that_cannot_be_started_is_absent_with_the_reason)
{
	const struct bench_case_result *result;

	peer.start = starts_not;
	result = first_case();
	ck_assert_uint_eq(log_.started, 1);
	ck_assert_uint_eq(log_.stopped, 0);
	ck_assert_int_eq(result->subject[1].state, BENCH_NOT_HERE);
	ck_assert_str_eq(result->subject[1].why, "no daemon");
	ck_assert_int_eq(result[1].subject[3].state, BENCH_NOT_HERE);
}
END_TEST

START_TEST(a_question_that_cannot_be_set_up_is_tapios_failure)
{
	const struct bench_case_result *result;

	question.set_up = sets_up_not;
	result = first_case();
	ck_assert_uint_eq(log_.count, 0);
	ck_assert_uint_eq(log_.torn_down, 0);
	ck_assert_str_eq(results.questions[0].why, "no broker");
	ck_assert_int_eq(result->subject[0].state, BENCH_FAILED);
	ck_assert_int_eq(result->subject[1].state, BENCH_NOT_HERE);
	ck_assert_str_eq(result->subject[1].why, "no broker");
}
END_TEST

/* ---- stopped ------------------------------------------------------------------ */

static struct left *left_behind;

static int run_notes(const struct bench_run *r,
		     const struct bench_subject *subject, double *figures)
{
	const struct bench_side side = {-1, notes, left_behind};

	(void)r;
	(void)subject;
	(void)figures;
	return bench_sides_run(&side, 1, NULL);
}

static _Noreturn void be_stopped(void)
{
	static const struct bench_subject endless = {&peer, NULL, run_notes,
						     NULL};
	static const struct bench_subject *const one[] = {&endless, NULL};
	static const struct bench_case c1[] = {
		{.name = "endless", .title = "", .subjects = one},
		{.name = NULL}};

	question.cases = c1;
	question.published = NULL;
	tpi_signals_init();
	_exit(bench_turns(&options, &results) == -EINTR && log_.stopped == 1 &&
			      log_.torn_down == 1
		      ? 0
		      : 1);
}

START_TEST(a_signal_ends_sides_questions_and_peers)
{
	int status = 0;
	uint32_t pid;
	pid_t frame;

	left_behind = bench_memory(sizeof(*left_behind));
	frame = fork();
	if (!frame)
		be_stopped();
	while (!(pid = tpi_load_relaxed(&left_behind->pid)))
		nap();
	kill(frame, SIGINT);
	ck_assert_int_eq(waitpid(frame, &status, 0), frame);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	is_gone(pid);
}
END_TEST

/* ---- JSON --------------------------------------------------------------------- */

static json_t *as_json(void)
{
	char path[] = "/tmp/bench_frame.XXXXXX";
	int fd = mkstemp(path);
	json_t *all;

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(bench_json_check(path), 0);
	ck_assert_int_eq(bench_json_write(path, &options, &results), 0);
	all = json_load_file(path, 0, NULL);
	unlink(path);
	ck_assert_ptr_nonnull(all);
	return all;
}

static json_t *at(json_t *node, const char *key, size_t index)
{
	json_t *list = json_object_get(node, key);

	ck_assert_msg(index < json_array_size(list), "%s[%zu]", key, index);
	return json_array_get(list, index);
}

static void says(json_t *node, const char *key, const char *text)
{
	ck_assert_str_eq(json_string_value(json_object_get(node, key)), text);
}

static void counts(json_t *node, const char *key, double value)
{
	ck_assert_double_eq_tol(json_number_value(json_object_get(node, key)),
				value, 1e-9);
}

START_TEST(the_json_has_every_subject_with_its_turns_or_its_reason)
{
	json_t *all, *one, *subject;

	c.err = BENCH_ABSENT;
	first_case();
	all = as_json();
	says(all, "format", "tapio-bench");
	one = at(at(all, "questions", 0), "cases", 0);
	says(one, "name", "first/1");
	ck_assert_uint_eq(json_array_size(json_object_get(one, "subjects")), 4);
	subject = at(one, "subjects", 1);
	says(subject, "name", "peer, one");
	says(subject, "status", "ok");
	counts(at(subject, "figures", 0), "median", 8);
	counts(at(subject, "figures", 0), "ratio", 4);
	ck_assert_uint_eq(json_array_size(json_object_get(
				  at(subject, "figures", 0), "turns")),
			  3);
	subject = at(one, "subjects", 2);
	says(subject, "status", "absent");
	says(subject, "why", "c has had enough");
	ck_assert_uint_eq(json_array_size(json_object_get(subject, "figures")),
			  0);
	says(at(all, "published", 0), "source", "its README");
	/* Each once, and behind them what was not built in. */
	says(at(all, "peers", 0), "name", "Tapio");
	says(at(all, "peers", 1), "name", "peer");
	says(at(all, "peers", 2), "name", "plain");
	says(at(all, "peers", 2), "kind", "floor");
	json_decref(all);
}
END_TEST

START_TEST(the_json_has_every_goal_with_its_verdict)
{
	json_t *all, *one;

	options.quick = false;
	options.turns = 1;
	first_case();
	all = as_json();
	one = at(at(all, "questions", 0), "cases", 0);
	counts(at(one, "goals", 0), "value", 0.5);
	says(at(one, "goals", 0), "against", "peer, two");
	ck_assert(
		json_is_true(json_object_get(at(one, "goals", 0), "reached")));
	counts(at(one, "goals", 1), "value", 2);
	ck_assert(
		json_is_false(json_object_get(at(one, "goals", 1), "reached")));
	json_decref(all);
}
END_TEST

START_TEST(a_quick_run_judges_nothing)
{
	json_t *all, *one;

	first_case();
	all = as_json();
	one = at(at(all, "questions", 0), "cases", 0);
	ck_assert(
		json_is_null(json_object_get(at(one, "goals", 1), "reached")));
	ck_assert(json_is_string(json_object_get(at(one, "goals", 1), "why")));
	json_decref(all);
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_known_before_the_run)
{
	ck_assert_int_eq(bench_json_check("/nowhere/at/all.json"), -1);
	ck_assert_int_eq(bench_json_check("-"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_frame");
	TCase *sides = tcase_create("sides"), *turns = tcase_create("turns");

	tcase_add_test(sides, sides_are_processes_that_wait_for_each_other);
	tcase_add_test(sides, a_span_is_from_the_first_start_to_the_last_end);
	tcase_add_test(sides,
		       the_first_failure_ends_all_and_its_reason_is_passed_on);
	tcase_add_test(sides,
		       a_side_that_is_killed_is_a_failure_with_its_signal);
	tcase_add_test(sides, a_side_may_find_that_it_is_absent);
	tcase_add_test(sides, a_cpu_that_is_not_there_is_a_failure);
	tcase_add_test(sides, sides_beyond_what_there_is_room_for_are_refused);
	tcase_add_test(sides, sides_die_with_the_frame);
	tcase_add_test(sides, memory_is_zeroed_shared_and_given_back);
	suite_add_tcase(suite, sides);
	tcase_add_checked_fixture(turns, setup, teardown);
	tcase_add_test(turns,
		       subjects_take_turns_and_each_turn_begins_with_another);
	tcase_add_test(turns, the_turn_to_warm_up_does_not_count);
	tcase_add_test(turns, a_case_that_takes_long_ends_after_three_turns);
	tcase_add_test(
		turns,
		who_fails_or_is_absent_is_not_asked_again_and_the_others_are);
	tcase_add_test(turns, a_figure_that_is_no_number_is_a_failure);
	tcase_add_test(turns, a_peer_is_started_once_and_stopped_at_the_end);
	tcase_add_test(turns,
		       a_peer_that_cannot_be_started_is_absent_with_the_reason);
	tcase_add_test(turns,
		       a_question_that_cannot_be_set_up_is_tapios_failure);
	tcase_add_test(turns, a_signal_ends_sides_questions_and_peers);
	tcase_add_test(turns,
		       the_json_has_every_subject_with_its_turns_or_its_reason);
	tcase_add_test(turns, the_json_has_every_goal_with_its_verdict);
	tcase_add_test(turns, a_quick_run_judges_nothing);
	tcase_add_test(turns,
		       a_file_that_cannot_be_written_is_known_before_the_run);
	suite_add_tcase(suite, turns);
	return check_run(suite);
}
