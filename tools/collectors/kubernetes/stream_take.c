/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream takes the documents of an answer. See stream.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/collectors/kubernetes/stream_inner.h"
#include "tools/common/tool.h"

/* ---- losses --------------------------------------------------------------- */

void tpi_kube_note_loss(struct tpi_kube_stream *stream, const char *cause,
			uint64_t count, const char *message)
{
	if (stream->loss) { /* a second one, before there was a list */
		if (count == TPI_LOSS_UNKNOWN ||
		    stream->loss_count == TPI_LOSS_UNKNOWN)
			stream->loss_count = TPI_LOSS_UNKNOWN;
		else
			stream->loss_count += count;
		return;
	}
	stream->loss = cause;
	stream->loss_count = count;
	snprintf(stream->loss_message, sizeof(stream->loss_message), "%s",
		 message);
	memcpy(stream->loss_before, stream->version, VERSION_BYTES);
}

void tpi_kube_tell_loss(struct tpi_kube_stream *stream)
{
	if (stream->loss)
		tpi_kube_emit_loss(&stream->shared->emitter, &stream->resource,
				   stream->loss_count, stream->loss,
				   stream->loss_message, stream->loss_before,
				   stream->version);
	stream->loss = NULL;
}

/* ---- objects -------------------------------------------------------------- */

static int emit(struct tpi_kube_stream *stream, uint8_t operation, bool listed,
		const struct tpi_kube_object *object,
		const struct tpi_kube_document *document)
{
	struct tpi_kube_change_of change = {
		.resource = &stream->resource,
		.operation =
			object->is_event && operation != TAPIO_OBJECT_DELETED
				? TAPIO_OBJECT_EVENT
				: operation,
		.existing = listed,
		.object = object,
		.document = document,
	};

	return tpi_kube_emit(&stream->shared->emitter, &change);
}

static void tell_full(struct tpi_kube_stream *stream)
{
	stream->counts.unknown++;
	if (stream->known.told_full)
		return;
	stream->known.told_full = true;
	tpi_say("%s: more than %zu objects. The others are told, but a "
		"comparison cannot find their deletion (--known-max)",
		stream->where, stream->known.count_max);
}

/* The operation that fits, 0 for none. -EINTR */
static int see(struct tpi_kube_stream *stream,
	       const struct tpi_kube_object *object)
{
	struct tpi_kube_known_one *former;
	int err;

	switch (tpi_kube_known_see(&stream->known, object, &former)) {
	case TPI_KUBE_SAME:
		stream->counts.unchanged++;
		return 0;
	case TPI_KUBE_CHANGED:
		return TAPIO_OBJECT_MODIFIED;
	case TPI_KUBE_UNKNOWN:
		tell_full(stream);
		return TAPIO_OBJECT_ADDED;
	case TPI_KUBE_REPLACED:
		err = stream->resource.sort == TPI_KUBE_EVENTS
			      ? 0
			      : tpi_kube_emit_gone(&stream->shared->emitter,
						   &stream->resource, former);
		tpi_kube_known_free_one(former);
		return err ? err : TAPIO_OBJECT_ADDED;
	default:
		return TAPIO_OBJECT_ADDED;
	}
}

static int take_state(struct tpi_kube_stream *stream,
		      const struct tpi_kube_object *object,
		      const struct tpi_kube_document *document)
{
	bool first = !stream->listed && document->item;
	int operation = see(stream, object);

	if (operation <= 0)
		return operation;
	if (first && stream->shared->no_existing)
		return 0;
	return emit(stream, (uint8_t)operation, document->item, object,
		    document);
}

/* Events of the cluster end by their age, which is no news. */
static int take_deletion(struct tpi_kube_stream *stream,
			 const struct tpi_kube_object *object,
			 const struct tpi_kube_document *document)
{
	tpi_kube_known_forget(&stream->known, object);
	if (object->is_event)
		return 0;
	return emit(stream, TAPIO_OBJECT_DELETED, false, object, document);
}

/* False: it is no object, since it has no name. */
static bool read_object(struct tpi_kube_stream *stream,
			struct tpi_kube_object *object, const json_t *json)
{
	const struct tpi_kube_resource *resource = &stream->resource;

	if (!json_is_object(json))
		return false;
	tpi_kube_object_read(object, json, resource->api_version,
			     resource->kind);
	return object->name.at != NULL;
}

/*
 * One object that is none. The next one is whole: the stream goes on, and the loss is told at
 * once.
 */
static int lose_one(struct tpi_kube_stream *stream, const char *message)
{
	tpi_kube_emit_loss(&stream->shared->emitter, &stream->resource, 1,
			   "malformed", message, stream->version, NULL);
	stream->unsure = true;
	return 0;
}

/* ---- lists ---------------------------------------------------------------- */

