/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do several producers of one channel get in each other's way? Two on one CPU, and
 * one on each of several. Without a reader, when the producers of a peer that
 * does not overwrite its oldest events take them out themselves, and with a
 * reader, which has a CPU of its own where there is one more.
 *
 * All send for the same time, not the same number of events: a shared ring's
 * producer waits for another one that was interrupted within its call, and if both
 * are on one CPU they come to a point where each event takes a time slice.
 */
#include <string.h>

#include "bench/questions/goals.h"
#include "bench/questions/pass.h"
#include "lib/base/atomic.h"

#define RUN_NS       100000000
#define QUICK_RUN_NS 8000000
/* Of the time, to warm up with. */
#define WARM_SHARE 4
/* Sent between two looks at the clock. More by those that are quick. */
#define CHUNK_LEAST 1
#define CHUNK_MOST  1024
#define CHUNK_NS    50000

struct place {
	bool one_cpu; /* all producers */
	bool read;
};

/* A subject: as many producers as the case says, or one to compare them with. */
struct who {
	const struct stream_peer *peer;
	bool alone;
};

struct crowd {
	const struct stream_peer *peer;
	struct stream_spec spec;
	void *channel;
	uint64_t run_ns;
	struct told {
		uint64_t total; /* see struct stream_spec */
		uint64_t sent;
		uint32_t done; /* producers */
	} * told;              /* seen by all sides */
};

/* ---- sides ---------------------------------------------------------------------- */

/* Sends from *next until due_ns, something in any case, and moves it on. */
static int send_until(const struct crowd *crowd, void *handle, uint64_t due_ns,
		      uint64_t *next)
{
	uint64_t chunk = CHUNK_LEAST, begun, now = bench_now_ns();
	int err;

	do {
		begun = now;
		err = crowd->peer->send(handle, &crowd->spec, *next,
					*next + chunk);
		*next += chunk;
		now = bench_now_ns();
		if (now - begun > CHUNK_NS)
			chunk = CHUNK_LEAST;
		else if (chunk < CHUNK_MOST)
			chunk *= 2;
	} while (!err && now < due_ns);
	return err;
}

/* The last of the producers says how many events there were. */
static void tell(const struct crowd *crowd, uint64_t sent)
{
	struct told *told = crowd->told;

	tpi_add_relaxed(&told->sent, sent);
	/* ORDER bench.told (acq_rel): `sent` of the side before. Pairs with
	 * itself. */
	if (tpi_add_acq_rel(&told->done, 1) + 1 == crowd->spec.producers)
		/* Relaxed: no more than a count of events that come anyway. */
		tpi_store_relaxed(&told->total, tpi_load_relaxed(&told->sent));
}

static int produce(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct crowd *crowd = arg;
	struct bench_side_result *result = &shared->side[index];
	const uint64_t first = (uint64_t)index << STREAM_PRODUCER_SHIFT;
	void *handle = pass_open(crowd->peer, crowd->channel, false);
	uint64_t begun_ns, warm, next = first;
	int err;

	if (!handle)
		return -1;
	bench_ready(shared); /* all are there, and the reader has joined */
	begun_ns = bench_now_ns();
	err = send_until(crowd, handle, begun_ns + crowd->run_ns / WARM_SHARE,
			 &next);
	warm = next;
	result->start_ns = bench_now_ns();
	if (!err)
		err = send_until(crowd, handle, begun_ns + crowd->run_ns,
				 &next);
	result->end_ns = bench_now_ns();
	result->count = next - warm;
	tell(crowd, next - first);
	if (!err)
		bench_ready(shared); /* all is read */
	crowd->peer->close(handle);
	return err;
}

static int consume(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct crowd *crowd = arg;
	void *handle = pass_open(crowd->peer, crowd->channel, true);
	int err;

	(void)index;
	if (!handle)
		return -1;
	bench_ready(shared);
	err = crowd->peer->receive(handle, &crowd->spec, 0, UINT32_MAX);
	if (!err)
		bench_ready(shared);
	crowd->peer->close(handle);
	return err;
}

/* ---- one turn -------------------------------------------------------------------- */

/* The sides' CPUs. The reader's comes last. */
static int place(struct crowd *crowd, const struct bench_run *run,
		 struct bench_side *sides)
{
	const struct place *at = run->of->arg;
	const uint32_t cpus = at->one_cpu ? 1 : (uint32_t)run->of->param;
	const uint32_t reader = cpus < run->cpu_count ? cpus : cpus - 1;
	struct stream_spec *spec = &crowd->spec;

	if (cpus > run->cpu_count) {
		bench_why("needs %u CPUs", cpus);
		return BENCH_ABSENT;
	}
	for (uint32_t i = 0; i < spec->producers; i++)
		sides[i] = (struct bench_side){run->cpus[i % cpus], produce,
					       crowd};
	sides[spec->producers] =
		(struct bench_side){run->cpus[reader], consume, crowd};
	spec->consumers = at->read;
	spec->yields = spec->producers > cpus || (at->read && reader < cpus);
	return 0;
}

