/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compare-and-swap of two adjacent 64-bit words.
 *
 * Inline assembly and not __atomic_compare_exchange_16: the compiler may turn
 * that into a call of libatomic, which falls back to a lock that lives in one
 * process, and that neither excludes another process nor survives a kill.
 *
 * x86-64: lock cmpxchg16b (in every 64-bit processor since 2006, no compiler
 * flag is needed here). aarch64: casp where the compiler may assume it, else an
 * exclusive pair, which exists everywhere.
 */
#ifndef TPI_ATOMIC128_H
#define TPI_ATOMIC128_H

#include "lib/base/atomic.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define tpi_tsan_release(p) __tsan_release((void *)(p))
#define tpi_tsan_acquire(p) __tsan_acquire((void *)(p))
#else
#define tpi_tsan_release(p) ((void)(p))
#define tpi_tsan_acquire(p) ((void)(p))
#endif

struct tpi_pair {
	uint64_t low;
	uint64_t high;
} __attribute__((aligned(16)));

#if defined(__x86_64__)

static inline bool tpi_cas128_asm(struct tpi_pair *p, struct tpi_pair was,
				  struct tpi_pair is)
{
	bool done;

	__asm__ __volatile__("lock cmpxchg16b %[p]"
			     : "=@ccz"(done), [p] "+m"(*p), "+a"(was.low),
			       "+d"(was.high)
			     : "b"(is.low), "c"(is.high)
			     : "memory");
	return done;
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_ATOMICS)

static inline bool tpi_cas128_asm(struct tpi_pair *p, struct tpi_pair was,
				  struct tpi_pair is)
{
	/* casp wants each pair in an even register and the one after it. */
	register uint64_t low __asm__("x0") = was.low;
	register uint64_t high __asm__("x1") = was.high;
	register uint64_t new_low __asm__("x2") = is.low;
	register uint64_t new_high __asm__("x3") = is.high;

	__asm__ __volatile__("caspal %[l], %[h], %[nl], %[nh], %[p]"
			     : [l] "+r"(low), [h] "+r"(high), [p] "+Q"(*p)
			     : [nl] "r"(new_low), [nh] "r"(new_high)
			     : "memory");
	return low == was.low && high == was.high;
}

#elif defined(__aarch64__)

static inline bool tpi_cas128_asm(struct tpi_pair *p, struct tpi_pair was,
				  struct tpi_pair is)
{
	uint64_t low, high;
	uint32_t failed; /* 1 while it has not been done */

	/* One block: a spill between the two halves could lose every time. */
	__asm__ __volatile__("1:	ldaxp %[l], %[h], %[p]\n"
			     "	mov %w[f], #1\n"
			     "	cmp %[l], %[wl]\n"
			     "	ccmp %[h], %[wh], #0, eq\n"
			     "	b.ne 2f\n"
			     "	stlxp %w[f], %[nl], %[nh], %[p]\n"
			     "	cbnz %w[f], 1b\n"
			     "2:	clrex\n"
			     : [l] "=&r"(low), [h] "=&r"(high),
			       [f] "=&r"(failed), [p] "+Q"(*p)
			     : [wl] "r"(was.low), [wh] "r"(was.high),
			       [nl] "r"(is.low), [nh] "r"(is.high)
			     : "memory", "cc");
	return !failed;
}

#else
#error "no 128-bit compare-and-swap is known for this processor"
#endif

/*
 * True when *p was `was` and is now `is`. Strong, acquire and release. The
 * thread sanitizer cannot see into assembly and is told.
 */
static inline bool tpi_cas128_acq_rel(struct tpi_pair *p, struct tpi_pair was,
				      struct tpi_pair is)
{
	bool done;

	/* Of the second word, which others load by itself. */
	tpi_tsan_release(&p->high);
	done = tpi_cas128_asm(p, was, is);
	if (done)
		tpi_tsan_acquire(&p->high);
	return done;
}

/*
 * Between a successful compare-and-swap and a later load: the swap is seen
 * before the load is done. x86's locked instruction is that barrier already.
 */
static inline void tpi_fence_after_cas(void)
{
#if defined(__x86_64__)
	tpi_fence_compiler();
#else
	tpi_fence_full();
#endif
}

#endif
