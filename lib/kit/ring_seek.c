/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: step S of ring.c, from a start to where an end really is.
 *
 * Needed where a hint is out of date, and for exact statistics. Reads only, but for
 * tpi_ring_reached(). Every position it returns is a start of which it knows that all
 * before it were passed. If no thread moves the end meanwhile, it is the end.
 */
#include <errno.h>

#include "lib/kit/ring.h"
#include "lib/base/testpoint.h"

enum step {
	STANDS, /* the position is not passed, as far as its cell shows */
	PASSED, /* *next is a later start, all before it passed */
	LOST,   /* it is passed, and the cell does not show the next start */
};

/*
 * How many positions the put of that turn takes. It stays in the cell's low word
 * until the next put. 0: the cell has changed. -EBADMSG.
 */
static int length_of(const struct tapio_ring *ring, const struct tpi_pair *cell,
		     uint64_t turn)
{
	uint64_t ref;
	uint32_t length;

	if (!TPI_RING_IS_CHUNK(turn))
		return 1;
	ref = tpi_load_relaxed(&cell->low); /* after the turn: acquire */
	tpi_fence_load_load();
	if (tpi_load_relaxed(&cell->high) != turn)
		return 0;
	length = tpi_ring_ref_ok(ring, ref);
	return length ? (int)length : -EBADMSG;
}

/* The turn of p's cell, and what was put there last. PASSED: that is p, or is later. */
static int look(const struct tapio_ring *ring, uint64_t p, uint64_t *turn,
		uint64_t *put)
{
	*turn = tpi_ring_turn(tpi_ring_cell(ring, p));
	if (!tpi_ring_turn_ok(ring, *turn, p))
		return -EBADMSG;
	*put = tpi_ring_put_of(ring, *turn);
	return (int64_t)(*put - p) < 0 ? STANDS : PASSED;
}

/* May be called at any position. Only a start's answer STANDS means anything. */
static int step_tail(const struct tapio_ring *ring, uint64_t p, uint64_t *next)
{
	const struct tpi_pair *cell = tpi_ring_cell(ring, p);
	uint64_t turn, put;
	int found, length;

	do {
		found = look(ring, p, &turn, &put);
		if (found != PASSED)
			return found;
		length = length_of(ring, cell, turn);
	} while (length == 0);
	if (length < 0)
		return length;
	*next = put + (uint64_t)length;
	return PASSED;
}

static int step_head(const struct tapio_ring *ring, uint64_t p, uint64_t *next)
{
	const struct tpi_pair *cell = tpi_ring_cell(ring, p);
	uint64_t turn, put;
	int found, length;

	do {
		found = look(ring, p, &turn, &put);
		if (found != PASSED)
			return found;
		if (tpi_ring_state(turn) == TPI_RING_PARTED) {
			*next = put; /* head.parted knows more */
			return put == p ? STANDS : PASSED;
		}
		if (TPI_RING_IS_UNREAD(turn) && put == p)
			return STANDS;
		if (TPI_RING_IS_UNREAD(turn)) {
			if (tpi_ring_state(turn) != TPI_RING_FULL)
				return LOST;
			/* A value was there a lap before, and got. */
			*next = put - ring->mask;
			return PASSED;
		}
		length = length_of(ring, cell, turn);
	} while (length == 0);
	if (length < 0)
		return length;
	*next = put + (uint64_t)length;
	return PASSED;
}

/* Steps from *p on. Where cells show starts far ahead, these double. */
static int walk(const struct tapio_ring *ring, uint64_t *p,
		int (*step)(const struct tapio_ring *ring, uint64_t p,
			    uint64_t *next))
{
	uint64_t ahead = 1;
	int found;

	while ((found = step(ring, *p, p)) == PASSED) {
		if (ahead <= ring->mask && step(ring, *p + ahead, p) == PASSED)
			ahead *= 2;
		else
			ahead = 1;
	}
	return found;
}

int tpi_ring_seek_tail(const struct tapio_ring *ring, uint64_t *p)
{
	return walk(ring, p, step_tail);
}

/* A copy of head.parted whose words belong together. How much of it is left. */
static int read_parted(const struct tapio_ring *ring, struct tpi_pair *parted)
{
	const struct tpi_pair *shared = &ring->shm->head.parted;
	uint32_t before, length;

	do {
		/*
		 * ORDER ring.parted (acquire): the ref, and all that was got
		 * before. Pairs with the swaps in ring_chunk.c.
		 */
		parted->high = tpi_load_acquire(&shared->high);
		parted->low = tpi_load_relaxed(&shared->low);
		tpi_fence_load_load();
	} while (tpi_load_relaxed(&shared->high) != parted->high);
	length = tpi_ring_ref_ok(ring, parted->low);
	before = tpi_ring_ref_before(parted->low, parted->high);
	return before <= length ? (int)(length - before) : -EBADMSG;
}

