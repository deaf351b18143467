/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a group slot that serves one uid: broker/registry/slot_memory.h (N1 to N4),
 * a join in it (broker/group/group.c, J1 to J5), the gate (lib/lane/lane.c, G6), and how
 * producers get the new file (client/producer/slots.c, F1 to F5).
 *
 * Positions only. The lane has room for one block, and is full of unread ones: later
 * operations ask for the gate. A file of cursors is honest while the group has it
 * that it was made for. Before and afterwards a liar has it: whenever a thread looks, any
 * position and any incarnation may stand there.
 *
 * Process A has two threads, which map new files for each other. Process B never
 * fetches: it is stopped, or of another opinion. A thread that is not scheduled has
 * stopped. The loads between the two looks at the generation may be done in other
 * orders than they are written, as far as the acquires leave that open.
 *
 *   -DMEND      the slot stays ACTIVE. It is a durable group without members, which gets
 *               other memory since it lies, and then a member again (P1 to P3)
 *   -DROUNDS=2  memory is replaced twice: answers to FETCH may be of old memory
 *
 * What must hold:
 *   reap <= gate <= tail, and gate <= head of the honest group: nothing that it has not
 *           read is overwritten
 *   in the end two more operations of process A bring the gate to the head, although B has
 *           not got the memory
 *
 * At most one rule to break:
 *   BREAK_SERVES      the slot is used again by another uid with its old memory
 *   BREAK_EPOCH       heads are believed whatever the epoch is             (G6)
 *   BREAK_LATE        the epoch is stored after the generation             (N3, N4)
 *   BREAK_BARRIER     tails are read before the slot can be seen           (J3)
 *   BREAK_RAISE       heads are not raised                                 (J4)
 *   BREAK_GENERATION  there is no second look at the generation            (G3, G6)
 *   BREAK_SEAL        the gate is not sealed                               (P2)
 *   BREAK_ORDER       the epoch is stored before the file is mapped        (F5)
 *   BREAK_ANSWER      the epoch is the slot's of now, not the answer's     (F5)
 *   BREAK_HEEDED      a round without an answer is the last one            (F4)
 *   BREAK_ROUND       a round with an answer to an older question is the last (F4)
 *   BREAK_WAIT        a join waits until every producer has the memory     (N4)
 *
 * Three rules are a second reason for something that others ensure already, and breaking
 * one of them alone shows nothing. Since heads bear the incarnation, a file could be given away before
 * N4, and J1 could come after J2. Since an epoch never comes back, it need not be 0 while
 * a mapping changes.
 */
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef OPS1
#define OPS1 2 /* of the threads of A */
#endif
#ifndef OPS2
#define OPS2 2
#endif
#ifndef OPSB
#define OPSB 1
#endif
#define N          2
#define LAG        1
#define REAP(t)    ((t) - N)
#define NONE       9
#define NEVER      99 /* no generation */
#define ANYWHERE   50 /* a position beyond every tail */

byte tail = 2 * N - 1, gate = N, seals; /* the gate is one word with its epoch */
byte generation, epoch = 1;	    /* of the channel, of the slot's memory */
byte slot = 1;			    /* one word: the incarnation, 0 is FREE, and */
bool until;			    /* the policy */

/* The files, by epoch - 1. */
byte head[ROUNDS + 1], incarnation[ROUNDS + 1]; /* one word */
bool lies[ROUNDS + 1];
byte honest = NONE; /* ghost: the file of the honest group that was admitted */

/* Process A. */
byte own = 1, mapped, heeded = NEVER;
bool busy, asked;
/* Its connection. */
bool question;
byte answer; /* an epoch, and the file with it */

byte ended;

#define SANE                                                                   \
	assert(REAP(tail) <= gate && gate <= tail);                            \
	assert(honest == NONE || gate <= head[honest])

/* ---- process A: client/producer/slots.c ------------------------------------------- */

inline map(file)
{
#ifdef BREAK_ANSWER
	mapped = file - 1;
	own = epoch
#else
#ifdef BREAK_ORDER
	own = file;
	mapped = file - 1
#else
	own = 0;
	mapped = file - 1;
	own = file
#endif
#endif
}

/* `patient`: it waits for the answer, however long that takes. */
inline heed(patient)
{
	atomic { /* nothing depends on a turn that is taken a little later */
		if
		:: generation == heeded -> goto heard
		:: generation != heeded
		fi;
		if
		:: busy -> goto heard
		:: !busy -> busy = true
		fi
	};
	g = generation;
	do
	:: atomic { own == epoch -> break }
	:: atomic { own != epoch -> question = question || !asked; asked = true };
	   if
	   :: atomic { answer != 0 -> file = answer; answer = 0 };
		map(file);
		asked = false;
		file = 0;
		if
		:: own == epoch
		:: own != epoch ->
#ifndef BREAK_ROUND
			g = NEVER;
#endif
			break
		fi
	   :: atomic { !(patient) ->
#ifndef BREAK_HEEDED
		g = NEVER;
#endif
		break }
	   fi
	od;
	atomic {
		heeded = g;
		busy = false
	};
heard:	skip
}

/* ---- the gate: lib/lane/lane.c ------------------------------------------------------ */

#ifdef BREAK_EPOCH
#define HEARS true
#else
#define HEARS o == e
#endif

/* The slot's head, in the file that the process has mapped. */
inline look_at_head(file)
{
	atomic {
		if
		:: lies[file] ->
			if /* the worst that it can say, and the least */
			:: new = ANYWHERE
			:: new = old
			fi
		:: !lies[file] && incarnation[file] == w -> new = head[file]
		:: !lies[file] && incarnation[file] != w -> new = gate
		fi
	}
}

