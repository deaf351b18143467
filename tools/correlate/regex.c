/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions by PCRE2: compiled to machine code where that can be, on bytes, with a
 * limit on the steps of a match. A subject is copied first, as it may change in its place.
 * Without PCRE2 there are none, and rules with `matches` are refused.
 */
#include <stdio.h>
#include <string.h>

#include "tools/correlate/inner.h"

#ifdef TAPIO_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_LIMIT 100000
#define HEAP_KIB    16384
#define STACK_FIRST 32768
#define STACK_MAX   (1u << 20)
#define SUBJECT_MAX 65535 /* of a string of an event */

struct tpi_regex {
	struct tpi_regex *next;
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack
		*stack; /* NULL: the machine code takes ours, of 32 KiB */
	char *subject;  /* one for all of the rules */
};

static void regex_free(struct tpi_regex *regex)
{
	pcre2_jit_stack_free(regex->stack);
	pcre2_match_context_free(regex->context);
	pcre2_match_data_free(regex->data);
	pcre2_code_free(regex->code);
}

struct tpi_regex *tpi_regex_new(struct tpi_rules *rules, const char *pattern,
				size_t length, char *why)
{
	struct tpi_regex *regex = tpi_arena_get(&rules->arena, sizeof(*regex));
	PCRE2_SIZE at = 0;
	int error = 0;

	snprintf(why, 160, "there is no memory");
	if (!regex)
		return NULL;
	regex->subject =
		rules->regexes ? rules->regexes->subject
			       : tpi_arena_get(&rules->arena, SUBJECT_MAX + 1);
	if (!regex->subject)
		return NULL;
	regex->code = pcre2_compile((PCRE2_SPTR)pattern, length,
				    PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, &error,
				    &at, NULL);
	if (!regex->code) {
		char text[120];

		pcre2_get_error_message(error, (PCRE2_UCHAR *)text,
					sizeof(text));
		snprintf(why, 160, "at byte %zu of the expression: %s", at,
			 text);
		return NULL;
	}
	/* Without machine code it is slower, and the same. */
	pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
	regex->data = pcre2_match_data_create(1, NULL);
	regex->context = pcre2_match_context_create(NULL);
	if (!regex->data || !regex->context) {
		regex_free(regex);
		return NULL;
	}
	pcre2_set_match_limit(regex->context, MATCH_LIMIT);
	pcre2_set_heap_limit(regex->context, HEAP_KIB);
	regex->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MAX, NULL);
	if (regex->stack)
		pcre2_jit_stack_assign(regex->context, NULL, regex->stack);
	regex->next = rules->regexes;
	rules->regexes = regex;
	return regex;
}

int tpi_regex_match(struct tpi_regex *regex, const char *data, size_t length)
{
	int found;

	if (length > SUBJECT_MAX)
		length = SUBJECT_MAX;
	memcpy(regex->subject, data, length);
	found = pcre2_match(regex->code, (PCRE2_SPTR)regex->subject, length, 0,
			    0, regex->data, regex->context);
	if (found >= 0)
		return 1;
	return found == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

void tpi_regex_free_all(struct tpi_rules *rules)
{
	for (struct tpi_regex *regex = rules->regexes; regex;
	     regex = regex->next)
		regex_free(regex);
	rules->regexes = NULL;
}

bool tpi_rules_have_regex(void)
{
	return true;
}

#else

struct tpi_regex *tpi_regex_new(struct tpi_rules *rules, const char *pattern,
				size_t length, char *why)
{
	(void)rules;
	(void)pattern;
	(void)length;
	snprintf(
		why, 160,
		"this build has no regular expressions: build it with libpcre2-dev, or use "
		"prefix, suffix and contains");
	return NULL;
}

int tpi_regex_match(struct tpi_regex *regex, const char *data, size_t length)
{
	(void)regex;
	(void)data;
	(void)length;
	return -1;
}

void tpi_regex_free_all(struct tpi_rules *rules)
{
	(void)rules;
}

bool tpi_rules_have_regex(void)
{
	return false;
}

#endif
