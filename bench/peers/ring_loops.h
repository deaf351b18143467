/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops of a ring_peer, for the ring whose calls the including file has
 * defined before:
 *
 *	RING            its handle's type
 *	PUT(ring, v)    true when the value was put
 *	GET(ring, &v)   true when one was got
 *	PUT_BATCH(ring, values, n), GET_BATCH(ring, values, n)
 *	                how many of n. None: 0 or negative. Where it has them.
 *	RING_ONE_TO_ONE where there may be one producer and one consumer only
 *
 * and RING_LOOPS, what is then to be said in the struct ring_peer.
 */
#include <sched.h>

#include "bench/peers/ring_peer.h"
#include "lib/base/atomic.h"

/* After so many tries in vain the other side is taken to wait for our CPU. */
#define RING_TRIES 20000

static inline void loop_again(unsigned int *tries)
{
	tpi_cpu_relax();
	if (++*tries % RING_TRIES == 0)
		sched_yield();
}

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

static int loop_send(void *memory, uint64_t count)
{
	RING *ring = memory;
	unsigned int tries = 0;

	for (uint64_t i = 0; i < count; i++)
		while (!PUT(ring, i))
			loop_again(&tries);
	return 0;
}

static int loop_receive(void *memory, uint64_t count)
{
	RING *ring = memory;
	unsigned int tries = 0;
	uint64_t value = 0;

	for (uint64_t i = 0; i < count; i++) {
		while (!GET(ring, &value))
			loop_again(&tries);
		if (value != i)
			return -1;
	}
	return 0;
}

#define RING_LOOPS_SINGLE                                            \
	.pairs = loop_pairs, .fill = loop_fill, .drain = loop_drain, \
	.send = loop_send, .receive = loop_receive

#ifdef PUT_BATCH
static int loop_fill_batch(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t values[RING_BATCH];

	for (uint64_t i = 0; i < count; i += RING_BATCH) {
		for (unsigned int j = 0; j < RING_BATCH; j++)
			values[j] = i + j;
		if (PUT_BATCH(ring, values, RING_BATCH) != RING_BATCH)
			return -1;
	}
	return 0;
}

static int loop_check(const uint64_t *values, unsigned int count, uint64_t from)
{
	for (unsigned int i = 0; i < count; i++)
		if (values[i] != from + i)
			return -1;
	return 0;
}

static int loop_drain_batch(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t values[RING_BATCH];

	for (uint64_t i = 0; i < count; i += RING_BATCH)
		if (GET_BATCH(ring, values, RING_BATCH) != RING_BATCH ||
		    loop_check(values, RING_BATCH, i))
			return -1;
	return 0;
}

static int loop_send_batch(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t values[RING_BATCH];
	unsigned int tries = 0;
	int n, done;

	for (uint64_t i = 0; i < count; i += RING_BATCH) {
		for (unsigned int j = 0; j < RING_BATCH; j++)
			values[j] = i + j;
		for (done = 0; done < RING_BATCH; done += n) {
			n = PUT_BATCH(ring, values + done, RING_BATCH - done);
			if (n > 0)
				continue;
			n = 0;
			loop_again(&tries);
		}
	}
	return 0;
}

static int loop_receive_batch(void *memory, uint64_t count)
{
	RING *ring = memory;
	uint64_t values[RING_BATCH];
	unsigned int tries = 0;
	int n;

	for (uint64_t i = 0; i < count;) {
		n = GET_BATCH(ring, values, RING_BATCH);
		if (n <= 0) {
			loop_again(&tries);
			continue;
		}
		if (loop_check(values, (unsigned int)n, i))
			return -1;
		i += (uint64_t)n;
	}
	return 0;
}
#define RING_LOOPS_BATCH                                                \
	.fill_batch = loop_fill_batch, .drain_batch = loop_drain_batch, \
	.send_batch = loop_send_batch, .receive_batch = loop_receive_batch
#else
#define RING_LOOPS_BATCH .fill_batch = NULL
#endif

#ifndef RING_ONE_TO_ONE
static int loop_contend(void *memory, uint64_t count, uint64_t *sum)
{
	RING *ring = memory;
	unsigned int tries = 0;
	uint64_t value = 0, all = 0;

	for (uint64_t i = 0; i < count; i++) {
		while (!PUT(ring, i))
			loop_again(&tries);
		while (!GET(ring, &value))
			loop_again(&tries);
		all += value;
	}
	*sum += all;
	return 0;
}
#define RING_LOOPS RING_LOOPS_SINGLE, RING_LOOPS_BATCH, .contend = loop_contend
#else
#define RING_LOOPS RING_LOOPS_SINGLE, RING_LOOPS_BATCH
#endif
