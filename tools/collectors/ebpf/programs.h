/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs of the kernel: which of them are wanted and possible here, loading,
 * attaching, and what the kernel counts of them.
 *
 * A program that this kernel cannot have is left out and named, and the others go on: one
 * whose tracepoint does not exist, and one that the verifier refuses. Only without BTF,
 * without rights, or when nothing is left, loading fails.
 */
#ifndef TPI_EBPF_PROGRAMS_H
#define TPI_EBPF_PROGRAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/collectors/ebpf/record.h"
#include "tools/collectors/ebpf/settings.h"

#define TPI_EBPF_PROGRAMS_MAX 32

struct bpf_link;
struct btf;
struct bpf_object;
struct tpi_ebpf_skeleton;

struct tpi_ebpf_programs {
	const struct tpi_ebpf_values *values;
	struct tpi_ebpf_skeleton *skeleton;
	bool loads[TPI_EBPF_PROGRAMS_MAX]; /* by the table in programs.c */
	struct bpf_link *links[TPI_EBPF_PROGRAMS_MAX];
	int cpus; /* possible ones */
	/*
	 * For tests, NULL in the collector: the types of another kernel, and a change of
	 * programs before they are loaded, so that the kernel refuses some.
	 */
	const struct btf *kernel;
	void (*adjust)(struct bpf_object *object);
};

/*
 * Loads what `values` ask for. Tells of each program that is left out. 0, or -errno with a
 * message that says why: nothing is loaded then.
 */
int tpi_ebpf_programs_load(struct tpi_ebpf_programs *programs,
			   const struct tpi_ebpf_values *values);

/* Whether any program of a source is there. After load. */
bool tpi_ebpf_programs_have(const struct tpi_ebpf_programs *programs,
			    enum tpi_ebpf_source source);

/* Makes the kernel write the records of a CPU into this ring (TPI_EBPF_RING_OF). */
int tpi_ebpf_programs_ring(const struct tpi_ebpf_programs *programs, int cpu,
			   int ring, int fd);

/* From here on there are records. As load: a program that cannot be attached is left out. */
int tpi_ebpf_programs_attach(struct tpi_ebpf_programs *programs);

/* When it returns no program runs any more: there are no new records. */
void tpi_ebpf_programs_detach(struct tpi_ebpf_programs *programs);
void tpi_ebpf_programs_close(struct tpi_ebpf_programs *programs);

/* The sums over all CPUs, since load. */
int tpi_ebpf_programs_counts(const struct tpi_ebpf_programs *programs,
			     struct tpi_ebpf_count counts[TPI_EBPF_KINDS]);

/*
 * How often the kernel did not run a program of a kind, because it ran on that CPU
 * already, since load. Of exit and open not each run would have made a record.
 */
uint64_t tpi_ebpf_programs_missed(const struct tpi_ebpf_programs *programs,
				  enum tpi_ebpf_kind kind);

/* A descriptor that gives the records of an iterator. -ENOENT: it was left out. */
int tpi_ebpf_programs_iterate(const struct tpi_ebpf_programs *programs,
			      const char *program);

/* Descriptors of maps by their names. -ENOENT */
int tpi_ebpf_programs_map(const struct tpi_ebpf_programs *programs,
			  const char *map);

#endif
