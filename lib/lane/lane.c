/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's operations: output, reserve, publish, and the gate they respect.
 *
 * THE ARGUMENT. Two facts carry everything (design section 4):
 *
 *  L1  Exclusivity. Only code that runs on CPU c changes lane c, inside an rseq
 *	section; the kernel aborts a section when its thread is preempted,
 *	migrated or signalled. A side lane is changed by its owner alone, under
 *	the owner's private mutex with signals blocked.
 *  L2  One-word commit. Every operation becomes visible by one plain store of
 *	`state`, the last store of its section.
 *
 * From them:
 *
 *  L3  `state` never repeats: tail only grows, and held falls only when tail
 *	grows. So what was computed from a state outside the section holds inside
 *	it if the state is still the same.
 *  L4  Before its commit a section changes, of what lies in [reap, tail), only
 *	the block at reap, its owner word, and type and length in its descriptor.
 *	output writes slot `tail`: with held = 0 that is the slot of reap and gets
 *	the same block back; with held > 0 it lies outside [reap, tail). publish
 *	writes n <= held slots from tail on, which lie outside.
 *  L5  In-ring blocks plus held blocks are N. So publishing never fails for lack
 *	of a slot; only taking a block can be refused.
 *  L6  A block that is not in the ring was taken by a committed reserve, and the
 *	last section that wrote its owner was that one. Nobody writes an owner
 *	outside a section but abandon, claim and sweep, and those only for blocks
 *	that are out of the ring.
 *
 * THE GATE is a lower bound of what gating groups have released: a block is taken only
 * if its position lies before the gate.
 *
 *  G1  Its word is epoch:16 | position:48, and it changes by compare-and-swap alone,
 *	from any CPU. A swap that succeeds has a larger position than the word it
 *	replaces, so within an epoch no word comes back.
 *  G2  The new position is the smallest of the tail and of the limits of the gating
 *	groups, all of them loaded after the old word. Tails and heads only grow, so
 *	it stays a lower bound for those groups, however late the swap comes.
 *  G3  A group that joins meanwhile begins at a tail that is loaded after the
 *	generation has changed. The tail of a computation that finds the generation
 *	unchanged at its end is at most that one (broker/group/group.c, J4).
 *  G4  A group that is there already and holds more from now on (it was `until`, and
 *	becomes lossless) is not covered by G3. So the broker seals the gate: it
 *	changes the epoch after it has changed the slot. A swap from the old epoch
 *	fails. One from the new epoch has loaded the slot after the epoch.
 *  G5  reap <= gate, since blocks are taken only up to the gate.
 *
 * A group that is lossless until a lag must not close a lane, whatever else holds it:
 * with N/2 blocks in hands and a lag of N/2 there would be no room left. Its bound is
 * max(tail - lag, reap + 1), of one load of the state:
 *
 *  U1  reap + 1 <= tail, since held <= N/2 and N >= 4: the gate stays below the tail.
 *  U2  Each computation leaves room for one block, if no other group holds it. When
 *	that block is taken, reap + 1 moves on with reap. So an output always finds
 *	one, and a reserve gets at least one.
 *  U3  If reap moves on between that load and the swap, the swap stores less than
 *	reap + 1 of that moment. It still stores at least reap, by G1 and G5: the new
 *	position is above the old gate, which is the same as at that load, and reap
 *	has not passed that.
 *  U4  What lies at reap is overwritten under the group only when the bound is
 *	needed. The group finds out as with any overrun: reap has passed its head.
 *
 * SIGKILL before the commit: nothing happened; after it: all happened. Between
 * reserve and publish: the block is out of the ring under the dead one's name,
 * which sweep.c takes back. There are no other cases.
 *
 * Of the values in shared memory a producer follows only block indices, and
 * masks them, so that a producer of the same channel that scribbles can spoil
 * events but not send us out of the segment.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/lane/cursor.h"
#include "lib/lane/emit.h"
#include "lib/lane/lane.h"
#include "lib/base/rseq.h"
#include "lib/base/testpoint.h"
#include "lib/base/tsc.h"

