/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Question 6, byte buffers: get one and put it, as the last user left it beside
 * malloc, and zeroed beside calloc.
 */
#include "bench/questions/goals.h"
#include "bench/questions/pool_run.h"

static int run_dirty(const struct bench_run *run,
		     const struct bench_subject *subject, double *figures)
{
	return bench_pool_run(run, subject, false, figures);
}

static int run_zeroed(const struct bench_run *run,
		      const struct bench_subject *subject, double *figures)
{
	return bench_pool_run(run, subject, true, figures);
}

#define SUBJECTS(name, who, how, ops)                                         \
	static const struct bench_subject name##_dirty = {                    \
		.peer = &who, .variant = how, .run = run_dirty, .arg = &ops}; \
	static const struct bench_subject name##_zeroed = {                   \
		.peer = &who, .variant = how, .run = run_zeroed, .arg = &ops}

SUBJECTS(plain, peer_tapio_bytes, NULL, pool_bytes);
SUBJECTS(exact, peer_tapio_bytes, "exact", pool_bytes_exact);
SUBJECTS(libc, peer_malloc, NULL, pool_malloc);
#ifdef BENCH_HAVE_JEMALLOC
SUBJECTS(je, peer_jemalloc, NULL, pool_jemalloc);
#define JE_DIRTY  &je_dirty,
#define JE_ZEROED &je_zeroed,
#else
#define JE_DIRTY
#define JE_ZEROED
#endif

static const struct bench_subject *const dirty[] = {&plain_dirty, &exact_dirty,
						    &libc_dirty, JE_DIRTY NULL};
static const struct bench_subject *const zeroed[] = {
	&plain_zeroed, &exact_zeroed, &libc_zeroed, JE_ZEROED NULL};

#define PER_BUFFER                                          \
	{                                                   \
		{                                           \
			.name = "get and put", .unit = "ns" \
		}                                           \
	}

#define NEAR_JEMALLOC \
	GOAL_OVER("at most 1.2 x jemalloc", NULL, "jemalloc", 0, 1.2)

static const struct bench_case cases[] = {
	{.name = "bytes/64",
	 .title = "64 bytes",
	 .bytes = 64,
	 .batch = 1,
	 .param = POOL_PAIR,
	 .events = 2000000,
	 .quick_events = 2048,
	 .figures = PER_BUFFER,
	 .subjects = dirty,
	 .goals = {NEAR_JEMALLOC}},
	{.name = "bytes/64/zeroed",
	 .title = "64 bytes, zeroed",
	 .bytes = 64,
	 .batch = 1,
	 .param = POOL_PAIR,
	 .events = 2000000,
	 .quick_events = 2048,
	 .figures = PER_BUFFER,
	 .subjects = zeroed,
	 .goals = {NEAR_JEMALLOC}},
	{.name = "bytes/1k",
	 .title = "1 KiB",
	 .bytes = 1024,
	 .batch = 1,
	 .param = POOL_PAIR,
	 .events = 1000000,
	 .quick_events = 2048,
	 .figures = PER_BUFFER,
	 .subjects = dirty,
	 .goals = {NEAR_JEMALLOC}},
	{.name = "bytes/1k/zeroed",
	 .title = "1 KiB, zeroed",
	 .bytes = 1024,
	 .batch = 1,
	 .param = POOL_PAIR,
	 .events = 1000000,
	 .quick_events = 2048,
	 .figures = PER_BUFFER,
	 .subjects = zeroed,
	 .goals = {NEAR_JEMALLOC}},
	{.name = "bytes/16k",
	 .title = "16 KiB",
	 .bytes = 16384,
	 .batch = 1,
	 .param = POOL_PAIR,
	 .events = 1000000,
	 .quick_events = 2048,
	 .figures = PER_BUFFER,
	 .subjects = dirty,
	 .goals = {NEAR_JEMALLOC}},
	{.name = "bytes/16k/zeroed",
	 .title = "16 KiB, zeroed",
	 .bytes = 16384,
	 .batch = 1,
	 .param = POOL_PAIR,
	 .events = 200000,
	 .quick_events = 2048,
	 .figures = PER_BUFFER,
	 .subjects = zeroed,
	 .goals = {NEAR_JEMALLOC}},
	{0},
};

const struct bench_question bench_question_bytes = {
	.number = 6,
	.text = "Byte buffers: getting them and giving them back",
	.cases = cases,
};
