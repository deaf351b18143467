/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp profile forbids membarrier to one side only: to the broker, to a producer,
 * or to a consumer. Then the others cannot rely on an interrupt either. Groups join and
 * leave while events pass, consumers sleep, and every lossless one gets every event.
 */
#include <pthread.h>
#include <sys/syscall.h>

#include "tests/fault/deny.h"
#include "tests/unit/broker_child.h"

#define EVENTS  3000
#define JOINERS 30

static bool denied;

static void deny(void)
{
	denied = deny_syscall(SYS_membarrier, EPERM);
}

static void deny_or_die(void)
{
	deny();
	if (!denied)
		_exit(1);
}

/* Emits EVENTS numbers, with naps so that the consumer sleeps. On one CPU: only the events of
 * one lane have an order. */
static void *emit_all(void *arg)
{
	struct tapio_producer *p = arg;
	uint64_t i;
	int err;

	pin(0);
	for (i = 0; i < EVENTS; i++) {
		while ((err = tapio_output(p, TAG, &i, sizeof(i))) == -EAGAIN)
			sched_yield();
		ck_assert_int_eq(err, 0);
		if (i % 100 == 0)
			nap_ms(1);
	}
	return NULL;
}

#define LANES 64

/*
 * Reads them all, those of each lane in order. It slept for some. A section that is aborted
 * again and again, as on a busy machine, goes to a side lane.
 */
static void *read_all(void *arg)
{
	struct tapio_consumer *c = arg;
	uint64_t got = 0, sum = 0, number, next[LANES] = {0};
	struct tapio_view views[16];
	int n, k;

	while (got < EVENTS) {
		n = tapio_poll(c, views, 16, INT64_C(20000000000));
		ck_assert_int_gt(n, 0);
		for (k = 0; k < n; k++, got++) {
			number = *(const uint64_t *)views[k].data;
			ck_assert_uint_lt(views[k].lane, LANES);
			ck_assert_uint_ge(number, next[views[k].lane]);
			next[views[k].lane] = number + 1;
			sum += number;
		}
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(sum, UINT64_C(1) * EVENTS * (EVENTS - 1) / 2);
	assert_ledger(c, EVENTS, 0, 0);
	return NULL;
}

/* A lossless group that joins now gets what follows without a hole. */
static void join_and_read_some(void)
{
	struct tapio_consumer *c = rig_consumer("joiner", TAPIO_GROUP_LOSSLESS);
	uint64_t number, next = 0, got = 0;
	struct tapio_view views[16];
	int n, k;

	while (got < 20) {
		n = tapio_poll(c, views, 16, 20000000);
		ck_assert_int_ge(n, 0);
		if (!n)
			break; /* the producer has finished */
		for (k = 0; k < n; k++, got++) {
			ck_assert(!(views[k].flags & TAPIO_VIEW_GAP));
			number = *(const uint64_t *)views[k].data;
			ck_assert(!got || number == next);
			next = number + 1;
		}
		ck_assert_int_eq(tapio_release(c), 0);
	}
	ck_assert_uint_eq(group_stats(c).lost, 0);
	tapio_consumer_close(c);
}

static void stream(struct tapio_producer *p, struct tapio_consumer *c)
{
	pthread_t writer, reader;
	int i;

	ck_assert_int_eq(pthread_create(&reader, NULL, read_all, c), 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, emit_all, p), 0);
	for (i = 0; i < JOINERS; i++)
		join_and_read_some();
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
}

/*
 * On fddcec1 producers look at their own right only, and commit on CPUs' lanes
 * without a fence, while the broker lets groups join without a barrier.
 */
START_TEST(a_broker_without_membarrier_has_producers_that_fence)
{
	struct tapio_producer *p;
	struct tapio_consumer *c;

	broker_child_start(RIG_CONFIG, deny_or_die);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p = rig_producer_anywhere();
	ck_assert_uint_eq(p->now->client.catalog.broker->features &
				  TAPIO_FEATURE_MEMBARRIER,
			  0);
	ck_assert(p->now->fence);
	ck_assert(!on_cpu_lanes(p));
	stream(p, c);
	ck_assert_uint_eq(channel_stats(p).side_lane, 1);
	tapio_producer_close(p);
	tapio_consumer_close(c);
	broker_child_kill();
}
END_TEST

START_TEST(clients_without_membarrier_fence_and_poll)
{
	struct tapio_producer *p;
	struct tapio_consumer *c;

	broker_child_start(RIG_CONFIG, NULL);
	deny();
	if (!denied)
		return;
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p = rig_producer_anywhere();
	ck_assert_uint_ne(p->now->client.catalog.broker->features &
				  TAPIO_FEATURE_MEMBARRIER,
			  0);
	ck_assert(p->now->fence && c->now->fence);
	ck_assert(!on_cpu_lanes(p));
	stream(p, c);
	tapio_producer_close(p);
	tapio_consumer_close(c);
	broker_child_kill();
}
END_TEST

/* A consumer that may not make barriers sleeps briefly instead, without a
 * ring. */
START_TEST(a_consumer_without_membarrier_beside_a_producer_with_it)
{
	struct tapio_producer *p;
	struct tapio_consumer *c;
	pthread_t writer;
	pid_t pid;

	broker_child_start(RIG_CONFIG, NULL);
	p = rig_producer();
	pid = fork();
	if (!pid) {
		deny_or_die();
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		read_all(c);
		_exit(c->now->deaf ? 0 : 1);
	}
	/* Not before it has joined. */
	while (!tpi_load_relaxed(&p->now->client.shared->active))
		nap_ms(1);
	ck_assert_int_eq(pthread_create(&writer, NULL, emit_all, p), 0);
	pthread_join(writer, NULL);
	ck_assert(child_ok(pid));
	tapio_producer_close(p);
	broker_child_kill();
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *t;
	pid_t pid = fork();
	int status = -1;

	if (!pid) {
		deny();
		_exit(!denied);
	}
	waitpid(pid, &status, 0);
	if (status) {
		puts("needs seccomp filters");
		return 77;
	}
	suite = suite_create("membarrier");
	t = tcase_create("membarrier");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, a_broker_without_membarrier_has_producers_that_fence);
	tcase_add_test(t, clients_without_membarrier_fence_and_poll);
	tcase_add_test(t,
		       a_consumer_without_membarrier_beside_a_producer_with_it);
	suite_add_tcase(suite, t);
	return check_run(suite);
}
