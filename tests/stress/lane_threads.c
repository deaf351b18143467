/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads, and a signal handler, in one lane at once, with a reader that
 * holds the gate on another CPU and an observer that copies.
 *
 * All writers share one CPU, so that every section is preempted, and the handler
 * interrupts whichever runs. If this fails, one of these is broken: exclusivity
 * (a section that was not aborted), or a commit that was seen before its event.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/lane_fixture.h"
#include "tests/check_main.h"

#define WRITERS 4
#define HANDLER WRITERS /* the writer index of the signal handler */
#define SLOT    3
#define BLOCKS  256
#define BLOCK   192

/* Of each writer. Few where the machine is emulated. */
#ifndef LANE_THREADS_EVENTS
#define LANE_THREADS_EVENTS (CHECK_SANITIZED ? 40000u : 300000u)
#endif

struct event {
	uint32_t writer;
	uint32_t sequence;
	uint64_t words[20]; /* each = writer, sequence and index mixed */
};

static struct lane_fixture f;
static uint32_t writers_running;
static uint32_t handler_sequence, handler_refused;
static uint32_t handler_busy;
static uint64_t start; /* where the readers begin: before any writer does */

static uint64_t mix(uint32_t writer, uint32_t sequence, uint32_t i)
{
	return ((uint64_t)writer << 56) ^ ((uint64_t)sequence << 16) ^
	       (i * UINT64_C(0x9e3779b97f4a7c15));
}

static void make(struct event *e, uint32_t writer, uint32_t sequence)
{
	uint32_t i;

	e->writer = writer;
	e->sequence = sequence;
	for (i = 0; i < 20; i++)
		e->words[i] = mix(writer, sequence, i);
}

static bool good(const struct event *e)
{
	uint32_t i;

	for (i = 0; i < 20; i++)
		if (e->words[i] != mix(e->writer, e->sequence, i))
			return false;
	return true;
}

static void on_alarm(int sig)
{
	struct event e;

	(void)sig;
	/* The next alarm may find another thread: a sequence is one handler's. */
	if (tpi_swap_acq_rel(&handler_busy, 1))
		return;
	make(&e, HANDLER, handler_sequence);
	if (lane_output(&f, 1, &e, sizeof(e)))
		handler_refused++;
	else
		handler_sequence++;
	tpi_store_release(&handler_busy, 0);
}

static void emit(const struct event *e, uint32_t me, uint32_t how)
{
	uint32_t block;

	if (how % 3) {
		while (lane_output(&f, 1, e, sizeof(*e)))
			sched_yield();
		return;
	}
	while (lane_reserve(&f, me, &block, 1))
		sched_yield();
	memcpy(tpi_lane_block(&f.lane, block), e, sizeof(*e));
	ck_assert_int_eq(lane_publish(&f, 1, sizeof(*e), &block, 1), 0);
}

static void *writer_main(void *arg)
{
	uint32_t writer = (uint32_t)(uintptr_t)arg, i;
	struct event e;

	for (i = 0; i < LANE_THREADS_EVENTS; i++) {
		make(&e, writer, i);
		emit(&e, TAPIO_ATTACHMENT_ID(writer + 1, 1), i);
	}
	tpi_add_relaxed(&writers_running, (uint32_t)-1);
	return NULL;
}

/* Reads in place, as a lossless group's member. Counts per writer. */
static void *reader_main(void *arg)
{
	uint32_t *next = arg; /* [WRITERS + 1] */
	uint64_t head = start, tail, desc;
	const struct event *e;

	for (;;) {
		bool last = !tpi_load_relaxed(&writers_running);

		tail = lane_tail(&f);
		if (head == tail && last)
			return NULL;
		for (; head != tail; head++) {
			desc = tpi_load_relaxed(
				&f.lane.desc[head & f.lane.mask]);
			e = (const void *)tpi_lane_block(
				&f.lane, TAPIO_DESC_BLOCK(desc));
			ck_assert_uint_eq(TAPIO_DESC_LENGTH(desc), sizeof(*e));
			ck_assert_msg(good(e), "torn event at %lu",
				      (unsigned long)head);
			ck_assert_uint_eq(e->sequence, next[e->writer]++);
		}
		lane_fixture_release(&f, SLOT, head);
		sched_yield();
	}
}

