/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Requests to disks: a histogram of all of them, and a record of each that took longer than
 * the threshold. The time of a request is from when it was made to its end; `queue_ns` is
 * the part before the driver got it, where the kernel keeps the first stamp.
 */
#include "tools/collectors/ebpf/kernel/histogram.h"

#define REQ_OP_MASK 0xff

const volatile uint64_t block_threshold_ns = 0;
char LICENSE[] SEC("license") = "GPL";

struct issued {
	uint64_t monotonic_ns;
	struct tpi_ebpf_head head;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, uint64_t);
	__type(value, struct issued);
} requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct tpi_ebpf_disk);
	__type(value, struct tpi_ebpf_histogram);
} block_histograms SEC(".maps");

/* The beginning of a new entry. It is too large for a stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct tpi_ebpf_histogram);
} no_histogram SEC(".maps");

static __always_inline struct gendisk *disk_of(struct request *rq)
{
	struct request___old *old = (void *)rq;

	if (bpf_core_field_exists(old->rq_disk))
		return BPF_CORE_READ(old, rq_disk);
	return BPF_CORE_READ(rq, q, disk);
}

static __always_inline void issue(struct request *rq)
{
	uint64_t key = (uint64_t)rq;
	struct issued issued = {.monotonic_ns = bpf_ktime_get_ns()};

	fill_head(&issued.head, TPI_EBPF_BLOCK, bpf_get_current_task_btf());
	bpf_map_update_elem(&requests, &key, &issued, BPF_ANY);
}

static __always_inline void observe(const struct tpi_ebpf_block *block)
{
	struct tpi_ebpf_disk key = {block->major, block->minor,
				    block->operation};
	struct tpi_ebpf_histogram *h =
		bpf_map_lookup_elem(&block_histograms, &key);

	if (!h) {
		const uint32_t zero = 0;
		void *none = bpf_map_lookup_elem(&no_histogram, &zero);

		if (none)
			bpf_map_update_elem(&block_histograms, &key, none,
					    BPF_NOEXIST);
		h = bpf_map_lookup_elem(&block_histograms, &key);
	}
	if (h)
		histogram_add(h, block->latency_ns);
}

static __always_inline void tell(struct tpi_ebpf_block *block)
{
	block->head.boot_ns = bpf_ktime_get_boot_ns();
	record_output(TPI_EBPF_BLOCK, block, sizeof(*block));
}

static __always_inline void complete(struct request *rq, int error,
				     unsigned int bytes)
{
	uint64_t key = (uint64_t)rq;
	uint64_t now_ns = bpf_ktime_get_ns();
	uint64_t made_ns = BPF_CORE_READ(rq, start_time_ns);
	struct issued *issued = bpf_map_lookup_elem(&requests, &key);
	struct gendisk *disk = disk_of(rq);
	struct tpi_ebpf_block block;

	/* Of the parts of a request the last one ends it. */
	if (!issued || bytes < BPF_CORE_READ(rq, __data_len))
		return;
	block.head = issued->head;
	block.latency_ns = now_ns - issued->monotonic_ns;
	block.queue_ns = UINT64_MAX;
	if (made_ns && made_ns <= issued->monotonic_ns) {
		block.queue_ns = issued->monotonic_ns - made_ns;
		block.latency_ns += block.queue_ns;
	}
	block.sector = BPF_CORE_READ(rq, __sector);
	block.length_bytes = bytes;
	block.major = (uint32_t)BPF_CORE_READ(disk, major);
	block.minor = (uint32_t)BPF_CORE_READ(disk, first_minor);
	block.operation = BPF_CORE_READ(rq, cmd_flags) & REQ_OP_MASK;
	block.error = error;
	bpf_map_delete_elem(&requests, &key);
	observe(&block);
	if (block.latency_ns >= block_threshold_ns)
		tell(&block);
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_issue, struct request *rq)
{
	issue(rq);
	return 0;
}

/* A status is a number of the block layer's own; as an errno it is EIO. */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_complete, struct request *rq, uint8_t status,
	     unsigned int bytes)
{
	complete(rq, status ? 5 : 0, bytes);
	return 0;
}

/* Until Linux 5.10. */
SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_issue_old, struct request_queue *q, struct request *rq)
{
	issue(rq);
	return 0;
}

/* Until Linux 5.15: an errno. */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_complete_old, struct request *rq, int error,
	     unsigned int bytes)
{
	complete(rq, -error, bytes);
	return 0;
}
