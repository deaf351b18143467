/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options that stand twice in one block. libconfuse takes the last one and says
 * nothing, so that a line that was added at the top of a long block has no effect.
 *
 * This knows so much of the grammar: words, quoted strings, `word =` for an option,
 * braces after `=` for a list, other braces for a block. What is wrong in any other way
 * is for libconfuse to say, so each doubt here is passed over. Comments are blanked
 * before.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/config/config_text.h"

#define DEPTH_MAX   4  /* blocks in blocks; the grammar has two */
#define OPTIONS_MAX 32 /* of one block; the longest has ten */

struct word {
	const char *text;
	int length;
	int line;
};

struct scan {
	const char *at;
	const char *end;
	int line;
	bool value; /* behind a = */
	int depth;
	int counts[DEPTH_MAX + 1];
	struct word options[DEPTH_MAX + 1][OPTIONS_MAX];
};

static bool in_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static void skip_space(struct scan *s)
{
	for (; s->at < s->end && isspace((unsigned char)*s->at); s->at++)
		s->line += *s->at == '\n';
}

/* From an opening quote to behind the closing one. */
static void skip_string(struct scan *s)
{
	char quote = *s->at++;

	for (; s->at < s->end && *s->at != quote; s->at++) {
		if (*s->at == '\\' && s->at + 1 < s->end)
			s->at++;
		s->line += *s->at == '\n';
	}
	s->at += s->at < s->end;
}

static void skip_list(struct scan *s)
{
	while (s->at < s->end && *s->at != '}') {
		if (*s->at == '"' || *s->at == '\'') {
			skip_string(s);
			continue;
		}
		s->line += *s->at == '\n';
		s->at++;
	}
	s->at += s->at < s->end;
}

static struct word take_word(struct scan *s)
{
	struct word word = {.text = s->at, .line = s->line};

	while (s->at < s->end && in_word(*s->at))
		s->at++;
	word.length = (int)(s->at - word.text);
	return word;
}

/* An option of the block that we are in. The earlier one, if there is one. */
static const struct word *add_option(struct scan *s, const struct word *word)
{
	struct word *options = s->options[s->depth];
	int *count = &s->counts[s->depth];

	for (int i = 0; i < *count; i++)
		if (options[i].length == word->length &&
		    !memcmp(options[i].text, word->text, (size_t)word->length))
			return &options[i];
	if (*count < OPTIONS_MAX)
		options[(*count)++] = *word;
	return NULL;
}

/* One brace, string or other character that is no word. False: too deep. */
static bool take_mark(struct scan *s)
{
	char c = *s->at;

	if (c == '"' || c == '\'') {
		skip_string(s);
		s->value = false;
		return true;
	}
	s->at++;
	if (c == '{' && s->value) {
		skip_list(s);
		s->value = false;
	} else if (c == '{') {
		if (s->depth == DEPTH_MAX)
			return false;
		s->counts[++s->depth] = 0;
	} else if (c == '}' && s->depth) {
		s->depth--;
	}
	if (c == '=')
		s->value = true;
	return true;
}

int tpi_config_twice(const char *text, size_t length, char *why,
		     size_t why_bytes)
{
	struct scan s = {.at = text, .end = text + length, .line = 1};
	const struct word *earlier;
	struct word word;

	for (skip_space(&s); s.at < s.end; skip_space(&s)) {
		if (!in_word(*s.at)) {
			if (!take_mark(&s))
				return 0;
			continue;
		}
		word = take_word(&s);
		skip_space(&s);
		if (s.value || s.at == s.end || *s.at != '=') {
			s.value = false; /* a value, or a title */
			continue;
		}
		earlier = add_option(&s, &word);
		if (!earlier)
			continue;
		snprintf(why, why_bytes,
			 "%d: option '%.*s' stands twice in this block, the "
			 "first time in line %d",
			 word.line, word.length, word.text, earlier->line);
		return -EINVAL;
	}
	return 0;
}
