/* SPDX-License-Identifier: Apache-2.0 */
/* The lane's operations, one thread, both flavours (lane_fixture.h). */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/lane_fixture.h"
#include "tests/check_main.h"

#define ME   TAPIO_ATTACHMENT_ID(1, 1)
#define YOU  TAPIO_ATTACHMENT_ID(2, 1)
#define HERE TAPIO_ATTACHMENT_ID(3, 1)

static struct lane_fixture f;

static void fill(unsigned char *data, uint32_t length, unsigned int seed)
{
	uint32_t i;

	for (i = 0; i < length; i++)
		data[i] = (unsigned char)(seed * 31 + i * 7 + i / 64);
}

static const unsigned char *data_at(uint64_t position)
{
	return tpi_lane_block(
		&f.lane, TAPIO_DESC_BLOCK(f.lane.desc[position & f.lane.mask]));
}

START_TEST(a_fresh_lane_has_n_discards_and_all_its_blocks)
{
	lane_fixture_init(&f, 8, 64, 8);
	ck_assert_uint_eq(lane_tail(&f), 8);
	ck_assert_uint_eq(lane_held(&f), 0);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(output_delivers_every_length_whole_and_writes_no_neighbour)
{
	unsigned char data[1024], *next;
	uint64_t position, desc;
	uint32_t length;

	lane_fixture_init(&f, 8, 1024, 8);
	for (length = 0; length <= 1024; length++) {
		memset(f.lane.blocks, 0xee, 8 * 1024);
		fill(data, length, length);
		position = lane_tail(&f);
		ck_assert_int_eq(lane_output(&f, 7, data, length), 0);
		desc = f.lane.desc[position & f.lane.mask];
		ck_assert_uint_eq(TAPIO_DESC_LENGTH(desc), length);
		ck_assert_uint_eq(TAPIO_DESC_TYPE(desc), 7);
		ck_assert_uint_eq(TAPIO_DESC_SEVERITY(desc), 3);
		ck_assert_mem_eq(data_at(position), data, length);
		next = tpi_lane_block(&f.lane,
				      (TAPIO_DESC_BLOCK(desc) + 1) % 8);
		ck_assert_uint_eq(next[0], 0xee);
		ck_assert_uint_ne(f.lane.time[position & f.lane.mask], 0);
		ck_assert_uint_eq(lane_tail(&f), position + 1);
	}
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(output_never_touches_what_a_lossless_group_has_not_released)
{
	uint64_t start, i;
	uint32_t value;

	lane_fixture_init(&f, 16, 64, 16);
	lane_fixture_join(&f, 5, TAPIO_GROUP_LOSSLESS, 0);
	start = lane_tail(&f);
	for (i = 0; i < 16; i++) {
		value = (uint32_t)i;
		ck_assert_int_eq(lane_output(&f, 1, &value, 4), 0);
	}
	ck_assert_int_eq(lane_output(&f, 1, &value, 4), TPI_FULL);
	for (i = 0; i < 16; i++) {
		memcpy(&value, data_at(start + i), 4);
		ck_assert_uint_eq(value, i);
	}
	lane_fixture_release(&f, 5, start + 3);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(lane_output(&f, 1, &value, 4), 0);
	ck_assert_int_eq(lane_output(&f, 1, &value, 4), TPI_FULL);
	ck_assert_uint_eq(f.lane.shm->gate, start + 3);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(the_slowest_gating_group_holds_and_a_lossy_one_does_not)
{
	uint64_t start;
	uint32_t v = 0;
	int i, slot;

	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 0, TAPIO_GROUP_LOSSY, 0);
	start = lane_tail(&f);
	for (i = 0; i < 100; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	lane_fixture_join(&f, 1, TAPIO_GROUP_LOSSLESS, 0);
	lane_fixture_join(&f, 63, TAPIO_GROUP_LOSSLESS, 0);
	start = lane_tail(&f);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	lane_fixture_release(&f, 1, start + 8);
	lane_fixture_release(&f, 63, start + 2);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	ck_assert(tpi_gate_compute(&f.lane, &f.gating, &(uint64_t){0},
				   &(uint64_t){0}, &slot));
	ck_assert_int_eq(slot, 63);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(a_group_until_a_lag_holds_no_longer_than_the_lag)
{
	uint32_t v = 0;
	int i;

	lane_fixture_init(&f, 16, 64, 16);
	lane_fixture_join(&f, 0, TAPIO_GROUP_UNTIL, 0);
	for (i = 0; i < 100; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	/* Half the ring is what it may hold: the gate never lags more. */
	ck_assert_int_ge(tapio_position_diff(f.lane.shm->gate, lane_tail(&f)),
			 -16);
	lane_fixture_fini(&f);
}
END_TEST

/* U4: what group 0 has not read within its lag is taken block by block. */
static void assert_no_more_than_needed(void)
{
	uint64_t state = f.lane.shm->state;
	uint64_t gate = f.lane.shm->gate & TAPIO_POSITION_MASK;
	uint64_t lagging = TAPIO_STATE_TAIL(state) -
			   tpi_until_lag(&f.lane, f.groups[0].slot);

	ck_assert(tapio_position_diff(gate, lagging) <= 0 ||
		  gate == tpi_lane_reap(&f.lane, state));
}

/*
 * Half of the lane in hands and a lag of as much, or more: one output after the other
 * finds room, and one block after the other can be reserved. On commit fddcec1 none.
 */
START_TEST(holders_and_a_lagging_group_together_do_not_close_a_lane)
{
	static const uint32_t lags[] = {0, 1, 7, 8, 9, 15, 100};
	uint32_t blocks[16], more[2], v = 0, held, i, k;

	for (k = 0; k < sizeof(lags) / sizeof(lags[0]) * 2; k++)
		for (held = 0; held <= 8; held++) {
			lane_fixture_init(&f, 16, 64, 16);
			lane_fixture_join(&f, 0, TAPIO_GROUP_UNTIL,
					  lags[k / 2]);
			if (k % 2)
				f.groups[0].slot |= TAPIO_SLOT_FAR;
			for (i = 0; i < held; i++)
				ck_assert_int_eq(
					lane_reserve(&f, ME, &blocks[i], 1), 0);
			for (i = 0; i < 100; i++)
				ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
			assert_no_more_than_needed();
			for (i = 0; i < 100 && held < 8; i++) {
				ck_assert_int_eq(lane_reserve(&f, ME, more, 1),
						 0);
				ck_assert_int_eq(
					lane_publish(&f, 1, 4, more, 1), 0);
			}
			lane_check_blocks(&f);
			lane_fixture_fini(&f);
		}
}
END_TEST

static uint32_t kept(uint32_t lag, bool far)
{
	uint64_t slot =
		TAPIO_SLOT(TAPIO_SLOT_ACTIVE, TAPIO_GROUP_UNTIL, 1, lag) |
		(far ? TAPIO_SLOT_FAR : 0);

	return tpi_until_lag(&f.lane, slot);
}

START_TEST(a_lag_is_at_most_half_a_lane_without_the_right_to_more)
{
	lane_fixture_init(&f, 16, 64, 16);
	ck_assert_uint_eq(kept(0, false), 8);
	ck_assert_uint_eq(kept(0, true), 8);
	ck_assert_uint_eq(kept(3, false), 3);
	ck_assert_uint_eq(kept(8, false), 8);
	ck_assert_uint_eq(kept(9, false), 8);
	ck_assert_uint_eq(kept(9, true), 9);
	ck_assert_uint_eq(kept(15, true), 15);
	ck_assert_uint_eq(kept(16, true), 15);
	ck_assert_uint_eq(kept(UINT32_MAX, true), 15);
	ck_assert_uint_eq(kept(UINT32_MAX, false), 8);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(the_epoch_of_a_gate_is_no_part_of_its_position)
{
	uint64_t start;
	uint32_t v = 0, i;

	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 0, TAPIO_GROUP_LOSSLESS, 0);
	start = lane_tail(&f);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_uint_eq(tpi_gate_seal(&f.lane), start);
	ck_assert_uint_eq(tpi_gate_seal(&f.lane), start);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	/* The epoch is no part of the position. */
	lane_fixture_release(&f, 0, start + 2);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	ck_assert_uint_eq(f.lane.shm->gate, (UINT64_C(2) << 48) | (start + 2));
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(a_head_of_another_incarnation_is_no_news)
{
	uint64_t start;
	uint32_t v = 0;
	int i;

	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 2, TAPIO_GROUP_LOSSLESS, 0);
	start = lane_tail(&f);
	/* A former member that wakes up late stores its old head far ahead. */
	f.cursors[2].cells[0].head = TAPIO_HEAD(start + 1000, 7, 0);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	ck_assert_uint_eq(f.lane.shm->gate, start);
	lane_fixture_fini(&f);
}
END_TEST

/* As a member that lies, or one that goes on where it was last possible. */
START_TEST(a_head_that_goes_back_takes_no_gate_along)
{
	uint64_t start;
	uint32_t v = 0;
	int i;

	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 2, TAPIO_GROUP_LOSSLESS, 0);
	start = lane_tail(&f);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	lane_fixture_release(&f, 2, start + 4);
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	lane_fixture_release(&f, 2, start + 1);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	ck_assert_uint_eq(f.lane.shm->gate, start + 4);
	lane_fixture_fini(&f);
}
END_TEST

/* Only a producer that lies takes as many. */
START_TEST(a_lane_of_which_all_is_held_says_so)
{
	uint32_t v = 0;

	lane_fixture_init(&f, 8, 64, 8);
	f.lane.shm->state = TAPIO_STATE(lane_tail(&f), 8);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_HELD);
	lane_fixture_fini(&f);
}
END_TEST

/* One that has ended since the look at `active`. */
START_TEST(a_slot_that_is_not_active_holds_nothing)
{
	uint32_t v = 0, i;

	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 2, TAPIO_GROUP_LOSSLESS, 0);
	f.groups[2].slot =
		TAPIO_SLOT(TAPIO_SLOT_FREE, TAPIO_GROUP_LOSSLESS, 1, 0);
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	lane_fixture_fini(&f);
}
END_TEST

/* Its new memory is mapped outside of the operation. Until then nothing is taken. */
START_TEST(a_slot_whose_cursors_are_not_mapped_keeps_the_gate)
{
	uint32_t v = 0, i;
	uint64_t start;

	lane_fixture_init(&f, 8, 64, 8);
	start = lane_tail(&f);
	lane_fixture_join(&f, 2, TAPIO_GROUP_LOSSLESS, 0);
	f.gating.cursors[2] = NULL;
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	ck_assert_uint_eq(f.lane.shm->gate, start);
	lane_fixture_fini(&f);
}
END_TEST

/* And its heads are believed as soon as the memory of that epoch is mapped. */
START_TEST(a_slot_whose_memory_was_replaced_keeps_the_gate)
{
	uint32_t v = 0, i;
	uint64_t start;

	lane_fixture_init(&f, 8, 64, 8);
	start = lane_tail(&f);
	lane_fixture_join(&f, 2, TAPIO_GROUP_LOSSLESS, 0);
	f.groups[2].epoch = 2;
	f.gating.epochs[2] = (uint32_t)_i;
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	/* As a liar writes it in the old memory. */
	lane_fixture_release(&f, 2, start + 8);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	ck_assert_uint_eq(f.lane.shm->gate, start);
	f.gating.epochs[2] = 2;
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_uint_eq(f.lane.shm->gate, start + 8);
	lane_fixture_fini(&f);
}
END_TEST

/* A group that may be overrun does not hold a producer that has not heard of it. */
START_TEST(a_slot_whose_memory_was_replaced_holds_until_its_lag)
{
	uint32_t v = 0, i;

	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 2, TAPIO_GROUP_UNTIL, 3);
	f.groups[2].epoch = 2;
	f.gating.epochs[2] = 1;
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	lane_fixture_fini(&f);
}
END_TEST

static unsigned int heeds;

static void count_heeds(const struct tpi_gating *gating)
{
	ck_assert_ptr_eq(gating, &f.gating);
	heeds++;
}

/* So the paths that find room pay nothing. */
START_TEST(a_producer_heeds_new_groups_when_it_needs_room)
{
	uint64_t heeded = 0;
	uint32_t v = 0, i;

	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 2, TAPIO_GROUP_LOSSLESS, 0);
	f.gating.heed = count_heeds;
	f.gating.heeded = &heeded;
	f.generation = 5;
	heeds = 0;
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_uint_eq(heeds, 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	ck_assert_uint_eq(heeds, 1);
	heeded = 5;
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), TPI_FULL);
	ck_assert_uint_eq(heeds, 1);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(a_head_beyond_the_tail_frees_nothing_that_was_not_published)
{
	uint32_t v = 0;
	uint64_t start;

	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 2, TAPIO_GROUP_LOSSLESS, 0);
	start = lane_tail(&f);
	lane_fixture_release(&f, 2, start + 1000000);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_int_le(tapio_position_diff(f.lane.shm->gate, lane_tail(&f)),
			 0);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(a_computation_says_of_which_groups_it_is)
{
	uint64_t gate, generation;

	lane_fixture_init(&f, 8, 64, 8);
	ck_assert(
		tpi_gate_compute(&f.lane, &f.gating, &gate, &generation, NULL));
	ck_assert_uint_eq(generation, f.generation);
	lane_fixture_join(&f, 0, TAPIO_GROUP_LOSSLESS, 0);
	ck_assert(
		tpi_gate_compute(&f.lane, &f.gating, &gate, &generation, NULL));
	ck_assert_uint_eq(generation, f.generation);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(reserved_blocks_cannot_close_a_lane_nor_be_put_back_twice)
{
	uint32_t blocks[8], more[8], v = 0, i;

	lane_fixture_init(&f, 16, 64, 16);
	ck_assert_int_eq(lane_reserve(&f, ME, blocks, 8), 0);
	ck_assert_uint_eq(lane_held(&f), 8);
	ck_assert_int_eq(lane_reserve(&f, ME, more, 1), TPI_HELD);
	for (i = 0; i < 100; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	lane_check_blocks(&f);
	ck_assert_int_eq(lane_publish(&f, 9, 4, blocks, 8), 0);
	ck_assert_uint_eq(lane_held(&f), 0);
	lane_check_blocks(&f);
	ck_assert_int_eq(lane_publish(&f, 9, 4, blocks, 1), -EINVAL);
	lane_fixture_fini(&f);
}
END_TEST

static void publish_refused(const uint32_t *blocks, const uint64_t *tickets,
			    uint32_t count)
{
	uint64_t state = f.lane.shm->state;

	ck_assert_int_eq(lane_publish_by(&f, 9, 4, blocks, tickets, count),
			 -EINVAL);
	ck_assert_uint_eq(f.lane.shm->state, state);
	lane_check_blocks(&f);
}

/*
 * At each place of the ring, its end in the middle of the batch too, and with each
 * kind of stamp: a batch that has one block twice is refused whole, also after other
 * attempts, and the blocks can be put back afterwards.
 */
START_TEST(a_batch_with_a_block_twice_is_refused_whole)
{
	uint32_t blocks[4], twice[4], n, i, j, round, v = 0;
	uint64_t tickets[4], twice_by[4];

	lane_fixture_init(&f, 8, 64, 8);
	if (_i == 0)
		f.lane.time = NULL;
	for (round = 0; round < 200; round++) {
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
		n = 2 + round % 3;
		ck_assert_int_eq(lane_reserve(&f, ME, blocks, n), 0);
		for (i = 0; i < n; i++)
			tickets[i] = f.mine[blocks[i]];
		for (i = 0; i < n; i++)
			for (j = i + 1; j < n; j++) {
				memcpy(twice, blocks, sizeof(blocks));
				memcpy(twice_by, tickets, sizeof(tickets));
				twice[j] = blocks[i];
				twice_by[j] = tickets[i];
				publish_refused(twice, twice_by, n);
			}
		ck_assert_int_eq(lane_publish(&f, 1, 4, blocks, n), 0);
		ck_assert_uint_eq(lane_held(&f), 0);
		lane_check_blocks(&f);
		for (i = 0; i < n; i++)
			publish_refused(blocks + i, tickets + i, 1);
	}
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(a_count_of_none_or_of_more_than_a_section_takes_is_refused)
{
	static uint32_t blocks[TPI_SECTION_BLOCKS + 1];
	static uint64_t words[TPI_SECTION_BLOCKS + 1];
	const uint32_t counts[] = {0, TPI_SECTION_BLOCKS + 1, INT32_MAX,
				   1u << 31, UINT32_MAX};
	uint32_t i, v = 0;
	uint64_t state;

	lane_fixture_init(&f, 1024, 64, 1024);
	ck_assert_int_eq(lane_reserve(&f, ME, blocks, TPI_SECTION_BLOCKS), 0);
	state = f.lane.shm->state;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		ck_assert_int_eq(tpi_lane_reserve(&f.lane, &f.gating, ME,
						  blocks, words, counts[i]),
				 -EINVAL);
		ck_assert_int_eq(
			tpi_lane_publish(&f.lane, words, words, counts[i], 0),
			-EINVAL);
	}
	ck_assert_uint_eq(f.lane.shm->state, state);
	ck_assert_int_eq(lane_publish(&f, 1, 4, blocks, TPI_SECTION_BLOCKS), 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(a_retaken_or_given_up_block_is_closed_to_its_old_ticket)
{
	uint64_t old, ticket;
	uint32_t block, at = 0;

	lane_fixture_init(&f, 8, 64, 8);
	ck_assert_int_eq(lane_reserve(&f, ME, &block, 1), 0);
	old = ticket = f.mine[block];
	ck_assert(tpi_lane_holds(&f.lane, block, old));
	ck_assert_int_eq(tpi_lane_retake(&f.lane, block, &ticket, 5), 0);
	ck_assert_uint_ne(ticket, old);
	ck_assert(!tpi_lane_holds(&f.lane, block, old));
	ck_assert(tpi_lane_holds(&f.lane, block, ticket));
	publish_refused(&block, &old, 1);
	ck_assert_int_eq(tpi_lane_abandon(&f.lane, block, old), -EINVAL);
	ck_assert_int_eq(tpi_lane_retake(&f.lane, block, &old, 6), -EINVAL);
	ck_assert_int_eq(tpi_lane_abandon(&f.lane, block, ticket), 0);
	ck_assert_int_eq(tpi_lane_abandon(&f.lane, block, ticket), -EINVAL);
	ck_assert_int_eq(tpi_lane_retake(&f.lane, block, &ticket, 7), -EINVAL);
	publish_refused(&block, &ticket, 1);
	old = ticket;
	ck_assert_int_eq(tpi_lane_claim(&f.lane, ME, 8, &at, 8, &ticket),
			 (int)block);
	publish_refused(&block, &old, 1);
	ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &ticket, 1), 0);
	publish_refused(&block, &ticket, 1);
	ck_assert_int_eq(tpi_lane_abandon(&f.lane, block, ticket), -EINVAL);
	lane_fixture_fini(&f);
}
END_TEST

/*
 * T5: the serial of a swap is never that of a section. Here the counter has the value
 * that the next reservation of the block by the same owner gets from its position.
 */
START_TEST(a_retaken_ticket_is_never_that_of_a_later_reservation)
{
	uint32_t block, again, v = 0, i;
	uint64_t ticket;

	lane_fixture_init(&f, 8, 64, 8);
	ck_assert_int_eq(lane_reserve(&f, ME, &block, 1), 0);
	ticket = f.mine[block];
	ck_assert_int_eq(tpi_lane_retake(&f.lane, block, &ticket, 4), 0);
	ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &ticket, 1), 0);
	for (i = 0; i < 7; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert_int_eq(lane_reserve(&f, ME, &again, 1), 0);
	ck_assert_uint_eq(again, block);
	ck_assert_uint_eq(TAPIO_TICKET_PLACE(f.mine[block]), 4 * 8);
	ck_assert(!tpi_lane_holds(&f.lane, block, ticket));
	ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &ticket, 1),
			 -EINVAL);
	ck_assert_int_eq(lane_publish(&f, 1, 4, &block, 1), 0);
	lane_fixture_fini(&f);
}
END_TEST

