/* SPDX-License-Identifier: Apache-2.0 */
/* From an event to what is counted of it. */
#include "tools/analyze/spec.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t an_hash(const void *bytes, uint32_t length, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, length, seed);
}

static uint64_t add_text(uint64_t digest, const char *text)
{
	return an_hash(text, (uint32_t)strlen(text), digest);
}

static uint64_t add_fields(uint64_t digest, const struct an_spec *spec)
{
	for (uint32_t i = 0; i < spec->by_count; i++)
		digest = add_text(digest, spec->by[i].name);
	if (spec->has_value)
		digest = add_text(digest + 1, spec->value.name);
	if (spec->has_distinct)
		digest = add_text(digest + 2, spec->distinct.name);
	if (spec->has_top)
		digest = add_text(digest + 3, spec->top.name);
	return digest;
}

uint64_t an_spec_digest(const struct an_spec *spec)
{
	const int64_t numbers[] = {
		spec->by_count, spec->where.count, spec->type_count,
		spec->counters, spec->precision,   spec->window_ns,
		spec->slide_ns, spec->has_value,   spec->has_distinct,
		spec->has_top,  spec->by_stamp,    spec->severity_min,
	};
	uint64_t digest = an_hash(numbers, sizeof(numbers), 0);

	digest = an_hash(spec->types,
			 (uint32_t)(spec->type_count * sizeof(spec->types[0])),
			 digest);
	digest = add_fields(digest, spec);
	for (uint32_t i = 0; i < spec->where.count; i++) {
		const struct tpi_where_condition *c =
			&spec->where.conditions[i];

		digest = add_text(digest + c->op, c->name);
		digest = add_text(digest, c->value);
	}
	return digest;
}

/* ---- encoding -------------------------------------------------------------- */

static uint32_t put(char *bytes, char form, const void *data, uint32_t length)
{
	bytes[0] = form;
	bytes[1] = (char)length;
	if (length)
		memcpy(bytes + 2, data, length);
	return 2 + length;
}

static uint32_t put_text(char *bytes, const char *text, uint32_t length)
{
	char cut[AN_TEXT_MAX + 1];

	if (length <= AN_TEXT_MAX)
		return put(bytes, 'x', text, length);
	memcpy(cut, text, 46);
	snprintf(cut + 46, sizeof(cut) - 46, "~%016" PRIx64,
		 an_hash(text, length, 0));
	return put(bytes, 'x', cut, AN_TEXT_MAX);
}

uint32_t an_value_encode(const struct tpi_field *field,
			 const struct tapio_event_view *view, char *bytes)
{
	char buffer[TPI_VALUE_TEXT_BYTES];
	struct tapio_event_value value;
	uint32_t length;
	const char *text;

	if (!tpi_field_value(field, view, &value))
		return put(bytes, '-', NULL, 0);
	switch (value.kind) {
	case TAPIO_FIELD_U8:
	case TAPIO_FIELD_U16:
	case TAPIO_FIELD_U32:
	case TAPIO_FIELD_U64:
	case TAPIO_FIELD_TIME:
		return put(bytes, 'u', &value.u64, 8);
	case TAPIO_FIELD_I32:
	case TAPIO_FIELD_I64:
		return put(bytes, 'i', &value.i64, 8);
	case TAPIO_FIELD_IP:
		return value.ip.family == 6
			       ? put(bytes, '6', value.ip.bytes, 16)
			       : put(bytes, '4', value.ip.bytes, 4);
	case TAPIO_FIELD_TYPE:
		return put(bytes, 't', &value.u64, 2);
	case TAPIO_FIELD_BOOL:
		return value.u64 ? put(bytes, 'x', "true", 4)
				 : put(bytes, 'x', "false", 5);
	default:
		break;
	}
	if (value.kind == TAPIO_FIELD_ENUM8 && field->header)
		return put(bytes, 's', &value.u64, 1);
	text = tpi_value_text(&value, buffer, &length);
	return put_text(bytes, text, length);
}

static bool length_fits(char form, uint32_t length)
{
	switch (form) {
	case 'u':
	case 'i':
		return length == 8;
	case '6':
		return length == 16;
	case '4':
		return length == 4;
	case 't':
		return length == 2;
	case 's':
		return length == 1;
	case 'x':
		return length <= AN_TEXT_MAX;
	case '-':
		return !length;
	default:
		return false;
	}
}

