/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What do deaths cost the living? On one CPU a process emits and reads what it has emitted,
 * in turns, so that it never waits. On another CPU processes are born and killed, 50 a
 * second, and their broker sweeps up. The same number dies in each kind of slice:
 *
 *	slice     | those that die, on the other CPU           | what it shows
 *	----------+--------------------------------------------+----------------------------
 *	ALONE     | none                                       | the living by itself
 *	OTHERS    | processes that have nothing to do with     | fork, exit, and the rest of
 *	          | Tapio                                      | the kernel's work
 *	ELSEWHERE | clients of another broker, which is on the | besides: an attach, a sweep,
 *	          | same CPU and has other memory              | their load on caches and on
 *	          |                                            | a core that both CPUs share
 *	HERE      | clients of the channel of the living:      | besides: what is done to the
 *	          | producers with a block in their hands,     | memory of the living
 *	          | members of another group, observers        |
 *
 * So HERE over ELSEWHERE is the price of a death for those that share the channel, and HERE
 * over OTHERS has the attach and the sweep in it, too, as far as another CPU feels them. All of
 * it is of one turn, in slices that take turns, so that a drift of the machine hits all. It needs
 * two CPUs and no more. The living's events MUST all arrive, once and in order.
 *
 * Wake-ups of a reader that sleeps are not in it. fault.broker_wakeups counts them.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/questions/rig.h"
#include "lib/base/atomic.h"

/* 50 a second: as many clients as one CPU of a small machine can bear and bury. */
#define EACH_NS      UINT64_C(20000000)
#define DEATHS       16 /* of a slice */
#define QUICK_DEATHS 4
#define ROUNDS       4
#define QUICK_ROUNDS 1
#define READY_NS     UINT64_C(5000000000)
#define CHUNK        4096
#define VIEWS        64
#define NAP_NS       100000
#define VICTIM_OF    TAPIO_TAG(RIG_TYPE + 1, 6)

enum kind {
	ALONE,
	OTHERS,
	ELSEWHERE,
	HERE,
	KINDS
};

/* Words that the sides share, of a line each. */
enum {
	WORD_SLICE = 0, /* the living is in it */
	WORD_READY = 8, /* the victim that is at work */
	WORD_OVER = 9,  /* the slice whose deaths are over */
};

struct storm {
	struct rig here, elsewhere;
	uint32_t bytes;
	uint32_t rounds;
	uint32_t deaths;
};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

/* Slices are numbered from 1 on. Odd rounds go through the kinds backwards. */
static enum kind kind_of(uint64_t slice)
{
	uint64_t round = (slice - 1) / KINDS, at = (slice - 1) % KINDS;

	return (enum kind)(round % 2 ? KINDS - 1 - at : at);
}

/* ---- the living ----------------------------------------------------------------------- */

struct living {
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	struct rig_events events;
	uint64_t sent;
	uint64_t due; /* the number that is read next */
};

/* Of one lane, so in order. Events of victims have another type. */
static int take(struct living *l)
{
	struct tapio_view views[VIEWS];
	int n = tapio_poll(l->consumer, views, VIEWS, 1000000);

	for (int i = 0; i < n; i++, l->due++) {
		const uint64_t *word = views[i].data;

		if (*word == l->due)
			continue;
		bench_why("event %llu came in place of %llu",
			  (unsigned long long)*word,
			  (unsigned long long)l->due);
		return -1;
	}
	return n > 0 ? (int)tapio_release(l->consumer) : n;
}

static int emit_and_read(struct living *l)
{
	int err = rig_emit(l->producer, l->events, l->sent, CHUNK);

	l->sent += CHUNK;
	while (!err && l->due < l->sent)
		err = take(l);
	return err;
}

struct slice_sum {
	uint64_t events, ns, cpu_ns;
};

static int live_through(struct living *l, struct bench_shared *shared,
			uint64_t slice, struct slice_sum *sum)
{
	uint64_t first = l->sent, start = bench_now_ns();
	uint64_t cpu_start = bench_cpu_ns();
	int err = 0;

	/* Relaxed, both: requests and answers of their own. */
	tpi_store_relaxed(&shared->words[WORD_SLICE], slice);
	while (!err && tpi_load_relaxed(&shared->words[WORD_OVER]) != slice)
		err = emit_and_read(l);
	sum->events += l->sent - first;
	sum->ns += bench_now_ns() - start;
	sum->cpu_ns += bench_cpu_ns() - cpu_start;
	return err;
}

