/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pollable descriptor of consumers that do not want every event at once: with
 * a watermark, and with a merge. They count how often it became readable, and
 * how often producers rang for it. Time-outs are there to end what hangs.
 */
#include <poll.h>
#include <pthread.h>

#include "tests/unit/client_fixture.h"

#define K       16
#define ROUNDS  50
#define MS      INT64_C(1000000)
#define HANG_MS 20000

#define STAMPED "channel t { stamp = \"tsc\"\n" RIG_CLASS "}\n"

static struct tapio_producer *p;
static struct tapio_consumer *c;
static struct tapio_view views[64];
static int fd;

static void set_up(void)
{
	rig_start(STAMPED);
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

static void open_with(uint32_t wake_events, int64_t wake_ns, int64_t merge_ns)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = wake_events,
		.wake_ns = (uint64_t)wake_ns,
		.merge_ns = (uint64_t)merge_ns,
	};

	c = rig_open(&options);
	fd = tapio_fd(c);
	ck_assert_int_ge(fd, 0);
}

static bool readable(int ms)
{
	struct pollfd f = {.fd = fd, .events = POLLIN};

	return poll(&f, 1, ms) == 1;
}

static void emit(int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

static uint32_t rings(void)
{
	return tpi_load_relaxed(c->now->doorbell);
}

/* The lane that events come on. */
static struct tpi_track *busy(void)
{
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		if (TAPIO_STATE_TAIL(tpi_lane_peek(c->now->tracks[i].lane)) !=
		    c->now->tracks[i].cursor->start)
			return &c->now->tracks[i];
	ck_abort_msg("nothing was emitted");
	return NULL;
}

static void wait_mark(uint32_t mark)
{
	const struct tpi_track *t = busy();

	for (int i = 0; tpi_load_relaxed(&t->cell->watermark) != mark; i++) {
		ck_assert_int_lt(i, HANG_MS);
		nap_ms(1);
	}
}

/* The helper waits for the others, unless its time is over before we see that. */
static void wait_mark_or_time(void)
{
	const struct tpi_track *t = busy();

	for (int i = 0; tpi_load_relaxed(&t->cell->watermark) != K; i++) {
		if (readable(1))
			return;
		ck_assert_int_lt(i, HANG_MS);
	}
}

/* ---- a watermark --------------------------------------------------------------- */

START_TEST(it_becomes_readable_once_for_k_events)
{
	uint32_t before;

	open_with(K, 60000 * MS, 0);
	ck_assert(readable(HANG_MS)); /* at first */
	ck_assert_uint_eq(drain(c), 0);
	for (int round = 0; round < ROUNDS; round++) {
		ck_assert(!readable(0));
		before = rings();
		emit(1); /* starts the clock */
		wait_mark(K);
		emit(K - 2);
		ck_assert(!readable(0));
		ck_assert_uint_eq(rings(), before + 1);
		emit(1);
		ck_assert(readable(HANG_MS));
		ck_assert_uint_eq(rings(), before + 2);
		ck_assert_uint_eq(drain(c), K);
	}
	assert_ledger(c, ROUNDS * K, 0, 0);
}
END_TEST

START_TEST(fewer_make_it_readable_when_their_time_is_over)
{
	open_with(K, 30 * MS, 0);
	ck_assert_uint_eq(drain(c), 0);
	for (int round = 0; round < 5; round++) {
		emit(3);
		ck_assert(readable(HANG_MS));
		ck_assert_uint_eq(drain(c), 3);
		ck_assert(!readable(0));
	}
	assert_ledger(c, 15, 0, 0);
}
END_TEST

/* A read before there were K begins the count anew, and the clock. */
START_TEST(what_was_read_meanwhile_does_not_count)
{
	open_with(K, 60000 * MS, 0);
	ck_assert_uint_eq(drain(c), 0);
	for (int round = 0; round < 5; round++) {
		emit(1);
		wait_mark(K);
		emit(K / 2);
		ck_assert(!readable(0));
		ck_assert_uint_eq(drain(c), K / 2 + 1);
	}
	emit(1);
	wait_mark(K);
	emit(K - 2);
	ck_assert(!readable(0));
	emit(1);
	ck_assert(readable(HANG_MS));
	ck_assert_uint_eq(drain(c), K);
}
END_TEST

/* Held views are not unread: waiting with them does not turn in circles. */
START_TEST(what_is_in_hand_is_not_unread)
{
	open_with((uint32_t)_i, 60000 * MS, 0);
	ck_assert_uint_eq(drain(c), 0);
	emit(10);
	ck_assert_uint_eq(look(c, views, 64), 10);
	/* Perhaps once more: the helper may just have seen those ten. */
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(look(c, views, 64), 0);
		if (!readable(250)) /* some rounds of the helper */
			break;
		ck_assert_int_eq(i, 0);
	}
	emit(_i);
	ck_assert(readable(HANG_MS));
	ck_assert_uint_eq(look(c, views, 64), (unsigned int)_i);
	ck_assert_int_eq(tapio_release(c), 0);
	assert_ledger(c, 10 + (uint64_t)_i, 0, 0);
}
END_TEST

