/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving to the memory of another broker, and what comes from the memory before.
 *
 * Keeper and broker have died together, or tapiod was stopped and started anew. Then another
 * instance serves at our name (ELSEWHERE, client/connection/revive.c). The memory that we have
 * stays as it is, and producers that have not noticed yet go on there. So the handle reads
 * it to its end, and then joins its group in the new memory, with what it was opened
 * with, from the oldest event on.
 *
 *	now = A                    now = B, A.former of before is closed
 *	  M1  open anew (HELLO, ATTACH, map): the group of B has a member more, A.next
 *	  M2  A is read, and nothing of it or of the one before is in the caller's hands
 *	  M3  the descriptor of tapio_fd goes over, and its thread
 *	  M4  the one before A is closed, and the unread events there are counted
 *	  M5  now = B, B.former = A. The record of the move is handed out
 *	  M6  B's lanes, from the oldest event on
 *
 * M1 COMES FIRST, so that B's producers wait for us while we read A. The group that we
 * make begins at B's gates (TPI_ATTACH_HELD, broker/group/group.c): all from there on is
 * in its ledger and is held as the policy says. Events from before that are copied as the
 * history is (history.c), and what was overwritten before is counted in the record.
 *
 * READ (M2) is: no event on a lane of ours, or on one that nobody has, and none has come for
 * QUIET_NS: producers look for the other broker once in 100 ms, and so they have moved
 * by then. Lanes of other members are theirs. A lane that a producer fills all the time,
 * because it may not move, would keep us here for ever. So a second after the other instance
 * was found it suffices that we have read what there was then.
 *
 * STRAGGLERS. A producer may have loaded its pointer, or have reserved, before it moved, or
 * it may not move at all. Its events in A after M2 are read from A, where we stay a
 * member and keep our leases: by each call that finds nothing in B, and by each 1,024th,
 * or every other one while there is something. These views have TAPIO_VIEW_FORMER. They
 * are released, and asked about, in A. Leases, takeovers and the ledger need no broker
 * (lease.h), so members that have moved and members that have not share A as before. A
 * member that has died looks like one that sleeps, and is relieved: after a second, or
 * after `takeover` if it held events. So its lanes are read, too, though no broker
 * clears its leases. Lanes that are not taken over before M4 of the next move (takeover =
 * never) are counted there.
 *
 * ONE RECORD for each move, before any event of B: all of M3 to M5 lie in one call, and
 * that call returns the record alone.
 *
 * SIGKILL. Before M1 nothing has changed: A's heads have moved with each release, and
 * other members take over our lanes. From M1 on the new broker sees our end, as it sees
 * any member's: it frees the place in the group. A group of B without a member ends then,
 * if it is not durable, and the next one that moves makes it anew, at the gates. Events
 * that had been released in between come again then, which is the price of a group that
 * ends.
 * SIGSTOP in M1: the broker may hang up, and then the attempt fails and is made again.
 * Anywhere else: other members take our lanes of either memory over.
 * A signal handler makes no call here, and all signals are blocked in M1. fork: the child's
 * attachments are all dead, and their descriptors closed (handle.c). In M3 two of them
 * name the same descriptor for a moment. It is closed once, since the second close finds
 * another file, or none. Another uid at the socket gets no HELLO of us. The broker of B
 * dies in M1: the attempt fails, and the handle looks for one again. It dies after M1: B is
 * as A was, and a move out of B follows, at whose M4 A is closed. Our own broker is
 * there again before M3: the attachment of M1 is closed. Two members that move at once: the
 * broker makes the group for the one, and the other joins it.
 * Refused (no such channel, no right, another filter): the handle stays in A, works on,
 * says why, and tries again after a second.
 *
 * An instance that comes and goes between two looks of this handle is never seen. Its
 * events are lost with it, and no count of it is left anywhere.
 */
#include <errno.h>

#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"
#include "lib/base/thread.h"

/* Of so many glances aside one looks at the former memory. */
#define GLANCES 16
/* Longer than producers take to find the other broker (client/connection/revive.c). */
#define QUIET_NS INT64_C(120000000)
/* How long a producer that goes on in the former memory can keep us there. */
#define PATIENCE_NS INT64_C(1000000000)

/* ---- the rest of the memory before --------------------------------------------- */

static unsigned int look_back(struct tpi_consumer *c, struct tapio_view *views,
			      unsigned int max)
{
	struct tpi_consumer *former = c->former;
	unsigned int i, n;

	if (!former)
		return 0;
	tpi_lease_balance(former);
	tpi_lease_free(former);
	n = tpi_gather(former, views, max);
	for (i = 0; i < n; i++)
		views[i].flags |= TAPIO_VIEW_FORMER;
	return n;
}

/* ---- M1 -------------------------------------------------------------------------------- */

static int attach(void *arg)
{
	struct tpi_consumer *c = arg, *next;
	int err = tpi_consumer_attach(&next, c->handle, c);

	if (err)
		return err;
	TPI_TESTPOINT("move.attached");
	/* Its own broker is there again, and knows our attachment. */
	if (tpi_client_same_memory(&c->client, &next->client)) {
		tpi_consumer_leave(next);
		return -ECONNREFUSED;
	}
	next->former = c;
	/* Relaxed: a hint to the helper thread, which looks no further. */
	tpi_store_relaxed(&c->next, next);
	return 0;
}