inline raise_gate(its_epoch, its_file)
{
	d_step { old = gate; sealed = seals };
	g = generation;
	if /* relaxed: only the looks at the generation stand before and behind it */
	:: t = tail
	:: true
	fi;
	d_step { w = slot; u = until };
	new = ANYWHERE;
	if
	:: w == 0
	:: w != 0 ->
		if
		:: o = its_epoch; e = epoch
		:: e = epoch; o = its_epoch
		fi;
		if
		:: HEARS -> look_at_head(its_file)
		:: !(HEARS) -> new = gate
		fi
	fi;
	if
	:: t == 0 -> t = tail
	:: t != 0
	fi;
	d_step {
		if
		:: w != 0 && u && new < t - LAG -> new = t - LAG
		:: else
		fi;
		if
		:: new > t -> new = t
		:: else
		fi
	};
	atomic {
#ifdef BREAK_GENERATION
		if
		:: new > old
		:: else -> goto raised
		fi
#else
		if
		:: generation == g && new > old
		:: else -> goto raised
		fi
#endif
	};
	atomic {
		if
		:: gate == old && seals == sealed -> gate = new
		:: else
		fi;
		SANE
	};
raised:	atomic { old = 0; sealed = 0; g = 0; t = 0; w = 0; u = false; o = 0; e = 0;
		new = 0 }
}

#define SCRATCH byte old, sealed, g, t, w, o, e, new, file; bool u

/* Takes a block, if there is one. */
#define OUTPUT                                                                 \
	atomic {                                                               \
		if                                                             \
		:: REAP(tail) + 1 <= gate -> tail++; SANE                      \
		:: else                                                        \
		fi                                                             \
	}

proctype Thread(byte ops)
{
	SCRATCH;

	do
	:: ops == 0 -> break
	:: ops > 0 -> ops--;
		if
		:: REAP(tail) + 1 > gate ->
			heed(false);
			raise_gate(own, mapped)
		:: else
		fi;
		OUTPUT
	od;
	ended++
}

/* It never fetches. */
proctype Other(byte ops)
{
	SCRATCH;

	do
	:: ops == 0 -> break
	:: ops > 0 -> ops--;
		if
		:: REAP(tail) + 1 > gate -> raise_gate(1, 0)
		:: else
		fi;
		OUTPUT
	od;
	ended++
}

/* A thread of process A, when all others have come to rest. */
proctype Last()
{
	SCRATCH;

	byte twice;

	ended == 4 && head[honest] == tail;
	do /* the first one may take the answer to an older question */
	:: twice == 2 -> break
	:: twice < 2 -> twice++; heed(true); raise_gate(own, mapped)
	od;
	assert(gate == tail);
	ended++
}

/* ---- the honest group's consumer ----------------------------------------------------- */

proctype Consumer()
{
	do
	:: atomic { honest != NONE && head[honest] < tail -> head[honest]++ }
	:: atomic { ended >= 4 && head[honest] == tail -> break }
	od
}

/* ---- the broker ------------------------------------------------------------------------ */

inline serve()
{
	do
	:: atomic { question && answer == 0 -> answer = epoch; question = false }
	:: break
	od
}

#ifdef BREAK_SERVES
#define FILE 0
#define RENEW(round)
#else
#define FILE round
#define RENEW(round) epoch = round + 1
#endif

inline set_head(round)
{
	x = tail;
	d_step { head[FILE] = x; incarnation[FILE] = round + 1 }
}

inline show_slot(round)
{
	slot = round + 1;
	generation++
}

/* The group ends. The next one is of another uid. */
inline join(round)
{
	atomic {
		honest = NONE;
		lies[round - 1] = true;
		slot = 0
	};
	generation++;
	serve();
#ifndef BREAK_LATE
	RENEW(round); /* N3 */
#endif
	set_head(round); /* J1 */
#ifdef BREAK_BARRIER
	x = tail;
#endif
	show_slot(round); /* J2 */
#ifdef BREAK_LATE
	RENEW(round);
#endif
#ifndef BREAK_RAISE
#ifndef BREAK_BARRIER
	x = tail; /* J4 */
#endif
	head[FILE] = x;
#endif
#ifdef BREAK_WAIT
	false; /* B never has it */
#endif
	atomic { /* J5 */
		x = 0;
		honest = FILE;
		SANE
	};
	serve()
}

inline mend()
{
	/* N1: at the last head that was possible. The gate may have passed that. */
	d_step { head[1] = N; incarnation[1] = 1 };
#ifndef BREAK_LATE
	epoch = 2; /* N3 */
#endif
	generation++; /* N4 */
	serve();
	until = false; /* P1 */
	generation++;
#ifdef BREAK_LATE
	epoch = 2;
#endif
#ifdef BREAK_SEAL
	x = gate;
#else
	d_step { x = gate; seals++ }; /* P2 */
#endif
	atomic { /* P3 */
		if
		:: x > head[1] -> head[1] = x
		:: else
		fi;
		x = 0;
		honest = 1;
		SANE
	};
	serve()
}

proctype Broker()
{
	byte x;

#ifdef MEND
	mend();
#else
	join(1);
#if ROUNDS > 1
	join(2);
#endif
#endif
	ended++;
	do
	:: atomic { question && answer == 0 -> answer = epoch; question = false }
	:: ended == 5 -> break
	od
}

init
{
	atomic {
		head[0] = N;
		incarnation[0] = 1;
		lies[0] = true;
#ifdef MEND
		until = true;
#endif
		run Thread(OPS1);
		run Thread(OPS2);
		run Other(OPSB);
		run Last();
		run Consumer();
		run Broker()
	}
}
