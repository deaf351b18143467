/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which heads are impossible. Called by evict.c, on the broker's thread.
 *
 * A group's members write its cursors, so they may hold anything. A group may
 * be evicted only for values that no honest group can ever show, whatever its
 * members are doing: stopped, dead, overrun, joining, or woken up after years.
 * The argument:
 *
 *  A1  A head is written by the broker (J1, J4, promotion) and by the lane's
 *	holder, who writes positions that it has read: at most the tail of that
 *	moment, and at least the head at which it took the lane. So heads grow,
 *	with one exception: a holder that finds a head of another incarnation
 *	goes on at the gate, but not before the start (client/consumer/lease.c).
 *  A2  Tails grow. The look loads gate, then head, then tail, so
 *	gate(t0) <= head(t0) <= head(t1) <= tail(t1) <= tail(t2), where the
 *	first holds for a group that holds the gate.
 *  A3  Positions have 48 bits and a lane may go round all of them while a member
 *	is stopped. So nothing is compared modulo 2^48 that may be far apart:
 *	tails are added up to 64-bit totals, look by look, which needs fewer than
 *	2^48 positions between two looks (163 days at 20 M/s; looks are a second
 *	apart). A head that has not changed since it was found possible stays
 *	possible, by A2: this is all there is to say of one who is stopped. One
 *	that has changed is ahead of the last one by (new - old) modulo 2^48, and
 *	it was there to be read only if that is not beyond the tail's total.
 *  A4  Of another incarnation is what a former member of the slot writes that was
 *	stopped between its check and its store, for years perhaps. There
 *	may be one only if the slot's memory was given to a client before this group
 *	began: then a foreign head is no fault, and harmless, since it is no news. If
 *	the memory has served no other group, a member lied, and there is no honest
 *	reason either for what follows from foreign heads: A5 and A6.
 *  A5  What is neither ahead of the last head nor beyond the tail lies behind.
 *	By the exception in A1 that may be honest, but never before the group's
 *	start. Behind the gate of a lossless group it may be, too: a producer may
 *	have computed the gate from the head before it was foreign, and store it
 *	after the holder has looked at the gate. A head that is behind, but not
 *	so far, only makes the group read its events again.
 *  A6  A former member may store a tally that is not this group's. Otherwise
 *	skipped and lost are parts of what was released, in the copy that the
 *	head names. Judged if the head stood still while it was read.
 *  A7  `start` is the broker's. No other process may write it.
 *
 *  A8  A broker that takes over knows nothing of earlier looks, and begins with its
 *	own first look. An own head that is not beyond the tail is placed at its distance
 *	from the tail. That is right if fewer than 2^47 positions lie between the two (81
 *	days at 20 M/s), as in A3. Then A1 to A3 hold from here on, as after any look.
 *	For a foreign head, and for one beyond the tail, the gate stands, but not before
 *	the start, by A1: the next look finds the second kind, as it finds any lie that
 *	is told later. The laps that a lane has made since the start are not known. So the total
 *	since the start is the smallest that has room for the tally: the true one is not
 *	smaller, a tally grows by no more than its head does, and so A6 never fails. A
 *	head that moved during every read came without its tally: there is room for any. In
 *	A5 a head may go back only where strangers may live. There one lap more is
 *	allowed, which is more than any head can go back.
 *
 * A new group is remembered from J4 on, before anybody is answered, so a slot that
 * is reused brings nothing along.
 *
 * The channel's producers write tail and gate. Those that lie can spoil all
 * that their channel carries, and can make a group look guilty, too: a tail
 * that is taken back after it was read. A state that shows it is not judged. A
 * tail that goes back counts as one that went round, which excuses every head.
 * The gate is held against a group only when its head has moved back behind it
 * since the last look: else the gate may have been pushed. A head that went
 * ahead and back between two looks goes unnoticed, and is as good as one that
 * stands.
 *
 * ISOLATED channels have producers that nobody trusts. One that takes its tail back
 * just before each look makes every head that has followed it look impossible, and a
 * tally, too. So there a group is judged by the words alone that no producer can
 * write: the start, and the incarnation of its heads. A group that lies in another
 * way harms itself, or makes use of its right to hold producers.
 */
