/* SPDX-License-Identifier: Apache-2.0 */
/* The lock that a broker holds on the name of its socket. */
#ifndef TPI_BROKER_NAME_LOCK_H
#define TPI_BROKER_NAME_LOCK_H

#include <stddef.h>
#include <sys/un.h>

/* A path of a socket, ".lock", and a NUL. */
#define TPI_NAME_LOCK_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) + 8)

/*
 * Takes the lock of the socket at the path `name`. The directory is made if only its
 * last part is missing. The descriptor, or -errno with a message:
 *
 *   -EADDRINUSE  a living broker holds it, also after a second
 *   -EPERM       the file is another user's, or others may open it
 *   other        the directory or the file cannot be made or opened
 */
int tpi_name_lock(const char *name, char *error, size_t error_bytes);

/* Removes the file and lets go. The socket MUST be gone before. -1 passes. */
void tpi_name_unlock(int fd, const char *name);

#endif
