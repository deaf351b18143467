/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a process that the catalog names still there? The pid alone proves nothing.
 * Its start time must be the one that the broker saw. In another PID namespace than the
 * broker's a number is none, or that of any other process.
 */
#include "tools/inspect/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "tools/inspect/snapshot.h"

#define FIELD_STATE      3
#define FIELD_START_TIME 22

/* /proc/PID/stat from its third field on. False when there is no process. */
static bool read_stat(uint64_t pid, char *text, size_t bytes)
{
	char path[64], *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%llu/stat",
		 (unsigned long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, bytes - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	/* The second field, the name, may contain anything, and ends at the
	 * last bracket. */
	end = strrchr(text, ')');
	if (!end || end[1] != ' ')
		return false;
	memmove(text, end + 2, strlen(end + 2) + 1);
	return true;
}

/* Where /proc hides the processes of others (hidepid), the kernel still tells this. */
static bool is_there(uint64_t pid)
{
	return pid <= INT32_MAX && (getpgid((pid_t)pid) >= 0 || errno != ESRCH);
}

bool tpi_inspect_pids_known(const struct tapio_shm_broker *broker)
{
	/* Relaxed: written before anybody was served. */
	uint64_t theirs = tpi_load_relaxed(&broker->pid_namespace);
	uint64_t ours = tpi_sys_pid_namespace();

	return !theirs || !ours || theirs == ours;
}

static enum tpi_process_state state_of(char letter)
{
	switch (letter) {
	case 'T':
	case 't':
		return TPI_PROCESS_STOPPED;
	case 'Z':
	case 'X':
		return TPI_PROCESS_GONE;
	default:
		return TPI_PROCESS_RUNNING;
	}
}

static enum tpi_process_state look_up(uint64_t pid, uint64_t start_time_ticks)
{
	char text[1024], *at = text;
	char state;

	if (!read_stat(pid, text, sizeof(text)))
		return is_there(pid) ? TPI_PROCESS_UNKNOWN : TPI_PROCESS_GONE;
	if (!start_time_ticks)
		return TPI_PROCESS_UNKNOWN;
	state = *at;
	for (int field = FIELD_STATE; field < FIELD_START_TIME; field++) {
		at = strchr(at, ' ');
		if (!at)
			return TPI_PROCESS_UNKNOWN;
		at++;
	}
	if (strtoull(at, NULL, 10) != start_time_ticks)
		return TPI_PROCESS_GONE;
	return state_of(state);
}

/* They are in order. */
static enum tpi_process_state remember(const struct tpi_snapshot *snapshot,
				       uint64_t pid, uint64_t start_time_ticks)
{
	uint64_t low = 0, high = snapshot->process_count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		const struct tpi_snapshot_process *p =
			&snapshot->processes[middle];

		if (p->pid < pid ||
		    (p->pid == pid && p->start_time_ticks < start_time_ticks))
			low = middle + 1;
		else if (p->pid != pid ||
			 p->start_time_ticks != start_time_ticks)
			high = middle;
		else
			return p->state <= TPI_PROCESS_GONE
				       ? (enum tpi_process_state)p->state
				       : TPI_PROCESS_UNKNOWN;
	}
	return TPI_PROCESS_UNKNOWN;
}

enum tpi_process_state
tpi_inspect_process_state(const struct tpi_inspect *inspect, uint64_t pid,
			  uint64_t start_time_ticks)
{
	if (!pid)
		return TPI_PROCESS_UNKNOWN;
	if (inspect->snapshot)
		return remember(inspect->snapshot, pid, start_time_ticks);
	if (!tpi_inspect_pids_known(inspect->catalog.broker))
		return TPI_PROCESS_UNKNOWN;
	return look_up(pid, start_time_ticks);
}

enum tpi_process_state
tpi_inspect_number_state(const struct tpi_inspect *inspect, uint64_t pid)
{
	char text[1024];

	if (!pid || inspect->snapshot ||
	    !tpi_inspect_pids_known(inspect->catalog.broker))
		return TPI_PROCESS_UNKNOWN;
	if (!read_stat(pid, text, sizeof(text)))
		return is_there(pid) ? TPI_PROCESS_UNKNOWN : TPI_PROCESS_GONE;
	return state_of(*text);
}

static const char *const words[] = {"unknown", "running", "stopped", "gone"};

const char *tpi_inspect_number(const struct tpi_inspect *inspect, uint64_t pid)
{
	return words[tpi_inspect_number_state(inspect, pid)];
}

const char *tpi_inspect_process(const struct tpi_inspect *inspect, uint64_t pid,
				uint64_t start_time_ticks)
{
	return words[tpi_inspect_process_state(inspect, pid, start_time_ticks)];
}

bool tpi_inspect_attachment(const struct tapio_shm_attachment *shared,
			    struct tapio_shm_attachment *copy)
{
	/*
	 * ORDER attachment.state (acquire): the record was filled before. Pairs
	 * with the broker's release.
	 */
	uint32_t state = tpi_load_acquire(&shared->state);

	if (state == TAPIO_ATTACHMENT_FREE)
		return false;
	memcpy(copy, shared, sizeof(*copy));
	tpi_fence_compiler(); /* the copy is what is looked at */
	copy->state = state;
	/* ORDER attachment.id (fence): the copy is older than this look.
	 * Pairs with the release of the state when the record is given
	 * again. */
	tpi_fence_load_load();
	return tpi_load_relaxed(&shared->id) == copy->id;
}
