/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapiod and its keeper are killed together, or stopped, and started anew, again and again,
 * under programs that only emit and read. Every handle moves to the new memory by itself.
 *
 * A source emits as fast as it may, one in a signal handler of the same thread, and one now
 * and then. Readers are of each policy, and wait, merge, wait for many, sleep on a
 * descriptor, or observe. In each round one of them looks away over the change.
 *
 * Each event that was accepted arrives at each reader once, or is in one of its records:
 * overwritten before it had joined (count), left in a memory that was given up (first), or
 * overrun in a lane. The events of a source come in its order, but for those that are
 * marked as late. There is one record for each change and reader.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "tests/cli/daemon.h"
#include "tests/cli/instance.h"
#include "tests/unit/client_fixture.h"

#define SOURCES  3
#define EACH_MAX 4000000
#define LIMIT_S  60

#define CONFIG                                                    \
	"budget = 64M\n"                                          \
	"channel t { stamp = tsc\n"                               \
	" class main { block = 64 blocks = %u side_blocks = %u\n" \
	"  side_lanes = 8 } }\n"                                  \
	"allow all { any = true\n"                                \
	" role = {produce, consume, inspect, lossless} }\n"

/* In the second one rings go round at any instant of a move. */
static const struct storm {
	uint32_t rounds;
	uint32_t blocks;
	uint32_t pace; /* events, and then a nap of a millisecond */
} storms[] = {
	{14, 4096, 16},
	{7, 64, 512},
};
static const struct storm *storm;

enum {
	FAST,
	HANDLER,
	SPARSE
};

struct body {
	uint32_t source;
	uint32_t number;
};

static pid_t keeper;
static struct tapio_producer *producers[SOURCES]; /* of two threads */
static uint32_t accepted[SOURCES];
static uint32_t stop, finish;
static pthread_t fast;

/* ---- sources ---------------------------------------------------------------------------- */

static void emit(uint32_t source)
{
	struct body body = {source, accepted[source]};
	int err;

	if (accepted[source] >= EACH_MAX)
		return;
	err = tapio_output(producers[source], TAG | TAPIO_NO_WAIT, &body,
			   sizeof(body));
	if (!err)
		/* Relaxed: a count, read when all have ended. */
		tpi_store_relaxed(&accepted[source], accepted[source] + 1);
	else if (err != -EAGAIN)
		abort();
}

static void on_signal(int signal)
{
	(void)signal;
	emit(HANDLER);
}

static void *emit_fast(void *unused)
{
	(void)unused;
	pin(0);
	for (uint32_t i = 1; !tpi_load_relaxed(&stop); i++) {
		emit(FAST);
		if (!(i % storm->pace))
			nap_ms(1);
	}
	return NULL;
}

static void *emit_sparsely(void *unused)
{
	(void)unused;
	pin(cpu_count() - 1);
	while (!tpi_load_relaxed(&stop)) {
		emit(SPARSE);
		pthread_kill(fast, SIGUSR1);
		nap_ms(4);
	}
	return NULL;
}

/* ---- readers -------------------------------------------------------------------------------- */

static struct reader {
	const char *kind;
	struct tapio_consumer_options options;
	bool observes;
	bool by_descriptor;
	struct tapio_consumer *c;
	struct tapio_observer *o;
	pthread_t thread;
	uint32_t away; /* it looks away */
	uint32_t records;
	uint64_t events, missed, vain, formers, twice, disordered, broken;
	uint32_t next[SOURCES]; /* number of the last one in order, and 1 */
	uint8_t *seen[SOURCES];
} readers[] = {
	{.kind = "lossless", .options = {.policy = TAPIO_GROUP_LOSSLESS}},
	{.kind = "merging",
	 .options = {.policy = TAPIO_GROUP_LOSSLESS, .merge_ns = 1000000}},
	{.kind = "for many",
	 .options = {.policy = TAPIO_GROUP_LOSSLESS,
		     .wake_events = 50,
		     .wake_ns = 20000000}},
	{.kind = "by descriptor",
	 .options = {.policy = TAPIO_GROUP_LOSSLESS},
	 .by_descriptor = true},
	{.kind = "until", .options = {.policy = TAPIO_GROUP_UNTIL}},
	{.kind = "lossy", .options = {.policy = TAPIO_GROUP_LOSSY}},
	{.kind = "observer", .observes = true},
};
#define READERS (sizeof(readers) / sizeof(readers[0]))

static void count_up(uint64_t *what, uint64_t by)
{
	/* Relaxed: counts, read while they change. */
	tpi_store_relaxed(what, tpi_load_relaxed(what) + by);
}

static void note_gap(struct reader *r, const struct tapio_gap *gap)
{
	count_up(&r->missed, gap->count);
	if (gap->cause != TAPIO_GAP_INSTANCE)
		return;
	count_up(&r->missed, gap->first);
	tpi_store_relaxed(&r->records, r->records + 1);
}

static void note(struct reader *r, const struct tapio_view *view)
{
	struct body body = {0};

	if (view->flags & TAPIO_VIEW_GAP) {
		note_gap(r, view->data);
		return;
	}
	memcpy(&body, view->data, sizeof(body));
	if (r->c && !tapio_view_intact(r->c, view)) {
		count_up(&r->vain, 1);
		return;
	}
	if (view->length != sizeof(body) || body.source >= SOURCES ||
	    body.number >= EACH_MAX) {
		count_up(&r->broken, 1);
		return;
	}
	count_up(&r->events, 1);
	count_up(&r->twice, r->seen[body.source][body.number]);
	r->seen[body.source][body.number] = 1;
	if (view->flags & TAPIO_VIEW_FORMER) {
		count_up(&r->formers, 1);
		return;
	}
	count_up(&r->disordered, body.number < r->next[body.source]);
	r->next[body.source] = body.number + 1;
}

