/* SPDX-License-Identifier: Apache-2.0 */
/* One message with its fds over a SOCK_SEQPACKET Unix socket. */
#ifndef TPI_FDPASS_H
#define TPI_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

/* Bytes sent, or -errno (-EAGAIN on a full non-blocking socket). */
ssize_t tpi_send_fds(int sock, const void *bytes, size_t length, const int *fds,
		     unsigned int fd_count);

/*
 * Bytes received, 0 at the end of the connection, or -errno. Received fds are
 * CLOEXEC. *fd_count is set on entry to the room in fds, on return to how many
 * came. On error every fd is closed:
 *
 *   -EMSGSIZE  more bytes or more fds came than there was room for
 *   -EMFILE    this process may not have so many fds (RLIMIT_NOFILE); `bytes`
 *              holds the message, which says how many were sent
 *   -EPERM     a security module kept one of them back
 */
ssize_t tpi_recv_fds(int sock, void *bytes, size_t length, int *fds,
		     unsigned int *fd_count);

/*
 * Fills a sockaddr_un from a path or "@name" (abstract). The length for bind and
 * connect, or -ENAMETOOLONG.
 */
struct sockaddr_un;
int tpi_socket_address(struct sockaddr_un *address, const char *name);

#endif
