/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --where: conditions on fields of typed events, as pid=1234 or severity>=warning. A name is one
 * of the header's, or one of the fields of a type; the value is checked against the kind of that
 * field in each type that has it. An event that does not have the field, or has it unset,
 * does not pass. Flags are never unset: `flags!=existing` holds where none is set. All
 * conditions MUST hold.
 */
#ifndef TPI_TOOLS_WHERE_H
#define TPI_TOOLS_WHERE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/event.h>

#define TPI_WHERE_MAX 16

enum tpi_where_op {
	TPI_WHERE_EQUAL,
	TPI_WHERE_UNEQUAL,
	TPI_WHERE_LESS,
	TPI_WHERE_AT_MOST,
	TPI_WHERE_MORE,
	TPI_WHERE_AT_LEAST,
	TPI_WHERE_LIKE /* a shell pattern */
};

struct tpi_where {
	uint32_t count;
	struct tpi_where_condition {
		char name[64];
		enum tpi_where_op op;
		const char *value;
	} conditions[TPI_WHERE_MAX];
};

/* Adds "NAME OP VALUE". The text MUST stay. 0, or -EINVAL and why. */
int tpi_where_add(struct tpi_where *where, const char *text, char *error,
		  size_t error_bytes);

/*
 * Checks all against the fields of these types, or of all when there is none. 0, or -EINVAL and
 * why: the name with those that there are, or the value with the kind that is wanted.
 */
int tpi_where_check(const struct tpi_where *where, const uint16_t *types,
		    uint32_t type_count, char *error, size_t error_bytes);

bool tpi_where_passes(const struct tpi_where *where,
		      const struct tapio_event_view *event);

#endif
