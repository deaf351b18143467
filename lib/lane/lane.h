/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane: a private, checked handle on one lane in shared memory and the
 * operations on it. Callers: producers (client/), the broker's sweep, tests.
 * lane.c tells what may be called where, and why it is right.
 */
#ifndef TPI_LANE_H
#define TPI_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"

/*
 * A checked copy of a lane's geometry (layout.c makes it). Exactly one line, so
 * that a producer's fast path has it with one miss. The arrays are in the
 * segment and, for consumers and observers, read-only.
 */
struct tpi_lane {
	struct tapio_shm_lane *shm;
	uint64_t *desc;
	uint64_t *tickets;
	uint64_t *time; /* NULL: no stamps */
	unsigned char *blocks;
	uint32_t cpu;  /* or TAPIO_CPU_SIDE */
	uint32_t mask; /* N - 1 */
	uint32_t block_bytes;
	uint32_t id;
	uint32_t klass;
	uint32_t serials; /* tpi_place_serials() */
};

/*
 * Where the gate comes from: the channel's group slots in the catalog and each
 * slot's cursors (NULL where the slot's segment is not mapped).
 *
 * A slot's memory may be replaced. epochs[i] is that of the memory in which
 * cursors[i] lies, and 0 while it is being changed. A slot that is ACTIVE with another
 * epoch is UNHEARD: its heads are not known, and count as no news.
 */
struct tpi_gating {
	const uint64_t *generation;
	const uint64_t *active;               /* NULL: look at every slot */
	const struct tapio_shm_group *groups; /* [TAPIO_GROUP_SLOTS] */
	const struct tapio_shm_cursor *cursors[TAPIO_GROUP_SLOTS];
	uint32_t epochs[TAPIO_GROUP_SLOTS];
	/*
	 * Called before a gate is computed, when the generation is not *heeded: gets
	 * the memory of slots that are unheard. It leaves errno alone, and may run in
	 * a signal handler. NULL: there is none.
	 */
	void (*heed)(const struct tpi_gating *gating);
	const uint64_t *heeded;
};

/* Whether the heads of a slot can be read. `slot` was found ACTIVE before. */
static inline bool tpi_gating_hears(const struct tpi_gating *gating, int slot)
{
	/*
	 * ORDER gating.epoch (acquire): the mapping of that epoch is there. Pairs
	 * with the release by the thread that made it. The slot's own epoch is
	 * relaxed: the acquire of its word, or the generation, orders it.
	 */
	return gating->cursors[slot] &&
	       tpi_load_acquire(&gating->epochs[slot]) ==
		       tpi_load_relaxed(&gating->groups[slot].epoch);
}

/* The bits of a place that hold its serial, in a lane of mask + 1 blocks. */
static inline uint32_t tpi_place_serials(uint32_t mask)
{
	return ~mask & ~(TAPIO_PLACE_ENTERED | TAPIO_PLACE_CLAIMED);
}

/*
 * The place of a block that is taken at position `oldest` - N, with that index. The
 * serial counts half laps: a block that is taken again has gone through more than half
 * of the ring.
 */
static inline uint32_t tpi_place_taken(const struct tpi_lane *lane,
				       uint64_t oldest, uint64_t index)
{
	return ((uint32_t)oldest * 2 & lane->serials) | (uint32_t)index;
}

/* The place of a block that is taken with that one, once it enters at an index. */
static inline uint32_t tpi_place_entered(const struct tpi_lane *lane,
					 uint32_t place, uint64_t index)
{
	return (place & ~lane->mask) | (uint32_t)index | TAPIO_PLACE_ENTERED;
}

/* Results beside 0 and -errno. */
#define TPI_MOVED 1 /* aborted, or the CPU or the state changed: try again */
#define TPI_FULL  2 /* no block: a gating group has not read it */
#define TPI_HELD  3 /* no block: too many are reserved */

/* How an event gets its time stamp: TPI_STAMP_TSC, or the value itself. */
#define TPI_STAMP_TSC UINT64_MAX /* read inside the section */

static inline unsigned char *tpi_lane_block(const struct tpi_lane *lane,
					    uint32_t block)
{
	return lane->blocks + (size_t)block * lane->block_bytes;
}

/*
 * The oldest position whose block is in the ring. Unmasked: with more than 48
 * bits, which differences and indices do not mind.
 */
