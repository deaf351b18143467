/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processes there are: each scan's list of pids is merged with the table
 * that the scan before left. Both ascend. Called for each scan.
 *
 * Invariants: a process is (pid, start_ticks), never a bare pid. It gets one
 * start event, and one exit event if it was seen alive. A zombie has ended but
 * stays in the table, so that its pid is not taken for a new process. A process
 * that vanishes under a look has ended, or was never there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/collectors/proc_file.h"
#include "tools/collectors/proc_internal.h"
#include "tools/common/tool.h"

struct pids {
	uint32_t *items;
	size_t count;
	size_t capacity;
};

static int add_pid(struct pids *pids, uint32_t pid)
{
	if (pids->count == pids->capacity) {
		size_t larger = pids->capacity ? pids->capacity * 2 : 256;
		uint32_t *moved =
			reallocarray(pids->items, larger, sizeof(*moved));
		if (!moved)
			return -ENOMEM;
		pids->items = moved;
		pids->capacity = larger;
	}
	pids->items[pids->count++] = pid;
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int read_pids(DIR *stream, struct pids *pids)
{
	const struct dirent *entry;
	uint64_t pid;
	int err = 0;

	for (;;) {
		errno = 0;
		entry = readdir(stream);
		if (!entry)
			return -errno;
		struct tpi_text name =
			tpi_text(entry->d_name, strlen(entry->d_name));
		if (!tpi_text_u64(name, &pid) || !pid || pid > INT32_MAX)
			continue;
		err = add_pid(pids, (uint32_t)pid);
		if (err)
			return err;
	}
}

static int list_pids(int proc, struct pids *pids)
{
	int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream) {
		int err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	int err = read_pids(stream, pids);
	closedir(stream);
	/* The real one ascends already. Others come in any order. */
	if (pids->count)
		qsort(pids->items, pids->count, sizeof(*pids->items), by_pid);
	return err;
}

static bool is_dead(const struct tpi_pid_stat *stat)
{
	return stat->state == 'Z' || stat->state == 'X' || stat->state == 'x';
}

/* False: no such process any more. */
static bool read_stat(int dir, const char *path, struct tpi_pid_stat *stat)
{
	char buffer[TPI_PROC_FILE_BYTES];
	ssize_t length = tpi_proc_read(dir, path, buffer, sizeof(buffer));

	return length > 0 &&
	       tpi_parse_pid_stat(tpi_text(buffer, (size_t)length), stat);
}

static bool read_stat_of(const struct tpi_proc *proc, uint32_t pid,
			 struct tpi_pid_stat *stat)
{
	char path[32];

	snprintf(path, sizeof(path), "%u/stat", pid);
	return read_stat(proc->proc, path, stat);
}

static void forget(struct tpi_proc *proc, struct tpi_process *process)
{
	tpi_exits_unwatch(proc, process);
	free(process->executable);
	process->executable = NULL;
}

void tpi_note_stat(const struct tpi_proc *proc, struct tpi_process *process,
		   const struct tpi_pid_stat *stat)
{
	/*
	 * Another name means another program, most often: a child that was
	 * forked to execute one is seen before and after. A zombie has none.
	 */
	if (strcmp(process->stat.comm, stat->comm) != 0) {
		free(process->executable);
		process->executable = tpi_read_executable(proc, process->pid);
	}
	process->stat = *stat;
	process->ppid = stat->ppid;
}

/*
 * How it ended, from its zombie. The kernel shows 0 to those who may not know,
 * so 0 counts only for processes of our own user.
 */
static uint64_t zombie_status(const struct tpi_process *process)
{
	if (process->stat.exit_status || process->uid == geteuid())
		return process->stat.exit_status;
	return TPI_UNSET;
}

void tpi_process_ended(struct tpi_proc *proc, struct tpi_process *process,
		       bool exact)
{
	struct tpi_pid_stat stat;
	uint64_t status = TPI_UNSET;

	if (process->ended)
		return;
	process->ended = true;
	if (read_stat_of(proc, process->pid, &stat) &&
	    stat.start_ticks == process->start_ticks && is_dead(&stat)) {
		tpi_note_stat(proc, process, &stat);
		status = zombie_status(process);
	}
	if (status == TPI_UNSET)
		status = tpi_exits_status(process);
	if (tpi_proc_wants(proc, TPI_PROC_EXIT))
		tpi_emit_exit(proc, process, status, exact);
	tpi_exits_unwatch(proc, process);
}

/* A pid that was not there before. False: it has gone again. */
static bool adopt(struct tpi_proc *proc, uint32_t pid,
		  struct tpi_process *process)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", pid);
	int dir = openat(proc->proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	*process = (struct tpi_process){.pid = pid, .pidfd = -1};
	bool found = read_stat(dir, "stat", &process->stat);
	if (found) {
		process->start_ticks = process->stat.start_ticks;
		process->ppid = process->stat.ppid;
		bool dead = is_dead(&process->stat);
		/* A zombie that was there before us is no news. */
		process->ended = dead && !proc->scanned;
		if (!process->ended)
			tpi_emit_start(proc, process, dir, !proc->scanned);
		if (dead)
			tpi_process_ended(proc, process, false);
		else
			tpi_exits_watch(proc, process, dir);
	}
	close(dir);
	return found;
}

/* A pid that was there before. False: that process has gone. */
static bool revisit(struct tpi_proc *proc, struct tpi_process *process)
{
	struct tpi_pid_stat stat;
	bool same = read_stat_of(proc, process->pid, &stat) &&
		    stat.start_ticks == process->start_ticks;

	if (same)
		tpi_note_stat(proc, process, &stat);
	if (!same || is_dead(&stat))
		tpi_process_ended(proc, process, false);
	if (!same)
		forget(proc, process);
	return same;
}

static void merge(struct tpi_proc *proc, const struct pids *pids,
		  struct tpi_processes *next)
{
	struct tpi_processes *old = &proc->processes;
	size_t i = 0;

	for (size_t j = 0; j < pids->count; j++) {
		uint32_t pid = pids->items[j];

		while (i < old->count && old->items[i].pid < pid) {
			tpi_process_ended(proc, &old->items[i], false);
			forget(proc, &old->items[i++]);
		}
		if (i < old->count && old->items[i].pid == pid) {
			struct tpi_process *known = &old->items[i++];
			if (revisit(proc, known)) {
				next->items[next->count++] = *known;
				continue;
			}
		}
		if (adopt(proc, pid, &next->items[next->count]))
			next->count++;
	}
	for (; i < old->count; i++) {
		tpi_process_ended(proc, &old->items[i], false);
		forget(proc, &old->items[i]);
	}
}

/* ---- samples ------------------------------------------------------------ */

/* How much a process changed since it was last sampled. */
struct change {
	size_t index;
	uint64_t ticks;
	uint64_t pages;
};

static struct change measure(const struct tpi_process *process, size_t index)
{
	const struct tpi_pid_stat *stat = &process->stat;
	uint64_t ticks = stat->user_ticks + stat->system_ticks;
	uint64_t pages = stat->rss_pages, before = process->sampled_rss_pages;

	return (struct change){
		.index = index,
		.ticks = ticks - process->sampled_ticks,
		.pages = pages > before ? pages - before : before - pages,
	};
}

/* Most CPU time first, then most memory, then by pid. */
static int by_change(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->ticks != y->ticks)
		return x->ticks > y->ticks ? -1 : 1;
	if (x->pages != y->pages)
		return x->pages > y->pages ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/*
 * Samples what changed since its own last sample, so that what changes too
 * slowly for the top of one scan gets there in the end.
 */
static int sample(struct tpi_proc *proc)
{
	struct tpi_processes *processes = &proc->processes;
	struct change *changes = calloc(processes->count + 1, sizeof(*changes));
	size_t count = 0, top = proc->options.top;

	if (!changes)
		return -ENOMEM;
	for (size_t i = 0; i < processes->count; i++) {
		const struct tpi_process *process = &processes->items[i];
		struct change change = measure(process, i);

		if (!process->ended &&
		    (change.ticks || change.pages || !process->sampled_ns ||
		     proc->options.all))
			changes[count++] = change;
	}
	if (top && top < count) {
		qsort(changes, count, sizeof(*changes), by_change);
		count = top;
	}
	int64_t now_ns = tpi_monotonic_ns();
	for (size_t i = 0; i < count; i++)
		tpi_emit_sample(proc, &processes->items[changes[i].index],
				now_ns);
	free(changes);
	return 0;
}

int tpi_processes_scan(struct tpi_proc *proc)
{
	struct tpi_processes next = {NULL, 0, 0};
	struct pids pids = {NULL, 0, 0};
	int err = list_pids(proc->proc, &pids);

	if (!err) {
		next.items = calloc(pids.count + 1, sizeof(*next.items));
		if (!next.items)
			err = -ENOMEM;
	}
	if (!err) {
		next.capacity = pids.count;
		merge(proc, &pids, &next);
		free(proc->processes.items);
		proc->processes = next;
		if (tpi_proc_wants(proc, TPI_PROC_SAMPLE))
			err = sample(proc);
	}
	free(pids.items);
	return err;
}

void tpi_processes_free(struct tpi_proc *proc)
{
	for (size_t i = 0; i < proc->processes.count; i++)
		forget(proc, &proc->processes.items[i]);
	free(proc->processes.items);
	proc->processes = (struct tpi_processes){NULL, 0, 0};
}
