/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's private side of the catalog and of the channels: what make.c and adopt.c
 * both need to set up, what others look for in it, and its end.
 *
 * Records in the catalog are written once and then READY. attachments.c,
 * group.c and clock.c change single words later.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "broker/keep/keep.h"
#include "broker/registry/adopt.h"
#include "broker/registry/clock.h"
#include "broker/registry/registry.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

#define OTHER_FDS 64 /* sockets, ring, timers, stdio, what the host has open */

/* ---- what is noted ------------------------------------------------------------- */

static struct tpi_file file_of(const struct tpi_segment *segment)
{
	return (struct tpi_file){.device = segment->report.device,
				 .inode = segment->report.inode};
}

void tpi_registry_note(struct tapio_shm_segment *record,
		       const struct tpi_segment *segment, uint32_t kind,
		       uint32_t channel, uint32_t index, uint32_t epoch)
{
	struct tapio_shm_segment report = segment->report;

	report.kind = kind;
	report.channel = channel;
	report.index = index;
	report.epoch = epoch;
	report.ready = 0;
	/* ORDER segment_record.ready (store-store): READY is off before anything
	 * changes. Pairs with the second look of the tools. */
	tpi_store_relaxed(&record->ready, 0);
	/* ORDER segment_record.inode (store-store): and before the next inode. Pairs
	 * with the first look of the tools. */
	tpi_fence_store_store();
	memcpy(record, &report, sizeof(report));
	/* ORDER segment_record.ready (release): the record before its READY.
	 * Pairs with the acquire of the tools that list segments (tools/). */
	tpi_store_release(&record->ready, TAPIO_SEGMENT_READY);
	TPI_TESTPOINT("segment.ready");
}

void tpi_registry_note_file(struct tpi_host *host, uint32_t slot)
{
	host->files[host->node_count + slot] =
		file_of(&host->cursor_segments[slot]);
}

void tpi_registry_find_state(struct tpi_registry *registry,
			     struct tpi_host *host)
{
	struct tpi_state_channel *kept = &registry->state.channels[host->index];

	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++) {
		host->groups[i].kept = &kept->slots[i];
		host->memory[i].noted = &kept->slots[i].memory;
		host->memory[i].keep = registry->keep;
	}
	host->kept = kept;
	for (uint32_t i = 0; i < TAPIO_NODES_MAX; i++) {
		host->own_memory[i].noted = &kept->own_memory[i];
		host->own_memory[i].keep = registry->keep;
	}
}

/* The files by which a client's /proc/PID/maps shows that it is still there. */
int tpi_registry_note_files(struct tpi_host *host)
{
	uint32_t count = host->node_count + TAPIO_GROUP_SLOTS;

	host->files = calloc(count, sizeof(*host->files));
	if (!host->files)
		return -ENOMEM;
	host->file_count = count;
	for (uint32_t i = 0; i < host->node_count; i++)
		host->files[i] = file_of(&host->nodes[i]);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		tpi_registry_note_file(host, i);
	return 0;
}

int tpi_registry_attach_lanes(struct tpi_registry *registry,
			      struct tpi_host *host, char *error,
			      size_t error_bytes)
{
	struct tpi_map maps[TAPIO_NODES_MAX];
	int err;

	for (uint32_t i = 0; i < host->node_count; i++)
		maps[i] = host->nodes[i].map;
	err = tpi_channel_attach_made(&host->lanes, &registry->catalog,
				      host->index, maps, host->node_count,
				      error, error_bytes);
	if (!err)
		host->spans =
			&registry->catalog.spans[host->lanes.info.first_place];
	return err;
}

/* Its fixed numbers. The segments come later. */
int tpi_registry_begin_host(struct tpi_registry *registry,
			    const struct tpi_config_channel *config,
			    uint32_t index, uint32_t segments)
{
	struct tpi_host *host = &registry->hosts[index];
	struct tpi_catalog *catalog = &registry->catalog;

	registry->host_count++;
	memset(host, 0, sizeof(*host));
	host->used = true;
	host->index = index;
	host->config = config;
	host->shm = &catalog->channels[index];
	host->rounds = catalog->minor >= TAPIO_ABI_MINOR_ROUNDS;
	host->shm_groups = &catalog->groups[(size_t)index * TAPIO_GROUP_SLOTS];
	host->node_count = segments;
	tpi_registry_find_state(registry, host);
	host->nodes = calloc(segments, sizeof(*host->nodes));
	return host->nodes ? 0 : -ENOMEM;
}

