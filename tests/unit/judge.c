/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge: an honest group is never found guilty, whatever its members and the
 * producers do between two looks and in the middle of one, and wherever the
 * position counter stands, and each way of lying is found at the first look.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "broker/group/judge.h"
#include "tests/check_main.h"

#define N        UINT64_C(64)
#define MASK     TAPIO_POSITION_MASK
#define SLOT     5
#define OWN      7 /* incarnation */
#define FORMER   6
#define LAPS_END (UINT64_C(1) << 47)

/* One lane and one group on it, in totals that never wrap. */
static struct world {
	struct tapio_shm_lane shm;
	struct tpi_lane lane;
	struct tpi_channel channel;
	struct tpi_judge judge;
	struct tpi_suspect suspect;
	uint64_t base; /* position of total 0 */
	uint64_t tail, gate, head, start;
	uint64_t skipped, lost;
	uint32_t incarnation; /* in the head */
} w;

static const uint64_t bases[] = {N, 1000000, MASK - 100, LAPS_END - 50};
#define BASES 4

static uint64_t pos(uint64_t total)
{
	return (w.base + total) & MASK;
}

/* A group that joins at `tail`. */
static void begin(void)
{
	w.head = w.start = w.tail;
	w.skipped = w.lost = 0;
	w.incarnation = OWN;
	tpi_judge_begin(&w.judge, SLOT, 0, pos(w.tail), OWN);
}

static void make(uint64_t base, bool lossless, bool strangers)
{
	memset(&w, 0, sizeof(w));
	w.base = base;
	w.shm.state = TAPIO_STATE(base & MASK, 0);
	w.lane = (struct tpi_lane){.shm = &w.shm, .mask = N - 1};
	w.channel = (struct tpi_channel){.lanes = &w.lane, .lane_count = 1};
	w.suspect = (struct tpi_suspect){.slot = SLOT,
					 .incarnation = OWN,
					 .lossless = lossless,
					 .strangers = strangers};
	ck_assert_int_eq(tpi_judge_init(&w.judge, &w.channel), 0);
	w.tail = w.gate = 3;
	begin();
}

static void unmake(void)
{
	tpi_judge_fini(&w.judge);
}

/* A look that loads everything now. */
static struct tpi_ledger sight(void)
{
	return (struct tpi_ledger){
		.start = pos(w.start),
		.gate = pos(w.gate),
		.head = pos(w.head),
		.word = TAPIO_HEAD(pos(w.head), w.incarnation, 0),
		.tail = pos(w.tail),
		.skipped = w.skipped,
		.lost = w.lost,
	};
}

static uint32_t judged(const struct tpi_ledger *seen)
{
	return tpi_judge_look(&w.judge, &w.suspect, 0, seen);
}

static uint32_t look_now(void)
{
	struct tpi_ledger seen = sight();

	return judged(&seen);
}

static void head_at(struct tpi_ledger *seen, uint64_t position)
{
	seen->head = position & MASK;
	seen->word = TAPIO_HEAD(seen->head, OWN, 0);
}

/* ---- honest groups -------------------------------------------------------------- */

static uint64_t below(uint64_t limit)
{
	return ((uint64_t)random() << 31 ^ (uint64_t)random()) % limit;
}

static void publish(void)
{
	/* Now and then somebody has been stopped for years. */
	uint64_t most = w.suspect.lossless ? N - (w.tail - w.gate)
			: below(20) == 0   ? UINT64_C(1) << 46
					   : N;

	w.tail += below(most + 1);
}

static void move_gate(void)
{
	uint64_t limit = w.tail;

	if (w.suspect.lossless)
		limit = w.incarnation == OWN ? w.head : w.gate;
	w.gate += below(limit - w.gate + 1);
}

