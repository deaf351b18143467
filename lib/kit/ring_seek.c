/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: step S of ring.c, from a hint to where an end really is.
 *
 * Needed where a hint is out of date, and for exact statistics. Reads only.
 * Every position it returns is one of which it knows that all before it were
 * passed. If no thread moves the end meanwhile, it is the end.
 */
#include <errno.h>

#include "lib/kit/ring.h"

/*
 * Is position p passed? If so, *next is the first position that the cell's turn
 * does not show to be passed: p + 1, or laps further. A turn of position q says
 * that q - N was got, and put before. A full one that q was put, too.
 */
static int look(const struct tapio_ring *ring, uint64_t passed, uint64_t p,
		uint64_t *next)
{
	uint64_t turn = tpi_ring_turn(tpi_ring_cell(ring, p));
	uint64_t q = turn >> 1;

	/* In a true ring, no position comes near 2^62: nothing wraps below. */
	if (p >> 62 || turn >> 63)
		return -EBADMSG;
	if (turn < 2 * p + passed)
		return 0;
	if ((q ^ p) & ring->mask)
		return -EBADMSG;
	*next = q + 1;
	if (passed != TPI_RING_PUT || !(turn & 1))
		*next -= ring->mask + 1;
	return 1;
}

int tpi_ring_seek(const struct tapio_ring *ring, uint64_t passed, uint64_t from,
		  uint64_t *position)
{
	uint64_t step;
	uint64_t p = from;
	int found;

	while ((found = look(ring, passed, p, &p)) > 0) {
		for (step = 2; step <= ring->mask; step *= 2) {
			found = look(ring, passed, p + step - 1, &p);
			if (found <= 0)
				break;
		}
		if (found < 0)
			break;
	}
	*position = p;
	return found;
}

uint64_t tpi_ring_tail(const struct tapio_ring *ring)
{
	uint64_t hint = tpi_ring_load_hint(&ring->shm->tail);
	uint64_t t;

	return tpi_ring_seek(ring, TPI_RING_PUT, hint, &t) ? hint : t;
}

uint64_t tpi_ring_head(const struct tapio_ring *ring)
{
	uint64_t hint = tpi_ring_load_hint(&ring->shm->head);
	uint64_t h;

	return tpi_ring_seek(ring, TPI_RING_GOT(ring), hint, &h) ? hint : h;
}
