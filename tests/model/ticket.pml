/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tickets of lib/lane/lane.c (T1 to T6) and lib/lane/sweep.c (S6): two threads of
 * one process submit or discard copies of one reservation, each on the lane's CPU or on
 * another one, at the same time or one after the other. One that begins at home may be
 * moved away whenever its section was aborted, and goes on as a call from elsewhere. A
 * third thread emits on the lane's CPU meanwhile, claims what is given up, and takes
 * blocks, as another process or (SAME) as the same one.
 *
 * A call that is at home first tries with the ticket that its reservation carries, and
 * after that with the word as it is. Here it always looks first. A word that is not
 * ENTERED and passes that look is the carried one, so the first attempt has no step of
 * its own.
 *
 * What must hold:
 *   no block enters the ring that is in the ring
 *   of the two copies exactly one is accepted. Only if one call is at home, the other
 *   one away, and they overlap, both may be.
 *   what the third thread has reserved or claimed, it can publish
 *   at the end each block is in the ring, or given up
 *
 * At most one rule to break:
 *   BREAK_TEST      a ticket that is ENTERED counts as open: the descriptor is not asked
 *   BREAK_CLOSED    a ticket that is ENTERED counts as closed
 *   BREAK_MARK      the section of a publish does not store ENTERED and the index
 *   BREAK_OUTSIDE   it is stored before the section
 *   BREAK_COMPARE   the section does not compare the ticket
 *   BREAK_RETAKE    away from the CPU the ticket is not changed before the copy
 *   BREAK_ABANDON   the block is given up by a store, not by a swap
 *   BREAK_HOME      a claim does not ask whether it is on the lane's CPU
 *   BREAK_RING      a claim does not ask whether the block is in the ring
 *   BREAK_SERIAL    a reserve keeps the serial (with SAME)
 *   BREAK_CLAIM     a claim keeps the serial (with SAME)
 */
#ifndef N
#define N 2
#endif
#ifndef OPS
#define OPS 2 /* of the third thread */
#endif
#define HALF (N / 2)
#define REAP(t, h) ((t) - N + (h))

#define NOBODY	  0
#define CULPRIT	  1
#define ABANDONED 8
#ifdef SAME
#define THIRD CULPRIT
#else
#define THIRD 2
#endif

typedef Ticket {
	byte owner, index, serial;
	bool entered
}

byte tail = N, held;
byte desc[N];
Ticket ticket[N];
bool in_ring[N]; /* ghost */
byte inside;     /* the thread whose section runs on the lane's CPU */
byte fresh = 50; /* serials of swaps */

/* The reservation that is copied, and what has become of the two calls. */
byte block, serial;
byte accepted, running, over;
bool overlap, home[3];

#define IS(b, w)                                                               \
	(ticket[b].owner == w.owner && ticket[b].index == w.index &&           \
	 ticket[b].serial == w.serial && ticket[b].entered == w.entered)
#define COPY(w, b)                                                             \
	w.owner = ticket[b].owner; w.index = ticket[b].index;                  \
	w.serial = ticket[b].serial; w.entered = ticket[b].entered
#define IN_RING(b, w, t, h)                                                    \
	((w.index + N + N - REAP(t, h) % N) % N < N - h && desc[w.index] == b)

/* One step of a section: it is done whole, or the thread starts again. */
#define STEP(action)                                                           \
	atomic                                                                 \
	{                                                                      \
		if                                                             \
		:: inside != me -> goto again                                  \
		:: inside == me -> action                                      \
		fi                                                             \
	}

#ifdef BREAK_TEST
#define MAY_BE_OPEN(b, w, t, h) true
#else
#ifdef BREAK_CLOSED
#define MAY_BE_OPEN(b, w, t, h) (!w.entered)
#else
#define MAY_BE_OPEN(b, w, t, h) (!w.entered || !IN_RING(b, w, t, h))
#endif
#endif
#define OPEN(b, w, who, number, t, h)                                          \
	(w.owner == who && w.serial == number && MAY_BE_OPEN(b, w, t, h))

#ifdef BREAK_MARK
#define MARK(b, t) skip
#else
#define MARK(b, t) ticket[b].index = t % N; ticket[b].entered = true
#endif
#ifdef BREAK_OUTSIDE
#define MARK_BEFORE(b, t) MARK(b, t)
#define MARK_INSIDE(b, t) skip
#else
#define MARK_BEFORE(b, t) skip
#define MARK_INSIDE(b, t) MARK(b, t)
#endif
#ifdef BREAK_COMPARE
#define SAME_TICKET(b, w) true
#else
#define SAME_TICKET(b, w) IS(b, w)
#endif

/* tpi_lane_publish() on the lane's CPU, of block b by its ticket; `ok`. */
#define PUBLISH(b, who, number)                                                \
	again:	MOVED_AWAY;                                                    \
	atomic { t = tail; h = held };                                         \
	atomic { COPY(w, b) };                                                 \
	if                                                                     \
	:: !OPEN(b, w, who, number, t, h) -> ok = false; goto done             \
	:: else                                                                \
	fi;                                                                    \
	MARK_BEFORE(b, t);                                                     \
	inside = me;                                                           \
	STEP(if                                                                \
	     :: tail != t || held != h -> inside = 0; goto again               \
	     :: else fi);                                                      \
	STEP(if                                                                \
	     :: !SAME_TICKET(b, w) -> inside = 0; goto again                   \
	     :: else fi);                                                      \
	STEP(MARK_INSIDE(b, t));                                               \
	STEP(desc[t % N] = b);                                                 \
	STEP(assert(!in_ring[b] && held > 0); in_ring[b] = true;               \
	     tail = t + 1; held = h - 1; inside = 0; ok = true)

