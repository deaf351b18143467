/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that change CPU between reserving and submitting: the event is accepted
 * once, where the thread is, and the block it leaves behind is not lost.
 */
#include "tests/unit/client_fixture.h"

static struct tapio_producer *p;
static struct tapio_consumer *c;

static void set_up(const char *config)
{
	pin(0);
	rig_start(config);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
}

static void tear_down(void)
{
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}

/* Closes the producer, after which the broker holds nothing back either. */
static void close_and_check(uint64_t delivered, uint64_t skipped)
{
	struct tapio_producer *other = rig_producer();

	tapio_producer_close(p);
	p = other;
	ck_assert_uint_eq(drain(c), 0);
	assert_nothing_held(p);
	assert_ledger(c, delivered, skipped, 0);
	tear_down();
}

START_TEST(an_event_submitted_on_another_cpu_is_accepted_there_once)
{
	struct tapio_reservation r;
	struct tapio_view views[2];
	uint32_t from, i;

	set_up(RIG_CONFIG);
	ck_assert_int_eq(tapio_reserve(p, TAG, 100, &r), 0);
	memset(r.data, 'x', 100);
	from = r.lane;
	pin(1);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_int_eq(tapio_submit(p, &r), -EINVAL);
	ck_assert_uint_eq(look(c, views, 2), 1);
	ck_assert_uint_ne(views[0].lane, from);
	ck_assert_uint_eq(views[0].length, 100);
	ck_assert_uint_eq(((const char *)views[0].data)[99], 'x');
	tapio_release(c);
	/* A block that was left behind waits for a producer that needs it. */
	ck_assert_uint_eq(channel_stats(p).held, 1);
	pin(0);
	for (i = 0; i < 64; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
	assert_nothing_held(p);
	ck_assert_uint_eq(drain(c), 64);
	close_and_check(65, 0);
}
END_TEST

START_TEST(an_event_discarded_on_another_cpu_is_not_delivered)
{
	struct tapio_reservation r[4];

	set_up(RIG_CONFIG);
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 100, r, 4), 4);
	pin(1);
	ck_assert_int_eq(tapio_discard(p, &r[3]), 0);
	ck_assert_int_eq(tapio_discard_batch(p, r, 3), 3);
	ck_assert_uint_eq(drain(c), 0);
	ck_assert_uint_eq(channel_stats(p).held, 4);
	close_and_check(0, 4);
}
END_TEST

START_TEST(abandoned_blocks_serve_whoever_finds_the_lane_without_others)
{
	struct tapio_reservation r[32];
	uint64_t i;

	set_up(RIG_CONFIG);
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 32), 32);
	pin(1);
	ck_assert_int_eq(tapio_discard_batch(p, r, 32), 32);
	pin(0);
	/* 32 free ones, then the abandoned: all 64 can be published. */
	for (i = 0; i < 64; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
	ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), -EAGAIN);
	assert_nothing_held(p);
	ck_assert_uint_eq(drain(c), 64);
	close_and_check(64, 0);
}
END_TEST

START_TEST(abandoned_blocks_can_be_reserved_again)
{
	struct tapio_reservation r[32];
	int i;

	set_up(RIG_CONFIG);
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 32), 32);
	pin(1);
	ck_assert_int_eq(tapio_discard_batch(p, r, 32), 32);
	pin(0);
	/* Half of the lane is held, so only those can be had. */
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 32), 32);
	for (i = 0; i < 32; i++)
		memcpy(r[i].data, &i, sizeof(i));
	ck_assert_int_eq(tapio_submit_batch(p, r, 32), 32);
	ck_assert_uint_eq(drain(c), 32);
	close_and_check(32, 0);
}
END_TEST

