/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-tail: shows the events of a channel, as text or as JSON Lines.
 *
 * By default an observer, which holds up no producer. With --group a consumer.
 * One thread: take a batch, format it, write it, release it. So a kill, or an output
 * that takes no more, leaves events to the next member: they are shown twice, and none
 * is lost. An event that was overwritten while it was formatted is not shown, and is
 * counted as lost, here and in the group's ledger.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/event.h>

#include "tools/tail/banner.h"
#include "tools/tail/lines.h"
#include "tools/tail/options.h"

/* How long to wait for events before we look whether to stop. */
#define SLICE_NS INT64_C(100000000)
#define BATCH    128

struct run {
	struct tpi_tail_arguments args;
	struct tpi_tail_source source;
	struct tpi_tail_out out;
	struct tpi_tail_stats before; /* of sources that have gone */
	uint64_t shown;
	uint64_t passed_over; /* by --where and --since */
	int64_t end_ns;
};

/* ---- the source --------------------------------------------------------- */

static int open_source(void *arg, const struct tapio_options *broker)
{
	return tpi_tail_open(arg, broker);
}

/* 0 or an exit status. */
static int attach(struct run *run)
{
	struct tpi_tail_arguments *args = &run->args;
	int err = tpi_connect(&args->connect, open_source, &run->source);

	return err ? (int)tpi_connect_failed(&args->connect, args->tail.channel,
					     err)
		   : 0;
}

static void add_stats(struct run *run)
{
	struct tpi_tail_stats stats;

	tpi_tail_stats(&run->source, &stats);
	run->before.delivered += stats.delivered;
	run->before.skipped += stats.skipped;
	run->before.lost += stats.lost;
	run->before.late += stats.late;
}

/* All that the broker left behind was shown. 0: go on, else an exit status. */
static int broker_gone(struct run *run)
{
	tpi_say("the broker at %s has gone%s",
		tpi_connect_socket(&run->args.connect),
		run->args.connect.wait_ns
			? ""
			: " (--wait would wait for the next one)");
	if (!run->args.connect.wait_ns)
		return TPI_EXIT_BROKER_GONE;
	add_stats(run);
	tpi_tail_close(&run->source);
	/* All that the next broker's channel holds by then is news to us. */
	run->args.tail.start = TAPIO_START_OLDEST;
	int status = attach(run);
	if (!status)
		tpi_say("attached again to channel '%s'",
			run->args.tail.channel);
	return status;
}

/* ---- batches ------------------------------------------------------------ */

static unsigned int batch_max(const struct run *run)
{
	const struct tpi_tail_arguments *args = &run->args;
	uint64_t max = BATCH;

	/* No more than will be shown: a released event is consumed. */
	if (args->count && max > args->count - run->shown)
		max = args->count - run->shown;
	return (unsigned int)max;
}

/* Counts what is shown, and what was overwritten while it was formatted. */
static int format_batch(struct run *run, const struct tapio_view *views,
			int count, uint64_t *events, uint64_t *overwritten)
{
	int err = 0;

	*events = *overwritten = 0;
	for (int i = 0; i < count && !err; i++) {
		size_t before = run->out.used;
		bool hidden;

		err = tpi_tail_out_view(
			&run->out, &views[i],
			tpi_tail_time_ns(&run->source, views[i].time));
		hidden = err == 1;
		err = hidden ? 0 : err;
		if (views[i].flags & TAPIO_VIEW_GAP)
			continue;
		if (err || tpi_tail_intact(&run->source, &views[i])) {
			*events += !hidden;
			run->passed_over += hidden;
			continue;
		}
		tpi_tail_out_rewind(&run->out, before);
		++*overwritten;
	}
	if (!err && *overwritten)
		err = tpi_tail_out_overwritten(&run->out, *overwritten);
	return err;
}

