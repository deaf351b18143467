/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tapio_ring, with many at once: 1 to 8 producers and 1 to 8 consumers, in
 * threads and in processes, capacities 1 to 65536, single values, batches and
 * waiting mixed. Every value is got exactly once, those of one producer in their
 * order, and the ring's own counts agree.
 *
 * And two games of tokens, in which a put that is refused in a ring with room, or
 * a get in one with values, shows at once: it cannot be called bad luck.
 *
 * TAPIO_LONG=1 plays every pair of counts on every capacity, and longer.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapio/ring.h>

#include "lib/base/atomic.h"
#include "tests/check_main.h"

#define WORKERS_MAX 8
#define BATCH       32
#define MS          INT64_C(1000000)

#ifdef __SANITIZE_THREAD__
#define SCALE 8 /* a thread sanitizer's second is a long one */
#else
#define SCALE 1
#endif

struct game {
	uint32_t producers;
	uint32_t consumers;
	uint32_t capacity;
	bool processes;
	uint64_t each; /* values of one producer */
	size_t ring_bytes;
	int memfd;
	/* Shared by all workers: */
	struct tapio_ring *ring; /* a thread's handle, since processes attach */
	uint64_t taken;
	uint32_t held;     /* consumers wait for the ring to fill first */
	uint32_t failures; /* bits of what went wrong */
	uint8_t *seen;     /* times that value (producer, i) was got */
};

#define LOST_ORDER 1u
#define STRANGE    2u /* a value that was never put */
#define BAD_RESULT 4u

struct worker {
	struct game *game;
	uint32_t number;
	pthread_t thread;
	pid_t pid;
};

static bool is_long(void)
{
	const char *value = getenv("TAPIO_LONG");

	return value && !strcmp(value, "1");
}

