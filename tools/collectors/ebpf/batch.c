/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch: look at records, reserve blocks for them, build the events there, submit, and
 * only then give the records back to the kernel.
 *
 *	killed, or refused           the records are        the event is
 *	before the submit            in the ring            not there
 *	between submit and release   in the ring, which     there, once: rings end
 *	                             ends with us           with their process
 *	after the release            gone                   there
 *
 * The records of a batch are about as long as one another, since all of its blocks are
 * reserved for the longest.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/collectors/ebpf/batch.h"

#define BATCH 32

struct item {
	const struct tpi_ebpf_head *head;
	uint32_t length;
	uint64_t end; /* where it ends in the ring */
};

struct batch {
	struct item items[BATCH];
	uint32_t count;
	uint32_t bytes; /* of the longest event */
	struct tapio_reservation blocks[BATCH];
	uint32_t filled; /* of the first items */
};

/* The number of bits of a length: a batch has events of one. */
static int bits(uint32_t bytes)
{
	return 32 - __builtin_clz(bytes);
}

static void gather(struct tpi_ebpf_ring *ring, struct batch *batch)
{
	const struct tpi_ebpf_head *head;
	uint64_t begin = ring->at;
	uint32_t length;

	batch->count = 0;
	batch->bytes = 0;
	while (batch->count < BATCH &&
	       (head = tpi_ebpf_ring_next(ring, &length))) {
		const uint32_t bytes = tpi_ebpf_event_bound(head, length);

		if (batch->count && bytes &&
		    bits(bytes) != bits(batch->bytes)) {
			ring->at = begin;
			return;
		}
		begin = ring->at;
		if (!bytes) /* no record of ours: there are none */
			continue;
		batch->items[batch->count++] =
			(struct item){head, length, ring->at};
		if (bytes > batch->bytes)
			batch->bytes = bytes;
	}
}

/* ---- blocks ------------------------------------------------------------------------ */

static bool fits_urgent(const struct tpi_drain *d, int ring, uint32_t bytes)
{
	return ring == TPI_EBPF_RING_OF(TPI_EBPF_EXEC) &&
	       d->all->urgent_class >= 0 &&
	       bytes <= tpi_load_relaxed(&d->all->urgent_bytes);
}

static int reserve_plain(struct tpi_drain *d, struct batch *batch,
			 uint16_t type)
{
	struct tapio_producer *producer = d->all->producer;
	const uint32_t max = tapio_producer_max_bytes(producer);

	return tapio_reserve_batch(producer, TAPIO_TAG(type, 0) | TAPIO_NO_WAIT,
				   batch->bytes < max ? batch->bytes : max,
				   batch->blocks, batch->count);
}

/*
 * Too long for the class of urgent events: better in another one than cut. How many
 * blocks, or -errno.
 */
static int reserve(struct tpi_drain *d, int ring, struct batch *batch)
{
	const uint16_t type = tpi_ebpf_event_type(batch->items[0].head);
	int n;

	if (!fits_urgent(d, ring, batch->bytes))
		return reserve_plain(d, batch, type);
	n = tapio_reserve_batch(d->all->producer,
				TAPIO_TAG_CLASS(type, 0, d->all->urgent_class) |
					TAPIO_NO_WAIT,
				batch->bytes, batch->blocks, batch->count);
	if (n != -EMSGSIZE)
		return n;
	tpi_store_relaxed(&d->all->urgent_bytes, batch->bytes - 1);
	return reserve_plain(d, batch, type);
}

/* The class of a tag. The event knows the rest of it. */
#define TAG_CLASS(tag) ((tag)&UINT32_C(0xff000000))

static int build(const struct tpi_ebpf_now *now, const struct item *item,
		 struct tapio_reservation *block)
{
	uint32_t tag = 0;
	int length = tpi_ebpf_event_build(now, item->head, item->length,
					  block->data, block->capacity, &tag);

	if (length < 0)
		return length;
	block->length = (uint32_t)length;
	block->tag = tag | TAG_CLASS(block->tag) | TAPIO_NO_WAIT;
	return 0;
}

static void count_refused(struct tpi_drain *d, const struct item *item, int err)
{
	tpi_sink_count_read(d->sink, item->head->kind, 1);
	tpi_sink_count_refused(d->sink, item->head->kind, err, 1);
}

/*
 * Fills the blocks that there are. Returns how many items are done with. One that cannot be
 * built ends the batch, and is refused when it is the first one of a batch: so it is counted
 * once.
 */
