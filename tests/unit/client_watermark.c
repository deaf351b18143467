/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer that waits for many events at once is woken for the K-th, not for
 * each. For fewer when their time is over, and producers keep their plain stores:
 * below the mark nothing is written and no doorbell rings.
 */
#include <pthread.h>

#include "tests/unit/client_fixture.h"

#define K  16
#define MS INT64_C(1000000)

static struct tapio_producer *p;
static struct tapio_consumer *c;

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

static void open_marked(uint32_t events, int64_t ns)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = events,
		.wake_ns = (uint64_t)ns,
	};

	c = rig_open(&options);
}

static void emit(int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

static uint32_t rings(void)
{
	return *c->now->doorbell;
}

/* The sleeper's side up to S4, with marks, and without the sleep. */
static void announce(uint32_t mark)
{
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		c->now->tracks[i].cell->watermark = mark;
	tpi_announce(c->now);
}

START_TEST(the_kth_event_rings_and_none_before_it)
{
	uint32_t slot, before, rung;

	open_marked(K, 0);
	slot = c->now->client.granted.group_slot;
	announce(K);
	before = rings();
	rung = c->now->doorbells->answered[slot];
	emit(K - 1);
	ck_assert_uint_eq(rings(), before);
	ck_assert_uint_eq(c->now->doorbells->answered[slot], rung);
	emit(1);
	ck_assert_uint_eq(rings(), before + 1);
	ck_assert_uint_eq(c->now->doorbells->answered[slot],
			  c->now->control->armed);
	emit(K); /* it is answered */
	ck_assert_uint_eq(rings(), before + 1);
}
END_TEST

START_TEST(every_way_of_publishing_counts_to_the_mark)
{
	struct tapio_item items[4];
	struct tapio_reservation r[4];
	uint32_t before, x = 0;

	open_marked(K, 0);
	announce(K);
	before = rings();
	for (int i = 0; i < 4; i++)
		items[i] = (struct tapio_item){&x, sizeof(x), TAG};
	ck_assert_int_eq(tapio_output_batch(p, items, 4), 4);
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 4), 4);
	ck_assert_int_eq(tapio_submit_batch(p, r, 4), 4);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, r), 0);
	ck_assert_int_eq(tapio_submit(p, r), 0);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, r), 0);
	ck_assert_int_eq(tapio_discard(p, r), 0);
	emit(K - 1 - 10);
	/* A thread that was moved meanwhile rings early. This one is pinned. */
	ck_assert_uint_eq(rings(), before);
	emit(1);
	ck_assert_uint_eq(rings(), before + 1);
}
END_TEST

START_TEST(a_lane_half_full_rings_whatever_the_mark)
{
	uint32_t before;

	open_marked(K, 0);
	announce(1000000);
	before = rings();
	emit(31); /* of 64 */
	ck_assert_uint_eq(rings(), before);
	emit(1);
	ck_assert_uint_eq(rings(), before + 1);
}
END_TEST

/* One member's mark is for the lanes that it has. */
START_TEST(a_lane_without_a_mark_rings_at_once)
{
	uint32_t before;

	open_marked(K, 0);
	announce(0);
	before = rings();
	emit(1);
	ck_assert_uint_eq(rings(), before + 1);
}
END_TEST

/*
 * The K-th event wakes us, whatever others on the channel wait for. Fails on commit
 * fddcec1, where one bell served all groups.
 */
START_TEST(a_neighbour_that_sleeps_does_not_wake_us)
{
	struct tapio_consumer *other = rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	uint32_t before, theirs = *other->now->doorbell;

	open_marked(K, 0);
	announce(K);
	before = rings();
	for (uint32_t i = 1; i < K; i++) {
		nap_ms(1); /* no bell is rung twice within microseconds */
		tpi_announce(other->now);
		emit(1);
		ck_assert_uint_eq(*other->now->doorbell, theirs + i);
		ck_assert_uint_eq(rings(), before);
	}
	emit(1); /* ours alone waits for this one */
	ck_assert_uint_eq(rings(), before + 1);
	ck_assert_uint_eq(*other->now->doorbell, theirs + K - 1);
	tapio_consumer_close(other);
}
END_TEST

