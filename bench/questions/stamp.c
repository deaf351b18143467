/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What do time stamps cost? A channel stamps its events with nothing, with the
 * processor's clock, read inside the section, or with CLOCK_REALTIME, read before
 * it. There is no reader. It compares one program in three configurations, and
 * the cost of reading these clocks alone.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/questions/goals.h"
#include "bench/questions/rig.h"
#include "lib/base/atomic.h"
#include "lib/base/tsc.h"

#define BYTES 64
#define WARM  (2 * RIG_BLOCKS_64)

struct stamping {
	struct rig rig;
	uint64_t events;
	int (*emit)(struct tapio_producer *producer, uint64_t from,
		    uint64_t count);
};

static int output(struct tapio_producer *producer, uint64_t from,
		  uint64_t count)
{
	return rig_emit(producer, RIG_PLAIN, from, count);
}

static int reserve(struct tapio_producer *producer, uint64_t from,
		   uint64_t count)
{
	static struct stream_event made[RIG_BATCH];
	struct tapio_reservation r;
	unsigned int n;
	int err;

	for (; count; from += n, count -= n) {
		n = rig_make(made, from, count);
		for (unsigned int i = 0; i < n; i++) {
			err = tapio_reserve(producer, RIG_TAG, BYTES, &r);
			if (err) {
				bench_why("tapio_reserve: %s", strerror(-err));
				return err;
			}
			memcpy(r.data, &made[i], BYTES);
			while (tapio_submit(producer, &r)) /* moved, no room */
				tpi_cpu_relax();
		}
	}
	return 0;
}

static int emit_all(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct stamping *s = arg;
	struct tapio_producer *producer = rig_producer(&s->rig);
	const uint64_t warm = s->events < WARM ? s->events : WARM;
	int err;

	if (!producer)
		return -1;
	err = s->emit(producer, 0, warm);
	shared->side[index].start_ns = bench_now_ns();
	if (!err)
		err = s->emit(producer, warm, s->events);
	shared->side[index].end_ns = bench_now_ns();
	if (!err)
		err = rig_on_cpu_lanes(producer);
	tapio_producer_close(producer);
	return err;
}

static int run_side(const struct bench_run *run, struct stamping *s,
		    int (*side)(void *arg, struct bench_shared *shared,
				unsigned int index),
		    double *figures)
{
	const struct bench_side sides[] = {{run->cpus[0], side, s}};
	struct bench_shared shared;
	int err;

	s->events = run->events;
	err = bench_sides_run(sides, 1, &shared);
	figures[0] = bench_span_ns(&shared) / (double)run->events;
	return err;
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	struct stamping s = {.emit = run->of->param ? reserve : output};
	char config[128];
	int err;

	snprintf(config, sizeof(config),
		 "channel " RIG_CHANNEL " { class main { block = 64 "
		 "blocks = %d } stamp = %s }\n",
		 RIG_BLOCKS_64, (const char *)subject->arg);
	err = rig_start(&s.rig, config);
	if (err)
		return err;
	err = run_side(run, &s, emit_all, figures);
	rig_stop(&s.rig);
	return err;
}

/* ---- the clocks alone ----------------------------------------------------------- */

static int read_tsc(void *arg, struct bench_shared *shared, unsigned int index)
{
	const struct stamping *s = arg;
	uint64_t sum = 0;

	shared->side[index].start_ns = bench_now_ns();
	for (uint64_t i = 0; i < s->events; i++)
		sum += tpi_tsc();
	shared->side[index].end_ns = bench_now_ns();
	shared->words[0] = sum;
	return 0;
}

static int read_clock(void *arg, struct bench_shared *shared,
		      unsigned int index)
{
	const struct stamping *s = arg;
	uint64_t sum = 0;
	struct timespec t;

	shared->side[index].start_ns = bench_now_ns();
	for (uint64_t i = 0; i < s->events; i++) {
		clock_gettime(CLOCK_REALTIME, &t);
		sum += (uint64_t)t.tv_nsec;
	}
	shared->side[index].end_ns = bench_now_ns();
	shared->words[0] = sum;
	return 0;
}

static int run_clock(const struct bench_run *run,
		     const struct bench_subject *subject, double *figures)
{
	struct stamping s = {0};

	return run_side(run, &s, subject->arg ? read_tsc : read_clock, figures);
}

/* ---- cases ------------------------------------------------------------------------ */

static const struct bench_peer clocks = {
	.name = "the clock alone",
	.package = "",
	.copies = "none",
	.across = "",
	.death = "",
	.kind = BENCH_FLOOR,
};

static const struct bench_subject none = {RIG_PEER, "none", run, "none"};
static const struct bench_subject tsc = {RIG_PEER, "tsc", run, "tsc"};
static const struct bench_subject wall = {RIG_PEER, "clock", run, "clock"};
static const struct bench_subject tsc_alone = {&clocks, "tsc", run_clock,
					       "tsc"};
static const struct bench_subject wall_alone = {&clocks, "CLOCK_REALTIME",
						run_clock, NULL};

static const struct bench_subject *const subjects[] = {
	&none, &tsc, &wall, &tsc_alone, &wall_alone, NULL,
};

#define CASE(how, text, reserved)                                           \
	.name = "stamp/" how, .title = text ", nobody reads", .bytes = 64,  \
	.batch = 1, .param = reserved, .events = 2000000,                   \
	.quick_events = 5000, .figures = {{"an event", "ns", false}},       \
	.subjects = subjects, .aside = "the clock alone*",                  \
	.goals = {GOAL_OVER_BOTH("tsc, at most none + rdtsc", "Tapio, tsc", \
				 "Tapio, none", "the clock alone, tsc", 0, 1)}

static const struct bench_case cases[] = {
	{CASE("output", "64 bytes, one output", 0)},
	{CASE("reserve", "64 bytes, one reserve and submit", 1)},
	{.name = NULL},
};

const struct bench_question bench_question_stamp = {
	.number = 7,
	.text = "What do time stamps cost?",
	.cases = cases,
};
