/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brokers, libraries and tools of two minor numbers at one socket, with the same major one. "next"
 * is this source with a later minor number of layout and protocol, a message that has
 * grown, and compatible features. "apart" has an incompatible feature besides.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"
#include "tests/fault/replace_world.h"

#define TAPIOD      "tapiod"
#define TAPIOD_NEXT "test_tapiod_next"
#define APART       "test_tapiod_apart"
#define CLIENT      "test_replace_client"
#define CLIENT_NEXT "test_replace_client_next"

static pid_t now;

static void begin(const char *tapiod, const char *consumer,
		  const char *producer)
{
	now = replace_start(tapiod, "--keeper=process", NULL);
	replace_until(false);
	replace_client(consumer, REPLACE_CONSUMER);
	REPLACE_WAIT(tpi_load_acquire(&shared->consumes));
	replace_client(producer, REPLACE_PRODUCER);
	replace_flows();
}

static void replace_by(const char *tapiod)
{
	pid_t next = replace_start(tapiod, "--replace", NULL);

	REPLACE_WAIT(replace_broker() && replace_keeper() == next);
	ck_assert_int_eq(replace_wait(now), 0);
	now = next;
}

/* ---- libraries and brokers ------------------------------------------------------------------ */

static const struct {
	const char *tapiod, *consumer, *producer;
} pairs[] = {
	{TAPIOD_NEXT, CLIENT, CLIENT},
	{TAPIOD, CLIENT_NEXT, CLIENT_NEXT},
	{TAPIOD_NEXT, CLIENT_NEXT, CLIENT},
	{TAPIOD, CLIENT, CLIENT_NEXT},
};

START_TEST(an_older_side_and_a_newer_one_work_together)
{
	pid_t broker;

	begin(pairs[_i].tapiod, pairs[_i].consumer, pairs[_i].producer);
	replace_client(pairs[_i].producer, REPLACE_OPENER);
	REPLACE_WAIT(tpi_load_relaxed(&shared->opens) > 3);
	broker = replace_broker();
	kill(broker, SIGKILL);
	REPLACE_WAIT(replace_broker() && replace_broker() != broker);
	replace_flows();
	replace_finish();
}
END_TEST

/* To the newer one, back, and forth, with a death in each of them. */
START_TEST(the_memory_goes_from_one_to_the_other)
{
	const char *const order[] = {TAPIOD_NEXT, TAPIOD, TAPIOD_NEXT};
	pid_t broker;

	begin(TAPIOD, _i ? CLIENT_NEXT : CLIENT, _i ? CLIENT : CLIENT_NEXT);
	for (int i = 0; i < 3; i++) {
		replace_by(order[i]);
		replace_flows();
		broker = replace_broker();
		kill(broker, SIGKILL);
		REPLACE_WAIT(replace_broker() && replace_broker() != broker);
		replace_flows();
	}
	replace_finish();
}
END_TEST

/* ---- features --------------------------------------------------------------------------------- */

static bool refusal_comes(void)
{
	/* The client has ended. Its words are whole. */
	return waitpid(-1, NULL, WNOHANG) > 0;
}

START_TEST(an_unknown_feature_is_refused_with_both_versions)
{
	const char *error = shared->error[REPLACE_PRODUCER];

	now = replace_start(APART, "--keeper=process", NULL);
	replace_until(false);
	replace_client(_i ? CLIENT_NEXT : CLIENT, REPLACE_PRODUCER);
	REPLACE_WAIT(refusal_comes());
	ck_assert_ptr_nonnull(strstr(error, "Protocol not supported"));
	ck_assert_ptr_nonnull(strstr(error, _i ? "layout 0.8 (features 0)"
					       : "layout 0.7 (features 0)"));
	ck_assert_ptr_nonnull(strstr(error, "is 0.8 (0x20)"));
	ck_assert_ptr_nonnull(strstr(error, "install the same release"));
	replace_end();
}
END_TEST

/* It is said before the one that runs has ended. */
START_TEST(memory_with_an_unknown_feature_is_not_taken_over)
{
	pid_t broker, other;

	now = replace_start(APART, "--keeper=process", NULL);
	replace_until(false);
	broker = replace_broker();
	other = replace_start(TAPIOD, "--replace", NULL);
	ck_assert_int_eq(replace_wait(other), 3);
	ck_assert(replace_log_has(
		"unknown incompatible features 0x20 of layout version 0.8, "
		"this program knows 0.7"));
	ck_assert(replace_log_has("install the same release"));
	ck_assert_int_eq(replace_broker(), broker);
	replace_end();
}
END_TEST

