/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing a source, and putting the segments it gave together.
 *
 *	--pid            that process, and no other
 *	a broker answers its segments
 *	it does not      the process that listens at its socket, if there is one
 *	--scan           then every process, first those that hold descriptors
 */
#include "tools/inspect/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"
#include "tools/inspect/segment_set.h"

const char *tpi_inspect_source_name(enum tpi_inspect_source source)
{
	static const char *const names[] = {"socket", "fd", "map_files"};

	return names[source];
}

struct search {
	struct tpi_inspect *inspect;
	const struct tpi_inspect_options *options;
	char *error;
	size_t error_bytes;
};

/* A catalog in the set ends the search, as does one of another version. */
static int settle(struct search *s, enum tpi_inspect_source source)
{
	struct tpi_segment_set *set = s->inspect->set;
	struct tpi_segment_set_entry *catalog;
	int err = tpi_segment_set_catalog(set, &catalog);

	s->inspect->source = source;
	if (!err)
		s->inspect->pid = catalog->pid;
	if (err == -ENOENT && set->incompatible)
		return tpi_fail(-EPROTONOSUPPORT, s->error, s->error_bytes,
				"the layout is %u.%u (features %#llx), this "
				"program knows %u.%u (features %#llx)",
				set->abi_major, set->abi_minor,
				(unsigned long long)set->incompat,
				TAPIO_ABI_MAJOR, TAPIO_ABI_MINOR,
				(unsigned long long)TAPIO_INCOMPAT_KNOWN);
	return err;
}

static int look_in(struct search *s, pid_t pid)
{
	struct tpi_segment_set *set = s->inspect->set;
	int err = tpi_segment_set_from_fds(set, pid);

	if (!err)
		err = settle(s, TPI_SOURCE_FD);
	if (err != -ENOENT)
		return err;
	err = tpi_segment_set_from_map_files(set, pid);
	return err ? err : settle(s, TPI_SOURCE_MAP_FILES);
}

static int look_everywhere(struct search *s)
{
	struct tpi_segment_set *set = s->inspect->set;
	int err = tpi_segment_set_from_all(set, tpi_segment_set_from_fds);

	if (!err)
		err = settle(s, TPI_SOURCE_FD);
	if (err != -ENOENT)
		return err;
	err = tpi_segment_set_from_all(set, tpi_segment_set_from_map_files);
	return err ? err : settle(s, TPI_SOURCE_MAP_FILES);
}

/* Says in which processes the catalogs were found. */
static int say_several(struct search *s)
{
	const struct tpi_segment_set *set = s->inspect->set;
	char list[128] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < set->count && at < sizeof(list); i++)
		if (set->entries[i].kind == TAPIO_SEGMENT_CATALOG)
			at += (size_t)snprintf(list + at, sizeof(list) - at,
					       " %d", (int)set->entries[i].pid);
	return tpi_fail(-ENOTUNIQ, s->error, s->error_bytes,
			"several brokers were found, in the processes%s; name "
			"one with --pid",
			list);
}

static int say_none(struct search *s, const char *where)
{
	bool denied = s->inspect->set->denied;

	return tpi_fail(
		denied ? -EACCES : -ENOENT, s->error, s->error_bytes,
		"no broker's memory was found%s%s%s%s%s", where,
		denied ? " (there is no right to look into some processes)"
		       : "",
		*s->inspect->note ? "; at the socket: " : "", s->inspect->note,
		s->options->scan || s->options->pid
			? ""
			: "; --scan looks in every process");
}

static int fill_bag(struct search *s)
{
	const struct tpi_inspect_options *o = s->options;
	struct tpi_inspect *inspect = s->inspect;
	const char *where = "";
	pid_t peer = 0;
	int err = -ENOENT;

	if (o->pid) {
		err = look_in(s, o->pid);
		where = " in that process";
	} else if (o->socket) {
		err = tpi_segment_set_from_socket(
			inspect->set, o->socket, o->timeout_ns, &peer,
			inspect->note, sizeof(inspect->note));
		if (!err || inspect->set->incompatible) {
			*inspect->note = 0;
			return settle(s, TPI_SOURCE_SOCKET);
		}
		if (err == -ENOMEM)
			return err;
		if (err == -EPROTONOSUPPORT) /* it says which it speaks */
			return tpi_fail(err, s->error, s->error_bytes, "%s",
					inspect->note);
		err = peer ? look_in(s, peer) : -ENOENT;
	}
	if (err == -ENOENT && o->scan && !o->pid)
		err = look_everywhere(s);
	if (err == -ENOTUNIQ)
		return say_several(s);
	return err == -ENOENT ? say_none(s, where) : err;
}

