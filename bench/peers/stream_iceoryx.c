/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iceoryx: a publisher loans a chunk of shared memory, fills and publishes it. A
 * subscriber takes and releases it. A publisher waits for a subscriber whose queue
 * is full (256 chunks is the longest), so that nothing is lost.
 *
 * Without a reader there is a subscriber that takes nothing and whose oldest
 * chunks are dropped, in a process of its own: without any, publishing would do
 * nothing.
 *
 * The daemon, RouDi, which everybody registers with, lives in a place of its own
 * (place.h). It does not watch processes: one that a busy machine kept waiting
 * would be taken for dead. So the end of a side is not noticed, and the next one
 * takes over its name, which makes RouDi clean up after the last.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/wait_set.h>

#include "bench/peers/place.h"
#include "bench/peers/stream_peer.h"
#include "lib/base/atomic.h"
#include "lib/base/sys.h"

#define QUEUE        256
#define SLEEP_NS     100000000
#define CONNECT_S    30
#define READY_S      30
#define ROUDI_SOCKET "/tmp/roudi"

/* Pools of a channel's chunks. A queue, a taken one and loans fit several times. */
static const char config[] = "[general]\n"
			     "version = 1\n"
			     "[[segment]]\n"
			     "[[segment.mempool]]\n"
			     "size = 64\n"
			     "count = 1024\n"
			     "[[segment.mempool]]\n"
			     "size = 256\n"
			     "count = 1024\n"
			     "[[segment.mempool]]\n"
			     "size = 1024\n"
			     "count = 1024\n";

static struct place place = PLACE_NONE;

struct iox_channel {
	struct stream_spec spec;
	uint32_t producers; /* that have opened it */
	pid_t idle; /* the process with the subscriber that reads nothing */
	unsigned int number;
};

struct iox_end {
	iox_pub_t publisher;
	iox_sub_t subscriber;
	iox_ws_t waiting;
	const void *taken;
	bool connected; /* the publisher, to a subscriber */
	iox_pub_storage_t publisher_storage;
	iox_sub_storage_t subscriber_storage;
	iox_ws_storage_t waiting_storage;
};

/* RouDi brings them together, ten times a second. */
static int wait_for_subscriber(struct iox_end *end)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	for (int i = 0; i < CONNECT_S * 1000; i++) {
		end->connected = iox_pub_has_subscribers(end->publisher);
		if (end->connected)
			return 0;
		nanosleep(&nap, NULL);
	}
	bench_why("no subscriber in %d s", CONNECT_S);
	return -1;
}

STREAM_INLINE int iox_send(struct iox_end *end, const uint64_t *event,
			   uint32_t bytes)
{
	enum iox_AllocationResult result;
	void *chunk;

	if (tpi_unlikely(!end->connected) && wait_for_subscriber(end))
		return -1;
	result = iox_pub_loan_chunk(end->publisher, &chunk, bytes);
	if (result == AllocationResult_SUCCESS) {
		memcpy(chunk, event, bytes);
		iox_pub_publish_chunk(end->publisher, chunk);
		return 1;
	}
	bench_why("iox_pub_loan_chunk: %d", (int)result);
	return -1;
}

static void iox_sleep(struct iox_end *end)
{
	const struct timespec limit = {.tv_nsec = SLEEP_NS};
	iox_notification_info_t notification;
	uint64_t missed;

	iox_ws_timed_wait(end->waiting, limit, &notification, 1, &missed);
}

STREAM_INLINE int iox_fetch(struct iox_end *end)
{
	enum iox_ChunkReceiveResult result;

	result = iox_sub_take_chunk(end->subscriber, &end->taken);
	if (result == ChunkReceiveResult_NO_CHUNK_AVAILABLE && end->waiting) {
		iox_sleep(end);
		result = iox_sub_take_chunk(end->subscriber, &end->taken);
	}
	if (result == ChunkReceiveResult_SUCCESS)
		return 1;
	if (result == ChunkReceiveResult_NO_CHUNK_AVAILABLE)
		return 0;
	bench_why("iox_sub_take_chunk: %d", (int)result);
	return -1;
}

