/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-pool: what it costs to get an object and to give it back, on the same CPU
 * and on another one, beside the allocators that a program would use instead.
 *
 *	pair	get, put, again and again
 *	burst	get 32, put these 32
 *	across	one thread gets 1024, then another thread on another CPU puts them;
 *		the floor is the same with nothing got and nothing put
 *
 * All in one process: malloc cannot do otherwise. Objects have 64 bytes. Tapio's
 * are declared dirty, as malloc's are, except where the line says zeroed.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <tapio/bytes.h>
#include <tapio/pool.h>

#include "bench/harness.h"
#include "bench/pool_peer.h"

#define BYTES   64
#define OBJECTS 16384
#define BURST   32
#define PASSED  1024 /* got by one thread, then put by the other */

static struct tapio_pool *dirty, *zeroed, *strict;
static struct tapio_bytes *bytes;
static void *(*je_malloc)(size_t);
static void (*je_free)(void *);

/* A benchmark is no place to go on after a refusal. */
static inline void must(int err)
{
	if (__builtin_expect(err, 0)) {
		fprintf(stderr, "bench-pool: refused: %d\n", err);
		exit(1);
	}
}

static inline void *keep(void *object)
{
	/* The compiler may not pair malloc with free and drop both. */
	__asm__ __volatile__("" : "+r"(object) : : "memory");
	return object;
}

static inline void *dirty_get(void)
{
	void *object;

	must(tapio_pool_get(dirty, &object));
	return object;
}

static inline void *zeroed_get(void)
{
	void *object;

	must(tapio_pool_get(zeroed, &object));
	return object;
}

static inline void *strict_get(void)
{
	void *object;

	must(tapio_pool_get(strict, &object));
	return object;
}

static inline void *bytes_get(void)
{
	void *object;

	must(tapio_bytes_get(bytes, BYTES, 0, &object));
	return object;
}

/* The floor of `across`. */
static char nothing[BYTES];

/* ---- across: two threads in turns ------------------------------------------ */

/*
 * They sleep while it is not their turn, and count their own processor time: two
 * that spin for one another measure the scheduler wherever others run, too.
 */
struct across {
	const struct bench_options *options;
	void *objects[PASSED];
	sem_t to_get;
	sem_t to_put;
	uint64_t ns; /* of both; only one runs */
};

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define DEFINE_PAIR(name, GET, PUT)                                          \
	static double name##_pair(const struct bench_options *o)             \
	{                                                                    \
		uint64_t start = bench_now_ns();                             \
                                                                             \
		for (uint64_t i = 0; i < o->events; i++)                     \
			PUT(keep(GET()));                                    \
		return (double)(bench_now_ns() - start) / (double)o->events; \
	}

#define DEFINE_BURST(name, GET, PUT)                               \
	static double name##_burst(const struct bench_options *o)  \
	{                                                          \
		void *objects[BURST];                              \
		uint64_t start = bench_now_ns();                   \
                                                                   \
		for (uint64_t i = 0; i < o->events / BURST; i++) { \
			for (int j = 0; j < BURST; j++)            \
				objects[j] = keep(GET());          \
			for (int j = 0; j < BURST; j++)            \
				PUT(objects[j]);                   \
		}                                                  \
		return (double)(bench_now_ns() - start) /          \
		       (double)(o->events / BURST * BURST);        \
	}

#define DEFINE_TURNS(name, cpu_index, mine, next, WORK)              \
	static void *name(void *argument)                            \
	{                                                            \
		struct across *a = argument;                         \
		uint64_t n = a->options->events / PASSED + 1, start; \
                                                                     \
		bench_pin(a->options->cpu[cpu_index]);               \
		while (n--) {                                        \
			while (sem_wait(&a->mine))                   \
				;                                    \
			start = cpu_ns();                            \
			for (int i = 0; i < PASSED; i++)             \
				WORK;                                \
			a->ns += cpu_ns() - start;                   \
			sem_post(&a->next);                          \
		}                                                    \
		return NULL;                                         \
	}
