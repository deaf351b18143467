/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table has every metric: its name, type, unit, help and where the look has the number.
 * The unit is a part of the name, as OpenMetrics wants it.
 */
#include "tools/shmstat/serve/metrics.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/get.h"

enum rows {
	ROW_BROKER,
	ROW_LANE,
	ROW_GROUP
};

static const struct metric {
	const char *name, *type, *unit, *help;
	enum rows rows;
	const char *key;
} metrics[] = {
	{"tapio_broker_uptime_seconds", "gauge", "seconds",
	 "Time since the broker began.", ROW_BROKER, "uptime_s"},
	{"tapio_broker_restarts", "counter", NULL,
	 "Brokers that were killed and replaced in this memory.", ROW_BROKER,
	 "restarts"},
	{"tapio_broker_budget_bytes", "gauge", "bytes",
	 "Limit of all shared memory.", ROW_BROKER, "budget_bytes"},
	{"tapio_broker_used_bytes", "gauge", "bytes", "Shared memory in use.",
	 ROW_BROKER, "used_bytes"},
	{"tapio_lane_capacity_blocks", "gauge", "blocks", "Blocks of the lane.",
	 ROW_LANE, "capacity"},
	{"tapio_lane_used_blocks", "gauge", "blocks",
	 "Blocks that a group has not released yet.", ROW_LANE, "used"},
	{"tapio_lane_held_blocks", "gauge", "blocks",
	 "Blocks that producers have reserved and not submitted.", ROW_LANE,
	 "held"},
	{"tapio_lane_peak_unread_events", "gauge", "events",
	 "Most events that a group ever had unread.", ROW_LANE, "high_water"},
	{"tapio_lane_published_events", "counter", "events",
	 "Events that were accepted.", ROW_LANE, "published"},
	{"tapio_group_members", "gauge", NULL, "Members of the group.",
	 ROW_GROUP, "members"},
	{"tapio_group_lag_events", "gauge", "events",
	 "Events that the group has not released yet.", ROW_GROUP, "lag"},
	{"tapio_group_peak_unread_events", "gauge", "events",
	 "Most events unread on one lane.", ROW_GROUP, "high_water"},
	{"tapio_group_delivered_events", "counter", "events",
	 "Events that the group has released.", ROW_GROUP, "delivered"},
	{"tapio_group_skipped_events", "counter", "events",
	 "Events that were discarded, or filtered by a member.", ROW_GROUP,
	 "skipped"},
	{"tapio_group_lost_events", "counter", "events",
	 "Events that were overwritten before the group has read them.",
	 ROW_GROUP, "lost"},
	{"tapio_group_takeovers", "counter", NULL,
	 "Lanes that were taken over from members that slept.", ROW_GROUP,
	 "takeovers"},
};

/* One text in the making. */
struct text {
	FILE *out;
	bool open;
	json_t *seen; /* labels of this metric */
};

/* ---- pieces --------------------------------------------------------------------- */

static bool is_counter(const char *type)
{
	return !strcmp(type, "counter");
}

static void head(struct text *t, const char *name, const char *type,
		 const char *unit, const char *help)
{
	/* The older format has the type under the name of the sample. */
	const char *suffix = !t->open && is_counter(type) ? "_total" : "";

	fprintf(t->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help,
		name, suffix, type);
	if (unit && t->open)
		fprintf(t->out, "# UNIT %s %s\n", name, unit);
	json_object_clear(t->seen);
}

static void escape(char **at, const char *end, const char *text)
{
	for (; *text && *at + 3 < end; text++) {
		if (*text == '\\' || *text == '"' || *text == '\n')
			*(*at)++ = '\\';
		*(*at)++ = *text == '\n' ? 'n' : *text;
	}
	**at = 0;
}

/* Adds name="value" to the labels. */
static void label(char *labels, size_t size, const char *name,
		  const char *value)
{
	char *at = labels + strlen(labels), *end = labels + size;

	if ((size_t)(end - at) < strlen(name) + 8)
		return;
	at += sprintf(at, "%s%s=\"", *labels ? "," : "", name);
	escape(&at, end - 2, value);
	strcpy(at, "\"");
}

static void label_number(char *labels, size_t size, const char *name,
			 const json_t *value)
{
	char text[32];

	if (!json_is_integer(value))
		return;
	snprintf(text, sizeof(text), "%lld",
		 (long long)json_integer_value(value));
	label(labels, size, name, text);
}

/* NAN: the sample is left out. So is one whose labels were there before. */
static void sample(struct text *t, const char *name, const char *suffix,
		   const char *labels, double n)
{
	char key[640];

	snprintf(key, sizeof(key), "%s %s", suffix, labels);
	if (!isfinite(n) || json_object_get(t->seen, key))
		return;
	json_object_set_new(t->seen, key, json_true());
	fprintf(t->out, "%s%s%s%s%s %.15g\n", name, suffix, *labels ? "{" : "",
		labels, *labels ? "}" : "", n);
}

