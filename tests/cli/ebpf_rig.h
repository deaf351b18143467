/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector of eBPF events in the process of the test, with a broker in it too, and a
 * thread that reads all that is emitted, as a lossless group. The events are kept, for the test
 * to look through at the end.
 *
 * Processes of others run on this machine, so a test looks for events of its own ones, and as many
 * as come.
 */
#ifndef TEST_EBPF_RIG_H
#define TEST_EBPF_RIG_H

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <tapio/event.h>
#include <tapio/tapio.h>

#include "tools/collectors/ebpf/kinds.h"
#include "tools/collectors/ebpf/run.h"

/* As large as an event may be here. */
#define EBPF_EVENT_BYTES 1024

struct ebpf_event {
	uint32_t length;
	TAPIO_EVENT_ALIGNED unsigned char data[EBPF_EVENT_BYTES];
};

struct ebpf_rig {
	struct tapio_broker *broker;
	struct tapio_producer *producer;
	struct tapio_consumer *consumer;
	struct tpi_ebpf_values values;
	struct tpi_ebpf_run run;
	struct tpi_sink *sinks;
	pthread_t reader;
	bool reads;
	uint32_t stop;         /* set by the test, read by the reader */
	pthread_mutex_t mutex; /* of the events, while the reader runs */
	struct ebpf_event **events;
	size_t count;
	size_t room;
};

/*
 * Loads the programs of some sources, in main(): a program that is verified takes longer than most
 * tests. Those that begin with these sources then use them. False: they cannot be loaded here.
 * It has told why, and the test is to be skipped.
 */
bool ebpf_load(uint32_t sources);
/* Runs a case, and gives back what ebpf_load() has made. The exit status of main(). */
int ebpf_run_case(const char *name, TCase *tests);

/*
 * Blocks of 1,024 bytes, so many for each CPU. The collector has a minute for what is in its rings
 * at the end, unless rig->run.end_ns is set to less.
 */
void ebpf_rig_open(struct ebpf_rig *rig, unsigned int blocks);

/* With rig->values, attached when it returns. */
void ebpf_rig_begin(struct ebpf_rig *rig);
void ebpf_rig_read(struct ebpf_rig *rig); /* starts the reader */

/* Waits until the reader has the events with which `seen` is true: a minute at most. */
void ebpf_rig_until(struct ebpf_rig *rig, bool (*seen)(void));

/*
 * Ends the collector, and then the reader, when it has read all that was emitted.
 */
void ebpf_rig_end(struct ebpf_rig *rig);
void ebpf_rig_close(struct ebpf_rig *rig);

/* ---- the ledger ------------------------------------------------------------- */

/* The counts of all sinks, after the end. */
void ebpf_rig_counts(const struct ebpf_rig *rig, struct tpi_count *counts);

/* Of the kernel, before the end. */
void ebpf_rig_kernel(const struct ebpf_rig *rig,
		     struct tpi_ebpf_count counts[TPI_EBPF_KINDS]);

/* ---- events ------------------------------------------------------------------ */

/*
 * The next event of a type, from *at on, and of a process (0: any). NULL: there is none
 * any more. *at MUST be 0 at the beginning.
 */
const struct tapio_event_view *ebpf_next(const struct ebpf_rig *rig, size_t *at,
					 uint16_t type, uint32_t pid);

/* A string of the last event that ebpf_next() gave, with a NUL. Valid until the next one. */
const char *ebpf_text(const struct tapio_event_string *field);

/* The sum of an event of latency: of the slots of its histogram. */
uint64_t ebpf_slots(const struct tapio_event_view *view);

/* CLOCK_REALTIME, and a pause. */
uint64_t ebpf_wall_ns(void);
void ebpf_pause_ms(long ms);

#endif
