/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow path of tapio_output: a refusal that needs a reason, a lane without room,
 * a large event, a thread without a CPU's lane. And batches.
 *
 * Where tapio_output is: declared in tapio/producer.h, entered in
 * client/producer/producer.c, fast path in lib/lane/emit_fast.h (compiled by
 * lib/lane/lane.c), slow path in client/producer/output.c.
 *
 * An event from a buffer is never copied from block to block: a thread that has
 * moved since it took its blocks abandons them and begins again from the
 * buffer. Nothing has been accepted by then, so nothing is doubled.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "client/producer/producer.h"
#include "lib/base/testpoint.h"

int tpi_no_size(struct tapio_producer *p, uint32_t tag)
{
	const struct tpi_emit *emit = &p->hot.emit;
	const struct tpi_size *size;
	const struct tpi_lane *lane;
	uint32_t klass = tag >> 24;

	if (klass > emit->class_count)
		return -EINVAL;
	size = klass ? &emit->classes[klass - 1]
		     : &emit->sizes[emit->size_count - 1];
	lane = tpi_lane_here(emit, size);
	tpi_count_drop(lane ? lane : emit->lanes, TAPIO_DROP_SIZE, 1);
	return -EMSGSIZE;
}

const struct tpi_lane *tpi_no_lane_lane(const struct tapio_producer *p,
					uint32_t klass)
{
	const struct tpi_channel *channel = &p->client.channel;
	uint32_t sides = channel->side_count[klass];

	return &channel->lanes[sides ? channel->side_first[klass] : 0];
}

int tpi_no_lane(struct tapio_producer *p, uint32_t klass, uint32_t count)
{
	tpi_count_drop(tpi_no_lane_lane(p, klass), TAPIO_DROP_NO_LANE, count);
	return -ENOBUFS;
}

typedef long long vec16 __attribute__((vector_size(16)));

/*
 * Into a block, which has at least 64 bytes: short events in two or four moves
 * that may overlap, without a call.
 */
static inline void copy_in(unsigned char *block, const void *data,
			   uint32_t length)
{
	const unsigned char *from = data;
	vec16 a, b, c, d;

	if (length - 16 > 48) { /* shorter than 16, or longer than 64 */
		if (length)
			memcpy(block, from, length);
		return;
	}
	memcpy(&a, from, 16);
	memcpy(&b, from + length - 16, 16);
	if (length > 32) {
		memcpy(&c, from + 16, 16);
		memcpy(&d, from + length - 32, 16);
		memcpy(block + 16, &c, 16);
		memcpy(block + length - 32, &d, 16);
	}
	memcpy(block, &a, 16);
	memcpy(block + length - 16, &b, 16);
}

/* Fills blocks of one lane from items, and publishes them all at once. */
static int fill_and_put(struct tapio_producer *p, const struct tpi_lane *lane,
			const uint32_t *blocks, const uint64_t *tickets,
			const struct tapio_item *items, uint32_t count)
{
	uint64_t descs[TPI_BATCH];
	uint32_t i;
	int err;

	for (i = 0; i < count; i++) {
		unsigned char *block = tpi_lane_block(lane, blocks[i]);

		/* As in emit_fast.h: it is ours again by the time that it is
		 * taken. */
		tpi_prefetch_write(block + 12 * TAPIO_CACHE_LINE);
		copy_in(block, items[i].data, items[i].length);
		descs[i] = tpi_meta(items[i].tag, items[i].length) | blocks[i];
	}
	TPI_TESTPOINT("output.filled");
	err = tpi_put(p, lane, descs, tickets, count);
	TPI_TESTPOINT("output.put");
	if (err == TPI_MOVED)
		for (i = 0; i < count; i++)
			tpi_lane_abandon(lane, blocks[i], tickets[i]);
	return err;
}

/*
 * By way of reservations: as many of `count` (<= TPI_BATCH) items as one lane has
 * room for. How many. 0 when it has none (*result says why) or when the thread
 * moved too often (TPI_MOVED).
 */
static int emit_reserved(struct tapio_producer *p, const struct tpi_size *size,
			 const struct tapio_item *items, uint32_t count,
			 const struct tpi_lane **lane, int *result)
{
	uint32_t blocks[TPI_BATCH];
	uint64_t tickets[TPI_BATCH];
	int moves, n;

	for (moves = 0; moves < TPI_MOVES; moves++) {
		n = tpi_take(p, size, count, blocks, tickets, lane, result);
		if (n <= 0)
			return n;
		*result = fill_and_put(p, *lane, blocks, tickets, items,
				       (uint32_t)n);
		if (!*result)
			return n;
		if (*result < 0)
			return *result;
	}
	return 0;
}

