/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of tapio-analyze that share the work: their merged result is that of one, also when
 * they are killed. The losses of a group without members are said.
 */
#include "tests/cli/analyze_rig.h"

#define MEMBERS 4
#define EVENTS  6000

static void start_member(struct running *member)
{
	running_start(member, "tapio-analyze", "events", "-bpid", "-v",
		      "duration_ns", "--distinct=comm", "--top=comm",
		      "--clock=events", "--lateness=1h", "--partials=partials",
		      "-g", "shared", "--durable", "--policy=lossless",
		      "--since=oldest", "--hold=16", "--flush=10ms", NULL);
}

/*
 * Each member but the first is killed once. One stays, since a group without members keeps
 * no more than a lag.
 */
static void emit_on_all_cpus(struct running *members)
{
	cpu_set_t all, one;
	int killed = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	for (int i = 0; i < EVENTS; i++) {
		int cpu = i % 2;

		CPU_ZERO(&one);
		CPU_SET((size_t)cpu, &one);
		if (i % 8 == 0 && CPU_ISSET((size_t)cpu, &all))
			sched_setaffinity(0, sizeof(one), &one);
		emit(i / 100.0, (uint32_t)(1 + i % 7),
		     (uint64_t)i * 7919 % 100003);
		if (i % (EVENTS / MEMBERS) == 500 && killed + 1 < MEMBERS) {
			killed++;
			running_stop(&members[killed], SIGKILL);
			start_member(&members[killed]);
		}
	}
	sched_setaffinity(0, sizeof(all), &all);
}

START_TEST(members_that_are_killed_give_the_result_of_one)
{
	static const char *const marks[] = {"lost", "member", "moved", "keys"};
	struct running merger, single, members[MEMBERS];
	char *merged, *alone, error[4096];

	open_producer("events");
	running_start(&merger, "tapio-analyze", "-j", "-bpid", "-v",
		      "duration_ns", "--distinct=comm", "--top=comm",
		      "--clock=events", "--lateness=1h", "--merge=partials",
		      "--since=oldest", "--silent=1h", "--stats", NULL);
	running_start(&single, "tapio-analyze", "-j", "-bpid", "-v",
		      "duration_ns", "--distinct=comm", "--top=comm",
		      "--clock=events", "--lateness=1h", "-g", "single",
		      "--policy=lossless", "--since=oldest", "--threads=1",
		      NULL);
	for (int i = 0; i < MEMBERS; i++)
		start_member(&members[i]);
	wait_for_group("shared");
	wait_for_group("single");
	emit_on_all_cpus(members);
	/* Then they end in order, and hand on what they have. */
	wait_until_read("shared");
	wait_until_read("single");
	for (int i = 0; i < MEMBERS; i++)
		ck_assert_int_eq(running_stop(&members[i], SIGTERM), 0);
	kill(merger.pid, SIGTERM);
	kill(single.pid, SIGTERM);
	merged = output_of(&merger);
	alone = output_of(&single);
	running_errors(&merger, error, sizeof(error));
	ck_assert_int_eq(running_wait(&merger), 0);
	ck_assert_int_eq(running_wait(&single), 0);
	ck_assert_int_eq(sum_of(alone, "window", "events"), EVENTS);
	ck_assert_msg(sum_of(merged, "window", "events") == EVENTS, "%s%.2000s",
		      error, merged);
	ck_assert_ptr_nonnull(strstr(error, "fit no chain 0"));
	/* Whether it read from the first event on is not known to either. */
	for (int i = 0; i < COUNT(marks); i++) {
		ck_assert(!says_why(merged, marks[i]));
		ck_assert(!says_why(alone, marks[i]));
	}
	without_marks(merged);
	without_marks(alone);
	same_text(merged, alone);
	free(merged);
	free(alone);
}
END_TEST

/* Without any member the group loses events, and tells no later member of it. */
START_TEST(what_a_group_without_members_lost_is_said)
{
	struct running merger, member;
	json_int_t counted;
	char *text;

	stay_on_one_cpu();
	open_producer("events");
	running_start(&merger, "tapio-analyze", "-j", "-bpid", "-v",
		      "duration_ns", "--distinct=comm", "--top=comm",
		      "--clock=events", "--lateness=1h", "--merge=partials",
		      "--since=oldest", "--silent=1h", NULL);
	start_member(&member);
	wait_for_group("shared");
	for (int i = 0; i < 100; i++)
		emit(i / 100.0, 1, 1);
	wait_until_read("shared");
	running_stop(&member, SIGKILL);
	for (int i = 0; i < 3000; i++)
		emit(1, 1, 1);
	start_member(&member);
	for (int i = 0; i < 100; i++)
		emit(2, 1, 1);
	wait_until_read("shared");
	ck_assert_int_eq(running_stop(&member, SIGTERM), 0);
	kill(merger.pid, SIGTERM);
	text = output_of(&merger);
	ck_assert_int_eq(running_wait(&merger), 0);
	counted = sum_of(text, "window", "events");
	ck_assert_int_lt(counted, 3200);
	ck_assert(says_why(text, "lost"));
	ck_assert_int_eq(sum_of(text, "window", "lost"), 3200 - counted);
	free(text);
}
END_TEST

START_TEST(threads_give_the_result_of_one)
{
	struct command one, many;

	open_producer("events");
	for (int i = 0; i < 900; i++)
		emit(i / 30.0, (uint32_t)(i % 5 + 1), (uint64_t)i * 7919);
	command_run(&one, "tapio-analyze", "--since=oldest", "-d0",
		    "--clock=events", "--lateness=1h", "-j", "-bpid", "-v",
		    "duration_ns", "--distinct=comm", NULL);
	command_run(&many, "tapio-analyze", "--since=oldest", "-d0",
		    "--clock=events", "--lateness=1h", "-j", "-bpid", "-v",
		    "duration_ns", "--distinct=comm", "--threads=4", NULL);
	ck_assert_int_eq(one.status, 0);
	ck_assert_int_eq(many.status, 0);
	ck_assert_int_eq(sum_of(one.out, "window", "events"), 900);
	same_text(one.out, many.out);
	command_free(&one);
	command_free(&many);
}
END_TEST

START_TEST(a_member_with_other_options_is_told_of)
{
	struct running merger;
	struct command command;
	char error[4096];

	stay_on_one_cpu();
	open_producer("events");
	emit(1, 1, 1);
	running_start(&merger, "tapio-analyze", "-j", "-bpid",
		      "--merge=partials", "--since=oldest", "--stats", "-d2s",
		      NULL);
	command_run(&command, "tapio-analyze", "-btype", "--partials=partials",
		    "-gx", "--durable", "--since=oldest", "-d0", NULL);
	ck_assert_msg(!command.status, "%s", command.err);
	command_free(&command);
	running_errors(&merger, error, sizeof(error));
	ck_assert_int_eq(running_wait(&merger), 0);
	ck_assert_ptr_nonnull(strstr(error, "has other options"));
	ck_assert_ptr_nonnull(strstr(error, "events 0, "));
	command_run(&command, "tapio-analyze", "--partials=tiny", "-gx",
		    "--durable", NULL);
	ck_assert_int_eq(command.status, 4);
	ck_assert_ptr_nonnull(strstr(command.err, "partial results need 512"));
	command_free(&command);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("members");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, members_that_are_killed_give_the_result_of_one);
	tcase_add_test(tests, what_a_group_without_members_lost_is_said);
	tcase_add_test(tests, threads_give_the_result_of_one);
	tcase_add_test(tests, a_member_with_other_options_is_told_of);
	return check_run_case("analyze_members", tests);
}
