/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making the catalog and the channels, at start. Everything that the broker will
 * ever share is allocated, faulted in, placed and sealed here, before the first
 * client connects. Afterwards no request can fail for memory.
 *
 * Records in the catalog are written once and then READY. attachments.c,
 * group.c and clock.c change single words later.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/registry/clock.h"
#include "broker/registry/registry.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"

#define HUGE_BYTES (UINT64_C(2) << 20) /* of the hugetlb rung */
#define OTHER_FDS  64 /* sockets, ring, timers, stdio, what the host has open */

/* The parameters of making segments. */
struct maker {
	struct tpi_registry *registry;
	const struct tpi_config *config;
	const struct tpi_topology *topology;
	struct tpi_log *log;
	char *error;
	size_t error_bytes;
	uint64_t spare_bytes; /* of the budget, beyond the plan */
};

/* ---- segments --------------------------------------------------------------- */

static int file_of(int fd, struct tpi_file *file)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	file->device = st.st_dev;
	file->inode = st.st_ino;
	return 0;
}

static void note_segment(struct maker *m, const struct tpi_segment *segment,
			 uint32_t kind, uint32_t channel, uint32_t index,
			 uint32_t node)
{
	struct tapio_shm_segment *record, report = segment->report;

	report.kind = kind;
	report.channel = channel;
	report.index = index;
	report.node = node;
	report.ready = 0;
	record = &m->registry->catalog.segments[m->registry->segments_used++];
	memcpy(record, &report, sizeof(report));
	/* ORDER segment_record.ready (release): the record before its READY.
	 * Pairs with the acquire of the tools that list segments (tools/). */
	tpi_store_release(&record->ready, TAPIO_SEGMENT_READY);
}

/* Says what became of a node that was asked for and not had. */
static void log_placement(struct maker *m, const char *name,
			  const struct tpi_segment *segment)
{
	const struct tapio_shm_segment *report = &segment->report;

	if (report->placement == TAPIO_PLACED_UNBOUND)
		tpi_log(m->log, TAPIO_LOG_INFO,
			"segment %s: not bound to node %u: %s; %" PRIu64
			" of %" PRIu64 " pages are elsewhere",
			name, report->node, strerror(report->placement_errno),
			report->misplaced_pages,
			report->length_bytes / report->page_bytes);
	else if (report->placement == TAPIO_PLACED_ELSEWHERE)
		tpi_log(m->log, TAPIO_LOG_WARNING,
			"segment %s: bound to node %u, but %" PRIu64
			" of %" PRIu64 " pages are elsewhere",
			name, report->node, report->misplaced_pages,
			report->length_bytes / report->page_bytes);
	else if (report->placement_errno)
		tpi_log(m->log, TAPIO_LOG_INFO,
			"segment %s: whether it is on node %u cannot be "
			"known: move_pages: %s",
			name, report->node, strerror(report->placement_errno));
}

/* Makes one, within the budget, and says what it really became. */
static int make_segment(struct maker *m, struct tpi_segment *segment,
			const struct tpi_segment_request *request)
{
	uint64_t used = m->registry->used_bytes;
	char why[256] = "";
	int err = tpi_segment_create(segment, request, why, sizeof(why));

	if (err)
		return tpi_fail(err, m->error, m->error_bytes,
				"segment %s of %" PRIu64 " bytes: %s",
				request->name, request->bytes, why);
	/* Rounding up to huge pages may exceed what the plan counted. */
	if (segment->map.bytes > m->config->budget_bytes ||
	    used > m->config->budget_bytes - segment->map.bytes)
		return tpi_fail(
			-ENOMEM, m->error, m->error_bytes,
			"segment %s takes %" PRIu64 " bytes in pages of "
			"%u, %" PRIu64 " bytes are used already, the "
			"budget is %" PRIu64 " bytes",
			request->name, segment->map.bytes,
			segment->map.page_bytes, used, m->config->budget_bytes);
	m->registry->used_bytes += segment->map.bytes;
	/* A forked child of an embedding process is no second broker. */
	(void)tpi_sys_madvise(segment->map.base, segment->map.bytes,
			      MADV_DONTFORK);
	if (why[0])
		tpi_log(m->log, TAPIO_LOG_INFO, "%s", why);
	log_placement(m, request->name, segment);
	return 0;
}

/*
 * Huge pages round a segment up. Where that would take what the plan has counted
 * for another one, `auto` does without them. `require` is refused later, with the
 * numbers.
 */
