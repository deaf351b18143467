/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumers and observers move to the memory of another broker (client/consumer/move.c). The
 * first broker runs on a thread of the test, is hidden, and its connections are cut. The next
 * one serves at the same name. Each event has a number, and what comes, in which order, and
 * with which flags, is compared with what was accepted.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "client/observer/observer.h"
#include "tests/fault/cut_broker.h"
#include "tests/unit/client_fixture.h"

#define STAMPED "channel t { stamp = tsc\n" RIG_CLASS "}\n"
#define BLOCKS  64

static char name[64];
static struct tapio_broker *next_broker;
static struct tapio_producer *p,
	*q; /* of the first memory, and of the next one */
static struct tapio_consumer *c;

/* The views of a reader, in their order. */
static struct came {
	uint64_t numbers[4096]; /* RECORD: the record of a move */
	uint64_t formers;       /* events with the flag */
	struct tapio_gap record;
	uint32_t records;
	uint32_t count;
} came;
#define RECORD UINT64_MAX

/* ---- the world ------------------------------------------------------------------------- */

static void begin(const char *config)
{
	memset(&came, 0, sizeof(came));
	snprintf(name, sizeof(name), "@tapio-test-move-%d", getpid());
	cut_broker_start(config, name);
	rig.options = (struct tapio_options){
		.size = sizeof(rig.options),
		.socket = name,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
		.answer_ns = RIG_ANSWER_NS,
	};
	pin(0);
	p = rig_producer();
	q = NULL;
	c = NULL;
}

static void next_begins(const char *config)
{
	struct tapio_broker_options options = {
		.size = sizeof(options),
		.config_text = config,
		.socket = name,
		.error = rig.error,
		.error_bytes = sizeof(rig.error),
	};

	/* Until the one before has let its name go. */
	while (tapio_broker_start(&next_broker, &options))
		sched_yield();
}

/* Another instance serves at the name. The first one is as good as dead. */
static void change(const char *config)
{
	cut_broker_hide();
	next_begins(config);
	cut(true);
}

static void change_again(const char *config)
{
	tapio_producer_close(q);
	q = NULL;
	tapio_broker_stop(next_broker);
	next_begins(config);
}

static void end(void)
{
	tapio_producer_close(p);
	tapio_producer_close(q);
	tapio_consumer_close(c);
	if (next_broker)
		tapio_broker_stop(next_broker);
	cut_broker_stop();
}

static void emit(struct tapio_producer *by, uint64_t from, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t number = from + i;

		ck_assert_int_eq(tapio_output(by, TAG, &number, sizeof(number)),
				 0);
	}
}

static void note(const struct tapio_view *v)
{
	const struct tapio_gap *gap = v->data;

	ck_assert_uint_lt(came.count, 4096);
	if (!(v->flags & TAPIO_VIEW_GAP)) {
		ck_assert_uint_eq(v->length, 8);
		memcpy(&came.numbers[came.count++], v->data, 8);
		came.formers += !!(v->flags & TAPIO_VIEW_FORMER);
		return;
	}
	ck_assert_uint_eq(gap->cause, TAPIO_GAP_INSTANCE);
	ck_assert_uint_eq(v->lane, UINT32_MAX);
	ck_assert_uint_eq(v->length, sizeof(*gap));
	came.record = *gap;
	came.records++;
	came.numbers[came.count++] = RECORD;
}

/* One poll, with its release. How many views. */
static int take(struct tapio_consumer *from, unsigned int max, int64_t ns)
{
	struct tapio_view views[64];
	int n = tapio_poll(from, views, max, ns);

	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++) {
		note(&views[i]);
		ck_assert_int_eq(tapio_view_intact(from, &views[i]), 1);
	}
	ck_assert_int_eq(tapio_release(from), 0);
	return n;
}

static void take_until(struct tapio_consumer *from, uint32_t count)
{
	while (came.count < count)
		take(from, 64, 1000000);
	ck_assert_int_eq(take(from, 64, 0), 0);
	ck_assert_uint_eq(came.count, count);
}

