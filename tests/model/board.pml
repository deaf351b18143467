/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boards (lib/lane/wake.h, B1 to B4): producers look at one word for several groups, and
 * at each group only where that word has news. Bells, announcements and answers of the groups
 * are as in wake.pml. Each producer has a lane and a store buffer in front of it. Member i is of
 * group i, in slot i, and reads both lanes. Slot i has board i. Members announce themselves
 * on their own board, and on board 0.
 *
 *   (none)       producers look at board 0
 *   -DWINDOW     a bell that was rung just now may be left to a later commit. A member
 *                announces a bell after its window. One producer
 *   -DMARK       member 1 waits for two events, and its bell is left before the second one.
 *                One producer
 *   -DDEATH      producer 0 may die after any step, alone; then the broker rings each group
 *   -DPART       board 0 becomes another uid's (broker/group/boards.c, L1 to L3). From then
 *                on it is as it was seen, whenever a producer looks. Member 1 alone
 *   -DOLD        member 1 is of an older library and uses no board. It joins in the middle
 *   -DUNHEARD    producer 0 has not got the memory of slot 1, and does not ring there. Member 1,
 *                alone, must not miss what producer 1 publishes
 *   -DALONE      member 1 alone
 *   -DROUNDS     with each of these: a member announces itself for R bells or for one, as
 *                it likes. While its announcement is good it goes to sleep without another,
 *                and without a barrier
 *
 * Without DEATH, producer 0 may stop for ever after any step. When nothing moves any more
 * this MUST hold: no member sleeps while there is an event that it has not seen, of a
 * call that has returned. With DEATH: while there is an event at all.
 *
 * Choose at most one rule to break with -D:
 *
 *   BREAK_MEMBARRIER  the sleeper does not drain the producers' store buffers
 *   BREAK_LOOK        .. does not look once more after announcing itself
 *   BREAK_COUNT       .. is not counted on the board
 *   BREAK_FIRST       .. is counted on the boards before `armed`
 *   BREAK_FRESH       a board is answered with a value loaded anew                (B4)
 *   BREAK_EARLY       a board is answered before the bells are rung               (B4)
 *   BREAK_FOUND       .. when the first group that waits was rung                 (B3)
 *   BREAK_LEFT        .. although a bell was left to a later commit (MARK)        (B4)
 *   BREAK_RING        bells are not rung when a board is left (PART)              (L3)
 *   BREAK_OWN         a member is counted on the shared board alone (PART)        (L1)
 *   BREAK_BIT         producers are not told of the own boards (PART)             (L2)
 *   BREAK_OLD         boards are answered while a member uses none (OLD)
 *   BREAK_RAISE       .. its board is raised before producers are told (OLD)
 *   BREAK_UNHEARD     .. although a group could not be looked at (UNHEARD)
 *   BREAK_DEATH       the broker does not ring for the dead (DEATH)
 *   BREAK_ROUNDS      a board is answered while bells of an announcement are left (ROUNDS) (B4)
 *   BREAK_STEP        the bell moves by one when a board is left, and announcements for more
 *                     stay good (PART, ROUNDS)                                    (L3)
 *   BREAK_IGNORE      bells of an announcement that are left are no reason to ring (ROUNDS)
 *   BREAK_DRAIN       a window is judged before the commit is seen (WINDOW, ROUNDS)
 *   BREAK_RESETTLE    a bell is slept on within its window (WINDOW, ROUNDS)
 */
#if defined(DEATH) || defined(WINDOW) || defined(MARK)
#define PRODUCERS 1
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef EVENTS
#define EVENTS 1 /* of each producer */
#endif
#ifdef ROUNDS
#define R 2 /* how many bells an announcement is good for */
#endif

byte tail[2];	  /* as the memory has it */
byte buffered[2]; /* commits still in a store buffer: 0, or the new tail */
byte returned[2]; /* ghost: tail of the last call that returned */
byte head[4];	  /* of member m on lane l at 2 * m + l */
byte doorbell[2], armed[2], answered[2]; /* by slot */
byte ring_until[2], woken[2]; /* by slot */
byte board[2], seen[2];
byte boards = 1; /* a bit for each that is looked at */
bool foreign;	 /* board 0 is another uid's */
bool unboarded;
byte noted[2], over[2]; /* the bells of complete rings; those whose window is over */
byte heard[2];		/* the first bell that member i has not announced */
bool sleeping[2];
bool dead, joined;

#define HEAD(m, l) head[2 * (m) + (l)]
#ifdef MARK
#define WANTS(m) ((m) + 1) /* events on lane 0 */
#define MARKED(g) (HEAD(g, 0) + WANTS(g) > k)
#else
#define WANTS(m) 1
#define MARKED(g) false
#endif
#define NEWS(m) (HEAD(m, 0) + WANTS(m) <= tail[0] || HEAD(m, 1) < tail[1])