static void *emit_later(void *arg)
{
	nap_ms(20);
	emit(*(int *)arg);
	return NULL;
}

/* Both ways of waiting, in turn: each sets marks, and undoes the other's. */
START_TEST(a_poll_that_waits_and_the_descriptor_go_together)
{
	pthread_t thread;
	int one = 1, n;

	open_with(K, 40 * MS, 0);
	ck_assert_uint_eq(drain(c), 0);
	for (int round = 0; round < 10; round++) {
		emit(1);
		wait_mark_or_time();
		ck_assert_uint_eq(drain(c), 1);
		pthread_create(&thread, NULL, emit_later, &one);
		/* Its own clock ends it: 40 ms after the first. */
		n = tapio_poll(c, views, 64, HANG_MS * MS);
		ck_assert_int_eq(n, 1);
		ck_assert_int_eq(tapio_release(c), 0);
		pthread_join(thread, NULL);
		/* A waiter for the descriptor is not forgotten. */
		ck_assert(readable(HANG_MS));
		ck_assert_uint_eq(drain(c), 0);
		ck_assert(!readable(0));
	}
	ck_assert_uint_eq(tpi_load_relaxed(&busy()->cell->watermark), 0);
	assert_ledger(c, 20, 0, 0);
}
END_TEST

/* A ring for another member may have answered our announcement, too. */
START_TEST(rings_for_others_do_not_make_it_deaf)
{
	struct tapio_consumer *other;
	uint32_t before;

	open_with(0, 0, 0);
	ck_assert_uint_eq(drain(c), 0);
	emit(1);
	ck_assert(readable(HANG_MS));
	ck_assert_uint_eq(drain(c), 1);
	other = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (int round = 0; round < ROUNDS; round++) {
		/* As a producer that answers the other's, and finds nothing of
		 * ours to do. */
		tpi_announce(other->now);
		before = tpi_load_relaxed(&c->now->control->armed);
		tpi_wake_group(p->now->client.channel.doorbells,
			       c->now->client.granted.group_slot, before, true);
		/* The helper announces itself anew, within one round. */
		for (int i = 0;
		     tpi_load_relaxed(&c->now->control->armed) == before; i++) {
			ck_assert_int_lt(i, HANG_MS);
			nap_ms(1);
		}
	}
	emit(1);
	ck_assert(readable(HANG_MS));
	ck_assert_uint_eq(drain(c), 1);
	tapio_consumer_close(other);
}
END_TEST

/* ---- a merge ---------------------------------------------------------------------- */

