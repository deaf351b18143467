/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of types is a bitmap of all 65,536: 8 KiB, of which the descriptors of
 * one channel touch a line or two, and no search.
 */
#include "client/reader/filter.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/error.h"

#define TYPES 65536

int tpi_filter_init(struct tpi_filter *filter, uint8_t severity_min,
		    uint32_t class_mask, const uint16_t *types,
		    uint32_t type_count, const struct tapio_options *broker)
{
	uint32_t i;

	*filter = (struct tpi_filter){
		.severity_min = severity_min,
		.class_mask = class_mask,
	};
	if (severity_min > 15)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"severity_min %u is outside 0 to 15",
				severity_min);
	if (type_count && !types)
		return tpi_fail(-EINVAL, broker->error, broker->error_bytes,
				"type_count is %u, and types is NULL",
				type_count);
	if (!type_count)
		return 0;
	filter->types = calloc(TYPES / 64, sizeof(*filter->types));
	if (!filter->types)
		return -ENOMEM;
	for (i = 0; i < type_count; i++)
		filter->types[types[i] / 64] |= UINT64_C(1) << types[i] % 64;
	return 0;
}

void tpi_filter_fini(struct tpi_filter *filter)
{
	free(filter->types);
	filter->types = NULL;
}

/* FNV-1a over the words of the bitmap. Two sets of one group that collide by chance
 * are as unlikely as a broken machine, and members have no reason to seek one. */
uint64_t tpi_filter_types(const struct tpi_filter *filter)
{
	uint64_t digest = UINT64_C(0xcbf29ce484222325);
	uint32_t i;

	if (!filter->types)
		return 0;
	for (i = 0; i < TYPES / 64; i++)
		for (uint32_t bit = 0; bit < 64; bit += 8)
			digest = (digest ^ (filter->types[i] >> bit & 0xff)) *
				 UINT64_C(0x100000001b3);
	return digest ? digest : 1;
}
