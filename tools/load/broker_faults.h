/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killing the broker and its keeper during the load, and the two figures by which a death
 * is felt: how long a new client waits to be attached after it, and the longest time between
 * two events that a producer had accepted.
 *
 * Never both at once: then the memory is lost to the control plane, which is another test.
 * So each is killed when the catalog shows that the other lives.
 */
#ifndef LOAD_BROKER_FAULTS_H
#define LOAD_BROKER_FAULTS_H

#include <stdint.h>

#include "tools/load/run.h"

struct load_broker_faults;

struct load_broker_result {
	uint64_t kills;
	uint64_t kills_keeper;
	struct load_histogram attach; /* from a kill to an attachment, ns */
	uint64_t gap_quiet_ns; /* of any producer, before the first kill */
	uint64_t gap_kills_ns; /* from then on */
};

/* Starts the process that attaches. NULL and load_fail() when it cannot. */
struct load_broker_faults *load_broker_faults_start(struct load_run *run);
/* Kills if it is time. The time at which to ask again. */
int64_t load_broker_faults_due(struct load_broker_faults *faults, int64_t now);
/* How many are to come. */
uint64_t load_broker_faults_left(const struct load_broker_faults *faults);
/* Its process has ended too early, and was waited for. */
bool load_broker_faults_ended(struct load_broker_faults *faults, pid_t pid);
void load_broker_faults_finish(struct load_run *run,
			       struct load_broker_faults *faults,
			       struct load_broker_result *result);

#endif
