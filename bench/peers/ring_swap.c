/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floor: the processor's time for the compare-and-swap of 128 bits by which a
 * put of a ring that survives kills takes effect, and for that of 64 bits by
 * which a get does. Each process keeps its position to itself. Nothing is
 * shared but the cells, and nothing else is done.
 */
#include "lib/base/atomic128.h"

struct swap_ring {
	uint64_t put; /* positions, of this process: its own copy */
	uint64_t got;
	uint64_t mask;
	struct tpi_pair *cells; /* low: value, high: 2 x position, + 1 full */
};

static inline bool swap_put(struct swap_ring *ring, uint64_t value)
{
	struct tpi_pair *cell = &ring->cells[ring->put & ring->mask];
	struct tpi_pair was, is = {value, 2 * ring->put + 1};

	/* ORDER bench.swap (acquire): pairs with the swaps here. */
	was.high = tpi_load_acquire(&cell->high);
	was.low = tpi_load_relaxed(&cell->low); /* the swap compares it */
	/* ORDER bench.swap (release): all that was done before. Pairs with the
	 * loads of the other side. */
	if (was.high != 2 * ring->put || !tpi_cas128_acq_rel(cell, was, is))
		return false;
	ring->put++;
	return true;
}

static inline bool swap_get(struct swap_ring *ring, uint64_t *value)
{
	struct tpi_pair *cell = &ring->cells[ring->got & ring->mask];
	/* ORDER bench.swap (acquire): the value. Pairs with the swap above. */
	uint64_t turn = tpi_load_acquire(&cell->high);

	*value = tpi_load_relaxed(&cell->low);
	if (turn != 2 * ring->got + 1 ||
	    !tpi_cas_acq_rel(&cell->high, &turn,
			     2 * (ring->got + ring->mask + 1)))
		return false;
	ring->got++;
	return true;
}

#define RING struct swap_ring
#define RING_ONE_TO_ONE
#define PUT(ring, value) swap_put(ring, value)
#define GET(ring, value) swap_get(ring, value)

#include "bench/peers/ring_loops.h"

/* Two processes at one cell: as many swaps, each until it succeeds. */
static int contend(void *memory, uint64_t count, uint64_t *sum)
{
	struct tpi_pair *cell = ((struct swap_ring *)memory)->cells;
	struct tpi_pair was, is;

	for (uint64_t i = 0; i < 2 * count; i++)
		do {
			/* Relaxed, both: the swap compares them. */
			was.low = tpi_load_relaxed(&cell->low);
			was.high = tpi_load_relaxed(&cell->high);
			is = (struct tpi_pair){was.low + 1, was.high + 1};
		} while (!tpi_cas128_acq_rel(cell, was, is));
	/* As if each had got what it put. */
	*sum += count * (count - 1) / 2;
	return 0;
}

static int make(struct ring_made *made, uint32_t capacity)
{
	static struct swap_ring ring;

	made->bytes = capacity * sizeof(*ring.cells);
	made->memory = bench_memory(made->bytes);
	if (!made->memory)
		return -1;
	ring = (struct swap_ring){.mask = capacity - 1, .cells = made->memory};
	for (uint64_t i = 0; i < capacity; i++)
		ring.cells[i].high = 2 * i;
	made->ring = &ring;
	return 0;
}

const struct ring_peer ring_swap = {
	.peer = {.name = "bare compare-and-swap",
		 .package = "",
		 .copies = "in and out",
		 .across = "processes",
		 .death = "",
		 .kind = BENCH_FLOOR},
	.make = make,
	RING_LOOPS,
	.contend = contend,
};
