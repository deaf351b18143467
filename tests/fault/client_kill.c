/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL at every named point of the client library (lib/base/testpoint.h), several
 * times each. A producer that dies: an event that it was told is accepted
 * arrives once, another one once or not at all. No block is missing afterwards
 * and every side lane is free again. A consumer that dies: the others get all
 * that it had not released, and nothing twice that it had.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "lib/base/testpoint.h"
#include "tests/unit/client_fixture.h"

#ifndef TAPIO_TESTPOINTS
int main(void)
{
	puts("needs a build with TAPIO_TESTPOINTS, to die at them");
	return 77;
}
#else

#define NUMBERS     60000
#define ENOUGH      4000 /* after the death */
#define PRODUCERS   6
#define BLOCKS      16
#define SIDES       12

/* Sanitized and on a busy machine, 5 s are not always enough for an answer. */
#define PATIENCE_NS INT64_C(60000000000)
#define CONFIG                                                              \
	"channel t { stamp = \"none\"\n full = \"wait\"\n wait = \"30s\"\n" \
	"class small { block = 64\n blocks = 16\n side_blocks = 16\n"       \
	"side_lanes = 12 }\n"                                               \
	"class large { block = 8192\n blocks = 16\n side_blocks = 16\n"     \
	"side_lanes = 12 }\n}\n"

/* The fate of each number. Shared with the child that will die. */
enum {
	UNKNOWN,
	BEGUN, /* given to a call that has not returned */
	SURE   /* the call said so */
};
struct account {
	uint8_t state[NUMBERS];
	uint32_t next;
};
static struct account *account;
static uint8_t seen[NUMBERS]; /* by this process */
static uint64_t received;     /* and fillers */
static uint32_t discarded;    /* by feed() */

static const char *target;
static int countdown;

static void die_there(const char *name)
{
	if (!strcmp(name, target) && tpi_add_relaxed(&countdown, -1) == 1)
		kill(getpid(), SIGKILL);
}

