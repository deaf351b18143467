/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields by their names, with the tables of the library: every type of event can be made, and
 * what is no value of its field is refused with the field's name.
 *
 * The names and forms are those that tapio-tail --json shows. So what it wrote can be emitted
 * again: `time` and `time_ns` are one field in two forms, and channel, lane and position, which the
 * new event gets anew, are passed over.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/emit/emit.h"

struct target {
	struct tapio_event_builder *b;
	const struct tapio_event_field *field;
	void *at;
	char *why;
};

static bool refuse(const struct target *t, const char *what)
{
	snprintf(t->why, TPI_WHY_BYTES, "field '%s' takes %s", t->field->name,
		 what);
	return false;
}

/* ---- finding ------------------------------------------------------------------------- */

/* "start_ns" is the field "start", as a number. */
static const struct tapio_event_field *
find_in(const struct tapio_event_type *type, const char *name)
{
	const struct tapio_event_field *field =
		tapio_event_field_find(type, name);
	size_t length = strlen(name);
	char stem[64];

	if (field || length < 4 || length >= sizeof(stem) ||
	    strcmp(name + length - 3, "_ns"))
		return field;
	memcpy(stem, name, length - 3);
	stem[length - 3] = '\0';
	field = tapio_event_field_find(type, stem);
	return field && field->kind == TAPIO_FIELD_TIME ? field : NULL;
}

static void say_fields(char *why, const struct tapio_event_type *type)
{
	const struct tapio_event_field *field;

	for (unsigned i = 0; (field = tapio_event_field_at(type, i)); i++) {
		size_t used = strlen(why);

		snprintf(why + used, TPI_WHY_BYTES - used, "%s%s",
			 i ? ", " : "", field->name);
	}
}

static bool find(struct target *t, const char *name)
{
	const struct tapio_event_type *type = tapio_event_type_get(t->b->type);

	t->field = find_in(tapio_event_header_type(), name);
	if (t->field) {
		t->at = (char *)t->b->event + t->field->offset;
		return true;
	}
	t->field = type ? find_in(type, name) : NULL;
	if (t->field) {
		t->at = (char *)t->b->fields + t->field->offset;
		return true;
	}
	snprintf(
		t->why, TPI_WHY_BYTES,
		"'%s' is no field of %s; besides those of all events there are ",
		name, type ? type->name : "a type of your own");
	if (type)
		say_fields(t->why, type);
	return false;
}

/* ---- numbers --------------------------------------------------------------------------- */

static uint64_t largest(const struct tapio_event_field *field)
{
	return field->bytes >= 8 ? UINT64_MAX
				 : (UINT64_C(1) << 8 * field->bytes) - 1;
}

static void store(const struct target *t, uint64_t number)
{
	memcpy(t->at, &number, t->field->bytes); /* little-endian */
}

static bool set_unsigned(const struct target *t, uint64_t number)
{
	char what[64];

	if (number <= largest(t->field)) {
		store(t, number);
		return true;
	}
	snprintf(what, sizeof(what), "an integer from 0 to %" PRIu64,
		 largest(t->field));
	return refuse(t, what);
}

static bool set_signed(const struct target *t, int64_t number)
{
	if (t->field->kind == TAPIO_FIELD_I32 &&
	    (number < INT32_MIN || number > INT32_MAX))
		return refuse(t, "an integer of 32 bits");
	store(t, (uint64_t)number);
	return true;
}

static bool set_integer(const struct target *t, int64_t number)
{
	if (t->field->kind == TAPIO_FIELD_I32 ||
	    t->field->kind == TAPIO_FIELD_I64)
		return set_signed(t, number);
	if (number < 0)
		return refuse(t, "an integer that is not negative");
	return set_unsigned(t, (uint64_t)number);
}

