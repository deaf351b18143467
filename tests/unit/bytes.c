/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_bytes, one step at a time: classes, limits, the heap, names, memory that
 * lies. (tests/fuzz/bytes.c drives the same properties by chance.)
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/kit/bytes.h"
#include "pool_fixture.h"
#include "tests/check_main.h"

static struct tapio_bytes_options every_class(uint32_t count)
{
	struct tapio_bytes_options options = {.size = sizeof(options)};
	int k;

	for (k = 0; k < TAPIO_BYTES_CLASSES; k++)
		options.count[k] = count;
	return options;
}

static struct tapio_bytes *make(const struct tapio_bytes_options *options)
{
	struct tapio_bytes *bytes;

	ck_assert_int_eq(tapio_bytes_create(&bytes, options), 0);
	return bytes;
}

START_TEST(options_that_make_nothing_are_refused)
{
	struct tapio_bytes_options options = every_class(0);
	struct tapio_bytes *bytes = (void *)1;

	ck_assert_uint_eq(tapio_bytes_bytes(&options), 0);
	ck_assert_int_eq(tapio_bytes_create(&bytes, &options), -EINVAL);
	ck_assert_ptr_null(bytes);
	options.count[3] = TAPIO_POOL_COUNT_MAX + 1;
	ck_assert_int_eq(tapio_bytes_create(&bytes, &options), -EINVAL);
	options.count[3] = 1;
	options.flags = 1u << 30;
	ck_assert_int_eq(tapio_bytes_create(&bytes, &options), -EINVAL);
	options.flags = 0;
	options.heap_max = TAPIO_BYTES_HEAP_LIMIT + 1;
	ck_assert_int_eq(tapio_bytes_create(&bytes, &options), -EINVAL);
	options.size = 8;
	ck_assert_int_eq(tapio_bytes_create(&bytes, &options), -EINVAL);
}
END_TEST

START_TEST(each_length_gets_the_smallest_class_that_fits)
{
	struct tapio_bytes_options options = every_class(2);
	struct tapio_bytes *bytes = make(&options);
	int64_t capacity;
	size_t length, want;
	void *buffer;
	int k;

	for (k = 0; k < TAPIO_BYTES_CLASSES; k++)
		for (length = (64u << k) - 1; length <= (64u << k) + 1;
		     length++) {
			want = length <= 64u << k ? 64u << k : 128u << k;
			if (want > TAPIO_BYTES_MAX)
				continue;
			ck_assert_int_eq(
				tapio_bytes_get(bytes, length, 0, &buffer), 0);
			capacity = tapio_bytes_capacity(bytes, buffer);
			ck_assert_int_eq(capacity, (int64_t)want);
			memset(buffer, 0xaa, want);
			ck_assert_int_eq(tapio_bytes_put(bytes, buffer), 0);
		}
	ck_assert_int_eq(tapio_bytes_get(bytes, 0, 0, &buffer), 0);
	ck_assert_int_eq(tapio_bytes_capacity(bytes, buffer), 64);
	tapio_bytes_close(bytes);
}
END_TEST

START_TEST(what_is_too_large_is_refused_unless_the_heap_may_give_it)
{
	struct tapio_bytes_options options = every_class(0);
	struct tapio_bytes_stats stats = {.size = sizeof(stats)};
	struct tapio_bytes *bytes;
	unsigned char *buffer, *second;
	size_t i;

	options.count[TAPIO_BYTES_CLASS_4K] = 4;
	options.heap_max = 2;
	bytes = make(&options);
	ck_assert_uint_eq(tapio_bytes_limit(bytes), 4096);
	ck_assert_int_eq(tapio_bytes_get(bytes, 4097, 0, (void **)&buffer),
			 -EMSGSIZE);
	ck_assert_ptr_null(buffer);
	ck_assert_int_eq(tapio_bytes_get(bytes, SIZE_MAX, TAPIO_BYTES_HEAP,
					 (void **)&buffer),
			 -ENOMEM);
	ck_assert_int_eq(tapio_bytes_get(bytes, 100000,
					 TAPIO_BYTES_HEAP | TAPIO_BYTES_ZERO,
					 (void **)&buffer),
			 0);
	ck_assert_int_ge(tapio_bytes_capacity(bytes, buffer), 100000);
	for (i = 0; i < 100000; i++)
		if (buffer[i])
			ck_abort_msg("not zero");
	ck_assert_int_eq(tapio_bytes_get(bytes, 5000, TAPIO_BYTES_HEAP,
					 (void **)&second),
			 0);
	ck_assert_int_eq(tapio_bytes_get(bytes, 5000, TAPIO_BYTES_HEAP,
					 (void **)&second),
			 -EAGAIN);
	ck_assert_int_eq(tapio_bytes_offset(bytes, buffer), -EINVAL);
	ck_assert_int_eq(tapio_bytes_give(bytes, buffer, 5), -EINVAL);
	ck_assert_int_eq(tapio_bytes_put(bytes, buffer + 64), -EINVAL);
	ck_assert_int_eq(tapio_bytes_put(bytes, buffer), 0);
	ck_assert_int_eq(tapio_bytes_put(bytes, buffer), -EINVAL);
	ck_assert_int_eq(tapio_bytes_put(bytes, NULL), -EINVAL);
	ck_assert_int_eq(tapio_bytes_stats_read(bytes, &stats), 0);
	ck_assert_uint_eq(stats.too_large, 1);
	ck_assert_uint_eq(stats.heap, 1); /* closing frees it */
	ck_assert_uint_eq(stats.heap_max, 2);
	tapio_bytes_close(bytes);
}
END_TEST

