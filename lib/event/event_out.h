/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing text into a buffer of fixed size, as snprintf does: text that does
 * not fit is counted and thrown away. Used by the renderers of events.
 *
 * Strings come from memory that a peer may be writing. They are loaded byte by
 * byte, once per decision, so that the output is valid whatever happens to them.
 */
#ifndef TPI_EVENT_OUT_H
#define TPI_EVENT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tpi_out {
	char *buffer;
	size_t size;
	size_t length; /* of the whole text, may exceed size */
};

void tpi_out_init(struct tpi_out *out, char *buffer, size_t size);
/* Ends the text with NUL if there is a byte for it. Returns its whole length. */
int tpi_out_finish(struct tpi_out *out);

void tpi_out_char(struct tpi_out *out, char c);
void tpi_out_text(struct tpi_out *out, const char *text);
void tpi_out_unsigned(struct tpi_out *out, uint64_t number);
void tpi_out_signed(struct tpi_out *out, int64_t number);
/* The shortest decimal that reads back as the same double. Must be finite. */
void tpi_out_double(struct tpi_out *out, double number);
/* A finite number as printf wrote it, with a full stop as decimal point. */
void tpi_out_decimal(struct tpi_out *out, const char *text);
void tpi_out_hex(struct tpi_out *out, const void *bytes, size_t length);
/* Nanoseconds since 1970 as 2001-02-03T04:05:06.000000007Z. */
void tpi_out_time(struct tpi_out *out, uint64_t ns);

/*
 * A string in UTF-8, with the escapes of JSON. Bytes that are not UTF-8 become
 * U+FFFD. Characters without a shape that could steer a terminal or turn the
 * direction of text are escaped too. The second puts it between double quotes.
 */
void tpi_out_escaped(struct tpi_out *out, const void *s, size_t length);
void tpi_out_quoted(struct tpi_out *out, const void *s, size_t length);

/* Whether a character would be escaped. */
bool tpi_out_needs_escape(uint32_t c);

/*
 * Decodes one character of UTF-8. Returns the number of bytes it took, and
 * U+FFFD for invalid bytes. `length` is not 0.
 */
size_t tpi_utf8_decode(const unsigned char *s, size_t length, uint32_t *c);

#endif
