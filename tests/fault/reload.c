/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A changed configuration for a broker that serves: changes that are taken or refused, and
 * that a refusal changes nothing. With clients of other uids, so the test runs as root.
 */
#include <check.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/lane/lane.h"
#include "lib/lane/ledger.h"
#include "tests/fault/peer.h"
#include "tests/check_main.h"

#define USER  4321
#define OTHER 4322

#define GLOBALS        "budget = 64M\n"
#define CLASS          "class main { block = 64 blocks = 64 side_lanes = 4 }\n"
#define REST           "channel other { " CLASS " }\n"
#define RULE           "allow user { uid = {\"4321\"} role = {produce, consume} }\n"
#define EVENTS(inside) GLOBALS "channel events { " CLASS inside " }\n" REST
#define CONFIG         EVENTS("group audit { policy = until lag = 16 }") RULE

static struct tapio_broker *broker;
static struct peer producer;
static char said[512];

static void set_up(void)
{
	broker = broker_start(CONFIG);
	peer_open(&producer, broker, TAPIO_ROLE_PRODUCE, NULL);
}

static void tear_down(void)
{
	peer_close(&producer);
	tapio_broker_stop(broker);
}

static int reload(const char *text)
{
	return tapio_broker_reload(broker, text, said, sizeof(said));
}

static void must_reload(const char *text)
{
	int err = reload(text);

	ck_assert_msg(!err, "%s: %s", strerror(-err), said);
}

static const struct tapio_shm_broker *record(void)
{
	return producer.catalog.broker;
}

/* ---- clients ------------------------------------------------------------------- */

static int try_open(struct peer *peer, uint32_t role, const char *channel,
		    const char *group)
{
	int err;

	peer_connect(peer, broker);
	err = peer_hello(peer);
	return err ? err : peer_attach(peer, role, channel, group, 0, 0, 0);
}

/* In a child of that uid. The errno, or 0. */
static int open_as(uid_t uid, uint32_t role, const char *channel,
		   const char *group)
{
	struct peer peer;
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (setgroups(0, NULL) || setgid(uid) || setuid(uid))
			_exit(199);
		_exit(-try_open(&peer, role, channel, group));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_ne(WEXITSTATUS(status), 199);
	return WEXITSTATUS(status);
}

static int produce_as(uid_t uid, const char *channel)
{
	return open_as(uid, TAPIO_ROLE_PRODUCE, channel, NULL);
}

/* The slot of a group of `events`, or NULL. */
static const struct tapio_shm_group *group(const char *name)
{
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		const struct tapio_shm_group *g = &producer.catalog.groups[i];
		/* ORDER group.slot (acquire): pairs with show_slot(). */
		uint64_t word = tpi_load_acquire(&g->slot);

		if (TAPIO_SLOT_STATE(word) == TAPIO_SLOT_ACTIVE &&
		    !strcmp(g->name, name))
			return g;
	}
	return NULL;
}

static uint64_t word_of(const char *name)
{
	const struct tapio_shm_group *g = group(name);

	ck_assert_ptr_nonnull(g);
	/* ORDER group.slot (acquire): pairs with show_slot(). */
	return tpi_load_acquire(&g->slot);
}

static void emit(const struct tpi_gating *gating, int count)
{
	struct tpi_lane *lane =
		&producer.channel.lanes[producer.channel.side_first[0]];

	while (count--)
		ck_assert_int_eq(tpi_lane_output(lane, gating,
						 TAPIO_DESC_META(1, 0, 4), 0,
						 "abcd", 4),
				 0);
}

/* ---- what is refused ------------------------------------------------------------ */

#define ANOTHER_NAME "give the channel another name, or begin with new memory"

