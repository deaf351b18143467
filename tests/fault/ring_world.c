/* SPDX-License-Identifier: Apache-2.0 */
/* See ring_world.h. */
#include "ring_world.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"

#define WAIT_NS INT64_C(50000000)

static void *share(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

struct world *world_new(uint32_t capacity, uint32_t workers_max, uint64_t limit)
{
	struct world *world = share(sizeof(*world));

	world->workers_max = workers_max;
	world->limit = limit;
	world->bytes[0] = workers_max * sizeof(struct record);
	world->bytes[1] = workers_max * limit;
	world->bytes[2] = tapio_ring_bytes(capacity);
	world->records = share(world->bytes[0]);
	world->seen = share(world->bytes[1]);
	world->memory = share(world->bytes[2]);
	ck_assert_int_eq(tapio_ring_init(&world->ring, world->memory,
					 world->bytes[2], capacity),
			 0);
	return world;
}

void world_free(struct world *world)
{
	tapio_ring_close(world->ring);
	munmap(world->records, world->bytes[0]);
	munmap(world->seen, world->bytes[1]);
	munmap(world->memory, world->bytes[2]);
	munmap(world, sizeof(*world));
}

static void give_up(struct world *world)
{
	tpi_store_relaxed(&world->failures, 1);
	_exit(3);
}

/* ---- producers ----------------------------------------------------------- */

static int put(struct tapio_ring *ring, enum style style, const uint64_t *value,
	       uint64_t count)
{
	int err;

	if (style == BATCHES)
		return tapio_ring_put_batch(ring, value, count, WAIT_NS);
	if (style == WAITS)
		err = tapio_ring_put(ring, *value, TAPIO_FOREVER);
	else
		err = tapio_ring_try_put(ring, *value);
	return err ? err : 1;
}

static void produce(struct world *world, uint32_t number, enum style style)
{
	struct record *record = &world->records[number];
	uint64_t values[RING_WORLD_BATCH];
	uint64_t i = 0, n;
	int done;

	while (i < world->limit && !tpi_load_relaxed(&world->quit)) {
		n = style == BATCHES ? 1 + i % RING_WORLD_BATCH : 1;
		if (n > world->limit - i)
			n = world->limit - i;
		for (uint64_t j = 0; j < n; j++)
			values[j] = (uint64_t)number << 32 | (i + j);
		tpi_store_release(&record->begun, i + n);
		done = put(world->ring, style, values, n);
		if (done > 0)
			i += (uint64_t)done;
		else if (done == -EAGAIN || done == -ETIMEDOUT)
			sched_yield();
		else
			give_up(world);
		tpi_store_release(&record->done, i);
		tpi_store_release(&record->begun, i);
	}
}

/* ---- consumers ----------------------------------------------------------- */

static int get(struct tapio_ring *ring, enum style style, uint64_t *values)
{
	int err;

	if (style == BATCHES)
		return tapio_ring_get_batch(ring, values, RING_WORLD_BATCH,
					    WAIT_NS);
	if (style == WAITS)
		err = tapio_ring_get(ring, values, WAIT_NS);
	else
		err = tapio_ring_try_get(ring, values);
	return err ? err : 1;
}

static void account(struct world *world, uint64_t value, uint64_t *last)
{
	uint64_t number = value >> 32;
	uint64_t i = value & UINT32_MAX;

	if (number >= world->workers_max || i >= world->limit ||
	    i < last[number] ||
	    i >= tpi_load_acquire(&world->records[number].begun))
		give_up(world);
	last[number] = i + 1;
	tpi_add_relaxed(&world->seen[number * world->limit + i], 1);
}

static void consume(struct world *world, uint32_t number, enum style style)
{
	struct record *record = &world->records[number];
	uint64_t *last = calloc(world->workers_max, sizeof(*last));
	uint64_t values[RING_WORLD_BATCH];
	bool closing;
	int n;

	do {
		closing = tpi_load_acquire(&world->closing);
		tpi_store_release(&record->asked,
				  style == BATCHES ? RING_WORLD_BATCH : 1);
		n = get(world->ring, style, values);
		for (int i = 0; i < n; i++)
			account(world, values[i], last);
		tpi_store_release(&record->asked, 0);
		if (n < 0) {
			if (n != -EAGAIN && n != -ETIMEDOUT)
				give_up(world);
			sched_yield();
		}
	} while (n > 0 || !closing);
	free(last);
}

/* ---- workers ------------------------------------------------------------- */

pid_t world_start(struct world *world, enum role role, enum style style,
		  void (*prepare)(const void *argument), const void *argument)
{
	uint32_t number = world->workers++;
	pid_t pid;

	ck_assert_uint_lt(number, world->workers_max);
	world->records[number].role = role;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!prepare && !tpi_load_acquire(&world->go[role]))
		usleep(100);
	if (prepare)
		prepare(argument);
	if (role == PRODUCER)
		produce(world, number, style);
	else
		consume(world, number, style);
	_exit(0);
}

