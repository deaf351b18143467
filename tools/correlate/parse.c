/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From words to trees, by recursive descent: a function for each form of the grammar.
 *
 *	file     = rule...
 *	rule     = "rule" NAME "{" item... "}"
 *	item     = NAME ":" condition | operator tail... | "severity" NAME | "say" STRING
 *	         | "cooldown" TIME
 *	operator = "sequence" NAME, ... | "count" "(" NAME ")" over N
 *	         | "distinct" "(" NAME.FIELD ")" over N | "absent" [NAME]
 *	tail     = "by" key, ... | "within" TIME | "at" "least" N
 *
 * An error skips to the next "rule", so that each rule has its say. Depth and size of a
 * condition are bounded, since the functions call themselves.
 */
#include <stdarg.h>
#include <string.h>

#include <tapio/event.h>

#include "tools/correlate/hash.h"
#include "tools/correlate/syntax.h"

#define DEPTH_MAX 64
#define EXPRS_MAX 1000 /* of a rule */
#define SET_MAX   4096 /* members of a set */
#define SET_FIRST 8

struct parser {
	struct tpi_arena *arena;
	struct tpi_rules_errors *errors;
	struct tpi_lex lex;
	struct tpi_word now, next;
	struct tpi_hash hash; /* of the words of the rule */
	unsigned int depth, exprs;
	bool failed; /* this rule has an error */
};

void tpi_rules_complain(struct tpi_rules_errors *errors,
			const struct tpi_word *word, const char *format, ...)
{
	struct tpi_rules_error *error;
	size_t length = word->kind == TPI_WORD_END ? 0 : word->length;
	va_list args;

	if (errors->count++ >= TPI_RULES_ERRORS_MAX)
		return;
	error = &errors->errors[errors->count - 1];
	error->line = word->line;
	error->column = word->column;
	if (length >= sizeof(error->word))
		length = sizeof(error->word) - 1;
	/* It may be shown on a terminal. */
	for (size_t i = 0; i < length; i++)
		error->word[i] =
			(unsigned char)word->at[i] < ' ' || word->at[i] == 0x7f
				? '?'
				: word->at[i];
	error->word[length] = '\0';
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
}

#define FAIL(p, word, ...)                                                  \
	do {                                                                \
		if (!(p)->failed)                                           \
			tpi_rules_complain((p)->errors, word, __VA_ARGS__); \
		(p)->failed = true;                                         \
	} while (0)

static void advance(struct parser *p)
{
	if (p->now.kind != TPI_WORD_END) {
		tpi_hash_number(&p->hash, p->now.length);
		tpi_hash_add(&p->hash, p->now.at, p->now.length);
	}
	p->now = p->next;
	tpi_lex_next(&p->lex, &p->next);
	if (p->now.kind == TPI_WORD_BAD)
		FAIL(p, &p->now, "%s", p->now.string);
}

static bool is(const struct parser *p, const char *text)
{
	return tpi_word_is(&p->now, text);
}

static bool take(struct parser *p, const char *text)
{
	if (p->failed || !is(p, text))
		return false;
	advance(p);
	return true;
}

static void expect(struct parser *p, const char *text, const char *where)
{
	if (!p->failed && !take(p, text))
		FAIL(p, &p->now, "expected '%s' %s", text, where);
}

/* ---- conditions ------------------------------------------------------------------------ */

static struct tpi_expr *condition(struct parser *p);
static struct tpi_expr *guarded(struct parser *p);

static struct tpi_expr *new_expr(struct parser *p, enum tpi_expr_kind kind)
{
	struct tpi_expr *expr = tpi_arena_get(p->arena, sizeof(*expr));

	if (++p->exprs > EXPRS_MAX)
		FAIL(p, &p->now,
		     "the conditions of a rule have at most %d parts",
		     EXPRS_MAX);
	if (!expr) {
		p->failed = true;
		return NULL;
	}
	expr->kind = kind;
	expr->op = p->now;
	return expr;
}

