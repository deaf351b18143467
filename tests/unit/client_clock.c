/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stamps from end to end while the system's clock is set and slewed. This program
 * has a clock_gettime() of its own, which the broker and the test see alike; the
 * broker's thread and the readers run as always.
 *
 * The clocks are made of the processor's counter, for the machine's own ones are set and
 * slewed, too. On a virtual machine that had just started, they went 50 to 500 us away
 * within seconds, and the tests found that instead of what they had set.
 *
 * All of it fails on commit fddcec1: a clock that was set in the first 10 ms made
 * stamps wrong for ever, a slew above 1,000 ppm was taken for a step, and the time of
 * an event moved between two looks.
 */
#include <dlfcn.h>
#include <time.h>

#include "tests/unit/client_fixture.h"

#include "lib/base/tsc.h"

#define S        UINT64_C(1000000000)
#define ERROR_NS 2000
#define EVENTS   400
#define STAMPED  "channel t { stamp = \"tsc\"\n" RIG_CLASS "}\n"
/* Readings of CLOCK_REALTIME by the broker's first look. */
#define READINGS 24

/* CLOCK_REALTIME = true + added + slew; written by the test's thread alone. */
static int64_t added_ns;
static int64_t slew_ppm;
static uint64_t slew_from; /* in true ns; 0: no slew */
static bool both;          /* CLOCK_MONOTONIC is slewed, too */
/* A step, when the clock has been read so often. */
static uint64_t readings, step_reading;

/* The counter's rate, and what each clock was when the program began. */
#define FRACTION 32
static uint64_t first_ticks,
	ns_per_tick; /* the latter in units of 2^-FRACTION */
static uint64_t first_ns[CLOCK_MONOTONIC_RAW + 1];

