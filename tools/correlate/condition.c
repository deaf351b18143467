/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions, compiled for each type of event (slot) that they can be true for.
 *
 *   1. Only comparisons of `type` are looked at: that gives the slots that are possible.
 *   2. The condition is compiled for each of those. A test of a field that the type does not
 *      have is false there, and noted in the test.
 *   3. A test that is fine for none of these slots is an error. So is a condition that is
 *      false for all of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/nearest.h"
#include "tools/correlate/inner.h"

static struct tpi_node *new_node(struct tpi_checker *c, enum tpi_node_op op)
{
	static struct tpi_node
		nothing; /* without memory all of it is given up later */
	struct tpi_node *node = tpi_arena_get(&c->rules->arena, sizeof(*node));

	if (!node)
		node = &nothing;
	node->op = op;
	return node;
}

static const struct tpi_node *constant_node(enum tpi_truth truth)
{
	static const struct tpi_node nodes[] = {
		[TPI_FALSE] = {.op = TPI_NODE_FALSE},
		[TPI_TRUE] = {.op = TPI_NODE_TRUE},
		[TPI_MAYBE] = {.op = TPI_NODE_MAYBE},
	};

	return &nodes[truth];
}

/* ---- types -------------------------------------------------------------------------------- */

static bool is_type(const struct tpi_expr *expr)
{
	return (expr->kind == TPI_EXPR_COMPARE || expr->kind == TPI_EXPR_IN) &&
	       !strcmp(expr->left.name, "type");
}

static void unknown_type(struct tpi_checker *c,
			 const struct tpi_operand *operand)
{
	const struct tapio_event_type *type;
	const char *names[256], *near;
	size_t count = 0;

	for (unsigned int i = 0; count < 256 && (type = tapio_event_type_at(i));
	     i++)
		names[count++] = type->name;
	near = tpi_nearest(operand->name ? operand->name : "", names, count);
	tpi_wrong(c, operand,
		  "no type of event%s%s%s (tapio-tail --list-types)",
		  near ? "; did you mean " : "", near ? near : "",
		  near ? "?" : "");
}

static bool is_this_type(struct tpi_checker *c,
			 const struct tpi_operand *operand)
{
	char text[64];
	uint16_t type;

	snprintf(text, sizeof(text), "%.*s", (int)operand->word.length,
		 operand->word.at);
	if ((operand->word.kind != TPI_WORD_NAME &&
	     operand->word.kind != TPI_WORD_NUMBER) ||
	    operand->word.length >= sizeof(text) ||
	    tapio_event_type_parse(text, &type)) {
		unknown_type(c, operand);
		return false;
	}
	return type == c->rules->slots.types[c->slot];
}

static const struct tpi_node *type_node(struct tpi_checker *c,
					struct tpi_expr *expr)
{
	bool is = false;

	if (expr->compare > TPI_NE) {
		tpi_wrong(c, &expr->left, "type knows ==, != and in only");
		return constant_node(TPI_FALSE);
	}
	for (unsigned int i = 0; i < expr->count; i++)
		is |= is_this_type(c, &expr->right[i]);
	if (expr->kind == TPI_EXPR_COMPARE && expr->compare == TPI_NE)
		is = !is;
	return constant_node(is && !c->failed ? TPI_TRUE : TPI_FALSE);
}

/* ---- fields -------------------------------------------------------------------------------- */

static const char *type_name(const struct tpi_checker *c)
{
	const struct tapio_event_type *type = c->rules->slots.tables[c->slot];

	return type ? type->name : "an event of another type";
}

static bool resolve(struct tpi_checker *c, const struct tpi_operand *operand,
		    struct tpi_ref *ref)
{
	const char *near;

