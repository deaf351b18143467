/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast is one producer process to one consumer process? Each on a CPU of its
 * own. Every event is filled whole and every word of it read. In the single cases
 * each event is visible before the next one is made. In the others 32 are handed
 * over at once. Readers take what is there in the best way they have.
 */
#include "bench/questions/pass.h"

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	const struct stream_peer *peer = subject->arg;
	struct pass pass = {
		.peer = peer,
		.spec = pass_spec(run, peer),
		.producer_cpu = {run->cpus[0]},
		.consumer_cpu = run->cpus[1],
	};
	double span_ns;
	int err = pass_run(&pass, &span_ns);

	if (err)
		return err;
	figures[0] = span_ns / (double)pass.spec.events;
	figures[1] = 1e9 / figures[0];
	figures[2] = run->of->bytes / figures[0];
	return 0;
}

#define SUBJECT(stream, how)                                        \
	{                                                           \
		.peer = &(stream).peer, .variant = how, .run = run, \
		.arg = &(stream)                                    \
	}

static const struct bench_subject tapio = SUBJECT(stream_tapio, NULL);
static const struct bench_subject reserve = {&stream_tapio.peer, "in place",
					     run, &stream_tapio_reserve};
static const struct bench_subject floor_ring = SUBJECT(stream_floor, NULL);
static const struct bench_subject pipes = SUBJECT(stream_pipe, NULL);
static const struct bench_subject packets = SUBJECT(stream_seqpacket, NULL);
static const struct bench_subject queue = SUBJECT(stream_mq, NULL);
#ifdef BENCH_HAVE_CK
static const struct bench_subject ck = SUBJECT(stream_ck_spsc, NULL);
static const struct bench_subject ck_mp = SUBJECT(stream_ck_mp, NULL);
#endif
#ifdef BENCH_HAVE_DPDK
static const struct bench_subject rte = SUBJECT(stream_rte_spsc, NULL);
static const struct bench_subject rte_mp = SUBJECT(stream_rte_mp, NULL);
#endif
#ifdef BENCH_HAVE_ICEORYX
static const struct bench_subject iox = SUBJECT(stream_iceoryx, NULL);
#endif
#ifdef BENCH_HAVE_BPF
static const struct bench_subject bpf = SUBJECT(stream_bpf, NULL);
#endif

/* clang-format off */
static const struct bench_subject *const singles[] = {
	&tapio,
	&reserve,
	&floor_ring,
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

static const struct bench_subject *const batches[] = {
	&tapio,
	&reserve,
	&floor_ring,
#ifdef BENCH_HAVE_DPDK
	&rte,
	&rte_mp,
#endif
	&pipes,
	&packets,
	NULL,
};
/* clang-format on */

#define FIGURES                                                        \
	{                                                              \
		{"an event", "ns", false}, {"rate", "events/s", true}, \
			{"data", "GB/s", true},                        \
	}

#define FLOOR(times)                                                     \
	{                                                                \
		"at most " #times " x plain stores", BENCH_GOAL_SUBJECT, \
			"plain stores", 0, times                         \
	}

static const struct bench_case cases[] = {
	{
		.name = "stream/64/single",
		.title = "64 bytes, one at a time",
		.bytes = 64,
		.batch = 1,
		.events = 4000000,
		.quick_events = 20000,
		.figures = FIGURES,
		.subjects = singles,
		.goals = {{"at most 6 ns", BENCH_GOAL_VALUE, NULL, 0, 6},
			  FLOOR(1.5),
			  {"4 x ahead of the best peer", BENCH_GOAL_BEST_PEER,
			   NULL, 0, 1 / 4.0}},
	},
	{
		.name = "stream/256/single",
		.title = "256 bytes, one at a time",
		.bytes = 256,
		.batch = 1,
		.events = 2000000,
		.quick_events = 10000,
		.figures = FIGURES,
		.subjects = singles,
		.goals = {{"at most 16 ns", BENCH_GOAL_VALUE, NULL, 0, 16},
			  {"2.5 x ahead of the best peer", BENCH_GOAL_BEST_PEER,
			   NULL, 0, 1 / 2.5}},
	},
	{
		.name = "stream/1024/single",
		.title = "1 KiB, one at a time",
		.bytes = 1024,
		.batch = 1,
		.events = 500000,
		.quick_events = 5000,
		.figures = FIGURES,
		.subjects = singles,
	},
	{
		.name = "stream/64/batch",
		.title = "64 bytes, 32 at a time",
		.bytes = 64,
		.batch = STREAM_BATCH,
		.events = 8000000,
		.quick_events = 20000,
		.figures = FIGURES,
		.subjects = batches,
		.goals = {{"at most 4.5 ns", BENCH_GOAL_VALUE, NULL, 0, 4.5},
			  {"ahead of the best peer", BENCH_GOAL_BEST_PEER, NULL,
			   0, 1}},
	},
	{
		.name = "stream/256/batch",
		.title = "256 bytes, 32 at a time",
		.bytes = 256,
		.batch = STREAM_BATCH,
		.events = 2000000,
		.quick_events = 10000,
		.figures = FIGURES,
		.subjects = batches,
	},
	{
		.name = "stream/1024/batch",
		.title = "1 KiB, 32 at a time",
		.bytes = 1024,
		.batch = STREAM_BATCH,
		.events = 500000,
		.quick_events = 5000,
		.figures = FIGURES,
		.subjects = batches,
	},
	{.name = NULL},
};

const struct bench_question bench_question_stream = {
	.number = 2,
	.text = "How fast is one producer process to one consumer process?",
	.cases = cases,
};
