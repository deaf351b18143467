/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Question 6, the ring: the cost of putting a value and getting it again, in
 * one process, from one process to another, and for two that both do both.
 *
 * The peers for many producers stop for ever when one of their users is killed
 * inside a call. They are here for the price of not doing so. Those for one
 * producer and one consumer do less, and are here for what that saves.
 */
#include "bench/peers/ring_peer.h"
#include "bench/questions/goals.h"
#include "bench/questions/published.h"

#define CAPACITY 1024
#define WARM     (8 * CAPACITY)

enum what {
	PAIR,
	PUT,
	GET,
	ACROSS,
	CONTEND,
};

/* The subject of one measurement, for its sides. */
struct job {
	const struct ring_peer *peer;
	void *ring;
	uint64_t count;
	int (*put)(void *ring, uint64_t count);
	int (*get)(void *ring, uint64_t count);
	bool time_gets;
};

static int check(int err, const struct job *job)
{
	if (err)
		bench_why("%s: a value was refused, or is not the one that was "
			  "put",
			  job->peer->peer.name);
	return err;
}

/* ---- one process --------------------------------------------------------------- */

static int side_pairs(void *arg, struct bench_shared *shared,
		      unsigned int index)
{
	struct job *job = arg;
	int err = job->peer->pairs(job->ring, WARM);

	shared->side[index].start_ns = bench_now_ns();
	if (!err)
		err = job->peer->pairs(job->ring, job->count);
	shared->side[index].end_ns = bench_now_ns();
	return check(err, job);
}

/* Rounds of filling and draining the ring, one of which is timed. */
static int side_rounds(void *arg, struct bench_shared *shared,
		       unsigned int index)
{
	struct bench_side_result *result = &shared->side[index];
	struct job *job = arg;
	uint64_t begin, middle;
	int err = job->put(job->ring, CAPACITY) | /* not timed */
		  job->get(job->ring, CAPACITY);

	result->start_ns = result->end_ns = bench_now_ns();
	for (uint64_t done = 0; !err && done < job->count; done += CAPACITY) {
		begin = bench_now_ns();
		err = job->put(job->ring, CAPACITY);
		middle = bench_now_ns();
		err |= job->get(job->ring, CAPACITY);
		if (job->time_gets)
			result->end_ns += bench_now_ns() - middle;
		else
			result->end_ns += middle - begin;
	}
	return check(err, job);
}

/* ---- two processes. The first values of either are not timed ------------------- */

static int side_put(void *arg, struct bench_shared *shared, unsigned int index)
{
	struct job *job = arg;
	int err = job->put(job->ring, WARM);

	bench_ready(shared);
	shared->side[index].start_ns = bench_now_ns();
	return check(err ? err : job->put(job->ring, job->count), job);
}

static int side_get(void *arg, struct bench_shared *shared, unsigned int index)
{
	struct job *job = arg;
	int err = job->get(job->ring, WARM);

	bench_ready(shared);
	if (!err)
		err = job->get(job->ring, job->count);
	shared->side[index].end_ns = bench_now_ns();
	return check(err, job);
}

static int side_contend(void *arg, struct bench_shared *shared,
			unsigned int index)
{
	struct bench_side_result *result = &shared->side[index];
	struct job *job = arg;
	int err = job->peer->contend(job->ring, WARM, &result->count);

	bench_ready(shared);
	result->count = 0;
	result->start_ns = bench_now_ns();
	if (!err)
		err = job->peer->contend(job->ring, job->count, &result->count);
	result->end_ns = bench_now_ns();
	return check(err, job);
}

/* ---- running ----------------------------------------------------------------- */

typedef int (*side_run)(void *arg, struct bench_shared *shared,
			unsigned int index);

/* The work of each side, by the case. The second is NULL for one process. */
static void assign(struct job *job, const struct bench_case *of,
		   side_run *first, side_run *second)
{
	const struct ring_peer *peer = job->peer;
	bool batch = of->batch > 1;

	*second = NULL;
	switch ((enum what)of->param) {
	case PAIR:
		*first = side_pairs;
		return;
	case PUT:
	case GET:
		*first = side_rounds;
		job->put = batch ? peer->fill_batch : peer->fill;
		job->get = batch ? peer->drain_batch : peer->drain;
		job->time_gets = of->param == GET;
		return;
	case ACROSS:
		*first = side_put;
		*second = side_get;
		job->put = batch ? peer->send_batch : peer->send;
		job->get = batch ? peer->receive_batch : peer->receive;
		return;
	case CONTEND:
		*first = *second = side_contend;
	}
}

/* Two that both put and got: the sums that went in and came out are equal. */
static int check_sum(const struct bench_shared *shared, uint64_t count)
{
	uint64_t sum = shared->side[0].count + shared->side[1].count;

	if (sum == count * (count - 1))
		return 0;
	bench_why("the values that were got are not those that were put");
	return -1;
}

static int run_job(const struct bench_run *run, struct job *job, double *ns)
{
	struct bench_shared shared;
	side_run first = NULL, second = NULL;
	int err;

	assign(job, run->of, &first, &second);
	if (second && run->cpu_count < 2) {
		bench_why("needs two CPUs");
		return BENCH_ABSENT;
	}
	struct bench_side sides[] = {
		{run->cpus[0], first, job},
		{second ? run->cpus[1] : -1, second, job},
	};
	err = bench_sides_run(sides, second ? 2 : 1, &shared);
	if (!err && run->of->param == CONTEND)
		err = check_sum(&shared, job->count);
	*ns = bench_span_ns(&shared) / (double)job->count;
	return err;
}

