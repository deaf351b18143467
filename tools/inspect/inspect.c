/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing a source, and putting the segments it gave together.
 *
 *	--pid            that process, and no other
 *	a broker answers its segments
 *	it does not      the process that listens at its socket, if there is one
 *	--scan           then every process, first those that hold descriptors
 *
 * In /proc only files of some users are looked into: of root, which could do anything
 * anyway, of ourselves, of the owner of the socket, and of those that the caller names,
 * also by the process.
 */
#include "tools/inspect/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/atomic.h"
#include "lib/base/error.h"
#include "lib/base/versions.h"
#include "tools/inspect/segment_set.h"
#include "tools/inspect/snapshot.h"

const char *tpi_inspect_source_name(enum tpi_inspect_source source)
{
	static const char *const names[] = {"socket", "fd", "map_files",
					    "file"};

	return names[source];
}

/* Of a snapshot: a hundred channels' isolated producers, and a second's work. */
#define REST_BYTES_MAX   (UINT64_C(64) << 20)
#define REST_LANE_BYTES  8192
#define RECORD_STEPS_MAX UINT64_C(200000000)

struct search {
	struct tpi_inspect *inspect;
	const struct tpi_inspect_options *options;
	char *error;
	size_t error_bytes;
	bool refused; /* there is no right to ask the broker */
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
		return tpi_fail(
			-EPROTONOSUPPORT, s->error, s->error_bytes,
			"the layout is %u.%u (features %#llx), this "
			"program knows %u.%u (features %#llx): " TPI_VERSIONS_REMEDY,
			set->abi_major, set->abi_minor,
			(unsigned long long)set->incompat, TAPIO_ABI_MAJOR,
			TPI_ABI_MINOR, (unsigned long long)TPI_INCOMPAT_KNOWN);
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

/* Says which catalogs were found in which processes. A client that has moved maps two. */
static int say_several(struct search *s)
{
	const struct tpi_segment_set *set = s->inspect->set;
	char list[256] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < set->count && at < sizeof(list); i++) {
		const struct tpi_segment_set_entry *e = &set->entries[i];

		if (tpi_segment_set_wants(set, e))
			at += (size_t)snprintf(list + at, sizeof(list) - at,
					       "%s %.8s in process %d",
					       at ? "," : "", e->instance,
					       (int)e->pid);
	}
	return tpi_fail(-ENOTUNIQ, s->error, s->error_bytes,
			"several brokers' memory was found, instance%s; name "
			"one with --instance or --pid ('tapio-shmstat "
			"instances' lists them)",
			list);
}

/* Of a socket that no process listens at any more. An abstract one has no file. */
static void believe_owner_of_file(struct tpi_segment_set *set, const char *path)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		tpi_segment_set_believe(set, st.st_uid);
}

static void believe_owner_of_process(struct tpi_segment_set *set, pid_t pid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (!stat(path, &st))
		tpi_segment_set_believe(set, st.st_uid);
}

void tpi_inspect_believe(struct tpi_segment_set *set,
			 const struct tpi_inspect_options *o)
{
	tpi_segment_set_believe(set, 0);
	tpi_segment_set_believe(set, geteuid());
	if (o->owner)
		tpi_segment_set_believe(set, *o->owner);
	if (o->pid)
		believe_owner_of_process(set, o->pid);
	if (o->socket)
		believe_owner_of_file(set, o->socket);
}

/* The right file may be among those that were passed over. */
static void describe_passed_over(const struct tpi_segment_set *set, char *text,
				 size_t bytes)
{
	int n = 0;

	*text = 0;
	if (set->foreign)
		n = snprintf(
			text, bytes,
			"; %u file%s named as segments belong%s to others, "
			"as uid %u, who is not root, this user, or the "
			"owner of the socket: --owner %u believes it",
			set->foreign, TPI_PLURAL(set->foreign),
			set->foreign == 1 ? "s" : "", set->foreign_uid,
			set->foreign_uid);
	if (set->sparse && n >= 0 && (size_t)n < bytes)
		snprintf(text + n, bytes - (size_t)n,
			 "; %u file%s named as segments ha%s holes, as no "
			 "segment has",
			 set->sparse, TPI_PLURAL(set->sparse),
			 set->sparse == 1 ? "s" : "ve");
}

