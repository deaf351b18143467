/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Question 6, the pool: the cost of getting an object of 64 bytes and giving it
 * back, on one CPU and on another one, beside what a program would use instead.
 *
 * Objects are what their last user left (dirty), as malloc's are, but for the
 * variant that zeroes. Tapio's pool refuses every double put unless it is lax.
 * The others do not look.
 */
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

SUBJECT(exact, peer_tapio_pool, "exact", pool_tapio);
SUBJECT(lax, peer_tapio_pool, "lax", pool_tapio_lax);
SUBJECT(zero, peer_tapio_pool, "exact, zeroed", pool_tapio_zero);
SUBJECT(adopted, peer_tapio_pool, "exact, adopted", pool_tapio);
SUBJECT(adopted_lax, peer_tapio_pool, "lax, adopted", pool_tapio_lax);
SUBJECT(named, peer_tapio_pool, "exact, one name", pool_tapio_named);
SUBJECT(named_lax, peer_tapio_pool, "lax, one name", pool_tapio_named_lax);
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
	&exact, &lax, &zero, &libc, JE CK RTE &array, NULL};
static const struct bench_subject *const other_cpu[] = {
	&adopted, &adopted_lax,     &named, &named_lax,
	&libc,    JE CK RTE &array, NULL};

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
	 .goals =
		 {{.text = "at most 4 ns",
		   .kind = BENCH_GOAL_VALUE,
		   .limit = 4},
		  {.text = "at most 4 ns, where double puts are not looked for",
		   .kind = BENCH_GOAL_VALUE,
		   .against = "tapio_pool, lax",
		   .limit = 4}}},
	{.name = "pool/bulk",
	 .title = "get 32 objects and put them",
	 .bytes = 64,
	 .batch = POOL_BURST,
	 .param = POOL_BULK,
	 .events = 2000000,
	 .quick_events = 4096,
	 .figures = PER_OBJECT,
	 .subjects = same_cpu},
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
	 .goals = {{.text = "a put on another CPU at most 15 ns",
		    .kind = BENCH_GOAL_VALUE,
		    .figure = 2,
		    .limit = 15}}},
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
