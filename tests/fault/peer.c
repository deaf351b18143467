/* SPDX-License-Identifier: Apache-2.0 */
/* See peer.h. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/wire/fdpass.h"
#include "lib/base/sys.h"
#include "tests/fault/peer.h"

#define PATIENCE_MS 60000 /* ends what hangs, not what is slow */

/* Written by the threads of brokers. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[65536];
static size_t log_used;

static void keep_log(void *arg, int level, const char *message)
{
	int n;

	(void)arg;
	pthread_mutex_lock(&log_lock);
	n = snprintf(log_text + log_used, sizeof(log_text) - log_used,
		     "%d %s\n", level, message);
	if (n > 0 && (size_t)n < sizeof(log_text) - log_used)
		log_used += (size_t)n;
	pthread_mutex_unlock(&log_lock);
}

bool broker_said(const char *words)
{
	bool said;

	pthread_mutex_lock(&log_lock);
	said = strstr(log_text, words) != NULL;
	pthread_mutex_unlock(&log_lock);
	return said;
}

struct tapio_broker *broker_start(const char *config)
{
	char error[512] = "";
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.log = keep_log,
		.log_level = TAPIO_LOG_DEBUG,
		.error = error,
		.error_bytes = sizeof(error),
	};
	struct tapio_broker *broker;
	int err = tapio_broker_start(&broker, &options);

	ck_assert_msg(!err, "broker: %d: %s", err, error);
	return broker;
}

void peer_connect_to(struct peer *peer, const char *socket_name)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, socket_name);

	memset(peer, 0, sizeof(*peer));
	ck_assert_int_gt(length, 0);
	peer->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(peer->sock, 0);
	ck_assert_msg(!connect(peer->sock, (struct sockaddr *)&address,
			       (socklen_t)length),
		      "connect %s: %s", socket_name, strerror(errno));
}

void peer_connect(struct peer *peer, const struct tapio_broker *broker)
{
	peer_connect_to(peer, tapio_broker_socket(broker));
}

int peer_send(struct peer *peer, const void *bytes, size_t length,
	      const int *fds, unsigned int fd_count)
{
	ssize_t sent = tpi_send_fds(peer->sock, bytes, length, fds, fd_count);

	return sent < 0 ? (int)sent : 0;
}

/* In many short waits: a machine that stands still for minutes takes one of them. */
static bool wait_readable(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	for (int i = 0; i < PATIENCE_MS / 100; i++)
		if (poll(&p, 1, 100) == 1)
			return true;
	return false;
}

int peer_receive(struct peer *peer, union tpi_wire_message *message)
{
	char why[256];
	ssize_t got;

	if (!wait_readable(peer->sock))
		return -ETIMEDOUT;
	peer->fd_count = TPI_WIRE_FDS_MAX;
	got = tpi_recv_fds(peer->sock, message, sizeof(*message), peer->fds,
			   &peer->fd_count);
	if (got == 0 || got == -ECONNRESET)
		return 0;
	ck_assert_int_gt(got, 0);
	ck_assert_msg(!tpi_wire_check(message, (size_t)got, peer->fd_count, why,
				      sizeof(why)),
		      "the broker sent: %s", why);
	if (message->header.type == TPI_WIRE_REFUSED)
		peer->refused = message->refused;
	return message->header.type;
}

/* The answer instead of `want`: the error of REFUSED, or that it hung up. */
static int expect(struct peer *peer, union tpi_wire_message *message, int want)
{
	int type = peer_receive(peer, message);

	if (type == want)
		return 0;
	if (type == TPI_WIRE_REFUSED)
		return peer->refused.error;
	return type < 0 ? type : -ECONNRESET;
}

static void map_catalog(struct peer *peer)
{
	struct tpi_map map;
	char why[256] = "";

	ck_assert_uint_eq(peer->fd_count, 1);
	ck_assert_msg(!tpi_map_fd(&map, peer->fds[0], false, UINT64_MAX, why,
				  sizeof(why)),
		      "catalog: %s", why);
	ck_assert_msg(
		!tpi_catalog_attach(&peer->catalog, &map, why, sizeof(why)),
		"catalog: %s", why);
	close(peer->fds[0]);
	peer->fd_count = 0;
}

void peer_init_hello(union tpi_wire_message *message)
{
	tpi_wire_init(message, TPI_WIRE_HELLO);
	message->hello.abi_major = TAPIO_ABI_MAJOR;
	message->hello.abi_minor = TAPIO_ABI_MINOR;
	message->hello.pid = (uint32_t)getpid();
	memcpy(message->hello.at_random, (const void *)getauxval(AT_RANDOM),
	       sizeof(message->hello.at_random));
}

int peer_hello_with(struct peer *peer, int pidfd, const uint8_t at_random[16])
{
	union tpi_wire_message m;
	int err;

	peer_init_hello(&m);
	m.hello.rseq_verdict = TAPIO_RSEQ_PROVEN;
	memcpy(m.hello.at_random, at_random, 16);
	strcpy(m.hello.comm, "peer");
	m.header.fd_count = pidfd >= 0;
	err = peer_send(peer, &m, m.header.length, &pidfd, pidfd >= 0);
	/* It may have been refused before it said anything. */
	if (!err || err == -EPIPE)
		err = expect(peer, &m, TPI_WIRE_WELCOME);
	if (err)
		return err;
	peer->welcome = m.welcome;
	map_catalog(peer);
	return 0;
}