/* Segments, and per client a connection, a pidfd and one being looked at. */
int tpi_registry_raise_fds(const struct tpi_registry *registry,
			   const struct tpi_config *config, struct tpi_log *log,
			   char *error, size_t error_bytes)
{
	uint64_t need = registry->budget.fd_count +
			2 * (uint64_t)config->clients_max + OTHER_FDS;
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
	if (wish.rlim_cur >= registry->budget.fd_count + OTHER_FDS) {
		tpi_log(log, TAPIO_LOG_WARNING,
			"%" PRIu64 " descriptors may be needed (%u for "
			"segments, two for each of %u clients), the limit is "
			"%" PRIu64 " (RLIMIT_NOFILE; LimitNOFILE= in a unit): "
			"fewer clients can connect",
			need, registry->budget.fd_count, config->clients_max,
			(uint64_t)wish.rlim_cur);
		return 0;
	}
	return tpi_fail(
		-EMFILE, error, error_bytes,
		"%u channel%s need%s %u descriptors, the hard limit "
		"is %" PRIu64 " (RLIMIT_NOFILE; LimitNOFILE= in a unit)",
		config->channel_count, TPI_PLURAL(config->channel_count),
		config->channel_count == 1 ? "s" : "",
		registry->budget.fd_count, (uint64_t)limit.rlim_max);
}

int tpi_registry_raise_fd_limit(struct tpi_registry *registry,
				const struct tpi_config *config,
				struct tpi_log *log, char *error,
				size_t error_bytes)
{
	const struct tpi_catalog *catalog = &registry->catalog;
	uint32_t count = 1;

	for (uint32_t i = 0; i < catalog->channel_count; i++)
		if (tpi_channel_exists(catalog, i))
			count += catalog->channels[i].segment_count +
				 TAPIO_GROUP_SLOTS;
	registry->budget.segment_count = count;
	registry->budget.fd_count = 2 * count;
	return tpi_registry_raise_fds(registry, config, log, error,
				      error_bytes);
}

int tpi_registry_make_attachments(struct tpi_registry *registry, uint32_t id)
{
	uint32_t count = registry->catalog.attachment_count;
	struct tpi_attachment *own;

	registry->attachments = calloc(count, sizeof(*registry->attachments));
	if (!registry->attachments)
		return -ENOMEM;
	registry->fresh_index = 2;
	registry->generation_max = TAPIO_GENERATION_MAX;
	own = &registry->attachments[1];
	own->index = 1;
	own->generation = TAPIO_ATTACHMENT_GENERATION(id);
	own->id = id;
	registry->attachment_id = own->id;
	registry->catalog.broker->attachment = own->id;
	return 0;
}

/* A channel stamped with ticks is of no use where ticks cannot be converted. */
void tpi_registry_check_stamps(struct tpi_config *config, struct tpi_log *log)
{
	bool invariant = tpi_tsc_invariant();

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

void tpi_registry_begin(struct tpi_registry *registry, struct tpi_keep *kept)
{
	memset(registry, 0, sizeof(*registry));
	registry->keep = kept;
	STAILQ_INIT(&registry->free);
	STAILQ_INIT(&registry->resting);
	TAILQ_INIT(&registry->living);
}

void tpi_registry_recount(struct tpi_registry *registry)
{
	struct tpi_host *host;
	uint32_t count = 1;

	TPI_FOREACH_HOST (host, registry)
		count += host->node_count + TAPIO_GROUP_SLOTS;
	registry->budget.segment_count = count;
	registry->budget.fd_count = 2 * count;
}

/* ---- the end --------------------------------------------------------------------- */

void tpi_registry_destroy_host(struct tpi_host *host)
{
	tpi_judge_fini(&host->judge);
	tpi_own_memory_fini(host);
	tpi_channel_detach(&host->lanes);
	for (uint32_t i = 0; host->nodes && i < host->node_count; i++)
		tpi_segment_destroy(&host->nodes[i]);
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
		tpi_segment_destroy(&host->cursor_segments[i]);
	free(host->nodes);
	free(host->files);
}

struct tpi_host *tpi_host_next(const struct tpi_registry *registry,
			       const struct tpi_host *host)
{
	uint32_t i = host ? (uint32_t)(host - registry->hosts) + 1 : 0;

	for (; registry->hosts && i < registry->catalog.channel_count; i++)
		if (registry->hosts[i].used)
			return &registry->hosts[i];
	return NULL;
}

void tpi_registry_destroy(struct tpi_registry *registry)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry)
		tpi_registry_destroy_host(host);
	free(registry->hosts);
	free(registry->attachments);
	tpi_state_destroy(&registry->state);
	tpi_segment_destroy(&registry->catalog_segment);
	memset(registry, 0, sizeof(*registry));
}

