/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a look finds on a lane that is no event: what was overwritten, and what is
 * impossible. Called by poll.c and merge_poll.c.
 *
 * No lane stops its reader. An overwritten event is passed over and counted lost;
 * so is what is impossible, and the cursor keeps a flag of it that tools show as a
 * fault. Nothing is walked position by position that a producer could make long:
 * a reader looks at N descriptors at most before it looks at the state again.
 *
 *	found                                      passed over         cause
 *	the ring went round (not lossless)         up to N/4 over reap OVERRUN
 *	held > N; tail beyond what can be unread   up to the tail      CORRUPT
 *	tail before what was read                  back to the tail    CORRUPT
 *	a descriptor of no block of the lane       that position       CORRUPT
 *
 * RECORDS. The caller may keep a record until its release, so a lane has one of
 * them in use at a time. Events missed meanwhile add up in `owed`, and are told by
 * one record after the release. Reading goes on in either case.
 *
 * SIGKILL, SIGSTOP: a record is of what lies after head, so the next member finds
 * the same. The flag may be set twice. What is owed may be of before head, too, since the
 * release comes first. So a member that is relieved forgets the part after head (drop(),
 * lease.c), which the next one tells. The part before it is told by nobody else.
 */
#include "client/consumer/consumer.h"
#include "lib/base/testpoint.h"

static void owe(struct tpi_consumer *c, struct tpi_track *t,
		const struct tapio_gap *gap)
{
	struct tapio_gap *owed = &t->owed;

	/* What lies before the group's start is nobody else's to tell. */
	if (tapio_position_diff(gap->first, t->head) >= 0)
		t->unsettled += gap->count;
	if (!t->owing) {
		t->owing = true;
		c->owing++;
		*owed = *gap;
		return;
	}
	owed->count += gap->count;
	/* A merge learns of what it passed over after what comes behind it. */
	if (tapio_position_diff(gap->first, owed->first) < 0)
		owed->first = gap->first;
	if (tapio_position_diff(gap->last, owed->last) > 0)
		owed->last = gap->last;
	if (gap->cause > owed->cause)
		owed->cause = gap->cause; /* the worse one */
}

static void hand_record(struct tpi_track *t, const struct tapio_gap *gap,
			struct tapio_view *view)
{
	t->gap = *gap;
	tpi_gap_view(view, &t->gap, t->lane);
	t->gapped = true;
}

unsigned int tpi_tell(struct tpi_consumer *c, struct tpi_track *t,
		      struct tapio_gap gap, struct tapio_view *view)
{
	if (!view || t->gapped || t->owing) {
		owe(c, t, &gap);
		return 0;
	}
	hand_record(t, &gap, view);
	return 1;
}

/* What is not released is told by the holder of the lane alone. */
static bool may_tell_owed(struct tpi_consumer *c, struct tpi_track *t)
{
	if (!t->owing || t->gapped)
		return false;
	if (t->unsettled && t->leased && !tpi_lease_hold(c, t))
		return t->owing; /* a part that is released */
	return true;
}

unsigned int tpi_tell_owed(struct tpi_consumer *c, struct tapio_view *views,
			   unsigned int max)
{
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < c->lane_count && n < max && c->owing; i++) {
		struct tpi_track *t = &c->tracks[i];

		if (!may_tell_owed(c, t))
			continue;
		hand_record(t, &t->owed, views + n++);
		tpi_touch(c, t);
		tpi_forget_owed(c, t);
	}
	return n;
}

unsigned int tpi_miss(struct tpi_consumer *c, struct tpi_track *t,
		      uint32_t cause, uint64_t to, struct tapio_view *view)
{
	uint64_t first = t->next, count = (to - first) & TAPIO_POSITION_MASK;

	t->next = to;
	t->lost += count;
	return tpi_tell(c, t, tpi_gap_of(cause, first, count), view);
}

static void flag(struct tpi_track *t, uint32_t fault)
{
	/* Relaxed: for the tools. The test keeps the line shared. */
	if (!(tpi_load_relaxed(&t->cursor->faults) & fault))
		tpi_or_relaxed(&t->cursor->faults, fault);
}

unsigned int tpi_overrun(struct tpi_consumer *c, struct tpi_track *t,
			 struct tapio_view *view)
{
	uint64_t to;

	TPI_TESTPOINT("poll.overrun");
	to = tpi_copy_resume(t->lane, tpi_lane_peek(t->lane));
	if (t->over && tapio_position_diff(to, t->end) > 0)
		to = t->end;
	if (tapio_position_diff(to, t->next) <= 0)
		return 0; /* no honest state: the next look will say so */
	return tpi_miss(c, t, TAPIO_GAP_OVERRUN, to, view);
}

/*
 * The tally says no more than can be when `released` positions are behind head. The
 * difference goes to the next commit.
 */
static void cut_tally(struct tpi_track *t, uint64_t released)
{
	uint64_t skipped = t->tally.skipped, lost = t->tally.lost;

	if (skipped > released)
		skipped = released;
	if (lost > released - skipped)
		lost = released - skipped;
	t->skipped = skipped - t->tally.skipped;
	t->lost = lost - t->tally.lost;
}

/*
 * A tail before what was read: the positions from there on will come again, with
 * other events. Head goes back with it, once nothing is in the caller's hands; and
 * so does the tally, as far as it counted what will come again.
 */
static unsigned int step_back(struct tpi_consumer *c, struct tpi_track *t,
			      uint64_t tail, struct tapio_view *view)
{
	/* Plain: written by the broker before it answered us. */
	uint64_t start = t->cursor->start & TAPIO_POSITION_MASK;

	if (t->touched || t->next != t->head)
		return 0;
	if (tapio_position_diff(tail, start) >= 0)
		cut_tally(t, tail - start);
	t->next = t->seen = tail;
	if (!tpi_commit(c, t))
		return 0;
	return tpi_tell(c, t, tpi_gap_of(TAPIO_GAP_CORRUPT, tail, 0), view);
}

unsigned int tpi_bad_state(struct tpi_consumer *c, struct tpi_track *t,
			   uint64_t tail, struct tapio_view *view)
{
	if (tpi_lease_lost(c, t)) {
		tpi_lease_lose(c, t);
		return 0;
	}
	flag(t, TAPIO_CURSOR_BAD_STATE);
	if (tapio_position_diff(tail, t->next) < 0)
		return step_back(c, t, tail, view);
	return tpi_miss(c, t, TAPIO_GAP_CORRUPT, tail, view);
}

void tpi_notice_loss(struct tpi_consumer *c, struct tpi_track *t)
{
	if (t->leased && tpi_lease_lost(c, t))
		tpi_lease_lose(c, t);
}

unsigned int tpi_bad_descriptors(struct tpi_consumer *c, struct tpi_track *t,
				 uint64_t end, struct tapio_view *view)
{
	uint64_t count = tpi_copy_bad_run(&c->filter, t->lane, t->next, end);

	if (!count)
		return 0;
	/* Not if they only were overwritten while they were looked at. */
	if (!c->lossless && !tpi_still_there(t, t->next))
		return tpi_overrun(c, t, view);
	if (tpi_lease_lost(c, t))
		return 0;
	flag(t, TAPIO_CURSOR_BAD_DESCRIPTOR);
	return tpi_miss(c, t, TAPIO_GAP_CORRUPT,
			(t->next + count) & TAPIO_POSITION_MASK, view);
}