/* Once when it comes, once when it is ripe, and once if those two meet. */
START_TEST(a_burst_makes_it_readable_twice_or_so)
{
	struct tapio_item items[5];
	uint64_t got = 0;
	int looks = 0;

	for (int i = 0; i < 5; i++)
		items[i] = (struct tapio_item){&looks, sizeof(looks), TAG};
	open_with(0, 0, 30 * MS);
	ck_assert_uint_eq(drain(c), 0);
	for (int round = 0; round < 10; round++) {
		ck_assert_int_eq(tapio_output_batch(p, items, 5), 5);
		for (got = 0; got < 5; looks++) {
			ck_assert(readable(HANG_MS));
			got += drain(c);
		}
		ck_assert_uint_eq(got, 5);
		ck_assert_uint_eq(drain(c), 0);
	}
	ck_assert_int_ge(looks, 10);
	ck_assert_int_le(looks, 3 * 10);
	ck_assert_uint_eq(group_stats(c).late, 0);
	assert_ledger(c, 50, 0, 0);
}
END_TEST

/*
 * The helper may be anywhere on its way to sleep when the consumer leaves it alone
 * with something that is not ripe. Here it is nowhere at all.
 */
START_TEST(it_becomes_readable_when_due_without_the_helper)
{
	open_with(0, 0, 50 * MS);
	ck_assert(c->now->bellhop.timer);
	ck_assert_uint_eq(drain(c), 0);
	emit(1);
	ck_assert(readable(HANG_MS)); /* rung for: the helper's last */
	tpi_store_release(&c->now->bellhop.stop, 1);
	for (int i = 0; i < 10; i++) {
		uint64_t got = 0;

		while (!got) {
			got = drain(c);
			if (!got)
				ck_assert(readable(HANG_MS));
		}
		ck_assert_uint_eq(got, 1);
		emit(1);
	}
	ck_assert_uint_eq(group_stats(c).late, 0);
}
END_TEST

START_TEST(while_something_is_not_ripe_nobody_is_rung)
{
	uint32_t before;

	open_with(0, 0, 10000 * MS);
	ck_assert_uint_eq(drain(c), 0);
	emit(1);
	ck_assert(readable(HANG_MS));
	ck_assert_uint_eq(drain(c), 0); /* not for ten seconds */
	emit(1);                        /* answers what was announced before */
	before = rings();
	emit(10); /* fewer than a quarter of the lane */
	ck_assert_uint_eq(rings(), before);
	ck_assert(!readable(250));
	ck_assert_uint_eq(rings(), before);
	ck_assert_uint_eq(drain(c), 0);
}
END_TEST

/* A seccomp profile may know of no timerfd: then the helper keeps the time. */
START_TEST(without_a_timer_the_helper_keeps_the_time)
{
	uint64_t got = 0;

	open_with(0, 0, 30 * MS);
	/* As if it had been refused. Before anybody is armed. */
	ck_assert(readable(HANG_MS));
	c->now->bellhop.timer = false;
	for (int round = 0; round < 5; round++) {
		ck_assert_uint_eq(drain(c), 0);
		emit(3);
		for (got = 0; got < 3; got += drain(c))
			nap_ms(5);
	}
	ck_assert_uint_eq(group_stats(c).late, 0);
	c->now->bellhop.timer = true;
	assert_ledger(c, 15, 0, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_fd");
	TCase *t = tcase_create("fd");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, it_becomes_readable_once_for_k_events);
	tcase_add_test(t, fewer_make_it_readable_when_their_time_is_over);
	tcase_add_test(t, what_was_read_meanwhile_does_not_count);
	tcase_add_loop_test(t, what_is_in_hand_is_not_unread, 1, 4);
	tcase_add_test(t, a_poll_that_waits_and_the_descriptor_go_together);
	tcase_add_test(t, rings_for_others_do_not_make_it_deaf);
	tcase_add_test(t, a_burst_makes_it_readable_twice_or_so);
	tcase_add_test(t, it_becomes_readable_when_due_without_the_helper);
	tcase_add_test(t, while_something_is_not_ripe_nobody_is_rung);
	tcase_add_test(t, without_a_timer_the_helper_keeps_the_time);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
