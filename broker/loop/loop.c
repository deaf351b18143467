/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop, on io_uring. The only file that includes liburing.
 *
 * Descriptors are watched by one-shot polls that are armed again after each
 * callback, which makes them level-triggered. Reading and writing stay plain
 * system calls on non-blocking sockets: the control plane moves a few hundred
 * bytes at a time, and so the kernel never holds a pointer into a session that
 * may go away at any moment.
 *
 * A completion may arrive after its watch was stopped, started again or freed.
 * So user_data is not a pointer but index and generation in the table below, and
 * a completion whose generation is not that of the entry is dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/loop/loop.h"
#include "lib/base/error.h"
#include "lib/base/own_fd.h"
#include "lib/base/sys.h"
#include "lib/lane/wake.h"

#define RING_ENTRIES 256

struct entry {
	struct tpi_watch *watch; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
	bool armed;
};

struct tpi_loop {
	struct io_uring ring;
	struct tpi_own_fd own; /* the ring's descriptor */
	struct entry *entries; /* entry 0 is never used: user_data 0 is none */
	uint32_t entry_count;
	uint32_t free;            /* first free entry. 0: none */
	struct tpi_timer *timers; /* by time */
	bool stop;
};

static uint64_t now_ns(void)
{
	return (uint64_t)tpi_now_ns();
}

/* ---- the ring ------------------------------------------------------------- */