static int say_none(struct search *s, const char *where)
{
	bool denied = s->inspect->set->denied;
	char passed_over[320];

	describe_passed_over(s->inspect->set, passed_over, sizeof(passed_over));

	return tpi_fail(
		denied || s->refused ? -EACCES : -ENOENT, s->error,
		s->error_bytes, "%sno broker's memory was found%s%s%s%s%s%s",
		s->refused ? "there is no right to ask the broker, and " : "",
		where,
		denied ? " (there is no right to look into some processes)"
		       : "",
		*s->inspect->note ? "; at the socket: " : "", s->inspect->note,
		s->options->scan || s->options->pid || s->options->instance
			? ""
			: "; --scan looks in every process, and "
			  "'tapio-shmstat instances' lists what they hold",
		passed_over);
}

/* As much as honest memory of that size can ask for. */
static void set_bounds(struct tpi_inspect *inspect)
{
	uint64_t data = inspect->snapshot->data_bytes;

	inspect->bounds = (struct tpi_inspect_bounds){
		.lane_bytes = data,
		.rest_bytes = REST_BYTES_MAX,
		.record_steps = RECORD_STEPS_MAX,
	};
}

/* A file has one catalog. */
static int read_snapshot(struct search *s)
{
	struct tpi_inspect *inspect = s->inspect;
	int err = tpi_snapshot_read(
		&inspect->snapshot, inspect->set, s->options->file,
		s->options->file_limit_bytes, s->error, s->error_bytes);

	if (err)
		return err;
	set_bounds(inspect);
	err = settle(s, TPI_SOURCE_FILE);
	inspect->pid = 0;
	if (err == -ENOENT || err == -ENOTUNIQ)
		return tpi_fail(-EBADMSG, s->error, s->error_bytes,
				"%s: it has %s catalog of a broker's memory",
				s->options->file,
				err == -ENOENT ? "no" : "more than one");
	return err;
}

static int fill_bag(struct search *s)
{
	const struct tpi_inspect_options *o = s->options;
	struct tpi_inspect *inspect = s->inspect;
	const char *where = "";
	pid_t peer = 0;
	int err = -ENOENT;

	if (o->file)
		return read_snapshot(s);
	tpi_inspect_believe(inspect->set, o);
	inspect->set->instance = o->instance;
	if (o->pid) {
		err = look_in(s, o->pid);
		where = " in that process";
	} else if (o->instance) {
		err = look_everywhere(s);
		where = " of that instance";
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
		s->refused = err == -EACCES || err == -EPERM;
		err = peer ? look_in(s, peer) : -ENOENT;
	}
	if (err == -ENOENT && o->scan && !o->pid && !o->instance)
		err = look_everywhere(s);
	if (err == -ENOTUNIQ)
		return say_several(s);
	return err == -ENOENT ? say_none(s, where) : err;
}

static bool is_of(const struct tpi_inspect *inspect, uint32_t number,
		  uint32_t kind, uint32_t channel, uint32_t index,
		  struct tapio_shm_segment *copy)
{
	/* Cheap first: most are not it. The copy is what counts. */
	return tpi_load_relaxed(&inspect->catalog.segments[number].index) ==
		       index &&
	       tpi_inspect_segment(inspect, number, copy) &&
	       copy->kind == kind && copy->channel == channel &&
	       copy->index == index;
}

/* By the catalog's record of the segment. Its epoch goes to *epoch, if that is not
 * NULL. NULL: the set does not have it. */
