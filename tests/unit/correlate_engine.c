/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of tapio-correlate at its edges: limits, events that are late or seen before, events
 * that change while they are read, gaps. The operators are compared with a reference in
 * tests/correlate.
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "tests/unit/correlate_fixture.h"

static char spare[512];

/* ---- findings ------------------------------------------------------------------------------ */

START_TEST(a_finding_says_what_it_rests_on)
{
	begin("rule loop { k: type == process.exit and exit_code != 0 count(k) >= 3 "
	      "by pid, comm within 10s severity error cooldown 5s "
	      "say \"{comm} ({k.pid}) failed {count} times: {rule} {key} {{}}\" }");
	for (int i = 0; i < 9; i++)
		exits((10 + i) * S, 7, 1, "a\"b");
	tpi_corr_time(corr, 30 * S);
	/* At 12 s; at 15 s within the cool-down; at 18 s after it. */
	ck_assert_uint_eq(found_count, 2);
	ck_assert_str_eq(
		found[0].say,
		"a\\\"b (7) failed 3 times: loop pid=7 comm=\"a\\\"b\" {}");
	ck_assert_str_eq(found[0].key, "pid=7 comm=\"a\\\"b\"");
	ck_assert_uint_eq(found[0].time_ns, 12 * S);
	ck_assert_uint_eq(found[0].evidence, 3);
	ck_assert_uint_eq(found[0].copies, 1);
	ck_assert_uint_eq(found[0].severity, TAPIO_SEVERITY_ERROR);
	ck_assert_uint_eq(found[1].time_ns, 18 * S);
	ck_assert_uint_eq(rule_stats(0).suppressed, 1);
	ck_assert_uint_eq(rule_stats(0).findings, 2);
	ck_assert_uint_eq(rule_stats(0).matched, 9);
	/* The key ends with its cool-down. */
	ck_assert_uint_eq(engine_stats().keys, 0);
}
END_TEST

START_TEST(what_matches_nothing_is_not_copied)
{
	uint64_t bytes = 0;

	begin("rule r { k: type == process.exit and exit_code == 5 count(k) >= 2 within 1s }");
	for (int i = 0; i < 100; i++) {
		start(TAPIO_EVENT_PROCESS_EXIT, 1);
		ck_assert_int_eq(give(S), 0);
		if (!i) /* the lane has its position now */
			bytes = engine_stats().bytes;
		start(TAPIO_EVENT_DNS, 1);
		ck_assert_int_eq(give(S), 0);
	}
	ck_assert_uint_eq(engine_stats().events, 200);
	ck_assert_uint_eq(engine_stats().candidates, 0);
	ck_assert_uint_eq(engine_stats().bytes, bytes);
	ck_assert_uint_eq(engine_stats().key_bytes, 0);
}
END_TEST

START_TEST(all_rules_that_demand_a_value_are_asked)
{
	begin("rule a { k: type == process.exit and exit_code == 5 and comm == \"a\" "
	      "count(k) >= 1 within 1s }"
	      "rule b { k: type == process.exit and comm == \"b\" and exit_code in { 4, 5 } "
	      "count(k) >= 1 within 1s }"
	      "rule c { k: type == process.exit and exit_code == 5 and comm == \"c\" "
	      "count(k) >= 1 within 1s }");
	exits(S, 1, 5, "c");
	exits(2 * S, 1, 5, "b");
	exits(3 * S, 1, 4, "b");
	exits(4 * S, 1, 5, "a");
	start(TAPIO_EVENT_PROCESS_EXIT, 1);
	((struct tapio_event_process_exit *)b.fields)->exit_code = 5;
	ck_assert_int_eq(give(5 * S), 0);
	tpi_corr_time(corr, 10 * S);
	ck_assert_uint_eq(found_count, 4);
	ck_assert_str_eq(found[0].rule, "c");
	ck_assert_str_eq(found[1].rule, "b");
	ck_assert_str_eq(found[2].rule, "b");
	ck_assert_str_eq(found[3].rule, "a");
}
END_TEST

START_TEST(expressions_match_bytes)
{
	if (!tpi_rules_have_regex())
		return;
	begin("rule r { k: type == process.exit and comm matches \"^a.c$\" count(k) >= 1 "
	      "within 1s }");
	exits(S, 1, 0, "abc");
	start(TAPIO_EVENT_PROCESS_EXIT, 1);
	text(&((struct tapio_event_process_exit *)b.fields)->comm, "abd");
	ck_assert_int_eq(give(S), 0);
	tpi_corr_time(corr, 2 * S);
	ck_assert_uint_eq(found_count, 1);
}
END_TEST

