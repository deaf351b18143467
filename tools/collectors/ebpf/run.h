/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector's parts put together: programs, rings and their threads, histograms,
 * losses, existing processes. Called by tapio-collect-ebpf and by tests.
 *
 *	load     programs are in the kernel, and nothing happens
 *	begin    they are attached: the rings fill, the threads emit
 *	step     histograms, losses, existing processes: often
 *	hold/run the threads keep off the producer, and go on
 *	end      detach, empty the rings, count the rest
 *
 * By one thread.
 */
#ifndef TPI_EBPF_RUN_H
#define TPI_EBPF_RUN_H

#include "tools/collectors/ebpf/drain.h"
#include "tools/collectors/ebpf/existing.h"
#include "tools/collectors/ebpf/histograms.h"
#include "tools/collectors/ebpf/losses.h"
#include "tools/collectors/ebpf/programs.h"

/* For what is in the rings at the end, and for the last loss events. */
#define TPI_EBPF_END_NS INT64_C(2000000000)

struct tpi_ebpf_run {
	const struct tpi_ebpf_values *values;
	struct tpi_ebpf_programs programs;
	struct tpi_drains drains;
	struct tpi_ebpf_existing existing;
	struct tpi_ebpf_histograms histograms;
	struct tpi_ebpf_losses losses;
	struct tpi_sink
		*sinks; /* one for each CPU, and one for the calling thread */
	int64_t due_ns; /* of histograms and losses */
	int64_t end_ns; /* see tpi_ebpf_run_end(). 0: TPI_EBPF_END_NS */
	bool more;      /* of what exists */
	bool began;
	bool holds;
};

/* 0, or -errno with a message. */
int tpi_ebpf_run_load(struct tpi_ebpf_run *run,
		      const struct tpi_ebpf_values *values);

/* How many sinks it needs, after load: to be prepared by the caller. */
int tpi_ebpf_run_sinks(const struct tpi_ebpf_run *run);

/* 0, or -errno with a message. `sinks` MUST live until the end. */
int tpi_ebpf_run_begin(struct tpi_ebpf_run *run, struct tpi_sink *sinks,
		       struct tapio_producer *producer);

/* Does all that is due. Returns when there is something to do again (tpi_monotonic_ns). */
int64_t tpi_ebpf_run_step(struct tpi_ebpf_run *run,
			  struct tapio_producer *producer);

void tpi_ebpf_run_hold(struct tpi_ebpf_run *run);
void tpi_ebpf_run_go_on(struct tpi_ebpf_run *run,
			struct tapio_producer *producer);

/*
 * Ends it. `producer` may be NULL: the records in the rings are then counted as refused. With
 * one, as many as the lanes take within run->end_ns are emitted.
 */
void tpi_ebpf_run_end(struct tpi_ebpf_run *run,
		      struct tapio_producer *producer);

/* How often lanes had no room while records waited in the kernel. */
uint64_t tpi_ebpf_run_waits(const struct tpi_ebpf_run *run);

#endif
