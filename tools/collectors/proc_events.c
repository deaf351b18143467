/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events about processes. Called by the scan and when a process has ended.
 *
 * A field that /proc does not say, or not to us, stays unset. Strings are
 * stored in the order in which they would be missed: the last ones are cut
 * where a channel's events are short.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/collectors/proc_file.h"
#include "tools/collectors/proc_internal.h"
#include "tools/common/tool.h"

static uint64_t start_ns(const struct tpi_proc *proc, uint64_t ticks)
{
	return proc->boot_ns ? proc->boot_ns + ticks * proc->tick_ns : 0;
}

static void set_header(const struct tpi_proc *proc,
		       const struct tpi_process *process)
{
	struct tapio_event *event = proc->sink->builder.event;

	event->pid = process->pid;
	event->uid = process->uid;
	event->gid = process->gid;
	event->cgroup_id = process->cgroup_id;
}

static void put(struct tpi_proc *proc, struct tapio_event_string *field,
		const char *string)
{
	if (string)
		tpi_sink_string(proc->sink, field, string, strlen(string));
}

/* ---- what is read besides stat ------------------------------------------ */

static void read_status(struct tpi_process *process, int dir,
			struct tpi_pid_status *status)
{
	char buffer[TPI_PROC_FILE_BYTES];
	ssize_t length = tpi_proc_read(dir, "status", buffer, sizeof(buffer));

	tpi_parse_pid_status(tpi_text(buffer, length > 0 ? (size_t)length : 0),
			     status);
	process->uid = (uint32_t)status->uid; /* unset stays unset */
	process->gid = (uint32_t)status->gid;
}

/* The inode of a cgroup's directory is the id that eBPF programs see. */
static uint64_t cgroup_inode(const struct tpi_proc *proc, const char *path)
{
	struct stat st;

	/* Of another cgroup namespace the path leads out of the tree. */
	if (proc->cgroup < 0 || strstr(path, "/.."))
		return 0;
	if (fstatat(proc->cgroup, path[1] ? path + 1 : ".", &st, 0))
		return 0;
	return st.st_ino;
}

/* Processes move between cgroups: read again whenever it is told. */
static void read_cgroup(const struct tpi_proc *proc,
			struct tpi_process *process, int dir, char *path,
			size_t size)
{
	char buffer[TPI_PROC_FILE_BYTES];
	ssize_t length = tpi_proc_read(dir, "cgroup", buffer, sizeof(buffer));
	struct tpi_text text = {NULL, NULL};
	bool unified;

	path[0] = '\0';
	if (length <= 0 || !tpi_parse_cgroup(tpi_text(buffer, (size_t)length),
					     &text, &unified))
		return;
	tpi_text_copy(text, path, size);
	tpi_find_container_id(text, process->container_id);
	process->cgroup_id = unified ? cgroup_inode(proc, path) : 0;
}

static uint64_t read_netns(int dir)
{
	struct stat st;

	/* Through the link. Needs the right to inspect the process. */
	return fstatat(dir, "ns/net", &st, 0) ? 0 : st.st_ino;
}

/*
 * How many files it has open: the size of its fd directory since Linux 6.2, 0
 * before. Other file systems mean other things by a directory's size.
 */
static void read_open_files(const struct tpi_proc *proc, int dir, uint32_t *out)
{
	struct stat st;

	if (proc->is_procfs && !fstatat(dir, "fd", &st, 0) && st.st_size > 0 &&
	    st.st_size < UINT32_MAX)
		*out = (uint32_t)st.st_size;
}

char *tpi_read_executable(const struct tpi_proc *proc, uint32_t pid)
{
	char name[32], path[4096];

	snprintf(name, sizeof(name), "%u/exe", pid);
	if (tpi_proc_link(proc->proc, name, path, sizeof(path)) <= 0)
		return NULL;
	return strdup(path);
}

/* ---- start -------------------------------------------------------------- */

static void put_link(struct tpi_proc *proc, struct tapio_event_string *field,
		     int dir, const char *name)
{
	char path[4096];

	if (tpi_proc_link(dir, name, path, sizeof(path)) > 0)
		put(proc, field, path);
}

static void put_arguments(struct tpi_proc *proc,
			  struct tapio_event_process_start *fields, int dir)
{
	char text[TPI_SINK_BYTES];
	ssize_t length = tpi_proc_read(dir, "cmdline", text, sizeof(text));
	size_t used = length > 0 ? (size_t)length : 0;
	bool whole = used < sizeof(text) - 1;
	uint32_t count = tpi_join_arguments(text, &used);

