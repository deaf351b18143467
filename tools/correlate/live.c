/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-correlate on channels: an example of how to write a consumer.
 *
 *	take      the engine looks at events in place          inputs.c
 *	advance   how far time has come, over all channels     here
 *	settle    state, release, findings, in this order      settle.c
 *
 * While findings wait for room in their channel nothing is taken: the events stay where they are, and
 * the lossless group holds their producers up, as the configuration allows.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/correlate/live_inner.h"
#include "tools/correlate/print.h"

/* Time advances at least so often where nothing comes: for `absent`. */
#define TICK_NS INT64_C(100000000)
/* Between two looks at findings of others. */
#define ECHO_NS INT64_C(1000000000)
/* By so much a clock is set back, and not only steered. */
#define CLOCK_NS UINT64_C(2000000000)

const struct tpi_kind tpi_correlate_kinds[TPI_CORRELATE_KINDS] = {
	[TPI_CORRELATE_FINDING] = {"finding", TAPIO_EVENT_FINDING,
				   TAPIO_SEVERITY_NOTICE, true},
	[TPI_CORRELATE_COUNT] = {"count", TAPIO_EVENT_METRIC,
				 TAPIO_SEVERITY_DEBUG, false},
};

/* ---- rules ------------------------------------------------------------------------------ */

static volatile sig_atomic_t reload_wanted;

void tpi_correlate_reload(void)
{
	reload_wanted = 1;
}

struct tpi_rules *tpi_correlate_load_rules(const char *path)
{
	static struct tpi_rules_errors errors;
	struct tpi_rules *rules = NULL;
	int err = tpi_rules_load(path, &rules, &errors);

	if (!err)
		return rules;
	if (errors.count)
		tpi_rules_print_errors(&errors, stderr);
	else
		tpi_say("cannot read the rules in %s: %s", path,
			strerror(-err));
	return NULL;
}

/* False: the program ends with the collector's status. */
static bool reload(struct tpi_live *live)
{
	struct tpi_rules *rules = tpi_correlate_load_rules(live->values->rules);

	reload_wanted = 0;
	if (!rules) {
		tpi_say("the rules in %s are not taken: the old ones stay",
			live->values->rules);
		return true;
	}
	const bool differ = tpi_inputs_differ(&live->inputs, rules);
	const unsigned int count = tpi_rules_count(rules);
	int err = tpi_corr_swap_rules(live->corr, rules);
	if (err) {
		tpi_say("the rules in %s are not taken: %s; the old ones stay",
			live->values->rules, strerror(-err));
		return true;
	}
	tpi_say("%u rules were read anew from %s", count, live->values->rules);
	if (!differ)
		return true;
	/* Another filter is another member. Events in hand are stored before. */
	tpi_live_settle(live, true);
	tpi_inputs_close(&live->inputs);
	return tpi_inputs_open(&live->inputs);
}

/* ---- one round ---------------------------------------------------------------------------- */

/* Without a channel for findings: as tpi_collector_tend() with one. */
static bool tend_inputs(struct tpi_live *live)
{
	struct tpi_collector *c = live->collector;
	struct tapio_consumer *first = live->inputs.items[0].consumer;

	if (c->status || tpi_stop_signal() || tpi_monotonic_ns() >= c->end_ns)
		return false;
	if (c->connect.wait_ns ||
	    !tpi_broker_gone(&c->connect, tapio_consumer_broker(first)))
		return true;
	return tpi_collector_fail(
		c, TPI_EXIT_BROKER_GONE,
		"the broker at %s has gone (--wait would wait "
		"for the next one)",
		tpi_connect_socket(&c->connect));
}

static bool tend(struct tpi_live *live)
{
	struct tpi_collector *c = live->collector;
	int64_t now_ns;

	if (live->broken && !live->emits)
		return false;
	if (!live->emits)
		return tend_inputs(live);
	if (!tpi_collector_tend(c))
		return false;
	now_ns = tpi_monotonic_ns();
	/* Findings of others must not fill its lag. None of ours is in doubt now. */
	if (live->echo.consumer && !live->stored &&
	    now_ns - live->echo_ns > ECHO_NS) {
		tpi_echo_release(&live->echo);
		live->echo_ns = now_ns;
	}
	if (now_ns >= live->report_ns) {
		if (live->report_ns)
			tpi_live_report(live);
		live->report_ns = tpi_deadline_ns(now_ns, c->values.health_ns);
	}
	return true;
}

/* Time does not go back: until the clock has caught up, all events are late. */
static void look_at_clock(struct tpi_live *live)
{
	const uint64_t ahead_ns = tpi_corr_watermark(live->corr);
	const uint64_t now_ns = tpi_clock_read_ns(CLOCK_REALTIME);

	if (ahead_ns < now_ns)
		live->told_clock = false;
	if (live->told_clock || ahead_ns < now_ns + CLOCK_NS)
		return;
	live->told_clock = true;
	tpi_say("the clock was set back by %" PRIu64
		" s: events count as late until it has caught up",
		(ahead_ns - now_ns) / 1000000000);
}

