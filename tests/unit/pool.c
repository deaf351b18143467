/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_pool, one step at a time: gets, refusals, the contents of an object,
 * names, memory that lies. Runs on CPU lists and, where there is no rseq, on
 * the depots alone.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool_fixture.h"
#include "tests/check_main.h"

static const uint32_t all_flags[] = {
	0,
	TAPIO_POOL_DIRTY,
	TAPIO_POOL_ZERO_ON_GET,
	TAPIO_POOL_SHARED,
	TAPIO_POOL_SHARED | TAPIO_POOL_DIRTY,
	TAPIO_POOL_EXACT,
	TAPIO_POOL_EXACT | TAPIO_POOL_DIRTY,
	TAPIO_POOL_UNCHECKED,
	TAPIO_POOL_UNCHECKED | TAPIO_POOL_DIRTY,
};
#define FLAGS   ((int)(sizeof(all_flags) / sizeof(all_flags[0])))
#define CHECKED (FLAGS - 2) /* the first of them: puts look at the state */

START_TEST(options_that_make_no_pool_are_refused)
{
	static const struct tapio_pool_options bad[] = {
		{.object_bytes = 0, .count = 1},
		{.object_bytes = 1, .count = 0},
		{.object_bytes = TAPIO_POOL_OBJECT_MAX + 1, .count = 1},
		{.object_bytes = 1, .count = TAPIO_POOL_COUNT_MAX + 1},
		{.object_bytes = 8, .count = 8, .align = 24},
		{.object_bytes = 8, .count = 8, .align = 4},
		{.object_bytes = 8, .count = 8, .align = 8192},
		{.object_bytes = 8, .count = 8, .flags = 1u << 31},
		{.object_bytes = 8,
		 .count = 8,
		 .flags = TAPIO_POOL_DIRTY | TAPIO_POOL_ZERO_ON_GET},
		{.object_bytes = 8,
		 .count = 8,
		 .flags = TAPIO_POOL_EXACT | TAPIO_POOL_UNCHECKED},
		{.object_bytes = 8,
		 .count = 8,
		 .cache = TAPIO_POOL_CACHE_MAX + 1},
		{.object_bytes = 8, .count = 8, .cpus = 100000},
	};
	struct tapio_pool_options options;
	struct tapio_pool *pool = (void *)1;

	options = bad[_i];
	options.size = sizeof(options);
	ck_assert_uint_eq(tapio_pool_bytes(&options), 0);
	ck_assert_int_eq(tapio_pool_create(&pool, &options), -EINVAL);
	ck_assert_ptr_null(pool);
}
END_TEST

START_TEST(memory_that_does_not_fit_is_refused)
{
	struct tapio_pool_options options = pool_options(24, 100);
	size_t bytes = tapio_pool_bytes(&options);
	unsigned char *memory = aligned_alloc(128, (bytes + 255) & ~127ul);
	struct tapio_pool *pool;

	ck_assert_int_eq(tapio_pool_init(&pool, memory, bytes - 1, &options),
			 -EINVAL);
	ck_assert_int_eq(tapio_pool_init(&pool, memory + 64, bytes, &options),
			 -EINVAL);
	ck_assert_int_eq(tapio_pool_init(&pool, NULL, bytes, &options),
			 -EINVAL);
	ck_assert_int_eq(tapio_pool_init(&pool, memory, bytes, &options), 0);
	tapio_pool_close(pool);
	free(memory);
}
END_TEST

/* Gets everything there is. Returns how many. */
static uint32_t get_all(struct tapio_pool *pool, void **objects)
{
	uint32_t n = 0;

	while (!tapio_pool_get(pool, &objects[n]))
		n++;
	return n;
}

static int by_address(const void *a, const void *b)
{
	const void *x = *(void *const *)a, *y = *(void *const *)b;

	return (x > y) - (x < y);
}

static void all_differ(void **objects, uint32_t n)
{
	uint32_t i;

	qsort(objects, n, sizeof(*objects), by_address);
	for (i = 1; i < n; i++)
		if (objects[i] == objects[i - 1])
			ck_abort_msg("object %p was got twice", objects[i]);
}

START_TEST(every_object_is_got_once_and_then_it_is_exhausted)
{
	static const uint32_t counts[] = {1, 2, 63, 64, 65, 1000, 5000};
	struct tapio_pool_options options;
	struct tapio_pool *pool;
	void *objects[5001];
	uint32_t n, c, round;

	for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		options = pool_options(40, counts[c]);
		options.flags = all_flags[_i];
		pool = pool_new(&options);
		for (round = 0; round < 3; round++) {
			n = get_all(pool, objects);
			/* One thread that stays: its list is in reach. If it
			 * moved, what it left in other lists is not. */
			if (!(options.flags & TAPIO_POOL_SHARED))
				n += pool_stats(pool).cached;
			ck_assert_uint_eq(n, counts[c]);
			n -= pool_stats(pool).cached;
			all_differ(objects, n);
			pool_audit(pool, n);
			while (n)
				put_ok(pool, objects[--n]);
			pool_audit(pool, 0);
		}
		ck_assert_uint_eq(pool_stats(pool).exhausted, 3);
		tapio_pool_close(pool);
	}
}
END_TEST

