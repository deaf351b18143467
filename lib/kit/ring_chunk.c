/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: gets where the head is not simply a value. The steps are those of
 * ring.c:
 *
 *	K1  a chunk of which all is wanted: one swap of its turn, as G3
 *	K2  a chunk of which less is wanted: swap its turn for PARTED. Nothing is
 *	    got by that
 *	K3  PARTED, and head.parted is not behind it: swap head.parted for {ref,
 *	    position after what is got}
 *	K4  something is left in head.parted: swap its position for a later one
 *
 * Values are loaded before the swap, and are good if it succeeds: until then the
 * head has not left the chunk, so the log has not been used again (ring_log.c, 3).
 */
#include <errno.h>

#include "lib/kit/ring.h"
#include "lib/base/testpoint.h"

/* Values `from` to from + count of a chunk whose ref has been checked. */
static void load_values(const struct tapio_ring *ring, uint64_t ref,
			uint32_t from, uint64_t *values, uint32_t count)
{
	const uint64_t *log = tpi_ring_log_values(ring, tpi_ring_ref_log(ref)) +
			      tpi_ring_ref_index(ref) + from;
	uint32_t i;

	/* Relaxed: after the acquire of the turn, and good if the swap succeeds. */
	for (i = 0; i < count; i++)
		values[i] = tpi_load_relaxed(&log[i]);
}

/* Swaps the turn of position h, which is `turn`, for `next`. */
static bool swap_turn(struct tpi_pair *cell, uint64_t turn, uint64_t next)
{
	TPI_TESTPOINT("ring.get.G2");
	/*
	 * ORDER ring.cell (release): this consumer has loaded the values. Pairs
	 * with tpi_ring_turn().
	 */
	return tpi_cas_acq_rel(&cell->high, &turn, next);
}

/* G3. */
static int get_value(const struct tapio_ring *ring, struct tpi_pair *cell,
		     uint64_t turn, uint64_t *h, uint64_t *values)
{
	uint64_t found = tpi_load_relaxed(&cell->low);

	if (!swap_turn(cell, turn, tpi_ring_turn_empty(*h + ring->mask + 1)))
		return 0;
	TPI_TESTPOINT("ring.get.G3");
	values[0] = found;
	++*h;
	return 1;
}

/* K3. */
static int get_first_part(const struct tapio_ring *ring, struct tpi_pair *cell,
			  uint64_t turn, struct tpi_pair parted, uint64_t *h,
			  uint64_t *values, uint32_t count)
{
	struct tpi_pair is = {.low = tpi_load_relaxed(&cell->low)};
	uint32_t length = tpi_ring_ref_ok(ring, is.low);

	if (!length)
		return tpi_ring_turn(cell) == turn ? -EBADMSG : 0;
	if (count > length)
		count = length;
	load_values(ring, is.low, 0, values, count);
	is.high = *h + count;
	TPI_TESTPOINT("ring.get.G2");
	/*
	 * ORDER ring.parted (release): this consumer has loaded the values. Pairs
	 * with read_parted().
	 */
	if (!tpi_cas128_acq_rel(&ring->shm->head.parted, parted, is))
		return 0;
	TPI_TESTPOINT("ring.get.K3");
	if (count == length)
		*h += count;
	return (int)count;
}

/* K1, or K2 and K3. */
static int get_chunk(const struct tapio_ring *ring, struct tpi_pair *cell,
		     uint64_t turn, struct tpi_pair parted, uint64_t *h,
		     uint64_t *values, uint32_t count)
{
	uint64_t ref = tpi_load_relaxed(&cell->low);
	uint32_t length = tpi_ring_ref_ok(ring, ref);
	uint64_t next = tpi_ring_turn_of(*h + ring->mask + 1, TPI_RING_GOT);

	if (!length)
		return tpi_ring_turn(cell) == turn ? -EBADMSG : 0;
	if (count < length) {
		next = tpi_ring_turn_of(*h, TPI_RING_PARTED);
		if (!swap_turn(cell, turn, next)) /* K2 */
			return 0;
		TPI_TESTPOINT("ring.get.K2");
		return get_first_part(ring, cell, next, parted, h, values,
				      count);
	}
	load_values(ring, ref, 0, values, length);
	if (!swap_turn(cell, turn, next))
		return 0;
	TPI_TESTPOINT("ring.get.K1");
	*h += length;
	return (int)length;
}

/* K4. */
static int get_part(const struct tapio_ring *ring, struct tpi_pair parted,
		    uint64_t *h, uint64_t *values, uint32_t count)
{
	uint32_t before = tpi_ring_ref_before(parted.low, parted.high);
	uint32_t left = tpi_ring_ref_length(parted.low) - before;

	if (count > left)
		count = left;
	load_values(ring, parted.low, before, values, count);
	TPI_TESTPOINT("ring.get.G2");
	/* ORDER ring.parted (release): as above. Pairs with read_parted(). */
	if (!tpi_cas_acq_rel(&ring->shm->head.parted.high, &parted.high,
			     parted.high + count))
		return 0;
	TPI_TESTPOINT("ring.get.K4");
	if (count == left)
		*h = parted.high + count;
	return (int)count;
}

int tpi_ring_get_hard(const struct tapio_ring *ring, uint64_t *h,
		      uint64_t *values, uint32_t count)
{
	struct tpi_pair *cell;
	struct tpi_pair parted;
	uint64_t turn, put;
	int in = tpi_ring_seek_head(ring, h, &parted);

	if (in < 0)
		return in;
	if (in)
		return get_part(ring, parted, h, values, count);
	cell = tpi_ring_cell(ring, *h);
	turn = tpi_ring_turn(cell);
	if (!tpi_ring_turn_ok(ring, turn, *h))
		return -EBADMSG;
	put = tpi_ring_put_of(ring, turn);
	if ((int64_t)(put - *h) < 0)
		return TPI_RING_IS_UNREAD(turn) ? -EBADMSG : -EAGAIN;
	if (put != *h)
		return 0; /* others were quicker, by a lap */
	switch (tpi_ring_state(turn)) {
	case TPI_RING_FULL:
	case TPI_RING_FULL_2:
		return get_value(ring, cell, turn, h, values);
	case TPI_RING_CHUNK:
		return get_chunk(ring, cell, turn, parted, h, values, count);
	case TPI_RING_PARTED:
		return get_first_part(ring, cell, turn, parted, h, values,
				      count);
	case TPI_RING_EMPTY:
	case TPI_RING_GOT:
		break; /* others were quicker */
	}
	return 0;
}
