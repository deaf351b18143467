/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path of a request of a stream. Everything that is not from a table is encoded, because
 * selectors come from users and tokens of pages from the server.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/kubernetes/stream_inner.h"

/* Stays behind its last byte once it is full. */
struct path {
	char text[8192 + 3 * NEXT_BYTES];
	size_t used;
	char before; /* the next parameter: '?' or '&' */
};

static void add(struct path *path, const char *text)
{
	size_t length = strlen(text);

	if (length < sizeof(path->text) - path->used) {
		memcpy(path->text + path->used, text, length + 1);
		path->used += length;
	}
}

static void add_encoded(struct path *path, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (; *text; text++) {
		char byte[4] = {*text, '\0'};

		if (!strchr(plain, *text))
			snprintf(byte, sizeof(byte), "%%%02X",
				 (unsigned char)*text);
		add(path, byte);
	}
}

static void add_parameter(struct path *path, const char *name,
			  const char *value)
{
	char before[2] = {path->before, '\0'};

	add(path, before);
	add(path, name);
	add(path, "=");
	add_encoded(path, value);
	path->before = '&';
}

static void add_number(struct path *path, const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	add_parameter(path, name, text);
}

/* Of pods and nodes, perhaps only those of this node. */
static void add_fields(const struct tpi_kube_stream *stream, struct path *path)
{
	const struct tpi_kube_shared *shared = stream->shared;
	const char *given = shared->field_selector, *by_node = NULL;
	char text[1024];

	if (shared->only_node && stream->resource.sort == TPI_KUBE_PODS)
		by_node = "spec.nodeName";
	if (shared->only_node && stream->resource.sort == TPI_KUBE_NODES)
		by_node = "metadata.name";
	if (!by_node && !given)
		return;
	snprintf(text, sizeof(text), "%s%s%s%s%s", given ? given : "",
		 given && by_node ? "," : "", by_node ? by_node : "",
		 by_node ? "=" : "", by_node ? shared->emitter.node : "");
	add_parameter(path, "fieldSelector", text);
}

static void add_watch(const struct tpi_kube_stream *stream, struct path *path)
{
	/* Not all at the same time: between once and 1.2 times as long. */
	uint64_t seconds = (uint64_t)stream->shared->watch_ns / 1000000000;
	uint64_t more = seconds / 5;

	if (more)
		seconds += tpi_kube_random() % (more + 1);
	add_parameter(path, "watch", "1");
	add_parameter(path, "allowWatchBookmarks", "true");
	add_number(path, "timeoutSeconds", seconds ? seconds : 1);
	add_parameter(path, "resourceVersion", stream->version);
}

static void add_list(const struct tpi_kube_stream *stream, struct path *path)
{
	if (stream->shared->page)
		add_number(path, "limit", stream->shared->page);
	if (stream->next[0])
		add_parameter(path, "continue", stream->next);
}

char *tpi_kube_stream_path(const struct tpi_kube_stream *stream)
{
	const struct tpi_kube_resource *resource = &stream->resource;
	struct path *path = calloc(1, sizeof(*path));
	char *text;

	if (!path)
		return NULL;
	path->before = '?';
	add(path, resource->path);
	if (stream->name_space && resource->namespaced) {
		add(path, "/namespaces/");
		add_encoded(path, stream->name_space);
	}
	add(path, "/");
	add(path, resource->plural);
	if (stream->state == TPI_KUBE_WATCH)
		add_watch(stream, path);
	else
		add_list(stream, path);
	if (stream->shared->selector)
		add_parameter(path, "labelSelector", stream->shared->selector);
	add_fields(stream, path);
	text = strdup(path->text);
	free(path);
	return text;
}
