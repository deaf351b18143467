/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of rules as constants of fields: each must be one that the field can hold, or the
 * comparison could never be true, and the rule is refused with the reason.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/nearest.h"
#include "tools/correlate/inner.h"

void tpi_wrong(struct tpi_checker *c, const struct tpi_operand *at,
	       const char *format, ...)
{
	char text[256];
	va_list args;

	c->expr->wrong |= UINT64_C(1) << c->slot;
	c->failed = true;
	if (c->expr->why)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	c->expr->why = tpi_arena_text(&c->rules->arena, text, strlen(text));
	c->expr->at = at;
}

static bool is_equality(enum tpi_compare compare)
{
	return compare == TPI_EQ || compare == TPI_NE;
}

/* ---- names ------------------------------------------------------------------------------- */

/* tapio_event_name of a field, as a list for tpi_nearest(). */
static const char *near_value(const struct tapio_event_field *field,
			      const char *name)
{
	const char *names[128];
	size_t count = 0;

	for (; count < field->name_count && count < 128; count++)
		names[count] = field->names[count].name;
	return tpi_nearest(name, names, count);
}

static bool is_severity(const struct tpi_ref *ref)
{
	return ref->base == TPI_BASE_HEADER &&
	       ref->offset == offsetof(struct tapio_event, severity);
}

static bool name_value(struct tpi_checker *c, const struct tpi_ref *ref,
		       const struct tpi_operand *operand, const char *name,
		       struct tpi_value *value)
{
	const struct tapio_event_field *field = ref->field;
	uint8_t severity;
	const char *near;

	value->kind = TPI_VALUE_U64;
	for (uint32_t i = 0; i < field->name_count; i++) {
		if (strcmp(field->names[i].name, name))
			continue;
		value->u64 = field->names[i].value;
		return true;
	}
	if (is_severity(ref) && !tapio_severity_parse(name, &severity)) {
		value->u64 = severity;
		return true;
	}
	near = near_value(field, name);
	tpi_wrong(c, operand, "%s has no value of this name%s%s%s", field->name,
		  near ? "; did you mean " : "", near ? near : "",
		  near ? "?" : "");
	return false;
}

static bool enum_value(struct tpi_checker *c, const struct tpi_ref *ref,
		       const struct tpi_operand *operand,
		       enum tpi_compare compare, struct tpi_value *value)
{
	const struct tpi_word *word = &operand->word;

	if (!is_equality(compare) && !(is_severity(ref) && compare <= TPI_GE)) {
		tpi_wrong(
			c, operand,
			"%s has names as values, so it knows ==, != and in only",
			ref->field->name);
		return false;
	}
	if (word->kind == TPI_WORD_NAME)
		return name_value(c, ref, operand, operand->name, value);
	if (word->kind == TPI_WORD_NUMBER && word->exact && !word->negative &&
	    !word->unit) {
		value->kind = TPI_VALUE_U64;
		value->u64 = word->number;
		return true;
	}
	tpi_wrong(c, operand, "%s takes a name, as %s", ref->field->name,
		  ref->field->name_count ? ref->field->names[0].name
					 : "a number");
	return false;
}

static bool flag_value(struct tpi_checker *c, const struct tpi_ref *ref,
		       const struct tpi_operand *operand,
		       enum tpi_compare compare, struct tpi_value *value)
{
	if (compare != TPI_CONTAINS || operand->word.kind != TPI_WORD_NAME) {
		tpi_wrong(c, operand,
			  "%s is a set of flags: say %s contains %s",
			  ref->field->name, ref->field->name,
			  ref->field->names[0].name);
		return false;
	}
	return name_value(c, ref, operand, operand->name, value);
}

