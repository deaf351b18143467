/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory is laid out by the code of the broker, and written into a file by the code below,
 * so that the reader is not only tested against its writer.
 */
#include "snapshot_base.h"

#include <fcntl.h>
#include <string.h>

#include "fuzz.h"
#include "lib/lane/cursor.h"
#include "lib/memory/layout.h"

#define CHANNELS  2
#define PRODUCERS 2
#define SEGMENTS  32
#define DEVICE    7
#define PRODUCER  TAPIO_ATTACHMENT_ID(2, 1)
#define CONSUMER  TAPIO_ATTACHMENT_ID(3, 1)

static const struct tpi_channel_spec specs[CHANNELS] = {
	{.name = "events",
	 .class_count = 2,
	 .full_policy = TAPIO_FULL_WAIT,
	 .stamp = TAPIO_STAMP_TSC,
	 .classes = {{.name = "critical",
		      .block_bytes = 128,
		      .block_count = 4,
		      .side_count = 4,
		      .side_lanes = 1,
		      .priority = 1},
		     {.name = "small",
		      .block_bytes = 64,
		      .block_count = 8,
		      .side_count = 4,
		      .side_lanes = 2}}},
	{.name = "alone",
	 .class_count = 1,
	 .flags = TAPIO_CHANNEL_ISOLATED,
	 .producers_max = PRODUCERS,
	 .classes = {{.name = "main",
		      .block_bytes = 64,
		      .block_count = 4,
		      .side_count = 4,
		      .side_lanes = PRODUCERS}}},
};

struct maker {
	struct tpi_topology topology;
	struct tpi_catalog catalog;
	struct tpi_map maps[SEGMENTS];
	struct tpi_snapshot_section sections[SEGMENTS + 4];
	uint32_t count;
	uint32_t lanes[CHANNELS];
};

static struct tpi_map *new_map(struct maker *m, uint64_t bytes, uint32_t flags)
{
	struct tpi_map *map = &m->maps[m->count];

	FUZZ_CHECK(m->count < SEGMENTS);
	map->bytes = tpi_snapshot_round(bytes);
	map->writable = true;
	map->base = aligned_alloc(TPI_SNAPSHOT_PAGE, map->bytes);
	FUZZ_CHECK(map->base);
	memset(map->base, 0, map->bytes);
	m->sections[m->count] = (struct tpi_snapshot_section){
		.kind = TPI_SECTION_SEGMENT,
		.flags = flags | TPI_SECTION_RECEIVED,
		.bytes = map->bytes,
		.device = DEVICE,
		.inode = 100 + m->count,
		.seals = TPI_SEALS,
		.mode = 0600,
		.page_bytes = TPI_SNAPSHOT_PAGE,
	};
	m->count++;
	return map;
}

static void record(struct maker *m, uint32_t number, uint32_t kind,
		   uint32_t channel, uint32_t index, uint32_t epoch)
{
	const struct tpi_snapshot_section *s = &m->sections[m->count - 1];

	m->catalog.segments[number] = (struct tapio_shm_segment){
		.kind = kind,
		.channel = channel,
		.index = index,
		.length_bytes = s->bytes,
		.page_bytes = TPI_SNAPSHOT_PAGE,
		.seals = s->seals,
		.device = s->device,
		.inode = s->inode,
		.epoch = epoch,
		.ready = TAPIO_SEGMENT_READY,
	};
}

static void make_catalog(struct maker *m)
{
	const uint8_t instance[16] = {0xab, 0xcd, 3};
	struct tpi_catalog_size size = {.clients_max = 6,
					.segments =
						tpi_segment_records(CHANNELS),
					.channels = CHANNELS};
	struct tapio_shm_broker *b;
	struct tpi_map *map;

	for (uint32_t c = 0; c < CHANNELS; c++) {
		m->lanes[c] = tpi_channel_lane_count(&specs[c], &m->topology);
		size.lanes += m->lanes[c];
	}
	map = new_map(m, tpi_catalog_bytes(&size), TPI_SECTION_CATALOG);
	FUZZ_CHECK(!tpi_catalog_build(map, &size, instance));
	FUZZ_CHECK(!tpi_catalog_attach(&m->catalog, map, NULL, 0));
	record(m, 0, TAPIO_SEGMENT_CATALOG, 0, 0, 0);
	b = m->catalog.broker;
	b->attachment = TAPIO_ATTACHMENT_ID(1, 1);
	b->state = TAPIO_BROKER_RUNNING;
	b->pid = 4321;
	b->start_time_ticks = 99;
	b->clients_max = 6;
	memcpy(b->version, "0.1.0", 6);
}

