/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which flavour a test runs in: on CPUs' lanes, or on side lanes on purpose.
 *
 * A test that runs on side lanes without being asked to shows nothing about the sections
 * and looks as if it did. So a test of sections calls require_cpu_lanes(), and fails
 * there if its process cannot run them.
 *
 * Side lanes are asked for by GLIBC_TUNABLES=glibc.pthread.rseq=0, which ctest sets
 * for NAME.side, for NAME.memcheck (valgrind has no rseq) and in builds with
 * ThreadSanitizer (tests/CMakeLists.txt).
 */
#ifndef TAPIO_TESTS_CPU_LANES_H
#define TAPIO_TESTS_CPU_LANES_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/abi.h>

#include "lib/base/rseq.h"

/* Whether this is the flavour on side lanes. */
static inline bool side_flavour(void)
{
	const char *tunables = getenv("GLIBC_TUNABLES");

	return tunables && strstr(tunables, "glibc.pthread.rseq=0");
}

/*
 * True: sections may be run, and the verdict is of this process. False: the flavour is
 * the one on side lanes. Else the test program ends, and has failed.
 */
static inline bool require_cpu_lanes(void)
{
	const char *reason;
	uint32_t verdict;

	if (side_flavour())
		return false;
	verdict = tpi_rseq_selftest(&reason);
	if (verdict == TAPIO_RSEQ_PROVEN)
		return true;
	fflush(NULL);
	fprintf(stderr,
		"FAILED: this test is for CPUs' lanes, but the verdict on rseq "
		"is %u: %s\n"
		"(GLIBC_TUNABLES=glibc.pthread.rseq=0 asks for side lanes)\n",
		verdict, reason);
	exit(EXIT_FAILURE);
}

#endif
