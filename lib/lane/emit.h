/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data that emitting an event reads, and its fast paths: the lane of this
 * CPU, one section, and a look whether somebody sleeps. tapio_output,
 * tapio_reserve and tapio_submit jump there. The fast paths leave the rest, by
 * another jump, to the functions that the struct names.
 *
 * Where tapio_output is: declared in tapio/producer.h, entered in
 * client/producer/producer.c, fast path in lib/lane/emit_fast.h (compiled by
 * lib/lane/lane.c), slow path in client/producer/output.c.
 *
 * Nothing is written here but the lane, so any thread and any signal handler may be
 * in it at any instruction. client/producer/producer.c fills the struct, once.
 */
#ifndef TPI_EMIT_H
#define TPI_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tapio/abi.h>
#include <tapio/producer.h>

#include "lib/base/atomic.h"
#include "lib/lane/lane.h"
#include "lib/base/rseq.h"
#include "lib/lane/wake.h"

/* One class, as a choice for an event. */
struct tpi_size {
	uint32_t fast_bytes; /* longest that one section copies */
	uint32_t bytes;      /* longest of all */
	uint32_t klass;
	uint32_t reserved;
	struct tpi_lane *const *row; /* [cpus], by CPU. NULL: no lane there */
};

/* The usual event: 32 to 64 bytes fit any block, and need four moves and no loop. */
#define TPI_USUAL_LEAST 32
#define TPI_USUAL_SPAN  (64 - TPI_USUAL_LEAST + 1)

struct tpi_emit;
typedef int tpi_output_fn(const struct tpi_emit *emit, uint32_t tag,
			  const void *data, uint32_t length);
typedef int tpi_reserve_fn(const struct tpi_emit *emit, uint32_t tag,
			   uint32_t length, struct tapio_reservation *out);
typedef int tpi_submit_fn(const struct tpi_emit *emit,
			  struct tapio_reservation *reservation);

/*
 * Read only once a producer is open, but for `cpus` and `served`. In a forked child all of
 * it is zero.
 */
struct tpi_emit {
	uint32_t alive; /* 0: a forked child */
	/* Of each row. 0: side lanes only. It rises once at most, when a process
	 * whose self-test could not be made learns that it may run sections. It is 0
	 * again when the producer has left this memory. */
	uint32_t cpus;
	/* TPI_USUAL_SPAN, where events have no stamps, or stamps of the TSC. Else 0. */
	uint32_t plain_span, tsc_span;
	uint32_t size_count;
	uint32_t class_count;
	uint32_t stamp; /* TAPIO_STAMP_* */
	bool wide;      /* tpi_emit_wide() */
	/* A bit for each slot whose board is looked at. In memory before 0.6: `active`. */
	const uint64_t *boards;
	struct tapio_shm_doorbells *doorbells;
	/* The word of the catalog that says which broker serves, and its value when the
	 * connection to that one was last seen to stand. 0: not known. */
	const uint64_t *serving;
	uint64_t served;
	uint32_t me; /* name of the attachment */
	/* A handle that has moved has reservations of several memories, with lanes, blocks
	 * and tickets of the same numbers. So each memory numbers its lanes in reservations
	 * from another first one on. */
	uint32_t first_lane;
	uint32_t lane_count;
	struct tpi_size sizes[TAPIO_CLASSES_MAX]; /* untagged, by size */
	const struct tpi_lane *lanes;
	struct tpi_size classes[TAPIO_CLASSES_MAX]; /* by index */
	struct tpi_gating gating;
	tpi_output_fn *output_slow;
	tpi_reserve_fn *reserve_slow;
	tpi_submit_fn *submit_slow;
	const uint64_t *active;
	const struct tapio_shm_group_control *control[TAPIO_GROUP_SLOTS];
	bool rounds; /* the memory is from 0.7 on, and announcements may ask for several rings */
	/* B1 of wake.h: the boards, and what was seen of them. In memory before 0.6: `armed`
	 * and `answered`. */
	const uint32_t *board[TAPIO_GROUP_SLOTS];
	uint32_t *board_seen[TAPIO_GROUP_SLOTS];
	/* How many members use no board. NULL: memory before 0.6. */
	const uint32_t *unboarded;
};

