/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings: an event of any type that was shown as JSON comes into the engine byte for byte as
 * it was, at its place and with its stamp. Any other line is refused with the reason.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tapio/event.h>

#include "tests/check_main.h"
#include "tools/correlate/replay.h"

static TAPIO_EVENT_ALIGNED char buffer[8192];
static struct tapio_event_builder b;
static struct tpi_corr *corr;
static char why[TPI_REPLAY_WHY_BYTES];

static struct {
	unsigned int count, unknown;
	char data[8192] __attribute__((aligned(8)));
	uint32_t length;
	struct tpi_corr_place place;
	uint64_t time_ns;
	uint8_t verdict;
} got;

static void on_finding(void *arg, const struct tpi_corr_finding *f)
{
	const struct tpi_corr_evidence *last =
		&f->evidence[f->evidence_count - 1];

	(void)arg;
	got.count++;
	got.unknown += f->verdict == TPI_CORR_UNKNOWN;
	got.length = last->length;
	ck_assert_uint_le(last->length, sizeof(got.data));
	if (last->data)
		memcpy(got.data, last->data, last->length);
	got.place = last->place;
	got.time_ns = last->time_ns;
	got.verdict = f->verdict;
}

static void begin(const char *text)
{
	const struct tpi_corr_options options = {.on_finding = on_finding};
	struct tpi_rules_errors errors;
	struct tpi_rules *rules;

	ck_assert_int_eq(
		tpi_rules_parse("r", text, strlen(text), &rules, &errors), 0);
	ck_assert_int_eq(tpi_corr_new(&corr, rules, &options), 0);
	memset(&got, 0, sizeof(got));
}

static void teardown(void)
{
	tpi_corr_free(corr);
	corr = NULL;
}

static void fill(const struct tapio_event_field *field, unsigned int i)
{
	char *at = (char *)b.fields + field->offset;
	const uint64_t number =
		field->name_count ? field->names[0].value : i + 1;
	const double real = i + 0.1;
	char text[64];

	snprintf(text, sizeof(text), "%s \"%u\"\n\xc3\xa9", field->name, i);
	switch (field->kind) {
	case TAPIO_FIELD_STRING:
		tapio_event_builder_string(&b, (void *)at, text, strlen(text));
		break;
	case TAPIO_FIELD_BYTES:
		tapio_event_builder_string(&b, (void *)at, "\x00\xff\x7f", 3);
		break;
	case TAPIO_FIELD_ATTRIBUTES:
		tapio_event_builder_attribute(&b, (void *)at, "key", 3, text,
					      strlen(text));
		tapio_event_builder_attribute(&b, (void *)at, "other", 5, "",
					      0);
		break;
	case TAPIO_FIELD_IP:
		if (i % 2)
			tapio_event_ip4((void *)at, "\x0a\x00\x00\x01");
		else
			tapio_event_ip6((void *)at, "0123456789abcdef");
		break;
	case TAPIO_FIELD_F64:
		memcpy(at, &real, sizeof(real));
		break;
	case TAPIO_FIELD_ID:
		memcpy(at, "0123456789abcdef", field->bytes);
		break;
	case TAPIO_FIELD_BOOL:
		*at = 1;
		break;
	default:
		memcpy(at, &number, field->bytes);
	}
}

static int build(const struct tapio_event_type *type)
{
	const struct tapio_event_field *field;

	ck_assert_int_eq(tapio_event_builder_init(&b, buffer, sizeof(buffer),
						  type->type),
			 0);
	b.event->time_ns = UINT64_C(1700000000123456789);
	b.event->observed_ns = UINT64_C(1700000000000000000);
	b.event->severity = TAPIO_SEVERITY_ALERT;
	b.event->source = TAPIO_SOURCE_EBPF;
	b.event->flags = TAPIO_EVENT_EXISTING | TAPIO_EVENT_TRACE_SAMPLED;
	b.event->pid = 3;
	b.event->uid = 0;
	b.event->cgroup_id = 99;
	memcpy(b.event->span_id, "01234567", 8);
	for (unsigned int i = 0; (field = tapio_event_field_at(type, i)); i++)
		fill(field, i);
	return tapio_event_builder_finish(&b);
}

static int replay(const char *line)
{
	uint64_t time_ns;

	return tpi_replay_line(corr, line, strlen(line), &time_ns, why);
}