	if (!count)
		return; /* a kernel thread */
	if (whole)
		fields->args = count;
	tpi_sink_string(proc->sink, &fields->command_line, text, used);
}

static void fill_start(struct tpi_proc *proc, struct tpi_process *process,
		       struct tapio_event_process_start *fields, int dir,
		       const char *cgroup)
{
	const struct tpi_pid_stat *stat = &process->stat;

	fields->start_ns = start_ns(proc, stat->start_ticks);
	fields->start_ticks = stat->start_ticks;
	fields->ppid = stat->ppid;
	fields->session_id = stat->session_id;
	fields->group_id = stat->group_id;
	put(proc, &fields->comm, stat->comm);
	put(proc, &fields->container_id, process->container_id);
	put(proc, &fields->executable, process->executable);
	put_arguments(proc, fields, dir);
	put(proc, &fields->cgroup, cgroup);
	put_link(proc, &fields->directory, dir, "cwd");
}

void tpi_emit_start(struct tpi_proc *proc, struct tpi_process *process, int dir,
		    bool existing)
{
	struct tpi_pid_status status;
	char cgroup[4096];

	read_status(process, dir, &status);
	read_cgroup(proc, process, dir, cgroup, sizeof(cgroup));
	process->executable = tpi_read_executable(proc, process->pid);
	if (!tpi_proc_wants(proc, TPI_PROC_START) ||
	    (existing && proc->options.no_existing))
		return;
	struct tapio_event_process_start *fields =
		tpi_sink_begin(proc->sink, TPI_PROC_START);
	if (!fields)
		return;
	fill_start(proc, process, fields, dir, cgroup);
	set_header(proc, process);
	struct tapio_event *event = proc->sink->builder.event;
	event->time_ns = fields->start_ns;
	event->netns_inode = read_netns(dir);
	if (existing)
		event->flags |= TAPIO_EVENT_EXISTING;
	tpi_sink_end(proc->sink);
}

/* ---- exit --------------------------------------------------------------- */

/* Signals that end a process on request. Others tell of a fault. */
static bool is_request(uint32_t signal)
{
	return signal == 1 || signal == 2 || signal == 13 || signal == 15;
}

static void fill_end(struct tapio_event *event,
		     struct tapio_event_process_exit *fields, uint64_t status)
{
	if (status == TPI_UNSET)
		return;
	fields->signal = status & 0x7f;
	if (!fields->signal)
		fields->exit_code = (int32_t)(status >> 8 & 0xff);
	else if (!is_request(fields->signal))
		event->severity = TAPIO_SEVERITY_WARNING;
}

void tpi_emit_exit(struct tpi_proc *proc, const struct tpi_process *process,
		   uint64_t status, bool exact)
{
	const struct tpi_pid_stat *stat = &process->stat;
	struct tapio_event_process_exit *fields =
		tpi_sink_begin(proc->sink, TPI_PROC_EXIT);

	if (!fields)
		return;
	struct tapio_event *event = proc->sink->builder.event;
	event->observed_ns = event->time_ns = tpi_clock_read_ns(CLOCK_REALTIME);
	fields->start_ns = start_ns(proc, process->start_ticks);
	fields->start_ticks = process->start_ticks;
	if (exact && fields->start_ns && event->time_ns > fields->start_ns)
		fields->duration_ns = event->time_ns - fields->start_ns;
	/* Of a zombie the counters are final, else they are of a scan ago. */
	if (stat->state == 'Z' || stat->state == 'X') {
		fields->cpu_user_ns = stat->user_ticks * proc->tick_ns;
		fields->cpu_system_ns = stat->system_ticks * proc->tick_ns;
	}
	fields->ppid = process->ppid;
	fill_end(event, fields, status);
	put(proc, &fields->comm, stat->comm);
	put(proc, &fields->container_id, process->container_id);
	put(proc, &fields->executable, process->executable);
	set_header(proc, process);
	tpi_sink_end(proc->sink);
}

/* ---- sample ------------------------------------------------------------- */

