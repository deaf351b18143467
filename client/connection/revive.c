/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handle comes back by itself: its connection ends with its broker, and the memory goes
 * on with another one, which knows our attachment.
 *
 *	      the connection stands        answer       answer
 *	DOWN -------- V1 -------> HELLO ---- V2 ---> RESUMES ---- V3 ---> UP
 *	  ^                         |                   |
 *	  +------- gone, late ------+-------------------+---- no such attachment: LOST
 *	  |                         |
 *	  +-- gone -- ELSEWHERE <---+ other memory
 *
 *  V1  A second connection to the name that open found, HELLO. It is `coming` of the handle.
 *	A listener of another uid than the first broker's is none of ours.
 *  V2  WELCOME. Another instance than that of the mapped catalog is other memory. Else RESUME
 *	is sent, with the epochs of the cursors that a producer maps.
 *  V3  RESUMED. `coming` becomes the connection, and the old one is closed.
 *
 * A step that takes longer goes on in a later call, so none waits for longer than it says. LOST
 * is for good: the handle works on the memory that it has, and says why.
 *
 * ELSEWHERE. The former instance has no broker any more: the lock of its name lets one broker
 * serve there (broker/session/name_lock.c), and that one has other memory. The connection of
 * V1 is closed. The handle works on with what it has until its role opens anew
 * (tpi_client_open_again()). Where that fails because no broker is there, it is DOWN
 * again, so a broker that dies in the middle of a move costs one more look. Where that is
 * refused, it is tried again a second later.
 *
 * LOOKING. A call that needs the broker looks at the connection itself: close, FETCH
 * (client/producer/slots.c) and tapio_*_connected(). Others notice that `serving` of the
 * catalog's broker has changed, which the kernel does when a broker dies, a broker when it stops,
 * and its successor when it begins: a load, and no system call. They are idle consumers and
 * observers, the thread of tapio_fd, and producers before each event. One of them that finds
 * the connection gone and no broker there comes again, once in 100 ms. A word that names no
 * broker is never taken for known, so the handle of a broker that has died or stopped looks
 * until one answers, however often its first look came too early.
 *
 * THREADS AND SIGNAL HANDLERS. One thread at a time has the turn, with all signals blocked,
 * so no handler finds it taken by its own thread, or leaves it taken by a jump. The others go
 * on without. A handler may have it, too. All of this is plain system calls on memory of the
 * stack and of the handle: socket, connect (which does not wait, since the socket is
 * non-blocking), sendmsg, recvmsg, poll, fstat, fcntl, getsockopt, prctl and close. No lock,
 * no allocation and no printf is among them, and the data path waits for a millisecond at
 * most for each answer, and only once.
 *
 * SIGKILL at any step: both connections close, and the broker has the pidfd. SIGSTOP: the
 * broker may close a connection that said nothing. Then it is DOWN again. fork: the child's
 * handle is dead, and its copies of both connections are closed (handle.c). Between socket()
 * and the note of its number, the child of another thread's fork keeps a copy until it
 * ends or calls exec. The broker then sees a connection stand that no process uses, and
 * pidfd and DETACH still end the attachment. A broker that dies at any step: DOWN. It may
 * have tied the attachment to a connection that we have given up: -EBUSY until it has seen
 * that one end, and we ask again. Another uid: V1. What listens there with the uid of
 * the broker is the broker.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client/connection/client.h"
#include "lib/base/testpoint.h"
#include "lib/base/thread.h"
#include "lib/lane/wake.h"
#include "lib/wire/fdpass.h"

/* Between two attempts where there is no broker, two that it refuses, and two looks for
 * its answer. */
#define REST_NS   INT64_C(100000000)
#define REFUSE_NS INT64_C(1000000000)
#define LOOK_NS   INT64_C(1000000)
/* How long tapio_*_connected() waits for a broker that is there. */
#define ASK_NS INT64_C(10000000)
/* Between two attempts of a call that waits. */
#define NAP_NS 1000000

