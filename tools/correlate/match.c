/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions on events in place. Called for each event that has a type of interest, so nothing
 * here allocates, and a number costs one load.
 *
 * The memory may change while it is read. Each length is loaded once (once()), checked, and
 * only then used. The bytes of a string may change between two looks: the result is then that
 * of either, and the copy is asked again.
 */
#include <string.h>

#include "tools/correlate/inner.h"

/* A value that the compiler MUST NOT load again. */
#define once(x) __asm__("" : "+r"(x))

static uint64_t load8(const unsigned char *p)
{
	uint64_t n;

	memcpy(&n, p, sizeof(n));
	once(n);
	return n;
}

static uint32_t load4(const unsigned char *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof(n));
	once(n);
	return n;
}

static uint64_t load_number(const unsigned char *p, unsigned int bytes)
{
	uint16_t n;

	switch (bytes) {
	case 8:
		return load8(p);
	case 4:
		return load4(p);
	case 2:
		memcpy(&n, p, sizeof(n));
		once(n);
		return n;
	default:
		return *p;
	}
}

unsigned int tpi_slot_of(const struct tpi_slots *slots, uint16_t type)
{
	if (type < TPI_SLOT_NAMED)
		return slots->named[type];
	for (unsigned int i = slots->other + 1; i < slots->count; i++)
		if (slots->types[i] == type)
			return i;
	return slots->other;
}

bool tpi_raw_open(struct tpi_raw *raw, const struct tpi_slots *slots,
		  const void *data, uint32_t length, uint16_t type)
{
	const unsigned char *p = data;
	uint32_t header, fields, payload;
	uint64_t word;

	if (length < sizeof(struct tapio_event))
		return false;
	word = load8(p);
	if ((word & 0xffffff) !=
		    (TAPIO_EVENT_MAGIC | TAPIO_EVENT_VERSION << 16) ||
	    (uint16_t)(word >> 32) != type || !type)
		return false;
	word = load8(p + 8);
	header = word & 0xffff;
	fields = word >> 16 & 0xffff;
	payload = (uint32_t)(word >> 32);
	if (header < sizeof(struct tapio_event) || header > length ||
	    payload > length - header || fields > payload)
		return false;
	*raw = (struct tpi_raw){
		.data = p,
		.length = header + payload,
		.fields = p + header,
		.fields_bytes = fields,
		.type = type,
		.slot = (uint8_t)tpi_slot_of(slots, type),
	};
	payload -= fields;
	if (payload >= sizeof(uint32_t)) {
		uint32_t bytes = load4(raw->fields + fields);

		if (bytes > payload - sizeof(uint32_t))
			return false;
		raw->strings = raw->fields + fields + sizeof(uint32_t);
		raw->strings_bytes = bytes;
	}
	return true;
}

/* ---- loading ------------------------------------------------------------------------- */

static void load_string(const struct tpi_raw *raw, const unsigned char *at,
			struct tpi_value *value)
{
	const uint32_t word = load4(at);
	const uint32_t offset = word & 0xffff, length = word >> 16;

	if (!length || offset > raw->strings_bytes ||
	    length > raw->strings_bytes - offset)
		return;
	value->kind = TPI_VALUE_BYTES;
	value->data = (const char *)raw->strings + offset;
	value->length = length;
}

/* An attribute of a list: the first of its name. */
static void load_sub(const struct tpi_ref *ref, struct tpi_value *value)
{
	struct tapio_event_value list = {.data = value->data,
					 .length = value->length};
	struct tapio_event_value key, found;
	uint32_t at = 0;

	value->kind = TPI_VALUE_UNSET;
	while (tapio_event_attribute_next(&list, &at, &key, &found) > 0) {
		if (key.length != ref->sub_length ||
		    memcmp(key.data, ref->sub, key.length))
			continue;
		value->kind = TPI_VALUE_BYTES;
		value->data = found.data;
		value->length = found.length;
		return;
	}
}