#define DEFINE_ACROSS(name, GET, PUT)                               \
	DEFINE_TURNS(name##_getter, 0, to_get, to_put,              \
		     a->objects[i] = keep(GET()))                   \
	DEFINE_TURNS(name##_putter, 1, to_put, to_get,              \
		     PUT(keep(a->objects[i])))                      \
	static double name##_across(const struct bench_options *o)  \
	{                                                           \
		return run_across(o, name##_getter, name##_putter); \
	}

static double run_across(const struct bench_options *o, void *(*getter)(void *),
			 void *(*putter)(void *))
{
	static struct across a;
	pthread_t threads[2];

	a.options = o;
	a.ns = 0;
	sem_init(&a.to_get, 0, 1);
	sem_init(&a.to_put, 0, 0);
	if (pthread_create(&threads[0], NULL, getter, &a) ||
	    pthread_create(&threads[1], NULL, putter, &a))
		exit(1);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	return (double)a.ns / (double)((o->events / PASSED + 1) * PASSED);
}

#define dirty_put(object)   must(tapio_pool_put(dirty, object))
#define zeroed_put(object)  must(tapio_pool_put(zeroed, object))
#define strict_put(object)  must(tapio_pool_put(strict, object))
#define bytes_put(object)   must(tapio_bytes_put(bytes, object))
#define libc_get()          malloc(BYTES)
#define je_get()            je_malloc(BYTES)
#define nothing_get()       ((void *)nothing)
#define nothing_put(object) ((void)(object))

DEFINE_PAIR(dirty, dirty_get, dirty_put)
DEFINE_BURST(dirty, dirty_get, dirty_put)
DEFINE_PAIR(zeroed, zeroed_get, zeroed_put)
DEFINE_PAIR(strict, strict_get, strict_put)
DEFINE_PAIR(bytes, bytes_get, bytes_put)
DEFINE_PAIR(libc, libc_get, free)
DEFINE_BURST(libc, libc_get, free)
DEFINE_PAIR(je, je_get, je_free)
DEFINE_BURST(je, je_get, je_free)
DEFINE_ACROSS(dirty, dirty_get, dirty_put)
DEFINE_ACROSS(zeroed, zeroed_get, zeroed_put)
DEFINE_ACROSS(libc, libc_get, free)
DEFINE_ACROSS(je, je_get, je_free)
DEFINE_ACROSS(nothing, nothing_get, nothing_put)
#ifdef BENCH_CK
DEFINE_PAIR(ck, ck_peer_get, ck_peer_put)
DEFINE_BURST(ck, ck_peer_get, ck_peer_put)
DEFINE_ACROSS(ck, ck_peer_get, ck_peer_put)
#endif

enum peer {
	TAPIO,
	LIBC,
	JEMALLOC,
	CK
};

static const struct {
	const char *name;
	double (*run)(const struct bench_options *options);
	enum peer peer;
	bool across;
} cases[] = {
	{"pair: tapio_pool", dirty_pair, TAPIO, false},
	{"pair: malloc", libc_pair, LIBC, false},
	{"pair: jemalloc", je_pair, JEMALLOC, false},
#ifdef BENCH_CK
	{"pair: ck_stack", ck_pair, CK, false},
#endif
	{"pair: tapio_pool zeroed", zeroed_pair, TAPIO, false},
	{"pair: tapio_pool strict", strict_pair, TAPIO, false},
	{"pair: tapio_bytes", bytes_pair, TAPIO, false},
	{"burst: tapio_pool", dirty_burst, TAPIO, false},
	{"burst: malloc", libc_burst, LIBC, false},
	{"burst: jemalloc", je_burst, JEMALLOC, false},
#ifdef BENCH_CK
	{"burst: ck_stack", ck_burst, CK, false},
#endif
	{"across: tapio_pool", dirty_across, TAPIO, true},
	{"across: malloc", libc_across, LIBC, true},
	{"across: jemalloc", je_across, JEMALLOC, true},
#ifdef BENCH_CK
	{"across: ck_stack", ck_across, CK, true},
#endif
	{"across: tapio_pool zeroed", zeroed_across, TAPIO, true},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))
_Static_assert(CASES <= BENCH_ROWS_MAX, "rows of the report");

static void find_jemalloc(void)
{
	void *library = dlopen("libjemalloc.so.2", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return;
	*(void **)&je_malloc = dlsym(library, "malloc");
	*(void **)&je_free = dlsym(library, "free");
	if (!je_malloc || !je_free)
		je_malloc = NULL;
}

static void set_up(void)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = BYTES,
		.count = OBJECTS,
	};
	struct tapio_bytes_options classes = {.size = sizeof(classes)};

	must(tapio_pool_create(&zeroed, &options));
	options.flags = TAPIO_POOL_DIRTY | TAPIO_POOL_LAX;
	must(tapio_pool_create(&dirty, &options));
	options.flags = TAPIO_POOL_DIRTY;
	must(tapio_pool_create(&strict, &options));
	classes.count[TAPIO_BYTES_CLASS_64] = OBJECTS;
	must(tapio_bytes_create(&bytes, &classes));
	find_jemalloc();
#ifdef BENCH_CK
	must(ck_peer_set_up(OBJECTS, BYTES));
#endif
}

int main(int argc, char **argv)
{
	struct bench_options options = {
		.name = "pool",
		.repeats = 11,
		.events = 2000000,
	};
	struct bench_row *rows[CASES] = {NULL};
	static struct bench_report report;
	unsigned int turn, i;
	double floor;

	bench_options_parse(&options, argc, argv,
			    "Getting an object of 64 bytes and giving it back, "
			    "on one CPU and across two.");
	bench_pin(options.cpu[0]);
	set_up();
	for (i = 0; i < CASES; i++)
		if (cases[i].peer != JEMALLOC || je_malloc)
			rows[i] = bench_row(&report, cases[i].name);
	report.pingpong_ns[0] = bench_pingpong(&options);
	for (turn = 0; turn < options.repeats; turn++) {
		floor = nothing_across(&options);
		for (i = 0; i < CASES; i++) {
			if (!rows[i])
				continue;
			rows[i]->ns[turn] = cases[i].run(&options);
			rows[i]->has_floor = cases[i].across;
			rows[i]->floor_ns[turn] = floor;
		}
	}
	report.pingpong_ns[1] = bench_pingpong(&options);
	bench_print(&options, &report);
	/* Whose machine is not known: an order of magnitude, no ratio. */
	if (!options.json)
		printf("\nAs published for the package that Tapio replaces, "
		       "elsewhere: get 24.5,\nput 21.3 ns.\n");
	return 0;
}
