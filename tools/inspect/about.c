/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at a channel. The first position of a lane that can be read is the one behind reap:
 * its stamp says how far back the lane goes. A lane that turns meanwhile is looked at again.
 */
#include "tools/inspect/about.h"

#include <string.h>

#include "lib/base/atomic.h"
#include "lib/memory/calibration.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/process.h"

#define ANSWER_NS INT64_C(500000000)
#define ATTEMPTS  64

static uint64_t time_of(const struct tpi_inspect *inspect, uint32_t stamp,
			uint64_t word)
{
	struct tapio_shm_calibration piece;

	if (stamp != TAPIO_STAMP_TSC)
		return word;
	return tpi_calibration_find(&inspect->catalog, word, &piece)
		       ? tpi_calibration_ns(&piece, word)
		       : 0;
}

/* How many positions of a lane are gone, and the stamp of the first one that is there. False: it
 * has turned at every look. */
static bool look_at_lane(const struct tpi_lane *lane, uint64_t *published,
			 uint64_t *gone, uint64_t *stamp)
{
	uint64_t state, again, first, count = (uint64_t)lane->mask + 1;

	for (int i = 0; i < ATTEMPTS; i++) {
		state = tpi_lane_peek(lane);
		first = (tpi_lane_reap(lane, state) + 1) & TAPIO_POSITION_MASK;
		*published =
			(TAPIO_STATE_TAIL(state) - count) & TAPIO_POSITION_MASK;
		*gone = tapio_position_diff(first, count) > 0
				? (first - count) & TAPIO_POSITION_MASK
				: 0;
		*stamp = tpi_load_relaxed(&lane->time[first & lane->mask]);
		/* ORDER lane.state (load-load): the stamp before this look. Pairs
		 * with the commit of the section that takes the slot. */
		tpi_fence_load_load();
		again = tpi_lane_peek(lane);
		if (again == state)
			return true;
	}
	return false;
}

static void look_at_lanes(struct tpi_about *about,
			  const struct tpi_inspect *inspect,
			  const struct tpi_channel *channel, uint64_t since_ns)
{
	uint64_t published, gone, stamp, ns;

	for (uint32_t i = 0; i < channel->lane_count; i++) {
		const struct tpi_lane *lane = &channel->lanes[i];

		if (!lane->time ||
		    !look_at_lane(lane, &published, &gone, &stamp) ||
		    !published)
			continue;
		about->lanes++;
		ns = time_of(inspect, channel->info.stamp, stamp);
		if (!gone || ns <= since_ns)
			continue;
		about->lanes_late++;
		about->overwritten += gone;
		if (ns > about->whole_ns)
			about->whole_ns = ns;
	}
}

static uint32_t count_producers(const struct tpi_inspect *inspect,
				uint32_t channel)
{
	struct tapio_shm_attachment copy;
	uint32_t count = 0;

	/* Index 0 is never given. */
	for (uint32_t i = 1; i < inspect->catalog.attachment_count; i++)
		count += tpi_inspect_attachment(
				 &inspect->catalog.attachments[i], &copy) &&
			 copy.channel == channel &&
			 copy.role == TAPIO_ROLE_PRODUCE;
	return count;
}

void tpi_about_look(struct tpi_about *about, const char *socket,
		    const char *channel, uint64_t since_ns)
{
	struct tpi_inspect_options options = {.socket = socket,
					      .timeout_ns = ANSWER_NS};
	struct tpi_inspect *inspect;
	char why[512];

	memset(about, 0, sizeof(*about));
	if (tpi_inspect_open(&inspect, &options, why, sizeof(why)))
		return;
	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++) {
		const struct tpi_channel *c = &inspect->channels[i].channel;

		if (!c->lane_count || strcmp(c->info.name, channel))
			continue;
		about->known = true;
		about->stamped = c->info.stamp != TAPIO_STAMP_NONE;
		about->producers = count_producers(inspect, i);
		if (since_ns)
			look_at_lanes(about, inspect, c, since_ns);
	}
	tpi_inspect_close(inspect);
}
