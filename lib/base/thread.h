/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being a good guest of the program's threads: how the library starts a thread of
 * its own, and how it keeps a call from being cancelled in the middle.
 */
#ifndef TPI_THREAD_H
#define TPI_THREAD_H

#include <pthread.h>

/*
 * Starts a thread that runs `run(arg)`, with every signal blocked. 0 or -errno.
 *
 * The caller MUST join it before the handle, or the call, that it belongs to ends:
 * the library may be part of a plugin, and its code is unmapped by dlclose.
 *
 * The stack has the size that the program's other threads have. A thread's static
 * TLS lies on its stack, and only libc knows how much that is: libc refuses a stack
 * that is too small for it, and a stack that is just not refused has no room left
 * for the thread itself.
 */
int tpi_thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

/*
 * Between these two the calling thread is not cancelled: it would leave open
 * descriptors and held locks behind. Each public function that can reach a
 * cancellation point (open, close, connect, poll, nanosleep, join) has them around
 * its work.
 */
static inline int tpi_cancel_off(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

static inline void tpi_cancel_restore(int before)
{
	pthread_setcancelstate(before, NULL);
}

#endif
