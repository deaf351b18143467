/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels and seccomp profiles that refuse what the client would like to have:
 * membarrier, pidfds, madvise. It says so, goes another way, and loses nothing.
 */
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "lib/base/sys.h"
#include "tests/unit/client_fixture.h"

#ifndef TAPIO_TESTPOINTS
int main(void)
{
	puts("needs a build with TAPIO_TESTPOINTS, to make system calls fail");
	return 77;
}
#else

#define EVENTS   500

static struct tapio_producer *p;

static void teardown(void)
{
	tpi_sys_fail_none();
}

/* Within a lane events keep their order, so the thread stays with one. */
static void *emit_all(void *arg)
{
	cpu_set_t here;
	uint64_t i;
	int err;

	CPU_ZERO(&here);
	CPU_SET((size_t)sched_getcpu(), &here);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(here), &here), 0);
	for (i = 0; i < EVENTS; i++) {
		do {
			err = tapio_output(p, TAG, &i, sizeof(i));
		} while (err == -EAGAIN && !sched_yield());
		ck_assert_int_eq(err, 0);
		if (i % 50 == 0)
			nap_ms(1);
	}
	return arg;
}

/* Reads EVENTS in order, sleeping in between. */
static void read_all(struct tapio_consumer *c)
{
	struct tapio_view views[16];
	uint64_t got = 0;
	int n, k;

	while (got < EVENTS) {
		n = tapio_poll(c, views, 16, INT64_C(10000000000));
		ck_assert_int_gt(n, 0);
		for (k = 0; k < n; k++)
			ck_assert_uint_eq(*(const uint64_t *)views[k].data,
					  got++);
		tapio_release(c);
	}
}

static void stream(struct tapio_consumer *c)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, emit_all, NULL), 0);
	read_all(c);
	pthread_join(thread, NULL);
	assert_ledger(c, EVENTS, 0, 0);
}

static const int refusals[] = {EPERM, ENOSYS, EINVAL};
#define REFUSALS (int)(sizeof(refusals) / sizeof(refusals[0]))

START_TEST(a_producer_that_no_membarrier_reaches_fences_on_a_side_lane)
{
	struct tapio_consumer *c;

	rig_start(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	tpi_sys_fail(SYS_membarrier, refusals[_i], 1);
	p = rig_producer_anywhere();
	ck_assert(p->now->fence);
	ck_assert(!on_cpu_lanes(p));
	stream(c);
	ck_assert_uint_eq(channel_stats(p).side_lane, 1);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(a_consumer_without_membarrier_polls_in_its_sleep)
{
	struct tapio_consumer *c;

	rig_start(RIG_CONFIG);
	p = rig_producer();
	tpi_sys_fail(SYS_membarrier, refusals[_i], -1);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert(c->now->fence);
	stream(c);
	ck_assert(c->now->deaf);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(a_descriptor_without_membarrier_becomes_readable_all_the_same)
{
	struct tapio_consumer *c;
	struct tapio_view v;
	struct timespec end = {.tv_sec = 10};
	fd_set set;
	int fd;

	rig_start(RIG_CONFIG);
	p = rig_producer();
	tpi_sys_fail(SYS_membarrier, EPERM, -1);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	fd = tapio_fd(c);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(look(c, &v, 1), 0);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	FD_ZERO(&set);
	FD_SET(fd, &set);
	ck_assert_int_eq(pselect(fd + 1, &set, NULL, NULL, &end, NULL), 1);
	ck_assert_uint_eq(look(c, &v, 1), 1);
	tapio_release(c);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(a_producer_that_waits_without_membarrier_naps)
{
	struct tapio_consumer *c;

	rig_start("channel t { stamp = \"none\"\n full = \"wait\"\n"
		  "wait = \"20s\"\n" RIG_CLASS "}\n");
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	tpi_sys_fail(SYS_membarrier, EPERM, -1);
	p = rig_producer_anywhere();
	stream(c);
	ck_assert_uint_eq(channel_stats(p).dropped, 0);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(without_a_pidfd_the_broker_takes_us_by_our_credentials)
{
	struct tapio_consumer *c;

	rig_start(RIG_CONFIG);
	tpi_sys_fail(SYS_pidfd_open, refusals[_i], 1);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	stream(c);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(without_wipeonfork_a_child_is_told_by_the_atfork_handler)
{
	pid_t pid;

	rig_start(RIG_CONFIG);
	tpi_sys_fail_argument(SYS_madvise, MADV_WIPEONFORK, EINVAL, -1);
	p = rig_producer();
	pid = fork();
	if (!pid)
		_exit(tapio_output(p, TAG, "x", 1) != -ECHILD);
	ck_assert(child_ok(pid));
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(a_verdict_that_is_not_proven_is_the_brokers_or_a_side_lane)
{
	uint32_t *theirs;

	rig_start(RIG_CONFIG);
	p = rig_producer();
	theirs = &p->now->client.catalog.broker->rseq_verdict;
	ck_assert_uint_eq(p->now->verdict, tpi_rseq_selftest(NULL));
	ck_assert(on_cpu_lanes(p) == (p->now->verdict == TAPIO_RSEQ_PROVEN));
	ck_assert_uint_ne(*theirs, TAPIO_RSEQ_UNKNOWN);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client denied");
	TCase *t = tcase_create("denied");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(
		t, a_producer_that_no_membarrier_reaches_fences_on_a_side_lane,
		0, REFUSALS);
	tcase_add_loop_test(t, a_consumer_without_membarrier_polls_in_its_sleep,
			    0, REFUSALS);
	tcase_add_test(
		t,
		a_descriptor_without_membarrier_becomes_readable_all_the_same);
	tcase_add_test(t, a_producer_that_waits_without_membarrier_naps);
	tcase_add_loop_test(
		t, without_a_pidfd_the_broker_takes_us_by_our_credentials, 0,
		REFUSALS);
	tcase_add_test(
		t, without_wipeonfork_a_child_is_told_by_the_atfork_handler);
	tcase_add_test(
		t, a_verdict_that_is_not_proven_is_the_brokers_or_a_side_lane);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
#endif
