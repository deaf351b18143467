/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings of JSON, repaired. See the header.
 *
 * Bytes that are no UTF-8 become U+FFFD as the Unicode standard recommends it (one for each
 * maximal part of a character), so that what comes out differs from what went in only there.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/collectors/kubernetes/text.h"

enum {
	PLAIN,
	CHARACTER, /* inside of UTF-8 */
	ESCAPE,    /* behind a backslash */
	HEX,       /* 4 digits to come: `need` */
};

static const char replacement[] = "\xef\xbf\xbd";

void tpi_kube_string_begin(struct tpi_kube_string *s)
{
	s->state = PLAIN;
	s->used = s->need = 0;
	s->waits = 0;
}

static void replace(struct tpi_kube_string *s)
{
	s->repaired++;
	s->unit(s->arg, replacement, sizeof(replacement) - 1);
}

/* A first half of a pair was not followed by its second. */
static void give_up_waiting(struct tpi_kube_string *s)
{
	if (s->waits)
		replace(s);
	s->waits = 0;
}

static void put(struct tpi_kube_string *s, const char *unit, size_t length)
{
	give_up_waiting(s);
	s->unit(s->arg, unit, length);
}

/* ---- UTF-8 ---------------------------------------------------------------- */

/* The first byte of a character says how many follow, and bounds the second. */
static bool begin_character(struct tpi_kube_string *s, unsigned char byte)
{
	s->low = 0x80;
	s->high = 0xbf;
	if (byte >= 0xc2 && byte <= 0xdf) {
		s->need = 1;
	} else if (byte >= 0xe0 && byte <= 0xef) {
		s->need = 2;
		if (byte == 0xe0)
			s->low = 0xa0; /* no longer form of a shorter one */
		if (byte == 0xed)
			s->high = 0x9f; /* no surrogates */
	} else if (byte >= 0xf0 && byte <= 0xf4) {
		s->need = 3;
		if (byte == 0xf0)
			s->low = 0x90;
		if (byte == 0xf4)
			s->high = 0x8f; /* U+10FFFF is the last */
	} else {
		return false;
	}
	s->state = CHARACTER;
	s->bytes[0] = (char)byte;
	s->used = 1;
	return true;
}

/* False: the byte belongs to something else, and the character is no more. */
static bool continue_character(struct tpi_kube_string *s, unsigned char byte)
{
	if (byte < s->low || byte > s->high) {
		give_up_waiting(s);
		replace(s);
		s->state = PLAIN;
		return false;
	}
	s->bytes[s->used++] = (char)byte;
	s->low = 0x80;
	s->high = 0xbf;
	if (--s->need == 0) {
		s->state = PLAIN;
		put(s, s->bytes, s->used);
	}
	return true;
}

/* ---- escapes -------------------------------------------------------------- */

static enum tpi_kube_step escape(struct tpi_kube_string *s, unsigned char byte)
{
	char unit[2] = {'\\', (char)byte};

	if (byte == 'u') {
		s->state = HEX;
		s->need = 4;
		s->code = 0;
		return TPI_KUBE_MORE;
	}
	if (!byte || !strchr("\"\\/bfnrt", byte))
		return TPI_KUBE_BAD;
	s->state = PLAIN;
	put(s, unit, sizeof(unit));
	return TPI_KUBE_MORE;
}

static void put_code(struct tpi_kube_string *s, uint16_t code)
{
	char unit[TPI_KUBE_UNIT_BYTES + 1];
	int length = snprintf(unit, sizeof(unit), "\\u%04x", code);

	put(s, unit, (size_t)length);
}

static void put_pair(struct tpi_kube_string *s, uint16_t second)
{
	char unit[TPI_KUBE_UNIT_BYTES + 1];
	int length = snprintf(unit, sizeof(unit), "\\u%04x\\u%04x", s->waits,
			      second);

	s->waits = 0;
	put(s, unit, (size_t)length);
}

static void end_code(struct tpi_kube_string *s)
{
	bool first = s->code >= 0xd800 && s->code <= 0xdbff;
	bool second = s->code >= 0xdc00 && s->code <= 0xdfff;

	s->state = PLAIN;
	if (second && s->waits) {
		put_pair(s, s->code);
		return;
	}
	give_up_waiting(s);
	if (first)
		s->waits = s->code;
	else if (second || !s->code)
		replace(s);
	else
		put_code(s, s->code);
}

static int hex_digit(unsigned char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static enum tpi_kube_step hex(struct tpi_kube_string *s, unsigned char byte)
{
	int digit = hex_digit(byte);

	if (digit < 0)
		return TPI_KUBE_BAD;
	s->code = (uint16_t)(s->code << 4 | digit);
	if (--s->need == 0)
		end_code(s);
	return TPI_KUBE_MORE;
}

/* ---- bytes ---------------------------------------------------------------- */

static enum tpi_kube_step plain(struct tpi_kube_string *s, unsigned char byte)
{
	char unit = (char)byte;

	if (byte < 0x20)
		return TPI_KUBE_BAD;
	if (byte == '\\') {
		s->state = ESCAPE;
		return TPI_KUBE_MORE;
	}
	if (byte == '"') {
		give_up_waiting(s);
		return TPI_KUBE_QUOTE;
	}
	if (byte < 0x80) {
		put(s, &unit, 1);
	} else if (!begin_character(s, byte)) {
		give_up_waiting(s);
		replace(s);
	}
	return TPI_KUBE_MORE;
}

enum tpi_kube_step tpi_kube_string_byte(struct tpi_kube_string *s,
					unsigned char byte)
{
	switch (s->state) {
	case CHARACTER:
		if (continue_character(s, byte))
			return TPI_KUBE_MORE;
		return plain(s, byte);
	case ESCAPE:
		return escape(s, byte);
	case HEX:
		return hex(s, byte);
	default:
		return plain(s, byte);
	}
}

size_t tpi_kube_string_plain(const struct tpi_kube_string *s, const char *bytes,
			     size_t length)
{
	size_t count = 0;

	if (s->state != PLAIN || s->waits)
		return 0;
	while (count < length) {
		unsigned char byte = (unsigned char)bytes[count];

		if (byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\')
			break;
		count++;
	}
	return count;
}
