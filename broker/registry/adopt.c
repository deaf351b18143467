/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker takes over the memory of one that was killed, at any instruction. Its
 * descriptors come from the keeper (broker/keep/keep.h). Facts that only the dead one knew are
 * in its private state (state.h), and all else in the catalog.
 *
 *  B1	Catalog and state are taken, mapped and checked: magic, READY, layout, instance,
 *	boot, lengths, and that the former broker did not stop by itself.
 *  B2	The channels of the configuration that are there have the same sizes, or the start
 *	is refused (config/config_compare.c). The keeper's descriptors stay there.
 *  B3	Each segment of the catalog is taken and compared with its record. Slots whose
 *	memory was being replaced get the one or the other file. New channels of the
 *	configuration are made (channels.c), or the start is refused as in B2.
 *  B4	Groups, attachments and processes are made again, in private (broker/group/adopt.c,
 *	adopt_clients.c).
 *  B5	Groups are made whole, and shown.
 *  B6	Blocks of the former broker, and of the dead, are swept. Then this broker
 *	takes an id of its own.
 *  B7	The rest of the configuration is applied: rules, limits, groups, and channels
 *	that it does not name are removed.
 *  B8	The broker's record names this process. Calibration goes on. The socket listens.
 *	`serving` names this broker when its loop begins (serving.c), before any answer.
 *
 * If anything is missing or wrong in B1 or B3, nothing is taken over. The log has the reason,
 * the keeper forgets all of it, and this broker begins with new memory: clients of the
 * old one go on with each other. No step writes to shared memory before B3 has found all
 * of it. From there on each step can be done again from its beginning, after any part of it.
 * So a kill here leaves memory that the next broker takes over in the same way.
 *
 * HALF DONE by the former broker, and the outcome:
 *
 *  making the segments		the catalog is kept last: there is nothing to take over
 *  JOIN, before ACTIVE		the slot is FREE, and all of it is written anew
 *  .. before `admitted`	no client was answered: closed (B5)
 *  .. before the attachment	the member is not counted. Without members a group that is
 *	is ALIVE		not durable is closed, and the slot of a lossless one says
 *				UNTIL (B5). Promotion begins anew (group.c)
 *  ATTACH, before ALIVE	the id was given, and is not given again. A segment of its
 *				own is free, and its name comes off the lanes (B6)
 *  .. before the answer	the attachment lives on, as one whose connection is gone
 *  FETCH, before the answer	the producer counts as one that has the file, and asks again
 *  an end, before DEAD		found again: the process is dead, or maps nothing
 *  .. before FREE		swept, cleared, left and freed once more (B6)
 *  .. with a side lane		the former broker's id is on the lane: its blocks, and those
 *				of every attachment that is DEAD, are swept (B6)
 *  LEAVE, before FREE		the slot's word, then `active`, then the generation: all of
 *				them are stored again (B5)
 *  REMOVE, before FREE		the group is as before, and the client was not answered
 *  EVICT, once it is shown	closed, its memory spent, and its members are of no group
 *				(B5). A configured group begins anew (B7)
 *  new slot memory (N1 to N5)	not kept: nothing has happened. Kept, and the record as it
 *				was: given up. The record not READY, or of the next epoch:
 *				the new file counts (B3), as after N3
 *  .. of a group that is mended	the same: the new file was filled before it was kept
 *  .. before N5		emptied when the generation has changed (after B5)
 *  making a channel		its entry is not READY: nothing is taken of it, and its records
 *				are cleared (B3). With READY it is there
 *  giving one back		READY is the first to go: the same
 *  an isolated segment
 *	given, not sealed	CLOSED: the client was not answered (isolation.h)
 *	SEALED, ENDED, CLOSED	stays so. It is mapped to be read
 *	between two memories	the new file, once READY is off its record (own_memory.h)
 *  a calibration piece		not counted: overwritten. Counted: it stays
 *  STOPPED			the memory was given up: nothing to take over
 *
 * SIGSTOP of a client: it finds all as it was. fork: a child has nothing of ours. Another
 * uid: which uid was given which memory is in the private state. Two brokers at
 * once: the keeper hands over when the former one is dead, and no earlier.
 */
#include "broker/registry/adopt_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/config/config_compare.h"
#include "broker/keep/keep.h"
#include "broker/registry/channels.h"
#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/testpoint.h"

/* ---- B3: channels --------------------------------------------------------------------- */

static int adopt_nodes(struct tpi_adopter *a, struct tpi_host *host,
		       bool isolated)
{
	int err = 0;

	for (uint32_t i = 0; i < host->node_count && !err; i++) {
		uint32_t number = tpi_segment_record(host->index, i);

		if (i && isolated) {
			err = tpi_adopt_own(a, host, i);
			continue;
		}
		err = tpi_adopt_record(a, number, TAPIO_SEGMENT_CHANNEL,
				       host->index, i);
		if (!err)
			err = tpi_adopt_segment(a, &host->nodes[i], number, 0,
						"segment of a channel");
	}
	return err;
}

