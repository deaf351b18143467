/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does it cost to emit an event, without a reader? A peer that overwrites
 * its oldest events just goes on. The others are filled half, and drained by
 * the same process while the clock stands still.
 */
#include "bench/questions/goals.h"
#include "bench/questions/pass.h"

struct emit {
	const struct stream_peer *peer;
	struct stream_spec spec;
	void *channel;
};

/* One lap: `spent` grows by what sending took. */
static int lap(const struct emit *emit, void *handle, uint64_t from,
	       uint64_t to, uint64_t *spent)
{
	const struct stream_peer *peer = emit->peer;
	uint64_t begun = bench_now_ns();
	int err = peer->send(handle, &emit->spec, from, to);

	*spent += bench_now_ns() - begun;
	if (!err && !peer->overwrites && peer->receive)
		err = peer->receive(handle, &emit->spec, from, to);
	return err;
}

static int laps(const struct emit *emit, void *handle, uint64_t from,
		uint64_t to, uint64_t *spent)
{
	const uint32_t fits = emit->peer->fits;
	const uint64_t most =
		fits ? fits : STREAM_RING_BYTES / 2 / emit->spec.bytes;
	int err = 0;

	while (!err && from < to) {
		uint64_t n = to - from < most ? to - from : most;

		err = lap(emit, handle, from, from + n, spent);
		from += n;
	}
	return err;
}

static int side(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct emit *emit = arg;
	const uint64_t warm = pass_warm_events(&emit->spec);
	void *handle = pass_open(emit->peer, emit->channel, false);
	uint64_t spent = 0;
	int err;

	if (!handle)
		return -1;
	err = laps(emit, handle, 0, warm, &spent);
	spent = 0;
	if (!err)
		err = laps(emit, handle, warm, warm + emit->spec.events,
			   &spent);
	shared->side[index].value[0] =
		(double)spent / (double)emit->spec.events;
	emit->peer->close(handle);
	return err;
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	struct emit emit = {
		.peer = subject->arg,
		.spec = pass_spec(run, subject->arg),
	};
	const struct bench_side sides[] = {{run->cpus[0], side, &emit}};
	struct bench_shared shared;
	int err;

	emit.spec.consumers = 0;
	emit.channel = emit.peer->make(&emit.spec);
	if (!emit.channel)
		return -1;
	err = bench_sides_run(sides, 1, &shared);
	emit.peer->unmake(emit.channel);
	if (!err)
		figures[0] = shared.side[0].value[0];
	return err;
}

#define SUBJECT(name, stream)                      \
	static const struct bench_subject name = { \
		.peer = &(stream).peer, .run = run, .arg = &(stream)}

SUBJECT(output, stream_tapio);
static const struct bench_subject reserve = {&stream_tapio.peer, "in place",
					     run, &stream_tapio_reserve};
SUBJECT(stores, stream_floor);
SUBJECT(pipes, stream_pipe);
SUBJECT(packets, stream_seqpacket);
SUBJECT(queue, stream_mq);
#ifdef BENCH_HAVE_CK
SUBJECT(ck, stream_ck_spsc);
SUBJECT(ck_mp, stream_ck_mp);
#endif
#ifdef BENCH_HAVE_DPDK
SUBJECT(rte, stream_rte_spsc);
SUBJECT(rte_mp, stream_rte_mp);
#endif
#ifdef BENCH_HAVE_ICEORYX
SUBJECT(iox, stream_iceoryx);
#endif
#ifdef BENCH_HAVE_LTTNG
SUBJECT(lttng, stream_lttng);
#endif
#ifdef BENCH_HAVE_BPF
SUBJECT(bpf, stream_bpf);
#endif

/* clang-format off */
static const struct bench_subject *const copied[] = {
	&output,
	&stores,
#ifdef BENCH_HAVE_CK
	&ck,
	&ck_mp,
#endif
#ifdef BENCH_HAVE_DPDK
	&rte,
	&rte_mp,
#endif
#ifdef BENCH_HAVE_ICEORYX
	&iox,
#endif
#ifdef BENCH_HAVE_LTTNG
	&lttng,
#endif
#ifdef BENCH_HAVE_BPF
	&bpf,
#endif
	&pipes,
	&packets,
	&queue,
	NULL,
};

/* Those that can be filled in place, and what it is to be compared with. */
static const struct bench_subject *const in_place[] = {
	&reserve,
	&output,
	&stores,
#ifdef BENCH_HAVE_DPDK
	&rte,
#endif
#ifdef BENCH_HAVE_ICEORYX
	&iox,
#endif
	NULL,
};

static const struct bench_subject *const batches[] = {
	&output,
	&reserve,
	&stores,
#ifdef BENCH_HAVE_DPDK
	&rte,
	&rte_mp,
#endif
	&pipes,
	&packets,
	NULL,
};
/* clang-format on */

#define CASE(size, how, at_a_time, text, who, n)                              \
	.name = "emit/" #size "/" how, .title = #size " bytes, " text,        \
	.bytes = size, .batch = at_a_time, .events = n, .quick_events = 2000, \
	.figures = {{"an event", "ns", false}}, .subjects = who

#define OUTPUT(size, n) CASE(size, "output", 1, "one call", copied, n)
#define RESERVE(size, n) \
	CASE(size, "reserve", 1, "filled in place", in_place, n)
#define BATCH(size, n) \
	CASE(size, "batch", STREAM_BATCH, "one of 32 at once", batches, n)

static const struct bench_case cases[] = {
	{OUTPUT(64, 4000000),
	 .goals = {GOAL_OVER("at most 2 x ck_ring SPSC", NULL,
			     "Concurrency Kit ck_ring SPSC", 0, 2),
		   GOAL_VALUE("at most 3.5 ns", NULL, 0, 3.5)}},
	{RESERVE(64, 4000000), .goals = {GOAL_OVER("at most 1.3 x one output",
						   NULL, "Tapio", 0, 1.3)}},
	{BATCH(64, 8000000),
	 .goals = {GOAL_OVER("no slower than rte_ring SP/SC", NULL,
			     "DPDK rte_ring SP/SC", 0, 1),
		   GOAL_OVER("in place, no slower than rte_ring SP/SC",
			     "Tapio, in place", "DPDK rte_ring SP/SC", 0, 1)}},
	{OUTPUT(256, 2000000)},
	{RESERVE(256, 2000000)},
	{BATCH(256, 2000000)},
	{OUTPUT(1024, 500000)},
	{RESERVE(1024, 500000)},
	{BATCH(1024, 500000)},
	{.name = NULL},
};

const struct bench_question bench_question_emit = {
	.number = 1,
	.text = "What does it cost to emit an event, with nobody reading?",
	.cases = cases,
};