static bool bool_value(struct tpi_checker *c, const struct tpi_ref *ref,
		       const struct tpi_operand *operand,
		       enum tpi_compare compare, struct tpi_value *value)
{
	value->kind = TPI_VALUE_U64;
	value->u64 = tpi_word_is(&operand->word, "true");
	if (is_equality(compare) &&
	    (value->u64 || tpi_word_is(&operand->word, "false")))
		return true;
	tpi_wrong(c, operand, "%s takes == or != with true or false",
		  ref->field->name);
	return false;
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* 200ms of a field in microseconds is 200000. False: the unit does not fit. */
static bool scale(struct tpi_checker *c, const struct tpi_ref *ref,
		  const struct tpi_operand *operand, uint64_t *number)
{
	const struct tpi_word *word = &operand->word;
	const char *unit = ref->field->unit;

	*number = word->number;
	if (word->unit == TPI_UNIT_NONE)
		return true;
	if (word->unit == TPI_UNIT_BYTES && !strcmp(unit, "By"))
		return true;
	if (word->unit == TPI_UNIT_NS && ref->kind != TAPIO_FIELD_TIME) {
		if (!strcmp(unit, "ns"))
			return true;
		if (!strcmp(unit, "us") && *number % 1000 == 0) {
			*number /= 1000;
			return true;
		}
	}
	tpi_wrong(c, operand, "%s is no %s: its unit is %s", ref->field->name,
		  word->unit == TPI_UNIT_NS ? "span of time"
					    : "number of bytes",
		  *unit ? unit : "none");
	return false;
}

static bool in_range(struct tpi_checker *c, const struct tpi_ref *ref,
		     const struct tpi_operand *operand, uint64_t number)
{
	const bool is_signed =
		ref->kind == TAPIO_FIELD_I32 || ref->kind == TAPIO_FIELD_I64;
	const uint64_t max = UINT64_MAX >> (64 - 8 * ref->bytes + is_signed);

	if (operand->word.negative ? is_signed && number <= max + 1
				   : number <= max)
		return true;
	tpi_wrong(c, operand, "%s holds %s%" PRIu64 " to %" PRIu64,
		  ref->field->name, is_signed ? "-" : "",
		  is_signed ? max + 1 : 0, max);
	return false;
}

static bool number_value(struct tpi_checker *c, const struct tpi_ref *ref,
			 const struct tpi_operand *operand,
			 enum tpi_compare compare, struct tpi_value *value)
{
	const struct tpi_word *word = &operand->word;
	uint64_t number;

	if (word->kind != TPI_WORD_NUMBER) {
		tpi_wrong(c, operand, "%s is a number", ref->field->name);
		return false;
	}
	if (compare > TPI_GE) {
		tpi_wrong(c, operand,
			  "%s is a number: it knows == != < <= > >= and in",
			  ref->field->name);
		return false;
	}
	if (!scale(c, ref, operand, &number))
		return false;
	if (ref->kind == TAPIO_FIELD_F64) {
		value->kind = TPI_VALUE_F64;
		value->f64 = word->unit == TPI_UNIT_NONE ? word->real
							 : (double)number;
		return true;
	}
	if (!word->exact) {
		tpi_wrong(c, operand, "%s holds whole numbers",
			  ref->field->name);
		return false;
	}
	if (!in_range(c, ref, operand, number))
		return false;
	value->kind = word->negative && number ? TPI_VALUE_I64 : TPI_VALUE_U64;
	value->u64 = word->negative ? 0 - number : number;
	return true;
}

/* ---- addresses, ids, texts ------------------------------------------------------------------ */

/* Clears the bits behind the network's. */
static void mask(struct tapio_event_ip *ip, unsigned int bits)
{
	for (unsigned int i = 0; i < 16; i++) {
		if (i * 8 >= bits)
			ip->bytes[i] = 0;
		else if (bits - i * 8 < 8)
			ip->bytes[i] &= (uint8_t)(0xff00 >> (bits - i * 8));
	}
}

static bool parse_net(const char *text, size_t length, struct tpi_value *value,
		      bool *has_bits)
{
	char address[64], *slash, *end;
	unsigned long bits;

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	slash = strchr(address, '/');
	*has_bits = slash;
	if (slash)
		*slash++ = '\0';
	value->kind = TPI_VALUE_IP;
	value->ip =
		(struct tapio_event_ip){.family = strchr(address, ':') ? 6 : 4};
	value->bits = value->ip.family == 4 ? 32 : 128;
	if (inet_pton(value->ip.family == 4 ? AF_INET : AF_INET6, address,
		      value->ip.bytes) != 1)
		return false;
	if (!slash)
		return true;
	bits = strtoul(slash, &end, 10);
	if (*end || end == slash || *slash < '0' || *slash > '9' ||
	    bits > value->bits)
		return false;
	value->bits = (uint8_t)bits;
	mask(&value->ip, value->bits);
	return true;
}

static bool ip_value(struct tpi_checker *c, const struct tpi_ref *ref,
		     const struct tpi_operand *operand,
		     enum tpi_compare compare, struct tpi_value *value)
{
	const struct tpi_word *word = &operand->word;
	bool has_bits = false;

