/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Causes that this machine is not brought to by itself, and memory of which a part is not had: the
 * records of a real broker, which is stopped, are written by hand, and `why` is asked. Each test
 * fails without the rule of its cause.
 */
#include "why_rig.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "check_world.h"
#include "lib/base/atomic.h"

#define LARGE (UINT64_C(64) << 20)

static struct check_world w;

static void set_up(void)
{
	check_world_open(&w);
	memset(source, 0, sizeof(source));
	look_into(w.broker.daemon.pid);
}

static void tear_down(void)
{
	json_decref(look);
	look = NULL;
	command_free(&run);
	check_world_close(&w);
}

static struct tapio_shm_broker *broker_record(void)
{
	return check_world_writable(&w, w.inspect->catalog.broker);
}

/* The first of the channel. */
static struct tapio_shm_segment *segment_record(void)
{
	for (uint32_t i = 0; i < w.inspect->catalog.segment_count; i++)
		if (w.inspect->catalog.segments[i].kind ==
		    TAPIO_SEGMENT_CHANNEL)
			return check_world_writable(
				&w, &w.inspect->catalog.segments[i]);
	ck_abort_msg("no segment");
}

static struct tapio_shm_group *group_record(void)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		if (!strcmp(tpi_inspect_groups(w.inspect, 0)[i].name,
			    "witness"))
			return check_world_writable(
				&w, &tpi_inspect_groups(w.inspect, 0)[i]);
	ck_abort_msg("no group");
}

static void expect_absent(const char *cause)
{
	shmstat("--json", "--interval=1ms", "why", NULL);
	ck_assert_msg(!found(cause), "%s: %s", cause, run.out);
}

START_TEST(a_group_that_still_joins_is_named)
{
	const json_t *numbers;

	expect_absent("group-joins");
	group_record()->admitted++;
	numbers = expect_cause("group-joins", "warning",
			       "group witness of channel events is still "
			       "joining");
	ck_assert_int_eq(count_in(numbers, "members"), 1);
}
END_TEST

START_TEST(memory_that_could_not_be_bound_is_named_with_the_error)
{
	struct tapio_shm_segment *s = segment_record();

	expect_absent("pages-unbound");
	s->placement = TAPIO_PLACED_UNBOUND;
	s->placement_errno = -EPERM;
	expect_cause("pages-unbound", "note",
		     "could not be bound to it (EPERM)");
}
END_TEST

START_TEST(a_large_segment_of_small_pages_is_named_with_what_failed)
{
	struct tapio_shm_segment *s = segment_record();
	const json_t *numbers;

	s->length_bytes = LARGE;
	expect_absent("small-pages"); /* no better ones were asked for */
	s->rung_errno[TAPIO_RUNG_HUGETLB] = -ENOMEM;
	numbers = expect_cause("small-pages", "note",
			       "of channel events, 1 segment has pages of 4 "
			       "KiB (64 MiB in all): hugetlb ENOMEM");
	ck_assert_int_eq(count_in(numbers, "hugepages"), 33);
	s->length_bytes = 1 << 20;
	expect_absent("small-pages");
}
END_TEST

START_TEST(stamps_that_no_calibration_converts_have_no_time)
{
	struct tapio_shm_channel *channel =
		check_world_writable(&w, &w.inspect->catalog.channels[0]);

	channel->stamp = TAPIO_STAMP_CLOCK;
	broker_record()->calibrations = 0;
	expect_absent("stamps-without-time");
	channel->stamp = TAPIO_STAMP_TSC;
	expect_cause("stamps-without-time", "warning",
		     "channel events has stamps of the processor's counter");
	/* One is enough to convert them. */
	broker_record()->calibrations = 1;
	expect_absent("stamps-without-time");
}
END_TEST

START_TEST(a_channel_whose_memory_is_not_found_is_a_fault)
{
	segment_record()->inode = 0;
	expect_fault("channel-unreadable",
		     "channel events cannot be looked into: its segment 0 is "
		     "missing");
}
END_TEST

