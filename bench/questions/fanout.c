/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What if several readers want every event? One producer, and 1 to 8 readers that
 * all get everything. Tapio has a group for each, and the producer writes once.
 * With what passes an event to one reader, people give each its own ring or pipe,
 * and the producer writes into one after the other, 32 events at a time.
 *
 * Readers are spread over the CPUs that the producer does not use. Where there are
 * fewer of those than readers, all readers together can be no faster than one,
 * and a reader that finds nothing gives way.
 *
 * First the clock runs from the first event to the last one that came, which shows
 * how much is delivered. Then the ring is filled half, again and again, with the
 * readers at work but never so far behind that there is no room, and only the
 * producer's calls are timed.
 */
#include <stdlib.h>

#include "bench/questions/pass.h"

#define READERS_MAX 8
#define LAPS        16

/* A way to fan out. */
struct way {
	const struct stream_peer *peer;
	bool one_each;   /* a channel for each reader */
	uint32_t one_of; /* so many events of the case are enough */
};

struct fan {
	const struct way *way;
	struct stream_spec spec;
	uint32_t readers;
	uint32_t laps;
	uint64_t warm;
	uint64_t lap; /* events */
	void *channel[READERS_MAX];
};

struct reader {
	const struct fan *fan;
	void *channel;
};

/* ---- the producer ---------------------------------------------------------------- */

static int send(const struct fan *fan, void *const *handle, uint64_t from,
		uint64_t to)
{
	const struct stream_peer *peer = fan->way->peer;
	int err = 0;

	if (!fan->way->one_each)
		return peer->send(handle[0], &fan->spec, from, to);
	while (!err && from < to) {
		uint64_t until =
			to - from < STREAM_BATCH ? to : from + STREAM_BATCH;

		for (uint32_t r = 0; !err && r < fan->readers; r++)
			err = peer->send(handle[r], &fan->spec, from, until);
		from = until;
	}
	return err;
}

static int send_laps(const struct fan *fan, struct bench_shared *shared,
		     void *const *handle, uint64_t from, double *event_ns)
{
	uint64_t spent = 0;
	int err = 0;

	for (uint32_t i = 0; !err && i < fan->laps; i++, from += fan->lap) {
		uint64_t begun = bench_now_ns();

		err = send(fan, handle, from, from + fan->lap);
		spent += bench_now_ns() - begun;
		bench_ready(shared); /* all have read it */
	}
	*event_ns = (double)spent / (double)(fan->lap * fan->laps);
	return err;
}

static int produce(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct fan *fan = arg;
	const uint32_t channels = fan->way->one_each ? fan->readers : 1;
	const uint64_t end = fan->warm + fan->spec.events;
	void *handle[READERS_MAX];
	int err;

	for (uint32_t i = 0; i < channels; i++) {
		handle[i] = pass_open(fan->way->peer, fan->channel[i], false);
		if (!handle[i])
			return -1;
	}
	bench_ready(shared); /* all have joined */
	err = send(fan, handle, 0, fan->warm);
	bench_ready(shared); /* and have read that */
	shared->side[index].start_ns = bench_now_ns();
	if (!err)
		err = send(fan, handle, fan->warm, end);
	bench_ready(shared);
	if (!err)
		err = send_laps(fan, shared, handle, end,
				&shared->side[index].value[0]);
	for (uint32_t i = 0; i < channels; i++)
		fan->way->peer->close(handle[i]);
	return err;
}

/* ---- a reader -------------------------------------------------------------------- */

static int consume(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct reader *reader = arg;
	const struct fan *fan = reader->fan;
	const struct stream_peer *peer = fan->way->peer;
	uint64_t next = fan->warm + fan->spec.events;
	void *handle = pass_open(peer, reader->channel, true);
	int err;

	if (!handle)
		return -1;
	bench_ready(shared);
	err = peer->receive(handle, &fan->spec, 0, fan->warm);
	bench_ready(shared);
	if (!err)
		err = peer->receive(handle, &fan->spec, fan->warm, next);
	shared->side[index].end_ns = bench_now_ns();
	if (!err)
		bench_ready(shared);
	for (uint32_t i = 0; !err && i < fan->laps; i++, next += fan->lap) {
		err = peer->receive(handle, &fan->spec, next, next + fan->lap);
		if (!err)
			bench_ready(shared);
	}
	peer->close(handle);
	return err;
}

/* ---- one turn -------------------------------------------------------------------- */