START_TEST(an_expression_that_takes_too_long_is_counted)
{
	static char subject[3000];

	if (!tpi_rules_have_regex())
		return;
	begin("rule r { k: type == process.start and command_line matches \"^(a|aa)+$\" or "
	      "type == process.start and ppid == 1 count(k) >= 1 within 1s }");
	memset(subject, 'a', sizeof(subject) - 2);
	subject[sizeof(subject) - 2] = '!';
	start(TAPIO_EVENT_PROCESS_START, 1);
	text(&((struct tapio_event_process_start *)b.fields)->command_line,
	     subject);
	((struct tapio_event_process_start *)b.fields)->ppid = 1;
	ck_assert_int_eq(give(S), 1);
	tpi_corr_time(corr, 2 * S);
	ck_assert_uint_eq(found_count, 1);
	ck_assert_uint_eq(rule_stats(0).regex_errors, 1);
}
END_TEST

/* ---- time ------------------------------------------------------------------------------------ */

START_TEST(late_events_are_counted_and_not_used)
{
	begin("rule r { k: type == process.exit count(k) >= 2 within 10s }"
	      "rule other { k: type == dns count(k) >= 2 within 10s }");
	exits(10 * S, 1, 0, "a");
	tpi_corr_time(corr, 10 * S);
	start(TAPIO_EVENT_PROCESS_EXIT, 1);
	ck_assert_int_eq(give(10 * S), 0); /* at the watermark */
	start(TAPIO_EVENT_PROCESS_EXIT, 1);
	ck_assert_int_eq(give(10 * S + 1), 1);
	tpi_corr_time(corr, 9 * S); /* no way back */
	ck_assert_uint_eq(tpi_corr_watermark(corr), 10 * S);
	tpi_corr_time(corr, 11 * S);
	ck_assert_uint_eq(found_count, 1);
	ck_assert_uint_eq(engine_stats().late, 1);
	ck_assert_uint_eq(rule_stats(0).late, 1);
	ck_assert_uint_eq(rule_stats(1).late, 0);
}
END_TEST

START_TEST(what_was_handed_in_before_is_passed_over)
{
	begin("rule r { k: type == process.exit count(k) >= 2 within 10s }");
	start(TAPIO_EVENT_PROCESS_EXIT, 1);
	ck_assert_int_eq(give_at(S, 5), 1);
	ck_assert_int_eq(give_at(S, 5), 0);
	ck_assert_int_eq(give_at(S, 4), 0);
	ck_assert_uint_eq(tpi_corr_next_position(corr, source, 3), 6);
	ck_assert_uint_eq(tpi_corr_next_position(corr, source, 4), 0);
	tpi_corr_time(corr, 2 * S);
	ck_assert_uint_eq(found_count, 0);
	ck_assert_uint_eq(engine_stats().again, 2);
}
END_TEST

START_TEST(bytes_that_are_no_event_are_counted)
{
	struct tpi_corr_event event = {
		.data = buffer, .type = TAPIO_EVENT_DNS, .time_ns = S};

	begin("rule r { k: type == dns count(k) >= 1 within 10s }");
	start(TAPIO_EVENT_DNS, 1);
	event.length = (uint32_t)tapio_event_builder_finish(&b);
	event.place.lane = 1;
	for (uint32_t cut = 0; cut < event.length; cut++) {
		struct tpi_corr_event less = event;

		less.length = cut;
		less.place.position = cut;
		ck_assert_int_eq(tpi_corr_event(corr, &less), 0);
	}
	event.place.position = 1000;
	event.type = TAPIO_EVENT_LOG; /* the descriptor says something else */
	ck_assert_int_eq(tpi_corr_event(corr, &event), 0);
	ck_assert_uint_eq(engine_stats().malformed, event.length + 1);
	event.place.source = 77;
	ck_assert_int_eq(tpi_corr_event(corr, &event), 0);
	ck_assert_uint_eq(engine_stats().malformed, event.length + 2);
}
END_TEST

static void *scribble(void *arg)
{
	volatile unsigned char *bytes = (volatile unsigned char *)buffer;
	const bool *end = arg;
	uint32_t n = 1;

	while (!tpi_load_relaxed(end)) {
		n = n * 1664525 + 1013904223;
		/* Header lengths, fields with references, and the length of the strings. */
		bytes[(n >> 8) % 300] = (unsigned char)(n >> 24);
		if (!(n >> 28))
			memcpy(buffer, spare, 300);
	}
	return NULL;
}

