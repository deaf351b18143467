/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything at once: threads of one handle that emit in every way and change
 * CPUs meanwhile, a signal handler that emits in the middle of it, two lossless
 * groups of two members, a lossy group, an observer. In the end each lossless
 * group has every accepted event once, and every ledger balances.
 *
 * Each source (a thread, or the signal handler) numbers what it emits. A number
 * is used again only when it was refused. The order of one source holds as long
 * as it stays on one lane, so what is checked is the set: each number once.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "tests/unit/client_fixture.h"

#define THREADS  4
#define SOURCES  (THREADS + 1) /* the last one is the signal handler */
#define EACH     (CHECK_SANITIZED ? 20000 : 50000)
#define HANDLERS 2000
#define GROUPS   2
#define MEMBERS  2

#define CONFIG                                                             \
	"channel t { stamp = \"tsc\"\n"                                    \
	"class small { block = 128\n blocks = 256\n side_blocks = 256 }\n" \
	"class large { block = 8192\n blocks = 64\n side_blocks = 64 }\n"  \
	"}\n"

struct body {
	uint32_t source;
	uint32_t number;
	uint32_t check; /* source ^ number ^ words */
	uint32_t words; /* that follow, each the number */
	uint32_t word[];
};

static struct tapio_producer *p;
static uint32_t sources_left = THREADS;
static uint32_t handled; /* events accepted in the signal handler */
static uint64_t discards;

/* The events that a group has received. Each group has its own, with two
 * writers. */
static uint8_t seen[GROUPS][SOURCES][EACH + HANDLERS];
static uint32_t received[GROUPS];

static uint32_t fill(struct body *body, uint32_t source, uint32_t number,
		     uint32_t bytes)
{
	uint32_t i;

	body->source = source;
	body->number = number;
	body->words = (bytes - (uint32_t)sizeof(*body)) / 4;
	body->check = source ^ number ^ body->words;
	for (i = 0; i < body->words; i++)
		body->word[i] = number;
	return (uint32_t)sizeof(*body) + body->words * 4;
}

static void check_body(const struct tapio_view *v)
{
	const struct body *body = v->data;
	uint32_t i;

	ck_assert_uint_ge(v->length, sizeof(*body));
	if (body->check != (body->source ^ body->number ^ body->words) ||
	    v->length != sizeof(*body) + body->words * 4)
		ck_abort_msg("lane %u position %lu is corrupt", v->lane,
			     (unsigned long)v->position);
	for (i = 0; i < body->words; i++)
		if (body->word[i] != body->number)
			ck_abort_msg("lane %u position %lu is torn", v->lane,
				     (unsigned long)v->position);
}

/* Fatal errors. No room is tried again. */
static bool accepted(int err)
{
	if (err >= 0)
		return true;
	if (err != -EAGAIN && err != -ENOBUFS)
		ck_abort_msg("emitting: %s", strerror(-err));
	sched_yield();
	return false;
}

