/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of the group in this process, each in a thread. Their deltas go to one merger under
 * a lock, or into a channel.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tools/analyze/analyze.h"
#include "tools/analyze/member.h"
#include "tools/analyze/partials.h"

#define LOOK_NS INT64_C(50000000)

struct crew;

struct hand {
	struct crew *crew;
	struct an_member_reader *reader;
	struct tpi_connect connect; /* a copy: whether the broker is away */
	int64_t looked_ns;
	pthread_t thread;
	bool runs;
	int status;
};

struct crew {
	struct an_arguments *args;
	struct an_reporter *reporter;
	struct an_merger *merger; /* NULL with --partials */
	struct an_emitter emitter;
	pthread_mutex_t lock;
	uint32_t stop;    /* asks all to leave */
	uint32_t working; /* how many have not left */
	char group[64];
	struct an_lanes_seen seen;
	struct hand hands[AN_THREADS_MAX];
};

static void ask_to_stop(struct crew *crew)
{
	/* Relaxed: a wish, and nothing is published with it. */
	tpi_store_relaxed(&crew->stop, 1);
}

/* Under the lock. */
static void look(struct crew *crew)
{
	struct an_reporter *r = crew->reporter;

	an_merger_look(crew->merger, tpi_monotonic_ns());
	if (r->err || (r->limit && r->shown >= r->limit))
		ask_to_stop(crew);
}

static int to_merger(void *arg, struct an_delta *delta)
{
	struct crew *crew = arg;

	pthread_mutex_lock(&crew->lock);
	an_merger_take(crew->merger, delta, tpi_monotonic_ns());
	look(crew);
	pthread_mutex_unlock(&crew->lock);
	return 0;
}

static int failed(struct crew *crew, const char *what, int err)
{
	tpi_say("%s: %s%s%s", what, strerror(-err),
		*crew->emitter.error ? ": " : "", crew->emitter.error);
	return TPI_EXIT_FAILURE;
}

/* 0: go on. 1: the end, with hand->status. */
static int step(struct hand *hand)
{
	struct crew *crew = hand->crew;
	const int got = an_member_step(hand->reader);
	const int64_t now_ns = tpi_monotonic_ns();

	if (got == 0)
		return 1;
	if (got == -ENOTCONN) {
		tpi_say("the group was removed");
		hand->status = TPI_EXIT_FAILURE;
		return 1;
	}
	if (got < 0 && got != -EINTR) {
		hand->status = failed(crew, "cannot go on", got);
		return 1;
	}
	if (now_ns - hand->looked_ns < LOOK_NS)
		return 0;
	hand->looked_ns = now_ns;
	if (!an_broker_gone(
		    crew->args, &hand->connect,
		    tapio_consumer_broker(an_member_consumer(hand->reader))))
		return 0;
	hand->status = TPI_EXIT_BROKER_GONE;
	return 1;
}

/* Nobody goes on with what the members leave, if all were asked to stop. */
static void say_it_ends(struct crew *crew)
{
	if (!crew->merger ||
	    (!tpi_load_relaxed(&crew->stop) && !tpi_stop_signal()))
		return;
	pthread_mutex_lock(&crew->lock);
	an_merger_ending(crew->merger);
	pthread_mutex_unlock(&crew->lock);
}

static void *work(void *arg)
{
	struct hand *hand = arg;
	struct crew *crew = hand->crew;
	int err;

	while (!tpi_load_relaxed(&crew->stop) && !tpi_stop_signal() &&
	       !step(hand))
		;
	if (hand->status == TPI_EXIT_FAILURE)
		ask_to_stop(crew);
	say_it_ends(crew);
	err = an_member_leave(hand->reader);
	if (err && !hand->status)
		hand->status =
			failed(crew, "events are left to the next member", err);
	/* Relaxed: the main thread joins before it reads more. */
	tpi_add_relaxed(&crew->working, (uint32_t)-1);
	return NULL;
}

/* One after the other, so that each finds the broker, or is told why not. */
static int open_members(struct crew *crew)
{
	struct an_arguments *args = crew->args;
	const int64_t slide_ns = args->spec.slide_ns;
	struct an_member_options options = {
		.spec = &args->spec,
		.budget = &args->budget,
		.sink = crew->merger ? to_merger : an_emit,
		.arg = crew->merger ? (void *)crew : &crew->emitter,
		.by_lane = !crew->merger,
		.by_events = args->by_events,
		.from_oldest = args->start == TAPIO_START_OLDEST,
		.until_empty = !args->duration_ns,
		.hold = crew->merger ? UINT32_MAX : args->hold,
		.flush_ns = args->flush_ns,
		.seen = crew->merger ? &crew->seen : NULL,
	};

	if (crew->merger && options.flush_ns > slide_ns / 4)
		options.flush_ns = slide_ns / 4;
	for (uint32_t i = 0; i < args->threads; i++) {
		struct hand *hand = &crew->hands[i];
		struct tapio_consumer *consumer = NULL;
		int status =
			an_open_consumer(args, args->channel, 0, &consumer);

		if (status)
			return status;
		options.name = an_random();
		hand->crew = crew;
		hand->connect = args->connect;
		hand->reader = an_member_new(&options, consumer);
		if (!hand->reader) {
			tapio_consumer_close(consumer);
			return failed(crew, "a member", -ENOMEM);
		}
		if (crew->merger)
			an_merger_expect(crew->merger, options.name,
					 tpi_monotonic_ns());
	}
	return 0;
}

