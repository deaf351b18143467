/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See config_text.h. Kept apart from config.c because it is about characters and
 * knows no option but one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/config_text.h"

static int read_all(char **out, size_t *length, FILE *in)
{
	size_t room = 0, used = 0, n = 1;
	char *text = NULL, *grown;
	int err = 0;

	while (!err && n) {
		if (used == room) {
			room = room ? room * 2 : 16384;
			grown = realloc(text, room);
			if (!grown) {
				err = -ENOMEM;
				break;
			}
			text = grown;
		}
		n = fread(text + used, 1, room - used, in);
		used += n;
		if (ferror(in))
			err = errno ? -errno : -EIO;
		else if (used > TPI_CONFIG_BYTES_MAX)
			err = -EFBIG;
	}
	if (err) {
		free(text);
		return err;
	}
	*out = text;
	*length = used;
	return 0;
}

/* Where the quoted string that begins at `at` ends, behind its quote. */
static size_t skip_quoted(const char *text, size_t length, size_t at)
{
	char quote = text[at++];

	while (at < length && text[at] != quote)
		at += text[at] == '\\' && at + 1 < length ? 2 : 1;
	return at < length ? at + 1 : length;
}

/* A // in the middle of a word is part of it, as in a path. */
static int begins_comment(const char *text, size_t length, size_t at)
{
	if (text[at] == '#')
		return '\n';
	if (text[at] != '/' || at + 1 == length)
		return 0;
	if (text[at + 1] == '*')
		return '*';
	if (text[at + 1] == '/' && (!at || strchr(" \t\n;{}=,", text[at - 1])))
		return '\n';
	return 0;
}

/* Where it ends. Behind the text: it does not. */
static size_t blank_comment(char *text, size_t length, size_t at, int kind)
{
	if (kind == '*') { /* its star is not the one before its end */
		text[at] = text[at + 1] = ' ';
		at += 2;
	}
	for (; at < length; at++) {
		if (kind == '\n' && text[at] == '\n')
			return at;
		if (kind == '*' && text[at] == '*' && at + 1 < length &&
		    text[at + 1] == '/') {
			text[at] = text[at + 1] = ' ';
			return at + 2;
		}
		if (text[at] != '\n')
			text[at] = ' ';
	}
	return kind == '*' ? length + 1 : length;
}

static int line_of(const char *text, size_t at)
{
	int line = 1;

	while (at)
		line += text[--at] == '\n';
	return line;
}

/* -EINVAL: one of the kind that begins with a slash and a star has no end. */
static int blank_comments(char *text, size_t length, char *why,
			  size_t why_bytes)
{
	size_t at = 0;

	while (at < length) {
		int kind = begins_comment(text, length, at);
		size_t begin = at;

		if (kind)
			at = blank_comment(text, length, at, kind);
		else if (text[at] == '"' || text[at] == '\'')
			at = skip_quoted(text, length, at);
		else
			at++;
		if (at > length) {
			snprintf(why, why_bytes,
				 "%d: a comment begins here and has no end: */ "
				 "is missing",
				 line_of(text, begin));
			return -EINVAL;
		}
	}
	return 0;
}

int tpi_config_text(char **out, size_t *length, const char *file,
		    const char *text, char *why, size_t why_bytes)
{
	static const char end[] = "\n" TPI_CONFIG_END " = true\n";
	char *copy = NULL, *grown;
	int err = 0;
	FILE *in;

	in = file ? fopen(file, "re")
		  : fmemopen((void *)text, strlen(text), "r");
	if (!in && !file && !*text) /* some libcs have no empty streams */
		in = fopen("/dev/null", "re");
	if (!in)
		return -errno;
	err = read_all(&copy, length, in);
	fclose(in);
	if (err)
		return err;
	grown = realloc(copy, *length + sizeof(end));
	if (!grown) {
		free(copy);
		return -ENOMEM;
	}
	err = blank_comments(grown, *length, why, why_bytes);
	if (!err)
		err = tpi_config_twice(grown, *length, why, why_bytes);
	if (err) {
		free(grown);
		return err;
	}
	memcpy(grown + *length, end, sizeof(end));
	*length += sizeof(end) - 1;
	*out = grown;
	return 0;
}
