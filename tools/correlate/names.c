/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of rules: fields of the header, of a type, of the event's pod, of an earlier step. A
 * field in ns or bytes is found without the end of its name, too: `duration` is duration_ns.
 */
#include <stdio.h>
#include <string.h>

#include "tools/common/nearest.h"
#include "tools/correlate/inner.h"

#define NAME_MAX_BYTES 64

/* ---- fields -------------------------------------------------------------------------------- */

static const char *const pod_fields[] = {"pod.name", "pod.namespace",
					 "pod.uid"};

/* Other names of fields of the header, for `by` above all. */
static const struct {
	const char *name, *field;
} aliases[] = {
	{"cgroup_id", "cgroup_id"},
	{"netns", "netns_inode"},
	{"trace", "trace_id"},
	{"container", "container_id"},
};

static const struct tapio_event_field *
find_field(const struct tapio_event_type *type, const char *name)
{
	static const char *const ends[] = {"", "_ns", "_bytes"};
	const struct tapio_event_field *field;
	char whole[NAME_MAX_BYTES];

	for (size_t i = 0; type && i < sizeof(ends) / sizeof(ends[0]); i++) {
		if ((size_t)snprintf(whole, sizeof(whole), "%s%s", name,
				     ends[i]) >= sizeof(whole))
			return NULL;
		field = tapio_event_field_find(type, whole);
		if (field)
			return field;
	}
	return NULL;
}

static void set_field(struct tpi_ref *ref, enum tpi_base base,
		      const struct tapio_event_field *field)
{
	*ref = (struct tpi_ref){
		.base = base,
		.kind = field->kind,
		.bytes = field->bytes,
		.unset = field->unset,
		.offset = field->offset,
		.field = field,
	};
}

bool tpi_field_resolve(const struct tpi_slots *slots, unsigned int slot,
		       const char *name, struct tpi_ref *ref)
{
	const struct tapio_event_field *field;

	*ref = (struct tpi_ref){0};
	for (unsigned int i = 0; i < 3; i++) {
		if (strcmp(name, pod_fields[i]))
			continue;
		*ref = (struct tpi_ref){.base = TPI_BASE_POD,
					.kind = TAPIO_FIELD_STRING,
					.pod = (uint8_t)i};
		return true;
	}
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (!strcmp(name, aliases[i].name))
			name = aliases[i].field;
	field = find_field(tapio_event_header_type(), name);
	if (field) {
		set_field(ref, TPI_BASE_HEADER, field);
		return true;
	}
	field = find_field(slots->tables[slot], name);
	if (field)
		set_field(ref, TPI_BASE_FIELDS, field);
	return field;
}

const char *tpi_field_nearest(const struct tpi_slots *slots, uint64_t types,
			      const char *name)
{
	const struct tapio_event_type *type = tapio_event_header_type();
	const char *names[1024];
	size_t count = 0;

	for (unsigned int i = 0; i < 3; i++)
		names[count++] = pod_fields[i];
	for (unsigned int slot = 0; type || slot < slots->count;) {
		for (unsigned int i = 0;
		     type && i < type->field_count && count < 1024; i++)
			names[count++] = tapio_event_field_at(type, i)->name;
		type = NULL;
		for (; slot < slots->count && !type; slot++)
			if (types >> slot & 1)
				type = slots->tables[slot];
	}
	return tpi_nearest(name, names, count);
}

/* ---- steps --------------------------------------------------------------------------------- */

/* "oom.comm": the step's place in the order. -1: it begins with no step's name. */
static int step_of(const struct tpi_rule *rule, const char *name,
		   const char **field)
{
	const char *dot = strchr(name, '.');

	for (unsigned int i = 0; dot && i < rule->step_count; i++) {
		const char *step = rule->steps[i].name;

		if (strlen(step) != (size_t)(dot - name) ||
		    memcmp(step, name, (size_t)(dot - name)))
			continue;
		*field = dot + 1;
		return (int)i;
	}
	return -1;
}

/* A field of an earlier step, in each slot that the step can have. A rule keeps those that it has
 * named, since each of its conditions is compiled for many slots. */
struct tpi_link {
	struct tpi_link *next;
	unsigned int step;
	const char *field, *sub;
	size_t sub_length;
	const struct tpi_ref *first; /* NULL: no slot has the field */
	struct tpi_ref by_slot[];
};

static struct tpi_link *make_link(struct tpi_checker *c, unsigned int step,
				  const char *field,
				  const struct tpi_operand *operand)
{
	const struct tpi_slots *slots = &c->rules->slots;
	struct tpi_link *link = tpi_arena_get(
		&c->rules->arena,
		sizeof(*link) + slots->count * sizeof(struct tpi_ref));

	if (!link)
		return NULL;
	link->step = step;
	link->field = field;
	link->sub = operand->sub;
	link->sub_length = operand->sub_length;
	for (unsigned int i = 0; i < slots->count; i++) {
		struct tpi_ref *ref = &link->by_slot[i];

		if (!c->rule->steps[step].nodes[i] ||
		    !tpi_field_resolve(slots, i, field, ref) ||
		    ref->base == TPI_BASE_POD) {
			*ref = (struct tpi_ref){0};
			continue;
		}
		ref->sub = operand->sub;
		ref->sub_length = (uint32_t)operand->sub_length;
		link->first = ref;
	}
	link->next = c->rule->links;
	c->rule->links = link;
	return link;
}

static bool is_link(const struct tpi_link *link, unsigned int step,
		    const char *field, const struct tpi_operand *operand)
{
	return link->step == step && !strcmp(link->field, field) &&
	       !link->sub == !operand->sub &&
	       link->sub_length == operand->sub_length &&
	       (!link->sub ||
		!memcmp(link->sub, operand->sub, link->sub_length));
}

static bool resolve_step(struct tpi_checker *c, unsigned int step,
			 const char *field, const struct tpi_operand *operand,
			 struct tpi_ref *ref)
{
	struct tpi_link *link = c->rule->links;

	while (link && !is_link(link, step, field, operand))
		link = link->next;
	if (!link)
		link = make_link(c, step, field, operand);
	if (!link || !link->first)
		return false;
	*ref = *link->first;
	ref->base = TPI_BASE_STEP;
	ref->step = (uint8_t)step;
	ref->by_slot = link->by_slot;
	return true;
}

bool tpi_name_resolve(struct tpi_checker *c, const struct tpi_operand *operand,
		      struct tpi_ref *ref)
{
	const char *field;
	int step;

	*ref = (struct tpi_ref){0};
	step = step_of(c->rule, operand->name, &field);
	if (step >= 0)
		return (unsigned int)step < c->step &&
		       resolve_step(c, (unsigned int)step, field, operand, ref);
	if (!tpi_field_resolve(&c->rules->slots, c->slot, operand->name, ref))
		return false;
	ref->sub = operand->sub;
	ref->sub_length = (uint32_t)operand->sub_length;
	return true;
}
