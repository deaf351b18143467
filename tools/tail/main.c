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

#include "tools/common/tool.h"
#include "tools/tail/lines.h"
#include "tools/tail/source.h"

/* How long to wait for events before we look whether to stop. */
#define SLICE_NS INT64_C(100000000)
/* How long events wait for earlier ones, when merging. */
#define MERGE_NS 10000000
#define BATCH    128

struct arguments {
	struct tpi_connect connect;
	struct tpi_tail_options tail;
	uint64_t count;      /* of events to show. 0: no end */
	int64_t duration_ns; /* TAPIO_FOREVER */
	bool json;
	bool stats;
};

struct run {
	struct arguments args;
	struct tpi_tail_source source;
	struct tpi_tail_out out;
	struct tpi_tail_stats before; /* of sources that have gone */
	uint64_t shown;
	int64_t end_ns;
};

enum {
	OPTION_SEVERITY = 256,
	OPTION_SINCE,
	OPTION_POLICY,
	OPTION_LAG,
	OPTION_MERGE,
	OPTION_STATS,
	OPTION_LIST_TYPES
};

static const struct argp_option options[] = {
	{"channel", 'c', "NAME", 0, "Channel to follow (default: events)", 0},
	{"json", 'j', 0, 0, "One JSON object a line", 0},
	{0, 0, 0, 0, "Which events:", 1},
	{"type", 't', "LIST", 0,
	 "Only these types, names or numbers separated by commas", 1},
	{"severity", OPTION_SEVERITY, "MIN", 0,
	 "Only this severity and worse, a name or a number", 1},
	{"since", OPTION_SINCE, "oldest|newest", 0,
	 "From the oldest event that the channel holds, or only new ones "
	 "(default)",
	 1},
	{"count", 'n', "N", 0, "Stop after N events", 1},
	{"duration", 'd', "TIME", 0,
	 "Stop after this time; 0: when all that is there was shown", 1},
	{"merge", OPTION_MERGE, "WAIT", OPTION_ARG_OPTIONAL,
	 "In the order of time stamps, across CPUs; events wait so long for "
	 "earlier ones (default: 10ms)",
	 1},
	{0, 0, 0, 0,
	 "As a consumer (default: as an observer, which never holds producers):",
	 2},
	{"group", 'g', "NAME", 0,
	 "Join this group: each event goes to one of its members", 2},
	{"policy", OPTION_POLICY, "lossy|until|lossless", 0,
	 "For a group that falls behind. until (default): producers overwrite only "
	 "events that are more than --lag behind. lossy: they overwrite any. "
	 "lossless: they find no room; needs a right. Without --group: a group of "
	 "its own",
	 2},
	{"lag", OPTION_LAG, "N", 0,
	 "The lag of --policy until, in events per lane (default: half a lane)",
	 2},
	{0, 0, 0, 0, "Other:", 4},
	{"stats", OPTION_STATS, 0, 0,
	 "Say at the end how many events were shown, skipped and lost", 4},
	{"list-types", OPTION_LIST_TYPES, 0, 0,
	 "List the types of events that have a name", 4},
	{0},
};

static const char doc[] =
	"Shows the events of a channel as they come, one a line.\v"
	"Examples:\n"
	"  tapio-tail                           follow the channel events\n"
	"  tapio-tail --since oldest -d 0       what it holds now, and end\n"
	"  tapio-tail -j --severity warning     warnings and worse, as JSON\n"
	"  tapio-tail -g audit --stats          as a member of the group audit\n"
	"\n"
	"Exit status: 0 ended as asked (also when its reader left), 1 failure, 2 "
	"usage, 3 no broker, 4 no such channel or no right to it, 5 the broker has "
	"gone (without --wait).";

struct choice {
	const char *name;
	uint32_t value;
};

static const struct choice starts[] = {
	{"newest", TAPIO_START_NEWEST},
	{"oldest", TAPIO_START_OLDEST},
	{NULL, 0},
};

static const struct choice policies[] = {
	{"lossy", TAPIO_GROUP_LOSSY},
	{"until", TAPIO_GROUP_UNTIL},
	{"lossless", TAPIO_GROUP_LOSSLESS},
	{NULL, 0},
};

static uint32_t choose(struct argp_state *state, const char *option,
		       const struct choice *choices, const char *text)
{
	char names[64] = "";

	for (const struct choice *c = choices; c->name; c++) {
		if (!strcmp(c->name, text))
			return c->value;
		strcat(names, c == choices ? "" : ", ");
		strcat(names, c->name);
	}
	argp_error(state, "%s: '%s' is not one of %s", option, text, names);
	return 0;
}

