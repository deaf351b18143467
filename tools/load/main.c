/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio-load: the course of a run.
 *
 *	host -> look into its memory -> scoreboard -> supervisor -> drain ->
 *	     probe -> drain -> last ledger -> consumers leave -> judge -> report
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapio/producer.h>

#include "lib/base/atomic.h"
#include "tools/load/event.h"
#include "tools/load/report.h"

#define PATIENCE_NS INT64_C(20000000000)
/*
 * How many ids a run may need, when that cannot be told: memory that is never
 * touched costs nothing, but its addresses do.
 */
#define EVENTS_MAX   (UINT64_C(1) << 34)
#define EVENTS_PER_S UINT64_C(50000000)

/* ---- before the run ----------------------------------------------------------- */

struct first {
	struct load_run *run;
	struct tapio_producer *producer;
};

static int open_first(void *arg, const struct tapio_options *options)
{
	struct first *first = arg;

	return tapio_producer_open(&first->producer,
				   first->run->options.channel, options);
}

/*
 * Opens and closes a producer. So an error shows before the forks, and the
 * self-test of rseq is done once, here, and not in every child.
 */
static int try_channel(struct load_run *run)
{
	struct tapio_producer_stats stats = {.size = sizeof(stats)};
	struct first first = {.run = run};
	struct tpi_connect connect = run->options.connect;
	uint32_t max;
	int err;

	connect.socket = run->socket;
	err = tpi_connect(&connect, open_first, &first);
	if (err)
		return tpi_connect_failed(&connect, run->options.channel, err);
	tapio_producer_stats_read(first.producer, &stats);
	run->rseq = stats.rseq;
	max = tapio_producer_max_bytes(first.producer);
	tapio_producer_close(first.producer);
	if (run->options.size_max > max) {
		tpi_say("events of %u bytes do not fit in channel '%s': it "
			"takes %u",
			run->options.size_max, run->options.channel, max);
		return TPI_EXIT_FAILURE;
	}
	return TPI_EXIT_OK;
}

/* Its index in the catalog. -ENOENT, and it was said, when it is not there. */
static int find_channel(const struct load_run *run, const char *name,
			uint32_t *index)
{
	const struct tpi_inspect *inspect = run->inspect;
	struct tapio_shm_channel info;

	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++) {
		if (tpi_channel_look(&inspect->catalog, i, &info, NULL, 0) ||
		    strcmp(info.name, name))
			continue;
		*index = i;
		if (inspect->channels[i].channel.lane_count)
			return 0;
		tpi_say("channel '%s' cannot be looked into: %s", name,
			inspect->channels[i].why);
		return -ENOENT;
	}
	tpi_say("no channel '%s'", name);
	return -ENOENT;
}

int load_look_inside(struct load_run *run)
{
	struct tpi_inspect_options options = {
		.socket = run->socket,
		.timeout_ns = INT64_C(10000000000),
	};
	char error[512];
	int err;

	err = tpi_inspect_open(&run->inspect, &options, error, sizeof(error));
	if (err) {
		tpi_say("%s", *error ? error : strerror(-err));
		return TPI_EXIT_FAILURE;
	}
	/* Relaxed: written before the broker served anybody. */
	run->broker_rseq =
		tpi_load_relaxed(&run->inspect->catalog.broker->rseq_verdict);
	if (run->options.still_ns &&
	    find_channel(run, LOAD_NEIGHBOUR_CHANNEL, &run->neighbour_channel))
		return TPI_EXIT_FAILURE;
	if (find_channel(run, run->options.channel, &run->channel))
		return TPI_EXIT_REFUSED;
	run->lanes = run->inspect->channels[run->channel].channel.lane_count;
	return TPI_EXIT_OK;
}

static uint64_t events_max(const struct load_options *o)
{
	/* A span may be left half used, and each life and the probe take some. */
	uint64_t more =
		UINT64_C(64) * TAPIO_CLASSES_MAX * LOAD_PROBE_EVENTS_MAX +
		(o->producers + o->kills + 1) * LOAD_SPAN_EVENTS;
	uint64_t all = EVENTS_MAX, seconds;

	if (o->events) {
		all = o->events * o->producers * 9 / 8;
	} else if (!o->kills && !o->kills_consumers && !o->stops &&
		   !load_broker_dies(o)) {
		seconds = (uint64_t)(o->duration_ns + 3 * o->still_ns) /
				  1000000000 +
			  2;
		all = seconds * EVENTS_PER_S * o->producers;
	}
	return all < EVENTS_MAX ? all + more : EVENTS_MAX;
}

