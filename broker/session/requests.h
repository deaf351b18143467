/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client may ask for, a file for each kind of request: attach.c has what begins an
 * attachment, session.c what ends it, fetch.c and resume.c the others. Each is answered by
 * one message, and the session may be gone afterwards.
 */
#ifndef TPI_BROKER_SESSION_REQUESTS_H
#define TPI_BROKER_SESSION_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/wire/wire.h"

struct tpi_attachment;
struct tpi_broker;
struct tpi_session;

/* Sends an answer. False, and the session is gone, when the client does not take it. */
bool tpi_session_answer(struct tpi_session *session,
			union tpi_wire_message *message, const int *fds,
			unsigned int fd_count);
/* Sends REFUSED, and the connection stays. False as above. */
bool tpi_session_answer_refused(struct tpi_session *session, int err,
				const char *text);
/* The same, because the attachment that the client names is not this connection's. */
void tpi_session_not_attached(struct tpi_session *session, uint32_t named);

/* The names of channels and groups that a client sends. -EINVAL. */
int tpi_session_check_name(const char *what, const char *text, char *why,
			   size_t why_bytes);
/* The client is told that it has no right. The log says which rules grant it. -EACCES. */
int tpi_session_has_no_right(struct tpi_session *session, const char *channel,
			     uint32_t right, char *why, size_t why_bytes);
/* WELCOME with nothing of ATTACHED in it. *fd: of the catalog. */
void tpi_session_fill_welcome(const struct tpi_broker *broker,
			      union tpi_wire_message *message, int *fd);

/* attach.c. `minor`: of the client's protocol. `joint`: it came with HELLO. */
void tpi_session_attach(struct tpi_session *session,
			const struct tpi_wire_attach *attach, uint8_t minor,
			bool joint);

/* fetch.c */
/* Before an answer with the cursors of these slots, and after it was sent. */
void tpi_session_sends_slots(struct tpi_attachment *attachment, uint64_t slots);
void tpi_session_sent_slots(struct tpi_broker *broker,
			    struct tpi_attachment *attachment, uint64_t slots);
void tpi_session_fetch(struct tpi_session *session,
		       const struct tpi_wire_fetch *fetch);
void tpi_session_mapped(struct tpi_session *session,
			const struct tpi_wire_mapped *mapped);
/* resume.c */
void tpi_session_resume(struct tpi_session *session,
			const struct tpi_wire_resume *resume);

#endif
