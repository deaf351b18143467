/* SPDX-License-Identifier: Apache-2.0 */
/* See honest.h. */
#include "tests/hostile/honest.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "lib/base/atomic.h"

#define TAG TAPIO_TAG(100, 5)

/* Numbers of events up to here: as much memory as is used. */
#define NUMBERS_MAX (UINT64_C(1) << 33)
#define PAYLOAD_MAX 160
#define VIEWS       64
/* A consumer that gets nothing for so long although events are there fails. */
#define PATIENCE_S 300

struct event {
	uint64_t pair; /* whose it is */
	uint64_t number;
	uint64_t sum;
	uint8_t payload[PAYLOAD_MAX];
};
#define HEAD_BYTES offsetof(struct event, payload)

/* ---- events --------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x7fb5d329728ea185);
	x ^= x >> 27;
	return x * UINT64_C(0x81dadef4bc2dd44d);
}

/* Fills in all but the sum, and returns the sum. */
static uint64_t fill(struct event *event, uint64_t pair, uint64_t number,
		     uint32_t *length)
{
	uint64_t word = mix(mix(pair) + number + 1), sum = word;
	uint32_t words = (uint32_t)(word % (PAYLOAD_MAX / 8 + 1));

	for (uint32_t i = 0; i < words; i++) {
		word += UINT64_C(0x9e3779b97f4a7c15);
		sum = (sum << 7 | sum >> 57) ^ word;
		memcpy(event->payload + 8 * i, &word, 8);
	}
	event->pair = pair;
	event->number = number;
	*length = (uint32_t)HEAD_BYTES + 8 * words;
	return sum;
}

static bool is_whole(const struct event *event, uint32_t length)
{
	struct event expected;
	uint32_t expected_length;

	expected.sum =
		fill(&expected, event->pair, event->number, &expected_length);
	return length == expected_length && !memcmp(event, &expected, length);
}

/* ---- the producer ---------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

static void keep_pace(const struct honest *honest, uint64_t number)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	if (honest->pace && number % honest->pace == 0)
		nanosleep(&ms, NULL);
}

/* Until it is accepted, or told to stop. */
static bool emit(struct tapio_producer *p, struct honest_count *count,
		 const struct event *event, uint32_t length)
{
	/* Relaxed: the words of the count order nothing. */
	while (!tpi_load_relaxed(&count->stop)) {
		int err = tapio_output(p, TAG, event, length);

		if (!err)
			return true;
		ck_assert_msg(err == -EAGAIN || err == -ETIMEDOUT,
			      "tapio_output: %s", strerror(-err));
		tpi_add_relaxed(&count->refused, 1);
	}
	return false;
}

static void produce(struct role *self)
{
	const struct honest *honest = self->arg;
	struct honest_count *count = honest->count;
	char error[512] = "";
	struct tapio_options options =
		world_options(honest->world, error, sizeof(error));
	struct tapio_producer *p;
	struct event event;
	uint64_t number = 0;
	uint32_t length;
	int err = tapio_producer_open(&p, honest->channel, &options);

	ck_assert_msg(!err, "honest producer: %d: %s", err, error);
	role_tell(self, 1);
	for (;; number++) {
		ck_assert_uint_lt(number, NUMBERS_MAX);
		event.sum = fill(&event, honest->pair, number, &length);
		if (!emit(p, count, &event, length))
			break;
		tpi_store_relaxed(&count->accepted, number + 1);
		if (number % 1024 == 0)
			tpi_store_relaxed(&count->producer_ns, cpu_ns());
		keep_pace(honest, number + 1);
	}
	tapio_producer_close(p);
	/* ORDER honest.ended (release): all that it has accepted is counted. */
	tpi_store_release(&count->ended, 1);
}

/* ---- the consumer ---------------------------------------------------------------------- */

static bool seen_before(uint64_t *seen, uint64_t number)
{
	uint64_t bit = UINT64_C(1) << number % 64;
	bool before = seen[number / 64] & bit;

	seen[number / 64] |= bit;
	return before;
}

static void receive(const struct tapio_view *view, const struct honest *honest,
		    uint64_t *seen)
{
	struct honest_count *count = honest->count;
	struct event event;

	if (view->flags & TAPIO_VIEW_GAP)
		return; /* the ledger has it as lost */
	if (view->length > sizeof(event) || view->length < HEAD_BYTES) {
		tpi_add_relaxed(&count->corrupt, 1);
		return;
	}
	memcpy(&event, view->data, view->length);
	if (event.number >= NUMBERS_MAX || !is_whole(&event, view->length))
		tpi_add_relaxed(&count->corrupt, 1);
	else if (event.pair != honest->pair)
		tpi_add_relaxed(&count->foreign, 1);
	else if (seen_before(seen, event.number))
		tpi_add_relaxed(&count->duplicated, 1);
	else
		tpi_store_relaxed(&count->received, count->received + 1);
}

