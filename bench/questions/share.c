/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What if several readers share the work, each event for one of them? With Tapio
 * the members of a group lease lanes, so that each lane has one reader and stays in
 * order. A producer that writes to eight lanes, one for each class, can have up to
 * eight. Others take turns at one ring, which has no order among its readers.
 *
 * Members join one after the other and share the lanes when they have found out
 * which are busy. The clock does not run before they got about the same, for a
 * moment, or have had their time to. The figure is then the least that any of
 * them had over the most.
 *
 * Readers are spread over the CPUs that the producer does not use. Where there are
 * fewer of those than readers, several are no faster than one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/questions/goals.h"
#include "bench/questions/pass.h"
#include "bench/questions/rig.h"
#include "lib/base/atomic.h"

#define MEMBERS_MAX 4
#define LANES       8
#define VIEWS       32
/* Before the clock runs: as long as it takes to share, in rounds. */
#define ROUND_NS     50000000
#define ROUNDS_MAX   30
#define ROUND_EVENTS 2000
#define EVEN         0.8 /* least over most */
#define POLL_NS      1000000

struct sharing {
	const struct stream_peer *peer; /* NULL: Tapio */
	struct stream_spec spec;
	uint32_t members;
	uint64_t events;
	void *channel;
	struct rig rig;
};

/* A producer of either kind. */
struct source {
	const struct sharing *of;
	void *handle;
	struct tapio_producer *producer;
};

/* ---- sending --------------------------------------------------------------------- */

static int open_source(struct source *s, const struct sharing *sharing)
{
	*s = (struct source){.of = sharing};
	if (sharing->peer)
		s->handle = pass_open(sharing->peer, sharing->channel, false);
	else
		s->producer = rig_producer(&sharing->rig);
	return s->handle || s->producer ? 0 : -1;
}

static void close_source(struct source *s)
{
	if (s->handle)
		s->of->peer->close(s->handle);
	tapio_producer_close(s->producer);
}

static int send(struct source *s, uint64_t from, uint64_t to)
{
	if (s->handle)
		return s->of->peer->send(s->handle, &s->of->spec, from, to);
	return rig_emit(s->producer, (struct rig_events){64, LANES, 1}, from,
			to - from);
}

/* Relaxed: figures that grow. */
static uint64_t taken(const struct sharing *s, struct bench_shared *shared,
		      uint64_t *each)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->members; i++) {
		each[i] = tpi_load_relaxed(&shared->side[1 + i].count);
		sum += each[i];
	}
	return sum;
}

static void wait_for_all(const struct sharing *s, struct bench_shared *shared,
			 uint64_t sent)
{
	uint64_t each[MEMBERS_MAX];

	while (taken(s, shared, each) != sent)
		tpi_cpu_relax();
}

static double evenness(const uint64_t *before, const uint64_t *after,
		       uint32_t members)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (uint32_t i = 0; i < members; i++) {
		const uint64_t n = after[i] - before[i];

		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	return most ? (double)least / (double)most : 0;
}

