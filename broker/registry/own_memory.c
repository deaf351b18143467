/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing the memory of isolated producers. Called by isolation.c, on the loop. */
#include "broker/registry/own_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/keep/keep.h"
#include "broker/registry/isolation.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/sys.h"
#include "lib/base/testpoint.h"

/* New memory is written page by page, while the loop waits: so much in a second. */
#define SECOND_BYTES (UINT64_C(1) << 30)

/* ---- old memory -------------------------------------------------------------------- */

bool tpi_own_memory_is_shared(const struct tpi_segment *segment)
{
	/* The first description of a memfd is in no count. One that is opened is. */
	int fd = tpi_sys_reopen(segment->fd, O_RDWR), err;

	if (fd < 0)
		return true;
	err = fcntl(fd, F_SETLEASE, F_WRLCK) ? errno : 0;
	if (!err)
		fcntl(fd, F_SETLEASE, F_UNLCK);
	close(fd);
	return err == EAGAIN;
}

void tpi_own_memory_collect(struct tpi_host *host)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < host->old_count; i++) {
		const struct tpi_segment old = {.fd = host->old[i].fd};

		if (tpi_own_memory_is_shared(&old))
			host->old[left++] = host->old[i];
		else
			close(old.fd);
	}
	host->old_count = left;
}

void tpi_own_memory_fini(struct tpi_host *host)
{
	while (host->old_count)
		close(host->old[--host->old_count].fd);
}

static uint64_t old_bytes(const struct tpi_broker *broker)
{
	const struct tpi_registry *registry = &broker->registry;
	const struct tpi_host *host;
	uint64_t bytes = 0;

	TPI_FOREACH_HOST (host, registry)
		for (uint32_t i = 0; i < host->old_count; i++)
			bytes += host->old[i].bytes;
	return bytes;
}

/* M6. */
static void retire(struct tpi_host *host, uint32_t segment,
		   const struct tpi_segment *old, uint32_t memory, uid_t uid)
{
	struct tpi_keep_key key = {
		TPI_KEEP_SEGMENT,
		tpi_slot_memory_key(host->own_memory[segment].number, memory)};

	/* Dropped first, and closed then (keep.h). */
	tpi_keep_drop(host->own_memory[segment].keep, key);
	TPI_TESTPOINT("own.dropped");
	close(old->fd_ro);
	if (host->old_count < TAPIO_NODES_MAX && tpi_own_memory_is_shared(old))
		host->old[host->old_count++] = (struct tpi_old_memory){
			old->fd, uid, old->report.length_bytes};
	else
		close(old->fd);
}

/* ---- new memory -------------------------------------------------------------------- */

static int check_room(struct tpi_broker *broker, struct tpi_host *host,
		      uint32_t segment, char *error, size_t error_bytes)
{
	uint64_t bytes = host->nodes[segment].map.bytes;
	uint64_t used = broker->registry.used_bytes, old;

	if (host->renewed_bytes && host->renewed_bytes + bytes > SECOND_BYTES)
		return tpi_fail(-EAGAIN, error, error_bytes,
				"channel \"%s\": %" PRIu64 " bytes of memory "
				"for isolated producers were made in this "
				"second: try again",
				host->config->spec.name, host->renewed_bytes);
	tpi_own_memory_collect(host);
	old = old_bytes(broker);
	if (tpi_own_memory_is_shared(&host->nodes[segment]))
		old += bytes;
	if (host->old_count < TAPIO_NODES_MAX &&
	    (!old || old + used <= broker->config.budget_bytes))
		return 0;
	return tpi_fail(-EDQUOT, error, error_bytes,
			"channel \"%s\": other processes still have %" PRIu64
			" bytes of former producers' memory, and with %" PRIu64
			" bytes in use the budget of %" PRIu64
			" takes no more: end readers that are stopped, or "
			"raise budget (configuration)",
			host->config->spec.name, old, used,
			broker->config.budget_bytes);
}

/* M1. */
static void begin_at_end(const struct tpi_host *host, uint32_t segment)
{
	for (uint32_t k = 0; k < host->lanes.info.class_count; k++) {
		struct tapio_shm_span *span =
			&host->spans[tpi_channel_own_lane(&host->lanes, k,
							  segment)
					     ->id];

		/* Relaxed: the epoch orders it. */
		tpi_store_relaxed(&span->begin, tpi_load_relaxed(&span->end));
	}
	TPI_TESTPOINT("own.begun");
}

