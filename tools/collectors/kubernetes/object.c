/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of Kubernetes: the members that are kept, and their meaning. See the header.
 *
 * Kinds that this file does not know are told by what all have in common: metadata, the
 * scalars of their status, and the condition that says whether they work.
 */
#include <string.h>
#include <time.h>

#include <tapio/event.h>

#include "tools/collectors/kubernetes/object.h"

/* ---- what is kept --------------------------------------------------------- */

#define ROW(key)             \
	{                    \
		key, NULL, 0 \
	}
#define TABLE(key, table)     \
	{                     \
		key, table, 0 \
	}
#define SCALARS_OF(key, rows)               \
	{                                   \
		key, rows, TPI_KEEP_SCALARS \
	}

static const struct tpi_kube_keep owner[] = {
	ROW("kind"), ROW("name"), ROW("uid"), ROW("controller"), {0},
};
/* The kubelet names the cgroups of a static pod by this, and not by the pod's uid. */
#define STATIC_UID "kubernetes.io/config.hash"
static const struct tpi_kube_keep annotations[] = {
	ROW(STATIC_UID),
	{0},
};
static const struct tpi_kube_keep metadata[] = {
	ROW("name"),
	ROW("namespace"),
	ROW("uid"),
	ROW("resourceVersion"),
	ROW("generation"),
	ROW("creationTimestamp"),
	ROW("deletionTimestamp"),
	ROW("labels"),
	TABLE("annotations", annotations),
	TABLE("ownerReferences", owner),
	{0},
};
static const struct tpi_kube_keep spec[] = {
	ROW("nodeName"),
	ROW("replicas"),
	ROW("unschedulable"),
	{0},
};
static const struct tpi_kube_keep condition[] = {
	ROW("type"), ROW("status"), ROW("reason"), ROW("message"), {0},
};
static const struct tpi_kube_keep why[] = {
	ROW("reason"), ROW("message"), ROW("exitCode"), ROW("signal"), {0},
};
static const struct tpi_kube_keep container_state[] = {
	TABLE("waiting", why),
	TABLE("terminated", why),
	{0},
};
static const struct tpi_kube_keep container[] = {
	ROW("name"),
	ROW("containerID"),
	ROW("restartCount"),
	TABLE("state", container_state),
	{0},
};
static const struct tpi_kube_keep status[] = {
	TABLE("conditions", condition),
	TABLE("containerStatuses", container),
	TABLE("initContainerStatuses", container),
	TABLE("ephemeralContainerStatuses", container),
	{0},
};
static const struct tpi_kube_keep series[] = {
	ROW("count"),
	ROW("lastObservedTime"),
	{0},
};
static const struct tpi_kube_keep source[] = {
	ROW("component"),
	ROW("host"),
	{0},
};
static const struct tpi_kube_keep regarding[] = {
	ROW("apiVersion"),
	ROW("kind"),
	ROW("namespace"),
	ROW("name"),
	ROW("uid"),
	ROW("fieldPath"),
	{0},
};

static const struct tpi_kube_keep object_keep[] = {
	ROW("kind"),
	ROW("apiVersion"),
	TABLE("metadata", metadata),
	TABLE("spec", spec),
	SCALARS_OF("status", status),
	/* of an Event, in the names of v1 and of events.k8s.io/v1 */
	TABLE("involvedObject", regarding),
	TABLE("regarding", regarding),
	ROW("reason"),
	ROW("message"),
	ROW("note"),
	ROW("type"),
	ROW("count"),
	ROW("deprecatedCount"),
	ROW("firstTimestamp"),
	ROW("lastTimestamp"),
	ROW("deprecatedLastTimestamp"),
	ROW("eventTime"),
	TABLE("source", source),
	TABLE("deprecatedSource", source),
	ROW("reportingComponent"),
	ROW("reportingController"),
	ROW("reportingInstance"),
	TABLE("series", series),
	/* of a Status, which says what went wrong */
	ROW("code"),
	{0},
};

static const struct tpi_kube_keep list_metadata[] = {
	{"resourceVersion", NULL, 0},
	{"continue", NULL, 0},
	{0},
};
const struct tpi_kube_keep tpi_kube_list_keep[] = {
	{"kind", NULL, 0},
	{"metadata", list_metadata, 0},
	{"items", object_keep, TPI_KEEP_EACH | TPI_KEEP_FULL},
	{"code", NULL, 0}, /* of a Status in its place */
	{"message", NULL, 0},
	{0},
};
const struct tpi_kube_keep tpi_kube_watch_keep[] = {
	{"type", NULL, 0},
	{"object", object_keep, TPI_KEEP_FULL},
	{0},
};

