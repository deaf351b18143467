/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floor: one producer and one consumer with plain stores. A cell is empty when it
 * is 0. Each process keeps its position to itself, so that a line is handed over
 * full and comes back empty, and nothing else is.
 */
#include "lib/base/atomic.h"

struct store_ring {
	uint64_t put; /* positions, of this process: its own copy */
	uint64_t got;
	uint64_t mask;
	uint64_t *cells; /* value + 1 */
};

static inline bool store_put(struct store_ring *ring, uint64_t value)
{
	uint64_t *cell = &ring->cells[ring->put & ring->mask];

	/* ORDER bench.store (acquire): pairs with the release of the other side. */
	if (tpi_load_acquire(cell))
		return false;
	/* ORDER bench.store (release): all that was done before. Pairs with the
	 * loads of the other side. */
	tpi_store_release(cell, value + 1);
	ring->put++;
	return true;
}

static inline bool store_get(struct store_ring *ring, uint64_t *value)
{
	uint64_t *cell = &ring->cells[ring->got & ring->mask];
	/* ORDER bench.store (acquire): pairs with the release of the other side. */
	uint64_t found = tpi_load_acquire(cell);

	if (!found)
		return false;
	*value = found - 1;
	/* ORDER bench.store (release): pairs with the loads of the other side. */
	tpi_store_release(cell, 0);
	ring->got++;
	return true;
}

static int store_put_batch(struct store_ring *ring, const uint64_t *values,
			   int count)
{
	int done = 0;

	while (done < count && store_put(ring, values[done]))
		done++;
	return done;
}

static int store_get_batch(struct store_ring *ring, uint64_t *values, int count)
{
	int done = 0;

	while (done < count && store_get(ring, &values[done]))
		done++;
	return done;
}

#define RING struct store_ring
#define RING_ONE_TO_ONE
#define PUT(ring, value)           store_put(ring, value)
#define GET(ring, value)           store_get(ring, value)
#define PUT_BATCH(ring, values, n) store_put_batch(ring, values, n)
#define GET_BATCH(ring, values, n) store_get_batch(ring, values, n)

#include "bench/peers/ring_loops.h"

static int make(struct ring_made *made, uint32_t capacity)
{
	static struct store_ring ring;

	made->bytes = capacity * sizeof(*ring.cells);
	made->memory = bench_memory(made->bytes);
	ring = (struct store_ring){.mask = capacity - 1, .cells = made->memory};
	made->ring = &ring;
	return made->memory ? 0 : -1;
}

const struct ring_peer ring_store = {
	.peer = {.name = "plain stores",
		 .package = "",
		 .copies = "in and out",
		 .across = "processes",
		 .death = "",
		 .kind = BENCH_FLOOR},
	.make = make,
	RING_LOOPS,
};