	if (!operand->name) {
		tpi_wrong(c, operand, "expected the name of a field");
		return false;
	}
	if (!tpi_name_resolve(c, operand, ref)) {
		near = tpi_field_nearest(&c->rules->slots,
					 UINT64_C(1) << c->slot, operand->name);
		tpi_wrong(c, operand, "%s has no such field%s%s%s",
			  type_name(c), near ? "; did you mean " : "",
			  near ? near : "", near ? "?" : "");
		return false;
	}
	if (operand->sub && ref->kind != TAPIO_FIELD_ATTRIBUTES) {
		tpi_wrong(c, operand, "%s has no attributes", operand->name);
		return false;
	}
	c->rules->uses_pods |= ref->base == TPI_BASE_POD;
	return true;
}

/* Kinds that can be compared with each other. */
static int family(const struct tpi_ref *ref)
{
	switch (ref->kind) {
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
		return 1;
	case TAPIO_FIELD_ATTRIBUTES:
		return ref->sub ? 1 : -1;
	case TAPIO_FIELD_IP:
		return 2;
	case TAPIO_FIELD_ID:
		return 3;
	case TAPIO_FIELD_FLAGS16:
	case TAPIO_FIELD_TYPE:
		return -1;
	default:
		return 0;
	}
}

static bool is_plain_unsigned(const struct tpi_ref *ref)
{
	return (ref->base == TPI_BASE_HEADER || ref->base == TPI_BASE_FIELDS) &&
	       (ref->kind <= TAPIO_FIELD_U64 || ref->kind == TAPIO_FIELD_TIME ||
		(ref->kind >= TAPIO_FIELD_ENUM8 &&
		 ref->kind <= TAPIO_FIELD_ENUM32));
}

static const struct tpi_node *pair_node(struct tpi_checker *c,
					struct tpi_expr *expr,
					const struct tpi_ref *ref)
{
	struct tpi_ref *other = tpi_arena_get(&c->rules->arena, sizeof(*other));
	struct tpi_node *node;

	if (!other || !resolve(c, expr->right, other))
		return constant_node(TPI_FALSE);
	if (family(ref) != family(other) || family(ref) < 0) {
		tpi_wrong(c, expr->right, "%s and %s are of different kinds",
			  expr->left.name, expr->right->name);
		return constant_node(TPI_FALSE);
	}
	if (family(ref) == 1
		    ? expr->compare > TPI_NE && expr->compare < TPI_PREFIX
		    : expr->compare > (family(ref) ? TPI_NE : TPI_GE) ||
			      expr->compare == TPI_MATCHES) {
		tpi_wrong(c, expr->right, "%s does not know '%.*s'",
			  expr->left.name, (int)expr->op.length, expr->op.at);
		return constant_node(TPI_FALSE);
	}
	if (expr->compare == TPI_MATCHES) {
		tpi_wrong(c, expr->right,
			  "an expression is a text in double quotes");
		return constant_node(TPI_FALSE);
	}
	node = new_node(c, TPI_NODE_PAIR);
	node->compare = expr->compare;
	node->ref = *ref;
	node->other = other;
	return node;
}

static const struct tpi_node *regex_node(struct tpi_checker *c,
					 struct tpi_expr *expr,
					 const struct tpi_ref *ref)
{
	struct tpi_value pattern;
	struct tpi_node *node;
	char why[160] = "";

	if (!tpi_constant(c, ref, expr->right, expr->compare, &pattern))
		return constant_node(TPI_FALSE);
	node = new_node(c, TPI_NODE_REGEX);
	node->ref = *ref;
	if (!expr->regex)
		expr->regex = tpi_regex_new(c->rules, pattern.data,
					    pattern.length, why);
	node->regex = expr->regex;
	if (node->regex)
		return node;
	tpi_wrong(c, expr->right, "%s", why);
	return constant_node(TPI_FALSE);
}

static bool names_a_field(const struct tpi_ref *ref,
			  const struct tpi_operand *operand)
{
	const bool by_name =
		ref->kind >= TAPIO_FIELD_BOOL && ref->kind <= TAPIO_FIELD_TYPE;

	return operand->name && (!by_name || strchr(operand->name, '.'));
}