/* Shows a batch. 0 or -errno. */
static int show(struct run *run, const struct tapio_view *views, int count)
{
	uint64_t events, overwritten;
	int err = format_batch(run, views, count, &events, &overwritten);

	if (!err)
		err = tpi_tail_out_flush(&run->out);
	if (err)
		return err; /* others get what is not released */
	tpi_tail_release(&run->source);
	run->shown += events;
	return 0;
}

static int64_t next_timeout(const struct run *run)
{
	int64_t left_ns = run->end_ns - tpi_monotonic_ns();

	if (left_ns < 0)
		return 0;
	return left_ns < SLICE_NS ? left_ns : SLICE_NS;
}

/* Whether the time is over. --duration 0 ends when nothing is left. */
static bool is_over(const struct run *run, int count)
{
	if (!run->args.duration_ns)
		return count == 0;
	return tpi_monotonic_ns() >= run->end_ns;
}

static int failed(const char *what, int err)
{
	if (err == -EPIPE)
		return TPI_EXIT_OK; /* our reader has seen enough */
	tpi_say("%s: %s", what, strerror(-err));
	return TPI_EXIT_FAILURE;
}

static int follow(struct run *run)
{
	struct tapio_view views[BATCH];
	bool gone = false;

	while (!tpi_stop_signal()) {
		int count = tpi_tail_next(&run->source, views, batch_max(run),
					  gone ? 0 : next_timeout(run));
		if (count == -EINTR)
			continue;
		if (count < 0 && count != -ENOTCONN)
			return failed("cannot read events", count);
		int err = count > 0 ? show(run, views, count) : 0;
		if (err)
			return failed("cannot write the output", err);
		if ((run->args.count && run->shown == run->args.count) ||
		    (!gone && count >= 0 && is_over(run, count)))
			return TPI_EXIT_OK;
		if (count == -ENOTCONN || (gone && count == 0)) {
			int status = broker_gone(run);
			if (tpi_stop_signal() ||
			    (run->args.duration_ns && is_over(run, count)))
				return TPI_EXIT_OK;
			if (status)
				return status;
			gone = false;
		} else if (count == 0) {
			/* One more look: for what came just before. */
			gone = tpi_broker_gone(&run->args.connect,
					       tpi_tail_broker(&run->source));
		}
	}
	return TPI_EXIT_OK;
}

static void say_stats(struct run *run)
{
	add_stats(run);
	tpi_say("shown %" PRIu64 ", delivered %" PRIu64 ", skipped %" PRIu64
		", lost %" PRIu64,
		run->shown, run->before.delivered, run->before.skipped,
		run->before.lost);
	if (run->args.where.count || run->args.since_ns)
		tpi_say("passed over %" PRIu64 " by --where and --since",
			run->passed_over);
	if (run->args.tail.merge_ns)
		tpi_say("late %" PRIu64, run->before.late);
}

static int tail(struct run *run)
{
	const struct tpi_tail_arguments *args = &run->args;
	int status = attach(run);

	if (status)
		return status;
	tpi_tail_banner(args);
	run->end_ns = tpi_deadline_ns(tpi_monotonic_ns(), args->duration_ns);
	run->args.connect.end_ns = run->end_ns; /* of a later wait */
	status = follow(run);
	if (args->stats)
		say_stats(run);
	tpi_tail_close(&run->source);
	tpi_tail_out_free(&run->out);
	return status;
}

int main(int argc, char **argv)
{
	static struct run run = {
		.args = {.tail = {.channel = "events"},
			 .duration_ns = TAPIO_FOREVER},
		.out = {.fd = STDOUT_FILENO},
	};

	tpi_tool_init("tapio-tail");
	tpi_tail_parse(argc, argv, &run.args);
	tpi_signals_init();
	run.source.options = &run.args.tail;
	run.out.json = run.args.json;
	run.out.channel = run.args.tail.channel;
	run.out.color = run.args.color;
	run.out.where = &run.args.where;
	run.out.since_ns = run.args.since_ns;
	return tail(&run);
}
