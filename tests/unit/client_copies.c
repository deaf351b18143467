/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of a reservation: one of them is submitted or discarded, once, and every other
 * one is refused with -EINVAL, whatever has happened to the block since. Most of these
 * tests fail on commit fddcec1, where a copy was accepted as long as any block of the
 * lane was held; from then on one block lay twice in the ring, and other processes'
 * events had foreign bytes.
 *
 * The victim is another handle, which holds a block of the same lane. Its events tell
 * whether its blocks are its own. A side lane is its handle's alone, so there the
 * handle is its own victim.
 */
#include <limits.h>

#include "tests/unit/client_fixture.h"

#define BLOCKS 16
#define CONFIG                                                     \
	"channel t { stamp = \"none\"\n class main { block = 64\n" \
	"blocks = 16\n side_blocks = 16\n side_lanes = 8 } }\n"

static struct tapio_producer *p, *victim, *keeper;
static struct tapio_consumer *c;
static struct tapio_reservation held; /* the victim's, throughout */

static void set_up(void)
{
	pin(0);
	rig_start(CONFIG);
	p = rig_producer();
	victim = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	keeper = on_cpu_lanes(p) ? victim : p;
	ck_assert_int_eq(tapio_reserve(keeper, TAG, 8, &held), 0);
}

static uint64_t next_number;

/* Events of one handle, each alone in the lane for a while. Each MUST be
 * intact. */
static void check_events_of(struct tapio_producer *who)
{
	struct tapio_view views[BLOCKS];
	uint64_t value, first;
	unsigned int i, n, round;

	for (round = 0; round < 4; round++) {
		first = next_number;
		for (i = 0; i < BLOCKS / 2; i++, next_number++)
			ck_assert_int_eq(tapio_output(who, TAG, &next_number,
						      sizeof(next_number)),
					 0);
		n = look(c, views, BLOCKS);
		ck_assert_uint_eq(n, BLOCKS / 2);
		for (i = 0; i < n; i++) {
			memcpy(&value, views[i].data, sizeof(value));
			ck_assert_uint_eq(value, first + i);
		}
		ck_assert_int_eq(tapio_release(c), 0);
	}
}

static void tear_down(void)
{
	uint64_t lost = group_stats(c).lost;

	ck_assert_int_eq(tapio_submit(keeper, &held), 0);
	ck_assert_uint_eq(drain(c), 1);
	check_events_of(victim);
	check_events_of(p);
	assert_nothing_held(p);
	ck_assert_uint_eq(lost, 0);
	tapio_consumer_close(c);
	tapio_producer_close(victim);
	tapio_producer_close(p);
	rig_stop();
}

static void refused(struct tapio_reservation r)
{
	struct tapio_reservation batch[3] = {r, r, r};
	const void *data = r.data;

	ck_assert_int_eq(tapio_submit(p, &r), -EINVAL);
	ck_assert_ptr_eq(r.data, data);
	ck_assert_int_eq(tapio_submit_batch(p, batch, 3), -EINVAL);
	ck_assert_int_eq(tapio_discard(p, &r), -EINVAL);
	ck_assert_int_eq(tapio_discard_batch(p, batch, 3), -EINVAL);
	ck_assert_ptr_eq(batch[0].data, data);
}

START_TEST(a_copy_is_refused_after_the_first_submit_or_discard)
{
	struct tapio_reservation r, copy;

	set_up();
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	copy = r;
	if (_i)
		ck_assert_int_eq(tapio_discard(p, &r), 0);
	else
		ck_assert_int_eq(tapio_submit(p, &r), 0);
	refused(copy);
	ck_assert_uint_eq(drain(c), _i ? 0 : 1);
	refused(copy);
	tear_down();
}
END_TEST

START_TEST(a_copy_is_refused_on_every_lap_of_its_block)
{
	struct tapio_reservation r, copy, more;
	int i;

	set_up();
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	copy = r;
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(drain(c), 1);
	for (i = 0; i < 20 * BLOCKS; i++) {
		refused(copy);
		ck_assert_int_eq(
			tapio_output(i % 2 ? p : victim, TAG, &i, sizeof(i)),
			0);
		refused(copy);
		ck_assert_uint_eq(drain(c), 1);
		/* The same block, in the same handle's hands, is another
		 * reservation. */
		ck_assert_int_eq(tapio_reserve(p, TAG, 8, &more), 0);
		refused(copy);
		ck_assert_int_eq(i % 3 ? tapio_submit(p, &more)
				       : tapio_discard(p, &more),
				 0);
		refused(copy);
		drain(c);
	}
	tear_down();
}
END_TEST