static struct tpi_segment_set_entry *find(struct tpi_inspect *inspect,
					  uint32_t kind, uint32_t channel,
					  uint32_t index, uint32_t *epoch)
{
	uint32_t count = inspect->catalog.segment_count;
	/* Where it should be. Then all others are looked at. */
	uint32_t first = kind == TAPIO_SEGMENT_CURSORS
				 ? tpi_slot_record(channel, index)
				 : tpi_segment_record(channel, index);
	struct tapio_shm_segment copy;

	for (uint32_t i = 0; i < count && inspect->bounds.record_steps; i++) {
		inspect->bounds.record_steps--;
		if (!is_of(inspect, (uint32_t)(((uint64_t)first + i) % count),
			   kind, channel, index, &copy))
			continue;
		if (epoch)
			*epoch = copy.epoch;
		return tpi_segment_set_find(inspect->set, &copy);
	}
	return NULL;
}

bool tpi_inspect_same(const struct tpi_inspect *inspect, uint32_t channel)
{
	const struct tapio_shm_channel *shared =
		&inspect->catalog.channels[channel];
	const struct tpi_inspect_channel *c = &inspect->channels[channel];
	bool there;

	/* ORDER channel.ready (load-load): all that was read of it is older than
	 * this look. Pairs with the store-store in tpi_channel_hide(). */
	tpi_fence_load_load();
	there = tpi_load_relaxed(&shared->ready) != 0;
	return there == c->there &&
	       (!there || tpi_load_relaxed(&shared->epoch) == c->epoch);
}

/* Each of them makes a page of ours. */
static bool may_rest(struct tpi_inspect *inspect, uint32_t channel,
		     uint32_t segment)
{
	const struct tapio_shm_channel *info =
		&inspect->catalog.channels[channel];
	uint64_t bytes = 0;

	if (!inspect->snapshot)
		return true;
	for (uint32_t i = 0; i < info->lane_count; i++)
		if (inspect->catalog.places[info->first_place + i].segment ==
		    segment)
			bytes += REST_LANE_BYTES;
	if (bytes > inspect->bounds.rest_bytes)
		return false;
	inspect->bounds.rest_bytes -= bytes;
	return true;
}

/*
 * The memory of an isolated producer may be replaced between the look at the record and the
 * file. Then lanes at rest stand for it. True: they do.
 */
static bool note_own(struct tpi_inspect *inspect, struct tpi_inspect_channel *c,
		     uint32_t channel, uint32_t segment,
		     const struct tpi_segment_set_entry *e, uint32_t epoch)
{
	const struct tpi_catalog *catalog = &inspect->catalog;
	uint32_t number = tpi_segment_record(channel, segment);

	if (number < catalog->segment_count)
		c->own[segment] = &catalog->segments[number];
	c->memories[segment] = TAPIO_SEGMENT_MEMORY(epoch);
	if (e || !c->own[segment] || !may_rest(inspect, channel, segment) ||
	    tpi_channel_rest(&c->maps[c->map_count], catalog, channel, segment,
			     tpi_load_relaxed(&c->own[segment]->length_bytes)))
		return false;
	c->map_count++;
	c->rests |= UINT64_C(1) << segment;
	return true;
}

/*
 * A lane has a record and N descriptors that are not zero, so honest lanes of a snapshot need
 * no more than it has data. Those at rest are bounded by themselves.
 */
static bool has_data_for(struct tpi_inspect *inspect,
			 struct tpi_inspect_channel *c,
			 const struct tapio_shm_channel *info)
{
	const struct tapio_shm_place *places =
		&inspect->catalog.places[info->first_place];
	uint64_t bytes = 0;

	if (!inspect->snapshot)
		return true;
	for (uint32_t i = 0; i < info->lane_count; i++)
		if (places[i].segment >= TAPIO_NODES_MAX ||
		    !(c->rests >> places[i].segment & 1))
			bytes += sizeof(struct tapio_shm_lane) +
				 places[i].block_count * sizeof(uint64_t);
	if (bytes <= inspect->bounds.lane_bytes) {
		inspect->bounds.lane_bytes -= bytes;
		return true;
	}
	snprintf(
		c->why, sizeof(c->why),
		"its lanes need %llu bytes, and the snapshot has data for %llu",
		(unsigned long long)bytes,
		(unsigned long long)inspect->bounds.lane_bytes);
	return false;
}

