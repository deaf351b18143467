/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See points.h: acts of clients until their deaths. Each goes round by itself, and passes
 * its testpoints in each round. Events are numbered: a call that has not returned may have
 * emitted its number or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "client/connection/client.h"
#include "client/consumer/consumer.h"
#include "client/producer/producer.h"
#include "lib/base/atomic.h"
#include "tests/fault/points.h"

#define BLOCKS    16 /* of a lane of "a" */
#define VIEWS     8
#define ROUNDS    12
#define PATIENCE  INT64_C(60000000000)
#define FEEDERS   4
#define POLL_NS   INT64_C(3000000)
#define MERGE_NS  1000000
#define WATERMARK 4
#define STEPS_FDS 24

static void nap_us(long us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static bool stopped(void)
{
	return tpi_load_relaxed(&board->stop);
}

/* To the n-th CPU of those that this process may use. */
static void go_to(int n)
{
	static cpu_set_t all;
	cpu_set_t one;
	int cpu;

	if (!CPU_COUNT(&all))
		sched_getaffinity(0, sizeof(all), &all);
	n %= CPU_COUNT(&all);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && !n--)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* ---- handles ------------------------------------------------------------------------- */

struct tapio_options points_options(void)
{
	return (struct tapio_options){
		.size = sizeof(struct tapio_options),
		.socket = board->socket,
		.connect_ns = PATIENCE,
		.answer_ns = PATIENCE,
	};
}

/* A broker that dies while it answers may refuse for it: the next one is asked. */
struct tapio_producer *points_producer(const char *channel)
{
	struct tapio_options options = points_options();
	struct tapio_producer *p;

	for (int i = 0; i < 1000; i++) {
		if (!tapio_producer_open(&p, channel, &options))
			return p;
		nap_us(1000);
	}
	_exit(2);
}

/* A producer on side lanes. */
static struct tapio_producer *side_producer(void)
{
	struct tapio_producer *p = points_producer("a");

	p->now->emit.cpus = 0;
	return p;
}

struct tapio_consumer *
points_consumer(const char *channel,
		const struct tapio_consumer_options *wanted)
{
	struct tapio_consumer_options options = *wanted;
	struct tapio_consumer *c;

	options.size = sizeof(options);
	options.broker = points_options();
	for (int i = 0; i < 1000; i++) {
		if (!tapio_consumer_open(&c, channel, &options))
			return c;
		nap_us(1000);
	}
	_exit(3);
}

static struct tapio_consumer *member(struct tapio_consumer_options options)
{
	options.group = "h";
	options.policy = TAPIO_GROUP_LOSSLESS;
	options.takeover_ns = POINTS_TAKEOVER_NS;
	return points_consumer("a", &options);
}

struct tapio_consumer *points_member(void)
{
	return member((struct tapio_consumer_options){0});
}

static struct tapio_consumer *join(const char *group, bool durable)
{
	return points_consumer("b", &(struct tapio_consumer_options){
					    .group = group,
					    .policy = TAPIO_GROUP_LOSSLESS,
					    .durable = durable,
				    });
}

/* ---- producers ---------------------------------------------------------------------- */

static void do_output(struct tapio_producer *p, uint32_t length, uint32_t tag)
{
	static uint32_t bytes[2048];
	uint32_t number = points_begin(1);

	bytes[0] = number;
	if (!tapio_output(p, tag, bytes, length))
		points_sure(number, 1);
}

static void do_reserve(struct tapio_producer *p, uint32_t length, int from,
		       int to)
{
	struct tapio_reservation r;
	uint32_t number;

	go_to(from);
	if (tapio_reserve(p, POINTS_TAG, length, &r))
		return;
	number = points_begin(1);
	memcpy(r.data, &number, sizeof(number));
	go_to(to);
	if (!tapio_submit(p, &r))
		points_sure(number, 1);
}

static void do_batch(struct tapio_producer *p, uint32_t length)
{
	uint32_t numbers[5][16] = {{0}}, first = points_begin(5);
	struct tapio_item items[5];

	for (uint32_t i = 0; i < 5; i++) {
		numbers[i][0] = first + i;
		items[i] = (struct tapio_item){numbers[i], length, POINTS_TAG};
	}
	points_sure(first, tapio_output_batch(p, items, 5));
}

static unsigned int take_blocks(struct tapio_producer *p,
				struct tapio_reservation *r, int calls)
{
	unsigned int got = 0;

	while (calls-- && got < BLOCKS / 2) {
		int n = tapio_reserve_batch(p, POINTS_TAG, 8, r + got,
					    BLOCKS / 2 - got);

		if (n <= 0)
			break;
		got += (unsigned int)n;
	}
	return got;
}

/* Blocks abandoned on one CPU, and claimed again there: no others are left. */
static void do_abandon(struct tapio_producer *p)
{
	struct tapio_reservation r[BLOCKS / 2];
	unsigned int n;

	go_to(0);
	n = take_blocks(p, r, 1);
	go_to(1);
	tapio_discard_batch(p, r, n);
	go_to(0);
	n = take_blocks(p, r, BLOCKS);
	tapio_discard_batch(p, r, n);
}

static void do_side(void)
{
	struct tapio_producer *side = side_producer();

	do_output(side, 8, POINTS_TAG);
	do_output(side, 8000, POINTS_TAG);
	tapio_producer_close(side);
}

static void act_produce(void)
{
	struct tapio_producer *p = points_producer("a");

	for (int round = 0; round < ROUNDS && !stopped(); round++) {
		/* While no block is in hands: by sections of its own. */
		do_batch(p, 64);
		do_output(p, 8, POINTS_TAG);
		do_reserve(p, 8, 0, 0);
		do_reserve(p, 8, 0, 1);
		do_reserve(p, 8000, 1, 0);
		do_output(p, 8000, POINTS_TAG);
		do_batch(p, 4);
		do_abandon(p);
		do_side();
		for (int i = 0; i < 2 * BLOCKS; i++)
			do_output(p, 8, POINTS_TAG | TAPIO_NO_WAIT);
		/* Faster than the reader: waits for room. */
		for (int i = 0; i < 3 * BLOCKS; i++)
			do_output(p, 8, POINTS_TAG);
		nap_us(2000); /* the reader falls asleep */
	}
	tapio_producer_close(p);
}

/* Numbered events on lanes of their own, and pauses. It waits for room. */
void points_feed(void)
{
	struct tapio_producer *p[FEEDERS];
	struct tapio_reservation r;

	for (int i = 0; i < FEEDERS; i++)
		p[i] = i ? side_producer() : points_producer("a");
	for (uint32_t n = 0; !stopped(); n++) {
		do_output(p[n % FEEDERS], 8, POINTS_TAG);
		if (n % 16 < FEEDERS &&
		    !tapio_reserve(p[n % FEEDERS], POINTS_TAG, 8, &r))
			tapio_discard(p[n % FEEDERS], &r);
		if (n % 128 == 0)
			nap_us(4000);
		else if (n % 8 == 0)
			nap_us(100);
	}
	for (int i = 0; i < FEEDERS; i++)
		tapio_producer_close(p[i]);
}

/* ---- consumers ---------------------------------------------------------------------- */

static void consume(struct tapio_consumer *c, uint32_t life, int64_t wait_ns)
{
	struct tapio_view views[VIEWS];
	int n = tapio_poll(c, views, VIEWS, wait_ns);

	if (n < 0)
		_exit(4);
	points_note(life, views, n);
	tapio_release(c);
	points_note_released(views, n);
}

static void act_consume(void)
{
	struct tapio_consumer *c = points_member();
	uint32_t life = points_life();

	for (int i = 0; i < 200 && !stopped(); i++)
		consume(c, life, POLL_NS);
	tapio_consumer_close(c);
}

/* Two members: one wants lanes of the other. */
static void act_share(void)
{
	struct tapio_consumer *c = points_member(), *d = points_member();
	uint32_t life = points_life(), other = points_life();

	for (int i = 0; i < 600 && !stopped(); i++) {
		consume(c, life, 1000);
		consume(d, other, 1000);
		nap_us(200);
	}
	tapio_consumer_close(d);
	tapio_consumer_close(c);
}

/* One of two sleeps, with nothing in its hands, and then wakes up. */
static void act_relieve(void)
{
	struct tapio_consumer *c = points_member(), *d = points_member();
	uint32_t life = points_life(), other = points_life();

	for (int round = 0; round < 6 && !stopped(); round++) {
		for (int i = 0; i < 10; i++)
			consume(c, life, 1000);
		for (int i = 0; i < 100 && !stopped(); i++) {
			consume(d, other, 1000);
			nap_us(2000);
		}
		for (int i = 0; i < 100 && !stopped(); i++) {
			consume(c, life, 1000);
			nap_us(2000);
		}
	}
	tapio_consumer_close(d);
	tapio_consumer_close(c);
}

static void act_other(struct tapio_consumer_options options)
{
	struct tapio_consumer *c = member(options);
	uint32_t life = points_life();

	for (int i = 0; i < 200 && !stopped(); i++)
		consume(c, life, POLL_NS);
	tapio_consumer_close(c);
}

/* As a member leaves it that asks for lanes and dies before it takes them (lease.h, A1). */
static void leave_asked(struct tapio_consumer *c)
{
	for (uint32_t i = 0; i < c->now->lane_count; i++) {
		struct tpi_track *t = &c->now->tracks[i];
		uint64_t lease = t->lease;

		if (t->leased)
			tpi_cas_acq_rel(&t->cursor->lease, &lease,
					lease | TAPIO_LEASE_ASKED);
	}
}

static void act_asked(void)
{
	struct tapio_consumer *c = points_member();
	uint32_t life = points_life();

	for (int i = 0; i < 100 && !stopped(); i++) {
		consume(c, life, POLL_NS);
		if (i % 10 == 9)
			leave_asked(c);
	}
	tapio_consumer_close(c);
}

static void act_merge(void)
{
	act_other((struct tapio_consumer_options){.merge_ns = MERGE_NS});
}

static void act_watermark(void)
{
	act_other((struct tapio_consumer_options){.wake_events = WATERMARK,
						  .wake_ns = 1000000});
}

/* A group that holds nobody is overrun meanwhile, and promises nothing. */
static void act_lossy(void)
{
	struct tapio_consumer_options options = {
		.group = "l",
		.policy = TAPIO_GROUP_LOSSY,
	};
	struct tapio_consumer *c = points_member();
	struct tapio_consumer *l = points_consumer("a", &options);
	struct tapio_view views[VIEWS];
	uint32_t life = points_life();

	for (int i = 0; i < 600 && !stopped(); i++) {
		consume(c, life, POLL_NS);
		if (i % 20)
			continue;
		if (tapio_poll(l, views, VIEWS, 0) < 0)
			_exit(4);
		tapio_release(l);
	}
	tapio_consumer_close(l);
	tapio_consumer_close(c);
}

/* ---- clients that ask the broker -------------------------------------------------------- */

void points_command(char command)
{
	uint32_t answered = tpi_load_acquire(&board->answered);
	uint32_t serves = tpi_load_acquire(&board->serves);
	int fd = open(board->commands, O_WRONLY | O_CLOEXEC);

	/* A broker that dies over it has done enough. */
	if (fd < 0 || write(fd, &command, 1) != 1)
		_exit(5);
	close(fd);
	while (tpi_load_acquire(&board->answered) == answered &&
	       tpi_load_acquire(&board->serves) == serves && !stopped())
		nap_us(200);
}

/* The broker's own looks at all that is there. */
static void act_tick(void)
{
	for (int i = 0; i < 100 && !stopped(); i++)
		nap_us(2000);
}

/* A producer that has a block in its hands when it goes. */
static void act_attach(void)
{
	struct tapio_producer *p = points_producer("v");
	struct tapio_reservation r;

	if (tapio_reserve(p, POINTS_TAG, 4, &r))
		_exit(6);
	tapio_producer_close(p);
}

/* With few descriptors: the messages of an open come one by one. */
static void act_steps(void)
{
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct rlimit before, few;

	close(first);
	if (first < 0 || getrlimit(RLIMIT_NOFILE, &before))
		_exit(8);
	few = before;
	few.rlim_cur = (rlim_t)first + 1 + STEPS_FDS;
	if (setrlimit(RLIMIT_NOFILE, &few))
		_exit(8);
	tapio_producer_close(points_producer("v"));
	setrlimit(RLIMIT_NOFILE, &before);
}

/* It holds the leases of all lanes when it goes. */
static void act_join(void)
{
	struct tapio_consumer *c = join("x", false);
	struct tapio_view views[4];

	if (tapio_poll(c, views, 4, 0) < 0)
		_exit(4);
	tapio_consumer_close(c);
}

/* Its process ends without a word, with blocks and leases. */
static void act_end(void)
{
	struct tapio_consumer *c = join("x", false);
	struct tapio_producer *p = points_producer("v");
	struct tapio_reservation r;
	struct tapio_view views[4];

	if (tapio_reserve(p, POINTS_TAG, 4, &r) ||
	    tapio_poll(c, views, 4, 0) < 0)
		_exit(6);
}

static void act_promote(void)
{
	tapio_consumer_close(join("d", true));
}

static void act_remove(void)
{
	struct tapio_options options = points_options();

	tapio_consumer_close(join("r", true));
	/* Twice, if a broker dies over it. */
	for (int i = 0; i < 1000; i++) {
		int err = tapio_group_remove(&options, "b", "r");

		if (!err || err == -ENXIO)
			return;
		nap_us(1000);
	}
	_exit(7);
}

static void act_mend(void)
{
	points_command('m');
}

static void act_renew(void)
{
	points_command('s');
	act_join();
}

static void act_evict(void)
{
	(void)join("x", false);
	points_command('e');
}

/* A look of the broker's closes its memory. */
static void act_isolated(void)
{
	struct tapio_producer *p = points_producer("i");
	uint32_t x = 0;

	if (tapio_output(p, POINTS_TAG, &x, sizeof(x)))
		_exit(6);
	tapio_producer_close(p);
	for (int i = 0; i < 30 && !stopped(); i++)
		nap_us(2000);
}

/* A slot gets new memory, which a producer asks for when it needs room. */
static void act_fetch(void)
{
	struct tapio_producer *p = points_producer("v");
	struct tapio_consumer *c;
	uint32_t x = 0;

	points_command('s');
	c = points_consumer("v", &(struct tapio_consumer_options){
					 .group = "x",
					 .policy = TAPIO_GROUP_LOSSY,
				 });
	go_to(0);
	for (int i = 0; i < 1000; i++)
		tapio_output(p, POINTS_TAG | TAPIO_NO_WAIT, &x, sizeof(x));
	tapio_consumer_close(c);
	tapio_producer_close(p);
}

static void act_refused(void)
{
	struct tapio_options options = points_options();
	struct tapio_producer *p;

	options.connect_ns = 0;
	(void)tapio_producer_open(&p, "none", &options);
}

/* It kills the broker, and comes back to the next one. */
static void act_revive(void)
{
	struct tapio_producer *p = points_producer("v");
	uint32_t serves = tpi_load_acquire(&board->serves);
	pid_t broker = (pid_t)tpi_load_relaxed(&board->broker);

	tpi_store_relaxed(&board->victim, (uint32_t)broker);
	kill(broker, SIGKILL);
	while (tpi_load_acquire(&board->serves) == serves && !stopped())
		nap_us(200);
	for (int i = 0; i < 60000 && !tapio_producer_connected(p); i++)
		nap_us(1000);
	tapio_producer_close(p);
}

static void act_kill_keeper(void)
{
	uint32_t keepers = tpi_load_acquire(&board->keepers);

	kill((pid_t)tpi_load_relaxed(&board->keeper), SIGKILL);
	while (tpi_load_acquire(&board->keepers) == keepers && !stopped())
		nap_us(200);
	act_attach();
}

/* A testpoint is died at in the first of them that passes it: cheap ones come first. */
const struct points_act points_acts[] = {
	{"tick", act_tick, PART_CONTROL, POINTS_NOTHING, false},
	{"attach", act_attach, PART_CONTROL, POINTS_NOTHING, false},
	{"steps", act_steps, PART_CONTROL, POINTS_NOTHING, false},
	{"join", act_join, PART_CONTROL, POINTS_NOTHING, false},
	{"promote", act_promote, PART_CONTROL, POINTS_NOTHING, false},
	{"remove", act_remove, PART_CONTROL, POINTS_NOTHING, false},
	{"mend", act_mend, PART_CONTROL, POINTS_NOTHING, false},
	{"renew", act_renew, PART_CONTROL, POINTS_NOTHING, false},
	{"evict", act_evict, PART_CONTROL, POINTS_NOTHING, false},
	{"isolated", act_isolated, PART_CONTROL, POINTS_NOTHING, false},
	{"fetch", act_fetch, PART_CONTROL, POINTS_NOTHING, false},
	{"refused", act_refused, PART_CONTROL, POINTS_NOTHING, false},
	{"reload", points_act_reload, PART_CONTROL, POINTS_NOTHING, false},
	{"end", act_end, PART_CONTROL, POINTS_NOTHING, false},
	{"revive", act_revive, PART_CONTROL, POINTS_NOTHING, false},
	{"kill the keeper", act_kill_keeper, PART_CONTROL, POINTS_NOTHING,
	 false},
	{"produce", act_produce, PART_PRODUCER, POINTS_READER, false},
	{"consume", act_consume, PART_CONSUMER, POINTS_FEEDER, false},
	{"asked", act_asked, PART_CONSUMER, POINTS_FEEDER, false},
	{"merge", act_merge, PART_CONSUMER, POINTS_FEEDER, false},
	{"watermark", act_watermark, PART_CONSUMER, POINTS_FEEDER, false},
	{"lossy", act_lossy, PART_CONSUMER, POINTS_FEEDER, false},
	{"share", act_share, PART_CONSUMER, POINTS_FEEDER, false},
	{"relieve", act_relieve, PART_CONSUMER, POINTS_FEEDER, false},
	{"look", points_act_look, PART_CONTROL, POINTS_NOTHING, true},
	{"follow", points_act_follow, PART_CONTROL, POINTS_NOTHING, true},
	{"channels", points_act_channels, PART_CONTROL, POINTS_NOTHING, true},
};
const uint32_t points_act_count = sizeof(points_acts) / sizeof(points_acts[0]);

/* ---- the living pair -------------------------------------------------------------------- */

void points_emit_living(void)
{
	struct tapio_producer *p = points_producer("t");
	uint32_t n = 0;

	while (!tpi_load_acquire(&board->living_stop) && n < POINTS_LIVING) {
		if (!tapio_output(p, POINTS_TAG, &n, sizeof(n)))
			tpi_store_release(&board->living_accepted, ++n);
		nap_us(300);
	}
	tapio_producer_close(p);
}

static bool is_read(void)
{
	return tpi_load_acquire(&board->living_stop) == 2 &&
	       board->living_received >=
		       tpi_load_acquire(&board->living_accepted);
}

void points_read_living(void)
{
	struct tapio_consumer *c = points_consumer(
		"t", &(struct tapio_consumer_options){
			     .group = "g", .policy = TAPIO_GROUP_LOSSLESS});
	struct tapio_view views[64];
	uint32_t number;

	tpi_store_release(&board->living_received, 1);
	tpi_store_release(&board->living_received, 0);
	while (!is_read()) {
		int n = tapio_poll(c, views, 64, POLL_NS);

		for (int i = 0; i < n; i++) {
			memcpy(&number, views[i].data, sizeof(number));
			board->living_seen[number]++;
		}
		if (n < 0 || tapio_release(c) < 0)
			_exit(4);
		tpi_store_release(&board->living_received,
				  board->living_received + (uint32_t)n);
	}
	tapio_consumer_close(c);
}
