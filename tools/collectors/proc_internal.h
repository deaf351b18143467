/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of the collector of /proc. */
#ifndef TPI_PROC_INTERNAL_H
#define TPI_PROC_INTERNAL_H

#include "tools/collectors/proc_collect.h"
#include "tools/collectors/proc_parse.h"

/* A process as the last scan left it. */
struct tpi_process {
	uint32_t pid;
	uint32_t ppid;
	uint32_t uid;
	uint32_t gid;
	uint64_t start_ticks; /* with pid: which process it is */
	int pidfd;            /* -1: its end shows in a scan only */
	bool ended; /* its exit was told. A zombie may still be there */
	struct tpi_pid_stat stat;
	/* When it was last sampled, and what it had used then. */
	int64_t sampled_ns; /* 0: never */
	uint64_t sampled_ticks;
	uint64_t sampled_rss_pages;
	uint64_t cgroup_id;
	char container_id[TPI_CONTAINER_ID_BYTES];
	char *executable; /* malloc. NULL: not known */
};

/* All known processes, by ascending pid. */
struct tpi_processes {
	struct tpi_process *items;
	size_t count;
	size_t capacity;
};

/* Counters of an interface or a disk as they were last told. */
struct tpi_counters {
	char name[64];
	unsigned char counters[sizeof(struct tpi_disk_counters)];
	int64_t told_ns;
	bool seen; /* in the current scan */
};

struct tpi_counter_table {
	struct tpi_counters *items;
	size_t count;
	size_t capacity;
};

struct tpi_proc {
	struct tpi_proc_options options;
	struct tpi_sink *sink;
	int proc; /* directories */
	int sys;
	int cgroup;       /* the unified hierarchy. -1: none */
	bool same_pids;   /* a pid of this /proc is that pid for us, too */
	bool is_procfs;   /* and not a tree that looks like it */
	uint64_t boot_ns; /* CLOCK_REALTIME */
	uint64_t tick_ns;
	uint64_t page_bytes;
	uint64_t netns_inode;
	uint32_t told; /* sources whose absence was told */
	bool scanned;  /* once at least */
	/* processes */
	int exit_fd; /* epoll over the pidfds. -1: none */
	size_t pidfds;
	size_t pidfds_max;
	bool pidfds_told;
	struct tpi_processes processes;
	/* counters */
	struct tpi_counter_table interfaces;
	struct tpi_counter_table disks;
	char *text; /* of the last list that was read */
	size_t text_bytes;
};

static inline bool tpi_proc_wants(const struct tpi_proc *proc,
				  enum tpi_proc_source source)
{
	return proc->options.sources >> source & 1;
}

/* Says once that a source cannot be read, and why. */
void tpi_proc_absent(struct tpi_proc *proc, enum tpi_proc_source source,
		     const char *path, int err);

/* proc_processes.c */
int tpi_processes_scan(struct tpi_proc *proc);
void tpi_processes_free(struct tpi_proc *proc);
/* The process has ended. `exact`: just now, and not some time since a scan. */
void tpi_process_ended(struct tpi_proc *proc, struct tpi_process *process,
		       bool exact);

/* The contents of its stat file now, of the same process. */
void tpi_note_stat(const struct tpi_proc *proc, struct tpi_process *process,
		   const struct tpi_pid_stat *stat);

/* proc_exits.c */
void tpi_exits_init(struct tpi_proc *proc);
void tpi_exits_fini(struct tpi_proc *proc);
/* Watches the process that `dir` (its /proc/PID) is about, if it can be. */
void tpi_exits_watch(struct tpi_proc *proc, struct tpi_process *process,
		     int dir);
void tpi_exits_unwatch(struct tpi_proc *proc, struct tpi_process *process);
/* The wait status of a watched process that was reaped, or TPI_UNSET. */
uint64_t tpi_exits_status(const struct tpi_process *process);

/* proc_events.c */
/* The path of a process's program, to be freed. NULL: not known. */
char *tpi_read_executable(const struct tpi_proc *proc, uint32_t pid);
void tpi_emit_start(struct tpi_proc *proc, struct tpi_process *process, int dir,
		    bool existing);
void tpi_emit_exit(struct tpi_proc *proc, const struct tpi_process *process,
		   uint64_t status, bool exact);
void tpi_emit_sample(struct tpi_proc *proc, struct tpi_process *process,
		     int64_t now_ns);

/* proc_counters.c. -ENOMEM */
void tpi_pressure_scan(struct tpi_proc *proc);
int tpi_network_scan(struct tpi_proc *proc, int64_t now_ns);
int tpi_disks_scan(struct tpi_proc *proc, int64_t now_ns);

/* proc_memory.c */
void tpi_memory_scan(struct tpi_proc *proc);

#endif