START_TEST(objects_are_inside_the_memory_and_aligned)
{
	static const uint32_t sizes[] = {1, 8, 24, 64, 100, 4096, 5000};
	static const uint32_t aligns[] = {0, 8, 64, 4096};
	struct tapio_pool_options options;
	struct tapio_pool *pool;
	uint32_t s, a, want, i;
	void *objects[101];
	uintptr_t at;

	for (s = 0; s < 7; s++)
		for (a = 0; a < 4; a++) {
			options = pool_options(sizes[s], 100);
			options.align = aligns[a];
			options.flags = TAPIO_POOL_SHARED;
			pool = pool_new(&options);
			want = aligns[a] ? aligns[a] : sizes[s] < 64 ? 16 : 64;
			ck_assert_uint_eq(get_all(pool, objects), 100);
			for (i = 0; i < 100; i++) {
				at = (uintptr_t)objects[i];
				ck_assert_uint_eq(at % want, 0);
				ck_assert_uint_ge(at, (uintptr_t)pool->objects);
				ck_assert_uint_le(
					at + sizes[s],
					(uintptr_t)pool->shm +
						tapio_pool_bytes(&options));
				memset(objects[i], 0xff, sizes[s]);
			}
			pool_audit(pool, 100);
			tapio_pool_close(pool);
		}
}
END_TEST

START_TEST(a_double_put_is_refused_and_changes_nothing)
{
	struct tapio_pool_options options = pool_options(64, 200);
	struct tapio_pool *pool;
	void *objects[201];
	uint32_t i, n;

	options.flags = all_flags[_i];
	pool = pool_new(&options);
	n = get_all(pool, objects);
	for (i = 0; i < n; i++) {
		put_ok(pool, objects[i]);
		ck_assert_int_eq(tapio_pool_put(pool, objects[i]), -EALREADY);
		ck_assert_int_eq(tapio_pool_put(pool, objects[0]), -EALREADY);
	}
	pool_audit(pool, 0);
	ck_assert_uint_eq(pool_stats(pool).double_puts, 2 * n);
	tapio_pool_close(pool);
}
END_TEST

START_TEST(what_is_no_object_of_the_pool_is_refused)
{
	struct tapio_pool_options options = pool_options(40, 10);
	struct tapio_pool *pool, *other;
	char *object;
	void *theirs;

	options.flags = all_flags[_i];
	pool = pool_new(&options);
	other = pool_new(&options);
	ck_assert_int_eq(tapio_pool_get(pool, (void **)&object), 0);
	ck_assert_int_eq(tapio_pool_get(other, &theirs), 0);
	ck_assert_int_eq(tapio_pool_put(pool, theirs), -EINVAL);
	ck_assert_int_eq(tapio_pool_put(pool, NULL), -EINVAL);
	ck_assert_int_eq(tapio_pool_put(pool, &options), -EINVAL);
	ck_assert_int_eq(tapio_pool_put(pool, object + 1), -EINVAL);
	ck_assert_int_eq(tapio_pool_put(pool, object + 8), -EINVAL);
	ck_assert_int_eq(tapio_pool_put(pool, pool->objects - 48), -EINVAL);
	ck_assert_int_eq(tapio_pool_put(pool, pool->objects + 10 * 48),
			 -EINVAL);
	ck_assert_int_eq(tapio_pool_put(pool, pool), -EINVAL);
	ck_assert_uint_eq(pool_stats(pool).foreign_puts, 8);
	pool_audit(pool, 1);
	tapio_pool_close(pool);
	tapio_pool_close(other);
}
END_TEST

START_TEST(an_object_of_another_name_is_refused_until_it_is_given)
{
	struct tapio_pool_options options = pool_options(64, 300);
	struct shared_pool s;
	struct tapio_pool *b;
	void *object;

	options.flags = all_flags[_i];
	s = pool_shared(&options);
	ck_assert_int_eq(tapio_pool_attach(&b, s.memory, s.bytes, NULL), 0);
	ck_assert_uint_ne(tapio_pool_owner(s.pool), tapio_pool_owner(b));

	ck_assert_int_eq(tapio_pool_get(s.pool, &object), 0);
	ck_assert_int_eq(tapio_pool_put(b, object), -EINVAL);
	ck_assert_int_eq(tapio_pool_give(b, object, 77), -EINVAL);
	ck_assert_int_eq(tapio_pool_adopt(b, object, 77), -EINVAL);
	ck_assert_int_eq(tapio_pool_give(s.pool, object, 0), -EINVAL);
	ck_assert_int_eq(tapio_pool_give(s.pool, object, tapio_pool_owner(b)),
			 0);
	ck_assert_int_eq(tapio_pool_put(s.pool, object), -EINVAL);
	ck_assert_int_eq(tapio_pool_put(b, object), 0);
	ck_assert_int_eq(tapio_pool_adopt(b, object, tapio_pool_owner(b)),
			 -EALREADY);

	ck_assert_int_eq(tapio_pool_get(s.pool, &object), 0);
	ck_assert_int_eq(tapio_pool_adopt(b, object, tapio_pool_owner(s.pool)),
			 0);
	ck_assert_int_eq(tapio_pool_put(b, object), 0);
	pool_audit(b, 0);
	tapio_pool_close(b);
	pool_shared_end(&s);
}
END_TEST