static uint64_t load_floor(const struct tapio_ring *ring)
{
	/*
	 * ORDER ring.floor (acquire): all before it are seen to be got. Pairs
	 * with raise_floor().
	 */
	return tpi_load_acquire(&ring->shm->tail.floor);
}

int tpi_ring_seek_head(const struct tapio_ring *ring, uint64_t *p,
		       struct tpi_pair *parted)
{
	uint64_t lost = UINT64_MAX; /* no position in a true ring */
	uint64_t start, floor;
	int left, found;

	for (;;) {
		left = read_parted(ring, parted);
		if (left < 0)
			return left;
		TPI_TESTPOINT("ring.seek.parted");
		/* Of what is left the start of its chunk, else the end. */
		start = parted->high;
		if (left)
			start -= tpi_ring_ref_before(parted->low, start);
		if ((int64_t)(start - *p) > 0)
			*p = start;
		if (left)
			return 1;
		found = walk(ring, p, step_head);
		if (found != LOST)
			return found;
		/*
		 * Since the cell was overwritten, floor or parted is behind it. The
		 * copy of parted may be older: it counts only if it was made later.
		 */
		if (*p == lost)
			return -EBADMSG;
		lost = *p;
		floor = load_floor(ring);
		if ((int64_t)(floor - *p) > 0)
			*p = floor;
	}
}

uint64_t tpi_ring_tail(const struct tapio_ring *ring)
{
	uint64_t hint = tpi_ring_load_hint(&ring->shm->tail);
	uint64_t t = hint;

	return tpi_ring_seek_tail(ring, &t) ? hint : t;
}

uint64_t tpi_ring_head(const struct tapio_ring *ring)
{
	uint64_t hint = tpi_ring_load_hint(&ring->shm->head);
	struct tpi_pair parted;
	uint64_t h = hint;
	int in = tpi_ring_seek_head(ring, &h, &parted);

	if (in < 0)
		return hint;
	return in ? parted.high : h;
}

static void raise_floor(const struct tapio_ring *ring, uint64_t start)
{
	uint64_t *shared = &ring->shm->tail.floor;
	uint64_t floor = load_floor(ring);

	/*
	 * ORDER ring.floor (release): that all before it were seen to be got.
	 * Pairs with load_floor().
	 */
	while ((int64_t)(start - floor) > 0 &&
	       !tpi_cas_acq_rel(shared, &floor, start))
		;
}

int tpi_ring_reached(const struct tapio_ring *ring, uint64_t wanted,
		     uint64_t *head)
{
	struct tpi_pair parted;
	uint64_t h = load_floor(ring);
	int in;

	*head = h;
	if ((int64_t)(h - wanted) >= 0)
		return 0;
	h = tpi_ring_load_hint(&ring->shm->head);
	in = tpi_ring_seek_head(ring, &h, &parted);
	if (in < 0)
		return in;
	raise_floor(ring, h);
	*head = in ? parted.high : h;
	return 0;
}

int tpi_ring_room(const struct tapio_ring *ring, uint64_t *t, uint64_t turn,
		  uint64_t wanted, uint64_t *room)
{
	uint64_t capacity = ring->mask + 1;
	uint64_t head;
	int64_t ahead;
	int err;

	if (!tpi_ring_turn_ok(ring, turn, *t))
		return -EBADMSG;
	ahead = (int64_t)(tpi_ring_put_of(ring, turn) - *t);
	if (ahead >= 0)
		return tpi_ring_seek_tail(ring, t);
	if (TPI_RING_IS_UNREAD(turn))
		return ahead == -(int64_t)capacity ? -EAGAIN : -EBADMSG;
	err = tpi_ring_reached(ring, *t + wanted - capacity, &head);
	if (err)
		return err;
	ahead = (int64_t)(*t - head);
	if (ahead >= (int64_t)capacity)
		return ahead == (int64_t)capacity ? -EAGAIN : -EBADMSG;
	/* Got means put: *t is a guess of the past, or a lie. */
	if (ahead < 0)
		return tpi_ring_turn(tpi_ring_cell(ring, *t)) == turn ? -EBADMSG
								      : 0;
	*room = capacity - (uint64_t)ahead;
	return 1;
}
