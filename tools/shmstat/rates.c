/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of the look before lie in one object, by name, so a rate is one look-up. Names of
 * rows that a reset makes another thing have what tells them apart in them: the epoch of the
 * channel, the incarnation of the group. A name that two rows have stands for neither.
 */
#include "tools/shmstat/rates.h"

#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/drops.h"
#include "tools/shmstat/get.h"

#define NAME_BYTES (RATES_KEY + 32)

struct series {
	char name[NAME_BYTES]; /* first: tsearch compares it */
	double points[RATES_POINTS];
	uint32_t next, count;
	uint64_t look; /* the last one that it is of */
};

struct rates {
	json_t *before; /* the look before, or NULL */
	json_t *rows;   /* its rows by name */
	int64_t at_ns;
	uint64_t looks;
	void *series; /* a tree */
};

/* One call of rates_add(). */
struct step {
	struct rates *rates;
	json_t *look;
	json_t *rows;   /* of this look, for the next */
	json_t *epochs; /* of channels by name */
	json_t *changes;
	double seconds; /* 0: nothing to compare with */
};

struct rates *rates_new(void)
{
	return calloc(1, sizeof(struct rates));
}

void rates_free(struct rates *rates)
{
	if (!rates)
		return;
	json_decref(rates->before);
	json_decref(rates->rows);
	tdestroy(rates->series, free);
	free(rates);
}

/* ---- names ------------------------------------------------------------------ */

char *rates_lane_key(const json_t *lane, char key[RATES_KEY])
{
	snprintf(key, RATES_KEY, "lane/%s/%s/%lld", get_text(lane, "channel"),
		 get_text(lane, "class"), get_count(lane, "lane"));
	return key;
}

char *rates_group_key(const json_t *group, char key[RATES_KEY])
{
	snprintf(key, RATES_KEY, "group/%s/%lld/%s", get_text(group, "channel"),
		 get_count(group, "slot"), get_text(group, "group"));
	return key;
}

char *rates_channel_key(const char *channel, char key[RATES_KEY])
{
	snprintf(key, RATES_KEY, "channel/%s", channel);
	return key;
}

/* ---- histories --------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct series *)a)->name,
		      ((const struct series *)b)->name);
}

static struct series *series_find(const struct rates *rates, const char *key,
				  const char *name)
{
	struct series wanted, **found;

	snprintf(wanted.name, sizeof(wanted.name), "%s %s", key, name);
	found = tfind(&wanted, &rates->series, compare);
	return found ? *found : NULL;
}

static struct series *series_make(struct rates *rates, const char *key,
				  const char *name)
{
	struct series *series = series_find(rates, key, name);

	if (series)
		return series;
	series = calloc(1, sizeof(*series));
	if (!series)
		return NULL;
	snprintf(series->name, sizeof(series->name), "%s %s", key, name);
	if (tsearch(series, &rates->series, compare))
		return series;
	free(series);
	return NULL;
}

/* Out of memory there is no history. The look does not need it. */
static void note(struct step *s, const char *key, const char *name, double n)
{
	struct series *series = series_make(s->rates, key, name);

	if (!series || series->look == s->rates->looks)
		return;
	series->points[series->next] = n;
	series->next = (series->next + 1) % RATES_POINTS;
	if (series->count < RATES_POINTS)
		series->count++;
	series->look = s->rates->looks;
}

size_t rates_history(const struct rates *rates, const char *key,
		     const char *name, double *points, size_t most)
{
	const struct series *series = series_find(rates, key, name);
	size_t count;

	if (!series)
		return 0;
	count = series->count < most ? series->count : most;
	for (size_t i = 0; i < count; i++)
		points[i] = series->points[(series->next + RATES_POINTS -
					    count + i) %
					   RATES_POINTS];
	return count;
}

struct old {
	uint64_t look;
	struct series *found;
};

static void find_old(const void *node, VISIT order, void *context)
{
	struct series *series = *(struct series *const *)node;
	struct old *old = context;

	if ((order == postorder || order == leaf) && series->look < old->look)
		old->found = series;
}

