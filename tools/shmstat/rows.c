/* SPDX-License-Identifier: Apache-2.0 */
/* Filters, order and limit of rows. */
#include "tools/shmstat/rows.h"

#include <fnmatch.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/shmstat/columns.h"
#include "tools/shmstat/named.h"

/* ---- filters --------------------------------------------------------------------------- */

/* Whether one of the names in a row matches one of the globs. */
static bool matches(const json_t *row, const struct stat_globs *globs)
{
	for (size_t i = 0; named_keys[i]; i++) {
		const char *name =
			json_string_value(json_object_get(row, named_keys[i]));

		for (size_t g = 0; name && g < globs->count; g++)
			if (!fnmatch(globs->at[g], name, 0))
				return true;
	}
	return false;
}

/* A row without that key is of no interest to the filter. */
static bool in_range(const json_t *row, const char *key,
		     const struct stat_range *range)
{
	const json_t *value = json_object_get(row, key);

	if (!range->set || !value)
		return true;
	return json_is_integer(value) &&
	       json_integer_value(value) >= range->first &&
	       json_integer_value(value) <= range->last;
}

static bool of_channel(const json_t *row, const char *glob)
{
	const json_t *value = json_object_get(row, "channel");

	return !glob || !value ||
	       (json_is_string(value) &&
		!fnmatch(glob, json_string_value(value), 0));
}

static bool is_zero(const json_t *value)
{
	const json_t *entry;
	const char *key;

	if (json_is_object(value)) {
		json_object_foreach((json_t *)(uintptr_t)value, key, entry)
		{
			if (!is_zero(entry))
				return false;
		}
		return true;
	}
	return !json_is_number(value) || json_number_value(value) == 0;
}

/* All that is counted in a row is 0. One without counts is not. */
static bool all_zero(const json_t *row, const struct column *columns)
{
	bool counts = false;

	for (const struct column *c = columns; c->title; c++) {
		const json_t *value = row_get(row, c->key);

		/* What a thing is, is no count of what happened. */
		if (c->format != COLUMN_COUNT || !strcmp(c->key, "capacity") ||
		    !strcmp(c->key, "lanes") || !strcmp(c->key, "lag_max") ||
		    !strcmp(c->key, "offset_bytes"))
			continue;
		counts = true;
		if (!is_zero(value))
			return false;
	}
	return counts;
}

/* Behind a command words are its own. */
static bool named(const json_t *row, const struct stat_args *args)
{
	const char *name = json_string_value(json_object_get(row, "counter"));

	if (!name || !args->word_count || !(args->parts & PART_COUNTERS))
		return true;
	for (int i = 0; i < args->word_count; i++)
		if (!strcmp(name, args->words[i]))
			return true;
	return false;
}

static bool wanted(const json_t *row, const struct part *part,
		   const struct stat_args *args)
{
	const struct stat_filter *f = &args->filter;

	return (!f->include.count || matches(row, &f->include)) &&
	       !matches(row, &f->exclude) && of_channel(row, f->channel) &&
	       in_range(row, "cpu", &f->cpu) &&
	       in_range(row, "node", &f->node) &&
	       in_range(row, "pid", &f->client) && named(row, args) &&
	       !(f->nonzero && all_zero(row, part->columns));
}

/* ---- order --------------------------------------------------------------------------- */

bool rows_sort_key(uint32_t asked, const char *name, const char **key)
{
	const struct part *part;

	for (size_t i = 0; (part = part_at(i)); i++) {
		if (!(asked & part->bit))
			continue;
		for (const struct column *c = part->columns; c->title; c++)
			if (!strcasecmp(name, c->key) ||
			    !strcasecmp(name, c->title)) {
				*key = c->key;
				return true;
			}
	}
	return false;
}

struct sorted {
	json_t *row;
	const json_t *value;
	size_t at; /* before: equal rows keep their order */
	bool reverse;
};

/* Large numbers first, words by the alphabet, rows without the key last. */
static int compare(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	int order = 0;

	if (json_is_number(x->value) && json_is_number(y->value)) {
		double p = json_number_value(x->value),
		       q = json_number_value(y->value);

		order = (p < q) - (p > q);
	} else if (json_is_string(x->value) && json_is_string(y->value)) {
		order = strcmp(json_string_value(x->value),
			       json_string_value(y->value));
	} else {
		bool p = json_is_number(x->value) || json_is_string(x->value),
		     q = json_is_number(y->value) || json_is_string(y->value);

		if (p != q)
			return q - p;
	}
	if (x->reverse)
		order = -order;
	return order ? order : (x->at > y->at) - (x->at < y->at);
}

