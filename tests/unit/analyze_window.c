/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows of tapio-analyze: when they close, what is in them, each event once whatever came
 * twice, and a mark on each number that may not be whole.
 */
#include "tests/unit/analyze_rig.h"

static struct an_change_spec change;

static void set_up(void)
{
	change = (struct an_change_spec){.is_on = true,
					 .alpha = 0.1,
					 .threshold = 4,
					 .warm_up = 10,
					 .phases = 1};
	rig_open(10 * SECOND, 10 * SECOND);
}

static void set_up_sliding(void)
{
	rig_open(10 * SECOND, 5 * SECOND);
}

/* ---- time ------------------------------------------------------------------ */

START_TEST(a_window_closes_behind_its_end_and_the_lateness)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	add(&d, 0, 1);
	add(&d, 9.9, 1);
	add(&d, 10, 2);
	take(&d, 0);
	watermark(1, 10.9, 0);
	ck_assert_uint_eq(window_count, 0);
	watermark(1, 11, 0);
	ck_assert_uint_eq(window_count, 1);
	ck_assert_double_eq(windows[0].start, 0);
	ck_assert_double_eq(windows[0].end, 10);
	ck_assert_uint_eq(windows[0].events, 2);
	ck_assert_uint_eq(windows[0].count[1], 2);
	ck_assert_uint_eq(windows[0].count[2], 0);
	ck_assert_uint_eq(windows[0].notes, 0);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(window_count, 2);
	ck_assert_uint_eq(windows[1].count[2], 1);
	ck_assert_uint_eq(windows[1].notes, 0);
}
END_TEST

START_TEST(what_is_long_before_the_begin_is_old_and_opens_no_window)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	an_merger_begin_at(merger, AT(100));
	add(&d, 5, 1);
	add(&d, 99.9, 1);
	add(&d, 100, 2);
	take(&d, 0);
	ck_assert_uint_eq(an_merger_totals(merger)->old, 2);
	ck_assert_uint_eq(an_merger_totals(merger)->late, 2);
	ck_assert_uint_eq(an_merger_open(merger), 1);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(window_count, 1);
	ck_assert_double_eq(windows[0].start, 100);
	ck_assert_uint_eq(windows[0].events, 1);
}
END_TEST

START_TEST(the_slowest_member_holds_windows_open)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	an_merger_expect(merger, 2, AT(0));
	add(&d, 1, 1);
	take(&d, 0);
	watermark(1, 100, 0);
	ck_assert_uint_eq(window_count, 0);
	d = delta_of(2, AN_LANE_NONE);
	add(&d, 2, 1);
	d.watermark_ns = AT(5);
	take(&d, 0);
	an_merger_look(merger, 0);
	ck_assert_uint_eq(window_count, 0);
	watermark(2, 11, 0);
	ck_assert_uint_eq(window_count, 1);
	ck_assert_uint_eq(windows[0].events, 2);
	/* One that leaves does not. */
	d = delta_of(2, AN_LANE_NONE);
	d.leaves = true;
	take(&d, 0);
	an_merger_look(merger, 0);
	ck_assert_uint_gt(window_count, 1);
}
END_TEST

START_TEST(a_member_that_has_read_all_holds_nothing_up)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	an_merger_expect(merger, 2, AT(0));
	d.idle = true;
	d.member = 2;
	take(&d, 0);
	d = delta_of(1, AN_LANE_NONE);
	add(&d, 1, 1);
	take(&d, 0);
	watermark(1, 11, 0);
	ck_assert_uint_eq(window_count, 1);
}
END_TEST

START_TEST(late_events_are_counted_and_change_no_closed_window)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	add(&d, 1, 1);
	take(&d, 0);
	watermark(1, 11, 0);
	d = delta_of(1, AN_LANE_NONE);
	add(&d, 2, 1);
	add(&d, 12, 1);
	take(&d, 0);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(window_count, 2);
	ck_assert_uint_eq(windows[0].events, 1);
	ck_assert_uint_eq(windows[1].events, 1);
	ck_assert_uint_eq(an_merger_totals(merger)->late, 1);
	ck_assert_uint_eq(an_merger_totals(merger)->events, 3);
}
END_TEST