static const struct tpi_node *compare_node(struct tpi_checker *c,
					   struct tpi_expr *expr)
{
	struct tpi_node *node;
	struct tpi_ref ref;

	if (!resolve(c, &expr->left, &ref))
		return constant_node(TPI_FALSE);
	if (names_a_field(&ref, expr->right))
		return pair_node(c, expr, &ref);
	if (expr->compare == TPI_MATCHES &&
	    (ref.kind == TAPIO_FIELD_STRING || ref.kind == TAPIO_FIELD_BYTES ||
	     ref.sub))
		return regex_node(c, expr, &ref);
	node = new_node(c, TPI_NODE_VALUE);
	node->ref = ref;
	node->compare = expr->compare;
	if (!tpi_constant(c, &ref, expr->right, expr->compare, &node->value))
		return constant_node(TPI_FALSE);
	if (ref.kind == TAPIO_FIELD_FLAGS16)
		node->op = TPI_NODE_FLAG;
	else if (is_plain_unsigned(&ref) && node->value.kind == TPI_VALUE_U64)
		node->op = TPI_NODE_U64;
	return node;
}

static const struct tpi_node *set_node(struct tpi_checker *c,
				       struct tpi_expr *expr)
{
	struct tpi_node *node = new_node(c, TPI_NODE_SET);
	struct tpi_value *set;

	if (!resolve(c, &expr->left, &node->ref))
		return constant_node(TPI_FALSE);
	if (node->ref.kind == TAPIO_FIELD_IP)
		node->op = TPI_NODE_NETS;
	set = tpi_arena_get(&c->rules->arena, expr->count * sizeof(*set));
	if (!set)
		return constant_node(TPI_FALSE);
	for (unsigned int i = 0; i < expr->count; i++)
		if (!tpi_constant(c, &node->ref, &expr->right[i], TPI_EQ,
				  &set[i]))
			return constant_node(TPI_FALSE);
	if (node->op == TPI_NODE_SET)
		qsort(set, expr->count, sizeof(*set), tpi_value_order);
	node->set = set;
	node->count = expr->count;
	return node;
}

static const struct tpi_node *truth_node(struct tpi_checker *c,
					 struct tpi_expr *expr)
{
	struct tpi_node *node = new_node(c, TPI_NODE_VALUE);

	if (!resolve(c, &expr->left, &node->ref))
		return constant_node(TPI_FALSE);
	if (node->ref.kind != TAPIO_FIELD_BOOL) {
		tpi_wrong(c, &expr->left,
			  "%s is not true or false: compare it, or say has %s",
			  expr->left.name, expr->left.name);
		return constant_node(TPI_FALSE);
	}
	node->value = (struct tpi_value){.kind = TPI_VALUE_U64, .u64 = 1};
	return node;
}

static const struct tpi_node *has_node(struct tpi_checker *c,
				       struct tpi_expr *expr)
{
	struct tpi_node *node = new_node(c, TPI_NODE_HAS);

	return resolve(c, &expr->left, &node->ref) ? node
						   : constant_node(TPI_FALSE);
}

static const struct tpi_node *leaf(struct tpi_checker *c, struct tpi_expr *expr)
{
	const struct tpi_node *node;

	if (c->types_only && !is_type(expr))
		return constant_node(TPI_MAYBE);
	c->expr = expr;
	c->failed = false;
	if (is_type(expr))
		node = type_node(c, expr);
	else if (expr->kind == TPI_EXPR_COMPARE)
		node = compare_node(c, expr);
	else if (expr->kind == TPI_EXPR_IN)
		node = set_node(c, expr);
	else if (expr->kind == TPI_EXPR_HAS)
		node = has_node(c, expr);
	else
		node = truth_node(c, expr);
	if (!c->failed)
		expr->fine |= UINT64_C(1) << c->slot;
	return node;
}

