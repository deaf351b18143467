/* SPDX-License-Identifier: Apache-2.0 */
/* Findings as events, and those that wait. See the header. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapio/event.h>

#include "tools/correlate/findings.h"

/* A copy of an event as JSON that is longer is left out. */
#define JSON_BYTES 16384
/* "INSTANCE/CHANNEL/LANE/POSITION" */
#define NAME_BYTES 192
/* Before the strings. The last word is the length of their area (event.h). */
#define FIXED_BYTES                                                        \
	(sizeof(struct tapio_event) + sizeof(struct tapio_event_finding) + \
	 sizeof(uint32_t))
/* Of an attribute, before its key. */
#define ATTRIBUTE_BYTES 4
/* Texts leave so much of the room to the evidence. */
#define TEXT_SHARE(room) ((room) / 4)

struct build {
	struct tapio_event_builder builder;
	struct tapio_event_finding *fields;
	const struct tpi_corr *corr;
	const struct tpi_corr_finding *finding;
	size_t room; /* left for strings, at least */
};

/* ---- values that its events share ------------------------------------------------------------ */

struct shared {
	struct tapio_event header;
	bool pid, cgroup, netns, uid, trace;
	char container[128];
	size_t container_bytes;
};

static void share(struct shared *s, const struct tapio_event *h)
{
	s->pid &= h->pid == s->header.pid;
	s->cgroup &= h->cgroup_id == s->header.cgroup_id;
	s->netns &= h->netns_inode == s->header.netns_inode;
	s->uid &= h->uid == s->header.uid;
	s->trace &=
		!memcmp(h->trace_id, s->header.trace_id, sizeof(h->trace_id));
}

static void take_container(struct shared *s, const struct tapio_event_view *v)
{
	struct tapio_event_value value;

	if (s->container_bytes ||
	    tapio_event_view_get(v, "container_id", &value) != 1 ||
	    !value.length || value.length > sizeof(s->container))
		return;
	memcpy(s->container, value.data, value.length);
	s->container_bytes = value.length;
}

/* False: no copy of any event was kept. */
static bool find_shared(struct shared *s, const struct tpi_corr_finding *f)
{
	bool any = false;

	*s = (struct shared){.pid = true,
			     .cgroup = true,
			     .netns = true,
			     .uid = true,
			     .trace = true};
	for (uint32_t i = 0; i < f->evidence_count; i++) {
		struct tapio_event_view v;

		if (!f->evidence[i].data ||
		    tapio_event_view_init(&v, f->evidence[i].data,
					  f->evidence[i].length))
			continue;
		if (!any)
			s->header = v.header;
		any = true;
		share(s, &v.header);
		take_container(s, &v);
	}
	return any;
}

/* The process of all of its events is the process of the finding, and so on. */
static void put_shared(struct build *b, const struct shared *s)
{
	struct tapio_event *event = b->builder.event;

	if (s->pid)
		event->pid = s->header.pid;
	if (s->cgroup)
		event->cgroup_id = s->header.cgroup_id;
	if (s->netns)
		event->netns_inode = s->header.netns_inode;
	if (s->uid)
		event->uid = s->header.uid;
	if (s->trace)
		memcpy(event->trace_id, s->header.trace_id,
		       sizeof(event->trace_id));
}

/* ---- texts and evidence ----------------------------------------------------------------- */

static void put_text(struct build *b, struct tapio_event_string *field,
		     const char *text, size_t length)
{
	int put;

	if (!length)
		return;
	put = tapio_event_builder_string_max(&b->builder, field, text, length,
					     TEXT_SHARE(b->room));
	if (put > 0)
		b->room -= (size_t)put;
}

static size_t name_event(const struct build *b, const struct tpi_corr_place *p,
			 char name[NAME_BYTES])
{
	struct tpi_corr_source source = {"?", "?"};
	int length;

	tpi_corr_source_get(b->corr, p->source, &source);
	length =
		snprintf(name, NAME_BYTES, "%s/%s/%" PRIu32 "/%" PRIu64,
			 source.instance, source.channel, p->lane, p->position);
	return length < NAME_BYTES ? (size_t)length : NAME_BYTES - 1;
}