/* T4: of a publish that was aborted after its mark. A call finds the mark out itself. */
START_TEST(a_retaken_ticket_carries_no_mark)
{
	uint32_t block, v = 0;
	uint64_t ticket;

	lane_fixture_init(&f, 8, 64, 8);
	ck_assert_int_eq(lane_reserve(&f, ME, &block, 1), 0);
	ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ticket = f.mine[block];
	f.lane.tickets[block] = TAPIO_TICKET(
		ME, tpi_place_entered(&f.lane, TAPIO_TICKET_PLACE(ticket), 1));
	ck_assert(tpi_lane_holds(&f.lane, block, ticket));
	ck_assert_int_eq(tpi_lane_retake(&f.lane, block, &ticket, 1), 0);
	ck_assert(!(TAPIO_TICKET_PLACE(ticket) & TAPIO_PLACE_ENTERED));
	ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &ticket, 1), 0);
	ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &ticket, 1),
			 -EINVAL);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

/* S6: elsewhere a section may run that has compared the ticket already. */
START_TEST(abandoned_blocks_are_taken_on_their_cpu_alone)
{
	uint32_t block, at = 0, cpu;
	uint64_t ticket;

	lane_fixture_init(&f, 8, 64, 8);
	cpu = f.lane.cpu;
	ck_assert_int_eq(lane_reserve(&f, ME, &block, 1), 0);
	ck_assert_int_eq(tpi_lane_abandon(&f.lane, block, f.mine[block]), 0);
	if (cpu != TAPIO_CPU_SIDE) {
		f.lane.cpu = cpu + 1;
		ck_assert_int_eq(
			tpi_lane_claim(&f.lane, YOU, 1, &at, 8, &ticket),
			-ENOENT);
		ck_assert_int_eq(
			tpi_lane_sweep(&f.lane, TAPIO_ABANDONED, HERE, true),
			0);
		f.lane.cpu = cpu;
		f.lane.shm->hint = 1;
	}
	ck_assert_int_eq(tpi_lane_claim(&f.lane, YOU, 1, &at, 8, &ticket),
			 (int)block);
	ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &ticket, 1), 0);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(one_claim_leaves_the_others_to_be_found)
{
	uint32_t blocks[3], at = 0, i;
	uint64_t ticket;

	lane_fixture_init(&f, 8, 64, 8);
	ck_assert_int_eq(lane_reserve(&f, ME, blocks, 3), 0);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(
			tpi_lane_abandon(&f.lane, blocks[i], f.mine[blocks[i]]),
			0);
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(
			tpi_lane_claim(&f.lane, YOU, i, &at, 8, &ticket),
			(int)blocks[i]);
		ck_assert_int_eq(
			lane_publish_by(&f, 1, 4, &blocks[i], &ticket, 1), 0);
	}
	ck_assert_int_eq(tpi_lane_claim(&f.lane, YOU, 3, &at, 8, &ticket),
			 -ENOENT);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

