/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast is one producer process to one consumer process? Each on a CPU of its
 * own. Every event is filled whole and every word of it read. In the single cases
 * each event is visible before the next one is made. In the others 32 are handed
 * over at once. Readers take what is there in the best way they have.
 */
#include "bench/questions/goals.h"
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

#define IN_PLACE "Tapio, in place"

#define SINGLE_GOALS                                                        \
	{                                                                   \
		GOAL_BEST("no slower than the best peer", NULL, 0, 1),      \
			GOAL_OVER("at most 1.2 x plain stores", NULL,       \
				  "plain stores", 0, 1.2),                  \
			GOAL_BEST("in place, no slower than the best peer", \
				  IN_PLACE, 0, 1),                          \
			GOAL_OVER("in place, at most 1.2 x plain stores",   \
				  IN_PLACE, "plain stores", 0, 1.2),        \
	}

#define BATCH_GOALS                                                          \
	{                                                                    \
		GOAL_OVER("no slower than rte_ring SP/SC", NULL,             \
			  "DPDK rte_ring SP/SC", 0, 1),                      \
			GOAL_OVER("at most 1.15 x plain stores", NULL,       \
				  "plain stores", 0, 1.15),                  \
			GOAL_OVER("in place, no slower than rte_ring SP/SC", \
				  IN_PLACE, "DPDK rte_ring SP/SC", 0, 1),    \
			GOAL_OVER("in place, at most 1.15 x plain stores",   \
				  IN_PLACE, "plain stores", 0, 1.15),        \
	}

#define SINGLE(size, text, n, few)                                          \
	{                                                                   \
		.name = "stream/" #size "/single",                          \
		.title = text ", one at a time", .bytes = size, .batch = 1, \
		.events = n, .quick_events = few, .figures = FIGURES,       \
		.subjects = singles, .goals = SINGLE_GOALS,                 \
	}
#define BATCH(size, text, n, few)                                              \
	{                                                                      \
		.name = "stream/" #size "/batch",                              \
		.title = text ", 32 at a time", .bytes = size,                 \
		.batch = STREAM_BATCH, .events = n, .quick_events = few,       \
		.figures = FIGURES, .subjects = batches, .goals = BATCH_GOALS, \
	}

static const struct bench_case cases[] = {
	SINGLE(64, "64 bytes", 4000000, 20000),
	SINGLE(256, "256 bytes", 2000000, 10000),
	SINGLE(1024, "1 KiB", 500000, 5000),
	BATCH(64, "64 bytes", 8000000, 20000),
	BATCH(256, "256 bytes", 2000000, 10000),
	BATCH(1024, "1 KiB", 500000, 5000),
	{.name = NULL},
};

const struct bench_question bench_question_stream = {
	.number = 2,
	.text = "How fast is one producer process to one consumer process?",
	.cases = cases,
};
