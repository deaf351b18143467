/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floor of attaching: a process connects, says a word, gets as many descriptors as
 * a producer does and maps what they name. Nothing is looked up, checked, or kept
 * but the connection.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <tapio/abi.h>

#include "bench/questions/scale.h"
#include "lib/wire/fdpass.h"

/* Catalog, a channel's segment, and the cursors of every group. */
#define SEGMENTS (2 + TAPIO_GROUP_SLOTS)
#define BYTES    4096
#define BACKLOG  4096

struct server {
	pthread_t thread;
	int sock;
	int fds[SEGMENTS];
};

static int address_of(struct sockaddr_un *address, socklen_t *length,
		      const char *socket)
{
	size_t n = strlen(socket);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (n >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memcpy(address->sun_path, socket, n);
	address->sun_path[0] = 0; /* "@": an abstract one */
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return 0;
}

static void *serve_all(void *arg)
{
	struct server *server = arg;
	char word[8];
	int fd;

	while ((fd = accept4(server->sock, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		/* Left open: the connection is kept as long as the client. */
		if (recv(fd, word, sizeof(word), 0) > 0)
			tpi_send_fds(fd, word, sizeof(word), server->fds,
				     SEGMENTS);
	return NULL;
}

static int make_segments(struct server *server)
{
	for (int i = 0; i < SEGMENTS; i++) {
		server->fds[i] = memfd_create("bench", MFD_CLOEXEC);
		if (server->fds[i] < 0 || ftruncate(server->fds[i], BYTES))
			return -errno;
	}
	return 0;
}

static int start(struct server *server, const char *name)
{
	struct rlimit limit;
	struct sockaddr_un address;
	socklen_t length;
	int err = address_of(&address, &length, name);

	if (!err && !getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (!err)
		err = make_segments(server);
	if (err)
		return err;
	server->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (server->sock < 0 ||
	    bind(server->sock, (struct sockaddr *)&address, length) ||
	    listen(server->sock, BACKLOG))
		return -errno;
	return -pthread_create(&server->thread, NULL, serve_all, server);
}

static int serve(const char *socket, void **out)
{
	struct server *server = calloc(1, sizeof(*server));
	int err = server ? start(server, socket) : -ENOMEM;

	if (err)
		bench_why("%s", strerror(-err));
	*out = server;
	return err;
}

/* Open descriptors end with the process. */
static void stop(void *arg)
{
	struct server *server = arg;

	shutdown(server->sock, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	free(server);
}

static int map_all(const int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		/* As segments are: readable, and looked at once. */
		volatile char *at =
			mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fds[i], 0);

		if (at == MAP_FAILED)
			return -errno;
		(void)*at;
		close(fds[i]);
	}
	return count == SEGMENTS ? 0 : -EPROTO;
}

static int attach(const char *name, char *why, size_t why_bytes)
{
	unsigned int count = SEGMENTS;
	struct sockaddr_un address;
	char word[8] = "attach";
	int fds[SEGMENTS], sock;
	socklen_t length;
	ssize_t n;

	(void)why;
	(void)why_bytes;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0 || address_of(&address, &length, name) ||
	    connect(sock, (struct sockaddr *)&address, length) ||
	    send(sock, word, sizeof(word), 0) < 0)
		return -errno;
	n = tpi_recv_fds(sock, word, sizeof(word), fds, &count);
	return n < 0 ? (int)n : map_all(fds, count);
}

const struct scale_clients scale_bare = {serve, stop, attach};
