/* SPDX-License-Identifier: Apache-2.0 */
/* See pass.h. */
#include "bench/questions/pass.h"

struct pass_side {
	const struct pass *pass;
	void *channel;
	uint64_t from; /* of this producer. Of the consumer: 0 */
};

struct stream_spec pass_spec(const struct bench_run *run,
			     const struct stream_peer *peer)
{
	uint64_t events = run->events;

	if (peer->slow)
		events = events / peer->slow + 1;
	return (struct stream_spec){
		.bytes = run->of->bytes,
		.batch = run->of->batch,
		.producers = 1,
		.consumers = 1,
		.events = events,
	};
}

uint64_t pass_warm_events(const struct stream_spec *spec)
{
	uint64_t laps = 2 * STREAM_RING_BYTES / spec->bytes / spec->producers;

	/* Not more than are measured, which with --quick are few. */
	return laps < spec->events ? laps : spec->events;
}

void *pass_open(const struct stream_peer *peer, void *channel, bool consumer)
{
	void *handle = NULL;
	int err = consumer ? peer->open_consumer(channel, &handle)
			   : peer->open_producer(channel, &handle);

	return err ? NULL : handle;
}

static int produce(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct pass_side *side = arg;
	const struct stream_peer *peer = side->pass->peer;
	const struct stream_spec *spec = &side->pass->spec;
	const uint64_t warm = side->from + pass_warm_events(spec);
	void *handle = pass_open(peer, side->channel, false);
	int err;

	if (!handle)
		return -1;
	bench_ready(shared); /* the consumer has joined */
	err = peer->send(handle, spec, side->from, warm);
	if (err)
		return err;  /* which ends the others */
	bench_ready(shared); /* and has read that */
	shared->side[index].start_ns = bench_now_ns();
	err = peer->send(handle, spec, warm, warm + spec->events);
	if (err)
		return err;
	if (!spec->consumers)
		shared->side[index].end_ns = bench_now_ns();
	bench_ready(shared); /* and that: nothing is closed under it */
	peer->close(handle);
	return 0;
}

static int consume(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct pass_side *side = arg;
	const struct stream_peer *peer = side->pass->peer;
	const struct stream_spec *spec = &side->pass->spec;
	const uint64_t warm = pass_warm_events(spec);
	void *handle = pass_open(peer, side->channel, true);
	int err;

	if (!handle)
		return -1;
	bench_ready(shared);
	err = peer->receive(handle, spec, 0, warm);
	if (err)
		return err;
	bench_ready(shared);
	err = peer->receive(handle, spec, warm, warm + spec->events);
	if (err)
		return err;
	shared->side[index].end_ns = bench_now_ns();
	bench_ready(shared);
	peer->close(handle);
	return 0;
}

static int run_sides(const struct pass *pass, void *channel, double *span_ns)
{
	const uint32_t producers = pass->spec.producers;
	struct bench_side sides[BENCH_SIDES_MAX];
	struct pass_side args[BENCH_SIDES_MAX];
	struct bench_shared shared;
	int err;

	for (uint32_t i = 0; i < producers; i++) {
		args[i] = (struct pass_side){
			pass, channel, (uint64_t)i << STREAM_PRODUCER_SHIFT};
		sides[i] = (struct bench_side){pass->producer_cpu[i], produce,
					       &args[i]};
	}
	args[producers] = (struct pass_side){pass, channel, 0};
	sides[producers] = (struct bench_side){pass->consumer_cpu, consume,
					       &args[producers]};
	err = bench_sides_run(sides, producers + pass->spec.consumers, &shared);
	*span_ns = bench_span_ns(&shared);
	return err;
}

int pass_run(const struct pass *pass, double *span_ns)
{
	void *channel = pass->peer->make(&pass->spec);
	int err;

	if (!channel)
		return -1;
	err = run_sides(pass, channel, span_ns);
	pass->peer->unmake(channel);
	return err;
}
