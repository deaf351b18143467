/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input chooses a type, a capacity and every field. An event
 * that the builder accepts reads back the same. It writes nothing behind its
 * buffer, and it refuses only what does not fit.
 */
#include <errno.h>
#include <string.h>

#include "event_check.h"
#include "fuzz.h"

#define STRING_MAX 64
#define FIELDS_MAX 32

/* The choices: the input, then zeros. */
struct choices {
	const uint8_t *data;
	size_t size;
};

static uint8_t choose(struct choices *c)
{
	if (!c->size)
		return 0;
	c->size--;
	return *c->data++;
}

static void choose_bytes(struct choices *c, void *to, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((uint8_t *)to)[i] = choose(c);
}

/* The expected event: members as they were set, strings as stored. */
struct model {
	unsigned char fields[TAPIO_EVENT_FIELDS_MAX];
	struct {
		char data[2 * STRING_MAX + 4];
		size_t length;
	} strings[FIELDS_MAX];
	bool refused;
	bool cut;
};

static void set_string(struct choices *c, struct tapio_event_builder *b,
		       struct tapio_event_string *field, struct model *m,
		       unsigned index)
{
	const bool cut = choose(c) & 1;
	char data[STRING_MAX];
	size_t length = choose(c) % (STRING_MAX + 1);
	size_t max = choose(c);
	int got;

	choose_bytes(c, data, length);
	if (cut) {
		got = tapio_event_builder_string_max(b, field, data, length,
						     max);
		FUZZ_CHECK(got <= (int)length && got <= (int)max);
		m->cut |= got >= 0 && got < (int)length;
	} else {
		got = tapio_event_builder_string(b, field, data, length);
		FUZZ_CHECK(got == 0 || got == -EMSGSIZE);
		got = got ? got : (int)length;
	}
	m->refused |= got < 0;
	if (got <= 0)
		return;
	memcpy(m->strings[index].data, data, (size_t)got);
	m->strings[index].length = (size_t)got;
}

/* One attribute: the model keeps its key and value as one string. */
static void set_attribute(struct choices *c, struct tapio_event_builder *b,
			  struct tapio_event_string *field, struct model *m,
			  unsigned index)
{
	char data[2 * STRING_MAX];
	const uint16_t lengths[2] = {choose(c) % (STRING_MAX + 1),
				     choose(c) % (STRING_MAX + 1)};
	const size_t length = (size_t)lengths[0] + lengths[1];
	int err;

	choose_bytes(c, data, length);
	err = tapio_event_builder_attribute(b, field, data, lengths[0],
					    data + lengths[0], lengths[1]);
	FUZZ_CHECK(err == 0 || err == -EMSGSIZE);
	m->refused |= err != 0;
	if (err)
		return;
	memcpy(m->strings[index].data, lengths, sizeof(lengths));
	memcpy(m->strings[index].data + sizeof(lengths), data, length);
	m->strings[index].length = sizeof(lengths) + length;
}

static void set_field(struct choices *c, struct tapio_event_builder *b,
		      const struct tapio_event_field *field, struct model *m,
		      unsigned index)
{
	char *p = (char *)b->fields + field->offset;
	uint8_t address[16];

	switch (field->kind) {
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
		set_string(c, b, (void *)p, m, index);
		return;
	case TAPIO_FIELD_ATTRIBUTES:
		set_attribute(c, b, (void *)p, m, index);
		return;
	case TAPIO_FIELD_IP:
		choose_bytes(c, address, sizeof(address));
		if (address[0] & 1)
			tapio_event_ip4((void *)p, address);
		else
			tapio_event_ip6((void *)p, address);
		break;
	default:
		choose_bytes(c, p, field->bytes);
	}
	memcpy(m->fields + field->offset, p, field->bytes);
}

/* A view's field against the model. */
static void compare_field(const struct tapio_event_view *v,
			  const struct tapio_event_field *field,
			  const struct model *m, unsigned index)
{
	const char *p = (const char *)v->fields + field->offset;
	struct tapio_event_value value;
	const int set = tapio_event_view_value(v, field, &value);

	if (field->kind < TAPIO_FIELD_STRING) {
		FUZZ_CHECK(!memcmp(p, m->fields + field->offset, field->bytes));
		return;
	}
	FUZZ_CHECK(set == (m->strings[index].length != 0));
	FUZZ_CHECK(value.length == m->strings[index].length);
	FUZZ_CHECK(!set ||
		   !memcmp(value.data, m->strings[index].data, value.length));
}

static void compare(const void *data, size_t length,
		    const struct tapio_event_type *type, const struct model *m)
{
	const struct tapio_event_field *field;
	struct tapio_event_view v;

	FUZZ_CHECK(tapio_event_view_init(&v, data, length) == 0);
	FUZZ_CHECK(v.type == type);
	FUZZ_CHECK(m->cut == !!(v.header.flags & TAPIO_EVENT_TRUNCATED));
	for (unsigned i = 0; (field = tapio_event_field_at(type, i)); i++)
		compare_field(&v, field, m, i);
	check_view(&v, true);
}

static const struct tapio_event_type *choose_type(struct choices *c)
{
	const struct tapio_event_type *type;
	const unsigned n = choose(c);
	unsigned count = 0;

	while ((type = tapio_event_type_at(count)))
		count++;
	return tapio_event_type_at(n % count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choices c = {data, size};
	const struct tapio_event_type *type = choose_type(&c);
	const struct tapio_event_field *field;
	const size_t capacity = (size_t)choose(&c) * 8;
	struct tapio_event_builder b;
	struct model m = {.refused = false};
	char *buffer = malloc(capacity + !capacity);
	int length;

	length = tapio_event_builder_init(&b, buffer, capacity, type->type);
	FUZZ_CHECK((length == 0) ==
		   (capacity >=
		    sizeof(struct tapio_event) + type->fields_bytes + 4));
	if (!length) {
		memcpy(m.fields, b.fields, type->fields_bytes);
		for (unsigned i = 0; (field = tapio_event_field_at(type, i));
		     i++)
			if (choose(&c) & 1)
				set_field(&c, &b, field, &m, i);
		length = tapio_event_builder_finish(&b);
		FUZZ_CHECK((length < 0) == m.refused);
		if (length > 0)
			compare(buffer, (size_t)length, type, &m);
	}
	FUZZ_CHECK(length <= (int)capacity);
	free(buffer);
	return 0;
}