static void fill_ab(void *object, void *argument)
{
	memset(object, *(int *)argument, 100);
}

static bool all_are(const void *object, int value, size_t bytes)
{
	const unsigned char *at = object;
	size_t i;

	for (i = 0; i < bytes; i++)
		if (at[i] != value)
			return false;
	return true;
}

/* Two threads put the same object at the same instant, again and again. */
#define RACE_ROUNDS 2000
#define SPINS       1000 /* before it gives way: both may be on one CPU */
struct race {
	struct tapio_pool *pool;
	void *object;
	uint32_t round; /* the main thread begins one */
	uint32_t met;   /* the rival has put */
	int result;
};

static void *race_rival(void *arg)
{
	struct race *r = arg;
	uint32_t round, spins;

	for (round = 1; round <= RACE_ROUNDS; round++) {
		for (spins = 0; tpi_load_acquire(&r->round) != round; spins++)
			spins < SPINS ? tpi_cpu_relax() : (void)sched_yield();
		r->result = tapio_pool_put(r->pool, r->object);
		tpi_store_release(&r->met, round);
	}
	return NULL;
}

START_TEST(of_two_puts_at_once_only_one_succeeds)
{
	struct tapio_pool_options options = pool_options(64, 16);
	struct race r = {.round = 0};
	uint32_t round;
	pthread_t rival;
	int mine;

	options.flags = TAPIO_POOL_EXACT | (_i ? TAPIO_POOL_DIRTY : 0);
	r.pool = pool_new(&options);
	ck_assert_int_eq(pthread_create(&rival, NULL, race_rival, &r), 0);
	for (round = 1; round <= RACE_ROUNDS; round++) {
		/* The other CPU's list may have them all. */
		while (tapio_pool_get(r.pool, &r.object))
			sched_yield();
		tpi_store_release(&r.round, round);
		mine = tapio_pool_put(r.pool, r.object);
		while (tpi_load_acquire(&r.met) != round)
			sched_yield();
		ck_assert_msg(!mine != !r.result,
			      "round %u: the puts returned %d and %d", round,
			      mine, r.result);
	}
	pthread_join(rival, NULL);
	tapio_pool_close(r.pool);
}
END_TEST

START_TEST(nothing_of_a_previous_owner_is_left)
{
	static const uint32_t flags[] = {0,
					 TAPIO_POOL_EXACT,
					 TAPIO_POOL_UNCHECKED,
					 TAPIO_POOL_ZERO_ON_GET,
					 TAPIO_POOL_SHARED,
					 TAPIO_POOL_SHARED |
						 TAPIO_POOL_ZERO_ON_GET};
	struct tapio_pool_options options = pool_options(1001, 500);
	struct tapio_pool *pool;
	void *objects[501];
	uint32_t i, n, round;

	options.flags = flags[_i];
	pool = pool_new(&options);
	for (round = 0; round < 3; round++) {
		n = get_all(pool, objects);
		for (i = 0; i < n; i++) {
			ck_assert(all_are(objects[i], 0, 1001));
			memset(objects[i], 0xee, 1001);
		}
		while (n)
			put_ok(pool, objects[--n]);
	}
	tapio_pool_close(pool);
}
END_TEST

START_TEST(reset_says_what_an_object_starts_with)
{
	struct tapio_pool_options options = pool_options(128, 64);
	unsigned char *object, *again;
	struct tapio_pool *pool;
	int value = 0x5a;

	options.reset = fill_ab;
	options.init = fill_ab;
	options.argument = &value;
	options.flags = all_flags[_i] & ~TAPIO_POOL_ZERO_ON_GET;
	pool = pool_new(&options);
	ck_assert_int_eq(tapio_pool_get(pool, (void **)&object), 0);
	ck_assert(all_are(object, 0x5a, 100));
	memset(object, 0xee, 128);
	value = 0x77;
	ck_assert_int_eq(tapio_pool_put(pool, object), 0);
	ck_assert(all_are(object, 0x77, 100));
	/* Only what is declared dirty keeps what reset does not touch. */
	ck_assert(all_are(object + 100,
			  options.flags & TAPIO_POOL_DIRTY ? 0xee : 0, 28));
	while (!tapio_pool_get(pool, (void **)&again))
		ck_assert(all_are(again, again == object ? 0x77 : 0x5a, 100));
	tapio_pool_close(pool);
}
END_TEST

/* Another CPU to run on, or this one where there is but one. */
static void run_on(int n)
{
	cpu_set_t allowed, one;
	int cpu, found = 0;

	ck_assert_int_eq(
		sched_getaffinity(getppid(), sizeof(allowed), &allowed), 0);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) &&
		    found++ == n % CPU_COUNT(&allowed))
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
}

