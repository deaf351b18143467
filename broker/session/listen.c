/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening socket: taking its name, and giving it back.
 *
 * A socket file outlives a broker that was killed. Whether one is stale is found
 * out by connecting to it. The directory is locked meanwhile, so that two brokers
 * that start together cannot both find it stale and one take the other's away.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/base/error.h"
#include "lib/base/own_fd.h"
#include "lib/wire/fdpass.h"
#include "lib/lane/wake.h"

#define BACKLOG  128
#define DYING_NS INT64_C(1000000000)

/* Locks the directory of a path. Made if only it is missing. -errno. */
static int lock_directory(const char *path, char *error, size_t error_bytes)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	const char *directory;
	int fd;

	snprintf(copy, sizeof(copy), "%s", path);
	directory = dirname(copy);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && !mkdir(directory, 0755))
		fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tpi_fail(-errno, error, error_bytes,
				"socket \"%s\": cannot open or make the "
				"directory \"%s\": %s (another socket is "
				"chosen with --socket or in the configuration)",
				path, directory, strerror(errno));
	if (flock(fd, LOCK_EX)) {
		close(fd);
		return tpi_fail(-EIO, error, error_bytes,
				"socket \"%s\": cannot lock the directory "
				"\"%s\"",
				path, directory);
	}
	return fd;
}

static int new_socket(void)
{
	return tpi_fd_above_stdio(socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* 1: a broker serves there. 0: none does. -EAGAIN: one did, and hung up. */
static int knock(const struct sockaddr_un *address, socklen_t length,
		 int64_t until)
{
	int sock = new_socket();
	struct pollfd p = {.fd = sock}; /* POLLHUP comes unasked */
	int64_t left = until - tpi_now_ns();
	int result;

	if (sock < 0)
		return 1; /* it may be so, and what is in use is left alone */
	if (connect(sock, (const struct sockaddr *)address, length))
		result =
			errno == EAGAIN ? -EAGAIN : 0; /* its backlog is full */
	else if (poll(&p, 1, left > 0 ? (int)(left / 1000000) : 0) > 0)
		result = -EAGAIN;
	else
		result = 1;
	close(sock);
	return result;
}

/*
 * A broker that was killed goes on listening until the kernel has closed its ring,
 * some milliseconds after its end: one can connect to it, and is cut off then. So
 * who answers is who does not hang up for DYING_NS.
 */
static bool answers(const struct sockaddr_un *address, socklen_t length)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	int64_t until = tpi_now_ns() + DYING_NS;
	int result;

	for (;;) {
		result = knock(address, length, until);
		if (result != -EAGAIN || tpi_now_ns() >= until)
			return result != 0;
		nanosleep(&nap, NULL);
	}
}

/* Takes away what a killed broker left behind, and nothing else. */
static int remove_stale(const char *path, const struct sockaddr_un *address,
			socklen_t length, char *error, size_t error_bytes)
{
	struct stat st;

	if (lstat(path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return tpi_fail(-EEXIST, error, error_bytes,
				"socket \"%s\": a file that is not a socket is "
				"in its place, and is not removed",
				path);
	if (answers(address, length))
		return tpi_fail(-EADDRINUSE, error, error_bytes,
				"socket \"%s\": another broker answers there",
				path);
	if (unlink(path))
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
	if (!lstat(path, &st)) {
		server->device = st.st_dev;
		server->inode = st.st_ino;
	}
	if (config->socket_group != (gid_t)-1 &&
	    chown(path, (uid_t)-1, config->socket_group))
		return tpi_fail(-errno, error, error_bytes,
				"socket \"%s\": cannot give it to group %u: "
				"%s",
				path, config->socket_group, strerror(errno));
	if (chmod(path, config->socket_mode))
		return tpi_fail(-errno, error, error_bytes,
				"socket \"%s\": cannot set mode %03o: %s", path,
				(unsigned int)config->socket_mode,
				strerror(errno));
	return 0;
}

/* The kernel gives such a name back itself, when its last owner has ended. */
static int bind_abstract(int fd, const char *name,
			 const struct sockaddr_un *address, socklen_t length,
			 char *error, size_t error_bytes)
{
	if (!bind(fd, (const struct sockaddr *)address, length))
		return 0;
	if (errno == EADDRINUSE && !answers(address, length) &&
	    !bind(fd, (const struct sockaddr *)address, length))
		return 0;
	return tpi_fail(-errno, error, error_bytes, "socket \"%s\": %s", name,
			errno == EADDRINUSE ? "another process uses this name"
					    : strerror(errno));
}

static int bind_name(struct tpi_broker *broker, const char *name,
		     const struct sockaddr_un *address, socklen_t length,
		     char *error, size_t error_bytes)
{
	int lock, err;

	if (name[0] == '@')
		return bind_abstract(broker->server.fd, name, address, length,
				     error, error_bytes);
	lock = lock_directory(name, error, error_bytes);
	if (lock < 0)
		return lock;
	err = bind_path(broker, name, address, length, error, error_bytes);
	close(lock);
	return err;
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

static int open_socket(struct tpi_broker *broker, char *error,
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
	err = bind_name(broker, server->name, &address, (socklen_t)length,
			error, error_bytes);
	if (!err && listen(server->fd, BACKLOG))
		err = tpi_fail(-errno, error, error_bytes,
			       "socket \"%s\": listen: %s", server->name,
			       strerror(errno));
	return err;
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
	return tpi_watch_start(broker->loop, &server->watch, server->fd);
}

void tpi_server_unlisten(struct tpi_broker *broker)
{
	struct tpi_server *server = &broker->server;
	struct stat st;

	if (server->fd < 0)
		return;
	tpi_watch_stop(broker->loop, &server->watch);
	/* Ours, not the one of a broker that came after us. */
	if (server->name[0] != '@' && server->inode &&
	    !lstat(server->name, &st) && st.st_ino == server->inode &&
	    st.st_dev == server->device)
		unlink(server->name);
	close(server->fd);
	server->fd = -1;
}
