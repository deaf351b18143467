/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The observer's test. Copies are made in short runs. After each run one look at
 * the state tells whether its first event was still in the ring, and then so were
 * the others, which are younger. Strictly above reap: the block at reap itself may
 * be under the pen of a section that has not committed.
 *
 * A producer that is killed, stopped or migrated anywhere changes nothing here:
 * the copy looks at committed events only, and a block that was reused shows by
 * reap. Descriptors may be rewritten while they are read, so each is loaded
 * once and bounded before its block is touched, and believed only after the
 * test.
 */
#include "client/reader/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A run: few enough that a producer at full speed rarely laps it. */
#define RUN_EVENTS 32
#define RUN_LOOKS  1024
#define RUN_BYTES  65536

int tpi_copies_init(struct tpi_copies *copies, size_t bytes,
		    const struct tapio_shm_channel *info)
{
	uint32_t k;

	for (k = 0; k < info->class_count; k++)
		if (bytes < info->classes[k].block_bytes)
			bytes = info->classes[k].block_bytes;
	*copies = (struct tpi_copies){.buffer = malloc(bytes), .bytes = bytes};
	return copies->buffer ? 0 : -ENOMEM;
}

void tpi_copies_fini(struct tpi_copies *copies)
{
	free(copies->buffer);
	copies->buffer = NULL;
}

/* Copies one event. False when the buffer is full. */
static bool copy_event(struct tpi_copies *copies, const struct tpi_lane *lane,
		       uint64_t position, uint64_t desc,
		       struct tapio_view *view)
{
	uint32_t length = TAPIO_DESC_LENGTH(desc);
	unsigned char *to = copies->buffer + copies->used;

	if (length > copies->bytes - copies->used)
		return false;
	memcpy(to, tpi_lane_block(lane, TAPIO_DESC_BLOCK(desc)), length);
	tpi_view_fill(view, lane, position, tpi_view_time(lane, position),
		      desc);
	view->data = to;
	/* Events begin aligned, as they do in their blocks. */
	copies->used += ((size_t)length + 15) & ~(size_t)15;
	if (copies->used > copies->bytes)
		copies->used = copies->bytes;
	return true;
}

/* One run. As tpi_copy_events, but may stop short of everything. */
static int copy_run(struct tpi_copies *copies, const struct tpi_filter *filter,
		    const struct tpi_lane *lane, uint64_t *next, uint64_t end,
		    struct tapio_view *views, unsigned int max,
		    uint64_t *skipped)
{
	uint64_t position = *next, desc, skips = 0;
	size_t used = copies->used;
	unsigned int n = 0, looks = 0;
	bool sane = true;

	while (position != end && n < max && n < RUN_EVENTS &&
	       looks++ < RUN_LOOKS && copies->used - used < RUN_BYTES) {
		/* Relaxed: ordered by the look at the state before, and judged
		 * by the one after. */
		desc = tpi_load_relaxed(&lane->desc[position & lane->mask]);
		if (!tpi_filter_pass(filter, desc)) {
			skips++;
		} else {
			sane = tpi_desc_sane(lane, desc);
			if (!sane || !copy_event(copies, lane, position, desc,
						 &views[n]))
				break;
			n++;
		}
		position = (position + 1) & TAPIO_POSITION_MASK;
	}
	if (!tpi_lane_intact(lane, *next)) {
		copies->used = used;
		return -EOVERFLOW;
	}
	if (!sane && position == *next)
		return -EBADMSG;
	*next = position;
	*skipped += skips;
	return (int)n;
}

/* Farther than a ring is long, so that no caller walks to an end that was forged. */
static bool is_far(const struct tpi_lane *lane, uint64_t next, uint64_t end)
{
	return ((end - next) & TAPIO_POSITION_MASK) > (uint64_t)lane->mask + 1;
}

