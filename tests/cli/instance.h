/* SPDX-License-Identifier: Apache-2.0 */
/* A tapiod with its keeper whose instance a test can lose (daemon.h). */
#ifndef TEST_INSTANCE_H
#define TEST_INSTANCE_H

#include <sys/types.h>

/*
 * Starts it with daemon_config, and waits until it answers. The keeper. The caller MUST be
 * the subreaper, as instance_lose() waits for the broker.
 */
pid_t instance_start(void);

/* Kills the broker and its keeper, so that neither has the time to replace the other. */
void instance_lose(pid_t keeper);

#endif