static uint64_t machine_ns(clockid_t id)
{
	static int (*real)(clockid_t, struct timespec *);
	struct timespec t;

	if (!tpi_load_relaxed(&real))
		tpi_store_relaxed(&real,
				  (int (*)(clockid_t, struct timespec *))dlsym(
					  RTLD_NEXT, "clock_gettime"));
	real(id, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

/* While the program has one thread. A rate that is off by some ppm is no matter. */
static void make_clocks(void)
{
	const struct timespec while_ns = {.tv_nsec = 20000000};
	uint64_t ns, ticks;

	for (clockid_t id = 0; id <= CLOCK_MONOTONIC_RAW; id++)
		first_ns[id] = machine_ns(id);
	first_ticks = tpi_tsc();
	nanosleep(&while_ns, NULL);
	ticks = tpi_tsc() - first_ticks;
	ns = machine_ns(CLOCK_MONOTONIC_RAW) - first_ns[CLOCK_MONOTONIC_RAW];
	ns_per_tick = (ns << FRACTION) / ticks;
}

static uint64_t true_ns(clockid_t id)
{
	uint64_t ticks = tpi_tsc() - first_ticks;

	/* Clocks of threads and processes are the machine's. */
	if (!ns_per_tick || (id != CLOCK_REALTIME && id != CLOCK_MONOTONIC &&
			     id != CLOCK_MONOTONIC_RAW))
		return machine_ns(id);
	return first_ns[id] +
	       (uint64_t)((unsigned __int128)ticks * ns_per_tick >> FRACTION);
}

static int64_t slewed_ns(void)
{
	uint64_t from = tpi_load_acquire(&slew_from);

	if (!from)
		return 0;
	return (int64_t)(true_ns(CLOCK_MONOTONIC_RAW) - from) *
	       tpi_load_relaxed(&slew_ppm) / 1000000;
}

static int64_t shift_ns(clockid_t id)
{
	int64_t ns;

	if (id == CLOCK_MONOTONIC)
		return tpi_load_relaxed(&both) ? slewed_ns() : 0;
	if (id != CLOCK_REALTIME)
		return 0;
	ns = tpi_load_relaxed(&added_ns);
	if (step_reading && tpi_add_relaxed(&readings, 1) + 1 >= step_reading)
		ns += 2 * (int64_t)S;
	return ns + slewed_ns();
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	uint64_t ns = true_ns(id) + (uint64_t)shift_ns(id);

	t->tv_sec = (time_t)(ns / S);
	t->tv_nsec = (long)(ns % S);
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

/* ---- events and their times ------------------------------------------------------ */

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct {
	uint64_t stamp, ns;
} events[EVENTS];
static uint32_t event_count;

static void set_up(void)
{
	pin(0);
	rig_start(STAMPED);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
}

static void tear_down(void)
{
	tapio_producer_close(p);
	tapio_consumer_close(c);
	rig_stop();
}

/* By how much the time of an event that is emitted now is off; notes it. */
static uint64_t off(void)
{
	uint64_t before = now_ns(), after, ns;
	struct tapio_view v;

	ck_assert_int_eq(tapio_output(p, TAG, &before, sizeof(before)), 0);
	after = now_ns();
	ck_assert_uint_eq(look(c, &v, 1), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	ns = tapio_consumer_time_ns(c, v.time);
	if (event_count < EVENTS) {
		events[event_count].stamp = v.time;
		events[event_count++].ns = ns;
	}
	if (ns < before)
		return before - ns;
	return ns > after ? ns - after : 0;
}

/* The least of some: this thread may lose its CPU in each. */
static uint64_t least_off(void)
{
	uint64_t least = UINT64_MAX, now;

	for (int i = 0; i < 20; i++) {
		now = off();
		least = now < least ? now : least;
		nap_ms(1);
	}
	return least;
}

/* Waits until new events are right; fails when they never are. */
static void await_right(void)
{
	for (int i = 0; least_off() > ERROR_NS; i++) {
		ck_assert_int_lt(i, 200);
		nap_ms(20);
	}
}

/* The broker has looked at the clock again, by itself, so often. */
static void await_looks(uint32_t seconds)
{
	nap_ms(1000L * seconds + 200);
}

static void assert_no_event_has_moved(void)
{
	ck_assert_uint_gt(event_count, 0);
	for (uint32_t i = 0; i < event_count; i++)
		ck_assert_uint_eq(tapio_consumer_time_ns(c, events[i].stamp),
				  events[i].ns);
}

/* ---- tests ---------------------------------------------------------------------- */

/* In each of the first looks, and between them. */
START_TEST(a_clock_that_is_set_while_the_broker_starts_is_right_at_once)
{
	tpi_store_relaxed(&readings, 0);
	/* tapiod itself reads the clock, too, when it starts. */
	step_reading = 10 + (uint64_t)_i * READINGS / 2;
	set_up();
	ck_assert_uint_ge(tpi_load_relaxed(&readings), step_reading);
	if (step_reading > 3 * READINGS)
		await_right(); /* by the first look of the timer */
	ck_assert_uint_le(least_off(), ERROR_NS);
	await_looks(1);
	ck_assert_uint_le(least_off(), ERROR_NS);
	assert_no_event_has_moved();
	tear_down();
}
END_TEST

START_TEST(a_clock_that_is_set_later_is_right_soon_and_leaves_the_past)
{
	static const int64_t steps[] = {2, -2, 12 * 86400, -3600};
	uint64_t at, wrong;

	set_up();
	await_right();
	at = true_ns(CLOCK_MONOTONIC_RAW);
	tpi_store_relaxed(&added_ns, steps[_i] * (int64_t)S);
	wrong = off();
	/* It cannot know: a piece begins 20 ms after a look that has seen it. */
	if (true_ns(CLOCK_MONOTONIC_RAW) - at < 10000000)
		ck_assert_uint_gt(wrong, S);
	await_right();
	assert_no_event_has_moved();
	ck_assert_uint_eq(c->now->client.catalog.broker->clock_steps, 1);
	tear_down();
}
END_TEST

/* As chrony does it, up to 83,333 ppm; and CLOCK_REALTIME alone. */
START_TEST(a_slew_is_followed)
{
	static const int64_t ppm[] = {5000, 83333, -83333};

	tpi_store_relaxed(&both, _i % 2);
	set_up();
	await_right();
	tpi_store_relaxed(&slew_ppm, ppm[_i / 2]);
	tpi_store_release(&slew_from, true_ns(CLOCK_MONOTONIC_RAW));
	await_looks(1);
	await_right();
	/* And for good, not by chance. */
	for (int i = 0; i < 10; i++) {
		ck_assert_uint_le(least_off(), ERROR_NS);
		nap_ms(50);
	}
	assert_no_event_has_moved();
	ck_assert_uint_eq(c->now->client.catalog.broker->clock_steps, 0);
	tear_down();
}
END_TEST

/* A thousand looks at each event, over calibrations and a step. */
START_TEST(an_event_has_one_time)
{
	set_up();
	for (int i = 0; i < 100; i++) {
		(void)off();
		nap_ms(10);
		if (i == 50)
			tpi_store_relaxed(&added_ns, 7 * (int64_t)S);
		assert_no_event_has_moved();
	}
	await_right();
	assert_no_event_has_moved();
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client clock");
	TCase *t = tcase_create("clock");

	make_clocks();
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(
		t, a_clock_that_is_set_while_the_broker_starts_is_right_at_once,
		0, 8);
	tcase_add_loop_test(
		t, a_clock_that_is_set_later_is_right_soon_and_leaves_the_past,
		0, 4);
	tcase_add_loop_test(t, a_slew_is_followed, 0, 6);
	tcase_add_test(t, an_event_has_one_time);
	suite_add_tcase(suite, t);
	return check_run(suite);
}
