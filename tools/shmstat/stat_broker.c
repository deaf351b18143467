/* SPDX-License-Identifier: Apache-2.0 */
/* The broker itself, and the channels that it serves. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "lib/base/tsc.h"
#include "lib/memory/calibration.h"
#include "tools/inspect/segment_set.h"
#include "tools/inspect/process.h"
#include "tools/inspect/snapshot.h"
#include "tools/common/tool.h"
#include "tools/shmstat/stat.h"

#define CLOCK_TRIES 8

/* null: the memory is live. */
static json_t *snapshot(const struct tpi_inspect *inspect)
{
	const struct tpi_snapshot_facts *f;
	char boot[2 * sizeof(f->boot_id) + 1];
	json_t *object;

	if (!inspect->snapshot)
		return json_null();
	f = &inspect->snapshot->facts;
	for (size_t i = 0; i < sizeof(f->boot_id); i++)
		snprintf(boot + 2 * i, 3, "%02x", f->boot_id[i]);
	object = json_object();
	json_object_set_new(object, "taken_ns", value_count(f->end_ns));
	json_object_set_new(
		object, "window_ns",
		value_count(f->end_monotonic_ns - f->begin_monotonic_ns));
	json_object_set_new(object, "host",
			    value_text(f->host, sizeof(f->host)));
	json_object_set_new(object, "kernel",
			    value_text(f->kernel, sizeof(f->kernel)));
	json_object_set_new(object, "tool",
			    value_text(f->tool, sizeof(f->tool)));
	json_object_set_new(object, "boot_id", json_string(boot));
	json_object_set_new(object, "cpus_possible",
			    value_count(f->cpus_possible));
	json_object_set_new(object, "cpus_online", value_count(f->cpus_online));
	json_object_set_new(object, "nodes", value_count(f->nodes));
	json_object_set_new(
		object, "from",
		f->source < TPI_SOURCE_FILE
			? json_string(tpi_inspect_source_name(f->source))
			: json_null());
	json_object_set_new(object, "from_pid", value_count(f->pid));
	json_object_set_new(object, "from_note",
			    value_text(f->note, sizeof(f->note)));
	json_object_set_new(object, "uid", value_count(f->uid));
	json_object_set_new(object, "denied",
			    json_boolean(f->flags & TPI_SNAPSHOT_DENIED ||
					 tpi_inspect_denied(inspect)));
	json_object_set_new(object, "events",
			    json_boolean(!(f->flags & TPI_SNAPSHOT_NO_EVENTS)));
	json_object_set_new(
		object, "catalog_whole",
		json_boolean(f->flags & TPI_SNAPSHOT_CATALOG_WHOLE));
	json_object_set_new(object, "lanes_moved",
			    value_count(tpi_snapshot_moved(inspect->snapshot)));
	return object;
}

json_t *stat_source(const struct tpi_inspect *inspect)
{
	json_t *object = json_object();

	json_object_set_new(
		object, "from",
		json_string(tpi_inspect_source_name(inspect->source)));
	json_object_set_new(object, "pid",
			    inspect->pid ? json_integer(inspect->pid)
					 : json_null());
	json_object_set_new(object, "note",
			    *inspect->note ? value_text(inspect->note,
							sizeof(inspect->note))
					   : json_null());
	json_object_set_new(object, "snapshot", snapshot(inspect));
	return object;
}

/* Only looked for when the broker is gone: it is a walk through /proc. */
static json_t *held_by(const struct tpi_inspect *inspect)
{
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	uint64_t pid = tpi_load_relaxed(&b->pid);
	uint64_t start = tpi_load_relaxed(&b->start_time_ticks);
	pid_t holder;

	if (!stat_is_live(inspect) ||
	    strcmp(tpi_inspect_process(inspect, pid, start), "gone") != 0)
		return json_null();
	holder = tpi_inspect_holder(inspect);
	return holder ? json_integer(holder) : json_null();
}

static json_t *instance(const struct tpi_inspect *inspect)
{
	char hex[2 * sizeof(inspect->catalog.instance) + 1];

	for (size_t i = 0; i < sizeof(inspect->catalog.instance); i++)
		snprintf(hex + 2 * i, 3, "%02x", inspect->catalog.instance[i]);
	return json_string(hex);
}

static void add_identity(json_t *object, const struct tpi_inspect *inspect)
{
	const struct tapio_shm_header *header =
		(const void *)inspect->catalog.map.base;
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	/* relaxed, here and below: words that are shown, each by itself */
	uint64_t pid = tpi_load_relaxed(&b->pid);
	uint64_t start = tpi_load_relaxed(&b->start_time_ticks);
	char version[sizeof(b->version)];

	memcpy(version, b->version, sizeof(version));
	json_object_set_new(object, "pid", value_count(pid));
	json_object_set_new(
		object, "process",
		json_string(tpi_inspect_process(inspect, pid, start)));
	json_object_set_new(object, "version",
			    value_text(version, sizeof(version)));
	/* Checked when it was attached, and constant. */
	json_object_set_new(
		object, "abi",
		json_sprintf("%d.%d", header->abi_major, header->abi_minor));
	json_object_set_new(object, "state",
			    value_broker_state(tpi_load_relaxed(&b->state)));
	json_object_set_new(object, "uptime_s", value_uptime(inspect));
	json_object_set_new(object, "instance", instance(inspect));
}

