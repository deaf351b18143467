/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that syslog's messages come by. One thread. */
#ifndef TPI_COLLECT_SYSLOG_SERVER_H
#define TPI_COLLECT_SYSLOG_SERVER_H

#include <sys/socket.h>

#include "tools/collectors/common/sink.h"
#include "tools/collectors/syslog/syslog.h"

enum {
	TPI_SYSLOG_MESSAGE,
	TPI_SYSLOG_KINDS,
};

enum tpi_way {
	TPI_WAY_UNIX,
	TPI_WAY_UDP,
	TPI_WAY_TCP,
};

#define TPI_SYSLOG_LISTENERS_MAX   32
#define TPI_SYSLOG_CONNECTIONS_MAX 1024

struct tpi_address {
	struct sockaddr_storage storage;
	socklen_t length;
};

/* "127.0.0.1:514", "[::1]:514". No names are resolved. False: it is none. */
bool tpi_address_parse(struct tpi_address *address, const char *text);

/* A socket that messages are read from, or that connections come by. */
struct tpi_endpoint {
	int fd; /* -1: free */
	enum tpi_way way;
	bool listens;
	uint32_t dropped; /* by the kernel, as it counts (SO_RXQ_OVFL) */
	char peer[64];
	const char *path; /* of a Unix socket of ours, to remove */
	/* Of a connection: the begin of a message. */
	char *buffer;
	size_t used;
	size_t skip; /* bytes of a message that was too long */
	bool skips_line;
};

struct tpi_server {
	int epoll;
	struct tpi_sink *sink;
	uint32_t connections;
	uint32_t connections_max;
	uint32_t endpoint_count;
	struct tpi_endpoint *endpoints; /* listeners, and then connections */
	char *message;                  /* TPI_SYSLOG_BYTES */
	char *value;                    /* the same */
};

/* -errno, told already. */
int tpi_server_init(struct tpi_server *server, struct tpi_sink *sink,
		    uint32_t connections_max);
void tpi_server_fini(struct tpi_server *server);

/* -errno. The text MUST stay. */
int tpi_server_listen(struct tpi_server *server, enum tpi_way way,
		      const char *text);

/* Reads what is there, a batch of each socket. False: nothing was there. */
bool tpi_server_serve(struct tpi_server *server);
/*
 * The same until nothing is there, or for a second. Then emits what has come of messages that are
 * not whole, and counts what the kernel has dropped.
 */
void tpi_server_drain(struct tpi_server *server);

#endif
