/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a run, and how it is reported. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "tools/load/broker_faults.h"
#include "tools/load/instances.h"
#include "tools/load/neighbour.h"
#include "tools/load/check.h"
#include "tools/load/run.h"

struct load_result {
	struct load_verdicts verdicts;
	struct load_ledger_sum ledger; /* at the end, before anybody left */
	uint64_t dropped; /* events refused, by the lanes' counts */
	uint64_t dropped_for[TAPIO_DROP_CAUSES];
	uint64_t refused; /* the same, as producers saw it */
	uint64_t wedged;
	uint64_t filtered;  /* events that no group wants, accepted */
	uint64_t late;      /* out of the order of stamps, by all consumers */
	uint64_t told_late; /* the same, as the library says */
	/* Findings of `tapio-shmstat check`. */
	uint64_t broken;
	uint64_t suspicious;
	uint64_t unsettled;
	bool drained;
	double baseline_per_s; /* 0: not asked for */
	int64_t took_ns;       /* from the start to the last accepted event */
	uint64_t bytes;        /* of events, as a group got them */
	struct load_histogram latency;
	struct load_neighbour_result neighbour; /* with --stand-still */
	struct load_broker_result broker;       /* with --kill-broker */
	struct load_instances_result instances; /* with --kill-instance */
};

/* Bytes delivered so far, the mean over groups. */
uint64_t load_bytes_per_group(const struct load_run *run);

/* Looks whether every rule of the memory holds (rules.c). */
void load_check_rules(struct load_run *run, struct load_result *result);

/* Adds up what the places on the scoreboard know. */
void load_collect(const struct load_run *run, struct load_result *result);

/* True when nothing was lost, duplicated, corrupted, disordered, wedged or broken. */
bool load_passed(const struct load_run *run, const struct load_result *result);

/* The report for people (not with --json), then the summary line. */
int load_report(const struct load_run *run, const struct load_result *result);

#endif
