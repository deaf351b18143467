/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Question 9: the costs that grow with the number of clients, channels and
 * CPUs. The table is scale.c, its subjects are in scale_attach.c, scale_floor.c
 * and scale_lanes.c.
 */
#ifndef BENCH_SCALE_H
#define BENCH_SCALE_H

#include <tapio/broker.h>

#include "bench/frame/bench.h"

/* Each the run of a bench_subject. The arg of attach is a struct scale_clients. */
int scale_attach(const struct bench_run *run,
		 const struct bench_subject *subject, double *figures);
int scale_channels(const struct bench_run *run,
		   const struct bench_subject *subject, double *figures);
int scale_cpus(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures);
int scale_poll(const struct bench_run *run, const struct bench_subject *subject,
	       double *figures);
int scale_poll_floor(const struct bench_run *run,
		     const struct bench_subject *subject, double *figures);

/* In which order the clients come. A case's param. */
enum scale_order {
	SCALE_QUEUE,      /* one when the last one is there */
	SCALE_BURST,      /* all at once */
	SCALE_QUEUE_BUSY, /* as the first, while a process spins on each CPU */
};

/* The server and its clients. Both 0 or negative, with bench_why(). */
struct scale_clients {
	/* In the server's process, until the end of it. */
	int (*serve)(const char *socket, void **server);
	void (*stop)(void *server);
	/* In a client's process, which ends without leaving. */
	int (*attach)(const char *socket, char *why, size_t why_bytes);
};

extern const struct scale_clients scale_producers;
extern const struct scale_clients scale_consumers;
extern const struct scale_clients scale_bare; /* the floor */

/* Starts a broker in this process. cpus 0: those of this machine. */
int scale_broker(struct tapio_broker **broker, const char *config,
		 const char *socket, uint32_t cpus);

/* Of this process: its own memory, beside files and shared memory, and what it
 * maps of memfds whose names begin so. 0 when it cannot be read. */
uint64_t scale_own_bytes(void);
uint64_t scale_memfd_bytes(const char *name);

/* The descriptors that a process needs. BENCH_ABSENT with bench_why(). */
int scale_need_fds(uint64_t count);

#endif
