/* SPDX-License-Identifier: Apache-2.0 */
/* --merge: partial results of all members, from a channel, to windows. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tools/analyze/analyze.h"
#include "tools/analyze/partials.h"

#define BATCH    128
#define SLICE_NS INT64_C(50000000)
/* Deltas of a lane are in the order of their stamps, whichever CPU they came from. */
#define MERGE_NS UINT64_C(20000000)

/* Of nothing, after which no more is waited for. */
#define QUIET_NS (3 * (int64_t)MERGE_NS)

struct run {
	struct an_arguments *args;
	struct an_reporter *reporter;
	struct an_collector collector;
	struct tapio_consumer *consumer;
	int64_t end_ns;
	int64_t got_ns; /* when the last events were taken */
	bool told_stale;
};

static void say_stale(struct run *run)
{
	if (!run->collector.stale || run->told_stale)
		return;
	tpi_say("a member in channel '%s' has other options, or another version: "
		"its results are left out",
		run->args->merge);
	run->told_stale = true;
}

static bool is_over(struct run *run, int got)
{
	const struct an_reporter *r = run->reporter;

	if (r->err || (r->limit && r->shown >= r->limit))
		return true;
	if (got)
		run->got_ns = tpi_monotonic_ns();
	/* Events that are too young to be merged come a little later. */
	if (tpi_stop_signal() || !run->args->duration_ns)
		return tpi_monotonic_ns() - run->got_ns > QUIET_NS;
	return tpi_monotonic_ns() >= run->end_ns;
}

/* Until asked to stop, and all that is there was taken. An exit status. */
static int follow(struct run *run)
{
	struct tapio_view views[BATCH];
	int64_t looked_ns = 0;

	for (;;) {
		int got = tapio_poll(run->consumer, views, BATCH,
				     tpi_stop_signal() ? QUIET_NS : SLICE_NS);
		int64_t now_ns;

		if (got == -EINTR)
			continue;
		if (got < 0) {
			tpi_say("cannot read partial results: %s",
				got == -ENOTCONN ? "the group was removed"
						 : strerror(-got));
			return TPI_EXIT_FAILURE;
		}
		now_ns = tpi_monotonic_ns();
		for (int i = 0; i < got; i++)
			an_collect(&run->collector, run->consumer, &views[i],
				   now_ns);
		if (got)
			tapio_release(run->consumer);
		an_merger_look(run->collector.merger, now_ns);
		say_stale(run);
		if (is_over(run, got))
			return 0;
		if (got || now_ns - looked_ns < SLICE_NS)
			continue;
		looked_ns = now_ns;
		if (an_broker_gone(run->args, &run->args->connect,
				   tapio_consumer_broker(run->consumer)))
			return TPI_EXIT_BROKER_GONE;
	}
}

int an_run_merger(struct an_arguments *args, struct an_reporter *reporter)
{
	const int64_t began_ns =
		args->start == TAPIO_START_OLDEST
			? INT64_MIN
			: (int64_t)tpi_clock_read_ns(CLOCK_REALTIME);
	struct run run = {
		.args = args,
		.reporter = reporter,
		.collector = {.spec = &args->spec, .budget = &args->budget},
		.end_ns =
			tpi_deadline_ns(tpi_monotonic_ns(), args->duration_ns),
	};
	int status =
		an_open_consumer(args, args->merge, MERGE_NS, &run.consumer);

	if (status)
		return status;
	run.collector.merger =
		an_merger_new(&args->spec, &args->budget, began_ns,
			      args->silent_ns, an_report, reporter);
	if (!run.collector.merger) {
		tapio_consumer_close(run.consumer);
		return TPI_EXIT_FAILURE;
	}
	reporter->merger = run.collector.merger;
	run.got_ns = tpi_monotonic_ns();
	status = follow(&run);
	an_merger_finish(run.collector.merger, false);
	an_say_totals(args, reporter);
	if (args->stats)
		tpi_say("not partial results %" PRIu64
			", of members with other options %" PRIu64
			", without their end %" PRIu64,
			run.collector.foreign, run.collector.stale,
			run.collector.unended);
	if (reporter->err && reporter->err != -EPIPE) {
		tpi_say("cannot write the output: %s",
			strerror(-reporter->err));
		status = TPI_EXIT_FAILURE;
	}
	an_collector_free(&run.collector);
	an_merger_free(run.collector.merger);
	tapio_consumer_close(run.consumer);
	return status;
}
