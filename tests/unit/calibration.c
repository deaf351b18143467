/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of calibrations: each stamp finds the piece that covers it, as long
 * as the ring has it, and a reader beside a broker gets whole
 * pieces.
 */
#include <check.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/memory/calibration.h"
#include "tests/check_main.h"

#define SIZE 13u /* any */
#define KEPT (SIZE - TPI_CALIBRATION_PIECES)

static struct tapio_shm_broker broker;
static struct tapio_shm_calibration ring[SIZE];
static const struct tpi_catalog catalog = {
	.broker = &broker, .calibrations = ring, .calibration_count = SIZE};

/* Piece `number` begins at tick 1000 * number, and its time says which it is. */
static struct tapio_shm_calibration piece_of(uint64_t number)
{
	return (struct tapio_shm_calibration){
		.base_tsc = 1000 * number,
		.base_ns = 1000000 * number,
		.mult = UINT64_C(1) << 32,
		.shift = 32,
		.error_ns = (uint32_t)number,
	};
}

static void publish(uint64_t from, uint32_t count)
{
	struct tapio_shm_calibration pieces[TPI_CALIBRATION_PIECES];

	for (uint32_t i = 0; i < count; i++)
		pieces[i] = piece_of(from + i);
	tpi_calibration_publish(&catalog, pieces, count);
}

static void empty(void)
{
	memset(ring, 0, sizeof(ring));
	memset(&broker, 0, sizeof(broker));
}

static uint64_t found(uint64_t ticks)
{
	struct tapio_shm_calibration piece;

	ck_assert(tpi_calibration_find(&catalog, ticks, &piece));
	return piece.error_ns;
}

START_TEST(without_a_piece_there_is_no_time)
{
	struct tapio_shm_calibration piece;

	empty();
	ck_assert(!tpi_calibration_find(&catalog, 1, &piece));
	ck_assert(!tpi_calibration_newest(&catalog, &piece));
	memset(&piece, 0, sizeof(piece));
	ck_assert_uint_eq(tpi_calibration_ns(&piece, 1), 0);
}
END_TEST

START_TEST(a_piece_converts_both_ways_from_its_base)
{
	struct tapio_shm_calibration piece = piece_of(7);

	piece.mult = UINT64_C(3) << 31; /* 1.5 */
	ck_assert_uint_eq(tpi_calibration_ns(&piece, 7000), 7000000);
	ck_assert_uint_eq(tpi_calibration_ns(&piece, 7002), 7000003);
	ck_assert_uint_eq(tpi_calibration_ns(&piece, 6998), 6999997);
	/* A machine that has been up for a century. */
	ck_assert_uint_eq(
		tpi_calibration_ns(&piece, 7000 + (UINT64_C(1) << 62)),
		7000000 + (UINT64_C(3) << 61));
	piece.shift = 64;
	ck_assert_uint_eq(tpi_calibration_ns(&piece, 7000), 0);
}
END_TEST

/* With one, two, .. many in the ring, published by one and by two. */
START_TEST(every_stamp_finds_the_piece_that_covers_it)
{
	uint64_t count = 0, oldest, number;
	uint32_t n;

	empty();
	while (count < 5 * SIZE) {
		n = 1 + count % 3 % 2;
		publish(count, n);
		count += n;
		oldest = count > KEPT ? count - KEPT : 0;
		for (number = oldest; number < count; number++) {
			ck_assert_uint_eq(found(1000 * number), number);
			ck_assert_uint_eq(found(1000 * number + 999), number);
		}
		/* What is older than all that are kept, and far in the future. */
		ck_assert_uint_eq(found(0), oldest);
		ck_assert_uint_eq(found(1000 * count + 100000), count - 1);
	}
}
END_TEST

/* Whatever was there before, and however small the new counter is. */
START_TEST(a_counter_that_begins_anew_has_one_piece)
{
	struct tapio_shm_calibration piece = piece_of(3);

	empty();
	for (uint64_t number = 0; number < 2 * SIZE; number++)
		publish(1000000 + number, 1);
	tpi_calibration_restart(&catalog, &piece);
	ck_assert_uint_eq(found(0), 3);
	ck_assert_uint_eq(found(3000), 3);
	ck_assert_uint_eq(found(1000000 * UINT64_C(1000)), 3);
	publish(4, 2);
	ck_assert_uint_eq(found(2999), 3);
	ck_assert_uint_eq(found(3999), 3);
	ck_assert_uint_eq(found(4000), 4);
	ck_assert_uint_eq(found(5000), 5);
}
END_TEST

/* One stamp, looked at after each publication, has one piece while it is kept. */
START_TEST(a_stamp_keeps_its_piece)
{
	empty();
	publish(0, 1);
	for (uint64_t number = 1; number < KEPT; number++) {
		ck_assert_uint_eq(found(700), 0);
		publish(number, 1);
	}
	ck_assert_uint_eq(found(700), 0);
}
END_TEST

static bool stop;
static uint64_t published;

static void *publish_all(void *arg)
{
	(void)arg;
	while (!tpi_load_relaxed(&stop)) {
		publish(published, 2);
		tpi_store_relaxed(&published, published + 2);
	}
	return NULL;
}

/* It may have to look again and again, but what it gets is one whole piece. */
START_TEST(a_reader_beside_the_broker_gets_whole_pieces)
{
	struct tapio_shm_calibration piece, expected;
	pthread_t thread;
	uint64_t got = 0;

	empty();
	stop = false;
	published = 0;
	publish(0, 2);
	published = 2;
	ck_assert_int_eq(pthread_create(&thread, NULL, publish_all, NULL), 0);
	for (int i = 0; i < 200000; i++) {
		uint64_t ticks = 1000 * tpi_load_relaxed(&published);

		if (!tpi_calibration_find(&catalog, ticks, &piece))
			continue;
		got++;
		expected = piece_of(piece.base_tsc / 1000);
		ck_assert_int_eq(memcmp(&piece, &expected, sizeof(piece)), 0);
	}
	tpi_store_relaxed(&stop, true);
	pthread_join(thread, NULL);
	ck_assert_uint_gt(got, 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ring");

	tcase_add_test(t, without_a_piece_there_is_no_time);
	tcase_add_test(t, a_piece_converts_both_ways_from_its_base);
	tcase_add_test(t, every_stamp_finds_the_piece_that_covers_it);
	tcase_add_test(t, a_counter_that_begins_anew_has_one_piece);
	tcase_add_test(t, a_stamp_keeps_its_piece);
	tcase_add_test(t, a_reader_beside_the_broker_gets_whole_pieces);
	return check_run_case("calibration", t);
}