static void observe_until(struct tapio_observer *o, uint32_t count)
{
	struct tapio_view views[64];
	int n;

	do {
		n = tapio_observe(o, views, 64, 1000000);
		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			note(&views[i]);
	} while (n || came.count < count);
	ck_assert_uint_eq(came.count, count);
}

/* Numbers in a row. */
static void assert_came(uint32_t at, uint64_t from, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ck_assert_uint_eq(came.numbers[at + i], from + i);
}

/* ---- one after the other ----------------------------------------------------------------- */

static const uint32_t policies[] = {TAPIO_GROUP_LOSSLESS, TAPIO_GROUP_UNTIL,
				    TAPIO_GROUP_LOSSY};

START_TEST(the_name_of_the_memory_changes_with_the_record)
{
	unsigned char before[16], after[16], other[16];
	struct tapio_consumer *d;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_consumer_instance(c, before), 0);
	emit(p, 0, 10);
	change(RIG_CONFIG);
	/* Until then views are of the old memory. */
	while (came.count < 10)
		take(c, 64, 1000000);
	ck_assert_int_eq(tapio_consumer_instance(c, after), 0);
	ck_assert_mem_eq(before, after, 16);
	take_until(c, 11);
	ck_assert_uint_eq(came.numbers[10], RECORD);
	ck_assert_int_eq(tapio_consumer_instance(c, after), 0);
	ck_assert_mem_ne(before, after, 16);
	d = rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_consumer_instance(d, other), 0);
	ck_assert_mem_eq(after, other, 16);
	tapio_consumer_close(d);
	end();
}
END_TEST

START_TEST(the_old_ones_then_a_record_then_the_new_ones)
{
	struct tapio_consumer_stats stats;

	begin(RIG_CONFIG);
	c = rig_consumer(_i % 2 ? "g" : NULL, policies[_i / 2]);
	emit(p, 0, 10);
	change(RIG_CONFIG);
	q = rig_producer();
	emit(q, 100, 20);
	take_until(c, 31);
	assert_came(0, 0, 10);
	ck_assert_uint_eq(came.numbers[10], RECORD);
	assert_came(11, 100, 20);
	ck_assert_uint_eq(came.record.count, 0);
	ck_assert_uint_eq(came.record.first, 0);
	ck_assert_uint_eq(came.formers, 0);
	ck_assert_int_eq(tapio_consumer_connected(c), 1);
	ck_assert_str_eq(tapio_consumer_error(c), "");
	/* From now on it is a member as any. */
	emit(q, 120, 30);
	take_until(c, 61);
	assert_came(31, 120, 30);
	stats = group_stats(c);
	ck_assert_uint_eq(stats.delivered, 10 + 20 + 30);
	ck_assert_uint_eq(stats.in_flight, 0);
	ck_assert_uint_eq(stats.lost, 0);
	/* All that its new memory had is in its ledger. */
	assert_ledger(c, 50, 0, 0);
	end();
}
END_TEST

START_TEST(an_observer_does_the_same)
{
	struct tapio_observer_stats stats = {.size = sizeof(stats)};
	struct tapio_observer *o;

	begin(RIG_CONFIG);
	o = rig_observer(TAPIO_START_NEWEST);
	emit(p, 0, 10);
	change(RIG_CONFIG);
	q = rig_producer();
	emit(q, 100, 20);
	observe_until(o, 31);
	assert_came(0, 0, 10);
	ck_assert_uint_eq(came.numbers[10], RECORD);
	assert_came(11, 100, 20);
	ck_assert_uint_eq(came.record.count, 0);
	emit(q, 120, 30);
	observe_until(o, 61);
	assert_came(31, 120, 30);
	ck_assert_int_eq(tapio_observer_stats_read(o, &stats), 0);
	ck_assert_uint_eq(stats.seen, 60);
	ck_assert_uint_eq(stats.lost + stats.in_flight, 0);
	tapio_observer_close(o);
	end();
}
END_TEST

