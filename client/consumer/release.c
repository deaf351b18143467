/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress: handed-out events are done with.
 *
 *   R1  the idle tally copy         SIGKILL: nobody reads that copy
 *   R2  head, naming that copy      SIGKILL before it: all of it is delivered
 *                                   again; after it: released and counted
 *   R3  room_armed, and a ring      SIGKILL before it: producers that wait look
 *                                   again within 10 ms
 *
 * SIGSTOP between R1 and R2: the lane stands still for this group until the process
 * goes on, or until another member takes it over. In that case, and if the group has
 * ended meanwhile, R2 is no news to any reader (lease.h). Nothing else writes these
 * words while the cell is ours.
 *
 * A group that may be overrun asks here, once per lane and batch, whether the events
 * that it handed out were still there. They were if the first position is above reap
 * now, since reap only grows. They were if the gate has not passed it, since no block
 * is reused before that. And they were if producers wait for us, which they did all
 * the time if they still do: the slot is ACTIVE and lossless now, and the lease is
 * still ours.
 *
 * A caller that wants to know it of each view asks tapio_view_intact() when it is done
 * with the view, by the same three tests. Then that answer counts: a view that was
 * whole is delivered, whatever happens to its block before the release. Views without
 * a question are judged together, by the oldest of the batch.
 */
#include <errno.h>

#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

static void move_on(struct tpi_track *t)
{
	t->head = t->next;
	t->handed = 0;
	t->skipped = 0;
	t->lost = 0;
	t->unsettled = 0;
}

bool tpi_commit(struct tpi_consumer *c, struct tpi_track *t)
{
	struct tapio_shm_cell *cell = t->cell;
	struct tapio_shm_tally *idle;

	if (tpi_unlikely(c->ended)) {
		move_on(t); /* the slot may be another group's by now */
		return true;
	}
	if (tpi_unlikely(!tpi_lease_held(t))) {
		tpi_lease_lose(c, t);
		return false;
	}
	TPI_TESTPOINT("release.held");
	if (t->skipped || t->lost) {
		t->tally.skipped += t->skipped;
		t->tally.lost += t->lost;
		t->record ^= 1;
		idle = &cell->tally[t->record];
		/*
		 * ORDER cursor.tally (store-store): the head that named the other
		 * copy is seen before this one changes. So a reader of it, while
		 * it changed, finds another head afterwards. Pairs
		 * with read_once() (lib/lane/ledger.c).
		 */
		tpi_fence_store_store();
		/* Relaxed: the release below orders them. */
		tpi_store_relaxed(&idle->skipped, t->tally.skipped);
		tpi_store_relaxed(&idle->lost, t->tally.lost);
		TPI_TESTPOINT("release.tallied");
	}
	/*
	 * ORDER cursor.head (release): the blocks before it are read, the tally
	 * that it names is written. Pairs with the acquire in slot_limit()
	 * (lib/lane/lane.c), in the ledger, and in the next member's begin().
	 */
	tpi_store_release(&cell->head,
			  TAPIO_HEAD(t->next, c->incarnation, t->record));
	if (c->fence)
		/* ORDER wake.barrier (full): the head before the look at
		 * room_armed. Pairs with tpi_barrier(), whose interrupt does
		 * not reach this process. */
		tpi_fence_full();
	TPI_TESTPOINT("release.stored");
	move_on(t);
	return true;
}

void tpi_wake_producers(struct tpi_consumer *c)
{
	/* No fence: a producer that announces itself runs a membarrier (ORDER
	 * wake.barrier, in tpi_barrier()). Relaxed: the protocol of wake.h. */
	uint32_t armed = tpi_load_relaxed(&c->doorbells->room_armed);

	if (tpi_likely(!tpi_wake_wanted(
		    armed, tpi_load_relaxed(&c->control->room_answered))))
		return;
	tpi_wake_all(&c->control->room);
	TPI_TESTPOINT("room.woken");
	tpi_store_relaxed(&c->control->room_answered, armed);
	TPI_TESTPOINT("room.answered");
}

/* The same when some have been asked about. Off the way of all others. */
__attribute__((noinline, cold)) static uint64_t count_asked(struct tpi_track *t)
{
	uint64_t rest = t->handed - t->asked, vain = t->spoilt;

	if (t->asked_at != t->head) { /* of an earlier batch */
		rest = t->handed;
		vain = 0;
	}
	t->asked = 0;
	if (rest && !tpi_still_there(t, t->first))
		vain += rest;
	t->lost += vain;
	return vain;
}

