/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and sockets that are there when the collector begins. The kernel keeps them until they are read, so a
 * channel without room makes them wait.
 */
#ifndef TPI_EBPF_EXISTING_H
#define TPI_EBPF_EXISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapio/producer.h>

#include "tools/collectors/common/sink.h"
#include "tools/collectors/ebpf/programs.h"

struct tpi_ebpf_existing {
	const struct tpi_ebpf_programs *programs;
	struct tpi_sink *sink;
	/* private from here on */
	uint64_t begin_boot_ns; /* a later process was told of by its fork */
	int stage;              /* of the iterators */
	int fd;                 /* of the one that is read. -1: none */
	char *buffer;
	size_t filled;
};

/* 0 or -ENOMEM. After tpi_ebpf_programs_attach(). */
int tpi_ebpf_existing_begin(struct tpi_ebpf_existing *e,
			    const struct tpi_ebpf_programs *programs,
			    struct tpi_sink *sink);

/* Emits what there is room for. True: there is more. */
bool tpi_ebpf_existing_step(struct tpi_ebpf_existing *e,
			    struct tapio_producer *producer);

/* Ends it. The rest is not told of. */
void tpi_ebpf_existing_end(struct tpi_ebpf_existing *e);

#endif