START_TEST(objects_got_on_one_cpu_and_put_on_another_come_round)
{
	struct tapio_pool_options options = pool_options(64, 256);
	struct tapio_pool *pool;
	void *objects[257];
	uint32_t i, round;

	options.flags = all_flags[_i];
	pool = pool_new(&options);
	for (round = 0; round < 100; round++) {
		run_on(0);
		for (i = 0; i < 100; i++)
			objects[i] = get_ok(pool);
		all_differ(objects, 100);
		run_on(1);
		for (i = 0; i < 100; i++)
			put_ok(pool, objects[i]);
	}
	pool_audit(pool, 0);
	tapio_pool_close(pool);
}
END_TEST

START_TEST(a_full_list_spills_and_an_empty_one_refills)
{
	struct tapio_pool_options options = pool_options(64, 1024);
	struct tapio_pool_stats stats;
	struct tapio_pool *pool;
	void *objects[512];
	uint32_t i;

	options.cache = 16;
	pool = pool_new(&options);
	if (side_flavour()) {
		tapio_pool_close(pool);
		return; /* no lists: the other tests tell */
	}
	run_on(0);
	for (i = 0; i < 512; i++)
		objects[i] = get_ok(pool);
	for (i = 0; i < 512; i++)
		put_ok(pool, objects[i]);
	stats = pool_stats(pool);
	ck_assert_uint_eq(stats.refills, 512 / 8);
	ck_assert_uint_eq(stats.spills, (512 - 16) / 8);
	ck_assert_uint_eq(stats.cached, 16);
	ck_assert_uint_eq(stats.free, 1024);
	ck_assert_uint_eq(stats.in_use, 0);
	ck_assert_uint_ge(stats.min_free, 512);
	ck_assert_uint_lt(stats.min_free, 512 + 16);
	pool_audit(pool, 0);
	tapio_pool_close(pool);
}
END_TEST

/* A racing double put can leave two entries, and one of them a lie. */
START_TEST(an_entry_that_the_state_contradicts_is_dropped)
{
	struct tapio_pool_options options = pool_options(64, 64);
	struct tapio_shm_pool_list *list;
	struct tapio_pool *pool;
	void *a, *b, *c;
	int cpu;

	options.cache = 8;
	pool = pool_new(&options);
	if (side_flavour()) {
		tapio_pool_close(pool);
		return;
	}
	run_on(0);
	cpu = sched_getcpu();
	ck_assert_int_eq(tapio_pool_get(pool, &a), 0);
	list = tpi_pool_list(pool, (uint32_t)cpu);
	list->entries[list->height] = (uint32_t)tapio_pool_index(pool, a);
	list->height++;
	ck_assert_int_eq(tapio_pool_get(pool, &b), 0);
	ck_assert_ptr_ne(a, b);
	ck_assert_uint_eq(pool_stats(pool).stale_entries, 1);
	ck_assert_int_eq(tapio_pool_put(pool, a), 0);
	ck_assert_int_eq(tapio_pool_put(pool, b), 0);
	ck_assert_int_eq(tapio_pool_get(pool, &c), 0);
	ck_assert_int_eq(tapio_pool_put(pool, c), 0);
	pool_audit(pool, 0);
	tapio_pool_close(pool);
}
END_TEST

/* As between G3 and G4 of another thread's get: its name is ours, too. */
START_TEST(a_put_leaves_alone_what_another_thread_has_in_hands)
{
	struct tapio_pool_options options = pool_options(64, 64);
	struct tapio_pool *pool;
	void *objects[2];
	uint64_t state, *taken;

	options.flags = all_flags[_i];
	options.cache = 8;
	pool = pool_new(&options);
	objects[0] = get_ok(pool);
	objects[1] = get_ok(pool);
	taken = &pool->states[tapio_pool_index(pool, objects[1])];
	state = pool->held + TPI_PLACE_LIST;
	*taken = state;
	ck_assert_int_eq(tapio_pool_put(pool, objects[1]), -EALREADY);
	ck_assert_uint_eq(*taken, state);
	ck_assert_int_eq(tapio_pool_put_batch(pool, objects, 2), 1);
	ck_assert_uint_eq(*taken, state);
	ck_assert_uint_eq(pool_stats(pool).double_puts, 2);
	*taken = pool->held;
	put_ok(pool, objects[1]);
	pool_audit(pool, 0);
	tapio_pool_close(pool);
}
END_TEST

