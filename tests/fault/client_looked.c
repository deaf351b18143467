/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer's look is out of date when its section begins: the thread is on
 * another CPU, another event was published, or another thread has put the block
 * back. Testpoints between the look and the section make it so, each time.
 *
 * The library's producer and its lanes are compiled here with testpoints, whatever the
 * rest is built with.
 */
#include <pthread.h>
#include <signal.h>

#include "lib/base/testpoint.h"
#include "tests/unit/client_fixture.h"

#define SKIP   77
#define BLOCKS 16

static struct tapio_producer *p, *other;
static struct tapio_consumer *c;

/* Does `act` at the `when`-th time that `point` is reached, outside of itself. */
static struct {
	const char *point;
	void (*act)(void);
	int when;
	bool inside;
	int acted;
} plot;

static void hook(const char *name)
{
	if (plot.inside || strcmp(name, plot.point) || --plot.when)
		return;
	plot.inside = true;
	plot.act();
	plot.inside = false;
	plot.acted++;
}

static void plan(const char *point, void (*act)(void), int when)
{
	plot.point = point;
	plot.act = act;
	plot.when = when;
	plot.acted = 0;
	tpi_testpoint_set(hook);
}

static void set_up(const char *stamp, uint32_t block)
{
	char config[300];

	snprintf(config, sizeof(config),
		 "channel t { stamp = %s\n class main { block = %u\n"
		 "blocks = %d\n side_blocks = 16\n side_lanes = 4 } }",
		 stamp, block, BLOCKS);
	rig_start(config);
	pin(0);
	p = rig_producer();
	other = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
}

static void tear_down(void)
{
	tpi_testpoint_set(NULL);
	tapio_consumer_close(c);
	tapio_producer_close(other);
	tapio_producer_close(p);
	rig_stop();
}

/* ---- ways to emit one event or two, each up to a section of its own ------------ */

#define LONGEST 512

static unsigned char bytes[LONGEST];
static struct tapio_reservation r[2];

static int way_output(uint32_t length)
{
	return tapio_output(p, TAG, bytes, length);
}

static int way_output_batch(uint32_t length)
{
	struct tapio_item items[2] = {{bytes, length, TAG},
				      {bytes, length, TAG}};

	return tapio_output_batch(p, items, 2) == 2 ? 0 : -EIO;
}

static int way_reserve(uint32_t length)
{
	int err = tapio_reserve(p, TAG, length, &r[0]);

	if (err)
		return err;
	memcpy(r[0].data, bytes, length);
	return tapio_submit(p, &r[0]);
}

static int way_reserve_batch(uint32_t length)
{
	if (tapio_reserve_batch(p, TAG, length, r, 2) != 2)
		return -EIO;
	memcpy(r[0].data, bytes, length);
	memcpy(r[1].data, bytes, length);
	return tapio_submit_batch(p, r, 2) == 2 ? 0 : -EIO;
}

static const struct {
	const char *point;
	int (*emit)(uint32_t length);
	uint32_t length;
	int when; /* of several sections, which */
	unsigned int events;
	unsigned int
		before; /* events on the lane before it: where the ring ends */
} ways[] = {
	{"output.looked", way_output, 8, 1, 1, 0},
	{"output.looked", way_output, 16, 1, 1, 0},
	{"output.looked", way_output, 64, 1, 1, 0},
	{"output.looked", way_output, 300, 1, 1, 0},
	{"lane.looked", way_output_batch, 8, 1, 2, 0}, /* reserve */
	{"lane.looked", way_output_batch, 8, 2, 2, 0}, /* publish */
	{"run.looked", way_output_batch, 64, 1, 2, 0},
	{"run.taken", way_output_batch, 64, 1, 2, 0},
	{"reserve.looked", way_reserve, 8, 1, 1, 0},
	{"submit.looked", way_reserve, 8, 1, 1, 0},
	{"lane.looked", way_reserve_batch, 8, 1, 2, 0},
	{"lane.looked", way_reserve_batch, 8, 2, 2, 0},
	/* The two events lie on both sides of the ring's end. */
	{"lane.looked", way_reserve_batch, 8, 1, 2, BLOCKS - 1},
	{"lane.looked", way_reserve_batch, 8, 2, 2, BLOCKS - 1},
};
#define WAYS (int)(sizeof(ways) / sizeof(ways[0]))

