/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sketches of tapio-analyze against exact counts, and against the bounds that their
 * headers promise. Merges of parts equal one sketch of all.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/lane/histogram.h"
#include "tests/check_main.h"
#include "tools/analyze/distinct.h"
#include "tools/analyze/heavy.h"
#include "tools/analyze/spec.h"
#include "tools/analyze/spread.h"

#define PARTS 4u

static struct an_budget budget;

static void set_up(void)
{
	budget = (struct an_budget){.max_bytes = UINT64_C(1) << 30};
}

/* All that was taken was given back. */
static void tear_down(void)
{
	ck_assert_uint_eq(budget.used_bytes, 0);
}

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t hash_of(uint64_t number)
{
	return an_hash(&number, sizeof(number), 0);
}

/* ---- memory ---------------------------------------------------------------- */

START_TEST(a_budget_gives_no_more_than_it_has)
{
	char *memory;

	budget.max_bytes = 100;
	memory = an_grow(&budget, NULL, 0, 60);
	ck_assert_ptr_nonnull(memory);
	memory[59] = 1;
	ck_assert_ptr_null(an_grow(&budget, NULL, 0, 41));
	ck_assert_ptr_null(an_grow(&budget, memory, 60, 101));
	ck_assert_uint_eq(budget.used_bytes, 60);
	memory = an_grow(&budget, memory, 60, 100);
	ck_assert_ptr_nonnull(memory);
	ck_assert_int_eq(memory[59], 1);
	ck_assert_int_eq(memory[60], 0);
	ck_assert_int_eq(memory[99], 0);
	an_give(&budget, memory, 100);
}
END_TEST

/* ---- distinct -------------------------------------------------------------- */

static void add_distinct(struct an_distinct *d, uint8_t precision,
			 uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++)
		ck_assert(an_distinct_add(d, &budget, precision, hash_of(i)));
}

/*
 * The relative error of many independent sketches has mean 0 and the standard deviation that
 * the header names. Each is within 5 of these: by chance, one of 1.7 million is not.
 */
START_TEST(distinct_counts_are_within_the_promised_error)
{
	static const uint64_t sizes[] = {1, 10, 100, 130, 1000, 10000, 100000};
	const uint32_t sketches = CHECK_SANITIZED ? 4 : 12;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		const double sigma = 1.04 / sqrt(4096);
		double squares = 0;

		for (uint32_t i = 0; i < sketches; i++) {
			struct an_distinct d = {0};
			double error;

			add_distinct(&d, 12, (uint64_t)i << 32, sizes[s]);
			error = an_distinct_estimate(&d) / (double)sizes[s] - 1;
			ck_assert_double_le(fabs(error), 5 * sigma);
			squares += error * error;
			an_distinct_free(&d, &budget);
		}
		ck_assert_double_le(sqrt(squares / sketches), 2 * sigma);
	}
}
END_TEST

START_TEST(nothing_is_counted_as_nothing)
{
	struct an_distinct d = {0};

	ck_assert_double_eq(an_distinct_estimate(&d), 0);
	add_distinct(&d, 12, 0, 1);
	ck_assert_double_eq_tol(an_distinct_estimate(&d), 1, 0.001);
	/* The same again is no other. */
	add_distinct(&d, 12, 0, 1);
	ck_assert_double_eq_tol(an_distinct_estimate(&d), 1, 0.001);
	an_distinct_free(&d, &budget);
}
END_TEST

/* From a list to registers, each rank stays. */
START_TEST(a_list_that_becomes_registers_keeps_each_rank)
{
	for (uint8_t precision = AN_PRECISION_MIN;
	     precision <= AN_PRECISION_MAX; precision++) {
		struct an_distinct d = {0};
		static uint8_t expected[1 << AN_PRECISION_MAX];
		const uint32_t count = UINT32_C(1) << precision;

		memset(expected, 0, sizeof(expected));
		for (uint64_t i = 0; i < 500; i++) {
			const uint64_t hash = hash_of(i);
			const uint32_t index =
				(uint32_t)(hash >> (64 - precision));
			uint8_t rank = 1;

			while (rank < 65 - precision &&
			       !(hash << precision >> (64 - rank) & 1))
				rank++;
			if (expected[index] < rank)
				expected[index] = rank;
			ck_assert(
				an_distinct_add(&d, &budget, precision, hash));
			if (i != 50 && i != 499)
				continue;
			for (uint32_t r = 0; r < count; r++)
				ck_assert_uint_eq(an_distinct_rank(&d, r),
						  expected[r]);
		}
		if (precision > 9)
			ck_assert_ptr_nonnull(d.registers);
		an_distinct_free(&d, &budget);
	}
}
END_TEST