START_TEST(an_event_of_any_type_comes_back_byte_for_byte)
{
	const struct tapio_event_type *type;
	struct tapio_event_view view;
	char json[16384], line[17000];

	for (unsigned int i = 0; (type = tapio_event_type_at(i)); i++) {
		int length = build(type);

		begin("rule r { k: has pid count(k) >= 1 within 1s }");
		ck_assert_int_gt(length, 0);
		ck_assert_int_eq(
			tapio_event_view_init(&view, buffer, (size_t)length),
			0);
		view.flags |= TAPIO_EVENT_VIEW_ID;
		view.lane = 5;
		view.position = 1000 + i;
		ck_assert_int_lt(
			tapio_event_format_json(json, sizeof(json), &view),
			(int)sizeof(json));
		snprintf(
			line, sizeof(line),
			"{\"channel\":\"events\",\"class\":1,\"stamp_ns\":17,%s",
			json + 1);
		ck_assert_msg(replay(line) == 1, "%s: %s", type->name, why);
		tpi_corr_time(corr, 17);
		ck_assert_uint_eq(got.count, 1);
		ck_assert_uint_eq(got.length, (uint32_t)length);
		ck_assert_mem_eq(got.data, buffer, (size_t)length);
		ck_assert_uint_eq(got.place.lane, 5);
		ck_assert_uint_eq(got.place.position, 1000 + i);
		ck_assert_uint_eq(got.time_ns, 17);
		teardown();
	}
}
END_TEST

#define EVENT(position, time)                                       \
	"{\"lane\":1,\"position\":" #position ",\"time_ns\":" #time \
	",\"severity\":\"info\",\"type\":\"dns\",\"pid\":1,\"question\":\"q\"}"

START_TEST(integers_of_64_bits_come_back)
{
	const struct tapio_event_file_access *f;

	begin("rule r { k: type == file.access count(k) >= 1 within 10ns }");
	ck_assert_msg(
		replay("{\"lane\":1,\"position\":1,\"time_ns\":5,\"type\":\"file.access\","
		       "\"path\":\"a\\\":18446744073709551615,\",\"inode\":18446744073709551614,"
		       "\"size_bytes\":9223372036854775808,\"pid\":7}") == 1,
		"%s", why);
	tpi_corr_time(corr, 5);
	ck_assert_uint_eq(got.count, 1);
	f = (const void *)((struct tapio_event *)got.data + 1);
	ck_assert_uint_eq(f->inode, UINT64_MAX - 1);
	ck_assert_uint_eq(f->size_bytes, UINT64_C(1) << 63);
	ck_assert_uint_eq(f->path.length, 24);
	ck_assert_int_eq(
		replay("{\"lane\":1,\"position\":2,\"time_ns\":5,\"type\":\"file.access\","
		       "\"inode\":18446744073709551616}"),
		-EINVAL);
}
END_TEST

START_TEST(without_a_stamp_the_time_is_the_events_own)
{
	begin("rule r { k: type == dns count(k) >= 2 within 10ns }");
	ck_assert_int_eq(replay(EVENT(1, 100)), 1);
	ck_assert_int_eq(replay(EVENT(2, 110)), 1);
	tpi_corr_time(corr, 110);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.time_ns, 110);
	ck_assert_uint_eq(((struct tapio_event *)got.data)->observed_ns, 110);
}
END_TEST

START_TEST(what_is_no_line_of_a_recording_is_refused_or_passed_over)
{
	static const struct {
		const char *line;
		int result;
		const char *why;
	} lines[] = {
		{"", -EINVAL, "no JSON object"},
		{"[1]", -EINVAL, "something else"},
		{"{\"type\":\"dns\"}", -EINVAL, "no time"},
		{"{\"type\":\"dns\",\"time_ns\":5}", -EINVAL, "no lane"},
		{"{\"type\":\"dns\",\"time_ns\":5,\"lane\":65536,\"position\":1}",
		 -EINVAL, "below 65536"},
		{"{\"type\":\"dns\",\"time_ns\":5,\"lane\":1,\"position\":-1}",
		 -EINVAL, "no lane"},
		{"{\"type\":\"dns\",\"time_ns\":5,\"body\":\"x\"}", -EINVAL,
		 "no field of dns"},
		{"{\"type\":\"dns\",\"time_ns\":5,\"pid\":\"x\"}", -EINVAL,
		 "field 'pid'"},
		{"{\"type\":\"2000\",\"time_ns\":5,\"hex\":\"00\"}", 0, ""},
		{"{\"type\":\"dns\",\"opaque_bytes\":3,\"hex\":\"000000\"}", 0,
		 ""},
		{"{\"other\":1}", 0, ""},
		{"{\"gap\":{\"lane\":1,\"lost\":3}}", 1, ""},
	};

	begin("rule r { k: type == dns count(k) >= 1 within 10ns }");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_int_eq(replay(lines[i].line), lines[i].result);
		ck_assert_msg(strstr(why, lines[i].why), "%s: %s",
			      lines[i].line, why);
	}
}
END_TEST