void world_go(struct world *world, enum role role)
{
	tpi_store_release(&world->go[role], 1);
}

static struct tapio_ring_stats stats_of(const struct world *world)
{
	struct tapio_ring_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(tapio_ring_stats_read(world->ring, &stats), 0);
	return stats;
}

void world_until_asleep(struct world *world, uint64_t sleeps)
{
	for (int i = 0; i < 60000 && stats_of(world).sleeps < sleeps; i++)
		usleep(1000);
	ck_assert_uint_ge(stats_of(world).sleeps, sleeps);
}

void world_until_got(struct world *world, uint64_t more)
{
	uint64_t gets = stats_of(world).gets + more;

	for (int i = 0; i < 600000 && stats_of(world).gets < gets; i++)
		usleep(100);
	ck_assert_uint_ge(stats_of(world).gets, gets);
}

void world_stop(struct world *world, enum role role)
{
	tpi_store_release(role == PRODUCER ? &world->quit : &world->closing, 1);
}

void world_join(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

/* ---- judging ------------------------------------------------------------- */

struct cut world_cut(const struct world *world)
{
	struct cut cut = {0, 0};

	for (uint32_t i = 0; i < world->workers; i++) {
		cut.puts += world->records[i].begun - world->records[i].done;
		cut.gets += world->records[i].asked;
	}
	return cut;
}

/* Every value was got once at most. How many were: account() takes none that was not
 * begun. */
static uint64_t count_seen(const struct world *world, uint64_t *missing)
{
	uint64_t seen = 0;

	for (uint32_t w = 0; w < world->workers; w++)
		for (uint64_t i = 0; i < world->records[w].begun; i++) {
			uint8_t times = world->seen[w * world->limit + i];

			if (times > 1)
				ck_abort_msg("value %u/%lu was got %u times", w,
					     (unsigned long)i, times);
			seen += times;
			*missing += !times && i < world->records[w].done;
		}
	return seen;
}

static void judge_cut(uint64_t number, int wanted)
{
	if (wanted >= 0)
		ck_assert_uint_eq(number, (uint64_t)wanted);
	else
		ck_assert_uint_ge(number, (uint64_t)(-wanted - 1));
}

void world_judge(struct world *world, int put, int lost)
{
	struct tapio_ring_stats stats = stats_of(world);
	struct cut cut = world_cut(world);
	uint64_t done = 0, missing = 0, seen;

	for (uint32_t w = 0; w < world->workers; w++)
		done += world->records[w].done;
	seen = count_seen(world, &missing);
	ck_assert_uint_eq(world->failures, 0);
	ck_assert_uint_eq(stats.count, 0);
	ck_assert_uint_eq(stats.gets, stats.puts);
	ck_assert_uint_ge(stats.puts, done);
	ck_assert_uint_le(stats.puts, done + cut.puts);
	ck_assert_uint_ge(stats.gets, seen);
	ck_assert_uint_le(stats.gets, seen + cut.gets);
	ck_assert_uint_le(missing, stats.gets - seen);
	judge_cut(stats.puts - done, put);
	judge_cut(stats.gets - seen, lost);
}