START_TEST(merged_distinct_counts_equal_one_of_all_bit_by_bit)
{
	static const uint64_t sizes[] = {3, 60, 400, 20000};

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct an_distinct all = {0}, parts[PARTS] = {{0}}, sum = {0};

		/* Each part has half of the values, and shares most of them. */
		for (uint64_t i = 0; i < sizes[s]; i++) {
			add_distinct(&all, 12, i, 1);
			for (uint32_t p = 0; p < PARTS; p++)
				if (i % PARTS == p || (i + 1) % PARTS == p)
					add_distinct(&parts[p], 12, i, 1);
		}
		for (uint32_t p = PARTS; p > 0; p--)
			ck_assert(an_distinct_merge(&sum, &budget,
						    &parts[p - 1]));
		for (uint32_t r = 0; r < 4096; r++)
			ck_assert_uint_eq(an_distinct_rank(&sum, r),
					  an_distinct_rank(&all, r));
		ck_assert(an_distinct_estimate(&sum) ==
			  an_distinct_estimate(&all));
		for (uint32_t p = 0; p < PARTS; p++)
			an_distinct_free(&parts[p], &budget);
		an_distinct_free(&all, &budget);
		an_distinct_free(&sum, &budget);
	}
}
END_TEST

START_TEST(a_sketch_without_memory_says_so_and_stays_whole)
{
	struct an_distinct d = {0};
	uint64_t added = 0;

	budget.max_bytes = 600;
	while (added < 100000 &&
	       an_distinct_add(&d, &budget, 12, hash_of(added)))
		added++;
	ck_assert_uint_gt(added, 50);
	ck_assert_uint_lt(added, 200);
	ck_assert_double_eq_tol(an_distinct_estimate(&d), (double)added,
				0.1 * (double)added);
	an_distinct_free(&d, &budget);
}
END_TEST

/* ---- the most frequent ------------------------------------------------------ */

#define VALUES   3000u
#define COUNTERS 128u

/* Zipf-like: value v comes about once in v. */
static uint32_t next_value(void)
{
	const double u = (double)(next_random() >> 11) / 9007199254740992.0;

	return (uint32_t)(exp(u * log(VALUES)) - 1);
}

static uint32_t encode(char *bytes, uint32_t value)
{
	bytes[0] = 'x';
	bytes[1] = (char)snprintf(bytes + 2, 20, "value %u", value);
	return 2u + (uint32_t)bytes[1];
}

static void add_heavy(struct an_heavy *h, uint32_t max, uint32_t value)
{
	char bytes[AN_VALUE_BYTES];
	const uint32_t length = encode(bytes, value);

	ck_assert(an_heavy_add(h, &budget, max, an_hash(bytes, length, 7),
			       bytes, length, 1, 0));
}

/* The promises of the header, for each value. */
static void check_heavy(const struct an_heavy *h, const uint64_t *exact,
			uint64_t total)
{
	const uint64_t bound = total / COUNTERS;
	uint64_t sum = 0;

	ck_assert_uint_le(h->used, COUNTERS);
	ck_assert_uint_le(an_heavy_floor(h, COUNTERS), bound);
	for (uint32_t v = 0; v < VALUES; v++) {
		char bytes[AN_VALUE_BYTES];
		const uint32_t length = encode(bytes, v);
		const struct an_counter *c = an_heavy_find(
			h, an_hash(bytes, length, 7), bytes, length);

		if (!c) {
			ck_assert_uint_le(exact[v],
					  an_heavy_floor(h, COUNTERS));
			continue;
		}
		ck_assert_uint_le(c->error, bound);
		ck_assert_uint_le(exact[v], c->count);
		ck_assert_uint_ge(exact[v], c->count - c->error);
		sum += c->count;
	}
	ck_assert_uint_le(sum, 2 * total);
}

