/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making the catalog and the channels, at start, unless a former broker's are taken over
 * (adopt.c). Everything that the broker will share is allocated, faulted in, placed and
 * sealed here, before the first client connects. Afterwards no request can fail for
 * memory. Channels that a later configuration names are made in the same way (channels.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "broker/config/fit.h"
#include "broker/keep/keep.h"
#include "broker/registry/adopt.h"
#include "broker/registry/channels.h"
#include "broker/registry/registry.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

#define FIRST_EPOCH 1 /* of a slot's memory */

/* The parameters of making segments. */
struct maker {
	struct tpi_registry *registry;
	const struct tpi_config *config;
	const struct tpi_topology *topology;
	struct tpi_log *log;
	char *error;
	size_t error_bytes;
	uint64_t spare_bytes; /* of the budget, beyond the plan */
	struct tpi_cgroups cgroups;
	bool must_keep; /* the catalog is kept: all else MUST be, too */
};

/* ---- segments --------------------------------------------------------------- */

/* At the start: a successor does not get it then, and begins with new memory. */
static int keep(struct maker *m, uint32_t kind, uint32_t number, int fd)
{
	struct tpi_keep_key key = {kind, number};
	int err = tpi_keep_put(m->registry->keep, key, fd);

	if (err && m->must_keep)
		return tpi_fail(err, m->error, m->error_bytes,
				"the keeper does not take a descriptor: %s",
				strerror(-err));
	if (err)
		tpi_log(m->log, TAPIO_LOG_WARNING,
			"the memory ends with this broker: the keeper does "
			"not take a descriptor: %s",
			strerror(-err));
	TPI_TESTPOINT("registry.kept");
	return 0;
}

/* A new record. The catalog is kept when all is there. */
static int note_segment(struct maker *m, struct tpi_segment *segment,
			uint32_t number, uint32_t kind, uint32_t channel,
			uint32_t index, uint32_t node)
{
	uint32_t epoch = kind == TAPIO_SEGMENT_CURSORS ? FIRST_EPOCH : 0;

	m->registry->used_bytes += segment->map.bytes;
	segment->report.node = node;
	tpi_registry_note(&m->registry->catalog.segments[number], segment, kind,
			  channel, index, epoch);
	TPI_TESTPOINT("registry.noted");
	if (kind == TAPIO_SEGMENT_CATALOG)
		return 0;
	/* An isolated producer's is of memory 0 (isolation.h). */
	return keep(m, TPI_KEEP_SEGMENT, tpi_slot_memory_key(number, epoch),
		    segment->fd);
}

/* Says what became of a node that was asked for and not had. */
static void log_placement(struct maker *m, const char *name,
			  const struct tpi_segment *segment)
{
	const struct tapio_shm_segment *report = &segment->report;

	if (report->placement == TAPIO_PLACED_UNBOUND &&
	    report->misplaced_pages == UINT64_MAX)
		tpi_log(m->log, TAPIO_LOG_INFO,
			"segment %s: not bound to node %u: %s; on which nodes "
			"its pages are cannot be known",
			name, report->node, strerror(report->placement_errno));
	else if (report->placement == TAPIO_PLACED_UNBOUND)
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
			struct tpi_segment_request *request)
{
	uint64_t used = m->registry->used_bytes;
	char why[800] = "";
	int err;

	request->cgroups = &m->cgroups;
	err = tpi_segment_create(segment, request, why, sizeof(why));
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
	uint64_t extra = tpi_budget_huge_extra(bytes);

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

/*
 * A producer that is not trusted can punch holes into its segment. In the file of a
 * hugetlb pool that is empty, a hole is SIGBUS for a reader. In shmem it reads as
 * zero, with huge pages or without. The segment of the doorbells is two pages.
 */
static unsigned int rung_of(struct maker *m,
			    const struct tpi_channel_spec *spec,
			    uint32_t segment, const char *name, uint64_t bytes)
{
	if (!tpi_spec_isolated(spec))
		return first_rung(m, name, bytes);
	if (!segment || m->config->hugepages == TPI_HUGE_NEVER)
		return TAPIO_RUNG_PAGES;
	return TAPIO_RUNG_THP;
}

static int make_node(struct maker *m, struct tpi_host *host, uint32_t index)
{
	const struct tpi_channel_spec *spec = &host->config->spec;
	uint32_t at = tpi_channel_node(spec, m->topology, index);
	uint32_t node = m->topology->node_id[at];
	bool isolated = tpi_spec_isolated(spec);
	struct tpi_segment *segment = &host->nodes[index];
	char name[TAPIO_NAME_BYTES + 32];
	struct tpi_segment_request request = {
		.name = name,
		.bytes = tpi_channel_bytes(spec, m->topology, index),
		.node = (int)node,
		.no_fallback =
			!isolated && m->config->hugepages == TPI_HUGE_REQUIRE,
		.seals_later = isolated && index,
	};
	int err;

	snprintf(name, sizeof(name), "tapio-%s-%s%u", spec->name,
		 isolated ? "producer" : "node", isolated ? index : node);
	request.first_rung = rung_of(m, spec, index, name, request.bytes);
	err = make_segment(m, segment, &request);
	if (!err)
		err = tpi_channel_build(&segment->map, &m->registry->catalog,
					host->index, index);
	if (err)
		return err;
	host->own_memory[index].number = tpi_segment_record(host->index, index);
	host->own_memory[index].record =
		&m->registry->catalog.segments[host->own_memory[index].number];
	return note_segment(m, segment, host->own_memory[index].number,
			    TAPIO_SEGMENT_CHANNEL, host->index, index, node);
}

static int make_cursors(struct maker *m, struct tpi_host *host, uint32_t slot)
{
	struct tpi_segment *segment = &host->cursor_segments[slot];
	struct tpi_slot_memory *memory = &host->memory[slot];
	char name[TAPIO_NAME_BYTES + 32];
	struct tpi_segment_request request = {
		.name = name,
		.bytes = tpi_cursors_bytes(host->lanes.lane_count),
		.node = -1,
		.first_rung = TAPIO_RUNG_PAGES,
	};
	int err;

	snprintf(name, sizeof(name), "tapio-%s-group%u",
		 host->config->spec.name, slot);
	err = make_segment(m, segment, &request);
	if (!err)
		err = tpi_cursors_attach(&host->cursors[slot], &segment->map,
					 &host->lanes.info, slot, m->error,
					 m->error_bytes);
	if (err)
		return err;
	memory->epoch = FIRST_EPOCH;
	memory->number = tpi_slot_record(host->index, slot);
	memory->record = &m->registry->catalog.segments[memory->number];
	host->shm_groups[slot].epoch = memory->epoch;
	return note_segment(m, segment, memory->number, TAPIO_SEGMENT_CURSORS,
			    host->index, slot, UINT32_MAX);
}

/* All of it but READY. The host MUST be given back, also after an error. */
static int make_host(struct maker *m, uint32_t index,
		     const struct tpi_config_channel *config)
{
	const struct tpi_channel_spec *spec = &config->spec;
	struct tpi_registry *registry = m->registry;
	struct tpi_host *host = &registry->hosts[index];
	uint32_t lanes = tpi_channel_lane_count(spec, m->topology), first;
	int err = tpi_channel_find_places(registry, spec->name, lanes, &first,
					  m->error, m->error_bytes);

	if (!err)
		err = tpi_registry_begin_host(
			registry, config, index,
			tpi_channel_segments(spec, m->topology));
	if (err)
		return err;
	memset(&registry->state.channels[index], 0,
	       sizeof(registry->state.channels[index]));
	err = tpi_channel_write(&registry->catalog, index, first, spec,
				m->topology);
	TPI_TESTPOINT("channel.written");
	for (uint32_t i = 0; i < host->node_count && !err; i++)
		err = make_node(m, host, i);
	if (!err)
		err = tpi_registry_attach_lanes(m->registry, host, m->error,
						m->error_bytes);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS && !err; i++)
		err = make_cursors(m, host, i);
	if (!err)
		err = tpi_registry_note_files(host);
	if (!err)
		err = tpi_judge_init(&host->judge, &host->lanes);
	if (!err)
		tpi_log(m->log, TAPIO_LOG_INFO,
			"channel \"%s\": %u lanes, %" PRIu64 " bytes",
			host->config->spec.name, host->lanes.lane_count,
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
		err = tpi_catalog_build(&segment->map,
					&registry->budget.catalog,
					registry->instance);
	if (!err)
		err = tpi_catalog_attach(&registry->catalog, &segment->map,
					 m->error, m->error_bytes);
	if (err)
		return err;
	return note_segment(m, segment, 0, TAPIO_SEGMENT_CATALOG, 0, 0,
			    UINT32_MAX);
}

/* ---- all of it ---------------------------------------------------------------- */

static int make_state(struct maker *m)
{
	struct tpi_registry *registry = m->registry;

	return tpi_state_create(
		&registry->state, registry->catalog.attachment_count,
		registry->catalog.channel_count, registry->instance,
		registry->keep != NULL, m->error, m->error_bytes);
}

/* A successor that finds the catalog finds all that is in it. */
static void keep_catalog(struct maker *m)
{
	struct tpi_registry *registry = m->registry;

	if (!registry->keep)
		return;
	(void)keep(m, TPI_KEEP_STATE, 0, registry->state.segment.fd);
	(void)keep(m, TPI_KEEP_CATALOG, 0, registry->catalog_segment.fd);
}

static int make_hosts(struct maker *m)
{
	struct tpi_registry *registry = m->registry;
	int err = 0;

	registry->hosts = calloc(registry->catalog.channel_count,
				 sizeof(*registry->hosts));
	if (!registry->hosts)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->config->channel_count && !err; i++) {
		err = make_host(m, i, &m->config->channels[i]);
		if (!err)
			tpi_channel_show(&registry->catalog, i);
	}
	return err;
}

static int make_all(struct maker *m)
{
	struct tpi_registry *registry = m->registry;
	int err = tpi_registry_raise_fds(registry, m->config, m->log, m->error,
					 m->error_bytes);

	if (!err && getrandom(registry->instance, sizeof(registry->instance),
			      0) != (ssize_t)sizeof(registry->instance))
		err = -errno;
	if (!err)
		err = make_catalog(m);
	if (!err)
		err = make_state(m);
	if (!err)
		err = tpi_registry_make_attachments(registry,
						    TAPIO_ATTACHMENT_ID(1, 1));
	if (err)
		return err;
	tpi_registry_describe(registry, m->config, m->topology, m->log);
	err = make_hosts(m);
	if (err)
		return err;
	tpi_registry_learn(registry);
	keep_catalog(m);
	return 0;
}

static void log_limit(struct maker *m, const char *what, const char *unknown,
		      const struct tpi_cgroup_limit *limit)
{
	if (unknown)
		tpi_log(m->log, TAPIO_LOG_NOTICE,
			"the cgroup's limit of %s is unknown: %s", what,
			unknown);
	else if (limit->unreadable)
		tpi_log(m->log, TAPIO_LOG_NOTICE,
			"the cgroup's limit of %s may be lower than is known: "
			"%s cannot be read",
			what, limit->file);
	else if (limit->limit_bytes != UINT64_MAX)
		tpi_log(m->log, TAPIO_LOG_INFO,
			"the cgroup leaves %" PRIu64 " of %" PRIu64
			" bytes of %s (%s)",
			limit->room_bytes, limit->limit_bytes, what,
			limit->file);
}

static void log_cgroups(struct maker *m, const struct tpi_fit *fit)
{
	uint64_t wanted = fit->plain_bytes + fit->upkeep_bytes;

	log_limit(m, "memory", m->cgroups.memory.unknown, &fit->memory);
	if (m->config->hugepages != TPI_HUGE_NEVER && fit->pool_bytes)
		log_limit(m, "huge pages", m->cgroups.hugetlb.unknown,
			  &fit->huge);
	if (wanted > fit->high.room_bytes)
		tpi_log(m->log, TAPIO_LOG_WARNING,
			"%" PRIu64 " bytes are wanted, and %" PRIu64
			" of %" PRIu64 " are left in the cgroup (%s): the "
			"kernel slows the group down beyond that; raise "
			"memory.high, or lower blocks or block",
			wanted, fit->high.room_bytes, fit->high.limit_bytes,
			fit->high.file);
}

/* All of it against what the host leaves, before any of it is taken. */
static int compare_with_host(struct maker *m, const struct tpi_budget *plan)
{
	struct tpi_fit *fit = malloc(sizeof(*fit));
	int err = fit ? tpi_cgroups_find(&m->cgroups, "") : -ENOMEM;

	if (!err) {
		tpi_fit(fit, plan, m->config, m->topology, &m->cgroups);
		log_cgroups(m, fit);
		err = tpi_fit_check(fit, m->config, m->topology, m->error,
				    m->error_bytes);
	}
	free(fit);
	return err;
}

int tpi_registry_create(struct tpi_registry *registry,
			struct tpi_config *config,
			const struct tpi_topology *topology,
			struct tpi_keep *kept, struct tpi_log *log, char *error,
			size_t error_bytes)
{
	struct maker m = {.registry = registry,
			  .config = config,
			  .topology = topology,
			  .log = log,
			  .error = error,
			  .error_bytes = error_bytes};
	int err;

	tpi_registry_begin(registry, kept);
	if (error && error_bytes)
		error[0] = 0;
	tpi_registry_check_stamps(config, log);
	config->side_lanes_only = !tpi_host_has_cpu_lanes();
	err = tpi_registry_adopt(registry, config, topology, log, error,
				 error_bytes);
	if (err || registry->adopted)
		return err;
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
	err = compare_with_host(&m, &registry->budget);
	if (!err)
		err = make_all(&m);
	tpi_cgroups_free(&m.cgroups);
	if (err && error && error_bytes && !error[0])
		tpi_fail(err, error, error_bytes, "making the segments: %s",
			 strerror(-err));
	return err;
}

/* ---- more channels -------------------------------------------------------------- */

/* Descriptors of the segments that are planned. */
static int raise_for_more(struct maker *m, uint32_t segments)
{
	struct tpi_registry *registry = m->registry;
	struct tpi_config all = *m->config;
	int err;

	all.channel_count += registry->host_count;
	registry->budget.segment_count += segments;
	registry->budget.fd_count += 2 * segments;
	err = tpi_registry_raise_fds(registry, &all, m->log, m->error,
				     m->error_bytes);
	if (err)
		tpi_registry_recount(registry);
	return err;
}

static int make_more(struct maker *m)
{
	struct tpi_registry *registry = m->registry;
	uint32_t index, made = 0;
	int err = 0;

	while (made < m->config->channel_count && !err) {
		const struct tpi_config_channel *config =
			&m->config->channels[made];

		err = tpi_channel_find_entry(registry, config->spec.name,
					     &index, m->error, m->error_bytes);
		if (!err)
			err = make_host(m, index, config);
		made++;
	}
	return err;
}

/* The used bytes are there already, so they are no part of what the host has to give. */
static int plan_more(struct maker *m, struct tpi_config *more,
		     struct tpi_budget *plan)
{
	struct tpi_budget rest;
	int err = tpi_budget_more(plan, more, m->topology,
				  m->registry->used_bytes, m->error,
				  m->error_bytes);

	if (err)
		return err;
	m->spare_bytes = more->budget_bytes - plan->total_bytes;
	rest = *plan;
	rest.catalog_bytes = 0;
	return compare_with_host(m, &rest);
}

int tpi_registry_add(struct tpi_registry *registry, struct tpi_config *more,
		     const struct tpi_topology *topology, struct tpi_log *log,
		     char *error, size_t error_bytes)
{
	struct maker m = {.registry = registry,
			  .config = more,
			  .topology = topology,
			  .log = log,
			  .error = error,
			  .error_bytes = error_bytes,
			  .must_keep = registry->keep != NULL};
	struct tpi_budget plan;
	int err;

	if (!more->channel_count)
		return 0;
	error[0] = 0;
	err = plan_more(&m, more, &plan);
	if (!err)
		err = raise_for_more(&m, plan.segment_count);
	if (!err)
		err = make_more(&m);
	tpi_cgroups_free(&m.cgroups);
	if (!err)
		return 0;
	if (!error[0])
		tpi_fail(err, error, error_bytes, "making a channel: %s",
			 strerror(-err));
	tpi_channels_unmake(registry);
	return err;
}
