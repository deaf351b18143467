/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control connection: finding the broker, saying hello, asking to attach, and
 * leaving. Called by open and close of every handle, never on the data path.
 *
 *   connect -> HELLO (+ pidfd) -> WELCOME (+ catalog)
 *           -> ATTACH          -> ATTACHED (+ segments) | REFUSED
 *        or -> REMOVE          -> REMOVED | REFUSED
 *
 * A broker that is not there yet and one that goes away between two messages are the same
 * case: the open begins again until the caller's time is over. A broker that is there and
 * does not answer ends the open (answer_ns). A refusal is an answer, and final.
 *
 * SIGKILL at any point closes the connection, and the broker sees the pidfd. Received
 * descriptors are CLOEXEC and above 2, and are closed as soon as they are mapped. The
 * connection stays open. The program may have closed it and given its number to another
 * file, so each use looks first (own_fd.h). No thread is cancelled in here.
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
#include <time.h>
#include <unistd.h>

#include "client/connection/client.h"
#include "lib/base/error.h"
#include "lib/base/rseq.h"
#include "lib/wire/fdpass.h"
#include "lib/wire/socket_name.h"
#include "lib/base/sys.h"
#include "lib/base/thread.h"
#include "lib/lane/wake.h"

/* How long a broker that accepted a connection may take to answer, at least, where
 * the options do not say. */
#define ANSWER_NS INT64_C(1000000000)
/* How long close waits for the broker to take back our blocks and leases. */
#define LEAVE_NS INT64_C(1000000000)
/* Between two attempts to connect: from .. to. */
#define RETRY_FIRST_NS INT64_C(1000000)
#define RETRY_LAST_NS  INT64_C(50000000)

/* One attempt to reach the broker. */
struct dial {
	struct tpi_client *client;
	const char *name;  /* of the socket */
	int64_t answer_ns; /* how long it may take to answer, and until when */
	int64_t answer_by;
	bool refused; /* the broker has said no */
};

/* Looked up before each attempt: a broker that starts meanwhile makes its socket. */
static const char *socket_name(const struct tapio_options *options,
			       struct tpi_socket_name *found)
{
	const char *name = options->socket;

	if (!name)
		name = secure_getenv("TAPIO_SOCKET");
	if (name && *name)
		return name;
	tpi_socket_name_find(found);
	return found->text;
}

int tpi_client_fail(struct tpi_client *client, int err, const char *format, ...)
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
	case EAGAIN:       /* its backlog is full */
	case ECONNRESET:   /* it ended just then */
	case EPIPE:
		return -ECONNREFUSED;
	default:
		return err;
	}
}

static int dial(struct dial *d)
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
		return tpi_client_fail(d->client, -errno, "socket: %s",
				       strerror(errno));
	if (connect(sock, (struct sockaddr *)&address, (socklen_t)length)) {
		int why = -errno, err = as_no_broker(why);

		close(sock);
		return tpi_client_fail(d->client, err, "%s \"%s\": %s",
				       err == -ECONNREFUSED
					       ? "no broker at"
					       : "cannot connect to",
				       d->name, strerror(-why));
	}
	return tpi_own_fd_keep(&d->client->handle.sock, sock);
}

/* Waits until there is something to read. */
static int wait_readable(int sock, int64_t until)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	int64_t left;
	int n;

	do {
		left = until - tpi_now_ns();
		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((left + 999999) / 1000000));
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

static void close_fds(const int *fds, unsigned int count)
{
	while (count)
		close(fds[--count]);
}

/* -errno of the broker's own words. */
static int refused(struct dial *d, const struct tpi_wire_refused *message)
{
	struct tpi_client *client = d->client;
	int err = message->error;

	d->refused = true;
	if (err >= 0 || err < -4095)
		return tpi_client_fail(client, -EPROTO,
				       "the broker refused with the impossible "
				       "error %d: %s",
				       err, message->text);
	return tpi_client_fail(client, err, "%s", message->text);
}

static int nothing_came(struct dial *d, const union tpi_wire_message *message,
			int err)
{
	struct tpi_client *client = d->client;
	struct rlimit limit = {0};

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
	getrlimit(RLIMIT_NOFILE, &limit);
	return tpi_client_fail(client, err,
			       "the answer of the broker at \"%s\" has %u "
			       "descriptors, and this process may have no more "
			       "than %llu open files: raise RLIMIT_NOFILE "
			       "(ulimit -n)",
			       d->name, message->header.fd_count,
			       (unsigned long long)limit.rlim_cur);
}

/* The number is another file's: the program has closed our connection. */
static int not_ours(struct dial *d)
{
	return tpi_client_fail(d->client, -EBADF,
			       "this program has closed the connection");
}

