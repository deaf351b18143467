/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions on fields. A value is read by the kind of the field that it is compared with, once
 * when it is checked and again for each event: it is short, and most events end at the first
 * look at their type.
 */
#include "tools/common/where.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/base/error.h"

#define NS_PER_S    UINT64_C(1000000000)
#define STRING_MOST 4096 /* of a value that is compared */

/* ---- the text ------------------------------------------------------------------ */

static const struct {
	const char *text;
	enum tpi_where_op op;
} ops[] = {
	/* Longer ones first. */
	{"!=", TPI_WHERE_UNEQUAL},  {"<=", TPI_WHERE_AT_MOST},
	{">=", TPI_WHERE_AT_LEAST}, {"==", TPI_WHERE_EQUAL},
	{"=", TPI_WHERE_EQUAL},     {"<", TPI_WHERE_LESS},
	{">", TPI_WHERE_MORE},      {"~", TPI_WHERE_LIKE},
};
#define OPS (sizeof(ops) / sizeof(ops[0]))

int tpi_where_add(struct tpi_where *where, const char *text, char *error,
		  size_t error_bytes)
{
	size_t length = strcspn(text, "!=<>~"), i = 0;
	struct tpi_where_condition *c;

	if (where->count == TPI_WHERE_MAX)
		return tpi_fail(-EINVAL, error, error_bytes,
				"there are more than %d conditions",
				TPI_WHERE_MAX);
	c = &where->conditions[where->count];
	while (i < OPS &&
	       strncmp(text + length, ops[i].text, strlen(ops[i].text)))
		i++;
	if (!length || length >= sizeof(c->name) || i == OPS)
		return tpi_fail(-EINVAL, error, error_bytes,
				"'%s' is not a condition, as pid=1234 or "
				"severity>=warning (=, !=, <, <=, >, >=, and ~ "
				"for a pattern)",
				text);
	memcpy(c->name, text, length);
	c->name[length] = 0;
	c->op = ops[i].op;
	c->value = text + length + strlen(ops[i].text);
	where->count++;
	return 0;
}

/* ---- values -------------------------------------------------------------------- */

struct operand {
	union {
		uint64_t u64;
		int64_t i64;
		double f64;
		struct tapio_event_ip ip;
		unsigned char id[16];
	};
};

static int parse_u64(const char *text, uint64_t most, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	return *text < '0' || *text > '9' || *end || errno || *out > most
		       ? -EINVAL
		       : 0;
}

static int parse_i64(const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 0);
	return !*text || strchr(" +\t", *text) || *end || errno ? -EINVAL : 0;
}

static int parse_f64(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return !*text || strchr(" +\t", *text) || *end ? -EINVAL : 0;
}

static int parse_bool(const char *text, uint64_t *out)
{
	*out = !strcmp(text, "true") || !strcmp(text, "1");
	return *out || !strcmp(text, "false") || !strcmp(text, "0") ? 0
								    : -EINVAL;
}

static int parse_name(const struct tapio_event_field *field, const char *text,
		      uint64_t *out)
{
	for (uint32_t i = 0; i < field->name_count; i++)
		if (!strcasecmp(field->names[i].name, text)) {
			*out = field->names[i].value;
			return 0;
		}
	return parse_u64(text, UINT32_MAX, out);
}

static int parse_severity(const char *text, uint64_t *out)
{
	uint8_t severity = 0;
	int err = tapio_severity_parse(text, &severity);

	*out = severity;
	return err ? -EINVAL : 0;
}

static int parse_type(const char *text, uint64_t *out)
{
	uint16_t type = 0;
	int err = tapio_event_type_parse(text, &type);

	*out = type;
	return err ? -EINVAL : 0;
}

/* Nanoseconds, or 2026-11-30T12:00:00[.5]Z. */
static int parse_time(const char *text, uint64_t *out)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	double fraction = 0;
	char *end;

	if (!rest)
		return parse_u64(text, UINT64_MAX, out);
	if (*rest == '.') {
		fraction = strtod(rest, &end);
		rest = end;
	}
	if (strcmp(rest, "Z"))
		return -EINVAL;
	*out = (uint64_t)timegm(&tm) * NS_PER_S +
	       (uint64_t)(fraction * (double)NS_PER_S);
	return 0;
}

