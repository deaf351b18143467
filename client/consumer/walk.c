/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop that every event of a consumer passes through, if it does not merge.
 *
 * Nothing that producers write is believed: a descriptor is checked before its
 * block's address is computed. If the channel's producers are hostile, a view may
 * hold nonsense, but it lies inside the lane's blocks. Whether what was looked at
 * was still there is for the caller to ask, after the walk.
 *
 * A stretch is a run of slots that lie side by side, none of them beyond the end of
 * the ring. Positions go round only there, too, since 2^48 is a whole number of
 * laps.
 */
#include "client/consumer/walk.h"

#include <stdbool.h>

#include "client/reader/copy.h"

/*
 * Looks at `count` slots, or up to an impossible descriptor, and returns where the
 * views end. It goes by pointers, as few as can be.
 */
static inline __attribute__((always_inline)) struct tapio_view *
fill_stretch(const struct tpi_lane *lane, const struct tpi_filter *filter,
	     uint64_t *position, uint64_t count, struct tapio_view *v,
	     uint64_t *skipped)
{
	const uint64_t *at = &lane->desc[*position & lane->mask];
	const uint64_t *const stop = at + count;
	/* From a descriptor to its stamp: both lie in the lane's segment. */
	const ptrdiff_t time = lane->time ? lane->time - lane->desc : 0;
	uint64_t here = *position, desc, skips = 0;

	for (; at != stop; at++, here++) {
		/* Relaxed: the acquire of the state orders it. */
		desc = tpi_load_relaxed(at);
		if (filter ? !tpi_filter_pass(filter, desc)
			   : TAPIO_DESC_TYPE(desc) == TAPIO_TYPE_DISCARD) {
			skips++;
			continue;
		}
		if (tpi_unlikely(!tpi_desc_sane(lane, desc)))
			break;
		v->data = tpi_lane_block(lane, TAPIO_DESC_BLOCK(desc));
		__builtin_prefetch(v->data);
		/* Relaxed: belongs to the event, and is ordered as it is. */
		tpi_view_fill(v++, lane, here,
			      time ? tpi_load_relaxed(at + time) : 0, desc);
	}
	*position = here & TAPIO_POSITION_MASK;
	*skipped += skips;
	return v;
}

/* How many of `count` slots the filter refuses before it lets one pass. */
static inline __attribute__((always_inline)) uint64_t
skip_stretch(const struct tpi_lane *lane, const struct tpi_filter *filter,
	     uint64_t position, uint64_t count)
{
	const uint64_t *const first = &lane->desc[position & lane->mask];
	const uint64_t *at = first;

	/* Relaxed: the acquire of the state orders it. */
	while (at != first + count &&
	       !tpi_filter_pass(filter, tpi_load_relaxed(at)))
		at++;
	return (uint64_t)(at - first);
}

/*
 * On private copies of lane and filter, since the compiler cannot know that the
 * caller's views do not lie over them.
 */
static inline __attribute__((always_inline)) unsigned int
walk(const struct tpi_lane *from, const struct tpi_filter *wanted,
     uint64_t *position, uint64_t tail, struct tapio_view *views,
     unsigned int max, uint64_t *skipped)
{
	const struct tpi_lane lane = *from;
	const struct tpi_filter filter =
		wanted ? *wanted : (struct tpi_filter){0};
	struct tapio_view *v = views, *const end = views + max;
	uint64_t stop, count, skips, here = *position, sum = 0;

	do {
		const uint64_t lap = lane.mask + 1 - (here & lane.mask);

		count = (tail - here) & TAPIO_POSITION_MASK;
		if (count > lap)
			count = lap;
		if (wanted) {
			skips = skip_stretch(&lane, &filter, here, count);
			sum += skips;
			here = (here + skips) & TAPIO_POSITION_MASK;
			count -= skips;
		}
		if (count > (uint64_t)(end - v))
			count = (uint64_t)(end - v);
		stop = (here + count) & TAPIO_POSITION_MASK;
		v = fill_stretch(&lane, wanted ? &filter : NULL, &here, count,
				 v, &sum);
	} while (here == stop && here != tail && v != end);
	*position = here;
	*skipped += sum;
	return (unsigned int)(v - views);
}

unsigned int tpi_walk_filtered(const struct tpi_lane *lane,
			       const struct tpi_filter *filter,
			       uint64_t *position, uint64_t tail,
			       struct tapio_view *views, unsigned int max,
			       uint64_t *skipped)
{
	return walk(lane, filter, position, tail, views, max, skipped);
}

__attribute__((noinline)) static unsigned int
walk_many(const struct tpi_lane *lane, uint64_t *position, uint64_t tail,
	  struct tapio_view *views, unsigned int max, uint64_t *skipped)
{
	return walk(lane, NULL, position, tail, views, max, skipped);
}

/* One slot. False: it is no view, and nothing was changed. */
static inline bool walk_one(const struct tpi_lane *lane, uint64_t *position,
			    struct tapio_view *view)
{
	const uint64_t here = *position;
	/* Relaxed: the acquire of the state orders it. */
	const uint64_t desc = tpi_load_relaxed(&lane->desc[here & lane->mask]);

	if (TAPIO_DESC_TYPE(desc) == TAPIO_TYPE_DISCARD ||
	    !tpi_desc_sane(lane, desc))
		return false;
	view->data = tpi_lane_block(lane, TAPIO_DESC_BLOCK(desc));
	__builtin_prefetch(view->data);
	tpi_view_fill(view, lane, here, tpi_view_time(lane, here), desc);
	*position = (here + 1) & TAPIO_POSITION_MASK;
	return true;
}

/* An event that comes alone is one that its reader waits for: without what a loop needs. */
unsigned int tpi_walk_all(const struct tpi_lane *lane, uint64_t *position,
			  uint64_t tail, struct tapio_view *views,
			  unsigned int max, uint64_t *skipped)
{
	if (tail == ((*position + 1) & TAPIO_POSITION_MASK) && max &&
	    walk_one(lane, position, views))
		return 1;
	return walk_many(lane, position, tail, views, max, skipped);
}
