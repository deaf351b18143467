/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of a group share its lanes: each event goes to one of them, the load
 * evens out within a second of a member coming or going, and what a dead member
 * had not released is delivered again.
 *
 * Eight producers, each on a side lane of its own, make eight busy lanes whatever
 * the number of CPUs.
 */
#include <poll.h>
#include <signal.h>

#include "tests/unit/client_fixture.h"

#define PRODUCERS 8
#define MEMBERS   3

#define CONFIG                                                     \
	"channel t { stamp = \"none\"\n class main { block = 64\n" \
	"blocks = 64\n side_blocks = 64\n side_lanes = 12 } }\n"

static struct tapio_producer *producers[PRODUCERS];
static struct tapio_consumer *members[MEMBERS];
static uint64_t sent, got[MEMBERS];

static void set_up(void)
{
	int i;

	rig_start(CONFIG);
	for (i = 0; i < PRODUCERS; i++) {
		producers[i] = rig_producer();
		producers[i]->now->emit.cpus = 0;
	}
}

static void tear_down(void)
{
	int i;

	for (i = 0; i < PRODUCERS; i++)
		tapio_producer_close(producers[i]);
	rig_stop();
}

/* One event on every lane, and one look by every member. */
static void turn(void)
{
	struct tapio_view views[64];
	unsigned int n;
	int i;

	for (i = 0; i < PRODUCERS; i++)
		sent += !tapio_output(producers[i], TAG, &sent, sizeof(sent));
	for (i = 0; i < MEMBERS; i++) {
		if (!members[i])
			continue;
		n = look(members[i], views, 64);
		got[i] += n;
		ck_assert_int_eq(tapio_release(members[i]), 0);
	}
}

/* How many of the lanes in use a member has. */
static int busy_lanes(const struct tapio_consumer *c)
{
	uint32_t i;
	int n = 0;

	for (i = 0; c && i < c->now->lane_count; i++)
		n += c->now->tracks[i].leased &&
		     TAPIO_STATE_TAIL(c->now->tracks[i].lane->shm->state) != 64;
	return n;
}

/* Takes turns until each member has between `least` and `most` lanes. */
static void settle(int least, int most)
{
	int64_t end = tpi_now_ns() + INT64_C(20000000000);
	int i, sum;
	bool even;

	do {
		turn();
		for (even = true, sum = 0, i = 0; i < MEMBERS; i++) {
			int n = busy_lanes(members[i]);

			sum += n;
			if (members[i] && (n < least || n > most))
				even = false;
		}
		even = even && sum == PRODUCERS;
	} while (!even && tpi_now_ns() < end);
	ck_assert_msg(even, "%d, %d and %d lanes", busy_lanes(members[0]),
		      busy_lanes(members[1]), busy_lanes(members[2]));
}

START_TEST(members_that_come_and_go_share_the_lanes_evenly)
{
	uint64_t sum = 0;
	int i;

	set_up();
	members[0] = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (i = 0; i < 3; i++)
		turn();
	ck_assert_int_eq(busy_lanes(members[0]), PRODUCERS);
	members[1] = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	settle(4, 4);
	members[2] = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	settle(2, 3);
	tapio_consumer_close(members[0]);
	members[0] = NULL;
	settle(3, 5);
	for (i = 1; i < MEMBERS; i++)
		got[i] += drain(members[i]);
	for (i = 0; i < MEMBERS; i++)
		sum += got[i];
	ck_assert_uint_eq(sum, sent);
	ck_assert_uint_gt(got[1], 0);
	ck_assert_uint_gt(got[2], 0);
	assert_ledger(members[1], sent, 0, 0);
	tapio_consumer_close(members[1]);
	tapio_consumer_close(members[2]);
	tear_down();
}
END_TEST

