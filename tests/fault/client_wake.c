/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waking without the bound of sleeps: here a lost wake-up is a hang, and the test's
 * time-out ends it. Each step of the proof in lib/lane/wake.h that a rule keeps is
 * attacked by itself, at the testpoint where breaking the rule would show.
 *
 * On commit fddcec1 sleeps could not be unbounded, so that the bound hid each of
 * these faults, and the tests of lanes whose holder dies fail there.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "lib/base/testpoint.h"
#include "tests/unit/client_fixture.h"

#define EVENTS  2000
#define MS      INT64_C(1000000)
#define HANG_MS 20000
#define WAITING                                                                        \
	"channel t { stamp = \"none\"\n full = \"wait\"\n wait = \"600s\"\n" RIG_CLASS \
	"}\n"

static struct tapio_producer *p;
static struct tapio_consumer *c;

/* ---- the hook: does something once, at one testpoint ---------------------------- */

static const char *where;
static void (*what)(void);

static void hook(const char *name)
{
	if (!where || strcmp(name, where))
		return;
	where = NULL;
	what();
}

static void at(const char *name, void (*act)(void))
{
	what = act;
	where = name;
	tpi_testpoint_set(hook);
}

static void set_up_with(const char *config)
{
	tpi_sleep_bound_ns = TPI_FOREVER_NS;
	rig_start(config);
	pin(0);
	p = rig_producer();
}

static void set_up(void)
{
	set_up_with(RIG_CONFIG);
}

static void set_up_waiting(void)
{
	set_up_with(WAITING);
}

static void tear_down(void)
{
	tpi_testpoint_set(NULL);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	c = NULL;
	rig_stop();
	tpi_sleep_bound_ns = 0;
	tpi_ring_apart_ns = 0;
}

static void emit(uint64_t value)
{
	int err;

	while ((err = tapio_output(p, TAG, &value, sizeof(value))) == -EAGAIN)
		sched_yield();
	ck_assert_int_eq(err, 0);
}

/* Waits without end for what there is, and releases it. */
static int take(struct tapio_consumer *from)
{
	struct tapio_view views[64];
	int n = tapio_poll(from, views, 64, TAPIO_FOREVER);

	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(tapio_release(from), 0);
	return n;
}

static uint32_t *answered(void)
{
	return &p->now->client.channel.doorbells
			->answered[c->now->client.granted.group_slot];
}

/* Whether producers look at each group, as far as they look at its board. */
static bool has_news(const struct tapio_consumer *of)
{
	uint32_t slot = of->now->client.granted.board - 1;

	return tpi_load_relaxed(p->now->emit.board[slot]) !=
	       tpi_load_relaxed(p->now->emit.board_seen[slot]);
}

static bool readable(int fd)
{
	struct pollfd f = {.fd = fd, .events = POLLIN};

	return poll(&f, 1, HANG_MS) == 1;
}

/* ---- the waker ------------------------------------------------------------------ */

static uint32_t heard;

static void announce_again(void)
{
	heard = tpi_wake_listen(c->now->doorbell);
	tpi_announce(c->now);
}

/* W5: a sleeper that came after the ring is not answered by it. */
START_TEST(an_answer_is_for_what_was_loaded_before_the_ring)
{
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	tpi_announce(c->now);
	at("ring.woken", announce_again);
	emit(1);
	ck_assert_uint_eq(*c->now->doorbell, heard);
	nap_ms(1); /* it is not rung twice within microseconds */
	emit(2);
	ck_assert_uint_eq(*c->now->doorbell, heard + 1);
}
END_TEST

/* Rule 4: only what was rung is answered. */
START_TEST(a_group_that_was_not_rung_is_not_answered)
{
	struct tapio_consumer_options marked = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = 16,
	};
	struct tapio_consumer *other = rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	struct tapio_consumer *last;

	c = rig_open(&marked);
	last = rig_consumer("i", TAPIO_GROUP_LOSSLESS);
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		c->now->tracks[i].cell->watermark = 16;
	tpi_announce(c->now);
	tpi_announce(other->now);
	tpi_announce(last->now);
	emit(1);
	ck_assert(tpi_wake_wanted(c->now->control->armed, *answered()));
	ck_assert(!tpi_wake_wanted(
		other->now->control->armed,
		p->now->client.channel.doorbells
			->answered[other->now->client.granted.group_slot]));
	/* They share a board, and one of them was left: neither the first nor the last. */
	ck_assert_uint_eq(c->now->client.granted.board,
			  other->now->client.granted.board);
	ck_assert(has_news(c));
	tapio_consumer_close(last);
	tapio_consumer_close(other);
}
END_TEST