/* Memory keeps the features with which it was made. */
START_TEST(a_broker_that_knows_more_takes_over_memory_that_has_less)
{
	begin(TAPIOD, CLIENT, CLIENT_NEXT);
	replace_by(APART);
	replace_client(CLIENT, REPLACE_OPENER);
	REPLACE_WAIT(tpi_load_relaxed(&shared->opens) > 3);
	replace_by(TAPIOD);
	replace_flows();
	replace_finish();
}
END_TEST

/* ---- tapio-shmstat -------------------------------------------------------------------------- */

/* The memory at the socket, or of a process that maps it. */
static int ask(const char *tool, pid_t pid, const char *part, char *text,
	       size_t bytes)
{
	char command[640], where[128];
	size_t n;
	FILE *out;

	snprintf(where, sizeof(where), "--socket %s", world_socket);
	if (pid)
		snprintf(where, sizeof(where), "--pid %d", pid);
	snprintf(command, sizeof(command), TEST_BIN "/%s --json %s %s 2>&1",
		 tool, where, part);
	out = popen(command, "re");
	ck_assert_ptr_nonnull(out);
	n = fread(text, 1, bytes - 1, out);
	text[n] = '\0';
	return WEXITSTATUS(pclose(out));
}

static void shows(const char *tool, pid_t pid, const char *layout)
{
	static char text[1 << 16];

	/* A broker that is dead is a fault, and nothing is broken. */
	ck_assert_msg(ask(tool, pid, "broker", text, sizeof(text)) == (pid > 0),
		      "%s", text);
	ck_assert_msg(strstr(text, layout) != NULL, "%s", text);
	ck_assert_msg(ask(tool, pid, "check", text, sizeof(text)) == (pid > 0),
		      "%s", text);
	ck_assert_msg(strstr(text, "\"broken\": 0,") != NULL, "%s", text);
}

static const struct {
	const char *tapiod, *tool, *layout;
} looks[] = {
	{TAPIOD_NEXT, "tapio-shmstat", "\"abi\": \"0.8\""},
	{TAPIOD, "test_shmstat_next", "\"abi\": \"0.7\""},
};

/* Of the broker that runs, and of one that is dead, whose client goes on. */
START_TEST(a_tool_looks_into_memory_of_another_minor_number)
{
	pid_t broker, client;

	broker = replace_start(looks[_i].tapiod, "--no-keeper", NULL);
	REPLACE_WAIT(replace_broker());
	client = replace_client(CLIENT, REPLACE_CONSUMER);
	REPLACE_WAIT(tpi_load_acquire(&shared->consumes));
	shows(looks[_i].tool, 0, looks[_i].layout);
	kill(broker, SIGKILL);
	replace_wait(broker);
	if (!geteuid())
		shows(looks[_i].tool, client, looks[_i].layout);
	tpi_store_relaxed(&shared->stop_all, 1);
	ck_assert_int_eq(replace_wait(client), 0);
}
END_TEST

START_TEST(a_tool_names_what_it_does_not_know)
{
	static char text[1 << 16];

	replace_start(APART, "--keeper=process", NULL);
	replace_until(false);
	ck_assert_int_ne(ask("tapio-shmstat", 0, "broker", text, sizeof(text)),
			 0);
	ck_assert_msg(strstr(text, "0.8") && strstr(text, "0x20") &&
			      strstr(text, "0.7") &&
			      strstr(text, "install the same release"),
		      "%s", text);
	replace_end();
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("versions");

	_Static_assert(TAPIO_ABI_MAJOR == 0 && TAPIO_ABI_MINOR == 7,
		       "next is 0.8 here and in CMakeLists.txt");
	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, replace_set_up, replace_tear_down);
	tcase_add_loop_test(c, an_older_side_and_a_newer_one_work_together, 0,
			    4);
	tcase_add_loop_test(c, the_memory_goes_from_one_to_the_other, 0, 2);
	tcase_add_loop_test(c, an_unknown_feature_is_refused_with_both_versions,
			    0, 2);
	tcase_add_test(c, memory_with_an_unknown_feature_is_not_taken_over);
	tcase_add_test(
		c, a_broker_that_knows_more_takes_over_memory_that_has_less);
	tcase_add_loop_test(c, a_tool_looks_into_memory_of_another_minor_number,
			    0, 2);
	tcase_add_test(c, a_tool_names_what_it_does_not_know);
	return check_run_case("versions", c);
}
