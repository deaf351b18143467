/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking by doorbells (lib/lane/wake.h): two producers, each with a
 * lane and a CPU of its own and a store buffer in front of it, and two members
 * that sleep on futex words. Each group has three words of its own: doorbell,
 * `armed` and `answered`.
 *
 *   (none)       both members are of group 0; member i reads lane i
 *   -DTWO        member i is of group i; each reads both lanes
 *   -DWINDOW     member 0 alone reads both lanes. A ring that is complete is noted, and
 *                within its window the bell is not rung again. A window is one tick, that
 *                in which the ring began. Time moves on when it likes, up to TICKS, and
 *                when the member waits for the end of a window
 *   -DDEATH      as TWO, or as ALONE, with producer 0 alone. It may die after any step; then the
 *                broker rings for it (broker/repair/wakeups.c)
 *   -DALONE      member 0 reads both lanes, and there is no member 1
 *   -DROUNDS     with each of these: a member announces itself for R bells or for one, as it
 *                likes. While its announcement is good it goes to sleep without another,
 *                and without a barrier
 *
 * Without DEATH, producer 0 may stop for ever after any step (SIGSTOP). When
 * nothing moves any more this MUST hold: no member sleeps while there is an
 * event that it has not seen, of a call that has returned. (What a stopped
 * producer's own unfinished call published is found after the bound of a sleep,
 * which this model leaves out.) With DEATH no member sleeps while there is an
 * event at all.
 *
 * At all times, without ROUNDS: a group is rung only when it has announced itself since
 * its last answer (RING asserts it).
 *
 * Choose at most one rule to break with -D:
 *
 *   BREAK_MEMBARRIER  the sleeper does not drain the producers' store buffers
 *   BREAK_LOOK        .. does not look once more after announcing itself
 *   BREAK_ANNOUNCE    .. reads the doorbell after its last look
 *   BREAK_ORDER       `answered` is stored before the doorbell is rung
 *   BREAK_FRESH       `answered` gets a value loaded anew
 *   BREAK_ONE         one sleeper is woken instead of all
 *   BREAK_BELL        the bell of another group is rung (TWO)
 *   BREAK_SLOT        `answered` of another group is stored (TWO)
 *   BREAK_ALL_TAKEN   every group is answered, also those that were not rung (TWO)
 *   BREAK_EVERY       every group is rung when one has announced itself (TWO)
 *   BREAK_KEEP        an announcement is good although the bell has moved
 *   BREAK_SETTLE      a bell is announced within its window (WINDOW)
 *   BREAK_EARLY       a ring is noted before its sleepers are woken (WINDOW)
 *   BREAK_LATE        a window begins when its ring is noted (WINDOW)
 *   BREAK_NUMBER      the member believes the time of another ring (WINDOW)
 *   BREAK_AGE         .. or one whose window is not over (WINDOW)
 *   BREAK_CLOCK       a ring takes its time before it knows its number (WINDOW)
 *   BREAK_DEATH       the broker does not ring for the dead (DEATH)
 *
 * With ROUNDS:
 *
 *   BREAK_UNTIL       bells of an announcement that are left are no reason to ring
 *   BREAK_MOVED       .. if the bell has moved, whether or not its sleepers were woken
 *   BREAK_WOKEN       a bell counts as rung before its sleepers are woken
 *   BREAK_LONG        an announcement is good for R + 1 bells
 *   BREAK_RAISE       its bells are stored, over those of another member
 *   BREAK_BEFORE      .. are stored after the barrier
 *   BREAK_AFTER       .. after the last look
 *   BREAK_DRAIN       a window is judged before the commit is seen (WINDOW)
 *   BREAK_RESETTLE    a member sleeps on a bell within its window (WINDOW)
 *   BREAK_BROKER      the broker rings only for announcements without an answer (DEATH)
 *
 *   REACHED           nothing is broken. A sleeper that has left announcement and barrier out
 *                     is woken for news, by a ring for its bells alone: an assertion fails
 */
