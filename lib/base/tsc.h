/* SPDX-License-Identifier: Apache-2.0 */
/* The processor's own clock: constant rate, one count for all CPUs. */
#ifndef TPI_TSC_H
#define TPI_TSC_H

#include <stdint.h>

/* In ticks. It is not ordered with the loads and stores around it, and stamps
 * do not need that: 10 ns is their resolution, not their truth. */
static inline uint64_t tpi_tsc(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
#error "no clock register known for this processor"
#endif
}

/* The same, but not before the loads that come before it are done. */
static inline uint64_t tpi_tsc_after_loads(void)
{
#if defined(__x86_64__)
	unsigned int cpu;

	return __builtin_ia32_rdtscp(&cpu);
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ __volatile__("isb\n\tmrs %0, cntvct_el0"
			     : "=r"(ticks)
			     :
			     : "memory");
	return ticks;
#endif
}

#endif