/* Rows that are gone for longer than a history is. */
static void forget(struct rates *rates)
{
	struct old old;

	do {
		old = (struct old){.look = rates->looks > RATES_POINTS
						   ? rates->looks - RATES_POINTS
						   : 0};
		twalk_r(rates->series, find_old, &old);
		if (old.found) {
			tdelete(old.found, &rates->series, compare);
			free(old.found);
		}
	} while (old.found);
}

/* ---- rates -------------------------------------------------------------------- */

/* Keeps a row for the next look. A name that two rows have stands for neither. */
static void keep(struct step *s, const char *name, json_t *row)
{
	if (json_object_get(s->rows, name))
		json_object_set_new(s->rows, name, json_null());
	else
		json_object_set(s->rows, name, row);
}

static const json_t *row_before(const struct step *s, const char *name)
{
	return s->seconds > 0 ? json_object_get(s->rates->rows, name) : NULL;
}

static double rate(const struct step *s, const json_t *before,
		   const json_t *row, const char *key)
{
	const json_t *was = json_object_get(before, key);
	const json_t *is = json_object_get(row, key);

	if (!json_is_integer(was) || !json_is_integer(is) ||
	    json_integer_value(is) < json_integer_value(was))
		return (double)NAN;
	/* Of unsigned numbers: the difference of signed ones may overflow. */
	return (double)((uint64_t)json_integer_value(is) -
			(uint64_t)json_integer_value(was)) /
	       s->seconds;
}

static void set_number(json_t *object, const char *key, double n)
{
	json_object_set_new(object, key,
			    isfinite(n) ? json_real(n) : json_null());
}

static void set_count(json_t *object, const char *key, long long n)
{
	json_object_set_new(object, key, n < 0 ? json_null() : json_integer(n));
}

static double add_rate(const struct step *s, const json_t *before, json_t *row,
		       const char *key)
{
	char name[64];
	double n = rate(s, before, row, key);

	snprintf(name, sizeof(name), "%s_per_s", key);
	set_number(row, name, n);
	return n;
}

/* Of each member of an object of counters. */
static json_t *rates_of(const struct step *s, const json_t *before, json_t *now)
{
	json_t *object = json_object(), *value;
	const char *key;

	json_object_foreach(now, key, value)
		set_number(object, key, rate(s, before, now, key));
	return object;
}

/* The sum of those that are known. */
static void add_up(double *sum, double n)
{
	if (isfinite(n))
		*sum = isfinite(*sum) ? *sum + n : n;
}

struct totals {
	double published, delivered, skipped, lost, dropped;
	/* -1: not known */
	long long lag, used, capacity;
	long long not_read; /* groups that lag is without */
};

static const struct totals no_totals = {
	.published = (double)NAN,
	.delivered = (double)NAN,
	.skipped = (double)NAN,
	.lost = (double)NAN,
	.dropped = (double)NAN,
	.lag = -1,
	.used = -1,
	.capacity = -1,
};

/* A count that is the first one, or one more. */
static void count_up(long long *sum, long long n)
{
	*sum = *sum < 0 ? n : get_sum(*sum, n);
}

static long long epoch_of(const struct step *s, const json_t *row)
{
	return get_count(s->epochs, get_text(row, "channel"));
}

static void add_lane(struct step *s, json_t *lane, struct totals *totals)
{
	char key[RATES_KEY], name[NAME_BYTES];
	const json_t *before;
	long long used = get_count(lane, "used");
	long long capacity = get_count(lane, "capacity");
	double published, dropped, fill = 0;

	rates_lane_key(lane, key);
	snprintf(name, sizeof(name), "%s %lld", key, epoch_of(s, lane));
	before = row_before(s, name);
	if (capacity > 0)
		fill = (double)used / (double)capacity;
	set_number(lane, "fill", fill < 0 ? 0 : fill > 1 ? 1 : fill);
	published = add_rate(s, before, lane, "published");
	dropped = rate(s, before, lane, "dropped_total");
	set_number(lane, "dropped_per_s", dropped);
	json_object_set_new(lane, "dropped_by_cause_per_s",
			    rates_of(s, json_object_get(before, "dropped"),
				     json_object_get(lane, "dropped")));
	add_up(&totals->published, published);
	add_up(&totals->dropped, dropped);
	count_up(&totals->used, used);
	count_up(&totals->capacity, capacity);
	note(s, key, "published", published);
	note(s, key, "dropped", dropped);
	note(s, key, "fill", fill);
	keep(s, name, lane);
}

