/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-tail leaves events out on request, and says something by itself: --where, --since
 * TIME, colour, and its first line on a terminal.
 */
#include <check.h>
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tapio/event.h>
#include <tapio/producer.h>

#include "tests/cli/command.h"
#include "tests/cli/running.h"
#include "tests/check_main.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char config[] =
	"channel events { class main { blocks = 1024 block = 512 } }\n"
	"channel small { class main { blocks = 64 block = 256 } }\n"
	"channel timeless { stamp = none class main { blocks = 64 block = 512 } }\n";

static struct test_broker broker;
static struct tapio_producer *producer;

static void open_producer(const char *channel)
{
	struct tapio_options options = {.size = sizeof(options),
					.answer_ns = TAPIO_FOREVER};

	ck_assert_int_eq(tapio_producer_open(&producer, channel, &options), 0);
}

/* One CPU, so one lane, and the order is known. */
static void set_up(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	test_broker_start(&broker, config);
	producer = NULL;
}

static void tear_down(void)
{
	tapio_producer_close(producer);
	test_broker_stop(&broker);
}

static struct tapio_event_builder b;
static TAPIO_EVENT_ALIGNED char buffer[512];

static void begin(uint16_t type, uint8_t severity, uint32_t pid)
{
	ck_assert_int_eq(
		tapio_event_builder_init(&b, buffer, sizeof(buffer), type), 0);
	b.event->severity = severity;
	b.event->pid = pid;
}

static void send_it(void)
{
	int length = tapio_event_builder_finish(&b);

	ck_assert_int_gt(length, 0);
	ck_assert_int_eq(tapio_output(producer, TAPIO_EVENT_TAG(b.event),
				      buffer, (uint32_t)length),
			 0);
}

static void emit_start(uint8_t severity, uint32_t pid, const char *comm)
{
	struct tapio_event_process_start *p;

	begin(TAPIO_EVENT_PROCESS_START, severity, pid);
	p = b.fields;
	p->ppid = 100 + pid;
	tapio_event_builder_string(&b, &p->comm, comm, strlen(comm));
	send_it();
}

static void emit_connection(uint32_t pid, const unsigned char peer[4],
			    uint16_t port)
{
	struct tapio_event_network_connection *c;

	begin(TAPIO_EVENT_NETWORK_CONNECTION, TAPIO_SEVERITY_INFO, pid);
	c = b.fields;
	tapio_event_ip4(&c->peer, peer);
	c->peer_port = port;
	c->error = -5;
	c->operation = TAPIO_CONNECTION_CLOSE;
	send_it();
}

/* Those below name them by bits: pid 1 is bit 0. */
static void emit_all(void)
{
	emit_start(TAPIO_SEVERITY_DEBUG, 1, "nginx");
	emit_start(TAPIO_SEVERITY_WARNING, 2, "nginx: worker");
	emit_start(TAPIO_SEVERITY_ERROR, 3, "bash");
	emit_connection(4, (const unsigned char[]){10, 0, 0, 1}, 443);
	emit_connection(5, (const unsigned char[]){10, 0, 0, 2}, 53);
	/* Not a typed event. */
	ck_assert_int_eq(
		tapio_output(producer, TAPIO_TAG(2000, 6), " pid=6 ", 7), 0);
}

/* ---- --where ------------------------------------------------------------------- */

