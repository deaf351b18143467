/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks, one after the other, by a thread of its own: a look may wait for a quarter of a
 * second, and a broker that does not answer for longer. Used by `watch` and `serve`.
 *
 * The thread opens the memory when there is some. It opens it again when a channel or a slot
 * has got other memory, and when its broker is gone and another one answers. It holds at most
 * one look for its user: the newest.
 */
#ifndef STAT_LIVE_H
#define STAT_LIVE_H

#include "tools/shmstat/command.h"

struct live;

struct live_news {
	json_t *look;   /* owned by the caller. NULL: there is no memory */
	int64_t at_ns;  /* CLOCK_MONOTONIC, when the look began */
	char why[512];  /* the reason of no look, or a warning, or empty */
	uint64_t opens; /* how often memory was opened until now */
};

/* Both are constant from here on. 0 or -errno. Signals go to other threads. */
int live_start(struct live **out, struct stat_args *args, uint32_t parts,
	       int64_t interval_ns);
/* Ends the thread, within the time that a broker has to answer. */
void live_stop(struct live *live);

/* A descriptor that polls readable while there is news. */
int live_fd(const struct live *live);
/* The news, once. False: there is none. */
bool live_take(struct live *live, struct live_news *news);

/* Whether looks go on. At first they do. A look follows at once when they do again. */
void live_run(struct live *live, bool run);

#endif
