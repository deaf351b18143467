/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching to segments: from a mapping that came from elsewhere to checked
 * pointers.
 *
 * Called by clients, tools and a broker that takes over. The catalog is written
 * by the broker alone, and what it says about a channel is all that is read: the
 * channel's segments, which clients can write, are measured against it. Checks and
 * copies are layout_check.c's, lanes are layout_lanes.c's. Nothing here writes to a
 * segment: most callers have them read-only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"
#include "lib/memory/counters.h"
#include "lib/memory/layout_inner.h"

static int catalog_section(const struct tpi_view *view, uint32_t kind,
			   uint64_t bytes, uint64_t least, uint64_t most,
			   void **records, uint32_t *count,
			   const struct tpi_report *report)
{
	uint64_t n;
	int err =
		tpi_view_section(view, kind, bytes, least, records, &n, report);

	if (err)
		return err;
	if (n > most)
		return tpi_report(report, -EBADMSG,
				  "region %" PRIu32 " has %" PRIu64
				  " records, the limit is %" PRIu64,
				  kind, n, most);
	*count = (uint32_t)n;
	return 0;
}

/* Memory of layout 0.4 has none. */
static int open_counters(struct tpi_catalog *catalog,
			 const struct tpi_view *view,
			 const struct tpi_report *report)
{
	void *counters;
	int err = catalog_section(
		view, TAPIO_REGION_COUNTERS, sizeof(*catalog->counters), 0,
		TPI_COUNTERS_MAX, &counters, &catalog->counter_count, report);

	if (!err)
		catalog->counters = counters;
	return err;
}

static int open_catalog_regions(struct tpi_catalog *catalog,
				const struct tpi_view *view,
				const struct tpi_report *report)
{
	void *broker, *attachments, *segments, *channels, *groups, *pieces,
		*places, *spans;
	uint32_t one, group_count, span_count;
	uint64_t slots;
	int err;

	err = catalog_section(view, TAPIO_REGION_BROKER,
			      sizeof(*catalog->broker), 1, 1, &broker, &one,
			      report);
	if (!err)
		err = catalog_section(view, TAPIO_REGION_ATTACHMENTS,
				      sizeof(*catalog->attachments), 2,
				      TAPIO_CLIENTS_MAX + 1, &attachments,
				      &catalog->attachment_count, report);
	if (!err)
		err = catalog_section(view, TAPIO_REGION_SEGMENTS,
				      sizeof(*catalog->segments), 0, INT32_MAX,
				      &segments, &catalog->segment_count,
				      report);
	if (!err)
		err = catalog_section(view, TAPIO_REGION_CHANNELS,
				      sizeof(*catalog->channels), 0,
				      INT32_MAX / TAPIO_GROUP_SLOTS, &channels,
				      &catalog->channel_count, report);
	if (err)
		return err;
	slots = (uint64_t)catalog->channel_count * TAPIO_GROUP_SLOTS;
	err = catalog_section(view, TAPIO_REGION_GROUPS,
			      sizeof(*catalog->groups), slots, slots, &groups,
			      &group_count, report);
	if (!err)
		err = catalog_section(view, TAPIO_REGION_CALIBRATIONS,
				      sizeof(*catalog->calibrations), 4,
				      UINT32_C(1) << 31, &pieces,
				      &catalog->calibration_count, report);
	if (!err)
		err = catalog_section(view, TAPIO_REGION_PLACES,
				      sizeof(*catalog->places), 0, INT32_MAX,
				      &places, &catalog->place_count, report);
	if (!err)
		err = catalog_section(
			view, TAPIO_REGION_SPANS, sizeof(*catalog->spans),
			catalog->place_count, catalog->place_count, &spans,
			&span_count, report);
	if (!err)
		err = open_counters(catalog, view, report);
	if (err)
		return err;
	catalog->broker = broker;
	catalog->attachments = attachments;
	catalog->segments = segments;
	catalog->channels = channels;
	catalog->groups = groups;
	catalog->calibrations = pieces;
	catalog->places = places;
	catalog->spans = spans;
	return 0;
}

int tpi_catalog_attach(struct tpi_catalog *catalog, const struct tpi_map *map,
		       char *error, size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, "catalog"};
	struct tpi_view view;
	int err;

	*catalog = (struct tpi_catalog){0};
	err = tpi_view_open(&view, map, &report);
	if (!err)
		err = open_catalog_regions(catalog, &view, &report);
	if (err) {
		*catalog = (struct tpi_catalog){0};
		return err;
	}
	catalog->map = *map;
	catalog->minor = view.header.abi_minor;
	memcpy(catalog->instance, view.header.instance,
	       sizeof(catalog->instance));
	return 0;
}

