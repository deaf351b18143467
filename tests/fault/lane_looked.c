/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane's swaps: something else happens between the look and the swap, each time. A
 * swap that were a store would not notice. The lane is compiled here with testpoints,
 * and both flavours run (lane_fixture.h).
 */
#include <errno.h>

#include "lib/base/testpoint.h"
#include "lib/lane/emit.h"
#include "tests/check_main.h"
#include "tests/unit/lane_fixture.h"

#define ME      TAPIO_ATTACHMENT_ID(1, 1)
#define YOU     TAPIO_ATTACHMENT_ID(2, 1)
#define SWEEPER TAPIO_ATTACHMENT_ID(3, 1)

static struct lane_fixture f;
static const char *point;
static void (*act)(void);
static int acted;

static void hook(const char *name)
{
	void (*once)(void) = act;

	if (!once || strcmp(name, point))
		return;
	act = NULL;
	once();
	acted++;
}

static void plan(const char *name, void (*what)(void))
{
	point = name;
	act = what;
	acted = 0;
	tpi_testpoint_hook = hook;
}

/* On a side lane the caller is the owner, and inside. */
static int output(void)
{
	uint32_t v = 1;

	return tpi_lane_output(&f.lane, &f.gating, TAPIO_DESC_META(1, 3, 4),
			       TPI_STAMP_TSC, &v, 4);
}

/* ---- the gate --------------------------------------------------------------- */

static uint64_t start;

static void join(uint32_t policy, uint32_t lag)
{
	lane_fixture_init(&f, 8, 64, 8);
	lane_fixture_join(&f, 0, policy, lag);
	start = lane_tail(&f);
}

static uint64_t gate(void)
{
	return f.lane.shm->gate & TAPIO_POSITION_MASK;
}

/* As promote() of the broker. */
static void become_lossless(void)
{
	f.groups[0].slot =
		TAPIO_SLOT(TAPIO_SLOT_ACTIVE, TAPIO_GROUP_LOSSLESS, 1, 0);
	f.generation++;
	ck_assert_uint_eq(tpi_gate_seal(&f.lane), start);
}

/*
 * The producer has computed a gate for a group that is `until`. When it goes on, the
 * group is lossless and has been told that the gate stands at `start`. A gate that is
 * stored, or swapped without its epoch, takes what the group will read.
 */
START_TEST(a_gate_that_was_computed_before_a_promotion_is_not_stored)
{
	int err = TPI_MOVED, i;

	join(TAPIO_GROUP_UNTIL, 4);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &i, 4), 0);
	ck_assert_uint_eq(gate(), start);
	plan("gate.computed", become_lossless);
	for (i = 0; i < 1000 && err == TPI_MOVED; i++)
		err = output();
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(err, TPI_FULL);
	ck_assert_uint_eq(gate(), start);
	lane_fixture_fini(&f);
}
END_TEST

/* Another producer moves the gate, and takes all that it frees. */
static void move_on(void)
{
	int i;

	lane_fixture_release(&f, 0, start + 5);
	for (i = 0; i < 5; i++)
		ck_assert_int_eq(lane_output(&f, 1, &i, 4), 0);
}

START_TEST(a_gate_that_was_computed_before_another_one_is_not_stored)
{
	int err = TPI_MOVED, i;

	join(TAPIO_GROUP_LOSSLESS, 0);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &i, 4), 0);
	lane_fixture_release(&f, 0, start + 2);
	plan("gate.computed", move_on);
	for (i = 0; i < 1000 && err == TPI_MOVED; i++)
		err = output();
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(err, TPI_FULL);
	ck_assert_uint_eq(gate(), start + 5);
	ck_assert_int_ge(
		tapio_position_diff(gate(),
				    tpi_lane_reap(&f.lane, f.lane.shm->state)),
		0);
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}
END_TEST

static void another_joins(void)
{
	lane_fixture_join(&f, 1, TAPIO_GROUP_LOSSLESS, 0);
}