static int start_threads(struct crew *crew)
{
	for (uint32_t i = 0; i < crew->args->threads; i++) {
		struct hand *hand = &crew->hands[i];
		int err;

		/* Relaxed: no thread reads it. */
		tpi_add_relaxed(&crew->working, 1);
		err = pthread_create(&hand->thread, NULL, work, hand);
		if (err) {
			tpi_add_relaxed(&crew->working, (uint32_t)-1);
			return failed(crew, "a thread", -err);
		}
		hand->runs = true;
	}
	return 0;
}

static int oversee(struct crew *crew)
{
	const int64_t end_ns = tpi_deadline_ns(tpi_monotonic_ns(),
					       crew->args->duration_ns
						       ? crew->args->duration_ns
						       : TAPIO_FOREVER);

	/* Relaxed: both are looked at again and again. */
	while (tpi_load_relaxed(&crew->working) &&
	       !tpi_load_relaxed(&crew->stop) && !tpi_stop_signal() &&
	       tpi_monotonic_ns() < end_ns)
		tpi_sleep_until(tpi_monotonic_ns() + LOOK_NS / 5);
	ask_to_stop(crew);
	return 0;
}

static int join_threads(struct crew *crew)
{
	int status = 0;

	for (uint32_t i = 0; i < crew->args->threads; i++) {
		struct hand *hand = &crew->hands[i];

		if (hand->runs)
			pthread_join(hand->thread, NULL);
		if (hand->status > status)
			status = hand->status;
	}
	return status;
}

static int finish(struct crew *crew, int status)
{
	struct an_reporter *r = crew->reporter;

	if (crew->merger) {
		an_merger_finish(crew->merger, false);
		an_say_totals(crew->args, r);
	} else if (crew->args->stats) {
		tpi_say("partial results %" PRIu64, crew->emitter.pieces);
	}
	if (r->err && r->err != -EPIPE)
		status = failed(crew, "cannot write the output", r->err);
	return status;
}

int an_run_members(struct an_arguments *args, struct an_reporter *reporter)
{
	static struct crew crew = {.lock = PTHREAD_MUTEX_INITIALIZER};
	const int64_t began_ns =
		args->start == TAPIO_START_OLDEST
			? INT64_MIN
			: (int64_t)tpi_clock_read_ns(CLOCK_REALTIME);
	/* A group of its own has nothing of before. A durable one may have waited for long. */
	const bool begins_now =
		began_ns != INT64_MIN && !args->by_events && !args->group;
	int status;

	crew.args = args;
	crew.reporter = reporter;
	if (!args->group && args->threads > 1) {
		/* One group for all, which ends with them. */
		snprintf(crew.group, sizeof(crew.group),
			 "tapio-analyze-%016" PRIx64, an_random());
		args->group = crew.group;
	}
	crew.emitter.spec = &args->spec;
	crew.emitter.budget = &args->budget;
	if (args->partials) {
		status = an_open_producer(args, &crew.emitter.producer);
		if (!status && tapio_producer_max_bytes(crew.emitter.producer) <
				       AN_PIECE_BYTES_MIN) {
			tpi_say("channel '%s' takes events of %u bytes at most, "
				"and partial results need %u",
				args->partials,
				tapio_producer_max_bytes(crew.emitter.producer),
				AN_PIECE_BYTES_MIN);
			status = TPI_EXIT_REFUSED;
		}
		if (status)
			goto out;
	} else {
		crew.merger = an_merger_new(&args->spec, &args->budget,
					    began_ns, 0, an_report, reporter);
		if (!crew.merger)
			return failed(&crew, "the merger", -ENOMEM);
		reporter->merger = crew.merger;
		if (begins_now)
			an_merger_begin_at(crew.merger,
					   began_ns - args->spec.window_ns -
						   args->spec.lateness_ns);
	}
	status = open_members(&crew);
	if (!status)
		status = start_threads(&crew);
	if (!status)
		status = oversee(&crew);
	ask_to_stop(&crew);
	if (!status)
		status = finish(&crew, join_threads(&crew));
	else
		join_threads(&crew);
out:
	for (uint32_t i = 0; i < args->threads; i++)
		an_member_free(crew.hands[i].reader);
	tapio_producer_close(crew.emitter.producer);
	an_merger_free(crew.merger);
	return status;
}
