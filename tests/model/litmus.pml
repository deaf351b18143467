/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The edges of the memory order on a processor that reorders, as ARM does.
 *
 * The memory itself is one for all: a store that one CPU has seen, all can see (ARMv8
 * is multi-copy atomic). The accesses of one CPU are reordered. So a thread here is
 * a set of accesses, each done once, in any order that its barriers and dependencies
 * leave open: loads early, stores late and out of order. An access names those that must
 * be done before it:
 *
 *   - after an acquire, everything later
 *   - before a release, everything earlier
 *   - dmb ishld: earlier loads before all that follows
 *   - dmb ishst: earlier stores before later stores
 *   - an address that is computed from a load, and a store behind a branch on a load,
 *     come after that load
 *   - two accesses of one word keep their order
 *
 * One edge for each -D: STATE, REUSE, HEAD, SLOT, GENERATION, GATE, TICKET, OWNER, BOARD, after
 * the names of the ORDER comments. Memory that is written once and then shown by a word
 * (ready, admitted, a region of the catalog) has the form of SLOT.
 *
 * BREAK_GIVE and BREAK_TAKE drop the giving or the taking end of the edge. With the edge
 * the assertion holds. Without either end there is a counterexample. (HEAD and TICKET have
 * no BREAK_TAKE: the rest there depends on the value, or stands behind a branch on it, so
 * the processor has no choice.) BREAK_BARRIER drops the membarrier of a join.
 */

/* An access that may be done as soon as those in `needs` are done. */
#define ACCESS(bit, needs, action)                                             \
	:: atomic { !(done & (1 << bit)) && (done & (needs)) == (needs) ->      \
		action; done = done | (1 << bit) }
#define A(bit) (1 << bit)
#define ALL_DONE(count) :: done == (1 << count) - 1 -> break

#ifdef BREAK_GIVE
#define GIVE(needs) 0
#else
#define GIVE(needs) (needs)
#endif
#ifdef BREAK_TAKE
#define TAKE(needs) 0
#else
#define TAKE(needs) (needs)
#endif

#ifdef BREAK_BARRIER
#define BARRIER(needs) 0
#else
#define BARRIER(needs) (needs)
#endif

byte block, desc, state, reap, head, gate, generation, slot, tail, owner;
byte armed, board;
bool finished;

/* ---- lane.state: an event is seen with its state --------------------------------- */
#ifdef STATE
active proctype Producer()
{
	byte done;

	do
	ACCESS(0, 0, block = 7) /* payload */
	ACCESS(1, 0, desc = 1)
	ACCESS(2, GIVE(A(0) | A(1)), state = 1) /* stlr */
	ALL_DONE(3)
	od
}

active proctype Consumer()
{
	byte done, s, d, b;

	do
	ACCESS(0, 0, s = state) /* ldar */
	ACCESS(1, TAKE(A(0)), d = desc)
	ACCESS(2, TAKE(A(0)), b = block)
	ALL_DONE(3)
	od;
	assert(s == 0 || (d == 1 && b == 7))
}
#endif

/* ---- lane.reuse: a copy that is torn finds reap moved on -------------------------- */
#ifdef REUSE
/* Position 0 lies in the block. The lane goes on until the block is at reap, and then
 * the next operation writes into it. */
active proctype Producer()
{
	byte done;

	do
	ACCESS(0, 0, reap = 1) /* the commit of one operation, stlr */
	/* dmb ishst after the checks of the next one */
	ACCESS(1, GIVE(A(0)), block = 9)
	ALL_DONE(2)
	od
}

active proctype Observer()
{
	byte done, b, r;

	do
	ACCESS(0, 0, b = block)
	ACCESS(1, TAKE(A(0)), r = reap) /* dmb ishld before it */
	ALL_DONE(2)
	od;
	/* intact: 0 > reap - 1 */
	assert(r == 1 || b == 0)
}
#endif

/* ---- cursor.head: nothing is written that a consumer still reads ------------------ */
#ifdef HEAD
active proctype Consumer()
{
	byte done, b;

	do
	ACCESS(0, 0, b = block)
	ACCESS(1, GIVE(A(0)), head = 1) /* stlr */
	ALL_DONE(2)
	od;
	assert(b == 0)
}

/* The thread that moves the gate. */
active proctype Refresher()
{
	byte done, h;

	do
	ACCESS(0, 0, h = head) /* ldar */
	/* the gate is computed from it: a dependency */
	ACCESS(1, A(0), gate = h)
	ALL_DONE(2)
	od
}

/* The next one on the lane's CPU. */
active proctype Producer()
{
	byte done, g;

	do
	ACCESS(0, 0, g = gate)
	/* a store behind a branch on the gate */
	ACCESS(1, A(0), if :: g == 1 -> block = 9 :: else fi)
	ALL_DONE(2)
	od
}
#endif

