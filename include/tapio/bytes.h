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
 * A buffer contains whatever its last owner left in it, unless zeroing is asked
 * for: of one get by TAPIO_BYTES_ZERO, of every put by TAPIO_BYTES_CLEAN, which
 * is the choice for processes that must not see one another's data.
 *
 * Owners, threads, signal handlers and fork: as in pool.h. The exceptions are
 * buffers from the heap (TAPIO_BYTES_HEAP): they are of this process alone, and
 * signal handlers cannot get or put them.
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
/* What is larger than the largest class comes from this process's heap. */
#define TAPIO_BYTES_HEAP UINT32_C(4)

/* For tapio_bytes_init and _create; LAX and SHARED as in pool.h. */
#define TAPIO_BYTES_CLEAN  UINT32_C(1) /* every put zeroes */
#define TAPIO_BYTES_SHARED TAPIO_POOL_SHARED
#define TAPIO_BYTES_LAX    TAPIO_POOL_LAX

#define TAPIO_BYTES_HEAP_DEFAULT 256
#define TAPIO_BYTES_HEAP_LIMIT   65536

struct tapio_bytes_options {
	size_t size; /* sizeof(struct tapio_bytes_options) */
	/* Buffers of each class; 0: none, and the next larger class serves. */
	uint32_t count[TAPIO_BYTES_CLASSES];
	uint32_t flags; /* TAPIO_BYTES_CLEAN, _SHARED, _LAX */
	/* CPU ids and NUMA nodes to be ready for; 0: this machine's. */
	uint32_t cpus;
	uint32_t nodes;
	/* From here on also for tapio_bytes_attach. */
	uint32_t owner; /* as in struct tapio_pool_options */
	/* Buffers that this handle may have from the heap at once; 0: 256. */
	uint32_t heap_max;
};

/* How many bytes of memory they take; 0: the options are not valid. */
TAPIO_API size_t tapio_bytes_bytes(const struct tapio_bytes_options *options);

/*
 * In memory of its own, freed by tapio_bytes_close. *out is NULL on error.
 * -EINVAL options not valid (no buffer in any class, say); -ENOMEM.
 */
TAPIO_API int tapio_bytes_create(struct tapio_bytes **out,
				 const struct tapio_bytes_options *options);

/*
 * In `bytes` bytes that the caller keeps, aligned to TAPIO_POOL_ALIGN. *out is
 * NULL on error. Errors as tapio_pool_init.
 */
TAPIO_API int tapio_bytes_init(struct tapio_bytes **out, void *memory,
			       size_t bytes,
			       const struct tapio_bytes_options *options);

/*
 * A handle on what somebody made in this memory; options may be NULL. *out is
 * NULL on error. Errors as tapio_pool_attach.
 */
TAPIO_API int tapio_bytes_attach(struct tapio_bytes **out, void *memory,
				 size_t bytes,
				 const struct tapio_bytes_options *options);

/*
 * Frees the handle, the memory if tapio_bytes_create made it, and the buffers
 * from the heap that were not put. NULL is allowed.
 */
TAPIO_API void tapio_bytes_close(struct tapio_bytes *bytes);

TAPIO_API uint32_t tapio_bytes_owner(const struct tapio_bytes *bytes);

/*
 * Takes a buffer of at least `length` bytes, aligned to 64. *buffer is NULL on
 * error.
 *
 * -EAGAIN there is none left; -EMSGSIZE longer than tapio_bytes_limit, and
 * TAPIO_BYTES_HEAP not set; -EINVAL a flag is not known; -ENOMEM the heap gave
 * nothing.
 */
TAPIO_API int tapio_bytes_get(struct tapio_bytes *bytes, size_t length,
			      uint32_t flags, void **buffer);

/*
 * Gives a buffer back. Its class is found from its address.
 *
 * -EALREADY it is free already; -EINVAL it is no buffer of these (for one from
 * the heap: or not any more), or belongs to another name. Nothing is changed.
 */
TAPIO_API int tapio_bytes_put(struct tapio_bytes *bytes, void *buffer);

/* How many bytes a buffer has room for, or -EINVAL. */
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
 * Where a buffer lies, the same for all who attached, or -EINVAL; and the buffer
 * that lies there, or NULL if none begins there. Not for the heap's.
 */
TAPIO_API int64_t tapio_bytes_offset(const struct tapio_bytes *bytes,
				     const void *buffer);
TAPIO_API void *tapio_bytes_at(const struct tapio_bytes *bytes,
			       uint64_t offset);

/* As tapio_pool_reclaim, for all classes. */
TAPIO_API int64_t tapio_bytes_reclaim(struct tapio_bytes *bytes,
				      uint32_t owner);

struct tapio_bytes_stats {
	size_t size;         /* set by the caller */
	uint64_t free_bytes; /* capacity of the free buffers */
	uint64_t used_bytes; /* capacity of the others */
	/* Of this handle: */
	uint64_t too_large; /* gets refused with -EMSGSIZE */
	uint32_t heap;      /* buffers from the heap now */
	uint32_t heap_max;
};

/* Fills in what fits in stats->size. -EINVAL: it is less than 16. */
TAPIO_API int tapio_bytes_stats_read(const struct tapio_bytes *bytes,
				     struct tapio_bytes_stats *stats);

/* Those of one class. -EINVAL also: there is no such class, or it is empty. */
TAPIO_API int tapio_bytes_class_stats_read(const struct tapio_bytes *bytes,
					   uint32_t index,
					   struct tapio_pool_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
