/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom the broker wakes: those whom an end concerns, and no one else. All of it
 * fails on commit fddcec1, where each end of an attachment rang every sleeper and
 * every group slot of the channel.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/lane/wake.h"
#include "tests/fault/peer.h"
#include "tests/check_main.h"

#define CONFIG                                                   \
	"channel events { class main { block = 256 blocks = 64 " \
	"side_blocks = 64 side_lanes = 8 } }"

/* Deaths at once, one for each side lane, and how often. */
#define STORM  8
#define STORMS (CHECK_SANITIZED ? 3 : 25)

static struct tapio_broker *broker;
static struct peer a, b; /* members of groups "a" and "b" */
/* The rest when b has left. */
static struct tpi_map map_b;
static struct tpi_cursors cursors_b;
static const uint32_t *room_b;
static uint32_t slot_b;

/* The words that each group's sleepers and producers watch. */
struct rings {
	uint32_t bell_a, bell_b, room_a, room_b;
};

static void set_up(void)
{
	broker = broker_start(CONFIG);
	peer_open(&a, broker, TAPIO_ROLE_CONSUME, "a");
	peer_open(&b, broker, TAPIO_ROLE_CONSUME, "b");
	slot_b = b.attached.group_slot;
	ck_assert_int_eq(tpi_map_fd(&map_b, b.fds[b.attached.segment_count],
				    false, UINT64_MAX, NULL, 0),
			 0);
	ck_assert_int_eq(tpi_cursors_attach(&cursors_b, &map_b, &b.channel.info,
					    slot_b, NULL, 0),
			 0);
	room_b = &cursors_b.control->room;
}

static void tear_down(void)
{
	tpi_map_close(&map_b);
	peer_close(&a);
	peer_close(&b);
	tapio_broker_stop(broker);
}

static const uint32_t *bell(const struct peer *member)
{
	return &member->channel.doorbells->slots[member->attached.group_slot]
			.doorbell;
}

static uint32_t answered(const struct peer *member)
{
	return tpi_load_relaxed(
		&member->channel.doorbells
			 ->answered[member->attached.group_slot]);
}

static struct rings rings(void)
{
	return (struct rings){
		.bell_a = tpi_load_relaxed(bell(&a)),
		.bell_b = tpi_load_relaxed(
			&a.channel.doorbells->slots[slot_b].doorbell),
		.room_a = tpi_load_relaxed(&a.cursors.control->room),
		.room_b = tpi_load_relaxed(room_b),
	};
}

/* Of each word, how far it is ahead of what it was. */
static void assert_rung(const struct rings *before, struct rings expected)
{
	struct rings now = rings();

	ck_assert_uint_eq(now.bell_a - before->bell_a, expected.bell_a);
	ck_assert_uint_eq(now.bell_b - before->bell_b, expected.bell_b);
	ck_assert_uint_eq(now.room_a - before->room_a, expected.room_a);
	ck_assert_uint_eq(now.room_b - before->room_b, expected.room_b);
}

START_TEST(an_observer_that_leaves_wakes_no_one)
{
	struct rings before = rings();
	struct peer o;

	tpi_add_relaxed(&a.cursors.control->armed, 1);
	peer_open(&o, broker, TAPIO_ROLE_INSPECT, NULL);
	ck_assert_int_eq(peer_detach(&o), 0);
	assert_rung(&before, (struct rings){0});
	peer_close(&o);
}
END_TEST

START_TEST(a_producer_that_leaves_with_nothing_in_hand_wakes_no_one)
{
	struct rings before = rings();
	struct peer p;

	tpi_add_relaxed(&a.cursors.control->armed, 1);
	peer_open(&p, broker, TAPIO_ROLE_PRODUCE, NULL);
	ck_assert_int_eq(peer_detach(&p), 0);
	assert_rung(&before, (struct rings){0});
	peer_close(&p);
}
END_TEST