#ifdef DEATH
#ifndef ALONE
#define TWO
#endif
#define PRODUCERS 1
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif

#ifdef TWO
#define GROUPS     2
#define GROUP(m)   (m)
#ifdef NARROW
#define READS(m, l) ((m) == (l))
#else
#define READS(m, l) true
#endif
#else
#define GROUPS     1
#define GROUP(m)   0
#if defined(WINDOW) || defined(ALONE)
#define READS(m, l) ((m) == 0)
#else
#define READS(m, l) ((m) == (l))
#endif
#endif

#ifndef EVENTS
#define EVENTS 1 /* of each producer. With 2 some 10^8 states */
#endif
#ifndef EVENTS0
#define EVENTS0 EVENTS /* of producer 0 */
#endif
#ifndef TICKS
#define TICKS 2
#endif
#ifdef ROUNDS
#ifndef R
#define R 2
#endif
#ifdef BREAK_LONG
#define LONG 1
#else
#define LONG 0
#endif
#endif

byte tail[2];	  /* as the memory has it */
byte buffered[2]; /* commits still in a store buffer: 0, or the new tail */
byte returned[2]; /* ghost: tail of the last call that returned */
byte seen[4];	  /* heads: of member m on lane l at 2 * m + l */
byte doorbell[2], armed[2], answered[2]; /* by group */
byte now;   /* the time */
byte noted; /* when a complete ring began, + 1; 0: none */
byte begun_bell, begun; /* which bell, 0: none, and when that ring began */
#ifndef ROUNDS
byte heard[2]; /* what member i has announced last, + 1; 0: nothing */
#else
byte heard[2]; /* the first bell that member i has not announced */
byte ring_until[2], woken[2]; /* by group */
#endif
#ifdef REACHED
bool reused[2]; /* ghost: member i sleeps without a barrier of its own */
#endif
bool sleeping[2];
bool dead; /* producer 0 */

#define SEEN(m, l) seen[2 * (m) + (l)]
#define NEWS(m)                                                                \
	((READS(m, 0) && SEEN(m, 0) < tail[0]) ||                              \
	 (READS(m, 1) && SEEN(m, 1) < tail[1]))

#define DRAIN(p)                                                               \
	if                                                                     \
	:: buffered[p] -> tail[p] = buffered[p]; buffered[p] = 0               \
	:: else                                                                \
	fi

/* Producer 0 may. All that holds without its help MUST hold for producer 1. */
#define MAY_STOP                                                               \
	if                                                                     \
	:: me == 0 -> goto stopped                                             \
	:: true                                                                \
	fi

#ifdef BREAK_BELL
#define BELL(g) (1 - (g))
#else
#define BELL(g) (g)
#endif
#ifdef BREAK_SLOT
#define ANSWER(g) (1 - (g))
#else
#define ANSWER(g) (g)
#endif

/* W4. Locked, and so a barrier of its own. Then FUTEX_WAKE. */
#ifndef ROUNDS
#define ADD(p, g) atomic { DRAIN(p); doorbell[BELL(g)]++ }
#else
#define ADD(p, g) atomic { DRAIN(p); doorbell[BELL(g)]++; v = doorbell[BELL(g)] }
#endif
#ifndef WINDOW
#define RING_WORD(p, g) ADD(p, g)
#else
/* N5: its number, then the time, then the swap; and it may do without. */
#ifdef BREAK_CLOCK
#define SWAP(p)                                                                \
	atomic { DRAIN(p); doorbell[0]++; v = doorbell[0] }
#else
#define SWAP(p)                                                                \
	atomic {                                                               \
		DRAIN(p);                                                      \
		if                                                             \
		:: doorbell[0] == v -> doorbell[0]++; v++                      \
		:: else -> v = 255                                             \
		fi                                                             \
	}
