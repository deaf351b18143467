/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of one kind in two sections: T7 of lib/lane/lane.c, tpi_emit_run() of
 * lib/lane/emit_fast.h, put_run() of client/producer/output.c, and the sweep.
 *
 * Two producers share one CPU. Each call emits a batch of two events, one event, or one
 * that is filled in place. A section may be aborted at each step by that of another thread,
 * and one of the first producer by a signal as well. A thread that is stopped takes no step
 * for a while.
 *
 *   KILL   the first producer is killed, at any step. The broker sweeps
 *   MOVE   it is moved to another CPU, at any step, and gives up what it holds
 *   SAME   both are threads of one process, or one is the signal handler of the other
 *   LEFT   the program closes its handle, although the first one is in a call. The
 *          broker sweeps its blocks while it goes on
 *
 * A section is a run of steps, each of which first asks whether this thread is still the
 * one inside. Of a ticket it has the owner, the index and the mark ENTERED: serials are in
 * ticket.pml. The gate is computed in one step: gate.pml has them all.
 *
 * It must hold that
 *   a group that gates sees whole events from its head on, and an observer beyond reap.
 *   After each step, since a reader may look at any time
 *   an event that a call has accepted is published once, and one that it has refused is
 *   not. One of a killed producer is published once or not at all
 *   a block enters the ring from outside only, and at the end each block is there
 *   blocks that the second section does not publish can be put back or given up
 *
 * At most one rule to break:
 *   BREAK_HELD     a run is taken although blocks are held            (T7)
 *   BREAK_GATE     a run is taken without asking the gate             (G5)
 *   BREAK_CPU_1    the first section does not compare the CPU         (L1)
 *   BREAK_CPU_2    the second one does not                            (L1)
 *   BREAK_STATE_1  the first section does not compare the state       (L3)
 *   BREAK_STATE_2  the second one does not                            (T7)
 *   BREAK_TAIL     it compares the tail alone                         (T7)
 *   BREAK_EARLY    the first section copies, before its commit        (L4)
 *   BREAK_ONE      there is one section: it takes, copies, publishes  (L4)
 *   BREAK_TICKET   no tickets are stored                              (T3)
 *   BREAK_LATE     tickets are stored after the first section         (T3)
 *   BREAK_INDEX    tickets keep the index that they had               (T1)
 *   BREAK_MARK     tickets are not ENTERED (with LEFT)                (T4, T7)
 *   BREAK_COPY     the second section commits, then copies            (L2)
 *   BREAK_ENTRY    it commits, then stores the descriptors            (L2)
 *   BREAK_OPEN     a ticket that is ENTERED counts as closed          (T4)
 *   BREAK_LOST     a run that is taken counts as emitted              (output.c)
 *   BREAK_FILL     it is put back without being filled                (output.c)
 *   BREAK_ANEW     a batch begins anew after its second section failed,
 *                  and its blocks are left                            (output.c)
 *   BREAK_GIVE     a thread that has moved keeps its blocks           (output.c)
 *   BREAK_RING     the sweep does not ask what is in the ring         (S2)
 */
#define N    4
#define HALF (N / 2) /* a half lap, and as many blocks as may be held */
#ifndef CALLS
#define CALLS 1
#endif
#define MAXPOS 24
#define FIRST  16 /* events from before */
#define REAP(t, h) ((t) - N + (h))

#define NOBODY	  0
#define ABANDONED 8
#define SWEEPER	  9
#ifdef SAME
#define NAME 1
#else
#define NAME me
#endif

/* The group has released half of what is in the lane. */
byte tail = N, held, gate = HALF, head = HALF;
byte desc[N], owner[N], where[N], content[N];
bool entered[N];

byte inside; /* the thread whose section runs on the lane's CPU */
bool away;   /* the first producer is on another CPU */
bool ended[3], swept;

/* Ghosts. */
byte published[MAXPOS]; /* the event at a position. 0: a discard */
bool emitted[FIRST];	/* by event */
bool in_ring[N] = true;

