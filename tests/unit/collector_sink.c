/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger of a collector: whatever the channel answers, for each kind
 * read = emitted + refused, to the last one, and the health events and the summary say the same.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/check_main.h"
#include "tools/collectors/common/collector.h"

enum {
	SMALL,
	URGENT,
	KINDS
};
static const struct tpi_kind kinds[KINDS] = {
	[SMALL] = {"small", TAPIO_EVENT_LOG, TAPIO_SEVERITY_INFO, false},
	[URGENT] = {"urgent", TAPIO_EVENT_PROCESS_OOM, TAPIO_SEVERITY_CRITICAL,
		    true},
};

/* A channel that answers what the test has written down, and then accepts. */
static struct {
	int answers[8];
	int count;
	int next;
	int calls;
	uint32_t tags[64];
	uint32_t max_bytes;
	TAPIO_EVENT_ALIGNED unsigned char event[TPI_SINK_BYTES];
	uint32_t length; /* of the last one that was accepted */
} channel;

static int output(void *arg, uint32_t tag, const void *data, uint32_t length)
{
	ck_assert_ptr_eq(arg, &channel);
	channel.tags[channel.calls++ % 64] = tag;
	if (channel.next < channel.count && channel.answers[channel.next++])
		return channel.answers[channel.next - 1];
	ck_assert_uint_le(length, sizeof(channel.event));
	memcpy(channel.event, data, length);
	channel.length = length;
	return 0;
}

static uint32_t max_bytes(void *arg)
{
	(void)arg;
	return channel.max_bytes;
}

static struct tpi_sink sink;

static void prepare(struct tpi_sink *s)
{
	ck_assert_int_eq(tpi_sink_init(s, kinds, KINDS, 0), 0);
	s->output = output;
	s->max_bytes = max_bytes;
	s->arg = &channel;
	s->source = TAPIO_SOURCE_APPLICATION;
}

static void set_up(void)
{
	memset(&channel, 0, sizeof(channel));
	channel.max_bytes = 4096;
	prepare(&sink);
}

static void tear_down(void)
{
	tpi_sink_fini(&sink);
}

static void answer(int count, const int *answers)
{
	memcpy(channel.answers, answers, (size_t)count * sizeof(*answers));
	channel.count = count;
	channel.next = 0;
}

static void balances(unsigned int kind)
{
	const struct tpi_count *c = &sink.counts[kind];
	uint64_t sum = c->emitted;

	for (int r = 0; r < TPI_REFUSALS; r++)
		sum += c->refused[r];
	ck_assert_uint_eq(c->read, sum);
}

static bool emit(unsigned int kind)
{
	struct tapio_event_log *log = tpi_sink_begin(&sink, kind);

	ck_assert_ptr_nonnull(log);
	if (kind == SMALL)
		tpi_sink_text(&sink, &log->body, "a body");
	return tpi_sink_end(&sink);
}

/* ---- one event ---------------------------------------------------------------------------- */

static const struct {
	int err;
	enum tpi_refusal cause;
	const char *name;
} refusals[] = {
	{-EAGAIN, TPI_REFUSED_FULL, "full"},
	{-ETIMEDOUT, TPI_REFUSED_TIMEOUT, "timeout"},
	{-EMSGSIZE, TPI_REFUSED_SIZE, "size"},
	{-ENOBUFS, TPI_REFUSED_NO_LANE, "no_lane"},
	{-ENOTCONN, TPI_REFUSED_OTHER, "other"},
};

START_TEST(each_refusal_is_counted_by_its_cause)
{
	answer(1, &refusals[_i].err);
	ck_assert(!emit(SMALL));
	ck_assert_uint_eq(sink.counts[SMALL].refused[refusals[_i].cause], 1);
	ck_assert_str_eq(tpi_refusal_names[refusals[_i].cause],
			 refusals[_i].name);
	ck_assert_uint_eq(sink.counts[SMALL].emitted, 0);
	balances(SMALL);
	ck_assert(emit(SMALL));
	ck_assert_uint_eq(sink.counts[SMALL].emitted, 1);
	balances(SMALL);
	ck_assert_uint_eq(sink.counts[URGENT].read, 0);
}
END_TEST

