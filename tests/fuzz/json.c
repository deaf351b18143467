/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader of JSON (RFC 8259) and of UTF-8 that keeps nothing: it only says
 * yes or no. Written apart from the code that it judges.
 */
#include <string.h>

#include "fuzz.h"

struct reader {
	const unsigned char *p;
	const unsigned char *end;
};

/* One character at r->p. False if it is none, or a control. */
static bool character(struct reader *r)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint32_t c = *r->p++;
	int more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;

	if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc0) || c >= 0xf8)
		return false;
	if (more)
		c &= 0x3fu >> more;
	if (more > r->end - r->p)
		return false;
	for (int i = 0; i < more; i++, r->p++) {
		if (*r->p >> 6 != 2)
			return false;
		c = c << 6 | (*r->p & 0x3f);
	}
	return c >= least[more] && c <= 0x10ffff && c >> 11 != 0x1b;
}

bool fuzz_text_valid(const char *text, size_t length)
{
	struct reader r = {(const unsigned char *)text,
			   (const unsigned char *)text + length};

	while (r.p < r.end)
		if (!character(&r))
			return false;
	return true;
}

static bool take(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != (unsigned char)c)
		return false;
	r->p++;
	return true;
}

static bool word(struct reader *r, const char *text)
{
	while (*text)
		if (!take(r, *text++))
			return false;
	return true;
}

static bool escape(struct reader *r)
{
	if (r->p == r->end)
		return false;
	if (strchr("\"\\/bfnrt", *r->p) && *r->p) {
		r->p++;
		return true;
	}
	if (!take(r, 'u'))
		return false;
	for (int i = 0; i < 4; i++, r->p++)
		if (r->p == r->end || !*r->p ||
		    !strchr("0123456789abcdefABCDEF", *r->p))
			return false;
	return true;
}

static bool string(struct reader *r)
{
	if (!take(r, '"'))
		return false;
	while (!take(r, '"')) {
		if (r->p == r->end)
			return false;
		if (take(r, '\\') ? !escape(r) : !character(r))
			return false;
	}
	return true;
}

static size_t digits(struct reader *r)
{
	const unsigned char *start = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return (size_t)(r->p - start);
}

static bool number(struct reader *r)
{
	take(r, '-');
	if (!take(r, '0') && !digits(r))
		return false;
	if (take(r, '.') && !digits(r))
		return false;
	if (take(r, 'e') || take(r, 'E')) {
		if (!take(r, '+'))
			take(r, '-');
		return digits(r) != 0;
	}
	return true;
}

static bool value(struct reader *r, int depth);

static bool members(struct reader *r, char close, bool named, int depth)
{
	if (take(r, close))
		return true;
	do {
		if (named && !(string(r) && take(r, ':')))
			return false;
		if (!value(r, depth))
			return false;
	} while (take(r, ','));
	return take(r, close);
}

/* White space is not read: the formats write none. */
static bool value(struct reader *r, int depth)
{
	if (r->p == r->end || !depth)
		return false;
	switch (*r->p) {
	case '{':
		r->p++;
		return members(r, '}', true, depth - 1);
	case '[':
		r->p++;
		return members(r, ']', false, depth - 1);
	case '"':
		return string(r);
	case 't':
		return word(r, "true");
	case 'f':
		return word(r, "false");
	case 'n':
		return word(r, "null");
	default:
		return number(r);
	}
}

bool fuzz_json_valid(const char *text, size_t length)
{
	struct reader r = {(const unsigned char *)text,
			   (const unsigned char *)text + length};

	return value(&r, 16) && r.p == r.end;
}
