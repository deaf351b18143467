/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable lossless group whose members are killed, again and again, anywhere, while
 * a producer runs. Events that producers have not overwritten between two members reach
 * the next one, and exactly the others are counted as lost. With one member, and with two
 * that are stopped for longer than a takeover takes, with a merge, a filter and
 * discards.
 *
 * Commit fddcec1 fails it: all but half a lane is lost with each death.
 *
 * TAPIO_LONG=1: 3,000 deaths instead of 60 in each test.
 */
#include <signal.h>
#include <sys/mman.h>

#include "tests/unit/client_fixture.h"

#define BLOCKS 1024
#define EVENTS 6000000

#define CONFIG                                                \
	"channel t { stamp = tsc\n class main { block = 64\n" \
	"blocks = 1024\n side_blocks = 1024 } }\n"

/* The fate of each event, shared with the members. */
enum {
	UNSEEN,
	SEEN,     /* handed out to a member that may have died with it */
	RELEASED, /* the release has returned */
};
static uint8_t *fate;

static struct tapio_producer *p;
static uint32_t accepted;

static uint32_t deaths(void)
{
	return getenv("TAPIO_LONG") ? 3000 : 60;
}

static struct tapio_consumer *join(void)
{
	const struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.durable = 1,
	};

	return rig_open(&options);
}

static void emit(uint32_t count)
{
	while (count-- && accepted < EVENTS)
		accepted += !tapio_output(p, TAG, &accepted, sizeof(accepted));
}

/* One batch: how many events it had. */
static int read_batch(struct tapio_consumer *c, unsigned int max,
		      int64_t wait_ns)
{
	struct tapio_view views[64];
	uint32_t numbers[64];
	int i, n = tapio_poll(c, views, max, wait_ns);

	for (i = 0; i < n; i++) {
		memcpy(&numbers[i], views[i].data, sizeof(numbers[i]));
		if (fate[numbers[i]] == RELEASED)
			_exit(3); /* it was released, and came again */
		fate[numbers[i]] = SEEN;
	}
	if (n < 0 || tapio_release(c))
		_exit(4); /* a lossless member was overrun */
	for (i = 0; i < n; i++)
		fate[numbers[i]] = RELEASED;
	return n;
}

/* Reads slowly enough that there is a backlog when it dies. */
static void be_a_member(unsigned int seed)
{
	struct tapio_consumer *c = join();

	for (;;) {
		read_batch(c, 1 + (unsigned int)rand_r(&seed) % 64, 1000000);
		if (!(rand_r(&seed) % 3))
			nap_ms(1);
	}
}

static uint32_t members(void)
{
	return tpi_load_relaxed(&p->now->client.groups[0].members);
}

static void wait_members(uint32_t count)
{
	for (int i = 0; i < 60000 && members() != count; i++)
		nap_ms(1);
	ck_assert_uint_eq(members(), count);
}

static void kill_member(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "the member ended with status 0x%x",
		      status);
	wait_members(0);
}

