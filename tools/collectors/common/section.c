/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file serves all collectors, and each knows the settings of its own section only.
 * So the others are blanked before libconfuse reads the text, which would refuse what
 * it does not know. A section that no collector has is refused here: the name of one
 * was misspelt, and its settings would be passed over in silence.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/collectors/common/settings.h"

/* Those of this tree, whether this build has them or not. */
static const char *const known[] = {
	"correlate", "ebpf", "journal", "kmsg", "kubernetes", "proc", "syslog",
};

struct scan {
	char *text;
	size_t length;
	size_t at;
	int line;
};

static bool in_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static void step(struct scan *s)
{
	s->line += s->text[s->at++] == '\n';
}

static void skip_quoted(struct scan *s)
{
	const char quote = s->text[s->at];

	for (step(s); s->at < s->length && s->text[s->at] != quote; step(s))
		if (s->text[s->at] == '\\' && s->at + 1 < s->length)
			step(s);
	if (s->at < s->length)
		step(s);
}

/* From an opening brace to behind the closing one. False: there is none. */
static bool skip_block(struct scan *s)
{
	int depth = 0;

	while (s->at < s->length) {
		const char c = s->text[s->at];

		if (c == '"' || c == '\'') {
			skip_quoted(s);
			continue;
		}
		step(s);
		depth += (c == '{') - (c == '}');
		if (!depth)
			return true;
	}
	return false;
}

static bool is_known(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i]) == length &&
		    !memcmp(known[i], name, length))
			return true;
	return false;
}

static void say_known(char *why, size_t why_bytes)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t used = strlen(why);

		snprintf(why + used, why_bytes - used, "%s%s", i ? ", " : "",
			 known[i]);
	}
}

static void blank(struct scan *s, size_t from)
{
	for (size_t i = from; i < s->at; i++)
		if (s->text[i] != '\n')
			s->text[i] = ' ';
}

/* A word at the top level, with the block behind it. *ours: the line of our section. */
static int take_word(struct scan *s, const char *section, int *ours, char *why,
		     size_t why_bytes)
{
	const size_t begin = s->at;
	const int line = s->line;
	size_t length;

	while (s->at < s->length && in_word(s->text[s->at]))
		s->at++;
	length = s->at - begin;
	while (s->at < s->length && isspace((unsigned char)s->text[s->at]))
		step(s);
	if (s->at == s->length || s->text[s->at] != '{')
		return 0; /* for libconfuse to judge */
	if (!is_known(s->text + begin, length)) {
		snprintf(why, why_bytes,
			 "%d: no collector has a section '%.*s'; there are ",
			 line, (int)length, s->text + begin);
		say_known(why, why_bytes);
		return -EINVAL;
	}
	if (!skip_block(s)) {
		snprintf(why, why_bytes,
			 "%d: section '%.*s' is not closed: a } is missing",
			 line, (int)length, s->text + begin);
		return -EINVAL;
	}
	if (strlen(section) != length ||
	    memcmp(section, s->text + begin, length)) {
		blank(s, begin);
		return 0;
	}
	if (*ours) {
		snprintf(why, why_bytes,
			 "%d: section '%s' stands twice, the first time in "
			 "line %d",
			 line, section, *ours);
		return -EINVAL;
	}
	*ours = line;
	return 0;
}

int tpi_section_keep(char *text, size_t length, const char *section, char *why,
		     size_t why_bytes)
{
	struct scan s = {.text = text, .length = length, .line = 1};
	int ours = 0;

	while (s.at < s.length) {
		if (in_word(s.text[s.at])) {
			int err = take_word(&s, section, &ours, why, why_bytes);

			if (err)
				return err;
		} else if (s.text[s.at] == '"' || s.text[s.at] == '\'') {
			skip_quoted(&s);
		} else if (s.text[s.at] == '{') {
			skip_block(&s);
		} else {
			step(&s);
		}
	}
	return 0;
}
