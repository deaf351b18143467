/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker hands its memory over to another program: `tapiod --replace` of the same build or of
 * another one (../replace.c). O is this broker and K its keeper. N is the new keeper, which has
 * sent the request, and W is its first broker.
 *
 *  H1	N asks (REPLACE). O answers HANDING with the life line of its program, and all
 *	that its keeper has (HANDED). Until H3, or for TPI_WIRE_HOLD_MS, O does nothing
 *	else: so N has got all there is. Events flow meanwhile.
 *  H2	N looks whether it can take the memory over, and forks W.
 *  H3	W sends TAKE. O tells K to end with it (QUIT), and then W that it ends (TAKEN).
 *  H4	O ends without STOPPED, and K after it.
 *  H5	W waits for the end of the life line, takes the memory over and serves.
 *
 * Two brokers never serve at once: W touches nothing before the life line has ended, and the
 * kernel ends it with the last process of the old program. The listening socket is always
 * open somewhere, so a client that connects in between waits in its backlog.
 *
 * SIGKILL, and the holder of the memory then:
 *
 *  N before W		O sees the end of the connection, and goes on
 *  N later		W sees the end of the life line, serves, and makes a new keeper
 *  W			N forks another one, which does H3 again. TAKEN stays in the queue
 *  O before QUIT	K starts a broker. W sees that it answers, and N ends
 *  O after QUIT	K ends, too: as H4
 *  K			O goes on with H3, or makes a new keeper
 *  N and W before TAKEN	TAKEN cannot be sent. K has been told, and O replaces it
 *  N and W after it	none: all processes that had the memory were killed
 *
 * SIGSTOP of N or W: H1 is over after TPI_WIRE_HOLD_MS, and O goes on. TAKE then finds a
 * connection that has ended. Of O before H3: N gives up. Of O or K later: W waits, since O
 * may have told K. Only a broker that answers at the socket says that it has not. After
 * TAKEN W kills both, which do nothing any more but end. Another uid: REPLACE is for the
 * same users as RELOAD, and N takes no memory of another user. fork: the helpers of O have
 * no descriptor of the life line, or end with O (child.h). tests/model/replace.pml has all
 * of it.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tapio/version.h>

#include "broker/broker.h"
#include "broker/loop/log_writer.h"
#include "broker/session/hand_over.h"
#include "broker/session/quota.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"
#include "lib/lane/wake.h"
#include "lib/wire/fdpass.h"

/* For the lines that were written before. */
#define LOG_SECONDS 1
#define NAP_NS      1000000

struct handing {
	struct tpi_session *session;
	struct tpi_keep_hand hand;
	int self;      /* this broker's pidfd */
	int64_t until; /* H1 and H3 */
	char *why;
	size_t why_bytes;
};

#define FAIL(h, err, ...) tpi_fail(err, (h)->why, (h)->why_bytes, __VA_ARGS__)

/* ---- H1 ---------------------------------------------------------------------------- */

static int too_late(struct handing *h, const char *what)
{
	return FAIL(h, -ETIMEDOUT, "it did not %s within %d ms", what,
		    TPI_WIRE_HOLD_MS);
}

/* The events that came by then. -ETIMEDOUT, -ECONNRESET: it has hung up. */
static int wait_for(struct handing *h, short events, const char *what)
{
	struct pollfd peer = {.fd = h->session->fd, .events = events};
	int64_t left = (h->until - tpi_now_ns()) / 1000000;

	if (left <= 0 || !poll(&peer, 1, (int)left))
		return too_late(h, what);
	if (peer.revents & (POLLHUP | POLLERR))
		return FAIL(h, -ECONNRESET, "it has closed the connection");
	return 0;
}

static int send_message(struct handing *h, union tpi_wire_message *message,
			const int *fds, unsigned int fd_count)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	ssize_t sent;
	int err = 0;

	message->header.fd_count = fd_count;
	for (;;) {
		sent = tpi_send_fds(h->session->fd, message,
				    message->header.length, fds, fd_count);
		if (sent != -EAGAIN && sent != -ETOOMANYREFS)
			break;
		err = wait_for(h, POLLOUT, "read what it was sent");
		if (err)
			return err;
		/* There is room in the queue, and too much on its way elsewhere. */
		nanosleep(&nap, NULL);
	}
	return sent < 0
		       ? FAIL(h, (int)sent, "sending: %s", strerror((int)-sent))
		       : 0;
}

static int send_handing(struct handing *h)
{
	int fds[] = {h->hand.life, h->hand.keeper, h->self};
	union tpi_wire_message message;

	tpi_wire_init(&message, TPI_WIRE_HANDING);
	message.handing.count = h->hand.count;
	message.handing.broker = (uint32_t)getpid();
	message.handing.keeper = (uint32_t)h->session->broker->keep->pid;
	snprintf(message.handing.version, sizeof(message.handing.version), "%s",
		 tapio_version());
	return send_message(h, &message, fds, 3);
}