/* Three in a row: one record each, and no descriptor is left. */
START_TEST(again_and_again)
{
	int fds = 0;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_ge(tapio_fd(c), 0);
	emit(p, 0, 5);
	change(RIG_CONFIG);
	for (uint32_t i = 1; i <= 4; i++) {
		q = rig_producer();
		emit(q, 100 * i, 5);
		take_until(c, 5 + 6 * i);
		ck_assert_uint_eq(came.numbers[6 * i - 1], RECORD);
		assert_came(6 * i, 100 * i, 5);
		ck_assert_uint_eq(came.records, i);
		if (i == 1)
			fds = rig_open_fds();
		rig_assert_fds(fds);
		change_again(RIG_CONFIG);
	}
	ck_assert_uint_eq(group_stats(c).delivered, 5 * 5);
	end();
}
END_TEST

/* ---- what comes late --------------------------------------------------------------------- */

static struct tapio_reservation held[8];

static void hold(uint64_t from, int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t number = from + (uint64_t)i;

		ck_assert_int_eq(tapio_reserve(p, TAG, 8, &held[i]), 0);
		memcpy(held[i].data, &number, 8);
	}
}

static void submit(int count)
{
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(tapio_submit(p, &held[i]), 0);
}

START_TEST(what_was_reserved_before_comes_with_a_flag)
{
	begin(RIG_CONFIG);
	c = rig_consumer("g", policies[_i]);
	hold(0, 3);
	change(RIG_CONFIG);
	q = rig_producer();
	emit(q, 100, 4);
	take_until(c, 5);
	submit(3);
	take_until(c, 8);
	assert_came(5, 0, 3);
	ck_assert_uint_eq(came.formers, 3);
	ck_assert_uint_eq(group_stats(c).delivered, 4 + 3);
	end();
}
END_TEST

START_TEST(an_observer_gets_it_too)
{
	struct tapio_observer *o;

	begin(RIG_CONFIG);
	o = rig_observer(TAPIO_START_OLDEST);
	hold(0, 3);
	change(RIG_CONFIG);
	q = rig_producer();
	emit(q, 100, 4);
	observe_until(o, 5);
	submit(3);
	observe_until(o, 8);
	assert_came(5, 0, 3);
	ck_assert_uint_eq(came.formers, 3);
	tapio_observer_close(o);
	end();
}
END_TEST

/* The new memory has always something: each 1,024th call looks aside, at least. */
START_TEST(a_busy_reader_gets_it_too)
{
	uint64_t number = 200;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	hold(0, 8);
	change(RIG_CONFIG);
	q = rig_producer();
	take_until(c, 1);
	submit(8);
	for (int i = 0; i < 2000 && came.formers < 8; i++) {
		emit(q, number++, 2);
		ck_assert_int_eq(take(c, 1, 0), 1);
		take(c, 1, 0);
		if (came.count > 2000)
			came.count = 0;
	}
	ck_assert_uint_eq(came.formers, 8);
	end();
}
END_TEST

/* Whether it is whole is a question to the memory that it lies in. */
START_TEST(a_late_view_is_asked_about_where_it_lies)
{
	struct tapio_view view;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSY);
	p->now->client.link.state = TPI_LINK_LOST; /* it does not move */
	hold(7, 1);
	change(RIG_CONFIG);
	take_until(c, 1);
	submit(1);
	while (tapio_poll(c, &view, 1, 1000000) != 1)
		;
	ck_assert_uint_eq(view.flags, TAPIO_VIEW_FORMER);
	ck_assert_int_eq(tapio_view_intact(c, &view), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	emit(p, 8, 1);
	while (tapio_poll(c, &view, 1, 1000000) != 1)
		;
	emit(p, 9, 2 * BLOCKS);
	ck_assert_int_eq(tapio_view_intact(c, &view), 0);
	ck_assert_int_eq(tapio_release(c), 1);
	view.lane = UINT32_MAX;
	ck_assert_int_eq(tapio_view_intact(c, &view), -EINVAL);
	end();
}
END_TEST

