/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the kernel's rings into the lanes: a thread for each CPU, bound to it, reads the two
 * rings of that CPU and builds each event in a block of that CPU's lane.
 *
 *	kernel's ring of CPU n --> tapio_reserve_batch() --> lane of CPU n
 *	         |                                            |
 *	         +--- given back when it was submitted <------+
 *
 * Where the lane has no room, the record stays in the kernel's ring, and the thread tries
 * again after a pause. So the kernel's ring is the buffer. When it is full, the kernel
 * refuses new records and counts them. The urgent ring goes on meanwhile.
 *
 * A record is counted as read when it leaves the ring: as emitted, or as refused. The sum
 * is exact at any instant after tpi_drains_end().
 */
#ifndef TPI_EBPF_DRAIN_H
#define TPI_EBPF_DRAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <tapio/producer.h>

#include "tools/collectors/common/sink.h"
#include "tools/collectors/ebpf/event.h"
#include "tools/collectors/ebpf/ring.h"

struct tpi_drains;

struct tpi_drain {
	struct tpi_drains *all;
	struct tpi_sink *sink; /* of this thread */
	struct tpi_ebpf_ring rings[TPI_EBPF_RINGS];
	struct tpi_disks disks;
	pthread_t thread;
	int cpu;
	int wake_fd;
	bool runs;
	/* How often a lane had no room, and records waited. Written by the thread. */
	uint64_t tries[TPI_REFUSALS];
};

enum tpi_drain_mode {
	TPI_DRAIN_HOLD, /* touch neither rings nor producer */
	TPI_DRAIN_RUN,
	TPI_DRAIN_END, /* count the records that are left, and end */
};

struct tpi_drains {
	struct tpi_drain *each; /* by CPU */
	int count;
	/* private from here on */
	struct tapio_producer *producer;
	int urgent_class;      /* -1: none */
	uint32_t urgent_bytes; /* its longest event */
	uint32_t mode;         /* enum tpi_drain_mode */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int holding; /* threads that hold */
	int started;
};

/*
 * Makes the rings of all CPUs, of `ring_bytes` each. `sinks` has one for each. 0, or -errno
 * with a message.
 */
int tpi_drains_make(struct tpi_drains *drains, int cpus, size_t ring_bytes,
		    struct tpi_sink *sinks);
void tpi_drains_free(struct tpi_drains *drains);

/* Starts the threads, which hold. 0, or -errno with a message. */
int tpi_drains_start(struct tpi_drains *drains);

/* Lets the threads emit with this producer, urgent events in that class (-1: none). */
void tpi_drains_run(struct tpi_drains *drains, struct tapio_producer *producer,
		    int urgent_class);

/* Makes them hold, and returns when they do: they have no open reservation. */
void tpi_drains_hold(struct tpi_drains *drains);

/*
 * Ends the threads. Records that are left in the rings are counted as refused, by the cause that
 * keeps them there. No program MUST be attached any more.
 */
void tpi_drains_end(struct tpi_drains *drains);

#endif
