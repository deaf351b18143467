/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Observers: they see all that passes and hold no producer back. When they are
 * too slow they are told exactly how much they missed.
 */
#include <pthread.h>

#include "tests/unit/client_fixture.h"

static struct tapio_producer *p;
static struct tapio_observer *o;

static void set_up(uint32_t start)
{
	pin(0);
	rig_start(RIG_CONFIG);
	p = rig_producer();
	o = rig_observer(start);
}

static void tear_down(void)
{
	tapio_observer_close(o);
	tapio_producer_close(p);
	rig_stop();
}

static void emit(uint64_t value)
{
	ck_assert_int_eq(tapio_output(p, TAPIO_TAG(1 + value % 3, value % 16),
				      &value, sizeof(value)),
			 0);
}

static struct tapio_observer_stats stats(void)
{
	struct tapio_observer_stats s = {.size = sizeof(s)};

	ck_assert_int_eq(tapio_observer_stats_read(o, &s), 0);
	return s;
}

/* Observes all there is. Sums up, and checks that nothing is out of order. */
static void follow(uint64_t *next, uint64_t *seen, uint64_t *lost)
{
	struct tapio_view views[20];
	uint64_t value;
	int n, i;

	while ((n = tapio_observe(o, views, 20, 0)) > 0)
		for (i = 0; i < n; i++) {
			if (views[i].flags & TAPIO_VIEW_GAP) {
				const struct tapio_gap *gap = views[i].data;

				ck_assert_uint_eq(gap->cause,
						  TAPIO_GAP_OVERRUN);
				ck_assert_uint_eq(gap->last - gap->first + 1,
						  gap->count);
				*lost += gap->count;
				*next += gap->count;
				continue;
			}
			memcpy(&value, views[i].data, sizeof(value));
			ck_assert_uint_eq(value, *next);
			ck_assert_uint_eq(views[i].type, 1 + value % 3);
			++*next;
			++*seen;
		}
	ck_assert_int_eq(n, 0);
}

START_TEST(a_slow_observer_is_told_exactly_what_it_missed)
{
	uint64_t sent = 0, next = 0, seen = 0, lost = 0, burst, i;

	set_up(TAPIO_START_NEWEST);
	for (burst = 1; burst < 400; burst += 13) {
		for (i = 0; i < burst; i++)
			emit(sent++);
		follow(&next, &seen, &lost);
		ck_assert_uint_eq(next, sent);
	}
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_eq(seen + lost, sent);
	ck_assert_uint_eq(stats().seen, seen);
	ck_assert_uint_eq(stats().lost, lost);
	ck_assert_uint_eq(stats().in_flight, 0);
	tear_down();
}
END_TEST

/* Fails on commit fddcec1: 1,000 were in flight on a ring of 64. */
START_TEST(what_is_overwritten_is_lost_before_the_observer_looks)
{
	uint64_t next = 0, seen = 0, lost = 0, i;

	set_up(TAPIO_START_NEWEST);
	for (i = 0; i < 1000; i++)
		emit(i);
	ck_assert_uint_eq(stats().in_flight, 63);
	ck_assert_uint_eq(stats().lost, 1000 - 63);
	follow(&next, &seen, &lost);
	ck_assert_uint_eq(seen + lost, 1000);
	ck_assert_uint_eq(stats().lost, lost);
	ck_assert_uint_eq(stats().in_flight, 0);
	tear_down();
}
END_TEST

/* What a call has brought: events, and in records what is lost. */
static void count(const struct tapio_view *views, int n, uint64_t *seen,
		  uint64_t *lost)
{
	for (int i = 0; i < n; i++)
		if (views[i].flags & TAPIO_VIEW_GAP)
			*lost += ((const struct tapio_gap *)views[i].data)
					 ->count;
		else
			++*seen;
}

/* Fails on commit fddcec1: each call gave a record, and none an event. */
START_TEST(an_observer_that_is_always_overrun_gets_events_too)
{
	const unsigned int max = 1 + (unsigned int)_i;
	uint64_t sent = 0, seen = 0, lost = 0;
	struct tapio_view views[3];
	int n;

	set_up(TAPIO_START_NEWEST);
	for (int call = 0; call < 100; call++) {
		for (int i = 0; i < 200; i++)
			emit(sent++);
		n = tapio_observe(o, views, max, 0);
		ck_assert_int_gt(n, 0);
		count(views, n, &seen, &lost);
	}
	ck_assert_uint_ge(seen, 100 * max / 2);
	while ((n = tapio_observe(o, views, max, 0)) > 0)
		count(views, n, &seen, &lost);
	ck_assert_uint_eq(seen + lost, sent);
	ck_assert_uint_eq(stats().seen, seen);
	ck_assert_uint_eq(stats().lost, lost);
	tear_down();
}
END_TEST

