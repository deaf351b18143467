/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The producer's handle and its inlined parts.
 *
 *   producer.c  opening, closing, tapio_output: the fast path
 *   output.c    the slow path of output, large events, batches
 *   reserve.c   reserve, submit, discard; moving an event to another CPU's lane
 *   place.c     taking blocks and putting them back, wherever the thread runs
 *   side.c      lanes for threads that cannot use a CPU's
 *   room.c      refusing, or waiting for room, by the channel's policy
 *   explain.c   what a refusal means, in words
 *
 * The fast path reads the handle and writes nothing but the lane, so any thread
 * and any signal handler may be in it at any instruction.
 */
#ifndef TPI_PRODUCER_H
#define TPI_PRODUCER_H

#include <signal.h>
#include <stdbool.h>

#include <pthread.h>

#include <tapio/producer.h>

#include "client/client.h"
#include "lib/lane.h"
#include "lib/rseq.h"
#include "lib/wake.h"

/* Longer events are copied outside a section: an abort there costs the copy. */
#define TPI_COPY_BYTES 4096
/* So often a section may fail in a row before a side lane is used instead. */
#define TPI_TRIES 64
/* So often a large event follows its thread to another CPU's lane. */
#define TPI_MOVES 3
/* Blocks in one section. */
#define TPI_BATCH 64

/* One class, as a choice for an event. */
struct tpi_size {
	uint32_t fast_bytes; /* longest that one section copies */
	uint32_t bytes;      /* longest of all */
	uint32_t klass;
	uint32_t reserved;
	struct tpi_lane *const *row; /* [cpus], by CPU; NULL: no lane there */
};

/* What emitting reads. In a forked child all of it is zero. */
struct tpi_producer_hot {
	struct tpi_hot hot;
	uint32_t cpus; /* of each row; 0: side lanes only */
	uint32_t size_count;
	uint32_t class_count;
	uint32_t stamp; /* TAPIO_STAMP_* */
	uint32_t me;    /* name of the attachment */
	const uint64_t *active;
	struct tapio_shm_doorbell *bell;
	struct tpi_size sizes[TAPIO_CLASSES_MAX];   /* untagged, by size */
	struct tpi_size classes[TAPIO_CLASSES_MAX]; /* by index */
	const struct tpi_lane *lanes;
	uint32_t lane_count;
	struct tpi_gating gating;
	const uint32_t *armed[TAPIO_GROUP_SLOTS];
};

/* side.c */
struct tpi_sides {
	pthread_mutex_t mutex;
	const struct tpi_lane *lane[TAPIO_CLASSES_MAX]; /* NULL: not taken */
	uint32_t used; /* 1: a thread of this handle has needed one */
};

_Static_assert(sizeof(struct tpi_producer_hot) <= TPI_HOT_BYTES,
	       "what fork wipes holds all that emitting reads");

struct tapio_producer {
	union {
		struct tpi_producer_hot hot;
		unsigned char page[TPI_HOT_BYTES];
	};
	struct tpi_client client;
	struct tpi_sides sides;
	uint32_t max_bytes;
	uint32_t verdict;  /* TAPIO_RSEQ_* of this process */
	uint32_t claim_at; /* where the next look for abandoned blocks begins */
	bool fence;        /* no membarrier reaches us: fence each commit */
};

static inline uint32_t tpi_size_limit(const struct tpi_size *size, bool fast)
{
	return fast ? size->fast_bytes : size->bytes;
}

/*
 * The class for an event, or NULL when the slow path has to say why there is
 * none. `fast`: one that a single section copies.
 */
static inline const struct tpi_size *
tpi_size_of(const struct tpi_producer_hot *hot, uint32_t tag, uint32_t length,
	    bool fast)
{
	uint32_t i, klass = tag >> 24;
	const struct tpi_size *size = hot->sizes;

	if (tpi_unlikely(klass)) {
		if (klass > hot->class_count)
			return NULL;
		size = &hot->classes[klass - 1];
		return length <= tpi_size_limit(size, fast) ? size : NULL;
	}
	/* Most events fit the smallest class. In a forked child it is all zero,
	 * and there is no CPU for it. */
	if (tpi_likely(length <= tpi_size_limit(size, fast)))
		return size;
	for (i = 1; i < hot->size_count; i++)
		if (length <= tpi_size_limit(++size, fast))
			return size;
	return NULL;
}

/* The lane of the CPU that we are on, as far as one can tell; or NULL. */
static inline const struct tpi_lane *
tpi_lane_here(const struct tpi_producer_hot *hot, const struct tpi_size *size)
{
	uint32_t cpu = tpi_load_relaxed(&tpi_rseq_area()->cpu_id_start);

	/* Written by the kernel, but so is the area of a thread that libc did
	 * not make: bound it. */
	if (tpi_unlikely(cpu >= hot->cpus))
		return NULL;
	return size->row[cpu];
}

