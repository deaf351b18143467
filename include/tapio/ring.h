/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of 64-bit values for any number of producers and consumers,
 * in threads of one process or in processes that share a piece of memory.
 *
 *	struct tapio_ring *ring;
 *	uint64_t value;
 *
 *	tapio_ring_create(&ring, 1024);
 *	tapio_ring_put(ring, 42, TAPIO_FOREVER);
 *	tapio_ring_get(ring, &value, 1000000);
 *	tapio_ring_close(ring);
 *
 * First in, first out. A process that is killed or stopped anywhere inside a
 * call delays no other: its value was put (got) or it was not, and the others
 * go on at once. "Full" and "empty" are exact: there was an instant during the
 * call at which the ring held `capacity` values, or none.
 *
 * Threads. Any number of threads MAY make every call at once, with one handle
 * or several, except tapio_ring_close. Signal handlers MAY make those that do
 * not wait (time-out 0). The ring locks nothing, allocates nothing and keeps
 * nothing per thread. It enters the kernel to sleep, and to wake a thread that
 * sleeps.
 *
 * Results. 0, or how many values were moved, or -errno. Full and empty are
 * -EAGAIN. Every call MAY return -EBADMSG: the memory does not hold a ring
 * (any more), and no value was moved. The remedy is a new ring.
 *
 * Trust. Every process that maps a ring writable can spoil its values. A call
 * stays inside the ring's memory whatever it finds there.
 *
 * fork. A handle works in the child as it did in the parent. A ring in shared
 * memory is shared then, and one in private memory (tapio_ring_create) is a
 * copy.
 */
#ifndef TAPIO_RING_H
#define TAPIO_RING_H

#include <tapio/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapio_ring;

/* Capacities are powers of two, from 1 to this. */
#define TAPIO_RING_CAPACITY_MAX (UINT32_C(1) << 30)
/* The memory of a ring MUST be aligned to so many bytes. */
#define TAPIO_RING_ALIGN 64

/*
 * Bytes that a ring takes on this machine: about 1.5 KiB, and 16 to 50 per value: the
 * more, the more of its CPUs get a log for batches. 0: not a capacity.
 */
TAPIO_API size_t tapio_ring_bytes(uint32_t capacity);

/*
 * Makes a ring in memory of its own, which tapio_ring_close frees. *out is
 * NULL on error. -EINVAL: capacity is not a power of two, or too large.
 * -ENOMEM.
 */
TAPIO_API int tapio_ring_create(struct tapio_ring **out, uint32_t capacity);

/*
 * Makes an empty ring out of `bytes` bytes that the caller keeps. Their
 * contents are gone, so other threads and processes MUST NOT be using them.
 * Processes MAY share them, each mapped at another address. The memory MUST
 * stay mapped as long as the handle is used. *out is NULL on error.
 *
 *   errno   | cause                                     | remedy
 *   -EINVAL | capacity as above, memory not aligned, or | TAPIO_RING_ALIGN,
 *           | too few bytes                             | tapio_ring_bytes
 *   -ENOMEM | no memory for the handle                  |
 */
TAPIO_API int tapio_ring_init(struct tapio_ring **out, void *memory,
			      size_t bytes, uint32_t capacity);

/*
 * Makes a handle on a ring that exists in this memory, which MUST stay mapped
 * as long as the handle is used. A read-only mapping is enough for
 * tapio_ring_size, tapio_ring_capacity, tapio_ring_high_water and
 * tapio_ring_stats_read. *out is NULL on error.
 *
 *   errno            | cause                                  | remedy
 *   -EAGAIN          | no ring yet: the memory is zero, or a  | try again
 *                    | ring is being made in it               |
 *   -EBADMSG         | other contents, or a ring that is      | the right memory
 *                    | larger than `bytes`                    |
 *   -EPROTONOSUPPORT | a ring of another version              | one version for all
 *   -EINVAL          | memory not aligned, or less than any   | TAPIO_RING_ALIGN
 *                    | ring                                   |
 *   -ENOMEM          | no memory for the handle               |
 */
TAPIO_API int tapio_ring_attach(struct tapio_ring **out, void *memory,
				size_t bytes);

/*
 * Frees the handle, and the ring if tapio_ring_create made it. Another thread
 * MUST NOT be using this handle. NULL is allowed.
 */
