/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a look: their names, and how they are collected (parts.c). All forms, text
 * and pages too, are made from what parts_collect() returns.
 */
#ifndef STAT_PARTS_H
#define STAT_PARTS_H

#include "tools/shmstat/stat.h"

/* Of the look, and of what `check` prints. A key never changes its meaning. */
#define STAT_SCHEMA          "tapio-shmstat.1"
#define STAT_SCHEMA_CHECK    "tapio-shmstat-check.1"
#define STAT_SCHEMA_COUNTERS "tapio-shmstat-counters.1"
#define STAT_SCHEMA_WHY      "tapio-shmstat-why.1"
#define STAT_SCHEMA_CAUSES   "tapio-shmstat-causes.1"
#define STAT_SCHEMA_ADVISE   "tapio-shmstat-advise.1"

#define PART_SUMMARY  UINT32_C(1)
#define PART_BROKER   UINT32_C(2)
#define PART_CHANNELS UINT32_C(4)
#define PART_SEGMENTS UINT32_C(8)
#define PART_LANES    UINT32_C(16)
#define PART_GROUPS   UINT32_C(32)
#define PART_CLIENTS  UINT32_C(64)
#define PART_LEDGER   UINT32_C(128)
#define PART_COUNTERS UINT32_C(256)
#define PART_LATENCY  UINT32_C(512)
#define PART_LAYOUT   UINT32_C(1024)
#define PARTS_ALL     UINT32_C(2047)

struct part {
	uint32_t bit;
	const char *name;
	const char *help; /* one line, without a full stop */
	json_t *(*collect)(const struct tpi_inspect *inspect);
	const struct column *columns;
};

/* By number, from 0 on. NULL: there are no more. */
const struct part *part_at(size_t i);
/* The bits for a name on the command line, as "lanes" or "all". 0: no such part. */
uint32_t parts_by_name(const char *name);

/*
 * {"schema", "source", "liveness", .., "not_read", "broken", "faults", "healthy"}, with a
 * key for each part asked for. Healthy: there is no fault in any part, asked for or not
 * (why.h); null when there is none in what there is a right to read. NULL: memory is out.
 */
json_t *parts_collect(const struct tpi_inspect *inspect, uint32_t parts);

/*
 * A look that has those of the parts that `look` lacks, too. Members are not waited for.
 * NULL: memory is out.
 */
json_t *parts_complete(const struct tpi_inspect *inspect, const json_t *look,
		       uint32_t needed);

/* The channels that could not be read, and why: {channel, denied, why}. A new reference. */
json_t *parts_not_read(const struct tpi_inspect *inspect);

#endif
