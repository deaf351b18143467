/* SPDX-License-Identifier: Apache-2.0 */
/* See attackers.h. */
#include "tests/hostile/attackers.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <tapio/consumer.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "lib/wire/fdpass.h"
#include "tests/fault/peer.h"

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned int below(unsigned int n)
{
	return (unsigned int)(next_random() % n);
}

static int dial(const struct attacker *a)
{
	struct sockaddr_un address;
	int length = tpi_socket_address(&address, a->socket);
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (sock >= 0 && connect(sock, (void *)&address, (socklen_t)length)) {
		close(sock);
		return -1;
	}
	return sock;
}

static void hello(union tpi_wire_message *m)
{
	peer_init_hello(m);
	strcpy(m->hello.comm, "attacker");
}

static int say(int sock, union tpi_wire_message *m)
{
	return (int)tpi_send_fds(sock, m, m->header.length, NULL, 0);
}

/* ---- floods ------------------------------------------------------------------------------- */

#define KEPT 64

static void connect_and_connect(const struct attacker *a)
{
	union tpi_wire_message m;
	int kept[KEPT];

	memset(kept, -1, sizeof(kept));
	for (;;) {
		unsigned int i = below(KEPT);
		int sock = dial(a);

		if (kept[i] >= 0)
			close(kept[i]);
		kept[i] = sock;
		if (sock < 0 || !below(3))
			continue;
		hello(&m);
		if (!below(8)) /* another image: an execve, it says */
			m.hello.at_random[0] ^= 1;
		say(sock, &m);
	}
}

/* Descriptors of every kind. The last is the connection itself. */
static int strange_fd(int sock)
{
	int ends[2];

	switch (below(8)) {
	case 0:
		return eventfd(0, 0);
	case 1:
		if (pipe(ends))
			return -1;
		close(ends[0]);
		return ends[1];
	case 2:
		return open("/", O_RDONLY | O_DIRECTORY);
	case 3:
		return open("/proc/self/exe", O_PATH);
	case 4:
		return socket(AF_INET, SOCK_STREAM, 0);
	case 5:
		return epoll_create1(0);
	case 6:
		return tpi_sys_pidfd_open(getpid(), 0);
	default:
		return dup(sock);
	}
}

static void send_garbage(const struct attacker *a, int sock)
{
	struct {
		union tpi_wire_message m;
		char more[100];
	} buffer = {0};
	union tpi_wire_message *m = &buffer.m;
	unsigned int count = below(3) ? 0 : 1 + below(3);
	uint32_t length;
	int fds[3] = {-1, -1, -1};

	tpi_wire_init(m, (enum tpi_wire_type)(1 + below(TPI_WIRE_REMOVED)));
	if (m->header.type == TPI_WIRE_HELLO)
		hello(m);
	if (m->header.type == TPI_WIRE_ATTACH)
		snprintf(m->attach.channel, sizeof(m->attach.channel), "%s",
			 a->channel);
	for (unsigned int n = below(8); n; n--)
		m->bytes[below(200)] ^= (unsigned char)(1u << below(8));
	for (unsigned int i = 0; i < count; i++)
		fds[i] = strange_fd(sock);
	length = below(4) ? m->header.length : below(600);
	tpi_send_fds(sock, m, length < sizeof(buffer) ? length : 600, fds,
		     count);
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
}

static void send_much_garbage(const struct attacker *a)
{
	union tpi_wire_message m;

	for (;;) {
		int sock = dial(a);

		if (sock < 0)
			continue;
		if (below(2)) {
			hello(&m);
			say(sock, &m);
		}
		for (unsigned int n = below(6); n; n--)
			send_garbage(a, sock);
		close(sock);
	}
}

