/* SPDX-License-Identifier: Apache-2.0 */
/* Building events. See the header. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/collectors/kubernetes/cgroup.h"
#include "tools/collectors/kubernetes/emit.h"

typedef struct tapio_event_kubernetes_object fields;

static void put(struct tpi_sink *sink, struct tapio_event_string *field,
		struct tpi_kube_span span)
{
	if (span.at)
		tpi_sink_string(sink, field, span.at, span.length);
}

/* ---- attributes ----------------------------------------------------------- */

/* A scalar as text. NULL: it is none. */
static const char *scalar(const json_t *json, char *text, size_t bytes,
			  size_t *length)
{
	if (json_is_string(json)) {
		*length = json_string_length(json);
		return json_string_value(json);
	}
	if (json_is_integer(json))
		snprintf(text, bytes, "%" JSON_INTEGER_FORMAT,
			 json_integer_value(json));
	else if (json_is_real(json))
		snprintf(text, bytes, "%.17g", json_real_value(json));
	else if (json_is_boolean(json))
		snprintf(text, bytes, "%s",
			 json_is_true(json) ? "true" : "false");
	else
		return NULL;
	*length = strlen(text);
	return text;
}

static void put_attribute(struct tpi_sink *sink,
			  struct tapio_event_string *field, const char *key,
			  const json_t *value)
{
	char text[32];
	size_t length;
	const char *is = scalar(value, text, sizeof(text), &length);

	if (is && *key)
		tpi_sink_attribute(sink, field, key, is, length);
}

/* All scalars of an object but those named (up to a NULL), which have fields. */
static void put_all(struct tpi_sink *sink, struct tapio_event_string *field,
		    const json_t *object, const char *const *but)
{
	const char *key;
	json_t *value;

	if (!object)
		return;
	json_object_foreach((json_t *)object, key, value)
	{
		const char *const *at = but;

		while (*at && strcmp(*at, key))
			at++;
		if (!*at)
			put_attribute(sink, field, key, value);
	}
}

static void put_owners(struct tpi_sink *sink, struct tapio_event_string *field,
		       const json_t *owners)
{
	const json_t *owner;
	char key[512];
	size_t index;

	json_array_foreach(owners, index, owner)
	{
		struct tpi_kube_span kind = tpi_kube_string_at(owner, "kind");
		struct tpi_kube_span name = tpi_kube_string_at(owner, "name");
		const json_t *uid = json_object_get(owner, "uid");

		if (!name.at || !kind.at)
			continue;
		snprintf(key, sizeof(key), "%s/%s", kind.at, name.at);
		put_attribute(sink, field, key, uid);
	}
}

static void put_status(struct tpi_sink *sink, struct tapio_event_string *field,
		       const struct tpi_kube_object *object)
{
	static const char *const but[] = {"phase", "reason", "message", "podIP",
					  NULL};

	put_attribute(sink, field, "spec.replicas", object->replicas);
	put_attribute(sink, field, "spec.unschedulable", object->unschedulable);
	put_all(sink, field, object->status, but);
}

/* ---- pods ----------------------------------------------------------------- */

static bool is_here(const struct tpi_kube_emitter *emitter,
		    const struct tpi_kube_object *object)
{
	return emitter->cgroups >= 0 && object->node.at &&
	       strlen(emitter->node) == object->node.length &&
	       !memcmp(emitter->node, object->node.at, object->node.length);
}

static void put_containers(struct tpi_sink *sink, fields *f,
			   const struct tpi_kube_object *object)
{
	for (size_t i = 0; i < object->container_count; i++) {
		const struct tpi_kube_container *one = &object->containers[i];

		tpi_sink_attribute(sink, &f->containers,
				   one->name.at ? one->name.at : "?",
				   one->id.at, one->id.length);
	}
	if (object->container_count == 1)
		put(sink, &f->container_id, object->containers[0].id);
	if (object->more_containers)
		sink->builder.event->flags |= TAPIO_EVENT_TRUNCATED;
}

static void put_cgroups(const struct tpi_kube_emitter *emitter, fields *f,
			const struct tpi_kube_object *object)
{
	struct tpi_kube_cgroups found;

	if (!object->is_pod || !is_here(emitter, object))
		return;
	tpi_kube_cgroup_find(emitter->cgroups, object, &found);
	emitter->sink->builder.event->cgroup_id = found.pod;
	for (size_t i = 0; i < object->container_count; i++) {
		char id[32];

		if (!found.containers[i])
			continue;
		snprintf(id, sizeof(id), "%" PRIu64, found.containers[i]);
		tpi_sink_attribute(emitter->sink, &f->cgroups,
				   object->containers[i].id.at, id, strlen(id));
	}
}