static int check_description(const struct tapio_shm_channel *copy,
			     struct tpi_report *report)
{
	if (tpi_name_check(copy->name, sizeof(copy->name), report, "its name"))
		return -EBADMSG;
	if (report->error_bytes)
		snprintf(report->subject, sizeof(report->subject),
			 "channel `%s`", copy->name);
	if (!copy->class_count || copy->class_count > TAPIO_CLASSES_MAX)
		return tpi_report(report, -EBADMSG,
				  "%" PRIu32 " classes, allowed are 1..%d",
				  copy->class_count, TAPIO_CLASSES_MAX);
	if (!copy->segment_count || copy->segment_count > TAPIO_NODES_MAX)
		return tpi_report(report, -EBADMSG,
				  "%" PRIu32 " segments, allowed are 1..%d",
				  copy->segment_count, TAPIO_NODES_MAX);
	if (!copy->lane_count || copy->lane_count > TPI_LANES_MAX)
		return tpi_report(report, -EBADMSG,
				  "%" PRIu32 " lanes, allowed are 1..%d",
				  copy->lane_count, TPI_LANES_MAX);
	if (copy->full_policy > TAPIO_FULL_WAIT ||
	    copy->stamp > TAPIO_STAMP_CLOCK)
		return tpi_report(report, -EBADMSG,
				  "full policy %" PRIu32 " of 0..%d, stamp "
				  "%" PRIu32 " of 0..%d",
				  copy->full_policy, TAPIO_FULL_WAIT,
				  copy->stamp, TAPIO_STAMP_CLOCK);
	if (copy->flags & ~TAPIO_CHANNEL_FLAGS)
		return tpi_report(report, -EBADMSG,
				  "flags 0x%" PRIx32 ", known are 0x%" PRIx32,
				  copy->flags, TAPIO_CHANNEL_FLAGS);
	for (uint32_t k = 0; k < copy->class_count; k++)
		if (tpi_class_check(&copy->classes[k], report))
			return -EBADMSG;
	return 0;
}

static uint32_t load_ready(const struct tpi_catalog *catalog, uint32_t channel)
{
	/*
	 * ORDER channel.ready (acquire): all of the record that is written once
	 * is seen below. Pairs with the release in tpi_channel_show().
	 */
	return tpi_load_acquire(&catalog->channels[channel].ready);
}

bool tpi_channel_exists(const struct tpi_catalog *catalog, uint32_t channel)
{
	return channel < catalog->channel_count &&
	       load_ready(catalog, channel) == TAPIO_SEGMENT_READY;
}

/*
 * Copies and checks. Leaves the channel's name in the report's subject. `made`: by its
 * maker, before READY.
 */
static int describe(const struct tpi_catalog *catalog, uint32_t channel,
		    bool made, struct tapio_shm_channel *copy,
		    struct tpi_report *report)
{
	struct tapio_shm_channel *shared;
	uint32_t ready;

	if (report->error_bytes)
		snprintf(report->subject, sizeof(report->subject),
			 "channel %" PRIu32, channel);
	if (channel >= catalog->channel_count)
		return tpi_report(report, -EBADMSG,
				  "the catalog has %" PRIu32 " channels",
				  catalog->channel_count);
	shared = &catalog->channels[channel];
	ready = load_ready(catalog, channel);
	if (!made && ready != TAPIO_SEGMENT_READY)
		return tpi_report(report, -EBADMSG,
				  "not ready: 0x%08" PRIx32
				  ", expected 0x%08" PRIx32,
				  ready, TAPIO_SEGMENT_READY);
	tpi_copy_once(copy, shared, sizeof(*copy));
	if (check_description(copy, report))
		return -EBADMSG;
	if (copy->first_place > catalog->place_count ||
	    copy->lane_count > catalog->place_count - copy->first_place)
		return tpi_report(report, -EBADMSG,
				  "the places %" PRIu32 " to %" PRIu64
				  " of its lanes, and the catalog has %" PRIu32,
				  copy->first_place,
				  (uint64_t)copy->first_place +
					  copy->lane_count - 1,
				  catalog->place_count);
	return 0;
}

int tpi_channel_describe(const struct tpi_catalog *catalog, uint32_t channel,
			 struct tapio_shm_channel *copy, char *error,
			 size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, ""};
	int err = describe(catalog, channel, false, copy, &report);

	if (err)
		memset(copy, 0, sizeof(*copy));
	return err;
}

/* After the copy: the entry is READY still, and of the same channel. */
static bool is_same(const struct tapio_shm_channel *shared, uint32_t epoch)
{
	/* ORDER channel.ready (load-load): the copy is older than this look.
	 * Pairs with the store-store in tpi_channel_hide(). */
	tpi_fence_load_load();
	return tpi_load_relaxed(&shared->ready) == TAPIO_SEGMENT_READY &&
	       tpi_load_relaxed(&shared->epoch) == epoch;
}

