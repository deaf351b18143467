/* SPDX-License-Identifier: Apache-2.0 */
/* One look as the command line wants it, and the exit status that it gives. */
#include <string.h>

#include "tools/shmstat/named.h"
#include "tools/shmstat/rows.h"

/* Once, when what could not be read changes: a look may be repeated for hours. */
static void say_not_read(const json_t *look)
{
	static json_t *said;
	json_t *not_read = json_object_get(look, "not_read"), *row;
	size_t i;

	if (said && json_equal(said, not_read))
		return;
	json_decref(said);
	said = json_deep_copy(not_read);
	json_array_foreach(not_read, i, row)
		tpi_say("channel %s is not shown: %s",
			json_string_value(json_object_get(row, "channel")),
			json_string_value(json_object_get(row, "why")));
}

int stat_look(const struct stat_args *args, const struct tpi_inspect *inspect,
	      uint32_t parts, bool first, json_t **out)
{
	json_t *look = parts_collect(inspect, parts);
	char text[512];

	*out = NULL;
	if (!look) {
		tpi_say("out of memory");
		return TPI_EXIT_FAILURE;
	}
	if (first && named_is_unknown(&args->filter, inspect, look, text,
				      sizeof(text))) {
		tpi_say("%s", text);
		json_decref(look);
		return TPI_EXIT_USAGE;
	}
	rows_select(look, args);
	say_not_read(look);
	*out = look;
	return 0;
}

int stat_look_status(const json_t *look)
{
	const json_t *healthy = json_object_get(look, "healthy");

	if (json_is_null(healthy))
		return STAT_EXIT_PERMISSION;
	return json_is_true(healthy) ? TPI_EXIT_OK : TPI_EXIT_FAILURE;
}
