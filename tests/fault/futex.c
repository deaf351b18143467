/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels and seccomp profiles that refuse futexes, and sleeps that end early. Each
 * event and each value arrives once and in order, and a sleeper that cannot sleep
 * naps: the number of its calls is bounded by its time, whatever the machine does.
 *
 * On commit fddcec1 the calls do not go through sys.h, so no rule reaches them and
 * each test fails at its first look at tpi_sys_failed(). A sleeper whose calls fail
 * there spins until its time-out.
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "lib/base/futex.h"
#include "tests/unit/client_fixture.h"

#ifndef TAPIO_TESTPOINTS
int main(void)
{
	puts("needs a build with TAPIO_TESTPOINTS, to make system calls fail");
	return 77;
}
#else

#include <tapio/ring.h>

#define EVENTS    300
#define MS        INT64_C(1000000)
#define WAIT_MS   60
/* Naps that fit into that time, and one that is cut short. */
#define NAPS_MOST (WAIT_MS * MS / TPI_FUTEX_NAP_NS + 1)

#define WAITING                                                             \
	"channel t { stamp = \"none\"\n full = \"wait\"\n wait = \"60s\"\n" \
	"class main { block = 64\n blocks = 8\n side_blocks = 8 } }\n"

/* The answer to the calls, and how many get it. */
static const struct refusal {
	int operation;
	int error;
	int count; /* < 0: all */
} refusals[] = {
	{FUTEX_WAIT, ENOSYS, -1}, {FUTEX_WAIT, EPERM, -1},
	{FUTEX_WAIT, EINTR, 40},  {FUTEX_WAIT, EAGAIN, 40},
	{FUTEX_WAKE, ENOSYS, -1}, {FUTEX_WAKE, EINTR, 40},
};
#define REFUSALS (int)(sizeof(refusals) / sizeof(refusals[0]))

static const struct refusal *refusal;

static void refuse(int i)
{
	refusal = &refusals[i];
	tpi_sys_fail_argument(SYS_futex, refusal->operation, refusal->error,
			      refusal->count);
}

static unsigned int refused(void)
{
	return tpi_sys_failed(SYS_futex, refusal->operation);
}

static void teardown(void)
{
	tpi_sys_fail_none();
}

static void *emit_all(void *arg)
{
	struct tapio_producer *p = arg;
	uint64_t i;

	pin(0); /* events of one lane are in order */
	for (i = 0; i < EVENTS; i++) {
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
		/* So that the consumer goes to sleep again and again. */
		if (i % 20 == 0)
			nap_ms(1);
	}
	return NULL;
}

static void read_all(struct tapio_consumer *c)
{
	struct tapio_view views[4];
	uint64_t got = 0;
	int interrupted = 0, n, k;

	while (got < EVENTS) {
		n = tapio_poll(c, views, 4, TAPIO_FOREVER);
		if (n == -EINTR) {
			ck_assert_int_eq(refusal->error, EINTR);
			ck_assert_int_le(++interrupted, refusal->count);
			continue;
		}
		ck_assert_int_gt(n, 0);
		for (k = 0; k < n; k++)
			ck_assert_uint_eq(*(const uint64_t *)views[k].data,
					  got++);
		ck_assert_int_eq(tapio_release(c), 0);
		/* So that the producer waits for room again and again. */
		if (got % 32 == 0)
			nap_ms(1);
	}
}

