/* SPDX-License-Identifier: Apache-2.0 */
/* One lane, one group, one client, with all that belongs to it. See view.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/get.h"
#include "tools/shmstat/watch/format.h"
#include "tools/shmstat/watch/table.h"

#define VALUE_AT 20

static int line(struct draw *draw, const char *label)
{
	int row = sheet_row(draw->sheet);

	sheet_put(draw->sheet, row, 2, STYLE_DIM, label);
	return row;
}

static void say(struct draw *draw, const char *label, enum style style,
		const char *text)
{
	int row = line(draw, label);

	sheet_put(draw->sheet, row, VALUE_AT, style, *text ? text : "-");
}

static void say_count(struct draw *draw, const char *label, const json_t *from,
		      const char *key)
{
	double n = row_number(from, key);
	char text[FORMAT_BYTES] = "-";

	/* Exact here: there is room. */
	if (isfinite(n))
		snprintf(text, sizeof(text), "%.0f", n);
	say(draw, label, STYLE_PLAIN, text);
}

/* A number each second and its history over the whole width. */
static void say_history(struct draw *draw, const char *label, double n,
			const char *key, const char *name)
{
	double points[RATES_POINTS];
	size_t count = rates_history(draw->shown->rates, key, name, points,
				     RATES_POINTS);
	char text[FORMAT_BYTES];
	int row = line(draw, label);

	sheet_field(draw->sheet, row, VALUE_AT, 7, STYLE_BOLD,
		    format_rate(text, n));
	format_spark(draw->sheet, row, VALUE_AT + 8,
		     draw->sheet->width - VALUE_AT - 10, points, count,
		     draw->shown->utf8);
}

static void blank(struct draw *draw)
{
	sheet_row(draw->sheet);
}

/* ---- a lane -------------------------------------------------------------------- */

static const struct tcolumn ledger_columns[] = {
	{"GROUP", 16, 0},
	{"UNREAD", -7, 0},
	{"DELIVERED", -9, 0},
	{"LOST", -7, 0},
	{"SKIPPED", -7, 0},
	{"READ BY", 22, 0},
	{0},
};

static void draw_ledger(struct draw *draw, const json_t *lane)
{
	struct picked rows;
	struct table t;
	char name[64], key[RATES_KEY];

	draw_title(draw, "GROUPS", "on this lane");
	table_begin(&t, draw, ledger_columns);
	pick_of(&rows, draw, "ledger", get_text(lane, "channel"), "lane",
		json_object_get(lane, "lane"));
	for (size_t i = 0; i < rows.count; i++) {
		const json_t *row = rows.all[i];

		table_row(&t, rates_group_key(row, key));
		table_text(&t, 0, STYLE_PLAIN, get_text(row, "group"));
		table_count(&t, 1, STYLE_PLAIN, get_number(row, "in_flight"));
		table_count(&t, 2, STYLE_PLAIN, get_number(row, "delivered"));
		table_count(&t, 3,
			    get_count(row, "lost") ? STYLE_WARN : STYLE_PLAIN,
			    get_number(row, "lost"));
		table_count(&t, 4, STYLE_PLAIN, get_number(row, "skipped"));
		client_name(draw, get_count(row, "lease"), name, sizeof(name));
		table_text(&t, 5, STYLE_PLAIN, name);
	}
	if (!rows.count)
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_DIM,
			  "no group reads this channel");
	pick_free(&rows);
}

static void draw_causes(struct draw *draw, const json_t *lane)
{
	const json_t *rates = json_object_get(lane, "dropped_by_cause_per_s");
	char rate[FORMAT_BYTES], label[64];
	json_t *count;
	const char *cause;
	int row;

	json_object_foreach(json_object_get(lane, "dropped"), cause, count)
	{
		double n = get_number(rates, cause);

		if (!json_integer_value(count))
			continue;
		snprintf(label, sizeof(label), "refused: %.10s", cause);
		row = line(draw, label);
		sheet_printf(draw->sheet, row, VALUE_AT,
			     n > 0 ? STYLE_BAD : STYLE_WARN,
			     "%lld events, %s/s",
			     (long long)json_integer_value(count),
			     format_rate(rate, n));
	}
}