START_TEST(order_within_a_lane_survives_its_change_of_hands)
{
	uint64_t next[64] = {0}, values[PRODUCERS] = {0};
	struct tapio_view views[64];
	unsigned int n, k;
	int i, round;

	set_up();
	members[0] = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (round = 0; round < 3000; round++) {
		for (i = 0; i < PRODUCERS; i++)
			values[i] +=
				!tapio_output(producers[i], TAG, &values[i],
					      sizeof(values[i]));
		for (i = 0; i < MEMBERS; i++) {
			if (!members[i])
				continue;
			n = look(members[i], views, 64);
			for (k = 0; k < n; k++)
				ck_assert_uint_eq(
					*(const uint64_t *)views[k].data,
					next[views[k].lane]++);
			tapio_release(members[i]);
		}
		if (round % 100)
			continue;
		nap_ms(5);
		i = round / 100 % MEMBERS;
		if (!members[i]) {
			members[i] = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		} else if (members[(i + 1) % MEMBERS] ||
			   members[(i + 2) % MEMBERS]) {
			tapio_consumer_close(members[i]);
			members[i] = NULL;
		}
	}
	for (i = 0; i < MEMBERS; i++)
		tapio_consumer_close(members[i]);
	tear_down();
}
END_TEST

/* Lanes of other nodes are taken only at the next survey. */
static void take_all_lanes(struct tapio_consumer *c)
{
	struct tapio_view view;

	while (group_stats(c).lanes < c->now->lane_count)
		ck_assert_int_eq(tapio_poll(c, &view, 1, 10000000), 0);
}

START_TEST(a_lane_with_events_in_hand_changes_hands_only_when_they_are_released)
{
	struct tapio_view views[64];
	struct tapio_consumer *a, *b;
	unsigned int n, again;
	int i;

	set_up();
	a = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	take_all_lanes(a);
	for (i = 0; i < PRODUCERS; i++)
		ck_assert_int_eq(tapio_output(producers[i], TAG, &i, sizeof(i)),
				 0);
	n = look(a, views, 64);
	ck_assert_uint_eq(n, PRODUCERS);
	b = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	/* However long b asks, what a has is a's. */
	for (again = 0, i = 0; i < 200; i++) {
		nap_ms(1);
		ck_assert_int_eq(tapio_output(producers[i % PRODUCERS], TAG, &i,
					      sizeof(i)),
				 0);
		again += look(b, views, 64);
		tapio_release(b);
		n += look(a, views, 1);
	}
	ck_assert_uint_eq(again, 0);
	ck_assert_int_eq(tapio_release(a), 0);
	for (i = 0; i < 200 && n + again < PRODUCERS + 200; i++) {
		nap_ms(2);
		again += (unsigned int)drain(b);
		n += (unsigned int)drain(a);
	}
	ck_assert_uint_eq(n + again, PRODUCERS + 200);
	ck_assert_uint_gt(again, 0);
	assert_ledger(a, PRODUCERS + 200, 0, 0);
	tapio_consumer_close(a);
	tapio_consumer_close(b);
	tear_down();
}
END_TEST

START_TEST(what_a_dead_member_had_not_released_is_delivered_again)
{
	struct tapio_view views[64];
	struct tapio_consumer *c;
	uint64_t positions[PRODUCERS], seen = 0;
	unsigned int n, k;
	int ready[2], i;
	char byte = 0;
	pid_t pid;

	set_up();
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		take_all_lanes(c);
		n = (unsigned int)write(ready[1], &byte, 1);
		for (n = 0; n < PRODUCERS;)
			n += (unsigned int)tapio_poll(c, views, 64, 100000000);
		n = (unsigned int)write(ready[1], &byte, 1);
		pause();
		_exit(1);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	for (i = 0; i < PRODUCERS; i++)
		ck_assert_int_eq(tapio_output(producers[i], TAG, &i, sizeof(i)),
				 0);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	/* It has all of them, and releases none. */
	ck_assert_int_eq(tapio_poll(c, views, 64, 200000000), 0);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	for (n = 0; n < PRODUCERS; n += k) {
		k = (unsigned int)tapio_poll(c, views, 64,
					     INT64_C(10000000000));
		ck_assert_int_gt((int)k, 0);
		for (i = 0; i < (int)k; i++) {
			positions[n + (unsigned int)i] = views[i].position;
			seen |= 1u << *(const int *)views[i].data;
		}
		tapio_release(c);
	}
	ck_assert_uint_eq(n, PRODUCERS);
	ck_assert_uint_eq(seen, (1u << PRODUCERS) - 1);
	for (i = 0; i < PRODUCERS; i++)
		ck_assert_uint_eq(positions[i], 64);
	assert_ledger(c, PRODUCERS, 0, 0);
	tapio_consumer_close(c);
	close(ready[0]);
	close(ready[1]);
	tear_down();
}
END_TEST

