/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte buffers of 64 bytes to 64 KiB, for the threads of one process or for
 * processes that share a piece of memory: a tapio_pool for each power of two.
 *
 *	struct tapio_bytes_options options = {.size = sizeof(options)};
 *	struct tapio_bytes *bytes;
 *	void *buffer;
 *
 *	options.count[TAPIO_BYTES_CLASS_1K] = 100;
 *	tapio_bytes_create(&bytes, &options);
 *	tapio_bytes_get(bytes, 1000, TAPIO_BYTES_ZERO, &buffer);
 *	tapio_bytes_put(bytes, buffer);
 *	tapio_bytes_close(bytes);
 *
 * Contents. A buffer has the bytes that its last owner left in it, unless
 * zeroing is asked for: TAPIO_BYTES_ZERO for one get, TAPIO_BYTES_CLEAN for
 * every put. Processes that MUST NOT see one another's data need
 * TAPIO_BYTES_CLEAN.
 *
 * Owners, threads, signal handlers and fork: as in pool.h. Buffers from the
 * heap (TAPIO_BYTES_HEAP) are the exception. They belong to this process
 * alone, and signal handlers MUST NOT get or put them.
 */
#ifndef TAPIO_BYTES_H
#define TAPIO_BYTES_H

#include <tapio/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapio_bytes;

#define TAPIO_BYTES_MIN     64
#define TAPIO_BYTES_MAX     65536
#define TAPIO_BYTES_CLASSES 11

/* Index of the class whose buffers have that capacity. */
#define TAPIO_BYTES_CLASS_64  0
#define TAPIO_BYTES_CLASS_128 1
#define TAPIO_BYTES_CLASS_256 2
#define TAPIO_BYTES_CLASS_512 3
#define TAPIO_BYTES_CLASS_1K  4
#define TAPIO_BYTES_CLASS_2K  5
#define TAPIO_BYTES_CLASS_4K  6
#define TAPIO_BYTES_CLASS_8K  7
#define TAPIO_BYTES_CLASS_16K 8
#define TAPIO_BYTES_CLASS_32K 9
#define TAPIO_BYTES_CLASS_64K 10

/* For tapio_bytes_get. */
#define TAPIO_BYTES_ZERO UINT32_C(1) /* the whole capacity is zero */
/* When the smallest class that fits has none left, try the larger ones. */
#define TAPIO_BYTES_LARGER UINT32_C(2)
/* A length above the largest class is served from this process's heap. */
#define TAPIO_BYTES_HEAP UINT32_C(4)

/* For tapio_bytes_init and _create. The last three are as in pool.h. */
#define TAPIO_BYTES_CLEAN     UINT32_C(1) /* every put zeroes */
#define TAPIO_BYTES_SHARED    TAPIO_POOL_SHARED
#define TAPIO_BYTES_EXACT     TAPIO_POOL_EXACT
#define TAPIO_BYTES_UNCHECKED TAPIO_POOL_UNCHECKED

#define TAPIO_BYTES_HEAP_DEFAULT 256
#define TAPIO_BYTES_HEAP_LIMIT   65536

struct tapio_bytes_options {
	size_t size; /* sizeof(struct tapio_bytes_options) */
	/* Buffers of each class (0: none, the next larger class serves). */
	uint32_t count[TAPIO_BYTES_CLASSES];
	uint32_t flags; /* TAPIO_BYTES_CLEAN, _SHARED, _EXACT, _UNCHECKED */
	/* CPU ids and NUMA nodes to be ready for (0: this machine's). */
	uint32_t cpus;
	uint32_t nodes;
	/* The fields from here on are of the handle, so tapio_bytes_attach
	 * takes them, too. */
	uint32_t owner; /* as in struct tapio_pool_options */
	/* The most buffers of this handle from the heap at once (0: 256). */
	uint32_t heap_max;
};

/* Bytes that such pools take. 0: the options are not valid. */
TAPIO_API size_t tapio_bytes_bytes(const struct tapio_bytes_options *options);

/*
 * Makes them in memory of their own, which tapio_bytes_close frees. *out is
 * NULL on error. -EINVAL: options not valid (no class has a buffer, for
 * instance). -ENOMEM.
 */
TAPIO_API int tapio_bytes_create(struct tapio_bytes **out,
				 const struct tapio_bytes_options *options);