static const struct {
	const char *text; /* without the rules */
	const char *difference;
	const char *remedy;
} restarts[] = {
	{"socket = \"@x\" " EVENTS(""), "socket: default -> @x",
	 "needs a restart"},
	{"budget = 1M\n channel events { " CLASS "}\n" REST,
	 "budget: 67108864 -> 1048576", "bytes are in use: raise budget"},
	{"channels_max = 3 " EVENTS(""), "channels_max: 18 -> 3", "leave it"},
	{EVENTS("full = wait"), "channel \"events\": full: drop -> wait",
	 ANOTHER_NAME},
	{EVENTS("wait = 7ms"),
	 "channel \"events\": wait (ns): 100000000 -> 7000000", ANOTHER_NAME},
	{EVENTS("stamp = clock"), "channel \"events\": stamp: tsc -> clock",
	 ANOTHER_NAME},
	{EVENTS("class more { block = 128 blocks = 64 }"),
	 "channel \"events\": number of classes: 1 -> 2", ANOTHER_NAME},
	{GLOBALS REST "channel events { class main { block = 128 blocks = 64 "
		      "side_lanes = 4 } }\n",
	 "channel \"events\", class \"main\": block: 64 -> 128", ANOTHER_NAME},
	{GLOBALS REST "channel events { class main { block = 64 blocks = 128 "
		      "side_lanes = 4 side_blocks = 64 } }\n",
	 "channel \"events\", class \"main\": blocks: 64 -> 128", ANOTHER_NAME},
	{GLOBALS REST "channel events { class main { block = 64 blocks = 64 "
		      "side_lanes = 5 } }\n",
	 "channel \"events\", class \"main\": side_lanes: 4 -> 5",
	 ANOTHER_NAME},
	{GLOBALS REST "channel events { class main { block = 64 blocks = 64 "
		      "side_lanes = 4 side_blocks = 32 } }\n",
	 "channel \"events\", class \"main\": side_blocks: 64 -> 32",
	 ANOTHER_NAME},
	{GLOBALS REST "channel events { class main { block = 64 blocks = 64 "
		      "side_lanes = 4 priority = 3 } }\n",
	 "channel \"events\", class \"main\": priority: 0 -> 3", ANOTHER_NAME},
	{GLOBALS REST "channel events { class best { block = 64 blocks = 64 "
		      "side_lanes = 4 } }\n",
	 "channel \"events\", class \"main\": name: main -> best",
	 ANOTHER_NAME},
	{GLOBALS REST "channel events { isolation = process class main { block "
		      "= 64 blocks = 64 } }\n",
	 "channel \"events\": isolation: channel -> process", ANOTHER_NAME},
};
#define RESTARTS (int)(sizeof(restarts) / sizeof(restarts[0]))

/* With a group more, a group less and another rule: none of that may come through. */
START_TEST(what_shapes_memory_is_refused_by_name_and_nothing_changes)
{
	uint64_t generation = producer.catalog.channels[0].generation;
	char text[2048], line[512];

	snprintf(text, sizeof(text),
		 "%s allow other { uid = {\"4322\"} role = {produce} }\n",
		 restarts[_i].text);
	ck_assert_int_eq(reload(text), -EBUSY);
	ck_assert_msg(strstr(said, restarts[_i].difference), "%s", said);
	ck_assert_msg(strstr(said, restarts[_i].remedy), "%s", said);
	snprintf(line, sizeof(line), "reload: %s: ", restarts[_i].difference);
	ck_assert(broker_said(line));
	ck_assert(broker_said("reload: refused, nothing has changed"));
	ck_assert_uint_eq(record()->reload_refusals, 1);
	ck_assert_uint_eq(record()->reloads, 0);
	ck_assert_uint_eq(producer.catalog.channels[0].generation, generation);
	ck_assert_ptr_nonnull(group("audit"));
	ck_assert_int_eq(produce_as(USER, "events"), 0);
	ck_assert_int_eq(produce_as(OTHER, "events"), EACCES);
}
END_TEST

/* The same lines in another order, each default spelt out, and numbers left open. */
START_TEST(the_same_in_other_words_is_no_difference)
{
	must_reload(RULE REST "budget = 67108864 hugepages = auto\n"
			      "channel events {\n"
			      "  group audit { lag = 16 }\n"
			      "  stamp = tsc full = drop wait = 100000us\n"
			      "  class main { side_lanes = 4 blocks = 64\n"
			      "    side_blocks = 64 block = 64 priority = 0 }\n"
			      "}\n");
	ck_assert_uint_eq(record()->reloads, 1);
	/* The order of the file is not that of the channels. */
	ck_assert_int_eq(produce_as(USER, "events"), 0);
	ck_assert_int_eq(produce_as(USER, "other"), 0);
	must_reload(CONFIG);
	ck_assert_int_eq(produce_as(USER, "other"), 0);
	must_reload(RULE GLOBALS REST "channel events { group audit { lag = 16 "
				      "} class main { block = 64 } }\n");
	ck_assert_int_eq(produce_as(USER, "events"), 0);
}
END_TEST

