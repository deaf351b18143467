/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed events: a built event reads back, a damaged one is refused with the
 * right error, and older and newer writers are understood.
 */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/event.h>

#include "tests/check_main.h"

static TAPIO_EVENT_ALIGNED char buffer[4096];
static struct tapio_event_builder builder;
static struct tapio_event_view view;

static void begin(uint16_t type)
{
	ck_assert_int_eq(tapio_event_builder_init(&builder, buffer,
						  sizeof(buffer), type),
			 0);
}

static size_t finish(void)
{
	const int length = tapio_event_builder_finish(&builder);

	ck_assert_int_gt(length, 0);
	return (size_t)length;
}

static void set_string(struct tapio_event_string *field, const char *s)
{
	ck_assert_int_eq(
		tapio_event_builder_string(&builder, field, s, strlen(s)), 0);
}

static void expect_string(const char *name, const char *expected)
{
	struct tapio_event_value value;

	ck_assert_int_eq(tapio_event_view_get(&view, name, &value), 1);
	ck_assert_uint_eq(value.length, strlen(expected));
	ck_assert_mem_eq(value.data, expected, value.length);
}

/* A process start with three strings. Returns its length. */
static size_t build_start(void)
{
	struct tapio_event_process_start *p;

	begin(TAPIO_EVENT_PROCESS_START);
	builder.event->time_ns = 1700000000123456789;
	builder.event->observed_ns = 1700000001000000000;
	builder.event->pid = 4242;
	builder.event->uid = 0;
	p = builder.fields;
	p->ppid = 1;
	set_string(&p->comm, "bash");
	set_string(&p->executable, "/usr/bin/bash");
	set_string(&p->command_line, "bash -c true");
	return finish();
}

START_TEST(what_is_built_reads_back)
{
	const size_t length = build_start();
	const struct tapio_event_process_start *p;
	struct tapio_event_value value;

	ck_assert_int_eq(tapio_event_view_init(&view, buffer, length), 0);
	ck_assert_uint_eq(view.header.pid, 4242);
	ck_assert_str_eq(view.type->name, "process.start");
	p = tapio_event_view_fields(&view, TAPIO_EVENT_PROCESS_START);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(p->ppid, 1);
	ck_assert_ptr_null(tapio_event_view_fields(&view, TAPIO_EVENT_LOG));
	expect_string("comm", "bash");
	expect_string("executable", "/usr/bin/bash");
	expect_string("command_line", "bash -c true");
	ck_assert_int_eq(tapio_event_view_get(&view, "pid", &value), 1);
	ck_assert_uint_eq(value.u64, 4242);
	ck_assert_int_eq(tapio_event_view_get(&view, "uid", &value), 1);
	ck_assert_uint_eq(value.u64, 0);
	ck_assert_int_eq(tapio_event_view_get(&view, "type", &value), 1);
	ck_assert_str_eq(value.name, "process.start");
	ck_assert_int_eq(tapio_event_view_get(&view, "no_such", &value),
			 -ENOENT);
}
END_TEST

START_TEST(a_field_that_was_not_set_reads_as_unset)
{
	const struct tapio_event_type *type = tapio_event_type_at((unsigned)_i);
	const struct tapio_event_field *field;
	struct tapio_event_value value;

	begin(type->type);
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, finish()), 0);
	for (unsigned i = 0; (field = tapio_event_field_at(type, i)); i++)
		ck_assert_int_eq(tapio_event_view_value(&view, field, &value),
				 field->unset == TAPIO_UNSET_NEVER);
}
END_TEST

START_TEST(an_event_without_a_time_gets_one)
{
	begin(TAPIO_EVENT_LOG);
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, finish()), 0);
	ck_assert_uint_ne(view.header.time_ns, 0);
	ck_assert_uint_eq(view.header.time_ns, view.header.observed_ns);
}
END_TEST