/* The text of a number, a type, a severity. */
static void spell(struct an_value *value, const char *bytes)
{
	const struct tapio_event_type *type;
	uint64_t number = 0;
	const char *name = NULL;

	value->bytes = value->buffer;
	if (value->form == '4' || value->form == '6') {
		inet_ntop(value->form == '6' ? AF_INET6 : AF_INET, bytes,
			  value->buffer, sizeof(value->buffer));
		value->length = (uint32_t)strlen(value->buffer);
		return;
	}
	memcpy(&number, bytes, value->length);
	if (value->form == 't') {
		type = tapio_event_type_get((uint16_t)number);
		name = type ? type->name : NULL;
	} else if (value->form == 's') {
		name = tapio_severity_name((uint8_t)number);
	}
	if (value->form == 'i')
		snprintf(value->buffer, sizeof(value->buffer), "%" PRId64,
			 (int64_t)number);
	else
		snprintf(value->buffer, sizeof(value->buffer), "%" PRIu64,
			 number);
	value->bytes = name ? name : value->buffer;
	value->length = (uint32_t)strlen(value->bytes);
}

uint32_t an_value_decode(const char *bytes, uint32_t length,
			 struct an_value *value)
{
	uint32_t taken;

	if (length < 2)
		return 0;
	value->form = bytes[0];
	value->length = (unsigned char)bytes[1];
	taken = 2 + value->length;
	if (!length_fits(value->form, value->length) || length < taken)
		return 0;
	value->bytes = bytes + 2;
	if (value->form != 'x')
		spell(value, bytes + 2);
	return taken;
}

bool an_values_check(const char *bytes, uint32_t length, uint32_t count)
{
	struct an_value value;

	for (; count; count--) {
		uint32_t taken = an_value_decode(bytes, length, &value);

		if (!taken)
			return false;
		bytes += taken;
		length -= taken;
	}
	return !length;
}

/* ---- samples --------------------------------------------------------------- */

static void take_value(const struct tpi_field *field,
		       const struct tapio_event_view *view,
		       struct an_sample *sample)
{
	struct tapio_event_value value;

	sample->has_value = false;
	if (!tpi_field_value(field, view, &value))
		return;
	if (value.kind == TAPIO_FIELD_F64) {
		/* Beyond 2^63 thousandths it is no measurement. */
		if (!(fabs(value.f64) < 0x1p63 / AN_FRACTION))
			return;
		sample->value = llround(value.f64 * AN_FRACTION);
	} else if (value.kind == TAPIO_FIELD_I32 ||
		   value.kind == TAPIO_FIELD_I64) {
		sample->value = (__int128)value.i64 * AN_FRACTION;
	} else if (value.kind <= TAPIO_FIELD_TIME) {
		sample->value = (__int128)value.u64 * AN_FRACTION;
	} else {
		return;
	}
	sample->has_value = true;
}

static bool is_wanted(const struct an_spec *spec,
		      const struct tapio_event_view *view)
{
	bool listed = !spec->type_count;

	for (uint32_t i = 0; i < spec->type_count; i++)
		listed = listed || spec->types[i] == view->header.type;
	if (!listed || view->header.severity < spec->severity_min)
		return false;
	return tpi_where_passes(&spec->where, view);
}

bool an_sample_take(const struct an_spec *spec,
		    const struct tapio_event_view *view, int64_t stamp_ns,
		    struct an_sample *sample)
{
	const bool stamped = spec->by_stamp || !view->header.time_ns;

	if (!is_wanted(spec, view))
		return false;
	sample->time_ns = stamped ? stamp_ns
				  : (int64_t)(view->header.time_ns & INT64_MAX);
	sample->key_length = 0;
	for (uint32_t i = 0; i < spec->by_count; i++)
		sample->key_length += (uint16_t)an_value_encode(
			&spec->by[i], view, sample->key + sample->key_length);
	sample->has_value = false;
	if (spec->has_value)
		take_value(&spec->value, view, sample);
	sample->distinct_length = sample->top_length = 0;
	if (spec->has_distinct) {
		sample->distinct_length = (uint16_t)an_value_encode(
			&spec->distinct, view, sample->distinct);
		if (sample->distinct[0] == '-')
			sample->distinct_length = 0;
		sample->distinct_hash =
			an_hash(sample->distinct, sample->distinct_length, 0);
	}
	if (spec->has_top) {
		sample->top_length = (uint16_t)an_value_encode(&spec->top, view,
							       sample->top);
		if (sample->top[0] == '-')
			sample->top_length = 0;
	}
	return true;
}