START_TEST(an_observer_that_wants_the_oldest_gets_all_but_the_one_at_reap)
{
	uint64_t next, seen = 0, lost = 0, i;

	pin(0);
	rig_start(RIG_CONFIG);
	p = rig_producer();
	for (i = 0; i < 200; i++)
		emit(i);
	o = rig_observer(TAPIO_START_OLDEST);
	next = 200 - 63;
	follow(&next, &seen, &lost);
	ck_assert_uint_eq(next, 200);
	ck_assert_uint_eq(seen, 63);
	ck_assert_uint_eq(lost, 0);
	tear_down();
}
END_TEST

START_TEST(what_was_overwritten_before_the_first_look_is_no_gap)
{
	uint64_t next, seen = 0, lost = 0, i;

	set_up(TAPIO_START_OLDEST);
	for (i = 0; i < 200; i++)
		emit(i);
	ck_assert_uint_eq(stats().lost, 0);
	next = 200 - 64 + 16;
	follow(&next, &seen, &lost);
	ck_assert_uint_eq(next, 200);
	ck_assert_uint_eq(lost, 0);
	tear_down();
}
END_TEST

START_TEST(an_observers_filter_skips_and_counts)
{
	static const uint16_t types[] = {2};
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.start = TAPIO_START_NEWEST,
		.severity_min = 8,
		.types = types,
		.type_count = 1,
		.buffer_bytes = 1, /* grows to one event */
	};
	struct tapio_view views[20];
	uint64_t i, seen = 0;
	int n;

	pin(0);
	rig_start(RIG_CONFIG);
	p = rig_producer();
	options.broker = rig.options;
	ck_assert_int_eq(tapio_observer_open(&o, "t", &options), 0);
	for (i = 0; i < 48; i++)
		emit(i);
	while ((n = tapio_observe(o, views, 20, 0)) > 0)
		while (n--) {
			ck_assert_uint_eq(views[n].type, 2);
			ck_assert_uint_ge(views[n].severity, 8);
			seen++;
		}
	/* Of each 48: 16 of the type, half of them severe enough. */
	ck_assert_uint_eq(seen, 8);
	ck_assert_uint_eq(stats().seen, 8);
	ck_assert_uint_eq(stats().skipped, 40);
	tear_down();
}
END_TEST

/*
 * Fails on fddcec1: an observer did not read a lane any more once it had found an
 * impossible descriptor or state there.
 */
START_TEST(an_observer_passes_over_what_is_impossible)
{
	static const uint64_t tails[] = {1000, UINT64_C(1) << 46};
	struct tapio_view views[32];
	const struct tpi_lane *lane = NULL;
	const struct tapio_gap *gap;
	uint64_t i, last;
	int n;

	set_up(TAPIO_START_NEWEST);
	for (i = 0; i < 10; i++)
		emit(i);
	for (uint32_t k = 0; k < p->now->emit.lane_count; k++)
		if (TAPIO_STATE_TAIL(p->now->emit.lanes[k].shm->state) != 64)
			lane = &p->now->emit.lanes[k];
	ck_assert_ptr_nonnull(lane);
	if (_i == 2)
		lane->desc[5] = lane->desc[6] |= 0xfff00;
	else
		lane->shm->state += TAPIO_STATE(tails[_i], 0);
	n = tapio_observe(o, views, 32, 0);
	n += tapio_observe(o, views + n, 32 - (unsigned int)n, 0);
	n += tapio_observe(o, views + n, 32 - (unsigned int)n, 0);
	if (_i == 2) {
		/* Both in one record, between those before and after. */
		ck_assert_int_eq(n, 9);
		gap = views[5].data;
		ck_assert_uint_eq(views[5].flags, TAPIO_VIEW_GAP);
		ck_assert_uint_eq(gap->count, 2);
		ck_assert_uint_eq(gap->cause, TAPIO_GAP_CORRUPT);
	}
	last = tapio_observe(o, views, 32, 0);
	ck_assert_uint_eq(last, 0);
	emit(77);
	n = tapio_observe(o, views, 32, 0);
	ck_assert_int_eq(n, 1);
	memcpy(&last, views[0].data, sizeof(last));
	ck_assert_uint_eq(last, 77);
	ck_assert_uint_ge(stats().lost, _i == 2 ? 2 : tails[_i] - 64);
	tear_down();
}
END_TEST

START_TEST(an_observer_holds_nobody_back)
{
	struct tapio_view v;
	uint64_t i;

	set_up(TAPIO_START_NEWEST);
	for (i = 0; i < 1000; i++)
		emit(i);
	ck_assert_uint_eq(channel_stats(p).dropped, 0);
	ck_assert_int_ge(tapio_observe(o, &v, 1, 0), 1);
	tear_down();
}
END_TEST