START_TEST(a_buffer_that_is_too_small_or_crooked_is_refused)
{
	const size_t least =
		sizeof(struct tapio_event) + sizeof(struct tapio_event_log) + 4;

	for (size_t n = 0; n < least; n++)
		ck_assert_int_eq(tapio_event_builder_init(&builder, buffer, n,
							  TAPIO_EVENT_LOG),
				 -EMSGSIZE);
	ck_assert_int_eq(tapio_event_builder_finish(&builder), -EMSGSIZE);
	ck_assert_int_eq(tapio_event_builder_init(&builder, buffer, least,
						  TAPIO_EVENT_LOG),
			 0);
	ck_assert_int_eq(tapio_event_builder_finish(&builder), (int)least);
	ck_assert_int_eq(tapio_event_builder_init(&builder, buffer + 4, 1024,
						  TAPIO_EVENT_LOG),
			 -EINVAL);
	ck_assert_int_eq(tapio_event_builder_init(&builder, buffer, 1024, 999),
			 -EINVAL);
	ck_assert_int_eq(tapio_event_builder_init(&builder, buffer, 1024, 0),
			 -EINVAL);
}
END_TEST

START_TEST(a_string_without_room_makes_the_event_fail)
{
	const size_t fixed =
		sizeof(struct tapio_event) + sizeof(struct tapio_event_log) + 4;
	struct tapio_event_log *log;

	ck_assert_int_eq(tapio_event_builder_init(&builder, buffer, fixed + 5,
						  TAPIO_EVENT_LOG),
			 0);
	log = builder.fields;
	ck_assert_int_eq(
		tapio_event_builder_string(&builder, &log->body, "12345", 5),
		0);
	ck_assert_int_eq(
		tapio_event_builder_string(&builder, &log->unit, "6", 1),
		-EMSGSIZE);
	ck_assert_uint_eq(log->unit.length, 0);
	ck_assert_int_eq(tapio_event_builder_finish(&builder), -EMSGSIZE);
}
END_TEST

/* "a", "ä", "€", U+1F600: one to four bytes. */
static const char mixed[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";

START_TEST(a_long_string_is_cut_between_characters_and_says_so)
{
	static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
	struct tapio_event_log *log;
	const size_t max = (size_t)_i;

	begin(TAPIO_EVENT_LOG);
	log = builder.fields;
	ck_assert_int_eq(tapio_event_builder_string_max(&builder, &log->body,
							mixed, 10, max),
			 (int)whole[max]);
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, finish()), 0);
	ck_assert_int_eq(!!(view.header.flags & TAPIO_EVENT_TRUNCATED),
			 max < 10);
}
END_TEST

START_TEST(a_string_is_cut_to_the_room_that_is_left)
{
	struct tapio_event_log *log;
	static char big[70000];

	memset(big, 'x', sizeof(big));
	begin(TAPIO_EVENT_LOG);
	log = builder.fields;
	ck_assert_int_eq(tapio_event_builder_string_max(&builder, &log->body,
							big, sizeof(big),
							sizeof(big)),
			 (int)(sizeof(buffer) - 96 - sizeof(*log) - 4));
	ck_assert_uint_eq(finish(), sizeof(buffer));
}
END_TEST

/* Of an event with room for so many bytes of strings. */
static int attribute_in_room(size_t room)
{
	struct tapio_event_log *log;

	ck_assert_int_eq(tapio_event_builder_init(&builder, buffer,
						  sizeof(struct tapio_event) +
							  sizeof(*log) + 4 +
							  room,
						  TAPIO_EVENT_LOG),
			 0);
	log = builder.fields;
	ck_assert_int_eq(tapio_event_builder_attribute_max(&builder,
							   &log->attributes,
							   "key", 3, mixed, 10),
			 0);
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, finish()), 0);
	log = builder.fields;
	return log->attributes.length;
}