/* Every pair of places of one reservation in a batch, alone and with others. */
START_TEST(a_batch_with_a_reservation_twice_ends_before_the_second)
{
	struct tapio_reservation r[4], batch[4];
	int i, j;

	set_up();
	for (i = 0; i < 4; i++)
		for (j = i + 1; j < 4; j++) {
			ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 4),
					 4);
			memcpy(batch, r, sizeof(batch));
			batch[j] = batch[i];
			ck_assert_int_eq(_i ? tapio_discard_batch(p, batch, 4)
					    : tapio_submit_batch(p, batch, 4),
					 j);
			ck_assert_int_eq(
				_i ? tapio_discard_batch(p, batch + j, 4 - j)
				   : tapio_submit_batch(p, batch + j, 4 - j),
				-EINVAL);
			/* The ones that were not there are still open. */
			ck_assert_int_eq(tapio_submit(p, &r[j]), 0);
			if (j < 3)
				ck_assert_int_eq(
					tapio_submit_batch(p, r + j + 1, 3 - j),
					3 - j);
			ck_assert_uint_eq(drain(c), _i ? 4 - j : 4);
			ck_assert_uint_eq(channel_stats(p).held, 1);
		}
	tear_down();
}
END_TEST

START_TEST(a_batch_ends_before_a_closed_reservation)
{
	struct tapio_reservation r[8], closed;
	int i;

	set_up();
	for (i = 0; i < 7; i++) {
		ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 7), 7);
		closed = r[i];
		ck_assert_int_eq(tapio_submit(p, &closed), 0);
		ck_assert_int_eq(tapio_submit_batch(p, r, 7), i ? i : -EINVAL);
		ck_assert_int_eq(tapio_submit_batch(p, r + i, 7 - i), -EINVAL);
		if (i < 6)
			ck_assert_int_eq(
				tapio_discard_batch(p, r + i + 1, 6 - i),
				6 - i);
		ck_assert_uint_eq(drain(c), i + 1);
		ck_assert_uint_eq(channel_stats(p).held, 1);
	}
	tear_down();
}
END_TEST

START_TEST(another_handles_reservation_is_refused)
{
	struct tapio_reservation r;

	set_up();
	if (keeper == victim)
		refused(held);
	/* Nor one that was never made. */
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	held.ticket ^= 1u << 20;
	refused(held);
	held.ticket ^= 1u << 20;
	r.ticket ^= 1u << 20;
	refused(r);
	r.ticket ^= 1u << 20;
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(drain(c), 1);
	tear_down();
}
END_TEST

START_TEST(a_count_of_nothing_is_nothing_and_a_huge_one_ends_at_a_closed_one)
{
	struct tapio_reservation r[BLOCKS] = {{0}};
	struct tapio_item item = {.tag = 0};
	int n;

	set_up();
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 0), 0);
	ck_assert_int_eq(tapio_submit_batch(p, r, 0), 0);
	ck_assert_int_eq(tapio_discard_batch(p, r, 0), 0);
	ck_assert_int_eq(tapio_output_batch(p, &item, 0), 0);
	ck_assert_int_eq(tapio_output_batch(p, &item, UINT_MAX), -EINVAL);
	n = tapio_reserve_batch(p, TAG, 8, r, UINT_MAX);
	ck_assert_int_eq(n, BLOCKS / 4);
	ck_assert_int_eq(tapio_submit_batch(p, r, UINT_MAX), n);
	ck_assert_int_eq(tapio_submit_batch(p, r, UINT_MAX), -EINVAL);
	ck_assert_int_eq(tapio_discard_batch(p, r, 1u + INT_MAX), -EINVAL);
	ck_assert_uint_eq(drain(c), (unsigned int)n);
	tear_down();
}
END_TEST

/* ---- on two CPUs ----------------------------------------------------------- */

static bool two_lanes(void)
{
	const char *reason;

	return cpu_count() > 1 &&
	       tpi_rseq_selftest(&reason) == TAPIO_RSEQ_PROVEN;
}

START_TEST(a_copy_is_refused_on_either_cpu_after_a_submit_on_either)
{
	struct tapio_reservation r, copy;
	int first = _i & 1, discard = _i & 2;

	set_up();
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	copy = r;
	pin(first);
	if (discard)
		ck_assert_int_eq(tapio_discard(p, &r), 0);
	else
		ck_assert_int_eq(tapio_submit(p, &r), 0);
	refused(copy);
	pin(!first);
	refused(copy);
	pin(0);
	refused(copy);
	ck_assert_uint_eq(drain(c), discard ? 0 : 1);
	/* A block that was given up away from its lane is taken up again
	 * here. */
	for (int i = 0; channel_stats(p).held > 1 && i < BLOCKS; i++) {
		while (!tapio_output(p, TAG, &i, sizeof(i)))
			refused(copy);
		drain(c);
	}
	refused(copy);
	ck_assert_uint_eq(channel_stats(p).held, 1);
	tear_down();
}
END_TEST

