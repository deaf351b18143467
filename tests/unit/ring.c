/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring, one step at a time: order, edges, hints that are out of date,
 * memory that lies, waiting.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/kit/ring.h"
#include "tests/check_main.h"
#include "tests/unit/ring_rig.h"

#define MS INT64_C(1000000)

static const uint32_t capacities[] = {1, 2, 4, 8, 64, 1024, 65536};
#define CAPACITIES ((int)(sizeof(capacities) / sizeof(capacities[0])))

/* Check writes to a file for every assertion: not for each of a million. */
static void put_ok(struct tapio_ring *ring, uint64_t value)
{
	int err = tapio_ring_try_put(ring, value);

	if (err)
		ck_assert_int_eq(err, 0);
}

static void get_is(struct tapio_ring *ring, uint64_t value)
{
	uint64_t got = ~value;
	int err = tapio_ring_try_get(ring, &got);

	if (err || got != value) {
		ck_assert_int_eq(err, 0);
		ck_assert_uint_eq(got, value);
	}
}

static void empty(struct tapio_ring *ring)
{
	uint64_t got = 1;

	ck_assert_int_eq(tapio_ring_try_get(ring, &got), -EAGAIN);
	ck_assert_uint_eq(got, 0);
}

/* Puts the empty ring at any position, as if that many had gone through. */
static void move_to(struct tapio_ring *ring, uint64_t position)
{
	uint64_t p;

	for (p = position; p < position + ring->mask + 1; p++)
		tpi_ring_cell(ring, p)->high = tpi_ring_turn_empty(p);
	ring->shm->tail.position = position;
	ring->shm->head.position = position;
	ring->shm->tail.other_seen = position;
}

START_TEST(only_powers_of_two_are_capacities)
{
	static const uint32_t bad[] = {
		0, 3, 6, 65535, (1u << 30) + 1, 1u << 31, UINT32_MAX};
	struct tapio_ring *ring = (void *)1;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_uint_eq(tapio_ring_bytes(bad[i]), 0);
		ck_assert_int_eq(tapio_ring_create(&ring, bad[i]), -EINVAL);
		ck_assert_ptr_null(ring);
	}
	ck_assert_uint_ge(tapio_ring_bytes(TAPIO_RING_CAPACITY_MAX),
			  UINT64_C(16) << 30);
	tapio_ring_close(NULL);
}
END_TEST