static int open_living(struct living *l, const struct storm *s)
{
	static const uint16_t wanted[] = {RIG_TYPE};
	const struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.types = wanted,
		.type_count = 1,
	};

	l->events = (struct rig_events){s->bytes, 0, 1};
	l->consumer = rig_consumer(&s->here, &options);
	l->producer = l->consumer ? rig_producer(&s->here) : NULL;
	return l->producer ? 0 : -1;
}

/* value[kind]: ns of an event. value[KINDS]: us taken from it by a death of HERE. */
static int live(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct storm *s = arg;
	struct slice_sum sums[KINDS] = {{0}};
	double *value = shared->side[index].value;
	struct living l = {0};
	int err = open_living(&l, s);

	bench_ready(shared);
	for (int i = 0; !err && i < 64; i++) /* warm */
		err = emit_and_read(&l);
	for (uint64_t i = 1; !err && i <= s->rounds * KINDS; i++)
		err = live_through(&l, shared, i, &sums[kind_of(i)]);
	if (!err)
		err = rig_on_cpu_lanes(l.producer); /* else there is no order */
	tapio_producer_close(l.producer);
	tapio_consumer_close(l.consumer);
	if (err)
		return err;
	for (int k = 0; k < KINDS; k++)
		value[k] = (double)sums[k].ns / (double)sums[k].events;
	value[KINDS] = (double)(int64_t)(sums[HERE].ns - sums[HERE].cpu_ns) /
		       1e3 / (s->rounds * s->deaths);
	return 0;
}

/* ---- those that die --------------------------------------------------------------------- */

static int be_producer(const struct rig *rig)
{
	struct tapio_producer *producer = rig_producer(rig);
	struct tapio_reservation r;

	if (!producer)
		return -1;
	/* Where there is no room for it, it has none. */
	(void)tapio_reserve(producer, VICTIM_OF | TAPIO_NO_WAIT, 8, &r);
	return 0;
}

/* It holds no producer back. */
static int be_member(const struct rig *rig)
{
	const struct tapio_consumer_options options = {
		.group = "victims",
		.policy = TAPIO_GROUP_LOSSY,
	};
	struct tapio_consumer *consumer = rig_consumer(rig, &options);
	struct tapio_view views[VIEWS];

	return consumer ? tapio_poll(consumer, views, VIEWS, 0) : -1;
}

static int be_observer(const struct rig *rig)
{
	return rig_observer(rig, NULL) ? 0 : -1;
}

static void be_victim(const struct rig *rig, struct bench_shared *shared,
		      uint64_t n)
{
	static int (*const kinds[])(const struct rig *rig) = {
		be_producer, be_member, be_observer};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (rig && kinds[n % 3](rig) < 0)
		_exit(1);
	/* Relaxed: the handle is the process's own. */
	tpi_store_relaxed(&shared->words[WORD_READY], n + 1);
	for (;;)
		pause();
}

static int kill_one(const struct rig *rig, struct bench_shared *shared,
		    uint64_t n)
{
	uint64_t until = bench_now_ns() + READY_NS;
	int status = 0;
	pid_t pid = fork();

	if (pid < 0) {
		bench_why("fork: %s", strerror(errno));
		return -1;
	}
	if (!pid)
		be_victim(rig, shared, n);
	while (tpi_load_relaxed(&shared->words[WORD_READY]) != n + 1 &&
	       bench_now_ns() < until)
		nap();
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && bench_now_ns() < until)
		return 0;
	bench_why("a client that was to die there did not attach");
	return -1;
}

static const struct rig *rig_of(const struct storm *s, enum kind kind)
{
	return kind == HERE        ? &s->here
	       : kind == ELSEWHERE ? &s->elsewhere
				   : NULL;
}

/* One slice. As long without deaths, if they are not wanted. */
static int storm_through(const struct storm *s, struct bench_shared *shared,
			 enum kind kind, uint64_t *died)
{
	uint64_t due = bench_now_ns();
	int err = 0;

	for (uint32_t i = 0; !err && i < s->deaths; i++) {
		if (kind != ALONE)
			err = kill_one(rig_of(s, kind), shared, (*died)++);
		due += EACH_NS;
		while (bench_now_ns() < due)
			nap();
	}
	return err;
}