static uint32_t build_all(struct tpi_drain *d, struct batch *batch,
			  uint32_t blocks)
{
	struct tpi_ebpf_now now = {.disks = &d->disks};

	tpi_ebpf_now(&now);
	batch->filled = 0;
	while (batch->filled < batch->count && batch->filled < blocks) {
		const struct item *item = &batch->items[batch->filled];
		int err = build(&now, item, &batch->blocks[batch->filled]);

		if (err && batch->filled)
			break;
		if (err) {
			count_refused(d, item, err);
			return 1;
		}
		batch->filled++;
	}
	return batch->filled;
}

/* ---- a batch ------------------------------------------------------------------------ */

/* All that cannot be submitted is discarded, and comes again. Returns how many were. */
static uint32_t submit(struct tpi_drain *d, struct batch *batch, int *err)
{
	uint32_t done = 0;

	*err = 0;
	while (done < batch->filled) {
		int n = tapio_submit_batch(d->all->producer,
					   batch->blocks + done,
					   batch->filled - done);

		if (n <= 0) {
			*err = n ? n : -EAGAIN;
			break;
		}
		done += (uint32_t)n;
	}
	return done;
}

static void give_back(struct tpi_drain *d, struct batch *batch, uint32_t from,
		      uint32_t to)
{
	while (from < to) {
		int n = tapio_discard_batch(d->all->producer,
					    batch->blocks + from, to - from);

		if (n <= 0)
			return;
		from += (uint32_t)n;
	}
}

static void count_emitted(struct tpi_drain *d, const struct batch *batch,
			  uint32_t done)
{
	for (uint32_t i = 0; i < done; i++) {
		const uint32_t kind = batch->items[i].head->kind;

		tpi_sink_count_read(d->sink, kind, 1);
		tpi_sink_count_emitted(d->sink, kind, 1);
	}
}

/* An event that is longer than any block, strings or not, never fits. */
static bool never_fits(struct tpi_drain *d, struct batch *batch)
{
	return tpi_ebpf_event_least(batch->items[0].head) >
	       tapio_producer_max_bytes(d->all->producer);
}

static int refuse_first(struct tpi_drain *d, struct tpi_ebpf_ring *ring,
			struct batch *batch, int err)
{
	count_refused(d, &batch->items[0], err);
	ring->at = batch->items[0].end;
	tpi_ebpf_ring_release(ring);
	return 1;
}

static int wait_for_room(struct tpi_drain *d, struct tpi_ebpf_ring *ring,
			 uint64_t begin, int err)
{
	uint64_t *tries = &d->tries[tpi_refusal_of(err)];

	tpi_store_relaxed(tries, *tries + 1);
	ring->at = begin;
	return err;
}

int tpi_drain_batch(struct tpi_drain *d, int index)
{
	struct tpi_ebpf_ring *ring = &d->rings[index];
	const uint64_t begin = ring->at;
	struct batch batch;
	uint32_t items, done;
	int n, err;

	gather(ring, &batch);
	if (!batch.count) {
		if (ring->at != begin)
			tpi_ebpf_ring_release(ring);
		return 0;
	}
	if (never_fits(d, &batch)) {
		tpi_store_relaxed(&d->sink->refused_bytes,
				  tapio_producer_max_bytes(d->all->producer));
		return refuse_first(d, ring, &batch, -EMSGSIZE);
	}
	n = reserve(d, index, &batch);
	if (n < 0)
		return wait_for_room(d, ring, begin, n);
	items = build_all(d, &batch, (uint32_t)n);
	done = submit(d, &batch, &err);
	give_back(d, &batch, done, (uint32_t)n);
	count_emitted(d, &batch, done);
	if (done < batch.filled)
		items = done; /* the next one comes again */
	if (!items)
		return wait_for_room(d, ring, begin, err);
	ring->at = batch.items[items - 1].end;
	tpi_ebpf_ring_release(ring);
	return (int)items;
}

/* ---- the end ------------------------------------------------------------------------ */

/* The cause that was met most often. */
static int cause_of(const struct tpi_drain *d)
{
	if (d->tries[TPI_REFUSED_FULL])
		return -EAGAIN;
	if (d->tries[TPI_REFUSED_NO_LANE])
		return -ENOBUFS;
	return -ENOTCONN;
}

void tpi_drain_left(struct tpi_drain *d)
{
	for (int i = 0; i < TPI_EBPF_RINGS; i++) {
		struct tpi_ebpf_ring *ring = &d->rings[i];
		struct item item;

		while ((item.head = tpi_ebpf_ring_next(ring, &item.length)))
			if (tpi_ebpf_event_bound(item.head, item.length))
				count_refused(d, &item, cause_of(d));
		tpi_ebpf_ring_release(ring);
	}
}