#define DRAIN(p)                                                               \
	if                                                                     \
	:: buffered[p] -> tail[p] = buffered[p]; buffered[p] = 0               \
	:: else                                                                \
	fi

#define MAY_STOP                                                               \
	if                                                                     \
	:: me == 0 -> goto stopped                                             \
	:: true                                                                \
	fi

#ifdef WINDOW
#define IN_WINDOW(g) (noted[g] > over[g])
#else
#define IN_WINDOW(g) false
#endif
#ifdef UNHEARD
#define HEARS(g) (me != 0 || (g) == 0)
#else
#define HEARS(g) true
#endif

/* W3. Each word is loaded by itself. */
#ifdef ROUNDS
#ifdef BREAK_IGNORE
#define MORE(g) false
#else
#define MORE(g) (u > woken[g])
#endif
#define LOOK(g)                                                                \
	a = armed[g];                                                          \
	want = a != answered[g];                                               \
	u = ring_until[g];                                                     \
	want = want || MORE(g)
#define WANTED(g) want
#else
#define LOOK(g)	  a = armed[g]
#define WANTED(g) (a != answered[g])
#endif

/* N1: what is left out is seen by those who go to sleep from now on. */
#if defined(WINDOW) && defined(ROUNDS) && !defined(BREAK_DRAIN)
#define FENCE                                                                  \
	if                                                                     \
	:: want && me < 2 ->                                                   \
		atomic { DRAIN(me) }                                           \
	:: else                                                                \
	fi;
#else
#define FENCE
#endif

/* W2 to W5. `left`: a group that may wait was not rung, or waits for more bells. */
inline ring(g)
{
	if
	:: !HEARS(g) -> left = true
	:: HEARS(g) ->
		LOOK(g);
		FENCE
		if
		:: !WANTED(g)
		:: WANTED(g) && (MARKED(g) || IN_WINDOW(g)) -> left = true
		:: WANTED(g) && !MARKED(g) && !IN_WINDOW(g) ->
			MAY_STOP;
			/* A locked add, and so a barrier. Then FUTEX_WAKE. */
			atomic {
				if
				:: me < 2 -> DRAIN(me)
				:: else
				fi;
				doorbell[g]++;
				v = doorbell[g]
			};
			MAY_STOP;
			sleeping[g] = false;
			MAY_STOP;
#ifdef ROUNDS
			noted[g] = v;
			MAY_STOP;
			atomic { woken[g] = v; v = 0 };
#else
			atomic { noted[g] = v; v = 0 };
#endif
			MAY_STOP;
			answered[g] = a;
			rung = true
		fi;
#ifdef ROUNDS
#ifndef BREAK_ROUNDS
		left = left || MORE(g);
#endif
		atomic { u = 0; want = false };
#endif
		a = 0
	fi
}

#ifdef BREAK_FRESH
#define VALUE(i) board[i]
#else
#define VALUE(i) b[i]
#endif

/* A board of another uid looks as if there were no news. */
#define READ(i, to)                                                            \
	atomic {                                                               \
		if                                                             \
		:: (i) == 0 && foreign -> to = seen[i]                         \
		:: else -> to = board[i]                                       \
		fi                                                             \
	}

inline answer()
{
	if
	:: mask & 1 -> seen[0] = VALUE(0)
	:: else
	fi;
	if
	:: mask & 2 -> MAY_STOP; seen[1] = VALUE(1)
	:: else
	fi
}

/* B1: a look, no fence. It may pass the commit. */
inline look()
{
	mask = boards;
	if
	:: mask & 1 ->
		READ(0, v);
		if
		:: v != seen[0] -> news = true
		:: else
		fi;
		v = 0
	:: else
	fi;
	if
	:: !news && mask & 2 ->
		READ(1, v);
		if
		:: v != seen[1] -> news = true
		:: else
		fi;
		v = 0
	:: else
	fi
}

proctype Producer(byte me)
{
	byte k, a, v, u, mask, b[2];
	bool news, left, rung, want;

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
		look();
		if
		:: !news
		:: news ->
			/* B2 */
			mask = boards;
			READ(0, b[0]);
			READ(1, b[1]);
#ifdef BREAK_EARLY
			answer();
#endif
			MAY_STOP;
			left = unboarded;
			/* B3 */
			ring(0);
			MAY_STOP;
#ifdef BREAK_FOUND
			if
			:: rung
			:: !rung -> ring(1)
			fi;
#else
			ring(1);
#endif
			MAY_STOP;
			/* B4 */
#ifndef BREAK_EARLY
			if
#if defined(BREAK_LEFT) || defined(BREAK_OLD) || defined(BREAK_UNHEARD)
			:: true -> answer()
#else
			:: !left -> answer()
			:: left
#endif
			fi
#endif
		fi;
		atomic {
			news = false; left = false; rung = false;
			mask = 0; b[0] = 0; b[1] = 0;
			returned[me] = k
		}
	od;
	goto end;
stopped:
	atomic {
		a = 0; v = 0; u = 0; mask = 0; b[0] = 0; b[1] = 0;
		news = false; left = false; rung = false; want = false;
		DRAIN(me);
		dead = true
	};
end:	skip
}

