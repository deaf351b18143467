/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_bytes: buffers that are too large for any class and come from the heap.
 *
 * The addresses that were given out stand in a table, so that a put can tell one
 * of ours from any other address without looking at what lies there. An entry is
 * set and cleared by compare-and-swap: of two puts of a buffer one frees it. The
 * search begins where the address hashes to, and goes round the table at most.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/kit/bytes.h"

static uint32_t first_place(const struct tapio_bytes *bytes, uintptr_t at)
{
	return (uint32_t)((at >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 32) %
	       bytes->heap_max;
}

/* Finds an entry `from` and makes it `to`. */
static bool replace(const struct tapio_bytes *bytes, uint32_t place,
		    uintptr_t from, uintptr_t to)
{
	uintptr_t seen;
	uint32_t i;

	for (i = 0; i < bytes->heap_max; i++) {
		seen = tpi_load_relaxed(&bytes->heap[place]);
		/*
		 * ORDER bytes.heap (acq_rel): the header before the buffer is
		 * there when its address is found. Pairs with itself.
		 */
		if (seen == from &&
		    tpi_cas_acq_rel(&bytes->heap[place], &seen, to))
			return true;
		if (++place == bytes->heap_max)
			place = 0;
	}
	return false;
}

static struct tpi_heap_buffer *header(uintptr_t at)
{
	return (struct tpi_heap_buffer *)at - 1;
}

int tpi_bytes_heap_get(struct tapio_bytes *bytes, size_t length, void **buffer)
{
	struct tpi_heap_buffer *block;
	size_t capacity;
	uintptr_t at;

	if (length > SIZE_MAX / 2)
		return -ENOMEM;
	capacity = (length + 63) & ~(size_t)63;
	block = aligned_alloc(64, sizeof(*block) + capacity);
	if (!block)
		return -ENOMEM;
	block->capacity = capacity;
	at = (uintptr_t)(block + 1);
	if (!replace(bytes, first_place(bytes, at), 0, at)) {
		free(block);
		return -EAGAIN;
	}
	*buffer = block + 1;
	return 0;
}

int tpi_bytes_heap_put(struct tapio_bytes *bytes, void *buffer)
{
	uintptr_t at = (uintptr_t)buffer;

	if (!at || !replace(bytes, first_place(bytes, at), at, 0))
		return -EINVAL;
	free(header(at));
	return 0;
}

int64_t tpi_bytes_heap_capacity(const struct tapio_bytes *bytes,
				const void *buffer)
{
	uintptr_t at = (uintptr_t)buffer;

	if (!at || !replace(bytes, first_place(bytes, at), at, at))
		return -EINVAL;
	return (int64_t)header(at)->capacity;
}

uint32_t tpi_bytes_heap_count(const struct tapio_bytes *bytes)
{
	uint32_t i, n = 0;

	for (i = 0; i < bytes->heap_max; i++)
		n += tpi_load_relaxed(&bytes->heap[i]) != 0;
	return n;
}

void tpi_bytes_heap_free_all(struct tapio_bytes *bytes)
{
	uint32_t i;

	for (i = 0; i < bytes->heap_max; i++)
		if (bytes->heap[i])
			free(header(bytes->heap[i]));
}
