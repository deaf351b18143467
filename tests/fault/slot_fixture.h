/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker in this process with one producer, and clients of other uids that use up
 * the memory of all group slots. The next group needs other memory then, which producers
 * that are open have to fetch.
 */
#ifndef TAPIO_TESTS_SLOT_FIXTURE_H
#define TAPIO_TESTS_SLOT_FIXTURE_H

#include "tests/fault/peer.h"
#include "tests/unit/client_fixture.h"

#define CONFIG                                                             \
	"channel events { stamp = \"none\"\n"                              \
	"class main { block = 64\n blocks = 64\n side_blocks = 64 }}\n"    \
	"allow anybody { any = true role = {produce, consume, inspect, \n" \
	"lossless} }\n"

#define UIDS 5000 /* of those who are given a slot */
#define DONE 77

static struct tapio_producer *p;

static inline struct tapio_producer *open_producer(void)
{
	struct tapio_producer *producer;
	int err = tapio_producer_open(&producer, "events", &rig.options);

	ck_assert_msg(!err, "producer: %s: %s", strerror(-err), rig.error);
	ck_assert(on_cpu_lanes(producer) == !side_flavour());
	return producer;
}

static inline struct tapio_consumer *open_consumer(const char *group,
						   uint32_t policy)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.group = group,
		.policy = policy,
	};
	struct tapio_consumer *c;
	int err = tapio_consumer_open(&c, "events", &options);

	ck_assert_msg(!err, "consumer: %s: %s", strerror(-err), rig.error);
	return c;
}

static inline uint32_t slot_of(const struct tapio_consumer *c)
{
	return c->now->client.granted.group_slot;
}

static inline uint32_t epoch_of(uint32_t slot)
{
	return tpi_load_relaxed(&p->now->client.groups[slot].epoch);
}

static inline bool is_unheard(uint32_t slot)
{
	return tpi_load_relaxed(&p->now->client.groups[slot].flags) &
	       TAPIO_GROUP_FLAG_UNHEARD;
}

static inline void set_up(void)
{
	if (getuid()) {
		fprintf(stderr, "skipped: becoming another uid needs root\n");
		exit(77);
	}
	rig_start(CONFIG);
	p = open_producer();
}

static inline void tear_down(void)
{
	tapio_producer_close(p);
	rig_stop();
}

/* Runs `body` in a child of another uid. Its pid. */
static inline pid_t start_as(uid_t uid, int (*body)(int arg), int arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		if (setgid(uid) || setuid(uid))
			_exit(99);
		_exit(body(arg));
	}
	return pid;
}

static inline int run_as(uid_t uid, int (*body)(int arg), int arg)
{
	int status;
	pid_t pid = start_as(uid, body, arg);

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static inline int join(struct peer *peer, const char *group)
{
	int err;

	peer_connect_to(peer, rig.options.socket);
	err = peer_hello(peer);
	if (!err)
		err = peer_attach(peer, TAPIO_ROLE_CONSUME, "events", group, 0,
				  0, 0);
	return err;
}

/* Leaves the group, and keeps its memory. */
static inline void leave(struct peer *peer)
{
	union tpi_wire_message m;

	tpi_wire_init(&m, TPI_WIRE_DETACH);
	m.detach.attachment = peer->attached.attachment;
	ck_assert_int_eq(peer_send(peer, &m, m.header.length, NULL, 0), 0);
	ck_assert_int_eq(peer_receive(peer, &m), TPI_WIRE_DETACHED);
}

static inline int join_and_leave(int unused)
{
	struct peer peer;

	(void)unused;
	if (join(&peer, NULL))
		return 1;
	leave(&peer);
	return (int)peer.attached.group_slot + 100;
}

static inline unsigned int emit_until_full(struct tapio_producer *mine)
{
	unsigned int n = 0;

	while (n < 1000 && !tapio_output(mine, TAG, "x", 1))
		n++;
	return n;
}

/* Gives the memory of slots to other uids, each to one, until there is no fresh one. */
static inline void use_up(uint32_t given)
{
	for (uint32_t i = given; i < TAPIO_GROUP_SLOTS; i++)
		ck_assert_int_ge(run_as(UIDS + 1 + i, join_and_leave, 0), 100);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		ck_assert_uint_eq(epoch_of(i), 1);
}

#endif
