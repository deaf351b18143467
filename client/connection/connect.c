/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control connection: finding the broker, and leaving it. Called by open and close of
 * every handle, never on the data path. handshake.c has the messages of an open.
 *
 * A broker that is not there yet and one that goes away between two messages are the same
 * case: the open begins again until the caller's time is over. A broker that is there and
 * does not answer ends the open (answer_ns). One that has no room now (-EAGAIN, or its
 * backlog is full) is asked again for as long as an answer may take. Any other refusal
 * is final.
 *
 * SIGKILL at any point closes the connection, and the broker sees the pidfd. The
 * connection stays open. The program may have closed it and given its number to another
 * file, so each use looks first (own_fd.h). No thread is cancelled in here.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client/connection/dial.h"
#include "lib/base/error.h"
#include "lib/base/rseq.h"
#include "lib/wire/fdpass.h"
#include "lib/wire/socket_name.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"
#include "lib/base/thread.h"
#include "lib/lane/wake.h"
#include "lib/base/versions.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* How long a broker that accepted a connection may take to answer, at least, where
 * the options do not say. A host with too much to do lets a process wait for seconds. */
#define ANSWER_NS INT64_C(5000000000)
/* The same where a handle connects again in a call of its owner's. It tries again. */
#define ANSWER_AGAIN_NS INT64_C(1000000000)
/* How long close waits for the broker to take back our blocks and leases. */
#define LEAVE_NS INT64_C(1000000000)
/* Between two attempts to connect: from .. to. */
#define RETRY_FIRST_NS INT64_C(1000000)
#define RETRY_LAST_NS  INT64_C(50000000)

int tpi_client_say(struct tpi_client *client, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(client->error, sizeof(client->error), format, args);
	va_end(args);
	return err;
}

/*
 * One errno for "no broker is there", however the kernel says it: callers tell it
 * from "no such channel", which is -ENOENT, without a look at the socket. A later
 * attempt may not meet it.
 */
static int as_no_broker(int err)
{
	switch (-err) {
	case ENOENT: /* no socket file yet */
	case ENOTDIR:
	case ECONNREFUSED: /* a socket file without a listener */
	case ECONNRESET:   /* it ended just then */
	case EPIPE:
		return -ECONNREFUSED;
	default:
		return err;
	}
}

static unsigned long long fd_limit(void)
{
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	return (unsigned long long)limit.rlim_cur;
}

static int no_socket(struct tpi_client *client, int err)
{
	if (err != -EMFILE)
		return tpi_client_fail(client, err, "socket: %s",
				       strerror(-err));
	return tpi_client_fail(client, err,
			       "a connection to the broker needs a descriptor, "
			       "and this process may have no more than %llu "
			       "open files: raise RLIMIT_NOFILE (ulimit -n)",
			       fd_limit());
}

