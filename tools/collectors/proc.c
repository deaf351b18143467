/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-collect-proc: the facts of /proc, as typed events on a channel.
 *
 * One thread: scan, emit, and sleep until the next scan is due or a process
 * ends. A scan that took longer than the interval is not made up for. The
 * channel may be full (counted, warned about once in a while) and the broker may
 * go away (with --wait we attach to the next one, and go on from what we know).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/producer.h>

#include "tools/collectors/proc_collect.h"
#include "tools/common/tool.h"

#define ALL_SOURCES ((UINT32_C(1) << TPI_PROC_SOURCES) - 1)

struct arguments {
	struct tpi_connect connect;
	struct tpi_proc_options collect;
	const char *channel;
	const char *urgent_class;
	int64_t interval_ns;
	int64_t duration_ns; /* TAPIO_FOREVER */
	uint64_t count;      /* of scans. 0: no end */
	bool quiet;
};

struct run {
	struct arguments args;
	struct tapio_producer *producer;
	struct tpi_proc *proc;
	struct tpi_sink sink;
	char where[96];
};

enum {
	OPTION_TOP = 256,
	OPTION_CLASS,
	OPTION_PROC,
	OPTION_SYS,
	OPTION_ALL,
	OPTION_NO_EXISTING
};

static const struct argp_option options[] = {
	{"channel", 'c', "NAME", 0, "Channel to emit to (default: events)", 0},
	{"class", OPTION_CLASS, "NAME", 0,
	 "Class of lanes for process starts and exits: other events cannot fill a "
	 "class of their own",
	 0},
	{0, 0, 0, 0, "Which events:", 1},
	{"sources", 'S', "LIST", 0,
	 "Only these, separated by commas: start, exit, sample, pressure, "
	 "network, disk (default: all)",
	 1},
	{"interval", 'i', "TIME", 0, "Between two scans (default: 1s)", 1},
	{"count", 'n', "N", 0, "Stop after N scans", 1},
	{"duration", 'd', "TIME", 0, "Stop after this time", 1},
	{"top", OPTION_TOP, "N", 0,
	 "Samples of the N processes that changed most (default: of all that "
	 "changed)",
	 1},
	{"all", OPTION_ALL, 0, 0,
	 "Samples and counters also of what did not change", 1},
	{"no-existing", OPTION_NO_EXISTING, 0, 0,
	 "No start events for processes that are there already", 1},
	{"proc", OPTION_PROC, "PATH", 0, "Where /proc is mounted", 1},
	{"sys", OPTION_SYS, "PATH", 0, "Where /sys is mounted", 1},
	{0, 0, 0, 0, "Other:", 3},
	{"quiet", 'q', 0, 0, "No summary at the end", 3},
	{0},
};

static const char doc[] =
	"Collects from /proc, without privileges, and emits typed events: process "
	"starts and exits, CPU and memory of processes, pressure, network and "
	"disk counters.\v"
	"Examples:\n"
	"  tapio-collect-proc                   all of it, once a second\n"
	"  tapio-collect-proc -S start,exit --wait\n"
	"  tapio-collect-proc -i 5s --top 10    the ten busiest processes\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failure, 2 usage, 3 no broker, 4 no such "
	"channel or no right to it, 5 the broker has gone (without --wait).";

static int find_source(const char *name, size_t length)
{
	for (int i = 0; i < TPI_PROC_SOURCES; i++)
		if (strlen(tpi_proc_source_names[i]) == length &&
		    !strncmp(tpi_proc_source_names[i], name, length))
			return i;
	return -1;
}