START_TEST(sliding_windows_are_sums_of_their_panes)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	for (uint32_t i = 0; i < 20; i++)
		add(&d, i, i % 2);
	take(&d, 0);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(window_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		ck_assert_double_eq(windows[i].end, 5.0 * (i + 1));
		ck_assert_uint_eq(windows[i].events, i ? 10 : 5);
		ck_assert_uint_eq(windows[i].count[0] + windows[i].count[1],
				  windows[i].events);
	}
}
END_TEST

START_TEST(what_is_late_for_one_window_is_in_the_next)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	add(&d, 6, 1);
	take(&d, 0);
	watermark(1, 11, 0); /* closes 0 to 10 */
	d = delta_of(1, AN_LANE_NONE);
	add(&d, 7, 1);
	take(&d, 0);
	watermark(1, 16, 0); /* closes 5 to 15 */
	ck_assert_uint_eq(window_count, 2);
	ck_assert_uint_eq(windows[0].events, 1);
	ck_assert_uint_eq(windows[1].events, 2);
	ck_assert_uint_eq(an_merger_totals(merger)->late, 1);
}
END_TEST

START_TEST(silence_shows_as_windows_without_events)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	add(&d, 1, 1);
	take(&d, 0);
	watermark(1, 51, 0);
	ck_assert_uint_eq(window_count, 5);
	ck_assert_uint_eq(windows[4].events, 0);
	ck_assert_uint_eq(windows[4].notes, 0);
	/* But not a year of it. */
	watermark(1, 40000000, 0);
	ck_assert_uint_lt(window_count, 10);
	ck_assert_uint_gt(an_merger_totals(merger)->skipped, 3000000);
	d = delta_of(1, AN_LANE_NONE);
	add(&d, 40000001, 1);
	take(&d, 0);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(windows[window_count - 1].events, 1);
}
END_TEST

START_TEST(a_clock_that_is_set_back_begins_anew_and_marks_it)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	add(&d, 101, 1);
	take(&d, 0);
	watermark(1, 112, 0);
	ck_assert_uint_eq(window_count, 1);
	d = delta_of(1, AN_LANE_NONE);
	d.reset = true;
	d.watermark_ns = AT(52);
	take(&d, 0);
	d = delta_of(1, AN_LANE_NONE);
	add(&d, 53, 1);
	take(&d, 0);
	watermark(1, 61, 0);
	ck_assert_uint_eq(window_count, 2);
	ck_assert_double_eq(windows[1].start, 50);
	ck_assert_uint_eq(windows[1].events, 1);
	ck_assert_uint_eq(windows[1].notes, AN_NOTE_CLOCK);
	/* A small step back is within the lateness. */
	d = delta_of(1, AN_LANE_NONE);
	d.reset = true;
	d.watermark_ns = AT(60.5);
	take(&d, 0);
	ck_assert_uint_eq(window_count, 2);
}
END_TEST

/* ---- marks ----------------------------------------------------------------- */

START_TEST(windows_in_which_events_were_lost_are_marked)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	for (uint32_t i = 0; i < 50; i += 10)
		add(&d, i, 1);
	an_delta_lose(&d, 7, AT(12), AT(12));
	an_delta_lose(&d, 0, AT(12), AT(25));
	take(&d, 0);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(window_count, 5);
	for (uint32_t i = 0; i < 5; i++) {
		const bool hit = i == 1 || i == 2;

		ck_assert_uint_eq(windows[i].notes, hit ? AN_NOTE_LOST : 0);
		ck_assert_uint_eq(windows[i].lost, hit ? 7 : 0);
	}
	ck_assert_uint_eq(an_merger_totals(merger)->lost, 7);
}
END_TEST

