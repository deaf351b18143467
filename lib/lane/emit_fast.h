/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast paths of a producer, as emit.h promises them. Included by lane.c alone,
 * since they end in its sections.
 *
 * Where tapio_output is: declared in tapio/producer.h, entered in
 * client/producer/producer.c, fast path in lib/lane/emit_fast.h (compiled by
 * lib/lane/lane.c), slow path in client/producer/output.c.
 *
 * Their cost is counted in instructions, and in loads and stores
 * (bench/instructions): a lane takes an event every few nanoseconds, and a register
 * that a function saves is a store and a load, too. So each kind of output is a
 * function of its own with few values alive, reached by a jump and not by a call. Rare
 * cases leave by a jump likewise. The usual event, of 32 to 64 bytes and no class, is
 * output_usual(), from the top to the bottom of one page.
 */
#ifndef TPI_EMIT_FAST_H
#define TPI_EMIT_FAST_H

/* A forked child has no slow path. */
__attribute__((cold, noinline)) static int
output_slow(const struct tpi_emit *emit, uint32_t tag, const void *data,
	    uint32_t length)
{
	tpi_output_fn *slow = emit->output_slow;

	return slow ? slow(emit, tag, data, length) : -ECHILD;
}

__attribute__((cold, noinline)) static int
reserve_slow(const struct tpi_emit *emit, uint32_t tag, uint32_t length,
	     struct tapio_reservation *out)
{
	tpi_reserve_fn *slow = emit->reserve_slow;

	if (slow)
		return slow(emit, tag, length, out);
	out->data = NULL;
	return -ECHILD;
}

__attribute__((cold, noinline)) static int
submit_slow(const struct tpi_emit *emit, struct tapio_reservation *r)
{
	tpi_submit_fn *slow = emit->submit_slow;

	return slow ? slow(emit, r) : -ECHILD;
}

/*
 * Whether the gate, as it stands, lets one block be taken: gate > reap = oldest - N.
 *
 * In 32 bits, which suffice. The gate was loaded after the state (sight_of()). If the
 * state is still the same in the section, the gate was at least its reap (G5) and at
 * most its tail, and the sum is between -1 and N - 1. If it is not, the section fails.
 */
static inline bool room_for_one(const struct tpi_lane *lane,
				const struct sight *s)
{
	uint32_t gate = (uint32_t)s->gate, oldest = (uint32_t)s->oldest;

	return tpi_likely((int32_t)(gate + lane->mask - oldest) >= 0);
}

/* The same for up to TPI_SECTION_BLOCKS. */
static inline bool room_for(const struct tpi_lane *lane, const struct sight *s,
			    uint32_t count)
{
	uint32_t gate = (uint32_t)s->gate, oldest = (uint32_t)s->oldest;

	return tpi_likely((int32_t)(gate + lane->mask + 1 - oldest - count) >=
			  0);
}

/*
 * Asks for the lines that will be written some events from now, so that the stores there
 * do not wait for a consumer's cache: those of a block, and that of a descriptor. A
 * processor makes stores visible in their order, so one that waits holds up all that
 * follow, and the commit with them.
 *
 * 12 lines of payload ahead hide one transfer. Eight descriptors share a line, so three
 * lines of them are as many events ahead, and more. Blocks lie in the ring in their order
 * in memory unless reservations have mixed them up. A wrong guess, as at the end of the
 * ring, costs nothing but the hint.
 */
static inline __attribute__((always_inline)) void
prefetch_ahead(const unsigned char *block, const uint64_t *entry)
{
	tpi_prefetch_write(entry + 3 * TAPIO_CACHE_LINE / sizeof(*entry));
	tpi_prefetch_write(block + TPI_AHEAD_BYTES);
}