static void die(void)
{
	kill(getpid(), SIGKILL);
}

/* A producer in a child emits one event, and dies at a testpoint of it. */
static void *emit_and_die(void *arg)
{
	pid_t pid;

	nap_ms(200); /* the other one sleeps. If not, it looks once more */
	pid = fork();
	if (!pid) {
		p = rig_producer();
		at(arg, die);
		emit(1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	return NULL;
}

static char *const deaths[] = {"output.published", "board.read", "ring.wanted",
			       "ring.woken", "board.rung"};

/* W1 to W5: the broker rings for a producer that died at any of them. */
START_TEST(a_producer_that_dies_before_it_rings_is_rung_for)
{
	pthread_t thread;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	pthread_create(&thread, NULL, emit_and_die, deaths[_i]);
	ck_assert_int_eq(take(c), 1);
	pthread_join(thread, NULL);
	assert_ledger(c, 1, 0, 0);
}
END_TEST

/* ---- the window of a ring ---------------------------------------------------------- */

#define LONG_WINDOW  (60000 * MS)
#define SHORT_WINDOW (100 * MS)

static bool answers_all(void)
{
	return !tpi_wake_wanted(tpi_load_relaxed(&c->now->control->armed),
				tpi_load_relaxed(answered())) &&
	       !has_news(c);
}

/* N1, N2: within the window a bell is not rung, and not answered. After it, it is. */
START_TEST(a_bell_is_rung_once_in_its_window)
{
	uint32_t before;

	tpi_ring_apart_ns = LONG_WINDOW;
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	before = *c->now->doorbell;
	for (int i = 0; i < 10; i++) {
		tpi_announce(c->now);
		emit(1);
		ck_assert_uint_eq(*c->now->doorbell, before + 1);
		ck_assert_int_eq(answers_all(), i == 0);
	}
	tpi_ring_apart_ns = 1;
	nap_ms(1);
	emit(1);
	ck_assert_uint_eq(*c->now->doorbell, before + 2);
	ck_assert(answers_all());
}
END_TEST

static void announce_and_emit(void)
{
	tpi_announce(c->now);
	emit(2);
}

/*
 * N3: what another one has begun, and where it may be stopped for ever, is no ring yet:
 * before the bell, and before its sleepers are woken.
 */
START_TEST(a_ring_that_is_not_complete_keeps_nobody_from_ringing)
{
	static const char *const begun[] = {"ring.wanted", "ring.woken"};
	uint32_t before;

	tpi_ring_apart_ns = LONG_WINDOW;
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	before = *c->now->doorbell;
	tpi_announce(c->now);
	at(begun[_i], announce_and_emit);
	emit(1);
	ck_assert_ptr_null(where);
	ck_assert_uint_eq(*c->now->doorbell, before + 2);
}
END_TEST

static void nap_long(void)
{
	nap_ms(300);
}

/* N4: the window begins before the bell moves, however long the ring then takes. */
START_TEST(a_ring_that_takes_long_has_no_window_after_it)
{
	uint32_t before;

	tpi_ring_apart_ns = SHORT_WINDOW;
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	before = *c->now->doorbell;
	tpi_announce(c->now);
	at("ring.woken", nap_long);
	emit(1);
	ck_assert_ptr_null(where);
	tpi_announce(c->now);
	emit(2);
	ck_assert_uint_eq(*c->now->doorbell, before + 2);
}
END_TEST

static void emit_two(void)
{
	emit(2);
}

/*
 * N4: a member that goes to sleep has heard its bell for longer than the window, so that the
 * next commit rings. Without a watermark, with one, and by the descriptor.
 */
START_TEST(no_sleep_begins_in_the_window_of_a_ring)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.spin_ns = 1,
		.wake_events = _i == 1 ? 16 : 0,
		.wake_ns = 20 * MS,
	};
	struct tapio_view view;
	uint32_t before;

	tpi_ring_apart_ns = SHORT_WINDOW;
	c = rig_open(&options);
	before = *c->now->doorbell;
	tpi_announce(c->now);
	emit(1);
	ck_assert_int_eq(tapio_poll(c, &view, 1, 0), 1);
	tapio_release(c);
	ck_assert_uint_eq(*c->now->doorbell, before + 1);
	if (_i == 2) {
		ck_assert_int_ge(tapio_fd(c), 0);
		ck_assert_int_eq(tapio_poll(c, &view, 1, 0), 0);
		emit(2);
		ck_assert(readable(tapio_fd(c)));
		return;
	}
	at("sleep.looked", emit_two);
	ck_assert_int_eq(take(c), 1);
	ck_assert_ptr_null(where);
}
END_TEST

