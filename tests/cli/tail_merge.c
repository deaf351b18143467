/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-tail --merge against a real tapiod: events of several lanes come out in the
 * order of their stamps, what comes too late for that is shown all the same, and
 * late is exactly what was.
 *
 * Everything is emitted on one CPU, on one lane for each class. Where stamps matter
 * they are the test's own: on a channel with stamp = clock libtapio asks
 * clock_gettime() for them, and finds the one of this program.
 */
#include <check.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tapio/producer.h>

#include "tests/cli/command.h"
#include "tests/cli/running.h"
#include "tests/check_main.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define SECOND       INT64_C(1000000000)
#define LANES        3
#define TYPE         2000

#define CLASSES                                \
	"class a { blocks = 64 block = 64 }\n" \
	"class b { blocks = 64 block = 64 }\n" \
	"class c { blocks = 64 block = 64 priority = 1 } }\n"

static const char config[] = "channel clocked { stamp = clock\n" CLASSES
			     "channel counted { stamp = tsc\n" CLASSES
			     "channel timeless { stamp = none\n" CLASSES;

static struct test_broker broker;
static struct tapio_producer *producer;
static int64_t pretended_ns; /* of CLOCK_REALTIME. 0: the real one */

/* In place of libc's, for libtapio too. */
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock,
							 struct timespec *t)
{
	if (clock == CLOCK_REALTIME && pretended_ns) {
		t->tv_sec = pretended_ns / SECOND;
		t->tv_nsec = pretended_ns % SECOND;
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, clock, t);
}

static int64_t really_ns(void)
{
	struct timespec t;

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static void set_up(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
	test_broker_start(&broker, config);
	producer = NULL;
	pretended_ns = 0;
}

static void tear_down(void)
{
	tapio_producer_close(producer);
	test_broker_stop(&broker);
}

static void open_producer(const char *channel)
{
	char error[320];
	struct tapio_options options = {.size = sizeof(options),
					.answer_ns = TAPIO_FOREVER,
					.error = error,
					.error_bytes = sizeof(error)};
	int err = tapio_producer_open(&producer, channel, &options);

	ck_assert_msg(!err, "%s", error);
}

static void emit(int lane, unsigned int number)
{
	char text[32];
	int length = snprintf(text, sizeof(text), " number=%u ", number);

	ck_assert_int_eq(tapio_output(producer, TAPIO_TAG_CLASS(TYPE, 0, lane),
				      text, (uint32_t)length),
			 0);
}

/* With that stamp, on the channel `clocked`. */
static void emit_at(int lane, unsigned int number, int64_t ns)
{
	pretended_ns = ns;
	emit(lane, number);
	pretended_ns = 0;
}

/* The number behind `key` in a line. Fails when it is not there. */
static uint64_t number_in(const char *line, const char *key)
{
	const char *at = line ? strstr(line, key) : NULL;

	ck_assert_msg(at != NULL, "no %s in: %s", key, line ? line : "(end)");
	return strtoull(at + strlen(key), NULL, 10);
}

/* The next lines are those of events first to last. */
static void expect(struct running *tail, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++)
		ck_assert_uint_eq(number_in(running_line(tail), " number="), i);
}

/* Starts a reader of new events. The first one that it has not shown yet. */
static unsigned int follow(struct running *tail, const char *how,
			   const char *merge)
{
	unsigned int next = 1;

	running_start(tail, "tapio-tail", "clocked", "--stats", merge, how,
		      NULL);
	do /* old ones: they are shown at once */
		emit_at(0, next, next * SECOND);
	while (++next && !running_ready(tail, 1));
	uint64_t shown = number_in(running_line(tail), " number=");
	/* The events before that were emitted before it was attached. */
	expect(tail, shown + 1, next - 1);
	return next;
}

static void stop(struct running *tail, uint64_t late)
{
	char text[1024];

	ck_assert_int_eq(kill(tail->pid, SIGTERM), 0);
	ck_assert_ptr_null(running_line(tail));
	running_errors(tail, text, sizeof(text));
	ck_assert_int_eq(running_wait(tail), 0);
	ck_assert_uint_eq(number_in(text, "lost "), 0);
	ck_assert_uint_eq(number_in(text, "shown "),
			  number_in(text, "delivered "));
	ck_assert_uint_eq(number_in(text, "late "), late);
}

/* ---- usage ------------------------------------------------------------------ */

static const struct {
	const char *argument;
	const char *message;
} wrong[] = {
	{"--merge=soon", "--merge: 'soon' is not a duration"},
	{"--merge=0", "--merge: '0' is outside 1ns to 1m"},
	{"--merge=61s", "--merge: '61s' is outside 1ns to 1m"},
};

START_TEST(a_wait_that_cannot_be_is_refused)
{
	const char *arguments[] = {wrong[_i].argument, NULL, NULL};

	command_refuses("tapio-tail", arguments, wrong[_i].message);
}
END_TEST

static const char *const readers[] = {NULL, "--policy=lossless"};

START_TEST(a_channel_without_stamps_is_not_merged_and_says_so)
{
	struct command c;

	command_run(&c, "tapio-tail", "--merge", "timeless", "-d0", readers[_i],
		    NULL);
	ck_assert_int_eq(c.status, 1);
	ck_assert_ptr_nonnull(strstr(c.err, "stamps"));
	ck_assert_str_eq(c.out, "");
	command_free(&c);
}
END_TEST