static int parse_ip(const char *text, struct tapio_event_ip *ip)
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		tapio_event_ip4(ip, bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		tapio_event_ip6(ip, bytes);
	else
		return -EINVAL;
	return 0;
}

static int parse_id(const struct tapio_event_field *field, const char *text,
		    unsigned char id[16])
{
	unsigned int byte;

	if (field->bytes > 16 || strlen(text) != 2u * field->bytes ||
	    strspn(text, "0123456789abcdefABCDEF") != strlen(text))
		return -EINVAL;
	for (unsigned int i = 0; i < field->bytes; i++) {
		sscanf(text + (size_t)2 * i, "%2x", &byte);
		id[i] = (unsigned char)byte;
	}
	return 0;
}

static bool is_severity(const struct tapio_event_field *field)
{
	return field ==
	       tapio_event_field_find(tapio_event_header_type(), "severity");
}

static bool is_string(const struct tapio_event_field *field)
{
	return field->kind == TAPIO_FIELD_STRING ||
	       field->kind == TAPIO_FIELD_BYTES;
}

static int parse_unsigned(const struct tapio_event_field *field,
			  const char *text, uint64_t *out)
{
	uint64_t most = field->bytes < 8 ? (UINT64_C(1) << 8 * field->bytes) - 1
					 : UINT64_MAX;

	return parse_u64(text, most, out);
}

/* The value of a condition as one of the field's kind. */
static int parse_value(const struct tapio_event_field *field, const char *text,
		       struct operand *value)
{
	memset(value, 0, sizeof(*value));
	if (is_severity(field))
		return parse_severity(text, &value->u64);
	switch (field->kind) {
	case TAPIO_FIELD_I32:
	case TAPIO_FIELD_I64:
		return parse_i64(text, &value->i64);
	case TAPIO_FIELD_F64:
		return parse_f64(text, &value->f64);
	case TAPIO_FIELD_BOOL:
		return parse_bool(text, &value->u64);
	case TAPIO_FIELD_ENUM8:
	case TAPIO_FIELD_ENUM16:
	case TAPIO_FIELD_ENUM32:
	case TAPIO_FIELD_FLAGS16:
		return parse_name(field, text, &value->u64);
	case TAPIO_FIELD_TYPE:
		return parse_type(text, &value->u64);
	case TAPIO_FIELD_TIME:
		return parse_time(text, &value->u64);
	case TAPIO_FIELD_IP:
		return parse_ip(text, &value->ip);
	case TAPIO_FIELD_ID:
		return parse_id(field, text, value->id);
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
		return 0;
	case TAPIO_FIELD_ATTRIBUTES:
		return -ENOTSUP;
	default:
		return parse_unsigned(field, text, &value->u64);
	}
}

/* Names and addresses have no order. */
static bool allows(const struct tapio_event_field *field, enum tpi_where_op op)
{
	if (op == TPI_WHERE_LIKE)
		return is_string(field);
	if (op == TPI_WHERE_EQUAL || op == TPI_WHERE_UNEQUAL ||
	    is_severity(field))
		return true;
	switch (field->kind) {
	case TAPIO_FIELD_U8:
	case TAPIO_FIELD_U16:
	case TAPIO_FIELD_U32:
	case TAPIO_FIELD_U64:
	case TAPIO_FIELD_I32:
	case TAPIO_FIELD_I64:
	case TAPIO_FIELD_F64:
	case TAPIO_FIELD_TIME:
		return true;
	default:
		return false;
	}
}

/* ---- checks -------------------------------------------------------------------- */

