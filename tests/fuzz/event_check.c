/* SPDX-License-Identifier: Apache-2.0 */
/* See event_check.h. Memory is asked for with its exact size, for sanitizers. */
#include <errno.h>
#include <string.h>

#include "event_check.h"
#include "fuzz.h"

/* Longest text of an event as long as a fuzzer makes them. */
#define TEXT_BYTES (1u << 20)

static char *whole, *part;

static void check_attributes(const struct tapio_event_value *all)
{
	struct tapio_event_value key, value;
	uint32_t at = 0;
	int more;

	while ((more = tapio_event_attribute_next(all, &at, &key, &value)) >
	       0) {
		FUZZ_CHECK(key.data >= all->data);
		FUZZ_CHECK(key.data + key.length == value.data);
		FUZZ_CHECK(value.data + value.length == all->data + at);
		FUZZ_CHECK(at <= all->length);
	}
	FUZZ_CHECK(more == 0 || more == -EBADMSG);
}

static void check_value(const struct tapio_event_view *v,
			const struct tapio_event_field *field)
{
	const char *data = (const char *)v->data;
	struct tapio_event_value value;
	const int set = tapio_event_view_value(v, field, &value);

	FUZZ_CHECK(set == 0 || set == 1);
	FUZZ_CHECK(value.kind == field->kind);
	if (field->kind == TAPIO_FIELD_IP)
		FUZZ_CHECK(value.ip.family == (set ? value.ip.family : 0));
	if (field->kind < TAPIO_FIELD_STRING || !set)
		return;
	FUZZ_CHECK(value.data >= data + sizeof(struct tapio_event));
	FUZZ_CHECK(value.data + value.length <= data + v->length);
	if (field->kind == TAPIO_FIELD_ATTRIBUTES)
		check_attributes(&value);
}

static void check_fields(const struct tapio_event_view *v,
			 const struct tapio_event_type *type)
{
	const struct tapio_event_field *field;

	for (unsigned i = 0; (field = tapio_event_field_at(type, i)); i++)
		check_value(v, field);
}

typedef int format(char *buffer, size_t size, const struct tapio_event_view *v);

/* Some shorter size, which a sanitizer watches the end of. */
static void check_short(const struct tapio_event_view *v, format *f, size_t n,
			bool stable)
{
	const size_t size = 1 + n * 2 / 3;

	part = malloc(size);
	memset(part, '#', size);
	FUZZ_CHECK((size_t)f(part, size, v) == n || !stable);
	FUZZ_CHECK(memchr(part, '\0', size));
	FUZZ_CHECK(!stable || !memcmp(part, whole, size - 1));
	free(part);
}

static void check_format(const struct tapio_event_view *v, format *f,
			 bool stable, bool json)
{
	const int n = f(whole, TEXT_BYTES, v);

	FUZZ_CHECK(n > 0 && (size_t)n < TEXT_BYTES);
	FUZZ_CHECK(strlen(whole) == (size_t)n);
	FUZZ_CHECK(fuzz_text_valid(whole, (size_t)n));
	FUZZ_CHECK(!json || fuzz_json_valid(whole, (size_t)n));
	FUZZ_CHECK(f(NULL, 0, v) == n || !stable);
	check_short(v, f, (size_t)n, stable);
}

void check_view(const struct tapio_event_view *v, bool stable)
{
	if (!whole)
		whole = malloc(TEXT_BYTES);
	check_fields(v, tapio_event_header_type());
	if (v->type)
		check_fields(v, v->type);
	check_format(v, tapio_event_format_text, stable, false);
	check_format(v, tapio_event_format_json, stable, true);
}