static void add_means(json_t *object, const struct tapio_shm_broker *b)
{
	static const char *const features[] = {"membarrier", "hugetlb",
					       "mbind",      "io_uring",
					       "pidfd",      "serving"};
	char reason[sizeof(b->rseq_reason)];
	/* ORDER broker.rseq (acquire): the reason is of this verdict. Pairs with
	 * the release in tpi_registry_test_rseq(). */
	uint32_t verdict = tpi_load_acquire(&b->rseq_verdict);

	memcpy(reason, b->rseq_reason, sizeof(reason));
	json_object_set_new(object, "budget_bytes",
			    value_count(tpi_load_relaxed(&b->budget_bytes)));
	json_object_set_new(object, "used_bytes",
			    value_count(tpi_load_relaxed(&b->used_bytes)));
	json_object_set_new(object, "rseq", value_rseq(verdict));
	json_object_set_new(object, "rseq_reason",
			    value_text(reason, sizeof(reason)));
	json_object_set_new(
		object, "features",
		value_bits(features, 6, tpi_load_relaxed(&b->features)));
	json_object_set_new(object, "cpus_possible",
			    value_count(tpi_load_relaxed(&b->cpus_possible)));
	json_object_set_new(object, "nodes",
			    value_count(tpi_load_relaxed(&b->nodes)));
	json_object_set_new(object, "clients_max",
			    value_count(tpi_load_relaxed(&b->clients_max)));
}

/* The best of some looks: by how much a stamp of now would be off. */
static bool measure_clock(const struct tpi_inspect *inspect, int64_t *off_ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < CLOCK_TRIES; i++) {
		struct tapio_shm_calibration piece;
		struct timespec now;
		uint64_t before = tpi_tsc(), ticks, width;

		clock_gettime(CLOCK_REALTIME, &now);
		width = tpi_tsc() - before;
		ticks = before + width / 2;
		if (!tpi_calibration_find(&inspect->catalog, ticks, &piece))
			return false;
		if (width >= best)
			continue;
		best = width;
		*off_ns = (int64_t)(tpi_calibration_ns(&piece, ticks) -
				    ((uint64_t)now.tv_sec * 1000000000 +
				     (uint64_t)now.tv_nsec));
	}
	return true;
}

/* How far stamps can be trusted; null: they cannot be converted. */
static void add_clock(json_t *object, const struct tpi_inspect *inspect)
{
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	bool runs = tpi_load_relaxed(&b->calibrations) != 0;
	uint64_t error = tpi_load_relaxed(&b->clock_error_ns);
	int64_t off_ns = 0;

	json_object_set_new(object, "clock_error_ns",
			    runs ? value_count(error) : json_null());
	runs = stat_is_live(inspect) && measure_clock(inspect, &off_ns);
	json_object_set_new(object, "clock_off_ns",
			    runs ? json_integer(off_ns) : json_null());
	json_object_set_new(object, "clock_steps",
			    value_count(tpi_load_relaxed(&b->clock_steps)));
}

static void add_keeper(json_t *object, const struct tapio_shm_broker *b)
{
	uint32_t pid = tpi_load_relaxed(&b->keeper_pid);

	json_object_set_new(object, "keeper",
			    value_keeper(tpi_load_relaxed(&b->keeper)));
	json_object_set_new(object, "keeper_pid",
			    pid ? value_count(pid) : json_null());
}

json_t *stat_broker(const struct tpi_inspect *inspect)
{
	json_t *object = json_object();

	add_identity(object, inspect);
	add_means(object, inspect->catalog.broker);
	add_clock(object, inspect);
	json_object_set_new(object, "held_by", held_by(inspect));
	json_object_set_new(object, "restarts",
			    value_count(tpi_load_relaxed(
				    &inspect->catalog.broker->restarts)));
	add_keeper(object, inspect->catalog.broker);
	json_object_set_new(object, "counters",
			    stat_counters_of_broker(inspect));
	return object;
}

static json_t *classes(const struct tapio_shm_channel *info)
{
	json_t *array = json_array();

	for (uint32_t k = 0; k < info->class_count; k++) {
		const struct tapio_shm_class *c = &info->classes[k];
		json_t *object = json_object();

		json_object_set_new(object, "name",
				    value_text(c->name, sizeof(c->name)));
		json_object_set_new(object, "block_bytes",
				    value_count(c->block_bytes));
		json_object_set_new(object, "blocks",
				    value_count(c->block_count));
		json_object_set_new(object, "side_lanes",
				    value_count(c->side_lanes));
		json_object_set_new(object, "side_blocks",
				    value_count(c->side_count));
		json_object_set_new(object, "priority",
				    value_count(c->priority));
		json_array_append_new(array, object);
	}
	return array;
}