#endif
#define RING_WORD(p, g)                                                        \
	do                                                                     \
	:: true ->                                                             \
		v = doorbell[0];                                               \
		t = now;                                                       \
		MAY_STOP;                                                      \
		SWAP(p);                                                       \
		if                                                             \
		:: v == 255                                                    \
		:: else ->                                                     \
			MAY_STOP;                                              \
			atomic { begun_bell = v; begun = t };                  \
			break                                                  \
		fi                                                             \
	:: true ->                                                             \
		t = now;                                                       \
		ADD(p, g);                                                     \
		break                                                          \
	od
#endif

/* Stored after an older one, a note is of an older time. */
#ifndef WINDOW
#define NOTE(g)	     skip
#define IN_WINDOW(g) false
#elif defined(BREAK_LATE)
#define NOTE(g)	     noted = now + 1
#define IN_WINDOW(g) (noted == now + 1)
#else
#define NOTE(g)	     noted = t + 1
#define IN_WINDOW(g) (noted == now + 1)
#endif

#ifdef BREAK_ONE
#define WAKE(g)                                                                \
	atomic {                                                               \
		if                                                             \
		:: GROUP(0) == BELL(g) && sleeping[0] -> sleeping[0] = false   \
		:: else ->                                                     \
			if                                                     \
			:: GROUP(1) == BELL(g) -> sleeping[1] = false          \
			:: else                                                \
			fi                                                     \
		fi                                                             \
	}
#else
#define WAKE(g)                                                                \
	atomic {                                                               \
		if                                                             \
		:: GROUP(0) == BELL(g) -> sleeping[0] = false                  \
		:: else                                                        \
		fi;                                                            \
		if                                                             \
		:: GROUP(1) == BELL(g) -> sleeping[1] = false                  \
		:: else                                                        \
		fi                                                             \
	}
#endif

#if defined(BREAK_FRESH)
#define ANSWERED(g) answered[ANSWER(g)] = armed[ANSWER(g)]
#elif defined(BREAK_ALL_TAKEN)
#define ANSWERED(g)                                                            \
	atomic { answered[0] = armed[0]; answered[1] = armed[1] }
#else
#define ANSWERED(g) answered[ANSWER(g)] = a
#endif

/* W3. A group that is rung has announced itself: ghost of rule 5 in wake.h. */
#ifdef ROUNDS
/* Each word is loaded by itself. */
#ifdef BREAK_UNTIL
#define MORE(p, g) false
#elif defined(BREAK_BROKER)
#define MORE(p, g) ((p) == 0 && u > woken[g])
#elif defined(BREAK_MOVED)
#define MORE(p, g) (u > doorbell[g])
#else
#define MORE(p, g) (u > woken[g])
#endif
#define LOOK(p, g)                                                             \
	a = armed[g];                                                          \
	if                                                                     \
	:: a != answered[g] -> want = true                                     \
	:: else ->                                                             \
		u = ring_until[g];                                             \
		atomic { want = MORE(p, g); u = 0 }                            \
	fi;
#define WANTED(g) want
#elif defined(BREAK_EVERY)
#define WANTED(g) (armed[0] != answered[0] || armed[1] != answered[1])
#else
#define WANTED(g) (a != answered[g])
#endif

/* N1: what is left out is seen by those who go to sleep from now on. */
#if defined(WINDOW) && defined(ROUNDS) && !defined(BREAK_DRAIN)
#define FENCE(p)                                                               \
	atomic {                                                               \
		if                                                             \
		:: want -> DRAIN(p)                                            \
		:: else                                                        \
		fi                                                             \
	};
#else
#define FENCE(p)
#endif

#ifdef REACHED
#define ASK_REACHED(g)                                                         \
	assert(!(a == answered[g] && GROUP(0) == (g) && sleeping[0] &&         \
		 reused[0] && NEWS(0)));
#else
#define ASK_REACHED(g)
#endif

/* Ringing for nothing harms only those who sleep. */
#define sleepless(g)                                                           \
	(!(GROUP(0) == (g) && sleeping[0]) && !(GROUP(1) == (g) && sleeping[1]))

