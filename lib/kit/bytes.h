/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of tapio_bytes: a header, and one tapio_pool after the other, the
 * smaller classes first. Shared by the files lib/kit/bytes*.c.
 */
#ifndef TPI_BYTES_H
#define TPI_BYTES_H

#include <stdbool.h>

#include <tapio/abi.h>
#include <tapio/bytes.h>

#include "lib/base/atomic.h"

#define TAPIO_BYTES_MAGIC   UINT64_C(0x5345545942504154) /* "TAPBYTES" */
#define TAPIO_BYTES_VERSION 2
#define TAPIO_BYTES_READY   UINT32_C(0x59444552) /* "REDY" */

/*
 * field      | writer           | reader | store               | load
 * constants  | tapio_bytes_init | all    | plain, before ready | plain, after
 * ready      | tapio_bytes_init | all    | release, once       | acquire
 * next_owner | attach           | attach | atomic add          | relaxed
 */
struct tapio_shm_bytes {
	uint64_t magic;
	uint32_t version;
	uint32_t flags;
	uint64_t length_bytes;
	/* Of each pool, from the start of this struct. 0: there is none. */
	uint64_t offset[TAPIO_BYTES_CLASSES];
	uint32_t reserved;
	uint32_t ready;
	uint64_t next_owner;
	uint64_t reserved1[16];
};
TAPIO_ASSERT_SIZE(tapio_shm_bytes, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, magic, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, version, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, flags, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, length_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, offset, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, reserved, 112);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, ready, 116);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, next_owner, 120);
TAPIO_ASSERT_OFFSET(tapio_shm_bytes, reserved1, 128);

/* In front of a buffer from the heap. */
struct tpi_heap_buffer {
	size_t capacity;
} __attribute__((aligned(64)));

/* The handle: private copies of what was checked at attach. */
struct tapio_bytes {
	struct tapio_pool *pool[TAPIO_BYTES_CLASSES]; /* NULL: none */
	/* Where the objects of the class end. Of an absent one, as before. */
	uintptr_t end[TAPIO_BYTES_CLASSES];
	/* The class that serves a class: itself or a larger one, or CLASSES. */
	uint8_t serves[TAPIO_BYTES_CLASSES + 1];
	unsigned char *memory;
	uint32_t owner;
	uint32_t flags;
	size_t limit;
	void *owned; /* to be freed with the handle */
	uint64_t too_large;
	/* Buffers from the heap: address, or 0. Changed by compare-and-swap. */
	uintptr_t *heap;
	uint32_t heap_max;
};

/* The buffers from the heap: -EAGAIN, -ENOMEM. -EINVAL. */
int tpi_bytes_heap_get(struct tapio_bytes *bytes, size_t length, void **buffer);
int tpi_bytes_heap_put(struct tapio_bytes *bytes, void *buffer);
int64_t tpi_bytes_heap_capacity(const struct tapio_bytes *bytes,
				const void *buffer);
uint32_t tpi_bytes_heap_count(const struct tapio_bytes *bytes);
void tpi_bytes_heap_free_all(struct tapio_bytes *bytes);

#endif
