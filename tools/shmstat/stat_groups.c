/* SPDX-License-Identifier: Apache-2.0 */
/* Groups: their ledgers added up over the lanes, and their holders. */
#include <errno.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/memory/policy.h"
#include "tools/shmstat/stat.h"

#define ATTEMPTS 4

void stat_group_sum(const struct tpi_inspect *inspect, uint32_t channel,
		    uint32_t slot, struct stat_sums *sums)
{
	uint32_t lanes = inspect->channels[channel].channel.lane_count;
	struct tpi_ledger l;
	bool unsettled;
	int err;

	memset(sums, 0, sizeof(*sums));
	for (uint32_t i = 0; i < lanes; i++) {
		err = stat_ledger_read(inspect, channel, i, slot, &l,
				       &unsettled);
		sums->joining |= err == -EAGAIN;
		if (err)
			continue;
		sums->had = true;
		sums->unsettled |= unsettled;
		sums->total.delivered += l.delivered;
		sums->total.skipped += l.skipped;
		sums->total.lost += l.lost;
		sums->total.in_flight += l.in_flight;
		sums->total.overrun += l.overrun;
		sums->total.faults |= l.faults;
		sums->total.takeovers += l.takeovers;
		if (l.peak > sums->total.peak)
			sums->total.peak = l.peak;
		sums->leased += l.lease != TAPIO_NOBODY;
	}
}

static json_t *value_policy(uint32_t policy)
{
	if (policy == TAPIO_GROUP_DEFAULT || policy > TAPIO_GROUP_LOSSLESS)
		return value_word(NULL, 0, policy);
	return json_string(tpi_policy_name(policy));
}

static void add_slot(json_t *object, const struct tapio_shm_group *group,
		     uint64_t slot)
{
	static const char *const states[] = {"free", "active"};

	json_object_set_new(object, "state",
			    value_word(states, 2, TAPIO_SLOT_STATE(slot)));
	json_object_set_new(object, "policy",
			    value_policy(tpi_inspect_policy(group, slot)));
	json_object_set_new(object, "in_force",
			    value_policy(TAPIO_SLOT_POLICY(slot)));
	json_object_set_new(object, "lag_max",
			    value_count(TAPIO_SLOT_LAG(slot)));
	json_object_set_new(object, "incarnation",
			    value_count(TAPIO_SLOT_INCARNATION(slot)));
}

const struct tapio_shm_histogram *
stat_histogram(const struct tpi_inspect *inspect, uint32_t channel,
	       uint32_t slot)
{
	const struct tpi_inspect_channel *c = &inspect->channels[channel];

	return c->channel.info.stamp == TAPIO_STAMP_NONE
		       ? NULL
		       : c->cursors[slot].histogram;
}

static json_t *value_filter(uint64_t digest)
{
	return digest ? json_sprintf("%016llx", (unsigned long long)digest)
		      : json_null();
}

/* In which its members agree, and how one relieves another. */
static void add_members(json_t *object, const struct tapio_shm_group *group,
			const struct stat_sums *sums)
{
	/* relaxed: shown, each by itself */
	uint64_t takeover_ns = tpi_load_relaxed(&group->takeover_ns);

	json_object_set_new(object, "members",
			    value_count(tpi_load_relaxed(&group->members)));
	json_object_set_new(object, "filter",
			    value_filter(tpi_load_relaxed(&group->filter)));
	json_object_set_new(object, "takeover_ns",
			    takeover_ns == TAPIO_TAKEOVER_NEVER
				    ? json_null()
				    : value_count(takeover_ns));
	json_object_set_new(object, "takeovers",
			    value_known(sums->had, sums->total.takeovers));
	json_object_set_new(object, "lanes_leased",
			    value_known(sums->had, sums->leased));
}

/* Until the slot serves another group. */
static bool was_evicted(const struct tpi_inspect *inspect, uint32_t channel,
			uint32_t index)
{
	/* Relaxed: shown, by itself. */
	return tpi_load_relaxed(
		       &tpi_inspect_groups(inspect, channel)[index].flags) &
	       TAPIO_GROUP_FLAG_EVICTED;
}

/* null where the cursors are not had: no right, or their memory was just replaced. */
static void add_counts(json_t *object, const struct stat_sums *s)
{
	bool exact = s->had && !s->unsettled;

	json_object_set_new(object, "delivered",
			    value_known(exact, s->total.delivered));
	json_object_set_new(object, "skipped",
			    value_known(s->had, s->total.skipped));
	json_object_set_new(object, "lost", value_known(s->had, s->total.lost));
	json_object_set_new(object, "in_flight",
			    value_known(s->had, s->total.in_flight));
	json_object_set_new(object, "overrun",
			    value_known(s->had, s->total.overrun));
	json_object_set_new(object, "high_water",
			    value_known(s->had, s->total.peak));
	json_object_set_new(object, "unsettled", json_boolean(s->unsettled));
}

static json_t *one(const struct tpi_inspect *inspect, uint32_t channel,
		   uint32_t index, uint64_t slot)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(inspect, channel)[index];
	json_t *object = json_object();
	struct stat_sums sums;

	stat_group_sum(inspect, channel, index, &sums);
	json_object_set_new(object, "channel", value_channel(inspect, channel));
	json_object_set_new(object, "slot", value_count(index));
	json_object_set_new(object, "group",
			    value_text(group->name, sizeof(group->name)));
	add_slot(object, group, slot);
	json_object_set_new(object, "joining", json_boolean(sums.joining));
	/* relaxed: shown, each by itself */
	json_object_set_new(object, "durable",
			    json_boolean(tpi_load_relaxed(&group->flags) &
					 TAPIO_GROUP_FLAG_DURABLE));
	json_object_set_new(object, "evicted",
			    json_boolean(was_evicted(inspect, channel, index)));
	add_members(object, group, &sums);
	add_counts(object, &sums);
	json_object_set_new(
		object, "not_read",
		json_boolean(TAPIO_SLOT_STATE(slot) == TAPIO_SLOT_ACTIVE &&
			     !sums.had && !sums.joining));
	json_object_set_new(
		object, "latency_ns",
		value_latency(stat_histogram(inspect, channel, index)));
	json_object_set_new(object, "faults", value_faults(sums.total.faults));
	return object;
}

/* A slot that another group gets meanwhile is looked at again. NULL: it has no group. */
static json_t *one_settled(const struct tpi_inspect *inspect, uint32_t channel,
			   uint32_t index)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(inspect, channel)[index];
	json_t *object = NULL;

	for (int i = 0; i < ATTEMPTS; i++) {
		/* ORDER group.slot (acquire): the name is that of the group whose
		 * state this is. Pairs with the broker's release. */
		uint64_t slot = tpi_load_acquire(&group->slot);

		json_decref(object);
		if (TAPIO_SLOT_STATE(slot) == TAPIO_SLOT_FREE &&
		    !was_evicted(inspect, channel, index))
			return NULL;
		object = one(inspect, channel, index, slot);
		tpi_fence_load_load();
		if (tpi_load_relaxed(&group->slot) == slot)
			return object;
	}
	json_object_set_new(object, "unsettled", json_true());
	return object;
}

json_t *stat_groups(const struct tpi_inspect *inspect)
{
	json_t *array = json_array(), *row;

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++)
		for (uint32_t i = 0;
		     inspect->channels[c].there && i < TAPIO_GROUP_SLOTS; i++) {
			row = one_settled(inspect, c, i);
			if (row)
				json_array_append_new(array, row);
		}
	return array;
}
