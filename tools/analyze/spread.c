/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms whose memory grows with what is in them. See the header. */
#include "tools/analyze/spread.h"

#include "lib/lane/histogram.h"

_Static_assert(TAPIO_HISTOGRAM_BUCKETS % AN_CHUNK_BUCKETS == 0, "whole chunks");

static struct an_chunk *chunk_of(const struct an_spread *s, uint32_t number)
{
	return s->place && s->place[number] ? &s->chunks[s->place[number] - 1]
					    : NULL;
}

static struct an_chunk *new_chunk(struct an_spread *s, struct an_budget *budget,
				  uint32_t number)
{
	if (!s->place) {
		s->place =
			an_grow(budget, NULL, 0, AN_CHUNKS * sizeof(*s->place));
		if (!s->place)
			return NULL;
	}
	if (s->used == s->room) {
		uint32_t room = s->room ? 2u * s->room : 2u;
		struct an_chunk *chunks =
			an_grow(budget, s->chunks, s->room * sizeof(*chunks),
				room * sizeof(*chunks));

		if (!chunks)
			return NULL;
		s->chunks = chunks;
		s->room = (uint16_t)room;
	}
	s->place[number] = ++s->used;
	return &s->chunks[s->used - 1];
}

bool an_spread_add(struct an_spread *s, struct an_budget *budget,
		   uint32_t bucket, uint64_t count)
{
	const uint32_t number = bucket / AN_CHUNK_BUCKETS;
	struct an_chunk *chunk = chunk_of(s, number);

	if (!chunk)
		chunk = new_chunk(s, budget, number);
	if (!chunk)
		return false;
	chunk->bucket[bucket % AN_CHUNK_BUCKETS] += count;
	s->total += count;
	return true;
}

bool an_spread_merge(struct an_spread *to, struct an_budget *budget,
		     const struct an_spread *from)
{
	for (uint32_t number = 0; from->place && number < AN_CHUNKS; number++) {
		const struct an_chunk *chunk = chunk_of(from, number);

		for (uint32_t i = 0; chunk && i < AN_CHUNK_BUCKETS; i++)
			if (chunk->bucket[i] &&
			    !an_spread_add(to, budget,
					   number * AN_CHUNK_BUCKETS + i,
					   chunk->bucket[i]))
				return false;
	}
	return true;
}

uint64_t an_spread_bucket(const struct an_spread *s, uint32_t bucket)
{
	const struct an_chunk *chunk = chunk_of(s, bucket / AN_CHUNK_BUCKETS);

	return chunk ? chunk->bucket[bucket % AN_CHUNK_BUCKETS] : 0;
}

/* The bucket in which the sum reaches what is wanted. The last one if none does. */
static uint32_t bucket_at(const struct an_spread *s, double wanted,
			  uint64_t below)
{
	uint64_t sum = below;

	for (uint32_t number = 0; s->place && number < AN_CHUNKS; number++) {
		const struct an_chunk *chunk = chunk_of(s, number);

		for (uint32_t i = 0; chunk && i < AN_CHUNK_BUCKETS; i++) {
			sum += chunk->bucket[i];
			if (chunk->bucket[i] && (double)sum >= wanted)
				return number * AN_CHUNK_BUCKETS + i;
		}
	}
	return TAPIO_HISTOGRAM_BUCKETS - 1;
}

uint64_t an_spread_quantile(const struct an_spread *s, double fraction,
			    uint64_t below, uint64_t max)
{
	uint32_t bucket;
	uint64_t value;

	if (!s->total)
		return 0;
	bucket = bucket_at(s, fraction * (double)(s->total + below), below);
	value = tpi_histogram_value(bucket);
	/* The last bucket has no upper end. */
	return bucket == TAPIO_HISTOGRAM_BUCKETS - 1 || value > max ? max
								    : value;
}

void an_spread_free(struct an_spread *s, struct an_budget *budget)
{
	an_give(budget, s->place, AN_CHUNKS * sizeof(*s->place));
	an_give(budget, s->chunks, s->room * sizeof(*s->chunks));
	*s = (struct an_spread){0};
}