/* ---- when -------------------------------------------------------------------------------- */

/* They are older than the quiet that it waits for, and not old enough. */
START_TEST(what_waits_for_its_time_is_not_left_behind)
{
	const struct tapio_consumer_options slow = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.merge_ns = 400000000,
	};

	begin(STAMPED);
	c = rig_open(&slow);
	emit(p, 0, 3);
	change(STAMPED);
	take_until(c, 4);
	assert_came(0, 0, 3);
	ck_assert_uint_eq(came.numbers[3], RECORD);
	ck_assert_uint_eq(came.formers, 0);
	end();
}
END_TEST

START_TEST(views_in_hand_are_not_moved_away_from)
{
	struct tapio_view views[8], more;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(p, 0, 2);
	ck_assert_int_eq(tapio_poll(c, views, 8, 0), 2);
	change(RIG_CONFIG);
	while (!tpi_client_elsewhere(&c->now->client))
		ck_assert_int_eq(tapio_poll(c, &more, 1, 1000000), 0);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(tapio_poll(c, &more, 1, 0), 0);
	ck_assert_int_eq(tapio_view_intact(c, &views[0]), 1);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(group_stats(c).delivered, 2);
	while (tapio_poll(c, &more, 1, 1000000) != 1)
		;
	ck_assert_uint_eq(more.lane, UINT32_MAX);
	/* Nor is a record, or a copy of what lay there before the group. */
	change_again(RIG_CONFIG);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(tapio_poll(c, views, 8, 1000000), 0);
	ck_assert_int_eq(tapio_release(c), 0);
	q = rig_producer();
	emit(q, 0, 1);
	take_until(c, 2);
	ck_assert_uint_eq(came.numbers[0], RECORD);
	change_again(RIG_CONFIG);
	q = rig_producer();
	emit(q, 5, 1);
	came.count = 0;
	while (!came.count)
		take(c, 64, 1000000);
	ck_assert_uint_eq(came.numbers[0], RECORD);
	ck_assert_int_eq(tapio_poll(c, views, 8, 0), 1);
	change_again(RIG_CONFIG);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(tapio_poll(c, &more, 1, 1000000), 0);
	ck_assert_int_eq(*(const int *)views[0].data, 5);
	ck_assert_int_eq(tapio_view_intact(c, &views[0]), 1);
	end();
}
END_TEST

static void *poll_for_ever(void *ns)
{
	struct tapio_view v;
	int64_t wait = *(int64_t *)ns;

	ck_assert_int_eq(tapio_poll(c, &v, 1, wait), 1);
	note(&v);
	return NULL;
}

/* One that sleeps, one that merges, and one that waits for many. */
START_TEST(a_poll_that_sleeps_moves)
{
	const struct tapio_consumer_options kinds[] = {
		{.group = "g"},
		{.group = "g", .merge_ns = 1000000},
		{.group = "g", .wake_events = 8},
	};
	int64_t ns = TAPIO_FOREVER;
	pthread_t thread;

	begin(STAMPED);
	c = rig_open(&kinds[_i]);
	ck_assert_int_eq(pthread_create(&thread, NULL, poll_for_ever, &ns), 0);
	change(STAMPED);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(came.numbers[0], RECORD);
	ck_assert_int_eq(tapio_release(c), 0);
	q = rig_producer();
	emit(q, 10, 8);
	take_until(c, 9);
	assert_came(1, 10, 8);
	end();
}
END_TEST

/* A producer that may not move, and is never out of events. */
START_TEST(a_flood_in_the_old_memory_does_not_keep_it)
{
	uint64_t number = 0;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p->now->client.link.state = TPI_LINK_LOST;
	change(RIG_CONFIG);
	while (!came.records) {
		emit(p, number++, 1);
		take(c, 1, 0);
		if (came.count > 2000)
			came.count = 0;
	}
	came.count = came.formers = 0;
	/* And the new memory is read beside it. */
	q = rig_producer();
	for (int i = 0; i < 100; i++) {
		emit(p, number++, 1);
		emit(q, 1000000, 1);
		take(c, 1, 0);
		take(c, 1, 0);
	}
	while (take(c, 64, 0))
		;
	ck_assert_uint_ge(came.formers, 100);
	ck_assert_uint_eq(came.count, came.formers + 100);
	ck_assert_uint_eq(came.records, 1);
	ck_assert_uint_eq(group_stats(c).delivered, number + 100);
	end();
}
END_TEST

