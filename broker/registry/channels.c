/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a channel while others are served, and giving the memory of one back.
 *
 * MAKING, by a reload or by a successor whose file has a new channel:
 *
 *  M1  The memory that it takes is compared with the budget and with the limits of the
 *	host, as at the start. An entry, a run of places and descriptors are found.
 *  M2  The private state of the entry is emptied. The record in CHANNELS, the places and
 *	the groups are written. READY is off, so nobody looks.
 *  M3  Each segment is made, filled, noted in SEGMENTS and put into the keeper.
 *  M4  The groups of the configuration are made there, as in any channel.
 *  M5  READY, with release. A client that sees it sees all of M2 to M4.
 *
 * A failure before M5 is undone by D2 to D5. All channels of one configuration pass M4
 * before the first of them passes M5, so a configuration comes as a whole.
 *
 * REMOVING, when a configuration does not name it any more:
 *
 *  D1  `state` says REMOVED. New producers and new groups are refused. Attachments go on,
 *	and consumers may join groups that exist.
 *  D2  When it has no attachment, and no durable group with unread events: groups end,
 *	and READY is off (release). From here on nobody may look, and the entry is free for
 *	a successor.
 *  D3  The records of its segments: READY off, and all zero.
 *  D4  The files are emptied by a hole. A process that has kept one maps memory of its own
 *	from now on.
 *  D5  The keeper forgets them. Then they are unmapped and closed.
 *
 * SIGKILL of the broker before M5, or after D2: the successor finds an entry that is not
 * READY. It takes nothing of it, clears its records (D3), and all that the keeper has of it
 * is emptied and dropped (D4 and D5, adopt.c). Between M5 and D2: the channel is there,
 * whole, and the successor's file decides. One that it does not name is removed, one that it
 * names is served.
 *
 * SIGSTOP of a client: it has an attachment, so D2 waits. fork: the child has no mapping.
 * Another uid: it gets no descriptor that its rights do not give. A client that keeps its
 * attachment for ever keeps the memory of the channel, its entry and its descriptors, and
 * the log and tapio-shmstat name the number. It costs what the channel did cost before,
 * and channels_max bounds how many there can be.
 *
 * A process that reads without an attachment (tools, by /proc) takes a copy of the record,
 * and looks at READY and `epoch` once more (lib/memory/layout_attach.c).
 */
#include "broker/registry/channels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "broker/keep/keep.h"
#include "broker/registry/adopt.h"
#include "broker/registry/registry.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

#define REMEDY \
	"raise channels_max, and begin with new memory (--discard-memory)"

/* ---- M1: room in the catalog ------------------------------------------------------- */

int tpi_channel_find_entry(const struct tpi_registry *registry,
			   const char *name, uint32_t *index, char *error,
			   size_t error_bytes)
{
	uint32_t count = registry->catalog.channel_count, removed = 0;

	for (*index = 0; *index < count; ++*index) {
		const struct tpi_host *host = &registry->hosts[*index];

		if (!host->used)
			return 0;
		removed += host->removed;
	}
	return tpi_fail(-ENOSPC, error, error_bytes,
			"channel \"%s\": the catalog has room for %u channels, "
			"and all are in use (%u of them removed and not yet "
			"drained): " REMEDY,
			name, count, removed);
}

/* The end of a channel's places that overlap, or 0. */
static uint32_t end_of_overlap(const struct tpi_registry *registry,
			       uint32_t first, uint32_t lanes)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry) {
		const struct tapio_shm_channel *info = &host->lanes.info;
		uint32_t end = info->first_place + info->lane_count;

		if (first < end && info->first_place < first + lanes)
			return end;
	}
	return 0;
}

static uint32_t count_places(const struct tpi_registry *registry)
{
	struct tpi_host *host;
	uint32_t used = 0;

	TPI_FOREACH_HOST (host, registry)
		used += host->lanes.info.lane_count;
	return used;
}

int tpi_channel_find_places(const struct tpi_registry *registry,
			    const char *name, uint32_t lanes, uint32_t *first,
			    char *error, size_t error_bytes)
{
	uint32_t count = registry->catalog.place_count, end;

	for (*first = 0; lanes <= count && *first <= count - lanes;
	     *first = end) {
		end = end_of_overlap(registry, *first, lanes);
		if (!end)
			return 0;
	}
	return tpi_fail(-ENOSPC, error, error_bytes,
			"channel \"%s\" has %u lanes, and the catalog has "
			"records for %u, of which %u are free, but no run of "
			"so many: " REMEDY,
			name, lanes, count, count - count_places(registry));
}

/* ---- M2 to M5 ------------------------------------------------------------------------ */

/* Those of `next` that have no host, in an array of their own. -ENOMEM. */
static int find_new(struct tpi_registry *registry,
		    const struct tpi_config *next, struct tpi_config *more)
{
	*more = *next;
	more->channel_count = 0;
	more->channels = calloc(next->channel_count, sizeof(*more->channels));
	if (!more->channels)
		return -ENOMEM;
	for (uint32_t i = 0; i < next->channel_count; i++)
		if (!tpi_registry_find(registry, next->channels[i].spec.name))
			more->channels[more->channel_count++] =
				next->channels[i];
	return 0;
}