/* Between the two looks, and as often as it takes. */
START_TEST(a_clock_that_is_set_between_the_looks_is_named)
{
	struct tapio_shm_broker *b = broker_record();
	struct running why;
	char text[65536] = "";
	const char *line;
	size_t at = 0;

	b->clock_steps = 3;
	expect_absent("clock-set"); /* they were before */
	running_start(&why, "tapio-shmstat", "--pid", pid_text, "--json",
		      "--interval=200ms", "why", NULL);
	while (!running_ready(&why, 1))
		b->clock_steps++;
	while ((line = running_line(&why)) && at < sizeof(text))
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s\n",
				       line);
	ck_assert_int_eq(running_wait(&why), 1); /* the broker is stopped */
	close(why.err);
	json_decref(look);
	look = json_loads(text, 0, NULL);
	expect_said("clock-set", "note", "the system's clock was set in the");
}
END_TEST

/* It takes a connection and never answers. Its memory is had from this process, a client. */
START_TEST(a_broker_that_runs_and_does_not_answer_is_named)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char option[128];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (geteuid()) {
		puts("opening /proc/PID/map_files needs root");
		exit(77);
	}
	ck_assert_int_eq(kill(w.broker.daemon.pid, SIGCONT), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/mute",
		 w.broker.directory);
	snprintf(option, sizeof(option), "--socket=%s", address.sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	source[0] = option;
	source[1] = "--timeout=50ms";
	expect_cause("broker-silent", "warning",
		     "did not answer: no answer within 50 ms");
	/* One that is stopped is that alone. */
	ck_assert_int_eq(kill(w.broker.daemon.pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(w.broker.daemon.pid, NULL, WUNTRACED),
			 w.broker.daemon.pid);
	expect_absent("broker-silent");
	unlink(address.sun_path);
	close(fd);
}
END_TEST

/* ---- sums ---------------------------------------------------------------------- */

static const json_t *row_of(const char *part, const char *key, const char *name)
{
	const json_t *row;
	size_t i;

	ck_assert_msg(look != NULL, "%s%s", run.out, run.err);
	json_array_foreach(json_object_get(look, part), i, row)
	{
		if (!strcmp(text_in(row, key), name))
			return row;
	}
	ck_abort_msg("no %s in: %s", name, run.out);
}

static void halt(void)
{
	ck_assert_int_eq(kill(w.broker.daemon.pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(w.broker.daemon.pid, NULL, WUNTRACED),
			 w.broker.daemon.pid);
}

/* As in the memory of a client that has not mapped the cursors of all. */
static void lose_cursors(const char *group)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		struct tapio_shm_segment *s;

		if (strcmp(tpi_inspect_groups(w.inspect, 0)[i].name, group))
			continue;
		s = check_world_writable(
			&w,
			&w.inspect->catalog.segments[tpi_slot_record(0, i)]);
		ck_assert_uint_eq(s->kind, TAPIO_SEGMENT_CURSORS);
		s->inode = 0;
		return;
	}
	ck_abort_msg("no group");
}

