/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partial results of members that die, sleep and are relieved: each event counts once, and
 * the sum of all partial results equals that of one member, bit by bit. So it does when
 * they go through a channel in pieces.
 */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/analyze_rig.h"

static void set_up(void)
{
	rig_open(10 * SECOND, 10 * SECOND);
}

static uint64_t random_state = 88172645463325252u;

static uint32_t roll(uint32_t sides)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 33) % sides;
}

/* A delta of one lane over positions, each an event of key 1 at its second / 10. */
static struct an_delta span(uint64_t member, uint64_t first, uint64_t last)
{
	struct an_delta d = delta_of(member, 3);

	for (uint64_t p = first; p <= last; p++)
		read_at(&d, p, (double)p / 10, 1);
	return d;
}

static void take_span(uint64_t member, uint64_t first, uint64_t last)
{
	struct an_delta d = span(member, first, last);

	take(&d, 0);
}

static uint64_t events_of_windows(void)
{
	uint64_t events = 0;

	for (uint32_t i = 0; i < window_count; i++)
		events += windows[i].events;
	return events;
}

START_TEST(events_that_come_again_after_a_kill_count_once)
{
	take_span(1, 10, 19);
	take_span(1, 20, 29); /* killed before it has released these */
	take_span(2, 20, 34);
	take_span(2, 35, 40);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(events_of_windows(), 31);
	ck_assert_uint_eq(an_merger_totals(merger)->again, 10);
	ck_assert_uint_eq(an_merger_totals(merger)->refused, 0);
}
END_TEST

START_TEST(a_sleeper_that_was_relieved_does_not_count)
{
	take_span(2, 10, 14); /* took the lane over, and has released */
	take_span(1, 10,
		  19); /* the sleeper wakes up, and its release is void */
	take_span(2, 15, 24);
	take_span(2, 25, 29);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(events_of_windows(), 20);
	ck_assert_uint_eq(an_merger_totals(merger)->again, 10);
}
END_TEST

START_TEST(a_sleeper_that_wakes_up_very_late_does_not_count)
{
	take_span(2, 10, 14);
	take_span(2, 15, 24);
	take_span(2, 25, 29);
	take_span(1, 10, 12);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(events_of_windows(), 20);
	ck_assert_uint_eq(an_merger_totals(merger)->again, 3);
}
END_TEST

START_TEST(the_last_candidate_counts_at_the_end)
{
	take_span(1, 10, 19);
	take_span(2, 10, 15);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(events_of_windows(), 10);
}
END_TEST

START_TEST(events_that_come_again_after_their_window_closed_count_once)
{
	take_span(1, 10, 19);
	watermark(1, 11, 0); /* 0 to 10: positions to 99 */
	ck_assert_uint_eq(window_count, 1);
	ck_assert_uint_eq(windows[0].events, 10);
	/* Killed. Its successor gets them again, and two more, which are late. */
	take_span(2, 10, 21);
	take_span(2, 22, 22);
	ck_assert_uint_eq(an_merger_totals(merger)->late, 2);
	take_span(2, 100, 104);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(windows[1].events, 5);
	/* 22 is late as any other. */
	ck_assert_uint_eq(an_merger_totals(merger)->late, 3);
}
END_TEST

START_TEST(what_comes_out_of_turn_is_marked_and_not_counted)
{
	struct an_delta early = span(1, 20, 29), late = span(1, 30, 39);

	take_span(1, 10, 19);
	ck_assert_uint_lt(early.sequence, late.sequence);
	early.sequence += 2; /* take_span() has made one meanwhile */
	late.sequence += 2;
	take(&late, 0);
	take(&early, 0);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(events_of_windows(), 20);
	ck_assert_uint_eq(an_merger_totals(merger)->refused, 1);
	ck_assert_uint_eq(windows[0].notes, AN_NOTE_LOST);
	ck_assert_uint_eq(windows[0].lost, 10);
}
END_TEST

START_TEST(positions_of_another_memory_are_other_events)
{
	struct an_delta moved = delta_of(1, AN_LANE_NONE);

	take_span(1, 10, 19);
	moved.moved = true;
	take(&moved, 0);
	take_span(1, 5, 9);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(events_of_windows(), 15);
	ck_assert_uint_eq(an_merger_totals(merger)->again, 0);
	ck_assert_uint_ne(windows[0].notes & AN_NOTE_MOVED, 0);
}
END_TEST

