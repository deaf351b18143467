/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Processes: exec, fork, exit. Threads are left out: a fork that makes a thread is none,
 * and a process has ended when its last thread has.
 */
#include "tools/collectors/ebpf/kernel/path.h"

#define SIGNAL_GROUP_EXIT 0x4

char LICENSE[] SEC("license") = "GPL";

/* A record of an exec while it is made. */
struct exec_room {
	struct path_room path;
	struct tpi_ebpf_start start;
	char data[TPI_EBPF_PATH_BYTES + TPI_EBPF_ARGS_BYTES]; /* of the start */
};
_Static_assert(__builtin_offsetof(struct exec_room, data) ==
		       __builtin_offsetof(struct exec_room, start) +
			       sizeof(struct tpi_ebpf_start),
	       "the start and its data are written as one record");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct exec_room);
} exec_rooms SEC(".maps");

static __always_inline void fill_start(struct tpi_ebpf_start *start,
				       uint32_t kind, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	fill_head(&start->head, kind, task);
	start->session_id =
		BPF_CORE_READ(signal, pids[PIDTYPE_SID], numbers[0].nr);
	start->group_id =
		BPF_CORE_READ(signal, pids[PIDTYPE_PGID], numbers[0].nr);
	start->args = 0;
	start->path_bytes = 0;
	start->args_bytes = 0;
	start->flags = 0;
}

/* Puts the path first, and returns where the arguments begin. */
static __always_inline uint64_t put_path(struct exec_room *room,
					 struct task_struct *task)
{
	struct file *file = task->mm->exe_file;
	uint64_t bytes =
		path_make(&room->path, file->f_path.mnt, file->f_path.dentry);

	if (bytes > TPI_EBPF_PATH_BYTES)
		return 0;
	bpf_probe_read_kernel(room->data, bytes, room->path.path);
	room->start.path_bytes = (uint32_t)bytes;
	if (room->path.cut)
		room->start.flags |= TPI_EBPF_PATH_CUT;
	return bytes;
}

/* The arguments lie one behind the other where the new program's stack begins. */
static __always_inline void put_args(struct exec_room *room, uint64_t at,
				     struct task_struct *task)
{
	unsigned long begin = task->mm->arg_start;
	unsigned long bytes = task->mm->arg_end - begin;

	if (bytes > TPI_EBPF_ARGS_BYTES) {
		bytes = TPI_EBPF_ARGS_BYTES;
		room->start.flags |= TPI_EBPF_ARGS_CUT;
	}
	if (at > TPI_EBPF_PATH_BYTES)
		return;
	if (!bpf_probe_read_user(&room->data[at], (uint32_t)bytes,
				 (void *)begin))
		room->start.args_bytes = (uint32_t)bytes;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid,
	     struct linux_binprm *bprm)
{
	const uint32_t zero = 0;
	struct exec_room *room = bpf_map_lookup_elem(&exec_rooms, &zero);
	uint64_t bytes;

	if (!room)
		return 0;
	fill_start(&room->start, TPI_EBPF_EXEC, task);
	room->start.args = (uint32_t)bprm->argc;
	put_args(room, put_path(room, task), task);
	bytes = (uint64_t)room->start.path_bytes + room->start.args_bytes;
	if (bytes <= sizeof(room->data))
		record_output(TPI_EBPF_EXEC, &room->start,
			      sizeof(room->start) + bytes);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent,
	     struct task_struct *child)
{
	struct tpi_ebpf_start *start;

	if (child->pid != child->tgid)
		return 0;
	start = record_reserve(TPI_EBPF_FORK, sizeof(*start));
	if (!start)
		return 0;
	fill_start(start, TPI_EBPF_FORK, child);
	bpf_ringbuf_submit(start, 0);
	return 0;
}

/* The status that a parent gets when it waits. */
static __always_inline uint32_t wait_status(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	if (signal->flags & SIGNAL_GROUP_EXIT)
		return (uint32_t)signal->group_exit_code;
	return (uint32_t)task->group_leader->exit_code;
}

/* Of the threads that have gone, of this one, and of the leader, which waits. */
static __always_inline void fill_times(struct tpi_ebpf_exit *exit,
				       struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct task_struct *leader = task->group_leader;

	exit->user_ns = signal->utime + task->utime;
	exit->system_ns = signal->stime + task->stime;
	exit->runtime_ns =
		signal->sum_sched_runtime + task->se.sum_exec_runtime;
	if (leader == task)
		return;
	exit->user_ns += leader->utime;
	exit->system_ns += leader->stime;
	exit->runtime_ns += leader->se.sum_exec_runtime;
}

static __always_inline void exited(struct task_struct *task)
{
	struct tpi_ebpf_exit *exit =
		record_reserve(TPI_EBPF_EXIT, sizeof(*exit));

	if (!exit)
		return;
	fill_head(&exit->head, TPI_EBPF_EXIT, task);
	fill_times(exit, task);
	exit->rss_max_pages = task->signal->maxrss;
	exit->status = wait_status(task);
	exit->reserved = 0;
	bpf_ringbuf_submit(exit, 0);
}

/* Since Linux 6.16 the kernel says which thread is the last one. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task, bool group_dead)
{
	if (group_dead)
		exited(task);
	return 0;
}

/*
 * Before, each of two threads that end at once on two CPUs may find that no thread is
 * left. The first one that enters the process here tells of it. Its entry is pushed out by
 * those of later processes.
 */
struct process_key {
	uint64_t start_boot_ns;
	uint32_t pid;
	uint32_t reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process_key);
	__type(value, uint32_t);
} last_threads SEC(".maps");

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit_old, struct task_struct *task)
{
	struct process_key key = {
		.start_boot_ns = task->group_leader->start_boottime,
		.pid = (uint32_t)task->tgid,
	};
	uint32_t one = 1;

	if (task->signal->live.counter > 0)
		return 0;
	if (!bpf_map_update_elem(&last_threads, &key, &one, BPF_NOEXIST))
		exited(task);
	return 0;
}
