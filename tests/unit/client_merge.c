/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order across lanes: consumers and observers that merge hand events out in the
 * order of their stamps, wait as long as they were told and no longer, and count
 * what comes later than that.
 *
 * Producers work on side lanes of their own, so that there are as many lanes
 * whatever the number of CPUs.
 */
#include <stdio.h>
#include <poll.h>
#include <pthread.h>

#include "tests/unit/client_fixture.h"

#define LANES 6
#define MS    UINT64_C(1000000)
/* Tests look at an event before it is so old, on a busy machine, too. */
#define WAIT_MS (CHECK_SANITIZED ? 500 : 50)
#define WAIT_NS (WAIT_MS * MS)

static struct tapio_producer *producers[LANES];
static struct tapio_consumer *c;
static struct tapio_observer *o;

static void set_up_stamped(const char *stamp, unsigned int blocks)
{
	char config[512];

	snprintf(config, sizeof(config),
		 "channel t { stamp = \"%s\"\n class main { block = 64\n"
		 "blocks = 64\n side_blocks = %u\n side_lanes = 8 } }\n",
		 stamp, blocks);
	rig_start(config);
	for (int i = 0; i < LANES; i++) {
		producers[i] = rig_producer();
		producers[i]->now->emit.cpus = 0;
	}
}

static void set_up(void)
{
	set_up_stamped("tsc", 1024);
}

static void tear_down(void)
{
	for (int i = 0; i < LANES; i++)
		tapio_producer_close(producers[i]);
	tapio_consumer_close(c);
	tapio_observer_close(o);
	c = NULL;
	o = NULL;
	rig_stop();
}

static void open_consumer(uint64_t merge_ns)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.merge_ns = merge_ns,
	};

	c = rig_open(&options);
}

static void emit(int lane, uint32_t number)
{
	ck_assert_int_eq(
		tapio_output(producers[lane], TAG, &number, sizeof(number)), 0);
}

/* Emitted one after the other, each on another lane. */
static void emit_around(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		emit((int)(i * 5 % LANES), i);
}

static uint32_t number_of(const struct tapio_view *view)
{
	uint32_t number;

	ck_assert_uint_eq(view->flags, 0);
	ck_assert_uint_eq(view->length, sizeof(number));
	memcpy(&number, view->data, sizeof(number));
	return number;
}

/* Polls `per` at a time until `count` came. They are 0, 1, .. in this order. */
static void expect_in_order(uint32_t count, unsigned int per)
{
	struct tapio_view views[64];
	uint32_t next = 0;
	int n;

	while (next < count) {
		n = c ? tapio_poll(c, views, per, 10000 * (int64_t)MS)
		      : tapio_observe(o, views, per, 10000 * (int64_t)MS);
		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++)
			ck_assert_uint_eq(number_of(&views[i]), next++);
		if (c)
			ck_assert_int_eq(tapio_release(c), 0);
	}
}

START_TEST(a_consumer_gets_events_of_all_lanes_in_order)
{
	open_consumer(WAIT_NS);
	emit_around(200);
	expect_in_order(200, _i ? 64 : 3);
	ck_assert_uint_eq(group_stats(c).late, 0);
	assert_ledger(c, 200, 0, 0);
}
END_TEST

/* Without it the same events come lane by lane: the test above can fail. */
START_TEST(a_consumer_that_does_not_merge_gets_them_lane_by_lane)
{
	struct tapio_view views[64];
	uint32_t breaks = 0;

	open_consumer(0);
	emit_around(60);
	ck_assert_uint_eq(look(c, views, 64), 60);
	for (int i = 1; i < 60; i++)
		breaks += number_of(&views[i]) < number_of(&views[i - 1]);
	ck_assert_uint_eq(breaks, LANES - 1);
}
END_TEST

START_TEST(an_observer_gets_events_of_all_lanes_in_order)
{
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.start = _i ? TAPIO_START_OLDEST : TAPIO_START_NEWEST,
		.merge_ns = WAIT_NS,
	};
	struct tapio_observer_stats stats = {.size = sizeof(stats)};

	if (_i)
		emit_around(200);
	ck_assert_int_eq(tapio_observer_open(&o, "t", &options), 0);
	if (!_i)
		emit_around(200);
	expect_in_order(200, 7);
	ck_assert_int_eq(tapio_observer_stats_read(o, &stats), 0);
	ck_assert_uint_eq(stats.late, 0);
	ck_assert_uint_eq(stats.seen, 200);
}
END_TEST