static const char *const garbage[] = {
	"channel events {",
	"\001\002\377",
	"budget = many",
	EVENTS("") "allow nobody { role = {produce} }\n",
	EVENTS("") "clients_max = 3 clients_reserved = 3\n",
	EVENTS("groups_max = 1 group a {} group b {}"),
	EVENTS("/* without an end"),
};
#define GARBAGE (int)(sizeof(garbage) / sizeof(garbage[0]))

START_TEST(garbage_is_refused_and_nothing_changes)
{
	ck_assert_int_eq(reload(garbage[_i]), -EINVAL);
	ck_assert(said[0]);
	ck_assert_uint_eq(record()->reload_refusals, 1);
	ck_assert_ptr_nonnull(group("audit"));
	ck_assert_int_eq(produce_as(USER, "events"), 0);
}
END_TEST

START_TEST(a_broker_without_a_file_wants_a_text)
{
	ck_assert_int_eq(reload(NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said, "without a file"));
}
END_TEST

/* ---- rules and shares ---------------------------------------------------------------- */

START_TEST(rules_hold_for_the_next_request_and_clients_keep_what_they_have)
{
	struct tpi_gating gating;
	struct peer own;
	int to_child[2], to_parent[2], status;
	char byte = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(to_child) + pipe(to_parent), 0);
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setgid(USER) || setuid(USER) ||
		    try_open(&own, TAPIO_ROLE_PRODUCE, "events", NULL))
			_exit(1);
		/* Attached. Then its rule is gone, and it goes on. */
		if (write(to_parent[1], &byte, 1) != 1 ||
		    read(to_child[0], &byte, 1) != 1)
			_exit(2);
		peer_map_slots(&own, &gating);
		if (tpi_lane_output(
			    &own.channel.lanes[own.channel.side_first[0]],
			    &gating, TAPIO_DESC_META(1, 0, 4), 0, "abcd", 4))
			_exit(3);
		if (peer_detach(&own) < 0)
			_exit(4);
		/* It let go, and asks anew. */
		_exit(-peer_attach(&own, TAPIO_ROLE_PRODUCE, "events", NULL, 0,
				   0, 0));
	}
	ck_assert_int_eq(read(to_parent[0], &byte, 1), 1);
	must_reload(EVENTS("group audit { policy = until lag = 16 }"));
	ck_assert_int_eq(produce_as(USER, "events"), EACCES);
	ck_assert_int_eq(write(to_child[1], &byte, 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), EACCES);
	must_reload(CONFIG "allow other { uid = {\"4322\"} channel = \"oth*\" "
			   "role = {produce} }\n");
	ck_assert_int_eq(produce_as(USER, "events"), 0);
	ck_assert_int_eq(produce_as(OTHER, "other"), 0);
	ck_assert_int_eq(produce_as(OTHER, "events"), EACCES);
	for (int i = 0; i < 2; i++) {
		close(to_child[i]);
		close(to_parent[i]);
	}
}
END_TEST

START_TEST(trust_in_the_owner_is_taken_and_given_back)
{
	struct peer peer;

	must_reload("trust_owner = no " CONFIG);
	ck_assert_int_eq(try_open(&peer, TAPIO_ROLE_PRODUCE, "events", NULL),
			 -EACCES);
	peer_close(&peer);
	must_reload(CONFIG);
	ck_assert_int_eq(try_open(&peer, TAPIO_ROLE_PRODUCE, "events", NULL),
			 0);
	peer_close(&peer);
}
END_TEST

START_TEST(limits_below_what_is_there_bind_newcomers_only)
{
	struct peer peer[3];

	for (int i = 0; i < 2; i++)
		peer_open(&peer[i], broker, TAPIO_ROLE_PRODUCE, NULL);
	must_reload("clients_max = 2 clients_reserved = 0 " CONFIG);
	ck_assert_uint_eq(record()->clients_max, 2);
	ck_assert_int_eq(try_open(&peer[2], TAPIO_ROLE_PRODUCE, "events", NULL),
			 -EUSERS);
	peer_close(&peer[2]);
	ck_assert_int_ge(peer_detach(&peer[0]), 0);
	must_reload("uid_clients_max = 1 " CONFIG);
	ck_assert_uint_eq(record()->clients_max, 1024);
	ck_assert_int_eq(try_open(&peer[2], TAPIO_ROLE_PRODUCE, "events", NULL),
			 0);
	peer_close(&peer[2]);
	must_reload("clients_max = 16000 " CONFIG);
	ck_assert_uint_eq(record()->clients_max, 16000);
	for (int i = 0; i < 2; i++)
		peer_close(&peer[i]);
}
END_TEST

