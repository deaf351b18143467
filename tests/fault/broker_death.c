/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How clients end: killed, replaced by another program, closed, stopped. The
 * blocks, leases and names that they held come back exactly when they are gone,
 * and not before.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/lane/cursor.h"
#include "lib/lane/lane.h"
#include "lib/base/rseq.h"
#include "lib/lane/wake.h"
#include "tests/cpu_lanes.h"
#include "tests/fault/peer.h"
#include "tests/check_main.h"

#define CONFIG "channel events { class main { block = 256 blocks = 64 } }"

static struct tapio_broker *broker;
static struct peer watcher; /* an inspector: sees the catalog and the lanes */

static void set_up(void)
{
	broker = broker_start(CONFIG);
	peer_open(&watcher, broker, TAPIO_ROLE_INSPECT, NULL);
}

static void tear_down(void)
{
	peer_close(&watcher);
	tapio_broker_stop(broker);
}

/* A child's message to its parent about itself. */
struct report {
	uint32_t name;
	uint32_t lane;
	uint32_t done; /* how much of what was asked for succeeded */
};

/*
 * A child that attaches, does `act` with its attachment, reports, and then waits
 * to be told to go on by a byte (or is killed).
 */
struct child {
	pid_t pid;
	int in;  /* bytes to it */
	int out; /* its report */
	struct report report;
};

static void spawn(struct child *child, uint32_t role, const char *group,
		  void (*act)(struct peer *, struct report *),
		  void (*then)(struct peer *))
{
	int in[2], out[2];

	ck_assert_int_eq(pipe(in), 0);
	ck_assert_int_eq(pipe(out), 0);
	child->pid = fork();
	ck_assert_int_ge(child->pid, 0);
	if (!child->pid) {
		struct report report = {0};
		struct peer me;
		char byte;

		peer_open(&me, broker, role, group);
		report.name = me.attached.attachment;
		act(&me, &report);
		if (write(out[1], &report, sizeof(report)) < 0 ||
		    read(in[0], &byte, 1) < 0)
			_exit(1);
		if (then)
			then(&me);
		_exit(0);
	}
	close(in[0]);
	close(out[1]);
	child->in = in[1];
	child->out = out[0];
	ck_assert_int_eq(
		read(child->out, &child->report, sizeof(child->report)),
		sizeof(child->report));
}

static void go_on(const struct child *child)
{
	ck_assert_int_eq(write(child->in, "x", 1), 1);
}

static void bury(struct child *child)
{
	int status;

	ck_assert_int_eq(waitpid(child->pid, &status, 0), child->pid);
	close(child->in);
	close(child->out);
}

static uint32_t held_of(const struct tpi_lane *lane)
{
	return TAPIO_STATE_HELD(tpi_lane_peek(lane));
}

static void gating_of(const struct peer *peer, struct tpi_gating *gating)
{
	const struct tpi_catalog *catalog = &peer->catalog;

	memset(gating, 0, sizeof(*gating));
	gating->generation = &catalog->channels[0].generation;
	gating->groups = catalog->groups;
}

/* Takes blocks out of the ring of the CPU that it is pinned to. */
static void reserve_some(struct peer *me, struct report *report)
{
	struct tpi_gating gating;
	struct tpi_lane *lane;
	uint32_t blocks[7];
	uint64_t tickets[7];

	pin_to_first_cpu();
	gating_of(me, &gating);
	lane = peer_lane(me);
	report->lane = lane->id;
	for (int i = 0; i < 1000 && !report->done; i++)
		if (!tpi_lane_reserve(lane, &gating, me->attached.attachment,
				      blocks, tickets, 7))
			report->done = 7;
}

/* ---- death ---------------------------------------------------------------------- */

