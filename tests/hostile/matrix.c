/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix: user x role x channel. A table says for each cell what the broker
 * answers, and for each grant which of the segments that came can be written. The
 * rights of docs/design/memory.md are these, and no value that a client sends, no
 * namespace and no way to open a file again changes them.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tests/fault/peer.h"
#include "tests/hostile/grant.h"
#include "tests/hostile/world.h"

/* ---- the table --------------------------------------------------------------------- */

#define CLASS "class m { block = 64  blocks = 64  side_lanes = 1 }"
#define CONFIG                                                           \
	"channel open { " CLASS " group shared { policy = until } }\n"   \
	"channel closed { " CLASS " group shared { policy = until } }\n" \
	"allow p { channel = open  uid = {61001}  role = {produce} }\n"  \
	"allow c { channel = open  uid = {61002}  role = {consume} }\n"  \
	"allow l { channel = open  uid = {61003}\n"                      \
	"          role = {consume, lossless} }\n"                       \
	"allow i { channel = open  uid = {61004}  role = {inspect} }\n"  \
	"allow o { channel = open  uid = {61007}  role = {lossless} }\n" \
	"allow d { channel = open  uid = {61008}\n"                      \
	"          role = {consume, durable} }\n"                        \
	"allow e { channel = open  uid = {61009}\n"                      \
	"          role = {consume, lossless, durable} }\n"              \
	"allow nobody { channel = none  uid = {65534}  role = {produce} }\n"
#define DISTRUST "trust_owner = false\n" CONFIG
/*
 * Requests, in the order of a row's characters: produce, consume, consume
 * in a lossless group, consume in a durable group, inspect, join the group of the
 * configuration, join a durable group that root has made, and remove that group.
 */
enum {
	PRODUCE,
	CONSUME,
	LOSSLESS,
	DURABLE,
	INSPECT,
	SHARED,
	JOIN,
	REMOVE,
	ASKED
};

/* A row's characters. */
static const struct {
	char letter;
	int error;
} answers[] = {
	{'+', 0},
	{'a', -EACCES}, /* no right to the role, or another's group */
	{'p', -EPERM},  /* no right to that kind of group */
	{'n', -ENOENT}, /* no such channel */
	{'h', -EACCES}, /* already the HELLO: no right to anything */
};

#define NONE "hhhhhhhh"
static const struct row {
	const char *who;
	struct role_as as;
	const char *config;
	const char *open, *closed, *missing; /* by channel */
} rows[] = {
	{"root", {.uid = 0}, CONFIG, "++++++++", "++++++++", "nnnnnnnn"},
	{"the broker's user",
	 {.uid = WORLD_BROKER},
	 CONFIG,
	 "++++++++",
	 "++++++++",
	 "nnnnnnnn"},
	{"root, not trusted", {.uid = 0}, DISTRUST, NONE, NONE, NONE},
	{"the broker's user, not trusted",
	 {.uid = WORLD_BROKER},
	 DISTRUST,
	 NONE,
	 NONE,
	 NONE},
	{"produce",
	 {.uid = WORLD_PRODUCER},
	 CONFIG,
	 "+aaaaaaa",
	 "aaaaaaaa",
	 "nnnnnnnn"},
	{"consume",
	 {.uid = WORLD_CONSUMER},
	 CONFIG,
	 "a+ppa+aa",
	 "aaaaaaaa",
	 "nnnnnnnn"},
	{"lossless",
	 {.uid = WORLD_LOSSLESS},
	 CONFIG,
	 "a++pa+aa",
	 "aaaaaaaa",
	 "nnnnnnnn"},
	{"inspect",
	 {.uid = WORLD_INSPECTOR},
	 CONFIG,
	 "aaaa+aaa",
	 "aaaaaaaa",
	 "nnnnnnnn"},
	{"lossless without consume",
	 {.uid = 61007},
	 CONFIG,
	 "aaaaaaaa",
	 "aaaaaaaa",
	 "nnnnnnnn"},
	{"durable", {.uid = 61008}, CONFIG, "a+p+a+aa", "aaaaaaaa", "nnnnnnnn"},
	{"durable and lossless",
	 {.uid = 61009},
	 CONFIG,
	 "a+++a+aa",
	 "aaaaaaaa",
	 "nnnnnnnn"},
	{"no right", {.uid = WORLD_NO_RIGHT}, CONFIG, NONE, NONE, NONE},
	/* Inside of a namespace it is root, or 65534. The kernel knows better. */
	{"no right, root in a user namespace",
	 {.uid = WORLD_NO_RIGHT, .user_ns = true, .pid_ns = true},
	 CONFIG,
	 NONE,
	 NONE,
	 NONE},
	{"consume, root in a user namespace",
	 {.uid = WORLD_CONSUMER, .user_ns = true, .pid_ns = true},
	 CONFIG,
	 "a+ppa+aa",
	 "aaaaaaaa",
	 "nnnnnnnn"},
	{"consume, unmapped in a user namespace",
	 {.uid = WORLD_CONSUMER, .unmapped = true},
	 CONFIG,
	 "a+ppa+aa",
	 "aaaaaaaa",
	 "nnnnnnnn"},
	{"65534", {.uid = 65534}, CONFIG, "aaaaaaaa", "aaaaaaaa", "nnnnnnnn"},
};
#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

