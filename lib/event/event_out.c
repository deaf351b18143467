/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of events: numbers, times and strings. A locale could change the
 * decimal point. That is put right here, so output never depends on it.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/atomic.h"
#include "lib/event/event_out.h"

#define REPLACEMENT 0xfffdu

void tpi_out_init(struct tpi_out *out, char *buffer, size_t size)
{
	out->buffer = buffer;
	out->size = buffer ? size : 0;
	out->length = 0;
}

int tpi_out_finish(struct tpi_out *out)
{
	if (out->size) {
		const size_t end =
			out->length < out->size ? out->length : out->size - 1;
		out->buffer[end] = '\0';
	}
	return out->length > INT_MAX ? INT_MAX : (int)out->length;
}

void tpi_out_char(struct tpi_out *out, char c)
{
	if (out->length < out->size)
		out->buffer[out->length] = c;
	out->length++;
}

static void out_bytes(struct tpi_out *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		tpi_out_char(out, text[i]);
}

void tpi_out_text(struct tpi_out *out, const char *text)
{
	out_bytes(out, text, strlen(text));
}

/* At least `width` digits. */
static void out_digits(struct tpi_out *out, uint64_t number, int width)
{
	char digits[20];
	int n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number || n < width);
	while (n)
		tpi_out_char(out, digits[--n]);
}

void tpi_out_unsigned(struct tpi_out *out, uint64_t number)
{
	out_digits(out, number, 1);
}

void tpi_out_signed(struct tpi_out *out, int64_t number)
{
	if (number < 0)
		tpi_out_char(out, '-');
	out_digits(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number,
		   1);
}

void tpi_out_decimal(struct tpi_out *out, const char *text)
{
	bool point = false;

	for (const char *p = text; *p; p++) {
		if (strchr("0123456789+-e", *p)) {
			tpi_out_char(out, *p);
			continue;
		}
		/* The locale's decimal point may have several bytes. */
		if (!point)
			tpi_out_char(out, '.');
		point = true;
	}
}

void tpi_out_double(struct tpi_out *out, double number)
{
	char text[64];

	for (int precision = 15; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*g", precision, number);
		if (strtod(text, NULL) == number)
			break;
	}
	tpi_out_decimal(out, text);
}

void tpi_out_hex(struct tpi_out *out, const void *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = bytes;

	for (size_t i = 0; i < length; i++) {
		const unsigned char c = tpi_load_relaxed(&p[i]);

		tpi_out_char(out, digits[c >> 4]);
		tpi_out_char(out, digits[c & 15]);
	}
}

/*
 * Days since 1970 to a date of the Gregorian calendar, counting in years that
 * begin in March, so that the leap day is the last of its year, and in eras of
 * 400 years, which all have 146,097 days. (No gmtime: it may take a lock.)
 */
static void out_date(struct tpi_out *out, uint64_t days)
{
	const uint64_t shifted = days + 719468; /* since 0000-03-01 */
	const uint64_t era = shifted / 146097;
	const uint64_t doe = shifted % 146097; /* day of the era */
	const uint64_t yoe =
		(doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	const uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	const uint64_t mp = (5 * doy + 2) / 153; /* 0: March */
	const uint64_t month = mp < 10 ? mp + 3 : mp - 9;
	const uint64_t year = era * 400 + yoe + (month <= 2);

	out_digits(out, year, 4);
	tpi_out_char(out, '-');
	out_digits(out, month, 2);
	tpi_out_char(out, '-');
	out_digits(out, doy - (153 * mp + 2) / 5 + 1, 2);
}

void tpi_out_time(struct tpi_out *out, uint64_t ns)
{
	const uint64_t seconds = ns / 1000000000u;
	const uint64_t of_day = seconds % 86400;

	out_date(out, seconds / 86400);
	tpi_out_char(out, 'T');
	out_digits(out, of_day / 3600, 2);
	tpi_out_char(out, ':');
	out_digits(out, of_day / 60 % 60, 2);
	tpi_out_char(out, ':');
	out_digits(out, of_day % 60, 2);
	tpi_out_char(out, '.');
	out_digits(out, ns % 1000000000u, 9);
	tpi_out_char(out, 'Z');
}

/*
 * Length of a character by its first byte, and the bits of it that count. 0: not
 * a first byte. 0xc0, 0xc1 and what is above 0xf4 begin nothing.
 */
static size_t utf8_length(unsigned char c, uint32_t *bits)
{
	if (c < 0x80) {
		*bits = c;
		return 1;
	}
	if (c >= 0xc2 && c <= 0xdf) {
		*bits = c & 0x1fu;
		return 2;
	}
	if (c >= 0xe0 && c <= 0xef) {
		*bits = c & 0x0fu;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		*bits = c & 0x07u;
		return 4;
	}
	return 0;
}

/* The second byte's range is narrower after some first bytes. */
static bool utf8_second_ok(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0: /* overlong */
		return second >= 0xa0;
	case 0xed: /* surrogates */
		return second <= 0x9f;
	case 0xf0: /* overlong */
		return second >= 0x90;
	case 0xf4: /* above U+10FFFF */
		return second <= 0x8f;
	default:
		return true;
	}
}