#ifdef ROUNDS
#define CLEAR a = 0; v = 0; t = 0; want = false
#else
#define CLEAR a = 0; v = 0; t = 0
#endif

inline ring(p, g)
{
#ifdef ROUNDS
	LOOK(p, g)
	FENCE(p)
#else
	a = armed[g]; /* may pass the commit: no fence */
#endif
	if
	:: WANTED(g) && IN_WINDOW(g) ->
		skip /* the next commit after it rings */
	:: atomic { WANTED(g) && !IN_WINDOW(g) ->
#ifndef ROUNDS
			assert(a != answered[g] || sleepless(g))
#else
			skip
#endif
		};
		MAY_STOP;
#ifdef BREAK_ORDER
		answered[g] = a;
		MAY_STOP;
#endif
		RING_WORD(p, g);
		MAY_STOP;
		ASK_REACHED(g)
#if defined(ROUNDS) && defined(BREAK_WOKEN)
		woken[g] = v;
		MAY_STOP;
#endif
#ifdef BREAK_EARLY
		NOTE(g);
		MAY_STOP;
		WAKE(g);
#else
		WAKE(g);
		MAY_STOP;
		NOTE(g);
#endif
		MAY_STOP;
#if defined(ROUNDS) && !defined(BREAK_WOKEN)
		woken[g] = v;
		MAY_STOP;
#endif
#ifndef BREAK_ORDER
		ANSWERED(g)
#endif
	:: else
	fi;
	atomic { CLEAR }
}

#define COUNT(p) ((p) -> EVENTS : EVENTS0)

proctype Producer(byte me)
{
	byte k, a, v, t;
#ifdef ROUNDS
	byte u;
	bool want;
#endif

	do
	:: k == COUNT(me) -> break
	:: k < COUNT(me) ->
		k++;
		atomic { /* the commit: seen at once, or when the buffer drains */
			DRAIN(me);
			if
			:: tail[me] = k
			:: buffered[me] = k
			fi
		};
		MAY_STOP;
		ring(me, 0);
#ifdef TWO
		MAY_STOP;
		ring(me, 1);
#endif
		returned[me] = k
	od;
	goto end;
stopped:
	atomic { CLEAR; DRAIN(me); dead = true };
end:	skip
}

#ifdef DEATH
/* It has seen the death, so it has seen all that the dead one stored. */
proctype Broker()
{
	byte a, v, t;
	byte me = 9; /* it does not stop */
#ifdef ROUNDS
	byte u;
	bool want;
#endif

end:	dead ->
#ifndef BREAK_DEATH
	ring(1, 0)
#ifdef TWO
	; ring(1, 1)
#endif
#endif
stopped:
	skip
}
#endif

#ifdef BREAK_NUMBER
#define KNOWN(b) (begun_bell != 0)
#else
#define KNOWN(b) (begun_bell == (b))
#endif
#ifdef BREAK_AGE
#define AGED true
#else
#define AGED (begun < now)
#endif

/* N4, N5: the bell that was heard has no window any more. */
#if defined(WINDOW) && !defined(BREAK_SETTLE)
#define SETTLE(b)                                                              \
	if                                                                     \
	:: atomic { KNOWN(b) && AGED -> skip }                                 \
	:: atomic { !(KNOWN(b) && AGED) -> seen_at = now };                    \
		atomic {                                                       \
			if                                                     \
			:: now == seen_at -> now++                             \
			:: else                                                \
			fi;                                                    \
			seen_at = 0                                            \
		}                                                              \
	fi
#else
#define SETTLE(b) skip
#endif

#ifdef ROUNDS
/* S2r. An atomic maximum. */
#ifdef BREAK_RAISE
#define HIGHER(g, n) ring_until[g] != (n)
#else
#define HIGHER(g, n) ring_until[g] < (n)
#endif
#define RAISE(g)                                                               \
	atomic {                                                               \
		if                                                             \
		:: heard[me] == bell + R + LONG && HIGHER(g, bell + R) ->      \
			ring_until[g] = bell + R                               \
		:: else                                                        \
		fi                                                             \
	};
