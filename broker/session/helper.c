/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that clients send, on kernels that cannot refuse them.
 *
 * The close of a descriptor can take as long as its maker likes: a file of his own FUSE
 * file system waits for his answer, in a state in which no signal reaches the process. A
 * TCP socket lingers. The process that drops the last reference is the one that waits:
 *
 *  F1  recvmsg with a control buffer, then close(): the caller of close, also for the
 *	flush of a reference that is not the last.
 *  F2  recvmsg without room for them: the kernel drops them before the caller returns to
 *	user mode.
 *  F3  close() of a socket in whose queue they are, or of a listening socket with such
 *	connections in its backlog: as F2. If the loop's ring still polls the socket, the
 *	last reference goes when the poll is removed, on the same thread.
 *  F4  recvmsg with MSG_PEEK and no control buffer: the caller drops references, but not
 *	the last ones, because the queue has them. No flush. This one does not wait, and
 *	MSG_CTRUNC tells that there are descriptors.
 *  F5  the end of a process: as F1 to F3 for all that it has open.
 *
 * A thread would be no help: threads have one table of descriptors, and a process whose
 * thread is in state D does not end. So the loop keeps to these rules:
 *
 *  H1  It looks by F4 before it receives. A message without descriptors is received, and
 *	it is the one that was seen, because only the loop receives there.
 *  H2  A message with descriptors is received by a helper: a forked process with this
 *	one socket, whose table of descriptors is its own. It answers with the bytes, and
 *	with the descriptor if that is a pidfd, whose close never waits. Then it drops
 *	the rest, and may hang in that as long as it likes.
 *  H3  The loop closes a client's socket only when it is shut down, so that the queue
 *	cannot grow, and the queue is empty. Messages without descriptors are received
 *	and dropped. With descriptors in the queue the socket is left to a helper: it has
 *	its own reference from the fork, and so the loop's close drops none of F3.
 *
 * BOUNDS. A helper that has not ended after 2 s is killed. That ends the wait of a TCP
 * socket, and of FUSE requests that can be interrupted. One that two later ticks find
 * asleep hangs: its uid is barred (bar.c) until it has ended, and its connections go to
 * no helper. Time alone proves nothing. On a busy machine the one that was killed may get
 * no CPU for more than a second, or it has ended, and the loop has not come to hear of
 * it. One look alone proves little: it may sleep a while in its end, as for a page.
 * Sockets that no helper may close wait in a list. When that is full no more
 * connections are taken, which needs more than one uid, or a socket without a file.
 * Attached clients, repair and SIGTERM are not concerned.
 *
 * SIGKILL of the broker: helpers are killed with it (PR_SET_PDEATHSIG). SIGSTOP: helpers go
 * on. A fork of the embedding program: the child closes its copies, which are never the last
 * ones. A helper is cloned without an exit signal, so wait() of an embedding program does
 * not see it (loop/child.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/loop/child.h"
#include "broker/session/helper_child.h"
#include "broker/session/rights.h"
#include "lib/base/own_fd.h"
#include "lib/lane/wake.h"
#include "lib/wire/fdpass.h"

/* Messages that the loop drops at most when it closes a socket. */
#define DROPPED_MAX 1024
static struct tpi_helpers *helpers_of(struct tpi_broker *broker)
{
	return &broker->server.helpers;
}

/* ---- its life ----------------------------------------------------------------------- */

bool tpi_helper_barred(const struct tpi_broker *broker, uid_t uid)
{
	const struct tpi_helper *helper;

	TAILQ_FOREACH (helper, &broker->server.helpers.list, link)
		if (helper->hung && helper->uid == uid)
			return true;
	return false;
}

/* 0: another helper may begin for this uid. */
static int may_begin(const struct tpi_broker *broker, uid_t uid)
{
	const struct tpi_helpers *helpers = &broker->server.helpers;
	const struct tpi_helper *helper;
	uint32_t of_uid = 0;

	if (tpi_helper_barred(broker, uid) ||
	    (helpers->hung >= TPI_HELPERS_HUNG && !tpi_is_owner_uid(uid)))
		return -EPERM;
	TAILQ_FOREACH (helper, &helpers->list, link)
		of_uid += helper->uid == uid;
	return helpers->at_work >= TPI_HELPERS_MAX ||
			       of_uid >= TPI_HELPERS_OF_UID
		       ? -EBUSY
		       : 0;
}

static void on_death(struct tpi_watch *watch, unsigned int events);

static struct tpi_helper *note(struct tpi_broker *broker, uid_t uid, pid_t pid,
			       int pidfd)
{
	struct tpi_helpers *helpers = helpers_of(broker);
	struct tpi_helper *helper = calloc(1, sizeof(*helper));

	if (!helper)
		return NULL;
	helper->broker = broker;
	helper->uid = uid;
	helper->pid = pid;
	helper->kill_ns = (uint64_t)tpi_now_ns() + TPI_HELPER_NS;
	helper->died.ready = on_death;
	helper->answer.fd = -1;
	if (tpi_watch_start(broker->loop, &helper->died, pidfd)) {
		free(helper);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&helpers->list, helper, link);
	helpers->at_work++;
	return helper;
}

/* ---- sockets that wait to be closed --------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

/* Those of one uid, or all of them, in rising order. To be freed. */
static int *collect(const struct tpi_helpers *helpers, uid_t uid, bool all,
		    unsigned int *count)
{
	int *fds = calloc(helpers->buried_count, sizeof(*fds));
	const struct tpi_buried *buried;

	*count = 0;
	STAILQ_FOREACH(buried, &helpers->buried, link)
	if (fds && (all || buried->uid == uid))
		fds[(*count)++] = buried->fd;
	if (fds)
		qsort(fds, *count, sizeof(*fds), by_number);
	return fds;
}

/* The helper has its own references. */
static void forget_buried(struct tpi_helpers *helpers, uid_t uid, bool all)
{
	STAILQ_HEAD(, tpi_buried) rest = STAILQ_HEAD_INITIALIZER(rest);
	struct tpi_buried *buried;

	while ((buried = STAILQ_FIRST(&helpers->buried))) {
		STAILQ_REMOVE_HEAD(&helpers->buried, link);
		if (!all && buried->uid != uid) {
			STAILQ_INSERT_TAIL(&rest, buried, link);
			continue;
		}
		close(buried->fd);
		free(buried);
		helpers->buried_count--;
	}
	STAILQ_CONCAT(&helpers->buried, &rest);
}

/* One helper for all sockets of a uid. With `last` for all of all uids: it outlives us. */
static bool empty_by_helper(struct tpi_broker *broker, uid_t uid, bool last)
{
	struct tpi_helpers *helpers = helpers_of(broker);
	unsigned int count;
	int *fds = collect(helpers, uid, last, &count);
	pid_t me = getpid(), pid;
	int pidfd = -1;

	if (!fds)
		return false;
	pid = tpi_child_fork(&pidfd);
	if (!pid) {
		if (!last)
			tpi_child_begin(me);
		tpi_helper_child_empty(fds, count);
		_exit(0);
	}
	free(fds);
	if (pid < 0)
		return false;
	if (!last && !note(broker, uid, pid, pidfd)) {
		tpi_child_end(pidfd);
		close(pidfd);
		return false;
	}
	if (last)
		close(pidfd);
	forget_buried(helpers, uid, last);
	return true;
}

static void empty_buried(struct tpi_broker *broker)
{
	struct tpi_helpers *helpers = helpers_of(broker);
	struct tpi_buried *buried = STAILQ_FIRST(&helpers->buried);

	while (buried) {
		if (may_begin(broker, buried->uid) ||
		    !empty_by_helper(broker, buried->uid, false))
			buried = STAILQ_NEXT(buried, link);
		else
			buried = STAILQ_FIRST(&helpers->buried);
	}
}

bool tpi_carries_fds(int sock)
{
	char byte;
	struct iovec iov = {&byte, sizeof(byte)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT) >= 0 &&
	       msg.msg_flags & MSG_CTRUNC;
}

enum look {
	LOOK_EMPTY,
	LOOK_PLAIN,
	LOOK_FDS
};

/*
 * The next message of a socket with SO_PASSCRED. Each has credentials then, and there is
 * room for nothing else. So an empty message is not taken for the end of the queue.
 */
static enum look look(int sock)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char byte;
	struct iovec iov = {&byte, sizeof(byte)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};

	if (recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT) < 0)
		return errno == EAGAIN ? LOOK_EMPTY : LOOK_FDS;
	if (msg.msg_flags & MSG_CTRUNC)
		return LOOK_FDS;
	return msg.msg_controllen ? LOOK_PLAIN : LOOK_EMPTY;
}

