/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the broker for its segments, as an inspector: HELLO for the catalog,
 * then for each channel ATTACH and DETACH. Every answer has a time limit: a
 * broker that is stopped still has a backlog to connect to. The kernel knows in
 * any case which process listens (SO_PEERCRED), and so says where else to look.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/wire/fdpass.h"
#include "lib/memory/layout.h"
#include "lib/base/versions.h"
#include "lib/wire/wire.h"
#include "tools/common/tool.h"
#include "tools/inspect/segment_set.h"

struct talk {
	int sock;
	int64_t timeout_ns;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FDS_MAX];
	unsigned int fd_count;
	char *error;
	size_t error_bytes;
};

static void drop_fds(struct talk *t)
{
	while (t->fd_count)
		close(t->fds[--t->fd_count]);
}

static int fail(struct talk *t, int err, const char *what)
{
	return tpi_fail(err, t->error, t->error_bytes, "%s: %s", what,
			strerror(-err));
}

static int dial(struct talk *t, struct tpi_segment_set *set, const char *name,
		pid_t *peer)
{
	struct sockaddr_un address;
	struct ucred who;
	socklen_t bytes = sizeof(who);
	int length = tpi_socket_address(&address, name);

	*peer = 0;
	if (length < 0)
		return fail(t, length, name);
	/* Non-blocking: a full backlog must not hold us. */
	t->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			 0);
	if (t->sock < 0)
		return fail(t, -errno, "socket");
	if (connect(t->sock, (struct sockaddr *)&address, (socklen_t)length))
		return fail(t, -errno, name);
	if (!getsockopt(t->sock, SOL_SOCKET, SO_PEERCRED, &who, &bytes)) {
		*peer = who.pid;
		tpi_segment_set_believe(set, who.uid);
	}
	return 0;
}

static int nothing_came(struct talk *t, int err)
{
	struct rlimit limit = {0};

	if (!err)
		return tpi_fail(-ECONNRESET, t->error, t->error_bytes,
				"the broker closed the connection");
	if (err != -EMFILE)
		return fail(t, err, "receiving from the broker");
	getrlimit(RLIMIT_NOFILE, &limit);
	return tpi_fail(err, t->error, t->error_bytes,
			"the broker's answer has %u descriptors, and this "
			"process may have no more than %llu open files: raise "
			"RLIMIT_NOFILE (ulimit -n)",
			t->message.header.fd_count,
			(unsigned long long)limit.rlim_cur);
}

/* Sends t->message. Then it holds the answer, of type `want`. */
static int ask(struct talk *t, enum tpi_wire_type want)
{
	int64_t until = tpi_monotonic_ns() + t->timeout_ns, left;
	struct pollfd ready = {.fd = t->sock, .events = POLLIN};
	ssize_t n = tpi_send_fds(t->sock, &t->message, t->message.header.length,
				 NULL, 0);
	int err;

	if (n < 0)
		return fail(t, (int)n, "sending");
	do {
		left = until - tpi_monotonic_ns();
		if (left <= 0)
			return tpi_fail(-ETIMEDOUT, t->error, t->error_bytes,
					"no answer within %lld ms",
					(long long)(t->timeout_ns / 1000000));
		n = poll(&ready, 1, (int)(left / 1000000) + 1);
	} while (n == 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		return fail(t, -errno, "poll");

	t->fd_count = TPI_WIRE_FDS_MAX;
	n = tpi_recv_fds(t->sock, &t->message, sizeof(t->message), t->fds,
			 &t->fd_count);
	if (n <= 0) {
		t->fd_count = 0;
		return nothing_came(t, (int)n);
	}
	err = tpi_wire_check(&t->message, (size_t)n, t->fd_count, t->error,
			     t->error_bytes);
	if (!err && t->message.header.type == TPI_WIRE_REFUSED)
		err = tpi_fail(t->message.refused.error < 0
				       ? t->message.refused.error
				       : -EPROTO,
			       t->error, t->error_bytes, "%s",
			       t->message.refused.text);
	else if (!err && t->message.header.type != want)
		err = fail(t, -EPROTO, "an unexpected answer of the broker");
	if (err)
		drop_fds(t);
	return err;
}

static int keep_fds(struct talk *t, struct tpi_segment_set *set)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < t->fd_count; i++)
		err = tpi_segment_set_add(set, t->fds[i], 0);
	drop_fds(t);
	return err;
}

