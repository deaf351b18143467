/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane of lib/lane/lane.c and lib/lane/sweep.c: producers that share one CPU and are
 * killed anywhere, a lossless group that joins while they run, an observer, and
 * the broker's sweep.
 *
 * A section is a run of steps, each of which first asks whether this thread is
 * still the one inside. Another one that enters a section has thereby preempted
 * and aborted it. A killed thread takes no further step.
 *
 * Choose with -D the processes beside the producers (JOIN, OBSERVER, SWEEP, and
 * with ABANDON as well no kill, but blocks that are abandoned and claimed while
 * the sweep goes round), and at most one rule to break. Of a ticket it has the owner
 * and the index. Copies of reservations are in ticket.pml, and the gate of groups that
 * are there already is in gate.pml.
 *
 *   BREAK_OWNER       reserve writes the ticket after its section  (lane.c T1, T3)
 *   BREAK_COMMIT      output commits before it fills the block     (lane.c L2)
 *   BREAK_STATE       sections do not compare the state again      (lane.c L3)
 *   BREAK_CLEAR       output leaves the owner as it was            (sweep.c S3)
 *   BREAK_SWAP        claim and sweep test and store, no swap      (sweep.c S3)
 *   BREAK_RING        the sweep does not ask what is in the ring   (sweep.c S2)
 *   BREAK_TAKEN       reserve does not write the index             (lane.c T1)
 *   BREAK_ENTERED     publish does not write the index             (lane.c T1)
 *   BREAK_LATE        reserve writes the index after the owner     (lane.c T1)
 *   BREAK_OBSERVER    a copy is good at position = reap            (lane.h)
 *   BREAK_GENERATION  the gate is computed without a second look at the generation,
 *                     and from a tail read after the slots. (Read before them, as
 *                     tpi_gate_compute() does, it is at most the tail of the join's
 *                     last step; either rule alone holds, and only both broken at
 *                     once is found.)
 *   BREAK_RAISE       the join does not raise the head at its end, and the gate's
 *                     computation does not look at the generation again
 *   BREAK_GATE        blocks are taken without asking the gate
 */
#ifndef N
#define N 2
#endif
#ifndef OPS1
#define OPS1 2 /* operations of each producer */
#endif
#ifndef OPS2
#define OPS2 1
#endif
#define PRODUCERS 2
#define MAXPOS	  (N + 2 * OPS1 + 2 * OPS2 + N + 1)

#define NOBODY	0
#define ABANDONED 8
#define SWEEPER	  9 /* producers' names are their thread numbers, 1 and 2 */

byte tail = N, held, gate = N, head, generation;
bool acting, joined;
byte desc[N], owner[N], where[N], content[N];
byte published[MAXPOS]; /* ghost: which event lies at a position. 0 discard */
byte inside;		/* the thread whose section runs */
bool killed[PRODUCERS + 1], ended[PRODUCERS + 1], swept[PRODUCERS + 1];

#define REAP(t, h) ((t) - N + (h))

/* One step of a section: it is done whole, or the thread starts again. */
#define STEP(action)                                                           \
	atomic                                                                 \
	{                                                                      \
		if                                                             \
		:: killed[me] -> goto out                                      \
		:: !killed[me] && inside != me -> goto again                   \
		:: !killed[me] && inside == me -> action                       \
		fi                                                             \
	}
#define ENTER                                                                  \
	atomic                                                                 \
	{                                                                      \
		if                                                             \
		:: killed[me] -> goto out                                      \
		:: else -> inside = me                                         \
		fi                                                             \
	}
#ifdef BREAK_STATE
#define CHECK_STATE skip
#else
#define CHECK_STATE                                                            \
	STEP(if                                                                \
	     :: tail != t || held != h -> inside = 0; goto again               \
	     :: else fi)
#endif