START_TEST(a_window_that_began_before_is_marked)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	an_delta_begin(&d, &spec, AT(13));
	add(&d, 13, 1);
	add(&d, 23, 1);
	take(&d, 0);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(windows[0].notes, AN_NOTE_BEGAN);
	ck_assert_uint_eq(windows[1].notes, 0);
}
END_TEST

START_TEST(a_window_that_is_cut_off_is_marked)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	add(&d, 3, 1);
	add(&d, 13, 1);
	take(&d, 0);
	watermark(1, 15, 0);
	an_merger_finish(merger, false);
	ck_assert_uint_eq(window_count, 2);
	ck_assert_uint_eq(windows[0].notes, 0);
	ck_assert_uint_eq(windows[1].notes, AN_NOTE_STOPPED);
}
END_TEST

START_TEST(keys_without_room_are_counted_together)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	spec.keys_max = 3;
	for (uint32_t i = 0; i < 80; i++)
		add(&d, 1, i % KEYS);
	add(&d, 11, 1);
	take(&d, 0);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(windows[0].events, 80);
	ck_assert_uint_eq(windows[0].other, 50);
	ck_assert_uint_eq(windows[0].count[0], 10);
	ck_assert_uint_eq(windows[0].notes, AN_NOTE_KEYS);
	ck_assert_uint_eq(windows[1].notes, 0);
}
END_TEST

START_TEST(without_memory_events_go_to_the_other_keys)
{
	struct an_delta d = delta_of(1, AN_LANE_NONE);

	budget.max_bytes = 60000;
	for (uint32_t i = 0; i < 1000; i++)
		add_value(&d, 1, i, i);
	take(&d, 0);
	ck_assert_uint_le(budget.used_bytes, 60000);
	an_merger_finish(merger, true);
	ck_assert_uint_eq(windows[0].events, 1000);
	ck_assert_uint_gt(windows[0].other, 100);
	ck_assert_uint_eq(windows[0].notes, AN_NOTE_KEYS);
}
END_TEST

START_TEST(a_silent_member_is_passed_over_and_its_windows_marked)
{
	struct an_delta d = delta_of(1, 0);

	read_at(&d, 100, 1, 1);
	take(&d, 0);
	watermark(1, 5, 0);
	watermark(2, 15, 0);
	ck_assert_uint_eq(window_count, 0);
	watermark(2, 25, 9.9);
	ck_assert_uint_eq(window_count, 0);
	watermark(2, 35, 10);
	ck_assert_uint_eq(window_count, 3);
	ck_assert_uint_eq(windows[0].notes, AN_NOTE_MEMBER);
	watermark(2, 75, 11);
	ck_assert_uint_eq(windows[window_count - 1].notes, 0);
}
END_TEST

START_TEST(a_dead_member_whose_lanes_others_read_marks_nothing)
{
	struct an_delta d = delta_of(1, 0);

	read_at(&d, 100, 1, 1);
	take(&d, 0);
	watermark(1, 5, 0);
	d = delta_of(2, 0);
	read_at(&d, 101, 6, 1);
	take(&d, 1);
	watermark(2, 35, 10);
	ck_assert_uint_eq(window_count, 3);
	ck_assert_uint_eq(windows[0].notes, 0);
	ck_assert_uint_eq(windows[0].events, 2);
}
END_TEST

/* ---- changes --------------------------------------------------------------- */

/* Windows with so many events of key 1. */
static void run_counts(const uint32_t *counts, uint32_t windows_wanted)
{
	baselines = an_baselines_new(&spec, &change, &budget);
	for (uint32_t w = 0; w < windows_wanted; w++) {
		struct an_delta d = delta_of(1, AN_LANE_NONE);

		for (uint32_t i = 0; i < counts[w]; i++)
			add(&d, w * 10 + 1, 1);
		take(&d, 0);
		watermark(1, w * 10 + 11, 0);
	}
	ck_assert_uint_eq(window_count, windows_wanted);
}

