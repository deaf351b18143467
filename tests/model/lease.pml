/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking over a lane from a member that sleeps (client/consumer/lease.h): one lane
 * with two events and a discard between them, members that read it, and a producer
 * that follows heads with its gate. A member that is not scheduled is one that
 * sleeps, so every step of it may come at any time later. Time does not exist: a
 * member may always think that the holder has slept for long enough.
 *
 * The steps have the names of lease.h. The announcement H1 may stay in a store
 * buffer until a swap, a later store of the same member, or a membarrier.
 *
 * What must hold:
 *   - a cell is written by its owner only
 *   - the gate is never beyond the head of the cell that counts, and all before it
 *     was handed out
 *   - the tally that counts is that of the positions before its head
 *   - a cell that counts is never free, and when all members are at rest no other
 *     one is in use
 *   - without TIMED and KILL: no event is handed out twice
 *
 *   -DTIMED    holders with events in hand are taken over, too
 *   -DKILL     a member may die at any step; the broker clears what it held
 *   -DMEMBERS  2 or 3
 *   -DLAST     how often the lane changes hands
 *
 * Choose at most one rule to break with -D:
 *
 *   BREAK_EPOCH       words carry no epoch
 *   BREAK_UNRELEASED  A3 is left out: takes over without a look at what S holds
 *   BREAK_BARRIER     A2 is left out
 *   BREAK_ANNOUNCE    H1 comes after H3
 *   BREAK_KEEP        H3 hands out though the lane was asked for
 *   BREAK_TALLY       T3 stays in the cell of the sleeper
 *   BREAK_MOVING      T1 names the new cell at once, filled before the swap
 *   BREAK_TWICE       the gate does not look at the lease again (P3)
 *   BREAK_CLAIM       T3 takes a free cell by a plain store
 *   BREAK_OWNER       T3 takes a cell that a sleeper owns
 *   BREAK_FREE        G1 makes the cell free, though the lease names it
 *   BREAK_TURN        cells have no turn: L2 may free one that is in use again
 *   BREAK_TAKER_L2    the taker does not look at the cell that it has left
 *   BREAK_SLEEPER_L2  the sleeper does not, after L1
 *   BREAK_BROKER_L2   the broker looks at the cells of the dead member only
 */
#ifndef MEMBERS
#define MEMBERS 2
#endif
#define CELLS  3
#define END    3 /* positions 0, 1, 2; 1 is a discard */
#define NOBODY 0 /* members are 1 .. MEMBERS */
#ifndef LAST
#define LAST 3 /* epochs; no more hands after that */
#endif

#define SKIPPED(position) ((position) > 1) /* discards before a position */

typedef Cell {
	byte owner; /* one word with given and turn */
	bool given;
	byte turn;
	byte head; /* one word with record */
	byte record;
	byte tally[2];
	byte next
}

/* The lease: one word, always read and written as a whole. */
byte holder, cell, epoch;
bool asked, moving;

Cell cells[CELLS];
byte gate;

byte buffered[MEMBERS + 1];	 /* H1 in the store buffer: its value, or NONE */
byte buffered_in[MEMBERS + 1]; /* and its cell */
#define NONE 9

byte handed[END];		/* ghost: how often */
bool dead[MEMBERS + 1];
byte resting;			/* ghost: members that have ended without a lane */

#define DRAIN(m)                                                               \
	if                                                                     \
	:: buffered[m] != NONE ->                                              \
		cells[buffered_in[m]].next = buffered[m];                      \
		buffered[m] = NONE                                             \
	:: else                                                                \
	fi

#ifdef BREAK_EPOCH
#define SAME_EPOCH(e) true
#else
#define SAME_EPOCH(e) (epoch == (e))
#endif

#define FREE(i) (cells[i].owner == NOBODY && !cells[i].given)

/* The word is as `me` believes: it has the lane, in its cell. */
#define MINE(m) (holder == m && cell == c && SAME_EPOCH(e) && !moving)

#define MAY_DIE                                                                \
	if                                                                     \
	:: skip                                                                \
	:: DIES -> goto gone                                                   \
	fi
#ifdef KILL
#define DIES (me == 1)
#else
#define DIES false
#endif

#ifdef BREAK_TURN
#define BLIND       true
#define ADD_TURN(i) skip
#else
#define BLIND       false
#define ADD_TURN(i) cells[i].turn++
#endif