static uint32_t random_of(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static uint32_t random_bytes(uint32_t *state)
{
	uint32_t r = random_of(state);

	return (uint32_t)sizeof(struct body) + (r % 50 ? r % 100 : r % 8000);
}

static void hop(uint32_t r)
{
	int cpus = cpu_count();

	if (r % 64 == 0)
		pin((int)(r / 64 % (uint32_t)cpus));
}

static void emit_output(uint32_t source, uint32_t number, uint32_t bytes)
{
	uint64_t buffer[8192 / 8];
	uint32_t length = fill((void *)buffer, source, number, bytes);

	while (!accepted(tapio_output(p, TAG, buffer, length)))
		;
}

static void emit_reserved(uint32_t source, uint32_t number, uint32_t *state)
{
	uint32_t bytes = random_bytes(state);
	struct tapio_reservation r;

	while (!accepted(tapio_reserve(p, TAG, bytes, &r)))
		;
	r.length = fill(r.data, source, number, bytes);
	hop(random_of(state));
	if (random_of(state) % 16 == 0) {
		ck_assert_int_eq(tapio_discard(p, &r), 0);
		tpi_add_relaxed(&discards, 1);
		emit_output(source, number, bytes);
		return;
	}
	while (!accepted(tapio_submit(p, &r)))
		;
}

/* Up to eight events. How many. */
static uint32_t emit_batch(uint32_t source, uint32_t number, uint32_t left)
{
	uint64_t buffers[8][16];
	struct tapio_item items[8];
	uint32_t i, count = left < 8 ? left : 8;
	int n;

	for (i = 0; i < count; i++)
		items[i] = (struct tapio_item){
			buffers[i],
			fill((void *)buffers[i], source, number + i, 40 + i),
			TAG};
	do {
		n = tapio_output_batch(p, items, count);
	} while (!accepted(n));
	return (uint32_t)n;
}

static uint32_t emit_reserved_batch(uint32_t source, uint32_t number,
				    uint32_t left, uint32_t *state)
{
	struct tapio_reservation r[8];
	uint32_t i, done, count = left < 8 ? left : 8;
	int n;

	do {
		n = tapio_reserve_batch(p, TAG, 100, r, count);
	} while (!accepted(n));
	for (i = 0; i < (uint32_t)n; i++)
		r[i].length = fill(r[i].data, source, number + i, 60);
	hop(random_of(state));
	for (done = 0; done < (uint32_t)n;) {
		int k = tapio_submit_batch(p, r + done, (uint32_t)n - done);

		if (accepted(k))
			done += (uint32_t)k;
	}
	return (uint32_t)n;
}

static void *produce(void *arg)
{
	uint32_t source = (uint32_t)(uintptr_t)arg, number = 0;
	uint32_t state = source + 1;

	while (number < EACH) {
		hop(random_of(&state));
		switch (random_of(&state) % 8) {
		case 0:
			emit_reserved(source, number++, &state);
			break;
		case 1:
			number += emit_batch(source, number, EACH - number);
			break;
		case 2:
			number += emit_reserved_batch(source, number,
						      EACH - number, &state);
			break;
		default:
			emit_output(source, number++, random_bytes(&state));
		}
	}
	tpi_add_acq_rel(&sources_left, -1);
	return NULL;
}

/* Interrupts whatever its thread is doing, and emits. A number per success. */
static void on_timer(int signal_number)
{
	uint64_t buffer[16];
	uint32_t number = tpi_load_relaxed(&handled);
	int saved = errno;
	uint32_t length;

	(void)signal_number;
	errno = 4321;
	length = fill((void *)buffer, THREADS, number, 64);
	if (number < HANDLERS && !tapio_output(p, TAG, buffer, length))
		tpi_store_relaxed(&handled, number + 1);
	if (errno != 4321)
		abort();
	errno = saved;
}

struct member {
	struct tapio_consumer *c;
	int group;
	uint64_t delivered;
};

static uint32_t all_done; /* no source is left, and all is read */

static void *consume(void *arg)
{
	struct member *m = arg;
	struct tapio_view views[48];
	int n, i;

	while (!tpi_load_relaxed(&all_done)) {
		n = tapio_poll(m->c, views, 48, 5000000);
		if (n < 0)
			ck_abort_msg("poll: %s", strerror(-n));
		for (i = 0; i < n; i++) {
			const struct body *body = views[i].data;

			ck_assert(!(views[i].flags & TAPIO_VIEW_GAP));
			check_body(&views[i]);
			if (body->source >= SOURCES ||
			    body->number >= EACH + HANDLERS)
				ck_abort_msg("source %u number %u",
					     body->source, body->number);
			/* Two members never get the same event. */
			tpi_add_relaxed(
				&seen[m->group][body->source][body->number], 1);
		}
		m->delivered += (uint64_t)n;
		tpi_add_relaxed(&received[m->group], (uint32_t)n);
		if (tapio_release(m->c))
			ck_abort_msg("a lossless group was overrun");
	}
	return NULL;
}

static void *consume_lossy(void *arg)
{
	struct member *m = arg;
	struct tapio_view views[48];
	int n, i;

	while (!tpi_load_relaxed(&all_done)) {
		n = tapio_poll(m->c, views, 48, 5000000);
		for (i = 0; i < n; i++)
			m->delivered += !(views[i].flags & TAPIO_VIEW_GAP);
		m->delivered -= (uint64_t)tapio_release(m->c);
	}
	return NULL;
}

static void *observe(void *arg)
{
	struct tapio_observer *o = arg;
	struct tapio_view views[48];
	int n, i;

	while (!tpi_load_relaxed(&all_done)) {
		n = tapio_observe(o, views, 48, 5000000);
		for (i = 0; i < n; i++)
			if (!(views[i].flags & TAPIO_VIEW_GAP))
				check_body(&views[i]);
	}
	return NULL;
}

static void check_group(int group, uint32_t total)
{
	uint32_t source, number, count;

	ck_assert_uint_eq(received[group], total);
	for (source = 0; source < SOURCES; source++) {
		count = source < THREADS ? EACH : handled;
		for (number = 0; number < count; number++)
			if (seen[group][source][number] != 1)
				ck_abort_msg("group %d got %u of source %u "
					     "%u times",
					     group, number, source,
					     seen[group][source][number]);
	}
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	ck_assert_int_eq(pthread_create(thread, NULL, run, arg), 0);
}

/* With the timer's signal blocked in all threads but the producers. */
static void run_producers(void)
{
	struct sigaction action = {.sa_handler = on_timer,
				   .sa_flags = SA_RESTART};
	struct itimerval timer = {.it_interval = {.tv_usec = 500},
				  .it_value = {.tv_usec = 500}};
	pthread_t threads[THREADS];
	sigset_t set;
	uintptr_t i;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	/* Only the first one takes it: one handler at a time. */
	for (i = 1; i < THREADS; i++)
		start(&threads[i], produce, (void *)i);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	start(&threads[0], produce, NULL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	timer = (struct itimerval){0};
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* All of it was delivered, and nothing is left or lost. */
static void close_group(const struct member *members, uint32_t total)
{
	int m;

	/* The sweep's discards, skipped by the lane's holder. */
	for (m = 0; m < MEMBERS; m++)
		ck_assert_uint_eq(drain(members[m].c), 0);
	ck_assert_uint_eq(group_stats(members[0].c).delivered, total);
	ck_assert_uint_eq(group_stats(members[0].c).lost, 0);
	ck_assert_uint_eq(group_stats(members[0].c).in_flight, 0);
	for (m = 0; m < MEMBERS; m++)
		tapio_consumer_close(members[m].c);
}

/* Until every group was given as much, or for 20 s. */
static void wait_for_all(uint32_t total)
{
	uint32_t turns;

	for (turns = 0; turns < 20000; turns++) {
		if (tpi_load_relaxed(&received[0]) >= total &&
		    tpi_load_relaxed(&received[1]) >= total)
			break;
		nap_ms(1);
	}
}

START_TEST(whatever_threads_and_handlers_emit_arrives_once_in_every_group)
{
	struct member members[GROUPS][MEMBERS] = {0}, lossy = {0};
	pthread_t threads[GROUPS * MEMBERS + 2];
	struct tapio_observer *o;
	uint32_t total;
	int g, m, n = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	rig_start(CONFIG);
	p = rig_producer();
	for (g = 0; g < GROUPS; g++)
		for (m = 0; m < MEMBERS; m++) {
			members[g][m] = (struct member){
				.c = rig_consumer(g ? "b" : "a",
						  TAPIO_GROUP_LOSSLESS),
				.group = g};
			start(&threads[n++], consume, &members[g][m]);
		}
	lossy.c = rig_consumer("lossy", TAPIO_GROUP_LOSSY);
	start(&threads[n++], consume_lossy, &lossy);
	o = rig_observer(TAPIO_START_NEWEST);
	start(&threads[n++], observe, o);

	run_producers();
	total = THREADS * EACH + handled;
	wait_for_all(total);
	nap_ms(20); /* the next one is one too many */
	tpi_store_relaxed(&all_done, 1);
	while (n)
		pthread_join(threads[--n], NULL);
	for (g = 0; g < GROUPS; g++)
		check_group(g, total);
	ck_assert_uint_gt(handled, 0);

	drain(lossy.c);
	tapio_producer_close(p);
	p = rig_producer();
	assert_nothing_held(p);
	for (g = 0; g < GROUPS; g++)
		close_group(members[g], total);
	drain(lossy.c);
	ck_assert_uint_eq(group_stats(lossy.c).in_flight, 0);
	ck_assert_uint_ge(group_stats(lossy.c).delivered, lossy.delivered);
	printf("%u events, %u of them from a handler; %lu discards; lossy: "
	       "%lu delivered, %lu lost; refused %lu\n",
	       total, handled, (unsigned long)discards,
	       (unsigned long)group_stats(lossy.c).delivered,
	       (unsigned long)group_stats(lossy.c).lost,
	       (unsigned long)channel_stats(p).dropped);
	tapio_consumer_close(lossy.c);
	tapio_observer_close(o);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client stress");
	TCase *t = tcase_create("stress");

	tcase_set_timeout(t, 60);
	tcase_add_test(
		t,
		whatever_threads_and_handlers_emit_arrives_once_in_every_group);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