/* Its length. 0: there is no copy, or it is too long. */
static size_t format_event(const struct tpi_corr_evidence *e,
			   char json[JSON_BYTES])
{
	struct tapio_event_view v;
	int length;

	if (!e->data || tapio_event_view_init(&v, e->data, e->length))
		return 0;
	v.flags |= TAPIO_EVENT_VIEW_ID;
	v.lane = e->place.lane;
	v.position = e->place.position;
	length = tapio_event_format_json(json, JSON_BYTES, &v);
	return length > 0 && length < JSON_BYTES ? (size_t)length : 0;
}

/* False: there is no room for its name. `rest` is kept for the names of those behind it. */
static bool put_evidence(struct build *b, const struct tpi_corr_evidence *e,
			 size_t rest)
{
	static char json[JSON_BYTES];
	char name[NAME_BYTES];
	size_t name_bytes = name_event(b, &e->place, name);
	size_t json_bytes = format_event(e, json);
	const size_t need = ATTRIBUTE_BYTES + name_bytes;

	if (need > b->room)
		return false;
	/* Of older events of a count no copy was kept: nothing is cut there. */
	if (e->data && (!json_bytes || need + json_bytes + rest > b->room)) {
		b->builder.event->flags |= TAPIO_EVENT_TRUNCATED;
		json_bytes = 0;
	}
	if (tapio_event_builder_attribute(&b->builder, &b->fields->evidence,
					  name, name_bytes, json, json_bytes))
		return false;
	b->room -= need + json_bytes;
	return true;
}

static void put_all_evidence(struct build *b)
{
	const struct tpi_corr_finding *f = b->finding;
	uint32_t count = f->evidence_count;
	char name[NAME_BYTES];
	size_t rest = 0;

	if (count > TPI_FINDING_EVIDENCE_MAX)
		count = TPI_FINDING_EVIDENCE_MAX;
	for (uint32_t i = 0; i < count; i++)
		rest += ATTRIBUTE_BYTES +
			name_event(b, &f->evidence[i].place, name);
	for (uint32_t i = 0; i < count; i++) {
		rest -= ATTRIBUTE_BYTES +
			name_event(b, &f->evidence[i].place, name);
		if (!put_evidence(b, &f->evidence[i], rest))
			count = i;
	}
	if (count < f->evidence_count)
		b->builder.event->flags |= TAPIO_EVENT_TRUNCATED;
}

/* ---- the event ------------------------------------------------------------------------------- */