START_TEST(groups_max_binds_the_next_group)
{
	struct peer a, b;

	ck_assert_int_eq(try_open(&a, TAPIO_ROLE_CONSUME, "events", "a"), 0);
	must_reload(EVENTS("groups_max = 2 group audit { lag = 16 }"));
	ck_assert_int_eq(try_open(&b, TAPIO_ROLE_CONSUME, "events", "b"),
			 -EUSERS);
	peer_close(&b);
	must_reload(EVENTS("groups_max = 3 group audit { lag = 16 }"));
	ck_assert_int_eq(try_open(&b, TAPIO_ROLE_CONSUME, "events", "b"), 0);
	peer_close(&a);
	peer_close(&b);
}
END_TEST

/* ---- groups ---------------------------------------------------------------------------- */

START_TEST(a_new_group_is_made_and_open_to_all)
{
	ck_assert_int_eq(open_as(USER, TAPIO_ROLE_CONSUME, "events", "fresh"),
			 0);
	must_reload(EVENTS("group audit { lag = 16 }\n"
			   "group more { policy = lossless lag = 8 }") RULE);
	ck_assert_ptr_nonnull(
		strstr(said, "groups: 1 made, 0 changed, 0 ended"));
	ck_assert_uint_eq(group("more")->policy, TAPIO_GROUP_LOSSLESS);
	/* Nobody is there yet. */
	ck_assert_uint_eq(TAPIO_SLOT_POLICY(word_of("more")),
			  TAPIO_GROUP_UNTIL);
	ck_assert_int_eq(open_as(USER, TAPIO_ROLE_CONSUME, "events", "more"),
			 0);
	ck_assert_int_eq(peer_remove(&producer, "events", "more"), -EPERM);
}
END_TEST

START_TEST(a_removed_group_with_nothing_unread_ends)
{
	must_reload(EVENTS("") RULE);
	ck_assert_ptr_nonnull(strstr(said, "1 ended, 0 left"));
	ck_assert_ptr_null(group("audit"));
}
END_TEST

START_TEST(a_removed_group_with_unread_events_stays_until_it_is_ended)
{
	struct tpi_gating gating;

	peer_map_slots(&producer, &gating);
	emit(&gating, 9);
	must_reload(EVENTS("") RULE);
	ck_assert_ptr_nonnull(strstr(said, "0 ended, 1 left"));
	ck_assert(broker_said("it has 0 members and 9 unread events"));
	ck_assert_ptr_nonnull(group("audit"));
	/* It is no longer everybody's. */
	ck_assert_int_eq(open_as(USER, TAPIO_ROLE_CONSUME, "events", "audit"),
			 EACCES);
	/* The line comes back: so does the group, with its events. */
	must_reload(CONFIG);
	ck_assert_ptr_nonnull(strstr(said, "groups: 0 made"));
	ck_assert_int_eq(open_as(USER, TAPIO_ROLE_CONSUME, "events", "audit"),
			 0);
	must_reload(EVENTS("") RULE);
	ck_assert_int_eq(peer_remove(&producer, "events", "audit"), 0);
	ck_assert_ptr_null(group("audit"));
}
END_TEST

START_TEST(a_removed_group_keeps_its_members)
{
	struct peer member;

	ck_assert_int_eq(
		try_open(&member, TAPIO_ROLE_CONSUME, "events", "audit"), 0);
	must_reload(EVENTS("") RULE);
	ck_assert_ptr_nonnull(strstr(said, "0 ended, 1 left"));
	ck_assert(broker_said("it has 1 member and 0 unread events"));
	ck_assert_uint_eq(group("audit")->members, 1);
	ck_assert_int_eq(peer_remove(&producer, "events", "audit"), -EBUSY);
	ck_assert_int_ge(peer_detach(&member), 0);
	ck_assert_uint_eq(group("audit")->members, 0);
	ck_assert_int_eq(peer_remove(&producer, "events", "audit"), 0);
	peer_close(&member);
}
END_TEST

