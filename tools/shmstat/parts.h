/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a look: their names, how they are collected and printed. */
#ifndef STAT_PARTS_H
#define STAT_PARTS_H

#include "tools/shmstat/stat.h"

#define PART_BROKER   UINT32_C(1)
#define PART_CHANNELS UINT32_C(2)
#define PART_SEGMENTS UINT32_C(4)
#define PART_LANES    UINT32_C(8)
#define PART_GROUPS   UINT32_C(16)
#define PART_CLIENTS  UINT32_C(32)
#define PART_LEDGER   UINT32_C(64)
#define PARTS_DEFAULT UINT32_C(0x7f)

/* The bits for a name on the command line. 0: no such part. */
uint32_t parts_by_name(const char *name);

/*
 * {"source": .., "broker": .., .., "healthy": bool} with the parts asked for.
 * Healthy: nothing shown has a fault, and every channel could be read.
 */
json_t *parts_collect(const struct tpi_inspect *inspect, uint32_t parts);

/* The same as text. `all`: unused side lanes too. */
void parts_print(const json_t *look, uint32_t parts, bool all);

#endif