#ifdef DEATH
/* It has seen the death, so it has seen all that the dead one stored. It answers no board. */
proctype Broker()
{
	byte a, v, u;
	bool left, rung, want;
	byte me = 9; /* it does not stop */

end:	dead ->
#ifndef BREAK_DEATH
	ring(0);
	ring(1)
#endif
stopped:
	skip
}
#endif

#ifdef PART
/* L3: no announcement is good any more. */
#if defined(ROUNDS) && !defined(BREAK_STEP)
#define VOIDED R
#else
#define VOIDED 1
#endif

proctype Broker()
{
#ifndef BREAK_BIT
	boards = 2; /* L2 */
#endif
#ifndef BREAK_RING
	atomic { doorbell[1] = doorbell[1] + VOIDED; sleeping[1] = false }; /* L3 */
#endif
	foreign = true
}
#endif

#ifdef OLD
proctype Broker()
{
#ifdef BREAK_RAISE
	board[1]++;
	boards = 3;
	unboarded = true;
#else
	boards = 3;
	unboarded = true;
	atomic { /* until it differs */
		board[1]++;
		if
		:: board[1] == seen[1] -> board[1]++
		:: else
		fi
	};
#endif
	joined = true
}
#endif

inline count(me)
{
#ifdef OLD
	if
	:: me == 1
	:: else ->
		board[0]++
	fi
#else
#ifndef BREAK_OWN
	board[me]++;
#endif
	if
	:: me == 1 -> board[0]++
	:: else
	fi
#endif
}

/* N4: after its window. */
#if defined(WINDOW)
#define SETTLE                                                                 \
	atomic {                                                               \
		if                                                             \
		:: over[me] < bell -> over[me] = bell                          \
		:: else                                                        \
		fi                                                             \
	};
#else
#define SETTLE
#endif

proctype Member(byte me)
{
	byte bell;

#ifdef OLD
	me == 0 || joined;
#endif
end:	do
	:: atomic { NEWS(me) ->
		HEAD(me, 0) = tail[0];
		HEAD(me, 1) = tail[1]
	   }
	:: !NEWS(me) ->
		bell = doorbell[me];
		if
		:: heard[me] > bell -> /* good for this sleep, too */
#if defined(ROUNDS) && !defined(BREAK_RESETTLE)
			SETTLE
#endif
			skip
		:: heard[me] <= bell ->
#ifdef ROUNDS
			if
			:: heard[me] = bell + R
			:: heard[me] = bell + 1
			fi;
#else
			heard[me] = bell + 1;
#endif
			SETTLE
#ifdef ROUNDS
			atomic { /* S2r */
				if
				:: heard[me] == bell + R &&
				   ring_until[me] < bell + R ->
					ring_until[me] = bell + R
				:: else
				fi
			};
#endif
#ifdef BREAK_FIRST
			count(me);
#endif
			armed[me]++;
#if !defined(BREAK_FIRST) && !defined(BREAK_COUNT)
			count(me);
#endif
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
		atomic { /* FUTEX_WAIT: sleeps only if the word is the same */
			if
			:: doorbell[me] == bell -> sleeping[me] = true
			:: else
			fi;
			bell = 0
		};
end_asleep:	!sleeping[me]
	od
}

#ifdef WINDOW
/* Time passes. */
proctype Clock()
{
end:	do
	:: over[0] < doorbell[0] -> over[0] = doorbell[0]
	:: over[1] < doorbell[1] -> over[1] = doorbell[1]
	od
}
#endif

#ifdef DEATH
#define PUBLISHED(l) tail[l]
#else
#define PUBLISHED(l) returned[l]
#endif
#ifdef UNHEARD
#define MISSED(m) ((m) == 1 && HEAD(m, 1) < PUBLISHED(1))
#else
#define MISSED(m)                                                              \
	(HEAD(m, 0) + WANTS(m) <= PUBLISHED(0) || HEAD(m, 1) < PUBLISHED(1))
#endif

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
#if defined(DEATH) || defined(PART) || defined(OLD)
		run Broker();
#endif
#if !defined(PART) && !defined(UNHEARD) && !defined(ALONE)
		run Member(0);
#endif
		run Member(1);
#ifdef WINDOW
		run Clock();
#endif
		run Auditor()
	}
}
