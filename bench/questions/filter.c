/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does a filter cost? A lane is full of what a consumer does not want, and is
 * passed over without a look at any event: eight bytes tell what it is. Once what
 * is passed over was written by the same CPU, and once by another, from where it
 * has to come first.
 */
#include <string.h>

#include "bench/questions/goals.h"
#include "bench/questions/laps.h"
#include "lib/base/atomic.h"

#define VIEWS 32
/* So many are sent. None of them is wanted. */
#define TYPES 61

enum by {
	BY_TYPES,
	BY_SEVERITY,
	BY_CLASS
};

static const char config[] =
	"channel " RIG_CHANNEL " {\n class main { block = 64 blocks = 16384 }\n"
	"class other { block = 64 blocks = 64 }\n stamp = none\n}\n";

static const uint16_t wanted[] = {1, 2, 3, 5, 8, 13, 21, 34};

static const struct tapio_consumer_options filters[] = {
	[BY_TYPES] = {.types = wanted,
		      .type_count = sizeof(wanted) / sizeof(wanted[0])},
	[BY_SEVERITY] = {.severity_min = 7},
	[BY_CLASS] = {.class_mask = 1u << 1},
};

struct filtering {
	struct rig rig;
	enum by by;
};

struct end {
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
};

static int open_end(const struct laps *laps, bool reads, void **out)
{
	static struct end end;
	const struct filtering *f = laps->arg;
	struct tapio_consumer_options options = filters[f->by];

	*out = &end;
	options.policy = TAPIO_GROUP_LOSSLESS;
	if (reads) {
		end.consumer = rig_consumer(&f->rig, &options);
		if (!end.consumer)
			return -1;
	}
	if (reads && !laps->here)
		return 0;
	end.producer = rig_producer(&f->rig);
	return end.producer ? 0 : -1;
}

static int fill(void *arg, uint64_t from, uint32_t count)
{
	struct end *end = arg;

	return rig_emit(end->producer, (struct rig_events){64, 1, TYPES}, from,
			count);
}

static int pass_over(void *arg, uint64_t count)
{
	struct end *end = arg;
	struct tapio_view views[VIEWS];
	int n = tapio_poll(end->consumer, views, VIEWS, 0);

	(void)count;
	if (n)
		bench_why("the filter let something pass, or %s", strerror(-n));
	return n ? -1 : 0;
}

static int close_end(void *arg, bool reads, uint64_t count)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};
	struct end *end = arg;
	int err = 0;

	if (reads)
		err = tapio_consumer_stats_read(end->consumer, &stats);
	if (!err && reads && (stats.skipped != count || stats.in_flight)) {
		bench_why("%llu events were passed over, and not %llu",
			  (unsigned long long)stats.skipped,
			  (unsigned long long)count);
		err = -1;
	}
	tapio_producer_close(end->producer);
	tapio_consumer_close(end->consumer);
	return err;
}

static int measure(const struct bench_run *run, struct laps *laps,
		   const struct bench_subject *subject, double *figures)
{
	double ns;
	int err;

	laps->lap = RIG_BLOCKS_64;
	laps->here = !subject->arg;
	laps->there = !laps->here;
	err = laps_run(run, laps, &ns);
	figures[0] = 1e9 / ns;
	figures[1] = ns;
	return err;
}

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	struct filtering f = {.by = (enum by)run->of->param};
	struct laps laps = {
		.arg = &f,
		.open = open_end,
		.fill = fill,
		.read = pass_over,
		.close = close_end,
	};
	int err = rig_start(&f.rig, config);

	if (err)
		return err;
	err = measure(run, &laps, subject, figures);
	rig_stop(&f.rig);
	return err;
}

/* ---- the floor: words in a row, and a comparison of each ------------------------- */

static int open_words(const struct laps *laps, bool reads, void **end)
{
	(void)reads;
	*end = (void *)laps->arg;
	return 0;
}

static int fill_words(void *end, uint64_t from, uint32_t count)
{
	uint64_t *words = end;

	for (uint32_t i = 0; i < count; i++)
		tpi_store_relaxed(&words[i], from + i);
	return 0;
}

static int compare_words(void *end, uint64_t count)
{
	const uint64_t *words = end;

	for (uint64_t i = 0; i < count; i++)
		if (tpi_load_relaxed(&words[i]) == UINT64_MAX) {
			bench_why("word %llu is not what was written",
				  (unsigned long long)i);
			return -1;
		}
	return 0;
}

static int close_words(void *end, bool reads, uint64_t count)
{
	(void)end;
	(void)reads;
	(void)count;
	return 0;
}

static int run_words(const struct bench_run *run,
		     const struct bench_subject *subject, double *figures)
{
	const uint64_t bytes = RIG_BLOCKS_64 * sizeof(uint64_t);
	uint64_t *words = bench_memory(bytes);
	struct laps laps = {
		.arg = words,
		.open = open_words,
		.fill = fill_words,
		.read = compare_words,
		.close = close_words,
	};
	int err;

	if (!words)
		return -1;
	err = measure(run, &laps, subject, figures);
	bench_memory_free(words, bytes);
	return err;
}

/* ---- cases ------------------------------------------------------------------------ */

static const struct bench_peer loop = {
	.name = "a loop over words",
	.package = "",
	.copies = "none",
	.across = "processes",
	.death = "nothing is checked",
	.kind = BENCH_FLOOR,
};

static const struct bench_subject own = {RIG_PEER, "same CPU", run, NULL};
static const struct bench_subject other = {RIG_PEER, "other CPU", run, "there"};
static const struct bench_subject own_loop = {&loop, "same CPU", run_words,
					      NULL};
static const struct bench_subject other_loop = {&loop, "other CPU", run_words,
						"there"};

static const struct bench_subject *const subjects[] = {
	&own, &other, &own_loop, &other_loop, NULL,
};

/* No word of the lane is looked at. */
static const struct bench_subject *const no_loops[] = {&own, &other, NULL};

#define CASE(how, text, n, who)                                              \
	.name = "filter/" how, .title = "A full lane passed over, by " text, \
	.bytes = 64, .param = n, .events = 2000000, .quick_events = 2000,    \
	.figures = {{"passed over", "events/s", true},                       \
		    {"an event", "ns", false}},                              \
	.subjects = who,                                                     \
	.goals = {GOAL_VALUE("at least 500 million events/s", NULL, 0, 500e6)}

static const struct bench_case cases[] = {
	{CASE("types", "a set of 8 types", BY_TYPES, subjects)},
	{CASE("severity", "severity", BY_SEVERITY, subjects)},
	{CASE("class", "class: the lane as a whole", BY_CLASS, no_loops)},
	{.name = NULL},
};

const struct bench_question bench_question_filter = {
	.number = 7,
	.text = "What does it cost to pass over what is not wanted?",
	.cases = cases,
};