static void operand(struct parser *p, struct tpi_operand *operand)
{
	operand->word = p->now;
	if (p->now.kind == TPI_WORD_NAME)
		operand->name =
			tpi_arena_text(p->arena, p->now.at, p->now.length);
	advance(p);
	if (!operand->name || !take(p, "["))
		return;
	if (p->now.kind != TPI_WORD_STRING) {
		FAIL(p, &p->now,
		     "expected the name of an attribute, as in %s[\"name\"]",
		     operand->name);
		return;
	}
	operand->sub = p->now.string;
	operand->sub_length = p->now.string_length;
	advance(p);
	expect(p, "]", "behind the attribute");
}

static bool is_value(const struct parser *p)
{
	return p->now.kind == TPI_WORD_NAME || p->now.kind == TPI_WORD_NUMBER ||
	       p->now.kind == TPI_WORD_STRING || p->now.kind == TPI_WORD_NET;
}

static const struct {
	const char *name;
	enum tpi_compare compare;
} compares[] = {
	{"==", TPI_EQ},
	{"!=", TPI_NE},
	{"<", TPI_LT},
	{"<=", TPI_LE},
	{">", TPI_GT},
	{">=", TPI_GE},
	{"prefix", TPI_PREFIX},
	{"suffix", TPI_SUFFIX},
	{"contains", TPI_CONTAINS},
	{"matches", TPI_MATCHES},
};

static bool comparison(const struct parser *p, enum tpi_compare *compare)
{
	for (size_t i = 0; i < sizeof(compares) / sizeof(compares[0]); i++) {
		*compare = compares[i].compare;
		if (is(p, compares[i].name))
			return true;
	}
	return false;
}

/* Room for one more member, by moving to twice the room. */
static struct tpi_operand *new_member(struct parser *p, struct tpi_expr *expr)
{
	const unsigned int n = expr->count;
	struct tpi_operand *more;

	if (n == SET_MAX) {
		FAIL(p, &p->now, "a set has at most %d members", SET_MAX);
		return NULL;
	}
	if (!n || (n >= SET_FIRST && !(n & (n - 1)))) {
		more = tpi_arena_get(p->arena,
				     (n ? 2 * n : SET_FIRST) * sizeof(*more));
		if (!more) {
			p->failed = true;
			return NULL;
		}
		if (n)
			memcpy(more, expr->right, n * sizeof(*more));
		expr->right = more;
	}
	return &expr->right[expr->count++];
}

/* in { a, b } and in 10.0.0.0/8 */
static void set(struct parser *p, struct tpi_expr *expr)
{
	const bool one = !take(p, "{");
	struct tpi_operand *member;

	do {
		if (!is_value(p) || (one && p->now.kind == TPI_WORD_NUMBER)) {
			FAIL(p, &p->now,
			     "expected a set { value, ... } or a network as "
			     "10.0.0.0/8 behind 'in'");
			return;
		}
		member = new_member(p, expr);
		if (!member)
			return;
		operand(p, member);
	} while (!one && take(p, ","));
	if (!one)
		expect(p, "}", "at the end of the set");
}

static struct tpi_expr *test(struct parser *p)
{
	struct tpi_expr *expr = new_expr(p, TPI_EXPR_TRUTH);

	if (!expr)
		return NULL;
	if (p->now.kind != TPI_WORD_NAME) {
		FAIL(p, &p->now, "expected the name of a field");
		return NULL;
	}
	operand(p, &expr->left);
	expr->op = p->now;
	if (take(p, "in")) {
		expr->kind = TPI_EXPR_IN;
		set(p, expr);
		return expr;
	}
	/* A step follows: "prefix: ..." */
	if (!comparison(p, &expr->compare) || tpi_word_is(&p->next, ":"))
		return expr;
	advance(p);
	expr->kind = TPI_EXPR_COMPARE;
	expr->right = tpi_arena_get(p->arena, sizeof(*expr->right));
	expr->count = 1;
	if (!expr->right)
		p->failed = true;
	else if (!is_value(p))
		FAIL(p, &p->now, "expected a value behind '%.*s'",
		     (int)expr->op.length, expr->op.at);
	else
		operand(p, expr->right);
	return expr;
}

static struct tpi_expr *factor(struct parser *p)
{
	struct tpi_expr *expr;

