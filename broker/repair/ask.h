/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading /proc of a client without being held by it.
 *
 * A client can make such a read wait for as long as it likes: the kernel takes a lock of the
 * process that an execve holds while it closes files, and the close of a file of the
 * client's own FUSE file system waits for the client (helper.h). The wait ends by SIGKILL.
 * So a child of the broker reads, and is killed when it takes too long.
 */
#ifndef TPI_BROKER_ASK_H
#define TPI_BROKER_ASK_H

#include <stdint.h>

/*
 * Runs `question(arg)` in a child. 0 with *answer. -ETIMEDOUT it was held: a tenth of a
 * second was over, and it was asleep. It may take longer while only a CPU keeps it from its
 * answer, which no client can arrange. -EAGAIN, -ENOMEM there can be no child. `question`
 * may call only what a child of a process with threads may call.
 *
 * SIGKILL of the broker: the child ends with it. The child is cloned without an exit signal,
 * so wait() of an embedding program does not see it.
 */
int tpi_ask(int64_t (*question)(void *arg), void *arg, int64_t *answer);

#endif