_Static_assert(sizeof(struct tpi_lane) == 64, "a lane's handle is one line");
_Static_assert(offsetof(struct tpi_lane, shm) == 0, "sections: shm");
_Static_assert(offsetof(struct tpi_lane, desc) == 8, "sections: desc");
_Static_assert(offsetof(struct tpi_lane, owner) == 16, "sections: owner");
_Static_assert(offsetof(struct tpi_lane, time) == 24, "sections: time");
_Static_assert(offsetof(struct tpi_lane, cpu) == 40, "sections: cpu");
_Static_assert(offsetof(struct tpi_lane, mask) == 44, "sections: mask");
_Static_assert(offsetof(struct tapio_shm_lane, state) == 0, "sections: state");
_Static_assert(offsetof(struct tpi_rseq, cpu_id) == 4, "sections: cpu_id");
_Static_assert(offsetof(struct tpi_rseq, rseq_cs) == 8, "sections: rseq_cs");

/* Sixteen bytes of payload in a vector register. */
typedef long long vec16 __attribute__((vector_size(16)));

/* Up to 64 bytes, gathered before the section so that it only stores. */
struct payload {
	vec16 x[4];
};

/* Where an event goes: what a section stores to, computed before it. */
struct spot {
	unsigned char *block;
	uint32_t *owner;
	uint64_t *slot; /* of the descriptor, at the tail */
	uint64_t *time; /* of the stamp; not to be used by lanes without */
	uint64_t desc;
};

/* As many blocks as may be reserved on a lane at once. */
static inline uint32_t held_limit(const struct tpi_lane *lane)
{
	uint32_t half = (lane->mask + 1) / 2;

	return half < TAPIO_HELD_MAX ? half : TAPIO_HELD_MAX;
}

static inline vec16 load16(const unsigned char *at)
{
	vec16 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* Fewer than 16 bytes, without reading beyond them. */
static vec16 load_short(const unsigned char *at, uint32_t length)
{
	uint64_t lo = 0, hi = 0;
	uint32_t end;

	if (length >= 8) {
		memcpy(&lo, at, 8);
		if (length > 8) {
			memcpy(&hi, at + length - 8, 8);
			hi >>= 8 * (16 - length);
		}
	} else if (length >= 4) {
		memcpy(&lo, at, 4);
		memcpy(&end, at + length - 4, 4);
		lo |= (uint64_t)end << 8 * (length - 4);
	} else if (length) {
		lo = at[0];
		lo |= (uint64_t)at[length / 2] << 8 * (length / 2);
		lo |= (uint64_t)at[length - 1] << 8 * (length - 1);
	}
	return (vec16){(long long)lo, (long long)hi};
}

#if defined(__x86_64__)
#include "lib/lane/section_x86_64.h"
#elif defined(__aarch64__)
#include "lib/lane/section_aarch64.h"
#else
#error "Tapio has rseq sections for x86-64 and aarch64"
#endif

/* ---- the same on side lanes: no kernel needed, the caller excludes others -- */

static void stamp(const struct tpi_lane *lane, uint64_t position, uint64_t time)
{
	if (!lane->time)
		return;
	if (time == TPI_STAMP_TSC)
		time = tpi_tsc();
	/* Relaxed: an observer may look while we write; it checks. */
	tpi_store_relaxed(&lane->time[position & lane->mask], time);
}

static void side_commit(const struct tpi_lane *lane, uint64_t state)
{
	/*
	 * ORDER lane.state (release): block, descriptor and stamp are visible to
	 * whoever sees this state. Pairs with the acquire in tpi_lane_peek().
	 */
	tpi_store_release(&lane->shm->state, state);
}

static int side_output(const struct tpi_lane *lane, uint64_t state,
		       uint32_t block, uint64_t meta, uint64_t time,
		       const void *data, uint32_t length)
{
	uint64_t tail = TAPIO_STATE_TAIL(state);

	/*
	 * ORDER lane.reuse (store-store): the commit that freed this block is
	 * visible before what is written into it, so that an observer whose
	 * copy is torn also finds reap moved on. Pairs with tpi_lane_intact().
	 */
	tpi_fence_store_store();
	if (length)
		memcpy(tpi_lane_block(lane, block), data, length);
	tpi_store_relaxed(&lane->owner[block], TAPIO_NOBODY);
	tpi_store_relaxed(&lane->desc[tail & lane->mask], meta | block);
	stamp(lane, tail, time);
	side_commit(lane, state + TAPIO_STATE(1, 0));
	return 0;
}

static int side_reserve(const struct tpi_lane *lane, uint64_t state,
			const uint32_t *blocks, uint32_t count, uint32_t me)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		tpi_store_relaxed(&lane->owner[blocks[i]], me);
	side_commit(lane, state + count);
	/* ORDER lane.reuse (store-store): as in side_output(), for the caller's
	 * stores into the blocks. Pairs with tpi_lane_intact(). */
	tpi_fence_store_store();
	return 0;
}

