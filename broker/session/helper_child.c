/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of a helper, in the forked child (helper.c). The broker's process may have
 * other threads, so this calls only what a child of such a process may call: no lock is
 * taken, and no memory allocated. The end of the process closes what is left, and that
 * may never return.
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/session/helper_child.h"
#include "lib/wire/fdpass.h"

/* The most that the kernel carries in one message (SCM_MAX_FD). */
#define FDS_MAX 253

/* A range of descriptors. They are copies: closing them drops no last reference. */
static void close_range_of(unsigned int first, unsigned int last)
{
	struct rlimit limit;

	if (first > last || !syscall(SYS_close_range, first, last, 0))
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		limit.rlim_cur = 65536;
	for (unsigned int fd = first; fd <= last && fd < limit.rlim_cur; fd++)
		close((int)fd);
}

/* All but these, in rising order. 0 to 2 become copies, so that nothing that comes has
 * their number, and no log is held. */
static void keep_only(const int *fds, unsigned int count)
{
	unsigned int next = STDERR_FILENO + 1;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		dup2(fds[0], fd);
	for (unsigned int i = 0; i < count; i++) {
		if ((unsigned int)fds[i] > next)
			close_range_of(next, (unsigned int)fds[i] - 1);
		next = (unsigned int)fds[i] + 1;
	}
	close_range_of(next, ~0u);
}

void tpi_helper_child_receive(int sock, int channel)
{
	int kept[2] = {sock < channel ? sock : channel,
		       sock < channel ? channel : sock};
	struct tpi_received received;
	unsigned int count = FDS_MAX;
	int fds[FDS_MAX];

	memset(&received, 0, sizeof(received));
	keep_only(kept, 2);
	received.got = (int32_t)tpi_recv_fds(
		sock, &received.message, sizeof(received.message), fds, &count);
	received.fd_count = received.got > 0 ? count : 0;
	received.has_pidfd = count == 1 && tpi_is_pidfd(fds[0]);
	tpi_send_fds(channel, &received, sizeof(received), fds,
		     received.has_pidfd);
	/* And the end drops what came. */
}

/* Drops what is in the queues of sockets that the broker has shut down. */
void tpi_helper_child_empty(const int *socks, unsigned int count)
{
	char byte;
	struct iovec iov = {&byte, sizeof(byte)};

	keep_only(socks, count);
	for (unsigned int i = 0; i < count; i++) {
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

		/* With SO_PASSCRED every message is cut off (look() in helper.c). */
		while (recvmsg(socks[i], &msg, MSG_DONTWAIT) >= 0 &&
		       msg.msg_flags & MSG_CTRUNC)
			msg.msg_flags = 0;
	}
}
