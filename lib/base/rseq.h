/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling thread's rseq area, and whether this process may rely on it.
 */
#ifndef TPI_RSEQ_H
#define TPI_RSEQ_H

#include <stdbool.h>
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
 * when libc has none. The instruction counts under valgrind point it at a fake.
 */
extern ptrdiff_t tpi_rseq_offset __attribute__((visibility("hidden")));

static inline struct tpi_rseq *tpi_rseq_area(void)
{
	return (struct tpi_rseq *)((char *)__builtin_thread_pointer() +
				   tpi_rseq_offset);
}

/*
 * The verdict on this process, TAPIO_RSEQ_* (abi.h). A verdict that the test
 * reached is kept, and later calls return it at once. INCONCLUSIVE means that
 * the test could not be made. It is never kept, so the next call tries again.
 *
 * `reason`, if not NULL, gets a string of static storage. Any thread, several
 * at once, but no signal handler. The test starts one thread and joins it.
 */
uint32_t tpi_rseq_selftest(const char **reason);
/* A verdict in a word, as "proven". NULL: there is none of that number. Any context. */
const char *tpi_rseq_word(uint32_t verdict);

/*
 * The verdict so far, without a test: UNKNOWN until a test has reached one. Any
 * context.
 */
uint32_t tpi_rseq_known(void);

/*
 * The verdict of a broker of this boot, as its catalog has it. It counts for this
 * process while no test of its own has reached a verdict, and only if it is PROVEN.
 */
void tpi_rseq_hear(uint32_t verdict);

/*
 * Whether a process with that verdict of its own may run sections: it is PROVEN, or
 * there is none and a broker's is. Any context.
 */
bool tpi_rseq_holds(uint32_t verdict);

/* The same for sections of memory that ThreadSanitizer watches: it cannot see into one and
 * would report a race where there is none. */
static inline bool tpi_rseq_usable(uint32_t verdict)
{
#if defined(__SANITIZE_THREAD__)
	(void)verdict;
	return false;
#else
	return tpi_rseq_holds(verdict);
#endif
}

/*
 * Every section of this process that runs when it is called is aborted before it
 * returns, and sections that begin later see what the caller stored before. 0 or -errno:
 * the kernel cannot (5.10 can), or may not. Any context.
 */
int tpi_rseq_restart_all(void);

#endif