static void sort(json_t *rows, const struct stat_filter *filter)
{
	size_t i, count = json_array_size(rows);
	struct sorted *sorted = calloc(count + 1, sizeof(*sorted));
	json_t *row;

	if (!sorted)
		return;
	json_array_foreach(rows, i, row) sorted[i] =
		(struct sorted){json_incref(row), row_get(row, filter->sort), i,
				filter->reverse};
	qsort(sorted, count, sizeof(*sorted), compare);
	json_array_clear(rows);
	for (i = 0; i < count; i++)
		json_array_append_new(rows, sorted[i].row);
	free(sorted);
}

/* How many were taken off. */
static size_t truncate_to(json_t *rows, size_t count)
{
	size_t size = json_array_size(rows), off = 0;

	for (; size > count; size--, off++)
		json_array_remove(rows, size - 1);
	return off;
}

void rows_select(json_t *look, const struct stat_args *args)
{
	const struct part *part;
	json_t *rows, *row;

	for (size_t p = 0; (part = part_at(p)); p++) {
		size_t kept = 0, i;

		rows = json_object_get(look, part->name);
		if (!json_is_array(rows))
			continue;
		json_array_foreach(rows, i, row)
		{
			if (wanted(row, part, args))
				json_array_set(rows, kept++, row);
		}
		truncate_to(rows, kept);
		if (args->filter.sort)
			sort(rows, &args->filter);
		if (args->json && args->filter.limit)
			truncate_to(rows, args->filter.limit);
	}
}

/* ---- tables ------------------------------------------------------------------------------ */

static bool never_used(const json_t *row)
{
	return json_is_true(json_object_get(row, "side")) &&
	       is_zero(json_object_get(row, "dropped")) &&
	       is_zero(json_object_get(row, "held")) &&
	       is_zero(json_object_get(row, "published")) &&
	       !json_array_size(json_object_get(row, "faults"));
}

static json_int_t index_of(const json_t *row)
{
	return json_integer_value(json_object_get(row, "index"));
}

static json_int_t count_of(const json_t *row)
{
	return json_integer_value(json_object_get(row, "count"));
}

/* Segments that differ in their index alone, in a row. */
static bool is_next_of(const json_t *before, const json_t *row)
{
	json_t *a = json_copy((json_t *)(uintptr_t)before),
	       *b = json_copy((json_t *)(uintptr_t)row);
	bool equal;

	json_object_del(a, "indices");
	json_object_del(a, "count");
	json_object_del(a, "index");
	json_object_del(b, "index");
	equal = json_equal(a, b);
	json_decref(a);
	json_decref(b);
	return equal && index_of(row) == index_of(before) + count_of(before);
}

static void fold(json_t *rows, const json_t *row)
{
	size_t size = json_array_size(rows);
	json_t *last = size ? json_array_get(rows, size - 1) : NULL;

	if (last && is_next_of(last, row)) {
		json_object_set_new(last, "count",
				    json_integer(count_of(last) + 1));
		json_object_set_new(last, "indices",
				    json_sprintf("%lld-%lld",
						 (long long)index_of(last),
						 (long long)index_of(row)));
		return;
	}
	last = json_copy((json_t *)(uintptr_t)row);
	json_object_set_new(last, "count", json_integer(1));
	json_object_set_new(last, "indices", json_integer(index_of(row)));
	json_array_append_new(rows, last);
}

json_t *rows_for_text(const json_t *rows, uint32_t part,
		      const struct stat_args *args, struct rows_left_out *left)
{
	json_t *shown = json_array(), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (part == PART_SEGMENTS)
			fold(shown, row);
		else if (part & (PART_LANES | PART_LEDGER) && !args->all &&
			 never_used(row))
			left->unused++;
		else
			json_array_append(shown, row);
	}
	if (args->filter.limit)
		left->beyond = truncate_to(shown, args->filter.limit);
	return shown;
}
