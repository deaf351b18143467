/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of tapio-load: a leader, which forks everybody else and never touches
 * an event, the broker's host if it is our own, producers and consumers.
 *
 *	leader --+-- host        a broker on a thread, until its pipe closes, or
 *	         |               tapiod with its keeper (daemon.h)
 *	         +-- producer P  } replaced when they are killed
 *	         +-- consumer C  }
 *
 * The leader has no threads and holds no descriptor of the broker's, so that a
 * child inherits nothing that could keep a dead peer's connection open.
 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tapio/abi.h>
#include <tapio/common.h>

#include "tools/inspect/inspect.h"
#include "tools/load/scoreboard.h"
#include "tools/load/options.h"

struct load_run {
	struct load_options options;
	struct load_scoreboard *scoreboard;
	const char *socket;
	struct load_host *host; /* of the broker of our own */
	struct tpi_inspect *inspect;
	struct tpi_inspect *former; /* of the instance before, or NULL */
	uint32_t channel;           /* index in the catalog */
	uint32_t lanes;
	uint32_t
		neighbour_channel; /* with --stand-still. Also in the catalog */
	uint32_t rseq; /* verdict of this machine, as a producer has it */
	uint32_t broker_rseq; /* the broker's: children cannot look */
	pid_t leader;

	/* Filled in as the run goes. */
	int64_t started_ns;
	int64_t ended_ns;
	uint64_t kills;
	uint64_t kills_consumers;
	uint64_t stops;
	uint64_t stuck; /* processes that had to be killed at the end */
	bool failed;    /* `why`: a process failed. Nothing else counts */
	char why[384];
};

/* Says why the run failed, unless something failed before. */
void load_fail(struct load_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The name of a group of this run. */
void load_group_name(const struct load_run *run, uint32_t group,
		     char name[TAPIO_NAME_BYTES]);

/* ---- children ------------------------------------------------------------- */

/*
 * Forks one that runs `work` and ends with its result. It dies with the leader,
 * and leaves signals from a terminal to it. The pid, or -errno.
 */
pid_t load_fork(struct load_run *run,
		int (*work)(struct load_run *run, uint32_t index),
		uint32_t index);

/*
 * Waits for a child that was told to end, and kills it after that time. load_fail() with its
 * reason if it did not end well.
 */
void load_end(struct load_run *run, struct load_place *place, const char *who,
	      int64_t patience_ns);

int load_producer(struct load_run *run, uint32_t index);
/* The index is that of the place | life << 12. */
#define LOAD_CONSUMER(place, life)    ((place) | (life) << 12)
#define LOAD_CONSUMER_PLACE(consumer) ((consumer)&0xfffu)
#define LOAD_CONSUMER_LIFE(consumer)  ((consumer) >> 12)
int load_consumer(struct load_run *run, uint32_t consumer);

/* Emits through every lane that can be reached. Its place is the last one. */
int load_probe(struct load_run *run, uint32_t index);
#define LOAD_PROBE_EVENTS_MAX 10000
/* How many events the probe sends through a lane of that many blocks. */
uint32_t load_probe_events(uint32_t blocks);

/* Goes to the CPU of the n-th process, producers first, if it is to be pinned. */
void load_pin(const struct load_run *run, uint32_t n);

/* Waits until the leader says go, or stop. */
void load_wait_for_go(const struct load_scoreboard *scoreboard);

/* How a process of the run opens a handle. `why` lives as long as the handle opens. */
struct tapio_options load_broker(const struct load_run *run, char *why,
				 size_t why_bytes);

/* Notes why a place failed. Returns 1, for a child to end with. */
int load_place_failed(struct load_place *place, int err, const char *what,
		      const char *detail);

/*
 * The longest time between two accepted events of any producer, before and after the
 * first kill of the broker or its keeper.
 */
void load_longest_gaps(const struct load_run *run, uint64_t *quiet_ns,
		       uint64_t *kills_ns);

/* Maps the memory of the broker that serves, and finds the channel. TPI_EXIT_*, and it
 * was said what is wrong. */
int load_look_inside(struct load_run *run);

/* ---- the broker's host (host.c) --------------------------------------------- */

struct load_host {
	pid_t pid;
	int leash; /* closing it stops the broker. -1: it is a program */
	char socket[128];
	char directory[64]; /* of that program (daemon.h) */
};

/* Starts a broker with a channel as the options say. -errno and why. */
int load_host_start(struct load_host *host, const struct load_options *options,
		    char *error, size_t error_bytes);
void load_host_stop(struct load_host *host, const struct load_run *run);

/* ---- the course of a run (supervisor.c, drain.c) ---------------------------------- */

/*
 * Starts all processes and runs the load with its faults until it is over.
 * Of the result it fills in what comes of a channel beside, and of kills of brokers.
 */
struct load_result;
void load_supervise(struct load_run *run, struct load_result *result);

struct load_ledger_sum {
	uint64_t
		published; /* since the groups' starts, over groups and lanes */
	uint64_t delivered;
	uint64_t skipped;
	uint64_t lost;
	uint64_t lost_of[TAPIO_GROUP_SLOTS]; /* by group of this run */
	uint64_t in_flight;
	uint64_t dropped; /* by lanes, all causes, since the run began */
	uint64_t dropped_for[TAPIO_DROP_CAUSES];
	uint32_t held;
	uint32_t faults;
	uint32_t groups; /* of this run that were found */
};

/* Which group of this run has this slot. -1: none. */
int load_group_of(const struct load_run *run, uint32_t slot);

/* Sums over the channel's lanes and this run's groups. */
void load_sum_ledgers(const struct load_run *run, struct load_ledger_sum *sum);

/*
 * Waits until everything is delivered and nothing is held. False when that makes
 * no progress for `patience_ns`.
 */
bool load_drain(const struct load_run *run, int64_t patience_ns);

/* Lanes on which events lie that no consumer takes, or blocks that no producer
 * gives back. */
uint64_t load_count_stuck(const struct load_run *run);

/* Runs the probe. How many lanes did not let its events pass. */
uint64_t load_count_wedged(struct load_run *run);

/* Tells the consumers to end and waits for them. */
void load_finish(struct load_run *run);

/* ---- the baseline (baseline.c) ------------------------------------------------- */

/*
 * Events per second of a plain loop over memory like a lane's: store the event,
 * publish it by a release store of the tail. No gate, no crash safety. 0 and
 * load_fail() when it could not run.
 */
double load_baseline(struct load_run *run, int64_t duration_ns);

#endif
