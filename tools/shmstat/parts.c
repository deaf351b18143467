/* SPDX-License-Identifier: Apache-2.0 */
/* One table says everything about the parts. The rest follows it. */
#include "tools/shmstat/parts.h"

#include <stdio.h>
#include <string.h>

static const struct column broker_columns[] = {
	{"pid", "pid", COLUMN_PLAIN},
	{"process", "process", COLUMN_PLAIN},
	{"version", "version", COLUMN_PLAIN},
	{"abi", "layout", COLUMN_PLAIN},
	{"state", "state", COLUMN_PLAIN},
	{"uptime_s", "uptime", COLUMN_SECONDS},
	{"budget_bytes", "budget", COLUMN_BYTES},
	{"used_bytes", "used", COLUMN_BYTES},
	{"rseq", "rseq", COLUMN_PLAIN},
	{"rseq_reason", "rseq reason", COLUMN_PLAIN},
	{"features", "features", COLUMN_PLAIN},
	{"cpus_possible", "possible CPUs", COLUMN_PLAIN},
	{"nodes", "nodes", COLUMN_PLAIN},
	{"clients_max", "clients at most", COLUMN_PLAIN},
	{"clock_error_ns", "clock error, ns", COLUMN_PLAIN},
	{"clock_steps", "clock was set", COLUMN_PLAIN},
	{"counters", "counters", COLUMN_PLAIN},
	{0},
};

static const struct column channel_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN},
	{"lanes", "LANES", COLUMN_PLAIN},
	{"nodes", "NODES", COLUMN_PLAIN},
	{"full", "FULL", COLUMN_PLAIN},
	{"stamp", "STAMP", COLUMN_PLAIN},
	{"generation", "GENERATION", COLUMN_PLAIN},
	{"error", "ERROR", COLUMN_PLAIN},
	{0},
};

static const struct column segment_columns[] = {
	{"kind", "KIND", COLUMN_PLAIN},
	{"channel", "CHANNEL", COLUMN_PLAIN},
	{"index", "INDEX", COLUMN_PLAIN},
	{"length_bytes", "LENGTH", COLUMN_BYTES},
	{"page_bytes", "PAGE", COLUMN_BYTES},
	{"huge_bytes", "HUGE", COLUMN_BYTES},
	{"rung", "RUNG", COLUMN_PLAIN},
	{"rungs_failed", "NOT REACHED", COLUMN_PLAIN},
	{"node", "NODE", COLUMN_PLAIN},
	{"placement", "PLACEMENT", COLUMN_PLAIN},
	{"placement_error", "WHY", COLUMN_PLAIN},
	{"seals", "SEALS", COLUMN_PLAIN},
	{0},
};

static const struct column lane_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN},
	{"class", "CLASS", COLUMN_PLAIN},
	{"lane", "LANE", COLUMN_PLAIN},
	{"cpu", "CPU", COLUMN_PLAIN},
	{"node", "NODE", COLUMN_PLAIN},
	{"owner", "OWNER", COLUMN_PLAIN},
	{"capacity", "BLOCKS", COLUMN_PLAIN},
	{"block_bytes", "OF", COLUMN_BYTES},
	{"used", "USED", COLUMN_PLAIN},
	{"high_water", "PEAK", COLUMN_PLAIN},
	{"published", "PUBLISHED", COLUMN_PLAIN},
	{"held", "HELD", COLUMN_PLAIN},
	{"dropped", "DROPPED", COLUMN_PLAIN},
	{"faults", "FAULTS", COLUMN_PLAIN},
	{0},
};

static const struct column group_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN},
	{"slot", "SLOT", COLUMN_PLAIN},
	{"group", "GROUP", COLUMN_PLAIN},
	{"state", "STATE", COLUMN_PLAIN},
	{"policy", "POLICY", COLUMN_PLAIN},
	{"in_force", "IN FORCE", COLUMN_PLAIN},
	{"members", "MEMBERS", COLUMN_PLAIN},
	{"lanes_leased", "LEASED", COLUMN_PLAIN},
	{"takeovers", "TAKEOVERS", COLUMN_PLAIN},
	{"delivered", "DELIVERED", COLUMN_PLAIN},
	{"skipped", "SKIPPED", COLUMN_PLAIN},
	{"lost", "LOST", COLUMN_PLAIN},
	{"in_flight", "IN FLIGHT", COLUMN_PLAIN},
	{"high_water", "PEAK", COLUMN_PLAIN},
	{"latency_ns", "LATENCY NS", COLUMN_PLAIN},
	{"faults", "FAULTS", COLUMN_PLAIN},
	{0},
};

static const struct column client_columns[] = {
	{"id", "ID", COLUMN_PLAIN},
	{"pid", "PID", COLUMN_PLAIN},
	{"comm", "COMMAND", COLUMN_PLAIN},
	{"uid", "UID", COLUMN_PLAIN},
	{"role", "ROLE", COLUMN_PLAIN},
	{"channel", "CHANNEL", COLUMN_PLAIN},
	{"group", "GROUP", COLUMN_PLAIN},
	{"lanes", "LANES", COLUMN_PLAIN},
	{"in_hand", "IN HAND", COLUMN_PLAIN},
	{"unread", "UNREAD", COLUMN_PLAIN},
	{"polls", "POLLS", COLUMN_PLAIN},
	{"rseq", "RSEQ", COLUMN_PLAIN},
	{"state", "STATE", COLUMN_PLAIN},
	{"process", "PROCESS", COLUMN_PLAIN},
	{0},
};