static uint32_t parse_sources(struct argp_state *state, const char *list)
{
	uint32_t sources = 0;

	for (const char *at = list;; at++) {
		size_t length = strcspn(at, ",");
		int source = find_source(at, length);

		if (source < 0)
			argp_error(state,
				   "--sources: '%.*s' is not one of start, "
				   "exit, sample, pressure, network, disk",
				   (int)length, at);
		sources |= UINT32_C(1) << source;
		at += length;
		if (!*at)
			return sources;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->connect;
		return 0;
	case 'c':
		args->channel = arg;
		return 0;
	case OPTION_CLASS:
		args->urgent_class = arg;
		return 0;
	case 'S':
		args->collect.sources = parse_sources(state, arg);
		return 0;
	case 'i':
		args->interval_ns = tpi_arg_duration(state, "--interval", arg);
		if (args->interval_ns < 1000000 &&
		    args->interval_ns != TAPIO_FOREVER)
			argp_error(state, "--interval: %s is less than 1ms",
				   arg);
		return 0;
	case 'n':
		args->count =
			tpi_arg_count(state, "--count", arg, 1, UINT64_MAX);
		return 0;
	case 'd':
		args->duration_ns = tpi_arg_duration(state, "--duration", arg);
		return 0;
	case OPTION_TOP:
		args->collect.top = (uint32_t)tpi_arg_count(state, "--top", arg,
							    1, UINT32_MAX);
		return 0;
	case OPTION_ALL:
		args->collect.all = true;
		return 0;
	case OPTION_NO_EXISTING:
		args->collect.no_existing = true;
		return 0;
	case OPTION_PROC:
		args->collect.proc = arg;
		return 0;
	case OPTION_SYS:
		args->collect.sys = arg;
		return 0;
	case 'q':
		args->quiet = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- the channel -------------------------------------------------------- */

static int output(void *arg, uint32_t tag, const void *data, uint32_t length)
{
	struct run *run = arg;

	return tapio_output(run->producer, tag, data, length);
}

static int open_producer(void *arg, const struct tapio_options *broker)
{
	struct run *run = arg;

	return tapio_producer_open(&run->producer, run->args.channel, broker);
}

/* Attaches, and fits the sink to the channel. 0 or an exit status. */
static int attach(struct run *run)
{
	struct arguments *args = &run->args;
	int err = tpi_connect(&args->connect, open_producer, run);

	if (err)
		return tpi_connect_failed(&args->connect, args->channel, err);
	run->sink.max_bytes = tapio_producer_max_bytes(run->producer);
	run->sink.urgent_class = -1;
	if (!args->urgent_class)
		return 0;
	err = tapio_producer_class(run->producer, args->urgent_class);
	if (err < 0) {
		tpi_say("channel '%s' has no class '%s'", args->channel,
			args->urgent_class);
		return TPI_EXIT_REFUSED;
	}
	run->sink.urgent_class = err;
	return 0;
}

static void detach(struct run *run)
{
	tapio_producer_close(run->producer);
	run->producer = NULL;
}

/* The broker may have gone since the last look. 0 or an exit status. */
static int stay_attached(struct run *run)
{
	if (tapio_producer_connected(run->producer))
		return 0;
	tpi_say("the broker at %s has gone%s",
		tpi_connect_socket(&run->args.connect),
		run->args.connect.wait_ns
			? ""
			: " (--wait would wait for the next one)");
	if (!run->args.connect.wait_ns)
		return TPI_EXIT_BROKER_GONE;
	detach(run);
	int status = attach(run);
	if (!status)
		tpi_say("attached again to channel '%s'", run->args.channel);
	return status;
}

/* ---- the loop ----------------------------------------------------------- */

/* Until deadline_ns: tells of exits as they happen. False: asked to stop. */
static bool wait_until(struct run *run, int64_t deadline_ns)
{
	for (;;) {
		int ready = tpi_wait_until(tpi_proc_exit_fd(run->proc),
					   deadline_ns);
		if (ready <= 0)
			return ready == 0;
		tpi_proc_exits(run->proc);
	}
}

static int loop(struct run *run)
{
	const struct arguments *args = &run->args;
	int64_t next_ns = tpi_monotonic_ns();
	int64_t end_ns = tpi_deadline_ns(next_ns, args->duration_ns);

	run->args.connect.end_ns = end_ns; /* of a later wait */

	for (uint64_t scans = 1;; scans++) {
		int err = tpi_proc_scan(run->proc);
		int64_t now_ns = tpi_monotonic_ns();

		tpi_sink_warn(&run->sink, now_ns);
		if (err) {
			tpi_say("cannot read %s: %s",
				args->collect.proc ? args->collect.proc
						   : "/proc",
				strerror(-err));
			return TPI_EXIT_FAILURE;
		}
		if (scans == args->count)
			return TPI_EXIT_OK;
		next_ns = tpi_deadline_ns(next_ns, args->interval_ns);
		if (next_ns < now_ns)
			next_ns = now_ns;
		if (!wait_until(run, next_ns < end_ns ? next_ns : end_ns) ||
		    end_ns <= next_ns)
			return TPI_EXIT_OK;
		int status = stay_attached(run);
		if (tpi_stop_signal() || tpi_monotonic_ns() >= end_ns)
			return TPI_EXIT_OK;
		if (status)
			return status;
	}
}

static int collect(struct run *run)
{
	const char *failed;
	int err = tpi_proc_open(&run->proc, &run->args.collect, &run->sink,
				&failed);

	if (err) {
		tpi_say("cannot open %s: %s", failed, strerror(-err));
		return TPI_EXIT_FAILURE;
	}
	int status = attach(run);
	if (!status) {
		status = loop(run);
		if (run->producer)
			tpi_proc_exits(run->proc);
		if (!run->args.quiet) {
			char summary[512];
			tpi_sink_summary(&run->sink, summary, sizeof(summary));
			tpi_say("%s", summary);
		}
	}
	detach(run);
	tpi_proc_close(run->proc);
	return status;
}

int main(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&tpi_connect_argp, 0, "Broker:", 2}, {0}};
	static const struct argp argp = {options,  parse, NULL, doc,
					 children, NULL,  NULL};
	static struct run run = {
		.args = {.channel = "events",
			 .collect = {.sources = ALL_SOURCES},
			 .interval_ns = 1000000000,
			 .duration_ns = TAPIO_FOREVER},
	};

	tpi_tool_init("tapio-collect-proc");
	argp_parse(&argp, argc, argv, 0, NULL, &run.args);
	tpi_signals_init();
	snprintf(run.where, sizeof(run.where), "channel '%s'",
		 run.args.channel);
	run.sink.output = output;
	run.sink.arg = &run;
	run.sink.where = run.where;
	return collect(&run);
}
