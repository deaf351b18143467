/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as text and JSON: exact numbers, valid UTF-8 and no control characters
 * whatever the event holds, and nothing dropped that is not understood.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/event/event_out.h"
#include "tests/check_main.h"
#include <tapio/event.h>

static TAPIO_EVENT_ALIGNED char buffer[4096];
static char text[16384];
static struct tapio_event_builder builder;
static struct tapio_event_view view;

static void begin(uint16_t type)
{
	ck_assert_int_eq(tapio_event_builder_init(&builder, buffer,
						  sizeof(buffer), type),
			 0);
	builder.event->time_ns = 1700000000123456789;
	builder.event->observed_ns = 1700000000123456789;
}

static void set_string(struct tapio_event_string *field, const char *s,
		       size_t length)
{
	ck_assert_int_eq(tapio_event_builder_string(&builder, field, s, length),
			 0);
}

static void open_view(void)
{
	const int length = tapio_event_builder_finish(&builder);

	ck_assert_int_gt(length, 0);
	ck_assert_int_eq(tapio_event_view_init(&view, buffer, (size_t)length),
			 0);
}

static const char *json(void)
{
	const int n = tapio_event_format_json(text, sizeof(text), &view);

	ck_assert_int_eq(n, (int)strlen(text));
	return text;
}

static const char *line(void)
{
	const int n = tapio_event_format_text(text, sizeof(text), &view);

	ck_assert_int_eq(n, (int)strlen(text));
	return text;
}

#define TIME "2023-11-14T22:13:20.123456789Z"
#define HEAD_JSON(severity, type)                                \
	"\"time\":\"" TIME "\",\"time_ns\":1700000000123456789," \
	"\"severity\":\"" severity "\",\"type\":\"" type "\","   \
	"\"observed\":\"" TIME "\",\"observed_ns\":1700000000123456789"

static void build_start(void)
{
	struct tapio_event_process_start *p;

	begin(TAPIO_EVENT_PROCESS_START);
	builder.event->source = TAPIO_SOURCE_PROC;
	builder.event->flags = TAPIO_EVENT_EXISTING | TAPIO_EVENT_TRUNCATED;
	builder.event->pid = 4242;
	builder.event->uid = 0;
	p = builder.fields;
	p->ppid = 1;
	set_string(&p->comm, "bash", 4);
	set_string(&p->command_line, "bash -c \"true\"", 14);
	open_view();
	view.flags |= TAPIO_EVENT_VIEW_ID;
	view.lane = 3;
	view.position = 281474976710655;
}

START_TEST(a_line_of_text_shows_what_is_set)
{
	build_start();
	ck_assert_str_eq(line(),
			 TIME " info process.start"
			      " source=proc flags=truncated+existing pid=4242"
			      " uid=0 comm=bash ppid=1"
			      " command_line=\"bash -c \\\"true\\\"\""
			      " lane=3 position=281474976710655");
}
END_TEST

START_TEST(an_object_of_json_shows_what_is_set)
{
	build_start();
	ck_assert_str_eq(
		json(),
		"{\"lane\":3,\"position\":281474976710655," HEAD_JSON(
			"info",
			"process.start") ",\"source\":\"proc\","
					 "\"flags\":[\"truncated\",\"existing\"],\"pid\":4242,"
					 "\"uid\":0,\"comm\":\"bash\",\"ppid\":1,"
					 "\"command_line\":\"bash -c \\\"true\\\"\"}");
}
END_TEST

START_TEST(what_does_not_fit_is_counted_and_the_rest_is_kept)
{
	int (*const format[])(char *, size_t,
			      const struct tapio_event_view *) = {
		tapio_event_format_text, tapio_event_format_json};
	char whole[4096];
	char part[4096];
	int n;

	build_start();
	for (int f = 0; f < 2; f++) {
		n = format[f](whole, sizeof(whole), &view);
		ck_assert_int_eq(format[f](NULL, 0, &view), n);
		for (int size = 1; size <= n + 1; size++) {
			memset(part, '#', sizeof(part));
			ck_assert_int_eq(format[f](part, (size_t)size, &view),
					 n);
			ck_assert_mem_eq(part, whole, size - 1);
			ck_assert_int_eq(part[size - 1], '\0');
			ck_assert_int_eq(part[size], '#');
		}
	}
}
END_TEST

