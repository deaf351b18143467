/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration's text, prepared for libconfuse. */
#ifndef TPI_CONFIG_TEXT_H
#define TPI_CONFIG_TEXT_H

#include <stddef.h>

/* An option at the very end. Found inside a section, it shows that the section
 * was not closed, which libconfuse does not mind. */
#define TPI_CONFIG_END "end_of_configuration"

#define TPI_CONFIG_BYTES_MAX (4u << 20)

/*
 * Reads a file, or takes a text, and returns it prepared, to be freed: comments
 * blanked, which libconfuse counts as two lines each, and TPI_CONFIG_END set at
 * the end. *length without the final NUL. -errno, -EFBIG. -EINVAL for a mistake
 * that libconfuse passes over: `why` has "LINE: " and a message.
 */
int tpi_config_text(char **out, size_t *length, const char *file,
		    const char *text, char *why, size_t why_bytes);

/* -EINVAL when an option stands twice in one block (config_twice.c). */
int tpi_config_twice(const char *text, size_t length, char *why,
		     size_t why_bytes);

#endif