static const char *const stamps[] = {"none", "tsc", "clock"};
#define CASES (WAYS * 3)

static void move_away(void)
{
	pin(1);
}

/* As many events as go before the way, on each lane that it may use. */
static void set_up_way(int way, const char *stamp)
{
	unsigned int i;
	int cpu;

	set_up(stamp, LONGEST);
	for (cpu = 1; cpu >= 0; cpu--) {
		pin(cpu);
		for (i = 0; i < ways[way].before; i++)
			ck_assert_int_eq(tapio_output(p, TAG, bytes, 8), 0);
	}
	ck_assert_uint_eq(drain(c), 2 * ways[way].before);
}

/*
 * The event goes to the lane of the CPU that the thread is on when it is published: a
 * section that does not compare the CPU puts it on the lane of the other one.
 */
START_TEST(a_thread_that_moves_before_its_section_emits_where_it_is)
{
	const int way = _i % WAYS;
	struct tapio_view views[4];
	unsigned int i;

	set_up_way(way, stamps[_i / WAYS]);
	memset(bytes, 'm', sizeof(bytes));
	plan(ways[way].point, move_away, ways[way].when);
	ck_assert_int_eq(ways[way].emit(ways[way].length), 0);
	ck_assert_int_eq(plot.acted, 1);
	/* Nor does it take blocks there, which it would have to give up. */
	if (!strcmp(ways[way].point, "run.looked"))
		ck_assert_uint_eq(channel_stats(p).held, 0);
	ck_assert_uint_eq(look(c, views, 4), ways[way].events);
	for (i = 0; i < ways[way].events; i++) {
		ck_assert_uint_eq(c->now->tracks[views[i].lane].lane->cpu, 1);
		ck_assert_uint_eq(views[i].length, ways[way].length);
		ck_assert_mem_eq(views[i].data, bytes, ways[way].length);
	}
	ck_assert_int_eq(tapio_release(c), 0);
	tear_down();
}
END_TEST

/* A block is taken from the lane of the CPU that the thread is on. */
START_TEST(a_thread_that_moves_before_it_reserves_takes_from_where_it_is)
{
	set_up("none", 64);
	plan(_i ? "lane.looked" : "reserve.looked", move_away, 1);
	if (_i)
		ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 2), 2);
	else
		ck_assert_int_eq(tapio_reserve(p, TAG, 8, r), 0);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_uint_eq(p->now->emit.lanes[r[0].lane].cpu, 1);
	ck_assert_int_eq(tapio_discard_batch(p, r, 1 + (unsigned int)_i),
			 1 + _i);
	tear_down();
}
END_TEST

/* Blocks that are out of a ring and bear our name. */
static unsigned int count_mine(void)
{
	unsigned int mine = 0;
	uint32_t i, block;
	uint64_t ticket;

	for (i = 0; i < p->now->emit.lane_count; i++) {
		const struct tpi_lane *lane = &p->now->emit.lanes[i];
		uint64_t state = tpi_lane_peek(lane);

		for (block = 0; block <= lane->mask; block++) {
			ticket = tpi_load_relaxed(&lane->tickets[block]);
			mine += TAPIO_TICKET_OWNER(ticket) == p->now->emit.me &&
				!tpi_lane_in_ring(lane, state, block,
						  TAPIO_TICKET_PLACE(ticket));
		}
	}
	return mine;
}

/* An output that takes blocks and moves then gives them up, and takes others. */
START_TEST(an_output_that_moves_with_blocks_in_hand_gives_them_up)
{
	set_up("none", LONGEST);
	plan(_i ? "run.taken" : "output.filled", move_away, 1);
	ck_assert_int_eq(way_output_batch(_i ? 64 : 8), 0);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_uint_eq(drain(c), 2);
	ck_assert_uint_eq(count_mine(), 0);
	tear_down();
}
END_TEST

