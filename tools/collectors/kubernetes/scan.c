/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading half of the scan: a machine that takes one byte at a time, so that it does not
 * matter where a stream is cut. See scan.h. scan_keep.c decides what is written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/kubernetes/scan_inner.h"

enum state {
	BEFORE,      /* a document */
	VALUE,       /* one must come */
	FIRST_VALUE, /* or the end of the array */
	FIRST_KEY,   /* or the end of the object */
	KEY,
	COLON,
	AFTER, /* a value: a comma, or the end of what it is in */
	STRING,
	LITERAL,
	BROKEN,
};

static int broken(struct tpi_kube_scan *scan, const char *reason)
{
	scan->state = BROKEN;
	scan->reason = reason;
	return -EBADMSG;
}

int tpi_kube_scan_open(struct tpi_kube_scan **out,
		       const struct tpi_kube_scan_options *options)
{
	struct tpi_kube_scan *scan = calloc(1, sizeof(*scan));
	size_t text = options->text_bytes, full = options->full_bytes;

	*out = NULL;
	if (!scan)
		return -ENOMEM;
	if (text < TPI_KUBE_TEXT_MIN)
		text = TPI_KUBE_TEXT_MIN;
	if (full && full < TPI_KUBE_TEXT_MIN)
		full = TPI_KUBE_TEXT_MIN;
	scan->options = *options;
	scan->memory = malloc(2 * text + full);
	if (!scan->memory) {
		free(scan);
		return -ENOMEM;
	}
	size_t ends = TPI_KUBE_DEPTH_MAX + LITERAL_BYTES + 8;
	scan->whole = (struct out){.text = scan->memory, .soft = text - ends};
	scan->item =
		(struct out){.text = scan->memory + text, .soft = text - ends};
	if (full)
		scan->full = (struct out){.text = scan->memory + 2 * text,
					  .soft = full - ends};
	scan->string.unit = tpi_kube_keep_unit;
	scan->string.arg = scan;
	tpi_kube_scan_reset(scan);
	*out = scan;
	return 0;
}

void tpi_kube_scan_close(struct tpi_kube_scan *scan)
{
	if (!scan)
		return;
	free(scan->memory);
	free(scan);
}

void tpi_kube_scan_reset(struct tpi_kube_scan *scan)
{
	scan->state = BEFORE;
	scan->offset = 0;
	scan->reason = "it is JSON";
	tpi_kube_keep_reset(scan);
}

bool tpi_kube_scan_inside(const struct tpi_kube_scan *scan)
{
	return scan->state != BEFORE;
}

uint64_t tpi_kube_scan_offset(const struct tpi_kube_scan *scan)
{
	return scan->offset;
}

const char *tpi_kube_scan_reason(const struct tpi_kube_scan *scan)
{
	return scan->reason;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ---- literals ------------------------------------------------------------- */

static bool is_literal_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' ||
	       c == '+' || c == '.' || c == 'E';
}

static const char *digits(const char *at)
{
	while (*at >= '0' && *at <= '9')
		at++;
	return at;
}

static bool is_number(const char *at)
{
	const char *begin;

	if (*at == '-')
		at++;
	begin = at;
	at = digits(at);
	if (at == begin || (*begin == '0' && at - begin > 1))
		return false;
	if (*at == '.') {
		begin = ++at;
		at = digits(at);
		if (at == begin)
			return false;
	}
	if (*at == 'e' || *at == 'E') {
		at++;
		if (*at == '+' || *at == '-')
			at++;
		begin = at;
		at = digits(at);
		if (at == begin)
			return false;
	}
	return !*at;
}

static int end_literal(struct tpi_kube_scan *scan)
{
	const char *text = scan->literal;

	if (scan->literal_used > LITERAL_BYTES)
		return broken(scan, "a number has too many digits");
	scan->literal[scan->literal_used] = '\0';
	if (strcmp(text, "true") && strcmp(text, "false") &&
	    strcmp(text, "null") && !is_number(text))
		return broken(scan, "a word that is no value");
	tpi_kube_keep_literal(scan);
	scan->state = AFTER;
	return 0;
}

static void literal_byte(struct tpi_kube_scan *scan, char c)
{
	if (scan->literal_used < LITERAL_BYTES)
		scan->literal[scan->literal_used] = c;
	if (scan->literal_used <= LITERAL_BYTES)
		scan->literal_used++;
}

