/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tapio-shmstat why` where nothing is broken, and no events come, or some are
 * refused or lost. shmstat_why_faults.c has the faults.
 */
#include "why_rig.h"

#include <fcntl.h>
#include <sys/prctl.h>

#define BLOCKS 64

static const char config[] =
	"hugepages = never\n"
	"channel events {\n"
	"  class main { block = 64 blocks = 64 side_lanes = 2 "
	"side_blocks = 64 }\n"
	"}\n"
	"channel second { class main { block = 64 blocks = 4096 } }\n";

static void set_up(void)
{
	rig_open(config);
}

static void tear_down(void)
{
	rig_close();
}

/* Reads all that there is. */
static int drain(void)
{
	struct tapio_view views[BLOCKS];
	int n, total = 0;

	while ((n = tapio_poll(consumer, views, BLOCKS, 0)) > 0) {
		total += n;
		ck_assert_int_ge(tapio_release(consumer), 0);
	}
	return total;
}

static void expect_remedy(const char *cause, const char *words)
{
	const json_t *one = found(cause);

	ck_assert_msg(one != NULL, "no %s in: %s%s", cause, run.out, run.err);
	ck_assert_msg(strstr(text_in(one, "remedy"), words), "%s",
		      text_in(one, "remedy"));
}

/* ---- no events ----------------------------------------------------------------- */

START_TEST(without_a_producer_it_says_so)
{
	const json_t *numbers;

	numbers = expect_healthy("no-producer", "note",
				 "no producer is attached to channel events");
	ck_assert_int_eq(count_in(numbers, "published"), 0);
	shmstat("--channel=second", "--interval=1ms", "why", NULL);
	ck_assert_ptr_null(strstr(run.out, "channel events"));
	ck_assert_ptr_nonnull(strstr(run.out, "1. no-producer (note)"));
}
END_TEST

START_TEST(a_producer_that_emits_nothing_is_told_from_none)
{
	const json_t *numbers;

	produce("events");
	emit(3);
	numbers = expect_healthy("no-events", "note",
				 "1 producer is attached to channel events");
	ck_assert_int_eq(count_in(numbers, "published"), 3);
}
END_TEST

/* In a process of its own, which polls for ever or never. */
static pid_t member_of(const char *group, bool polls)
{
	struct tapio_view views[8];
	int tell[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(tell, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid) {
		close(tell[1]);
		ck_assert_int_eq(read(tell[0], &byte, 1), 1);
		close(tell[0]);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	consume("events", group, TAPIO_GROUP_DEFAULT);
	/* It takes its lanes. */
	tapio_poll(consumer, views, 8, 0);
	tapio_release(consumer);
	if (write(tell[1], "x", 1) != 1)
		_exit(1);
	while (polls) {
		tapio_poll(consumer, views, 8, 100000000);
		tapio_release(consumer);
	}
	for (;;)
		pause();
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(a_member_that_does_not_poll_is_named_with_what_waits)
{
	pid_t member = member_of("readers", false);
	const json_t *numbers;

	produce("events");
	emit(5);
	numbers = expect_healthy(
		"member-asleep", "warning",
		"of group readers of channel events does not poll: 0 events "
		"in its hands, 5 unread on 4 lanes. Another member takes "
		"them over 1 s after");
	ck_assert_int_eq(count_in(numbers, "pid"), member);
	end(member);
}
END_TEST

START_TEST(a_stopped_client_is_named_with_the_way_to_continue)
{
	pid_t member = member_of("readers", true);
	const json_t *one;
	char words[32];

	ck_assert_int_eq(kill(member, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(member, NULL, WUNTRACED), member);
	produce("events");
	emit(5);
	expect_healthy("client-stopped", "warning",
		       "to consume in group readers, is stopped: ");
	one = found("client-stopped");
	snprintf(words, sizeof(words), "kill -CONT %d", (int)member);
	ck_assert_str_eq(text_in(one, "remedy"), words);
	/* Of another client nothing is said. */
	snprintf(words, sizeof(words), "--client=%d", (int)getpid());
	shmstat("--json", "--interval=1ms", words, "why");
	ck_assert_ptr_null(found("client-stopped"));
	end(member);
}
END_TEST

START_TEST(lanes_that_no_member_has_taken_are_told)
{
	const json_t *numbers;

	consume("events", "readers", TAPIO_GROUP_DEFAULT);
	produce("events");
	emit(5);
	numbers = expect_healthy(
		"lanes-untaken", "warning",
		"group readers of channel events has 5 events on 1 lane that "
		"no member has taken (of 1)");
	ck_assert_int_eq(count_in(numbers, "unread"), 5);
	/* Read, and it is over. */
	drain();
	shmstat("--json", "--interval=10ms", "why", NULL);
	ck_assert_ptr_null(found("lanes-untaken"));
}
END_TEST

START_TEST(a_filter_that_passes_nothing_is_the_answer)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = patient,
		.group = "picky",
		.severity_min = 9,
	};
	struct running why;
	const json_t *numbers;
	char text[8192] = "";
	const char *line;

	ck_assert_int_eq(tapio_consumer_open(&consumer, "events", &options), 0);
	produce("events");
	emit(4);
	ck_assert_int_eq(drain(), 0);
	expect_healthy("filter", "note",
		       "have a filter: 4 events were skipped");
	/* Between its two looks. */
	running_start(&why, "tapio-shmstat", "--timeout=30s", "--json",
		      "--interval=300ms", "why", NULL);
	while (!running_ready(&why, 1)) {
		emit(1);
		drain();
	}
	while ((line = running_line(&why)))
		strncat(text, line, sizeof(text) - strlen(text) - 1);
	ck_assert_int_eq(running_wait(&why), 0);
	close(why.err);
	json_decref(look);
	look = json_loads(text, 0, NULL);
	numbers = expect_said("filter-passes-nothing", "note",
			      "group picky of channel events has skipped all");
	ck_assert_int_gt(count_in(numbers, "skipped_now"), 0);
	ck_assert_int_eq(count_in(numbers, "delivered_now"), 0);
}
END_TEST

START_TEST(what_is_not_there_is_answered_by_what_is)
{
	produce("events");
	shmstat("--json", "--interval=1ms", "--channel=event", "why");
	expect_said("no-channel", "warning",
		    "there is no channel event: there are events, second");
	consume("events", "readers", TAPIO_GROUP_DEFAULT);
	shmstat("--json", "--interval=1ms", "--group=reader", "why");
	expect_said(
		"no-group", "warning",
		"there is no group reader: its last member has left, or none "
		"has come. There are readers");
	shmstat("--json", "--interval=1ms", "--client=1", "why");
	expect_said("client-not-attached", "warning",
		    "process 1 is attached to no channel");
}
END_TEST

/* ---- refused and lost ---------------------------------------------------------- */

START_TEST(refusals_for_want_of_room_are_told_when_it_is_there_again)
{
	const json_t *numbers;

	consume("events", "audit", TAPIO_GROUP_LOSSLESS);
	produce("events");
	ck_assert_int_eq(emit(BLOCKS + 9), BLOCKS);
	ck_assert_int_eq(drain(), BLOCKS);
	numbers = expect_healthy(
		"no-room", "warning",
		"9 events were refused on channel events, class main");
	ck_assert_int_eq(count_in(numbers, "refused"), 9);
	ck_assert_int_eq(count_in(numbers, "refused_now"), 0);
}
END_TEST

START_TEST(events_larger_than_every_block_are_told_with_the_size)
{
	const json_t *numbers;
	char large[200] = "";

	produce("events");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(
			tapio_output(producer, TAG, large, sizeof(large)),
			-EMSGSIZE);
	numbers = expect_healthy(
		"class-too-small", "warning",
		"3 events were refused on channel events since they are "
		"larger than the blocks of class main (64 bytes)");
	ck_assert_int_eq(count_in(numbers, "refused"), 3);
	ck_assert_ptr_nonnull(
		strstr(text_in(found("class-too-small"), "remedy"),
		       "class larger { block = 128 }"));
}
END_TEST

START_TEST(reservations_that_are_not_submitted_are_told)
{
	struct tapio_reservation held[BLOCKS];
	const json_t *numbers;

	produce("events");
	for (int i = 0; i < BLOCKS / 2; i++)
		ck_assert_int_eq(tapio_reserve(producer, TAG, 8, &held[i]), 0);
	ck_assert_int_ne(tapio_reserve(producer, TAG, 8, &held[32]), 0);
	numbers = expect_healthy(
		"too-many-reserved", "warning",
		"1 event was refused on channel events, class main, since "
		"half of a lane was reserved");
	ck_assert_int_eq(count_in(numbers, "held"), BLOCKS / 2);
	for (int i = 0; i < BLOCKS / 2; i++)
		tapio_discard(producer, &held[i]);
}
END_TEST

START_TEST(a_group_that_has_lost_and_caught_up_is_told_and_is_healthy)
{
	const json_t *numbers;

	consume("events", "slow", TAPIO_GROUP_UNTIL);
	produce("events");
	emit(10 * BLOCKS);
	drain();
	numbers =
		expect_healthy("group-lost", "warning",
			       "group slow of channel events (until) has lost");
	ck_assert_int_ge(count_in(numbers, "lost"), 9 * BLOCKS);
}
END_TEST

/* Of a group that is lossless while it has a member. */
START_TEST(a_lossless_group_is_told_to_have_a_member)
{
	static const char lossless[] =
		"hugepages = never\n"
		"channel events { class main { block = 64 blocks = 64 }\n"
		"  group audit { policy = lossless } }\n";

	test_broker_stop(&broker);
	rig_open(lossless);
	produce("events");
	ck_assert_int_eq(emit(3 * BLOCKS), 3 * BLOCKS);
	expect_cause("group-at-lag", "fault", "Of its members: there is none");
	expect_remedy("group-at-lag",
		      "start a member, for example tapio-tail -c events -g "
		      "audit, and keep one running");
	consume("events", "audit", TAPIO_GROUP_DEFAULT);
	drain();
	expect_healthy("group-lost", "warning",
		       "group audit of channel events (lossless) has lost");
	expect_remedy("group-lost",
		      "it is lossless while it has a member, and it had none "
		      "then: keep one running");
}
END_TEST

START_TEST(a_group_that_reads_too_slowly_is_told_with_its_rates)
{
	struct tapio_view view;
	struct running why;
	const json_t *numbers;
	char text[8192] = "";
	const char *line;

	consume("second", "slow", TAPIO_GROUP_UNTIL);
	produce("second");
	emit(200);
	/* Between its two looks: for two that come, one is read. */
	running_start(&why, "tapio-shmstat", "--timeout=30s", "--json",
		      "--interval=200ms", "--channel=second", "why", NULL);
	while (!running_ready(&why, 1)) {
		emit(2);
		if (tapio_poll(consumer, &view, 1, 0) == 1)
			tapio_release(consumer);
	}
	while ((line = running_line(&why)))
		strncat(text, line, sizeof(text) - strlen(text) - 1);
	running_wait(&why);
	close(why.err);
	json_decref(look);
	look = json_loads(text, 0, NULL);
	numbers = expect_said("group-falls-behind", "warning",
			      "group slow of channel second falls behind: ");
	ck_assert(json_number_value(json_object_get(numbers, "published_s")) >
		  json_number_value(json_object_get(numbers, "done_s")));
	ck_assert_int_ge(count_in(numbers, "in_flight"), 200);
}
END_TEST

START_TEST(a_lossy_group_that_is_lapped_is_as_configured)
{
	const json_t *numbers;

	consume("events", "viewer", TAPIO_GROUP_LOSSY);
	produce("events");
	emit(10 * BLOCKS);
	numbers =
		expect_healthy("lossy-lapped", "note",
			       "lossy group viewer of channel events has lost");
	ck_assert_int_ge(count_in(numbers, "lost"), 9 * BLOCKS);
}
END_TEST

/* ---- the broker ---------------------------------------------------------------- */

START_TEST(a_durable_group_without_members_and_a_drained_channel_are_told)
{
	static const char durable[] =
		"channel events { class main { block = 64 blocks = 64 }\n"
		"  group away { } }\n";
	static const char without[] =
		"channel second { class main { block = 64 blocks = 64 } }\n";
	FILE *file;

	test_broker_stop(&broker);
	rig_open(durable);
	produce("events");
	emit(6);
	expect_healthy(
		"group-without-members", "warning",
		"group away of channel events has no member, and 6 events wait for it");
	expect_remedy(
		"group-without-members",
		"tapio-group remove -- events away, or, if tapiod.conf "
		"names it, take it out there, then systemctl reload tapiod");
	file = fopen(broker.config, "we");
	ck_assert_ptr_nonnull(file);
	fputs(without, file);
	fclose(file);
	kill(broker.daemon.pid, SIGHUP);
	do
		shmstat("--json", "channels", NULL, NULL);
	while (!strstr(run.out, "draining"));
	expect_cause("channel-draining", "warning",
		     "channel events was removed from the configuration");
}
END_TEST

/* On commit f2f04f3 the group's name was an option of tapio-group. */
START_TEST(a_remedy_with_an_odd_name_works_as_it_is_printed)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = patient,
		.group = "-it's;\"$HOME\"",
		.durable = 1,
	};
	char line[512];
	const char *begin, *end;

	ck_assert_int_eq(tapio_consumer_open(&consumer, "events", &options), 0);
	tapio_consumer_close(consumer);
	consumer = NULL;
	produce("events");
	emit(6);
	shmstat("--json", "--interval=1ms", "why", NULL);
	begin = text_in(found("group-without-members"), "remedy");
	begin = strstr(begin, "tapio-group remove");
	ck_assert_ptr_nonnull(begin);
	end = strstr(begin, ", or, if");
	ck_assert_ptr_nonnull(end);
	snprintf(line, sizeof(line), TAPIO_BIN "/%.*s", (int)(end - begin),
		 begin);
	ck_assert_msg(!system(line), "%s", line);
	shmstat("--json", "groups", NULL, NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(look, "groups")), 0);
}
END_TEST

START_TEST(a_configuration_that_was_refused_is_told)
{
	FILE *file = fopen(broker.config, "we");

	ck_assert_ptr_nonnull(file);
	fputs("channel events { class main { block = 65 } }\n", file);
	fclose(file);
	kill(broker.daemon.pid, SIGHUP);
	do
		shmstat("--json", "--interval=1ms", "why", NULL);
	while (!found("reload-refused"));
	expect_said("reload-refused", "note",
		    "has refused a changed configuration 1 time");
}
END_TEST

START_TEST(refused_requests_are_counted_between_the_looks)
{
	struct tapio_producer *none;
	struct running why;
	char text[8192] = "";
	const char *line;

	running_start(&why, "tapio-shmstat", "--timeout=30s", "--json",
		      "--interval=300ms", "why", NULL);
	while (!running_ready(&why, 1))
		ck_assert_int_ne(tapio_producer_open(&none, "nix", &patient),
				 0);
	while ((line = running_line(&why)))
		strncat(text, line, sizeof(text) - strlen(text) - 1);
	ck_assert_int_eq(running_wait(&why), 0);
	close(why.err);
	json_decref(look);
	look = json_loads(text, 0, NULL);
	expect_said("requests-refused", "warning", "the broker has refused ");
	expect_healthy("requests-were-refused", "note",
		       "the broker has refused ");
}
END_TEST

START_TEST(nothing_found_says_what_was_looked_at)
{
	pid_t member = member_of("readers", true);
	struct running why;
	char text[8192] = "";
	const char *line;

	produce("events");
	running_start(&why, "tapio-shmstat", "--timeout=30s",
		      "--channel=events", "--interval=200ms", "why", NULL);
	while (!running_ready(&why, 1))
		emit(1);
	while ((line = running_line(&why))) {
		strncat(text, line, sizeof(text) - strlen(text) - 2);
		strcat(text, " ");
	}
	ck_assert_int_eq(running_wait(&why), 0);
	close(why.err);
	ck_assert_msg(!strncmp(text, "nothing found ", 14), "%s", text);
	ck_assert_msg(strstr(text, "1 group and 2 clients, twice within"), "%s",
		      text);
	ck_assert_msg(strstr(text, " 0 refused, 0 lost meanwhile"), "%s", text);
	end(member);
}
END_TEST

/* Each has all that the page says of it. */
START_TEST(the_list_of_causes_is_complete)
{
	json_t *one, *other, *list;
	size_t i, k;

	ck_assert_int_eq(shmstat("--json", "--causes", "why", NULL), 0);
	list = json_object_get(look, "causes");
	ck_assert_uint_gt(json_array_size(list), 40);
	json_array_foreach(list, i, one)
	{
		ck_assert_uint_gt(strlen(text_in(one, "seen")), 10);
		ck_assert_uint_gt(strlen(text_in(one, "sentence")), 10);
		ck_assert_uint_gt(strlen(text_in(one, "remedy")), 8);
		json_array_foreach(list, k, other)
			ck_assert(i == k || strcmp(text_in(one, "cause"),
						   text_in(other, "cause")));
	}
	ck_assert_int_eq(shmstat("--causes", "why", NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(run.out, "group-starves (fault)\n"));
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, without_a_producer_it_says_so);
	tcase_add_test(tc, a_producer_that_emits_nothing_is_told_from_none);
	tcase_add_test(tc,
		       a_member_that_does_not_poll_is_named_with_what_waits);
	tcase_add_test(tc, a_stopped_client_is_named_with_the_way_to_continue);
	tcase_add_test(tc, a_filter_that_passes_nothing_is_the_answer);
	tcase_add_test(tc, what_is_not_there_is_answered_by_what_is);
	tcase_add_test(
		tc, refusals_for_want_of_room_are_told_when_it_is_there_again);
	tcase_add_test(tc,
		       events_larger_than_every_block_are_told_with_the_size);
	tcase_add_test(tc, reservations_that_are_not_submitted_are_told);
	tcase_add_test(
		tc, a_group_that_has_lost_and_caught_up_is_told_and_is_healthy);
	tcase_add_test(tc, a_lossless_group_is_told_to_have_a_member);
	tcase_add_test(tc,
		       a_group_that_reads_too_slowly_is_told_with_its_rates);
	tcase_add_test(tc, lanes_that_no_member_has_taken_are_told);
	tcase_add_test(tc, a_remedy_with_an_odd_name_works_as_it_is_printed);
	tcase_add_test(tc, a_configuration_that_was_refused_is_told);
	tcase_add_test(tc, a_lossy_group_that_is_lapped_is_as_configured);
	tcase_add_test(
		tc,
		a_durable_group_without_members_and_a_drained_channel_are_told);
	tcase_add_test(tc, refused_requests_are_counted_between_the_looks);
	tcase_add_test(tc, nothing_found_says_what_was_looked_at);
	tcase_add_test(tc, the_list_of_causes_is_complete);
}

int main(void)
{
	TCase *tc = tcase_create("shmstat_why");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	add_tests(tc);
	return check_run_case("shmstat_why", tc);
}
