/* SPDX-License-Identifier: Apache-2.0 */
/* Names that were meant, for messages about those that there are not. Any thread may ask. */
#ifndef TPI_TOOLS_NEAREST_H
#define TPI_TOOLS_NEAREST_H

#include <stddef.h>

/* The name of `names` that is nearest to `name`, if it is near. NULL: none is. */
const char *tpi_nearest(const char *name, const char *const *names,
			size_t count);

#endif
