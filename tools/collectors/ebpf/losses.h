/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that the kernel could not write into its rings: counted there, added to the ledger here,
 * and told of by loss events. A loss event that the channel refuses is tried again with the
 * next look, so the counts of all that were accepted add up to the kernel's.
 */
#ifndef TPI_EBPF_LOSSES_H
#define TPI_EBPF_LOSSES_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/collectors/common/sink.h"
#include "tools/collectors/ebpf/programs.h"

enum tpi_ebpf_cause {
	TPI_EBPF_RING_FULL,
	TPI_EBPF_NOT_RUN, /* the program ran on that CPU already */
	TPI_EBPF_CAUSES,
};

struct tpi_ebpf_losses {
	const struct tpi_ebpf_programs *programs;
	struct tpi_sink *sink; /* of the thread that calls */
	/* private from here on */
	struct tpi_ebpf_loss {
		uint64_t total;
		uint64_t untold;
		uint64_t first_ns; /* of the untold: the look before them */
	} of[TPI_EBPF_KINDS][TPI_EBPF_CAUSES];
	uint64_t looked_ns; /* CLOCK_REALTIME */
};

/* Reads the kernel's counts and tells of what is new. True: nothing is left untold. */
bool tpi_ebpf_losses_look(struct tpi_ebpf_losses *losses);

/* How many records the kernel has written into its rings so far. */
uint64_t tpi_ebpf_losses_written(const struct tpi_ebpf_losses *losses);

#endif