START_TEST(an_event_has_type_severity_and_source_of_its_kind)
{
	struct tapio_event_view view;
	const struct tapio_event_log *log;
	char text[16];

	ck_assert(emit(SMALL));
	ck_assert_int_eq(
		tapio_event_view_init(&view, channel.event, channel.length), 0);
	ck_assert_uint_eq(view.header.type, TAPIO_EVENT_LOG);
	ck_assert_uint_eq(view.header.severity, TAPIO_SEVERITY_INFO);
	ck_assert_uint_eq(view.header.source, TAPIO_SOURCE_APPLICATION);
	log = tapio_event_view_fields(&view, TAPIO_EVENT_LOG);
	tapio_event_view_string(&view, &log->body, text, sizeof(text));
	ck_assert_str_eq(text, "a body");
}
END_TEST

START_TEST(only_urgent_kinds_go_to_the_urgent_class)
{
	sink.urgent_class = 3;
	ck_assert(emit(URGENT));
	ck_assert_uint_eq(channel.tags[0],
			  TAPIO_TAG_CLASS(TAPIO_EVENT_PROCESS_OOM,
					  TAPIO_SEVERITY_CRITICAL, 3));
	ck_assert(emit(SMALL));
	ck_assert_uint_eq(channel.tags[1],
			  TAPIO_TAG(TAPIO_EVENT_LOG, TAPIO_SEVERITY_INFO));
}
END_TEST

START_TEST(what_is_too_long_for_the_urgent_class_goes_to_another)
{
	const int too_long[] = {-EMSGSIZE};

	sink.urgent_class = 3;
	answer(1, too_long);
	ck_assert(emit(URGENT));
	ck_assert_int_eq(channel.calls, 2);
	ck_assert_uint_eq(channel.tags[1], TAPIO_TAG(TAPIO_EVENT_PROCESS_OOM,
						     TAPIO_SEVERITY_CRITICAL));
	ck_assert_uint_eq(sink.counts[URGENT].emitted, 1);
	balances(URGENT);
}
END_TEST

START_TEST(an_event_without_room_for_its_fields_is_refused_when_it_begins)
{
	channel.max_bytes = sizeof(struct tapio_event) + 8;
	ck_assert_ptr_null(tpi_sink_begin(&sink, SMALL));
	ck_assert_uint_eq(sink.counts[SMALL].refused[TPI_REFUSED_SIZE], 1);
	ck_assert_int_eq(channel.calls, 0);
	balances(SMALL);
}
END_TEST

START_TEST(a_long_string_is_cut_and_the_event_says_so)
{
	static char text[6000];
	struct tapio_event_view view;
	struct tapio_event_log *log;
	const struct tapio_event_log *seen;

	memset(text, 'x', sizeof(text) - 1);
	log = tpi_sink_begin(&sink, SMALL);
	tpi_sink_text(&sink, &log->unit, "short");
	tpi_sink_text(&sink, &log->body, text);
	ck_assert(tpi_sink_end(&sink));
	ck_assert_uint_le(channel.length, channel.max_bytes);
	ck_assert_int_eq(
		tapio_event_view_init(&view, channel.event, channel.length), 0);
	ck_assert_uint_eq(view.header.flags, TAPIO_EVENT_TRUNCATED);
	seen = tapio_event_view_fields(&view, TAPIO_EVENT_LOG);
	ck_assert_uint_eq(seen->unit.length, 5);
	ck_assert_uint_gt(seen->body.length, 3000);
}
END_TEST

START_TEST(a_cancelled_event_was_never_read)
{
	ck_assert_ptr_nonnull(tpi_sink_begin(&sink, SMALL));
	tpi_sink_cancel(&sink);
	ck_assert_uint_eq(sink.counts[SMALL].read, 0);
	ck_assert_int_eq(channel.calls, 0);
	balances(SMALL);
}
END_TEST

/* ---- patience -------------------------------------------------------------------------------- */

START_TEST(a_patient_one_tries_until_there_is_room)
{
	const int answers[] = {-EAGAIN, -ETIMEDOUT, -ENOBUFS, -EAGAIN};
	bool left = true;

	answer(4, answers);
	ck_assert_ptr_nonnull(tpi_sink_begin(&sink, SMALL));
	ck_assert(tpi_sink_end_patiently(&sink, &left));
	ck_assert(!left);
	ck_assert_int_eq(channel.calls, 5);
	ck_assert_uint_eq(sink.counts[SMALL].emitted, 1);
	balances(SMALL);
}
END_TEST

