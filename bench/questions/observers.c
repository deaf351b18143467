/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What do observers cost, and what do they see? They get copies and hold no
 * producer back. The producer goes on at its full speed, without a group, and a
 * late observer has lost what was overwritten. The events that each one has
 * seen and those that its gap records count MUST add up to those sent, to the
 * event.
 *
 * Observers are spread over the CPUs that the producer does not use. Where there
 * are fewer of those, they take turns, and lose what passes meanwhile.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "bench/questions/rig.h"
#include "lib/base/atomic.h"

#define OBSERVERS_MAX 8
#define VIEWS         32
#define PAUSES        64

struct watching {
	struct rig rig;
	uint32_t bytes;
	uint32_t observers;
	uint64_t events;
	uint64_t warm;
	bool yields;
};

/* ---- the producer ---------------------------------------------------------------- */

static int produce(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct watching *w = arg;
	const struct rig_events events = {w->bytes, 0, 1};
	struct tapio_producer *producer = rig_producer(&w->rig);
	int err;

	if (!producer)
		return -1;
	err = rig_emit(producer, events, 0, w->warm);
	bench_ready(shared); /* they join */
	bench_ready(shared); /* they have joined */
	shared->side[index].start_ns = bench_now_ns();
	if (!err)
		err = rig_emit(producer, events, w->warm, w->events);
	shared->side[index].value[0] =
		(double)(bench_now_ns() - shared->side[index].start_ns) /
		(double)w->events;
	/* ORDER bench.observed (release): all was sent. Pairs with the acquire in
	 * is_over(). */
	tpi_store_release(&shared->stop, 1);
	tapio_producer_close(producer);
	return err;
}

/* ---- an observer ----------------------------------------------------------------- */

struct sight {
	struct tapio_observer *observer;
	const struct watching *of;
	uint64_t seen;
	uint64_t lost;
	uint64_t position; /* the next one */
	uint64_t sum;
};

/* Whether a view is what is due: the next event, or why it is not there. */
static bool is_due(struct sight *s, const struct tapio_view *view)
{
	const uint64_t number = s->seen + s->lost;
	const uint64_t *word = view->data;
	struct tapio_gap gap;

	if (number && view->position != s->position)
		return false;
	if (view->flags & TAPIO_VIEW_GAP) {
		memcpy(&gap, view->data, sizeof(gap));
		s->lost += gap.count;
		s->position = gap.last + 1;
		return gap.cause == TAPIO_GAP_OVERRUN;
	}
	s->seen++;
	s->position = view->position + 1;
	s->sum |= bench_read(word, view->length);
	return *word == s->of->warm + number && view->length == s->of->bytes;
}

static int look(struct sight *s)
{
	struct tapio_view views[VIEWS];
	int n = tapio_observe(s->observer, views, VIEWS, 0);

	for (int i = 0; i < n; i++)
		if (!is_due(s, &views[i])) {
			bench_why("after %llu events and %llu that were missed "
				  "came another one than was due",
				  (unsigned long long)s->seen,
				  (unsigned long long)s->lost);
			return -1;
		}
	return n;
}

static bool is_over(const struct bench_shared *shared)
{
	/* ORDER bench.observed (acquire): all that was sent, before the last
	 * look. Pairs with the release in produce(). */
	return tpi_load_acquire(&shared->stop);
}

/* As the readers of streams do: a side that looks all the time takes the line
 * away from the producer each time. */
static void look_away(bool yields)
{
	if (yields)
		sched_yield();
	for (int i = 0; i < PAUSES && !yields; i++)
		tpi_cpu_relax();
}

static int look_on(struct sight *s, const struct bench_shared *shared)
{
	bool over;
	int n;

	do {
		over = is_over(shared);
		n = look(s);
		if (n == 0)
			look_away(s->of->yields);
	} while (n > 0 || (n == 0 && !over));
	if (n < 0)
		return n;
	if (s->seen + s->lost == s->of->events && !s->sum)
		return 0;
	bench_why("%llu seen and %llu missed of %llu",
		  (unsigned long long)s->seen, (unsigned long long)s->lost,
		  (unsigned long long)s->of->events);
	return -1;
}

