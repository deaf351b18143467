/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector as a whole: opens the trees, finds out what they are, and scans
 * source by source. Called by tapio-collect-proc and by tests.
 *
 * The trees are opened once and everything is read relative to them, so that a
 * mount over /proc later changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>

#include "tools/collectors/proc_file.h"
#include "tools/collectors/proc_internal.h"
#include "tools/common/tool.h"

/*
 * A change is information, a measurement is there to be summed up: a reader that
 * asks for severity `info` sees what happened and not what was measured.
 */
const struct tpi_kind tpi_proc_kinds[TPI_PROC_SOURCES] = {
	[TPI_PROC_START] = {"start", TAPIO_EVENT_PROCESS_START,
			    TAPIO_SEVERITY_INFO, .urgent = true},
	[TPI_PROC_EXIT] = {"exit", TAPIO_EVENT_PROCESS_EXIT,
			   TAPIO_SEVERITY_INFO, .urgent = true},
	[TPI_PROC_SAMPLE] = {"sample", TAPIO_EVENT_PROCESS_SAMPLE,
			     TAPIO_SEVERITY_DEBUG},
	[TPI_PROC_PRESSURE] = {"pressure", TAPIO_EVENT_PRESSURE,
			       TAPIO_SEVERITY_DEBUG},
	[TPI_PROC_NETWORK] = {"network", TAPIO_EVENT_NETWORK_INTERFACE,
			      TAPIO_SEVERITY_DEBUG},
	[TPI_PROC_DISK] = {"disk", TAPIO_EVENT_DISK, TAPIO_SEVERITY_DEBUG},
	[TPI_PROC_MEMORY] = {"memory", TAPIO_EVENT_MEMORY,
			     TAPIO_SEVERITY_DEBUG},
};