#define LABELS 512

static void lane_labels(char labels[LABELS], const json_t *lane)
{
	*labels = 0;
	label(labels, LABELS, "channel", get_text(lane, "channel"));
	label(labels, LABELS, "class", get_text(lane, "class"));
	label_number(labels, LABELS, "lane", json_object_get(lane, "lane"));
	label_number(labels, LABELS, "cpu", json_object_get(lane, "cpu"));
	label_number(labels, LABELS, "node", json_object_get(lane, "node"));
}

static void group_labels(char labels[LABELS], const json_t *group)
{
	*labels = 0;
	label(labels, LABELS, "channel", get_text(group, "channel"));
	label(labels, LABELS, "group", get_text(group, "group"));
}

/* Side lanes that were never used only cost. */
static bool is_shown(const json_t *lane)
{
	return !get_true(lane, "side") || get_count(lane, "published") ||
	       get_count(lane, "held") || get_count(lane, "dropped_total");
}

/* ---- metrics --------------------------------------------------------------------- */

static void add_rows(struct text *t, const json_t *look, const struct metric *m)
{
	const char *part = m->rows == ROW_LANE ? "lanes" : "groups";
	char labels[LABELS];
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(look, part), i, row)
	{
		if (m->rows == ROW_LANE && !is_shown(row))
			continue;
		if (m->rows == ROW_LANE)
			lane_labels(labels, row);
		else
			group_labels(labels, row);
		sample(t, m->name, is_counter(m->type) ? "_total" : "", labels,
		       get_number(row, m->key));
	}
}

static void add_table(struct text *t, const json_t *look)
{
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		const struct metric *m = &metrics[i];

		head(t, m->name, m->type, m->unit, m->help);
		if (m->rows == ROW_BROKER)
			sample(t, m->name, is_counter(m->type) ? "_total" : "",
			       "",
			       get_number(json_object_get(look, "broker"),
					  m->key));
		else
			add_rows(t, look, m);
	}
}

static void add_gauge(struct text *t, const char *name, const char *help,
		      double n)
{
	head(t, name, "gauge", NULL, help);
	sample(t, name, "", "", n);
}

static void add_info(struct text *t, const json_t *look)
{
	static const char *const words[] = {"version", "abi", "instance",
					    "rseq"};
	const json_t *broker = json_object_get(look, "broker");
	char labels[LABELS] = "";

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		label(labels, sizeof(labels), words[i],
		      get_text(broker, words[i]));
	head(t, "tapio_broker_info", "gauge", NULL,
	     "Always 1. The labels say which broker it is.");
	sample(t, "tapio_broker_info", "", labels, 1);
	add_gauge(t, "tapio_broker_running",
		  "1 while the broker's process runs, 0 when it is stopped or "
		  "gone.",
		  !strcmp(get_text(broker, "process"), "running"));
}

/* The meaning of one of the broker's counters. */
static void explain(const json_t *look, const char *counter, char *text,
		    size_t size)
{
	const json_t *row;
	size_t i;

	snprintf(text, size, "The broker's counter of this name.");
	json_array_foreach(json_object_get(look, "counters"), i, row)
	{
		const char *meaning = get_text(row, "meaning");

		if (!strcmp(get_text(row, "of"), "broker") &&
		    !strcmp(get_text(row, "counter"), counter) && *meaning)
			snprintf(text, size, "%.*s",
				 (int)strcspn(meaning, "\n\\"), meaning);
	}
}

/* As many as the broker has, by their own names. */
static void add_counters(struct text *t, const json_t *look)
{
	json_t *counters =
		json_object_get(json_object_get(look, "broker"), "counters");
	char name[128], help[256];
	json_t *value;
	const char *key;

	json_object_foreach(counters, key, value)
	{
		if (!json_is_integer(value))
			continue;
		snprintf(name, sizeof(name), "tapio_broker_%.80s", key);
		for (char *c = name; *c; c++)
			if (!isalnum((unsigned char)*c))
				*c = '_';
		explain(look, key, help, sizeof(help));
		head(t, name, "counter", NULL, help);
		sample(t, name, "_total", "",
		       (double)json_integer_value(value));
	}
}

static void add_refusals(struct text *t, const json_t *look)
{
	static const char name[] = "tapio_lane_refused_events";
	char labels[LABELS];
	const json_t *lane;
	json_t *count;
	const char *cause;
	size_t i;

	head(t, name, "counter", "events",
	     "Events that were refused, by cause: the call of the producer "
	     "failed.");
	json_array_foreach(json_object_get(look, "lanes"), i, lane)
	{
		if (!is_shown(lane))
			continue;
		json_object_foreach(json_object_get(lane, "dropped"), cause,
				    count)
		{
			lane_labels(labels, lane);
			label(labels, LABELS, "cause", cause);
			sample(t, name, "_total", labels,
			       (double)json_integer_value(count));
		}
	}
}

