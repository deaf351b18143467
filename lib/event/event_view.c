/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading events that may lie in memory which their producer still writes.
 *
 * Invariants, for whatever the memory holds and however it changes meanwhile:
 *   1. header, fields and the length of the string area are loaded once, into the
 *      view, and only the copies are checked and used.
 *   2. once a view is made, every string reference in its copy of the fields lies
 *      within `strings_bytes`, and that lies within the event.
 *   3. string bytes are read where they are, each through one atomic load, and
 *      nothing but what is printed depends on them. The lengths in an attribute
 *      list are the exception: loaded once and checked at each step.
 * Proof of 2: tapio_event_view_init() makes each length fit in what the one before
 * left over, in subtract form, and refuses the first reference that does not.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/event/event_internal.h"
#include "lib/event/event_table.h"

/*
 * A copy whose source is read once: relaxed atomic loads, because what is read
 * is checked afterwards and no order with other words is needed.
 */
static void copy_once(void *to, const void *from, size_t length)
{
	const unsigned char *in = from;
	unsigned char *out = to;
	uint64_t word;

	if ((uintptr_t)in % 8 == 0) {
		for (; length >= 8; length -= 8, in += 8, out += 8) {
			word = tpi_load_relaxed(
				(const uint64_t *)(const void *)in);
			memcpy(out, &word, 8);
		}
	}
	for (; length; length--)
		*out++ = tpi_load_relaxed(in++);
}

static int check_header(const struct tapio_event *h, size_t length)
{
	if (h->magic != TAPIO_EVENT_MAGIC)
		return -EBADMSG;
	if (h->version != TAPIO_EVENT_VERSION)
		return -EPROTONOSUPPORT;
	if (h->header_bytes < sizeof(*h) || h->header_bytes % 8 ||
	    h->fields_bytes % 8 || h->fields_bytes > h->payload_bytes ||
	    h->severity > TAPIO_SEVERITY_MAX || h->type == TAPIO_TYPE_DISCARD)
		return -EBADMSG;
	if (h->header_bytes > length ||
	    h->payload_bytes > length - h->header_bytes)
		return -EMSGSIZE;
	return 0;
}

/* Finds the string area behind the fields. An event may have none. */
static int find_strings(struct tapio_event_view *v)
{
	const uint32_t rest = v->header.payload_bytes - v->header.fields_bytes;
	const unsigned char *p =
		v->data + v->header.header_bytes + v->header.fields_bytes;
	uint32_t bytes;

	if (!rest)
		return 0;
	if (rest < sizeof(bytes))
		return -EBADMSG;
	copy_once(&bytes, p, sizeof(bytes));
	if (bytes > rest - sizeof(bytes))
		return -EBADMSG;
	v->strings = p + sizeof(bytes);
	v->strings_bytes = bytes;
	return 0;
}

/* Takes what both writer and reader know of the fields. The rest is unset. */
static void copy_fields(struct tapio_event_view *v)
{
	const size_t known =
		v->type ? v->type->fields_bytes : TAPIO_EVENT_FIELDS_MAX;
	size_t bytes = v->header.fields_bytes;

	if (bytes > known)
		bytes = known;
	copy_once(v->fields, v->data + v->header.header_bytes, bytes);
	if (v->type && bytes < known)
		tpi_event_unset(v->type, v->fields, bytes);
}

static bool is_reference(const struct tapio_event_field *field)
{
	return field->kind == TAPIO_FIELD_STRING ||
	       field->kind == TAPIO_FIELD_BYTES ||
	       field->kind == TAPIO_FIELD_ATTRIBUTES;
}

static int check_field(const struct tapio_event_view *v,
		       const struct tapio_event_field *field)
{
	const char *p = (const char *)v->fields + field->offset;
	struct tapio_event_string s;
	uint32_t family;

	if (is_reference(field)) {
		memcpy(&s, p, sizeof(s));
		if (s.length && (s.offset > v->strings_bytes ||
				 s.length > v->strings_bytes - s.offset))
			return -EBADMSG;
	} else if (field->kind == TAPIO_FIELD_IP) {
		memcpy(&family, p, sizeof(family));
		if (family != 0 && family != 4 && family != 6)
			return -EBADMSG;
	}
	return 0;
}

