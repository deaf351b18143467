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
 * call delays nobody: its value was put (got) or it was not, and the others go
 * on at once. "Full" and "empty" are exact: there was an instant during the call
 * at which the ring held `capacity` values, or none.
 *
 * Threads. Except tapio_ring_close, every call may be made by any number of
 * threads, with one handle or several, and those that do not wait (time-out 0)
 * by signal handlers too. Nothing is locked, allocated or kept per thread; the
 * kernel is entered to sleep, or when somebody sleeps.
 *
 * Results. 0, or how many values were moved, or -errno. Full and empty are
 * results: -EAGAIN. Every call may also return -EBADMSG: what the memory holds
 * is not a ring (any more); nothing was moved.
 *
 * fork. A handle works in the child as it did in the parent. A ring in shared
 * memory is then shared; one in private memory (tapio_ring_create) is a copy.
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
/* What the memory of a ring must be aligned to, in bytes. */
#define TAPIO_RING_ALIGN 64

/* How many bytes a ring takes: about 1.5 KiB and 16 per value; 0: no capacity. */
TAPIO_API size_t tapio_ring_bytes(uint32_t capacity);

/*
 * A ring in memory of its own, freed by tapio_ring_close. *out is NULL on error.
 *
 * -EINVAL capacity is no power of two or too large; -ENOMEM.
 */
TAPIO_API int tapio_ring_create(struct tapio_ring **out, uint32_t capacity);

/*
 * Makes a ring, empty, out of `bytes` bytes that the caller keeps: whatever was
 * there is gone, so nobody else may be using it. They may be shared between
 * processes, each of which may map them at another address. *out is NULL on
 * error.
 *
 * -EINVAL capacity as above, memory not aligned or less than tapio_ring_bytes;
 * -ENOMEM.
 */
TAPIO_API int tapio_ring_init(struct tapio_ring **out, void *memory,
			      size_t bytes, uint32_t capacity);

/*
 * A handle on a ring that somebody made in this memory, which must stay mapped
 * as long as the handle is used. A mapping that can only be read will do for
 * tapio_ring_size, _capacity, _high_water and _stats. *out is NULL on error.
 *
 * -EAGAIN it is not there (yet): the memory is all zero, or being made into a
 * ring; -EBADMSG the memory holds something else, or a ring that does not fit
 * into it; -EPROTONOSUPPORT a ring of another version; -EINVAL memory not
 * aligned or less than any ring; -ENOMEM.
 */
TAPIO_API int tapio_ring_attach(struct tapio_ring **out, void *memory,
				size_t bytes);

/*
 * Frees the handle, and the ring if tapio_ring_create made it. No other thread
 * may be using this handle. NULL is allowed.
 */
TAPIO_API void tapio_ring_close(struct tapio_ring *ring);

/* Puts one value. -EAGAIN: the ring was full. */
TAPIO_API int tapio_ring_try_put(struct tapio_ring *ring, uint64_t value);

/* Takes the oldest value. -EAGAIN: the ring was empty, *value is 0. */
TAPIO_API int tapio_ring_try_get(struct tapio_ring *ring, uint64_t *value);

/*
 * The same, but wait for room or for a value: `timeout_ns` nanoseconds at most
 * (0 not at all, TAPIO_FOREVER without end). A signal does not end the wait.
 * Whoever waits is woken by the call that makes room or puts a value; if that
 * process, or another that was woken instead, is killed in between, the sleep
 * ends by itself within 0.1 s.
 *
 * -EAGAIN with timeout_ns 0; -ETIMEDOUT it stayed full, or empty, *value is 0.
 */
TAPIO_API int tapio_ring_put(struct tapio_ring *ring, uint64_t value,
			     int64_t timeout_ns);
TAPIO_API int tapio_ring_get(struct tapio_ring *ring, uint64_t *value,
			     int64_t timeout_ns);

/*
 * Puts `count` values in this order, waiting for room as above until all are
 * put or the time is over. Returns how many were put, from the first; -EAGAIN or
 * -ETIMEDOUT when none was. Each is put by itself: values of other producers
 * may come between, and a kill leaves those put that were put.
 * Counts above INT_MAX are cut to it.
 */
TAPIO_API int tapio_ring_put_batch(struct tapio_ring *ring,
				   const uint64_t *values, size_t count,
				   int64_t timeout_ns);

/*
 * Takes up to `count` values, oldest first, as many as there are; waits as above
 * only while there is none. Returns how many; -EAGAIN or -ETIMEDOUT when none.
 */
TAPIO_API int tapio_ring_get_batch(struct tapio_ring *ring, uint64_t *values,
				   size_t count, int64_t timeout_ns);

/*
 * Takes what is in the ring now, and calls `each` (unless NULL) with every
 * value; what is put meanwhile may stay. Returns how many.
 */
TAPIO_API int64_t tapio_ring_drain(struct tapio_ring *ring,
				   void (*each)(uint64_t value, void *argument),
				   void *argument);

/* How many values there are: exact while nobody puts or gets. */
TAPIO_API uint32_t tapio_ring_size(const struct tapio_ring *ring);

TAPIO_API uint32_t tapio_ring_capacity(const struct tapio_ring *ring);

/*
 * The most values that were in the ring at once. Never more than there really
 * were; a peak that consumers ate while it was being noted may be missed.
 */
TAPIO_API uint32_t tapio_ring_high_water(const struct tapio_ring *ring);

/*
 * Counts of the whole ring, by all processes, since it was made. `puts` and
 * `gets` come from the slots themselves, so they are exact after any kill; the
 * rest is exact when nobody was killed inside a call.
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

/* Fills in what fits in stats->size. -EINVAL: it is less than 16. */
TAPIO_API int tapio_ring_stats_read(const struct tapio_ring *ring,
				    struct tapio_ring_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
