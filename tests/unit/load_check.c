/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker of tapio-load, fed by hand: a lost, a duplicated, a corrupted, a
 * disordered and an invented event must each be seen, and nothing else.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/abi.h>

#include "tools/load/check.h"
#include "tools/load/event.h"
#include "tests/check_main.h"

#define LANES 3
#define SEED  UINT64_C(0x1234)
#define EVENT 100u /* bytes. No multiple of anything */

static struct load_scoreboard *scoreboard;
static struct load_emitter emitter;
static uint64_t pattern[EVENT / 8 + 1];
static unsigned char block[EVENT];
static uint64_t position[LANES];

static void setup_board(uint32_t groups, uint32_t members)
{
	struct load_shape shape = {
		.producers = 2,
		.groups = groups,
		.members = members,
		.lanes = LANES,
		.kills_consumers = 4,
		.instances = 3,
		.events_max = 10000,
		.seed = SEED,
	};

	ck_assert_int_eq(load_board_create(&scoreboard, &shape), 0);
	emitter = (struct load_emitter){
		.scoreboard = scoreboard,
		.producer = LOAD_PRODUCER(0, 0),
	};
	for (size_t i = 0; i < sizeof(pattern) / sizeof(pattern[0]); i++)
		pattern[i] = load_mix(SEED, i + 1);
	for (int i = 0; i < LANES; i++)
		position[i] = 64;
}

static void setup(void)
{
	setup_board(1, 1);
}

static void teardown(void)
{
	load_board_destroy(scoreboard);
}

/* An event as it would lie in a block, accepted. */
static struct tapio_view publish(uint32_t lane)
{
	struct load_event event = {
		.id = load_emit_try(&emitter, 1),
		.producer = emitter.producer,
		.length = EVENT,
	};

	ck_assert_uint_ne(event.id, UINT64_MAX);
	load_emit_done(&emitter, 1);
	memcpy(block, &event, sizeof(event));
	load_event_fill((struct load_event *)(void *)block, pattern, SEED);
	return (struct tapio_view){
		.data = block,
		.position = position[lane]++ & TAPIO_POSITION_MASK,
		.lane = lane,
		.length = EVENT,
		.type = LOAD_EVENT_TYPE,
	};
}

static struct load_look deliver(struct load_checker *checker,
				const struct tapio_view *view)
{
	struct load_look look;

	load_look(checker, view, &look);
	load_mark(checker, &look);
	return look;
}

static void deliver_and_release(struct load_checker *checker,
				const struct tapio_view *view)
{
	struct load_look look = deliver(checker, view);

	load_note_released(checker, &look, 1);
}

/* The overruns by each group's ledger. */
static uint64_t overrun[TAPIO_GROUP_SLOTS];

static struct load_verdicts verdict(void)
{
	struct load_verdicts v;

	load_judge(scoreboard, overrun, &v);
	return v;
}

#define ASSERT_VERDICT(v, lost_, duplicated_, corrupt_, disordered_) \
	do {                                                         \
		ck_assert_uint_eq((v).lost, lost_);                  \
		ck_assert_uint_eq((v).duplicated, duplicated_);      \
		ck_assert_uint_eq((v).corrupt, corrupt_);            \
		ck_assert_uint_eq((v).disordered, disordered_);      \
	} while (0)

START_TEST(a_clean_run_is_clean)
{
	struct load_checker c;
	struct tapio_view view;
	struct load_verdicts v;

	load_checker_init(&c, scoreboard, 0, 0);
	for (uint32_t i = 0; i < 3000; i++) {
		view = publish(i % LANES);
		deliver_and_release(&c, &view);
	}
	v = verdict();
	ASSERT_VERDICT(v, 0, 0, 0, 0);
	ck_assert_uint_eq(v.sent, 3000);
	ck_assert_uint_eq(v.received, 3000);
	ck_assert_uint_eq(v.in_doubt, 0);
}
END_TEST

START_TEST(positions_may_wrap)
{
	struct load_checker c;
	struct tapio_view view;

	load_checker_init(&c, scoreboard, 0, 0);
	position[1] = TAPIO_POSITION_MASK - 5;
	for (int i = 0; i < 20; i++) {
		view = publish(1);
		deliver_and_release(&c, &view);
	}
	ASSERT_VERDICT(verdict(), 0, 0, 0, 0);
}
END_TEST

