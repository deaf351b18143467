/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of rules. A word ends where another character could not belong to it, so white
 * space is needed between names and numbers only. A comment begins with # and ends with its line.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/syntax.h"

void tpi_lex_init(struct tpi_lex *lex, struct tpi_arena *arena,
		  const char *text, size_t length)
{
	*lex = (struct tpi_lex){.arena = arena,
				.at = text,
				.end = text + length,
				.line_at = text,
				.line = 1};
}

bool tpi_word_is(const struct tpi_word *word, const char *text)
{
	return (word->kind == TPI_WORD_NAME || word->kind == TPI_WORD_MARK) &&
	       word->length == strlen(text) &&
	       !memcmp(word->at, text, word->length);
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char peek(const struct tpi_lex *lex, size_t ahead)
{
	return (size_t)(lex->end - lex->at) > ahead ? lex->at[ahead] : '\0';
}

/* White space, and comments to the end of their line. */
static void skip_space(struct tpi_lex *lex)
{
	bool comment = false;

	for (; lex->at < lex->end; lex->at++) {
		const char c = *lex->at;

		if (c == '\n') {
			comment = false;
			lex->line++;
			lex->line_at = lex->at + 1;
		} else if (c == '#') {
			comment = true;
		} else if (!comment && c != ' ' && c != '\t' && c != '\r') {
			return;
		}
	}
}

static void bad(struct tpi_word *word, const char *why)
{
	word->kind = TPI_WORD_BAD;
	word->string = why;
}

static void lex_name(struct tpi_lex *lex, struct tpi_word *word)
{
	word->kind = TPI_WORD_NAME;
	while (is_alpha(peek(lex, 0)) || is_digit(peek(lex, 0)) ||
	       (peek(lex, 0) == '.' && is_alpha(peek(lex, 1))))
		lex->at++;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte behind a backslash. -1: none. */
static int unescape(struct tpi_lex *lex)
{
	const char c = peek(lex, 0);
	int high, low;

	switch (c) {
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case 'r':
		return '\r';
	case '0':
		return '\0';
	case '"':
	case '\\':
		return c;
	case 'x':
		high = hex_digit(peek(lex, 1));
		low = high < 0 ? -1 : hex_digit(peek(lex, 2));
		if (low < 0)
			return -1;
		lex->at += 2;
		return high << 4 | low;
	default:
		return -1;
	}
}

static void lex_string(struct tpi_lex *lex, struct tpi_word *word)
{
	const char *end = lex->at + 1;
	size_t n = 0;
	char *out;

	while (end < lex->end && *end != '"' && *end != '\n')
		end += *end == '\\' && end + 1 < lex->end ? 2 : 1;
	out = tpi_arena_get(lex->arena, (size_t)(end - lex->at) + 1);
	if (!out)
		return bad(word, "there is no memory");
	for (lex->at++; lex->at < lex->end && *lex->at != '"'; lex->at++) {
		int c = (unsigned char)*lex->at;

		if (c == '\n')
			break;
		if (c == '\\') {
			lex->at++;
			c = unescape(lex);
			if (c < 0)
				return bad(
					word,
					"a string knows \\\" \\\\ \\n \\t \\r \\0 and "
					"\\xHH only");
		}
		out[n++] = (char)c;
	}
	if (lex->at >= lex->end || *lex->at != '"')
		return bad(word, "the string does not end in its line");
	lex->at++;
	word->kind = TPI_WORD_STRING;
	word->string = out;
	word->string_length = n;
}

static const struct {
	const char *name;
	enum tpi_unit unit;
	uint64_t factor;
} units[] = {
	{"ns", TPI_UNIT_NS, 1},
	{"us", TPI_UNIT_NS, 1000},
	{"ms", TPI_UNIT_NS, 1000000},
	{"s", TPI_UNIT_NS, 1000000000},
	{"m", TPI_UNIT_NS, UINT64_C(60000000000)},
	{"h", TPI_UNIT_NS, UINT64_C(3600000000000)},
	{"d", TPI_UNIT_NS, UINT64_C(86400000000000)},
	{"B", TPI_UNIT_BYTES, 1},
	{"KiB", TPI_UNIT_BYTES, UINT64_C(1) << 10},
	{"MiB", TPI_UNIT_BYTES, UINT64_C(1) << 20},
	{"GiB", TPI_UNIT_BYTES, UINT64_C(1) << 30},
	{"TiB", TPI_UNIT_BYTES, UINT64_C(1) << 40},
	{"kB", TPI_UNIT_BYTES, 1000},
	{"MB", TPI_UNIT_BYTES, 1000000},
	{"GB", TPI_UNIT_BYTES, UINT64_C(1000000000)},
	{"TB", TPI_UNIT_BYTES, UINT64_C(1000000000000)},
	{"k", TPI_UNIT_NONE, 1000},
	{"M", TPI_UNIT_NONE, 1000000},
	{"G", TPI_UNIT_NONE, UINT64_C(1000000000)},
};

static bool lex_unit(struct tpi_lex *lex, struct tpi_word *word,
		     uint64_t *factor)
{
	const char *begin = lex->at;
	size_t length;

	*factor = 1;
	while (is_alpha(peek(lex, 0)) || is_digit(peek(lex, 0)))
		lex->at++;
	length = (size_t)(lex->at - begin);
	if (!length)
		return true;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strlen(units[i].name) != length ||
		    memcmp(units[i].name, begin, length))
			continue;
		word->unit = units[i].unit;
		*factor = units[i].factor;
		return true;
	}
	return false;
}