/*
 * The fast paths (emit_fast.h). Each does all of tapio_output, tapio_reserve or
 * tapio_submit, or nothing, and then returns what the struct's slow one makes
 * of the same arguments: a refusal to be explained, a lane without room, a
 * thread that is not on a CPU with a lane or has just left it, an event that no
 * section copies.
 *
 *   choosing class and lane,  a kill or a stop here: nothing has happened
 *   is the broker another
 *   the section               before its commit nothing, after it all (lane.c)
 *   tpi_ring_if_armed         the event is published; who sleeps is woken by the
 *                             next producer, by the broker, or by the bound
 *
 * Migration and signal handlers: the lane was a guess, the section checks it. A
 * handler that emits here runs a whole operation of its own. Ours finds another
 * state then.
 */
tpi_output_fn tpi_emit_output;
tpi_reserve_fn tpi_emit_reserve;
tpi_submit_fn tpi_emit_submit;

/* Whether the processor copies long events by wider registers than all have. */
bool tpi_emit_wide(void);

/* Tag and length of an item, which lie side by side, as one word. */
static inline uint64_t tpi_item_kind(const struct tapio_item *item)
{
	uint64_t kind;

	memcpy(&kind, (const char *)item + offsetof(struct tapio_item, length),
	       sizeof(kind));
	return kind;
}
#define TPI_KIND_LENGTH(kind) ((uint32_t)(kind))
#define TPI_KIND_TAG(kind)    ((uint32_t)((kind) >> 32))
_Static_assert(offsetof(struct tapio_item, tag) ==
		       offsetof(struct tapio_item, length) + sizeof(uint32_t),
	       "tpi_item_kind() loads both at once");

/* Blocks that a batch has taken, in the ring's order. ticket + TAPIO_TICKET(0, i) is that of
 * blocks[i]. */
struct tpi_run {
	const struct tpi_lane *lane;
	uint64_t ticket;
	uint32_t count;
	uint32_t blocks[TPI_SECTION_BLOCKS];
};
/* They are taken, and not published. */
#define TPI_RUN_HELD (-1)

/*
 * Emits items of that kind, 32 to 64 bytes, which go to the class of `size`, if all are: the
 * first ones, as many as lie before the end of a half lap, of 1 <= count <=
 * TPI_SECTION_BLOCKS. How many. 0: nothing has happened. TPI_RUN_HELD. It does not ring.
 */
int tpi_emit_run(const struct tpi_emit *emit, const struct tpi_size *size,
		 uint64_t kind, const struct tapio_item *items, uint32_t count,
		 struct tpi_run *run);

/*
 * Is another broker there than the one that this producer knows, or none? Asked before
 * the section of each output and reserve, by which nothing has happened. The slow path
 * looks. Not in a forked child, which has no word to look at.
 */
static inline bool tpi_emit_called(const struct tpi_emit *emit)
{
	/*
	 * Relaxed: a look that comes late is one. `served` is read plainly, as `cpus`
	 * is: the word is whole, and gcc compares an atomic load in one instruction
	 * more.
	 */
#ifdef __SANITIZE_THREAD__
	uint64_t served = tpi_load_relaxed(&emit->served);
#else
	uint64_t served = emit->served;
#endif

	return tpi_unlikely(tpi_load_relaxed(emit->serving) != served);
}

static inline uint32_t tpi_size_limit(const struct tpi_size *size, bool fast)
{
	return fast ? size->fast_bytes : size->bytes;
}

/*
 * The class for an event, or NULL when the slow path has to say why there is
 * none. `fast`: one that a single section copies.
 */
static inline const struct tpi_size *tpi_size_of(const struct tpi_emit *emit,
						 uint32_t tag, uint32_t length,
						 bool fast)
{
	uint32_t i, klass = tag >> 24;
	const struct tpi_size *size = emit->sizes;

	if (tpi_unlikely(klass)) {
		if (klass > emit->class_count)
			return NULL;
		size = &emit->classes[klass - 1];
		return length <= tpi_size_limit(size, fast) ? size : NULL;
	}
	/* Most events fit the smallest class. In a forked child it is all zero,
	 * and there is no CPU for it. */
	if (tpi_likely(length <= tpi_size_limit(size, fast)))
		return size;
	for (i = 1; i < emit->size_count; i++)
		if (length <= tpi_size_limit(++size, fast))
			return size;
	return NULL;
}

