/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of events of the collector's ledger: those of the rings, and some more. */
#ifndef TPI_EBPF_KINDS_H
#define TPI_EBPF_KINDS_H

#include "tools/collectors/common/sink.h"
#include "tools/collectors/ebpf/record.h"

enum {
	TPI_EBPF_LATENCY = TPI_EBPF_KINDS,
	TPI_EBPF_EXISTING_PROCESS,
	TPI_EBPF_EXISTING_SOCKET,
	TPI_EBPF_LOSS,
	TPI_EBPF_ALL_KINDS,
};

extern const struct tpi_kind tpi_ebpf_kinds[TPI_EBPF_ALL_KINDS];

/* As a collector is called in events. */
#define TPI_EBPF_NAME "ebpf"

#endif