START_TEST(an_empty_class_is_served_by_larger_ones_only_if_asked)
{
	struct tapio_bytes_options options = every_class(0);
	struct tapio_bytes *bytes;
	void *a, *b, *c;

	options.count[TAPIO_BYTES_CLASS_128] = 1;
	options.count[TAPIO_BYTES_CLASS_1K] = 1;
	bytes = make(&options);
	ck_assert_int_eq(tapio_bytes_get(bytes, 1, 0, &a), 0);
	ck_assert_int_eq(tapio_bytes_capacity(bytes, a), 128);
	ck_assert_int_eq(tapio_bytes_get(bytes, 1, 0, &b), -EAGAIN);
	ck_assert_int_eq(tapio_bytes_get(bytes, 1, TAPIO_BYTES_LARGER, &b), 0);
	ck_assert_int_eq(tapio_bytes_capacity(bytes, b), 1024);
	ck_assert_int_eq(tapio_bytes_get(bytes, 1, TAPIO_BYTES_LARGER, &c),
			 -EAGAIN);
	ck_assert_int_eq(tapio_bytes_get(bytes, 1, 64, &c), -EINVAL);
	tapio_bytes_close(bytes);
}
END_TEST

START_TEST(contents_are_zero_when_that_was_asked_for)
{
	struct tapio_bytes_options options = every_class(1);
	struct tapio_bytes *bytes;
	unsigned char *buffer;
	int clean, k, i;

	for (clean = 0; clean < 2; clean++) {
		options.flags = clean ? TAPIO_BYTES_CLEAN : 0;
		options.flags |= TAPIO_BYTES_SHARED;
		bytes = make(&options);
		for (k = 0; k < TAPIO_BYTES_CLASSES; k++) {
			for (i = 0; i < 2; i++) {
				ck_assert_int_eq(
					tapio_bytes_get(
						bytes, 64u << k,
						clean ? 0 : TAPIO_BYTES_ZERO,
						(void **)&buffer),
					0);
				ck_assert_int_eq(buffer[0], 0);
				ck_assert_int_eq(memcmp(buffer, buffer + 1,
							(64u << k) - 1),
						 0);
				memset(buffer, 0xee, 64u << k);
				ck_assert_int_eq(tapio_bytes_put(bytes, buffer),
						 0);
			}
		}
		tapio_bytes_close(bytes);
	}
}
END_TEST

START_TEST(wrong_puts_are_refused)
{
	struct tapio_bytes_options options = every_class(3);
	struct tapio_bytes *bytes = make(&options);
	struct tapio_bytes *other = make(&options);
	unsigned char *buffer, *theirs;

	ck_assert_int_eq(tapio_bytes_get(bytes, 500, 0, (void **)&buffer), 0);
	ck_assert_int_eq(tapio_bytes_get(other, 500, 0, (void **)&theirs), 0);
	ck_assert_int_eq(tapio_bytes_put(bytes, theirs), -EINVAL);
	ck_assert_int_eq(tapio_bytes_put(bytes, buffer + 64), -EINVAL);
	ck_assert_int_eq(tapio_bytes_put(bytes, bytes->memory), -EINVAL);
	ck_assert_int_eq(tapio_bytes_put(bytes, &options), -EINVAL);
	ck_assert_int_eq(tapio_bytes_capacity(bytes, buffer + 1), -EINVAL);
	ck_assert_int_eq(tapio_bytes_capacity(bytes, theirs), -EINVAL);
	ck_assert_int_eq(tapio_bytes_put(bytes, buffer), 0);
	ck_assert_int_eq(tapio_bytes_put(bytes, buffer), -EALREADY);
	tapio_bytes_close(bytes);
	tapio_bytes_close(other);
}
END_TEST