/*
 * The first item alone, copied by one section (a large one: on the side lane). A
 * lane without room may have abandoned blocks, which serve as well as free ones.
 */
static int emit_copy(struct tapio_producer *p, const struct tpi_size *size,
		     const struct tapio_item *item,
		     const struct tpi_lane **lane, int *result)
{
	uint32_t block;
	uint64_t ticket;

	*result = tpi_copy(p, size, tpi_meta(item->tag, item->length),
			   item->data, item->length, lane);
	if (!*result)
		return 1;
	if (*result < 0)
		return *result;
	if (!tpi_claim(p, *lane, 1, &block, &ticket))
		return 0;
	*result = fill_and_put(p, *lane, &block, &ticket, item, 1);
	if (*result < 0)
		return *result;
	return *result ? 0 : 1;
}

static int emit_once(struct tapio_producer *p, const struct tpi_size *size,
		     const struct tapio_item *items, uint32_t count,
		     const struct tpi_lane **lane, int *result)
{
	bool small = items->length <= size->fast_bytes;
	int n;

	if (count > 1 || !small) {
		n = emit_reserved(p, size, items, count, lane, result);
		/* A lane of which half is reserved still takes a copy. */
		if (n || (!small && *result != TPI_MOVED))
			return n;
	}
	return emit_copy(p, size, items, lane, result);
}

/*
 * As many of `count` items of one class as there is room for, at least one: waits
 * for it if the policy says so. `offered` events are refused when it fails.
 */
static int emit_items(struct tapio_producer *p, const struct tpi_size *size,
		      const struct tapio_item *items, uint32_t count,
		      uint32_t offered)
{
	struct tpi_full room = {0};
	const struct tpi_lane *lane = NULL;
	int n, err, result = 0;

	for (;;) {
		n = emit_once(p, size, items, count, &lane, &result);
		if (n > 0) {
			tpi_ring_if_armed(&p->hot.emit, lane);
			return n;
		}
		if (n == -ENOBUFS)
			return tpi_no_lane(p, size->klass, offered);
		if (n < 0)
			return n;
		if (result == TPI_MOVED)
			continue;
		err = tpi_full_wait(p, lane, result, items->tag, offered,
				    &room);
		if (err)
			return err;
	}
}

__attribute__((cold)) int tpi_output_slow(const struct tpi_emit *emit,
					  uint32_t tag, const void *data,
					  uint32_t length)
{
	struct tapio_producer *p = tpi_producer_of(emit);
	struct tapio_item item = {.data = data, .length = length, .tag = tag};
	const struct tpi_size *size;
	int err;

	if (!tpi_alive(&p->hot.hot))
		return -ECHILD;
	if (!TAPIO_TAG_TYPE(tag))
		return -EINVAL;
	size = tpi_size_of(&p->hot.emit, tag, length, false);
	if (!size)
		return tpi_no_size(p, tag);
	err = emit_items(p, size, &item, 1, 1);
	return err < 0 ? err : 0;
}

/*
 * How many items from the first on go to one class, which is *size. A batch is
 * mostly of one tag and of one size. A different one is looked up.
 */
static uint32_t same_class(const struct tapio_producer *p,
			   const struct tapio_item *items, uint32_t count,
			   const struct tpi_size **size)
{
	const struct tpi_emit *emit = &p->hot.emit;
	const uint32_t tag = items->tag, length = items->length;
	const struct tpi_size *s;
	uint32_t n;

	*size = s = tpi_size_of(emit, tag, length, false);
	if (!s || !TAPIO_TAG_TYPE(tag))
		return 0;
	if (count > TPI_BATCH)
		count = TPI_BATCH;
	for (n = 1; n < count; n++) {
		const struct tapio_item *item = &items[n];

		if (tpi_likely(item->tag == tag && item->length == length))
			continue;
		if (!TAPIO_TAG_TYPE(item->tag) ||
		    tpi_size_of(emit, item->tag, item->length, false) != s)
			break;
	}
	return n;
}

int tapio_output_batch(struct tapio_producer *p, const struct tapio_item *items,
		       unsigned int count)
{
	const struct tpi_size *size;
	uint32_t done = 0, run;
	int n = 0;

	if (!tpi_alive(&p->hot.hot))
		return -ECHILD;
	if (count > INT_MAX) /* the result is an int */
		count = INT_MAX;
	while (done < count) {
		run = same_class(p, items + done, count - done, &size);
		if (run)
			n = emit_items(p, size, items + done, run,
				       count - done);
		else if (!TAPIO_TAG_TYPE(items[done].tag))
			n = -EINVAL;
		else
			n = tpi_no_size(p, items[done].tag);
		if (n < 0)
			break;
		done += (uint32_t)n;
	}
	return done ? (int)done : n;
}