START_TEST(its_descriptor_stays)
{
	struct pollfd ready = {.events = POLLIN};
	const struct tapio_consumer_options kinds[] = {
		{.group = "g"},
		{.group = "g", .merge_ns = 1000000},
		{.group = "g", .wake_events = 3, .wake_ns = 1000000},
	};

	begin(STAMPED);
	c = rig_open(&kinds[_i]);
	ready.fd = tapio_fd(c);
	hold(0, 2);
	take_until(c, 0);
	change(STAMPED);
	/* Only what makes it readable is answered. */
	while (came.count < 1) {
		ck_assert_int_ge(poll(&ready, 1, -1), 1);
		while (take(c, 8, 0))
			;
	}
	ck_assert_int_eq(tapio_fd(c), ready.fd);
	q = rig_producer();
	emit(q, 10, 1);
	while (came.count < 2) {
		ck_assert_int_ge(poll(&ready, 1, -1), 1);
		while (take(c, 8, 0))
			;
	}
	submit(2);
	while (came.count < 4) {
		ck_assert_int_ge(poll(&ready, 1, -1), 1);
		while (take(c, 8, 0))
			;
	}
	assert_came(2, 0, 2);
	ck_assert_uint_eq(came.formers, 2);
	ck_assert_int_eq(tapio_fd(c), ready.fd);
	end();
}
END_TEST

/* ---- what cannot be delivered is counted -------------------------------------------------- */

START_TEST(what_was_overwritten_before_it_came_is_counted)
{
	struct tapio_observer *o = NULL;

	begin(RIG_CONFIG);
	if (_i)
		o = rig_observer(TAPIO_START_NEWEST);
	else
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	change(RIG_CONFIG);
	q = rig_producer();
	emit(q, 0, 200);
	if (_i)
		observe_until(o, 1 + BLOCKS - 1);
	else
		take_until(c, 1 + BLOCKS - 1);
	ck_assert_uint_eq(came.numbers[0], RECORD);
	ck_assert_uint_eq(came.record.count, 200 - (BLOCKS - 1));
	assert_came(1, came.record.count, BLOCKS - 1);
	if (!_i)
		ck_assert_uint_eq(group_stats(c).lost, came.record.count);
	tapio_observer_close(o);
	end();
}
END_TEST

/* Another member holds them, and neither releases nor ends. */
START_TEST(what_is_left_in_a_memory_that_is_given_up_is_counted)
{
	struct tapio_consumer *other;
	struct tapio_view views[8];
	uint64_t before;

	begin(RIG_CONFIG);
	other = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_poll(other, views, 8, 0), 0);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(p, 0, 7);
	ck_assert_int_eq(tapio_poll(other, views, 5, 0), 5);
	change(RIG_CONFIG);
	take_until(c, 1);
	ck_assert_uint_eq(came.record.first, 0);
	before = group_stats(c).in_flight;
	ck_assert_uint_eq(before, 7);
	change_again(RIG_CONFIG);
	take_until(c, 2);
	ck_assert_uint_eq(came.record.first, 7);
	ck_assert_uint_eq(group_stats(c).lost, 7);
	ck_assert_uint_eq(group_stats(c).in_flight, 0);
	/* For that one they are there. */
	ck_assert_int_eq(tapio_release(other), 0);
	came.count = 0;
	take(other, 64, 0);
	assert_came(0, 5, 2);
	tapio_consumer_close(other);
	end();
}
END_TEST

/* ---- members ------------------------------------------------------------------------------- */