static void *share(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

static uint64_t value_of(uint32_t producer, uint64_t i)
{
	return (uint64_t)producer << 40 | i;
}

/* ---- producers ----------------------------------------------------------- */

/* Puts up to a batch from `i` in the way of this worker. How many, or -errno. */
static int put_some(struct tapio_ring *ring, const struct worker *worker,
		    uint64_t i)
{
	const struct game *game = worker->game;
	uint64_t values[BATCH];
	uint64_t n = 1 + (i * 7 + worker->number) % BATCH;
	int err;

	if (worker->number % 3 == 0) {
		err = tapio_ring_try_put(ring, value_of(worker->number, i));
		return err ? err : 1;
	}
	if (worker->number % 3 == 1) {
		err = tapio_ring_put(ring, value_of(worker->number, i),
				     TAPIO_FOREVER);
		return err ? err : 1;
	}
	if (n > game->each - i)
		n = game->each - i;
	for (uint64_t j = 0; j < n; j++)
		values[j] = value_of(worker->number, i + j);
	return tapio_ring_put_batch(ring, values, n, 2 * MS);
}

static void produce(struct tapio_ring *ring, const struct worker *worker)
{
	struct game *game = worker->game;
	uint64_t i = 0;
	int n;

	while (i < game->each) {
		n = put_some(ring, worker, i);
		if (n > 0) {
			i += (uint64_t)n;
		} else if (n == -EAGAIN || n == -ETIMEDOUT) {
			tpi_store_relaxed(&game->held, 0); /* it is full */
			sched_yield();
		} else {
			tpi_or_relaxed(&game->failures, BAD_RESULT);
			break;
		}
	}
	tpi_store_relaxed(&game->held, 0);
}

/* ---- consumers ----------------------------------------------------------- */

static int get_some(struct tapio_ring *ring, const struct worker *worker,
		    uint64_t values[BATCH])
{
	int err;

	if (worker->number % 3 == 0) {
		err = tapio_ring_try_get(ring, values);
		return err ? err : 1;
	}
	if (worker->number % 3 == 1) {
		err = tapio_ring_get(ring, values, 5 * MS);
		return err ? err : 1;
	}
	return tapio_ring_get_batch(ring, values, 1 + worker->number % BATCH,
				    5 * MS);
}

static void account(struct game *game, uint64_t value, uint64_t *last)
{
	uint64_t producer = value >> 40;
	uint64_t i = value & ((UINT64_C(1) << 40) - 1);

	if (producer >= game->producers || i >= game->each) {
		tpi_or_relaxed(&game->failures, STRANGE);
		return;
	}
	if (i + 1 <= last[producer])
		tpi_or_relaxed(&game->failures, LOST_ORDER);
	last[producer] = i + 1;
	tpi_add_relaxed(&game->seen[producer * game->each + i], 1);
	tpi_add_relaxed(&game->taken, 1);
}

static void consume(struct tapio_ring *ring, const struct worker *worker)
{
	struct game *game = worker->game;
	uint64_t total = game->each * game->producers;
	uint64_t last[WORKERS_MAX] = {0};
	uint64_t values[BATCH];
	int n;

	while (tpi_load_relaxed(&game->held))
		sched_yield();
	while (tpi_load_relaxed(&game->taken) < total) {
		n = get_some(ring, worker, values);
		if (n == -EAGAIN || n == -ETIMEDOUT) {
			sched_yield();
		} else if (n < 0) {
			tpi_or_relaxed(&game->failures, BAD_RESULT);
			break;
		}
		for (int i = 0; i < n; i++)
			account(game, values[i], last);
	}
}

/* ---- the game ------------------------------------------------------------ */

static void work(struct tapio_ring *ring, const struct worker *worker,
		 bool producer)
{
	if (producer)
		produce(ring, worker);
	else
		consume(ring, worker);
}

static void *producer_thread(void *argument)
{
	const struct worker *worker = argument;

	work(worker->game->ring, worker, true);
	return NULL;
}

static void *consumer_thread(void *argument)
{
	const struct worker *worker = argument;

	work(worker->game->ring, worker, false);
	return NULL;
}

/* Maps and attaches by itself, at an address of its own. */
static int process(const struct worker *worker, bool producer)
{
	const struct game *game = worker->game;
	struct tapio_ring *ring;
	void *memory = mmap(NULL, game->ring_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED, game->memfd, 0);

	if (memory == MAP_FAILED ||
	    tapio_ring_attach(&ring, memory, game->ring_bytes))
		return 1;
	work(ring, worker, producer);
	tapio_ring_close(ring);
	return 0;
}

static void start(struct worker *worker, bool producer)
{
	if (!worker->game->processes) {
		ck_assert_int_eq(pthread_create(&worker->thread, NULL,
						producer ? producer_thread
							 : consumer_thread,
						worker),
				 0);
		return;
	}
	worker->pid = fork();
	ck_assert_int_ge(worker->pid, 0);
	if (worker->pid == 0)
		_exit(process(worker, producer));
}

static void finish(struct worker *worker)
{
	int status = 0;

	if (!worker->game->processes) {
		pthread_join(worker->thread, NULL);
		return;
	}
	ck_assert_int_eq(waitpid(worker->pid, &status, 0), worker->pid);
	ck_assert_int_eq(status, 0);
}

static void judge(const struct game *game)
{
	struct tapio_ring_stats stats = {.size = sizeof(stats)};
	uint64_t total = game->each * game->producers;
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < total; i++)
		wrong += game->seen[i] != 1;
	ck_assert_uint_eq(game->failures, 0);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_int_eq(tapio_ring_stats_read(game->ring, &stats), 0);
	ck_assert_uint_eq(stats.puts, total);
	ck_assert_uint_eq(stats.gets, total);
	ck_assert_uint_eq(stats.count, 0);
	ck_assert_uint_ge(stats.high_water, 1);
	ck_assert_uint_le(stats.high_water, game->capacity);
}