/*
 * A lane with members that die and sleep at random, by the rules of leases: a holder reads from
 * the head, makes its delta known, and moves the head unless it is killed before, or was
 * relieved meanwhile.
 */
static void live_through(uint64_t positions)
{
	uint64_t head = 1;
	struct an_delta sleeping = {0};
	bool sleeps = false;
	uint64_t member = 1;

	while (head <= positions) {
		const uint64_t last = head + roll(30);
		struct an_delta d =
			span(member, head, last < positions ? last : positions);
		const uint64_t behind = d.last + 1;

		switch (roll(6)) {
		case 0: /* killed before it was known */
			an_delta_clear(&d, &budget);
			member++;
			break;
		case 1: /* killed before the release */
			take(&d, 0);
			member++;
			break;
		case 2: /* stopped before it is known, and relieved */
			if (sleeps)
				an_delta_clear(&d, &budget);
			else
				sleeping = d;
			sleeps = true;
			member++;
			break;
		default:
			take(&d, 0);
			head = behind;
			break;
		}
		if (sleeps && !roll(4)) {
			take(&sleeping, 0);
			sleeps = false;
		}
	}
	if (sleeps)
		take(&sleeping, 0);
}

START_TEST(any_kills_and_sleeps_leave_the_sum_exact)
{
	for (uint32_t round = 0; round < (CHECK_SANITIZED ? 30 : 300);
	     round++) {
		const uint64_t positions = 1 + roll(600);

		random_state += round;
		live_through(positions);
		an_merger_finish(merger, true);
		ck_assert_uint_eq(events_of_windows(), positions);
		ck_assert_uint_eq(an_merger_totals(merger)->refused, 0);
		for (uint32_t i = 0; i < window_count; i++)
			ck_assert_uint_eq(windows[i].notes, 0);
		rig_close();
		set_up();
	}
}
END_TEST

/* ---- merging and pieces ------------------------------------------------------ */

#define PIECES 4096u

static struct {
	char *bytes;
	uint32_t length;
} pieces[PIECES];
static uint32_t piece_count;

static int keep_piece(void *arg, const void *bytes, uint32_t length)
{
	const uint32_t *max = arg;

	ck_assert_uint_lt(piece_count, PIECES);
	ck_assert_uint_le(length, *max);
	pieces[piece_count].bytes = malloc(length);
	memcpy(pieces[piece_count].bytes, bytes, length);
	pieces[piece_count++].length = length;
	return 0;
}

static void free_pieces(void)
{
	while (piece_count)
		free(pieces[--piece_count].bytes);
}

static struct an_decoder decoder_of(void)
{
	return (struct an_decoder){.spec = &spec,
				   .budget = &budget,
				   .digest = an_spec_digest(&spec)};
}

/* Adds the same 5000 events in all cases, to one delta or to four. */
static void fill(struct an_delta *deltas, uint32_t count)
{
	random_state = 12345;
	for (uint32_t i = 0; i < 5000; i++) {
		const double second = roll(40);
		const uint64_t key = roll(60);

		add_value(&deltas[roll(4) % count], second, key,
			  1 + (uint64_t)roll(50) * roll(1000000));
	}
}

static void ck_cells_equal(const struct an_cell *a, const struct an_cell *b)
{
	ck_assert_uint_eq(a->count, b->count);
	ck_assert_uint_eq(a->valued, b->valued);
	ck_assert(a->sum == b->sum && a->min == b->min && a->max == b->max);
	for (uint32_t r = 0; r < 1u << spec.precision; r++)
		ck_assert_uint_eq(an_distinct_rank(&a->distinct, r),
				  an_distinct_rank(&b->distinct, r));
	for (uint32_t i = 0; i < TAPIO_HISTOGRAM_BUCKETS; i++)
		ck_assert_uint_eq(an_spread_bucket(&a->spread, i),
				  an_spread_bucket(&b->spread, i));
	ck_assert_uint_eq(a->top.used, b->top.used);
	for (uint32_t i = 0; i < a->top.used; i++) {
		const struct an_counter *c = &a->top.counters[i];
		const struct an_counter *d =
			an_heavy_find(&b->top, c->hash, c->bytes, c->length);

		ck_assert_ptr_nonnull(d);
		ck_assert_uint_eq(c->count, d->count);
		ck_assert_uint_eq(c->error, d->error);
	}
}