/* N4 again: the helper of a descriptor that was rung for nothing sleeps again. */
START_TEST(the_helper_of_a_descriptor_does_not_sleep_in_a_window)
{
	struct tapio_view view;
	uint32_t slot;

	tpi_ring_apart_ns = SHORT_WINDOW;
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	slot = c->now->client.granted.group_slot;
	ck_assert_int_ge(tapio_fd(c), 0);
	ck_assert_int_eq(tapio_poll(c, &view, 1, 0), 0);
	for (int i = 0; i < 3; i++) {
		tpi_wake_group(p->now->client.channel.doorbells, slot,
			       tpi_load_relaxed(&c->now->control->armed), true);
		nap_ms(i * 10);
	}
	emit(1);
	ck_assert(readable(tapio_fd(c)));
	ck_assert_int_eq(tapio_poll(c, &view, 1, 0), 1);
}
END_TEST

/* ---- the sleeper ---------------------------------------------------------------- */

#define STEPS_MAX 16
static const char *steps[STEPS_MAX];
static int step_count;

static void note_step(const char *name)
{
	/* Not those of a gate that is computed on the way. */
	if (strncmp(name, "gate.", 5) && strncmp(name, "cursor.", 7) &&
	    step_count < STEPS_MAX)
		steps[step_count++] = name;
}

/* S2, S3: the barrier lies between the announcement and the last look. */
START_TEST(an_announcement_is_followed_by_a_barrier)
{
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	step_count = 0;
	tpi_testpoint_set(note_step);
	tpi_announce(c->now);
	tpi_testpoint_set(NULL);
	ck_assert_int_eq(step_count, 5);
	ck_assert_str_eq(steps[0], "sleep.armed");
	ck_assert_str_eq(steps[1], "sleep.board");
	ck_assert_str_eq(steps[2], "sleep.boards");
	ck_assert_str_eq(steps[3], "wake.barrier");
	ck_assert_str_eq(steps[4], "sleep.announced");
}
END_TEST

/* An announcement that is good needs no other one, but what is new needs the barrier. */
START_TEST(what_is_stored_for_the_wakers_is_followed_by_a_barrier)
{
	uint32_t armed;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	heard = tpi_wake_listen(c->now->doorbell);
	tpi_call(c->now, &c->now->call, heard);
	armed = c->now->control->armed;
	step_count = 0;
	tpi_testpoint_set(note_step);
	tpi_call(c->now, &c->now->call, heard);
	ck_assert_int_eq(step_count, 0);
	c->now->call.dirty = true;
	tpi_call(c->now, &c->now->call, heard);
	ck_assert_int_eq(step_count, 1);
	ck_assert_str_eq(steps[0], "wake.barrier");
	ck_assert(!c->now->call.dirty);
	tpi_testpoint_set(NULL);
	ck_assert_uint_eq(c->now->control->armed, armed);
}
END_TEST

/* As a producer that had looked at `armed` just before our announcement. */
static void emit_without_a_ring(void)
{
	tpi_store_relaxed(answered(),
			  tpi_load_relaxed(&c->now->control->armed));
	emit(1);
}