START_TEST(a_changed_group_needs_to_be_without_members)
{
	struct peer member;

	ck_assert_int_eq(
		try_open(&member, TAPIO_ROLE_CONSUME, "events", "audit"), 0);
	ck_assert_int_eq(
		reload(EVENTS("group audit { policy = until lag = 20 "
			      "takeover = never } group more {}") RULE),
		-EBUSY);
	ck_assert_ptr_nonnull(
		strstr(said, "policy until, lag 16, takeover 30000000000 ns -> "
			     "until, 20, -1 ns, and it has 1 member"));
	ck_assert_ptr_null(group("more"));
	ck_assert_uint_eq(TAPIO_SLOT_LAG(word_of("audit")), 16);
	ck_assert_int_ge(peer_detach(&member), 0);
	must_reload(EVENTS("group audit { policy = until lag = 20 takeover = "
			   "never }") RULE);
	ck_assert_ptr_nonnull(strstr(said, "1 changed"));
	ck_assert_uint_eq(TAPIO_SLOT_LAG(word_of("audit")), 20);
	ck_assert_uint_eq(group("audit")->takeover_ns, TAPIO_TAKEOVER_NEVER);
	peer_close(&member);
}
END_TEST

/*
 * A lossy group holds nothing, so the gate is past its head when it becomes one that
 * holds up to a lag. Its head goes on at the gate, and the ledger balances: otherwise each
 * look of the broker would find an impossible gate.
 */
START_TEST(a_lossy_group_becomes_one_that_holds_and_its_ledger_balances)
{
	uint32_t side = producer.channel.side_first[0];
	struct tpi_lane *lane = &producer.channel.lanes[side];
	struct tpi_gating gating;
	struct tpi_ledger ledger;
	struct peer member;

	must_reload(EVENTS("group audit { policy = lossy }") RULE);
	peer_map_slots(&producer, &gating);
	emit(&gating, 100);
	must_reload(EVENTS("group audit { policy = until lag = 60 }") RULE);
	ck_assert_int_eq(
		try_open(&member, TAPIO_ROLE_CONSUME, "events", "audit"), 0);
	ck_assert_int_eq(tpi_ledger_read(lane, group("audit"),
					 &member.cursors.cursors[side],
					 &ledger),
			 0);
	ck_assert_uint_eq(ledger.faults, 0);
	ck_assert_uint_eq(ledger.published, 100);
	ck_assert_uint_eq(ledger.lost + ledger.in_flight, 100);
	ck_assert_uint_ge(ledger.lost, 36);
	ck_assert_uint_eq(ledger.overrun, 0);
	ck_assert_uint_gt(ledger.in_flight, 0);
	/* Up to its lag it holds the lane, and no further. */
	for (int i = 0; i < 1000; i++)
		(void)tpi_lane_output(lane, &gating, TAPIO_DESC_META(1, 0, 4),
				      0, "abcd", 4);
	ck_assert_int_eq(tpi_ledger_read(lane, group("audit"),
					 &member.cursors.cursors[side],
					 &ledger),
			 0);
	ck_assert_uint_eq(ledger.faults, 0);
	peer_close(&member);
}
END_TEST

START_TEST(a_name_that_a_client_has_taken_is_refused)
{
	struct peer member;

	ck_assert_int_eq(
		try_open(&member, TAPIO_ROLE_CONSUME, "events", "mine"), 0);
	ck_assert_int_eq(
		reload(EVENTS("group audit { lag = 16 } group first {} "
			      "group mine {}") RULE),
		-EBUSY);
	ck_assert_ptr_nonnull(strstr(said, "has made a group \"mine\""));
	ck_assert_ptr_null(group("first"));
	peer_close(&member);
}
END_TEST

/* The 64th slot is the last. What was made before it is undone. */
START_TEST(without_a_slot_nothing_is_made)
{
	static struct peer peers[TAPIO_GROUP_SLOTS - 2];
	char name[16];

	must_reload(EVENTS("groups_max = 64 group audit { lag = 16 }") RULE);
	for (int i = 0; i < TAPIO_GROUP_SLOTS - 2; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		ck_assert_int_eq(
			try_open(&peers[i], TAPIO_ROLE_CONSUME, "events", name),
			0);
	}
	ck_assert_int_eq(reload(EVENTS("groups_max = 64 group audit { lag = 16 "
				       "} group y {} group z {}")),
			 -EUSERS);
	ck_assert_ptr_nonnull(strstr(said, "group slots are in use"));
	ck_assert_ptr_null(group("y"));
	ck_assert_int_eq(produce_as(USER, "events"), 0);
	must_reload(EVENTS("groups_max = 64 group audit { lag = 16 } group y "
			   "{}") RULE);
	ck_assert_ptr_nonnull(group("y"));
	for (int i = 0; i < TAPIO_GROUP_SLOTS - 2; i++)
		peer_close(&peers[i]);
}
END_TEST