START_TEST(numbers_are_exact)
{
	struct tapio_event_metric *m;

	begin(TAPIO_EVENT_METRIC);
	builder.event->cgroup_id = UINT64_MAX;
	m = builder.fields;
	m->value = 0.1;
	m->value_integer = INT64_MIN + 1;
	m->instrument = TAPIO_METRIC_GAUGE;
	open_view();
	ck_assert_str_eq(
		json(),
		"{" HEAD_JSON(
			"info",
			"metric") ","
				  "\"cgroup_id\":18446744073709551615,\"value\":0.1,"
				  "\"value_integer\":-9223372036854775807,"
				  "\"instrument\":\"gauge\"}");
}
END_TEST

static const struct {
	double number;
	const char *text;
} doubles[] = {
	{0.0, "0"},
	{-0.0, "-0"},
	{1.0, "1"},
	{0.1, "0.1"},
	{0.30000000000000004, "0.30000000000000004"},
	{123456789012345680.0, "1.2345678901234568e+17"},
	{1e300, "1e+300"},
	{5e-324, "4.94065645841247e-324"},
	{-1.7976931348623157e308, "-1.7976931348623157e+308"},
};

START_TEST(doubles_read_back_the_same)
{
	struct tpi_out out;

	tpi_out_init(&out, text, sizeof(text));
	tpi_out_double(&out, doubles[_i].number);
	tpi_out_finish(&out);
	ck_assert_str_eq(text, doubles[_i].text);
	ck_assert(strtod(text, NULL) == doubles[_i].number);
}
END_TEST

START_TEST(a_locale_does_not_change_the_decimal_point)
{
	static const char *const printed[] = {"1.5e-10", "1,5e-10",
					      "1\xd9\xab"
					      "5e-10"};
	struct tpi_out out;

	tpi_out_init(&out, text, sizeof(text));
	tpi_out_decimal(&out, printed[_i]);
	tpi_out_finish(&out);
	ck_assert_str_eq(text, "1.5e-10");
}
END_TEST

static const struct {
	uint64_t ns;
	const char *text;
} times[] = {
	{1, "1970-01-01T00:00:00.000000001Z"},
	{UINT64_C(951782399999999999), "2000-02-28T23:59:59.999999999Z"},
	{UINT64_C(951782400000000000), "2000-02-29T00:00:00.000000000Z"},
	{UINT64_C(951868800000000000), "2000-03-01T00:00:00.000000000Z"},
	{UINT64_C(4107542400000000000), "2100-03-01T00:00:00.000000000Z"},
	{UINT64_MAX, "2554-07-21T23:34:33.709551615Z"},
};

START_TEST(times_are_dates_of_the_calendar)
{
	struct tpi_out out;

	tpi_out_init(&out, text, sizeof(text));
	tpi_out_time(&out, times[_i].ns);
	tpi_out_finish(&out);
	ck_assert_str_eq(text, times[_i].text);
}
END_TEST

#define R "\xef\xbf\xbd" /* U+FFFD */

