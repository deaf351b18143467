/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object of Kubernetes as a plain struct, with all that an event says of it.
 *
 * It is made from what the scan kept of the object. A member that is missing, or that has
 * another type than it should have, is unset. There is nothing to fail.
 */
#ifndef TPI_KUBE_OBJECT_H
#define TPI_KUBE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "tools/collectors/kubernetes/scan.h"

#define TPI_KUBE_UNSET UINT64_MAX

/* Containers of a pod that are told. A pod may have more. */
#define TPI_KUBE_CONTAINERS_MAX 64

/* A string of the object, with any bytes but NUL. NULL: it is not there. */
struct tpi_kube_span {
	const char *at;
	size_t length;
};

struct tpi_kube_container {
	struct tpi_kube_span name;
	struct tpi_kube_span id; /* without the runtime's "containerd://" */
};

struct tpi_kube_object { /* all strings lie in `json` */
	struct tpi_kube_span api_version;
	struct tpi_kube_span kind;
	struct tpi_kube_span name_space;
	struct tpi_kube_span name;
	struct tpi_kube_span uid;
	struct tpi_kube_span version; /* resourceVersion */
	struct tpi_kube_span node;
	struct tpi_kube_span address;
	struct tpi_kube_span qos; /* of a pod */
	struct tpi_kube_span
		cgroup_uid; /* by which the kubelet names its cgroup */
	struct tpi_kube_span phase;
	struct tpi_kube_span reason;
	struct tpi_kube_span message;
	struct tpi_kube_span reporter;
	uint64_t generation; /* TPI_KUBE_UNSET */
	uint64_t restarts;   /* TPI_KUBE_UNSET */
	uint64_t count;      /* TPI_KUBE_UNSET */
	uint64_t created_ns; /* CLOCK_REALTIME. 0: unset */
	uint64_t deleted_ns;
	uint64_t time_ns; /* of an event */
	uint8_t severity; /* TAPIO_SEVERITY_* */
	bool is_event;    /* the kind Event */
	bool is_pod;
	bool more_containers; /* than are told */
	size_t container_count;
	struct tpi_kube_container containers[TPI_KUBE_CONTAINERS_MAX];
	const json_t *labels; /* objects and arrays. NULL: none */
	const json_t *owners;
	const json_t *regarding;
	const json_t *status;
	const json_t *replicas; /* of the spec. NULL: none */
	const json_t *unschedulable;
};

/* The tables of a list, and of the events of a watch, for the scan. */
extern const struct tpi_kube_keep tpi_kube_list_keep[];
extern const struct tpi_kube_keep tpi_kube_watch_keep[];

/*
 * Fills `object` in from the JSON of one, which MUST stay. `kind` and `api_version` are for
 * items of a list, which do not have them (NULL: not known).
 */
void tpi_kube_object_read(struct tpi_kube_object *object, const json_t *json,
			  const char *api_version, const char *kind);

/* Nanoseconds since 1970 of "2024-05-06T07:08:09.012345Z". 0: it is none. */
uint64_t tpi_kube_time(const char *text, size_t length);

/* A member, or a member of a member ("metadata.uid"). A span of NULL: there is none. */
struct tpi_kube_span tpi_kube_string_at(const json_t *json, const char *path);
const json_t *tpi_kube_member(const json_t *json, const char *path);

#endif
