/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-correlate: rules over events of several kinds, in a row, many, different or missing ones, by
 * key and within a time. Findings are events of type `finding`. docs/guide/correlation.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/findings.h"
#include "tools/correlate/live.h"
#include "tools/correlate/print.h"
#include "tools/correlate/replay.h"

static const char doc[] =
	"Looks in the events of channels for patterns that rules describe: events in a row, "
	"many, different or missing ones, by key and within a time. A finding is printed, and "
	"emitted as an event of type finding, with the events that it rests on.\v"
	"Examples:\n"
	"  tapio-correlate --rules=my.rules\n"
	"  tapio-correlate --rules=my.rules --state=/var/lib/tapio/my.state --wait\n"
	"  tapio-tail --json --duration=60 > recording; tapio-correlate --rules=my.rules "
	"--replay=recording --explain\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failure, 2 usage or a mistake in the rules, 3 no "
	"broker, 4 no such channel or no right to it, 5 the broker has gone (without "
	"--wait).";

/* --check: the rules, too. */
static int probe(void *arg)
{
	const struct tpi_correlate_values *values = arg;
	struct tpi_rules *rules = tpi_correlate_load_rules(values->rules);

	if (!rules)
		return TPI_EXIT_USAGE;
	tpi_say("%s: its rules are right: %u", values->rules,
		tpi_rules_count(rules));
	tpi_rules_free(rules);
	return TPI_EXIT_OK;
}

/* ---- a recording -------------------------------------------------------------------------- */

struct replay {
	struct tpi_corr *corr;
	const struct tpi_correlate_values *values;
	unsigned char *buffer;
	uint64_t findings;
	int error;
};

static void print_finding(void *arg, const struct tpi_corr_finding *finding)
{
	struct replay *r = arg;
	/* The same each time: no clock is read. */
	int length = tpi_finding_build(r->buffer, TPI_SINK_BYTES_MAX, r->corr,
				       finding, finding->time_ns);
	int err = length < 0 ? length
			     : tpi_print_finding(r->values->output, r->buffer,
						 (size_t)length);

	r->findings++;
	if (err && !r->error)
		r->error = err;
}

static void print_why(void *arg, const struct tpi_corr_why *why)
{
	struct replay *r = arg;
	int err = tpi_print_why(r->values->output, r->corr, why);

	if (err && !r->error)
		r->error = err;
}

/* What makes the findings others than those of a live run is told also with --quiet. */
static void say_replay(struct tpi_collector *c, const struct replay *r,
		       const struct tpi_replay_stats *stats)
{
	struct tpi_corr_stats corr;

	tpi_corr_stats(r->corr, &corr);
	if (!c->values.quiet)
		tpi_say("replayed %" PRIu64 " events of %" PRIu64
			" lines, %" PRIu64 " gaps, %" PRIu64
			" passed over: %" PRIu64 " findings",
			stats->events, stats->lines, stats->gaps,
			stats->skipped, r->findings);
	if (corr.late)
		tpi_say("%" PRIu64
			" events were late and not used: the recording is not "
			"in order of time, and more of it would have to wait "
			"than --limit-bytes=%" PRIu64
			" allows; give a larger one",
			corr.late, r->values->limit_bytes);
	if (corr.again)
		tpi_say("%" PRIu64
			" events were passed over: their lane had an event of "
			"their position or a later one before (a recording of "
			"more than one memory?)",
			corr.again);
}

static int read_file(struct tpi_collector *c, struct replay *r)
{
	const struct tpi_replay_options options = {
		.wait_bytes = r->values->limit_bytes,
		.lateness_ns = (uint64_t)r->values->lateness_ns,
	};
	struct tpi_replay_stats stats = {0};
	char why[TPI_REPLAY_WHY_BYTES] = "";
	int err = tpi_replay_file(r->corr, r->values->replay, &options, &stats,
				  why);

	if (err) {
		tpi_say("cannot replay %s: %s", r->values->replay,
			why[0] ? why : strerror(-err));
		return TPI_EXIT_FAILURE;
	}
	if (r->values->explain) {
		tpi_corr_explain(r->corr);
		tpi_print_rules(r->values->output, r->corr);
	}
	if (r->error && r->error != -EPIPE) {
		tpi_say("cannot write findings: %s", strerror(-r->error));
		return TPI_EXIT_FAILURE;
	}
	say_replay(c, r, &stats);
	return TPI_EXIT_OK;
}

int tpi_correlate_replay(struct tpi_collector *c,
			 const struct tpi_correlate_values *values,
			 struct tpi_rules *rules)
{
	struct replay r = {.values = values,
			   .buffer = malloc(TPI_SINK_BYTES_MAX)};
	struct tpi_corr_options options = {
		.limits = tpi_correlate_limits(values),
		.on_finding = print_finding,
		.on_why = values->explain ? print_why : NULL,
		.arg = &r,
	};

	/* It keeps nothing, so a signal ends it at once. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	/* As much again for events that wait, so that keys have what they have live. */
	if (options.limits.bytes <= UINT64_MAX / 2)
		options.limits.bytes *= 2;
	if (tpi_corr_new(&r.corr, rules, &options) || !r.buffer)
		tpi_collector_fail(c, TPI_EXIT_FAILURE, "out of memory");
	else
		c->status = read_file(c, &r);
	tpi_corr_free(r.corr);
	free(r.buffer);
	return tpi_collector_end(c);
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void on_hangup(int number)
{
	(void)number;
	tpi_correlate_reload();
}

/* Instead of an end, which it means to other tools. */
static void take_hangups(void)
{
	struct sigaction action = {.sa_handler = on_hangup};

	sigemptyset(&action.sa_mask);
	sigaction(SIGHUP, &action, NULL);
}

int main(int argc, char **argv)
{
	static const struct tpi_collector_about about = {
		.name = "tapio-correlate",
		.section = "correlate",
		.doc = doc,
		.settings = {tpi_correlate_settings, &tpi_correlate_values},
		.check = tpi_correlate_check,
		.probe = probe,
		.kinds = tpi_correlate_kinds,
		.kind_count = TPI_CORRELATE_KINDS,
		.source = TAPIO_SOURCE_APPLICATION,
		.channel = "findings",
		.channel_option = "findings",
		.channel_help =
			"Channel that findings are emitted to (default: "
			"findings; none: they are only printed)",
	};
	const struct tpi_correlate_values *values = &tpi_correlate_values;
	static struct tpi_collector c;
	struct tpi_rules *rules;

	if (!tpi_collector_begin(&c, &about, argc, argv))
		return c.status;
	take_hangups();
	rules = tpi_correlate_load_rules(values->rules);
	if (!rules) {
		c.status = TPI_EXIT_USAGE;
		return tpi_collector_end(&c);
	}
	return values->replay ? tpi_correlate_replay(&c, values, rules)
			      : tpi_correlate_live(&c, values, rules);
}