	if (!is_equality(compare)) {
		tpi_wrong(c, operand,
			  "%s is an address: it knows ==, != and in",
			  ref->field->name);
		return false;
	}
	if ((word->kind != TPI_WORD_NET && word->kind != TPI_WORD_STRING) ||
	    !parse_net(word->string, word->string_length, value, &has_bits)) {
		tpi_wrong(
			c, operand,
			"%s is an address: it takes 10.0.0.1, \"fd00::1\", 10.0.0.0/8 or "
			"\"fd00::/8\"",
			ref->field->name);
		return false;
	}
	if (has_bits && c->expr->kind != TPI_EXPR_IN) {
		tpi_wrong(c, operand, "a network is no address: say %s in %s",
			  ref->field->name, word->string);
		return false;
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool id_value(struct tpi_checker *c, const struct tpi_ref *ref,
		     const struct tpi_operand *operand,
		     enum tpi_compare compare, struct tpi_value *value)
{
	const struct tpi_word *word = &operand->word;
	char *bytes = tpi_arena_get(&c->rules->arena, ref->bytes);
	bool ok = bytes && is_equality(compare) &&
		  word->kind == TPI_WORD_STRING &&
		  word->string_length == 2u * ref->bytes;

	for (unsigned int i = 0; ok && i < ref->bytes; i++) {
		int high = hex_digit(word->string[2 * i]);
		int low = hex_digit(word->string[2 * i + 1]);

		ok = high >= 0 && low >= 0;
		if (ok)
			bytes[i] = (char)(high << 4 | low);
	}
	if (!ok) {
		tpi_wrong(
			c, operand,
			"%s takes ==, != or in with \"%d hexadecimal digits\"",
			ref->field->name, 2 * ref->bytes);
		return false;
	}
	value->kind = TPI_VALUE_BYTES;
	value->data = bytes;
	value->length = ref->bytes;
	return true;
}

static const char *name_of(const struct tpi_ref *ref)
{
	static const char *const pods[] = {"pod.name", "pod.namespace",
					   "pod.uid"};

	return ref->base == TPI_BASE_POD ? pods[ref->pod] : ref->field->name;
}

static bool text_value(struct tpi_checker *c, const struct tpi_ref *ref,
		       const struct tpi_operand *operand,
		       enum tpi_compare compare, struct tpi_value *value)
{
	const struct tpi_word *word = &operand->word;

	if (compare > TPI_NE && compare < TPI_PREFIX) {
		tpi_wrong(
			c, operand,
			"%s is a text: it knows == != prefix suffix contains matches and in",
			name_of(ref));
		return false;
	}
	if (word->kind != TPI_WORD_STRING) {
		tpi_wrong(c, operand,
			  "%s is a text: put the value in double quotes",
			  name_of(ref));
		return false;
	}
	if (!word->string_length) {
		tpi_wrong(c, operand,
			  "an empty text is an unset field: say not has %s",
			  name_of(ref));
		return false;
	}
	value->kind = TPI_VALUE_BYTES;
	value->data = word->string;
	value->length = (uint32_t)word->string_length;
	return true;
}

bool tpi_constant(struct tpi_checker *c, const struct tpi_ref *ref,
		  const struct tpi_operand *operand, enum tpi_compare compare,
		  struct tpi_value *value)
{
	*value = (struct tpi_value){0};
	switch (ref->kind) {
	case TAPIO_FIELD_ENUM8:
	case TAPIO_FIELD_ENUM16:
	case TAPIO_FIELD_ENUM32:
		return enum_value(c, ref, operand, compare, value);
	case TAPIO_FIELD_FLAGS16:
		return flag_value(c, ref, operand, compare, value);
	case TAPIO_FIELD_BOOL:
		return bool_value(c, ref, operand, compare, value);
	case TAPIO_FIELD_IP:
		return ip_value(c, ref, operand, compare, value);
	case TAPIO_FIELD_ID:
		return id_value(c, ref, operand, compare, value);
	case TAPIO_FIELD_ATTRIBUTES:
		if (!ref->sub) {
			tpi_wrong(
				c, operand,
				"%s is a list of attributes: say %s[\"name\"]",
				ref->field->name, ref->field->name);
			return false;
		}
		return text_value(c, ref, operand, compare, value);
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
		return text_value(c, ref, operand, compare, value);
	default:
		return number_value(c, ref, operand, compare, value);
	}
}