static void forget_process(struct tpi_registry *registry, uint32_t index)
{
	struct tpi_keep_key key = {TPI_KEEP_PROCESS, index};

	if (registry->attachments[index].id != TAPIO_NOBODY)
		tpi_keep_drop(registry->keep, key);
}

void tpi_registry_give_up(struct tpi_registry *registry)
{
	tpi_keep_drop(registry->keep,
		      (struct tpi_keep_key){TPI_KEEP_CATALOG, 0});
	tpi_keep_drop(registry->keep, (struct tpi_keep_key){TPI_KEEP_STATE, 0});
	/* Both of each slot's: a put may have come before its drop. */
	for (uint32_t i = 2; i < 2 * registry->catalog.segment_count; i++)
		tpi_keep_drop(registry->keep,
			      (struct tpi_keep_key){TPI_KEEP_SEGMENT, i});
	for (uint32_t i = 2; i < registry->fresh_index; i++)
		forget_process(registry, i);
}

static void close_segment(struct tpi_segment *segment)
{
	close(segment->fd);
	close(segment->fd_ro);
}

/* Descriptors of former producers' memory are not a segment's. */
static void each_old_memory(struct tpi_registry *registry, bool closes)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry) {
		if (closes)
			tpi_own_memory_fini(host);
		host->old_count = 0;
	}
}

static void lose_segment(struct tpi_segment *segment)
{
	segment->fd = segment->fd_ro = -1;
}

static void each_segment(struct tpi_registry *registry,
			 void (*act)(struct tpi_segment *segment))
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry) {
		for (uint32_t k = 0; k < host->node_count; k++)
			act(&host->nodes[k]);
		for (uint32_t k = 0; k < TAPIO_GROUP_SLOTS; k++)
			act(&host->cursor_segments[k]);
	}
	act(&registry->catalog_segment);
	if (!registry->state.on_heap)
		act(&registry->state.segment);
}

void tpi_registry_forget(struct tpi_registry *registry)
{
	each_segment(registry, close_segment);
	each_old_memory(registry, true);
}

void tpi_registry_lose(struct tpi_registry *registry)
{
	each_segment(registry, lose_segment);
	each_old_memory(registry, false);
}

struct tpi_host *tpi_registry_find(struct tpi_registry *registry,
				   const char *channel)
{
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry)
		if (!strcmp(host->config->spec.name, channel))
			return host;
	return NULL;
}

void tpi_registry_names(const struct tpi_registry *registry,
			char out[TPI_NAMES_BYTES])
{
	const struct tpi_host *host;
	size_t at = 0, told = 0, more = 0;

	snprintf(out, TPI_NAMES_BYTES, "none");
	TPI_FOREACH_HOST (host, registry) {
		const char *name = host->config->spec.name;

		/* With room for what follows. */
		if (more || told == TPI_NAMES_TOLD ||
		    at + strlen(name) + 24 > TPI_NAMES_BYTES) {
			more++;
			continue;
		}
		at += (size_t)snprintf(out + at, TPI_NAMES_BYTES - at,
				       "%s\"%s\"", told++ ? ", " : "", name);
	}
	if (more)
		snprintf(out + at, TPI_NAMES_BYTES - at, " and %zu more", more);
}
