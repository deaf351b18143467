/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concurrency Kit's ring as a stream peer: events lie in the ring itself, in
 * entries of their size, which is the least that its users have to write and
 * copy. It has no batches, and hands out copies.
 *
 * The including file has defined CK_ENQUEUE and CK_DEQUEUE, calls without the
 * name of the type at their end, and CK_DEQUEUE_ALONE for the only consumer.
 */
#include <ck_ring.h>

#include "bench/peers/stream_peer.h"

struct ck_event_64 {
	uint64_t word[8];
};
struct ck_event_256 {
	uint64_t word[32];
};
struct ck_event_1024 {
	uint64_t word[128];
};

CK_RING_PROTOTYPE(64, ck_event_64)
CK_RING_PROTOTYPE(256, ck_event_256)
CK_RING_PROTOTYPE(1024, ck_event_1024)

struct ck_channel {
	ck_ring_t ring;
	bool one_consumer;
	_Alignas(64) unsigned char entries[STREAM_RING_BYTES];
};

struct ck_end {
	struct ck_channel *channel;
	struct stream_event event; /* the one that was taken out */
};

#define CK_PASTE(call, bytes) call##_##bytes
#define CK_TYPED(call, bytes) CK_PASTE(call, bytes)
#define CK_OF(call, c, event, bytes)                          \
	CK_TYPED(call, bytes)                                 \
	(&(c)->ring, (struct ck_event_##bytes *)(c)->entries, \
	 (struct ck_event_##bytes *)(event))
/* `call` for entries of that size. */
#define CK_CALL(call, c, event, bytes)                 \
	((bytes) == 64    ? CK_OF(call, c, event, 64)  \
	 : (bytes) == 256 ? CK_OF(call, c, event, 256) \
			  : CK_OF(call, c, event, 1024))

STREAM_INLINE int ck_fetch(struct ck_end *end, uint32_t bytes)
{
	struct ck_channel *c = end->channel;
	uint64_t *event = end->event.word;

	return c->one_consumer ? CK_CALL(CK_DEQUEUE_ALONE, c, event, bytes)
			       : CK_CALL(CK_DEQUEUE, c, event, bytes);
}

#define HANDLE                struct ck_end
#define SEND(h, e, bytes)     CK_CALL(CK_ENQUEUE, (h)->channel, e, bytes)
#define FETCH(h, bytes)       ck_fetch(h, bytes)
#define EVENT(h, i, bytes)    ((const uint64_t *)(h)->event.word)
#define DONE(h, count, bytes) ((void)0)

#include "bench/peers/stream_loops.h"

static void *ck_make(const struct stream_spec *spec)
{
	struct ck_channel *channel;

	if (spec->bytes != 64 && spec->bytes != 256 && spec->bytes != 1024) {
		bench_why("not built for events of %u bytes", spec->bytes);
		return NULL;
	}
	channel = bench_memory(sizeof(*channel));
	if (!channel)
		return NULL;
	ck_ring_init(&channel->ring, STREAM_RING_BYTES / spec->bytes);
	channel->one_consumer = spec->consumers == 1;
	return channel;
}

static void ck_unmake(void *channel)
{
	bench_memory_free(channel, sizeof(struct ck_channel));
}

#define CK_STREAM \
	.make = ck_make, .unmake = ck_unmake, STREAM_ENDS, STREAM_LOOPS
