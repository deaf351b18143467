/* SPDX-License-Identifier: Apache-2.0 */
/* See stream.h. */
#include "bench/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * How long a reader that found nothing looks away: a tail that is polled all the
 * time changes hands with every event, and the stream is 1.5 times slower.
 */
#define FLOOR_PAUSES 64

void *bench_memory(struct bench_report *report, uint64_t bytes)
{
	struct tpi_segment segment;
	struct tpi_segment_request request = {
		.name = "bench",
		.bytes = bytes,
		.node = -1,
		.first_rung = TAPIO_RUNG_HUGETLB,
	};
	char error[256] = "";

	if (tpi_segment_create(&segment, &request, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
	report->bytes = segment.report.length_bytes;
	report->huge_bytes = segment.report.huge_bytes;
	return segment.map.base;
}

/* The size is a constant in each caller, so the copy is a few moves. */
static inline __attribute__((always_inline)) void
produce(const struct floor_stream *s, uint32_t bytes)
{
	struct floor_ring *ring = s->ring;
	const uint64_t slots = BENCH_RING_BYTES / bytes;
	union bench_event event = {.word = {0}};
	uint64_t head = 0;

	for (uint64_t i = 0; i < s->events; i++) {
		while (i - head == slots)
			/* ORDER bench.head (acquire): the slot was read.
			 * Pairs with the release in consume(). */
			head = tpi_load_acquire(&ring->head);
		event.word[0] = i;
		memcpy(&ring->slots[i % slots * bytes], &event, bytes);
		/* ORDER bench.tail (release): the payload. Pairs with the
		 * acquire in consume(). */
		tpi_store_release(&ring->tail, i + 1);
	}
}

static inline __attribute__((always_inline)) int
consume(const struct floor_stream *s, uint32_t bytes)
{
	struct floor_ring *ring = s->ring;
	const uint64_t slots = BENCH_RING_BYTES / bytes;
	uint64_t head = 0, sum = 0;

	while (head < s->events) {
		/* ORDER bench.tail (acquire): the payload. Pairs with the
		 * release in produce(). */
		uint64_t tail = tpi_load_acquire(&ring->tail);

		if (tail == head) {
			for (int i = 0; i < FLOOR_PAUSES; i++)
				tpi_cpu_relax();
			continue;
		}
		for (; head < tail; head++) {
			const void *slot = &ring->slots[head % slots * bytes];

			if (*(const uint64_t *)slot != head)
				return -1;
			sum ^= bench_read(slot, bytes);
		}
		/* ORDER bench.head (release): done with the slots. Pairs with
		 * the acquire in produce(). */
		tpi_store_release(&ring->head, head);
	}
	return sum ? -1 : 0; /* all words but the first are zero */
}

/* A forked process has the mapping but not its pages: not while the clock runs. */
static void touch(const struct floor_stream *s)
{
	madvise(s->ring, sizeof(*s->ring) + BENCH_RING_BYTES,
		MADV_POPULATE_WRITE);
}

static int producer(void *arg, struct bench_pair *pair)
{
	const struct floor_stream *s = arg;

	touch(s);
	bench_ready(pair);
	pair->start_ns = bench_now_ns();
	if (s->bytes == 64)
		produce(s, 64);
	else
		produce(s, 256);
	return 0;
}

static int consumer(void *arg, struct bench_pair *pair)
{
	const struct floor_stream *s = arg;
	int err;

	touch(s);
	bench_ready(pair);
	err = s->bytes == 64 ? consume(s, 64) : consume(s, 256);
	pair->end_ns = bench_now_ns();
	if (err)
		fprintf(stderr, "the floor delivered what was not sent\n");
	return err;
}

double floor_stream_run(const struct bench_options *options,
			struct floor_ring *ring, uint32_t bytes)
{
	struct floor_stream s = {
		.ring = ring,
		.bytes = bytes,
		.events = options->events,
	};

	ring->tail = ring->head = 0;
	return bench_pair_run(options, producer, consumer, &s) /
	       (double)options->events;
}

static int alone(void *arg, struct bench_pair *pair)
{
	struct floor_stream *s = arg;

	/* Everything was read already. */
	s->ring->head = s->events;
	producer(s, pair);
	pair->end_ns = bench_now_ns();
	return 0;
}

double floor_store_run(const struct bench_options *options,
		       struct floor_ring *ring, uint32_t bytes)
{
	struct floor_stream s = {
		.ring = ring,
		.bytes = bytes,
		.events = options->events,
	};

	return bench_pair_run(options, alone, NULL, &s) /
	       (double)options->events;
}
