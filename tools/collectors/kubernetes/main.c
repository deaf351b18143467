/* SPDX-License-Identifier: Apache-2.0 */
/* tapio-collect-kubernetes: the options. collect.c does the work. */
#include "tools/collectors/kubernetes/collect.h"

#define AT(member) .offset = offsetof(struct tpi_kube_values, member)

static const char doc[] =
	"Lists and watches objects of a Kubernetes API server, and emits a typed "
	"event for each object that comes, changes or goes.\v"
	"Examples:\n"
	"  tapio-collect-kubernetes --wait       in a pod, by its service account\n"
	"  tapio-collect-kubernetes --kubeconfig=$HOME/.kube/config -r pods\n"
	"  tapio-collect-kubernetes -r certificates.cert-manager.io -N web\n"
	"  tapio-collect-kubernetes --only-node  pods of this node, with cgroup ids\n"
	"\n"
	"Exit status: 0 ended as asked, 1 failure, 2 usage, 3 no broker, 4 no such "
	"channel or no right to it, 5 the broker has gone (without --wait).";

static const struct tpi_setting settings[] = {
	{.help = "Objects:", .kind = TPI_SETTING_HEADING},
	{"resource", "NAME",
	 "A resource, as pods, certificates.cert-manager.io or apps/v1/"
	 "replicasets. May be given more than once (default: pods, nodes, "
	 "events, deployments)",
	 'r', TPI_SETTING_LIST, AT(resources)},
	{"namespace", "NAME",
	 "Of this namespace only. May be given more than once (default: all)",
	 'N', TPI_SETTING_LIST, AT(namespaces)},
	{"selector", "LABELS", "Objects with these labels only, as app=web",
	 'l', TPI_SETTING_TEXT, AT(selector)},
	{"field-selector", "FIELDS",
	 "Objects with these fields only, as status.phase=Running",
	 .kind = TPI_SETTING_TEXT, AT(field_selector)},
	{"only-node", .help = "Of pods and nodes, those of this node only",
	 .kind = TPI_SETTING_FLAG, AT(only_node)},
	{"no-existing", .help = "No events for what is there at start",
	 .kind = TPI_SETTING_FLAG, AT(no_existing)},
	{"full-object",
	 .help = "The whole object as JSON, as far as the channel's longest "
		 "event has room",
	 .kind = TPI_SETTING_FLAG, AT(full_object)},

	{.help = "API server:", .kind = TPI_SETTING_HEADING},
	{"server", "URL", "The server, as https://10.0.0.1:6443", 'S',
	 TPI_SETTING_TEXT, AT(access.server)},
	{"kubeconfig", "FILE",
	 "Server and credentials (default: of the pod, else $KUBECONFIG, else "
	 "~/.kube/config)",
	 'k', TPI_SETTING_TEXT, AT(access.kubeconfig)},
	{"context", "NAME", "A context of it (default: the current one)",
	 .kind = TPI_SETTING_TEXT, AT(access.context)},
	{"token-file", "FILE", "A token. It is read again before each request",
	 .kind = TPI_SETTING_TEXT, AT(access.token_file)},
	{"ca-file", "FILE",
	 "Certificates that the server's is checked by, in PEM",
	 .kind = TPI_SETTING_TEXT, AT(access.ca_file)},
	{"insecure-skip-tls-verify",
	 .help = "Does not check the server's certificate: for tests",
	 .kind = TPI_SETTING_FLAG, AT(access.insecure)},
	{"service-account", "DIRECTORY",
	 "With token and ca.crt (default: " TPI_KUBE_SERVICE_ACCOUNT ")",
	 .kind = TPI_SETTING_TEXT, AT(access.service_account)},

	{.help = "This node:", .kind = TPI_SETTING_HEADING},
	{"node", "NAME",
	 "Name of this node (default: $NODE_NAME, else the host's name)",
	 .kind = TPI_SETTING_TEXT, AT(node)},
	{"cgroup", "DIRECTORY",
	 "Where kubepods.slice or kubepods is (default: the unified hierarchy)",
	 .kind = TPI_SETTING_TEXT, AT(cgroup)},
	{"cluster", "NAME", "Stored in each event", .kind = TPI_SETTING_TEXT,
	 AT(cluster)},

	{.help = "Limits:", .kind = TPI_SETTING_HEADING},
	{"page", "COUNT",
	 "Objects in an answer of a list, 0: all (default: 500)",
	 .kind = TPI_SETTING_COUNT, AT(page), .max = 100000},
	{"known-max", "COUNT",
	 "Objects that a stream knows, to find what has gone (default: 1M)",
	 .kind = TPI_SETTING_COUNT, AT(known_max), .min = 1, .max = UINT32_MAX},
	{"answer-timeout", "TIME",
	 "A server that says nothing for so long is given up (default: 30s)",
	 .kind = TPI_SETTING_DURATION, AT(answer_ns), .min = 10000000},
	{"watch-timeout", "TIME",
	 "The server ends a watch after so long, in whole seconds (default: 5m)",
	 .kind = TPI_SETTING_DURATION, AT(watch_ns), .min = 1000000000},
	{"retry-min", "TIME",
	 "The first pause after a failure (default: 500ms)",
	 .kind = TPI_SETTING_DURATION, AT(retry_min_ns), .min = 1000000},
	{"retry-max", "TIME", "The longest pause (default: 30s)",
	 .kind = TPI_SETTING_DURATION, AT(retry_max_ns), .min = 1000000},
	{0},
};

#define KIND(name, urgent)                                                \
	{                                                                 \
		name, TAPIO_EVENT_KUBERNETES_OBJECT, TAPIO_SEVERITY_INFO, \
			urgent                                            \
	}
static const struct tpi_kind kinds[TPI_KUBE_SORTS] = {
	[TPI_KUBE_PODS] = KIND("pods", true),
	[TPI_KUBE_NODES] = KIND("nodes", true),
	[TPI_KUBE_EVENTS] = KIND("events", false),
	[TPI_KUBE_DEPLOYMENTS] = KIND("deployments", false),
	[TPI_KUBE_OTHERS] = KIND("others", false),
};

int main(int argc, char **argv)
{
	static struct tpi_kube_values values = {
		.page = 500,
		.known_max = 1000000,
		.answer_ns = INT64_C(30000000000),
		.watch_ns = INT64_C(300000000000),
		.retry_min_ns = 500000000,
		.retry_max_ns = INT64_C(30000000000),
	};
	static const struct tpi_collector_about about = {
		.name = "tapio-collect-kubernetes",
		.section = "kubernetes",
		.doc = doc,
		.settings = {settings, &values},
		.check = tpi_kube_check,
		.probe = tpi_kube_probe,
		.kinds = kinds,
		.kind_count = TPI_KUBE_SORTS,
		.source = TAPIO_SOURCE_KUBERNETES,
		.event_bytes = TPI_SINK_BYTES_MAX,
	};
	struct tpi_collector c;

	if (!tpi_collector_begin(&c, &about, argc, argv))
		return c.status;
	return tpi_kube_collect(&c, &values);
}
