/* SPDX-License-Identifier: Apache-2.0 */
/* The turns of one case, for run.c. */
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

#include "bench/frame/frame.h"

struct bench_course {
	const struct bench_options *options;
	struct bench_results *results;
	uint64_t steps; /* measurements of all selected cases */
	uint64_t done;
};

/* Takes them, and shows the case. Waits only as long as the question may, after
 * what its cases before have waited. */
void bench_case_run(struct bench_course *course,
		    struct bench_question_result *question,
		    struct bench_case_result *result);

/* A subject is asked no more. It says so when the subject failed. */
void bench_is_out(struct bench_outcome *s, const struct bench_case *c,
		  enum bench_state state, const char *why);

#endif
