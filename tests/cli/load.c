/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-load as people use it: every way of emitting delivers everything, its
 * own counts and the lanes' agree, and a run in which something went wrong fails.
 * The whole file runs in both flavours (tapio_flavour).
 */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "command.h"
#include "tests/cpu_lanes.h"
#include "tests/fault/deny.h"
#include "tests/check_main.h"

static struct command run;
static json_t *summary;
static const char *rseq; /* a summary has to say this of it */

static void setup(void)
{
	rseq = side_flavour() ? "absent" : "proven";
}

static void teardown(void)
{
	json_decref(summary);
	summary = NULL;
	command_free(&run);
}

/* Parses the last line of what a run printed. */
static void take_summary(void)
{
	json_error_t why;
	const char *line = command_last_line(run.out);

	summary = json_loads(line, JSON_REJECT_DUPLICATES, &why);
	ck_assert_msg(summary != NULL, "%s in '%s' (%s)", why.text, line,
		      run.err);
	ck_assert_str_eq(json_string_value(json_object_get(summary, "rseq")),
			 rseq);
}

/* Runs it and asserts its exit status. */
#define LOAD(status_, ...)                                                  \
	do {                                                                \
		command_run(&run, "tapio-load", __VA_ARGS__, NULL);         \
		ck_assert_msg(run.status == (status_), "status %d\n%s\n%s", \
			      run.status, run.out, run.err);                \
	} while (0)

static long long number(const char *key)
{
	json_t *value = json_object_get(summary, key);

	ck_assert_msg(json_is_integer(value), "%s is no number", key);
	return json_integer_value(value);
}

static long long of(const char *object, const char *key)
{
	json_t *value = json_object_get(json_object_get(summary, object), key);

	ck_assert_msg(json_is_integer(value), "%s.%s is no number", object,
		      key);
	return json_integer_value(value);
}

static void assert_clean(void)
{
	static const char *const zero[] = {"lost",   "duplicated", "corrupt",
					   "wedged", "disordered", "foreign"};

	for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
		ck_assert_msg(number(zero[i]) == 0, "%s: %lld", zero[i],
			      number(zero[i]));
	ck_assert(json_is_true(json_object_get(summary, "passed")));
	ck_assert(json_is_true(json_object_get(
		json_object_get(summary, "ledger"), "balanced")));
}

/* No process was killed, so no refusal went uncounted. */
static void assert_counts(long long sent, long long groups)
{
	assert_clean();
	ck_assert_int_eq(number("sent"), sent);
	ck_assert_int_eq(number("received"), sent * groups);
	ck_assert_int_eq(number("in_doubt"), 0);
	ck_assert_int_eq(number("redelivered"), 0);
	ck_assert_int_eq(number("dropped"), number("refused"));
}

/* Nothing else than a discard is skipped in a run without kills. */
static void assert_discards(void)
{
	ck_assert_int_gt(
		json_integer_value(json_object_get(
			json_object_get(summary, "ledger"), "skipped")),
		0);
}

START_TEST(one_event_per_call_arrives)
{
	LOAD(0, "--json", "-n", "20000");
	take_summary();
	assert_counts(20000, 1);
}
END_TEST

START_TEST(events_filled_in_place_arrive)
{
	LOAD(0, "--json", "-n", "20000", "-m", "reserve", "-p", "2");
	take_summary();
	assert_counts(40000, 1);
}
END_TEST

START_TEST(reserved_batches_with_discards_arrive)
{
	LOAD(0, "--json", "-n", "20000", "-m", "reserve", "-b", "16",
	     "--discard", "3", "--size", "64..900");
	take_summary();
	assert_counts(20000, 1);
	assert_discards();
}
END_TEST

START_TEST(batches_arrive)
{
	LOAD(0, "--json", "-n", "20000", "-m", "batch", "-b", "64");
	take_summary();
	assert_counts(20000, 1);
}
END_TEST

START_TEST(all_ways_at_once_arrive)
{
	LOAD(0, "--json", "-n", "20000", "-m", "mix", "-p", "2", "--discard",
	     "9", "--size", "32..2000");
	take_summary();
	assert_counts(40000, 1);
	assert_discards();
}
END_TEST

/* Sixteen blocks are full all the time. */
START_TEST(a_small_lane_refuses_and_loses_nothing)
{
	LOAD(0, "--json", "-n", "5000", "-p", "2", "-c", "2", "--blocks", "16",
	     "-m", "batch", "-b", "12");
	take_summary();
	assert_counts(10000, 1);
	ck_assert_int_gt(number("refused"), 0);
}
END_TEST