START_TEST(two_members_move_at_once)
{
	struct tapio_consumer *b;
	bool seen[400] = {0};

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	b = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	change(RIG_CONFIG);
	q = rig_producer();
	emit(q, 0, 30);
	while (came.records < 2) {
		take(c, 3, 1000000);
		take(b, 3, 1000000);
	}
	for (uint64_t i = 30; i < 400; i++) {
		emit(q, i, 1);
		take(c, 1, 0);
		take(b, 1, 0);
	}
	while (take(c, 8, 0) + take(b, 8, 0))
		;
	ck_assert_uint_eq(came.count, 402);
	for (uint32_t i = 0; i < came.count; i++) {
		if (came.numbers[i] == RECORD)
			continue;
		ck_assert(!seen[came.numbers[i]]);
		seen[came.numbers[i]] = true;
	}
	ck_assert_uint_eq(came.records, 2);
	assert_ledger(c, 400, 0, 0);
	tapio_consumer_close(b);
	end();
}
END_TEST

/* A process that takes the lane, perhaps an event, and is killed. */
static pid_t start_member(bool holding)
{
	uint32_t *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.takeover_ns = 1500000000,
	};
	struct tapio_view v;
	pid_t pid = fork();

	ck_assert_ptr_ne(ready, MAP_FAILED);
	if (!pid) {
		struct tapio_consumer *mine = rig_open(&options);

		tapio_poll(mine, &v, 1, 0);
		tpi_store_release(ready, 1);
		while (tpi_load_acquire(ready) == 1)
			nap_ms(1);
		if (holding)
			tapio_poll(mine, &v, 1, 0);
		tpi_store_release(ready, 3);
		for (;;)
			pause();
	}
	while (!tpi_load_acquire(ready))
		nap_ms(1);
	emit(p, 0, 9);
	tpi_store_release(ready, 2);
	while (tpi_load_acquire(ready) != 3)
		nap_ms(1);
	munmap(ready, 4096);
	return pid;
}

/* No broker clears its lease: the protocol of members that sleep does. */
START_TEST(a_member_that_dies_before_it_has_moved_is_relieved)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.takeover_ns = 1500000000,
	};
	pid_t pid;
	int status;

	begin(RIG_CONFIG);
	pid = start_member(_i);
	c = rig_open(&options);
	cut_broker_stop();
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	next_begins(RIG_CONFIG);
	q = rig_producer();
	emit(q, 100, 3);
	take_until(c, 4);
	assert_came(1, 100, 3);
	while (came.count < 13)
		take(c, 64, 10000000);
	assert_came(4, 0, 9);
	ck_assert_uint_eq(came.formers, 9);
	ck_assert_uint_eq(group_stats(c).delivered, 3 + 9);
	tapio_producer_close(p);
	tapio_producer_close(q);
	tapio_consumer_close(c);
	tapio_broker_stop(next_broker);
}
END_TEST

/* ---- moves that fail ------------------------------------------------------------------------ */

#define OTHER_CONFIG "channel u { stamp = \"none\"\n" RIG_CLASS "}\n"

START_TEST(a_broker_that_refuses_it_is_asked_again)
{
	struct tapio_view v;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p->now->client.link.state = TPI_LINK_LOST;
	change(OTHER_CONFIG);
	while (!strstr(tapio_consumer_error(c), "no channel"))
		ck_assert_int_eq(tapio_poll(c, &v, 1, 1000000), 0);
	ck_assert_int_eq(tapio_consumer_connected(c), 0);
	/* It works on. */
	emit(p, 0, 5);
	take_until(c, 5);
	/* Its descriptor does not call for what cannot be done now. */
	ck_assert_int_ge(tapio_fd(c), 0);
	change_again(RIG_CONFIG);
	q = rig_producer();
	emit(q, 100, 5);
	take_until(c, 11);
	ck_assert_uint_eq(came.numbers[5], RECORD);
	assert_came(6, 100, 5);
	ck_assert_uint_eq(came.records, 1);
	ck_assert_str_eq(tapio_consumer_error(c), "");
	end();
}
END_TEST

