/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One announcement for several rings (lib/lane/wake.h, S2r): who makes one, how long it is good,
 * and that no sleep is too long by it. Sleeps have no bound here, so a lost wake-up is a hang.
 * Nothing is timed.
 *
 * On commit ef48fffa a member that each event wakes makes a barrier for each.
 */
#include <signal.h>

#include "lib/wire/wire.h"
#include "tests/fault/at_point.h"
#include "tests/fault/peer.h"
#include "tests/unit/client_fixture.h"

#define MS    INT64_C(1000000)
#define BRIEF 8 /* call.c */

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct tapio_view views[64];

static void set_up(void)
{
	tpi_sleep_bound_ns = TPI_FOREVER_NS;
	tpi_awake_ns = TPI_FOREVER_NS;
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
	tpi_awake_ns = 0;
	tpi_ring_apart_ns = 0;
}

static struct tapio_shm_doorbell *bell(void)
{
	return &p->now->client.channel.doorbells
			->slots[c->now->client.granted.group_slot];
}

static struct tapio_shm_group_control *control(void)
{
	return c->now->control;
}

static bool has_news(void)
{
	uint32_t slot = c->now->client.granted.board - 1;

	return tpi_load_relaxed(p->now->emit.board[slot]) !=
	       tpi_load_relaxed(p->now->emit.board_seen[slot]);
}

static void emit(void)
{
	ck_assert_int_eq(tapio_output(p, TAG, "1234", 4), 0);
}

/* So many sleeps, each of which an event ends that comes after its last look. */
static void sleep_times(int count)
{
	for (int i = 0; i < count; i++) {
		at("sleep.looked", 1, emit);
		ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER), 1);
		ck_assert_int_eq(at_left, 0);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	tpi_testpoint_set(NULL);
}

/* Asleep and awake again, with an announcement for TPI_RING_ROUNDS, and one ring of them. */
static void stand(void)
{
	sleep_times(1 + BRIEF);
	ck_assert_uint_eq(control()->ring_until,
			  bell()->doorbell - 1 + TPI_RING_ROUNDS);
}

/* ---- who asks for several ------------------------------------------------------------- */

START_TEST(a_member_that_each_event_wakes_announces_itself_once_for_many)
{
	const uint32_t armed = control()->armed, number = bell()->doorbell;

	/* Within the window of the last ring, too, which each sleep waits for. */
	if (_i)
		tpi_ring_apart_ns = 10 * MS;
	sleep_times(BRIEF);
	ck_assert_uint_eq(control()->armed - armed, BRIEF);
	sleep_times(5 * TPI_RING_ROUNDS);
	ck_assert_uint_eq(control()->armed - armed, BRIEF + 5);
	ck_assert_uint_eq(bell()->doorbell - number,
			  BRIEF + 5 * TPI_RING_ROUNDS);
	ck_assert_uint_eq(bell()->woken, bell()->doorbell);
	assert_ledger(c, BRIEF + 5 * TPI_RING_ROUNDS, 0, 0);
}
END_TEST

static void emit_three(void)
{
	tpi_ring_apart_ns = 1;
	for (int i = 0; i < 3; i++) {
		tpi_announce(c->now); /* of another member */
		emit();
	}
	tpi_ring_apart_ns = 0;
}

/* It is late, or its producers ring while it is awake. */
START_TEST(others_announce_themselves_for_each_sleep)
{
	const uint32_t until = control()->ring_until;

	if (!_i)
		tpi_awake_ns = 1;
	for (int i = 0; i < 3 * BRIEF; i++) {
		at("sleep.looked", 1, _i ? emit_three : emit);
		ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER),
				 _i ? 3 : 1);
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(control()->ring_until, until);
}
END_TEST

/* ---- how long it is good --------------------------------------------------------------- */

/* The producers ring for what is left of it, and then their fast path is as before. */
START_TEST(what_is_left_of_an_announcement_is_rung_once_each)
{
	uint32_t number;

	stand();
	number = bell()->doorbell;
	tpi_ring_apart_ns = 1;
	for (uint32_t i = 1; i < TPI_RING_ROUNDS; i++) {
		ck_assert(has_news());
		emit();
		ck_assert_uint_eq(bell()->doorbell, number + i);
	}
	ck_assert_uint_eq(bell()->woken, control()->ring_until);
	ck_assert(!has_news());
	for (int i = 0; i < 10; i++)
		emit();
	ck_assert_uint_eq(bell()->doorbell, number + TPI_RING_ROUNDS - 1);
}
END_TEST

