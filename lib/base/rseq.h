/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling thread's rseq area, and the self-test that decides whether this
 * process may rely on it.
 */
#ifndef TPI_RSEQ_H
#define TPI_RSEQ_H

#include <stddef.h>
#include <stdint.h>

/* The part of struct rseq (linux/rseq.h) that has been there from the start. */
struct tpi_rseq {
	uint32_t cpu_id_start;
	uint32_t cpu_id; /* >= 2^31: not registered */
	uint64_t rseq_cs;
	uint32_t flags;
};

/*
 * Offset of the area from the thread pointer. Set once by the library's
 * constructor to libc's __rseq_offset, or to an area that is never registered
 * when libc has none; the instruction counts under valgrind point it at a fake.
 */
extern ptrdiff_t tpi_rseq_offset __attribute__((visibility("hidden")));

static inline struct tpi_rseq *tpi_rseq_area(void)
{
	return (struct tpi_rseq *)((char *)__builtin_thread_pointer() +
				   tpi_rseq_offset);
}

/*
 * Runs the self-test of design section 4 (at most 50 ms, two short-lived
 * threads, all signals blocked in them) once per process and remembers it.
 * TAPIO_RSEQ_* (abi.h); `reason`, if not NULL, gets a string of static storage.
 */
uint32_t tpi_rseq_selftest(const char **reason);

#endif
