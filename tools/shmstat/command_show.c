/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat lanes groups`: parts of a look, as tables or as JSON. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/shmstat/rows.h"
#include "tools/shmstat/text.h"

struct show {
	struct stat_args *args;
	struct tpi_inspect *inspect;
	bool seen; /* there was a look */
};

static void print(json_t *look, const struct stat_args *args)
{
	bool again = args->repeat_ns || args->count > 1;

	if (args->json) {
		json_dumpf(look, stdout,
			   (again ? JSON_COMPACT : JSON_INDENT(2)) |
				   JSON_REAL_PRECISION(6));
		putchar('\n');
		return;
	}
	if (args->repeat_ns && isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	text_print(look, args);
}

/* A counter that was named and is none is wrong usage, which only the memory tells. */
static int check_names(const json_t *look, const struct stat_args *args)
{
	const json_t *rows = json_object_get(look, "counters"), *row;
	size_t i;

	for (int w = 0; w < args->word_count; w++) {
		bool found = false;

		json_array_foreach(rows, i, row)
		{
			const char *name = json_string_value(
				json_object_get(row, "counter"));

			found |= name && !strcmp(name, args->words[w]);
		}
		if (found)
			continue;
		tpi_say("there is no counter '%s': 'tapio-shmstat counters' "
			"names all",
			args->words[w]);
		return TPI_EXIT_USAGE;
	}
	return 0;
}

static int show(void *context)
{
	struct show *s = context;
	json_t *look;
	int status =
		stat_look(s->args, s->inspect, s->args->parts, !s->seen, &look);

	if (status)
		return status;
	s->seen = true;
	status = check_names(look, s->args);
	if (!status) {
		print(look, s->args);
		status = stat_look_status(look);
	}
	json_decref(look);
	return status;
}

/* Without a broker: what this version knows. */
static int explain_alone(const struct stat_args *args)
{
	json_t *look = json_object();
	int status;

	json_object_set_new(look, "schema", json_string(STAT_SCHEMA_COUNTERS));
	json_object_set_new(look, "counters", stat_counters(NULL));
	rows_select(look, args);
	status = check_names(look, args);
	if (!status && args->json)
		print(look, args);
	else if (!status)
		text_explain(json_object_get(look, "counters"),
			     text_width(args));
	json_decref(look);
	return status;
}

int command_show(struct stat_args *args)
{
	struct show s = {.args = args};
	int status = stat_open(args, &s.inspect);

	if ((status == TPI_EXIT_NO_BROKER || status == STAT_EXIT_PERMISSION) &&
	    !args->look.file && args->explain && args->parts == PART_COUNTERS)
		return explain_alone(args);
	if (status)
		return status;
	status = stat_repeat(args, show, &s);
	tpi_inspect_close(s.inspect);
	return status;
}
