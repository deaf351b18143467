/* SPDX-License-Identifier: Apache-2.0 */
/* A small snapshot in memory, made without a broker. Corrupted ones are made of it. */
#ifndef TESTS_FUZZ_SNAPSHOT_BASE_H
#define TESTS_FUZZ_SNAPSHOT_BASE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/inspect/snapshot_format.h"

struct snapshot_base {
	uint8_t *data;
	size_t bytes;
};

/* Two channels, one of them isolated, with groups, members and some events. */
void snapshot_base_make(struct snapshot_base *base);

/* Digests as a writer makes them, for all that lies inside of the file. */
void snapshot_base_seal(uint8_t *data, size_t bytes);

#endif
