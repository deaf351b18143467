/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The members of the kernel's structs that the programs read, and no others.
 *
 * The order and the offsets here mean nothing: each access is relocated when the
 * programs are loaded, by the BTF of the kernel that runs (preserve_access_index).
 * A member that this kernel does not have makes its program unloadable, and the
 * collector leaves that program out and names it. Members that were renamed in
 * between have a second struct with the suffix ___old, and bpf_core_field_exists()
 * decides.
 *
 * Made by hand, because the header that bpftool makes has 3 MB and belongs to one
 * kernel.
 */
#ifndef TPI_EBPF_VMLINUX_H
#define TPI_EBPF_VMLINUX_H

#include <stdbool.h>
#include <stdint.h>

/* The names that libbpf's headers use. */
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef uint64_t __u64;
typedef int8_t __s8;
typedef int16_t __s16;
typedef int32_t __s32;
typedef int64_t __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;

/* Of the interface, with fixed numbers. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};

#define BPF_ANY               0
#define BPF_NOEXIST           1
#define BPF_F_NO_PREALLOC     (1U << 0)
#define BPF_F_CLONE           (1U << 9)
#define BPF_SK_STORAGE_CREATE (1ULL << 0)

#pragma clang attribute push(__attribute__((preserve_access_index)), \
			     apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	int64_t counter;
} atomic_long_t;

typedef struct {
	uint32_t val;
} kuid_t;

typedef struct {
	uint32_t val;
} kgid_t;

struct qstr {
	uint32_t len;
	const unsigned char *name;
};

struct super_block {
	uint32_t s_dev;
};

struct inode {
	uint16_t i_mode;
	kuid_t i_uid;
	kgid_t i_gid;
	unsigned long i_ino;
	struct super_block *i_sb;
	int64_t i_size;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	unsigned int f_flags;
	struct path f_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct upid {
	int nr;
};

struct pid {
	struct upid numbers[1];
};

struct percpu_counter {
	int64_t count;
	int32_t *counters; /* an address of the per-CPU sort */
};

/* A map; of a per-CPU one, the addresses of its elements. */
struct bpf_array {
	uint32_t index_mask;
	void *pptrs[];
};

struct mm_struct {
	unsigned long total_vm;
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
	struct percpu_counter rss_stat[4];
	atomic_long_t pgtables_bytes;
};

struct cred {
	kuid_t euid;
	kgid_t egid;
};

struct kernfs_node {
	uint64_t id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

struct nsproxy {
	struct net *net_ns;
};

enum pid_type {
	PIDTYPE_PID,
	PIDTYPE_TGID,
	PIDTYPE_PGID,
	PIDTYPE_SID,
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
	struct pid *pids[4];
	uint64_t utime;
	uint64_t stime;
	unsigned long maxrss;
	uint64_t sum_sched_runtime;
	short oom_score_adj;
};

struct sched_entity {
	uint64_t sum_exec_runtime;
};

struct thread_info {
	uint32_t status;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	struct sched_entity se;
	struct mm_struct *mm;
	int exit_code;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	uint64_t utime;
	uint64_t stime;
	uint64_t start_boottime;
	const struct cred *cred;
	char comm[16];
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
};

/* Until Linux 5.13. */
struct task_struct___old {
	long state;
};

struct linux_binprm {
	int argc;
};

struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long orig_ax;
	unsigned long di;
	unsigned long si;
	unsigned long dx;
#elif defined(__TARGET_ARCH_arm64)
	uint64_t regs[31];
	int32_t syscallno;
#endif
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		uint8_t u6_addr8[16];
	} in6_u;
};

typedef struct {
	int64_t counter;
} atomic64_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	uint16_t skc_num;
	uint16_t skc_family;
	uint8_t skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	unsigned long skc_flags;
};

enum sock_flags {
	SOCK_DONE = 1,
};

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	uint16_t sk_protocol;
	uint16_t sk_type;
};

struct inet_sock {
	__be16 inet_sport;
};

struct tcp_sock {
	uint64_t bytes_sent;
	uint64_t bytes_retrans;
	uint64_t bytes_received;
	uint32_t srtt_us;
	uint32_t total_retrans;
};

struct socket {
	struct sock *sk;
};

struct sk_buff;

struct gendisk {
	int major;
	int first_minor;
};

struct request_queue {
	struct gendisk *disk;
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
	uint64_t __sector;
	uint64_t start_time_ns;
};

/* Until Linux 5.16. */
struct request___old {
	struct gendisk *rq_disk;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	uint64_t session_id;
	uint64_t seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	uint32_t fd;
	struct file *file;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

#pragma clang attribute pop

/* Contexts and headers of fixed layout: no relocation. */
struct __sk_buff {
	uint32_t len;
	uint32_t pkt_type;
	uint32_t mark;
	uint32_t queue_mapping;
	uint32_t protocol;
	uint32_t vlan_present;
	uint32_t vlan_tci;
	uint32_t vlan_proto;
	uint32_t priority;
	uint32_t ingress_ifindex;
	uint32_t ifindex;
	uint32_t tc_index;
	uint32_t cb[5];
	uint32_t hash;
	uint32_t tc_classid;
	uint32_t data;
	uint32_t data_end;
	uint32_t napi_id;
	uint32_t family;
	uint32_t remote_ip4;
	uint32_t local_ip4;
	uint32_t remote_ip6[4];
	uint32_t local_ip6[4];
	uint32_t remote_port;
	uint32_t local_port;
};

#endif
