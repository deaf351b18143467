/* SPDX-License-Identifier: Apache-2.0 */
/* Inner header of connect.c, which reaches a broker, and handshake.c, which talks to it. */
#ifndef TPI_DIAL_H
#define TPI_DIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/connection/client.h"

/* One attempt to reach the broker. */
struct tpi_dial {
	struct tpi_client *client;
	const char *name;  /* of the socket */
	int64_t answer_ns; /* how long it may take to answer, and until when */
	int64_t answer_by;
	bool refused;  /* the broker has said no */
	bool by_steps; /* this process has no room for all descriptors at once */
	bool busy;     /* it is there, and has no room for us now */
	bool same_uid; /* only a broker of this uid will do */
	uid_t uid;
	uint64_t handle; /* as ATTACH names it */
};

/* ---- connect.c ---- */

/* One message, within d->answer_by. 0 or -errno, with the reason in the client's text. */
int tpi_dial_send(struct tpi_dial *d, union tpi_wire_message *message, int fd);
/* Of type `want`. fds as for tpi_recv_fds(). */
int tpi_dial_receive(struct tpi_dial *d, enum tpi_wire_type want,
		     union tpi_wire_message *message, int *fds,
		     unsigned int *fd_count);
void tpi_dial_close_fds(const int *fds, unsigned int count);

/* ---- handshake.c ---- */

/* All messages of an open, or of the removal of a group, on a connection that is there. */
int tpi_dial_ask(struct tpi_dial *d, const struct tpi_request *request);

#endif
