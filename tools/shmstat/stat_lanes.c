/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes by themselves, and the ledger of every group on each of them. */
#include <errno.h>

#include "lib/base/atomic.h"
#include "tools/shmstat/stat.h"

/* The node of the segment that a lane lies in, as its header says. */
static json_t *lane_node(const struct tpi_inspect_channel *c,
			 const struct tpi_lane *lane)
{
	const unsigned char *at = (const unsigned char *)lane->shm;

	for (uint32_t i = 0; i < c->map_count; i++) {
		const struct tpi_map *map = &c->maps[i];
		uint32_t node;

		if (at < map->base || (uint64_t)(at - map->base) >= map->bytes)
			continue;
		/* Relaxed: written before the segment was ready. */
		node = tpi_load_relaxed(
			&((const struct tapio_shm_header *)map->base)->node);
		return node == UINT32_MAX ? json_null() : value_count(node);
	}
	return json_null();
}

/* The keys that name a lane, in both lists. */
static void add_lane(json_t *object, const struct tpi_inspect *inspect,
		     uint32_t channel, const struct tpi_lane *lane)
{
	const struct tpi_inspect_channel *c = &inspect->channels[channel];
	bool side = lane->cpu == TAPIO_CPU_SIDE;

	json_object_set_new(object, "channel", value_channel(inspect, channel));
	json_object_set_new(object, "class", value_class(c, lane->klass));
	json_object_set_new(object, "lane", value_count(lane->id));
	json_object_set_new(object, "cpu",
			    side ? json_null() : value_count(lane->cpu));
	json_object_set_new(object, "side", json_boolean(side));
}

/* The most that any group had unread. 0 when there is no group. */
static uint32_t high_water(const struct tpi_inspect *inspect, uint32_t channel,
			   uint32_t lane)
{
	struct tpi_ledger ledger;
	uint32_t most = 0;

	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		if (!tpi_inspect_ledger(inspect, channel, lane, slot,
					&ledger) &&
		    ledger.peak > most)
			most = ledger.peak;
	return most;
}

static json_t *lane_row(const struct tpi_inspect *inspect, uint32_t channel,
			const struct tpi_lane *lane)
{
	struct tpi_lane_account account;
	struct tpi_gating gating;
	json_t *object = json_object();

	tpi_inspect_gating(inspect, channel, &gating);
	tpi_lane_account_read(lane, &gating, &account);
	add_lane(object, inspect, channel, lane);
	json_object_set_new(object, "node",
			    lane_node(&inspect->channels[channel], lane));
	json_object_set_new(object, "owner", value_count(account.owner));
	json_object_set_new(object, "capacity",
			    value_count((uint64_t)lane->mask + 1));
	json_object_set_new(object, "block_bytes",
			    value_count(lane->block_bytes));
	json_object_set_new(object, "used", value_count(account.used));
	json_object_set_new(object, "published",
			    value_count(account.published));
	json_object_set_new(object, "dropped", value_dropped(account.dropped));
	json_object_set_new(object, "dropped_total",
			    value_count(account.dropped_total));
	json_object_set_new(object, "held", value_count(account.held));
	json_object_set_new(object, "tail", value_count(account.tail));
	json_object_set_new(object, "gate", value_count(account.gate));
	json_object_set_new(
		object, "high_water",
		value_count(high_water(inspect, channel, lane->id)));
	json_object_set_new(object, "faults", value_faults(account.faults));
	return object;
}

json_t *stat_lanes(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		const struct tpi_channel *channel =
			&inspect->channels[c].channel;

		for (uint32_t i = 0; i < channel->lane_count; i++)
			json_array_append_new(
				array,
				lane_row(inspect, c, &channel->lanes[i]));
	}
	return array;
}

static void add_ledger(json_t *object, const struct tpi_ledger *l)
{
	json_object_set_new(object, "start", value_count(l->start));
	json_object_set_new(object, "published", value_count(l->published));
	json_object_set_new(object, "delivered", value_count(l->delivered));
	json_object_set_new(object, "skipped", value_count(l->skipped));
	json_object_set_new(object, "lost", value_count(l->lost));
	json_object_set_new(object, "in_flight", value_count(l->in_flight));
	json_object_set_new(object, "overrun", value_count(l->overrun));
	json_object_set_new(object, "lease", value_count(l->lease));
	json_object_set_new(object, "balanced",
			    json_boolean(!(l->faults & ~TPI_FAULTS_FOUND)));
	json_object_set_new(object, "faults", value_faults(l->faults));
}

static json_t *ledger_row(const struct tpi_inspect *inspect, uint32_t channel,
			  const struct tpi_lane *lane, uint32_t slot,
			  const struct tpi_ledger *ledger)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(inspect, channel)[slot];
	struct tpi_lane_account account;
	json_t *object = json_object();

	tpi_lane_account_read(lane, NULL, &account);
	add_lane(object, inspect, channel, lane);
	json_object_set_new(object, "group",
			    value_text(group->name, sizeof(group->name)));
	json_object_set_new(object, "slot", value_count(slot));
	add_ledger(object, ledger);
	json_object_set_new(object, "dropped", value_dropped(account.dropped));
	return object;
}

json_t *stat_ledger(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();
	struct tpi_ledger ledger;

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		const struct tpi_channel *channel =
			&inspect->channels[c].channel;

		for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
			for (uint32_t i = 0; i < channel->lane_count; i++)
				if (!tpi_inspect_ledger(inspect, c, i, slot,
							&ledger))
					json_array_append_new(
						array,
						ledger_row(inspect, c,
							   &channel->lanes[i],
							   slot, &ledger));
	}
	return array;
}
