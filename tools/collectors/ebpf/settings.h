/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of the collector. */
#ifndef TPI_EBPF_SETTINGS_H
#define TPI_EBPF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/collectors/common/settings.h"

enum tpi_ebpf_source {
	TPI_EBPF_SOURCE_PROCESS,
	TPI_EBPF_SOURCE_OOM,
	TPI_EBPF_SOURCE_TCP,
	TPI_EBPF_SOURCE_BLOCK,
	TPI_EBPF_SOURCE_OPEN,
	TPI_EBPF_SOURCE_RUN_QUEUE,
	TPI_EBPF_SOURCE_DNS,
	TPI_EBPF_SOURCE_EXISTING,
	TPI_EBPF_SOURCES,
};

extern const char *const tpi_ebpf_source_names[TPI_EBPF_SOURCES];

struct tpi_ebpf_values {
	uint32_t sources; /* a bit for each */
	struct tpi_list open_prefixes;
	struct tpi_list open_cgroups; /* directories */
	int64_t slow_io_ns;
	int64_t interval_ns;     /* of histograms and losses */
	uint64_t ring_bytes;     /* of each ring, of which a CPU has two */
	const char *cgroup_root; /* NULL: look for it */
};

/* As the program begins. */
extern const struct tpi_ebpf_values tpi_ebpf_defaults;

/* The rows of the table, for a struct tpi_ebpf_values. */
extern const struct tpi_setting tpi_ebpf_rows[];

/* Looks at all of them together, as tpi_collector_about.check does. */
bool tpi_ebpf_check(void *values, char *why, size_t why_bytes);

static inline bool tpi_ebpf_wants(const struct tpi_ebpf_values *values,
				  enum tpi_ebpf_source source)
{
	return values->sources >> source & 1;
}

#endif
