/* SPDX-License-Identifier: Apache-2.0 */
/* Loading rules: the text, the types that it names, each rule, and the tests by type. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/correlate/inner.h"

/* ---- slots ---------------------------------------------------------------------------------- */

static void init_slots(struct tpi_slots *slots)
{
	const struct tapio_event_type *type;

	/* Half of the slots stay for numbers that rules name. */
	for (unsigned int i = 0;
	     i < TPI_SLOTS_MAX / 2 && (type = tapio_event_type_at(i)); i++) {
		slots->types[slots->count] = type->type;
		slots->tables[slots->count++] = type;
	}
	slots->other = slots->count++;
	memset(slots->named, (int)slots->other, sizeof(slots->named));
	for (unsigned int i = 0; i < slots->other; i++)
		if (slots->types[i] < TPI_SLOT_NAMED)
			slots->named[slots->types[i]] = (uint8_t)i;
}

static bool add_slot(struct tpi_slots *slots, uint64_t number)
{
	if (!number || number > UINT16_MAX)
		return true; /* the check of its condition refuses it */
	if (tpi_slot_of(slots, (uint16_t)number) != slots->other)
		return true;
	if (slots->count == TPI_SLOTS_MAX)
		return false;
	if (number < TPI_SLOT_NAMED)
		slots->named[number] = (uint8_t)slots->count;
	slots->types[slots->count++] = (uint16_t)number;
	return true;
}

/* Types that a condition names by number. False: too many, in the whole file. */
static bool find_types(struct tpi_slots *slots, const struct tpi_expr *expr)
{
	if (expr->kind == TPI_EXPR_AND || expr->kind == TPI_EXPR_OR)
		return find_types(slots, expr->a) && find_types(slots, expr->b);
	if (expr->kind == TPI_EXPR_NOT)
		return find_types(slots, expr->a);
	if (strcmp(expr->left.name, "type"))
		return true;
	for (unsigned int i = 0; i < expr->count; i++)
		if (expr->right[i].word.kind == TPI_WORD_NUMBER &&
		    !add_slot(slots, expr->right[i].word.number))
			return false;
	return true;
}

static bool find_all_types(struct tpi_rules *rules,
			   const struct tpi_rule_text *text,
			   struct tpi_rules_errors *errors)
{
	for (; text; text = text->next) {
		for (unsigned int i = 0; i < text->step_count; i++) {
			if (find_types(&rules->slots, text->steps[i].expr))
				continue;
			tpi_rules_complain(
				errors, &text->steps[i].word,
				"the rules name more than %u types by number",
				TPI_SLOTS_MAX - rules->slots.other - 1);
			return false;
		}
	}
	return true;
}

/* ---- tests by slot ----------------------------------------------------------------------------- */

static void add_tests(struct tpi_rules *rules, unsigned int slot,
		      struct tpi_test *tests)
{
	for (unsigned int r = 0; r < rules->count; r++) {
		for (unsigned int s = 0; s < rules->rules[r].step_count; s++) {
			const struct tpi_node *node =
				rules->rules[r].steps[s].nodes[slot];

			if (!node)
				continue;
			if (tests)
				tests[rules->test_count[slot]] =
					(struct tpi_test){.rule = (uint16_t)r,
							  .step = (uint8_t)s,
							  .node = node};
			rules->test_count[slot]++;
		}
	}
}

static void index_tests(struct tpi_rules *rules)
{
	for (unsigned int slot = 0; slot < rules->slots.count; slot++) {
		add_tests(rules, slot, NULL);
		rules->tests[slot] = tpi_arena_get(
			&rules->arena, (rules->test_count[slot] + 1) *
					       sizeof(struct tpi_test));
		if (!rules->tests[slot])
			return;
		rules->test_count[slot] = 0;
		add_tests(rules, slot, rules->tests[slot]);
		tpi_index_make(rules, slot);
	}
}

/* ---- all of them --------------------------------------------------------------------------------- */

static void check_names(const struct tpi_rule_text *first,
			struct tpi_rules_errors *errors)
{
	for (const struct tpi_rule_text *a = first; a; a = a->next) {
		for (const struct tpi_rule_text *b = first; b != a;
		     b = b->next) {
			if (strcmp(a->name, b->name))
				continue;
			tpi_rules_complain(
				errors, &a->word,
				"another rule has this name, in line %u",
				b->word.line);
			break;
		}
	}
}

static void check_all(struct tpi_rules *rules, const struct tpi_rule_text *text,
		      struct tpi_rules_errors *errors)
{
	unsigned int count = 0;

	for (const struct tpi_rule_text *t = text; t; t = t->next)
		count++;
	rules->rules = tpi_arena_get(&rules->arena,
				     (count + 1) * sizeof(*rules->rules));
	if (!rules->rules)
		return;
	for (; text; text = text->next) {
		struct tpi_rule *rule = &rules->rules[rules->count++];

		rule->text = text;
		tpi_rule_check(rules, rule, errors);
		if (rule->within_ns > rules->within_max_ns)
			rules->within_max_ns = rule->within_ns;
	}
}

static void no_rules(struct tpi_rules_errors *errors)
{
	static const struct tpi_word begin = {.line = 1, .column = 1};

	tpi_rules_complain(errors, &begin,
			   "there is no rule: rule NAME { ... }");
}

