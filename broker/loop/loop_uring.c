/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop on io_uring. The only file that includes liburing.
 *
 * Descriptors are watched by one-shot polls. Reading and writing stay plain system
 * calls on non-blocking sockets: the control plane moves a few hundred bytes at a time,
 * and so the kernel never holds a pointer into a session that may go away at any moment.
 *
 * A container may allow io_uring_setup and forbid the rest, and a kernel may have
 * io_uring without polls. So one poll is tried before the ring is believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/loop/loop_inner.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"

#define RING_ENTRIES 256
#define PROOF_MS     1000

static struct io_uring *ring_of(const struct tpi_loop *loop)
{
	return loop->state;
}

/* ---- making it --------------------------------------------------------------------- */

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
				"io_uring_setup or io_uring_enter");
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
				"io_uring_setup or io_uring_enter");
	case -ENOMEM:
		return tpi_fail(err, error, error_bytes,
				"io_uring has no memory for %d entries "
				"(ENOMEM): raise RLIMIT_MEMLOCK, against which "
				"kernels before 5.12 count it",
				RING_ENTRIES);
	default:
		return tpi_fail(err, error, error_bytes,
				"io_uring with %d entries: %s", RING_ENTRIES,
				strerror(-err));
	}
}

/* The answer to a poll of a descriptor that is ready. 0, or -errno. */
static int take_proof(struct io_uring *ring)
{
	struct pollfd ready = {.fd = ring->ring_fd, .events = POLLIN};
	struct io_uring_cqe *cqe;
	int err;

	if (!io_uring_cq_ready(ring) && poll(&ready, 1, PROOF_MS) < 0)
		return -errno;
	err = io_uring_peek_cqe(ring, &cqe);
	if (err)
		return err == -EAGAIN ? -ETIMEDOUT : err;
	err = cqe->res < 0 ? cqe->res : cqe->res & POLLIN ? 0 : -ENOTSUP;
	io_uring_cqe_seen(ring, cqe);
	return err;
}

static int prove(struct io_uring *ring)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), err = -errno;
	struct io_uring_sqe *sqe;

	if (fd < 0)
		return err;
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	io_uring_sqe_set_data64(sqe, 0);
	err = io_uring_submit(ring);
	err = err < 0 ? err : take_proof(ring);
	close(fd);
	return err;
}

static int make_ring(struct tpi_loop *loop, struct io_uring *ring)
{
	int err = -tpi_sys_injected(SYS_io_uring_setup, TPI_SYS_ANY);

	if (!err)
		err = io_uring_queue_init(RING_ENTRIES, ring, 0);
	if (err)
		return err;
	err = prove(ring);
	if (err) {
		io_uring_queue_exit(ring);
		return err;
	}
	err = tpi_own_fd_keep(&loop->own, ring->ring_fd);
	ring->ring_fd = ring->enter_ring_fd = loop->own.number;
	if (err)
		io_uring_queue_exit(ring);
	return err;
}

static int uring_make(struct tpi_loop *loop, char *error, size_t error_bytes)
{
	struct io_uring *ring = calloc(1, sizeof(*ring));
	int err;

	if (!ring)
		return tpi_fail(-ENOMEM, error, error_bytes, "out of memory");
	err = make_ring(loop, ring);
	if (err) {
		free(ring);
		return ring_error(err, error, error_bytes);
	}
	/* A child's mapping of the ring would keep all that it polls open. */
	(void)io_uring_ring_dontfork(ring);
	loop->state = ring;
	return 0;
}

static void uring_unmake(struct tpi_loop *loop)
{
	struct io_uring *ring = ring_of(loop);

	/*
	 * Polls are cancelled now, not when the kernel gets round to the ring. Without
	 * its descriptor the mapping goes, which keeps all open that it polls, the
	 * socket among them.
	 */
	if (loop->own.number >= 0)
		io_uring_submit(ring);
	else
		ring->ring_fd = ring->enter_ring_fd = -1;
	io_uring_queue_exit(ring);
	free(ring);
}

/* ---- watching ----------------------------------------------------------------------- */

static struct io_uring_sqe *next_sqe(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	/* Without SQPOLL a submit takes all entries, so there is room then. */
	while (!sqe) {
		io_uring_submit(ring);
		sqe = io_uring_get_sqe(ring);
	}
	return sqe;
}

static int uring_arm(struct tpi_loop *loop, uint32_t ticket, bool first)
{
	struct io_uring_sqe *sqe = next_sqe(ring_of(loop));

	(void)first;
	io_uring_prep_poll_add(sqe, loop->entries[ticket].watch->fd, POLLIN);
	io_uring_sqe_set_data64(sqe, tpi_loop_user_data(loop, ticket));
	return 0;
}

static void uring_disarm(struct tpi_loop *loop, uint32_t ticket, bool armed)
{
	struct io_uring_sqe *sqe;

	if (!armed)
		return;
	sqe = next_sqe(ring_of(loop));
	io_uring_prep_poll_remove(sqe, tpi_loop_user_data(loop, ticket));
	io_uring_sqe_set_data64(sqe, 0);
}

/*
 * Waits by a poll of the ring's own descriptor, not in io_uring_enter: under valgrind
 * one thread runs at a time, and it does not know that io_uring_enter may block, so an
 * embedded broker that waited there would stop the process.
 */
static int uring_wait(struct tpi_loop *loop, int ms)
{
	struct io_uring *ring = ring_of(loop);
	struct pollfd ready = {.fd = ring->ring_fd, .events = POLLIN};
	int n = io_uring_submit(ring);

	/* EBUSY, EAGAIN: completions have to be taken first, which comes next. */
	if (n < 0 && n != -EBUSY && n != -EAGAIN && n != -EINTR)
		return n;
	if (io_uring_cq_ready(ring))
		return 0;
	n = poll(&ready, 1, ms);
	return n < 0 && errno != EINTR ? -errno : 0;
}

static bool uring_take(struct tpi_loop *loop)
{
	struct io_uring *ring = ring_of(loop);
	struct io_uring_cqe *cqe;
	uint64_t data;
	int result;

	if (io_uring_peek_cqe(ring, &cqe))
		return false;
	data = io_uring_cqe_get_data64(cqe);
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	tpi_loop_event(loop, data, result < 0 ? POLLERR : (unsigned int)result);
	return true;
}

const struct tpi_loop_backend tpi_loop_uring = {
	.name = "io_uring",
	.make = uring_make,
	.unmake = uring_unmake,
	.arm = uring_arm,
	.disarm = uring_disarm,
	.wait = uring_wait,
	.take = uring_take,
};