START_TEST(a_lost_event_is_seen)
{
	struct load_checker c;
	struct tapio_view view;
	struct load_verdicts v;

	load_checker_init(&c, scoreboard, 0, 0);
	for (int i = 0; i < 2500; i++) {
		view = publish(0);
		if (i != _i)
			deliver_and_release(&c, &view);
	}
	v = verdict();
	ASSERT_VERDICT(v, 1, 0, 0, 0);
	ck_assert_uint_eq(v.received, 2499);
	overrun[1] = 1; /* another group's ledger excuses nothing */
	ASSERT_VERDICT(verdict(), 1, 0, 0, 0);
	overrun[0] = 1;
	v = verdict();
	ck_assert_uint_eq(v.lost, 0);
	ck_assert_uint_eq(v.missing, 1);
}
END_TEST

START_TEST(an_event_given_twice_is_seen)
{
	struct load_checker c;
	struct tapio_view view;

	load_checker_init(&c, scoreboard, 0, 0);
	view = publish(0);
	deliver_and_release(&c, &view);
	deliver(&c, &view);
	ASSERT_VERDICT(verdict(), 0, 1, 0, 0);
}
END_TEST

START_TEST(an_event_given_twice_in_one_batch_is_seen)
{
	struct load_checker c;
	struct tapio_view view;

	load_checker_init(&c, scoreboard, 0, 0);
	view = publish(0);
	deliver(&c, &view);
	deliver(&c, &view);
	ASSERT_VERDICT(verdict(), 0, 1, 0, 0);
}
END_TEST

START_TEST(an_event_at_two_positions_is_seen)
{
	struct load_checker c;
	struct tapio_view view;

	load_checker_init(&c, scoreboard, 0, 0);
	view = publish(0);
	deliver_and_release(&c, &view);
	view.lane = 1;
	view.position = position[1]++;
	deliver_and_release(&c, &view);
	ASSERT_VERDICT(verdict(), 0, 1, 0, 0);
}
END_TEST

/* One event, after which everything starts anew. Returns the verdict. */
static struct load_verdicts deliver_one(size_t flip, uint32_t length)
{
	struct load_checker c;
	struct tapio_view view;
	struct load_verdicts v;

	load_checker_init(&c, scoreboard, 0, 0);
	view = publish(0);
	if (flip < EVENT)
		block[flip] ^= 1;
	view.length = length;
	deliver_and_release(&c, &view);
	v = verdict();
	teardown();
	setup();
	return v;
}

/* Every byte of the event, header and content, in turn. */
START_TEST(a_corrupted_byte_is_seen)
{
	struct load_verdicts v;

	for (size_t i = 0; i < EVENT; i++) {
		v = deliver_one(i, EVENT);
		ASSERT_VERDICT(v, 1, 0, 1, 0);
		ck_assert_uint_eq(v.received, 0);
	}
	v = deliver_one(EVENT, EVENT);
	ASSERT_VERDICT(v, 0, 0, 0, 0);
}
END_TEST

START_TEST(a_wrong_length_is_seen)
{
	for (uint32_t length = 0; length < EVENT; length++)
		ck_assert_uint_eq(deliver_one(EVENT, length).corrupt, 1);
}
END_TEST

START_TEST(content_of_another_event_of_the_producer_is_seen)
{
	struct load_checker c;
	struct tapio_view view;
	unsigned char first[EVENT];

	load_checker_init(&c, scoreboard, 0, 0);
	view = publish(0);
	deliver_and_release(&c, &view);
	memcpy(first, block, EVENT);
	view = publish(0);
	memcpy(block + 64, first + 64, EVENT - 64);
	deliver_and_release(&c, &view);
	ASSERT_VERDICT(verdict(), 1, 0, 1, 0);
}
END_TEST

START_TEST(a_swapped_order_is_seen)
{
	struct load_checker c;
	struct tapio_view one, two;
	unsigned char saved[EVENT];

	load_checker_init(&c, scoreboard, 0, 0);
	one = publish(0);
	memcpy(saved, block, EVENT);
	two = publish(0);
	one.position++;
	two.position--;
	deliver_and_release(&c, &two);
	memcpy(block, saved, EVENT);
	deliver_and_release(&c, &one);
	ASSERT_VERDICT(verdict(), 0, 0, 0, 1);
}
END_TEST

