/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * How long tasks waited for a CPU: from when one was woken, or was preempted, to when it
 * ran. A histogram for each CPU, and no records, since there may be a million of these a
 * second.
 */
#include "tools/collectors/ebpf/kernel/histogram.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, uint32_t);
	__type(value, uint64_t);
} waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct tpi_ebpf_histogram);
} run_queue SEC(".maps");

static __always_inline void begins(struct task_struct *task)
{
	uint32_t pid = (uint32_t)task->pid;
	uint64_t now_ns = bpf_ktime_get_ns();

	if (pid) /* 0: the idle task */
		bpf_map_update_elem(&waiting, &pid, &now_ns, BPF_ANY);
}

static __always_inline void runs(struct task_struct *task)
{
	const uint32_t zero = 0;
	uint32_t pid = (uint32_t)task->pid;
	uint64_t *since_ns = bpf_map_lookup_elem(&waiting, &pid);
	struct tpi_ebpf_histogram *h;
	uint64_t now_ns;

	if (!since_ns)
		return;
	now_ns = bpf_ktime_get_ns();
	h = bpf_map_lookup_elem(&run_queue, &zero);
	if (h && now_ns >= *since_ns)
		histogram_add(h, now_ns - *since_ns);
	bpf_map_delete_elem(&waiting, &pid);
}

static __always_inline bool is_runnable(struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return !BPF_CORE_READ(task, __state);
	return !BPF_CORE_READ((struct task_struct___old *)task, state);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(runqueue_wakeup, struct task_struct *task)
{
	begins(task);
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(runqueue_wakeup_new, struct task_struct *task)
{
	begins(task);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(runqueue_switch, bool preempt, struct task_struct *previous,
	     struct task_struct *next)
{
	if (is_runnable(previous))
		begins(previous);
	runs(next);
	return 0;
}
