/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a wait spins before it sleeps (client/consumer/spin.h), for given patterns of
 * arrival. How a consumer uses it is in tests/fault/client_idle.c. Nothing is timed.
 */
#include <check.h>
#include <limits.h>

#include "client/consumer/spin.h"
#include "tests/check_main.h"

#define US INT64_C(1000)

static struct tpi_spin spin;

static void set_up(void)
{
	spin = (struct tpi_spin){0};
	tpi_spin_open(&spin, 0);
}

/* How many of `count` waits spin, if an event comes so long after each begins. */
static unsigned int spins(unsigned int count, int64_t after_ns)
{
	unsigned int sum = 0;

	while (count--) {
		sum += tpi_spin_for(&spin) != 0;
		tpi_spin_note(&spin, after_ns);
	}
	return sum;
}

START_TEST(a_spin_is_as_long_as_a_sleep_costs)
{
	ck_assert_int_eq(tpi_spin_for(&spin), SPIN_NS);
}
END_TEST

/* Ten thousand events a second. */
START_TEST(waits_that_are_long_do_not_spin)
{
	ck_assert_uint_le(spins(1000, 100 * US), 6);
	ck_assert_uint_eq(spins(1000, 100 * US), 0);
}
END_TEST

START_TEST(waits_that_are_short_spin)
{
	ck_assert_uint_eq(spins(1000, 10 * US), 1000);
	ck_assert_uint_eq(spins(1000, 0), 1000);
	ck_assert_uint_eq(spins(1000, 19 * US), 1000);
}
END_TEST

/* One pause, however long, counts no more than another. */
START_TEST(a_pause_does_not_end_the_spins_of_a_burst)
{
	static const int64_t pauses[] = {21 * US, 1000 * US, INT64_MAX};

	spins(100, US);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(spins(1, pauses[i]), 1);
		ck_assert_uint_eq(spins(20, US), 20);
	}
}
END_TEST

/* Two events, a microsecond apart, each 100 us: the second one is not waited for. */
START_TEST(events_side_by_side_do_not_make_a_reader_spin)
{
	unsigned int sum = 0;

	for (int i = 0; i < 20; i++)
		spins(2, i % 2 ? 100 * US : US);
	for (int i = 0; i < 1000; i++)
		sum += spins(1, i % 2 ? 100 * US : 15 * US);
	ck_assert_uint_eq(sum, 0);
}
END_TEST

/* The rate changes: what is saved by the new one is not lost for long. */
START_TEST(a_reader_learns_within_eight_waits)
{
	for (int i = 0; i < 3; i++) {
		spins(1000, 1000 * US);
		spins(8, US);
		ck_assert_uint_eq(spins(1000, US), 1000);
		spins(8, 1000 * US);
		ck_assert_uint_eq(spins(1000, 1000 * US), 0);
	}
}
END_TEST

/* A clock that went back is no more than an event at once. */
START_TEST(times_that_cannot_be_do_no_harm)
{
	spins(1000, INT64_MAX);
	ck_assert_int_ge(spin.gain, -SPIN_NS);
	spins(1000, INT64_C(-1000000000000));
	ck_assert_int_le(spin.gain, SPIN_NS);
	ck_assert_uint_le(spins(8, 1000 * US), 6);
}
END_TEST

START_TEST(a_program_that_asks_for_a_time_gets_it_each_time)
{
	tpi_spin_open(&spin, 5000);
	ck_assert_uint_eq(spins(1000, 1000 * US), 1000);
	ck_assert_int_eq(tpi_spin_for(&spin), 5000);
	/* All that the option can hold. */
	tpi_spin_open(&spin, UINT32_MAX);
	ck_assert_uint_eq(spins(1000, INT64_MAX), 1000);
	ck_assert_int_eq(tpi_spin_for(&spin), UINT32_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("spin");
	TCase *tc = tcase_create("spin");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, a_spin_is_as_long_as_a_sleep_costs);
	tcase_add_test(tc, waits_that_are_long_do_not_spin);
	tcase_add_test(tc, waits_that_are_short_spin);
	tcase_add_test(tc, a_pause_does_not_end_the_spins_of_a_burst);
	tcase_add_test(tc, events_side_by_side_do_not_make_a_reader_spin);
	tcase_add_test(tc, a_reader_learns_within_eight_waits);
	tcase_add_test(tc, times_that_cannot_be_do_no_harm);
	tcase_add_test(tc, a_program_that_asks_for_a_time_gets_it_each_time);
	suite_add_tcase(s, tc);
	return check_run(s);
}
