/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of text that is taken apart from its front: lines, words, numbers.
 * Never reads outside [at, end), needs no final NUL, allocates nothing.
 */
#ifndef TPI_PROC_TEXT_H
#define TPI_PROC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tpi_text {
	const char *at;
	const char *end;
};

static inline struct tpi_text tpi_text(const char *string, size_t length)
{
	return (struct tpi_text){string, string + length};
}

static inline size_t tpi_text_length(struct tpi_text text)
{
	return (size_t)(text.end - text.at);
}

/* The next line without its newline. False: there is none. */
bool tpi_text_line(struct tpi_text *text, struct tpi_text *line);

/* The next line that has its newline: one that was cut off is not taken. */
bool tpi_text_whole_line(struct tpi_text *text, struct tpi_text *line);

/* The next run of anything but spaces and tabs. False: there is none. */
bool tpi_text_word(struct tpi_text *text, struct tpi_text *word);

bool tpi_text_is(struct tpi_text text, const char *string);

/* Takes `prefix` off the front. False: it does not begin so. */
bool tpi_text_skip(struct tpi_text *text, const char *prefix);

/* The whole text as a decimal number. False: it is none, or does not fit. */
bool tpi_text_u64(struct tpi_text text, uint64_t *value);
bool tpi_text_i64(struct tpi_text text, int64_t *value);

/* "12.34", with any number of digits behind the point, at most 9 counted. */
bool tpi_text_fraction(struct tpi_text text, double *value);

/* The next word as a number. */
bool tpi_text_next_u64(struct tpi_text *text, uint64_t *value);
bool tpi_text_next_i64(struct tpi_text *text, int64_t *value);

/* Copies it, cut to size - 1, with a NUL. The length copied. */
size_t tpi_text_copy(struct tpi_text text, char *buffer, size_t size);

#endif
