/* SPDX-License-Identifier: Apache-2.0 */
/* The socket, its connections, and the messages on them. */
#ifndef TPI_BROKER_SERVER_H
#define TPI_BROKER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <sys/un.h>

#include "broker/loop/loop.h"
#include "broker/session/rights.h"

struct tpi_broker;
struct tpi_process;
struct tpi_attachment;

#define TPI_STRANGERS_MAX    64 /* connections that have not said HELLO .. */
#define TPI_STRANGERS_OF_UID 32 /* .. and of one uid */
#define TPI_HELLO_NS         UINT64_C(5000000000) /* by then they must have */

struct tpi_session {
	struct tpi_watch watch;
	struct tpi_broker *broker;
	int fd;
	struct tpi_cred cred;
	uint64_t accepted_ns;        /* CLOCK_BOOTTIME, as start times are */
	uint64_t deadline_ns;        /* CLOCK_MONOTONIC, for HELLO */
	struct tpi_process *process; /* NULL before HELLO */
	struct tpi_attachment *attachment;
	TAILQ_ENTRY(tpi_session) link;
};
TAILQ_HEAD(tpi_session_list, tpi_session);

struct tpi_server {
	struct tpi_watch watch; /* the listening socket */
	struct tpi_broker *broker;
	int fd;
	int lock_fd; /* -1: the name needs none (name_lock.h) */
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	dev_t device; /* of the socket's file, to unlink no other one */
	ino_t inode;
	struct tpi_session_list sessions; /* oldest first */
	uint32_t session_count;
	uint32_t stranger_count;
};

/* listen.c: -EADDRINUSE when another broker answers there. */
int tpi_server_listen(struct tpi_broker *broker, const char *name, char *error,
		      size_t error_bytes);
/* No more connections, and the socket's file is gone. */
void tpi_server_unlisten(struct tpi_broker *broker);

/* accept.c */
void tpi_session_accept(struct tpi_watch *watch, unsigned int events);
void tpi_sessions_tick(struct tpi_broker *broker);

/* session.c */
void tpi_session_message(struct tpi_watch *watch, unsigned int events);
/* Says why, with -errno, and closes. */
void tpi_session_refuse(struct tpi_session *session, int err, const char *text);
void tpi_session_close(struct tpi_session *session);
/* Closes the connections of a process whose attachments have ended. */
void tpi_sessions_of(struct tpi_broker *broker,
		     const struct tpi_process *process);
void tpi_sessions_close_all(struct tpi_broker *broker);

#endif