static int sysctl_disabled(void)
{
	char text[16] = "";
	int fd = open("/proc/sys/kernel/io_uring_disabled",
		      O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? atoi(text) : 0;
}

static int ring_error(int err, char *error, size_t error_bytes)
{
	int disabled = sysctl_disabled();

	switch (err) {
	case -ENOSYS:
		return tpi_fail(err, error, error_bytes,
				"io_uring is not available (ENOSYS): the "
				"kernel has none, or a seccomp filter hides "
				"it. Allow io_uring_setup and io_uring_enter "
				"for the broker; clients do not need them");
	case -EPERM:
		if (disabled)
			return tpi_fail(err, error, error_bytes,
					"io_uring is forbidden (EPERM): "
					"kernel.io_uring_disabled is %d, the "
					"broker needs 0, or 1 and membership "
					"in kernel.io_uring_group",
					disabled);
		return tpi_fail(err, error, error_bytes,
				"io_uring is forbidden (EPERM), but not by "
				"kernel.io_uring_disabled, which is 0: a "
				"seccomp filter or security module forbids "
				"io_uring_setup");
	case -ENOMEM:
		return tpi_fail(err, error, error_bytes,
				"io_uring has no memory for %d entries "
				"(ENOMEM): raise RLIMIT_MEMLOCK, against which "
				"kernels before 5.12 count it",
				RING_ENTRIES);
	default:
		return tpi_fail(err, error, error_bytes,
				"io_uring_setup of %d entries: %s",
				RING_ENTRIES, strerror(-err));
	}
}

static int make_ring(struct tpi_loop *loop)
{
	int err = -tpi_sys_injected(SYS_io_uring_setup, TPI_SYS_ANY);

	if (!err)
		err = io_uring_queue_init(RING_ENTRIES, &loop->ring, 0);
	if (err)
		return err;
	err = tpi_own_fd_keep(&loop->own, loop->ring.ring_fd);
	loop->ring.ring_fd = loop->ring.enter_ring_fd = loop->own.number;
	if (err)
		io_uring_queue_exit(&loop->ring);
	return err;
}

int tpi_loop_create(struct tpi_loop **out, char *error, size_t error_bytes)
{
	struct tpi_loop *loop = calloc(1, sizeof(*loop));
	int err;

	*out = NULL;
	if (!loop)
		return tpi_fail(-ENOMEM, error, error_bytes, "out of memory");
	err = make_ring(loop);
	if (err) {
		free(loop);
		return ring_error(err, error, error_bytes);
	}
	/* A child's mapping of the ring would keep all that it polls open. */
	(void)io_uring_ring_dontfork(&loop->ring);
	*out = loop;
	return 0;
}

void tpi_loop_destroy(struct tpi_loop *loop)
{
	if (!loop)
		return;
	/* Polls are cancelled now, not when the kernel gets round to the ring. */
	if (loop->own.number >= 0) {
		io_uring_submit(&loop->ring);
		io_uring_queue_exit(&loop->ring);
	}
	free(loop->entries);
	free(loop);
}

void tpi_loop_forget(struct tpi_loop *loop)
{
	close(loop->ring.ring_fd);
}

bool tpi_loop_owned(const struct tpi_loop *loop)
{
	return tpi_own_fd_number(&loop->own) >= 0;
}

void tpi_loop_lose(struct tpi_loop *loop)
{
	loop->own = TPI_OWN_FD_NONE;
	loop->ring.ring_fd = loop->ring.enter_ring_fd = -1;
	/* Its mapping keeps all open that it polls, the socket among them. */
	io_uring_queue_exit(&loop->ring);
}

static struct io_uring_sqe *next_sqe(struct tpi_loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	/* Without SQPOLL a submit takes all entries, so there is room then. */
	while (!sqe) {
		io_uring_submit(&loop->ring);
		sqe = io_uring_get_sqe(&loop->ring);
	}
	return sqe;
}

/* ---- watches -------------------------------------------------------------- */

static uint64_t user_data(const struct tpi_loop *loop, uint32_t ticket)
{
	return (uint64_t)loop->entries[ticket].generation << 32 | ticket;
}

static void arm(struct tpi_loop *loop, uint32_t ticket)
{
	struct io_uring_sqe *sqe = next_sqe(loop);

	io_uring_prep_poll_add(sqe, loop->entries[ticket].watch->fd, POLLIN);
	io_uring_sqe_set_data64(sqe, user_data(loop, ticket));
	loop->entries[ticket].armed = true;
}

static int grow(struct tpi_loop *loop)
{
	uint32_t old = loop->entry_count, count = old ? old * 2 : 64;
	struct entry *entries =
		realloc(loop->entries, count * sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	loop->entries = entries;
	loop->entry_count = count;
	for (uint32_t i = count - 1; i >= (old ? old : 1); i--) {
		entries[i] = (struct entry){.next_free = loop->free};
		loop->free = i;
	}
	return 0;
}

int tpi_watch_start(struct tpi_loop *loop, struct tpi_watch *watch, int fd)
{
	struct entry *entry;

	if (!loop->free && grow(loop))
		return -ENOMEM;
	watch->fd = fd;
	watch->ticket = loop->free;
	entry = &loop->entries[watch->ticket];
	loop->free = entry->next_free;
	entry->watch = watch;
	arm(loop, watch->ticket);
	return 0;
}

void tpi_watch_stop(struct tpi_loop *loop, struct tpi_watch *watch)
{
	struct entry *entry;

	if (!watch->ticket)
		return;
	entry = &loop->entries[watch->ticket];
	if (entry->armed && loop->own.number >= 0) {
		struct io_uring_sqe *sqe = next_sqe(loop);

		io_uring_prep_poll_remove(sqe, user_data(loop, watch->ticket));
		io_uring_sqe_set_data64(sqe, 0);
	}
	entry->watch = NULL;
	entry->armed = false;
	entry->generation++;
	entry->next_free = loop->free;
	loop->free = watch->ticket;
	watch->ticket = 0;
}

static void complete(struct tpi_loop *loop, uint64_t data, int result)
{
	uint32_t ticket = (uint32_t)data;
	uint32_t generation = (uint32_t)(data >> 32);
	struct entry *entry;

	if (!ticket || ticket >= loop->entry_count)
		return;
	entry = &loop->entries[ticket];
	if (!entry->watch || entry->generation != generation)
		return;
	entry->armed = false;
	entry->watch->ready(entry->watch,
			    result < 0 ? POLLERR : (unsigned int)result);
	/* The callback may have stopped it, or made the table move. */
	entry = &loop->entries[ticket];
	if (entry->watch && entry->generation == generation && !entry->armed)
		arm(loop, ticket);
}

/* ---- timers ---------------------------------------------------------------- */

void tpi_timer_stop(struct tpi_loop *loop, struct tpi_timer *timer)
{
	struct tpi_timer **at = &loop->timers;

	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = timer->next;
	timer->at_ns = 0;
	timer->next = NULL;
}

void tpi_timer_start(struct tpi_loop *loop, struct tpi_timer *timer,
		     uint64_t delay_ns)
{
	struct tpi_timer **at = &loop->timers;

	tpi_timer_stop(loop, timer);
	timer->at_ns = now_ns() + delay_ns;
	while (*at && (*at)->at_ns <= timer->at_ns)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

static void fire_timers(struct tpi_loop *loop)
{
	uint64_t now = loop->timers ? now_ns() : 0;

	while (loop->timers && loop->timers->at_ns <= now) {
		struct tpi_timer *timer = loop->timers;

		tpi_timer_stop(loop, timer);
		timer->fire(timer);
	}
}

/* ---- running --------------------------------------------------------------- */

/* How long until the next timer, rounded up. -1: there is none. */
static int wait_ms(const struct tpi_loop *loop)
{
	uint64_t now, left;

	if (!loop->timers)
		return -1;
	now = now_ns();
	if (loop->timers->at_ns <= now)
		return 0;
	left = (loop->timers->at_ns - now + 999999) / 1000000;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/*
 * Waits by a poll of the ring's own descriptor, not in io_uring_enter: under
 * valgrind one thread runs at a time, and it does not know that io_uring_enter
 * may block, so an embedded broker that waited there would stop the process.
 *
 * -EBADF: the program has closed the ring's descriptor, and so all. It is asked before
 * the ring is used, and before the callbacks use others.
 */
static int wait_some(struct tpi_loop *loop)
{
	struct pollfd ring = {.fd = loop->ring.ring_fd, .events = POLLIN};
	int n = tpi_loop_owned(loop) ? io_uring_submit(&loop->ring) : -EBADF;

	/* EBUSY, EAGAIN: completions have to be taken first, which comes next. */
	if (n < 0 && n != -EBUSY && n != -EAGAIN && n != -EINTR)
		return n;
	if (io_uring_cq_ready(&loop->ring))
		return 0;
	n = poll(&ring, 1, wait_ms(loop));
	if (n < 0 && errno != EINTR)
		return -errno;
	return tpi_loop_owned(loop) ? 0 : -EBADF;
}

static void take_completions(struct tpi_loop *loop)
{
	struct io_uring_cqe *cqe;

	/* As many as there can be at once, then the timers have their turn. */
	for (int i = 0; i < 2 * RING_ENTRIES && !loop->stop; i++) {
		uint64_t data;
		int result;

		if (io_uring_peek_cqe(&loop->ring, &cqe))
			return;
		data = io_uring_cqe_get_data64(cqe);
		result = cqe->res;
		io_uring_cqe_seen(&loop->ring, cqe);
		complete(loop, data, result);
	}
}

int tpi_loop_run(struct tpi_loop *loop, void (*idle)(void *arg, bool waits),
		 void *arg)
{
	int err = 0;

	while (!loop->stop && !err) {
		if (idle)
			idle(arg, true);
		err = wait_some(loop);
		if (idle)
			idle(arg, false);
		if (err)
			break;
		take_completions(loop);
		fire_timers(loop);
	}
	return err;
}

void tpi_loop_stop(struct tpi_loop *loop)
{
	loop->stop = true;
}
