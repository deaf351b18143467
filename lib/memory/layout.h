/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of segments: how the broker fills fresh ones, and how all
 * processes attach to one that comes from elsewhere. Attaching trusts nothing:
 * it copies each field once, checks the copy, and hands out checked pointers.
 * This is the one place where offsets become addresses.
 */
#ifndef TPI_LAYOUT_H
#define TPI_LAYOUT_H

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

/* A channel as the configuration describes it. Class order is kept. */
struct tpi_channel_spec {
	char name[TAPIO_NAME_BYTES];
	uint32_t class_count;
	struct tapio_shm_class classes[TAPIO_CLASSES_MAX];
	uint32_t full_policy; /* TAPIO_FULL_* */
	uint64_t wait_ns;
	uint32_t stamp; /* TAPIO_STAMP_* */
};

/*
 * Checks a spec against the layout's limits (N a power of two in 4..65536, block
 * a multiple of 64 up to TAPIO_BLOCK_BYTES_MAX, names, counts, classes sorted by
 * priority falling, then by block size rising). -EINVAL with the reason. The
 * functions below take checked specs only.
 */
int tpi_channel_spec_check(const struct tpi_channel_spec *spec, char *error,
			   size_t error_bytes);

/* Lanes of the whole channel: present CPUs and side lanes, times classes. */
uint32_t tpi_channel_lane_count(const struct tpi_channel_spec *spec,
				const struct tpi_topology *topology);

/*
 * Bytes of each kind of segment. Side lanes are in node index 0's. Of clients_max
 * there is one more record: the indices of attachments begin at 1.
 */
uint64_t tpi_channel_bytes(const struct tpi_channel_spec *spec,
			   const struct tpi_topology *topology,
			   uint32_t node_index);
uint64_t tpi_cursors_bytes(uint32_t lane_count);
uint64_t tpi_catalog_bytes(uint32_t clients_max, uint32_t segments,
			   uint32_t channels);

/*
 * Fill a fresh, zeroed, writable mapping and store READY. Lane ids are dense:
 * node by node, in a node class by class, in a class CPU by CPU. Then the side
 * lanes class by class. Lanes are born with N DISCARD descriptors (tail = N,
 * gate = N). -EINVAL numbers. -EACCES the mapping is not writable. -ENOSPC it is
 * too small.
 */
int tpi_channel_build(const struct tpi_map *map,
		      const struct tpi_channel_spec *spec,
		      const struct tpi_topology *topology, uint32_t node_index,
		      uint32_t channel, const uint8_t instance[16]);
int tpi_cursors_build(const struct tpi_map *map, uint32_t lane_count,
		      uint32_t channel, uint32_t slot,
		      const uint8_t instance[16]);
int tpi_catalog_build(const struct tpi_map *map, uint32_t clients_max,
		      uint32_t segments, uint32_t channels,
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
};
int tpi_catalog_attach(struct tpi_catalog *catalog, const struct tpi_map *map,
		       char *error, size_t error_bytes);

/* A checked private copy of a channel's description. -EBADMSG. */
int tpi_channel_describe(const struct tpi_catalog *catalog, uint32_t channel,
			 struct tapio_shm_channel *copy, char *error,
			 size_t error_bytes);

/*
 * Broker: writes a channel's record, then its READY. One segment per node. The
 * spec must have passed its check. -EINVAL no such record.
 */
int tpi_channel_publish(const struct tpi_catalog *catalog, uint32_t channel,
			const struct tpi_channel_spec *spec,
			const struct tpi_topology *topology);

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
/* `maps` are the segments by node index. They must outlive the channel. */
int tpi_channel_attach(struct tpi_channel *channel,
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
int tpi_cursors_attach(struct tpi_cursors *cursors, const struct tpi_map *map,
		       const struct tpi_catalog *catalog, uint32_t channel,
		       uint32_t slot, uint32_t lane_count, char *error,
		       size_t error_bytes);

#endif