START_TEST(a_claimed_block_is_another_reservation)
{
	struct tapio_reservation r[BLOCKS / 2], again[BLOCKS / 2];
	int i, n, m;

	set_up();
	n = tapio_reserve_batch(p, TAG, 8, r, BLOCKS / 2);
	ck_assert_int_eq(n, BLOCKS / 4);
	n += tapio_reserve_batch(p, TAG, 8, r + n, BLOCKS / 2 - n);
	ck_assert_int_eq(n, BLOCKS / 4 + 2);
	n += tapio_reserve_batch(p, TAG, 8, r + n, BLOCKS / 2 - n);
	ck_assert_int_eq(n, BLOCKS / 2 - 1); /* one is the victim's */
	for (int round = 0; round < 5; round++) {
		memcpy(again, r, sizeof(r));
		pin(1);
		ck_assert_int_eq(tapio_discard_batch(p, r, (unsigned int)n), n);
		pin(0);
		/* Half of the lane is held, so these are the same blocks. */
		m = 0;
		while (m < n) {
			i = tapio_reserve_batch(p, TAG, 8, r + m,
						(unsigned int)(n - m));
			ck_assert_int_gt(i, 0);
			m += i;
		}
		for (i = 0; i < n; i++)
			refused(again[i]);
	}
	ck_assert_int_eq(tapio_submit_batch(p, r, (unsigned int)n), n);
	ck_assert_uint_eq(drain(c), (unsigned int)n);
	tear_down();
}
END_TEST

START_TEST(a_copy_is_closed_by_a_submit_that_finds_no_room_elsewhere)
{
	struct tapio_reservation r, copy;
	uint64_t x = 7;

	set_up();
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	memcpy(r.data, &x, sizeof(x));
	copy = r;
	pin(1);
	while (!tapio_output(p, TAG, &x, sizeof(x)))
		;
	ck_assert_int_eq(tapio_submit(p, &r), -EAGAIN);
	refused(copy);
	pin(0);
	refused(copy);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(drain(c), BLOCKS + 1);
	ck_assert_uint_eq(channel_stats(p).held, 1);
	tear_down();
}
END_TEST

/* T5: each retaken ticket has a serial of its own. */
START_TEST(two_retaken_tickets_have_two_serials)
{
	struct tapio_reservation r[2];
	uint64_t x = 1;
	int i;

	set_up();
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 2), 2);
	pin(1);
	for (i = 0; i < BLOCKS; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), 0);
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(tapio_submit(p, &r[i]), -EAGAIN);
	ck_assert_uint_ne(r[0].ticket / BLOCKS, r[1].ticket / BLOCKS);
	pin(0);
	ck_assert_int_eq(tapio_submit_batch(p, r, 2), 2);
	ck_assert_uint_eq(drain(c), BLOCKS + 2);
	tear_down();
}
END_TEST

START_TEST(a_batch_of_two_lanes_goes_to_both)
{
	struct tapio_reservation r[2];

	set_up();
	/* The same number of the block on both. */
	ck_assert_int_eq(tapio_submit(keeper, &held), 0);
	pin(1);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r[1]), 0);
	pin(0);
	for (;;) {
		ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r[0]), 0);
		if (r[0].block == r[1].block)
			break;
		ck_assert_int_eq(tapio_submit(p, &r[0]), 0);
		drain(c);
	}
	ck_assert_uint_ne(r[0].lane, r[1].lane);
	ck_assert_int_eq(tapio_submit_batch(p, r, 2), 2);
	ck_assert_uint_eq(drain(c), 2);
	/* The broker takes the block that was given up elsewhere. */
	while (channel_stats(p).held)
		nap_ms(10);
	ck_assert_int_eq(tapio_reserve(keeper, TAG, 8, &held), 0);
	tear_down();
}
END_TEST

START_TEST(a_block_number_that_no_block_has_is_refused)
{
	static const uint32_t numbers[] = {BLOCKS, BLOCKS + 1, 1 << 20,
					   UINT32_MAX};
	struct tapio_reservation r, bad;
	unsigned int i;

	set_up();
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		bad = r;
		bad.block = numbers[i];
		ck_assert_int_eq(tapio_submit(p, &bad), -EINVAL);
		ck_assert_int_eq(tapio_submit_batch(p, &bad, 1), -EINVAL);
		ck_assert_int_eq(tapio_discard(p, &bad), -EINVAL);
	}
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(drain(c), 1);
	tear_down();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("copies");

	tcase_add_loop_test(
		t, a_copy_is_refused_after_the_first_submit_or_discard, 0, 2);
	tcase_add_test(t, a_copy_is_refused_on_every_lap_of_its_block);
	tcase_add_loop_test(
		t, a_batch_with_a_reservation_twice_ends_before_the_second, 0,
		2);
	tcase_add_test(t, a_batch_ends_before_a_closed_reservation);
	tcase_add_test(t, another_handles_reservation_is_refused);
	tcase_add_test(
		t,
		a_count_of_nothing_is_nothing_and_a_huge_one_ends_at_a_closed_one);
	tcase_add_test(t, a_block_number_that_no_block_has_is_refused);
	if (two_lanes()) {
		tcase_add_test(t, two_retaken_tickets_have_two_serials);
		tcase_add_test(t, a_batch_of_two_lanes_goes_to_both);
		tcase_add_loop_test(
			t,
			a_copy_is_refused_on_either_cpu_after_a_submit_on_either,
			0, 4);
		tcase_add_test(t, a_claimed_block_is_another_reservation);
		tcase_add_test(
			t,
			a_copy_is_closed_by_a_submit_that_finds_no_room_elsewhere);
	}
	return check_run_case("client copies", t);
}