/* Why a segment of it is not had. */
static void note_missing(struct tpi_inspect *inspect,
			 struct tpi_inspect_channel *c, const char *name,
			 uint32_t segment)
{
	const char *refusal = tpi_segment_set_refusal(inspect->set, name);

	c->denied = refusal != NULL;
	if (refusal)
		snprintf(c->why, sizeof(c->why), "no right to inspect it: %s",
			 refusal);
	else
		snprintf(c->why, sizeof(c->why),
			 "its segment %u is missing: it was not found where "
			 "the catalog was found",
			 segment);
}

static void attach_channel(struct tpi_inspect *inspect, uint32_t index)
{
	struct tpi_inspect_channel *c = &inspect->channels[index];
	struct tapio_shm_channel info;
	struct tpi_segment_set_entry *e;
	uint32_t epoch;

	if (tpi_channel_look(&inspect->catalog, index, &info, c->why,
			     sizeof(c->why)))
		return;
	for (uint32_t i = 0; i < info.segment_count; i++) {
		e = find(inspect, TAPIO_SEGMENT_CHANNEL, index, i, &epoch);
		if (i && info.flags & TAPIO_CHANNEL_ISOLATED &&
		    note_own(inspect, c, index, i, e, epoch))
			continue;
		if (!e) {
			note_missing(inspect, c, info.name, i);
			return;
		}
		c->maps[c->map_count++] = e->map;
	}
	if (!has_data_for(inspect, c, &info) ||
	    tpi_channel_attach(&c->channel, &inspect->catalog, index, c->maps,
			       c->map_count, c->why, sizeof(c->why)))
		return;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		e = find(inspect, TAPIO_SEGMENT_CURSORS, index, slot,
			 &c->epochs[slot]);
		if (e && tpi_cursors_attach(&c->cursors[slot], &e->map,
					    &c->channel.info, slot, c->why,
					    sizeof(c->why)))
			c->cursors[slot] = (struct tpi_cursors){0};
	}
}

/* One that goes while it is opened is not there. One that comes then is left out. */
static void open_channel(struct tpi_inspect *inspect, uint32_t index)
{
	const struct tapio_shm_channel *shared =
		&inspect->catalog.channels[index];
	struct tpi_inspect_channel *c = &inspect->channels[index];

	/* ORDER channel.epoch (acquire): READY is younger than this look, as in
	 * tpi_channel_look(). */
	c->epoch = tpi_load_acquire(&shared->epoch);
	c->there = tpi_load_relaxed(&shared->ready) != 0;
	if (c->there)
		attach_channel(inspect, index);
	if (tpi_inspect_same(inspect, index))
		return;
	tpi_channel_detach(&c->channel);
	memset(c, 0, sizeof(*c));
	c->epoch = tpi_load_relaxed(&shared->epoch);
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
	return inspect->snapshot
		       ? tpi_snapshot_attach(inspect->snapshot, inspect)
		       : 0;
}