/* ---- group.slot: a slot that is ACTIVE has the heads of its group ------------------ */
#ifdef SLOT
/* J1 and J2. */
active proctype Broker()
{
	byte done;

	do
	ACCESS(0, 0, head = 1)
	ACCESS(1, GIVE(A(0)), slot = 1) /* stlr */
	ALL_DONE(2)
	od
}

/* tpi_gate_compute() */
active proctype Producer()
{
	byte done, s, h;

	do
	ACCESS(0, 0, s = slot) /* ldar */
	ACCESS(1, TAKE(A(0)), h = head)
	ALL_DONE(2)
	od;
	assert(s == 0 || h == 1)
}
#endif

/* ---- wake.board: an announcement that a board counts is seen ------------------------ */
#ifdef BOARD
/* tpi_announce() */
active proctype Member()
{
	byte done;

	do
	ACCESS(0, 0, armed = 1)
	ACCESS(1, GIVE(A(0)), board = 1) /* ldaddal */
	ALL_DONE(2)
	od
}

/* read_boards(), ring_slot() */
active proctype Producer()
{
	byte done, b, a;

	do
	ACCESS(0, 0, b = board) /* ldar */
	ACCESS(1, TAKE(A(0)), a = armed)
	ALL_DONE(2)
	od;
	assert(b == 0 || a == 1)
}
#endif

/* ---- channel.generation: a gate that was computed without a group ------------------ */
#ifdef GENERATION
/* The broker's join: J2, the membarrier, and J4. */
active proctype Broker()
{
	byte done, t;

	do
	ACCESS(0, 0, slot = 1)
	ACCESS(1, GIVE(A(0)), generation = 1) /* stlr */
	ACCESS(2, BARRIER(A(0) | A(1)), t = tail) /* after the membarrier */
	ACCESS(3, A(2), head = t)
	ALL_DONE(4)
	od;
	finished = true
}

active proctype Lane()
{
	tail = 1;
	tail = 2;
	tail = 3
}

/* tpi_gate_compute(). Its result may be stored at any time later. */
active proctype Producer()
{
	byte done, g1, g2, t, s;

	do
	ACCESS(0, 0, g1 = generation) /* ldar */
	ACCESS(1, A(0), t = tail)
	ACCESS(2, A(0), s = slot) /* ldar */
	/* dmb ishld, then the second look */
	ACCESS(3, TAKE(A(1) | A(2)) | A(0), g2 = generation)
	ALL_DONE(4)
	od;
	(finished);
	assert(g1 != g2 || s == 1 || t <= head)
}
#endif

/* ---- lane.gate: a swap from the new epoch has seen the slot ------------------------ */
#ifdef GATE
/* slot: 0 until a lag, 1 lossless; the gate's word is its epoch here. */
active proctype Broker()
{
	byte done;

	do
	ACCESS(0, 0, slot = 1)
	ACCESS(1, GIVE(A(0)), gate = 1) /* tpi_gate_seal() */
	ALL_DONE(2)
	od
}

active proctype Producer()
{
	byte done, old, s;

	do
	ACCESS(0, 0, old = gate) /* ldar */
	ACCESS(1, TAKE(A(0)), s = slot)
	ALL_DONE(2)
	od;
	atomic {
		if
		:: gate == old -> assert(gate == 0 || s == 1)
		:: else /* the swap fails */
		fi
	}
}
#endif

/* ---- block.ticket: an abandoned block is another holder's -------------------------- */
#ifdef TICKET
active proctype Holder()
{
	byte done, b;

	do
	ACCESS(0, 0, b = block) /* its last look into the block */
	ACCESS(1, GIVE(A(0)), owner = 8) /* the swap to ABANDONED */
	ALL_DONE(2)
	od;
	assert(b == 0)
}

active proctype Claimer()
{
	byte done, o;

	do
	ACCESS(0, 0, o = owner; if :: o == 8 -> owner = 2 :: else fi) /* swap */
	ACCESS(1, A(0), if :: o == 8 -> block = 9 :: else fi)
	ALL_DONE(2)
	od
}
#endif

/* ---- lane.owner: the next owner of a side lane finds it as the last one left it ---- */
#ifdef OWNER
active proctype Last()
{
	byte done;

	do
	ACCESS(0, 0, state = 1)
	ACCESS(1, GIVE(A(0)), owner = 8) /* stlr of NOBODY */
	ALL_DONE(2)
	od
}

active proctype Next()
{
	byte done, o, s;

	do
	ACCESS(0, 0, o = owner; if :: o == 8 -> owner = 2 :: else fi) /* swap */
	ACCESS(1, TAKE(A(0)), s = state)
	ALL_DONE(2)
	od;
	assert(o != 8 || s == 1)
}
#endif