/* ---- structure ------------------------------------------------------------ */

static int open_bracket(struct tpi_kube_scan *scan, char c)
{
	if (scan->depth == TPI_KUBE_DEPTH_MAX)
		return broken(scan, "it is nested too deep");
	scan->state = c == '{' ? FIRST_KEY : FIRST_VALUE;
	return tpi_kube_keep_open(scan, c);
}

static int close_bracket(struct tpi_kube_scan *scan, char c)
{
	char open = scan->levels[scan->depth - 1].open;

	if ((c == '}') != (open == '{'))
		return broken(scan, "brackets do not match");
	int err = tpi_kube_keep_close(scan);
	scan->state = scan->depth ? AFTER : BEFORE;
	if (err)
		broken(scan, "its reader gave up");
	return err;
}

static void begin_string(struct tpi_kube_scan *scan, bool key)
{
	scan->in_key = key;
	scan->state = STRING;
	tpi_kube_string_begin(&scan->string);
	if (key)
		tpi_kube_keep_key(scan);
	else
		tpi_kube_keep_string(scan);
}

static int value(struct tpi_kube_scan *scan, char c)
{
	if (c == '{' || c == '[')
		return open_bracket(scan, c);
	if (c == '"') {
		begin_string(scan, false);
		return 0;
	}
	if (!is_literal_byte(c))
		return broken(scan, "a value was to come");
	scan->literal_used = 0;
	literal_byte(scan, c);
	scan->state = LITERAL;
	return 0;
}

static int after(struct tpi_kube_scan *scan, char c)
{
	if (c == '}' || c == ']')
		return close_bracket(scan, c);
	if (c != ',')
		return broken(scan, "a comma or a bracket was to come");
	scan->state = scan->levels[scan->depth - 1].open == '{' ? KEY : VALUE;
	return 0;
}

static int key(struct tpi_kube_scan *scan, char c)
{
	if (c == '}' && scan->state == FIRST_KEY)
		return close_bracket(scan, c);
	if (c != '"')
		return broken(scan, "a key was to come");
	begin_string(scan, true);
	return 0;
}

/* A byte that is no space, outside of strings and literals. */
static int structure(struct tpi_kube_scan *scan, char c)
{
	switch (scan->state) {
	case BEFORE:
		if (c != '{')
			return broken(scan, "an object was to come");
		return open_bracket(scan, c);
	case FIRST_VALUE:
		if (c == ']')
			return close_bracket(scan, c);
		return value(scan, c);
	case VALUE:
		return value(scan, c);
	case FIRST_KEY:
	case KEY:
		return key(scan, c);
	case COLON:
		if (c != ':')
			return broken(scan, "a colon was to come");
		scan->state = VALUE;
		return 0;
	default:
		return after(scan, c);
	}
}

/* ---- bytes ---------------------------------------------------------------- */

static int string_byte(struct tpi_kube_scan *scan, char c)
{
	switch (tpi_kube_string_byte(&scan->string, (unsigned char)c)) {
	case TPI_KUBE_MORE:
		return 0;
	case TPI_KUBE_QUOTE:
		if (!scan->in_key)
			tpi_kube_keep_string_end(scan);
		scan->state = scan->in_key ? COLON : AFTER;
		return 0;
	default:
		return broken(scan, "a byte that no string can have");
	}
}

static int byte(struct tpi_kube_scan *scan, char c)
{
	if (scan->state == STRING)
		return string_byte(scan, c);
	if (scan->state == LITERAL) {
		if (is_literal_byte(c)) {
			literal_byte(scan, c);
			return 0;
		}
		int err = end_literal(scan);
		if (err)
			return err;
	}
	return is_space(c) ? 0 : structure(scan, c);
}

int tpi_kube_scan_feed(struct tpi_kube_scan *scan, const void *bytes,
		       size_t length)
{
	const char *at = bytes, *end = at + length;

	if (scan->state == BROKEN)
		return -EBADMSG;
	while (at < end) {
		size_t plain = 0;

		if (scan->state == STRING)
			plain = tpi_kube_string_plain(&scan->string, at,
						      (size_t)(end - at));
		if (plain) {
			tpi_kube_keep_unit(scan, at, plain);
			at += plain;
			scan->offset += plain;
			continue;
		}
		int err = byte(scan, *at);
		if (err)
			return err;
		at++;
		scan->offset++;
	}
	return 0;
}