/*
 * Root of a container, which is root for the kernel. It is not the broker's own: it
 * lives in another PID or user namespace.
 */
static const struct row containers[] = {
	{"root in a PID namespace",
	 {.uid = 0, .pid_ns = true},
	 CONFIG,
	 NONE,
	 NONE,
	 NONE},
	{"root in a user namespace",
	 {.uid = 0, .user_ns = true},
	 CONFIG,
	 NONE,
	 NONE,
	 NONE},
};

static struct world world;

/* ---- asking --------------------------------------------------------------------------- */

static const char *const asked_names[ASKED] = {
	"produce", "consume",     "lossless",    "durable",
	"inspect", "join shared", "join root's", "remove root's"};

static int ask(struct peer *p, int what, const char *channel)
{
	char own[32];

	snprintf(own, sizeof(own), "own-%d", what);
	switch (what) {
	case PRODUCE:
		return peer_attach(p, TAPIO_ROLE_PRODUCE, channel, NULL, 0, 0,
				   0);
	case CONSUME:
		return peer_attach(p, TAPIO_ROLE_CONSUME, channel, NULL, 0, 0,
				   0);
	case LOSSLESS:
		return peer_attach(p, TAPIO_ROLE_CONSUME, channel, own,
				   TAPIO_GROUP_LOSSLESS, 0, 0);
	case DURABLE:
		return peer_attach(p, TAPIO_ROLE_CONSUME, channel, own, 0, 0,
				   TPI_ATTACH_DURABLE);
	case INSPECT:
		return peer_attach(p, TAPIO_ROLE_INSPECT, channel, NULL, 0, 0,
				   0);
	case SHARED:
		return peer_attach(p, TAPIO_ROLE_CONSUME, channel, "shared", 0,
				   0, 0);
	case JOIN:
		return peer_attach(p, TAPIO_ROLE_CONSUME, channel, "roots", 0,
				   0, 0);
	default:
		return peer_remove(p, channel, "roots");
	}
}

static int error_of(char letter)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (answers[i].letter == letter)
			return answers[i].error;
	ck_abort_msg("no answer '%c'", letter);
	return 0;
}

static uint32_t role_of(int what)
{
	if (what == PRODUCE)
		return TAPIO_ROLE_PRODUCE;
	return what == INSPECT ? TAPIO_ROLE_INSPECT : TAPIO_ROLE_CONSUME;
}