static void play(uint32_t producers, uint32_t consumers, uint32_t capacity,
		 bool processes, uint64_t total)
{
	struct worker workers[2 * WORKERS_MAX] = {{0}};
	struct game *game = share(sizeof(*game));
	void *memory;
	uint32_t i;

	game->producers = producers;
	game->consumers = consumers;
	game->capacity = capacity;
	game->processes = processes;
	game->each = total / producers + 1;
	game->seen = share(game->each * producers);
	game->held = (producers + consumers) % 2;
	game->ring_bytes = tapio_ring_bytes(capacity);
	game->memfd = memfd_create("ring", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(game->memfd, (off_t)game->ring_bytes), 0);
	memory = mmap(NULL, game->ring_bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED, game->memfd, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	ck_assert_int_eq(tapio_ring_init(&game->ring, memory, game->ring_bytes,
					 capacity),
			 0);
	for (i = 0; i < producers + consumers; i++) {
		workers[i].game = game;
		workers[i].number = i < producers ? i : i - producers;
		start(&workers[i], i < producers);
	}
	for (i = 0; i < producers + consumers; i++)
		finish(&workers[i]);
	judge(game);
	tapio_ring_close(game->ring);
	munmap(memory, game->ring_bytes);
	close(game->memfd);
	munmap(game->seen, game->each * producers);
	munmap(game, sizeof(*game));
}

static const uint32_t some_capacities[] = {1, 2, 8, 256, 65536};

static void play_some(bool processes)
{
	static const uint32_t pairs[][2] = {{1, 1}, {1, 8}, {8, 1},
					    {2, 2}, {3, 5}, {8, 8}};

	for (size_t c = 0; c < 5; c++)
		for (size_t p = 0; p < 6; p++)
			play(pairs[p][0], pairs[p][1], some_capacities[c],
			     processes,
			     (some_capacities[c] > 20000 ? 150000 : 30000) /
				     SCALE);
}

static void play_all(bool processes)
{
	for (uint32_t capacity = 1; capacity <= 65536; capacity *= 2)
		for (uint32_t p = 1; p <= WORKERS_MAX; p++)
			for (uint32_t c = 1; c <= WORKERS_MAX; c++)
				play(p, c, capacity, processes, 400000 / SCALE);
}

START_TEST(threads_get_every_value_once_and_in_order)
{
	if (is_long())
		play_all(false);
	else
		play_some(false);
}
END_TEST

START_TEST(processes_get_every_value_once_and_in_order)
{
	if (is_long())
		play_all(true);
	else
		play_some(true);
}
END_TEST

/* ---- tokens -------------------------------------------------------------- */

struct tokens {
	struct tapio_ring *ring;
	uint64_t turns;
	uint32_t refused; /* puts that were, or gets */
};

/*
 * As many tokens as the ring holds: a thread that has one finds room for it.
 * Gets may find the ring empty.
 */
static void *never_full(void *argument)
{
	struct tokens *tokens = argument;
	uint64_t token;

	for (uint64_t i = 0; i < tokens->turns; i++) {
		if (tapio_ring_try_get(tokens->ring, &token)) {
			sched_yield();
			continue;
		}
		if (tapio_ring_try_put(tokens->ring, token)) {
			tpi_add_relaxed(&tokens->refused, 1);
			return NULL;
		}
	}
	return NULL;
}

/*
 * As many tokens as players, each of whom holds one at most: there is always one
 * to be got. Puts always find room.
 */
static void *never_empty(void *argument)
{
	struct tokens *tokens = argument;
	uint64_t token;

	for (uint64_t i = 0; i < tokens->turns; i++) {
		if (tapio_ring_try_get(tokens->ring, &token) ||
		    tapio_ring_try_put(tokens->ring, token)) {
			tpi_add_relaxed(&tokens->refused, 1);
			return NULL;
		}
	}
	return NULL;
}

static void play_tokens(void *(*player)(void *), uint32_t players,
			uint32_t capacity)
{
	struct tokens tokens = {
		.turns = (is_long() ? 20000000 : 500000) / SCALE,
	};
	pthread_t threads[WORKERS_MAX];
	uint64_t token, sum = 0;
	uint32_t i;

	ck_assert_int_eq(tapio_ring_create(&tokens.ring, capacity), 0);
	for (i = 0; i < capacity; i++)
		ck_assert_int_eq(tapio_ring_try_put(tokens.ring, i), 0);
	for (i = 0; i < players; i++)
		pthread_create(&threads[i], NULL, player, &tokens);
	for (i = 0; i < players; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(tokens.refused, 0);
	ck_assert_uint_eq(tapio_ring_size(tokens.ring), capacity);
	while (tapio_ring_try_get(tokens.ring, &token) == 0)
		sum += token;
	ck_assert_uint_eq(sum, (uint64_t)capacity * (capacity - 1) / 2);
	tapio_ring_close(tokens.ring);
}

START_TEST(a_put_is_never_refused_in_a_ring_with_room)
{
	static const uint32_t capacity[] = {1, 2, 4, 64};

	play_tokens(never_full, 4, capacity[_i]);
}
END_TEST

START_TEST(a_get_is_never_refused_in_a_ring_with_values)
{
	static const uint32_t capacity[] = {1, 2, 4, 8};
	static const uint32_t players[] = {1, 2, 4, 8};

	play_tokens(never_empty, players[_i], capacity[_i]);
}
END_TEST

/* ---- ownership ----------------------------------------------------------- */

#define OBJECTS 16
#define FIELDS  8

/* Plain words: only the thread that got the object's number owns them. */
struct objects {
	struct tapio_ring *free;
	struct tapio_ring *full;
	uint64_t turns;
	uint64_t words[OBJECTS][FIELDS];
	uint32_t torn;
};

static void *fill_objects(void *argument)
{
	struct objects *objects = argument;
	uint64_t object;

	for (uint64_t i = 0; i < objects->turns; i++) {
		tapio_ring_get(objects->free, &object, TAPIO_FOREVER);
		for (int f = 0; f < FIELDS; f++)
			objects->words[object][f] = i + (uint64_t)f;
		tapio_ring_put(objects->full, object, TAPIO_FOREVER);
	}
	return NULL;
}

static void *read_objects(void *argument)
{
	struct objects *objects = argument;
	uint64_t object;

	for (uint64_t i = 0; i < objects->turns; i++) {
		uint64_t *words;

		tapio_ring_get(objects->full, &object, TAPIO_FOREVER);
		words = objects->words[object];
		for (int f = 1; f < FIELDS; f++)
			if (words[f] != words[0] + (uint64_t)f)
				tpi_add_relaxed(&objects->torn, 1);
		memset(words, 0xff, sizeof(objects->words[0]));
		tapio_ring_put(objects->free, object, TAPIO_FOREVER);
	}
	return NULL;
}

/* The thread sanitizer sees here whether a put releases and a get acquires. */
START_TEST(what_was_written_before_a_put_is_there_after_the_get)
{
	static struct objects objects;
	pthread_t threads[4];

	objects.turns = (is_long() ? 10000000 : 100000) / SCALE;
	ck_assert_int_eq(tapio_ring_create(&objects.free, OBJECTS), 0);
	ck_assert_int_eq(tapio_ring_create(&objects.full, OBJECTS / 4), 0);
	for (uint64_t i = 0; i < OBJECTS; i++)
		tapio_ring_try_put(objects.free, i);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL,
			       i % 2 ? read_objects : fill_objects, &objects);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(objects.torn, 0);
	ck_assert_uint_eq(tapio_ring_size(objects.free), OBJECTS);
	tapio_ring_close(objects.free);
	tapio_ring_close(objects.full);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring_stress");
	TCase *many = tcase_create("many");
	TCase *tokens = tcase_create("tokens");

	tcase_set_timeout(many, is_long() ? 600 : 30);
	tcase_set_timeout(tokens, is_long() ? 600 : 30);
	tcase_add_test(many, threads_get_every_value_once_and_in_order);
#ifndef __SANITIZE_THREAD__ /* which sees nothing between processes */
	tcase_add_test(many, processes_get_every_value_once_and_in_order);
#endif
	tcase_add_loop_test(tokens, a_put_is_never_refused_in_a_ring_with_room,
			    0, 4);
	tcase_add_loop_test(tokens,
			    a_get_is_never_refused_in_a_ring_with_values, 0, 4);
	tcase_add_test(tokens,
		       what_was_written_before_a_put_is_there_after_the_get);
	suite_add_tcase(suite, many);
	suite_add_tcase(suite, tokens);
	return check_run(suite);
}