START_TEST(a_patient_one_gives_up_what_can_never_be_taken)
{
	const int answers[] = {-EAGAIN, -EMSGSIZE};
	bool left = true;

	answer(2, answers);
	ck_assert_ptr_nonnull(tpi_sink_begin(&sink, SMALL));
	ck_assert(!tpi_sink_end_patiently(&sink, &left));
	ck_assert(!left);
	ck_assert_uint_eq(sink.counts[SMALL].refused[TPI_REFUSED_SIZE], 1);
	balances(SMALL);
}
END_TEST

START_TEST(a_signal_ends_patience_and_the_event_is_left)
{
	const int answers[] = {-EAGAIN};
	bool left = false;

	tpi_signals_init();
	ck_assert_int_eq(raise(SIGTERM), 0);
	answer(1, answers);
	ck_assert_ptr_nonnull(tpi_sink_begin(&sink, SMALL));
	ck_assert(!tpi_sink_end_patiently(&sink, &left));
	ck_assert(left);
	ck_assert_int_eq(channel.calls, 1);
	ck_assert_uint_eq(sink.counts[SMALL].refused[TPI_REFUSED_LEFT], 1);
	balances(SMALL);
}
END_TEST

/* ---- losses, sums, what is said ---------------------------------------------------------------- */

START_TEST(a_loss_is_counted_for_its_kind_and_told_as_health)
{
	const struct tpi_loss loss = {.count = 5,
				      .first_ns = 1,
				      .last_ns = 2,
				      .cpu = UINT32_MAX,
				      .cause = "ring-full",
				      .before = "b"};
	const struct tpi_loss unknown = {
		.count = TPI_LOSS_UNKNOWN, .cpu = UINT32_MAX, .cause = "gone"};
	const struct tapio_event_loss *l;
	struct tapio_event_view view;
	char text[16];

	ck_assert(tpi_sink_loss(&sink, SMALL, "my", &loss));
	ck_assert_int_eq(
		tapio_event_view_init(&view, channel.event, channel.length), 0);
	ck_assert_uint_eq(view.header.type, TAPIO_EVENT_LOSS);
	ck_assert_uint_eq(view.header.severity, TAPIO_SEVERITY_WARNING);
	l = tapio_event_view_fields(&view, TAPIO_EVENT_LOSS);
	ck_assert_uint_eq(l->count, 5);
	ck_assert_uint_eq(l->total, 5);
	tapio_event_view_string(&view, &l->what, text, sizeof(text));
	ck_assert_str_eq(text, "small");
	ck_assert(tpi_sink_loss(&sink, SMALL, "my", &unknown));
	ck_assert_int_eq(
		tapio_event_view_init(&view, channel.event, channel.length), 0);
	l = tapio_event_view_fields(&view, TAPIO_EVENT_LOSS);
	ck_assert_uint_eq(l->count, UINT64_MAX);
	ck_assert_uint_eq(l->total, 6);
	ck_assert_uint_eq(sink.counts[SMALL].lost, 6);
	ck_assert_uint_eq(sink.counts[SMALL].read, 0);
	ck_assert_uint_eq(sink.counts[KINDS].emitted, 2);
	balances(KINDS);
}
END_TEST

