/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping on a word of shared memory, and waking those that sleep there.
 *
 * Never FUTEX_PRIVATE: the sleeper and the waker may be different processes. errno
 * is left as it was, so that a waker may be a signal handler. The calls go through
 * sys.h, so that a test can make them fail.
 */
#ifndef TPI_FUTEX_H
#define TPI_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <time.h>

#include "lib/base/sys.h"

/* The longest sleep where the kernel refuses futexes. */
#define TPI_FUTEX_NAP_NS 1000000

static inline struct timespec tpi_timespec(int64_t ns)
{
	return (struct timespec){
		.tv_sec = ns / 1000000000,
		.tv_nsec = ns % 1000000000,
	};
}

/*
 * A kernel or a seccomp profile refuses the call itself. A sleeper that looked again
 * at once would spin until its time is over, so it naps and then looks.
 */
static inline int tpi_futex_nap(int64_t ns)
{
	struct timespec nap =
		tpi_timespec(ns < TPI_FUTEX_NAP_NS ? ns : TPI_FUTEX_NAP_NS);

	return nanosleep(&nap, NULL) ? -EINTR : -ETIMEDOUT;
}

/*
 * Sleeps while *word is `seen`, for `ns` nanoseconds at most. 0 when woken,
 * -EAGAIN when the word was another, -EINTR, -ETIMEDOUT. The last one comes after
 * TPI_FUTEX_NAP_NS where there are no futexes: the caller knows by its own clock
 * whether its time is over. A word in read-only memory will do.
 */
static inline int tpi_futex_wait(const uint32_t *word, uint32_t seen,
				 int64_t ns)
{
	struct timespec limit = tpi_timespec(ns);
	int saved = errno;
	int err = tpi_sys_futex_wait(word, seen, &limit);

	if (err && err != -EAGAIN && err != -EINTR && err != -ETIMEDOUT)
		err = tpi_futex_nap(ns);
	errno = saved;
	return err;
}

/*
 * Wakes `count` sleepers at most. Returns how many, or -errno: then the sleepers
 * wake at the end of their time.
 */
static inline int tpi_futex_wake(const uint32_t *word, uint32_t count)
{
	int saved = errno;
	int woken = tpi_sys_futex_wake(word,
				       count < INT_MAX ? (int)count : INT_MAX);

	errno = saved;
	return woken;
}

#endif
