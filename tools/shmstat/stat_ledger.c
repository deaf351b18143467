/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger of every group on each lane. */
#include <errno.h>
#include <sched.h>

#include "lib/base/atomic.h"
#include "tools/shmstat/stat.h"

#define ATTEMPTS 16 /* each of them many looks: tpi_ledger_read() */

int stat_ledger_read(const struct tpi_inspect *inspect, uint32_t channel,
		     uint32_t lane, uint32_t slot, struct tpi_ledger *ledger,
		     bool *unsettled)
{
	int err = tpi_inspect_ledger(inspect, channel, lane, slot, ledger);

	*unsettled = false;
	/* Impossible, or a read that raced with new memory of the slot: the next
	 * one tells which. */
	for (int i = 0; !err && ledger->faults && i < ATTEMPTS; i++) {
		sched_yield();
		err = tpi_inspect_ledger(inspect, channel, lane, slot, ledger);
		if (!(ledger->faults & TPI_FAULT_UNSTEADY))
			break;
	}
	if (err || !(ledger->faults & TPI_FAULT_UNSTEADY))
		return err;
	*unsettled = true;
	ledger->faults &= ~TPI_FAULT_UNSTEADY;
	return 0;
}

static void add_ledger(json_t *object, const struct tpi_ledger *l,
		       bool unsettled)
{
	bool balanced = !(l->faults & ~TPI_FAULTS_FOUND);

	json_object_set_new(object, "start", value_count(l->start));
	json_object_set_new(object, "published", value_count(l->published));
	json_object_set_new(object, "delivered",
			    unsettled ? json_null()
				      : value_count(l->delivered));
	json_object_set_new(object, "skipped", value_count(l->skipped));
	json_object_set_new(object, "lost", value_count(l->lost));
	json_object_set_new(object, "in_flight", value_count(l->in_flight));
	json_object_set_new(object, "overrun", value_count(l->overrun));
	json_object_set_new(object, "high_water", value_count(l->peak));
	json_object_set_new(object, "lease", value_count(l->lease));
	json_object_set_new(object, "balanced",
			    unsettled && balanced ? json_null()
						  : json_boolean(balanced));
	json_object_set_new(object, "unsettled", json_boolean(unsettled));
	json_object_set_new(object, "faults", value_faults(l->faults));
}

/* The lag of `until` on this lane, or null. */
static json_t *value_lag(const struct tpi_lane *lane,
			 const struct tapio_shm_group *group)
{
	/* Relaxed: shown, by itself. */
	uint64_t slot = tpi_load_relaxed(&group->slot);

	return TAPIO_SLOT_POLICY(slot) == TAPIO_GROUP_UNTIL
		       ? value_count(tpi_until_lag(lane, slot))
		       : json_null();
}

static json_t *one(const struct tpi_inspect *inspect, uint32_t channel,
		   const struct tpi_lane *lane, uint32_t slot)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(inspect, channel)[slot];
	struct tpi_lane_account account;
	struct tpi_ledger ledger;
	bool unsettled;
	json_t *object;

	if (stat_ledger_read(inspect, channel, lane->id, slot, &ledger,
			     &unsettled))
		return NULL;
	tpi_lane_account_read(lane, NULL, &account);
	object = json_object();
	stat_lane_add(object, inspect, channel, lane);
	json_object_set_new(object, "group",
			    value_text(group->name, sizeof(group->name)));
	json_object_set_new(object, "slot", value_count(slot));
	add_ledger(object, &ledger, unsettled);
	json_object_set_new(object, "lag", value_lag(lane, group));
	json_object_set_new(object, "dropped", value_dropped(account.dropped));
	return object;
}

json_t *stat_ledger(const struct tpi_inspect *inspect)
{
	json_t *array = json_array(), *row;

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++) {
		const struct tpi_channel *channel =
			&inspect->channels[c].channel;

		for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
			for (uint32_t i = 0; i < channel->lane_count; i++) {
				row = one(inspect, c, &channel->lanes[i], slot);
				if (row)
					json_array_append_new(array, row);
			}
	}
	return array;
}