/* A group sees the k-th position from the tail if it has not released it, an observer if
 * reap has not come to it. */
#define WHOLE(k)                                                               \
	(!(tail - k >= head || k + held < N) || !published[tail - k] ||        \
	 content[desc[(tail - k) % N]] == published[tail - k])
#define READERS assert(WHOLE(1) && WHOLE(2) && WHOLE(3) && WHOLE(4))

#define IN_RING(b, at, t, h)                                                   \
	((at + N + N - REAP(t, h) % N) % N < N - (h) && desc[at] == b)
#ifdef BREAK_OPEN
#define MAY_BE_OPEN(b, t, h) (!entered[b])
#else
#define MAY_BE_OPEN(b, t, h) (!entered[b] || !IN_RING(b, where[b], t, h))
#endif

/* ---- the variants ---------------------------------------------------------------- */

#ifdef KILL
#define DIES (me == 1)
#else
#define DIES false
#endif
#ifdef MOVE
#define MOVES (me == 1 && !away)
#else
#define MOVES false
#endif
#define AWAY (me == 1 && away)
/* A handle that was closed has no memory that a call could go on with. */
#ifdef LEFT
#define CLOSED (me == 1)
#define BATCH  (me == 1)
#else
#define CLOSED false
#define BATCH  true
#endif
#ifdef SAME
#define SINGLE true
#else
#define SINGLE (me == 2) /* lane.pml has the deaths of the others */
#endif

/* ---- sections -------------------------------------------------------------------- */

/* One step outside. */
#define LIVE(action)                                                           \
	atomic                                                                 \
	{                                                                      \
		if                                                             \
		:: DIES -> goto dies                                           \
		:: true -> action                                              \
		fi                                                             \
	}
/* The first instructions, which only compare. A thread on another CPU aborts none. */
#define ENTER_IF(right_cpu, right_state, failed)                               \
	atomic                                                                 \
	{                                                                      \
		if                                                             \
		:: DIES -> goto dies                                           \
		:: MOVES -> away = true                                        \
		:: true                                                        \
		fi;                                                            \
		if                                                             \
		:: !(right_cpu) || !(right_state) -> goto failed               \
		:: else -> inside = (AWAY -> inside : me)                      \
		fi                                                             \
	}
#define STATE_IS(t, h) (tail == t && held == h)
#define ENTER(t, h, failed) ENTER_IF(!AWAY, STATE_IS(t, h), failed)
/* One step. It is done whole, or the section is over: another thread has entered one, this
 * thread dies, is interrupted, or moves. */
#define STEP(failed, action)                                                   \
	atomic                                                                 \
	{                                                                      \
		if                                                             \
		:: inside != me && !AWAY -> goto failed                        \
		:: inside == me && DIES -> goto dies                           \
		:: inside == me && me == 1 -> inside = NOBODY; goto failed      \
		:: inside == me && MOVES ->                                    \
			inside = NOBODY; away = true; goto failed              \
		:: inside == me || AWAY -> action; READERS                     \
		fi                                                             \
	}
#define COMMIT(t, h) tail = t; held = h; inside = (AWAY -> inside : NOBODY)

/* For each block of a batch. The action counts on. */
#define EACH(action)                                                           \
	i = 0;                                                                 \
	do                                                                     \
	:: i < n -> action                                                     \
	:: else -> break                                                       \
	od
/* By a commit, all of them: out of the ring, or into it from position p on. */
#define TAKES EACH(in_ring[blocks[i]] = false; i++)
#define PUTS(p) EACH(ENTERS(blocks[i], p + i, id + i); i++)
#define ENTERS(b, p, event)                                                    \
	assert(!in_ring[b]);                                                   \
	in_ring[b] = true;                                                     \
	published[p] = event;                                                  \
	assert(!event || !emitted[event]);                                     \
	emitted[event] = event != 0

/* Of a producer that was killed. All of what a section publishes, or none. A block that is
 * out of the ring bears a name, and the ticket of one that does says where it is. */