static void share_account(void)
{
	account = mmap(NULL, sizeof(*account), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(account, MAP_FAILED);
}

/* Whether a child ended by itself. */
static bool survived(int status)
{
	ck_assert_msg(
		(WIFEXITED(status) && !WEXITSTATUS(status)) ||
			(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
		"the child's status is 0x%x", status);
	return WIFEXITED(status);
}

/* ---- producers ------------------------------------------------------------------ */

static const char *const producer_points[] = {
	"output.published", "ring.woken",       "output.filled",
	"output.put",       "run.looked",       "run.taken",
	"run.published",    "take.reserved",    "take.claimed",
	"side.taken",       "side.inside",      "side.given",
	"reserve.taken",    "submit.published", "submit.copied",
	"submit.abandoned", "relocate.filled",  "relocate.abandoned",
	"discard.done",     "room.announced",
};
#define PRODUCER_POINTS \
	(int)(sizeof(producer_points) / sizeof(producer_points[0]))

static uint32_t begin(uint32_t count)
{
	uint32_t i, first = account->next;

	for (i = 0; i < count; i++)
		account->state[first + i] = BEGUN;
	account->next += count;
	return first;
}

static void sure(uint32_t first, int count)
{
	while (count-- > 0)
		account->state[first++] = SURE;
}

static void do_output(struct tapio_producer *p, uint32_t length)
{
	uint32_t bytes[2048];
	uint32_t number = begin(1);

	bytes[0] = number;
	if (!tapio_output(p, TAG, bytes, length))
		sure(number, 1);
}

static void do_reserve(struct tapio_producer *p, uint32_t length, int from,
		       int to)
{
	struct tapio_reservation r;
	uint32_t number;

	pin(from);
	if (tapio_reserve(p, TAG, length, &r))
		return;
	number = begin(1);
	memcpy(r.data, &number, sizeof(number));
	pin(to);
	if (!tapio_submit(p, &r))
		sure(number, 1);
}

static void do_batch(struct tapio_producer *p, uint32_t length)
{
	uint32_t numbers[5][16] = {{0}}, first = begin(5);
	struct tapio_item items[5];

	for (uint32_t i = 0; i < 5; i++) {
		numbers[i][0] = first + i;
		items[i] = (struct tapio_item){numbers[i], length, TAG};
	}
	sure(first, tapio_output_batch(p, items, 5));
}

/* As many blocks as may be reserved, or as this CPU's lane has at once. */
static unsigned int take_blocks(struct tapio_producer *p,
				struct tapio_reservation *r, int calls)
{
	unsigned int got = 0;
	int n;

	while (calls-- && got < BLOCKS / 2) {
		n = tapio_reserve_batch(p, TAG, 8, r + got, BLOCKS / 2 - got);
		if (n <= 0)
			break;
		got += (unsigned int)n;
	}
	return got;
}

/* Blocks abandoned on CPU 0, and claimed again there: no others are left. */
static void do_abandon(struct tapio_producer *p)
{
	struct tapio_reservation r[BLOCKS / 2];
	unsigned int n;

	pin(0);
	n = take_blocks(p, r, 1);
	pin(1);
	tapio_discard_batch(p, r, n);
	pin(0);
	n = take_blocks(p, r, BLOCKS);
	tapio_discard_batch(p, r, n);
}

static void work(void)
{
	struct tapio_producer *p = rig_producer(), *side;
	int round, i;

	for (round = 0; round < 20; round++) {
		/* While no block is in hands: by sections of its own. */
		do_batch(p, 64);
		do_output(p, 8);
		do_reserve(p, 8, 0, 0);
		do_reserve(p, 8, 0, 1);
		do_reserve(p, 8000, 1, 0);
		do_output(p, 8000);
		do_batch(p, 4);
		do_abandon(p);
		side = rig_producer();
		side->now->emit.cpus = 0;
		do_output(side, 8);
		do_output(side, 8000);
		tapio_producer_close(side);
		/* Faster than the reader: waits for room. */
		for (i = 0; i < 4 * BLOCKS; i++)
			do_output(p, 8);
		nap_ms(1); /* the reader falls asleep */
	}
	tapio_producer_close(p);
}

static void note(const struct tapio_view *views, int n)
{
	uint32_t number;
	int i;

	received += (unsigned int)n;
	for (i = 0; i < n; i++) {
		if (views[i].type != 100)
			continue; /* a filler */
		memcpy(&number, views[i].data, sizeof(number));
		ck_assert_uint_lt(number, NUMBERS);
		seen[number]++;
	}
}

static void read_some(struct tapio_consumer *c, int64_t wait_ns)
{
	struct tapio_view views[32];
	int n = tapio_poll(c, views, 32, wait_ns);

	ck_assert_msg(n >= 0, "poll: %s", strerror(-n));
	note(views, n);
	ck_assert_int_eq(tapio_release(c), 0);
}

/* Every lane takes as many events as it has blocks, from any producer. */
static void assert_lanes_whole(struct tapio_consumer *c,
			       struct tapio_producer *q)
{
	struct tapio_producer *sides[SIDES];
	uint32_t x = 0;
	int cpu, i;

	for (cpu = 0; cpu < 2; cpu++) {
		pin(cpu);
		for (i = 0; i < BLOCKS; i++)
			ck_assert_int_eq(
				tapio_output(q, TAPIO_TAG(1, 1), &x, sizeof(x)),
				0);
		while (group_stats(c).in_flight)
			read_some(c, 0);
	}
	for (i = 0; i < SIDES; i++) {
		sides[i] = rig_producer();
		sides[i]->now->emit.cpus = 0;
		ck_assert_int_eq(
			tapio_output(sides[i], TAPIO_TAG(1, 1), &x, sizeof(x)),
			0);
	}
	while (group_stats(c).in_flight)
		read_some(c, 0);
	while (i--)
		tapio_producer_close(sides[i]);
}

/* Until the broker has swept what the dead one held. */
static void wait_for_the_sweep(struct tapio_consumer *c,
			       struct tapio_producer *q)
{
	int i;

	for (i = 0; i < 10000 && channel_stats(q).held; i++)
		read_some(c, 1000000);
	ck_assert_uint_eq(channel_stats(q).held, 0);
	for (i = 0; i < 10000 && group_stats(c).in_flight; i++)
		read_some(c, 1000000);
	ck_assert_uint_eq(group_stats(c).in_flight, 0);
}

START_TEST(what_a_producer_was_told_is_accepted_survives_its_death)
{
	int status, times = 1 + _i / PRODUCER_POINTS * 4;
	struct tapio_producer *q;
	struct tapio_consumer *c;
	uint32_t i;
	pid_t pid;

	share_account();
	rig_start(CONFIG);
	rig.options.connect_ns = PATIENCE_NS;
	q = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	target = producer_points[_i % PRODUCER_POINTS];
	countdown = times;
	pid = fork();
	if (!pid) {
		tpi_testpoint_set(die_there);
		work();
		_exit(0);
	}
	while (!waitpid(pid, &status, WNOHANG))
		read_some(c, 1000000);
	if (survived(status))
		ck_assert_msg(times > 1, "%s is never reached", target);
	wait_for_the_sweep(c, q);
	for (i = 0; i < NUMBERS; i++) {
		ck_assert_msg(seen[i] <= 1, "%s: %u arrived %u times", target,
			      i, seen[i]);
		ck_assert_msg(seen[i] || account->state[i] != SURE,
			      "%s: %u was accepted and is lost", target, i);
		ck_assert_msg(!seen[i] || account->state[i] != UNKNOWN,
			      "%s: %u was never sent", target, i);
	}
	assert_lanes_whole(c, q);
	ck_assert_uint_eq(group_stats(c).delivered, received);
	ck_assert_uint_eq(group_stats(c).lost, 0);
	tapio_consumer_close(c);
	tapio_producer_close(q);
	rig_stop();
}
END_TEST

/* ---- consumers ------------------------------------------------------------------ */

static const char *const consumer_points[] = {
	"poll.handed", "release.tallied", "release.stored",  "room.woken",
	"lease.taken", "lease.given",     "sleep.announced", "lease.wanted",
};
#define CONSUMER_POINTS \
	(int)(sizeof(consumer_points) / sizeof(consumer_points[0]))
/* Needs another member to be there before. */
#define SECOND_FROM (CONSUMER_POINTS - 1)

static uint32_t finished;
static uint32_t fed; /* numbers 0 .. fed - 1, once finished */
static uint32_t child_died;

/* Numbered events on lanes of their own, some reservations thrown away. */
static void *feed(void *arg)
{
	struct tapio_producer *p[PRODUCERS];
	struct tapio_reservation r;
	uint32_t i, number, left = ENOUGH;

	for (i = 0; i < PRODUCERS; i++) {
		p[i] = rig_producer();
		p[i]->now->emit.cpus = 0;
	}
	/* Until the other one has died, and some more. */
	for (number = 0; number < NUMBERS && left; number++) {
		struct tapio_producer *q = p[number % PRODUCERS];

		ck_assert_int_eq(tapio_output(q, TAG, &number, sizeof(number)),
				 0);
		if (number % 16 < PRODUCERS && !tapio_reserve(q, TAG, 8, &r))
			discarded += !tapio_discard(q, &r);
		/* Bursts that no lane holds, so that we wait for room, and
		 * pauses, for leases to change hands. */
		if (tpi_load_relaxed(&child_died))
			left--;
		else if (number % 200 == 0)
			nap_ms(12);
	}
	fed = number;
	for (i = 0; i < PRODUCERS; i++)
		tapio_producer_close(p[i]);
	tpi_store_release(&finished, 1);
	return arg;
}

/* The member that dies: notes what it has, and what it has released. */
static void be_a_member(int ready)
{
	struct tapio_consumer *c;
	struct tapio_view views[8];
	uint32_t numbers[8];
	char byte = 0;
	int n, i;

	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	/* Takes all lanes that are free: the next member wants some of them. */
	if (tapio_poll(c, views, 8, 0))
		_exit(2);
	if (write(ready, &byte, 1) != 1)
		_exit(1);
	for (;;) {
		n = tapio_poll(c, views, 8, 20000000);
		for (i = 0; i < n; i++) {
			memcpy(&numbers[i], views[i].data, 4);
			account->state[numbers[i]] = BEGUN;
		}
		tapio_release(c);
		for (i = 0; i < n; i++)
			account->state[numbers[i]] = SURE;
	}
}

static pid_t start_member(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		tpi_testpoint_set(die_there);
		be_a_member(ready[1]);
	}
	close(ready[1]);
	/* The end of it, when it dies before. */
	ck_assert_int_ge((int)read(ready[0], &byte, 1), 0);
	close(ready[0]);
	return pid;
}

START_TEST(what_a_consumer_had_not_released_survives_its_death)
{
	int point = _i % CONSUMER_POINTS, times = 1 + _i / CONSUMER_POINTS * 4;
	struct tapio_consumer *c = NULL;
	bool dead = false;
	pthread_t thread;
	uint32_t i, idle;
	int status = 0;
	pid_t pid;

	share_account();
	rig_start(CONFIG);
	rig.options.connect_ns = PATIENCE_NS;
	target = consumer_points[point];
	countdown = times;
	if (point >= SECOND_FROM) {
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
		/* The first poll takes every lane: the child wants some of them. */
		read_some(c, 0);
	}
	pid = start_member();
	if (!c)
		c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
	ck_assert_int_eq(pthread_create(&thread, NULL, feed, NULL), 0);
	for (idle = 0; idle < 100;) {
		read_some(c, 1000000);
		if (!dead)
			dead = waitpid(pid, &status, WNOHANG) == pid;
		tpi_store_relaxed(&child_died, dead);
		if (tpi_load_acquire(&finished) && !dead) {
			kill(pid, SIGKILL); /* the point was not reached */
			ck_assert_int_eq(waitpid(pid, &status, 0), pid);
			ck_assert_msg(times > 1, "%s is never reached", target);
			dead = true;
		}
		idle = tpi_load_acquire(&finished) && !group_stats(c).in_flight
			       ? idle + 1
			       : 0;
	}
	pthread_join(thread, NULL);
	ck_assert(!survived(status));
	for (i = 0; i < fed; i++) {
		ck_assert_msg(seen[i] || account->state[i], "%s: %u is lost",
			      target, i);
		ck_assert_msg(!seen[i] || account->state[i] != SURE,
			      "%s: %u was released and came again", target, i);
		ck_assert_msg(seen[i] <= 1, "%s: %u came %u times", target, i,
			      seen[i]);
	}
	/* Positions released, each once, by any member. */
	ck_assert_uint_eq(group_stats(c).delivered, fed);
	ck_assert_uint_eq(group_stats(c).skipped, discarded);
	ck_assert_uint_eq(group_stats(c).lost, 0);
	tapio_consumer_close(c);
	rig_stop();
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *t;

	if (!require_cpu_lanes() || cpu_count() < 2) {
		puts("needs two CPUs and rseq, to reach every point");
		return 77;
	}
	suite = suite_create("client kill");
	t = tcase_create("kill");
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(
		t, what_a_producer_was_told_is_accepted_survives_its_death, 0,
		2 * PRODUCER_POINTS);
	tcase_add_loop_test(t,
			    what_a_consumer_had_not_released_survives_its_death,
			    0, 2 * CONSUMER_POINTS);
	suite_add_tcase(suite, t);
	return rig_run(suite);
}
#endif