int tapio_event_view_init(struct tapio_event_view *v, const void *data,
			  size_t length)
{
	int err;

	memset(v, 0, sizeof(*v));
	if (!data)
		return -EINVAL;
	if (length > UINT32_MAX)
		length = UINT32_MAX;
	v->data = data;
	v->length = (uint32_t)length;
	if (length < sizeof(v->header))
		return -EMSGSIZE;
	copy_once(&v->header, data, sizeof(v->header));
	err = check_header(&v->header, length);
	if (err)
		return err;
	v->type = tapio_event_type_get(v->header.type);
	err = find_strings(v);
	if (err)
		return err;
	copy_fields(v);
	for (uint32_t i = 0; v->type && i < v->type->field_count; i++) {
		err = check_field(v, &v->type->fields[i]);
		if (err)
			return err;
	}
	return 0;
}

/* A view of bytes of which only the descriptor is known. */
static void view_opaque(struct tapio_event_view *v,
			const struct tapio_view *view)
{
	memset(v, 0, sizeof(*v));
	v->header.type = view->type;
	v->header.severity = view->severity & TAPIO_SEVERITY_MAX;
	v->header.uid = TAPIO_UID_UNSET;
	v->header.gid = TAPIO_UID_UNSET;
	v->data = view->data;
	v->length = view->data ? view->length : 0;
	v->flags = TAPIO_EVENT_VIEW_OPAQUE;
}

int tapio_event_view_open(struct tapio_event_view *v,
			  const struct tapio_view *view)
{
	int err = tapio_event_view_init(v, view->data, view->length);

	if (!err && v->header.type != view->type)
		err = -EBADMSG;
	if (err)
		view_opaque(v, view);
	v->flags |= TAPIO_EVENT_VIEW_ID;
	v->lane = view->lane;
	v->position = view->position;
	return err;
}

const void *tapio_event_view_fields(const struct tapio_event_view *v,
				    uint16_t type)
{
	if (v->header.type != type || v->flags & TAPIO_EVENT_VIEW_OPAQUE)
		return NULL;
	return v->fields;
}

/* Bytes of a number are in the order of the host: little-endian. */
static uint64_t load_unsigned(const void *p, uint8_t bytes)
{
	uint64_t n = 0;

	memcpy(&n, p, bytes);
	return n;
}

bool tpi_event_is_unset(const struct tapio_event_field *field, const void *p)
{
	const struct tapio_event_string *s = p;
	const unsigned char *bytes = p;
	double f64;

	if (field->unset == TAPIO_UNSET_NEVER)
		return false;
	if (is_reference(field))
		return !s->length;
	if (field->kind == TAPIO_FIELD_IP)
		return !load_unsigned(p, sizeof(uint32_t));
	if (field->unset == TAPIO_UNSET_ZERO) {
		for (uint8_t i = 0; i < field->bytes; i++)
			if (bytes[i])
				return false;
		return true;
	}
	if (field->kind == TAPIO_FIELD_F64) {
		memcpy(&f64, p, sizeof(f64));
		return f64 != f64;
	}
	if (field->kind == TAPIO_FIELD_I32)
		return load_unsigned(p, 4) == UINT32_C(1) << 31;
	if (field->kind == TAPIO_FIELD_I64)
		return load_unsigned(p, 8) == UINT64_C(1) << 63;
	return load_unsigned(p, field->bytes) ==
	       UINT64_MAX >> (64 - 8 * field->bytes);
}

static void load_reference(const struct tapio_event_view *v, const void *p,
			   struct tapio_event_value *value)
{
	struct tapio_event_string s;