/* L2: a cell that is GIVEN is free if the lease does not name it. Two loads, and a
 * swap; w, g and u are the word. */
#define RELEASE(i)                                                             \
	atomic { w = cells[i].owner; g = cells[i].given; u = cells[i].turn };  \
	if                                                                     \
	:: g && cell != i ->                                                   \
		atomic {                                                       \
			if                                                     \
			:: cells[i].owner == w && cells[i].given &&            \
			   (BLIND || cells[i].turn == u) ->                    \
				cells[i].owner = NOBODY;                       \
				cells[i].given = false;                        \
				ADD_TURN(i);                                   \
				assert(cell != i)                              \
			:: else                                                \
			fi                                                     \
		}                                                              \
	:: else                                                                \
	fi;                                                                    \
	w = 0; g = false; u = 0

/* A member, or a dead one when the broker is done with it, has nothing. */
#define REST                                                                   \
	atomic {                                                               \
		resting++;                                                     \
		if                                                             \
		:: resting == MEMBERS -> assert(IDLE(0) && IDLE(1) && IDLE(2)) \
		:: else                                                        \
		fi                                                             \
	}
#define IDLE(i) (cell == i || FREE(i))

/* ---- a member ---------------------------------------------------------------- */

proctype Member(byte me)
{
	byte c, d, e;	   /* the word as it was last ours: cell, epoch */
	byte head, record; /* private copies */
	byte next, i;
	byte was;	   /* of the word that a takeover begins with: holder */
	bool was_moving, fresh;
	byte w, u;
	bool g;

free:
	atomic {
		fresh = false;
		was_moving = false;
		was = NOBODY;
		c = 0; d = 0; e = 0;
		head = 0; record = 0; next = 0; i = 0;
		if
		:: epoch >= LAST -> goto rest
		:: epoch < LAST && holder == NOBODY ->
			/* K1, or T1 for a lane that its dead taker left MOVING */
			DRAIN(me);
			c = cell;
#ifdef BREAK_FREE
			fresh = !moving && cells[c].owner == NOBODY;
#else
			fresh = !moving && cells[c].given;
#endif
			moving = !fresh;
			holder = me;
			asked = false;
			epoch++;
			e = epoch
		:: epoch < LAST && holder != NOBODY && holder != me ->
			was = holder;
			c = cell;
			e = epoch;
			was_moving = moving;
			goto sleeper
		fi
	};
	MAY_DIE;
	if
	:: fresh ->
		atomic { /* K2; or another member has relieved us before it */
			if
#ifdef BREAK_FREE
			:: FREE(c) ->
#else
			:: cells[c].given ->
#endif
				cells[c].owner = me;
				cells[c].given = false;
				ADD_TURN(c)
			:: else ->
				if
				:: MINE(me) ->
					holder = NOBODY;
					moving = true;
					asked = false;
					epoch = (epoch < LAST -> epoch + 1 : epoch)
				:: else
				fi;
				goto free
			fi
		};
		MAY_DIE;
		atomic { head = cells[c].head; record = cells[c].record }; /* K3 */
		goto holding
	:: else -> goto settle
	fi;

sleeper: /* the holder `was` seems to sleep */
#ifdef BREAK_MOVING
	/* Fills a cell of its own from what it reads before the swap. */
	atomic {
		d = CELLS;
		i = 0;
		do
		:: i < CELLS && FREE(i) && i != c -> d = i; break
		:: i < CELLS && !(FREE(i) && i != c) -> i++
		:: i == CELLS -> break
		od;
		if
		:: d == CELLS -> goto free
		:: else
		fi;
		cells[d].owner = me;
		head = cells[c].head;
		cells[d].head = head;
		cells[d].record = 0;
		cells[d].tally[0] = cells[c].tally[cells[c].record];
		cells[d].next = head
	};
	MAY_DIE;
	atomic {
		if
		:: holder == was && cell == c && SAME_EPOCH(e) && epoch < LAST ->
			DRAIN(me);
			holder = me; cell = d; epoch++; asked = false;
			c = d; e = epoch; record = 0;
			assert(gate <= head)
		:: else -> cells[d].owner = NOBODY; goto free
		fi
	};
	goto holding;
#endif
#ifdef TIMED
	if
	:: goto take
	:: skip
	fi;
#endif
	if
	:: was_moving -> goto take /* it has handed out nothing */
	:: else
	fi;
	atomic { /* A1; or another member has asked */
		if
		:: holder == was && cell == c && SAME_EPOCH(e) && !moving ->
			DRAIN(me);
			asked = true
		:: else -> goto free
		fi
	};
	MAY_DIE;
#ifndef BREAK_BARRIER
	atomic { /* A2 */
		DRAIN(1);
		DRAIN(2)
#if MEMBERS > 2
		;
		DRAIN(3)
#endif
	};
#endif
#ifndef BREAK_UNRELEASED
	if /* A3 */
	:: cells[c].next > cells[c].head -> goto free
	:: else
	fi;
#endif
	atomic { /* T1 */
		if
		:: holder == was && cell == c && SAME_EPOCH(e) && asked &&
		   !moving && epoch < LAST ->
			DRAIN(me);
			holder = me; moving = true; asked = false; epoch++;
			e = epoch
		:: else -> goto free
		fi
	};
	goto settle;

take:
	atomic { /* T1 without a question */
		if
		:: holder == was && cell == c && SAME_EPOCH(e) &&
		   moving == was_moving && epoch < LAST ->
			DRAIN(me);
			holder = me; moving = true; asked = false; epoch++;
			e = epoch
		:: else -> goto free
		fi
	};

settle:
	MAY_DIE;
	/* T3, first half: a free cell, by a swap. */
	d = CELLS;
	i = 0;
	do
	:: i == CELLS -> break
#ifdef BREAK_TALLY
	:: i < CELLS -> d = c; break
#endif
#ifdef BREAK_OWNER
	:: i < CELLS && i != c -> cells[i].owner = me; d = i; break
#endif
#ifdef BREAK_CLAIM
	:: i < CELLS && FREE(i) ->
		MAY_DIE;
		cells[i].owner = me; d = i; break
	:: i < CELLS && !FREE(i) -> i++
#else
	:: i < CELLS ->
		atomic {
			if
			:: FREE(i) ->
				cells[i].owner = me; ADD_TURN(i); d = i; break
			:: else -> i++
			fi
		}
#endif
	od;
	if
	:: d == CELLS -> /* none: leaves it to others */
		atomic {
			if
			:: holder == me && moving && cell == c && SAME_EPOCH(e) ->
				holder = NOBODY;
				epoch = (epoch < LAST -> epoch + 1 : epoch)
			:: else
			fi
		};
		goto free
	:: else
	fi;
	MAY_DIE;
	/* T2: the head, its tally, and the head again. One load each. */
again:
	atomic { head = cells[c].head; record = cells[c].record };
	i = cells[c].tally[record];
	atomic {
		if
		:: cells[c].head != head || cells[c].record != record -> goto again
		:: else
		fi
	};
	/* T3, second half. */
#ifndef BREAK_TALLY
#ifndef BREAK_OWNER
#ifndef BREAK_CLAIM
	assert(cells[d].owner == me && !cells[d].given);
#endif
#endif
	cells[d].tally[0] = i;
	atomic { cells[d].head = head; cells[d].record = 0; record = 0 };
	cells[d].next = head;
#endif
	MAY_DIE;
	atomic { /* T4 */
		if
		:: holder == me && moving && cell == c && SAME_EPOCH(e) ->
			moving = false;
			cell = d;
			i = c;
			c = d;
			assert(gate <= head);
			assert(cells[c].tally[cells[c].record] ==
			       SKIPPED(cells[c].head))
		:: else ->
			c = d;
			goto lost
		fi
	};
	MAY_DIE;
#ifndef BREAK_TAKER_L2
	RELEASE(i);
#endif

holding:
	MAY_DIE;
	if
	:: head == END -> goto give
	:: head < END -> skip /* looks at its events */
	:: head < END -> goto give
	fi;
	/* A discard is passed over with the event behind it, or alone at the end. */
	next = (head == 1 -> 3 : head + 1);
	i = (head == 1 -> 2 : head); /* the event that is handed out */
#ifndef BREAK_ANNOUNCE
	atomic { /* H1: seen at once, or later */
		DRAIN(me);
		if
		:: cells[c].next = next
		:: buffered[me] = next; buffered_in[me] = c
		fi
	};
	MAY_DIE;
#endif
	atomic { /* H2, H3 */
		if
		:: MINE(me) && !asked -> skip
#ifdef BREAK_KEEP
		:: MINE(me) && asked -> skip
#else
		:: MINE(me) && asked && epoch < LAST ->
			DRAIN(me);
			asked = false;
			epoch++;
			e = epoch
		:: MINE(me) && asked && epoch >= LAST -> goto over
#endif
		:: else -> goto lost
		fi
	};
	atomic {
		handed[i]++;
#ifndef TIMED
#ifndef KILL
		assert(handed[i] == 1)
#endif
#endif
	};
#ifdef BREAK_ANNOUNCE
	atomic {
		DRAIN(me);
		if
		:: cells[c].next = next
		:: buffered[me] = next; buffered_in[me] = c
		fi
	};
#endif
	MAY_DIE;
	if /* R0 */
	:: MINE(me) -> skip
	:: else -> goto lost
	fi;
	MAY_DIE;
#ifndef BREAK_EPOCH
#ifndef BREAK_OWNER
#ifndef BREAK_CLAIM
#ifndef BREAK_TALLY
	assert(cells[c].owner == me && !cells[c].given);
#endif
#endif
#endif
#endif
	atomic { DRAIN(me); record = 1 - record; cells[c].tally[record] = SKIPPED(next) }; /* R1 */
	MAY_DIE;
	atomic { cells[c].head = next; cells[c].record = record }; /* R2 */
	head = next;
	goto holding;

give:
#ifdef BREAK_FREE
	atomic { DRAIN(me); cells[c].owner = NOBODY }; /* G1 */
#else
	atomic { DRAIN(me); cells[c].given = true }; /* G1 */
#endif
	MAY_DIE;
	atomic { /* G2 */
		if
		:: MINE(me) ->
			holder = NOBODY;
			asked = false;
			epoch = (epoch < LAST -> epoch + 1 : epoch);
			goto free
		:: else
		fi
	};
	RELEASE(c);
	goto free;

lost: /* L1 */
	atomic {
		DRAIN(me);
		if
		:: cells[c].owner == me -> cells[c].given = true
		:: else
		fi
	};
	MAY_DIE;
#ifndef BREAK_SLEEPER_L2
	RELEASE(c);
#endif
	goto free;

gone:
	atomic { DRAIN(me); dead[me] = true };
	goto over;
rest:
	REST;
over:	skip
}