/* A tag is laid out so that one shift makes type and severity of it. */
static inline uint64_t tpi_meta(uint32_t tag, uint32_t length)
{
	return (uint64_t)(tag & 0xfffff) << 40 | (uint64_t)length << 20;
}
_Static_assert(TAPIO_DESC_META(0x1234, 5, 6) ==
		       ((uint64_t)(TAPIO_TAG(0x1234, 5) & 0xfffff) << 40 |
			6 << 20),
	       "tpi_meta() of a tag is its TAPIO_DESC_META()");

/* CLOCK_REALTIME in nanoseconds; producer.c. */
uint64_t tpi_clock_ns(void);

/* How the event is stamped; a clock is read now, before the section. */
static inline uint64_t tpi_stamp(const struct tpi_producer_hot *hot)
{
	return tpi_likely(hot->stamp != TAPIO_STAMP_CLOCK) ? TPI_STAMP_TSC
							   : tpi_clock_ns();
}

/*
 * Rings the channel's doorbell for the groups that wait, if one of them waits for
 * what was published on `lane` (NULL: it may be any); producer.c.
 */
void tpi_ring(const struct tpi_producer_hot *hot, const struct tpi_lane *lane);

/*
 * After each commit: does a consumer sleep? No fence: a consumer that announces
 * itself runs a membarrier (ORDER wake.barrier, in tpi_barrier()), so either it
 * sees our commit in its last look, or we see its announcement; the same goes for
 * `active`, after whose change the broker runs one. Relaxed loads: a stale `rung`
 * costs one ring too many.
 */
static inline void tpi_ring_if_armed(const struct tpi_producer_hot *hot,
				     const struct tpi_lane *lane)
{
	uint64_t active = tpi_load_relaxed(hot->active);
	int slot;

	for (; active; active &= active - 1) {
		slot = __builtin_ctzll(active);
		if (tpi_unlikely(tpi_wake_wanted(
			    tpi_load_relaxed(hot->armed[slot]),
			    tpi_load_relaxed(&hot->bell->rung[slot])))) {
			tpi_ring(hot, lane);
			return;
		}
	}
}

/* output.c */
int tpi_output_slow(struct tapio_producer *p, uint32_t tag, const void *data,
		    uint32_t length);
/* Why tpi_size_of found no class: -EINVAL or -EMSGSIZE, which is counted. */
int tpi_no_size(struct tapio_producer *p, uint32_t tag);
/* -ENOBUFS for `count` events, counted on the first lane. */
int tpi_no_lane(struct tapio_producer *p, uint32_t count);

/* room.c: one wait for room, from the first refusal on. Begin with zeros. */
struct tpi_room {
	int64_t until; /* 0: not begun */
	const uint32_t *word;
	uint32_t heard;
};
/*
 * `result` (TPI_FULL, TPI_HELD) is why a lane had no block for `count` events.
 * 0: try again. -EAGAIN, -ETIMEDOUT: refused, and counted.
 */
int tpi_room_wait(struct tapio_producer *p, const struct tpi_lane *lane,
		  int result, uint32_t count, struct tpi_room *room);
void tpi_count_drop(const struct tpi_lane *lane, unsigned int cause,
		    uint64_t count);

/* place.c */
/*
 * Takes up to `want` (<= TPI_BATCH) blocks of a class on one lane: this CPU's, or
 * the side lane. How many; 0 when there is none, with the lane that had none and
 * *result TPI_FULL or TPI_HELD; -ENOBUFS.
 */
int tpi_take(struct tapio_producer *p, const struct tpi_size *size,
	     uint32_t want, uint32_t *blocks, const struct tpi_lane **lane,
	     int *result);
/* Blocks that others abandoned there, as our reservations; how many. */
uint32_t tpi_claim(struct tapio_producer *p, const struct tpi_lane *lane,
		   uint32_t want, uint32_t *blocks);
/*
 * Publishes blocks that we hold, on their own lane. 0; TPI_MOVED: this thread is
 * not on that CPU; -EINVAL: they are not held.
 */
int tpi_put(struct tapio_producer *p, const struct tpi_lane *lane,
	    const uint64_t *descs, uint32_t count);
/*
 * Copies one event of at most fast_bytes (any length on a side lane) into the
 * lane of this CPU, or the side lane. 0, TPI_FULL, TPI_HELD, -ENOBUFS; `lane` is
 * the one that said so.
 */
int tpi_copy(struct tapio_producer *p, const struct tpi_size *size,
	     uint64_t meta, const void *data, uint32_t length,
	     const struct tpi_lane **lane);

/* side.c */
int tpi_sides_init(struct tpi_sides *sides);
/* Gives back the lanes on which nothing is held; the broker sweeps the others. */
void tpi_sides_fini(struct tapio_producer *p);
/*
 * Enters this handle's side lane of a class, taking one if need be: 0 with all
 * signals blocked and the lane ours, or -ENOBUFS.
 */
int tpi_side_enter(struct tapio_producer *p, uint32_t klass, sigset_t *signals,
		   const struct tpi_lane **lane);
void tpi_side_leave(struct tapio_producer *p, const sigset_t *signals);

#endif