static unsigned int first_rung(struct maker *m, const char *name,
			       uint64_t bytes)
{
	uint64_t extra = (HUGE_BYTES - bytes % HUGE_BYTES) % HUGE_BYTES;

	if (m->config->hugepages == TPI_HUGE_NEVER)
		return TAPIO_RUNG_PAGES;
	if (m->config->hugepages == TPI_HUGE_REQUIRE)
		return TAPIO_RUNG_HUGETLB;
	if (extra <= m->spare_bytes) {
		m->spare_bytes -= extra;
		return TAPIO_RUNG_HUGETLB;
	}
	tpi_log(m->log, TAPIO_LOG_NOTICE,
		"segment %s: not from the hugetlb pool, which would take "
		"%" PRIu64 " bytes more, and the budget leaves %" PRIu64,
		name, extra, m->spare_bytes);
	return TAPIO_RUNG_THP;
}

static int make_node(struct maker *m, struct tpi_host *host, uint32_t node)
{
	const struct tpi_channel_spec *spec = &host->config->spec;
	char name[TAPIO_NAME_BYTES + 32];
	struct tpi_segment_request request = {
		.name = name,
		.bytes = tpi_channel_bytes(spec, m->topology, node),
		.node = (int)m->topology->node_id[node],
		.no_fallback = m->config->hugepages == TPI_HUGE_REQUIRE,
	};
	int err;

	snprintf(name, sizeof(name), "tapio-%s-node%u", spec->name,
		 m->topology->node_id[node]);
	request.first_rung = first_rung(m, name, request.bytes);
	err = make_segment(m, &host->nodes[node], &request);
	if (!err)
		err = tpi_channel_build(&host->nodes[node].map, spec,
					m->topology, node, host->index,
					m->registry->instance);
	if (!err)
		note_segment(m, &host->nodes[node], TAPIO_SEGMENT_CHANNEL,
			     host->index, node, m->topology->node_id[node]);
	return err;
}

static int make_cursors(struct maker *m, struct tpi_host *host, uint32_t slot,
			uint32_t lanes)
{
	struct tpi_segment *segment = &host->cursor_segments[slot];
	char name[TAPIO_NAME_BYTES + 32];
	struct tpi_segment_request request = {
		.name = name,
		.bytes = tpi_cursors_bytes(lanes),
		.node = -1,
		.first_rung = TAPIO_RUNG_PAGES,
	};
	int err;

	snprintf(name, sizeof(name), "tapio-%s-group%u",
		 host->config->spec.name, slot);
	err = make_segment(m, segment, &request);
	if (!err)
		err = tpi_cursors_build(&segment->map, lanes, host->index, slot,
					m->registry->instance);
	if (!err)
		err = tpi_cursors_attach(&host->cursors[slot], &segment->map,
					 &m->registry->catalog, host->index,
					 slot, lanes, m->error, m->error_bytes);
	if (!err)
		note_segment(m, segment, TAPIO_SEGMENT_CURSORS, host->index,
			     slot, UINT32_MAX);
	return err;
}

/* The files by which a client's /proc/PID/maps shows that it is still there. */
static int note_files(struct tpi_host *host)
{
	uint32_t count = host->node_count + TAPIO_GROUP_SLOTS;
	int err = 0;

	host->files = calloc(count, sizeof(*host->files));
	if (!host->files)
		return -ENOMEM;
	for (uint32_t i = 0; i < host->node_count && !err; i++)
		err = file_of(host->nodes[i].fd,
			      &host->files[host->file_count++]);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS && !err; i++)
		err = file_of(host->cursor_segments[i].fd,
			      &host->files[host->file_count++]);
	return err;
}

static int attach_lanes(struct maker *m, struct tpi_host *host)
{
	struct tpi_map maps[TAPIO_NODES_MAX];

	for (uint32_t i = 0; i < host->node_count; i++)
		maps[i] = host->nodes[i].map;
	return tpi_channel_attach(&host->lanes, &m->registry->catalog,
				  host->index, maps, host->node_count, m->error,
				  m->error_bytes);
}