static const struct {
	const char *conditions[2];
	uint32_t expected;
} wheres[] = {
	{{"pid=2"}, 0x2},
	{{"pid!=2"}, 0x1d},
	{{"pid>=2", "pid<4"}, 0x6},
	{{"pid>3"}, 0x18},
	{{"pid<=0x3"}, 0x7},
	{{"severity>=warning"}, 0x26},
	{{"severity=WARNING"}, 0x2},
	{{"severity<5"}, 0x19},
	{{"type=process.start"}, 0x7},
	{{"type=2000"}, 0x20},
	{{"comm=nginx"}, 0x1},
	{{"comm~nginx*"}, 0x3},
	{{"comm~nginx*", "severity>debug"}, 0x2},
	{{"comm!=bash"}, 0x3},
	{{"ppid=103"}, 0x4},
	{{"peer=10.0.0.2"}, 0x10},
	{{"peer!=10.0.0.2"}, 0x8},
	{{"peer_port<=443"}, 0x18},
	{{"error<-4"}, 0x18},
	{{"operation=close"}, 0x18},
	{{"time>2020-01-01T00:00:00Z", "pid=1"}, 0x1},
	{{"time<2020-01-01T00:00:00.5Z"}, 0},
	{{"uid=0"}, 0}, /* unset, and so no value */
};

static uint32_t shown(const char *text)
{
	uint32_t bits = 0;

	for (const char *at = strstr(text, " pid="); at;
	     at = strstr(at + 1, " pid="))
		bits |= 1u << (strtoul(at + 5, NULL, 10) - 1);
	return bits;
}

static void assert_shown(const char *const conditions[2], uint32_t expected)
{
	char first[64], second[64] = "-d0";
	struct command c;

	snprintf(first, sizeof(first), "--where=%s", conditions[0]);
	if (conditions[1])
		snprintf(second, sizeof(second), "--where=%s", conditions[1]);
	command_run(&c, "tapio-tail", "--since=oldest", "-d0", "--stats", first,
		    second, NULL);
	ck_assert_msg(c.status == 0, "%s", c.err);
	ck_assert_msg(shown(c.out) == expected, "%s: %#x\n%s", conditions[0],
		      shown(c.out), c.out);
	snprintf(first, sizeof(first), "passed over %d by --where and --since",
		 6 - __builtin_popcount(expected));
	ck_assert_msg(strstr(c.err, first), "%s", c.err);
	command_free(&c);
}

START_TEST(only_events_whose_fields_have_such_values_are_shown)
{
	open_producer("events");
	emit_all();
	for (int i = 0; i < COUNT(wheres); i++)
		assert_shown(wheres[i].conditions, wheres[i].expected);
}
END_TEST

