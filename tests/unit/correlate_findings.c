/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Findings as events in blocks of each size, and the outbox, also from bytes that are none: no
 * event is cut in the middle, names of events come before copies, and no lie about a length is
 * believed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check_main.h"
#include "tools/correlate/findings.h"

#define EVENTS 6
#define ROOM   16384

static struct tpi_corr *corr;
static struct tpi_corr_evidence evidence[EVENTS];
static struct tpi_corr_finding finding;
static TAPIO_EVENT_ALIGNED unsigned char copies[EVENTS][512];
static TAPIO_EVENT_ALIGNED unsigned char built[ROOM];

static uint32_t make_copy(unsigned int i)
{
	struct tapio_event_builder b;
	struct tapio_event_log *log;
	int length;

	ck_assert_int_eq(tapio_event_builder_init(&b, copies[i],
						  sizeof(copies[i]),
						  TAPIO_EVENT_LOG),
			 0);
	log = b.fields;
	b.event->pid = i % 2 ? 7 : 8;
	b.event->cgroup_id = 11;
	b.event->time_ns = 1000 + i;
	tapio_event_builder_string(&b, &log->container_id, "abcdef", 6);
	tapio_event_builder_string(&b, &log->body, "a \"text\"", 8);
	length = tapio_event_builder_finish(&b);
	ck_assert_int_gt(length, 0);
	return (uint32_t)length;
}

static void set_up(void)
{
	static const char text[] =
		"rule r { a: type == log count(a) >= 1 within 5s }";
	const struct tpi_corr_options options = {0};
	const struct tpi_corr_source source = {"events", "0123456789abcdef"};
	static struct tpi_rules_errors errors;
	struct tpi_rules *rules;

	ck_assert_int_eq(tpi_rules_parse("test", text, sizeof(text) - 1, &rules,
					 &errors),
			 0);
	ck_assert_int_eq(tpi_corr_new(&corr, rules, &options), 0);
	ck_assert_int_eq(tpi_corr_source(corr, &source), 0);
	for (unsigned int i = 0; i < EVENTS; i++)
		evidence[i] = (struct tpi_corr_evidence){
			.place = {.position = 100 + i, .lane = 3},
			.time_ns = 1000 + i,
			.data = copies[i],
			.length = make_copy(i),
		};
	finding = (struct tpi_corr_finding){
		.id = {1, 2},
		.rule = "r",
		.say = "a text that is as long as texts for people are, or a "
		       "bit longer",
		.key = "identifier=\"k\"",
		.time_ns = 2000,
		.first_ns = 1000,
		.last_ns = 1005,
		.count = EVENTS,
		.severity = TAPIO_SEVERITY_ERROR,
		.verdict = TPI_CORR_TRUE,
		.evidence_count = EVENTS,
		.evidence = evidence,
	};
}

static void tear_down(void)
{
	tpi_corr_free(corr);
}

/* ---- building ------------------------------------------------------------------------ */

struct seen {
	struct tapio_event_view view;
	const struct tapio_event_finding *fields;
	unsigned int names;
	unsigned int with_copy;
};

/* Each name in its order, and each copy whole. */
static void look(struct seen *s, int length)
{
	struct tapio_event_value value, name, copy;
	uint32_t at = 0;

	*s = (struct seen){0};
	ck_assert_int_eq(tapio_event_view_init(&s->view, built, (size_t)length),
			 0);
	s->fields = tapio_event_view_fields(&s->view, TAPIO_EVENT_FINDING);
	ck_assert_ptr_nonnull(s->fields);
	if (tapio_event_view_get(&s->view, "evidence", &value) != 1)
		return;
	while (tapio_event_attribute_next(&value, &at, &name, &copy) == 1) {
		char wanted[64];

		snprintf(wanted, sizeof(wanted), "0123456789abcdef/events/3/%u",
			 100 + s->names);
		ck_assert_uint_eq(name.length, strlen(wanted));
		ck_assert_mem_eq(name.data, wanted, name.length);
		if (copy.length) {
			ck_assert_int_eq(copy.data[0], '{');
			ck_assert_int_eq(copy.data[copy.length - 1], '}');
			s->with_copy++;
		}
		s->names++;
	}
}