static int make_host(struct maker *m, struct tpi_host *host, uint32_t index)
{
	struct tpi_catalog *catalog = &m->registry->catalog;
	uint32_t lanes;
	int err = 0;

	host->index = index;
	host->config = &m->config->channels[index];
	host->shm = &catalog->channels[index];
	host->shm_groups = &catalog->groups[(size_t)index * TAPIO_GROUP_SLOTS];
	host->node_count = m->topology->node_count;
	host->nodes = calloc(host->node_count, sizeof(*host->nodes));
	if (!host->nodes)
		return -ENOMEM;
	lanes = tpi_channel_lane_count(&host->config->spec, m->topology);
	for (uint32_t i = 0; i < host->node_count && !err; i++)
		err = make_node(m, host, i);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS && !err; i++) {
		LIST_INIT(&host->groups[i].holders);
		err = make_cursors(m, host, i, lanes);
	}
	if (!err)
		err = note_files(host);
	if (!err)
		err = tpi_channel_publish(catalog, index, &host->config->spec,
					  m->topology);
	if (!err)
		err = attach_lanes(m, host);
	if (!err)
		err = tpi_judge_init(&host->judge, &host->lanes);
	if (!err)
		tpi_log(m->log, TAPIO_LOG_INFO,
			"channel \"%s\": %u lanes, %" PRIu64 " bytes",
			host->config->spec.name, lanes,
			tpi_budget_channel_bytes(&host->config->spec,
						 m->topology));
	return err;
}

/* ---- the catalog ------------------------------------------------------------- */

static int make_catalog(struct maker *m)
{
	struct tpi_registry *registry = m->registry;
	struct tpi_segment *segment = &registry->catalog_segment;
	struct tpi_segment_request request = {
		.name = "tapio-catalog",
		.bytes = registry->budget.catalog_bytes,
		.node = -1,
		.first_rung = TAPIO_RUNG_PAGES,
	};
	int err = make_segment(m, segment, &request);

	if (!err)
		err = tpi_catalog_build(
			&segment->map, m->config->clients_max + 1,
			registry->budget.segment_count,
			m->config->channel_count, registry->instance);
	if (!err)
		err = tpi_catalog_attach(&registry->catalog, &segment->map,
					 m->error, m->error_bytes);
	if (!err)
		note_segment(m, segment, TAPIO_SEGMENT_CATALOG, 0, 0,
			     UINT32_MAX);
	return err;
}

/* ---- all of it ---------------------------------------------------------------- */

/* Segments, and per client a connection, a pidfd and one being looked at. */
static int raise_fd_limit(struct maker *m)
{
	uint64_t need = m->registry->budget.fd_count +
			2 * (uint64_t)m->config->clients_max + OTHER_FDS;
	struct rlimit limit, wish;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= need)
		return 0;
	wish.rlim_cur = need;
	wish.rlim_max = limit.rlim_max > need ? limit.rlim_max : need;
	if (!setrlimit(RLIMIT_NOFILE, &wish))
		return 0;
	/* The segments need their memory now. Clients may never come. */
	wish = limit;
	wish.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &wish);
	if (wish.rlim_cur >= m->registry->budget.fd_count + OTHER_FDS) {
		tpi_log(m->log, TAPIO_LOG_WARNING,
			"%" PRIu64 " descriptors may be needed (%u for "
			"segments, two for each of %u clients), the limit is "
			"%" PRIu64 " (RLIMIT_NOFILE; LimitNOFILE= in a unit): "
			"fewer clients can connect",
			need, m->registry->budget.fd_count,
			m->config->clients_max, (uint64_t)wish.rlim_cur);
		return 0;
	}
	return tpi_fail(
		-EMFILE, m->error, m->error_bytes,
		"%u channel%s need%s %u descriptors, the hard limit "
		"is %" PRIu64 " (RLIMIT_NOFILE; LimitNOFILE= in a unit)",
		m->config->channel_count, TPI_PLURAL(m->config->channel_count),
		m->config->channel_count == 1 ? "s" : "",
		m->registry->budget.fd_count, (uint64_t)limit.rlim_max);
}

static int make_attachments(struct maker *m)
{
	struct tpi_registry *registry = m->registry;
	uint32_t count = registry->catalog.attachment_count;
	struct tpi_attachment *own;

	registry->attachments = calloc(count, sizeof(*registry->attachments));
	if (!registry->attachments)
		return -ENOMEM;
	for (uint32_t i = 2; i < count; i++) {
		registry->attachments[i].index = i;
		STAILQ_INSERT_TAIL(&registry->free, &registry->attachments[i],
				   free);
	}
	own = &registry->attachments[1];
	own->index = 1;
	own->generation = 1;
	own->id = TAPIO_ATTACHMENT_ID(1, 1);
	registry->attachment_id = own->id;
	registry->catalog.broker->attachment = own->id;
	return 0;
}

