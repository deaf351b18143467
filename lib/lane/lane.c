/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's operations: output, reserve, publish, and the gate they respect.
 *
 * THE ARGUMENT. Two facts carry everything:
 *
 *  L1  Exclusivity. Only code that runs on CPU c changes lane c, inside an rseq
 *	section. The kernel aborts a section when its thread is preempted, migrated
 *	or signalled. A side lane is changed by its owner alone, under the owner's
 *	private mutex with signals blocked.
 *  L2  One-word commit. Every operation becomes visible by one plain store of
 *	`state`, the last store of its section. (An `add` without a lock prefix, to a
 *	word that the section has compared, is such a store: section_x86_64.h.)
 *
 * From them:
 *
 *  L3  `state` never repeats: tail only grows, and held falls only when tail
 *	grows. So what was computed from a state outside the section holds inside
 *	it if the state is still the same.
 *  L4  Before its commit a section changes, of what lies in [reap, tail), only
 *	the block at reap, its stamp, type and length in its descriptor, and the
 *	tickets of blocks that it is about to take. output writes entry `tail`:
 *	with held = 0 that is the entry of reap and gets the same block back. With
 *	held > 0 it lies outside [reap, tail). publish writes n <= held entries from
 *	tail on, which lie outside.
 *  L5  In-ring blocks plus held blocks are N. So publishing never fails for lack
 *	of an entry. Only taking a block can be refused.
 *
 * TICKETS. Each block has a word, its ticket: owner:32 | place:32, where the place has
 * an index, a serial and the mark ENTERED (abi.h). output stores owner = NOBODY and
 * nothing else of it. reserve stores the whole word: its own id, the index from which
 * it takes the block, and a serial. publish compares the whole word with the one that
 * the reservation carries, and stores the place: ENTERED, and the index where the
 * block enters. All of these stores stand before the commit. Outside of sections the
 * word changes by swaps alone (sweep.c), which keep the index.
 *
 *  T1  For a block in the ring at position p that bears an owner, the index is p mod
 *	N. A publish at p has stored it, or a reserve that was aborted: that one had
 *	found the block at p. An output has stored no owner. No swap changes the
 *	index.
 *  T2  So a block that bears an owner lies in the ring if and only if the position
 *	with that index is in [reap, tail) and the descriptor there names the block:
 *	descriptors in [reap, tail) name exactly the blocks in the ring. An index that
 *	is left from an aborted publish, or from an earlier lap, does no harm, since
 *	the descriptor decides.
 *  T3  A block that is out of the ring was taken by a committed reserve, and the last
 *	section that wrote its owner was that one. So its owner is the true holder,
 *	until a swap says otherwise.
 *  T4  A reservation is open if and only if its block bears its owner and its serial,
 *	and lies outside of the ring. The section of a publish compares the whole word
 *	with a ticket that is not ENTERED. If they are the same, the block is
 *	outside: a block that has entered is marked, or bears another owner, or
 *	was stored by an aborted reserve with a serial that was never given out.
 *	If the word is ENTERED, an attempt of this reservation was aborted after
 *	the mark, or it was published. Then T2 decides, for the state that the
 *	section compares (publish_checked()).
 *  T5  No two reservations of a block by one owner have the same serial. A reserve
 *	takes the serial from its position, in half laps: before the block is taken
 *	again, it enters at a position that is more than N / 2 later, since held <=
 *	N / 2. A swap takes it from a counter of its owner, with the mark CLAIMED.
 *	(A serial comes round after 2^29 positions, and then only for a copy that
 *	was kept so long.)
 *  T6  A batch with one block twice is refused: the first one marks the word, so the
 *	second comparison fails, before the commit.
 *  T7  The second section of a batch (section_output_run) compares no ticket. The state
 *	is that of the first one's commit, so nothing has happened here since (L3), and
 *	no one else has had the tickets. They are ENTERED from the first section on:
 *	held was 0, so the index is the same. Once it has failed, T4 decides by T2. If
 *	the handle is closed meanwhile, a sweep may have named itself on a block that
 *	is published then, and finds that out by the mark (tests/model/run.pml).
 *
 * The comparison must stand inside the section. Two threads on this CPU are kept apart
 * by the state. But a thread on another CPU may copy the event to its own lane and
 * give the block up, which does not change this lane's state. The swap and the section
 * may still cross, in the few instructions between the comparison and the commit. Then
 * the event comes twice, and the block is in the ring although its word says ABANDONED
 * or bears a new serial. It keeps the right index, so T2 still finds it there, and
 * neither claim nor sweep takes it (sweep.c, S6).
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
 *  G6  A slot whose memory was replaced, and that this process has not mapped yet, is
 *	unheard (tpi_gating_hears()). Its limit is the gate itself, or the bound of
 *	`until`, as for a head that is no news. So the gate stays where it is for a
 *	lossless group. Others who have mapped it move the gate. A computation that
 *	reads heads of memory that is replaced at that moment finds another generation
 *	at the end: the broker stores the epoch, then the generation, and gives the file
 *	to nobody before.
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
 * SIGKILL before the commit: nothing happened. After it: all happened. Between
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
_Static_assert(offsetof(struct tpi_lane, tickets) == 16, "sections: tickets");
_Static_assert(offsetof(struct tpi_lane, time) == 24, "sections: time");
_Static_assert(offsetof(struct tpi_lane, blocks) == 32, "sections: blocks");
_Static_assert(offsetof(struct tpi_lane, cpu) == 40, "sections: cpu");
_Static_assert(offsetof(struct tpi_lane, mask) == 44, "sections: mask");
_Static_assert(offsetof(struct tapio_shm_lane, state) == 0, "sections: state");
_Static_assert(offsetof(struct tapio_item, data) == 0, "sections: data");
_Static_assert(offsetof(struct tapio_item, length) == 8, "sections: kind");
_Static_assert(sizeof(struct tapio_item) == 16, "sections: items");
_Static_assert(offsetof(struct tpi_rseq, cpu_id) == 4, "sections: cpu_id");
_Static_assert(offsetof(struct tpi_rseq, rseq_cs) == 8, "sections: rseq_cs");