#define CRASH_TABLE                                                            \
	assert(!n || emitted[id] == emitted[id + n - 1]);                      \
	i = 0;                                                                 \
	do                                                                     \
	:: i < N -> assert(in_ring[i] || owner[i] != NOBODY);                  \
		assert(owner[i] == NOBODY ||                                   \
		       in_ring[i] == IN_RING(i, where[i], tail, held)); i++    \
	:: else -> break                                                       \
	od

/* ---- the steps of a batch that a mutant changes ------------------------------------ */

#ifdef BREAK_CPU_1
#define CPU_1 true
#else
#define CPU_1 !AWAY
#endif
#ifdef BREAK_CPU_2
#define CPU_2 true
#else
#define CPU_2 !AWAY
#endif
#ifdef BREAK_STATE_1
#define STATE_1 true
#else
#define STATE_1 STATE_IS(t, h)
#endif
#if defined(BREAK_STATE_2)
#define STATE_2 true
#elif defined(BREAK_TAIL)
#define STATE_2 (tail == t)
#else
#define STATE_2 STATE_IS(t, h + n)
#endif
#ifdef BREAK_HELD
#define OTHERS_HOLD false
#else
#define OTHERS_HOLD (h > 0)
#endif
#ifdef BREAK_GATE
#define NO_ROOM false
#else
#define NO_ROOM (REAP(t, h) + n > gate)
#endif

#ifdef BREAK_INDEX
#define INDEX skip
#else
#define INDEX where[blocks[i]] = (t + h + i) % N
#endif
#ifdef BREAK_MARK
#define MARK entered[blocks[i]] = false
#else
#define MARK entered[blocks[i]] = true
#endif
#define TICKET owner[blocks[i]] = NAME; INDEX; MARK
#if defined(BREAK_TICKET)
#define TICKET_INSIDE skip
#define TICKET_AFTER  skip
#elif defined(BREAK_LATE)
#define TICKET_INSIDE skip
#define TICKET_AFTER  EACH(LIVE(TICKET; i++))
#else
#define TICKET_INSIDE TICKET
#define TICKET_AFTER  skip
#endif

/* Each event in two parts, so that it may be seen half written. */
#define COPY                                                                   \
	STEP(taken, content[blocks[i]] = 0);                                   \
	STEP(taken, content[blocks[i]] = id + i)
#define ENTRY STEP(taken, desc[(t + h + i) % N] = blocks[i])
#ifdef BREAK_EARLY
#define COPY_1 EACH(STEP(reserve, content[blocks[i]] = id + i; i++))
#else
#define COPY_1 skip
#endif
#if defined(BREAK_EARLY) || defined(BREAK_COPY)
#define COPY_2 skip
#else
#define COPY_2 COPY
#endif
#ifdef BREAK_ENTRY
#define ENTRY_2 skip
#else
#define ENTRY_2 ENTRY
#endif
#if defined(BREAK_COPY)
#define AFTER_COMMIT EACH(LIVE(content[blocks[i]] = id + i; READERS; i++))
#elif defined(BREAK_ENTRY)
#define AFTER_COMMIT EACH(LIVE(desc[(t + h + i) % N] = blocks[i]; READERS; i++))
#else
#define AFTER_COMMIT skip
#endif

/* ---- producers ---------------------------------------------------------------------- */

/* The gate is computed anew if there is no room. */
#define ROOM                                                                   \
	if                                                                     \
	:: REAP(t, h) + n > gate -> gate = head                                \
	:: else                                                                \
	fi

