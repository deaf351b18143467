/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes, groups, clients and drops as tables. See view.h. */
#include <stdio.h>
#include <string.h>

#include "tools/shmstat/get.h"
#include "tools/shmstat/watch/format.h"
#include "tools/shmstat/watch/table.h"

static void say_more(struct draw *draw, size_t count, size_t most,
		     const char *where)
{
	if (count > most)
		sheet_printf(draw->sheet, sheet_row(draw->sheet), 2, STYLE_DIM,
			     "and %zu more: %s shows all", count - most, where);
	else if (!count)
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_DIM,
			  *draw->view->filter ? "none that the filter lets "
						"through"
					      : "none");
}

void draw_title(struct draw *draw, const char *title, const char *more)
{
	int row = sheet_row(draw->sheet);
	int x = sheet_put(draw->sheet, row, 0, STYLE_BOLD, title);

	sheet_put(draw->sheet, row, x + 1, STYLE_DIM, more);
}

/* ---- lanes ------------------------------------------------------------------- */

enum {
	LANE_CHANNEL,
	LANE_CLASS,
	LANE_PLACE,
	LANE_NODE,
	LANE_FILL,
	LANE_USED,
	LANE_RATE,
	LANE_SPARK,
	LANE_DROPS,
	LANE_DROPPED,
	LANE_PEAK,
	LANE_HELD,
	LANE_PUBLISHED,
	LANE_OWNER,
};

static const struct tcolumn lane_columns[] = {
	{"CHANNEL", 10, 0},  {"CLASS", 8, 0},    {"LANE", 8, 0},
	{"NODE", -4, 100},   {"FILL", 14, 0},    {"USED", -6, 110},
	{"EV/S", -6, 0},     {"TREND", 0, 0},    {"DROP/S", -6, 0},
	{"DROPPED", -7, 0},  {"PEAK", -6, 120},  {"HELD", -5, 130},
	{"EVENTS", -8, 130}, {"OWNER", 20, 160}, {0},
};

static void draw_lane(struct table *t, const json_t *lane)
{
	double drops = get_number(lane, "dropped_per_s");
	double dropped = get_number(lane, "dropped_total");
	char key[RATES_KEY], text[64];
	long long owner = get_count(lane, "owner");

	table_row(t, rates_lane_key(lane, key));
	table_text(t, LANE_CHANNEL, STYLE_PLAIN, get_text(lane, "channel"));
	table_text(t, LANE_CLASS, STYLE_PLAIN, get_text(lane, "class"));
	table_text(t, LANE_PLACE, STYLE_PLAIN,
		   get_place(lane, text, sizeof(text)));
	if (json_is_integer(json_object_get(lane, "node")))
		table_count(t, LANE_NODE, STYLE_DIM, get_number(lane, "node"));
	table_bar(t, LANE_FILL, get_number(lane, "fill"));
	table_count(t, LANE_USED, STYLE_PLAIN, get_number(lane, "used"));
	table_rate(t, LANE_RATE, STYLE_PLAIN,
		   get_number(lane, "published_per_s"));
	table_spark(t, LANE_SPARK, key, "published");
	table_rate(t, LANE_DROPS, drops > 0 ? STYLE_BAD : STYLE_PLAIN, drops);
	table_count(t, LANE_DROPPED, dropped > 0 ? STYLE_WARN : STYLE_PLAIN,
		    dropped);
	table_count(t, LANE_PEAK, STYLE_PLAIN, get_number(lane, "high_water"));
	table_count(t, LANE_HELD, STYLE_PLAIN, get_number(lane, "held"));
	table_count(t, LANE_PUBLISHED, STYLE_PLAIN,
		    get_number(lane, "published"));
	client_name(t->draw, owner, text, sizeof(text));
	table_text(t, LANE_OWNER, STYLE_PLAIN, text);
}

void draw_lanes(struct draw *draw, const struct picked *rows, size_t most)
{
	struct table t;

	table_begin(&t, draw, lane_columns);
	for (size_t i = 0; i < rows->count && i < most; i++)
		draw_lane(&t, rows->all[i]);
	say_more(draw, rows->count, most, "2");
}

/* ---- groups ------------------------------------------------------------------- */