/* ---- members -------------------------------------------------------------- */

const json_t *tpi_kube_member(const json_t *json, const char *path)
{
	while (json && path) {
		char name[64];
		size_t length = strcspn(path, ".");

		if (length >= sizeof(name))
			return NULL;
		memcpy(name, path, length);
		name[length] = '\0';
		json = json_object_get(json, name);
		path = path[length] ? path + length + 1 : NULL;
	}
	return json;
}

static struct tpi_kube_span span_of(const json_t *json)
{
	if (!json_is_string(json) || !json_string_length(json))
		return (struct tpi_kube_span){NULL, 0};
	return (struct tpi_kube_span){json_string_value(json),
				      json_string_length(json)};
}

struct tpi_kube_span tpi_kube_string_at(const json_t *json, const char *path)
{
	return span_of(tpi_kube_member(json, path));
}

/* The first of the paths (up to a NULL) that is a string. */
static struct tpi_kube_span first_string(const json_t *json,
					 const char *const *paths)
{
	struct tpi_kube_span span = {NULL, 0};

	for (; *paths && !span.at; paths++)
		span = tpi_kube_string_at(json, *paths);
	return span;
}

static uint64_t number_at(const json_t *json, const char *path)
{
	const json_t *number = tpi_kube_member(json, path);

	if (!json_is_integer(number) || json_integer_value(number) < 0)
		return TPI_KUBE_UNSET;
	return (uint64_t)json_integer_value(number);
}

static bool span_is(struct tpi_kube_span span, const char *text)
{
	return span.length == strlen(text) &&
	       !memcmp(span.at, text, span.length);
}

static const json_t *array_at(const json_t *json, const char *path)
{
	const json_t *array = tpi_kube_member(json, path);

	return json_is_array(array) && json_array_size(array) ? array : NULL;
}

static const json_t *object_at(const json_t *json, const char *path)
{
	const json_t *object = tpi_kube_member(json, path);

	return json_is_object(object) && json_object_size(object) ? object
								  : NULL;
}

/* ---- times ---------------------------------------------------------------- */

/* `count` digits as a number. -1: they are not digits. */
static int digits(const char *at, int count)
{
	int number = 0;

	for (int i = 0; i < count; i++) {
		if (at[i] < '0' || at[i] > '9')
			return -1;
		number = number * 10 + (at[i] - '0');
	}
	return number;
}

/* Nanoseconds of ".012345". *used: how many characters that is. */
static uint64_t fraction(const char *at, size_t length, size_t *used)
{
	uint64_t ns = 0, unit = 100000000;

	*used = 0;
	if (!length || *at != '.')
		return 0;
	for (*used = 1; *used < length; ++*used) {
		char c = at[*used];

		if (c < '0' || c > '9')
			break;
		ns += (uint64_t)(c - '0') * unit;
		unit /= 10;
	}
	return ns;
}