START_TEST(with_room_it_has_all)
{
	struct seen s;

	look(&s, tpi_finding_build(built, ROOM, corr, &finding, 3000));
	ck_assert_uint_eq(s.names, EVENTS);
	ck_assert_uint_eq(s.with_copy, EVENTS);
	ck_assert_uint_eq(s.view.header.flags & TAPIO_EVENT_TRUNCATED, 0);
	ck_assert_uint_eq(s.view.header.severity, TAPIO_SEVERITY_ERROR);
	ck_assert_uint_eq(s.view.header.time_ns, 2000);
	ck_assert_uint_eq(s.view.header.observed_ns, 3000);
	ck_assert_uint_eq(s.view.header.cgroup_id, 11);
	ck_assert_uint_eq(s.view.header.pid, 0); /* they have different ones */
	ck_assert_uint_eq(s.fields->events, EVENTS);
	ck_assert_uint_eq(s.fields->window_ns, UINT64_C(5000000000));
	ck_assert_uint_eq(s.fields->operation, TAPIO_FINDING_COUNT);
	ck_assert_uint_eq(s.fields->verdict, TAPIO_VERDICT_TRUE);
	ck_assert_uint_eq(s.fields->finding_id[7], 1);
	ck_assert_uint_eq(s.fields->finding_id[15], 2);
	ck_assert_uint_eq(s.fields->container_id.length, 6);
}
END_TEST

START_TEST(evidence_without_a_copy_is_not_truncated)
{
	struct seen s;

	/* As of a count, which keeps a copy of the last event alone. */
	for (unsigned int i = 0; i + 1 < EVENTS; i++)
		evidence[i].data = NULL;
	look(&s, tpi_finding_build(built, ROOM, corr, &finding, 3000));
	ck_assert_uint_eq(s.names, EVENTS);
	ck_assert_uint_eq(s.with_copy, 1);
	ck_assert_uint_eq(s.view.header.flags & TAPIO_EVENT_TRUNCATED, 0);
}
END_TEST

START_TEST(in_blocks_of_each_size_it_is_an_event)
{
	const size_t least = sizeof(struct tapio_event) +
			     sizeof(struct tapio_event_finding) +
			     sizeof(uint32_t);
	unsigned int names = 0;
	struct seen s;

	for (size_t bytes = 0; bytes < 3000; bytes++) {
		int length = tpi_finding_build(built, bytes, corr, &finding, 1);

		if (length < 0) {
			ck_assert_int_eq(length, -EMSGSIZE);
			ck_assert_uint_lt(bytes, least);
			continue;
		}
		ck_assert_uint_ge(bytes, least);
		ck_assert_int_le(length, (int)bytes);
		look(&s, length);
		/* Names before copies; and what is missing is flagged. */
		ck_assert(!s.with_copy || s.names == EVENTS);
		ck_assert_uint_eq(
			!!(s.view.header.flags & TAPIO_EVENT_TRUNCATED),
			s.with_copy < EVENTS);
		ck_assert_uint_eq(s.fields->events, EVENTS);
		if (s.names > names)
			names = s.names;
	}
	ck_assert_uint_eq(names, EVENTS);
	ck_assert_uint_eq(s.with_copy, EVENTS);
}
END_TEST

START_TEST(evidence_without_copies_has_names)
{
	struct seen s;

	for (unsigned int i = 0; i < EVENTS; i++)
		evidence[i].data = NULL;
	look(&s, tpi_finding_build(built, ROOM, corr, &finding, 1));
	ck_assert_uint_eq(s.names, EVENTS);
	ck_assert_uint_eq(s.with_copy, 0);
	ck_assert_uint_eq(s.fields->container_id.length, 0);
}
END_TEST