/* The rest of the lines of a block that its holder fills, as far as it is worth that. */
static inline __attribute__((always_inline)) void
prefetch_more(const unsigned char *block, uint64_t length)
{
	const unsigned char *ahead = block + TPI_AHEAD_BYTES;

	if (length <= 64)
		return;
	tpi_prefetch_write(ahead + 64);
	if (length <= 128)
		return;
	tpi_prefetch_write(ahead + 128);
	tpi_prefetch_write(ahead + 192);
}

#define OUTPUT_PARAMETERS                                            \
	const struct tpi_emit *emit, uint32_t tag, const void *data, \
		uint32_t length, const struct tpi_lane *lane
#define OUTPUT_ARGUMENTS emit, tag, data, length, lane

static inline __attribute__((always_inline)) int
output_as(OUTPUT_PARAMETERS, enum output_size size, enum output_stamp stamp)
{
	uint64_t time = stamp == OUTPUT_VALUE ? tpi_clock_ns() : 0;
	const struct sight s = sight_of(lane);
	uint64_t bytes = length;
	struct spot at;

	if (!room_for_one(lane, &s))
		return output_slow(emit, tag, data, (uint32_t)bytes);
	at = spot_of(lane, &s, tpi_meta(tag, (uint32_t)bytes),
		     stamp != OUTPUT_PLAIN);
	prefetch_ahead(at.payload, at.entry);
	TPI_TESTPOINT("output.looked");
	if (tpi_unlikely(cpu_output(lane, s.state, &at, data, bytes, time, size,
				    stamp)))
		return output_slow(emit, tag, data, (uint32_t)bytes);
	TPI_TESTPOINT("output.published");
	return tpi_ring_if_armed(emit, lane);
}

#define DEFINE_OUTPUT_AS(name, size, stamp)                          \
	__attribute__((noinline)) static int name(OUTPUT_PARAMETERS) \
	{                                                            \
		return output_as(OUTPUT_ARGUMENTS, size, stamp);     \
	}
DEFINE_OUTPUT_AS(output_32, OUTPUT_32, OUTPUT_PLAIN)
DEFINE_OUTPUT_AS(output_64, OUTPUT_64, OUTPUT_PLAIN)
DEFINE_OUTPUT_AS(output_long, OUTPUT_LONG, OUTPUT_PLAIN)
DEFINE_OUTPUT_AS(output_32_tsc, OUTPUT_32, OUTPUT_TSC)
DEFINE_OUTPUT_AS(output_64_tsc, OUTPUT_64, OUTPUT_TSC)
DEFINE_OUTPUT_AS(output_long_tsc, OUTPUT_LONG, OUTPUT_TSC)
DEFINE_OUTPUT_AS(output_32_value, OUTPUT_32, OUTPUT_VALUE)
DEFINE_OUTPUT_AS(output_64_value, OUTPUT_64, OUTPUT_VALUE)
DEFINE_OUTPUT_AS(output_long_value, OUTPUT_LONG, OUTPUT_VALUE)