/* As many as one message takes, from that one on. */
static int send_batch(struct handing *h, uint32_t first)
{
	union tpi_wire_message message;
	uint32_t count = h->hand.count - first;
	int fds[TPI_WIRE_HANDED_MAX];

	if (count > TPI_WIRE_HANDED_MAX)
		count = TPI_WIRE_HANDED_MAX;
	tpi_wire_init(&message, TPI_WIRE_HANDED);
	message.handed.count = count;
	for (uint32_t i = 0; i < count; i++) {
		const struct tpi_kept *kept = &h->hand.kept[first + i];

		fds[i] = kept->fd;
		message.handed.keys[i] =
			kept->key.kind << 24 | kept->key.number;
	}
	return send_message(h, &message, fds, count);
}

static int send_table(struct handing *h)
{
	int err = 0;

	for (uint32_t i = 0; i < h->hand.count && !err;
	     i += TPI_WIRE_HANDED_MAX) {
		err = send_batch(h, i);
		TPI_TESTPOINT("hand.batch");
	}
	return err;
}

/* ---- H3 ---------------------------------------------------------------------------- */

static int receive_take(struct handing *h)
{
	union tpi_wire_message message;
	unsigned int none = 0;
	ssize_t got;
	int err = wait_for(h, POLLIN, "take what it was given");

	if (err)
		return err;
	got = tpi_recv_fds(h->session->fd, &message, sizeof(message), NULL,
			   &none);
	if (got <= 0)
		return FAIL(h, -ECONNRESET, "it has closed the connection");
	tpi_wire_complete(&message, got);
	err = tpi_wire_check(&message, (size_t)got, none, h->why, h->why_bytes);
	if (!err && message.header.type != TPI_WIRE_TAKE)
		err = FAIL(h, -EPROTO, "it sent message type %u",
			   message.header.type);
	return err;
}

/* The step without a way back, but for one. */
static int let_go(struct handing *h)
{
	struct tpi_broker *broker = h->session->broker;
	union tpi_wire_message message;
	int err = tpi_keep_let_go(broker->keep);

	if (err)
		return FAIL(h, err, "the keeper cannot be told: %s",
			    strerror(-err));
	TPI_TESTPOINT("hand.quit");
	tpi_wire_init(&message, TPI_WIRE_TAKEN);
	err = send_message(h, &message, NULL, 0);
	if (err)
		(void)tpi_keep_hold_on(broker->keep);
	TPI_TESTPOINT("hand.taken");
	return err;
}

static int hand_over(struct handing *h)
{
	struct tpi_broker *broker = h->session->broker;
	int err;

	h->until = tpi_now_ns() + TPI_WIRE_HOLD_MS * INT64_C(1000000);
	err = send_handing(h);
	TPI_TESTPOINT("hand.handing");
	if (!err)
		err = send_table(h);
	TPI_TESTPOINT("hand.table");
	if (!err)
		err = receive_take(h);
	if (err)
		return err;
	tpi_log(&broker->log, TAPIO_LOG_NOTICE,
		"process %d (uid %u) takes over: this broker, process %d, and "
		"its keeper end, and their clients go on",
		h->session->cred.pid, h->session->cred.uid, getpid());
	tpi_log_writer_drain(LOG_SECONDS);
	TPI_TESTPOINT("hand.take");
	return let_go(h);
}

/* ---- the request --------------------------------------------------------------------- */

static int no_keeper(const struct tpi_broker *broker, int err, char *why,
		     size_t why_bytes)
{
	if (err == -ENOMEM)
		return tpi_fail(err, why, why_bytes, "out of memory");
	if (err == -EAGAIN)
		return tpi_fail(-EBUSY, why, why_bytes,
				"the keeper of this broker has just died, and "
				"there is no new one yet: try again");
	if (broker->keep)
		return tpi_fail(-EOPNOTSUPP, why, why_bytes,
				"the service manager starts this broker and "
				"keeps its memory: restart the service "
				"(systemctl restart), and its clients go on");
	return tpi_fail(-EOPNOTSUPP, why, why_bytes,
			"this broker runs without a keeper, so its private "
			"records cannot be handed over: stop it, and start the "
			"new one");
}

static int begin(struct handing *h)
{
	struct tpi_broker *broker = h->session->broker;
	int err;

	if (!tpi_quota_is_exempt(&h->session->cred))
		return FAIL(h, -EPERM,
			    "to replace a broker is for root and the broker's "
			    "own user, in the broker's namespaces");
	err = tpi_keep_hand(broker->keep, &h->hand);
	if (err)
		return no_keeper(broker, err, h->why, h->why_bytes);
	h->self = tpi_sys_pidfd_open(getpid(), 0);
	return h->self < 0
		       ? FAIL(h, h->self, "pidfd_open: %s", strerror(-h->self))
		       : 0;
}

void tpi_session_hand_over(struct tpi_session *session)
{
	struct tpi_broker *broker = session->broker;
	char why[256] = "";
	struct handing h = {
		.session = session, .why = why, .why_bytes = sizeof(why)};
	int err = begin(&h);

	if (err) {
		tpi_session_refuse(session, err, why);
		return;
	}
	/* From TAKEN on the other one may serve at any time, so nothing is done here. */
	if (!hand_over(&h))
		_exit(0);
	close(h.self);
	free(h.hand.kept);
	tpi_log(&broker->log, TAPIO_LOG_WARNING,
		"process %d (uid %u) wanted to take over, and this broker goes "
		"on: %s",
		session->cred.pid, session->cred.uid, why);
	tpi_session_close(session);
}
