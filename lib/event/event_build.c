/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building events, in a buffer of the caller or in place in a reserved block.
 *
 * The builder's own lengths are private, and the header's are stored once, at
 * the end. So another process that can write the block cannot make the builder
 * write elsewhere. The first error sticks, so that a collector may check once,
 * at finish.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/event/event_internal.h"

/* A string's offset and length have 16 bits. */
#define STRINGS_MAX UINT32_C(65535)

static void unset_member(const struct tapio_event_field *field, void *p)
{
	static const int32_t least32 = INT32_MIN;
	static const int64_t least64 = INT64_MIN;

	if (field->unset != TAPIO_UNSET_ONES)
		memset(p, 0, field->bytes);
	else if (field->kind == TAPIO_FIELD_I32)
		memcpy(p, &least32, sizeof(least32));
	else if (field->kind == TAPIO_FIELD_I64)
		memcpy(p, &least64, sizeof(least64));
	else /* the pattern of all ones is a NaN, too */
		memset(p, 0xff, field->bytes);
}

void tpi_event_unset(const struct tapio_event_type *type, void *fields,
		     size_t from)
{
	memset((char *)fields + from, 0, type->fields_bytes - from);
	for (uint32_t i = 0; i < type->field_count; i++)
		if (type->fields[i].offset >= from)
			unset_member(&type->fields[i],
				     (char *)fields + type->fields[i].offset);
}

static int builder_begin(struct tapio_event_builder *b, void *buffer,
			 size_t capacity, uint16_t type, size_t fields_bytes)
{
	const size_t fixed =
		sizeof(struct tapio_event) + fields_bytes + sizeof(uint32_t);

	if (!buffer || (uintptr_t)buffer % 8)
		return -EINVAL;
	if (capacity < fixed)
		return -EMSGSIZE;
	b->type = type;
	b->fields_bytes = (uint16_t)fields_bytes;
	b->event = buffer;
	b->fields = b->event + 1;
	b->strings = (char *)buffer + fixed;
	b->strings_room = capacity - fixed > STRINGS_MAX
				  ? STRINGS_MAX
				  : (uint32_t)(capacity - fixed);
	*b->event = (struct tapio_event){
		.severity = TAPIO_SEVERITY_INFO,
		.type = type,
		.uid = TAPIO_UID_UNSET,
		.gid = TAPIO_UID_UNSET,
	};
	return 0;
}

int tapio_event_builder_init(struct tapio_event_builder *b, void *buffer,
			     size_t capacity, uint16_t type)
{
	const struct tapio_event_type *t = tapio_event_type_get(type);

	memset(b, 0, sizeof(*b));
	b->error = -EINVAL;
	if (!t)
		return b->error;
	b->error = builder_begin(b, buffer, capacity, type, t->fields_bytes);
	if (!b->error)
		tpi_event_unset(t, b->fields, 0);
	return b->error;
}

int tapio_event_builder_init_custom(struct tapio_event_builder *b, void *buffer,
				    size_t capacity, uint16_t type,
				    size_t fields_bytes)
{
	memset(b, 0, sizeof(*b));
	b->error = -EINVAL;
	if (type == TAPIO_TYPE_DISCARD || tapio_event_type_get(type) ||
	    fields_bytes % 8 || fields_bytes > TAPIO_EVENT_FIELDS_MAX)
		return b->error;
	b->error = builder_begin(b, buffer, capacity, type, fields_bytes);
	if (!b->error)
		memset(b->fields, 0, fields_bytes);
	return b->error;
}

/* Room that is left for strings. */
static uint32_t builder_room(const struct tapio_event_builder *b)
{
	return b->strings_room - b->strings_bytes;
}

static void builder_append(struct tapio_event_builder *b, const void *data,
			   size_t length)
{
	if (length)
		memcpy(b->strings + b->strings_bytes, data, length);
	b->strings_bytes += (uint32_t)length;
}

static void builder_store(struct tapio_event_builder *b,
			  struct tapio_event_string *field, const char *string,
			  size_t length)
{
	field->offset = (uint16_t)b->strings_bytes;
	field->length = (uint16_t)length;
	builder_append(b, string, length);
}