START_TEST(blocks_of_a_killed_producer_come_back_and_its_name_does_not)
{
	const struct tapio_shm_broker *shm = watcher.catalog.broker;
	const struct tpi_lane *lane;
	struct child child;
	struct peer next;
	uint64_t tail;

	if (side_flavour())
		return; /* the same on side lanes is tested below */
	spawn(&child, TAPIO_ROLE_PRODUCE, NULL, reserve_some, NULL);
	ck_assert_uint_eq(child.report.done, 7);
	lane = &watcher.channel.lanes[child.report.lane];
	ck_assert_uint_eq(held_of(lane), 7);
	tail = TAPIO_STATE_TAIL(tpi_lane_peek(lane));
	ck_assert_uint_eq(peer_record(&watcher, child.report.name)->state,
			  TAPIO_ATTACHMENT_ALIVE);
	kill(child.pid, SIGKILL);
	bury(&child);
	ck_assert(
		wait_state(&watcher, child.report.name, TAPIO_ATTACHMENT_FREE));
	ck_assert_uint_eq(held_of(lane), 0);
	ck_assert_uint_eq(TAPIO_STATE_TAIL(tpi_lane_peek(lane)), tail + 7);
	for (uint64_t i = tail; i < tail + 7; i++)
		ck_assert_uint_eq(TAPIO_DESC_TYPE(lane->desc[i & lane->mask]),
				  TAPIO_TYPE_DISCARD);
	ck_assert_uint_eq(tpi_load_relaxed(&shm->deaths), 1);
	ck_assert_uint_eq(tpi_load_relaxed(&shm->swept_blocks), 7);
	peer_open(&next, broker, TAPIO_ROLE_PRODUCE, NULL);
	ck_assert_uint_ne(next.attached.attachment, child.report.name);
	peer_close(&next);
}
END_TEST

static void own_side_lane(struct peer *me, struct report *report)
{
	struct tpi_lane *lane = &me->channel.lanes[me->channel.side_first[0]];
	uint32_t nobody = TAPIO_NOBODY, blocks[3];
	struct tpi_gating gating;
	uint64_t tickets[3];

	gating_of(me, &gating);
	report->lane = lane->id;
	/* ORDER lane.owner (acq_rel): pairs with sweep_side_lane(). */
	if (!tpi_cas_acq_rel(&lane->shm->owner, &nobody,
			     me->attached.attachment))
		return;
	if (!tpi_lane_reserve(lane, &gating, me->attached.attachment, blocks,
			      tickets, 3))
		report->done = 3;
}

START_TEST(the_side_lane_of_a_killed_producer_is_swept_and_free)
{
	const struct tpi_lane *lane;
	struct child child;

	spawn(&child, TAPIO_ROLE_PRODUCE, NULL, own_side_lane, NULL);
	ck_assert_uint_eq(child.report.done, 3);
	lane = &watcher.channel.lanes[child.report.lane];
	ck_assert_uint_eq(tpi_load_relaxed(&lane->shm->owner),
			  child.report.name);
	kill(child.pid, SIGKILL);
	bury(&child);
	ck_assert(
		wait_state(&watcher, child.report.name, TAPIO_ATTACHMENT_FREE));
	ck_assert_uint_eq(tpi_load_relaxed(&lane->shm->owner), TAPIO_NOBODY);
	ck_assert_uint_eq(held_of(lane), 0);
}
END_TEST

static void take_leases(struct peer *me, struct report *report)
{
	for (uint32_t i = 0; i < me->channel.lane_count; i++) {
		uint64_t nobody = 0;

		/* ORDER cursor.lease (acq_rel): pairs with clear_lease(). */
		report->done += tpi_cas_acq_rel(
			&me->cursors.cursors[i].lease, &nobody,
			tpi_lease_next(0, me->attached.attachment, 0));
	}
}

START_TEST(leases_of_a_killed_member_are_free_and_its_group_goes_on)
{
	struct child child;
	struct peer other;

	peer_open(&other, broker, TAPIO_ROLE_CONSUME, "g");
	spawn(&child, TAPIO_ROLE_CONSUME, "g", take_leases, NULL);
	ck_assert_uint_eq(child.report.done, other.channel.lane_count);
	ck_assert_uint_eq(
		other.catalog.groups[other.attached.group_slot].members, 2);
	kill(child.pid, SIGKILL);
	bury(&child);
	ck_assert(
		wait_state(&watcher, child.report.name, TAPIO_ATTACHMENT_FREE));
	for (uint32_t i = 0; i < other.channel.lane_count; i++)
		ck_assert_uint_eq(tpi_cursor_holder(&other.cursors.cursors[i]),
				  TAPIO_NOBODY);
	ck_assert_uint_eq(
		other.catalog.groups[other.attached.group_slot].members, 1);
	ck_assert_uint_eq(watcher.catalog.broker->leases_cleared,
			  other.channel.lane_count);
	peer_close(&other);
}
END_TEST

