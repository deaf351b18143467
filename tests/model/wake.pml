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
 *   -DDEATH      as TWO, with producer 0 alone. It may die after any step; then the
 *                broker rings for it (broker/repair/wakeups.c)
 *
 * Without DEATH, producer 0 may stop for ever after any step (SIGSTOP). When
 * nothing moves any more this MUST hold: no member sleeps while there is an
 * event that it has not seen, of a call that has returned. (What a stopped
 * producer's own unfinished call published is found after the bound of a sleep,
 * which this model leaves out.) With DEATH no member sleeps while there is an
 * event at all.
 *
 * At all times: a group is rung only when it has announced itself since its last
 * answer (RING asserts it).
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
 */
#ifdef DEATH
#define TWO
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
#ifdef WINDOW
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

byte tail[2];	  /* as the memory has it */
byte buffered[2]; /* commits still in a store buffer: 0, or the new tail */
byte returned[2]; /* ghost: tail of the last call that returned */
byte seen[4];	  /* heads: of member m on lane l at 2 * m + l */
byte doorbell[2], armed[2], answered[2]; /* by group */
byte now;   /* the time */
byte noted; /* when a complete ring began, + 1; 0: none */
byte begun_bell, begun; /* which bell, 0: none, and when that ring began */
byte heard[2]; /* what member i has announced last, + 1; 0: nothing */
bool sleeping[2];
bool dead; /* producer 0 */

#define SEEN(m, l) seen[2 * (m) + (l)]

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
#define ADD(p, g) atomic { DRAIN(p); doorbell[BELL(g)]++ }
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
#ifdef BREAK_EVERY
#define WANTED(g) (armed[0] != answered[0] || armed[1] != answered[1])
#else
#define WANTED(g) (a != answered[g])
#endif

/* Ringing for nothing harms only those who sleep. */
#define sleepless(g)                                                           \
	(!(GROUP(0) == (g) && sleeping[0]) && !(GROUP(1) == (g) && sleeping[1]))

inline ring(p, g)
{
	a = armed[g]; /* may pass the commit: no fence */
	if
	:: WANTED(g) && IN_WINDOW(g) ->
		skip /* the next commit after it rings */
	:: atomic { WANTED(g) && !IN_WINDOW(g) ->
			assert(a != answered[g] || sleepless(g)) };
		MAY_STOP;
#ifdef BREAK_ORDER
		answered[g] = a;
		MAY_STOP;
#endif
		RING_WORD(p, g);
		MAY_STOP;
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
#ifndef BREAK_ORDER
		ANSWERED(g)
#endif
	:: else
	fi;
	atomic { a = 0; v = 0; t = 0 }
}

#define COUNT(p) ((p) -> EVENTS : EVENTS0)

proctype Producer(byte me)
{
	byte k, a, v, t;

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
	atomic { a = 0; v = 0; t = 0; DRAIN(me); dead = true };
end:	skip
}

#ifdef DEATH
/* It has seen the death, so it has seen all that the dead one stored. */
proctype Broker()
{
	byte a, v, t;
	byte me = 9; /* it does not stop */

end:	dead ->
#ifndef BREAK_DEATH
	ring(1, 0);
	ring(1, 1)
#endif
stopped:
	skip
}
#endif

#define NEWS(m)                                                                \
	((READS(m, 0) && SEEN(m, 0) < tail[0]) ||                              \
	 (READS(m, 1) && SEEN(m, 1) < tail[1]))

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

proctype Member(byte me)
{
	byte bell, seen_at;

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
#ifndef BREAK_LOOK
		if
		:: NEWS(me) -> goto end
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
#else
		run Member(1);
#endif
		run Auditor()
	}
}
