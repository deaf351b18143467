/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning of exits as they happen: a pidfd for each process, all in one epoll.
 * Called by the scan for new processes, and by the main loop when the epoll is
 * readable. Needs no privilege. The next scan notices the end of processes that
 * cannot be watched (no pidfds, a limit on open files, a /proc of another pid
 * namespace).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/collectors/proc_file.h"
#include "tools/collectors/proc_internal.h"
#include "tools/common/tool.h"

/* Descriptors that are left for everything else. */
#define SPARE_FDS 64

/*
 * PIDFD_GET_INFO of Linux 6.13. Since 6.15 it gives the wait status of a reaped
 * process to a holder of its pidfd. Spelt out for older headers.
 */
struct pidfd_information {
	uint64_t mask;
	uint64_t cgroup_id;
	uint32_t ids[11];
	int32_t exit_code;
};
#define GET_INFORMATION  _IOWR(0xff, 11, struct pidfd_information)
#define INFORMATION_EXIT (UINT64_C(1) << 3)

static size_t raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			limit.rlim_cur = before;
	}
	return limit.rlim_cur > SPARE_FDS ? (size_t)limit.rlim_cur - SPARE_FDS
					  : 0;
}

static void tell(struct tpi_proc *proc, const char *why)
{
	if (proc->pidfds_told)
		return;
	proc->pidfds_told = true;
	tpi_say("cannot watch every process (%s): the exits of some are seen "
		"with the next scan only",
		why);
}

void tpi_exits_init(struct tpi_proc *proc)
{
	proc->pidfds_max = raise_limit();
	proc->exit_fd = epoll_create1(EPOLL_CLOEXEC);
	if (proc->exit_fd < 0)
		tell(proc, strerror(errno));
}

void tpi_exits_fini(struct tpi_proc *proc)
{
	if (proc->exit_fd >= 0)
		close(proc->exit_fd);
	proc->exit_fd = -1;
}

/* Whether `dir` still shows the process: its files go when it is reaped. */
static bool is_there(int dir, uint64_t start_ticks)
{
	char buffer[TPI_PROC_FILE_BYTES];
	struct tpi_pid_stat stat;
	ssize_t length = tpi_proc_read(dir, "stat", buffer, sizeof(buffer));

	return length > 0 &&
	       tpi_parse_pid_stat(tpi_text(buffer, (size_t)length), &stat) &&
	       stat.start_ticks == start_ticks;
}

void tpi_exits_watch(struct tpi_proc *proc, struct tpi_process *process,
		     int dir)
{
	if (proc->exit_fd < 0)
		return;
	if (proc->pidfds >= proc->pidfds_max) {
		tell(proc, "limit of open files");
		return;
	}
	int fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	if (fd < 0) {
		/* Gone already, or (in a /proc of threads) no leader. */
		if (errno != ESRCH && errno != EINVAL && errno != ENOENT)
			tell(proc, strerror(errno));
		return;
	}
	struct epoll_event event = {.events = EPOLLIN,
				    .data.u64 = process->pid};
	/*
	 * Seen alive before and after the pidfd was made, the process had its
	 * pid in between: the pidfd is of no other.
	 */
	if (!is_there(dir, process->start_ticks) ||
	    epoll_ctl(proc->exit_fd, EPOLL_CTL_ADD, fd, &event)) {
		close(fd);
		return;
	}
	process->pidfd = fd;
	proc->pidfds++;
}

void tpi_exits_unwatch(struct tpi_proc *proc, struct tpi_process *process)
{
	if (process->pidfd < 0)
		return;
	epoll_ctl(proc->exit_fd, EPOLL_CTL_DEL, process->pidfd, NULL);
	close(process->pidfd);
	process->pidfd = -1;
	proc->pidfds--;
}

uint64_t tpi_exits_status(const struct tpi_process *process)
{
	struct pidfd_information info = {.mask = INFORMATION_EXIT};

	if (process->pidfd < 0 || ioctl(process->pidfd, GET_INFORMATION, &info))
		return TPI_UNSET;
	return info.mask & INFORMATION_EXIT ? (uint32_t)info.exit_code
					    : TPI_UNSET;
}

static struct tpi_process *find(struct tpi_proc *proc, uint32_t pid)
{
	struct tpi_process *items = proc->processes.items;
	size_t low = 0, high = proc->processes.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (items[middle].pid == pid)
			return &items[middle];
		if (items[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

int tpi_proc_exit_fd(const struct tpi_proc *proc)
{
	return proc->exit_fd;
}

void tpi_proc_exits(struct tpi_proc *proc)
{
	struct epoll_event events[64];
	int count;

	if (proc->exit_fd < 0)
		return;
	do {
		count = epoll_wait(proc->exit_fd, events, 64, 0);
		for (int i = 0; i < count; i++) {
			struct tpi_process *process =
				find(proc, (uint32_t)events[i].data.u64);
			if (process)
				tpi_process_ended(proc, process, true);
		}
	} while (count == 64);
}
