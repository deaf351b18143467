/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doorbell with watermarks (lib/lane/wake.h, client/consumer/watermark.c): one group, two lanes
 * with a producer each, whose store buffer is modelled, and two members. Member 0
 * has lane 0 and waits for K events there, or for the first, as it likes; member 1
 * has lane 1 and waits for any event. They share `armed` and `answered`, so that a ring
 * for the one answers the other.
 *
 * Producer 1 may stop for ever after any step. What must hold when nothing moves
 * any more: no member sleeps while calls that have returned left as many events
 * on a lane of its own as that lane's mark says. (Clocks and bounds of sleeps, and
 * the lane that rings when half full, are left out: they only end sleeps earlier.)
 *
 * All of it at once is too large, so a run has some of these:
 *
 *   -DEVENTS0=n  events of producer 0 (2)
 *   -DEVENTS1=n  events of producer 1 (0)
 *   -DALONE      member 0 has both lanes, and there is no member 1
 *   -DHANDOVER   member 0 dies at some point; the broker rings, and member 1 takes
 *                the lane with the mark that it finds there
 *
 * Choose at most one rule to break with -D:
 *
 *   BREAK_MEMBARRIER  the sleeper does not drain the producers' store buffers
 *   BREAK_COUNT       .. does not count once more after announcing itself
 *   BREAK_MARK        .. stores the mark after it has announced itself
 *   BREAK_ANSWERED        who finds fewer than the mark stores `answered` all the same
 *   BREAK_CLEAR       who takes a lane leaves its mark as it is (HANDOVER)
 *   BREAK_DEATH       the broker does not ring for a death (HANDOVER)
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
byte seen[2];	  /* heads, by lane */
byte mark[2];	  /* by lane */
byte waited;	  /* ghost: the mark that member 0 sleeps with */
byte lease[2];	  /* the member that has the lane; NOBODY */
byte armed, answered;
byte loaded[2];	  /* what each producer has loaded of `armed` */
bool moved[2];	  /* the doorbell, since member i has read it */
bool sleeping[2];
bool dead; /* member 0 */

#define NOBODY 9

#define DRAIN(p)                                                               \
	if                                                                     \
	:: buffered[p] -> tail[p] = buffered[p]; buffered[p] = 0               \
	:: else                                                                \
	fi

#define RING                                                                   \
	moved[0] = true; moved[1] = true

/* The counters only matter where they differ: nobody holds an old one here. */
#define FORGET                                                                 \
	if                                                                     \
	:: armed == answered && !loaded[0] && !loaded[1] -> armed = 0; answered = 0    \
	:: else                                                                \
	fi

#define WAKE_ALL                                                               \
	atomic { sleeping[0] = false; sleeping[1] = false }

#define MAY_STOP                                                               \
	if                                                                     \
	:: me == 1 -> goto stopped                                             \
	:: true                                                                \
	fi

proctype Producer(byte me; byte events)
{
	byte k, m, h;

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
		loaded[me] = armed; /* may pass the commit: no fence */
		if
		:: loaded[me] != answered ->
			m = mark[me];
			h = seen[me];
			if
			:: m > 1 && own[me] - h < m ->
#ifdef BREAK_ANSWERED
				answered = loaded[me]
#else
				skip /* neither W4 nor W5 */
#endif
			:: else ->
				MAY_STOP;
				/* A locked add, and so a barrier of its own. */
				atomic { DRAIN(me); RING };
				MAY_STOP;
				WAKE_ALL;
				MAY_STOP;
				answered = loaded[me]
			fi
		:: else
		fi;
		atomic {
			returned[me] = k;
			loaded[me] = 0;
			m = 0;
			h = 0;
			FORGET
		}
	od;
stopped:
	atomic { loaded[me] = 0; m = 0; h = 0; DRAIN(me); FORGET }
}

/* As many unread as a mark says. */
#define DUE(lane, upto, m)                                                     \
	((upto) > seen[lane] && (m <= 1 || (upto) - seen[lane] >= m))

/* On a lane that member i has, in the memory; m is lane 0's mark. */
#define ENOUGH(i, m)                                                           \
	((lease[0] == i && DUE(0, tail[0], m)) ||                              \
	 (lease[1] == i && DUE(1, tail[1], 0)))

#define READ(lane)                                                             \
	if                                                                     \
	:: lease[lane] == me -> seen[lane] = tail[lane]                        \
	:: else                                                                \
	fi

proctype Member(byte me)
{
	byte m;

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
			mark[0] = 0
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
	moved[me] = false;
#ifndef BREAK_MARK
	if
	:: me == 0 -> mark[0] = m
	:: else
	fi;
#endif
	armed++;
#ifndef BREAK_MEMBARRIER
	atomic { DRAIN(0); DRAIN(1) };
#endif
#ifdef BREAK_MARK
	if
	:: me == 0 -> mark[0] = m
	:: else
	fi;
#endif
#ifndef BREAK_COUNT
	if
	:: ENOUGH(me, m) -> goto end
	:: else
	fi;
#endif
#ifdef HANDOVER
	if /* it looks for lanes that are nobody's, too */
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
	atomic { RING };
	WAKE_ALL
#endif
}
#endif

#define ASLEEP_ON(i, lane, m)                                                  \
	(sleeping[i] && lease[lane] == i && DUE(lane, returned[lane], m))

proctype Auditor()
{
	/* Nothing moves any more: a member that sleeps now sleeps for good. */
	timeout ->
	assert(!ASLEEP_ON(0, 0, waited) && !ASLEEP_ON(0, 1, 0));
	assert(!ASLEEP_ON(1, 0, 0) && !ASLEEP_ON(1, 1, 0));
	/* .. and a lane that is nobody's does so, too. */
	assert(lease[0] != NOBODY || returned[0] == seen[0])
}

init
{
	atomic {
		lease[0] = 0;
#ifdef ALONE
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