static int make_board(struct load_run *run)
{
	const struct load_options *o = &run->options;
	struct load_shape shape = {
		.producers = o->producers,
		.groups = o->groups,
		.members = o->members,
		.lanes = run->lanes,
		.kills_consumers = (uint32_t)o->kills_consumers,
		.instances = 1 + (uint32_t)o->kills_instance,
		.events_max = events_max(o),
		.seed = o->seed,
	};
	int err = load_board_create(&run->scoreboard, &shape);

	if (err)
		tpi_say("no memory for the scoreboard: %s", strerror(-err));
	return err ? TPI_EXIT_FAILURE : TPI_EXIT_OK;
}

/* Can every CPU that was named be had? */
static int check_cpus(const struct load_options *o)
{
	cpu_set_t before, one;

	sched_getaffinity(0, sizeof(before), &before);
	for (uint32_t i = 0; i < o->cpu_count; i++) {
		CPU_ZERO(&one);
		CPU_SET(o->cpus[i], &one);
		if (sched_setaffinity(0, sizeof(one), &one)) {
			tpi_say("--pin: cannot run on CPU %d: %s", o->cpus[i],
				strerror(errno));
			return TPI_EXIT_FAILURE;
		}
	}
	sched_setaffinity(0, sizeof(before), &before);
	return TPI_EXIT_OK;
}

/* ---- the run ------------------------------------------------------------------ */

static void measure_baseline(struct load_run *run, struct load_result *result)
{
	int64_t ns = run->options.duration_ns ? run->options.duration_ns / 2
					      : INT64_C(1000000000);

	if (!run->options.baseline)
		return;
	if (ns > INT64_C(2000000000))
		ns = INT64_C(2000000000);
	/* Half before the load and half after it: a busy machine hits both. */
	result->baseline_per_s += load_baseline(run, ns) / 2;
}

static void count_dropped(struct load_result *result,
			  const struct load_ledger_sum *before)
{
	struct load_ledger_sum sum = result->ledger;

	load_add_left(&sum, &result->instances.left);
	result->dropped = sum.dropped - before->dropped;
	for (int i = 0; i < TAPIO_DROP_CAUSES; i++)
		result->dropped_for[i] =
			sum.dropped_for[i] - before->dropped_for[i];
}

static void run_all(struct load_run *run, struct load_result *result)
{
	struct load_ledger_sum before;

	measure_baseline(run, result);
	load_sum_ledgers(run, &before);
	load_supervise(run, result);
	result->drained = load_drain(run, run->failed ? 0 : PATIENCE_NS);
	load_sum_ledgers(run, &result->ledger);
	count_dropped(result, &before);
	result->bytes = load_bytes_per_group(run);
	if (!result->drained) {
		result->wedged = load_count_stuck(run);
	} else if (!run->failed && run->options.check) {
		result->wedged = load_count_wedged(run);
		load_sum_ledgers(run, &result->ledger);
	}
	if (!run->failed)
		load_check_rules(run, result);
	load_finish(run);
	measure_baseline(run, result);
}

static int run_and_report(struct load_run *run)
{
	struct load_result *result = calloc(1, sizeof(*result));
	int status;

	if (!result) {
		tpi_say("out of memory");
		return TPI_EXIT_FAILURE;
	}
	run_all(run, result);
	load_collect(run, result);
	if (run->failed)
		tpi_say("%s", run->why);
	status = load_passed(run, result) ? TPI_EXIT_OK : TPI_EXIT_FAILURE;
	if (load_report(run, result))
		status = TPI_EXIT_FAILURE;
	free(result);
	return status;
}

static int set_up_and_run(struct load_run *run)
{
	int status = check_cpus(&run->options);

	if (!status)
		status = try_channel(run);
	if (!status)
		status = load_look_inside(run);
	if (!status)
		status = make_board(run);
	if (!status)
		status = run_and_report(run);
	load_board_destroy(run->scoreboard);
	return status;
}

int main(int argc, char **argv)
{
	struct load_host host = {0};
	char error[640];
	struct load_run *run = calloc(1, sizeof(*run));
	int err, status;

	if (!run)
		return TPI_EXIT_FAILURE;
	tpi_tool_init("tapio-load");
	load_options_parse(&run->options, argc, argv);
	run->leader = getpid();
	tpi_signals_init();
	if (run->options.own_broker) {
		err = load_host_start(&host, &run->options, error,
				      sizeof(error));
		if (err) {
			tpi_say("%s", error);
			load_host_stop(&host, run);
			free(run);
			return TPI_EXIT_FAILURE;
		}
		run->host = &host;
		run->socket = host.socket;
	} else {
		run->socket = tpi_connect_socket(&run->options.connect);
	}
	status = set_up_and_run(run);
	load_host_stop(&host, run);
	tpi_inspect_close(run->former);
	tpi_inspect_close(run->inspect);
	free(run);
	return status;
}
