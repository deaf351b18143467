/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane: a private, checked handle on one lane in shared memory and the
 * operations on it. Who calls: producers (client/), the broker's sweep, tests.
 * What may be called where, and why it is right, is in lane.c.
 */
#ifndef TPI_LANE_H
#define TPI_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/base/atomic.h"

/*
 * A checked copy of a lane's geometry (layout.c makes it); exactly one line, so
 * that a producer's fast path has it with one miss. The arrays are in the
 * segment and, for consumers and observers, read-only.
 */
struct tpi_lane {
	struct tapio_shm_lane *shm;
	uint64_t *desc;
	uint32_t *owner;
	uint64_t *time; /* NULL: no stamps */
	unsigned char *blocks;
	uint32_t cpu;  /* or TAPIO_CPU_SIDE */
	uint32_t mask; /* N - 1 */
	uint32_t block_bytes;
	uint32_t id;
	uint32_t klass;
	uint32_t reserved;
};

/*
 * Where the gate comes from: the channel's group slots in the catalog and each
 * slot's cursors (NULL where the slot's segment is not mapped). Read only.
 */
struct tpi_gating {
	const uint64_t *generation;
	const uint64_t *active;               /* NULL: look at every slot */
	const struct tapio_shm_group *groups; /* [TAPIO_GROUP_SLOTS] */
	const struct tapio_shm_cursor *cursors[TAPIO_GROUP_SLOTS];
};

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
 * bits, which differences and slot indices do not mind.
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

/* The lane's state, to be followed to descriptors and blocks. */
static inline uint64_t tpi_lane_peek(const struct tpi_lane *lane)
{
	/*
	 * ORDER lane.state (acquire): what the state says is published can be
	 * read. Pairs with the commit of every operation: side_commit(), and the
	 * last store of the sections (section_*.h).
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
 * reserve  takes 1 <= count <= 64 blocks out of the ring, indices in blocks[]
 * publish  puts `count` blocks that the caller holds back, as the descriptors
 *          given (TAPIO_DESC_META | block); type DISCARD: consumers skip it.
 *          -EINVAL when fewer are held (a double submit)
 *
 * 0, TPI_MOVED, TPI_FULL, TPI_HELD (the last two not from publish).
 */
int tpi_lane_output(const struct tpi_lane *lane,
		    const struct tpi_gating *gating, uint64_t meta,
		    uint64_t time, const void *data, uint32_t length);
int tpi_lane_reserve(const struct tpi_lane *lane,
		     const struct tpi_gating *gating, uint32_t me,
		     uint32_t *blocks, uint32_t count);
int tpi_lane_publish(const struct tpi_lane *lane, const uint64_t *descs,
		     uint32_t count, uint64_t time);

/*
 * A reserved block that cannot go back from here: whoever runs on the lane's CPU
 * next may claim it, or the broker's sweep takes it. Any thread.
 */
void tpi_lane_abandon(const struct tpi_lane *lane, uint32_t block);

/*
 * Claims one abandoned block as `me`'s reservation, if the hint says that there
 * are some; looks at `limit` blocks from *at on. The block's index, or -ENOENT.
 */
int tpi_lane_claim(const struct tpi_lane *lane, uint32_t me, uint32_t *at,
		   uint32_t limit);

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
 * whose value was computed from what was shown before. Returns the position: nobody
 * has taken a block at or behind it, and from here on nobody moves the gate without
 * having seen the slots as the caller has stored them.
 */
uint64_t tpi_gate_seal(const struct tpi_lane *lane);

/*
 * Takes back what attachment `dead` holds on a lane (TAPIO_ABANDONED: what lies
 * abandoned), as `sweeper`. Must run on the lane's CPU; where it may not, pass
 * on_cpu = false and the blocks are left ABANDONED. `scratch` is a bitmap of
 * (N + 63) / 64 words. Returns how many blocks went back or were abandoned,
 * -errno, or TPI_MOVED as -EAGAIN when the CPU was lost: call again.
 */
int tpi_lane_sweep(const struct tpi_lane *lane, uint32_t dead, uint32_t sweeper,
		   bool on_cpu, uint64_t *scratch);

#endif