static void ck_tables_equal(struct an_table *a, struct an_table *b)
{
	ck_assert_uint_eq(a->used, b->used);
	for (uint32_t i = 0; i < a->used; i++) {
		const struct an_entry *e = &a->entries[i];
		const uint32_t before = b->used;

		ck_cells_equal(&e->cell, an_table_cell(b, &spec, &budget,
						       an_table_key(a, e),
						       e->key_length));
		ck_assert_uint_eq(b->used, before);
	}
}

static void merge_into(struct an_delta *sum, const struct an_delta *from)
{
	for (uint32_t i = 0; i < from->pane_count; i++)
		an_table_merge(
			&an_delta_pane(sum, &budget, from->panes[i].number)
				 ->table,
			&spec, &budget, &from->panes[i].table);
}

static void ck_deltas_equal(struct an_delta *a, struct an_delta *b)
{
	ck_assert_uint_eq(a->pane_count, b->pane_count);
	for (uint32_t i = 0; i < a->pane_count; i++)
		ck_tables_equal(
			&a->panes[i].table,
			&an_delta_pane(b, &budget, a->panes[i].number)->table);
}

START_TEST(four_members_merged_equal_one_bit_by_bit)
{
	struct an_delta one = delta_of(1, AN_LANE_NONE), parts[4],
			sum = delta_of(1, AN_LANE_NONE);

	for (uint32_t i = 0; i < 4; i++)
		parts[i] = delta_of(i + 2, AN_LANE_NONE);
	fill(&one, 1);
	fill(parts, 4);
	for (uint32_t i = 4; i > 0; i--)
		merge_into(&sum, &parts[i - 1]);
	ck_deltas_equal(&one, &sum);
	for (uint32_t i = 0; i < 4; i++)
		an_delta_clear(&parts[i], &budget);
	an_delta_clear(&one, &budget);
	an_delta_clear(&sum, &budget);
}
END_TEST

START_TEST(pieces_bring_over_all_that_there_is)
{
	static const uint32_t sizes[] = {AN_PIECE_BYTES_MIN, 700, 5000, 65536};

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct an_delta d = delta_of(9, 5);
		struct an_decoder decoder = decoder_of();
		uint32_t max = sizes[s];

		fill(&d, 1);
		an_delta_cover(&d, 17);
		an_delta_cover(&d, 5016);
		an_delta_lose(&d, 3, AT(1), AT(2));
		d.watermark_ns = AT(40);
		ck_assert_int_eq(
			an_delta_encode(&d, &spec, max, keep_piece, &max), 0);
		for (uint32_t i = 0; i < piece_count; i++)
			ck_assert_int_eq(an_decoder_take(&decoder,
							 pieces[i].bytes,
							 pieces[i].length),
					 i + 1 == piece_count);
		ck_assert_uint_eq(decoder.delta.member, 9);
		ck_assert_uint_eq(decoder.delta.lane, 5);
		ck_assert_uint_eq(decoder.delta.first, 17);
		ck_assert_uint_eq(decoder.delta.last, 5016);
		ck_assert_uint_eq(decoder.delta.events, 5000);
		ck_assert_uint_eq(decoder.delta.lost, 3);
		ck_assert_int_eq(decoder.delta.watermark_ns, AT(40));
		ck_deltas_equal(&d, &decoder.delta);
		an_delta_clear(&d, &budget);
		an_decoder_free(&decoder);
		free_pieces();
	}
}
END_TEST

START_TEST(a_delta_without_one_of_its_pieces_is_none)
{
	struct an_delta d = delta_of(9, 5);
	uint32_t max = 2000;

	fill(&d, 1);
	ck_assert_int_eq(an_delta_encode(&d, &spec, max, keep_piece, &max), 0);
	ck_assert_uint_gt(piece_count, 10);
	for (uint32_t missing = 0; missing < piece_count; missing++) {
		struct an_decoder decoder = decoder_of();
		int err = 0;

		for (uint32_t i = 0; i < piece_count; i++)
			if (i != missing) {
				err = an_decoder_take(&decoder, pieces[i].bytes,
						      pieces[i].length);
				ck_assert_int_le(err, 0);
			}
		/* Without the last one it waits on. */
		ck_assert_int_eq(err,
				 missing + 1 == piece_count ? 0 : -ENODATA);
		an_decoder_free(&decoder);
	}
	free_pieces();
	an_delta_clear(&d, &budget);
}
END_TEST

