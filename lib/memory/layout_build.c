/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling fresh segments.
 *
 * Called by the broker before a segment's fds leave it, and by tests. Sizes and
 * places are layout_plan.c's. The catalog comes first: a channel's segments are
 * filled by what it says of them.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/memory/counters.h"
#include "lib/memory/layout_inner.h"
#include "lib/base/versions.h"

static int check_map(const struct tpi_map *map, uint64_t bytes)
{
	if (!map->base || !map->writable)
		return -EACCES;
	return map->bytes < bytes ? -ENOSPC : 0;
}

/* ---- the catalog --------------------------------------------------------------- */

static void describe_counters(const struct tpi_map *map,
			      const struct tapio_shm_region *region)
{
	struct tapio_shm_counter *records =
		(void *)(map->base + region->offset);

	for (uint32_t i = 0; i < TPI_COUNTERS; i++)
		tpi_counter_describe(&tpi_counters[i], &records[i]);
}

int tpi_catalog_build(const struct tpi_map *map,
		      const struct tpi_catalog_size *size,
		      const uint8_t instance[16])
{
	struct tapio_shm_region regions[TAPIO_REGIONS_MAX];
	struct tapio_shm_header *shared = (void *)map->base;
	struct tapio_shm_header header = {
		.magic = TAPIO_SEGMENT_MAGIC,
		.abi_major = TAPIO_ABI_MAJOR,
		.abi_minor = TPI_ABI_MINOR,
		.incompat = TPI_INCOMPAT_MADE,
		.compat = TPI_COMPAT_MADE,
		.length_bytes = map->bytes,
		.region_offset = sizeof(header),
		.page_bytes = map->page_bytes,
	};
	int err;

	if (!size->clients_max || size->clients_max > TAPIO_CLIENTS_MAX)
		return -EINVAL;
	err = check_map(map, tpi_catalog_bytes(size));
	if (err)
		return err;
	header.region_count = tpi_catalog_regions(size, regions);
	memcpy(map->base + header.region_offset, regions,
	       header.region_count * sizeof(*regions));
	for (uint32_t i = 0; i < header.region_count; i++)
		if (regions[i].kind == TAPIO_REGION_COUNTERS)
			describe_counters(map, &regions[i]);
	memcpy(header.instance, instance, sizeof(header.instance));
	memcpy(shared, &header, sizeof(header));
	/*
	 * ORDER segment.ready (release): a process that sees READY sees the
	 * header, the regions and all that they describe. Pairs with the
	 * acquire in load_header() of layout_check.c.
	 */
	tpi_store_release(&shared->ready, TAPIO_SEGMENT_READY);
	return 0;
}

/* What another channel in this entry has left. Its epoch stays, and READY is off. */
static void begin_entry(const struct tpi_catalog *catalog, uint32_t channel)
{
	struct tapio_shm_channel *shared = &catalog->channels[channel];
	uint32_t epoch = shared->epoch + 1;

	memset(shared, 0, sizeof(*shared));
	memset(&catalog->groups[(size_t)channel * TAPIO_GROUP_SLOTS], 0,
	       TAPIO_GROUP_SLOTS * sizeof(*catalog->groups));
	shared->epoch = epoch;
}

/* Another channel may have had these records. */
static void begin_spans(const struct tpi_catalog *catalog, uint32_t first,
			uint32_t lanes, bool isolated)
{
	for (uint32_t i = first; i < first + lanes; i++) {
		uint64_t n = isolated ? catalog->places[i].block_count : 0;

		catalog->spans[i] =
			(struct tapio_shm_span){.begin = n, .end = n};
	}
}

