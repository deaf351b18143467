/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Question 6, the pool: the cost of getting an object of 64 bytes and giving it
 * back, on one CPU and on another one, beside what a program would use instead.
 *
 * Objects are what their last user left (dirty), as malloc's are, but for the
 * variant that zeroes. Tapio's pool refuses double puts: by a look at the object's
 * state, which is the default, by a swap of it (exact), or not at all (unchecked).
 * The others do not look.
 */
#include "bench/questions/goals.h"
#include "bench/questions/pool_run.h"
#include "bench/questions/published.h"

static int run(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures)
{
	return bench_pool_run(run, subject, false, figures);
}

#define SUBJECT(name, who, how, ops)               \
	static const struct bench_subject name = { \
		.peer = &who, .variant = how, .run = run, .arg = &ops}

SUBJECT(plain, peer_tapio_pool, NULL, pool_tapio);
SUBJECT(exact, peer_tapio_pool, "exact", pool_tapio_exact);
SUBJECT(unchecked, peer_tapio_pool, "unchecked", pool_tapio_unchecked);
SUBJECT(zero, peer_tapio_pool, "zeroed", pool_tapio_zero);
SUBJECT(named, peer_tapio_pool, "one name", pool_tapio_named);
SUBJECT(named_unchecked, peer_tapio_pool, "one name, unchecked",
	pool_tapio_named_unchecked);
SUBJECT(adopted, peer_tapio_pool, "adopted", pool_tapio);
SUBJECT(libc, peer_malloc, NULL, pool_malloc);
SUBJECT(array, peer_array, NULL, pool_array);
#ifdef BENCH_HAVE_JEMALLOC
SUBJECT(je, peer_jemalloc, NULL, pool_jemalloc);
#define JE &je,
#else
#define JE
#endif
#ifdef BENCH_HAVE_CK
SUBJECT(ck, peer_ck_stack, NULL, pool_ck);
#define CK &ck,
#else
#define CK
#endif
#ifdef BENCH_HAVE_DPDK
SUBJECT(rte, peer_rte_mempool, NULL, pool_rte);
#define RTE &rte,
#else
#define RTE
#endif

static const struct bench_subject *const same_cpu[] = {
	&plain, &exact, &unchecked, &zero, &libc, JE CK RTE &array, NULL};
static const struct bench_subject *const other_cpu[] = {
	&adopted, &named, &named_unchecked, &libc, JE CK RTE &array, NULL};

#define PER_OBJECT                                          \
	{                                                   \
		{                                           \
			.name = "get and put", .unit = "ns" \
		}                                           \
	}

static const struct bench_case cases[] = {
	{.name = "pool/pair",
	 .title = "get an object and put it",
	 .bytes = 64,
	 .batch = 1,
	 .param = POOL_PAIR,
	 .events = 2000000,
	 .quick_events = 4096,
	 .figures = PER_OBJECT,
	 .subjects = same_cpu,
	 .goals = {GOAL_OVER("no slower than jemalloc", NULL, "jemalloc", 0,
			     1)}},
	{.name = "pool/bulk",
	 .title = "get 32 objects and put them",
	 .bytes = 64,
	 .batch = POOL_BURST,
	 .param = POOL_BULK,
	 .events = 2000000,
	 .quick_events = 4096,
	 .figures = PER_OBJECT,
	 .subjects = same_cpu,
	 .goals = {GOAL_VALUE("at most 1 ns", NULL, 0, 1)}},
	{.name = "pool/across",
	 .title = "get an object, put it on another CPU",
	 .bytes = 64,
	 .batch = 1,
	 .param = POOL_ACROSS,
	 .events = 500000,
	 .quick_events = 4096,
	 .figures = {{.name = "get and put", .unit = "ns"},
		     {.name = "get", .unit = "ns"},
		     {.name = "put", .unit = "ns"}},
	 .subjects = other_cpu,
	 .goals = {GOAL_OVER("the put, at most 1.5 x rte_mempool's", NULL,
			     "rte_mempool", 2, 1.5)}},
	{0},
};

static const struct bench_published published[] = {
	{"get from the pool", 24.5, "ns", BENCH_SEED},
	{"put into the pool", 21.3, "ns", BENCH_SEED},
	{0},
};

const struct bench_question bench_question_pool = {
	.number = 6,
	.text = "The pool: getting objects and giving them back",
	.cases = cases,
	.published = published,
};
