/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening socket: taking its name, and giving it back.
 *
 * A socket file outlives a broker that was killed. It is removed only if it is certain
 * that no program listens there: we hold the lock of the name (name_lock.c), so no
 * other tapiod lives there, and the kernel says that a connection is refused. A socket
 * that answers in any other way is left alone. A socket that the broker before has left
 * with the keeper is taken as it is (inherit.c).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/session/name_lock.h"
#include "broker/session/quota.h"
#include "lib/base/error.h"
#include "lib/base/own_fd.h"
#include "lib/base/testpoint.h"
#include "lib/wire/fdpass.h"
#include "lib/lane/wake.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define BACKLOG  1024 /* net.core.somaxconn may be less */
#define DYING_NS INT64_C(1000000000)

static int new_socket(void)
{
	return tpi_fd_above_stdio(socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/*
 * Knocks. -ECONNREFUSED: no program listens. -EAGAIN: one did, and hung up, or has a
 * full backlog. 0: one took the connection and keeps it. Other: it cannot be known.
 */
static int knock(const struct sockaddr_un *address, socklen_t length,
		 int64_t until)
{
	int sock = new_socket();
	struct pollfd p = {.fd = sock}; /* POLLHUP comes unasked */
	int64_t left = until - tpi_now_ns();
	int result = 0;

	if (sock < 0)
		return -errno;
	if (connect(sock, (const struct sockaddr *)address, length))
		result = -errno;
	else if (poll(&p, 1, left > 0 ? (int)(left / 1000000) : 0) > 0)
		result = -EAGAIN;
	close(sock);
	return result;
}

/*
 * A broker that was killed goes on listening until the kernel has closed its ring,
 * some milliseconds after its end: a connection succeeds, and is cut off then. So the
 * answer counts that holds for DYING_NS.
 */
static int answer(const struct sockaddr_un *address, socklen_t length)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	int64_t until = tpi_now_ns() + DYING_NS;
	int result;

	for (;;) {
		result = knock(address, length, until);
		if (result != -EAGAIN || tpi_now_ns() >= until)
			return result;
		nanosleep(&nap, NULL);
	}
}

/*
 * Only a broker that is starting makes a socket of mode 0, and it holds the lock that
 * we hold now. So one of ours that is there was killed between bind() and chmod(). As a
 * plain user we could not even knock.
 */
static bool is_unfinished(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & 0777);
}

/* 0: no program listens at the socket. */
static int check_stale(const char *path, const struct sockaddr_un *address,
		       socklen_t length, char *error, size_t error_bytes)
{
	int result = answer(address, length);

	switch (result) {
	case -ECONNREFUSED:
	case -ENOENT: /* it is gone by now */
		return 0;
	case 0:
	case -EAGAIN:
		return tpi_fail(-EADDRINUSE, error, error_bytes,
				"socket \"%s\": another program answers there",
				path);
	case -EPROTOTYPE:
		return tpi_fail(-EADDRINUSE, error, error_bytes,
				"socket \"%s\": it is a program's of another "
				"kind (%s), and is not removed",
				path, strerror(EPROTOTYPE));
	default:
		return tpi_fail(result, error, error_bytes,
				"socket \"%s\": it cannot be told whether a "
				"program listens there (%s), so it is not "
				"removed: remove it by hand, or choose another",
				path, strerror(-result));
	}
}

