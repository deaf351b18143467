/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pollable descriptor: an eventfd of this process and a thread that sleeps on
 * the doorbell of our group and writes to it. No other process ever holds the
 * descriptor, so none can block, fill or close it under us.
 *
 *	consumer, tapio_poll(.., 0)         helper (fd_thread.c)
 *	finds nothing                       H1 heard = doorbell
 *	C1 empties the descriptor           H2 if armed and enough is unread:
 *	C2 armed = 1                               armed = 0, raises it
 *	C3 announces, with barrier          H5 FUTEX_WAIT(doorbell, heard), bounded
 *	C4 looks again: if there is         and again from H1
 *	   something, raises it
 *
 * An event that C4 does not see is rung for (wake.h), which ends H5 or makes it
 * return at once; the H1 after that ring is after C2, because C3 lies between C2
 * and the ring, so H2 sees `armed`. While the descriptor stays readable the helper
 * does nothing, and no producer rings.
 *
 * WITH A MERGE an unread event may have to wait for its time, and no producer
 * rings for that. The helper may be anywhere on its way to sleep then, and
 * cannot be told in time. So the descriptor is a timerfd: raised by a timer
 * that is over at once, and by the kernel itself when the next event is ripe
 * (C5). The helper may raise it between C4 and C5, and C5 takes that back; so
 * C6 looks whether it is still armed. A timer that has gone off leaves `armed`
 * as it is, so every look that finds nothing arms it anew. Meanwhile nothing is
 * announced, since no news is wanted. Where the kernel has no timerfd, the
 * helper sleeps until then: it is nudged, may miss that on its way to sleep,
 * and then is late by 100 ms at most.
 *
 * WITH A WATERMARK the helper sets the marks that watermark.c would. A tapio_poll that
 * may wait sets its own: it disarms the helper first, and leaves the descriptor
 * readable, so that a waiter for it comes by.
 *
 * SIGKILL and SIGSTOP take helper and descriptor with the process; fork closes the
 * child's copy.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client/consumer/consumer.h"
#include "lib/base/thread.h"

static void lower(struct tpi_consumer *c)
{
	static const struct itimerspec never;
	int fd = tpi_own_fd_number(&c->client.handle.event);
	uint64_t count;
	ssize_t n;

	if (fd < 0)
		return; /* the program has closed it */
	if (c->bellhop.timer)
		timerfd_settime(fd, 0, &never, NULL);
	n = read(fd, &count, sizeof(count));
	(void)n; /* -EAGAIN: it was not readable */
}

/* From here on it becomes readable by itself when an event is ripe. */
static void raise_when_due(struct tpi_consumer *c, int64_t due_ns)
{
	struct itimerspec at = {
		.it_value = {.tv_sec = due_ns / 1000000000,
			     .tv_nsec = due_ns % 1000000000},
	};

	int fd = tpi_own_fd_number(&c->client.handle.event);

	if (fd >= 0)
		timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL);
	/* Relaxed: 1 -> 0 is the helper's, and comes before its raise. */
	if (!tpi_load_relaxed(&c->bellhop.armed))
		tpi_fd_thread_raise(c);
}

