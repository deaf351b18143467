/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity and liveness of clients. Called by sessions on HELLO and when a
 * connection ends.
 *
 * WHO IT IS. The kernel knows who connected: SO_PEERCRED, and where it exists
 * SO_PEERPIDFD, which is what we keep. The client sends a pidfd of its own for
 * older kernels, and because a number means nothing across PID namespaces, where
 * it is 0. A pidfd that is not the peer's is refused: otherwise a client could
 * tie its attachment to a process that never dies. Only where neither exists is
 * the number used, and only if what bears it started before it connected.
 *
 * WHETHER IT LIVES. Its pidfd says so, and nothing else: a silent or stopped
 * client is alive. The next HELLO of the same process (its AT_RANDOM differs)
 * or /proc/PID/maps tells that execve has replaced its image.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/loop/child.h"
#include "broker/repair/ask.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#define PIDFS_MAGIC 0x50494446

#define MAPS_BYTES_MAX (1u << 20) /* some 10,000 mappings */

/* ---- what a pidfd and /proc say ----------------------------------------------- */

int tpi_pidfd_pid(int pidfd, pid_t *pid)
{
	char path[64], text[512], *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = 0;
	at = strstr(text, "\nPid:");
	if (!at)
		return -EBADF;
	*pid = (pid_t)strtol(at + 5, NULL, 10);
	return 0;
}

bool tpi_is_pidfd(int fd)
{
	pid_t pid;

	return !tpi_pidfd_pid(fd, &pid);
}

/* Kernels with pidfs give each process's pidfds an inode of their own. */
static bool pidfd_inode(int pidfd, uint64_t *inode)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(pidfd, &fs) || fs.f_type != PIDFS_MAGIC ||
	    fstat(pidfd, &st))
		return false;
	*inode = st.st_ino;
	return true;
}

static bool pidfd_readable(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

uint64_t tpi_start_ticks(pid_t pid)
{
	char text[1024];
	const char *at = tpi_proc_stat(pid, text, sizeof(text));

	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

bool tpi_is_asleep(int pidfd)
{
	const char *at = NULL;
	char text[1024];
	pid_t pid;

	if (pidfd_readable(pidfd))
		return false;
	if (!tpi_pidfd_pid(pidfd, &pid) && pid > 0)
		at = tpi_proc_stat(pid, text, sizeof(text));
	/* It runs, or its end is not seen yet. */
	return !at || (at[2] != 'R' && at[2] != 'Z' && at[2] != 'X');
}

static int64_t read_start(void *arg)
{
	return (int64_t)tpi_start_ticks(*(const pid_t *)arg);
}

/* Of a client. 0: it cannot be known. */
static uint64_t start_of(pid_t pid)
{
	int64_t ticks = 0;

	return pid && !tpi_ask(read_start, &pid, &ticks) ? (uint64_t)ticks : 0;
}

bool tpi_process_is_dead(const struct tpi_process *process)
{
	return process->dead || process->pidfd < 0 ||
	       pidfd_readable(process->pidfd);
}

/* ---- which process is it ------------------------------------------------------ */

/* The kernel's pidfd of the peer, or -errno: most kernels before 6.5 have none. */
static int peer_pidfd(int sock)
{
	socklen_t length = sizeof(int);
	int pidfd = -1;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length))
		return -errno;
	fcntl(pidfd, F_SETFD, FD_CLOEXEC);
	return pidfd;
}

/* The pidfd that a client sends as its own MUST be that of the peer. */
static int check_own(int own, int peer, const struct tpi_cred *cred,
		     char *error, size_t error_bytes)
{
	uint64_t own_inode, peer_inode;
	bool same;
	pid_t pid;
	int err = tpi_pidfd_pid(own, &pid);

	if (err)
		return tpi_fail(-EBADF, error, error_bytes,
				"the descriptor in HELLO is not a pidfd");
	if (pid == -1)
		return tpi_fail(-ESRCH, error, error_bytes,
				"the process of the pidfd in HELLO is dead");
	/* Inodes where there are such: /proc may be of another namespace than
	 * ours, and then numbers differ that mean the same. */
	if (peer >= 0 && pidfd_inode(own, &own_inode) &&
	    pidfd_inode(peer, &peer_inode))
		same = own_inode == peer_inode;
	else
		same = pid == cred->pid;
	if (same)
		return 0;
	return tpi_fail(-EPERM, error, error_bytes,
			"the pidfd in HELLO is of process %d, but process %d "
			"made this connection",
			pid, cred->pid);
}