START_TEST(reclaim_brings_back_what_a_name_held)
{
	struct tapio_pool_options options = pool_options(64, 512);
	struct shared_pool s;
	struct tapio_pool *dead;
	void *object;
	uint32_t i;

	options.flags = all_flags[_i];
	s = pool_shared(&options);
	ck_assert_int_eq(tapio_pool_attach(&dead, s.memory, s.bytes, NULL), 0);
	ck_assert_int_eq(tapio_pool_reclaim(s.pool, tapio_pool_owner(s.pool)),
			 -EINVAL);
	ck_assert_int_eq(tapio_pool_reclaim(s.pool, 0), -EINVAL);
	for (i = 0; i < 100; i++) {
		ck_assert_int_eq(tapio_pool_get(dead, &object), 0);
		memset(object, 0xdd, 64);
	}
	ck_assert_int_eq(tapio_pool_get(s.pool, &object), 0);
	ck_assert_int_eq(tapio_pool_reclaim(s.pool, tapio_pool_owner(dead)),
			 100);
	ck_assert_int_eq(tapio_pool_reclaim(s.pool, tapio_pool_owner(dead)), 0);
	ck_assert_uint_eq(pool_stats(s.pool).reclaimed, 100);
	pool_audit(s.pool, 1);
	while (!tapio_pool_get(s.pool, &object))
		if (!(options.flags & TAPIO_POOL_DIRTY))
			ck_assert(all_are(object, 0, 64));
	tapio_pool_close(dead);
	pool_shared_end(&s);
}
END_TEST

START_TEST(attaching_finds_the_pool_at_another_address)
{
	struct tapio_pool_options options = pool_options(100, 1000);
	struct tapio_pool *pool;
	struct shared_pool s;
	void *object;
	int64_t index;

	options.owner = 4711;
	s = pool_shared(&options);
	options.owner = 4712;
	ck_assert_int_eq(tapio_pool_attach(&pool, s.twin, s.bytes, &options),
			 0);
	ck_assert_uint_eq(tapio_pool_owner(s.pool), 4711);
	ck_assert_uint_eq(tapio_pool_owner(pool), 4712);
	ck_assert_uint_eq(tapio_pool_count(pool), 1000);
	ck_assert_uint_eq(tapio_pool_object_bytes(pool), 100);
	ck_assert_int_eq(tapio_pool_get(s.pool, &object), 0);
	strcpy(object, "over there");
	index = tapio_pool_index(s.pool, object);
	ck_assert_int_ge(index, 0);
	ck_assert_ptr_null(tapio_pool_object(pool, 1000));
	object = tapio_pool_object(pool, (uint64_t)index);
	ck_assert_str_eq(object, "over there");
	ck_assert_int_eq(tapio_pool_adopt(pool, object, 4711), 0);
	ck_assert_int_eq(tapio_pool_put(pool, object), 0);
	pool_audit(pool, 0);
	tapio_pool_close(pool);
	pool_shared_end(&s);
}
END_TEST

START_TEST(memory_that_holds_no_pool_is_not_attached)
{
	struct tapio_pool_options options = pool_options(64, 64);
	size_t bytes = tapio_pool_bytes(&options);
	struct tapio_pool *pool, *other;
	struct shared_pool s;
	struct tapio_shm_pool *shm, good;
	uint32_t *words;
	uint32_t i;

	s = pool_shared(&options);
	pool = s.pool;
	shm = s.memory;
	good = *shm;
	ck_assert_int_eq(tapio_pool_attach(&other, shm, bytes - 1, NULL),
			 -EBADMSG);
	ck_assert_int_eq(tapio_pool_attach(&other, shm, 100, NULL), -EINVAL);
	shm->version++;
	ck_assert_int_eq(tapio_pool_attach(&other, shm, bytes, NULL),
			 -EPROTONOSUPPORT);
	*shm = good;
	shm->ready = 0;
	ck_assert_int_eq(tapio_pool_attach(&other, shm, bytes, NULL), -EAGAIN);
	*shm = good;
	/* Any constant that is another than it was is noticed. */
	words = s.memory;
	for (i = 4; i < offsetof(struct tapio_shm_pool, reserved) / 4; i++) {
		words[i] ^= 0x40000000;
		ck_assert_int_eq(tapio_pool_attach(&other, shm, bytes, NULL),
				 -EBADMSG);
		ck_assert_ptr_null(other);
		*shm = good;
	}
	shm->next_owner = UINT64_C(1) << 32;
	ck_assert_int_eq(tapio_pool_attach(&other, shm, bytes, NULL), -ENOSPC);
	ck_assert_ptr_eq(pool, s.pool);
	memset(s.memory, 0, bytes);
	ck_assert_int_eq(tapio_pool_attach(&other, shm, bytes, NULL), -EAGAIN);
	memset(s.memory, 0x55, bytes);
	ck_assert_int_eq(tapio_pool_attach(&other, shm, bytes, NULL), -EBADMSG);
	pool_shared_end(&s);
}
END_TEST

