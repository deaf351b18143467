/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of events: every byte of every struct is described once, names are
 * unique where they meet, and names for OpenTelemetry are well-formed.
 */
#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/event.h>

#include "tests/check_main.h"

static const struct tapio_event_type *type_of_test(int i)
{
	return i < 0 ? tapio_event_header_type()
		     : tapio_event_type_at((unsigned)i);
}

static int count_types(void)
{
	int n = 0;

	while (tapio_event_type_at((unsigned)n))
		n++;
	return n;
}

START_TEST(types_are_in_the_order_of_their_numbers)
{
	const struct tapio_event_type *t = type_of_test(_i);
	const struct tapio_event_type *next = type_of_test(_i + 1);

	ck_assert_uint_ge(t->type, 1);
	ck_assert_uint_le(t->type, TAPIO_EVENT_RESERVED_MAX);
	ck_assert_uint_le(t->fields_bytes, TAPIO_EVENT_FIELDS_MAX);
	ck_assert_uint_eq(t->fields_bytes % 8, 0);
	if (next)
		ck_assert_uint_lt(t->type, next->type);
	ck_assert_ptr_eq(tapio_event_type_get(t->type), t);
	ck_assert_ptr_eq(tapio_event_type_find(t->name), t);
}
END_TEST

/* Members that no row describes: lengths and versions, and what is reserved. */
static size_t undescribed_header(size_t offset)
{
	return offset < 3 || (offset >= 8 && offset < 16) || offset >= 92;
}

START_TEST(every_byte_of_a_struct_is_described_once)
{
	const struct tapio_event_type *t = type_of_test(_i);
	const struct tapio_event_field *field;
	unsigned char covered[TAPIO_EVENT_FIELDS_MAX] = {0};
	size_t last = 0;

	for (unsigned i = 0; (field = tapio_event_field_at(t, i)); i++) {
		ck_assert_uint_le(field->offset + field->bytes,
				  t->fields_bytes);
		for (unsigned b = 0; b < field->bytes; b++)
			covered[field->offset + b]++;
		if (field->offset + field->bytes > last)
			last = field->offset + field->bytes;
	}
	for (size_t b = 0; b < t->fields_bytes; b++) {
		if (_i < 0 ? undescribed_header(b) : b >= last)
			ck_assert_uint_eq(covered[b], 0);
		else
			ck_assert_msg(covered[b] == 1,
				      "%s: byte %zu is described %u times",
				      t->name, b, covered[b]);
	}
	ck_assert_uint_lt(t->fields_bytes - last, 8);
}
END_TEST

static bool is_name(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!islower((unsigned char)*p) &&
		    !isdigit((unsigned char)*p) && *p != '_')
			return false;
	return *s != '\0';
}

/* Members of one object: names, and what the formats add to them. */
static bool clash(const struct tapio_event_field *a,
		  const struct tapio_event_field *b)
{
	char with[64];

	if (!strcmp(a->name, b->name))
		return true;
	snprintf(with, sizeof(with), "%s_ns", a->name);
	return a->kind == TAPIO_FIELD_TIME && !strcmp(with, b->name);
}

static void expect_no_clash(const struct tapio_event_field *field,
			    const struct tapio_event_type *with)
{
	const struct tapio_event_field *other;

	for (unsigned i = 0; (other = tapio_event_field_at(with, i)); i++)
		ck_assert_msg(other == field || !clash(field, other),
			      "two members named %s", other->name);
}

START_TEST(names_of_fields_are_unique_in_an_event)
{
	static const char *const added[] = {"lane", "position", "text", "hex",
					    "opaque_bytes"};
	const struct tapio_event_type *t = type_of_test(_i);
	const struct tapio_event_field *field;

	for (unsigned i = 0; (field = tapio_event_field_at(t, i)); i++) {
		ck_assert(is_name(field->name));
		expect_no_clash(field, t);
		expect_no_clash(field, tapio_event_header_type());
		for (size_t a = 0; a < sizeof(added) / sizeof(*added); a++)
			ck_assert_str_ne(field->name, added[a]);
	}
}
END_TEST

