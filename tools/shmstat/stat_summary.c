/* SPDX-License-Identifier: Apache-2.0 */
/* Each channel in one row: its clients, what went through, and what was lost. */
#include "lib/base/atomic.h"
#include "tools/inspect/process.h"
#include "tools/shmstat/stat.h"

struct channel_sums {
	uint64_t published, dropped;
	uint64_t lost, in_flight;
	uint32_t fullest_percent, groups, faults;
	uint32_t not_read; /* groups that the sums are without */
	uint32_t clients[TAPIO_ROLE_INSPECT + 1]; /* by role */
	bool unsettled;
};

static void add_lanes(const struct tpi_inspect *inspect, uint32_t channel,
		      struct channel_sums *s)
{
	const struct tpi_channel *c = &inspect->channels[channel].channel;
	struct tpi_lane_account account;
	struct tpi_gating gating;

	tpi_inspect_gating(inspect, channel, &gating);
	for (uint32_t i = 0; i < c->lane_count; i++) {
		uint64_t blocks = (uint64_t)c->lanes[i].mask + 1;
		uint32_t percent;

		tpi_lane_account_read(&c->lanes[i], &gating, &account);
		percent = (uint32_t)(account.used * UINT64_C(100) / blocks);
		s->published += account.published;
		s->dropped += account.dropped_total;
		s->faults |= account.faults;
		if (percent > s->fullest_percent)
			s->fullest_percent = percent;
	}
}

static void add_groups(const struct tpi_inspect *inspect, uint32_t channel,
		       struct channel_sums *s)
{
	struct stat_sums group;

	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		/* Relaxed: counted, by itself. */
		uint64_t word = tpi_load_relaxed(
			&tpi_inspect_groups(inspect, channel)[slot].slot);

		if (TAPIO_SLOT_STATE(word) == TAPIO_SLOT_FREE)
			continue;
		stat_group_sum(inspect, channel, slot, &group);
		s->groups++;
		s->not_read += !group.had && !group.joining;
		s->lost += group.total.lost;
		s->in_flight += group.total.in_flight;
		s->faults |= group.total.faults;
		s->unsettled |= group.unsettled;
	}
}

static void add_clients(const struct tpi_inspect *inspect, uint32_t channel,
			struct channel_sums *s)
{
	const struct tpi_catalog *catalog = &inspect->catalog;
	struct tapio_shm_attachment copy;

	/* Index 0 is never given, and 1 is the broker's own. */
	for (uint32_t i = 2; i < catalog->attachment_count; i++)
		if (tpi_inspect_attachment(&catalog->attachments[i], &copy) &&
		    copy.channel == channel && copy.role <= TAPIO_ROLE_INSPECT)
			s->clients[copy.role]++;
}

static json_t *one(const struct tpi_inspect *inspect, uint32_t channel)
{
	uint32_t lanes = inspect->channels[channel].channel.lane_count;
	json_t *object = json_object();
	struct channel_sums s = {0};
	bool some;

	add_lanes(inspect, channel, &s);
	add_groups(inspect, channel, &s);
	add_clients(inspect, channel, &s);
	some = lanes && (!s.not_read || s.not_read < s.groups);
	json_object_set_new(object, "channel", value_channel(inspect, channel));
	json_object_set_new(object, "lanes", value_known(lanes, lanes));
	json_object_set_new(object, "producers",
			    value_count(s.clients[TAPIO_ROLE_PRODUCE]));
	json_object_set_new(object, "consumers",
			    value_count(s.clients[TAPIO_ROLE_CONSUME]));
	json_object_set_new(object, "groups", value_count(s.groups));
	json_object_set_new(object, "published",
			    value_known(lanes, s.published));
	json_object_set_new(object, "dropped_total",
			    value_known(lanes, s.dropped));
	/* Of groups, of which some may be had, all, or none. */
	json_object_set_new(object, "lost", value_known(some, s.lost));
	json_object_set_new(object, "in_flight",
			    value_known(some, s.in_flight));
	json_object_set_new(object, "groups_not_read", value_count(s.not_read));
	json_object_set_new(object, "fullest_percent",
			    value_known(lanes, s.fullest_percent));
	json_object_set_new(object, "unsettled", json_boolean(s.unsettled));
	json_object_set_new(object, "faults", value_faults(s.faults));
	return object;
}

json_t *stat_summary(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++)
		if (inspect->channels[i].there)
			json_array_append_new(array, one(inspect, i));
	return array;
}
