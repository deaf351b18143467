/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See the header. The kernel maps the data twice, one behind the other, so that each
 * record lies in one piece. Positions only grow.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "lib/base/atomic.h"
#include "tools/collectors/ebpf/ring.h"

static int map_pages(struct tpi_ebpf_ring *ring)
{
	void *consumer = mmap(NULL, ring->page_bytes, PROT_READ | PROT_WRITE,
			      MAP_SHARED, ring->fd, 0);
	void *producer;

	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, ring->page_bytes + 2 * ring->bytes, PROT_READ,
			MAP_SHARED, ring->fd, (off_t)ring->page_bytes);
	if (producer == MAP_FAILED) {
		int err = -errno;

		munmap(consumer, ring->page_bytes);
		return err;
	}
	ring->consumer = consumer;
	ring->producer = producer;
	ring->data = (const unsigned char *)producer + ring->page_bytes;
	return 0;
}

int tpi_ebpf_ring_make(struct tpi_ebpf_ring *ring, size_t bytes)
{
	int err;

	*ring = (struct tpi_ebpf_ring){
		.bytes = bytes,
		.page_bytes = (size_t)sysconf(_SC_PAGESIZE),
	};
	ring->fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "tapio_ring", 0, 0,
				  (uint32_t)bytes, NULL);
	if (ring->fd < 0)
		return -errno;
	err = map_pages(ring);
	if (err) {
		close(ring->fd);
		ring->fd = -1;
	}
	return err;
}

void tpi_ebpf_ring_close(struct tpi_ebpf_ring *ring)
{
	if (ring->fd < 0)
		return;
	munmap(ring->consumer, ring->page_bytes);
	munmap((void *)ring->producer, ring->page_bytes + 2 * ring->bytes);
	close(ring->fd);
	ring->fd = -1;
}

static uint64_t whole(uint32_t length)
{
	return ((uint64_t)length + BPF_RINGBUF_HDR_SZ + 7) & ~UINT64_C(7);
}

const void *tpi_ebpf_ring_next(struct tpi_ebpf_ring *ring, uint32_t *length)
{
	/*
	 * ORDER ebpf.record (acquire): the headers before this position are there. Pairs
	 * with the release in record_reserve() (kernel/probe.h).
	 */
	const uint64_t end = tpi_load_acquire(ring->producer);

	while (ring->at < end) {
		const unsigned char *record =
			ring->data + (ring->at & (ring->bytes - 1));
		/*
		 * ORDER ebpf.record (acquire): without the busy bit the bytes of the
		 * record are there. Pairs with the same release.
		 */
		uint32_t head = tpi_load_acquire((const uint32_t *)record);

		if (head & BPF_RINGBUF_BUSY_BIT)
			return NULL;
		*length = head & ~(uint32_t)BPF_RINGBUF_DISCARD_BIT;
		ring->at += whole(*length);
		if (!(head & BPF_RINGBUF_DISCARD_BIT))
			return record + BPF_RINGBUF_HDR_SZ;
	}
	return NULL;
}

void tpi_ebpf_ring_release(struct tpi_ebpf_ring *ring)
{
	/*
	 * ORDER ebpf.room (release): the records were read before the kernel writes there
	 * again. Pairs with the acquire in record_reserve() (kernel/probe.h).
	 */
	tpi_store_release(ring->consumer, ring->at);
}
