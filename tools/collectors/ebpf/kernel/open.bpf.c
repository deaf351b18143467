/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Opens of files whose path begins with one of the prefixes, by processes of the chosen
 * cgroups. Both filters are here, since a machine opens far more files than anybody wants
 * to read about.
 *
 * At the end of the system call the file is there, so its path is the real one, however the
 * process named it. Of an open that failed only the name is there, and it must be absolute.
 */
#include "tools/collectors/ebpf/kernel/path.h"

#define MAX_ERRNO     4095
#define CGROUP_LEVELS 12
#define TS_COMPAT     0x2

const volatile bool open_by_cgroup = false;
char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, TPI_EBPF_FILTERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tpi_ebpf_prefix);
	__type(value, uint32_t);
} open_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TPI_EBPF_FILTERS);
	__type(key, uint64_t); /* id of a cgroup */
	__type(value, uint32_t);
} open_cgroups SEC(".maps");

/* A record of an open while it is made. */
struct open_room {
	struct path_room path;
	struct tpi_ebpf_prefix prefix;
	struct tpi_ebpf_open open;
	char data[TPI_EBPF_PATH_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct open_room);
} open_rooms SEC(".maps");

/* The arguments of a system call that opens a file. */
struct call {
	const char *name;
	uint64_t flags;
};

static __always_inline uint64_t flags_of_how(unsigned long how)
{
	uint64_t flags = 0; /* the first member of struct open_how */

	bpf_probe_read_user(&flags, sizeof(flags), (void *)how);
	return flags;
}

/*
 * Run with each system call of the host, so nearly always for nothing: the number is read first,
 * and directly, which takes no helper.
 */
#if defined(__TARGET_ARCH_x86)
/* The registers still have the arguments, except the one of the result. */
static __always_inline bool is_open(struct pt_regs *regs, struct call *call)
{
	switch (regs->orig_ax) {
	case 2: /* open */
		*call = (struct call){(void *)regs->di, regs->si};
		return true;
	case 85: /* creat */
		*call = (struct call){(void *)regs->di, 01101};
		return true;
	case 257: /* openat */
		*call = (struct call){(void *)regs->si, regs->dx};
		return true;
	case 437: /* openat2 */
		*call = (struct call){(void *)regs->si, flags_of_how(regs->dx)};
		return true;
	}
	return false;
}

/* A process of 32 bits has other numbers: its opens are not told. */
static __always_inline bool is_foreign(struct task_struct *task)
{
	return task->thread_info.status & TS_COMPAT;
}
#elif defined(__TARGET_ARCH_arm64)
static __always_inline bool is_open(struct pt_regs *regs, struct call *call)
{
	switch (regs->syscallno) {
	case 56: /* openat */
		*call = (struct call){(void *)regs->regs[1], regs->regs[2]};
		return true;
	case 437: /* openat2 */
		*call = (struct call){(void *)regs->regs[1],
				      flags_of_how(regs->regs[2])};
		return true;
	}
	return false;
}

static __always_inline bool is_foreign(struct task_struct *task)
{
	return false;
}
#endif

/* The cgroup of the process, or one above it, is one of those chosen. */
static __always_inline bool is_in_cgroup(void)
{
	for (int level = 0; level < CGROUP_LEVELS; level++) {
		uint64_t id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return false;
		if (bpf_map_lookup_elem(&open_cgroups, &id))
			return true;
	}
	return false;
}

static __always_inline struct file *file_of(struct task_struct *task, long fd)
{
	struct file **files = BPF_CORE_READ(task, files, fdt, fd);
	struct file *file = NULL;

	bpf_probe_read_kernel(&file, sizeof(file), &files[fd]);
	return file;
}

static __always_inline void fill_file(struct tpi_ebpf_open *open,
				      struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	open->inode = BPF_CORE_READ(inode, i_ino);
	open->size_bytes = (uint64_t)BPF_CORE_READ(inode, i_size);
	open->device = BPF_CORE_READ(inode, i_sb, s_dev);
	open->mode = BPF_CORE_READ(inode, i_mode);
	open->owner_uid = BPF_CORE_READ(inode, i_uid.val);
	open->owner_gid = BPF_CORE_READ(inode, i_gid.val);
}

/* The name as the process gave it. Returns its length with its NUL. */
static __always_inline uint64_t path_given(struct path_room *room,
					   const char *name)
{
	long bytes =
		bpf_probe_read_user_str(room->path, TPI_EBPF_PATH_BYTES, name);

	room->cut = bytes == TPI_EBPF_PATH_BYTES;
	return bytes > 0 && room->path[0] == '/' ? (uint64_t)bytes : 0;
}

static __always_inline bool has_prefix(struct open_room *room, uint64_t bytes)
{
	uint64_t length = bytes - 1;

	if (length > TPI_EBPF_PREFIX_BYTES)
		length = TPI_EBPF_PREFIX_BYTES;
	bpf_probe_read_kernel(room->prefix.path, TPI_EBPF_PREFIX_BYTES,
			      room->path.path);
	room->prefix.bits = (uint32_t)length * 8;
	return bpf_map_lookup_elem(&open_prefixes, &room->prefix);
}

static __always_inline void tell(struct open_room *room, uint64_t bytes,
				 struct task_struct *task)
{
	if (!bytes || bytes > TPI_EBPF_PATH_BYTES)
		return;
	fill_head(&room->open.head, TPI_EBPF_OPEN, task);
	room->open.path_bytes = (uint32_t)bytes;
	room->open.flags = room->path.cut ? TPI_EBPF_PATH_CUT : 0;
	bpf_probe_read_kernel(room->data, bytes, room->path.path);
	record_output(TPI_EBPF_OPEN, &room->open, sizeof(room->open) + bytes);
}

static __always_inline void opened(struct open_room *room,
				   struct task_struct *task, long fd)
{
	struct file *file = file_of(task, fd);
	uint64_t bytes;

	if (!file)
		return;
	bytes = path_make(&room->path, BPF_CORE_READ(file, f_path.mnt),
			  BPF_CORE_READ(file, f_path.dentry));
	if (!has_prefix(room, bytes))
		return;
	fill_file(&room->open, file);
	room->open.error = 0;
	tell(room, bytes, task);
}

static __always_inline void refused(struct open_room *room,
				    struct task_struct *task,
				    const struct call *call, long error)
{
	uint64_t bytes = path_given(&room->path, call->name);

	if (!bytes || !has_prefix(room, bytes))
		return;
	room->open.inode = 0;
	room->open.error = (int32_t)-error;
	tell(room, bytes, task);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(file_open, struct pt_regs *regs, long result)
{
	const uint32_t zero = 0;
	struct task_struct *task;
	struct open_room *room;
	struct call call;

	if (!is_open(regs, &call))
		return 0;
	task = bpf_get_current_task_btf();
	if ((uint32_t)task->tgid == own_pid || is_foreign(task) ||
	    (open_by_cgroup && !is_in_cgroup()))
		return 0;
	room = bpf_map_lookup_elem(&open_rooms, &zero);
	if (!room)
		return 0;
	room->open.open_flags = (uint32_t)call.flags;
	if (result >= 0)
		opened(room, task, result);
	else if (result >= -MAX_ERRNO)
		refused(room, task, &call, result);
	return 0;
}
