/* SPDX-License-Identifier: Apache-2.0 */
/* See thread.h. */
#include "lib/base/thread.h"

#include <signal.h>
#include <sys/syscall.h>

#include "lib/base/sys.h"

int tpi_thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	int err = tpi_sys_injected(SYS_clone, TPI_SYS_ANY);
	sigset_t all, before;

	if (err)
		return -err;
	/* A new thread has the signal mask of its creator. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}