static char path[64];

static void write_file(const char *text)
{
	int fd;

	strcpy(path, "/tmp/correlate-replay-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

START_TEST(a_file_gives_the_same_each_time_and_ends_at_its_last_event)
{
	const struct tpi_replay_options options = {.wait_bytes = 1 << 20};
	struct tpi_replay_stats stats;

	write_file(EVENT(1, 100) "\n" EVENT(2, 300) "\n{\"x\":1}\n\n" EVENT(
		3, 250));
	for (int i = 0; i < 2; i++) {
		begin("rule r { k: type == dns absent within 60ns }");
		ck_assert_int_eq(
			tpi_replay_file(corr, path, &options, &stats, why), 0);
		ck_assert_uint_eq(stats.lines, 5);
		ck_assert_uint_eq(stats.events, 3);
		ck_assert_uint_eq(stats.skipped, 1);
		ck_assert_uint_eq(tpi_corr_watermark(corr), 300);
		/* After 100. After 300 nothing is known. */
		ck_assert_uint_eq(got.count, 1);
		teardown();
	}
	unlink(path);
}
END_TEST

START_TEST(a_bad_line_is_named_by_its_number)
{
	const struct tpi_replay_options options = {.wait_bytes = 1 << 20};
	struct tpi_replay_stats stats;

	write_file(EVENT(1, 100) "\n{\"type\":\n");
	begin("rule r { k: type == dns absent within 60ns }");
	ck_assert_int_eq(tpi_replay_file(corr, path, &options, &stats, why),
			 -EINVAL);
	ck_assert_int_eq(strncmp(why, "line 2: column ", 15), 0);
	unlink(path);
	ck_assert_int_eq(tpi_replay_file(corr, path, &options, &stats, why),
			 -ENOENT);
}
END_TEST

/* A damaged recording may have no end of line at all. */
START_TEST(a_line_is_read_up_to_what_an_event_can_be)
{
	const struct tpi_replay_options options = {.wait_bytes = 1 << 20};
	static char text[(2 << 20) + 1];
	struct tpi_replay_stats stats;

	memset(text, ' ', sizeof(text) - 1);
	write_file(text);
	begin("rule r { k: type == dns absent within 60ns }");
	ck_assert_int_eq(tpi_replay_file(corr, path, &options, &stats, why),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "line 1: it is longer than 1048576"));
	unlink(path);
}
END_TEST

START_TEST(a_gap_of_a_recording_makes_the_silence_around_it_unknown)
{
	begin("rule r { k: type == dns absent by pid within 60ns }");
	ck_assert_int_eq(replay(EVENT(1, 100)), 1);
	tpi_corr_time(corr, 110);
	ck_assert_int_eq(replay("{\"gap\":{\"lane\":1,\"lost\":3}}"), 1);
	ck_assert_int_eq(replay(EVENT(5, 170)), 1);
	tpi_corr_time(corr, 160);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.verdict, TPI_CORR_UNKNOWN);
	tpi_corr_time(corr, 230);
	ck_assert_uint_eq(got.count, 2);
	ck_assert_uint_eq(got.verdict, TPI_CORR_TRUE);
}
END_TEST

#define OF_LANE(lane, position, time)                             \
	"{\"type\":\"dns\",\"time_ns\":" #time ",\"lane\":" #lane \
	",\"position\":" #position ",\"pid\":1" #lane "}\n"

static const char by_lanes[] =
	OF_LANE(0, 0, 100) OF_LANE(0, 1, 300) OF_LANE(0, 2, 5000)
		OF_LANE(1, 0, 110) OF_LANE(1, 1, 120) OF_LANE(1, 2, 310);

/* The events of 100, 110 and 120, of two lanes. */
static const char burst[] = "rule r { k: type == dns count(k) >= 3 within "
			    "50ns }";

