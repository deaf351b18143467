/* SPDX-License-Identifier: Apache-2.0 */
/* `counters --explain`: each counter with meaning, cause and remedy. */
#include <stdio.h>
#include <string.h>

#include "tools/shmstat/text.h"

static void print_text(const json_t *row, const char *key, size_t width)
{
	printf("  %-8s", key);
	text_wrap(json_string_value(json_object_get(row, key)), 10, width);
}

void text_explain(const json_t *counters, size_t width)
{
	static const struct column value = {"value", "", COLUMN_PLAIN, 1};
	char cell[CELL_BYTES];
	const json_t *row;
	size_t i;

	json_array_foreach(counters, i, row)
	{
		cell_print(cell, row, &value, false);
		printf("%s%s: %s %s (%s of the %s)\n", i ? "\n" : "",
		       json_string_value(json_object_get(row, "counter")), cell,
		       json_string_value(json_object_get(row, "unit")),
		       json_string_value(json_object_get(row, "type")),
		       json_string_value(json_object_get(row, "of")));
		print_text(row, "meaning", width);
		print_text(row, "cause", width);
		print_text(row, "remedy", width);
	}
}