/* A sweep needs a thread of its own. Where there is none, it leaves the blocks. */
static bool no_threads;

int __real_pthread_create(pthread_t *, const pthread_attr_t *,
			  void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *,
			  void *(*)(void *), void *);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*run)(void *), void *arg)
{
	if (tpi_load_relaxed(&no_threads))
		return EAGAIN;
	return __real_pthread_create(thread, attributes, run, arg);
}

START_TEST(without_a_thread_that_may_move_blocks_wait_for_one)
{
	const struct tpi_lane *lane, *seen;
	struct tpi_gating gating;
	uint32_t blocks[4], abandoned = 0;
	uint64_t tickets[4];
	struct peer me;
	int err = -1;

	if (side_flavour())
		return;
	peer_open(&me, broker, TAPIO_ROLE_PRODUCE, NULL);
	pin_to_first_cpu();
	gating_of(&me, &gating);
	lane = peer_lane(&me);
	seen = &watcher.channel.lanes[lane->id];
	for (int i = 0; i < 1000 && err; i++)
		err = tpi_lane_reserve(lane, &gating, me.attached.attachment,
				       blocks, tickets, 4);
	ck_assert_int_eq(err, 0);
	tpi_store_relaxed(&no_threads, true);
	ck_assert_int_eq(peer_detach(&me), 4);
	for (uint32_t i = 0; i <= seen->mask; i++)
		abandoned += TAPIO_TICKET_OWNER(tpi_load_relaxed(
				     &seen->tickets[i])) == TAPIO_ABANDONED;
	ck_assert_uint_eq(abandoned, 4);
	ck_assert_uint_eq(held_of(seen), 4);
	tpi_store_relaxed(&no_threads, false);
	for (int i = 0; i < 6000 && held_of(seen); i++)
		usleep(10000);
	ck_assert_uint_eq(held_of(seen), 0);
	peer_close(&me);
}
END_TEST