TAPIO_API void tapio_ring_close(struct tapio_ring *ring);

/* Puts one value. -EAGAIN: the ring was full. Signal handlers MAY call it. */
TAPIO_API int tapio_ring_try_put(struct tapio_ring *ring, uint64_t value);

/*
 * Takes the oldest value. -EAGAIN: the ring was empty, *value is 0. Signal
 * handlers MAY call it.
 */
TAPIO_API int tapio_ring_try_get(struct tapio_ring *ring, uint64_t *value);

/*
 * The same, but they wait for room or for a value: `timeout_ns` nanoseconds at
 * most (0 not at all, TAPIO_FOREVER without end). A signal does not end the
 * wait. The call that makes room, or puts a value, wakes a sleeper. When that
 * process, or another that was woken instead, is killed in between, the sleep
 * ends by itself within 0.1 s.
 *
 * -EAGAIN: timeout_ns is 0, and the ring was full or empty. -ETIMEDOUT: it
 * stayed so. *value is 0 then.
 */
TAPIO_API int tapio_ring_put(struct tapio_ring *ring, uint64_t value,
			     int64_t timeout_ns);
TAPIO_API int tapio_ring_get(struct tapio_ring *ring, uint64_t *value,
			     int64_t timeout_ns);

/*
 * Puts `count` values in this order, and waits for room as above until all are
 * put or the time is over. Returns how many were put, from the first on. Values
 * are put one by one, or 4 to 64 at once: values of other producers MAY come
 * between any two, and after a kill some are put and the others are not.
 * Counts above INT_MAX are cut to it. -EAGAIN or -ETIMEDOUT: none was put.
 */
TAPIO_API int tapio_ring_put_batch(struct tapio_ring *ring,
				   const uint64_t *values, size_t count,
				   int64_t timeout_ns);

/*
 * Takes up to `count` values, oldest first, as many as there are. Waits as
 * above, but only while there is none. Returns how many. -EAGAIN or
 * -ETIMEDOUT: none.
 */
TAPIO_API int tapio_ring_get_batch(struct tapio_ring *ring, uint64_t *values,
				   size_t count, int64_t timeout_ns);

/*
 * Takes the values that are in the ring now, and calls `each` (unless NULL)
 * with every one. Values that are put meanwhile MAY stay. Returns how many
 * were taken.
 */
TAPIO_API int64_t tapio_ring_drain(struct tapio_ring *ring,
				   void (*each)(uint64_t value, void *argument),
				   void *argument);

/* How many values there are. Exact while no call puts or gets. */
TAPIO_API uint32_t tapio_ring_size(const struct tapio_ring *ring);

TAPIO_API uint32_t tapio_ring_capacity(const struct tapio_ring *ring);

/*
 * The most values that were in the ring at once. Never more than there really
 * were. A short peak MAY be missed: consumers took it while a producer noted
 * it.
 */
TAPIO_API uint32_t tapio_ring_high_water(const struct tapio_ring *ring);

/*
 * Counts of the whole ring, by all processes, since it was made. `puts` and
 * `gets` come from the cells themselves, so they are exact after any kill. The
 * rest is exact unless a process was killed inside a call.
 */
struct tapio_ring_stats {
	size_t size;              /* set by the caller */
	uint64_t puts;            /* values put */
	uint64_t gets;            /* values got */
	uint64_t refused_full;    /* calls that found no room, not waiting */
	uint64_t refused_empty;   /* calls that found no value, not waiting */
	uint64_t timed_out_full;  /* calls that waited for room in vain */
	uint64_t timed_out_empty; /* calls that waited for a value in vain */
	uint64_t put_retries;     /* a put found that another was quicker */
	uint64_t get_retries;     /* a get found that another was quicker */
	uint64_t sleeps;          /* times that a call slept in the kernel */
	uint64_t wakes;           /* times that a call entered it to wake */
	uint32_t count;           /* values now */
	uint32_t high_water;
	uint32_t capacity;
	uint32_t reserved;
};

/* Fills in the fields that fit in stats->size. -EINVAL: it is less than 16. */
TAPIO_API int tapio_ring_stats_read(const struct tapio_ring *ring,
				    struct tapio_ring_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
