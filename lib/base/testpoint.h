/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Testpoints: a named hook after each side effect that another thread or
 * process can observe, so that a fault test can kill, stop or delay exactly
 * there.
 *
 * Without TAPIO_TESTPOINTS they compile to nothing. With it, each calls
 * tpi_testpoint_hook when a test has set one. Names are "unit.operation.step",
 * as in the proof at the head of the unit's file. None may stand inside an rseq
 * critical section: a call there would abort it every time.
 */
#ifndef TPI_TESTPOINT_H
#define TPI_TESTPOINT_H

#ifdef TAPIO_TESTPOINTS

#include "lib/base/atomic.h"

/*
 * Set by a test before it starts its threads, or by one thread for all: the
 * hook itself decides for whom it acts. Called from whatever context the
 * operation runs in, signal handlers included.
 */
extern void (*tpi_testpoint_hook)(const char *name);

/* Relaxed: a hook is set while no thread is inside the code under test. */
#define TPI_TESTPOINT(name)                                    \
	do {                                                   \
		void (*tpi_hook_)(const char *) =              \
			tpi_load_relaxed(&tpi_testpoint_hook); \
		if (tpi_hook_)                                 \
			tpi_hook_(name);                       \
	} while (0)

#else

#define TPI_TESTPOINT(name) \
	do {                \
	} while (0)

#endif

#endif