static void output_another(void)
{
	unsigned char another[LONGEST];

	memset(another, 'o', sizeof(another));
	ck_assert_int_eq(tapio_output(other, TAG, another, LONGEST), 0);
}

/* One event of the hook's, and those of the way; none on top of another. */
static void assert_both(int way)
{
	unsigned int i, n, others = 0;
	struct tapio_view views[4];
	const unsigned char *data;

	n = look(c, views, 4);
	ck_assert_uint_eq(n, ways[way].events + 1);
	for (i = 0; i < n; i++) {
		data = views[i].data;
		if (views[i].length == LONGEST) {
			others++;
			ck_assert_uint_eq(data[0], 'o');
			ck_assert_mem_eq(data, data + 1, LONGEST - 1);
			continue;
		}
		ck_assert_uint_eq(views[i].length, ways[way].length);
		ck_assert_mem_eq(data, bytes, ways[way].length);
	}
	ck_assert_uint_eq(others, 1);
	ck_assert_int_eq(tapio_release(c), 0);
}

/* A section that does not compare the state publishes over the other event. */
START_TEST(an_event_that_is_published_before_the_section_is_not_lost)
{
	const int way = _i % WAYS;

	set_up_way(way, stamps[_i / WAYS]);
	memset(bytes, 'm', sizeof(bytes));
	plan(ways[way].point, output_another, ways[way].when);
	ck_assert_int_eq(ways[way].emit(ways[way].length), 0);
	ck_assert_int_eq(plot.acted, 1);
	assert_both(way);
	ck_assert_uint_eq(channel_stats(p).held, 0);
	tear_down();
}
END_TEST

/* ---- a copy of the reservation, meanwhile -------------------------------------- */

static struct tapio_reservation copies[2];
static int copy_result;

static void submit_copy(void)
{
	copy_result = tapio_submit(p, &copies[0]);
}

static void *submit_copy_away(void *arg)
{
	pin(1);
	submit_copy();
	return arg;
}

static void submit_copy_elsewhere(void)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, submit_copy_away, NULL),
			 0);
	pthread_join(thread, NULL);
}

static void discard_copy(void)
{
	copy_result = tapio_discard(p, &copies[0]);
}

static void (*const rivals[])(void) = {submit_copy, submit_copy_elsewhere,
				       discard_copy};
#define RIVALS 3

/*
 * Another thread or a handler puts the block back between the look and the section, on
 * this CPU or on another one, where the state of this lane does not change by it.
 * Exactly one of the two is accepted.
 */
START_TEST(of_two_copies_at_once_one_is_accepted)
{
	const int rival = _i % RIVALS, batch = _i / RIVALS;
	struct tapio_reservation victim;
	struct tapio_view views[4];
	int n;

	set_up("none", 64);
	ck_assert_int_eq(tapio_reserve(other, TAG, 8, &victim), 0);
	ck_assert_int_eq(tapio_reserve_batch(p, TAG, 8, r, 2), 2);
	memcpy(copies, r, sizeof(r));
	copy_result = 1;
	plan(batch ? "lane.looked" : "submit.looked", rivals[rival], 1);
	if (batch) {
		n = tapio_submit_batch(p, r, 2);
		ck_assert_int_eq(n, -EINVAL);
	} else {
		ck_assert_int_eq(tapio_submit(p, &r[0]), -EINVAL);
	}
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_int_eq(copy_result, 0);
	ck_assert_int_eq(tapio_submit(p, &r[1]), 0);
	n = (int)look(c, views, 4);
	ck_assert_int_eq(n, rivals[rival] == discard_copy ? 1 : 2);
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_int_eq(tapio_submit(other, &victim), 0);
	ck_assert_uint_eq(drain(c), 1);
	tear_down();
}
END_TEST