static void until_elsewhere(struct tpi_client *client)
{
	while (!tpi_client_elsewhere(client)) {
		tpi_client_look(client);
		nap_ms(1);
	}
}

START_TEST(a_broker_that_dies_in_the_middle_is_one_less)
{
	struct tapio_view v;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	change(RIG_CONFIG);
	until_elsewhere(&c->now->client);
	tapio_broker_stop(next_broker);
	ck_assert_int_eq(tapio_poll(c, &v, 1, 0), 0);
	ck_assert_uint_eq(c->now->client.link.state, TPI_LINK_DOWN);
	next_begins(RIG_CONFIG);
	q = rig_producer();
	emit(q, 100, 5);
	take_until(c, 6);
	assert_came(1, 100, 5);
	ck_assert_uint_eq(came.records, 1);
	end();
}
END_TEST

/* The first one is there again: there is nothing to move to. */
START_TEST(its_own_broker_comes_back)
{
	struct tapio_observer *o;
	struct tapio_view v;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	o = rig_observer(TAPIO_START_NEWEST);
	emit(p, 0, 3);
	take_until(c, 3);
	change(RIG_CONFIG);
	until_elsewhere(&c->now->client);
	until_elsewhere(&o->now->client);
	tapio_broker_stop(next_broker);
	next_broker = NULL;
	cut_broker_show();
	while (tpi_load_acquire(&c->now->client.link.state) != TPI_LINK_UP)
		ck_assert_int_eq(tapio_poll(c, &v, 1, 1000000), 0);
	while (tpi_load_acquire(&o->now->client.link.state) != TPI_LINK_UP)
		ck_assert_int_le(tapio_observe(o, &v, 1, 1000000), 1);
	emit(p, 3, 3);
	take_until(c, 6);
	assert_came(0, 0, 6);
	assert_ledger(c, 6, 0, 0);
	ck_assert_uint_eq(cut_attached(), 3);
	tapio_observer_close(o);
	end();
}
END_TEST

/* ---- the rest --------------------------------------------------------------------------------- */

static void end_group(struct tpi_broker *broker, void *slot)
{
	uint64_t *word =
		&broker->registry.catalog.groups[*(uint32_t *)slot].slot;

	tpi_store_release(word, *word ^ TAPIO_SLOT_ACTIVE);
}

START_TEST(a_group_that_has_ended_does_not_move)
{
	struct tapio_view v;
	int n;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(p, 0, 3);
	cut_broker_do(end_group, &c->now->client.granted.group_slot);
	change(RIG_CONFIG);
	until_elsewhere(&c->now->client);
	take(c, 64, 0);
	while ((n = tapio_poll(c, &v, 1, 0)) >= 0)
		ck_assert_int_eq(n, 0);
	/* However long it is asked. */
	for (int i = 0; i < 300; i++) {
		ck_assert_int_eq(n, -ENOTCONN);
		nap_ms(1);
		n = tapio_poll(c, &v, 1, 0);
	}
	assert_came(0, 0, 3);
	end();
}
END_TEST

static int check_child(void)
{
	struct tapio_view v;

	if (tapio_poll(c, &v, 1, 0) != -ECHILD || tapio_release(c) != -ECHILD ||
	    tapio_fd(c) != -ECHILD)
		return 1;
	tapio_consumer_close(c);
	return 0;
}