static void load_ip(const unsigned char *at, struct tpi_value *value)
{
	memcpy(&value->ip, at, sizeof(value->ip));
	once(value->ip.family);
	if (value->ip.family != 4 && value->ip.family != 6)
		return;
	if (value->ip.family == 4)
		memset(value->ip.bytes + 4, 0, 12);
	value->kind = TPI_VALUE_IP;
	value->bits = value->ip.family == 4 ? 32 : 128;
}

static void load_id(const unsigned char *at, const struct tpi_ref *ref,
		    struct tpi_value *value)
{
	value->data = (const char *)at;
	value->length = ref->bytes;
	for (unsigned int i = 0; i < ref->bytes; i++)
		if (at[i])
			value->kind = TPI_VALUE_BYTES;
}

static void load_signed(uint64_t number, const struct tpi_ref *ref,
			struct tpi_value *value)
{
	const int64_t n = ref->bytes == 4 ? (int32_t)number : (int64_t)number;

	if (ref->unset == TAPIO_UNSET_ONES &&
	    n == (ref->bytes == 4 ? INT32_MIN : INT64_MIN))
		return;
	value->kind = n < 0 ? TPI_VALUE_I64 : TPI_VALUE_U64;
	value->i64 = n;
}

static bool is_unset(uint64_t number, const struct tpi_ref *ref)
{
	if (ref->unset == TAPIO_UNSET_ZERO)
		return !number;
	return ref->unset == TAPIO_UNSET_ONES &&
	       number == UINT64_MAX >> (64 - 8 * ref->bytes);
}

static const unsigned char *place(const struct tpi_raw *raw,
				  const struct tpi_ref *ref)
{
	if (ref->base == TPI_BASE_HEADER)
		return raw->data + ref->offset;
	if (ref->offset > raw->fields_bytes ||
	    ref->bytes > raw->fields_bytes - ref->offset)
		return NULL; /* an older writer did not know it */
	return raw->fields + ref->offset;
}

static void load_own(const struct tpi_raw *raw, const struct tpi_ref *ref,
		     struct tpi_value *value)
{
	const unsigned char *at = place(raw, ref);
	uint64_t number;

	value->kind = TPI_VALUE_UNSET;
	if (!at)
		return;
	switch (ref->kind) {
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
	case TAPIO_FIELD_ATTRIBUTES:
		load_string(raw, at, value);
		if (ref->sub && value->kind == TPI_VALUE_BYTES)
			load_sub(ref, value);
		return;
	case TAPIO_FIELD_IP:
		load_ip(at, value);
		return;
	case TAPIO_FIELD_ID:
		load_id(at, ref, value);
		return;
	case TAPIO_FIELD_I32:
	case TAPIO_FIELD_I64:
		load_signed(load_number(at, ref->bytes), ref, value);
		return;
	case TAPIO_FIELD_F64:
		value->u64 = load8(at);
		if (value->f64 == value->f64)
			value->kind = TPI_VALUE_F64;
		return;
	case TAPIO_FIELD_BOOL:
		value->kind = TPI_VALUE_U64;
		value->u64 = !!load_number(at, ref->bytes);
		return;
	default:
		number = load_number(at, ref->bytes);
		if (is_unset(number, ref))
			return;
		value->kind = TPI_VALUE_U64;
		value->u64 = number;
	}
}

void tpi_load(const struct tpi_match *match, const struct tpi_ref *ref,
	      struct tpi_value *value)
{
	const struct tpi_raw *raw;

	switch (ref->base) {
	case TPI_BASE_HEADER:
	case TPI_BASE_FIELDS:
		load_own(match->raw, ref, value);
		return;
	case TPI_BASE_POD:
		if (!match->pods)
			value->kind = TPI_VALUE_MAYBE;
		else
			*value = tpi_pod_value(match->pod, ref->pod);
		return;
	case TPI_BASE_STEP:
		if (!match->chain || ref->step < match->from) {
			value->kind = TPI_VALUE_MAYBE;
			return;
		}
		raw = match->chain[ref->step];
		value->kind = TPI_VALUE_UNSET;
		if (raw && ref->by_slot[raw->slot].base)
			load_own(raw, &ref->by_slot[raw->slot], value);
		return;
	default:
		value->kind = TPI_VALUE_UNSET;
	}
}