/* Below our mark, the bell of a neighbour behind our slot is still looked at. */
START_TEST(our_mark_is_not_a_neighbours)
{
	struct tapio_consumer *other;
	uint32_t theirs;

	open_marked(K, 0);
	other = rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	theirs = *other->now->doorbell;
	announce(K);
	tpi_announce(other->now);
	emit(1);
	ck_assert_uint_eq(*other->now->doorbell, theirs + 1);
	tapio_consumer_close(other);
}
END_TEST

static int neighbour_stop;

static void *poll_each(void *arg)
{
	struct tapio_consumer *other = arg;
	struct tapio_view views[64];

	while (!tpi_load_relaxed(&neighbour_stop)) {
		ck_assert_int_ge(tapio_poll(other, views, 64, 20 * MS), 0);
		tapio_release(other);
	}
	return NULL;
}

static void *emit_slowly(void *arg)
{
	const int *count = arg;

	pin(0);
	for (int i = 0; i < *count; i++) {
		nap_ms(2);
		emit(1);
	}
	return NULL;
}

START_TEST(few_wakeups_bring_many_events)
{
	int count = K, n;
	struct tapio_view views[64];
	pthread_t thread;
	uint32_t before;

	open_marked(K, 60000 * MS);
	before = rings();
	pthread_create(&thread, NULL, emit_slowly, &count);
	n = tapio_poll(c, views, 64, TAPIO_FOREVER);
	ck_assert_int_eq(n, K);
	ck_assert_uint_le(rings() - before, 2);
	ck_assert_uint_le(group_stats(c).wakeups, 2);
	pthread_join(thread, NULL);
	ck_assert_int_eq(tapio_release(c), 0);
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		ck_assert_uint_eq(c->now->tracks[i].cell->watermark, 0);
	assert_ledger(c, K, 0, 0);
}
END_TEST

#define BATCHES 3

/* One each 2 ms until it is stopped. Waits where there is no room. */
static void *emit_on_and_on(void *arg)
{
	(void)arg;
	pin(0);
	for (int i = 0; !tpi_load_relaxed(&neighbour_stop); i++) {
		(void)tapio_output(p, TAG, &i, sizeof(i));
		nap_ms(2);
	}
	return NULL;
}

/* The same beside a group that is woken for each. Fails on commit fddcec1. */
START_TEST(few_wakeups_bring_many_events_beside_a_neighbour)
{
	struct tapio_consumer *other = rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	pthread_t thread, neighbour;
	struct tapio_view views[64];

	open_marked(K, 60000 * MS);
	neighbour_stop = 0;
	pthread_create(&neighbour, NULL, poll_each, other);
	pthread_create(&thread, NULL, emit_on_and_on, NULL);
	for (int i = 0; i < BATCHES; i++) {
		ck_assert_int_ge(tapio_poll(c, views, 64, TAPIO_FOREVER), K);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	/* Two for each batch: the first event, and the K-th. */
	ck_assert_uint_le(group_stats(c).wakeups, 2 * BATCHES);
	tpi_store_relaxed(&neighbour_stop, 1);
	pthread_join(thread, NULL);
	pthread_join(neighbour, NULL);
	tapio_consumer_close(other);
}
END_TEST

/* Views for a few at a time do not make each few of them wait. */
START_TEST(what_does_not_fit_into_the_views_comes_at_once)
{
	struct tapio_view views[5];
	uint64_t sleeps;

	open_marked(K, 60000 * MS);
	emit(K);
	for (int left = K; left > 0; left -= 5) {
		ck_assert_int_eq(tapio_poll(c, views, 5, TAPIO_FOREVER),
				 left < 5 ? left : 5);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	sleeps = group_stats(c).sleeps;
	/* Then they wait again. */
	emit(3);
	ck_assert_int_eq(tapio_poll(c, views, 5, 20 * MS), 3);
	ck_assert_uint_gt(group_stats(c).sleeps, sleeps);
	ck_assert_int_eq(tapio_release(c), 0);
	assert_ledger(c, K + 3, 0, 0);
}
END_TEST

START_TEST(fewer_come_when_their_time_is_over)
{
	struct tapio_view views[64];

	open_marked(K, 30 * MS);
	emit(3);
	ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER), 3);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_int_eq(tapio_poll(c, views, 64, MS), 0);
}
END_TEST

