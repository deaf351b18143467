/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that emitting makes now and then: the clock, and the doorbells. The
 * fast paths are in emit_fast.h.
 */
#include <time.h>

#include "lib/lane/cursor.h"
#include "lib/lane/emit.h"

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

/* W2 to W5 of wake.h for one group. */
static void ring_slot(const struct tpi_emit *emit, const struct tpi_lane *lane,
		      int slot)
{
	/* Relaxed: the sleeper's barrier orders it (ORDER wake.barrier). */
	uint32_t armed = tpi_load_relaxed(emit->armed[slot]);

	if (!tpi_wake_wanted(
		    armed, tpi_load_relaxed(&emit->doorbells->answered[slot])))
		return;
	if (lane && !mark_reached(emit, lane, slot))
		return;
	tpi_wake_group(emit->doorbells, (uint32_t)slot, armed);
}

/* Each group by itself: an event that one waits for does not wake another. */
__attribute__((noinline, cold)) void tpi_ring(const struct tpi_emit *emit,
					      const struct tpi_lane *lane)
{
	uint64_t active = tpi_load_relaxed(emit->active);

	for (; active; active &= active - 1)
		ring_slot(emit, lane, __builtin_ctzll(active));
}
