/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts on goals, and of those that are missed whether the floor of the case
 * misses them, too. Pure. Test: tests/unit/bench_numbers.c.
 */
#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "bench/frame/frame.h"

unsigned int bench_goal_count(const struct bench_case *c)
{
	unsigned int count = 0;

	while (count < BENCH_GOALS_MAX && c->goals[count].text)
		count++;
	return count;
}

/* The one that a goal names, by its whole name or else by its peer's. */
static const struct bench_outcome *named(const struct bench_case_result *result,
					 const char *name)
{
	const struct bench_outcome *found = NULL;
	char text[128];

	for (unsigned int i = 0; name && i < result->subjects; i++) {
		const struct bench_outcome *s = &result->subject[i];

		if (s->state != BENCH_OK)
			continue;
		bench_subject_name(s->of, text, sizeof(text));
		if (!strcmp(text, name))
			return s;
		if (!found && !strcmp(s->of->peer->name, name))
			found = s;
	}
	return found;
}

static bool is_aside(const struct bench_case *c,
		     const struct bench_subject *subject)
{
	char name[128];

	bench_subject_name(subject, name, sizeof(name));
	return c->aside && !fnmatch(c->aside, name, 0);
}

static const struct bench_outcome *best(const struct bench_case_result *result,
					enum bench_kind kind,
					unsigned int figure)
{
	const bool more = result->of->figures[figure].more_is_better;
	const struct bench_outcome *best = NULL;
	double median, best_median = 0;

	for (unsigned int i = 0; i < result->subjects; i++) {
		const struct bench_outcome *s = &result->subject[i];

		if (s->of->peer->kind != kind || s->state != BENCH_OK ||
		    is_aside(result->of, s->of))
			continue;
		median = bench_median(s->turns[figure], result->turns);
		if (!best ||
		    (more ? median > best_median : median < best_median)) {
			best = s;
			best_median = median;
		}
	}
	return best;
}

/* Those that a goal is about. */
struct parties {
	const struct bench_outcome *of;
	const struct bench_outcome *against; /* NULL: of a value */
	const struct bench_outcome *plus;
};

/* Why it is open, or NULL. */
static const char *find_parties(const struct bench_case_result *result,
				const struct bench_goal *goal,
				struct parties *p)
{
	p->of = goal->of ? named(result, goal->of) : bench_reference(result);
	if (!p->of || goal->figure >= result->figures)
		return "Tapio was not measured";
	if (goal->kind == BENCH_GOAL_VALUE)
		return NULL;
	p->against = goal->kind == BENCH_GOAL_SUBJECT
			     ? named(result, goal->against)
			     : best(result, BENCH_PEER, goal->figure);
	p->plus = goal->plus ? named(result, goal->plus) : NULL;
	/* By its peer's name alone it may be found as its own rival. */
	if (!p->against || p->against == p->of || (goal->plus && !p->plus))
		return "what it is compared with was not measured";
	return NULL;
}

/* Of the median, or over those that it is held against, turn by turn. */
static double held(const struct bench_case_result *result,
		   const struct bench_goal *goal, const struct parties *p,
		   const struct bench_outcome *of)
{
	const double *values = of->turns[goal->figure];
	double sum[BENCH_TURNS_MAX];

	if (!p->against)
		return bench_median(values, result->turns);
	for (unsigned int i = 0; i < result->turns; i++) {
		sum[i] = p->against->turns[goal->figure][i];
		if (p->plus)
			sum[i] += p->plus->turns[goal->figure][i];
	}
	return bench_ratio(values, sum, result->turns);
}

static bool is_good(const struct bench_case_result *result,
		    const struct bench_goal *goal, double value)
{
	return result->of->figures[goal->figure].more_is_better
		       ? value >= goal->limit
		       : value <= goal->limit;
}

/* The floor beside the goal: it shows what the machine allows. */
static void add_floor(const struct bench_case_result *result,
		      const struct bench_goal *goal, const struct parties *p,
		      struct bench_judgement *j)
{
	const struct bench_outcome *floor =
		best(result, BENCH_FLOOR, goal->figure);
	double value = floor ? held(result, goal, p, floor) : NAN;

	if (!isfinite(value))
		return;
	j->floor = floor->of;
	j->floor_figure =
		bench_median(floor->turns[goal->figure], result->turns);
	j->floor_misses = !is_good(result, goal, value);
}

struct bench_judgement bench_judge(const struct bench_case_result *result,
				   const struct bench_goal *goal)
{
	struct bench_judgement j = {.verdict = BENCH_OPEN, .value = NAN};
	struct parties p = {NULL};

	j.why = find_parties(result, goal, &p);
	if (j.why)
		return j;
	j.against = p.against ? p.against->of : NULL;
	j.value = held(result, goal, &p, p.of);
	if (!isfinite(j.value)) {
		j.why = "what it is compared with was not measured";
		return j;
	}
	j.verdict =
		is_good(result, goal, j.value) ? BENCH_REACHED : BENCH_MISSED;
	add_floor(result, goal, &p, &j);
	return j;
}

const char *bench_note(const struct bench_case_result *result,
		       const struct bench_goal *goal,
		       const struct bench_judgement *j, char *text,
		       size_t bytes)
{
	char name[96], number[32];
	struct bench_scale s;

	*text = 0;
	if (j->verdict != BENCH_MISSED || !j->floor)
		return text;
	s = bench_scale(result->of->figures[goal->figure].unit,
			j->floor_figure);
	bench_number(j->floor_figure * s.factor, number, sizeof(number));
	bench_subject_name(j->floor, name, sizeof(name));
	snprintf(text, bytes,
		 j->floor_misses
			 ? "below what the machine allows in this run: "
			   "the floor, %s, has %s %s"
			 : "not the machine's limit: the floor, %s, has "
			   "%s %s",
		 name, number, s.unit);
	return text;
}
