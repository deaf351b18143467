/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-analyze against a real tapiod: each event is counted once, also over kills of members;
 * windows that may miss events are marked; each way to end ends as the man page promises.
 */
#include <time.h>

#include "tests/cli/analyze_rig.h"

/* ---- usage ----------------------------------------------------------------- */

static const struct {
	const char *arguments[4];
	const char *message;
} wrong_usages[] = {
	{{"--by", "nonsense"}, "--by: 'nonsense' is neither a field"},
	{{"--by=pid,pid,pid,pid,pid"}, "--by: more than 4 fields"},
	{{"--value", "comm"}, "--value: 'comm' is no number in any type"},
	{{"--where", "pid"}, "--where: 'pid' is not a condition"},
	{{"--where", "severity>=loud"}, "'loud' is no value of field severity"},
	{{"--type", "x"}, "--type: 'x' is neither a type"},
	{{"--window", "0"}, "--window: '0' is outside"},
	{{"--window=10s", "--slide=3s"}, "--slide: a window of 10s is not 1"},
	{{"--window=1s", "--slide=2s"}, "--slide: a window of 1s is not 1"},
	{{"--season=15s", "--window=10s"}, "--season: it must be 1 to 1440"},
	{{"--quantiles=0.5,2"}, "--quantiles: '2' is not a number from 0 to 1"},
	{{"--change=0"}, "--change: '0' is not a number from 0.1 to 1000"},
	{{"--change-on=p99"}, "--change-on: needs --value"},
	{{"--change-on=distinct"}, "--change-on: needs --distinct"},
	{{"--precision=17"}, "--precision: '17' is outside 4"},
	{{"--output=events"}, "results would be counted again"},
	{{"--partials=p", "--group=g"},
	 "--partials needs --group and --durable"},
	{{"--partials=events", "--group=g", "--durable"},
	 "is the channel that is analysed"},
	{{"--merge=p", "--replay=f"}, "only one can be given"},
	{{"--merge=p", "--threads=2"}, "--threads: one merges"},
	{{"--durable"}, "--durable needs --group"},
	{{"--lag=5"}, "--lag needs --policy until"},
	/* A group has this policy by default: it is not what is wrong. */
	{{"--lag=5", "--group=g", "--partials=p"},
	 "--partials needs --group and --durable"},
	{{"-wpid=1"}, "--wait: 'pid=1'"},
	{{"-v", "durashun_ns"}, "did you mean 'duration_ns'? (tapio-tail "},
	{{"-b", "no.such"}, "--list-fields=TYPE"},
	{{"a", "b"}, "only one channel can be analysed"},
};

START_TEST(wrong_usage_is_refused_with_a_reason)
{
	command_refuses("tapio-analyze", wrong_usages[_i].arguments,
			wrong_usages[_i].message);
}
END_TEST

/* ---- a file ---------------------------------------------------------------- */

static const char *write_file(const char *text)
{
	static char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/recording", broker.directory);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	return path;
}

START_TEST(a_recording_gives_the_same_windows_each_time)
{
	static const char recording[] =
		"{\"type\":\"log\",\"time\":1700000000000000000,\"pid\":1}\n"
		"{\"type\":\"log\",\"time\":1700000003000000000,\"pid\":2}\n"
		"{\"type\":\"log\",\"time\":1700000012000000000,\"pid\":1}\n"
		"{\"gap\":{\"lane\":0,\"lost\":7,\"first\":1,\"last\":7,"
		"\"cause\":\"overrun\"}}\n"
		"{\"lane\":0,\"position\":9,\"type\":4000,\"bytes\":12}\n"
		"{\"type\":\"log\",\"time\":1700000031000000000,\"pid\":1}\n"
		"{\"type\":\"log\",\"time\":1700000041000000000,\"pid\":1}\n";
	static const char expected[] =
		"2023-11-14T22:13:20.000000000Z + 10s: 2 events of 1 key, late "
		"0, lost 0\n"
		"     count per second\n"
		"         2        0.2\n"
		"2023-11-14T22:13:30.000000000Z + 10s: 1 event of 1 key, late "
		"0, lost 7, INCOMPLETE: lost\n"
		"     count per second\n"
		"         1        0.1\n"
		"2023-11-14T22:13:40.000000000Z + 10s: 0 events of 0 keys, late "
		"0, lost 7, INCOMPLETE: lost\n"
		"     count per second\n"
		"2023-11-14T22:13:50.000000000Z + 10s: 1 event of 1 key, late "
		"0, lost 7, INCOMPLETE: lost\n"
		"     count per second\n"
		"         1        0.1\n"
		"2023-11-14T22:14:00.000000000Z + 10s: 1 event of 1 key, late "
		"0, lost 0\n"
		"     count per second\n"
		"         1        0.1\n";
	const char *path = write_file(recording);

	for (int i = 0; i < 2; i++) {
		struct command command;

		command_run(&command, "tapio-analyze", "--replay", path, "--by",
			    "none", "--lateness=0", NULL);
		ck_assert_msg(!command.status, "%s", command.err);
		ck_assert_str_eq(command.out, expected);
		command_free(&command);
	}
}
END_TEST

