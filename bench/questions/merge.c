/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does order across lanes cost? The same events, stamped, from 1 to 16 lanes
 * that are full: once as they come, lane by lane, and once merged by their time
 * stamps. Two processes on two CPUs write, in up to eight classes of lanes each.
 * The reader looks at each event's stamp, as a reader that wants order does,
 * and the merged ones have to be in order.
 */
#include <stdio.h>
#include <string.h>

#include "bench/questions/goals.h"
#include "bench/questions/laps.h"

#define BATCH   32
#define LANE    2048 /* blocks of each. A side fills all of its lanes */
#define CLASSES 8
/* Long past when they are read, as all are written by then. */
#define MERGE_NS 1

struct merging {
	struct rig rig;
	uint32_t classes; /* of lanes that a side writes to */
	bool merge;
};

struct end {
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	const struct merging *of;
	uint64_t unordered;
	uint64_t newest;
	struct tapio_view views[BATCH];
};

static int open_end(const struct laps *laps, bool reads, void **out)
{
	static struct end end;
	const struct merging *m = laps->arg;
	const struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.latency = TAPIO_LATENCY_OFF,
		.merge_ns = m->merge ? MERGE_NS : 0,
	};

	*out = &end;
	end.of = m;
	if (reads)
		end.consumer = rig_consumer(&m->rig, &options);
	end.producer = rig_producer(&m->rig);
	return end.producer && (end.consumer || !reads) ? 0 : -1;
}

/* To all lanes in turn, so that stamps are mixed. */
static int fill(void *arg, uint64_t from, uint32_t count)
{
	struct end *end = arg;

	return rig_emit(end->producer,
			(struct rig_events){64, end->of->classes, 1}, from,
			count);
}

static void look_at(struct end *end, int n)
{
	for (int i = 0; i < n; i++) {
		const uint64_t time = end->views[i].time;

		end->unordered += (int64_t)(time - end->newest) < 0;
		end->newest = time;
	}
}

static int read_all(void *arg, uint64_t count)
{
	struct end *end = arg;
	uint64_t seen = 0;
	int n = 0;

	/* Until all came: an event stamped this instant waits for MERGE_NS. */
	while (seen < count) {
		n = tapio_poll(end->consumer, end->views, BATCH, 0);
		if (n < 0 || tapio_release(end->consumer))
			break;
		look_at(end, n);
		seen += (unsigned int)n;
	}
	if (seen == count && !(end->of->merge && end->unordered))
		return 0;
	bench_why("%llu events came of %llu, %llu of them out of order",
		  (unsigned long long)seen, (unsigned long long)count,
		  (unsigned long long)end->unordered);
	return -1;
}

static int close_end(void *arg, bool reads, uint64_t count)
{
	struct end *end = arg;

	(void)reads;
	(void)count;
	tapio_producer_close(end->producer);
	tapio_consumer_close(end->consumer);
	return 0;
}

static int start(struct rig *rig)
{
	char config[1024];
	int used = snprintf(config, sizeof(config),
			    "channel " RIG_CHANNEL " { stamp = tsc\n");

	for (int i = 0; i < CLASSES; i++)
		used += snprintf(config + used, sizeof(config) - (size_t)used,
				 "class c%d { block = 64 blocks = %d "
				 "side_lanes = 1 }\n",
				 i, LANE);
	snprintf(config + used, sizeof(config) - (size_t)used, "}\n");
	return rig_start(rig, config);
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	const uint32_t lanes = (uint32_t)run->of->param;
	struct merging m = {
		.classes = lanes > 1 ? lanes / 2 : 1,
		.merge = subject->arg != NULL,
	};
	const struct laps laps = {
		.arg = &m,
		.lap = LANE * m.classes,
		.here = true,
		.there = lanes > 1,
		.open = open_end,
		.fill = fill,
		.read = read_all,
		.close = close_end,
	};
	double ns;
	int err = start(&m.rig);

	if (err)
		return err;
	err = laps_run(run, &laps, &ns);
	rig_stop(&m.rig);
	figures[0] = 1e9 / ns;
	figures[1] = ns;
	return err;
}

static const struct bench_subject loose = {RIG_PEER, "as they come", run, NULL};
static const struct bench_subject merged = {RIG_PEER, "merged", run, "merged"};

static const struct bench_subject *const subjects[] = {
	&loose,
	&merged,
	NULL,
};

#define CASE(lanes, text, ...)                                         \
	{                                                              \
		.name = "merge/" #lanes, .title = text, .bytes = 64,   \
		.batch = BATCH, .param = lanes, .param_name = "lanes", \
		.events = 1000000, .quick_events = 2000,               \
		.figures = {{"delivered", "events/s", true},           \
			    {"an event", "ns", false}},                \
		.subjects = subjects, .goals = {__VA_ARGS__},          \
	}

static const struct bench_case cases[] = {
	CASE(1, "1 lane, written by the reader's process", {.text = NULL}),
	CASE(2, "2 lanes of two CPUs", {.text = NULL}),
	CASE(4, "4 lanes of two CPUs", {.text = NULL}),
	CASE(8, "8 lanes of two CPUs",
	     GOAL_VALUE("merged, at most 15 ns", "Tapio, merged", 1, 15)),
	CASE(16, "16 lanes of two CPUs", {.text = NULL}),
	{.name = NULL},
};

const struct bench_question bench_question_merge = {
	.number = 7,
	.text = "What does order across lanes cost?",
	.cases = cases,
};
