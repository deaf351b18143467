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

#include "lib/base/testpoint.h"
#include "tests/unit/client_fixture.h"

#define SKIP 77

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
	tpi_testpoint_hook = hook;
}

static void set_up(const char *stamp, uint32_t block)
{
	char config[300];

	snprintf(config, sizeof(config),
		 "channel t { stamp = %s\n class main { block = %u\n"
		 "blocks = 16\n side_blocks = 16\n side_lanes = 4 } }",
		 stamp, block);
	rig_start(config);
	pin(0);
	p = rig_producer();
	other = rig_producer();
	c = rig_consumer("g", TAPIO_GROUP_LOSSLESS);
}

static void tear_down(void)
{
	tpi_testpoint_hook = NULL;
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
} ways[] = {
	{"output.looked", way_output, 8, 1, 1},
	{"output.looked", way_output, 16, 1, 1},
	{"output.looked", way_output, 64, 1, 1},
	{"output.looked", way_output, 300, 1, 1},
	{"lane.looked", way_output_batch, 8, 1, 2}, /* reserve */
	{"lane.looked", way_output_batch, 8, 2, 2}, /* publish */
	{"reserve.looked", way_reserve, 8, 1, 1},
	{"submit.looked", way_reserve, 8, 1, 1},
	{"lane.looked", way_reserve_batch, 8, 1, 2},
	{"lane.looked", way_reserve_batch, 8, 2, 2},
};
#define WAYS (int)(sizeof(ways) / sizeof(ways[0]))

static const char *const stamps[] = {"none", "tsc", "clock"};
#define CASES (WAYS * 3)

static void move_away(void)
{
	pin(1);
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

	set_up(stamps[_i / WAYS], LONGEST);
	memset(bytes, 'm', sizeof(bytes));
	plan(ways[way].point, move_away, ways[way].when);
	ck_assert_int_eq(ways[way].emit(ways[way].length), 0);
	ck_assert_int_eq(plot.acted, 1);
	ck_assert_uint_eq(look(c, views, 4), ways[way].events);
	for (i = 0; i < ways[way].events; i++) {
		ck_assert_uint_eq(c->tracks[views[i].lane].lane->cpu, 1);
		ck_assert_uint_eq(views[i].length, ways[way].length);
		ck_assert_mem_eq(views[i].data, bytes, ways[way].length);
	}
	ck_assert_int_eq(tapio_release(c), 0);
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

	set_up(stamps[_i / WAYS], LONGEST);
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
	ck_assert_uint_eq(c->tracks[v.lane].lane->cpu, TAPIO_CPU_SIDE);
	ck_assert_uint_eq(((const char *)v.data)[59999], 'm');
	ck_assert_int_eq(tapio_release(c), 0);
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
	return check_run_case("client looked", t);
}