static const char *wanted(const struct tapio_event_field *field)
{
	switch (field->kind) {
	case TAPIO_FIELD_I32:
	case TAPIO_FIELD_I64:
		return "a whole number, with a sign if it has one";
	case TAPIO_FIELD_F64:
		return "a number";
	case TAPIO_FIELD_BOOL:
		return "true or false";
	case TAPIO_FIELD_TYPE:
		return "a type of event (see --list-types)";
	case TAPIO_FIELD_TIME:
		return "a time, as 2026-11-30T12:00:00Z, or ns since 1970";
	case TAPIO_FIELD_IP:
		return "an IP address";
	case TAPIO_FIELD_ID:
		return "hex digits, two for each byte";
	default:
		return "a whole number that the field can have";
	}
}

struct words {
	char text[1600];
	size_t at;
};

static void add_word(struct words *w, const char *word)
{
	if (w->at < sizeof(w->text))
		w->at += (size_t)snprintf(w->text + w->at,
					  sizeof(w->text) - w->at, "%s%s",
					  w->at ? ", " : "", word);
}

static int refuse_value(const struct tpi_where_condition *c,
			const struct tapio_event_type *type,
			const struct tapio_event_field *field, char *error,
			size_t error_bytes)
{
	struct words names = {.at = 0};

	for (uint32_t i = 0; i < field->name_count; i++)
		add_word(&names, field->names[i].name);
	return tpi_fail(-EINVAL, error, error_bytes,
			"'%s' is no value of field %s of %s, which has %s%s",
			c->value, c->name,
			type->type ? type->name : "all events",
			names.at ? "one of " : "",
			names.at ? names.text : wanted(field));
}

static int check_one(const struct tpi_where_condition *c,
		     const struct tapio_event_type *type,
		     const struct tapio_event_field *field, char *error,
		     size_t error_bytes)
{
	struct operand value;
	int err;

	if (!allows(field, c->op))
		return tpi_fail(
			-EINVAL, error, error_bytes, "field %s of %s %s",
			c->name, type->type ? type->name : "all events",
			c->op == TPI_WHERE_LIKE
				? "is no text: use =, !=, <, <=, > or >="
			: is_string(field) ? "has no order: use =, != or ~"
					   : "has no order: use = or !=");
	err = parse_value(field, c->value, &value);
	if (err == -ENOTSUP)
		return tpi_fail(-EINVAL, error, error_bytes,
				"field %s of %s is a list of attributes, which "
				"cannot be compared",
				c->name, type->name);
	return err ? refuse_value(c, type, field, error, error_bytes) : 0;
}

static bool is_asked(uint16_t type, const uint16_t *types, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (types[i] == type)
			return true;
	return !count;
}

static void add_fields(struct words *w, const struct tapio_event_type *type)
{
	for (uint32_t i = 0; i < type->field_count; i++)
		add_word(w, tapio_event_field_at(type, i)->name);
}

/* The fields that there are: of the header, and of the types if some were named. */
static int refuse_name(const struct tpi_where_condition *c,
		       const uint16_t *types, uint32_t count, char *error,
		       size_t error_bytes)
{
	const struct tapio_event_type *type;
	struct words names = {.at = 0};

	add_fields(&names, tapio_event_header_type());
	for (unsigned int i = 0; count && (type = tapio_event_type_at(i)); i++)
		if (is_asked(type->type, types, count))
			add_fields(&names, type);
	return tpi_fail(-EINVAL, error, error_bytes,
			"no event%s has a field '%s'; there are %s%s",
			count ? " of these types" : "", c->name, names.text,
			count ? ""
			      : ", and those that --list-fields lists for each "
				"type");
}

/* Types differ in what a name means, as `operation`: one that takes the value will do. */
static int check_condition(const struct tpi_where_condition *c,
			   const uint16_t *types, uint32_t count, char *error,
			   size_t error_bytes)
{
	const struct tapio_event_type *header = tapio_event_header_type(),
				      *type;
	const struct tapio_event_field *field;
	bool found = false;

	field = tapio_event_field_find(header, c->name);
	if (field)
		return check_one(c, header, field, error, error_bytes);
	for (unsigned int i = 0; (type = tapio_event_type_at(i)); i++) {
		field = tapio_event_field_find(type, c->name);
		if (!field || !is_asked(type->type, types, count))
			continue;
		if (!check_one(c, type, field, found ? NULL : error,
			       found ? 0 : error_bytes))
			return 0;
		found = true; /* its error is told if no other one takes it */
	}
	return found ? -EINVAL
		     : refuse_name(c, types, count, error, error_bytes);
}

