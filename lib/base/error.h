/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in the detail string of an error that is being returned. */
#ifndef TPI_ERROR_H
#define TPI_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

__attribute__((format(printf, 4, 5))) static inline int
tpi_fail_into(int err, char *error, size_t error_bytes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, error_bytes, format, args);
	va_end(args);
	return err;
}

/*
 * Writes the reason (if there is room for one) and returns `err`. Without room the words
 * are not evaluated, so a signal handler may come by (strerror() is none of its functions).
 */
#define tpi_fail(err, error, error_bytes, ...)                              \
	(__extension__({                                                    \
		const int tpi_err = (err);                                  \
		char *const tpi_error = (error);                            \
		const size_t tpi_room = (error_bytes);                      \
                                                                            \
		tpi_error &&tpi_room ? tpi_fail_into(tpi_err, tpi_error,    \
						     tpi_room, __VA_ARGS__) \
				     : tpi_err;                             \
	}))

/* The end of a word that is counted: "%u lane%s", n, TPI_PLURAL(n). */
#define TPI_PLURAL(n) ((n) == 1 ? "" : "s")

#endif
