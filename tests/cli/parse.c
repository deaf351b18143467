/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the command line (tools/common/parse.c): a number means what
 * people expect, and other text is never taken for a number.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <tapio/common.h>

#include "tools/common/parse.h"
#include "tests/check_main.h"

struct good {
	const char *text;
	uint64_t value;
};

static const struct good durations[] = {
	{"0", 0},
	{"5", 5000000000},
	{"250ns", 250},
	{"10us", 10000},
	{"100ms", 100000000},
	{"1.5s", 1500000000},
	{"0.1s", 100000000},
	{"0.000000001", 1},
	{"2m", 120000000000},
	{"1h", 3600000000000},
	{"1d", 86400000000000},
	{"106751d", UINT64_C(106751) * 86400 * 1000000000},
};

START_TEST(a_duration_means_its_nanoseconds)
{
	int64_t ns;

	ck_assert_int_eq(tpi_parse_duration(durations[_i].text, &ns), 0);
	ck_assert_int_eq(ns, (int64_t)durations[_i].value);
}
END_TEST

START_TEST(forever_is_the_librarys_forever)
{
	int64_t ns;

	ck_assert_int_eq(tpi_parse_duration("forever", &ns), 0);
	ck_assert_int_eq(ns, TAPIO_FOREVER);
}
END_TEST

static const struct good sizes[] = {
	{"64", 64},
	{"16B", 16},
	{"4K", 4096},
	{"4KiB", 4096},
	{"1.5K", 1536},
	{"2M", 2097152},
	{"3GiB", UINT64_C(3) << 30},
	{"1T", UINT64_C(1) << 40},
	{"16777215T", UINT64_C(16777215) << 40},
};

START_TEST(a_size_counts_in_powers_of_1024)
{
	uint64_t bytes;

	ck_assert_int_eq(tpi_parse_size(sizes[_i].text, &bytes), 0);
	ck_assert_uint_eq(bytes, sizes[_i].value);
}
END_TEST

static const struct good rates[] = {
	{"500", 500},           {"10k", 10000},    {"10K", 10000},
	{"1M", 1000000},        {"2.5M", 2500000}, {"1M/s", 1000000},
	{"1.2G/s", 1200000000}, {"0", 0},
};

START_TEST(a_rate_counts_in_powers_of_1000)
{
	uint64_t rate;

	ck_assert_int_eq(tpi_parse_rate(rates[_i].text, &rate), 0);
	ck_assert_uint_eq(rate, rates[_i].value);
}
END_TEST

static const char *const wrong[] = {
	"",    "-1",  "+1",   " 1",  "1 ",  "s",   ".5",       "1.",
	"1..", "0x1", "1e3",  "1sx", "1 s", "ns5", "nan",      "/s",
	"1,5", "1.s", "1.-5", "--",  "1ss", "K",   "Kforever",
};

START_TEST(what_is_no_number_is_refused_by_every_parser)
{
	int64_t ns = 1;
	uint64_t value = 1;

	ck_assert_int_eq(tpi_parse_duration(wrong[_i], &ns), -EINVAL);
	ck_assert_int_eq(ns, 0);
	ck_assert_int_eq(tpi_parse_size(wrong[_i], &value), -EINVAL);
	ck_assert_uint_eq(value, 0);
	ck_assert_int_eq(tpi_parse_rate(wrong[_i], &value), -EINVAL);
	ck_assert_int_eq(tpi_parse_count(wrong[_i], 0, 9, &value), -EINVAL);
	ck_assert_uint_eq(value, 0);
}
END_TEST

START_TEST(what_does_not_fit_is_out_of_range_and_never_wraps)
{
	int64_t ns;
	uint64_t value;

	ck_assert_int_eq(tpi_parse_duration("106752d", &ns), -ERANGE);
	ck_assert_int_eq(tpi_parse_duration("18446744073709551616", &ns),
			 -ERANGE);
	ck_assert_int_eq(tpi_parse_duration("0.0000000000000000001", &ns),
			 -ERANGE);
	ck_assert_int_eq(tpi_parse_size("16777216T", &value), -ERANGE);
	ck_assert_int_eq(tpi_parse_rate("99999999999G", &value), -ERANGE);
}
END_TEST

START_TEST(a_count_stays_between_its_limits)
{
	uint64_t value;

	ck_assert_int_eq(tpi_parse_count("1", 1, 10, &value), 0);
	ck_assert_uint_eq(value, 1);
	ck_assert_int_eq(tpi_parse_count("10", 1, 10, &value), 0);
	ck_assert_int_eq(tpi_parse_count("0", 1, 10, &value), -ERANGE);
	ck_assert_int_eq(tpi_parse_count("11", 1, 10, &value), -ERANGE);
	ck_assert_int_eq(tpi_parse_count("2k", 1, 2000, &value), 0);
	ck_assert_uint_eq(value, 2000);
}
END_TEST

/* A property: whatever whole number of whatever unit, it reads back. */
START_TEST(whole_numbers_of_each_unit_read_back)
{
	static const struct good units[] = {
		{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};
	unsigned int seed = 1;

	for (int i = 0; i < 20000; i++) {
		uint64_t n = (uint64_t)rand_r(&seed) % 1000000000;
		const struct good *unit = &units[i % 4];
		char text[64];
		int64_t ns;

		snprintf(text, sizeof(text), "%" PRIu64 "%s", n, unit->text);
		ck_assert_int_eq(tpi_parse_duration(text, &ns), 0);
		ck_assert_int_eq(ns, (int64_t)(n * unit->value));
	}
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
	TCase *tc = tcase_create("parse");

	tcase_add_loop_test(tc, a_duration_means_its_nanoseconds, 0,
			    COUNT(durations));
	tcase_add_test(tc, forever_is_the_librarys_forever);
	tcase_add_loop_test(tc, a_size_counts_in_powers_of_1024, 0,
			    COUNT(sizes));
	tcase_add_loop_test(tc, a_rate_counts_in_powers_of_1000, 0,
			    COUNT(rates));
	tcase_add_loop_test(tc, what_is_no_number_is_refused_by_every_parser, 0,
			    COUNT(wrong));
	tcase_add_test(tc, what_does_not_fit_is_out_of_range_and_never_wraps);
	tcase_add_test(tc, a_count_stays_between_its_limits);
	tcase_add_test(tc, whole_numbers_of_each_unit_read_back);

	return check_run_case("parse", tc);
}