	if (is(p, "not")) {
		expr = new_expr(p, TPI_EXPR_NOT);
		advance(p);
		if (expr)
			expr->a = guarded(p);
		return expr;
	}
	if (is(p, "has")) {
		expr = new_expr(p, TPI_EXPR_HAS);
		advance(p);
		if (!expr)
			return NULL;
		if (p->now.kind != TPI_WORD_NAME)
			FAIL(p, &p->now,
			     "expected the name of a field behind 'has'");
		else
			operand(p, &expr->left);
		return expr;
	}
	if (take(p, "(")) {
		expr = condition(p);
		expect(p, ")", "at the end of the condition that '(' begins");
		return expr;
	}
	return test(p);
}

static struct tpi_expr *chain(struct parser *p, const char *word,
			      enum tpi_expr_kind kind,
			      struct tpi_expr *(*inner)(struct parser *))
{
	struct tpi_expr *left = inner(p), *both;

	while (!p->failed && is(p, word)) {
		both = new_expr(p, kind);
		advance(p);
		if (!both)
			return NULL;
		both->a = left;
		both->b = inner(p);
		left = both;
	}
	return left;
}

static struct tpi_expr *guarded(struct parser *p)
{
	struct tpi_expr *expr = NULL;

	if (p->failed)
		return NULL;
	if (++p->depth > DEPTH_MAX)
		FAIL(p, &p->now, "a condition is at most %d deep", DEPTH_MAX);
	else
		expr = factor(p);
	p->depth--;
	return expr;
}

static struct tpi_expr *all_of(struct parser *p)
{
	return chain(p, "and", TPI_EXPR_AND, guarded);
}

static struct tpi_expr *condition(struct parser *p)
{
	return chain(p, "or", TPI_EXPR_OR, all_of);
}

/* ---- items ------------------------------------------------------------------------------ */

static void step(struct parser *p, struct tpi_rule_text *rule)
{
	struct tpi_step_text *one = &rule->steps[rule->step_count];

	if (rule->step_count == TPI_RULES_STEPS_MAX) {
		FAIL(p, &p->now, "a rule has at most %d steps",
		     TPI_RULES_STEPS_MAX);
		return;
	}
	one->word = p->now;
	one->name = tpi_arena_text(p->arena, p->now.at, p->now.length);
	for (unsigned int i = 0; one->name && i < rule->step_count; i++)
		if (!strcmp(rule->steps[i].name, one->name))
			FAIL(p, &p->now,
			     "the rule has a step of this name already");
	if (memchr(p->now.at, '.', p->now.length))
		FAIL(p, &p->now, "the name of a step has no full stop");
	rule->step_count++;
	advance(p);
	advance(p); /* : */
	one->expr = condition(p);
}

static void step_name(struct parser *p, struct tpi_operand *name)
{
	if (p->now.kind != TPI_WORD_NAME)
		FAIL(p, &p->now, "expected the name of a step");
	else
		operand(p, name);
}

static void number(struct parser *p, uint64_t max, uint64_t *out,
		   struct tpi_word *word)
{
	*word = p->now;
	if (p->now.kind != TPI_WORD_NUMBER || p->now.negative ||
	    !p->now.exact || p->now.unit != TPI_UNIT_NONE || !p->now.number ||
	    p->now.number > max) {
		FAIL(p, &p->now, "expected a whole number from 1 to %llu",
		     (unsigned long long)max);
		return;
	}
	*out = p->now.number;
	advance(p);
}

static void threshold(struct parser *p, struct tpi_rule_text *rule,
		      uint64_t max)
{
	uint64_t extra;

	expect(p, ")", "behind the step");
	if (p->failed)
		return;
	if (!is(p, ">") && !is(p, ">=")) {
		FAIL(p, &p->now,
		     "expected '>' or '>=': an operator fires when there are enough");
		return;
	}
	extra = is(p, ">");
	advance(p);
	number(p, max, &rule->need, &rule->need_word);
	rule->need += extra;
}

static void order(struct parser *p, struct tpi_rule_text *rule)
{
	do {
		if (rule->order_count == TPI_RULES_STEPS_MAX) {
			FAIL(p, &p->now, "a sequence has at most %d steps",
			     TPI_RULES_STEPS_MAX);
			return;
		}
		step_name(p, &rule->order[rule->order_count++]);
	} while (take(p, ","));
}

