/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the stream peers of DPDK's rte_ring: the ring in shared memory, and
 * its ends. Events lie in the ring itself, in elements of their size: with
 * pointers to blocks there would be the blocks' own way to and fro as well. The
 * environment layer is not needed for that.
 *
 * The including file defines struct rte_end, rte_send() and rte_fetch(), then EVENT
 * and DONE, before it includes stream_loops.h.
 */
#include <rte_ring.h>
#include <rte_ring_peek_zc.h>

#include "bench/peers/stream_peer.h"

#define HANDLE                struct rte_end
#define SEND(h, event, bytes) rte_send(h, event, bytes, 1)
#define SEND_BATCH(h, events, bytes, count) \
	rte_send(h, events, bytes, (unsigned int)(count))
#define FETCH(h, bytes) rte_fetch(h, bytes)

struct rte_channel {
	uint64_t bytes;
	_Alignas(64) struct rte_ring ring;
};

static void *rte_make(const struct stream_spec *spec, unsigned int flags)
{
	uint32_t elements = STREAM_RING_BYTES / spec->bytes;
	ssize_t size = rte_ring_get_memsize_elem(spec->bytes, elements);
	struct rte_channel *channel;

	if (size < 0) {
		bench_why("no ring of elements of %u bytes", spec->bytes);
		return NULL;
	}
	channel = bench_memory(sizeof(*channel) + (uint64_t)size);
	if (!channel)
		return NULL;
	channel->bytes = sizeof(*channel) + (uint64_t)size;
	/* Of a ring that is not for pointers it sets all but their size, which
	 * it does not keep. */
	rte_ring_init(&channel->ring, "stream", elements, flags);
	return channel;
}

static void rte_unmake(void *arg)
{
	struct rte_channel *channel = arg;

	bench_memory_free(channel, channel->bytes);
}