START_TEST(every_group_gets_everything)
{
	LOAD(0, "--json", "-n", "10000", "-p", "2", "--groups", "3",
	     "--members", "2");
	take_summary();
	assert_counts(20000, 3);
}
END_TEST

START_TEST(a_lossy_group_accounts_for_what_it_missed)
{
	LOAD(0, "--json", "-n", "50000", "--policy", "lossy", "--blocks", "64",
	     "-p", "2");
	take_summary();
	assert_clean();
	ck_assert_int_eq(number("sent"), 100000);
	ck_assert_int_le(number("received"), 100000);
}
END_TEST

START_TEST(a_paced_producer_sends_as_much_as_it_should)
{
	LOAD(0, "--json", "-n", "500", "--rate", "5k", "-p", "2");
	take_summary();
	assert_counts(1000, 1);
}
END_TEST

START_TEST(killed_producers_lose_nothing)
{
	LOAD(0, "--json", "--kill", "60", "-p", "3", "-m", "batch");
	take_summary();
	assert_clean();
	ck_assert_int_eq(number("kills"), 60);
	ck_assert_int_le(number("in_doubt"), 60 * 16);
	ck_assert_int_ge(number("dropped"), number("refused"));
	ck_assert_int_le(number("dropped"), number("refused") + 60 * 16);
}
END_TEST

START_TEST(killed_consumers_are_only_given_again_what_was_not_released)
{
	LOAD(0, "--json", "--kill-consumers", "60", "-p", "2", "--groups", "2");
	take_summary();
	assert_clean();
	ck_assert_int_eq(number("kills_consumers"), 60);
	ck_assert_int_eq(number("received"), 2 * number("sent"));
}
END_TEST

START_TEST(stopped_processes_lose_nothing)
{
	LOAD(0, "--json", "--stop", "20", "-p", "2", "-c", "2");
	take_summary();
	assert_clean();
	ck_assert_int_eq(number("stops"), 20);
}
END_TEST

/* Each saboteur, and the count that must show what it did. */
START_TEST(a_run_that_went_wrong_fails)
{
	static const char *const kinds[][2] = {{"lose", "lost"},
					       {"duplicate", "duplicated"},
					       {"tamper", "corrupt"}};

	LOAD(1, "--json", "-n", "2000", "--sabotage", kinds[_i][0]);
	take_summary();
	ck_assert_int_eq(number(kinds[_i][1]), 1);
	ck_assert(json_is_false(json_object_get(summary, "passed")));
}
END_TEST

START_TEST(speed_alone_is_measured_and_compared)
{
	json_t *ratio;

	LOAD(0, "--json", "-d", "300ms", "--pin", "--no-check", "--baseline");
	take_summary();
	ck_assert_int_gt(number("sent"), 0);
	ck_assert_int_eq(number("received"), number("sent"));
	ratio = json_object_get(summary, "baseline_ratio");
	ck_assert(json_is_real(ratio) && json_real_value(ratio) > 0);
}
END_TEST

START_TEST(the_summary_is_the_last_line_also_of_the_text)
{
	LOAD(0, "-n", "1000");
	ck_assert_ptr_nonnull(strstr(run.out, "latency"));
	/* As tools that only grep see it. */
	ck_assert_ptr_nonnull(strstr(
		run.out,
		"\"lost\":0,\"duplicated\":0,\"corrupt\":0,\"wedged\":0"));
	take_summary();
	assert_clean();
}
END_TEST

START_TEST(latencies_are_in_order)
{
	static const char *const keys[] = {"p50", "p99", "p99.9", "max"};
	json_t *latency;
	long long last = 1;

	LOAD(0, "--json", "-n", "5000", "--rate", "50k");
	take_summary();
	latency = json_object_get(summary, "latency_ns");
	for (size_t i = 0; i < 4; i++) {
		json_t *value = json_object_get(latency, keys[i]);

		ck_assert(json_is_integer(value));
		ck_assert_int_ge(json_integer_value(value), last);
		last = json_integer_value(value);
	}
}
END_TEST

START_TEST(the_same_seed_asks_for_the_same)
{
	LOAD(0, "--json", "-n", "100", "--seed", "42");
	take_summary();
	ck_assert_int_eq(number("seed"), 42);
}
END_TEST

/*
 * The memory is lost with its ledgers. The records of the readers have all that is missing, to
 * the event, also where rings go round all the time.
 */