/* Whatever a peer writes: no access outside, no endless loop. */
START_TEST(memory_full_of_garbage_leads_nobody_out_of_it)
{
	struct tapio_pool_options options = pool_options(64, 300);
	struct shared_pool s;
	unsigned char *memory;
	size_t at, hot;
	void *object, *objects[20];
	int i, k, n, round;

	options.cpus = sysconf(_SC_NPROCESSORS_CONF);
	s = pool_shared(&options);
	memory = s.memory;
	hot = (size_t)(s.pool->objects - memory);
	srand(7);
	for (round = 0; round < 200; round++) {
		for (i = 0; i < 500; i++) {
			at = (size_t)rand() % hot;
			memory[at] = (unsigned char)rand();
		}
		for (i = 0; i < 100; i++) {
			if (!tapio_pool_get(s.pool, &object)) {
				ck_assert_int_ge(
					tapio_pool_index(s.pool, object), 0);
				memset(object, 1, 64);
			}
			object = tapio_pool_object(s.pool,
						   (uint64_t)rand() % 300);
			tapio_pool_put(s.pool, object);
			n = tapio_pool_get_batch(s.pool, objects, 20);
			for (k = 0; k < n; k++)
				memset(objects[k], 1, 64);
			if (n > 0)
				tapio_pool_put_batch(s.pool, objects,
						     (size_t)n);
		}
		tapio_pool_reclaim(s.pool, 1 + (uint32_t)round % 3 + 1);
		pool_stats(s.pool);
	}
	pool_shared_end(&s);
}
END_TEST

/* The thread sanitizer takes longer for a handler than for what it interrupts. */
#if defined(__SANITIZE_THREAD__)
#define HANDLER_US 5000
#else
#define HANDLER_US 50
#endif
#define HANDLER_RUNS 200

static struct tapio_pool *handler_pool;
static uint32_t handler_runs;
static int handler_errors;

static void handler(int number)
{
	void *objects[3];
	int i, n;

	(void)number;
	tpi_add_relaxed(&handler_runs, 1);
	for (n = 0; n < 3; n++)
		if (tapio_pool_get(handler_pool, &objects[n]))
			break;
	for (i = 0; i < n; i++)
		handler_errors += tapio_pool_put(handler_pool, objects[i]) != 0;
	n = tapio_pool_get_batch(handler_pool, objects, 3);
	if (n > 0)
		handler_errors += tapio_pool_put_batch(handler_pool, objects,
						       (size_t)n) != n;
}

START_TEST(a_signal_handler_may_get_and_put_in_the_middle_of_anything)
{
	struct tapio_pool_options options = pool_options(64, 128);
	struct itimerval timer = {.it_interval.tv_usec = HANDLER_US,
				  .it_value.tv_usec = HANDLER_US};
	struct sigaction action = {.sa_handler = handler};
	void *objects[40];
	uint32_t i, n;
	int batch;

	options.flags = all_flags[_i];
	options.cache = 8;
	handler_pool = pool_new(&options);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (tpi_load_relaxed(&handler_runs) < HANDLER_RUNS) {
		for (n = 0; n < 40; n++)
			if (tapio_pool_get(handler_pool, &objects[n]))
				break;
		for (i = 0; i < n; i++)
			if (tapio_pool_put(handler_pool, objects[i]))
				ck_abort_msg("put failed");
		batch = tapio_pool_get_batch(handler_pool, objects, 40);
		if (batch > 0 && tapio_pool_put_batch(handler_pool, objects,
						      (size_t)batch) != batch)
			ck_abort_msg("a batch was not put");
	}
	memset(&timer, 0, sizeof(timer));
	setitimer(ITIMER_REAL, &timer, NULL);
	ck_assert_int_eq(handler_errors, 0);
	pool_audit(handler_pool, 0);
	tapio_pool_close(handler_pool);
}
END_TEST

START_TEST(nodes_are_used_nearest_first_and_then_the_others)
{
	struct tapio_pool_options options = pool_options(64, 4096);
	struct tapio_pool *pool;
	void *objects[4097];
	int64_t index;
	uint32_t node, n;
	int cpu;

	options.cpus = (uint32_t)sysconf(_SC_NPROCESSORS_CONF);
	options.nodes = 2;
	options.flags = TAPIO_POOL_SHARED;
	if (options.cpus < 2)
		return;
	pool = pool_new(&options);
	run_on(1);
	cpu = sched_getcpu();
	node = pool->node_of_cpu[cpu];
	n = get_all(pool, objects);
	ck_assert_uint_eq(n, 4096);
	index = tapio_pool_index(pool, objects[0]);
	ck_assert_int_eq(index / 2048, node);
	index = tapio_pool_index(pool, objects[2047]);
	ck_assert_int_eq(index / 2048, node);
	index = tapio_pool_index(pool, objects[2048]);
	ck_assert_int_eq(index / 2048, !node);
	while (n)
		put_ok(pool, objects[--n]);
	ck_assert_int_eq(pool->shm->depots[0].free, 2048);
	ck_assert_int_eq(pool->shm->depots[1].free, 2048);
	pool_audit(pool, 0);
	tapio_pool_close(pool);
}
END_TEST

/* ---- batches ---------------------------------------------------------------------- */

/* Everything in batches of `step`. Returns how many. */
static uint32_t get_all_in_batches(struct tapio_pool *pool, void **objects,
				   uint32_t step)
{
	uint32_t n = 0;
	int got;

	while ((got = tapio_pool_get_batch(pool, objects + n, step)) > 0)
		n += (uint32_t)got;
	ck_assert_int_eq(got, -EAGAIN);
	return n;
}

