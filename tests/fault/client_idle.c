/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a consumer waits: its belief in the time at which its bell was rung (N5 of
 * lib/lane/wake.h), how often it looks, and what it learns from a wait (spin.h). Sleeps have
 * no bound, and windows are long: who sleeps too early, or does not believe what it should,
 * hangs. Nothing is timed.
 *
 * On commit 58c1b4f2 each sleep waits for the end of a window that is over already.
 */
#include <limits.h>

#include "tests/fault/at_point.h"
#include "tests/unit/client_fixture.h"

#define MS          INT64_C(1000000)
#define UNIT        (INT64_C(1) << TPI_BEGUN_SHIFT)
#define LONG_WINDOW (60000 * MS)

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct tapio_view views[64];

static void set_up(void)
{
	tpi_sleep_bound_ns = TPI_FOREVER_NS;
	rig_start(RIG_CONFIG);
	pin(0);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
}

static void tear_down(void)
{
	tpi_testpoint_set(NULL);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	c = NULL;
	rig_stop();
	tpi_sleep_bound_ns = 0;
	tpi_ring_apart_ns = 0;
}

static void emit(void)
{
	ck_assert_int_eq(tapio_output(p, TAG, "1234", 4), 0);
}

/* Waits without end, and releases what has come. */
static void take(int count)
{
	ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER), count);
	ck_assert_int_eq(tapio_release(c), 0);
}

static struct tapio_shm_doorbells *doorbells(void)
{
	return p->now->client.channel.doorbells;
}

static struct tapio_shm_doorbell *bell(void)
{
	return &doorbells()->slots[c->now->client.granted.group_slot];
}

static uint64_t word_of(uint32_t number, int64_t ns)
{
	return (uint64_t)ns >> TPI_BEGUN_SHIFT << 32 | number;
}

static void ring(void)
{
	tpi_wake_group(doorbells(), c->now->client.granted.group_slot,
		       tpi_load_relaxed(&c->now->control->armed), true);
}

/* ---- N5: a ring says when it began --------------------------------------------------- */

START_TEST(a_ring_says_which_it_was_and_when_it_began)
{
	for (uint32_t i = 1; i < 4; i++) {
		int64_t before = tpi_now_ns(), after;
		uint32_t began;

		ring();
		after = tpi_now_ns();
		began = (uint32_t)(bell()->begun >> 32);
		ck_assert_uint_eq((uint32_t)bell()->begun, bell()->doorbell);
		ck_assert_int_ge((int32_t)(began - (uint32_t)(before >>
							      TPI_BEGUN_SHIFT)),
				 0);
		ck_assert_int_le(
			(int32_t)(began - (uint32_t)(after >> TPI_BEGUN_SHIFT)),
			0);
	}
}
END_TEST

static int64_t rung_between;

static void ring_later(void)
{
	struct timespec nap = {.tv_nsec = 50 * MS};

	nanosleep(&nap, NULL);
	rung_between = tpi_now_ns();
	ring();
}

/* Its time is not before that of a ring that came between. */
START_TEST(a_ring_that_was_overtaken_takes_its_time_anew)
{
	uint32_t number = bell()->doorbell;
	int32_t after;

	at("ring.wanted", 1, ring_later);
	ring();
	ck_assert_uint_eq(bell()->doorbell, number + 2);
	ck_assert_uint_eq((uint32_t)bell()->begun, number + 2);
	after = (int32_t)((uint32_t)(bell()->begun >> 32) -
			  (uint32_t)(rung_between >> TPI_BEGUN_SHIFT));
	ck_assert_int_ge(after, 0);
}
END_TEST

static void move_only(void)
{
	tpi_add_relaxed(&bell()->doorbell, 1);
}

/* Another process moves the bell all the time: it is rung all the same, once. */
START_TEST(a_bell_that_moves_all_the_time_is_rung)
{
	uint32_t armed, number = bell()->doorbell;

	tpi_announce(c->now);
	armed = c->now->control->armed;
	at("ring.wanted", 1000, move_only);
	emit();
	ck_assert_uint_eq(bell()->doorbell - number,
			  1 + 1000 - (uint32_t)at_left);
	ck_assert_int_gt(at_left, 900);
	ck_assert_uint_ne((uint32_t)bell()->begun, bell()->doorbell);
	ck_assert_uint_eq(
		doorbells()->answered[c->now->client.granted.group_slot],
		armed);
}
END_TEST

/* ---- N5: when that is believed ---------------------------------------------------------- */

