/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losing instances during the load: the broker and its keeper are killed together, so their
 * memory is nobody's, and tapiod is started anew at the same socket. Every handle of the
 * run moves there by itself, and is not told.
 *
 *	kill --> start --> all have moved --> the next kill, when it is due
 *	 old memory: read to its end          the one before it: given up, its ledger looked at
 *
 * The next kill waits until each producer is attached to the new broker and each consumer has
 * had its record (TAPIO_GAP_INSTANCE), because of an instance that comes and goes meanwhile a
 * reader knows nothing.
 */
#ifndef LOAD_INSTANCES_H
#define LOAD_INSTANCES_H

#include <stdint.h>

#include "tools/load/run.h"

struct load_instances;

struct load_instances_result {
	uint64_t kills;
	/* From a kill until a broker answers, and until all handles have moved, ns. */
	struct load_histogram served, moved;
	uint64_t gap_quiet_ns; /* as load_broker_result has it */
	uint64_t gap_kills_ns;
	struct load_ledger_sum left; /* memory that was left */
	/* As consumers were told, over all of them: load_collect(). */
	uint64_t moves;
	uint64_t late;        /* events of a memory that the reader had left */
	uint64_t unread;      /* left in memory that was given up */
	uint64_t before_join; /* overwritten before the reader had joined */
	uint64_t overrun; /* in a lane: by gap records, or while it was read */
};

/* NULL and load_fail() when it cannot. */
struct load_instances *load_instances_start(struct load_run *run);
/* Kills if it is time. The time at which to ask again. */
int64_t load_instances_due(struct load_instances *instances, int64_t now);
/* How many are to come, or not over yet. */
uint64_t load_instances_left(const struct load_instances *instances);
void load_instances_finish(struct load_instances *instances,
			   struct load_instances_result *result);

/* Adds what lanes and ledgers say of memory that no process waits for any more. */
void load_add_left(struct load_ledger_sum *sum,
		   const struct load_ledger_sum *left);

/* The run as it is in the memory that was left last. False: there is none. */
bool load_former(const struct load_run *run, struct load_run *former);

#endif