START_TEST(batches_get_every_object_once_and_give_all_back)
{
	static const uint32_t steps[] = {1, 3, 32, 64, 65, 500};
	struct tapio_pool_options options = pool_options(40, 1000);
	struct tapio_pool *pool;
	void *objects[1600];
	uint32_t n, s, round, i, m;

	options.flags = all_flags[_i];
	options.cache = 40;
	run_on(0);
	pool = pool_new(&options);
	for (s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
		for (round = 0; round < 2; round++) {
			n = get_all_in_batches(pool, objects, steps[s]);
			ck_assert_uint_eq(n, 1000);
			for (i = 0; i < n; i++)
				memset(objects[i], 0xee, 40);
			pool_audit(pool, n);
			all_differ(objects, n);
			for (i = 0; i < n; i += m) {
				m = n - i < steps[s] ? n - i : steps[s];
				ck_assert_int_eq(tapio_pool_put_batch(
							 pool, objects + i, m),
						 (int)m);
			}
			pool_audit(pool, 0);
		}
	ck_assert_int_eq(tapio_pool_get_batch(pool, objects, 1600), 1000);
	for (i = 0; i < 1000; i++)
		if (!(options.flags & TAPIO_POOL_DIRTY))
			ck_assert(all_are(objects[i], 0, 40));
	ck_assert_int_eq(tapio_pool_put_batch(pool, objects, 1000), 1000);
	ck_assert_int_eq(tapio_pool_get_batch(pool, objects, 0), 0);
	ck_assert_int_eq(tapio_pool_put_batch(pool, objects, 0), 0);
	pool_audit(pool, 0);
	tapio_pool_close(pool);
}
END_TEST

/* The section and the depot each refuse: `room` is what the list has room for. */
START_TEST(a_batch_ends_at_the_first_object_that_is_refused)
{
	static const uint32_t rooms[] = {0, 2, 5, 8, 40};
	struct tapio_pool_options options = pool_options(64, 200);
	uint32_t r, bad, i, what;
	void *objects[60], *batch[8], *was;
	struct tapio_pool *pool;

	options.flags = all_flags[_i];
	options.cache = 40;
	run_on(0);
	for (r = 0; r < 5; r++)
		for (bad = 0; bad < 8; bad++)
			for (what = 0; what < 3; what++) {
				pool = pool_new(&options);
				ck_assert_int_eq(
					tapio_pool_get_batch(pool, objects, 60),
					60);
				for (i = 0; i < 40 - rooms[r]; i++)
					put_ok(pool, objects[8 + i]);
				memcpy(batch, objects, sizeof(batch));
				was = objects[bad];
				/* None, one that is free, one that comes twice. */
				batch[bad] = what == 0   ? (void *)&options
					     : what == 1 ? objects[8]
							 : batch[0];
				if (what == 1 && rooms[r] == 40)
					put_ok(pool, objects[8]);
				if (what == 2 && !bad)
					put_ok(pool, objects[0]);
				i = (uint32_t)(40 - rooms[r]) +
				    (what == 1 && rooms[r] == 40) +
				    (what == 2 && !bad);
				ck_assert_int_eq(
					tapio_pool_put_batch(pool, batch, 8),
					bad    ? (int)bad
					: what ? -EALREADY
					       : -EINVAL);
				pool_audit(pool, 60 - i - bad);
				/* The others are the caller's as before. */
				batch[bad] = was;
				if (what != 2 || bad)
					put_ok(pool, was);
				for (i = bad + 1; i < 8; i++)
					put_ok(pool, batch[i]);
				tapio_pool_close(pool);
			}
}
END_TEST

START_TEST(a_batch_uses_the_list_and_then_the_depot)
{
	struct tapio_pool_options options = pool_options(64, 1024);
	struct tapio_pool *pool;
	void *objects[512], *again[512];
	struct tapio_pool_stats stats;

	options.cache = 16;
	pool = pool_new(&options);
	if (side_flavour()) {
		tapio_pool_close(pool);
		return;
	}
	run_on(0);
	ck_assert_int_eq(tapio_pool_get_batch(pool, objects, 512), 512);
	ck_assert_uint_eq(pool_stats(pool).refills, 512 / 64);
	ck_assert_int_eq(tapio_pool_put_batch(pool, objects, 10), 10);
	ck_assert_uint_eq(pool_stats(pool).cached, 10);
	ck_assert_int_eq(tapio_pool_put_batch(pool, objects + 10, 502), 502);
	stats = pool_stats(pool);
	ck_assert_uint_eq(stats.cached, 16);
	ck_assert_uint_eq(stats.free, 1024);
	ck_assert_uint_eq(stats.spills, 8);
	/* The last one in is the first one out. */
	ck_assert_int_eq(tapio_pool_get_batch(pool, again, 16), 16);
	ck_assert_ptr_eq(again[0], objects[15]);
	ck_assert_ptr_eq(again[15], objects[0]);
	ck_assert_uint_eq(pool_stats(pool).refills, 512 / 64);
	ck_assert_int_eq(tapio_pool_put_batch(pool, again, 16), 16);
	pool_audit(pool, 0);
	tapio_pool_close(pool);
}
END_TEST

/* Of two entries of a racing double put the one that lies is dropped, here too. */
START_TEST(a_batch_drops_entries_that_the_state_contradicts)
{
	struct tapio_pool_options options = pool_options(64, 64);
	struct tapio_shm_pool_list *list;
	void *objects[8], *again[8];
	struct tapio_pool *pool;
	int i;

	options.cache = 16;
	pool = pool_new(&options);
	if (side_flavour()) {
		tapio_pool_close(pool);
		return;
	}
	run_on(0);
	ck_assert_int_eq(tapio_pool_get_batch(pool, objects, 8), 8);
	ck_assert_int_eq(tapio_pool_put_batch(pool, objects, 4), 4);
	list = tpi_pool_list(pool, (uint32_t)sched_getcpu());
	list->entries[1] = (uint32_t)tapio_pool_index(pool, objects[7]);
	ck_assert_int_eq(tapio_pool_get_batch(pool, again, 3), 3);
	for (i = 0; i < 3; i++)
		ck_assert_ptr_ne(again[i], objects[7]);
	ck_assert_uint_eq(pool_stats(pool).stale_entries, 1);
	tapio_pool_close(pool);
}
END_TEST

START_TEST(statistics_fill_what_the_caller_knows)
{
	struct tapio_pool_options options = pool_options(64, 10);
	struct tapio_pool *pool = pool_new(&options);
	struct tapio_pool_stats stats = {.size = 8};

	ck_assert_int_eq(tapio_pool_stats_read(pool, &stats), -EINVAL);
	stats.size = 16;
	stats.in_use = 12345;
	ck_assert_int_eq(tapio_pool_stats_read(pool, &stats), 0);
	ck_assert_uint_eq(stats.allocated, 10);
	ck_assert_uint_eq(stats.free, 10);
	ck_assert_uint_eq(stats.in_use, 12345);
	tapio_pool_close(pool);
	tapio_pool_close(NULL);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("pool");
	const char *reason;

	printf("rseq %s: ", tpi_rseq_word(tpi_rseq_selftest(&reason)));
	puts(reason);
	tcase_add_loop_test(tcase, options_that_make_no_pool_are_refused, 0,
			    12);
	tcase_add_test(tcase, memory_that_does_not_fit_is_refused);
	tcase_add_loop_test(tcase,
			    every_object_is_got_once_and_then_it_is_exhausted,
			    0, FLAGS);
	tcase_add_test(tcase, objects_are_inside_the_memory_and_aligned);
	tcase_add_loop_test(tcase, a_double_put_is_refused_and_changes_nothing,
			    0, CHECKED);
	tcase_add_loop_test(tcase, what_is_no_object_of_the_pool_is_refused, 0,
			    FLAGS);
	tcase_add_loop_test(
		tcase, an_object_of_another_name_is_refused_until_it_is_given,
		0, CHECKED);
	tcase_add_loop_test(tcase, of_two_puts_at_once_only_one_succeeds, 0, 2);
	tcase_add_loop_test(tcase, nothing_of_a_previous_owner_is_left, 0, 6);
	tcase_add_loop_test(tcase, reset_says_what_an_object_starts_with, 0,
			    FLAGS);
	tcase_add_loop_test(
		tcase, objects_got_on_one_cpu_and_put_on_another_come_round, 0,
		FLAGS);
	tcase_add_test(tcase, a_full_list_spills_and_an_empty_one_refills);
	tcase_add_test(tcase, an_entry_that_the_state_contradicts_is_dropped);
	tcase_add_loop_test(tcase,
			    a_put_leaves_alone_what_another_thread_has_in_hands,
			    0, CHECKED);
	tcase_add_loop_test(tcase, reclaim_brings_back_what_a_name_held, 0,
			    FLAGS);
	tcase_add_test(tcase, attaching_finds_the_pool_at_another_address);
	tcase_add_test(tcase, memory_that_holds_no_pool_is_not_attached);
	tcase_add_test(tcase, memory_full_of_garbage_leads_nobody_out_of_it);
	tcase_add_loop_test(
		tcase,
		a_signal_handler_may_get_and_put_in_the_middle_of_anything, 0,
		FLAGS);
	tcase_add_test(tcase, nodes_are_used_nearest_first_and_then_the_others);
	tcase_add_loop_test(tcase,
			    batches_get_every_object_once_and_give_all_back, 0,
			    FLAGS);
	tcase_add_loop_test(tcase,
			    a_batch_ends_at_the_first_object_that_is_refused, 0,
			    CHECKED);
	tcase_add_test(tcase, a_batch_uses_the_list_and_then_the_depot);
	tcase_add_test(tcase, a_batch_drops_entries_that_the_state_contradicts);
	tcase_add_test(tcase, statistics_fill_what_the_caller_knows);
	return check_run_case("pool", tcase);
}
