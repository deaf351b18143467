/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Medians, quantiles and ratios. Pure. Test: tests/unit/bench_numbers.c.
 *
 * Ratios are medians of the ratios of the turns, never ratios of medians: two
 * subjects of one turn shared their moment, two medians need not.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/frame.h"

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(const double *values, unsigned int count)
{
	double few[BENCH_TURNS_MAX], *sorted = few, median;

	if (!count)
		return NAN;
	if (count > BENCH_TURNS_MAX)
		sorted = malloc(count * sizeof(*sorted));
	if (!sorted)
		return NAN;
	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	median = count % 2 ? sorted[count / 2]
			   : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
	if (sorted != few)
		free(sorted);
	return median;
}

/* By nearest rank: a value that was measured, never one between two. */
double bench_quantile(double *values, size_t count, double q)
{
	double rank = ceil(q * (double)count);

	if (!count)
		return NAN;
	qsort(values, count, sizeof(*values), compare);
	if (!(rank >= 1))
		return values[0];
	return rank >= (double)count ? values[count - 1]
				     : values[(size_t)rank - 1];
}

double bench_least(const double *values, unsigned int count)
{
	double least = count ? values[0] : NAN;

	for (unsigned int i = 1; i < count; i++)
		if (values[i] < least)
			least = values[i];
	return least;
}

double bench_most(const double *values, unsigned int count)
{
	double most = count ? values[0] : NAN;

	for (unsigned int i = 1; i < count; i++)
		if (values[i] > most)
			most = values[i];
	return most;
}

double bench_ratio(const double *values, const double *against,
		   unsigned int count)
{
	double ratios[BENCH_TURNS_MAX];

	if (count > BENCH_TURNS_MAX)
		return NAN;
	for (unsigned int i = 0; i < count; i++) {
		ratios[i] = values[i] / against[i];
		/* Where one is no number, an order of them is none either. */
		if (!isfinite(ratios[i]))
			return NAN;
	}
	return bench_median(ratios, count);
}

static bool is_near(double a, double b)
{
	return fabs(a - b) <= 1e-6 * fabs(a);
}

bool bench_follows(const struct bench_case_result *result, unsigned int figure,
		   unsigned int other)
{
	bool multiple = true, reciprocal = true;
	double quotient = 0, product = 0;
	unsigned int seen = 0;

	for (unsigned int i = 0; i < result->subjects; i++) {
		const struct bench_outcome *s = &result->subject[i];

		for (unsigned int t = 0;
		     s->state == BENCH_OK && t < result->turns; t++) {
			double a = s->turns[figure][t], b = s->turns[other][t];

			if (!seen++) {
				quotient = a / b;
				product = a * b;
			}
			multiple = multiple && is_near(quotient, a / b);
			reciprocal = reciprocal && is_near(product, a * b);
		}
	}
	/* One pair of numbers is a multiple of anything, and so is nothing. */
	return seen > 1 && product != 0 && (multiple || reciprocal);
}

const struct bench_outcome *
bench_reference(const struct bench_case_result *result)
{
	for (unsigned int i = 0; i < result->subjects; i++) {
		const struct bench_outcome *s = &result->subject[i];

		if (s->of->peer->kind == BENCH_TAPIO && s->state == BENCH_OK)
			return s;
	}
	return NULL;
}