static bool has_joined(struct tpi_consumer *c)
{
	return c->next ||
	       !tpi_client_attempt(&c->client, &c->handle->options.broker,
				   attach, c);
}

/* ---- M2 -------------------------------------------------------------------------------- */

static bool holds_views(const struct tpi_consumer *c)
{
	return c->touched_count || c->copied;
}

static uint64_t tail_of(const struct tpi_track *t)
{
	return TAPIO_STATE_TAIL(tpi_lane_peek(t->lane));
}

/* Another instance is there. Notes when that was seen first, and how far lanes were. */
static bool is_away(struct tpi_consumer *c)
{
	uint32_t i;

	if (!tpi_client_elsewhere(&c->client)) {
		c->away_ns = 0;
		if (c->next)
			tpi_consumer_leave(c->next);
		tpi_store_relaxed(&c->next, NULL);
		return false;
	}
	if (c->away_ns)
		return true;
	c->away_ns = tpi_now_ns();
	for (i = 0; i < c->lane_count; i++)
		c->tracks[i].goal = tail_of(&c->tracks[i]);
	return true;
}

/* Whether nothing of a lane keeps us. */
static bool lane_is_read(const struct tpi_track *t, bool late)
{
	uint64_t tail = tail_of(t), head;
	/* Relaxed: if it is nobody's, a look takes it. */
	uint32_t holder = tpi_cursor_holder(t->cursor);

	if (t->leased)
		return t->next == tail ||
		       (late && tapio_position_diff(t->goal, t->next) <= 0);
	if (holder != TAPIO_NOBODY || late)
		return true;
	head = TAPIO_HEAD_POSITION(
		tpi_load_relaxed(&tpi_cursor_cell(t->cursor)->head));
	return head == tail;
}

/* For how long nothing has come. */
static int64_t quiet_ns(struct tpi_consumer *c, int64_t now)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < c->lane_count; i++)
		sum += tail_of(&c->tracks[i]);
	if (c->quiet_at != sum || c->quiet_ns < c->away_ns) {
		c->quiet_at = sum;
		c->quiet_ns = now;
	}
	return now - c->quiet_ns;
}

static bool is_read(struct tpi_consumer *c)
{
	int64_t now = tpi_now_ns();
	bool late = now - c->away_ns > PATIENCE_NS;
	bool quiet = quiet_ns(c, now) >= QUIET_NS;
	uint32_t i;

	if (!late && !quiet)
		return false;
	if (holds_views(c) || (c->former && holds_views(c->former)) ||
	    c->handle->told || c->past_lanes || c->owing)
		return false;
	for (i = 0; i < c->lane_count; i++)
		if (!lane_is_read(&c->tracks[i], late))
			return false;
	return true;
}

/* ---- M4, M5 ---------------------------------------------------------------------------- */

/* How many positions were left unread there. They are lost, and counts stay. */
static uint64_t give_up(struct tapio_consumer *handle,
			struct tpi_consumer *former)
{
	struct tapio_consumer_stats sum = {0}, *gone = &handle->gone;

	tpi_consumer_count(former, &sum);
	gone->delivered += sum.delivered;
	gone->skipped += sum.skipped;
	gone->lost += sum.lost + sum.in_flight;
	gone->sleeps += sum.sleeps;
	gone->wakeups += sum.wakeups;
	gone->late += sum.late;
	gone->relieved += sum.relieved;
	tpi_consumer_leave(former);
	return sum.in_flight;
}

static void arrive(struct tpi_consumer *c)
{
	struct tapio_consumer *handle = c->handle;
	struct tpi_consumer *next = c->next;

	handle->gap = (struct tapio_gap){
		.count = next->missed,
		.cause = TAPIO_GAP_INSTANCE,
	};
	handle->gone.lost += next->missed;
	if (c->former)
		handle->gap.first = give_up(handle, c->former);
	c->former = NULL;
	c->next = NULL;
	/* Its broker is gone. */
	tpi_own_fd_close(&c->client.handle.sock);
	handle->now = next;
	TPI_TESTPOINT("move.arrived");
}

/* M3 to M5, without a place to be cancelled at. */
static bool go(struct tpi_consumer *c)
{
	int cancel = tpi_cancel_off();
	bool goes = !tpi_fd_hand_over(c, c->next);

	if (goes)
		arrive(c);
	tpi_cancel_restore(cancel);
	return goes;
}

static unsigned int move(struct tpi_consumer *c, struct tapio_view *views)
{
	/* The end of a group is for the program to see. */
	if (c->ended || !is_away(c) || !has_joined(c) || !is_read(c) || !go(c))
		return 0;
	tpi_move_view(views, &c->handle->gap);
	c->handle->told = true;
	return 1;
}

/* ---- when ------------------------------------------------------------------------------ */

unsigned int tpi_aside(struct tpi_consumer *c, struct tapio_view *views,
		       unsigned int max)
{
	unsigned int n;

	if (!max)
		return 0;
	n = look_back(c, views, max);
	return n ? n : move(c, views);
}

unsigned int tpi_aside_often(struct tpi_consumer *c, struct tapio_view *views,
			     unsigned int max)
{
	unsigned int n;

	if (!max)
		return 0;
	if (c->unlooked++ % GLANCES)
		return move(c, views);
	n = tpi_aside(c, views, max);
	if (n && c->handle->now == c) {
		/* The next but one call looks again. */
		c->polls = TPI_BALANCE_POLLS - 1;
		c->unlooked = 0;
	}
	return n;
}