/* H3. True: the queue is empty, and stays so. */
static bool empty_here(int fd)
{
	enum look seen = LOOK_PLAIN;
	char byte;

	for (int i = 0; i < DROPPED_MAX; i++) {
		seen = look(fd);
		if (seen != LOOK_PLAIN)
			break;
		(void)!recv(fd, &byte, sizeof(byte), MSG_DONTWAIT);
	}
	return seen == LOOK_EMPTY;
}

static void bury(struct tpi_broker *broker, int fd, uid_t uid)
{
	struct tpi_helpers *helpers = helpers_of(broker);
	struct tpi_buried *buried = calloc(1, sizeof(*buried));

	if (!buried) /* Kept open: that costs a descriptor, and waits for none. */
		return;
	buried->fd = fd;
	buried->uid = uid;
	STAILQ_INSERT_TAIL(&helpers->buried, buried, link);
	helpers->buried_count++;
	empty_buried(broker);
}

void tpi_client_socket_close(struct tpi_broker *broker, int fd, uid_t uid,
			     bool in_helper)
{
	const int on = 1;

	if (fd < 0)
		return;
	/* Nothing unread is left, either: the client would see ECONNRESET before it sees
	 * why it was refused. */
	shutdown(fd, SHUT_RDWR);
	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	/* While a helper receives, a reference that the look drops may be the last. */
	if ((!in_helper && empty_here(fd)) || !helpers_of(broker)->needed)
		close(fd);
	else
		bury(broker, fd, uid);
}