/* By number alone: the start time tells a process from its successor. */
static int open_by_number(pid_t pid, uint64_t accepted_ns, char *error,
			  size_t error_bytes)
{
	uint64_t before, after, hz = (uint64_t)sysconf(_SC_CLK_TCK);
	int pidfd;

	if (!pid)
		return tpi_fail(-ESRCH, error, error_bytes,
				"no pidfd in HELLO, and the client is in a PID "
				"namespace that the broker cannot see");
	before = start_of(pid);
	pidfd = tpi_sys_pidfd_open(pid, 0);
	if (pidfd < 0)
		return tpi_fail(pidfd, error, error_bytes,
				"pidfd_open of process %d: %s", pid,
				strerror(-pidfd));
	after = start_of(pid);
	if (before && before == after &&
	    before <= accepted_ns / (UINT64_C(1000000000) / hz))
		return pidfd;
	close(pidfd);
	return tpi_fail(-ESRCH, error, error_bytes,
			"process %d, which made this connection, has ended",
			pid);
}

int tpi_process_peer(int sock, const struct tpi_cred *cred,
		     uint64_t accepted_ns)
{
	int pidfd = peer_pidfd(sock);

	return pidfd >= 0 ? pidfd
			  : open_by_number(cred->pid, accepted_ns, NULL, 0);
}

static int choose_pidfd(int sock, int own, const struct tpi_cred *cred,
			uint64_t accepted_ns, char *error, size_t error_bytes)
{
	int peer = peer_pidfd(sock);
	int err = own < 0 ? 0 : check_own(own, peer, cred, error, error_bytes);

	if (peer == -EMFILE || peer == -ENFILE)
		return tpi_fail(peer, error, error_bytes, "%s",
				strerror(-peer));
	if (err) {
		if (peer >= 0)
			close(peer);
		return err;
	}
	if (peer >= 0) {
		if (own >= 0)
			close(own);
		return peer;
	}
	if (own >= 0)
		return own;
	return open_by_number(cred->pid, accepted_ns, error, error_bytes);
}

static bool same_process(const struct tpi_process *a,
			 const struct tpi_process *b)
{
	if (a->inode_valid && b->inode_valid)
		return a->inode == b->inode;
	return a->pid && a->pid == b->pid && a->start_ticks &&
	       a->start_ticks == b->start_ticks;
}

bool tpi_process_same(const struct tpi_process *a, const struct tpi_process *b)
{
	return same_process(a, b) &&
	       !memcmp(a->at_random, b->at_random, sizeof(a->at_random));
}

static void on_pidfd(struct tpi_watch *watch, unsigned int events)
{
	struct tpi_process *process = (struct tpi_process *)watch;

	(void)events;
	tpi_process_get(process);
	tpi_watch_stop(process->broker->loop, watch);
	tpi_process_died(process, "died");
	tpi_process_put(process);
}

static struct tpi_process *make(struct tpi_broker *broker, int pidfd,
				const struct tpi_cred *cred,
				const struct tpi_wire_hello *hello)
{
	struct tpi_process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->broker = broker;
	process->pidfd = pidfd;
	process->refs = 1;
	process->pid = cred->pid;
	process->uid = cred->uid;
	process->gid = cred->gid;
	process->inode_valid = pidfd_inode(pidfd, &process->inode);
	/* Costs a child: not before the answer, where the inode tells the same. */
	if (!process->inode_valid)
		process->start_ticks = start_of(cred->pid);
	process->rseq_verdict = hello->rseq_verdict <= TAPIO_RSEQ_INCONCLUSIVE
					? hello->rseq_verdict
					: TAPIO_RSEQ_UNKNOWN;
	memcpy(process->at_random, hello->at_random,
	       sizeof(process->at_random));
	for (size_t i = 0; i < sizeof(process->comm) - 1; i++) {
		char c = hello->comm[i];

		if (!c)
			break;
		process->comm[i] = c < 0x20 || c > 0x7e ? '?' : c;
	}
	TAILQ_INIT(&process->attachments);
	return process;
}