static int run_sides(const struct bench_run *run, struct fan *fan,
		     double *figures)
{
	struct bench_side sides[1 + READERS_MAX] = {
		{run->cpus[0], produce, fan},
	};
	struct reader readers[READERS_MAX];
	struct bench_shared shared;
	int err;

	for (uint32_t i = 0; i < fan->readers; i++) {
		readers[i] = (struct reader){
			fan, fan->channel[fan->way->one_each ? i : 0]};
		sides[1 + i] = (struct bench_side){
			run->cpus[1 + i % (run->cpu_count - 1)], consume,
			&readers[i]};
	}
	err = bench_sides_run(sides, 1 + fan->readers, &shared);
	figures[0] = shared.side[0].value[0];
	figures[1] = (double)(fan->spec.events * fan->readers) /
		     bench_span_ns(&shared) * 1e9;
	return err;
}

static struct fan plan(const struct bench_run *run, const struct way *way)
{
	const uint32_t readers = (uint32_t)run->of->param;
	const uint64_t events = run->events / way->one_of / readers + 1;
	const uint64_t half = STREAM_RING_BYTES / 2 / run->of->bytes;
	const uint64_t lap = way->peer->slow ? half / way->peer->slow : half;

	return (struct fan){
		.way = way,
		.spec = {.bytes = run->of->bytes,
			 .batch = 1,
			 .producers = 1,
			 .consumers = way->one_each ? 1 : readers,
			 .yields = readers > run->cpu_count - 1,
			 .events = events},
		.readers = readers,
		.laps = run->quick ? 1 : LAPS,
		.warm = half < events / 4 ? half : events / 4,
		.lap = lap < events ? lap : events,
	};
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	const struct way *way = subject->arg;
	struct fan fan = plan(run, way);
	const uint32_t channels = way->one_each ? fan.readers : 1;
	uint32_t made = 0;
	int err = 0;

	for (; !err && made < channels; made += !err) {
		fan.channel[made] = way->peer->make(&fan.spec);
		err = fan.channel[made] ? 0 : -1;
	}
	if (!err)
		err = run_sides(run, &fan, figures);
	while (made--)
		way->peer->unmake(fan.channel[made]);
	return err;
}

/* ---- cases ----------------------------------------------------------------------- */

#define SUBJECT(name, stream, how, each, divide)                          \
	static const struct way name##_way = {                            \
		.peer = &(stream), .one_each = each, .one_of = divide};   \
	static const struct bench_subject name = {.peer = &(stream).peer, \
						  .variant = how,         \
						  .run = run,             \
						  .arg = &name##_way}

SUBJECT(groups, stream_tapio, "a group each", false, 1);
SUBJECT(pipes, stream_pipe, "one each", true, 64);
#ifdef BENCH_HAVE_CK
SUBJECT(ck, stream_ck_spsc, "one each", true, 8);
#endif
#ifdef BENCH_HAVE_DPDK
SUBJECT(rte, stream_rte_spsc, "one each", true, 8);
#endif

static const struct bench_subject *const subjects[] = {
	&groups,
#ifdef BENCH_HAVE_CK
	&ck,
#endif
#ifdef BENCH_HAVE_DPDK
	&rte,
#endif
	&pipes,  NULL,
};

#define CASE(size, n, text, count)                                           \
	{                                                                    \
		.name = "fanout/" #size "/groups/" #n,                       \
		.title = #size " bytes to " text, .bytes = size, .batch = 1, \
		.param = n, .param_name = "readers", .events = count,        \
		.quick_events = 4000,                                        \
		.figures = {{"an event, producer", "ns", false},             \
			    {"delivered", "events/s", true}},                \
		.subjects = subjects,                                        \
	}

#define SPREAD ", spread over the other CPUs"

static const struct bench_case cases[] = {
	CASE(64, 1, "1 reader", 4000000),
	CASE(64, 2, "2 readers" SPREAD, 4000000),
	CASE(64, 4, "4 readers" SPREAD, 4000000),
	CASE(64, 8, "8 readers" SPREAD, 4000000),
	CASE(256, 1, "1 reader", 1500000),
	CASE(256, 2, "2 readers" SPREAD, 1500000),
	CASE(256, 4, "4 readers" SPREAD, 1500000),
	CASE(256, 8, "8 readers" SPREAD, 1500000),
	{.name = NULL},
};

const struct bench_question bench_question_fanout = {
	.number = 5,
	.text = "What if several readers want every event?",
	.cases = cases,
};
