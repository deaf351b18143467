/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading events while another thread writes all over them, as a hostile producer
 * can: whatever the reader finds at each moment, it stays within the event, and
 * what it prints is valid.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "tests/fuzz/event_check.h"
#include "tests/check_main.h"
#include <tapio/event.h>

#define ROUNDS (CHECK_SANITIZED ? 2000 : 10000)

static TAPIO_EVENT_ALIGNED unsigned char original[1024];
static unsigned char *shared; /* of exactly `length` bytes */
static size_t length;
static uint32_t stop;
static uint64_t writes;

static void build(void)
{
	struct tapio_event_builder b;
	struct tapio_event_log *log;

	tapio_event_builder_init(&b, original, sizeof(original),
				 TAPIO_EVENT_LOG);
	log = b.fields;
	tapio_event_builder_string(&b, &log->body, "a message \xe2\x82\xac",
				   13);
	tapio_event_builder_string(&b, &log->identifier, "someone", 7);
	for (int i = 0; i < 8; i++)
		tapio_event_builder_attribute(&b, &log->attributes, "key", 3,
					      "value", 5);
	length = (size_t)tapio_event_builder_finish(&b);
	shared = malloc(length);
	memcpy(shared, original, length);
}

/*
 * Damages a byte, now and then repairs the event: so the reader sees good headers
 * with bad lengths behind them, and sees them change. Relaxed: it races on
 * purpose, and the reader relies on no order.
 */
static void *scribble(void *unused)
{
	uint64_t random = 88172645463325252;

	while (!tpi_load_relaxed(&stop)) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		tpi_store_relaxed(&shared[random % length],
				  (unsigned char)(random >> 32));
		if (random >> 60 == 0)
			for (size_t i = 0; i < length; i++)
				tpi_store_relaxed(&shared[i], original[i]);
		tpi_store_relaxed(&writes, writes + 1);
	}
	return unused;
}

START_TEST(a_reader_stays_inside_an_event_that_changes_under_it)
{
	struct tapio_view bytes = {.type = TAPIO_EVENT_LOG};
	struct tapio_event_view v;
	unsigned int good = 0, bad = 0;
	uint64_t before;
	pthread_t writer;

	build();
	bytes.data = shared;
	bytes.length = (uint32_t)length;
	ck_assert_int_eq(pthread_create(&writer, NULL, scribble, NULL), 0);
	/* On one CPU the two take turns: go on until both kinds were seen. */
	while (good < ROUNDS || bad < ROUNDS) {
		before = tpi_load_relaxed(&writes);
		if (tapio_event_view_open(&v, &bytes) == 0)
			good++;
		else
			bad++;
		check_view(&v, false);
		if ((good + bad) % 64 == 0)
			while (tpi_load_relaxed(&writes) == before)
				tpi_cpu_relax();
	}
	tpi_store_relaxed(&stop, 1);
	pthread_join(writer, NULL);
	free(shared);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("event_race");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_reader_stays_inside_an_event_that_changes_under_it);
	return check_run_case("event_race", t);
}
