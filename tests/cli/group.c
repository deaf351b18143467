/* SPDX-License-Identifier: Apache-2.0 */
/* tapio-group: its lists, its removals, and its refusals. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "command.h"
#include "running.h"
#include "tests/check_main.h"

#define STRANGER 4321

static const char config[] =
	"channel events { class main { blocks = 64 block = 128 }\n"
	"group audit { policy = lossless } }\n"
	"channel other { class main { blocks = 64 block = 128 } }\n";

static struct test_broker broker;
static struct command run;

static void set_up(void)
{
	test_broker_start(&broker, config);
}

static void tear_down(void)
{
	command_free(&run);
	test_broker_stop(&broker);
}

static struct tapio_consumer *durable(const char *group)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.group = group,
		.durable = 1,
	};
	struct tapio_consumer *c;

	ck_assert_int_eq(tapio_consumer_open(&c, "events", &options), 0);
	return c;
}

#define GROUP(status_, ...)                                                 \
	do {                                                                \
		command_free(&run);                                         \
		command_run(&run, "tapio-group", __VA_ARGS__, NULL);        \
		ck_assert_msg(run.status == (status_), "status %d\n%s\n%s", \
			      run.status, run.out, run.err);                \
	} while (0)

static void emit(int count)
{
	struct tapio_producer *p;

	ck_assert_int_eq(tapio_producer_open(&p, "events", NULL), 0);
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(
			tapio_output(p, TAPIO_TAG(1, 1), &i, sizeof(i)), 0);
	tapio_producer_close(p);
}

/* The line of a group, as its fields. */
static void assert_listed(const char *group, const char *policy,
			  const char *stays, unsigned int members,
			  unsigned int unread)
{
	char name[64], is[64], durable_or_not[64];
	unsigned int in, uid, left, lost;
	const char *line = run.out;

	while ((line = strchr(line, '\n')) && *++line)
		if (sscanf(line, "events %63s %63s %63s %u %u %u %u", name, is,
			   durable_or_not, &in, &uid, &left, &lost) == 7 &&
		    !strcmp(name, group)) {
			ck_assert_str_eq(is, policy);
			ck_assert_str_eq(durable_or_not, stays);
			ck_assert_uint_eq(in, members);
			ck_assert_uint_eq(uid, getuid());
			ck_assert_uint_eq(left, unread);
			ck_assert_uint_eq(lost, 0);
			return;
		}
	ck_abort_msg("%s is not in:\n%s", group, run.out);
}

START_TEST(groups_are_listed_with_what_they_have_not_read)
{
	struct tapio_consumer *c = durable("mine");

	emit(7);
	GROUP(0, "list");
	assert_listed("mine", "until", "durable", 1, 7);
	/* As it was made, also while it has no member. */
	assert_listed("audit", "lossless", "durable", 0, 7);
	tapio_consumer_close(c);
	GROUP(0, "list", "events");
	assert_listed("mine", "until", "durable", 0, 7);
	GROUP(0, "list", "other");
	ck_assert_ptr_null(strstr(run.out, "mine"));
	GROUP(4, "list", "nowhere");
	/* On commit 1ab11d0 the names were not there, but a title of no rows was. */
	ck_assert_str_eq(run.err, "tapio-group: no channel \"nowhere\"; this "
				  "broker has \"events\", \"other\"\n");
	ck_assert_str_eq(run.out, "");
}
END_TEST

START_TEST(a_group_is_removed_when_nobody_is_in_it)
{
	struct tapio_consumer *c = durable("mine");

	GROUP(1, "remove", "events", "mine");
	ck_assert_ptr_nonnull(strstr(run.err, "has 1 member"));
	tapio_consumer_close(c);
	GROUP(0, "remove", "events", "mine");
	ck_assert_str_eq(run.out, "");
	ck_assert_str_eq(run.err, "");
	GROUP(0, "list");
	ck_assert_ptr_null(strstr(run.out, "mine"));
	ck_assert_ptr_nonnull(strstr(run.out, "audit"));
	GROUP(4, "remove", "events", "mine");
	ck_assert_ptr_nonnull(strstr(run.err, "no group \"mine\""));
}
END_TEST

START_TEST(what_cannot_be_removed_is_said)
{
	GROUP(4, "remove", "events", "audit");
	ck_assert_ptr_nonnull(strstr(run.err, "configuration"));
	GROUP(4, "remove", "nowhere", "mine");
	GROUP(1, "remove", "events", "a b");
	GROUP(3, "-s", "/nonexistent/tapio", "remove", "events", "mine");
	GROUP(3, "-s", "/nonexistent/tapio", "list");
	ck_assert_ptr_nonnull(strstr(run.err, "/nonexistent/tapio"));
}
END_TEST

/* The broker's folder is root's alone. On commit f2f04f3 a list was told of no broker, 3. */
START_TEST(a_socket_without_the_right_to_it_is_status_4)
{
	if (geteuid()) {
		puts("becoming another user needs root");
		return;
	}
	ck_assert_int_eq(setresuid(STRANGER, STRANGER, 0), 0);
	GROUP(4, "list");
	GROUP(4, "remove", "events", "mine");
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
}
END_TEST

START_TEST(wrong_usage_is_status_2)
{
	GROUP(2, "remove");
	GROUP(2, "remove", "events");
	GROUP(2, "remove", "events", "mine", "more");
	GROUP(2, "list", "events", "mine");
	GROUP(2, "forget", "events", "mine");
	ck_assert_ptr_nonnull(strstr(run.err, "forget"));
	command_free(&run);
	command_run(&run, "tapio-group", NULL);
	ck_assert_int_eq(run.status, 2);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("group");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, groups_are_listed_with_what_they_have_not_read);
	tcase_add_test(t, a_group_is_removed_when_nobody_is_in_it);
	tcase_add_test(t, what_cannot_be_removed_is_said);
	tcase_add_test(t, a_socket_without_the_right_to_it_is_status_4);
	tcase_add_test(t, wrong_usage_is_status_2);
	return check_run_case("group", t);
}
