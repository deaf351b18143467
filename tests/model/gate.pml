/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate of lib/lane/lane.c (G1 to G5, U1 to U4) and the promotion of
 * broker/group/group.c (P1 to P3): producers that take and hold blocks, a durable
 * lossless group that loses its only member and gets one again.
 *
 * Positions only. A section is one step, since a section that is aborted takes nothing.
 * What lies between the sections of a producer is in steps: it may stop anywhere, for
 * any time, or be killed there.
 *
 * What must hold:
 *   reap <= gate <= tail, always
 *   reap <= head, once the group is lossless again: nothing that it reads was taken
 *   head <= gate of the moment of the promotion, or the head as it was: nothing that
 *           was still there is counted as lost
 *   a computation that was not disturbed leaves room for one block, if the group is
 *           `until`: holders and the group do not close the lane together
 *
 * JOIN is the other way to a gate that was sealed: a group that begins there (FROM THE GATE
 * in group.c). No group is there at first, so producers go up to the tail.
 *
 * At most one rule to break:
 *   BREAK_EPOCH    the gate is read and its epoch stays as it is        (G4, P2)
 *   BREAK_COMPARE  the gate is stored, not swapped                      (G1)
 *   BREAK_BACK     a gate is swapped in that is not larger              (G1, U3)
 *   BREAK_SECTION  the gate is compared in one step and stored in the next one, as in
 *                  a section that an interrupt of membarrier does not abort
 *   BREAK_EARLY    the gate is sealed before the slot changes           (P1, P2)
 *   BREAK_LATE     the old gate is loaded after the slot, and there is no second look
 *                  at the generation. (Either rule alone holds.)        (G2, G4)
 *   BREAK_FLOOR    the group goes on at tail - lag                      (P3)
 *   BREAK_HEAD     the group goes on at its head                        (P3, J4)
 *   BREAK_FIRST    a group that joins begins at the tail, and goes back (J1)
 *   BREAK_BOUND    the bound of `until` is tail - lag alone             (U2)
 */
#ifndef N
#define N 4
#endif
#define HALF (N / 2)
#ifndef LAG
#define LAG HALF
#endif
#ifndef OPS
#define OPS 2 /* of the first producer */
#endif
#ifndef OPS2
#define OPS2 1
#endif
#define REAP(t, h) ((t) - N + (h))

/* The lane is full of what the group has not read: each operation asks for the gate. */
byte tail = 2 * N, held, gate = N, epoch, head = N;
bool lossless = true; /* the policy in the group's slot */
#ifdef JOIN
bool present; /* the slot is ACTIVE */
#else
bool present = true;
#endif
bool again;           /* promoted */
byte generation;
bool ended[2];

#define SANE assert(REAP(tail, held) <= gate && gate <= tail)

inline bound_of(t, h, limit)
{
#ifdef BREAK_BOUND
	limit = t - LAG
#else
	limit = REAP(t, h) + 1;
	if
	:: t - LAG > limit -> limit = t - LAG
	:: else
	fi
#endif
}

#ifdef BREAK_BACK
#define NOT_LARGER false
#else
#define NOT_LARGER new <= old
#endif

/* raise_gate(): `moved` when it has to be tried again. */
inline raise_gate()
{
#ifndef BREAK_LATE
	d_step { old = gate; e = epoch };
#endif
	g = generation;
	d_step { t = tail; h = held };
	d_step { there = present; policy = lossless && there };
	d_step { /* from here on it computes with what it has loaded */
		new = head;
		if
		:: !there -> new = t
		:: there && !policy -> bound_of(t, h, limit);
			if
			:: limit > new -> new = limit
			:: else
			fi
		:: else
		fi;
		if
		:: new > t -> new = t
		:: else
		fi
	};
#ifdef BREAK_LATE
	d_step { old = gate; e = epoch };
#else
	moved = generation != g;
#endif
	if
	:: moved || (NOT_LARGER)
	:: !moved && !(NOT_LARGER) ->
#ifdef BREAK_COMPARE
		gate = new
#else
#ifdef BREAK_SECTION
		moved = gate != old || generation != g;
		if
		:: !moved -> gate = new
		:: else
		fi
#else
		atomic {
			if
			:: gate == old && epoch == e -> gate = new
			:: else -> moved = true
			fi
		}
#endif
#endif
	fi
}

proctype Producer(byte me; byte ops)
{
	byte op, take, mine, old, e, g, t, h, new, limit;
	bool policy, there, moved;

	do
	:: op == ops -> break
	:: op < ops -> break /* SIGKILL, also of one that holds a block */
	:: op < ops -> op++;
		if
		:: take = 0 /* output */
		:: held < HALF -> take = 1 /* reserve one block */
		:: mine > 0 -> /* publish one */
			atomic { tail++; held--; mine--; SANE }; goto next
		fi;
		atomic { t = tail; h = held };
		if
		:: REAP(t, h) + 1 > gate -> raise_gate();
			atomic {
				if
				:: !moved && !policy && tail == t && held == h ->
					assert(gate >= REAP(t, h) + 1)
				:: else
				fi
			};
			atomic { t = tail; h = held }
		:: else
		fi;
		/* room(), then the section: the state is the same, the gate grows */
		if
		:: REAP(t, h) + 1 <= gate -> atomic {
			if
			:: tail == t && held == h && (!take || held < HALF) ->
				if
				:: take -> held++; mine++
				:: !take -> tail++
				fi;
				SANE;
				assert(!again || REAP(tail, held) <= head)
			:: else
			fi }
		:: else
		fi;
next:		atomic { old = 0; e = 0; g = 0; t = 0; h = 0; new = 0; limit = 0;
			policy = false; there = false; moved = false; take = 0 }
	od;
	atomic { ended[me] = true; op = 0; mine = 0 }
}

/* The group's members, and the broker. */
proctype Group()
{
	byte sealed, before;

#ifdef JOIN
#ifdef BREAK_FIRST
	head = tail;
#else
	head = gate;
#endif
	present = true;
	generation++;
#ifdef BREAK_EPOCH
	sealed = gate;
#else
	atomic { sealed = gate; epoch++ };
#endif
#ifndef BREAK_HEAD
	head = sealed;
#endif
	before = head;
#else
	if
	:: head < tail -> head++ /* it reads something */
	:: true
	fi;
	/* The only member dies: until N / 2 from here on. */
	lossless = false;
	generation++;
	/* The next one joins. */
	before = head;
#ifdef BREAK_EARLY
	atomic { sealed = gate; epoch++ };
#endif
	lossless = true;
	generation++;
	/* membarrier: everybody's stores are visible, as always in this model */
#ifndef BREAK_EARLY
#ifdef BREAK_EPOCH
	sealed = gate;
#else
	atomic { sealed = gate; epoch++ };
#endif
#endif
#ifdef BREAK_FLOOR
	sealed = tail - LAG;
#endif
	if
#ifndef BREAK_HEAD
	:: sealed > head -> head = sealed
#endif
	:: else
	fi;
#endif
	atomic {
		assert(head == before || head <= gate);
		again = true;
		assert(REAP(tail, held) <= head);
		before = 0;
		sealed = 0
	};
	/* It reads all there is, slowly. */
	do
	:: head < tail -> assert(REAP(tail, held) <= head); head++
	:: head == tail && ended[0] && ended[1] -> break
	od
}

init
{
	atomic {
		run Producer(0, OPS);
		run Producer(1, OPS2);
		run Group()
	}
}