static bool has_all(const struct honest_count *count)
{
	/* ORDER honest.ended (acquire): pairs with the release in produce(). */
	return tpi_load_acquire(&count->ended) &&
	       count->received >= tpi_load_relaxed(&count->accepted);
}

static void poll_until_all(struct tapio_consumer *c,
			   const struct honest *honest, uint64_t *seen)
{
	struct honest_count *count = honest->count;
	struct tapio_view views[VIEWS];
	uint64_t rounds = 0;
	time_t last = time(NULL);

	while (!has_all(count)) {
		int n = tapio_poll(c, views, VIEWS, 10000000);

		ck_assert_msg(n >= 0 || n == -EINTR, "tapio_poll: %s",
			      strerror(-n));
		for (int i = 0; i < n; i++)
			receive(&views[i], honest, seen);
		ck_assert_int_eq(tapio_release(c), 0);
		if (n > 0)
			last = time(NULL);
		/* Not how fast: whether at all. */
		ck_assert_msg(
			time(NULL) - last < PATIENCE_S ||
				count->received >=
					tpi_load_relaxed(&count->accepted),
			"nothing comes: %llu accepted, %llu received",
			(unsigned long long)tpi_load_relaxed(&count->accepted),
			(unsigned long long)count->received);
		if (rounds++ % 64 == 0)
			tpi_store_relaxed(&count->consumer_ns, cpu_ns());
	}
}

static void read_ledger(struct tapio_consumer *c, struct honest_count *count)
{
	struct tapio_consumer_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(tapio_consumer_stats_read(c, &stats), 0);
	count->delivered = stats.delivered;
	count->skipped = stats.skipped;
	count->lost = stats.lost;
}

static void consume(struct role *self)
{
	const struct honest *honest = self->arg;
	char error[512] = "";
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.broker = world_options(honest->world, error, sizeof(error)),
		.group = honest->group,
		.policy = TAPIO_GROUP_LOSSLESS,
	};
	struct tapio_consumer *c;
	uint64_t *seen =
		mmap(NULL, NUMBERS_MAX / 8, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err = tapio_consumer_open(&c, honest->channel, &options);

	ck_assert_msg(!err, "honest consumer: %d: %s", err, error);
	ck_assert_ptr_ne(seen, MAP_FAILED);
	role_tell(self, 1);
	poll_until_all(c, honest, seen);
	read_ledger(c, honest->count);
	tapio_consumer_close(c);
}

/* ---- in the test ---------------------------------------------------------------------------- */

uint64_t honest_now(const uint64_t *number)
{
	return tpi_load_relaxed(number);
}

void honest_start(struct honest *honest, const struct world *world)
{
	static uint64_t pairs;

	honest->world = world;
	honest->pair = ++pairs;
	if (!honest->channel)
		honest->channel = "events";
	if (!honest->group)
		honest->group = "honest";
	if (!honest->producer_uid)
		honest->producer_uid = WORLD_PRODUCER;
	if (!honest->consumer_uid)
		honest->consumer_uid = WORLD_LOSSLESS;
	honest->count =
		mmap(NULL, sizeof(*honest->count), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(honest->count, MAP_FAILED);
	/* The group is there before the first event. */
	role_start_uid(&honest->consumer, honest->consumer_uid, consume,
		       honest);
	role_hear(&honest->consumer);
	role_start_uid(&honest->producer, honest->producer_uid, produce,
		       honest);
	role_hear(&honest->producer);
	honest_receive(honest, 1);
}

void honest_receive(const struct honest *honest, uint64_t events)
{
	uint64_t goal = honest_now(&honest->count->received) + events;

	/* The consumer itself fails when nothing comes. */
	while (honest_now(&honest->count->received) < goal) {
		ck_assert_msg(!role_has_news(&honest->consumer, 1),
			      "the honest consumer has ended");
		ck_assert_msg(!role_has_news(&honest->producer, 0),
			      "the honest producer has ended");
	}
}

void honest_end(struct honest *honest)
{
	const struct honest_count *count = honest->count;

	tpi_store_relaxed(&honest->count->stop, 1);
	role_end(&honest->producer);
	role_end(&honest->consumer);
	ck_assert_uint_gt(count->accepted, 0);
	ck_assert_uint_eq(count->received, count->accepted);
	ck_assert_uint_eq(count->duplicated, 0);
	ck_assert_uint_eq(count->corrupt, 0);
	ck_assert_uint_eq(count->delivered, count->received + count->foreign);
	ck_assert_uint_eq(count->skipped, 0);
	ck_assert_uint_eq(count->lost, 0);
}

void honest_free(struct honest *honest)
{
	munmap(honest->count, sizeof(*honest->count));
	honest->count = NULL;
}
