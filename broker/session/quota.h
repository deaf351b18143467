/* SPDX-License-Identifier: Apache-2.0 */
/* Shares: the most that one uid may take of what all clients need. */
#ifndef TPI_BROKER_QUOTA_H
#define TPI_BROKER_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tpi_broker;
struct tpi_server;
struct tpi_session;

/* A client that leaves an answer with descriptors unread for so long is closed. */
#define TPI_UNREAD_NS UINT64_C(5000000000)

/* quota.c. Whether two sessions draw on the same share. */
bool tpi_quota_is_shared(const struct tpi_session *a,
			 const struct tpi_session *b);
/* 0, or -EUSERS (all of them), -EDQUOT (the uid's share). */
int tpi_quota_hello(const struct tpi_session *session, char *why, size_t bytes);
int tpi_quota_attach(const struct tpi_session *session, char *why,
		     size_t bytes);

/* unread.c: an answer with descriptors was sent. */
void tpi_unread_note(struct tpi_session *session, uint32_t fds);
/*
 * Whether the session's next message may be read: its answer may take descriptors, and
 * these are in flight until the client reads it. If not, the session waits for that.
 */
bool tpi_unread_room(struct tpi_session *session);
/* The same of one that waits, by the last look. All of one share have the same answer. */
bool tpi_unread_fits(const struct tpi_session *session);
/* It has read all, or nothing was sent. */
void tpi_unread_forget(struct tpi_session *session);
/*
 * The session ends. True: it has not read an answer, and its socket stays open until that
 * is read or dropped. Else the socket is the caller's.
 */
bool tpi_unread_leave(struct tpi_session *session);
/* How many such sockets there are, and *own of them of that uid. */
uint32_t tpi_unread_left(struct tpi_broker *broker, uid_t uid, uint32_t *own);
/* In a child of the embedding program. */
void tpi_unread_close_copies(const struct tpi_server *server);
/* The program has closed all descriptors. */
void tpi_unread_lose(struct tpi_server *server);
/* Closes those that do not read. */
void tpi_unread_tick(struct tpi_broker *broker);
void tpi_unread_start(struct tpi_broker *broker);
void tpi_unread_stop(struct tpi_broker *broker);

#endif
