/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advice as text, with its arithmetic, and as lines for tapiod.conf. The lines are the whole
 * section of a channel, as far as the catalog knows it, so that they replace the old one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/shmstat/advise.h"
#include "tools/shmstat/text.h"

#define MIB (INT64_C(1) << 20)

/* ---- lines for tapiod.conf -------------------------------------------------------- */

/* Exactly, in the largest unit of tapiod.conf that it is a multiple of. */
static void write_time(FILE *out, const char *name, json_int_t ns)
{
	static const struct {
		json_int_t of;
		const char *unit;
	} units[] = {
		{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
	size_t i = 0;

	while (ns % units[i].of)
		i++;
	fprintf(out, "%s = %lld%s\n", name, (long long)(ns / units[i].of),
		units[i].unit);
}

/* As libconfuse reads it back: in double quotes "${..}" would be a variable. */
static void write_name(FILE *out, const char *kind, const char *name)
{
	bool plain = !strpbrk(name, "\"\\$\'");

	fprintf(out, plain ? "%s \"" : "%s '", kind);
	for (; *name; name++)
		fprintf(out, *name == '\'' || *name == '\\' ? "\\%c" : "%c",
			*name);
	fputs(plain ? "\" {\n" : "' {\n", out);
}

static void write_class(FILE *out, const json_t *channel, const json_t *klass)
{
	write_name(out, "\tclass", row_text(klass, "class"));
	fprintf(out, "\t\tblock = %lld\n",
		(long long)row_count(klass, "block_bytes"));
	fprintf(out, "\t\tblocks = %lld\n",
		(long long)row_count(klass, "blocks_advised"));
	if (row_is(channel, "isolation", "channel")) {
		fprintf(out, "\t\tside_lanes = %lld\n",
			(long long)row_count(klass, "side_lanes_advised"));
		fprintf(out, "\t\tside_blocks = %lld\n",
			(long long)row_count(klass, "side_blocks_advised"));
	}
	fprintf(out, "\t\tpriority = %lld\n\t}\n",
		(long long)row_count(klass, "priority"));
}

/* Those that clients have made are not in the configuration. */
static void write_group(FILE *out, const json_t *group)
{
	const json_t *takeover = json_object_get(group, "takeover_ns");

	if (!json_is_true(json_object_get(group, "durable")))
		return;
	write_name(out, "\tgroup", row_text(group, "group"));
	fprintf(out, "\t\tpolicy = %s\n", row_text(group, "policy"));
	if (row_count(group, "lag_advised"))
		fprintf(out, "\t\tlag = %lld\n",
			(long long)row_count(group, "lag_advised"));
	if (json_is_integer(takeover))
		write_time(out, "\t\ttakeover", json_integer_value(takeover));
	else
		fputs("\t\ttakeover = never\n", out);
	fputs("\t}\n", out);
}

static void write_channel(FILE *out, const json_t *channel)
{
	const json_t *row;
	size_t i;

	write_name(out, "channel", row_text(channel, "channel"));
	fprintf(out, "\tfull = %s\n", row_text(channel, "full"));
	write_time(out, "\twait", row_count(channel, "wait_ns"));
	fprintf(out, "\tstamp = %s\n", row_text(channel, "stamp"));
	if (row_is(channel, "isolation", "process"))
		fprintf(out, "\tisolation = process\n\tproducers_max = %lld\n",
			(long long)row_count(channel, "producers_max"));
	json_array_foreach(json_object_get(channel, "classes"), i, row)
		write_class(out, channel, row);
	json_array_foreach(json_object_get(channel, "groups"), i, row)
		write_group(out, row);
	fputs("}\n", out);
}

char *advise_config(const json_t *channel)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	write_channel(out, channel);
	fclose(out);
	return text;
}

/* Segments are whole pages, of 2 MiB at most here: room for those, and to spare. */
char *advise_budget(const json_t *advice)
{
	json_int_t budget = row_count(advice, "budget_bytes");
	json_int_t needed = row_count(advice, "used_bytes_advised");
	char *text;

	needed += needed / 8 + 8 * MIB;
	if (needed <= budget)
		return NULL;
	if (asprintf(&text, "budget = %lldM\n",
		     (long long)((needed + MIB - 1) / MIB)) < 0)
		return NULL;
	return text;
}

/* ---- text ------------------------------------------------------------------------- */

static size_t columns;

static void say(const char *format, const json_t *numbers, size_t indent)
{
	char *text = cause_fill(format, numbers);

	printf("%*s", (int)indent, "");
	text_wrap(text ? text : "", indent, columns);
	free(text);
}

static void print_need(const json_t *need, const char *what, json_int_t before)
{
	json_t *numbers;

	if (!row_count(need, "most") && row_count(need, "advised") == before) {
		printf("    nothing was unread or refused: %s = %lld (as it "
		       "is)\n",
		       what, (long long)before);
		return;
	}
	numbers = json_copy((json_t *)(uintptr_t)need);

	if (!row_count(need, "lost"))
		json_object_set_new(numbers, "lost", json_null());
	if (!row_count(need, "refused"))
		json_object_set_new(numbers, "refused", json_null());
	json_object_set_new(numbers, "what", json_string(what));
	json_object_set_new(numbers, "before", json_integer(before));
	say("most needed, on lane {lane}[, by group {group}]: {unread} unread[ + "
	    "{lost} lost][ + {refused} refused] = {most}, x 2 = {twice}",
	    numbers, 4);
	if (row_count(need, "advised") == before)
		say("{what} = {before} (as it is)", numbers, 4);
	else
		say("{what} = {before} -> {advised}", numbers, 4);
	if (json_is_false(json_object_get(need, "enough")))
		say("A lane has 65536 blocks at most, which would not have been "
		    "enough: more members, a group with policy = lossless on a "
		    "channel with full = wait, or less to read",
		    numbers, 4);
	json_decref(numbers);
}

static void print_refusals(const json_t *klass)
{
	const json_t *refused = json_object_get(klass, "refused");

	if (row_count(refused, "size"))
		say("{size event} were larger than a block, and no count says by "
		    "how much: add a class with a larger block",
		    refused, 4);
	if (row_count(refused, "held"))
		say("{held event} were refused since half of a lane was reserved: "
		    "twice the blocks, or submit sooner",
		    refused, 4);
	if (row_count(refused, "no_lane"))
		say("{no_lane event} found no side lane: twice as many",
		    refused, 4);
}

static void print_class(const json_t *klass)
{
	const json_t *side = json_object_get(klass, "needed_on_side_lanes");

	say("class {class}: {lanes lane} of {blocks block} of {block_bytes B}; "
	    "{published event}, {busiest_per_s}/s on the busiest lane now",
	    klass, 2);
	print_need(json_object_get(klass, "needed"), "blocks",
		   row_count(klass, "blocks"));
	if (row_count(side, "most"))
		print_need(side, "side_blocks",
			   row_count(klass, "side_blocks"));
	print_refusals(klass);
}

static void print_group(const json_t *group)
{
	if (row_is(group, "policy", "until") && row_count(group, "lag"))
		say("group {group}: at most {needed} unread, lost and refused on a "
		    "lane: "
		    "lag = {lag} -> {lag_advised}",
		    group, 2);
	else
		say("group {group} ({policy}): at most {high_water} unread on a "
		    "lane, {lost event} lost",
		    group, 2);
}

static void print_channel(const json_t *channel)
{
	const json_t *row;
	size_t i;

	say("channel {channel}: {published event} in all, {uptime_s} s since the "
	    "broker started",
	    channel, 0);
	if (json_is_false(json_object_get(channel, "seen_enough"))) {
		printf("  seen too little to advise: it takes %d events and %d "
		       "s under the load at\n  its peak, or events that were "
		       "lost or refused\n",
		       ADVISE_EVENTS_LEAST, ADVISE_SECONDS_LEAST);
		return;
	}
	json_array_foreach(json_object_get(channel, "classes"), i, row)
		print_class(row);
	json_array_foreach(json_object_get(channel, "groups"), i, row)
		print_group(row);
	json_array_foreach(json_object_get(channel, "memory"), i, row)
		say("memory of lanes on node {node}: {bytes B} -> "
		    "{bytes_advised B}",
		    row, 2);
}

static void print_config(const json_t *advice)
{
	char *text = advise_budget(advice);
	const json_t *channel;
	size_t i;

	puts("\n# For tapiod.conf, in place of what it has. It takes new memory: "
	     "restart tapiod\n# after tapiod --check. groups_max, "
	     "uid_groups_max and allow stay as they were.");
	if (text)
		fputs(text, stdout);
	free(text);
	json_array_foreach(json_object_get(advice, "channels"), i, channel)
	{
		if (!json_is_true(json_object_get(channel, "seen_enough")))
			continue;
		text = advise_config(channel);
		if (text)
			fputs(text, stdout);
		free(text);
	}
}

void advise_print(const json_t *advice, size_t width)
{
	const json_t *channel;
	bool any = false;
	size_t i;

	columns = width;

	json_array_foreach(json_object_get(advice, "channels"), i, channel)
	{
		print_channel(channel);
		any |= json_is_true(json_object_get(channel, "seen_enough"));
	}
	if (any)
		print_config(advice);
}
