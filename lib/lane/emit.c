/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What emitting calls now and then: the clock, and the doorbell. The fast paths
 * are in lane.c, with the sections.
 */
#include <time.h>

#include "lib/lane/cursor.h"
#include "lib/lane/emit.h"
#include "lib/base/testpoint.h"

/* Out of line: it needs room on the stack, which the others do not. */
__attribute__((noinline)) uint64_t tpi_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Whether a group has as much to read on a lane as its member waits for. */
static bool mark_reached(const struct tpi_emit *emit,
			 const struct tpi_lane *lane, int slot)
{
	const struct tapio_shm_cursor *cursor = emit->gating.cursors[slot];
	const struct tapio_shm_cell *cell;
	uint64_t head, tail, unread;
	uint32_t mark;

	if (!cursor)
		return true;
	cell = tpi_cursor_cell(cursor + lane->id);
	/* Relaxed, all of them: the sleeper's barrier orders them (wake.h). */
	mark = tpi_load_relaxed(&cell->watermark);
	if (mark <= 1)
		return true;
	head = tpi_load_relaxed(&cell->head);
	tail = TAPIO_STATE_TAIL(tpi_load_relaxed(&lane->shm->state));
	unread = (tail - TAPIO_HEAD_POSITION(head)) & TAPIO_POSITION_MASK;
	/* Whatever the mark says: a lane is not left to fill up. */
	return unread >= mark || unread > lane->mask / 2;
}

/*
 * W2 to W5 of wake.h, for every group that waits: they all sleep on the one
 * doorbell, so one ring answers them all.
 */
__attribute__((noinline, cold)) void tpi_ring(const struct tpi_emit *emit,
					      const struct tpi_lane *lane)
{
	uint64_t active = tpi_load_relaxed(emit->active);
	uint32_t armed[TAPIO_GROUP_SLOTS];
	uint64_t rest;
	bool due = !lane;
	int slot;

	for (rest = active; rest; rest &= rest - 1) {
		slot = __builtin_ctzll(rest);
		armed[slot] = tpi_load_relaxed(emit->armed[slot]);
		if (!due &&
		    tpi_wake_wanted(
			    armed[slot],
			    tpi_load_relaxed(&emit->bell->answered[slot])))
			due = mark_reached(emit, lane, slot);
	}
	if (!due)
		return;
	tpi_wake_all(&emit->bell->doorbell);
	/* SIGKILL here: `answered` stays old, the next producer rings again. */
	TPI_TESTPOINT("ring.woken");
	for (rest = active; rest; rest &= rest - 1) {
		slot = __builtin_ctzll(rest);
		/* Relaxed: whoever reads it does so after its own commit and
		 * needs no order with ours; a lost update rings once more. */
		if (tpi_wake_wanted(
			    armed[slot],
			    tpi_load_relaxed(&emit->bell->answered[slot])))
			tpi_store_relaxed(&emit->bell->answered[slot],
					  armed[slot]);
	}
}