START_TEST(abandoned_blocks_come_back_without_a_death)
{
	const struct tpi_lane *lane;
	struct tpi_gating gating;
	uint32_t blocks[4];
	uint64_t tickets[4];
	struct peer me;
	int err = -1;

	if (side_flavour())
		return;
	peer_open(&me, broker, TAPIO_ROLE_PRODUCE, NULL);
	pin_to_first_cpu();
	gating_of(&me, &gating);
	lane = peer_lane(&me);
	for (int i = 0; i < 1000 && err; i++)
		err = tpi_lane_reserve(lane, &gating, me.attached.attachment,
				       blocks, tickets, 4);
	ck_assert_int_eq(err, 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(tpi_lane_abandon(lane, blocks[i], tickets[i]),
				 0);
	for (int i = 0; i < 6000 && held_of(lane); i++)
		usleep(10000);
	ck_assert_uint_eq(held_of(lane), 0);
	peer_close(&me);
}
END_TEST

/* ---- not a death ------------------------------------------------------------------ */

START_TEST(a_stopped_process_is_alive)
{
	struct child child;
	int status;

	spawn(&child, TAPIO_ROLE_PRODUCE, NULL, reserve_some, NULL);
	kill(child.pid, SIGSTOP);
	ck_assert_int_eq(waitpid(child.pid, &status, WUNTRACED), child.pid);
	ck_assert(WIFSTOPPED(status));
	usleep(2200000); /* two of the broker's ticks */
	ck_assert_uint_eq(peer_record(&watcher, child.report.name)->state,
			  TAPIO_ATTACHMENT_ALIVE);
	ck_assert_uint_eq(held_of(&watcher.channel.lanes[child.report.lane]),
			  child.report.done);
	kill(child.pid, SIGCONT);
	go_on(&child);
	ck_assert(
		wait_state(&watcher, child.report.name, TAPIO_ATTACHMENT_FREE));
	bury(&child);
}
END_TEST

static void hang_up_and_linger(struct peer *me, struct report *report)
{
	reserve_some(me, report);
	peer_hang_up(me);
}

static void unmap_and_wait(struct peer *me)
{
	peer_close(me);
	sleep(20);
}

START_TEST(who_hangs_up_is_gone_when_the_memory_is_unmapped_and_not_before)
{
	struct child child;

	spawn(&child, TAPIO_ROLE_PRODUCE, NULL, hang_up_and_linger,
	      unmap_and_wait);
	usleep(1500000);
	ck_assert_uint_eq(peer_record(&watcher, child.report.name)->state,
			  TAPIO_ATTACHMENT_ALIVE);
	ck_assert_uint_eq(held_of(&watcher.channel.lanes[child.report.lane]),
			  child.report.done);
	go_on(&child);
	ck_assert(
		wait_state(&watcher, child.report.name, TAPIO_ATTACHMENT_FREE));
	ck_assert_uint_eq(held_of(&watcher.channel.lanes[child.report.lane]),
			  0);
	ck_assert_int_eq(kill(child.pid, 0), 0);
	kill(child.pid, SIGKILL);
	bury(&child);
}
END_TEST

/* ---- what the log says of it ------------------------------------------------------- */

static bool has_maps(void)
{
	char path[32], byte;
	int fd;
	bool has;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	has = fd >= 0 && read(fd, &byte, 1) == 1;
	if (fd >= 0)
		close(fd);
	return has;
}

static void *outlive_the_first_thread(void *arg)
{
	while (has_maps())
		sched_yield();
	peer_hang_up(arg);
	while (pause() < 0)
		;
	return NULL;
}

static void end_the_first_thread(struct peer *me)
{
	static struct peer kept;
	pthread_t other;

	kept = *me;
	if (!pthread_create(&other, NULL, outlive_the_first_thread, &kept))
		pthread_exit(NULL);
}

/* The process is no corpse, though it looks like one. */
START_TEST(a_process_without_its_first_thread_is_told_of_when_it_hangs_up)
{
	struct child child;

#ifdef __SANITIZE_THREAD__
	puts("ThreadSanitizer starts no thread in a child of a program with threads");
	return;
#endif
	spawn(&child, TAPIO_ROLE_PRODUCE, NULL, reserve_some,
	      end_the_first_thread);
	go_on(&child);
	for (int i = 0; i < 60000 && !broker_said("may still map"); i++)
		usleep(1000);
	ck_assert(broker_said("closed its connection and may still map the "
			      "channel (No such process)"));
	ck_assert_uint_eq(peer_record(&watcher, child.report.name)->state,
			  TAPIO_ATTACHMENT_ALIVE);
	kill(child.pid, SIGKILL);
	ck_assert(
		wait_state(&watcher, child.report.name, TAPIO_ATTACHMENT_FREE));
	bury(&child);
}
END_TEST

/* On commit 1ab11d0 the broker often saw the end of the connection first. */
START_TEST(a_killed_process_is_not_said_to_linger)
{
	struct child child;

	for (int i = 0; i < 50; i++) {
		spawn(&child, TAPIO_ROLE_PRODUCE, NULL, reserve_some, NULL);
		kill(child.pid, SIGKILL);
		bury(&child);
		ck_assert(wait_state(&watcher, child.report.name,
				     TAPIO_ATTACHMENT_FREE));
	}
	ck_assert(!broker_said("closed its connection and"));
}
END_TEST

/* ---- execve ------------------------------------------------------------------------ */

static void become_sleep(struct peer *me)
{
	(void)me;
	execlp("sleep", "sleep", "20", (char *)NULL);
}

START_TEST(execve_ends_an_attachment_though_the_process_lives)
{
	struct child child;

	spawn(&child, TAPIO_ROLE_PRODUCE, NULL, reserve_some, become_sleep);
	go_on(&child);
	ck_assert(
		wait_state(&watcher, child.report.name, TAPIO_ATTACHMENT_FREE));
	ck_assert_uint_eq(held_of(&watcher.channel.lanes[child.report.lane]),
			  0);
	ck_assert_int_eq(kill(child.pid, 0), 0);
	kill(child.pid, SIGKILL);
	bury(&child);
}
END_TEST

START_TEST(a_hello_of_another_image_ends_what_the_old_one_had)
{
	static const uint8_t other_image[16] = {1, 2, 3};
	struct peer old, new;
	uint32_t name;
	union tpi_wire_message m;

	peer_open(&old, broker, TAPIO_ROLE_CONSUME, "g");
	name = old.attached.attachment;
	peer_connect(&new, broker);
	ck_assert_int_eq(peer_hello_with(&new, -1, other_image), 0);
	ck_assert(wait_state(&new, name, TAPIO_ATTACHMENT_FREE));
	ck_assert_int_eq(peer_receive(&old, &m), 0); /* hung up */
	peer_close(&new);
	peer_close(&old);
	/* The watcher's image was ended too: it is this process's. */
}
END_TEST

START_TEST(two_connections_of_one_image_are_two_clients)
{
	struct peer a, b;

	peer_open(&a, broker, TAPIO_ROLE_PRODUCE, NULL);
	peer_open(&b, broker, TAPIO_ROLE_PRODUCE, NULL);
	ck_assert_uint_ne(a.attached.attachment, b.attached.attachment);
	ck_assert_int_eq(peer_detach(&a), 0);
	ck_assert_uint_eq(peer_record(&b, b.attached.attachment)->state,
			  TAPIO_ATTACHMENT_ALIVE);
	peer_close(&a);
	peer_close(&b);
}
END_TEST

/* ---- fork of a process with a broker in it -------------------------------------------- */

START_TEST(a_forked_child_keeps_no_socket_of_the_broker_open)
{
	struct tapio_broker *own = broker_start(CONFIG);
	char name[128];
	struct peer client;
	union tpi_wire_message m;
	pid_t pid;

	strcpy(name, tapio_broker_socket(own));
	peer_open(&client, own, TAPIO_ROLE_INSPECT, NULL);
	pid = fork();
	if (!pid) {
		tapio_broker_stop(own); /* does nothing here */
		sleep(20);
		_exit(0);
	}
	tapio_broker_stop(own);
	ck_assert_uint_eq(client.catalog.broker->state, TAPIO_BROKER_STOPPED);
	ck_assert_int_eq(peer_receive(&client, &m), 0);
	own = broker_start(CONFIG);
	ck_assert_str_ne(tapio_broker_socket(own), name);
	tapio_broker_stop(own);
	ck_assert_int_eq(kill(pid, 0), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	peer_close(&client);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("death");

	tcase_set_timeout(c, 30);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(
		c, blocks_of_a_killed_producer_come_back_and_its_name_does_not);
	tcase_add_test(c, the_side_lane_of_a_killed_producer_is_swept_and_free);
	tcase_add_test(
		c, leases_of_a_killed_member_are_free_and_its_group_goes_on);
	tcase_add_test(c, abandoned_blocks_come_back_without_a_death);
	tcase_add_test(c, without_a_thread_that_may_move_blocks_wait_for_one);
	tcase_add_test(c, a_stopped_process_is_alive);
	tcase_add_test(
		c,
		who_hangs_up_is_gone_when_the_memory_is_unmapped_and_not_before);
	tcase_add_test(
		c,
		a_process_without_its_first_thread_is_told_of_when_it_hangs_up);
	tcase_add_test(c, a_killed_process_is_not_said_to_linger);
	tcase_add_test(c, execve_ends_an_attachment_though_the_process_lives);
	tcase_add_test(c, a_hello_of_another_image_ends_what_the_old_one_had);
	tcase_add_test(c, two_connections_of_one_image_are_two_clients);
	tcase_add_test(c, a_forked_child_keeps_no_socket_of_the_broker_open);
	return check_run_case("broker_death", c);
}
