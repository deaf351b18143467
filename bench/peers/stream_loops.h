/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops of a stream peer, made from the few calls that the including file
 * has defined before:
 *
 *	HANDLE                       the type behind the handles it opens
 *	SEND(h, event, bytes)        1: sent and visible; 0: no room now
 *	SEND_BATCH(h, events, bytes, count)
 *	                             how many of them, from the first. They lie
 *	                             `bytes` apart. May be left out.
 *	FETCH(h, bytes)              how many events are there to be read, in the
 *	                             best way the peer has to take many at once
 *	                             (as many as it likes, where it copies at most
 *	                             STREAM_BATCH). 0 when there is none. Where the
 *	                             channel was made for a sleeping consumer it
 *	                             may block.
 *	EVENT(h, i, bytes)           the i-th of these, as const uint64_t *
 *	DONE(h, count, bytes)        all of them were read
 *
 *	STREAM_OWN_SEND              there is no loop_send: the peer has a send of
 *	                             its own
 *
 * Calls that fail return a negative number and have called bench_why(). A peer
 * that nothing can be received from defines no FETCH.
 *
 * It makes loop_send, loop_receive, loop_receive_shared, loop_send_paced and
 * loop_receive_timed, for STREAM_LOOPS in the peer's struct, and loop_open, for
 * STREAM_ENDS there.
 *
 * `bytes` is a constant in each call for the sizes that the questions ask for,
 * so that a copy is a few moves for everybody.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/peers/stream_peer.h"
#include "lib/base/atomic.h"
#include "lib/base/tsc.h"

/*
 * How often a side that found nothing looks away before it looks again. An index
 * that is polled all the time changes hands with every event: streams are two to
 * four times slower then, everybody's. Where latency is asked for it never
 * looks away.
 */
#define STREAM_PAUSES 64

/* Zeroed but for its first member, which points to the channel. */
static inline int loop_open(void *channel, void **handle)
{
	const size_t bytes = (sizeof(HANDLE) + 63) & ~(size_t)63;
	void **end = aligned_alloc(64, bytes);

	*handle = end;
	if (!end) {
		bench_why("no memory");
		return -1;
	}
	memset(end, 0, bytes);
	*end = channel;
	return 0;
}
/* For ends whose first member is that. */
#define STREAM_ENDS \
	.open_producer = loop_open, .open_consumer = loop_open, .close = free

/* `loop` with `bytes` as a constant. The rest of its arguments follow. */
#define STREAM_BY_BYTES(loop, handle, spec, ...)                       \
	((spec)->bytes == 64    ? loop(handle, spec, 64, __VA_ARGS__)  \
	 : (spec)->bytes == 256 ? loop(handle, spec, 256, __VA_ARGS__) \
	 : (spec)->bytes == 1024                                       \
		 ? loop(handle, spec, 1024, __VA_ARGS__)               \
		 : loop(handle, spec, (spec)->bytes, __VA_ARGS__))

STREAM_INLINE void stream_idle(const struct stream_spec *spec)
{
	const int pauses = spec->eager || spec->yields ? 0 : STREAM_PAUSES;

	if (spec->yields)
		sched_yield();
	for (int i = 0; i < pauses; i++)
		tpi_cpu_relax();
}

/* There is no room: makes some, where no other side does. 0, or negative. */
STREAM_INLINE int stream_no_room(HANDLE *h, const struct stream_spec *spec,
				 uint32_t bytes)
{
#ifdef FETCH
	if (!spec->consumers) {
		int n = FETCH(h, bytes);

		if (n > 0)
			DONE(h, n, bytes);
		return n < 0 ? n : 0;
	}
#endif
	(void)h;
	(void)bytes;
	stream_idle(spec);
	return 0;
}

STREAM_INLINE int stream_send_one(HANDLE *h, const struct stream_spec *spec,
				  uint32_t bytes, const uint64_t *event)
{
	int sent;

	while ((sent = SEND(h, event, bytes)) == 0)
		if (stream_no_room(h, spec, bytes))
			return -1;
	return sent < 0 ? -1 : 0;
}

/*
 * The sender's events are there already, but for their sequence. `bytes` apart.
 * They are made so many at a time even if each is sent alone: right after its
 * sequence was stored, copying an event waits for all stores before that one.
 */