START_TEST(sums_are_those_of_all_sinks)
{
	struct tpi_count sum[KINDS + 1] = {0};
	struct tpi_sink other;
	const int full[] = {-EAGAIN};
	char text[300];

	prepare(&other);
	ck_assert(emit(SMALL));
	answer(1, full);
	ck_assert(!emit(URGENT));
	tpi_sink_count_read(&other, SMALL, 10);
	tpi_sink_count_emitted(&other, SMALL, 6);
	tpi_sink_count_refused(&other, SMALL, -ENOBUFS, 4);
	tpi_sink_count_lost(&other, URGENT, 3);
	tpi_sink_sum(&sink, sum);
	tpi_sink_sum(&other, sum);
	ck_assert_uint_eq(sum[SMALL].read, 11);
	ck_assert_uint_eq(sum[SMALL].emitted, 7);
	ck_assert_uint_eq(sum[SMALL].refused[TPI_REFUSED_NO_LANE], 4);
	ck_assert_uint_eq(sum[URGENT].refused[TPI_REFUSED_FULL], 1);
	ck_assert_uint_eq(sum[URGENT].lost, 3);
	tpi_counts_summary(sum, kinds, KINDS, text, sizeof(text));
	ck_assert_str_eq(text,
			 "emitted 7 (small 7), dropped 5 (small 4, urgent 1), "
			 "lost 3 (urgent 3)");
	sum[SMALL].refused[TPI_REFUSED_LEFT] = 2;
	tpi_counts_summary(sum, kinds, KINDS, text, sizeof(text));
	ck_assert_str_eq(text,
			 "emitted 7 (small 7), dropped 5 (small 4, urgent 1), "
			 "left 2 (small 2), lost 3 (urgent 3)");
	tpi_sink_fini(&other);
}
END_TEST

START_TEST(a_summary_that_is_too_long_is_cut)
{
	struct tpi_count sum[KINDS + 1] = {0};
	char text[20];

	sum[SMALL].emitted = UINT64_MAX;
	tpi_counts_summary(sum, kinds, KINDS, text, sizeof(text));
	ck_assert_uint_lt(strlen(text), sizeof(text));
	ck_assert_int_eq(strncmp(text, "emitted 1844", 12), 0);
}
END_TEST

static char said[1024];