/* Sixteen bytes of payload in a vector register. */
typedef long long vec16 __attribute__((vector_size(16)));

/* Up to 64 bytes, gathered before the section so that it only stores. */
struct payload {
	vec16 x[4];
};

/* Where an event goes: the addresses that a section stores to, computed before
 * it. */
struct spot {
	unsigned char *payload;
	uint64_t *ticket;
	uint64_t block;
	uint64_t *entry; /* of the descriptor, at the tail */
	uint64_t *time;  /* of the stamp. Not to be used by lanes without */
	uint64_t desc;
};

/* As many blocks as may be reserved on a lane at once. */
static inline uint32_t held_limit(const struct tpi_lane *lane)
{
	return (lane->mask >> 1) + 1;
}
_Static_assert(TAPIO_BLOCKS_MAX / 2 <= TAPIO_HELD_MAX,
	       "half of a lane can be counted");

static inline vec16 load16(const unsigned char *at)
{
	vec16 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* 32 to 64 bytes. */
static inline struct payload payload_64(const unsigned char *data,
					uint64_t length)
{
	return (struct payload){{load16(data), load16(data + 16),
				 load16(data + length - 32),
				 load16(data + length - 16)}};
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

/* What the sections have as text. */
#define TPI_AHEAD_TEXT "768"
_Static_assert(TPI_AHEAD_BYTES == 768, "sections: ahead");

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
	/* Relaxed: an observer may look while we write. It checks. */
	tpi_store_relaxed(&lane->time[position & lane->mask], time);
}

static void side_commit(const struct tpi_lane *lane, uint64_t state)
{
	/*
	 * ORDER lane.state (release): block, descriptor and stamp are visible
	 * to all that see this state. Pairs with the acquire in
	 * tpi_lane_peek().
	 */
	tpi_store_release(&lane->shm->state, state);
}

static int side_output(const struct tpi_lane *lane, uint64_t state,
		       const struct spot *at, uint64_t time, const void *data,
		       uint32_t length)
{
	/*
	 * ORDER lane.reuse (store-store): the commit that freed this block is
	 * visible before what is written into it, so that an observer whose
	 * copy is torn also finds reap moved on. Pairs with tpi_lane_intact().
	 */
	tpi_fence_store_store();
	if (length)
		memcpy(at->payload, data, length);
	tpi_store_relaxed((uint32_t *)(void *)at->ticket, TAPIO_NOBODY);
	tpi_store_relaxed(at->entry, at->desc);
	stamp(lane, TAPIO_STATE_TAIL(state), time);
	side_commit(lane, state + TAPIO_STATE(1, 0));
	return 0;
}

static int side_reserve(const struct tpi_lane *lane, uint64_t state,
			const uint32_t *blocks, const uint64_t *words,
			uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		tpi_store_relaxed(&lane->tickets[blocks[i]], words[i]);
	side_commit(lane, state + count);
	/* ORDER lane.reuse (store-store): as in side_output(), for the caller's
	 * stores into the blocks. Pairs with tpi_lane_intact(). */
	tpi_fence_store_store();
	return 0;
}

/* Says by the ticket where a block enters the ring. False if it is not open. */
static bool side_enter(const struct tpi_lane *lane, uint32_t block,
		       uint64_t expected, uint64_t position)
{
	uint64_t *ticket = &lane->tickets[block];
	uint32_t place;

	/* Relaxed: a change by others makes it another word. */
	if (tpi_load_relaxed(ticket) != expected)
		return false;
	place = tpi_place_entered(lane, TAPIO_TICKET_PLACE(expected),
				  position & lane->mask);
	tpi_store_relaxed((uint32_t *)(void *)ticket + 1, place);
	return true;
}

static int side_publish(const struct tpi_lane *lane, uint64_t state,
			const uint64_t *descs, const uint64_t *tickets,
			uint32_t count, uint64_t time)
{
	uint64_t tail = TAPIO_STATE_TAIL(state);
	uint32_t i;

	if (lane->time && time == TPI_STAMP_TSC)
		time = tpi_tsc();
	for (i = 0; i < count; i++) {
		if (!side_enter(lane, TAPIO_DESC_BLOCK(descs[i]), tickets[i],
				tail + i))
			return TPI_MOVED;
		tpi_store_relaxed(&lane->desc[(tail + i) & lane->mask],
				  descs[i]);
		stamp(lane, tail + i, time);
	}
	side_commit(lane, state + TAPIO_STATE(count, 0) - count);
	return 0;
}

/* ---- the gate ------------------------------------------------------------- */

/* The position that a group has released on a lane, or the gate, if its head is
 * no news. `cursor` is NULL for one that is unheard. */
static uint64_t released(const struct tpi_lane *lane,
			 const struct tapio_shm_cursor *cursor, uint64_t slot)
{
	uint64_t head;

	if (cursor && tpi_cursor_head(cursor, &head) &&
	    TAPIO_HEAD_INCARNATION(head) == TAPIO_SLOT_INCARNATION(slot))
		return TAPIO_HEAD_POSITION(head);
	return tpi_load_relaxed(&lane->shm->gate) & TAPIO_POSITION_MASK;
}

/* Up to where group `slot` lets a lane in that state be reused. */
static uint64_t slot_limit(const struct tpi_lane *lane,
			   const struct tapio_shm_cursor *cursor, uint64_t slot,
			   uint64_t state)
{
	uint64_t bound, position = released(lane, cursor, slot);

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
		limit = slot_limit(lane,
				   tpi_gating_hears(gating, i)
					   ? &gating->cursors[i][lane->id]
					   : NULL,
				   word, state);
		if (tapio_position_diff(limit, *gate) < 0) {
			*gate = limit;
			if (slot)
				*slot = i;
		}
	}
	TPI_TESTPOINT("gate.looked");
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

/* So often others may take the room that a computation of the gate has made. */
#define ROOM_TRIES 16

/*
 * Room for `count` blocks looks too small: has the gate moved on? A computation may
 * leave room for one block alone (U2). When another thread has taken that by now, the
 * next computation leaves the next one, so that is no refusal.
 */
__attribute__((noinline, cold)) static int
refresh_gate(const struct tpi_lane *lane, const struct tpi_gating *gating,
	     uint32_t count)
{
	uint64_t before, state = tpi_load_relaxed(&lane->shm->state), gate;
	int err, tries = ROOM_TRIES;

	if (gating->heed && tpi_load_relaxed(gating->generation) !=
				    tpi_load_relaxed(gating->heeded))
		gating->heed(gating);
	do {
		before = state;
		err = raise_gate(lane, gating, &gate);
		if (err)
			return err;
		TPI_TESTPOINT("gate.raised");
		state = tpi_load_relaxed(&lane->shm->state);
		if (tapio_position_diff(gate, tpi_lane_reap(lane, state)) >=
		    count)
			return 0;
	} while (state != before && --tries);
	/* Nothing is unread: the blocks are not in the ring but in hands. */
	if (!tapio_position_diff(gate, TAPIO_STATE_TAIL(state)))
		return TPI_HELD;
	return TPI_FULL;
}

/* Whether `count` blocks may be taken in `state`. 0 or a TPI_ result. */
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

/* ---- the operations --------------------------------------------------------- */

/* The result of one look at a lane. */
struct sight {
	uint64_t state;
	uint64_t gate; /* loaded after the state */
	/* The position of the oldest block in the ring, plus N. */
	uint64_t oldest;
};

static inline __attribute__((always_inline)) struct sight
sight_of(const struct tpi_lane *lane)
{
	const struct tapio_shm_lane *shm = lane->shm;
	struct sight s;

	/* Relaxed: see tpi_lane_glance(). */
	s.state = tpi_load_relaxed(&shm->state);
	s.gate = tpi_load_relaxed(&shm->gate);
	s.oldest = TAPIO_STATE_TAIL(s.state) + (s.state & TAPIO_HELD_MASK);
	return s;
}

static inline uint64_t oldest_block(const struct tpi_lane *lane,
				    const struct sight *s)
{
	return tpi_load_relaxed(&lane->desc[s->oldest & lane->mask]) &
	       lane->mask;
}

/* Has a value computed here and not where it is used: what it is made of lives shorter. */
#define COMPUTE_NOW(value) __asm__("" : "+r"(value))

/* The event with that `meta` in the block that is the oldest in the ring. */
static inline __attribute__((always_inline)) struct spot
spot_of(const struct tpi_lane *lane, const struct sight *s, uint64_t meta,
	bool stamped)
{
	uint64_t index = TAPIO_STATE_TAIL(s->state) & lane->mask;
	uint64_t *entry = &lane->desc[index];
	uint64_t *time = stamped ? &lane->time[index] : NULL;
	uint64_t block;

	COMPUTE_NOW(entry);
	block = oldest_block(lane, s);
	return (struct spot){
		.payload = tpi_lane_block(lane, (uint32_t)block),
		.ticket = &lane->tickets[block],
		.block = block,
		.entry = entry,
		.time = time,
		.desc = meta | block,
	};
}

enum output_size {
	OUTPUT_32, /* up to 31 bytes, in two moves that may overlap */
	OUTPUT_64, /* 32 to 64, in four */
	OUTPUT_LONG,
	OUTPUT_WIDE, /* as LONG, where tpi_has_wide() */
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
		in = payload_64(data, length);
		return BY_STAMP(section_output_64, lane, state, at, time, data,
				length, &in);
#ifdef TPI_HAVE_WIDE
	case OUTPUT_WIDE:
		if (tpi_likely(!BY_STAMP(section_output_wide, lane, state, at,
					 time, data, length, NULL)))
			return 0;
		wide_over();
		return TPI_MOVED;
#endif
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
	const struct sight s = sight_of(lane);
	struct spot at;
	int err;

	err = room(lane, gating, s.state, 1);
	if (tpi_unlikely(err))
		return err;
	at = spot_of(lane, &s, meta, lane->time);
	TPI_TESTPOINT("lane.looked");
	if (lane->cpu == TAPIO_CPU_SIDE)
		return side_output(lane, s.state, &at, time, data, length);
	return cpu_output(lane, s.state, &at, data, length, time,
			  output_size_of(length), stamp_of(lane, time));
}

/*
 * oldest_block() for `count` positions, and the tickets of `me` for them: a run up
 * to the end of a half lap, in which places are neighbours, and one after.
 */
static void take_at(const struct tpi_lane *lane, uint64_t oldest, uint32_t me,
		    uint32_t *blocks, uint64_t *tickets, uint32_t count)
{
	const uint32_t mask = lane->mask, half = mask >> 1;
	uint32_t n, run;

	while (count) {
		const uint64_t *desc = &lane->desc[oldest & mask];
		uint64_t ticket = TAPIO_TICKET(
			me, tpi_place_taken(lane, oldest, oldest & mask));

		run = half + 1 - ((uint32_t)oldest & half);
		if (run > count)
			run = count;
		for (n = 0; n < run; n++) {
			blocks[n] = (uint32_t)tpi_load_relaxed(&desc[n]) & mask;
			tickets[n] = ticket + TAPIO_TICKET(0, n);
		}
		blocks += run;
		tickets += run;
		count -= run;
		oldest += run;
	}
}

int tpi_lane_reserve(const struct tpi_lane *lane,
		     const struct tpi_gating *gating, uint32_t me,
		     uint32_t *blocks, uint64_t *tickets, uint32_t count)
{
	uint64_t state = tpi_lane_glance(lane);
	uint64_t oldest = TAPIO_STATE_TAIL(state) + TAPIO_STATE_HELD(state);
	int err;

	if (tpi_unlikely(count - 1 >= TPI_SECTION_BLOCKS))
		return -EINVAL;
	if (tpi_unlikely(TAPIO_STATE_HELD(state) + count > held_limit(lane)))
		return TPI_HELD;
	err = room(lane, gating, state, count);
	if (tpi_unlikely(err))
		return err;
	take_at(lane, oldest, me, blocks, tickets, count);
	TPI_TESTPOINT("lane.looked");
	if (lane->cpu == TAPIO_CPU_SIDE)
		return side_reserve(lane, state, blocks, tickets, count);
	return section_reserve(lane, state, blocks, tickets, count);
}

/* One attempt, for tickets that are what the words of open blocks are in `state`. */
static int publish_in(const struct tpi_lane *lane, uint64_t state,
		      const uint64_t *descs, const uint64_t *tickets,
		      uint32_t count, uint64_t time)
{
	uint64_t next = state + TAPIO_STATE(count, 0) - count;
	uint64_t at = TAPIO_STATE_TAIL(state) & lane->mask;
	enum output_stamp stamp = stamp_of(lane, time);

	TPI_TESTPOINT("lane.looked");
	if (lane->cpu == TAPIO_CPU_SIDE)
		return side_publish(lane, state, descs, tickets, count, time);
	if (tpi_unlikely(at + count > (uint64_t)lane->mask + 1))
		return BY_STAMP(section_publish, lane, state, next, descs,
				tickets, count, time);
	return BY_STAMP(section_publish_run, lane, state, next, lane->desc + at,
			lane->time ? lane->time + at : NULL, descs, tickets,
			count, time);
}

/* T4, for a state that was loaded after the word. */
static bool is_open(const struct tpi_lane *lane, uint64_t state, uint32_t block,
		    uint64_t word, uint64_t ticket)
{
	return tpi_ticket_same(lane, word, ticket) &&
	       !tpi_lane_in_ring(lane, state, block, TAPIO_TICKET_PLACE(word));
}

static bool is_twice(const uint64_t *descs, uint32_t i)
{
	uint32_t j;

	for (j = 0; j < i; j++)
		if (TAPIO_DESC_BLOCK(descs[j]) == TAPIO_DESC_BLOCK(descs[i]))
			return true;
	return false;
}

/*
 * A section has failed: because of the CPU, the state, an abort, or a ticket. An
 * earlier attempt may have marked some that are open all the same, so each is looked
 * at, and the attempt is made with the words as they are.
 */
__attribute__((noinline, cold)) static int
publish_checked(const struct tpi_lane *lane, const uint64_t *descs,
		const uint64_t *tickets, uint32_t count, uint64_t time)
{
	uint64_t state = tpi_lane_peek(lane);
	uint64_t words[TPI_SECTION_BLOCKS];
	uint32_t i, block;

	if (TAPIO_STATE_HELD(state) < count)
		return -EINVAL;
	for (i = 0; i < count; i++) {
		block = TAPIO_DESC_BLOCK(descs[i]);
		words[i] = tpi_load_relaxed(&lane->tickets[block]);
		if (!is_open(lane, state, block, words[i], tickets[i]) ||
		    is_twice(descs, i))
			return -EINVAL;
	}
	return publish_in(lane, state, descs, words, count, time);
}

int tpi_lane_publish(const struct tpi_lane *lane, const uint64_t *descs,
		     const uint64_t *tickets, uint32_t count, uint64_t time)
{
	uint64_t state = tpi_lane_glance(lane);

	if (tpi_unlikely(count - 1 >= TPI_SECTION_BLOCKS ||
			 TAPIO_STATE_HELD(state) < count))
		return -EINVAL;
	if (tpi_likely(!publish_in(lane, state, descs, tickets, count, time)))
		return 0;
	return publish_checked(lane, descs, tickets, count, time);
}

#include "lib/lane/emit_fast.h"
