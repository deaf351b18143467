/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a peer lives where the broker lives: in the same user namespace and the same
 * PID namespace. Called when a connection is accepted, for the uids that `trust_owner`
 * is for, and to which the shares of others do not apply.
 *
 * WHY. The uid of a container's root is 0 for the broker, too, if the container has no
 * user namespace. Such a root is root of the container and not of the host. It has a PID
 * namespace of its own, as every container has that does not ask for the host's. A user
 * that runs a container without privileges is root in there and the same uid for the
 * broker. That container has a user namespace of its own. The broker's own namespaces
 * count, wherever it runs: a container with a broker in it has an owner, too.
 *
 * HOW. The pidfd is of the process that connected (SO_PEERPIDFD), and the kernel gives
 * its namespaces by it, from Linux 6.11 on. Before, /proc has them under a number. The
 * number is taken from the pidfd, so that it is one of this /proc, and the pidfd says
 * afterwards that the process still lives, so that the number was still its own.
 *
 * Where the broker has no descriptor left, the client is told to try again. Else it counts as no
 * if it cannot be found out: the right to look at a process of another uid is that
 * of ptrace (CAP_SYS_PTRACE), and a process that has ended has no namespaces. A process
 * never changes its PID namespace. It changes its user namespace only to one that is
 * below, or with capabilities in the other one. SIGKILL or SIGSTOP of the peer, an
 * execve, a fork: the connection is that of the process that made it, for ever.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "lib/base/sys.h"

/* linux/pidfd.h, _IO(0xff, ...). Spelt here because old headers lack them. */
#define GET_PID_NAMESPACE  0xff05
#define GET_USER_NAMESPACE 0xff09

static const struct kind {
	const char *name;
	unsigned int command;
} namespaces[] = {
	{"user", GET_USER_NAMESPACE},
	{"pid", GET_PID_NAMESPACE},
};
#define NAMESPACES (sizeof(namespaces) / sizeof(namespaces[0]))

/* 0, or -errno: -ENOTTY on kernels before 6.11. */
static int by_pidfd(int pidfd, const struct kind *kind, struct stat *st)
{
	int fd = tpi_sys_pidfd_namespace(pidfd, kind->command);
	int err;

	if (fd < 0)
		return fd;
	err = fstat(fd, st) ? -errno : 0;
	close(fd);
	return err;
}

static int by_proc(int pidfd, const struct kind *kind, struct stat *st)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	char path[64];
	pid_t pid;
	int err = tpi_pidfd_pid(pidfd, &pid);

	if (err)
		return err;
	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind->name);
	if (stat(path, st))
		return -errno;
	return poll(&end, 1, 0) == 1 ? -ESRCH : 0;
}

static int read_ours(const struct kind *kind, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind->name);
	return stat(path, st) ? -errno : 0;
}

/* 1 the same, 0 another, or -errno. */
static int same(int pidfd, const struct kind *kind)
{
	struct stat ours, theirs;
	int err = read_ours(kind, &ours);

	if (err)
		return err;
	err = by_pidfd(pidfd, kind, &theirs);
	/* -EINVAL: pidfds that are no files of pidfs, before 6.9. */
	if (err == -ENOTTY || err == -EINVAL || err == -EOPNOTSUPP)
		err = by_proc(pidfd, kind, &theirs);
	if (err)
		return err;
	return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

static int find(int pidfd)
{
	int at_home = 1;

	for (size_t i = 0; i < NAMESPACES && at_home > 0; i++)
		at_home = same(pidfd, &namespaces[i]);
	return at_home;
}

/* Where its pidfd is there, and says so. */
static bool is_dead(int pidfd)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	return pidfd >= 0 && poll(&end, 1, 0) == 1;
}

/* It asks for nothing any more. That its namespaces cannot be read is no fault. */
static bool has_ended(int pidfd)
{
	return pidfd == -ESRCH || is_dead(pidfd);
}

int tpi_cred_find_home(struct tpi_broker *broker, struct tpi_cred *cred,
		       int sock, uint64_t accepted_ns)
{
	int pidfd, at_home;
	bool ended;

	cred->at_home = false;
	if (!tpi_is_owner_uid(cred->uid))
		return 0;
	pidfd = tpi_process_peer(sock, cred, accepted_ns);
	at_home = pidfd < 0 ? pidfd : find(pidfd);
	ended = has_ended(pidfd);
	/* -ESRCH is also what /proc of another PID namespace gives for one that lives. */
	cred->ended = is_dead(pidfd);
	if (pidfd >= 0)
		close(pidfd);
	if (at_home == -EMFILE || at_home == -ENFILE)
		return at_home;
	cred->at_home = at_home > 0;
	/* Without trust_owner it is for their shares alone (quota.c). */
	if (!broker->config.trust_owner || ended)
		return 0;
	if (!at_home)
		tpi_log_client(&broker->log, TAPIO_LOG_NOTICE,
			       "process %d (uid %u) is not trusted as an "
			       "owner: its user or PID namespace is not the "
			       "broker's, so it has what the allow rules give",
			       cred->pid, cred->uid);
	else if (at_home < 0)
		tpi_log_client(&broker->log, TAPIO_LOG_WARNING,
			       "process %d (uid %u) is not trusted as an "
			       "owner: its namespaces cannot be read: %s (to "
			       "read those of other users the broker needs "
			       "CAP_SYS_PTRACE)",
			       cred->pid, cred->uid, strerror(-at_home));
	return 0;
}
