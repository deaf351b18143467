/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long is an event on its way? It is sent there, and another one back as soon
 * as it has come, and half of that is the answer: so it depends on one clock
 * only. Clocks of two CPUs of a virtual machine have been seen to differ by as
 * much as an event takes. One event is under way at a time, so that a process
 * that was not running for a while delays one event and not a queue of them.
 *
 * Awake: both sides look all the time, and there is a pause of a few microseconds
 * between events. Asleep: the pauses are so long that both sides sleep.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/questions/goals.h"
#include "bench/questions/pass.h"
#include "lib/base/tsc.h"

#define AWAKE_GAP_NS  5000
#define ASLEEP_GAP_NS 2000000
/* Events before the first that counts. */
#define AWAKE_WARM  2000
#define ASLEEP_WARM 5

struct way {
	const struct stream_peer *peer;
	struct stream_spec spec;
	uint64_t events; /* those to warm up with, too */
	void *there;
	void *back;
};

/* One side's handles: of the channel it sends into, and of the other one. */
struct ends {
	void *out;
	void *in;
};

static int open_ends(const struct way *way, void *out, void *in,
		     struct ends *ends)
{
	ends->in = pass_open(way->peer, in, true);
	ends->out = ends->in ? pass_open(way->peer, out, false) : NULL;
	return ends->out ? 0 : -1;
}

static void close_ends(const struct way *way, struct ends *ends)
{
	way->peer->close(ends->out);
	way->peer->close(ends->in);
}

static void wait_gap(const struct stream_spec *spec)
{
	const struct timespec gap = {.tv_nsec = (long)spec->gap_ns};
	const uint64_t due_ns = bench_now_ns() + spec->gap_ns;

	if (spec->paced_sleep)
		nanosleep(&gap, NULL);
	while (bench_now_ns() < due_ns)
		;
}

/* Half of what each event took there and back, in ticks. */
static int send_events(const struct way *way, const struct ends *ends,
		       double *ticks)
{
	const struct stream_peer *peer = way->peer;
	int err = 0;

	for (uint64_t i = 0; !err && i < way->events; i++) {
		uint64_t sent;

		wait_gap(&way->spec);
		sent = tpi_tsc();
		err = peer->send(ends->out, &way->spec, i, i + 1);
		if (!err)
			err = peer->receive(ends->in, &way->spec, i, i + 1);
		ticks[i] = (double)(tpi_tsc() - sent) / 2;
	}
	return err;
}

/* Sends all, and leaves quantiles in nanoseconds in value[]. */
static int send_all(const struct way *way, const struct ends *ends,
		    double *ticks, struct bench_side_result *result)
{
	static const double quantiles[] = {0.5, 0.99, 0.999};
	const uint64_t begun_ns = bench_now_ns(), begun = tpi_tsc();
	int err = send_events(way, ends, ticks);
	const double ns_per_tick = (double)(bench_now_ns() - begun_ns) /
				   (double)(tpi_tsc() - begun);
	const uint64_t warm = way->events - way->spec.events;

	for (int i = 0; i < 3; i++)
		result->value[i] =
			bench_quantile(ticks + warm, way->spec.events,
				       quantiles[i]) *
			ns_per_tick;
	return err;
}

static int send_side(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct way *way = arg;
	const size_t bytes = way->events * sizeof(double);
	double *ticks = malloc(bytes);
	struct ends ends;
	int err = open_ends(way, way->there, way->back, &ends);

	if (err || !ticks)
		return -1;
	memset(ticks, 0xff, bytes); /* a page's fault is no latency */
	bench_ready(shared);
	err = send_all(way, &ends, ticks, &shared->side[index]);
	if (!err)
		bench_ready(shared);
	close_ends(way, &ends);
	free(ticks);
	return err;
}

static int return_side(void *arg, struct bench_shared *shared,
		       unsigned int index)
{
	const struct way *way = arg;
	const struct stream_peer *peer = way->peer;
	struct ends ends;
	int err = open_ends(way, way->back, way->there, &ends);

	(void)index;
	if (err)
		return err;
	bench_ready(shared);
	for (uint64_t i = 0; !err && i < way->events; i++) {
		err = peer->receive(ends.in, &way->spec, i, i + 1);
		if (!err)
			err = peer->send(ends.out, &way->spec, i, i + 1);
	}
	if (!err)
		bench_ready(shared);
	close_ends(way, &ends);
	return err;
}

