/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which member of a group consumes which lane, and how one relieves another.
 *
 * A lane has a lease word, which names its holder, and three cells, of which the
 * word names the one that counts (abi.h draws the states). A cell has one writer:
 * the member in `owner`. Both words change by compare-and-swap only. Each change of
 * hands makes the lease's epoch, or the cell's turn, higher. So no word comes back,
 * and the swap of a member that slept meanwhile fails.
 *
 *	a free lane                            the holder S, in cell c
 *	K1 (0, c) -> (me, c)                   hand out
 *	K2 c: (x, GIVEN) -> (me)                 H1 c.next = end of the views
 *	K3 go on from its head and tally         H2 after H1: load the lease
 *	                                         H3 as it was: they are handed out
 *	a lane of S, which sleeps                   ASKED: (S, ASKED) -> (S), and they
 *	A1 (S, c) -> (S, c, ASKED)                  are, else they are not
 *	A2 membarrier                          release
 *	A3 is c.next beyond c.head? Then S       R0 load the lease: as it was, or ASKED
 *	   holds events: leave it                R1 the idle tally   R2 head
 *	T1 (S, c, ASKED) -> (me, c, MOVING)    give
 *	T2 read head and tally of c              G1 c: (me) -> (me, GIVEN)
 *	T3 d: (0) -> (me), and fill it           G2 (me, c) -> (0, c)
 *	   with what T2 has read               another word was found, or G2 fails
 *	T4 (me, c, MOVING) -> (me, d)            L1 as G1
 *	L2 for c                                 L2 if the lease does not name c, and c
 *	                                            is (x, GIVEN): c: (x, GIVEN) -> (0)
 *
 *	the gate (lib/lane/cursor.h)
 *	P1 load the lease   P2 load the head of its cell   P3 load the lease again:
 *	   MOVING, or another one than before: no news, the gate stays
 *
 * WHEN. A lane with unread events is taken over as above when its holder has not
 * looked for a second. If the holder has events in hand, that is T1 without A1 to A3,
 * and only after `takeover` without a look or a release. A holder that is MOVING has
 * handed out nothing, so T1 follows after a second. Time decides only when it is worth
 * while: everything below holds whatever the clocks say.
 *
 *  1. ONE WRITER. A member stores into a cell only between its K2 or T3 and its own
 *     G1 or L1. K2 follows on K1, and (0, c) without MOVING says that c is GIVEN. T3
 *     takes free cells only. A cell that counts is never free: L2 looks at the lease
 *     when the cell is GIVEN, and a cell comes to count only by T4 of its owner. So a
 *     T3 that comes late, after the lane has gone elsewhere, fills a cell that does
 *     not count, and its T4 fails.
 *  2. NO CELL IS FORGOTTEN. L1 and T4 are swaps, and each is followed by L2, which
 *     loads what the other has swapped. One of the two L2 finds both done.
 *  3. LATE STORES ARE NO NEWS. S may have passed R0 before T1, and store R1 and R2
 *     after it. These go to c. The gate: a head that P2 loads was stored before T1,
 *     and then T2, which comes after T1, finds it or a later one. Or it was stored
 *     after T1, and then P3 finds T1 done, since a store becomes visible to all others
 *     at once. So a gate is never beyond the head of a later holder. The tally: S
 *     writes the idle copy and then head, once, since its next R0 finds another word.
 *     T2 reads the head, its tally, and the head again.
 *  4. NOTHING COMES TWICE from a holder without events in hand. A2 puts a barrier
 *     into S. If H2 came before it, H1 did, too, and A3 sees it. If H2 comes after
 *     it, it sees ASKED, or T1. In the first case S swaps ASKED off, and T1 fails; or
 *     T1 was first, and the views are not handed out.
 *  5. KEEP (H3) ADDS TO THE EPOCH. Else a third member could ask again after S had
 *     kept the lane and handed out events, and T1 would succeed on what A3 saw before.
 *     For the same reason the member that asked never takes ASKED off.
 *  6. AT LEAST ONCE from a holder with events in hand: what it has handed out and not
 *     released comes again, as after a death. A release that it began before T1 may
 *     count or not (T2 may see it), as a whole.
 *
 * SIGKILL of S: the broker does L1 for its cells and L2 for all three, and makes the
 * holder 0. Of the taker after A1: ASKED stays, and S swaps it off, or another member
 * goes on from there. After T1: the broker leaves MOVING, so the next holder does T2 to
 * T4. After T4: the broker does L2 for the cell that the taker has left.
 * SIGSTOP of S anywhere: see 3 and 4. Of the taker after T1: it holds a MOVING lane,
 * which a third member takes over, and then see 1. After T3 its cell stays its own
 * until it wakes up. So there are cells for two members that sleep at once on one
 * lane. A third that falls asleep there is not relieved before one of them wakes up
 * or ends. (An event that stops each of its readers stops three of them, and not the
 * whole group.)
 * Without membarrier A2 proves nothing: then all takeovers wait for `takeover`, and
 * events may come twice. A process that no membarrier reaches fences before H2.
 * Migration and signal handlers mean nothing: one thread polls. fork: the child's
 * handle is dead. Another uid does not map the cursors for writing. Broker restart: the
 * words outlive it, and members need no broker for any of this.
 *
 * tests/model/lease.pml is the model of it.
 */
#ifndef TPI_LEASE_H
#define TPI_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct tpi_consumer;
struct tpi_track;

/* Another member, as a survey has seen it. */
struct tpi_holder {
	uint32_t name;
	uint32_t busy; /* lanes of it with news */
	bool lives;    /* it has shown signs of life since the survey before */
	int64_t since; /* when they were first as they are */
};

/* A lane has one holder at most, so there is room for a holder for each lane. */
struct tpi_survey {
	int64_t at;    /* when */
	uint32_t mine; /* busy lanes of ours */
	uint32_t count;
	struct tpi_holder *holders;
};

/* lease.c */
/* Takes free lanes, those of our own node first. */
void tpi_lease_free(struct tpi_consumer *c);
/* K1 to K3 or T1 to T4, from the word `seen`. False: it is not ours. */
bool tpi_lease_take(struct tpi_consumer *c, struct tpi_track *t, uint64_t seen);
/* H3, when the lease is not as it was. False: the lane is not ours any more. */
bool tpi_lease_keep(struct tpi_consumer *c, struct tpi_track *t, uint64_t seen);
/* L1: another member has the lane. What is in the caller's hands is remembered until
 * its release. */
void tpi_lease_lose(struct tpi_consumer *c, struct tpi_track *t);
/* G1, G2, when nothing of the lane is in the caller's hands. */
void tpi_lease_give(struct tpi_consumer *c, struct tpi_track *t);
/* Gives all of them, at close. */
void tpi_lease_leave(struct tpi_consumer *c);
/* Whether a lane is on the node that we run on, or may be. */
bool tpi_lease_near(const struct tpi_consumer *c, const struct tpi_track *t);

/* balance.c */
/*
 * At most every 50 ms: takes free lanes, relieves members that sleep, gives lanes
 * that others want, and asks for a fair share.
 */
void tpi_lease_balance(struct tpi_consumer *c);
/* Puts the leased lanes in order, by priority. */
void tpi_lease_sort(struct tpi_consumer *c);

/* takeover.c */
/* Relieves members that have not looked for long. `survey` is of `now`. */
void tpi_lease_relieve(struct tpi_consumer *c, const struct tpi_survey *before,
		       struct tpi_survey *survey, int64_t now);

#endif
