/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a look as tables, and what is to be said below them. */
#include "tools/shmstat/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "tools/shmstat/rows.h"

#define WIDTH     80
#define WIDTH_MIN 40 /* of a terminal; narrower ones wrap */

size_t text_width(const struct stat_args *args)
{
	struct winsize size;

	if (args->wide)
		return 0;
	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ||
	    !size.ws_col)
		return WIDTH;
	return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
}

void text_wrap(const char *text, size_t indent, size_t width)
{
	size_t room = width > indent + 20 ? width - indent : 0;

	while (room && strlen(text) > room) {
		size_t at = room;

		while (at && text[at] != ' ')
			at--;
		if (!at)
			at = room;
		printf("%.*s\n%*s", (int)at, text, (int)indent, "");
		text += at + (text[at] == ' ');
	}
	puts(text);
}

static void say(const struct stat_args *args, const char *text)
{
	text_wrap(text, 0, text_width(args));
}

/* Of those clients that there is something to say about. */
static void print_clients_notes(const json_t *rows,
				const struct stat_args *args)
{
	const json_t *row;
	char line[640];
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *note =
			json_string_value(json_object_get(row, "note"));

		if (!note)
			continue;
		snprintf(line, sizeof(line), "(id %lld, process %lld %s)",
			 json_integer_value(json_object_get(row, "id")),
			 json_integer_value(json_object_get(row, "pid")), note);
		say(args, line);
	}
}

static void print_drains(const json_t *rows, const struct stat_args *args)
{
	const json_t *row;
	char line[640];
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *drain =
			json_string_value(json_object_get(row, "drain"));

		if (!drain)
			continue;
		snprintf(line, sizeof(line), "(channel %s is %s)",
			 json_string_value(json_object_get(row, "channel")),
			 drain);
		say(args, line);
	}
}

/* Of channels whose sums are without some groups. Of one that is not read there are no sums. */
static void print_groups_not_read(const json_t *rows,
				  const struct stat_args *args)
{
	const json_t *row;
	char line[256];
	size_t i;

	json_array_foreach(rows, i, row)
	{
		json_int_t count = json_integer_value(
			json_object_get(row, "groups_not_read"));

		if (!count || !json_is_integer(json_object_get(row, "lanes")))
			continue;
		snprintf(line, sizeof(line),
			 "(channel %s: %lld group%s could not be read, so sums "
			 "with + are at least so many)",
			 json_string_value(json_object_get(row, "channel")),
			 (long long)count, TPI_PLURAL(count));
		say(args, line);
	}
}

/* Rows that the table does not have, with the reason. */
static void print_left_out(const struct rows_left_out *left, int columns)
{
	if (left->unused)
		printf("(%zu unused side lane%s not shown; --all shows them)\n",
		       left->unused, left->unused == 1 ? " is" : "s are");
	if (left->beyond)
		printf("(%zu more row%s beyond --limit)\n", left->beyond,
		       TPI_PLURAL(left->beyond));
	if (columns)
		printf("(%d more column%s with --wide)\n", columns,
		       TPI_PLURAL(columns));
}

/* A channel that there is no right to read has a line without numbers. */
static void append_not_read(json_t *rows, const json_t *look)
{
	const json_t *row;
	json_t *line;
	size_t i;

	json_array_foreach(json_object_get(look, "not_read"), i, row)
	{
		line = json_object();
		json_object_set(line, "channel",
				json_object_get(row, "channel"));
		json_array_append_new(rows, line);
	}
}

static void print_rows(const json_t *look, const struct part *part,
		       const struct stat_args *args)
{
	const struct table_style style = {text_width(args), !args->no_header};
	const json_t *all = json_object_get(look, part->name);
	struct rows_left_out left = {0};
	json_t *rows = rows_for_text(all, part->bit, args, &left);
	int columns;

	if (part->bit & (PART_LANES | PART_LEDGER) && !json_array_size(all))
		append_not_read(rows, look);
	columns = table_print(rows, part->columns, &style);
	if (!args->no_header)
		print_left_out(&left, columns);
	json_decref(rows);
	if (part->bit == PART_CLIENTS)
		print_clients_notes(all, args);
	if (part->bit == PART_CHANNELS)
		print_drains(all, args);
	if (part->bit & (PART_SUMMARY | PART_CHANNELS) && !args->no_header)
		print_groups_not_read(all, args);
}

/* What belongs to no channel. */
static void print_memory(const json_t *look, const struct stat_args *args)
{
	static const struct column used = {"used_bytes", "", COLUMN_BYTES, 1};
	static const struct column budget = {"budget_bytes", "", COLUMN_BYTES,
					     1};
	const json_t *l = json_object_get(look, "liveness");
	char a[CELL_BYTES], b[CELL_BYTES], line[640];

	cell_print(a, l, &used, false);
	cell_print(b, l, &budget, false);
	snprintf(line, sizeof(line),
		 "memory %.40s of %.40s, %lld of %lld clients", a, b,
		 json_integer_value(json_object_get(l, "clients")),
		 json_integer_value(json_object_get(l, "clients_max")));
	say(args, line);
}

static void print_part(const json_t *look, const struct part *part,
		       const struct stat_args *args)
{
	const struct table_style style = {text_width(args), !args->no_header};
	const json_t *value = json_object_get(look, part->name);

	if (part->bit == PART_SUMMARY && !args->no_header)
		print_memory(look, args);
	if (part->bit == PART_COUNTERS && args->explain)
		text_explain(value, text_width(args));
	else if (json_is_object(value))
		table_print_object(value, part->columns, &style);
	else
		print_rows(look, part, args);
}

static void print_faults(const json_t *look, const struct stat_args *args)
{
	const json_t *names = json_object_get(look, "faults"), *name;
	char line[1024] = "(not healthy: ";
	size_t i, at = strlen(line);
	const char *last = "";

	if (!json_array_size(names) || args->no_header)
		return;
	json_array_foreach(names, i, name)
	{
		const char *text = json_string_value(name);

		if (strcmp(text, last) && at < sizeof(line))
			at += (size_t)snprintf(line + at, sizeof(line) - at,
					       "%s%s", i ? ", " : "", text);
		last = text;
	}
	if (at < sizeof(line))
		snprintf(line + at, sizeof(line) - at,
			 "; tapio-shmstat why says more)");
	say(args, line);
}

static void print_verdict(const json_t *look, const struct stat_args *args)
{
	const json_t *healthy = json_object_get(look, "healthy");

	print_faults(look, args);
	if (args->parts & PART_SUMMARY && !args->no_header)
		puts(json_is_true(healthy) ? "healthy"
		     : json_is_null(healthy)
			     ? "health unknown: some is not read"
			     : "NOT healthy");
}

void text_print(const json_t *look, const struct stat_args *args)
{
	bool several = args->parts & (args->parts - 1);
	const struct part *part;

	if (!args->no_header)
		text_liveness(look, text_width(args));
	for (size_t i = 0; (part = part_at(i)); i++) {
		if (!json_object_get(look, part->name))
			continue;
		if (!args->no_header)
			putchar('\n');
		if (several)
			puts(part->name);
		print_part(look, part, args);
	}
	print_verdict(look, args);
}