uint64_t tpi_kube_time(const char *text, size_t length)
{
	static const char form[] = "0000-00-00T00:00:00";
	size_t used;

	if (length <= sizeof(form) - 1)
		return 0;
	for (size_t i = 0; i < sizeof(form) - 1; i++)
		if (form[i] != '0' && form[i] != text[i])
			return 0;
	struct tm tm = {
		.tm_year = digits(text, 4) - 1900,
		.tm_mon = digits(text + 5, 2) - 1,
		.tm_mday = digits(text + 8, 2),
		.tm_hour = digits(text + 11, 2),
		.tm_min = digits(text + 14, 2),
		.tm_sec = digits(text + 17, 2),
	};
	if (tm.tm_year < 70 || tm.tm_year > 500 || tm.tm_mon < 0 ||
	    tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 ||
	    tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return 0;
	text += sizeof(form) - 1;
	length -= sizeof(form) - 1;
	uint64_t ns = fraction(text, length, &used);
	if (length - used != 1 || text[used] != 'Z')
		return 0; /* the API server writes UTC only */
	return (uint64_t)timegm(&tm) * 1000000000 + ns;
}

static uint64_t time_at(const json_t *json, const char *path)
{
	struct tpi_kube_span span = tpi_kube_string_at(json, path);

	return span.at ? tpi_kube_time(span.at, span.length) : 0;
}

/* ---- pods ----------------------------------------------------------------- */

/* "containerd://0123..." is the container 0123... of that runtime. */
static struct tpi_kube_span container_id(const json_t *status_of)
{
	struct tpi_kube_span id = tpi_kube_string_at(status_of, "containerID");
	const char *colon = id.at ? strstr(id.at, "://") : NULL;

	if (!colon)
		return id;
	id.length -= (size_t)(colon + 3 - id.at);
	id.at = colon + 3;
	return id;
}

/* Why a container does not run, as kubectl shows it in the place of the phase. */
static void take_reason(struct tpi_kube_object *object, const json_t *status_of,
			bool init)
{
	static const char *const states[] = {"state.waiting",
					     "state.terminated"};

	for (int i = 0; i < 2 && !object->reason.at; i++) {
		const json_t *state = object_at(status_of, states[i]);

		if (!state)
			continue;
		if (i == 1 && init && !number_at(state, "exitCode"))
			continue; /* it has done its work */
		object->reason = tpi_kube_string_at(state, "reason");
		object->message = tpi_kube_string_at(state, "message");
		if (i == 1 && number_at(state, "exitCode"))
			object->severity = TAPIO_SEVERITY_WARNING;
	}
}

static bool is_trouble(struct tpi_kube_span reason)
{
	static const char *const harmless[] = {"ContainerCreating",
					       "PodInitializing", "Completed"};

	for (int i = 0; i < 3; i++)
		if (span_is(reason, harmless[i]))
			return false;
	return reason.at != NULL;
}

static void read_containers(struct tpi_kube_object *object, const json_t *list,
			    bool init)
{
	const json_t *one;
	size_t index;

	json_array_foreach(list, index, one)
	{
		uint64_t restarts = number_at(one, "restartCount");
		struct tpi_kube_span id = container_id(one);

		if (restarts != TPI_KUBE_UNSET && restarts < UINT32_MAX)
			object->restarts += restarts;
		take_reason(object, one, init);
		if (!id.at || !id.length)
			continue;
		if (object->container_count == TPI_KUBE_CONTAINERS_MAX) {
			object->more_containers = true;
			continue;
		}
		object->containers[object->container_count++] =
			(struct tpi_kube_container){
				.name = tpi_kube_string_at(one, "name"),
				.id = id,
			};
	}
}

static void read_pod(struct tpi_kube_object *object, const json_t *json)
{
	static const char *const lists[] = {
		"status.containerStatuses",
		"status.initContainerStatuses",
		"status.ephemeralContainerStatuses",
	};

	const json_t *notes = object_at(json, "metadata.annotations");

	object->is_pod = true;
	object->cgroup_uid = span_of(json_object_get(notes, STATIC_UID));
	if (!object->cgroup_uid.at)
		object->cgroup_uid = object->uid;
	object->node = tpi_kube_string_at(json, "spec.nodeName");
	object->address = tpi_kube_string_at(json, "status.podIP");
	object->qos = tpi_kube_string_at(json, "status.qosClass");
	object->restarts = 0;
	for (int i = 0; i < 3; i++)
		read_containers(object, array_at(json, lists[i]), i == 1);
	if (span_is(object->phase, "Failed") || is_trouble(object->reason))
		object->severity = TAPIO_SEVERITY_WARNING;
}

/* ---- conditions ----------------------------------------------------------- */

/* The condition that says whether an object works: its phase, where it has no other. */
static const json_t *find_condition(const json_t *json)
{
	static const char *const types[] = {"Ready", "Available", "Complete",
					    "Failed"};
	const json_t *list = array_at(json, "status.conditions"), *one;
	size_t index;

	for (int i = 0; i < 4; i++)
		json_array_foreach(
			list, index,
			one) if (span_is(tpi_kube_string_at(one, "type"),
					 types[i])) return one;
	return NULL;
}

static void read_condition(struct tpi_kube_object *object, const json_t *json)
{
	const json_t *condition_of = find_condition(json);
	struct tpi_kube_span type = tpi_kube_string_at(condition_of, "type");
	struct tpi_kube_span value = tpi_kube_string_at(condition_of, "status");

	if (!type.at || object->phase.at)
		return;
	bool holds = span_is(value, "True");
	object->phase = type;
	if (!holds && span_is(type, "Ready"))
		object->phase = (struct tpi_kube_span){"NotReady", 8};
	else if (!holds && span_is(type, "Available"))
		object->phase = (struct tpi_kube_span){"Unavailable", 11};
	else if (!holds)
		object->phase = (struct tpi_kube_span){NULL, 0};
	if (object->reason.at)
		return;
	object->reason = tpi_kube_string_at(condition_of, "reason");
	object->message = tpi_kube_string_at(condition_of, "message");
	if (holds == span_is(type, "Failed"))
		object->severity = TAPIO_SEVERITY_WARNING;
}

/* ---- events --------------------------------------------------------------- */

static void read_event_times(struct tpi_kube_object *object, const json_t *json)
{
	static const char *const times[] = {
		"series.lastObservedTime", "lastTimestamp",
		"deprecatedLastTimestamp", "eventTime", "firstTimestamp"};
	static const char *const counts[] = {"series.count", "count",
					     "deprecatedCount"};

	for (int i = 0; i < 5 && !object->time_ns; i++)
		object->time_ns = time_at(json, times[i]);
	for (int i = 0; i < 3 && object->count == TPI_KUBE_UNSET; i++)
		object->count = number_at(json, counts[i]);
}

static void read_event(struct tpi_kube_object *object, const json_t *json)
{
	static const char *const messages[] = {"message", "note", NULL};
	static const char *const nodes[] = {"source.host",
					    "deprecatedSource.host", NULL};
	static const char *const reporters[] = {
		"reportingComponent", "reportingController", "source.component",
		"deprecatedSource.component", NULL};

	object->is_event = true;
	object->reason = tpi_kube_string_at(json, "reason");
	object->message = first_string(json, messages);
	object->node = first_string(json, nodes);
	object->reporter = first_string(json, reporters);
	object->regarding = object_at(json, "involvedObject");
	if (!object->regarding)
		object->regarding = object_at(json, "regarding");
	if (span_is(tpi_kube_string_at(json, "type"), "Warning"))
		object->severity = TAPIO_SEVERITY_WARNING;
	read_event_times(object, json);
}

/* ---- all ------------------------------------------------------------------ */

static void read_metadata(struct tpi_kube_object *object, const json_t *json)
{
	object->name = tpi_kube_string_at(json, "metadata.name");
	object->name_space = tpi_kube_string_at(json, "metadata.namespace");
	object->uid = tpi_kube_string_at(json, "metadata.uid");
	object->version = tpi_kube_string_at(json, "metadata.resourceVersion");
	object->generation = number_at(json, "metadata.generation");
	object->created_ns = time_at(json, "metadata.creationTimestamp");
	object->deleted_ns = time_at(json, "metadata.deletionTimestamp");
	object->labels = object_at(json, "metadata.labels");
	object->owners = array_at(json, "metadata.ownerReferences");
}

static struct tpi_kube_span or_else(struct tpi_kube_span span, const char *text)
{
	if (span.at || !text)
		return span;
	return (struct tpi_kube_span){text, strlen(text)};
}

void tpi_kube_object_read(struct tpi_kube_object *object, const json_t *json,
			  const char *api_version, const char *kind)
{
	memset(object, 0, sizeof(*object));
	object->restarts = object->count = TPI_KUBE_UNSET;
	object->severity = TAPIO_SEVERITY_INFO;
	object->kind = or_else(tpi_kube_string_at(json, "kind"), kind);
	object->api_version =
		or_else(tpi_kube_string_at(json, "apiVersion"), api_version);
	read_metadata(object, json);
	if (span_is(object->kind, "Event")) {
		read_event(object, json);
		return;
	}
	object->status = object_at(json, "status");
	object->replicas = tpi_kube_member(json, "spec.replicas");
	object->unschedulable = tpi_kube_member(json, "spec.unschedulable");
	object->phase = tpi_kube_string_at(json, "status.phase");
	object->reason = tpi_kube_string_at(json, "status.reason");
	object->message = tpi_kube_string_at(json, "status.message");
	if (span_is(object->kind, "Pod"))
		read_pod(object, json);
	else
		read_condition(object, json);
	if (span_is(object->kind, "Node"))
		object->node = object->name;
}