static int dial(struct tpi_dial *d)
{
	struct sockaddr_un address;
	int sock, length;

	length = tpi_socket_address(&address, d->name);
	if (length < 0)
		return tpi_client_fail(
			d->client, length, "socket \"%s\": %s", d->name,
			length == -ENAMETOOLONG ? "a name has at most 107 bytes"
						: "the name is empty");
	sock = tpi_fd_above_stdio(socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (sock < 0)
		return no_socket(d->client, -errno);
	if (connect(sock, (struct sockaddr *)&address, (socklen_t)length)) {
		int why = -errno, err = as_no_broker(why);

		close(sock);
		if (why == -EAGAIN) {
			d->busy = true;
			return tpi_client_fail(d->client, why,
					       "the broker at \"%s\" has too "
					       "many new connections: its "
					       "backlog is full",
					       d->name);
		}
		return tpi_client_fail(
			d->client, err, "%s \"%s\": %s%s",
			err == -ECONNREFUSED ? "no broker at"
					     : "cannot connect to",
			d->name, strerror(-why),
			why == -EACCES ? " (the socket's mode and group: "
					 "socket_mode and socket_group in "
					 "tapiod.conf)"
				       : "");
	}
	TPI_TESTPOINT("open.connected");
	return tpi_own_fd_keep(&d->client->handle.sock, sock);
}

/* What listens may be another uid's: of an abstract name, anyone's. */
static int check_uid(struct tpi_dial *d)
{
	int sock = tpi_own_fd_number(&d->client->handle.sock);

	if (!d->same_uid || tpi_client_peer_uid(sock) == d->uid)
		return 0;
	return tpi_client_fail(d->client, -EPERM,
			       "the broker at \"%s\" is another user's than "
			       "the one before",
			       d->name);
}

int tpi_client_wait(int sock, int64_t until)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	int64_t left;
	int n;

	do {
		left = until - tpi_now_ns();
		if (left <= 0)
			return -ETIMEDOUT;
		left = (left + 999999) / 1000000;
		n = poll(&p, 1, left < INT_MAX ? (int)left : INT_MAX);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

void tpi_dial_close_fds(const int *fds, unsigned int count)
{
	while (count)
		close(fds[--count]);
}

/* -errno of the broker's own words. */
static int refused(struct tpi_dial *d, const struct tpi_wire_refused *message)
{
	struct tpi_client *client = d->client;
	int err = message->error;

	d->refused = true;
	d->busy = err == -EAGAIN;
	if (client->mute) {
		memcpy(client->error, message->text, sizeof(message->text));
		return err < 0 && err >= -4095 ? err : -EPROTO;
	}
	if (err >= 0 || err < -4095)
		return tpi_client_fail(client, -EPROTO,
				       "the broker refused with the impossible "
				       "error %d: %s",
				       err, message->text);
	return tpi_client_fail(client, err, "%s", message->text);
}

static int nothing_came(struct tpi_dial *d,
			const union tpi_wire_message *message, int err)
{
	struct tpi_client *client = d->client;

	if (!err)
		return tpi_client_fail(client, -ECONNREFUSED,
				       "the broker at \"%s\" closed the "
				       "connection",
				       d->name);
	if (err != -EMFILE)
		return tpi_client_fail(client, as_no_broker(err),
				       "receiving from the broker at \"%s\": "
				       "%s",
				       d->name, strerror(-err));
	return tpi_client_fail(client, err,
			       "the answer of the broker at \"%s\" has %u "
			       "descriptors, and this process may have no more "
			       "than %llu open files: raise RLIMIT_NOFILE "
			       "(ulimit -n)",
			       d->name, message->header.fd_count, fd_limit());
}

/* The number is another file's: the program has closed our connection. */
static int not_ours(struct tpi_dial *d)
{
	return tpi_client_fail(d->client, -EBADF,
			       "this program has closed the connection");
}

int tpi_dial_receive(struct tpi_dial *d, enum tpi_wire_type want,
		     union tpi_wire_message *message, int *fds,
		     unsigned int *fd_count)
{
	struct tpi_client *client = d->client;
	int sock = tpi_own_fd_number(&client->handle.sock);
	unsigned int room = *fd_count;
	ssize_t n;
	int err;

	*fd_count = 0;
	if (sock < 0)
		return not_ours(d);
	err = tpi_client_wait(sock, d->answer_by);
	if (err)
		return tpi_client_fail(client, err,
				       "the broker at \"%s\" did not answer "
				       "within %lld ms",
				       d->name,
				       (long long)(d->answer_ns / 1000000));
	*fd_count = room;
	n = tpi_recv_fds(sock, message->bytes, sizeof(message->bytes), fds,
			 fd_count);
	/* It has hung up with a message of ours unread. Its last word may be there. */
	if (n == -ECONNRESET) {
		*fd_count = room;
		n = tpi_recv_fds(sock, message->bytes, sizeof(message->bytes),
				 fds, fd_count);
	}
	if (n <= 0) {
		*fd_count = 0;
		return nothing_came(d, message, (int)n);
	}
	tpi_wire_complete(message, n);
	err = tpi_wire_check(message, (size_t)n, *fd_count, client->error,
			     tpi_client_room(client));
	if (!err && message->header.type == TPI_WIRE_REFUSED)
		err = refused(d, &message->refused);
	else if (!err && message->header.type != want)
		err = tpi_client_fail(
			client, -EPROTO,
			"the broker answered with message type %u, "
			"expected %u",
			message->header.type, (unsigned int)want);
	if (err) {
		tpi_dial_close_fds(fds, *fd_count);
		*fd_count = 0;
	}
	return err == -EBADMSG ? -EPROTO : err;
}

static ssize_t send_with(int sock, union tpi_wire_message *message, int fd)
{
	message->header.fd_count = fd >= 0;
	return tpi_send_fds(sock, message->bytes, message->header.length, &fd,
			    fd >= 0);
}

ssize_t tpi_client_send(int sock, union tpi_wire_message *message, int fd)
{
	ssize_t n = send_with(sock, message, fd);

	/* The broker takes no descriptors (SO_PASSRIGHTS), so it needs none. */
	return n == -EPERM && fd >= 0 ? send_with(sock, message, -1) : n;
}

/* It has hung up: the refusal that it has left, or -ECONNREFUSED. */
static int last_word(struct tpi_dial *d)
{
	union tpi_wire_message message;
	unsigned int count = 0;

	return tpi_dial_receive(d, TPI_WIRE_REFUSED, &message, NULL, &count);
}

int tpi_dial_send(struct tpi_dial *d, union tpi_wire_message *message, int fd)
{
	int sock = tpi_own_fd_number(&d->client->handle.sock);
	ssize_t n;

	if (sock < 0)
		return not_ours(d);
	n = tpi_client_send(sock, message, fd);
	if (n == -EPIPE || n == -ECONNRESET)
		return last_word(d);
	if (n < 0)
		return tpi_client_fail(d->client, as_no_broker((int)n),
				       "sending to \"%s\": %s", d->name,
				       strerror((int)-n));
	return 0;
}

/* The broker has the same kernel, and it can ask it for our pidfd. */
static bool knows_peers(int sock)
{
	socklen_t length = sizeof(int);
	int pidfd = -1;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length))
		return false;
	close(pidfd);
	return true;
}

