/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large classes and lags should be, from what was seen of them. advise.c works it out as
 * JSON, advise_print.c says it as text and as lines for tapiod.conf.
 *
 * THE RULE. On a lane, a group has needed room for what was unread at most, and for what it
 * has lost, as if all of that had come in one stall; and producers for what they were refused.
 * That is the most that the same load can ask for. Twice as many blocks, rounded up to a power
 * of two, keep it: a group that is kept up to a lag has half of a lane, and producers that
 * fill in place have up to half of one in hand. Nothing is ever advised to be smaller.
 */
#ifndef STAT_ADVISE_H
#define STAT_ADVISE_H

#include <jansson.h>
#include <stdbool.h>

#include "tools/shmstat/why.h"

/* A look at a channel tells something from here on, unless events were lost. */
#define ADVISE_EVENTS_LEAST  1000
#define ADVISE_SECONDS_LEAST 60

#define ADVISE_BLOCKS_MOST     65536
#define ADVISE_SIDE_LANES_MOST 4096

/* {"channels": [..], "budget_bytes": .., ..}. NULL: out of memory. */
json_t *advise(const struct why *why);

/* The section of a channel that is advised, and what stands before all. New strings. */
char *advise_config(const json_t *channel);
char *advise_budget(const json_t *advice);

void advise_print(const json_t *advice, size_t width);

#endif