START_TEST(a_time_out_brings_what_is_there)
{
	struct tapio_view views[64];

	open_marked(K, 60000 * MS);
	emit(3);
	ck_assert_int_eq(tapio_poll(c, views, 64, 20 * MS), 3);
	emit(2);
	/* And so does a look that does not wait. */
	ck_assert_int_eq(tapio_poll(c, views, 64, 0), 2);
	ck_assert_int_eq(tapio_release(c), 0);
}
END_TEST

/* More than a lane may hold: half a lane is as many as it waits for. */
START_TEST(a_mark_beyond_the_lane_is_cut_to_it)
{
	struct tapio_view views[64];
	int count = 32;
	pthread_t thread;

	open_marked(1000, 60000 * MS);
	pthread_create(&thread, NULL, emit_slowly, &count);
	ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER), 32);
	pthread_join(thread, NULL);
	ck_assert_int_eq(tapio_release(c), 0);
}
END_TEST

/* An event that the filter refuses neither is delivered nor stays in the
 * way. */
START_TEST(filtered_events_are_released_when_their_time_is_over)
{
	static const uint16_t types[] = {7};
	struct tapio_consumer_options options = {
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = K,
		.wake_ns = 10 * MS,
		.types = types,
		.type_count = 1,
	};
	struct tapio_view views[64];

	c = rig_open(&options);
	emit(3);
	ck_assert_int_eq(tapio_poll(c, views, 64, 60 * MS), 0);
	assert_ledger(c, 0, 3, 0);
}
END_TEST

/* A member that gives a lane up, or takes one, leaves no mark on it. */
START_TEST(a_mark_does_not_outlive_its_member)
{
	struct tapio_consumer *other = rig_consumer("g", TAPIO_GROUP_LOSSLESS);

	look(other, &(struct tapio_view){0}, 1); /* takes the leases */
	open_marked(K, 0);
	ck_assert_uint_eq(group_stats(c).lanes, 0);
	for (uint32_t i = 0; i < other->now->lane_count; i++)
		other->now->tracks[i].cell->watermark = K;
	tapio_consumer_close(other);
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		ck_assert_uint_eq(c->now->tracks[i].cell->watermark, 0);
	/* As if the other had died with it. */
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		c->now->tracks[i].cell->watermark = K;
	tpi_lease_free(c->now);
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		ck_assert_uint_eq(c->now->tracks[i].cell->watermark,
				  c->now->tracks[i].leased ? 0 : K);
	ck_assert_uint_gt(group_stats(c).lanes, 0);
}
END_TEST

START_TEST(what_cannot_be_together_is_refused)
{
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = rig.options,
		.wake_events = K,
		.merge_ns = 1,
	};

	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
	ck_assert_ptr_nonnull(strstr(rig.error, "merge_ns"));
	options.merge_ns = 0;
	options.wake_ns = UINT64_C(60000000001);
	ck_assert_int_eq(tapio_consumer_open(&c, "t", &options), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client mark");
	TCase *t = tcase_create("mark");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, the_kth_event_rings_and_none_before_it);
	tcase_add_test(t, every_way_of_publishing_counts_to_the_mark);
	tcase_add_test(t, a_lane_half_full_rings_whatever_the_mark);
	tcase_add_test(t, a_lane_without_a_mark_rings_at_once);
	tcase_add_test(t, a_neighbour_that_sleeps_does_not_wake_us);
	tcase_add_test(t, our_mark_is_not_a_neighbours);
	tcase_add_test(t, few_wakeups_bring_many_events);
	tcase_add_test(t, few_wakeups_bring_many_events_beside_a_neighbour);
	tcase_add_test(t, what_does_not_fit_into_the_views_comes_at_once);
	tcase_add_test(t, fewer_come_when_their_time_is_over);
	tcase_add_test(t, a_time_out_brings_what_is_there);
	tcase_add_test(t, a_mark_beyond_the_lane_is_cut_to_it);
	tcase_add_test(t, filtered_events_are_released_when_their_time_is_over);
	tcase_add_test(t, a_mark_does_not_outlive_its_member);
	tcase_add_test(t, what_cannot_be_together_is_refused);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