#define HANDLE                struct iox_end
#define SEND(h, event, bytes) iox_send(h, event, bytes)
#define FETCH(h, bytes)       iox_fetch(h)
#define EVENT(h, i, bytes)    ((const uint64_t *)(h)->taken)
#define DONE(h, count, bytes) iox_sub_release_chunk((h)->subscriber, (h)->taken)

#include "bench/peers/stream_loops.h"

/* ---- opening ------------------------------------------------------------- */

/*
 * From now on the process is known to RouDi by a name that no living process has:
 * of a measurement's channels, which are at most two, and their sides. RouDi has
 * room for 300 names.
 */
static int join(const struct iox_channel *channel, const char *role,
		uint32_t index)
{
	static bool joined; /* by another end of this process */
	char name[64];

	if (joined)
		return 0;
	if (place_enter(&place))
		return -1;
	snprintf(name, sizeof(name), "tapio-bench-%u-%s-%u",
		 channel->number % 2, role, index);
	iox_set_loglevel(Iceoryx_LogLevel_Off);
	iox_runtime_init(name);
	joined = true;
	return 0;
}

/* Channels have names of their own, so no side meets one of the last
 * channel. */
static void name_channel(const struct iox_channel *channel, char name[16])
{
	snprintf(name, 16, "%u", channel->number);
}

static struct iox_end *make_end(void)
{
	struct iox_end *end = calloc(1, sizeof(*end));

	if (!end)
		bench_why("no memory");
	return end;
}

static void close_end(void *handle)
{
	struct iox_end *end = handle;

	if (end->waiting) {
		iox_ws_detach_subscriber_state(end->waiting, end->subscriber,
					       SubscriberState_HAS_DATA);
		iox_ws_deinit(end->waiting);
	}
	if (end->subscriber)
		iox_sub_deinit(end->subscriber);
	if (end->publisher)
		iox_pub_deinit(end->publisher);
	free(end);
}

static int open_producer(void *channel, void **handle)
{
	struct iox_channel *c = channel;
	iox_pub_options_t options;
	struct iox_end *end;
	char name[16];

	*handle = NULL;
	/* Relaxed: all that matters is that each has another number. */
	if (join(c, "producer", tpi_add_relaxed(&c->producers, 1)))
		return -1;
	end = make_end();
	if (!end)
		return -1;
	name_channel(c, name);
	iox_pub_options_init(&options);
	if (c->spec.consumers)
		options.subscriberTooSlowPolicy =
			ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
	end->publisher = iox_pub_init(&end->publisher_storage, "tapio-bench",
				      name, "event", &options);
	*handle = end;
	return 0;
}

static void subscribe(struct iox_end *end, const struct iox_channel *channel)
{
	iox_sub_options_t options;
	char name[16];

	name_channel(channel, name);
	iox_sub_options_init(&options);
	options.queueCapacity = QUEUE;
	if (channel->spec.consumers)
		options.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
	end->subscriber = iox_sub_init(&end->subscriber_storage, "tapio-bench",
				       name, "event", &options);
}

static int open_consumer(void *channel, void **handle)
{
	const struct iox_channel *c = channel;
	struct iox_end *end;

	*handle = NULL;
	if (join(c, "consumer", 0))
		return -1;
	end = make_end();
	if (!end)
		return -1;
	subscribe(end, c);
	if (c->spec.sleeping) {
		end->waiting = iox_ws_init(&end->waiting_storage);
		iox_ws_attach_subscriber_state(end->waiting, end->subscriber,
					       SubscriberState_HAS_DATA, 0,
					       NULL);
	}
	*handle = end;
	return 0;
}