static void add_group(struct step *s, json_t *group, struct totals *totals)
{
	char key[RATES_KEY], name[NAME_BYTES];
	const json_t *before;
	long long lag = get_count(group, "in_flight");
	double delivered, lost;

	rates_group_key(group, key);
	snprintf(name, sizeof(name), "%s %lld %lld", key, epoch_of(s, group),
		 get_count(group, "incarnation"));
	before = row_before(s, name);
	json_object_set(group, "lag", json_object_get(group, "in_flight"));
	delivered = add_rate(s, before, group, "delivered");
	lost = add_rate(s, before, group, "lost");
	add_up(&totals->skipped, add_rate(s, before, group, "skipped"));
	add_rate(s, before, group, "takeovers");
	add_up(&totals->delivered, delivered);
	add_up(&totals->lost, lost);
	if (json_is_integer(json_object_get(group, "in_flight")))
		count_up(&totals->lag, lag);
	totals->not_read += get_true(group, "not_read");
	note(s, key, "delivered", delivered);
	note(s, key, "lost", lost);
	note(s, key, "lag", get_number(group, "in_flight"));
	keep(s, name, group);
}

/* The sums over the lanes of a channel. */
static void add_channel(struct step *s, json_t *channel, const json_t *lanes)
{
	const char *name = get_text(channel, "channel");
	double published = (double)NAN, dropped = (double)NAN;
	long long events = -1, refused = -1;
	char key[RATES_KEY];
	const json_t *lane;
	size_t i;

	json_array_foreach(lanes, i, lane)
	{
		if (strcmp(get_text(lane, "channel"), name) != 0)
			continue;
		count_up(&events, get_count(lane, "published"));
		count_up(&refused, get_count(lane, "dropped_total"));
		add_up(&published, get_number(lane, "published_per_s"));
		add_up(&dropped, get_number(lane, "dropped_per_s"));
	}
	set_count(channel, "published", events);
	set_count(channel, "dropped_total", refused);
	set_number(channel, "published_per_s", published);
	set_number(channel, "dropped_per_s", dropped);
	rates_channel_key(name, key);
	note(s, key, "published", published);
	note(s, key, "dropped", dropped);
}

static void add_totals(struct step *s, const struct totals *t)
{
	json_t *totals = json_object();

	set_number(totals, "published_per_s", t->published);
	set_number(totals, "delivered_per_s", t->delivered);
	set_number(totals, "skipped_per_s", t->skipped);
	set_number(totals, "lost_per_s", t->lost);
	set_number(totals, "dropped_per_s", t->dropped);
	set_count(totals, "lag", t->lag);
	set_count(totals, "groups_not_read", t->not_read);
	set_count(totals, "used", t->used);
	set_count(totals, "capacity", t->capacity);
	json_object_set_new(s->look, "totals", totals);
	note(s, RATES_TOTAL, "published", t->published);
	note(s, RATES_TOTAL, "delivered", t->delivered);
	note(s, RATES_TOTAL, "lost", t->lost);
	note(s, RATES_TOTAL, "dropped", t->dropped);
	note(s, RATES_TOTAL, "lag", get_number(totals, "lag"));
}

/* ---- changes ------------------------------------------------------------------ */

static void change(struct step *s, json_t *text)
{
	json_array_append_new(s->changes, text);
}