/* The owner's word from one name to another, by the winner. */
#ifdef BREAK_SWAP
#define CLAIM(b, from, to, lost) owner[b] = to
#else
#define CLAIM(b, from, to, lost)                                               \
	atomic                                                                 \
	{                                                                      \
		if                                                             \
		:: owner[b] == from -> owner[b] = to                           \
		:: else -> goto lost                                           \
		fi                                                             \
	}
#endif

/* What reserve and publish store in a ticket. A mutant may break it up. */
#ifdef BREAK_TAKEN
#define TAKEN(b, i) STEP(owner[b] = me)
#else
#ifdef BREAK_LATE
#define TAKEN(b, i) STEP(owner[b] = me); STEP(where[b] = i)
#else
#define TAKEN(b, i) STEP(owner[b] = me; where[b] = i)
#endif
#endif
#ifdef BREAK_ENTERED
#define ENTERED(b, i) skip
#else
#define ENTERED(b, i) where[b] = i
#endif
/* tpi_lane_in_ring(), in a state. */
#define IN_RING(b, at, t, h)                                                   \
	((at + N + N - REAP(t, h) % N) % N < N - h && desc[at] == b)

/* lane.c raise_gate(); `old`, `new`, `g` are the caller's. */
#ifdef BREAK_GENERATION
#define READ_TAIL_FIRST skip
#define READ_TAIL_LAST	new = tail
#define AGAIN_IF_MOVED	skip
#else
#define READ_TAIL_FIRST new = tail
#define READ_TAIL_LAST	skip
#ifdef BREAK_RAISE
#define AGAIN_IF_MOVED skip
#else
#define AGAIN_IF_MOVED                                                         \
	if                                                                     \
	:: generation != g -> goto again                                       \
	:: else                                                                \
	fi
#endif
#endif
#define REFRESH                                                                \
	old = gate;                                                            \
	g = generation;                                                        \
	READ_TAIL_FIRST;                                                       \
	if                                                                     \
	:: acting -> READ_TAIL_LAST;                                           \
		if                                                             \
		:: head < new -> new = head                                    \
		:: else                                                        \
		fi                                                             \
	:: !acting -> READ_TAIL_LAST                                           \
	fi;                                                                    \
	AGAIN_IF_MOVED;                                                        \
	if                                                                     \
	:: new > old -> atomic {                                               \
		if                                                             \
		:: killed[me] -> goto out                                      \
		:: !killed[me] && gate != old -> goto again                    \
		:: else -> gate = new                                          \
		fi }                                                           \
	:: else                                                                \
	fi

