/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See points.h: acts in which memory and channels come and go. An act that finds a fault
 * says so by its exit status.
 */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/tapiod.h"
#include "lib/base/atomic.h"
#include "lib/lane/wake.h"
#include "tests/fault/points.h"
#include "tools/inspect/inspect.h"

#define PATIENCE INT64_C(60000000000)
#define ROUNDS   4
#define EVENTS   3 /* of a producer that comes and goes */
#define POLL_NS  INT64_C(3000000)
#define MORE                                                                 \
	"channel n { stamp = none\n class main { block = 64\n blocks = 64\n" \
	"side_blocks = 64\n side_lanes = 4 }}\n"                             \
	"channel o { stamp = none\n isolation = process\n"                   \
	"producers_max = 2\n class main { block = 64\n blocks = 64 }}\n"

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static bool stopped(void)
{
	return tpi_load_relaxed(&board->stop);
}

/* ---- looks from outside ---------------------------------------------------------------- */

static struct tpi_inspect *open_inspect(void)
{
	const struct tpi_inspect_options look = {
		.socket = board->socket,
		.timeout_ns = PATIENCE,
	};
	struct tpi_inspect *inspect;
	char error[512];

	for (int i = 0; i < 10000; i++) {
		if (!tpi_inspect_open(&inspect, &look, error, sizeof(error)))
			return inspect;
		nap();
	}
	_exit(12);
}

static bool is_named(const char *name, const char *const names[2])
{
	return !strcmp(name, names[0]) || !strcmp(name, names[1]);
}

/* How many of the two channels there are. */
static uint32_t count_channels(const char *const names[2])
{
	struct tpi_inspect *inspect = open_inspect();
	struct tapio_shm_channel info;
	uint32_t count = 0;

	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++)
		count += !tpi_channel_look(&inspect->catalog, i, &info, NULL,
					   0) &&
			 is_named(info.name, names);
	tpi_inspect_close(inspect);
	return count;
}

void points_act_look(void)
{
	static const char *const names[2] = {"a", "i"};

	if (count_channels(names) != 2)
		_exit(13);
}

/* ---- channels ------------------------------------------------------------------------------ */

static void be_quiet(void)
{
	int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(quiet, STDOUT_FILENO);
	dup2(quiet, STDERR_FILENO);
}

void points_act_reload(void)
{
	struct arguments a = {.socket = board->socket};

	be_quiet();
	(void)tapiod_reload(&a);
}

/* A broker that dies over it has a successor, which is asked again. */
static void change_to(const char *more)
{
	struct arguments a = {.socket = board->socket};

	if (!points_configure(more))
		_exit(14);
	for (int i = 0; tapiod_reload(&a); i++) {
		if (i > 10000)
			_exit(15);
		nap();
	}
}

static void await_none(void)
{
	static const char *const names[2] = {"n", "o"};
	int64_t limit = tpi_now_ns() + PATIENCE;

	while (count_channels(names)) {
		if (tpi_now_ns() > limit)
			_exit(16);
		nap();
	}
}

/* Its process, so that events of one that has died are told from ours. */
struct word {
	uint32_t pid;
	uint32_t number;
};

static void emit(struct tapio_producer *p, uint32_t number)
{
	const struct word word = {(uint32_t)getpid(), number};

	/* There is room for all, so a refusal is wrong. */
	if (tapio_output(p, POINTS_TAG, &word, sizeof(word)))
		_exit(17);
}

/* One that died in here may have left them. */
void points_act_channels(void)
{
	struct tapio_producer *n, *o;

	be_quiet();
	change_to("");
	await_none();
	change_to(MORE);
	n = points_producer("n");
	o = points_producer("o");
	change_to(""); /* they drain */
	emit(n, 0);
	emit(o, 0);
	change_to(MORE); /* and are there again */
	change_to("");
	tapio_producer_close(n);
	tapio_producer_close(o);
	await_none();
}

/* ---- isolated producers -------------------------------------------------------------------- */

/* Our next number. One that comes twice, late or never is an error, as is any gap. */
static void take_one(const struct tapio_view *view, uint32_t *next)
{
	struct word word;

	if (view->flags & TAPIO_VIEW_GAP)
		_exit(18);
	memcpy(&word, view->data, sizeof(word.pid));
	if (word.pid != (uint32_t)getpid())
		return;
	memcpy(&word, view->data, sizeof(word));
	if (word.number != (*next)++)
		_exit(19);
}

static void take(struct tapio_consumer *c, uint32_t *next, uint32_t until)
{
	int64_t limit = tpi_now_ns() + PATIENCE;
	struct tapio_view views[EVENTS];

	while (*next < until) {
		int n = tapio_poll(c, views, EVENTS, POLL_NS);

		for (int i = 0; i < n; i++)
			take_one(&views[i], next);
		if (n < 0 || tapio_release(c) || tpi_now_ns() > limit)
			_exit(20);
	}
}

/* Read while the producer is there, and the rest when it has gone. */
void points_act_follow(void)
{
	/* A group of its own: one that has died or is held may have leases. */
	struct tapio_consumer *c =
		points_consumer("i", &(struct tapio_consumer_options){
					     .policy = TAPIO_GROUP_LOSSLESS});
	uint32_t emitted = 0, next = 0;

	for (int round = 0; round < ROUNDS && !stopped(); round++) {
		struct tapio_producer *p = points_producer("i");

		emit(p, emitted++);
		take(c, &next, emitted);
		while (emitted % EVENTS)
			emit(p, emitted++);
		tapio_producer_close(p);
		take(c, &next, emitted);
	}
	tapio_consumer_close(c);
}