static struct stream_event stream_events[STREAM_BATCH];

STREAM_INLINE int stream_make_events(uint32_t bytes, uint64_t from, uint64_t to)
{
	uint64_t *word = stream_events[0].word;
	uint64_t left = to - from;
	int n = left < STREAM_BATCH ? (int)left : STREAM_BATCH;

	for (int i = 0; i < n; i++)
		word[(uint32_t)i * (bytes / 8)] = from + (uint32_t)i;
	return n;
}

STREAM_INLINE int stream_send_each(HANDLE *h, const struct stream_spec *spec,
				   uint32_t bytes, uint64_t from, uint64_t to)
{
	const uint64_t *word = stream_events[0].word;

	while (from < to) {
		int n = stream_make_events(bytes, from, to);

		for (int i = 0; i < n; i++)
			if (stream_send_one(h, spec, bytes,
					    word + (uint32_t)i * (bytes / 8)))
				return -1;
		from += (uint32_t)n;
	}
	return 0;
}

#ifdef SEND_BATCH
STREAM_INLINE int stream_send_batches(HANDLE *h, const struct stream_spec *spec,
				      uint32_t bytes, uint64_t from,
				      uint64_t to)
{
	const uint64_t *word = stream_events[0].word;

	while (from < to) {
		int n = stream_make_events(bytes, from, to);

		n = SEND_BATCH(h, word, bytes, n);
		if (n < 0 || (n == 0 && stream_no_room(h, spec, bytes)))
			return -1;
		from += (uint32_t)n;
	}
	return 0;
}
#endif

#ifndef STREAM_OWN_SEND
static int loop_send(void *handle, const struct stream_spec *spec,
		     uint64_t from, uint64_t to)
{
	HANDLE *h = handle;

	if (spec->batch == 1)
		return STREAM_BY_BYTES(stream_send_each, h, spec, from, to);
#ifdef SEND_BATCH
	return STREAM_BY_BYTES(stream_send_batches, h, spec, from, to);
#else
	bench_why("it sends no batches");
	return -1;
#endif
}
#endif

static void stream_wait_until(const struct stream_spec *spec, uint64_t due_ns)
{
	struct timespec due = {
		.tv_sec = (time_t)(due_ns / 1000000000),
		.tv_nsec = (long)(due_ns % 1000000000),
	};

	if (spec->paced_sleep)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	else
		while (bench_now_ns() < due_ns)
			;
}

/* A sender that is late catches up: the rate is what is asked for. */
static int loop_send_paced(void *handle, const struct stream_spec *spec,
			   uint64_t from, uint64_t to)
{
	static struct stream_event event;
	uint64_t due_ns = bench_now_ns();
	HANDLE *h = handle;

	while (from < to) {
		due_ns += spec->gap_ns;
		stream_wait_until(spec, due_ns);
		for (uint32_t i = 0; i < spec->burst && from < to; i++) {
			event.word[0] = from++;
			event.word[1] = tpi_tsc();
			if (stream_send_one(h, spec, spec->bytes, event.word))
				return -1;
		}
	}
	return 0;
}

#ifdef FETCH
STREAM_INLINE int stream_wrong(const uint64_t *word, uint64_t expected)
{
	bench_why("event %#llx came where %#llx was due",
		  (unsigned long long)*word, (unsigned long long)expected);
	return -1;
}

static inline bool stream_was_last(const struct stream_spec *spec,
				   uint64_t received)
{
	/* Relaxed: a count, of events that are received or not. 0: not yet. */
	const uint64_t total = tpi_load_relaxed(spec->total);

	return total && total == received;
}

