/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat instances`: all brokers' memories on this host (tools/inspect/instances.h). */
#include <stdio.h>
#include <stdlib.h>

#include "tools/inspect/instances.h"
#include "tools/shmstat/text.h"

#define DIGITS 8

static const struct column columns[] = {
	{"begins", "INSTANCE", COLUMN_PLAIN, 1},
	{"state", "STATE", COLUMN_PLAIN, 1},
	{"broker_pid", "BROKER", COLUMN_PLAIN, 1},
	{"broker_process", "PROCESS", COLUMN_PLAIN, 1},
	{"channels", "CHANNELS", COLUMN_COUNT, 2},
	{"attached", "ATTACHED", COLUMN_COUNT, 2},
	{"pid", "IN", COLUMN_PLAIN, 1},
	{"command", "COMMAND", COLUMN_PLAIN, 2},
	{"from", "BY", COLUMN_PLAIN, 3},
	{"version", "VERSION", COLUMN_PLAIN, RANK_WIDE},
	{0},
};

/* A table has the first digits, enough for --instance. */
static json_t *row_of(const struct tpi_instance *i, bool whole)
{
	static const char *const states[] = {"served", "kept", "left",
					     "unknown"};
	static const char *const processes[] = {"unknown", "running", "stopped",
						"gone"};
	json_t *row = json_object();

	json_object_set_new(row, whole ? "instance" : "begins",
			    json_stringn(i->name, whole ? 32 : DIGITS));
	json_object_set_new(row, "state", json_string(states[i->state]));
	json_object_set_new(row, "broker_pid", value_count(i->broker_pid));
	json_object_set_new(row, "broker_process",
			    json_string(processes[i->broker]));
	json_object_set_new(row, "version",
			    value_text(i->version, sizeof(i->version)));
	json_object_set_new(row, "started_ns", value_count(i->started_ns));
	json_object_set_new(row, "channels", value_count(i->channels));
	json_object_set_new(row, "attached", value_count(i->attached));
	json_object_set_new(row, "pid", json_integer(i->pid));
	json_object_set_new(row, "command",
			    value_text(i->command, sizeof(i->command)));
	json_object_set_new(row, "from",
			    json_string(tpi_inspect_source_name(i->source)));
	return row;
}

static void print(const struct stat_args *args, json_t *rows, bool denied)
{
	const struct table_style style = {.width = text_width(args),
					  .titles = !args->no_header};
	json_t *look;

	if (!args->json) {
		table_print(rows, columns, &style);
		return;
	}
	look = json_object();
	json_object_set_new(look, "schema",
			    json_string("tapio-shmstat-instances.1"));
	json_object_set_new(look, "denied", json_boolean(denied));
	json_object_set(look, "instances", rows);
	json_dumpf(look, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(look);
}

static int show(void *context)
{
	struct stat_args *args = context;
	struct tpi_instance *all;
	size_t count;
	bool denied;
	json_t *rows;

	if (tpi_instances(&args->look, &all, &count, &denied)) {
		tpi_say("out of memory");
		return TPI_EXIT_FAILURE;
	}
	rows = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(rows, row_of(&all[i], args->json));
	if (!count)
		tpi_say("no broker's memory was found%s",
			denied ? " (there is no right to look into some "
				 "processes)"
			       : "");
	if (count || args->json)
		print(args, rows, denied);
	json_decref(rows);
	free(all);
	if (count)
		return TPI_EXIT_OK;
	return denied ? STAT_EXIT_PERMISSION : TPI_EXIT_NO_BROKER;
}

int command_instances(struct stat_args *args)
{
	args->look.socket = tpi_connect_socket(&args->connect);
	return stat_repeat(args, show, args);
}
