/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a reader looks away, and when it does not: client/consumer/pace.c against
 * producers that are simulated, by a clock that is simulated, too. So everything is
 * counted, and nothing is timed. At the end a consumer: what it finds in which way
 * comes to its pace.
 */
#include <pthread.h>

#include "client/consumer/pace.h"
#include "tests/unit/client_fixture.h"

/* One tick of a clock of 1 GHz is a nanosecond. */
#define GHZ_MULT  (UINT64_C(1) << 32)
#define GHZ_SHIFT 32

/*
 * A producer and a reader. An event takes the producer `event` ticks, and not less than
 * `gap` after the one before. The first look after a commit takes the line away, which costs
 * both `line` ticks. Others cost the reader LOOK alone.
 */
#define LOOK 5
struct world {
	struct tpi_pace pace;
	uint64_t event, gap, line;
	uint64_t burst, burst_gap; /* 0: no bursts */
	uint64_t now;
	uint64_t due; /* when the next event will be there */
	uint64_t published, read;
	uint64_t waits, waited_most; /* looks that came later than they could */
};

static struct world w;

static void begin(uint64_t event, uint64_t gap, uint64_t line)
{
	w = (struct world){
		.event = event, .gap = gap, .line = line, .now = 1000000};
	w.due = w.now;
	tpi_pace_clock(&w.pace, GHZ_MULT, GHZ_SHIFT);
}

static void publish(void)
{
	while (w.due <= w.now) {
		w.published++;
		w.due += w.event > w.gap ? w.event : w.gap;
		if (w.burst && w.published % w.burst == 0)
			w.due += w.burst_gap;
	}
}

static void wait_as_told(void)
{
	uint64_t until = w.pace.looked + w.pace.away;

	if (!w.pace.away || w.pace.behind || until <= w.now)
		return;
	w.waits++;
	if (until - w.now > w.waited_most)
		w.waited_most = until - w.now;
	w.now = until;
}

/* A call that waits for events. How many it finds. */
static uint64_t call(void)
{
	uint64_t n;

	wait_as_told();
	for (publish(); w.published == w.read; publish())
		w.now += LOOK;
	w.now += w.line;
	w.due += w.line;
	n = w.published - w.read;
	w.read = w.published;
	w.pace.fresh += n;
	tpi_pace_news(&w.pace, w.now);
	return n;
}

static uint64_t calls(unsigned int count)
{
	uint64_t n = 0;

	while (count--)
		n += call();
	return n;
}

/* As apart as CPUs of two sockets: alone it takes 10 ns an event, disturbed 210. */
static void begin_disturbed(void)
{
	begin(10, 0, 200);
}

START_TEST(a_producer_that_looks_disturb_is_left_alone)
{
	begin_disturbed();
	calls(1 + 2 * PACE_PROBE);
	ck_assert_int_eq(w.pace.phase, TPI_PACE_PACED);
	/* As many as were aimed at, or nearly. */
	ck_assert_uint_ge(calls(100), 100 * PACE_TARGET * 3 / 4);
	ck_assert_uint_eq(w.waits, 100 + PACE_PROBE);
}
END_TEST

/* The look that finds nothing, and the wait that follows, are part of it. Fails on
 * commit fddcec1, where one such look ended the streak. */
START_TEST(looks_that_find_nothing_are_no_reason_to_look_at_will)
{
	begin(150, 0, 100); /* at will every other look is in vain */
	w.pace.phase = TPI_PACE_PACED;
	w.pace.looks = PACE_TERM;
	w.pace.away = 90;
	calls(PACE_TERM - 1);
	ck_assert_int_eq(w.pace.phase, TPI_PACE_PACED);
}
END_TEST

/* 10 M/s at equal distances: no faster, whatever we do. */
START_TEST(a_producer_with_a_rate_of_its_own_is_looked_at_at_will)
{
	unsigned int rests = 0, rest;

	begin(10, 100, 10);
	calls(200000);
	for (rest = PACE_REST_LEAST; rest < PACE_REST_MOST; rest *= 2)
		rests++;
	ck_assert_uint_ge(w.waits, PACE_PROBE);
	/* Doubled each time, so this many trials, and three of the longest rest. */
	ck_assert_uint_le(w.waits, (rests + 3) * PACE_PROBE);
	ck_assert_uint_eq(w.pace.rest, PACE_REST_MOST);
}
END_TEST