/* Receives one message of type `want`. fds as tpi_recv_fds. */
static int receive(struct dial *d, enum tpi_wire_type want,
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
	err = wait_readable(sock, d->answer_by);
	if (err)
		return tpi_client_fail(client, err,
				       "the broker at \"%s\" did not answer "
				       "within %lld ms",
				       d->name,
				       (long long)(d->answer_ns / 1000000));
	*fd_count = room;
	n = tpi_recv_fds(sock, message->bytes, sizeof(message->bytes), fds,
			 fd_count);
	if (n <= 0) {
		*fd_count = 0;
		return nothing_came(d, message, (int)n);
	}
	err = tpi_wire_check(message, (size_t)n, *fd_count, client->error,
			     sizeof(client->error));
	if (!err && message->header.type == TPI_WIRE_REFUSED)
		err = refused(d, &message->refused);
	else if (!err && message->header.type != want)
		err = tpi_client_fail(
			client, -EPROTO,
			"the broker answered with message type %u, "
			"expected %u",
			message->header.type, (unsigned int)want);
	if (err) {
		close_fds(fds, *fd_count);
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

static int send_message(struct dial *d, union tpi_wire_message *message, int fd)
{
	int sock = tpi_own_fd_number(&d->client->handle.sock);
	ssize_t n;

	if (sock < 0)
		return not_ours(d);
	n = send_with(sock, message, fd);
	/* The broker takes no descriptors (SO_PASSRIGHTS), so it needs none. */
	if (n == -EPERM && fd >= 0)
		n = send_with(sock, message, -1);
	if (n < 0)
		return tpi_client_fail(d->client, as_no_broker((int)n),
				       "sending to \"%s\": %s", d->name,
				       strerror((int)-n));
	return 0;
}

static int say_hello(struct dial *d, const struct tpi_request *request)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	union tpi_wire_message message;
	int pidfd, err;

	tpi_wire_init(&message, TPI_WIRE_HELLO);
	message.hello.abi_major = TAPIO_ABI_MAJOR;
	message.hello.abi_minor = TAPIO_ABI_MINOR;
	message.hello.pid = (uint32_t)getpid();
	message.hello.incompat_known = TAPIO_INCOMPAT_KNOWN;
	message.hello.rseq_verdict = request->rseq_verdict;
	if (random)
		memcpy(message.hello.at_random, random,
		       sizeof(message.hello.at_random));
	prctl(PR_GET_NAME, message.hello.comm);
	/* For brokers on kernels without SO_PEERPIDFD. */
	pidfd = tpi_sys_pidfd_open(getpid(), 0);
	err = send_message(d, &message, pidfd);
	if (pidfd >= 0)
		close(pidfd);
	return err;
}

void tpi_client_hear_verdict(const struct tpi_client *client)
{
	/* ORDER broker.rseq (acquire): nothing is read after it that depends on
	 * it. The order is the broker's. Pairs with the release in
	 * tpi_registry_test_rseq(). */
	tpi_rseq_hear(tpi_load_acquire(&client->catalog.broker->rseq_verdict));
}

/* WELCOME: the versions, and the catalog. */
static int be_welcome(struct dial *d)
{
	struct tpi_client *client = d->client;
	union tpi_wire_message message;
	unsigned int count = 1;
	int fd = -1;
	int err;

	err = receive(d, TPI_WIRE_WELCOME, &message, &fd, &count);
	if (err)
		return err;
	client->wire_minor = message.header.minor;
	if (!TAPIO_ABI_READABLE(message.welcome.abi_major,
				message.welcome.abi_minor))
		err = tpi_client_fail(
			client, -EPROTONOSUPPORT,
			"the broker's memory layout is %u.%u, this library "
			"knows %u.%u: install matching versions",
			message.welcome.abi_major, message.welcome.abi_minor,
			TAPIO_ABI_MAJOR, TAPIO_ABI_MINOR);
	if (!err)
		err = tpi_map_fd(&client->catalog_map, fd, false, UINT64_MAX,
				 client->error, sizeof(client->error));
	close(fd);
	if (!err)
		err = tpi_catalog_attach(&client->catalog, &client->catalog_map,
					 client->error, sizeof(client->error));
	if (!err && memcmp(client->catalog.instance, message.welcome.instance,
			   sizeof(client->catalog.instance)))
		err = tpi_client_fail(
			client, -EBADMSG,
			"the catalog that came is not the one that the broker "
			"announced");
	if (!err)
		tpi_client_hear_verdict(client);
	return err;
}

/* Names were checked before, by check_names(). */
static void fill_attach(struct tpi_wire_attach *attach,
			const struct tpi_request *request)
{
	attach->role = request->role;
	attach->policy = request->policy;
	attach->lag = request->lag;
	attach->flags = request->flags;
	attach->severity_min = request->severity_min;
	attach->class_mask = request->class_mask;
	attach->types = request->types;
	attach->takeover_ns = request->takeover_ns;
	tpi_wire_name(attach->channel, request->channel);
	if (request->group)
		tpi_wire_name(attach->group, request->group);
}

static int attach(struct dial *d, const struct tpi_request *request)
{
	struct tpi_client *client = d->client;
	union tpi_wire_message message;
	int fds[TPI_WIRE_FDS_MAX];
	unsigned int count = TPI_WIRE_FDS_MAX;
	int err;

	tpi_wire_init(&message, TPI_WIRE_ATTACH);
	fill_attach(&message.attach, request);
	err = send_message(d, &message, -1);
	if (!err)
		err = receive(d, TPI_WIRE_ATTACHED, &message, fds, &count);
	if (err)
		return err;
	client->granted = message.attached;
	err = tpi_client_map(client, request, fds);
	close_fds(fds, count);
	return err;
}

static int remove_group(struct dial *d, const struct tpi_request *request)
{
	struct tpi_client *client = d->client;
	union tpi_wire_message message;
	unsigned int count = 0;
	int err;

	if (client->wire_minor < TPI_WIRE_MINOR_REMOVE)
		return tpi_client_fail(client, -EOPNOTSUPP,
				       "the broker speaks protocol %d.%d, in "
				       "which groups cannot be removed",
				       TPI_WIRE_MAJOR, client->wire_minor);
	tpi_wire_init(&message, TPI_WIRE_REMOVE);
	tpi_wire_name(message.remove.channel, request->channel);
	tpi_wire_name(message.remove.group, request->group);
	err = send_message(d, &message, -1);
	if (!err)
		err = receive(d, TPI_WIRE_REMOVED, &message, NULL, &count);
	return err;
}

static void hang_up(struct tpi_client *client)
{
	tpi_client_unmap(client);
	tpi_own_fd_close(&client->handle.sock);
}

static int dial_and_ask(struct dial *d, const struct tpi_request *request)
{
	int err = dial(d);

	if (!err)
		err = say_hello(d, request);
	if (!err)
		err = be_welcome(d);
	if (!err)
		err = request->role ? attach(d, request)
				    : remove_group(d, request);
	if (err)
		hang_up(d->client);
	return err;
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

static int dial_until(struct dial *d, const struct tpi_request *request,
		      const struct tapio_options *options)
{
	bool forever = options->connect_ns == TAPIO_FOREVER;
	int64_t wait = forever ? TPI_FOREVER_NS : options->connect_ns;
	int64_t until = tpi_now_ns() + wait;
	int64_t nap = RETRY_FIRST_NS;
	struct tpi_socket_name found;
	int err;

	do {
		d->name = socket_name(options, &found);
		d->answer_ns = answer_ns(options);
		d->answer_by = tpi_now_ns() + d->answer_ns;
		err = dial_and_ask(d, request);
	} while (err == -ECONNREFUSED && !d->refused &&
		 pause_before_retry(&nap, until));
	return err;
}

int tpi_client_open(struct tpi_client *client,
		    const struct tpi_request *request,
		    const struct tapio_options *options)
{
	struct dial d = {.client = client};
	int err = check_names(client, request);
	int cancel = tpi_cancel_off();

	if (!err)
		err = dial_until(&d, request, options);
	tpi_cancel_restore(cancel);
	if (!err)
		client->error[0] = '\0'; /* of an attempt before */
	tpi_fail(err, options->error, options->error_bytes, "%s",
		 client->error);
	return err;
}

static void leave(struct tpi_client *client)
{
	struct dial d = {
		.client = client,
		.name = "",
		.answer_ns = LEAVE_NS,
		.answer_by = tpi_now_ns() + LEAVE_NS,
	};
	union tpi_wire_message message;
	unsigned int count = 0;

	tpi_wire_init(&message, TPI_WIRE_DETACH);
	message.detach.attachment = client->granted.attachment;
	if (!send_message(&d, &message, -1))
		receive(&d, TPI_WIRE_DETACHED, &message, NULL, &count);
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

int tpi_client_connected(const struct tpi_client *client)
{
	int cancel, sock = tpi_own_fd_number(&client->handle.sock);
	char byte;
	ssize_t n;

	if (sock < 0)
		return 0;
	/* ORDER broker.state (acquire): nothing is read after it that depends on
	 * it. The order is the broker's. Pairs with the release when it stops. */
	if (tpi_load_acquire(&client->catalog.broker->state) ==
	    TAPIO_BROKER_STOPPED)
		return 0;
	cancel = tpi_cancel_off();
	n = recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	tpi_cancel_restore(cancel);
	return n != 0 && !(n < 0 && errno != EAGAIN && errno != EINTR);
}
