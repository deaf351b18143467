/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process whose self-test of rseq could not be made: producers and pools use the
 * broker's verdict, and where it has none, the one that comes later.
 *
 * No thread can be started here while `refuse` is set (--wrap at link time), so the
 * test cannot be made. A broker in this process shares that. One in a child does not.
 */
#include <tapio/pool.h>

#include "lib/base/thread.h"
#include "tests/cpu_lanes.h"
#include "tests/unit/broker_child.h"

static bool refuse;

int __real_tpi_thread_start(pthread_t *thread, void *(*run)(void *), void *arg);
int __wrap_tpi_thread_start(pthread_t *thread, void *(*run)(void *), void *arg);
int __wrap_tpi_thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	return refuse ? -EAGAIN : __real_tpi_thread_start(thread, run, arg);
}

static struct tapio_pool *make_pool(void)
{
	struct tapio_pool_options options = {
		.size = sizeof(options),
		.object_bytes = 64,
		.count = 1000,
	};
	struct tapio_pool *pool;

	ck_assert_int_eq(tapio_pool_create(&pool, &options), 0);
	return pool;
}

/* Whether an object that was put lies in a CPU's list. */
static bool uses_lists(struct tapio_pool *pool)
{
	struct tapio_pool_stats stats = {.size = sizeof(stats)};
	void *object;

	ck_assert_int_eq(tapio_pool_get(pool, &object), 0);
	ck_assert_int_eq(tapio_pool_put(pool, object), 0);
	ck_assert_int_eq(tapio_pool_stats_read(pool, &stats), 0);
	return stats.cached > 0;
}

static void emit(struct tapio_producer *p)
{
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
}

/* ---- a broker that has a verdict of its own -------------------------------- */

static void allow_threads(void)
{
	refuse = false;
}

START_TEST(the_brokers_verdict_puts_a_producer_on_cpu_lanes)
{
	struct tapio_producer *p;

	refuse = true;
	broker_child_start(RIG_CONFIG, allow_threads);
	p = rig_producer_anywhere();
	ck_assert_uint_eq(p->now->verdict, TAPIO_RSEQ_INCONCLUSIVE);
	ck_assert(on_cpu_lanes(p));
	emit(p);
	ck_assert_uint_eq(channel_stats(p).side_lane, 0);
	tapio_producer_close(p);
	broker_child_kill();
}
END_TEST

/* On fddcec1 a pool does not ask the broker, and does without its lists for ever. */
START_TEST(the_brokers_verdict_gives_a_pool_its_lists)
{
	struct tapio_pool *before, *after;
	struct tapio_consumer *c;

	refuse = true;
	broker_child_start(RIG_CONFIG, allow_threads);
	before = make_pool();
	ck_assert(!uses_lists(before));
	/* Whatever the handle is for, the verdict is heard. */
	c = rig_consumer("g", TAPIO_GROUP_UNTIL);
	after = make_pool();
	ck_assert(uses_lists(after));
	/* The first get looks, the next put uses it. */
	uses_lists(before);
	ck_assert(uses_lists(before));
	tapio_pool_close(before);
	tapio_pool_close(after);
	tapio_consumer_close(c);
	broker_child_kill();
}
END_TEST

/* ---- a verdict that comes late ---------------------------------------------- */

static void wait_for_verdict(const struct tapio_producer *p)
{
	const uint32_t *verdict = &p->now->client.catalog.broker->rseq_verdict;
	int i;

	for (i = 0; i < 1000; i++) {
		/* ORDER broker.rseq (acquire): pairs with the release in
		 * tpi_registry_test_rseq(). */
		if (tpi_load_acquire(verdict) != TAPIO_RSEQ_INCONCLUSIVE)
			break;
		nap_ms(10);
	}
	ck_assert_uint_eq(tpi_load_acquire(verdict), TAPIO_RSEQ_PROVEN);
	ck_assert_ptr_null(
		strstr(p->now->client.catalog.broker->rseq_reason, "thread"));
}

START_TEST(the_broker_tries_again_and_open_handles_follow)
{
	struct tapio_producer *p, *later;
	struct tapio_pool *pool;

	refuse = true;
	rig_start(RIG_CONFIG);
	pool = make_pool();
	p = rig_producer_anywhere();
	ck_assert_uint_eq(p->now->client.catalog.broker->rseq_verdict,
			  TAPIO_RSEQ_INCONCLUSIVE);
	ck_assert(!on_cpu_lanes(p));
	emit(p);
	ck_assert_uint_eq(channel_stats(p).side_lane, 1);
	ck_assert(!uses_lists(pool));

	refuse = false;
	wait_for_verdict(p);
	/* The second event goes to a CPU's lane. */
	emit(p);
	ck_assert(on_cpu_lanes(p));
	ck_assert_uint_eq(channel_stats(p).rseq, TAPIO_RSEQ_PROVEN);
	uses_lists(pool);
	ck_assert(uses_lists(pool));
	later = rig_producer_anywhere();
	emit(later);
	ck_assert_uint_eq(channel_stats(later).side_lane, 0);
	tapio_pool_close(pool);
	tapio_producer_close(later);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

/* fddcec1 keeps "inconclusive" for the life of the process. */
START_TEST(the_next_open_tries_again)
{
	struct tapio_producer *first, *second;

	refuse = true;
	rig_start(RIG_CONFIG);
	first = rig_producer_anywhere();
	ck_assert(!on_cpu_lanes(first));
	refuse = false;
	second = rig_producer_anywhere();
	ck_assert_uint_eq(second->now->verdict, TAPIO_RSEQ_PROVEN);
	ck_assert(on_cpu_lanes(second));
	tapio_producer_close(first);
	tapio_producer_close(second);
	rig_stop();
}
END_TEST

/* A reservation stays on its side lane when the handle goes over to CPUs' lanes. */
START_TEST(what_is_reserved_on_a_side_lane_is_submitted_there)
{
	struct tapio_reservation r;
	struct tapio_producer *p;
	struct tapio_consumer *c;

	refuse = true;
	rig_start(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p = rig_producer_anywhere();
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), 0);
	refuse = false;
	wait_for_verdict(p);
	emit(p);
	emit(p);
	ck_assert(on_cpu_lanes(p));
	memcpy(r.data, "reserved", 8);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
	ck_assert_uint_eq(drain(c), 3);
	assert_ledger(c, 3, 0, 0);
	assert_nothing_held(p);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *t;

	if (side_flavour()) {
		puts("needs rseq");
		return 77;
	}
	suite = suite_create("client verdict");
	t = tcase_create("verdict");
	tcase_add_test(t, the_brokers_verdict_puts_a_producer_on_cpu_lanes);
	tcase_add_test(t, the_brokers_verdict_gives_a_pool_its_lists);
	tcase_add_test(t, the_broker_tries_again_and_open_handles_follow);
	tcase_add_test(t, the_next_open_tries_again);
	tcase_add_test(t, what_is_reserved_on_a_side_lane_is_submitted_there);
	suite_add_tcase(suite, t);
	return check_run(suite);
}
