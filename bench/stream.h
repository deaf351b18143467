/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: events from one process to another through a ring of slots, with a
 * plain store for the payload, one for the tail, and nothing else. No crash
 * safety, no types, no second producer; what a lane costs is measured against it.
 */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stdint.h>

#include "bench/harness.h"
#include "lib/atomic.h"
#include "lib/segment.h"

/* Both floors and lanes are measured with as many blocks of as many bytes. */
#define BENCH_RING_BYTES (1u << 20)

struct floor_ring {
	uint64_t tail;
	uint64_t reserved0[7];
	uint64_t head;
	uint64_t reserved1[7];
	unsigned char slots[];
};

struct floor_stream {
	struct floor_ring *ring;
	uint32_t bytes; /* of one event: 64 or 256 */
	uint64_t events;
};

/* The payload: its first word is the sequence, so that a reader can check. */
union bench_event {
	uint64_t word[32];
	unsigned char bytes[256];
};

/* Reads every word, as a consumer does that has a use for them. */
static inline uint64_t bench_read(const void *data, uint32_t bytes)
{
	const uint64_t *word = data;
	uint64_t sum = 0;

	for (uint32_t i = 1; i < bytes / 8; i++)
		sum ^= word[i];
	return sum;
}

/*
 * A segment as the broker makes them, on the best rung to be had; exits when
 * there is none. It is the benchmark's until its end.
 */
void *bench_memory(struct bench_report *report, uint64_t bytes);

/* Nanoseconds per event from one process to the other; negative: failed. */
double floor_stream_run(const struct bench_options *options,
			struct floor_ring *ring, uint32_t bytes);

/* Nanoseconds per event in one process with nobody reading. */
double floor_store_run(const struct bench_options *options,
		       struct floor_ring *ring, uint32_t bytes);

#endif
