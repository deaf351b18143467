/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast paths of a producer, as emit.h promises them. Included by lane.c alone,
 * since they end in its sections.
 *
 * Where tapio_output is: declared in tapio/producer.h, entered in
 * client/producer/producer.c, fast path in lib/lane/emit_fast.h (compiled by
 * lib/lane/lane.c), slow path in client/producer/output.c.
 *
 * Their cost is counted in instructions and in stores (bench/instructions): a
 * lane takes an event every few nanoseconds, and a register that a function
 * saves is a store, too. So each kind of output is a function of its own with
 * few values alive, reached by a jump and not by a call. Rare cases leave by a
 * jump likewise.
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

/* Whether the gate, as it stands, lets one block be taken. */
static inline bool room_for_one(const struct sight *s)
{
	/* gate > reap = oldest - N */
	return tpi_likely(tapio_position_diff(s->gate + s->mask, s->oldest) >=
			  0);
}

/*
 * Asks for the lines of the block that will be taken some events from now: by then
 * they are ours again, and the stores into it do not wait for a consumer's cache.
 * 12 lines ahead hide one transfer. Blocks lie in the ring in their order in memory
 * unless reservations have mixed them up. A wrong guess costs nothing but the hint.
 */
static inline __attribute__((always_inline)) void
prefetch_ahead(const unsigned char *block, uint64_t length,
	       enum output_size size)
{
	const unsigned char *ahead = block + 12 * TAPIO_CACHE_LINE;

	tpi_prefetch_write(ahead);
	if (size != OUTPUT_LONG)
		return;
	tpi_prefetch_write(ahead + 64);
	if (length > 128) {
		tpi_prefetch_write(ahead + 128);
		tpi_prefetch_write(ahead + 192);
	}
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

	if (!room_for_one(&s))
		return output_slow(emit, tag, data, (uint32_t)bytes);
	at = spot_of(lane, &s, tpi_meta(tag, (uint32_t)bytes));
	prefetch_ahead(at.payload, bytes, size);
	TPI_TESTPOINT("output.looked");
	if (tpi_unlikely(cpu_output(lane, s.state, &at, data, bytes, time, size,
				    stamp)))
		return output_slow(emit, tag, data, (uint32_t)bytes);
	TPI_TESTPOINT("output.published");
	tpi_ring_if_armed(emit, lane);
	return 0;
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

__attribute__((noinline)) static int output_clocked(OUTPUT_PARAMETERS)
{
	switch (output_size_of(length)) {
	case OUTPUT_32:
		return output_32_value(OUTPUT_ARGUMENTS);
	case OUTPUT_64:
		return output_64_value(OUTPUT_ARGUMENTS);
	default:
		return output_long_value(OUTPUT_ARGUMENTS);
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
		return output_long_tsc(OUTPUT_ARGUMENTS);
	}
}

static inline __attribute__((always_inline)) int output_on(OUTPUT_PARAMETERS)
{
	if (lane->time)
		return output_stamped(OUTPUT_ARGUMENTS);
	if (length > 64)
		return output_long(OUTPUT_ARGUMENTS);
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
	if (tpi_unlikely(!lane || !TAPIO_TAG_TYPE(tag)))
		return output_slow(emit, tag, data, length);
	return output_on(OUTPUT_ARGUMENTS);
}

int tpi_emit_output(const struct tpi_emit *emit, uint32_t tag, const void *data,
		    uint32_t length)
{
	const struct tpi_lane *lane;

	/* In a forked child plain_bytes is zero, and there is no CPU for that. */
	if (tpi_unlikely(tag >> 20) || length > emit->plain_bytes)
		return output_classed(emit, tag, data, length);
	lane = tpi_lane_here(emit, &emit->sizes[0]);
	if (tpi_unlikely(!lane || !TAPIO_TAG_TYPE(tag)))
		return output_slow(emit, tag, data, length);
	if (tpi_unlikely(length < 32))
		return output_32(OUTPUT_ARGUMENTS);
	return output_as(OUTPUT_ARGUMENTS, OUTPUT_64, OUTPUT_PLAIN);
}

int tpi_emit_reserve(const struct tpi_emit *emit, uint32_t tag, uint32_t length,
		     struct tapio_reservation *out)
{
	const struct tpi_size *size = tpi_size_of(emit, tag, length, false);
	const struct tpi_lane *lane;
	uint64_t block, ticket;
	struct sight s;

	if (tpi_unlikely(!size || !TAPIO_TAG_TYPE(tag)))
		return reserve_slow(emit, tag, length, out);
	lane = tpi_lane_here(emit, size);
	if (tpi_unlikely(!lane))
		return reserve_slow(emit, tag, length, out);
	s = sight_of(lane);
	if (tpi_unlikely((s.state & TAPIO_HELD_MASK) > s.mask >> 1) ||
	    !room_for_one(&s))
		return reserve_slow(emit, tag, length, out);
	block = oldest_block(lane, &s);
	ticket = TAPIO_TICKET(
		emit->me, tpi_place_taken(lane, s.oldest, s.oldest & s.mask));
	TPI_TESTPOINT("reserve.looked");
	if (tpi_unlikely(section_reserve_one(lane, s.state, block, ticket)))
		return reserve_slow(emit, tag, length, out);
	TPI_TESTPOINT("reserve.taken");
	tpi_reservation_fill(out, lane, (uint32_t)block, ticket, tag, length);
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
	tpi_ring_if_armed(emit, lane);
	return 0;
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
	 * none. */
	if (tpi_unlikely(!lane || !tpi_reservation_fits(lane, r) ||
			 tpi_load_relaxed(&tpi_rseq_area()->cpu_id_start) !=
				 lane->cpu))
		return submit_slow(emit, r);
	if (!lane->time)
		return submit_as(emit, r, lane, OUTPUT_PLAIN);
	if (tpi_likely(emit->stamp != TAPIO_STAMP_CLOCK))
		return submit_tsc(emit, r, lane);
	return submit_value(emit, r, lane);
}

#endif
