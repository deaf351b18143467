/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON value as people read it. An object is the list of its entries that are not zero,
 * an array is its words, and "-" stands for what is not there.
 */
#include <stdio.h>
#include <stdint.h>
#include <string.h>

#include "tools/shmstat/table.h"

#define SCALED_FROM 10000000 /* seven digits are read at a glance */

json_t *row_get(const json_t *row, const char *key)
{
	const char *slash = strchr(key, '/');
	char first[64];

	if (!slash)
		return json_object_get(row, key);
	snprintf(first, sizeof(first), "%.*s", (int)(slash - key), key);
	return json_object_get(json_object_get(row, first), slash + 1);
}

/*
 * With three digits and a unit: "12.3M", "99.9us". The next unit comes where n would be
 * rounded to 1000 of this one. A whole number has no fraction.
 */
static void print_scaled(char *cell, double n, double step,
			 const char *const *units)
{
	int digits = 2;

	for (; n >= step - 0.5 && units[1]; units++)
		n /= step;
	if (n == (double)(json_int_t)n || n >= 99.95)
		digits = 0;
	else if (n >= 9.995)
		digits = 1;
	snprintf(cell, CELL_BYTES, "%.*f%s", digits, n, *units);
}

static void print_count(char *cell, json_int_t n, bool scaled)
{
	static const char *const units[] = {"",  "k", "M", "G",
					    "T", "P", "E", NULL};

	if (scaled && n >= SCALED_FROM)
		print_scaled(cell, (double)n, 1000, units);
	else
		snprintf(cell, CELL_BYTES, "%lld", (long long)n);
}

static void print_seconds(char *cell, double s)
{
	unsigned long n = s > 0 ? (unsigned long)s : 0;

	if (s < 120)
		snprintf(cell, CELL_BYTES, "%.1fs", s);
	else if (n < 7200)
		snprintf(cell, CELL_BYTES, "%lum%02lus", n / 60, n % 60);
	else if (n < 172800)
		snprintf(cell, CELL_BYTES, "%luh%02lum", n / 3600,
			 n % 3600 / 60);
	else
		snprintf(cell, CELL_BYTES, "%lud%02luh", n / 86400,
			 n % 86400 / 3600);
}

/* Whole entries only: a number that is cut is another number. ".." stands for the rest. */
static void append(char *cell, const char *text)
{
	static const char rest[] = "..";
	size_t used = strlen(cell);

	if (used >= sizeof(rest) && !strcmp(cell + used - 2, rest))
		return;
	if (used + strlen(text) + sizeof(",,..") > CELL_BYTES)
		text = rest;
	if (used)
		cell[used++] = ',';
	strcpy(cell + used, text);
}

static void print_object(char *cell, const json_t *object, bool scaled)
{
	char entry[CELL_BYTES + 64], number[CELL_BYTES];
	json_t *value;
	const char *key;

	*cell = 0;
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (json_is_integer(value) && json_integer_value(value))
			print_count(number, json_integer_value(value), scaled);
		else if (json_is_string(value))
			snprintf(number, sizeof(number), "%s",
				 json_string_value(value));
		else
			continue;
		snprintf(entry, sizeof(entry), "%.60s=%s", key, number);
		append(cell, entry);
	}
	if (!*cell)
		strcpy(cell, json_object_size(object) ? "0" : "-");
}

static void print_array(char *cell, const json_t *array)
{
	const json_t *value;
	size_t i;

	*cell = 0;
	json_array_foreach(array, i, value)
	{
		if (json_is_string(value))
			append(cell, json_string_value(value));
	}
	if (!*cell)
		strcpy(cell, "-");
}

static void print_number(char *cell, const json_t *value,
			 enum column_format format, bool scaled)
{
	static const char *const bytes[] = {"B", "K", "M", "G", "T", "P", NULL};
	static const char *const times[] = {"ns", "us", "ms", "s", NULL};
	json_int_t n = json_integer_value(value);

	if (format == COLUMN_SECONDS)
		print_seconds(cell, json_number_value(value));
	else if (json_is_real(value))
		snprintf(cell, CELL_BYTES, "%.3f", json_real_value(value));
	else if (format == COLUMN_BYTES)
		print_scaled(cell, (double)n, 1024, bytes);
	else if (format == COLUMN_NS)
		print_scaled(cell, (double)n, 1000, times);
	else
		print_count(cell, n, scaled && format == COLUMN_COUNT);
}

/* A sum over groups of which some could not be read. */
static bool is_at_least(const json_t *row, const char *key)
{
	static const char *const sums[] = {"lost", "in_flight", "unread"};

	if (!json_integer_value(json_object_get(row, "groups_not_read")))
		return false;
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		if (!strcmp(key, sums[i]))
			return true;
	return false;
}

void cell_print(char cell[CELL_BYTES], const json_t *row,
		const struct column *column, bool scaled)
{
	const json_t *value = row_get(row, column->key);
	bool counts = column->format == COLUMN_COUNT;

	if (json_is_number(value)) {
		*cell = '~';
		counts &= json_is_true(json_object_get(row, "unsettled"));
		print_number(cell + counts, value, column->format, scaled);
		if (is_at_least(row, column->key))
			strcat(cell, "+");
	} else if (json_is_string(value)) {
		snprintf(cell, CELL_BYTES, "%s",
			 json_string_length(value) ? json_string_value(value)
						   : "-");
	} else if (json_is_boolean(value)) {
		strcpy(cell, json_is_true(value) ? "yes" : "no");
	} else if (json_is_object(value)) {
		print_object(cell, value, scaled);
	} else if (json_is_array(value)) {
		print_array(cell, value);
	} else {
		strcpy(cell, "-");
	}
}

void cell_cut(char cell[CELL_BYTES], size_t width)
{
	size_t length = strlen(cell), head = (width - 2 + 1) / 2,
	       tail = width - 2 - head;

	if (length <= width)
		return;
	memcpy(cell + head, "..", 2);
	memmove(cell + head + 2, cell + length - tail, tail + 1);
}