START_TEST(a_wrong_line_is_named_with_its_number)
{
	const char *path = write_file(
		"{\"type\":\"log\",\"pid\":1}\n{\"type\":\"log\",\"pid\":-1}\n");
	struct command command;

	command_run(&command, "tapio-analyze", "--replay", path, NULL);
	ck_assert_int_eq(command.status, 1);
	ck_assert_ptr_nonnull(strstr(command.err, "line 2: "));
	ck_assert_ptr_nonnull(strstr(command.err, "pid"));
	command_free(&command);
	command_run(&command, "tapio-analyze", "--replay", "/nowhere", NULL);
	ck_assert_int_eq(command.status, 1);
	ck_assert_ptr_nonnull(strstr(command.err, "/nowhere"));
	command_free(&command);
}
END_TEST

START_TEST(figures_of_a_recording_are_those_that_can_be_computed_by_hand)
{
	char text[16384];
	size_t used = 0;
	struct command command;
	char *rest;
	json_t *key, *top;

	/* Durations 1 to 100, of which 10 names, name n 10 times but one more for 3. */
	for (int i = 1; i <= 100; i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used,
			"{\"type\":\"network.connection\",\"time\":%" PRIu64
			",\"duration_ns\":%d,\"comm\":\"n%d\"}\n",
			BASE_NS, i, i == 100 ? 3 : i % 10);
	command_run(&command, "tapio-analyze", "--replay", write_file(text),
		    "-j", "-v", "duration_ns", "--distinct", "comm", "--top",
		    "comm", "--top-count=2", "--where=duration_ns<=100", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	rest = command.out;
	key = next_of(&rest, "key");
	ck_assert_ptr_nonnull(key);
	ck_assert_str_eq(json_string_value(json_object_get(
				 json_object_get(key, "by"), "type")),
			 "network.connection");
	ck_assert_int_eq(number_of(key, "count"), 100);
	ck_assert_int_eq(number_of(key, "sum"), 5050);
	ck_assert_int_eq(number_of(key, "min"), 1);
	ck_assert_int_eq(number_of(key, "max"), 100);
	ck_assert_int_eq(number_of(json_object_get(key, "quantiles"), "0.5"),
			 50);
	ck_assert_int_eq(number_of(json_object_get(key, "quantiles"), "0.99"),
			 99);
	ck_assert_double_eq_tol(
		json_number_value(json_object_get(key, "distinct")), 10, 0.1);
	top = json_object_get(key, "top");
	ck_assert_uint_eq(json_array_size(top), 2);
	ck_assert_str_eq(json_string_value(json_object_get(
				 json_array_get(top, 0), "value")),
			 "n3");
	ck_assert_int_eq(number_of(json_array_get(top, 0), "count"), 11);
	ck_assert_int_eq(number_of(json_array_get(top, 0), "error"), 0);
	json_decref(key);
	command_free(&command);
}
END_TEST

START_TEST(events_without_flags_are_without_each_of_them)
{
	struct command command;

	command_run(
		&command, "tapio-analyze", "--replay",
		write_file("{\"type\":\"log\",\"time\":"
			   "1700000000000000000}\n"
			   "{\"type\":\"process.start\",\"time\":"
			   "1700000000000000000,\"flags\":[\"existing\"]}\n"
			   "{\"type\":\"process.start\",\"time\":"
			   "1700000000000000000,\"flags\":[\"truncated\"]}\n"),
		"-j", "-bnone", "--where=flags!=existing", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	ck_assert_int_eq(sum_of(command.out, "window", "events"), 2);
	command_free(&command);
}
END_TEST

/* As of tapio-tail --since=oldest -d0: one lane after the other. */
START_TEST(lane_by_lane_no_event_of_a_recording_is_late)
{
	char text[32768];
	size_t used = 0;
	struct command command;

	for (int lane = 0; lane < 2; lane++)
		for (int i = 0; i < 100; i++)
			used += (size_t)snprintf(
				text + used, sizeof(text) - used,
				"{\"lane\":%d,\"position\":%d,\"type\":"
				"\"log\",\"time\":%" PRIu64 "}\n",
				lane, i, BASE_NS + i * UINT64_C(1000000000));
	command_run(&command, "tapio-analyze", "--replay", write_file(text),
		    "-j", "-bnone", "-W1s", "--stats", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	ck_assert_int_eq(sum_of(command.out, "window", "events"), 200);
	ck_assert_ptr_nonnull(
		strstr(command.err, "events 200, passed over 0, late 0"));
	ck_assert_ptr_null(strstr(command.err, "were late"));
	command_free(&command);
}
END_TEST

START_TEST(a_gap_of_a_lane_marks_the_windows_between_its_events)
{
	struct command command;
	json_t *window;
	char *rest;

	command_run(&command, "tapio-analyze", "--replay",
		    write_file("{\"lane\":0,\"type\":\"log\",\"time\":"
			       "1700000000000000000}\n"
			       "{\"lane\":0,\"type\":\"log\",\"time\":"
			       "1700000041000000000}\n"
			       "{\"lane\":1,\"type\":\"log\",\"time\":"
			       "1700000011000000000}\n"
			       "{\"gap\":{\"lane\":1,\"lost\":4}}\n"
			       "{\"lane\":1,\"type\":\"log\",\"time\":"
			       "1700000021000000000}\n"),
		    "-j", "-bnone", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	rest = command.out;
	for (int i = 0; i < 5; i++) {
		window = next_of(&rest, "window");
		ck_assert_ptr_nonnull(window);
		ck_assert_int_eq(number_of(window, "lost"),
				 i == 1 || i == 2 ? 4 : 0);
		json_decref(window);
	}
	ck_assert_ptr_null(next_of(&rest, "window"));
	command_free(&command);
}
END_TEST

START_TEST(a_recording_has_the_stamps_of_the_channel)
{
	const char *path =
		write_file("{\"type\":\"log\",\"time\":1600000000000000000,"
			   "\"stamp_ns\":1700000000000000000}\n"
			   "{\"type\":\"log\",\"time\":1700000000000000000}\n");
	struct command command;

	command_run(&command, "tapio-analyze", "--replay", path, "--time=stamp",
		    "-bnone", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	ck_assert_ptr_nonnull(strstr(
		command.out, "2023-11-14T22:13:20.000000000Z + 10s: 1 event "));
	ck_assert_ptr_null(strstr(command.out, "2020-"));
	ck_assert_ptr_nonnull(strstr(command.err, "1 lines have no stamp_ns"));
	command_free(&command);
}
END_TEST

/* ---- a channel ------------------------------------------------------------- */

START_TEST(what_a_channel_holds_is_counted_exactly)
{
	struct command command;

	stay_on_one_cpu();
	open_producer("events");
	for (int i = 0; i < 300; i++)
		emit(i / 10.0, (uint32_t)(1 + i % 3), 5);
	/* Of the year 2055. It is in no window, and closes none. */
	emit(1e9, 1, 5);
	command_run(&command, "tapio-analyze", "--since=oldest", "-d0",
		    "--clock=events", "-j", "-bpid", "--where=pid<3", "--stats",
		    NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	ck_assert_int_eq(sum_of(command.out, "window", "events"), 200);
	ck_assert_int_eq(sum_of(command.out, "key", "count"), 200);
	ck_assert_ptr_nonnull(
		strstr(command.err, "events 200, passed over 100"));
	ck_assert_ptr_nonnull(strstr(command.err, "future 1,"));
	/* Nothing tells what was there before the first one. */
	ck_assert(says_why(command.out, "began"));
	ck_assert_ptr_nonnull(strstr(command.out, "\"complete\":true"));
	command_free(&command);
}
END_TEST

START_TEST(results_are_events_of_type_metric)
{
	struct command command;
	int counts = 0;
	json_int_t health = 0;
	char *rest, *line;

	stay_on_one_cpu();
	open_producer("events");
	for (int i = 0; i < 30; i++)
		emit(i, 7, 1000);
	command_run(&command, "tapio-analyze", "--since=oldest", "-d0",
		    "--clock=events", "-bpid", "-v", "duration_ns",
		    "--output=results", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	ck_assert_str_eq(command.out, "");
	command_free(&command);
	command_run(&command, "tapio-tail", "results", "-j", "--since=oldest",
		    "-d0", NULL);
	rest = command.out;
	while ((line = strsep(&rest, "\n"))) {
		json_t *event = json_loads(line, 0, NULL);
		const char *name =
			json_string_value(json_object_get(event, "name"));

		/* The sum of the last window is that of all. */
		if (name && !strcmp(name, "tapio.analyze.health"))
			health = number_of(event, "value_integer");
		if (name && !strcmp(name, "tapio.analyze.count")) {
			counts++;
			ck_assert_int_eq(number_of(event, "value_integer"), 10);
			ck_assert_str_eq(
				json_string_value(json_object_get(
					json_object_get(event, "attributes"),
					"pid")),
				"7");
		}
		json_decref(event);
	}
	ck_assert_int_eq(counts, 3);
	ck_assert_int_eq(health, 30);
	command_free(&command);
}
END_TEST

/* Seconds since BASE_NS. */
static double present(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
	       (double)(BASE_NS / 1000000000);
}

/* As of processes that a collector has found running. */
START_TEST(old_events_of_a_live_channel_are_late_and_named)
{
	struct running analyze;
	static char text[1 << 20], errors[4096];

	stay_on_one_cpu();
	open_producer("events");
	running_start(&analyze, "tapio-analyze", "-j", "-bnone",
		      "--window=200ms", "--lateness=200ms", NULL);
	for (int ms = 0; ms < LIMIT_MS && !sum_of(text, "window", "events");
	     ms += 10) {
		const char *line;

		emit(ms, 1, 1);
		emit(present(), 1, 1);
		while (strlen(text) < sizeof(text) / 2 &&
		       running_ready(&analyze, 1) &&
		       (line = running_line(&analyze)))
			snprintf(text + strlen(text),
				 sizeof(text) - strlen(text), "%s\n", line);
		usleep(10000);
	}
	kill(analyze.pid, SIGTERM);
	free(output_of(&analyze));
	running_errors(&analyze, errors, sizeof(errors));
	ck_assert_int_eq(running_wait(&analyze), 0);
	ck_assert_int_gt(sum_of(text, "window", "events"), 0);
	/* The old ones are of 2023. */
	ck_assert_ptr_null(strstr(text, "\"2023-"));
	ck_assert_msg(strstr(errors, "events have a time long before the "
				     "analysis began") != NULL,
		      "%s", errors);
}
END_TEST

START_TEST(a_signal_ends_it_with_all_windows_written)
{
	struct running analyze;
	char *text;

	stay_on_one_cpu();
	open_producer("events");
	running_start(&analyze, "tapio-analyze", "-j", "-bpid", "--window=1h",
		      "--slide=1h", "--time=stamp", "-g", "g",
		      "--policy=lossless", NULL);
	wait_for_group("g");
	for (int i = 0; i < 3000; i++)
		emit(0, 5, 1);
	wait_until_read("g");
	kill(analyze.pid, SIGTERM);
	text = output_of(&analyze);
	ck_assert_int_eq(running_wait(&analyze), 0);
	ck_assert_int_eq(sum_of(text, "window", "events"), 3000);
	ck_assert(says_why(text, "stopped"));
	free(text);
}
END_TEST

/* Emits an event a second, until a window comes out. The second it has come to. */
static double until_it_writes(const struct running *analyze)
{
	double second = 0;

	while (!running_ready(analyze, 10) && second < LIMIT_MS / 10.0)
		emit(second++, 1, 1);
	ck_assert(running_ready(analyze, 0));
	return second;
}

START_TEST(lost_events_are_counted_and_mark_their_windows)
{
	struct running analyze;
	static char text[65536];
	double second;

	stay_on_one_cpu();
	open_producer("small");
	running_start(&analyze, "tapio-analyze", "small", "-j", "-bnone",
		      "--clock=events", "--policy=lossy", "--lateness=0", NULL);
	second = until_it_writes(&analyze);
	kill(analyze.pid, SIGSTOP);
	for (int i = 0; i < 1000; i++)
		emit(second + i / 100.0, 1, 1);
	kill(analyze.pid, SIGCONT);
	/* Until it has closed the window after those that miss events. */
	for (int ms = 0; ms < LIMIT_MS && !says_why(text, "lost"); ms++) {
		const char *line;

		emit(second + 20 + ms / 10.0, 1, 1);
		while (running_ready(&analyze, 1) &&
		       (line = running_line(&analyze)))
			snprintf(text + strlen(text),
				 sizeof(text) - strlen(text), "%s\n", line);
		usleep(1000);
	}
	kill(analyze.pid, SIGTERM);
	free(output_of(&analyze));
	ck_assert_int_eq(running_wait(&analyze), 0);
	ck_assert(says_why(text, "lost"));
	/* 64 blocks hold 63 events at most: the others are lost, and said to be. */
	ck_assert_int_ge(sum_of(text, "window", "lost"), 1000 - 64 - 63);
}
END_TEST

/* ---- brokers --------------------------------------------------------------- */

START_TEST(without_a_broker_or_a_channel_it_says_so)
{
	struct command command;

	command_run(&command, "tapio-analyze", "none", NULL);
	ck_assert_int_eq(command.status, 4);
	ck_assert_ptr_nonnull(strstr(command.err, "none"));
	command_free(&command);
	command_run(&command, "tapio-analyze", "-s", "/nowhere/sock", NULL);
	ck_assert_int_eq(command.status, 3);
	command_free(&command);
}
END_TEST

START_TEST(the_end_of_the_broker_ends_it_with_its_windows)
{
	struct running analyze;
	double second;
	char *text;

	stay_on_one_cpu();
	open_producer("events");
	running_start(&analyze, "tapio-analyze", "-j", "-bnone",
		      "--clock=events", "--lateness=0", NULL);
	second = until_it_writes(&analyze);
	ck_assert_double_gt(second, 9);
	tapio_producer_close(producer);
	producer = NULL;
	test_broker_kill(&broker);
	text = output_of(&analyze);
	ck_assert_int_eq(running_wait(&analyze), 5);
	ck_assert_int_gt(sum_of(text, "window", "events"), 0);
	free(text);
	test_broker_restart(&broker);
}
END_TEST

#define MOVED_BYTES 262144u

START_TEST(another_broker_is_waited_for_and_its_events_counted)
{
	struct running analyze;
	double second;
	const char *line;
	char *text;

	stay_on_one_cpu();
	open_producer("events");
	running_start(&analyze, "tapio-analyze", "-j", "-bpid",
		      "--clock=events", "--lateness=0", "--wait=30s", NULL);
	second = until_it_writes(&analyze);
	test_broker_kill(&broker);
	test_broker_restart(&broker);
	/* The producer moves with its events, and so does the analysis. */
	text = calloc(1, MOVED_BYTES);
	for (int i = 0; i < LIMIT_MS && !strstr(text, "\"pid\":3"); i += 10) {
		emit(second + i / 100.0, i < 1000 ? 2 : 3, 1);
		while (running_ready(&analyze, 1) &&
		       (line = running_line(&analyze)))
			snprintf(text + strlen(text),
				 MOVED_BYTES - strlen(text), "%s\n", line);
		usleep(9000);
	}
	kill(analyze.pid, SIGTERM);
	free(output_of(&analyze));
	ck_assert_int_eq(running_wait(&analyze), 0);
	ck_assert(says_why(text, "moved"));
	ck_assert_ptr_nonnull(strstr(text, "\"by\":{\"pid\":3}"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("analyze");
	TCase *usage = tcase_create("usage");
	TCase *tests = tcase_create("analyze");

	tcase_add_loop_test(usage, wrong_usage_is_refused_with_a_reason, 0,
			    COUNT(wrong_usages));
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_recording_gives_the_same_windows_each_time);
	tcase_add_test(tests, a_wrong_line_is_named_with_its_number);
	tcase_add_test(
		tests,
		figures_of_a_recording_are_those_that_can_be_computed_by_hand);
	tcase_add_test(tests, events_without_flags_are_without_each_of_them);
	tcase_add_test(tests, lane_by_lane_no_event_of_a_recording_is_late);
	tcase_add_test(tests,
		       a_gap_of_a_lane_marks_the_windows_between_its_events);
	tcase_add_test(tests, a_recording_has_the_stamps_of_the_channel);
	tcase_add_test(tests, what_a_channel_holds_is_counted_exactly);
	tcase_add_test(tests, results_are_events_of_type_metric);
	tcase_add_test(tests, old_events_of_a_live_channel_are_late_and_named);
	tcase_add_test(tests, a_signal_ends_it_with_all_windows_written);
	tcase_add_test(tests, lost_events_are_counted_and_mark_their_windows);
	tcase_add_test(tests, without_a_broker_or_a_channel_it_says_so);
	tcase_add_test(tests, the_end_of_the_broker_ends_it_with_its_windows);
	tcase_add_test(tests,
		       another_broker_is_waited_for_and_its_events_counted);
	check_first_failure(usage);
	check_first_failure(tests);
	suite_add_tcase(suite, usage);
	suite_add_tcase(suite, tests);
	return check_run(suite);
}