START_TEST(an_event_waits_its_time_and_no_longer)
{
	struct tapio_view views[4];
	uint64_t sent_ns, now_ns;
	struct timespec t;

	open_consumer(WAIT_NS);
	emit(0, 0);
	ck_assert_uint_eq(look(c, views, 4), 0);
	ck_assert_int_eq(tapio_poll(c, views, 4, TAPIO_FOREVER), 1);
	clock_gettime(CLOCK_REALTIME, &t);
	now_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	sent_ns = tapio_consumer_time_ns(c, views[0].time);
	/* A calibration of this young broker may be off by some percent. */
	ck_assert_uint_ge(now_ns - sent_ns, WAIT_NS / 2);
	ck_assert_int_eq(tapio_release(c), 0);
}
END_TEST

/* While an event waits for its time, producers need not ring. */
START_TEST(producers_do_not_ring_for_what_must_wait_anyway)
{
	struct tapio_view views[64];
	uint32_t before, rings;

	open_consumer(WAIT_NS);
	emit(0, 0);
	ck_assert_uint_eq(look(c, views, 4), 0);
	before = *c->now->doorbell;
	ck_assert_int_eq(tapio_poll(c, views, 4, 10 * (int64_t)MS), 0);
	emit(1, 1);
	rings = *c->now->doorbell - before;
	ck_assert_uint_eq(rings, 0);
	ck_assert_int_eq(tapio_poll(c, views, 1, TAPIO_FOREVER), 1);
	ck_assert_uint_eq(number_of(&views[0]), 0);
}
END_TEST

/* A stamp that lies before what was handed out already. */
START_TEST(what_comes_too_late_is_delivered_and_counted)
{
	struct tapio_view views[8];
	const struct tpi_lane *lane;

	open_consumer(MS);
	emit(0, 0);
	ck_assert_int_eq(tapio_poll(c, views, 8, TAPIO_FOREVER), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	emit(1, 1);
	emit(2, 2);
	/* As if its producer had slept between the stamp and the commit. */
	lane = producers[1]->now->sides.lane[0];
	lane->time[(TAPIO_STATE_TAIL(tpi_lane_peek(lane)) - 1) & lane->mask] =
		views[0].time - 1;
	expect_in_order(0, 8);
	ck_assert_int_eq(tapio_poll(c, views, 1, TAPIO_FOREVER), 1);
	ck_assert_uint_eq(number_of(&views[0]), 1);
	ck_assert_int_eq(tapio_poll(c, views, 1, TAPIO_FOREVER), 1);
	ck_assert_uint_eq(number_of(&views[0]), 2);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(group_stats(c).late, 1);
	assert_ledger(c, 3, 0, 0);
}
END_TEST

/* Order is not worth a loss: a lane that fills up is read. */
START_TEST(a_lane_that_fills_up_does_not_wait)
{
	struct tapio_view views[64];

	open_consumer(TAPIO_MERGE_NS_MAX);
	for (uint32_t i = 0; i < 256; i++)
		emit(0, i);
	ck_assert_uint_eq(look(c, views, 64), 0);
	emit(0, 256); /* of 1024 */
	ck_assert_uint_eq(look(c, views, 64), 64);
	ck_assert_int_eq(tapio_release(c), 0);
}
END_TEST

START_TEST(filtered_events_and_discards_do_not_hold_the_others)
{
	static const uint16_t types[] = {100};
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.merge_ns = WAIT_NS,
		.types = types,
		.type_count = 1,
	};
	struct tapio_reservation r;
	uint32_t x = 0;

	c = rig_open(&options);
	for (uint32_t i = 0; i < 100; i++) {
		int lane = (int)(i % LANES);

		ck_assert_int_eq(tapio_output(producers[lane],
					      TAPIO_TAG(200, 5), &x, sizeof(x)),
				 0);
		if (i % 7 == 0) {
			ck_assert_int_eq(
				tapio_reserve(producers[lane], TAG, 8, &r), 0);
			ck_assert_int_eq(tapio_discard(producers[lane], &r), 0);
		}
		emit(lane, i);
	}
	expect_in_order(100, 9);
	/* Skipped events behind the last one are ripe, too. */
	nap_ms(WAIT_MS + 10);
	drain(c);
	assert_ledger(c, 100, 100 + 15, 0);
}
END_TEST