/* Until the members have shared, or have had the time to. How many were sent. */
static int settle(struct source *s, struct bench_shared *shared, uint64_t *sent)
{
	const uint32_t members = s->of->members;
	uint64_t before[MEMBERS_MAX], after[MEMBERS_MAX], due_ns;
	int err = 0;

	for (int round = 0; !err && round < ROUNDS_MAX; round++) {
		taken(s->of, shared, before);
		due_ns = bench_now_ns() + ROUND_NS;
		err = send(s, *sent, *sent + ROUND_EVENTS);
		*sent += ROUND_EVENTS;
		wait_for_all(s->of, shared, *sent);
		taken(s->of, shared, after);
		if (members == 1 || s->of->peer ||
		    evenness(before, after, members) >= EVEN)
			break;
		while (bench_now_ns() < due_ns)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return err;
}

static int produce(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct sharing *sharing = arg;
	uint64_t before[MEMBERS_MAX], after[MEMBERS_MAX], sent = 0;
	struct bench_side_result *result = &shared->side[index];
	struct source source;
	int err = open_source(&source, sharing);

	if (err)
		return err;
	bench_ready(shared);
	err = settle(&source, shared, &sent);
	taken(sharing, shared, before);
	result->start_ns = bench_now_ns();
	if (!err)
		err = send(&source, sent, sent + sharing->events);
	sent += sharing->events;
	if (!err)
		wait_for_all(sharing, shared, sent);
	result->end_ns = bench_now_ns();
	taken(sharing, shared, after);
	result->value[0] = evenness(before, after, sharing->members);
	shared->words[0] = sent;
	/* Relaxed: a flag. */
	tpi_store_relaxed(&shared->stop, 1);
	close_source(&source);
	return err;
}

/* ---- a member -------------------------------------------------------------------- */

/* Lanes are in order, each for itself. */
static bool look_at(const struct tapio_view *view, uint64_t *next,
		    struct stream_share *share)
{
	const uint64_t *word = view->data;

	if (view->klass >= LANES || view->length != 64 ||
	    *word < next[view->klass] || bench_read(word, view->length))
		return false;
	next[view->klass] = *word + 1;
	share->sum += *word;
	return true;
}

static int take(struct tapio_consumer *consumer, struct stream_share *share)
{
	struct tapio_view views[VIEWS];
	uint64_t next[LANES] = {0}, count = 0;

	while (!tpi_load_relaxed(share->stop)) {
		int n = tapio_poll(consumer, views, VIEWS, POLL_NS);

		for (int i = 0; i < n; i++)
			if (!look_at(&views[i], next, share)) {
				bench_why("an event is not what was sent, or "
					  "out of order");
				return -1;
			}
		if (n < 0 || tapio_release(consumer)) {
			bench_why("tapio_poll: %s",
				  n < 0 ? strerror(-n) : "an overrun");
			return -1;
		}
		count += (unsigned int)n;
		tpi_store_relaxed(share->count, count);
	}
	return 0;
}

static int take_of_group(const struct sharing *s, struct bench_shared *shared,
			 struct stream_share *share)
{
	const struct tapio_consumer_options options = {
		.group = "share",
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_consumer *consumer = rig_consumer(&s->rig, &options);
	int err;

	if (!consumer)
		return -1;
	bench_ready(shared);
	err = take(consumer, share);
	tapio_consumer_close(consumer);
	return err;
}

static int take_of_ring(const struct sharing *s, struct bench_shared *shared,
			struct stream_share *share)
{
	void *handle = pass_open(s->peer, s->channel, true);
	int err;

	if (!handle)
		return -1;
	bench_ready(shared);
	err = s->peer->receive_shared(handle, &s->spec, share);
	s->peer->close(handle);
	return err;
}

static int consume(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct sharing *s = arg;
	struct stream_share share = {
		.stop = &shared->stop,
		.count = &shared->side[index].count,
	};
	int err = s->peer ? take_of_ring(s, shared, &share)
			  : take_of_group(s, shared, &share);

	shared->side[index].reserved[0] = share.sum;
	return err;
}

/* ---- one turn -------------------------------------------------------------------- */

/* Each once: as many as were sent, and the sum of their numbers is right. */
static int check(const struct sharing *s, const struct bench_shared *shared)
{
	const uint64_t sent = shared->words[0];
	uint64_t count = 0, sum = 0;

	for (uint32_t i = 0; i < s->members; i++) {
		count += shared->side[1 + i].count;
		sum += shared->side[1 + i].reserved[0];
	}
	if (count == sent && sum == sent * (sent - 1) / 2)
		return 0;
	bench_why("%llu events came of %llu, or not each once",
		  (unsigned long long)count, (unsigned long long)sent);
	return -1;
}

static int run_sides(const struct bench_run *run, struct sharing *s,
		     double *figures)
{
	struct bench_side sides[1 + MEMBERS_MAX] = {
		{run->cpus[0], produce, s},
	};
	struct bench_shared shared;
	int err;

	for (uint32_t i = 0; i < s->members; i++)
		sides[1 + i] = (struct bench_side){
			run->cpus[1 + i % (run->cpu_count - 1)], consume, s};
	err = bench_sides_run(sides, 1 + s->members, &shared);
	if (!err)
		err = check(s, &shared);
	figures[0] = (double)s->events / bench_span_ns(&shared) * 1e9;
	figures[1] = 100 * shared.side[0].value[0];
	return err;
}

static int start_lanes(struct rig *rig)
{
	char config[1024];
	int used = snprintf(config, sizeof(config),
			    "channel " RIG_CHANNEL " { stamp = none\n");

	for (int i = 0; i < LANES; i++)
		used += snprintf(config + used, sizeof(config) - (size_t)used,
				 "class c%d { block = 64 blocks = %u "
				 "side_lanes = 1 }\n",
				 i, STREAM_RING_BYTES / 64 / LANES);
	snprintf(config + used, sizeof(config) - (size_t)used, "}\n");
	return rig_start(rig, config);
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	const struct stream_peer *peer = subject->arg;
	const uint32_t members = (uint32_t)run->of->param;
	struct sharing s = {
		.peer = peer,
		.spec = {.bytes = run->of->bytes,
			 .batch = 1,
			 .producers = 1,
			 .consumers = members,
			 .yields = members > run->cpu_count - 1},
		.members = members,
		.events = peer ? run->events / 8 + 1 : run->events,
	};
	int err = 0;

	if (peer)
		s.channel = peer->make(&s.spec);
	else
		err = start_lanes(&s.rig);
	if (err || (peer && !s.channel))
		return -1;
	err = run_sides(run, &s, figures);
	if (peer)
		peer->unmake(s.channel);
	else
		rig_stop(&s.rig);
	return err;
}

static const struct bench_subject group = {RIG_PEER, "a group", run, NULL};
#ifdef BENCH_HAVE_CK
static const struct bench_subject ck = {&stream_ck_mp.peer, NULL, run,
					&stream_ck_mp};
#endif
#ifdef BENCH_HAVE_DPDK
static const struct bench_subject rte = {&stream_rte_mp.peer, NULL, run,
					 &stream_rte_mp};
#endif

static const struct bench_subject *const subjects[] = {
	&group,
#ifdef BENCH_HAVE_CK
	&ck,
#endif
#ifdef BENCH_HAVE_DPDK
	&rte,
#endif
	NULL,
};

#define CASE(n, text, ...)                                                    \
	{                                                                     \
		.name = "share/64/" #n, .title = "64 bytes, " text,           \
		.bytes = 64, .batch = 1, .param = n, .param_name = "readers", \
		.events = 4000000, .quick_events = 4000,                      \
		.figures = {{"delivered", "events/s", true},                  \
			    {"least over most", "%", true}},                  \
		.subjects = subjects, .goals = {__VA_ARGS__},                 \
	}

#define AHEAD \
	GOAL_OVER("as many as with rte_ring MP", NULL, "DPDK rte_ring MP", 0, 1)

static const struct bench_case cases[] = {
	CASE(1, "1 reader", {.text = NULL}),
	CASE(2, "2 readers, spread over the other CPUs", AHEAD),
	CASE(4, "4 readers, spread over the other CPUs", AHEAD),
	{.name = NULL},
};

const struct bench_question bench_question_share = {
	.number = 5,
	.text = "What if several readers share the work?",
	.cases = cases,
};
