/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking text apart. Called by the parsers of /proc files. See the header.
 */
#include <string.h>

#include "tools/collectors/proc_text.h"

bool tpi_text_line(struct tpi_text *text, struct tpi_text *line)
{
	if (text->at == text->end)
		return false;
	const char *newline = memchr(text->at, '\n', tpi_text_length(*text));

	*line = (struct tpi_text){text->at, newline ? newline : text->end};
	text->at = newline ? newline + 1 : text->end;
	return true;
}

bool tpi_text_whole_line(struct tpi_text *text, struct tpi_text *line)
{
	if (text->at == text->end ||
	    !memchr(text->at, '\n', tpi_text_length(*text)))
		return false;
	return tpi_text_line(text, line);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

bool tpi_text_word(struct tpi_text *text, struct tpi_text *word)
{
	const char *at = text->at;

	while (at < text->end && is_space(*at))
		at++;
	word->at = at;
	while (at < text->end && !is_space(*at))
		at++;
	word->end = at;
	text->at = at;
	return word->at < word->end;
}

bool tpi_text_is(struct tpi_text text, const char *string)
{
	return tpi_text_skip(&text, string) && text.at == text.end;
}

bool tpi_text_skip(struct tpi_text *text, const char *prefix)
{
	size_t length = strlen(prefix);

	if (length > tpi_text_length(*text) ||
	    memcmp(text->at, prefix, length) != 0)
		return false;
	text->at += length;
	return true;
}

bool tpi_text_u64(struct tpi_text text, uint64_t *value)
{
	uint64_t sum = 0;

	if (text.at == text.end)
		return false;
	for (; text.at < text.end; text.at++) {
		if (*text.at < '0' || *text.at > '9')
			return false;
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, *text.at - '0', &sum))
			return false;
	}
	*value = sum;
	return true;
}

bool tpi_text_i64(struct tpi_text text, int64_t *value)
{
	bool negative = tpi_text_skip(&text, "-");
	uint64_t size;

	if (!tpi_text_u64(text, &size) || size > (uint64_t)INT64_MAX)
		return false;
	*value = negative ? -(int64_t)size : (int64_t)size;
	return true;
}

bool tpi_text_fraction(struct tpi_text text, double *value)
{
	const char *point = memchr(text.at, '.', tpi_text_length(text));
	struct tpi_text whole = {text.at, point ? point : text.end};
	struct tpi_text rest = {point ? point + 1 : text.end, text.end};
	uint64_t units, parts = 0;
	double scale = 1;

	if (!tpi_text_u64(whole, &units))
		return false;
	if (tpi_text_length(rest) > 9)
		rest.end = rest.at + 9;
	if (point && !tpi_text_u64(rest, &parts))
		return false;
	for (size_t i = 0; i < tpi_text_length(rest); i++)
		scale *= 10;
	/* One division of two exact numbers: 12.34 reads as printed. */
	*value = ((double)units * scale + (double)parts) / scale;
	return true;
}

bool tpi_text_next_u64(struct tpi_text *text, uint64_t *value)
{
	struct tpi_text word;

	return tpi_text_word(text, &word) && tpi_text_u64(word, value);
}

bool tpi_text_next_i64(struct tpi_text *text, int64_t *value)
{
	struct tpi_text word;

	return tpi_text_word(text, &word) && tpi_text_i64(word, value);
}

size_t tpi_text_copy(struct tpi_text text, char *buffer, size_t size)
{
	size_t length = tpi_text_length(text);

	if (length > size - 1)
		length = size - 1;
	memcpy(buffer, text.at, length);
	buffer[length] = '\0';
	return length;
}
