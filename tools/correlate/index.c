/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tests an event of a slot may pass, without a look at each: most conditions demand that a
 * field has a certain value, as `comm == "sh" and ...`. Tests that demand a value of the same field
 * are one group. Its field is loaded once, and its values are searched for that one.
 *
 * A text is known by a mark of 64 bits. Two texts may have the same one, so a test
 * that is found is still made as a whole.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/correlate/inner.h"

/* A value that a test demands. */
struct tpi_wish {
	uint64_t mark;
	uint32_t test;
};

struct tpi_group {
	struct tpi_ref ref;
	uint32_t count;
	struct tpi_wish *wishes; /* by ascending marks */
};

/* ---- marks --------------------------------------------------------------------------------- */

/* Length, beginning and end: enough to tell most texts apart. */
static uint64_t mark_of(const struct tpi_value *value)
{
	uint64_t begin = 0, end = 0;
	size_t n;

	if (value->kind != TPI_VALUE_BYTES)
		return value->u64;
	n = value->length < sizeof(begin) ? value->length : sizeof(begin);
	memcpy(&begin, value->data, n);
	memcpy(&end, value->data + value->length - n, n);
	return (begin * UINT64_C(0x9e3779b97f4a7c15)) ^
	       (end * UINT64_C(0xc2b2ae3d27d4eb4f)) ^ value->length;
}

static bool has_mark(const struct tpi_value *value)
{
	return value->kind == TPI_VALUE_U64 || value->kind == TPI_VALUE_I64 ||
	       value->kind == TPI_VALUE_BYTES;
}

/* ---- what a condition demands ------------------------------------------------------------------ */

static bool is_wish(const struct tpi_node *node)
{
	if ((node->ref.base != TPI_BASE_HEADER &&
	     node->ref.base != TPI_BASE_FIELDS) ||
	    node->ref.sub || node->ref.kind == TAPIO_FIELD_F64)
		return false;
	if (node->op == TPI_NODE_SET)
		return has_mark(&node->set[0]);
	return (node->op == TPI_NODE_U64 || node->op == TPI_NODE_VALUE) &&
	       node->compare == TPI_EQ && has_mark(&node->value);
}

/* One demand of a condition that all else is joined to by `and`. NULL: it has none. */
static const struct tpi_node *find_wish(const struct tpi_node *node)
{
	const struct tpi_node *found;

	if (node->op != TPI_NODE_AND)
		return is_wish(node) ? node : NULL;
	found = find_wish(node->a);
	return found ? found : find_wish(node->b);
}

static uint32_t wish_count(const struct tpi_node *node)
{
	return node->op == TPI_NODE_SET ? node->count : 1;
}

static const struct tpi_value *wish_at(const struct tpi_node *node, uint32_t i)
{
	return node->op == TPI_NODE_SET ? &node->set[i] : &node->value;
}

/* ---- making ----------------------------------------------------------------------------------------- */

static bool is_same(const struct tpi_ref *a, const struct tpi_ref *b)
{
	return a->base == b->base && a->offset == b->offset;
}

static int by_mark(const void *a, const void *b)
{
	const struct tpi_wish *x = a, *y = b;

	if (x->mark != y->mark)
		return x->mark < y->mark ? -1 : 1;
	return x->test < y->test ? -1 : x->test > y->test;
}

/* All demands on one field. With NULL they are counted only. */
static uint32_t collect(const struct tpi_rules *rules, unsigned int slot,
			const struct tpi_ref *ref, struct tpi_wish *wishes)
{
	uint32_t count = 0;

	for (uint32_t t = 0; t < rules->test_count[slot]; t++) {
		const struct tpi_node *node =
			find_wish(rules->tests[slot][t].node);

		if (!node || !is_same(&node->ref, ref))
			continue;
		for (uint32_t i = 0; i < wish_count(node); i++, count++)
			if (wishes)
				wishes[count] = (struct tpi_wish){
					.mark = mark_of(wish_at(node, i)),
					.test = t};
	}
	return count;
}

static void add_group(struct tpi_rules *rules, unsigned int slot,
		      const struct tpi_ref *ref)
{
	struct tpi_index *index = &rules->index[slot];
	struct tpi_group *group;

	for (unsigned int i = 0; i < index->group_count; i++)
		if (is_same(&index->groups[i].ref, ref))
			return;
	group = &index->groups[index->group_count];
	group->ref = *ref;
	group->count = collect(rules, slot, ref, NULL);
	group->wishes = tpi_arena_get(&rules->arena,
				      group->count * sizeof(*group->wishes));
	if (!group->wishes)
		return;
	collect(rules, slot, ref, group->wishes);
	qsort(group->wishes, group->count, sizeof(*group->wishes), by_mark);
	index->group_count++;
}

void tpi_index_make(struct tpi_rules *rules, unsigned int slot)
{
	struct tpi_index *index = &rules->index[slot];
	const unsigned int count = rules->test_count[slot];

	index->groups = tpi_arena_get(&rules->arena,
				      (count + 1) * sizeof(*index->groups));
	index->rest = tpi_arena_get(&rules->arena,
				    (count + 1) * sizeof(*index->rest));
	if (!index->groups || !index->rest)
		return;
	for (uint32_t t = 0; t < count; t++) {
		const struct tpi_node *node =
			find_wish(rules->tests[slot][t].node);

		if (node)
			add_group(rules, slot, &node->ref);
		else
			index->rest[index->rest_count++] = t;
	}
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static bool any_of(const struct tpi_group *group, const struct tpi_test *tests,
		   uint64_t mark, const struct tpi_match *match)
{
	uint32_t low = 0, high = group->count;

	while (low < high) {
		const uint32_t middle = (low + high) / 2;

		if (group->wishes[middle].mark < mark)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < group->count && group->wishes[low].mark == mark; low++)
		if (tpi_match(tests[group->wishes[low].test].node, match) !=
		    TPI_FALSE)
			return true;
	return false;
}

bool tpi_index_any(const struct tpi_rules *rules, const struct tpi_match *match)
{
	const struct tpi_index *index = &rules->index[match->raw->slot];
	const struct tpi_test *tests = rules->tests[match->raw->slot];
	struct tpi_value value;

	for (unsigned int i = 0; i < index->group_count; i++) {
		tpi_load(match, &index->groups[i].ref, &value);
		if (has_mark(&value) &&
		    any_of(&index->groups[i], tests, mark_of(&value), match))
			return true;
	}
	for (unsigned int i = 0; i < index->rest_count; i++)
		if (tpi_match(tests[index->rest[i]].node, match) != TPI_FALSE)
			return true;
	return false;
}
