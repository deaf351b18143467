/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping on a word of shared memory, and waking who sleeps there.
 *
 * Never FUTEX_PRIVATE: the sleeper and the waker may be different processes.
 * errno is left as it was, so that a waker may be a signal handler.
 */
#ifndef TPI_FUTEX_H
#define TPI_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Sleeps while *word is `seen`, for `ns` nanoseconds at most. 0 when woken,
 * -EAGAIN when the word was another, -ETIMEDOUT, -EINTR. A word in read-only
 * memory will do.
 */
static inline int tpi_futex_wait(const uint32_t *word, uint32_t seen,
				 int64_t ns)
{
	struct timespec limit = {
		.tv_sec = ns / 1000000000,
		.tv_nsec = ns % 1000000000,
	};
	int saved = errno;
	int err = 0;

	if (syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0))
		err = -errno;
	errno = saved;
	return err;
}

/* Wakes `count` sleepers at most; returns how many, or -errno. */
static inline int tpi_futex_wake(const uint32_t *word, uint32_t count)
{
	int saved = errno;
	int woken;

	if (count > INT_MAX)
		count = INT_MAX;
	woken = (int)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
	if (woken < 0)
		woken = -errno;
	errno = saved;
	return woken;
}

#endif