START_TEST(an_attribute_is_cut_between_characters_or_left_out_and_says_so)
{
	static const int stored[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
	const int key = 4 + 3; /* with the lengths of both */

	for (int room = 0; room < key; room++) {
		ck_assert_int_eq(attribute_in_room((size_t)room), 0);
		ck_assert(view.header.flags & TAPIO_EVENT_TRUNCATED);
	}
	for (int room = 0; room <= 10; room++) {
		ck_assert_int_eq(attribute_in_room((size_t)(key + room)),
				 key + stored[room]);
		ck_assert_int_eq(!!(view.header.flags & TAPIO_EVENT_TRUNCATED),
				 room < 10);
	}
}
END_TEST

START_TEST(strings_end_at_the_reach_of_their_offsets)
{
	const size_t size = 200000;
	char *big = aligned_alloc(8, size);
	struct tapio_event_log *log;

	ck_assert_int_eq(
		tapio_event_builder_init(&builder, big, size, TAPIO_EVENT_LOG),
		0);
	log = builder.fields;
	memset(big + 100000, 'x', 100000);
	ck_assert_int_eq(tapio_event_builder_string(&builder, &log->body,
						    big + 100000, 65536),
			 -EMSGSIZE);
	ck_assert_int_eq(
		tapio_event_builder_init(&builder, big, size, TAPIO_EVENT_LOG),
		0);
	ck_assert_int_eq(tapio_event_builder_string(&builder, &log->body,
						    big + 100000, 65535),
			 0);
	ck_assert_int_eq(tapio_event_view_init(
				 &view, big,
				 (size_t)tapio_event_builder_finish(&builder)),
			 0);
	free(big);
}
END_TEST

static void attribute(struct tapio_event_string *field, const char *key,
		      const char *value, int expected)
{
	ck_assert_int_eq(tapio_event_builder_attribute(&builder, field, key,
						       strlen(key), value,
						       strlen(value)),
			 expected);
}

START_TEST(attributes_read_back_in_order)
{
	struct tapio_event_value all, key, value;
	struct tapio_event_log *log;
	uint32_t at = 0;

	begin(TAPIO_EVENT_LOG);
	log = builder.fields;
	set_string(&log->body, "text");
	attribute(&log->attributes, "first", "1", 0);
	attribute(&log->attributes, "", "", 0);
	attribute(&log->attributes, "third", "three", 0);
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, finish()), 0);
	ck_assert_int_eq(tapio_event_view_get(&view, "attributes", &all), 1);
	ck_assert_int_eq(tapio_event_attribute_next(&all, &at, &key, &value),
			 1);
	ck_assert_mem_eq(key.data, "first", key.length);
	ck_assert_mem_eq(value.data, "1", value.length);
	ck_assert_int_eq(tapio_event_attribute_next(&all, &at, &key, &value),
			 1);
	ck_assert_uint_eq(key.length + value.length, 0);
	ck_assert_int_eq(tapio_event_attribute_next(&all, &at, &key, &value),
			 1);
	ck_assert_mem_eq(key.data, "third", key.length);
	ck_assert_mem_eq(value.data, "three", value.length);
	ck_assert_int_eq(tapio_event_attribute_next(&all, &at, &key, &value),
			 0);
}
END_TEST

START_TEST(attributes_that_are_interrupted_are_refused)
{
	struct tapio_event_log *log;

	begin(TAPIO_EVENT_LOG);
	log = builder.fields;
	attribute(&log->attributes, "a", "1", 0);
	set_string(&log->body, "text");
	attribute(&log->attributes, "b", "2", -EINVAL);
	ck_assert_int_eq(tapio_event_builder_finish(&builder), -EINVAL);
}
END_TEST

START_TEST(attributes_with_impossible_lengths_end_with_an_error)
{
	struct tapio_event_value all, key, value;
	struct tapio_event_log *log;
	const uint16_t lie = 2;
	uint32_t at = 0;

	begin(TAPIO_EVENT_LOG);
	log = builder.fields;
	attribute(&log->attributes, "k", "v", 0);
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, finish()), 0);
	ck_assert_int_eq(tapio_event_view_get(&view, "attributes", &all), 1);
	memcpy((char *)(uintptr_t)all.data, &lie, sizeof(lie));
	ck_assert_int_eq(tapio_event_attribute_next(&all, &at, &key, &value),
			 -EBADMSG);
	all.length = 3;
	ck_assert_int_eq(tapio_event_attribute_next(&all, &at, &key, &value),
			 -EBADMSG);
}
END_TEST

START_TEST(every_shorter_event_is_refused)
{
	const size_t length = build_start();
	char *copy;

	for (size_t n = 0; n < length; n++) {
		/* Of its exact length, so that a sanitizer sees a byte more. */
		copy = malloc(n ? n : 1);
		memcpy(copy, buffer, n);
		ck_assert_int_eq(tapio_event_view_init(&view, copy, n),
				 -EMSGSIZE);
		free(copy);
	}
	ck_assert_int_eq(tapio_event_view_init(&view, NULL, length), -EINVAL);
}
END_TEST

