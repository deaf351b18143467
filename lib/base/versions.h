/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout that this build makes and knows. Tests build a broker and a client of another
 * minor number and with other features, and define these (tests/fault/CMakeLists.txt).
 */
#ifndef TPI_VERSIONS_H
#define TPI_VERSIONS_H

#include <tapio/abi.h>

#ifndef TPI_ABI_MINOR
#define TPI_ABI_MINOR TAPIO_ABI_MINOR
#endif

/* Features of a catalog that this build makes, and the incompatible ones that it knows. */
#ifndef TPI_COMPAT_MADE
#define TPI_COMPAT_MADE UINT64_C(0)
#endif
#ifndef TPI_INCOMPAT_MADE
#define TPI_INCOMPAT_MADE UINT64_C(0)
#endif
#ifndef TPI_INCOMPAT_KNOWN
#define TPI_INCOMPAT_KNOWN TAPIO_INCOMPAT_KNOWN
#endif

/* The end of each message about memory that one side does not know. */
#define TPI_VERSIONS_REMEDY                                            \
	"install the same release of broker, library and tools, or a " \
	"newer one where the numbers are smaller"

#endif
