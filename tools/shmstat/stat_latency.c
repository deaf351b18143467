/* SPDX-License-Identifier: Apache-2.0 */
/* The time from the stamp of an event to its delivery, of each group. */
#include "lib/base/atomic.h"
#include "tools/shmstat/stat.h"

static json_t *one(const struct tpi_inspect *inspect, uint32_t channel,
		   uint32_t slot)
{
	const struct tapio_shm_group *group =
		&tpi_inspect_groups(inspect, channel)[slot];
	json_t *object = json_object();

	json_object_set_new(object, "channel", value_channel(inspect, channel));
	json_object_set_new(object, "group",
			    value_text(group->name, sizeof(group->name)));
	json_object_set_new(
		object, "latency_ns",
		value_latency(stat_histogram(inspect, channel, slot)));
	return object;
}

json_t *stat_latency(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	for (uint32_t c = 0; c < inspect->catalog.channel_count; c++)
		for (uint32_t i = 0;
		     inspect->channels[c].there && i < TAPIO_GROUP_SLOTS; i++) {
			/* ORDER group.slot (acquire): as in stat_groups(). */
			uint64_t slot = tpi_load_acquire(
				&tpi_inspect_groups(inspect, c)[i].slot);

			if (TAPIO_SLOT_STATE(slot) != TAPIO_SLOT_FREE)
				json_array_append_new(array,
						      one(inspect, c, i));
		}
	return array;
}
