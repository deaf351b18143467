/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUs that go off line and come back, and cpusets that forbid some: the events of such
 * a CPU's lane arrive, blocks of the dead come back to it, and producers elsewhere do
 * not notice. Runs in the virtual machine of tests/numa/vm, whose CPUs are its own.
 */
#include <pthread.h>

#include "tests/numa/machine.h"
#include "tests/unit/broker_child.h"
#include "tests/unit/client_fixture.h"

#define N         64 /* blocks of a lane, as RIG_CLASS says */
#define HELD      10
#define GIVE_UP_S 40 /* all lanes are looked at every 16 ticks */
#define FAR       3  /* the CPU that goes */
#define LOSSLESS  TAPIO_GROUP_LOSSLESS

static struct machine machine;
static struct tapio_producer *p;
static struct tapio_consumer *c;

static void all_cpus(void)
{
	cpu_set_t all;

	CPU_ZERO(&all);
	for (unsigned int cpu = 0; cpu < machine.cpus; cpu++) {
		CPU_SET(cpu, &all);
		if (cpu)
			machine_cpu_set(cpu, true);
	}
	ck_assert_int_eq(sched_setaffinity(0, sizeof(all), &all), 0);
}

static void open_handles(void)
{
	p = rig_producer();
	c = rig_consumer("g", LOSSLESS);
}

static void close_handles(void)
{
	tapio_producer_close(p);
	tapio_consumer_close(c);
}

static void set_up(void)
{
	all_cpus();
	rig_start(RIG_CONFIG);
	open_handles();
}

static void tear_down(void)
{
	close_handles();
	rig_stop();
	all_cpus();
}

static void emit_on(unsigned int cpu, unsigned int count)
{
	machine_go_to(cpu);
	for (unsigned int i = 0; i < count; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

/* Polls until that many events have come, and finds no more. */
static void collect(uint64_t count)
{
	time_t until = time(NULL) + GIVE_UP_S;
	struct tapio_view views[64];
	uint64_t sum = 0;

	while (sum < count) {
		int n = tapio_poll(c, views, 64, 10000000);

		ck_assert_int_ge(n, 0);
		sum += (uint64_t)n;
		ck_assert_int_eq(tapio_release(c), 0);
		ck_assert_msg(time(NULL) < until, "%llu events, not %llu",
			      (unsigned long long)sum,
			      (unsigned long long)count);
	}
	ck_assert_uint_eq(sum + drain(c), count);
}

/* Polls until the group is through with all that there is. No event comes. */
static void settle(void)
{
	struct tapio_view view;

	while (group_stats(c).in_flight)
		ck_assert_int_eq(tapio_poll(c, &view, 1, 10000000), 0);
}

static const struct tpi_lane *lane_of(unsigned int cpu)
{
	for (uint32_t i = 0; i < p->now->emit.lane_count; i++)
		if (p->now->emit.lanes[i].cpu == cpu)
			return &p->now->emit.lanes[i];
	ck_abort_msg("CPU %u has no lane", cpu);
	return NULL;
}

static uint32_t held_on(unsigned int cpu)
{
	return TAPIO_STATE_HELD(tpi_lane_peek(lane_of(cpu)));
}

static uint32_t owned_on(unsigned int cpu, uint32_t owner)
{
	const struct tpi_lane *lane = lane_of(cpu);
	uint32_t count = 0;

	for (uint32_t i = 0; i <= lane->mask; i++)
		count += TAPIO_TICKET_OWNER(
				 tpi_load_acquire(&lane->tickets[i])) == owner;
	return count;
}

static void wait_for_held(unsigned int cpu, uint32_t held)
{
	time_t until = time(NULL) + GIVE_UP_S;

	while (held_on(cpu) != held) {
		ck_assert_msg(time(NULL) < until, "CPU %u: %u held, not %u",
			      cpu, held_on(cpu), held);
		nap_ms(10);
	}
}

static void wait_for_abandoned(unsigned int cpu, uint32_t count)
{
	time_t until = time(NULL) + GIVE_UP_S;

	while (owned_on(cpu, TAPIO_ABANDONED) != count) {
		ck_assert_msg(time(NULL) < until, "CPU %u: %u abandoned", cpu,
			      owned_on(cpu, TAPIO_ABANDONED));
		nap_ms(10);
	}
}

/* ---- off line and back ------------------------------------------------------------- */

START_TEST(events_of_a_cpu_that_goes_off_line_arrive)
{
	emit_on(FAR, N);
	/* Full, and no room is made by the going. */
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), -EAGAIN);
	machine_go_to(0);
	machine_cpu_set(FAR, false);
	collect(N);
	emit_on(1, 20);
	machine_go_to(0);
	collect(20);
	machine_cpu_set(FAR, true);
	/* The lane goes on where it was. */
	emit_on(FAR, N);
	machine_go_to(0);
	machine_cpu_set(FAR, false);
	collect(N);
	assert_ledger(c, 2 * N + 20, 0, 0);
	assert_nothing_held(p);
}
END_TEST

