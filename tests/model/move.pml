/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles that move to another instance (docs/design/broker.md, "Moving to another
 * instance"; client/producer, client/consumer). INSTANCES memories follow one another. Each
 * has a broker, which ends (with its keeper, or by a clean stop), and then the next one
 * begins with new memory. One producer's handle with THREADS threads emits OPS events in
 * each, of which some are reserved first. One lossless consumer reads.
 *
 * A lane is a tail and a head, and has N places. Which event is at a position follows
 * from the two. An instance that no group has joined is overwritten by its producers.
 *
 * What must hold:
 *   each accepted event of a memory is handed out once and in order, or counted as
 *   overwritten before the consumer came to the new memory, or as unread in a memory that was
 *   given up. (What is accepted in it after that has no group of this consumer: a thread
 *   has begun there before, or the handle could not move.)
 *   one record for each move, and no event of the new memory before it
 *   at the moment of a move all that the old memory had was handed out and released
 *   an operation that begins when the next instance serves does not end in the old memory,
 *   unless it was a reservation there, or the handle could not move just then
 *   of one memory the handle has one attachment
 *   no producer hangs in a memory from which the consumer is gone (CONSUMER_DIES)
 *
 * At most one rule to break:
 *   BREAK_CHECK     an emitting call does not compare `serving`
 *   BREAK_TURN      two threads may open in the new instance
 *   BREAK_RESERVE   a reservation is published in the memory of now
 *   BREAK_WAIT      a thread that waits for room does not look at `serving` and `now`
 *   BREAK_DRAIN     the consumer moves before it has read the old memory to its end
 *   BREAK_HAND      it moves with an event in its hands, and releases in the new memory
 *   BREAK_OLDEST    it joins the new memory at its newest event
 *   BREAK_STRAGGLER it never looks at the former memory again
 *   BREAK_RECORD    the record comes when an event of the new memory was handed out
 *   BREAK_GIVE_UP   what is unread in a memory that is given up is not counted
 *   BREAK_MISSED    what was overwritten before it joined is not counted
 */
#ifndef INSTANCES
#define INSTANCES 2
#endif
#ifndef THREADS
#define THREADS 2
#endif
#ifndef OPS
#define OPS 2
#endif
#ifndef N
#define N 2
#endif

#define NONE 255

/* Instances are numbered from 0. */
bool serves[INSTANCES] = false;	/* the low half of `serving` */
byte begun;			/* the newest instance: its number */
byte attachments[INSTANCES];	/* of the producer's handle */

byte tail[INSTANCES], head[INSTANCES], reserved_in[INSTANCES];
bool joined[INSTANCES], shut[INSTANCES]; /* given up by the consumer */

/* The producer's handle. */
byte now, former = NONE;
bool turn;

/* The consumer. */
byte reads, reads_former = NONE;
bool gone;	  /* it has died */
byte hand = NONE; /* the memory of the event that it holds */
bool owes;	  /* the record */

/* Ghosts. */
byte delivered[INSTANCES], missed[INSTANCES], unread[INSTANCES];
byte records, late[INSTANCES];
byte done; /* threads */

#define LAST (INSTANCES - 1)
#define OLDEST(i) (tail[i] > N -> tail[i] - N : 0)
/* The group of a consumer that has died goes on holding, until a broker ends it. */
#define FULL(i) (joined[i] && !(gone && serves[i]) && tail[i] - head[i] >= N)

/* ---- brokers ---------------------------------------------------------------------- */

proctype Brokers()
{
	serves[0] = true;
	do
	:: begun < LAST ->
		serves[begun] = false;		/* the kernel, or a clean stop */
		d_step { begun++; serves[begun] = true }
	:: begun == LAST -> break
	od
}

/* ---- a producer's thread ------------------------------------------------------------ */

#ifdef BREAK_CHECK
#define OTHER(p) false
#else
#define OTHER(p) (!serves[p])
#endif
#ifdef BREAK_TURN
#define TAKE_TURN true -> skip
#define GIVE_TURN skip
#else
#define TAKE_TURN atomic { !turn -> turn = true }
#define GIVE_TURN turn = false
#endif

/* The call that has found another word: it moves, or goes on as it is. */
inline look()
{
	if
	:: TAKE_TURN;
		p = now;
		to = begun;
		if
		:: to != p && serves[to] ->
			/* HELLO, ATTACH. The broker may be gone before the answer. */
			if
			:: atomic { serves[to] -> attachments[to]++ };
				assert(attachments[to] == 1);
				former = p;
				now = to
			:: !serves[to] -> free = false
			fi
		:: else -> free = false
		fi;
		GIVE_TURN
	:: turn -> free = false /* another thread is at it: as it is */
	fi;
	p = now
}

/* A place in the ring. It is not taken by then: threads may be one ahead of the group. */
inline wait_for_room()
{
	do
	:: !FULL(p) -> break
	:: FULL(p);
#ifdef BREAK_WAIT
		!FULL(p)
#else
		/* A bounded sleep, and all over again. */
		if
		:: !FULL(p)
		:: p != now -> p = now
		:: begun != p && serves[begun] && !serves[p] -> look()
		fi
#endif
	od
}

inline commit(i)
{
	atomic {
		tail[i]++;
		if
		:: shut[i] -> late[i]++
		:: else
		fi
	}
}

proctype Thread()
{
	byte ops = OPS, p, to, began;
	bool free;

	do
	:: ops == 0 -> break
	:: ops > 0 ->
		ops--;
		/* Ghost: the handle can move, and no other thread is at it. */
		atomic { p = now; began = begun; free = !turn && !serves[p] && serves[began] };
		if
		:: OTHER(p) -> look()
		:: else -> free = false
		fi;
#ifdef BREAK_CHECK
		atomic { free = !turn && !serves[p] && serves[began] };
#endif
		wait_for_room();
		if
		:: true -> commit(p) /* output; or else reserve and submit */
		:: true ->
			reserved_in[p]++;
#ifdef BREAK_RESERVE
			to = now;
#else
			to = p;
#endif
			assert(reserved_in[to] > 0);
			reserved_in[to]--;
			commit(to)
		fi;
		assert(!free || p >= began)
	od;
	done++
}

/* ---- the consumer -------------------------------------------------------------------- */

#ifdef BREAK_DRAIN
#define DRAINED(i) true
#else
#define DRAINED(i) (head[i] + (hand == i -> 1 : 0) == tail[i])
#endif
#ifdef BREAK_HAND
#define FREE_HANDS true
#else
#define FREE_HANDS (hand == NONE)
#endif

/* tapio_poll hands out one event of i. None of the new memory comes before the record. */
#define HAS(i) (hand == NONE && head[i] < tail[i])
inline take(i)
{
	assert(!owes || i != reads);
	hand = i
}

inline release()
{
	atomic {
#ifdef BREAK_HAND
		hand = reads;
#endif
		assert(head[hand] < tail[hand]);
		head[hand]++;
		delivered[hand]++;
		hand = NONE
	}
}

/* Into the instance `to`. */
inline move()
{
	atomic {
		serves[to] && !joined[to] ->
		/* The group holds the lane from the oldest event on that is there. */
		joined[to] = true;
#ifdef BREAK_OLDEST
		head[to] = tail[to];
#else
		head[to] = OLDEST(to);
#endif
#ifndef BREAK_MISSED
		missed[to] = OLDEST(to);
#endif
	};
	/* The third memory: the oldest one is given up. */
	atomic {
		if
		:: reads_former != NONE ->
#ifndef BREAK_GIVE_UP
			unread[reads_former] = tail[reads_former] - head[reads_former];
#endif
			shut[reads_former] = true
		:: else
		fi;
		assert(hand == NONE && head[reads] == tail[reads] || tail[reads] > seen);
		reads_former = reads;
		reads = to;
		owes = true
	}
}

proctype Consumer()
{
	byte to, seen;

	do
	:: owes && hand == NONE -> atomic { owes = false; records++ }
#ifdef BREAK_RECORD
	:: atomic { HAS(reads) -> take(reads) }
#else
	:: atomic { !owes && HAS(reads) -> take(reads) }
#endif
#ifndef BREAK_STRAGGLER
	:: atomic { reads_former != NONE && !owes && HAS(reads_former) -> take(reads_former) }
#endif
	:: hand != NONE -> release()
	:: !owes && !serves[reads] && begun != reads && FREE_HANDS ->
		/* The last look before it opens. */
		atomic { seen = tail[reads];
			if
			:: DRAINED(reads) -> skip
			:: else -> goto again
			fi };
		to = begun;
		if
		:: move()
		:: !serves[to]
		fi;
again:		skip
#ifdef CONSUMER_DIES
	:: atomic { !gone -> gone = true; break }
#endif
	:: atomic { done == THREADS && begun == LAST && reads == LAST && !owes &&
		hand == NONE && head[LAST] == tail[LAST] &&
		(reads_former == NONE || head[reads_former] == tail[reads_former]
#ifdef BREAK_STRAGGLER
		 || true
#endif
		 ) -> break }
	od
}

init
{
	byte i;

	atomic {
		serves[0] = true;
		attachments[0] = 1;
		joined[0] = true;
		run Brokers();
		run Consumer();
		for (i : 1 .. THREADS) {
			run Thread()
		}
	}
	/* All others have ended. */
	(_nr_pr == 1);
#ifndef CONSUMER_DIES
	for (i : 0 .. LAST) {
		assert(delivered[i] + missed[i] + unread[i] + late[i] == tail[i] ||
		       !joined[i])
	}
	assert(records >= 1)
#endif
}
