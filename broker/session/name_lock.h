/* SPDX-License-Identifier: Apache-2.0 */
/* The lock that a broker holds on the name of its socket. */
#ifndef TPI_BROKER_NAME_LOCK_H
#define TPI_BROKER_NAME_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
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

/* The processes that hold it, and the file of the socket. 0: none, or not known. */
struct tpi_name_signature {
	pid_t broker;
	pid_t keeper;
	dev_t device;
	ino_t inode;
};

/*
 * Writes it into the file of the lock. -EIO: it may be half written, and its reader then
 * finds a file that is no socket's.
 */
int tpi_name_sign(int fd, const struct tpi_name_signature *signature);

/*
 * Whether a lock that a former broker has left is still that of the name, and held. Then
 * *signature is the one that it had written.
 */
bool tpi_name_lock_inherited(int fd, const char *name,
			     struct tpi_name_signature *signature);

/* Removes the file and lets go. The socket MUST be gone before. -1 passes. */
void tpi_name_unlock(int fd, const char *name);

#endif