static int adopt_host(struct tpi_adopter *a, uint32_t index)
{
	struct tpi_registry *registry = a->registry;
	struct tpi_host *host = &registry->hosts[index];
	const struct tpi_config_channel *config;
	struct tapio_shm_channel info;
	int err = tpi_channel_describe(&registry->catalog, index, &info, a->why,
				       sizeof(a->why));

	if (err)
		return err;
	config = tpi_config_find(a->config, info.name);
	err = tpi_registry_begin_host(registry, config, index,
				      info.segment_count);
	host->removed = info.state == TAPIO_CHANNEL_REMOVED;
	if (!config)
		tpi_channel_own_config(host, &info);
	if (!err)
		err = adopt_nodes(a, host, info.flags & TAPIO_CHANNEL_ISOLATED);
	if (!err)
		err = tpi_registry_attach_lanes(registry, host, a->why,
						sizeof(a->why));
	for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS && !err; i++)
		err = tpi_adopt_slot(a, host, i);
	if (!err)
		err = tpi_registry_note_files(host);
	if (!err)
		err = tpi_judge_init(&host->judge, &host->lanes);
	if (!err)
		tpi_side_lanes_begin(host);
	return err;
}

/* The broker's own records: only a fault of ours, or of the machine, is found here. */
static int check_clients(struct tpi_adopter *a)
{
	struct tpi_registry *registry = a->registry;

	for (uint32_t i = 2; i < registry->catalog.attachment_count; i++) {
		const struct tapio_shm_attachment *record =
			&registry->catalog.attachments[i];
		const struct tpi_state_client *kept =
			&registry->state.clients[i];

		if (record->state == TAPIO_ATTACHMENT_FREE)
			continue;
		if (record->state > TAPIO_ATTACHMENT_DEAD ||
		    record->id != kept->id ||
		    TAPIO_ATTACHMENT_INDEX(record->id) != i ||
		    record->channel >= registry->catalog.channel_count ||
		    !registry->hosts[record->channel].used ||
		    (kept->own_segment &&
		     kept->own_segment >=
			     registry->hosts[record->channel].node_count))
			return TPI_ADOPT_FAIL(
				a, -EBADMSG,
				"attachment %u has state %u, id 0x%08x "
				"(0x%08x in the private state), channel "
				"%u, segment %u",
				i, record->state, record->id, kept->id,
				record->channel, kept->own_segment);
	}
	return 0;
}

static int adopt_segments(struct tpi_adopter *a)
{
	struct tpi_registry *registry = a->registry;
	uint32_t count = registry->catalog.channel_count;
	int err = 0;

	registry->hosts = calloc(count, sizeof(*registry->hosts));
	if (!registry->hosts)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && !err; i++)
		if (tpi_channel_exists(&registry->catalog, i))
			err = adopt_host(a, i);
	return err ? err : check_clients(a);
}

/* ---- B1 ------------------------------------------------------------------------------- */

static int check_broker(struct tpi_adopter *a)
{
	const struct tpi_catalog *catalog = &a->registry->catalog;
	const struct tapio_shm_broker *shm = catalog->broker;
	uint8_t boot[16];

	tpi_boot_id(boot);
	if (memcmp(boot, shm->boot_id, sizeof(boot)))
		return TPI_ADOPT_FAIL(a, -ESTALE, "it is of an earlier boot");
	if (shm->state == TAPIO_BROKER_STOPPED)
		return TPI_ADOPT_FAIL(a, -ESHUTDOWN, "its broker was stopped");
	if (TAPIO_ATTACHMENT_INDEX(shm->attachment) != 1)
		return TPI_ADOPT_FAIL(a, -EBADMSG,
				      "its broker had the id 0x%08x",
				      shm->attachment);
	return 0;
}

static int check_room(struct tpi_adopter *a)
{
	const struct tpi_catalog *catalog = &a->registry->catalog;
	uint32_t need = tpi_segment_records(catalog->channel_count);

	if (catalog->segment_count == need)
		return 0;
	return TPI_ADOPT_FAIL(a, -EBADMSG,
			      "the catalog has %u records of segments, and %u "
			      "channels have %u",
			      catalog->segment_count, catalog->channel_count,
			      need);
}

