/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of segments: how the broker fills fresh ones, and how all
 * processes attach to one that comes from elsewhere. Attaching trusts nothing:
 * it copies each field once, checks the copy, and hands out checked pointers.
 * This is the one place where offsets become addresses.
 *
 * The catalog describes the memory of all segments. Clients can write the others, so
 * nothing that is in them says where something lies.
 */
#ifndef TPI_LAYOUT_H
#define TPI_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "lib/lane/lane.h"
#include "lib/memory/segment.h"
#include "lib/base/topology.h"

/*
 * Resolves an offset in a mapping: an address when [offset, offset + bytes) lies
 * inside and `align` (a power of two) divides it, else NULL.
 */
void *tpi_offset(const struct tpi_map *map, uint64_t offset, uint64_t bytes,
		 uint64_t align);

/* Isolated producers of a channel: one segment is that of the doorbells. */
#define TPI_PRODUCERS_MAX (TAPIO_NODES_MAX - 1)

/* A channel as the configuration describes it. Class order is kept. */
struct tpi_channel_spec {
	char name[TAPIO_NAME_BYTES];
	uint32_t class_count;
	struct tapio_shm_class classes[TAPIO_CLASSES_MAX];
	uint32_t full_policy; /* TAPIO_FULL_* */
	uint64_t wait_ns;
	uint32_t stamp;         /* TAPIO_STAMP_* */
	uint32_t flags;         /* TAPIO_CHANNEL_* */
	uint32_t producers_max; /* ISOLATED: at a time. Else 0 */
};

static inline bool tpi_spec_isolated(const struct tpi_channel_spec *spec)
{
	return spec->flags & TAPIO_CHANNEL_ISOLATED;
}

/*
 * Checks a spec against the layout's limits (N a power of two in 4..65536, block
 * a multiple of 64 up to TAPIO_BLOCK_BYTES_MAX, names, counts, classes sorted by
 * priority falling, then by block size rising). -EINVAL with the reason. The
 * functions below take checked specs only.
 */
int tpi_channel_spec_check(const struct tpi_channel_spec *spec, char *error,
			   size_t error_bytes);

/* Segments of a channel: one per node, or 1 + producers_max. */
uint32_t tpi_channel_segments(const struct tpi_channel_spec *spec,
			      const struct tpi_topology *topology);

/* The node, as an index, that a segment of a channel is made for. */
uint32_t tpi_channel_node(const struct tpi_channel_spec *spec,
			  const struct tpi_topology *topology,
			  uint32_t segment);

/* Lanes of the whole channel: present CPUs and side lanes, times classes. */
uint32_t tpi_channel_lane_count(const struct tpi_channel_spec *spec,
				const struct tpi_topology *topology);

/* The numbers of records in a catalog, with those that are not used yet. */
struct tpi_catalog_size {
	uint32_t clients_max; /* one more record: indices begin at 1 */
	uint32_t segments;
	uint32_t channels;
	uint32_t lanes; /* of all channels */
};

/* Records of SEGMENTS for so many channels, and those of one channel. */
static inline uint32_t tpi_segment_records(uint32_t channels)
{
	return 1 + channels * TAPIO_CHANNEL_RECORDS;
}
static inline uint32_t tpi_segment_record(uint32_t channel, uint32_t segment)
{
	return 1 + channel * TAPIO_CHANNEL_RECORDS + segment;
}
static inline uint32_t tpi_slot_record(uint32_t channel, uint32_t slot)
{
	return tpi_segment_record(channel, TAPIO_NODES_MAX + slot);
}

/* Bytes of each kind of segment. Side lanes are in that of index 0, unless each
 * producer has a segment. */
uint64_t tpi_channel_bytes(const struct tpi_channel_spec *spec,
			   const struct tpi_topology *topology,
			   uint32_t segment);
/* Of all that is made for a node (index): the lanes of one class, and how many of these
 * are side lanes. */
uint64_t tpi_class_bytes(const struct tpi_channel_spec *spec, uint32_t k,
			 const struct tpi_topology *topology, uint32_t node);
uint32_t tpi_class_sides(const struct tpi_channel_spec *spec, uint32_t k,
			 const struct tpi_topology *topology, uint32_t node);
uint64_t tpi_cursors_bytes(uint32_t lane_count);
uint64_t tpi_catalog_bytes(const struct tpi_catalog_size *size);

/*
 * Fills a fresh, zeroed, writable mapping and stores READY. -EINVAL numbers.
 * -EACCES the mapping is not writable. -ENOSPC it is too small.
 */
int tpi_catalog_build(const struct tpi_map *map,
		      const struct tpi_catalog_size *size,
		      const uint8_t instance[16]);

/*
 * Attaching: -EBADMSG the segment is not what it should be. -EPROTONOSUPPORT it
 * is of another major version or has features that are not known. -ENOMEM. The
 * reason names the value and the limit. Nothing is left allocated on error.
 */

/* The catalog, attached. Counts are checked copies. */
struct tpi_catalog {
	struct tpi_map map;
	uint8_t instance[16];
	uint32_t minor; /* of its layout */
	struct tapio_shm_broker *broker;
	struct tapio_shm_attachment *attachments; /* by index */
	uint32_t attachment_count; /* with index 0, which is never given */
	struct tapio_shm_segment *segments;
	uint32_t segment_count;
	struct tapio_shm_channel *channels;
	uint32_t channel_count;
	struct tapio_shm_group *groups;             /* [channel * 64 + slot] */
	struct tapio_shm_calibration *calibrations; /* calibration.h */
	uint32_t calibration_count;                 /* of them */
	struct tapio_shm_place *places;             /* of all channels' lanes */
	uint32_t place_count;
	struct tapio_shm_span *spans; /* [place_count] */
	struct tapio_shm_counter
		*counters; /* counters.h. NULL: of layout 0.4 */
	uint32_t counter_count;
};
int tpi_catalog_attach(struct tpi_catalog *catalog, const struct tpi_map *map,
		       char *error, size_t error_bytes);