static int run_way(const struct bench_run *run, struct way *way,
		   struct bench_shared *shared)
{
	const struct bench_side sides[] = {
		{run->cpus[0], send_side, way},
		{run->cpus[1], return_side, way},
	};
	int err = -1;

	way->there = way->peer->make(&way->spec);
	way->back = way->there ? way->peer->make(&way->spec) : NULL;
	if (way->back) {
		err = bench_sides_run(sides, 2, shared);
		way->peer->unmake(way->back);
	}
	if (way->there)
		way->peer->unmake(way->there);
	return err;
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	const bool asleep = run->of->param;
	struct way way = {
		.peer = subject->arg,
		.spec = {.bytes = run->of->bytes,
			 .batch = 1,
			 .producers = 1,
			 .consumers = 1,
			 .eager = !asleep,
			 .sleeping = asleep,
			 .events = run->events,
			 .gap_ns = asleep ? ASLEEP_GAP_NS : AWAKE_GAP_NS,
			 .paced_sleep = asleep},
		.events = run->events + (asleep ? ASLEEP_WARM : AWAKE_WARM),
	};
	struct bench_shared shared;
	int err = run_way(run, &way, &shared);

	if (err)
		return err;
	for (int i = 0; i < 3; i++)
		figures[i] = shared.side[0].value[i];
	figures[3] = figures[1] / figures[0];
	return 0;
}

#define SUBJECT(name, stream)                      \
	static const struct bench_subject name = { \
		.peer = &(stream).peer, .run = run, .arg = &(stream)}

SUBJECT(tapio, stream_tapio);
SUBJECT(one_line, stream_line);
SUBJECT(pipes, stream_pipe);
SUBJECT(packets, stream_seqpacket);
SUBJECT(queue, stream_mq);
SUBJECT(futex, stream_futex);
SUBJECT(eventfd, stream_eventfd);
/* The index on one line, the event on another. */
static const struct bench_subject two_lines = {&stream_floor.peer, "two lines",
					       run, &stream_floor};
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
#ifdef BENCH_HAVE_BPF
SUBJECT(bpf, stream_bpf);
#endif

/* clang-format off */
static const struct bench_subject *const awake[] = {
	&tapio,
	&one_line,
	&two_lines,
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
#ifdef BENCH_HAVE_BPF
	&bpf,
#endif
	&pipes,
	&packets,
	&queue,
	NULL,
};

static const struct bench_subject *const asleep[] = {
	&tapio,
	&futex,
	&eventfd,
	&pipes,
	&packets,
	&queue,
#ifdef BENCH_HAVE_ICEORYX
	&iox,
#endif
#ifdef BENCH_HAVE_BPF
	&bpf,
#endif
	NULL,
};
/* clang-format on */

static const struct bench_case cases[] = {
	{
		.name = "latency/64/awake",
		.title = "64 bytes, one way, both sides awake",
		.bytes = 64,
		.batch = 1,
		.events = 40000,
		.quick_events = 1000,
		.figures = {{"p50", "ns", false},
			    {"p99", "ns", false},
			    {"p99.9", "ns", false},
			    {"p99 : p50", "x", false}},
		.subjects = awake,
		.goals = {GOAL_BEST("p50 no more than the best peer's", NULL, 0,
				    1),
			  GOAL_OVER("p50 at most 1.2 x two lines", NULL,
				    "plain stores, two lines", 0, 1.2),
			  GOAL_VALUE("p99 at most 2 x p50", NULL, 3, 2)},
	},
	{
		.name = "latency/64/asleep",
		.title = "64 bytes, one way, both sides asleep before",
		.bytes = 64,
		.batch = 1,
		.param = 1,
		.events = 250,
		.quick_events = 10,
		.figures = {{"p50", "ns", false}, {"p99", "ns", false}},
		.subjects = asleep,
		.goals = {GOAL_OVER("p50 at most 1.2 x a bare futex", NULL,
				    "bare futex", 0, 1.2)},
	},
	{.name = NULL},
};

const struct bench_question bench_question_latency = {
	.number = 4,
	.text = "How long is an event on its way?",
	.cases = cases,
};
