/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows of a look are shown, and in which order: the filters of the command line. They
 * work on the JSON, so every form has the same rows.
 */
#ifndef STAT_ROWS_H
#define STAT_ROWS_H

#include "tools/shmstat/command.h"

/* Takes out of every part what the filters leave out. */
void rows_select(json_t *look, const struct stat_args *args);

/*
 * Whether a --sort key is one of the parts that were named; then *key is that of the rows.
 * It may be spelled as the title of a column.
 */
bool rows_sort_key(uint32_t parts, const char *name, const char **key);

/* Only for tables: */
struct rows_left_out {
	size_t unused; /* side lanes that were never used */
	size_t beyond; /* --limit */
};

/* The rows of a table: without unused side lanes, equal segments folded into one. */
json_t *rows_for_text(const json_t *rows, uint32_t part,
		      const struct stat_args *args, struct rows_left_out *left);

#endif