/* A group that joins in the middle of a computation: its end finds out. */
START_TEST(a_computation_that_a_group_joins_in_is_no_news)
{
	uint64_t position, generation;

	join(TAPIO_GROUP_LOSSLESS, 0);
	plan("gate.looked", another_joins);
	ck_assert(!tpi_gate_compute(&f.lane, &f.gating, &position, &generation,
				    NULL));
	ck_assert_int_eq(acted, 1);
	ck_assert(tpi_gate_compute(&f.lane, &f.gating, &position, &generation,
				   NULL));
	lane_fixture_fini(&f);
}
END_TEST

START_TEST(a_gate_is_not_above_the_head_of_a_group_that_joined_meanwhile)
{
	int err = TPI_MOVED, i, accepted = 0;

	join(TAPIO_GROUP_LOSSLESS, 0);
	for (i = 0; i < 8; i++)
		ck_assert_int_eq(lane_output(&f, 1, &i, 4), 0);
	lane_fixture_release(&f, 0, start + 8);
	plan("gate.computed", another_joins);
	for (i = 0; i < 1000; i++) {
		err = output();
		accepted += !err;
	}
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(err, TPI_FULL);
	/* It has the events from its head on, and a whole lane for them. */
	ck_assert_int_eq(accepted, 8);
	ck_assert_uint_le(gate(), start + 8);
	lane_fixture_fini(&f);
}
END_TEST

/* ---- tickets ---------------------------------------------------------------- */

static uint32_t block;
static uint64_t ticket, other;
static int result;

static void set_up(void)
{
	uint32_t held;

	lane_fixture_init(&f, 8, 64, 8);
	/* So that a block too many finds something to take from. */
	ck_assert_int_eq(lane_reserve(&f, YOU, &held, 1), 0);
	ck_assert_int_eq(lane_reserve(&f, ME, &block, 1), 0);
	ticket = f.mine[block];
	result = 1;
}

static void tear_down(void)
{
	tpi_testpoint_hook = NULL;
	lane_check_blocks(&f);
	lane_fixture_fini(&f);
}

static void claim(void)
{
	uint32_t at = block;

	/* The one that looks has taken the hint off. */
	tpi_store_relaxed(&f.lane.shm->hint, 1);
	result = tpi_lane_claim(&f.lane, YOU, 1, &at, 1, &other);
}

static void claim_and_publish(void)
{
	claim();
	if (result == (int)block)
		ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &other, 1),
				 0);
}

static void (*const others[])(void) = {claim, claim_and_publish};

START_TEST(an_abandoned_block_is_claimed_once)
{
	uint64_t mine = 0;
	uint32_t at;

	set_up();
	ck_assert_int_eq(tpi_lane_abandon(&f.lane, block, ticket), 0);
	plan("ticket.looked", others[_i]);
	at = block;
	ck_assert_int_eq(tpi_lane_claim(&f.lane, ME, 1, &at, 1, &mine),
			 -ENOENT);
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(result, (int)block);
	ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &other, 1),
			 _i ? -EINVAL : 0);
	tear_down();
}
END_TEST

START_TEST(an_abandoned_block_is_claimed_or_swept)
{
	set_up();
	ck_assert_int_eq(tpi_lane_abandon(&f.lane, block, ticket), 0);
	plan("ticket.looked", others[_i]);
	ck_assert_int_eq(
		tpi_lane_sweep(&f.lane, TAPIO_ABANDONED, SWEEPER, true), 0);
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(lane_publish_by(&f, 1, 4, &block, &other, 1),
			 _i ? -EINVAL : 0);
	tear_down();
}
END_TEST

/* Two brokers, or the sweep of a broker that was stopped and one that took over. */
static void sweep_too(void)
{
	result = tpi_lane_sweep(&f.lane, ME, YOU, true);
}

START_TEST(a_block_of_the_dead_is_swept_once)
{
	uint64_t tail;

	set_up();
	tail = lane_tail(&f);
	plan("ticket.looked", sweep_too);
	ck_assert_int_eq(tpi_lane_sweep(&f.lane, ME, SWEEPER, true), 0);
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(result, 1);
	ck_assert_uint_eq(lane_tail(&f), tail + 1);
	ck_assert_uint_eq(lane_held(&f), 1);
	tear_down();
}
END_TEST