START_TEST(a_delta_that_has_no_end_gives_way_to_the_next)
{
	struct an_delta first = delta_of(9, 5), second = delta_of(9, 5);
	struct an_decoder decoder = decoder_of();
	uint32_t max = 2000;

	fill(&first, 1);
	add(&second, 1, 1);
	ck_assert_int_eq(an_delta_encode(&first, &spec, max, keep_piece, &max),
			 0);
	ck_assert_int_eq(
		an_decoder_take(&decoder, pieces[0].bytes, pieces[0].length),
		0);
	free_pieces();
	ck_assert_int_eq(an_delta_encode(&second, &spec, max, keep_piece, &max),
			 0);
	ck_assert_int_eq(
		an_decoder_take(&decoder, pieces[0].bytes, pieces[0].length),
		AN_DECODED);
	ck_deltas_equal(&second, &decoder.delta);
	free_pieces();
	an_decoder_free(&decoder);
	an_delta_clear(&first, &budget);
	an_delta_clear(&second, &budget);
}
END_TEST

START_TEST(a_member_with_other_options_is_refused)
{
	struct an_delta d = delta_of(9, 5);
	struct an_decoder decoder = decoder_of();
	uint32_t max = 65536;

	fill(&d, 1);
	spec.slide_ns /= 2;
	ck_assert_int_eq(an_delta_encode(&d, &spec, max, keep_piece, &max), 0);
	ck_assert_int_eq(
		an_decoder_take(&decoder, pieces[0].bytes, pieces[0].length),
		-ESTALE);
	((struct an_piece *)(void *)pieces[0].bytes)->version++;
	ck_assert_int_eq(
		an_decoder_take(&decoder, pieces[0].bytes, pieces[0].length),
		-EPROTONOSUPPORT);
	free_pieces();
	an_decoder_free(&decoder);
	an_delta_clear(&d, &budget);
}
END_TEST

/* Each byte of a piece changed: it is refused, or it adds up. Nothing is followed blindly. */
START_TEST(damaged_pieces_hurt_nobody)
{
	struct an_delta d = delta_of(9, 5);
	uint32_t max = 65536;

	for (uint32_t i = 0; i < 20; i++)
		add_value(&d, i, i % 3, i);
	ck_assert_int_eq(an_delta_encode(&d, &spec, max, keep_piece, &max), 0);
	ck_assert_uint_eq(piece_count, 1);
	for (uint32_t i = 0; i < pieces[0].length; i++)
		for (uint32_t bit = 0; bit < 8;
		     bit += CHECK_SANITIZED ? 3 : 1) {
			struct an_decoder decoder = decoder_of();

			pieces[0].bytes[i] ^= (char)(1 << bit);
			if (an_decoder_take(&decoder, pieces[0].bytes,
					    pieces[0].length) == AN_DECODED)
				take(&decoder.delta, 0);
			an_decoder_free(&decoder);
			pieces[0].bytes[i] ^= (char)(1 << bit);
		}
	for (uint32_t i = 0; i < pieces[0].length; i++) {
		struct an_decoder decoder = decoder_of();

		ck_assert_int_lt(an_decoder_take(&decoder, pieces[0].bytes, i),
				 1);
		an_decoder_free(&decoder);
	}
	free_pieces();
	an_delta_clear(&d, &budget);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("chains");

	tcase_add_checked_fixture(tests, set_up, rig_close);
	tcase_add_test(tests, events_that_come_again_after_a_kill_count_once);
	tcase_add_test(tests, a_sleeper_that_was_relieved_does_not_count);
	tcase_add_test(tests, a_sleeper_that_wakes_up_very_late_does_not_count);
	tcase_add_test(tests, the_last_candidate_counts_at_the_end);
	tcase_add_test(
		tests,
		events_that_come_again_after_their_window_closed_count_once);
	tcase_add_test(tests, what_comes_out_of_turn_is_marked_and_not_counted);
	tcase_add_test(tests, positions_of_another_memory_are_other_events);
	tcase_add_test(tests, any_kills_and_sleeps_leave_the_sum_exact);
	tcase_add_test(tests, four_members_merged_equal_one_bit_by_bit);
	tcase_add_test(tests, pieces_bring_over_all_that_there_is);
	tcase_add_test(tests, a_delta_without_one_of_its_pieces_is_none);
	tcase_add_test(tests, a_delta_that_has_no_end_gives_way_to_the_next);
	tcase_add_test(tests, a_member_with_other_options_is_refused);
	tcase_add_test(tests, damaged_pieces_hurt_nobody);
	return check_run_case("analyze_chain", tests);
}
