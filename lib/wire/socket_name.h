/* SPDX-License-Identifier: Apache-2.0 */
/* The name of the control socket: an option, else TAPIO_SOCKET, else one of two usual places. */
#ifndef TPI_SOCKET_NAME_H
#define TPI_SOCKET_NAME_H

#include <sys/un.h>

struct tpi_socket_name {
	char text[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* Where a broker listens that the calling user starts. */
void tpi_socket_name_serve(struct tpi_socket_name *name);

/* Where a client of the calling user looks for a broker, at this moment. */
void tpi_socket_name_find(struct tpi_socket_name *name);

/*
 * Where a client looks: at `given`, else at TAPIO_SOCKET, else where tpi_socket_name_find()
 * says, whose name goes to *found. What is empty counts as the latter.
 */
const char *tpi_socket_name_of(const char *given,
			       struct tpi_socket_name *found);

#endif