/*
 * S6: a block is given up elsewhere between the comparison and the commit of its
 * publish. It is in the ring, and bears ABANDONED (fault.section_stepped gets it there).
 */
START_TEST(an_abandoned_block_that_is_in_the_ring_is_left_there)
{
	uint32_t blocks[2], at = 0;
	uint64_t ticket;

	lane_fixture_init(&f, 8, 64, 8);
	ck_assert_int_eq(lane_reserve(&f, YOU, blocks, 2), 0);
	ck_assert_int_eq(lane_publish(&f, 1, 4, blocks, 1), 0);
	f.lane.tickets[blocks[0]] = TAPIO_TICKET(
		TAPIO_ABANDONED, TAPIO_TICKET_PLACE(f.lane.tickets[blocks[0]]));
	f.lane.shm->hint = 1;
	ck_assert_int_eq(tpi_lane_claim(&f.lane, ME, 1, &at, 8, &ticket),
			 -ENOENT);
	ck_assert_int_eq(tpi_lane_sweep(&f.lane, TAPIO_ABANDONED, HERE, true),
			 0);
	ck_assert_int_eq(lane_publish(&f, 1, 4, &blocks[1], 1), 0);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

/* The block at reap may be under the pen of an output that has not committed. */
START_TEST(a_copy_is_whole_beyond_reap)
{
	uint64_t position = 8;
	uint32_t v = 0, block;
	int i;

	lane_fixture_init(&f, 8, 64, 8);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	ck_assert(!tpi_lane_intact(&f.lane, position));
	ck_assert(tpi_lane_intact(&f.lane, position + 1));
	ck_assert_int_eq(lane_reserve(&f, ME, &block, 1), 0);
	ck_assert(!tpi_lane_intact(&f.lane, position + 1));
	ck_assert(tpi_lane_intact(&f.lane, position + 2));
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(sweep_takes_back_what_the_dead_hold_and_nothing_else)
{
	uint32_t dead[3], mine[2];
	uint64_t tail, desc;
	uint32_t v = 0, i;
	sigset_t before;
	int n;

	lane_fixture_init(&f, 16, 64, 16);
	ck_assert_int_eq(lane_reserve(&f, YOU, dead, 3), 0);
	ck_assert_int_eq(lane_reserve(&f, ME, mine, 2), 0);
	/* One that the dead one published still bears its name. */
	ck_assert_int_eq(lane_publish(&f, 9, 4, dead, 1), 0);
	for (i = 0; i < 5; i++)
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
	tail = lane_tail(&f);
	lane_enter(&f, &before);
	n = tpi_lane_sweep(&f.lane, YOU, HERE, true);
	lane_leave(&f, &before);
	ck_assert_int_eq(n, 2);
	ck_assert_uint_eq(lane_held(&f), 2);
	ck_assert_uint_eq(lane_tail(&f), tail + 2);
	desc = f.lane.desc[tail & f.lane.mask];
	ck_assert_uint_eq(TAPIO_DESC_TYPE(desc), TAPIO_TYPE_DISCARD);
	lane_check_blocks(&f);
	ck_assert_int_eq(tpi_lane_sweep(&f.lane, YOU, HERE, true), 0);
	ck_assert_int_eq(lane_publish(&f, 9, 4, mine, 2), 0);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(a_sweeper_that_may_not_run_there_leaves_the_blocks_to_claim)
{
	uint32_t dead[2], at = 0, block;
	uint64_t ticket = 0;
	int n;

	lane_fixture_init(&f, 8, 64, 8);
	ck_assert_int_eq(tpi_lane_claim(&f.lane, ME, 1, &at, 8, &ticket),
			 -ENOENT);
	ck_assert_int_eq(lane_reserve(&f, YOU, dead, 2), 0);
	ck_assert_int_eq(tpi_lane_sweep(&f.lane, YOU, HERE, false), 2);
	ck_assert_uint_eq(TAPIO_TICKET_OWNER(f.lane.tickets[dead[0]]),
			  TAPIO_ABANDONED);
	n = tpi_lane_claim(&f.lane, ME, 1, &at, 8, &ticket);
	ck_assert_int_ge(n, 0);
	block = (uint32_t)n;
	ck_assert_uint_eq(f.lane.tickets[block], ticket);
	ck_assert_uint_eq(TAPIO_TICKET_OWNER(ticket), ME);
	ck_assert_int_eq(lane_publish_by(&f, 2, 0, &block, &ticket, 1), 0);
	ck_assert_int_eq(tpi_lane_sweep(&f.lane, TAPIO_ABANDONED, HERE, true),
			 1);
	ck_assert_uint_eq(lane_held(&f), 0);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(claim_looks_at_a_bounded_number_and_keeps_the_hint)
{
	uint32_t blocks[32], at = 0;
	uint64_t ticket;

	lane_fixture_init(&f, 64, 64, 64);
	ck_assert_int_eq(lane_reserve(&f, ME, blocks, 32), 0);
	ck_assert_int_eq(
		tpi_lane_abandon(&f.lane, blocks[31], f.mine[blocks[31]]), 0);
	ck_assert_int_eq(tpi_lane_claim(&f.lane, ME, 1, &at, 8, &ticket),
			 -ENOENT);
	ck_assert_uint_eq(at, 8);
	ck_assert_uint_eq(f.lane.shm->hint, 1);
	at = blocks[31];
	ck_assert_int_eq(tpi_lane_claim(&f.lane, ME, 1, &at, 8, &ticket),
			 (int)blocks[31]);
	lane_fixture_fini(&f);
}
END_TEST

/* A thread that has moved since it found no room claims nothing, and takes the hint
 * away from nobody. */
START_TEST(claim_on_another_cpu_keeps_the_hint)
{
	uint32_t block, at = 0;
	uint64_t ticket;

	lane_fixture_init(&f, 8, 64, 8);
	if (f.lane.cpu != TAPIO_CPU_SIDE) {
		ck_assert_int_eq(lane_reserve(&f, ME, &block, 1), 0);
		ck_assert_int_eq(
			tpi_lane_abandon(&f.lane, block, f.mine[block]), 0);
		f.lane.cpu++;
		ck_assert_int_eq(
			tpi_lane_claim(&f.lane, ME, 1, &at, 8, &ticket),
			-ENOENT);
		f.lane.cpu--;
		ck_assert_uint_eq(f.lane.shm->hint, 1);
		ck_assert_int_eq(
			tpi_lane_claim(&f.lane, ME, 2, &at, 8, &ticket),
			(int)block);
	}
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(positions_go_on_across_the_wrap_at_2_to_the_48)
{
	uint64_t start = (UINT64_C(1) << 48) - 20;
	uint32_t i, v = 0, blocks[4];

	lane_fixture_init(&f, 16, 64, start);
	lane_fixture_join(&f, 0, TAPIO_GROUP_LOSSLESS, 0);
	for (i = 0; i < 100; i++) {
		ck_assert_int_eq(lane_output(&f, 1, &v, 4), 0);
		ck_assert_int_eq(lane_reserve(&f, ME, blocks, 4), 0);
		ck_assert_int_eq(lane_publish(&f, 1, 4, blocks, 4), 0);
		lane_fixture_release(&f, 0, lane_tail(&f));
	}
	ck_assert_uint_eq(lane_tail(&f), (start + 500) & TAPIO_POSITION_MASK);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

/* Tickets that were closed, and are now and then tried again: never accepted. */
static struct {
	uint32_t block;
	uint64_t ticket;
} closed[256];
static uint32_t closed_count;

static void note_closed(const uint32_t *blocks, uint32_t count)
{
	uint32_t i, at;

	for (i = 0; i < count; i++) {
		at = closed_count++ % 256;
		closed[at].block = blocks[i];
		closed[at].ticket = f.mine[blocks[i]];
	}
}

static void try_closed(unsigned int *seed)
{
	uint32_t at = (uint32_t)rand_r(seed) % 256;

	if (at >= closed_count)
		return;
	ck_assert_int_eq(lane_publish_by(&f, 9, 4, &closed[at].block,
					 &closed[at].ticket, 1),
			 -EINVAL);
	ck_assert_int_eq(
		tpi_lane_abandon(&f.lane, closed[at].block, closed[at].ticket),
		-EINVAL);
}

/* A model of the lane beside the lane, driven by the same random choices. */
START_TEST(random_operations_lose_no_block_and_no_event)
{
	enum {
		N = 16,
		ROUNDS = 200000
	};
	uint32_t held[N], held_count = 0, n, value, i;
	uint64_t head, tail, next_value = 0, expect[N * 2] = {0};
	unsigned int seed = 12345 + (unsigned int)_i;
	int err, round;

	lane_fixture_init(&f, N, 64, N);
	lane_fixture_join(&f, 0, TAPIO_GROUP_LOSSLESS, 0);
	head = lane_tail(&f);
	for (round = 0; round < ROUNDS; round++) {
		tail = lane_tail(&f);
		switch (rand_r(&seed) % 5) {
		case 0:
			value = (uint32_t)++next_value;
			err = lane_output(&f, 1, &value, 4);
			ck_assert_int_eq(err != 0,
					 tail - head + held_count >= N);
			if (!err)
				expect[tail % (N * 2)] = value;
			break;
		case 1:
			n = 1 + (uint32_t)rand_r(&seed) % 4;
			err = lane_reserve(&f, ME, held + held_count, n);
			ck_assert_int_eq(err != 0,
					 held_count + n > N / 2 ||
						 tail - head + held_count + n >
							 N);
			if (!err)
				held_count += n;
			break;
		case 2:
			if (!held_count)
				break;
			n = 1 + (uint32_t)rand_r(&seed) % held_count;
			for (i = 0; i < n; i++) {
				value = (uint32_t)++next_value;
				memcpy(tpi_lane_block(&f.lane,
						      held[held_count - n + i]),
				       &value, 4);
				expect[(tail + i) % (N * 2)] = value;
			}
			held_count -= n;
			ck_assert_int_eq(
				lane_publish(&f, 1, 4, held + held_count, n),
				0);
			note_closed(held + held_count, n);
			break;
		case 3:
			try_closed(&seed);
			break;
		default:
			if (head == tail)
				break;
			memcpy(&value, data_at(head), 4);
			ck_assert_uint_eq(value, expect[head % (N * 2)]);
			lane_fixture_release(&f, 0, ++head);
		}
	}
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

int main(void)
{
	bool sections = require_cpu_lanes();
	const char *reason;
	uint32_t verdict = tpi_rseq_selftest(&reason);
	TCase *tcase = tcase_create("operations");

	printf("rseq %s (%s): %s\n", tpi_rseq_word(verdict), reason,
	       sections ? "a CPU's lane" : "a side lane");
	tcase_add_test(tcase, a_fresh_lane_has_n_discards_and_all_its_blocks);
	tcase_add_test(
		tcase,
		output_delivers_every_length_whole_and_writes_no_neighbour);
	tcase_add_test(
		tcase,
		output_never_touches_what_a_lossless_group_has_not_released);
	tcase_add_test(tcase,
		       the_slowest_gating_group_holds_and_a_lossy_one_does_not);
	tcase_add_test(tcase, a_group_until_a_lag_holds_no_longer_than_the_lag);
	tcase_add_test(
		tcase,
		holders_and_a_lagging_group_together_do_not_close_a_lane);
	tcase_add_test(tcase,
		       a_lag_is_at_most_half_a_lane_without_the_right_to_more);
	tcase_add_test(tcase, the_epoch_of_a_gate_is_no_part_of_its_position);
	tcase_add_test(tcase, a_head_of_another_incarnation_is_no_news);
	tcase_add_test(tcase, a_head_that_goes_back_takes_no_gate_along);
	tcase_add_test(tcase, a_lane_of_which_all_is_held_says_so);
	tcase_add_test(tcase, a_slot_that_is_not_active_holds_nothing);
	tcase_add_test(tcase,
		       a_slot_whose_cursors_are_not_mapped_keeps_the_gate);
	tcase_add_loop_test(
		tcase, a_slot_whose_memory_was_replaced_keeps_the_gate, 0, 2);
	tcase_add_test(tcase,
		       a_slot_whose_memory_was_replaced_holds_until_its_lag);
	tcase_add_test(tcase, a_producer_heeds_new_groups_when_it_needs_room);
	tcase_add_test(
		tcase,
		a_head_beyond_the_tail_frees_nothing_that_was_not_published);
	tcase_add_test(tcase, a_computation_says_of_which_groups_it_is);
	tcase_add_test(
		tcase,
		reserved_blocks_cannot_close_a_lane_nor_be_put_back_twice);
	tcase_add_loop_test(tcase, a_batch_with_a_block_twice_is_refused_whole,
			    0, 2);
	tcase_add_test(
		tcase,
		a_count_of_none_or_of_more_than_a_section_takes_is_refused);
	tcase_add_test(tcase,
		       a_retaken_or_given_up_block_is_closed_to_its_old_ticket);
	tcase_add_test(tcase,
		       a_retaken_ticket_is_never_that_of_a_later_reservation);
	tcase_add_test(tcase, a_retaken_ticket_carries_no_mark);
	tcase_add_test(tcase, abandoned_blocks_are_taken_on_their_cpu_alone);
	tcase_add_test(tcase, one_claim_leaves_the_others_to_be_found);
	tcase_add_test(tcase,
		       an_abandoned_block_that_is_in_the_ring_is_left_there);
	tcase_add_test(tcase, a_copy_is_whole_beyond_reap);
	tcase_add_test(tcase,
		       sweep_takes_back_what_the_dead_hold_and_nothing_else);
	tcase_add_test(
		tcase,
		a_sweeper_that_may_not_run_there_leaves_the_blocks_to_claim);
	tcase_add_test(tcase,
		       claim_looks_at_a_bounded_number_and_keeps_the_hint);
	tcase_add_test(tcase, claim_on_another_cpu_keeps_the_hint);
	tcase_add_test(tcase, positions_go_on_across_the_wrap_at_2_to_the_48);
	tcase_add_loop_test(tcase, random_operations_lose_no_block_and_no_event,
			    0, 5);
	return check_run_case("lane", tcase);
}
