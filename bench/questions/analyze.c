/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does it cost to count events? A lane is full of typed events, and one member of
 * tapio-analyze counts them by process in one window: the event is opened and checked, its
 * values are taken, and the sketches are updated. The floor is a look at each view alone.
 */
#include <string.h>

#include <tapio/event.h>

#include "bench/questions/goals.h"
#include "bench/questions/laps.h"
#include "tools/analyze/member.h"
#include "tools/analyze/merger.h"

#define VIEWS     256
#define PROCESSES 16
#define PEERS     1000

enum figure {
	FIGURE_COUNT,
	FIGURE_QUANTILES,
	FIGURE_TOP,
	FIGURE_DISTINCT,
};

static const char config[] = "channel " RIG_CHANNEL
			     " { class main { block = 512 blocks = 4096 } }\n";

struct analysing {
	struct rig rig;
	struct an_spec spec;
	bool views_alone;
};

struct end {
	const struct analysing *of;
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	struct an_budget budget;
	struct an_merger *merger;
	struct an_member_reader *reader;
	uint64_t events;
};

static void no_window(void *arg, const struct an_result *result)
{
	(void)arg;
	(void)result;
}

static int take(void *arg, struct an_delta *delta)
{
	struct end *end = arg;

	end->events += delta->events;
	an_merger_take(end->merger, delta, 0);
	return 0;
}

static int open_reader(struct end *end)
{
	const struct an_member_options options = {
		.spec = &end->of->spec,
		.budget = &end->budget,
		.sink = take,
		.arg = end,
		.by_events = true,
		.until_empty = true,
		.hold = UINT32_MAX,
		.flush_ns = INT64_C(100000000),
	};
	const struct tapio_consumer_options with = {
		.policy = TAPIO_GROUP_LOSSLESS};

	end->consumer = rig_consumer(&end->of->rig, &with);
	if (!end->consumer)
		return -1;
	end->budget.max_bytes = UINT64_C(1) << 28;
	end->merger = an_merger_new(&end->of->spec, &end->budget, INT64_MIN, 0,
				    no_window, NULL);
	end->reader = end->of->views_alone
			      ? NULL
			      : an_member_new(&options, end->consumer);
	return end->merger && (end->reader || end->of->views_alone) ? 0 : -1;
}

static int open_end(const struct laps *laps, bool reads, void **out)
{
	static struct end end;

	end = (struct end){.of = laps->arg};
	*out = &end;
	if (reads && open_reader(&end))
		return -1;
	end.producer = rig_producer(&end.of->rig);
	return end.producer ? 0 : -1;
}

static int fill(void *arg, uint64_t from, uint32_t count)
{
	struct end *end = arg;

	for (uint64_t i = from; i < from + count; i++) {
		TAPIO_EVENT_ALIGNED char buffer[512];
		struct tapio_event_builder b;
		struct tapio_event_network_connection *c;
		unsigned char peer[4] = {10, 0, (unsigned char)(i % PEERS >> 8),
					 (unsigned char)(i % PEERS)};
		int length;

		tapio_event_builder_init(&b, buffer, sizeof(buffer),
					 TAPIO_EVENT_NETWORK_CONNECTION);
		b.event->time_ns = UINT64_C(1700000000000000000);
		b.event->pid = (uint32_t)(1 + i % PROCESSES);
		c = b.fields;
		c->duration_ns = 1000000 + i * 7919 % 3000000;
		tapio_event_ip4(&c->peer, peer);
		tapio_event_builder_string(&b, &c->comm, "bench", 5);
		length = tapio_event_builder_finish(&b);
		if (length < 0 ||
		    tapio_output(end->producer, TAPIO_EVENT_TAG(b.event),
				 buffer, (uint32_t)length)) {
			bench_why("an event was refused");
			return -1;
		}
	}
	return 0;
}