START_TEST(frequent_values_are_within_the_promised_bounds)
{
	static uint64_t exact[VALUES];
	const uint64_t total = CHECK_SANITIZED ? 20000 : 200000;
	struct an_heavy h = {0};

	for (uint64_t i = 0; i < total; i++) {
		const uint32_t value = next_value();

		exact[value]++;
		add_heavy(&h, COUNTERS, value);
	}
	check_heavy(&h, exact, total);
	an_heavy_free(&h, &budget);
}
END_TEST

START_TEST(merged_frequent_values_are_within_the_same_bounds)
{
	static uint64_t exact[VALUES];
	const uint64_t total = CHECK_SANITIZED ? 20000 : 200000;
	struct an_heavy parts[PARTS] = {{0}}, sum = {0};

	for (uint64_t i = 0; i < total; i++) {
		const uint32_t value = next_value();

		exact[value]++;
		/* Parts see other values, as lanes do. */
		add_heavy(&parts[(value + i % 3) % PARTS], COUNTERS, value);
	}
	for (uint32_t p = 0; p < PARTS; p++) {
		ck_assert(an_heavy_merge(&sum, &budget, COUNTERS, &parts[p]));
		an_heavy_free(&parts[p], &budget);
	}
	check_heavy(&sum, exact, total);
	an_heavy_free(&sum, &budget);
}
END_TEST

/* One part has forgotten a value that the other one knows. Its count must allow for that. */
START_TEST(what_one_part_has_forgotten_is_allowed_for)
{
	for (int reverse = 0; reverse < 2; reverse++) {
		struct an_heavy knows = {0}, forgot = {0}, sum = {0};
		const struct an_counter *c;
		char bytes[AN_VALUE_BYTES];
		uint32_t length;

		for (uint32_t i = 0; i < 10; i++)
			add_heavy(&knows, 8, 0);
		add_heavy(&forgot, 8, 0);
		for (uint32_t i = 0; i < 64; i++)
			add_heavy(&forgot, 8, 1 + i % 16);
		length = encode(bytes, 0);
		ck_assert_ptr_null(an_heavy_find(
			&forgot, an_hash(bytes, length, 7), bytes, length));
		ck_assert(an_heavy_merge(&sum, &budget, 8,
					 reverse ? &forgot : &knows));
		ck_assert(an_heavy_merge(&sum, &budget, 8,
					 reverse ? &knows : &forgot));
		c = an_heavy_find(&sum, an_hash(bytes, length, 7), bytes,
				  length);
		ck_assert_ptr_nonnull(c);
		ck_assert_uint_ge(c->count, 11);
		ck_assert_uint_le(c->count - c->error, 11);
		an_heavy_free(&knows, &budget);
		an_heavy_free(&forgot, &budget);
		an_heavy_free(&sum, &budget);
	}
}
END_TEST

START_TEST(few_values_are_counted_exactly_also_when_merged)
{
	uint64_t exact[100] = {0};
	struct an_heavy parts[PARTS] = {{0}}, sum = {0};
	const struct an_counter *top[100];

	for (uint32_t i = 0; i < 20000; i++) {
		const uint32_t value = next_value() % 100;

		exact[value]++;
		add_heavy(&parts[i % PARTS], COUNTERS, value);
	}
	for (uint32_t p = 0; p < PARTS; p++) {
		ck_assert(an_heavy_merge(&sum, &budget, COUNTERS, &parts[p]));
		an_heavy_free(&parts[p], &budget);
	}
	ck_assert_uint_eq(an_heavy_top(&sum, top, 100), 100);
	for (uint32_t v = 0; v < 100; v++) {
		char bytes[AN_VALUE_BYTES];
		const uint32_t length = encode(bytes, v);
		const struct an_counter *c = an_heavy_find(
			&sum, an_hash(bytes, length, 7), bytes, length);

		ck_assert_ptr_nonnull(c);
		ck_assert_uint_eq(c->count, exact[v]);
		ck_assert_uint_eq(c->error, 0);
	}
	for (uint32_t i = 1; i < 100; i++)
		ck_assert_uint_ge(top[i - 1]->count, top[i]->count);
	an_heavy_free(&sum, &budget);
}
END_TEST

