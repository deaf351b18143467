/* SPDX-License-Identifier: Apache-2.0 */
/* `tapio-shmstat snapshot FILE`: copies the memory to a file (tools/inspect/snapshot.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/error.h"
#include "tools/inspect/snapshot.h"
#include "tools/shmstat/command.h"

#define ATTEMPTS 3 /* to map the memory as it is */

enum {
	OPTION_FORCE = 'f',
	OPTION_NO_EVENTS = 0x400,
};

static const struct argp_option options[] = {
	{0, 0, 0, 0, "snapshot", 4},
	{"force", OPTION_FORCE, NULL, 0, "Overwrite FILE", 4},
	{"no-events", OPTION_NO_EVENTS, NULL, 0,
	 "Leave the events out, and keep all counts. Without it the file has "
	 "the events of producers: treat it as you treat them",
	 4},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct stat_args *args = state->input;

	(void)arg;
	switch (key) {
	case OPTION_FORCE:
		args->force = true;
		return 0;
	case OPTION_NO_EVENTS:
		args->no_events = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp command_snapshot_argp = {
	.options = options,
	.parser = parse,
};

static bool is_stopped(void)
{
	return tpi_stop_signal() != 0;
}

static void print_json(const struct tpi_snapshot_report *r, const char *file,
		       json_t *not_read)
{
	json_t *object = json_object();

	json_object_set_new(object, "schema",
			    json_string("tapio-shmstat-snapshot.1"));
	json_object_set_new(object, "file", json_string(file));
	json_object_set_new(object, "file_bytes", value_count(r->file_bytes));
	json_object_set_new(object, "data_bytes", value_count(r->data_bytes));
	json_object_set_new(object, "memory_bytes",
			    value_count(r->memory_bytes));
	json_object_set_new(object, "segments", value_count(r->segments));
	json_object_set_new(object, "lanes", value_count(r->lanes));
	json_object_set_new(object, "lanes_moved", value_count(r->moved));
	json_object_set_new(object, "catalog_whole",
			    json_boolean(r->catalog_whole));
	json_object_set_new(object, "window_ns",
			    value_count((uint64_t)r->window_ns));
	json_object_set(object, "not_read", not_read);
	json_dumpf(object, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(object);
}

/* The file says it, too. */
static void say_not_read(const json_t *not_read)
{
	const json_t *row;
	size_t i;

	json_array_foreach(not_read, i, row)
		tpi_say("channel %s is not in it: %s",
			json_string_value(json_object_get(row, "channel")),
			json_string_value(json_object_get(row, "why")));
}

static void print(const struct tpi_snapshot_report *r,
		  const struct stat_args *args, const json_t *not_read)
{
	printf("%s: %.1f MiB of memory in %.1f MiB, %" PRIu32
	       " segments, taken in %.1f ms, %s\n",
	       args->words[0], (double)r->memory_bytes / 1048576,
	       (double)r->data_bytes / 1048576, r->segments,
	       (double)r->window_ns / 1e6,
	       args->no_events ? "without events" : "with events");
	if (r->moved)
		printf("%" PRIu32 " of %" PRIu32
		       " lanes moved while they were copied: the file marks "
		       "all that is unsettled\n",
		       r->moved, r->lanes);
	if (json_array_size(not_read))
		printf("%zu channel%s could not be read: the file has the "
		       "names and the reasons, and no numbers\n",
		       json_array_size(not_read),
		       TPI_PLURAL(json_array_size(not_read)));
	if (!r->catalog_whole)
		puts("the catalog changed all the time: findings of a check are "
		     "unsettled");
}

static int write_once(struct tpi_inspect *inspect, struct stat_args *args)
{
	const struct tpi_snapshot_options how = {
		.force = args->force,
		.no_events = args->no_events,
		.stop = is_stopped,
	};
	struct tpi_snapshot_report report;
	json_t *not_read;
	char error[512];
	int err = tpi_snapshot_write(inspect, args->words[0], &how, &report,
				     error, sizeof(error));

	if (err == -ESTALE)
		return err;
	if (err) {
		tpi_say("%s", *error ? error : strerror(-err));
		return TPI_EXIT_FAILURE;
	}
	not_read = parts_not_read(inspect);
	say_not_read(not_read);
	if (args->json)
		print_json(&report, args->words[0], not_read);
	else
		print(&report, args, not_read);
	json_decref(not_read);
	if (fflush(stdout))
		return TPI_EXIT_FAILURE;
	return tpi_inspect_denied(inspect) ? STAT_EXIT_PERMISSION : TPI_EXIT_OK;
}

int command_snapshot(struct stat_args *args)
{
	struct tpi_inspect *inspect;
	int status;

	tpi_signals_init();
	for (int left = ATTEMPTS; left; left--) {
		status = stat_open(args, &inspect);
		if (status)
			return status;
		status = write_once(inspect, args);
		tpi_inspect_close(inspect);
		if (status != -ESTALE)
			return status;
	}
	tpi_say("the memory of a slot or a channel was replaced during each of "
		"%d attempts: try again",
		ATTEMPTS);
	return TPI_EXIT_FAILURE;
}