START_TEST(lane_by_lane_it_is_taken_in_the_order_of_time)
{
	const struct tpi_replay_options options = {.wait_bytes = 1 << 20};
	struct tpi_replay_stats stats;
	struct tpi_corr_stats corr_stats;

	write_file(by_lanes);
	begin(burst);
	ck_assert_int_eq(tpi_replay_file(corr, path, &options, &stats, why), 0);
	tpi_corr_stats(corr, &corr_stats);
	ck_assert_uint_eq(corr_stats.late, 0);
	ck_assert(!stats.follows);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.time_ns, 120);
	unlink(path);
}
END_TEST

START_TEST(where_too_much_waits_late_events_are_counted)
{
	const struct tpi_replay_options options = {.lateness_ns = 1000};
	struct tpi_replay_stats stats;
	struct tpi_corr_stats corr_stats;

	write_file(by_lanes);
	begin(burst);
	ck_assert_int_eq(tpi_replay_file(corr, path, &options, &stats, why), 0);
	tpi_corr_stats(corr, &corr_stats);
	ck_assert_uint_eq(corr_stats.late, 3);
	ck_assert(stats.follows);
	ck_assert_uint_eq(got.count, 0);
	unlink(path);
}
END_TEST

/* As tapio-tail writes it: without a channel, between the two events of its lane about it. */
#define GAP_OF_LANE(lane) "{\"gap\":{\"lane\":" #lane ",\"lost\":3}}\n"

static const struct {
	const char *file;
	unsigned int unknown_silences, sequences, unknown_sequences;
} gaps[] = {
	/* From 100 to 120: it touches the silence behind 80, and the events of lane 1. */
	{OF_LANE(0, 0, 40) OF_LANE(0, 1, 80) OF_LANE(0, 2, 1000)
		 OF_LANE(1, 0, 100) GAP_OF_LANE(1) OF_LANE(1, 5, 120),
	 1, 2, 1},
	/* From the begin to 120. */
	{GAP_OF_LANE(1) OF_LANE(1, 5, 120) OF_LANE(0, 0, 500)
		 OF_LANE(0, 1, 1000),
	 0, 1, 0},
};

static void replay_gaps(int i, const char *rules)
{
	const struct tpi_replay_options options = {.wait_bytes = 1 << 20};
	struct tpi_replay_stats stats;

	write_file(gaps[i].file);
	begin(rules);
	ck_assert_int_eq(tpi_replay_file(corr, path, &options, &stats, why), 0);
	ck_assert_uint_eq(stats.gaps, 1);
	unlink(path);
}

START_TEST(a_gap_lies_between_the_events_of_its_lane_about_it)
{
	replay_gaps(_i, "rule r { k: type == dns absent by pid within 60ns }");
	ck_assert_uint_eq(got.count, 2);
	ck_assert_uint_eq(got.unknown, gaps[_i].unknown_silences);
	teardown();
	replay_gaps(_i, "rule r { a: type == dns b: type == dns sequence a, b "
			"by pid within 1us }");
	ck_assert_uint_eq(got.count, gaps[_i].sequences);
	ck_assert_uint_eq(got.unknown, gaps[_i].unknown_sequences);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("correlate_replay");

	tcase_add_checked_fixture(tests, NULL, teardown);
	tcase_add_test(tests, an_event_of_any_type_comes_back_byte_for_byte);
	tcase_add_test(tests, integers_of_64_bits_come_back);
	tcase_add_test(tests, without_a_stamp_the_time_is_the_events_own);
	tcase_add_test(
		tests,
		what_is_no_line_of_a_recording_is_refused_or_passed_over);
	tcase_add_test(
		tests,
		a_file_gives_the_same_each_time_and_ends_at_its_last_event);
	tcase_add_test(tests, lane_by_lane_it_is_taken_in_the_order_of_time);
	tcase_add_test(tests, where_too_much_waits_late_events_are_counted);
	tcase_add_loop_test(tests,
			    a_gap_lies_between_the_events_of_its_lane_about_it,
			    0, sizeof(gaps) / sizeof(gaps[0]));
	tcase_add_test(tests, a_bad_line_is_named_by_its_number);
	tcase_add_test(tests, a_line_is_read_up_to_what_an_event_can_be);
	tcase_add_test(
		tests,
		a_gap_of_a_recording_makes_the_silence_around_it_unknown);
	return check_run_case("correlate_replay", tests);
}