/* Its producer may write an event while it is looked at. It is used or not, and nothing else. */
START_TEST(an_event_that_changes_while_it_is_read_does_no_harm)
{
	struct tapio_event_process_start *f;
	const uint64_t rounds = CHECK_SANITIZED ? 10000 : 100000;
	const time_t deadline = time(NULL) + 60;
	pthread_t thread;
	bool end = false;

	begin("rule a { k: type == process.start and comm == \"sh\" and command_line contains \"x\" "
	      "count(k) >= 3 by comm, directory within 10s say \"{comm} {command_line}\" }"
	      "rule b { a: type == process.start and executable prefix \"/\" "
	      "b: type == process.start and comm != a.comm and start_ticks > a.start_ticks "
	      "sequence a, b by pid within 10s say \"{a.cgroup} {b.directory}\" }"
	      "rule c { k: type == process.start distinct(k.cgroup) > 5 within 10s }");
	start(TAPIO_EVENT_PROCESS_START, 1);
	f = b.fields;
	text(&f->comm, "sh");
	text(&f->command_line, "xxxxxxxxxxxxxxxx");
	text(&f->directory, "/tmp");
	text(&f->executable, "/bin/sh");
	text(&f->cgroup, "/a/b");
	const int length = tapio_event_builder_finish(&b);
	memcpy(spare, buffer, sizeof(spare));
	pthread_create(&thread, NULL, scribble, &end);
	/* Until events of both kinds were there, however the threads are run. */
	for (uint64_t i = 1; i < rounds || ((!engine_stats().malformed ||
					     !engine_stats().candidates) &&
					    time(NULL) < deadline);
	     i++) {
		const struct tpi_corr_event event = {
			.data = buffer,
			.length = (uint32_t)length,
			.type = TAPIO_EVENT_PROCESS_START,
			.time_ns = i * 100000,
			.place = {.position = i, .lane = 1, .source = source},
		};

		if (i % 16 == 0)
			memcpy(buffer, spare, 300);
		tpi_corr_event(corr, &event);
		tpi_corr_time(corr, event.time_ns);
		found_count = 0;
	}
	tpi_store_relaxed(&end, true);
	pthread_join(thread, NULL);
	ck_assert_uint_ge(engine_stats().events, rounds - 1);
	ck_assert_uint_gt(engine_stats().malformed, 0);
	ck_assert_uint_gt(engine_stats().candidates, 0);
}
END_TEST

START_TEST(a_gap_makes_silence_unknown_but_no_count)
{
	begin("rule silent { k: type == process.exit absent by pid within 10s }"
	      "rule seq { a: type == process.exit and exit_code == 1 "
	      "b: type == process.exit and exit_code == 2 sequence a, b by pid within 10s }"
	      "rule many { k: type == process.exit count(k) >= 3 by pid within 10s }");
	exits(10 * S, 1, 1, "a");
	tpi_corr_gap(corr, source, 3, 5, 11 * S, 11 * S);
	exits(12 * S, 1, 2, "a");
	exits(12 * S, 1, 3, "a");
	tpi_corr_time(corr, 22 * S);
	ck_assert_uint_eq(found_count, 3);
	ck_assert_str_eq(found[0].rule, "seq");
	ck_assert_uint_eq(found[0].verdict, TPI_CORR_UNKNOWN);
	ck_assert_str_eq(found[1].rule, "many");
	ck_assert_uint_eq(found[1].verdict, TPI_CORR_TRUE);
	ck_assert_str_eq(found[2].rule, "silent");
	ck_assert_uint_eq(found[2].verdict,
			  TPI_CORR_TRUE); /* the gap was before */
	ck_assert_uint_eq(rule_stats(1).unknown, 1);
	ck_assert_uint_eq(engine_stats().lost, 5);
}
END_TEST

START_TEST(a_gap_of_unknown_end_ends_with_its_lane)
{
	begin("rule silent { k: type == process.exit absent by pid within 10s }");
	tpi_corr_time(corr, 10 * S);
	exits(11 * S, 1, 1, "a");
	tpi_corr_gap(corr, source, 3, 1, tpi_corr_watermark(corr), UINT64_MAX);
	exits(20 * S, 2, 1, "a");
	exits(21 * S, 3, 1, "a");
	tpi_corr_time(corr, 31 * S);
	ck_assert_uint_eq(found_count, 3);
	ck_assert_uint_eq(found[0].verdict, TPI_CORR_UNKNOWN); /* of 11 s */
	ck_assert_uint_eq(found[1].verdict, TPI_CORR_TRUE); /* 20 s: its end */
	ck_assert_uint_eq(found[2].verdict, TPI_CORR_TRUE);
}
END_TEST

