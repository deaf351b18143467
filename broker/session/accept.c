/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Newcomers: accepting connections, and letting go of those that say nothing.
 *
 * Until HELLO a connection has cost its maker nothing, so there are few of them
 * and not for long: the oldest makes room for the next one, that of the same uid
 * first. From HELLO on they count as clients (session.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
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

/* The oldest that has not said HELLO, of one uid or (-1) of all. */
static void drop_stranger(struct tpi_broker *broker, uid_t uid)
{
	struct tpi_session *session;

	TAILQ_FOREACH (session, &broker->server.sessions, link) {
		if (session->process ||
		    (uid != (uid_t)-1 && session->cred.uid != uid))
			continue;
		tpi_session_refuse(session, -ETIMEDOUT,
				   "no HELLO came, and a newer connection "
				   "needed the place");
		return;
	}
}

/* A uid that connects and connects makes room by itself, not at others' cost. */
static void limit_strangers(struct tpi_broker *broker, uid_t uid)
{
	struct tpi_session *session;
	uint32_t of_uid = 0;

	if (broker->server.stranger_count <= TPI_STRANGERS_OF_UID)
		return;
	TAILQ_FOREACH (session, &broker->server.sessions, link)
		of_uid += !session->process && session->cred.uid == uid;
	if (of_uid > TPI_STRANGERS_OF_UID)
		drop_stranger(broker, uid);
	else if (broker->server.stranger_count > TPI_STRANGERS_MAX)
		drop_stranger(broker, (uid_t)-1);
}

static void begin_session(struct tpi_broker *broker, int fd)
{
	struct tpi_session *session = calloc(1, sizeof(*session));
	int bytes = SEND_BYTES;

	if (!session || tpi_cred_read(&session->cred, fd))
		goto fail;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	session->broker = broker;
	session->fd = fd;
	session->accepted_ns = boottime_ns();
	session->deadline_ns = (uint64_t)tpi_now_ns() + TPI_HELLO_NS;
	session->watch.ready = tpi_session_message;
	if (tpi_watch_start(broker->loop, &session->watch, fd))
		goto fail;
	TAILQ_INSERT_TAIL(&broker->server.sessions, session, link);
	broker->server.session_count++;
	broker->server.stranger_count++;
	limit_strangers(broker, session->cred.uid);
	return;
fail:
	close(fd);
	free(session);
}

void tpi_session_accept(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_server *server = (struct tpi_server *)watch;
	struct tpi_broker *broker = server->broker;

	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd = tpi_fd_above_stdio(accept4(
			server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));

		if (fd >= 0) {
			begin_session(broker, fd);
			continue;
		}
		/* Out of descriptors, the newcomer stays in the backlog and would
		 * wake us for ever: strangers make room, else it is tried again
		 * at the next tick. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
			tpi_log_client(&broker->log, TAPIO_LOG_WARNING,
				       "a connection waits, it cannot be "
				       "accepted: %s (RLIMIT_NOFILE; "
				       "LimitNOFILE= in a unit)",
				       strerror(errno));
			if (broker->server.stranger_count)
				drop_stranger(broker, (uid_t)-1);
			else
				tpi_watch_stop(broker->loop, watch);
		}
		return;
	}
}

void tpi_sessions_tick(struct tpi_broker *broker)
{
	struct tpi_server *server = &broker->server;
	struct tpi_session *session, *next;
	uint64_t now = (uint64_t)tpi_now_ns();

	if (server->fd >= 0 && !server->watch.ticket)
		tpi_watch_start(broker->loop, &server->watch, server->fd);
	for (session = TAILQ_FIRST(&server->sessions);
	     session && server->stranger_count; session = next) {
		next = TAILQ_NEXT(session, link);
		if (!session->process && session->deadline_ns <= now)
			tpi_session_refuse(session, -ETIMEDOUT,
					   "no HELLO came within 5 s");
	}
}