/* The next broker, after one that was killed behind its swap. */
static void sweep_the_sweeper(void)
{
	result = tpi_lane_sweep(&f.lane, SWEEPER, YOU, true);
}

/* S5 */
START_TEST(a_block_under_the_sweep_is_swept_like_any_other)
{
	uint64_t tail;

	set_up();
	tail = lane_tail(&f);
	plan("sweep.taken", sweep_the_sweeper);
	tpi_lane_sweep(&f.lane, ME, SWEEPER, true);
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(result, 1);
	ck_assert_uint_eq(lane_tail(&f), tail + 1);
	ck_assert_uint_eq(lane_held(&f), 1);
	tear_down();
}
END_TEST

static void publish_it(void)
{
	result = lane_publish_by(&f, 1, 4, &block, &ticket, 1);
}

static void abandon_it(void)
{
	result = tpi_lane_abandon(&f.lane, block, ticket);
}

static void retake_it(void)
{
	other = ticket;
	result = tpi_lane_retake(&f.lane, block, &other, 9);
}

static void (*const uses[])(void) = {publish_it, abandon_it, retake_it};

START_TEST(a_block_is_retaken_or_used_in_another_way)
{
	uint64_t mine;

	set_up();
	mine = ticket;
	plan("ticket.looked", uses[_i]);
	ck_assert_int_eq(tpi_lane_retake(&f.lane, block, &mine, 5), -EINVAL);
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(mine, ticket);
	tear_down();
}
END_TEST

START_TEST(a_block_is_abandoned_or_used_in_another_way)
{
	set_up();
	plan("ticket.looked", uses[_i]);
	ck_assert_int_eq(tpi_lane_abandon(&f.lane, block, ticket), -EINVAL);
	ck_assert_int_eq(acted, 1);
	ck_assert_int_eq(result, 0);
	tear_down();
}
END_TEST

/* ---- a sweep of a lane that a process goes on writing ------------------------------- */

static uint32_t looks;

/* As a producer that is not trusted: no ticket is what it was a moment ago. */
static void change_tickets(const char *name)
{
	if (strcmp(name, "lane.looked"))
		return;
	looks++;
	for (uint32_t i = 0; i <= f.lane.mask; i++)
		f.lane.tickets[i] ^= TAPIO_TICKET(0, TAPIO_PLACE_ENTERED);
}

/* A look is made twice for each attempt. Without a limit for all: 32 times as many. */
START_TEST(a_sweep_ends_while_others_write)
{
	uint32_t blocks[32];

	lane_fixture_init(&f, 64, 64, 64);
	ck_assert_int_eq(lane_reserve(&f, ME, blocks, 32), 0);
	looks = 0;
	tpi_testpoint_hook = change_tickets;
	ck_assert_int_eq(tpi_lane_sweep(&f.lane, ME, SWEEPER, true), 32);
	tpi_testpoint_hook = NULL;
	ck_assert_uint_ge(looks, 1000);
	ck_assert_uint_le(looks, 2100);
	ck_assert_uint_eq(lane_held(&f), 32);
	lane_fixture_fini(&f);
}
END_TEST

/* ---- a batch that a sweep crosses ------------------------------------------------ */

static uint64_t swept;

/* The swap of a sweep, between the two sections. */
static void name_the_sweeper(void)
{
	uint64_t *word = &f.lane.tickets[block];

	ck_assert_uint_eq(TAPIO_TICKET_OWNER(*word), ME);
	*word = TAPIO_TICKET(SWEEPER, TAPIO_TICKET_PLACE(*word));
	swept = *word & ~TAPIO_TICKET(0, TAPIO_PLACE_ENTERED);
}

static int emit_two(void)
{
	static struct tpi_lane *row[CPU_SETSIZE];
	static unsigned char event[64];
	const struct tapio_item item = {event, 64, TAPIO_TAG(1, 0)};
	const struct tapio_item items[] = {item, item};
	const struct tpi_size size = {.row = (struct tpi_lane *const *)row};
	const struct tpi_emit emit = {.me = ME, .cpus = CPU_SETSIZE};
	struct tpi_run run;

	row[f.lane.cpu] = &f.lane;
	return tpi_emit_run(&emit, &size, tpi_item_kind(items), items, 2, &run);
}

