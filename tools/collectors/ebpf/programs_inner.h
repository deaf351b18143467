/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by programs.c and attach.c. */
#ifndef TPI_EBPF_PROGRAMS_INNER_H
#define TPI_EBPF_PROGRAMS_INNER_H

#include "tools/collectors/ebpf/programs.h"
#include "tools/collectors/ebpf/variants.h"

struct tpi_ebpf_program {
	const char *name;
	enum tpi_ebpf_source source;
	const char *tracepoint;   /* NULL: it is attached otherwise */
	uint32_t kind;            /* of its records. TPI_EBPF_KINDS: none */
	tpi_ebpf_newer_fn *newer; /* NULL: it fits each kernel */
	bool is_newer;            /* of the two */
	const char *instead_of;   /* only where the kernel refuses that one */
};

extern const struct tpi_ebpf_program tpi_ebpf_programs[];
extern const int tpi_ebpf_program_count;

struct bpf_program *
tpi_ebpf_program_of(const struct tpi_ebpf_programs *programs, int index);

/* Says so. */
void tpi_ebpf_leave_out(struct tpi_ebpf_programs *programs, int index,
			const char *why);

#endif
