/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules as they are written: words (lex.c), then a tree for each condition (parse.c). Nothing
 * here knows event types: check.c does. Memory comes from an arena that the rules own.
 */
#ifndef TPI_CORRELATE_SYNTAX_H
#define TPI_CORRELATE_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/correlate/rules.h"

/* ---- memory that lives as long as the rules ----------------------------------------- */

struct tpi_arena {
	struct tpi_arena_block *blocks;
	size_t bytes;
	bool failed; /* no memory: all that was handed out since is NULL */
};

/* Zeroed, aligned to 16 bytes. */
void *tpi_arena_get(struct tpi_arena *arena, size_t bytes);
char *tpi_arena_text(struct tpi_arena *arena, const char *text, size_t length);
void tpi_arena_free(struct tpi_arena *arena);

/* ---- words ---------------------------------------------------------------------------- */

enum tpi_word_kind {
	TPI_WORD_END,
	TPI_WORD_NAME,   /* a.b_c */
	TPI_WORD_NUMBER, /* 12, 1.5, 200ms, 4MiB, -3 */
	TPI_WORD_STRING, /* "..." */
	TPI_WORD_NET,    /* 10.0.0.0/8 */
	TPI_WORD_MARK,   /* == != <= >= < > { } ( ) [ ] , : ; */
	TPI_WORD_BAD,
};

enum tpi_unit {
	TPI_UNIT_NONE,
	TPI_UNIT_NS,
	TPI_UNIT_BYTES
};

struct tpi_word {
	enum tpi_word_kind kind;
	const char *at; /* in the text */
	size_t length;
	unsigned int line, column;
	/* NUMBER */
	enum tpi_unit unit;
	bool negative;
	bool exact; /* `number` holds it, without its sign */
	uint64_t number;
	double real;
	/* STRING: without quotes and escapes. BAD: why */
	const char *string;
	size_t string_length;
};

struct tpi_lex {
	struct tpi_arena *arena;
	const char *at, *end, *line_at;
	unsigned int line;
};

void tpi_lex_init(struct tpi_lex *lex, struct tpi_arena *arena,
		  const char *text, size_t length);
void tpi_lex_next(struct tpi_lex *lex, struct tpi_word *word);
bool tpi_word_is(const struct tpi_word *word, const char *text);

/* ---- trees ---------------------------------------------------------------------------- */

enum tpi_expr_kind {
	TPI_EXPR_AND,
	TPI_EXPR_OR,
	TPI_EXPR_NOT,
	TPI_EXPR_HAS,   /* left is set */
	TPI_EXPR_TRUTH, /* a field alone: it is true */
	TPI_EXPR_COMPARE,
	TPI_EXPR_IN,
};

enum tpi_compare {
	TPI_EQ,
	TPI_NE,
	TPI_LT,
	TPI_LE,
	TPI_GT,
	TPI_GE,
	TPI_PREFIX,
	TPI_SUFFIX,
	TPI_CONTAINS,
	TPI_MATCHES,
};

/* A field, or a value. */
struct tpi_operand {
	struct tpi_word word;
	const char *name; /* of a NAME, ending with NUL */
	const char *sub;  /* name["sub"]. NULL: none */
	size_t sub_length;
};

struct tpi_expr {
	enum tpi_expr_kind kind;
	enum tpi_compare compare;
	struct tpi_expr *a, *b; /* AND, OR, NOT (a) */
	struct tpi_operand left;
	struct tpi_operand *right; /* COMPARE: one. IN: `count` */
	unsigned int count;
	struct tpi_word op; /* where it stands */
	/* check.c: the types for which it was fine, or wrong, and why */
	uint64_t fine, wrong;
	const char *why;
	const struct tpi_operand *at;
	struct tpi_regex *regex;
};

struct tpi_step_text {
	const char *name;
	struct tpi_word word;
	struct tpi_expr *expr;
};

struct tpi_rule_text {
	const char *name;
	struct tpi_word word;
	unsigned int step_count;
	struct tpi_step_text steps[TPI_RULES_STEPS_MAX];
	enum tpi_rule_operator kind; /* 0: none */
	struct tpi_word operator_word;
	unsigned int order_count; /* of a sequence; else 1 */
	struct tpi_operand order[TPI_RULES_STEPS_MAX]; /* names of steps */
	struct tpi_operand field;                      /* of `distinct` */
	unsigned int by_count;
	struct tpi_operand by[TPI_RULES_KEYS_MAX];
	uint64_t need; /* events, values or steps; 0: all steps */
	struct tpi_word need_word;
	uint64_t within_ns;
	uint64_t cooldown_ns;
	bool has_severity, has_cooldown;
	uint8_t severity;
	struct tpi_word say; /* STRING, or END */
	uint64_t digest;
	struct tpi_rule_text *next;
};

/* ---- messages ------------------------------------------------------------------------- */

void tpi_rules_complain(struct tpi_rules_errors *errors,
			const struct tpi_word *word, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * All rules of a text, in its order. Goes on behind a rule that does not parse. NULL: there is
 * none.
 */
struct tpi_rule_text *tpi_rules_text(struct tpi_arena *arena, const char *text,
				     size_t length,
				     struct tpi_rules_errors *errors);

#endif