int tapio_event_builder_string(struct tapio_event_builder *b,
			       struct tapio_event_string *field,
			       const char *string, size_t length)
{
	if (!b->error && length > builder_room(b))
		b->error = -EMSGSIZE;
	if (!b->error)
		builder_store(b, field, string, length);
	return b->error;
}

/*
 * The largest length not above `max` at which a longer string can be cut without
 * cutting a character of UTF-8. Bytes that are not UTF-8 are cut anywhere.
 */
static size_t cut_length(const char *string, size_t max)
{
	for (size_t n = max; max - n <= 3; n--) {
		if (((unsigned char)string[n] & 0xc0) != 0x80)
			return n;
		if (!n)
			break;
	}
	return max;
}

int tapio_event_builder_string_max(struct tapio_event_builder *b,
				   struct tapio_event_string *field,
				   const char *string, size_t length,
				   size_t max)
{
	if (b->error)
		return b->error;
	if (max > builder_room(b))
		max = builder_room(b);
	if (length > max) {
		length = cut_length(string, max);
		b->event->flags |= TAPIO_EVENT_TRUNCATED;
	}
	builder_store(b, field, string, length);
	return (int)length;
}

int tapio_event_builder_attribute(struct tapio_event_builder *b,
				  struct tapio_event_string *field,
				  const char *key, size_t key_length,
				  const char *value, size_t value_length)
{
	const struct tapio_event_string old = *field;
	const uint32_t at = old.length ? old.offset : b->strings_bytes;
	const uint16_t lengths[2] = {(uint16_t)key_length,
				     (uint16_t)value_length};
	const size_t room = builder_room(b);

	if (b->error)
		return b->error;
	if (at + old.length != b->strings_bytes)
		b->error = -EINVAL;
	else if (room < sizeof(lengths) ||
		 key_length > room - sizeof(lengths) ||
		 value_length > room - sizeof(lengths) - key_length)
		b->error = -EMSGSIZE;
	if (b->error)
		return b->error;
	builder_append(b, lengths, sizeof(lengths));
	builder_append(b, key, key_length);
	builder_append(b, value, value_length);
	field->offset = (uint16_t)at;
	field->length = (uint16_t)(b->strings_bytes - at);
	return 0;
}

int tapio_event_builder_attribute_max(struct tapio_event_builder *b,
				      struct tapio_event_string *field,
				      const char *key, size_t key_length,
				      const char *value, size_t value_length)
{
	const size_t lengths = 2 * sizeof(uint16_t);
	size_t room = builder_room(b);

	if (b->error)
		return b->error;
	if (room < lengths || key_length > room - lengths) {
		b->event->flags |= TAPIO_EVENT_TRUNCATED;
		return 0;
	}
	room -= lengths + key_length;
	if (value_length > room) {
		value_length = cut_length(value, room);
		b->event->flags |= TAPIO_EVENT_TRUNCATED;
	}
	return tapio_event_builder_attribute(b, field, key, key_length, value,
					     value_length);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int tapio_event_builder_finish(struct tapio_event_builder *b)
{
	struct tapio_event *event = b->event;
	const uint32_t prefix = b->strings_bytes;
	uint32_t payload;

	if (b->error)
		return b->error;
	if (!event->observed_ns)
		event->observed_ns = now_ns();
	if (!event->time_ns)
		event->time_ns = event->observed_ns;
	memcpy(b->strings - sizeof(prefix), &prefix, sizeof(prefix));
	payload = b->fields_bytes + (uint32_t)sizeof(prefix) + prefix;
	event->magic = TAPIO_EVENT_MAGIC;
	event->version = TAPIO_EVENT_VERSION;
	event->type = b->type;
	event->header_bytes = sizeof(*event);
	event->fields_bytes = b->fields_bytes;
	event->payload_bytes = payload;
	event->reserved = 0;
	return (int)(sizeof(*event) + payload);
}

void tapio_event_ip4(struct tapio_event_ip *ip, const void *bytes)
{
	memset(ip, 0, sizeof(*ip));
	ip->family = 4;
	memcpy(ip->bytes, bytes, 4);
}

void tapio_event_ip6(struct tapio_event_ip *ip, const void *bytes)
{
	ip->family = 6;
	memcpy(ip->bytes, bytes, 16);
}