static uint64_t observed, overruns;

#ifndef __SANITIZE_THREAD__ /* an observer races by design, and checks after */
static void *observer_main(void *arg)
{
	uint64_t at = start, tail, desc;
	struct event copy;

	(void)arg;
	while (tpi_load_relaxed(&writers_running)) {
		tail = lane_tail(&f);
		if (at == tail) {
			sched_yield();
			continue;
		}
		desc = tpi_load_relaxed(&f.lane.desc[at & f.lane.mask]);
		memcpy(&copy,
		       tpi_lane_block(&f.lane,
				      TAPIO_DESC_BLOCK(desc) & f.lane.mask),
		       sizeof(copy));
		if (tpi_lane_intact(&f.lane, at)) {
			ck_assert_msg(good(&copy), "a torn copy passed");
			observed++;
			at++;
		} else {
			overruns++;
			at = tail;
		}
	}
	return NULL;
}
#endif

static void unpin(pthread_t thread)
{
	cpu_set_t set;
	int i;

	CPU_ZERO(&set);
	for (i = 0; i < 64; i++)
		if ((uint32_t)i != f.lane.cpu)
			CPU_SET(i, &set);
	/* Fails on a machine with one CPU: then they share it. */
	pthread_setaffinity_np(thread, sizeof(set), &set);
}

START_TEST(writers_on_one_cpu_and_a_signal_handler_lose_and_tear_nothing)
{
	struct itimerval timer = {{0, 500}, {0, 500}};
	struct sigaction action = {.sa_handler = on_alarm,
				   .sa_flags = SA_RESTART};
	uint32_t next[WRITERS + 1] = {0}, i;
	pthread_t writers[WRITERS], reader, observer;
	sigset_t alarm;

	lane_fixture_init(&f, BLOCKS, BLOCK, BLOCKS);
	lane_fixture_join(&f, SLOT, TAPIO_GROUP_LOSSLESS, 0);
	writers_running = WRITERS + 1; /* and the handler */
	start = lane_tail(&f);
	/* The handler emits on the writers' CPU only. */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&reader, NULL, reader_main, next);
	unpin(reader);
#ifndef __SANITIZE_THREAD__
	pthread_create(&observer, NULL, observer_main, NULL);
	unpin(observer);
#endif
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (i = 0; i < WRITERS; i++)
		pthread_create(&writers[i], NULL, writer_main,
			       (void *)(uintptr_t)i);
	for (i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	memset(&timer, 0, sizeof(timer));
	setitimer(ITIMER_REAL, &timer, NULL);
	/* All events before this are emitted: only now may the reader end. */
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	tpi_add_relaxed(&writers_running, (uint32_t)-1);
	pthread_join(reader, NULL);
#ifndef __SANITIZE_THREAD__
	pthread_join(observer, NULL);
#else
	(void)observer;
#endif
	for (i = 0; i < WRITERS; i++)
		ck_assert_uint_eq(next[i], LANE_THREADS_EVENTS);
	ck_assert_uint_eq(next[HANDLER], handler_sequence);
	lane_check_blocks(&f);
	ck_assert_uint_eq(lane_held(&f), 0);
	printf("%u events, %u from the handler (%u refused); observer: %lu "
	       "good, %lu overruns\n",
	       WRITERS * LANE_THREADS_EVENTS, handler_sequence, handler_refused,
	       (unsigned long)observed, (unsigned long)overruns);
	lane_fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("one cpu");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(
		tcase,
		writers_on_one_cpu_and_a_signal_handler_lose_and_tear_nothing);
	return check_run_case("lane_threads", tcase);
}