static inline uint64_t tpi_lane_reap_unmasked(const struct tpi_lane *lane,
					      uint64_t state)
{
	return TAPIO_STATE_TAIL(state) - lane->mask - 1 +
	       TAPIO_STATE_HELD(state);
}

static inline uint64_t tpi_lane_reap(const struct tpi_lane *lane,
				     uint64_t state)
{
	return tpi_lane_reap_unmasked(lane, state) & TAPIO_POSITION_MASK;
}

/* False for a state that no sequence of operations leads to. */
static inline bool tpi_lane_state_sane(const struct tpi_lane *lane,
				       uint64_t state)
{
	return TAPIO_STATE_HELD(state) <= lane->mask + 1;
}

/*
 * The lane's state, for a producer. Relaxed: it goes on to descriptors whose addresses
 * are computed from it, and so are at least as new. That matters to a thread which is
 * moved away and back between this load and its section: the section finds the same
 * state there. The gate may be of any age, since it is a lower bound.
 */
static inline uint64_t tpi_lane_glance(const struct tpi_lane *lane)
{
	return tpi_load_relaxed(&lane->shm->state);
}

/* The lane's state, to be followed to descriptors and blocks. */
static inline uint64_t tpi_lane_peek(const struct tpi_lane *lane)
{
	/*
	 * ORDER lane.state (acquire): the events that the state says are
	 * published can be read. Pairs with the commit of every operation:
	 * side_commit(), and the last store of the sections (section_*.h).
	 */
	return tpi_load_acquire(&lane->shm->state);
}

/*
 * Whether a copy that was made of the event at `position` is whole: to be asked
 * after the copy. Strictly greater: the block at reap itself may be under the
 * pen of a section that has not committed.
 */
static inline bool tpi_lane_intact(const struct tpi_lane *lane,
				   uint64_t position)
{
	uint64_t state;

	/*
	 * ORDER lane.reuse (load-load): the copy before the state. If the copy
	 * has a byte of a later event, then the commit that freed its block is
	 * visible here. Pairs with side_output(), side_reserve(), and the
	 * sections' order of stores.
	 */
	tpi_fence_load_load();
	state = tpi_load_relaxed(&lane->shm->state);
	return tapio_position_diff(position, tpi_lane_reap(lane, state)) > 0;
}

/*
 * The operations, on a CPU's lane from any thread (they succeed only on that
 * CPU) or on a side lane by its owner with the process's mutex held and signals
 * blocked. None of them blocks or loops. `meta` is TAPIO_DESC_META(...), `time`
 * a value or TPI_STAMP_TSC (ignored by lanes without stamps).
 *
 * output   copies `length` <= block_bytes bytes and publishes them
 * reserve  takes 1 <= count <= TPI_SECTION_BLOCKS blocks out of the ring: their
 *          numbers in blocks[], their tickets in tickets[]
 * publish  puts `count` reserved blocks back, as the descriptors given
 *          (TAPIO_DESC_META | block); type DISCARD: consumers skip it. All of them,
 *          or none: -EINVAL when one is not open by its ticket, or is there twice
 *
 * 0, TPI_MOVED, TPI_FULL, TPI_HELD (the last two not from publish). -EINVAL for a
 * count of 0, or of more than TPI_SECTION_BLOCKS.
 */
#define TPI_SECTION_BLOCKS 64

/*
 * So far behind a line of a block lies the one that is asked for when it is written: 12
 * lines, which hide one transfer from another CPU (emit_fast.h).
 */
#define TPI_AHEAD_BYTES (12 * TAPIO_CACHE_LINE)

int tpi_lane_output(const struct tpi_lane *lane,
		    const struct tpi_gating *gating, uint64_t meta,
		    uint64_t time, const void *data, uint32_t length);
int tpi_lane_reserve(const struct tpi_lane *lane,
		     const struct tpi_gating *gating, uint32_t me,
		     uint32_t *blocks, uint64_t *tickets, uint32_t count);
int tpi_lane_publish(const struct tpi_lane *lane, const uint64_t *descs,
		     const uint64_t *tickets, uint32_t count, uint64_t time);

/*
 * Blocks in hands, from any thread. `ticket` is the reservation's.
 *
 * holds    whether a reservation with that ticket is open
 * retake   makes *ticket the only one that is: other copies of the reservation are
 *          closed from here on. -EINVAL when it was not open. `serial` must not be
 *          one that this owner has used before
 * abandon  gives the block up: the next producer on the lane's CPU may claim it, or
 *          the broker's sweep takes it. -EINVAL when it was not open
 */