static void distinct(struct parser *p, struct tpi_rule_text *rule)
{
	char *dot = NULL;

	expect(p, "(", "behind 'distinct'");
	step_name(p, &rule->field);
	if (p->failed)
		return;
	rule->order[0] = rule->field;
	rule->order_count = 1;
	if (rule->field.name)
		dot = strchr(rule->field.name, '.');
	if (!dot) {
		FAIL(p, &rule->field.word,
		     "expected a step and a field, as in c.peer");
		return;
	}
	rule->order[0].name = tpi_arena_text(p->arena, rule->field.name,
					     (size_t)(dot - rule->field.name));
	rule->order[0].sub = NULL;
	rule->field.name = dot + 1;
	threshold(p, rule, TPI_RULES_DISTINCT_MAX);
}

static bool is_tail(const struct parser *p)
{
	return is(p, "by") || is(p, "within") || is(p, "at") ||
	       is(p, "severity") || is(p, "say") || is(p, "cooldown") ||
	       is(p, "}");
}

static void begin_operator(struct parser *p, struct tpi_rule_text *rule,
			   enum tpi_rule_operator kind)
{
	if (rule->kind)
		FAIL(p, &p->now, "a rule has one operator");
	rule->kind = kind;
	rule->operator_word = p->now;
	advance(p);
	if (p->failed)
		return;
	if (kind == TPI_RULE_SEQUENCE) {
		order(p, rule);
	} else if (kind == TPI_RULE_COUNT) {
		expect(p, "(", "behind 'count'");
		if (!p->failed)
			step_name(p, &rule->order[0]);
		rule->order_count = 1;
		threshold(p, rule, TPI_RULES_COUNT_MAX);
	} else if (kind == TPI_RULE_DISTINCT) {
		distinct(p, rule);
	} else if (!is_tail(p)) {
		step_name(p, &rule->order[0]);
		rule->order_count = 1;
	}
}

static void key(struct parser *p, struct tpi_rule_text *rule)
{
	const bool brackets = take(p, "(");

	if (rule->by_count)
		FAIL(p, &p->now, "a rule has one 'by'");
	do {
		if (rule->by_count == TPI_RULES_KEYS_MAX) {
			FAIL(p, &p->now, "a key has at most %d fields",
			     TPI_RULES_KEYS_MAX);
			return;
		}
		if (p->now.kind != TPI_WORD_NAME) {
			FAIL(p, &p->now,
			     "expected the name of a field behind 'by'");
			return;
		}
		operand(p, &rule->by[rule->by_count++]);
	} while (take(p, ","));
	if (brackets)
		expect(p, ")", "at the end of the key");
}

static void duration(struct parser *p, const char *what, uint64_t min,
		     uint64_t *out)
{
	if (*out)
		FAIL(p, &p->now, "a rule has one '%s'", what);
	if (p->now.kind != TPI_WORD_NUMBER || p->now.negative ||
	    p->now.unit != TPI_UNIT_NS || p->now.number < min ||
	    p->now.number > TPI_RULES_WITHIN_MAX) {
		FAIL(p, &p->now,
		     "expected a time from %lluns to 7d, as 500ms or 10s",
		     (unsigned long long)min);
		return;
	}
	*out = p->now.number;
	advance(p);
}

static void severity(struct parser *p, struct tpi_rule_text *rule)
{
	char *name = tpi_arena_text(p->arena, p->now.at, p->now.length);

	if (rule->has_severity)
		FAIL(p, &p->now, "a rule has one 'severity'");
	if (!name || p->now.kind != TPI_WORD_NAME ||
	    tapio_severity_parse(name, &rule->severity) || !rule->severity)
		FAIL(p, &p->now,
		     "expected trace, debug, info, notice, warning, error, critical, "
		     "alert or emergency");
	rule->has_severity = true;
	advance(p);
}

static void say(struct parser *p, struct tpi_rule_text *rule)
{
	if (rule->say.kind == TPI_WORD_STRING)
		FAIL(p, &p->now, "a rule has one 'say'");
	if (p->now.kind != TPI_WORD_STRING)
		FAIL(p, &p->now,
		     "expected a text in double quotes behind 'say'");
	rule->say = p->now;
	advance(p);
}