/* How many of a lane's events were handed out in vain; they become lost. */
static uint64_t count_overrun(struct tpi_track *t)
{
	uint64_t handed = t->handed;

	if (tpi_unlikely(t->asked))
		return count_asked(t);
	if (!handed || tpi_still_there(t, t->first))
		return 0;
	t->lost += handed;
	t->handed = 0;
	return handed;
}

/* A copy (history.c): nobody overwrites it. */
static bool is_copy(const struct tpi_consumer *c, const struct tapio_view *view)
{
	const unsigned char *data = view->data;

	return data >= c->copies.buffer &&
	       data < c->copies.buffer + c->copies.bytes;
}

static void note_asked(struct tpi_track *t, uint64_t position, bool whole)
{
	if (!t->asked || t->asked_at != t->head) {
		t->asked_at = t->asked_to = t->head;
		t->asked = t->spoilt = 0;
	}
	/* Once, and in order; any other is left to the release. */
	if (tapio_position_diff(position, t->asked_to) < 0 ||
	    tapio_position_diff(position, t->next) >= 0)
		return;
	t->asked_to = (position + 1) & TAPIO_POSITION_MASK;
	t->asked++;
	t->spoilt += !whole;
}

int tapio_view_intact(struct tapio_consumer *handle,
		      const struct tapio_view *view)
{
	struct tpi_consumer *c = handle->now;
	struct tpi_track *t;
	bool whole;

	if (!tpi_alive(&c->hot))
		return -ECHILD;
	if (view->flags & TAPIO_VIEW_GAP)
		return 1;
	if (view->flags & TAPIO_VIEW_FORMER)
		c = c->former;
	if (!c || view->lane >= c->lane_count)
		return -EINVAL;
	if (is_copy(c, view))
		return 1;
	/* ORDER group.slot (load-load): as in tapio_release(): what was read of
	 * the event, before the look at the slot. Pairs with the broker's
	 * release when it ends a group. */
	tpi_fence_load_load();
	tpi_check_slot(c);
	t = &c->tracks[view->lane];
	whole = (c->lossless && t->leased && tpi_lease_held(t)) ||
		tpi_still_there(t, view->position);
	note_asked(t, view->position, whole);
	return whole;
}

/*
 * The same on a lane that another member has taken over: these are no loss of the
 * group, since all that we had comes again.
 */
__attribute__((noinline, cold)) static uint64_t
settle_lost(struct tpi_consumer *c, struct tpi_track *t, uint64_t vain)
{
	if (c->lossless)
		vain = count_overrun(t);
	t->touched = false;
	t->gapped = false;
	if (t->leased)
		tpi_lease_lose(c, t);
	tpi_track_forget(t);
	return vain;
}

/* One lane; how many of its events were handed out in vain. */
static uint64_t settle(struct tpi_consumer *c, struct tpi_track *t)
{
	uint64_t vain = c->lossless ? 0 : count_overrun(t);

	if (tpi_unlikely(!t->leased ||
			 (t->next != t->head && !tpi_commit(c, t))))
		return settle_lost(c, t, vain);
	t->touched = false;
	t->gapped = false;
	if (t->giving)
		tpi_lease_give(c, t);
	return vain;
}

static int64_t release(struct tpi_consumer *c)
{
	uint64_t vain = 0;
	uint32_t i;

	c->copies.used = 0;
	c->copied = false;
	if (!c->touched_count)
		return 0;
	/* ORDER group.slot (load-load): what was read of the events, before the
	 * look at the slot. Pairs with the broker's release when it ends a
	 * group: only then do producers overwrite what we hold. */
	tpi_fence_load_load();
	tpi_check_slot(c);
	for (i = 0; i < c->touched_count; i++)
		vain += settle(c, c->touched[i]);
	c->touched_count = 0;
	tpi_wake_producers(c);
	return (int64_t)vain;
}

int64_t tapio_release(struct tapio_consumer *handle)
{
	struct tpi_consumer *c = handle->now;
	int64_t vain;

	if (!tpi_alive(&c->hot))
		return -ECHILD;
	vain = release(c);
	if (tpi_unlikely(c->former != NULL)) {
		vain += release(c->former);
		handle->told = false;
	}
	return vain;
}
