/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The goals of cases, spelled once: struct bench_goal in frame/bench.h. `whose` is
 * the name of a subject, or NULL for Tapio's first.
 */
#ifndef BENCH_GOALS_H
#define BENCH_GOALS_H

/* A figure of Tapio's, in its unit. */
#define GOAL_VALUE(is, whose, index, most)                         \
	{                                                          \
		.text = is, .kind = BENCH_GOAL_VALUE, .of = whose, \
		.figure = index, .limit = most                     \
	}
/* Over that of the subject that is called so. */
#define GOAL_OVER(is, whose, other, index, most)                     \
	{                                                            \
		.text = is, .kind = BENCH_GOAL_SUBJECT, .of = whose, \
		.against = other, .figure = index, .limit = most     \
	}
/* Over the sum of two of them. */
#define GOAL_OVER_BOTH(is, whose, other, and, index, most)                    \
	{                                                                     \
		.text = is, .kind = BENCH_GOAL_SUBJECT, .of = whose,          \
		.against = other, .plus = and, .figure = index, .limit = most \
	}
/* Over that of the best peer. */
#define GOAL_BEST(is, whose, index, most)                              \
	{                                                              \
		.text = is, .kind = BENCH_GOAL_BEST_PEER, .of = whose, \
		.figure = index, .limit = most                         \
	}

#endif