/*
 * The same image, with the same uid, that said HELLO before. A process that has changed its
 * uid meanwhile is a client of its own: rights, shares and memory go by the uid of the
 * connection. An older image of it is gone now.
 */
static struct tpi_process *find(struct tpi_broker *broker,
				const struct tpi_process *fresh)
{
	struct tpi_process *p, *next, *found = NULL;

	for (p = TAILQ_FIRST(&broker->processes); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->dead || !same_process(p, fresh))
			continue;
		if (!memcmp(p->at_random, fresh->at_random,
			    sizeof(p->at_random))) {
			if (p->uid == fresh->uid)
				found = p;
			continue;
		}
		tpi_process_get(p);
		tpi_watch_stop(broker->loop, &p->watch);
		tpi_process_died(p, "became another program (execve)");
		tpi_process_put(p);
		/* Its end may have taken others from the list. */
		next = TAILQ_FIRST(&broker->processes);
	}
	return found;
}

int tpi_process_identify(struct tpi_broker *broker, struct tpi_process **out,
			 int sock, int pidfd, const struct tpi_cred *cred,
			 const struct tpi_wire_hello *hello,
			 uint64_t accepted_ns, char *error, size_t error_bytes)
{
	struct tpi_process *process, *known;
	int chosen, err;

	*out = NULL;
	chosen = choose_pidfd(sock, pidfd, cred, accepted_ns, error,
			      error_bytes);
	if (chosen < 0) {
		if (pidfd >= 0)
			close(pidfd);
		return chosen;
	}
	process = make(broker, chosen, cred, hello);
	if (!process) {
		close(chosen);
		return tpi_fail(-ENOMEM, error, error_bytes, "out of memory");
	}
	known = find(broker, process);
	if (known) {
		close(chosen);
		free(process);
		tpi_process_get(known);
		*out = known;
		return 0;
	}
	process->watch.ready = on_pidfd;
	err = tpi_watch_start(broker->loop, &process->watch, chosen);
	if (err) {
		close(chosen);
		free(process);
		return tpi_fail(err, error, error_bytes, "out of memory");
	}
	TAILQ_INSERT_TAIL(&broker->processes, process, link);
	if (!process->start_ticks)
		tpi_starts_want(broker);
	*out = process;
	return 0;
}

/* ---- those that a former broker has left ---------------------------------------- */

static bool is_former(const struct tpi_former *former, int pidfd)
{
	uint64_t inode;

	/* The kernel counts them up, from boot to shutdown. */
	if (former->inode && pidfd_inode(pidfd, &inode))
		return (uint32_t)inode == former->inode;
	return former->start_ticks &&
	       start_of(former->pid) == former->start_ticks;
}

/*
 * Its number, and the inode of its pidfds or its start, name a process as long as the machine
 * runs. -1: it is dead.
 */
static int find_by_number(const struct tpi_former *former)
{
	int pidfd;

	if (!former->pid)
		return -1;
	pidfd = tpi_sys_pidfd_open(former->pid, 0);
	if (pidfd < 0)
		return -1;
	/* While the pidfd is silent, the number is that process's. */
	if (is_former(former, pidfd) && !pidfd_readable(pidfd))
		return pidfd;
	close(pidfd);
	return -1;
}

static struct tpi_process *known(struct tpi_broker *broker,
				 const struct tpi_process *fresh)
{
	struct tpi_process *p;

	TAILQ_FOREACH (p, &broker->processes, link)
		if (p->pidfd >= 0 && p->uid == fresh->uid &&
		    tpi_process_same(p, fresh))
			return p;
	return NULL;
}

static void recall(struct tpi_process *process, int pidfd,
		   const struct tpi_former *former)
{
	process->pidfd = pidfd;
	process->refs = 1;
	process->pid = former->pid;
	process->uid = former->uid;
	process->gid = former->gid;
	process->start_ticks = former->start_ticks;
	process->rseq_verdict = former->rseq_verdict;
	process->inode_valid =
		pidfd >= 0 && pidfd_inode(pidfd, &process->inode);
	memcpy(process->at_random, former->at_random,
	       sizeof(process->at_random));
	memcpy(process->comm, former->comm, sizeof(process->comm) - 1);
	TAILQ_INIT(&process->attachments);
}

