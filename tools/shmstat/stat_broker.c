/* SPDX-License-Identifier: Apache-2.0 */
/* The broker itself, and the channels that it serves. */
#include <string.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "tools/inspect/segment_set.h"
#include "tools/shmstat/stat.h"

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
	return object;
}

static double seconds_since(uint64_t realtime_ns)
{
	struct timespec now;
	double since;

	clock_gettime(CLOCK_REALTIME, &now);
	since = (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
		(double)realtime_ns / 1e9;
	return since > 0 ? since : 0;
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
	static const char *const states[] = {NULL, "starting", "running",
					     "stopped"};
	const struct tapio_shm_broker *b = inspect->catalog.broker;
	/* relaxed, here and below: words that are shown, each by itself */
	uint64_t pid = tpi_load_relaxed(&b->pid);
	uint64_t start = tpi_load_relaxed(&b->start_time_ticks);
	char version[sizeof(b->version)];

	memcpy(version, b->version, sizeof(version));
	json_object_set_new(object, "pid", value_count(pid));
	json_object_set_new(object, "process",
			    json_string(process_state(pid, start)));
	json_object_set_new(object, "version",
			    value_text(version, sizeof(version)));
	json_object_set_new(
		object, "abi",
		json_sprintf("%d.%d", TAPIO_ABI_MAJOR, TAPIO_ABI_MINOR));
	json_object_set_new(object, "state",
			    value_word(states, 4, tpi_load_relaxed(&b->state)));
	json_object_set_new(
		object, "uptime_s",
		json_real(seconds_since(tpi_load_relaxed(&b->started_ns))));
	json_object_set_new(object, "instance", instance(inspect));
}

static void add_means(json_t *object, const struct tapio_shm_broker *b)
{
	static const char *const features[] = {"membarrier", "hugetlb", "mbind",
					       "io_uring", "pidfd"};
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
		value_bits(features, 5, tpi_load_relaxed(&b->features)));
	json_object_set_new(object, "cpus_possible",
			    value_count(tpi_load_relaxed(&b->cpus_possible)));
	json_object_set_new(object, "nodes",
			    value_count(tpi_load_relaxed(&b->nodes)));
	json_object_set_new(object, "clients_max",
			    value_count(tpi_load_relaxed(&b->clients_max)));
}

static json_t *counters(const struct tapio_shm_broker *b)
{
	const struct {
		const char *name;
		const uint64_t *word;
	} all[] = {
		{"hellos", &b->hellos},
		{"attaches", &b->attaches},
		{"refusals", &b->refusals},
		{"protocol_errors", &b->protocol_errors},
		{"deaths", &b->deaths},
		{"closes", &b->closes},
		{"sweeps", &b->sweeps},
		{"swept_blocks", &b->swept_blocks},
		{"leases_cleared", &b->leases_cleared},
		{"evictions", &b->evictions},
		{"suspicions", &b->suspicions},
	};
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		json_object_set_new(object, all[i].name,
				    value_count(tpi_load_relaxed(all[i].word)));
	return object;
}

/* How far stamps can be trusted; null: they cannot be converted. */
static void add_clock(json_t *object, const struct tapio_shm_broker *b)
{
	bool runs = tpi_load_relaxed(&b->calibrations) != 0;
	uint64_t error = tpi_load_relaxed(&b->clock_error_ns);

	json_object_set_new(object, "clock_error_ns",
			    runs ? value_count(error) : json_null());
	json_object_set_new(object, "clock_steps",
			    value_count(tpi_load_relaxed(&b->clock_steps)));
}

json_t *stat_broker(const struct tpi_inspect *inspect)
{
	json_t *object = json_object();

	add_identity(object, inspect);
	add_means(object, inspect->catalog.broker);
	add_clock(object, inspect->catalog.broker);
	json_object_set_new(object, "counters",
			    counters(inspect->catalog.broker));
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

static void add_description(json_t *object,
			    const struct tapio_shm_channel *info)
{
	static const char *const full[] = {"drop", "wait"};
	static const char *const stamps[] = {"none", "tsc", "clock"};

	json_object_set_new(object, "lanes", value_count(info->lane_count));
	json_object_set_new(object, "nodes", value_count(info->segment_count));
	json_object_set_new(object, "full",
			    value_word(full, 2, info->full_policy));
	json_object_set_new(object, "wait_ns", value_count(info->wait_ns));
	json_object_set_new(object, "stamp",
			    value_word(stamps, 3, info->stamp));
	json_object_set_new(object, "generation",
			    value_count(info->generation));
	json_object_set_new(object, "classes", classes(info));
}

json_t *stat_channels(const struct tpi_inspect *inspect)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < inspect->catalog.channel_count; i++) {
		const char *why = inspect->channels[i].why;
		struct tapio_shm_channel info;
		json_t *object = json_object();

		json_object_set_new(object, "channel",
				    value_channel(inspect, i));
		if (!tpi_channel_describe(&inspect->catalog, i, &info, NULL, 0))
			add_description(object, &info);
		json_object_set_new(
			object, "error",
			*why ? value_text(why, sizeof(inspect->channels[i].why))
			     : json_null());
		json_array_append_new(array, object);
	}
	return array;
}