/* S4: with and without a watermark. */
START_TEST(what_was_published_before_the_barrier_is_seen_after_it)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = _i ? 16 : 0,
		.wake_ns = 20 * MS,
	};

	c = rig_open(&options);
	at("sleep.armed", emit_without_a_ring);
	ck_assert_int_eq(take(c), 1);
	ck_assert_ptr_null(where);
}
END_TEST

static void emit_one(void)
{
	emit(1);
}

/* S1: the ring comes between the last look and the sleep, which must not begin. */
START_TEST(what_is_rung_for_before_a_sleep_ends_it)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = _i ? 16 : 0,
		.wake_ns = 20 * MS,
	};

	c = rig_open(&options);
	at("sleep.looked", emit_one);
	ck_assert_int_eq(take(c), 1);
	ck_assert_ptr_null(where);
}
END_TEST

/* ---- lanes whose holder dies ------------------------------------------------------ */

static pid_t holder;

/* A member of our group that has taken every lane, and waits to be killed. */
static void start_holder(void)
{
	struct tapio_view view;
	int ready[2];
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	holder = fork();
	if (!holder) {
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		if (tapio_poll(c, &view, 1, 0) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
}

static bool lanes_are_free(void)
{
	for (uint32_t i = 0; i < c->now->lane_count; i++)
		if (TAPIO_LEASE_HOLDER(tpi_load_relaxed(
			    &c->now->tracks[i].cursor->lease)) != TAPIO_NOBODY)
			return false;
	return true;
}

static void kill_and_reap(void)
{
	kill(holder, SIGKILL);
	ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
}

/* Returns when the broker has dealt with it, the ring included. */
static void kill_holder(void)
{
	uint32_t before = tpi_wake_listen(c->now->doorbell);

	kill_and_reap();
	for (int i = 0;
	     !lanes_are_free() || tpi_wake_listen(c->now->doorbell) == before;
	     i++) {
		ck_assert_int_lt(i, HANG_MS);
		nap_ms(1);
	}
}

/* The ring comes just before S1: S4 has to find the lanes. */
START_TEST(lanes_that_become_free_before_a_sleep_are_taken)
{
	struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.wake_events = _i ? 16 : 0,
		.wake_ns = 20 * MS,
	};

	start_holder();
	c = rig_open(&options);
	emit(1);
	at("sleep.begin", kill_holder);
	ck_assert_int_eq(take(c), 1);
	ck_assert_ptr_null(where);
}
END_TEST

/*
 * Ends by itself: a thread that is cancelled leaves its frames poisoned, and is
 * stopped by AddressSanitizer when it ends.
 */
static void *kill_holder_later(void *arg)
{
	(void)arg;
	nap_ms(200);
	kill_and_reap();
	return NULL;
}

START_TEST(lanes_that_become_free_during_a_sleep_are_taken)
{
	pthread_t thread;

	start_holder();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	emit(1);
	pthread_create(&thread, NULL, kill_holder_later, NULL);
	ck_assert_int_eq(take(c), 1);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(lanes_that_become_free_make_the_descriptor_readable)
{
	struct tapio_view view;
	int fd, got = 0;

	start_holder();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	fd = tapio_fd(c);
	ck_assert_int_eq(tapio_poll(c, &view, 1, 0), 0);
	emit(1);
	kill_and_reap();
	for (int i = 0; !got; i++) {
		ck_assert_int_lt(i, 10);
		ck_assert(readable(fd));
		got = tapio_poll(c, &view, 1, 0);
	}
	ck_assert_int_eq(got, 1);
}
END_TEST

/* ---- everybody at once ------------------------------------------------------------ */

static void *take_one(void *arg)
{
	struct tapio_view views[4];
	int n = tapio_poll(arg, views, 4, TAPIO_FOREVER);

	ck_assert_int_eq(n, 1);
	tapio_release(arg);
	return NULL;
}

static void *wait_for_end(void *arg)
{
	struct tapio_view views[4];

	/* It has no lane: woken, it finds nothing, until the signal. */
	ck_assert_int_eq(tapio_poll(arg, views, 4, TAPIO_FOREVER), -EINTR);
	return NULL;
}

static void on_signal(int number)
{
	(void)number;
}

/* W4 wakes all: the first that sleeps there may not be the one with the lane. */
START_TEST(a_ring_wakes_every_sleeper_of_the_group)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct tapio_consumer *idle;
	pthread_t first, second;
	struct tapio_view view;

	sigaction(SIGUSR1, &action, NULL);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_poll(c, &view, 1, 0), 0); /* has all lanes */
	idle = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	pthread_create(&first, NULL, wait_for_end, idle);
	nap_ms(200);
	pthread_create(&second, NULL, take_one, c);
	nap_ms(200);
	emit(1);
	pthread_join(second, NULL);
	do { /* again, if it was on its way to sleep */
		pthread_kill(first, SIGUSR1);
		nap_ms(10);
	} while (pthread_tryjoin_np(first, NULL));
	tapio_consumer_close(idle);
}
END_TEST