	memcpy(&s, p, sizeof(s));
	if (!s.length)
		return;
	value->data = (const char *)v->strings + s.offset;
	value->length = s.length;
}

static void load_value(const struct tapio_event_view *v,
		       const struct tapio_event_field *field, const void *p,
		       struct tapio_event_value *value)
{
	int32_t i32;

	switch (field->kind) {
	case TAPIO_FIELD_I32:
		memcpy(&i32, p, sizeof(i32));
		value->i64 = i32;
		break;
	case TAPIO_FIELD_I64:
	case TAPIO_FIELD_F64:
	case TAPIO_FIELD_IP:
		memcpy(&value->ip, p, field->bytes);
		break;
	case TAPIO_FIELD_ID:
		value->data = p;
		value->length = field->bytes;
		break;
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
	case TAPIO_FIELD_ATTRIBUTES:
		load_reference(v, p, value);
		break;
	case TAPIO_FIELD_BOOL:
		value->u64 = !!load_unsigned(p, field->bytes);
		break;
	default:
		value->u64 = load_unsigned(p, field->bytes);
		value->name = tpi_event_value_name(field, value->u64);
	}
}

/* Whether `field` is a row of `type`'s table. */
static bool has_field(const struct tapio_event_type *type,
		      const struct tapio_event_field *field)
{
	const uintptr_t at = (uintptr_t)field - (uintptr_t)type->fields;

	return at < type->field_count * sizeof(*field);
}

int tapio_event_view_value(const struct tapio_event_view *v,
			   const struct tapio_event_field *field,
			   struct tapio_event_value *value)
{
	const char *base;

	memset(value, 0, sizeof(*value));
	if (has_field(&tpi_event_header, field))
		base = (const char *)&v->header;
	else if (v->type && has_field(v->type, field))
		base = (const char *)v->fields;
	else
		return -EINVAL;
	value->kind = field->kind;
	load_value(v, field, base + field->offset, value);
	return !tpi_event_is_unset(field, base + field->offset);
}

int tapio_event_view_get(const struct tapio_event_view *v, const char *name,
			 struct tapio_event_value *value)
{
	const struct tapio_event_field *field;

	memset(value, 0, sizeof(*value));
	field = tapio_event_field_find(&tpi_event_header, name);
	if (!field && v->type)
		field = tapio_event_field_find(v->type, name);
	return field ? tapio_event_view_value(v, field, value) : -ENOENT;
}

size_t tapio_event_view_string(const struct tapio_event_view *v,
			       const struct tapio_event_string *s, char *buffer,
			       size_t size)
{
	const struct tapio_event_string copy = *s;
	size_t length = copy.length;

	if (copy.offset > v->strings_bytes ||
	    length > v->strings_bytes - copy.offset)
		length = 0;
	if (size) {
		const size_t n = length < size ? length : size - 1;

		if (n)
			copy_once(buffer, v->strings + copy.offset, n);
		buffer[n] = '\0';
	}
	return length;
}

int tapio_event_attribute_next(const struct tapio_event_value *attributes,
			       uint32_t *at, struct tapio_event_value *key,
			       struct tapio_event_value *value)
{
	uint32_t rest = attributes->length - *at;
	uint16_t lengths[2];

	memset(key, 0, sizeof(*key));
	memset(value, 0, sizeof(*value));
	key->kind = value->kind = TAPIO_FIELD_STRING;
	if (*at >= attributes->length)
		return 0;
	if (rest < sizeof(lengths))
		return -EBADMSG;
	copy_once(lengths, attributes->data + *at, sizeof(lengths));
	rest -= (uint32_t)sizeof(lengths);
	if (lengths[0] > rest || lengths[1] > rest - lengths[0])
		return -EBADMSG;
	key->data = attributes->data + *at + sizeof(lengths);
	key->length = lengths[0];
	value->data = key->data + key->length;
	value->length = lengths[1];
	*at += (uint32_t)sizeof(lengths) + lengths[0] + lengths[1];
	return 1;
}
