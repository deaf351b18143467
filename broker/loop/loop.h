/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's event loop: descriptors that become ready, and timers. Everything
 * runs on the thread that runs the loop. Nothing here may be called elsewhere
 * once it runs.
 */
#ifndef TPI_BROKER_LOOP_H
#define TPI_BROKER_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in whatever waits for a descriptor. Zeroed before the first start. */
struct tpi_watch {
	/* `events` as poll's revents. May stop this watch, and free it then. */
	void (*ready)(struct tpi_watch *watch, unsigned int events);
	int fd;
	uint32_t ticket; /* 0: not started */
};

struct tpi_timer {
	void (*fire)(struct tpi_timer *timer);
	uint64_t at_ns; /* CLOCK_MONOTONIC. 0: not started */
	struct tpi_timer *next;
};

struct tpi_loop;

/*
 * On io_uring, or on epoll where io_uring is forbidden or does not work. -ENOMEM,
 * -EMFILE: neither is possible. `error` has both reasons.
 */
int tpi_loop_create(struct tpi_loop **out, char *error, size_t error_bytes);
/* "io_uring" or "epoll". *why: which switch forbids io_uring, or "". */
const char *tpi_loop_backend(const struct tpi_loop *loop, const char **why);
void tpi_loop_destroy(struct tpi_loop *loop);

/* In a forked child: gives back the loop's descriptor and touches nothing else. */
void tpi_loop_forget(struct tpi_loop *loop);

/*
 * False: the program has closed the loop's descriptor. A program that closes one that
 * it never opened closes all (closefrom), so none of the broker's is its own any more.
 */
bool tpi_loop_owned(const struct tpi_loop *loop);
/* Then: the loop has no descriptor, and is only to be destroyed. */
void tpi_loop_lose(struct tpi_loop *loop);

/*
 * Calls watch->ready whenever fd is readable (or has failed), until stopped. The
 * kernel may keep the file open as long as it is watched: stop before close. A
 * descriptor has one watch at a time. -ENOMEM, -EMFILE, -ENOSPC, -EBADF, -EEXIST.
 */
int tpi_watch_start(struct tpi_loop *loop, struct tpi_watch *watch, int fd);
void tpi_watch_stop(struct tpi_loop *loop, struct tpi_watch *watch);

/* Calls timer->fire once, delay_ns from now. Starting again moves it. */
void tpi_timer_start(struct tpi_loop *loop, struct tpi_timer *timer,
		     uint64_t delay_ns);
void tpi_timer_stop(struct tpi_loop *loop, struct tpi_timer *timer);

/*
 * Runs until tpi_loop_stop, which a callback calls. `idle` (may be NULL) is
 * called with true before the loop waits and with false after it.
 */
int tpi_loop_run(struct tpi_loop *loop, void (*idle)(void *arg, bool waits),
		 void *arg);
void tpi_loop_stop(struct tpi_loop *loop);

#endif
