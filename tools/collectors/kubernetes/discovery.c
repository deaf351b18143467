/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the server what a name means. See resource.h.
 *
 *	GET /api/v1                   resources of the core group
 *	GET /apis                     the other groups, with the version that each prefers
 *	GET /apis/GROUP/VERSION       resources of one, for each of them in turn
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/collectors/kubernetes/object.h"
#include "tools/collectors/kubernetes/resource.h"

#define GROUPS_MAX 1024

struct tpi_kube_discovery {
	struct tpi_kube_resource *resource;
	struct tpi_kube_scan *scan;
	char *paths[GROUPS_MAX];
	size_t count;
	size_t at;
	bool found;
	bool partial;
};

static const struct tpi_kube_keep resource_keep[] = {
	{"name", NULL, 0}, {"singularName", NULL, 0}, {"shortNames", NULL, 0},
	{"kind", NULL, 0}, {"namespaced", NULL, 0},   {0},
};
static const struct tpi_kube_keep preferred_keep[] = {
	{"groupVersion", NULL, 0},
	{0},
};
static const struct tpi_kube_keep group_keep[] = {
	{"name", NULL, 0},
	{"preferredVersion", preferred_keep, 0},
	{0},
};
static const struct tpi_kube_keep keep[] = {
	{"resources", resource_keep, TPI_KEEP_EACH},
	{"groups", group_keep, TPI_KEEP_EACH},
	{0},
};

static int add_path(struct tpi_kube_discovery *d, const char *format,
		    const char *text)
{
	if (d->count == GROUPS_MAX)
		return 0; /* no cluster has so many */
	if (asprintf(&d->paths[d->count], format, text) < 0)
		return -ENOMEM;
	d->count++;
	return 0;
}

/* ---- answers -------------------------------------------------------------- */

static bool is(struct tpi_kube_span span, const char *text)
{
	return span.length == strlen(text) &&
	       !memcmp(span.at, text, span.length);
}

static bool is_called(const json_t *one, const char *name)
{
	const json_t *names = json_object_get(one, "shortNames"), *other;
	size_t index;

	if (is(tpi_kube_string_at(one, "name"), name) ||
	    is(tpi_kube_string_at(one, "singularName"), name))
		return true;
	json_array_foreach(
		names, index,
		other) if (json_is_string(other) &&
			   !strcmp(json_string_value(other), name)) return true;
	return false;
}

static void copy(char *out, struct tpi_kube_span span)
{
	size_t length = span.length < TPI_KUBE_NAME_BYTES - 1
				? span.length
				: TPI_KUBE_NAME_BYTES - 1;

	if (length)
		memcpy(out, span.at, length);
	out[length] = '\0';
}

/* It is below the path that was asked for last: "/apis/apps/v1". */
static void set_path(struct tpi_kube_discovery *d)
{
	struct tpi_kube_resource *resource = d->resource;
	const char *path = d->paths[d->at];
	const char *version = strchr(path + 1, '/');

	snprintf(resource->path, sizeof(resource->path), "%s", path);
	snprintf(resource->api_version, sizeof(resource->api_version), "%s",
		 version ? version + 1 : "");
	d->found = true;
}

/* A resource of the group that was asked for last. "pods/log" is a part of one. */
static void take_resource(struct tpi_kube_discovery *d, const json_t *one)
{
	struct tpi_kube_resource *resource = d->resource;
	struct tpi_kube_span name = tpi_kube_string_at(one, "name");

	if (d->found || !is_called(one, resource->plural) ||
	    memchr(name.at, '/', name.length))
		return;
	copy(resource->plural, name);
	copy(resource->kind, tpi_kube_string_at(one, "kind"));
	resource->namespaced = json_is_true(json_object_get(one, "namespaced"));
	set_path(d);
}

static int take_group(struct tpi_kube_discovery *d, const json_t *one)
{
	struct tpi_kube_span version =
		tpi_kube_string_at(one, "preferredVersion.groupVersion");
	char text[TPI_KUBE_NAME_BYTES];

	if (!version.at)
		return 0;
	if (*d->resource->group &&
	    !is(tpi_kube_string_at(one, "name"), d->resource->group))
		return 0;
	copy(text, version);
	/* It becomes a path of ours. */
	if (text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-/")])
		return 0;
	return add_path(d, "/apis/%s", text);
}

static int take(void *arg, const struct tpi_kube_document *document)
{
	struct tpi_kube_discovery *d = arg;
	bool groups = !strcmp(d->paths[d->at], "/apis");
	json_t *one;
	int err = 0;

	if (!document->item)
		return 0;
	one = json_loadb(document->text, document->length, 0, NULL);
	if (one && groups)
		err = take_group(d, one);
	else if (one && tpi_kube_string_at(one, "name").at)
		take_resource(d, one);
	json_decref(one);
	return err;
}

/* ---- questions ------------------------------------------------------------ */

static int add_first(struct tpi_kube_discovery *d)
{
	const struct tpi_kube_resource *resource = d->resource;
	char text[2 * TPI_KUBE_NAME_BYTES + 2];

	if (*resource->version && !*resource->group)
		return add_path(d, "/api/%s", resource->version);
	if (*resource->version) {
		snprintf(text, sizeof(text), "%s/%s", resource->group,
			 resource->version);
		return add_path(d, "/apis/%s", text);
	}
	int err = *resource->group ? 0 : add_path(d, "/api/%s", "v1");
	return err ? err : add_path(d, "/apis%s", "");
}

int tpi_kube_discovery_open(struct tpi_kube_discovery **out,
			    struct tpi_kube_resource *resource)
{
	struct tpi_kube_discovery *d = calloc(1, sizeof(*d));
	struct tpi_kube_scan_options options = {
		.keep = keep,
		.text_bytes = 16384,
		.string_bytes = TPI_KUBE_NAME_BYTES,
		.document = take,
		.arg = d,
	};

	*out = NULL;
	if (!d)
		return -ENOMEM;
	d->resource = resource;
	int err = tpi_kube_scan_open(&d->scan, &options);
	if (!err)
		err = add_first(d);
	if (err) {
		tpi_kube_discovery_close(d);
		return err;
	}
	*out = d;
	return 0;
}

void tpi_kube_discovery_close(struct tpi_kube_discovery *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->count; i++)
		free(d->paths[i]);
	tpi_kube_scan_close(d->scan);
	free(d);
}

const char *tpi_kube_discovery_path(const struct tpi_kube_discovery *d)
{
	return d->at < d->count ? d->paths[d->at] : NULL;
}

int tpi_kube_discovery_feed(struct tpi_kube_discovery *d, const char *bytes,
			    size_t length)
{
	return tpi_kube_scan_feed(d->scan, bytes, length);
}

bool tpi_kube_discovery_next(struct tpi_kube_discovery *d, bool answered)
{
	/* The server may refuse discovery to a user that names a version. */
	if (!answered && *d->resource->version && !d->found)
		set_path(d);
	if (!answered)
		d->partial = true;
	tpi_kube_scan_reset(d->scan);
	d->at++;
	return d->found;
}

bool tpi_kube_discovery_partial(const struct tpi_kube_discovery *d)
{
	return d->partial;
}
