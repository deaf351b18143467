/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in the detail string of an error that is being returned. */
#ifndef TPI_ERROR_H
#define TPI_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* Writes the reason (if there is room for one) and returns `err`. */
__attribute__((format(printf, 4, 5))) static inline int
tpi_fail(int err, char *error, size_t error_bytes, const char *format, ...)
{
	va_list args;

	if (error && error_bytes) {
		va_start(args, format);
		vsnprintf(error, error_bytes, format, args);
		va_end(args);
	}
	return err;
}

/* The end of a word that is counted: "%u lane%s", n, TPI_PLURAL(n). */
#define TPI_PLURAL(n) ((n) == 1 ? "" : "s")

#endif