/* The same where the call has found itself on another CPU. */
START_TEST(of_two_copies_away_from_their_cpu_one_is_accepted)
{
	struct tapio_reservation victim;

	set_up("none", 64);
	ck_assert_int_eq(tapio_reserve(other, TAG, 8, &victim), 0);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r[0]), 0);
	copies[0] = r[0];
	pin(1);
	copy_result = 1;
	plan("ticket.looked", rivals[_i % RIVALS], 1);
	ck_assert_int_eq(_i / RIVALS ? tapio_discard(p, &r[0])
				     : tapio_submit(p, &r[0]),
			 -EINVAL);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_int_eq(copy_result, 0);
	ck_assert_uint_eq(drain(c), rivals[_i % RIVALS] != discard_copy);
	pin(0);
	ck_assert_int_eq(tapio_submit(other, &victim), 0);
	ck_assert_uint_eq(drain(c), 1);
	tear_down();
}
END_TEST

/* Once it has closed the copies, it is the only one, also on the block's CPU. */
static void submit_copy_at_home(void)
{
	pin(0);
	submit_copy();
	pin(1);
}

START_TEST(a_copy_is_closed_before_the_event_is_copied)
{
	set_up("none", 64);
	ck_assert_int_eq(tapio_reserve(p, TAG, 8, &r[0]), 0);
	copies[0] = r[0];
	pin(1);
	copy_result = 1;
	plan("submit.retaken", submit_copy_at_home, 1);
	ck_assert_int_eq(tapio_submit(p, &r[0]), 0);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_int_eq(copy_result, -EINVAL);
	ck_assert_uint_eq(drain(c), 1);
	tear_down();
}
END_TEST

/* ---- room that another thread takes --------------------------------------------- */

static void output_and_hold_on(void)
{
	output_another();
	plot.when = 1; /* every time, up to three */
	if (plot.acted == 2)
		tpi_testpoint_hook = NULL;
}

/*
 * With half of the lane in hands and an `until` group behind, each computation of the
 * gate makes room for one block, and another thread takes it. There is room all the
 * same: for an output, and for a reserve of one.
 */
START_TEST(room_that_another_thread_takes_is_no_refusal)
{
	struct tapio_reservation held[8], one;
	unsigned int i;

	set_up("none", LONGEST);
	tapio_consumer_close(c);
	c = rig_consumer("u", TAPIO_GROUP_UNTIL);
	ck_assert_int_eq(tapio_reserve_batch(other, TAG, 8, held, 7), 7);
	for (i = 0; i < 16; i++)
		ck_assert_int_eq(tapio_output(other, TAG, bytes, 8), 0);
	plan("gate.raised", output_and_hold_on, 1);
	if (_i) {
		ck_assert_int_eq(tapio_reserve(p, TAG, 8, &one), 0);
		ck_assert_int_eq(tapio_submit(p, &one), 0);
	} else {
		ck_assert_int_eq(tapio_output(p, TAG, bytes, 8), 0);
	}
	ck_assert_int_eq(plot.acted, 3);
	ck_assert_uint_eq(channel_stats(p).dropped, 0);
	ck_assert_int_eq(tapio_discard_batch(other, held, 7), 7);
	tear_down();
}
END_TEST

/* ---- a thread that moves on and on ---------------------------------------------- */

static void move_on(void)
{
	static int cpu = 1;

	cpu = !cpu;
	pin(cpu);
	plot.when = 1; /* every time */
}

START_TEST(a_large_event_that_moved_too_often_goes_to_a_side_lane)
{
	struct tapio_reservation large;
	struct tapio_view v;

	set_up("none", 65536);
	ck_assert_int_eq(tapio_reserve(p, TAG, 60000, &large), 0);
	memset(large.data, 'm', 60000);
	pin(1);
	plan("relocate.abandoned", move_on, 1);
	ck_assert_int_eq(tapio_submit(p, &large), 0);
	ck_assert_int_eq(plot.acted, TPI_MOVES);
	ck_assert_uint_eq(channel_stats(p).side_lane, 1);
	ck_assert_uint_eq(look(c, &v, 1), 1);
	ck_assert_uint_eq(c->now->tracks[v.lane].lane->cpu, TAPIO_CPU_SIDE);
	ck_assert_uint_eq(((const char *)v.data)[59999], 'm');
	ck_assert_uint_eq(count_mine(), 0);
	ck_assert_int_eq(tapio_release(c), 0);
	tear_down();
}
END_TEST