START_TEST(values_have_one_name_each)
{
	const struct tapio_event_type *t = type_of_test(_i);
	const struct tapio_event_field *f;

	for (unsigned i = 0; (f = tapio_event_field_at(t, i)); i++) {
		const bool named = f->kind == TAPIO_FIELD_ENUM8 ||
				   f->kind == TAPIO_FIELD_ENUM16 ||
				   f->kind == TAPIO_FIELD_ENUM32 ||
				   f->kind == TAPIO_FIELD_FLAGS16;

		ck_assert_int_eq(f->name_count != 0, named);
		for (uint32_t a = 0; a < f->name_count; a++) {
			ck_assert_uint_le(f->names[a].value,
					  UINT64_MAX >> (64 - 8 * f->bytes));
			for (uint32_t b = 0; b < a; b++) {
				ck_assert_uint_ne(f->names[a].value,
						  f->names[b].value);
				ck_assert_str_ne(f->names[a].name,
						 f->names[b].name);
			}
		}
	}
}
END_TEST

/* Lower-case words with dots between them, as the conventions write names. */
static bool is_dotted_name(const char *name, size_t length)
{
	size_t dots = 0;

	for (size_t i = 0; i < length; i++) {
		if (name[i] == '.') {
			dots++;
			if (!i || i + 1 == length || name[i - 1] == '.')
				return false;
		} else if (!islower((unsigned char)name[i]) &&
			   !isdigit((unsigned char)name[i]) && name[i] != '_') {
			return false;
		}
	}
	return dots > 0;
}

/* Members of a log record in OpenTelemetry's data model. */
static bool is_record_member(const char *name)
{
	static const char *const members[] = {
		"Timestamp", "ObservedTimestamp", "TraceId",
		"SpanId",    "SeverityNumber",    "SeverityText",
		"Body",      "EventName",         "Attributes"};

	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		if (!strcmp(name, members[i]))
			return true;
	return false;
}

/* "name" or "name{attribute=value}". */
static void expect_metric(const char *metric)
{
	const size_t name = strcspn(metric, "{");

	ck_assert_msg(is_dotted_name(metric, name), "metric %s", metric);
	if (!metric[name])
		return;
	ck_assert_msg(is_dotted_name(metric + name + 1,
				     strcspn(metric + name + 1, "=")),
		      "the attribute of %s", metric);
	ck_assert_int_eq(metric[strlen(metric) - 1], '}');
}

START_TEST(names_for_opentelemetry_are_well_formed)
{
	const struct tapio_event_type *t = type_of_test(_i);
	const struct tapio_event_field *f;

	for (unsigned i = 0; (f = tapio_event_field_at(t, i)); i++) {
		ck_assert_ptr_nonnull(f->attribute);
		if (isupper((unsigned char)*f->attribute))
			ck_assert_msg(is_record_member(f->attribute), "%s",
				      f->attribute);
		else
			ck_assert_msg(is_dotted_name(f->attribute,
						     strlen(f->attribute)),
				      "attribute %s", f->attribute);
		if (f->metric)
			expect_metric(f->metric);
	}
}
END_TEST

/* Kinds that are the same to an exporter. */
static int value_class(const struct tapio_event_field *f)
{
	switch (f->kind) {
	case TAPIO_FIELD_U8:
	case TAPIO_FIELD_U16:
	case TAPIO_FIELD_U32:
	case TAPIO_FIELD_U64:
	case TAPIO_FIELD_I32:
	case TAPIO_FIELD_I64:
		return TAPIO_FIELD_I64;
	default:
		return f->kind;
	}
}

START_TEST(an_attribute_has_one_kind_and_one_unit_everywhere)
{
	const struct tapio_event_type *t = type_of_test(_i);
	const struct tapio_event_field *a, *b;

	for (unsigned i = 0; (a = tapio_event_field_at(t, i)); i++) {
		for (int j = -1; j < count_types(); j++) {
			const struct tapio_event_type *o = type_of_test(j);

			for (unsigned k = 0; (b = tapio_event_field_at(o, k));
			     k++) {
				if (strcmp(a->attribute, b->attribute))
					continue;
				ck_assert_int_eq(value_class(a),
						 value_class(b));
				ck_assert_str_eq(a->unit, b->unit);
				/* No event says it twice. */
				ck_assert(a == b ||
					  (o != t && j >= 0 && _i >= 0));
			}
		}
	}
}
END_TEST

