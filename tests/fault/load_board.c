/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See load_board.h. SIGKILL of a producer between `begun` and `accepted`: that one event
 * may have been accepted or not. Of a consumer: what is in its hands may come again.
 */
#include "tests/fault/load_board.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tapio/tapio.h>

#include "lib/base/atomic.h"

#define TAG     TAPIO_TAG(1, 6)
#define VIEWS   32
#define LIMIT_S 30

struct event {
	uint32_t producer, number;
};

struct load_board *load_board(void)
{
	void *board =
		mmap(NULL, sizeof(struct load_board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(board, MAP_FAILED);
	return board;
}

static uint32_t get(const uint32_t *word)
{
	/* Relaxed: the test asks again, or the other one has ended. */
	return tpi_load_relaxed(word);
}

/* Where a container finds the socket without a word: /run/tapio. */
static const struct tapio_options options = {
	.size = sizeof(options),
	.connect_ns = INT64_C(10000000000),
	.answer_ns = INT64_C(10000000000),
};

/* ---- producers -------------------------------------------------------------------------- */

static uint64_t produce_again(void)
{
	struct tapio_options now = options;
	struct tapio_producer *other;
	int err;

	now.connect_ns = 0;
	err = tapio_producer_open(&other, "events", &now);
	tapio_producer_close(other);
	return (uint64_t)-err;
}

static void obey_as_producer(struct role *self, struct tapio_producer *p)
{
	static struct tapio_reservation held;
	uint64_t answer = 0;

	if (!role_has_news(self, 0))
		return;
	switch (role_hear(self)) {
	case LOAD_CONNECTED:
		answer = (uint64_t)tapio_producer_connected(p);
		break;
	case LOAD_HOLD:
		answer = (uint64_t)-tapio_reserve(p, TAG, 8, &held);
		break;
	default:
		answer = produce_again();
	}
	role_tell(self, answer);
}

static void emit(const struct load_client *client, struct tapio_producer *p)
{
	struct load_board *board = client->board;
	uint32_t number = get(&board->producer[client->index].accepted) + 1;
	const struct event event = {client->index, number};
	int err = -EAGAIN;

	if (number > LOAD_EVENTS)
		return;
	tpi_store_release(&board->producer[client->index].begun, number);
	while (err && !get(&board->stop)) {
		err = tapio_output(p, TAG, &event, sizeof(event));
		if (!err)
			break;
		ck_assert_int_eq(err, -EAGAIN);
		tpi_add_relaxed(&board->producer[client->index].refused, 1);
		usleep(200);
	}
	if (!err)
		tpi_store_release(&board->producer[client->index].accepted,
				  number);
}

void load_produce(struct role *self)
{
	const struct load_client *client = self->arg;
	struct load_board *board = client->board;
	struct tapio_producer *p;
	int err = tapio_producer_open(&p, "events", &options);

	role_tell(self, (uint64_t)-err);
	while (!err && !get(&board->stop)) {
		uint32_t pause = get(&board->pause);

		obey_as_producer(self, p);
		tpi_store_release(&board->paused[client->index], pause);
		if (!pause)
			emit(client, p);
		usleep(pause ? 1000 : 50);
	}
	tapio_producer_close(p);
}

/* ---- consumers -------------------------------------------------------------------------- */

static void take(const struct load_client *client,
		 const struct tapio_view *view)
{
	struct load_board *board = client->board;
	const struct event *event = view->data;
	const struct tapio_gap *gap = view->data;

	if (view->flags & TAPIO_VIEW_GAP) {
		tpi_add_relaxed(&board->consumer[client->index].missed,
				(uint32_t)gap->count);
		return;
	}
	ck_assert_uint_eq(view->length, sizeof(*event));
	ck_assert_uint_lt(event->producer, LOAD_PRODUCERS);
	ck_assert_uint_le(event->number, LOAD_EVENTS);
	board->seen[client->index][event->producer][event->number]++;
	tpi_add_relaxed(&board->consumer[client->index].got, 1);
}

static void obey_as_consumer(struct role *self, struct tapio_consumer *c)
{
	if (!role_has_news(self, 0))
		return;
	role_hear(self);
	role_tell(self, (uint64_t)tapio_consumer_connected(c));
}

static void consume_once(const struct load_client *client,
			 struct tapio_consumer *c)
{
	struct load_board *board = client->board;
	struct tapio_view views[VIEWS];
	int n = tapio_poll(c, views, VIEWS, 20000000);

	ck_assert_msg(n >= 0, "poll: %s: %s", strerror(-n),
		      tapio_consumer_error(c));
	tpi_store_release(&board->consumer[client->index].hands, (uint32_t)n);
	for (int i = 0; i < n; i++)
		take(client, &views[i]);
	while (n && get(&board->consumer[client->index].hold))
		usleep(1000);
	ck_assert_int_eq(tapio_release(c), 0);
	tpi_store_release(&board->consumer[client->index].hands, 0);
}

void load_consume(struct role *self)
{
	const struct load_client *client = self->arg;
	struct tapio_consumer_options with = {
		.size = sizeof(with),
		.broker = options,
		.group = client->group,
	};
	struct tapio_consumer *c;
	int err = tapio_consumer_open(&c, "events", &with);

	role_tell(self, (uint64_t)-err);
	while (!err && !get(&client->board->stop)) {
		obey_as_consumer(self, c);
		consume_once(client, c);
	}
	tapio_consumer_close(c);
}

/* ---- the test ----------------------------------------------------------------------------- */

uint64_t load_ask(struct role *role, enum load_request request)
{
	role_tell(role, request);
	return role_hear(role);
}

static void nap(time_t limit, const char *what)
{
	ck_assert_msg(time(NULL) < limit, "waited in vain for %s", what);
	usleep(2000);
}

void load_pause(struct load_board *board, unsigned int producers)
{
	time_t limit = time(NULL) + LIMIT_S;

	tpi_store_release(&board->pause, 1);
	for (unsigned int i = 0; i < LOAD_PRODUCERS; i++)
		while (producers & 1u << i && !get(&board->paused[i]))
			nap(limit, "a producer's pause");
}

void load_continue(struct load_board *board)
{
	tpi_store_release(&board->pause, 0);
}

static bool has_all(const struct load_board *board, unsigned int consumer)
{
	for (unsigned int i = 0; i < LOAD_PRODUCERS; i++)
		for (uint32_t n = 1; n <= get(&board->producer[i].accepted);
		     n++)
			if (!tpi_load_relaxed(&board->seen[consumer][i][n]))
				return false;
	return !get(&board->consumer[consumer].hands);
}

void load_drained(const struct load_board *board, unsigned int consumer)
{
	time_t limit = time(NULL) + LIMIT_S;

	while (!has_all(board, consumer))
		nap(limit, "accepted events");
}

static uint32_t accepted(const struct load_board *board)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < LOAD_PRODUCERS; i++)
		sum += get(&board->producer[i].accepted);
	return sum;
}

void load_wait_for(const struct load_board *board, uint32_t events)
{
	uint32_t until = accepted(board) + events;
	time_t limit = time(NULL) + LIMIT_S;

	while (accepted(board) < until)
		nap(limit, "events");
}

void load_judge(const struct load_board *board, unsigned int consumer,
		uint32_t twice)
{
	uint32_t again = 0;

	ck_assert_uint_eq(get(&board->consumer[consumer].missed), 0);
	for (unsigned int i = 0; i < LOAD_PRODUCERS; i++) {
		const uint8_t *seen = board->seen[consumer][i];
		uint32_t known = get(&board->producer[i].accepted);

		for (uint32_t n = 1; n <= LOAD_EVENTS; n++) {
			if (n <= known)
				ck_assert_msg(seen[n],
					      "event %u of producer %u is lost",
					      n, i);
			if (n > get(&board->producer[i].begun))
				ck_assert_uint_eq(seen[n], 0);
			again += seen[n] > 1 ? seen[n] - 1u : 0;
		}
	}
	ck_assert_uint_le(again, twice);
}