/* tapio_submit() or tapio_discard() of a copy, from here or from elsewhere. */
#define MOVED_AWAY                                                             \
	if                                                                     \
	:: home[me] = false; goto retry                                        \
	:: true                                                                \
	fi
proctype Copy(byte me)
{
	byte t, h;
	Ticket w;
	bool ok, discard;

	atomic {
		if
		:: home[me] = true
		:: home[me] = false
		fi;
		if
		:: discard = false
		:: !home[me] -> discard = true /* at home it is a publish as well */
		fi;
		overlap = overlap || running > 0;
		running++
	};
	if
	:: home[me] -> goto again
	:: else
	fi;
	/* tpi_lane_retake(), or for a discard tpi_lane_abandon() at once */
retry:	atomic { COPY(w, block) };
	atomic { t = tail; h = held };
	if
	:: !OPEN(block, w, CULPRIT, serial, t, h) -> ok = false; goto done
	:: else
	fi;
	if
	:: discard -> atomic {
#ifndef BREAK_ABANDON
		if
		:: !IS(block, w) -> goto retry
		:: else
		fi;
#endif
		ticket[block].owner = ABANDONED; ok = true; goto done }
	:: else
	fi;
#ifndef BREAK_RETAKE
	atomic {
		if
		:: !IS(block, w) -> goto retry
		:: else -> ticket[block].serial = fresh; w.serial = fresh; fresh++
		fi
	};
#endif
	/* The event is published on the other CPU's lane: accepted. */
	ok = true;
	/* tpi_lane_abandon() */
gone:	t = w.serial;
	atomic { COPY(w, block) };
	if
	:: w.owner != CULPRIT || w.serial != t -> goto done
	:: else
	fi;
	atomic { t = tail; h = held };
	if
	:: IN_RING(block, w, t, h) -> goto done
	:: else
	fi;
	atomic {
#ifndef BREAK_ABANDON
		if
		:: !IS(block, w) -> goto gone
		:: else
		fi;
#endif
		ticket[block].owner = ABANDONED; goto done
	};

	PUBLISH(block, CULPRIT, serial);
done:	atomic {
		accepted = accepted + ok;
		running--;
		over++
	}
}

/* Emits on the lane's CPU. */
#undef MOVED_AWAY
#define MOVED_AWAY skip
proctype Third(byte me)
{
	byte op, t, h, b, number;
	Ticket w;
	bool ok;

	do
	:: op == OPS -> break
	:: op < OPS -> op++;
		if
		:: goto output
		:: goto reserve
		:: goto claim
		fi;

output:		atomic { t = tail; h = held; b = desc[REAP(t, h) % N]; inside = me };
		atomic {
			if
			:: inside != me || tail != t || held != h -> goto output
			:: else -> ticket[b].owner = NOBODY
			fi
		};
		atomic {
			if
			:: inside != me -> goto output
			:: else -> desc[t % N] = b; assert(in_ring[b]);
				tail = t + 1; inside = 0
			fi
		};
		goto next;

reserve:	atomic { t = tail; h = held };
		if
		:: h + 1 > HALF -> goto next
		:: else
		fi;
		atomic { b = desc[REAP(t, h) % N]; inside = me };
		atomic {
			if
			:: inside != me || tail != t || held != h -> goto reserve
			:: else -> ticket[b].owner = THIRD;
				ticket[b].index = REAP(t, h) % N;
#ifndef BREAK_SERIAL
				ticket[b].serial = REAP(t, h);
#endif
				ticket[b].entered = false;
				number = ticket[b].serial
			fi
		};
		atomic {
			if
			:: inside != me -> goto reserve
			:: else -> held = h + 1; in_ring[b] = false; inside = 0
			fi
		};
		goto again;

claim:		b = 0;
		do
		:: b == N -> goto next
		:: b < N ->
			atomic { COPY(w, b) };
			if
			:: w.owner != ABANDONED -> goto other
			:: else
			fi;
#ifndef BREAK_HOME
			inside = me; /* it runs here, so no other one does */
#endif
			atomic { t = tail; h = held };
#ifndef BREAK_RING
			if
			:: IN_RING(b, w, t, h) -> goto other
			:: else
			fi;
#endif
			atomic {
				if
				:: !IS(b, w) -> goto other
				:: else -> ticket[b].owner = THIRD;
#ifndef BREAK_CLAIM
					ticket[b].serial = fresh; fresh++;
#endif
					number = ticket[b].serial
				fi
			};
			break;
other:			b++
		od;
		goto again;

		PUBLISH(b, THIRD, number);
done:		assert(ok);
next:		atomic { t = 0; h = 0; b = 0; number = 0; ok = false; w.owner = 0;
			w.index = 0; w.serial = 0; w.entered = false }
	od;
	over++
}

init
{
	byte i, t;

	atomic {
		do
		:: i < N -> desc[i] = i; in_ring[i] = true; i++
		:: else -> break
		od;
		/* The reservation: block 0, taken at position 0. */
		ticket[0].owner = CULPRIT;
		held = 1;
		in_ring[0] = false;
		run Copy(1);
		run Copy(2);
		run Third(3)
	};
	(over == 3);
	assert(accepted >= 1);
	assert(accepted == 1 || (overlap && home[1] != home[2]));
	i = 0;
	do
	:: i < N -> assert(in_ring[i] || ticket[i].owner == ABANDONED);
		held = held - !in_ring[i];
		i++
	:: else -> break
	od;
	assert(held == 0);
	t = tail
}
