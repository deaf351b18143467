/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving messages: here, or where descriptors may come with them, by a helper
 * (helper.c). A session waits while no helper is free, or while its answer might take too
 * many descriptors (unread.c). Its message stays in its socket then.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/session/quota.h"
#include "lib/wire/fdpass.h"

static void no_message(struct tpi_session *session, ssize_t got)
{
	char why[128];

	switch (got) {
	case -EMSGSIZE:
		snprintf(why, sizeof(why),
			 "a message has at most %d bytes and one descriptor",
			 TPI_WIRE_BYTES_MAX);
		tpi_session_protocol_error(session, -EMSGSIZE, why);
		return;
	case -EMFILE:
	case -ENFILE:
		tpi_session_no_descriptor(session, (int)got);
		return;
	case -ETIMEDOUT:
		tpi_session_refuse(session, -ETIMEDOUT,
				   "the descriptor in HELLO could not be "
				   "received within 2 s");
		return;
	default:
		tpi_session_close(session);
	}
}

static void on_message(struct tpi_session *session,
		       const union tpi_wire_message *message, size_t bytes,
		       unsigned int fds, int pidfd)
{
	char why[256];
	int err = tpi_wire_check(message, bytes, fds, why, sizeof(why));

	if (!err) {
		tpi_session_dispatch(session, message, pidfd);
		return;
	}
	if (pidfd >= 0)
		close(pidfd);
	tpi_session_protocol_error(session, err, why);
}

void tpi_session_received(struct tpi_session *session,
			  const struct tpi_received *received, int pidfd)
{
	ssize_t got = received->fd_count > 1 ? -EMSGSIZE : received->got;

	if (tpi_watch_start(session->broker->loop, &session->watch,
			    session->fd)) {
		tpi_session_close(session);
	} else if (got <= 0) {
		no_message(session, got);
	} else if (received->fd_count && !received->has_pidfd) {
		tpi_session_protocol_error(
			session, -EBADF,
			"the descriptor in HELLO is not a pidfd");
	} else {
		on_message(session, &received->message, (size_t)got,
			   received->fd_count, pidfd);
		return;
	}
	if (pidfd >= 0)
		close(pidfd);
}

/* A message with descriptors, where the kernel lets them come: not here. */
static void receive_elsewhere(struct tpi_session *session)
{
	int err = tpi_helper_receive(session);

	switch (err) {
	case 0:
		return;
	case -EBUSY:
		tpi_session_wait(session);
		return;
	case -EPERM:
		tpi_session_refuse(session, -EPERM,
				   "this uid has sent a descriptor whose close "
				   "does not return, and sends another one");
		return;
	case -EMFILE:
	case -ENFILE:
		tpi_session_no_descriptor(session, err);
		return;
	default:
		tpi_session_refuse(session, -EAGAIN,
				   "the broker cannot receive the descriptor "
				   "in HELLO now: it can make no process");
	}
}

void tpi_session_wait(struct tpi_session *session)
{
	session->waits = true;
	tpi_watch_stop(session->broker->loop, &session->watch);
}

uint32_t tpi_sessions_resume(struct tpi_broker *broker)
{
	const struct tpi_session *full = NULL; /* the last one without room */
	struct tpi_session *session, *next;
	uint32_t count = 0;

	for (session = TAILQ_FIRST(&broker->server.sessions); session;
	     session = next) {
		next = TAILQ_NEXT(session, link);
		if (!session->waits || session->parked)
			continue;
		count++;
		if (session->unread_fds)
			continue;
		if ((full && tpi_quota_is_shared(full, session)) ||
		    !tpi_unread_fits(session)) {
			full = session;
			continue;
		}
		session->waits = false;
		if (tpi_watch_start(broker->loop, &session->watch, session->fd))
			tpi_session_close(session);
	}
	return count;
}

/* One message each time, so that no client keeps the others waiting. */
void tpi_session_message(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_session *session = (struct tpi_session *)watch;
	union tpi_wire_message message;
	unsigned int none = 0;
	ssize_t got;

	(void)events;
	if (!tpi_unread_room(session)) {
		tpi_session_wait(session);
		return;
	}
	if (session->broker->server.helpers.needed &&
	    tpi_carries_fds(session->fd)) {
		receive_elsewhere(session);
		return;
	}
	got = tpi_recv_fds(session->fd, &message, sizeof(message), NULL, &none);
	tpi_wire_complete(&message, got);
	if (got > 0)
		on_message(session, &message, (size_t)got, 0, -1);
	else if (got != -EAGAIN)
		no_message(session, got);
}
