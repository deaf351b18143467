/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking: no consumer sleeps while there is something to do, no
 * producer rings for one that is awake, and while all are awake none of them
 * enters the kernel.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "tests/unit/client_fixture.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define EVENTS 2000

static struct tapio_producer *p;

static void set_up(const char *config)
{
	rig_start(config);
	p = rig_producer();
}

static void tear_down(void)
{
	tapio_producer_close(p);
	rig_stop();
}

static void emit(uint64_t value)
{
	int err;

	while ((err = tapio_output(p, TAG, &value, sizeof(value))) == -EAGAIN)
		sched_yield();
	ck_assert_int_eq(err, 0);
}

/* Emits EVENTS, with pauses that let consumers fall asleep now and then. */
static void *emit_all(void *arg)
{
	uint64_t i;

	(void)arg;
	for (i = 0; i < EVENTS; i++) {
		emit(i);
		if (i % 64 == 0)
			nap_ms(1);
	}
	return NULL;
}

/* Reads EVENTS in order, waiting without end each time. */
static void read_all(struct tapio_consumer *c)
{
	struct tapio_view views[16];
	uint64_t got = 0;
	int n, k;

	while (got < EVENTS) {
		n = tapio_poll(c, views, 16, TAPIO_FOREVER);
		ck_assert_int_gt(n, 0);
		for (k = 0; k < n; k++)
			got += *(const uint64_t *)views[k].data < EVENTS;
		tapio_release(c);
	}
}

START_TEST(a_sleeping_consumer_is_woken_for_every_event)
{
	struct tapio_consumer *c;
	pthread_t thread;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(pthread_create(&thread, NULL, emit_all, NULL), 0);
	read_all(c);
	pthread_join(thread, NULL);
	ck_assert_uint_gt(c->now->sleeps, 0);
	assert_ledger(c, EVENTS, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

static void *read_all_thread(void *arg)
{
	read_all(arg);
	return NULL;
}

START_TEST(one_event_wakes_the_sleepers_of_every_group)
{
	struct tapio_consumer *c[3];
	pthread_t threads[3];
	int i;

	set_up(RIG_CONFIG);
	for (i = 0; i < 3; i++) {
		c[i] = rig_consumer(NULL, TAPIO_GROUP_LOSSLESS);
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						read_all_thread, c[i]),
				 0);
	}
	emit_all(NULL);
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_ledger(c[i], EVENTS, 0, 0);
		tapio_consumer_close(c[i]);
	}
	tear_down();
}
END_TEST

/*
 * Polls until an announcement stands that no ring has answered. One poll may not get that
 * far: its time passes, too, while its thread has no CPU.
 */
static void poll_until_announced(struct tapio_consumer *c)
{
	struct tapio_view v;

	do
		ck_assert_int_eq(tapio_poll(c, &v, 1, 1000000), 0);
	while (!c->now->call.made || c->now->call.heard != *c->now->doorbell);
}