/* Whether an entry of CHANNELS has a channel now. Without it there is nothing to be read. */
bool tpi_channel_exists(const struct tpi_catalog *catalog, uint32_t channel);
/* A checked private copy of a channel's description. -EBADMSG. */
int tpi_channel_describe(const struct tpi_catalog *catalog, uint32_t channel,
			 struct tapio_shm_channel *copy, char *error,
			 size_t error_bytes);
/* The same for those that have no attachment. -ESTALE it was given back, or its entry
 * became another channel's, meanwhile. */
int tpi_channel_look(const struct tpi_catalog *catalog, uint32_t channel,
		     struct tapio_shm_channel *copy, char *error,
		     size_t error_bytes);

/*
 * Broker: writes the record of a channel that is not READY, and the places of its
 * lanes. Its groups are all zero. Lane ids are dense: node by node, in a node class by
 * class, in a
 * class CPU by CPU. Then the side lanes class by class: those are all that an
 * ISOLATED channel has. -EINVAL no such record, no
 * room for the places, or the spec does not pass its check. -EBUSY it is READY.
 */
int tpi_channel_write(const struct tpi_catalog *catalog, uint32_t channel,
		      uint32_t first_place, const struct tpi_channel_spec *spec,
		      const struct tpi_topology *topology);
/* Broker: READY, after all that belongs to the channel, and READY off, before any of it
 * is taken away. */
void tpi_channel_show(const struct tpi_catalog *catalog, uint32_t channel);
void tpi_channel_hide(const struct tpi_catalog *catalog, uint32_t channel);
/* Both at once: of a catalog that nobody has yet. */
int tpi_channel_publish(const struct tpi_catalog *catalog, uint32_t channel,
			uint32_t first_place,
			const struct tpi_channel_spec *spec,
			const struct tpi_topology *topology);

/*
 * Broker: fills a fresh, zeroed, writable mapping with the lanes that the catalog
 * places there. Lanes are born with N DISCARD descriptors (tail = N, gate = N; ISOLATED:
 * where their span begins).
 * -EINVAL, -EACCES and -ENOSPC as above. Fresh cursors are all zero.
 */
int tpi_channel_build(const struct tpi_map *map,
		      const struct tpi_catalog *catalog, uint32_t channel,
		      uint32_t segment);

/*
 * A private read-only mapping in the place of the segment of an isolated producer: lanes with
 * nothing to read, at the `end` of their spans. The channel's record was checked. -errno.
 */
int tpi_channel_rest(struct tpi_map *map, const struct tpi_catalog *catalog,
		     uint32_t channel, uint32_t segment, uint64_t bytes);

/* A channel's segments, attached: all its lanes, indexed by id. */
struct tpi_channel {
	struct tapio_shm_channel info; /* checked copy */
	struct tapio_shm_doorbells *doorbells;
	struct tpi_lane *lanes; /* [lane_count]. Aligned to 64. Owned */
	uint32_t lane_count;
	uint32_t cpus; /* size of by_cpu: 1 + largest CPU id with a lane */
	/* [klass * cpus + cpu]: a CPU's lane or NULL. Owned. */
	struct tpi_lane **by_cpu;
	/* Side lanes of class k: ids side_first[k] .. + side_count[k]. */
	uint32_t side_first[TAPIO_CLASSES_MAX];
	uint32_t side_count[TAPIO_CLASSES_MAX];
};
static inline bool tpi_channel_isolated(const struct tpi_channel *channel)
{
	return channel->info.flags & TAPIO_CHANNEL_ISOLATED;
}
/* ISOLATED: the lane of a class in the segment of a producer, 1 and above. */
static inline struct tpi_lane *
tpi_channel_own_lane(const struct tpi_channel *channel, uint32_t klass,
		     uint32_t segment)
{
	return &channel->lanes[channel->side_first[klass] + segment - 1];
}
/* `maps` are the segments by index. They must outlive the channel. */
int tpi_channel_attach(struct tpi_channel *channel,
		       const struct tpi_catalog *catalog, uint32_t index,
		       const struct tpi_map *maps, uint32_t map_count,
		       char *error, size_t error_bytes);
/* Broker: the same of a channel that it is making, which is not READY. */
int tpi_channel_attach_made(struct tpi_channel *channel,
			    const struct tpi_catalog *catalog, uint32_t index,
			    const struct tpi_map *maps, uint32_t map_count,
			    char *error, size_t error_bytes);
void tpi_channel_detach(struct tpi_channel *channel);

/* One slot's cursors, attached. */
struct tpi_cursors {
	struct tapio_shm_group_control *control;
	struct tapio_shm_cursor *cursors;      /* [lane_count], by lane id */
	struct tapio_shm_histogram *histogram; /* NULL: it has none */
};
/* `info` is the checked copy of the channel's description. */
int tpi_cursors_attach(struct tpi_cursors *cursors, const struct tpi_map *map,
		       const struct tapio_shm_channel *info, uint32_t slot,
		       char *error, size_t error_bytes);

#endif