static void put_id(uint8_t bytes[16], const uint64_t id[2])
{
	for (int i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(id[i / 8] >> (56 - 8 * (i % 8)));
}

static uint8_t operation_of(enum tpi_rule_operator kind)
{
	switch (kind) {
	case TPI_RULE_SEQUENCE:
		return TAPIO_FINDING_SEQUENCE;
	case TPI_RULE_COUNT:
		return TAPIO_FINDING_COUNT;
	case TPI_RULE_DISTINCT:
		return TAPIO_FINDING_DISTINCT;
	default:
		return TAPIO_FINDING_ABSENT;
	}
}

static void put_fields(struct build *b)
{
	const struct tpi_corr_finding *f = b->finding;
	struct tapio_event_finding *to = b->fields;
	struct tpi_rule_info info;

	put_id(to->finding_id, f->id);
	to->first_ns = f->first_ns;
	to->last_ns = f->last_ns;
	to->count = f->count;
	to->events = f->evidence_count;
	to->verdict = f->verdict == TPI_CORR_UNKNOWN ? TAPIO_VERDICT_UNKNOWN
						     : TAPIO_VERDICT_TRUE;
	if (tpi_rules_info(tpi_corr_rules(b->corr), f->rule_index, &info)) {
		to->window_ns = info.within_ns;
		to->operation = operation_of(info.kind);
	}
}

int tpi_finding_build(void *buffer, size_t bytes, const struct tpi_corr *corr,
		      const struct tpi_corr_finding *finding,
		      uint64_t observed_ns)
{
	struct build b = {.corr = corr, .finding = finding};
	struct shared shared;
	int err = tapio_event_builder_init(&b.builder, buffer, bytes,
					   TAPIO_EVENT_FINDING);

	if (err)
		return err;
	b.fields = b.builder.fields;
	b.room = bytes - FIXED_BYTES;
	if (b.room > UINT16_MAX)
		b.room = UINT16_MAX;
	b.builder.event->severity = finding->severity;
	b.builder.event->source = TAPIO_SOURCE_APPLICATION;
	b.builder.event->time_ns = finding->time_ns;
	b.builder.event->observed_ns = observed_ns;
	put_fields(&b);
	if (find_shared(&shared, finding))
		put_shared(&b, &shared);
	put_text(&b, &b.fields->rule, finding->rule, strlen(finding->rule));
	put_text(&b, &b.fields->container_id, shared.container,
		 shared.container_bytes);
	put_text(&b, &b.fields->key, finding->key, strlen(finding->key));
	put_text(&b, &b.fields->message, finding->say, strlen(finding->say));
	put_all_evidence(&b);
	return tapio_event_builder_finish(&b.builder);
}

/* ---- the outbox -------------------------------------------------------------------------------- */

/* Before each event, which is padded to 8 bytes. */
struct entry {
	uint32_t length;
	uint32_t reserved;
};

static size_t padded(size_t length)
{
	return (length + 7) & ~(size_t)7;
}

int tpi_outbox_add(struct tpi_outbox *box, const void *event, size_t length)
{
	const struct entry entry = {.length = (uint32_t)length};
	const size_t bytes = sizeof(entry) + padded(length);

	if (box->room - box->used < bytes) {
		size_t room = (box->used + bytes) * 2;
		unsigned char *moved = realloc(box->data, room);

		if (!moved)
			return -ENOMEM;
		box->data = moved;
		box->room = room;
	}
	memset(box->data + box->used, 0, bytes);
	memcpy(box->data + box->used, &entry, sizeof(entry));
	memcpy(box->data + box->used + sizeof(entry), event, length);
	box->used += bytes;
	box->count++;
	return 0;
}

const void *tpi_outbox_next(const struct tpi_outbox *box, uint32_t *length)
{
	struct entry entry;

	if (box->emitted == box->count)
		return NULL;
	memcpy(&entry, box->data + box->at, sizeof(entry));
	*length = entry.length;
	return box->data + box->at + sizeof(entry);
}

void tpi_outbox_pass(struct tpi_outbox *box)
{
	struct entry entry;

	memcpy(&entry, box->data + box->at, sizeof(entry));
	box->at += sizeof(entry) + padded(entry.length);
	box->emitted++;
}

void tpi_outbox_clear(struct tpi_outbox *box)
{
	box->used = box->at = 0;
	box->count = box->emitted = 0;
}

void tpi_outbox_free(struct tpi_outbox *box)
{
	free(box->data);
	*box = (struct tpi_outbox){0};
}

/* One entry of a stored outbox. Its length with all, or 0: it is none. */
static size_t check_entry(const unsigned char *data, size_t length)
{
	struct tapio_event_view v;
	struct entry entry;

	if (length < sizeof(entry))
		return 0;
	memcpy(&entry, data, sizeof(entry));
	if (entry.length > length - sizeof(entry) ||
	    padded(entry.length) > length - sizeof(entry))
		return 0;
	if (tapio_event_view_init(&v, data + sizeof(entry), entry.length) ||
	    v.header.type != TAPIO_EVENT_FINDING)
		return 0;
	return sizeof(entry) + padded(entry.length);
}

int tpi_outbox_load(struct tpi_outbox *box, const void *data, size_t length,
		    uint32_t emitted)
{
	uint32_t count = 0;

	tpi_outbox_clear(box);
	if (!length)
		return emitted ? -EBADMSG : 0;
	if (box->room < length) {
		unsigned char *moved = realloc(box->data, length);

		if (!moved)
			return -ENOMEM;
		box->data = moved;
		box->room = length;
	}
	memcpy(box->data, data, length);
	for (size_t at = 0; at < length; count++) {
		size_t bytes = check_entry(box->data + at, length - at);

		if (!bytes)
			return -EBADMSG;
		at += bytes;
	}
	if (emitted > count)
		return -EBADMSG;
	box->used = length;
	box->count = count;
	while (box->emitted < emitted)
		tpi_outbox_pass(box);
	return 0;
}