/* ---- one side lane, two processes ------------------------------------------------ */

/* As another process that takes the same lane first. */
static void take_side_lane(void)
{
	uint64_t x = 2;

	other->now->emit.cpus = 0;
	ck_assert_int_eq(tapio_output(other, TAG, &x, sizeof(x)), 0);
}

START_TEST(a_side_lane_that_was_taken_since_the_look_is_not_taken)
{
	uint64_t x = 1;

	set_up("none", 64);
	p->now->emit.cpus = 0;
	plan("side.looked", take_side_lane, 1);
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), 0);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_ptr_nonnull(p->now->sides.lane[0]);
	ck_assert_ptr_nonnull(other->now->sides.lane[0]);
	ck_assert_uint_ne(p->now->sides.lane[0]->id,
			  other->now->sides.lane[0]->id);
	ck_assert_uint_eq(drain(c), 2);
	tear_down();
}
END_TEST

static volatile sig_atomic_t handled;

static void handle(int number)
{
	(void)number;
	handled++;
}

static void signal_inside(void)
{
	raise(SIGUSR1);
	ck_assert_int_eq(handled, 0);
}

/* A handler that emits would wait for the thread that it interrupts. */
START_TEST(no_handler_runs_inside_a_side_lane)
{
	const struct sigaction action = {.sa_handler = handle};
	uint64_t x = 1;

	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	set_up("none", 64);
	p->now->emit.cpus = 0;
	plan("side.inside", signal_inside, 1);
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), 0);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_int_eq(handled, 1);
	ck_assert_uint_eq(drain(c), 1);
	tear_down();
}
END_TEST

/* ---- a gate that was computed before a promotion ---------------------------------- */

static const struct tapio_consumer_options durable = {
	.group = "d",
	.policy = TAPIO_GROUP_LOSSLESS,
	.durable = 1,
};
static int late_result;

/* A durable lossless group has a full lane unread, and no member. */
static void set_up_without_member(void)
{
	uint64_t i;

	set_up("none", 64);
	tapio_consumer_close(c);
	c = rig_open(&durable);
	tapio_consumer_close(c);
	c = NULL;
	for (i = 0; i < BLOCKS; i++)
		ck_assert_int_eq(tapio_output(p, TAG, &i, sizeof(i)), 0);
}

static void assert_all_there(void)
{
	struct tapio_view views[BLOCKS + 1];
	uint64_t i, value;

	ck_assert_uint_eq(look(c, views, BLOCKS + 1), BLOCKS);
	for (i = 0; i < BLOCKS; i++) {
		memcpy(&value, views[i].data, sizeof(value));
		ck_assert_uint_eq(value, i);
	}
	ck_assert_int_eq(tapio_release(c), 0);
	ck_assert_uint_eq(group_stats(c).lost, 0);
}

static void join_again(void)
{
	c = rig_open(&durable);
}

/*
 * P2: the producer has computed what an `until` group leaves to it, and is stopped. The
 * next member comes, and is promised all that is there.
 */
START_TEST(a_gate_from_before_a_promotion_takes_nothing)
{
	uint64_t x = 99;

	set_up_without_member();
	plan("gate.computed", join_again, 1);
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), -EAGAIN);
	ck_assert_int_eq(plot.acted, 1);
	assert_all_there();
	tear_down();
}
END_TEST

/* On the broker's thread. */
static void output_late(void)
{
	uint64_t x = 99;

	pin(0);
	late_result = tapio_output(p, TAG, &x, sizeof(x));
}

/* P1 comes before P2: who computes after the seal sees a lossless group. */
START_TEST(a_gate_from_after_the_seal_knows_of_the_promotion)
{
	set_up_without_member();
	late_result = 0;
	plan("promote.sealed", output_late, 1);
	c = rig_open(&durable);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_int_eq(late_result, -EAGAIN);
	assert_all_there();
	tear_down();
}
END_TEST

/* ---- priorities ----------------------------------------------------------------- */