static void put_address(fields *f, const struct tpi_kube_object *object)
{
	unsigned char bytes[16];

	if (!object->address.at)
		return;
	if (inet_pton(AF_INET, object->address.at, bytes) == 1)
		tapio_event_ip4(&f->address, bytes);
	else if (inet_pton(AF_INET6, object->address.at, bytes) == 1)
		tapio_event_ip6(&f->address, bytes);
}

/* ---- all ------------------------------------------------------------------ */

static void fill_numbers(struct tapio_event *event, fields *f,
			 const struct tpi_kube_change_of *change)
{
	const struct tpi_kube_object *object = change->object;

	f->operation = change->operation;
	f->generation = object->generation;
	f->created_ns = object->created_ns;
	f->deleted_ns = object->deleted_ns;
	if (object->restarts < UINT32_MAX)
		f->restarts = (uint32_t)object->restarts;
	f->count = object->count;
	put_address(f, object);
	event->severity = object->severity;
	if (object->is_event)
		event->time_ns = object->time_ns;
	else if (change->operation == TAPIO_OBJECT_ADDED)
		event->time_ns = object->created_ns;
	if (change->existing)
		event->flags |= TAPIO_EVENT_EXISTING;
}

/* The names of the object: short, and never cut. */
static void put_identity(struct tpi_kube_emitter *emitter, fields *f,
			 const struct tpi_kube_object *object)
{
	struct tpi_sink *sink = emitter->sink;

	put(sink, &f->kind, object->kind);
	put(sink, &f->name_space, object->name_space);
	put(sink, &f->name, object->name);
	put(sink, &f->object_uid, object->uid);
	put(sink, &f->resource_version, object->version);
	put(sink, &f->api_version, object->api_version);
	put(sink, &f->node, object->node);
	put(sink, &f->phase, object->phase);
	put(sink, &f->reason, object->reason);
	put(sink, &f->reporter, object->reporter);
	tpi_sink_text(sink, &f->cluster, emitter->cluster);
}

static void put_rest(struct tpi_kube_emitter *emitter, fields *f,
		     const struct tpi_kube_change_of *change)
{
	static const char *const nothing[] = {NULL};
	const struct tpi_kube_object *object = change->object;
	const struct tpi_kube_document *document = change->document;
	struct tpi_sink *sink = emitter->sink;

	put_containers(sink, f, object);
	put_cgroups(emitter, f, object);
	put_all(sink, &f->regarding, object->regarding, nothing);
	if (document && document->full)
		tpi_sink_string(sink, &f->object, document->full,
				document->full_bytes);
	put_owners(sink, &f->owners, object->owners);
	put(sink, &f->message, object->message);
	put_all(sink, &f->labels, object->labels, nothing);
	put_status(sink, &f->status, object);
	if (document && (document->cut || document->full_cut))
		sink->builder.event->flags |= TAPIO_EVENT_TRUNCATED;
}

int tpi_kube_emit(struct tpi_kube_emitter *emitter,
		  const struct tpi_kube_change_of *change)
{
	struct tpi_sink *sink = emitter->sink;
	fields *f = tpi_sink_begin(sink, change->resource->sort);

	if (!f)
		return 0; /* counted: the channel takes no such event */
	fill_numbers(sink->builder.event, f, change);
	put_identity(emitter, f, change->object);
	put_rest(emitter, f, change);
	tpi_sink_end_patiently(sink, &emitter->left);
	return emitter->left ? -EINTR : 0;
}

static struct tpi_kube_span span(const char *text)
{
	return (struct tpi_kube_span){*text ? text : NULL, strlen(text)};
}

int tpi_kube_emit_gone(struct tpi_kube_emitter *emitter,
		       const struct tpi_kube_resource *resource,
		       const struct tpi_kube_known_one *one)
{
	static struct tpi_kube_object object; /* large */
	struct tpi_kube_change_of change = {
		.resource = resource,
		.operation = TAPIO_OBJECT_DELETED,
		.existing = true,
		.object = &object,
	};

	memset(&object, 0, sizeof(object));
	object.generation = object.restarts = object.count = TPI_KUBE_UNSET;
	object.severity = TAPIO_SEVERITY_INFO;
	object.kind = span(resource->kind);
	object.api_version = span(resource->api_version);
	object.name_space = span(one->name_space);
	object.name = span(one->name);
	object.uid = span(one->uid);
	object.node = span(one->node);
	object.message = span("not in the list any more");
	return tpi_kube_emit(emitter, &change);
}

void tpi_kube_emit_loss(struct tpi_kube_emitter *emitter,
			const struct tpi_kube_resource *resource,
			uint64_t count, const char *cause, const char *message,
			const char *before, const char *after)
{
	struct tpi_loss loss = {
		.count = count,
		.cpu = UINT32_MAX,
		.cause = cause,
		.message = message,
		.before = before && *before ? before : NULL,
		.after = after && *after ? after : NULL,
	};

	tpi_sink_loss(emitter->sink, resource->sort, emitter->collector, &loss);
}
