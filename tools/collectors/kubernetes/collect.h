/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector as a whole: its streams, in one loop. Called by main().
 */
#ifndef TPI_KUBE_COLLECT_H
#define TPI_KUBE_COLLECT_H

#include "tools/collectors/common/collector.h"
#include "tools/collectors/kubernetes/stream.h"

struct tpi_kube_values {
	struct tpi_list resources;  /* none: pods, nodes, events, deployments */
	struct tpi_list namespaces; /* none: all */
	struct tpi_kube_access_options access;
	const char *selector;
	const char *field_selector;
	const char *node;    /* NULL: $NODE_NAME, or the name of the host */
	const char *cluster; /* NULL: unset */
	const char *cgroup;  /* NULL: it is looked for */
	bool only_node;
	bool no_existing;
	bool full_object;
	uint64_t page;
	uint64_t known_max;
	int64_t answer_ns;
	int64_t watch_ns;
	int64_t retry_min_ns;
	int64_t retry_max_ns;
};

/* Looks at the values together: names of resources, bounds. */
bool tpi_kube_check(void *values, char *why, size_t why_bytes);
/* Whether a server is known, and its credentials are there. An exit status. */
int tpi_kube_probe(void *values);

/* Collects until it is to end. Returns what main() returns. */
int tpi_kube_collect(struct tpi_collector *c, struct tpi_kube_values *values);

#endif
