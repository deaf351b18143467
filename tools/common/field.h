/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A field of events by its name, looked up once for all types: a field of the header, or
 * of each type that has one of that name.
 *
 * Any thread may read one that is set up.
 */
#ifndef TPI_TOOLS_FIELD_H
#define TPI_TOOLS_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/event.h>

struct tpi_field {
	const char *name;
	const struct tapio_event_field *header; /* or NULL */
	const struct tapio_event_field *of_type[TAPIO_EVENT_RESERVED_MAX + 1];
};

/* `name` MUST stay. -ENOENT: neither the header nor a type has such a field. */
int tpi_field_find(struct tpi_field *field, const char *name);

/* The name of a field that is near to one that is none. NULL: none is. */
const char *tpi_field_meant(const char *name);

/* Whether it is a time in nanoseconds, in each type that has it. */
bool tpi_field_is_ns(const struct tpi_field *field);

/* The field of an event's type. NULL: it has none. */
const struct tapio_event_field *tpi_field_of(const struct tpi_field *field,
					     const struct tapio_event_view *v);

/* 1: it has a value. 0: the event has no such field, or it is unset. */
int tpi_field_value(const struct tpi_field *field,
		    const struct tapio_event_view *v,
		    struct tapio_event_value *value);

/* The longest text of a value that is no string: an address, an id. */
#define TPI_VALUE_TEXT_BYTES 72
/*
 * The text of a value, without a NUL. Strings stay in the event's memory, others are
 * written to `buffer` of TPI_VALUE_TEXT_BYTES. An enum's value gives its name, or its
 * number.
 */
const char *tpi_value_text(const struct tapio_event_value *value, char *buffer,
			   uint32_t *length);

#endif