START_TEST(a_count_far_from_its_mean_is_a_change)
{
	uint32_t counts[40];

	for (uint32_t i = 0; i < 40; i++)
		counts[i] = 100 + i % 3;
	counts[20] = 145; /* 4.4 deviations of events that come by chance */
	counts[30] = 0;   /* silence, too */
	run_counts(counts, 40);
	ck_assert_uint_eq(change_count, 2);
	ck_assert_double_gt(scores[0], 4);
	ck_assert_double_lt(scores[0], 4.6);
	ck_assert_double_lt(scores[1], -8);
}
END_TEST

START_TEST(a_count_within_chance_is_no_change)
{
	uint32_t counts[40];

	for (uint32_t i = 0; i < 40; i++)
		counts[i] = 100 + i % 3;
	counts[20] = 135;
	counts[5] = 1000; /* not judged yet */
	change.warm_up = 19;
	run_counts(counts, 40);
	ck_assert_uint_eq(change_count, 0);
}
END_TEST

START_TEST(a_season_is_compared_with_its_own_phase)
{
	uint32_t counts[40];

	/* Every fourth window has ten times as many: no change. */
	for (uint32_t i = 0; i < 40; i++)
		counts[i] = i % 4 ? 20 : 200;
	counts[33] = 200;
	change.phases = 4;
	change.warm_up = 3;
	run_counts(counts, 40);
	ck_assert_uint_eq(change_count, 1);
	ck_assert_double_gt(scores[0], 10);
}
END_TEST

START_TEST(a_marked_window_is_neither_judged_nor_learned_from)
{
	uint32_t counts[20];

	for (uint32_t i = 0; i < 20; i++)
		counts[i] = 100;
	run_counts(counts, 20);
	struct an_delta d = delta_of(1, AN_LANE_NONE);
	an_delta_lose(&d, 99, AT(201), AT(201));
	add(&d, 201, 1);
	take(&d, 0);
	watermark(1, 211, 0);
	ck_assert_uint_eq(windows[20].events, 1);
	ck_assert_uint_eq(change_count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("analyze_window");
	TCase *tests = tcase_create("tumbling");
	TCase *sliding = tcase_create("sliding");

	tcase_add_checked_fixture(tests, set_up, rig_close);
	tcase_add_checked_fixture(sliding, set_up_sliding, rig_close);
	tcase_add_test(tests, a_window_closes_behind_its_end_and_the_lateness);
	tcase_add_test(
		tests,
		what_is_long_before_the_begin_is_old_and_opens_no_window);
	tcase_add_test(tests, the_slowest_member_holds_windows_open);
	tcase_add_test(tests, a_member_that_has_read_all_holds_nothing_up);
	tcase_add_test(tests,
		       late_events_are_counted_and_change_no_closed_window);
	tcase_add_test(tests, silence_shows_as_windows_without_events);
	tcase_add_test(tests,
		       a_clock_that_is_set_back_begins_anew_and_marks_it);
	tcase_add_test(tests, windows_in_which_events_were_lost_are_marked);
	tcase_add_test(tests, a_window_that_began_before_is_marked);
	tcase_add_test(tests, a_window_that_is_cut_off_is_marked);
	tcase_add_test(tests, keys_without_room_are_counted_together);
	tcase_add_test(tests, without_memory_events_go_to_the_other_keys);
	tcase_add_test(tests,
		       a_silent_member_is_passed_over_and_its_windows_marked);
	tcase_add_test(tests,
		       a_dead_member_whose_lanes_others_read_marks_nothing);
	tcase_add_test(tests, a_count_far_from_its_mean_is_a_change);
	tcase_add_test(tests, a_count_within_chance_is_no_change);
	tcase_add_test(tests, a_season_is_compared_with_its_own_phase);
	tcase_add_test(tests,
		       a_marked_window_is_neither_judged_nor_learned_from);
	tcase_add_test(sliding, sliding_windows_are_sums_of_their_panes);
	tcase_add_test(sliding, what_is_late_for_one_window_is_in_the_next);
	check_first_failure(tests);
	check_first_failure(sliding);
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, sliding);
	return check_run(suite);
}
