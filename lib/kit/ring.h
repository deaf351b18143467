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
 *	+-------------------+ logs_offset
 *	| logs              |  one for each CPU, or none
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
#define TAPIO_RING_VERSION 2
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
 * floor      | producers    | all       | cas     | acquire
 * parted     | consumers    | all       | cas     | acquire
 */
struct tapio_shm_ring_end {
	uint64_t position;   /* hint: never more than the truth */
	uint64_t other_seen; /* tail: a head that was seen; head: unused */
	uint64_t peak;       /* tail: high water; head: unused */
	struct tapio_shm_ring_wait waiters;
	uint64_t floor;         /* tail: a start, all before it got; grows */
	struct tpi_pair parted; /* head: the chunk that is got in parts */
	uint64_t reserved[8];
};
TAPIO_ASSERT_SIZE(tapio_shm_ring_end, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, position, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, other_seen, 8);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, peak, 16);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, waiters, 24);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, floor, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, parted, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_end, reserved, 64);

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
	uint64_t logs_offset;
	uint32_t logs;       /* how many, for CPUs 0, 1, ... */
	uint32_t log_values; /* of each: a power of two */
	uint64_t reserved[8];
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
TAPIO_ASSERT_OFFSET(tapio_shm_ring, logs_offset, 40);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, logs, 48);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, log_values, 52);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, reserved, 56);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, reserved1, 120);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, ready, 124);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, tail, 128);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, head, 256);
TAPIO_ASSERT_OFFSET(tapio_shm_ring, counts, 384);

/*
 * A log holds the values of chunks that were put on its CPU, one after the other and
 * round and round. See ring_log.c. After it come its marks, one for each block of
 * TPI_RING_BLOCK values, in whole lines, and then log_values values.
 *
 * field  | writer          | reader          | store          | load
 * next   | code on its CPU | code on its CPU | plain, section | relaxed
 * marks  | code on its CPU | code on its CPU | plain, section | relaxed
 * values | code on its CPU | all             | plain, section | relaxed
 */
struct tapio_shm_ring_log {
	uint64_t next; /* values that were ever begun in it */
	uint64_t reserved[7];
};
TAPIO_ASSERT_SIZE(tapio_shm_ring_log, 64);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_log, next, 0);
TAPIO_ASSERT_OFFSET(tapio_shm_ring_log, reserved, 8);

/* The most values of a chunk, and the least. A chunk lies within one block. */
#define TPI_RING_BLOCK     64u
#define TPI_RING_CHUNK_MIN 4u

/*
 * A cell is the pair {value, turn}, or {ref, turn} for a chunk. A turn is
 * position:61 | state:3. EMPTY and GOT name the position that may be put next, the
 * others the one that was put last.
 */
enum tpi_ring_state {
	TPI_RING_EMPTY = 0, /* that before it was a single value, and was got */
	TPI_RING_FULL = 1,  /* a value; that before it was a single one */
	TPI_RING_GOT = 2,   /* that before it was a chunk, got whole */
	TPI_RING_CHUNK = 3, /* a chunk, nothing of it got */
	TPI_RING_FULL_2 = 5, /* a value; that before it was anything */
	TPI_RING_PARTED = 6, /* a chunk that is got by way of head.parted */
};
#define TPI_RING_IS_UNREAD(turn) ((turn)&1)
#define TPI_RING_IS_CHUNK(turn)  ((turn)&2)
#define tpi_ring_turn_of(p, state) \
	((uint64_t)(p) << 3 | (uint64_t)(unsigned int)(state))
#define tpi_ring_turn_empty(p) tpi_ring_turn_of(p, TPI_RING_EMPTY)
#define tpi_ring_turn_full(p)  tpi_ring_turn_of(p, TPI_RING_FULL)
#define tpi_ring_state(turn)   ((enum tpi_ring_state)((turn)&7))

/*
 * Where the values of a chunk are, in a word: log:16 | length:8 | low byte of its
 * position:8 | index of its first value in that log:32.
 */
#define tpi_ring_ref(log, length, position, index)          \
	((uint64_t)(log) << 48 | (uint64_t)(length) << 40 | \
	 ((uint64_t)(position)&0xff) << 32 | (uint64_t)(index))
#define tpi_ring_ref_log(ref)    ((uint32_t)((ref) >> 48))
#define tpi_ring_ref_length(ref) ((uint32_t)((ref) >> 40 & 0xff))
#define tpi_ring_ref_index(ref)  ((uint32_t)(ref))
/* How many values of it lie before position q, which is in it or at its end. */
#define tpi_ring_ref_before(ref, q) ((uint32_t)(((q) - ((ref) >> 32)) & 0xff))

/* The handle: private copies of what was checked at attach. Never changes. */
struct tapio_ring {
	struct tapio_shm_ring *shm;
	struct tpi_pair *cells; /* low: value or ref, high: turn */
	uint64_t mask;          /* capacity - 1 */
	unsigned char *logs;
	uint64_t log_bytes; /* of each, with its marks */
	uint32_t log_count;
	uint32_t log_values; /* of each */
	uint32_t cpus;       /* whose logs this process may put into. Relaxed */
	bool undecided;      /* made without a verdict on rseq: it may come */
	void *owned;         /* to be freed with the handle */
} __attribute__((aligned(64)));

static inline struct tapio_shm_ring_log *
tpi_ring_log(const struct tapio_ring *ring, uint32_t log)
{
	return (struct tapio_shm_ring_log *)(ring->logs +
					     log * ring->log_bytes);
}