/* A decimal number from text. False: it is none, or does not fit. */
static bool to_integer(const char *text, int64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoll(text, &end, 10);
	return !errno && end != text && !*end &&
	       (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'));
}

static bool set_double(const struct target *t, double number)
{
	memcpy(t->at, &number, sizeof(number));
	return true;
}

/* ---- names, times, ids -------------------------------------------------------------------- */

static bool refuse_name(const struct target *t)
{
	const struct tapio_event_field *f = t->field;
	char what[300] = "one of ";

	for (uint32_t i = 0; i < f->name_count; i++) {
		size_t used = strlen(what);

		snprintf(what + used, sizeof(what) - used, "%s%s",
			 i ? ", " : "", f->names[i].name);
	}
	return refuse(t, what);
}

static bool set_name(const struct target *t, const char *text)
{
	const struct tapio_event_field *f = t->field;
	uint8_t severity;
	int64_t number;

	for (uint32_t i = 0; i < f->name_count; i++) {
		if (strcmp(f->names[i].name, text))
			continue;
		store(t, f->names[i].value);
		return true;
	}
	if (t->at == &t->b->event->severity) {
		if (tapio_severity_parse(text, &severity))
			return refuse_name(t);
		t->b->event->severity = severity;
		return true;
	}
	/* tapio-tail shows a value without a name as a number. */
	if (to_integer(text, &number) && number >= 0 &&
	    (uint64_t)number <= largest(f))
		return set_unsigned(t, (uint64_t)number);
	return refuse_name(t);
}

static bool set_flag(const struct target *t, const char *text)
{
	const struct tapio_event_field *f = t->field;
	uint16_t flags;

	for (uint32_t i = 0; i < f->name_count; i++) {
		if (strcmp(f->names[i].name, text))
			continue;
		memcpy(&flags, t->at, sizeof(flags));
		flags |= (uint16_t)f->names[i].value;
		memcpy(t->at, &flags, sizeof(flags));
		return true;
	}
	return refuse_name(t);
}

/* As 2026-11-30T08:00:00.123456789Z, with 0 to 9 digits behind the point. */
static bool to_time(const char *text, uint64_t *ns)
{
	uint64_t fraction = 0, scale = 1000000000;
	struct tm tm = {0};
	const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t seconds;

	if (!at)
		return false;
	if (*at == '.') {
		for (at++; *at >= '0' && *at <= '9' && scale > 1; at++) {
			scale /= 10;
			fraction += (uint64_t)(*at - '0') * scale;
		}
	}
	seconds = timegm(&tm);
	if (strcmp(at, "Z") || seconds < 0 ||
	    (uint64_t)seconds > UINT64_MAX / 1000000000 - 1)
		return false;
	*ns = (uint64_t)seconds * 1000000000 + fraction;
	return true;
}

static bool set_time(const struct target *t, const char *text)
{
	int64_t number;
	uint64_t ns;

	if (to_time(text, &ns)) {
		store(t, ns);
		return true;
	}
	if (to_integer(text, &number) && number >= 0) {
		store(t, (uint64_t)number);
		return true;
	}
	return refuse(t, "a time as 2026-11-30T08:00:00.5Z, or ns since 1970");
}

static bool set_ip(const struct target *t, const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		tapio_event_ip4(t->at, bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		tapio_event_ip6(t->at, bytes);
	else
		return refuse(t, "an address of IPv4 or IPv6");
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two digits a byte. The bytes take the place of the digits. False: they are none. */
static bool from_hex(char *text, size_t length)
{
	for (size_t i = 0; i + 1 < length; i += 2) {
		int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

		if (high < 0 || low < 0)
			return false;
		text[i / 2] = (char)(high << 4 | low);
	}
	return !(length % 2);
}

static bool set_id(const struct target *t, char *text, size_t length)
{
	char what[64];

	if (length == 2 * (size_t)t->field->bytes && from_hex(text, length)) {
		memcpy(t->at, text, t->field->bytes);
		return true;
	}
	snprintf(what, sizeof(what), "%d hexadecimal digits",
		 2 * t->field->bytes);
	return refuse(t, what);
}

/* ---- text --------------------------------------------------------------------------------- */

static void set_string(const struct target *t, const char *text, size_t length)
{
	if (length)
		tapio_event_builder_string_max(t->b, t->at, text, length,
					       UINT16_MAX);
}

static bool set_hex(const struct target *t, const char *text, size_t length)
{
	char *copy = malloc(length + 1);
	bool ok;

	if (!copy)
		return refuse(t, "less memory than that");
	memcpy(copy, text, length + 1);
	if (t->field->kind == TAPIO_FIELD_ID) {
		ok = set_id(t, copy, length);
	} else {
		ok = from_hex(copy, length);
		if (ok)
			set_string(t, copy, length / 2);
		else
			refuse(t, "hexadecimal digits, two for each byte");
	}
	free(copy);
	return ok;
}

/* "key=value": one more attribute. */
static bool set_attribute(const struct target *t, const char *text)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return refuse(t, "KEY=VALUE");
	tapio_event_builder_attribute_max(t->b, t->at, text,
					  (size_t)(equals - text), equals + 1,
					  strlen(equals + 1));
	return true;
}

static bool set_bool(const struct target *t, const char *text)
{
	if (strcmp(text, "true") && strcmp(text, "false"))
		return refuse(t, "true or false");
	store(t, !strcmp(text, "true"));
	return true;
}

static bool set_number_text(const struct target *t, const char *text)
{
	unsigned long long big;
	int64_t number;
	char *end;

	if (t->field->kind == TAPIO_FIELD_F64) {
		double value = strtod(text, &end);

		return end != text && !*end ? set_double(t, value)
					    : refuse(t, "a number");
	}
	if (to_integer(text, &number))
		return set_integer(t, number);
	/* Beyond 63 bits. */
	errno = 0;
	big = strtoull(text, &end, 10);
	if (!errno && *text >= '0' && *text <= '9' && !*end &&
	    t->field->kind <= TAPIO_FIELD_U64)
		return set_unsigned(t, big);
	return refuse(t, "an integer");
}

static bool set_text(const struct target *t, const char *text, size_t length)
{
	switch (t->field->kind) {
	case TAPIO_FIELD_ENUM8:
	case TAPIO_FIELD_ENUM16:
	case TAPIO_FIELD_ENUM32:
		return set_name(t, text);
	case TAPIO_FIELD_FLAGS16:
		return set_flag(t, text);
	case TAPIO_FIELD_TYPE:
		return refuse(t, "its value from --type, or \"type\" in JSON");
	case TAPIO_FIELD_TIME:
		return set_time(t, text);
	case TAPIO_FIELD_IP:
		return set_ip(t, text);
	case TAPIO_FIELD_ID:
	case TAPIO_FIELD_BYTES:
		return set_hex(t, text, length);
	case TAPIO_FIELD_STRING:
		set_string(t, text, length);
		return true;
	case TAPIO_FIELD_ATTRIBUTES:
		return set_attribute(t, text);
	case TAPIO_FIELD_BOOL:
		return set_bool(t, text);
	default:
		return set_number_text(t, text);
	}
}

bool tpi_field_set_text(struct tapio_event_builder *b, const char *name,
			const char *value, char *why)
{
	struct target t = {.b = b, .why = why};

	return find(&t, name) && set_text(&t, value, strlen(value));
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* Attributes are strings: other values as JSON writes them. */
static bool set_attributes(const struct target *t, const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		const char *text = json_string_value(value);
		size_t length = json_string_length(value);
		char *dump = NULL;

		if (!text) {
			dump = json_dumps(value,
					  JSON_ENCODE_ANY | JSON_COMPACT);
			if (!dump)
				return refuse(t, "less memory than that");
			text = dump;
			length = strlen(dump);
		}
		tapio_event_builder_attribute_max(t->b, t->at, key, strlen(key),
						  text, length);
		free(dump);
	}
	return true;
}

static bool set_flags(const struct target *t, const json_t *array)
{
	size_t i;
	json_t *value;

	json_array_foreach((json_t *)array, i, value)
	{
		if (!json_is_string(value))
			return refuse_name(t);
		if (!set_flag(t, json_string_value(value)))
			return false;
	}
	return true;
}

static bool is_integer_kind(uint8_t kind)
{
	return kind <= TAPIO_FIELD_I64 ||
	       (kind >= TAPIO_FIELD_ENUM8 && kind <= TAPIO_FIELD_TIME &&
		kind != TAPIO_FIELD_TYPE);
}

static const char *form_of(uint8_t kind)
{
	switch (kind) {
	case TAPIO_FIELD_F64:
		return "a number";
	case TAPIO_FIELD_BOOL:
		return "true or false";
	case TAPIO_FIELD_ATTRIBUTES:
		return "an object";
	case TAPIO_FIELD_FLAGS16:
		return "an array of names";
	case TAPIO_FIELD_TIME:
		return "a time as \"2026-11-30T08:00:00.5Z\", or ns since 1970";
	default:
		return kind <= TAPIO_FIELD_I64 ? "an integer" : "a string";
	}
}

/* A kind that JSON writes as something else than a string. */
static bool set_plain(const struct target *t, const json_t *value, bool *known)
{
	const uint8_t kind = t->field->kind;

	*known = true;
	if (json_is_integer(value) && is_integer_kind(kind))
		return set_integer(t, json_integer_value(value));
	if (json_is_number(value) && kind == TAPIO_FIELD_F64)
		return set_double(t, json_number_value(value));
	if (json_is_boolean(value) && kind == TAPIO_FIELD_BOOL) {
		store(t, json_is_true(value));
		return true;
	}
	if (json_is_object(value) && kind == TAPIO_FIELD_ATTRIBUTES)
		return set_attributes(t, value);
	if (json_is_array(value) && kind == TAPIO_FIELD_FLAGS16)
		return set_flags(t, value);
	*known = false;
	return false;
}

static bool is_string_kind(uint8_t kind)
{
	return kind >= TAPIO_FIELD_ENUM8 && kind != TAPIO_FIELD_FLAGS16 &&
	       kind != TAPIO_FIELD_ATTRIBUTES;
}

bool tpi_field_set_json(struct tapio_event_builder *b, const char *name,
			const json_t *value, char *why)
{
	struct target t = {.b = b, .why = why};
	bool known, ok;

	if (!find(&t, name))
		return false;
	if (json_is_null(value)) /* unset, as it is */
		return true;
	ok = set_plain(&t, value, &known);
	if (known)
		return ok;
	if (json_is_string(value) && is_string_kind(t.field->kind))
		return set_text(&t, json_string_value(value),
				json_string_length(value));
	return refuse(&t, form_of(t.field->kind));
}

bool tpi_fields_is_place(const char *name)
{
	static const char *const names[] = {"channel",  "instance", "class",
					    "stamp_ns", "lane",     "position",
					    "type"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static bool find_type(const json_t *object, uint16_t *type, char *why)
{
	const json_t *value = json_object_get(object, "type");
	const char *name = json_string_value(value);

	if (value && (!name || tapio_event_type_parse(name, type))) {
		snprintf(why, TPI_WHY_BYTES,
			 "field 'type': %s%s%s is no type of event "
			 "(tapio-tail --list-types)",
			 name ? "'" : "", name ? name : "it", name ? "'" : "");
		return false;
	}
	if (*type && tapio_event_type_get(*type))
		return true;
	if (*type)
		snprintf(
			why, TPI_WHY_BYTES,
			"field 'type': %u has no table of fields, so it cannot "
			"be made from JSON",
			*type);
	else
		snprintf(why, TPI_WHY_BYTES,
			 "field 'type' is missing, and so is --type");
	return false;
}

static bool set_members(struct tapio_event_builder *b, const json_t *object,
			char *why)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name,
			    value) if (!tpi_fields_is_place(name) &&
				       !tpi_field_set_json(b, name, value,
							   why)) return false;
	return true;
}

bool tpi_fields_parse(struct tapio_event_builder *b, char *buffer,
		      size_t capacity, uint16_t type,
		      const struct tpi_line *line, char *why)
{
	json_error_t error;
	json_t *object =
		json_loadb(line->text, line->length,
			   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	bool ok = false;

	if (!object)
		snprintf(why, TPI_WHY_BYTES, "column %d: no JSON: %s",
			 error.column, error.text);
	else if (!json_is_object(object))
		snprintf(why, TPI_WHY_BYTES, "it is no JSON object");
	else if (find_type(object, &type, why)) {
		int err = tapio_event_builder_init(b, buffer, capacity, type);

		if (err)
			snprintf(why, TPI_WHY_BYTES,
				 "the channel takes no events of over %zu "
				 "bytes, and this type is longer",
				 capacity);
		else
			ok = set_members(b, object, why);
	}
	json_decref(object);
	return ok;
}