static int side_publish(const struct tpi_lane *lane, uint64_t state,
			const uint64_t *descs, uint32_t count, uint64_t time)
{
	uint64_t tail = TAPIO_STATE_TAIL(state);
	uint32_t i;

	if (lane->time && time == TPI_STAMP_TSC)
		time = tpi_tsc();
	for (i = 0; i < count; i++) {
		tpi_store_relaxed(&lane->desc[(tail + i) & lane->mask],
				  descs[i]);
		stamp(lane, tail + i, time);
	}
	side_commit(lane, state + TAPIO_STATE(count, 0) - count);
	return 0;
}

/* ---- the gate ------------------------------------------------------------- */

/* What a group has released on a lane; the gate, if its head is no news. */
static uint64_t released(const struct tpi_lane *lane,
			 const struct tapio_shm_cursor *cursor, uint64_t slot)
{
	uint64_t head;

	if (tpi_cursor_head(cursor, &head) &&
	    TAPIO_HEAD_INCARNATION(head) == TAPIO_SLOT_INCARNATION(slot))
		return TAPIO_HEAD_POSITION(head);
	return tpi_load_relaxed(&lane->shm->gate) & TAPIO_POSITION_MASK;
}

/* Up to where group `slot` lets a lane in that state be reused. */
static uint64_t slot_limit(const struct tpi_lane *lane,
			   const struct tapio_shm_cursor *cursors,
			   uint64_t slot, uint64_t state)
{
	uint64_t bound, position = released(lane, &cursors[lane->id], slot);

	if (TAPIO_SLOT_POLICY(slot) != TAPIO_GROUP_UNTIL)
		return position;
	/* Also for a head that is no news, or its writer would hold the lane
	 * without a limit. */
	bound = tpi_until_bound(lane, slot, state);
	return tapio_position_diff(position, bound) < 0 ? bound : position;
}

static bool slot_gates(uint64_t slot)
{
	return TAPIO_SLOT_STATE(slot) == TAPIO_SLOT_ACTIVE &&
	       TAPIO_SLOT_POLICY(slot) != TAPIO_GROUP_LOSSY;
}

bool tpi_gate_compute(const struct tpi_lane *lane,
		      const struct tpi_gating *gating, uint64_t *gate,
		      uint64_t *generation, int *slot)
{
	uint64_t state, limit, word, active = UINT64_MAX;
	int i;

	/*
	 * ORDER channel.generation (acquire): slots and heads are read after the
	 * generation, so an unchanged generation below means that they belong
	 * together. Pairs with the broker's release when a group joins or ends.
	 */
	*generation = tpi_load_acquire(gating->generation);
	state = tpi_load_relaxed(&lane->shm->state);
	*gate = TAPIO_STATE_TAIL(state);
	if (slot)
		*slot = -1;
	if (gating->active)
		active = tpi_load_relaxed(gating->active);
	for (; active; active &= active - 1) {
		i = __builtin_ctzll(active);
		/* ORDER group.slot (acquire): heads were set before the slot
		 * became ACTIVE. Pairs with the broker's join. */
		word = tpi_load_acquire(&gating->groups[i].slot);
		if (!slot_gates(word))
			continue;
		limit = gating->cursors[i]
				? slot_limit(lane, gating->cursors[i], word,
					     state)
				: tpi_load_relaxed(&lane->shm->gate);
		if (tapio_position_diff(limit, *gate) < 0) {
			*gate = limit;
			if (slot)
				*slot = i;
		}
	}
	/* ORDER channel.generation (load-load): the heads before the second
	 * look. Pairs with the broker's release when a group joins or ends. */
	tpi_fence_load_load();
	return tpi_load_relaxed(gating->generation) == *generation;
}

/*
 * Moves the gate on, if it can be. 0 with the gate in *gate, or TPI_MOVED: groups or
 * the gate have changed meanwhile.
 *
 * SIGKILL, preemption or migration anywhere here: the gate stays as it was, which
 * is a lower bound. SIGSTOP before the swap, for however long: see G4.
 */