int tpi_inspect_open(struct tpi_inspect **out,
		     const struct tpi_inspect_options *options, char *error,
		     size_t error_bytes)
{
	struct tpi_inspect *inspect = calloc(1, sizeof(*inspect));
	struct search s = {inspect, options, error, error_bytes, false};
	int err = -ENOMEM;

	*out = NULL;
	if (error_bytes)
		*error = 0;
	if (!inspect)
		return err;
	inspect->bounds =
		(struct tpi_inspect_bounds){UINT64_MAX, UINT64_MAX, UINT64_MAX};
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

static void close_channel(struct tpi_inspect_channel *c)
{
	tpi_channel_detach(&c->channel);
	/* The others are the set's. */
	for (uint32_t i = 0; i < c->map_count; i++)
		if (c->rests >> i & 1)
			tpi_map_close(&c->maps[i]);
}

bool tpi_inspect_has_lane(const struct tpi_inspect *inspect, uint32_t channel,
			  uint32_t lane, uint32_t *phase)
{
	const struct tpi_inspect_channel *c = &inspect->channels[channel];
	uint32_t segment, epoch;

	*phase = TAPIO_PHASE_SEALED;
	if (!tpi_channel_isolated(&c->channel))
		return true;
	segment =
		1 + lane - c->channel.side_first[c->channel.lanes[lane].klass];
	/* ORDER segment.epoch (load-load): what was read of the lane and of cursors, before
	 * this look. Pairs with tpi_isolation_show(). */
	tpi_fence_load_load();
	epoch = tpi_load_relaxed(&c->own[segment]->epoch);
	*phase = TAPIO_SEGMENT_PHASE(epoch);
	return !(c->rests >> segment & 1) &&
	       TAPIO_SEGMENT_MEMORY(epoch) == c->memories[segment];
}

void tpi_inspect_close(struct tpi_inspect *inspect)
{
	if (!inspect)
		return;
	if (inspect->channels)
		for (uint32_t i = 0; i < inspect->catalog.channel_count; i++)
			close_channel(&inspect->channels[i]);
	free(inspect->channels);
	if (inspect->set)
		tpi_segment_set_empty(inspect->set);
	tpi_snapshot_free(inspect->snapshot);
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
	gating->heed = NULL;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		gating->cursors[slot] = c->cursors[slot].cursors;
		gating->epochs[slot] = c->epochs[slot];
	}
}

bool tpi_inspect_segment(const struct tpi_inspect *inspect, uint32_t i,
			 struct tapio_shm_segment *copy)
{
	const struct tapio_shm_segment *shared = &inspect->catalog.segments[i];
	/* ORDER segment_record.inode (acquire): READY is younger than this look. One
	 * that is loaded later may be that of the next writing, whose READY the
	 * last look finds. */
	uint64_t inode = tpi_load_acquire(&shared->inode);

	/*
	 * ORDER segment_record.ready (acquire): the record is complete. Pairs
	 * with the broker's release.
	 */
	if (tpi_load_acquire(&shared->ready) != TAPIO_SEGMENT_READY)
		return false;
	memcpy(copy, shared, sizeof(*copy));
	/* ORDER segment_record.ready (load-load): the copy is older than this
	 * look. Pairs with the store that takes READY off (broker/registry). */
	tpi_fence_load_load();
	return tpi_load_relaxed(&shared->ready) == TAPIO_SEGMENT_READY &&
	       tpi_load_relaxed(&shared->inode) == inode;
}

bool tpi_inspect_denied(const struct tpi_inspect *inspect)
{
	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++)
		if (inspect->channels[i].denied)
			return true;
	return false;
}

int tpi_inspect_ledger(const struct tpi_inspect *inspect, uint32_t channel,
		       uint32_t lane, uint32_t slot, struct tpi_ledger *ledger)
{
	const struct tpi_inspect_channel *c = &inspect->channels[channel];
	int err;

	/* Relaxed: a slot that gets other memory at this moment reads as wrong
	 * values do, and the next look misses it. */
	if (!c->cursors[slot].cursors ||
	    c->epochs[slot] !=
		    tpi_load_relaxed(
			    &tpi_inspect_groups(inspect, channel)[slot].epoch))
		return -ENOENT;
	err = tpi_ledger_read(&c->channel.lanes[lane],
			      &tpi_inspect_groups(inspect, channel)[slot],
			      &c->cursors[slot].cursors[lane], ledger);
	/* Its members note the peak, and there may be none, or they stand still. */
	if (!err && ledger->in_flight > ledger->peak)
		ledger->peak = ledger->in_flight < UINT32_MAX
				       ? (uint32_t)ledger->in_flight
				       : UINT32_MAX;
	return err;
}
