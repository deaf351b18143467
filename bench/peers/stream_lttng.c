/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LTTng-UST as a flight recorder: a snapshot session, whose buffers, one per CPU,
 * are overwritten as long as no snapshot is taken. It has no readers in our
 * sense, so it is compared without a reader. Each event has a time stamp, too.
 * There are none without.
 *
 * The session daemon lives in a place of its own (place.h), the tracepoints in a
 * module that is loaded by the sides alone (lttng/provider.c).
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/peers/lttng/provider.h"
#include "bench/peers/place.h"
#include "bench/peers/stream_peer.h"

#define HOME      "/dev/shm"
#define SUBBUFS   4
#define TRIES     1500
#define TRY_NS    20000000
#define TIMEOUT_S "30"

#define TEXT(x)  TEXT_(x)
#define TEXT_(x) #x

_Static_assert(STREAM_RING_BYTES == SUBBUFS * 262144, "a buffer is as large");

static struct place place = PLACE_NONE;

/* ---- the daemon ---------------------------------------------------------- */

#define LTTNG "lttng", "--no-sessiond"

static const char *const ask[] = {LTTNG, "list", NULL};
static const char *const set_up[][10] = {
	{LTTNG, "create", "tapio-bench", "--snapshot", NULL},
	{LTTNG, "enable-channel", "--userspace", "--overwrite",
	 "--subbuf-size=262144", "--num-subbuf=" TEXT(SUBBUFS),
	 "--monitor-timer=0", "events", NULL},
	{LTTNG, "enable-event", "--userspace", "--channel=events",
	 "tapio_bench:*", NULL},
	{LTTNG, "start", NULL},
};

static int wait_for_daemon(void)
{
	const struct timespec nap = {.tv_nsec = TRY_NS};

	for (int i = 0; i < TRIES && place_lives(&place); i++) {
		if (!place_command(&place, ask))
			return 0;
		nanosleep(&nap, NULL);
	}
	place_why(&place, "no session daemon");
	return -1;
}

static int set_up_session(void *arg, struct bench_shared *shared,
			  unsigned int index)
{
	(void)arg;
	(void)shared;
	(void)index;
	if (place_enter(&place) || wait_for_daemon())
		return -1;
	for (size_t i = 0; i < sizeof(set_up) / sizeof(set_up[0]); i++)
		if (place_command(&place, set_up[i]))
			return -1;
	return 0;
}

static int start(void)
{
	/* For root's daemon, and what shared memory and homes are in. */
	static const char *const covers[] = {"/var/run", HOME, NULL};
	static const char *const daemon[] = {"lttng-sessiond", "--no-kernel",
					     NULL};
	const struct bench_side side = {.cpu = -1, .run = set_up_session};
	int err;

	setenv("LTTNG_HOME", HOME, 1);
	err = place_make(&place, covers, daemon, -1);
	if (err)
		return err;
	err = bench_sides_run(&side, 1, NULL);
	if (err)
		place_end(&place);
	return err;
}

static void stop(void)
{
	place_end(&place);
}

/* ---- the stream ---------------------------------------------------------- */

struct lttng_end {
	void *module;
	__typeof__(&tapio_bench_lttng_send) send;
};

/* Loading the module waits until the daemon has enabled its events. */
static int load(struct lttng_end *end)
{
	setenv("LTTNG_UST_REGISTER_TIMEOUT", TIMEOUT_S "000", 1);
	end->module = dlopen(LTTNG_MODULE, RTLD_NOW | RTLD_LOCAL);
	if (end->module)
		end->send = (__typeof__(end->send))dlsym(
			end->module, "tapio_bench_lttng_send");
	if (end->send)
		return 0;
	bench_why("%s", dlerror());
	return -1;
}

static int open_producer(void *channel, void **handle)
{
	struct lttng_end *end;

	(void)channel;
	*handle = NULL;
	if (place_enter(&place))
		return -1;
	end = calloc(1, sizeof(*end));
	if (!end) {
		bench_why("no memory");
		return -1;
	}
	if (load(end)) {
		free(end);
		return -1;
	}
	*handle = end;
	return 0;
}

/* The module stays: its threads are still in it. */
static void close_end(void *handle)
{
	free(handle);
}

static int send(void *handle, const struct stream_spec *spec, uint64_t from,
		uint64_t to)
{
	struct lttng_end *end = handle;

	if (end->send(spec->bytes, from, to))
		return 0;
	bench_why("nobody records the events");
	return -1;
}

/* There is one, in the session daemon. */
static void *make(const struct stream_spec *spec)
{
	(void)spec;
	return &place;
}

static void unmake(void *channel)
{
	(void)channel;
}

const struct stream_peer stream_lttng = {
	.peer =
		{
			.name = "LTTng-UST",
			.package = "liblttng-ust-dev lttng-tools",
			.copies = "in, with a time stamp",
			.across = "processes",
			.death = "in a call: can end a CPU's buffer for all",
			.kind = BENCH_PEER,
			.start = start,
			.stop = stop,
		},
	.overwrites = true,
	.make = make,
	.unmake = unmake,
	.open_producer = open_producer,
	.close = close_end,
	.send = send,
};
