/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of fixed-size objects, with a list of free ones for each CPU, for the
 * threads of one process or for processes that share a piece of memory.
 *
 *	struct tapio_pool_options options = {
 *		.size = sizeof(options),
 *		.object_bytes = sizeof(struct thing),
 *		.count = 1024,
 *	};
 *	struct tapio_pool *pool;
 *	void *thing;
 *
 *	tapio_pool_create(&pool, &options);
 *	tapio_pool_get(pool, &thing);
 *	tapio_pool_put(pool, thing);
 *	tapio_pool_close(pool);
 *
 * Contents. By default every put zeroes the whole object and then calls
 * `reset`. So a get gives an object that is zero except where `reset` has set
 * it, and nothing of a previous owner is left. TAPIO_POOL_ZERO_ON_GET zeroes
 * an object when it is got instead, together with what `reset` has set.
 * TAPIO_POOL_DIRTY zeroes nothing: the object is as its last owner, `reset`
 * and `init` left it, perhaps with another process's data. It is the way to
 * keep something that `init` makes once.
 *
 * Owners. Each handle has an owner number. An object that was got belongs to
 * that number until it is put, given away or reclaimed. When a process has
 * died, tapio_pool_reclaim(pool, its number) brings back its objects, wherever
 * it was killed. Until then it delays no other process.
 *
 * Threads. Any number of threads MAY make every call at once with one handle,
 * except tapio_pool_close. Signal handlers MAY get, put, give and adopt, as
 * far as the callbacks and the time for zeroing allow that. The pool locks
 * nothing, allocates nothing, keeps nothing per thread and does not enter the
 * kernel.
 *
 * Results. 0 or -errno. Every call MAY return -EBADMSG: the memory does not
 * hold a pool (any more). The remedy is a new pool.
 *
 * fork. A handle works in the child, but under its parent's number. That
 * number MUST NOT be reclaimed while one of the two lives. So a child SHOULD
 * attach anew.
 */
#ifndef TAPIO_POOL_H
#define TAPIO_POOL_H

#include <tapio/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapio_pool;

#define TAPIO_POOL_COUNT_MAX  (UINT32_C(1) << 24)
#define TAPIO_POOL_OBJECT_MAX (UINT32_C(1) << 20) /* bytes */
#define TAPIO_POOL_ALIGN_MAX  4096
#define TAPIO_POOL_CACHE_MAX  1024
/* The memory of a pool MUST be aligned to so many bytes, and to `align`. */
#define TAPIO_POOL_ALIGN 128

/* Flags, for tapio_pool_init and _create. They hold for every handle. */
#define TAPIO_POOL_DIRTY       UINT32_C(1) /* nothing is zeroed */
#define TAPIO_POOL_ZERO_ON_GET UINT32_C(2) /* zeroed when got, not when put */
/* No lists per CPU: a free object can be got on every CPU, so -EAGAIN is exact. */
#define TAPIO_POOL_SHARED UINT32_C(4)
/*
 * How a put looks for mistakes: one of three ways.
 *
 *   none of the two      | A put looks at the object's state, and then stores another
 *                        | one. It refuses a foreign object, and an object that is
 *                        | free already. But of two puts that overlap in time both MAY
 *                        | succeed, and then the object may get two owners.
 *   TAPIO_POOL_EXACT     | A put swaps the state: of two, at any moment, one is
 *                        | refused. It costs an atomic instruction for each put.
 *   TAPIO_POOL_UNCHECKED | A put looks at nothing but the address. An object MUST be
 *                        | the caller's, and MUST be put once. A put on another CPU
 *                        | waits for no line of the one that got the object.
 */
#define TAPIO_POOL_EXACT     UINT32_C(8)
#define TAPIO_POOL_UNCHECKED UINT32_C(16)

/* Called with an object and options.argument. It MUST NOT use the pool. */
typedef void (*tapio_pool_callback)(void *object, void *argument);