/* A CPU that takes its events with it may also come back to other members. */
START_TEST(members_share_the_lane_of_a_cpu_that_is_off_line)
{
	struct tapio_consumer *other;

	emit_on(FAR, N);
	machine_go_to(0);
	machine_cpu_set(FAR, false);
	machine_go_to(1);
	other = rig_consumer("g", LOSSLESS);
	/* Each of them takes some lanes, and the events of the far one come. */
	for (uint64_t sum = 0; sum < N;) {
		struct tapio_view views[N];

		sum += drain(c);
		sum += (uint64_t)tapio_poll(other, views, N, 1000000);
		ck_assert_int_eq(tapio_release(other), 0);
	}
	assert_ledger(c, N, 0, 0);
	tapio_consumer_close(other);
}
END_TEST

#define THREADS 4
#define EVENTS  2000
#define ROUNDS  8

static uint32_t emitting;

static void *emit_everywhere(void *arg)
{
	int cpu = *(const int *)arg;
	cpu_set_t one;

	/* One of them is where the CPU goes: the kernel moves it, and its set. */
	if (cpu >= 0) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	for (uint32_t i = 0; i < EVENTS;) {
		if (tapio_output(p, TAG, &i, sizeof(i)))
			sched_yield();
		else
			i++;
		if (i % 256 == 0)
			sched_yield();
	}
	tpi_add_relaxed(&emitting, (uint32_t)-1);
	return NULL;
}

static void *move_cpus(void *arg)
{
	(void)arg;
	for (int round = 0; round < ROUNDS; round++)
		for (unsigned int cpu = 1; cpu < machine.cpus; cpu++) {
			machine_cpu_set(cpu, false);
			machine_cpu_set(cpu, true);
		}
	return NULL;
}

START_TEST(producers_that_lose_their_cpu_lose_no_event)
{
	static const int cpus[THREADS] = {-1, FAR, 1, -1};
	pthread_t threads[THREADS], mover;
	uint64_t sum = 0;

	emitting = THREADS;
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						emit_everywhere,
						(void *)&cpus[i]),
				 0);
	ck_assert_int_eq(pthread_create(&mover, NULL, move_cpus, NULL), 0);
	while (tpi_load_relaxed(&emitting))
		sum += drain(c);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_join(mover, NULL);
	collect(THREADS * EVENTS - sum);
	assert_nothing_held(p);
	for (unsigned int cpu = 1; cpu < machine.cpus; cpu++)
		emit_on(cpu, 10);
	collect(10 * (machine.cpus - 1));
}
END_TEST

/* ---- blocks of the dead --------------------------------------------------------------- */

/* Reserves on the CPUs and waits for its end. Its pid. */
static pid_t hold_on(const unsigned int *cpus, unsigned int count)
{
	struct tapio_reservation r[HELD];
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		struct tapio_producer *mine = rig_producer();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned int i = 0; i < count; i++) {
			machine_go_to(cpus[i]);
			ck_assert_int_eq(
				tapio_reserve_batch(mine, TAG, 8, r, HELD),
				HELD);
		}
		machine_go_to(0);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	for (unsigned int i = 0; i < count; i++)
		ck_assert_uint_eq(held_on(cpus[i]), HELD);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* Each discard that the broker puts back takes a position. */
static void assert_whole_lane(unsigned int cpu, uint64_t delivered)
{
	settle();
	emit_on(cpu, N);
	ck_assert_int_eq(tapio_output(p, TAG, "x", 1), -EAGAIN);
	machine_go_to(0);
	collect(N);
	assert_ledger(c, delivered + N, HELD, 0);
}

START_TEST(blocks_of_the_dead_come_back_when_their_cpu_does)
{
	static const unsigned int far = FAR;
	pid_t pid = hold_on(&far, 1);

	machine_go_to(0);
	emit_on(1, 10);
	machine_go_to(0);
	if (_i == 0)
		machine_cpu_set(FAR, false);
	end(pid);
	if (_i == 1)
		machine_cpu_set(FAR, false);
	if (_i == 0) {
		wait_for_abandoned(FAR, HELD);
		ck_assert_uint_eq(held_on(FAR), HELD);
	}
	collect(10);
	machine_cpu_set(FAR, true);
	wait_for_held(FAR, 0);
	assert_whole_lane(FAR, 10);
}
END_TEST

