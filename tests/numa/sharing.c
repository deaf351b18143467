/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sharing of lanes on a machine with two nodes: lanes go to the members on
 * their own node first, none stays without one, and every event arrives from
 * every node. Runs in the virtual machine of tests/numa/vm.
 */
#include "tests/cli/command.h"
#include "tests/numa/machine.h"
#include "tests/unit/client_fixture.h"

static struct machine machine;

/* Opens a member of group `g` on a node's first CPU, and polls once. */
static struct tapio_consumer *member_on(unsigned int node)
{
	struct tapio_consumer *c;

	machine_go_to((unsigned int)machine.first_cpu[node]);
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(tapio_poll(c, NULL, 0, 0), 0);
	return c;
}

static uint32_t leases(const struct tapio_consumer *c)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < c->now->lane_count; i++)
		count += tpi_cursor_holder(c->now->tracks[i].cursor) ==
			 c->now->me;
	return count;
}

/* Side lanes are on node 0. */
static unsigned int node_of_lane(const struct tpi_lane *lane)
{
	return lane->cpu == TAPIO_CPU_SIDE ? 0 : machine.node_of[lane->cpu];
}

static void assert_has_node(const struct tapio_consumer *c, unsigned int node)
{
	for (uint32_t i = 0; i < c->now->lane_count; i++) {
		const struct tpi_track *t = &c->now->tracks[i];

		ck_assert_uint_eq(t->node, node_of_lane(t->lane));
		ck_assert_msg((tpi_cursor_holder(t->cursor) == c->now->me) ==
				      (t->node == node),
			      "lane %u of node %u: lease %u, member %u of "
			      "node %u",
			      i, t->node, tpi_cursor_holder(t->cursor),
			      c->now->me, node);
	}
}

START_TEST(members_take_the_lanes_of_their_own_node_first)
{
	const unsigned int first = (unsigned int)_i;
	struct tapio_consumer *members[MACHINE_NODES];

	rig_start(RIG_CONFIG);
	/* The first poll takes what is near, and leaves the rest to a survey. */
	members[first] = member_on(first);
	assert_has_node(members[first], first);
	members[1 - first] = member_on(1 - first);
	assert_has_node(members[first], first);
	assert_has_node(members[1 - first], 1 - first);
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		tapio_consumer_close(members[node]);
	rig_stop();
}
END_TEST

/* Emits on every CPU. How many events. */
static uint64_t send_from_everywhere(struct tapio_producer *p)
{
	for (unsigned int cpu = 0; cpu < machine.cpus; cpu++) {
		machine_go_to(cpu);
		ck_assert_int_eq(tapio_output(p, TAG, &cpu, sizeof(cpu)), 0);
	}
	return machine.cpus;
}

/* Polls until that many events have come. */
static void receive(struct tapio_consumer *c, uint64_t count)
{
	struct tapio_view views[64];
	int n;

	while (count) {
		n = tapio_poll(c, views, 64, 100000000);
		ck_assert_int_ge(n, 0);
		ck_assert_uint_le((uint64_t)n, count);
		count -= (uint64_t)n;
		ck_assert_int_eq(tapio_release(c), 0);
	}
}

START_TEST(a_member_alone_takes_the_lanes_of_the_other_node_too)
{
	const unsigned int node = (unsigned int)_i;
	struct tapio_consumer *alone;
	struct tapio_producer *p;
	uint64_t sent;

	rig_start(RIG_CONFIG);
	alone = member_on(node);
	assert_has_node(alone, node);
	p = rig_producer();
	sent = send_from_everywhere(p);
	machine_go_to((unsigned int)machine.first_cpu[node]);
	receive(alone, sent);
	ck_assert_uint_eq(leases(alone), alone->now->lane_count);
	assert_ledger(alone, sent, 0, 0);
	tapio_producer_close(p);
	tapio_consumer_close(alone);
	rig_stop();
}
END_TEST

START_TEST(the_lanes_of_a_member_that_leaves_go_to_the_other_node)
{
	struct tapio_consumer *near, *far;
	struct tapio_producer *p;
	uint64_t sent;

	rig_start(RIG_CONFIG);
	near = member_on(0);
	far = member_on(1);
	p = rig_producer();
	sent = send_from_everywhere(p);
	/* It leaves unread what is on its lanes. */
	tapio_consumer_close(far);
	machine_go_to((unsigned int)machine.first_cpu[0]);
	receive(near, sent);
	ck_assert_uint_eq(leases(near), near->now->lane_count);
	assert_ledger(near, sent, 0, 0);
	tapio_producer_close(p);
	tapio_consumer_close(near);
	rig_stop();
}
END_TEST

/* Four producers on four CPUs, then the members on theirs. */
static const struct {
	const char *mode, *pins, *groups, *members;
} runs[] = {
	{"output", "--pin=0,1,2,3,0,2", "1", "2"}, /* one on each node */
	{"mix", "--pin=0,1,2,3,1", "1", "1"},      /* all on one node */
	{"reserve", "--pin=0,1,2,3,0,1,2,3", "2", "2"},
};
#define RUNS   (sizeof(runs) / sizeof(runs[0]))
#define EVENTS 3000

START_TEST(everything_arrives_from_every_cpu_on_either_node)
{
	static const char *const zero[] = {"lost",   "duplicated", "corrupt",
					   "wedged", "disordered", "foreign"};
	long long sent = 4 * EVENTS, groups = atoll(runs[_i].groups);
	struct command run;
	json_error_t why;
	json_t *summary;

	ck_assert_uint_eq(machine.cpus, 4);
	command_run(&run, "tapio-load", "--json", "-p", "4", "-n", "3000", "-m",
		    runs[_i].mode, "--groups", runs[_i].groups, "--members",
		    runs[_i].members, "--size", "64..900", runs[_i].pins, NULL);
	ck_assert_msg(run.status == 0, "status %d: %s%s", run.status, run.out,
		      run.err);
	summary = json_loads(command_last_line(run.out), 0, &why);
	ck_assert_msg(summary != NULL, "%s", why.text);
	for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
		ck_assert_int_eq(row_number(summary, zero[i]), 0);
	ck_assert_int_eq(row_number(summary, "sent"), sent);
	ck_assert_int_eq(row_number(summary, "received"), sent * groups);
	json_decref(summary);
	command_free(&run);
}
END_TEST

int main(void)
{
	const char *reason = machine_read(&machine);
	Suite *suite;
	TCase *t;

	if (reason) {
		puts(reason);
		return 77;
	}
	suite = suite_create("numa sharing");
	t = tcase_create("sharing");
	tcase_add_loop_test(t, members_take_the_lanes_of_their_own_node_first,
			    0, MACHINE_NODES);
	tcase_add_loop_test(
		t, a_member_alone_takes_the_lanes_of_the_other_node_too, 0,
		MACHINE_NODES);
	tcase_add_test(t,
		       the_lanes_of_a_member_that_leaves_go_to_the_other_node);
	tcase_add_loop_test(t, everything_arrives_from_every_cpu_on_either_node,
			    0, RUNS);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
