/* SPDX-License-Identifier: Apache-2.0 */
/* Cells by key. See the header. */
#include "tools/analyze/table.h"

#include <string.h>

#include "lib/lane/histogram.h"

static uint64_t table_seed;

void an_table_seed(uint64_t seed)
{
	table_seed = seed;
}

uint64_t an_top_hash(const void *bytes, uint32_t length)
{
	return an_hash(bytes, length, table_seed);
}

const char *an_table_key(const struct an_table *t, const struct an_entry *entry)
{
	return t->keys + entry->key;
}

/* ---- cells ----------------------------------------------------------------- */

static void add_value(struct an_cell *cell, struct an_budget *budget,
		      __int128 value)
{
	uint64_t whole;

	cell->min = cell->valued && cell->min < value ? cell->min : value;
	cell->max = cell->valued && cell->max > value ? cell->max : value;
	cell->sum += value;
	cell->valued++;
	if (value < 0) {
		cell->negative++;
		return;
	}
	whole = (uint64_t)(value / AN_FRACTION);
	if (!an_spread_add(&cell->spread, budget, tpi_histogram_bucket(whole),
			   1))
		cell->cut |= AN_CUT_SPREAD;
}

static void cell_add(struct an_cell *cell, const struct an_spec *spec,
		     struct an_budget *budget, const struct an_sample *sample)
{
	cell->count++;
	if (sample->has_value)
		add_value(cell, budget, sample->value);
	if (sample->distinct_length &&
	    !an_distinct_add(&cell->distinct, budget, (uint8_t)spec->precision,
			     sample->distinct_hash))
		cell->cut |= AN_CUT_DISTINCT;
	if (sample->top_length &&
	    !an_heavy_add(&cell->top, budget, spec->counters,
			  an_top_hash(sample->top, sample->top_length),
			  sample->top, sample->top_length, 1, 0))
		cell->cut |= AN_CUT_TOP;
}

void an_cell_merge(struct an_cell *to, const struct an_spec *spec,
		   struct an_budget *budget, const struct an_cell *from)
{
	if (from->valued) {
		const bool first = !to->valued;

		to->min = first || from->min < to->min ? from->min : to->min;
		to->max = first || from->max > to->max ? from->max : to->max;
	}
	to->count += from->count;
	to->valued += from->valued;
	to->negative += from->negative;
	to->sum += from->sum;
	to->cut |= from->cut;
	if (!an_spread_merge(&to->spread, budget, &from->spread))
		to->cut |= AN_CUT_SPREAD;
	if (!an_distinct_merge(&to->distinct, budget, &from->distinct))
		to->cut |= AN_CUT_DISTINCT;
	if (!an_heavy_merge(&to->top, budget, spec->counters, &from->top))
		to->cut |= AN_CUT_TOP;
}

void an_cell_free(struct an_cell *cell, struct an_budget *budget)
{
	an_spread_free(&cell->spread, budget);
	an_distinct_free(&cell->distinct, budget);
	an_heavy_free(&cell->top, budget);
}

/* ---- keys ------------------------------------------------------------------ */

static uint32_t slot_of(const struct an_table *t, uint64_t hash,
			const char *key, uint32_t length)
{
	const uint32_t mask = 2 * t->room - 1;
	uint32_t slot = (uint32_t)hash & mask;

	for (; t->slots[slot]; slot = (slot + 1) & mask) {
		const struct an_entry *e = &t->entries[t->slots[slot] - 1];

		if (e->hash == hash && e->key_length == length &&
		    (!length || !memcmp(an_table_key(t, e), key, length)))
			break;
	}
	return slot;
}

static bool more_entries(struct an_table *t, struct an_budget *budget)
{
	const uint32_t room = t->room ? 2 * t->room : 4;
	uint32_t *slots =
		an_grow(budget, NULL, 0, 2 * (size_t)room * sizeof(*slots));
	struct an_entry *entries;

	if (!slots)
		return false;
	entries = an_grow(budget, t->entries, t->room * sizeof(*entries),
			  room * sizeof(*entries));
	if (!entries) {
		an_give(budget, slots, 2 * (size_t)room * sizeof(*slots));
		return false;
	}
	an_give(budget, t->slots, 2 * (size_t)t->room * sizeof(*slots));
	t->entries = entries;
	t->slots = slots;
	t->room = room;
	for (uint32_t i = 0; i < t->used; i++)
		slots[slot_of(t, entries[i].hash, an_table_key(t, &entries[i]),
			      entries[i].key_length)] = i + 1;
	return true;
}