static void release_some(void)
{
	uint64_t count = below(w.tail - w.head + 1), skipped, lost;

	if (w.incarnation != OWN) { /* somebody takes the lane, and begins .. */
		w.incarnation = OWN;
		w.head = w.gate > w.start ? w.gate : w.start;
		count = below(w.tail - w.head + 1);
	}
	skipped = below(count + 1);
	lost = below(count - skipped + 1);
	w.head += count;
	w.skipped += skipped;
	w.lost += lost;
}

static void act(void)
{
	switch (below(w.suspect.strangers ? 5 : 4)) {
	case 0:
		publish();
		break;
	case 1:
		move_gate();
		break;
	case 2:
		release_some();
		break;
	case 3:
		if (below(50) == 0)
			begin(); /* the slot is another group's */
		break;
	case 4: /* a former member wakes up */
		if (below(4) == 0) {
			w.incarnation = FORMER;
			w.skipped = below(MASK);
		}
	}
}

static void act_some(void)
{
	for (uint64_t n = below(6); n; n--)
		act();
}

/* Gate, head and tail are loaded at different times. The group stays the same. */
static struct tpi_ledger slow_sight(void)
{
	struct tpi_ledger seen = sight();
	uint64_t began = w.start;

	if (below(2)) {
		publish();
		release_some();
		move_gate();
	}
	ck_assert_uint_eq(w.start, began);
	seen.head = pos(w.head);
	seen.word = TAPIO_HEAD(seen.head, w.incarnation, 0);
	seen.skipped = w.skipped;
	seen.lost = w.lost;
	if (below(2)) {
		publish();
		release_some();
		move_gate();
		/* Other tallies than the head's: as the ledger says then. */
		seen.faults |= TPI_FAULT_UNSTEADY;
		seen.skipped = w.skipped;
		seen.lost = below(MASK);
	}
	seen.tail = pos(w.tail);
	return seen;
}

/* A8. Another broker begins with its first look, if no member was stopped for so long. */
static void take_over(struct tpi_ledger (*look)(void))
{
	struct tpi_ledger seen;

	if (w.tail - w.head >= UINT64_C(1) << 46)
		return;
	tpi_judge_fini(&w.judge);
	w.shm.state = TAPIO_STATE(pos(w.tail), 0);
	ck_assert_int_eq(tpi_judge_init(&w.judge, &w.channel), 0);
	seen = look();
	tpi_judge_resume(&w.judge, SLOT, 0, OWN, w.suspect.strangers, &seen);
}

/* In the last runs one broker follows another. */
START_TEST(an_honest_group_is_never_found_guilty)
{
	for (int run = 0; run < 16; run++) {
		bool strangers = run & 2;

		make(bases[_i], run & 1, strangers);
		for (int i = 0; i < 8000; i++) {
			struct tpi_ledger seen;
			uint32_t faults;

			act_some();
			if (run & 8 && below(7) == 0)
				take_over(slow_sight);
			seen = slow_sight();
			faults = judged(&seen);
			ck_assert_msg(!faults, "run %d, look %d: 0x%x", run, i,
				      faults);
		}
		unmake();
	}
}
END_TEST

START_TEST(one_who_is_stopped_stays_innocent_while_positions_go_round)
{
	make(bases[_i], false, false);
	w.tail += 100;
	w.head += 40;
	for (int i = 0; i < 50; i++) { /* twelve times round */
		ck_assert_uint_eq(look_now(), 0);
		w.tail += UINT64_C(1) << 46;
		w.gate = w.tail - 3;
	}
	w.head += 30; /* it wakes up, releases, and is stopped again */
	ck_assert_uint_eq(look_now(), 0);
	w.tail += UINT64_C(1) << 47;
	ck_assert_uint_eq(look_now(), 0);
	unmake();
}
END_TEST

/* ---- lies -------------------------------------------------------------------------- */

