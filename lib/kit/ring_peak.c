/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: the high water, step P5 of ring.c.
 *
 * Exact would be easy if every put looked at the head, and slow: that is the line
 * that consumers write. So a put first compares with an old head, which it finds
 * in its own line. As heads only grow, it can be wrong only by asking too often.
 * It comes here when that does not rule a new high water out. In a ring that is
 * mostly emptier than it once was, the first question here settles it, by a cell
 * that consumers left long ago.
 */
#include "lib/kit/ring.h"
#include "lib/base/testpoint.h"

/* Relaxed, in this file: numbers for people, and hints about them. */
static void raise_peak(struct tapio_shm_ring_end *tail, uint64_t size)
{
	uint64_t peak = tpi_load_relaxed(&tail->peak);

	while (size > peak && !tpi_cas_relaxed(&tail->peak, &peak, size))
		;
	TPI_TESTPOINT("ring.put.P5");
}

void tpi_ring_note_peak(const struct tapio_ring *ring, uint64_t t)
{
	struct tapio_shm_ring_end *tail = &ring->shm->tail;
	uint64_t peak = tpi_load_relaxed(&tail->peak);
	uint64_t head, size;

	if (peak > ring->mask) {
		/* It was full once: there is nothing to be asked any more. */
		tpi_store_relaxed(&tail->other_seen, INT64_MAX);
		return;
	}
	if (tpi_ring_is_got(ring, t - 1 - peak)) {
		/* None. Nor in the next puts, if the half of that was got. */
		head = t - peak;
		if (tpi_ring_is_got(ring, t - 1 - peak / 2))
			head = t - peak / 2;
		tpi_store_relaxed(&tail->other_seen, head);
		return;
	}
	head = tpi_ring_head(ring);
	tpi_store_relaxed(&tail->other_seen, head);
	/* T was t or more when H was `head`. Gone already: it was one. */
	size = (int64_t)(t - head) < 1 ? 1 : t - head;
	if (size <= ring->mask + 1)
		raise_peak(tail, size);
}