/*
 * The epoch comes first. One that is loaded after READY may be that of the next channel,
 * which is being written, and whose READY the last look finds
 * (tests/model/entry.pml, BREAK_FIRST).
 */
static uint32_t first_epoch(const struct tpi_catalog *catalog, uint32_t channel)
{
	if (channel >= catalog->channel_count)
		return 0;
	/* ORDER channel.epoch (acquire): READY is younger than this look. Pairs
	 * with the store-store in tpi_channel_hide(). */
	return tpi_load_acquire(&catalog->channels[channel].epoch);
}

int tpi_channel_look(const struct tpi_catalog *catalog, uint32_t channel,
		     struct tapio_shm_channel *copy, char *error,
		     size_t error_bytes)
{
	uint32_t epoch = first_epoch(catalog, channel);
	int err;

	TPI_TESTPOINT("look.epoch");
	err = tpi_channel_describe(catalog, channel, copy, error, error_bytes);
	TPI_TESTPOINT("look.copied");
	if (err || is_same(&catalog->channels[channel], epoch))
		return err;
	return tpi_fail(-ESTALE, error, error_bytes,
			"channel %" PRIu32 ": given back while it was read",
			channel);
}

/* What lies at an offset that a channel's record names. */
static int resolve(const struct tpi_map *map, const char *what, uint64_t offset,
		   uint64_t bytes, void *address,
		   const struct tpi_report *report)
{
	void *at = tpi_offset(map, offset, bytes, TAPIO_CACHE_LINE);

	memcpy(address, &at, sizeof(at));
	if (at)
		return 0;
	return tpi_report(report, -EBADMSG,
			  "%s: %" PRIu64 " bytes at %" PRIu64
			  " are not inside the segment's %" PRIu64
			  " bytes or off a multiple of %d",
			  what, bytes, offset, map->bytes, TAPIO_CACHE_LINE);
}

static int attach_segments(struct tpi_channel *channel,
			   const struct tpi_catalog *catalog,
			   const struct tpi_map *maps,
			   const struct tpi_report *report)
{
	struct tpi_report first = tpi_report_node(report, 0);
	int err = resolve(&maps[0], "doorbells", channel->info.doorbells_offset,
			  sizeof(*channel->doorbells), &channel->doorbells,
			  &first);

	if (err)
		return err;
	return tpi_lanes_attach(channel,
				&catalog->places[channel->info.first_place],
				maps, report);
}

static int attach(struct tpi_channel *channel,
		  const struct tpi_catalog *catalog, uint32_t index, bool made,
		  const struct tpi_map *maps, uint32_t map_count,
		  struct tpi_report *report)
{
	int err;

	*channel = (struct tpi_channel){0};
	err = describe(catalog, index, made, &channel->info, report);
	if (!err && map_count != channel->info.segment_count)
		err = tpi_report(report, -EBADMSG,
				 "%" PRIu32 " segments came, the catalog says "
				 "%" PRIu32,
				 map_count, channel->info.segment_count);
	if (!err)
		err = attach_segments(channel, catalog, maps, report);
	if (err)
		tpi_channel_detach(channel);
	return err;
}

int tpi_channel_attach(struct tpi_channel *channel,
		       const struct tpi_catalog *catalog, uint32_t index,
		       const struct tpi_map *maps, uint32_t map_count,
		       char *error, size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, ""};

	return attach(channel, catalog, index, false, maps, map_count, &report);
}

int tpi_channel_attach_made(struct tpi_channel *channel,
			    const struct tpi_catalog *catalog, uint32_t index,
			    const struct tpi_map *maps, uint32_t map_count,
			    char *error, size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, ""};

	return attach(channel, catalog, index, true, maps, map_count, &report);
}

void tpi_channel_detach(struct tpi_channel *channel)
{
	tpi_lanes_detach(channel);
	*channel = (struct tpi_channel){0};
}

int tpi_cursors_attach(struct tpi_cursors *cursors, const struct tpi_map *map,
		       const struct tapio_shm_channel *info, uint32_t slot,
		       char *error, size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, ""};
	struct tpi_cursors found = {0};
	int err;

	if (error_bytes)
		snprintf(report.subject, sizeof(report.subject),
			 "channel `%s`, cursors of slot %" PRIu32, info->name,
			 slot);
	err = resolve(map, "control", info->control_offset,
		      sizeof(*found.control), &found.control, &report);
	if (!err)
		err = resolve(map, "cursors", info->cursors_offset,
			      (uint64_t)info->lane_count *
				      sizeof(*found.cursors),
			      &found.cursors, &report);
	if (!err && info->histogram_offset)
		err = resolve(map, "histogram", info->histogram_offset,
			      sizeof(*found.histogram), &found.histogram,
			      &report);
	*cursors = err ? (struct tpi_cursors){0} : found;
	return err;
}
