/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes by themselves. */
#include "lib/base/atomic.h"
#include "tools/shmstat/stat.h"

/* The node that the segment of a lane was made for. */
static json_t *lane_node(const struct tpi_inspect *inspect, uint32_t channel,
			 const struct tpi_lane *lane)
{
	const struct tpi_inspect_channel *c = &inspect->channels[channel];
	/* Relaxed: written before the channel was ready. */
	uint32_t node = tpi_load_relaxed(
		&inspect->catalog.places[c->channel.info.first_place + lane->id]
			 .node);

	return node == UINT32_MAX ? json_null() : value_count(node);
}

void stat_lane_add(json_t *object, const struct tpi_inspect *inspect,
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
	bool unsettled;
	uint32_t most = 0;

	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		if (!stat_ledger_read(inspect, channel, lane, slot, &ledger,
				      &unsettled) &&
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
	stat_lane_add(object, inspect, channel, lane);
	json_object_set_new(object, "node", lane_node(inspect, channel, lane));
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
