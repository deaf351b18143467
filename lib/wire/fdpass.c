/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages with descriptors over SOCK_SEQPACKET Unix sockets. Called by broker
 * and client for everything that they say to each other. Whether a call blocks
 * is the socket's O_NONBLOCK. A descriptor that was received is either handed to
 * the caller or closed here: a peer that sends too many leaks none into us.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/own_fd.h"
#include "lib/wire/fdpass.h"

/* The most descriptors that the kernel carries in one message (SCM_MAX_FD). */
#define FDS_MAX 253

union control {
	struct cmsghdr align;
	unsigned char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

ssize_t tpi_send_fds(int sock, const void *bytes, size_t length, const int *fds,
		     unsigned int fd_count)
{
	union control control;
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = length};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (fd_count > FDS_MAX)
		return -E2BIG;
	if (fd_count) {
		struct cmsghdr *cmsg = &control.align;

		memset(&control, 0, CMSG_SPACE(fd_count * sizeof(int)));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	do {
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

static void close_all(const int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
}

/* The descriptors of every SCM_RIGHTS part. Those that do not fit are closed. */
static unsigned int take_fds(struct msghdr *msg, int *fds, unsigned int room)
{
	unsigned int count = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t got;

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		got = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < got; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
			       sizeof(fd));
			/* The program's output MUST NOT go into it. */
			fd = tpi_fd_above_stdio(fd);
			if (fd >= 0 && count < room) {
				fds[count++] = fd;
				continue;
			}
			msg->msg_flags |= MSG_CTRUNC;
			if (fd >= 0)
				close(fd);
		}
	}
	return count;
}

/*
 * Why descriptors were cut off. The kernel says the same (MSG_CTRUNC) for three
 * causes: there was no room for them here, this process may not have so many, and
 * a security module refused one. Called while those that came are still open.
 */
static int truncation(int sock, unsigned int count, unsigned int room)
{
	int probe, err;

	if (count == room)
		return -EMSGSIZE;
	probe = fcntl(sock, F_DUPFD_CLOEXEC, 0);
	err = probe < 0 ? -errno : -EPERM;
	if (probe >= 0)
		close(probe);
	return err;
}

ssize_t tpi_recv_fds(int sock, void *bytes, size_t length, int *fds,
		     unsigned int *fd_count)
{
	unsigned int room = *fd_count;
	union control control;
	struct iovec iov = {.iov_base = bytes, .iov_len = length};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	unsigned int count;
	ssize_t got;
	int err;

	*fd_count = 0;
	if (room > FDS_MAX)
		room = FDS_MAX;
	do {
		msg.msg_control = &control;
		/* LEN, not SPACE: the padding would let one more in. */
		msg.msg_controllen = CMSG_LEN(room * sizeof(int));
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	count = take_fds(&msg, fds, room);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		err = msg.msg_flags & MSG_TRUNC ? -EMSGSIZE
						: truncation(sock, count, room);
		close_all(fds, count);
		return err;
	}
	/* An empty message is no message: its descriptors go nowhere. */
	if (got == 0) {
		close_all(fds, count);
		return 0;
	}
	*fd_count = count;
	return got;
}

int tpi_socket_address(struct sockaddr_un *address, const char *name)
{
	size_t length = strlen(name);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (length == 0)
		return -EINVAL;
	/* A path needs its NUL. An abstract name's first byte is one. */
	if (length >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memcpy(address->sun_path, name, length);
	if (name[0] == '@') {
		if (length == 1)
			return -EINVAL;
		address->sun_path[0] = 0;
		return (int)(offsetof(struct sockaddr_un, sun_path) + length);
	}
	return (int)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}