static void be_deaf(const struct attacker *a)
{
	union tpi_wire_message m;
	int kept[KEPT];

	memset(kept, -1, sizeof(kept));
	for (unsigned int i = 0;; i++) {
		int sock = dial(a);

		if (kept[i % KEPT] >= 0)
			close(kept[i % KEPT]);
		kept[i % KEPT] = sock;
		hello(&m);
		say(sock, &m);
		tpi_wire_init(&m, TPI_WIRE_ATTACH);
		m.attach.role = TAPIO_ROLE_INSPECT;
		snprintf(m.attach.channel, sizeof(m.attach.channel), "%s",
			 a->channel);
		/* The answer has a descriptor for each slot. */
		if (sock >= 0)
			say(sock, &m);
	}
}

/* ---- clients that are known --------------------------------------------------------------- */

/* False: refused. The process ends where a broker says what no broker says. */
static bool join(const struct attacker *a, struct peer *p, uint32_t role)
{
	char name[32];

	peer_connect_to(p, a->socket);
	snprintf(name, sizeof(name), "of-%u-%u", getuid(), below(4));
	if (!peer_hello(p) &&
	    !peer_attach(p, role, a->channel,
			 role == TAPIO_ROLE_CONSUME && below(2) ? name : NULL,
			 0, 0, 0))
		return true;
	peer_close(p);
	return false;
}

static uint32_t any_role(void)
{
	return below(3) ? TAPIO_ROLE_CONSUME : TAPIO_ROLE_INSPECT;
}

static void come_and_go(const struct attacker *a, bool says_so)
{
	struct peer p;

	for (;;) {
		if (!join(a, &p, any_role()))
			continue;
		if (says_so)
			peer_detach(&p);
		peer_close(&p);
	}
}

static void ring_bells(const struct attacker *a)
{
	struct peer p;

	while (!join(a, &p, TAPIO_ROLE_CONSUME))
		usleep(1000);
	for (;;)
		tpi_add_relaxed(&p.cursors.control->armed, 1);
}

static void scribble(const struct attacker *a)
{
	uint64_t *words, *end;
	struct peer p;

	while (!join(a, &p, TAPIO_ROLE_CONSUME))
		usleep(1000);
	words = (uint64_t *)p.cursors_map.base;
	end = (uint64_t *)(p.cursors_map.base + p.cursors_map.bytes);
	for (;;) {
		uint64_t *word = &words[below((unsigned int)(end - words))];

		/* Any word, and words that are nearly right. */
		tpi_store_relaxed(word, below(2) ? next_random()
						 : *word + below(3) - 1);
		if (!below(4096))
			usleep(1000);
	}
}

static void consume(const struct attacker *a)
{
	struct tapio_view views[16];
	char name[32];
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = {.size = sizeof(options.broker), .socket = a->socket},
		.group = name,
	};
	struct tapio_consumer *c;

	snprintf(name, sizeof(name), "honest-%u", getuid());
	while (tapio_consumer_open(&c, a->channel, &options))
		usleep(10000);
	for (;;) {
		tapio_poll(c, views, 16, 1000000);
		if (!below(4))
			tapio_release(c);
	}
}

/* ---- which ---------------------------------------------------------------------------------- */

static const char *const names[ATTACKS] = {"connect",  "garbage", "deaf",
					   "storm",    "leave",   "bell",
					   "scribble", "consume"};

const char *attack_name(enum attack attack)
{
	return names[attack];
}

static void end_at_once(void)
{
	_exit(1);
}

void attack(struct role *self)
{
	const struct attacker *a = self->arg;

	/* Before what sanitizers do at the exit of a failed assertion. */
	atexit(end_at_once);
	state = a->seed;
	switch (a->attack) {
	case ATTACK_CONNECT:
		connect_and_connect(a);
		break;
	case ATTACK_GARBAGE:
		send_much_garbage(a);
		break;
	case ATTACK_DEAF:
		be_deaf(a);
		break;
	case ATTACK_STORM:
	case ATTACK_LEAVE:
		come_and_go(a, a->attack == ATTACK_STORM);
		break;
	case ATTACK_BELL:
		ring_bells(a);
		break;
	case ATTACK_SCRIBBLE:
		scribble(a);
		break;
	default:
		consume(a);
	}
}