static bool more_keys(struct an_table *t, struct an_budget *budget,
		      uint32_t length)
{
	uint32_t room = t->keys_room ? t->keys_room : 64;
	char *keys;

	while (room - t->keys_used < length)
		room *= 2;
	if (room == t->keys_room)
		return true;
	keys = an_grow(budget, t->keys, t->keys_room, room);
	if (!keys)
		return false;
	t->keys = keys;
	t->keys_room = room;
	return true;
}

struct an_cell *an_table_cell(struct an_table *t, const struct an_spec *spec,
			      struct an_budget *budget, const char *key,
			      uint32_t length)
{
	const uint64_t hash = an_hash(key, length, table_seed);
	struct an_entry *e;
	uint32_t slot = 0;

	if (t->room) {
		slot = slot_of(t, hash, key, length);
		if (t->slots[slot])
			return &t->entries[t->slots[slot] - 1].cell;
	}
	if (t->used >= spec->keys_max || !more_keys(t, budget, length) ||
	    (t->used == t->room && !more_entries(t, budget)))
		return NULL;
	slot = slot_of(t, hash, key, length);
	e = &t->entries[t->used];
	t->slots[slot] = ++t->used;
	e->hash = hash;
	e->key = t->keys_used;
	e->key_length = length;
	if (length)
		memcpy(t->keys + t->keys_used, key, length);
	t->keys_used += length;
	return &e->cell;
}

struct an_cell *an_table_other(struct an_table *t, struct an_budget *budget,
			       const char *key, uint32_t length)
{
	t->has_other = true;
	an_distinct_add(&t->other_keys, budget, AN_PRECISION_DEFAULT,
			an_hash(key, length, 0));
	return &t->other;
}

void an_table_add(struct an_table *t, const struct an_spec *spec,
		  struct an_budget *budget, const struct an_sample *sample)
{
	struct an_cell *cell =
		an_table_cell(t, spec, budget, sample->key, sample->key_length);

	if (!cell)
		cell = an_table_other(t, budget, sample->key,
				      sample->key_length);
	cell_add(cell, spec, budget, sample);
}

/* ---- tables ---------------------------------------------------------------- */

void an_table_merge(struct an_table *to, const struct an_spec *spec,
		    struct an_budget *budget, const struct an_table *from)
{
	for (uint32_t i = 0; i < from->used; i++) {
		const struct an_entry *e = &from->entries[i];
		const char *key = an_table_key(from, e);
		struct an_cell *cell =
			an_table_cell(to, spec, budget, key, e->key_length);

		if (!cell)
			cell = an_table_other(to, budget, key, e->key_length);
		an_cell_merge(cell, spec, budget, &e->cell);
	}
	if (!from->has_other)
		return;
	to->has_other = true;
	an_distinct_merge(&to->other_keys, budget, &from->other_keys);
	an_cell_merge(&to->other, spec, budget, &from->other);
}

void an_table_free(struct an_table *t, struct an_budget *budget)
{
	for (uint32_t i = 0; i < t->used; i++)
		an_cell_free(&t->entries[i].cell, budget);
	an_cell_free(&t->other, budget);
	an_distinct_free(&t->other_keys, budget);
	an_give(budget, t->entries, t->room * sizeof(*t->entries));
	an_give(budget, t->slots, 2 * (size_t)t->room * sizeof(*t->slots));
	an_give(budget, t->keys, t->keys_room);
	*t = (struct an_table){0};
}

uint64_t an_table_events(const struct an_table *t)
{
	uint64_t events = t->other.count;

	for (uint32_t i = 0; i < t->used; i++)
		events += t->entries[i].cell.count;
	return events;
}