static void draw_lane(struct draw *draw, const json_t *lane, const char *key)
{
	char text[64], title[160];
	int row, x;

	snprintf(title, sizeof(title), "%.60s %.60s %s",
		 get_text(lane, "channel"), get_text(lane, "class"),
		 get_place(lane, text, sizeof(text)));
	draw_title(draw, "LANE", title);
	row = line(draw, "fill");
	x = format_bar(draw->sheet, row, VALUE_AT, 30, get_number(lane, "fill"),
		       format_heat(get_number(lane, "fill")),
		       draw->shown->utf8);
	sheet_printf(draw->sheet, row, x + 1, STYLE_PLAIN,
		     "%lld of %lld blocks of %lld bytes",
		     get_count(lane, "used"), get_count(lane, "capacity"),
		     get_count(lane, "block_bytes"));
	say_history(draw, "fill over time", get_number(lane, "fill") * 100, key,
		    "fill");
	say_history(draw, "published/s", get_number(lane, "published_per_s"),
		    key, "published");
	say_history(draw, "refused/s", get_number(lane, "dropped_per_s"), key,
		    "dropped");
	draw_causes(draw, lane);
	say_count(draw, "published", lane, "published");
	say_count(draw, "peak unread", lane, "high_water");
	say_count(draw, "held", lane, "held");
	say_count(draw, "node", lane, "node");
	client_name(draw, get_count(lane, "owner"), text, sizeof(text));
	say(draw, "owner", STYLE_PLAIN, text);
	blank(draw);
	draw_ledger(draw, lane);
}

/* ---- a group -------------------------------------------------------------------- */

/* Percentiles as bars on a scale of decades, since they differ by those. */
static void draw_latencies(struct draw *draw, const json_t *group)
{
	static const char *const points[] = {"p50", "p90", "p99", "p99.9",
					     "max"};
	const json_t *latency = json_object_get(group, "latency_ns");
	char text[FORMAT_BYTES];
	int row, width = draw->sheet->width - VALUE_AT - 12;

	if (!get_count(latency, "count")) {
		say(draw, "latency", STYLE_DIM,
		    json_is_object(latency) ? "no event was handed out yet"
					    : "the channel has no time stamps");
		return;
	}
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		double ns = get_number(latency, points[i]);
		char label[32];

		snprintf(label, sizeof(label), "%s us", points[i]);
		row = line(draw, label);
		sheet_field(draw->sheet, row, VALUE_AT, 8, STYLE_PLAIN,
			    format_us(text, ns));
		format_bar(draw->sheet, row, VALUE_AT + 9,
			   width > 60 ? 60 : width,
			   ns > 10 ? (log10(ns) - 1) / 9 : 0, STYLE_SPARK,
			   draw->shown->utf8);
	}
	sheet_put(draw->sheet, sheet_row(draw->sheet), VALUE_AT + 9, STYLE_DIM,
		  "since the group began, on a scale of decades: 10ns to 10s");
}

static const struct tcolumn member_columns[] = {
	{"MEMBER", 22, 0},
	{"LANES", -5, 0},
	{"IN HAND", -7, 0},
	{"UNREAD", -7, 0},
	{"POLLS", 6, 0},
	{"PROCESS", 10, 0},
	{0},
};

