/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat check` as a command: its text, its JSON and its exit statuses. */
#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_world.h"
#include "command.h"
#include "tests/check_main.h"

static struct check_world w;
static struct command run;
static json_t *look;

static void setup(void)
{
	check_world_open(&w);
}

static void teardown(void)
{
	json_decref(look);
	look = NULL;
	command_free(&run);
	check_world_close(&w);
}

/* Of the process that has that number. */
static void check(pid_t pid, int status)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--json", "--pid", text, "check",
		    NULL);
	ck_assert_msg(run.status == status, "status %d: %s%s", run.status,
		      run.out, run.err);
	json_decref(look);
	look = json_loads(run.out, JSON_REJECT_DUPLICATES, NULL);
}

static long long number(const char *key)
{
	ck_assert(json_is_integer(json_object_get(look, key)));
	return json_integer_value(json_object_get(look, key));
}

static json_t *only_finding(const char *rule, const char *severity)
{
	json_t *list = json_object_get(look, "findings");
	json_t *f = json_array_get(list, 0);

	ck_assert_msg(json_array_size(list) == 1, "%s", run.out);
	ck_assert_str_eq(json_string_value(json_object_get(f, "rule")), rule);
	ck_assert_str_eq(json_string_value(json_object_get(f, "severity")),
			 severity);
	return f;
}

static void break_lane(void)
{
	struct tapio_shm_lane *lane =
		check_world_writable(&w, (const void *)w.idle->shm);

	lane->state = TAPIO_STATE(64, 65);
}

/* It is a fault by itself (why.h), and no rule is about it. */
START_TEST(the_memory_of_a_stopped_broker_is_clean)
{
	const json_t *checked, *faults;

	check(w.broker.daemon.pid, 1);
	ck_assert(json_is_false(json_object_get(look, "healthy")));
	faults = json_object_get(look, "faults");
	ck_assert_uint_eq(json_array_size(faults), 1);
	ck_assert_str_eq(json_string_value(json_object_get(
				 json_array_get(faults, 0), "cause")),
			 "broker-stopped");
	ck_assert(json_is_true(json_object_get(look, "followed")));
	ck_assert_int_eq(number("broken"), 0);
	ck_assert_int_eq(number("suspicious"), 0);
	ck_assert_int_eq(number("unsettled"), 0);
	checked = json_object_get(look, "checked");
	ck_assert_int_eq(json_integer_value(json_object_get(checked, "rules")),
			 TPI_RULES);
	ck_assert_int_eq(json_integer_value(json_object_get(checked, "groups")),
			 1);
	ck_assert_int_eq(
		json_integer_value(json_object_get(checked, "attachments")), 3);
}
END_TEST

START_TEST(a_live_broker_is_asked_and_clean)
{
	ck_assert_int_eq(kill(w.broker.daemon.pid, SIGCONT), 0);
	command_run(&run, "tapio-shmstat", "--timeout", "30s", "check", NULL);
	ck_assert_msg(run.status == 0, "%s%s", run.out, run.err);
	ck_assert_ptr_nonnull(strstr(run.out,
				     "0 broken, 0 suspicious, 0 unsettled, 0 "
				     "faults"));
}
END_TEST

START_TEST(a_finding_is_status_1_with_its_numbers)
{
	char text[16];
	json_t *f;

	break_lane();
	check(w.broker.daemon.pid, 1);
	ck_assert(json_is_false(json_object_get(look, "healthy")));
	f = only_finding("lane.held", "broken");
	ck_assert_str_eq(json_string_value(json_object_get(f, "page")),
			 "lane.md");
	ck_assert_int_eq(json_integer_value(json_object_get(f, "lane")),
			 w.idle->id);
	f = json_object_get(f, "numbers");
	ck_assert_int_eq(json_integer_value(json_object_get(f, "held")), 65);
	ck_assert_int_eq(json_integer_value(json_object_get(f, "blocks")), 64);
	command_free(&run);
	snprintf(text, sizeof(text), "%d", (int)w.broker.daemon.pid);
	command_run(&run, "tapio-shmstat", "--pid", text, "check", NULL);
	ck_assert_int_eq(run.status, 1);
	ck_assert_ptr_nonnull(strstr(run.out, "lane.held broken: channel 0 "
					      "(events)"));
	ck_assert_ptr_nonnull(strstr(run.out, "held 65, blocks 64"));
	ck_assert_ptr_nonnull(strstr(run.out, "1 broken, 0 suspicious"));
}
END_TEST

/* A block that no process holds is in no other part of the tool. */
START_TEST(what_check_finds_broken_is_not_healthy)
{
	static const char *const parts[] = {"broker", "lanes", "ledger"};
	char pid[16];
	uint64_t *desc =
		check_world_writable(&w, (const void *)&w.idle->desc[5]);

	desc[0] = desc[1];
	snprintf(pid, sizeof(pid), "%d", (int)w.broker.daemon.pid);
	for (size_t i = 0; i < 3; i++) {
		command_free(&run);
		command_run(&run, "tapio-shmstat", "--json", "--pid", pid,
			    parts[i], NULL);
		ck_assert_int_eq(run.status, 1);
		json_decref(look);
		look = json_loads(run.out, 0, NULL);
		ck_assert(json_is_false(json_object_get(look, "healthy")));
		ck_assert_int_eq(number("broken"), 1);
	}
	command_free(&run);
	command_run(&run, "tapio-shmstat", "--pid", pid, "lanes", NULL);
	ck_assert_ptr_nonnull(strstr(run.out, "rules-broken"));
}
END_TEST

START_TEST(memory_that_cannot_be_followed_is_status_6)
{
	struct tapio_shm_place *place = check_world_writable(
		&w, (const void *)&w.inspect->catalog.places[0]);
	struct tapio_shm_header *header = check_world_writable(
		&w, (const void *)w.inspect->catalog.map.base);

	place->block_offset = UINT64_MAX - 63;
	check(w.broker.daemon.pid, 6);
	only_finding("channel.record", "broken");
	ck_assert(json_is_false(json_object_get(look, "followed")));
	header->region_count = 1;
	check(w.broker.daemon.pid, 6);
	ck_assert_uint_gt(strlen(run.err), 0);
}
END_TEST

/* Its memory lives on in this process. */
START_TEST(a_killed_broker_is_suspicious_and_the_rest_is_checked)
{
	json_t *checked;

	kill(w.broker.daemon.pid, SIGKILL);
	running_wait(&w.broker.daemon);
	check(getpid(), geteuid() ? 5 : 1);
	if (!geteuid()) {
		only_finding("broker.gone", "suspicious");
		checked = json_object_get(look, "checked");
		ck_assert_int_eq(json_integer_value(json_object_get(
					 checked, "attachments")),
				 3);
	}
	test_broker_restart(&w.broker);
}
END_TEST

START_TEST(no_broker_is_status_3)
{
	command_run(&run, "tapio-shmstat", "--socket", "/nonexistent/tapio",
		    "check", NULL);
	ck_assert_int_eq(run.status, 3);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("shmstat_check_tool");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, the_memory_of_a_stopped_broker_is_clean);
	tcase_add_test(c, a_live_broker_is_asked_and_clean);
	tcase_add_test(c, a_finding_is_status_1_with_its_numbers);
	tcase_add_test(c, what_check_finds_broken_is_not_healthy);
	tcase_add_test(c, memory_that_cannot_be_followed_is_status_6);
	tcase_add_test(c,
		       a_killed_broker_is_suspicious_and_the_rest_is_checked);
	tcase_add_test(c, no_broker_is_status_3);
	return check_run_case("shmstat_check_tool", c);
}
