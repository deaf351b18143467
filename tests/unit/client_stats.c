/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group's counts while it lags, sleeps, or has no member: each position
 * counts once, at any time, and an overwritten one is lost at once.
 */
#include "tests/unit/client_fixture.h"

#define N 64u /* as RIG_CLASS */

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

static void emit(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

static uint64_t published;

/* The counts of now. `published` is what was emitted since the group began. */
static struct tapio_consumer_stats balanced(void)
{
	struct tapio_consumer_stats s = group_stats(c);

	ck_assert_uint_eq(s.delivered + s.skipped + s.lost + s.in_flight,
			  published);
	ck_assert_uint_le(s.in_flight, N);
	return s;
}

static const uint32_t policies[] = {TAPIO_GROUP_UNTIL, TAPIO_GROUP_LOSSY};

/* Fails on commit fddcec1: lost was 0 until the next poll. */
START_TEST(a_group_that_sleeps_has_lost_what_is_overwritten)
{
	struct tapio_consumer_stats s;
	uint64_t lost, got;

	c = rig_consumer("g", policies[_i]);
	emit(published = 1000);
	s = balanced();
	ck_assert_uint_eq(s.delivered, 0);
	ck_assert_uint_ge(s.lost, 1000 - N);
	lost = s.lost;
	/* The reader skips what it would be overrun in again. */
	got = drain(c);
	s = balanced();
	ck_assert_uint_eq(s.in_flight, 0);
	ck_assert_uint_ge(s.lost, lost);
	ck_assert_uint_eq(s.lost + s.delivered, 1000);
	/* One of the views was the record of the gap. */
	ck_assert_uint_eq(s.delivered, got - 1);
}
END_TEST

/* Fails on commit fddcec1: 1,000 were unread at once, on a ring of 64. */
START_TEST(no_more_is_unread_at_once_than_the_ring_holds)
{
	uint32_t most = 0;

	c = rig_consumer("g", policies[_i]);
	emit(published = 1000);
	ck_assert_uint_gt(drain(c), 0);
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		if (c->now->tracks[i].cell->peak > most)
			most = c->now->tracks[i].cell->peak;
	ck_assert_uint_eq(most, N);
}
END_TEST

/* What a look has brought: events, and in records what is lost. */
static void count(const struct tapio_view *views, unsigned int n,
		  uint64_t *events, uint64_t *told)
{
	for (unsigned int i = 0; i < n; i++)
		if (views[i].flags & TAPIO_VIEW_GAP)
			*told += ((const struct tapio_gap *)views[i].data)
					 ->count;
		else
			++*events;
}

/*
 * The reader takes a view at a time, or two, and the ring goes round in between. Fails
 * on commit fddcec1: one at a time, all of them were records of what was lost.
 */
START_TEST(a_reader_that_is_always_overrun_gets_events_too)
{
	const unsigned int max = 1 + (unsigned int)_i / 2;
	struct tapio_view views[2];
	uint64_t events = 0, told = 0;
	struct tapio_consumer_stats s;
	unsigned int n = 1;

	c = rig_consumer("g", policies[_i % 2]);
	for (int call = 0; call < 100 || n; call++) {
		if (call < 100)
			emit(200);
		n = look(c, views, max);
		count(views, n, &events, &told);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	published = 100 * 200;
	s = balanced();
	ck_assert_uint_eq(s.delivered, events);
	ck_assert_uint_eq(s.lost, told);
	ck_assert_uint_eq(s.in_flight, 0);
	ck_assert_uint_ge(events, 50);
}
END_TEST

/* However reading and writing meet, counts only go forward. */
START_TEST(counts_never_go_back)
{
	struct tapio_consumer_stats last = {0}, s;
	struct tapio_view views[16];
	unsigned int seed = 1;

	c = rig_consumer("g", policies[_i]);
	published = 0;
	for (int i = 0; i < 2000; i++) {
		uint64_t n = (uint64_t)rand_r(&seed) % 40;

		emit(n);
		published += n;
		s = balanced();
		ck_assert_uint_ge(s.lost, last.lost);
		last = s;
		(void)look(c, views, 1 + (unsigned int)rand_r(&seed) % 16);
		/* Before the release: events in hand are not delivered. */
		s = balanced();
		ck_assert_uint_eq(s.delivered, last.delivered);
		ck_assert_int_eq(tapio_release(c), 0);
		s = balanced();
		ck_assert_uint_ge(s.delivered, last.delivered);
		ck_assert_uint_ge(s.lost, last.lost);
		last = s;
	}
}
END_TEST

/* While a view is read, its block is written over: it is lost once. */
START_TEST(a_view_that_was_overwritten_is_lost_once)
{
	struct tapio_view views[8];
	struct tapio_consumer_stats s;

	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	emit(8);
	ck_assert_uint_eq(look(c, views, 8), 8);
	emit(N + 100);
	published = 8 + N + 100;
	s = balanced();
	ck_assert_uint_ge(s.lost, 108);
	ck_assert_int_eq(tapio_release(c), 8);
	ck_assert_uint_eq(balanced().lost, s.lost);
	ck_assert_uint_eq(balanced().delivered, 0);
}
END_TEST

/* Its views were whole in time: they are delivered, and were lost for a moment. */
START_TEST(a_view_that_was_found_whole_is_delivered)
{
	struct tapio_view views[8];

	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	emit(8);
	ck_assert_uint_eq(look(c, views, 8), 8);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(tapio_view_intact(c, &views[i]), 1);
	emit(N);
	published = 8 + N;
	(void)balanced();
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(balanced().delivered, 8);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client stats");
	TCase *t = tcase_create("ledger");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, a_group_that_sleeps_has_lost_what_is_overwritten,
			    0, 2);
	tcase_add_loop_test(t, no_more_is_unread_at_once_than_the_ring_holds, 0,
			    2);
	tcase_add_loop_test(t, a_reader_that_is_always_overrun_gets_events_too,
			    0, 4);
	tcase_add_loop_test(t, counts_never_go_back, 0, 2);
	tcase_add_test(t, a_view_that_was_overwritten_is_lost_once);
	tcase_add_test(t, a_view_that_was_found_whole_is_delivered);
	suite_add_tcase(suite, t);
	return check_run(suite);
}
