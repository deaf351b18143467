/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring: chunks, that are put by one swap, in one thread. Where this process may
 * not use the logs, the same is checked of values that are put one by one.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include <tapio/ring.h>

#include "lib/kit/ring.h"
#include "tests/check_main.h"
#include "tests/unit/ring_rig.h"

static void get_is(struct tapio_ring *ring, uint64_t value)
{
	uint64_t got = ~value;

	ck_assert_int_eq(tapio_ring_try_get(ring, &got), 0);
	ck_assert_uint_eq(got, value);
}

static void empty(struct tapio_ring *ring)
{
	uint64_t got = 1;

	ck_assert_int_eq(tapio_ring_try_get(ring, &got), -EAGAIN);
	ck_assert_uint_eq(got, 0);
}

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Every call comes back, whatever is there, and none reaches outside. */
/* Whether this process puts chunks into this ring. */
static bool has_logs(const struct tapio_ring *ring)
{
	return ring->cpus != 0;
}

START_TEST(a_chunk_is_got_in_parts_and_makes_room_for_each)
{
	struct tapio_ring *ring = new_ring(64);
	uint64_t values[64], i;

	for (i = 0; i < 64; i++)
		values[i] = i;
	ck_assert_int_eq(tapio_ring_put_batch(ring, values, 64, 0), 64);
	if (has_logs(ring))
		ck_assert_uint_eq(ring->cells[0].high,
				  tpi_ring_turn_of(0, TPI_RING_CHUNK));
	for (i = 0; i < 200; i++) {
		ck_assert_int_eq(tapio_ring_try_put(ring, 1), -EAGAIN);
		ck_assert_uint_eq(tapio_ring_size(ring), 64);
		get_is(ring, i);
		ck_assert_uint_eq(tapio_ring_size(ring), 63);
		ck_assert_int_eq(tapio_ring_try_put(ring, i + 64), 0);
	}
	ck_assert_int_eq(tapio_ring_get_batch(ring, values, 64, 0), 64);
	for (i = 0; i < 64; i++)
		ck_assert_uint_eq(values[i], i + 200);
	empty(ring);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(a_full_log_sends_values_one_by_one)
{
	struct tapio_ring *ring = new_ring(64);
	uint64_t values[80], i;

	for (i = 0; i < 80; i++)
		values[i] = i;
	/* A mark says that what lies there has not been got. */
	if (has_logs(ring))
		for (i = 0; i < ring->log_count; i++)
			*tpi_ring_marks(tpi_ring_log(ring, (uint32_t)i)) = 1000;
	ck_assert_int_eq(tapio_ring_put_batch(ring, values, 32, 0), 32);
	ck_assert_uint_eq(ring->cells[0].high, tpi_ring_turn_full(0));
	for (i = 0; i < 32; i++)
		get_is(ring, i);
	empty(ring);
	tapio_ring_close(ring);
}
END_TEST

/* A ref that leads out of its log, or names a log that there is not. */
START_TEST(a_chunk_that_lies_is_not_followed)
{
	static const uint64_t lies[] = {
		tpi_ring_ref(0, 65, 0, 0), tpi_ring_ref(0, 0, 0, 0),
		tpi_ring_ref(0xffff, 8, 0, 0), tpi_ring_ref(0, 8, 0, 60),
		tpi_ring_ref(0, 8, 0, UINT32_MAX)};
	uint64_t values[64] = {0};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct tapio_ring *ring = new_ring(64);

		ring->cells[0].high = tpi_ring_turn_of(0, TPI_RING_CHUNK);
		ring->cells[0].low = lies[i];
		ck_assert_int_eq(tapio_ring_try_get(ring, values), -EBADMSG);
		ck_assert_int_eq(tapio_ring_get_batch(ring, values, 64, 0),
				 -EBADMSG);
		ring->cells[0].high = tpi_ring_turn_of(0, TPI_RING_PARTED);
		ck_assert_int_eq(tapio_ring_try_get(ring, values), -EBADMSG);
		/* Not read, and a lap old: no head is here. */
		ring->cells[0].high = tpi_ring_turn_full(0);
		ring->shm->head.position = 64;
		ck_assert_int_eq(tapio_ring_try_get(ring, values), -EBADMSG);
		/* Not read, and two laps old: that is not full. */
		ring->shm->tail.position = 128;
		ck_assert_int_eq(tapio_ring_try_put(ring, 1), -EBADMSG);
		ring->shm->head.parted.low = lies[i];
		ring->shm->head.parted.high = 3;
		ck_assert_int_eq(tapio_ring_get_batch(ring, values, 64, 0),
				 -EBADMSG);
		tapio_ring_close(ring);
	}
}
END_TEST

#define HINTS 512 /* that were once stored */

static struct {
	uint64_t tail[HINTS], head[HINTS];
	uint32_t count;
} hints;

/* The ends get hints that are true, and old. */
static void age_hints(struct tapio_ring *ring)
{
	uint32_t i = hints.count++ % HINTS;
	uint32_t n = hints.count < HINTS ? hints.count : HINTS;

	hints.tail[i] = ring->shm->tail.position;
	hints.head[i] = ring->shm->head.position;
	ring->shm->tail.position = hints.tail[next_random() % n];
	ring->shm->head.position = hints.head[next_random() % n];
}

START_TEST(old_hints_find_their_way_among_chunks)
{
	uint32_t n = 64u << _i;
	struct tapio_ring *ring = new_ring(n);
	uint64_t values[80], in = 0, out = 0;
	int round, got, i, many;

	hints.count = 0;
	for (round = 0; round < 20000; round++) {
		/* Nearly full for a while, then nearly empty. */
		many = 1 + (int)(next_random() % (round / 512 % 2 ? 80 : 7));
		for (i = 0; i < many; i++)
			values[i] = in + (uint64_t)i;
		got = tapio_ring_put_batch(ring, values, (size_t)many, 0);
		ck_assert(got > 0 || (got == -EAGAIN && in - out == n));
		in += got > 0 ? (uint64_t)got : 0;
		ck_assert(got == many || in - out == n);
		age_hints(ring);
		if (tapio_ring_size(ring) != in - out)
			ck_assert_uint_eq(tapio_ring_size(ring), in - out);
		many = 1 + (int)(next_random() % (round / 512 % 2 ? 7 : 80));
		got = tapio_ring_get_batch(ring, values, (size_t)many, 0);
		ck_assert(got == many ||
			  in - out == (uint64_t)(got > 0 ? got : 0));
		for (i = 0; i < got; i++)
			if (values[i] != out++)
				ck_abort_msg("value %d of round %d", i, round);
		age_hints(ring);
	}
	ck_assert_uint_eq(stats_of(ring).puts, in);
	ck_assert_uint_eq(stats_of(ring).gets, out);
	tapio_ring_close(ring);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("chunks");

	tcase_add_test(tcase, a_chunk_is_got_in_parts_and_makes_room_for_each);
	tcase_add_test(tcase, a_full_log_sends_values_one_by_one);
	tcase_add_test(tcase, a_chunk_that_lies_is_not_followed);
	tcase_add_loop_test(tcase, old_hints_find_their_way_among_chunks, 0, 3);
	return check_run_case("ring_chunk", tcase);
}