START_TEST(a_descriptor_becomes_readable_when_events_are_ripe)
{
	struct tapio_view views[8];
	struct pollfd p = {.events = POLLIN};
	uint32_t looks = 0, got = 0;

	open_consumer(WAIT_NS);
	p.fd = tapio_fd(c);
	ck_assert_int_ge(p.fd, 0);
	ck_assert_uint_eq(look(c, views, 8), 0); /* readable at first */
	emit_around(6);
	while (got < 6) {
		ck_assert_int_eq(poll(&p, 1, 60000), 1);
		got += look(c, views, 8);
		looks++;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(group_stats(c).late, 0);
	/* It does not stay readable all the time, so no loop spins. */
	ck_assert_uint_lt(looks, 50);
}
END_TEST

/* ---- clocks that are wrong --------------------------------------------------------- */

/* The stamp of the newest event on a producer's lane, as if its clock had said so. */
static void stamp_newest(int lane, uint64_t time)
{
	const struct tpi_lane *l = producers[lane]->now->sides.lane[0];

	l->time[(TAPIO_STATE_TAIL(tpi_lane_peek(l)) - 1) & l->mask] = time;
}

static uint64_t newest_stamp(int lane)
{
	const struct tpi_lane *l = producers[lane]->now->sides.lane[0];

	return l->time[(TAPIO_STATE_TAIL(tpi_lane_peek(l)) - 1) & l->mask];
}

/* An hour ahead, in ticks of the TSC (whatever its rate) or in nanoseconds. */
static uint64_t an_hour(void)
{
	return 3600 * UINT64_C(4000000000);
}

/*
 * Fails on fddcec1, for consumers and observers: an event whose stamp lay an hour
 * ahead waited an hour, and all that came after it on its lane waited with it.
 */
START_TEST(a_stamp_from_the_future_stops_nothing)
{
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.merge_ns = WAIT_NS,
	};
	struct tapio_view views[64];
	bool seen[61] = {false};
	int n, got = 0;

	if (_i)
		ck_assert_int_eq(tapio_observer_open(&o, "t", &options), 0);
	else
		open_consumer(WAIT_NS);
	emit(0, 0);
	stamp_newest(0, newest_stamp(0) + an_hour());
	for (uint32_t i = 1; i < 61; i++)
		emit((int)(i % 2), i);
	while (got < 61) {
		n = c ? tapio_poll(c, views, 64, 10000 * (int64_t)MS)
		      : tapio_observe(o, views, 64, 10000 * (int64_t)MS);
		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++)
			seen[number_of(&views[i])] = true;
		got += n;
		if (c)
			ck_assert_int_eq(tapio_release(c), 0);
	}
	for (int i = 0; i < 61; i++)
		ck_assert(seen[i]);
}
END_TEST

/* A clock that runs ahead all the time: each event waits once, not one by one. */
START_TEST(a_lane_whose_clock_is_ahead_waits_once)
{
	struct tapio_view views[64];

	open_consumer(WAIT_NS);
	for (uint32_t i = 0; i < 60; i++) {
		emit(0, i);
		stamp_newest(0, newest_stamp(0) + an_hour());
	}
	ck_assert_uint_eq(look(c, views, 64), 0); /* here they are first seen */
	nap_ms(WAIT_MS + 10);
	ck_assert_uint_eq(look(c, views, 64), 60);
	for (uint32_t i = 0; i < 60; i++)
		ck_assert_uint_eq(number_of(&views[i]), i);
	/* They say nothing about what is late. */
	ck_assert_int_eq(tapio_release(c), 0);
	emit(1, 60);
	ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER), 1);
	ck_assert_uint_eq(group_stats(c).late, 0);
}
END_TEST