bool tpi_lane_holds(const struct tpi_lane *lane, uint32_t block,
		    uint64_t ticket);
int tpi_lane_retake(const struct tpi_lane *lane, uint32_t block,
		    uint64_t *ticket, uint32_t serial);
int tpi_lane_abandon(const struct tpi_lane *lane, uint32_t block,
		     uint64_t ticket);

/*
 * Claims one abandoned block as a reservation of `me`, if the hint says that there are
 * some. Looks at `limit` blocks from *at on. The block's number, with its ticket in
 * *ticket, or -ENOENT. On the lane's CPU. `serial` as for retake.
 */
int tpi_lane_claim(const struct tpi_lane *lane, uint32_t me, uint32_t serial,
		   uint32_t *at, uint32_t limit, uint64_t *ticket);

/*
 * How far behind the tail an `until` group may hold a lane: below N on every lane, or
 * it would be as good as lossless, and at most half of a lane unless the group's
 * creator has the right to more.
 */
static inline uint32_t tpi_until_lag(const struct tpi_lane *lane, uint64_t slot)
{
	uint32_t lag = TAPIO_SLOT_LAG(slot), half = (lane->mask + 1) / 2;

	if (!lag || (lag > half && !(slot & TAPIO_SLOT_FAR)))
		return half;
	return lag < lane->mask ? lag : lane->mask;
}

/*
 * The position up to which an `until` group lets a lane in that state be reused,
 * whatever its head says: max(tail - lag, reap + 1). Steps U1 to U3 of lane.c.
 */
static inline uint64_t tpi_until_bound(const struct tpi_lane *lane,
				       uint64_t slot, uint64_t state)
{
	uint64_t lagging = TAPIO_STATE_TAIL(state) - tpi_until_lag(lane, slot);
	uint64_t next = tpi_lane_reap_unmasked(lane, state) + 1;
	uint64_t bound =
		tapio_position_diff(lagging, next) < 0 ? next : lagging;

	return bound & TAPIO_POSITION_MASK;
}

/*
 * The smallest position that a gating group has yet to release, as far as can be
 * said now: the tail when no group gates. `slot` (may be NULL) gets the slot of
 * the group that holds it, or -1. False when the groups changed meanwhile.
 */
bool tpi_gate_compute(const struct tpi_lane *lane,
		      const struct tpi_gating *gating, uint64_t *gate,
		      uint64_t *generation, int *slot);

/*
 * Broker: reads the gate and changes its epoch, so that no swap succeeds any more
 * whose value was computed from what was shown before. Returns the position: no
 * producer has taken a block at or behind it, and from here on none moves the
 * gate without having seen the slots as the caller has stored them.
 */
uint64_t tpi_gate_seal(const struct tpi_lane *lane);

/*
 * Takes back what attachment `dead` holds on a lane (TAPIO_ABANDONED: the
 * abandoned blocks), as `sweeper`. Must run on the lane's CPU. Where it may
 * not, pass on_cpu = false and the blocks are left ABANDONED. Returns how many
 * blocks went back or were abandoned.
 */
int tpi_lane_sweep(const struct tpi_lane *lane, uint32_t dead, uint32_t sweeper,
		   bool on_cpu);

/*
 * Whether a block with that place lies in the ring in that state. Exact for each
 * block that bears an owner: T1 and T2 of lane.c.
 */
static inline bool tpi_lane_in_ring(const struct tpi_lane *lane, uint64_t state,
				    uint32_t block, uint32_t place)
{
	uint32_t index = place & lane->mask;
	uint32_t ahead =
		(index - (uint32_t)tpi_lane_reap(lane, state)) & lane->mask;
	uint64_t desc = tpi_load_relaxed(&lane->desc[index]);

	return ahead + TAPIO_STATE_HELD(state) <= lane->mask &&
	       ((uint32_t)desc & lane->mask) == block;
}

/* Whether a word is of the taking that a ticket names, published or not. */
static inline bool tpi_ticket_same(const struct tpi_lane *lane, uint64_t word,
				   uint64_t ticket)
{
	uint32_t ignored = TAPIO_PLACE_ENTERED | lane->mask;

	return !((word ^ ticket) & ~TAPIO_TICKET(0, ignored));
}

#endif