/* Takes away what a killed broker left behind, and nothing else. */
static int remove_stale(const char *path, const struct sockaddr_un *address,
			socklen_t length, char *error, size_t error_bytes)
{
	struct stat st;
	int err;

	if (lstat(path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return tpi_fail(-EEXIST, error, error_bytes,
				"socket \"%s\": a file that is not a socket is "
				"in its place, and is not removed",
				path);
	if (!is_unfinished(&st)) {
		err = check_stale(path, address, length, error, error_bytes);
		if (err)
			return err;
	}
	if (unlink(path) && errno != ENOENT)
		return tpi_fail(-errno, error, error_bytes,
				"socket \"%s\": cannot remove what a former "
				"broker left: %s",
				path, strerror(errno));
	return 0;
}

static int bind_path(struct tpi_broker *broker, const char *path,
		     const struct sockaddr_un *address, socklen_t length,
		     char *error, size_t error_bytes)
{
	struct tpi_server *server = &broker->server;
	struct tpi_config *config = &broker->config;
	struct stat st;
	int err = remove_stale(path, address, length, error, error_bytes);

	if (err)
		return err;
	/* Closed to everybody until owner and mode are right. */
	fchmod(server->fd, 0);
	if (bind(server->fd, (const struct sockaddr *)address, length))
		return tpi_fail(-errno, error, error_bytes,
				"socket \"%s\": bind: %s", path,
				strerror(errno));
	TPI_TESTPOINT("listen.bound");
	if (!lstat(path, &st)) {
		server->device = st.st_dev;
		server->inode = st.st_ino;
	}
	tpi_server_sign(broker);
	tpi_socket_set_group(broker, config, path);
	if (chmod(path, config->socket_mode))
		return tpi_fail(-errno, error, error_bytes,
				"socket \"%s\": cannot set mode %03o: %s", path,
				(unsigned int)config->socket_mode,
				strerror(errno));
	TPI_TESTPOINT("listen.opened");
	return 0;
}

/* The kernel gives such a name back itself, when its last owner has ended. */
static int bind_abstract(int fd, const char *name,
			 const struct sockaddr_un *address, socklen_t length,
			 char *error, size_t error_bytes)
{
	bool used;

	if (!bind(fd, (const struct sockaddr *)address, length))
		return 0;
	used = errno == EADDRINUSE;
	/* Of a broker that was killed: until the kernel has closed its ring. */
	if (used && answer(address, length) == -ECONNREFUSED &&
	    !bind(fd, (const struct sockaddr *)address, length))
		return 0;
	return tpi_fail(used ? -EADDRINUSE : -errno, error, error_bytes,
			"socket \"%s\": %s", name,
			used ? "another process uses this name"
			     : strerror(errno));
}

static int bind_name(struct tpi_broker *broker, const char *name,
		     const struct sockaddr_un *address, socklen_t length,
		     char *error, size_t error_bytes)
{
	struct tpi_server *server = &broker->server;
	int lock;

	if (name[0] == '@')
		tpi_log(&broker->log, TAPIO_LOG_INFO,
			"socket \"%s\": an abstract name has no mode, so the "
			"allow rules alone decide who may do what",
			name);
	if (name[0] == '@')
		return bind_abstract(server->fd, name, address, length, error,
				     error_bytes);
	if (server->lock_fd < 0) {
		lock = tpi_name_lock(name, error, error_bytes);
		if (lock < 0)
			return lock;
		server->lock_fd =
			lock; /* tpi_server_unlisten() gives it back */
	}
	tpi_server_sign(broker);
	tpi_server_keep_lock(broker);
	return bind_path(broker, name, address, length, error, error_bytes);
}

/* A name of our own, for a broker inside a process. */
static int fresh_name(char *name, size_t bytes)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(name, bytes, "@tapio-%d-%016llx", getpid(),
		 (unsigned long long)random);
	return 0;
}

/* Those that wait at a service manager's socket may have sent some before it was ours. */
static bool may_have_descriptors(const struct tpi_broker *broker)
{
	socklen_t length = sizeof(int);
	int on = 1;

	(void)getsockopt(broker->server.fd, SOL_SOCKET, SO_PASSRIGHTS, &on,
			 &length);
	return on;
}

/*
 * Clients may send no descriptors (Linux 6.16). To close one can take as long as its
 * maker likes: a file of his own FUSE file system waits for his answer, a TCP socket
 * lingers. That holds also for one that is never received, when its message is
 * dropped. All that the broker wants to know, the kernel tells by SO_PEERPIDFD. The
 * connections inherit the option from the socket.
 */
static void refuse_descriptors(struct tpi_broker *broker)
{
	const int off = 0;

	if (broker->server.activated && may_have_descriptors(broker))
		broker->server.helpers.needed = true;
	if (!setsockopt(broker->server.fd, SOL_SOCKET, SO_PASSRIGHTS, &off,
			sizeof(off)))
		return;
	broker->server.helpers.needed = true;
	tpi_log(&broker->log, TAPIO_LOG_INFO,
		"this kernel cannot refuse descriptors that clients send "
		"(SO_PASSRIGHTS, Linux 6.16): %s. Helper processes receive "
		"them",
		strerror(errno));
}

static int new_listener(struct tpi_broker *broker, char *error,
			size_t error_bytes)
{
	struct tpi_server *server = &broker->server;
	struct sockaddr_un address;
	int length, err;

	length = tpi_socket_address(&address, server->name);
	if (length < 0)
		return tpi_fail(length, error, error_bytes,
				"socket \"%s\": a name has 1 to %zu bytes",
				server->name, sizeof(address.sun_path) - 1);
	server->fd = new_socket();
	if (server->fd < 0)
		return tpi_fail(-errno, error, error_bytes, "socket: %s",
				strerror(errno));
	refuse_descriptors(broker);
	err = bind_name(broker, server->name, &address, (socklen_t)length,
			error, error_bytes);
	if (!err && listen(server->fd, BACKLOG))
		err = tpi_fail(-errno, error, error_bytes,
			       "socket \"%s\": listen: %s", server->name,
			       strerror(errno));
	TPI_TESTPOINT("listen.listens");
	return err;
}

static int open_socket(struct tpi_broker *broker, char *error,
		       size_t error_bytes)
{
	int err = tpi_server_activate(broker);

	if (err)
		err = tpi_server_inherit(broker);
	if (err)
		err = new_listener(broker, error, error_bytes);
	else
		refuse_descriptors(broker);
	if (err)
		return err;
	tpi_server_sign(broker);
	tpi_server_keep(broker);
	return 0;
}

int tpi_server_listen(struct tpi_broker *broker, const char *name, char *error,
		      size_t error_bytes)
{
	struct tpi_server *server = &broker->server;
	int err = 0;

	server->broker = broker;
	if (name && strlen(name) >= sizeof(server->name))
		return tpi_fail(-ENAMETOOLONG, error, error_bytes,
				"socket \"%.40s...\": a name has 1 to %zu "
				"bytes",
				name, sizeof(server->name) - 2);
	if (name)
		snprintf(server->name, sizeof(server->name), "%s", name);
	else
		err = fresh_name(server->name, sizeof(server->name));
	if (!err)
		err = open_socket(broker, error, error_bytes);
	if (err)
		return err;
	server->watch.ready = tpi_session_accept;
	tpi_spare_fd_take(server);
	tpi_unread_start(broker);
	return tpi_watch_start(broker->loop, &server->watch, server->fd);
}

/* Connections that were never accepted. close() of the socket would drop what they sent. */
static void empty_backlog(struct tpi_broker *broker)
{
	struct tpi_cred cred;
	int fd;

	if (!broker->server.helpers.needed || broker->server.activated)
		return;
	shutdown(broker->server.fd, SHUT_RDWR);
	while ((fd = accept4(broker->server.fd, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		tpi_client_socket_close(broker, fd,
					tpi_cred_read(&cred, fd) ? 0 : cred.uid,
					false);
}

void tpi_server_unlisten(struct tpi_broker *broker)
{
	struct tpi_server *server = &broker->server;
	struct stat st;

	if (server->fd < 0)
		return;
	tpi_watch_stop(broker->loop, &server->watch);
	tpi_unread_stop(broker);
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	server->spare_fd = -1;
	/* Ours, not the one of a broker that came after us. */
	tpi_server_drop(broker);
	if (server->name[0] != '@' && server->inode &&
	    !lstat(server->name, &st) && st.st_ino == server->inode &&
	    st.st_dev == server->device)
		unlink(server->name);
	empty_backlog(broker);
	close(server->fd);
	server->fd = -1;
	tpi_name_unlock(server->lock_fd, server->name);
	server->lock_fd = -1;
}
