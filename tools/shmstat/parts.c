/* SPDX-License-Identifier: Apache-2.0 */
/* One table says everything about the parts. The rest follows it. */
#include "tools/shmstat/parts.h"

#include <string.h>

#include "tools/shmstat/columns.h"
#include "tools/shmstat/why.h"

static const struct part parts[] = {
	{PART_SUMMARY, "summary", "each channel in one line", stat_summary,
	 summary_columns},
	{PART_BROKER, "broker", "version, process, budget, kernel, counters",
	 stat_broker, broker_columns},
	{PART_CHANNELS, "channels",
	 "the rules of each channel, and why one is not read", stat_channels,
	 channel_columns},
	{PART_SEGMENTS, "segments", "the memory as it was obtained",
	 stat_segments, segment_columns},
	{PART_LANES, "lanes", "how full, and the events that were refused",
	 stat_lanes, lane_columns},
	{PART_GROUPS, "groups", "the readers, their lag and their losses",
	 stat_groups, group_columns},
	{PART_CLIENTS, "clients",
	 "the processes, and the events that wait for them", stat_clients,
	 client_columns},
	{PART_LEDGER, "ledger", "every event of every group accounted for",
	 stat_ledger, ledger_columns},
	{PART_COUNTERS, "counters",
	 "counts of broker and lanes; --explain: meaning, cause, remedy",
	 stat_counters, counter_columns},
	{PART_LATENCY, "latency", "from the stamp of an event to its delivery",
	 stat_latency, latency_columns},
	{PART_LAYOUT, "layout", "the places of all arrays in the segments",
	 stat_layout, layout_columns},
};
#define PART_COUNT (sizeof(parts) / sizeof(parts[0]))

const struct part *part_at(size_t i)
{
	return i < PART_COUNT ? &parts[i] : NULL;
}

uint32_t parts_by_name(const char *name)
{
	if (!strcmp(name, "all"))
		return PARTS_ALL;
	for (size_t i = 0; i < PART_COUNT; i++)
		if (!strcmp(name, parts[i].name))
			return parts[i].bit;
	return 0;
}

/* ---- a look --------------------------------------------------------------------------- */

/* Rules that are broken, by quick looks. They do not wait for those that only may be. */
static bool count_broken(const struct tpi_inspect *inspect, uint32_t *broken)
{
	static const struct tpi_check_options quick = {.gap_ns = 500000};
	struct tpi_check_report report;

	if (tpi_check(inspect, &quick, &report))
		return false;
	*broken = report.of[TPI_BROKEN];
	tpi_check_free(&report);
	return true;
}

static json_t *one_not_read(const struct tpi_inspect *inspect, uint32_t i)
{
	const struct tpi_inspect_channel *c = &inspect->channels[i];
	json_t *object = json_object();

	json_object_set_new(object, "channel", value_channel(inspect, i));
	json_object_set_new(object, "denied", json_boolean(c->denied));
	json_object_set_new(object, "why", value_text(c->why, sizeof(c->why)));
	return object;
}

json_t *parts_not_read(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++) {
		const struct tpi_inspect_channel *c = &inspect->channels[i];

		if (!*c->why)
			continue;
		json_array_append_new(array, one_not_read(inspect, i));
	}
	return array;
}

static bool collect(json_t *look, const struct tpi_inspect *inspect,
		    uint32_t asked)
{
	for (size_t i = 0; i < PART_COUNT; i++)
		if (asked & parts[i].bit &&
		    json_object_set_new(look, parts[i].name,
					parts[i].collect(inspect)))
			return false;
	return true;
}

json_t *parts_complete(const struct tpi_inspect *inspect, const json_t *look,
		       uint32_t needed)
{
	json_t *all = json_copy((json_t *)(uintptr_t)look);

	for (size_t i = 0; all && i < PART_COUNT; i++) {
		const struct part *part = &parts[i];

		if (!(needed & part->bit) || json_object_get(all, part->name))
			continue;
		if (!json_object_set_new(all, part->name,
					 part->bit == PART_CLIENTS
						 ? stat_clients_quick(inspect)
						 : part->collect(inspect)))
			continue;
		json_decref(all);
		return NULL;
	}
	return all;
}

/* The names of the faults, and whether there is none. */
static bool add_health(json_t *look, const struct tpi_inspect *inspect)
{
	json_t *found = why_faults(inspect, look), *names = json_array(), *one;
	bool none = found && !json_array_size(found);
	size_t i;

	json_array_foreach(found, i, one)
		json_array_append(names, json_object_get(one, "cause"));
	json_decref(found);
	return !json_object_set_new(look, "faults", names) && found &&
	       !json_object_set_new(look, "healthy",
				    none && tpi_inspect_denied(inspect)
					    ? json_null()
					    : json_boolean(none));
}

json_t *parts_collect(const struct tpi_inspect *inspect, uint32_t asked)
{
	json_t *look = json_object();
	uint32_t broken;

	if (!look ||
	    json_object_set_new(look, "schema", json_string(STAT_SCHEMA)) ||
	    json_object_set_new(look, "source", stat_source(inspect)) ||
	    json_object_set_new(look, "liveness", stat_liveness(inspect)) ||
	    !collect(look, inspect, asked) ||
	    json_object_set_new(look, "not_read", parts_not_read(inspect)) ||
	    !count_broken(inspect, &broken) ||
	    json_object_set_new(look, "broken", value_count(broken)) ||
	    !add_health(look, inspect)) {
		json_decref(look);
		return NULL;
	}
	return look;
}