static void try_cell(const struct row *row, const char *channel, int what,
		     char letter)
{
	bool owner = !row->as.uid || row->as.uid == WORLD_BROKER;
	struct peer p;
	int err;

	peer_connect_to(&p, world.socket);
	err = peer_hello(&p);
	ck_assert_msg((err == -EACCES) == (letter == 'h'), "%s: HELLO: %d: %s",
		      row->who, err, p.refused.text);
	if (!err)
		err = ask(&p, what, channel);
	ck_assert_msg(err == error_of(letter),
		      "%s on channel %s: %s: %d (%s), and not '%c'", row->who,
		      channel, asked_names[what], err, p.refused.text, letter);
	if (!err && what != REMOVE) {
		grant_check(&p, role_of(what), owner);
		ck_assert_int_ge(peer_detach(&p), 0);
	}
	peer_close(&p);
}

static void try_row(struct role *self)
{
	const struct row *row = self->arg;

	for (int what = 0; what < ASKED; what++) {
		try_cell(row, "open", what, row->open[what]);
		try_cell(row, "closed", what, row->closed[what]);
		try_cell(row, "missing", what, row->missing[what]);
	}
}

/* ---- the rows ---------------------------------------------------------------------------- */

/* Root's durable group on both channels, without a member. */
static void make_groups(struct role *self)
{
	static const char *const channels[] = {"open", "closed"};
	struct peer p;

	(void)self;
	for (int i = 0; i < 2; i++) {
		peer_connect_to(&p, world.socket);
		ck_assert_int_eq(peer_hello(&p), 0);
		ck_assert_int_eq(peer_attach(&p, TAPIO_ROLE_CONSUME,
					     channels[i], "roots", 0, 0,
					     TPI_ATTACH_DURABLE),
				 0);
		ck_assert_int_eq(peer_detach(&p), 0);
		peer_close(&p);
	}
}

static void run_row(const struct row *row)
{
	const struct role_as root = {0};

	if ((row->as.user_ns || row->as.unmapped) &&
	    !role_may_unshare(row->as.uid)) {
		printf("not tried, no user namespaces: %s\n", row->who);
		return;
	}
	world = (struct world){0};
	world_start(&world, row->config);
	if (!strstr(row->config, "trust_owner"))
		role_run(&root, make_groups, NULL);
	role_run(&row->as, try_row, (void *)row);
	world_stop(&world);
}

START_TEST(every_user_gets_what_the_table_says_and_no_more)
{
	run_row(&rows[_i]);
}
END_TEST

START_TEST(root_of_a_container_has_no_rights_by_that)
{
	run_row(&containers[_i]);
}
END_TEST

/* A broker in a user namespace takes each user that this does not map for 65534. */
static void be_refused(struct role *self)
{
	struct peer p;

	(void)self;
	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), -EACCES);
	peer_close(&p);
}

static void be_served(struct role *self)
{
	struct peer p;

	(void)self;
	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), 0);
	ck_assert_int_eq(ask(&p, PRODUCE, "open"), 0);
	grant_check(&p, TAPIO_ROLE_PRODUCE, false);
	peer_close(&p);
}

static void with_broker_in_user_namespace(const char *config, uid_t uid,
					  void (*body)(struct role *self))
{
	const struct role_as as = {.uid = uid};

	world = (struct world){.uid_map = "0 61000 1\n61001 61001 1\n"};
	world_start(&world, config);
	role_run(&as, body, NULL);
	world_stop(&world);
}

START_TEST(a_broker_in_a_user_namespace_knows_those_whom_it_maps)
{
	with_broker_in_user_namespace(CONFIG, WORLD_PRODUCER, be_served);
}
END_TEST

/* The root outside is not the root that the broker runs as. */
START_TEST(a_broker_in_a_user_namespace_trusts_no_one_whom_it_does_not_map)
{
	static const uid_t uids[] = {WORLD_NO_RIGHT, WORLD_CONSUMER, 0};

	with_broker_in_user_namespace("channel open { " CLASS " }\n", uids[_i],
				      be_refused);
}
END_TEST

