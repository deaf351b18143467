/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking by the doorbell (lib/lane/wake.h): two producers, each with a
 * lane and a CPU of its own and a store buffer in front of it, and two members of
 * one group that sleep on one futex word.
 *
 * A producer may stop for ever after any step (SIGSTOP, SIGKILL). What must
 * hold when nothing moves any more: no member sleeps while there is an event of
 * a call that has returned which nobody has seen. (What a stopped producer's own
 * unfinished call published is found after the bound of a sleep, which this model
 * leaves out, as it does the broker's ring after a death.)
 *
 * Choose at most one rule to break with -D:
 *
 *   BREAK_MEMBARRIER  the sleeper does not drain the producers' store buffers
 *   BREAK_LOOK        .. does not look once more after announcing itself
 *   BREAK_ANNOUNCE    .. reads the doorbell after its last look
 *   BREAK_ORDER       `answered` is stored before the doorbell is answered
 *   BREAK_FRESH       `answered` gets a value loaded anew
 *   BREAK_ONE         one sleeper is woken instead of all
 */
#ifndef EVENTS
#define EVENTS 1 /* of each producer; with 2 some 10^8 states */
#endif

byte tail[2];	  /* as the memory has it */
byte buffered[2]; /* commits still in a store buffer: 0, or the new tail */
byte returned[2]; /* ghost: tail of the last call that returned */
byte seen[2];	  /* heads; member i reads lane i */
byte doorbell, armed, answered;
bool sleeping[2];

#define DRAIN(p)                                                               \
	if                                                                     \
	:: buffered[p] -> tail[p] = buffered[p]; buffered[p] = 0               \
	:: else                                                                \
	fi

/* Producer 0 may; what holds with its help missing must hold for producer 1. */
#define MAY_STOP                                                               \
	if                                                                     \
	:: me == 0 -> goto stopped                                             \
	:: true                                                                \
	fi

proctype Producer(byte me)
{
	byte k, a;

	do
	:: k == EVENTS -> break
	:: k < EVENTS ->
		k++;
		atomic { /* the commit: seen at once, or when the buffer drains */
			DRAIN(me);
			if
			:: tail[me] = k
			:: buffered[me] = k
			fi
		};
		MAY_STOP;
		a = armed; /* may pass the commit: no fence */
		if
		:: a != answered ->
			MAY_STOP;
#ifdef BREAK_ORDER
			answered = a;
			MAY_STOP;
#endif
			/* A locked add, and so a barrier of its own. */
			atomic { DRAIN(me); doorbell++ };
			MAY_STOP;
			atomic { /* FUTEX_WAKE */
#ifdef BREAK_ONE
				if
				:: sleeping[0] -> sleeping[0] = false
				:: else -> sleeping[1] = false
				fi
#else
				sleeping[0] = false;
				sleeping[1] = false
#endif
			};
			MAY_STOP;
#ifdef BREAK_FRESH
			answered = armed
#elif !defined(BREAK_ORDER)
			answered = a
#endif
		:: else
		fi;
		returned[me] = k;
		a = 0
	od;
stopped:
	atomic { a = 0; DRAIN(me) }
}

proctype Member(byte me)
{
	byte bell;

end:	do
	:: atomic { seen[me] < tail[me] -> seen[me] = tail[me] }
	:: seen[me] == tail[me] ->
		bell = doorbell;
		armed++;
#ifndef BREAK_MEMBARRIER
		atomic { DRAIN(0); DRAIN(1) };
#endif
#ifndef BREAK_LOOK
		if
		:: seen[me] < tail[me] -> goto end
		:: else
		fi;
#endif
#ifdef BREAK_ANNOUNCE
		bell = doorbell;
#endif
		atomic { /* FUTEX_WAIT: sleeps only if the word is the same */
			if
			:: doorbell == bell -> sleeping[me] = true
			:: else
			fi;
			bell = 0
		};
end_asleep:	!sleeping[me]
	od
}

#define ASLEEP_ON(i)                                                           \
	(sleeping[i] && seen[i] < returned[i])

proctype Auditor()
{
	/* Nothing moves any more: a member that sleeps now sleeps for good. */
	timeout -> assert(!ASLEEP_ON(0) && !ASLEEP_ON(1))
}

init
{
	atomic {
		run Producer(0);
		run Producer(1);
		run Member(0);
		run Member(1);
		run Auditor()
	}
}
