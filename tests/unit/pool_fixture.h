/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the tests of tapio_pool. A pool that has lists must use them, but
 * in the flavour without rseq (tests/cpu_lanes.h).
 */
#ifndef TEST_POOL_FIXTURE_H
#define TEST_POOL_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/kit/pool.h"
#include "tests/cpu_lanes.h"
#include "tests/check_main.h"

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

static inline void pool_check_flavour(const struct tapio_pool *pool)
{
	ck_assert_uint_eq(pool->fast_cpus != 0, pool->cache && !side_flavour());
}

static inline struct tapio_pool *
pool_new(const struct tapio_pool_options *options)
{
	struct tapio_pool *pool;

	ck_assert_int_eq(tapio_pool_create(&pool, options), 0);
	pool_check_flavour(pool);
	return pool;
}

/* Check writes to a file for every assertion: not for each of thousands. */
static inline void *get_ok(struct tapio_pool *pool)
{
	void *object;
	int err = tapio_pool_get(pool, &object);

	if (err)
		ck_assert_int_eq(err, 0);
	return object;
}

static inline void put_ok(struct tapio_pool *pool, void *object)
{
	int err = tapio_pool_put(pool, object);

	if (err)
		ck_assert_int_eq(err, 0);
}

/* Memory that children share, twice: at another address, too, in *twin. */
static inline void *memory_shared(size_t bytes, void **twin)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	void *memory;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	if (twin) {
		*twin = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			     fd, 0);
		ck_assert_ptr_ne(*twin, MAP_FAILED);
	}
	close(fd);
	return memory;
}

/* A pool in memory that children share, with the handle that made it. */
struct shared_pool {
	void *memory;
	void *twin;
	size_t bytes;
	struct tapio_pool *pool;
};

static inline struct shared_pool
pool_shared(const struct tapio_pool_options *options)
{
	struct shared_pool s = {.bytes = tapio_pool_bytes(options)};

	ck_assert_uint_ne(s.bytes, 0);
	s.memory = memory_shared(s.bytes, &s.twin);
	ck_assert_int_eq(tapio_pool_init(&s.pool, s.memory, s.bytes, options),
			 0);
	pool_check_flavour(s.pool);
	return s;
}

static inline void pool_shared_end(struct shared_pool *s)
{
	tapio_pool_close(s->pool);
	munmap(s->memory, s->bytes);
	munmap(s->twin, s->bytes);
}

/* Each object is free exactly once or owned exactly once. `held` are owned. */
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

	ck_assert_int_eq(tapio_pool_stats_read(pool, &stats), 0);
	return stats;
}

#endif
