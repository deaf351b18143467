/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a look: those that the filter lets through, sorted. See view.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/get.h"
#include "tools/shmstat/watch/view.h"

const struct sort *view_sorts(enum view_screen screen)
{
	static const struct sort lanes[] = {
		{"rate", "published_per_s"},
		{"fill", "fill"},
		{"refusals", "dropped_per_s"},
		{"refused", "dropped_total"},
		{"published", "published"},
		{"place", NULL},
		{0},
	};
	static const struct sort groups[] = {
		{"lag", "lag"},
		{"rate", "delivered_per_s"},
		{"losses", "lost_per_s"},
		{"lost", "lost"},
		{"p99", "latency_ns/p99"},
		{"place", NULL},
		{0},
	};
	static const struct sort clients[] = {
		{"unread", "unread"}, {"in hand", "in_hand"},
		{"lanes", "lanes"},   {"pid", "pid"},
		{"place", NULL},      {0},
	};

	return screen == SCREEN_LANES     ? lanes
	       : screen == SCREEN_CLIENTS ? clients
					  : groups;
}

double row_number(const json_t *row, const char *path)
{
	const char *slash = strchr(path, '/');
	char head[32];

	if (!slash)
		return get_number(row, path);
	snprintf(head, sizeof(head), "%.*s", (int)(slash - path), path);
	return get_number(json_object_get(row, head), slash + 1);
}

void client_name(const struct draw *draw, long long id, char *text, size_t size)
{
	const json_t *client;
	size_t i;

	snprintf(text, size, "-");
	if (!id)
		return;
	json_array_foreach(json_object_get(draw->shown->look, "clients"), i,
			   client)
	{
		if (get_count(client, "id") == id)
			snprintf(text, size, "%s[%lld]",
				 get_text(client, "comm"),
				 get_count(client, "pid"));
	}
}

/* ---- the filter ---------------------------------------------------------------- */

/* All words of a row by which it may be found. */
static void describe(const json_t *row, char *text, size_t size)
{
	static const char *const words[] = {"channel", "class",  "group",
					    "policy",  "comm",   "role",
					    "state",   "process"};
	char place[32];
	size_t used = 0;

	*text = 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (used < size)
			used += (size_t)snprintf(text + used, size - used,
						 "%s ",
						 get_text(row, words[i]));
	if (used < size && json_object_get(row, "lane"))
		used += (size_t)snprintf(text + used, size - used,
					 "%s node %lld ",
					 get_place(row, place, sizeof(place)),
					 get_count(row, "node"));
	if (used < size && json_object_get(row, "pid"))
		snprintf(text + used, size - used, "%lld ",
			 get_count(row, "pid"));
}

/* Whether the row has every word of the filter. */
static bool passes(const json_t *row, const char *filter)
{
	char text[512], words[VIEW_FILTER], *word, *rest;

	if (!*filter)
		return true;
	describe(row, text, sizeof(text));
	snprintf(words, sizeof(words), "%s", filter);
	for (word = strtok_r(words, " ", &rest); word;
	     word = strtok_r(NULL, " ", &rest))
		if (!strcasestr(text, word))
			return false;
	return true;
}

/* ---- order ----------------------------------------------------------------------- */

struct order {
	const char *path;
	bool up;
};

struct ranked {
	json_t *row;
	double number;
	size_t place;
};

static int compare(const void *a, const void *b, void *context)
{
	const struct ranked *x = a, *y = b;
	const struct order *order = context;
	/* Those that are not known stand at the end. */
	bool p = isfinite(x->number), q = isfinite(y->number);

	if (p != q)
		return p ? -1 : 1;
	if (p && x->number != y->number)
		return (x->number > y->number) != order->up ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

static void sort(struct picked *rows, struct order order)
{
	struct ranked *ranked = calloc(rows->count + 1, sizeof(*ranked));
	size_t last = rows->count - 1;

	if (!ranked || !rows->count) {
		free(ranked);
		return;
	}
	for (size_t i = 0; i < rows->count; i++)
		ranked[i] = (struct ranked){
			rows->all[i],
			order.path ? row_number(rows->all[i], order.path) : 0,
			!order.path && order.up ? last - i : i};
	qsort_r(ranked, rows->count, sizeof(*ranked), compare, &order);
	for (size_t i = 0; i < rows->count; i++)
		rows->all[i] = ranked[i].row;
	free(ranked);
}

/* Side lanes that were never used. Refusals for want of one are on the first. */
static bool is_unused(const json_t *row)
{
	return get_true(row, "side") && !get_count(row, "published") &&
	       !get_count(row, "held") && !get_count(row, "dropped_total");
}

void pick_rows(struct picked *rows, const struct draw *draw, const char *part,
	       enum view_screen screen)
{
	const json_t *array = json_object_get(draw->shown->look, part);
	json_t *row;
	size_t i;

	*rows = (struct picked){
		.all = calloc(json_array_size(array) + 1, sizeof(json_t *))};
	json_array_foreach(array, i, row)
	{
		if (rows->all && !is_unused(row) &&
		    passes(row, draw->view->filter))
			rows->all[rows->count++] = row;
	}
	sort(rows, (struct order){view_sort(draw->view, screen)->path,
				  draw->view->reversed[screen]});
}

void pick_of(struct picked *rows, const struct draw *draw, const char *part,
	     const char *channel, const char *key, const json_t *value)
{
	const json_t *array = json_object_get(draw->shown->look, part);
	json_t *row;
	size_t i;

	*rows = (struct picked){
		.all = calloc(json_array_size(array) + 1, sizeof(json_t *))};
	json_array_foreach(array, i, row)
	{
		if (rows->all && !strcmp(get_text(row, "channel"), channel) &&
		    json_equal(json_object_get(row, key), value))
			rows->all[rows->count++] = row;
	}
}

void pick_free(struct picked *rows)
{
	free(rows->all);
	*rows = (struct picked){0};
}
