/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole rule: its steps in the order of its operator, its key, its text. A step keeps the
 * types that have all fields of the key, since an event without its key is not used.
 */
#include <stdio.h>
#include <string.h>

#include "tools/correlate/inner.h"

/* ---- steps ----------------------------------------------------------------------------------- */

static int find_step(const struct tpi_rule_text *text, const char *name)
{
	for (unsigned int i = 0; name && i < text->step_count; i++)
		if (!strcmp(text->steps[i].name, name))
			return (int)i;
	return -1;
}

/* The steps in the order of the operator. */
static bool order_steps(struct tpi_checker *c)
{
	const struct tpi_rule_text *text = c->rule->text;
	unsigned int used = 0;

	for (unsigned int i = 0; i < c->rule->step_count; i++) {
		struct tpi_step *step = &c->rule->steps[i];
		/* `absent` without a name: the only step. */
		int index = text->order_count
				    ? find_step(text, text->order[i].name)
				    : 0;

		if (index < 0 || used >> index & 1) {
			tpi_rules_complain(
				c->errors, &text->order[i].word, "%s",
				index < 0 ? "the rule has no step of this name"
					  : "the step is named twice");
			return false;
		}
		used |= 1u << index;
		step->index = (uint8_t)index;
		step->name = text->steps[index].name;
	}
	for (unsigned int i = 0; i < text->step_count; i++) {
		if (used >> i & 1)
			continue;
		tpi_rules_complain(c->errors, &text->steps[i].word,
				   "the operator does not use this step");
		return false;
	}
	return true;
}

static bool check_steps(struct tpi_checker *c)
{
	bool ok = true;

	for (c->step = 0; c->step < c->rule->step_count; c->step++) {
		struct tpi_step *step = &c->rule->steps[c->step];

		if (!tpi_condition_check(
			    c, c->rule->text->steps[step->index].expr, step))
			ok = false;
	}
	return ok;
}

/* ---- the key ----------------------------------------------------------------------------------- */

/* `process` is a pid and the start of the process, by which it is told from a later one. */
static bool expand_key(struct tpi_checker *c)
{
	const struct tpi_rule_text *text = c->rule->text;
	unsigned int n = 0;

	for (unsigned int i = 0; i < text->by_count; i++) {
		const char *name = text->by[i].name;
		const bool process = !strcmp(name, "process");

		if (n + process >= TPI_RULES_KEYS_MAX) {
			tpi_rules_complain(c->errors, &text->by[i].word,
					   "a key has at most %d fields",
					   TPI_RULES_KEYS_MAX);
			return false;
		}
		if (process)
			c->rule->key_names[n++] = "pid";
		if (!strcmp(name, "pod"))
			name = "pod.uid";
		c->rule->key_names[n++] = process ? "start_ticks" : name;
	}
	c->rule->key_count = (uint8_t)n;
	return true;
}

static int key_family(const struct tpi_ref *ref)
{
	switch (ref->kind) {
	case TAPIO_FIELD_STRING:
	case TAPIO_FIELD_BYTES:
		return 1;
	case TAPIO_FIELD_IP:
		return 2;
	case TAPIO_FIELD_ID:
		return 3;
	case TAPIO_FIELD_ATTRIBUTES:
		return 4;
	default:
		return 0;
	}
}

/* The key in events of one slot. False: they do not have all of it. */
static bool resolve_key(struct tpi_checker *c, struct tpi_ref *refs,
			unsigned int *missing)
{
	for (unsigned int k = 0; k < c->rule->key_count; k++) {
		*missing = k;
		if (!tpi_field_resolve(&c->rules->slots, c->slot,
				       c->rule->key_names[k], &refs[k]))
			return false;
		c->rules->uses_pods |= refs[k].base == TPI_BASE_POD;
	}
	return true;
}

static bool check_kinds(struct tpi_checker *c, const struct tpi_ref *refs,
			bool first)
{
	for (unsigned int k = 0; k < c->rule->key_count; k++) {
		const struct tpi_ref known = {.kind = c->rule->key_kinds[k]};

		if (key_family(&refs[k]) == 4) {
			tpi_rules_complain(
				c->errors, &c->rule->text->operator_word,
				"%s is a list of attributes, and no key",
				c->rule->key_names[k]);
			return false;
		}
		if (!first && key_family(&refs[k]) != key_family(&known)) {
			tpi_rules_complain(
				c->errors, &c->rule->text->operator_word,
				"%s is of different kinds in the types that the "
				"steps match",
				c->rule->key_names[k]);
			return false;
		}
		c->rule->key_kinds[k] = refs[k].kind;
	}
	return true;
}

