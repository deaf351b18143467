/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing JSON for people. Numbers are set to the right, words to the left.
 * An object is the list of its entries that are not zero, an array is its words,
 * and "-" stands for what is not there.
 */
#include <stdio.h>
#include <string.h>

#include "tools/shmstat/stat.h"

#define CELL_BYTES  256
#define COLUMNS_MAX 24

static void print_bytes(char *cell, json_int_t bytes)
{
	static const char units[] = "BKMGT";
	double n = (double)bytes;
	int unit = 0;

	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	if (n == (double)(json_int_t)n)
		snprintf(cell, CELL_BYTES, "%lld%c", (long long)n, units[unit]);
	else
		snprintf(cell, CELL_BYTES, "%.1f%c", n, units[unit]);
}

static void print_seconds(char *cell, double s)
{
	if (s < 120)
		snprintf(cell, CELL_BYTES, "%.1fs", s);
	else if (s < 7200)
		snprintf(cell, CELL_BYTES, "%.0fm%02.0fs",
			 (double)(long)(s / 60),
			 s - 60 * (double)(long)(s / 60));
	else
		snprintf(cell, CELL_BYTES, "%.1fh", s / 3600);
}

static void append(char *cell, const char *text)
{
	size_t used = strlen(cell);

	snprintf(cell + used, CELL_BYTES - used, "%s%s", used ? "," : "", text);
}

static void print_object(char *cell, const json_t *object)
{
	char entry[CELL_BYTES];
	json_t *value;
	const char *key;

	*cell = 0;
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (json_is_integer(value) && json_integer_value(value)) {
			snprintf(entry, sizeof(entry), "%s=%lld", key,
				 (long long)json_integer_value(value));
			append(cell, entry);
		} else if (json_is_string(value)) {
			snprintf(entry, sizeof(entry), "%s=%s", key,
				 json_string_value(value));
			append(cell, entry);
		}
	}
	if (!*cell)
		strcpy(cell, json_object_size(object) ? "0" : "-");
}

static void print_array(char *cell, const json_t *array)
{
	const json_t *value;
	size_t i;

	*cell = 0;
	json_array_foreach(array, i, value) if (json_is_string(value))
		append(cell, json_string_value(value));
	if (!*cell)
		strcpy(cell, "-");
}

static void print_cell(char *cell, const json_t *value,
		       const struct column *column)
{
	if (json_is_integer(value) && column->format == COLUMN_BYTES)
		print_bytes(cell, json_integer_value(value));
	else if (json_is_number(value) && column->format == COLUMN_SECONDS)
		print_seconds(cell, json_number_value(value));
	else if (json_is_integer(value))
		snprintf(cell, CELL_BYTES, "%lld",
			 (long long)json_integer_value(value));
	else if (json_is_real(value))
		snprintf(cell, CELL_BYTES, "%.3f", json_real_value(value));
	else if (json_is_string(value))
		snprintf(cell, CELL_BYTES, "%s",
			 json_string_length(value) ? json_string_value(value)
						   : "-");
	else if (json_is_boolean(value))
		strcpy(cell, json_is_true(value) ? "yes" : "no");
	else if (json_is_object(value))
		print_object(cell, value);
	else if (json_is_array(value))
		print_array(cell, value);
	else
		strcpy(cell, "-");
}

static bool column_is_number(const json_t *rows, const char *key)
{
	const json_t *row;
	size_t i;

	json_array_foreach(
		rows, i,
		row) if (!json_is_number(json_object_get(row, key)) &&
			 !json_is_null(json_object_get(row, key))) return false;
	return true;
}

static void print_padded(const char *cell, int width, bool right, bool last)
{
	if (right)
		printf("%*s", width, cell);
	else
		printf("%-*s", last ? 0 : width, cell);
	fputs(last ? "\n" : "  ", stdout);
}

void table_print(const json_t *rows, const struct column *columns)
{
	int width[COLUMNS_MAX], count = 0;
	bool right[COLUMNS_MAX];
	char cell[CELL_BYTES];
	const json_t *row;
	size_t i;

	for (; columns[count].title && count < COLUMNS_MAX; count++) {
		const struct column *c = &columns[count];

		width[count] = (int)strlen(c->title);
		right[count] = column_is_number(rows, c->key);
		json_array_foreach(rows, i, row)
		{
			print_cell(cell, json_object_get(row, c->key), c);
			if ((int)strlen(cell) > width[count])
				width[count] = (int)strlen(cell);
		}
	}
	for (int c = 0; c < count; c++)
		print_padded(columns[c].title, width[c], right[c],
			     c == count - 1);
	json_array_foreach(rows, i, row) for (int c = 0; c < count; c++)
	{
		print_cell(cell, json_object_get(row, columns[c].key),
			   &columns[c]);
		print_padded(cell, width[c], right[c], c == count - 1);
	}
}

void table_print_object(const json_t *object, const struct column *columns)
{
	char cell[CELL_BYTES];

	for (const struct column *c = columns; c->title; c++) {
		print_cell(cell, json_object_get(object, c->key), c);
		printf("%-18s %s\n", c->title, cell);
	}
}