static inline uint64_t *tpi_ring_marks(struct tapio_shm_ring_log *log)
{
	return (uint64_t *)(log + 1);
}

/* Bytes of the marks of a log: whole lines. */
static inline uint64_t tpi_ring_marks_bytes(uint32_t log_values)
{
	return (log_values / TPI_RING_BLOCK * sizeof(uint64_t) + 63) &
	       ~UINT64_C(63);
}

static inline uint64_t *tpi_ring_log_values(const struct tapio_ring *ring,
					    uint32_t log)
{
	return (uint64_t *)((unsigned char *)(tpi_ring_log(ring, log) + 1) +
			    tpi_ring_marks_bytes(ring->log_values));
}

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

/*
 * The position that was put last in a cell with that turn. All before it have been
 * put, too: a put begins there. In the first lap it is less than 0.
 */
static inline uint64_t tpi_ring_put_of(const struct tapio_ring *ring,
				       uint64_t turn)
{
	uint64_t position = turn >> 3;

	if (TPI_RING_IS_UNREAD(turn) || tpi_ring_state(turn) == TPI_RING_PARTED)
		return position;
	return position - ring->mask - 1;
}

/* Does a cell with that turn belong to position p? Checked before it is believed. */
static inline bool tpi_ring_turn_ok(const struct tapio_ring *ring,
				    uint64_t turn, uint64_t p)
{
	unsigned int state = (unsigned int)turn & 7;

	/* In a true ring, no position comes near 2^59: nothing wraps. */
	return !(((turn >> 3) ^ p) & ring->mask) && !((turn | p << 3) >> 62) &&
	       !(p >> 59) && state != 4 && state != 7;
}

/* Position p, which must have been put, is seen to have been got. */
static inline bool tpi_ring_is_got(const struct tapio_ring *ring, uint64_t p)
{
	return (int64_t)(tpi_ring_turn(tpi_ring_cell(ring, p)) -
			 tpi_ring_turn_empty(p + ring->mask + 1)) >= 0;
}

/*
 * ring_seek.c, S. Both begin at *p, which must be a start: a position at which a put
 * began or will begin, all before it put (got). They move it to the end of what was
 * put (got), at some instant during the call. 0 or -EBADMSG.
 *
 * The head's may be inside the chunk of which *parted, a copy of head.parted, says so.
 * Then the result is 1, and the true head is parted->high.
 */
int tpi_ring_seek_tail(const struct tapio_ring *ring, uint64_t *p);
int tpi_ring_seek_head(const struct tapio_ring *ring, uint64_t *p,
		       struct tpi_pair *parted);

/* The length of a chunk whose ref this is: 0 if it cannot be one. */
static inline uint32_t tpi_ring_ref_ok(const struct tapio_ring *ring,
				       uint64_t ref)
{
	uint32_t length = tpi_ring_ref_length(ref);
	uint32_t index = tpi_ring_ref_index(ref);

	return length <= TPI_RING_BLOCK &&
			       tpi_ring_ref_log(ref) < ring->log_count &&
			       index < ring->log_values &&
			       length <= ring->log_values - index
		       ? length
		       : 0;
}

/* True positions. The hints when the ring is damaged. */
uint64_t tpi_ring_tail(const struct tapio_ring *ring);
uint64_t tpi_ring_head(const struct tapio_ring *ring);

/*
 * A position that the head has reached, as floor or parted show from now on. At least
 * `wanted` if the head is that far. 0 or -EBADMSG.
 */
int tpi_ring_reached(const struct tapio_ring *ring, uint64_t wanted,
		     uint64_t *head);

/*
 * P2, where cell *t, with that turn, does not simply say EMPTY. 1: *room values, may be
 * put there, and floor or parted show it. 0: *t has moved, or the cell has changed.
 * -EAGAIN: the ring is full. -EBADMSG.
 */
int tpi_ring_room(const struct tapio_ring *ring, uint64_t *t, uint64_t turn,
		  uint64_t wanted, uint64_t *room);

/*
 * ring_chunk.c: a get at *h or after, where it is not simply a value at *h. *h becomes
 * a start that is at most the head. How many values, 0 to be called again, or -errno.
 */
int tpi_ring_get_hard(const struct tapio_ring *ring, uint64_t *h,
		      uint64_t *values, uint32_t count);

/*
 * ring_log.c: puts a chunk of up to `count` values at *t or after. *t becomes the
 * position after it. How many, 0 if they are to be put one by one, or -errno.
 */
int tpi_ring_put_log(const struct tapio_ring *ring, uint64_t *t,
		     const uint64_t *values, uint32_t count, uint32_t *retries);

/*
 * Up to `count` puts or gets, as many as are possible now. Nothing is counted as
 * refused. How many, or if none -EAGAIN or -EBADMSG.
 */
int tpi_ring_put_now(struct tapio_ring *ring, const uint64_t *values,
		     uint32_t count);
int tpi_ring_get_now(struct tapio_ring *ring, uint64_t *values, uint32_t count);

/* Finds out whether this handle may use the logs. */
void tpi_ring_choose_logs(struct tapio_ring *ring);

/* Step P5: notes a new high water, if there is one now that the tail is t. */
void tpi_ring_note_peak(const struct tapio_ring *ring, uint64_t t);

/* Step W of ring_wait.c: wakes for `moved` values those that wait there. */
void tpi_ring_wake(const struct tapio_ring *ring,
		   struct tapio_shm_ring_wait *waiters, uint32_t moved);

#endif