#define URGENT 10

static pthread_t urgent;
static int lowest;

static void *output_urgently(void *arg)
{
	uint64_t x = 2;

	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), 0);
	return arg;
}

/* Field 18 of a thread's stat: negative for a real-time priority. */
static int priority_now(void)
{
	char text[1024], *at;
	FILE *file = fopen("/proc/thread-self/stat", "r");
	size_t n;
	int field;

	ck_assert_ptr_nonnull(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	at = strrchr(text, ')');
	for (field = 2; field < 18; field++)
		at = strchr(at + 1, ' ');
	return atoi(at);
}

static void wait_inside(void)
{
	const struct sched_param param = {.sched_priority = URGENT};
	pthread_attr_t attr;
	int i;

	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &param);
	ck_assert_int_eq(pthread_create(&urgent, &attr, output_urgently, NULL),
			 0);
	pthread_attr_destroy(&attr);
	for (i = 0; i < 10000 && lowest != -1 - URGENT; i++) {
		nap_ms(1);
		lowest = priority_now();
	}
}

static bool may_be_urgent(void)
{
	const struct sched_param fifo = {.sched_priority = URGENT};
	const struct sched_param usual = {.sched_priority = 0};

	return !sched_setscheduler(0, SCHED_FIFO, &fifo) &&
	       !sched_setscheduler(0, SCHED_OTHER, &usual);
}

/* The holder of the side lane's mutex runs as urgently as the one that waits for it. */
START_TEST(the_thread_inside_a_side_lane_inherits_the_priority_of_a_waiter)
{
	uint64_t x = 1;

	if (!may_be_urgent()) {
		fprintf(stderr, "skipped: no right to real-time priorities\n");
		return;
	}
	set_up("none", 64);
	p->now->emit.cpus = 0;
	plan("side.inside", wait_inside, 1);
	ck_assert_int_eq(tapio_output(p, TAG, &x, sizeof(x)), 0);
	pthread_join(urgent, NULL);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_int_eq(lowest, -1 - URGENT);
	ck_assert_uint_eq(drain(c), 2);
	tear_down();
}
END_TEST

int main(void)
{
	TCase *t;
	const char *reason;

	if (cpu_count() < 2 ||
	    tpi_rseq_selftest(&reason) != TAPIO_RSEQ_PROVEN) {
		puts("needs two CPUs and rseq, to move between lanes");
		return SKIP;
	}
	t = tcase_create("looked");
	tcase_add_loop_test(
		t, a_thread_that_moves_before_its_section_emits_where_it_is, 0,
		CASES);
	tcase_add_loop_test(
		t,
		a_thread_that_moves_before_it_reserves_takes_from_where_it_is,
		0, 2);
	tcase_add_loop_test(
		t, an_output_that_moves_with_blocks_in_hand_gives_them_up, 0,
		2);
	tcase_add_test(t,
		       a_side_lane_that_was_taken_since_the_look_is_not_taken);
	tcase_add_test(t, no_handler_runs_inside_a_side_lane);
	tcase_add_test(t, a_gate_from_before_a_promotion_takes_nothing);
	tcase_add_test(t, a_gate_from_after_the_seal_knows_of_the_promotion);
	tcase_add_loop_test(
		t, an_event_that_is_published_before_the_section_is_not_lost, 0,
		CASES);
	tcase_add_loop_test(t, of_two_copies_at_once_one_is_accepted, 0,
			    2 * RIVALS);
	tcase_add_loop_test(t,
			    of_two_copies_away_from_their_cpu_one_is_accepted,
			    0, 2 * RIVALS);
	tcase_add_test(t, a_copy_is_closed_before_the_event_is_copied);
	tcase_add_loop_test(t, room_that_another_thread_takes_is_no_refusal, 0,
			    2);
	tcase_add_test(t,
		       a_large_event_that_moved_too_often_goes_to_a_side_lane);
	tcase_add_test(
		t,
		the_thread_inside_a_side_lane_inherits_the_priority_of_a_waiter);
	return check_run_case("client looked", t);
}