START_TEST(events_arrive_once_and_in_order_whatever_futexes_answer)
{
	struct tapio_consumer *c;
	struct tapio_producer *p;
	pthread_t thread;

	rig_start(WAITING);
	p = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	refuse(_i);
	ck_assert_int_eq(pthread_create(&thread, NULL, emit_all, p), 0);
	read_all(c);
	pthread_join(thread, NULL);
	assert_ledger(c, EVENTS, 0, 0);
	ck_assert_uint_eq(channel_stats(p).dropped, 0);
	ck_assert_uint_gt(refused(), 0);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

/* The first two: the call itself is refused, and for ever. */
START_TEST(a_consumer_that_cannot_sleep_naps_and_does_not_spin)
{
	struct tapio_consumer *c;
	struct tapio_view view;

	rig_start(WAITING);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	refuse(_i);
	ck_assert_int_eq(tapio_poll(c, &view, 1, WAIT_MS * MS), 0);
	ck_assert_uint_gt(refused(), 0);
	ck_assert_uint_le(refused(), NAPS_MOST);
	tapio_consumer_close(c);
	rig_stop();
}
END_TEST

START_TEST(a_producer_that_cannot_sleep_naps_and_does_not_spin)
{
	struct tapio_consumer *c;
	struct tapio_producer *p;
	uint64_t sent = 0;
	int err;

	rig_start("channel t { stamp = \"none\"\n full = \"wait\"\n"
		  "wait = \"60ms\"\n class main { block = 64\n blocks = 8\n"
		  "side_blocks = 8 } }\n");
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p = rig_producer();
	refuse(_i);
	pin(0); /* another CPU's lane has room */
	while (!(err = tapio_output(p, TAG, &sent, sizeof(sent))))
		sent++;
	ck_assert_int_eq(err, -ETIMEDOUT);
	ck_assert_uint_gt(refused(), 0);
	ck_assert_uint_le(refused(), NAPS_MOST);
	ck_assert_uint_eq(dropped(p, TAPIO_DROP_TIMEOUT), 1);
	ck_assert_uint_eq(drain(c), sent);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

START_TEST(the_thread_behind_a_descriptor_naps_and_raises_it)
{
	struct tapio_consumer *c;
	struct tapio_producer *p;
	struct tapio_view view;
	struct pollfd set = {.events = POLLIN};

	rig_start(WAITING);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	p = rig_producer();
	refuse(_i);
	set.fd = tapio_fd(c);
	ck_assert_int_ge(set.fd, 0);
	ck_assert_uint_eq(look(c, &view, 1), 0);
	/* The thread has tried to sleep, however late it began. A refused wake
	 * comes with the event. */
	while (refusal->operation == FUTEX_WAIT && !refused())
		nap_ms(1);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), 0);
	ck_assert_int_eq(poll(&set, 1, 20000), 1);
	ck_assert_uint_eq(look(c, &view, 1), 1);
	ck_assert_uint_gt(refused(), 0);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

static void *put_all(void *arg)
{
	struct tapio_ring *ring = arg;
	uint64_t i;

	for (i = 0; i < EVENTS; i++) {
		ck_assert_int_eq(tapio_ring_put(ring, i, TAPIO_FOREVER), 0);
		if (i % 20 == 0)
			nap_ms(1);
	}
	return NULL;
}

static struct tapio_ring *new_ring(uint32_t capacity)
{
	struct tapio_ring *ring;

	ck_assert_int_eq(tapio_ring_create(&ring, capacity), 0);
	return ring;
}

START_TEST(values_come_out_once_and_in_order_whatever_futexes_answer)
{
	struct tapio_ring *ring = new_ring(4);
	uint64_t value, i;
	pthread_t thread;

	refuse(_i);
	ck_assert_int_eq(pthread_create(&thread, NULL, put_all, ring), 0);
	for (i = 0; i < EVENTS; i++) {
		ck_assert_int_eq(tapio_ring_get(ring, &value, TAPIO_FOREVER),
				 0);
		ck_assert_uint_eq(value, i);
		if (i % 32 == 0)
			nap_ms(1);
	}
	pthread_join(thread, NULL);
	ck_assert_uint_gt(refused(), 0);
	tapio_ring_close(ring);
}
END_TEST

START_TEST(a_thread_at_a_ring_that_cannot_sleep_naps)
{
	struct tapio_ring *ring = new_ring(1);
	uint64_t value;

	refuse(_i);
	ck_assert_int_eq(tapio_ring_get(ring, &value, WAIT_MS * MS),
			 -ETIMEDOUT);
	ck_assert_uint_gt(refused(), 0);
	ck_assert_uint_le(refused(), NAPS_MOST);
	tapio_ring_close(ring);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("futex");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(
		t, events_arrive_once_and_in_order_whatever_futexes_answer, 0,
		REFUSALS);
	tcase_add_loop_test(
		t, a_consumer_that_cannot_sleep_naps_and_does_not_spin, 0, 2);
	tcase_add_loop_test(
		t, a_producer_that_cannot_sleep_naps_and_does_not_spin, 0, 2);
	tcase_add_loop_test(t,
			    the_thread_behind_a_descriptor_naps_and_raises_it,
			    0, REFUSALS);
	tcase_add_loop_test(
		t, values_come_out_once_and_in_order_whatever_futexes_answer, 0,
		REFUSALS);
	tcase_add_loop_test(t, a_thread_at_a_ring_that_cannot_sleep_naps, 0, 2);
	return check_run_case("futex", t);
}
#endif