static int look(struct end *end, uint64_t count)
{
	struct tapio_view views[VIEWS];
	uint64_t seen = 0;

	while (seen < count) {
		int n = tapio_poll(end->consumer, views, VIEWS, 0);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			if (tapio_view_intact(end->consumer, &views[i]) != 1)
				return -1;
		tapio_release(end->consumer);
		seen += (uint64_t)n;
	}
	end->events += seen;
	return 0;
}

static int analyse(void *arg, uint64_t count)
{
	struct end *end = arg;
	int got;

	if (end->of->views_alone)
		return look(end, count);
	while ((got = an_member_step(end->reader)) > 0)
		;
	return got;
}

static int close_end(void *arg, bool reads, uint64_t count)
{
	struct end *end = arg;
	int err = 0;

	if (reads && end->events != count) {
		bench_why("%llu events were counted, and not %llu",
			  (unsigned long long)end->events,
			  (unsigned long long)count);
		err = -1;
	}
	tapio_producer_close(end->producer);
	if (end->reader)
		an_member_free(end->reader);
	else
		tapio_consumer_close(end->consumer);
	an_merger_free(end->merger);
	return err;
}

static void set_figure(struct an_spec *spec, enum figure figure)
{
	spec->by_count = 1;
	tpi_field_find(&spec->by[0], "pid");
	spec->window_ns = spec->slide_ns = INT64_C(3600000000000);
	spec->future_ns = INT64_C(60000000000);
	spec->keys_max = 10000;
	spec->counters = AN_COUNTERS_DEFAULT;
	spec->precision = AN_PRECISION_DEFAULT;
	spec->has_value = figure == FIGURE_QUANTILES;
	spec->has_top = figure == FIGURE_TOP;
	spec->has_distinct = figure == FIGURE_DISTINCT;
	tpi_field_find(&spec->value, "duration_ns");
	tpi_field_find(&spec->top, "peer");
	tpi_field_find(&spec->distinct, "peer");
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	static struct analysing a;
	struct laps laps = {
		.arg = &a,
		.lap = 4000,
		.here = true,
		.open = open_end,
		.fill = fill,
		.read = analyse,
		.close = close_end,
	};
	double ns;
	int err;

	memset(&a, 0, sizeof(a));
	a.views_alone = subject->arg;
	set_figure(&a.spec, (enum figure)run->of->param);
	err = rig_start(&a.rig, config);
	if (err)
		return err;
	err = laps_run(run, &laps, &ns);
	figures[0] = 1e9 / ns;
	figures[1] = ns;
	rig_stop(&a.rig);
	return err;
}

/* ---- cases ------------------------------------------------------------------------ */

static const struct bench_peer views = {
	.name = "views alone",
	.package = "",
	.copies = "none",
	.across = "processes",
	.death = "as Tapio",
	.kind = BENCH_FLOOR,
};

static const struct bench_subject counted = {RIG_PEER, "counted", run, NULL};
static const struct bench_subject looked_at = {&views, "not opened", run,
					       "views"};
static const struct bench_subject *const subjects[] = {&counted, &looked_at,
						       NULL};

#define CASE(how, text, n)                                                     \
	.name = "analyze/" how, .title = "Typed events by process: " text,     \
	.bytes = 256, .param = n, .events = 400000, .quick_events = 4000,      \
	.figures = {{"counted", "events/s", true}, {"an event", "ns", false}}, \
	.subjects = subjects

static const struct bench_case cases[] = {
	{CASE("count", "counts", FIGURE_COUNT)},
	{CASE("quantiles", "counts and quantiles", FIGURE_QUANTILES)},
	{CASE("top", "counts and the most frequent of 1,000 addresses",
	      FIGURE_TOP)},
	{CASE("distinct", "counts and distinct addresses", FIGURE_DISTINCT)},
	{.name = NULL},
};

const struct bench_question bench_question_analyze = {
	.number = 7,
	.text = "What does it cost to count events by a key?",
	.cases = cases,
};