static int make_all(struct maker *m)
{
	struct tpi_registry *registry = m->registry;
	int err = raise_fd_limit(m);

	if (!err && getrandom(registry->instance, sizeof(registry->instance),
			      0) != (ssize_t)sizeof(registry->instance))
		err = -errno;
	if (!err)
		err = make_catalog(m);
	if (!err)
		err = make_attachments(m);
	if (err)
		return err;
	tpi_registry_describe(registry, m->config, m->topology, m->log);
	registry->hosts =
		calloc(m->config->channel_count, sizeof(*registry->hosts));
	if (!registry->hosts)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->config->channel_count && !err; i++) {
		registry->host_count++;
		err = make_host(m, &registry->hosts[i], i);
	}
	if (!err)
		tpi_registry_learn(registry);
	return err;
}

/* A channel stamped with ticks is of no use where ticks cannot be converted. */
static void check_stamps(struct tpi_config *config, struct tpi_log *log,
			 bool invariant)
{
	for (uint32_t i = 0; i < config->channel_count && !invariant; i++) {
		struct tpi_channel_spec *spec = &config->channels[i].spec;

		if (spec->stamp != TAPIO_STAMP_TSC)
			continue;
		spec->stamp = TAPIO_STAMP_CLOCK;
		tpi_log(log, TAPIO_LOG_WARNING,
			"channel \"%s\": stamp = clock instead of tsc, which "
			"has no constant rate on this machine",
			spec->name);
	}
}

int tpi_registry_create(struct tpi_registry *registry,
			struct tpi_config *config,
			const struct tpi_topology *topology,
			struct tpi_log *log, char *error, size_t error_bytes)
{
	struct maker m = {registry, config,      topology, log,
			  error,    error_bytes, 0};
	int err;

	memset(registry, 0, sizeof(*registry));
	STAILQ_INIT(&registry->free);
	if (error && error_bytes)
		error[0] = 0;
	check_stamps(config, log, tpi_tsc_invariant());
	config->side_lanes_only = !tpi_host_has_cpu_lanes();
	err = tpi_budget(&registry->budget, config, topology, error,
			 error_bytes);
	if (err)
		return err;
	m.spare_bytes = config->budget_bytes - registry->budget.total_bytes;
	if (registry->budget.shrunk)
		tpi_log(log, TAPIO_LOG_NOTICE,
			"blocks and side lanes that the configuration leaves "
			"open were halved %u times to fit in the budget of "
			"%" PRIu64 " bytes",
			registry->budget.shrunk, config->budget_bytes);
	err = make_all(&m);
	if (err && error && error_bytes && !error[0])
		tpi_fail(err, error, error_bytes, "making the segments: %s",
			 strerror(-err));
	return err;
}

static void destroy_host(struct tpi_host *host)
{
	tpi_judge_fini(&host->judge);
	tpi_channel_detach(&host->lanes);
	for (uint32_t i = 0; host->nodes && i < host->node_count; i++)
		tpi_segment_destroy(&host->nodes[i]);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		tpi_segment_destroy(&host->cursor_segments[i]);
	free(host->nodes);
	free(host->files);
}

void tpi_registry_destroy(struct tpi_registry *registry)
{
	for (uint32_t i = 0; i < registry->host_count; i++)
		destroy_host(&registry->hosts[i]);
	free(registry->hosts);
	free(registry->attachments);
	tpi_segment_destroy(&registry->catalog_segment);
	memset(registry, 0, sizeof(*registry));
}

static void close_segment(struct tpi_segment *segment)
{
	close(segment->fd);
	close(segment->fd_ro);
}

static void lose_segment(struct tpi_segment *segment)
{
	segment->fd = segment->fd_ro = -1;
}

static void each_segment(struct tpi_registry *registry,
			 void (*act)(struct tpi_segment *segment))
{
	for (uint32_t i = 0; i < registry->host_count; i++) {
		struct tpi_host *host = &registry->hosts[i];

		for (uint32_t k = 0; k < host->node_count; k++)
			act(&host->nodes[k]);
		for (uint32_t k = 0; k < TAPIO_GROUP_SLOTS; k++)
			act(&host->cursor_segments[k]);
	}
	act(&registry->catalog_segment);
}

void tpi_registry_forget(struct tpi_registry *registry)
{
	each_segment(registry, close_segment);
}

void tpi_registry_lose(struct tpi_registry *registry)
{
	each_segment(registry, lose_segment);
}

struct tpi_host *tpi_registry_find(struct tpi_registry *registry,
				   const char *channel)
{
	for (uint32_t i = 0; i < registry->host_count; i++)
		if (!strcmp(registry->hosts[i].config->spec.name, channel))
			return &registry->hosts[i];
	return NULL;
}