struct tapio_pool_options {
	size_t size; /* sizeof(struct tapio_pool_options) */
	uint32_t object_bytes;
	uint32_t count; /* objects, all made at once */
	/* Of each object, a power of two (0: 64 from 64 bytes on, else 16). */
	uint32_t align;
	uint32_t flags; /* TAPIO_POOL_* */
	/* The most free objects that a CPU keeps, unseen by other CPUs. 0: a
	 * quarter of the objects divided by the CPUs, 64 at most. */
	uint32_t cache;
	/* CPU ids and NUMA nodes to be ready for (0: this machine's). */
	uint32_t cpus;
	uint32_t nodes;
	/*
	 * The fields from here on are of the handle, so tapio_pool_attach takes
	 * them, too.
	 *
	 * The owner number: not 0, and never used before in this pool, such as
	 * an attachment's id. 0: the pool gives one. The two ways MUST NOT be
	 * mixed in one pool.
	 */
	uint32_t owner;
	/* Called for each object when it is made, in tapio_pool_init. */
	tapio_pool_callback init;
	/*
	 * Called for an object that is given back, after the zeroing: by
	 * tapio_pool_put, or by tapio_pool_reclaim of another process. When a
	 * kill cut a put short, it is called again for the same object.
	 */
	tapio_pool_callback reset;
	void *argument;
};

/*
 * Bytes that a pool takes: about 5.3 KiB, the objects and 8 bytes for each,
 * and up to 384 bytes per CPU. 0: the options are not valid.
 */
TAPIO_API size_t tapio_pool_bytes(const struct tapio_pool_options *options);

/*
 * Makes a pool in memory of its own, which tapio_pool_close frees. *out is
 * NULL on error. -EINVAL: options not valid. -ENOMEM.
 */
TAPIO_API int tapio_pool_create(struct tapio_pool **out,
				const struct tapio_pool_options *options);

/*
 * Makes a pool, with all objects free, out of `bytes` bytes that the caller
 * keeps. Their contents are gone, so other threads and processes MUST NOT be
 * using them. Processes MAY share them, each mapped at another address. The
 * memory MUST stay mapped as long as the handle is used. *out is NULL on
 * error.
 *
 *   errno   | cause                                     | remedy
 *   -EINVAL | options not valid, memory not aligned, or | TAPIO_POOL_ALIGN,
 *           | too few bytes                             | tapio_pool_bytes
 *   -ENOMEM | no memory for the handle                  |
 */
TAPIO_API int tapio_pool_init(struct tapio_pool **out, void *memory,
			      size_t bytes,
			      const struct tapio_pool_options *options);

/*
 * Makes a handle on a pool that exists in this memory, which MUST stay mapped
 * as long as the handle is used. options may be NULL. Only owner, reset and
 * argument count. *out is NULL on error.
 *
 *   errno            | cause                                  | remedy
 *   -EAGAIN          | no pool yet                            | try again
 *   -EBADMSG         | other contents, or a pool that is      | the right memory
 *                    | larger than `bytes`                    |
 *   -EPROTONOSUPPORT | a pool of another version              | one version for all
 *   -EINVAL          | memory not aligned, or too few bytes   | TAPIO_POOL_ALIGN
 *   -ENOSPC          | all 2^32 - 1 owner numbers were given  | a new pool
 *   -ENOMEM          | no memory for the handle               |
 */
TAPIO_API int tapio_pool_attach(struct tapio_pool **out, void *memory,
				size_t bytes,
				const struct tapio_pool_options *options);

/*
 * Frees the handle, and the pool if tapio_pool_create made it. Another thread
 * MUST NOT be using this handle. Objects that were not put keep its owner
 * number, so they can be reclaimed. NULL is allowed.
 */
TAPIO_API void tapio_pool_close(struct tapio_pool *pool);

/* The owner number of this handle. */
TAPIO_API uint32_t tapio_pool_owner(const struct tapio_pool *pool);

/*
 * Takes a free object. -EAGAIN: there is none, and *object is NULL. Objects in
 * the lists of other CPUs do not count, and neither do those that a killed or
 * stopped process was moving from list to list: up to `cache` for each.
 */
TAPIO_API int tapio_pool_get(struct tapio_pool *pool, void **object);

/*
 * Gives an object back, on any CPU. -EALREADY: it is free already. -EINVAL: it
 * is not an object of this pool, or it belongs to another owner. Both change
 * nothing, and are counted (double_puts, foreign_puts). How surely they are
 * noticed is chosen when the pool is made (TAPIO_POOL_EXACT, _UNCHECKED).
 */