static int hello(struct talk *t, struct tpi_segment_set *set)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	int err;

	tpi_wire_init(&t->message, TPI_WIRE_HELLO);
	t->message.hello.abi_major = TAPIO_ABI_MAJOR;
	t->message.hello.abi_minor = TPI_ABI_MINOR;
	t->message.hello.pid = (uint32_t)getpid();
	t->message.hello.incompat_known = TPI_INCOMPAT_KNOWN;
	t->message.hello.rseq_verdict = TAPIO_RSEQ_UNKNOWN;
	if (random)
		memcpy(t->message.hello.at_random, random,
		       sizeof(t->message.hello.at_random));
	prctl(PR_GET_NAME, t->message.hello.comm);
	err = ask(t, TPI_WIRE_WELCOME);
	if (err)
		return err;
	if (!TAPIO_ABI_READABLE(t->message.welcome.abi_major,
				t->message.welcome.abi_minor)) {
		set->incompatible = true;
		set->abi_major = t->message.welcome.abi_major;
		set->abi_minor = t->message.welcome.abi_minor;
		drop_fds(t);
		return 0;
	}
	return keep_fds(t, set);
}

/* Some of the slots, or segments, `left` (TPI_FETCH_*). *got: of these. */
static int fetch_some(struct talk *t, struct tpi_segment_set *set,
		      uint32_t attachment, uint32_t kind, uint64_t left,
		      uint64_t *got)
{
	int err;

	tpi_wire_init(&t->message, TPI_WIRE_FETCH);
	t->message.fetch.attachment = attachment;
	t->message.fetch.kind = kind;
	t->message.fetch.slots = left;
	err = ask(t, TPI_WIRE_FETCHED);
	if (err)
		return err;
	*got = 0;
	for (uint32_t i = 0; i < t->fd_count; i++)
		*got |= UINT64_C(1)
			<< t->message.fetched.slots[i] % TAPIO_GROUP_SLOTS;
	err = keep_fds(t, set);
	return !err && !(left & *got)
		       ? fail(t, -EPROTO, "an unexpected answer of the broker")
		       : err;
}

static int fetch_all(struct talk *t, struct tpi_segment_set *set,
		     uint32_t attachment, uint32_t kind, uint64_t left)
{
	uint64_t got = 0;
	int err = 0;

	for (; !err && left; left &= ~got)
		err = fetch_some(t, set, attachment, kind, left, &got);
	return err;
}

/* The segments of isolated producers: 1 and above. */
static uint64_t own_segments(const struct tapio_shm_channel *channel)
{
	if (!(channel->flags & TAPIO_CHANNEL_ISOLATED))
		return 0;
	return UINT64_MAX >> (64 - channel->segment_count) & ~UINT64_C(1);
}

/* All segments of one channel. A channel that is denied is no failure. */
static int fetch_channel(struct talk *t, struct tpi_segment_set *set,
			 const struct tapio_shm_channel *channel)
{
	uint32_t attachment;
	int err;

	tpi_wire_init(&t->message, TPI_WIRE_ATTACH);
	t->message.attach.role = TAPIO_ROLE_INSPECT;
	err = tpi_wire_name(t->message.attach.channel, channel->name);
	if (!err)
		err = ask(t, TPI_WIRE_ATTACHED);
	if (err == -EACCES || err == -EPERM)
		return tpi_segment_set_refuse(set, channel->name, t->error);
	if (err == -ENOENT)
		return 0; /* it was given back since the catalog was read */
	if (err)
		return err;
	attachment = t->message.attached.attachment;
	err = keep_fds(t, set);
	if (!err)
		err = fetch_all(t, set, attachment, TPI_FETCH_CURSORS,
				UINT64_MAX);
	if (!err)
		err = fetch_all(t, set, attachment, TPI_FETCH_SEGMENTS,
				own_segments(channel));
	if (err)
		return err;
	tpi_wire_init(&t->message, TPI_WIRE_DETACH);
	t->message.detach.attachment = attachment;
	err = ask(t, TPI_WIRE_DETACHED);
	drop_fds(t);
	return err;
}

static int fetch_channels(struct talk *t, struct tpi_segment_set *set)
{
	struct tapio_shm_channel channel;
	struct tpi_segment_set_entry *entry;
	struct tpi_catalog catalog;
	int err = tpi_segment_set_catalog(set, &entry);

	if (err)
		return set->incompatible ? 0 : fail(t, err, "the catalog");
	err = tpi_catalog_attach(&catalog, &entry->map, t->error,
				 t->error_bytes);
	for (uint32_t i = 0; !err && i < catalog.channel_count; i++)
		if (!tpi_channel_look(&catalog, i, &channel, NULL, 0))
			err = fetch_channel(t, set, &channel);
	return err;
}

int tpi_segment_set_from_socket(struct tpi_segment_set *set, const char *socket,
				int64_t timeout_ns, pid_t *peer, char *error,
				size_t error_bytes)
{
	struct talk t = {
		.sock = -1,
		.timeout_ns = timeout_ns,
		.error = error,
		.error_bytes = error_bytes,
	};
	int err = dial(&t, set, socket, peer);

	if (!err)
		err = hello(&t, set);
	if (!err && !set->incompatible)
		err = fetch_channels(&t, set);
	if (t.sock >= 0)
		close(t.sock);
	return err;
}