/* ---- the outbox ------------------------------------------------------------------------ */

static uint32_t add(struct tpi_outbox *box, uint64_t id)
{
	int length;

	finding.id[1] = id;
	length = tpi_finding_build(built, 200 + id * 40, corr, &finding, 1);
	ck_assert_int_gt(length, 0);
	ck_assert_int_eq(tpi_outbox_add(box, built, (size_t)length), 0);
	return (uint32_t)length;
}

static uint64_t next_id(const struct tpi_outbox *box)
{
	struct tapio_event_view v;
	const struct tapio_event_finding *f;
	uint32_t length;
	const void *event = tpi_outbox_next(box, &length);

	if (!event)
		return 0;
	ck_assert_uint_eq((uintptr_t)event % 8, 0);
	ck_assert_int_eq(tapio_event_view_init(&v, event, length), 0);
	f = tapio_event_view_fields(&v, TAPIO_EVENT_FINDING);
	return f->finding_id[15];
}

START_TEST(they_come_in_their_order_also_from_a_copy)
{
	struct tpi_outbox box = {0}, other = {0};

	for (uint64_t id = 1; id <= 20; id++)
		add(&box, id);
	for (uint32_t emitted = 0; emitted <= 20; emitted++) {
		ck_assert_int_eq(
			tpi_outbox_load(&other, box.data, box.used, emitted),
			0);
		for (uint64_t id = emitted + 1; id <= 20; id++) {
			ck_assert_uint_eq(next_id(&other), id);
			tpi_outbox_pass(&other);
		}
		ck_assert_uint_eq(next_id(&other), 0);
	}
	tpi_outbox_clear(&box);
	ck_assert_uint_eq(next_id(&box), 0);
	add(&box, 5);
	ck_assert_uint_eq(next_id(&box), 5);
	tpi_outbox_free(&box);
	tpi_outbox_free(&other);
}
END_TEST

START_TEST(bytes_that_are_no_outbox_are_refused)
{
	struct tpi_outbox box = {0}, other = {0};
	unsigned char *data;

	add(&box, 1);
	add(&box, 2);
	ck_assert_int_eq(tpi_outbox_load(&other, box.data, box.used, 3),
			 -EBADMSG);
	ck_assert_int_eq(tpi_outbox_load(&other, NULL, 0, 1), -EBADMSG);
	ck_assert_int_eq(tpi_outbox_load(&other, NULL, 0, 0), 0);
	data = malloc(box.used);
	for (size_t length = 1; length < box.used; length++) {
		/* Of exactly that length, for AddressSanitizer. */
		unsigned char *cut = malloc(length);
		int err;

		memcpy(cut, box.data, length);
		err = tpi_outbox_load(&other, cut, length, 0);
		free(cut);
		if (!err)
			ck_assert_uint_eq(other.count, 1);
	}
	/* Each byte of the first entry, changed: taken as it is, or refused. */
	for (size_t i = 0; i < 100; i++) {
		memcpy(data, box.data, box.used);
		data[i] ^= 0xff;
		if (!tpi_outbox_load(&other, data, box.used, 0))
			for (uint32_t n = 0; n < other.count; n++)
				tpi_outbox_pass(&other);
	}
	free(data);
	tpi_outbox_free(&box);
	tpi_outbox_free(&other);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("findings");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, with_room_it_has_all);
	tcase_add_test(t, evidence_without_a_copy_is_not_truncated);
	tcase_add_test(t, in_blocks_of_each_size_it_is_an_event);
	tcase_add_test(t, evidence_without_copies_has_names);
	tcase_add_test(t, they_come_in_their_order_also_from_a_copy);
	tcase_add_test(t, bytes_that_are_no_outbox_are_refused);
	return check_run_case("correlate findings", t);
}