static uint32_t rung_within;

static void emit_within(void)
{
	uint32_t before = bell()->doorbell;

	emit();
	rung_within = bell()->doorbell - before;
}

/*
 * A ring that has moved the bell, and is stopped before it wakes anybody, is none: the last
 * one of the announcement is rung again by another producer.
 */
START_TEST(a_ring_that_has_woken_nobody_is_rung_again)
{
	static const char *const stops[] = {"ring.moved", "ring.waking"};

	stand();
	tpi_ring_apart_ns = 1;
	while (bell()->doorbell != control()->ring_until - 1)
		emit();
	at(stops[_i], 1, emit_within);
	emit();
	ck_assert_int_eq(at_left, 0);
	ck_assert_uint_eq(rung_within, 1);
}
END_TEST

/* A ring that goes on after later ones costs one more. */
START_TEST(a_ring_that_ends_late_is_harmless)
{
	uint32_t number;

	stand();
	tpi_ring_apart_ns = 1;
	while (bell()->doorbell != control()->ring_until)
		emit();
	number = bell()->doorbell;
	tpi_store_relaxed(&bell()->woken, number - 3);
	tpi_announce(c->now);
	emit();
	ck_assert_uint_eq(bell()->doorbell, number + 1);
	ck_assert(!has_news());
	ck_assert_int_gt(tapio_poll(c, views, 64, 0), 0);
	ck_assert_int_eq(tapio_release(c), 0);
	sleep_times(3);
}
END_TEST

static void end_the_window(void)
{
	nap_ms(150);
}

/* N1: it is looked at once more after the fence, when the commit is seen. */
START_TEST(a_window_that_ends_at_the_fence_is_over)
{
	uint32_t number = bell()->doorbell;

	tpi_ring_apart_ns = 100 * MS;
	tpi_announce(c->now);
	emit();
	ck_assert_uint_eq(bell()->doorbell, number + 1);
	tpi_announce(c->now);
	at("ring.window", 1, end_the_window);
	emit();
	ck_assert_int_eq(at_left, 0);
	ck_assert_uint_eq(bell()->doorbell, number + 2);
}
END_TEST

static pid_t child;

static void die(void)
{
	kill(getpid(), SIGKILL);
}

