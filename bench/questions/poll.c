/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What do the calls of a consumer cost, tapio_poll and tapio_release, in batches,
 * when nothing of the events is touched? The process that reads has also written
 * them, so that no line has to come from another CPU. Recording their latencies
 * takes a look at the clock for each batch.
 */
#include <string.h>

#include "bench/questions/goals.h"
#include "bench/questions/laps.h"

#define BATCH_MAX 256

struct polling {
	struct rig rig;
	unsigned int batch;
	uint32_t latency;
};

struct end {
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	unsigned int batch;
	struct tapio_view views[BATCH_MAX];
};

static int open_end(const struct laps *laps, bool reads, void **out)
{
	static struct end end;
	const struct polling *p = laps->arg;
	const struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.latency = p->latency,
	};

	(void)reads;
	*out = &end;
	end.batch = p->batch;
	end.consumer = rig_consumer(&p->rig, &options);
	end.producer = rig_producer(&p->rig);
	return end.consumer && end.producer ? 0 : -1;
}

static int fill(void *arg, uint64_t from, uint32_t count)
{
	struct end *end = arg;

	return rig_emit(end->producer, RIG_PLAIN, from, count);
}

static int poll_all(void *arg, uint64_t count)
{
	struct end *end = arg;
	uint64_t seen = 0;
	int n;

	while ((n = tapio_poll(end->consumer, end->views, end->batch, 0)) > 0) {
		seen += (unsigned int)n;
		if (tapio_release(end->consumer))
			break;
	}
	if (n || seen != count)
		bench_why("%llu events came of %llu, then %s",
			  (unsigned long long)seen, (unsigned long long)count,
			  n < 0 ? strerror(-n) : "an overrun");
	return n || seen != count ? -1 : 0;
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

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	struct polling p = {
		.batch = run->of->batch,
		.latency = subject->arg ? TAPIO_LATENCY_RECORDED
					: TAPIO_LATENCY_OFF,
	};
	const struct laps laps = {
		.arg = &p,
		.lap = 4096,
		.here = true,
		.open = open_end,
		.fill = fill,
		.read = poll_all,
		.close = close_end,
	};
	int err = rig_start(&p.rig, "channel " RIG_CHANNEL
				    " { class main { block = 64 blocks = 4096 "
				    "} stamp = tsc }\n");

	if (err)
		return err;
	err = laps_run(run, &laps, figures);
	rig_stop(&p.rig);
	return err;
}

static const struct bench_subject plain = {RIG_PEER, "no latencies", run, NULL};
static const struct bench_subject recorded = {RIG_PEER, "latencies recorded",
					      run, "recorded"};

static const struct bench_subject *const subjects[] = {
	&plain,
	&recorded,
	NULL,
};

#define CASE(n, text, count)                                                \
	.name = "poll/" #n, .title = text ", nothing touched", .bytes = 64, \
	.batch = n, .events = count, .quick_events = 5000,                  \
	.figures = {{"an event", "ns", false}}, .subjects = subjects

static const struct bench_case cases[] = {
	{CASE(1, "One at a time", 1000000)},
	{CASE(32, "32 at a time", 4000000),
	 .goals = {GOAL_VALUE("at most 2 ns", NULL, 0, 2)}},
	{CASE(256, "256 at a time", 4000000)},
	{.name = NULL},
};

const struct bench_question bench_question_poll = {
	.number = 7,
	.text = "What do polling and releasing cost?",
	.cases = cases,
};