static void draw_members(struct draw *draw, const json_t *group)
{
	struct picked rows;
	struct table t;
	char text[64];

	draw_title(draw, "MEMBERS", "");
	table_begin(&t, draw, member_columns);
	pick_of(&rows, draw, "clients", get_text(group, "channel"), "group",
		json_object_get(group, "group"));
	for (size_t i = 0; i < rows.count; i++) {
		const json_t *row = rows.all[i];
		const json_t *polls = json_object_get(row, "polls");

		snprintf(text, sizeof(text), "client/%lld",
			 get_count(row, "id"));
		table_row(&t, text);
		client_name(draw, get_count(row, "id"), text, sizeof(text));
		table_text(&t, 0, STYLE_PLAIN, text);
		table_count(&t, 1, STYLE_PLAIN, get_number(row, "lanes"));
		table_count(&t, 2, STYLE_PLAIN, get_number(row, "in_hand"));
		table_count(&t, 3, STYLE_PLAIN, get_number(row, "unread"));
		table_text(&t, 4,
			   json_is_false(polls) ? STYLE_WARN : STYLE_PLAIN,
			   json_is_true(polls)    ? "yes"
			   : json_is_false(polls) ? "no"
						  : "-");
		table_text(&t, 5, STYLE_PLAIN, get_text(row, "process"));
	}
	if (!rows.count)
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_WARN,
			  "no member: nothing reads for this group now");
	pick_free(&rows);
}

static const struct tcolumn lag_columns[] = {
	{"CLASS", 12, 0}, {"LANE", 10, 0},    {"UNREAD", -7, 0},
	{"LOST", -7, 0},  {"READ BY", 24, 0}, {0},
};

static int by_unread(const void *a, const void *b)
{
	long long x = get_count(*(json_t *const *)a, "in_flight");
	long long y = get_count(*(json_t *const *)b, "in_flight");

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The lanes where it is behind, worst first. */
static void draw_lags(struct draw *draw, const json_t *group)
{
	struct picked rows;
	struct table t;
	char key[RATES_KEY], text[64];

	draw_title(draw, "LANES", "the most unread events first");
	table_begin(&t, draw, lag_columns);
	pick_of(&rows, draw, "ledger", get_text(group, "channel"), "slot",
		json_object_get(group, "slot"));
	qsort(rows.all, rows.count, sizeof(*rows.all), by_unread);
	for (size_t i = 0; i < rows.count; i++) {
		const json_t *row = rows.all[i];

		if (!get_count(row, "published"))
			continue;
		table_row(&t, rates_lane_key(row, key));
		table_text(&t, 0, STYLE_PLAIN, get_text(row, "class"));
		table_text(&t, 1, STYLE_PLAIN,
			   get_place(row, text, sizeof(text)));
		table_count(&t, 2, STYLE_PLAIN, get_number(row, "in_flight"));
		table_count(&t, 3,
			    get_count(row, "lost") ? STYLE_WARN : STYLE_PLAIN,
			    get_number(row, "lost"));
		client_name(draw, get_count(row, "lease"), text, sizeof(text));
		table_text(&t, 4, STYLE_PLAIN, text);
	}
	pick_free(&rows);
}

static void draw_group(struct draw *draw, const json_t *group, const char *key)
{
	char text[160];

	snprintf(text, sizeof(text), "%.60s of channel %.60s",
		 get_text(group, "group"), get_text(group, "channel"));
	draw_title(draw, "GROUP", text);
	say_history(draw, "delivered/s", get_number(group, "delivered_per_s"),
		    key, "delivered");
	say_history(draw, "lag", get_number(group, "lag"), key, "lag");
	say_history(draw, "lost/s", get_number(group, "lost_per_s"), key,
		    "lost");
	snprintf(text, sizeof(text), "%.20s, in force: %.20s%s%s",
		 get_text(group, "policy"), get_text(group, "in_force"),
		 get_true(group, "durable") ? ", durable" : "",
		 get_true(group, "evicted") ? ", EVICTED" : "");
	say(draw, "policy",
	    get_true(group, "evicted") ? STYLE_BAD : STYLE_PLAIN, text);
	say_count(draw, "delivered", group, "delivered");
	say_count(draw, "skipped", group, "skipped");
	say_count(draw, "lost", group, "lost");
	say_count(draw, "peak unread", group, "high_water");
	draw_latencies(draw, group);
	blank(draw);
	draw_members(draw, group);
	blank(draw);
	draw_lags(draw, group);
}

/* ---- a client -------------------------------------------------------------------- */

static void draw_client(struct draw *draw, const json_t *client)
{
	char text[64];

	client_name(draw, get_count(client, "id"), text, sizeof(text));
	draw_title(draw, "CLIENT", text);
	say(draw, "role", STYLE_PLAIN, get_text(client, "role"));
	say(draw, "channel", STYLE_PLAIN, get_text(client, "channel"));
	say(draw, "group", STYLE_PLAIN, get_text(client, "group"));
	say(draw, "process",
	    get_true(client, "alive") ? STYLE_PLAIN : STYLE_WARN,
	    get_text(client, "process"));
	say_count(draw, "uid", client, "uid");
	say_count(draw, "attachment", client, "id");
	say(draw, "rseq", STYLE_PLAIN, get_text(client, "rseq"));
	say_count(draw, "lanes", client, "lanes");
	say_count(draw, "in hand", client, "in_hand");
	say_count(draw, "unread", client, "unread");
	if (get_word(client, "note"))
		say(draw, "note", STYLE_WARN, get_text(client, "note"));
	if (!strcmp(get_text(client, "role"), "produce"))
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_DIM,
			  "events are counted by lane, not by producer; lanes "
			  "that it owns:");
	blank(draw);
}

