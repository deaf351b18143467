/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters, as the catalog describes them. Those of a newer broker are shown by their
 * descriptions. Memory of layout 0.4 has none, and is described by what this version knows.
 *
 * A description may hold anything: a row that is not sane is left out, and what is not
 * printable in a text is replaced.
 */
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/memory/counters.h"
#include "tools/shmstat/stat.h"

/* A copy: its texts may change in the catalog, and end here. */
static void load(const struct tpi_inspect *inspect, uint32_t i,
		 struct tapio_shm_counter *copy)
{
	memset(copy, 0, sizeof(*copy));
	if (!inspect || !inspect->catalog.counters)
		tpi_counter_describe(&tpi_counters[i], copy);
	else
		memcpy(copy, &inspect->catalog.counters[i], sizeof(*copy));
}

static uint32_t count(const struct tpi_inspect *inspect)
{
	return inspect && inspect->catalog.counters
		       ? inspect->catalog.counter_count
		       : TPI_COUNTERS;
}

static uint64_t word_at(const void *base, uint32_t offset)
{
	/* Relaxed: a count, by itself. */
	return tpi_load_relaxed(
		(const uint64_t *)((const char *)base + offset));
}

/* Over all lanes that are had. */
static json_t *sum_of_lanes(const struct tpi_inspect *inspect, uint32_t offset)
{
	bool had = false;
	uint64_t sum = 0;

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		const struct tpi_channel *channel =
			&inspect->channels[c].channel;

		for (uint32_t i = 0; i < channel->lane_count; i++) {
			sum += word_at(channel->lanes[i].shm, offset);
			had = true;
		}
	}
	return had ? value_count(sum) : json_null();
}

static json_t *value_of(const struct tpi_inspect *inspect,
			const struct tapio_shm_counter *c)
{
	if (!inspect)
		return json_null();
	if (c->of == TAPIO_COUNTER_OF_LANE)
		return sum_of_lanes(inspect, c->offset);
	return value_count(word_at(inspect->catalog.broker, c->offset));
}

static json_t *one(const struct tpi_inspect *inspect,
		   const struct tapio_shm_counter *c)
{
	bool lane = c->of == TAPIO_COUNTER_OF_LANE;
	bool gauge = c->type == TAPIO_COUNTED_GAUGE;
	json_t *object = json_object();

	json_object_set_new(object, "of",
			    json_string(lane ? "lane" : "broker"));
	json_object_set_new(object, "counter",
			    value_text(c->name, sizeof(c->name)));
	json_object_set_new(object, "value", value_of(inspect, c));
	json_object_set_new(object, "unit",
			    value_text(c->unit, sizeof(c->unit)));
	json_object_set_new(object, "type",
			    json_string(gauge ? "gauge" : "counter"));
	json_object_set_new(object, "meaning",
			    value_text(c->meaning, sizeof(c->meaning)));
	json_object_set_new(object, "cause",
			    value_text(c->cause, sizeof(c->cause)));
	json_object_set_new(object, "remedy",
			    value_text(c->remedy, sizeof(c->remedy)));
	return object;
}

json_t *stat_counters(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();
	struct tapio_shm_counter copy;

	for (uint32_t i = 0; i < count(inspect); i++) {
		load(inspect, i, &copy);
		if (tpi_counter_sane(copy.of, copy.offset, copy.type))
			json_array_append_new(array, one(inspect, &copy));
	}
	return array;
}

json_t *stat_counters_of_broker(const struct tpi_inspect *inspect)
{
	json_t *object = json_object();
	struct tapio_shm_counter copy;
	json_t *name;

	for (uint32_t i = 0; i < count(inspect); i++) {
		load(inspect, i, &copy);
		if (!tpi_counter_sane(copy.of, copy.offset, copy.type) ||
		    copy.of != TAPIO_COUNTER_OF_BROKER)
			continue;
		name = value_text(copy.name, sizeof(copy.name));
		json_object_set_new(object, json_string_value(name),
				    value_of(inspect, &copy));
		json_decref(name);
	}
	return object;
}