/* On commit f2f04f3 its events were left out, and the sums called all there is. */
START_TEST(a_sum_without_a_group_that_is_not_read_is_marked)
{
	const json_t *row;
	long lag;

	ck_assert_int_eq(kill(w.broker.daemon.pid, SIGCONT), 0);
	consume("events", "other", TAPIO_GROUP_LOSSLESS);
	halt();
	shmstat("--json", "summary", NULL, NULL);
	row = row_of("summary", "channel", "events");
	ck_assert_int_eq(count_in(row, "groups_not_read"), 0);
	shmstat("summary", NULL, NULL, NULL);
	ck_assert_ptr_null(strstr(run.out, "+"));

	lose_cursors("other");
	shmstat("--json", "summary", "groups", NULL);
	row = row_of("summary", "channel", "events");
	ck_assert_int_eq(count_in(row, "groups"), 2);
	ck_assert_int_eq(count_in(row, "groups_not_read"), 1);
	lag = (long)count_in(row, "in_flight");
	ck_assert_int_eq(lag, 20); /* of the other one */
	row = row_of("groups", "group", "other");
	ck_assert(json_is_true(json_object_get(row, "not_read")));
	ck_assert(json_is_null(json_object_get(row, "in_flight")));
	row = row_of("groups", "group", "witness");
	ck_assert(json_is_false(json_object_get(row, "not_read")));
	shmstat("summary", NULL, NULL, NULL);
	ck_assert_msg(strstr(run.out, " 0+ ") && strstr(run.out, " 20+ "), "%s",
		      run.out);
	ck_assert_msg(strstr(run.out, "(channel events: 1 group could not be "
				      "read, so sums with + are"),
		      "%s", run.out);
	shmstat("--json", "--interval=1ms", "why", NULL);
	ck_assert_int_eq(
		count_in(json_object_get(look, "looked_at"), "groups_not_read"),
		1);
	shmstat("--wide", "--interval=1ms", "why", NULL);
	ck_assert_msg(strstr(run.out, "lost meanwhile, without 1 group that "
				      "could not be read"),
		      "%s", run.out);
	shmstat("--interval=1ms", "advise", NULL, NULL);
	ck_assert_msg(strstr(run.err, "group other of channel events could not "
				      "be read: the advice is without it"),
		      "%s", run.err);
	shmstat("--json", "--count=1", "--interval=10ms", "watch");
	ck_assert_int_eq(
		count_in(json_object_get(look, "totals"), "groups_not_read"),
		1);

	/* Of none there is no sum. */
	lose_cursors("witness");
	shmstat("--json", "summary", NULL, NULL);
	row = row_of("summary", "channel", "events");
	ck_assert_int_eq(count_in(row, "groups_not_read"), 2);
	ck_assert(json_is_null(json_object_get(row, "lost")));
	ck_assert(json_is_null(json_object_get(row, "in_flight")));
	ck_assert_int_eq(kill(w.broker.daemon.pid, SIGCONT), 0);
	tapio_consumer_close(consumer);
	consumer = NULL;
}
END_TEST

/* The unread events of a channel that goes. */
START_TEST(what_a_drained_channel_has_unread_is_at_least_that)
{
	struct tapio_shm_channel *channel =
		check_world_writable(&w, &w.inspect->catalog.channels[0]);
	const json_t *row;

	group_record()->flags |= TAPIO_GROUP_FLAG_DURABLE;
	channel->state = TAPIO_CHANNEL_REMOVED;
	lose_cursors("witness");
	shmstat("--json", "channels", NULL, NULL);
	row = row_of("channels", "channel", "events");
	ck_assert_int_eq(count_in(row, "groups_not_read"), 1);
	ck_assert_msg(strstr(text_in(row, "drain"), "at least 0 unread"), "%s",
		      run.out);
	shmstat("channels", NULL, NULL, NULL);
	ck_assert_msg(strstr(run.out, " 0+\n"), "%s", run.out);
	expect_cause("channel-draining", "warning",
		     "(0 unread, without 1 group that could not be read)");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("shmstat_why_forged");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_group_that_still_joins_is_named);
	tcase_add_test(tc,
		       memory_that_could_not_be_bound_is_named_with_the_error);
	tcase_add_test(
		tc, a_large_segment_of_small_pages_is_named_with_what_failed);
	tcase_add_test(tc, stamps_that_no_calibration_converts_have_no_time);
	tcase_add_test(tc, a_channel_whose_memory_is_not_found_is_a_fault);
	tcase_add_test(tc, a_clock_that_is_set_between_the_looks_is_named);
	tcase_add_test(tc, a_broker_that_runs_and_does_not_answer_is_named);
	tcase_add_test(tc, a_sum_without_a_group_that_is_not_read_is_marked);
	tcase_add_test(tc, what_a_drained_channel_has_unread_is_at_least_that);
	return check_run_case("shmstat_why_forged", tc);
}
