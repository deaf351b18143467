/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See points.h: handles that move to the memory of another instance
 * (client/producer/move.c, client/consumer/move.c, client/observer/move.c). These deaths have
 * worlds of their own, since an instance ends in them with all its memory.
 */
#include <check.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/consumer/consumer.h"
#include "client/observer/observer.h"
#include "client/producer/producer.h"
#include "lib/base/atomic.h"
#include "tests/fault/points.h"

/* A third memory is there when the first one is spent. */
#define MOVES   2
#define POLL_NS INT64_C(1000000)

static bool stopped(void)
{
	return tpi_load_relaxed(&board->stop);
}

/* The memory that the handle has now. */
static void note_memory(const void *now)
{
	static const void *last;

	if (now == last)
		return;
	last = now;
	/* Release: the move before it. */
	tpi_add_acq_rel(&board->moved, 1);
}

static void move_producer(void)
{
	struct tapio_producer *p = points_producer("v");
	uint32_t x = 0;

	while (!stopped()) {
		(void)tapio_output(p, POINTS_TAG | TAPIO_NO_WAIT, &x,
				   sizeof(x));
		note_memory(p->now);
		nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
	}
	tapio_producer_close(p);
}

static void move_consumer(void)
{
	struct tapio_consumer *c = points_consumer(
		"v", &(struct tapio_consumer_options){
			     .group = "x", .policy = TAPIO_GROUP_LOSSLESS});
	struct tapio_view views[4];

	while (!stopped()) {
		if (tapio_poll(c, views, 4, POLL_NS) < 0 || tapio_release(c))
			_exit(20);
		note_memory(c->now);
	}
	tapio_consumer_close(c);
}

static void move_observer(void)
{
	struct tapio_observer_options options = {
		.size = sizeof(options),
		.broker = points_options(),
	};
	struct tapio_observer *o;
	struct tapio_view views[4];

	if (tapio_observer_open(&o, "v", &options))
		_exit(21);
	while (!stopped()) {
		if (tapio_observe(o, views, 4, POLL_NS) < 0)
			_exit(22);
		note_memory(o->now);
	}
	tapio_observer_close(o);
}

const struct points_act points_movers[] = {
	{"move a producer", move_producer, PART_PRODUCER, POINTS_NOTHING, true},
	{"move a consumer", move_consumer, PART_CONSUMER, POINTS_NOTHING, true},
	{"move an observer", move_observer, PART_CONTROL, POINTS_NOTHING, true},
};
const uint32_t points_mover_count =
	sizeof(points_movers) / sizeof(points_movers[0]);

bool points_move(const struct points_act *mover)
{
	points_act_start(mover);
	for (uint32_t i = 1; i <= MOVES; i++) {
		ck_assert_msg(!points_await_moves(mover, i),
			      "%s: dies where it has not to move", points_cell);
		points_end_instance();
		ck_assert_msg(points_start_again(),
			      "%s: no other instance serves", points_cell);
		if (points_await_moves(mover, i + 1))
			return true;
	}
	return false;
}
