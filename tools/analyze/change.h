/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a figure of a key is other than it was: a moving mean and variance of each key
 * (EWMA; Finch: Incremental calculation of weighted mean and variance, 2009), or one of
 * each phase of a season, such as the hour of the day.
 *
 *	score = (value - mean) / max(deviation, floor)
 *
 * The floor of a count is the square root of its mean, the deviation of events that come
 * by chance, and 1 at least. That of others is a hundredth of the mean. A score beyond the
 * threshold is a change. Such a value moves the baseline no more than a value at the
 * threshold would, so that one spike does not hide the next.
 *
 * Only windows that are known to be whole are judged and learned from.
 */
#ifndef ANALYZE_CHANGE_H
#define ANALYZE_CHANGE_H

#include "tools/analyze/merger.h"

enum an_figure {
	AN_FIGURE_COUNT,
	AN_FIGURE_DISTINCT,
	AN_FIGURE_MEAN,
	AN_FIGURE_P99,
};

#define AN_PHASES_MAX 1440u

struct an_change_spec {
	bool is_on;
	enum an_figure figure;
	double alpha;     /* the weight of the newest window */
	double threshold; /* in deviations */
	uint32_t warm_up; /* windows, or seasons, before the first judgement */
	uint32_t phases;  /* windows of a season. 1: no season */
};

struct an_change {
	const char *key;
	uint32_t key_length;
	double value;
	double expected;
	double score;
};

struct an_baselines;
typedef void an_change_fn(void *arg, const struct an_change *change);

/* NULL: no memory. */
struct an_baselines *an_baselines_new(const struct an_spec *spec,
				      const struct an_change_spec *change,
				      struct an_budget *budget);
void an_baselines_free(struct an_baselines *b);

/* Judges a window and learns from it. A key that is not in it has the count 0. */
void an_baselines_judge(struct an_baselines *b, const struct an_result *result,
			an_change_fn *found, void *arg);

/* Keys that have no baseline, since there is no room for one. */
uint64_t an_baselines_without(const struct an_baselines *b);

/* The figure of a cell. False: it has none. */
bool an_figure_of(enum an_figure figure, const struct an_cell *cell,
		  double *value);

#endif
