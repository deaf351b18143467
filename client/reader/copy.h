/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading without holding anything: copy first, then see whether it was whole.
 * Used by observers, and by consumers for what lies before their group's start.
 */
#ifndef TPI_COPY_H
#define TPI_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tapio/common.h>

#include "client/reader/filter.h"
#include "lib/lane/lane.h"

/* Where copies go. Emptied by setting `used` to 0. */
struct tpi_copies {
	unsigned char *buffer;
	size_t bytes;
	size_t used;
};

/* At least `bytes`, and room for one event of the largest class. */
int tpi_copies_init(struct tpi_copies *copies, size_t bytes,
		    const struct tapio_shm_channel *info);
void tpi_copies_fini(struct tpi_copies *copies);

/*
 * Copies events of [*next, end) that pass, and moves *next past what was looked
 * at. *skipped grows by those that do not pass. How many views were filled, with
 * *next at `end` when all is read: fewer than that and than `max`: the buffer is
 * full. -EOVERFLOW: the event at *next was overwritten. -EBADMSG: its descriptor
 * is impossible.
 */
int tpi_copy_events(struct tpi_copies *copies, const struct tpi_filter *filter,
		    const struct tpi_lane *lane, uint64_t *next, uint64_t end,
		    struct tapio_view *views, unsigned int max,
		    uint64_t *skipped);

/*
 * Moves *next past what does not pass, up to one that does, or `end`. *skipped
 * grows by that. 0, or -EOVERFLOW: the descriptors were overwritten, and *next
 * is where it was.
 */
int tpi_copy_skip(const struct tpi_filter *filter, const struct tpi_lane *lane,
		  uint64_t *next, uint64_t end, uint64_t *skipped);

/*
 * Where a reader that was overrun goes on: a quarter of the ring above reap, so
 * that it is not overrun again at once, but not beyond the tail.
 */
uint64_t tpi_copy_resume(const struct tpi_lane *lane, uint64_t state);

/*
 * The oldest event that a lane in that state can still have. Lanes are born full, with
 * position N as the first of an event. _missed: how many there were before `next`.
 */
uint64_t tpi_copy_oldest(const struct tpi_lane *lane, uint64_t state);
uint64_t tpi_copy_missed(const struct tpi_lane *lane, uint64_t next);

/* How many positions from `position` on, below `end`, have events that pass and an
 * impossible descriptor. */
uint64_t tpi_copy_bad_run(const struct tpi_filter *filter,
			  const struct tpi_lane *lane, uint64_t position,
			  uint64_t end);

/* A record of `count` positions side by side, and the view that hands one out. */
struct tapio_gap tpi_gap_of(uint32_t cause, uint64_t first, uint64_t count);
void tpi_gap_view(struct tapio_view *view, const struct tapio_gap *gap,
		  const struct tpi_lane *lane);
/* The same for the record of a move, which is of no lane. */
void tpi_move_view(struct tapio_view *view, const struct tapio_gap *gap);

/* Where a descriptor has the length. */
#define TPI_LENGTH_SHIFT 20
#define TPI_LENGTH_BITS  (UINT64_C(0xfffff) << TPI_LENGTH_SHIFT)

_Static_assert(offsetof(struct tapio_view, length) ==
			       offsetof(struct tapio_view, lane) + 4 &&
		       offsetof(struct tapio_view, severity) ==
			       offsetof(struct tapio_view, type) + 2 &&
		       offsetof(struct tapio_view, klass) ==
			       offsetof(struct tapio_view, type) + 3 &&
		       offsetof(struct tapio_view, flags) ==
			       offsetof(struct tapio_view, type) + 4,
	       "tpi_view_fill() stores neighbours together");

/* The stamp of a position, 0 without. */
static inline uint64_t tpi_view_time(const struct tpi_lane *lane,
				     uint64_t position)
{
	/* Relaxed: belongs to the event, and is ordered as the event is. */
	return lane->time ? tpi_load_relaxed(&lane->time[position & lane->mask])
			  : 0;
}

/*
 * A view of an event, all but its data. Neighbours are stored together: a reader
 * that takes a descriptor every nanosecond or two feels each store. Little-endian,
 * as the layout is.
 */
static inline void tpi_view_fill(struct tapio_view *view,
				 const struct tpi_lane *lane, uint64_t position,
				 uint64_t time, uint64_t desc)
{
	uint64_t where = lane->id | (desc & TPI_LENGTH_BITS)
					    << (32 - TPI_LENGTH_SHIFT);
	uint64_t what = (desc >> 40 & 0xfffff) | (uint64_t)lane->klass << 24;

	view->position = position;
	view->time = time;
	memcpy(&view->lane, &where, sizeof(where));
	memcpy(&view->type, &what, sizeof(what));
}

/*
 * Whether a descriptor names a block of the lane and fits in it. The number of
 * blocks is a power of two, so no other bit may be set.
 */
static inline bool tpi_desc_sane(const struct tpi_lane *lane, uint64_t desc)
{
	const uint64_t never = TAPIO_DESC_BLOCK_MASK & ~(uint64_t)lane->mask;
	const uint64_t longest = (uint64_t)lane->block_bytes
				 << TPI_LENGTH_SHIFT;

	return !(desc & never) && (desc & TPI_LENGTH_BITS) <= longest;
}

#endif