/* Lanes are read at their own pace. Only within one there is an order. */
START_TEST(order_across_lanes_is_nobodys_business)
{
	struct load_checker c;
	struct tapio_view one, two;
	unsigned char saved[EVENT];

	load_checker_init(&c, scoreboard, 0, 0);
	one = publish(0);
	memcpy(saved, block, EVENT);
	two = publish(1);
	deliver_and_release(&c, &two);
	memcpy(block, saved, EVENT);
	deliver_and_release(&c, &one);
	ASSERT_VERDICT(verdict(), 0, 0, 0, 0);
}
END_TEST

START_TEST(an_event_that_nobody_sent_is_seen)
{
	struct load_checker c;
	struct tapio_view view;

	load_checker_init(&c, scoreboard, 0, 0);
	view = publish(0);
	scoreboard->spans[0].accepted = 0;
	scoreboard->spans[0].intent = 0;
	deliver_and_release(&c, &view);
	ASSERT_VERDICT(verdict(), 0, 0, 1, 0);
}
END_TEST

START_TEST(an_event_in_doubt_may_arrive_or_not)
{
	struct load_checker c;
	struct tapio_view view;
	struct load_verdicts v;

	load_checker_init(&c, scoreboard, 0, 0);
	view = publish(0);
	scoreboard->spans[0].accepted = 0; /* killed before it could say so */
	scoreboard->spans[0].intent = 1;
	v = verdict();
	ASSERT_VERDICT(v, 0, 0, 0, 0);
	ck_assert_uint_eq(v.in_doubt, 1);
	ck_assert_uint_eq(v.sent, 0);
	deliver_and_release(&c, &view);
	v = verdict();
	ASSERT_VERDICT(v, 0, 0, 0, 0);
	ck_assert_uint_eq(v.sent, 1);
	ck_assert_uint_eq(v.received, 1);
}
END_TEST

START_TEST(an_event_in_doubt_arrives_everywhere_or_nowhere)
{
	struct load_checker c;
	struct tapio_view view;

	teardown();
	setup_board(2, 1);
	view = publish(0);
	scoreboard->spans[0].accepted = 0;
	scoreboard->spans[0].intent = 1;
	load_checker_init(&c, scoreboard, 1, 1);
	deliver_and_release(&c, &view);
	ASSERT_VERDICT(verdict(), 1, 0, 0, 0);
}
END_TEST

START_TEST(each_group_is_owed_every_event)
{
	struct load_checker c;
	struct tapio_view view;
	struct load_verdicts v;

	teardown();
	setup_board(3, 1);
	view = publish(0);
	for (uint32_t g = 0; g < 2; g++) {
		load_checker_init(&c, scoreboard, g, g);
		deliver_and_release(&c, &view);
	}
	v = verdict();
	ASSERT_VERDICT(v, 1, 0, 0, 0);
	ck_assert_uint_eq(v.sent, 1);
	ck_assert_uint_eq(v.received, 2);
}
END_TEST

/* Life 0 is given three events, releases one, and ends. Life 1 goes on. */
static void one_dies(bool killed)
{
	struct load_checker first, second;
	struct tapio_view views[3];
	unsigned char saved[3][EVENT];

	teardown();
	setup_board(1, 2);
	load_checker_init(&first, scoreboard, 0, 0);
	load_checker_init(&second, scoreboard, 1, 1);
	for (int i = 0; i < 3; i++) {
		views[i] = publish(0);
		memcpy(saved[i], block, EVENT);
	}
	for (int i = 0; i < 3; i++) {
		memcpy(block, saved[i], EVENT);
		if (i)
			deliver(&first, &views[i]);
		else
			deliver_and_release(&first, &views[i]);
	}
	scoreboard->life_killed[0] = killed;
	for (int i = 1; i < 3; i++) {
		memcpy(block, saved[i], EVENT);
		deliver_and_release(&second, &views[i]);
	}
}

START_TEST(what_a_dead_member_had_not_released_may_come_again)
{
	struct load_verdicts v;

	one_dies(true);
	v = verdict();
	ASSERT_VERDICT(v, 0, 0, 0, 0);
	ck_assert_uint_eq(v.redelivered, 2);
	ck_assert_uint_eq(v.received, 3);
}
END_TEST

