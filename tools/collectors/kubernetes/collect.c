/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All streams in one loop, on one thread. See the header.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tools/collectors/kubernetes/cgroup.h"
#include "tools/collectors/kubernetes/collect.h"

/* While there is no broker: how often to look whether there is one. */
#define AWAY_NS INT64_C(100000000)

struct run {
	struct tpi_collector *c;
	struct tpi_kube_values *values;
	struct tpi_sink sink;
	struct tpi_kube_shared shared;
	struct tpi_kube_stream **streams;
	size_t count;
	struct utsname host;
};

static const char *const default_items[] = {"pods", "nodes", "events",
					    "deployments"};

static struct tpi_list resources_of(const struct tpi_kube_values *values)
{
	struct tpi_list defaults = {(const char **)default_items, 4};

	return values->resources.count ? values->resources : defaults;
}

/* ---- values --------------------------------------------------------------- */

/* It becomes a part of a path. */
static bool is_name_space(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length < 64 &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

/* A server that hangs has to be given up some time. TAPIO_FOREVER is less than 0. */
static bool is_endless(const struct tpi_kube_values *values)
{
	const int64_t times_ns[] = {values->answer_ns, values->watch_ns,
				    values->retry_min_ns, values->retry_max_ns};

	for (int i = 0; i < 4; i++)
		if (times_ns[i] < 0 || times_ns[i] > INT64_C(86400000000000))
			return true;
	return false;
}

bool tpi_kube_check(void *arg, char *why, size_t why_bytes)
{
	struct tpi_kube_values *values = arg;
	struct tpi_list resources = resources_of(values);
	struct tpi_kube_resource resource;
	char because[160];

	for (size_t i = 0; i < resources.count; i++) {
		if (tpi_kube_resource_parse(&resource, resources.items[i],
					    because, sizeof(because)))
			continue;
		snprintf(why, why_bytes, "--resource: '%s' is %s",
			 resources.items[i], because);
		return false;
	}
	for (size_t i = 0; i < values->namespaces.count; i++) {
		if (is_name_space(values->namespaces.items[i]))
			continue;
		snprintf(why, why_bytes,
			 "--namespace: '%s' is not a name of small letters, "
			 "digits and -",
			 values->namespaces.items[i]);
		return false;
	}
	if (is_endless(values)) {
		snprintf(why, why_bytes,
			 "--answer-timeout, --watch-timeout, --retry-min and "
			 "--retry-max: at most 1d");
		return false;
	}
	if (values->retry_max_ns < values->retry_min_ns) {
		snprintf(why, why_bytes,
			 "--retry-max is less than --retry-min");
		return false;
	}
	return true;
}

int tpi_kube_probe(void *arg)
{
	const struct tpi_kube_values *values = arg;
	struct tpi_kube_access access;
	char why[TPI_KUBE_WHY_BYTES];

	if (tpi_kube_access_load(&access, &values->access, why, sizeof(why))) {
		tpi_say("%s", why);
		return TPI_EXIT_FAILURE;
	}
	tpi_say("the API server is %s, by %s", access.server, access.from);
	tpi_kube_access_fini(&access);
	return TPI_EXIT_OK;
}

/* ---- begin ---------------------------------------------------------------- */

static const char *find_node(struct run *run)
{
	const char *name = run->values->node;

	if (!name || !*name)
		name = getenv("NODE_NAME");
	if (name && *name)
		return name;
	return uname(&run->host) ? "" : run->host.nodename;
}

/* Room for a whole object: the longest event of the channel, less the other fields. */
static size_t full_bytes(struct run *run)
{
	size_t most = tapio_producer_max_bytes(run->c->producer);

	if (!run->values->full_object)
		return 0;
	if (most > UINT16_MAX)
		most = UINT16_MAX; /* strings of an event, all together */
	if (most < 2 * TPI_KUBE_EVENT_BYTES)
		tpi_say("--full-object: the longest event of channel '%s' has "
			"%zu bytes: most objects will be cut",
			run->c->values.channel, most);
	return most > TPI_KUBE_EVENT_BYTES + TPI_KUBE_TEXT_MIN
		       ? most - TPI_KUBE_EVENT_BYTES
		       : TPI_KUBE_TEXT_MIN;
}

static void share(struct run *run)
{
	const struct tpi_kube_values *values = run->values;
	struct tpi_kube_shared *shared = &run->shared;

	shared->access_options = values->access;
	shared->selector = values->selector;
	shared->field_selector = values->field_selector;
	shared->only_node = values->only_node;
	shared->no_existing = values->no_existing;
	shared->page = values->page;
	shared->known_max = values->known_max;
	shared->full_bytes = full_bytes(run);
	shared->answer_ns = values->answer_ns;
	shared->watch_ns = values->watch_ns;
	shared->retry_min_ns = values->retry_min_ns;
	shared->retry_max_ns = values->retry_max_ns;
	shared->emitter.sink = &run->sink;
	shared->emitter.collector = run->c->about->name;
	shared->emitter.cluster = values->cluster;
	shared->emitter.node = find_node(run);
	shared->emitter.cgroups = tpi_kube_cgroup_open(values->cgroup);
}

static bool open_streams(struct run *run)
{
	struct tpi_list resources = resources_of(run->values);
	const struct tpi_list *in = &run->values->namespaces;
	size_t places = in->count ? in->count : 1;
	char why[160];

	run->streams = calloc(resources.count * places, sizeof(*run->streams));
	for (size_t i = 0; run->streams && i < resources.count; i++) {
		struct tpi_kube_resource resource;

		tpi_kube_resource_parse(&resource, resources.items[i], why,
					sizeof(why));
		for (size_t j = 0; j < places; j++) {
			/* One of the cluster is in no namespace, or in all. */
			if (j && !resource.namespaced)
				break;
			if (tpi_kube_stream_open(
				    &run->streams[run->count], &run->shared,
				    &resource, in->count ? in->items[j] : NULL))
				return false;
			run->count++;
		}
	}
	return run->streams != NULL;
}

static bool begin(struct run *run)
{
	char why[TPI_KUBE_WHY_BYTES];

	run->shared.emitter.cgroups = -1;
	if (tpi_kube_access_load(&run->shared.access, &run->values->access, why,
				 sizeof(why)))
		return tpi_collector_fail(run->c, TPI_EXIT_FAILURE, "%s", why);
	if (tpi_collector_sink(run->c, &run->sink) ||
	    !tpi_collector_attach(run->c))
		return false;
	share(run);
	if (tpi_kube_http_open(&run->shared.http) || !open_streams(run))
		return tpi_collector_fail(run->c, TPI_EXIT_FAILURE,
					  "out of memory or descriptors");
	return true;
}

/* ---- run and end ---------------------------------------------------------- */

static int64_t tend_all(struct run *run)
{
	int64_t deadline_ns = INT64_MAX;

	for (size_t i = 0; i < run->count; i++)
		tpi_kube_stream_tend(run->streams[i]);
	for (size_t i = 0; i < run->count; i++) {
		int64_t next_ns = tpi_kube_stream_deadline(run->streams[i]);

		if (next_ns < deadline_ns)
			deadline_ns = next_ns;
	}
	if (tpi_kube_http_deadline(run->shared.http) < deadline_ns)
		deadline_ns = tpi_kube_http_deadline(run->shared.http);
	return deadline_ns;
}

static void loop(struct run *run)
{
	while (tpi_collector_tend(run->c) && !run->shared.emitter.left) {
		/* An event that is accepted now may be in memory that no reader will
		 * see: it waits at the server. So this look is right before the work. */
		if (tpi_collector_away(run->c)) {
			tpi_collector_wait(run->c, -1,
					   tpi_monotonic_ns() + AWAY_NS);
			continue;
		}
		tpi_kube_http_work(run->shared.http);
		tpi_collector_wait(run->c, tpi_kube_http_fd(run->shared.http),
				   tend_all(run));
	}
}

/* Counts that the ledger of the channel does not have. */
static void say_counts(const struct run *run)
{
	struct tpi_kube_stream_counts sum = {0};

	for (size_t i = 0; i < run->count; i++) {
		const struct tpi_kube_stream_counts *one =
			tpi_kube_stream_counts(run->streams[i]);

		sum.lists += one->lists;
		sum.watches += one->watches;
		sum.bookmarks += one->bookmarks;
		sum.unchanged += one->unchanged;
		sum.unknown += one->unknown;
		sum.failures += one->failures;
		sum.repaired += one->repaired;
	}
	tpi_say("lists %llu, watches %llu, bookmarks %llu, failures %llu, "
		"unchanged %llu, not known %llu, characters repaired %llu",
		(unsigned long long)sum.lists, (unsigned long long)sum.watches,
		(unsigned long long)sum.bookmarks,
		(unsigned long long)sum.failures,
		(unsigned long long)sum.unchanged,
		(unsigned long long)sum.unknown,
		(unsigned long long)sum.repaired);
}

static void end(struct run *run)
{
	for (size_t i = 0; i < run->count; i++)
		tpi_kube_stream_close(run->streams[i]);
	free(run->streams);
	tpi_kube_http_close(run->shared.http);
	tpi_kube_access_fini(&run->shared.access);
	if (run->shared.emitter.cgroups >= 0)
		close(run->shared.emitter.cgroups);
}

int tpi_kube_collect(struct tpi_collector *c, struct tpi_kube_values *values)
{
	static struct run run;

	run.c = c;
	run.values = values;
	if (begin(&run)) {
		loop(&run);
		if (!c->values.quiet)
			say_counts(&run);
	}
	end(&run);
	return tpi_collector_end(c);
}