/* ---- comparing ------------------------------------------------------------------------- */

static bool is_number(const struct tpi_value *value)
{
	return value->kind >= TPI_VALUE_U64 && value->kind <= TPI_VALUE_F64;
}

/* Has 64 bits of mantissa at least, so that integers stay exact. */
static long double as_real(const struct tpi_value *value)
{
	if (value->kind == TPI_VALUE_F64)
		return value->f64;
	return value->kind == TPI_VALUE_I64 ? (long double)value->i64
					    : (long double)value->u64;
}

#define ORDER_OF(a, b) ((a) < (b) ? -1 : (a) > (b))

int tpi_value_compare(const struct tpi_value *a, const struct tpi_value *b)
{
	uint32_t length;
	int order;

	if (a->kind == TPI_VALUE_U64 && b->kind == TPI_VALUE_U64)
		return ORDER_OF(a->u64, b->u64);
	if (is_number(a) && is_number(b)) {
		long double x = as_real(a), y = as_real(b);

		return ORDER_OF(x, y);
	}
	if (a->kind != b->kind)
		return 2;
	if (a->kind == TPI_VALUE_IP) {
		order = ORDER_OF(a->ip.family, b->ip.family);
		return order ? order : memcmp(a->ip.bytes, b->ip.bytes, 16);
	}
	if (a->kind != TPI_VALUE_BYTES)
		return 2;
	length = a->length < b->length ? a->length : b->length;
	order = memcmp(a->data, b->data, length);
	return order ? order : ORDER_OF(a->length, b->length);
}

int tpi_value_order(const void *a, const void *b)
{
	return tpi_value_compare(a, b);
}

static bool compare_texts(enum tpi_compare compare, const struct tpi_value *a,
			  const struct tpi_value *b)
{
	if (a->kind != TPI_VALUE_BYTES || b->kind != TPI_VALUE_BYTES ||
	    a->length < b->length)
		return false;
	if (compare == TPI_CONTAINS)
		return memmem(a->data, a->length, b->data, b->length);
	if (compare == TPI_SUFFIX)
		return !memcmp(a->data + a->length - b->length, b->data,
			       b->length);
	return !memcmp(a->data, b->data, b->length);
}

static bool compare_values(enum tpi_compare compare, const struct tpi_value *a,
			   const struct tpi_value *b)
{
	int order;

	if (compare >= TPI_PREFIX)
		return compare_texts(compare, a, b);
	/* The usual one, without a look at the order of the bytes. */
	if (a->kind == TPI_VALUE_BYTES && b->kind == TPI_VALUE_BYTES) {
		bool same = a->length == b->length &&
			    !memcmp(a->data, b->data, a->length);

		return same == (compare == TPI_EQ);
	}
	order = tpi_value_compare(a, b);
	if (order == 2)
		return false;
	switch (compare) {
	case TPI_EQ:
		return order == 0;
	case TPI_NE:
		return order != 0;
	case TPI_LT:
		return order < 0;
	case TPI_LE:
		return order <= 0;
	case TPI_GT:
		return order > 0;
	default:
		return order >= 0;
	}
}

static bool compare_u64(enum tpi_compare compare, uint64_t a, uint64_t b)
{
	switch (compare) {
	case TPI_EQ:
		return a == b;
	case TPI_NE:
		return a != b;
	case TPI_LT:
		return a < b;
	case TPI_LE:
		return a <= b;
	case TPI_GT:
		return a > b;
	default:
		return a >= b;
	}
}

static bool in_net(const struct tpi_value *net, const struct tpi_value *value)
{
	const unsigned int whole = net->bits / 8, rest = net->bits % 8;

	if (net->ip.family != value->ip.family ||
	    memcmp(net->ip.bytes, value->ip.bytes, whole))
		return false;
	return !rest ||
	       !((net->ip.bytes[whole] ^ value->ip.bytes[whole]) >> (8 - rest));
}

