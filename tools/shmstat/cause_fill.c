/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a sentence of causes.h from the numbers of a finding. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/shmstat/causes.h"

#define KEY_BYTES 32

enum quoting {
	QUOTE_NONE,
	QUOTE_SHELL,
	QUOTE_CONF
};

struct filling {
	const char *text;
	const json_t *numbers;
	FILE *out;
	bool pasted; /* into a shell, or tapiod.conf */
};

static void write_ns(FILE *out, double ns)
{
	static const struct {
		double of;
		const char *unit;
	} units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (ns >= units[i].of || ns <= -units[i].of) {
			fprintf(out, "%.3g %s", ns / units[i].of,
				units[i].unit);
			return;
		}
	fprintf(out, "%.0f ns", ns);
}

static void write_bytes(FILE *out, double bytes)
{
	static const char units[] = " KMGT";
	int unit = 0;

	for (; bytes >= 1024 && unit < 4; unit++)
		bytes /= 1024;
	if (unit)
		fprintf(out, "%.4g %ciB", bytes, units[unit]);
	else
		fprintf(out, "%.0f B", bytes);
}

static void write_list(FILE *out, const json_t *list)
{
	const json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
		fprintf(out, "%s%s", i ? ", " : "", json_string_value(value));
}

static void write_value(FILE *out, const json_t *value)
{
	if (json_is_string(value))
		fputs(json_string_value(value), out);
	else if (json_is_integer(value))
		fprintf(out, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value) && json_real_value(value) >= 100)
		fprintf(out, "%.0f", json_real_value(value));
	else if (json_is_real(value))
		fprintf(out, "%.3g", json_real_value(value));
	else if (json_is_array(value) && json_array_size(value))
		write_list(out, value);
	else
		fputs("-", out);
}

/* The key behind a brace, if there is one: {key} or {key noun}. */
static bool parse_key(const char *at, char key[KEY_BYTES], char noun[KEY_BYTES],
		      const char **end)
{
	int used = 0;

	*noun = 0;
	if (!islower((unsigned char)at[1]))
		return false;
	if (sscanf(at + 1, "%31[a-z0-9_]%n", key, &used) != 1)
		return false;
	at += 1 + used;
	if (*at == ' ' && sscanf(at + 1, "%31[a-zA-Z |]%n", noun, &used) == 1)
		at += 1 + used;
	*end = at + 1;
	return *at == '}';
}

/* "event", or "event was|were": 1 event was, 2 events were. */
static void write_noun(FILE *out, const char *noun, bool one)
{
	const char *plural = strchr(noun, '|'), *verb = plural;

	if (!plural) {
		fprintf(out, " %s%s", noun, one ? "" : "s");
		return;
	}
	while (verb > noun && *verb != ' ')
		verb--;
	fprintf(out, " %.*s", (int)(verb - noun), noun);
	if (one)
		fprintf(out, "%.*s", (int)(plural - verb), verb);
	else
		fprintf(out, "s %s", plural + 1);
}

/*
 * Clients choose names. A shell, or tapiod.conf, takes this as one word and nothing else. In
 * double quotes libconfuse would replace "${..}".
 */
static void write_word(FILE *out, const char *word, enum quoting quoting)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";

	if (*word && *word != '-' && !word[strspn(word, plain)]) {
		fputs(word, out);
		return;
	}
	fputc('\'', out);
	for (; *word; word++)
		if (*word == '\'')
			fputs(quoting == QUOTE_CONF ? "\\'" : "'\\''", out);
		else if (*word == '\\' && quoting == QUOTE_CONF)
			fputs("\\\\", out);
		else
			fputc(*word, out);
	fputc('\'', out);
}

static bool is_name(const char *key)
{
	return !strcmp(key, "channel") || !strcmp(key, "group") ||
	       !strcmp(key, "class");
}

/* The key between `at` and `end`: before a section, or behind =, it is a word of tapiod.conf. */
static enum quoting quoting_of(const struct filling *f, const char *key,
			       const char *at, const char *end)
{
	if (!f->pasted || !is_name(key))
		return QUOTE_NONE;
	if (!strncmp(end, " {", 2) ||
	    (at - f->text >= 2 && !strncmp(at - 2, "= ", 2)))
		return QUOTE_CONF;
	return QUOTE_SHELL;
}

static void write_key(const struct filling *f, enum quoting quoting,
		      const json_t *value, const char *noun)
{
	bool one = json_is_integer(value) && json_integer_value(value) == 1;

	if (quoting != QUOTE_NONE && json_is_string(value)) {
		write_word(f->out, json_string_value(value), quoting);
		return;
	}
	if (!strcmp(noun, "ns")) {
		write_ns(f->out, json_number_value(value));
		return;
	}
	if (!strcmp(noun, "B")) {
		write_bytes(f->out, json_number_value(value));
		return;
	}
	write_value(f->out, value);
	if (*noun)
		write_noun(f->out, noun, one);
}

/* Whether all values between two brackets are there. */
static bool is_told(const struct filling *f, const char *at, const char *end)
{
	char key[KEY_BYTES], noun[KEY_BYTES];
	const char *next;

	for (; at < end; at++) {
		const json_t *value;

		if (*at != '{' || !parse_key(at, key, noun, &next))
			continue;
		value = json_object_get(f->numbers, key);
		if (!value || json_is_null(value))
			return false;
	}
	return true;
}

static void fill(const struct filling *f, const char *at)
{
	char key[KEY_BYTES], noun[KEY_BYTES];
	const char *end;
	const json_t *value;

	while (*at) {
		end = *at == '[' ? strchr(at, ']') : NULL;
		if (end) {
			at = is_told(f, at, end) ? at + 1 : end + 1;
			continue;
		}
		value = *at == '{' && parse_key(at, key, noun, &end)
				? json_object_get(f->numbers, key)
				: NULL;
		if (value) {
			write_key(f, quoting_of(f, key, at, end), value, noun);
			at = end;
		} else {
			if (*at != ']')
				fputc(*at, f->out);
			at++;
		}
	}
}

static char *fill_text(const char *text, const json_t *numbers, bool pasted)
{
	char *filled = NULL;
	size_t bytes;
	struct filling f = {text, numbers, open_memstream(&filled, &bytes),
			    pasted};

	if (!f.out)
		return NULL;
	fill(&f, text);
	if (fclose(f.out)) {
		free(filled);
		return NULL;
	}
	return filled;
}

char *cause_fill(const char *text, const json_t *numbers)
{
	return fill_text(text, numbers, false);
}

char *cause_fill_remedy(const char *text, const json_t *numbers)
{
	return fill_text(text, numbers, true);
}