#include "broker/group/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t distance(uint64_t to, uint64_t from)
{
	return (to - from) & TAPIO_POSITION_MASK;
}

int tpi_judge_init(struct tpi_judge *judge, const struct tpi_channel *channel)
{
	uint32_t i, count = channel->lane_count;

	judge->lane_count = count;
	judge->lanes = calloc(count, sizeof(*judge->lanes));
	/* Zeroed pages that are not touched before a group has its slot. */
	judge->cursors = calloc((size_t)count * TAPIO_GROUP_SLOTS,
				sizeof(*judge->cursors));
	if (!judge->lanes || !judge->cursors)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		judge->lanes[i].tail =
			TAPIO_STATE_TAIL(tpi_lane_peek(&channel->lanes[i]));
	return 0;
}

void tpi_judge_fini(struct tpi_judge *judge)
{
	free(judge->lanes);
	free(judge->cursors);
	memset(judge, 0, sizeof(*judge));
}

static void see_tail(struct tpi_judged_lane *lane, uint64_t tail)
{
	lane->total += distance(tail, lane->tail);
	lane->tail = tail;
}

static struct tpi_judged_cursor *cursor_of(const struct tpi_judge *judge,
					   uint32_t slot, uint32_t lane)
{
	return &judge->cursors[(size_t)slot * judge->lane_count + lane];
}

void tpi_judge_begin_at(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
			uint64_t tail, uint64_t start, uint32_t incarnation)
{
	struct tpi_judged_cursor *cursor = cursor_of(judge, slot, lane);

	see_tail(&judge->lanes[lane], tail);
	cursor->word = TAPIO_HEAD(start, incarnation, 0);
	/* As differences: totals begin at our first look, and may be less than 0. */
	cursor->total = cursor->start =
		judge->lanes[lane].total - distance(tail, start);
}

void tpi_judge_begin(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
		     uint64_t tail, uint32_t incarnation)
{
	tpi_judge_begin_at(judge, slot, lane, tail, tail, incarnation);
}

static uint64_t room_for(uint64_t released, uint64_t skipped, uint64_t lost)
{
	const uint64_t lap = TAPIO_POSITION_MASK + 1;
	uint64_t tally = skipped + lost;

	/* Members write both: a sum that cannot be has no room anywhere. */
	if (tally <= released || tally < skipped || tally > UINT64_MAX / 4)
		return released;
	return released + (tally - released + lap - 1) / lap * lap;
}

void tpi_judge_resume(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
		      uint32_t incarnation, bool strangers,
		      const struct tpi_ledger *seen)
{
	struct tpi_judged_cursor *cursor = cursor_of(judge, slot, lane);
	struct tpi_judged_lane *judged = &judge->lanes[lane];
	bool own = TAPIO_HEAD_INCARNATION(seen->word) == incarnation &&
		   tapio_position_diff(seen->head, seen->tail) <= 0;
	uint64_t head = own ? seen->head : seen->gate, released;

	see_tail(judged, seen->tail);
	if (!own &&
	    distance(seen->tail, head) > distance(seen->tail, seen->start))
		head = seen->start;
	released = distance(head, seen->start);
	if (own)
		released = room_for(released, seen->skipped,
				    tpi_ledger_tallied(seen));
	if (own && seen->faults & TPI_FAULT_UNSTEADY)
		released += UINT64_C(1) << 62;
	if (strangers)
		released += TAPIO_POSITION_MASK + 1;
	cursor->word = own ? seen->word : TAPIO_HEAD(head, incarnation, 0);
	/* As differences: totals begin at our own first look, and may be less than 0. */
	cursor->total = judged->total - distance(seen->tail, head);
	cursor->start = cursor->total - released;
}