/* Lanes that it owns, or reads. */
static void draw_lanes_of(struct draw *draw, const json_t *client)
{
	const char *channel = get_text(client, "channel");
	const json_t *id = json_object_get(client, "id");
	bool reads = !strcmp(get_text(client, "role"), "consume");
	struct picked rows;
	struct table t;
	char key[RATES_KEY], text[64];

	pick_of(&rows, draw, reads ? "ledger" : "lanes", channel,
		reads ? "lease" : "owner", id);
	if (!reads) {
		draw_lanes(draw, &rows, rows.count);
		pick_free(&rows);
		return;
	}
	draw_title(draw, "LANES", "that it reads");
	table_begin(&t, draw, lag_columns);
	for (size_t i = 0; i < rows.count; i++) {
		table_row(&t, rates_lane_key(rows.all[i], key));
		table_text(&t, 0, STYLE_PLAIN, get_text(rows.all[i], "class"));
		table_text(&t, 1, STYLE_PLAIN,
			   get_place(rows.all[i], text, sizeof(text)));
		table_count(&t, 2, STYLE_PLAIN,
			    get_number(rows.all[i], "in_flight"));
		table_count(&t, 3, STYLE_PLAIN,
			    get_number(rows.all[i], "lost"));
	}
	pick_free(&rows);
}

/* ---- which --------------------------------------------------------------------------- */

typedef char *name_row(const json_t *row, char key[RATES_KEY]);

static char *client_key(const json_t *client, char key[RATES_KEY])
{
	snprintf(key, RATES_KEY, "client/%lld", get_count(client, "id"));
	return key;
}

static const json_t *find(const struct draw *draw, const char *part,
			  name_row *name, const char *key)
{
	const json_t *row;
	char text[RATES_KEY];
	size_t i;

	json_array_foreach(json_object_get(draw->shown->look, part), i, row)
	{
		if (!strcmp(name(row, text), key))
			return row;
	}
	return NULL;
}

void draw_detail(struct draw *draw, const char *key)
{
	const json_t *lane = find(draw, "lanes", rates_lane_key, key);
	const json_t *group = find(draw, "groups", rates_group_key, key);
	const json_t *client = find(draw, "clients", client_key, key);

	if (lane) {
		draw_lane(draw, lane, key);
	} else if (group) {
		draw_group(draw, group, key);
	} else if (client) {
		draw_client(draw, client);
		draw_lanes_of(draw, client);
	} else {
		draw_title(draw, "GONE", key);
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_WARN,
			  "it is not there any more: Esc goes back");
	}
}
