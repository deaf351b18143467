/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of tapio-correlate: parsed, checked against the tables of event types, and
 * compiled for each type that a step can match. docs/guide/correlation.md is the language.
 *
 *	struct tpi_rules_errors errors;
 *	struct tpi_rules *rules;
 *
 *	if (tpi_rules_load("rules.conf", &rules, &errors)) {
 *		tpi_rules_print_errors(&errors, stderr);
 *		return TPI_EXIT_USAGE;
 *	}
 *
 * Rules do not change once they are loaded, but regular expressions use memory of theirs
 * while they match: one thread at a time uses a set of rules, the one that uses its engine.
 */
#ifndef TPI_CORRELATE_RULES_H
#define TPI_CORRELATE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Limits of the language. More is refused with the number and the limit. */
#define TPI_RULES_BYTES_MAX    (1u << 20) /* of a file */
#define TPI_RULES_MAX          1000
#define TPI_RULES_STEPS_MAX    8
#define TPI_RULES_KEYS_MAX     4 /* fields of a `by` */
#define TPI_RULES_COUNT_MAX    10000
#define TPI_RULES_DISTINCT_MAX 1000
#define TPI_RULES_NAME_MAX     63
#define TPI_RULES_WITHIN_MAX \
	(INT64_C(7) * 86400 * 1000000000) /* 7 days, in ns */

struct tpi_rules;

/* One error, at one place of the text. Lines and columns begin at 1. */
struct tpi_rules_error {
	unsigned int line;
	unsigned int column; /* in bytes */
	char word[64];       /* that stands there. "": the end of the text */
	char text[256];      /* one sentence, without the place */
};

#define TPI_RULES_ERRORS_MAX 20

struct tpi_rules_errors {
	char name[256];     /* of the file */
	unsigned int count; /* all that were found. The first ones are kept */
	struct tpi_rules_error errors[TPI_RULES_ERRORS_MAX];
};

/*
 * Loads rules from text. `name` is used in messages only. All rules are looked at, so that one
 * call shows the errors of each. *rules is NULL after an error.
 *
 *   errno   | cause
 *   -EINVAL | `errors` says what is wrong, at least one
 *   -ENOMEM | no memory; `errors` has none
 */
int tpi_rules_parse(const char *name, const char *text, size_t length,
		    struct tpi_rules **rules, struct tpi_rules_errors *errors);

/* The same from a file. Also -errno of open(2) and read(2), and -EFBIG. `errors` has a text. */
int tpi_rules_load(const char *path, struct tpi_rules **rules,
		   struct tpi_rules_errors *errors);

/* NULL is allowed. Rules that an engine was given belong to it. */
void tpi_rules_free(struct tpi_rules *rules);

/* "file:line:column: 'word': text", a line for each. */
void tpi_rules_print_errors(const struct tpi_rules_errors *errors, FILE *file);

/* ---- what was loaded -------------------------------------------------------------- */

enum tpi_rule_operator {
	TPI_RULE_SEQUENCE = 1,
	TPI_RULE_COUNT,
	TPI_RULE_DISTINCT,
	TPI_RULE_ABSENT,
};

struct tpi_rule_info {
	const char *name; /* valid as long as the rules are */
	enum tpi_rule_operator kind;
	uint8_t severity; /* TAPIO_SEVERITY_* of its findings */
	unsigned int step_count;
	const char *steps
		[TPI_RULES_STEPS_MAX]; /* names, in the order of the text */
	uint64_t within_ns;
	uint64_t cooldown_ns;
	uint64_t digest; /* of its canonical text: equal digests, equal rules */
	unsigned int line;
};

unsigned int tpi_rules_count(const struct tpi_rules *rules);
/* False: there is no such rule. */
bool tpi_rules_info(const struct tpi_rules *rules, unsigned int index,
		    struct tpi_rule_info *info);

/*
 * The types of events that any rule looks at, for a consumer's filter. Returns how many there
 * are, and writes at most `max`. -1: a rule can match types that have no name, so that no
 * filter fits. Rules that use pod.* look at kubernetes.object, too.
 */
int tpi_rules_types(const struct tpi_rules *rules, uint16_t *types,
		    unsigned int max);

/* Whether this build knows `matches` (PCRE2). */
bool tpi_rules_have_regex(void);

#endif