static void *take_all(void *arg)
{
	uint64_t got = 0;

	while (got < EVENTS)
		got += (uint64_t)take(arg);
	return NULL;
}

/* Pauses of all lengths, so that consumers are caught at every step. */
static void emit_all(void)
{
	for (uint64_t i = 0; i < EVENTS; i++) {
		emit(i);
		for (uint64_t k = 0; k < i % 97 * 100; k++)
			tpi_cpu_relax();
		if (i % 50 == 0)
			nap_ms(1);
	}
}

START_TEST(no_group_sleeps_on_while_there_are_events)
{
	struct tapio_consumer_options options[] = {
		{.group = "g", .policy = TAPIO_GROUP_LOSSLESS, .spin_ns = 1},
		{.group = "h", .policy = TAPIO_GROUP_LOSSLESS, .spin_ns = 1},
		{.group = "m",
		 .policy = TAPIO_GROUP_LOSSLESS,
		 .wake_events = 8,
		 .wake_ns = 2 * MS},
	};
	struct tapio_consumer *all[3];
	pthread_t threads[3];

	for (int i = 0; i < 3; i++) {
		all[i] = rig_open(&options[i]);
		pthread_create(&threads[i], NULL, take_all, all[i]);
	}
	emit_all();
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_ledger(all[i], EVENTS, 0, 0);
		tapio_consumer_close(all[i]);
	}
}
END_TEST

/* ---- producers that wait for room -------------------------------------------------- */