START_TEST(lost_instances_lose_nothing_uncounted)
{
	static const char *const policies[] = {"lossless",
					       "lossless,until,lossy"};
	long long missing;

	LOAD(0, "--json", "--kill-instance", "2", "-p", "2", "--groups", "3",
	     "--policy", policies[_i], "--blocks", "256");
	take_summary();
	assert_clean();
	ck_assert_int_eq(number("unexplained"), 0);
	ck_assert_int_eq(number("dropped"), number("refused"));
	ck_assert_int_eq(of("instances", "kills"), 2);
	ck_assert_int_eq(of("instances", "moves"), 2 * 3);
	missing = of("instances", "unread") + of("instances", "before_join") +
		  of("instances", "overrun");
	ck_assert_int_eq(missing, number("overrun"));
	/* Others may miss events of the last look for wedged lanes, too. */
	if (_i == 0)
		ck_assert_int_eq(missing,
				 3 * number("sent") - number("received"));
}
END_TEST

/* One event more is missing than the records say. */
START_TEST(an_event_lost_beside_an_instance_is_found)
{
	LOAD(1, "--json", "--kill-instance", "1", "--sabotage", "lose");
	take_summary();
	ck_assert_int_eq(number("lost"), 1);
	ck_assert_int_eq(number("unexplained"), 1);
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
	static const char *const wrong[][4] = {
		{"--mode", "nonsense"},
		{"--size", "16"},
		{"--size", "900..64"},
		{"--size", "2M"},
		{"--blocks", "100"},
		{"--batch", "65", "-m", "batch"},
		{"--batch", "4"},
		{"--discard", "4"},
		{"--no-check", "--kill", "5"},
		{"--baseline", "-p", "2"},
		{"--kill-consumers", "5", "--members", "1"},
		{"--consumers", "3", "--groups", "2"},
		{"--producers", "0"},
		{"--duration", "forever"},
		{"--pin=x"},
		{"argument"},
		{"--policy", "lossless,nonsense"},
		{"--stand-still", "--kill", "5"},
		{"--stand-still", "--socket", "/nonexistent"},
		{"--stand-still=0s"},
		{"--kill-instance", "0"},
		{"--kill-instance", "5/m"},
		{"--kill-instance", "1", "--filter", "3"},
		{"--kill-instance", "1", "-m", "reserve"},
		{"--kill-instance=1", "--kill-broker=1"},
		{"--kill-instance", "1", "--socket", "/nonexistent"},
	};

	command_run(&run, "tapio-load", wrong[_i][0], wrong[_i][1],
		    wrong[_i][1] ? wrong[_i][2] : NULL,
		    wrong[_i][1] && wrong[_i][2] ? wrong[_i][3] : NULL, NULL);
	ck_assert_msg(run.status == 2, "status %d: %s", run.status, run.err);
	ck_assert_str_eq(run.out, "");
}
END_TEST
#define WRONG 26

START_TEST(a_broker_that_is_not_there_is_status_3)
{
	LOAD(3, "--socket", "/nonexistent/tapio");
	ck_assert_ptr_nonnull(strstr(run.err, "/nonexistent/tapio"));
}
END_TEST

START_TEST(more_memory_than_there_is_is_refused_with_the_numbers)
{
	LOAD(1, "-n", "10", "--blocks", "65536", "--block-bytes", "1048512");
	ck_assert_ptr_nonnull(strstr(run.err, "budget"));
}
END_TEST

START_TEST(help_says_which_broker_it_uses)
{
	LOAD(0, "--help");
	ck_assert_ptr_nonnull(strstr(run.out, "a broker of its own)"));
	ck_assert_ptr_null(strstr(run.out, "/run/tapio"));
}
END_TEST

START_TEST(a_cpu_that_is_not_there_is_named)
{
	LOAD(1, "-n", "10", "--pin=1023");
	ck_assert_ptr_nonnull(strstr(run.err, "1023"));
}
END_TEST

/* As a seccomp profile does it: whatever is started from here on has no rseq. */
START_TEST(where_rseq_is_refused_side_lanes_carry_everything)
{
	static const int errors[] = {EPERM, ENOSYS};

	if (!deny_syscall(SYS_rseq, errors[_i])) {
		fprintf(stderr,
			"skipped: this kernel has no seccomp filters\n");
		return;
	}
	rseq = "absent";
	LOAD(0, "--json", "-n", "20000", "-m", "mix", "-b", "8", "-p", "2");
	take_summary();
	assert_clean();
}
END_TEST

