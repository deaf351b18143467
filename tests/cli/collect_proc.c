/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-collect-proc against a real tapiod: a known tree gives known events, what
 * finds no room is counted, and every way to end ends with the status that the
 * man page promises.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/consumer.h>

#include "tests/cli/command.h"
#include "tests/cli/fixture.h"
#include "tests/cli/running.h"
#include "tests/check_main.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char config[] =
	"channel events { class main { blocks = 4096 block = 1024 } }\n"
	"channel small { class main { blocks = 16 block = 512 } }\n"
	"channel two { class main { blocks = 16 block = 512 priority = 0 }\n"
	"class critical { blocks = 64 block = 512 priority = 1 } }\n";

static struct test_broker broker;
static struct fixture fixture;
static char proc_option[96], sys_option[96];

/* One CPU, so that there is one lane: the order of events is then known. */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void make_tree(void)
{
	fixture_open(&fixture);
	fixture_write(&fixture, "proc/stat", "btime 1700000000\n");
	fixture_process(&fixture, &(struct fixture_process){
					  .pid = 42,
					  .comm = "a (b) c",
					  .start_ticks = 150,
					  .user_ticks = 100,
					  .system_ticks = 50,
					  .rss_pages = 10,
				  });
	fixture_link(&fixture, "proc/42/exe", "/usr/bin/abc");
	fixture_link(&fixture, "proc/42/cwd", "/nowhere");
	fixture_write(&fixture, "proc/42/io",
		      "rchar: 1\nread_bytes: 8192\nwrite_bytes: 4096\n");
	fixture_write(&fixture, "proc/pressure/memory",
		      "some avg10=1.25 avg60=0.50 avg300=0.25 total=17\n"
		      "full avg10=0.00 avg60=0.00 avg300=0.00 total=3\n");
	fixture_write(&fixture, "proc/meminfo",
		      "MemTotal: 100 kB\nMemFree: 50 kB\n");
	fixture_write(&fixture, "proc/net/dev",
		      "  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
	fixture_write(&fixture, "proc/diskstats",
		      " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
	fixture_write(&fixture, "sys/class/net/eth0/operstate", "up\n");
	snprintf(proc_option, sizeof(proc_option), "--proc=%s/proc",
		 fixture.root);
	snprintf(sys_option, sizeof(sys_option), "--sys=%s/sys", fixture.root);
}

static void set_up(void)
{
	stay_on_one_cpu();
	test_broker_start(&broker, config);
	make_tree();
}

static void tear_down(void)
{
	fixture_close(&fixture);
	test_broker_stop(&broker);
}

/* The number behind `key`. Fails when it is not there. */
static uint64_t number_in(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	ck_assert_msg(at != NULL, "no %s in: %s", key, text);
	return strtoull(at + strlen(key), NULL, 10);
}

/* ---- usage ---------------------------------------------------------------- */

static const struct {
	const char *arguments[3];
	const char *message;
} wrong_usages[] = {
	{{"--no-such-option"}, "unrecognized option"},
	{{"--interval", "0"}, "--interval: 0 is less than 1ms"},
	{{"--interval", "fast"}, "--interval: 'fast' is not a duration"},
	{{"--count", "0"}, "--count: '0' is outside 1"},
	{{"--top", "-1"}, "--top: '-1' is not a number"},
	{{"--sources", "start,exits"},
	 "--sources: 'start,exits' is not a list of"},
	{{"--sources", ""}, "memory: there is no ''"},
	{{"--sources", "start,"}, "memory: there is no ''"},
	{{"--duration", "1 s"}, "--duration: '1 s' is not a duration"},
	{{"argument"}, "Too many arguments"},
};

START_TEST(wrong_usage_is_named_and_ends_with_2)
{
	command_refuses("tapio-collect-proc", wrong_usages[_i].arguments,
			wrong_usages[_i].message);
}
END_TEST

START_TEST(an_absent_broker_is_named_and_ends_with_3)
{
	struct command c;

	command_run(&c, "tapio-collect-proc", "-s", "/nonexistent/socket",
		    NULL);
	ck_assert_int_eq(c.status, 3);
	ck_assert_ptr_nonnull(strstr(c.err, "tapio-collect-proc: no broker at "
					    "\"/nonexistent/socket\""));
	command_free(&c);
}
END_TEST

START_TEST(a_tree_that_is_not_there_is_named_and_ends_with_1)
{
	struct command c;

	command_run(&c, "tapio-collect-proc", "--proc=/nonexistent", NULL);
	ck_assert_int_eq(c.status, 1);
	ck_assert_str_eq(c.err, "tapio-collect-proc: cannot open /nonexistent: "
				"No such file or directory\n");
	command_free(&c);
}
END_TEST

/* ---- a known tree --------------------------------------------------------- */

static const char *const expected[] = {
	"{\"severity\":\"info\",\"type\":\"process.start\",\"source\":\"proc\","
	"\"flags\":[\"existing\"],\"pid\":42,\"uid\":1001,\"gid\":101,"
	"\"time\":\"2023-11-14T22:13:21.500000000Z\","
	"\"time_ns\":1700000001500000000,"
	"\"comm\":\"a (b) c\",\"ppid\":1,\"executable\":\"/usr/bin/abc\","
	"\"command_line\":\"/bin/a (b) c -x y\","
	"\"start\":\"2023-11-14T22:13:21.500000000Z\","
	"\"start_ns\":1700000001500000000,\"start_ticks\":150,"
	"\"session_id\":42,\"group_id\":42,\"args\":3,"
	"\"directory\":\"/nowhere\",\"cgroup\":\"/user.slice\"}",
	"{\"severity\":\"debug\",\"type\":\"process.sample\","
	"\"source\":\"proc\",\"pid\":42,\"uid\":1001,\"gid\":101,"
	"\"comm\":\"a (b) c\",\"state\":\"sleeping\",\"rss_bytes\":40960,"
	"\"threads\":2,\"start_ticks\":150,\"cpu_user_ns\":1000000000,"
	"\"cpu_system_ns\":500000000,\"virtual_bytes\":8192000,"
	"\"minor_faults\":100,\"major_faults\":3,"
	"\"voluntary_switches\":11,\"involuntary_switches\":22,"
	"\"read_bytes\":8192,\"write_bytes\":4096}",
	"{\"severity\":\"debug\",\"type\":\"pressure\",\"source\":\"proc\","
	"\"resource\":\"memory\",\"some_avg10\":1.25,\"some_avg60\":0.5,"
	"\"some_avg300\":0.25,\"full_avg10\":0,\"full_avg60\":0,"
	"\"full_avg300\":0,\"some_total_us\":17,\"full_total_us\":3}",
	"{\"severity\":\"debug\",\"type\":\"memory\",\"source\":\"proc\","
	"\"total_bytes\":102400,\"free_bytes\":51200}",
	"{\"severity\":\"debug\",\"type\":\"network.interface\","
	"\"source\":\"proc\",\"name\":\"eth0\",\"state\":\"up\","
	"\"receive_bytes\":1,\"receive_packets\":2,\"receive_errors\":3,"
	"\"receive_dropped\":4,\"transmit_bytes\":5,\"transmit_packets\":6,"
	"\"transmit_errors\":7,\"transmit_dropped\":8}",
	"{\"severity\":\"debug\",\"type\":\"disk\",\"source\":\"proc\","
	"\"device\":\"sda\",\"reads\":1,\"reads_merged\":2,"
	"\"read_bytes\":1536,\"read_time_ns\":4000000,\"writes\":5,"
	"\"writes_merged\":6,\"write_bytes\":3584,\"write_time_ns\":8000000,"
	"\"io_time_ns\":10000000,\"in_flight\":9,\"major\":8,\"minor\":0}",
};

/* Numbers compare by value: 0 and 0.0 are one. */
static bool same_value(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) == json_number_value(b);
	return json_equal(a, b);
}

static void check_line(const char *line, const char *wanted)
{
	/* The values that differ from run to run. A start's time is known. */
	static const char *const varying[] = {
		"channel",  "class",    "stamp_ns",   "lane",
		"position", "observed", "observed_ns"};
	json_error_t error;
	json_t *got = json_loads(line, 0, &error);
	json_t *want = json_loads(wanted, 0, &error);
	const char *key;
	json_t *value;

	ck_assert_msg(got != NULL, "no JSON: %s", line);
	ck_assert_ptr_nonnull(want);
	for (int i = 0; i < COUNT(varying); i++)
		json_object_del(got, varying[i]);
	if (!json_object_get(want, "time")) {
		ck_assert_int_eq(json_object_del(got, "time"), 0);
		ck_assert_int_eq(json_object_del(got, "time_ns"), 0);
	}
	json_object_foreach(want, key, value)
		ck_assert_msg(same_value(json_object_get(got, key), value),
			      "%s differs in %s", key, line);
	ck_assert_msg(json_object_size(got) == json_object_size(want),
		      "more than expected: %s", line);
	json_decref(got);
	json_decref(want);
}

START_TEST(a_known_tree_gives_exactly_the_known_events)
{
	struct command c;

	command_run(&c, "tapio-collect-proc", proc_option, sys_option, "-n1",
		    NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_str_eq(c.err,
			 "tapio-collect-proc: emitted 6 (start 1, sample "
			 "1, pressure 1, network 1, disk 1, memory 1), dropped "
			 "0\n");
	command_free(&c);
	command_run(&c, "tapio-tail", "--json", "--since=oldest", "-d0", NULL);
	ck_assert_int_eq(c.status, 0);
	char *line = strtok(c.out, "\n");
	for (int i = 0; i < COUNT(expected); i++) {
		ck_assert_ptr_nonnull(line);
		check_line(line, expected[i]);
		line = strtok(NULL, "\n");
	}
	ck_assert_ptr_null(line);
	command_free(&c);
}
END_TEST

START_TEST(only_the_sources_that_were_asked_for_are_collected)
{
	struct command c;

	command_run(&c, "tapio-collect-proc", proc_option, sys_option, "-n1",
		    "--sources=disk,start", "--no-existing", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_str_eq(c.err, "tapio-collect-proc: emitted 1 (disk 1), "
				"dropped 0\n");
	command_free(&c);
}
END_TEST

START_TEST(changes_of_the_tree_come_through_to_a_reader)
{
	struct running collector, tail;
	char text[1024];

	running_start(&collector, "tapio-collect-proc", proc_option, sys_option,
		      "--sources=start,exit", "--interval=5ms", NULL);
	running_start(&tail, "tapio-tail", "--since=oldest", NULL);
	ck_assert_uint_eq(number_in(running_line(&tail), " pid="), 42);
	fixture_process(&fixture, &(struct fixture_process){
					  .pid = 43,
					  .comm = "new",
					  .start_ticks = 999,
				  });
	const char *line = running_line(&tail);
	ck_assert_ptr_nonnull(strstr(line, " process.start "));
	ck_assert_uint_eq(number_in(line, " pid="), 43);
	fixture_remove(&fixture, "proc/43");
	line = running_line(&tail);
	ck_assert_ptr_nonnull(strstr(line, " process.exit "));
	ck_assert_uint_eq(number_in(line, " pid="), 43);
	ck_assert_int_eq(kill(collector.pid, SIGTERM), 0);
	running_errors(&collector, text, sizeof(text));
	ck_assert_int_eq(running_wait(&collector), 0);
	ck_assert_str_eq(text, "tapio-collect-proc: emitted 3 (start 2, exit "
			       "1), dropped 0\n");
	ck_assert_int_eq(running_stop(&tail, SIGTERM), 0);
	close(tail.err);
}
END_TEST

START_TEST(the_real_proc_gives_events_about_this_very_test)
{
	struct command c;
	char pid[32];

	command_run(&c, "tapio-collect-proc", "-n2", "-i1ms",
		    "--sources=start,sample", NULL);
	ck_assert_int_eq(c.status, 0);
	command_free(&c);
	command_run(&c, "tapio-tail", "--since=oldest", "-d0",
		    "--type=process.start", NULL);
	ck_assert_int_eq(c.status, 0);
	snprintf(pid, sizeof(pid), " pid=%d ", getpid());
	ck_assert_ptr_nonnull(strstr(c.out, pid));
	command_free(&c);
}
END_TEST

/* ---- what goes wrong ------------------------------------------------------ */

START_TEST(an_unknown_channel_or_class_is_named_and_ends_with_4)
{
	struct command c;

	command_run(&c, "tapio-collect-proc", "-c", "nosuch", NULL);
	ck_assert_int_eq(c.status, 4);
	ck_assert_ptr_nonnull(
		strstr(c.err, "cannot attach to channel 'nosuch'"));
	command_free(&c);
	command_run(&c, "tapio-collect-proc", "--class", "nosuch", NULL);
	ck_assert_int_eq(c.status, 4);
	ck_assert_str_eq(c.err, "tapio-collect-proc: channel 'events' has no "
				"class 'nosuch' (tapio-shmstat channels lists "
				"those that it has)\n");
	command_free(&c);
}
END_TEST

/* A reader that holds the channel and reads nothing until it is asked. */
static struct tapio_consumer *hold(const char *channel)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options), .policy = TAPIO_GROUP_LOSSLESS};
	struct tapio_consumer *consumer;
	int err = tapio_consumer_open(&consumer, channel, &options);

	ck_assert_msg(!err, "%s", strerror(-err));
	return consumer;
}

