/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that fit nothing. See the header. */
#include "tools/shmstat/named.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN 12 /* names in a message */

const char *const named_keys[] = {"channel", "class",   "group",
				  "comm",    "counter", NULL};

/* ---- names that are there ------------------------------------------------------ */

/* The keys of `set` are names, in the order in which they came. */
static void add(json_t *set, const json_t *value)
{
	char number[24];

	if (json_is_string(value)) {
		json_object_set_new(set, json_string_value(value), json_true());
	} else if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(value));
		json_object_set_new(set, number, json_true());
	}
}

static void add_rows(json_t *set, const json_t *rows, const char *key)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) add(set, json_object_get(row, key));
}

/* Takes the rows. */
static json_t *set_of(json_t *rows, const char *key)
{
	json_t *set = json_object();

	add_rows(set, rows, key);
	json_decref(rows);
	return set;
}

static json_t *nodes_of(const struct tpi_inspect *inspect)
{
	json_t *set = set_of(stat_lanes(inspect), "node"),
	       *rows = stat_segments(inspect);

	add_rows(set, rows, "node");
	json_decref(rows);
	return set;
}

/* Of all parts that were asked for. */
static json_t *names_in(const json_t *look)
{
	json_t *set = json_object();
	const struct part *part;

	for (size_t p = 0; (part = part_at(p)); p++)
		for (size_t k = 0; named_keys[k]; k++)
			add_rows(set, json_object_get(look, part->name),
				 named_keys[k]);
	return set;
}

/* Else not all names are known. */
static bool all_is_read(const struct tpi_inspect *inspect)
{
	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++)
		if (*inspect->channels[i].why)
			return false;
	return true;
}

/* ---- filters ------------------------------------------------------------------- */

struct asked {
	const char *option, *noun;
	const char *glob; /* NULL: a range */
	const struct stat_range *range;
	char *text;
	size_t bytes;
};

static bool fits(const struct asked *a, const char *name)
{
	long long number;

	if (a->glob)
		return !fnmatch(a->glob, name, 0);
	number = strtoll(name, NULL, 10);
	return number >= a->range->first && number <= a->range->last;
}

static size_t say_asked(const struct asked *a)
{
	char range[48];

	snprintf(range, sizeof(range), "%lld", (long long)a->range->first);
	if (a->range->last != a->range->first)
		snprintf(range, sizeof(range), "%lld-%lld",
			 (long long)a->range->first, (long long)a->range->last);
	return (size_t)snprintf(a->text, a->bytes, "%s: there is no %s %s",
				a->option, a->noun, range);
}

static void say(const struct asked *a, json_t *set)
{
	size_t at = a->glob ? (size_t)snprintf(a->text, a->bytes,
					       "%s: there is no %s '%s'",
					       a->option, a->noun, a->glob)
			    : say_asked(a),
	       shown = 0;
	const json_t *value;
	const char *name;

	json_object_foreach(set, name, value)
	{
		if (at >= a->bytes || shown == SHOWN)
			break;
		at += (size_t)snprintf(a->text + at, a->bytes - at, "%s%s",
				       shown ? ", " : ": there are ", name);
		shown++;
	}
	if (at >= a->bytes)
		return;
	if (!shown)
		snprintf(a->text + at, a->bytes - at, ", and no other one");
	else if (json_object_size(set) > shown)
		snprintf(a->text + at, a->bytes - at, ", and %zu more",
			 json_object_size(set) - shown);
}

/* Takes the set. */
static bool is_unknown(const struct asked *a, json_t *set)
{
	const json_t *value;
	const char *name;
	bool known = false;

	json_object_foreach(set, name, value) known |= fits(a, name);
	if (!known)
		say(a, set);
	json_decref(set);
	return !known;
}

static bool globs_are_unknown(const struct stat_globs *globs,
			      const json_t *look, struct asked a)
{
	json_t *names = globs->count ? names_in(look) : NULL;
	bool unknown = false;

	a.option = "-I";
	a.noun = "name in what is shown that fits";
	for (size_t i = 0; !unknown && i < globs->count; i++) {
		a.glob = globs->at[i];
		unknown = is_unknown(&a, json_incref(names));
	}
	json_decref(names);
	return unknown;
}

bool named_is_unknown(const struct stat_filter *filter,
		      const struct tpi_inspect *inspect, const json_t *look,
		      char *text, size_t bytes)
{
	const struct asked channel = {"--channel", "channel", filter->channel,
				      NULL,        text,      bytes},
			   client = {"--client", "client with number",
				     NULL,       &filter->client,
				     text,       bytes},
			   cpu = {"--cpu",      "lane of CPU", NULL,
				  &filter->cpu, text,          bytes},
			   node = {"--node", "lane or segment of node",
				   NULL,     &filter->node,
				   text,     bytes};

	if (filter->channel &&
	    is_unknown(&channel, set_of(stat_channels(inspect), "channel")))
		return true;
	if (filter->client.set &&
	    is_unknown(&client, set_of(stat_clients_quick(inspect), "pid")))
		return true;
	if (!all_is_read(inspect))
		return false;
	if (filter->cpu.set &&
	    is_unknown(&cpu, set_of(stat_lanes(inspect), "cpu")))
		return true;
	if (filter->node.set && is_unknown(&node, nodes_of(inspect)))
		return true;
	return look &&
	       globs_are_unknown(&filter->include, look,
				 (struct asked){.text = text, .bytes = bytes});
}
