/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources of the API, by the names that users know: "pods", "po", "certificates",
 * "certificates.cert-manager.io", "cert-manager.io/v1/certificates".
 *
 * The common ones are in a table. Of another one the server says what it is (discovery): the
 * name is looked for in the core group, then in the preferred version of each other group.
 */
#ifndef TPI_KUBE_RESOURCE_H
#define TPI_KUBE_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/collectors/kubernetes/scan.h"

#define TPI_KUBE_NAME_BYTES 256

/* For the ledger: kinds of events that the collector tells apart. */
enum tpi_kube_sort {
	TPI_KUBE_PODS,
	TPI_KUBE_NODES,
	TPI_KUBE_EVENTS,
	TPI_KUBE_DEPLOYMENTS,
	TPI_KUBE_OTHERS,
	TPI_KUBE_SORTS,
};

struct tpi_kube_resource {
	const char *asked; /* as the user wrote it */
	enum tpi_kube_sort sort;
	char path[TPI_KUBE_NAME_BYTES]; /* "/apis/apps/v1". "": not known yet */
	char api_version[TPI_KUBE_NAME_BYTES]; /* "apps/v1" */
	char plural[TPI_KUBE_NAME_BYTES];      /* "deployments" */
	char kind[TPI_KUBE_NAME_BYTES];        /* "Deployment". "": not known */
	bool namespaced;
	/* for the discovery */
	char group
		[TPI_KUBE_NAME_BYTES]; /* "": any, unless there is a version */
	char version[TPI_KUBE_NAME_BYTES]; /* "": the preferred one */
};

/*
 * Fills a resource in from its name, which MUST stay. False: no resource is called like
 * that, and `why` says what is allowed.
 */
bool tpi_kube_resource_parse(struct tpi_kube_resource *resource,
			     const char *name, char *why, size_t why_bytes);

/* ---- discovery ------------------------------------------------------------ */

struct tpi_kube_discovery;

/* -ENOMEM */
int tpi_kube_discovery_open(struct tpi_kube_discovery **out,
			    struct tpi_kube_resource *resource);
void tpi_kube_discovery_close(struct tpi_kube_discovery *discovery);

/* The path to ask next. NULL: no group has it. */
const char *tpi_kube_discovery_path(const struct tpi_kube_discovery *discovery);
/* The answer to it, in pieces. -EBADMSG: it is no JSON. */
int tpi_kube_discovery_feed(struct tpi_kube_discovery *discovery,
			    const char *bytes, size_t length);
/*
 * The end of the answer, or there was none (`answered` is false: that group is passed over).
 * True: the resource is found, and filled in.
 */
bool tpi_kube_discovery_next(struct tpi_kube_discovery *discovery,
			     bool answered);
/* Whether a group had to be passed over: it might be in there. */
bool tpi_kube_discovery_partial(const struct tpi_kube_discovery *discovery);

#endif
