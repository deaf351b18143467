/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: making, attaching and closing one.
 *
 * The memory is believed once, here: attaching checks every constant against the
 * length that the caller says is mapped, and puts what the operations need into
 * a private handle, which no other process can change.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kit/ring.h"

static int capacity_ok(uint32_t capacity)
{
	return capacity && capacity <= TAPIO_RING_CAPACITY_MAX &&
	       !(capacity & (capacity - 1));
}

size_t tapio_ring_bytes(uint32_t capacity)
{
	size_t bytes;

	if (!capacity_ok(capacity))
		return 0;
	bytes = sizeof(struct tapio_shm_ring) +
		(size_t)capacity * sizeof(struct tpi_pair);
	return (bytes + TAPIO_RING_ALIGN - 1) & ~(size_t)(TAPIO_RING_ALIGN - 1);
}

static int memory_ok(const void *memory, size_t bytes, size_t least)
{
	return memory && !((uintptr_t)memory % TAPIO_RING_ALIGN) &&
	       bytes >= least;
}

static int handle_new(struct tapio_ring **out, struct tapio_shm_ring *shm,
		      uint32_t capacity, void *owned)
{
	struct tapio_ring *ring = aligned_alloc(64, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	ring->shm = shm;
	ring->cells = (struct tpi_pair *)(shm + 1);
	ring->mask = capacity - 1;
	ring->owned = owned;
	*out = ring;
	return 0;
}

static void format(struct tapio_shm_ring *shm, uint32_t capacity)
{
	struct tpi_pair *cells = (struct tpi_pair *)(shm + 1);
	uint32_t i;

	/*
	 * READY goes first and comes last. A process that attaches in between
	 * finds it missing, also when this process is killed here.
	 */
	tpi_store_relaxed(&shm->ready, 0);
	tpi_fence_store_store();
	memset(shm, 0, offsetof(struct tapio_shm_ring, ready));
	memset(&shm->tail, 0,
	       sizeof(*shm) - offsetof(struct tapio_shm_ring, tail));
	for (i = 0; i < capacity; i++) {
		cells[i].low = 0;
		cells[i].high = tpi_ring_turn_empty(i);
	}
	shm->version = TAPIO_RING_VERSION;
	shm->capacity = capacity;
	shm->length_bytes = tapio_ring_bytes(capacity);
	shm->cells_offset = sizeof(*shm);
	shm->cell_bytes = sizeof(struct tpi_pair);
	shm->stripes = TAPIO_STRIPES;
	shm->magic = TAPIO_RING_MAGIC;
	/*
	 * ORDER ring.ready (release): all of the above. Pairs with the load in
	 * tapio_ring_attach().
	 */
	tpi_store_release(&shm->ready, TAPIO_RING_READY);
}

int tapio_ring_init(struct tapio_ring **out, void *memory, size_t bytes,
		    uint32_t capacity)
{
	struct tapio_shm_ring *shm = memory;
	int err;

	*out = NULL;
	if (!capacity_ok(capacity) ||
	    !memory_ok(memory, bytes, tapio_ring_bytes(capacity)))
		return -EINVAL;
	err = handle_new(out, shm, capacity, NULL);
	if (!err)
		format(shm, capacity);
	return err;
}

int tapio_ring_attach(struct tapio_ring **out, void *memory, size_t bytes)
{
	struct tapio_shm_ring *shm = memory;
	uint64_t magic;
	uint32_t capacity;
	uint32_t ready;

	*out = NULL;
	if (!memory_ok(memory, bytes, tapio_ring_bytes(1)))
		return -EINVAL;
	/*
	 * ORDER ring.ready (acquire): the constants below are all there. Pairs
	 * with the store in format().
	 */
	ready = tpi_load_acquire(&shm->ready);
	magic = tpi_load_relaxed(&shm->magic);
	if (ready == 0 && (magic == 0 || magic == TAPIO_RING_MAGIC))
		return -EAGAIN;
	if (ready != TAPIO_RING_READY || magic != TAPIO_RING_MAGIC)
		return -EBADMSG;
	if (tpi_load_relaxed(&shm->version) != TAPIO_RING_VERSION)
		return -EPROTONOSUPPORT;
	capacity = tpi_load_relaxed(&shm->capacity);
	if (!capacity_ok(capacity) || bytes < tapio_ring_bytes(capacity) ||
	    tpi_load_relaxed(&shm->length_bytes) !=
		    tapio_ring_bytes(capacity) ||
	    tpi_load_relaxed(&shm->cells_offset) != sizeof(*shm) ||
	    tpi_load_relaxed(&shm->cell_bytes) != sizeof(struct tpi_pair) ||
	    tpi_load_relaxed(&shm->stripes) != TAPIO_STRIPES)
		return -EBADMSG;
	return handle_new(out, shm, capacity, NULL);
}

int tapio_ring_create(struct tapio_ring **out, uint32_t capacity)
{
	size_t bytes = tapio_ring_bytes(capacity);
	void *memory;
	int err;

	*out = NULL;
	if (!bytes)
		return -EINVAL;
	/* Pairs of lines, see lib/kit/ring.h. */
	memory = aligned_alloc(128, (bytes + 127) & ~(size_t)127);
	if (!memory)
		return -ENOMEM;
	err = tapio_ring_init(out, memory, bytes, capacity);
	if (err)
		free(memory);
	else
		(*out)->owned = memory;
	return err;
}

void tapio_ring_close(struct tapio_ring *ring)
{
	if (!ring)
		return;
	free(ring->owned);
	free(ring);
}