/* So a rule for 65534 is one for all of them. It is not for those that are mapped. */
START_TEST(a_rule_for_65534_is_for_those_whom_the_broker_does_not_map)
{
	static const struct {
		uid_t uid;
		void (*body)(struct role *self);
	} cases[] = {
		{WORLD_NO_RIGHT, be_served},
		{65534, be_served},
		{WORLD_PRODUCER, be_refused},
	};

	with_broker_in_user_namespace(
		"channel open { " CLASS " }\n"
		"allow unmapped { uid = {65534}  role = {produce} }\n",
		cases[_i].uid, cases[_i].body);
}
END_TEST

/* ---- the catalog, and the broker itself ---------------------------------------------------- */

static void look_at_catalog(struct role *self)
{
	union tpi_wire_message m;
	struct peer p;

	(void)self;
	peer_connect_to(&p, world.socket);
	tpi_wire_init(&m, TPI_WIRE_HELLO);
	m.hello.abi_major = TAPIO_ABI_MAJOR;
	m.hello.abi_minor = TAPIO_ABI_MINOR;
	m.hello.pid = (uint32_t)getpid();
	ck_assert_int_eq(peer_send(&p, &m, m.header.length, NULL, 0), 0);
	ck_assert_int_eq(peer_receive(&p, &m), TPI_WIRE_WELCOME);
	ck_assert_uint_eq(p.fd_count, 1);
	grant_check_fd(p.fds[0], false, false);
	close(p.fds[0]);
	close(p.sock);
}

START_TEST(no_user_can_write_the_catalog)
{
	static const uid_t uids[] = {WORLD_PRODUCER, WORLD_CONSUMER,
				     WORLD_LOSSLESS, WORLD_INSPECTOR};

	world = (struct world){0};
	world_start(&world, CONFIG);
	for (size_t i = 0; i < sizeof(uids) / sizeof(uids[0]); i++)
		role_run(&(struct role_as){.uid = uids[i]}, look_at_catalog,
			 NULL);
	world_stop(&world);
}
END_TEST

/* Files of the broker that another user would like to read. */
static void reach_into_broker(struct role *self)
{
	static const char *const files[] = {"mem", "fd", "fd/10", "map_files",
					    "environ"};
	char path[64];

	(void)self;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", world.pid,
			 files[i]);
		ck_assert_int_eq(open(path, O_RDONLY | O_CLOEXEC), -1);
		ck_assert_int_eq(errno, EACCES);
	}
	ck_assert_int_eq((int)ptrace(PTRACE_SEIZE, world.pid, NULL, NULL), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(kill(world.pid, SIGSTOP), -1);
	ck_assert_int_eq(errno, EPERM);
}

START_TEST(no_other_user_reaches_into_the_broker)
{
	static const uid_t uids[] = {WORLD_PRODUCER, WORLD_NO_RIGHT, 65534};

	world = (struct world){0};
	world_start(&world, CONFIG);
	for (size_t i = 0; i < sizeof(uids) / sizeof(uids[0]); i++)
		role_run(&(struct role_as){.uid = uids[i]}, reach_into_broker,
			 NULL);
	world_stop(&world);
}
END_TEST

int main(void)
{
	const char *reason = role_reason();
	TCase *c;

	if (reason) {
		puts(reason);
		return 77;
	}
	c = tcase_create("matrix");
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, every_user_gets_what_the_table_says_and_no_more,
			    0, ROWS);
	tcase_add_test(c,
		       a_broker_in_a_user_namespace_knows_those_whom_it_maps);
	tcase_add_test(c, no_user_can_write_the_catalog);
	tcase_add_test(c, no_other_user_reaches_into_the_broker);
	tcase_add_loop_test(
		c,
		a_broker_in_a_user_namespace_trusts_no_one_whom_it_does_not_map,
		0, 3);
	tcase_add_loop_test(c, root_of_a_container_has_no_rights_by_that, 0, 2);
	tcase_add_loop_test(
		c, a_rule_for_65534_is_for_those_whom_the_broker_does_not_map,
		0, 3);
	return check_run_case("matrix", c);
}