/* A header or payload word with a value, and what a reader says to it. */
static const struct damage {
	size_t offset;
	size_t bytes;
	uint64_t value;
	int error;
} damages[] = {
	{offsetof(struct tapio_event, magic), 2, 0, -EBADMSG},
	{offsetof(struct tapio_event, version), 1, 2, -EPROTONOSUPPORT},
	{offsetof(struct tapio_event, version), 1, 0, -EPROTONOSUPPORT},
	{offsetof(struct tapio_event, severity), 1, 16, -EBADMSG},
	{offsetof(struct tapio_event, type), 2, 0, -EBADMSG},
	{offsetof(struct tapio_event, header_bytes), 2, 88, -EBADMSG},
	{offsetof(struct tapio_event, header_bytes), 2, 97, -EBADMSG},
	{offsetof(struct tapio_event, header_bytes), 2, 65528, -EMSGSIZE},
	{offsetof(struct tapio_event, fields_bytes), 2, 65, -EBADMSG},
	{offsetof(struct tapio_event, fields_bytes), 2, 65528, -EBADMSG},
	{offsetof(struct tapio_event, payload_bytes), 4, 64 + 1, -EBADMSG},
	{offsetof(struct tapio_event, payload_bytes), 4, 64 + 3, -EBADMSG},
	{offsetof(struct tapio_event, payload_bytes), 4, 63, -EBADMSG},
	{offsetof(struct tapio_event, payload_bytes), 4, UINT32_MAX, -EMSGSIZE},
	/* the length of the string area: one more than there is */
	{96 + 64, 4, 4 + 13 + 12 + 1, -EBADMSG},
	{96 + 64, 4, UINT32_MAX, -EBADMSG},
	/* comm: its end, its offset */
	{96 + 32 + 2, 2, 4 + 13 + 12 + 1, -EBADMSG},
	{96 + 32, 2, 4 + 13 + 12 - 3, -EBADMSG},
	{96 + 32, 2, 65535, -EBADMSG},
	/* allowed */
	{offsetof(struct tapio_event, severity), 1, 15, 0},
	{offsetof(struct tapio_event, flags), 2, 65535, 0},
	{offsetof(struct tapio_event, reserved), 4, 1, 0},
	{96 + 32, 2, 4 + 13 + 12 - 4, 0},
};

START_TEST(a_damaged_event_is_refused_with_the_right_error)
{
	const struct damage *d = &damages[_i];
	const size_t length = build_start();
	char *copy = malloc(length);

	memcpy(copy, buffer, length);
	memcpy(copy + d->offset, &d->value, d->bytes);
	ck_assert_int_eq(tapio_event_view_init(&view, copy, length), d->error);
	free(copy);
}
END_TEST

START_TEST(an_address_of_no_family_is_refused)
{
	struct tapio_event_network_connection *c;
	struct tapio_event_value value;
	size_t length;

	begin(TAPIO_EVENT_NETWORK_CONNECTION);
	c = builder.fields;
	tapio_event_ip4(&c->local, "\x7f\0\0\1");
	length = finish();
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, length), 0);
	ck_assert_int_eq(tapio_event_view_get(&view, "local", &value), 1);
	ck_assert_uint_eq(value.ip.family, 4);
	ck_assert_mem_eq(value.ip.bytes, "\x7f\0\0\1", 4);
	ck_assert_int_eq(tapio_event_view_get(&view, "peer", &value), 0);
	c->peer.family = 5;
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, length),
			 -EBADMSG);
}
END_TEST

/* Inserts `bytes` zero bytes at `at` and says so in a length of the header. */
static size_t widen(size_t length, size_t at, size_t bytes, uint16_t *header,
		    bool in_payload)
{
	struct tapio_event *e = (void *)buffer;

	memmove(buffer + at + bytes, buffer + at, length - at);
	memset(buffer + at, 0x5a, bytes);
	*header = (uint16_t)(*header + bytes);
	if (in_payload)
		e->payload_bytes += (uint32_t)bytes;
	return length + bytes;
}

