/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions. One more: its file in bench/questions/, its line in
 * bench/CMakeLists.txt, and two here. They are shown in the order of their
 * numbers, whatever it is here. Several may share one.
 */
#include "bench/frame/frame.h"

extern const struct bench_question bench_question_bytes;
extern const struct bench_question bench_question_correlate;
extern const struct bench_question bench_question_emit;
extern const struct bench_question bench_question_fanout;
extern const struct bench_question bench_question_analyze;
extern const struct bench_question bench_question_filter;
extern const struct bench_question bench_question_groups;
extern const struct bench_question bench_question_latency;
extern const struct bench_question bench_question_look;
extern const struct bench_question bench_question_merge;
extern const struct bench_question bench_question_observers;
extern const struct bench_question bench_question_poll;
extern const struct bench_question bench_question_pool;
extern const struct bench_question bench_question_rate;
extern const struct bench_question bench_question_ring;
extern const struct bench_question bench_question_scale;
extern const struct bench_question bench_question_scaling;
extern const struct bench_question bench_question_share;
extern const struct bench_question bench_question_stamp;
extern const struct bench_question bench_question_storm;
extern const struct bench_question bench_question_stream;

/* clang-format off */
static const struct bench_question *questions[] = {
	&bench_question_emit,
	&bench_question_groups,
	&bench_question_stream,
	&bench_question_scaling,
	&bench_question_latency,
	&bench_question_ring,
	&bench_question_pool,
	&bench_question_bytes,
	&bench_question_fanout,
	&bench_question_observers,
	&bench_question_share,
	&bench_question_stamp,
	&bench_question_filter,
	&bench_question_analyze,
	&bench_question_poll,
	&bench_question_merge,
	&bench_question_rate,
	&bench_question_storm,
	&bench_question_scale,
	&bench_question_correlate,
	&bench_question_look,
	NULL,
};
/* clang-format on */

/* By insertion: it keeps the order of those that share a number. */
static void sort(void)
{
	for (size_t i = 0; questions[i]; i++) {
		const struct bench_question *q = questions[i];
		size_t at = i;

		for (; at && questions[at - 1]->number > q->number; at--)
			questions[at] = questions[at - 1];
		questions[at] = q;
	}
}

const struct bench_question *const *bench_questions(void)
{
	sort();
	return questions;
}