size_t tpi_utf8_decode(const unsigned char *s, size_t length, uint32_t *c)
{
	/* Relaxed: the byte is only printed, so it needs no order. */
	const unsigned char first = tpi_load_relaxed(&s[0]);
	uint32_t bits = 0;
	size_t n = utf8_length(first, &bits);

	*c = REPLACEMENT;
	if (!n)
		return 1;
	for (size_t i = 1; i < n; i++) {
		unsigned char next;

		if (i == length)
			return i;
		next = tpi_load_relaxed(&s[i]);
		if ((next & 0xc0) != 0x80 ||
		    (i == 1 && !utf8_second_ok(first, next)))
			return i;
		bits = bits << 6 | (next & 0x3fu);
	}
	*c = bits;
	return n;
}

static void out_utf8(struct tpi_out *out, uint32_t c)
{
	if (c < 0x80) {
		tpi_out_char(out, (char)c);
		return;
	}
	if (c < 0x800) {
		tpi_out_char(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			tpi_out_char(out, (char)(0xe0 | c >> 12));
		} else {
			tpi_out_char(out, (char)(0xf0 | c >> 18));
			tpi_out_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		tpi_out_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	tpi_out_char(out, (char)(0x80 | (c & 0x3f)));
}

/* Backslash and four hexadecimal digits. c < 0x10000. */
static void out_escape(struct tpi_out *out, uint32_t c)
{
	const unsigned char bytes[2] = {(unsigned char)(c >> 8),
					(unsigned char)c};

	tpi_out_text(out, "\\u");
	tpi_out_hex(out, bytes, sizeof(bytes));
}

/* The characters that JSON has a short escape for, and its letters. */
static const char short_from[] = "\"\\\b\f\n\r\t";
static const char short_to[] = "\"\\bfnrt";

static const char *find_short(uint32_t c)
{
	return c && c < 0x80 ? strchr(short_from, (int)c) : NULL;
}

/* Characters that have no shape but an effect on a terminal or its reader. */
static bool is_invisible(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || /* controls */
	       c == 0x61c ||                           /* of direction */
	       (c >= 0x200b && c <= 0x200f) ||         /* no width, direction */
	       (c >= 0x2028 && c <= 0x202e) || /* line ends, direction */
	       (c >= 0x2060 && c <= 0x206f) || /* no width, direction */
	       c == 0xfeff;                    /* byte order mark */
}

bool tpi_out_needs_escape(uint32_t c)
{
	return is_invisible(c) || find_short(c);
}

void tpi_out_escaped(struct tpi_out *out, const void *s, size_t length)
{
	const unsigned char *p = s;
	const char *letter;
	uint32_t c;

	for (size_t i = 0; i < length;) {
		i += tpi_utf8_decode(&p[i], length - i, &c);
		letter = find_short(c);
		if (letter) {
			tpi_out_char(out, '\\');
			tpi_out_char(out, short_to[letter - short_from]);
		} else if (is_invisible(c)) {
			out_escape(out, c);
		} else {
			out_utf8(out, c);
		}
	}
}

void tpi_out_quoted(struct tpi_out *out, const void *s, size_t length)
{
	tpi_out_char(out, '"');
	tpi_out_escaped(out, s, length);
	tpi_out_char(out, '"');
}