START_TEST(an_event_of_a_newer_writer_is_understood)
{
	struct tapio_event *e = (void *)buffer;
	size_t length = build_start();

	length = widen(length, 96 + 56, 16, &e->fields_bytes, true);
	length = widen(length, 96, 8, &e->header_bytes, false);
	memset(buffer + length, 0x5a, 24); /* behind the string area */
	e->payload_bytes += 24;
	length += 24;
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, length), 0);
	expect_string("comm", "bash");
	expect_string("command_line", "bash -c true");
}
END_TEST

START_TEST(more_fields_than_a_view_holds_do_not_leave_it)
{
	struct tapio_event *e = (void *)buffer;
	struct {
		struct tapio_event_view view;
		unsigned char guard[1024];
	} guarded;
	size_t length = build_start();

	length = widen(length, 96 + 56, 1024, &e->fields_bytes, true);
	e->type = (uint16_t)_i;
	memset(&guarded, 0x77, sizeof(guarded));
	ck_assert_int_eq(tapio_event_view_init(&guarded.view, buffer, length),
			 0);
	for (size_t i = 0; i < sizeof(guarded.guard); i++)
		ck_assert_uint_eq(guarded.guard[i], 0x77);
}
END_TEST

START_TEST(what_an_older_writer_did_not_know_is_unset)
{
	struct tapio_event *e = (void *)buffer;
	size_t length = build_start();
	struct tapio_event_value value;

	/* Its struct ended before command_line. */
	memmove(buffer + 96 + 40, buffer + 96 + 56, length - 96 - 56);
	e->fields_bytes -= 16;
	e->payload_bytes -= 16;
	length -= 16;
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, length), 0);
	expect_string("executable", "/usr/bin/bash");
	ck_assert_int_eq(tapio_event_view_get(&view, "command_line", &value),
			 0);
	ck_assert_int_eq(tapio_event_view_get(&view, "cgroup", &value), 0);
}
END_TEST

START_TEST(a_number_that_an_older_writer_did_not_know_is_unset)
{
	struct tapio_event *e = (void *)buffer;
	struct tapio_event_process_sample *s;
	struct tapio_event_value value;

	begin(TAPIO_EVENT_PROCESS_SAMPLE);
	s = builder.fields;
	s->start_ticks = 7;
	s->rss_bytes = 4096;
	finish();
	e->fields_bytes = 8;
	e->payload_bytes = 8;
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, 96 + 8), 0);
	ck_assert_int_eq(tapio_event_view_get(&view, "start_ticks", &value), 1);
	ck_assert_uint_eq(value.u64, 7);
	ck_assert_int_eq(tapio_event_view_get(&view, "rss_bytes", &value), 0);
	ck_assert_int_eq(tapio_event_view_get(&view, "cpu_utilization", &value),
			 0);
}
END_TEST

START_TEST(an_applications_own_event_keeps_its_fields)
{
	const uint64_t own[2] = {1, UINT64_MAX};
	const uint64_t *fields;

	ck_assert_int_eq(tapio_event_builder_init_custom(&builder, buffer,
							 sizeof(buffer), 2000,
							 sizeof(own)),
			 0);
	memcpy(builder.fields, own, sizeof(own));
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, finish()), 0);
	ck_assert_ptr_null(view.type);
	fields = tapio_event_view_fields(&view, 2000);
	ck_assert_mem_eq(fields, own, sizeof(own));
	ck_assert_int_eq(tapio_event_builder_init_custom(
				 &builder, buffer, sizeof(buffer), 2000, 264),
			 -EINVAL);
	ck_assert_int_eq(tapio_event_builder_init_custom(&builder, buffer,
							 sizeof(buffer),
							 TAPIO_EVENT_LOG, 16),
			 -EINVAL);
}
END_TEST

