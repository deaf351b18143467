/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker of our own that is to be killed: tapiod as a program, with its keeper, on a
 * socket in a directory of its own. The leader is the subreaper of both, whichever of them
 * is whose child after some kills.
 */
#ifndef LOAD_DAEMON_H
#define LOAD_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tools/load/run.h"

/*
 * Starts tapiod, which lies beside this program or in the PATH, and waits until it serves.
 * -errno and the reason. `config` is its configuration's text.
 */
int load_daemon_start(struct load_host *host, const char *config, char *error,
		      size_t error_bytes);
/* Kills both, so that neither can replace the other. -errno: there are not both. */
int load_daemon_kill(struct load_host *host, const struct load_run *run,
		     bool broker_first);
/* Starts tapiod anew where it was, when both are dead. As load_daemon_start(). */
int load_daemon_again(struct load_host *host, char *error, size_t error_bytes);
/* Ends both processes, and removes the directory. */
void load_daemon_stop(struct load_host *host, const struct load_run *run);

/* The broker by its record in the catalog. 0: none serves now. */
pid_t load_daemon_broker(const struct load_run *run);
/* The keeper of that broker, by its name in /proc. 0: there is none now. */
pid_t load_daemon_keeper(const struct load_host *host, pid_t broker);

#endif