bool tpi_helpers_full(const struct tpi_broker *broker)
{
	return broker->server.helpers.buried_count >= TPI_BURIED_MAX;
}

/* ---- messages --------------------------------------------------------------------------- */

static void stop_answer(struct tpi_helper *helper)
{
	tpi_watch_stop(helper->broker->loop, &helper->answer);
	if (helper->answer.fd >= 0)
		close(helper->answer.fd);
	helper->answer.fd = -1;
}

/* What it has received, or why there is nothing. */
static void on_answer(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_helper *helper =
		(struct tpi_helper *)((char *)watch -
				      offsetof(struct tpi_helper, answer));
	struct tpi_session *session = helper->session;
	struct tpi_received received;
	unsigned int count = 1;
	int pidfd = -1;
	ssize_t got;

	(void)events;
	memset(&received, 0, sizeof(received));
	got = tpi_recv_fds(watch->fd, &received, sizeof(received), &pidfd,
			   &count);
	if (got == -EAGAIN)
		return;
	stop_answer(helper);
	helper->session = NULL;
	if (got != (ssize_t)sizeof(received))
		received.got = got < 0 ? (int32_t)got : -ETIMEDOUT;
	if (session)
		tpi_session_received(session, &received, count ? pidfd : -1);
	else if (count)
		close(pidfd);
}

static int begin_receiving(struct tpi_session *session, const int ends[2])
{
	struct tpi_broker *broker = session->broker;
	pid_t me = getpid(), pid;
	struct tpi_helper *helper;
	int pidfd = -1;

	pid = tpi_child_fork(&pidfd);
	if (!pid) {
		tpi_child_begin(me);
		tpi_helper_child_receive(session->fd, ends[1]);
		_exit(0);
	}
	if (pid < 0)
		return -errno;
	helper = note(broker, session->cred.uid, pid, pidfd);
	if (!helper) {
		tpi_child_end(pidfd);
		close(pidfd);
		return -ENOMEM;
	}
	helper->answer.ready = on_answer;
	if (tpi_watch_start(broker->loop, &helper->answer, ends[0])) {
		helper->answer.fd = -1;
		tpi_child_end(pidfd);
		return -ENOMEM;
	}
	helper->session = session;
	return 0;
}

int tpi_helper_receive(struct tpi_session *session)
{
	int ends[2], err = may_begin(session->broker, session->cred.uid);

	if (err)
		return err;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0, ends))
		return -errno;
	ends[0] = tpi_fd_above_stdio(ends[0]);
	ends[1] = tpi_fd_above_stdio(ends[1]);
	err = ends[0] < 0 || ends[1] < 0 ? -EMFILE
					 : begin_receiving(session, ends);
	if (ends[1] >= 0)
		close(ends[1]);
	if (err && ends[0] >= 0)
		close(ends[0]);
	if (!err)
		tpi_watch_stop(session->broker->loop, &session->watch);
	return err;
}

