/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESUME by those that have no right to an attachment, and by those that ask twice: each is
 * refused with its reason, and its owner goes on with it.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tests/fault/cut_broker.h"
#include "tests/fault/peer.h"

static char name[64];
static struct peer owner;
static uint32_t id;

static void say_hello(struct peer *peer)
{
	peer_connect_to(peer, name);
	ck_assert_int_eq(peer_hello(peer), 0);
}

static void set_up(void)
{
	snprintf(name, sizeof(name), "@tapio-test-resume-%d", getpid());
	cut_broker_start(
		"trust_owner = true\n"
		"channel t { class main { block = 64 blocks = 64 } }\n"
		"allow all { any = true role = {produce, consume, inspect} }\n",
		name);
	say_hello(&owner);
	ck_assert_int_eq(
		peer_attach(&owner, TAPIO_ROLE_PRODUCE, "t", NULL, 0, 0, 0), 0);
	id = owner.attached.attachment;
}

static int resume(struct peer *peer, uint32_t attachment)
{
	union tpi_wire_message m;
	int type;

	tpi_wire_init(&m, TPI_WIRE_RESUME);
	m.resume.attachment = attachment;
	ck_assert_int_eq(peer_send(peer, &m, m.header.length, NULL, 0), 0);
	type = peer_receive(peer, &m);
	if (type == TPI_WIRE_RESUMED) {
		ck_assert_uint_eq(m.resumed.attachment, attachment);
		return 0;
	}
	ck_assert_int_eq(type, TPI_WIRE_REFUSED);
	ck_assert(m.refused.text[0]);
	ck_assert_int_lt(m.refused.error, 0);
	return m.refused.error;
}

/* A new connection of its owner gets it, and can do with it what the first one could. */
static void owner_goes_on(void)
{
	struct tpi_wire_fetched fetched;
	struct peer again;

	ck_assert_uint_eq(cut_lingering(), 1);
	say_hello(&again);
	ck_assert_int_eq(resume(&again, id), 0);
	ck_assert_uint_eq(cut_lingering(), 0);
	again.attached.attachment = id;
	ck_assert_int_eq(peer_fetch(&again, 1, &fetched), 0);
	again.attached.attachment = id;
	ck_assert_int_eq(peer_detach(&again), 0);
	peer_close(&again);
}

static void tear_down(void)
{
	peer_close(&owner);
	ck_assert_uint_eq(cut_attached(), 0);
	ck_assert_uint_eq(cut_lingering(), 0);
	cut_broker_stop();
}

START_TEST(only_the_name_of_an_attachment_will_do)
{
	const uint32_t others[] = {
		0,
		UINT32_MAX,
		TAPIO_ATTACHMENT_ID(1, 1), /* the broker's own */
		id + TAPIO_ATTACHMENT_ID(0, 1),
		id + 1,
		TAPIO_ATTACHMENT_ID(0x3fff, 1),
		id ^ 0x80000000u,
	};
	struct peer again;

	cut(true);
	say_hello(&again);
	for (unsigned int i = 0; i < sizeof(others) / sizeof(*others); i++)
		ck_assert_int_eq(resume(&again, others[i]), -ENOENT);
	peer_close(&again);
	owner_goes_on();
}
END_TEST

START_TEST(an_attachment_with_a_connection_is_not_given_away)
{
	struct tpi_wire_fetched fetched;
	struct peer again;

	say_hello(&again);
	ck_assert_int_eq(resume(&again, id), -EBUSY);
	/* Not even to the connection that has it. */
	ck_assert_int_eq(resume(&owner, id), -EBUSY);
	ck_assert_int_eq(peer_fetch(&owner, 1, &fetched), 0);
	cut(true);
	ck_assert_int_eq(resume(&again, id), 0);
	ck_assert_int_eq(resume(&again, id), -EBUSY);
	/* It has one. */
	ck_assert_int_eq(
		peer_attach(&again, TAPIO_ROLE_PRODUCE, "t", NULL, 0, 0, 0),
		-EBUSY);
	again.attached.attachment = id;
	ck_assert_int_eq(peer_detach(&again), 0);
	ck_assert_int_eq(resume(&again, id), -ENOENT);
	peer_close(&again);
}
END_TEST

START_TEST(a_connection_with_an_attachment_gets_no_second_one)
{
	struct peer again;

	cut(true);
	say_hello(&again);
	ck_assert_int_eq(
		peer_attach(&again, TAPIO_ROLE_PRODUCE, "t", NULL, 0, 0, 0), 0);
	ck_assert_int_eq(resume(&again, id), -EBUSY);
	ck_assert_int_eq(peer_detach(&again), 0);
	peer_close(&again);
	owner_goes_on();
}
END_TEST