/* An honest stamp is older than the look that sees it, so all is as before. */
START_TEST(events_seen_before_their_turn_keep_the_order_of_their_stamps)
{
	struct tapio_view views[64];
	uint32_t next = 0;

	open_consumer(WAIT_NS);
	for (uint32_t i = 0; i < 60; i++) {
		emit((int)(i * 5 % LANES), i);
		if (i % 7 == 0)
			ck_assert_uint_eq(look(c, views, 64), 0);
	}
	while (next < 60) {
		int n = tapio_poll(c, views, 7, TAPIO_FOREVER);

		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++)
			ck_assert_uint_eq(number_of(&views[i]), next++);
	}
	ck_assert_uint_eq(group_stats(c).late, 0);
}
END_TEST

/* ---- from the start ------------------------------------------------------------------ */

/*
 * Fails on fddcec1: the events before the group came lane by lane, and then the
 * rest in order.
 */
START_TEST(the_past_is_merged_and_what_follows_too)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.merge_ns = WAIT_NS,
		.start = TAPIO_START_OLDEST,
	};

	emit_around(200);
	c = rig_open(&options);
	for (uint32_t i = 200; i < 400; i++)
		emit((int)(i * 5 % LANES), i);
	expect_in_order(400, _i ? 64 : 3);
	ck_assert_uint_eq(group_stats(c).late, 0);
	assert_ledger(c, 200, 0, 0);
}
END_TEST

/* Records of gaps have no stamp. */
START_TEST(gaps_are_in_no_histogram)
{
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSY,
		.merge_ns = 1,
	};
	static struct tapio_view views[1024];
	unsigned int n, events = 0, gaps = 0;

	c = rig_open(&options);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 2000; i++)
			emit(0, i);
		nap_ms(1);
		while ((n = look(c, views, 1024))) {
			for (unsigned int i = 0; i < n; i++)
				gaps += views[i].flags & TAPIO_VIEW_GAP;
			events += n;
			ck_assert_int_eq(tapio_release(c), 0);
		}
	}
	ck_assert_uint_eq(gaps, 5);
	ck_assert_uint_eq(c->now->latency.shm->count, events - gaps);
	ck_assert_uint_lt(c->now->latency.shm->max_ns, 3600 * 1000 * MS);
}
END_TEST

START_TEST(a_channel_without_stamps_cannot_be_merged)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.merge_ns = 1,
	};
	struct tapio_observer_options watching = {
		.size = sizeof(watching),
		.broker = rig.options,
		.merge_ns = 1,
	};

	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
	ck_assert_ptr_nonnull(strstr(rig.error, "stamps"));
	ck_assert_int_eq(tapio_observer_open(&o, "t", &watching), -EINVAL);
	options.merge_ns = TAPIO_MERGE_NS_MAX + 1;
	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
}
END_TEST

/* ---- under load ----------------------------------------------------------------- */

#define EACH 5000

static void *produce(void *arg)
{
	struct tapio_producer *p = arg;
	uint32_t x = 0;

	for (uint32_t i = 0; i < EACH; i++)
		while (tapio_output(p, TAG, &x, sizeof(x)))
			sched_yield();
	return NULL;
}