/* The CPUs that each thread of a process may use, off line or not. */
static void cpus_of_threads(pid_t pid, char *text, size_t bytes)
{
	char path[64], line[256];
	size_t used = 0;
	FILE *file;

	/* Its threads are few, and have been made one after another. */
	for (pid_t tid = pid; tid < pid + 16; tid++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid,
			 tid);
		file = fopen(path, "re");
		if (!file)
			continue;
		while (fgets(line, sizeof(line), file))
			if (!strncmp(line, "Cpus_allowed_list:", 18))
				used += (size_t)snprintf(text + used,
							 bytes - used, "%s",
							 line + 18);
		fclose(file);
	}
	ck_assert_uint_gt(used, 0);
}

/* A sweep moves the broker's thread about, also while a CPU is off line. */
START_TEST(a_sweep_leaves_the_broker_the_cpus_that_it_had)
{
	static const unsigned int both[] = {1, FAR};
	char before[512] = "", after[512] = "";
	pid_t pid;

	all_cpus();
	broker_child_start(RIG_CONFIG, NULL);
	open_handles();
	cpus_of_threads(broker_child, before, sizeof(before));
	pid = hold_on(both, 2);
	machine_go_to(0);
	machine_cpu_set(FAR, false);
	end(pid);
	wait_for_held(1, 0);
	wait_for_abandoned(FAR, HELD);
	machine_cpu_set(FAR, true);
	wait_for_held(FAR, 0);
	cpus_of_threads(broker_child, after, sizeof(after));
	ck_assert_str_eq(after, before);
	close_handles();
	broker_child_kill();
}
END_TEST

/* ---- cpusets --------------------------------------------------------------------------- */

static void enter_near(void)
{
	machine_cpuset_enter("broker", getpid());
}

START_TEST(blocks_are_found_later_where_the_broker_may_not_go)
{
	static const unsigned int far = FAR;
	pid_t pid;

	all_cpus();
	machine_cpuset("broker", "0-1", NULL);
	broker_child_start(RIG_CONFIG, enter_near);
	open_handles();
	pid = hold_on(&far, 1);
	end(pid);
	wait_for_abandoned(FAR, HELD);
	if (_i == 0) {
		/* The next producer there finds all of them, by itself. */
		emit_on(FAR, N);
		ck_assert_uint_eq(held_on(FAR), 0);
		ck_assert_int_eq(tapio_output(p, TAG, "x", 1), -EAGAIN);
		machine_go_to(0);
		collect(N);
		assert_ledger(c, N, 0, 0);
	} else {
		/* Or the broker, when it may. */
		machine_cpuset("broker", "0-3", NULL);
		wait_for_held(FAR, 0);
		assert_whole_lane(FAR, 0);
	}
	close_handles();
	broker_child_kill();
}
END_TEST

/* In a child: moved by its cpuset with reservations of a lane where it may not be. */
static void emit_in_cpuset(void)
{
	struct tapio_reservation r[4];
	cpu_set_t far;

	p = rig_producer();
	machine_go_to(FAR);
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 4, r, 4), 4);
	machine_cpuset_enter("producer", getpid());
	ck_assert_int_eq(sched_getcpu(), 2);
	CPU_ZERO(&far);
	CPU_SET(FAR, &far);
	ck_assert_int_ne(sched_setaffinity(0, sizeof(far), &far), 0);
	for (int i = 0; i < 2; i++) {
		memcpy(r[i].data, "abc", 4);
		ck_assert_int_eq(tapio_submit(p, &r[i]), 0);
		ck_assert_int_eq(tapio_discard(p, &r[i + 2]), 0);
	}
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(tapio_output(p, TAG, "abc", 4), 0);
	tapio_producer_close(p);
	_exit(0);
}

START_TEST(a_producer_that_its_cpuset_moves_loses_nothing)
{
	const struct tpi_lane *near = lane_of(2);
	uint64_t before = TAPIO_STATE_TAIL(tpi_lane_peek(near));
	pid_t pid;

	machine_cpuset("producer", "2", NULL);
	pid = fork();
	if (!pid)
		emit_in_cpuset();
	ck_assert(child_ok(pid));
	ck_assert_uint_eq(TAPIO_STATE_TAIL(tpi_lane_peek(near)), before + 22);
	wait_for_held(FAR, 0);
	collect(22);
	settle();
	assert_ledger(c, 22, 4, 0);
	assert_nothing_held(p);
}
END_TEST

