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
 * What an object contains. By default every put zeroes the whole object and then
 * calls `reset`, so that a get gives an object that is all zero but for what
 * `reset` set: nothing of a previous owner is left. TAPIO_POOL_ZERO_ON_GET zeroes
 * when an object is got instead, what `reset` set included. TAPIO_POOL_DIRTY zeroes nothing: an object is
 * then as its last owner, `reset` and `init` left it, and what lies in it may be
 * another process's. (That is what keeps something that `init` made for good.)
 *
 * Owners. Each handle has a name, its owner number; an object that was got
 * belongs to that name until it is put, given away or reclaimed. When a process
 * died, tapio_pool_reclaim(pool, its name) brings back what it had, wherever it
 * was killed. It delays nobody until then.
 *
 * Threads. Except closing, every call may be made by any number of threads with
 * one handle; get, put, give and adopt by signal handlers too, as far as the
 * callbacks and the zeroing allow that. Nothing is locked, allocated or kept per
 * thread, and the kernel is not entered.
 *
 * Results. 0 or -errno. Every call may also return -EBADMSG: what the memory
 * holds is not a pool (any more).
 *
 * fork. A handle works in the child, but under its parent's name, which nobody
 * can then reclaim while one of them lives: attach anew in the child.
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
/* What the memory of a pool must be aligned to, in bytes, or to `align`. */
#define TAPIO_POOL_ALIGN 128

/* Flags: given to tapio_pool_init or _create, the same for all who attach. */
#define TAPIO_POOL_DIRTY       UINT32_C(1) /* nothing is zeroed */
#define TAPIO_POOL_ZERO_ON_GET UINT32_C(2) /* zeroed when got, not when put */
/* No lists per CPU: any free object can be got anywhere, so -EAGAIN is exact. */
#define TAPIO_POOL_SHARED UINT32_C(4)
/*
 * For programs that never put an object twice: spares a put one compare-and-swap.
 * A double put is then still refused when the two come one after the other, but
 * not always when two threads make it at the same instant on two CPUs: both may
 * succeed, and the object may get two owners.
 */
#define TAPIO_POOL_LAX UINT32_C(8)

/* Called with an object and options.argument. Must not use the pool. */
typedef void (*tapio_pool_callback)(void *object, void *argument);

struct tapio_pool_options {
	size_t size; /* sizeof(struct tapio_pool_options) */
	uint32_t object_bytes;
	uint32_t count; /* objects, all made at once */
	/* Of each object, a power of two; 0: 64 for 64 bytes and more, else 16. */
	uint32_t align;
	uint32_t flags; /* TAPIO_POOL_* */
	/* Free objects that a CPU may keep, at most. 0: a quarter of the objects
	 * divided by the CPUs, 64 at most. These are not seen by other CPUs. */
	uint32_t cache;
	/* CPU ids and NUMA nodes to be ready for; 0: this machine's. */
	uint32_t cpus;
	uint32_t nodes;
	/*
	 * From here on also for tapio_pool_attach; they are of the handle.
	 *
	 * The name of this handle's objects: any number but 0 that nobody ever had
	 * in this pool, such as an attachment's. 0: the pool gives one; do not
	 * mix the two in a pool.
	 */
	uint32_t owner;
	/* When an object is made: in tapio_pool_init, once for each. */
	tapio_pool_callback init;
	/*
	 * When an object is given back, after the zeroing: by tapio_pool_put, or
	 * by tapio_pool_reclaim of another process. It is called again for an
	 * object whose put was cut short by a kill.
	 */
	tapio_pool_callback reset;
	void *argument;
};

/*
 * How many bytes of memory a pool takes; 0: the options are not valid. About
 * 5.3 KiB, 8 bytes per object beside the objects, and up to 384 bytes per CPU.
 */
TAPIO_API size_t tapio_pool_bytes(const struct tapio_pool_options *options);

/*
 * A pool in memory of its own, freed by tapio_pool_close. *out is NULL on error.
 * -EINVAL options not valid; -ENOMEM.
 */
TAPIO_API int tapio_pool_create(struct tapio_pool **out,
				const struct tapio_pool_options *options);

/*
 * Makes a pool, all its objects free, out of `bytes` bytes that the caller
 * keeps: whatever was there is gone, so nobody else may be using it. Processes
 * may share it, each at another address. *out is NULL on error.
 *
 * -EINVAL options not valid, memory not aligned or less than tapio_pool_bytes;
 * -ENOMEM.
 */
TAPIO_API int tapio_pool_init(struct tapio_pool **out, void *memory,
			      size_t bytes,
			      const struct tapio_pool_options *options);

