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

#include "lib/base/topology.h"
#include "lib/kit/ring.h"

static int capacity_ok(uint32_t capacity)
{
	return capacity && capacity <= TAPIO_RING_CAPACITY_MAX &&
	       !(capacity & (capacity - 1));
}

/* Where everything is. A size that does not fit the others has 0 in length_bytes. */
struct plan {
	uint64_t length_bytes;
	uint64_t logs_offset;
	uint64_t log_bytes; /* of each */
	uint32_t logs;
	uint32_t log_values;
};

static struct plan plan_of(uint32_t capacity, uint32_t logs,
			   uint32_t log_values)
{
	struct plan plan = {.logs = logs, .log_values = log_values};
	uint64_t bytes = sizeof(struct tapio_shm_ring) +
			 (uint64_t)capacity * sizeof(struct tpi_pair);

	plan.logs_offset = (bytes + TAPIO_RING_ALIGN - 1) &
			   ~(uint64_t)(TAPIO_RING_ALIGN - 1);
	plan.log_bytes = sizeof(struct tapio_shm_ring_log) +
			 tpi_ring_marks_bytes(log_values) +
			 (uint64_t)log_values * sizeof(uint64_t);
	plan.length_bytes = plan.logs_offset + logs * plan.log_bytes;
	return plan;
}

/* CPUs that may ever be present, as far as the machine says today. */
static uint32_t count_cpus(void)
{
	static uint32_t known; /* relaxed: each finder finds the same */
	uint32_t count = tpi_load_relaxed(&known);
	struct tpi_topology topology;

	if (count)
		return count;
	if (tpi_topology_read(&topology, "/sys/devices/system")) {
		count = 1;
	} else {
		count = topology.cpus_possible;
		while (count > 1 &&
		       topology.node_of_cpu[count - 1] == TPI_CPU_ABSENT)
			count--;
		tpi_topology_free(&topology);
	}
	tpi_store_relaxed(&known, count);
	return count;
}

/*
 * Logs for four times the capacity at most, so that memory does not grow with the
 * CPUs. The share of a CPU is a power of two. Less than a block: none, and values
 * are put one by one.
 */
static struct plan plan_new(uint32_t capacity)
{
	uint32_t cpus = count_cpus();
	uint64_t values = capacity;

	while (values * cpus > 4 * (uint64_t)capacity)
		values /= 2;
	if (values < TPI_RING_BLOCK)
		return plan_of(capacity, 0, 0);
	return plan_of(capacity, cpus, (uint32_t)values);
}

size_t tapio_ring_bytes(uint32_t capacity)
{
	return capacity_ok(capacity) ? plan_new(capacity).length_bytes : 0;
}

static int memory_ok(const void *memory, size_t bytes, size_t least)
{
	return memory && !((uintptr_t)memory % TAPIO_RING_ALIGN) &&
	       bytes >= least;
}

static int handle_new(struct tapio_ring **out, struct tapio_shm_ring *shm,
		      uint32_t capacity, const struct plan *plan)
{
	struct tapio_ring *ring = aligned_alloc(64, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	ring->shm = shm;
	ring->cells = (struct tpi_pair *)(shm + 1);
	ring->mask = capacity - 1;
	ring->logs = (unsigned char *)shm + plan->logs_offset;
	ring->log_bytes = plan->log_bytes;
	ring->log_count = plan->logs;
	ring->log_values = plan->log_values;
	ring->cpus = 0;
	ring->undecided = false;
	ring->owned = NULL;
	tpi_ring_choose_logs(ring);
	*out = ring;
	return 0;
}

static void format(struct tapio_shm_ring *shm, uint32_t capacity,
		   const struct plan *plan)
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
	for (i = 0; i < plan->logs; i++)
		memset((unsigned char *)shm + plan->logs_offset +
			       i * plan->log_bytes,
		       0,
		       sizeof(struct tapio_shm_ring_log) +
			       tpi_ring_marks_bytes(plan->log_values));
	shm->version = TAPIO_RING_VERSION;
	shm->capacity = capacity;
	shm->length_bytes = plan->length_bytes;
	shm->cells_offset = sizeof(*shm);
	shm->cell_bytes = sizeof(struct tpi_pair);
	shm->stripes = TAPIO_STRIPES;
	shm->logs_offset = plan->logs_offset;
	shm->logs = plan->logs;
	shm->log_values = plan->log_values;
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
	struct plan plan;
	int err;

	*out = NULL;
	if (!capacity_ok(capacity))
		return -EINVAL;
	plan = plan_new(capacity);
	if (!memory_ok(memory, bytes, plan.length_bytes))
		return -EINVAL;
	err = handle_new(out, shm, capacity, &plan);
	if (!err)
		format(shm, capacity, &plan);
	return err;
}

/* The logs that a ring has: it may have been made when there were other CPUs. */
static int read_plan(const struct tapio_shm_ring *shm, uint32_t capacity,
		     struct plan *plan)
{
	uint32_t logs = tpi_load_relaxed(&shm->logs);
	uint32_t values = tpi_load_relaxed(&shm->log_values);

	if (logs > TPI_CPUS_MAX || values > capacity || values & (values - 1) ||
	    (logs ? values < TPI_RING_BLOCK : values != 0))
		return -EBADMSG;
	*plan = plan_of(capacity, logs, values);
	if (tpi_load_relaxed(&shm->logs_offset) != plan->logs_offset ||
	    tpi_load_relaxed(&shm->length_bytes) != plan->length_bytes)
		return -EBADMSG;
	return 0;
}

int tapio_ring_attach(struct tapio_ring **out, void *memory, size_t bytes)
{
	struct tapio_shm_ring *shm = memory;
	struct plan plan;
	uint64_t magic;
	uint32_t capacity;
	uint32_t ready;

	*out = NULL;
	if (!memory_ok(memory, bytes, plan_of(1, 0, 0).length_bytes))
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
	if (!capacity_ok(capacity) || read_plan(shm, capacity, &plan) ||
	    bytes < plan.length_bytes ||
	    tpi_load_relaxed(&shm->cells_offset) != sizeof(*shm) ||
	    tpi_load_relaxed(&shm->cell_bytes) != sizeof(struct tpi_pair) ||
	    tpi_load_relaxed(&shm->stripes) != TAPIO_STRIPES)
		return -EBADMSG;
	return handle_new(out, shm, capacity, &plan);
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