/* ---- memory --------------------------------------------------------------------------------- */

static void enter_one_node(void)
{
	machine_cpuset_enter("one-node", getpid());
}

/* Pages that cannot be where they belong are counted, and never in silence. */
START_TEST(a_broker_that_may_not_use_a_node_says_where_its_pages_are)
{
	const json_t *row;
	bool found = false;
	json_t *shown;
	size_t i;

	all_cpus();
	machine_cpuset("one-node", "0-3", "0");
	broker_child_start(RIG_CONFIG, enter_one_node);
	open_handles();
	shown = machine_shmstat(rig.options.socket);
	json_array_foreach(json_object_get(shown, "segments"), i, row)
	{
		if (strcmp(row_word(row, "kind"), "channel") ||
		    row_number(row, "node") != 1)
			continue;
		found = true;
		ck_assert_str_eq(row_word(row, "placement"), "unbound");
		ck_assert_str_eq(row_word(row, "placement_error"), "EINVAL");
		ck_assert_int_eq(row_number(row, "misplaced_pages") *
					 row_number(row, "page_bytes"),
				 row_number(row, "length_bytes"));
	}
	ck_assert(found);
	for (unsigned int cpu = 0; cpu < machine.cpus; cpu++)
		emit_on(cpu, N);
	machine_go_to(0);
	collect(N * machine.cpus);
	json_decref(shown);
	close_handles();
	broker_child_kill();
}
END_TEST

static const char big[] = "channel t { stamp = \"none\" class main {\n"
			  "block = 4096 blocks = 512 side_blocks = 8\n"
			  "side_lanes = 1 } }\n";
#define BIG_BLOCKS 512

static void empty_pools(void)
{
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		machine_pool_set(node, 0);
}

/* All that is left on any node. */
static void *take_pools(size_t *bytes)
{
	void *at;

	*bytes = (size_t)(machine_pool_free(0) + machine_pool_free(1)) << 21;
	at = mmap(NULL, *bytes, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1,
		  0);
	ck_assert_ptr_ne(at, MAP_FAILED);
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		ck_assert_uint_eq(machine_pool_free(node), 0);
	return at;
}

/* A client needs no huge page of its own, however late it comes. */
START_TEST(a_pool_that_is_empty_when_clients_come_harms_none)
{
	static unsigned char data[4000];
	size_t bytes;
	void *rest;

	all_cpus();
	for (unsigned int node = 0; node < MACHINE_NODES; node++)
		machine_pool_set(node, 4);
	rig_start(big);
	rest = take_pools(&bytes);
	open_handles();
	for (unsigned int cpu = 0; cpu < machine.cpus; cpu++) {
		machine_go_to(cpu);
		for (int i = 0; i < BIG_BLOCKS; i++)
			ck_assert_int_eq(
				tapio_output(p, TAG, data, sizeof(data)), 0);
	}
	machine_go_to(0);
	collect(BIG_BLOCKS * machine.cpus);
	assert_ledger(c, BIG_BLOCKS * machine.cpus, 0, 0);
	munmap(rest, bytes);
	close_handles();
	rig_stop();
}
END_TEST

int main(void)
{
	const char *reason = machine_read(&machine);
	Suite *suite;
	TCase *t;

	if (!reason && (geteuid() || machine.cpus != 4))
		reason = "needs root and four CPUs";
	if (reason) {
		puts(reason);
		return 77;
	}
	suite = suite_create("numa hotplug");
	t = tcase_create("off line");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, events_of_a_cpu_that_goes_off_line_arrive);
	tcase_add_test(t, members_share_the_lane_of_a_cpu_that_is_off_line);
	tcase_add_test(t, producers_that_lose_their_cpu_lose_no_event);
	tcase_add_loop_test(t, blocks_of_the_dead_come_back_when_their_cpu_does,
			    0, 2);
	tcase_add_test(t, a_producer_that_its_cpuset_moves_loses_nothing);
	suite_add_tcase(suite, t);
	t = tcase_create("broker elsewhere");
	tcase_add_checked_fixture(t, NULL, all_cpus);
	tcase_add_test(t, a_sweep_leaves_the_broker_the_cpus_that_it_had);
	tcase_add_loop_test(
		t, blocks_are_found_later_where_the_broker_may_not_go, 0, 2);
	tcase_add_test(
		t, a_broker_that_may_not_use_a_node_says_where_its_pages_are);
	suite_add_tcase(suite, t);
	t = tcase_create("pools");
	tcase_add_checked_fixture(t, empty_pools, empty_pools);
	tcase_add_test(t, a_pool_that_is_empty_when_clients_come_harms_none);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