static void start_to_die(void)
{
	child = fork();
	if (!child) {
		p = rig_producer();
		at("output.published", 1, die);
		emit();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

/* The broker rings for a producer that dies between its commit and its ring. */
START_TEST(a_sleep_without_an_announcement_is_rung_for_the_dead)
{
	uint32_t armed;

	stand();
	armed = control()->armed;
	at("sleep.looked", 1, start_to_die);
	ck_assert_int_eq(tapio_poll(c, views, 64, TAPIO_FOREVER), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(control()->armed, armed);
	sleep_times(1);
}
END_TEST

/* ---- what others may have stored ------------------------------------------------------------ */

/* No member asks for so many rings. It costs nobody a ring, and keeps nobody asleep. */
START_TEST(an_impossible_number_is_none)
{
	static const uint32_t beyond[] = {1000, INT32_MAX, UINT32_C(1) << 31};
	uint32_t number = bell()->doorbell;

	tpi_ring_apart_ns = 1;
	tpi_store_relaxed(&control()->ring_until, number + beyond[_i]);
	tpi_announce(c->now);
	for (int i = 0; i < 5; i++)
		emit();
	ck_assert_uint_eq(bell()->doorbell, number + 1);
	ck_assert(!has_news());
	ck_assert_int_eq(tapio_poll(c, views, 64, 0), 5);
	ck_assert_int_eq(tapio_release(c), 0);
	tpi_ring_apart_ns = 0;
	tpi_store_relaxed(&control()->ring_until,
			  bell()->doorbell + beyond[_i] + BRIEF + 1);
	stand();
	sleep_times(2 * TPI_RING_ROUNDS);
}
END_TEST

/* One of long ago does not come round to be one of the future. */
START_TEST(an_old_number_is_brought_to_the_bell)
{
	tpi_store_relaxed(&control()->ring_until,
			  bell()->doorbell - (UINT32_C(1) << 30) - 100);
	sleep_times(1);
	ck_assert_uint_eq(control()->ring_until, bell()->doorbell - 1);
	/* Another member's is left. */
	tpi_store_relaxed(&control()->ring_until, bell()->doorbell + 5);
	sleep_times(1);
	ck_assert_uint_eq(control()->ring_until, bell()->doorbell + 4);
}
END_TEST

/* A ring of the future, by a producer that lies. The broker's next look puts it right. */
START_TEST(a_ring_that_was_told_in_advance_is_put_right)
{
	static const uint32_t ahead[] = {1, 1000, (UINT32_C(1) << 31) + 3};

	stand();
	tpi_store_relaxed(&bell()->woken, bell()->doorbell + ahead[_i]);
	for (int i = 0; i < 1000; i++) {
		if (bell()->doorbell - bell()->woken <= 2 * TPI_RING_ROUNDS)
			break;
		nap_ms(10);
	}
	ck_assert_uint_le(bell()->doorbell - bell()->woken,
			  2 * TPI_RING_ROUNDS);
	sleep_times(2 * TPI_RING_ROUNDS);
}
END_TEST

/* That of another member, who has heard a later bell, is not lowered. */
START_TEST(the_largest_number_counts)
{
	uint32_t later;

	sleep_times(BRIEF);
	later = bell()->doorbell + TPI_RING_ROUNDS;
	tpi_store_relaxed(&control()->ring_until, later);
	tpi_call_on(c->now, &c->now->call, bell()->doorbell);
	ck_assert_uint_eq(control()->ring_until, later);
	tpi_add_relaxed(&bell()->doorbell, 3);
	tpi_store_relaxed(&control()->ring_until, later + 3);
	c->now->call.until = bell()->doorbell - 2;
	c->now->call.heard = bell()->doorbell - 2;
	c->now->call.seen_ns = 1;
	c->now->call.seen = bell()->doorbell - 1;
	tpi_call_on(c->now, &c->now->call, bell()->doorbell - 1);
	ck_assert_uint_eq(control()->ring_until, later + 3);
}
END_TEST

/* A group that comes into the slot begins with none. */
START_TEST(the_next_group_of_a_slot_begins_without)
{
	uint32_t slot = c->now->client.granted.group_slot;

	stand();
	ck_assert_int_gt((int32_t)(control()->ring_until - bell()->woken), 0);
	tapio_consumer_close(c);
	c = rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_eq(c->now->client.granted.group_slot, slot);
	ck_assert_uint_eq(control()->ring_until, bell()->woken);
	sleep_times(2);
}
END_TEST

/* ---- producers of an older library ------------------------------------------------------------ */

static struct peer peer;

static void attach_old(void)
{
	peer_connect_to(&peer, rig.options.socket);
	ck_assert_int_eq(peer_hello(&peer), 0);
	peer.minor = TPI_WIRE_MINOR_ROUNDS - 1;
	ck_assert_int_eq(
		peer_attach(&peer, TAPIO_ROLE_PRODUCE, "t", "", 0, 0, 0), 0);
}

/*
 * It rings once for an announcement. So a member that sleeps on what is left of one is rung
 * before such a producer is let in, and announces itself for each sleep from then on.
 */
START_TEST(with_an_older_producer_each_sleep_is_announced)
{
	uint32_t armed, number;

	stand();
	armed = control()->armed;
	number = bell()->doorbell;
	ck_assert_uint_eq(p->now->client.shared->single, 0);
	at("sleep.looked", 1, attach_old);
	ck_assert_int_eq(tapio_poll(c, views, 64, 50 * MS), 0);
	ck_assert_int_eq(at_left, 0);
	ck_assert_uint_eq(p->now->client.shared->single, 1);
	ck_assert_uint_eq(bell()->doorbell - number, TPI_RING_ROUNDS);
	ck_assert_uint_eq(control()->armed, armed + 1);
	sleep_times(3 * BRIEF);
	ck_assert_uint_eq(control()->armed, armed + 3 * BRIEF);
	/* It stays so when that one has gone. */
	ck_assert_int_eq(peer_detach(&peer), 0);
	peer_close(&peer);
	sleep_times(3 * BRIEF);
	ck_assert_uint_eq(control()->armed, armed + 6 * BRIEF);
}
END_TEST

/* One that comes while an announcement stands. */
START_TEST(an_older_broker_ends_an_announcement)
{
	uint32_t armed;

	stand();
	tpi_sleep_bound_ns = MS;
	ck_assert_int_eq(tapio_poll(c, views, 64, 5 * MS), 0);
	tpi_sleep_bound_ns = TPI_FOREVER_NS;
	armed = control()->armed;
	ck_assert(!c->now->call.own);
	c->now->client.wire_minor = TPI_WIRE_MINOR_ROUNDS - 1;
	sleep_times(1);
	ck_assert_uint_eq(control()->armed, armed + 1);
}
END_TEST

/* Bells of long ago have numbers that come again. */
START_TEST(an_announcement_is_good_for_no_other_bells)
{
	static const uint32_t far[] = {0, TPI_RING_ROUNDS + 1,
				       (UINT32_C(1) << 31) - 5,
				       (UINT32_C(1) << 31) + 5};
	uint32_t armed;

	stand();
	armed = control()->armed;
	c->now->call.until = bell()->doorbell + far[_i];
	sleep_times(1);
	ck_assert_uint_eq(control()->armed, armed + 1);
}
END_TEST

/* Nor is a broker relied on that lets them in without a word. */
START_TEST(with_an_older_broker_each_sleep_is_announced)
{
	uint32_t armed = control()->armed;

	c->now->client.wire_minor = TPI_WIRE_MINOR_ROUNDS - 1;
	sleep_times(3 * BRIEF);
	ck_assert_uint_eq(control()->armed, armed + 3 * BRIEF);
}
END_TEST

/* In memory before 0.7 nobody touches the words that came with it. */
START_TEST(in_older_memory_each_sleep_is_announced)
{
	uint32_t armed = control()->armed;

	c->now->client.catalog.minor = TAPIO_ABI_MINOR_ROUNDS - 1;
	p->now->emit.rounds = false;
	tpi_store_relaxed(&control()->ring_until, 12345);
	tpi_store_relaxed(&bell()->woken, 54321);
	sleep_times(3 * BRIEF);
	ck_assert_uint_eq(control()->armed, armed + 3 * BRIEF);
	ck_assert_uint_eq(control()->ring_until, 12345);
	ck_assert_uint_eq(bell()->woken, 54321);
}
END_TEST

/* Nor a barrier that has failed. */
START_TEST(without_a_barrier_nothing_is_left_out)
{
	uint32_t armed;

	stand();
	armed = control()->armed;
	tpi_store_relaxed(&c->now->deaf, true);
	sleep_times(1);
	ck_assert_uint_eq(control()->armed, armed + 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("rounds");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(
		t,
		a_member_that_each_event_wakes_announces_itself_once_for_many,
		0, 2);
	tcase_add_loop_test(t, others_announce_themselves_for_each_sleep, 0, 2);
	tcase_add_test(t, what_is_left_of_an_announcement_is_rung_once_each);
	tcase_add_loop_test(t, a_ring_that_has_woken_nobody_is_rung_again, 0,
			    2);
	tcase_add_test(t, a_ring_that_ends_late_is_harmless);
	tcase_add_test(t, a_sleep_without_an_announcement_is_rung_for_the_dead);
	tcase_add_loop_test(t, an_impossible_number_is_none, 0, 3);
	tcase_add_test(t, an_old_number_is_brought_to_the_bell);
	tcase_add_loop_test(t, a_ring_that_was_told_in_advance_is_put_right, 0,
			    3);
	tcase_add_test(t, a_window_that_ends_at_the_fence_is_over);
	tcase_add_test(t, the_largest_number_counts);
	tcase_add_test(t, the_next_group_of_a_slot_begins_without);
	tcase_add_test(t, with_an_older_producer_each_sleep_is_announced);
	tcase_add_test(t, with_an_older_broker_each_sleep_is_announced);
	tcase_add_test(t, an_older_broker_ends_an_announcement);
	tcase_add_loop_test(t, an_announcement_is_good_for_no_other_bells, 0,
			    4);
	tcase_add_test(t, in_older_memory_each_sleep_is_announced);
	tcase_add_test(t, without_a_barrier_nothing_is_left_out);
	return check_run_case("client rounds, unbounded", t);
}
