/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-analyze: figures of a channel's events by windows of time and by key.
 *
 *	channel -> member, member, ... -> deltas -> merger -> windows -> report
 *
 * Members read lanes of one group, each in a thread (members.c). With --partials their
 * deltas go into a channel, and a process with --merge puts those of all processes
 * together (collect.c). --replay reads a file instead (replay.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "tools/analyze/analyze.h"

uint64_t an_random(void)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		number = tpi_clock_read_ns(CLOCK_REALTIME) ^ (uint64_t)getpid()
								     << 32;
	return number;
}

static int open_output(void *arg, const struct tapio_options *broker)
{
	const struct an_arguments *args = ((void **)arg)[0];
	struct tapio_producer **producer = ((void **)arg)[1];

	return tapio_producer_open(
		producer, args->partials ? args->partials : args->output,
		broker);
}

/* 0 or an exit status. */
int an_open_producer(struct an_arguments *args,
		     struct tapio_producer **producer)
{
	void *arg[] = {args, producer};
	int err = tpi_connect(&args->connect, open_output, arg);

	return err ? (int)tpi_connect_failed(&args->connect,
					     args->partials ? args->partials
							    : args->output,
					     err)
		   : 0;
}

/* A table that fits on the terminal stays at its place. */
static void look_at_terminal(struct an_report_options *report)
{
	struct winsize size;

	report->live = !report->json && isatty(report->fd);
	if (report->live && !ioctl(report->fd, TIOCGWINSZ, &size) &&
	    size.ws_row > 6 && report->rows > size.ws_row - 5u)
		report->rows = size.ws_row - 5u;
}

int an_reporter_open(struct an_arguments *args, struct an_reporter *reporter)
{
	args->report.spec = &args->spec;
	/* With --output alone, results are events, unless JSON is asked for. */
	args->report.fd =
		args->output && !args->report.json ? -1 : STDOUT_FILENO;
	if (args->report.fd >= 0)
		look_at_terminal(&args->report);
	reporter->o = args->report;
	reporter->budget = &args->budget;
	reporter->limit = args->windows;
	reporter->began_ns = tpi_clock_read_ns(CLOCK_REALTIME);
	if (args->report.change.is_on) {
		reporter->baselines = an_baselines_new(
			&args->spec, &reporter->o.change, &args->budget);
		if (!reporter->baselines)
			return TPI_EXIT_FAILURE;
	}
	return args->output ? an_open_producer(args, &reporter->producer) : 0;
}

/* What is in no window, and why. */
static void say_missing(const struct an_arguments *args,
			const struct an_totals *t)
{
	if (t->old)
		tpi_say("%" PRIu64
			" events have a time long before the analysis began, "
			"such as those of processes that a collector found "
			"running, and count as late: --time=stamp takes the "
			"time at which they were emitted, "
			"--where='flags!=existing' leaves them out, and "
			"--since=oldest shows old windows",
			t->old);
	if (t->late > t->old && args->replay)
		tpi_say("%" PRIu64
			" events were late: the recording is not in order of "
			"time, and its windows have no room in --memory=%" PRIu64
			" or are too many; give more, or longer windows",
			t->late - t->old, args->budget.max_bytes);
	else if (t->late > t->old)
		tpi_say("%" PRIu64
			" events were late: their windows were closed already "
			"(a longer --lateness waits for them)",
			t->late - t->old);
	if (t->untimed && args->replay && args->spec.by_stamp)
		tpi_say("%" PRIu64
			" lines have no stamp_ns, which --time=stamp needs, and "
			"are in no window",
			t->untimed);
}

void an_say_totals(const struct an_arguments *args,
		   const struct an_reporter *reporter)
{
	const struct an_totals *t = an_merger_totals(reporter->merger);

	if (reporter->refused)
		tpi_say("channel '%s' refused %" PRIu64 " results",
			args->output, reporter->refused);
	say_missing(args, t);
	if (!args->stats)
		return;
	tpi_say("events %" PRIu64 ", passed over %" PRIu64 ", late %" PRIu64
		", future %" PRIu64 ", without time %" PRIu64 ", lost %" PRIu64,
		t->events, t->passed, t->late, t->future, t->untimed, t->lost);
	tpi_say("windows %" PRIu64 ", empty and not shown %" PRIu64
		", came again %" PRIu64 ", fit no chain %" PRIu64
		", changes %" PRIu64,
		t->windows, t->skipped, t->again, t->refused,
		reporter->changes);
	if (reporter->baselines && an_baselines_without(reporter->baselines))
		tpi_say("keys without room for a baseline, not judged: %" PRIu64
			" times",
			an_baselines_without(reporter->baselines));
}

bool an_broker_gone(struct an_arguments *args, struct tpi_connect *connect,
		    int link)
{
	if (!tpi_broker_gone(connect, link) || args->connect.wait_ns)
		return false;
	tpi_say("the broker at %s has gone (--wait would wait for the next one)",
		tpi_connect_socket(connect));
	return true;
}

struct opening {
	const struct an_arguments *args;
	const char *channel;
	uint64_t merge_ns;
	struct tapio_consumer **consumer;
};

static int open_consumer(void *arg, const struct tapio_options *broker)
{
	const struct opening *o = arg;
	const struct an_arguments *args = o->args;
	const struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = *broker,
		.group = args->group,
		.policy = args->policy,
		.lag = args->lag,
		.start = args->start,
		.severity_min = args->merge ? 0 : args->spec.severity_min,
		.type_count = args->merge ? 0 : args->spec.type_count,
		.types = args->spec.types,
		.durable = args->durable,
		.merge_ns = o->merge_ns,
	};

	return tapio_consumer_open(o->consumer, o->channel, &options);
}

int an_open_consumer(struct an_arguments *args, const char *channel,
		     uint64_t merge_ns, struct tapio_consumer **consumer)
{
	struct opening opening = {args, channel, merge_ns, consumer};
	int err = tpi_connect(&args->connect, open_consumer, &opening);

	return err ? (int)tpi_connect_failed(&args->connect, channel, err) : 0;
}

int main(int argc, char **argv)
{
	static struct an_arguments args;
	static struct an_reporter reporter;
	int status;

	tpi_tool_init("tapio-analyze");
	an_options_parse(&args, argc, argv);
	tpi_signals_init();
	an_table_seed(an_random());
	status = an_reporter_open(&args, &reporter);
	if (status)
		return status;
	if (args.merge)
		status = an_run_merger(&args, &reporter);
	else if (args.replay)
		status = an_run_replay(&args, &reporter);
	else
		status = an_run_members(&args, &reporter);
	an_reporter_free(&reporter);
	tapio_producer_close(reporter.producer);
	return status;
}