START_TEST(a_successor_finds_what_lies_already)
{
	make(bases[_i], _i & 1, false);
	w.tail += 40;
	w.head += 10;
	ck_assert_uint_eq(look_now(), 0);
	w.head = w.tail + 5;
	take_over(sight);
	ck_assert_uint_eq(look_now(), TPI_FAULT_HEAD);
	w.head = w.tail - 30;
	take_over(sight);
	ck_assert_uint_eq(look_now(), 0);
	w.skipped = 11; /* of 10 */
	ck_assert_uint_eq(look_now(), TPI_FAULT_TALLY);
	w.skipped = 0;
	w.start++;
	ck_assert_uint_eq(look_now(), TPI_FAULT_START);
	unmake();
}
END_TEST

/* The laps since the start are not known to a successor. */
/* It has unread events from its first moment on, and may read them. */
START_TEST(a_group_that_begins_at_the_gate_is_judged_from_there)
{
	make(bases[_i], false, false);
	w.tail += 40;
	w.gate = w.head = w.start = w.tail - 20;
	tpi_judge_begin_at(&w.judge, SLOT, 0, pos(w.tail), pos(w.start), OWN);
	ck_assert_uint_eq(look_now(), 0);
	w.head--;
	ck_assert_uint_eq(look_now(), TPI_FAULT_START);
	w.head = w.tail;
	w.skipped = 20;
	ck_assert_uint_eq(look_now(), 0);
	w.skipped = 21;
	ck_assert_uint_eq(look_now(), TPI_FAULT_TALLY);
	w.skipped = 0;
	w.head = w.tail + 1;
	ck_assert_uint_eq(look_now(), TPI_FAULT_HEAD);
	unmake();
}
END_TEST

START_TEST(a_tally_of_many_laps_is_possible_for_a_successor)
{
	make(bases[_i], false, false);
	for (int i = 0; i < 40; i++) {
		w.tail += UINT64_C(1) << 45;
		w.head = w.tail;
		w.skipped = w.head - w.start;
	}
	take_over(sight);
	ck_assert_uint_eq(look_now(), 0);
	w.tail += 100;
	w.head += 100;
	w.skipped += 60;
	w.lost += 40;
	ck_assert_uint_eq(look_now(), 0);
	unmake();
}
END_TEST

START_TEST(a_head_beyond_the_tail_is_found)
{
	struct tpi_ledger seen;

	make(bases[_i], _i & 1, false);
	w.tail += 20;
	w.head += 10;
	ck_assert_uint_eq(look_now(), 0);
	seen = sight();
	for (uint64_t by = 1; by < LAPS_END; by = by * 3 + 1) {
		head_at(&seen, pos(w.tail) + by);
		ck_assert_uint_eq(judged(&seen), TPI_FAULT_HEAD);
	}
	/* It was not believed: the honest one is still good. */
	ck_assert_uint_eq(look_now(), 0);
	/* The same where the positions have gone round. */
	w.tail += 200;
	seen = sight();
	head_at(&seen, pos(w.tail) + 1);
	ck_assert_uint_eq(judged(&seen), TPI_FAULT_HEAD);
	head_at(&seen, pos(w.tail));
	ck_assert_uint_eq(judged(&seen), 0);
	unmake();
}
END_TEST

START_TEST(a_head_before_the_start_is_found)
{
	struct tpi_ledger seen;

	make(bases[_i], _i & 1, _i & 2);
	w.tail += 20;
	w.head += 10;
	ck_assert_uint_eq(look_now(), 0);
	seen = sight();
	for (uint64_t by = 1; by < LAPS_END / 2; by = by * 3 + 1) {
		head_at(&seen, pos(w.start) - by);
		ck_assert_uint_eq(judged(&seen), TPI_FAULT_START);
	}
	unmake();
}
END_TEST

START_TEST(a_head_of_another_incarnation_is_a_lie_if_nobody_had_the_slot_before)
{
	for (int strangers = 0; strangers < 2; strangers++) {
		make(bases[_i], true, strangers);
		w.incarnation = FORMER;
		ck_assert_uint_eq(look_now(),
				  strangers ? 0 : TPI_FAULT_FOREIGN);
		unmake();
	}
}
END_TEST

