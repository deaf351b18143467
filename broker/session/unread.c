/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors in flight: sent in an answer, and not read yet.
 *
 * The kernel counts them for the user that sent them, and lets him have no more than
 * RLIMIT_NOFILE (ETOOMANYREFS, unix(7)). Clients that do not read could so keep the
 * broker from answering anybody. Rules:
 *
 *  U1  A session has at most one unread answer with descriptors. Until it is read, its
 *	next message stays in its socket.
 *  U2  A uid has at most a quarter of the limit, and all of them but root and the broker's
 *	user three quarters. One eighth is never used: other processes of the broker's
 *	user may send descriptors, too. A session whose answer could exceed a share waits
 *	until others have read. It is not refused, because honest clients read at once.
 *  U3  A session that leaves one unread for 5 s is parked: what it has in flight stays
 *	charged to its uid, and it is looked at once a second. It is not closed, because
 *	that brings nothing back: the kernel counts until the receiver takes them or
 *	closes its own end. And an honest producer may leave one unread for long, when
 *	it has asked for a slot's memory and then emits nothing.
 *  U4	A connection may end with an answer unread, because its process has, and another
 *	one has the socket, by fork or SCM_RIGHTS. For the kernel nothing has ended then. So
 *	our end stays open, shut down, and the answer stays charged to the uid. It
 *	counts as a client of that uid, too (quota.c), because it costs a descriptor.
 *
 * SIOCOUTQ tells whether an answer is read: what was sent and not received is 0. No event
 * tells that, so while a session waits a timer looks every 2 ms, once at each answer. Only a
 * session that has room by then is heard. So hundreds that wait cost others little.
 *
 * SIGSTOP of a client in the middle of its open: it is parked, and goes on when it reads.
 * SIGKILL: the kernel drops its queue, unless another process has the socket (U4).
 */
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/session/quota.h"
#include "lib/lane/wake.h"

#define LOOK_NS UINT64_C(2000000)

/* An answer to ATTACH has most descriptors. HELLO may have an ATTACH in it. */
static uint32_t most_fds(const struct tpi_session *session)
{
	const struct tpi_registry *registry = &session->broker->registry;
	const struct tpi_host *host;
	uint32_t most = 1;

	TPI_FOREACH_HOST (host, registry)
		if (1 + host->node_count + TAPIO_GROUP_SLOTS > most)
			most = 1 + host->node_count + TAPIO_GROUP_SLOTS;
	return most;
}

static uint64_t limit_now(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1024;
	return limit.rlim_cur - limit.rlim_cur / 8;
}

/* All that was sent was received, or dropped. */
static bool is_read(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCOUTQ, &bytes) || !bytes;
}

void tpi_unread_forget(struct tpi_session *session)
{
	session->broker->server.unread_fds -= session->unread_fds;
	session->unread_fds = 0;
}

static void look(struct tpi_session *session)
{
	if (session->unread_fds && is_read(session->fd))
		tpi_unread_forget(session);
}

bool tpi_unread_none(struct tpi_session *session)
{
	look(session);
	return !session->unread_fds;
}

/* ---- U4 ------------------------------------------------------------------------------ */

bool tpi_unread_leave(struct tpi_session *session)
{
	struct tpi_broker *broker = session->broker;
	struct tpi_left *left = NULL;

	look(session);
	if (session->unread_fds)
		left = calloc(1, sizeof(*left));
	if (!left) {
		tpi_unread_forget(session);
		return false;
	}
	tpi_log_client(
		&broker->log, TAPIO_LOG_NOTICE,
		"the connection of process %d (uid %u) has ended, and %u "
		"descriptors were not read: they count against the uid's "
		"share until the last copy of its socket is closed",
		session->cred.pid, session->cred.uid, session->unread_fds);
	shutdown(session->fd, SHUT_RDWR);
	left->fd = session->fd;
	left->uid = session->cred.uid;
	left->fds = session->unread_fds;
	TAILQ_INSERT_TAIL(&broker->server.left, left, link);
	session->unread_fds = 0;
	return true;
}

static void remove_left(struct tpi_broker *broker, struct tpi_left *left)
{
	TAILQ_REMOVE(&broker->server.left, left, link);
	broker->server.unread_fds -= left->fds;
	tpi_client_socket_close(broker, left->fd, left->uid, false);
	free(left);
}

static void look_at_left(struct tpi_broker *broker)
{
	struct tpi_left *left, *next;

	for (left = TAILQ_FIRST(&broker->server.left); left; left = next) {
		next = TAILQ_NEXT(left, link);
		if (is_read(left->fd))
			remove_left(broker, left);
	}
}

uint32_t tpi_unread_left(struct tpi_broker *broker, uid_t uid, uint32_t *own)
{
	const struct tpi_left *left;
	uint32_t count = 0;

	*own = 0;
	look_at_left(broker);
	TAILQ_FOREACH (left, &broker->server.left, link) {
		count++;
		*own += left->uid == uid;
	}
	return count;
}

