/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Newcomers: accepting connections, and letting go of those that say nothing.
 *
 * Until HELLO a connection has cost its maker nothing, so there are few of them
 * and not for long: the oldest makes room for the next one, that of the same uid
 * first. From HELLO on they count as clients (quota.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/session/quota.h"
#include "lib/base/own_fd.h"
#include "lib/lane/wake.h"

/* Room for some answers: the kernel doubles it. */
#define SEND_BYTES 8192
/* After so many connections in a row the others have their turn. */
#define ACCEPT_BURST 16

static uint64_t boottime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

/* Has said nothing. One that waits for us has. */
static bool is_mute(const struct tpi_session *session)
{
	return !session->process && !session->waits && session->watch.ticket;
}

/* The oldest of one uid or (-1) of all. */
static struct tpi_session *oldest_mute(struct tpi_broker *broker, uid_t uid)
{
	struct tpi_session *session;

	TAILQ_FOREACH (session, &broker->server.sessions, link)
		if (is_mute(session) &&
		    (uid == (uid_t)-1 || session->cred.uid == uid))
			return session;
	return NULL;
}

static uint32_t count_strangers(const struct tpi_broker *broker, uid_t uid,
				bool mute)
{
	const struct tpi_session *session;
	uint32_t count = 0;

	TAILQ_FOREACH (session, &broker->server.sessions, link)
		count += !session->process &&
			 (uid == (uid_t)-1 || session->cred.uid == uid) &&
			 is_mute(session) == mute;
	return count;
}

/*
 * Its HELLO may lie in its socket already, and then it is heard and needs no room among
 * the strangers. So an honest client is not dropped, however many come at once, but one
 * that has sent nothing by now is. It may come again.
 */
static void hear_or_refuse(struct tpi_broker *broker,
			   struct tpi_session *session, int err,
			   const char *why)
{
	uint32_t mute = count_strangers(broker, (uid_t)-1, true);

	tpi_session_message(&session->watch, 0);
	if (count_strangers(broker, (uid_t)-1, true) == mute)
		tpi_session_refuse(session, err, why);
}

static void hear_or_drop(struct tpi_broker *broker, struct tpi_session *session)
{
	hear_or_refuse(broker, session, -EAGAIN,
		       "no HELLO came, and a newer connection needed the "
		       "place: try again");
}

/* The first that should have said HELLO by now. */
static struct tpi_session *find_late(struct tpi_broker *broker, uint64_t now)
{
	struct tpi_session *session;

	if (!broker->server.stranger_count)
		return NULL;
	TAILQ_FOREACH (session, &broker->server.sessions, link)
		if (is_mute(session) && session->deadline_ns <= now)
			return session;
	return NULL;
}

/* A uid that connects and connects makes room by itself, not at others' cost. */
static void limit_strangers(struct tpi_broker *broker,
			    struct tpi_session *newest)
{
	uid_t uid = newest->cred.uid;

	if (count_strangers(broker, uid, false) > TPI_WAITING_OF_UID)
		tpi_session_refuse(newest, -EAGAIN,
				   "too many connections of this uid wait for "
				   "the broker: try again");
	else if (broker->server.stranger_count <= TPI_STRANGERS_OF_UID)
		return;
	else if (count_strangers(broker, uid, true) > TPI_STRANGERS_OF_UID)
		hear_or_drop(broker, oldest_mute(broker, uid));
	else if (count_strangers(broker, (uid_t)-1, true) > TPI_STRANGERS_MAX)
		hear_or_drop(broker, oldest_mute(broker, (uid_t)-1));
}

static void begin_session(struct tpi_broker *broker, int fd, bool refused)
{
	struct tpi_session *session = calloc(1, sizeof(*session));
	int bytes = SEND_BYTES, err;

	if (!session || tpi_cred_read(&session->cred, fd))
		goto fail;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	session->broker = broker;
	session->fd = fd;
	session->accepted_ns = boottime_ns();
	err = tpi_cred_find_home(broker, &session->cred, fd,
				 session->accepted_ns);
	session->deadline_ns = (uint64_t)tpi_now_ns() + TPI_HELLO_NS;
	session->watch.ready = tpi_session_message;
	if (tpi_watch_start(broker->loop, &session->watch, fd))
		goto fail;
	TAILQ_INSERT_TAIL(&broker->server.sessions, session, link);
	broker->server.session_count++;
	broker->server.stranger_count++;
	if (err)
		tpi_session_no_descriptor(session, err);
	else if (refused)
		tpi_session_refuse(session, -EAGAIN,
				   "the broker has no descriptor left for "
				   "another client now (its RLIMIT_NOFILE): "
				   "try again");
	else if (tpi_helper_barred(broker, session->cred.uid))
		tpi_session_refuse(session, -EPERM,
				   "this uid has sent a descriptor whose close "
				   "does not return: it may connect again when "
				   "it does");
	else
		limit_strangers(broker, session);
	return;
fail:
	tpi_client_socket_close(broker, fd, session ? session->cred.uid : 0,
				false);
	free(session);
}

static int accept_one(const struct tpi_server *server)
{
	return tpi_fd_above_stdio(
		accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

void tpi_warn_descriptors(struct tpi_broker *broker, int error)
{
	uint64_t now = (uint64_t)tpi_now_ns();

	if (broker->server.warned_ns &&
	    now - broker->server.warned_ns < TPI_TICK_NS)
		return;
	broker->server.warned_ns = now;
	tpi_log(&broker->log, TAPIO_LOG_WARNING,
		"clients are refused, no descriptor is left for them: %s "
		"(RLIMIT_NOFILE; LimitNOFILE= in a unit)",
		strerror(error));
}

void tpi_spare_fd_take(struct tpi_server *server)
{
	if (server->spare_fd < 0)
		server->spare_fd = tpi_fd_above_stdio(
			open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/*
 * Out of descriptors a newcomer would stay in the backlog, and wake us for ever. A spare
 * descriptor lets it in for as long as it takes to say why, and that it may come again.
 * False: it stays there, and the next tick tries again.
 */
static bool refuse_one(struct tpi_broker *broker)
{
	struct tpi_server *server = &broker->server;
	int fd;

	if (server->spare_fd >= 0)
		close(server->spare_fd);
	server->spare_fd = -1;
	fd = accept_one(server);
	if (fd >= 0)
		begin_session(broker, fd, true);
	tpi_spare_fd_take(server);
	return fd >= 0;
}

void tpi_session_accept(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_server *server = (struct tpi_server *)watch;
	struct tpi_broker *broker = server->broker;

	(void)events;
	/* The next tick looks again. */
	if (tpi_helpers_full(broker)) {
		tpi_log_client(&broker->log, TAPIO_LOG_WARNING,
			       "no connection is accepted: %u sockets with "
			       "descriptors of clients cannot be closed",
			       server->helpers.buried_count);
		tpi_watch_stop(broker->loop, watch);
		return;
	}
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd = accept_one(server);

		if (fd >= 0) {
			begin_session(broker, fd, false);
			continue;
		}
		if (errno != EMFILE && errno != ENFILE && errno != ENOMEM)
			return;
		tpi_warn_descriptors(broker, errno);
		if (oldest_mute(broker, (uid_t)-1)) {
			hear_or_drop(broker, oldest_mute(broker, (uid_t)-1));
			return;
		}
		if (!refuse_one(broker)) {
			tpi_watch_stop(broker->loop, watch);
			return;
		}
	}
}

void tpi_sessions_tick(struct tpi_broker *broker)
{
	struct tpi_server *server = &broker->server;
	struct tpi_session *session;
	uint64_t now = (uint64_t)tpi_now_ns();

	if (server->fd >= 0 && !server->watch.ticket)
		tpi_watch_start(broker->loop, &server->watch, server->fd);
	/* Its HELLO may have come: it had to wait (unread.c), or the broker was stopped. */
	while ((session = find_late(broker, now)))
		hear_or_refuse(broker, session, -ETIMEDOUT,
			       "no HELLO came within 5 s");
	tpi_unread_tick(broker);
	tpi_helpers_tick(broker);
}