static int take_item(struct tpi_kube_stream *stream, const json_t *json,
		     const struct tpi_kube_document *document)
{
	static struct tpi_kube_object object; /* large, and in use here alone */

	if (!read_object(stream, &object, json))
		return lose_one(stream, "an item of a list without a name");
	return take_state(stream, &object, document);
}

static void copy(char *out, size_t bytes, struct tpi_kube_span span)
{
	size_t length = span.length < bytes ? span.length : 0;

	if (length)
		memcpy(out, span.at, length);
	out[length] = '\0';
}

static void take_status(struct tpi_kube_stream *stream, const json_t *json)
{
	const json_t *code = json_object_get(json, "code");
	struct tpi_kube_span message = tpi_kube_string_at(json, "message");

	stream->said.error =
		json_is_integer(code) ? (long)json_integer_value(code) : 500;
	snprintf(stream->said.message, sizeof(stream->said.message), "%.*s",
		 (int)message.length, message.at ? message.at : "");
}

/* Behind the items of a page: from which version to watch, and whether there are more. */
static int take_page(struct tpi_kube_stream *stream, const json_t *json,
		     bool cut)
{
	struct tpi_kube_span kind = tpi_kube_string_at(json, "kind");
	struct tpi_kube_span version =
		tpi_kube_string_at(json, "metadata.resourceVersion");
	struct tpi_kube_span next =
		tpi_kube_string_at(json, "metadata.continue");

	if (kind.at && !strcmp(kind.at, "Status")) {
		take_status(stream, json);
		return 0;
	}
	if (!version.at || version.length >= VERSION_BYTES ||
	    next.length >= NEXT_BYTES || cut)
		return 0; /* no list: said.list_ended stays false */
	stream->said.list_ended = true;
	copy(stream->next, NEXT_BYTES, next);
	copy(stream->version, VERSION_BYTES, version);
	return 0;
}

int tpi_kube_take_list(void *arg, const struct tpi_kube_document *document)
{
	struct tpi_kube_stream *stream = arg;
	json_t *json = json_loadb(document->text, document->length, 0, NULL);
	int err;

	stream->counts.repaired += document->repaired;
	if (!json) /* a number that is too large, for example */
		return lose_one(stream, "an object that cannot be read");
	if (document->item)
		err = take_item(stream, json, document);
	else
		err = take_page(stream, json, document->cut);
	json_decref(json);
	return err;
}

int tpi_kube_take_gone(struct tpi_kube_stream *stream)
{
	struct tpi_kube_known_one *one;
	size_t place = 0;
	int err = 0;

	while (!err && (one = tpi_kube_known_next_gone(&stream->known,
						       &place)) != NULL) {
		if (stream->resource.sort != TPI_KUBE_EVENTS)
			err = tpi_kube_emit_gone(&stream->shared->emitter,
						 &stream->resource, one);
		tpi_kube_known_free_one(one);
	}
	return err;
}

/* ---- watches -------------------------------------------------------------- */

/* The version of what was taken: from here the next watch goes on. */
static void go_on_from(struct tpi_kube_stream *stream,
		       const struct tpi_kube_object *object)
{
	if (object->version.at && object->version.length < VERSION_BYTES)
		copy(stream->version, VERSION_BYTES, object->version);
}

static bool is(struct tpi_kube_span span, const char *text)
{
	return span.at && !strcmp(span.at, text);
}

static int take_change(struct tpi_kube_stream *stream,
		       struct tpi_kube_span type,
		       const struct tpi_kube_object *object,
		       const struct tpi_kube_document *document)
{
	int err;

	if (is(type, "ADDED") || is(type, "MODIFIED"))
		err = take_state(stream, object, document);
	else if (is(type, "DELETED"))
		err = take_deletion(stream, object, document);
	else
		return lose_one(stream, "an event of an unknown type");
	if (!err)
		go_on_from(stream, object);
	return err;
}

static int take_event(struct tpi_kube_stream *stream, const json_t *json,
		      const struct tpi_kube_document *document)
{
	static struct tpi_kube_object object;
	struct tpi_kube_span type = tpi_kube_string_at(json, "type");
	const json_t *of = json_object_get(json, "object");

	if (is(type, "ERROR")) {
		take_status(stream, of);
		return -ECANCELED; /* nothing follows an error */
	}
	tpi_kube_works(stream);
	bool named = read_object(stream, &object, of);
	if (is(type, "BOOKMARK")) {
		stream->counts.bookmarks++;
		go_on_from(stream, &object);
		return 0;
	}
	if (!named)
		return lose_one(stream, "an event without an object");
	return take_change(stream, type, &object, document);
}

int tpi_kube_take_watch(void *arg, const struct tpi_kube_document *document)
{
	struct tpi_kube_stream *stream = arg;
	json_t *json = json_loadb(document->text, document->length, 0, NULL);
	int err;

	stream->counts.repaired += document->repaired;
	stream->said.events++;
	if (!json)
		return lose_one(stream, "an object that cannot be read");
	err = take_event(stream, json, document);
	json_decref(json);
	return err;
}
