/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of events by name, and their values as numbers and text. */
#include "tools/common/field.h"
#include "tools/common/nearest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int tpi_field_find(struct tpi_field *field, const char *name)
{
	const struct tapio_event_type *type;
	bool found;

	memset(field, 0, sizeof(*field));
	field->name = name;
	field->header = tapio_event_field_find(tapio_event_header_type(), name);
	found = field->header != NULL;
	for (unsigned i = 0; !field->header && (type = tapio_event_type_at(i));
	     i++) {
		if (type->type > TAPIO_EVENT_RESERVED_MAX)
			continue;
		field->of_type[type->type] = tapio_event_field_find(type, name);
		found = found || field->of_type[type->type];
	}
	return found ? 0 : -ENOENT;
}

/* Of all types together, at most. */
#define NAMES_MAX 1024u

const char *tpi_field_meant(const char *name)
{
	const struct tapio_event_type *type = tapio_event_header_type();
	const struct tapio_event_field *field;
	const char *names[NAMES_MAX];
	size_t count = 0;

	for (unsigned int i = 0; type; type = tapio_event_type_at(i++))
		for (unsigned int f = 0;
		     count < NAMES_MAX &&
		     (field = tapio_event_field_at(type, f)) != NULL;
		     f++)
			names[count++] = field->name;
	return tpi_nearest(name, names, count);
}

bool tpi_field_is_ns(const struct tpi_field *field)
{
	if (field->header)
		return !strcmp(field->header->unit, "ns");
	for (size_t i = 0; i <= TAPIO_EVENT_RESERVED_MAX; i++)
		if (field->of_type[i] && strcmp(field->of_type[i]->unit, "ns"))
			return false;
	return true;
}

const struct tapio_event_field *tpi_field_of(const struct tpi_field *field,
					     const struct tapio_event_view *v)
{
	if (field->header)
		return field->header;
	return v->type && v->type->type <= TAPIO_EVENT_RESERVED_MAX
		       ? field->of_type[v->type->type]
		       : NULL;
}

int tpi_field_value(const struct tpi_field *field,
		    const struct tapio_event_view *v,
		    struct tapio_event_value *value)
{
	const struct tapio_event_field *f = tpi_field_of(field, v);

	return f && tapio_event_view_value(v, f, value) == 1;
}

static uint32_t put_hex(char *buffer, const char *bytes, uint32_t count)
{
	if (count > TPI_VALUE_TEXT_BYTES / 2)
		count = TPI_VALUE_TEXT_BYTES / 2;
	for (uint32_t i = 0; i < count; i++) {
		buffer[2 * i] = "0123456789abcdef"[(bytes[i] >> 4) & 15];
		buffer[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
	return 2 * count;
}

static uint32_t put_number(char *buffer, const struct tapio_event_value *value)
{
	if (value->kind == TAPIO_FIELD_F64)
		return (uint32_t)snprintf(buffer, TPI_VALUE_TEXT_BYTES, "%.17g",
					  value->f64);
	if (value->kind == TAPIO_FIELD_I32 || value->kind == TAPIO_FIELD_I64)
		return (uint32_t)snprintf(buffer, TPI_VALUE_TEXT_BYTES,
					  "%" PRId64, value->i64);
	return (uint32_t)snprintf(buffer, TPI_VALUE_TEXT_BYTES, "%" PRIu64,
				  value->u64);
}

const char *tpi_value_text(const struct tapio_event_value *value, char *buffer,
			   uint32_t *length)
{
	switch (value->kind) {
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
	case TAPIO_FIELD_ATTRIBUTES:
		*length = value->length;
		return value->data;
	case TAPIO_FIELD_ID:
		*length = put_hex(buffer, value->data, value->length);
		return buffer;
	case TAPIO_FIELD_IP:
		inet_ntop(value->ip.family == 6 ? AF_INET6 : AF_INET,
			  value->ip.bytes, buffer, TPI_VALUE_TEXT_BYTES);
		*length = (uint32_t)strlen(buffer);
		return buffer;
	default:
		break;
	}
	if (value->name) {
		*length = (uint32_t)strlen(value->name);
		return value->name;
	}
	*length = put_number(buffer, value);
	return buffer;
}