static uint32_t state_of(const struct tpi_client *client)
{
	/* ORDER link.state (acquire): the reason before LOST. Pairs with the
	 * release in set_state(). */
	return tpi_load_acquire(&client->link.state);
}

static void set_state(struct tpi_client *client, uint32_t state)
{
	client->link.waited = false;
	/* ORDER link.state (release): the reason before LOST. Pairs with the
	 * acquire in state_of(). */
	tpi_store_release(&client->link.state, state);
}

static uint64_t serving(const struct tpi_client *client)
{
	/* ORDER broker.serving (acquire): STOPPED, which came before it. Pairs with the
	 * release in tpi_serving_end(). */
	return tpi_load_acquire(&client->catalog.broker->serving);
}

/* The connection stood after that word was loaded. */
static void know(struct tpi_client *client, uint64_t word)
{
	/* Relaxed: as in tpi_client_called(). */
	tpi_store_relaxed(client->link.known,
			  TAPIO_SERVING_TID(word) ? word : 0);
}

/* No look will help, until another broker begins or ends. */
static void look_no_more(struct tpi_client *client)
{
	tpi_store_relaxed(client->link.known, serving(client));
}

bool tpi_client_stopped(const struct tpi_client *client)
{
	/* ORDER broker.state (acquire): nothing is read after it that depends on
	 * it. The order is the broker's. Pairs with the release when it stops. */
	return tpi_load_acquire(&client->catalog.broker->state) ==
	       TAPIO_BROKER_STOPPED;
}

/* ---- the turn --------------------------------------------------------------------- */

bool tpi_client_enter(struct tpi_client *client, struct tpi_turn *turn)
{
	sigset_t all;

	turn->cancel = tpi_cancel_off();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &turn->signals);
	if (!tpi_swap_acq_rel(&client->link.turn, 1))
		return true;
	pthread_sigmask(SIG_SETMASK, &turn->signals, NULL);
	tpi_cancel_restore(turn->cancel);
	return false;
}

void tpi_client_leave(struct tpi_client *client, const struct tpi_turn *turn)
{
	/* Release: all that this turn did, for the next one that swaps it. */
	tpi_store_release(&client->link.turn, 0);
	pthread_sigmask(SIG_SETMASK, &turn->signals, NULL);
	tpi_cancel_restore(turn->cancel);
}

/* ---- the ends ------------------------------------------------------------------------ */

static void append(char *text, const char *more)
{
	size_t at = strlen(text), bytes = strlen(more);

	if (bytes > TPI_LINK_WHY_BYTES - 1 - at)
		bytes = TPI_LINK_WHY_BYTES - 1 - at;
	memcpy(text + at, more, bytes);
	text[at + bytes] = '\0';
}

/*
 * The reason, without printf, which is no function for a signal handler. A thread that
 * reads the one before goes on with it.
 */
static void explain(struct tpi_client *client, const char *before,
		    const char *between, const char *after)
{
	struct tpi_link *link = &client->link;
	uint32_t at = !link->why_at;

	link->why[at][0] = '\0';
	append(link->why[at], before);
	append(link->why[at], between);
	append(link->why[at], after);
	if (!strcmp(link->why[at], link->why[!at]))
		return;
	/* ORDER link.why_at (release): the words before it. Pairs with the acquire in
	 * tpi_client_error(). */
	tpi_store_release(&link->why_at, at);
}

static int lose(struct tpi_client *client, const char *before,
		const char *between, const char *after)
{
	tpi_own_fd_close(&client->handle.coming);
	explain(client, before, between, after);
	set_state(client, TPI_LINK_LOST);
	look_no_more(client);
	return -ENOTCONN;
}

/* Back to DOWN. Returns err. */
static int give_up(struct tpi_client *client, int err)
{
	tpi_own_fd_close(&client->handle.coming);
	/* Relaxed: the state after it is stored with release. */
	tpi_store_relaxed(&client->link.error, err);
	set_state(client, TPI_LINK_DOWN);
	tpi_store_relaxed(&client->link.again_ns, tpi_now_ns() + REST_NS);
	return err;
}