int peer_hello(struct peer *peer)
{
	int pidfd = tpi_sys_pidfd_open(getpid(), 0), err;

	err = peer_hello_with(peer, pidfd,
			      (const uint8_t *)getauxval(AT_RANDOM));
	/* Nothing was sent: the broker takes no descriptors. */
	if (err == -EPERM && !peer->refused.text[0])
		err = peer_hello_with(peer, -1,
				      (const uint8_t *)getauxval(AT_RANDOM));
	if (pidfd >= 0)
		close(pidfd);
	return err;
}

int peer_fd(const struct peer *peer, uint32_t segment)
{
	if (!peer->isolated)
		return peer->fds[segment];
	ck_assert(!segment || segment == peer->attached.own_segment);
	return peer->fds[segment != 0];
}

/* Of an isolated channel the doorbells came, and the own segment. The others are zero. */
static bool has_come(const struct peer *peer, uint32_t segment)
{
	return !peer->isolated || !segment ||
	       segment == peer->attached.own_segment;
}

static void map_zeros(struct peer *peer, uint32_t segment)
{
	uint32_t last = peer->map_count - 1;
	/* The last one is a producer's, and they are of one length. */
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < peer->catalog.segment_count; i++)
		if (peer->catalog.segments[i].kind == TAPIO_SEGMENT_CHANNEL &&
		    peer->catalog.segments[i].channel ==
			    peer->attached.channel &&
		    peer->catalog.segments[i].index == last)
			bytes = peer->catalog.segments[i].length_bytes;
	peer->maps[segment].base = mmap(NULL, bytes, PROT_READ,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(peer->maps[segment].base != MAP_FAILED);
	peer->maps[segment].bytes = bytes;
}

static void map_attached(struct peer *peer, bool produces)
{
	uint32_t nodes = peer->attached.segment_count;
	struct tapio_shm_channel info;
	char why[256] = "";
	int err = tpi_channel_describe(&peer->catalog, peer->attached.channel,
				       &info, why, sizeof(why));

	ck_assert_msg(!err, "%s", why);
	peer->isolated = info.flags & TAPIO_CHANNEL_ISOLATED;
	peer->map_count = info.segment_count;
	for (uint32_t i = 0; i < info.segment_count && !err; i++)
		if (!has_come(peer, i))
			map_zeros(peer, i);
		else
			err = tpi_map_fd(&peer->maps[i], peer_fd(peer, i),
					 produces, UINT64_MAX, why,
					 sizeof(why));
	if (!err)
		err = tpi_channel_attach(&peer->channel, &peer->catalog,
					 peer->attached.channel, peer->maps,
					 info.segment_count, why, sizeof(why));
	if (!err && peer->attached.cursors_count) {
		err = tpi_map_fd(&peer->cursors_map, peer->fds[nodes], true,
				 UINT64_MAX, why, sizeof(why));
		if (!err)
			err = tpi_cursors_attach(
				&peer->cursors, &peer->cursors_map,
				&peer->channel.info, peer->attached.group_slot,
				why, sizeof(why));
	}
	ck_assert_msg(!err, "mapping: %d: %s", err, why);
}

int peer_attach(struct peer *peer, uint32_t role, const char *channel,
		const char *group, uint32_t policy, uint32_t lag,
		uint32_t flags)
{
	union tpi_wire_message m;
	int err;

	tpi_wire_init(&m, TPI_WIRE_ATTACH);
	m.attach.role = role;
	m.attach.policy = policy;
	m.attach.lag = lag;
	m.attach.flags = flags;
	m.attach.handle = peer->handle;
	if (peer->minor)
		m.attach.header.minor = peer->minor;
	snprintf(m.attach.channel, sizeof(m.attach.channel), "%s", channel);
	snprintf(m.attach.group, sizeof(m.attach.group), "%s",
		 group ? group : "");
	err = peer_send(peer, &m, m.header.length, NULL, 0);
	if (!err)
		err = expect(peer, &m, TPI_WIRE_ATTACHED);
	if (err)
		return err;
	peer->attached = m.attached;
	map_attached(peer, role == TAPIO_ROLE_PRODUCE);
	return peer->attached.own_segment && !peer->stays_open
		       ? peer_mapped(peer)
		       : 0;
}

int peer_mapped(struct peer *peer)
{
	union tpi_wire_message m;
	unsigned int kept = peer->fd_count;
	int err;

	tpi_wire_init(&m, TPI_WIRE_MAPPED);
	m.mapped.attachment = peer->attached.attachment;
	err = peer_send(peer, &m, m.header.length, NULL, 0);
	if (!err)
		err = expect(peer, &m, TPI_WIRE_SEALED);
	peer->fd_count = kept; /* those of ATTACHED */
	return err;
}