/* Statistics of the channel go on. They are the word of producers, as before. */
static void carry_counts(const struct tpi_broker *broker,
			 const struct tpi_host *host, uint32_t segment,
			 const struct tpi_map *map)
{
	const struct tapio_shm_place *places =
		&broker->registry.catalog.places[host->lanes.info.first_place];

	for (uint32_t k = 0; k < host->lanes.info.class_count; k++) {
		const struct tpi_lane *old =
			tpi_channel_own_lane(&host->lanes, k, segment);
		struct tapio_shm_lane *lane =
			(void *)(map->base + places[old->id].lane_offset);

		for (int i = 0; i < TAPIO_DROP_CAUSES; i++)
			lane->dropped[i] =
				tpi_load_relaxed(&old->shm->dropped[i]);
	}
}

/* A rung with larger pages would make it longer, and the length stays. */
static unsigned int rung_of(const struct tpi_broker *broker,
			    const struct tpi_segment *old)
{
	return broker->config.hugepages == TPI_HUGE_NEVER ||
			       old->report.rung == TAPIO_RUNG_PAGES
		       ? TAPIO_RUNG_PAGES
		       : TAPIO_RUNG_THP;
}

/* M2. */
static int make(struct tpi_broker *broker, struct tpi_host *host,
		uint32_t segment, struct tpi_segment *made, char *error,
		size_t error_bytes)
{
	const struct tpi_segment *old = &host->nodes[segment];
	char name[TAPIO_NAME_BYTES + 32];
	struct tpi_segment_request request = {
		.name = name,
		.bytes = old->map.bytes,
		.node = old->report.node == UINT32_MAX ? -1
						       : (int)old->report.node,
		.first_rung = rung_of(broker, old),
		.seals_later = true,
	};
	int err;

	snprintf(name, sizeof(name), "tapio-%s-producer%u",
		 host->config->spec.name, segment);
	err = tpi_segment_create(made, &request, error, error_bytes);
	if (err)
		return err;
	(void)tpi_sys_madvise(made->map.base, made->map.bytes, MADV_DONTFORK);
	made->report.node = old->report.node;
	err = tpi_channel_build(&made->map, &broker->registry.catalog,
				host->index, segment);
	if (err)
		tpi_segment_destroy(made);
	else
		carry_counts(broker, host, segment, &made->map);
	return err;
}

/* M3. Handles of lanes have addresses of the old one, which become the new one's. */
static int put_in_place(struct tpi_host *host, uint32_t segment,
			struct tpi_segment *made)
{
	struct tpi_segment *held = &host->nodes[segment];
	int err = made->map.bytes == held->map.bytes
			  ? tpi_sys_mremap_onto(made->map.base, made->map.bytes,
						held->map.base)
			  : -EBADMSG;

	if (err)
		tpi_segment_destroy(made);
	else
		made->map.base = held->map.base;
	return err;
}

static void show(struct tpi_host *host, uint32_t segment, uint32_t memory)
{
	struct tpi_slot_memory *own = &host->own_memory[segment];

	host->kept->own_memory_number[segment] = memory;
	TPI_TESTPOINT("own.numbered");
	tpi_registry_note(own->record, &host->nodes[segment],
			  TAPIO_SEGMENT_CHANNEL, host->index, segment,
			  memory << 2 | TAPIO_PHASE_FRESH);
	TPI_TESTPOINT("own.noted");
	tpi_isolation_show(host, segment, memory << 2 | TAPIO_PHASE_FRESH);
	own->given = own->mixed = own->spent = false;
	tpi_slot_memory_note(own);
	host->files[segment] =
		(struct tpi_file){.device = host->nodes[segment].report.device,
				  .inode = host->nodes[segment].report.inode};
	host->renewed_bytes += host->nodes[segment].map.bytes;
}

int tpi_own_memory_renew(struct tpi_broker *broker, struct tpi_host *host,
			 uint32_t segment, char *error, size_t error_bytes)
{
	struct tpi_slot_memory *own = &host->own_memory[segment];
	uint32_t before =
		TAPIO_SEGMENT_MEMORY(tpi_isolation_epoch(host, segment));
	uint32_t memory = (before + 1) & (UINT32_MAX >> 2);
	struct tpi_segment made, old = host->nodes[segment];
	uid_t uid = own->uid;
	int err = check_room(broker, host, segment, error, error_bytes);

	if (err)
		return err;
	begin_at_end(host, segment);
	err = make(broker, host, segment, &made, error, error_bytes);
	if (!err)
		err = put_in_place(host, segment, &made);
	if (err)
		return err;
	TPI_TESTPOINT("own.placed");
	host->nodes[segment] = made;
	/* M4. Without it the successor finds that the file is missing, and begins anew. */
	(void)tpi_keep_put(
		own->keep,
		(struct tpi_keep_key){TPI_KEEP_SEGMENT,
				      tpi_slot_memory_key(own->number, memory)},
		made.fd);
	TPI_TESTPOINT("own.put");
	show(host, segment, memory);
	retire(host, segment, &old, before, uid);
	return 0;
}
