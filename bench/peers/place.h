/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place of its own for a peer's daemon, out of which nothing gets: a mount
 * namespace in which the directories that the daemon leaves sockets, locks and
 * shared memory in are empty ones, and a network namespace. So a daemon
 * of the same kind that somebody uses on this machine is not disturbed, whatever
 * the daemon leaves goes with the place, and the place goes with the frame's
 * process, however that ends.
 *
 * The frame's process makes and ends it. Sides enter it to talk to the daemon.
 */
#ifndef BENCH_PLACE_H
#define BENCH_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

struct place {
	pid_t keeper; /* the daemon's parent */
	int keeper_fd;
	int log;     /* the daemon's output */
	bool user;   /* a user namespace, too */
	bool inside; /* this process has entered */
};

#define PLACE_NONE ((struct place){.keeper = -1, .keeper_fd = -1, .log = -1})

/*
 * Makes the place, with `covers` (ends with NULL) empty, and starts the daemon in
 * it. `keep` is a descriptor that the daemon inherits under its number, or -1. 0,
 * or negative with bench_why() called.
 */
int place_make(struct place *place, const char *const *covers,
	       const char *const *daemon, int keep);
void place_end(struct place *place);

/* False when the daemon has died. */
bool place_lives(const struct place *place);

/*
 * In a side, without threads: from now on it sees the daemon's files.
 * 0, or negative with bench_why() called.
 */
int place_enter(struct place *place);

/*
 * Runs a command, in a process that has entered. Its output goes to the log, and
 * the last line to bench_why() if it fails. 0 or negative.
 */
int place_command(const struct place *place, const char *const *command);

/* For bench_why(): "NAME: the last line that the daemon wrote". */
void place_why(const struct place *place, const char *name);

#endif