START_TEST(types_are_found_by_name_and_number)
{
	uint16_t type;

	ck_assert_int_eq(tapio_event_type_parse("process.exit", &type), 0);
	ck_assert_uint_eq(type, TAPIO_EVENT_PROCESS_EXIT);
	ck_assert_int_eq(tapio_event_type_parse("65535", &type), 0);
	ck_assert_uint_eq(type, 65535);
	ck_assert_int_eq(tapio_event_type_parse("65536", &type), -ENOENT);
	ck_assert_int_eq(tapio_event_type_parse("0", &type), -ENOENT);
	ck_assert_int_eq(tapio_event_type_parse("", &type), -ENOENT);
	ck_assert_int_eq(tapio_event_type_parse("12x", &type), -ENOENT);
	ck_assert_int_eq(tapio_event_type_parse("process", &type), -ENOENT);
	ck_assert_int_eq(tapio_event_type_parse("4294967297", &type), -ENOENT);
	ck_assert_uint_eq(type, 0);
}
END_TEST

START_TEST(severities_are_found_by_name_and_number)
{
	static const struct {
		const char *text;
		int severity; /* -1: none */
	} rows[] = {{"info", TAPIO_SEVERITY_INFO},
		    {"WARN", TAPIO_SEVERITY_WARNING},
		    {"Warning", TAPIO_SEVERITY_WARNING},
		    {"err", TAPIO_SEVERITY_ERROR},
		    {"emergency", TAPIO_SEVERITY_EMERGENCY},
		    {"unset", TAPIO_SEVERITY_UNSET},
		    {"0", 0},
		    {"15", 15},
		    {"16", -1},
		    {"", -1},
		    {"loud", -1},
		    {"-1", -1}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t severity = 99;
		const int err = tapio_severity_parse(rows[i].text, &severity);

		ck_assert_int_eq(err, rows[i].severity < 0 ? -ENOENT : 0);
		if (!err)
			ck_assert_int_eq(severity, rows[i].severity);
	}
}
END_TEST

START_TEST(severities_keep_their_order_in_opentelemetry)
{
	for (uint8_t s = 1; s <= TAPIO_SEVERITY_EMERGENCY; s++) {
		uint8_t parsed;

		ck_assert_uint_gt(tapio_severity_otel(s),
				  tapio_severity_otel(s - 1));
		ck_assert_int_eq(
			tapio_severity_parse(tapio_severity_name(s), &parsed),
			0);
		ck_assert_uint_eq(parsed, s);
	}
	ck_assert_uint_eq(tapio_severity_otel(TAPIO_SEVERITY_INFO), 9);
	ck_assert_uint_eq(tapio_severity_otel(TAPIO_SEVERITY_EMERGENCY), 21);
	ck_assert_uint_eq(tapio_severity_otel(TAPIO_SEVERITY_MAX), 0);
	ck_assert_ptr_null(tapio_severity_name(TAPIO_SEVERITY_MAX));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("event_table");
	const int n = count_types();

	tcase_add_loop_test(t, types_are_in_the_order_of_their_numbers, 0, n);
	tcase_add_loop_test(t, every_byte_of_a_struct_is_described_once, -1, n);
	tcase_add_loop_test(t, names_of_fields_are_unique_in_an_event, -1, n);
	tcase_add_loop_test(t, values_have_one_name_each, -1, n);
	tcase_add_loop_test(t, names_for_opentelemetry_are_well_formed, -1, n);
	tcase_add_loop_test(
		t, an_attribute_has_one_kind_and_one_unit_everywhere, -1, n);
	tcase_add_test(t, types_are_found_by_name_and_number);
	tcase_add_test(t, severities_are_found_by_name_and_number);
	tcase_add_test(t, severities_keep_their_order_in_opentelemetry);
	return check_run_case("event_table", t);
}