enum {
	GROUP_CHANNEL,
	GROUP_NAME,
	GROUP_MEMBERS,
	GROUP_POLICY,
	GROUP_RATE,
	GROUP_LAG,
	GROUP_SPARK,
	GROUP_LOSSES,
	GROUP_LOST,
	GROUP_P50,
	GROUP_P90,
	GROUP_P99,
	GROUP_P999,
	GROUP_MAX,
	GROUP_TAKEOVERS,
};

static const struct tcolumn group_columns[] = {
	{"CHANNEL", 8, 0},      {"GROUP", 12, 0},
	{"MEM", -3, 0},         {"POLICY", 8, 100},
	{"EV/S", -6, 0},        {"LAG", -6, 0},
	{"TREND", 0, 0},        {"LOST/S", -6, 0},
	{"LOST", -6, 0},        {"p50 us", -6, 0},
	{"p90 us", -6, 110},    {"p99 us", -6, 0},
	{"p99.9 us", -8, 120},  {"max us", -6, 130},
	{"TAKEOVERS", -9, 150}, {0},
};

static void draw_latencies(struct table *t, const json_t *group)
{
	static const struct {
		int column;
		const char *path;
	} points[] = {
		{GROUP_P50, "latency_ns/p50"}, {GROUP_P90, "latency_ns/p90"},
		{GROUP_P99, "latency_ns/p99"}, {GROUP_P999, "latency_ns/p99.9"},
		{GROUP_MAX, "latency_ns/max"},
	};
	bool any = row_number(group, "latency_ns/count") > 0;

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		table_us(t, points[i].column, STYLE_PLAIN,
			 any ? row_number(group, points[i].path) : (double)NAN);
}

static void draw_group(struct table *t, const json_t *group)
{
	double losses = get_number(group, "lost_per_s");
	double lost = get_number(group, "lost");
	double members = get_number(group, "members");
	char key[RATES_KEY];

	table_row(t, rates_group_key(group, key));
	table_text(t, GROUP_CHANNEL, STYLE_PLAIN, get_text(group, "channel"));
	table_text(t, GROUP_NAME,
		   get_true(group, "evicted") ? STYLE_BAD : STYLE_PLAIN,
		   get_text(group, "group"));
	table_count(t, GROUP_MEMBERS, members > 0 ? STYLE_PLAIN : STYLE_WARN,
		    members);
	table_text(t, GROUP_POLICY, STYLE_PLAIN,
		   get_true(group, "evicted") ? "evicted"
					      : get_text(group, "policy"));
	table_rate(t, GROUP_RATE, STYLE_PLAIN,
		   get_number(group, "delivered_per_s"));
	table_spark(t, GROUP_SPARK, key, "lag");
	table_count(t, GROUP_LAG, STYLE_PLAIN, get_number(group, "lag"));
	table_rate(t, GROUP_LOSSES, losses > 0 ? STYLE_BAD : STYLE_PLAIN,
		   losses);
	table_count(t, GROUP_LOST, lost > 0 ? STYLE_WARN : STYLE_PLAIN, lost);
	draw_latencies(t, group);
	table_count(t, GROUP_TAKEOVERS, STYLE_PLAIN,
		    get_number(group, "takeovers"));
}

void draw_groups(struct draw *draw, const struct picked *rows, size_t most)
{
	struct table t;

	table_begin(&t, draw, group_columns);
	for (size_t i = 0; i < rows->count && i < most; i++)
		draw_group(&t, rows->all[i]);
	say_more(draw, rows->count, most, "3");
}

/* ---- clients ------------------------------------------------------------------- */

enum {
	CLIENT_PID,
	CLIENT_NAME,
	CLIENT_ROLE,
	CLIENT_CHANNEL,
	CLIENT_GROUP,
	CLIENT_LANES,
	CLIENT_HAND,
	CLIENT_UNREAD,
	CLIENT_POLLS,
	CLIENT_PROCESS,
	CLIENT_UID,
	CLIENT_ID,
};

static const struct tcolumn client_columns[] = {
	{"PID", -7, 0},
	{"COMMAND", 15, 0},
	{"ROLE", 7, 0},
	{"CHANNEL", 9, 0},
	{"GROUP", 10, 0},
	{"LANES", -5, 0},
	{"IN HAND", -7, 100},
	{"UNREAD", -6, 0},
	{"POLLS", 5, 0},
	{"PROCESS", 8, 90},
	{"UID", -6, 110},
	{"ID", -10, 120},
	{0},
};