START_TEST(before_hello_there_is_no_resume)
{
	union tpi_wire_message m;
	struct peer again;

	cut(true);
	peer_connect_to(&again, name);
	tpi_wire_init(&m, TPI_WIRE_RESUME);
	m.resume.attachment = id;
	ck_assert_int_eq(peer_send(&again, &m, m.header.length, NULL, 0), 0);
	ck_assert_int_eq(peer_receive(&again, &m), TPI_WIRE_REFUSED);
	ck_assert_int_eq(m.refused.error, -EPROTO);
	ck_assert_int_eq(peer_receive(&again, &m), 0);
	peer_close(&again);
	owner_goes_on();
}
END_TEST

/* Another process, and (_i) another uid of the same one. */
START_TEST(another_process_or_uid_gets_nothing)
{
	struct peer thief;
	int status;
	pid_t pid;

	cut(true);
	if (_i && geteuid()) {
		fprintf(stderr, "skipped: becoming another uid needs root\n");
	} else if (_i) {
		ck_assert_int_eq(seteuid(65533), 0);
		say_hello(&thief);
		ck_assert_int_eq(resume(&thief, id), -ENOENT);
		peer_close(&thief);
		ck_assert_int_eq(seteuid(0), 0);
	} else {
		pid = fork();
		if (!pid) {
			say_hello(&thief);
			ck_assert_int_eq(resume(&thief, id), -ENOENT);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
	}
	owner_goes_on();
}
END_TEST

/* Whatever epochs it says, the broker only compares them. */
START_TEST(any_epochs_are_taken)
{
	union tpi_wire_message m;
	struct peer again;

	cut(true);
	say_hello(&again);
	tpi_wire_init(&m, TPI_WIRE_RESUME);
	m.resume.attachment = id;
	memset(m.resume.epochs, 0xff, sizeof(m.resume.epochs));
	ck_assert_int_eq(peer_send(&again, &m, m.header.length, NULL, 0), 0);
	ck_assert_int_eq(peer_receive(&again, &m), TPI_WIRE_RESUMED);
	again.attached.attachment = id;
	ck_assert_int_eq(peer_detach(&again), 0);
	peer_close(&again);
}
END_TEST

/*
 * As after an answer that was lost, with the connection (_i) still there or cut. A handle of
 * another name, and one without, leave it alone.
 */
START_TEST(a_handle_that_asks_again_has_one_attachment)
{
	struct peer first, again, other;
	uint32_t lost;

	say_hello(&first);
	first.handle = 7;
	ck_assert_int_eq(
		peer_attach(&first, TAPIO_ROLE_PRODUCE, "t", NULL, 0, 0, 0), 0);
	lost = first.attached.attachment;
	if (!_i)
		cut(true);
	say_hello(&other);
	other.handle = 8;
	ck_assert_int_eq(
		peer_attach(&other, TAPIO_ROLE_PRODUCE, "t", NULL, 0, 0, 0), 0);
	ck_assert_uint_eq(cut_attached(), 3);
	say_hello(&again);
	again.handle = 7;
	ck_assert_int_eq(
		peer_attach(&again, TAPIO_ROLE_PRODUCE, "t", NULL, 0, 0, 0), 0);
	ck_assert_uint_ne(again.attached.attachment, lost);
	ck_assert_uint_eq(cut_attached(), 3);
	ck_assert_int_eq(peer_detach(&other), 0);
	ck_assert_int_eq(resume(&other, lost), -ENOENT);
	ck_assert_int_eq(peer_detach(&again), 0);
	peer_close(&first);
	peer_close(&other);
	peer_close(&again);
	if (_i)
		ck_assert_int_eq(peer_detach(&owner), 0);
	else
		owner_goes_on();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resume_hostile");
	TCase *c = tcase_create("hostile");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, only_the_name_of_an_attachment_will_do);
	tcase_add_test(c, an_attachment_with_a_connection_is_not_given_away);
	tcase_add_test(c, a_connection_with_an_attachment_gets_no_second_one);
	tcase_add_test(c, before_hello_there_is_no_resume);
	tcase_add_loop_test(c, another_process_or_uid_gets_nothing, 0, 2);
	tcase_add_test(c, any_epochs_are_taken);
	tcase_add_loop_test(c, a_handle_that_asks_again_has_one_attachment, 0,
			    2);
	suite_add_tcase(suite, c);
	return check_run(suite);
}
