/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms keep three significant digits over their whole range. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tools/load/histogram.h"
#include "tests/check_main.h"

static struct load_histogram h, other;

static void setup(void)
{
	memset(&h, 0, sizeof(h));
	memset(&other, 0, sizeof(other));
}

START_TEST(a_value_comes_back_within_a_thousandth)
{
	uint64_t value = (UINT64_C(1) << _i) + (UINT64_C(1) << _i) / 3, back;

	back = histogram_value(histogram_bucket(value));
	ck_assert_uint_ge(back, value);
	ck_assert_uint_le(back - value, value / 1000);
	histogram_add(&h, value);
	ck_assert_uint_eq(histogram_quantile(&h, 0.5), value);
}
END_TEST

START_TEST(buckets_follow_each_other_without_hole_or_overlap)
{
	uint64_t last = 0;

	for (unsigned int i = 1; i < HISTOGRAM_BUCKETS; i++) {
		ck_assert_uint_gt(histogram_value(i), last);
		ck_assert_uint_eq(histogram_bucket(last + 1), i);
		ck_assert_uint_eq(histogram_bucket(histogram_value(i)), i);
		last = histogram_value(i);
	}
}
END_TEST

START_TEST(too_large_a_value_is_counted_and_kept_as_the_maximum)
{
	histogram_add(&h, UINT64_MAX);
	ck_assert_uint_eq(h.max, UINT64_MAX);
	ck_assert_uint_eq(histogram_count(&h), 1);
	ck_assert_uint_eq(histogram_quantile(&h, 0.99), UINT64_MAX);
}
END_TEST

START_TEST(quantiles_are_those_of_the_merged_values)
{
	for (uint64_t v = 1; v <= 500; v++)
		histogram_add(&h, v);
	for (uint64_t v = 501; v <= 1000; v++)
		histogram_add(&other, v);
	histogram_merge(&h, &other);
	ck_assert_uint_eq(histogram_count(&h), 1000);
	ck_assert_uint_eq(histogram_quantile(&h, 0.5), 500);
	ck_assert_uint_eq(histogram_quantile(&h, 0.99), 990);
	ck_assert_uint_eq(histogram_quantile(&h, 0.999), 999);
	ck_assert_uint_eq(histogram_quantile(&h, 1.0), 1000);
	ck_assert_uint_eq(h.max, 1000);
}
END_TEST

START_TEST(nothing_has_no_quantile)
{
	ck_assert_uint_eq(histogram_quantile(&h, 0.5), 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("histogram");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, a_value_comes_back_within_a_thousandth, 0, 39);
	tcase_add_test(tc, buckets_follow_each_other_without_hole_or_overlap);
	tcase_add_test(tc,
		       too_large_a_value_is_counted_and_kept_as_the_maximum);
	tcase_add_test(tc, quantiles_are_those_of_the_merged_values);
	tcase_add_test(tc, nothing_has_no_quantile);
	return check_run_case("load_histogram", tc);
}
