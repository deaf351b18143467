/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The victims that the kernel chose because memory ran out, of the host or of a cgroup. */
#include "tools/collectors/ebpf/kernel/probe.h"

char LICENSE[] SEC("license") = "GPL";

/* The kernel's numbers of its counters. */
enum {
	FILE_PAGES,
	ANONYMOUS_PAGES,
	SWAP_PAGES,
	SHARED_PAGES,
	COUNTERS,
};

/* On a host with more of them the memory of the victim is not known. */
#define CPUS_MAX 1024

/*
 * From the address of something per-CPU to where it is on one CPU it is as far as it is for an
 * element of a map of ours, of which both addresses can be had.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint64_t);
} milestone SEC(".maps");

/* A pointer as a number, which the verifier lets us reckon with: through memory. */
static __always_inline uint64_t number_of(uint64_t *room, const void *pointer)
{
	*(const void *volatile *)room = pointer;
	return *(volatile uint64_t *)room;
}

/* The per-CPU address of the element. 0: not known. */
static __always_inline uint64_t milestone_address(uint64_t *room)
{
	const struct bpf_array *map = (void *)number_of(room, &milestone);
	uint64_t address = 0;

	if (bpf_core_field_exists(map->pptrs))
		bpf_core_read(&address, sizeof(address), &map->pptrs[0]);
	return address;
}

/* The parts of the counters that CPUs have not added to them. False: not known. */
static __always_inline bool add_parts(int64_t pages[COUNTERS],
				      const uint64_t parts[COUNTERS])
{
	const uint32_t zero = 0;
	uint64_t *room = bpf_map_lookup_elem(&milestone, &zero);
	uint64_t from = room ? milestone_address(room) : 0;

	for (uint32_t cpu = 0; from && cpu < CPUS_MAX; cpu++) {
		void *to = bpf_map_lookup_percpu_elem(&milestone, &zero, cpu);
		uint64_t shift;

		if (!to)
			return true; /* that was the last one */
		shift = number_of(room, to) - from;
		for (int i = 0; i < COUNTERS; i++) {
			int32_t part = 0;

			bpf_probe_read_kernel(&part, sizeof(part),
					      (void *)(parts[i] + shift));
			pages[i] += part;
		}
	}
	return false;
}

/* The number MUST be written out: with a variable the step would be that of our own struct. */
#define READ_COUNTER(mm, i)                                 \
	do {                                                \
		bpf_core_read(&pages[i], sizeof(pages[i]),  \
			      &(mm)->rss_stat[i].count);    \
		bpf_core_read(&parts[i], sizeof(parts[i]),  \
			      &(mm)->rss_stat[i].counters); \
	} while (0)

/*
 * All of a counter may be with the CPUs. (Kernels that keep it otherwise, before 6.2, do not give
 * the task: see oom_victim_old.) False: not known.
 */
static __always_inline bool read_counters(struct mm_struct *mm,
					  int64_t pages[COUNTERS])
{
	uint64_t parts[COUNTERS];

	READ_COUNTER(mm, 0);
	READ_COUNTER(mm, 1);
	READ_COUNTER(mm, 2);
	READ_COUNTER(mm, 3);
	return add_parts(pages, parts);
}

/* While the sum is made pages come and go, so that it may be below nothing. */
static __always_inline uint64_t sum_of(bool known, int64_t pages)
{
	if (!known)
		return UINT64_MAX;
	return pages > 0 ? (uint64_t)pages : 0;
}

static __always_inline void fill_memory(struct tpi_ebpf_oom *oom,
					struct mm_struct *mm)
{
	int64_t pages[COUNTERS] = {0};
	bool known = read_counters(mm, pages);

	oom->virtual_pages = BPF_CORE_READ(mm, total_vm);
	oom->file_pages = sum_of(known, pages[FILE_PAGES]);
	oom->anonymous_pages = sum_of(known, pages[ANONYMOUS_PAGES]);
	oom->swap_pages = sum_of(known, pages[SWAP_PAGES]);
	oom->shared_pages = sum_of(known, pages[SHARED_PAGES]);
	oom->page_table_bytes =
		(uint64_t)BPF_CORE_READ(mm, pgtables_bytes.counter);
}

/* The current task is the one that asked for memory. */
static __always_inline void fill_trigger(struct tpi_ebpf_oom *oom)
{
	oom->trigger_pid = (uint32_t)(bpf_get_current_pid_tgid() >> 32);
	bpf_get_current_comm(oom->trigger_comm, sizeof(oom->trigger_comm));
}

SEC("tp_btf/mark_victim")
int BPF_PROG(oom_victim, struct task_struct *task)
{
	struct tpi_ebpf_oom *oom = record_reserve(TPI_EBPF_OOM, sizeof(*oom));

	if (!oom)
		return 0;
	fill_head(&oom->head, TPI_EBPF_OOM, task);
	fill_memory(oom, task->mm);
	oom->score_adjustment = task->signal->oom_score_adj;
	fill_trigger(oom);
	bpf_ringbuf_submit(oom, 0);
	return 0;
}

/* Until Linux 6.8 the kernel only gives the pid, as the first pid namespace has it. */
SEC("tp_btf/mark_victim")
int BPF_PROG(oom_victim_old, int pid)
{
	struct tpi_ebpf_oom *oom = record_reserve(TPI_EBPF_OOM, sizeof(*oom));

	if (!oom)
		return 0;
	__builtin_memset(oom, 0xff, sizeof(*oom));
	oom->head = (struct tpi_ebpf_head){
		.boot_ns = bpf_ktime_get_boot_ns(),
		.kind = TPI_EBPF_OOM,
		.pid = (uint32_t)pid,
		.tid = (uint32_t)pid,
		.uid = UINT32_MAX,
		.gid = UINT32_MAX,
	};
	oom->score_adjustment = INT32_MIN;
	fill_trigger(oom);
	bpf_ringbuf_submit(oom, 0);
	return 0;
}