START_TEST(events_that_are_far_apart_are_never_late)
{
	begin(10, PACE_MOST_NS + 20, 10);
	calls(5000);
	ck_assert_uint_eq(w.waits, 0);
	begin(10, PACE_MOST_NS - 50, 10); /* the other side of the limit */
	calls(5000);
	ck_assert_uint_gt(w.waits, 0);
}
END_TEST

START_TEST(a_reader_that_finds_enough_is_never_late)
{
	begin_disturbed();
	for (int i = 0; i < 1000; i++) {
		w.now += PACE_ENOUGH * w.event; /* its own work */
		calls(1);
	}
	ck_assert_uint_eq(w.waits, 0);
}
END_TEST

START_TEST(no_look_is_later_than_a_microsecond)
{
	/* 1, 2.1 and 4 GHz: the same microsecond. */
	static const struct {
		uint64_t mult, ticks;
	} clocks[] = {
		{GHZ_MULT, PACE_MOST_NS},
		{GHZ_MULT * 10 / 21, PACE_MOST_NS * 21 / 10},
		{GHZ_MULT / 4, PACE_MOST_NS * 4},
	};

	for (int i = 0; i < 3; i++) {
		begin(20, 0, 300);
		tpi_pace_clock(&w.pace, clocks[i].mult, GHZ_SHIFT);
		ck_assert_uint_le(w.pace.most, clocks[i].ticks);
		ck_assert_uint_ge(w.pace.most + 1, clocks[i].ticks);
		calls(10000);
		ck_assert_uint_gt(w.waits, 0);
		ck_assert_uint_le(w.waited_most, clocks[i].ticks);
	}
}
END_TEST

START_TEST(a_clock_that_runs_faster_than_was_thought_makes_no_look_later)
{
	begin(50, 0, 200);
	calls(3 * PACE_PROBE);
	ck_assert_uint_eq(w.pace.away, PACE_MOST_NS);
	tpi_pace_clock(&w.pace, GHZ_MULT * 2, GHZ_SHIFT);
	ck_assert_uint_eq(w.pace.away, PACE_MOST_NS / 2);
}
END_TEST

START_TEST(without_a_clock_looks_are_at_will)
{
	static const struct {
		uint64_t mult;
		uint32_t shift;
	} none[] = {{0, 32}, {GHZ_MULT, 64}, {1, 63}};

	for (int i = 0; i < 3; i++) {
		begin_disturbed();
		tpi_pace_clock(&w.pace, none[i].mult, none[i].shift);
		ck_assert_uint_eq(w.pace.most, 0);
		calls(1000);
		ck_assert_uint_eq(w.waits, 0);
	}
}
END_TEST

/* The time between two bursts says nothing about the next one. */
START_TEST(a_pause_between_bursts_is_no_reason_to_begin_again)
{
	uint64_t until, looks = 0;

	begin_disturbed();
	w.burst = 1000;
	w.burst_gap = 100000;
	while (w.read < 2 * w.burst)
		call();
	ck_assert_int_eq(w.pace.phase, TPI_PACE_PACED);
	/* Three bursts, of which each would be 1000 looks or so at will. */
	for (until = w.read + 3 * w.burst; w.read < until; looks++) {
		call();
		ck_assert_int_eq(w.pace.phase, TPI_PACE_PACED);
	}
	ck_assert_uint_lt(looks, 60);
}
END_TEST

/* Bursts of 200 events are five looks or so. */
START_TEST(short_bursts_are_not_late)
{
	begin_disturbed();
	calls(3 * PACE_PROBE);
	ck_assert_int_eq(w.pace.phase, TPI_PACE_PACED);
	w.burst = 200;
	w.burst_gap = 100000;
	for (int i = 0; i < 500 && w.pace.phase == TPI_PACE_PACED; i++)
		call();
	ck_assert_int_eq(w.pace.phase, TPI_PACE_BARE);
}
END_TEST