static int adopt_catalog(struct tpi_adopter *a)
{
	struct tpi_registry *registry = a->registry;
	struct tpi_segment *segment = &registry->catalog_segment;
	struct stat st;
	int err = tpi_adopt_open(a, segment,
				 tpi_adopt_take(a, TPI_KEEP_CATALOG, 0),
				 "catalog", 0, &st);

	if (!err)
		err = tpi_catalog_attach(&registry->catalog, &segment->map,
					 a->why, sizeof(a->why));
	if (!err)
		err = check_broker(a);
	if (!err)
		err = check_room(a);
	if (!err)
		err = tpi_adopt_record(a, 0, TAPIO_SEGMENT_CATALOG, 0, 0);
	if (err)
		return err;
	segment->report = registry->catalog.segments[0];
	return tpi_adopt_compare(a, "catalog", 0, &segment->report, &st);
}

static int adopt_state(struct tpi_adopter *a)
{
	struct tpi_registry *registry = a->registry;
	int fd = tpi_adopt_take(a, TPI_KEEP_STATE, 0);

	if (fd < 0)
		return TPI_ADOPT_FAIL(a, -ENOENT,
				      "the keeper has not the private state");
	memcpy(registry->instance, registry->catalog.instance,
	       sizeof(registry->instance));
	return tpi_state_open(&registry->state, fd, &registry->catalog, a->why,
			      sizeof(a->why));
}

/* ---- what is left ------------------------------------------------------------------------ */

static bool is_memory(uint32_t kind)
{
	return kind == TPI_KEEP_CATALOG || kind == TPI_KEEP_STATE ||
	       kind == TPI_KEEP_SEGMENT || kind == TPI_KEEP_PROCESS;
}

static bool has_any(const struct tpi_keep *keep)
{
	for (uint32_t i = 0; keep && i < keep->kept_count; i++)
		if (is_memory(keep->kept[i].key.kind))
			return true;
	return false;
}

uint32_t tpi_adopt_nothing(struct tpi_keep *keep)
{
	uint32_t count = 0;

	for (uint32_t i = 0; keep && i < keep->kept_count; i++) {
		struct tpi_kept *kept = &keep->kept[i];

		if (!is_memory(kept->key.kind))
			continue;
		tpi_keep_drop(keep, kept->key);
		if (kept->fd >= 0)
			close(kept->fd);
		kept->fd = -1;
		count++;
	}
	return count;
}

static void empty_one(struct tpi_keep *keep, struct tpi_kept *kept)
{
	struct stat st;

	/* Where it is refused, the memory goes when no process maps it. */
	if (kept->key.kind == TPI_KEEP_SEGMENT && !fstat(kept->fd, &st))
		(void)!fallocate(kept->fd,
				 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				 st.st_size);
	tpi_keep_drop(keep, kept->key);
	close(kept->fd);
	kept->fd = -1;
	TPI_TESTPOINT("adopt.emptied");
}

/* N5 of those that were killed before it, and the files that were not noted. */
void tpi_adopt_empty_rest(struct tpi_registry *registry)
{
	struct tpi_keep *keep = registry->keep;

	for (uint32_t i = 0; keep && i < keep->kept_count; i++)
		if (is_memory(keep->kept[i].key.kind) && keep->kept[i].fd >= 0)
			empty_one(keep, &keep->kept[i]);
}

/*
 * Channels that were half made, or half given back. A new channel may get their entries,
 * and the same keys, so this comes before it is made.
 */
static void empty_free_entries(struct tpi_registry *registry)
{
	struct tpi_keep *keep = registry->keep;

	for (uint32_t i = 0; keep && i < keep->kept_count; i++) {
		struct tpi_kept *kept = &keep->kept[i];
		uint32_t record = kept->key.number / 2, entry;

		if (kept->key.kind != TPI_KEEP_SEGMENT || kept->fd < 0 ||
		    !record)
			continue;
		entry = (record - 1) / TAPIO_CHANNEL_RECORDS;
		if (entry >= registry->catalog.channel_count ||
		    !registry->hosts[entry].used)
			empty_one(keep, kept);
	}
}

static void finish(struct tpi_adopter *a)
{
	struct tpi_registry *registry = a->registry;
	const struct tapio_shm_segment *segments = registry->catalog.segments;
	struct tpi_host *host;

	TPI_FOREACH_HOST (host, registry) {
		for (uint32_t i = 0; i < TAPIO_GROUP_SLOTS; i++)
			tpi_adopt_slot_finish(host, i);
		for (uint32_t i = 1; i < host->node_count; i++)
			if (tpi_channel_isolated(&host->lanes))
				tpi_adopt_own_finish(host, i);
	}
	tpi_channels_tidy(registry);
	for (uint32_t i = 0; i < registry->catalog.segment_count; i++)
		if (segments[i].ready)
			registry->used_bytes += segments[i].length_bytes;
	registry->adopted = true;
	TPI_TESTPOINT("adopt.taken");
}