static int open_dir(int at, const char *path)
{
	int fd = openat(at, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static bool is_of_type(int dir, long type)
{
	struct statfs fs;

	return dir >= 0 && !fstatfs(dir, &fs) && fs.f_type == type;
}

/* The unified hierarchy: alone, or beside the old ones. */
static int open_cgroup(int sys)
{
	static const char *const paths[] = {"fs/cgroup", "fs/cgroup/unified"};

	for (int i = 0; i < 2; i++) {
		int dir = sys < 0 ? -1 : open_dir(sys, paths[i]);
		if (is_of_type(dir, CGROUP2_SUPER_MAGIC))
			return dir;
		if (dir >= 0)
			close(dir);
	}
	return -1;
}

/*
 * Whether this /proc shows our own pid namespace: it then gives us one pid, the
 * one that we know. Of an outer namespace it lists our pids of each.
 */
static bool has_our_pids(int proc)
{
	char buffer[TPI_PROC_FILE_BYTES];
	struct tpi_pid_status status;
	struct tpi_text link;
	uint64_t pid;
	ssize_t length = tpi_proc_link(proc, "self", buffer, sizeof(buffer));

	if (length <= 0)
		return false;
	link = tpi_text(buffer, (size_t)length);
	if (!tpi_text_u64(link, &pid) || pid != (uint64_t)getpid())
		return false;
	length = tpi_proc_read(proc, "self/status", buffer, sizeof(buffer));
	if (length <= 0)
		return false;
	tpi_parse_pid_status(tpi_text(buffer, (size_t)length), &status);
	return status.namespaces == 1 || status.namespaces == TPI_UNSET;
}

/*
 * When the kernel of this tree was booted. It says so in whole seconds. Where
 * that is our own kernel, the difference of two clocks says it better.
 */
static uint64_t find_boot_time(struct tpi_proc *proc)
{
	uint64_t ours_ns = tpi_clock_read_ns(CLOCK_REALTIME) -
			   tpi_clock_read_ns(CLOCK_BOOTTIME);
	uint64_t seconds;
	ssize_t length = tpi_proc_read_all(proc->proc, "stat", &proc->text,
					   &proc->text_bytes);

	if (length <= 0 ||
	    !tpi_parse_boot_time(tpi_text(proc->text, (size_t)length),
				 &seconds) ||
	    seconds > UINT64_MAX / 1000000000)
		return proc->is_procfs ? ours_ns : 0;
	int64_t apart_ns = (int64_t)(ours_ns - seconds * 1000000000);
	if (apart_ns > -2000000000 && apart_ns < 2000000000)
		return ours_ns;
	return seconds * 1000000000;
}

/* From "net:[4026531840]". */
static uint64_t find_netns(int proc)
{
	char buffer[64];
	ssize_t length =
		tpi_proc_link(proc, "self/ns/net", buffer, sizeof(buffer));
	struct tpi_text text =
		tpi_text(buffer, length > 0 ? (size_t)length : 0);
	uint64_t inode;

	if (!tpi_text_skip(&text, "net:[") || text.at == text.end)
		return 0;
	text.end--; /* the bracket */
	return tpi_text_u64(text, &inode) ? inode : 0;
}

static void find_out(struct tpi_proc *proc)
{
	proc->is_procfs = is_of_type(proc->proc, PROC_SUPER_MAGIC);
	proc->same_pids = proc->is_procfs && has_our_pids(proc->proc);
	proc->cgroup = open_cgroup(proc->sys);
	proc->boot_ns = find_boot_time(proc);
	proc->tick_ns = 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	proc->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	proc->netns_inode = find_netns(proc->proc);
}

int tpi_proc_open(struct tpi_proc **out, const struct tpi_proc_options *options,
		  struct tpi_sink *sink, const char **failed)
{
	const char *proc_path = options->proc ? options->proc : "/proc";
	const char *sys_path = options->sys ? options->sys : "/sys";
	struct tpi_proc *proc = calloc(1, sizeof(*proc));

	*out = NULL;
	*failed = proc_path;
	if (!proc)
		return -ENOMEM;
	proc->options = *options;
	proc->sink = sink;
	proc->cgroup = proc->exit_fd = proc->sys = -1;
	proc->proc = open_dir(AT_FDCWD, proc_path);
	if (proc->proc < 0) {
		int err = proc->proc;
		free(proc);
		return err;
	}
	/* /sys adds to what /proc says. Without it there is less to say. */
	proc->sys = open_dir(AT_FDCWD, sys_path);
	find_out(proc);
	if (tpi_proc_wants(proc, TPI_PROC_EXIT) && proc->same_pids)
		tpi_exits_init(proc);
	*out = proc;
	return 0;
}

void tpi_proc_close(struct tpi_proc *proc)
{
	if (!proc)
		return;
	tpi_processes_free(proc);
	tpi_exits_fini(proc);
	free(proc->interfaces.items);
	free(proc->disks.items);
	free(proc->text);
	if (proc->cgroup >= 0)
		close(proc->cgroup);
	if (proc->sys >= 0)
		close(proc->sys);
	close(proc->proc);
	free(proc);
}

void tpi_proc_absent(struct tpi_proc *proc, enum tpi_proc_source source,
		     const char *path, int err)
{
	if (proc->told >> source & 1)
		return;
	proc->told |= UINT32_C(1) << source;
	tpi_say("source '%s': cannot read %s/%s: %s",
		tpi_proc_kinds[source].name,
		proc->options.proc ? proc->options.proc : "/proc", path,
		strerror(-err));
}

int tpi_proc_scan(struct tpi_proc *proc)
{
	int64_t now_ns = tpi_monotonic_ns();
	int err = 0;

	if (tpi_proc_wants(proc, TPI_PROC_START) ||
	    tpi_proc_wants(proc, TPI_PROC_EXIT) ||
	    tpi_proc_wants(proc, TPI_PROC_SAMPLE))
		err = tpi_processes_scan(proc);
	if (tpi_proc_wants(proc, TPI_PROC_PRESSURE))
		tpi_pressure_scan(proc);
	if (tpi_proc_wants(proc, TPI_PROC_MEMORY))
		tpi_memory_scan(proc);
	if (!err && tpi_proc_wants(proc, TPI_PROC_NETWORK))
		err = tpi_network_scan(proc, now_ns);
	if (!err && tpi_proc_wants(proc, TPI_PROC_DISK))
		err = tpi_disks_scan(proc, now_ns);
	proc->scanned = true;
	return err;
}