/* ---- the message ------------------------------------------------------------------------- */

static int ask(struct peer *peer, char *text, size_t bytes)
{
	union tpi_wire_message m;
	int type;

	tpi_wire_init(&m, TPI_WIRE_RELOAD);
	ck_assert_int_ge(peer_send(peer, &m, m.header.length, NULL, 0), 0);
	type = peer_receive(peer, &m);
	if (type == TPI_WIRE_REFUSED) {
		snprintf(text, bytes, "%s", m.refused.text);
		return m.refused.error;
	}
	ck_assert_int_eq(type, TPI_WIRE_RELOADED);
	return 0;
}

static int ask_as_user(void)
{
	struct peer peer;

	if (setgroups(0, NULL) || setgid(USER) || setuid(USER))
		return 199;
	peer_connect(&peer, broker);
	return -ask(&peer, said, sizeof(said));
}

START_TEST(only_the_owner_may_ask_for_a_reload)
{
	struct peer peer;
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(ask_as_user());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), EPERM);
	ck_assert_uint_eq(record()->reload_refusals, 0);
	/* Without HELLO, and after it. This broker has no file. */
	peer_connect(&peer, broker);
	ck_assert_int_eq(ask(&peer, said, sizeof(said)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said, "without a file"));
	/* peer_hello() looks there, for a refusal of its own. */
	memset(&peer.refused, 0, sizeof(peer.refused));
	ck_assert_int_eq(peer_hello(&peer), 0);
	ck_assert_int_eq(ask(&peer, said, sizeof(said)), -EINVAL);
	ck_assert_uint_eq(record()->reload_refusals, 2);
	peer_close(&peer);
}
END_TEST

static int reload_in_child(void)
{
	char text[128];
	int err = tapio_broker_reload(broker, CONFIG, text, sizeof(text));

	return err == -ECHILD && strstr(text, "has the broker") ? 0 : 1;
}

START_TEST(a_forked_child_reloads_nothing)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(reload_in_child());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(record()->reloads, 0);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *suite;

	if (geteuid()) {
		puts("skipped: it needs root, for clients of other uids");
		return 77;
	}
	suite = suite_create("reload");
	c = tcase_create("reload");
	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(
		c, what_shapes_memory_is_refused_by_name_and_nothing_changes, 0,
		RESTARTS);
	tcase_add_test(c, the_same_in_other_words_is_no_difference);
	tcase_add_loop_test(c, garbage_is_refused_and_nothing_changes, 0,
			    GARBAGE);
	tcase_add_test(c, a_broker_without_a_file_wants_a_text);
	tcase_add_test(
		c,
		rules_hold_for_the_next_request_and_clients_keep_what_they_have);
	tcase_add_test(c, trust_in_the_owner_is_taken_and_given_back);
	tcase_add_test(c, limits_below_what_is_there_bind_newcomers_only);
	tcase_add_test(c, groups_max_binds_the_next_group);
	tcase_add_test(c, a_new_group_is_made_and_open_to_all);
	tcase_add_test(c, a_removed_group_with_nothing_unread_ends);
	tcase_add_test(
		c, a_removed_group_with_unread_events_stays_until_it_is_ended);
	tcase_add_test(c, a_removed_group_keeps_its_members);
	tcase_add_test(c, a_changed_group_needs_to_be_without_members);
	tcase_add_test(
		c,
		a_lossy_group_becomes_one_that_holds_and_its_ledger_balances);
	tcase_add_test(c, a_name_that_a_client_has_taken_is_refused);
	tcase_add_test(c, without_a_slot_nothing_is_made);
	tcase_add_test(c, only_the_owner_may_ask_for_a_reload);
	tcase_add_test(c, a_forked_child_reloads_nothing);
	suite_add_tcase(suite, c);
	return check_run(suite);
}
