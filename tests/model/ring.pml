/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring (lib/kit/ring.c): two producers and two consumers that are killed
 * anywhere, and then somebody who empties and fills what they left behind.
 *
 * P1 to P4, G1 to G4 and S are the steps of the proof at the head of ring.c, and
 * the numbers in brackets are its claims. Every load, swap and store is a step
 * of its own. The rest of the same atomic is ghost state that no real thread
 * sees: T and H, how many puts and gets took effect, and `queue`, the values
 * put. Each step may be a process's last.
 *
 * Asserted: a put takes effect at position T and a get at H, with 0 to N values
 * between them, which come out in order, each once (4). No position that anybody
 * tries, and so no hint, is more than the truth (1, 3). FULL and EMPTY are said
 * only at an instant at which that is so (5). A swap fails only because another
 * took effect, and S only moves forward (6), so no thread loops in vain.
 * Everybody who was not killed ends, and the auditor then gets all that was put
 * and not got, and fills the ring.
 *
 * Values repeat on purpose: a cell that went round looks the same but for its
 * turn.
 *
 * Choose with -D: N, PUTS and GETS (of each process), and at most one rule to break:
 *
 *   BREAK_TURN   swaps compare the value and full or empty, but not the lap  (4)
 *   BREAK_PAIR   the turn is swapped alone, the value stored after it       (P3)
 *   BREAK_LOAD   a get loads the value before the turn                       (G2)
 *   BREAK_HINT   the hint is stored before the swap                         (P4)
 *   BREAK_FULL   a put tells full from the two hints                        (P2)
 *   BREAK_EMPTY  a get tells empty from the two hints                       (G2)
 *   BREAK_STEP   S goes to the last position that it has not seen passed     (S)
 */
#ifndef N
#define N 2
#endif
#ifndef PUTS
#define PUTS 2
#endif
#ifndef GETS
#define GETS 1
#endif
#define SIDE  2 /* producers, and consumers */
#define MOST  (SIDE * PUTS + N)
#define READY 1
#define PASSED 2
#define REFUSED 3

byte tail, head; /* the hints */
byte value[N], turn[N];

byte T, H; /* ghost */
byte queue[MOST];
byte ended;

#define EMPTY_AT(p) (2 * (p))
#define FULL_AT(p)  (2 * (p) + 1)
#define CELL(p)	    ((p) % N)

#ifdef BREAK_TURN
#define SAME_TURN(p, was) ((turn[CELL(p)] & 1) == ((was) & 1))
#else
#define SAME_TURN(p, was) (turn[CELL(p)] == (was))
#endif
#ifdef BREAK_PAIR
#define SAME_VALUE(p, was) true
#else
#define SAME_VALUE(p, was) (value[CELL(p)] == (was))
#endif

#define KILLED                                                                 \
	atomic                                                                 \
	{                                                                      \
		mortal;                                                        \
		goto dead                                                      \
	}
#define STEP(body)                                                             \
	if                                                                     \
	:: atomic { body }                                                     \
	:: KILLED                                                              \
	fi

/* S, one look: where cell p's turn says that p was passed, go behind that. */
inline look(passed)
{
	STEP(seen = turn[CELL(p)];
	     if
	     :: seen < EMPTY_AT(p) + passed -> seen = 0
	     :: else ->
		     if
		     :: passed == 1 && (seen & 1) -> p = seen / 2 + 1
		     :: else -> p = seen / 2 + 1 - N
		     fi;
		     seen = 1
	     fi)
}

/* S: doubling steps, of which there are none below N = 4. */
inline seek(passed)
{
	do
	:: look(passed);
		if
		:: seen -> jump = 2
		:: else -> break
		fi;
		do
		:: jump < N ->
			p = p + jump - 1;
			look(passed);
			if
			:: seen -> jump = jump * 2
			:: else ->
#ifndef BREAK_STEP
				p = p - (jump - 1);
#endif
				break
			fi
		:: else -> break
		od
	od;
	jump = 0
}

