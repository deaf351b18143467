/* SPDX-License-Identifier: Apache-2.0 */
/* Space-Saving: counters in a hash table, the smallest at the top of a heap. */
#include "tools/analyze/heavy.h"

#include <stdlib.h>
#include <string.h>

static uint32_t slot_count(const struct an_heavy *h)
{
	return 2u * h->room;
}

/* ---- the heap -------------------------------------------------------------- */

static void heap_put(struct an_heavy *h, uint32_t place, uint16_t counter)
{
	h->heap[place] = counter;
	h->counters[counter].heap = (uint16_t)place;
}

static uint64_t heap_count(const struct an_heavy *h, uint32_t place)
{
	return h->counters[h->heap[place]].count;
}

static void sift_up(struct an_heavy *h, uint32_t place)
{
	const uint16_t counter = h->heap[place];
	const uint64_t count = h->counters[counter].count;

	while (place && heap_count(h, (place - 1) / 2) > count) {
		heap_put(h, place, h->heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	heap_put(h, place, counter);
}

static void sift_down(struct an_heavy *h, uint32_t place)
{
	const uint16_t counter = h->heap[place];
	const uint64_t count = h->counters[counter].count;

	for (;;) {
		uint32_t child = 2 * place + 1;

		if (child + 1 < h->used &&
		    heap_count(h, child + 1) < heap_count(h, child))
			child++;
		if (child >= h->used || heap_count(h, child) >= count)
			break;
		heap_put(h, place, h->heap[child]);
		place = child;
	}
	heap_put(h, place, counter);
}

/* ---- the table ------------------------------------------------------------- */

/* The slot of a value, or the empty one where it belongs. */
static uint32_t slot_of(const struct an_heavy *h, uint64_t hash,
			const void *bytes, uint32_t length)
{
	const uint32_t mask = slot_count(h) - 1;
	uint32_t slot = (uint32_t)hash & mask;

	for (; h->slots[slot]; slot = (slot + 1) & mask) {
		const struct an_counter *c = &h->counters[h->slots[slot] - 1];

		if (c->hash == hash && c->length == length &&
		    !memcmp(c->bytes, bytes, length))
			break;
	}
	return slot;
}

/* Empties a slot and moves those behind it that would not be found any more. */
static void slot_remove(struct an_heavy *h, uint32_t hole)
{
	const uint32_t mask = slot_count(h) - 1;
	uint32_t slot = hole;

	for (;;) {
		uint32_t home;

		slot = (slot + 1) & mask;
		if (!h->slots[slot])
			break;
		home = (uint32_t)h->counters[h->slots[slot] - 1].hash & mask;
		if (((slot - home) & mask) < ((slot - hole) & mask))
			continue;
		h->slots[hole] = h->slots[slot];
		hole = slot;
	}
	h->slots[hole] = 0;
}

static uint32_t room_for(uint32_t used, uint32_t max)
{
	uint32_t room = 8;

	while (room < used || (room < max && room == used))
		room *= 2;
	return room;
}

static bool more_room(struct an_heavy *h, struct an_budget *budget,
		      uint32_t room)
{
	const size_t old = h->room, slots_bytes = 2 * room * sizeof(uint16_t);
	uint16_t *slots = an_grow(budget, NULL, 0, slots_bytes);
	uint16_t *heap = an_grow(budget, NULL, 0, room * sizeof(*heap));
	struct an_counter *counters = NULL;

	if (slots && heap)
		counters = an_grow(budget, h->counters, old * sizeof(*counters),
				   room * sizeof(*counters));
	if (!counters) {
		an_give(budget, slots, slots_bytes);
		an_give(budget, heap, room * sizeof(*heap));
		return false;
	}
	if (old)
		memcpy(heap, h->heap, old * sizeof(*heap));
	an_give(budget, h->heap, old * sizeof(*heap));
	an_give(budget, h->slots, slot_count(h) * sizeof(*slots));
	h->counters = counters;
	h->heap = heap;
	h->slots = slots;
	h->room = (uint16_t)room;
	for (uint32_t i = 0; i < h->used; i++) {
		const struct an_counter *c = &h->counters[i];

		slots[slot_of(h, c->hash, c->bytes, c->length)] =
			(uint16_t)(i + 1);
	}
	return true;
}

/* ---- counting -------------------------------------------------------------- */

static void fill_in(struct an_counter *c, uint64_t hash, const void *bytes,
		    uint32_t length)
{
	c->hash = hash;
	c->length = (uint16_t)length;
	memcpy(c->bytes, bytes, length);
}

/* The value with the smallest count leaves its counter to a new one. */
static struct an_counter *take_smallest(struct an_heavy *h, uint64_t hash,
					const void *bytes, uint32_t length)
{
	struct an_counter *c = &h->counters[h->heap[0]];
	const uint16_t number = (uint16_t)(h->heap[0] + 1);

	slot_remove(h, slot_of(h, c->hash, c->bytes, c->length));
	fill_in(c, hash, bytes, length);
	h->slots[slot_of(h, hash, bytes, length)] = number;
	c->error = c->count;
	return c;
}

bool an_heavy_add(struct an_heavy *h, struct an_budget *budget, uint32_t max,
		  uint64_t hash, const void *bytes, uint32_t length,
		  uint64_t count, uint64_t error)
{
	struct an_counter *c;
	uint32_t slot;

	if (h->used == h->room && h->used < max &&
	    (!h->room || !h->slots[slot_of(h, hash, bytes, length)]) &&
	    !more_room(h, budget, room_for(h->used, max)))
		return false;
	slot = slot_of(h, hash, bytes, length);
	if (h->slots[slot]) {
		c = &h->counters[h->slots[slot] - 1];
	} else if (h->used < max) {
		c = &h->counters[h->used];
		fill_in(c, hash, bytes, length);
		h->slots[slot] = ++h->used;
		heap_put(h, h->used - 1u, (uint16_t)(h->used - 1u));
	} else {
		c = take_smallest(h, hash, bytes, length);
	}
	c->count += count;
	c->error += error;
	h->total += count;
	/* One of the two moves it: a new one goes up, an old one down. */
	sift_up(h, c->heap);
	sift_down(h, c->heap);
	return true;
}

uint64_t an_heavy_floor(const struct an_heavy *h, uint32_t max)
{
	return h->used >= max ? heap_count(h, 0) : 0;
}

const struct an_counter *an_heavy_find(const struct an_heavy *h, uint64_t hash,
				       const void *bytes, uint32_t length)
{
	uint32_t slot;

	if (!h->room)
		return NULL;
	slot = slot_of(h, hash, bytes, length);
	return h->slots[slot] ? &h->counters[h->slots[slot] - 1] : NULL;
}

/* ---- merging --------------------------------------------------------------- */

static int by_count(const void *left, const void *right)
{
	const struct an_counter *a = *(const struct an_counter *const *)left;
	const struct an_counter *b = *(const struct an_counter *const *)right;
	const uint32_t shorter = a->length < b->length ? a->length : b->length;
	int order;

	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	order = memcmp(a->bytes, b->bytes, shorter);
	return order ? order : (int)a->length - (int)b->length;
}

uint32_t an_heavy_top(const struct an_heavy *h, const struct an_counter **top,
		      uint32_t count)
{
	const struct an_counter *all[AN_COUNTERS_MAX];

	for (uint32_t i = 0; i < h->used; i++)
		all[i] = &h->counters[i];
	qsort(all, h->used, sizeof(all[0]), by_count);
	if (count > h->used)
		count = h->used;
	memcpy(top, all, count * sizeof(top[0]));
	return count;
}

/* Of a value that only `from` has, `to` may have missed up to `floor`, and the reverse. */
static uint32_t combine(struct an_counter *all, const struct an_heavy *to,
			const struct an_heavy *from, uint32_t max)
{
	const uint64_t to_floor = an_heavy_floor(to, max);
	const uint64_t from_floor = an_heavy_floor(from, max);
	uint32_t used = 0;

	for (uint32_t i = 0; i < to->used; i++) {
		const struct an_counter *c = &to->counters[i];
		const struct an_counter *other =
			an_heavy_find(from, c->hash, c->bytes, c->length);

		all[used] = *c;
		all[used].count += other ? other->count : from_floor;
		all[used++].error += other ? other->error : from_floor;
	}
	for (uint32_t i = 0; i < from->used; i++) {
		const struct an_counter *c = &from->counters[i];

		if (an_heavy_find(to, c->hash, c->bytes, c->length))
			continue;
		all[used] = *c;
		all[used].count += to_floor;
		all[used++].error += to_floor;
	}
	return used;
}

bool an_heavy_merge(struct an_heavy *to, struct an_budget *budget, uint32_t max,
		    const struct an_heavy *from)
{
	const uint32_t most = (uint32_t)to->used + from->used;
	const size_t bytes = most * (sizeof(struct an_counter) +
				     sizeof(struct an_counter *));
	struct an_counter *all;
	const struct an_counter **order;
	struct an_heavy merged = {0};
	uint32_t used;
	bool ok = true;

	if (!most)
		return true;
	all = an_grow(budget, NULL, 0, bytes);
	if (!all)
		return false;
	order = (const struct an_counter **)(all + most);
	used = combine(all, to, from, max);
	for (uint32_t i = 0; i < used; i++)
		order[i] = &all[i];
	qsort(order, used, sizeof(order[0]), by_count);
	for (uint32_t i = 0; ok && i < used && i < max; i++)
		ok = an_heavy_add(&merged, budget, max, order[i]->hash,
				  order[i]->bytes, order[i]->length,
				  order[i]->count, order[i]->error);
	an_give(budget, all, bytes);
	if (!ok) {
		an_heavy_free(&merged, budget);
		return false;
	}
	merged.total = to->total + from->total;
	an_heavy_free(to, budget);
	*to = merged;
	return true;
}

void an_heavy_free(struct an_heavy *h, struct an_budget *budget)
{
	an_give(budget, h->counters, h->room * sizeof(*h->counters));
	an_give(budget, h->heap, h->room * sizeof(*h->heap));
	an_give(budget, h->slots, slot_count(h) * sizeof(*h->slots));
	*h = (struct an_heavy){0};
}