START_TEST(values_come_out_in_order_and_full_and_empty_are_exact)
{
	uint32_t n = capacities[_i];
	struct tapio_ring *ring = new_ring(n);
	uint64_t in = 0, out = 0;
	uint32_t lap, fill, i;

	for (lap = 0; lap < 9; lap++) {
		/* Other fill levels each lap, the whole ring among them. */
		fill = lap % 3 == 0 ? n : (lap * 7919) % n;
		for (i = 0; i < fill; i++)
			put_ok(ring, in++ * UINT64_C(0x9e3779b97f4a7c15));
		ck_assert_uint_eq(tapio_ring_size(ring), fill);
		if (fill == n)
			ck_assert_int_eq(tapio_ring_try_put(ring, 1), -EAGAIN);
		for (i = 0; i < fill; i++)
			get_is(ring, out++ * UINT64_C(0x9e3779b97f4a7c15));
		empty(ring);
		ck_assert_uint_eq(tapio_ring_size(ring), 0);
	}
	ck_assert_uint_eq(stats_of(ring).puts, in);
	ck_assert_uint_eq(stats_of(ring).gets, out);
	ck_assert_uint_eq(stats_of(ring).refused_full, 3);
	ck_assert_uint_eq(stats_of(ring).refused_empty, 9);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(every_value_may_be_put)
{
	static const uint64_t values[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63};
	struct tapio_ring *ring = new_ring(1);
	size_t i;

	for (i = 0; i < 4; i++) {
		put_ok(ring, values[i]);
		ck_assert_int_eq(tapio_ring_try_put(ring, 5), -EAGAIN);
		get_is(ring, values[i]);
	}
	tapio_ring_close(ring);
}
END_TEST

START_TEST(batches_move_what_fits_in_order)
{
	uint32_t n = capacities[_i];
	struct tapio_ring *ring = new_ring(n);
	uint64_t *in = calloc(2 * n + 3, sizeof(*in));
	uint64_t *out = calloc(2 * n + 3, sizeof(*out));
	uint32_t lap, i;
	int part = n / 2 + 1;

	for (lap = 0; lap < 5; lap++) {
		for (i = 0; i < 2 * n + 3; i++)
			in[i] = lap * 1000003 + i;
		ck_assert_int_eq(tapio_ring_put_batch(ring, in, 0, 0), 0);
		ck_assert_int_eq(tapio_ring_get_batch(ring, out, 0, 0), 0);
		ck_assert_int_eq(tapio_ring_put_batch(ring, in, 2 * n + 3, 0),
				 n);
		ck_assert_int_eq(tapio_ring_put_batch(ring, in, 1, 0), -EAGAIN);
		ck_assert_int_eq(tapio_ring_get_batch(ring, out, part, 0),
				 part);
		ck_assert_int_eq(tapio_ring_put_batch(ring, in + n, part, 0),
				 part);
		ck_assert_int_eq(
			tapio_ring_get_batch(ring, out + part, 2 * n, 0), n);
		ck_assert_int_eq(tapio_ring_get_batch(ring, out, 1, 0),
				 -EAGAIN);
		ck_assert_mem_eq(in, out, (n + part) * sizeof(*in));
	}
	ck_assert_uint_eq(stats_of(ring).refused_full, 5);
	ck_assert_uint_eq(stats_of(ring).refused_empty, 5);
	free(in);
	free(out);
	tapio_ring_close(ring);
}
END_TEST

static void add_up(uint64_t value, void *argument)
{
	uint64_t *sum = argument;

	sum[0] = sum[0] * 31 + value;
	sum[1]++;
}

START_TEST(drain_takes_everything_in_order)
{
	struct tapio_ring *ring = new_ring(256);
	uint64_t sum[2] = {0, 0}, expected = 0;
	uint64_t i;

	for (i = 0; i < 200; i++) {
		put_ok(ring, i);
		expected = expected * 31 + i;
	}
	ck_assert_int_eq(tapio_ring_drain(ring, add_up, sum), 200);
	ck_assert_uint_eq(sum[0], expected);
	ck_assert_uint_eq(sum[1], 200);
	ck_assert_int_eq(tapio_ring_drain(ring, add_up, sum), 0);
	put_ok(ring, 1);
	ck_assert_int_eq(tapio_ring_drain(ring, NULL, NULL), 1);
	empty(ring);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(high_water_is_the_largest_fill_and_stays)
{
	struct tapio_ring *ring = new_ring(64);
	uint32_t fill, highest = 0;
	uint32_t round, i;
	uint64_t got;

	ck_assert_uint_eq(tapio_ring_high_water(ring), 0);
	for (round = 0; round < 40; round++) {
		fill = (round * 7) % 41;
		highest = fill > highest ? fill : highest;
		for (i = 0; i < fill; i++)
			put_ok(ring, i);
		ck_assert_uint_eq(tapio_ring_high_water(ring), highest);
		while (tapio_ring_try_get(ring, &got) == 0)
			;
	}
	for (i = 0; i < 64; i++)
		put_ok(ring, i);
	ck_assert_uint_eq(tapio_ring_high_water(ring), 64);
	tapio_ring_close(ring);
}
END_TEST

/*
 * As threads that were stopped before they stored their hint would leave it:
 * any number of positions, or laps, too old.
 */
START_TEST(old_hints_neither_lose_nor_refuse_anything)
{
	uint32_t n = capacities[_i];
	struct tapio_ring *ring = new_ring(n);
	uint64_t in = 0, out = 0, back;
	uint32_t round, fill, i;

	if (n > 64)
		n = 64; /* of a larger ring, a part */
	for (round = 0; round < 300; round++) {
		fill = round * 5 % n + 1;
		for (i = 0; i < fill; i++) {
			back = (round * 7 + i * 3) % (3 * n + 2);
			ring->shm->tail.position = in > back ? in - back : 0;
			put_ok(ring, in++);
		}
		back = (round * 11) % (3 * n + 2);
		ring->shm->tail.position = in > back ? in - back : 0;
		ring->shm->head.position = out > back ? out - back : 0;
		ck_assert_uint_eq(tapio_ring_size(ring), fill);
		ck_assert_uint_eq(stats_of(ring).puts, in);
		ck_assert_uint_eq(stats_of(ring).gets, out);
		if (fill == ring->mask + 1)
			ck_assert_int_eq(tapio_ring_try_put(ring, 1), -EAGAIN);
		for (i = 0; i < fill; i++) {
			back = (round + i * 13) % (3 * n + 2);
			ring->shm->head.position = out > back ? out - back : 0;
			get_is(ring, out++);
		}
		ring->shm->head.position = out > back ? out - back : 0;
		empty(ring);
	}
	ring->shm->tail.position = 0;
	ring->shm->head.position = 0;
	ck_assert_uint_eq(stats_of(ring).puts, in);
	ck_assert_uint_eq(stats_of(ring).gets, in);
	ck_assert_uint_le(tapio_ring_high_water(ring), n);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(high_positions_work_like_low_ones)
{
	static const uint64_t starts[] = {UINT32_MAX - UINT64_C(3),
					  (UINT64_C(1) << 48) - 4,
					  (UINT64_C(1) << 58) + 12345 * 4};
	struct tapio_ring *ring = new_ring(4);
	uint64_t i;

	move_to(ring, starts[_i]);
	for (i = 0; i < 50; i++) {
		put_ok(ring, i);
		put_ok(ring, i);
		get_is(ring, i);
		ring->shm->head.position = starts[_i];
		ring->shm->tail.position = starts[_i];
		get_is(ring, i);
		empty(ring);
	}
	for (i = 0; i < 4; i++)
		put_ok(ring, i);
	ck_assert_int_eq(tapio_ring_try_put(ring, 4), -EAGAIN);
	ck_assert_uint_eq(stats_of(ring).puts, starts[_i] + 104);
	tapio_ring_close(ring);
}
END_TEST

/* ---- attaching ----------------------------------------------------------- */

static struct tapio_shm_ring *memory;
static size_t bytes;

static void map_memory(void)
{
	bytes = tapio_ring_bytes(16);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
}

static void unmap_memory(void)
{
	munmap(memory, bytes);
}

static int attach(size_t length)
{
	struct tapio_ring *ring = (void *)1;
	int err = tapio_ring_attach(&ring, memory, length);

	ck_assert_int_eq(err == 0, ring != NULL);
	tapio_ring_close(ring);
	return err;
}

START_TEST(two_mappings_of_one_memory_are_one_ring)
{
	int fd = memfd_create("ring", 0);
	size_t length = tapio_ring_bytes(8);
	struct tapio_ring *a, *b;
	void *first, *second;

	ck_assert_int_eq(ftruncate(fd, (off_t)length), 0);
	first = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	second = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_int_eq(tapio_ring_attach(&b, second, length), -EAGAIN);
	ck_assert_int_eq(tapio_ring_init(&a, first, length, 8), 0);
	ck_assert_int_eq(tapio_ring_attach(&b, second, length), 0);
	put_ok(a, 1);
	put_ok(b, 2);
	get_is(b, 1);
	get_is(a, 2);
	empty(b);
	ck_assert_uint_eq(tapio_ring_capacity(b), 8);
	tapio_ring_close(a);
	put_ok(b, 3);
	get_is(b, 3);
	tapio_ring_close(b);
	munmap(first, length);
	munmap(second, length);
	close(fd);
}
END_TEST

START_TEST(statistics_need_only_read_the_memory)
{
	struct tapio_ring *ring, *reader;
	uint64_t i;

	ck_assert_int_eq(tapio_ring_init(&ring, memory, bytes, 16), 0);
	for (i = 0; i < 5; i++)
		put_ok(ring, i);
	get_is(ring, 0);
	/* A hint that is behind must not tempt anybody to mend it. */
	memory->tail.position = 1;
	ck_assert_int_eq(mprotect(memory, bytes, PROT_READ), 0);
	ck_assert_int_eq(tapio_ring_attach(&reader, memory, bytes), 0);
	ck_assert_uint_eq(tapio_ring_size(reader), 4);
	ck_assert_uint_eq(tapio_ring_high_water(reader), 5);
	ck_assert_uint_eq(stats_of(reader).puts, 5);
	ck_assert_uint_eq(stats_of(reader).gets, 1);
	tapio_ring_close(reader);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(what_is_no_ring_is_not_attached)
{
	struct tapio_ring *ring;

	ck_assert_int_eq(attach(bytes), -EAGAIN); /* all zero: not there yet */
	ck_assert_int_eq(tapio_ring_init(&ring, memory, bytes, 16), 0);
	tapio_ring_close(ring);
	ck_assert_int_eq(attach(bytes), 0);
	ck_assert_int_eq(attach(bytes + 4096), 0);
	ck_assert_int_eq(attach(bytes - 1), -EBADMSG);
	ck_assert_int_eq(attach(100), -EINVAL);
	ck_assert_int_eq(tapio_ring_attach(&ring, (char *)memory + 8, bytes),
			 -EINVAL);
	ck_assert_int_eq(tapio_ring_attach(&ring, NULL, bytes), -EINVAL);
	ck_assert_int_eq(tapio_ring_init(&ring, memory, bytes - 1, 16),
			 -EINVAL);
	ck_assert_int_eq(attach(bytes), 0);
	memory->ready = 0; /* killed while making it */
	ck_assert_int_eq(attach(bytes), -EAGAIN);
}
END_TEST

START_TEST(each_constant_that_lies_is_noticed)
{
	struct tapio_shm_ring good;
	struct tapio_ring *ring;

	ck_assert_int_eq(tapio_ring_init(&ring, memory, bytes, 16), 0);
	tapio_ring_close(ring);
	good = *memory;
#define LIE(field, value, error)                        \
	do {                                            \
		memory->field = (value);                \
		ck_assert_int_eq(attach(bytes), error); \
		*memory = good;                         \
		ck_assert_int_eq(attach(bytes), 0);     \
	} while (0)
	LIE(magic, good.magic + 1, -EBADMSG);
	LIE(magic, 0, -EBADMSG);
	LIE(ready, 1, -EBADMSG);
	LIE(version, good.version + 1, -EPROTONOSUPPORT);
	LIE(capacity, 0, -EBADMSG);
	LIE(capacity, 8, -EBADMSG);
	LIE(capacity, 15, -EBADMSG);
	LIE(capacity, 32, -EBADMSG);
	LIE(capacity, 1u << 31, -EBADMSG);
	LIE(length_bytes, bytes - 64, -EBADMSG);
	LIE(length_bytes, UINT64_MAX, -EBADMSG);
	LIE(cells_offset, good.cells_offset - 16, -EBADMSG);
	LIE(cells_offset, UINT64_MAX - 15, -EBADMSG);
	LIE(cell_bytes, 8, -EBADMSG);
	LIE(stripes, 0, -EBADMSG);
	LIE(logs, good.logs + 1, -EBADMSG);
	LIE(logs, UINT32_MAX, -EBADMSG);
	LIE(log_values, good.log_values + 1, -EBADMSG);
	LIE(log_values, 1u << 31, -EBADMSG);
	LIE(logs_offset, good.logs_offset + 64, -EBADMSG);
#undef LIE
}
END_TEST

START_TEST(constants_that_change_later_do_not_matter)
{
	struct tapio_ring *ring;
	uint64_t i;

	ck_assert_int_eq(tapio_ring_init(&ring, memory, bytes, 16), 0);
	memset(memory, 0xff, offsetof(struct tapio_shm_ring, tail));
	for (i = 0; i < 16; i++)
		put_ok(ring, i);
	ck_assert_int_eq(tapio_ring_try_put(ring, 1), -EAGAIN);
	for (i = 0; i < 16; i++)
		get_is(ring, i);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(zeroed_memory_is_refused_and_not_waited_for)
{
	struct tapio_ring *ring;
	uint64_t value, values[16] = {0};

	ck_assert_int_eq(tapio_ring_init(&ring, memory, bytes, 16), 0);
	put_ok(ring, 1);
	put_ok(ring, 2);
	memset(memory, 0, bytes); /* a hole was punched */
	put_ok(ring, 7);          /* position 0 of a new ring looks like this */
	ck_assert_int_eq(tapio_ring_try_put(ring, 8), -EBADMSG);
	ck_assert_int_eq(tapio_ring_put(ring, 8, TAPIO_FOREVER), -EBADMSG);
	ck_assert_int_eq(tapio_ring_put_batch(ring, values, 16, TAPIO_FOREVER),
			 -EBADMSG);
	get_is(ring, 7);
	ck_assert_int_eq(tapio_ring_try_get(ring, &value), -EBADMSG);
	ck_assert_int_eq(tapio_ring_get(ring, &value, TAPIO_FOREVER), -EBADMSG);
	ck_assert_int_eq(tapio_ring_drain(ring, NULL, NULL), 0);
	tapio_ring_close(ring);
}
END_TEST

/* Each turn is ahead of the one before by a quarter of what a word can count. */
START_TEST(turns_that_go_round_in_a_circle_end_the_call)
{
	struct tapio_ring *ring = new_ring(4);
	uint64_t value, i;

	for (i = 1; i <= 4; i++)
		ring->cells[i % 4].high = (i << 62) + 2 * i + (uint64_t)_i;
	ring->shm->tail.position = 1;
	ring->shm->head.position = 1;
	ck_assert_int_eq(tapio_ring_try_put(ring, 1), -EBADMSG);
	ck_assert_int_eq(tapio_ring_try_get(ring, &value), -EBADMSG);
	tapio_ring_close(ring);
}
END_TEST

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Every call comes back, whatever is there, and none reaches outside. */
START_TEST(garbage_in_the_memory_ends_every_call)
{
	struct tapio_ring_stats stats;
	struct tapio_ring *ring = new_ring(16u << (3 * _i)); /* no logs; logs */
	uint64_t value, values[40] = {0};
	uint64_t *words = (uint64_t *)ring->shm;
	uint32_t n = tapio_ring_capacity(ring);
	int round, i;

	for (round = 0; round < 500; round++) {
		for (i = 0; i < (int)(tapio_ring_bytes(n) / 8); i++) {
			value = next_random();
			/* Nearly right is worse than far off. */
			words[i] = round % 3 ? value % 200 : value;
		}
		for (i = 0; i < 20; i++) {
			(void)tapio_ring_try_put(ring, value);
			(void)tapio_ring_try_get(ring, &value);
			(void)tapio_ring_put_batch(ring, values, 40, 0);
			(void)tapio_ring_get_batch(ring, values, 40, 0);
			stats = stats_of(ring);
			ck_assert_uint_le(stats.count, n);
			ck_assert_uint_le(stats.high_water, n);
		}
	}
	tapio_ring_close(ring);
}
END_TEST

START_TEST(a_child_shares_the_ring_through_the_same_handle)
{
	struct tapio_ring *ring;
	int status;
	pid_t child;

	ck_assert_int_eq(tapio_ring_init(&ring, memory, bytes, 16), 0);
	put_ok(ring, 1);
	child = fork();
	if (child == 0) {
		uint64_t value = 0;

		if (tapio_ring_get(ring, &value, TAPIO_FOREVER) || value != 1)
			_exit(1);
		_exit(tapio_ring_put(ring, 2, TAPIO_FOREVER) ? 2 : 0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	get_is(ring, 2);
	tapio_ring_close(ring);
}
END_TEST

/* ---- waiting ------------------------------------------------------------- */

START_TEST(waiting_in_vain_times_out_and_is_counted_as_that)
{
	struct tapio_ring *ring = new_ring(2);
	uint64_t values[3] = {1, 2, 3}, value = 9;

	ck_assert_int_eq(tapio_ring_get(ring, &value, 0), -EAGAIN);
	ck_assert_int_eq(tapio_ring_get(ring, &value, 2 * MS), -ETIMEDOUT);
	ck_assert_uint_eq(value, 0);
	ck_assert_int_eq(tapio_ring_get_batch(ring, values, 3, 1), -ETIMEDOUT);
	values[0] = 1;
	/* Two are put at once, and only the third waits. */
	ck_assert_int_eq(tapio_ring_put_batch(ring, values, 3, 2 * MS), 2);
	ck_assert_int_eq(tapio_ring_put(ring, 4, 2 * MS), -ETIMEDOUT);
	ck_assert_int_eq(tapio_ring_put(ring, 4, 0), -EAGAIN);
	ck_assert_uint_eq(stats_of(ring).timed_out_empty, 2);
	ck_assert_uint_eq(stats_of(ring).timed_out_full, 1);
	ck_assert_uint_eq(stats_of(ring).refused_empty, 1);
	ck_assert_uint_eq(stats_of(ring).refused_full, 1);
	get_is(ring, 1);
	get_is(ring, 2);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(nobody_is_woken_while_nobody_waits)
{
	struct tapio_ring *ring = new_ring(4);
	uint64_t i;

	for (i = 0; i < 1000; i++) {
		ck_assert_int_eq(tapio_ring_put(ring, i, TAPIO_FOREVER), 0);
		get_is(ring, i);
	}
	ck_assert_uint_eq(stats_of(ring).wakes, 0);
	ck_assert_uint_eq(stats_of(ring).sleeps, 0);
	tapio_ring_close(ring);
}
END_TEST

/* A night of bounded sleeps, or of sleepers that were killed. */
START_TEST(all_stale_announcements_are_settled_by_one_call)
{
	/* Few. With a wrap. Those of 1000 sleepers in four idle days. */
	static const uint32_t armed[] = {1000, 100, 100};
	static const uint32_t stale[] = {900, 900, 3000000000};
	struct tapio_ring *ring = new_ring(4);
	struct tapio_shm_ring_wait *waiters = &ring->shm->tail.waiters;
	uint64_t i;

	waiters->armed = armed[_i];
	waiters->answered = armed[_i] - stale[_i];
	for (i = 0; i < 4; i++)
		put_ok(ring, i);
	ck_assert_uint_eq(stats_of(ring).wakes, 1);
	ck_assert_uint_eq(waiters->answered, waiters->armed);
	tapio_ring_close(ring);
}
END_TEST

/* A peer that scribbles over the waiters' words costs calls, not values. */
START_TEST(absurd_waiters_do_no_harm)
{
	struct tapio_ring *ring = new_ring(4);
	uint64_t i;

	for (i = 0; i < 2000; i++) {
		ring->shm->tail.waiters.armed = (uint32_t)next_random();
		ring->shm->tail.waiters.answered = (uint32_t)next_random();
		ring->shm->head.waiters.armed = (uint32_t)next_random();
		put_ok(ring, i);
		get_is(ring, i);
	}
	tapio_ring_close(ring);
}
END_TEST

struct waiter {
	pthread_t thread;
	struct tapio_ring *ring;
	uint64_t value;
	int result;
};

static void *get_forever(void *argument)
{
	struct waiter *waiter = argument;

	waiter->result =
		tapio_ring_get(waiter->ring, &waiter->value, TAPIO_FOREVER);
	return NULL;
}

static void *put_forever(void *argument)
{
	struct waiter *waiter = argument;

	waiter->result =
		tapio_ring_put(waiter->ring, waiter->value, TAPIO_FOREVER);
	return NULL;
}

static void until_asleep(struct tapio_ring *ring, uint64_t sleeps)
{
	while (stats_of(ring).sleeps < sleeps)
		usleep(1000);
	usleep(2000);
}

START_TEST(each_put_wakes_a_sleeper_for_each_value)
{
	struct tapio_ring *ring = new_ring(8);
	struct waiter waiters[4];
	uint64_t values[4] = {10, 20, 30, 40}, sum = 0;
	int i;

	for (i = 0; i < 4; i++) {
		waiters[i].ring = ring;
		pthread_create(&waiters[i].thread, NULL, get_forever,
			       &waiters[i]);
	}
	until_asleep(ring, 4);
	put_ok(ring, values[0]);
	ck_assert_int_eq(tapio_ring_put_batch(ring, values + 1, 3, 0), 3);
	for (i = 0; i < 4; i++) {
		pthread_join(waiters[i].thread, NULL);
		ck_assert_int_eq(waiters[i].result, 0);
		sum += waiters[i].value;
	}
	ck_assert_uint_eq(sum, 100);
	ck_assert_uint_ge(stats_of(ring).wakes, 1);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(each_get_wakes_a_producer_that_waits_for_room)
{
	struct tapio_ring *ring = new_ring(1);
	struct waiter waiters[3];
	uint64_t value, sum = 0;
	int i;

	put_ok(ring, 100);
	for (i = 0; i < 3; i++) {
		waiters[i].ring = ring;
		waiters[i].value = (uint64_t)i + 1;
		pthread_create(&waiters[i].thread, NULL, put_forever,
			       &waiters[i]);
	}
	until_asleep(ring, 3);
	for (i = 0; i < 4; i++) {
		ck_assert_int_eq(tapio_ring_get(ring, &value, TAPIO_FOREVER),
				 0);
		sum += value;
	}
	for (i = 0; i < 3; i++) {
		pthread_join(waiters[i].thread, NULL);
		ck_assert_int_eq(waiters[i].result, 0);
	}
	ck_assert_uint_eq(sum, 106);
	empty(ring);
	tapio_ring_close(ring);
}
END_TEST

/* ---- signal handlers ----------------------------------------------------- */

static struct tapio_ring *handler_ring;
static volatile sig_atomic_t handler_puts, handler_gets;
static uint64_t handler_sum;

static void put_and_get(int signal_number)
{
	uint64_t value;

	(void)signal_number;
	if (tapio_ring_try_put(handler_ring, 1) == 0)
		handler_puts++;
	if (handler_puts % 2 && tapio_ring_try_get(handler_ring, &value) == 0) {
		handler_gets++;
		handler_sum += value;
	}
}

START_TEST(a_signal_handler_is_just_another_thread)
{
	struct itimerval every = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = put_and_get,
				   .sa_flags = SA_RESTART};
	uint64_t in = 0, sum = 0, value;
	int errno_was = errno;

	handler_ring = new_ring(2);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (handler_puts < 500) {
		if (tapio_ring_try_put(handler_ring, 1) == 0)
			in++;
		if (tapio_ring_try_get(handler_ring, &value) == 0)
			sum += value;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	while (tapio_ring_try_get(handler_ring, &value) == 0)
		sum += value;
	ck_assert_uint_eq(sum + handler_sum, in + (uint64_t)handler_puts);
	ck_assert_uint_eq(stats_of(handler_ring).puts,
			  in + (uint64_t)handler_puts);
	ck_assert_int_eq(errno, errno_was);
	tapio_ring_close(handler_ring);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	suite_add_tcase(suite, tcase);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *values = add_case(suite, "values");
	TCase *attaching = add_case(suite, "attaching");
	TCase *waiting = add_case(suite, "waiting");

	tcase_add_test(values, only_powers_of_two_are_capacities);
	tcase_add_loop_test(
		values, values_come_out_in_order_and_full_and_empty_are_exact,
		0, CAPACITIES);
	tcase_add_test(values, every_value_may_be_put);
	tcase_add_loop_test(values, batches_move_what_fits_in_order, 0,
			    CAPACITIES);
	tcase_add_test(values, drain_takes_everything_in_order);
	tcase_add_test(values, high_water_is_the_largest_fill_and_stays);
	tcase_add_loop_test(values, old_hints_neither_lose_nor_refuse_anything,
			    0, CAPACITIES);
	tcase_add_loop_test(values, high_positions_work_like_low_ones, 0, 3);

	tcase_add_checked_fixture(attaching, map_memory, unmap_memory);
	tcase_add_test(attaching, two_mappings_of_one_memory_are_one_ring);
	tcase_add_test(attaching, statistics_need_only_read_the_memory);
	tcase_add_test(attaching, what_is_no_ring_is_not_attached);
	tcase_add_test(attaching, each_constant_that_lies_is_noticed);
	tcase_add_test(attaching, constants_that_change_later_do_not_matter);
	tcase_add_test(attaching, zeroed_memory_is_refused_and_not_waited_for);
	tcase_add_loop_test(attaching,
			    turns_that_go_round_in_a_circle_end_the_call, 0, 2);
	tcase_add_loop_test(attaching, garbage_in_the_memory_ends_every_call, 0,
			    2);
	tcase_add_test(attaching,
		       a_child_shares_the_ring_through_the_same_handle);

	tcase_add_test(waiting,
		       waiting_in_vain_times_out_and_is_counted_as_that);
	tcase_add_test(waiting, nobody_is_woken_while_nobody_waits);
	tcase_add_loop_test(
		waiting, all_stale_announcements_are_settled_by_one_call, 0, 3);
	tcase_add_test(waiting, absurd_waiters_do_no_harm);
	tcase_add_test(waiting, each_put_wakes_a_sleeper_for_each_value);
	tcase_add_test(waiting, each_get_wakes_a_producer_that_waits_for_room);
	tcase_add_test(waiting, a_signal_handler_is_just_another_thread);

	return check_run(suite);
}