START_TEST(what_a_living_member_was_given_may_not_come_again)
{
	struct load_verdicts v;

	one_dies(false);
	v = verdict();
	ASSERT_VERDICT(v, 0, 2, 0, 0);
	ck_assert_uint_eq(v.redelivered, 0);
}
END_TEST

START_TEST(what_a_dead_member_had_released_may_not_come_again)
{
	struct load_checker first, second;
	struct tapio_view view;

	teardown();
	setup_board(1, 2);
	load_checker_init(&first, scoreboard, 0, 0);
	load_checker_init(&second, scoreboard, 1, 1);
	view = publish(0);
	deliver_and_release(&first, &view);
	scoreboard->life_killed[0] = 1;
	deliver_and_release(&second, &view);
	ASSERT_VERDICT(verdict(), 0, 1, 0, 0);
}
END_TEST

/* Killed after it noted the position and before it set the bit. */
START_TEST(a_kill_inside_the_marking_loses_nothing)
{
	struct load_checker first, second;
	struct tapio_view view;
	struct load_verdicts v;

	teardown();
	setup_board(1, 2);
	load_checker_init(&first, scoreboard, 0, 0);
	load_checker_init(&second, scoreboard, 1, 1);
	view = publish(0);
	deliver(&first, &view);
	load_bits(scoreboard, 0)[0] = 0;
	scoreboard->life_killed[0] = 1;
	deliver_and_release(&second, &view);
	v = verdict();
	ASSERT_VERDICT(v, 0, 0, 0, 0);
	ck_assert_uint_eq(v.received, 1);
}
END_TEST

START_TEST(events_of_others_are_left_alone)
{
	struct load_checker c;
	struct tapio_view view;
	struct load_verdicts v;

	load_checker_init(&c, scoreboard, 0, 0);
	view = publish(0);
	deliver_and_release(&c, &view);
	view.type = 7;
	deliver_and_release(&c, &view);
	v = verdict();
	ASSERT_VERDICT(v, 0, 0, 0, 0);
	ck_assert_uint_eq(v.foreign, 1);
}
END_TEST

START_TEST(a_gap_record_is_counted)
{
	struct tapio_gap gap = {.count = 17, .cause = TAPIO_GAP_OVERRUN};
	struct tapio_view view = {
		.data = &gap,
		.length = sizeof(gap),
		.flags = TAPIO_VIEW_GAP,
	};
	struct load_checker c;

	load_checker_init(&c, scoreboard, 0, 0);
	deliver_and_release(&c, &view);
	ck_assert_uint_eq(scoreboard->counts[0].gaps, 1);
	ck_assert_uint_eq(scoreboard->counts[0].gap_positions, 17);
}
END_TEST

/* The record of a move, with what it says was lost. */
static void deliver_move(struct load_checker *c, uint64_t count, uint64_t first)
{
	const struct tapio_gap gap = {
		.first = first,
		.count = count,
		.cause = TAPIO_GAP_INSTANCE,
	};
	const struct tapio_view view = {.data = &gap, .flags = TAPIO_VIEW_GAP};

	deliver_and_release(c, &view);
}

/* Positions begin anew, and an event of the memory before has its own. */
START_TEST(each_instance_has_positions_of_its_own)
{
	struct load_checker c;
	struct tapio_view view;
	struct load_verdicts v;

	load_checker_init(&c, scoreboard, 0, 0);
	for (int i = 0; i < 10; i++) {
		view = publish(0);
		deliver_and_release(&c, &view);
	}
	deliver_move(&c, 0, 0);
	/* Where it was, while others have gone on: late, and in no disorder. */
	view = publish(0);
	view.flags = TAPIO_VIEW_FORMER;
	position[0] = 64;
	deliver_and_release(&c, &view);
	for (int i = 0; i < 10; i++) {
		view = publish(0);
		deliver_and_release(&c, &view);
	}
	v = verdict();
	ASSERT_VERDICT(v, 0, 0, 0, 0);
	ck_assert_uint_eq(v.received, 21);
	ck_assert_uint_eq(scoreboard->counts[0].moves, 1);
	ck_assert_uint_eq(scoreboard->counts[0].late, 1);
	/* The same position of the same memory again is what it was. */
	view.position = 64;
	deliver(&c, &view);
	ck_assert_uint_eq(verdict().duplicated, 1);
}
END_TEST

