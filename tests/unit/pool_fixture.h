/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of tapio_pool share. */
#ifndef TEST_POOL_FIXTURE_H
#define TEST_POOL_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/pool.h"

static inline struct tapio_pool_options pool_options(uint32_t bytes,
						     uint32_t count)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = bytes,
		.count = count,
	};

	return options;
}

static inline struct tapio_pool *
pool_new(const struct tapio_pool_options *options)
{
	struct tapio_pool *pool;

	ck_assert_int_eq(tapio_pool_create(&pool, options), 0);
	return pool;
}

/* A pool in memory that children share, with the handle that made it. */
struct shared_pool {
	void *memory;
	size_t bytes;
	struct tapio_pool *pool;
};

static inline struct shared_pool
pool_shared(const struct tapio_pool_options *options)
{
	struct shared_pool s = {.bytes = tapio_pool_bytes(options)};

	ck_assert_uint_ne(s.bytes, 0);
	s.memory = mmap(NULL, s.bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(s.memory, MAP_FAILED);
	ck_assert_int_eq(tapio_pool_init(&s.pool, s.memory, s.bytes, options),
			 0);
	return s;
}

static inline void pool_shared_end(struct shared_pool *s)
{
	tapio_pool_close(s->pool);
	munmap(s->memory, s->bytes);
}

/* Each object is free exactly once or owned exactly once; `held` are owned. */
static inline void pool_audit(const struct tapio_pool *pool, uint32_t held)
{
	struct tpi_pool_audit audit;

	ck_assert_int_eq(tpi_pool_audit(pool, &audit), 0);
	ck_assert_uint_eq(audit.twice, 0);
	ck_assert_uint_eq(audit.stray, 0);
	ck_assert_uint_eq(audit.in_hands, 0);
	ck_assert_uint_eq(audit.held, held);
	ck_assert_uint_eq(audit.cached + audit.deposited, pool->count - held);
}

static inline struct tapio_pool_stats pool_stats(const struct tapio_pool *pool)
{
	struct tapio_pool_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(tapio_pool_stats(pool, &stats), 0);
	return stats;
}

#endif