void tpi_client_hung_up(struct tpi_client *client)
{
	set_state(client, TPI_LINK_DOWN);
	tpi_store_relaxed(client->link.known, 0);
}

/* ---- elsewhere ------------------------------------------------------------------------ */

bool tpi_client_elsewhere(const struct tpi_client *client)
{
	return state_of(client) == TPI_LINK_ELSEWHERE;
}

static int go_elsewhere(struct tpi_client *client)
{
	tpi_own_fd_close(&client->handle.coming);
	explain(client, "the broker at \"", client->link.name.text,
		"\" has other memory than this handle, which moves there by "
		"itself");
	tpi_store_relaxed(&client->link.again_ns, 0);
	/* Relaxed: the state after it is stored with release. */
	tpi_store_relaxed(&client->link.refused, 0);
	set_state(client, TPI_LINK_ELSEWHERE);
	return -ENOTCONN;
}

bool tpi_client_may_move(const struct tpi_client *client)
{
	return client->link.state == TPI_LINK_ELSEWHERE &&
	       tpi_now_ns() >= tpi_load_relaxed(&client->link.again_ns);
}

/* The errors of an open that met no broker, or one that ended. */
static bool is_absent(int err)
{
	return err == -ECONNREFUSED || err == -ECONNRESET || err == -EPIPE ||
	       err == -ETIMEDOUT;
}

/* In decimal, of at most four digits. */
static const char *say_number(char text[5], int number)
{
	char *at = text + 4;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while ((number /= 10) && at > text);
	return at;
}

void tpi_client_stays(struct tpi_client *client, const char *words, int err)
{
	char number[5];

	if (is_absent(err)) {
		give_up(client, err);
		return;
	}
	if (*words)
		explain(client,
			"this handle cannot move to the memory of another "
			"broker: ",
			words, "");
	else
		explain(client,
			"this handle cannot move to the memory of another "
			"broker: errno ",
			say_number(number, -err), "");
	/* Relaxed: an answer of now. */
	tpi_store_relaxed(&client->link.refused, 1);
	tpi_store_relaxed(&client->link.again_ns, tpi_now_ns() + REFUSE_NS);
}

/* ---- V1 -------------------------------------------------------------------------- */

uid_t tpi_client_peer_uid(int sock)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t length = sizeof(peer);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return (uid_t)-1;
	return peer.uid;
}

void tpi_client_linked(struct tpi_client *client, const char *name,
		       int64_t answer_ns, uint32_t rseq_verdict)
{
	struct tpi_link *link = &client->link;

	/* It is no longer than a name that could be dialled. */
	strncpy(link->name.text, name, sizeof(link->name.text) - 1);
	link->broker_uid =
		tpi_client_peer_uid(tpi_own_fd_number(&client->handle.sock));
	link->rseq_verdict = rseq_verdict;
	link->answer_ns = answer_ns;
	if (!link->known)
		link->known = &link->own_known;
	/* The connection has just answered. If it is gone by now, the word has changed
	 * since, or is about to. */
	know(client, serving(client));
}