START_TEST(a_forked_child_has_neither_memory)
{
	pid_t pid;

	begin(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_ge(tapio_fd(c), 0);
	hold(0, 2);
	change(RIG_CONFIG);
	take_until(c, 1);
	pid = fork();
	if (!pid)
		_exit(check_child());
	ck_assert(child_ok(pid));
	q = rig_producer();
	emit(q, 10, 2);
	submit(2);
	take_until(c, 5);
	ck_assert_uint_eq(came.formers, 2);
	end();
}
END_TEST

/* All that the program gave to the open may be gone. */
START_TEST(what_it_asked_for_is_kept)
{
	char *group = strdup("g"), *channel = strdup("t");
	uint16_t *types = malloc(sizeof(*types));
	struct tapio_consumer_options options = {
		.size = sizeof(options),
		.group = group,
		.policy = TAPIO_GROUP_LOSSLESS,
		.types = types,
		.type_count = 1,
	};
	uint64_t number = 7;

	begin(RIG_CONFIG);
	options.broker = rig.options;
	types[0] = 101;
	ck_assert_int_eq(tapio_consumer_open(&c, channel, &options), 0);
	memset(group, 'x', 1);
	memset(channel, 'x', 1);
	types[0] = 100;
	free(group);
	free(channel);
	free(types);
	change(RIG_CONFIG);
	take_until(c, 1);
	q = rig_producer();
	emit(q, 0, 3); /* of type 100 */
	ck_assert_int_eq(
		tapio_output(q, TAPIO_TAG(101, 5), &number, sizeof(number)), 0);
	take_until(c, 2);
	ck_assert_uint_eq(came.numbers[1], 7);
	assert_ledger(c, 1, 3, 0);
	ck_assert_str_eq(c->now->group->name, "g");
	end();
}
END_TEST

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Stamps of both memories, while views of both are there. */
START_TEST(times_are_those_of_one_clock)
{
	struct tapio_view old, new;
	uint64_t before = now_ns(), times[2], after;

	begin(STAMPED);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	hold(0, 1);
	change(STAMPED);
	take_until(c, 1);
	submit(1);
	q = rig_producer();
	emit(q, 1, 1);
	ck_assert_int_eq(tapio_poll(c, &new, 1, 0), 1);
	ck_assert_int_eq(tapio_poll(c, &old, 1, 0), 1);
	after = now_ns();
	ck_assert_uint_eq(old.flags, TAPIO_VIEW_FORMER);
	times[0] = tapio_consumer_time_ns(c, old.time);
	times[1] = tapio_consumer_time_ns(c, new.time);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_gt(times[i], before - 1000000000);
		ck_assert_uint_lt(times[i], after + 1000000000);
	}
	ck_assert_int_eq(tapio_release(c), 0);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("move readers");
	TCase *t = tcase_create("moves");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, the_name_of_the_memory_changes_with_the_record);
	tcase_add_loop_test(t, the_old_ones_then_a_record_then_the_new_ones, 0,
			    6);
	tcase_add_test(t, an_observer_does_the_same);
	tcase_add_test(t, again_and_again);
	tcase_add_loop_test(t, what_was_reserved_before_comes_with_a_flag, 0,
			    3);
	tcase_add_test(t, an_observer_gets_it_too);
	tcase_add_test(t, a_busy_reader_gets_it_too);
	tcase_add_test(t, a_late_view_is_asked_about_where_it_lies);
	tcase_add_test(t, what_waits_for_its_time_is_not_left_behind);
	tcase_add_test(t, views_in_hand_are_not_moved_away_from);
	tcase_add_loop_test(t, a_poll_that_sleeps_moves, 0, 3);
	tcase_add_test(t, a_flood_in_the_old_memory_does_not_keep_it);
	tcase_add_loop_test(t, its_descriptor_stays, 0, 3);
	tcase_add_loop_test(t, what_was_overwritten_before_it_came_is_counted,
			    0, 2);
	tcase_add_test(t, what_is_left_in_a_memory_that_is_given_up_is_counted);
	tcase_add_test(t, two_members_move_at_once);
	tcase_add_loop_test(
		t, a_member_that_dies_before_it_has_moved_is_relieved, 0, 2);
	tcase_add_test(t, a_broker_that_refuses_it_is_asked_again);
	tcase_add_test(t, a_broker_that_dies_in_the_middle_is_one_less);
	tcase_add_test(t, its_own_broker_comes_back);
	tcase_add_test(t, a_group_that_has_ended_does_not_move);
	tcase_add_test(t, a_forked_child_has_neither_memory);
	tcase_add_test(t, what_it_asked_for_is_kept);
	tcase_add_test(t, times_are_those_of_one_clock);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