static void add_latency(struct text *t, const char *name, const json_t *group)
{
	static const struct {
		const char *key, *quantile;
	} points[] = {
		{"p50", "0.5"},
		{"p90", "0.9"},
		{"p99", "0.99"},
		{"p99.9", "0.999"},
	};
	const json_t *latency = json_object_get(group, "latency_ns");
	char labels[LABELS];

	if (!json_is_object(latency))
		return;
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		group_labels(labels, group);
		label(labels, LABELS, "quantile", points[i].quantile);
		sample(t, name, "", labels,
		       get_count(latency, "count")
			       ? get_number(latency, points[i].key) / 1e9
			       : (double)NAN);
	}
	group_labels(labels, group);
	sample(t, name, "_count", labels, get_number(latency, "count"));
}

static void add_latencies(struct text *t, const json_t *look)
{
	static const char name[] = "tapio_group_latency_seconds";
	const json_t *group;
	size_t i;

	head(t, name, "summary", "seconds",
	     "Time from the stamp of an event to its delivery, since the group "
	     "began.");
	json_array_foreach(json_object_get(look, "groups"), i, group)
		add_latency(t, name, group);
}

/* How many of each role a channel has. */
static void add_clients(struct text *t, const json_t *look)
{
	json_t *counts = json_object(), *count;
	char labels[LABELS];
	const json_t *client;
	const char *key;
	size_t i;

	head(t, "tapio_clients", "gauge", NULL,
	     "Attachments of a channel, by role.");
	json_array_foreach(json_object_get(look, "clients"), i, client)
	{
		*labels = 0;
		label(labels, LABELS, "channel", get_text(client, "channel"));
		label(labels, LABELS, "role", get_text(client, "role"));
		json_object_set_new(
			counts, labels,
			json_integer(json_integer_value(
					     json_object_get(counts, labels)) +
				     1));
	}
	json_object_foreach(counts, key, count) sample(
		t, "tapio_clients", "", key, (double)json_integer_value(count));
	json_decref(counts);
}

char *metrics_text(const json_t *look, bool open, size_t *length)
{
	char *text = NULL;
	struct text t = {
		.out = open_memstream(&text, length),
		.open = open,
		.seen = json_object(),
	};

	if (!t.out || !t.seen) {
		if (t.out)
			fclose(t.out);
		free(text);
		json_decref(t.seen);
		return NULL;
	}
	add_gauge(&t, "tapio_up", "1 when a broker's memory was found.",
		  look != NULL);
	if (look) {
		add_gauge(&t, "tapio_healthy",
			  "1 when no rule of tapio-shmstat check is broken.",
			  get_true(look, "healthy"));
		add_gauge(&t, "tapio_broken_rules",
			  "Rules of tapio-shmstat check that are broken.",
			  get_number(look, "broken"));
		add_info(&t, look);
		add_table(&t, look);
		add_counters(&t, look);
		add_refusals(&t, look);
		add_latencies(&t, look);
		add_clients(&t, look);
	}
	if (open)
		fputs("# EOF\n", t.out);
	json_decref(t.seen);
	if (fclose(t.out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- the page --------------------------------------------------------------------- */

/* Copies some keys of each row. */
static json_t *trim(const json_t *rows, const char *const *keys)
{
	json_t *array = json_array(), *copy;
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		copy = json_object();
		for (const char *const *key = keys; *key; key++)
			json_object_set(copy, *key, json_object_get(row, *key));
		json_array_append_new(array, copy);
	}
	return array;
}

json_t *metrics_page(const json_t *look, const char *why)
{
	static const char *const whole[] = {"broker",  "channels", "groups",
					    "drops",   "totals",   "healthy",
					    "broken",  "faults",   "interval_s",
					    "changes", NULL};
	static const char *const lanes[] = {
		"channel",       "class",         "lane",
		"cpu",           "side",          "node",
		"capacity",      "used",          "fill",
		"held",          "published",     "published_per_s",
		"dropped_total", "dropped_per_s", NULL};
	static const char *const clients[] = {
		"pid",     "comm",   "role",    "channel", "group", "lanes",
		"in_hand", "unread", "process", "note",    NULL};
	json_t *page = json_object();

	json_object_set_new(page, "why", json_string(why));
	if (!look)
		return page;
	for (const char *const *key = whole; *key; key++)
		json_object_set(page, *key, json_object_get(look, *key));
	json_object_set_new(page, "lanes",
			    trim(json_object_get(look, "lanes"), lanes));
	json_object_set_new(page, "clients",
			    trim(json_object_get(look, "clients"), clients));
	return page;
}