static void make_channel(struct maker *m, uint32_t c, uint32_t first_place)
{
	uint32_t count = tpi_channel_segments(&specs[c], &m->topology);

	FUZZ_CHECK(!tpi_channel_publish(&m->catalog, c, first_place, &specs[c],
					&m->topology));
	for (uint32_t i = 0; i < count; i++) {
		struct tpi_map *map = new_map(
			m, tpi_channel_bytes(&specs[c], &m->topology, i), 0);

		FUZZ_CHECK(!tpi_channel_build(map, &m->catalog, c, i));
		record(m, tpi_segment_record(c, i), TAPIO_SEGMENT_CHANNEL, c, i,
		       i && tpi_spec_isolated(&specs[c]) ? 1 << 2 : 0);
	}
	/* One of an isolated producer is not had: its lanes are at rest. */
	if (tpi_spec_isolated(&specs[c]))
		m->sections[m->count - 1].inode = 9999;
}

/* A group that has read all but two positions of each lane. */
static void make_group(struct maker *m, uint32_t c, uint32_t slot,
		       uint32_t policy)
{
	struct tapio_shm_channel *shm = &m->catalog.channels[c];
	struct tapio_shm_group *group =
		&m->catalog.groups[c * TAPIO_GROUP_SLOTS + slot];
	struct tpi_map *map = new_map(m, tpi_cursors_bytes(m->lanes[c]), 0);
	const struct tapio_shm_place *places =
		&m->catalog.places[shm->first_place];
	struct tpi_cursors cursors;

	record(m, tpi_slot_record(c, slot), TAPIO_SEGMENT_CURSORS, c, slot, 1);
	FUZZ_CHECK(!tpi_cursors_attach(&cursors, map, shm, slot, NULL, 0));
	for (uint32_t i = 0; i < m->lanes[c]; i++) {
		struct tapio_shm_cursor *cursor = &cursors.cursors[i];
		uint64_t n = places[i].block_count;

		cursor->lease = TAPIO_LEASE(CONSUMER, 1, 0, 1);
		cursor->start = n;
		cursor->cells[1].owner = TAPIO_CELL_TAKE(UINT64_C(0), CONSUMER);
		cursor->cells[1].head = TAPIO_HEAD(n, 1, 0);
	}
	group->slot = TAPIO_SLOT(TAPIO_SLOT_ACTIVE, policy, 1, 2);
	group->admitted = 1;
	group->members = 1;
	group->policy = policy;
	group->epoch = 1;
	snprintf(group->name, sizeof(group->name), "group%u", slot);
	shm->active |= UINT64_C(1) << slot;
	shm->generation++;
}

static void make_attachment(struct maker *m, uint32_t id, uint32_t role,
			    uint32_t slot)
{
	struct tapio_shm_attachment *a =
		&m->catalog.attachments[TAPIO_ATTACHMENT_INDEX(id)];

	*a = (struct tapio_shm_attachment){
		.state = TAPIO_ATTACHMENT_ALIVE,
		.id = id,
		.role = role,
		.group_slot = slot,
		.pid = 1000 + TAPIO_ATTACHMENT_INDEX(id),
		.start_time_ticks = 5,
		.comm = "worker",
	};
}

static uint64_t layout(struct maker *m, uint32_t sections)
{
	uint64_t at = TPI_SNAPSHOT_PAGE +
		      tpi_snapshot_round(sections * sizeof(*m->sections));

	for (uint32_t i = 0; i < sections; i++) {
		m->sections[i].offset = at;
		at += tpi_snapshot_round(m->sections[i].bytes);
	}
	return at;
}