/*
 * A program closes its handle while a thread is between the sections of a batch, which
 * goes on before the sweep puts the block back. The second section looks at no ticket, so
 * it publishes the block. The sweep finds out by the mark of the first one (T7). Without
 * it the block is in the ring twice.
 */
START_TEST(a_block_of_a_batch_is_published_or_swept)
{
	uint64_t desc = TAPIO_DESC_META(TAPIO_TYPE_DISCARD, 0, 0);
	uint32_t one;
	int n = 0, i;

	if (tpi_rseq_selftest(NULL) != TAPIO_RSEQ_PROVEN)
		return; /* side lanes have no batches of two sections */
	for (i = 0; i < 1000 && n != 2; i++) { /* until none was aborted */
		if (i)
			lane_fixture_fini(&f);
		lane_fixture_init(&f, 8, 64, 8);
		block = (uint32_t)f.lane.desc[0] & f.lane.mask;
		plan("run.taken", name_the_sweeper);
		n = emit_two();
	}
	ck_assert_int_eq(n, 2);
	ck_assert_int_eq(acted, 1);
	/* A publish needs a block that is held. */
	ck_assert_int_eq(lane_reserve(&f, YOU, &one, 1), 0);
	desc |= block;
	ck_assert_int_eq(tpi_lane_publish(&f.lane, &desc, &swept, 1, 0),
			 -EINVAL);
	ck_assert_uint_eq(lane_tail(&f), 8 + 2);
	ck_assert_uint_eq(lane_held(&f), 1);
	lane_fixture_fini(&f);
}
END_TEST

/* ---- a look that is old --------------------------------------------------------- */

static void output_one(void)
{
	ck_assert_int_eq(output(), 0);
}

/* On a CPU's lane: the state that was looked at is the section's. */
START_TEST(a_section_does_not_begin_in_another_state)
{
	uint32_t blocks[2];
	uint64_t tickets[2], desc;

	if (tpi_rseq_selftest(NULL) != TAPIO_RSEQ_PROVEN)
		return; /* a side lane's mutex keeps others out */
	set_up();
	plan("lane.looked", output_one);
	switch (_i) {
	case 0:
		ck_assert_int_eq(output(), TPI_MOVED);
		break;
	case 1:
		ck_assert_int_eq(tpi_lane_reserve(&f.lane, &f.gating, ME,
						  blocks, tickets, 2),
				 TPI_MOVED);
		break;
	default:
		/* Once more by itself, in the state of then. */
		desc = TAPIO_DESC_META(1, 0, 4) | block;
		ck_assert_int_eq(tpi_lane_publish(&f.lane, &desc, &ticket, 1,
						  TPI_STAMP_TSC),
				 0);
	}
	ck_assert_int_eq(acted, 1);
	ck_assert_uint_eq(lane_tail(&f), 8 + 1 + (_i == 2));
	tear_down();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("looked");

	tcase_add_test(
		t, a_gate_that_was_computed_before_a_promotion_is_not_stored);
	tcase_add_test(
		t, a_gate_that_was_computed_before_another_one_is_not_stored);
	tcase_add_test(t, a_computation_that_a_group_joins_in_is_no_news);
	tcase_add_test(
		t,
		a_gate_is_not_above_the_head_of_a_group_that_joined_meanwhile);
	tcase_add_loop_test(t, an_abandoned_block_is_claimed_once, 0, 2);
	tcase_add_loop_test(t, an_abandoned_block_is_claimed_or_swept, 0, 2);
	tcase_add_test(t, a_block_of_the_dead_is_swept_once);
	tcase_add_test(t, a_block_under_the_sweep_is_swept_like_any_other);
	tcase_add_test(t, a_sweep_ends_while_others_write);
	tcase_add_loop_test(t, a_block_is_retaken_or_used_in_another_way, 0, 3);
	tcase_add_loop_test(t, a_block_is_abandoned_or_used_in_another_way, 0,
			    3);
	tcase_add_test(t, a_block_of_a_batch_is_published_or_swept);
	tcase_add_loop_test(t, a_section_does_not_begin_in_another_state, 0, 3);
	return check_run_case("lane looked", t);
}