/* A burst may end in the middle of a trial. */
START_TEST(a_pause_in_a_trial_is_no_failure)
{
	begin_disturbed();
	calls(PACE_PROBE + 2);
	ck_assert_int_eq(w.pace.phase, TPI_PACE_TRIAL);
	w.due += 1000000;
	call();
	ck_assert_int_eq(w.pace.phase, TPI_PACE_BARE);
	ck_assert_uint_eq(w.pace.rest, 0);
}
END_TEST

START_TEST(many_pauses_end_it)
{
	begin_disturbed();
	calls(3 * PACE_PROBE);
	ck_assert_int_eq(w.pace.phase, TPI_PACE_PACED);
	w.gap = 3000;
	calls(PACE_PROBE + 1);
	ck_assert_int_eq(w.pace.phase, TPI_PACE_BARE);
	ck_assert_uint_eq(w.pace.away, 0);
}
END_TEST

/* A producer that has got a rate of its own in the meantime, below a microsecond. */
START_TEST(a_success_does_not_last_for_ever)
{
	begin_disturbed();
	calls(3 * PACE_PROBE);
	ck_assert_int_eq(w.pace.phase, TPI_PACE_PACED);
	w.gap = 500;
	w.line = 10;
	calls(PACE_TERM + 2 * PACE_PROBE);
	ck_assert_int_eq(w.pace.phase, TPI_PACE_REST);
	ck_assert_uint_eq(w.pace.away, 0);
	ck_assert_uint_eq(w.pace.rest, PACE_REST_LEAST);
}
END_TEST

START_TEST(a_success_makes_rests_short_again)
{
	begin(10, 100, 10);
	while (w.pace.rest < 8 * PACE_REST_LEAST)
		call();
	w.gap = 0;
	w.line = 200;
	while (w.pace.phase != TPI_PACE_PACED)
		call();
	ck_assert_uint_eq(w.pace.rest, 0);
}
END_TEST

/* ---- looking away itself ----------------------------------------------------------- */

START_TEST(it_looks_away_as_long_as_it_was_told)
{
	struct tpi_pace pace = {.away = 1000000};

	pace.looked = tpi_tsc();
	tpi_pace_look_away(&pace);
	ck_assert_uint_ge(tpi_tsc() - pace.looked, pace.away);
}
END_TEST

/* For ever, if it did. */
START_TEST(it_does_not_look_away_while_there_is_more)
{
	struct tpi_pace pace = {.away = UINT64_MAX / 2, .more = true};

	pace.looked = tpi_tsc();
	tpi_pace_note(&pace, true);
	tpi_pace_look_away(&pace);
	ck_assert(pace.behind);
	/* Views were left over, or nothing was: the next look is one for news. */
	tpi_pace_note(&pace, false);
	ck_assert(!pace.behind);
	pace.more = false;
	tpi_pace_note(&pace, true);
	ck_assert(!pace.behind);
}
END_TEST

/* ---- a consumer -------------------------------------------------------------------- */

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct tapio_view views[64];

static void set_up(void)
{
	rig_start(RIG_CONFIG);
	pin(0);
	p = rig_producer();
}

static void tear_down(void)
{
	tapio_consumer_close(c);
	tapio_producer_close(p);
	c = NULL;
	rig_stop();
}

static void emit(int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

/* From now on each note counts down. */
static void count_notes(void)
{
	c->now->pace.phase = TPI_PACE_REST;
	c->now->pace.looks = 1000;
}

static uint32_t notes(void)
{
	return 1000 - c->now->pace.looks;
}

static void *emit_when_asleep(void *arg)
{
	/* Relaxed: a count. It announces itself right before its first sleep. */
	while (!tpi_load_relaxed(&c->now->control->armed))
		nap_ms(1);
	emit(1);
	return arg;
}

START_TEST(what_was_waited_for_counts)
{
	pthread_t thread;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	look(c, views, 64);
	count_notes();
	ck_assert_int_eq(pthread_create(&thread, NULL, emit_when_asleep, NULL),
			 0);
	ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER), 1);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(notes(), 1);
	emit(1);
	ck_assert_uint_eq(look(c, views, 64), 1);
	ck_assert_uint_eq(notes(), 2);
	ck_assert_uint_eq(look(c, views, 64), 0);
	ck_assert_uint_eq(notes(), 2);
}
END_TEST