static uint64_t count_held(struct tapio_consumer *consumer)
{
	struct tapio_view views[64];
	uint64_t count = 0;
	int got;

	while ((got = tapio_poll(consumer, views, 64, 0)) > 0) {
		count += (uint64_t)got;
		ck_assert_int_eq(tapio_release(consumer), 0);
	}
	ck_assert_int_eq(got, 0);
	return count;
}

START_TEST(a_full_channel_loses_nothing_in_silence)
{
	struct tapio_consumer *consumer = hold("small");
	struct command c;

	command_run(&c, "tapio-collect-proc", proc_option, sys_option, "-n10",
		    "-i1ms", "--all", "-c", "small", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_ptr_nonnull(
		strstr(c.err, "tapio-collect-proc: channel 'small' is full: "));
	/* 1 start, and of five sources ten each. */
	uint64_t emitted = number_in(c.err, "emitted ");
	uint64_t dropped = number_in(c.err, "), dropped ");
	ck_assert_uint_eq(emitted + dropped, 51);
	ck_assert_uint_gt(dropped, 0);
	ck_assert_uint_eq(count_held(consumer), emitted);
	/* One warning, however many were dropped. */
	ck_assert_ptr_null(strstr(strstr(c.err, "is full") + 1, "is full"));
	command_free(&c);
	tapio_consumer_close(consumer);
}
END_TEST

START_TEST(a_class_of_their_own_keeps_starts_when_the_rest_is_dropped)
{
	struct tapio_consumer *consumer = hold("two");
	struct command c;
	char comm[16];

	for (uint32_t pid = 100; pid < 140; pid++) {
		snprintf(comm, sizeof(comm), "p%u", pid);
		fixture_process(&fixture,
				&(struct fixture_process){.pid = pid,
							  .comm = comm,
							  .start_ticks = pid});
	}
	command_run(&c, "tapio-collect-proc", proc_option, sys_option, "-n3",
		    "-i1ms", "--all", "-c", "two", "--class=critical", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_ptr_nonnull(strstr(c.err, " (start 41, "));
	ck_assert_ptr_nonnull(strstr(c.err, "), dropped "));
	/* The dropped events are listed without starts. */
	const char *dropped = strstr(c.err, "), dropped ");
	ck_assert_uint_gt(number_in(dropped, "), dropped "), 0);
	ck_assert_ptr_null(strstr(dropped, "start "));
	ck_assert_uint_eq(count_held(consumer), number_in(c.err, "emitted "));
	command_free(&c);
	tapio_consumer_close(consumer);
}
END_TEST

START_TEST(a_duration_ends_it_though_it_waits_for_a_broker)
{
	struct running collector, tail;
	char text[4096];

	running_start(&collector, "tapio-collect-proc", proc_option, sys_option,
		      "-i1ms", "--wait", "--duration=500ms", NULL);
	running_start(&tail, "tapio-tail", "--since=oldest", "-n1", NULL);
	ck_assert_ptr_nonnull(running_line(&tail)); /* it is attached */
	ck_assert_int_eq(running_wait(&tail), 0);
	close(tail.err);
	running_start(&tail, "tapio-tail", "--since=oldest", "--wait",
		      "--duration=400ms", NULL);
	ck_assert_ptr_nonnull(running_line(&tail));
	test_broker_kill(&broker);
	running_errors(&collector, text, sizeof(text));
	ck_assert_int_eq(running_wait(&collector), 0);
	ck_assert_ptr_nonnull(strstr(text, "emitted "));
	while (running_line(&tail))
		;
	ck_assert_int_eq(running_wait(&tail), 0);
	close(tail.err);
}
END_TEST

START_TEST(a_killed_broker_ends_it_with_5)
{
	struct running collector;
	char text[1024];

	running_start(&collector, "tapio-collect-proc", proc_option, sys_option,
		      "-i5ms", NULL);
	struct running tail;
	running_start(&tail, "tapio-tail", "--since=oldest", "-n1", NULL);
	ck_assert_ptr_nonnull(running_line(&tail)); /* it is attached */
	ck_assert_int_eq(running_wait(&tail), 0);
	close(tail.err);
	test_broker_kill(&broker);
	running_errors(&collector, text, sizeof(text));
	ck_assert_int_eq(running_wait(&collector), 5);
	ck_assert_ptr_nonnull(strstr(text, "has gone (--wait"));
	ck_assert_ptr_nonnull(strstr(text, "emitted "));
}
END_TEST

/* Reads what it says until that is said. */
static void until_said(const struct running *running, const char *wanted)
{
	struct pollfd poll_fd = {.fd = running->err, .events = POLLIN};
	char text[4096] = "";
	size_t used = 0;

	while (!strstr(text, wanted)) {
		ssize_t n;

		ck_assert_int_eq(poll(&poll_fd, 1, 30000), 1);
		n = read(running->err, text + used, sizeof(text) - 1 - used);
		ck_assert_msg(n > 0, "no '%s' in: %s", wanted, text);
		used += (size_t)n;
		text[used] = '\0';
	}
}

START_TEST(with_wait_it_starts_before_the_broker_and_outlives_it)
{
	struct running collector, tail;
	char text[4096];

	test_broker_kill(&broker);
	running_start(&collector, "tapio-collect-proc", proc_option, sys_option,
		      "-i5ms", "--wait", NULL);
	test_broker_restart(&broker);
	running_start(&tail, "tapio-tail", "--wait", "--since=oldest",
		      "--type=pressure", NULL);
	ck_assert_ptr_nonnull(running_line(&tail));
	test_broker_kill(&broker);
	/* A broker that is back before it is missed has the handle moved to it. */
	until_said(&collector, "has gone");
	test_broker_restart(&broker);
	/* The second broker's channel: only its own events are there. */
	ck_assert_int_eq(running_stop(&tail, SIGTERM), 0);
	close(tail.err);
	running_start(&tail, "tapio-tail", "--since=oldest", "--type=pressure",
		      "-n1", NULL);
	ck_assert_ptr_nonnull(running_line(&tail));
	ck_assert_int_eq(running_wait(&tail), 0);
	close(tail.err);
	ck_assert_int_eq(kill(collector.pid, SIGTERM), 0);
	running_errors(&collector, text, sizeof(text));
	ck_assert_int_eq(running_wait(&collector), 0);
	ck_assert_ptr_nonnull(strstr(text, "attached again"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("collect_proc");
	TCase *usage = tcase_create("usage"), *tc = tcase_create("broker");

	tcase_set_timeout(usage, 60);
	tcase_add_loop_test(usage, wrong_usage_is_named_and_ends_with_2, 0,
			    COUNT(wrong_usages));
	tcase_add_test(usage, an_absent_broker_is_named_and_ends_with_3);
	tcase_add_test(usage,
		       a_tree_that_is_not_there_is_named_and_ends_with_1);
	suite_add_tcase(suite, usage);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_known_tree_gives_exactly_the_known_events);
	tcase_add_test(tc, only_the_sources_that_were_asked_for_are_collected);
	tcase_add_test(tc, changes_of_the_tree_come_through_to_a_reader);
	tcase_add_test(tc, the_real_proc_gives_events_about_this_very_test);
	tcase_add_test(tc,
		       an_unknown_channel_or_class_is_named_and_ends_with_4);
	tcase_add_test(tc, a_full_channel_loses_nothing_in_silence);
	tcase_add_test(
		tc, a_class_of_their_own_keeps_starts_when_the_rest_is_dropped);
	tcase_add_test(tc, a_duration_ends_it_though_it_waits_for_a_broker);
	tcase_add_test(tc, a_killed_broker_ends_it_with_5);
	tcase_add_test(tc,
		       with_wait_it_starts_before_the_broker_and_outlives_it);
	suite_add_tcase(suite, tc);

	return check_run(suite);
}