int tpi_client_hello(union tpi_wire_message *message, int sock,
		     uint32_t rseq_verdict)
{
	const void *random = (const void *)getauxval(AT_RANDOM);

	tpi_wire_init(message, TPI_WIRE_HELLO);
	message->hello.abi_major = TAPIO_ABI_MAJOR;
	message->hello.abi_minor = TPI_ABI_MINOR;
	message->hello.pid = (uint32_t)getpid();
	message->hello.incompat_known = TPI_INCOMPAT_KNOWN;
	message->hello.rseq_verdict = rseq_verdict;
	if (random)
		memcpy(message->hello.at_random, random,
		       sizeof(message->hello.at_random));
	prctl(PR_GET_NAME, message->hello.comm);
	return knows_peers(sock) ? -1 : tpi_sys_pidfd_open(getpid(), 0);
}

/*
 * The name of a handle within this process. Random, since a process can have two copies of
 * this library, as in a plugin, and the broker ends a handle of the same name. 0, which
 * names none, where the kernel has no random numbers. Not while the thread can be
 * cancelled: getrandom() is a cancellation point.
 */
static uint64_t new_handle(void)
{
	uint64_t name;

	return getrandom(&name, sizeof(name), 0) == sizeof(name) ? name : 0;
}

static void hang_up(struct tpi_client *client)
{
	tpi_client_unmap(client);
	tpi_own_fd_close(&client->handle.coming);
	tpi_own_fd_close(&client->handle.sock);
}

static int dial_once(struct tpi_dial *d, const struct tpi_request *request)
{
	int err = dial(d);

	if (!err)
		err = check_uid(d);
	if (!err)
		err = tpi_dial_ask(d, request);
	if (!err)
		tpi_client_linked(d->client, d->name, d->answer_ns,
				  request->rseq_verdict);
	else
		hang_up(d->client);
	return err;
}

/* Where descriptors are short, they come a few at a time, on another connection. */
static int dial_and_ask(struct tpi_dial *d, const struct tpi_request *request)
{
	int err;

	d->by_steps = false;
	err = dial_once(d, request);
	if (err != -EMFILE || d->refused)
		return err;
	d->by_steps = true;
	return dial_once(d, request);
}

/* Sleeps before the next attempt. False when the time is over. */
static bool pause_before_retry(int64_t *nap, int64_t until)
{
	int64_t left = until - tpi_now_ns();
	struct timespec t;

	if (left <= 0)
		return false;
	if (*nap > left)
		*nap = left;
	t.tv_sec = 0;
	t.tv_nsec = *nap;
	nanosleep(&t, NULL);
	*nap = *nap * 2 < RETRY_LAST_NS ? *nap * 2 : RETRY_LAST_NS;
	return true;
}

/* `what`: "channel" or "group". */
static int check_name(struct tpi_client *client, const char *what,
		      const char *name)
{
	char field[TAPIO_NAME_BYTES];
	int err;

	if (!name)
		return tpi_client_fail(client, -EINVAL,
				       "the name of the %s is NULL", what);
	if (!*name)
		return tpi_client_fail(client, -EINVAL,
				       "the name of the %s is empty", what);
	err = tpi_wire_name(field, name);
	if (err == -ENAMETOOLONG)
		return tpi_client_fail(client, err,
				       "the name of the %s is longer than %d "
				       "bytes",
				       what, TAPIO_NAME_BYTES - 1);
	if (err)
		return tpi_client_fail(client, err,
				       "the name of the %s has a byte that is "
				       "not printable ASCII, or a space",
				       what);
	return 0;
}

/* Only a request to attach may leave the group out. */
static int check_names(struct tpi_client *client,
		       const struct tpi_request *request)
{
	int err = check_name(client, "channel", request->channel);

	if (err || (request->role && !request->group))
		return err;
	return check_name(client, "group", request->group);
}

