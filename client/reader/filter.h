/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which events a reader wants, decided on the descriptor alone, so that an event
 * that is skipped costs no look at its block. Used by consumers and observers.
 */
#ifndef TPI_FILTER_H
#define TPI_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>
#include <tapio/common.h>

struct tpi_filter {
	uint64_t *types; /* a bit per type. NULL: any type */
	uint32_t severity_min;
	uint32_t class_mask; /* a bit per class. 0: any class */
};

/* -ENOMEM. -EINVAL, with the reason in broker->error: types announced but NULL, or
 * a severity above 15. */
int tpi_filter_init(struct tpi_filter *filter, uint8_t severity_min,
		    uint32_t class_mask, const uint16_t *types,
		    uint32_t type_count, const struct tapio_options *broker);
void tpi_filter_fini(struct tpi_filter *filter);

/* Names the set of types: equal for equal sets, 0 for any type. */
uint64_t tpi_filter_types(const struct tpi_filter *filter);

/* False for a discard, whatever the filter says. */
static inline bool tpi_filter_pass(const struct tpi_filter *filter,
				   uint64_t desc)
{
	uint32_t type = TAPIO_DESC_TYPE(desc);

	if (type == TAPIO_TYPE_DISCARD ||
	    TAPIO_DESC_SEVERITY(desc) < filter->severity_min)
		return false;
	return !filter->types || (filter->types[type / 64] >> type % 64 & 1);
}

static inline bool tpi_filter_class(const struct tpi_filter *filter,
				    uint32_t klass)
{
	return !filter->class_mask || (filter->class_mask >> klass & 1);
}

#endif