TAPIO_API int tapio_pool_put(struct tapio_pool *pool, void *object);

/*
 * Takes up to `count` free objects, for much less than as many gets. Returns how
 * many, which may be fewer when the pool runs out. objects[] beyond them is as it
 * was. Counts above INT_MAX are cut to it. -EAGAIN: there is none, as above.
 */
TAPIO_API int tapio_pool_get_batch(struct tapio_pool *pool, void **objects,
				   size_t count);

/*
 * Gives objects back in this order, as as many puts would, for much less. The
 * first one that is refused ends the call. Returns how many were put before it,
 * so objects[that many] is the one. If it is the first of all, its error. An
 * object that is twice in a batch is refused the second time, but by
 * TAPIO_POOL_UNCHECKED. Counts above INT_MAX are cut to it.
 *
 * Each object is given back by itself: after a kill in the middle of it, some are
 * free and the others have the owner number of the dead process.
 */
TAPIO_API int tapio_pool_put_batch(struct tapio_pool *pool,
				   void *const *objects, size_t count);

/*
 * Give hands an object of ours to the owner `to`. From then on only a handle
 * of that owner can put it. Adopt is the same, made by the receiver, for an
 * object of `from`. One of the two is enough: give before the object is passed
 * on, when the receiver is known, else adopt afterwards. Adopt fails when the
 * giver was reclaimed before.
 *
 * -EALREADY: the object is free. -EINVAL: it is not an object of this pool, it
 * belongs to another owner, or the number is 0.
 */
TAPIO_API int tapio_pool_give(struct tapio_pool *pool, void *object,
			      uint32_t to);
TAPIO_API int tapio_pool_adopt(struct tapio_pool *pool, void *object,
			       uint32_t from);

/*
 * The index of an object, which is the same in every process and so can be
 * passed to others. -EINVAL: it is not an object of this pool. And the object
 * of an index, or NULL.
 */
TAPIO_API int64_t tapio_pool_index(const struct tapio_pool *pool,
				   const void *object);
TAPIO_API void *tapio_pool_object(const struct tapio_pool *pool,
				  uint64_t index);

TAPIO_API uint32_t tapio_pool_count(const struct tapio_pool *pool);
TAPIO_API uint32_t tapio_pool_object_bytes(const struct tapio_pool *pool);

/*
 * Frees the objects of `owner`. Every process and thread with that number MUST
 * be dead, or MUST NOT use its handles any more. Resets the objects as a put
 * does, with this handle's callback. Returns how many.
 *
 * The call MAY be made again, and by several processes at once. A process that
 * is killed in the middle of it is reclaimed as any other. It also finds
 * objects that a dead process had just taken off a list and not yet marked
 * with its number, without harm to the processes that live.
 *
 * -EINVAL: owner is 0, or our own.
 */
TAPIO_API int64_t tapio_pool_reclaim(struct tapio_pool *pool, uint32_t owner);

/*
 * Counts of the whole pool, by all processes, since it was made. While other
 * threads work, each is of a slightly different moment.
 */
struct tapio_pool_stats {
	size_t size;           /* set by the caller */
	uint32_t allocated;    /* objects made */
	uint32_t free;         /* of these, in lists and depots */
	uint32_t in_use;       /* the others: owned, or between two lists */
	uint32_t min_free;     /* fewest free ones, seen when depots ran low */
	uint32_t cached;       /* of the free ones, in the lists of CPUs */
	uint32_t cache;        /* room of one CPU's list (0: no lists) */
	uint64_t refills;      /* a CPU's list was empty */
	uint64_t spills;       /* a CPU's list was full */
	uint64_t exhausted;    /* gets refused or cut short: no object */
	uint64_t double_puts;  /* puts refused: free already */
	uint64_t foreign_puts; /* puts refused: not of the pool, or another's */
	uint64_t
		stale_entries; /* second entries found, of a racing double put */
	uint64_t restarts;     /* calls that were preempted in a section */
	uint64_t reclaimed;    /* objects brought back from dead owners */
};

/* Fills in the fields that fit in stats->size. -EINVAL: it is less than 16. */
TAPIO_API int tapio_pool_stats_read(const struct tapio_pool *pool,
				    struct tapio_pool_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