static void advance(struct tpi_live *live)
{
	tpi_corr_time(live->corr, tpi_inputs_watermark(&live->inputs));
}

static void rest(struct tpi_live *live)
{
	int64_t left_ns = tpi_live_due_ns(live) - tpi_monotonic_ns();

	if (left_ns > TICK_NS)
		left_ns = TICK_NS;
	if (left_ns <= 0)
		return;
	/* Events are no news while they are not taken. */
	if (live->stored || live->state.failed)
		tpi_sleep_until(tpi_monotonic_ns() + left_ns);
	else
		tpi_inputs_wait(&live->inputs, left_ns);
}

/* False: the program ends. */
static bool go_round(struct tpi_live *live)
{
	int64_t count = 0;

	if (reload_wanted && !live->stored && !reload(live))
		return false;
	/* A state that cannot be stored holds all up: events must not fill memory. */
	if (!live->stored && !live->state.failed) {
		count = tpi_inputs_take(&live->inputs);
		if (count < 0)
			return false;
		advance(live);
	}
	tpi_live_settle(live, false);
	if (!count) {
		look_at_clock(live);
		rest(live);
	}
	return true;
}

/* ---- begin and end ------------------------------------------------------------------------ */

static void on_why(void *arg, const struct tpi_corr_why *why)
{
	struct tpi_live *live = arg;

	if (tpi_print_why(live->values->output, live->corr, why) == -EPIPE)
		live->broken = true;
}

struct tpi_corr_limits
tpi_correlate_limits(const struct tpi_correlate_values *values)
{
	return (struct tpi_corr_limits){
		.keys_per_rule = (uint32_t)values->limit_keys,
		.events_per_key = (uint32_t)values->limit_events,
		.bytes = values->limit_bytes,
	};
}

static bool begin(struct tpi_live *live, struct tpi_rules *rules)
{
	const struct tpi_corr_options options = {
		.limits = tpi_correlate_limits(live->values),
		.on_finding = tpi_live_finding,
		.on_why = live->values->explain ? on_why : NULL,
		.arg = live,
	};
	struct tpi_collector *c = live->collector;
	int err = tpi_corr_new(&live->corr, rules, &options);

	live->buffer_bytes = TPI_SINK_BYTES_MAX;
	live->buffer = malloc(live->buffer_bytes);
	if (err || !live->buffer)
		return tpi_collector_fail(c, TPI_EXIT_FAILURE, "out of memory");
	if (tpi_collector_sink(c, &live->sink))
		return false;
	if (!tpi_state_open(&live->state, live->values->state) ||
	    tpi_inputs_init(&live->inputs, c, live->values, live->corr,
			    live->state.path != NULL)) {
		c->status = TPI_EXIT_FAILURE;
		return false;
	}
	return true;
}

static bool attach(struct tpi_live *live)
{
	struct tpi_collector *c = live->collector;

	if (live->emits && !tpi_collector_attach(c))
		return false;
	if (live->emits && live->state.path &&
	    !tpi_echo_open(&live->echo, c, live->values->group))
		return false;
	return tpi_live_resume(live) && tpi_inputs_open(&live->inputs);
}

static void end(struct tpi_live *live)
{
	struct tpi_collector *c = live->collector;

	if (live->state.failed && c->status == TPI_EXIT_OK)
		c->status = TPI_EXIT_FAILURE;
	tpi_echo_close(&live->echo);
	tpi_inputs_fini(&live->inputs);
	tpi_state_close(&live->state);
	tpi_outbox_free(&live->box);
	tpi_corr_free(live->corr);
	free(live->buffer);
}

int tpi_correlate_live(struct tpi_collector *collector,
		       const struct tpi_correlate_values *values,
		       struct tpi_rules *rules)
{
	struct tpi_live live = {
		.collector = collector,
		.values = values,
		.state = {.fd = -1, .lock = -1},
		.inputs = {.epoll = -1},
		.emits = strcmp(collector->values.channel,
				TPI_CORRELATE_NO_CHANNEL) != 0,
	};

	if (begin(&live, rules) && attach(&live)) {
		while (tend(&live) && go_round(&live))
			;
		/* Neither events that were taken nor findings are lost with us. */
		tpi_live_settle(&live, true);
		if (values->explain) {
			tpi_corr_explain(live.corr);
			tpi_print_rules(values->output, live.corr);
		}
		if (!collector->values.quiet) {
			struct tpi_corr_stats stats;

			tpi_corr_stats(live.corr, &stats);
			tpi_say("read %" PRIu64 " events, %" PRIu64
				" late, %" PRIu64 " lost",
				stats.events, stats.late, live.inputs.lost);
		}
	}
	end(&live);
	return tpi_collector_end(collector);
}