START_TEST(two_that_attached_pass_buffers_and_the_dead_are_reclaimed)
{
	struct tapio_bytes_options options = every_class(100);
	struct tapio_pool_stats stats = {.size = sizeof(stats)};
	size_t size = tapio_bytes_bytes(&options);
	void *memory, *twin;
	struct tapio_bytes *a, *b;
	int64_t offset;
	void *buffer;
	int i;

	memory = memory_shared(size, &twin);
	ck_assert_int_eq(tapio_bytes_attach(&b, twin, size, NULL), -EAGAIN);
	ck_assert_int_eq(tapio_bytes_init(&a, memory, size - 1, &options),
			 -EINVAL);
	ck_assert_int_eq(tapio_bytes_init(&a, memory, size, &options), 0);
	ck_assert_int_eq(tapio_bytes_attach(&b, twin, size, NULL), 0);
	ck_assert_uint_ne(tapio_bytes_owner(a), tapio_bytes_owner(b));

	ck_assert_int_eq(tapio_bytes_get(a, 3000, 0, &buffer), 0);
	strcpy(buffer, "hello");
	offset = tapio_bytes_offset(a, buffer);
	ck_assert_int_ge(offset, 0);
	ck_assert_int_eq(tapio_bytes_give(a, buffer, tapio_bytes_owner(b)), 0);
	ck_assert_int_eq(tapio_bytes_put(a, buffer), -EINVAL);
	ck_assert_ptr_null(tapio_bytes_at(b, (uint64_t)offset + 64));
	ck_assert_ptr_null(tapio_bytes_at(b, UINT64_MAX));
	buffer = tapio_bytes_at(b, (uint64_t)offset);
	ck_assert_str_eq(buffer, "hello");
	ck_assert_int_eq(tapio_bytes_put(b, buffer), 0);

	for (i = 0; i < TAPIO_BYTES_CLASSES; i++)
		ck_assert_int_eq(tapio_bytes_get(b, 64u << i, 0, &buffer), 0);
	ck_assert_int_eq(tapio_bytes_reclaim(a, tapio_bytes_owner(a)), -EINVAL);
	ck_assert_int_eq(tapio_bytes_reclaim(a, tapio_bytes_owner(b)),
			 TAPIO_BYTES_CLASSES);
	for (i = 0; i < TAPIO_BYTES_CLASSES; i++) {
		ck_assert_int_eq(
			tapio_bytes_class_stats_read(a, (uint32_t)i, &stats),
			0);
		ck_assert_uint_eq(stats.free, 100);
		ck_assert_uint_eq(stats.allocated, 100);
	}
	ck_assert_int_eq(tapio_bytes_class_stats_read(a, 11, &stats), -EINVAL);
	tapio_bytes_close(a);
	tapio_bytes_close(b);
	munmap(memory, size);
	munmap(twin, size);
}
END_TEST

START_TEST(memory_that_holds_something_else_is_not_attached)
{
	struct tapio_bytes_options options = every_class(3);
	size_t size = tapio_bytes_bytes(&options);
	struct tapio_shm_bytes *shm = memory_shared(size, NULL), good;
	struct tapio_bytes *a, *b;
	uint32_t *words = (uint32_t *)shm;
	uint32_t i;

	ck_assert_int_eq(tapio_bytes_init(&a, shm, size, &options), 0);
	good = *shm;
	for (i = 0; i < offsetof(struct tapio_shm_bytes, reserved) / 4; i++) {
		words[i] ^= 0x40000001;
		ck_assert_int_eq(tapio_bytes_attach(&b, shm, size, NULL),
				 i == 2 ? -EPROTONOSUPPORT : -EBADMSG);
		ck_assert_ptr_null(b);
		*shm = good;
	}
	/* A pool of another class's size. */
	shm->offset[4] = shm->offset[3];
	shm->offset[3] = 0;
	ck_assert_int_eq(tapio_bytes_attach(&b, shm, size, NULL), -EBADMSG);
	*shm = good;
	ck_assert_int_eq(tapio_bytes_attach(&b, shm, size - 128, NULL),
			 -EBADMSG);
	shm->next_owner = UINT64_C(1) << 32;
	ck_assert_int_eq(tapio_bytes_attach(&b, shm, size, NULL), -ENOSPC);
	tapio_bytes_close(a);
	munmap(shm, size);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("bytes");

	require_cpu_lanes();
	tcase_add_test(tcase, options_that_make_nothing_are_refused);
	tcase_add_test(tcase, each_length_gets_the_smallest_class_that_fits);
	tcase_add_test(
		tcase,
		what_is_too_large_is_refused_unless_the_heap_may_give_it);
	tcase_add_test(tcase,
		       an_empty_class_is_served_by_larger_ones_only_if_asked);
	tcase_add_test(tcase, contents_are_zero_when_that_was_asked_for);
	tcase_add_test(tcase, wrong_puts_are_refused);
	tcase_add_test(
		tcase,
		two_that_attached_pass_buffers_and_the_dead_are_reclaimed);
	tcase_add_test(tcase, memory_that_holds_something_else_is_not_attached);
	return check_run_case("bytes", tcase);
}
