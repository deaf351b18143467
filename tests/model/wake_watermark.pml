/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doorbell with watermarks (lib/lane/wake.h, client/consumer/watermark.c): two
 * lanes with a producer each, whose store buffer is modelled, and two members.
 * Member 0 has lane 0 and waits for K events there, or for the first, as it likes.
 * Member 1 is of the same group, has lane 1 and waits for any event. They share the
 * group's words, so that a ring for the one answers the other.
 *
 * Producer 1 may stop for ever after any step. When nothing moves any more this
 * MUST hold: no member sleeps while calls that have returned left as many
 * events on a lane of its own as that lane's mark says. (Clocks and bounds of
 * sleeps, and the lane that rings when half full, are left out: they only end
 * sleeps earlier.)
 *
 * All of it at once is too large, so a run has some of these:
 *
 *   -DEVENTS0=n  events of producer 0 (2)
 *   -DEVENTS1=n  events of producer 1 (0)
 *   -DALONE      member 0 has both lanes, and there is no member 1
 *   -DHANDOVER   member 0 dies at some point; the broker rings, and member 1 takes
 *                the lane with the mark that it finds there
 *   -DNEIGHBOUR  member 1 is of a second group, which has words, heads and marks of
 *                its own, and it waits for any event on lane 0
 *
 * Choose at most one rule to break with -D:
 *
 *   BREAK_MEMBARRIER  the sleeper does not drain the producers' store buffers
 *   BREAK_COUNT       .. does not count once more after announcing itself
 *   BREAK_MARK        .. stores the mark after it has announced itself
 *   BREAK_ANSWERED    a producer that finds fewer than the mark answers all the same
 *   BREAK_KEEP        an announcement is good although the bell has moved
 *   BREAK_CLEAR       the next holder of a lane leaves its mark as it is (HANDOVER)
 *   BREAK_DEATH       the broker does not ring for a death (HANDOVER)
 *   BREAK_FREE        a member does not look for lanes without a holder after it has
 *                     announced itself (HANDOVER)
 *   BREAK_OTHERS_MARK the mark of the first group decides about the second (NEIGHBOUR)
 *   BREAK_SKIP        below the mark of one group, the others are not looked at
 *                     (NEIGHBOUR)
 */
#define K 2

#ifndef EVENTS0
#define EVENTS0 2
#endif
#ifndef EVENTS1
#define EVENTS1 0
#endif

byte tail[2];	  /* as the memory has it */
byte buffered[2]; /* commits still in a store buffer: 0, or the new tail */
byte own[2];	  /* the tail as its producer has it */
byte returned[2]; /* ghost: tail of the last call that returned */
byte seen[4];	  /* heads, of group g on lane l at 2 * g + l */
byte mark[4];	  /* the same */
byte waited;	  /* ghost: the mark that member 0 sleeps with */
byte lease[2];	  /* the member of group 0 that has the lane; NOBODY */
byte armed[2], answered[2]; /* by group */
byte loaded[2];	  /* the `armed` that each producer has loaded */
bool moved[2];	  /* the doorbell, since member i has read it */
bool made[2];	  /* member i has announced itself at all */
bool sleeping[2];
bool dead; /* member 0 */

#define NOBODY 9

#ifdef NEIGHBOUR
#define GROUPS   2
#define GROUP(i) (i)
#else
#define GROUPS   1
#define GROUP(i) 0
#endif
#define SEEN(g, l) seen[2 * (g) + (l)]
#define MARK(g, l) mark[2 * (g) + (l)]

#define DRAIN(p)                                                               \
	if                                                                     \
	:: buffered[p] -> tail[p] = buffered[p]; buffered[p] = 0               \
	:: else                                                                \
	fi

/* The word of a group's bell moves. Its members are woken. */
#define RING(g)                                                                \
	if                                                                     \
	:: GROUP(0) == (g) -> moved[0] = true                                  \
	:: else                                                                \
	fi;                                                                    \
	if                                                                     \
	:: GROUP(1) == (g) -> moved[1] = true                                  \
	:: else                                                                \
	fi

/* The counters only matter where they differ: no process holds an old one
 * here. */
#define FORGET(g)                                                              \
	if                                                                     \
	:: armed[g] == answered[g] && !loaded[0] && !loaded[1] ->              \
		armed[g] = 0; answered[g] = 0                                  \
	:: else                                                                \
	fi

#define WAKE_ALL(g)                                                            \
	atomic {                                                               \
		if                                                             \
		:: GROUP(0) == (g) -> sleeping[0] = false                      \
		:: else                                                        \
		fi;                                                            \
		if                                                             \
		:: GROUP(1) == (g) -> sleeping[1] = false                      \
		:: else                                                        \
		fi                                                             \
	}

#define MAY_STOP                                                               \
	if                                                                     \
	:: me == 1 -> goto stopped                                             \
	:: true                                                                \
	fi

#ifdef BREAK_OTHERS_MARK
#define MARK_OF(g) 0
#else
#define MARK_OF(g) g
#endif

