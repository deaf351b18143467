/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Testpoints: a named hook after each side effect that another thread or
 * process can observe, so that a fault test can kill, stop or delay exactly
 * there.
 *
 * Without TAPIO_TESTPOINTS they compile to nothing. With it, each calls the hook when a
 * test has set one. Names are "unit.operation.step", as in the proof at the head of the
 * unit's file. None may stand inside an rseq critical section: a call there would abort
 * it every time.
 */
#ifndef TPI_TESTPOINT_H
#define TPI_TESTPOINT_H

#ifdef TAPIO_TESTPOINTS

#include "lib/base/atomic.h"

/*
 * The hook decides for whom it acts: the broker's thread passes testpoints, too. It is
 * called from whatever context the operation runs in, signal handlers included.
 */
extern void (*tpi_testpoint_hook)(const char *name);

/* NULL: none. A thread that is at a testpoint just then may still call the last one. */
static inline void tpi_testpoint_set(void (*hook)(const char *name))
{
	/*
	 * ORDER testpoint.hook (release): what the test has prepared for its hook is
	 * stored before. Pairs with the acquire in TPI_TESTPOINT.
	 */
	tpi_store_release(&tpi_testpoint_hook, hook);
}

/* ORDER testpoint.hook (acquire): see tpi_testpoint_set(). */
#define TPI_TESTPOINT(name)                                    \
	do {                                                   \
		void (*tpi_hook_)(const char *) =              \
			tpi_load_acquire(&tpi_testpoint_hook); \
		if (tpi_hook_)                                 \
			tpi_hook_(name);                       \
	} while (0)

#else

#define TPI_TESTPOINT(name) \
	do {                \
	} while (0)

#endif

#endif