START_TEST(an_answered_announcement_is_not_rung_for_again)
{
	struct tapio_consumer *c;
	const uint32_t *bell;
	uint32_t before;
	int i;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	bell = c->now->doorbell;
	/* No consumer has slept: no ring. */
	before = *bell;
	for (i = 0; i < 10; i++)
		emit(1);
	ck_assert_uint_eq(*bell, before);
	drain(c);
	/* One announcement: one ring. */
	poll_until_announced(c);
	for (i = 0; i < 10; i++)
		emit(1);
	ck_assert_uint_eq(*bell, before + 1);
	drain(c);
	/* An announcement of one group is not another's. */
	poll_until_announced(c);
	poll_until_announced(c);
	for (i = 0; i < 10; i++)
		emit(1);
	ck_assert_uint_eq(*bell, before + 2);
	drain(c);
	assert_ledger(c, 30, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(a_producers_announcement_is_answered_by_one_ring)
{
	struct tapio_consumer *c;
	struct tapio_view v;
	uint32_t before;
	int i;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	before = c->now->control->room;
	for (i = 0; i < 3; i++)
		emit(1);
	tpi_add_relaxed(&p->now->emit.doorbells->room_armed, 1);
	for (i = 0; i < 3; i++) {
		ck_assert_uint_eq(look(c, &v, 1), 1);
		ck_assert_int_eq(tapio_release(c), 0);
		ck_assert_uint_eq(c->now->control->room, before + 1);
	}
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(announcements_go_on_where_their_counter_wraps)
{
	struct tapio_consumer *c;
	uint32_t before, slot;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	slot = c->now->client.granted.group_slot;
	tpi_store_relaxed(&c->now->control->armed, UINT32_MAX);
	tpi_store_relaxed(&p->now->client.channel.doorbells->answered[slot],
			  UINT32_MAX);
	before = *c->now->doorbell;
	tpi_announce(c->now);
	ck_assert_uint_eq(c->now->control->armed, 0);
	emit(1);
	ck_assert_uint_eq(*c->now->doorbell, before + 1);
	emit(1);
	ck_assert_uint_eq(*c->now->doorbell, before + 1);
	drain(c);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* Fails on commit fddcec1: one bell served all groups. */
START_TEST(a_group_is_rung_for_its_own_announcement_alone)
{
	struct tapio_consumer *g, *h;
	uint32_t bells[2], answered;

	set_up(RIG_CONFIG);
	g = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	h = rig_consumer("h", TAPIO_GROUP_LOSSLESS);
	bells[0] = *g->now->doorbell;
	bells[1] = *h->now->doorbell;
	answered =
		h->now->doorbells->answered[h->now->client.granted.group_slot];
	tpi_announce(g->now);
	emit(1);
	ck_assert_uint_eq(*g->now->doorbell, bells[0] + 1);
	ck_assert_uint_eq(*h->now->doorbell, bells[1]);
	ck_assert_uint_eq(
		h->now->doorbells->answered[h->now->client.granted.group_slot],
		answered);
	tpi_announce(h->now);
	emit(1);
	ck_assert_uint_eq(*g->now->doorbell, bells[0] + 1);
	ck_assert_uint_eq(*h->now->doorbell, bells[1] + 1);
	tapio_consumer_close(g);
	tapio_consumer_close(h);
	tear_down();
}
END_TEST

/* Every way of publishing. */
static void by_output(void)
{
	emit(1);
}

static void by_large_output(void)
{
	static unsigned char bytes[8192];

	ck_assert_int_eq(tapio_output(p, TAG, bytes, sizeof(bytes)), 0);
}

static void by_batch(void)
{
	struct tapio_item items[2] = {{"a", 1, TAG}, {"b", 1, TAG}};

	ck_assert_int_eq(tapio_output_batch(p, items, 2), 2);
}

static void by_submit(void)
{
	struct tapio_reservation r;

	ck_assert_int_eq(tapio_reserve(p, TAG, 1, &r), 0);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
}

static void by_submit_batch(void)
{
	struct tapio_reservation r[2];

	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 1, r, 2), 2);
	ck_assert_int_eq(tapio_submit_batch(p, r, 2), 2);
}

static void by_submit_elsewhere(void)
{
	struct tapio_reservation r;

	pin(0);
	ck_assert_int_eq(tapio_reserve(p, TAG, 1, &r), 0);
	pin(cpu_count() - 1);
	ck_assert_int_eq(tapio_submit(p, &r), 0);
}

/* Consumers have to pass it, or it keeps its slot from producers. */
static void by_discard(void)
{
	struct tapio_reservation r;

	ck_assert_int_eq(tapio_reserve(p, TAG, 1, &r), 0);
	ck_assert_int_eq(tapio_discard(p, &r), 0);
}

static void by_side_lane(void)
{
	uint32_t cpus = p->now->emit.cpus;

	p->now->emit.cpus = 0;
	emit(1);
	p->now->emit.cpus = cpus;
}

static void (*const ways[])(void) = {
	by_output,       by_large_output,     by_batch,   by_submit,
	by_submit_batch, by_submit_elsewhere, by_discard, by_side_lane,
};

START_TEST(every_way_of_publishing_rings)
{
	struct tapio_consumer *c;
	const uint32_t *bell;
	uint32_t before;

	set_up("channel t { stamp = \"none\"\n class main { block = 8192\n"
	       "blocks = 16\n side_blocks = 16 } }\n");
	pin(0);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	bell = c->now->doorbell;
	poll_until_announced(c);
	before = *bell;
	ways[_i]();
	ck_assert_uint_eq(*bell, before + 1);
	ways[_i]();
	ck_assert_uint_eq(*bell, before + 1);
	drain(c);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(an_idle_consumer_announces_itself_once_and_sleeps_to_the_bound)
{
	struct tapio_consumer *c;
	struct tapio_view v;
	uint32_t armed;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	armed = c->now->control->armed;
	ck_assert_int_eq(tapio_poll(c, &v, 1, 450000000), 0);
	ck_assert_uint_eq(c->now->control->armed, armed + 1);
	/* 100 ms each, and the rest. */
	ck_assert_uint_le(c->now->sleeps, 6);
	ck_assert_uint_eq(c->now->wakeups, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

static void on_signal(int number)
{
	(void)number;
}

START_TEST(a_signal_ends_a_sleep)
{
	struct itimerval timer = {.it_value = {.tv_usec = 20000}};
	struct sigaction action = {.sa_handler = on_signal,
				   .sa_flags = SA_RESTART};
	struct tapio_consumer *c;
	struct tapio_view v;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	/* The timer's signal may hit another thread. Then it tries again. */
	timer.it_interval.tv_usec = 20000;
	setitimer(ITIMER_REAL, &timer, NULL);
	ck_assert_int_eq(tapio_poll(c, &v, 1, TAPIO_FOREVER), -EINTR);
	timer = (struct itimerval){0};
	setitimer(ITIMER_REAL, &timer, NULL);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* ---- producers that wait ----------------------------------------------------------- */

#define WAITING                                            \
	"channel t { stamp = \"none\"\n full = \"wait\"\n" \
	"wait = \"%s\"\n" RIG_CLASS "}\n"

static const char *waiting(const char *wait)
{
	static char text[512];

	snprintf(text, sizeof(text), WAITING, wait);
	return text;
}

static void *emit_and_wait(void *arg)
{
	uint64_t i;

	(void)arg;
	for (i = 0; i < EVENTS; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
	return NULL;
}

START_TEST(a_producer_that_waits_is_woken_by_a_release)
{
	struct tapio_consumer *c;
	struct tapio_view views[64];
	pthread_t thread;
	uint64_t got = 0;
	int n;

	set_up(waiting("20s"));
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(pthread_create(&thread, NULL, emit_and_wait, NULL), 0);
	while (got < EVENTS) {
		nap_ms(1);
		n = tapio_poll(c, views, 64, TAPIO_FOREVER);
		ck_assert_int_gt(n, 0);
		got += (unsigned int)n;
		tapio_release(c);
	}
	pthread_join(thread, NULL);
	ck_assert_uint_eq(channel_stats(p).dropped, 0);
	assert_ledger(c, EVENTS, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(who_waits_in_vain_is_refused_after_the_channels_wait)
{
	struct tapio_item items[2];
	struct tapio_reservation r;
	struct tapio_consumer *c;
	uint64_t i = 0;
	int64_t before;

	pin(0);
	set_up(waiting("30ms"));
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	while (i < 64)
		emit(i++);
	before = tpi_now_ns();
	ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), -ETIMEDOUT);
	ck_assert_int_ge(tpi_now_ns() - before, 30000000);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r), -ETIMEDOUT);
	items[0] = items[1] = (struct tapio_item){&i, sizeof(i), TAG};
	ck_assert_int_eq(tapio_output_batch(p, items, 2), -ETIMEDOUT);
	ck_assert_uint_eq(dropped(p, TAPIO_DROP_TIMEOUT), 4);
	ck_assert_uint_eq(channel_stats(p).dropped, 4);
	ck_assert_uint_eq(drain(c), 64);
	assert_ledger(c, 64, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(a_wait_for_blocks_in_hand_ends_too)
{
	struct tapio_reservation r[32], one;
	struct tapio_consumer *c;

	pin(0);
	set_up(waiting("10ms"));
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 32), 32);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &one), -ETIMEDOUT);
	ck_assert_int_eq(tapio_discard_batch(p, r, 32), 32);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &one), 0);
	ck_assert_int_eq(tapio_discard(p, &one), 0);
	ck_assert_uint_eq(drain(c), 0);
	assert_ledger(c, 0, 33, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* ---- the pollable descriptor ------------------------------------------------------- */

static bool readable(int fd, int ms)
{
	struct pollfd f = {.fd = fd, .events = POLLIN};

	return poll(&f, 1, ms) == 1;
}

START_TEST(the_descriptor_is_readable_exactly_while_there_may_be_events)
{
	struct tapio_consumer *c;
	struct tapio_view views[4];
	int fd, i;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	fd = tapio_fd(c);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(tapio_fd(c), fd);
	ck_assert(readable(fd, 0));
	ck_assert_uint_eq(look(c, views, 4), 0);
	ck_assert(!readable(fd, 0));
	for (i = 0; i < 10; i++)
		emit(1);
	ck_assert(readable(fd, 5000));
	for (i = 0; i < 3; i++) {
		/* Level-triggered: as long as something is left. */
		ck_assert(readable(fd, 0));
		ck_assert_uint_eq(look(c, views, 4), i < 2 ? 4 : 2);
		tapio_release(c);
	}
	ck_assert_uint_eq(look(c, views, 4), 0);
	ck_assert(!readable(fd, 0));
	/* Nothing happens: it stays so, beyond the bound of a sleep. */
	ck_assert(!readable(fd, 250));
	assert_ledger(c, 10, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(a_loop_around_epoll_misses_no_event)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct tapio_consumer *c;
	struct tapio_view views[16];
	pthread_t thread;
	uint64_t got = 0;
	unsigned int n;
	int ep, fd;

	set_up(RIG_CONFIG);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	fd = tapio_fd(c);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, emit_all, NULL), 0);
	while (got < EVENTS) {
		ck_assert_int_eq(epoll_wait(ep, &event, 1, 10000), 1);
		n = look(c, views, 16);
		got += n;
		if (n)
			tapio_release(c);
	}
	pthread_join(thread, NULL);
	close(ep);
	assert_ledger(c, EVENTS, 0, 0);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

/* ---- no system calls ------------------------------------------------------------------ */

/*
 * From here on any system call but exit is a SIGSYS that kills. Not seccomp's
 * strict mode, which takes the TSC away, and with it clock_gettime without a call.
 */
static void forbid_system_calls(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(99);
}

static void quit(int status)
{
	syscall(SYS_exit, status);
}

START_TEST(the_ban_on_system_calls_is_real)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		forbid_system_calls();
		syscall(SYS_futex, NULL, 0, 0, NULL, NULL, 0);
		quit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}
END_TEST

/* Room for all that is sent: a thread that may not yield must not have to
 * wait. */
#define ROOMY                                                      \
	"channel t { stamp = \"none\"\n class main { block = 64\n" \
	"blocks = 16384\n side_blocks = 16384 } }\n"
#define QUIET_EVENTS 8000

START_TEST(emitting_to_awake_consumers_makes_no_system_call)
{
	struct tapio_reservation r;
	struct tapio_consumer *c;
	struct tapio_view views[64];
	uint64_t got = 0, i;
	int n, status = 0;
	pid_t pid;

	if (SANITIZED)
		return;
	set_up(ROOMY);
	if (!on_cpu_lanes(p)) {
		tear_down(); /* a side lane blocks signals: two calls each */
		return;
	}
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	pid = fork();
	if (!pid) {
		struct tapio_producer *q = rig_producer();

		forbid_system_calls();
		for (i = 0; i < QUIET_EVENTS; i++) {
			while (tapio_output(q, TAG, &i, sizeof(i)))
				;
			while (tapio_reserve(q, TAG, 8, &r))
				;
			while (tapio_submit(q, &r))
				;
		}
		quit(0);
	}
	do {
		n = tapio_poll(c, views, 64, 0);
		got += (unsigned int)n;
		tapio_release(c);
	} while (n >= 0 && !waitpid(pid, &status, WNOHANG));
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status),
		      "the producer ended with 0x%x", status);
	got += drain(c);
	ck_assert_uint_eq(got, 2 * QUIET_EVENTS);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(consuming_without_waiting_makes_no_system_call)
{
	struct tapio_view views[64];
	struct tapio_consumer *c;
	int ready[2], k, n;
	uint64_t got = 0;
	char byte = 0;
	pid_t pid;

	if (SANITIZED)
		return;
	set_up(RIG_CONFIG);
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		n = (int)write(ready[1], &byte, 1);
		forbid_system_calls();
		while (got < 10000) {
			n = tapio_poll(c, views, 64, 0);
			if (n < 0)
				quit(1);
			got += (unsigned int)n;
			tapio_release(c);
		}
		quit(0);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	for (k = 0; k < 10000; k++)
		emit((uint64_t)k);
	ck_assert(child_ok(pid));
	close(ready[0]);
	close(ready[1]);
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client wake");
	TCase *t = tcase_create("wake");

	tcase_add_test(t, a_sleeping_consumer_is_woken_for_every_event);
	tcase_add_test(t, one_event_wakes_the_sleepers_of_every_group);
	tcase_add_test(t, an_answered_announcement_is_not_rung_for_again);
	tcase_add_test(t, announcements_go_on_where_their_counter_wraps);
	tcase_add_test(t, a_producers_announcement_is_answered_by_one_ring);
	tcase_add_test(t, a_group_is_rung_for_its_own_announcement_alone);
	tcase_add_loop_test(t, every_way_of_publishing_rings, 0,
			    sizeof(ways) / sizeof(ways[0]));
	tcase_add_test(
		t,
		an_idle_consumer_announces_itself_once_and_sleeps_to_the_bound);
	tcase_add_test(t, a_signal_ends_a_sleep);
	tcase_add_test(t, a_producer_that_waits_is_woken_by_a_release);
	tcase_add_test(t, who_waits_in_vain_is_refused_after_the_channels_wait);
	tcase_add_test(t, a_wait_for_blocks_in_hand_ends_too);
	tcase_add_test(
		t,
		the_descriptor_is_readable_exactly_while_there_may_be_events);
	tcase_add_test(t, a_loop_around_epoll_misses_no_event);
	tcase_add_test(t, the_ban_on_system_calls_is_real);
	tcase_add_test(t, emitting_to_awake_consumers_makes_no_system_call);
	tcase_add_test(t, consuming_without_waiting_makes_no_system_call);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