proctype Producer(byte me; byte ops)
{
	byte op, t, h, b, c, n, i, event, old, new, g, blocks[2];

	do
	:: atomic { op == ops || killed[me] -> break }
	:: op < ops && !killed[me] ->
		op++;
		event = me * 16 + op * 2;
		if
		:: n = 0 /* output */
		:: n = 1 /* reserve and submit one */
#ifndef NO_PAIRS
		:: n = 2 /* .. two */
#endif
#ifdef ABANDON
		:: goto claim
#endif
		fi;
again:		atomic { t = tail; h = held };
		c = (n -> n : 1);
		if
		:: n && h + n > N -> goto refused
		:: else
		fi;
#ifndef BREAK_GATE
		if
		:: REAP(t, h) + c > gate -> REFRESH;
			if
			:: REAP(t, h) + c > gate -> goto refused
			:: else
			fi
		:: else
		fi;
#endif
		if
		:: n == 0 ->
			atomic { b = desc[REAP(t, h) % N] };
			ENTER; CHECK_STATE;
#ifdef BREAK_COMMIT
			STEP(desc[t % N] = b; published[t] = event; tail = t + 1);
			STEP(content[b] = 0; owner[b] = NOBODY);
			STEP(content[b] = event; inside = 0)
#else
			STEP(content[b] = 0); /* half written */
			STEP(content[b] = event);
#ifndef BREAK_CLEAR
			STEP(owner[b] = NOBODY);
#endif
			STEP(desc[t % N] = b);
			STEP(published[t] = event; tail = t + 1; inside = 0)
#endif
		:: n > 0 ->
			atomic {
				blocks[0] = desc[REAP(t, h) % N];
				if
				:: n == 2 -> blocks[1] = desc[(REAP(t, h) + 1) % N]
				:: else
				fi
			};
			ENTER; CHECK_STATE;
#ifndef BREAK_OWNER
			TAKEN(blocks[0], REAP(t, h) % N);
			if
			:: n == 2 -> TAKEN(blocks[1], (REAP(t, h) + 1) % N)
			:: else
			fi;
#endif
			STEP(held = h + n; inside = 0);
#ifdef BREAK_OWNER
			atomic { if :: killed[me] -> goto out :: else fi;
				owner[blocks[0]] = me;
				where[blocks[0]] = REAP(t, h) % N };
			if
			:: n == 2 -> atomic { owner[blocks[1]] = me;
				where[blocks[1]] = (REAP(t, h) + 1) % N }
			:: else
			fi;
#endif
			/* Filled in place, outside of any section. */
			i = 0;
			do
			:: i < n -> atomic {
				if
				:: killed[me] -> goto out
				:: else -> content[blocks[i]] = event + i
				fi; i++ }
			:: else -> break
			od;
#ifdef ABANDON
			if
			:: true
			:: n == 1 -> owner[blocks[0]] = ABANDONED; goto done
			fi;
#endif
			goto submit;
back:			skip
		fi;
		goto done;

#ifdef ABANDON
		/* tpi_lane_claim(): one look at each block. */
claim:		b = 0;
		do
		:: b < N && owner[b] == ABANDONED ->
			CLAIM(b, ABANDONED, me, lost);
			atomic { n = 1; blocks[0] = b; content[b] = event };
			goto submit;
lost:			b++
		:: b < N && owner[b] != ABANDONED -> b++
		:: b == N -> goto refused
		od;
#endif

submit:		skip;
		/* publish: never refused, only aborted (lane.c L5). */
		do
		:: atomic {
			if
			:: killed[me] -> goto out
			:: else -> t = tail; h = held; inside = me
			fi };
			atomic {
				if
				:: killed[me] -> goto out
				:: inside != me -> goto next
				:: else -> skip
				fi };
			atomic {
				if
				:: killed[me] -> goto out
				:: inside != me -> goto next
				:: tail != t || held != h -> goto next
				:: else -> ENTERED(blocks[0], t % N);
					desc[t % N] = blocks[0]
				fi };
			if
			:: n == 2 -> atomic {
				if
				:: killed[me] -> goto out
				:: inside != me -> goto next
				:: else -> ENTERED(blocks[1], (t + 1) % N);
					desc[(t + 1) % N] = blocks[1]
				fi }
			:: else
			fi;
			atomic {
				if
				:: killed[me] -> goto out
				:: inside != me -> goto next
				:: else -> published[t] = event;
					if
					:: n == 2 -> published[t + 1] = event + 1
					:: else
					fi;
					tail = t + n; held = h - n; inside = 0;
					goto back
				fi };
next:			skip
		od;
refused:	skip;
done:		atomic {
			event = 0; n = 0; t = 0; h = 0; b = 0; c = 0; i = 0;
			old = 0; new = 0; g = 0; blocks[0] = 0; blocks[1] = 0
		}
	od;
out:	atomic {
		event = 0; n = 0; t = 0; h = 0; b = 0; c = 0; i = 0; old = 0;
		new = 0; g = 0; blocks[0] = 0; blocks[1] = 0;
		ended[me] = true
	}
}

#ifdef SWEEP
proctype Killer()
{
	if
	:: atomic { !killed[1] && !ended[1] -> killed[1] = true }
	:: true
	fi
}