/* Whether what was before can be compared with. */
static bool compare_brokers(struct step *s)
{
	const json_t *is = json_object_get(s->look, "broker");
	const json_t *was = json_object_get(s->rates->before, "broker");
	long long restarts;

	if (!s->rates->before)
		return false;
	if (strcmp(get_text(is, "instance"), get_text(was, "instance")) != 0) {
		change(s,
		       json_sprintf("another instance: %.8s, and before %.8s",
				    get_text(is, "instance"),
				    get_text(was, "instance")));
		return false;
	}
	restarts = get_count(is, "restarts");
	if (get_count(is, "pid") != get_count(was, "pid"))
		change(s, json_sprintf("the broker restarted: process %lld has "
				       "taken over from %lld (restarts: %lld)",
				       get_count(is, "pid"),
				       get_count(was, "pid"), restarts));
	if (strcmp(get_text(is, "process"), get_text(was, "process")) != 0)
		change(s, json_sprintf("the broker's process was %s, and is %s",
				       get_text(was, "process"),
				       get_text(is, "process")));
	return true;
}

/* Epochs of this look, and which are not those of the look before. */
static void compare_channels(struct step *s, bool comparable)
{
	const json_t *channel, *was;
	json_t *before = json_object();
	size_t i;

	json_array_foreach(json_object_get(s->rates->before, "channels"), i,
			   channel)
		json_object_set(before, get_text(channel, "channel"),
				json_object_get(channel, "epoch"));
	json_array_foreach(json_object_get(s->look, "channels"), i, channel)
	{
		const char *name = get_text(channel, "channel");

		json_object_set(s->epochs, name,
				json_object_get(channel, "epoch"));
		was = json_object_get(before, name);
		if (comparable && was &&
		    get_count(channel, "epoch") != json_integer_value(was))
			change(s,
			       json_sprintf("channel %s was made anew", name));
	}
	json_decref(before);
}

static void add_parts(struct step *s)
{
	json_t *broker = json_object_get(s->look, "broker");
	json_t *lanes = json_object_get(s->look, "lanes"), *row;
	struct totals totals = no_totals;
	size_t i;

	/* No group is no lag, unless there is one that cannot be seen. */
	if (!json_array_size(json_object_get(s->look, "not_read")))
		totals.lag = 0;
	json_array_foreach(lanes, i, row) add_lane(s, row, &totals);
	json_array_foreach(json_object_get(s->look, "groups"), i, row)
		add_group(s, row, &totals);
	json_array_foreach(json_object_get(s->look, "channels"), i, row)
		add_channel(s, row, lanes);
	add_totals(s, &totals);
	json_object_set_new(s->look, "drops", drops_collect(s->look));
	if (!broker)
		return;
	json_object_set_new(
		broker, "counters_per_s",
		rates_of(s,
			 json_object_get(row_before(s, "broker"), "counters"),
			 json_object_get(broker, "counters")));
	keep(s, "broker", broker);
}

int rates_add(struct rates *rates, json_t *look, int64_t at_ns)
{
	struct step s = {
		.rates = rates,
		.look = look,
		.rows = json_object(),
		.epochs = json_object(),
		.changes = json_array(),
	};
	bool comparable;

	if (!s.rows || !s.epochs || !s.changes) {
		json_decref(s.rows);
		json_decref(s.epochs);
		json_decref(s.changes);
		return -ENOMEM;
	}
	rates->looks++;
	comparable = compare_brokers(&s);
	if (comparable && at_ns > rates->at_ns)
		s.seconds = (double)(at_ns - rates->at_ns) / 1e9;
	compare_channels(&s, comparable);
	set_number(look, "interval_s", s.seconds > 0 ? s.seconds : (double)NAN);
	json_object_set_new(look, "changes", s.changes);
	add_parts(&s);
	json_decref(s.epochs);
	json_decref(rates->rows);
	json_decref(rates->before);
	rates->rows = s.rows;
	rates->before = json_incref(look);
	rates->at_ns = at_ns;
	forget(rates);
	return 0;
}
