/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel beside the one under load, with a producer and a consumer of its own
 * that know nothing of the rest. Their progress while others stand still shows
 * what a neighbour notices. With --stand-still only. The broker is our own.
 */
#ifndef LOAD_NEIGHBOUR_H
#define LOAD_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/load/run.h"

#define LOAD_NEIGHBOUR_CHANNEL "neighbour"

struct load_neighbour;

/* The outcome, as counts of events. */
struct load_neighbour_result {
	uint64_t before; /* delivered in `before_ns`, while all were at work */
	uint64_t during; /* delivered in `during_ns`, while some stood still */
	int64_t before_ns;
	int64_t during_ns;
	uint64_t sent;
	uint64_t received;
	uint64_t refused;
	uint64_t disordered; /* within a lane, or twice */
	bool exact; /* all that was sent came once. The ledger agrees */
};

/* Starts both. NULL and load_fail() when they cannot. */
struct load_neighbour *load_neighbour_start(struct load_run *run);
/* One of its two has ended too early, and was waited for. */
bool load_neighbour_ended(struct load_neighbour *neighbour, pid_t pid);
/* A phase begins: all are at work, some stand still, all are again. */
void load_neighbour_phase(struct load_neighbour *neighbour, unsigned int phase);
/* Ends both, waits for all to be delivered, and says what came of it. */
void load_neighbour_finish(struct load_run *run,
			   struct load_neighbour *neighbour,
			   struct load_neighbour_result *result);

#endif