static int raise_gate(const struct tpi_lane *lane,
		      const struct tpi_gating *gating, uint64_t *gate)
{
	uint64_t old, new, generation;

	/*
	 * ORDER lane.gate (acquire): G4, the groups that the broker showed before
	 * it sealed the gate. Pairs with tpi_gate_seal().
	 */
	old = tpi_load_acquire(&lane->shm->gate);
	if (!tpi_gate_compute(lane, gating, &new, &generation, NULL))
		return TPI_MOVED;
	TPI_TESTPOINT("gate.computed");
	*gate = old;
	if (tapio_position_diff(new, old) <= 0)
		return 0;
	new = (old & ~TAPIO_POSITION_MASK) | (new &TAPIO_POSITION_MASK);
	/*
	 * ORDER lane.gate (acq_rel): the tail and the heads that it was computed
	 * from, before the gate. Pairs with the acquire in lib/lane/ledger.c,
	 * with tpi_gate_seal(), and with the load-load in tpi_held_for_us().
	 */
	if (!tpi_cas_acq_rel(&lane->shm->gate, &old, new))
		return TPI_MOVED;
	*gate = new;
	return 0;
}

uint64_t tpi_gate_seal(const struct tpi_lane *lane)
{
	/*
	 * ORDER lane.gate (acq_rel): G4, the slots that the caller has shown,
	 * before the epoch. Pairs with raise_gate().
	 */
	return tpi_add_acq_rel(&lane->shm->gate, TAPIO_POSITION_MASK + 1) &
	       TAPIO_POSITION_MASK;
}

/* Room for `count` blocks looks too small: has the gate moved on? */
__attribute__((noinline, cold)) static int
refresh_gate(const struct tpi_lane *lane, const struct tpi_gating *gating,
	     uint32_t count)
{
	uint64_t state, gate;
	int err = raise_gate(lane, gating, &gate);

	if (err)
		return err;
	state = tpi_load_relaxed(&lane->shm->state);
	if (tapio_position_diff(gate, tpi_lane_reap(lane, state)) >= count)
		return 0;
	/* Nothing is unread: the blocks are not in the ring but in hands. */
	if (!tapio_position_diff(gate, TAPIO_STATE_TAIL(state)))
		return TPI_HELD;
	return TPI_FULL;
}

/* Whether `count` blocks may be taken in `state`; 0 or a TPI_ result. */
static inline int room(const struct tpi_lane *lane,
		       const struct tpi_gating *gating, uint64_t state,
		       uint32_t count)
{
	uint64_t reap = tpi_lane_reap_unmasked(lane, state);
	uint64_t gate = tpi_load_relaxed(&lane->shm->gate);

	if (tpi_likely(tapio_position_diff(gate, reap) >= (int64_t)count))
		return 0;
	return refresh_gate(lane, gating, count);
}

/* The block at a position that is in the ring; masked, so always inside. */
static inline uint32_t block_at(const struct tpi_lane *lane, uint64_t position)
{
	return (uint32_t)tpi_load_relaxed(&lane->desc[position & lane->mask]) &
	       lane->mask;
}

/* ---- the operations --------------------------------------------------------- */

/*
 * The event with that `meta` in the block that is the oldest in the ring: the one
 * at reap = tail + held - N, which is a slot of the same index as tail + held.
 */
static inline __attribute__((always_inline)) struct spot
spot_of(const struct tpi_lane *lane, uint64_t state, uint64_t meta)
{
	const uint32_t mask = lane->mask;
	uint64_t tail = TAPIO_STATE_TAIL(state);
	uint64_t oldest = tail + TAPIO_STATE_HELD(state);
	uint32_t block = block_at(lane, oldest);

	return (struct spot){
		.block = tpi_lane_block(lane, block),
		.owner = &lane->owner[block],
		.slot = &lane->desc[tail & mask],
		.time = lane->time ? &lane->time[tail & mask] : NULL,
		.desc = meta | block,
	};
}

enum output_size {
	OUTPUT_32, /* up to 31 bytes, in two moves that may overlap */
	OUTPUT_64, /* 32 to 64, in four */
	OUTPUT_LONG,
};
enum output_stamp {
	OUTPUT_PLAIN, /* the lane has no stamps */
	OUTPUT_TSC,   /* read inside the section */
	OUTPUT_VALUE, /* a clock, read before it */
};

static inline enum output_size output_size_of(uint32_t length)
{
	if (length > 64)
		return OUTPUT_LONG;
	return length >= 32 ? OUTPUT_64 : OUTPUT_32;
}