/* One segment of an isolated channel is that of the doorbells. */
static void add_isolation(json_t *object, const struct tapio_shm_channel *info)
{
	bool isolated = info->flags & TAPIO_CHANNEL_ISOLATED;

	json_object_set_new(object, "isolation",
			    json_string(isolated ? "process" : "channel"));
	json_object_set_new(object, "nodes",
			    isolated ? json_null()
				     : value_count(info->segment_count));
	json_object_set_new(object, "producers_max",
			    isolated ? value_count(info->segment_count - 1)
				     : json_null());
}

static void add_description(json_t *object,
			    const struct tapio_shm_channel *info)
{
	static const char *const full[] = {"drop", "wait"};
	static const char *const stamps[] = {"none", "tsc", "clock"};

	json_object_set_new(object, "lanes", value_count(info->lane_count));
	add_isolation(object, info);
	json_object_set_new(object, "full",
			    value_word(full, 2, info->full_policy));
	json_object_set_new(object, "wait_ns", value_count(info->wait_ns));
	json_object_set_new(object, "stamp",
			    value_word(stamps, 3, info->stamp));
	json_object_set_new(object, "generation",
			    value_count(info->generation));
	json_object_set_new(object, "classes", classes(info));
}

static uint64_t count_attached(const struct tpi_inspect *inspect,
			       uint32_t channel)
{
	const struct tpi_catalog *catalog = &inspect->catalog;
	struct tapio_shm_attachment copy;
	uint64_t count = 0;

	/* Index 0 is never given, and 1 is the broker's own. */
	for (uint32_t i = 2; i < catalog->attachment_count; i++)
		count += tpi_inspect_attachment(&catalog->attachments[i],
						&copy) &&
			 copy.channel == channel;
	return count;
}

/* Of groups that stay without members. *not_read: those that are not in it. */
static uint64_t count_unread(const struct tpi_inspect *inspect,
			     uint32_t channel, uint32_t *not_read)
{
	struct stat_sums sums;
	uint64_t count = 0;

	*not_read = 0;
	for (uint32_t slot = 0; slot < TAPIO_GROUP_SLOTS; slot++) {
		const struct tapio_shm_group *group =
			&tpi_inspect_groups(inspect, channel)[slot];

		/* Relaxed: shown, each by itself. */
		if (!(tpi_load_relaxed(&group->flags) &
		      TAPIO_GROUP_FLAG_DURABLE) ||
		    TAPIO_SLOT_STATE(tpi_load_relaxed(&group->slot)) ==
			    TAPIO_SLOT_FREE)
			continue;
		stat_group_sum(inspect, channel, slot, &sums);
		*not_read += !sums.had && !sums.joining;
		count += sums.total.in_flight;
	}
	return count;
}

static void add_state(json_t *object, const struct tpi_inspect *inspect,
		      uint32_t channel, uint32_t state)
{
	static const char *const states[] = {"served", "removed"};
	uint64_t attached = count_attached(inspect, channel);
	uint32_t not_read;
	uint64_t unread = count_unread(inspect, channel, &not_read);
	bool had = inspect->channels[channel].channel.lane_count;

	json_object_set_new(object, "epoch",
			    value_count(inspect->channels[channel].epoch));
	json_object_set_new(object, "state", value_word(states, 2, state));
	json_object_set_new(object, "attached", value_count(attached));
	json_object_set_new(object, "unread",
			    had ? value_count(unread) : json_null());
	json_object_set_new(object, "groups_not_read", value_count(not_read));
	json_object_set_new(
		object, "drain",
		state == TAPIO_CHANNEL_REMOVED
			? json_sprintf("removed, draining: %s%llu unread, "
				       "%llu attached",
				       not_read ? "at least " : "",
				       (unsigned long long)unread,
				       (unsigned long long)attached)
			: json_null());
}

/* One that goes meanwhile is not there. One that takes its place is. */
static int look_settled(const struct tpi_inspect *inspect, uint32_t channel,
			struct tapio_shm_channel *info)
{
	int err = -ESTALE;

	for (int i = 0; err == -ESTALE && i < 4; i++)
		err = tpi_channel_look(&inspect->catalog, channel, info, NULL,
				       0);
	return err;
}

json_t *stat_channels(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++) {
		const char *why = inspect->channels[i].why;
		struct tapio_shm_channel info;
		json_t *object;

		if (!inspect->channels[i].there)
			continue;
		object = json_object();
		json_object_set_new(object, "channel",
				    value_channel(inspect, i));
		if (!look_settled(inspect, i, &info)) {
			add_description(object, &info);
			add_state(object, inspect, i, info.state);
		}
		json_object_set_new(object, "denied",
				    json_boolean(inspect->channels[i].denied));
		json_object_set_new(
			object, "error",
			*why ? value_text(why, sizeof(inspect->channels[i].why))
			     : json_null());
		json_array_append_new(array, object);
	}
	return array;
}