#ifdef KILL
proctype Broker()
{
	byte i, w, u;
	bool g;

end:	dead[1] ->
	i = 0;
	do
	:: i < CELLS ->
		if
		:: cells[i].owner == 1 -> cells[i].given = true
		:: else
		fi;
#ifdef BREAK_BROKER_L2
		if
		:: cells[i].owner == 1 -> RELEASE(i)
		:: else
		fi;
#else
		RELEASE(i);
#endif
		i++
	:: i == CELLS -> break
	od;
	atomic {
		if
		:: holder == 1 ->
			holder = NOBODY;
			asked = false;
			epoch = (epoch < LAST -> epoch + 1 : epoch)
		:: else
		fi
	};
	REST
}
#endif

/* ---- a producer's gate --------------------------------------------------------- */

proctype Producer()
{
	byte c, e, h;
	bool m;

end:	do
	:: gate < END ->
		atomic { c = cell; e = epoch; m = moving; h = holder }; /* P1 */
		if
		:: m -> goto end
		:: else
		fi;
		h = cells[c].head; /* P2 */
		atomic { /* P3 */
			if
#ifdef BREAK_TWICE
			:: h > gate ->
#else
			:: h > gate && cell == c && epoch == e && !moving ->
#endif
				gate = h;
				assert(moving || cells[cell].head >= gate);
				assert(handed[0] > 0 &&
				       (gate < END || handed[2] > 0))
			:: else
			fi;
			c = 0; e = 0; h = 0
		}
	od
}

init
{
	atomic {
		cells[0].given = true;
		buffered[1] = NONE;
		buffered[2] = NONE;
		run Member(1);
		run Member(2);
#if MEMBERS > 2
		buffered[3] = NONE;
		run Member(3);
#endif
#ifdef KILL
		run Broker();
#endif
		run Producer()
	}
}