int tpi_process_adopt(struct tpi_broker *broker, struct tpi_process **out,
		      int pidfd, const struct tpi_former *former)
{
	struct tpi_process *process = calloc(1, sizeof(*process));
	int err = 0;

	if (pidfd < 0)
		pidfd = find_by_number(former);
	if (!process) {
		if (pidfd >= 0)
			close(pidfd);
		return -ENOMEM;
	}
	process->broker = broker;
	process->watch.ready = on_pidfd;
	recall(process, pidfd, former);
	*out = pidfd < 0 ? NULL : known(broker, process);
	if (!*out && pidfd >= 0)
		err = tpi_watch_start(broker->loop, &process->watch, pidfd);
	if (*out || err) {
		close(pidfd);
		free(process);
		if (*out)
			tpi_process_get(*out);
		return err;
	}
	TAILQ_INSERT_TAIL(&broker->processes, process, link);
	*out = process;
	return 0;
}

uint32_t tpi_process_inode(const struct tpi_process *process)
{
	return process->inode_valid ? (uint32_t)process->inode : 0;
}

void tpi_process_get(struct tpi_process *process)
{
	process->refs++;
}

void tpi_process_put(struct tpi_process *process)
{
	if (--process->refs)
		return;
	TAILQ_REMOVE(&process->broker->processes, process, link);
	tpi_watch_stop(process->broker->loop, &process->watch);
	if (process->pidfd >= 0)
		close(process->pidfd);
	free(process);
}

/* ---- what it maps ---------------------------------------------------------------- */

static bool line_is_ours(const char *line, const struct tpi_file *files,
			 uint32_t count)
{
	unsigned int major, minor;
	uint64_t inode, device;

	if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &major, &minor,
		   &inode) != 3 ||
	    !inode)
		return false;
	device = makedev(major, minor);
	for (uint32_t i = 0; i < count; i++)
		if (files[i].inode == inode && files[i].device == device)
			return true;
	return false;
}

/* What a child is asked: whether the process maps one of the files. */
struct maps_question {
	pid_t pid;
	const struct tpi_file *files;
	uint32_t count;
};

/* The lines of a buffer. What is left of the last one moves to its beginning. */
static int look_at_lines(char *text, size_t *used,
			 const struct maps_question *question)
{
	char *at = text, *end;
	int found = 0;

	while (!found &&
	       (end = memchr(at, '\n', *used - (size_t)(at - text)))) {
		*end = '\0';
		found = line_is_ours(at, question->files, question->count);
		at = end + 1;
	}
	*used -= (size_t)(at - text);
	memmove(text, at, *used);
	return found;
}

/* In the child. 1, 0, or -errno. */
static int64_t read_maps(void *arg)
{
	const struct maps_question *question = arg;
	char path[64], text[2 * PATH_MAX];
	size_t used = 0, total = 0;
	int fd, found = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/maps", question->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (!found &&
	       (n = read(fd, text + used, sizeof(text) - 1 - used)) > 0) {
		total += (size_t)n;
		used += (size_t)n;
		found = total > MAPS_BYTES_MAX
				? -EFBIG
				: look_at_lines(text, &used, question);
		if (used == sizeof(text) - 1)
			used = 0; /* no line is so long */
	}
	/* A process has at least its stack: an empty list is that of one whose
	 * first thread has ended, or that is about to be dead. */
	return found || total ? found : -ESRCH;
}

int tpi_process_maps(const struct tpi_process *process,
		     const struct tpi_file *files, uint32_t count)
{
	struct maps_question question = {process->pid, files, count};
	int64_t found;
	int err;

	if (!process->pid)
		return -ESRCH;
	err = tpi_ask(read_maps, &question, &found);
	if (err)
		return err;
	/* While the pidfd is silent, the number is still that process's. */
	if (pidfd_readable(process->pidfd))
		return -ESRCH;
	return (int)found;
}
