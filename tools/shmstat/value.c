/* SPDX-License-Identifier: Apache-2.0 */
/* Words of shared memory as JSON values. Called by every stat_*(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/atomic.h"
#include "lib/base/rseq.h"
#include "lib/lane/histogram.h"
#include "tools/common/tool.h"
#include "tools/inspect/snapshot.h"
#include "tools/shmstat/stat.h"

json_t *value_count(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *value_text(const char *field, size_t bytes)
{
	char text[256];
	size_t n = 0;

	for (; n < bytes && n < sizeof(text) - 1; n++) {
		/* relaxed: bytes that may change, each looked at once */
		char c = tpi_load_relaxed(&field[n]);

		if (!c)
			break;
		text[n] = c < ' ' || c > '~' ? '?' : c;
	}
	text[n] = 0;
	return json_string(text);
}

json_t *value_word(const char *const *words, size_t count, uint32_t n)
{
	char number[16];

	if (n < count && words[n])
		return json_string(words[n]);
	snprintf(number, sizeof(number), "%u", n);
	return json_string(number);
}

json_t *value_bits(const char *const *words, size_t count, uint32_t bits)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		if (bits & 1u << i && words[i])
			json_array_append_new(array, json_string(words[i]));
	return array;
}

json_t *value_errno(int32_t err)
{
	const char *name = err ? strerrorname_np(err < 0 ? -err : err) : NULL;

	if (!err)
		return json_null();
	return name ? json_string(name) : json_sprintf("%d", err);
}

json_t *value_dropped(const uint64_t dropped[TAPIO_DROP_CAUSES])
{
#define NAME(name, ...) #name,
	static const char *const causes[] = {TAPIO_LANE_DROPS(NAME)};
#undef NAME
	const size_t known = TAPIO_LANE_DROP_COUNT;
	json_t *object = json_object();
	uint64_t other = 0;

	for (size_t i = 0; i < known; i++)
		json_object_set_new(object, causes[i], value_count(dropped[i]));
	for (size_t i = known; i < TAPIO_DROP_CAUSES; i++)
		other += dropped[i];
	json_object_set_new(object, "other", value_count(other));
	return object;
}

json_t *value_faults(uint32_t faults)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < TPI_FAULTS; i++)
		if (faults & 1u << i)
			json_array_append_new(array,
					      json_string(tpi_fault_name(i)));
	return array;
}

json_t *value_latency(const struct tapio_shm_histogram *shared)
{
	static const struct {
		const char *key;
		double fraction;
	} points[] = {
		{"p50", 0.5},
		{"p90", 0.9},
		{"p99", 0.99},
		{"p99.9", 0.999},
	};
	struct tpi_histogram *copy;
	json_t *object;

	if (!shared)
		return json_null();
	copy = malloc(sizeof(*copy));
	if (!copy)
		return NULL;
	tpi_histogram_read(shared, copy);
	object = json_object();
	json_object_set_new(object, "count", value_count(copy->count));
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		json_object_set_new(
			object, points[i].key,
			value_known(copy->count,
				    tpi_histogram_quantile(
					    copy, points[i].fraction)));
	json_object_set_new(object, "mean",
			    value_known(copy->count, copy->mean_ns));
	json_object_set_new(object, "max",
			    value_known(copy->count, copy->max_ns));
	free(copy);
	return object;
}

json_t *value_rseq(uint32_t verdict)
{
	const char *word = tpi_rseq_word(verdict);

	return word ? json_string(word) : value_word(NULL, 0, verdict);
}

json_t *value_keeper(uint32_t keeper)
{
	static const char *const words[] = {"unknown", "none", "process",
					    "service"};

	return value_word(words, sizeof(words) / sizeof(words[0]), keeper);
}

json_t *value_broker_state(uint32_t state)
{
	static const char *const words[] = {NULL, "starting", "running",
					    "stopped"};

	return value_word(words, sizeof(words) / sizeof(words[0]), state);
}

json_t *value_uptime(const struct tpi_inspect *inspect)
{
	/* relaxed: shown by itself */
	uint64_t start = tpi_load_relaxed(&inspect->catalog.broker->started_ns);
	uint64_t now = inspect->snapshot ? inspect->snapshot->facts.end_ns
					 : tpi_clock_read_ns(CLOCK_REALTIME);

	return json_real(now > start ? (double)(now - start) / 1e9 : 0);
}

const char *const stat_rungs[STAT_RUNGS] = {"hugetlb", "thp", "pages"};

json_t *value_placement(uint32_t placement)
{
	static const char *const words[] = {"unchecked", "verified", "unbound",
					    "elsewhere"};

	return value_word(words, sizeof(words) / sizeof(words[0]), placement);
}

json_t *value_channel(const struct tpi_inspect *inspect, uint32_t channel)
{
	struct tapio_shm_channel info;

	if (channel >= inspect->catalog.channel_count ||
	    tpi_channel_look(&inspect->catalog, channel, &info, NULL, 0))
		return json_string("?");
	return value_text(info.name, sizeof(info.name));
}

json_t *value_class(const struct tpi_inspect_channel *channel, uint32_t klass)
{
	const struct tapio_shm_channel *info = &channel->channel.info;

	if (klass >= info->class_count || klass >= TAPIO_CLASSES_MAX)
		return json_string("?");
	return value_text(info->classes[klass].name,
			  sizeof(info->classes[klass].name));
}
