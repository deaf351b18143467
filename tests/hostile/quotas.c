/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One user takes all that the broker has: connections, groups, descriptors in flight,
 * names. The others are served all the same, and so is a burst of honest opens.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <tapio/producer.h>

#include "tests/check_main.h"
#include "tests/fault/peer.h"
#include "tests/hostile/honest.h"

#define RULES                                                        \
	HONEST_RULES                                                 \
	"allow attacker { uid = {61006}  role = {consume, inspect} " \
	"}\n"
#define CONFIG HONEST_CHANNEL RULES

static struct world world;

/* As many descriptors as most systems give to a process that asks for no more. */
static void set_up(void)
{
	world = (struct world){.files = 1024};
	world_start(&world, CONFIG);
}

static void tear_down(void)
{
	world_assert_serves(&world, "events");
	world_stop(&world);
}

/* While one user has what it could get, an honest pair of others comes and works. */
static void others_are_served_beside(void (*attack)(struct role *))
{
	struct honest pair = {0};
	struct role attacker;

	role_start_uid(&attacker, WORLD_ATTACKER, attack, NULL);
	role_hear(&attacker);
	honest_start(&pair, &world);
	honest_receive(&pair, 5000);
	world_assert_serves(&world, "events");
	honest_end(&pair);
	honest_free(&pair);
	role_tell(&attacker, 1);
	role_end(&attacker);
}

/* ---- connections ------------------------------------------------------------------------- */

#define MOST 2000 /* more than there are of anything */

static void say_hello(struct peer *p)
{
	union tpi_wire_message m;

	peer_init_hello(&m);
	peer_send(p, &m, m.header.length, NULL, 0);
}

/* WELCOME, and its descriptor is closed. */
static bool is_welcome(struct peer *p)
{
	union tpi_wire_message m;
	int type = peer_receive(p, &m);

	for (unsigned int i = 0; i < p->fd_count; i++)
		close(p->fds[i]);
	return type == TPI_WIRE_WELCOME;
}

static void take_connections(struct role *self)
{
	static struct peer peers[MOST];
	int count = 0;

	for (; count < MOST; count++) {
		peer_connect_to(&peers[count], world.socket);
		say_hello(&peers[count]);
		if (!is_welcome(&peers[count]))
			break;
	}
	ck_assert_int_lt(count, MOST);
	role_tell(self, (uint64_t)count);
	role_hear(self);
}

START_TEST(one_user_cannot_take_all_clients)
{
	others_are_served_beside(take_connections);
}
END_TEST

/* ---- groups -------------------------------------------------------------------------------- */

static void take_groups(struct role *self)
{
	static struct peer peers[TAPIO_GROUP_SLOTS + 1];
	int count = 0;
	char name[16];

	for (; count <= TAPIO_GROUP_SLOTS; count++) {
		struct peer *p = &peers[count];

		snprintf(name, sizeof(name), "g%d", count);
		peer_connect_to(p, world.socket);
		ck_assert_int_eq(peer_hello(p), 0);
		if (peer_attach(p, TAPIO_ROLE_CONSUME, "events", name, 0, 0, 0))
			break;
	}
	ck_assert_int_le(count, TAPIO_GROUP_SLOTS);
	role_tell(self, (uint64_t)count);
	role_hear(self);
}

START_TEST(one_user_cannot_take_all_groups)
{
	others_are_served_beside(take_groups);
}
END_TEST

/* ---- answers that are not read --------------------------------------------------------------- */

#define DEAF 200

static void read_nothing(struct role *self)
{
	static struct peer peers[DEAF];
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_ATTACH);
	m.attach.role = TAPIO_ROLE_INSPECT;
	strcpy(m.attach.channel, "events");
	for (int i = 0; i < DEAF; i++) {
		peer_connect_to(&peers[i], world.socket);
		say_hello(&peers[i]);
		peer_send(&peers[i], &m, m.header.length, NULL, 0);
	}
	role_tell(self, 1);
	role_hear(self);
}

START_TEST(answers_that_a_user_does_not_read_stop_no_one_else)
{
	others_are_served_beside(read_nothing);
}
END_TEST

/* ---- honest bursts ------------------------------------------------------------------------------ */

#define BURST     200
#define PROCESSES 8

static void open_many(struct role *self)
{
	static struct tapio_producer *p[BURST / PROCESSES];
	char error[512] = "";
	struct tapio_options options =
		world_options(&world, error, sizeof(error));

	role_hear(self); /* all at once */
	for (int i = 0; i < BURST / PROCESSES; i++) {
		int err = tapio_producer_open(&p[i], "events", &options);

		ck_assert_msg(!err, "open %d: %d: %s", i, err, error);
	}
	role_tell(self, 1);
	role_hear(self);
	for (int i = 0; i < BURST / PROCESSES; i++)
		tapio_producer_close(p[i]);
}

