/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up event types, fields and severities in the tables. Tables are
 * constant and small: a scan of them is short, and there is nothing to set up,
 * so that these may be called from anywhere.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/event/event_internal.h"
#include "lib/event/event_table.h"

/* In the order of their numbers. */
static const struct tpi_event_family *const families[] = {
	&tpi_event_processes,
	&tpi_event_resources,
	&tpi_event_network,
	&tpi_event_records,
};

const struct tapio_event_type *tapio_event_type_at(unsigned index)
{
	for (size_t i = 0; i < TPI_COUNT(families); i++) {
		if (index < families[i]->count)
			return &families[i]->types[index];
		index -= families[i]->count;
	}
	return NULL;
}

const struct tapio_event_type *tapio_event_type_get(uint16_t type)
{
	const struct tapio_event_type *t;

	for (unsigned i = 0; (t = tapio_event_type_at(i)); i++)
		if (t->type == type)
			return t;
	return NULL;
}

const struct tapio_event_type *tapio_event_type_find(const char *name)
{
	const struct tapio_event_type *t;

	for (unsigned i = 0; (t = tapio_event_type_at(i)); i++)
		if (!strcmp(t->name, name))
			return t;
	return NULL;
}

const struct tapio_event_type *tapio_event_header_type(void)
{
	return &tpi_event_header;
}

const struct tapio_event_field *
tapio_event_field_at(const struct tapio_event_type *type, unsigned index)
{
	return index < type->field_count ? &type->fields[index] : NULL;
}

const struct tapio_event_field *
tapio_event_field_find(const struct tapio_event_type *type, const char *name)
{
	for (uint32_t i = 0; i < type->field_count; i++)
		if (!strcmp(type->fields[i].name, name))
			return &type->fields[i];
	return NULL;
}

const char *tpi_event_value_name(const struct tapio_event_field *field,
				 uint64_t value)
{
	const struct tapio_event_type *type;

	if (field->kind == TAPIO_FIELD_TYPE) {
		type = tapio_event_type_get((uint16_t)value);
		return type ? type->name : NULL;
	}
	for (uint32_t i = 0; i < field->name_count; i++)
		if (field->names[i].value == value)
			return field->names[i].name;
	return NULL;
}

/* A decimal number of digits only, at most `max`. */
static int parse_number(const char *text, uint32_t max, uint32_t *number)
{
	uint32_t n = 0;

	if (!*text)
		return -ENOENT;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -ENOENT;
		n = n * 10 + (uint32_t)(*text - '0');
		if (n > max)
			return -ENOENT;
	}
	*number = n;
	return 0;
}

int tapio_event_type_parse(const char *text, uint16_t *type)
{
	const struct tapio_event_type *t = tapio_event_type_find(text);
	uint32_t n;

	*type = TAPIO_TYPE_DISCARD;
	if (t) {
		*type = t->type;
		return 0;
	}
	if (parse_number(text, UINT16_MAX, &n) || !n)
		return -ENOENT;
	*type = (uint16_t)n;
	return 0;
}

static const struct tapio_event_name severity_aliases[] = {
	{TAPIO_SEVERITY_INFO, "information"},
	{TAPIO_SEVERITY_INFO, "informational"},
	{TAPIO_SEVERITY_WARNING, "warn"},
	{TAPIO_SEVERITY_ERROR, "err"},
	{TAPIO_SEVERITY_CRITICAL, "crit"},
	{TAPIO_SEVERITY_EMERGENCY, "emerg"},
	{TAPIO_SEVERITY_EMERGENCY, "panic"},
	{TAPIO_SEVERITY_EMERGENCY, "fatal"},
};

static int find_name(const struct tapio_event_name *names, size_t count,
		     const char *text, uint8_t *value)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcasecmp(names[i].name, text)) {
			*value = (uint8_t)names[i].value;
			return 0;
		}
	}
	return -ENOENT;
}

int tapio_severity_parse(const char *text, uint8_t *severity)
{
	uint32_t n;

	*severity = TAPIO_SEVERITY_UNSET;
	if (!find_name(tpi_severity_names, TPI_SEVERITIES, text, severity) ||
	    !find_name(severity_aliases, TPI_COUNT(severity_aliases), text,
		       severity))
		return 0;
	if (parse_number(text, TAPIO_SEVERITY_MAX, &n))
		return -ENOENT;
	*severity = (uint8_t)n;
	return 0;
}

const char *tapio_severity_name(uint8_t severity)
{
	return severity < TPI_SEVERITIES ? tpi_severity_names[severity].name
					 : NULL;
}

uint32_t tapio_severity_otel(uint8_t severity)
{
	return severity < TPI_SEVERITIES ? tpi_severity_numbers[severity] : 0;
}
