/* SPDX-License-Identifier: Apache-2.0 */
/* Baselines of keys. See the header. */
#include "tools/analyze/change.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct phase {
	double mean;
	double variance;
	uint64_t windows; /* learned from */
};

struct baseline {
	uint64_t seen; /* number of the last window that had the key */
	uint32_t key;
	uint32_t key_length;
	struct phase *phases;
};

struct an_baselines {
	const struct an_spec *spec;
	const struct an_change_spec *change;
	struct an_budget *budget;
	struct baseline *all;
	uint32_t used;
	uint32_t room;
	uint64_t window;
	uint64_t without;
	/* Where a key's baseline is: a table whose counts are index + 1. */
	struct an_table places;
};

struct an_baselines *an_baselines_new(const struct an_spec *spec,
				      const struct an_change_spec *change,
				      struct an_budget *budget)
{
	struct an_baselines *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->spec = spec;
	b->change = change;
	b->budget = budget;
	return b;
}

void an_baselines_free(struct an_baselines *b)
{
	if (!b)
		return;
	for (uint32_t i = 0; i < b->used; i++)
		an_give(b->budget, b->all[i].phases,
			b->change->phases * sizeof(struct phase));
	an_give(b->budget, b->all, b->room * sizeof(*b->all));
	an_table_free(&b->places, b->budget);
	free(b);
}

uint64_t an_baselines_without(const struct an_baselines *b)
{
	return b->without;
}

bool an_figure_of(enum an_figure figure, const struct an_cell *cell,
		  double *value)
{
	*value = 0;
	switch (figure) {
	case AN_FIGURE_COUNT:
		*value = (double)cell->count;
		return true;
	case AN_FIGURE_DISTINCT:
		*value = an_distinct_estimate(&cell->distinct);
		return !(cell->cut & AN_CUT_DISTINCT);
	case AN_FIGURE_MEAN:
		if (cell->valued)
			*value = (double)cell->sum / AN_FRACTION /
				 (double)cell->valued;
		return cell->valued;
	case AN_FIGURE_P99:
		if (!cell->spread.total || cell->negative)
			return false;
		*value = (double)an_spread_quantile(
			&cell->spread, 0.99, 0,
			(uint64_t)(cell->max / AN_FRACTION));
		return !(cell->cut & AN_CUT_SPREAD);
	}
	return false;
}

static struct baseline *more(struct an_baselines *b)
{
	struct baseline *next;

	if (b->used == b->room) {
		uint32_t room = b->room ? 2 * b->room : 16;
		struct baseline *all =
			an_grow(b->budget, b->all, b->room * sizeof(*all),
				room * sizeof(*all));

		if (!all)
			return NULL;
		b->all = all;
		b->room = room;
	}
	next = &b->all[b->used];
	next->phases = an_grow(b->budget, NULL, 0,
			       b->change->phases * sizeof(struct phase));
	if (!next->phases)
		return NULL;
	b->used++;
	return next;
}

static struct baseline *baseline_of(struct an_baselines *b, const char *key,
				    uint32_t length)
{
	struct an_cell *place =
		an_table_cell(&b->places, b->spec, b->budget, key, length);
	struct baseline *baseline;

	if (place && place->count)
		return &b->all[place->count - 1];
	baseline = place ? more(b) : NULL;
	if (!baseline) {
		b->without++;
		return NULL;
	}
	place->count = b->used;
	/* Before the first window it had none of its events. */
	baseline->seen = b->window;
	baseline->key =
		(uint32_t)((const struct an_entry *)((const char *)place -
						     offsetof(struct an_entry,
							      cell)) -
			   b->places.entries);
	baseline->key_length = length;
	return baseline;
}

static double deviation_of(const struct an_baselines *b, const struct phase *p)
{
	double floor = fabs(p->mean) / 100;

	if (b->change->figure == AN_FIGURE_COUNT)
		floor = fmax(1, sqrt(p->mean));
	return fmax(fmax(sqrt(p->variance), floor), 1e-9);
}

static void learn(const struct an_baselines *b, struct phase *p, double value)
{
	const double most = b->change->threshold * deviation_of(b, p);
	/* The first windows have equal weights. */
	const double weight =
		fmax(b->change->alpha, 1.0 / (double)(p->windows + 1));
	double difference = value - p->mean;

	if (p->windows >= b->change->warm_up && fabs(difference) > most)
		difference = copysign(most, difference);
	p->mean += weight * difference;
	p->variance =
		(1 - weight) * (p->variance + weight * difference * difference);
	p->windows++;
}

static void judge(struct an_baselines *b, struct baseline *baseline,
		  const struct an_result *result, double value,
		  an_change_fn *found, void *arg)
{
	const int64_t number = result->end_ns / b->spec->slide_ns;
	struct phase *p = &baseline->phases[number % b->change->phases];
	const struct an_entry *entry = &b->places.entries[baseline->key];
	const struct an_change change = {
		.key = an_table_key(&b->places, entry),
		.key_length = baseline->key_length,
		.value = value,
		.expected = p->mean,
		.score = (value - p->mean) / deviation_of(b, p),
	};

	if (p->windows >= b->change->warm_up &&
	    fabs(change.score) > b->change->threshold)
		found(arg, &change);
	learn(b, p, value);
}

void an_baselines_judge(struct an_baselines *b, const struct an_result *result,
			an_change_fn *found, void *arg)
{
	if (result->notes || result->end_ns < 0)
		return;
	b->window++;
	for (uint32_t i = 0; i < result->table->used; i++) {
		const struct an_entry *e = &result->table->entries[i];
		double value;
		struct baseline *baseline;

		if (!an_figure_of(b->change->figure, &e->cell, &value))
			continue;
		baseline = baseline_of(b, an_table_key(result->table, e),
				       e->key_length);
		if (!baseline)
			continue;
		baseline->seen = b->window;
		judge(b, baseline, result, value, found, arg);
	}
	/* Of a key without events the count is known: none. */
	for (uint32_t i = 0;
	     b->change->figure == AN_FIGURE_COUNT && i < b->used; i++)
		if (b->all[i].seen != b->window)
			judge(b, &b->all[i], result, 0, found, arg);
}
