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
#include "broker/session/helper.h"
#include "broker/session/rights.h"

struct tpi_broker;
struct tpi_process;
struct tpi_attachment;

#define TPI_STRANGERS_MAX    512 /* connections that have not said HELLO .. */
#define TPI_STRANGERS_OF_UID 256 /* .. and of one uid */
#define TPI_WAITING_OF_UID   256 /* that have said it, and wait for us */
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
	/* Stopped, with a message: for a helper (helper.h), or until others have read
	 * their answers (unread.c). */
	bool waits;
	uint32_t unread_fds; /* of answers that it has not read */
	uint64_t unread_until_ns;
	bool parked; /* it has not read them for long (unread.c, U3) */
	TAILQ_ENTRY(tpi_session) link;
};
TAILQ_HEAD(tpi_session_list, tpi_session);

/* The socket of a session that has ended, with an answer that was not read (unread.c, U4). */
struct tpi_left {
	int fd;
	uid_t uid;
	uint32_t fds; /* of that answer */
	TAILQ_ENTRY(tpi_left) link;
};
TAILQ_HEAD(tpi_left_list, tpi_left);

struct tpi_server {
	struct tpi_watch watch; /* the listening socket */
	struct tpi_broker *broker;
	int fd;
	int lock_fd; /* -1: the name needs none (name_lock.h) */
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	dev_t device; /* of the socket's file, to unlink no other one */
	ino_t inode;
	bool activated; /* the socket is the service manager's, and its file too */
	struct tpi_session_list sessions; /* oldest first */
	uint32_t session_count;
	uint32_t stranger_count;
	uint64_t warned_ns;
	int spare_fd; /* to refuse a connection when there is no other one */
	uint32_t unread_fds; /* of sessions, and of `left` */
	struct tpi_left_list left;
	struct tpi_timer unread_look;
	struct tpi_helpers helpers;
};

/* listen.c: -EADDRINUSE when another broker answers there. */
int tpi_server_listen(struct tpi_broker *broker, const char *name, char *error,
		      size_t error_bytes);
/* No more connections, and the socket's file is gone. */
void tpi_server_unlisten(struct tpi_broker *broker);

/* Writes into the lock's file which processes serve here. */
void tpi_server_sign(struct tpi_broker *broker);

/* inherit.c: 0: the socket that the service manager has passed is the server's. */
int tpi_server_activate(struct tpi_broker *broker);
/*
 * 0: the lock and the socket of the broker before are the server's. Else the server has the
 * lock if that could be had, and no socket.
 */
int tpi_server_inherit(struct tpi_broker *broker);
/* The next broker gets lock and socket, or (with drop) neither. */
void tpi_server_keep_lock(struct tpi_broker *broker);
void tpi_server_keep(struct tpi_broker *broker);
void tpi_server_drop(struct tpi_broker *broker);
/* socket_mode.c: gives the file to the group that may connect. */
void tpi_socket_set_group(struct tpi_broker *broker,
			  const struct tpi_config *config, const char *path);
/*
 * The mode and the group of another configuration, if they differ from those in force,
 * for connections that come from now on. 0, or -errno with a message: then the file has
 * the old mode.
 */
int tpi_socket_change(struct tpi_broker *broker, const struct tpi_config *next,
		      char *error, size_t error_bytes);

/* accept.c */
void tpi_session_accept(struct tpi_watch *watch, unsigned int events);
void tpi_sessions_tick(struct tpi_broker *broker);
/* Says in the log that there is none left, and why: at most once a second. */
void tpi_warn_descriptors(struct tpi_broker *broker, int error);
/* Opens the spare descriptor, if it is not there. */
void tpi_spare_fd_take(struct tpi_server *server);

/* home.c: fills in `at_home`, for uids that trust_owner is for. -EMFILE, -ENFILE: it cannot be
 * told now. */
int tpi_cred_find_home(struct tpi_broker *broker, struct tpi_cred *cred,
		       int sock, uint64_t accepted_ns);

/* session.c */
/* A message that was checked. Keeps or closes the pidfd. */
void tpi_session_dispatch(struct tpi_session *session,
			  const union tpi_wire_message *message, int pidfd);
/* Refuses it, and counts it. */
void tpi_session_protocol_error(struct tpi_session *session, int err,
				const char *text);
/* The broker has none left: -EAGAIN, and the log has the errno. */
void tpi_session_no_descriptor(struct tpi_session *session, int err);

/* Says why, with -errno, and closes. */
void tpi_session_refuse(struct tpi_session *session, int err, const char *text);
void tpi_session_close(struct tpi_session *session);
/* Closes the connections of a process whose attachments have ended. */
void tpi_sessions_of(struct tpi_broker *broker,
		     const struct tpi_process *process);
void tpi_sessions_close_all(struct tpi_broker *broker);
/* Says in the log that an attachment stays without a connection, and why: `maps` is what
 * tpi_process_maps() has returned. */
void tpi_session_say_lingering(struct tpi_broker *broker,
			       const struct tpi_attachment *attachment,
			       int maps);

/* receive.c */
void tpi_session_message(struct tpi_watch *watch, unsigned int events);
/* What a helper has received for it (helper.h), with the pidfd, or -1. */
void tpi_session_received(struct tpi_session *session,
			  const struct tpi_received *received, int pidfd);
/* Those that wait try again, unless they have an answer to read. How many waited, of those
 * that are not parked. */
uint32_t tpi_sessions_resume(struct tpi_broker *broker);
/* It stops until tpi_sessions_resume(). */
void tpi_session_wait(struct tpi_session *session);

#endif