START_TEST(without_room_on_the_new_cpu_the_reservation_stays_valid)
{
	struct tapio_reservation r;
	struct tapio_view v;
	uint64_t x = 0;

	set_up(RIG_CONFIG);
	ck_assert_int_eq(tapio_reserve(p, TAG, 100, &r), 0);
	memset(r.data, 'y', 100);
	pin(1);
	while (!tapio_output(p, TAG, &x, sizeof(x)))
		x++;
	ck_assert_uint_eq(x, 64);
	ck_assert_int_eq(tapio_submit(p, &r), -EAGAIN);
	ck_assert_int_eq(tapio_submit(p, &r), -EAGAIN);
	/* Back home it needs no room. */
	pin(0);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(drain(c), 65);
	ck_assert_uint_eq(channel_stats(p).dropped, 3);
	/* And with room it goes out where we are. */
	ck_assert_int_eq(tapio_reserve(p, TAG, 1, &r), 0);
	memset(r.data, 'z', 1);
	pin(1);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(look(c, &v, 1), 1);
	ck_assert_uint_eq(*(const char *)v.data, 'z');
	tapio_release(c);
	close_and_check(66, 1);
}
END_TEST

START_TEST(a_batch_submitted_elsewhere_arrives_in_order_once)
{
	struct tapio_reservation r[16];
	struct tapio_view views[32];
	unsigned int i;

	set_up(RIG_CONFIG);
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 16), 16);
	for (i = 0; i < 16; i++)
		memcpy(r[i].data, &i, sizeof(i));
	pin(1);
	ck_assert_int_eq(tapio_submit_batch(p, r, 16), 16);
	ck_assert_uint_eq(look(c, views, 32), 16);
	for (i = 0; i < 16; i++)
		ck_assert_uint_eq(*(const unsigned int *)views[i].data, i);
	tapio_release(c);
	close_and_check(16, 16);
}
END_TEST

#define LARGE                                                         \
	"channel t { stamp = \"none\"\n class main { block = 65536\n" \
	"blocks = 16\n side_blocks = 16 } }\n"

START_TEST(a_large_event_follows_its_thread)
{
	struct tapio_reservation r;
	struct tapio_view v;
	uint32_t i;

	set_up(LARGE);
	ck_assert_int_eq(tapio_reserve(p, TAG, 60000, &r), 0);
	for (i = 0; i < 60000; i++)
		((unsigned char *)r.data)[i] = (unsigned char)(i * 7);
	pin(1);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(look(c, &v, 1), 1);
	ck_assert_uint_eq(v.length, 60000);
	for (i = 0; i < 60000; i++)
		ck_assert_uint_eq(((const unsigned char *)v.data)[i],
				  (unsigned char)(i * 7));
	tapio_release(c);
	ck_assert_uint_eq(channel_stats(p).side_lane, 0);
	close_and_check(1, 1);
}
END_TEST

START_TEST(a_large_event_without_room_keeps_its_reservation)
{
	static unsigned char bytes[60000];
	struct tapio_reservation r;
	int n = 0;

	set_up(LARGE);
	ck_assert_int_eq(tapio_reserve(p, TAG, 60000, &r), 0);
	memset(r.data, 'k', 60000);
	pin(1);
	while (!tapio_output(p, TAG, bytes, sizeof(bytes)))
		n++;
	ck_assert_int_eq(n, 16);
	ck_assert_int_eq(tapio_submit(p, &r), -EAGAIN);
	ck_assert_uint_eq(drain(c), 16);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(drain(c), 1);
	close_and_check(17, 1);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *t;

	if (cpu_count() < 2) {
		puts("needs two CPUs to move between");
		return 77;
	}
	if (!require_cpu_lanes()) {
		puts("needs CPUs' lanes");
		return 77;
	}
	suite = suite_create("client move");
	t = tcase_create("move");
	tcase_add_test(
		t, an_event_submitted_on_another_cpu_is_accepted_there_once);
	tcase_add_test(t, an_event_discarded_on_another_cpu_is_not_delivered);
	tcase_add_test(
		t,
		abandoned_blocks_serve_whoever_finds_the_lane_without_others);
	tcase_add_test(t, abandoned_blocks_can_be_reserved_again);
	tcase_add_test(t,
		       without_room_on_the_new_cpu_the_reservation_stays_valid);
	tcase_add_test(t, a_batch_submitted_elsewhere_arrives_in_order_once);
	tcase_add_test(t, a_large_event_follows_its_thread);
	tcase_add_test(t, a_large_event_without_room_keeps_its_reservation);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