#ifdef TPI_HAVE_WIDE
DEFINE_OUTPUT_AS(output_wide, OUTPUT_WIDE, OUTPUT_PLAIN)
DEFINE_OUTPUT_AS(output_wide_tsc, OUTPUT_WIDE, OUTPUT_TSC)
DEFINE_OUTPUT_AS(output_wide_value, OUTPUT_WIDE, OUTPUT_VALUE)
#define OUTPUT_OVER_64(stamp)                              \
	(emit->wide ? output_wide##stamp(OUTPUT_ARGUMENTS) \
		    : output_long##stamp(OUTPUT_ARGUMENTS))
#else
#define OUTPUT_OVER_64(stamp) output_long##stamp(OUTPUT_ARGUMENTS)
#endif

__attribute__((noinline)) static int output_clocked(OUTPUT_PARAMETERS)
{
	switch (output_size_of(length)) {
	case OUTPUT_32:
		return output_32_value(OUTPUT_ARGUMENTS);
	case OUTPUT_64:
		return output_64_value(OUTPUT_ARGUMENTS);
	default:
		return OUTPUT_OVER_64(_value);
	}
}

__attribute__((noinline)) static int output_stamped(OUTPUT_PARAMETERS)
{
	if (tpi_unlikely(emit->stamp == TAPIO_STAMP_CLOCK))
		return output_clocked(OUTPUT_ARGUMENTS);
	switch (output_size_of(length)) {
	case OUTPUT_32:
		return output_32_tsc(OUTPUT_ARGUMENTS);
	case OUTPUT_64:
		return output_64_tsc(OUTPUT_ARGUMENTS);
	default:
		return OUTPUT_OVER_64(_tsc);
	}
}

static inline __attribute__((always_inline)) int output_on(OUTPUT_PARAMETERS)
{
	if (lane->time)
		return output_stamped(OUTPUT_ARGUMENTS);
	if (length > 64)
		return OUTPUT_OVER_64();
	if (tpi_unlikely(length < 32))
		return output_32(OUTPUT_ARGUMENTS);
	return output_64(OUTPUT_ARGUMENTS);
}

/* Of a class that the tag names, or not of the smallest. */
__attribute__((noinline)) static int output_classed(const struct tpi_emit *emit,
						    uint32_t tag,
						    const void *data,
						    uint32_t length)
{
	const struct tpi_size *size = tpi_size_of(emit, tag, length, true);
	const struct tpi_lane *lane;

	if (tpi_unlikely(!size))
		return output_slow(emit, tag, data, length);
	lane = tpi_lane_here(emit, size);
	if (tpi_unlikely(!lane || !TAPIO_TAG_TYPE(tag)) ||
	    tpi_emit_called(emit))
		return output_slow(emit, tag, data, length);
	return output_on(OUTPUT_ARGUMENTS);
}

/* ---- the usual event -------------------------------------------------------- */

/* The whole call once more, out of registers: the event is not read twice. */
__attribute__((cold, noinline)) static int
output_again(const struct tpi_emit *emit, uint64_t meta, uint64_t length,
	     vec16 x0, vec16 x1, vec16 x2, vec16 x3)
{
	unsigned char event[64];

	memcpy(event, &x0, 16);
	memcpy(event + 16, &x1, 16);
	memcpy(event + length - 32, &x2, 16);
	memcpy(event + length - 16, &x3, 16);
	return output_slow(emit, TPI_META_TAG(meta), event, (uint32_t)length);
}

/*
 * 32 to 64 bytes, of the smallest class. As soon as the event is in vector registers and
 * its tag in `meta`, that is all that is kept of the arguments.
 */
static inline __attribute__((always_inline)) int
output_usual(const struct tpi_emit *emit, uint32_t tag, const void *data,
	     uint32_t length, enum output_stamp stamp)
{
	const struct payload in = payload_64(data, length);
	uint64_t meta = tpi_meta(tag, length);
	const struct tpi_lane *lane = tpi_lane_here(emit, &emit->sizes[0]);
	struct sight s;
	struct spot at;

	if (tpi_unlikely(!lane) || tpi_emit_called(emit))
		goto again;
	s = sight_of(lane);
	if (!room_for_one(lane, &s))
		goto again;
	at = spot_of(lane, &s, meta, stamp != OUTPUT_PLAIN);
	meta = at.desc;
	prefetch_ahead(at.payload, at.entry);
	TPI_TESTPOINT("output.looked");
	if (tpi_unlikely(BY_STAMP(section_output_64, lane, s.state, &at, 0,
				  NULL, length, &in)))
		goto again;
	TPI_TESTPOINT("output.published");
	return tpi_ring_if_armed(emit, lane);
again:
	return output_again(emit, meta, length, in.x[0], in.x[1], in.x[2],
			    in.x[3]);
}

__attribute__((noinline)) static int
output_usual_tsc(const struct tpi_emit *emit, uint32_t tag, const void *data,
		 uint32_t length)
{
	return output_usual(emit, tag, data, length, OUTPUT_TSC);
}

bool tpi_emit_wide(void)
{
#ifdef TPI_HAVE_WIDE
	return tpi_has_wide();
#else
	return false;
#endif
}

int tpi_emit_output(const struct tpi_emit *emit, uint32_t tag, const void *data,
		    uint32_t length)
{
	/* In a forked child both spans are zero. */
	if (tpi_unlikely(tag >> 20 || !TAPIO_TAG_TYPE(tag)))
		return output_classed(emit, tag, data, length);
	if (tpi_likely(length - TPI_USUAL_LEAST < emit->plain_span))
		return output_usual(emit, tag, data, length, OUTPUT_PLAIN);
	if (length - TPI_USUAL_LEAST < emit->tsc_span)
		return output_usual_tsc(emit, tag, data, length);
	return output_classed(emit, tag, data, length);
}

/* ---- reservations ------------------------------------------------------------- */

int tpi_emit_reserve(const struct tpi_emit *emit, uint32_t tag, uint32_t length,
		     struct tapio_reservation *out)
{
	const struct tpi_size *size = tpi_size_of(emit, tag, length, false);
	const struct tpi_lane *lane;
	const unsigned char *payload;
	uint64_t block, ticket;
	struct sight s;

	if (tpi_unlikely(!size || !TAPIO_TAG_TYPE(tag)))
		return reserve_slow(emit, tag, length, out);
	lane = tpi_lane_here(emit, size);
	if (tpi_unlikely(!lane) || tpi_emit_called(emit))
		return reserve_slow(emit, tag, length, out);
	s = sight_of(lane);
	if (tpi_unlikely((s.state & TAPIO_HELD_MASK) > lane->mask >> 1) ||
	    !room_for_one(lane, &s))
		return reserve_slow(emit, tag, length, out);
	block = oldest_block(lane, &s);
	ticket = TAPIO_TICKET(emit->me, tpi_place_taken(lane, s.oldest,
							s.oldest & lane->mask));
	payload = tpi_lane_block(lane, (uint32_t)block);
	prefetch_ahead(payload, &lane->desc[s.oldest & lane->mask]);
	prefetch_more(payload, length);
	TPI_TESTPOINT("reserve.looked");
	if (tpi_unlikely(section_reserve_one(lane, s.state, block, ticket)))
		return reserve_slow(emit, tag, length, out);
	TPI_TESTPOINT("reserve.taken");
	tpi_reservation_fill(emit, out, lane, (uint32_t)block, ticket, tag,
			     length);
	return 0;
}

static inline __attribute__((always_inline)) int
submit_as(const struct tpi_emit *emit, struct tapio_reservation *r,
	  const struct tpi_lane *lane, enum output_stamp stamp)
{
	uint64_t time = stamp == OUTPUT_VALUE ? tpi_clock_ns() : 0;
	uint64_t state = tpi_lane_glance(lane);
	uint64_t index = TAPIO_STATE_TAIL(state) & lane->mask;
	struct spot at = {
		.block = r->block,
		.entry = &lane->desc[index],
		.time = lane->time ? &lane->time[index] : NULL,
		.desc = tpi_meta(r->tag, r->length) | r->block,
	};

	TPI_TESTPOINT("submit.looked");
	/* A lane of which nothing is held has no open ticket, so the section
	 * need not look at that. */
	if (tpi_unlikely(BY_STAMP(section_publish_one, lane, state, &at,
				  tpi_reservation_ticket(emit, r),
				  tpi_place_entered(lane, r->ticket, index),
				  time)))
		return submit_slow(emit, r);
	TPI_TESTPOINT("submit.published");
	r->data = NULL;
	return tpi_ring_if_armed(emit, lane);
}

__attribute__((noinline)) static int submit_tsc(const struct tpi_emit *emit,
						struct tapio_reservation *r,
						const struct tpi_lane *lane)
{
	return submit_as(emit, r, lane, OUTPUT_TSC);
}

__attribute__((noinline)) static int submit_value(const struct tpi_emit *emit,
						  struct tapio_reservation *r,
						  const struct tpi_lane *lane)
{
	return submit_as(emit, r, lane, OUTPUT_VALUE);
}

int tpi_emit_submit(const struct tpi_emit *emit, struct tapio_reservation *r)
{
	const struct tpi_lane *lane = tpi_reservation_lane(emit, r);

	/* Relaxed: the CPU is a guess that the section checks. A side lane's is
	 * none. Nor is that of a lane in memory that the handle has left. */
	if (tpi_unlikely(!lane || !tpi_reservation_fits(lane, r) ||
			 tpi_load_relaxed(&tpi_rseq_area()->cpu_id_start) !=
				 tpi_load_relaxed(&lane->cpu)))
		return submit_slow(emit, r);
	if (!lane->time)
		return submit_as(emit, r, lane, OUTPUT_PLAIN);
	if (tpi_likely(emit->stamp != TAPIO_STAMP_CLOCK))
		return submit_tsc(emit, r, lane);
	return submit_value(emit, r, lane);
}

/* ---- batches ------------------------------------------------------------------ */

/*
 * Two sections. The first takes blocks as a reservation does. The second copies into
 * them and publishes them, if nothing else has happened on the lane (T7 of lane.c).
 *
 *   in the first, before its commit    SIGKILL: tickets of blocks that are in the ring,
 *                                      with the true index (T1)
 *   between, and in the second         SIGKILL: the sweep takes the blocks. An abort, a
 *                                      signal handler that emits, a move: they are ours,
 *                                      and the caller puts them back as held ones
 */
int tpi_emit_run(const struct tpi_emit *emit, const struct tpi_size *size,
		 uint64_t kind, const struct tapio_item *items, uint32_t count,
		 struct tpi_run *run)
{
	const struct tpi_lane *lane = tpi_lane_here(emit, size);
	const uint32_t length = TPI_KIND_LENGTH(kind);
	const uint64_t desc = tpi_meta(TPI_KIND_TAG(kind), length);
	uint32_t index, half, place, i;
	enum output_stamp stamp;
	uint64_t time, *entries, *times;
	struct sight s;

	run->lane = lane;
	if (tpi_unlikely(!lane))
		return 0;
	time = tpi_stamp(emit);
	s = sight_of(lane);
	half = lane->mask >> 1;
	index = (uint32_t)s.oldest & lane->mask;
	/* Up to the end of a half lap, in which places are neighbours. */
	if (count > half + 1 - (index & half))
		count = half + 1 - (index & half);
	if (tpi_unlikely(s.state & TAPIO_HELD_MASK) ||
	    !room_for(lane, &s, count))
		return 0;
	place = tpi_place_taken(lane, s.oldest, index);
	entries = &lane->desc[index];
	times = lane->time ? &lane->time[index] : NULL;
	stamp = stamp_of(lane, time);
	run->ticket = TAPIO_TICKET(emit->me, place);
	/* As prefetch_ahead(), for the next batch. */
	for (i = 0; i < count; i += TAPIO_CACHE_LINE / sizeof(*entries))
		tpi_prefetch_write(entries + count + i);
	TPI_TESTPOINT("run.looked");
	if (tpi_unlikely(section_take_run(
		    lane, s.state, entries, run->blocks,
		    run->ticket | TAPIO_TICKET(0, TAPIO_PLACE_ENTERED), items,
		    kind, count)))
		return 0;
	run->count = count;
	TPI_TESTPOINT("run.taken");
	if (tpi_unlikely(BY_STAMP(section_output_run, lane, s.state + count,
				  s.state + TAPIO_STATE(count, 0), entries,
				  times, run->blocks, items, desc, length,
				  count, time)))
		return TPI_RUN_HELD;
	TPI_TESTPOINT("run.published");
	return (int)count;
}

#endif