static int take(struct reader *r, struct tapio_view *views, int64_t ns)
{
	int n = r->o ? tapio_observe(r->o, views, 64, ns)
		     : tapio_poll(r->c, views, 64, ns);

	if (n < 0)
		abort();
	for (int i = 0; i < n; i++)
		note(r, &views[i]);
	if (r->c)
		tapio_release(r->c);
	return n;
}

static void *read_all(void *arg)
{
	struct reader *r = arg;
	struct tapio_view views[64];
	struct pollfd ready = {.events = POLLIN};

	if (r->by_descriptor)
		ready.fd = tapio_fd(r->c);
	while (!tpi_load_relaxed(&finish)) {
		if (tpi_load_relaxed(&r->away)) {
			nap_ms(1);
			continue;
		}
		if (!r->by_descriptor) {
			take(r, views, 5000000);
			continue;
		}
		if (poll(&ready, 1, 1000) > 0)
			while (take(r, views, 0))
				;
	}
	return NULL;
}

static void open_reader(struct reader *r)
{
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
	};

	for (int i = 0; i < SOURCES; i++) {
		r->seen[i] = calloc(EACH_MAX, 1);
		ck_assert_ptr_nonnull(r->seen[i]);
	}
	if (!r->observes)
		r->c = rig_open(&r->options);
	else
		ck_assert_int_eq(tapio_observer_open(&r->o, "t", &options), 0);
	ck_assert_int_eq(pthread_create(&r->thread, NULL, read_all, r), 0);
}

/* ---- all of it ---------------------------------------------------------------------------------- */

#define WAIT(r, x)                                                            \
	do {                                                                  \
		time_t limit_ = time(NULL) + LIMIT_S;                         \
		while (!(x)) {                                                \
			ck_assert_msg(time(NULL) < limit_, "%s: in vain: %s", \
				      (r)->kind, #x);                         \
			nap_ms(1);                                            \
		}                                                             \
	} while (0)

static uint64_t accounted(const struct reader *r)
{
	return tpi_load_relaxed(&r->events) + tpi_load_relaxed(&r->missed) +
	       tpi_load_relaxed(&r->vain);
}

static void change(uint32_t round)
{
	struct reader *away = &readers[round % READERS];

	tpi_store_relaxed(&away->away, 1);
	if (round % 4)
		instance_lose(keeper);
	else
		ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
	keeper = instance_start();
	for (struct reader *r = readers; r < readers + READERS; r++)
		if (r != away)
			WAIT(r, tpi_load_relaxed(&r->records) == round);
	for (int i = 0; i < SOURCES; i++)
		WAIT(&readers[0], tapio_producer_connected(producers[i]));
	tpi_store_relaxed(&away->away, 0);
	WAIT(away, tpi_load_relaxed(&away->records) == round);
}

static void set_up(void)
{
	FILE *file;

	daemon_set_up();
	file = fopen(daemon_config, "we");
	fprintf(file, CONFIG, storm->blocks, storm->blocks);
	fclose(file);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	keeper = instance_start();
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = daemon_socket,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
	};
}

static void check(const struct reader *r, uint64_t all)
{
	fprintf(stderr,
		"%s: %llu events, %llu of them late, %llu missed, %llu vain\n",
		r->kind, (unsigned long long)r->events,
		(unsigned long long)r->formers, (unsigned long long)r->missed,
		(unsigned long long)r->vain);
	ck_assert_msg(accounted(r) == all, "%s: %llu of %llu", r->kind,
		      (unsigned long long)accounted(r),
		      (unsigned long long)all);
	ck_assert_msg(!r->twice, "%s: %llu came twice", r->kind,
		      (unsigned long long)r->twice);
	ck_assert_msg(!r->disordered, "%s: %llu out of order", r->kind,
		      (unsigned long long)r->disordered);
	ck_assert_msg(!r->broken, "%s: %llu broken", r->kind,
		      (unsigned long long)r->broken);
	ck_assert_uint_eq(r->records, storm->rounds);
}

START_TEST(every_accepted_event_arrives_or_is_counted)
{
	pthread_t sparse;
	uint64_t all = 0;

	storm = &storms[_i];
	set_up();
	for (int i = 0; i < SOURCES; i++)
		ck_assert_int_eq(
			tapio_producer_open(&producers[i], "t", &rig.options),
			0);
	signal(SIGUSR1, on_signal);
	for (struct reader *r = readers; r < readers + READERS; r++)
		open_reader(r);
	pthread_create(&fast, NULL, emit_fast, NULL);
	pthread_create(&sparse, NULL, emit_sparsely, NULL);
	for (uint32_t round = 1; round <= storm->rounds; round++)
		change(round);
	tpi_store_relaxed(&stop, 1);
	pthread_join(sparse, NULL);
	pthread_join(fast, NULL);
	for (int i = 0; i < SOURCES; i++) {
		ck_assert_uint_gt(accepted[i], storm->rounds);
		all += accepted[i];
	}
	for (struct reader *r = readers; r < readers + READERS; r++)
		WAIT(r, accounted(r) >= all);
	tpi_store_relaxed(&finish, 1);
	for (struct reader *r = readers; r < readers + READERS; r++) {
		pthread_join(r->thread, NULL);
		check(r, all);
		tapio_consumer_close(r->c);
		tapio_observer_close(r->o);
	}
	for (int i = 0; i < SOURCES; i++)
		tapio_producer_close(producers[i]);
	ck_assert_int_eq(daemon_stop(keeper, SIGTERM), 0);
	daemon_tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("instances");
	TCase *t = tcase_create("changes");

	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t, every_accepted_event_arrives_or_is_counted, 0,
			    2);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