#define BY_STAMP(name, ...)                              \
	(stamp == OUTPUT_PLAIN ? name(__VA_ARGS__)       \
	 : stamp == OUTPUT_TSC ? name##_tsc(__VA_ARGS__) \
			       : name##_value(__VA_ARGS__))

/* Size and stamp are constants where it matters how long it takes. */
static inline __attribute__((always_inline)) int
cpu_output(const struct tpi_lane *lane, uint64_t state, const struct spot *at,
	   const unsigned char *data, uint64_t length, uint64_t time,
	   enum output_size size, enum output_stamp stamp)
{
	struct payload in;

	switch (size) {
	case OUTPUT_32:
		if (length >= 16) {
			in.x[0] = load16(data);
			in.x[1] = load16(data + length - 16);
		} else {
			in.x[0] = in.x[1] = load_short(data, (uint32_t)length);
			length = 16;
		}
		return BY_STAMP(section_output_32, lane, state, at, time, data,
				length, &in);
	case OUTPUT_64:
		in.x[0] = load16(data);
		in.x[1] = load16(data + 16);
		in.x[2] = load16(data + length - 32);
		in.x[3] = load16(data + length - 16);
		return BY_STAMP(section_output_64, lane, state, at, time, data,
				length, &in);
	default:
		return BY_STAMP(section_output_long, lane, state, at, time,
				data, length, NULL);
	}
}

static enum output_stamp stamp_of(const struct tpi_lane *lane, uint64_t time)
{
	if (!lane->time)
		return OUTPUT_PLAIN;
	return time == TPI_STAMP_TSC ? OUTPUT_TSC : OUTPUT_VALUE;
}

int tpi_lane_output(const struct tpi_lane *lane,
		    const struct tpi_gating *gating, uint64_t meta,
		    uint64_t time, const void *data, uint32_t length)
{
	/* Relaxed, as are gate and descriptors: only this CPU writes them, and
	 * if we have moved, the section notices. */
	uint64_t state = tpi_load_relaxed(&lane->shm->state);
	struct spot at;
	int err;

	err = room(lane, gating, state, 1);
	if (tpi_unlikely(err))
		return err;
	at = spot_of(lane, state, meta);
	if (lane->cpu == TAPIO_CPU_SIDE)
		return side_output(lane, state, TAPIO_DESC_BLOCK(at.desc), meta,
				   time, data, length);
	return cpu_output(lane, state, &at, data, length, time,
			  output_size_of(length), stamp_of(lane, time));
}

/* block_at() for `count` positions: a run up to the ring's end, and one after. */
static void blocks_at(const struct tpi_lane *lane, uint64_t position,
		      uint32_t *blocks, uint32_t count)
{
	const uint32_t mask = lane->mask;
	uint32_t at = (uint32_t)position & mask;
	uint32_t n, run;

	while (count) {
		const uint64_t *desc = &lane->desc[at];

		run = mask + 1 - at < count ? mask + 1 - at : count;
		for (n = 0; n < run; n++)
			blocks[n] = (uint32_t)tpi_load_relaxed(&desc[n]) & mask;
		blocks += run;
		count -= run;
		at = 0;
	}
}

int tpi_lane_reserve(const struct tpi_lane *lane,
		     const struct tpi_gating *gating, uint32_t me,
		     uint32_t *blocks, uint32_t count)
{
	uint64_t state = tpi_load_relaxed(&lane->shm->state);
	uint64_t reap = tpi_lane_reap_unmasked(lane, state);
	int err;

	if (tpi_unlikely(TAPIO_STATE_HELD(state) + count > held_limit(lane)))
		return TPI_HELD;
	err = room(lane, gating, state, count);
	if (tpi_unlikely(err))
		return err;
	blocks_at(lane, reap, blocks, count);
	if (lane->cpu == TAPIO_CPU_SIDE)
		return side_reserve(lane, state, blocks, count, me);
	return section_reserve(lane, state, blocks, count, me);
}

int tpi_lane_publish(const struct tpi_lane *lane, const uint64_t *descs,
		     uint32_t count, uint64_t time)
{
	uint64_t state = tpi_load_relaxed(&lane->shm->state);
	uint64_t next = state + TAPIO_STATE(count, 0) - count;
	enum output_stamp stamp;
	uint64_t at;

	if (tpi_unlikely(TAPIO_STATE_HELD(state) < count))
		return -EINVAL;
	if (lane->cpu == TAPIO_CPU_SIDE)
		return side_publish(lane, state, descs, count, time);
	at = TAPIO_STATE_TAIL(state) & lane->mask;
	stamp = stamp_of(lane, time);
	if (tpi_unlikely(at + count > (uint64_t)lane->mask + 1))
		return BY_STAMP(section_publish, lane, state, next, descs,
				count, time);
	return BY_STAMP(section_publish_run, lane, state, next, lane->desc + at,
			lane->time ? lane->time + at : NULL, descs, count,
			time);
}

#include "lib/lane/emit_fast.h"