static bool check_key_of(struct tpi_checker *c, struct tpi_step *step,
			 bool *first)
{
	const struct tapio_event_type *type = NULL;
	unsigned int left = 0, missing = 0, k = 0;

	for (c->slot = 0; c->slot < c->rules->slots.count; c->slot++) {
		struct tpi_ref *refs;

		if (!step->nodes[c->slot])
			continue;
		refs = tpi_arena_get(&c->rules->arena,
				     (c->rule->key_count + 1u) * sizeof(*refs));
		if (!refs)
			return false;
		if (!resolve_key(c, refs, &k)) {
			step->nodes[c->slot] = NULL;
			type = c->rules->slots.tables[c->slot];
			missing = k;
			continue;
		}
		if (!check_kinds(c, refs, *first))
			return false;
		*first = false;
		step->keys[c->slot] = refs;
		left++;
	}
	if (left)
		return true;
	tpi_rules_complain(
		c->errors, &c->rule->text->steps[step->index].word,
		"the step can match no event: %s has no field '%s', which the rule "
		"goes by",
		type ? type->name : "its type", c->rule->key_names[missing]);
	return false;
}

/* ---- the value of `distinct` --------------------------------------------------------------------- */

static bool check_distinct(struct tpi_checker *c)
{
	struct tpi_step *step = &c->rule->steps[0];
	const struct tpi_operand *field = &c->rule->text->field;
	uint64_t types = 0;
	const char *near;
	bool found = false;

	if (c->rule->kind != TPI_RULE_DISTINCT)
		return true;
	for (unsigned int slot = 0; slot < c->rules->slots.count; slot++) {
		struct tpi_ref *ref = &step->value[slot];

		if (!step->nodes[slot])
			continue;
		types |= UINT64_C(1) << slot;
		if (!tpi_field_resolve(&c->rules->slots, slot, field->name,
				       ref)) {
			step->nodes[slot] = NULL;
			continue;
		}
		ref->sub = field->sub;
		ref->sub_length = (uint32_t)field->sub_length;
		c->rules->uses_pods |= ref->base == TPI_BASE_POD;
		found = true;
	}
	if (found)
		return true;
	near = tpi_field_nearest(&c->rules->slots, types, field->name);
	tpi_rules_complain(c->errors, &field->word,
			   "the events of step '%s' have no field '%s'%s%s%s",
			   step->name, field->name,
			   near ? "; did you mean " : "", near ? near : "",
			   near ? "?" : "");
	return false;
}

/* ---- the text -------------------------------------------------------------------------------------- */

static struct tpi_say *add_say(struct tpi_checker *c,
			       const struct tpi_say ***last,
			       enum tpi_say_kind kind)
{
	struct tpi_say *piece = tpi_arena_get(&c->rules->arena, sizeof(*piece));

	if (!piece)
		return NULL;
	piece->kind = kind;
	**last = piece;
	*last = &piece->next;
	return piece;
}

static bool say_name(struct tpi_checker *c, const struct tpi_say ***last,
		     const char *name)
{
	struct tpi_say *piece = add_say(c, last, TPI_SAY_FIELD);
	struct tpi_operand operand = {
		.name = tpi_arena_text(&c->rules->arena, name, strlen(name))};
	char whole[256];

	if (!piece || !operand.name)
		return false;
	if (!strcmp(name, "key")) {
		piece->kind = TPI_SAY_KEY;
	} else if (!strcmp(name, "count")) {
		piece->kind = TPI_SAY_COUNT;
	} else if (!strcmp(name, "rule")) {
		piece->kind = TPI_SAY_RULE;
	} else if (!tpi_name_resolve(c, &operand, &piece->ref) ||
		   piece->ref.base < TPI_BASE_POD) {
		/* With one step its name may be left out. */
		if (c->rule->step_count > 1)
			return false;
		snprintf(whole, sizeof(whole), "%s.%s", c->rule->steps[0].name,
			 name);
		operand.name =
			tpi_arena_text(&c->rules->arena, whole, strlen(whole));
		if (!operand.name ||
		    !tpi_name_resolve(c, &operand, &piece->ref))
			return false;
	}
	if (piece->kind == TPI_SAY_FIELD) {
		c->rule->keeps |= c->rule->kind == TPI_RULE_ABSENT;
		c->rules->uses_pods |= piece->ref.base == TPI_BASE_POD;
	}
	return true;
}

