/* SPDX-License-Identifier: Apache-2.0 */
/* See drops.h. Called by rates_add(). */
#include "tools/shmstat/drops.h"

#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/get.h"

static const struct {
	const char *cause, *says;
} causes[] = {
	{"full", "a group has not read its events yet"},
	{"held", "producers reserve too many blocks"},
	{"size", "larger than the largest block"},
	{"timeout", "no room within the time to wait"},
	{"no_lane", "no side lane was left"},
};

static const char *says(const char *cause)
{
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		if (!strcmp(cause, causes[i].cause))
			return causes[i].says;
	return "a cause that this version does not know";
}

/* Whether a group that is behind is the cause. */
static bool is_for_a_group(const char *cause)
{
	return !strcmp(cause, "full") || !strcmp(cause, "timeout");
}

/* The row of a class and a cause, made if it is not there. */
static json_t *find(json_t *drops, const json_t *lane, const char *cause)
{
	json_t *row;
	size_t i;

	json_array_foreach(drops, i, row)
	{
		if (!strcmp(get_text(row, "cause"), cause) &&
		    !strcmp(get_text(row, "class"), get_text(lane, "class")) &&
		    !strcmp(get_text(row, "channel"),
			    get_text(lane, "channel")))
			return row;
	}
	row = json_object();
	json_object_set(row, "channel", json_object_get(lane, "channel"));
	json_object_set(row, "class", json_object_get(lane, "class"));
	json_object_set_new(row, "cause", json_string(cause));
	json_object_set_new(row, "says", json_string(says(cause)));
	json_object_set_new(row, "dropped_per_s", json_null());
	json_object_set_new(row, "group", json_null());
	json_object_set_new(row, "unread", json_null());
	json_object_set_new(row, "peak", json_null());
	json_array_append_new(drops, row);
	return row;
}

static void count(json_t *row, const char *key, long long n)
{
	json_object_set_new(row, key,
			    json_integer(get_sum(get_count(row, key), n)));
}

/* The name of a ledger's lane, or of its slot, in the objects below. */
static const char *name_it(const json_t *row, const char *key, char name[160])
{
	snprintf(name, 160, "%lld %.120s", get_count(row, key),
		 get_text(row, "channel"));
	return name;
}

/* The slots whose groups producers must heed. */
static json_t *heeded_slots(const json_t *look)
{
	json_t *slots = json_object();
	const json_t *group;
	char name[160];
	size_t i;

	json_array_foreach(json_object_get(look, "groups"), i, group)
	{
		if (strcmp(get_text(group, "in_force"), "lossy") != 0)
			json_object_set_new(slots, name_it(group, "slot", name),
					    json_true());
	}
	return slots;
}

/* Of each lane the ledger of such a group with the largest number under this key. */
static json_t *worst_ledgers(const json_t *look, const json_t *slots,
			     const char *key)
{
	json_t *worst = json_object(), *ledger;
	char name[160];
	size_t i;

	json_array_foreach(json_object_get(look, "ledger"), i, ledger)
	{
		if (!json_object_get(slots, name_it(ledger, "slot", name)))
			continue;
		name_it(ledger, "lane", name);
		if (get_count(ledger, key) >
		    get_count(json_object_get(worst, name), key))
			json_object_set(worst, name, ledger);
	}
	return worst;
}

struct blame {
	json_t *now;  /* by lane: the group that has the most unread events */
	json_t *ever; /* and the one that had */
};

/* Names the group that is behind on this lane, if that is worse than what the row has. */
static void put_blame(json_t *row, const struct blame *blame,
		      const json_t *lane)
{
	char name[160];
	const json_t *now =
		json_object_get(blame->now, name_it(lane, "lane", name));
	const json_t *ever = json_object_get(blame->ever, name);
	bool is_now = get_count(row, "unread") > 0;

	if (get_count(now, "in_flight") > get_count(row, "unread")) {
		json_object_set(row, "group", json_object_get(now, "group"));
		json_object_set(row, "unread",
				json_object_get(now, "in_flight"));
		json_object_set_new(row, "peak", json_null());
	} else if (!is_now &&
		   get_count(ever, "high_water") > get_count(row, "peak")) {
		/* A look may come when it has just read all. */
		json_object_set(row, "group", json_object_get(ever, "group"));
		json_object_set(row, "peak",
				json_object_get(ever, "high_water"));
	}
}

static void add(json_t *drops, const struct blame *blame, const json_t *lane,
		const char *cause, const json_t *dropped)
{
	double rate = get_number(
		json_object_get(lane, "dropped_by_cause_per_s"), cause);
	json_t *row;
	double sum;

	if (json_integer_value(dropped) <= 0)
		return;
	row = find(drops, lane, cause);
	count(row, "lanes", 1);
	count(row, "dropped", json_integer_value(dropped));
	if (isfinite(rate)) {
		sum = get_number(row, "dropped_per_s");
		json_object_set_new(
			row, "dropped_per_s",
			json_real(isfinite(sum) ? sum + rate : rate));
	}
	if (is_for_a_group(cause))
		put_blame(row, blame, lane);
}

static int compare(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	double p = get_number(x, "dropped_per_s");
	double q = get_number(y, "dropped_per_s");

	p = isfinite(p) ? p : 0;
	q = isfinite(q) ? q : 0;
	if (p != q)
		return p < q ? 1 : -1;
	if (get_count(x, "dropped") != get_count(y, "dropped"))
		return get_count(x, "dropped") < get_count(y, "dropped") ? 1
									 : -1;
	return 0;
}

static json_t *sorted(json_t *rows)
{
	size_t n = json_array_size(rows);
	json_t **all = calloc(n + 1, sizeof(json_t *)), *array = json_array();

	if (!all || !array) {
		free(all);
		json_decref(array);
		return rows;
	}
	for (size_t i = 0; i < n; i++)
		all[i] = json_array_get(rows, i);
	qsort(all, n, sizeof(json_t *), compare);
	for (size_t i = 0; i < n; i++)
		json_array_append(array, all[i]);
	free(all);
	json_decref(rows);
	return array;
}

json_t *drops_collect(const json_t *look)
{
	json_t *drops = json_array(), *slots = heeded_slots(look), *value;
	struct blame blame = {
		.now = worst_ledgers(look, slots, "in_flight"),
		.ever = worst_ledgers(look, slots, "high_water"),
	};
	const json_t *lane;
	const char *cause;
	size_t i;

	json_array_foreach(json_object_get(look, "lanes"), i, lane)
	{
		json_object_foreach(json_object_get(lane, "dropped"), cause,
				    value)
			add(drops, &blame, lane, cause, value);
	}
	json_decref(blame.now);
	json_decref(blame.ever);
	json_decref(slots);
	return sorted(drops);
}