proctype Producer(byte me; byte calls)
{
	byte id, want, n, t, h, i, blocks[2];

	id = me * 8 - 7;
	do
	:: calls == 0 -> break
	:: calls > 0 ->
		calls--;
		if
		:: BATCH -> want = 2
		:: SINGLE -> want = 1; goto copy
		:: SINGLE -> want = 1; goto reserve
		fi;

		/* tpi_emit_run(): up to the end of a half lap. */
		LIVE(t = tail; h = held;
		     n = HALF - (REAP(t, h) & (HALF - 1)));
		if
		:: OTHERS_HOLD || NO_ROOM -> goto reserve
		:: else
		fi;
		ENTER_IF(CPU_1, STATE_1, reserve);
		/* An item of another kind ends it after a ticket, as an abort does. */
		EACH(STEP(reserve, blocks[i] = desc[(t + h + i) % N];
			  TICKET_INSIDE; i++));
		COPY_1;
#ifdef BREAK_ONE
		EACH(STEP(reserve, content[blocks[i]] = 0);
		     STEP(reserve, content[blocks[i]] = id + i; i++));
		STEP(reserve, TAKES; PUTS(t); COMMIT(t + n, h));
		goto accepted;
#endif
		STEP(reserve, TAKES; COMMIT(t, h + n));
		TICKET_AFTER;

		/* The second section: no look at the gate, nor at tickets. */
		ENTER_IF(CPU_2, STATE_2, taken);
		EACH(COPY_2; ENTRY_2; i++);
		STEP(taken, PUTS(t); COMMIT(t + n, h));
		AFTER_COMMIT;
		goto accepted;

		/* TPI_RUN_HELD, put_run() */
taken:		if
		:: CLOSED -> goto dies
		:: else
		fi;
#ifdef BREAK_LOST
		goto accepted;
#endif
#ifdef BREAK_FILL
		goto put;
#endif
#ifdef BREAK_ANEW
		goto reserve;
#endif
fill:		LIVE(EACH(content[blocks[i]] = id + i; i++); READERS);
put:		if
		:: AWAY -> goto give_up
		:: else
		fi;
		LIVE(t = tail; h = held);
		EACH(assert(owner[blocks[i]] == NAME &&
			    MAY_BE_OPEN(blocks[i], t, h)); i++);
		ENTER(t, h, put);
		EACH(STEP(put, desc[(t + i) % N] = blocks[i];
			  where[blocks[i]] = (t + i) % N;
			  entered[blocks[i]] = true; i++));
		STEP(put, PUTS(t); COMMIT(t + n, h - n));
		goto accepted;

give_up:	skip;
#ifndef BREAK_GIVE
		EACH(LIVE(t = tail; h = held);
		     LIVE(assert(owner[blocks[i]] == NAME &&
				 MAY_BE_OPEN(blocks[i], t, h));
			  owner[blocks[i]] = ABANDONED; i++));
#endif
		goto elsewhere;

		/* tpi_take(): as many as there are, by halves. */
reserve:	if
		:: CLOSED -> goto dies
		:: AWAY -> goto elsewhere
		:: else
		fi;
		LIVE(t = tail; h = held; n = want; ROOM;
		     if
		     :: h + n > HALF || REAP(t, h) + n > gate -> n = 1
		     :: else
		     fi);
		if
		:: h + n > HALF || REAP(t, h) + n > gate -> goto copy
		:: else
		fi;
		ENTER(t, h, reserve);
		EACH(STEP(reserve, blocks[i] = desc[REAP(t, h + i) % N];
			  owner[blocks[i]] = NAME;
			  where[blocks[i]] = REAP(t, h + i) % N;
			  entered[blocks[i]] = false; i++));
		STEP(reserve, TAKES; COMMIT(t, h + n));
		goto fill;

		/* tpi_lane_output() */
copy:		if
		:: AWAY -> goto elsewhere
		:: else
		fi;
		LIVE(t = tail; h = held; n = 1; ROOM;
		     blocks[0] = desc[REAP(t, h) % N]);
		if
		:: REAP(t, h) + 1 > gate -> goto refused
		:: else
		fi;
		ENTER(t, h, copy);
		STEP(copy, content[blocks[0]] = 0);
		STEP(copy, content[blocks[0]] = id);
		STEP(copy, owner[blocks[0]] = NOBODY);
		STEP(copy, desc[t % N] = blocks[0]);
		STEP(copy, TAKES; PUTS(t); COMMIT(t + 1, h));

accepted:	atomic {
			EACH(assert(emitted[id + i]); i++);
			id = id + n;
			want = want - n;
			n = 0
		};
		if
		:: want -> goto copy
		:: else -> goto next
		fi;
		/* On the lane of the other CPU. */
elsewhere:	atomic {
			n = want;
			EACH(assert(!emitted[id + i]); emitted[id + i] = true; i++);
			goto over
		};
refused:	atomic {
			n = want;
			EACH(assert(!emitted[id + i]); i++)
		};
over:		atomic { id = id + want; want = 0 };
next:		atomic {
			n = N;
#ifndef SAME /* a call that has ended holds nothing */
			EACH(assert(in_ring[i] || owner[i] != me); i++);
#endif
			n = 0; t = 0; h = 0; i = 0; blocks[0] = 0; blocks[1] = 0
		}
	od;
dies:	atomic {
#ifdef KILL
		CRASH_TABLE;
#endif
		id = 0; want = 0; n = 0; t = 0; h = 0; i = 0; blocks[0] = 0;
		blocks[1] = 0;
		ended[me] = true
	}
}