static int watch(void *arg, struct bench_shared *shared, unsigned int index)
{
	struct sight sight = {.of = arg};
	int err;

	bench_ready(shared);
	sight.observer = rig_observer(&sight.of->rig, NULL);
	if (!sight.observer)
		return -1;
	bench_ready(shared);
	err = look_on(&sight, shared);
	shared->side[index].end_ns = bench_now_ns();
	shared->side[index].count = sight.seen;
	tapio_observer_close(sight.observer);
	return err;
}

/* ---- one turn -------------------------------------------------------------------- */

static int run_sides(const struct bench_run *run, struct watching *w,
		     double *figures)
{
	struct bench_side sides[1 + OBSERVERS_MAX] = {
		{run->cpus[0], produce, w},
	};
	struct bench_shared shared;
	uint64_t seen = 0;
	int err;

	for (uint32_t i = 0; i < w->observers; i++)
		sides[1 + i] = (struct bench_side){
			run->cpus[1 + i % (run->cpu_count - 1)], watch, w};
	err = bench_sides_run(sides, 1 + w->observers, &shared);
	for (uint32_t i = 0; i < w->observers; i++)
		seen += shared.side[1 + i].count;
	figures[0] = shared.side[0].value[0];
	figures[1] = (double)seen / bench_span_ns(&shared) * 1e9;
	figures[2] =
		100 - 100 * (double)seen / (double)(w->events * w->observers);
	return err;
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	struct watching w = {
		.bytes = run->of->bytes,
		.observers = (uint32_t)run->of->param,
		.events = run->events,
		.warm = 2 * STREAM_RING_BYTES / run->of->bytes,
		.yields = run->of->param > run->cpu_count - 1,
	};
	char config[128];
	int err;

	(void)subject;
	snprintf(config, sizeof(config),
		 "channel " RIG_CHANNEL
		 " { class main { block = %u blocks = %u } stamp = none }\n",
		 w.bytes, STREAM_RING_BYTES / w.bytes);
	err = rig_start(&w.rig, config);
	if (err)
		return err;
	err = run_sides(run, &w, figures);
	rig_stop(&w.rig);
	return err;
}

static const struct bench_subject observers = {RIG_PEER, NULL, run, NULL};
static const struct bench_subject *const subjects[] = {&observers, NULL};

#define CASE(size, n, text, count)                                        \
	{                                                                 \
		.name = "fanout/" #size "/observers/" #n,                 \
		.title = #size " bytes, watched by " text, .bytes = size, \
		.batch = 1, .param = n, .param_name = "observers",        \
		.events = count, .quick_events = 4000,                    \
		.figures = {{"an event, producer", "ns", false},          \
			    {"seen", "events/s", true},                   \
			    {"missed, counted", "%", false}},             \
		.subjects = subjects,                                     \
	}

#define SPREAD ", spread over the other CPUs"

static const struct bench_case cases[] = {
	CASE(64, 1, "1 observer", 2000000),
	CASE(64, 2, "2 observers" SPREAD, 2000000),
	CASE(64, 4, "4 observers" SPREAD, 2000000),
	CASE(64, 8, "8 observers" SPREAD, 2000000),
	CASE(256, 1, "1 observer", 1000000),
	CASE(256, 2, "2 observers" SPREAD, 1000000),
	CASE(256, 4, "4 observers" SPREAD, 1000000),
	CASE(256, 8, "8 observers" SPREAD, 1000000),
	{.name = NULL},
};

const struct bench_question bench_question_observers = {
	.number = 5,
	.text = "What do observers, who get copies, cost, and what do they see?",
	.cases = cases,
};