/* Of the function, to standard error. */
static void hear(void (*tell)(void))
{
	int fds[2], old = dup(2);
	ssize_t n;

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], 2);
	tell();
	dup2(old, 2);
	close(old);
	close(fds[1]);
	n = read(fds[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(fds[0]);
}

static struct tpi_warning warning = {.where = "channel 'c'"};
static int64_t warn_ns;

static void warn(void)
{
	tpi_sinks_warn(&sink, &warning, warn_ns);
}

START_TEST(refusals_are_warned_of_at_once_and_then_rarely)
{
	const int full[] = {-EAGAIN, -EAGAIN, -EMSGSIZE};

	tpi_tool_init("test");
	warn_ns = 1000;
	hear(warn);
	ck_assert_str_eq(said, "");
	answer(3, full);
	emit(SMALL);
	hear(warn);
	ck_assert_str_eq(said, "test: channel 'c' is full: 1 events dropped\n");
	emit(SMALL);
	warn_ns += INT64_C(9999999999);
	hear(warn);
	ck_assert_str_eq(said, "");
	emit(SMALL);
	warn_ns += 1;
	hear(warn);
	ck_assert_ptr_nonnull(strstr(said, "takes no events of over "));
	ck_assert_ptr_nonnull(strstr(said, ": 2 events dropped\n"));
	warn_ns += INT64_C(20000000000);
	hear(warn);
	ck_assert_str_eq(said, "");
}
END_TEST

/* It did not pass through the sink, which knows of no length then. */
START_TEST(a_refusal_without_a_length_is_told_without_one)
{
	tpi_tool_init("test");
	tpi_sink_count_read(&sink, SMALL, 3);
	tpi_sink_count_refused(&sink, SMALL, -EMSGSIZE, 3);
	warn_ns = 1000;
	hear(warn);
	ck_assert_str_eq(said, "test: channel 'c' has blocks that are too "
			       "short: 3 events dropped\n");
}
END_TEST

/* ---- health -------------------------------------------------------------------------------------- */

static const struct tpi_collector_about about = {
	.name = "tapio-collect-my",
	.section = "my",
	.kinds = kinds,
	.kind_count = KINDS,
};

static struct {
	char name[32], kind[16], cause[16];
	int64_t value;
} told[32];
static int told_count;

static void get(const struct tapio_event_view *view,
		const struct tapio_event_value *attributes, const char *wanted,
		char *text, size_t bytes)
{
	struct tapio_event_value key, value;
	uint32_t at = 0;

	(void)view;
	text[0] = '\0';
	while (tapio_event_attribute_next(attributes, &at, &key, &value) == 1)
		if (key.length == strlen(wanted) &&
		    !memcmp(key.data, wanted, key.length))
			snprintf(text, bytes, "%.*s", (int)value.length,
				 value.data);
}

static int take_metric(void *arg, uint32_t tag, const void *data,
		       uint32_t length)
{
	const struct tapio_event_metric *m;
	struct tapio_event_value attributes;
	struct tapio_event_view view;
	char collector[16];

	(void)arg;
	(void)tag;
	ck_assert_int_eq(tapio_event_view_init(&view, data, length), 0);
	m = tapio_event_view_fields(&view, TAPIO_EVENT_METRIC);
	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(view.header.severity, TAPIO_SEVERITY_DEBUG);
	ck_assert_uint_eq(m->instrument, TAPIO_METRIC_CUMULATIVE);
	ck_assert_uint_eq(m->monotonic, 1);
	ck_assert_int_lt(told_count, 32);
	told[told_count].value = m->value_integer;
	tapio_event_view_string(&view, &m->name, told[told_count].name, 32);
	ck_assert_int_eq(tapio_event_view_get(&view, "attributes", &attributes),
			 1);
	get(&view, &attributes, "collector", collector, sizeof(collector));
	ck_assert_str_eq(collector, "my");
	get(&view, &attributes, "kind", told[told_count].kind, 16);
	get(&view, &attributes, "cause", told[told_count].cause, 16);
	told_count++;
	return 0;
}

static int64_t told_of(const char *name, const char *kind, const char *cause)
{
	for (int i = 0; i < told_count; i++)
		if (!strcmp(told[i].name, name) &&
		    !strcmp(told[i].kind, kind) &&
		    !strcmp(told[i].cause, cause))
			return told[i].value;
	return -1;
}

START_TEST(health_events_are_the_ledger)
{
	static struct tpi_collector c;
	const int answers[] = {0, -EAGAIN, -EMSGSIZE};

	c.about = &about;
	prepare(&c.health);
	c.health.output = take_metric;
	c.health.next = &sink;
	c.sinks = &c.health;
	answer(3, answers);
	for (int i = 0; i < 5; i++)
		emit(SMALL);
	tpi_sink_count_lost(&sink, SMALL, 7);
	tpi_collector_report(&c);
	ck_assert_int_eq(told_of("tapio.collector.read", "small", ""), 5);
	ck_assert_int_eq(told_of("tapio.collector.emitted", "small", ""), 3);
	ck_assert_int_eq(told_of("tapio.collector.refused", "small", "full"),
			 1);
	ck_assert_int_eq(told_of("tapio.collector.refused", "small", "size"),
			 1);
	ck_assert_int_eq(told_of("tapio.collector.lost", "small", ""), 7);
	ck_assert_int_eq(told_count, 5); /* none of what is 0 */
	tpi_collector_report(&c);
	/* Sums: they do not fall. And what the first report was. */
	ck_assert_int_eq(told[5].value, 5);
	ck_assert_int_eq(told_of("tapio.collector.emitted", "health", ""), 5);
	tpi_sink_fini(&c.health);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("collector_sink");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, each_refusal_is_counted_by_its_cause, 0, 5);
	tcase_add_test(tests,
		       an_event_has_type_severity_and_source_of_its_kind);
	tcase_add_test(tests, only_urgent_kinds_go_to_the_urgent_class);
	tcase_add_test(tests,
		       what_is_too_long_for_the_urgent_class_goes_to_another);
	tcase_add_test(
		tests,
		an_event_without_room_for_its_fields_is_refused_when_it_begins);
	tcase_add_test(tests, a_long_string_is_cut_and_the_event_says_so);
	tcase_add_test(tests, a_cancelled_event_was_never_read);
	tcase_add_test(tests, a_patient_one_tries_until_there_is_room);
	tcase_add_test(tests, a_patient_one_gives_up_what_can_never_be_taken);
	tcase_add_test(tests, a_signal_ends_patience_and_the_event_is_left);
	tcase_add_test(tests,
		       a_loss_is_counted_for_its_kind_and_told_as_health);
	tcase_add_test(tests, sums_are_those_of_all_sinks);
	tcase_add_test(tests, a_summary_that_is_too_long_is_cut);
	tcase_add_test(tests, refusals_are_warned_of_at_once_and_then_rarely);
	tcase_add_test(tests, a_refusal_without_a_length_is_told_without_one);
	tcase_add_test(tests, health_events_are_the_ledger);
	return check_run_case("collector_sink", tests);
}