START_TEST(many_gaps_become_wider_and_not_forgotten)
{
	begin("rule silent { k: type == process.exit absent by pid within 1s }");
	for (uint64_t i = 0; i < 200; i++)
		tpi_corr_gap(corr, source, 3, 1, (1000 - 2 * i) * S,
			     (1000 - 2 * i) * S);
	for (uint32_t i = 0; i < 200; i++)
		exits((600 + 2 * i) * S + 1, i + 1, 1,
		      "a"); /* the next gap is within 2 s */
	tpi_corr_time(corr, 2000 * S);
	ck_assert_uint_eq(found_count, 200);
	ck_assert_uint_eq(engine_stats().gaps, 200);
	/* Where each of 64 gaps is known alone there is truth between them. */
	ck_assert_uint_gt(rule_stats(0).unknown, 100);
}
END_TEST

/* ---- bounds ------------------------------------------------------------------------------------ */

START_TEST(keys_beyond_the_limit_evict_the_least_recently_touched)
{
	options.limits.keys_per_rule = 3;
	options.on_why = on_why;
	begin("rule r { k: type == process.exit count(k) >= 2 by pid within 100s }");
	for (uint32_t pid = 1; pid <= 3; pid++)
		exits(pid * S, pid, 0, "a");
	tpi_corr_time(corr, 3 * S);
	exits(4 * S, 4, 0, "a"); /* evicts 1 */
	exits(5 * S, 2, 0, "a"); /* a finding */
	exits(6 * S, 1, 0, "a");
	exits(7 * S, 5, 0, "a"); /* evicts 3 */
	exits(8 * S, 4, 0, "a");
	tpi_corr_time(corr, 8 * S);
	ck_assert_uint_eq(rule_stats(0).evicted, 2);
	ck_assert_uint_eq(found_count, 2);
	ck_assert_str_eq(found[0].key, "pid=2");
	ck_assert_str_eq(found[1].key, "pid=4");
	ck_assert_uint_eq(why_count, 4);
	ck_assert_int_eq(why[0].why.end, TPI_CORR_END_EVICTED);
	ck_assert_str_eq(why[0].key, "pid=1");
	ck_assert_uint_eq(why[0].why.have, 1);
	ck_assert_uint_eq(why[0].why.need, 2);
	ck_assert_int_eq(why[1].why.end, TPI_CORR_END_FIRED);
	ck_assert_int_eq(why[2].why.end, TPI_CORR_END_EVICTED);
	ck_assert_str_eq(why[2].key, "pid=3");
}
END_TEST

START_TEST(all_state_stays_within_its_bytes)
{
	options.limits.bytes = 200000;
	begin("rule a { k: type == process.exit count(k) >= 9999 by pid within 100s }"
	      "rule b { x: type == process.exit y: type == dns sequence x, y by pid "
	      "within 100s }");
	for (uint32_t i = 0; i < 20000; i++) {
		exits(i * S / 1000 + S, i % 3000 + 1, 0, "some-command");
		if (i % 100)
			continue;
		tpi_corr_time(corr, i * S / 1000 + S);
		ck_assert_uint_le(engine_stats().bytes, 200000 + 65536);
	}
	tpi_corr_time(corr, 21 * S);
	ck_assert_uint_le(engine_stats().bytes, 200000);
	ck_assert_uint_gt(rule_stats(0).evicted, 1000);
	ck_assert_uint_gt(rule_stats(1).evicted, 1000);
	ck_assert_uint_eq(engine_stats().refused, 0);
}
END_TEST

START_TEST(copies_without_room_are_refused_and_a_gap)
{
	options.limits.bytes = 20000;
	begin("rule r { k: type == process.exit absent within 10s }");
	int refused = 0;
	for (int i = 0; i < 200; i++) {
		start(TAPIO_EVENT_PROCESS_EXIT, 1);
		int result = give(S + (uint64_t)i);
		refused += result == -ENOMEM;
	}
	ck_assert_int_gt(refused, 0);
	ck_assert_uint_eq(engine_stats().refused, (uint64_t)refused);
	tpi_corr_time(corr, 100 * S);
	ck_assert_uint_eq(found_count, 1);
	ck_assert_uint_eq(found[0].verdict, TPI_CORR_UNKNOWN);
}
END_TEST