/* ---- order -------------------------------------------------------------------- */

static const char *const channels[] = {"clocked", "counted"};

/* Emitted one after the other, each on another lane. */
static void emit_around(const char *channel)
{
	open_producer(channel);
	for (unsigned int i = 1; i <= 100; i++)
		emit((int)(i * i % 7 % LANES), i);
}

START_TEST(what_all_lanes_hold_comes_out_in_order)
{
	struct running tail;
	char text[1024];

	emit_around(channels[_i]);
	running_start(&tail, "tapio-tail", channels[_i], "--merge",
		      "--since=oldest", "-d0", "--stats", NULL);
	expect(&tail, 1, 100);
	ck_assert_ptr_null(running_line(&tail));
	running_errors(&tail, text, sizeof(text));
	ck_assert_int_eq(running_wait(&tail), 0);
	ck_assert_ptr_nonnull(
		strstr(text, "tapio-tail: shown 100, delivered 100, "));
	ck_assert_ptr_nonnull(strstr(text, ", lost 0\ntapio-tail: late 0\n"));
}
END_TEST

/* So the test above can fail, and late is nothing to speak of then. */
START_TEST(without_merge_it_comes_lane_by_lane)
{
	uint64_t last = 0, number;
	struct command c;
	int breaks = 0;

	emit_around(channels[_i]);
	command_run(&c, "tapio-tail", channels[_i], "--since=oldest", "-d0",
		    "--stats", NULL);
	ck_assert_int_eq(c.status, 0);
	for (const char *line = c.out; *line; line = strchr(line, '\n') + 1) {
		number = number_in(line, " number=");
		breaks += number < last;
		last = number;
	}
	ck_assert_int_eq(breaks, LANES - 1);
	ck_assert_ptr_null(strstr(c.err, "late"));
	command_free(&c);
}
END_TEST

/* The stamp decides, not who was there first. */
START_TEST(what_is_emitted_lane_by_lane_comes_out_by_its_stamps)
{
	struct running tail;
	unsigned int next;

	open_producer("clocked");
	next = follow(&tail, readers[_i], "--merge");
	int64_t base_ns = really_ns() - SECOND;
	/* So that it sees nothing before all of it is there. */
	ck_assert_int_eq(kill(tail.pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(tail.pid, NULL, WUNTRACED), tail.pid);
	for (int lane = 0; lane < LANES; lane++)
		for (unsigned int i = 0; i < 5; i++) {
			unsigned int place = LANES * i + (unsigned int)lane;

			emit_at(lane, next + place, base_ns + place);
		}
	ck_assert_int_eq(kill(tail.pid, SIGCONT), 0);
	expect(&tail, next, next + LANES * 5 - 1);
	stop(&tail, 0);
}
END_TEST

/* ---- waiting and being late ----------------------------------------------------- */

START_TEST(what_is_young_waits_until_its_lane_fills_up)
{
	struct running tail;
	unsigned int next;

	open_producer("clocked");
	next = follow(&tail, readers[_i], "--merge=60s");
	for (unsigned int i = 0; i < 16; i++)
		emit(1, next + i);
	ck_assert(!running_ready(&tail, 200));
	/* More than a quarter of 64: order is not worth a loss. */
	emit(1, next + 16);
	expect(&tail, next, next + 16);
	stop(&tail, 0);
}
END_TEST

#define ROUNDS 10

START_TEST(what_comes_too_late_is_shown_at_once_and_counted)
{
	struct running tail;
	unsigned int next;

	open_producer("clocked");
	next = follow(&tail, readers[_i], "--merge");
	int64_t ns = really_ns() - 1000 * SECOND;
	for (int i = 0; i < ROUNDS; i++, ns += 10 * SECOND) {
		emit_at(0, next, ns);
		expect(&tail, next, next);
		next++;
		/* Two before what was shown, on two lanes. One as old as it. */
		emit_at(1, next, ns - SECOND);
		expect(&tail, next, next);
		next++;
		emit_at(2, next, ns - 1);
		expect(&tail, next, next);
		next++;
		emit_at(1, next, ns);
		expect(&tail, next, next);
		next++;
	}
	stop(&tail, 2 * ROUNDS);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("merge");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, a_wait_that_cannot_be_is_refused, 0,
			    COUNT(wrong));
	tcase_add_loop_test(tc,
			    a_channel_without_stamps_is_not_merged_and_says_so,
			    0, COUNT(readers));
	tcase_add_loop_test(tc, what_all_lanes_hold_comes_out_in_order, 0,
			    COUNT(channels));
	tcase_add_loop_test(tc, without_merge_it_comes_lane_by_lane, 0,
			    COUNT(channels));
	tcase_add_loop_test(
		tc, what_is_emitted_lane_by_lane_comes_out_by_its_stamps, 0,
		COUNT(readers));
	tcase_add_loop_test(tc, what_is_young_waits_until_its_lane_fills_up, 0,
			    COUNT(readers));
	tcase_add_loop_test(tc,
			    what_comes_too_late_is_shown_at_once_and_counted, 0,
			    COUNT(readers));

	return check_run_case("tail --merge", tc);
}