/*
 * Makes them in `bytes` bytes that the caller keeps, which MUST be aligned to
 * TAPIO_POOL_ALIGN. *out is NULL on error. Errors and duties as
 * tapio_pool_init.
 */
TAPIO_API int tapio_bytes_init(struct tapio_bytes **out, void *memory,
			       size_t bytes,
			       const struct tapio_bytes_options *options);

/*
 * Makes a handle on those that exist in this memory. options may be NULL. *out
 * is NULL on error. Errors and duties as tapio_pool_attach.
 */
TAPIO_API int tapio_bytes_attach(struct tapio_bytes **out, void *memory,
				 size_t bytes,
				 const struct tapio_bytes_options *options);

/*
 * Frees the handle, the memory if tapio_bytes_create made it, and the buffers
 * from the heap that were not put. Another thread MUST NOT be using this
 * handle. NULL is allowed.
 */
TAPIO_API void tapio_bytes_close(struct tapio_bytes *bytes);

/* The owner number of this handle. */
TAPIO_API uint32_t tapio_bytes_owner(const struct tapio_bytes *bytes);

/*
 * Takes a buffer of at least `length` bytes, aligned to 64. *buffer is NULL on
 * error.
 *
 *   errno     | cause                                 | remedy
 *   -EAGAIN   | no buffer left in the class (or the   | more buffers, or
 *             | larger ones, or heap_max is reached)  | TAPIO_BYTES_LARGER
 *   -EMSGSIZE | longer than tapio_bytes_limit         | TAPIO_BYTES_HEAP
 *   -EINVAL   | an unknown flag                       |
 *   -ENOMEM   | the heap has no memory                |
 */
TAPIO_API int tapio_bytes_get(struct tapio_bytes *bytes, size_t length,
			      uint32_t flags, void **buffer);

/*
 * Gives a buffer back. Its class follows from its address. -EALREADY: it is
 * free already. -EINVAL: it is not a buffer of these pools (one from the heap:
 * or not any more), or it belongs to another owner. Both change nothing.
 */
TAPIO_API int tapio_bytes_put(struct tapio_bytes *bytes, void *buffer);

/* The capacity of a buffer in bytes. -EINVAL: it is not a buffer of these. */
TAPIO_API int64_t tapio_bytes_capacity(const struct tapio_bytes *bytes,
				       const void *buffer);

/* The capacity of the largest class. */
TAPIO_API size_t tapio_bytes_limit(const struct tapio_bytes *bytes);

/* As tapio_pool_give and _adopt. -EINVAL also for buffers from the heap. */
TAPIO_API int tapio_bytes_give(struct tapio_bytes *bytes, void *buffer,
			       uint32_t to);
TAPIO_API int tapio_bytes_adopt(struct tapio_bytes *bytes, void *buffer,
				uint32_t from);

/*
 * The offset of a buffer, which is the same in every process and so can be
 * passed to others. -EINVAL: it is not a buffer of these, or is from the heap.
 * And the buffer that begins at an offset, or NULL.
 */
TAPIO_API int64_t tapio_bytes_offset(const struct tapio_bytes *bytes,
				     const void *buffer);
TAPIO_API void *tapio_bytes_at(const struct tapio_bytes *bytes,
			       uint64_t offset);

/* As tapio_pool_reclaim, for all classes. */
TAPIO_API int64_t tapio_bytes_reclaim(struct tapio_bytes *bytes,
				      uint32_t owner);

/* Sums over all classes. */
struct tapio_bytes_stats {
	size_t size;         /* set by the caller */
	uint64_t free_bytes; /* capacity of the free buffers */
	uint64_t used_bytes; /* capacity of the others */
	/* Of this handle. */
	uint64_t too_large; /* gets refused with -EMSGSIZE */
	uint32_t heap;      /* buffers from the heap now */
	uint32_t heap_max;
};

/* Fills in the fields that fit in stats->size. -EINVAL: it is less than 16. */
TAPIO_API int tapio_bytes_stats_read(const struct tapio_bytes *bytes,
				     struct tapio_bytes_stats *stats);

/* The counts of one class. -EINVAL also: no such class, or it has no buffers. */
TAPIO_API int tapio_bytes_class_stats_read(const struct tapio_bytes *bytes,
					   uint32_t index,
					   struct tapio_pool_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