START_TEST(what_a_watermark_has_waited_for_counts)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = 16,
	};

	c = rig_open(&options);
	look(c, views, 64);
	count_notes();
	emit(16);
	ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER), 16);
	ck_assert_uint_eq(notes(), 1);
}
END_TEST

/* Found by the look that arms the descriptor, or by those before it. */
START_TEST(what_is_read_by_the_descriptor_counts)
{
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_ge(tapio_fd(c), 0);
	look(c, views, 64);
	count_notes();
	emit(3);
	ck_assert_uint_eq(look(c, views, 64), 3);
	ck_assert_uint_eq(notes(), 1);
}
END_TEST

static void read_one_by_one(uint32_t policy)
{
	c = rig_consumer("g", policy);
	look(c, views, 64);
	count_notes();
	emit(3);
	for (int left = 2; left >= 0; left--) {
		ck_assert_uint_eq(look(c, views, 1), 1);
		ck_assert_int_eq(c->now->pace.behind, left > 0);
	}
	/* All three were seen by the first look. */
	ck_assert_uint_eq(notes(), 1);
}

START_TEST(an_event_counts_once)
{
	read_one_by_one(TAPIO_GROUP_LOSSLESS);
}
END_TEST

START_TEST(an_event_that_may_be_overwritten_counts_once)
{
	read_one_by_one(TAPIO_GROUP_LOSSY);
}
END_TEST

START_TEST(a_consumer_knows_the_clock)
{
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	/* Each survey looks whether the broker has measured it. */
	while (!c->now->pace.most) {
		look(c, views, 64);
		nap_ms(1);
	}
	ck_assert_uint_lt(c->now->pace.most, UINT32_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pace");
	TCase *steps = tcase_create("steps"), *tc = tcase_create("consumer");

	tcase_add_test(steps, a_producer_that_looks_disturb_is_left_alone);
	tcase_add_test(steps,
		       looks_that_find_nothing_are_no_reason_to_look_at_will);
	tcase_add_test(steps,
		       a_producer_with_a_rate_of_its_own_is_looked_at_at_will);
	tcase_add_test(steps, events_that_are_far_apart_are_never_late);
	tcase_add_test(steps, a_reader_that_finds_enough_is_never_late);
	tcase_add_test(steps, no_look_is_later_than_a_microsecond);
	tcase_add_test(
		steps,
		a_clock_that_runs_faster_than_was_thought_makes_no_look_later);
	tcase_add_test(steps, without_a_clock_looks_are_at_will);
	tcase_add_test(steps,
		       a_pause_between_bursts_is_no_reason_to_begin_again);
	tcase_add_test(steps, short_bursts_are_not_late);
	tcase_add_test(steps, a_pause_in_a_trial_is_no_failure);
	tcase_add_test(steps, many_pauses_end_it);
	tcase_add_test(steps, a_success_does_not_last_for_ever);
	tcase_add_test(steps, a_success_makes_rests_short_again);
	tcase_add_test(steps, it_looks_away_as_long_as_it_was_told);
	tcase_add_test(steps, it_does_not_look_away_while_there_is_more);
	suite_add_tcase(s, steps);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, what_was_waited_for_counts);
	tcase_add_test(tc, what_a_watermark_has_waited_for_counts);
	tcase_add_test(tc, what_is_read_by_the_descriptor_counts);
	tcase_add_test(tc, an_event_counts_once);
	tcase_add_test(tc, an_event_that_may_be_overwritten_counts_once);
	tcase_add_test(tc, a_consumer_knows_the_clock);
	suite_add_tcase(s, tc);
	return rig_run(s);
}