static void open_channel(struct tpi_inspect *inspect, uint32_t index)
{
	struct tpi_inspect_channel *c = &inspect->channels[index];
	const uint8_t *instance = inspect->catalog.instance;
	struct tapio_shm_channel info;
	struct tpi_segment_set_entry *e;

	if (tpi_channel_describe(&inspect->catalog, index, &info, c->why,
				 sizeof(c->why)))
		return;
	for (uint32_t i = 0; i < info.segment_count; i++) {
		e = tpi_segment_set_find(inspect->set, instance,
					 TAPIO_SEGMENT_CHANNEL, index, i);
		if (!e) {
			snprintf(c->why, sizeof(c->why),
				 "the segment of node index %u is missing: it "
				 "was not found where the catalog was found",
				 i);
			return;
		}
		c->maps[c->map_count++] = e->map;
	}
	if (tpi_channel_attach(&c->channel, &inspect->catalog, index, c->maps,
			       c->map_count, c->why, sizeof(c->why)))
		return;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		e = tpi_segment_set_find(inspect->set, instance,
					 TAPIO_SEGMENT_CURSORS, index, slot);
		if (e && tpi_cursors_attach(&c->cursors[slot], &e->map,
					    &inspect->catalog, index, slot,
					    c->channel.lane_count, c->why,
					    sizeof(c->why)))
			c->cursors[slot] = (struct tpi_cursors){0};
	}
}

static int assemble(struct search *s)
{
	struct tpi_inspect *inspect = s->inspect;
	struct tpi_segment_set_entry *catalog;
	int err = tpi_segment_set_catalog(inspect->set, &catalog);

	if (!err)
		err = tpi_catalog_attach(&inspect->catalog, &catalog->map,
					 s->error, s->error_bytes);
	if (err)
		return err;
	inspect->channels = calloc(inspect->catalog.channel_count + 1,
				   sizeof(*inspect->channels));
	if (!inspect->channels)
		return -ENOMEM;
	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++)
		open_channel(inspect, i);
	return 0;
}

int tpi_inspect_open(struct tpi_inspect **out,
		     const struct tpi_inspect_options *options, char *error,
		     size_t error_bytes)
{
	struct tpi_inspect *inspect = calloc(1, sizeof(*inspect));
	struct search s = {inspect, options, error, error_bytes};
	int err = -ENOMEM;

	*out = NULL;
	if (error_bytes)
		*error = 0;
	if (!inspect)
		return err;
	inspect->set = calloc(1, sizeof(*inspect->set));
	if (inspect->set)
		err = fill_bag(&s);
	if (!err)
		err = assemble(&s);
	if (err) {
		tpi_inspect_close(inspect);
		return err;
	}
	*out = inspect;
	return 0;
}

void tpi_inspect_close(struct tpi_inspect *inspect)
{
	if (!inspect)
		return;
	if (inspect->channels)
		for (uint32_t i = 0; i < inspect->catalog.channel_count; i++)
			tpi_channel_detach(&inspect->channels[i].channel);
	free(inspect->channels);
	if (inspect->set)
		tpi_segment_set_empty(inspect->set);
	free(inspect->set);
	free(inspect);
}

void tpi_inspect_gating(const struct tpi_inspect *inspect, uint32_t channel,
			struct tpi_gating *gating)
{
	const struct tpi_inspect_channel *c = &inspect->channels[channel];
	const struct tapio_shm_channel *shm =
		&inspect->catalog.channels[channel];

	gating->generation = &shm->generation;
	gating->active = &shm->active;
	gating->groups = tpi_inspect_groups(inspect, channel);
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++)
		gating->cursors[slot] = c->cursors[slot].cursors;
}

int tpi_inspect_ledger(const struct tpi_inspect *inspect, uint32_t channel,
		       uint32_t lane, uint32_t slot, struct tpi_ledger *ledger)
{
	const struct tpi_inspect_channel *c = &inspect->channels[channel];

	if (!c->cursors[slot].cursors)
		return -ENOENT;
	return tpi_ledger_read(&c->channel.lanes[lane],
			       &tpi_inspect_groups(inspect, channel)[slot],
			       &c->cursors[slot].cursors[lane], ledger);
}
