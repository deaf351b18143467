/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. Here: the threads. One pass over a ring is in batch.c. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "tools/collectors/ebpf/batch.h"
#include "tools/common/tool.h"

/* Between two tries for room: doubled up to the second. */
#define PAUSE_MS     1
#define PAUSE_MAX_MS 50

/* ---- one thread ------------------------------------------------------------------- */

/*
 * On its own CPU the lane is the one that belongs to the ring. Elsewhere, as in a
 * container that may not use this CPU, all works as well, but for that.
 */
static void bind_to_cpu(int cpu)
{
	cpu_set_t *set = CPU_ALLOC((size_t)cpu + 1);
	const size_t bytes = CPU_ALLOC_SIZE((size_t)cpu + 1);

	if (!set)
		return;
	CPU_ZERO_S(bytes, set);
	CPU_SET_S((size_t)cpu, bytes, set);
	(void)sched_setaffinity(0, bytes, set);
	CPU_FREE(set);
}

static void hold(struct tpi_drain *d)
{
	struct tpi_drains *all = d->all;

	pthread_mutex_lock(&all->mutex);
	all->holding++;
	pthread_cond_broadcast(&all->changed);
	while (all->mode == TPI_DRAIN_HOLD)
		pthread_cond_wait(&all->changed, &all->mutex);
	all->holding--;
	pthread_mutex_unlock(&all->mutex);
}

/* Sleeps until there is something to do. A ring without room in its lane is no reason. */
static void sleep_on(struct tpi_drain *d, const int *results, int pause_ms)
{
	struct pollfd fds[TPI_EBPF_RINGS + 1];
	uint64_t value;
	int timeout = -1;

	for (int i = 0; i < TPI_EBPF_RINGS; i++) {
		const bool waits = results[i] < 0;

		fds[i] =
			(struct pollfd){waits ? -1 : d->rings[i].fd, POLLIN, 0};
		if (waits)
			timeout = pause_ms;
	}
	fds[TPI_EBPF_RINGS] = (struct pollfd){d->wake_fd, POLLIN, 0};
	if (poll(fds, TPI_EBPF_RINGS + 1, timeout) > 0 &&
	    fds[TPI_EBPF_RINGS].revents)
		(void)!read(d->wake_fd, &value, sizeof(value));
}

static void drain(struct tpi_drain *d)
{
	int pause_ms = PAUSE_MS;

	for (;;) {
		int results[TPI_EBPF_RINGS], moved = 0;

		if (tpi_load_relaxed(&d->all->mode) != TPI_DRAIN_RUN)
			return;
		for (int i = TPI_EBPF_RINGS - 1; i >= 0; i--) {
			results[i] = tpi_drain_batch(d, i);
			if (results[i] > 0)
				moved += results[i];
		}
		if (moved) {
			pause_ms = PAUSE_MS;
			continue;
		}
		sleep_on(d, results, pause_ms);
		pause_ms = pause_ms < PAUSE_MAX_MS / 2 ? pause_ms * 2
						       : PAUSE_MAX_MS;
	}
}

static void *thread_main(void *arg)
{
	struct tpi_drain *d = arg;

	bind_to_cpu(d->cpu);
	for (;;) {
		uint32_t mode = tpi_load_relaxed(&d->all->mode);

		if (mode == TPI_DRAIN_END)
			break;
		if (mode == TPI_DRAIN_HOLD)
			hold(d);
		else
			drain(d);
	}
	tpi_drain_left(d);
	return NULL;
}

/* ---- all threads ------------------------------------------------------------------ */

static void set_mode(struct tpi_drains *drains, enum tpi_drain_mode mode)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&drains->mutex);
	/* Relaxed: a thread that sees it late does one batch more. The producer of a
	 * new mode is ordered by the mutex, which each thread takes in hold(). */
	tpi_store_relaxed(&drains->mode, mode);
	pthread_cond_broadcast(&drains->changed);
	pthread_mutex_unlock(&drains->mutex);
	for (int i = 0; i < drains->count; i++)
		(void)!write(drains->each[i].wake_fd, &one, sizeof(one));
}