/* Late is exactly what is out of order, and nothing is lost over it. */
START_TEST(the_count_of_late_events_is_exact_under_load)
{
	struct tapio_view views[64];
	uint64_t got = 0, late = 0, last = 0;
	pthread_t threads[LANES];

	open_consumer(2 * MS);
	for (int i = 0; i < LANES; i++)
		pthread_create(&threads[i], NULL, produce, producers[i]);
	while (got < LANES * EACH) {
		int n = tapio_poll(c, views, 64, TAPIO_FOREVER);

		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++) {
			if (last && (int64_t)(views[i].time - last) < 0)
				late++;
			else
				last = views[i].time;
		}
		got += (unsigned int)n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
	for (int i = 0; i < LANES; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(group_stats(c).late, late);
	assert_ledger(c, LANES * EACH, 0, 0);
}
END_TEST

/* ---- lanes that fill no tree ------------------------------------------------------- */

/*
 * Lanes compete as a power of two. When all have been handed out, the tree names a leaf
 * that no lane has, and that may lie beyond all lanes of the channel. Here each lane is
 * in the round.
 */
#define SIDES 3

START_TEST(a_round_ends_where_no_lane_has_the_last_leaf)
{
	struct tapio_producer *here = rig_producer_anywhere();
	uint32_t count = 0;

	if (!here->now->emit.cpus) { /* under ThreadSanitizer */
		puts("skipped: this process has no CPU lanes");
		tapio_producer_close(here);
		return;
	}
	open_consumer(8 * WAIT_NS);
	/* Many looks see a part of it each. */
	for (int turn = 0; turn < 16; turn++) {
		struct tapio_view view;

		for (int i = 0; i < SIDES; i++)
			emit(i, count++);
		for (int n = 0; n < cpu_count(); n++, count++) {
			pin(n);
			ck_assert_int_eq(
				tapio_output(here, TAG, &count, sizeof(count)),
				0);
		}
		ck_assert_uint_eq(look(c, &view, 1), 0);
	}
	expect_in_order(count, 64);
	assert_ledger(c, count, 0, 0);
	tapio_producer_close(here);
}
END_TEST

/* One side lane for each producer, and none is left over. */
static void set_up_all_lanes(void)
{
	rig_start("channel t { stamp = \"tsc\"\n class main { block = 64\n"
		  "blocks = 64\n side_blocks = 64\n side_lanes = 3 } }\n");
	for (int i = 0; i < SIDES; i++) {
		producers[i] = rig_producer();
		producers[i]->now->emit.cpus = 0;
	}
}

static void set_up_unstamped(void)
{
	set_up_stamped("none", 64);
}

static void set_up_clock(void)
{
	set_up_stamped("clock", 1024);
}

int main(void)
{
	Suite *suite = suite_create("client merge");
	TCase *t = tcase_create("tsc");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, a_consumer_gets_events_of_all_lanes_in_order, 0,
			    2);
	tcase_add_test(t,
		       a_consumer_that_does_not_merge_gets_them_lane_by_lane);
	tcase_add_loop_test(t, an_observer_gets_events_of_all_lanes_in_order, 0,
			    2);
	tcase_add_test(t, an_event_waits_its_time_and_no_longer);
	tcase_add_test(t, producers_do_not_ring_for_what_must_wait_anyway);
	tcase_add_test(t, what_comes_too_late_is_delivered_and_counted);
	tcase_add_test(t, a_lane_that_fills_up_does_not_wait);
	tcase_add_test(t, filtered_events_and_discards_do_not_hold_the_others);
	tcase_add_test(t, a_descriptor_becomes_readable_when_events_are_ripe);
	tcase_add_test(t, the_count_of_late_events_is_exact_under_load);
	tcase_add_loop_test(t, a_stamp_from_the_future_stops_nothing, 0, 2);
	tcase_add_test(t, a_lane_whose_clock_is_ahead_waits_once);
	tcase_add_test(
		t,
		events_seen_before_their_turn_keep_the_order_of_their_stamps);
	tcase_add_loop_test(t, the_past_is_merged_and_what_follows_too, 0, 2);
	tcase_add_test(t, gaps_are_in_no_histogram);
	suite_add_tcase(suite, t);
	t = tcase_create("clock");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up_clock, tear_down);
	tcase_add_loop_test(t, a_stamp_from_the_future_stops_nothing, 0, 2);
	tcase_add_test(t, a_lane_whose_clock_is_ahead_waits_once);
	tcase_add_loop_test(t, the_past_is_merged_and_what_follows_too, 0, 2);
	tcase_add_loop_test(t, a_consumer_gets_events_of_all_lanes_in_order, 0,
			    2);
	tcase_add_test(t, an_event_waits_its_time_and_no_longer);
	suite_add_tcase(suite, t);
	t = tcase_create("all lanes");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up_all_lanes, tear_down);
	tcase_add_test(t, a_round_ends_where_no_lane_has_the_last_leaf);
	suite_add_tcase(suite, t);
	t = tcase_create("none");
	tcase_add_checked_fixture(t, set_up_unstamped, tear_down);
	tcase_add_test(t, a_channel_without_stamps_cannot_be_merged);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