/* ---- trees --------------------------------------------------------------------------------- */

static const struct tpi_node *build(struct tpi_checker *c,
				    struct tpi_expr *expr);

static const struct tpi_node *build_not(struct tpi_checker *c,
					struct tpi_expr *expr)
{
	const struct tpi_node *a = build(c, expr->a);
	struct tpi_node *node;

	if (a->op <= TPI_NODE_MAYBE)
		return a->op == TPI_NODE_MAYBE ? a : constant_node(!a->op);
	node = new_node(c, TPI_NODE_NOT);
	node->a = a;
	return node;
}

static const struct tpi_node *build_both(struct tpi_checker *c,
					 struct tpi_expr *expr)
{
	const bool is_and = expr->kind == TPI_EXPR_AND;
	/* AND: one that is false decides, and true changes nothing. OR: turned round. */
	const uint8_t decides = is_and ? TPI_NODE_FALSE : TPI_NODE_TRUE;
	const uint8_t neutral = is_and ? TPI_NODE_TRUE : TPI_NODE_FALSE;
	const struct tpi_node *a = build(c, expr->a), *b = build(c, expr->b);
	struct tpi_node *node;

	if (a->op == decides || b->op == decides)
		return constant_node(is_and ? TPI_FALSE : TPI_TRUE);
	if (a->op == neutral)
		return b;
	if (b->op == neutral)
		return a;
	node = new_node(c, is_and ? TPI_NODE_AND : TPI_NODE_OR);
	node->a = a;
	node->b = b;
	return node;
}

static const struct tpi_node *build(struct tpi_checker *c,
				    struct tpi_expr *expr)
{
	switch (expr->kind) {
	case TPI_EXPR_AND:
	case TPI_EXPR_OR:
		return build_both(c, expr);
	case TPI_EXPR_NOT:
		return build_not(c, expr);
	default:
		return leaf(c, expr);
	}
}

/* Complains about each test that is wrong wherever it could matter. */
static unsigned int complain(struct tpi_checker *c, struct tpi_expr *expr,
			     uint64_t possible)
{
	const struct tpi_operand *at = expr->at ? expr->at : &expr->left;

	if (expr->kind == TPI_EXPR_NOT)
		return complain(c, expr->a, possible);
	if (expr->kind == TPI_EXPR_AND || expr->kind == TPI_EXPR_OR)
		return complain(c, expr->a, possible) +
		       complain(c, expr->b, possible);
	if (!expr->why || expr->fine & possible)
		return 0;
	tpi_rules_complain(c->errors, &at->word, "%s", expr->why);
	return 1;
}

uint64_t tpi_condition_check(struct tpi_checker *c, struct tpi_expr *expr,
			     struct tpi_step *step)
{
	const struct tpi_word *word = &c->rule->text->steps[step->index].word;
	const unsigned int count = c->rules->slots.count;
	uint64_t possible = 0, live = 0;

	c->types_only = true;
	for (c->slot = 0; c->slot < count; c->slot++)
		if (build(c, expr)->op != TPI_NODE_FALSE)
			possible |= UINT64_C(1) << c->slot;
	if (complain(c, expr, possible ? possible : UINT64_MAX))
		return 0;
	if (!possible) {
		tpi_rules_complain(
			c->errors, word,
			"the step can match no event: its conditions on the type "
			"exclude each other");
		return 0;
	}
	c->types_only = false;
	for (c->slot = 0; c->slot < count; c->slot++) {
		const struct tpi_node *node;

		if (!(possible >> c->slot & 1))
			continue;
		node = build(c, expr);
		if (node->op == TPI_NODE_FALSE)
			continue;
		step->nodes[c->slot] = node;
		live |= UINT64_C(1) << c->slot;
	}
	if (complain(c, expr, possible))
		return 0;
	if (!live)
		tpi_rules_complain(
			c->errors, word,
			"the step can match no event: no type has all of its fields");
	return live;
}
