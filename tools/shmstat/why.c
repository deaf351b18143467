/* SPDX-License-Identifier: Apache-2.0 */
/* Running the finders, and the rows that they read. See the header. */
#include "tools/shmstat/why.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/parts.h"

/* ---- rows -------------------------------------------------------------------- */

/* More than any count of honest memory. So many of them have a sum. */
#define COUNT_MAX (INT64_C(1) << 46)

json_int_t row_count(const json_t *row, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(row, key));

	return n > COUNT_MAX ? COUNT_MAX : n < -COUNT_MAX ? -COUNT_MAX : n;
}

const char *row_text(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

bool row_is(const json_t *row, const char *key, const char *text)
{
	return !strcmp(row_text(row, key), text);
}

bool row_same(const json_t *a, const json_t *b, const char *key)
{
	return json_equal(json_object_get(a, key), json_object_get(b, key));
}

const json_t *look_rows(const json_t *look, const char *part)
{
	return json_object_get(look, part);
}

const json_t *row_before(const struct why *why, const char *part,
			 const json_t *row, const char *const *keys)
{
	const json_t *rows = look_rows(why->before, part), *other;
	size_t i, k;

	json_array_foreach(rows, i, other)
	{
		for (k = 0; keys[k] && row_same(row, other, keys[k]); k++)
			;
		if (!keys[k])
			return other;
	}
	return NULL;
}

json_int_t row_grown(const json_t *row, const json_t *before, const char *key)
{
	json_int_t grown;

	if (!before)
		return -1;
	grown = row_count(row, key) - row_count(before, key);
	return grown < 0 ? 0 : grown;
}

json_t *count_or_null(json_int_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

double per_second(const struct why *why, json_int_t n)
{
	return why->seconds > 0 ? (double)n / why->seconds : 0;
}

/* ---- findings ------------------------------------------------------------------ */

bool why_concerns(const struct why *why, const json_t *row)
{
	const json_t *group = json_object_get(row, "group");
	const json_t *pid = json_object_get(row, "pid");
	const struct stat_filter *f = why->filter;

	if (f && f->channel && json_object_get(row, "channel") &&
	    fnmatch(f->channel, row_text(row, "channel"), 0))
		return false;
	if (why->group && json_is_string(group) &&
	    strcmp(json_string_value(group), why->group))
		return false;
	return !f || !f->client.set || !json_is_integer(pid) ||
	       (json_integer_value(pid) >= f->client.first &&
		json_integer_value(pid) <= f->client.last);
}

/* Takes the text. */
static json_t *text_of(char *filled)
{
	json_t *string = filled ? json_string(filled) : NULL;

	free(filled);
	return string;
}

static void add(struct why *why, enum cause cause, const char *remedy,
		json_t *numbers)
{
	const struct stat_cause *c = &stat_causes[cause];
	json_t *one = json_object();

	if (why->seconds > 0 && !json_object_get(numbers, "seconds"))
		json_object_set_new(numbers, "seconds",
				    json_real(why->seconds));
	json_object_set_new(one, "cause", json_string(c->id));
	json_object_set_new(one, "severity",
			    json_string(severity_name(c->severity)));
	json_object_set_new(one, "sentence",
			    text_of(cause_fill(c->sentence, numbers)));
	json_object_set_new(one, "remedy",
			    text_of(cause_fill_remedy(remedy, numbers)));
	json_object_set_new(one, "numbers", numbers);
	json_array_append_new(why->found, one);
}

void why_add(struct why *why, enum cause cause, json_t *numbers)
{
	add(why, cause, stat_causes[cause].remedy, numbers);
}

void why_add_other(struct why *why, enum cause cause, json_t *numbers)
{
	add(why, cause, stat_causes[cause].other_remedy, numbers);
}

int why_not_read(const struct why *why)
{
	const json_t *row;
	int status = 0;
	size_t i;

	json_array_foreach(look_rows(why->after, "not_read"), i, row)
	{
		if (!why_concerns(why, row))
			continue;
		tpi_say("channel %s is not shown: %s", row_text(row, "channel"),
			row_text(row, "why"));
		if (json_is_true(json_object_get(row, "denied")))
			status = STAT_EXIT_PERMISSION;
	}
	return status;
}

static size_t rank_of(const json_t *one)
{
	const char *id = row_text(one, "cause");

	for (size_t severity = 0; severity < SEVERITIES; severity++)
		for (size_t i = 0; i < CAUSES; i++)
			if (stat_causes[i].severity == severity &&
			    !strcmp(stat_causes[i].id, id))
				return severity * CAUSES + i;
	return SIZE_MAX;
}

/* In the order of the table; findings of one cause stay as they were found. */
static json_t *sorted(json_t *found)
{
	json_t *list = json_array(), *one;
	size_t i;

	for (size_t rank = 0; rank < (size_t)SEVERITIES * CAUSES; rank++)
		json_array_foreach(found, i, one) if (rank_of(one) == rank)
			json_array_append(list, one);
	json_decref(found);
	return list;
}

json_t *why_find(struct why *why)
{
	json_t *found;

	why->found = json_array();
	if (!why->found)
		return NULL;
	why_broker(why);
	why_channels(why);
	why_lanes(why);
	why_groups(why);
	why_clients(why);
	if (why->inspect)
		why_named(why, why->inspect);
	found = sorted(why->found);
	why->found = NULL;
	return found;
}

/* ---- health -------------------------------------------------------------------- */

static json_t *only_faults(json_t *found)
{
	json_t *list = json_array(), *one;
	size_t i;

	json_array_foreach(found, i, one) if (row_is(one, "severity", "fault"))
		json_array_append(list, one);
	json_decref(found);
	return list;
}

json_t *why_faults(const struct tpi_inspect *inspect, const json_t *look)
{
	json_t *all = parts_complete(inspect, look, WHY_PARTS);
	struct why why = {.after = all};
	json_t *found;

	if (!all)
		return NULL;
	found = why_find(&why);
	json_decref(all);
	return found ? only_faults(found) : NULL;
}