/* The value at a bracket. Where it ends, or NULL. */
static const char *say_value(struct tpi_checker *c,
			     const struct tpi_say ***last, const char *at,
			     const char *end)
{
	const struct tpi_word *word = &c->rule->text->say;
	const char *close =
		*at == '{' ? memchr(at, '}', (size_t)(end - at)) : NULL;
	char name[128];

	if (!close || (size_t)(close - at) > sizeof(name)) {
		tpi_rules_complain(
			c->errors, word,
			"a bracket stands alone: {step.field} is a value, {{ and }} are "
			"brackets");
		return NULL;
	}
	memcpy(name, at + 1, (size_t)(close - at - 1));
	name[close - at - 1] = '\0';
	if (say_name(c, last, name))
		return close + 1;
	tpi_rules_complain(
		c->errors, word,
		"the text names '%s', which is no field of a step, nor key, count or "
		"rule",
		name);
	return NULL;
}

/* "{step.field}" is its value, "{{" and "}}" are brackets. */
static bool check_say(struct tpi_checker *c)
{
	const struct tpi_word *word = &c->rule->text->say;
	const struct tpi_say **last = &c->rule->say;
	const char *at, *end, *begin;
	struct tpi_say *piece;
	size_t length;

	if (word->kind != TPI_WORD_STRING)
		return true;
	at = word->string;
	end = at + word->string_length;
	c->step = c->rule->step_count; /* all steps are earlier */
	c->slot = c->rules->slots.other;
	while (at < end) {
		begin = at;
		length = 1;
		if (*at != '{' && *at != '}') {
			while (at < end && *at != '{' && *at != '}')
				at++;
			length = (size_t)(at - begin);
		} else if (at + 1 < end && at[1] == *at) {
			at += 2;
		} else {
			at = say_value(c, &last, at, end);
			if (!at)
				return false;
			continue;
		}
		piece = add_say(c, &last, TPI_SAY_TEXT);
		if (!piece)
			return false;
		piece->text = begin;
		piece->length = length;
	}
	return true;
}

/* ---- all of it -------------------------------------------------------------------------------------- */

static bool check_form(struct tpi_checker *c)
{
	const struct tpi_rule_text *text = c->rule->text;
	const char *what = NULL;

	if (!text->kind)
		what = "the rule has no operator: sequence, count, distinct or absent";
	else if (!text->step_count)
		what = "the rule has no step";
	else if (!text->within_ns)
		what = "the rule has no 'within'";
	else if (!text->order_count && text->step_count > 1)
		what = "the rule has several steps: say which one is absent";
	if (!what && text->kind == TPI_RULE_SEQUENCE &&
	    text->need > text->order_count) {
		tpi_rules_complain(c->errors, &text->need_word,
				   "the sequence has only %u steps",
				   text->order_count);
		return false;
	}
	if (what)
		tpi_rules_complain(c->errors, &text->word, "%s", what);
	return !what;
}

static bool init_rule(struct tpi_checker *c)
{
	struct tpi_rule *rule = c->rule;
	const struct tpi_rule_text *text = rule->text;

	rule->kind = text->kind;
	rule->severity = text->severity;
	rule->within_ns = text->within_ns;
	rule->cooldown_ns = text->cooldown_ns;
	rule->digest = text->digest;
	rule->step_count = (uint8_t)(text->order_count ? text->order_count : 1);
	rule->need = (uint32_t)text->need;
	if (rule->kind == TPI_RULE_SEQUENCE && !rule->need)
		rule->need = rule->step_count;
	rule->keeps = rule->kind == TPI_RULE_SEQUENCE;
	rule->steps = tpi_arena_get(&c->rules->arena,
				    rule->step_count * sizeof(*rule->steps));
	return rule->steps;
}

bool tpi_rule_check(struct tpi_rules *rules, struct tpi_rule *rule,
		    struct tpi_rules_errors *errors)
{
	struct tpi_checker c = {.rules = rules, .rule = rule, .errors = errors};
	bool first = true;

	if (!check_form(&c) || !init_rule(&c) || !order_steps(&c))
		return false;
	if (!check_steps(&c) || !expand_key(&c))
		return false;
	for (unsigned int i = 0; i < rule->step_count; i++)
		if (!check_key_of(&c, &rule->steps[i], &first))
			return false;
	return check_distinct(&c) && check_say(&c);
}
