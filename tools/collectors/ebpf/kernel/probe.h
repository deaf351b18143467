/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Common to all programs: rings, counts, and the head of a record.
 *
 * A ring for each CPU, so that programs of two CPUs never wait for one lock. The
 * collector makes the rings and puts them into `rings` before it attaches a program.
 * Each record is counted as seen first, and then has its place in the ring or is counted
 * as refused.
 */
#ifndef TPI_EBPF_PROBE_H
#define TPI_EBPF_PROBE_H

#include "tools/collectors/ebpf/kernel/vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "tools/collectors/ebpf/kernel/atomic.h"
#include "tools/collectors/ebpf/record.h"

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
};

/* Weak: bpftool makes one map of those of all files. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries,
	       1); /* the collector sets it to the number of CPUs */
	__uint(key_size, sizeof(uint32_t));
	__array(values, struct ring);
} rings SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TPI_EBPF_KINDS);
	__type(key, uint32_t);
	__type(value, struct tpi_ebpf_count);
} counts SEC(".maps") __weak;

/* The process of the collector, whose own opens are not told of. */
const volatile uint32_t own_pid __weak = 0;

static __always_inline struct tpi_ebpf_count *count_of(uint32_t kind)
{
	return bpf_map_lookup_elem(&counts, &kind);
}

static __always_inline void count_seen(uint32_t kind)
{
	struct tpi_ebpf_count *count = count_of(kind);

	if (count)
		count_add(&count->seen, 1);
}

static __always_inline void count_refused(uint32_t kind)
{
	struct tpi_ebpf_count *count = count_of(kind);

	if (count)
		count_add(&count->refused, 1);
}

static __always_inline void *ring_for(uint32_t kind)
{
	uint32_t ring = bpf_get_smp_processor_id() * TPI_EBPF_RINGS +
			TPI_EBPF_RING_OF(kind);

	return bpf_map_lookup_elem(&rings, &ring);
}

/*
 * Room for a record of fixed length, for bpf_ringbuf_submit(). NULL: refused.
 *
 * ORDER ebpf.room (acquire): the kernel loads the consumer's position in it. From
 * here on it overwrites records that were read. Pairs with the release in
 * tpi_ebpf_ring_release().
 *
 * ORDER ebpf.record (release): bpf_ringbuf_submit() and bpf_ringbuf_output() store the
 * length of the record behind its bytes. Pairs with the acquires in tpi_ebpf_ring_next().
 */
static __always_inline void *record_reserve(uint32_t kind, uint64_t bytes)
{
	void *ring = ring_for(kind);
	void *record = NULL;

	count_seen(kind);
	if (ring)
		record = bpf_ringbuf_reserve(ring, bytes, 0);
	if (!record)
		count_refused(kind);
	return record;
}

/* The same for a record of any length, that lies elsewhere. */
static __always_inline void record_output(uint32_t kind, void *record,
					  uint64_t bytes)
{
	void *ring = ring_for(kind);

	count_seen(kind);
	if (!ring || bpf_ringbuf_output(ring, record, bytes, 0))
		count_refused(kind);
}

static __always_inline void fill_comm(char *comm, struct task_struct *task)
{
	bpf_probe_read_kernel(comm, TPI_EBPF_COMM_BYTES, task->comm);
}

static __always_inline void fill_head(struct tpi_ebpf_head *head, uint32_t kind,
				      struct task_struct *task)
{
	head->boot_ns = bpf_ktime_get_boot_ns();
	head->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	head->start_boot_ns = task->group_leader->start_boottime;
	head->kind = kind;
	head->pid = (uint32_t)task->tgid;
	head->tid = (uint32_t)task->pid;
	head->ppid = (uint32_t)task->real_parent->tgid;
	head->uid = task->cred->euid.val;
	head->gid = task->cred->egid.val;
	head->netns_inode = task->nsproxy->net_ns->ns.inum;
	head->existing = 0;
	fill_comm(head->comm, task);
}

#endif