/* The sizes that were chosen. */
static void take_back(struct tpi_registry *registry, struct tpi_config *next)
{
	for (uint32_t i = 0; i < next->channel_count; i++) {
		struct tpi_config_channel *channel = &next->channels[i];
		struct tpi_host *host =
			tpi_registry_find(registry, channel->spec.name);

		if (tpi_channel_exists(&registry->catalog, host->index))
			continue;
		channel->spec = host->config->spec;
		host->config = channel;
	}
}

int tpi_channels_make(struct tpi_registry *registry, struct tpi_config *next,
		      const struct tpi_topology *topology, struct tpi_log *log,
		      char *error, size_t error_bytes)
{
	struct tpi_config more;
	int err = find_new(registry, next, &more);

	if (err)
		return tpi_fail(err, error, error_bytes, "out of memory");
	err = tpi_registry_add(registry, &more, topology, log, error,
			       error_bytes);
	if (!err)
		take_back(registry, next);
	free(more.channels);
	return err;
}

uint32_t tpi_channels_show(struct tpi_registry *registry)
{
	struct tpi_host *host;
	uint32_t shown = 0;

	TPI_FOREACH_HOST (host, registry) {
		if (tpi_channel_exists(&registry->catalog, host->index))
			continue;
		tpi_channel_show(&registry->catalog, host->index);
		shown++;
		TPI_TESTPOINT("channel.shown");
	}
	if (shown)
		tpi_registry_learn(registry);
	return shown;
}

void tpi_channels_unmake(struct tpi_registry *registry)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry)
		if (!tpi_channel_exists(&registry->catalog, host->index))
			tpi_channel_give_back(registry, host);
}

/* ---- D2 to D5 -------------------------------------------------------------------------- */

/* D3. A reader throws its copy away, or finds that there is none. */
static void clear_record(struct tapio_shm_segment *record)
{
	/* ORDER segment_record.ready (store-store): READY is off before anything
	 * changes. Pairs with the second look of the tools. */
	tpi_store_relaxed(&record->ready, 0);
	tpi_fence_store_store();
	memset(record, 0, sizeof(*record));
}

/* D3 to D5 of one segment. Both keys: new memory may have been put, and not counted. */
static void give_back_segment(struct tpi_registry *registry,
			      struct tpi_segment *segment, uint32_t number)
{
	struct tapio_shm_segment *record = &registry->catalog.segments[number];

	if (record->ready)
		registry->used_bytes -= segment->map.bytes;
	clear_record(record);
	TPI_TESTPOINT("channel.cleared");
	/* Where it is refused, the memory goes when no process maps it. */
	if (segment->map.base)
		(void)tpi_sys_madvise(segment->map.base, segment->map.bytes,
				      MADV_REMOVE);
	TPI_TESTPOINT("channel.emptied");
	/* Dropped first, and closed then (keep.h). */
	for (uint32_t epoch = 0; epoch < 2; epoch++)
		tpi_keep_drop(registry->keep,
			      (struct tpi_keep_key){
				      TPI_KEEP_SEGMENT,
				      tpi_slot_memory_key(number, epoch)});
	TPI_TESTPOINT("channel.dropped");
	tpi_segment_destroy(segment);
}

void tpi_channel_give_back(struct tpi_registry *registry, struct tpi_host *host)
{
	tpi_channel_hide(&registry->catalog, host->index);
	TPI_TESTPOINT("channel.hidden");
	for (uint32_t i = 0; host->nodes && i < host->node_count; i++)
		give_back_segment(registry, &host->nodes[i],
				  tpi_segment_record(host->index, i));
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		give_back_segment(registry, &host->cursor_segments[i],
				  tpi_slot_record(host->index, i));
	tpi_registry_destroy_host(host);
	host->used = false;
	registry->host_count--;
	tpi_registry_recount(registry);
	tpi_registry_learn(registry);
	TPI_TESTPOINT("channel.gone");
}

void tpi_channels_tidy(struct tpi_registry *registry)
{
	const struct tpi_catalog *catalog = &registry->catalog;

	for (uint32_t i = 0; i < catalog->channel_count; i++) {
		if (registry->hosts[i].used)
			continue;
		for (uint32_t k = 0; k < TAPIO_CHANNEL_RECORDS; k++)
			if (catalog->segments[tpi_segment_record(i, k)].kind)
				clear_record(
					&catalog->segments[tpi_segment_record(
						i, k)]);
	}
}

/* ---- D1 ----------------------------------------------------------------------------------- */

void tpi_channel_own_config(struct tpi_host *host,
			    const struct tapio_shm_channel *info)
{
	struct tpi_config_channel *own = &host->own_config;
	struct tpi_channel_spec *spec = &own->spec;

	memset(own, 0, sizeof(*own));
	memcpy(spec->name, info->name, sizeof(spec->name));
	memcpy(spec->classes, info->classes, sizeof(spec->classes));
	spec->class_count = info->class_count;
	spec->full_policy = info->full_policy;
	spec->wait_ns = info->wait_ns;
	spec->stamp = info->stamp;
	spec->flags = info->flags;
	if (tpi_spec_isolated(spec))
		spec->producers_max = info->segment_count - 1;
	host->config = own;
}