/* Until it has an answer, or the time that the options give is over. */
static int64_t answer_ns(const struct tapio_options *options)
{
	int64_t ns = options->answer_ns;

	if (!ns)
		ns = options->connect_ns;
	if (ns == TAPIO_FOREVER)
		return TPI_FOREVER_NS;
	return options->answer_ns || ns > ANSWER_NS ? ns : ANSWER_NS;
}

static int dial_until(struct tpi_dial *d, const struct tpi_request *request,
		      const struct tapio_options *options)
{
	bool forever = options->connect_ns == TAPIO_FOREVER;
	int64_t wait = forever ? TPI_FOREVER_NS : options->connect_ns;
	int64_t until = tpi_now_ns() + wait;
	int64_t busy_until = tpi_now_ns() + answer_ns(options);
	int64_t nap = RETRY_FIRST_NS;
	struct tpi_socket_name found;
	bool again;
	int err;

	do {
		/* Each time: a broker that starts meanwhile makes its socket. */
		d->name = tpi_socket_name_of(options->socket, &found);
		d->answer_ns = answer_ns(options);
		d->answer_by = tpi_now_ns() + d->answer_ns;
		d->refused = d->busy = false;
		err = dial_and_ask(d, request);
		if (d->busy)
			again = pause_before_retry(
				&nap, busy_until > until ? busy_until : until);
		else
			again = err == -ECONNREFUSED && !d->refused &&
				pause_before_retry(&nap, until);
	} while (again);
	return err;
}

int tpi_client_open(struct tpi_client *client,
		    const struct tpi_request *request,
		    const struct tapio_options *options)
{
	struct tpi_dial d = {.client = client};
	int err = check_names(client, request);
	int cancel = tpi_cancel_off();

	d.handle = new_handle();
	if (!err)
		err = dial_until(&d, request, options);
	tpi_cancel_restore(cancel);
	if (!err)
		client->error[0] = '\0'; /* of an attempt before */
	tpi_fail(err, options->error, options->error_bytes, "%s",
		 client->error);
	return err;
}

int tpi_client_open_again(struct tpi_client *client,
			  const struct tpi_request *request,
			  const struct tpi_client *former)
{
	const struct tpi_link *link = &former->link;
	struct tpi_dial d = {
		.client = client,
		.name = link->name.text,
		.answer_ns = link->answer_ns < ANSWER_AGAIN_NS
				     ? link->answer_ns
				     : ANSWER_AGAIN_NS,
		.same_uid = true,
		.uid = link->broker_uid,
	};
	int err;

	d.handle = new_handle();
	d.answer_by = tpi_now_ns() + d.answer_ns;
	err = dial_and_ask(&d, request);
	/* The next move is as this one, whatever is left of its time. */
	client->link.answer_ns = link->answer_ns;
	return err;
}

/* DETACH, once. */
static int detach(struct tpi_client *client, int64_t until)
{
	struct tpi_dial d = {
		.client = client,
		.name = client->link.name.text,
		.answer_ns = LEAVE_NS,
		.answer_by = until,
	};
	union tpi_wire_message message;
	int fds[TPI_WIRE_FETCH_MAX];
	unsigned int count;
	int err;

	tpi_wire_init(&message, TPI_WIRE_DETACH);
	message.detach.attachment = client->granted.attachment;
	err = tpi_dial_send(&d, &message, -1);
	if (err)
		return err;
	TPI_TESTPOINT("close.detach");
	/* Cursors that a producer had asked for may come first. */
	do {
		count = TPI_WIRE_FETCH_MAX;
		err = tpi_dial_receive(&d, TPI_WIRE_DETACHED, &message, fds,
				       &count);
	} while (err == -EPROTO && message.header.type == TPI_WIRE_FETCHED);
	return err;
}

/*
 * Leaves by way of the broker that is there now, which may be another one than before. It
 * may die between DETACH and its answer. Then the next one is asked, and says that there is
 * no such attachment, or ends it. Where no broker listens, there is nothing to wait for:
 * one that comes later sees that this process maps nothing any more.
 */
static void leave(struct tpi_client *client)
{
	int64_t until = tpi_now_ns() + LEAVE_NS;
	int err;

	do {
		err = 0;
		if (!tpi_client_stopped(client))
			err = tpi_client_revive(client, until);
		if (!err)
			err = detach(client, until);
		else
			return;
	} while (err == -ECONNREFUSED && !tpi_client_stopped(client) &&
		 tpi_now_ns() < until);
}

void tpi_client_close(struct tpi_client *client)
{
	int cancel;

	if (!tpi_alive(client->handle.hot)) {
		tpi_channel_detach(&client->channel);
		return;
	}
	cancel = tpi_cancel_off();
	if (client->granted.attachment)
		leave(client);
	hang_up(client);
	tpi_cancel_restore(cancel);
}