static int run_ring(const struct bench_run *run,
		    const struct bench_subject *subject, double *figures)
{
	const struct ring_peer *peer = subject->arg;
	/* Rounds of the whole ring. */
	struct job job = {
		.peer = peer,
		.count = (run->events + CAPACITY - 1) / CAPACITY * CAPACITY,
	};
	struct ring_made made = {0};
	int err = peer->make(&made, CAPACITY);

	if (err)
		return err;
	job.ring = made.ring;
	err = run_job(run, &job, &figures[0]);
	if (peer->unmake)
		peer->unmake(made.ring);
	bench_memory_free(made.memory, made.bytes);
	return err;
}

/* ---- the table --------------------------------------------------------------- */

#define SUBJECT(name)                                                        \
	static const struct bench_subject name = {.peer = &ring_##name.peer, \
						  .run = run_ring,           \
						  .arg = &ring_##name}

SUBJECT(tapio);
SUBJECT(swap);
SUBJECT(store);
#ifdef BENCH_HAVE_CK
SUBJECT(ck);
SUBJECT(ck_spsc);
#define CK     &ck,
#define CK_ALL &ck, &ck_spsc,
#else
#define CK
#define CK_ALL
#endif
#ifdef BENCH_HAVE_DPDK
SUBJECT(rte);
SUBJECT(rte_spsc);
#define RTE     &rte,
#define RTE_ALL &rte, &rte_spsc,
#else
#define RTE
#define RTE_ALL
#endif

static const struct bench_subject *const all[] = {&tapio, CK_ALL RTE_ALL &swap,
						  &store, NULL};
static const struct bench_subject *const with_batches[] = {
	&tapio, RTE_ALL &store, NULL};
static const struct bench_subject *const many[] = {&tapio, CK RTE &swap, NULL};

#define PER_VALUE                                         \
	{                                                 \
		{                                         \
			.name = "per value", .unit = "ns" \
		}                                         \
	}
#define NO_SLOWER                                                \
	GOAL_OVER("no slower than Concurrency Kit's MPMC", NULL, \
		  "ck_ring MPMC", 0, 1),                         \
		GOAL_OVER("no slower than DPDK's MP/MC", NULL,   \
			  "rte_ring MP/MC", 0, 1)
#define BARE                                           \
	GOAL_OVER("at most 1.1 x the bare swap", NULL, \
		  "bare compare-and-swap", 0, 1.1)
#define BATCHED GOAL_VALUE("at most 1.5 ns a value", NULL, 0, 1.5)

static const struct bench_case cases[] = {
	{.name = "ring/put",
	 .title = "a put, one process",
	 .batch = 1,
	 .param = PUT,
	 .events = 1024 * CAPACITY,
	 .quick_events = CAPACITY,
	 .figures = PER_VALUE,
	 .subjects = all,
	 .goals = {BARE, NO_SLOWER}},
	{.name = "ring/get",
	 .title = "a get, one process",
	 .batch = 1,
	 .param = GET,
	 .events = 1024 * CAPACITY,
	 .quick_events = CAPACITY,
	 .figures = PER_VALUE,
	 .subjects = all,
	 .goals = {BARE, NO_SLOWER}},
	{.name = "ring/put-get",
	 .title = "a put and its get, one process",
	 .batch = 1,
	 .param = PAIR,
	 .events = 1024 * CAPACITY,
	 .quick_events = CAPACITY,
	 .figures = PER_VALUE,
	 .subjects = all,
	 .goals = {NO_SLOWER}},
	{.name = "ring/put/batch",
	 .title = "a put, of 32 at once",
	 .batch = RING_BATCH,
	 .param = PUT,
	 .events = 2048 * CAPACITY,
	 .quick_events = CAPACITY,
	 .figures = PER_VALUE,
	 .subjects = with_batches,
	 .goals = {BATCHED}},
	{.name = "ring/get/batch",
	 .title = "a get, of 32 at once",
	 .batch = RING_BATCH,
	 .param = GET,
	 .events = 2048 * CAPACITY,
	 .quick_events = CAPACITY,
	 .figures = PER_VALUE,
	 .subjects = with_batches,
	 .goals = {BATCHED}},
	{.name = "ring/across",
	 .title = "from one process to another",
	 .batch = 1,
	 .param = ACROSS,
	 .events = 512 * CAPACITY,
	 .quick_events = CAPACITY,
	 .figures = PER_VALUE,
	 .subjects = all,
	 .goals = {NO_SLOWER}},
	{.name = "ring/across/batch",
	 .title = "from one process to another, 32 at once",
	 .batch = RING_BATCH,
	 .param = ACROSS,
	 .events = 1024 * CAPACITY,
	 .quick_events = CAPACITY,
	 .figures = PER_VALUE,
	 .subjects = with_batches},
	{.name = "ring/contend",
	 .title = "two processes, each a put and a get",
	 .batch = 1,
	 .param = CONTEND,
	 .events = 256 * CAPACITY,
	 .quick_events = CAPACITY,
	 .figures = {{.name = "put and get", .unit = "ns"}},
	 .subjects = many,
	 .goals = {NO_SLOWER}},
	{0},
};

static const struct bench_published published[] = {
	{"put into the ring", 89.3, "ns", BENCH_SEED},
	{"get from the ring", 103, "ns", BENCH_SEED},
	{"batch put into the ring", 489, "ns", BENCH_SEED},
	{0},
};

const struct bench_question bench_question_ring = {
	.number = 6,
	.text = "The ring: putting and getting 64-bit values",
	.cases = cases,
	.published = published,
};
