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

int tpi_no_size(struct tpi_producer *p, uint32_t tag)
{
	const struct tpi_emit *emit = &p->emit;
	const struct tpi_size *size;
	const struct tpi_lane *lane;
	uint32_t klass = tag >> 24;

	if (klass > emit->class_count)
		return -EINVAL;
	size = klass ? &emit->classes[klass - 1]
		     : &emit->sizes[emit->size_count - 1];
	lane = tpi_lane_here(emit, size);
	if (tpi_producer_isolated(p))
		lane = tpi_producer_own_lane(p, size->klass);
	tpi_count_drop(lane ? lane : emit->lanes, TAPIO_DROP_SIZE, 1);
	return -EMSGSIZE;
}

const struct tpi_lane *tpi_no_lane_lane(const struct tpi_producer *p,
					uint32_t klass)
{
	const struct tpi_channel *channel = &p->client.channel;
	uint32_t sides = channel->side_count[klass];

	if (tpi_producer_isolated(p))
		return tpi_producer_own_lane(p, klass);
	return &channel->lanes[sides ? channel->side_first[klass] : 0];
}

int tpi_no_lane(struct tpi_producer *p, uint32_t klass, uint32_t count)
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

/* Fills blocks of one lane from items, and publishes them all at once. count >= 1. */
static int fill_and_put(struct tpi_producer *p, const struct tpi_lane *lane,
			const uint32_t *blocks, const uint64_t *tickets,
			const struct tapio_item *items, uint32_t count)
{
	uint64_t descs[TPI_BATCH];
	uint32_t i = 0;
	int err;

	do {
		unsigned char *block = tpi_lane_block(lane, blocks[i]);

		/* As in emit_fast.h: it is ours again by the time that it is
		 * taken. */
		tpi_prefetch_write(block + TPI_AHEAD_BYTES);
		copy_in(block, items[i].data, items[i].length);
		descs[i] = tpi_meta(items[i].tag, items[i].length) | blocks[i];
	} while (++i < count);
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
static int emit_reserved(struct tpi_producer *p, const struct tpi_size *size,
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
static int emit_copy(struct tpi_producer *p, const struct tpi_size *size,
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

static int emit_once(struct tpi_producer *p, const struct tpi_size *size,
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
 * for it if the policy says so. `offered` events are refused when it fails. TPI_GONE.
 */
static int emit_items(struct tpi_producer *p, const struct tpi_size *size,
		      const struct tapio_item *items, uint32_t count,
		      uint32_t offered, struct tpi_full *room)
{
	const struct tpi_lane *lane = NULL;
	int n, err, result = 0;

	for (;;) {
		n = emit_once(p, size, items, count, &lane, &result);
		if (n > 0) {
			tpi_ring_if_armed(&p->emit, lane);
			return n;
		}
		if (n == -ENOBUFS)
			return tpi_no_lane(p, size->klass, offered);
		if (n < 0)
			return n;
		if (result == TPI_MOVED)
			continue;
		err = tpi_full_wait(p, lane, result, items->tag, offered, room);
		if (err)
			return err;
	}
}

static int emit_one(struct tpi_producer *p, const struct tapio_item *item,
		    struct tpi_full *room)
{
	const struct tpi_size *size =
		tpi_size_of(&p->emit, item->tag, item->length, false);
	int n;

	if (!size)
		return tpi_no_size(p, item->tag);
	n = emit_items(p, size, item, 1, 1, room);
	return n < 0 ? n : 0;
}

int tpi_output(struct tapio_producer *handle, const struct tapio_item *item)
{
	struct tpi_full room = {0};
	int err;

	if (!TAPIO_TAG_TYPE(item->tag))
		return -EINVAL;
	do
		err = emit_one(tpi_producer_current(handle), item, &room);
	while (err == TPI_GONE);
	return err;
}

__attribute__((cold)) int tpi_output_slow(const struct tpi_emit *emit,
					  uint32_t tag, const void *data,
					  uint32_t length)
{
	struct tapio_item item = {.data = data, .length = length, .tag = tag};
	struct tpi_producer *p = tpi_producer_of(emit);

	return tpi_alive(&p->hot) ? tpi_output(p->owner, &item) : -ECHILD;
}

/*
 * How many items from the first on go to one class, which is *size. A batch is
 * mostly of one tag and of one size. A different one is looked up.
 */
static uint32_t same_class(const struct tpi_producer *p,
			   const struct tapio_item *items, uint32_t count,
			   const struct tpi_size **size)
{
	const struct tpi_emit *emit = &p->emit;
	const uint64_t kind = tpi_item_kind(items);
	const struct tpi_size *s;
	uint32_t n;

	*size = s = tpi_size_of(emit, items->tag, items->length, false);
	if (!s || !TAPIO_TAG_TYPE(items->tag))
		return 0;
	for (n = 1; n < count; n++) {
		const struct tapio_item *item = &items[n];

		if (tpi_likely(tpi_item_kind(item) == kind))
			continue;
		if (!TAPIO_TAG_TYPE(item->tag) ||
		    tpi_size_of(emit, item->tag, item->length, false) != s)
			break;
	}
	return n;
}

/* The blocks of a run are ours still: puts them back filled. How many, or -errno. 0: they
 * are given up, since the thread has moved. */
__attribute__((noinline, cold)) static int
put_run(struct tpi_producer *p, const struct tapio_item *items,
	const struct tpi_run *run)
{
	const uint32_t count = run->count;
	uint64_t tickets[TPI_BATCH];
	uint32_t i;
	int err;

	for (i = 0; i < count; i++)
		tickets[i] = run->ticket + TAPIO_TICKET(0, i);
	err = fill_and_put(p, run->lane, run->blocks, tickets, items, count);
	if (err)
		return err < 0 ? err : 0;
	return (int)count;
}

/*
 * A batch that sections copy, if it is of one kind. How many, or -errno. 0: it goes by way
 * of reservations.
 */
static int emit_alike(struct tpi_producer *p, const struct tapio_item *items,
		      uint32_t count)
{
	const struct tpi_emit *emit = &p->emit;
	const uint64_t kind = tpi_item_kind(items);
	const uint32_t length = TPI_KIND_LENGTH(kind), tag = TPI_KIND_TAG(kind);
	const struct tpi_size *size;
	struct tpi_run run;
	int n;

	/* The last one tells most batches of several kinds. The section looks at each. */
	if (count < 2 || length - TPI_USUAL_LEAST >= TPI_USUAL_SPAN ||
	    !TAPIO_TAG_TYPE(tag) || tpi_item_kind(&items[count - 1]) != kind)
		return 0;
	size = tpi_size_of(emit, tag, length, true);
	if (!size)
		return 0;
	n = tpi_emit_run(emit, size, kind, items, count, &run);
	if (tpi_unlikely(n == TPI_RUN_HELD))
		n = put_run(p, items, &run);
	if (n > 0)
		tpi_ring_if_armed(emit, run.lane);
	return n;
}

/* A run of one class from the first item on. How many, or -errno. */
static int emit_run(struct tpi_producer *p, const struct tapio_item *items,
		    uint32_t count, struct tpi_full *room)
{
	const uint32_t most = count < TPI_BATCH ? count : TPI_BATCH;
	const struct tpi_size *size;
	uint32_t run;
	int n;

	n = emit_alike(p, items, most);
	if (n)
		return n;
	run = same_class(p, items, most, &size);
	if (run)
		return emit_items(p, size, items, run, count, room);
	return TAPIO_TAG_TYPE(items->tag) ? tpi_no_size(p, items->tag)
					  : -EINVAL;
}

int tapio_output_batch(struct tapio_producer *handle,
		       const struct tapio_item *items, unsigned int count)
{
	struct tpi_full room = {0};
	uint32_t done = 0;
	int n = 0;

	if (!tpi_alive(&tpi_producer_now(handle)->hot))
		return -ECHILD;
	if (count > INT_MAX) /* the result is an int */
		count = INT_MAX;
	while (done < count) {
		n = emit_run(tpi_producer_current(handle), items + done,
			     count - done, &room);
		if (n == TPI_GONE)
			continue;
		if (n < 0)
			break;
		done += (uint32_t)n;
		room = (struct tpi_full){0};
	}
	return done ? (int)done : n;
}