/* From one producer, or `many`. */
STREAM_INLINE int stream_receive(HANDLE *h, const struct stream_spec *spec,
				 uint32_t bytes, uint64_t from, uint64_t to,
				 bool many)
{
	uint64_t next[BENCH_SIDES_MAX], sum = 0;
	const uint64_t all = (to - from) * (many ? spec->producers : 1);
	uint64_t left = all;

	for (uint32_t p = 0; p < (many ? BENCH_SIDES_MAX : 1); p++)
		next[p] = ((uint64_t)p << STREAM_PRODUCER_SHIFT) + from;
	while (left) {
		int n = FETCH(h, bytes);

		if (n < 0)
			return -1;
		if (n == 0 && spec->total && stream_was_last(spec, all - left))
			break;
		if (n == 0)
			stream_idle(spec);
		for (int i = 0; i < n; i++) {
			const uint64_t *word = EVENT(h, i, bytes);
			uint64_t p = many ? *word >> STREAM_PRODUCER_SHIFT : 0;

			if (p >= BENCH_SIDES_MAX)
				return stream_wrong(word, next[0]);
			if (*word != next[p])
				return stream_wrong(word, next[p]);
			next[p]++;
			sum ^= bench_read(word, bytes);
		}
		if (n > 0)
			DONE(h, n, bytes);
		left -= (uint32_t)n;
	}
	if (sum)
		bench_why("an event's words are not what was sent");
	return sum ? -1 : 0;
}

static int loop_receive(void *handle, const struct stream_spec *spec,
			uint64_t from, uint64_t to)
{
	HANDLE *h = handle;

	if (spec->producers > 1)
		return STREAM_BY_BYTES(stream_receive, h, spec, from, to, true);
	return STREAM_BY_BYTES(stream_receive, h, spec, from, to, false);
}

/* Each event once, and what one consumer gets in order. */
STREAM_INLINE int stream_receive_shared(HANDLE *h,
					const struct stream_spec *spec,
					uint32_t bytes,
					struct stream_share *share)
{
	uint64_t count = 0, sum = 0, next = 0;

	/* Relaxed: a flag, and a figure. */
	while (!tpi_load_relaxed(share->stop)) {
		int n = FETCH(h, bytes);

		if (n < 0)
			return -1;
		if (n == 0)
			stream_idle(spec);
		for (int i = 0; i < n; i++) {
			const uint64_t *word = EVENT(h, i, bytes);

			if (*word < next)
				return stream_wrong(word, next);
			next = *word + 1;
			share->sum += *word;
			sum |= bench_read(word, bytes);
		}
		if (n > 0)
			DONE(h, n, bytes);
		count += (uint32_t)n;
		tpi_store_relaxed(share->count, count);
	}
	if (sum)
		bench_why("an event's words are not what was sent");
	return sum ? -1 : 0;
}

static inline int loop_receive_shared(void *handle,
				      const struct stream_spec *spec,
				      struct stream_share *share)
{
	HANDLE *h = handle;

	return STREAM_BY_BYTES(stream_receive_shared, h, spec, share);
}

/* The time since the stamp that was just loaded. */
STREAM_INLINE uint32_t stream_ticks_since(uint64_t stamp)
{
	uint64_t ticks;

	/* Or the clock is read while the stamp is still on its way. */
#if defined(__x86_64__)
	__builtin_ia32_lfence();
#else
	__asm__ __volatile__("isb" ::"r"(stamp) : "memory");
#endif
	ticks = tpi_tsc() - stamp;
	return ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
}

STREAM_INLINE int stream_receive_timed(HANDLE *h,
				       const struct stream_spec *spec,
				       uint32_t bytes, uint64_t from,
				       uint64_t to, uint32_t *ticks)
{
	uint64_t sum = 0;

	while (from < to) {
		int n = FETCH(h, bytes);

		if (n < 0)
			return -1;
		if (n == 0)
			stream_idle(spec);
		for (int i = 0; i < n; i++) {
			const uint64_t *word = EVENT(h, i, bytes);

			*ticks++ = stream_ticks_since(word[1]);
			if (*word != from++)
				return stream_wrong(word, from - 1);
			sum ^= bench_read(word + 1, bytes - 8);
		}
		if (n > 0)
			DONE(h, n, bytes);
	}
	if (sum)
		bench_why("an event's words are not what was sent");
	return sum ? -1 : 0;
}

static int loop_receive_timed(void *handle, const struct stream_spec *spec,
			      uint64_t from, uint64_t to, uint32_t *ticks)
{
	HANDLE *h = handle;

	return STREAM_BY_BYTES(stream_receive_timed, h, spec, from, to, ticks);
}

#define STREAM_LOOPS                                                  \
	.send = loop_send, .send_paced = loop_send_paced,             \
	.receive = loop_receive, .receive_timed = loop_receive_timed, \
	.receive_shared = loop_receive_shared
#else
#define STREAM_LOOPS .send = loop_send, .send_paced = loop_send_paced
#endif