/* `coming` is connected to a broker of ours. */
static int dial(struct tpi_client *client)
{
	struct tpi_own_fd *coming = &client->handle.coming;
	struct sockaddr_un address;
	int length, sock, err;

	length = tpi_socket_address(&address, client->link.name.text);
	if (length < 0)
		return length;
	sock = tpi_fd_above_stdio(socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (sock < 0)
		return -errno;
	TPI_TESTPOINT("revive.socket");
	err = tpi_own_fd_keep(coming, sock);
	if (err)
		return err;
	sock = coming->number;
	if (connect(sock, (struct sockaddr *)&address, (socklen_t)length))
		return errno == EAGAIN ? -EBUSY : -errno;
	TPI_TESTPOINT("revive.connected");
	return tpi_client_peer_uid(sock) == client->link.broker_uid ? 0
								    : -EPERM;
}

static int say_hello(struct tpi_client *client)
{
	int sock = client->handle.coming.number;
	union tpi_wire_message message;
	ssize_t n;
	int pidfd;

	pidfd = tpi_client_hello(&message, sock, client->link.rseq_verdict);
	n = tpi_client_send(sock, &message, pidfd);
	if (pidfd >= 0)
		close(pidfd);
	TPI_TESTPOINT("revive.hello");
	return n < 0 ? (int)n : 0;
}

static int call(struct tpi_client *client)
{
	struct tpi_link *link = &client->link;
	int64_t now = tpi_now_ns();
	int err = dial(client);

	if (!err)
		err = say_hello(client);
	if (err)
		return err;
	link->answer_by = now + link->answer_ns;
	set_state(client, TPI_LINK_HELLO);
	return 0;
}

/* ---- V2, V3 ---------------------------------------------------------------------- */

/* Any number of errors mean that it went away. It may have left its reason. */
static int gone(ssize_t n)
{
	return n == 0 || n == -EPIPE || n == -ECONNRESET ? -ECONNRESET : (int)n;
}

static int refused(struct tpi_client *client,
		   const struct tpi_wire_refused *message)
{
	uint32_t state = client->link.state;

	if (state == TPI_LINK_RESUMES && message->error == -ENOENT)
		return lose(client, "the broker has given up this handle: ",
			    message->text, "");
	if (message->error == -EPROTONOSUPPORT)
		return lose(client,
			    "the broker cannot go on with this handle: ",
			    message->text, "");
	if (message->error >= 0 || message->error < -4095)
		return -EPROTO;
	return message->error == -EAGAIN ? -EBUSY : message->error;
}

/* One message of type `want`. -EAGAIN: none has come by then. */
static int receive(struct tpi_client *client, uint32_t want,
		   union tpi_wire_message *message, int64_t until)
{
	int sock = tpi_own_fd_number(&client->handle.coming);
	unsigned int count = 1;
	int err, fd = -1;
	ssize_t n;

	if (sock < 0)
		return -EBADF;
	if (!client->link.waited)
		tpi_client_wait(sock, until);
	n = tpi_recv_fds(sock, message->bytes, sizeof(message->bytes), &fd,
			 &count);
	if (n == -ECONNRESET) /* its last word may be there */
		n = tpi_recv_fds(sock, message->bytes, sizeof(message->bytes),
				 &fd, &count);
	if (count) /* the catalog, which is mapped */
		close(fd);
	if (n == -EAGAIN || n == -EINTR)
		return -EAGAIN;
	if (n <= 0)
		return gone(n);
	tpi_wire_complete(message, n);
	err = tpi_wire_check(message, (size_t)n, count, NULL, 0);
	if (err)
		return -EPROTO;
	if (message->header.type == TPI_WIRE_REFUSED)
		return refused(client, &message->refused);
	return message->header.type == want ? 0 : -EPROTO;
}

static int resume(struct tpi_client *client)
{
	struct tpi_link *link = &client->link;
	union tpi_wire_message message;
	ssize_t n;

	tpi_wire_init(&message, TPI_WIRE_RESUME);
	message.resume.attachment = client->granted.attachment;
	/* Relaxed: they change with the turn only. */
	for (int slot = 0; link->epochs && slot < TAPIO_GROUP_SLOTS; slot++)
		message.resume.epochs[slot] =
			tpi_load_relaxed(&link->epochs[slot]);
	n = tpi_client_send(client->handle.coming.number, &message, -1);
	TPI_TESTPOINT("revive.resume");
	if (n < 0)
		return gone(n);
	set_state(client, TPI_LINK_RESUMES);
	return 0;
}

static int be_welcome(struct tpi_client *client, int64_t until)
{
	union tpi_wire_message message;
	int err = receive(client, TPI_WIRE_WELCOME, &message, until);

	if (err)
		return err;
	TPI_TESTPOINT("revive.welcome");
	if (memcmp(client->catalog.instance, message.welcome.instance,
		   sizeof(client->catalog.instance)))
		return go_elsewhere(client);
	if (message.header.minor < TPI_WIRE_MINOR_RESUME)
		return lose(client, "the broker at \"", client->link.name.text,
			    "\" speaks a protocol before 1.4, in which no "
			    "handle can go on: open a new handle");
	return resume(client);
}

/*
 * `coming` takes the place of the connection. The copy is whole before `coming` is cleared, so
 * the child of another thread's fork finds the number in one of them.
 */
static void take_over(struct tpi_client *client)
{
	struct tpi_handle *handle = &client->handle;

	tpi_own_fd_close(&handle->sock);
	handle->sock = handle->coming;
	/* The kernel copies pages at the fork, in the order of the stores. */
	tpi_fence_store_store();
	handle->coming = TPI_OWN_FD_NONE;
	/* Atomic for tests, which look at it. */
	tpi_store_relaxed(&client->link.serial, client->link.serial + 1);
}

static int be_resumed(struct tpi_client *client, int64_t until)
{
	union tpi_wire_message message;
	int err = receive(client, TPI_WIRE_RESUMED, &message, until);

	if (err)
		return err;
	TPI_TESTPOINT("revive.resumed");
	if (message.resumed.attachment != client->granted.attachment)
		return -EPROTO;
	tpi_store_relaxed(&client->wire_minor, message.header.minor);
	take_over(client);
	set_state(client, TPI_LINK_UP);
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------ */

static int step(struct tpi_client *client, int64_t until)
{
	switch (client->link.state) {
	case TPI_LINK_DOWN:
		return call(client);
	case TPI_LINK_HELLO:
		return be_welcome(client, until);
	case TPI_LINK_RESUMES:
		return be_resumed(client, until);
	default:
		return -ENOTCONN;
	}
}

/* Only its role gets it any further, or nothing does. */
static bool is_over(const struct tpi_client *client)
{
	return client->link.state == TPI_LINK_LOST ||
	       client->link.state == TPI_LINK_ELSEWHERE;
}

/* From where it is, as far as it comes. */
static int steps(struct tpi_client *client, int64_t until)
{
	struct tpi_link *link = &client->link;
	uint64_t word = serving(client);
	int err = 0;

	while (!err && link->state != TPI_LINK_UP)
		err = step(client, until);
	if (!err)
		know(client, word);
	if (!err || is_over(client))
		return err;
	if (err != -EAGAIN)
		return give_up(client, err);
	if (tpi_now_ns() >= link->answer_by)
		return give_up(client, -ETIMEDOUT);
	link->waited = true;
	tpi_store_relaxed(&link->again_ns, tpi_now_ns() + LOOK_NS);
	return err;
}

/* 1 it stands, 0 it has ended, -1 the program has closed it. */
static int stands(const struct tpi_client *client)
{
	struct pollfd end = {.events = POLLRDHUP};

	end.fd = tpi_own_fd_number(&client->handle.sock);
	if (end.fd < 0)
		return -1;
	/* Not by a read: an answer that came before the end may still be there. */
	return poll(&end, 1, 0) <= 0;
}

/* Whether it is UP. */
static bool check(struct tpi_client *client)
{
	uint64_t word = serving(client);

	if (client->link.state != TPI_LINK_UP)
		return false;
	switch (stands(client)) {
	case 1:
		/* The kernel takes its time to close the connections of a process that
		 * has ended. */
		if (TAPIO_SERVING_TID(word)) {
			know(client, word);
			return true;
		}
		tpi_client_hung_up(client);
		return false;
	case 0:
		tpi_client_hung_up(client);
		return false;
	default:
		lose(client,
		     "this program has closed the connection: open a new "
		     "handle",
		     "", "");
		return false;
	}
}

/* It was there, and may be again in a moment. */
static bool passes(int err)
{
	return err == -ECONNRESET || err == -EPIPE || err == -EBUSY;
}

int tpi_client_revive(struct tpi_client *client, int64_t until)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	int err;

	if (check(client))
		return 0;
	for (;;) {
		client->link.waited = false;
		err = steps(client, until);
		if (!passes(err) || tpi_now_ns() + NAP_NS >= until)
			return err;
		nanosleep(&nap, NULL);
	}
}

int tpi_client_revive_soon(struct tpi_client *client)
{
	struct tpi_link *link = &client->link;
	int64_t now = tpi_now_ns();

	if (link->state == TPI_LINK_LOST)
		look_no_more(client);
	if (is_over(client))
		return -ENOTCONN;
	if (now < tpi_load_relaxed(&link->again_ns))
		return -EAGAIN;
	return check(client) ? 0 : steps(client, now + LOOK_NS);
}

__attribute__((noinline, cold)) void
tpi_client_answer_call(struct tpi_client *client)
{
	struct tpi_turn turn;
	int saved = errno;

	if (tpi_client_elsewhere(client))
		return;
	/* Relaxed: a hint that saves the turn. */
	if (tpi_now_ns() < tpi_load_relaxed(&client->link.again_ns))
		return;
	if (!tpi_client_enter(client, &turn))
		return;
	tpi_client_revive_soon(client);
	tpi_client_leave(client, &turn);
	errno = saved;
}

/* ---- what a program may ask ------------------------------------------------------------ */

static void look_now(struct tpi_client *client)
{
	struct tpi_turn turn;
	int saved = errno;

	if (tpi_client_enter(client, &turn)) {
		tpi_client_revive(client, tpi_now_ns() + ASK_NS);
		tpi_client_leave(client, &turn);
	}
	errno = saved;
}

int tpi_client_connected(const struct tpi_client *asked)
{
	struct tpi_client *client = (struct tpi_client *)(uintptr_t)asked;

	look_now(client);
	return state_of(client) == TPI_LINK_UP && !tpi_client_stopped(client);
}

bool tpi_client_removed(const struct tpi_client *client)
{
	/* Relaxed: one word of the broker, that is told and orders nothing. */
	return tpi_load_relaxed(&client->shared->state) ==
	       TAPIO_CHANNEL_REMOVED;
}

/* No connection: has one been accepted, by a keeper or a broker that is about to serve? */
static bool was_accepted(const struct tpi_client *client)
{
	switch (tpi_load_relaxed(&client->link.error)) {
	case -EBUSY: /* the backlog is full */
	case -ECONNRESET:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

int tpi_client_broker(const struct tpi_client *asked)
{
	struct tpi_client *client = (struct tpi_client *)(uintptr_t)asked;

	look_now(client);
	switch (state_of(client)) {
	case TPI_LINK_UP:
		if (tpi_client_stopped(client))
			return TAPIO_LINK_ABSENT;
		return tpi_client_removed(client) ? TAPIO_LINK_REMOVED
						  : TAPIO_LINK_THERE;
	case TPI_LINK_LOST:
		return TAPIO_LINK_REFUSED;
	case TPI_LINK_ELSEWHERE:
		return tpi_load_relaxed(&client->link.refused)
			       ? TAPIO_LINK_REFUSED
			       : TAPIO_LINK_RESTARTING;
	case TPI_LINK_DOWN:
		return was_accepted(client) ? TAPIO_LINK_RESTARTING
					    : TAPIO_LINK_ABSENT;
	default:
		return TAPIO_LINK_RESTARTING;
	}
}

const char *tpi_client_error(const struct tpi_client *client)
{
	if (!tpi_alive(client->handle.hot))
		return client->error;
	switch (state_of(client)) {
	case TPI_LINK_UP:
		return tpi_client_removed(client)
			       ? "the channel was removed from the "
				 "configuration of the broker: this handle goes "
				 "on until it is closed, and no other producer "
				 "can be opened"
			       : client->error;
	case TPI_LINK_LOST:
	case TPI_LINK_ELSEWHERE:
		/* ORDER link.why_at (acquire): the words before it. Pairs with the
		 * release in explain(). */
		return client->link.why[tpi_load_acquire(&client->link.why_at)];
	default:
		return "the connection to the broker has ended, and no broker "
		       "has answered since: this handle goes on, and connects "
		       "again by itself";
	}
}