static const struct column ledger_columns[] = {
	{"channel", "CHANNEL", COLUMN_PLAIN},
	{"class", "CLASS", COLUMN_PLAIN},
	{"lane", "LANE", COLUMN_PLAIN},
	{"cpu", "CPU", COLUMN_PLAIN},
	{"group", "GROUP", COLUMN_PLAIN},
	{"start", "START", COLUMN_PLAIN},
	{"published", "PUBLISHED", COLUMN_PLAIN},
	{"delivered", "DELIVERED", COLUMN_PLAIN},
	{"skipped", "SKIPPED", COLUMN_PLAIN},
	{"lost", "LOST", COLUMN_PLAIN},
	{"in_flight", "IN FLIGHT", COLUMN_PLAIN},
	{"dropped", "DROPPED", COLUMN_PLAIN},
	{"faults", "FAULTS", COLUMN_PLAIN},
	{0},
};

static const struct part {
	uint32_t bit;
	const char *name;
	json_t *(*collect)(const struct tpi_inspect *inspect);
	const struct column *columns;
} parts_list[] = {
	{PART_BROKER, "broker", stat_broker, broker_columns},
	{PART_CHANNELS, "channels", stat_channels, channel_columns},
	{PART_SEGMENTS, "segments", stat_segments, segment_columns},
	{PART_LANES, "lanes", stat_lanes, lane_columns},
	{PART_GROUPS, "groups", stat_groups, group_columns},
	{PART_CLIENTS, "clients", stat_clients, client_columns},
	{PART_LEDGER, "ledger", stat_ledger, ledger_columns},
};
#define PART_COUNT (sizeof(parts_list) / sizeof(parts_list[0]))

uint32_t parts_by_name(const char *name)
{
	if (!strcmp(name, "all"))
		return PARTS_DEFAULT;
	for (size_t i = 0; i < PART_COUNT; i++)
		if (!strcmp(name, parts_list[i].name))
			return parts_list[i].bit;
	return 0;
}

static bool rows_healthy(const json_t *rows)
{
	const json_t *row, *error;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		error = json_object_get(row, "error");
		if (json_array_size(json_object_get(row, "faults")) ||
		    json_is_string(error))
			return false;
	}
	return true;
}

json_t *parts_collect(const struct tpi_inspect *inspect, uint32_t parts)
{
	json_t *look = json_object(), *part;
	bool healthy = true;

	if (!look || json_object_set_new(look, "source", stat_source(inspect)))
		goto out_memory;
	for (size_t i = 0; i < PART_COUNT; i++) {
		if (!(parts & parts_list[i].bit))
			continue;
		part = parts_list[i].collect(inspect);
		healthy &= rows_healthy(part);
		if (json_object_set_new(look, parts_list[i].name, part))
			goto out_memory;
	}
	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++)
		healthy &= !*inspect->channels[i].why;
	if (json_object_set_new(look, "healthy", json_boolean(healthy)))
		goto out_memory;
	return look;

out_memory:
	json_decref(look);
	return NULL;
}

/* Refusals for want of a side lane count on the first one, whatever it has published. */
static bool refuses(const json_t *row)
{
	const char *cause;
	json_t *dropped = json_object_get(row, "dropped"), *count;

	json_object_foreach(dropped, cause,
			    count) if (json_integer_value(count)) return true;
	return false;
}

static bool never_used(const json_t *row)
{
	return json_is_true(json_object_get(row, "side")) && !refuses(row) &&
	       !json_integer_value(json_object_get(row, "held")) &&
	       !json_integer_value(json_object_get(row, "published"));
}

/* The rows without side lanes that were never used. *left_out counts those. */
static json_t *used_rows(const json_t *rows, size_t *left_out)
{
	json_t *used = json_array(), *row;
	size_t i;

	*left_out = 0;
	json_array_foreach(rows, i, row)
	{
		if (never_used(row))
			(*left_out)++;
		else
			json_array_append(used, row);
	}
	return used;
}

static void print_rows(const json_t *rows, const struct column *columns,
		       bool all)
{
	size_t left_out;
	json_t *used;

	if (all) {
		table_print(rows, columns);
		return;
	}
	used = used_rows(rows, &left_out);
	table_print(used, columns);
	if (left_out)
		printf("(%zu unused side lane%s not shown; --all shows them)\n",
		       left_out, left_out == 1 ? " is" : "s are");
	json_decref(used);
}

/* Of those clients that there is something to say about. */
static void print_notes(const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *note =
			json_string_value(json_object_get(row, "note"));

		if (note)
			printf("(id %lld, process %lld %s)\n",
			       json_integer_value(json_object_get(row, "id")),
			       json_integer_value(json_object_get(row, "pid")),
			       note);
	}
}

void parts_print(const json_t *look, uint32_t parts, bool all)
{
	bool several = parts & (parts - 1), first = true;

	for (size_t i = 0; i < PART_COUNT; i++) {
		const struct part *part = &parts_list[i];
		const json_t *value = json_object_get(look, part->name);

		if (!value)
			continue;
		if (several)
			printf("%s%s\n", first ? "" : "\n", part->name);
		first = false;
		if (json_is_object(value))
			table_print_object(value, part->columns);
		else
			print_rows(value, part->columns, all);
		if (part->bit == PART_CLIENTS)
			print_notes(value);
	}
}