static void write_base(struct maker *m, struct snapshot_base *base)
{
	struct tpi_snapshot_facts facts = {.begin_ns = 1,
					   .end_ns = 1764500000000000000,
					   .host = "elsewhere",
					   .flags = 15};
	struct tpi_snapshot_process processes[] = {
		{4321, 99, 3, 0}, {1002, 5, 1, 0}, {1003, 5, 2, 0}};
	struct tpi_snapshot_lane lanes[64];
	const void *extra[] = {&facts, processes, lanes};
	const size_t sizes[] = {sizeof(facts), sizeof(processes), 0};
	struct tpi_snapshot_header header = {.magic = TPI_SNAPSHOT_MAGIC,
					     .version = TPI_SNAPSHOT_VERSION};
	uint32_t n = 0;

	for (uint32_t c = 0; c < CHANNELS; c++)
		for (uint32_t i = 0; i < m->lanes[c] && n < 64; i++)
			lanes[n++] = (struct tpi_snapshot_lane){
				.channel = c, .lane = i, .flags = 7};
	for (uint32_t i = 0; i < 3; i++) {
		m->sections[m->count + i].kind = TPI_SECTION_FACTS + i;
		m->sections[m->count + i].bytes =
			i == 2 ? n * sizeof(lanes[0]) : sizes[i];
	}
	header.section_count = m->count + 3;
	header.file_bytes = layout(m, header.section_count);
	base->bytes = header.file_bytes;
	base->data = calloc(1, base->bytes);
	FUZZ_CHECK(base->data);
	memcpy(base->data, &header, sizeof(header));
	memcpy(base->data + TPI_SNAPSHOT_PAGE, m->sections,
	       header.section_count * sizeof(*m->sections));
	for (uint32_t i = 0; i < header.section_count; i++)
		memcpy(base->data + m->sections[i].offset,
		       i < m->count ? (const void *)m->maps[i].base
				    : extra[i - m->count],
		       m->sections[i].bytes);
	snapshot_base_seal(base->data, base->bytes);
}

void snapshot_base_make(struct snapshot_base *base)
{
	static struct maker m;

	FUZZ_CHECK(!tpi_topology_simulate(&m.topology, 2, 1));
	make_catalog(&m);
	make_channel(&m, 0, 0);
	make_channel(&m, 1, m.lanes[0]);
	make_group(&m, 0, 0, TAPIO_GROUP_UNTIL);
	make_group(&m, 0, 3, TAPIO_GROUP_LOSSY);
	make_group(&m, 1, 1, TAPIO_GROUP_LOSSLESS);
	make_attachment(&m, PRODUCER, TAPIO_ROLE_PRODUCE, UINT32_MAX);
	make_attachment(&m, CONSUMER, TAPIO_ROLE_CONSUME, 0);
	write_base(&m, base);
	for (uint32_t i = 0; i < m.count; i++)
		free(m.maps[i].base);
	tpi_topology_free(&m.topology);
}

/* ---- digests ---------------------------------------------------------------------- */

static void seal_section(uint8_t *data, size_t bytes,
			 struct tpi_snapshot_section *s)
{
	uint64_t n;

	if (s->offset > bytes || s->bytes > bytes - s->offset)
		return;
	s->digest = 0;
	for (uint64_t at = 0; at < s->bytes; at += n) {
		const uint8_t *page = data + s->offset + at;

		n = s->bytes - at < TPI_SNAPSHOT_PAGE ? s->bytes - at
						      : TPI_SNAPSHOT_PAGE;
		if (!tpi_snapshot_is_zero(page, n))
			s->digest = tpi_snapshot_digest_page(s->digest, at,
							     page, n);
	}
}

void snapshot_base_seal(uint8_t *data, size_t bytes)
{
	struct tpi_snapshot_header h;
	uint64_t room;

	if (bytes < TPI_SNAPSHOT_PAGE)
		return;
	memcpy(&h, data, sizeof(h));
	room = (bytes - TPI_SNAPSHOT_PAGE) /
	       sizeof(struct tpi_snapshot_section);
	if (h.section_count <= room) {
		struct tpi_snapshot_section s;
		uint8_t *table = data + TPI_SNAPSHOT_PAGE;

		for (uint32_t i = 0; i < h.section_count; i++) {
			memcpy(&s, table + i * sizeof(s), sizeof(s));
			seal_section(data, bytes, &s);
			memcpy(table + i * sizeof(s), &s, sizeof(s));
		}
		h.table_digest = tpi_snapshot_digest(
			1, table, h.section_count * sizeof(s));
	}
	h.digest = tpi_snapshot_digest_header(&h);
	memcpy(data, &h, sizeof(h));
}
