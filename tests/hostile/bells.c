/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer without further rights announces again and again that it sleeps. Each
 * announcement may cost producers a system call. These are counted: in so many
 * microseconds there are at most so many for each group. The producer emits in short
 * bursts, so that some of them have a CPU while an attacker has another one.
 */
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tapio/producer.h>

#include "lib/base/atomic.h"
#include "lib/base/sys.h"
#include "tests/check_main.h"
#include "tests/fault/peer.h"
#include "tests/hostile/honest.h"

/* Nothing holds its producers but the attackers. */
#define CONFIG                                                   \
	"channel events { full = drop\n"                         \
	"class main { block = 64  blocks = 1024  side_blocks = " \
	"1024  side_lanes = 8 } }\n" HONEST_RULES                \
	"allow attackers { uid = {61006, 61007, 61008, 61009}\n" \
	"role = {consume} }\n"
#define USERS  4
#define EVENTS 100000u
#define BURSTS 10
/* A group's bell is rung at most once in so many microseconds, however it announces. */
#define APART_US 5

static struct world world;

static struct shared {
	uint64_t wakes; /* system calls of the producer */

} * shared;

int __real_tpi_sys_futex_wake(const uint32_t *word, int count);
int __wrap_tpi_sys_futex_wake(const uint32_t *word, int count);

int __wrap_tpi_sys_futex_wake(const uint32_t *word, int count)
{
	tpi_add_relaxed(&shared->wakes, 1);
	return __real_tpi_sys_futex_wake(word, count);
}

static void set_up(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	world = (struct world){0};
	world_start(&world, CONFIG);
}

static void tear_down(void)
{
	world_assert_serves(&world, "events");
	world_stop(&world);
}

/* The n-th CPU of those that there are: one for the producer, the others' next. */
static void pin(int n)
{
	cpu_set_t all, one;

	CPU_ZERO(&one);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE && n >= 0; cpu++)
		if (CPU_ISSET(cpu, &all) && !n--)
			CPU_SET(cpu, &one);
	if (CPU_COUNT(&one))
		sched_setaffinity(0, sizeof(one), &one);
}

/* As a member before each sleep, but it does not sleep. */
static void announce(struct role *self)
{
	struct peer p;
	char name[32];

	pin(1);
	peer_connect_to(&p, world.socket);
	ck_assert_int_eq(peer_hello(&p), 0);
	snprintf(name, sizeof(name), "bell-%u", getuid());
	ck_assert_int_eq(peer_attach(&p, TAPIO_ROLE_CONSUME, "events", name,
				     TAPIO_GROUP_LOSSY, 0, 0),
			 0);
	role_tell(self, 1);
	while (!role_has_news(self, 0))
		for (int i = 0; i < 10000; i++)
			tpi_add_relaxed(&p.cursors.control->armed, 1);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void emit(struct role *self)
{
	char error[512] = "";
	struct tapio_options options =
		world_options(&world, error, sizeof(error));
	struct tapio_producer *p;
	uint64_t begin;
	int err = tapio_producer_open(&p, "events", &options);

	ck_assert_msg(!err, "producer: %d: %s", err, error);
	pin(0);
	tpi_store_relaxed(&shared->wakes, 0);
	begin = now_us();
	for (uint32_t i = 0; i < EVENTS; i++)
		ck_assert_int_eq(
			tapio_output(p, TAPIO_TAG(100, 5), &i, sizeof(i)), 0);
	role_tell(self, tpi_load_relaxed(&shared->wakes));
	role_tell(self, now_us() - begin);
	tapio_producer_close(p);
}

/* How often a producer enters the kernel beside so many users. And how long it took. */
static uint64_t wakes_beside(int users, uint64_t *us)
{
	struct role bells[USERS], producer;
	uint64_t wakes;

	for (int i = 0; i < users; i++) {
		role_start_uid(&bells[i], (uid_t)(WORLD_ATTACKER + i), announce,
			       NULL);
		role_hear(&bells[i]);
	}
	role_start_uid(&producer, WORLD_PRODUCER, emit, NULL);
	wakes = role_hear(&producer);
	*us = role_hear(&producer);
	role_end(&producer);
	for (int i = 0; i < users; i++) {
		role_tell(&bells[i], 1);
		role_end(&bells[i]);
	}
	return wakes;
}

START_TEST(without_announcements_a_producer_does_not_enter_the_kernel)
{
	uint64_t us;

	ck_assert_uint_eq(wakes_beside(0, &us), 0);
}
END_TEST

/* On commit fddcec1 a flood cost a producer five sixths of its rate. */
START_TEST(a_flood_of_announcements_costs_producers_little)
{
	for (int burst = 0; burst < BURSTS; burst++) {
		uint64_t us, wakes = wakes_beside(_i, &us);

		ck_assert_msg(wakes <= (uint64_t)_i * (us / APART_US + 2),
			      "%llu wake-ups for %u events in %llu us",
			      (unsigned long long)wakes, EVENTS,
			      (unsigned long long)us);
	}
}
END_TEST

int main(void)
{
	const char *reason = role_reason();
	TCase *c;

	if (reason) {
		puts(reason);
		return 77;
	}
	c = tcase_create("bells");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(
		c, without_announcements_a_producer_does_not_enter_the_kernel);
	tcase_add_loop_test(c, a_flood_of_announcements_costs_producers_little,
			    1, USERS + 1);
	return check_run_case("bells", c);
}
