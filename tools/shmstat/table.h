/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people, printed from JSON rows (table.c, cell.c).
 *
 * A table that is wider than it may be gives way step by step: columns that only matter to
 * few, then the digits of large numbers, then columns by rank, then the middle of long
 * names. Columns of rank 1 always stay.
 */
#ifndef STAT_TABLE_H
#define STAT_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CELL_BYTES  1024
#define COLUMNS_MAX 24

/* Dropped before a number loses digits. */
#define RANK_WIDE 5

enum column_format {
	COLUMN_PLAIN,   /* a word, or a number that names something */
	COLUMN_COUNT,   /* a number that may be printed as 12.3M */
	COLUMN_BYTES,   /* as 16M */
	COLUMN_SECONDS, /* as 3h12m */
	COLUMN_NS,      /* nanoseconds, as 12.5us */
};

struct column {
	const char *
		key; /* of the row; "latency_ns/p50" is that of an object in it */
	const char *title; /* NULL ends the list */
	enum column_format format;
	int rank; /* 1: always shown. The larger, the sooner it is left out */
};

struct table_style {
	size_t width; /* 0: as wide as it must be */
	bool titles;
};

/* What a key names in a row, or NULL. */
json_t *row_get(const json_t *row, const char *key);

/*
 * One cell. `scaled`: large counts as 12.3M. Counts of a row that is unsettled begin with
 * "~". "+" follows a sum over groups of which some could not be read: at least so many. "-"
 * stands for what is not there.
 */
void cell_print(char cell[CELL_BYTES], const json_t *row,
		const struct column *column, bool scaled);
/* Shortens it to `width` (8 or more) by its middle. */
void cell_cut(char cell[CELL_BYTES], size_t width);

/* An array of objects, a line each. Returns how many columns were left out. */
int table_print(const json_t *rows, const struct column *columns,
		const struct table_style *style);
/* One object, a line for each key, and more for a long value. */
void table_print_object(const json_t *object, const struct column *columns,
			const struct table_style *style);

#endif
