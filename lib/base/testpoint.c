/* SPDX-License-Identifier: Apache-2.0 */
/* The hook of lib/base/testpoint.h, linked only where TAPIO_TESTPOINTS is
 * set. */
#include "lib/base/testpoint.h"

#ifdef TAPIO_TESTPOINTS
void (*tpi_testpoint_hook)(const char *name);
#endif