static const struct {
	const char *in;
	size_t length;
	const char *out;
} strings[] = {
#define S(in, out)                      \
	{                               \
		in, sizeof(in) - 1, out \
	}
	S("plain", "plain"),
	S("\"\\\b\f\n\r\t", "\\\"\\\\\\b\\f\\n\\r\\t"),
	S("a\0b", "a\\u0000b"),
	S("\x1b[31m", "\\u001b[31m"),
	S("\x7f", "\\u007f"),
	S("\xc2\x9b", "\\u009b"),     /* a terminal's CSI in one byte */
	S("\xe2\x80\xae", "\\u202e"), /* right to left from here */
	S("\xe2\x80\xa8", "\\u2028"), /* ends a line of JavaScript */
	S("\xef\xbb\xbf", "\\ufeff"),
	S("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
	  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
	S("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"), /* U+10FFFF */
	S("\x80", R),
	S("\xff"
	  "a",
	  R "a"),
	S("\xc0\x80", R R), /* overlong NUL */
	S("\xc1\xbf", R R),
	S("\xe0\x80\xaf", R R R), /* overlong slash */
	S("\xf0\x80\x80\xaf", R R R R),
	S("\xed\xa0\x80", R R R),       /* a surrogate */
	S("\xf4\x90\x80\x80", R R R R), /* above U+10FFFF */
	S("\xf5\x80\x80\x80", R R R R),
	S("\xe2\x82", R), /* cut at the end */
	S("\xf0\x9f\x98", R),
	S("\xe2\x82"
	  "a",
	  R "a"), /* cut inside */
	S("\xf0\x9f\x98\xc3\xa4", R "\xc3\xa4"),
	S("\xc3\xa4\xc3", "\xc3\xa4" R),
#undef S
};

START_TEST(strings_become_valid_utf8_without_controls)
{
	struct tpi_out out;

	/* Of its exact length, so that a sanitizer sees a byte more. */
	char *copy = malloc(strings[_i].length);

	memcpy(copy, strings[_i].in, strings[_i].length);
	tpi_out_init(&out, text, sizeof(text));
	tpi_out_escaped(&out, copy, strings[_i].length);
	tpi_out_finish(&out);
	ck_assert_str_eq(text, strings[_i].out);
	free(copy);
}
END_TEST

START_TEST(addresses_and_enums_have_their_names)
{
	struct tapio_event_network_connection *c;

	begin(TAPIO_EVENT_NETWORK_CONNECTION);
	c = builder.fields;
	c->operation = TAPIO_CONNECTION_ACCEPT;
	c->transport = TAPIO_TRANSPORT_TCP;
	c->state = TAPIO_TCP_ESTABLISHED;
	c->state_before = 200;
	tapio_event_ip4(&c->local, "\x0a\0\0\1");
	tapio_event_ip6(&c->peer, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");
	c->local_port = 443;
	c->peer_port = 65535;
	c->error = 0;
	open_view();
	ck_assert_str_eq(
		json(),
		"{" HEAD_JSON(
			"info",
			"network.connection") ","
					      "\"operation\":\"accept\",\"transport\":\"tcp\","
					      "\"local\":\"10.0.0.1\",\"local_port\":443,"
					      "\"peer\":\"2001:db8::1\",\"peer_port\":65535,"
					      "\"state\":\"established\",\"state_before\":\"200\","
					      "\"error\":0}");
}
END_TEST

START_TEST(attributes_become_an_object)
{
	struct tapio_event_log *log;

	begin(TAPIO_EVENT_LOG);
	log = builder.fields;
	ck_assert_int_eq(tapio_event_builder_attribute(
				 &builder, &log->attributes, "a", 1, "1\n", 2),
			 0);
	ck_assert_int_eq(tapio_event_builder_attribute(
				 &builder, &log->attributes, "b c", 3, "x", 1),
			 0);
	open_view();
	ck_assert_str_eq(
		json(),
		"{" HEAD_JSON(
			"info",
			"log") ","
			       "\"attributes\":{\"a\":\"1\\n\",\"b c\":\"x\"}}");
	ck_assert_str_eq(line(), TIME " info log"
				      " attributes={a=\"1\\n\" \"b c\"=x}");
	view.header.observed_ns++;
	ck_assert_ptr_nonnull(strstr(line(), " observed=2023-11-14T"));
}
END_TEST

START_TEST(infinite_numbers_stay_valid_json)
{
	struct tapio_event_metric *m;

	begin(TAPIO_EVENT_METRIC);
	m = builder.fields;
	m->value = -INFINITY;
	open_view();
	ck_assert_str_eq(
		json(),
		"{" HEAD_JSON("info", "metric") ","
						"\"value\":\"-Infinity\"}");
	m->value = NAN;
	open_view();
	ck_assert_str_eq(json(), "{" HEAD_JSON("info", "metric") "}");
}
END_TEST

START_TEST(ids_are_hexadecimal)
{
	begin(TAPIO_EVENT_LOG);
	memcpy(builder.event->trace_id,
	       "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6"
	       "\xa3\xce\x92\x9d\x0e\x0e\x47\x36",
	       16);
	memcpy(builder.event->span_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
	builder.event->severity = 12;
	builder.event->flags = 0x8000 | TAPIO_EVENT_TRACE_SAMPLED;
	open_view();
	ck_assert_str_eq(
		json(),
		"{" HEAD_JSON(
			"12",
			"log") ","
			       "\"flags\":[\"trace-sampled\",\"32768\"],"
			       "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
			       "\"span_id\":\"00f067aa0ba902b7\"}");
}
END_TEST

START_TEST(a_type_that_is_not_in_the_table_is_shown)
{
	ck_assert_int_eq(tapio_event_builder_init_custom(
				 &builder, buffer, sizeof(buffer), 2000, 8),
			 0);
	builder.event->time_ns = builder.event->observed_ns =
		1700000000123456789;
	memcpy(builder.fields, "\1\2\3\4\5\6\7\x80", 8);
	open_view();
	ck_assert_str_eq(
		json(),
		"{" HEAD_JSON("info",
			      "2000") ","
				      "\"fields_bytes\":8,\"strings_bytes\":0,"
				      "\"hex\":\"010203040506078000000000\"}");
}
END_TEST

static void open_bytes(const char *data, size_t length)
{
	const struct tapio_view bytes = {.data = data,
					 .length = (uint32_t)length,
					 .type = 7000,
					 .severity = TAPIO_SEVERITY_ERROR,
					 .lane = 1,
					 .position = 2};

	ck_assert_int_lt(tapio_event_view_open(&view, &bytes), 0);
}

START_TEST(bytes_that_are_no_event_are_shown)
{
	char many[100];

	open_bytes("hello, world", 13);
	ck_assert_str_eq(line(), "- error 7000 opaque_bytes=13"
				 " text=\"hello, world\" lane=1 position=2");
	open_bytes("\xff\1", 2);
	ck_assert_str_eq(json(), "{\"lane\":1,\"position\":2,"
				 "\"severity\":\"error\",\"type\":\"7000\","
				 "\"opaque_bytes\":2,\"hex\":\"ff01\"}");
	open_bytes(NULL, 0);
	ck_assert_str_eq(line(), "- error 7000 opaque_bytes=0"
				 " lane=1 position=2");
	memset(many, 1, sizeof(many));
	open_bytes(many, sizeof(many));
	json();
	ck_assert_uint_eq(strlen(strstr(text, "\"hex\":\"")), 7 + 2 * 64 + 2);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("event_format");

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))
	tcase_add_test(t, a_line_of_text_shows_what_is_set);
	tcase_add_test(t, an_object_of_json_shows_what_is_set);
	tcase_add_test(t, what_does_not_fit_is_counted_and_the_rest_is_kept);
	tcase_add_test(t, numbers_are_exact);
	tcase_add_loop_test(t, doubles_read_back_the_same, 0, COUNT(doubles));
	tcase_add_loop_test(t, a_locale_does_not_change_the_decimal_point, 0,
			    3);
	tcase_add_loop_test(t, times_are_dates_of_the_calendar, 0,
			    COUNT(times));
	tcase_add_loop_test(t, strings_become_valid_utf8_without_controls, 0,
			    COUNT(strings));
	tcase_add_test(t, addresses_and_enums_have_their_names);
	tcase_add_test(t, attributes_become_an_object);
	tcase_add_test(t, infinite_numbers_stay_valid_json);
	tcase_add_test(t, ids_are_hexadecimal);
	tcase_add_test(t, a_type_that_is_not_in_the_table_is_shown);
	tcase_add_test(t, bytes_that_are_no_event_are_shown);
	return check_run_case("event_format", t);
}