int tpi_copy_events(struct tpi_copies *copies, const struct tpi_filter *filter,
		    const struct tpi_lane *lane, uint64_t *next, uint64_t end,
		    struct tapio_view *views, unsigned int max,
		    uint64_t *skipped)
{
	unsigned int n = 0;
	uint64_t before;
	int got;

	if (!tpi_filter_class(filter, lane->klass)) {
		*skipped += (end - *next) & TAPIO_POSITION_MASK;
		*next = end;
		return 0;
	}
	/* More than a lap: overwritten, or an end that was never there. */
	if (is_far(lane, *next, end))
		return -EOVERFLOW;
	while (n < max && *next != end) {
		before = *next;
		got = copy_run(copies, filter, lane, next, end, views + n,
			       max - n, skipped);
		if (got < 0)
			return n ? (int)n : got;
		n += (unsigned int)got;
		if (*next == before)
			break; /* the buffer is full */
	}
	return (int)n;
}

int tpi_copy_skip(const struct tpi_filter *filter, const struct tpi_lane *lane,
		  uint64_t *next, uint64_t end, uint64_t *skipped)
{
	uint64_t position = *next;

	if (!tpi_filter_class(filter, lane->klass))
		position = end;
	else if (is_far(lane, position, end))
		return -EOVERFLOW;
	for (; position != end; position = (position + 1) & TAPIO_POSITION_MASK)
		/* Relaxed: judged by the look at the state below. */
		if (tpi_filter_pass(
			    filter,
			    tpi_load_relaxed(
				    &lane->desc[position & lane->mask])))
			break;
	if (!tpi_lane_intact(lane, *next))
		return -EOVERFLOW;
	*skipped += (position - *next) & TAPIO_POSITION_MASK;
	*next = position;
	return 0;
}

uint64_t tpi_copy_resume(const struct tpi_lane *lane, uint64_t state)
{
	uint64_t tail = TAPIO_STATE_TAIL(state);
	uint64_t at = (tpi_lane_reap(lane, state) + (lane->mask + 1) / 4) &
		      TAPIO_POSITION_MASK;

	return tapio_position_diff(at, tail) > 0 ? tail : at;
}

static uint64_t born(const struct tpi_lane *lane)
{
	return (uint64_t)lane->mask + 1;
}

uint64_t tpi_copy_oldest(const struct tpi_lane *lane, uint64_t state)
{
	uint64_t oldest =
		(tpi_lane_reap(lane, state) + 1) & TAPIO_POSITION_MASK;

	return tapio_position_diff(oldest, born(lane)) < 0 ? born(lane)
							   : oldest;
}

uint64_t tpi_copy_missed(const struct tpi_lane *lane, uint64_t next)
{
	return (next - born(lane)) & TAPIO_POSITION_MASK;
}

uint64_t tpi_copy_bad_run(const struct tpi_filter *filter,
			  const struct tpi_lane *lane, uint64_t position,
			  uint64_t end)
{
	uint64_t desc, at = position;

	for (; at != end; at = (at + 1) & TAPIO_POSITION_MASK) {
		/* Relaxed: the caller judges it by a look at the state. */
		desc = tpi_load_relaxed(&lane->desc[at & lane->mask]);
		if (!tpi_filter_pass(filter, desc) || tpi_desc_sane(lane, desc))
			break;
	}
	return (at - position) & TAPIO_POSITION_MASK;
}

struct tapio_gap tpi_gap_of(uint32_t cause, uint64_t first, uint64_t count)
{
	return (struct tapio_gap){
		.count = count,
		.first = first,
		.last = (first + count - (count ? 1 : 0)) & TAPIO_POSITION_MASK,
		.cause = cause,
	};
}

void tpi_gap_view(struct tapio_view *view, const struct tapio_gap *gap,
		  const struct tpi_lane *lane)
{
	*view = (struct tapio_view){
		.data = gap,
		.position = gap->first,
		.lane = lane->id,
		.length = sizeof(*gap),
		.klass = (uint8_t)lane->klass,
		.flags = TAPIO_VIEW_GAP,
	};
}

void tpi_move_view(struct tapio_view *view, const struct tapio_gap *gap)
{
	*view = (struct tapio_view){
		.data = gap,
		.lane = UINT32_MAX,
		.length = sizeof(*gap),
		.flags = TAPIO_VIEW_GAP,
	};
}
