/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events of tapio-load: a header that names the event, and a content that
 * depends on the name, so that a block which mixes two events, even two of the
 * same producer, does not pass.
 */
#ifndef LOAD_EVENT_H
#define LOAD_EVENT_H

#include <stdint.h>
#include <string.h>

#define LOAD_EVENT_TYPE 65001
/* The type that --filter sends, and consumers do not want. */
#define LOAD_CHAFF_TYPE 65002

struct load_event {
	uint64_t hash;    /* of everything behind it, seeded with the run */
	uint64_t id;      /* unique in the run. Rises with each of a producer */
	uint64_t sent_ns; /* CLOCK_MONOTONIC. 0: not stamped */
	uint32_t producer; /* LOAD_PRODUCER(index, incarnation) */
	uint32_t length;   /* bytes, with this header */
};
#define LOAD_EVENT_MIN ((uint32_t)sizeof(struct load_event))

/* Which process sent it: its place among the producers, and the how manieth. */
#define LOAD_PRODUCER(index, incarnation) \
	((uint32_t)(index) | (uint32_t)(incarnation) << 10)
#define LOAD_PRODUCER_INDEX(producer) ((producer)&0x3ffu)
#define LOAD_PLACES_MAX               1023

static inline uint64_t load_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load_word(const unsigned char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* 64 bits over any bytes. Not cryptographic: it is to catch accidents. */
static inline uint64_t load_hash(uint64_t seed, const void *data, size_t length)
{
	const unsigned char *p = data;
	uint64_t h = seed ^ UINT64_C(0x9e3779b97f4a7c15) ^ length;
	unsigned char rest[16] = {0};

	for (; length >= 16; p += 16, length -= 16)
		h = load_mix(load_word(p) ^ h,
			     load_word(p + 8) ^ UINT64_C(0xd6e8feb86659fd93));
	if (length) {
		memcpy(rest, p, length);
		h = load_mix(load_word(rest) ^ h,
			     load_word(rest + 8) ^
				     UINT64_C(0xa5a5b35705f3c4f1));
	}
	return load_mix(h, UINT64_C(0xe7037ed1a0b428db));
}

/* The hash that an event of the run `seed` must carry. */
static inline uint64_t load_event_hash(uint64_t seed, const void *event,
				       uint32_t length)
{
	return load_hash(seed, (const char *)event + sizeof(uint64_t),
			 length - sizeof(uint64_t));
}

/*
 * Fills in an event of `length` bytes whose header but for the hash is set.
 * `pattern` is at least that long and is what makes contents of the run differ
 * from those of another. The id makes them differ from each other.
 */
static inline void load_event_fill(struct load_event *event,
				   const uint64_t *pattern, uint64_t seed)
{
	uint64_t step = (event->id + 1) * UINT64_C(0xff51afd7ed558ccd);
	size_t bytes = event->length - sizeof(*event);
	size_t words = bytes / sizeof(uint64_t);
	unsigned char *p = (unsigned char *)(event + 1);
	uint64_t word;

	for (size_t i = 0; i < words; i++) {
		word = pattern[i] + step;
		memcpy(p + i * sizeof(word), &word, sizeof(word));
	}
	word = pattern[words] + step;
	memcpy(p + words * sizeof(word), &word, bytes % sizeof(word));
	event->hash = load_event_hash(seed, event, event->length);
}

#endif
