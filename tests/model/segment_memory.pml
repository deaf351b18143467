/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of an isolated producer: broker/registry/isolation.h (S1 to S6), and two members
 * of a lossless group that follow it, client/connection/segments.h (R1 to R6) and
 * client/consumer/follow.c.
 *
 * One lane, positions only. Memory 0 is a hostile producer's, whose child writes any tail
 * there, from before the seal on and for ever. Memory 1 is an honest producer's: it publishes
 * EVENTS, and ends. The members share the lane by its lease. Each may be stopped at any step:
 * one that is not scheduled has stopped.
 *
 * It is not an extension of slot_memory.pml. There a producer fetches memory that consumers
 * write, and the danger is a gate that moves too far. Here readers fetch memory that a producer
 * writes, there is no gate, and the danger is a head that passes over events, in the old memory
 * or in the new one.
 *
 *   -DMEMBERS=2  two members
 *
 * What must hold:
 *   no member reads memory that is not sealed
 *   each event of the honest producer is read once, by one member
 *
 * That readers come to `end` where the child leaves a lower tail is for tests (fault.sealed).
 *
 * At most one rule to break:
 *   BREAK_SEAL    readers map memory that is FRESH                     (S3, R5)
 *   BREAK_END     readers go beyond `end` and do not come back         (R3)
 *   BREAK_EXACT   a head beyond `end` counts as drained                (S5)
 *   BREAK_FOLLOWED  a holder that has not seen ENDED is not waited for (S5, R3)
 *   BREAK_DRAIN   the broker does not wait for the group               (S5)
 *   BREAK_LEASE   the epoch is not looked at when a lease was taken    (follow.c)
 *   BREAK_LATE    `end` is stored after the phase                      (S4)
 *   BREAK_AGAIN   the epoch is not looked at again after the spans     (R2)
 */
#ifndef MEMBERS
#define MEMBERS 1
#endif
#ifndef EVENTS
#define EVENTS 1
#endif
#define BEGIN 1  /* of memory 0 */
#define MOST  3  /* the highest tail that the child writes */
#define NONE  9
#define FRESH	 0
#define SEALED	 1
#define ENDED	 2
#define CLOSED	 3
#define PHASE(e)    ((e) & 3)
#define MEMORY(e)   ((e) >> 2)
#define READABLE(e) (PHASE(e) == SEALED || PHASE(e) == ENDED)

byte epoch;		    /* one word of the catalog */
byte begin = BEGIN, end = BEGIN;
byte tail[2];		    /* the lane's, in each memory */
bool sealed[2];		    /* ghost */
byte followed; /* of the cursor */
byte head = BEGIN, holder;  /* of the group, 0: the lease is free */
byte seen[MOST + EVENTS + 1], first, accepted; /* ghost */
bool done;

proctype Child()
{
	do
	:: done -> break
	:: atomic { !done -> if
	   :: tail[0] = 0
	   :: tail[0] = MOST
	   fi }
	od
}

#ifdef BREAK_SEAL
#define MAY_MAP(e) (PHASE(e) != CLOSED)
#else
#define MAY_MAP(e) READABLE(e)
#endif

inline map()
{
	atomic {
		mine = e;
		if
		:: MAY_MAP(e) -> mapped = MEMORY(e)
		:: else -> mapped = NONE
		fi;
		over = (PHASE(e) == ENDED);
		limit = n;
		shut = (mapped == NONE)
	}
}

/* R2 to R6. A member that holds the lease leaves when it has read all before the limit. */
inline follow()
{
	e = epoch;
	b = begin;
	n = end;
	if
#ifndef BREAK_AGAIN
	:: epoch != e -> skip
#endif
	:: else ->
		if
		:: e == mine
		:: e != mine && mapped != NONE && MEMORY(e) == MEMORY(mine) &&
		   READABLE(e) -> atomic { over = true; limit = n; mine = e; shut = false }
		:: e != mine && mapped != NONE &&
		   !(MEMORY(e) == MEMORY(mine) && READABLE(e)) ->
			atomic {
				over = true;
				if
				:: MEMORY(e) == MEMORY(mine) -> limit = n
				:: else -> limit = b
				fi
			};
			if
			:: atomic { holder == me && !shut &&
				    (head > limit || (head < limit &&
				    tail[mapped] > head)) -> skip }
			:: else -> map()
			fi
		:: e != mine && mapped == NONE -> map()
		fi
	fi;
	e = 0; b = 0; n = 0
}

/* One position, read and released. */
inline look()
{
	atomic {
		t = tail[mapped];
#ifndef BREAK_END
		if
		:: over && t > limit -> t = limit
		:: else
		fi;
		if
		:: over && t < head -> t = head
		:: else
		fi;
#endif
		if
		:: t > head ->
			assert(sealed[mapped]);
			if
			:: mapped == 1 -> assert(!seen[head]); seen[head]++
			:: else
			fi;
			head++
		:: t < head -> head = t /* it went back: so does the reader */
		:: else
		fi;
		t = 0
	}
}

/* R3: at `end`, whatever the lane shows. */
inline settle()
{
	atomic {
		if
		:: head > limit -> head = limit
#ifndef BREAK_STUCK
		:: head < limit && tail[mapped] <= head -> head = limit
#endif
		:: else
		fi;
		if
		:: head == limit && PHASE(mine) == ENDED -> followed = mine
		:: else
		fi
	}
}

proctype Member(byte me)
{
	byte mine, mapped = NONE, limit, e, b, n, t;
	bool over, shut = true;

	do
	:: done -> break
	:: atomic { !done && epoch != mine -> skip }; follow()
	:: atomic { !done && holder == me && !shut && mapped != NONE -> skip }; look()
#ifndef BREAK_END
	:: atomic { !done && holder == me && !shut && over -> skip }; settle()
#endif
	:: atomic { !done && holder == 0 -> holder = me };
#ifndef BREAK_LEASE
		atomic { shut = (mapped == NONE || epoch != mine) }
#else
		shut = (mapped == NONE)
#endif
	:: atomic { holder == me -> holder = 0 }
	od
}

inline serve(m)
{
	sealed[m] = true;		/* S2 */
	epoch = m * 4 + SEALED		/* S3 */
}

inline finish(m)
{
#ifdef BREAK_LATE
	epoch = m * 4 + ENDED;
	end = tail[m];
#else
	end = tail[m];			/* S4 */
	epoch = m * 4 + ENDED;
#endif
#ifndef BREAK_DRAIN
#ifdef BREAK_EXACT
	(holder == 0 || followed == epoch) && head >= end; /* S5 */
#else
#ifndef BREAK_FOLLOWED
	atomic { holder == 0 || followed == epoch -> skip };
#endif
	head == end;
#endif
#endif
	epoch = m * 4 + CLOSED
}

proctype Broker()
{
	byte i;

	serve(0);
	finish(0);
	begin = end;			/* S6 */
	tail[1] = begin;
	epoch = 4;
	first = begin;
	serve(1);
	do
	:: accepted < EVENTS -> atomic { tail[1]++; accepted++ }
	:: else -> break
	od;
	finish(1);
	atomic {
		for (i : 0 .. EVENTS - 1) {
			assert(seen[first + i] == 1)
		}
		done = true
	}
}

init
{
	atomic {
		tail[0] = BEGIN;
		run Child();
		run Member(1);
#if MEMBERS > 1
		run Member(2);
#endif
		run Broker()
	}
}