/* Its blocks are published as discards, which every group has to pass. */
START_TEST(a_producer_that_leaves_blocks_wakes_those_who_sleep)
{
	struct rings before = rings();
	struct tpi_gating gating = {0};
	const struct tpi_lane *lane;
	struct peer p;
	uint32_t block;
	uint64_t ticket;

	tpi_add_relaxed(&a.cursors.control->armed, 1);
	peer_open(&p, broker, TAPIO_ROLE_PRODUCE, NULL);
	gating.generation = &p.catalog.channels[0].generation;
	gating.groups = p.catalog.groups;
	lane = &p.channel.lanes[p.channel.side_first[0]];
	tpi_store_relaxed(&lane->shm->owner, p.attached.attachment);
	ck_assert_int_eq(tpi_lane_reserve(lane, &gating, p.attached.attachment,
					  &block, &ticket, 1),
			 0);
	ck_assert_int_eq(peer_detach(&p), 1);
	assert_rung(&before, (struct rings){1, 0, 1, 1});
	ck_assert_uint_eq(answered(&a), a.cursors.control->armed);
	peer_close(&p);
}
END_TEST

static pid_t producer_in_a_child(void)
{
	int ready[2];
	struct peer p;
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		peer_open(&p, broker, TAPIO_ROLE_PRODUCE, NULL);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* It may have been about to ring. */
START_TEST(a_producer_that_dies_wakes_the_groups_that_sleep)
{
	struct rings before = rings();
	pid_t pid = producer_in_a_child();
	uint32_t heard = tpi_wake_listen(bell(&a));

	tpi_add_relaxed(&a.cursors.control->armed, 1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(tpi_wake_wait(bell(&a), heard, INT64_C(20000000000)),
			 0);
	for (int i = 0; answered(&a) != a.cursors.control->armed; i++) {
		ck_assert_int_lt(i, 2000);
		usleep(10000);
	}
	assert_rung(&before, (struct rings){1, 0, 0, 0});
}
END_TEST

START_TEST(a_member_that_leaves_wakes_its_own_group_alone)
{
	struct peer second;
	struct rings before;

	tpi_add_relaxed(&b.cursors.control->armed, 1);
	peer_open(&second, broker, TAPIO_ROLE_CONSUME, "a");
	before = rings();
	ck_assert_int_eq(peer_detach(&second), 0);
	assert_rung(&before, (struct rings){1, 0, 1, 0});
	peer_close(&second);
}
END_TEST

/* Producers may have waited for it. */
START_TEST(the_last_member_wakes_those_who_waited_for_its_group)
{
	struct rings before = rings();

	ck_assert_int_eq(peer_detach(&b), 0);
	assert_rung(&before, (struct rings){0, 1, 0, 1});
}
END_TEST

/* ---- storms of deaths ----------------------------------------------------------- */

static uint32_t barriers; /* of this process, so the broker's */

int __real_tpi_sys_membarrier(int command);
int __wrap_tpi_sys_membarrier(int command);

/* Each interrupts the CPUs on which processes of ours run. */
int __wrap_tpi_sys_membarrier(int command)
{
	tpi_add_relaxed(&barriers, 1);
	return __real_tpi_sys_membarrier(command);
}

/* A block out of the ring of a side lane of its own. */
static void take_block(const struct peer *p, uint32_t n)
{
	const struct tpi_lane *lane =
		&p->channel.lanes[p->channel.side_first[0] + n];
	struct tpi_gating gating = {
		.generation = &p->catalog.channels[0].generation,
		.groups = p->catalog.groups,
	};
	uint64_t ticket;
	uint32_t block;

	tpi_store_relaxed(&lane->shm->owner, p->attached.attachment);
	if (tpi_lane_reserve(lane, &gating, p->attached.attachment, &block,
			     &ticket, 1))
		_exit(1);
}

struct victims {
	uint32_t role;
	const char *group;
	bool take; /* a block */
	pid_t pids[STORM];
};

static void be_victim(const struct victims *v, uint32_t n, int ready)
{
	struct peer p;

	peer_open(&p, broker, v->role, v->group);
	if (v->take)
		take_block(&p, n);
	if (write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void start_victims(struct victims *v)
{
	int ready[2];
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	for (uint32_t i = 0; i < STORM; i++) {
		v->pids[i] = fork();
		ck_assert_int_ge(v->pids[i], 0);
		if (!v->pids[i])
			be_victim(v, i, ready[1]);
	}
	for (int i = 0; i < STORM; i++)
		ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
}

static bool is_known(pid_t pid)
{
	for (uint32_t i = 0; i < a.catalog.attachment_count; i++) {
		const struct tapio_shm_attachment *record =
			&a.catalog.attachments[i];

		if (tpi_load_acquire(&record->state) != TAPIO_ATTACHMENT_FREE &&
		    record->pid == (uint32_t)pid)
			return true;
	}
	return false;
}

static void kill_victims(const struct victims *v)
{
	for (int i = 0; i < STORM; i++)
		kill(v->pids[i], SIGKILL);
	for (int i = 0; i < STORM; i++)
		ck_assert_int_eq(waitpid(v->pids[i], NULL, 0), v->pids[i]);
	for (int i = 0; i < STORM; i++)
		for (int n = 0; is_known(v->pids[i]); n++) {
			ck_assert_int_lt(n, 20000);
			usleep(1000);
		}
}

/* Group "a" has announced once that it sleeps. `rung`: by each storm. */
static void assert_storms(struct victims v, struct rings rung)
{
	for (int i = 0; i < STORMS; i++) {
		struct rings before;
		uint32_t were;

		start_victims(&v);
		tpi_add_relaxed(&a.cursors.control->armed, 1);
		before = rings();
		were = tpi_load_relaxed(&barriers);
		kill_victims(&v);
		assert_rung(&before, rung);
		/* No death makes the broker interrupt a CPU. */
		ck_assert_uint_eq(tpi_load_relaxed(&barriers), were);
	}
}

START_TEST(two_hundred_deaths_of_observers_wake_no_one)
{
	assert_storms((struct victims){.role = TAPIO_ROLE_INSPECT},
		      (struct rings){0});
}
END_TEST

/* One ring for each announcement, however many die. */
START_TEST(two_hundred_deaths_of_producers_ring_what_was_announced)
{
	assert_storms((struct victims){.role = TAPIO_ROLE_PRODUCE},
		      (struct rings){.bell_a = 1});
}
END_TEST

/* And one for each death, for those that wait for its block. */
START_TEST(two_hundred_deaths_with_blocks_ring_once_for_each)
{
	assert_storms(
		(struct victims){.role = TAPIO_ROLE_PRODUCE, .take = true},
		(struct rings){.bell_a = 1, .room_a = STORM, .room_b = STORM});
}
END_TEST

START_TEST(two_hundred_deaths_of_members_ring_their_group_alone)
{
	assert_storms(
		(struct victims){.role = TAPIO_ROLE_CONSUME, .group = "a"},
		(struct rings){.bell_a = STORM, .room_a = STORM});
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("wakeups");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, an_observer_that_leaves_wakes_no_one);
	tcase_add_test(
		c, a_producer_that_leaves_with_nothing_in_hand_wakes_no_one);
	tcase_add_test(c, a_producer_that_leaves_blocks_wakes_those_who_sleep);
	tcase_add_test(c, a_producer_that_dies_wakes_the_groups_that_sleep);
	tcase_add_test(c, a_member_that_leaves_wakes_its_own_group_alone);
	tcase_add_test(c, the_last_member_wakes_those_who_waited_for_its_group);
	tcase_add_test(c, two_hundred_deaths_of_observers_wake_no_one);
	tcase_add_test(c,
		       two_hundred_deaths_of_producers_ring_what_was_announced);
	tcase_add_test(c, two_hundred_deaths_with_blocks_ring_once_for_each);
	tcase_add_test(c, two_hundred_deaths_of_members_ring_their_group_alone);
	return check_run_case("broker_wakeups", c);
}