static void parse_types(struct argp_state *state, struct tpi_tail_options *tail,
			char *list)
{
	const size_t max = sizeof(tail->types) / sizeof(tail->types[0]);
	char *rest = list, *name;

	while ((name = strsep(&rest, ","))) {
		if (tail->type_count == max)
			argp_error(state, "--type: more than %zu types", max);
		if (tapio_event_type_parse(name,
					   &tail->types[tail->type_count++]))
			argp_error(
				state,
				"--type: '%s' is neither a type of event (see "
				"--list-types) nor a number from 1 to 65535",
				name);
	}
}

static void parse_severity(struct argp_state *state, const char *text,
			   uint8_t *severity)
{
	if (tapio_severity_parse(text, severity))
		argp_error(state,
			   "--severity: '%s' is neither a severity (trace, "
			   "debug, info, notice, warning, error, critical, "
			   "alert, emergency) nor a number from 0 to 15",
			   text);
}

static uint64_t parse_merge(struct argp_state *state, const char *text)
{
	int64_t ns = tpi_arg_duration(state, "--merge", text);

	if (ns < 1 || ns > (int64_t)TAPIO_MERGE_NS_MAX)
		argp_error(state, "--merge: '%s' is outside 1ns to 1m", text);
	return (uint64_t)ns;
}

static void list_types(void)
{
	const struct tapio_event_type *type;

	for (unsigned i = 0; (type = tapio_event_type_at(i)); i++)
		printf("%5u  %-20s %s\n", type->type, type->name,
		       type->summary);
	exit(TPI_EXIT_OK);
}

static error_t parse_tail(int key, char *arg, struct argp_state *state,
			  struct tpi_tail_options *tail)
{
	switch (key) {
	case 'c':
	case ARGP_KEY_ARG:
		tail->channel = arg;
		return 0;
	case 't':
		parse_types(state, tail, arg);
		return 0;
	case OPTION_SEVERITY:
		parse_severity(state, arg, &tail->severity_min);
		return 0;
	case OPTION_SINCE:
		tail->start = choose(state, "--since", starts, arg);
		return 0;
	case 'g':
		tail->group = arg;
		tail->join = true;
		return 0;
	case OPTION_POLICY:
		tail->policy = choose(state, "--policy", policies, arg);
		tail->join = true;
		return 0;
	case OPTION_MERGE:
		tail->merge_ns = MERGE_NS;
		if (arg)
			tail->merge_ns = parse_merge(state, arg);
		return 0;
	case OPTION_LAG:
		tail->lag = (uint32_t)tpi_arg_count(state, "--lag", arg, 1,
						    UINT32_MAX);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->connect;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_error(
				state,
				"unexpected argument '%s': only one channel can be followed",
				arg);
		break;
	case ARGP_KEY_END:
		if (args->tail.lag && args->tail.policy != TAPIO_GROUP_UNTIL)
			argp_error(state, "--lag needs --policy until");
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case 'n':
		args->count =
			tpi_arg_count(state, "--count", arg, 1, UINT64_MAX);
		return 0;
	case 'd':
		args->duration_ns = tpi_arg_duration(state, "--duration", arg);
		return 0;
	case OPTION_STATS:
		args->stats = true;
		return 0;
	case OPTION_LIST_TYPES:
		list_types();
		return 0;
	default:
		break;
	}
	return parse_tail(key, arg, state, &args->tail);
}

/* ---- the source --------------------------------------------------------- */

static int open_source(void *arg, const struct tapio_options *broker)
{
	return tpi_tail_open(arg, broker);
}

/* 0 or an exit status. */
static int attach(struct run *run)
{
	struct arguments *args = &run->args;
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
	const struct arguments *args = &run->args;
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

		err = tpi_tail_out_view(
			&run->out, &views[i],
			tpi_tail_time_ns(&run->source, views[i].time));
		if (views[i].flags & TAPIO_VIEW_GAP)
			continue;
		if (err || tpi_tail_intact(&run->source, &views[i])) {
			++*events;
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
			gone = !tpi_tail_connected(&run->source);
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
	if (run->args.tail.merge_ns)
		tpi_say("late %" PRIu64, run->before.late);
}

static int tail(struct run *run)
{
	const struct arguments *args = &run->args;
	int status = attach(run);

	if (status)
		return status;
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
	static const struct argp_child children[] = {
		{&tpi_connect_argp, 0, "Broker:", 3}, {0}};
	static const struct argp argp = {options,  parse, "[CHANNEL]", doc,
					 children, NULL,  NULL};
	static struct run run = {
		.args = {.tail = {.channel = "events"},
			 .duration_ns = TAPIO_FOREVER},
		.out = {.fd = STDOUT_FILENO},
	};

	tpi_tool_init("tapio-tail");
	argp_parse(&argp, argc, argv, 0, NULL, &run.args);
	tpi_signals_init();
	run.source.options = &run.args.tail;
	run.out.json = run.args.json;
	return tail(&run);
}
