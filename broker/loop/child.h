/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children of the broker, for what a client can make wait as long as it likes (repair/ask.h,
 * session/helper.c).
 *
 * A child is cloned without an exit signal, so wait() of an embedding program does not see
 * it. SIGKILL of the broker: the child ends with it. It MUST call only what a child of a process
 * with threads may call.
 */
#ifndef TPI_BROKER_CHILD_H
#define TPI_BROKER_CHILD_H

#include <sys/types.h>

/* As fork(), with a pidfd of the child. */
pid_t tpi_child_fork(int *pidfd);
/* In the child, first: its end with that of the broker, which has this pid. */
void tpi_child_begin(pid_t broker);
/* SIGKILL, without a wait. */
void tpi_child_kill(int pidfd);
/* Takes its status, if it has ended. */
void tpi_child_reap(int pidfd);
/*
 * Kills it, and waits a tenth of a second at most until it has ended. The pidfd stays. One
 * that takes longer is left to tpi_child_reap_late(), so that it is no zombie for ever.
 */
void tpi_child_end(int pidfd);
/* The broker's tick calls it. */
void tpi_child_reap_late(void);

/*
 * /proc/PID/stat from the end of field 2 on, the name: that may contain anything, and ends
 * at the last ')'. So the state is at [2]. NULL on error.
 */
const char *tpi_proc_stat(pid_t pid, char *text, size_t bytes);

#endif
