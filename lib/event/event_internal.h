/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the typed events. */
#ifndef TPI_EVENT_INTERNAL_H
#define TPI_EVENT_INTERNAL_H

#include <stdbool.h>

#include <tapio/event.h>

/* The name of an enum's value or a type's number. NULL: it has none. */
const char *tpi_event_value_name(const struct tapio_event_field *field,
				 uint64_t value);

/* Makes every field of `fields` unset from byte `from` on. */
void tpi_event_unset(const struct tapio_event_type *type, void *fields,
		     size_t from);

/* Whether the member at `p` holds the value that means unset. */
bool tpi_event_is_unset(const struct tapio_event_field *field, const void *p);

#endif
