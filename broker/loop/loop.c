/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: watches, timers, and the choice of a backend. io_uring comes first,
 * and epoll where io_uring is forbidden, missing, or does not work.
 *
 * Descriptors are watched by one-shot questions that are asked again after each
 * callback, which makes them level-triggered. An event may arrive after its watch was
 * stopped, started again or freed. So it does not bear a pointer but index and
 * generation in the table below, and an event whose generation is not that of the entry
 * is dropped.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/loop/loop_inner.h"
#include "lib/base/error.h"
#include "lib/lane/wake.h"

static uint64_t now_ns(void)
{
	return (uint64_t)tpi_now_ns();
}

/* ---- the backend -------------------------------------------------------------------- */

int tpi_loop_create(struct tpi_loop **out, char *error, size_t error_bytes)
{
	struct tpi_loop *loop = calloc(1, sizeof(*loop));
	char why[128];
	int err;

	*out = NULL;
	if (!loop)
		return tpi_fail(-ENOMEM, error, error_bytes, "out of memory");
	loop->own = TPI_OWN_FD_NONE;
	loop->backend = &tpi_loop_uring;
	if (loop->backend->make(loop, loop->why, sizeof(loop->why))) {
		loop->backend = &tpi_loop_epoll;
		err = loop->backend->make(loop, why, sizeof(why));
		if (err) {
			tpi_fail(err, error, error_bytes, "%s; and %s",
				 loop->why, why);
			free(loop);
			return err;
		}
	}
	*out = loop;
	return 0;
}

const char *tpi_loop_backend(const struct tpi_loop *loop, const char **why)
{
	*why = loop->why;
	return loop->backend->name;
}

void tpi_loop_destroy(struct tpi_loop *loop)
{
	if (!loop)
		return;
	if (loop->state)
		loop->backend->unmake(loop);
	free(loop->entries);
	free(loop);
}

void tpi_loop_forget(struct tpi_loop *loop)
{
	close(loop->own.number);
}

bool tpi_loop_owned(const struct tpi_loop *loop)
{
	return tpi_own_fd_number(&loop->own) >= 0;
}

void tpi_loop_lose(struct tpi_loop *loop)
{
	loop->own = TPI_OWN_FD_NONE;
	if (loop->state)
		loop->backend->unmake(loop);
	loop->state = NULL;
}

/* ---- watches ------------------------------------------------------------------------ */

static int grow(struct tpi_loop *loop)
{
	uint32_t old = loop->entry_count, count = old ? old * 2 : 64;
	struct tpi_loop_entry *entries =
		realloc(loop->entries, count * sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	loop->entries = entries;
	loop->entry_count = count;
	for (uint32_t i = count - 1; i >= (old ? old : 1); i--) {
		entries[i] = (struct tpi_loop_entry){.next_free = loop->free};
		loop->free = i;
	}
	return 0;
}

static int arm(struct tpi_loop *loop, uint32_t ticket, bool first)
{
	loop->entries[ticket].armed = true;
	return loop->backend->arm(loop, ticket, first);
}

/* Later events of it are dropped: they bear the old generation. */
static void free_entry(struct tpi_loop *loop, struct tpi_watch *watch)
{
	struct tpi_loop_entry *entry = &loop->entries[watch->ticket];

	entry->watch = NULL;
	entry->armed = false;
	entry->refused = false;
	entry->generation++;
	entry->next_free = loop->free;
	loop->free = watch->ticket;
	watch->ticket = 0;
}

int tpi_watch_start(struct tpi_loop *loop, struct tpi_watch *watch, int fd)
{
	struct tpi_loop_entry *entry;
	int err;

	if (!loop->free && grow(loop))
		return -ENOMEM;
	watch->fd = fd;
	watch->ticket = loop->free;
	entry = &loop->entries[watch->ticket];
	loop->free = entry->next_free;
	entry->watch = watch;
	err = arm(loop, watch->ticket, true);
	if (err)
		free_entry(loop, watch);
	return err;
}

void tpi_watch_stop(struct tpi_loop *loop, struct tpi_watch *watch)
{
	if (!watch->ticket)
		return;
	if (loop->own.number >= 0)
		loop->backend->disarm(loop, watch->ticket,
				      loop->entries[watch->ticket].armed);
	free_entry(loop, watch);
}

void tpi_loop_event(struct tpi_loop *loop, uint64_t user_data,
		    unsigned int events)
{
	uint32_t ticket = (uint32_t)user_data;
	uint32_t generation = (uint32_t)(user_data >> 32);
	struct tpi_loop_entry *entry;

	if (!ticket || ticket >= loop->entry_count)
		return;
	entry = &loop->entries[ticket];
	if (!entry->watch || entry->generation != generation)
		return;
	entry->armed = false;
	entry->watch->ready(entry->watch, events);
	/* The callback may have stopped it, or made the table move. */
	entry = &loop->entries[ticket];
	if (entry->watch && entry->generation == generation && !entry->armed)
		(void)arm(loop, ticket, false);
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
 * -EBADF: the program has closed the loop's descriptor, and so all. It is asked before
 * the descriptor is used, and before the callbacks use others.
 */
static int wait_some(struct tpi_loop *loop)
{
	int err = tpi_loop_owned(loop) ? 0 : -EBADF;

	if (!err)
		err = loop->backend->wait(loop, wait_ms(loop));
	if (!err && !tpi_loop_owned(loop))
		err = -EBADF;
	return err;
}

/* As many as there can be at once, then the timers have their turn. */
static void take_events(struct tpi_loop *loop)
{
	for (int i = 0; i < TPI_LOOP_EVENTS && !loop->stop; i++)
		if (!loop->backend->take(loop))
			return;
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
		take_events(loop);
		fire_timers(loop);
	}
	return err;
}

void tpi_loop_stop(struct tpi_loop *loop)
{
	loop->stop = true;
}
