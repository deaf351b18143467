/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that emitting makes now and then: the clock, and the doorbells. The
 * fast paths are in emit_fast.h.
 */
#include <time.h>

#include "lib/base/testpoint.h"
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

	if (!tpi_gating_hears(&emit->gating, slot))
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

/* W3r. */
static bool asks_for_more(const struct tpi_emit *emit, int slot)
{
	return emit->rounds && tpi_wake_asked(&emit->control[slot]->ring_until,
					      &emit->doorbells->slots[slot]);
}

/* W2 to W5 of wake.h for one group. False: it may be left to a later commit. */
static bool ring_slot(const struct tpi_emit *emit, const struct tpi_lane *lane,
		      int slot)
{
	const struct tapio_shm_group_control *control = emit->control[slot];
	struct tapio_shm_doorbells *doorbells = emit->doorbells;
	uint32_t armed;

	/* The announcements of a slot that is unheard are those of an earlier group,
	 * and an answer to them would stand for its next ones (wake.h, 4). */
	if (!tpi_gating_hears(&emit->gating, slot))
		return false;
	/* Relaxed: the sleeper's barrier orders it (ORDER wake.barrier), or the board that
	 * was loaded before (ORDER wake.board). */
	armed = tpi_load_relaxed(&control->armed);
	if (!tpi_wake_wanted(armed,
			     tpi_load_relaxed(&doorbells->answered[slot])) &&
	    !asks_for_more(emit, slot))
		return true;
	if (lane && !mark_reached(emit, lane, slot))
		return false;
	/* Rung just now: the next commit after its window does it. */
	if (tpi_wake_rung(doorbells, (uint32_t)slot))
		return false;
	tpi_wake_group(doorbells, (uint32_t)slot, armed, emit->rounds);
	return !asks_for_more(emit, slot);
}

/* B2. Of the slots in `boards` those that are heard, and their boards. */
static uint64_t read_boards(const struct tpi_emit *emit, uint64_t boards,
			    uint32_t read[TAPIO_GROUP_SLOTS])
{
	uint64_t rest = boards;
	int slot;

	for (; rest; rest &= rest - 1) {
		slot = __builtin_ctzll(rest);
		if (!tpi_gating_hears(&emit->gating, slot))
			boards &= ~(UINT64_C(1) << slot);
		/* ORDER wake.board (acquire): the `armed` that it counts, and all that
		 * a producer is told of that group. Pairs with the adds in
		 * tpi_announce(). */
		else
			read[slot] = tpi_load_acquire(emit->board[slot]);
	}
	return boards;
}

/* B4. Relaxed: each bell that it stands for was rung before, by a call of the kernel. */
static void answer_boards(const struct tpi_emit *emit, uint64_t boards,
			  const uint32_t read[TAPIO_GROUP_SLOTS])
{
	int slot;

	for (; boards; boards &= boards - 1) {
		slot = __builtin_ctzll(boards);
		if (tpi_load_relaxed(emit->board_seen[slot]) != read[slot] &&
		    tpi_gating_hears(&emit->gating, slot))
			tpi_store_relaxed(emit->board_seen[slot], read[slot]);
	}
}

/* Each group by itself: an event that one waits for does not wake another. */
__attribute__((noinline, cold)) int tpi_ring(const struct tpi_emit *emit,
					     const struct tpi_lane *lane)
{
	uint32_t read[TAPIO_GROUP_SLOTS];
	uint64_t active, boards = 0;
	bool all;

	/* Memory before 0.6 has no boards. */
	if (emit->unboarded)
		boards =
			read_boards(emit, tpi_load_relaxed(emit->boards), read);
	/* Relaxed, both: after the boards that say it (ORDER wake.board). */
	active = tpi_load_relaxed(emit->active);
	all = boards && !tpi_load_relaxed(emit->unboarded);
	TPI_TESTPOINT("board.read");
	for (; active; active &= active - 1)
		all = ring_slot(emit, lane, __builtin_ctzll(active)) && all;
	/* SIGKILL here: the next producer looks at each group once more. */
	TPI_TESTPOINT("board.rung");
	if (all)
		answer_boards(emit, boards, read);
	return 0;
}
