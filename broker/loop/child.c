/* SPDX-License-Identifier: Apache-2.0 */
/* Called by ask.c and session/helper.c, on the loop. */
#include "broker/loop/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* A child that was killed ends at once, unless its wait cannot be killed, or no CPU is free. */
#define END_MS   100
#define LATE_MAX 64

pid_t tpi_child_fork(int *pidfd)
{
	return (pid_t)syscall(SYS_clone, CLONE_PIDFD, NULL, pidfd, NULL, NULL);
}

void tpi_child_begin(pid_t broker)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != broker)
		_exit(0); /* it is gone already */
}

void tpi_child_kill(int pidfd)
{
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* True: it has ended, and its status was taken, now or before. */
static bool is_reaped(int pidfd)
{
	siginfo_t info = {0};

	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL))
		return errno == ECHILD;
	return info.si_pid != 0;
}

void tpi_child_reap(int pidfd)
{
	(void)is_reaped(pidfd);
}

/*
 * Children that had not ended in time, as on a machine that is busy: a pidfd + 1 each, or 0.
 * A process may have several brokers, so each slot is taken by a swap. The number is all
 * that it orders.
 */
static int late[LATE_MAX];

static void keep_late(int pidfd)
{
	for (int i = 0; i < LATE_MAX; i++) {
		int none = 0;

		if (tpi_cas_acq_rel(&late[i], &none, pidfd + 1))
			return;
	}
	close(pidfd); /* it stays dead until this process ends */
}

void tpi_child_reap_late(void)
{
	for (int i = 0; i < LATE_MAX; i++) {
		int pidfd = tpi_swap_acq_rel(&late[i], 0) - 1;

		if (pidfd < 0)
			continue;
		if (is_reaped(pidfd))
			close(pidfd);
		else
			keep_late(pidfd);
	}
}

void tpi_child_end(int pidfd)
{
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	int copy;

	tpi_child_kill(pidfd);
	poll(&ended, 1, END_MS);
	if (is_reaped(pidfd))
		return;
	copy = fcntl(pidfd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (copy >= 0)
		keep_late(copy);
}

const char *tpi_proc_stat(pid_t pid, char *text, size_t bytes)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	n = read(fd, text, bytes - 1);
	close(fd);
	if (n <= 0)
		return NULL;
	text[n] = 0;
	return strrchr(text, ')');
}
