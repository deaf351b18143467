/* SPDX-License-Identifier: Apache-2.0 */
/* Names of resources. See the header. */
#include <stdio.h>
#include <string.h>

#include "tools/collectors/kubernetes/resource.h"

static const struct {
	const char *names; /* separated by a space: plural, singular, short */
	const char *api_version;
	const char *kind;
	enum tpi_kube_sort sort;
	bool cluster_wide;
} table[] = {
	{"pods pod po", "v1", "Pod", TPI_KUBE_PODS, false},
	{"nodes node no", "v1", "Node", TPI_KUBE_NODES, true},
	{"events event ev", "v1", "Event", TPI_KUBE_EVENTS, false},
	{"deployments deployment deploy", "apps/v1", "Deployment",
	 TPI_KUBE_DEPLOYMENTS, false},
	{"namespaces namespace ns", "v1", "Namespace", TPI_KUBE_OTHERS, true},
	{"services service svc", "v1", "Service", TPI_KUBE_OTHERS, false},
	{"replicasets replicaset rs", "apps/v1", "ReplicaSet", TPI_KUBE_OTHERS,
	 false},
	{"statefulsets statefulset sts", "apps/v1", "StatefulSet",
	 TPI_KUBE_OTHERS, false},
	{"daemonsets daemonset ds", "apps/v1", "DaemonSet", TPI_KUBE_OTHERS,
	 false},
	{"jobs job", "batch/v1", "Job", TPI_KUBE_OTHERS, false},
};

/* Whether a word of the list is that name. */
static bool has_word(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; *at;) {
		size_t word = strcspn(at, " ");

		if (word == length && !memcmp(at, name, length))
			return true;
		at += word;
		at += strspn(at, " ");
	}
	return false;
}

static void set_path(struct tpi_kube_resource *resource,
		     const char *api_version)
{
	snprintf(resource->api_version, sizeof(resource->api_version), "%s",
		 api_version);
	snprintf(resource->path, sizeof(resource->path), "%s/%.240s",
		 strchr(api_version, '/') ? "/apis" : "/api", api_version);
}

static bool from_table(struct tpi_kube_resource *resource, const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!has_word(table[i].names, name))
			continue;
		set_path(resource, table[i].api_version);
		snprintf(resource->plural, sizeof(resource->plural), "%.*s",
			 (int)strcspn(table[i].names, " "), table[i].names);
		snprintf(resource->kind, sizeof(resource->kind), "%s",
			 table[i].kind);
		resource->sort = table[i].sort;
		resource->namespaced = !table[i].cluster_wide;
		return true;
	}
	return false;
}

/* They become parts of a path. */
static bool is_name(const char *text)
{
	return *text && strlen(text) < 128 &&
	       !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-")] &&
	       text[0] != '.' && !strstr(text, "..");
}

/* Takes the text up to a character off. False: it does not have it. */
static bool split(const char **text, char at, char *out)
{
	const char *end = strchr(*text, at);
	size_t length = end ? (size_t)(end - *text) : 0;

	if (!end || length >= TPI_KUBE_NAME_BYTES)
		return false;
	memcpy(out, *text, length);
	out[length] = '\0';
	*text = end + 1;
	return true;
}

/* "v1/pods", "apps/v1/deployments": no group has a name like a version. */
static bool from_path(struct tpi_kube_resource *resource, const char *name)
{
	char first[TPI_KUBE_NAME_BYTES];

	if (!split(&name, '/', first))
		return false;
	if (split(&name, '/', resource->version))
		strcpy(resource->group, first);
	else
		strcpy(resource->version, first);
	if (!is_name(resource->version) || !is_name(name) ||
	    (*resource->group && !is_name(resource->group)))
		return false;
	snprintf(resource->plural, sizeof(resource->plural), "%s", name);
	return true;
}

bool tpi_kube_resource_parse(struct tpi_kube_resource *resource,
			     const char *name, char *why, size_t why_bytes)
{
	const char *rest = name;

	memset(resource, 0, sizeof(*resource));
	resource->asked = name;
	resource->sort = TPI_KUBE_OTHERS;
	resource->namespaced = true;
	if (strchr(name, '/')) {
		if (from_path(resource, name))
			return true;
		goto wrong;
	}
	if (from_table(resource, name))
		return true;
	if (!is_name(name))
		goto wrong;
	if (split(&rest, '.', resource->plural)) /* NAME.GROUP */
		snprintf(resource->group, sizeof(resource->group), "%s", rest);
	else
		snprintf(resource->plural, sizeof(resource->plural), "%s",
			 name);
	return true;
wrong:
	snprintf(why, why_bytes,
		 "not a resource: NAME, NAME.GROUP, VERSION/NAME or "
		 "GROUP/VERSION/NAME, in small letters");
	return false;
}