START_TEST(what_a_move_lost_is_counted_by_cause)
{
	struct load_checker c;

	load_checker_init(&c, scoreboard, 0, 0);
	deliver_move(&c, 5, 7);
	deliver_move(&c, 50, 70);
	ck_assert_uint_eq(scoreboard->counts[0].before_join, 55);
	ck_assert_uint_eq(scoreboard->counts[0].unread, 77);
	ck_assert_uint_eq(scoreboard->counts[0].gaps, 0);
	ck_assert_uint_eq(verdict().corrupt, 0);
	/* There were three instances. */
	deliver_move(&c, 0, 0);
	ck_assert_uint_eq(verdict().corrupt, 1);
}
END_TEST

/* Before its first move a consumer has left no memory. */
START_TEST(an_event_of_no_memory_is_seen)
{
	struct load_checker c;
	struct tapio_view view = publish(0);

	load_checker_init(&c, scoreboard, 0, 0);
	view.flags = TAPIO_VIEW_FORMER;
	deliver(&c, &view);
	ck_assert_uint_eq(verdict().corrupt, 1);
}
END_TEST

START_TEST(a_refused_event_is_neither_sent_nor_in_doubt)
{
	struct load_verdicts v;

	ck_assert_uint_ne(load_emit_try(&emitter, 5), UINT64_MAX);
	load_emit_done(&emitter, 0);
	v = verdict();
	ck_assert_uint_eq(v.accepted, 0);
	ck_assert_uint_eq(v.in_doubt, 0);
	ck_assert_uint_ne(load_emit_try(&emitter, 5), UINT64_MAX);
	v = verdict();
	ck_assert_uint_eq(v.in_doubt, 5);
}
END_TEST

START_TEST(a_board_without_spans_says_so)
{
	uint64_t id = 0;

	for (uint64_t i = 0; i < 20 && id != UINT64_MAX; i++) {
		id = load_emit_try(&emitter, LOAD_SPAN_EVENTS);
		if (id != UINT64_MAX)
			load_emit_done(&emitter, LOAD_SPAN_EVENTS);
	}
	ck_assert_uint_eq(id, UINT64_MAX);
	ck_assert_uint_eq(scoreboard->exhausted, 1);
	ck_assert_uint_ge(verdict().accepted, 10000);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("checker");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_clean_run_is_clean);
	tcase_add_test(tc, positions_may_wrap);
	tcase_add_loop_test(tc, a_lost_event_is_seen, 1020, 1030);
	tcase_add_test(tc, an_event_given_twice_is_seen);
	tcase_add_test(tc, an_event_given_twice_in_one_batch_is_seen);
	tcase_add_test(tc, an_event_at_two_positions_is_seen);
	tcase_add_test(tc, a_corrupted_byte_is_seen);
	tcase_add_test(tc, a_wrong_length_is_seen);
	tcase_add_test(tc, content_of_another_event_of_the_producer_is_seen);
	tcase_add_test(tc, a_swapped_order_is_seen);
	tcase_add_test(tc, order_across_lanes_is_nobodys_business);
	tcase_add_test(tc, an_event_that_nobody_sent_is_seen);
	tcase_add_test(tc, an_event_in_doubt_may_arrive_or_not);
	tcase_add_test(tc, an_event_in_doubt_arrives_everywhere_or_nowhere);
	tcase_add_test(tc, each_group_is_owed_every_event);
	tcase_add_test(tc, what_a_dead_member_had_not_released_may_come_again);
	tcase_add_test(tc, what_a_living_member_was_given_may_not_come_again);
	tcase_add_test(tc, what_a_dead_member_had_released_may_not_come_again);
	tcase_add_test(tc, a_kill_inside_the_marking_loses_nothing);
	tcase_add_test(tc, events_of_others_are_left_alone);
	tcase_add_test(tc, a_gap_record_is_counted);
	tcase_add_test(tc, each_instance_has_positions_of_its_own);
	tcase_add_test(tc, what_a_move_lost_is_counted_by_cause);
	tcase_add_test(tc, an_event_of_no_memory_is_seen);
	tcase_add_test(tc, a_refused_event_is_neither_sent_nor_in_doubt);
	tcase_add_test(tc, a_board_without_spans_says_so);
	return check_run_case("load_check", tc);
}