static int give_up(struct tpi_adopter *a, struct tpi_log *log, int err)
{
	struct tpi_registry *registry = a->registry;
	struct tpi_keep *keep = registry->keep;

	tpi_log(log, TAPIO_LOG_WARNING,
		"the memory of a former broker is not taken over: %s; its "
		"clients go on with it by themselves",
		a->why[0] ? a->why : strerror(-err));
	/* Dropped first, and closed then (keep.h). */
	tpi_adopt_nothing(keep);
	tpi_registry_destroy(registry);
	tpi_registry_begin(registry, keep);
	return 0;
}

/* Left in the keeper as it is, for a start with the right configuration. */
static int refuse(struct tpi_adopter *a, int err, char *error,
		  size_t error_bytes)
{
	struct tpi_registry *registry = a->registry;

	tpi_registry_destroy(registry);
	tpi_registry_begin(registry, NULL);
	return tpi_fail(err, error, error_bytes, "%s", a->why);
}

/* ---- B2 ------------------------------------------------------------------------------------ */

/* The first difference is part of the answer, and the log has each. */
struct differences {
	struct tpi_log *log;
	char first[400];
};

static void on_difference(void *arg, const char *difference, const char *remedy)
{
	struct differences *d = arg;

	if (!d->first[0])
		snprintf(d->first, sizeof(d->first), "%s: %s", difference,
			 remedy);
	tpi_log(d->log, TAPIO_LOG_ERROR, "%s: %s", difference, remedy);
}

static uint64_t count_bytes(const struct tpi_catalog *catalog)
{
	uint64_t bytes = 0;

	/* Of entries that were half made, too: they are few, and this is a limit. */
	for (uint32_t i = 0; i < catalog->segment_count; i++)
		if (catalog->segments[i].ready)
			bytes += catalog->segments[i].length_bytes;
	return bytes;
}

static int compare_channels(struct tpi_adopter *a, struct tpi_log *log)
{
	const struct tpi_catalog *catalog = &a->registry->catalog;
	struct differences d = {.log = log};
	struct tpi_config_memory memory = {
		.catalog = catalog,
		.used_bytes = count_bytes(catalog),
	};
	uint32_t count =
		tpi_config_compare(&memory, a->config, on_difference, &d);

	if (!count)
		return 0;
	return TPI_ADOPT_FAIL(
		a, -EEXIST,
		"%u difference%s to the memory of a former broker, the first "
		"is %s",
		count, TPI_PLURAL(count), d.first);
}

/* -EEXIST and -EMFILE are for a person to repair. */
static int compare_config(struct tpi_adopter *a, struct tpi_log *log)
{
	int err = compare_channels(a, log);

	return err ? err
		   : tpi_registry_raise_fd_limit(a->registry, a->config, log,
						 a->why, sizeof(a->why));
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* B1. */
static int find_catalog(struct tpi_adopter *a)
{
	int err = adopt_catalog(a);

	return err ? err : adopt_state(a);
}

int tpi_adopt_check(struct tpi_keep *keep, struct tpi_config *config,
		    struct tpi_log *log, char *error, size_t error_bytes)
{
	struct tpi_registry registry;
	struct tpi_adopter a = {.registry = &registry, .config = config};
	int err;

	tpi_registry_begin(&registry, keep);
	if (!has_any(keep))
		return tpi_fail(-ENOENT, error, error_bytes,
				"the broker that runs keeps no memory");
	err = find_catalog(&a);
	if (!err)
		err = compare_config(&a, log);
	if (!err)
		err = adopt_segments(&a);
	return err ? tpi_fail(err, error, error_bytes, "%s",
			      a.why[0] ? a.why : strerror(-err))
		   : 0;
}

int tpi_registry_adopt(struct tpi_registry *registry, struct tpi_config *config,
		       const struct tpi_topology *topology, struct tpi_log *log,
		       char *error, size_t error_bytes)
{
	struct tpi_adopter a = {.registry = registry, .config = config};
	int err;

	if (!has_any(registry->keep))
		return 0;
	err = find_catalog(&a);
	if (err)
		return give_up(&a, log, err);
	err = compare_config(&a, log);
	if (err == -EEXIST || err == -EMFILE)
		return refuse(&a, err, error, error_bytes);
	if (!err)
		err = adopt_segments(&a);
	if (!err)
		/* ORDER broker.attachment (acquire): pairs with take_own_id(). */
		err = tpi_registry_make_attachments(
			registry,
			tpi_load_acquire(
				&registry->catalog.broker->attachment));
	if (err)
		return give_up(&a, log, err);
	finish(&a);
	empty_free_entries(registry);
	err = tpi_channels_make(registry, config, topology, log, a.why,
				sizeof(a.why));
	if (err)
		return refuse(&a, err, error, error_bytes);
	(void)tpi_channels_show(registry);
	return 0;
}
