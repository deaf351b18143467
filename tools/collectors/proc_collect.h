/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector of /proc: scans, compares with the scan before, and puts events
 * for what is new, what has gone and what has changed into a sink.
 *
 * The paths of /proc and /sys are given, so that it also works on the host's
 * mounted elsewhere in a container, and tests on trees that they made up. One
 * thread. Nothing here knows about brokers or channels.
 */
#ifndef TPI_PROC_COLLECT_H
#define TPI_PROC_COLLECT_H

#include "tools/collectors/common/sink.h"

/* The sources, in the order in which they are listed: the kinds of the sink. */
enum tpi_proc_source {
	TPI_PROC_START,
	TPI_PROC_EXIT,
	TPI_PROC_SAMPLE,
	TPI_PROC_PRESSURE,
	TPI_PROC_NETWORK,
	TPI_PROC_DISK,
	TPI_PROC_MEMORY,
	TPI_PROC_SOURCES,
};

/* Their names, types and severities. */
extern const struct tpi_kind tpi_proc_kinds[TPI_PROC_SOURCES];

struct tpi_proc;

struct tpi_proc_options { /* the paths must stay until tpi_proc_close */
	const char *proc; /* NULL: /proc */
	const char *sys;  /* NULL: /sys */
	uint32_t sources; /* bits 1 << TPI_PROC_* */
	uint32_t top;     /* samples per scan. 0: of all that changed */
	bool all;         /* samples and counters also of what did not change */
	bool no_existing; /* no start events for what is there already */
};

/* Opens the trees. -errno. *failed is the path that could not be opened. */
int tpi_proc_open(struct tpi_proc **out, const struct tpi_proc_options *options,
		  struct tpi_sink *sink, const char **failed);
void tpi_proc_close(struct tpi_proc *proc);

/* One scan of every source. -ENOMEM, or what reading the tree itself gave. */
int tpi_proc_scan(struct tpi_proc *proc);

/* Polls readable when a process ended and tpi_proc_exits() can tell. -1: never. */
int tpi_proc_exit_fd(const struct tpi_proc *proc);
void tpi_proc_exits(struct tpi_proc *proc);

#endif