START_TEST(a_lossless_head_before_the_gate_is_found)
{
	for (int kind = 0; kind < 4; kind++) {
		bool lossless = kind & 1, strangers = kind & 2;
		struct tpi_ledger seen;

		make(bases[_i], lossless, strangers);
		w.tail += 40;
		w.head += 30;
		w.gate += 25;
		ck_assert_uint_eq(look_now(), 0);
		seen = sight();
		head_at(&seen, pos(w.gate) - 1);
		ck_assert_uint_eq(judged(&seen),
				  lossless && !strangers ? TPI_FAULT_GATE : 0);
		unmake();
	}
}
END_TEST

START_TEST(a_gate_that_producers_push_beyond_a_head_is_not_the_groups_fault)
{
	make(bases[_i], true, false);
	w.tail += 40;
	w.head += 10;
	ck_assert_uint_eq(look_now(), 0);
	w.gate = w.head + 20;
	ck_assert_uint_eq(look_now(), 0);
	w.head += 5;
	ck_assert_uint_eq(look_now(), 0);
	unmake();
}
END_TEST

START_TEST(a_tail_that_is_taken_back_excuses_every_head)
{
	struct tpi_ledger seen;

	make(bases[_i], false, false);
	w.tail += 200;
	w.head += 190;
	ck_assert_uint_eq(look_now(), 0);
	seen = sight();
	seen.tail = pos(w.start);
	ck_assert_uint_eq(judged(&seen), 0);
	w.head += 5;
	head_at(&seen, pos(w.head));
	ck_assert_uint_eq(judged(&seen), 0);
	unmake();
}
END_TEST

/* Producers write it, so it says nothing about a group. */
START_TEST(a_state_that_cannot_be_is_no_evidence)
{
	struct tpi_ledger seen;

	make(bases[_i], false, false);
	w.tail += 20;
	ck_assert_uint_eq(look_now(), 0);
	seen = sight();
	head_at(&seen, pos(w.tail) + 100000);
	seen.faults = TPI_FAULT_HELD;
	ck_assert_uint_eq(judged(&seen), 0);
	seen.faults = 0;
	ck_assert_uint_eq(judged(&seen), TPI_FAULT_HEAD);
	unmake();
}
END_TEST

/*
 * An isolated producer takes its tail back just before each look. A head that has
 * followed it, and the tally, are no evidence. The words that no producer can write still are.
 */
START_TEST(an_isolated_producer_makes_no_group_look_guilty)
{
	for (int lossless = 0; lossless < 2; lossless++) {
		struct tpi_ledger seen;

		make(bases[_i], lossless, false);
		w.suspect.isolated = true;
		w.tail += 20;
		ck_assert_uint_eq(look_now(), 0);
		seen = sight();
		for (uint64_t by = 1; by < LAPS_END; by = by * 3 + 1) {
			head_at(&seen, pos(w.tail) + by);
			seen.lost = by + 100;
			ck_assert_uint_eq(judged(&seen), 0);
			head_at(&seen, pos(w.start) - by);
			seen.gate = pos(w.tail + 7);
			ck_assert_uint_eq(judged(&seen), 0);
		}
		seen.start = (seen.start + 1) & MASK;
		ck_assert_uint_eq(judged(&seen), TPI_FAULT_START);
		seen.start = pos(w.start);
		ck_assert_uint_eq(judged(&seen), 0);
		seen.word = TAPIO_HEAD(seen.head, FORMER, 0);
		ck_assert_uint_eq(judged(&seen), TPI_FAULT_FOREIGN);
		unmake();
	}
}
END_TEST