/* The lane of the CPU that we are on, as far as one can tell, or NULL. */
static inline const struct tpi_lane *tpi_lane_here(const struct tpi_emit *emit,
						   const struct tpi_size *size)
{
	uint32_t cpu = tpi_load_relaxed(&tpi_rseq_area()->cpu_id_start);

	/*
	 * Written by the kernel, but so is the area of a thread that libc did
	 * not make: bound it. `cpus` is read plainly, though it may rise while we
	 * read: the word is whole, both values are right, and gcc compares an
	 * atomic load in one instruction more.
	 */
	if (tpi_unlikely(cpu >= emit->cpus))
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

/* The tag of it, of an event that names no class. A block's number may be there. */
#define TPI_META_TAG(meta) ((uint32_t)((meta) >> 40))

/* CLOCK_REALTIME in nanoseconds (emit.c). */
uint64_t tpi_clock_ns(void);

/* How the event is stamped. A clock is read now, before the section. */
static inline uint64_t tpi_stamp(const struct tpi_emit *emit)
{
	return tpi_likely(emit->stamp != TAPIO_STAMP_CLOCK) ? TPI_STAMP_TSC
							    : tpi_clock_ns();
}

/*
 * B2 to B4: rings the bell of each group that waits for what was published on `lane`
 * (NULL: it may be any). 0, which is what its callers return, so that they end in a
 * jump. In emit.c.
 */
int tpi_ring(const struct tpi_emit *emit, const struct tpi_lane *lane);

/*
 * B1 of wake.h, after each commit: does a consumer sleep? No fence: a consumer that
 * announces itself runs a membarrier (ORDER wake.barrier, in tpi_barrier()), so either it
 * sees our commit in its last look, or we see its announcement. The same goes for
 * `boards`, which has the bit of a member before it knows that it is one. Relaxed loads: a
 * stale `board_seen` costs a look at each group.
 */
static inline int tpi_ring_if_armed(const struct tpi_emit *emit,
				    const struct tpi_lane *lane)
{
	uint64_t boards = tpi_load_relaxed(emit->boards);
	uint32_t slot;

	if (tpi_likely(!boards))
		return 0;
	do {
		slot = (uint32_t)__builtin_ctzll(boards);
		if (tpi_unlikely(tpi_load_relaxed(emit->board[slot]) !=
				 tpi_load_relaxed(emit->board_seen[slot])))
			return tpi_ring(emit, lane);
		boards &= boards - 1;
	} while (boards);
	return 0;
}

/* The number of a lane in reservations. */
static inline uint32_t tpi_reservation_id(const struct tpi_emit *emit,
					  const struct tpi_lane *lane)
{
	return emit->first_lane + lane->id;
}

/* The reservation that the caller of tapio_reserve gets. */
static inline void tpi_reservation_fill(const struct tpi_emit *emit,
					struct tapio_reservation *out,
					const struct tpi_lane *lane,
					uint32_t block, uint64_t ticket,
					uint32_t tag, uint32_t length)
{
	const uint32_t block_bytes = lane->block_bytes;

	out->data = lane->blocks + (size_t)block * block_bytes;
	out->length = length;
	out->tag = tag;
	out->capacity = block_bytes;
	out->lane = tpi_reservation_id(emit, lane);
	out->block = block;
	out->ticket = TAPIO_TICKET_PLACE(ticket);
}

/* The ticket of its block while the reservation is open. */
static inline uint64_t tpi_reservation_ticket(const struct tpi_emit *emit,
					      const struct tapio_reservation *r)
{
	return TAPIO_TICKET(emit->me, r->ticket);
}

/*
 * The lane of a reservation that may be open, or NULL. Whether it is, the ticket of
 * its block says, inside the section that puts the block back.
 */
static inline const struct tpi_lane *
tpi_reservation_lane(const struct tpi_emit *emit,
		     const struct tapio_reservation *r)
{
	const struct tpi_lane *lane;
	uint32_t id = r->lane - emit->first_lane;

	if (tpi_unlikely(!r->data || id >= emit->lane_count))
		return NULL;
	lane = &emit->lanes[id];
	return tpi_likely(r->block <= lane->mask) ? lane : NULL;
}

/* Whether it may be submitted with the length and tag that it has now. */
static inline bool tpi_reservation_fits(const struct tpi_lane *lane,
					const struct tapio_reservation *r)
{
	return r->length <= lane->block_bytes && TAPIO_TAG_TYPE(r->tag);
}

#endif
