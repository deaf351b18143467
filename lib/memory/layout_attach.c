/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching to segments: from a mapping that came from elsewhere to checked
 * pointers.
 *
 * Called by clients, tools and a broker that takes over. The catalog is written
 * by the broker alone, so what it says about a channel is what that channel's
 * segments, which producers can write, are measured against. Checks and copies
 * are layout_check.c's, lanes are layout_lanes.c's. Nothing here writes to a
 * segment: most callers have them read-only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
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

static int open_catalog_regions(struct tpi_catalog *catalog,
				const struct tpi_view *view,
				const struct tpi_report *report)
{
	void *broker, *attachments, *segments, *channels, *groups, *pieces;
	uint32_t one, group_count;
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
	if (err)
		return err;
	catalog->broker = broker;
	catalog->attachments = attachments;
	catalog->segments = segments;
	catalog->channels = channels;
	catalog->groups = groups;
	catalog->calibrations = pieces;
	return 0;
}

int tpi_catalog_attach(struct tpi_catalog *catalog, const struct tpi_map *map,
		       char *error, size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, "catalog"};
	struct tpi_expected expected = {.kind = TAPIO_SEGMENT_CATALOG};
	struct tpi_view view;
	int err;

	*catalog = (struct tpi_catalog){0};
	err = tpi_view_open(&view, map, &expected, &report);
	if (!err)
		err = open_catalog_regions(catalog, &view, &report);
	if (err) {
		*catalog = (struct tpi_catalog){0};
		return err;
	}
	catalog->map = *map;
	memcpy(catalog->instance, view.header.instance,
	       sizeof(catalog->instance));
	return 0;
}

static int check_description(const struct tapio_shm_channel *copy,
			     struct tpi_report *report)
{
	if (tpi_name_check(copy->name, sizeof(copy->name), report, "its name"))
		return -EBADMSG;
	snprintf(report->subject, sizeof(report->subject), "channel `%s`",
		 copy->name);
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
	for (uint32_t k = 0; k < copy->class_count; k++)
		if (tpi_class_check(&copy->classes[k], report))
			return -EBADMSG;
	return 0;
}

/* Copies and checks. Leaves the channel's name in the report's subject. */
static int describe(const struct tpi_catalog *catalog, uint32_t channel,
		    struct tapio_shm_channel *copy, struct tpi_report *report)
{
	struct tapio_shm_channel *shared;
	uint32_t ready;

	snprintf(report->subject, sizeof(report->subject), "channel %" PRIu32,
		 channel);
	if (channel >= catalog->channel_count)
		return tpi_report(report, -EBADMSG,
				  "the catalog has %" PRIu32 " channels",
				  catalog->channel_count);
	shared = &catalog->channels[channel];
	/*
	 * ORDER channel.ready (acquire): all of the record that is written once
	 * is seen below. Pairs with the release in tpi_channel_publish().
	 */
	ready = tpi_load_acquire(&shared->ready);
	if (ready != TAPIO_SEGMENT_READY)
		return tpi_report(report, -EBADMSG,
				  "not ready: 0x%08" PRIx32
				  ", expected 0x%08" PRIx32,
				  ready, TAPIO_SEGMENT_READY);
	tpi_copy_once(copy, shared, sizeof(*copy));
	return check_description(copy, report);
}

int tpi_channel_describe(const struct tpi_catalog *catalog, uint32_t channel,
			 struct tapio_shm_channel *copy, char *error,
			 size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, ""};
	int err = describe(catalog, channel, copy, &report);

	if (err)
		memset(copy, 0, sizeof(*copy));
	return err;
}

