/* SPDX-License-Identifier: Apache-2.0 */
/* Attachments in the catalog, and the processes that they name. */
#ifndef TPI_INSPECT_PROCESS_H
#define TPI_INSPECT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <tapio/abi.h>

#include "tools/inspect/inspect.h"

enum tpi_process_state {
	TPI_PROCESS_UNKNOWN,
	TPI_PROCESS_RUNNING,
	TPI_PROCESS_STOPPED,
	TPI_PROCESS_GONE,
};

/* Whether pids in the catalog mean here what they mean to the broker. */
bool tpi_inspect_pids_known(const struct tapio_shm_broker *broker);

/*
 * The state of a process: "running", "stopped", "gone" (or another process has
 * its number), "unknown" (the broker is in another PID namespace; pid 0: not visible from
 * the broker; start time 0: the broker could not find it out). Of a snapshot: as it was
 * then. The /proc of today is not looked at.
 */
enum tpi_process_state
tpi_inspect_process_state(const struct tpi_inspect *inspect, uint64_t pid,
			  uint64_t start_time_ticks);
/* Of a process whose start time nobody has noted: of any process that has this number. */
enum tpi_process_state
tpi_inspect_number_state(const struct tpi_inspect *inspect, uint64_t pid);
/* The same as words. */
const char *tpi_inspect_number(const struct tpi_inspect *inspect, uint64_t pid);
const char *tpi_inspect_process(const struct tpi_inspect *inspect, uint64_t pid,
				uint64_t start_time_ticks);

/*
 * A copy that belongs to one attachment. False when the record is free or was
 * given to another one meanwhile.
 */
bool tpi_inspect_attachment(const struct tapio_shm_attachment *shared,
			    struct tapio_shm_attachment *copy);

#endif