static void close_fds(struct peer *peer)
{
	for (unsigned int i = 0; i < peer->fd_count; i++)
		close(peer->fds[i]);
	peer->fd_count = 0;
}

int peer_fetch(struct peer *peer, uint64_t slots,
	       struct tpi_wire_fetched *fetched)
{
	union tpi_wire_message m;
	int err;

	close_fds(peer);
	tpi_wire_init(&m, TPI_WIRE_FETCH);
	m.fetch.attachment = peer->attached.attachment;
	m.fetch.slots = slots;
	err = peer_send(peer, &m, m.header.length, NULL, 0);
	if (!err)
		err = expect(peer, &m, TPI_WIRE_FETCHED);
	*fetched = m.fetched;
	return err;
}

void peer_map_slots(struct peer *peer, struct tpi_gating *gating)
{
	static struct tpi_map maps[TAPIO_GROUP_SLOTS];
	static struct tpi_cursors cursors[TAPIO_GROUP_SLOTS];
	uint64_t left = UINT64_MAX;
	struct tpi_wire_fetched f;
	char why[256] = "";

	memset(gating, 0, sizeof(*gating));
	gating->generation = &peer->catalog.channels[0].generation;
	gating->active = &peer->catalog.channels[0].active;
	gating->groups = peer->catalog.groups;
	while (left) {
		ck_assert_int_eq(peer_fetch(peer, left, &f), 0);
		for (uint32_t i = 0; i < f.count; i++) {
			uint32_t s = f.slots[i];

			ck_assert(left >> s & 1);
			left &= ~(UINT64_C(1) << s);
			tpi_map_close(&maps[s]);
			ck_assert_msg(!tpi_map_fd(&maps[s], peer->fds[i], false,
						  UINT64_MAX, why, sizeof(why)),
				      "%s", why);
			ck_assert_msg(!tpi_cursors_attach(&cursors[s], &maps[s],
							  &peer->channel.info,
							  s, why, sizeof(why)),
				      "%s", why);
			gating->cursors[s] = cursors[s].cursors;
			gating->epochs[s] = f.epochs[i];
		}
	}
}

static void drop_mappings(struct peer *peer)
{
	tpi_channel_detach(&peer->channel);
	for (uint32_t i = 0; i < peer->map_count; i++)
		tpi_map_close(&peer->maps[i]);
	tpi_map_close(&peer->cursors_map);
	close_fds(peer);
	memset(&peer->attached, 0, sizeof(peer->attached));
}

int peer_detach(struct peer *peer)
{
	uint32_t name = peer->attached.attachment;
	union tpi_wire_message m;
	int err;

	drop_mappings(peer);
	tpi_wire_init(&m, TPI_WIRE_DETACH);
	m.detach.attachment = name;
	err = peer_send(peer, &m, m.header.length, NULL, 0);
	if (!err)
		err = expect(peer, &m, TPI_WIRE_DETACHED);
	return err ? err : (int)m.detached.swept;
}

int peer_remove(struct peer *peer, const char *channel, const char *group)
{
	union tpi_wire_message m;
	int err;

	tpi_wire_init(&m, TPI_WIRE_REMOVE);
	snprintf(m.remove.channel, sizeof(m.remove.channel), "%s", channel);
	snprintf(m.remove.group, sizeof(m.remove.group), "%s", group);
	err = peer_send(peer, &m, m.header.length, NULL, 0);
	return err ? err : expect(peer, &m, TPI_WIRE_REMOVED);
}

void peer_hang_up(struct peer *peer)
{
	close(peer->sock);
	peer->sock = -1;
}

void peer_close(struct peer *peer)
{
	drop_mappings(peer);
	tpi_map_close(&peer->catalog.map);
	if (peer->sock >= 0)
		close(peer->sock);
	memset(peer, 0, sizeof(*peer));
	peer->sock = -1;
}

void peer_open(struct peer *peer, const struct tapio_broker *broker,
	       uint32_t role, const char *group)
{
	int err;

	peer_connect(peer, broker);
	err = peer_hello(peer);
	if (!err)
		err = peer_attach(peer, role, "events", group, 0, 0, 0);
	ck_assert_msg(!err, "refused: %d: %s", err, peer->refused.text);
}

const struct tapio_shm_attachment *peer_record(const struct peer *peer,
					       uint32_t name)
{
	ck_assert_uint_lt(TAPIO_ATTACHMENT_INDEX(name),
			  peer->catalog.attachment_count);
	return &peer->catalog.attachments[TAPIO_ATTACHMENT_INDEX(name)];
}

bool wait_state(const struct peer *peer, uint32_t name, uint32_t state)
{
	const struct tapio_shm_attachment *record = peer_record(peer, name);
	const struct timespec ms = {.tv_nsec = 1000000};

	for (int i = 0; i < PATIENCE_MS; i++) {
		/* ORDER attachment.state (acquire): pairs with the release in
		 * tpi_attachment_publish(). */
		if (tpi_load_acquire(&record->state) == state)
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

void pin_to_first_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

struct tpi_lane *peer_lane(struct peer *peer)
{
	return peer->channel.by_cpu[sched_getcpu()];
}