/* ---- without a reader ---------------------------------------------------- */

static _Noreturn void be_idle(const struct iox_channel *channel, pid_t frame)
{
	struct iox_end *end = make_end();
	sigset_t term;
	int number;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_SETMASK, &term, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != frame || !end || join(channel, "idle", 0))
		_exit(1);
	subscribe(end, channel);
	sigwait(&term, &number);
	close_end(end);
	_exit(0);
}

static int start_idle(struct iox_channel *channel)
{
	pid_t frame = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		be_idle(channel, frame);
	if (pid < 0) {
		bench_why("fork: %s", strerror(errno));
		return -1;
	}
	/* Not before the fork is over: the child shares the channel. */
	channel->idle = pid;
	return 0;
}

static void unmake(void *channel)
{
	struct iox_channel *c = channel;

	if (c->idle > 0) {
		kill(c->idle, SIGTERM);
		while (waitpid(c->idle, NULL, 0) < 0 && errno == EINTR)
			;
	}
	bench_memory_free(c, sizeof(*c));
}

static void *make(const struct stream_spec *spec)
{
	static unsigned int channels;
	struct iox_channel *channel = bench_memory(sizeof(*channel));

	if (!channel)
		return NULL;
	channel->spec = *spec;
	channel->number = channels++;
	if (spec->consumers || !start_idle(channel))
		return channel;
	unmake(channel);
	return NULL;
}

/* ---- the daemon ---------------------------------------------------------- */

/* It can be asked when its socket is there. Then registering waits for it. */
static int look_whether_ready(void *arg, struct bench_shared *shared,
			      unsigned int index)
{
	const struct iox_channel none = {.number = 0};
	const struct timespec nap = {.tv_nsec = 5000000};

	(void)arg;
	(void)shared;
	(void)index;
	if (place_enter(&place))
		return -1;
	alarm(READY_S);
	bench_why("no answer from iox-roudi in %d s", READY_S);
	while (place_lives(&place) && access(ROUDI_SOCKET, F_OK))
		nanosleep(&nap, NULL);
	return join(&none, "look", 0);
}

static int start_roudi(int config_fd)
{
	/* Its sockets and locks are in /tmp. */
	static const char *const covers[] = {"/tmp", "/dev/shm", NULL};
	char path[32];
	const char *const daemon[] = {
		"iox-roudi", "--config-file", path,      "--monitoring-mode",
		"off",       "--log-level",   "warning", NULL};

	if (write(config_fd, config, sizeof(config) - 1) !=
	    sizeof(config) - 1) {
		bench_why("no memory for iox-roudi's configuration");
		return -ENOMEM;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", config_fd);
	return place_make(&place, covers, daemon, config_fd);
}

static int start(void)
{
	const struct bench_side look = {.cpu = -1, .run = look_whether_ready};
	int config_fd = tpi_sys_memfd_create("tapio-bench-config", 0);
	int err;

	if (config_fd < 0) {
		bench_why("memfd_create: %s", strerror(-config_fd));
		return config_fd;
	}
	err = start_roudi(config_fd);
	close(config_fd);
	if (err)
		return err;
	err = bench_sides_run(&look, 1, NULL);
	if (err)
		place_end(&place);
	return err;
}

static void stop(void)
{
	place_end(&place);
}

const struct stream_peer stream_iceoryx = {
	.peer =
		{
			.name = "iceoryx",
			.package = "libiceoryx-binding-c-dev iceoryx",
			.copies = "none",
			.across = "processes",
			.death =
				"a publisher: its daemon can stand still for ever",
			.kind = BENCH_PEER,
			.start = start,
			.stop = stop,
		},
	.overwrites = true,
	.fits = QUEUE / 2,
	.slow = 16,
	.make = make,
	.unmake = unmake,
	.open_producer = open_producer,
	.open_consumer = open_consumer,
	.close = close_end,
	STREAM_LOOPS,
};