proctype Producer(byte me; byte events)
{
	byte k, m, h, g;

	do
	:: k == events -> break
	:: k < events ->
		k++;
		atomic { /* the commit: seen at once, or when the buffer drains */
			DRAIN(me);
			if
			:: tail[me] = k
			:: buffered[me] = k
			fi;
			own[me] = k
		};
		MAY_STOP;
next:		loaded[me] = armed[g]; /* may pass the commit: no fence */
		if
		:: loaded[me] != answered[g] ->
			m = MARK(MARK_OF(g), me);
			h = SEEN(MARK_OF(g), me);
			if
			:: m > 1 && own[me] - h < m ->
#ifdef BREAK_ANSWERED
				answered[g] = loaded[me]
#elif defined(BREAK_SKIP)
				g = GROUPS - 1
#else
				skip /* neither W4 nor W5 */
#endif
			:: else ->
				MAY_STOP;
				/* A locked add, and so a barrier of its own. */
				atomic { DRAIN(me); RING(g) };
				MAY_STOP;
				WAKE_ALL(g);
				MAY_STOP;
				answered[g] = loaded[me]
			fi
		:: else
		fi;
		atomic {
			loaded[me] = 0;
			m = 0;
			h = 0;
			FORGET(g);
			g++;
			if
			:: g < GROUPS -> goto next
			:: else -> g = 0
			fi;
			returned[me] = k
		}
	od;
stopped:
	atomic { loaded[me] = 0; m = 0; h = 0; DRAIN(me); FORGET(g); g = 0 }
}

/* As many unread as a mark says. */
#define DUE(g, lane, upto, m)                                                  \
	((upto) > SEEN(g, lane) && (m <= 1 || (upto) - SEEN(g, lane) >= m))

/* The second group has one member, with all lanes. */
#ifdef NEIGHBOUR
#define HAS(i, lane) ((i) == 1 || lease[lane] == (i))
#else
#define HAS(i, lane) (lease[lane] == (i))
#endif

/* On a lane that member i has, in the memory; m is lane 0's mark. */
#define ENOUGH(i, m)                                                           \
	((HAS(i, 0) && DUE(GROUP(i), 0, tail[0], m)) ||                        \
	 (HAS(i, 1) && DUE(GROUP(i), 1, tail[1], 0)))

#define READ(lane)                                                             \
	if                                                                     \
	:: HAS(me, lane) -> SEEN(GROUP(me), lane) = tail[lane]                 \
	:: else                                                                \
	fi

proctype Member(byte me)
{
	byte m;
	bool fresh;

end:	atomic {
		m = 0;
		if
		:: me == 0 -> m = K
		:: true
		fi;
#ifdef HANDOVER
		if
		:: me == 1 && lease[0] == NOBODY ->
			lease[0] = me;
#ifndef BREAK_CLEAR
			MARK(0, 0) = 0
#endif
		:: else
		fi;
#endif
		if
		:: ENOUGH(me, m) -> READ(0); READ(1); goto end
		:: else
		fi
	};
#ifdef HANDOVER
	if
	:: me == 0 -> dead = true; goto gone
	:: true
	fi;
#endif
	atomic { /* one announcement for a bell; the barrier in any case */
		fresh = !made[me];
#ifndef BREAK_KEEP
		fresh = fresh || moved[me];
#endif
		moved[me] = false
	};
#ifndef BREAK_MARK
	if
	:: me == 0 -> MARK(0, 0) = m
	:: else
	fi;
#endif
	atomic {
		if
		:: fresh -> armed[GROUP(me)]++; made[me] = true
		:: else
		fi;
		fresh = false
	};
#ifndef BREAK_MEMBARRIER
	atomic { DRAIN(0); DRAIN(1) };
#endif
#ifdef BREAK_MARK
	if
	:: me == 0 -> MARK(0, 0) = m
	:: else
	fi;
#endif
#ifndef BREAK_COUNT
	if
	:: ENOUGH(me, m) -> goto end
	:: else
	fi;
#endif
#if defined(HANDOVER) && !defined(BREAK_FREE)
	if /* it looks for lanes without a holder, too */
	:: me == 1 && lease[0] == NOBODY -> goto end
	:: else
	fi;
#endif
	atomic { /* FUTEX_WAIT: sleeps only if the word is the same */
		if
		:: !moved[me] ->
			sleeping[me] = true;
			if
			:: me == 0 -> waited = m
			:: else
			fi
		:: else
		fi;
		m = 0
	};
end_asleep:
	if
	:: !sleeping[me] -> goto end
#ifdef HANDOVER
	:: me == 0 && sleeping[me] -> dead = true
#endif
	fi;
gone:	skip
}

#ifdef HANDOVER
proctype Broker()
{
	dead ->
	atomic { lease[0] = NOBODY; sleeping[0] = false };
#ifndef BREAK_DEATH
	atomic { RING(0) };
	WAKE_ALL(0)
#endif
}
#endif

#define ASLEEP_ON(i, lane, m)                                                  \
	(sleeping[i] && HAS(i, lane) && DUE(GROUP(i), lane, returned[lane], m))

proctype Auditor()
{
	/* Nothing moves any more: a member that sleeps now sleeps for good. */
	timeout ->
	assert(!ASLEEP_ON(0, 0, waited) && !ASLEEP_ON(0, 1, 0));
	assert(!ASLEEP_ON(1, 0, 0) && !ASLEEP_ON(1, 1, 0));
	/* .. and so does a lane without a holder. */
	assert(lease[0] != NOBODY || returned[0] == SEEN(0, 0))
}

init
{
	atomic {
		lease[0] = 0;
#if defined(ALONE) || defined(NEIGHBOUR)
		lease[1] = 0;
#else
		lease[1] = 1;
#endif
		run Producer(0, EVENTS0);
		run Producer(1, EVENTS1);
		run Member(0);
#ifndef ALONE
		run Member(1);
#endif
#ifdef HANDOVER
		run Broker();
#endif
		run Auditor()
	}
}