static int parse(struct tpi_rules *rules, const char *text, size_t length,
		 struct tpi_rules_errors *errors)
{
	/* Words point into it for as long as the rules live. */
	const char *copy = tpi_arena_text(&rules->arena, text, length);
	struct tpi_rule_text *first;

	if (!copy)
		return -ENOMEM;
	init_slots(&rules->slots);
	first = tpi_rules_text(&rules->arena, copy, length, errors);
	if (rules->arena.failed)
		return -ENOMEM;
	check_names(first, errors);
	if (find_all_types(rules, first, errors))
		check_all(rules, first, errors);
	if (!first && !errors->count)
		no_rules(errors);
	if (!errors->count)
		index_tests(rules);
	if (rules->arena.failed)
		return -ENOMEM;
	return errors->count ? -EINVAL : 0;
}

int tpi_rules_parse(const char *name, const char *text, size_t length,
		    struct tpi_rules **rules, struct tpi_rules_errors *errors)
{
	static const struct tpi_word begin = {.line = 1, .column = 1};
	struct tpi_rules *made;
	int err;

	*rules = NULL;
	memset(errors, 0, sizeof(*errors));
	snprintf(errors->name, sizeof(errors->name), "%s", name);
	if (length > TPI_RULES_BYTES_MAX) {
		tpi_rules_complain(errors, &begin,
				   "it has %zu bytes, the limit is %u", length,
				   TPI_RULES_BYTES_MAX);
		return -EINVAL;
	}
	made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	err = parse(made, text, length, errors);
	if (err)
		tpi_rules_free(made);
	else
		*rules = made;
	return err;
}

/* All of a file, at most `max` bytes and one. -errno. */
static int read_all(int fd, char *text, size_t max, size_t *length)
{
	ssize_t n;

	for (*length = 0; *length <= max; *length += (size_t)n) {
		n = read(fd, text + *length, max + 1 - *length);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -errno;
		else if (!n)
			break;
	}
	return *length > max ? -EFBIG : 0;
}

int tpi_rules_load(const char *path, struct tpi_rules **rules,
		   struct tpi_rules_errors *errors)
{
	static const struct tpi_word begin = {.line = 1, .column = 1};
	char *text = malloc(TPI_RULES_BYTES_MAX + 1);
	int fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	size_t length = 0;
	int err;

	*rules = NULL;
	memset(errors, 0, sizeof(*errors));
	snprintf(errors->name, sizeof(errors->name), "%s", path);
	if (!text)
		return -ENOMEM;
	err = fd < 0 ? -errno
		     : read_all(fd, text, TPI_RULES_BYTES_MAX, &length);
	if (fd >= 0)
		close(fd);
	if (err == -EFBIG)
		tpi_rules_complain(errors, &begin,
				   "it has more than %u bytes, the limit",
				   TPI_RULES_BYTES_MAX);
	else if (err)
		tpi_rules_complain(errors, &begin, "cannot read it: %s",
				   strerror(-err));
	else
		err = tpi_rules_parse(path, text, length, rules, errors);
	free(text);
	return err;
}

void tpi_rules_free(struct tpi_rules *rules)
{
	if (!rules)
		return;
	tpi_regex_free_all(rules);
	tpi_arena_free(&rules->arena);
	free(rules);
}

void tpi_rules_print_errors(const struct tpi_rules_errors *errors, FILE *file)
{
	unsigned int i;

	for (i = 0; i < errors->count && i < TPI_RULES_ERRORS_MAX; i++) {
		const struct tpi_rules_error *error = &errors->errors[i];

		fprintf(file, "%s:%u:%u: %s%s%s%s\n", errors->name, error->line,
			error->column, *error->word ? "'" : "", error->word,
			*error->word ? "': " : "", error->text);
	}
	if (errors->count > i)
		fprintf(file, "%s: and %u more errors\n", errors->name,
			errors->count - i);
}

/* ---- what was loaded ------------------------------------------------------------------------------- */

unsigned int tpi_rules_count(const struct tpi_rules *rules)
{
	return rules->count;
}

bool tpi_rules_info(const struct tpi_rules *rules, unsigned int index,
		    struct tpi_rule_info *info)
{
	const struct tpi_rule *rule;

	memset(info, 0, sizeof(*info));
	if (index >= rules->count)
		return false;
	rule = &rules->rules[index];
	*info = (struct tpi_rule_info){
		.name = rule->text->name,
		.kind = rule->kind,
		.severity = rule->severity,
		.step_count = rule->text->step_count,
		.within_ns = rule->within_ns,
		.cooldown_ns = rule->cooldown_ns,
		.digest = rule->digest,
		.line = rule->text->word.line,
	};
	for (unsigned int i = 0; i < info->step_count; i++)
		info->steps[i] = rule->text->steps[i].name;
	return true;
}

int tpi_rules_types(const struct tpi_rules *rules, uint16_t *types,
		    unsigned int max)
{
	int count = 0;

	if (rules->test_count[rules->slots.other])
		return -1;
	for (unsigned int i = 0; i < rules->slots.count; i++) {
		const uint16_t type = rules->slots.types[i];

		if (!rules->test_count[i] &&
		    !(rules->uses_pods &&
		      type == TAPIO_EVENT_KUBERNETES_OBJECT))
			continue;
		if ((unsigned int)count < max)
			types[count] = type;
		count++;
	}
	return count;
}