#endif

proctype Member(byte me)
{
	byte bell, seen_at;
#ifdef ROUNDS
	byte settled; /* the last bell whose window is over, + 1 */
	bool fresh;
#endif

end:	do
	:: atomic { NEWS(me) ->
		if
		:: READS(me, 0) -> SEEN(me, 0) = tail[0]
		:: else
		fi;
		if
		:: READS(me, 1) -> SEEN(me, 1) = tail[1]
		:: else
		fi
	   }
	:: !NEWS(me) ->
		bell = doorbell[GROUP(me)];
#ifdef ROUNDS
		atomic { /* for one bell, or for R. Else it is good for this sleep, too */
			fresh = heard[me] <= bell;
			if
			:: !fresh
			:: fresh -> heard[me] = bell + 1
			:: fresh -> heard[me] = bell + R + LONG
			fi
		};
#if defined(WINDOW)
		if
#ifdef BREAK_RESETTLE
		:: !fresh
#endif
		:: else ->
			if
			:: settled == bell + 1
			:: else ->
				SETTLE(bell);
				settled = bell + 1
			fi
		fi;
#endif
		if
		:: !fresh
		:: fresh ->
#if !defined(BREAK_BEFORE) && !defined(BREAK_AFTER)
			RAISE(GROUP(me))
#endif
			armed[GROUP(me)]++;
#ifndef BREAK_MEMBARRIER
			atomic { DRAIN(0); DRAIN(1) }
#endif
#ifdef BREAK_BEFORE
			; RAISE(GROUP(me))
#endif
		fi;
#else
		if
#ifdef BREAK_KEEP
		:: heard[me] -> skip
		:: !heard[me] ->
#else
		:: heard[me] == bell + 1 -> skip /* good for this sleep, too */
		:: heard[me] != bell + 1 ->
#endif
			heard[me] = bell + 1;
			SETTLE(bell);
			armed[GROUP(me)]++;
#ifndef BREAK_MEMBARRIER
			atomic { DRAIN(0); DRAIN(1) }
#endif
		fi;
#endif
#ifndef BREAK_LOOK
		if
		:: NEWS(me) -> goto end
		:: else
		fi;
#endif
#if defined(ROUNDS) && defined(BREAK_AFTER)
		if
		:: fresh -> RAISE(GROUP(me))
		:: else
		fi;
#endif
#ifdef BREAK_ANNOUNCE
		bell = doorbell[GROUP(me)];
#endif
		atomic { /* FUTEX_WAIT: sleeps only if the word is the same */
			if
			:: doorbell[GROUP(me)] == bell -> sleeping[me] = true
			:: else
			fi;
#ifdef REACHED
			reused[me] = !fresh;
#endif
#ifdef ROUNDS
			fresh = false;
#endif
			bell = 0
		};
end_asleep:	!sleeping[me]
	od
}

/* Time passes. */
proctype Clock()
{
end:	do
	:: now < TICKS -> now++
	od
}

#ifdef DEATH
#define PUBLISHED(l) tail[l]
#else
#define PUBLISHED(l) returned[l]
#endif

#define MISSED(m)                                                              \
	((READS(m, 0) && SEEN(m, 0) < PUBLISHED(0)) ||                         \
	 (READS(m, 1) && SEEN(m, 1) < PUBLISHED(1)))

proctype Auditor()
{
	/* Nothing moves any more: a member that sleeps now sleeps for good. */
	timeout -> assert(!(sleeping[0] && MISSED(0)) &&
			  !(sleeping[1] && MISSED(1)))
}

init
{
	atomic {
		run Producer(0);
#if PRODUCERS == 2
		run Producer(1);
#endif
#ifdef DEATH
		run Broker();
#endif
		run Member(0);
#ifdef WINDOW
		run Clock();
#endif
#if !defined(WINDOW) && !defined(ALONE)
		run Member(1);
#endif
		run Auditor()
	}
}