static uint8_t process_state(char state)
{
	switch (state) {
	case 'R':
		return TAPIO_PROCESS_RUNNING;
	case 'S':
		return TAPIO_PROCESS_SLEEPING;
	case 'D':
		return TAPIO_PROCESS_DISK_SLEEP;
	case 'T':
	case 't':
		return TAPIO_PROCESS_STOPPED;
	case 'Z':
	case 'X':
		return TAPIO_PROCESS_DEFUNCT;
	case 'I':
		return TAPIO_PROCESS_IDLE;
	default:
		return 0;
	}
}

static void fill_usage(const struct tpi_proc *proc,
		       const struct tpi_process *process, int64_t now_ns,
		       struct tapio_event_process_sample *fields)
{
	const struct tpi_pid_stat *stat = &process->stat;
	uint64_t ticks = stat->user_ticks + stat->system_ticks;

	fields->start_ticks = stat->start_ticks;
	fields->cpu_user_ns = stat->user_ticks * proc->tick_ns;
	fields->cpu_system_ns = stat->system_ticks * proc->tick_ns;
	fields->rss_bytes = stat->rss_pages * proc->page_bytes;
	fields->virtual_bytes = stat->virtual_bytes;
	fields->minor_faults = stat->minor_faults;
	fields->major_faults = stat->major_faults;
	if (stat->threads < UINT32_MAX)
		fields->threads = (uint32_t)stat->threads;
	fields->state = process_state(stat->state);
	if (!process->sampled_ns || now_ns <= process->sampled_ns)
		return;
	fields->interval_ns = (uint64_t)(now_ns - process->sampled_ns);
	fields->cpu_utilization =
		(double)((ticks - process->sampled_ticks) * proc->tick_ns) /
		(double)fields->interval_ns;
}

static void fill_io(int dir, struct tapio_event_process_sample *fields)
{
	char buffer[TPI_PROC_FILE_BYTES];
	struct tpi_pid_io io;
	ssize_t length = tpi_proc_read(dir, "io", buffer, sizeof(buffer));

	if (length <= 0)
		return; /* of another user */
	tpi_parse_pid_io(tpi_text(buffer, (size_t)length), &io);
	fields->read_bytes = io.read_bytes;
	fields->write_bytes = io.write_bytes;
}

static void fill_sample(struct tpi_proc *proc, struct tpi_process *process,
			int64_t now_ns, int dir,
			struct tapio_event_process_sample *fields)
{
	struct tpi_pid_status status;
	char cgroup[4096];

	read_status(process, dir, &status);
	read_cgroup(proc, process, dir, cgroup, sizeof(cgroup));
	fill_usage(proc, process, now_ns, fields);
	fields->voluntary_switches = status.voluntary_switches;
	fields->involuntary_switches = status.involuntary_switches;
	fill_io(dir, fields);
	read_open_files(proc, dir, &fields->open_files);
	put(proc, &fields->comm, process->stat.comm);
	put(proc, &fields->container_id, process->container_id);
	set_header(proc, process);
}

/* Its directory, if it is still the same process that is there, else -1. */
static int open_process(const struct tpi_proc *proc,
			struct tpi_process *process)
{
	char buffer[TPI_PROC_FILE_BYTES];
	struct tpi_pid_stat stat;

	snprintf(buffer, sizeof(buffer), "%u", process->pid);
	int dir = openat(proc->proc, buffer, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	ssize_t length = tpi_proc_read(dir, "stat", buffer, sizeof(buffer));
	if (length <= 0 ||
	    !tpi_parse_pid_stat(tpi_text(buffer, (size_t)length), &stat) ||
	    stat.start_ticks != process->start_ticks) {
		close(dir);
		return -1;
	}
	tpi_note_stat(proc, process, &stat);
	return dir;
}

void tpi_emit_sample(struct tpi_proc *proc, struct tpi_process *process,
		     int64_t now_ns)
{
	int dir = open_process(proc, process);

	if (dir < 0)
		return; /* the next scan tells of its end */
	struct tapio_event_process_sample *fields =
		tpi_sink_begin(proc->sink, TPI_PROC_SAMPLE);
	if (fields)
		fill_sample(proc, process, now_ns, dir, fields);
	/* A dropped sample was not told: the next one is since the last that
	 * was. */
	if (fields && tpi_sink_end(proc->sink)) {
		process->sampled_ns = now_ns;
		process->sampled_ticks =
			process->stat.user_ticks + process->stat.system_ticks;
		process->sampled_rss_pages = process->stat.rss_pages;
	}
	close(dir);
}