int tpi_channel_write(const struct tpi_catalog *catalog, uint32_t channel,
		      uint32_t first_place, const struct tpi_channel_spec *spec,
		      const struct tpi_topology *topology)
{
	uint32_t lanes = tpi_channel_lane_count(spec, topology);
	struct tapio_shm_channel *shared;

	if (channel >= catalog->channel_count ||
	    first_place > catalog->place_count ||
	    lanes > catalog->place_count - first_place ||
	    tpi_channel_spec_check(spec, NULL, 0))
		return -EINVAL;
	shared = &catalog->channels[channel];
	/* Plain: the broker alone writes it. */
	if (shared->ready)
		return -EBUSY;
	begin_entry(catalog, channel);
	tpi_channel_places(spec, topology, &catalog->places[first_place]);
	begin_spans(catalog, first_place, lanes, tpi_spec_isolated(spec));
	memcpy(shared->name, spec->name, sizeof(shared->name));
	shared->class_count = spec->class_count;
	shared->segment_count = tpi_channel_segments(spec, topology);
	shared->flags = spec->flags;
	shared->lane_count = lanes;
	shared->full_policy = spec->full_policy;
	shared->wait_ns = spec->wait_ns;
	shared->stamp = spec->stamp;
	shared->first_place = first_place;
	tpi_channel_offsets(lanes, shared);
	memcpy(shared->classes, spec->classes, sizeof(shared->classes));
	return 0;
}

void tpi_channel_show(const struct tpi_catalog *catalog, uint32_t channel)
{
	/*
	 * ORDER channel.ready (release): a process that sees its READY sees the
	 * record, its places, its segments and its groups. Pairs with the acquire in
	 * tpi_channel_exists().
	 */
	tpi_store_release(&catalog->channels[channel].ready,
			  TAPIO_SEGMENT_READY);
}

void tpi_channel_hide(const struct tpi_catalog *catalog, uint32_t channel)
{
	/* ORDER channel.ready (release): all ends of attachments before it. Pairs
	 * with the acquire of a successor. And (store-store): READY is off before
	 * anything changes. Pairs with the second look of
	 * tpi_channel_look(). */
	tpi_store_release(&catalog->channels[channel].ready, 0);
	/* ORDER channel.epoch (store-store): READY is off before the next epoch.
	 * Pairs with the first look of tpi_channel_look(). */
	tpi_fence_store_store();
}

int tpi_channel_publish(const struct tpi_catalog *catalog, uint32_t channel,
			uint32_t first_place,
			const struct tpi_channel_spec *spec,
			const struct tpi_topology *topology)
{
	int err = tpi_channel_write(catalog, channel, first_place, spec,
				    topology);

	if (!err)
		tpi_channel_show(catalog, channel);
	return err;
}

/* ---- a channel's segments -------------------------------------------------------- */

/* Born full of DISCARDs: N blocks in the ring, every one of them free. */
static void fill_lane(const struct tpi_map *map,
		      const struct tapio_shm_place *place, uint64_t tail)
{
	struct tapio_shm_lane *lane = (void *)(map->base + place->lane_offset);
	uint64_t *desc = (void *)(map->base + place->desc_offset);

	for (uint64_t i = 0; i < place->block_count; i++)
		desc[i] = TAPIO_DESC_META(TAPIO_TYPE_DISCARD, 0, 0) | i;
	lane->gate = tail;
	lane->state = TAPIO_STATE(tail, 0);
}

/* Where the arrays of a lane end that lies last. Others end before. */
static uint64_t end_of(const struct tapio_shm_place *place)
{
	return place->block_offset +
	       (uint64_t)place->block_count * place->block_bytes;
}

static uint64_t begin_of(const struct tpi_catalog *catalog,
			 const struct tapio_shm_channel *info, uint32_t lane)
{
	uint32_t at = info->first_place + lane;

	/* Plain: this process is the one that writes it. */
	return info->flags & TAPIO_CHANNEL_ISOLATED
		       ? catalog->spans[at].begin
		       : catalog->places[at].block_count;
}

int tpi_channel_build(const struct tpi_map *map,
		      const struct tpi_catalog *catalog, uint32_t channel,
		      uint32_t segment)
{
	const struct tapio_shm_channel *info;
	const struct tapio_shm_place *places;
	uint64_t bytes = segment ? 0 : sizeof(struct tapio_shm_doorbells);
	int err;

	if (channel >= catalog->channel_count ||
	    segment >= catalog->channels[channel].segment_count)
		return -EINVAL;
	info = &catalog->channels[channel];
	places = &catalog->places[info->first_place];
	for (uint32_t i = 0; i < info->lane_count; i++)
		if (places[i].segment == segment && end_of(&places[i]) > bytes)
			bytes = end_of(&places[i]);
	err = check_map(map, bytes);
	for (uint32_t i = 0; !err && i < info->lane_count; i++)
		if (places[i].segment == segment)
			fill_lane(map, &places[i], begin_of(catalog, info, i));
	return err;
}