/* Of a bell 7 that began so long ago, and since then. */
static int64_t begun_at(int64_t now, int64_t ago, int64_t since_ago)
{
	bell()->begun = word_of(7, now - ago);
	return now - tpi_wake_begun(bell(), 7, now - since_ago, now);
}

START_TEST(the_time_of_a_ring_is_not_made_earlier)
{
	/* Also where the units wrap, which they do each 73 minutes. */
	static const int64_t nows[] = {5000 * MS, INT64_C(1) << 42,
				       (INT64_C(1) << 42) + 3 * UNIT,
				       INT64_C(987654321987654)};

	for (int i = 0; i < 4; i++)
		for (int64_t ago = 0; ago < nows[i]; ago = ago * 2 + 100) {
			int64_t got = begun_at(nows[i], ago, INT64_MAX / 2);

			ck_assert_int_le(got, ago);
			ck_assert_int_ge(got, 0);
			if (ago > 2 * UNIT && ago < (UNIT << 31) - UNIT)
				ck_assert_int_ge(got, ago - 2 * UNIT);
		}
}
END_TEST

START_TEST(what_does_not_belong_to_the_bell_is_not_believed)
{
	const int64_t now = 5000 * MS;

	ck_assert_int_gt(begun_at(now, 10 * MS, 20 * MS), 0);
	/* By a clock that is slower: before we announced ourselves. */
	ck_assert_int_eq(begun_at(now, 10 * MS, 9 * MS), 0);
	/* By one that is faster. */
	ck_assert_int_eq(begun_at(now, -10 * MS, 20 * MS), 0);
	/* Of another ring. */
	bell()->begun = word_of(6, now - 10 * MS);
	ck_assert_int_eq(tpi_wake_begun(bell(), 7, 0, now), now);
	bell()->begun = word_of(8, now - 10 * MS);
	ck_assert_int_eq(tpi_wake_begun(bell(), 7, 0, now), now);
	/* Of none, in memory of layout 0.5. */
	bell()->begun = 0;
	ck_assert_int_eq(tpi_wake_begun(bell(), 7, 0, now), now);
}
END_TEST

/* How long the bell must be heard yet, by a record whose last bell was another one. */
static int64_t unsettled(int64_t ago, bool made)
{
	int64_t now = tpi_now_ns();
	struct tpi_call call = {.made = made,
				.heard = bell()->doorbell - 1,
				.made_ns = now - 2 * LONG_WINDOW};

	bell()->begun = word_of(bell()->doorbell, now - ago);
	return tpi_call_unsettled(c->now, &call, bell()->doorbell, now);
}

START_TEST(a_bell_that_was_rung_before_the_window_is_settled)
{
	ring();
	tpi_ring_apart_ns = LONG_WINDOW;
	ck_assert_int_le(unsettled(LONG_WINDOW + MS, true), 0);
	/* Not in the window, nor just behind it, by clocks that differ. */
	ck_assert_int_gt(unsettled(LONG_WINDOW, true), 0);
	ck_assert_int_gt(unsettled(LONG_WINDOW / 2, true), 0);
	/* Not before we have announced ourselves once. */
	ck_assert_int_eq(unsettled(LONG_WINDOW + MS, false),
			 LONG_WINDOW + 2000);
}
END_TEST

static void ring_long_ago(void)
{
	ring();
	bell()->begun =
		word_of(bell()->doorbell, tpi_now_ns() - LONG_WINDOW - MS);
	tpi_ring_apart_ns = LONG_WINDOW;
}

/* It is woken for nothing by a ring of long ago: it sleeps again at once. Else it hangs. */
START_TEST(a_sleeper_that_was_woken_late_need_not_wait)
{
	tpi_call(c->now, &c->now->call, tpi_wake_listen(c->now->doorbell));
	c->now->call.made_ns -= 2 * LONG_WINDOW;
	at("sleep.looked", 1, ring_long_ago);
	ck_assert_int_eq(tapio_poll(c, views, 64, 100 * MS), 0);
	ck_assert_uint_eq(c->now->sleeps, 2);
	ck_assert_uint_eq(c->now->call.heard, bell()->doorbell);
}
END_TEST

/* ---- how often it looks ------------------------------------------------------------------ */

/* The looks of one wait in vain. */
static uint32_t looks(int64_t timeout_ns)
{
	uint32_t before = c->now->rounds;

	ck_assert_int_eq(tapio_poll(c, views, 64, timeout_ns), 0);
	return c->now->rounds - before;
}

/* Without a spin a wait looks a few times. */
#define FEW 30