int tpi_where_check(const struct tpi_where *where, const uint16_t *types,
		    uint32_t type_count, char *error, size_t error_bytes)
{
	int err = 0;

	for (uint32_t i = 0; i < where->count && !err; i++)
		err = check_condition(&where->conditions[i], types, type_count,
				      error, error_bytes);
	return err;
}

/* ---- events -------------------------------------------------------------------- */

static int order_of(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static bool holds(enum tpi_where_op op, int order)
{
	switch (op) {
	case TPI_WHERE_EQUAL:
		return order == 0;
	case TPI_WHERE_UNEQUAL:
		return order != 0;
	case TPI_WHERE_LESS:
		return order < 0;
	case TPI_WHERE_AT_MOST:
		return order <= 0;
	case TPI_WHERE_MORE:
		return order > 0;
	default:
		return order >= 0;
	}
}

/* A private copy: it may change while it is compared. */
static bool string_holds(const struct tpi_where_condition *c,
			 const struct tapio_event_value *value)
{
	char copy[STRING_MOST];
	size_t length = value->length < sizeof(copy) - 1 ? value->length
							 : sizeof(copy) - 1;

	if (length)
		memcpy(copy, value->data, length);
	copy[length] = 0;
	if (c->op == TPI_WHERE_LIKE)
		return !fnmatch(c->value, copy, 0);
	return (value->length == strlen(c->value) &&
		!memcmp(copy, c->value,
			length < value->length ? length : value->length)) ==
	       (c->op == TPI_WHERE_EQUAL);
}

static bool value_holds(const struct tpi_where_condition *c,
			const struct tapio_event_field *field,
			const struct tapio_event_value *value)
{
	struct operand wanted_value;

	if (!allows(field, c->op))
		return false;
	if (is_string(field))
		return string_holds(c, value);
	if (parse_value(field, c->value, &wanted_value))
		return false;
	switch (field->kind) {
	case TAPIO_FIELD_I32:
	case TAPIO_FIELD_I64:
		return holds(c->op, (value->i64 > wanted_value.i64) -
					    (value->i64 < wanted_value.i64));
	case TAPIO_FIELD_F64:
		return holds(c->op, (value->f64 > wanted_value.f64) -
					    (value->f64 < wanted_value.f64));
	case TAPIO_FIELD_FLAGS16:
		return !(value->u64 & wanted_value.u64) ==
		       (c->op == TPI_WHERE_UNEQUAL);
	case TAPIO_FIELD_IP:
		return holds(c->op,
			     value->ip.family != wanted_value.ip.family ||
				     memcmp(value->ip.bytes,
					    wanted_value.ip.bytes,
					    value->ip.family == 4 ? 4 : 16));
	case TAPIO_FIELD_ID:
		return holds(c->op, memcmp(value->data, wanted_value.id,
					   field->bytes));
	default:
		return holds(c->op, order_of(value->u64, wanted_value.u64));
	}
}

static bool condition_holds(const struct tpi_where_condition *c,
			    const struct tapio_event_view *event)
{
	const struct tapio_event_field *field =
		tapio_event_field_find(tapio_event_header_type(), c->name);
	struct tapio_event_value value;

	if (!field && event->type)
		field = tapio_event_field_find(event->type, c->name);
	if (!field)
		return false;
	if (tapio_event_view_value(event, field, &value) != 1) {
		/* No flags are a set, too: flags!=existing holds for them. */
		if (field->kind != TAPIO_FIELD_FLAGS16)
			return false;
		value = (struct tapio_event_value){.kind = field->kind};
	}
	return value_holds(c, field, &value);
}

bool tpi_where_passes(const struct tpi_where *where,
		      const struct tapio_event_view *event)
{
	for (uint32_t i = 0; i < where->count; i++)
		if (!condition_holds(&where->conditions[i], event))
			return false;
	return true;
}