static int open_fd(struct tpi_consumer *c)
{
	int fd = -1;

	c->bellhop.timer = false;
	if (tpi_merge_is_on(&c->merge))
		fd = timerfd_create(CLOCK_MONOTONIC,
				    TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd >= 0) {
		c->bellhop.timer = true;
		return fd;
	}
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int make_fd(struct tpi_consumer *c)
{
	int fd = open_fd(c);

	return fd < 0 ? fd : tpi_own_fd_keep(&c->client.handle.event, fd);
}

/* The program has closed it. The helper looks at it with the lock held only. */
static int make_fd_again(struct tpi_consumer *c)
{
	int err;

	pthread_mutex_lock(&c->bellhop.lock);
	err = make_fd(c);
	pthread_mutex_unlock(&c->bellhop.lock);
	return err;
}

static int make_fd_and_thread(struct tpi_consumer *c)
{
	int err = make_fd(c);

	if (err)
		return err;
	err = tpi_fd_thread_start(c);
	if (err)
		tpi_own_fd_close(&c->client.handle.event);
	return err;
}

static int current_fd(struct tpi_consumer *c)
{
	int err, fd;

	fd = tpi_own_fd_number(&c->client.handle.event);
	if (fd >= 0)
		return fd;
	err = c->bellhop.running ? make_fd_again(c) : make_fd_and_thread(c);
	if (err)
		return err;
	/* Readable at first: its user looks once. */
	tpi_fd_thread_raise(c);
	return tpi_own_fd_number(&c->client.handle.event);
}

int tapio_fd(struct tapio_consumer *handle)
{
	struct tpi_consumer *c = handle->now;
	int cancel, fd;

	if (!tpi_alive(&c->hot))
		return -ECHILD;
	cancel = tpi_cancel_off();
	fd = current_fd(c);
	tpi_cancel_restore(cancel);
	return fd;
}

/* From where on the helper counts, lane by lane. */
static void note_idle(struct tpi_consumer *c)
{
	uint32_t i;

	for (i = 0; i < c->lane_count; i++) {
		struct tpi_track *t = &c->tracks[i];
		uint64_t idle = t->next;

		if (!t->leased)
			continue;
		if (t->giving)
			idle = t->head; /* a release may bring more */
		/* Relaxed: `armed` is stored after it. */
		tpi_store_relaxed(&t->idle, idle);
		if (c->wake_events > 1)
			tpi_store_relaxed(&t->cell->watermark, 0);
	}
}

static void arm(struct tpi_consumer *c)
{
	pthread_mutex_lock(&c->bellhop.lock);
	lower(c);
	note_idle(c);
	if (c->former)
		note_idle(c->former);
	tpi_store_relaxed(&c->bellhop.due_ns, c->merge.due_ns);
	c->bellhop.epoch++;
	/* ORDER bellhop.armed (release): where it counts from, and until when it
	 * waits. Pairs with the acquire in armed(); the barrier of the
	 * announcement makes it visible before any ring. */
	tpi_store_release(&c->bellhop.armed, 1);
	pthread_mutex_unlock(&c->bellhop.lock);
}

/*
 * C3. An announcement that was unanswered after the barrier, or is made after it, is
 * answered after C2, so the helper sees that it is armed.
 */
static void announce(struct tpi_consumer *c)
{
	uint32_t heard = tpi_wake_listen(c->doorbell);

	c->call.dirty = true; /* C2, and the marks of note_idle() */
	tpi_call(c, &c->call, heard);
	if (tpi_wake_listen(c->doorbell) != heard)
		tpi_call(c, &c->call, tpi_wake_listen(c->doorbell));
}

/* The last look before it is left to the helper, or to the timer. */
static unsigned int last_look(struct tpi_consumer *c, struct tapio_view *views,
			      unsigned int max)
{
	bool napping = c->merge.due_ns != 0;
	unsigned int n;

	if (!napping)
		announce(c);
	n = tpi_gather(c, views, max);
	if (n || !napping || c->merge.due_ns)
		return n;
	/* The event that waited for its time has gone elsewhere. */
	tpi_store_relaxed(&c->bellhop.due_ns, 0);
	announce(c);
	return tpi_gather(c, views, max);
}

static int idle(struct tpi_consumer *c, struct tapio_view *views,
		unsigned int max)
{
	unsigned int n;

	tpi_lease_free(c);
	/* Relaxed: ours but for the helper's 1 -> 0, which comes with a raise.
	 * Armed already: nothing has come since. */
	if (tpi_load_relaxed(&c->bellhop.armed) && !c->bellhop.timer &&
	    c->wake_events <= 1)
		return (int)tpi_gather(c, views, max);
	arm(c);
	n = last_look(c, views, max);
	if (n) {
		tpi_store_relaxed(&c->bellhop.armed, 0);
		tpi_fd_thread_raise(c);
		return (int)n;
	}
	if (!c->merge.due_ns)
		return 0;
	tpi_store_relaxed(&c->bellhop.due_ns, c->merge.due_ns);
	if (c->bellhop.timer)
		raise_when_due(c, c->merge.due_ns);
	else
		tpi_wake_nudge(c->doorbell);
	return 0;
}

int tpi_fd_idle(struct tpi_consumer *c, struct tapio_view *views,
		unsigned int max)
{
	int cancel, n;

	if (!c->bellhop.running)
		return 0;
	/* It reads and writes with the lock held. */
	cancel = tpi_cancel_off();
	n = idle(c, views, max);
	tpi_cancel_restore(cancel);
	return n;
}

void tpi_fd_disarm(struct tpi_consumer *c)
{
	uint32_t i;
	int cancel;

	if (!c->bellhop.running)
		return;
	cancel = tpi_cancel_off();
	pthread_mutex_lock(&c->bellhop.lock);
	tpi_store_relaxed(&c->bellhop.armed, 0);
	c->call.dirty = true;
	for (i = 0; i < c->lane_count; i++)
		if (c->tracks[i].leased) /* as `marked` says */
			tpi_store_relaxed(&c->tracks[i].cell->watermark,
					  c->tracks[i].marked);
	pthread_mutex_unlock(&c->bellhop.lock);
	tpi_fd_thread_raise(c);
	tpi_cancel_restore(cancel);
}

/*
 * The number stays the same, since the caller has it in its epoll set. Where both name it
 * for a moment, the child of another thread's fork finds it in one of them. The kernel
 * copies pages at the fork, in the order of the stores.
 */
int tpi_fd_hand_over(struct tpi_consumer *c, struct tpi_consumer *next)
{
	int err;

	if (!c->bellhop.running)
		return 0;
	/* Both merge, or both do not. */
	next->bellhop.timer = c->bellhop.timer;
	err = tpi_fd_thread_start(next);
	if (err) /* no thread now: later */
		return err;
	tpi_fd_thread_stop(c);
	next->client.handle.event = c->client.handle.event;
	tpi_fence_store_store();
	c->client.handle.event = TPI_OWN_FD_NONE;
	/* Its user looks once. */
	tpi_fd_thread_raise(next);
	return 0;
}

void tpi_fd_close(struct tpi_consumer *c)
{
	int cancel = tpi_cancel_off();

	tpi_fd_thread_stop(c);
	tpi_own_fd_close(&c->client.handle.event);
	tpi_cancel_restore(cancel);
}