START_TEST(a_view_of_another_type_than_its_descriptor_is_bytes)
{
	struct tapio_view v = {.data = buffer,
			       .length = (uint32_t)build_start(),
			       .type = TAPIO_EVENT_PROCESS_START,
			       .severity = TAPIO_SEVERITY_INFO,
			       .lane = 3,
			       .position = 77};

	ck_assert_int_eq(tapio_event_view_open(&view, &v), 0);
	ck_assert_uint_eq(view.lane, 3);
	ck_assert_uint_eq(view.position, 77);
	ck_assert_uint_eq(view.flags, TAPIO_EVENT_VIEW_ID);
	v.type = TAPIO_EVENT_LOG;
	ck_assert_int_eq(tapio_event_view_open(&view, &v), -EBADMSG);
	ck_assert_uint_eq(view.flags,
			  TAPIO_EVENT_VIEW_ID | TAPIO_EVENT_VIEW_OPAQUE);
	ck_assert_ptr_null(tapio_event_view_fields(&view, TAPIO_EVENT_LOG));
	ck_assert_uint_eq(view.length, v.length);
}
END_TEST

START_TEST(a_string_is_copied_as_snprintf_would)
{
	const struct tapio_event_process_start *p;
	struct tapio_event_string lie = {.offset = 20, .length = 10};
	char copy[8];

	ck_assert_int_eq(tapio_event_view_init(&view, buffer, build_start()),
			 0);
	p = tapio_event_view_fields(&view, TAPIO_EVENT_PROCESS_START);
	ck_assert_uint_eq(
		tapio_event_view_string(&view, &p->comm, copy, sizeof(copy)),
		4);
	ck_assert_str_eq(copy, "bash");
	ck_assert_uint_eq(tapio_event_view_string(&view, &p->executable, copy,
						  sizeof(copy)),
			  13);
	ck_assert_str_eq(copy, "/usr/bi");
	ck_assert_uint_eq(tapio_event_view_string(&view, &p->comm, NULL, 0), 4);
	ck_assert_uint_eq(tapio_event_view_string(&view, &lie, copy, 8), 0);
	ck_assert_str_eq(copy, "");
}
END_TEST

static unsigned count_types(void)
{
	unsigned n = 0;

	while (tapio_event_type_at(n))
		n++;
	return n;
}

int main(void)
{
	TCase *t = tcase_create("event");

	tcase_add_test(t, what_is_built_reads_back);
	tcase_add_loop_test(t, a_field_that_was_not_set_reads_as_unset, 0,
			    (int)count_types());
	tcase_add_test(t, an_event_without_a_time_gets_one);
	tcase_add_test(t, a_buffer_that_is_too_small_or_crooked_is_refused);
	tcase_add_test(t, a_string_without_room_makes_the_event_fail);
	tcase_add_loop_test(
		t, a_long_string_is_cut_between_characters_and_says_so, 0, 11);
	tcase_add_test(t, a_string_is_cut_to_the_room_that_is_left);
	tcase_add_test(
		t,
		an_attribute_is_cut_between_characters_or_left_out_and_says_so);
	tcase_add_test(t, strings_end_at_the_reach_of_their_offsets);
	tcase_add_test(t, attributes_read_back_in_order);
	tcase_add_test(t, attributes_that_are_interrupted_are_refused);
	tcase_add_test(t, attributes_with_impossible_lengths_end_with_an_error);
	tcase_add_test(t, every_shorter_event_is_refused);
	tcase_add_loop_test(t, a_damaged_event_is_refused_with_the_right_error,
			    0, (int)(sizeof(damages) / sizeof(damages[0])));
	tcase_add_test(t, an_address_of_no_family_is_refused);
	tcase_add_test(t, an_event_of_a_newer_writer_is_understood);
	tcase_add_loop_test(t, more_fields_than_a_view_holds_do_not_leave_it,
			    TAPIO_EVENT_PROCESS_START,
			    TAPIO_EVENT_PROCESS_EXIT);
	tcase_add_loop_test(t, more_fields_than_a_view_holds_do_not_leave_it,
			    2000, 2001);
	tcase_add_test(t, what_an_older_writer_did_not_know_is_unset);
	tcase_add_test(t, a_number_that_an_older_writer_did_not_know_is_unset);
	tcase_add_test(t, an_applications_own_event_keeps_its_fields);
	tcase_add_test(t, a_view_of_another_type_than_its_descriptor_is_bytes);
	tcase_add_test(t, a_string_is_copied_as_snprintf_would);
	return check_run_case("event", t);
}
