/* SPDX-License-Identifier: Apache-2.0 */
/* All brokers' memories that processes of this host hold, also those that are left. */
#ifndef TPI_INSTANCES_H
#define TPI_INSTANCES_H

#include "tools/inspect/inspect.h"
#include "tools/inspect/process.h"

enum tpi_instance_state {
	TPI_INSTANCE_SERVED, /* its broker is there, running or stopped */
	TPI_INSTANCE_KEPT, /* it is not, and a process holds descriptors for the next */
	TPI_INSTANCE_LEFT,    /* only clients map it: no broker will come */
	TPI_INSTANCE_UNKNOWN, /* its broker is in another PID namespace */
};

struct tpi_instance {
	char name[33]; /* hex */
	enum tpi_instance_state state;
	uint64_t broker_pid;
	enum tpi_process_state broker;
	char version[33];
	uint64_t started_ns;
	uint32_t channels;
	uint32_t attached;
	pid_t pid; /* one that holds it */
	char command[16];
	enum tpi_inspect_source source;
};

/*
 * Looks into every process, as `scan` does. *out is to be freed. `denied`: some did not let
 * themselves be looked into. -ENOMEM.
 */
int tpi_instances(const struct tpi_inspect_options *options,
		  struct tpi_instance **out, size_t *count, bool *denied);

#endif