/* Sections are tested once in a process, and its children know the result. */
static int test_once(const struct rig *rig)
{
	struct tapio_producer *producer = rig_producer(rig);

	tapio_producer_close(producer);
	return producer ? 0 : -1;
}

static int storm(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct storm *s = arg;
	uint64_t died = 0, here_ns = 0, start;
	int err = test_once(&s->here);

	bench_ready(shared);
	for (uint64_t i = 1; !err && i <= s->rounds * KINDS; i++) {
		while (tpi_load_relaxed(&shared->words[WORD_SLICE]) != i)
			nap();
		start = bench_now_ns();
		err = storm_through(s, shared, kind_of(i), &died);
		if (kind_of(i) == HERE)
			here_ns += bench_now_ns() - start;
		tpi_store_relaxed(&shared->words[WORD_OVER], i);
	}
	shared->side[index].value[0] =
		(double)(s->rounds * s->deaths) * 1e9 / (double)here_ns;
	return err;
}

/* ---- one turn ------------------------------------------------------------------------------ */

static int run_sides(const struct bench_run *run, struct storm *s,
		     double *figures)
{
	const struct bench_side sides[] = {
		{run->cpus[0], live, s},
		{run->cpus[1 % run->cpu_count], storm, s},
	};
	struct bench_shared shared;
	int err = bench_sides_run(sides, 2, &shared);
	const double *ns = shared.side[0].value;

	for (int k = 0; k < KINDS; k++)
		figures[k] = ns[k];
	figures[4] = ns[HERE] / ns[OTHERS];
	figures[5] = ns[HERE] / ns[ELSEWHERE];
	figures[6] = ns[KINDS];
	figures[7] = shared.side[1].value[0];
	return err;
}

/* Their threads are where this one is. */
static int start_brokers(struct storm *s, int cpu)
{
	char config[128];
	cpu_set_t before;
	int err;

	snprintf(config, sizeof(config),
		 "channel " RIG_CHANNEL
		 " { class main { block = %u blocks = %u } stamp = none }\n",
		 s->bytes, STREAM_RING_BYTES / s->bytes);
	sched_getaffinity(0, sizeof(before), &before);
	err = bench_pin(cpu);
	if (!err)
		err = rig_start(&s->here, config);
	if (!err)
		err = rig_start(&s->elsewhere, config);
	sched_setaffinity(0, sizeof(before), &before);
	return err;
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	struct storm s = {
		.bytes = run->of->bytes,
		.rounds = run->quick ? QUICK_ROUNDS : ROUNDS,
		.deaths = run->quick ? QUICK_DEATHS : DEATHS,
	};
	int err;

	(void)subject;
	if (run->cpu_count < 2) {
		bench_why("the living need a CPU for themselves");
		return BENCH_ABSENT;
	}
	err = start_brokers(&s, run->cpus[1]);
	if (!err)
		err = run_sides(run, &s, figures);
	rig_stop(&s.here);
	rig_stop(&s.elsewhere);
	return err;
}

static const struct bench_subject living = {RIG_PEER, NULL, run, NULL};
static const struct bench_subject *const subjects[] = {&living, NULL};

#define TITLE(size)                                                    \
#size " bytes, while 50 a second die: no clients, clients of " \
	      "another broker, clients here"

#define CASE(size)                                                           \
	{                                                                    \
		.name = "storm/" #size, .title = TITLE(size), .bytes = size, \
		.batch = 1, .param = 50, .param_name = "deaths/s",           \
		.events = 1, .quick_events = 1,                              \
		.figures = {{"alone", "ns", false},                          \
			    {"others die", "ns", false},                     \
			    {"clients die elsewhere", "ns", false},          \
			    {"clients die here", "ns", false},               \
			    {"here over others", "times", false},            \
			    {"here over elsewhere", "times", false},         \
			    {"taken by a death here", "us", false},          \
			    {"deaths", "1/s", true}},                        \
		.subjects = subjects,                                        \
	}

static const struct bench_case cases[] = {
	CASE(64),
	CASE(256),
	{.name = NULL},
};

const struct bench_question bench_question_storm = {
	.number = 8,
	.text = "What do deaths of others, on another CPU, cost an event that is "
		"emitted and read?",
	.cases = cases,
};
