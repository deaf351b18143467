/* SPDX-License-Identifier: Apache-2.0 */
/* Tapio's ring. */
#include <string.h>

#include <tapio/ring.h>

#define RING             struct tapio_ring
#define PUT(ring, value) (tapio_ring_try_put(ring, value) == 0)
#define GET(ring, value) (tapio_ring_try_get(ring, value) == 0)
#define PUT_BATCH(ring, values, n) \
	tapio_ring_put_batch(ring, values, (size_t)(n), 0)
#define GET_BATCH(ring, values, n) \
	tapio_ring_get_batch(ring, values, (size_t)(n), 0)

#include "bench/peers/ring_loops.h"

static int make(struct ring_made *made, uint32_t capacity)
{
	struct tapio_ring *ring;
	int err;

	made->bytes = tapio_ring_bytes(capacity);
	made->memory = bench_memory(made->bytes);
	if (!made->memory)
		return -1;
	err = tapio_ring_init(&ring, made->memory, made->bytes, capacity);
	if (err)
		bench_why("tapio_ring_init: %s", strerror(-err));
	made->ring = ring;
	return err;
}

static void unmake(void *ring)
{
	tapio_ring_close(ring);
}

const struct ring_peer ring_tapio = {
	.peer = {.name = "tapio_ring",
		 .package = "",
		 .copies = "in and out",
		 .across = "processes",
		 .death = "nobody is stopped, wherever a process is killed",
		 .kind = BENCH_TAPIO},
	.make = make,
	.unmake = unmake,
	RING_LOOPS,
};
