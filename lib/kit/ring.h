/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a tapio_ring, and what the files of lib/kit/ring*.c share. How it
 * works, and why it survives a kill anywhere, is at the head of ring.c.
 *
 *	+-------------------+ 0
 *	| constants         |  written once, by tapio_ring_init
 *	+-------------------+ 128
 *	| tail end          |  where producers write
 *	+-------------------+ 256
 *	| head end          |  where consumers write
 *	+-------------------+ 384
 *	| counters          |  a line for each stripe (stripes.h)
 *	+-------------------+ 1408
 *	| cells             |  capacity x 16 bytes
 *	+-------------------+
 *
 * Two lines between things that different threads write: processors fetch lines
 * in pairs.
 */
#ifndef TPI_RING_H
#define TPI_RING_H

#include <tapio/abi.h>
#include <tapio/ring.h>

#include "lib/base/atomic.h"
#include "lib/base/atomic128.h"
#include "lib/kit/stripes.h"

#define TAPIO_RING_MAGIC   UINT64_C(0x474e49524f504154) /* "TAPORING" */
#define TAPIO_RING_VERSION 1
#define TAPIO_RING_READY   UINT32_C(0x59444552) /* "REDY" */

/*
 * The threads that wait at one end. See ring_wait.c.
 *
 * field | writer       | reader       | store      | load
 * bell  | other end    | sleepers     | atomic add | acquire (futex)
 * armed | sleepers     | other end    | atomic add | relaxed
 * answered  | other end    | other end    | cas        | relaxed
 */
struct tapio_shm_ring_wait {
	uint32_t bell;     /* + 1 whenever sleepers are woken */
	uint32_t armed;    /* + 1 when somebody is about to sleep */
	uint32_t answered; /* how many of these have been answered. <= armed */
	uint32_t reserved;
};
TAPIO_ASSERT_SIZE(tapio_shm_ring_wait, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_wait, bell, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_wait, armed, 4);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_wait, answered, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_wait, reserved, 12);

/*
 * One end of the ring. `waiters` are those that wait for what is done at this
 * end: at the tail consumers that found it empty, at the head producers that
 * found it full. So a thread that works at an end finds all it needs in one
 * line.
 *
 * field      | writer       | reader    | store   | load
 * position   | this end     | all       | release | acquire
 * other_seen | producers    | producers | relaxed | relaxed
 * peak       | producers    | all       | cas     | relaxed
 */
struct tapio_shm_ring_end {
	uint64_t position;   /* hint: never more than the truth */
	uint64_t other_seen; /* tail: a head that was seen; head: unused */
	uint64_t peak;       /* tail: high water; head: unused */
	struct tapio_shm_ring_wait waiters;
	uint64_t reserved[11];
};
TAPIO_ASSERT_SIZE(tapio_shm_ring_end, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, position, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, other_seen, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, peak, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, waiters, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, reserved, 40);

/* Counts that do not follow from the cells: index of tapio_shm_ring.counts. */
enum tpi_ring_count {
	TPI_RING_REFUSED_FULL,
	TPI_RING_REFUSED_EMPTY,
	TPI_RING_TIMED_OUT_FULL,
	TPI_RING_TIMED_OUT_EMPTY,
	TPI_RING_PUT_RETRIES,
	TPI_RING_GET_RETRIES,
	TPI_RING_SLEEPS,
	TPI_RING_WAKES,
	TPI_RING_COUNTS
};
_Static_assert(TPI_RING_COUNTS <= TAPIO_STRIPE_COUNTERS, "one line");

/*
 * field       | writer           | reader | store              | load
 * constants   | tapio_ring_init  | all    | plain, before ready| plain, after
 * ready       | tapio_ring_init  | all    | release, once      | acquire
 * counts      | all              | all    | atomic add         | relaxed
 */
struct tapio_shm_ring {
	uint64_t magic;
	uint32_t version;
	uint32_t capacity;
	uint64_t length_bytes; /* of all of it */
	uint64_t cells_offset; /* from the start of this struct */
	uint32_t cell_bytes;
	uint32_t stripes;
	uint64_t reserved[10];
	uint32_t reserved1;
	uint32_t ready;
	struct tapio_shm_ring_end tail;
	struct tapio_shm_ring_end head;
	struct tapio_shm_stripes counts;
};
TAPIO_ASSERT_SIZE(tapio_shm_ring, 1408);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, magic, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, version, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, capacity, 12);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, length_bytes, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, cells_offset, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, cell_bytes, 32);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, stripes, 36);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, reserved, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, reserved1, 120);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, ready, 124);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, tail, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, head, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, counts, 384);

