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
 *	stopped between its check and its store, for years perhaps. It may be
 *	alive only if the slot was given to a process before this group began:
 *	then a foreign head is no fault, and harmless, since it is no news. If
 *	all who have had the slot and live got it in this group, one of them
 *	lied, and there is no honest reason either for what follows from foreign
 *	heads: A5 and A6.
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

void tpi_judge_begin(struct tpi_judge *judge, uint32_t slot, uint32_t lane,
		     uint64_t tail, uint32_t incarnation)
{
	struct tpi_judged_cursor *cursor = cursor_of(judge, slot, lane);

	see_tail(&judge->lanes[lane], tail);
	cursor->word = TAPIO_HEAD(tail, incarnation, 0);
	cursor->total = cursor->start = judge->lanes[lane].total;
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