/*
 * A handle on a pool that somebody made in this memory, which must stay mapped
 * as long as the handle is used. options may be NULL; only owner, reset and
 * argument count. *out is NULL on error.
 *
 * -EAGAIN it is not there (yet); -EBADMSG the memory holds something else, or a
 * pool that does not fit into it; -EPROTONOSUPPORT a pool of another version;
 * -EINVAL memory not aligned or too little; -ENOSPC the pool has given all
 * 2^32 - 1 names; -ENOMEM.
 */
TAPIO_API int tapio_pool_attach(struct tapio_pool **out, void *memory,
				size_t bytes,
				const struct tapio_pool_options *options);

/*
 * Frees the handle, and the pool if tapio_pool_create made it. No other thread
 * may be using this handle. Objects that were not put stay in its name. NULL is
 * allowed.
 */
TAPIO_API void tapio_pool_close(struct tapio_pool *pool);

/* The name of this handle's objects. */
TAPIO_API uint32_t tapio_pool_owner(const struct tapio_pool *pool);

/*
 * Takes a free object. -EAGAIN: there is none, *object is NULL. The lists of
 * other CPUs do not count, nor what somebody who was killed or stopped had in
 * hands on the way from list to list: up to `cache` objects for each.
 */
TAPIO_API int tapio_pool_get(struct tapio_pool *pool, void **object);

/*
 * Gives an object back, on whatever CPU.
 *
 * -EALREADY it is free already; -EINVAL it is no object of this pool, or belongs
 * to another name. Nothing is changed then.
 */
TAPIO_API int tapio_pool_put(struct tapio_pool *pool, void *object);

/*
 * Hands an object of ours over to the name `to`; from then on only a handle of
 * that name can put it. Or, by the receiver, takes over an object of `from`.
 * Either one will do: give before the object is passed on if the receiver is
 * known, adopt after if not. If the giver was reclaimed before, adopt fails.
 *
 * -EALREADY the object is free; -EINVAL it is no object of this pool, belongs to
 * another name, or the name is 0.
 */
TAPIO_API int tapio_pool_give(struct tapio_pool *pool, void *object,
			      uint32_t to);
TAPIO_API int tapio_pool_adopt(struct tapio_pool *pool, void *object,
			       uint32_t from);

/*
 * An object's number, the same for all who attached, to be passed to others; or
 * -EINVAL. And the object of a number, or NULL.
 */
TAPIO_API int64_t tapio_pool_index(const struct tapio_pool *pool,
				   const void *object);
TAPIO_API void *tapio_pool_object(const struct tapio_pool *pool,
				  uint64_t index);

TAPIO_API uint32_t tapio_pool_count(const struct tapio_pool *pool);
TAPIO_API uint32_t tapio_pool_object_bytes(const struct tapio_pool *pool);

/*
 * Frees the objects of the name `owner`, whose every process and thread is dead
 * or will never use its handles again. Resets them as a put does, with this
 * handle's callback. Returns how many. May be called again, and by several at
 * once; whoever is killed in the middle of it is reclaimed like any other.
 * Also finds what anybody who was killed since had just taken off a list, not
 * yet in his own name, without harm to who is alive.
 *
 * -EINVAL owner is 0 or our own.
 */
TAPIO_API int64_t tapio_pool_reclaim(struct tapio_pool *pool, uint32_t owner);

/*
 * Counts of the whole pool, by all processes, since it was made. Read while
 * others work, they are as of slightly different moments.
 */
struct tapio_pool_stats {
	size_t size;           /* set by the caller */
	uint32_t allocated;    /* objects made */
	uint32_t free;         /* of these, in lists and depots */
	uint32_t in_use;       /* the others: owned, or between two lists */
	uint32_t min_free;     /* fewest free ones, seen when depots ran low */
	uint32_t cached;       /* of the free ones, in the lists of CPUs */
	uint32_t cache;        /* room of one CPU's list; 0: none */
	uint64_t refills;      /* a CPU's list was empty */
	uint64_t spills;       /* a CPU's list was full */
	uint64_t exhausted;    /* gets refused: no object */
	uint64_t double_puts;  /* puts refused: free already */
	uint64_t foreign_puts; /* puts refused: not of the pool, not theirs */
	uint64_t
		stale_entries; /* second entries found, of a racing double put */
	uint64_t restarts;     /* calls that were preempted in a section */
	uint64_t reclaimed;    /* objects of the dead brought back */
};

/* Fills in what fits in stats->size. -EINVAL: it is less than 16. */
TAPIO_API int tapio_pool_stats_read(const struct tapio_pool *pool,
				    struct tapio_pool_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