static void start(void)
{
	fate = mmap(NULL, EVENTS, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(fate, MAP_FAILED);
	rig_start(CONFIG);
	pin(0);
	p = rig_producer();
}

START_TEST(every_death_loses_what_producers_took_and_nothing_else)
{
	unsigned int seed = 4711 + (unsigned int)_i;
	uint32_t i, unseen = 0, unsure = 0;
	struct tapio_consumer_stats stats;
	struct tapio_consumer *c;
	pid_t pid;

	start();
	for (i = 0; i < deaths(); i++) {
		pid = fork();
		if (!pid)
			be_a_member(seed + i);
		wait_members(1);
		emit((uint32_t)rand_r(&seed) % (2 * BLOCKS));
		if (rand_r(&seed) % 2)
			nap_ms(rand_r(&seed) % 4);
		kill_member(pid);
		/* Nothing, or a few, or laps, while no member is there. */
		if (rand_r(&seed) % 3)
			emit((uint32_t)rand_r(&seed) %
			     (rand_r(&seed) % 2 ? 3 * BLOCKS : BLOCKS / 8));
	}
	c = join();
	while (read_batch(c, 64, 0))
		;
	for (i = 0; i < accepted; i++) {
		unseen += fate[i] == UNSEEN;
		unsure += fate[i] == SEEN;
	}
	stats = group_stats(c);
	ck_assert_uint_eq(stats.in_flight, 0);
	ck_assert_uint_eq(stats.skipped, 0);
	ck_assert_uint_eq(stats.delivered + stats.lost, accepted);
	/* Each event that was not seen at all is counted as lost, and none that was
	 * released is. Those that a member died with may be either. */
	ck_assert_uint_ge(stats.lost, unseen);
	ck_assert_uint_le(stats.lost, unseen + unsure);
	printf("%u accepted, %u never seen, %u seen and not released, %llu "
	       "lost\n",
	       accepted, unseen, unsure, (unsigned long long)stats.lost);
	fflush(stdout);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

/* A member with a backlog dies, and nothing is emitted before the next one comes. */
START_TEST(a_backlog_of_any_size_outlives_its_member)
{
	const uint32_t backlog = BLOCKS * (uint32_t)(_i + 1) / 8;
	struct tapio_consumer *c;
	uint32_t i;
	pid_t pid;

	start();
	pid = fork();
	if (!pid) {
		join();
		for (;;)
			pause();
	}
	wait_members(1);
	emit(backlog);
	ck_assert_uint_eq(accepted, backlog);
	kill_member(pid);
	c = join();
	while (read_batch(c, 64, 0))
		;
	for (i = 0; i < accepted; i++)
		ck_assert_uint_eq(fate[i], RELEASED);
	ck_assert_uint_eq(group_stats(c).lost, 0);
	ck_assert_uint_eq(group_stats(c).delivered, backlog);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

/* ---- two members, which stop ----------------------------------------------------- */

#define WANTED   TAPIO_TAG(100, 5)
#define UNWANTED TAPIO_TAG(200, 5)
#define TAKEOVER INT64_C(5000000)

/* Seven do not divide a ring, nor do five. */
static bool is_discard(uint32_t number)
{
	return number % 7 == 3;
}

static bool is_wanted(uint32_t number)
{
	return !is_discard(number) && number % 5 != 1;
}

static uint64_t merge_ns;

static struct tapio_consumer *join_as_one_of_two(void)
{
	static const uint16_t types[] = {100};
	const struct tapio_consumer_options options = {
		.group = "g",
		.policy = TAPIO_GROUP_LOSSLESS,
		.durable = 1,
		.types = types,
		.type_count = 1,
		.merge_ns = merge_ns,
		.takeover_ns = TAKEOVER,
	};

	return rig_open(&options);
}

static int emit_one(uint32_t number)
{
	struct tapio_reservation r;
	int err;

	if (!is_discard(number))
		return tapio_output(p, is_wanted(number) ? WANTED : UNWANTED,
				    &number, sizeof(number));
	err = tapio_reserve(p, WANTED, sizeof(number), &r);
	return err ? err : tapio_discard(p, &r);
}

static void emit_mixed(uint32_t count)
{
	while (count-- && accepted < EVENTS)
		accepted += !emit_one(accepted);
}

/* At least once: a member that slept may see what another one gets again. */
static int read_mixed(struct tapio_consumer *c, unsigned int max,
		      int64_t wait_ns)
{
	struct tapio_view views[64];
	uint32_t number;
	int i, n = tapio_poll(c, views, max, wait_ns);

	for (i = 0; i < n; i++) {
		memcpy(&number, views[i].data, sizeof(number));
		if (!tapio_view_intact(c, &views[i]))
			continue;
		if (number >= EVENTS || !is_wanted(number))
			_exit(3);
		fate[number] = SEEN;
	}
	if (n < 0 || tapio_release(c) < 0)
		_exit(4);
	return n;
}

static void be_one_of_two(unsigned int seed)
{
	struct tapio_consumer *c = join_as_one_of_two();

	for (;;) {
		read_mixed(c, 1 + (unsigned int)rand_r(&seed) % 64, 1000000);
		if (!(rand_r(&seed) % 3))
			nap_ms(1);
	}
}

static void kill_and_wait(pid_t pid, uint32_t left)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "the member ended with status 0x%x",
		      status);
	wait_members(left);
}

/* One of them sleeps for longer than the other waits. */
static void stop_one(pid_t pid, unsigned int *seed)
{
	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	emit_mixed((uint32_t)rand_r(seed) % BLOCKS);
	nap_ms(rand_r(seed) % 12);
	emit_mixed((uint32_t)rand_r(seed) % 64);
	/* Now and then it is killed as it sleeps. */
	if (rand_r(seed) % 4)
		ck_assert_int_eq(kill(pid, SIGCONT), 0);
}

static void live_and_die(unsigned int *seed)
{
	pid_t pids[2];
	int i, first;

	for (i = 0; i < 2; i++) {
		pids[i] = fork();
		if (!pids[i])
			be_one_of_two(*seed + (unsigned int)i);
	}
	wait_members(2);
	for (i = 0; i < 2; i++) {
		emit_mixed((uint32_t)rand_r(seed) % BLOCKS);
		stop_one(pids[rand_r(seed) % 2], seed);
	}
	first = rand_r(seed) % 2;
	kill_and_wait(pids[first], 1);
	emit_mixed((uint32_t)rand_r(seed) % BLOCKS);
	kill_and_wait(pids[!first], 0);
	if (rand_r(seed) % 2)
		emit_mixed((uint32_t)rand_r(seed) % (2 * BLOCKS));
}

START_TEST(members_that_stop_and_die_lose_what_producers_took_alone)
{
	uint32_t i, unseen = 0, wanted = 0;
	unsigned int seed = 815 + (unsigned int)_i;
	struct tapio_consumer_stats stats;
	struct tapio_consumer *c;

	merge_ns = _i ? 500000 : 0;
	start();
	for (i = 0; i < deaths() / 2; i++)
		live_and_die(&seed);
	c = join_as_one_of_two();
	while (group_stats(c).in_flight)
		read_mixed(c, 64, 1000000);
	for (i = 0; i < accepted; i++) {
		wanted += is_wanted(i);
		unseen += is_wanted(i) && fate[i] != SEEN;
	}
	stats = group_stats(c);
	ck_assert_uint_eq(stats.delivered + stats.skipped + stats.lost,
			  accepted);
	ck_assert_uint_le(stats.skipped, accepted - wanted);
	ck_assert_uint_le(stats.delivered, wanted);
	/* Each event that no member saw is counted as lost. */
	ck_assert_uint_ge(stats.lost, unseen);
	ck_assert_uint_ge(stats.delivered + stats.lost, wanted);
	printf("%u accepted, %u wanted, %u never seen, %llu lost\n", accepted,
	       wanted, unseen, (unsigned long long)stats.lost);
	fflush(stdout);
	tapio_consumer_close(c);
	tapio_producer_close(p);
	rig_stop();
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("promote");

	tcase_set_timeout(t, getenv("TAPIO_LONG") ? 1800 : 60);
	tcase_add_loop_test(
		t, every_death_loses_what_producers_took_and_nothing_else, 0,
		3);
	tcase_add_loop_test(
		t, members_that_stop_and_die_lose_what_producers_took_alone, 0,
		2);
	tcase_add_loop_test(t, a_backlog_of_any_size_outlives_its_member, 0, 8);
	return check_run_case("promote", t);
}