START_TEST(count_counts_those_that_are_shown)
{
	struct command c;

	open_producer("events");
	for (uint32_t i = 0; i < 200; i++)
		emit_start(TAPIO_SEVERITY_INFO, 1 + i % 4, "x");
	command_run(&c, "tapio-tail", "--since=oldest", "-n", "40",
		    "--where=pid=3", "--json", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_ptr_nonnull(strstr(c.out, "\"pid\":3"));
	ck_assert_ptr_null(strstr(c.out, "\"pid\":1"));
	int lines = 0;
	for (const char *at = c.out; *at; at++)
		lines += *at == '\n';
	ck_assert_int_eq(lines, 40);
	command_free(&c);
}
END_TEST

static const struct {
	const char *arguments[3];
	const char *message;
} wrong[] = {
	{{"--where", "pid"}, "'pid' is not a condition, as pid=1234"},
	{{"--where", "=5"}, "'=5' is not a condition"},
	{{"--where", "pdi=5"},
	 "no event has a field 'pdi'; there are time, severity, type, observed, "
	 "source, flags, pid, "},
	{{"--where", "comm=x", "--type=pressure"},
	 "no event of these types has a field 'comm'; there are time, severity"},
	{{"--where", "pid=abc"},
	 "'abc' is no value of field pid of all events, which has a whole number"},
	{{"--where", "pid=4294967296"},
	 "'4294967296' is no value of field pid"},
	{{"--where", "pid=-1"}, "'-1' is no value of field pid"},
	{{"--where", "severity>=loud"},
	 "'loud' is no value of field severity of all events, which has one of "
	 "unset, trace, debug, info, notice, warning, error, critical, alert, "
	 "emergency"},
	{{"--where", "source>proc"},
	 "field source of all events has no order: use = or !="},
	{{"--where", "comm>=x"}, "has no order: use =, != or ~"},
	{{"--where", "pid~1*"}, "field pid of all events is no text"},
	{{"--where", "peer=10.0.0"},
	 "'10.0.0' is no value of field peer of network.connection, which has an "
	 "IP address"},
	{{"--where", "trace_id=12"}, "which has hex digits, two for each byte"},
	{{"--where", "time=yesterday"}, "which has a time, as 2026-"},
	{{"--where", "error=-4", "--type=log"},
	 "'-4' is no value of field error of log"},
	{{"--where", "operation=fly"},
	 "'fly' is no value of field operation of"},
	{{"--color=blue"}, "--color: 'blue' is not one of auto, always, never"},
	{{"--since", "0"},
	 "--since: '0' is not one of newest, oldest, or a time"},
	{{"--list-fields=nix"}, "'nix' is not a type of event that has a name"},
};

START_TEST(a_condition_that_cannot_hold_is_named_with_what_there_is)
{
	command_refuses("tapio-tail", wrong[_i].arguments, wrong[_i].message);
}
END_TEST

START_TEST(fields_are_listed_with_their_units)
{
	struct command c;

	command_run(&c, "tapio-tail", "--list-fields", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_ptr_nonnull(strstr(c.out, "(all events)         severity"));
	ck_assert_ptr_nonnull(strstr(c.out, "network.connection   peer"));
	command_free(&c);
	command_run(&c, "tapio-tail", "--list-fields=process.start", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_int_eq(strncmp(c.out, "process.start ", 14), 0);
	ck_assert_ptr_null(strstr(c.out, "network"));
	command_free(&c);
}
END_TEST

/* ---- --since ------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

START_TEST(since_shows_what_was_emitted_within_that_time)
{
	char since[48];
	struct command c;
	uint64_t then;

	open_producer("events");
	emit_start(TAPIO_SEVERITY_INFO, 1, "old");
	emit_start(TAPIO_SEVERITY_INFO, 2, "old");
	then = now_ns();
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	emit_start(TAPIO_SEVERITY_INFO, 3, "new");
	/* It starts later, so these two are older in any case. */
	snprintf(since, sizeof(since), "--since=%lluns",
		 (unsigned long long)(now_ns() - then - 5000000));
	command_run(&c, "tapio-tail", since, "-d0", "--stats", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_msg(!(shown(c.out) & 3), "%s", c.out);
	command_free(&c);
	command_run(&c, "tapio-tail", "--since=1h", "-d0", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_msg(shown(c.out) == 7, "%s", c.out);
	/* All of it is there. */
	ck_assert_str_eq(c.err, "");
	command_free(&c);
}
END_TEST

START_TEST(what_is_no_longer_there_of_that_time_is_said)
{
	struct command c;

	open_producer("small");
	for (uint32_t i = 0; i < 100; i++)
		emit_start(TAPIO_SEVERITY_INFO, 1 + i % 32, "x");
	command_run(&c, "tapio-tail", "small", "--since=1h", "-d0", NULL);
	ck_assert_int_eq(c.status, 0);
	/* 64 blocks, of which the oldest may be under a pen. */
	ck_assert_msg(strstr(c.err, ": 1 of 1 lanes have overwritten 37 events "
				    "so far, and from 2"),
		      "%s", c.err);
	command_free(&c);
}
END_TEST

START_TEST(without_stamps_the_times_of_the_events_count)
{
	struct command c;

	open_producer("timeless");
	begin(TAPIO_EVENT_PROCESS_START, TAPIO_SEVERITY_INFO, 1);
	b.event->time_ns = UINT64_C(1700000000000000000);
	send_it();
	emit_start(TAPIO_SEVERITY_INFO, 2, "now");
	command_run(&c, "tapio-tail", "timeless", "--since=1h", "-d0", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_msg(shown(c.out) == 2, "%s", c.out);
	ck_assert_msg(strstr(c.err, "has no time stamps"), "%s", c.err);
	command_free(&c);
}
END_TEST

/* ---- colour -------------------------------------------------------------------- */

START_TEST(lines_have_the_color_of_their_severity_when_asked_for)
{
	struct command c;

	open_producer("events");
	emit_all();
	command_run(&c, "tapio-tail", "--since=oldest", "-d0", "--color", NULL);
	ck_assert_int_eq(c.status, 0);
	ck_assert_int_eq(strncmp(c.out, "\033[2m20", 6), 0);
	ck_assert_ptr_nonnull(strstr(c.out, "\n\033[33m20"));
	ck_assert_ptr_nonnull(strstr(c.out, "\n\033[31m20"));
	ck_assert_ptr_nonnull(strstr(c.out, "\033[0m\n"));
	command_free(&c);
	command_run(&c, "tapio-tail", "--since=oldest", "-d0", NULL);
	ck_assert_ptr_null(strchr(c.out, '\033'));
	command_free(&c);
	command_run(&c, "tapio-tail", "--since=oldest", "-d0", "--color=always",
		    "--json", NULL);
	ck_assert_ptr_null(strchr(c.out, '\033'));
	command_free(&c);
}
END_TEST

/* ---- a terminal ---------------------------------------------------------------- */

/* All that it shows on one, until it ends. */
static void on_terminal(char *text, size_t bytes, char *const arguments[])
{
	size_t used = 0;
	ssize_t n;
	int fd;
	pid_t pid = forkpty(&fd, NULL, NULL, NULL);

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		setenv("TERM", "xterm", 1);
		alarm(60);
		execv(TAPIO_BIN "/tapio-tail", arguments);
		_exit(126);
	}
	do {
		n = read(fd, text + used, bytes - 1 - used);
		used += n > 0 ? (size_t)n : 0;
	} while (n > 0 && used < bytes - 1);
	text[used] = 0;
	close(fd);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(on_a_terminal_it_says_what_it_follows)
{
	char *const all[] = {(char *)"tapio-tail", (char *)"-d0",
			     (char *)"--since=oldest", NULL};
	char *const group[] = {(char *)"tapio-tail", (char *)"-d10ms",
			       (char *)"-g", (char *)"audit", NULL};
	char text[8192];

	on_terminal(text, sizeof(text), group);
	ck_assert_msg(strstr(text, "tapio-tail: following channel events as a "
				   "member of group audit: no producer is "
				   "attached, new events from 20"),
		      "%s", text);
	open_producer("events");
	emit_all();
	on_terminal(text, sizeof(text), all);
	ck_assert_msg(strstr(text, "tapio-tail: showing channel events as an "
				   "observer: 1 producer attached, from the "
				   "oldest event\r\n"),
		      "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "\033[33m"));
	setenv("NO_COLOR", "1", 1);
	on_terminal(text, sizeof(text), all);
	ck_assert_ptr_null(strchr(text, '\033'));
	unsetenv("NO_COLOR");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tail_where");
	TCase *usage = tcase_create("usage"), *tc = tcase_create("broker");

	tcase_set_timeout(usage, 60);
	tcase_add_loop_test(
		usage, a_condition_that_cannot_hold_is_named_with_what_there_is,
		0, COUNT(wrong));
	tcase_add_test(usage, fields_are_listed_with_their_units);
	suite_add_tcase(suite, usage);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc,
			    only_events_whose_fields_have_such_values_are_shown,
			    0, COUNT(wheres));
	tcase_add_test(tc, count_counts_those_that_are_shown);
	tcase_add_test(tc, since_shows_what_was_emitted_within_that_time);
	tcase_add_test(tc, what_is_no_longer_there_of_that_time_is_said);
	tcase_add_test(tc, without_stamps_the_times_of_the_events_count);
	tcase_add_test(tc,
		       lines_have_the_color_of_their_severity_when_asked_for);
	tcase_add_test(tc, on_a_terminal_it_says_what_it_follows);
	suite_add_tcase(suite, tc);
	return check_run(suite);
}