/* lib/lane/sweep.c, for one dead producer at a time. */
proctype Sweeper()
{
	byte x, t, h, b, o, at, found, me = SWEEPER, t2, h2;

	do
#ifdef ABANDON
	:: ended[1] && ended[2] && held == 0 -> break
	:: held > 0 -> /* the timer's sweep, at any time */
		x = ABANDONED;
#else
	:: ended[1] && (!killed[1] || swept[1]) -> break
	:: ended[1] && killed[1] && !swept[1] ->
		x = 1;
#endif
		atomic { t = tail; h = held };
		found = 0;
		if
		:: h == 0 -> goto clean
		:: else
		fi;
		b = 0;
		do
		:: b < N && found < h ->
			atomic { o = owner[b]; at = where[b] };
			if
#ifdef BREAK_RING
			:: o == x ->
#else
			:: o == x && !IN_RING(b, at, t, h) ->
#endif
				CLAIM(b, x, SWEEPER, skip_block);
				/* put_back(): a publish of type DISCARD. */
				do
				:: atomic { t2 = tail; h2 = held; inside = me };
					atomic {
						if
						:: inside != me -> goto retry
						:: tail != t2 || held != h2 -> goto retry
						:: else -> ENTERED(b, t2 % N);
							desc[t2 % N] = b
						fi };
					atomic {
						if
						:: inside != me -> goto retry
						:: else -> published[t2] = 0;
							assert(h2 > 0);
							tail = t2 + 1;
							held = h2 - 1;
							inside = 0; break
						fi };
retry:					skip
				od;
				found++
			:: else
			fi;
skip_block:		b++
		:: else -> break
		od;
clean:		atomic {
			swept[1] = true; b = 0; t = 0; h = 0; found = 0;
			t2 = 0; h2 = 0; x = 0; o = 0; at = 0
		}
	od
}
#endif

#ifdef JOIN
/* The broker's join, then a member that reads in place and releases. */
proctype Group()
{
	byte p, e;

	head = tail;
	acting = true;
	generation++;
	/* membarrier(GLOBAL_EXPEDITED): this model has no store buffers */
#ifndef BREAK_RAISE
	head = tail;
#endif
	joined = true;
	do
	:: head < tail ->
		p = head;
		e = content[desc[p % N]];
		if
		:: published[p] != 0 -> assert(e == published[p])
		:: else
		fi;
		/* still held: the same look again, as a slow reader would */
		if
		:: published[p] != 0 ->
			assert(content[desc[p % N]] == published[p])
		:: else
		fi;
		head = p + 1
	:: head == tail && ended[1] && ended[2] -> break
	od
}
#endif

#ifdef OBSERVER
proctype Observer()
{
	byte t, h, p, e, i;

	do
	:: i < 3 ->
		i++;
		atomic { t = tail; h = held };
		p = REAP(t, h);
		if
		:: p < t -> p = p
		:: p + 1 < t -> p = p + 1
		:: p >= t -> goto nothing
		fi;
		e = content[desc[p % N]];
		atomic { t = tail; h = held };
#ifdef BREAK_OBSERVER
		if
		:: p >= REAP(t, h) && published[p] != 0 ->
			assert(e == published[p])
#else
		if
		:: p > REAP(t, h) && published[p] != 0 ->
			assert(e == published[p])
#endif
		:: else
		fi;
nothing:	skip
	:: else -> break
	od
}
#endif

/* At the end every block is in the ring exactly once. */
proctype Auditor()
{
	byte p, b, seen;

	(ended[1] && ended[2]);
#ifdef ABANDON
	(held == 0);
#else
	(!killed[1] || swept[1]);
#endif
	assert(held == 0);
	p = tail - N;
	do
	:: p < tail -> b = desc[p % N];
		assert((seen & (1 << b)) == 0);
		seen = seen | (1 << b);
		p++
	:: else -> break
	od
}

init
{
	byte i;

	atomic {
		do
		:: i < N -> desc[i] = i; i++
		:: else -> break
		od;
		run Producer(1, OPS1);
		run Producer(2, OPS2);
#ifdef JOIN
		run Group();
#endif
#ifdef OBSERVER
		run Observer();
#endif
#ifdef SWEEP
#ifndef ABANDON
		run Killer();
#endif
		run Sweeper();
#endif
		run Auditor()
	}
}
