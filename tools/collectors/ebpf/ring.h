/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading end of a ring of the kernel (BPF_MAP_TYPE_RINGBUF), without libbpf's, which
 * gives each record back to the kernel as soon as it was shown: here a record stays until
 * it was accepted by a lane, so the kernel's ring is the buffer.
 *
 *	uint64_t position = ring.at;
 *	while ((record = tpi_ebpf_ring_next(&ring, &length)))
 *		...
 *	tpi_ebpf_ring_release(&ring);	all that next() gave
 *	ring.at = position;		or: give them once more
 *
 * One thread at a time.
 */
#ifndef TPI_EBPF_RING_H
#define TPI_EBPF_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tpi_ebpf_ring {
	int fd;      /* polls readable when there is a record. -1: none */
	uint64_t at; /* of the next record */
	/* private from here on */
	uint64_t *consumer;
	const uint64_t *producer;
	const unsigned char *data;
	size_t bytes;
	size_t page_bytes;
};

/* `bytes`: a power of two, a page at least. 0 or -errno. */
int tpi_ebpf_ring_make(struct tpi_ebpf_ring *ring, size_t bytes);
void tpi_ebpf_ring_close(struct tpi_ebpf_ring *ring);

/* The next record, aligned to 8 bytes. NULL: there is none yet. */
const void *tpi_ebpf_ring_next(struct tpi_ebpf_ring *ring, uint32_t *length);

/* The kernel may overwrite all that lies before ring->at. */
void tpi_ebpf_ring_release(struct tpi_ebpf_ring *ring);

#endif