inline put(v)
{
	STEP(hint = tail; p = hint); /* P1 */
	do
	:: STEP(seen = turn[CELL(p)]; /* P2 */
		assert(p <= T);
		if
		:: seen == EMPTY_AT(p) -> did = READY
		:: seen > EMPTY_AT(p) -> did = PASSED
		:: else -> did = REFUSED;
			assert(seen + 2 * N == FULL_AT(p));
			assert(T - H == N)
		fi);
#ifdef BREAK_FULL
		if
		:: did == READY ->
			STEP(if
			     :: p - head == N -> did = REFUSED;
				     assert(T - H == N)
			     :: else -> skip
			     fi)
		:: else -> skip
		fi;
#endif
		if
		:: did == REFUSED -> break
		:: did == PASSED -> seek(1)
		:: else ->
			STEP(old = value[CELL(p)]);
#ifdef BREAK_HINT
			STEP(tail = p + 1);
#endif
			STEP(if /* P3 */
			     :: SAME_VALUE(p, old) && SAME_TURN(p, seen) ->
#ifndef BREAK_PAIR
				     value[CELL(p)] = v;
#endif
				     turn[CELL(p)] = FULL_AT(p);
				     assert(p == T && T - H < N);
				     queue[T] = v;
				     T++;
				     did = 0
			     :: else -> assert(T > p)
			     fi);
			if
			:: did == 0 ->
#ifdef BREAK_PAIR
				STEP(value[CELL(p)] = v);
#endif
				p++;
				break
			:: else -> skip
			fi
		fi
	od;
	if
	:: p != hint -> STEP(tail = p) /* P4 */
	:: else -> skip
	fi;
	d_step { hint = 0; p = 0; seen = 0; old = 0 }
}

inline get()
{
	STEP(hint = head; p = hint); /* G1 */
#ifdef BREAK_LOAD
	STEP(old = value[CELL(p)]);
#endif
	do
	:: STEP(seen = turn[CELL(p)]; /* G2 */
		assert(p <= H);
		if
		:: seen == FULL_AT(p) -> did = READY
		:: seen >= EMPTY_AT(p + N) -> did = PASSED
		:: else -> did = REFUSED;
			assert(seen == EMPTY_AT(p));
			assert(T == H)
		fi);
#ifdef BREAK_EMPTY
		if
		:: did == READY ->
			STEP(if
			     :: p >= tail -> did = REFUSED;
				     assert(T == H)
			     :: else -> skip
			     fi)
		:: else -> skip
		fi;
#endif
		if
		:: did == REFUSED -> break
		:: did == PASSED -> seek(2 * N)
		:: else ->
#ifndef BREAK_LOAD
			STEP(old = value[CELL(p)]);
#endif
#ifdef BREAK_HINT
			STEP(head = p + 1);
#endif
			STEP(if /* G3 */
			     :: SAME_TURN(p, seen) ->
				     turn[CELL(p)] = EMPTY_AT(p + N);
				     assert(p == H && H < T);
				     assert(old == queue[H]);
				     H++;
				     did = 0
			     :: else -> assert(H > p)
			     fi);
			if
			:: did == 0 ->
				p++;
				break
			:: else -> skip
			fi
		fi
	od;
	if
	:: p != hint -> STEP(head = p) /* G4 */
	:: else -> skip
	fi;
	d_step { hint = 0; p = 0; seen = 0; old = 0 }
}

proctype producer(byte v)
{
	byte hint, p, seen, old, jump, did, n;
	bool mortal = true;

	do
	:: n < PUTS -> put(v); n++
	:: else -> break
	od;
dead:
	atomic {
		hint = 0; p = 0; seen = 0; old = 0; jump = 0; did = 0; n = 0;
		ended++
	}
}

proctype consumer()
{
	byte hint, p, seen, old, jump, did, n;
	bool mortal = true;

	do
	:: n < GETS -> get(); n++
	:: else -> break
	od;
dead:
	atomic {
		hint = 0; p = 0; seen = 0; old = 0; jump = 0; did = 0; n = 0;
		ended++
	}
}

proctype auditor()
{
	byte hint, p, seen, old, jump, did, n;
	bool mortal = false;

	ended == 2 * SIDE;
	do
	:: get();
		if
		:: did == REFUSED -> break
		:: else -> skip
		fi
	od;
	assert(T == H);
	do
	:: n < N ->
		put(1);
		assert(did == 0);
		n++
	:: else -> break
	od;
	put(1);
	assert(did == REFUSED);
dead:
	skip
}

init
{
	byte i;

	atomic {
		for (i : 0 .. N - 1) {
			turn[i] = EMPTY_AT(i)
		}
		i = 0;
		run producer(1);
		run producer(2);
		run consumer();
		run consumer();
		run auditor()
	}
}
