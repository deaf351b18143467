/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking of tapio_ring (lib/kit/ring_wait.c): two sleepers that wait for
 * values, two movers that put them, all of whom may be killed anywhere, and
 * bounded sleeps that end by themselves. (Waiting for room is the same with the
 * roles changed.) The ring itself is a counter here, whose every change is one
 * step. ring.pml is about that.
 *
 * A1 to A4 and W1 to W4 are the steps at the head of ring_wait.c, and the numbers
 * in brackets are its claims.
 *
 * Asserted: armed - answered is never less than the number of sleepers (3).
 * Whenever no thread is on the way, none sleeps beside a value (4), unless one
 * was killed between its move and W3, or when it had been woken and had not
 * looked, which is what the bound of a sleep is for (5). answered never passes
 * armed.
 *
 * Choose with -D: at most one rule to break:
 *
 *   BREAK_BELL    no bell is answered                                          (W2)
 *   BREAK_LOOK    the sleeper does not look after it announced itself      (A3)
 *   BREAK_FENCE   the mover looks for sleepers before its move is seen      (1)
 *   BREAK_COUNT   a mover that woke fewer takes off as many all the same,
 *                 and another too: W4 is an addition                        (3)
 *   BREAK_SETTLE  W4 settles what was announced since W1, too               (3)
 *   BREAK_EARLY   W4 comes before W2                                        (2)
 */
#ifndef MOVES
#define MOVES 2 /* calls of each mover. The first of them moves BATCH values */
#endif
#ifndef BATCH
#define BATCH 1
#endif
#ifndef GETS
#define GETS 2 /* of each sleeper */
#endif
#ifndef TIMERS
#define TIMERS 1 /* sleeps that end by themselves */
#endif

byte items;
byte bell, armed, answered;
bool asleep[2];
bool woken[2]; /* ghost: by W3, and has not looked since */
byte sleepers; /* ghost: how many are asleep */
byte awake = 2; /* ghost: how many are neither asleep nor gone */
byte moving; /* ghost: movers inside a call */
byte timers = TIMERS;
bool excused; /* ghost: killed where (5) says that it matters */

inline look(got)
{
	if
	:: items > 0 -> items--; got = true
	:: else -> got = false
	fi;
	woken[me] = false
}

proctype sleeper(byte me)
{
	byte seen, n;
	bool got;

	do
	:: n == GETS -> break
	:: n < GETS ->
		if
		:: atomic { look(got) }
		:: atomic { woken[me] -> excused = true; goto dead }
		:: !woken[me] -> goto dead
		fi;
		if
		:: got -> n++
		:: else ->
			if
			:: seen = bell /* A1 */
			:: goto dead
			fi;
			if
			:: armed++ /* A2 */
			:: goto dead
			fi;
#ifdef BREAK_LOOK
			got = false;
#else
			if
			:: atomic { look(got) } /* A3 */
			:: goto dead
			fi;
#endif
			if
			:: got -> n++
			:: else ->
				if
				:: atomic {
					bell == seen -> /* A4 */
					asleep[me] = true;
					sleepers++;
					awake--
				   }
				:: bell != seen -> skip
				:: goto dead
				fi;
end_asleep:			do
				:: atomic {
					!asleep[me] -> seen = 0;
					break
				   }
				:: atomic {
					asleep[me] && timers > 0 ->
					timers--;
					asleep[me] = false;
					sleepers--;
					awake++
				   }
				:: atomic {
					asleep[me] -> /* killed in its sleep */
					asleep[me] = false;
					sleepers--;
					awake++;
					goto dead
				   }
				od
			fi
		fi
	od;
dead:
	atomic { seen = 0; n = 0; got = false; awake-- }
}

/* The kernel's choice: any of those that sleep. */
inline wake_one()
{
	if
	:: asleep[0] -> asleep[0] = false; woken[0] = true; w++
	:: asleep[1] -> asleep[1] = false; woken[1] = true; w++
	:: !asleep[0] && !asleep[1] -> skip
	fi
}

inline end_of_call()
{
	r = 0;
	a = 0;
	k = 0;
	w = 0;
	n = 0;
	moving--
}

inline answer_W4()
{
#ifdef BREAK_COUNT
	answered = answered + k;
#else
	if
	:: answered != r -> skip
#ifdef BREAK_SETTLE
	:: answered == r && w < k -> answered = armed
#else
	:: answered == r && w < k -> answered = a
#endif
	:: answered == r && w >= k -> answered = r + k
	fi;
#endif
	assert(answered <= armed)
}

proctype mover()
{
	byte r, a, k, w, n;
	byte moves = 0;

	do
	:: break /* it need not go on */
	:: moves < MOVES ->
		n = (moves == 0 -> BATCH : 1);
#ifdef BREAK_FENCE
		r = answered;
		a = armed;
		atomic { items = items + n; moving++ };
#else
		atomic { items = items + n; moving++ }; /* P3 */
		if
		:: r = answered /* W1 */
		:: excused = true; goto dead
		fi;
		if
		:: a = armed
		:: excused = true; goto dead
		fi;
#endif
		if
		:: a > r ->
			k = (n < a - r -> n : a - r);
#ifdef BREAK_EARLY
			atomic { w = k; answer_W4(); w = 0 };
#endif
#ifndef BREAK_BELL
			if
			:: bell++ /* W2 */
			:: excused = true; goto dead
			fi;
#endif
			if
			:: atomic { /* W3 */
				wake_one();
				if
				:: k == 2 -> wake_one()
				:: else -> skip
				fi
				sleepers = sleepers - w;
				awake = awake + w
			   }
			:: excused = true; goto dead
			fi;
#ifndef BREAK_EARLY
			if
			:: atomic { answer_W4() } /* W4 */
			:: goto dead
			fi
#endif
		:: else -> skip
		fi;
		atomic { end_of_call(); moves++ }
	:: moves == MOVES -> break
	od;
	goto out;
dead:
	atomic { end_of_call() };
out:
	moves = 0
}

/* Looks at any time. */
proctype judge()
{
end:	if
	:: atomic { armed - answered < sleepers -> assert(false) } /* (3) */
	:: atomic {
		moving == 0 && awake == 0 && sleepers > 0 && items > 0 ->
		assert(excused) /* (4) */
	   }
	fi
}

init
{
	atomic {
		run sleeper(0);
		run sleeper(1);
		run mover();
		run mover();
		run judge()
	}
}