static int make_one(struct tpi_drain *d, size_t ring_bytes)
{
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake_fd < 0)
		return -errno;
	for (int i = 0; i < TPI_EBPF_RINGS; i++) {
		int err = tpi_ebpf_ring_make(&d->rings[i], ring_bytes);

		if (err)
			return err;
	}
	return 0;
}

int tpi_drains_make(struct tpi_drains *drains, int cpus, size_t ring_bytes,
		    struct tpi_sink *sinks)
{
	*drains = (struct tpi_drains){
		.each = calloc((size_t)cpus, sizeof(*drains->each)),
		.count = cpus,
	};
	pthread_mutex_init(&drains->mutex, NULL);
	pthread_cond_init(&drains->changed, NULL);
	if (!drains->each)
		return -ENOMEM;
	for (int i = 0; i < cpus; i++) {
		drains->each[i].wake_fd = -1;
		for (int ring = 0; ring < TPI_EBPF_RINGS; ring++)
			drains->each[i].rings[ring].fd = -1;
	}
	for (int i = 0; i < cpus; i++) {
		struct tpi_drain *d = &drains->each[i];
		int err;

		d->all = drains;
		d->sink = &sinks[i];
		d->cpu = i;
		err = make_one(d, ring_bytes);
		if (err) {
			tpi_say("ring of CPU %d, %zu bytes: %s", i, ring_bytes,
				strerror(-err));
			return err;
		}
	}
	return 0;
}

void tpi_drains_free(struct tpi_drains *drains)
{
	for (int i = 0; drains->each && i < drains->count; i++) {
		struct tpi_drain *d = &drains->each[i];

		for (int ring = 0; ring < TPI_EBPF_RINGS; ring++)
			tpi_ebpf_ring_close(&d->rings[ring]);
		if (d->wake_fd >= 0)
			close(d->wake_fd);
	}
	free(drains->each);
	drains->each = NULL;
	drains->count = 0;
}

int tpi_drains_start(struct tpi_drains *drains)
{
	for (int i = 0; i < drains->count; i++) {
		struct tpi_drain *d = &drains->each[i];
		int err = pthread_create(&d->thread, NULL, thread_main, d);

		if (err) {
			tpi_say("thread of CPU %d: %s", i, strerror(err));
			return -err;
		}
		d->runs = true;
		drains->started++;
	}
	return 0;
}

/* How long an event of the class may be: a reservation says it, given back at once. */
static uint32_t class_bytes(struct tapio_producer *producer, int klass)
{
	struct tapio_reservation r;
	const uint32_t tag =
		TAPIO_TAG_CLASS(TAPIO_EVENT_PROCESS_START, 0, klass) |
		TAPIO_NO_WAIT;

	if (klass < 0 || tapio_reserve(producer, tag, 1, &r))
		return UINT32_MAX; /* it is full: the first long event says it */
	tapio_discard(producer, &r);
	return r.capacity;
}

void tpi_drains_run(struct tpi_drains *drains, struct tapio_producer *producer,
		    int urgent_class)
{
	pthread_mutex_lock(&drains->mutex);
	drains->producer = producer;
	drains->urgent_class = urgent_class;
	tpi_store_relaxed(&drains->urgent_bytes,
			  class_bytes(producer, urgent_class));
	pthread_mutex_unlock(&drains->mutex);
	set_mode(drains, TPI_DRAIN_RUN);
}

void tpi_drains_hold(struct tpi_drains *drains)
{
	set_mode(drains, TPI_DRAIN_HOLD);
	pthread_mutex_lock(&drains->mutex);
	while (drains->holding < drains->started)
		pthread_cond_wait(&drains->changed, &drains->mutex);
	pthread_mutex_unlock(&drains->mutex);
}

void tpi_drains_end(struct tpi_drains *drains)
{
	set_mode(drains, TPI_DRAIN_END);
	for (int i = 0; i < drains->count; i++) {
		if (drains->each[i].runs)
			pthread_join(drains->each[i].thread, NULL);
		drains->each[i].runs = false;
	}
	drains->started = 0;
}