static void *emit_later(void *arg)
{
	nap_ms(30);
	emit(5);
	return arg;
}

START_TEST(an_observer_waits_for_the_next_event_and_no_longer)
{
	struct tapio_view v;
	pthread_t thread;

	set_up(TAPIO_START_NEWEST);
	ck_assert_int_eq(tapio_observe(o, &v, 1, 5000000), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, emit_later, NULL), 0);
	ck_assert_int_eq(tapio_observe(o, &v, 1, TAPIO_FOREVER), 1);
	ck_assert_uint_eq(*(const uint64_t *)v.data, 5);
	pthread_join(thread, NULL);
	ck_assert_int_eq(tapio_observer_connected(o), 1);
	tear_down();
}
END_TEST

/*
 * Emits at full speed. Each event is one value, repeated. Where threads take
 * turns, as under valgrind, a turn is longer than a lap: without the naps every
 * copy would be overrun.
 */
static void *flood(void *arg)
{
	uint64_t words[32], i;
	unsigned int k;

	for (i = 1; !tpi_load_relaxed((uint32_t *)arg); i++) {
		for (k = 0; k < 32; k++)
			words[k] = i;
		if (tapio_output(p, TAG, words, sizeof(words)))
			break;
		if (i % 50000 == 0)
			nap_ms(1);
	}
	return NULL;
}

START_TEST(no_observer_ever_gets_a_torn_event)
{
	struct tapio_view views[64];
	uint64_t seen = 0, words[32], last = 0;
	uint32_t stop = 0;
	pthread_t thread;
	int n, i, k;
	int64_t end;

	rig_start(RIG_CONFIG);
	p = rig_producer();
	o = rig_observer(TAPIO_START_NEWEST);
	ck_assert_int_eq(pthread_create(&thread, NULL, flood, &stop), 0);
	for (end = tpi_now_ns() + 1000000000; tpi_now_ns() < end;) {
		n = tapio_observe(o, views, 64, 10000000);
		for (i = 0; i < n; i++) {
			if (views[i].flags & TAPIO_VIEW_GAP)
				continue;
			memcpy(words, views[i].data, sizeof(words));
			for (k = 1; k < 32; k++)
				if (words[k] != words[0])
					ck_abort_msg("torn: %lu and %lu",
						     words[0], words[k]);
			seen++;
			last = words[0];
		}
	}
	tpi_store_relaxed(&stop, 1);
	pthread_join(thread, NULL);
	ck_assert_uint_gt(seen, 0);
	ck_assert_uint_gt(last, 0);
	ck_assert_uint_eq(stats().seen, seen);
	tear_down();
}
END_TEST

/* The right is to inspect, as observer.h and tapio-tail(1) say. On commit fddcec1
 * the header said that consuming was enough. */
START_TEST(an_observer_needs_the_right_to_inspect)
{
	static const struct {
		const char *role;
		int err;
	} cases[] = {
		{"inspect", 0}, {"consume", -EACCES}, {"produce", -EACCES}};
	struct tapio_observer_options options = {.size = sizeof(options)};
	char config[256];

	snprintf(config, sizeof(config),
		 "trust_owner = false\nchannel t {}\n"
		 "allow all { any = true role = {%s} }\n",
		 cases[_i].role);
	rig_start(config);
	options.broker = rig.options;
	ck_assert_int_eq(tapio_observer_open(&o, "t", &options), cases[_i].err);
	if (cases[_i].err)
		ck_assert_ptr_nonnull(strstr(rig.error, "no right to inspect"));
	tapio_observer_close(o);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client observer");
	TCase *t = tcase_create("observer");

	tcase_add_test(t, a_slow_observer_is_told_exactly_what_it_missed);
	tcase_add_loop_test(
		t, an_observer_that_is_always_overrun_gets_events_too, 0, 3);
	tcase_add_test(t,
		       what_is_overwritten_is_lost_before_the_observer_looks);
	tcase_add_test(
		t,
		an_observer_that_wants_the_oldest_gets_all_but_the_one_at_reap);
	tcase_add_test(t, what_was_overwritten_before_the_first_look_is_no_gap);
	tcase_add_test(t, an_observers_filter_skips_and_counts);
	tcase_add_loop_test(t, an_observer_passes_over_what_is_impossible, 0,
			    3);
	tcase_add_test(t, an_observer_holds_nobody_back);
	tcase_add_test(t, an_observer_waits_for_the_next_event_and_no_longer);
	tcase_add_test(t, no_observer_ever_gets_a_torn_event);
	tcase_add_loop_test(t, an_observer_needs_the_right_to_inspect, 0, 3);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
