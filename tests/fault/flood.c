/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members that announce themselves without end. Producers ring once in a window, however
 * many announcements there are, and the group is evicted. No member that keeps to the
 * protocol is, however often and with whatever it polls.
 *
 * The library's own consumers, behind whose back the test writes what the process may
 * write. Looks come four times a second here, and are counted by the evictions of others.
 */
#include <poll.h>
#include <pthread.h>

#include "tests/unit/client_fixture.h"

extern uint64_t tpi_tick_ns; /* broker/broker.h */

#define TICK_MS   250
#define GIVE_UP_S 60
#define EVENTS    1000000
#define LOOKS     3

#define CONFIG                                                         \
	"channel t { stamp = \"tsc\"\n"                                \
	"class main { block = 64\n blocks = 64\n side_blocks = 64 }\n" \
	"group audit { policy = until } }\n"

static struct tapio_producer *p;

static void set_up(void)
{
	tpi_tick_ns = TICK_MS * UINT64_C(1000000);
	rig_start(CONFIG);
	p = rig_producer();
}

static void tear_down(void)
{
	tapio_producer_close(p);
	rig_stop();
}

static void emit(int count)
{
	for (uint64_t i = 0; i < (uint64_t)count; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

static uint64_t count_of(const uint64_t *counter)
{
	return tpi_load_relaxed(counter);
}

static void wait_for(const uint64_t *counter, uint64_t value)
{
	time_t until = time(NULL) + GIVE_UP_S;

	while (count_of(counter) < value) {
		ck_assert_msg(time(NULL) < until, "%llu, not %llu",
			      (unsigned long long)count_of(counter),
			      (unsigned long long)value);
		nap_ms(10);
	}
}

/* ---- the attack ------------------------------------------------------------------------ */

struct attack {
	struct tapio_consumer *c;
	pthread_t thread;
	uint32_t stop;
};

static void *flood(void *arg)
{
	struct attack *a = arg;

	while (!tpi_load_relaxed(&a->stop))
		tpi_add_relaxed(&a->c->now->control->armed, 1);
	return NULL;
}

static void attack_begin(struct attack *a, const char *group)
{
	*a = (struct attack){.c = rig_consumer(group, TAPIO_GROUP_DEFAULT)};
	ck_assert_int_eq(pthread_create(&a->thread, NULL, flood, a), 0);
}

static void attack_end(struct attack *a)
{
	tpi_store_relaxed(&a->stop, 1);
	pthread_join(a->thread, NULL);
	tapio_consumer_close(a->c);
}

/*
 * Fails on commit fddcec1, where each event rings that finds an announcement: one ring
 * for each microsecond, and six of seven parts of the rate.
 */
START_TEST(producers_ring_a_flooder_once_in_a_window)
{
	struct attack a;
	uint64_t rings;
	int64_t begin;

	attack_begin(&a, "g");
	rings = *a.c->now->doorbell;
	begin = tpi_now_ns();
	emit(EVENTS);
	/* One thread emits, and the broker rings for nothing here: a difference of
	 * bells is a count of rings, and the time that they need is no measure of
	 * this machine. */
	rings = *a.c->now->doorbell - rings;
	ck_assert_uint_le(
		rings,
		(uint64_t)((tpi_now_ns() - begin) / TPI_RING_APART_NS) + 2);
	attack_end(&a);
}
END_TEST

START_TEST(a_flooder_is_evicted_and_its_neighbour_is_not)
{
	struct tapio_shm_broker *counters = p->now->client.catalog.broker;
	struct tapio_consumer *neighbour =
		rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	struct tapio_view view;
	struct attack a;
	int got;

	attack_begin(&a, _i ? "audit" : "g");
	wait_for(&counters->evictions, 1);
	ck_assert_uint_eq(count_of(&counters->suspicions), LOOKS);
	got = tapio_poll(a.c, &view, 1, TAPIO_FOREVER);
	ck_assert_int_eq(got, -ENOTCONN);
	attack_end(&a);
	emit(10);
	ck_assert_uint_eq(drain(neighbour), 10);
	ck_assert_uint_eq(count_of(&counters->evictions), 1);
	tapio_consumer_close(neighbour);
}
END_TEST

/* ---- members that keep to the protocol ------------------------------------------------- */

#define HONEST 8

struct member {
	struct tapio_consumer *c;
	pthread_t thread;
	int kind;
	uint64_t calls;
};

static uint32_t stop;

/* Each way of waiting, as often as it can be called. */
static void poll_once(struct member *m)
{
	struct tapio_view views[8];
	struct pollfd ready;
	int n;

	if (m->kind % 4 == 3) {
		ready = (struct pollfd){.fd = tapio_fd(m->c), .events = POLLIN};
		if (m->calls % 64 == 0)
			poll(&ready, 1, 1);
		n = tapio_poll(m->c, views, 8, 0);
	} else {
		n = tapio_poll(m->c, views, 8, 1000);
	}
	ck_assert_int_ge(n, 0);
	tapio_release(m->c);
	m->calls++;
}

static void *be_honest(void *arg)
{
	while (!tpi_load_relaxed(&stop))
		poll_once(arg);
	return NULL;
}

/* 0 spins, 1 does not, 2 with a watermark, 3 by the descriptor, 7 that and a merge. */
static struct tapio_consumer *open_kind(int kind)
{
	struct tapio_consumer_options options = {
		.group = kind == 2   ? "marked"
			 : kind == 7 ? "merged"
				     : "honest",
		.spin_ns = kind == 0 ? 0 : 1,
		.wake_events = kind == 2 ? 16 : 0,
		.wake_ns = kind == 2 ? 1000 : 0,
		.merge_ns = kind == 7 ? 1000 : 0,
	};

	return rig_open(&options);
}

static void *emit_all_the_time(void *arg)
{
	(void)arg;
	while (!tpi_load_relaxed(&stop))
		emit(1);
	return NULL;
}

/* As a producer that lies: the bells move without end, and nothing is to be read. */
static void *shake_bells(void *arg)
{
	struct tapio_shm_doorbells *bells = p->now->client.channel.doorbells;

	(void)arg;
	while (!tpi_load_relaxed(&stop))
		for (int slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
			tpi_add_relaxed(&bells->slots[slot].doorbell, 1);
	return NULL;
}

/* The bounds of broker/group/flood.c, F1 and F2, one member at a time and all together. */
static void assert_bounded(const struct member *members, uint32_t armed[HONEST],
			   int64_t ns)
{
	uint64_t most = 2 * ((uint64_t)(ns / TPI_RING_SETTLED_NS) + 2);

	for (int i = 0; i < HONEST; i++) {
		uint64_t in_group = 0;

		for (int k = 0; k < HONEST; k++)
			in_group += members[k].c->now->control ==
				    members[i].c->now->control;
		ck_assert_uint_le(
			tpi_load_relaxed(&members[i].c->now->control->armed) -
				armed[i],
			most * in_group);
		ck_assert(!members[i].c->now->ended);
	}
}

START_TEST(who_keeps_to_the_protocol_is_never_suspected)
{
	struct tapio_shm_broker *counters = p->now->client.catalog.broker;
	struct member members[HONEST];
	uint32_t armed[HONEST];
	pthread_t other;
	struct attack a;
	int64_t begin;

	for (int i = 0; i < HONEST; i++) {
		members[i] = (struct member){.c = open_kind(i), .kind = i};
		armed[i] = tpi_load_relaxed(&members[i].c->now->control->armed);
	}
	begin = tpi_now_ns();
	stop = 0;
	pthread_create(&other, NULL, _i ? shake_bells : emit_all_the_time,
		       NULL);
	for (int i = 0; i < HONEST; i++)
		pthread_create(&members[i].thread, NULL, be_honest,
			       &members[i]);
	/* Twice three looks have found the attackers, and so looked at us. */
	for (uint64_t i = 1; i <= 2; i++) {
		attack_begin(&a, "g");
		wait_for(&counters->evictions, i);
		attack_end(&a);
	}
	tpi_store_relaxed(&stop, 1);
	pthread_join(other, NULL);
	for (int i = 0; i < HONEST; i++)
		pthread_join(members[i].thread, NULL);
	assert_bounded(members, armed, tpi_now_ns() - begin);
	ck_assert_uint_eq(count_of(&counters->evictions), 2);
	ck_assert_uint_eq(count_of(&counters->suspicions), 2 * LOOKS);
	for (int i = 0; i < HONEST; i++)
		tapio_consumer_close(members[i].c);
}
END_TEST

/* Nothing comes: a thousand polls make one announcement. */
START_TEST(who_finds_nothing_announces_itself_once)
{
	struct member m = {.c = open_kind(_i), .kind = _i};
	uint32_t armed = tpi_load_relaxed(&m.c->now->control->armed);

	for (int i = 0; i < 1000; i++)
		poll_once(&m);
	/* And so does the helper of a descriptor. */
	ck_assert_uint_le(tpi_load_relaxed(&m.c->now->control->armed) - armed,
			  2);
	tapio_consumer_close(m.c);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("flood");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, producers_ring_a_flooder_once_in_a_window);
	tcase_add_loop_test(t, a_flooder_is_evicted_and_its_neighbour_is_not, 0,
			    2);
	tcase_add_loop_test(t, who_keeps_to_the_protocol_is_never_suspected, 0,
			    2);
	tcase_add_loop_test(t, who_finds_nothing_announces_itself_once, 0,
			    HONEST);
	return check_run_case("flood", t);
}