/* Opens the segments of a channel, in order of their node index. */
static int open_segments(struct tpi_view *views,
			 const struct tpi_catalog *catalog, uint32_t channel,
			 const struct tpi_map *maps, uint32_t map_count,
			 const struct tpi_report *report)
{
	struct tpi_report one;
	struct tpi_expected expected = {.kind = TAPIO_SEGMENT_CHANNEL,
					.channel = channel,
					.instance = catalog->instance};
	int err = 0;

	for (uint32_t i = 0; !err && i < map_count; i++) {
		one = tpi_report_node(report, i);
		expected.index = i;
		err = tpi_view_open(&views[i], &maps[i], &expected, &one);
	}
	return err;
}

static int attach_segments(struct tpi_channel *channel,
			   const struct tpi_view *views, uint32_t count,
			   const struct tpi_report *report)
{
	struct tpi_report first = tpi_report_node(report, 0);
	uint64_t bells;
	void *doorbells;
	int err = tpi_view_section(&views[0], TAPIO_REGION_DOORBELLS,
				   sizeof(*channel->doorbells), 1, &doorbells,
				   &bells, &first);

	if (err)
		return err;
	channel->doorbells = doorbells;
	return tpi_lanes_attach(channel, views, count, report);
}

int tpi_channel_attach(struct tpi_channel *channel,
		       const struct tpi_catalog *catalog, uint32_t index,
		       const struct tpi_map *maps, uint32_t map_count,
		       char *error, size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, ""};
	struct tpi_view *views;
	int err;

	*channel = (struct tpi_channel){0};
	err = describe(catalog, index, &channel->info, &report);
	if (!err && map_count != channel->info.segment_count)
		err = tpi_report(&report, -EBADMSG,
				 "%" PRIu32 " segments came, the catalog says "
				 "%" PRIu32,
				 map_count, channel->info.segment_count);
	if (err)
		goto out;
	err = -ENOMEM;
	views = calloc(map_count, sizeof(*views));
	if (!views)
		goto out;
	err = open_segments(views, catalog, index, maps, map_count, &report);
	if (!err)
		err = attach_segments(channel, views, map_count, &report);
	free(views);
out:
	if (err)
		tpi_channel_detach(channel);
	return err;
}

void tpi_channel_detach(struct tpi_channel *channel)
{
	free(channel->by_cpu);
	free(channel->lanes);
	*channel = (struct tpi_channel){0};
}

int tpi_cursors_attach(struct tpi_cursors *cursors, const struct tpi_map *map,
		       const struct tpi_catalog *catalog, uint32_t channel,
		       uint32_t slot, uint32_t lane_count, char *error,
		       size_t error_bytes)
{
	struct tpi_report report = {error, error_bytes, ""};
	struct tpi_expected expected = {.kind = TAPIO_SEGMENT_CURSORS,
					.channel = channel,
					.index = slot,
					.instance = catalog->instance};
	struct tpi_view view;
	void *control, *records, *histogram;
	uint64_t count, histograms;
	int err;

	*cursors = (struct tpi_cursors){0};
	snprintf(report.subject, sizeof(report.subject),
		 "channel %" PRIu32 ", cursors of slot %" PRIu32, channel,
		 slot);
	err = tpi_view_open(&view, map, &expected, &report);
	if (!err)
		err = tpi_view_section(&view, TAPIO_REGION_GROUP_CONTROL,
				       sizeof(*cursors->control), 1, &control,
				       &count, &report);
	if (!err)
		err = tpi_view_section(&view, TAPIO_REGION_CURSORS,
				       sizeof(*cursors->cursors), 1, &records,
				       &count, &report);
	if (!err)
		err = tpi_view_section(&view, TAPIO_REGION_HISTOGRAM,
				       sizeof(*cursors->histogram), 0,
				       &histogram, &histograms, &report);
	if (err)
		return err;
	if (count != lane_count)
		return tpi_report(&report, -EBADMSG,
				  "%" PRIu64
				  " cursors, the channel has %" PRIu32 " lanes",
				  count, lane_count);
	cursors->control = control;
	cursors->cursors = records;
	cursors->histogram = histograms ? histogram : NULL;
	return 0;
}