/* 256 bytes a live key, with its place in the table, in the heap and in the list. */
START_TEST(a_live_key_takes_256_bytes_at_most)
{
	static const char *const rules[] = {
		"rule r { k: type == process.exit absent by pid within 100s }",
		"rule r { k: type == process.exit count(k) > 50 by pid, comm within 100s }",
		"rule r { k: type == process.exit distinct(k.comm) > 9 by pid within 100s }",
		"rule r { x: type == process.exit y: type == dns sequence x, y by pid "
		"within 100s }",
	};

	for (unsigned int i = 0; i < 4; i++) {
		setup();
		options.limits.keys_per_rule = 100000;
		begin(rules[i]);
		for (uint32_t n = 1; n <= 20000; n++) {
			exits(S + n, n, 0, "some-command");
			tpi_corr_time(corr, S + n);
		}
		ck_assert_uint_eq(engine_stats().keys, 20000);
		/* Copies of events, which only a sequence keeps, are not in it. */
		ck_assert_uint_le(engine_stats().key_bytes / 20000, 256);
		teardown();
	}
}
END_TEST

START_TEST(a_sequence_forgets_the_most_frequent_step_first)
{
	options.limits.events_per_key = 4;
	begin("rule r { a: type == process.exit and exit_code == 1 "
	      "b: type == process.exit and exit_code == 2 "
	      "c: type == process.exit and exit_code == 3 sequence a, b, c within 100s }");
	exits(S, 1, 1, "a");
	for (int i = 0; i < 100; i++)
		exits(2 * S + (uint64_t)i, 1, 2, "a");
	exits(3 * S, 1, 3, "a");
	tpi_corr_time(corr, 10 * S);
	ck_assert_uint_eq(found_count, 1);
	ck_assert_uint_eq(found[0].evidence, 3);
	ck_assert_uint_eq(found[0].copies, 3);
	ck_assert_uint_eq(rule_stats(0).forgotten, 97);
}
END_TEST

START_TEST(a_search_without_end_is_given_up)
{
	options.limits.events_per_key = 200;
	begin("rule r { a: type == process.exit and exit_code == 1 "
	      "b: type == process.exit and exit_code == 1 "
	      "c: type == process.exit and exit_code == 1 "
	      "d: type == process.exit and exit_code == 2 and a.pid == b.pid and c.pid == 77 "
	      "sequence a, b, c, d within 100s }");
	for (uint32_t i = 0; i < 200; i++)
		exits(S + i, 100 + i, 1, "a");
	exits(2 * S, 1, 2, "a");
	tpi_corr_time(corr, 10 * S);
	ck_assert_uint_eq(found_count, 0);
	/* c is the last to be known, and decides at once. */
	ck_assert_uint_eq(rule_stats(0).exhausted, 0);
	teardown();
	begin("rule r { a: type == process.exit and exit_code == 1 "
	      "b: type == process.exit and exit_code == 1 "
	      "c: type == process.exit and exit_code == 1 "
	      "d: type == process.exit and exit_code == 2 and a.pid == c.pid "
	      "sequence a, b, c, d within 100s }");
	for (uint32_t i = 0; i < 200; i++)
		exits(S + i, 100 + i, 1, "a");
	exits(2 * S, 1, 2, "a");
	tpi_corr_time(corr, 10 * S);
	ck_assert_uint_eq(found_count, 0);
	ck_assert_uint_eq(rule_stats(0).exhausted, 1);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("correlate_engine");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_finding_says_what_it_rests_on);
	tcase_add_test(tests, what_matches_nothing_is_not_copied);
	tcase_add_test(tests, all_rules_that_demand_a_value_are_asked);
	tcase_add_test(tests, expressions_match_bytes);
	tcase_add_test(tests, an_expression_that_takes_too_long_is_counted);
	tcase_add_test(tests, late_events_are_counted_and_not_used);
	tcase_add_test(tests, what_was_handed_in_before_is_passed_over);
	tcase_add_test(tests, bytes_that_are_no_event_are_counted);
	tcase_add_test(tests,
		       an_event_that_changes_while_it_is_read_does_no_harm);
	tcase_add_test(tests, a_gap_makes_silence_unknown_but_no_count);
	tcase_add_test(tests, a_gap_of_unknown_end_ends_with_its_lane);
	tcase_add_test(tests, many_gaps_become_wider_and_not_forgotten);
	tcase_add_test(tests,
		       keys_beyond_the_limit_evict_the_least_recently_touched);
	tcase_add_test(tests, all_state_stays_within_its_bytes);
	tcase_add_test(tests, copies_without_room_are_refused_and_a_gap);
	tcase_add_test(tests, a_live_key_takes_256_bytes_at_most);
	tcase_add_test(tests, a_sequence_forgets_the_most_frequent_step_first);
	tcase_add_test(tests, a_search_without_end_is_given_up);
	return check_run_case("correlate_engine", tests);
}
