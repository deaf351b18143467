/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops of bench-ring, for the ring whose calls the including file has
 * defined before:
 *
 *	RING            its handle's type
 *	PUT(ring, v)    true when the value was put
 *	GET(ring, &v)   true when one was got
 *	PUT_BATCH(ring, values), GET_BATCH(ring, values)   how many of RING_BATCH
 */
#include "bench/ring_peer.h"
#include "lib/atomic.h"

static int loop_pairs(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t value = 0;

	for (uint64_t i = 0; i < count; i++)
		if (!PUT(ring, i) || !GET(ring, &value) || value != i)
			return -1;
	return 0;
}

static int loop_fill(void *memory, uint64_t count)
{
	RING *ring = memory;

	for (uint64_t i = 0; i < count; i++)
		if (!PUT(ring, i))
			return -1;
	return 0;
}

static int loop_drain(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t value = 0;

	for (uint64_t i = 0; i < count; i++)
		if (!GET(ring, &value) || value != i)
			return -1;
	return 0;
}

#ifdef PUT_BATCH
static int loop_fill_batch(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t values[RING_BATCH];

	for (uint64_t i = 0; i < count; i += RING_BATCH) {
		for (unsigned int j = 0; j < RING_BATCH; j++)
			values[j] = i + j;
		if (PUT_BATCH(ring, values) != RING_BATCH)
			return -1;
	}
	return 0;
}

static int loop_drain_batch(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t values[RING_BATCH];

	for (uint64_t i = 0; i < count; i += RING_BATCH) {
		if (GET_BATCH(ring, values) != RING_BATCH)
			return -1;
		for (unsigned int j = 0; j < RING_BATCH; j++)
			if (values[j] != i + j)
				return -1;
	}
	return 0;
}
#endif

static int loop_send(void *memory, uint64_t count)
{
	RING *ring = memory;

	for (uint64_t i = 0; i < count; i++)
		while (!PUT(ring, i))
			tpi_cpu_relax();
	return 0;
}

static int loop_receive(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t value = 0;

	for (uint64_t i = 0; i < count; i++) {
		while (!GET(ring, &value))
			tpi_cpu_relax();
		if (value != i)
			return -1;
	}
	return 0;
}

static int loop_contend(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t value = 0;

	for (uint64_t i = 0; i < count; i++) {
		while (!PUT(ring, i))
			tpi_cpu_relax();
		while (!GET(ring, &value))
			tpi_cpu_relax();
		if (value >= count)
			return -1;
	}
	return 0;
}
