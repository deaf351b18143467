/* SPDX-License-Identifier: Apache-2.0 */
/* Columns on a sheet: those that the width has room for, and one that takes the rest. */
#ifndef WATCH_TABLE_H
#define WATCH_TABLE_H

#include "tools/shmstat/watch/view.h"

struct tcolumn {
	const char *title; /* NULL ends the list */
	int width;         /* negative: to the right. 0: takes the rest */
	int from;          /* the width of a sheet from which it is shown */
};

#define TABLE_COLUMNS 20

struct table {
	struct draw *draw;
	const struct tcolumn *columns;
	int x[TABLE_COLUMNS], width[TABLE_COLUMNS]; /* width 0: not shown */
	int row;
};

/* Lays the columns out, and adds a row with their titles. */
void table_begin(struct table *table, struct draw *draw,
		 const struct tcolumn *columns);
/* The next row. `key` makes it selectable unless it is NULL. */
void table_row(struct table *table, const char *key);
void table_text(struct table *table, int column, enum style style,
		const char *text);
/* Numbers: a count, a rate, nanoseconds shown as us. Zeros are dim in style PLAIN. */
void table_count(struct table *table, int column, enum style style, double n);
void table_rate(struct table *table, int column, enum style style, double n);
void table_us(struct table *table, int column, enum style style, double ns);
/* The history of a row. */
void table_spark(struct table *table, int column, const char *key,
		 const char *name);
void table_bar(struct table *table, int column, double part);

#endif
