/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between loop.c and its two backends, loop_uring.c and loop_epoll.c.
 *
 * A backend asks the kernel for one event of a descriptor at a time (one-shot), and
 * hands it to tpi_loop_event(). The event bears a number, `user_data`, that names its
 * watch for good. So an event that arrives after its watch was stopped, or after the
 * watch's place has another one, is dropped in one place for both.
 */
#ifndef TPI_BROKER_LOOP_INNER_H
#define TPI_BROKER_LOOP_INNER_H

#include "broker/loop/loop.h"
#include "lib/base/own_fd.h"

/* So many events are handed on, and then the timers have their turn. */
#define TPI_LOOP_EVENTS 512

struct tpi_loop_backend {
	const char *name;
	/*
	 * Makes the kernel's part: loop->state, and its descriptor in loop->own. On
	 * error nothing is left, and `error` says which switch forbids it.
	 */
	int (*make)(struct tpi_loop *loop, char *error, size_t error_bytes);
	/* Unmakes it. loop->own.number is -1 if the program has the descriptor. */
	void (*unmake)(struct tpi_loop *loop);
	/* Asks for the next event of a watch. `first`: it has just begun. */
	int (*arm)(struct tpi_loop *loop, uint32_t ticket, bool first);
	/* Withdraws the question. The descriptor is still open. */
	void (*disarm)(struct tpi_loop *loop, uint32_t ticket, bool armed);
	/* Waits for an event, -1: for ever. The descriptor has been found to be ours. */
	int (*wait)(struct tpi_loop *loop, int ms);
	/* Hands one event to tpi_loop_event(). False: there is none. */
	bool (*take)(struct tpi_loop *loop);
};

extern const struct tpi_loop_backend tpi_loop_uring, tpi_loop_epoll;

struct tpi_loop_entry {
	struct tpi_watch *watch; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
	bool armed;
	bool refused; /* epoll: the question was, and the watch is told */
};

struct tpi_loop {
	const struct tpi_loop_backend *backend;
	void *state;           /* of the backend */
	struct tpi_own_fd own; /* the descriptor of the ring, or of epoll */
	char why[320];         /* not io_uring. "": it is */
	/* Entry 0 is never used: user_data 0 is none. */
	struct tpi_loop_entry *entries;
	uint32_t entry_count;
	uint32_t free;            /* first free entry. 0: none */
	struct tpi_timer *timers; /* by time */
	bool stop;
};

static inline uint64_t tpi_loop_user_data(const struct tpi_loop *loop,
					  uint32_t ticket)
{
	return (uint64_t)loop->entries[ticket].generation << 32 | ticket;
}

/* Calls the watch that the event is for, and arms it again. `events` as poll's. */
void tpi_loop_event(struct tpi_loop *loop, uint64_t user_data,
		    unsigned int events);

#endif
