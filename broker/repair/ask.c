/* SPDX-License-Identifier: Apache-2.0 */
/* Called by process.c, on the loop. */
#include "broker/repair/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "broker/loop/child.h"
#include "broker/repair/process.h"
#include "lib/base/own_fd.h"

#define WAIT_MS 100

static void run(pid_t broker, int out, int64_t (*question)(void *arg),
		void *arg)
{
	int64_t answer;

	tpi_child_begin(broker);
	answer = question(arg);
	_exit(write(out, &answer, sizeof(answer)) != sizeof(answer));
}

/*
 * A question takes microseconds. So one that is asleep after WAIT_MS is held. One that only
 * waits for a CPU is not, and answers as soon as it has one: the client has no part in it.
 */
static int wait_for_answer(int out, int pidfd)
{
	/* In this order: the answer comes before the end, so it is seen with the end. */
	struct pollfd fds[2] = {{.fd = pidfd, .events = POLLIN},
				{.fd = out, .events = POLLIN}};

	while (poll(fds, 2, WAIT_MS) <= 0)
		if (tpi_is_asleep(pidfd))
			return -ETIMEDOUT;
	/* Without an answer: others that were forked meanwhile may hold the pipe open. */
	return fds[1].revents ? 0 : -ESRCH;
}

int tpi_ask(int64_t (*question)(void *arg), void *arg, int64_t *answer)
{
	pid_t broker = getpid(), pid;
	int ends[2], pidfd = -1, err = 0;
	ssize_t n;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	ends[0] = tpi_fd_above_stdio(ends[0]);
	ends[1] = tpi_fd_above_stdio(ends[1]);
	pid = tpi_child_fork(&pidfd);
	if (!pid)
		run(broker, ends[1], question, arg);
	if (pid < 0)
		err = -errno;
	close(ends[1]);
	if (!err)
		err = wait_for_answer(ends[0], pidfd);
	if (!err) {
		n = read(ends[0], answer, sizeof(*answer));
		err = n == sizeof(*answer) ? 0 : -ESRCH;
	}
	close(ends[0]);
	if (pid > 0) {
		tpi_child_end(pidfd);
		close(pidfd);
	}
	return err;
}
