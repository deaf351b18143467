/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket that was there before this broker: the one of the broker before, from
 * the keeper, or the one of a service manager. It needs no bind, no mode and no question
 * whether it is stale. Connections that came while there was no broker wait in its
 * backlog.
 *
 * SIGKILL after the lock was taken: the next broker gets the lock from the keeper, and finds
 * a socket that no program listens at, or none. After the socket was put: it gets both. The
 * file of the socket is noted in the lock's file before the socket is put. SIGSTOP: clients
 * wait in the backlog. Another uid can neither open the lock nor, in a directory of ours,
 * replace the socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/session/name_lock.h"
#include "lib/base/testpoint.h"
#include "lib/wire/fdpass.h"

static const struct tpi_keep_key lock_key = {.kind = TPI_KEEP_LOCK};
static const struct tpi_keep_key listen_key = {.kind = TPI_KEEP_LISTEN};
static const struct tpi_keep_key activated_key = {.kind = TPI_KEEP_ACTIVATED};

static void put(struct tpi_broker *broker, struct tpi_keep_key key, int fd,
		const char *what)
{
	int err = tpi_keep_put(broker->keep, key, fd);

	if (err)
		tpi_log(&broker->log, TAPIO_LOG_WARNING,
			"%s is not kept, and ends with this process: %s", what,
			strerror(-err));
	TPI_TESTPOINT("listen.kept");
}

void tpi_server_keep_lock(struct tpi_broker *broker)
{
	if (broker->server.lock_fd >= 0)
		put(broker, lock_key, broker->server.lock_fd, "the lock");
}

void tpi_server_keep(struct tpi_broker *broker)
{
	tpi_server_keep_lock(broker);
	if (!broker->server.activated)
		put(broker, listen_key, broker->server.fd,
		    "the listening socket");
}

void tpi_server_drop(struct tpi_broker *broker)
{
	tpi_keep_drop(broker->keep, activated_key);
	tpi_keep_drop(broker->keep, listen_key);
	tpi_keep_drop(broker->keep, lock_key);
}

void tpi_server_sign(struct tpi_broker *broker)
{
	const struct tpi_server *server = &broker->server;
	const struct tpi_name_signature signature = {
		.broker = getpid(),
		.keeper = broker->keep ? broker->keep->pid : 0,
		.device = server->device,
		.inode = server->inode,
	};

	/* Without it a message says less, and the next broker binds anew. */
	if (server->lock_fd >= 0)
		(void)tpi_name_sign(server->lock_fd, &signature);
	TPI_TESTPOINT("listen.signed");
}

/* Whether the socket is bound to the server's name. */
static bool is_named(int fd, const char *name)
{
	struct sockaddr_un wanted, address;
	int length = tpi_socket_address(&wanted, name);
	socklen_t got = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (length < 0 || getsockname(fd, (struct sockaddr *)&address, &got))
		return false;
	if (name[0] == '@')
		return got == (socklen_t)length &&
		       !memcmp(&wanted, &address, got);
	return !strncmp(wanted.sun_path, address.sun_path,
			sizeof(address.sun_path));
}

int tpi_server_activate(struct tpi_broker *broker)
{
	struct tpi_server *server = &broker->server;
	int fd = tpi_keep_take(broker->keep, activated_key);

	if (fd < 0)
		return -ENOENT;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (!is_named(fd, server->name))
		tpi_log(&broker->log, TAPIO_LOG_NOTICE,
			"clients connect to the socket that the service manager "
			"has passed, instead of \"%s\"",
			server->name);
	server->fd = fd;
	server->activated = true;
	return 0;
}

/* The lock of the broker before. False: it has to be taken by its name. */
static bool inherit_lock(struct tpi_broker *broker,
			 struct tpi_name_signature *signature)
{
	struct tpi_server *server = &broker->server;
	int fd = tpi_keep_take(broker->keep, lock_key);

	if (fd < 0)
		return false;
	if (tpi_name_lock_inherited(fd, server->name, signature)) {
		server->lock_fd = fd;
		return true;
	}
	tpi_log(&broker->log, TAPIO_LOG_WARNING,
		"socket \"%s\": the file of the lock was removed, or the name "
		"is another one now: the lock is taken anew",
		server->name);
	tpi_keep_drop(broker->keep, lock_key);
	close(fd);
	return false;
}

/* Whether the file at the name is that of the socket. */
static bool is_file(const struct tpi_server *server,
		    const struct tpi_name_signature *signature)
{
	struct stat st;

	return signature->inode && !lstat(server->name, &st) &&
	       st.st_ino == signature->inode && st.st_dev == signature->device;
}

static int give_up_socket(struct tpi_broker *broker, int fd)
{
	tpi_log(&broker->log, TAPIO_LOG_WARNING,
		"socket \"%s\": its file was removed or replaced since the "
		"broker before bound it, or the name is another one now: the "
		"socket is made anew",
		broker->server.name);
	tpi_keep_drop(broker->keep, listen_key);
	close(fd);
	return -ENOENT;
}

int tpi_server_inherit(struct tpi_broker *broker)
{
	struct tpi_name_signature signature = {0};
	struct tpi_server *server = &broker->server;
	bool abstract = server->name[0] == '@';
	bool ours = inherit_lock(broker, &signature);
	int fd = tpi_keep_take(broker->keep, listen_key);

	if (fd < 0)
		return -ENOENT;
	if (!is_named(fd, server->name))
		return give_up_socket(broker, fd);
	if (!abstract && (!ours || !is_file(server, &signature)))
		return give_up_socket(broker, fd);
	server->fd = fd;
	server->device = signature.device;
	server->inode = signature.inode;
	return 0;
}