START_TEST(more_skipped_and_lost_than_was_released_is_found)
{
	for (int strangers = 0; strangers < 2; strangers++) {
		make(bases[_i], false, strangers);
		w.tail += 40;
		w.head += 10;
		w.skipped = 4;
		w.lost = 6;
		ck_assert_uint_eq(look_now(), 0);
		w.lost = 7;
		ck_assert_uint_eq(look_now(), strangers ? 0 : TPI_FAULT_TALLY);
		w.skipped = UINT64_MAX - 1;
		ck_assert_uint_eq(look_now(), strangers ? 0 : TPI_FAULT_TALLY);
		unmake();
	}
}
END_TEST

START_TEST(a_start_that_was_rewritten_is_found)
{
	struct tpi_ledger seen;

	make(bases[_i], false, true);
	w.tail += 40;
	w.head += 10;
	seen = sight();
	seen.start = (seen.start + 1) & MASK;
	ck_assert_uint_eq(judged(&seen), TPI_FAULT_START);
	ck_assert_uint_eq(look_now(), 0);
	unmake();
}
END_TEST

START_TEST(what_a_dead_liar_left_is_put_right_where_it_was_last_possible)
{
	for (int lossless = 0; lossless < 2; lossless++) {
		struct tpi_ledger seen;
		uint64_t word, start;

		make(bases[_i], lossless, false);
		w.tail += 40;
		w.head += 10;
		ck_assert_uint_eq(look_now(), 0);
		w.gate = w.head + 2; /* another member went on */
		seen = sight();
		head_at(&seen, pos(w.tail) + 999);
		ck_assert_uint_eq(judged(&seen), TPI_FAULT_HEAD);
		word = tpi_judge_mend(&w.judge, SLOT, 0, lossless, &seen,
				      &start);
		w.head = lossless ? w.gate : w.head;
		ck_assert_uint_eq(word, TAPIO_HEAD(pos(w.head), OWN, 0));
		ck_assert_uint_eq(start, pos(w.start));
		ck_assert_uint_eq(look_now(), 0);
		w.head = w.tail;
		ck_assert_uint_eq(look_now(), 0);
		unmake();
	}
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("judge");

	tcase_add_loop_test(c, a_successor_finds_what_lies_already, 0, BASES);
	tcase_add_loop_test(
		c, a_group_that_begins_at_the_gate_is_judged_from_there, 0,
		BASES);
	tcase_add_loop_test(c, a_tally_of_many_laps_is_possible_for_a_successor,
			    0, BASES);
	tcase_add_loop_test(c, an_honest_group_is_never_found_guilty, 0, BASES);
	tcase_add_loop_test(
		c, one_who_is_stopped_stays_innocent_while_positions_go_round,
		0, BASES);
	tcase_add_loop_test(c, a_head_beyond_the_tail_is_found, 0, BASES);
	tcase_add_loop_test(c, a_head_before_the_start_is_found, 0, BASES);
	tcase_add_loop_test(
		c,
		a_head_of_another_incarnation_is_a_lie_if_nobody_had_the_slot_before,
		0, BASES);
	tcase_add_loop_test(c, a_lossless_head_before_the_gate_is_found, 0,
			    BASES);
	tcase_add_loop_test(
		c,
		a_gate_that_producers_push_beyond_a_head_is_not_the_groups_fault,
		0, BASES);
	tcase_add_loop_test(c, a_tail_that_is_taken_back_excuses_every_head, 0,
			    BASES);
	tcase_add_loop_test(c, a_state_that_cannot_be_is_no_evidence, 0, BASES);
	tcase_add_loop_test(c, an_isolated_producer_makes_no_group_look_guilty,
			    0, BASES);
	tcase_add_loop_test(c, more_skipped_and_lost_than_was_released_is_found,
			    0, BASES);
	tcase_add_loop_test(c, a_start_that_was_rewritten_is_found, 0, BASES);
	tcase_add_loop_test(
		c,
		what_a_dead_liar_left_is_put_right_where_it_was_last_possible,
		0, BASES);
	return check_run_case("judge", c);
}