START_TEST(without_memory_a_top_counts_what_it_has)
{
	struct an_heavy h = {0};
	uint32_t added = 0;
	char bytes[AN_VALUE_BYTES];

	budget.max_bytes = 4000;
	for (uint32_t v = 0; v < 1000; v++) {
		const uint32_t length = encode(bytes, v);

		added += an_heavy_add(&h, &budget, COUNTERS,
				      an_hash(bytes, length, 7), bytes, length,
				      1, 0);
	}
	ck_assert_uint_eq(added, h.used);
	ck_assert_uint_lt(added, COUNTERS);
	ck_assert_uint_eq(h.total, added);
	an_heavy_free(&h, &budget);
}
END_TEST

/* ---- spread ---------------------------------------------------------------- */

START_TEST(quantiles_equal_those_of_the_library)
{
	static struct tpi_histogram whole;
	struct an_spread parts[PARTS] = {{0}}, sum = {0};

	memset(&whole, 0, sizeof(whole));
	for (uint32_t i = 0; i < 20000; i++) {
		const uint64_t value = next_random() >> (next_random() % 60);
		const uint32_t bucket = tpi_histogram_bucket(value);

		whole.bucket[bucket]++;
		whole.total++;
		whole.max_ns = value > whole.max_ns ? value : whole.max_ns;
		ck_assert(an_spread_add(&parts[i % PARTS], &budget, bucket, 1));
	}
	for (uint32_t p = 0; p < PARTS; p++) {
		ck_assert(an_spread_merge(&sum, &budget, &parts[p]));
		an_spread_free(&parts[p], &budget);
	}
	ck_assert_uint_eq(sum.total, whole.total);
	for (uint32_t i = 0; i < TAPIO_HISTOGRAM_BUCKETS; i++)
		ck_assert_uint_eq(an_spread_bucket(&sum, i), whole.bucket[i]);
	for (uint32_t i = 1; i <= 1000; i++)
		ck_assert_uint_eq(
			an_spread_quantile(&sum, i / 1000.0, 0, whole.max_ns),
			tpi_histogram_quantile(&whole, i / 1000.0));
	an_spread_free(&sum, &budget);
}
END_TEST

START_TEST(values_below_move_the_quantiles_up)
{
	struct an_spread s = {0};

	for (uint32_t v = 1; v <= 50; v++)
		ck_assert(
			an_spread_add(&s, &budget, tpi_histogram_bucket(v), 1));
	ck_assert_uint_eq(an_spread_quantile(&s, 0.5, 0, 50), 25);
	ck_assert_uint_eq(an_spread_quantile(&s, 0.75, 50, 50), 25);
	ck_assert_uint_eq(an_spread_quantile(&s, 1, 50, 50), 50);
	an_spread_free(&s, &budget);
}
END_TEST

int main(void)
{
	TCase *tests = tcase_create("sketches");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_budget_gives_no_more_than_it_has);
	tcase_add_test(tests, nothing_is_counted_as_nothing);
	tcase_add_test(tests, distinct_counts_are_within_the_promised_error);
	tcase_add_test(tests, a_list_that_becomes_registers_keeps_each_rank);
	tcase_add_test(tests,
		       merged_distinct_counts_equal_one_of_all_bit_by_bit);
	tcase_add_test(tests, a_sketch_without_memory_says_so_and_stays_whole);
	tcase_add_test(tests, frequent_values_are_within_the_promised_bounds);
	tcase_add_test(tests,
		       merged_frequent_values_are_within_the_same_bounds);
	tcase_add_test(tests, what_one_part_has_forgotten_is_allowed_for);
	tcase_add_test(tests, few_values_are_counted_exactly_also_when_merged);
	tcase_add_test(tests, without_memory_a_top_counts_what_it_has);
	tcase_add_test(tests, quantiles_equal_those_of_the_library);
	tcase_add_test(tests, values_below_move_the_quantiles_up);
	return check_run_case("analyze_sketch", tests);
}
