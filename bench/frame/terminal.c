/* SPDX-License-Identifier: Apache-2.0 */
/* How text looks on stdout: colours on a terminal, signs as the locale has
 * them, and cells of a table. */
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/frame/frame.h"

const char *bench_style(enum bench_style style)
{
	static const char *const escapes[] = {
		[BENCH_PLAIN] = "\033[0m",  [BENCH_BOLD] = "\033[1m",
		[BENCH_DIM] = "\033[2m",    [BENCH_GOOD] = "\033[32m",
		[BENCH_BAD] = "\033[1;31m",
	};
	static int known = -1;

	if (known < 0) {
		const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

		known = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") &&
			!(no && *no);
	}
	return known ? escapes[style] : "";
}

static bool is_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

const char *bench_micro(void)
{
	return is_utf8() ? "\u00b5" : "u";
}

const char *bench_dash(void)
{
	return is_utf8() ? "\u2013" : "-";
}

const char *bench_rule(void)
{
	return is_utf8() ? "\u2500" : "-";
}

static void spaces(unsigned int count)
{
	printf("%*s", (int)count, "");
}

/* The bytes of the first `columns` columns. */
static size_t bytes_of(const char *text, unsigned int columns)
{
	const char *at = text;

	while (*at && columns--) {
		at++;
		while (((unsigned char)*at & 0xC0) == 0x80)
			at++;
	}
	return (size_t)(at - text);
}

void bench_cell(const char *text, unsigned int columns, bool right)
{
	unsigned int width = bench_width(text);

	if (width > columns) {
		printf("%.*s", (int)bytes_of(text, columns), text);
		return;
	}
	if (right)
		spaces(columns - width);
	fputs(text, stdout);
	if (!right)
		spaces(columns - width);
}

const char *bench_line(const char *text, unsigned int columns, char *line,
		       size_t bytes)
{
	unsigned int used = 0;
	size_t length = 0;

	while (*text) {
		size_t word = strcspn(text, " ");
		char one[128];

		snprintf(one, sizeof(one), "%.*s", (int)word, text);
		if (used && used + 1 + bench_width(one) > columns)
			break;
		length += (size_t)snprintf(line + length, bytes - length,
					   "%s%s", used ? " " : "", one);
		if (length >= bytes)
			length = bytes - 1;
		used += (used ? 1 : 0) + bench_width(one);
		text += word;
		text += strspn(text, " ");
	}
	line[length] = 0;
	return text;
}

void bench_wrapped(const char *text, unsigned int indent)
{
	char line[512];

	do {
		text = bench_line(text, BENCH_TABLE_COLUMNS - indent, line,
				  sizeof(line));
		puts(line);
		if (*text)
			spaces(indent);
	} while (*text);
}