bool tpi_helper_forget(struct tpi_session *session)
{
	struct tpi_helper *helper;

	TAILQ_FOREACH (helper, &helpers_of(session->broker)->list, link) {
		if (helper->session != session)
			continue;
		helper->session = NULL;
		return true;
	}
	return false;
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void remove_helper(struct tpi_helper *helper)
{
	struct tpi_helpers *helpers = helpers_of(helper->broker);

	stop_answer(helper);
	tpi_watch_stop(helper->broker->loop, &helper->died);
	close(helper->died.fd);
	TAILQ_REMOVE(&helpers->list, helper, link);
	if (helper->hung)
		helpers->hung--;
	else
		helpers->at_work--;
	free(helper);
}

static void on_death(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_helper *helper = (struct tpi_helper *)watch;
	struct tpi_broker *broker = helper->broker;
	bool hung = helper->hung;

	(void)events;
	tpi_child_reap(watch->fd);
	if (helper->hung)
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"the helper (process %d) that hung in a descriptor of "
			"uid %u has ended: that uid may connect again",
			helper->pid, helper->uid);
	/* Its answer is in the channel, or never comes. */
	if (helper->answer.ticket)
		on_answer(&helper->answer, 0);
	remove_helper(helper);
	if (hung)
		tpi_bar_update(broker);
	empty_buried(broker);
	tpi_sessions_resume(broker);
}

/* The session that waits for it is refused. Its socket stays the helper's (H3). */
static void give_up(struct tpi_helper *helper)
{
	struct tpi_helpers *helpers = helpers_of(helper->broker);

	helper->hung = true;
	helpers->hung++;
	helpers->at_work--;
	tpi_bar_update(helper->broker);
	tpi_log(&helper->broker->log, TAPIO_LOG_WARNING,
		"uid %u has sent a descriptor whose close does not return, not "
		"even when the helper (process %d) is killed: until it has "
		"ended that uid cannot connect (Linux 6.16 refuses such "
		"descriptors, SO_PASSRIGHTS)",
		helper->uid, helper->pid);
	if (helper->session)
		tpi_session_refuse(helper->session, -ETIMEDOUT,
				   "the descriptor that came with the message "
				   "could not be received");
}

void tpi_helpers_tick(struct tpi_broker *broker)
{
	struct tpi_helper *helper;
	uint64_t now = (uint64_t)tpi_now_ns();

	TAILQ_FOREACH (helper, &helpers_of(broker)->list, link) {
		if (helper->hung || helper->kill_ns > now)
			continue;
		if (helper->killed) {
			helper->asleep += tpi_is_asleep(helper->died.fd);
			if (helper->asleep >= TPI_HELPER_LOOKS)
				give_up(helper);
			continue;
		}
		helper->killed = true;
		tpi_child_kill(helper->died.fd);
		tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
			       "uid %u has sent a descriptor whose close takes "
			       "longer than 2 s: the helper (process %d) is "
			       "killed",
			       helper->uid, helper->pid);
	}
	empty_buried(broker);
	tpi_sessions_resume(broker);
}

void tpi_helpers_stop(struct tpi_broker *broker)
{
	struct tpi_helpers *helpers = helpers_of(broker);
	struct tpi_helper *helper;

	if (!STAILQ_EMPTY(&helpers->buried))
		empty_by_helper(broker, 0, true);
	while ((helper = TAILQ_FIRST(&helpers->list))) {
		tpi_child_end(helper->died.fd);
		remove_helper(helper);
	}
}

void tpi_helpers_close_copies(struct tpi_helpers *helpers)
{
	struct tpi_helper *helper;
	struct tpi_buried *buried;

	TAILQ_FOREACH (helper, &helpers->list, link) {
		close(helper->died.fd);
		if (helper->answer.fd >= 0)
			close(helper->answer.fd);
	}
	STAILQ_FOREACH(buried, &helpers->buried, link)
	close(buried->fd);
}

void tpi_helpers_lose(struct tpi_helpers *helpers)
{
	struct tpi_helper *helper;
	struct tpi_buried *buried;

	TAILQ_FOREACH (helper, &helpers->list, link)
		helper->died.fd = helper->answer.fd = -1;
	while ((buried = STAILQ_FIRST(&helpers->buried))) {
		STAILQ_REMOVE_HEAD(&helpers->buried, link);
		free(buried);
	}
	helpers->buried_count = 0;
}