static uint32_t members_of(const struct tapio_consumer *c)
{
	const uint32_t slot = c->now->client.granted.group_slot;

	return tpi_load_relaxed(&c->now->client.groups[slot].members);
}

static void kill_member(pid_t pid, struct tapio_consumer *left)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	while (members_of(left) != 1)
		;
}

/* A member that has taken all lanes, or has only opened. */
static pid_t fork_member(bool takes)
{
	struct tapio_consumer *c;
	int ready[2];
	char byte = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		if (takes)
			take_all_lanes(c);
		if (write(ready[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/*
 * When the broker counts a member no more, its leases are free, before the look of each
 * second finds names that are no members. The leases of others are as they were.
 */
START_TEST(a_death_clears_the_leases_of_the_dead_and_no_others)
{
	struct tapio_consumer *c;
	uint64_t leases[64];
	uint32_t i;
	pid_t pid;

	set_up();
	pid = fork_member(true);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_uint_le(c->now->lane_count, 64);
	kill_member(pid, c);
	for (i = 0; i < c->now->lane_count; i++)
		ck_assert_uint_eq(tpi_cursor_holder(c->now->tracks[i].cursor),
				  TAPIO_NOBODY);
	take_all_lanes(c);
	pid = fork_member(false);
	for (i = 0; i < c->now->lane_count; i++)
		leases[i] = tpi_load_relaxed(&c->now->tracks[i].cursor->lease);
	kill_member(pid, c);
	for (i = 0; i < c->now->lane_count; i++)
		ck_assert_uint_eq(
			tpi_load_relaxed(&c->now->tracks[i].cursor->lease),
			leases[i]);
	tapio_consumer_close(c);
	tear_down();
}
END_TEST

START_TEST(a_stopped_member_keeps_its_lanes_and_the_others_go_on)
{
	struct tapio_consumer *c;
	struct tapio_view views[64];
	uint64_t mine = 0, x = 0;
	int ready[2], i, n;
	char byte = 0;
	pid_t pid;

	set_up();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct tapio_consumer *d =
			rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		struct tapio_consumer_stats s = {.size = sizeof(s)};

		/* Until it has a lane. */
		do {
			tapio_poll(d, views, 64, 10000000);
			tapio_release(d);
			tapio_consumer_stats_read(d, &s);
		} while (!s.lanes);
		n = (int)write(ready[1], &byte, 1);
		for (;;) {
			tapio_poll(d, views, 64, TAPIO_FOREVER);
			tapio_release(d);
		}
	}
	/* Make it ask, by work. */
	while (tpi_load_relaxed(&c->now->rounds) < 1000000) {
		struct pollfd f = {.fd = ready[0], .events = POLLIN};

		for (i = 0; i < PRODUCERS; i++)
			tapio_output(producers[i], TAG, &x, sizeof(x));
		drain(c);
		if (poll(&f, 1, 1) == 1)
			break;
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	kill(pid, SIGSTOP);
	for (n = 0; n < 200; n++) {
		for (i = 0; i < PRODUCERS; i++)
			tapio_output(producers[i], TAG, &x, sizeof(x));
		mine += drain(c);
	}
	ck_assert_uint_gt(mine, 200);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* All of it comes to us in the end. */
	for (n = 0; n < 5000 && group_stats(c).in_flight; n++) {
		drain(c);
		nap_ms(2);
	}
	ck_assert_uint_eq(group_stats(c).in_flight, 0);
	ck_assert_uint_eq(group_stats(c).lost, 0);
	tapio_consumer_close(c);
	close(ready[0]);
	close(ready[1]);
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client group");
	TCase *t = tcase_create("group");

	tcase_add_test(t, members_that_come_and_go_share_the_lanes_evenly);
	tcase_add_test(t, order_within_a_lane_survives_its_change_of_hands);
	tcase_add_test(
		t,
		a_lane_with_events_in_hand_changes_hands_only_when_they_are_released);
	tcase_add_test(t,
		       what_a_dead_member_had_not_released_is_delivered_again);
	tcase_add_test(t, a_death_clears_the_leases_of_the_dead_and_no_others);
	tcase_add_test(t,
		       a_stopped_member_keeps_its_lanes_and_the_others_go_on);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