void tpi_unread_close_copies(const struct tpi_server *server)
{
	const struct tpi_left *left;

	TAILQ_FOREACH (left, &server->left, link)
		close(left->fd);
}

void tpi_unread_lose(struct tpi_server *server)
{
	struct tpi_left *left;

	while ((left = TAILQ_FIRST(&server->left))) {
		TAILQ_REMOVE(&server->left, left, link);
		free(left);
	}
}

/* ---- shares -------------------------------------------------------------------------- */

static uint64_t unread_of(const struct tpi_broker *broker, uid_t uid)
{
	const struct tpi_session *session;
	const struct tpi_left *left;
	uint64_t fds = 0;

	TAILQ_FOREACH (session, &broker->server.sessions, link)
		if (session->cred.uid == uid)
			fds += session->unread_fds;
	TAILQ_FOREACH (left, &broker->server.left, link)
		if (left->uid == uid)
			fds += left->fds;
	return fds;
}

/* One answer fits into every share, however small the limit is. */
static bool fits(uint64_t unread, uint32_t fds, uint64_t share)
{
	return !unread || unread + fds <= share;
}

static bool has_room(const struct tpi_session *session)
{
	const struct tpi_server *server = &session->broker->server;
	uint32_t fds = most_fds(session);
	uint64_t all = limit_now(), own;

	if (session->unread_fds)
		return false;
	if (tpi_quota_is_exempt(&session->cred))
		return fits(server->unread_fds, fds, all);
	own = unread_of(session->broker, session->cred.uid);
	/* Several uids that do not read must not keep all others out. */
	if (!own)
		return fits(server->unread_fds, fds, all);
	return fits(server->unread_fds, fds, all / 4 * 3) &&
	       fits(own, fds, all / 4);
}

static void look_at_all(struct tpi_broker *broker)
{
	struct tpi_session *session;

	TAILQ_FOREACH (session, &broker->server.sessions, link)
		look(session);
	look_at_left(broker);
}

/* Those that have room now go on. The first of them may take it from the others. */
static void on_look(struct tpi_timer *timer)
{
	struct tpi_broker *broker =
		(struct tpi_broker *)((char *)timer -
				      offsetof(struct tpi_broker,
					       server.unread_look));

	look_at_all(broker);
	if (tpi_sessions_resume(broker))
		tpi_timer_start(broker->loop, timer, LOOK_NS);
}

static void look_later(struct tpi_broker *broker)
{
	struct tpi_timer *timer = &broker->server.unread_look;

	if (!timer->at_ns)
		tpi_timer_start(broker->loop, timer, LOOK_NS);
}

bool tpi_unread_fits(const struct tpi_session *session)
{
	if (!session->broker->server.unread_fds || has_room(session))
		return true;
	look_later(session->broker);
	return false;
}

bool tpi_unread_room(struct tpi_session *session)
{
	struct tpi_broker *broker = session->broker;

	look(session);
	if (!broker->server.unread_fds || has_room(session))
		return true;
	/* Its own answer decides first, which costs one look. */
	if (!session->unread_fds) {
		look_at_all(broker);
		if (has_room(session))
			return true;
	}
	look_later(broker);
	return false;
}

void tpi_unread_note(struct tpi_session *session, uint32_t fds)
{
	session->unread_fds += fds;
	session->broker->server.unread_fds += fds;
	session->unread_until_ns = (uint64_t)tpi_now_ns() + TPI_UNREAD_NS;
}

void tpi_unread_tick(struct tpi_broker *broker)
{
	uint64_t now = (uint64_t)tpi_now_ns();
	struct tpi_session *session;
	bool woken = false;

	look_at_left(broker);
	TAILQ_FOREACH (session, &broker->server.sessions, link) {
		look(session);
		if (!session->unread_fds) {
			woken |= session->parked;
			session->parked = false;
			continue;
		}
		if (session->parked || session->unread_until_ns > now)
			continue;
		session->parked = true;
		tpi_log_client(
			&broker->log, TAPIO_LOG_NOTICE,
			"process %d (uid %u) has not read %u descriptors "
			"for 5 s: they count against its share until it "
			"does, or closes its connection",
			session->cred.pid, session->cred.uid,
			session->unread_fds);
	}
	if (woken)
		tpi_sessions_resume(broker);
}

void tpi_unread_start(struct tpi_broker *broker)
{
	broker->server.unread_look.fire = on_look;
}

void tpi_unread_stop(struct tpi_broker *broker)
{
	struct tpi_left *left;

	tpi_timer_stop(broker->loop, &broker->server.unread_look);
	while ((left = TAILQ_FIRST(&broker->server.left)))
		remove_left(broker, left);
}