/* ---- one group stands still ----------------------------------------------- */

/*
 * The only member of a lossless group is stopped for a second, or a minute: the
 * producers of its channel are refused as the channel says, and each refusal is
 * counted. Accepted events arrive at its group and at a lossy one beside it.
 * Another channel goes on, with an exact account. (How fast, it prints. That
 * its own reader is late for a moment, and an event is refused and tried again,
 * is the machine's doing.)
 */
START_TEST(a_lossless_group_that_stands_still_costs_its_channel_and_no_other)
{
	static const char *const room[] = {"--drop", "--room-wait=3ms"};
	static const char *const cause[] = {"full", "timeout"};
	const char *value = getenv("TAPIO_LONG");
	bool minute = value && *value && strcmp(value, "0") != 0;

	LOAD(0, minute ? "--stand-still=1m" : "--stand-still", "-p", "2",
	     "--rate", "20k", "--groups", "2", "--policy", "lossless,lossy",
	     "--drop", room[_i]);
	take_summary();
	assert_clean();
	ck_assert_int_eq(number("stops"), 1);
	ck_assert_int_gt(number("refused"), 0);
	ck_assert_int_eq(number("dropped"), number("refused"));
	ck_assert_int_eq(of("dropped_for", cause[_i]), number("refused"));
	ck_assert_int_eq(of("ledger", "in_flight"), 0);
	ck_assert_int_gt(of("neighbour", "during"), 0);
	ck_assert_int_eq(of("neighbour", "received"), of("neighbour", "sent"));
	ck_assert(json_is_true(json_object_get(
		json_object_get(summary, "neighbour"), "exact")));
	printf("%s", run.out);
}
END_TEST

static void add_loads(TCase *tc)
{
	tcase_add_test(tc, one_event_per_call_arrives);
	tcase_add_test(tc, events_filled_in_place_arrive);
	tcase_add_test(tc, reserved_batches_with_discards_arrive);
	tcase_add_test(tc, batches_arrive);
	tcase_add_test(tc, all_ways_at_once_arrive);
	tcase_add_test(tc, a_small_lane_refuses_and_loses_nothing);
	tcase_add_test(tc, every_group_gets_everything);
	tcase_add_test(tc, a_lossy_group_accounts_for_what_it_missed);
	tcase_add_test(tc, a_paced_producer_sends_as_much_as_it_should);
	tcase_add_test(tc, killed_producers_lose_nothing);
	tcase_add_test(
		tc,
		killed_consumers_are_only_given_again_what_was_not_released);
	tcase_add_test(tc, stopped_processes_lose_nothing);
	tcase_add_loop_test(
		tc, where_rseq_is_refused_side_lanes_carry_everything, 0, 2);
	tcase_add_loop_test(tc, a_run_that_went_wrong_fails, 0, 3);
	tcase_add_loop_test(tc, lost_instances_lose_nothing_uncounted, 0, 2);
	tcase_add_test(tc, an_event_lost_beside_an_instance_is_found);
	tcase_add_test(tc, speed_alone_is_measured_and_compared);
	tcase_add_test(tc, the_summary_is_the_last_line_also_of_the_text);
	tcase_add_test(tc, latencies_are_in_order);
	tcase_add_test(tc, the_same_seed_asks_for_the_same);
}

int main(void)
{
	Suite *suite = suite_create("load");
	TCase *loads = tcase_create("loads");
	TCase *usage = tcase_create("usage");
	TCase *still = tcase_create("still");

	tcase_add_checked_fixture(loads, setup, teardown);
	tcase_add_checked_fixture(usage, setup, teardown);
	add_loads(loads);
	tcase_add_loop_test(usage, wrong_usage_is_status_2, 0, WRONG);
	tcase_add_test(usage, a_broker_that_is_not_there_is_status_3);
	tcase_add_test(usage,
		       more_memory_than_there_is_is_refused_with_the_numbers);
	tcase_add_test(usage, a_cpu_that_is_not_there_is_named);
	tcase_add_test(usage, help_says_which_broker_it_uses);
	tcase_add_checked_fixture(still, setup, teardown);
	tcase_set_timeout(still, 15); /* of 20 s: see CK_TIMEOUT_MULTIPLIER */
	tcase_add_loop_test(
		still,
		a_lossless_group_that_stands_still_costs_its_channel_and_no_other,
		0, 2);
	suite_add_tcase(suite, loads);
	suite_add_tcase(suite, still);
	suite_add_tcase(suite, usage);
	return check_run(suite);
}