static void at_least(struct parser *p, struct tpi_rule_text *rule)
{
	expect(p, "least", "behind 'at'");
	if (p->failed)
		return;
	if (rule->kind != TPI_RULE_SEQUENCE)
		FAIL(p, &p->now,
		     "only a sequence knows 'at least', and it comes behind it");
	if (rule->need)
		FAIL(p, &p->now, "a rule has one 'at least'");
	number(p, TPI_RULES_STEPS_MAX, &rule->need, &rule->need_word);
}

static void item(struct parser *p, struct tpi_rule_text *rule)
{
	static const char *const operators[] = {"", "sequence", "count",
						"distinct", "absent"};

	if (p->now.kind == TPI_WORD_NAME && tpi_word_is(&p->next, ":")) {
		step(p, rule);
		return;
	}
	for (unsigned int i = TPI_RULE_SEQUENCE; i <= TPI_RULE_ABSENT; i++) {
		if (is(p, operators[i])) {
			begin_operator(p, rule, i);
			return;
		}
	}
	if (take(p, "by"))
		key(p, rule);
	else if (take(p, "within"))
		duration(p, "within", 1, &rule->within_ns);
	else if (take(p, "at"))
		at_least(p, rule);
	else if (take(p, "severity"))
		severity(p, rule);
	else if (take(p, "say"))
		say(p, rule);
	else if (take(p, "cooldown"))
		duration(p, "cooldown", 1, &rule->cooldown_ns);
	else if (!take(p, ";"))
		FAIL(p, &p->now,
		     "expected a step (name: condition), sequence, count, distinct, "
		     "absent, by, within, at least, severity, say, cooldown or '}'");
}

/* ---- rules ------------------------------------------------------------------------------- */

static struct tpi_rule_text *rule(struct parser *p)
{
	struct tpi_rule_text *one = tpi_arena_get(p->arena, sizeof(*one));

	p->failed = !one;
	p->exprs = p->depth = 0;
	if (!one)
		return NULL;
	tpi_hash_init(&p->hash, 1, 2);
	advance(p); /* rule */
	one->word = p->now;
	one->severity = TAPIO_SEVERITY_NOTICE;
	if (p->now.kind != TPI_WORD_NAME || p->now.length > TPI_RULES_NAME_MAX)
		FAIL(p, &p->now,
		     "expected the name of a rule, at most %d bytes",
		     TPI_RULES_NAME_MAX);
	one->name = tpi_arena_text(p->arena, p->now.at, p->now.length);
	advance(p);
	expect(p, "{", "behind the name of the rule");
	while (!p->failed && !is(p, "}") && p->now.kind != TPI_WORD_END)
		item(p, one);
	if (!p->failed) {
		expect(p, "}", "at the end of the rule");
		one->digest = tpi_hash_end(&p->hash);
	}
	return p->failed || p->arena->failed ? NULL : one;
}

static bool is_rule(const struct parser *p)
{
	return p->now.kind == TPI_WORD_END ||
	       (is(p, "rule") && !tpi_word_is(&p->next, ":"));
}

struct tpi_rule_text *tpi_rules_text(struct tpi_arena *arena, const char *text,
				     size_t length,
				     struct tpi_rules_errors *errors)
{
	struct parser p = {.arena = arena, .errors = errors};
	struct tpi_rule_text *first = NULL, **last = &first;
	unsigned int count = 0;

	tpi_lex_init(&p.lex, arena, text, length);
	advance(&p);
	advance(&p);
	while (p.now.kind != TPI_WORD_END && !arena->failed) {
		if (!is_rule(&p)) {
			FAIL(&p, &p.now, "expected 'rule'");
			p.failed = true;
			advance(&p);
			continue;
		}
		if (++count > TPI_RULES_MAX) {
			p.failed = false;
			FAIL(&p, &p.now, "a file has at most %d rules",
			     TPI_RULES_MAX);
			break;
		}
		*last = rule(&p);
		if (*last)
			last = &(*last)->next;
		/* Behind an error, to the next rule, without a word. */
		while (p.failed && !is_rule(&p))
			advance(&p);
	}
	return first;
}