static const char *yes_or_no(const json_t *value)
{
	return json_is_boolean(value) ? json_is_true(value) ? "yes" : "no" : "";
}

static void draw_client(struct table *t, const json_t *client)
{
	bool noted = get_word(client, "note") != NULL;
	enum style style = noted ? STYLE_WARN : STYLE_PLAIN;
	char key[64];

	snprintf(key, sizeof(key), "client/%lld", get_count(client, "id"));
	table_row(t, key);
	table_count(t, CLIENT_PID, STYLE_PLAIN, get_number(client, "pid"));
	table_text(t, CLIENT_NAME, style, get_text(client, "comm"));
	table_text(t, CLIENT_ROLE, STYLE_PLAIN, get_text(client, "role"));
	table_text(t, CLIENT_CHANNEL, STYLE_PLAIN, get_text(client, "channel"));
	table_text(t, CLIENT_GROUP, STYLE_PLAIN, get_text(client, "group"));
	table_count(t, CLIENT_LANES, STYLE_PLAIN, get_number(client, "lanes"));
	table_count(t, CLIENT_HAND, STYLE_PLAIN, get_number(client, "in_hand"));
	table_count(t, CLIENT_UNREAD, STYLE_PLAIN,
		    get_number(client, "unread"));
	table_text(t, CLIENT_POLLS, style,
		   yes_or_no(json_object_get(client, "polls")));
	table_text(t, CLIENT_PROCESS,
		   strcmp(get_text(client, "process"), "gone") != 0
			   ? STYLE_PLAIN
			   : STYLE_BAD,
		   get_text(client, "process"));
	table_count(t, CLIENT_UID, STYLE_PLAIN, get_number(client, "uid"));
	table_count(t, CLIENT_ID, STYLE_DIM, get_number(client, "id"));
}

void draw_clients(struct draw *draw, const struct picked *rows, size_t most)
{
	struct table t;

	table_begin(&t, draw, client_columns);
	for (size_t i = 0; i < rows->count && i < most; i++)
		draw_client(&t, rows->all[i]);
	say_more(draw, rows->count, most, "4");
}

/* ---- drops ---------------------------------------------------------------------- */

static void draw_drop(struct draw *draw, const json_t *drop)
{
	double rate = get_number(drop, "dropped_per_s");
	enum style style = rate > 0 ? STYLE_BAD : STYLE_WARN;
	const char *group = get_text(drop, "group");
	char per_s[FORMAT_BYTES], total[FORMAT_BYTES];
	int row = sheet_row(draw->sheet), x;

	x = sheet_printf(draw->sheet, row, 2, style, "%6s/s %6s  %s %s: %s",
			 format_rate(per_s, rate),
			 format_count(total, get_number(drop, "dropped")),
			 get_text(drop, "channel"), get_text(drop, "class"),
			 get_text(drop, "cause"));
	if (*group && get_count(drop, "unread"))
		sheet_printf(draw->sheet, row, x, style,
			     ", group %s has %lld unread", group,
			     get_count(drop, "unread"));
	else if (*group)
		sheet_printf(draw->sheet, row, x, style,
			     ", group %s had %lld unread", group,
			     get_count(drop, "peak"));
	else
		sheet_printf(draw->sheet, row, x, style, ", %s",
			     get_text(drop, "says"));
}

void draw_drops(struct draw *draw, size_t most)
{
	const json_t *drops = json_object_get(draw->shown->look, "drops");
	size_t count = json_array_size(drops);

	for (size_t i = 0; i < count && i < most; i++)
		draw_drop(draw, json_array_get(drops, i));
	if (count > most)
		sheet_printf(draw->sheet, sheet_row(draw->sheet), 2, STYLE_DIM,
			     "and %zu more", count - most);
	if (!count &&
	    json_array_size(json_object_get(draw->shown->look, "not_read")))
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_DIM,
			  "none that can be seen");
	else if (!count)
		sheet_put(draw->sheet, sheet_row(draw->sheet), 2, STYLE_GOOD,
			  "no event was refused");
}