/* ---- the broker: the sweep of an attachment that has ended --------------------------- */

#ifndef SAME
proctype Sweeper()
{
	byte me = SWEEPER, gone = 1, b, at, t, h, t2, h2, found;
	bool mark;

#ifdef LEFT
	bool again;
#else
	(ended[1]);
#endif
sweep:	atomic { t = tail; h = held; b = 0; found = 0 };
	do
	:: b == N || found == h -> break
	:: b < N && found != h ->
		atomic { at = where[b]; mark = entered[b];
			if
			:: owner[b] != gone -> goto other
			:: else
			fi };
#ifndef BREAK_RING
		if
		:: IN_RING(b, at, t, h) -> goto other
		:: else
		fi;
#endif
		atomic {
			if
			:: owner[b] != gone || where[b] != at ||
			   entered[b] != mark -> goto other
			:: else -> owner[b] = SWEEPER; found++
			fi
		};
		/* put_back(), as a discard */
back:		atomic { t2 = tail; h2 = held };
		if
		:: h2 == 0 || owner[b] != SWEEPER || !MAY_BE_OPEN(b, t2, h2) ->
			goto other
		:: else
		fi;
		ENTER(t2, h2, back);
		STEP(back, if
			   :: owner[b] != SWEEPER -> inside = NOBODY; goto back
			   :: else
			   fi;
			   desc[t2 % N] = b;
			   where[b] = t2 % N;
			   entered[b] = true);
		STEP(back, ENTERS(b, t2, 0); COMMIT(t2 + 1, h2 - 1));
other:		b++
	od;
#ifdef LEFT
	/* Blocks that the call has taken since. */
	if
	:: !again -> ended[1]; again = true; goto sweep
	:: else
	fi;
#else
	/* Blocks that it has given up. */
	if
	:: gone == 1 -> gone = ABANDONED; goto sweep
	:: else
	fi;
#endif
dies:	swept = true
}
#endif

proctype Group()
{
end:	do
	:: head < tail -> head++
	od
}

init
{
	byte i, seen;

	atomic {
		do
		:: i < N -> desc[i] = i;
			content[i] = FIRST + i;
			published[i] = FIRST + i;
			i++
		:: else -> break
		od;
		run Producer(1, 1);
		run Producer(2, CALLS);
#ifdef SAME
		swept = true;
#else
		run Sweeper();
#endif
		run Group()
	};
	(ended[1] && ended[2] && swept);
	/* Each block is in the ring, once. */
	atomic {
		assert(held == 0);
		i = 0;
		do
		:: i < N -> assert(in_ring[i] && !(seen & (1 << desc[i])));
			seen = seen | (1 << desc[i]);
			i++
		:: else -> break
		od
	}
}