START_TEST(an_honest_burst_of_opens_is_served)
{
	struct role roles[PROCESSES];

	for (int i = 0; i < PROCESSES; i++)
		role_start_uid(&roles[i], WORLD_PRODUCER, open_many, NULL);
	for (int i = 0; i < PROCESSES; i++)
		role_tell(&roles[i], 1);
	for (int i = 0; i < PROCESSES; i++)
		role_hear(&roles[i]);
	for (int i = 0; i < PROCESSES; i++)
		role_tell(&roles[i], 1);
	for (int i = 0; i < PROCESSES; i++)
		role_end(&roles[i]);
}
END_TEST

static void open_one(struct role *self)
{
	char error[512] = "";
	struct tapio_options options =
		world_options(&world, error, sizeof(error));
	struct tapio_producer *p;
	int err;

	role_hear(self); /* all at once */
	err = tapio_producer_open(&p, "events", &options);
	ck_assert_msg(!err, "open: %d: %s", err, error);
	role_tell(self, 1);
	role_hear(self);
	tapio_producer_close(p);
}

START_TEST(two_hundred_processes_open_at_once)
{
	static struct role roles[BURST];

	for (int i = 0; i < BURST; i++)
		role_start_uid(&roles[i], WORLD_PRODUCER, open_one, NULL);
	for (int i = 0; i < BURST; i++)
		role_tell(&roles[i], 1);
	for (int i = 0; i < BURST; i++)
		role_hear(&roles[i]);
	for (int i = 0; i < BURST; i++)
		role_tell(&roles[i], 1);
	for (int i = 0; i < BURST; i++)
		role_end(&roles[i]);
}
END_TEST

/* As many connections at once, of which none has said HELLO yet. */
static void connect_many(struct role *self)
{
	static struct peer peers[BURST];
	int welcome = 0;

	(void)self;
	for (int i = 0; i < BURST; i++)
		peer_connect_to(&peers[i], world.socket);
	for (int i = 0; i < BURST; i++)
		say_hello(&peers[i]);
	for (int i = 0; i < BURST; i++)
		welcome += is_welcome(&peers[i]);
	ck_assert_int_eq(welcome, BURST);
}

START_TEST(a_burst_of_connections_is_served)
{
	role_run(&(struct role_as){.uid = WORLD_PRODUCER}, connect_many, NULL);
}
END_TEST

/* ---- names --------------------------------------------------------------------------------------- */

#define NAMES 263000 /* an index of the table has 262,142 names */

/* However few clients there may be, all indices are used. */
static void wear_out_names(struct role *self)
{
	union tpi_wire_message m;
	struct peer p;

	(void)self;
	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), 0);
	for (int i = 0; i < NAMES; i++) {
		uint32_t name;

		tpi_wire_init(&m, TPI_WIRE_ATTACH);
		m.attach.role = TAPIO_ROLE_CONSUME;
		strcpy(m.attach.channel, "events");
		peer_send(&p, &m, m.header.length, NULL, 0);
		ck_assert_msg(peer_receive(&p, &m) == TPI_WIRE_ATTACHED,
			      "attach %d: %s", i, p.refused.text);
		for (unsigned int n = 0; n < p.fd_count; n++)
			close(p.fds[n]);
		name = m.attached.attachment;
		tpi_wire_init(&m, TPI_WIRE_DETACH);
		m.detach.attachment = name;
		peer_send(&p, &m, m.header.length, NULL, 0);
		ck_assert_int_eq(peer_receive(&p, &m), TPI_WIRE_DETACHED);
	}
}

START_TEST(names_of_attachments_do_not_run_out)
{
	if (CHECK_SANITIZED) {
		puts("not tried: too many rounds for a sanitizer");
		return;
	}
	world_stop(&world);
	world = (struct world){0};
	world_start(&world, "clients_max = 1\n" CONFIG);
	role_run(&(struct role_as){.uid = WORLD_ATTACKER}, wear_out_names,
		 NULL);
}
END_TEST

int main(void)
{
	const char *reason = role_reason();
	struct rlimit files;
	TCase *c;

	getrlimit(RLIMIT_NOFILE, &files);
	if (!reason && files.rlim_cur < MOST + 100)
		reason = "needs 2100 descriptors (ulimit -n)";
	if (reason) {
		puts(reason);
		return 77;
	}
	c = tcase_create("quotas");
	tcase_add_test(c, two_hundred_processes_open_at_once);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, one_user_cannot_take_all_clients);
	tcase_add_test(c, one_user_cannot_take_all_groups);
	tcase_add_test(c, answers_that_a_user_does_not_read_stop_no_one_else);
	tcase_add_test(c, an_honest_burst_of_opens_is_served);
	tcase_add_test(c, a_burst_of_connections_is_served);
	tcase_add_test(c, names_of_attachments_do_not_run_out);
	return check_run_case("quotas", c);
}