/* "10.0.0.1" and "10.0.0.0/8": four numbers, and no unit. */
static bool lex_net(struct tpi_lex *lex, struct tpi_word *word)
{
	size_t n = 0, dots = 0, slashes = 0;

	for (; is_digit(peek(lex, n)) || peek(lex, n) == '.' ||
	       peek(lex, n) == '/';
	     n++) {
		dots += peek(lex, n) == '.';
		slashes += peek(lex, n) == '/';
	}
	if (dots != 3 || slashes > 1 || is_alpha(peek(lex, n)))
		return false;
	word->kind = TPI_WORD_NET;
	word->string = tpi_arena_text(lex->arena, lex->at, n);
	word->string_length = n;
	lex->at += n;
	return true;
}

/* Decimal digits. False: they do not fit. */
static bool lex_digits(struct tpi_lex *lex, uint64_t *number)
{
	bool fits = true;

	*number = 0;
	for (; is_digit(peek(lex, 0)); lex->at++)
		fits = fits && !__builtin_mul_overflow(*number, 10, number) &&
		       !__builtin_add_overflow(
			       *number, (uint64_t)(*lex->at - '0'), number);
	return fits;
}

/* A fraction of a unit of whole parts is exact: "1.5s". */
static bool lex_fraction(struct tpi_lex *lex, uint64_t *number, uint64_t *scale)
{
	*number = 0;
	*scale = 1;
	if (peek(lex, 0) != '.' || !is_digit(peek(lex, 1)))
		return true;
	for (lex->at++; is_digit(peek(lex, 0)); lex->at++) {
		if (*scale >= UINT64_C(1000000000000))
			return false;
		*number = *number * 10 + (uint64_t)(*lex->at - '0');
		*scale *= 10;
	}
	return true;
}

static void lex_number(struct tpi_lex *lex, struct tpi_word *word)
{
	uint64_t whole, part, scale, factor;
	const char *begin;

	word->kind = TPI_WORD_NUMBER;
	word->negative = peek(lex, 0) == '-';
	lex->at += word->negative;
	if (!word->negative && lex_net(lex, word))
		return;
	begin = lex->at;
	if (!lex_digits(lex, &whole) || !lex_fraction(lex, &part, &scale))
		return bad(word, "the number has too many digits");
	/* No locale is set: a full stop is the point. */
	word->real = strtod(
		tpi_arena_text(lex->arena, begin, (size_t)(lex->at - begin))
			?: "0",
		NULL);
	if (!lex_unit(lex, word, &factor))
		return bad(
			word,
			"it is no number with a unit; units are ns us ms s m h d, "
			"B KiB MiB GiB TiB kB MB GB TB, k M G");
	word->real *= (double)factor;
	if (word->negative)
		word->real = -word->real;
	word->exact = !__builtin_mul_overflow(whole, factor, &whole);
	if (part) {
		unsigned __int128 product = (unsigned __int128)part * factor;

		word->exact =
			word->exact && product % scale == 0 &&
			!__builtin_add_overflow(
				whole, (uint64_t)(product / scale), &whole);
	}
	word->number = whole;
	if (!word->exact && (word->unit != TPI_UNIT_NONE || !part))
		bad(word, "the number is too large, or too fine for its unit");
}

static void lex_mark(struct tpi_lex *lex, struct tpi_word *word)
{
	static const char *const marks[] = {"==", "!=", "<=", ">=", "<",
					    ">",  "{",  "}",  "(",  ")",
					    "[",  "]",  ",",  ":",  ";"};

	word->kind = TPI_WORD_MARK;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		size_t length = strlen(marks[i]);

		if ((size_t)(lex->end - lex->at) < length ||
		    memcmp(lex->at, marks[i], length))
			continue;
		lex->at += length;
		return;
	}
	lex->at++;
	/* All bytes of a character of UTF-8. */
	while ((peek(lex, 0) & 0xc0) == 0x80)
		lex->at++;
	bad(word, "no word begins with this character");
}

void tpi_lex_next(struct tpi_lex *lex, struct tpi_word *word)
{
	skip_space(lex);
	*word = (struct tpi_word){
		.at = lex->at,
		.line = lex->line,
		.column = (unsigned int)(lex->at - lex->line_at) + 1,
	};
	if (lex->at >= lex->end) {
		word->kind = TPI_WORD_END;
		return;
	}
	if (is_alpha(*lex->at))
		lex_name(lex, word);
	else if (is_digit(*lex->at) ||
		 (*lex->at == '-' && is_digit(peek(lex, 1))))
		lex_number(lex, word);
	else if (*lex->at == '"')
		lex_string(lex, word);
	else
		lex_mark(lex, word);
	word->length = (size_t)(lex->at - word->at);
}