/* With one it looks as often as it can: but another program may have the CPU. */
static bool spins_now(void)
{
	for (int i = 0; i < 100; i++) {
		int64_t gain = c->now->spin.gain;

		if (looks(6 * MS) >= FEW)
			return true;
		c->now->spin.gain = gain;
	}
	return false;
}

START_TEST(a_consumer_that_waits_long_goes_to_sleep_at_once)
{
	c->now->spin.ns = 5 * MS; /* to be told from none */
	c->now->spin.gain = 5 * MS;
	ck_assert(spins_now());
	for (int i = 0; i < 8; i++)
		looks(6 * MS);
	ck_assert_int_lt(c->now->spin.gain, 0);
	ck_assert_uint_lt(looks(6 * MS), FEW);
}
END_TEST

START_TEST(a_consumer_that_was_told_to_spin_does_it_each_time)
{
	struct tapio_consumer_options options = {
		.group = "h",
		.policy = TAPIO_GROUP_LOSSLESS,
		.spin_ns = 5 * MS,
	};

	tapio_consumer_close(c);
	c = rig_open(&options);
	c->now->spin.gain = -5 * MS;
	ck_assert(spins_now());
}
END_TEST

/* That no event came in a time that was too short says nothing. */
START_TEST(waits_that_were_too_short_do_not_count)
{
	c->now->spin.ns = 100000 * MS;
	c->now->spin.gain = 1;
	looks(MS);
	looks(MS);
	ck_assert_int_eq(c->now->spin.gain, 1);
	c->now->spin.ns = MS;
	looks(2 * MS);
	ck_assert_int_lt(c->now->spin.gain, 0);
}
END_TEST

static void emit_and_sleep_in(void)
{
	struct timespec nap = {.tv_nsec = 300 * MS};

	emit();
	nanosleep(&nap, NULL);
}

/* It is woken 300 ms after the event: what counts is when the bell was rung. */
START_TEST(a_sleeper_learns_when_its_event_came)
{
	c->now->spin.ns = 200 * MS;
	c->now->spin.gain = -1;
	tpi_call(c->now, &c->now->call, tpi_wake_listen(c->now->doorbell));
	at("sleep.looked", 1, emit_and_sleep_in);
	take(1);
	ck_assert_int_eq(at_left, 0);
	ck_assert_int_gt(c->now->spin.gain, 0);
}
END_TEST

/* It is woken when the window is over. */
static void emit_and_wait(void)
{
	struct timespec nap = {.tv_nsec = MS};

	emit();
	nanosleep(&nap, NULL);
}

/* S1 to S5, with one announcement and one sleep for each event, and few looks. */
START_TEST(an_event_after_a_long_wait_costs_one_sleep)
{
	uint32_t armed, rounds;
	uint64_t sleeps;

	for (int i = 0; i < 3; i++) {
		struct timespec nap = {.tv_nsec = MS};

		nanosleep(&nap, NULL); /* no window is open */
		armed = c->now->control->armed;
		rounds = c->now->rounds;
		sleeps = c->now->sleeps;
		c->now->spin.gain = -SPIN_NS;
		at("sleep.looked", 1, emit_and_wait);
		take(1);
		ck_assert_uint_eq(c->now->sleeps - sleeps, 1);
		ck_assert_uint_eq(c->now->control->armed - armed, 1);
		if (i) /* the first bell has to be heard for a while */
			ck_assert_uint_le(c->now->rounds - rounds, FEW);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("client_idle");
	TCase *tc = tcase_create("bell"), *looking = tcase_create("looks");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_ring_says_which_it_was_and_when_it_began);
	tcase_add_test(tc, a_ring_that_was_overtaken_takes_its_time_anew);
	tcase_add_test(tc, a_bell_that_moves_all_the_time_is_rung);
	tcase_add_test(tc, the_time_of_a_ring_is_not_made_earlier);
	tcase_add_test(tc, what_does_not_belong_to_the_bell_is_not_believed);
	tcase_add_test(tc, a_bell_that_was_rung_before_the_window_is_settled);
	tcase_add_test(tc, a_sleeper_that_was_woken_late_need_not_wait);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(looking, set_up, tear_down);
	tcase_set_timeout(looking, 60);
	tcase_add_test(looking,
		       a_consumer_that_waits_long_goes_to_sleep_at_once);
	tcase_add_test(looking,
		       a_consumer_that_was_told_to_spin_does_it_each_time);
	tcase_add_test(looking, waits_that_were_too_short_do_not_count);
	tcase_add_test(looking, a_sleeper_learns_when_its_event_came);
	tcase_add_test(looking, an_event_after_a_long_wait_costs_one_sleep);
	suite_add_tcase(s, looking);
	return rig_run(s);
}
