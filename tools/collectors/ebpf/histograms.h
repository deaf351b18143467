/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's histograms, as `latency` events with what came since the previous one. */
#ifndef TPI_EBPF_HISTOGRAMS_H
#define TPI_EBPF_HISTOGRAMS_H

#include "tools/collectors/common/sink.h"
#include "tools/collectors/ebpf/disks.h"
#include "tools/collectors/ebpf/programs.h"

#define TPI_EBPF_DISKS_MAX \
	256 /* disks and operations: as the map in the kernel */

struct tpi_ebpf_histograms {
	const struct tpi_ebpf_programs *programs;
	struct tpi_sink *sink;
	/* private from here on */
	int64_t emitted_ns;              /* CLOCK_MONOTONIC. 0: never */
	struct tpi_ebpf_histogram *cpus; /* as of the previous event, by CPU */
	struct tpi_ebpf_histogram *now;  /* read from the kernel, by CPU */
	struct tpi_ebpf_known {
		struct tpi_ebpf_disk disk;
		struct tpi_ebpf_histogram before;
	} * known;
	unsigned int known_count;
	struct tpi_disks disks;
};

/* 0 or -ENOMEM */
int tpi_ebpf_histograms_make(struct tpi_ebpf_histograms *h,
			     const struct tpi_ebpf_programs *programs,
			     struct tpi_sink *sink);
void tpi_ebpf_histograms_free(struct tpi_ebpf_histograms *h);

/*
 * An event for each CPU whose tasks waited for it, and for each disk and operation, with at
 * least one new value. An event that is refused has its values in the next one.
 */
void tpi_ebpf_histograms_emit(struct tpi_ebpf_histograms *h, int64_t now_ns);

#endif