uint64_t tpi_judge_last(const struct tpi_judge *judge, uint32_t slot,
			uint32_t lane)
{
	return cursor_of(judge, slot, lane)->word;
}

/* A3, A5: the total of a head, in *total. 0 or why it is impossible. */
static uint32_t place(const struct tpi_judged_lane *lane,
		      const struct tpi_judged_cursor *last,
		      const struct tpi_suspect *suspect,
		      const struct tpi_ledger *seen, uint64_t *total)
{
	uint64_t old = TAPIO_HEAD_POSITION(last->word);
	uint64_t ahead = distance(seen->head, old);
	uint64_t behind = distance(old, seen->head);
	uint64_t unread = distance(seen->tail, seen->gate);

	*total = last->total;
	if (ahead <= lane->total - last->total) {
		*total += ahead;
		return 0;
	}
	if (tapio_position_diff(seen->head, seen->tail) > 0)
		return TPI_FAULT_HEAD;
	if (behind > last->total - last->start)
		return TPI_FAULT_START;
	*total -= behind;
	/* As signed: the gate may be older than what we have seen of the lane. */
	if (suspect->lossless && !suspect->strangers &&
	    (int64_t)*total < (int64_t)(lane->total - unread))
		return TPI_FAULT_GATE;
	return 0;
}

/* Remembers a head that is not judged, so that the start stays where it is. */
static void follow(struct tpi_judged_cursor *last, uint64_t word)
{
	uint64_t start = distance(TAPIO_HEAD_POSITION(last->word),
				  last->total - last->start);

	last->total = last->start + distance(TAPIO_HEAD_POSITION(word), start);
	last->word = word;
}

static bool tally_possible(const struct tpi_ledger *seen, uint64_t released)
{
	return seen->skipped <= released &&
	       tpi_ledger_tallied(seen) <= released - seen->skipped;
}

uint32_t tpi_judge_look(struct tpi_judge *judge,
			const struct tpi_suspect *suspect, uint32_t lane,
			const struct tpi_ledger *seen)
{
	struct tpi_judged_cursor *last = cursor_of(judge, suspect->slot, lane);
	uint32_t fault, faults = 0;
	uint64_t total;

	if (seen->faults & TPI_FAULT_HELD)
		return 0; /* the producers' */
	see_tail(&judge->lanes[lane], seen->tail);
	if (seen->start != distance(TAPIO_HEAD_POSITION(last->word),
				    last->total - last->start))
		faults |= TPI_FAULT_START;
	if (TAPIO_HEAD_INCARNATION(seen->word) != suspect->incarnation)
		return suspect->strangers ? faults : faults | TPI_FAULT_FOREIGN;
	if (suspect->isolated) {
		follow(last, seen->word);
		return faults;
	}
	fault = place(&judge->lanes[lane], last, suspect, seen, &total);
	if (fault)
		return faults | fault;
	last->word = seen->word;
	last->total = total;
	if (!(seen->faults & TPI_FAULT_UNSTEADY) && !suspect->strangers &&
	    !tally_possible(seen, total - last->start))
		faults |= TPI_FAULT_TALLY;
	return faults;
}

uint64_t tpi_judge_mend(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
			bool lossless, const struct tpi_ledger *seen,
			uint64_t *start)
{
	struct tpi_judged_cursor *last = cursor_of(judge, slot, lane);
	uint64_t total = judge->lanes[lane].total, position = seen->gate;

	*start = distance(TAPIO_HEAD_POSITION(last->word),
			  last->total - last->start);
	/* The obstacle of the producers is gone before the gate: it was
	 * released after the last look. Others find out what they have lost. */
	if (!lossless || distance(seen->tail, seen->gate) > total - last->total)
		position = TAPIO_HEAD_POSITION(last->word);
	else
		last->total = total - distance(seen->tail, seen->gate);
	last->word =
		TAPIO_HEAD(position, TAPIO_HEAD_INCARNATION(last->word), 0);
	return last->word;
}