static void *emit_and_wait(void *arg)
{
	const uint64_t *count = arg;

	pin(0);
	for (uint64_t i = 0; i < *count; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
	return NULL;
}

START_TEST(no_producer_sleeps_on_while_there_is_room)
{
	uint64_t count = EVENTS, got = 0;
	struct tapio_view views[16];
	pthread_t thread;
	int n;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	pthread_create(&thread, NULL, emit_and_wait, &count);
	while (got < EVENTS) {
		n = tapio_poll(c, views, 16, TAPIO_FOREVER);
		ck_assert_int_gt(n, 0);
		got += (uint64_t)n;
		for (uint64_t k = 0; k < got % 97 * 100; k++)
			tpi_cpu_relax();
		ck_assert_int_eq(tapio_release(c), 0);
	}
	pthread_join(thread, NULL);
	ck_assert_uint_eq(channel_stats(p).dropped, 0);
}
END_TEST

static void make_room(void)
{
	ck_assert_int_eq(take(c), 64);
}

/* S1, as for a member. */
START_TEST(room_that_is_rung_for_before_a_sleep_ends_it)
{
	uint64_t count = 65;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	at("room.looked", make_room);
	emit_and_wait(&count);
	ck_assert_ptr_null(where);
	ck_assert_int_eq(take(c), 1);
}
END_TEST

START_TEST(a_wait_for_room_is_announced_before_a_barrier)
{
	struct tpi_full room = {0};

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (int i = 0; i < 64; i++)
		emit(1);
	step_count = 0;
	tpi_testpoint_set(note_step);
	for (uint32_t i = 0; i < p->now->emit.lane_count; i++)
		if (TAPIO_STATE_TAIL(tpi_lane_peek(&p->now->emit.lanes[i])) !=
		    c->now->tracks[i].cursor->start)
			ck_assert_int_eq(tpi_full_wait(p->now,
						       &p->now->emit.lanes[i],
						       TPI_FULL, TAG, 1, &room),
					 0);
	tpi_testpoint_set(NULL);
	ck_assert_ptr_nonnull(room.word);
	ck_assert_int_eq(step_count, 3);
	ck_assert_str_eq(steps[0], "room.armed");
	ck_assert_str_eq(steps[1], "wake.barrier");
	ck_assert_str_eq(steps[2], "room.announced");
}
END_TEST

/* R2, R3 of release.c: the broker rings for a member that died between them. */
START_TEST(a_member_that_dies_before_it_rings_is_rung_for)
{
	uint64_t count = 65;
	struct tapio_view view;
	pthread_t thread;
	int go[2];
	char byte;

	ck_assert_int_eq(pipe(go), 0);
	holder = fork();
	if (!holder) {
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		if (write(go[1], "x", 1) != 1)
			_exit(1);
		while (tapio_poll(c, &view, 1, TAPIO_FOREVER) != 1)
			;
		nap_ms(300); /* the producer has filled the lane and sleeps */
		at("release.stored", die);
		tapio_release(c);
		_exit(0);
	}
	ck_assert_int_eq(read(go[0], &byte, 1), 1);
	pthread_create(&thread, NULL, emit_and_wait, &count);
	pthread_join(thread, NULL);
	ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
	close(go[0]);
	close(go[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client wake, unbounded");
	TCase *sleepers = tcase_create("sleepers");
	TCase *rooms = tcase_create("room");

	tcase_add_checked_fixture(sleepers, set_up, tear_down);
	tcase_add_test(sleepers,
		       an_answer_is_for_what_was_loaded_before_the_ring);
	tcase_add_test(sleepers, a_group_that_was_not_rung_is_not_answered);
	tcase_add_loop_test(sleepers,
			    a_producer_that_dies_before_it_rings_is_rung_for, 0,
			    sizeof(deaths) / sizeof(deaths[0]));
	tcase_add_test(sleepers, a_bell_is_rung_once_in_its_window);
	tcase_add_loop_test(
		sleepers, a_ring_that_is_not_complete_keeps_nobody_from_ringing,
		0, 2);
	tcase_add_test(sleepers, a_ring_that_takes_long_has_no_window_after_it);
	tcase_add_test(sleepers,
		       what_is_stored_for_the_wakers_is_followed_by_a_barrier);
	tcase_add_loop_test(sleepers, no_sleep_begins_in_the_window_of_a_ring,
			    0, 3);
	tcase_add_test(sleepers,
		       the_helper_of_a_descriptor_does_not_sleep_in_a_window);
	tcase_add_test(sleepers, an_announcement_is_followed_by_a_barrier);
	tcase_add_loop_test(sleepers, what_is_rung_for_before_a_sleep_ends_it,
			    0, 2);
	tcase_add_loop_test(
		sleepers,
		what_was_published_before_the_barrier_is_seen_after_it, 0, 2);
	tcase_add_loop_test(sleepers,
			    lanes_that_become_free_before_a_sleep_are_taken, 0,
			    2);
	tcase_add_test(sleepers,
		       lanes_that_become_free_during_a_sleep_are_taken);
	tcase_add_test(sleepers,
		       lanes_that_become_free_make_the_descriptor_readable);
	tcase_add_test(sleepers, a_ring_wakes_every_sleeper_of_the_group);
	tcase_add_test(sleepers, no_group_sleeps_on_while_there_are_events);
	suite_add_tcase(suite, sleepers);
	tcase_add_checked_fixture(rooms, set_up_waiting, tear_down);
	tcase_add_test(rooms, no_producer_sleeps_on_while_there_is_room);
	tcase_add_test(rooms, room_that_is_rung_for_before_a_sleep_ends_it);
	tcase_add_test(rooms, a_wait_for_room_is_announced_before_a_barrier);
	tcase_add_test(rooms, a_member_that_dies_before_it_rings_is_rung_for);
	suite_add_tcase(suite, rooms);
	return check_run(suite);
}