static bool in_nets(const struct tpi_node *node, const struct tpi_value *value)
{
	for (uint32_t i = 0; i < node->count; i++)
		if (in_net(&node->set[i], value))
			return true;
	return false;
}

static bool in_set(const struct tpi_node *node, const struct tpi_value *value)
{
	uint32_t low = 0, high = node->count;

	while (low < high) {
		const uint32_t middle = (low + high) / 2;
		const int order = tpi_value_compare(&node->set[middle], value);

		if (!order)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool match_regex(const struct tpi_node *node,
			const struct tpi_match *match,
			const struct tpi_value *value)
{
	int matched;

	if (value->kind != TPI_VALUE_BYTES)
		return false;
	matched = tpi_regex_match(node->regex, value->data, value->length);
	if (matched < 0 && match->regex_errors)
		++*match->regex_errors;
	return matched > 0;
}

static bool test_value(const struct tpi_node *node,
		       const struct tpi_match *match,
		       const struct tpi_value *value)
{
	switch (node->op) {
	case TPI_NODE_HAS:
		return true;
	case TPI_NODE_VALUE:
		return compare_values(node->compare, value, &node->value);
	case TPI_NODE_SET:
		return in_set(node, value);
	case TPI_NODE_NETS:
		return in_nets(node, value);
	case TPI_NODE_FLAG:
		return value->u64 & node->value.u64;
	default:
		return match_regex(node, match, value);
	}
}

static enum tpi_truth match_pair(const struct tpi_node *node,
				 const struct tpi_match *match)
{
	struct tpi_value a, b;

	tpi_load(match, &node->ref, &a);
	tpi_load(match, node->other, &b);
	if (a.kind == TPI_VALUE_UNSET || b.kind == TPI_VALUE_UNSET)
		return TPI_FALSE;
	if (a.kind == TPI_VALUE_MAYBE || b.kind == TPI_VALUE_MAYBE)
		return TPI_MAYBE;
	return compare_values(node->compare, &a, &b) ? TPI_TRUE : TPI_FALSE;
}

static enum tpi_truth match_u64(const struct tpi_node *node,
				const struct tpi_match *match)
{
	const unsigned char *at = place(match->raw, &node->ref);
	uint64_t number;

	if (!at)
		return TPI_FALSE;
	number = load_number(at, node->ref.bytes);
	return !is_unset(number, &node->ref) &&
			       compare_u64(node->compare, number,
					   node->value.u64)
		       ? TPI_TRUE
		       : TPI_FALSE;
}

static enum tpi_truth match_field(const struct tpi_node *node,
				  const struct tpi_match *match)
{
	struct tpi_value value;

	tpi_load(match, &node->ref, &value);
	if (value.kind == TPI_VALUE_UNSET)
		return TPI_FALSE;
	if (value.kind == TPI_VALUE_MAYBE)
		return TPI_MAYBE;
	return test_value(node, match, &value) ? TPI_TRUE : TPI_FALSE;
}

enum tpi_truth tpi_match(const struct tpi_node *node,
			 const struct tpi_match *match)
{
	enum tpi_truth a, b;

	switch (node->op) {
	case TPI_NODE_FALSE:
		return TPI_FALSE;
	case TPI_NODE_TRUE:
		return TPI_TRUE;
	case TPI_NODE_MAYBE:
		return TPI_MAYBE;
	case TPI_NODE_AND:
		a = tpi_match(node->a, match);
		if (a == TPI_FALSE)
			return a;
		b = tpi_match(node->b, match);
		return b == TPI_TRUE ? a : b;
	case TPI_NODE_OR:
		a = tpi_match(node->a, match);
		if (a == TPI_TRUE)
			return a;
		b = tpi_match(node->b, match);
		return b == TPI_FALSE ? a : b;
	case TPI_NODE_NOT:
		a = tpi_match(node->a, match);
		return a == TPI_MAYBE  ? a
		       : a == TPI_TRUE ? TPI_FALSE
				       : TPI_TRUE;
	case TPI_NODE_U64:
		return match_u64(node, match);
	case TPI_NODE_PAIR:
		return match_pair(node, match);
	default:
		return match_field(node, match);
	}
}