static int run_sides(struct crowd *crowd, const struct bench_side *sides,
		     double *figures)
{
	struct stream_spec *spec = &crowd->spec;
	struct bench_shared shared;
	double rate = 0;
	int err;

	memset(crowd->told, 0, sizeof(*crowd->told));
	spec->total = &crowd->told->total;
	crowd->channel = crowd->peer->make(spec);
	if (!crowd->channel)
		return -1;
	err = bench_sides_run(sides, spec->producers + spec->consumers,
			      &shared);
	crowd->peer->unmake(crowd->channel);
	for (uint32_t i = 0; !err && i < spec->producers; i++)
		rate += (double)shared.side[i].count * 1e9 /
			(double)(shared.side[i].end_ns -
				 shared.side[i].start_ns);
	figures[0] = 1e9 / rate;
	figures[1] = rate;
	figures[2] = rate / spec->producers;
	return err;
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	const struct who *who = subject->arg;
	struct crowd crowd = {
		.peer = who->peer,
		.spec = pass_spec(run, who->peer),
		.run_ns = run->quick ? QUICK_RUN_NS : RUN_NS,
	};
	struct bench_side sides[BENCH_SIDES_MAX];
	int err;

	crowd.spec.producers = who->alone ? 1 : (uint32_t)run->of->param;
	err = place(&crowd, run, sides);
	if (err)
		return err;
	crowd.told = bench_memory(sizeof(*crowd.told));
	if (!crowd.told)
		return -1;
	err = run_sides(&crowd, sides, figures);
	bench_memory_free(crowd.told, sizeof(*crowd.told));
	return err;
}

#define WHO(name, stream)                                                    \
	static const struct who name##_who = {&(stream), false};             \
	static const struct who name##_one_who = {&(stream), true};          \
	static const struct bench_subject name = {&(stream).peer, NULL, run, \
						  &name##_who};              \
	static const struct bench_subject name##_one = {                     \
		&(stream).peer, "one producer", run, &name##_one_who}

WHO(tapio, stream_tapio);
WHO(pipes, stream_pipe);
#ifdef BENCH_HAVE_CK
WHO(ck, stream_ck_mp);
#endif
#ifdef BENCH_HAVE_DPDK
WHO(rte, stream_rte_mp);
#endif
#ifdef BENCH_HAVE_ICEORYX
WHO(iox, stream_iceoryx);
#endif
#ifdef BENCH_HAVE_LTTNG
WHO(lttng, stream_lttng);
#endif
#ifdef BENCH_HAVE_BPF
WHO(bpf, stream_bpf);
#endif

static const struct bench_subject *const writers[] = {
	&tapio, &tapio_one,
#ifdef BENCH_HAVE_CK
	&ck,    &ck_one,
#endif
#ifdef BENCH_HAVE_DPDK
	&rte,   &rte_one,
#endif
#ifdef BENCH_HAVE_ICEORYX
	&iox,   &iox_one,
#endif
#ifdef BENCH_HAVE_LTTNG
	&lttng, &lttng_one,
#endif
#ifdef BENCH_HAVE_BPF
	&bpf,   &bpf_one,
#endif
	&pipes, &pipes_one, NULL,
};

/* All but those that are never read. */
static const struct bench_subject *const readable[] = {
	&tapio, &tapio_one,
#ifdef BENCH_HAVE_CK
	&ck,    &ck_one,
#endif
#ifdef BENCH_HAVE_DPDK
	&rte,   &rte_one,
#endif
#ifdef BENCH_HAVE_ICEORYX
	&iox,   &iox_one,
#endif
#ifdef BENCH_HAVE_BPF
	&bpf,   &bpf_one,
#endif
	&pipes, &pipes_one, NULL,
};

static const struct place one_cpu = {.one_cpu = true};
static const struct place one_cpu_read = {.one_cpu = true, .read = true};
static const struct place own_cpus = {.one_cpu = false};
static const struct place own_cpus_read = {.read = true};

#define CASE(where, producers, text, at, who)                              \
	.name = "scaling/" where, .title = "64 bytes, " text, .bytes = 64, \
	.batch = 1, .param = producers, .param_name = "producers",         \
	.arg = &(at),                                                      \
	.figures = {{"an event", "ns", false},                             \
		    {"all", "events/s", true},                             \
		    {"each producer", "events/s", true}},                  \
	.subjects = who, .aside = "*, one producer"

#define SHARED(where, text, at, who)                                        \
	{                                                                   \
		CASE(where, 2, text, at, who),                              \
			.goals = {GOAL_OVER("within 20 % of one producer",  \
					    NULL, "Tapio, one producer", 0, \
					    1.2)},                          \
	}
#define OWN(where, n, text, at, who)                                      \
	{                                                                 \
		CASE(where, n, text, at, who),                            \
			.goals = {GOAL_OVER(                              \
				"each within 10 % of one producer", NULL, \
				"Tapio, one producer", 2, 0.9)},          \
	}

#define NOBODY "nobody reading"
#define READER "one reading"

static const struct bench_case cases[] = {
	SHARED("one-cpu", "two producers on one CPU, " NOBODY, one_cpu,
	       writers),
	SHARED("one-cpu/read", "two producers on one CPU, " READER,
	       one_cpu_read, readable),
	OWN("2-cpus", 2, "producers on 2 CPUs, " NOBODY, own_cpus, writers),
	OWN("4-cpus", 4, "producers on 4 CPUs, " NOBODY, own_cpus, writers),
	OWN("8-cpus", 8, "producers on 8 CPUs, " NOBODY, own_cpus, writers),
	OWN("16-cpus", 16, "producers on 16 CPUs, " NOBODY, own_cpus, writers),
	{CASE("2-cpus/read", 2, "producers on 2 CPUs, " READER, own_cpus_read,
	      readable),
	 .goals = {GOAL_BEST("2 x ahead of the best peer for several producers",
			     NULL, 0, 0.5)}},
	{CASE("4-cpus/read", 4, "producers on 4 CPUs, " READER, own_cpus_read,
	      readable)},
	{CASE("8-cpus/read", 8, "producers on 8 CPUs, " READER, own_cpus_read,
	      readable)},
	{.name = NULL},
};

const struct bench_question bench_question_scaling = {
	.number = 3,
	.text = "Do several producers get in each other's way?",
	.cases = cases,
};