/*
 * A cell is the pair {value, turn}. The turn of the cell of position p is 2p
 * while p is still to be put, 2p + 1 while its value lies there, and
 * 2(p + capacity) once it was got: it says lap and state, and never comes back.
 */
#define tpi_ring_turn_empty(p) ((uint64_t)(p) << 1)
#define tpi_ring_turn_full(p)  ((uint64_t)(p) << 1 | 1)

/* The handle: private copies of what was checked at attach. Never changes. */
struct tapio_ring {
	struct tapio_shm_ring *shm;
	struct tpi_pair *cells; /* low: value, high: turn */
	uint64_t mask;          /* capacity - 1 */
	void *owned;            /* to be freed with the handle */
} __attribute__((aligned(64)));

static inline struct tpi_pair *tpi_ring_cell(const struct tapio_ring *ring,
					     uint64_t position)
{
	return &ring->cells[position & ring->mask];
}

static inline uint64_t tpi_ring_turn(const struct tpi_pair *cell)
{
	/*
	 * ORDER ring.cell (acquire): all that the writers of this turn and of
	 * the positions before it did is visible. Pairs with the swaps in
	 * swap_put() and swap_get().
	 */
	return tpi_load_acquire(&cell->high);
}

/* Adds to a counter, in the stripe of this CPU. Any context. */
void tpi_ring_count(const struct tapio_ring *ring, enum tpi_ring_count which,
		    uint64_t n);

static inline uint64_t tpi_ring_load_hint(const struct tapio_shm_ring_end *end)
{
	/*
	 * ORDER ring.hint (acquire): all positions before the hint are seen to
	 * be passed. Pairs with tpi_ring_store_hint().
	 */
	return tpi_load_acquire(&end->position);
}

static inline void tpi_ring_store_hint(struct tapio_shm_ring_end *end,
				       uint64_t position)
{
	/*
	 * ORDER ring.hint (release): that this thread has seen every position
	 * before this one passed. Pairs with tpi_ring_load_hint().
	 */
	tpi_store_release(&end->position, position);
}

/* How far a turn is ahead of 2p once p has been put, or got. */
#define TPI_RING_PUT       1
#define TPI_RING_GOT(ring) (2 * ((ring)->mask + 1))

/* Position p, which must have been put, has been got. */
static inline bool tpi_ring_is_got(const struct tapio_ring *ring, uint64_t p)
{
	return (int64_t)(tpi_ring_turn(tpi_ring_cell(ring, p)) -
			 tpi_ring_turn_empty(p)) >= (int64_t)TPI_RING_GOT(ring);
}

/*
 * S: the end's true position at some instant during the call, at least `from`,
 * which must be known to have been reached. `passed` is one of the above.
 * -EBADMSG.
 */
int tpi_ring_seek(const struct tapio_ring *ring, uint64_t passed, uint64_t from,
		  uint64_t *position);

/* True positions. The hints when the ring is damaged. */
uint64_t tpi_ring_tail(const struct tapio_ring *ring);
uint64_t tpi_ring_head(const struct tapio_ring *ring);

/*
 * Up to `count` puts or gets, as many as are possible now. Nothing is counted as
 * refused. How many, or if none -EAGAIN or -EBADMSG.
 */
int tpi_ring_put_now(struct tapio_ring *ring, const uint64_t *values,
		     uint32_t count);
int tpi_ring_get_now(struct tapio_ring *ring, uint64_t *values, uint32_t count);

/* Step P5: notes a new high water, if there is one now that the tail is t. */
void tpi_ring_note_peak(const struct tapio_ring *ring, uint64_t t);

/* Step W of ring_wait.c: wakes for `moved` values those that wait there. */
void tpi_ring_wake(const struct tapio_ring *ring,
		   struct tapio_shm_ring_wait *waiters, uint32_t moved);

#endif
