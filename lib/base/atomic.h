/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every atomic access and every barrier of Tapio.
 *
 * This is the only file that spells a memory order. Words in shared memory are
 * plain fixed-width integers (abi.h), so these are the compiler's generic
 * built-ins and not C11's _Atomic types, which a C++ reader of the layout could
 * not share.
 *
 * At each use of an acquire, a release or a fence stands a comment
 *
 *	ORDER <name> (<kind>): the order that it gives. Pairs with <where>.
 *
 * with the same name at both ends. tests/abi/order-names checks that no end is
 * alone. A relaxed access says why it may be one.
 *
 * Acquire and release are no stronger than their names: an acquire load may be done
 * before an earlier release store of the same thread, on ARM too where compilers choose
 * ldapr (RCpc). What needs that order has a full fence or a membarrier between the two.
 */
#ifndef TPI_ATOMIC_H
#define TPI_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#define tpi_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define tpi_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
/*
 * Of a pointer, through which alone what it points to is reached: the hardware orders the
 * two by the address, at no cost. TSan cannot see that.
 */
#ifdef __SANITIZE_THREAD__
#define tpi_load_pointer(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#else
#define tpi_load_pointer(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#endif
#define tpi_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define tpi_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Each returns the value that was there before. */
#define tpi_add_relaxed(p, v)  __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define tpi_add_acq_rel(p, v)  __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define tpi_or_relaxed(p, v)   __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)
#define tpi_or_release(p, v)   __atomic_fetch_or((p), (v), __ATOMIC_RELEASE)
#define tpi_or_acq_rel(p, v)   __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define tpi_and_relaxed(p, v)  __atomic_fetch_and((p), (v), __ATOMIC_RELAXED)
#define tpi_and_acq_rel(p, v)  __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define tpi_swap_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

/*
 * Compare-and-swap, strong. True when *p was *expected and is now desired.
 * Otherwise *expected holds the value that was found.
 */
#define tpi_cas_acq_rel(p, expected, desired)                          \
	__atomic_compare_exchange_n((p), (expected), (desired), false, \
				    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define tpi_cas_relaxed(p, expected, desired)                          \
	__atomic_compare_exchange_n((p), (expected), (desired), false, \
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED)

/* Loads before it are done before loads after it (x86: compiler only). */
static inline void tpi_fence_load_load(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Stores before it are seen before stores after it (x86: compiler only). */
static inline void tpi_fence_store_store(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Everything before it, stores to later loads included. */
static inline void tpi_fence_full(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Orders nothing in the processor: for code that the same CPU runs. */
static inline void tpi_fence_compiler(void)
{
	__asm__ __volatile__("" ::: "memory");
}

/* In a spin loop: lets the sibling hardware thread run. */
static inline void tpi_cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("isb" ::: "memory");
#else
	tpi_fence_compiler();
#endif
}

/*
 * Asks for a line to write to. By hand on x86: compilers spell the read hint
 * unless told that the processor has prefetchw, which those without it ignore.
 */
static inline void tpi_prefetch_write(const void *line)
{
#if defined(__x86_64__)
	__asm__ __volatile__("prefetchw %0"
			     :
			     : "m"(*(const unsigned char *)line));
#else
	__builtin_prefetch(line, 1, 3);
#endif
}

#define tpi_likely(x)   __builtin_expect(!!(x), 1)
#define tpi_unlikely(x) __builtin_expect(!!(x), 0)

#endif
