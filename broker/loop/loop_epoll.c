/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop on epoll, for where io_uring is forbidden.
 *
 * EPOLLONESHOT gives one event for each question, as a poll of io_uring does. Two
 * differences are made up for here:
 *
 * - epoll knows a file by its open file description. It forgets one when the last
 *   descriptor of it is closed, also a copy in a child. So a watch is taken off when it
 *   is stopped, and an event of a description that outlived that is dropped by its
 *   number, and comes once.
 * - A question can be refused at once (the descriptor was closed by the program, too many
 *   watches). At the start of a watch that is an error of the call. Later it is an event,
 *   POLLERR, as io_uring gives it.
 *
 * The descriptor of epoll stands for all of the broker's, as the ring's does: it bears
 * the same mark (own_fd.h).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "broker/loop/loop_inner.h"
#include "lib/base/error.h"

#define EVENTS 64 /* that one call brings */

struct epoll_state {
	int count; /* of `events`, and the next to hand on */
	int next;
	struct epoll_event events[EVENTS];
	bool refused;  /* the question of some watch was, since the last wait */
	uint32_t scan; /* the table is looked through from here. 0: it is not */
};

static int epoll_make(struct tpi_loop *loop, char *error, size_t error_bytes)
{
	struct epoll_state *state = calloc(1, sizeof(*state));
	int fd, err;

	if (!state)
		return tpi_fail(-ENOMEM, error, error_bytes, "out of memory");
	fd = epoll_create1(EPOLL_CLOEXEC);
	err = fd < 0 ? -errno : tpi_own_fd_keep(&loop->own, fd);
	if (err) {
		free(state);
		return tpi_fail(err, error, error_bytes, "epoll_create1: %s",
				strerror(-err));
	}
	loop->state = state;
	return 0;
}

static void epoll_unmake(struct tpi_loop *loop)
{
	struct epoll_state *state = loop->state;

	if (loop->own.number >= 0)
		close(loop->own.number);
	free(state);
}

static int control(struct tpi_loop *loop, int what, uint32_t ticket)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = tpi_loop_user_data(loop, ticket),
	};

	return epoll_ctl(loop->own.number, what,
			 loop->entries[ticket].watch->fd, &event)
		       ? -errno
		       : 0;
}

static int epoll_arm(struct tpi_loop *loop, uint32_t ticket, bool first)
{
	struct epoll_state *state = loop->state;
	int err;

	if (first)
		return control(loop, EPOLL_CTL_ADD, ticket);
	err = control(loop, EPOLL_CTL_MOD, ticket);
	loop->entries[ticket].refused = err != 0;
	if (err)
		state->refused = true;
	return 0;
}

/* The file may be closed already, or its number another file's: nothing to take off. */
static void epoll_disarm(struct tpi_loop *loop, uint32_t ticket, bool armed)
{
	(void)armed;
	(void)control(loop, EPOLL_CTL_DEL, ticket);
}

static int epoll_wait_some(struct tpi_loop *loop, int ms)
{
	struct epoll_state *state = loop->state;
	int n;

	if (state->next < state->count)
		return 0;
	n = epoll_wait(loop->own.number, state->events, EVENTS,
		       state->refused ? 0 : ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	state->next = 0;
	state->count = n > 0 ? n : 0;
	state->scan = state->refused;
	state->refused = false;
	return 0;
}

/* One event for each that was refused before the wait. */
static bool take_refused(struct tpi_loop *loop)
{
	struct epoll_state *state = loop->state;

	while (state->scan && state->scan < loop->entry_count) {
		uint32_t ticket = state->scan++;

		if (!loop->entries[ticket].refused)
			continue;
		loop->entries[ticket].refused = false;
		tpi_loop_event(loop, tpi_loop_user_data(loop, ticket), POLLERR);
		return true;
	}
	state->scan = 0;
	return false;
}

static bool epoll_take(struct tpi_loop *loop)
{
	struct epoll_state *state = loop->state;
	const struct epoll_event *event = &state->events[state->next];

	if (state->next >= state->count)
		return take_refused(loop);
	state->next++;
	tpi_loop_event(loop, event->data.u64, event->events);
	return true;
}

const struct tpi_loop_backend tpi_loop_epoll = {
	.name = "epoll",
	.make = epoll_make,
	.unmake = epoll_unmake,
	.arm = epoll_arm,
	.disarm = epoll_disarm,
	.wait = epoll_wait_some,
	.take = epoll_take,
};
